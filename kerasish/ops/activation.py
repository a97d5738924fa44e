"""Activation functions: element-wise ones, and those that normalize along an axis.

Where a function is not smooth its gradient is JAX's: ``relu`` has 0 at 0, ``relu6`` has 0 at 0 and 6.
"""

import functools
import math
import warnings

from kerasish.backend.autodiff.dtypes import floating, name_of
from kerasish.backend.autodiff.op import as_tensor, composite, op
from kerasish.backend.autodiff.shapes import first, normalize_axes, normalize_axis, same
from kerasish.ops.elementwise import absolute, choose, exp, minimum, square, tanh
from kerasish.ops.reduction import sum
from kerasish.ops.shaping import split

__all__ = [
    "celu", "elu", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "leaky_relu",
    "log_sigmoid", "log_softmax", "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign",
    "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "swish", "tanh_shrink", "threshold",
]  # fmt: skip

nn_op = functools.partial(op, module="ops.nn")
nn_composite = functools.partial(composite, module="ops.nn")


# ---- what kernels share
def buffer(y):
    """The array ``y`` as ``out=`` of a kernel's next pass; None for NumPy's scalars (rank 0), which can't be written into."""
    return y if hasattr(y, "__setitem__") else None


def in_cache(xp, x, axes=(), arrays=1):
    """Parts of ``x`` for a kernel that makes several passes over each of so many arrays, cut along the first axis unless that is
    one of ``axes``."""
    nbytes = arrays * x.size * x.dtype.itemsize
    if x.ndim == 0 or nbytes <= xp.block or 0 in axes:
        return (...,)
    return xp.parts(x.shape[0], nbytes // x.shape[0])


def _exp_of_minus_absolute(xp, x):
    """``exp(-|x|)``: at most 1, so it never overflows."""
    y = xp.absolute(x)
    y *= -1
    return xp.exp(y, out=buffer(y))


@nn_op(first, [lambda g, y, g1, x, low, high: _gate(g, x, low, high), None])
def _gate(xp, g, x, low=0.0, high=math.inf, out=None):
    """``g`` where ``low < x < high``, else 0. A product with a mask: NumPy's ``where`` is ten times slower."""
    y = xp.empty(g.shape, g.dtype) if out is None else out
    for part in in_cache(xp, g, arrays=3):
        mask, share = x[part] > low, y[part]
        if high != math.inf:
            mask &= x[part] < high
        share[...] = mask
        share *= g[part]
    return y


# ---- pieces of straight lines
@nn_op(same, [lambda g, y, x: _gate(g, y)])
def relu(xp, x, out=None):
    """``max(x, 0)`` (``keras.ops.relu``).

    >>> relu([-1.0, 0.0, 2.0]).tolist()
    [0.0, 0.0, 2.0]
    """
    return xp.maximum(x, 0, out=out)


@nn_op(same, [lambda g, y, x: _gate(g, y, 0.0, 6.0)], floating)
def relu6(xp, x, out=None):
    """``min(max(x, 0), 6)`` (``keras.ops.relu6``).

    >>> relu6([-1.0, 3.0, 8.0]).tolist()
    [0.0, 3.0, 6.0]
    """
    return xp.clip(x, 0, 6, out=out)


@nn_op(first, [lambda g, y, g1, x, slope: _leak(g, x, slope), None])
def _leak(xp, g, x, slope):
    """``g`` where ``x >= 0``, else ``slope * g``."""
    y = (x >= 0).astype(g.dtype)
    y *= 1 - slope
    y += slope
    y *= g
    return y


@nn_op(same, [lambda g, y, x, negative_slope: _leak(g, x, negative_slope)], floating)
def leaky_relu(xp, x, negative_slope=0.2, out=None):
    """``x`` from 0 upwards, ``negative_slope * x`` below (``keras.ops.leaky_relu``).

    >>> leaky_relu([-1.0, 2.0], negative_slope=0.5).tolist()
    [-0.5, 2.0]
    """
    y = xp.multiply(x, negative_slope, out=out)
    return xp.maximum(x, y, out=buffer(y)) if negative_slope <= 1 else xp.minimum(x, y, out=buffer(y))


@nn_op(same, [lambda g, y, x: _gate(g, x, -3.0, 3.0) * (1 / 6)], floating)
def hard_sigmoid(xp, x):
    """``relu6(x + 3) / 6``, a sigmoid of straight lines (``keras.ops.hard_sigmoid``).

    >>> hard_sigmoid([-3.0, 0.0, 3.0]).tolist()
    [0.0, 0.5, 1.0]
    """
    y = xp.clip(x + 3, 0, 6)
    y /= 6
    return y


@nn_composite
def hard_silu(x):
    """``x * hard_sigmoid(x)``, also known as hard swish (``keras.ops.hard_silu``).

    >>> hard_silu([0.0, 1.5, 3.0]).tolist()
    [0.0, 1.125, 3.0]
    """
    x = as_tensor(x)
    return x * hard_sigmoid(x)


hard_swish = hard_silu


@nn_op(same, [lambda g, y, x: choose(absolute(x) <= 1, g, 0.0)])
def hard_tanh(xp, x, out=None):
    """``x`` held between -1 and 1 (``keras.ops.hard_tanh``).

    >>> hard_tanh([-2.0, 0.5, 2.0]).tolist()
    [-1.0, 0.5, 1.0]
    """
    return xp.clip(x, -1, 1, out=out)


def _outside(g, y, x, threshold):
    return choose(absolute(x) > threshold, g, 0.0)


@nn_op(same, [_outside], floating)
def hard_shrink(xp, x, threshold=0.5):
    """``x`` where ``|x| > threshold``, else 0 (``keras.ops.hard_shrink``).

    >>> hard_shrink([-1.0, 0.2, 1.0]).tolist()
    [-1.0, 0.0, 1.0]
    """
    return x * (xp.absolute(x) > threshold)


@nn_op(same, [_outside], floating)
def soft_shrink(xp, x, threshold=0.5):
    """``x`` moved towards 0 by ``threshold``, and 0 where it is nearer than that (``keras.ops.soft_shrink``).

    >>> soft_shrink([-1.0, 0.2, 1.0]).tolist()
    [-0.5, 0.0, 0.5]
    """
    return x - xp.clip(x, -threshold, threshold)


@nn_op(same, [lambda g, y, x, threshold, default_value: choose(x > threshold, g, 0.0)], floating)
def threshold(xp, x, threshold, default_value):
    """``x`` where it is above ``threshold``, else ``default_value`` (``keras.ops.threshold``).

    >>> threshold([-1.0, 2.0], 1.0, 0.0).tolist()
    [0.0, 2.0]
    """
    return xp.where(x > threshold, x, xp.scalar(default_value, x.dtype))


@nn_op(same, [lambda g, y, x: _gate(g, x, -1.0, 1.0) * 0.5], floating)
def sparse_sigmoid(xp, x):
    """``(x + 1) / 2`` held between 0 and 1 (``keras.ops.sparse_sigmoid``).

    >>> sparse_sigmoid([-2.0, 0.0, 2.0]).tolist()
    [0.0, 0.5, 1.0]
    """
    y = xp.clip(x + 1, 0, 2)
    y *= 0.5
    return y


@nn_op(same, [lambda g, y, x: g * sparse_sigmoid(x)], floating)
def sparse_plus(xp, x):
    """0 below -1, ``x`` above 1, and ``(x + 1)**2 / 4`` between (``keras.ops.sparse_plus``).

    >>> sparse_plus([-2.0, 0.0, 2.0]).tolist()
    [0.0, 0.25, 2.0]
    """
    y = xp.clip(x + 1, 0, 2)
    y *= 0.25 * y
    y += xp.maximum(x - 1, 0)
    return y


# ---- sigmoid and its relatives
_LARGEST_EXPONENT = {"float16": 11.0, "float64": 709.0}


@nn_op(same, [lambda g, y, x: g * y * (1.0 - y)], floating)
def sigmoid(xp, x, out=None):
    """``1 / (1 + exp(-x))`` (``keras.ops.sigmoid``).

    >>> float(sigmoid(0.0))
    0.5
    """
    y = xp.maximum(x, -_LARGEST_EXPONENT.get(name_of(x.dtype), 88.0), out=out)  # beyond, exp would overflow
    y *= -1
    y = xp.exp(y, out=buffer(y))
    y += 1
    return xp.reciprocal(y, out=buffer(y))


@nn_op(same, [lambda g, y, x: g * sigmoid(x)], floating)
def softplus(xp, x):
    """``log(1 + exp(x))``, a smooth ``relu`` (``keras.ops.softplus``).

    >>> round(float(softplus(0.0)), 4)
    0.6931
    """
    y = _exp_of_minus_absolute(xp, x)
    y = xp.log1p(y, out=buffer(y))
    y += xp.maximum(x, 0)
    return y


@nn_op(same, [lambda g, y, x: g * sigmoid(-x)], floating)
def log_sigmoid(xp, x):
    """``log(sigmoid(x))``, exact also where the sigmoid is tiny (``keras.ops.log_sigmoid``).

    >>> round(float(log_sigmoid(-100.0)), 4)
    -100.0
    """
    y = _exp_of_minus_absolute(xp, x)
    y = xp.log1p(y, out=buffer(y))
    return xp.subtract(xp.minimum(x, 0), y, out=buffer(y))


def _silu_gradient(g, y, x):
    s = sigmoid(x)
    return g * (s + y * (1.0 - s))


@nn_op(same, [_silu_gradient], floating)
def silu(xp, x):
    """``x * sigmoid(x)``, also known as swish (``keras.ops.silu``).

    >>> round(float(silu(1.0)), 4)
    0.7311
    """
    y = sigmoid.kernel(xp, x)
    y *= x
    return y


swish = silu


@nn_composite
def glu(x, axis=-1):
    """The first half along ``axis`` times the sigmoid of the second; ValueError for an odd size (``keras.ops.glu``).

    >>> glu([4.0, 0.0]).tolist()
    [2.0]
    """
    x = as_tensor(x)
    size = x.shape[normalize_axis(axis, x.ndim)]
    if size is not None and size % 2:
        raise ValueError(f"glu needs an even size along axis={axis}. Received: x.shape={x.shape}")
    a, b = split(x, 2, axis)
    return a * sigmoid(b)


# ---- gelu
@nn_op(same, [lambda g, y, x: g * exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))], floating)
def _normal_cdf(xp, x):
    """How likely a number from the standard normal distribution is at most ``x``."""
    y = xp.erf(x * math.sqrt(0.5))
    y += 1
    y *= 0.5
    return y


