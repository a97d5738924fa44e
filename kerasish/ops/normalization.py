"""Means and variances, and the normalizations that are made of them."""

import math
import warnings

from kerasish.backend.autodiff.dtypes import floating, name_of, result_type
from kerasish.backend.autodiff.op import as_tensor, cast
from kerasish.backend.autodiff.shapes import broadcast, normalize_axes, reduced
from kerasish.config import epsilon as default_epsilon
from kerasish.ops.activation import nn_composite, nn_op
from kerasish.ops.elementwise import maximum, rsqrt, square
from kerasish.ops.products import norm
from kerasish.ops.reduction import mean, sum, var
from kerasish.ops.shaping import expand_dims, reshape

__all__ = ["batch_normalization", "layer_normalization", "moments", "normalize", "rms_normalization"]


# ---- statistics, quickly
def _mean(xp, x, axes):
    """Mean over the axes, which stay with size 1."""
    return xp.sum(x, axis=axes, keepdims=True) / x.dtype.type(_count(x.shape, axes))


def _widened(xp, rows, *vectors):
    """The rows of a matrix joined to fewer, longer ones, and vectors repeated as often: passes over many short rows are slow."""
    n, size = rows.shape
    together = math.gcd(n, 1 << max(1024 // max(size, 1), 1).bit_length() - 1)
    return rows.reshape(n // together, -1), *[xp.tile(v.reshape(-1), together) for v in vectors]


def _mean_square(xp, x, axes, center=None):
    """Mean over the axes, which stay with size 1, of the squared distances from ``center``, or from 0."""
    shape, n = reduced(x.shape, axes, keepdims=True), _count(x.shape, axes)
    leading, trailing = (axes == tuple(range(x.ndim))[part] for part in (slice(len(axes)), slice(-len(axes), None)))
    if leading and x.size:  # of short rows: in parts that stay in the processor's cache
        rows, *center = _widened(xp, x.reshape(n, -1), *[] if center is None else [center])
        total = 0.0
        for part in xp.parts(rows.shape[0], rows.shape[1] * x.dtype.itemsize):
            distance = rows[part] - center[0] if center else rows[part]
            total = xp.einsum("ij,ij->j", distance, distance) + total
        total = total.reshape(-1, x.size // n).sum(axis=0)
    else:
        distance = x if center is None else x - center
        if trailing:
            distance = distance.reshape(math.prod(shape), n)
            total = xp.einsum("ij,ij->i", distance, distance)
        else:
            total = (distance * distance).sum(axis=axes)
    return (total / x.dtype.type(n)).reshape(shape)


def _count(shape, axes):
    return math.prod(shape[i] or 1 for i in axes)


# ---- moments
def _moments_gradient(g, y, x, axes, keepdims):
    """``(g_mean + 2 * (x - mean) * g_variance) / n``, as a multiple of ``x`` and a shift."""
    g_mean, g_variance = g if keepdims else (expand_dims(part, axes) for part in g)
    x_mean = y[0] if keepdims else expand_dims(y[0], axes)
    slope = g_variance * (2.0 / _count(x.shape, axes))
    return [_scale_and_shift(x, slope, g_mean * (1.0 / _count(x.shape, axes)) - x_mean * slope)]


def _two_floating(dtypes, attrs):
    casts, out = floating(dtypes, attrs)
    return casts, (out, out)


@nn_op(lambda x, axes, keepdims: [reduced(x, axes, keepdims)] * 2, _moments_gradient, _two_floating)
def _moments(xp, x, axes=None, keepdims=False):
    wide = x.astype(xp.float32) if name_of(x.dtype) in ("float16", "bfloat16") else x
    center = _mean(xp, wide, axes)
    results = center, _mean_square(xp, wide, axes, center)
    if wide is not x:  # what float32 can hold may be too large for half precision
        results = [xp.clip(part, -65504, 65504).astype(x.dtype) for part in results]
    return tuple(part if keepdims else part.reshape(reduced(x.shape, axes)) for part in results)


def _variance_in_ops(x, axis=None, keepdims=False):
    """Both moments, which a plan can compute in one pass."""
    return _moments(x, axes=normalize_axes(axis, x.ndim), keepdims=keepdims)[1] if x.dtype == "float32" and x.size else None


var.lowered = _variance_in_ops


@nn_composite(inputs=["x"])
def moments(x, axes, keepdims=False, synchronized=False):
    """Mean and variance over the axes; half precision is computed in single (``keras.ops.moments``).

    ``synchronized``: over all replicas; with one, as here, that is the same.

    >>> [part.tolist() for part in moments([[1.0, 2.0], [3.0, 6.0]], axes=[0])]
    [[2.0, 4.0], [1.0, 4.0]]
    """
    x = as_tensor(x)
    return tuple(_moments(x, axes=normalize_axes(axes, x.ndim), keepdims=keepdims))


# ---- scale and shift
@nn_op(broadcast, [lambda g, y, x, a, b: g * a, lambda g, y, x, a, b: g * x, lambda g, y, x, a, b: g], floating)
def _scale_and_shift(xp, x, a, b, out=None):
    """``x * a + b`` with one array for the result."""
    if x.size > 1 << 14 and x.flags.c_contiguous and all(v.shape[-1:] == x.shape[-1:] and v.size == x.shape[-1] for v in (a, b)):
        y = xp.empty(x.shape, x.dtype) if out is None else out
        rows, a, b = _widened(xp, x.reshape(-1, x.shape[-1]), a, b)
        target = y.reshape(rows.shape)
        for part in xp.parts(rows.shape[0], 2 * rows.shape[1] * x.dtype.itemsize):
            xp.multiply(rows[part], a, out=target[part])
            target[part] += b
        return y
    y = xp.multiply(x, a, out=out)
    if y.shape != xp.broadcast_shapes(y.shape, b.shape):
        return y + b
    y += b
    return y


def _check_vector(name, x, size):
    if len(x.shape) != 1 or (None not in (x.shape[0], size) and x.shape[0] != size):
        raise ValueError(f"`{name}` must be a vector of length {size}, that of `axis`, got shape {x.shape}.")


@nn_composite(class_name="BatchNorm", inputs=["x", "mean", "variance", "offset", "scale"])
def batch_normalization(x, mean, variance, axis, offset=None, scale=None, epsilon=0.001):
    """``(x - mean) / sqrt(variance + epsilon) * scale + offset``, all vectors along ``axis`` (``keras.ops.batch_normalization``).

    >>> batch_normalization([[1.0], [3.0]], mean=[2.0], variance=[1.0], axis=-1, epsilon=0.0).tolist()
    [[-1.0], [1.0]]
    """
    x = as_tensor(x)
    vectors = {"mean": mean, "variance": variance, "offset": offset, "scale": scale}
    vectors = {name: as_tensor(v) for name, v in vectors.items() if v is not None}
    (axis,) = normalize_axes(axis, x.ndim)
    for name, v in vectors.items():
        _check_vector(name, v, x.shape[axis])
    slope = rsqrt(vectors["variance"] + epsilon)
    if "scale" in vectors:
        slope = slope * vectors["scale"]
    shift = -vectors["mean"] * slope
    if "offset" in vectors:
        shift = shift + vectors["offset"]
    others = tuple(range(1, x.ndim - axis))
    return _scale_and_shift(x, expand_dims(slope, others), expand_dims(shift, others))


# ---- to length 1
def _standardize_gradient(g, y, x, axes, epsilon, center):
    (g, g_slope), (y, slope) = g, y
    along = mean(g * y, axes, keepdims=True) + g_slope * slope * (1.0 / _count(x.shape, axes))
    inner = g - y * along
    return [slope * (inner - mean(g, axes, keepdims=True) if center else inner)]


@nn_op(lambda x, axes, **attrs: [x, reduced(x, axes, keepdims=True)], _standardize_gradient, _two_floating)
def _standardize(xp, x, axes=None, epsilon=None, center=True):
    """``x`` (less its mean) divided by the root of its mean square plus epsilon, and that divisor's reciprocal."""
    y = x - _mean(xp, x, axes) if center else x
    slope = 1 / xp.sqrt(_mean_square(xp, y, axes) + epsilon)
    if center:
        y *= slope
        return y, slope
    return y * slope, slope


def _wide(x):
    """The input at single precision or more, for its statistics."""
    x = as_tensor(x)
    return cast(x, result_type(x.dtype, "float32"))


def _along(weights, x, axes):
    """Weights of the normalized axes, with axes of size 1 for the others."""
    weights = cast(as_tensor(weights), x.dtype)
    if weights.ndim == x.ndim or axes == (x.ndim - 1,):
        return weights
    sizes = iter(weights.shape)
    return reshape(weights, tuple(next(sizes) if i in axes else 1 for i in range(x.ndim)))


def layer_normalization(x, gamma=None, beta=None, axis=-1, epsilon=None, **kwargs):
    """``x`` with mean 0 and variance 1 along the axes, times ``gamma``, plus ``beta`` (``keras.ops.layer_normalization``).

    ``epsilon`` is added to the variance, ``keras.config.epsilon()`` by default. Half precision is computed in single.

    >>> [round(v, 3) for v in layer_normalization([1.0, 3.0]).tolist()]
    [-1.0, 1.0]
    """
    rms_scaling = kwargs.pop("rms_scaling", False)
    if kwargs:
        raise TypeError(f"layer_normalization() got unexpected keyword arguments: {sorted(kwargs)}")
    if rms_scaling:
        warnings.warn(
            "You passed `rms_scaling=True`, which is deprecated: it divides by the standard deviation, not the root mean square. "
            "Use `rms_normalization`.",
            stacklevel=2,
        )
    return _layer_normalization(x, gamma, beta, axis, epsilon, rms_scaling)


@nn_composite(class_name="LayerNorm", inputs=["x", "gamma", "beta"])
def _layer_normalization(x, gamma=None, beta=None, axis=-1, epsilon=None, rms_scaling=False):
    x, dtype = _wide(x), as_tensor(x).dtype
    axes = normalize_axes(axis, x.ndim)
    epsilon = default_epsilon() if epsilon is None else epsilon
    gamma = None if gamma is None else _along(gamma, x, axes)
    if rms_scaling:
        y = x * rsqrt(moments(x, axes, keepdims=True)[1] + epsilon)
        return cast(y if gamma is None else y * gamma, dtype)
    y, _ = _standardize(x, axes=axes, epsilon=epsilon)
    if gamma is not None and beta is not None:
        y = _scale_and_shift(y, gamma, _along(beta, x, axes))
    elif gamma is not None:
        y = y * gamma
    elif beta is not None:
        y = y + _along(beta, x, axes)
    return cast(y, dtype)


@nn_composite(class_name="RMSNorm", inputs=["x", "scale"])
def rms_normalization(x, scale=None, axis=-1, epsilon=None):
    """``x`` divided by its root mean square along the axes, times ``scale`` (``keras.ops.rms_normalization``).

    ``epsilon`` is added to the mean square, ``keras.config.epsilon()`` by default. Half precision is computed in single.

    >>> [round(v, 3) for v in rms_normalization([1.0, 7.0]).tolist()]
    [0.2, 1.4]
    """
    x, dtype = _wide(x), as_tensor(x).dtype
    if not x.shape:
        x = expand_dims(x, 0)
    epsilon = default_epsilon() if epsilon is None else epsilon
    y, _ = _standardize(x, axes=normalize_axes(axis, x.ndim), epsilon=epsilon, center=False)
    if scale is not None:
        y = y * cast(as_tensor(scale), x.dtype)
    return cast(y, dtype)


@nn_composite
def normalize(x, axis=-1, order=2, epsilon=None):
    """``x`` divided by its norm of the given order along ``axis``, or by ``epsilon`` if that is more (``keras.ops.normalize``).

    >>> [round(v, 4) for v in normalize([3.0, 4.0]).tolist()]
    [0.6, 0.8]
    """
    if not isinstance(order, int) or order < 1:
        raise ValueError(f"Argument `order` must be an int >= 1, got {order}")
    x = as_tensor(x)
    if not x.shape:
        x = expand_dims(x, 0)
    epsilon = default_epsilon() if epsilon is None else epsilon
    if order == 2:
        return x * rsqrt(maximum(sum(square(x), axis, keepdims=True), epsilon**2))
    return x / maximum(norm(x, ord=order, axis=axis, keepdims=True), epsilon)
