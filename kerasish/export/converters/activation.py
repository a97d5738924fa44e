"""Activations, losses of logits, and what normalisation is made of."""

import math

from kerasish.backend.autodiff.dtypes import is_float
from kerasish.backend.autodiff.shapes import normalize_axes, normalize_axis
from kerasish.export.graph import Value, onnx, simple
from kerasish.ops.activation import _CUBIC, _SLOPE

simple(sigmoid="Sigmoid", softplus="Softplus", softsign="Softsign")


@onnx("relu")
def relu(g, x):
    return g.Relu(x) if is_float(x.dtype) else g.cast(g.Max(g.wide(x), 0), x.dtype)


def _clipped(low, high):
    return lambda g, x: g.cast(g.Clip(g.wide(x), g.constant(low, g.wide(x).dtype), g.constant(high, g.wide(x).dtype)), x.dtype)


onnx("relu6")(_clipped(0, 6))
onnx("hard_tanh")(_clipped(-1, 1))


def _with(operator, **attributes):
    return lambda g, x: getattr(g, operator)(x, **attributes)


onnx("hard_sigmoid")(_with("HardSigmoid", alpha=1 / 6, beta=0.5))
onnx("sparse_sigmoid")(_with("HardSigmoid", alpha=0.5, beta=0.5))


@onnx("leaky_relu")
def leaky_relu(g, x, negative_slope):
    return g.LeakyRelu(x, alpha=float(negative_slope))


@onnx("hard_shrink")
def hard_shrink(g, x, threshold):
    return g.where(g.Greater(g.Abs(x), threshold), x, 0)


@onnx("soft_shrink")
def soft_shrink(g, x, threshold):
    return g.Sub(x, g.Clip(x, g.constant(-threshold, x.dtype), g.constant(threshold, x.dtype)))


@onnx("threshold")
def threshold(g, x, threshold, default_value):
    return g.where(g.Greater(x, threshold), x, g.constant(default_value, x.dtype))


@onnx("sparse_plus")
def sparse_plus(g, x):
    y = g.Clip(g.Add(x, 1), g.constant(0, x.dtype), g.constant(2, x.dtype))
    return g.Add(g.Mul(g.Mul(y, y), 0.25), g.Relu(g.Sub(x, 1)))


@onnx("log_sigmoid")
def log_sigmoid(g, x):
    return g.Neg(g.Softplus(g.Neg(x)))


@onnx("silu")
def silu(g, x):
    return g.Mul(x, g.Sigmoid(x))


@onnx("_normal_cdf")
def normal_cdf(g, x):
    return g.Mul(g.Add(g.Erf(g.Mul(x, math.sqrt(0.5))), 1), 0.5)


@onnx("_gelu_tanh")
def gelu_tanh(g, x):
    return g.Mul(x, g.Sigmoid(g.Mul(x, g.Add(g.Mul(g.Mul(x, x), _CUBIC), _SLOPE))))


@onnx("elu")
def elu(g, x, alpha):
    return g.Elu(x, alpha=float(alpha))


@onnx("celu")
def celu(g, x, alpha):
    below = g.Mul(g.Sub(g.Exp(g.Div(g.Min(x, 0), alpha)), 1), alpha)
    return g.Add(g.Relu(x), below)


@onnx("squareplus")
def squareplus(g, x, b):
    return g.Mul(g.Add(x, g.Sqrt(g.Add(g.Mul(x, x), b))), 0.5)


@onnx("plain_softmax")
def softmax(g, x, axis):
    axes = normalize_axes(axis, x.ndim)
    if len(axes) == 1:
        return g.Softmax(x, axis=axes[0])
    y = g.Exp(g.Sub(x, g.reduce("Max", x, axes, keepdims=True)))
    return g.Div(y, g.reduce("Sum", y, axes, keepdims=True))


@onnx("log_softmax")
def log_softmax(g, x, axis):
    axes = normalize_axes(axis, x.ndim)
    if len(axes) == 1:
        return g.LogSoftmax(x, axis=axes[0])
    y = g.Sub(x, g.reduce("Max", x, axes, keepdims=True))
    return g.Sub(y, g.Log(g.reduce("Sum", g.Exp(y), axes, keepdims=True)))


