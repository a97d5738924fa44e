"""Cross-entropies, and the encodings of classes that they compare with.

From logits a cross-entropy is fused with its softmax or sigmoid: stable for any logits, and its gradient is one pass over them.
Probabilities are clipped to ``[epsilon, 1 - epsilon]`` (``keras.config.epsilon``), as in Keras.
"""

from kerasish.backend.autodiff.dtypes import floating, numpy_dtype, standardize_dtype
from kerasish.backend.autodiff.op import as_tensor
from kerasish.backend.autodiff.shapes import broadcast, normalize_axis
from kerasish.config import epsilon
from kerasish.ops.activation import log_softmax, nn_composite, nn_op, plain_softmax, sigmoid
from kerasish.ops.elementwise import clip, log
from kerasish.ops.reduction import max, sum
from kerasish.ops.shaping import expand_dims, squeeze

__all__ = ["binary_crossentropy", "categorical_crossentropy", "multi_hot", "one_hot", "sparse_categorical_crossentropy"]


# ---- classes as vectors
def _encoded(shape, num_classes, axis, dtype, sparse):
    if axis != -1 and not 0 <= axis <= len(shape):
        raise ValueError(f"axis must be -1 or between 0 and {len(shape)}. Received: axis={axis}")
    axis = len(shape) if axis == -1 else axis
    return (*shape[:axis], num_classes, *shape[axis:])


@nn_op(_encoded, [None], lambda dtypes, attrs: ((None,), attrs["dtype"]), class_name="OneHot")
def _one_hot(xp, x, num_classes, axis=-1, dtype=None, sparse=False):
    if sparse:
        raise ValueError("`sparse=True` is not supported: tensors here are dense.")
    shape = _encoded(x.shape, num_classes, axis, dtype, sparse)
    axis = x.ndim if axis == -1 else axis
    classes = xp.arange(num_classes).reshape(-1, *(1,) * (len(shape) - 1 - axis))
    return (xp.expand_dims(x, axis) == classes).astype(numpy_dtype(dtype))