_SLOPE, _CUBIC = math.sqrt(8 / math.pi), math.sqrt(8 / math.pi) * 0.044715


def _gelu_tanh_gradient(g, y, x):
    s = sigmoid(x * (_SLOPE + _CUBIC * x * x))
    return g * (s + y * (1.0 - s) * (_SLOPE + 3 * _CUBIC * x * x))


@nn_op(same, [_gelu_tanh_gradient], floating)
def _gelu_tanh(xp, x):
    """``x * (1 + tanh(u)) / 2``, where that last factor is ``sigmoid(2 * u)``."""
    y = x * x
    y *= _CUBIC
    y += _SLOPE
    y *= x
    y = sigmoid.kernel(xp, y, out=buffer(y))
    y *= x
    return y


@nn_composite
def gelu(x, approximate=True):
    """``x`` times the normal distribution's cumulative probability at ``x``; approximate: by a tanh (``keras.ops.gelu``).

    >>> round(float(gelu(1.0)), 4), round(float(gelu(1.0, approximate=False)), 4)
    (0.8412, 0.8413)
    """
    if approximate:
        return _gelu_tanh(x)
    x = as_tensor(x)
    return x * _normal_cdf(x)


# ---- exponential below 0
@nn_op(same, [lambda g, y, x, alpha: g * choose(x > 0, 1.0, y + alpha)], floating)
def elu(xp, x, alpha=1.0):
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below (``keras.ops.elu``).

    >>> [round(v, 4) for v in elu([-1.0, 2.0]).tolist()]
    [-0.6321, 2.0]
    """
    y = xp.minimum(x, 0)
    y = xp.expm1(y, out=buffer(y))
    y *= alpha
    y += xp.maximum(x, 0)
    return y


@nn_op(same, [lambda g, y, x, alpha: g * (minimum(y, 0.0) * (1.0 / alpha) + 1.0)], floating)
def celu(xp, x, alpha=1.0):
    """``x`` above 0, ``alpha * (exp(x / alpha) - 1)`` below: smooth at 0 (``keras.ops.celu``).

    >>> [round(v, 4) for v in celu([-1.0, 2.0], alpha=2.0).tolist()]
    [-0.7869, 2.0]
    """
    y = xp.minimum(x, 0)
    y /= alpha
    y = xp.expm1(y, out=buffer(y))
    y *= alpha
    y += xp.maximum(x, 0)
    return y


# Klambauer et al. 2017: with these a layer keeps mean 0 and variance 1
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


@nn_composite
def selu(x):
    """``elu`` scaled so that activations keep mean 0 and variance 1 (``keras.ops.selu``).

    >>> [round(v, 4) for v in selu([-1.0, 1.0]).tolist()]
    [-1.1113, 1.0507]
    """
    return elu(x, _SELU_ALPHA) * _SELU_SCALE


# ---- quotients and roots
@nn_op(same, [lambda g, y, x: g / square(absolute(x) + 1.0)], floating)
def softsign(xp, x):
    """``x / (1 + |x|)`` (``keras.ops.softsign``).

    >>> softsign([-1.0, 3.0]).tolist()
    [-0.5, 0.75]
    """
    y = xp.absolute(x)
    y += 1
    return xp.divide(x, y, out=buffer(y))


@nn_op(same, [lambda g, y, x, b: g * y / (2.0 * y - x)], floating)
def squareplus(xp, x, b=4):
    """``(x + sqrt(x**2 + b)) / 2``, a smooth ``relu`` without exponentials (``keras.ops.squareplus``).

    >>> squareplus([0.0]).tolist()
    [1.0]
    """
    y = x * x
    y += b
    y = xp.sqrt(y, out=buffer(y))
    y += x
    y *= 0.5
    return y


@nn_composite
def tanh_shrink(x):
    """``x - tanh(x)`` (``keras.ops.tanh_shrink``).

    >>> round(float(tanh_shrink(1.0)), 4)
    0.2384
    """
    x = as_tensor(x)
    return x - tanh(x)


# ---- along an axis
def _same_with_axis(shape, axis):
    normalize_axes(axis, len(shape))
    return shape


def _axis(axis):
    return tuple(axis) if isinstance(axis, list) else axis


def _softmax_gradient(g, y, x, axis):
    gy = g * y
    return gy - y * sum(gy, axis, keepdims=True)


@nn_op(_same_with_axis, [_softmax_gradient], floating, class_name="Softmax")
def plain_softmax(xp, x, axis=-1, out=None):
    """``softmax`` without its warning."""
    axes = normalize_axes(axis, x.ndim)
    y = xp.empty(x.shape, x.dtype) if out is None else out
    for part in in_cache(xp, x, axes, arrays=2):
        share = y[part]
        xp.subtract(x[part], x[part].max(axis=axes, keepdims=True), out=share)
        xp.exp(share, out=share)
        share /= xp.sum(share, axis=axes, keepdims=True)
    return y


def softmax(x, axis=-1):
    """``exp(x)`` divided by its sum along an axis, several or all (None) (``keras.ops.softmax``).

    Warns where that axis has size 1, since the result is then always 1.

    >>> softmax([0.0, 0.0]).tolist()
    [0.5, 0.5]
    """
    x = as_tensor(x)
    if isinstance(axis, int) and -x.ndim <= axis < x.ndim and x.shape[axis] == 1:
        warnings.warn(
            f"softmax over axis {axis} of a tensor of shape {x.shape} gives only ones, because that axis has size 1. "
            "Did you mean sigmoid?",
            stacklevel=2,
        )
    return plain_softmax(x, axis)


@nn_op(_same_with_axis, [lambda g, y, x, axis: g - exp(y) * sum(g, axis, keepdims=True)], floating)
def log_softmax(xp, x, axis=-1, out=None):
    """``log(softmax(x))``, exact also where the softmax is tiny (``keras.ops.log_softmax``).

    >>> [round(v, 4) for v in log_softmax([0.0, 0.0]).tolist()]
    [-0.6931, -0.6931]
    """
    axis = _axis(axis)
    y = xp.subtract(x, x.max(axis=axis, keepdims=True), out=out)
    y -= xp.log(xp.exp(y).sum(axis=axis, keepdims=True))
    return y


def _sparsemax_weights(xp, x, axis):
    """What each element adds to the threshold of :func:`sparsemax` (the threshold's gradient), and what is taken off it."""
    order = xp.argsort(-x, axis=axis)
    largest_first = xp.take_along_axis(x, order, axis=axis)
    place = xp.arange(x.shape[axis]).reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])
    supports = largest_first * (place + 1) > xp.cumsum(largest_first, axis=axis) - 1
    k = supports.sum(axis=axis, keepdims=True)
    counts = xp.take_along_axis(place < k, xp.argsort(order, axis=axis), axis=axis)
    return (counts / k).astype(x.dtype), (1 / k).astype(x.dtype)


@nn_op(same, [None])
def _sparsemax_slope(xp, x, axis):
    return _sparsemax_weights(xp, x, axis)[0]


def _sparsemax_gradient(g, y, x, axis):
    inside = g * (y > 0)
    return inside - _sparsemax_slope(x, axis) * sum(inside, axis, keepdims=True)


@nn_op(_same_with_axis, [_sparsemax_gradient], floating)
def sparsemax(xp, x, axis=-1):
    """``max(x - threshold, 0)``, a softmax with exact zeros (``keras.ops.sparsemax``; Martins and Astudillo 2016).

    Sums to 1, as in the paper; Keras 3.15 takes too much off where more than one element is left.

    >>> sparsemax([2.0, 0.0, 0.0]).tolist()
    [1.0, 0.0, 0.0]
    """
    weights, excess = _sparsemax_weights(xp, x, axis)
    threshold = (weights * x).sum(axis=axis, keepdims=True) - excess
    return xp.maximum(x - threshold, 0)