@onnx("sparsemax")
def sparsemax(g, x, axis):
    axis = normalize_axis(axis, x.ndim)
    n = x.shape[axis]
    highest, _ = g.TopK(x, g.size(n), axis=axis, outputs=2)
    places = g.reshape(g.Add(g.range(n, x.dtype), 1), [n if i == axis else 1 for i in range(x.ndim)])
    inside = g.Greater(g.Add(g.Mul(places, highest), 1), g.CumSum(highest, g.constant(axis, "int64")))
    inside = g.cast(inside, x.dtype)
    total, count = (g.reduce("Sum", y, [axis], keepdims=True) for y in (g.Mul(highest, inside), inside))
    return g.Relu(g.Sub(x, g.Div(g.Sub(total, 1), count)))


# ---- normalisation
@onnx("_moments")
def moments(g, x, axes, keepdims):
    axes = normalize_axes(axes, x.ndim)
    center = g.reduce("Mean", x, axes, keepdims=True)
    apart = g.Sub(x, center)
    variance = g.reduce("Mean", g.Mul(apart, apart), axes, keepdims=True)
    return (center, variance) if keepdims else (g.squeeze(center, *axes), g.squeeze(variance, *axes))


@onnx("_scale_and_shift")
def scale_and_shift(g, x, a, b):
    return g.Add(g.Mul(x, a), b)


@onnx("_standardize")
def standardize(g, x, axes, epsilon, center):
    axes = normalize_axes(axes, x.ndim)
    y = g.Sub(x, g.reduce("Mean", x, axes, keepdims=True)) if center else x
    slope = g.Reciprocal(g.Sqrt(g.Add(g.reduce("Mean", g.Mul(y, y), axes, keepdims=True), epsilon)))
    return g.Mul(y, slope), slope


# ---- classes
def _against_classes(g, x, n, axis):
    """Which class, along a new axis, each index is; none for an index out of range."""
    x = g.wide(x) if not is_float(x.dtype) else g.cast(x, "int64")
    rank = len(g.outputs[0].shape)
    classes = g.reshape(g.range(n, x.dtype), [n if i == axis else 1 for i in range(rank)])
    return g.Equal(g.unsqueeze(x, axis), classes)


@onnx("_one_hot")
def one_hot(g, x, num_classes, axis, dtype, sparse):
    rank = len(g.outputs[0].shape)
    return g.cast(_against_classes(g, x, num_classes, normalize_axis(axis, rank)), g.outputs[0].dtype)


@onnx("_sigmoid_crossentropy")
def sigmoid_crossentropy(g, target, logits):
    return g.Sub(g.Softplus(logits), g.Mul(logits, target))


@onnx("_softmax_crossentropy")
def softmax_crossentropy(g, target, logits, axis):
    return g.Neg(g.reduce("Sum", g.Mul(log_softmax(g, logits, axis), target), normalize_axes(axis, logits.ndim)))


def _picked(g, index, x, axis):
    """What ``x`` has at the index along an axis, 0 for an index out of range."""
    rank = index.ndim + 1
    axis = normalize_axis(axis, rank)
    n = x.shape[axis]
    classes = g.reshape(g.range(n, "int64"), [n if i == axis else 1 for i in range(rank)])
    here = g.Equal(g.unsqueeze(g.cast(index, "int64"), axis), classes)
    return g.reduce("Sum", g.where(here, x, 0), [axis])


@onnx("_pick_at")
def pick_at(g, index, x, axis):
    return _picked(g, index, x, axis)


@onnx("_sparse_softmax_crossentropy")
def sparse_softmax_crossentropy(g, index, logits, axis):
    return g.Neg(_picked(g, index, Value(log_softmax(g, logits, axis), logits.shape, logits.dtype), axis))


@onnx("_in_range")
def in_range(g, index, x, axis):
    index = g.cast(index, "int64")
    inside = g.And(g.GreaterOrEqual(index, 0), g.Less(index, g.scalar(x.shape[axis])))
    return g.cast(inside, g.outputs[0].dtype)