def one_hot(x, num_classes, axis=-1, dtype=None, sparse=False):
    """Each integer as a vector along a new axis, 1 at that place and 0 elsewhere; all 0 if out of range (``keras.ops.one_hot``).

    ``dtype``: ``floatx`` by default. ``sparse=True`` raises ValueError: tensors here are dense.

    >>> one_hot([0, 2], 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if axis < -1:
        axis += 1 + (x.ndim if hasattr(x, "ndim") else as_tensor(x).ndim)
    return _one_hot(x, num_classes, axis, standardize_dtype(dtype), sparse)


def multi_hot(inputs, num_classes=None, axis=-1, dtype=None, sparse=False, **kwargs):
    """Rows of integers as one vector each, with 1 at every place that the row names (``keras.ops.multi_hot``).

    >>> multi_hot([[0, 2], [1, 1]], 3).tolist()
    [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """
    num_classes = kwargs.pop("num_tokens", None) if num_classes is None else num_classes
    if kwargs:
        raise TypeError(f"multi_hot() got unexpected keyword arguments: {sorted(kwargs)}")
    if num_classes is None:
        raise ValueError("Argument `num_classes` must be specified.")
    return _multi_hot(inputs, num_classes, axis, standardize_dtype(dtype), sparse)


@nn_composite(class_name="MultiHot")
def _multi_hot(inputs, num_classes=None, axis=-1, dtype=None, sparse=False):
    inputs = as_tensor(inputs)
    return max(one_hot(inputs, num_classes, axis, dtype, sparse), axis=1 if inputs.ndim > 1 else 0)


# ---- against a distribution over classes
def compatible(shape, other):
    return len(shape) == len(other) and all(m is None or n is None or m == n for m, n in zip(shape, other, strict=True))


def _check_shapes(target, output):
    if not compatible(target.shape, output.shape):
        raise ValueError(f"`target` and `output` must have the same shape, got {target.shape} and {output.shape}")


def _without(shape, axis):
    axis = normalize_axis(axis, len(shape))
    return shape[:axis] + shape[axis + 1 :]


def _softmax_crossentropy_target(g, y, target, logits, axis):
    return expand_dims(-g, axis) * log_softmax(logits, axis)


@nn_op(
    lambda target, logits, axis: _without(logits, axis),
    [
        _softmax_crossentropy_target,
        lambda g, y, target, logits, axis: _softmax_crossentropy_logits(expand_dims(g, axis), target, logits, axis),
    ],
    floating,
)
def _softmax_crossentropy(xp, target, logits, axis):
    """``-sum(target * log_softmax(logits))`` along the axis."""
    log_probabilities = log_softmax.kernel(xp, logits, axis)
    log_probabilities *= target
    return -log_probabilities.sum(axis=axis)


def _second_by_target(h, y, g, target, logits, axis):
    return g * (sum(h * plain_softmax(logits, axis), axis, keepdims=True) - h)


def _second_by_logits(h, y, g, target, logits, axis):
    p = plain_softmax(logits, axis)
    hp = h * p
    return g * sum(target, axis, keepdims=True) * (hp - p * sum(hp, axis, keepdims=True))


@nn_op(
    lambda g, target, logits, axis: logits,
    [
        lambda h, y, g, target, logits, axis: h * (plain_softmax(logits, axis) * sum(target, axis, keepdims=True) - target),
        _second_by_target,
        _second_by_logits,
    ],
    floating,
)
def _softmax_crossentropy_logits(xp, g, target, logits, axis):
    """Gradient of ``_softmax_crossentropy`` by the logits: ``softmax(logits) * sum(target) - target``, times ``g``."""
    y = plain_softmax.kernel(xp, logits, axis)
    y *= target.sum(axis=axis, keepdims=True)
    y -= target
    y *= g
    return y


@nn_composite
def categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """Cross-entropy of distributions over classes along ``axis`` (``keras.ops.categorical_crossentropy``).

    ``output``: probabilities (made to sum to 1), or logits. Raises ValueError where the shapes differ.

    >>> round(float(categorical_crossentropy([0.0, 1.0], [0.5, 0.5])), 4)
    0.6931
    """
    target, output = as_tensor(target), as_tensor(output)
    _check_shapes(target, output)
    if not target.shape:
        raise ValueError(f"`target` and `output` need rank 1 or more, got shape {target.shape}")
    if from_logits:
        return _softmax_crossentropy(target, output, axis)
    output = output / sum(output, axis, keepdims=True)
    return -sum(target * log(clip(output, epsilon(), 1.0 - epsilon())), axis)


# ---- against the number of the right class
def _at_classes(xp, index, x, axis):
    """``x`` with the classes' axis last, the place of each right class in it, and a mask: whether there is such a class."""
    x = xp.moveaxis(x, axis, -1)
    valid = (index >= 0) & (index < x.shape[-1])
    return x, xp.expand_dims(index * valid, -1), valid


def _index_dtypes(dtypes, attrs):
    (common,), _ = floating(dtypes[1:], attrs)
    return ("int32", common), common


@nn_op(
    lambda index, x, axis: _without(x, axis),
    [None, lambda g, y, index, x, axis: _put_at(index, g, x.shape[axis], axis)],
    _index_dtypes,
)
def _pick_at(xp, index, x, axis):
    """The element of ``x`` at each index along the axis, 0 for an index out of range."""
    x, places, valid = _at_classes(xp, index, x, axis)
    return xp.take_along_axis(x, places, axis=-1)[..., 0] * valid


@nn_op(lambda index, x, axis: index, [None, None], _index_dtypes)
def _in_range(xp, index, x, axis):
    """1 where the index is one of a class of ``x``, else 0."""
    return ((index >= 0) & (index < x.shape[axis])).astype(x.dtype)


def _put_shape(index, values, size, axis):
    axis = axis % (len(values) + 1)
    return (*values[:axis], size, *values[axis:])


@nn_op(_put_shape, [None, lambda g, y, index, values, size, axis: _pick_at(index, g, axis)], _index_dtypes)
def _put_at(xp, index, values, size, axis):
    """Zeros with each value at its index along a new axis: the transpose of ``_pick_at``."""
    y = xp.expand_dims(index, axis) == xp.arange(size).reshape(-1, *(1,) * (values.ndim - axis % (values.ndim + 1)))
    return y * xp.expand_dims(values, axis)


@nn_op(
    lambda index, logits, axis: _without(logits, axis),
    [None, lambda g, y, index, logits, axis: _sparse_softmax_crossentropy_logits(index, g, logits, axis)],
    _index_dtypes,
)
def _sparse_softmax_crossentropy(xp, index, logits, axis):
    """``-log_softmax(logits)`` at each index, 0 for an index out of range."""
    x, places, valid = _at_classes(xp, index, logits, axis)
    x = x - x.max(axis=-1, keepdims=True)
    right = xp.take_along_axis(x, places, axis=-1)[..., 0]
    return (xp.log(xp.exp(x).sum(axis=-1)) - right) * valid


def _sparse_by_gradient(h, y, index, g, logits, axis):
    return _in_range(index, h, axis) * sum(h * plain_softmax(logits, axis), axis) - _pick_at(index, h, axis)


def _sparse_by_logits(h, y, index, g, logits, axis):
    p = plain_softmax(logits, axis)
    hp = h * p
    return expand_dims(g * _in_range(index, logits, axis), axis) * (hp - p * sum(hp, axis, keepdims=True))


def _sparse_gradient_dtypes(dtypes, attrs):
    casts, common = floating(dtypes[1:], attrs)
    return ("int32", *casts), common


@nn_op(lambda index, g, logits, axis: logits, [None, _sparse_by_gradient, _sparse_by_logits], _sparse_gradient_dtypes)
def _sparse_softmax_crossentropy_logits(xp, index, g, logits, axis):
    """Gradient of ``_sparse_softmax_crossentropy`` by the logits: the softmax, less 1 at the index, times ``g``."""
    y, places, valid = _at_classes(xp, index, plain_softmax.kernel(xp, logits, axis), axis)
    y = xp.ascontiguousarray(y)
    rows = y.reshape(-1, y.shape[-1])
    rows[xp.arange(rows.shape[0]), places.reshape(-1)] -= 1
    y *= xp.expand_dims(g * valid, -1)
    return xp.moveaxis(y, -1, axis)


@nn_composite
def sparse_categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """Cross-entropy of the right classes' numbers (``keras.ops.sparse_categorical_crossentropy``).

    ``target``: integers in the shape of ``output`` without ``axis`` (or with a last axis of size 1); numbers out of range
    count 0. ``output``: probabilities (made to sum to 1), or logits.

    >>> round(float(sparse_categorical_crossentropy(1, [0.5, 0.5])), 4)
    0.6931
    """
    target, output = as_tensor(target), as_tensor(output)
    if not output.shape:
        raise ValueError(f"`output` needs rank 1 or more, got shape {output.shape}")
    if target.ndim == output.ndim and target.shape[-1] == 1:
        target = squeeze(target, -1)
    if not compatible(target.shape, _without(output.shape, axis)):
        raise ValueError(
            f"`target` must have the shape of `output` without axis {axis}. "
            f"Received: target.shape={target.shape}, output.shape={output.shape}"
        )
    if from_logits:
        return _sparse_softmax_crossentropy(target, output, axis)
    right = _pick_at(target, output, axis) / sum(output, axis)
    return -log(clip(right, epsilon(), 1.0 - epsilon())) * _in_range(target, output, axis)


# ---- against yes and no
@nn_op(
    broadcast,
    [lambda g, y, target, logits: -g * logits, lambda g, y, target, logits: g * (sigmoid(logits) - target)],
    floating,
)
def _sigmoid_crossentropy(xp, target, logits):
    """Binary cross-entropy of ``sigmoid(logits)``: ``max(x, 0) - x * target + log(1 + exp(-|x|))``."""
    y = xp.absolute(logits)
    y *= -1
    y = xp.exp(y)
    y = xp.log1p(y)
    y += xp.maximum(logits, 0) - logits * target
    return y


@nn_composite
def binary_crossentropy(target, output, from_logits=False):
    """Cross-entropy of yes or no, element by element (``keras.ops.binary_crossentropy``).

    ``output``: the probabilities of yes, or logits. Raises ValueError where the shapes differ.

    >>> round(float(binary_crossentropy(1.0, 0.5)), 4)
    0.6931
    """
    target, output = as_tensor(target), as_tensor(output)
    _check_shapes(target, output)
    if from_logits:
        return _sigmoid_crossentropy(target, output)
    output = clip(output, epsilon(), 1.0 - epsilon())
    return -(target * log(output) + (1.0 - target) * log(1.0 - output))
