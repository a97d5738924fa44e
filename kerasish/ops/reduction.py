"""Ops that gather many elements into few: sums, means, extremes, cumulative sums, quantiles, and their variants without NaN."""

import builtins
import math

import numpy as np

from kerasish.backend.autodiff.dtypes import (
    accumulate,
    differentiable,
    floating,
    keep,
    name_of,
    numeric,
    numpy_dtype,
    result_type,
    standardize_dtype,
    to,
)
from kerasish.backend.autodiff.op import as_tensor, composite, op
from kerasish.backend.autodiff.shapes import normalize_axes, normalize_axis, reduced, size
from kerasish.ops.creation import zeros_like
from kerasish.ops.elementwise import (
    cast,
    choose,
    equal,
    exp,
    floor,
    isclose,
    isfinite,
    isnan,
    logical_not,
    maximum,
    minimum,
    not_equal,
    sqrt,
)
from kerasish.ops.shaping import concatenate, expand_dims, moveaxis, reshape, roll


# ---- what kernels and gradient rules share
def _axes(axis):
    """An axis as NumPy takes it: a list becomes a tuple."""
    return tuple(axis) if isinstance(axis, list) else axis


def _wide(x):
    """The dtype in which to add up: half precision would lose too much, and overflow."""
    return numpy_dtype("float32") if name_of(x.dtype) in ("float16", "bfloat16") else x.dtype


def _count(shape, axis):
    """How many elements go into one; 1 where that is not known, since then only shapes are wanted."""
    return size([shape[i] for i in normalize_axes(axis, len(shape))]) or 1


def _sum(xp, x, axis, keepdims=False):
    return xp.sum(x, axis=(axis,) if type(axis) is int else _axes(axis), dtype=_wide(x), keepdims=keepdims)


@op(lambda x, shape, axis, keepdims: tuple(shape), [lambda g, y, x, shape, axis, keepdims: sum(g, axis, keepdims)], views=True)
def spread(xp, x, shape, axis=None, keepdims=False):
    """A reduction's result repeated over the axes that it went over: back to ``shape``."""
    if not keepdims:
        x = x.reshape(reduced(shape, axis, keepdims=True))
    return xp.broadcast_to(x, shape)


# ---- sums and means
@op(reduced, [lambda g, y, x, axis, keepdims: spread(g, x.shape, axis, keepdims)], accumulate)
def sum(xp, x, axis=None, keepdims=False):
    """Sum over an axis, several or all; small integers and booleans are added as 32-bit integers (``keras.ops.sum``).

    >>> sum([[1, 2], [3, 4]], axis=0).tolist()
    [4, 6]
    """
    return _sum(xp, x, axis, keepdims).astype(x.dtype, copy=False)


@op(reduced, [lambda g, y, x, axis, keepdims: spread(g * (1.0 / _count(x.shape, axis)), x.shape, axis, keepdims)], floating)
def mean(xp, x, axis=None, keepdims=False):
    """Mean over an axis, several or all; integers become floats (``keras.ops.mean``).

    >>> mean([[1, 2], [3, 4]], axis=0).tolist()
    [2.0, 3.0]
    """
    y = _sum(xp, x, axis, keepdims)
    return (y / _number_of(x, y)).astype(x.dtype, copy=False)


def _number_of(x, y):
    """How many elements of ``x`` went into each of ``y``."""
    return x.size / y.size if y.size else math.nan


def _variance_gradient(g, y, x, axis, keepdims):
    x_mean = mean(x, axis, keepdims=True)
    return spread(g * (2.0 / _count(x.shape, axis)), x.shape, axis, keepdims) * (x - x_mean)


@op(reduced, [_variance_gradient], floating)
def var(xp, x, axis=None, keepdims=False):
    """Variance over an axis, several or all: mean of the squared distances from the mean (``keras.ops.var``).

    >>> float(var([1.0, 3.0]))
    1.0
    """
    total = _sum(xp, x, axis, keepdims=True)
    distance = x - total / _number_of(x, total)
    distance *= distance
    y = _sum(xp, distance, axis, keepdims)
    return (y / _number_of(x, y)).astype(x.dtype, copy=False)


@composite
def std(x, axis=None, keepdims=False):
    """Standard deviation over an axis, several or all; its gradient is NaN where all elements are equal (``keras.ops.std``).

    >>> float(std([1.0, 3.0]))
    1.0
    """
    return sqrt(var(x, axis, keepdims))


def _products_of_others(x, axis):
    """For each element the product of all others along an axis, with no division, so that zeros do no harm.

    ``window`` holds products of the next 1, 2, 4, ... elements in a circle; those that make up n - 1 are put together.
    """
    n = x.shape[axis]
    y, window, covered = None, roll(x, -1, axis), 0
    for bit in range((n - 1).bit_length()):
        if bit:
            window = window * roll(window, -(1 << (bit - 1)), axis)
        if (n - 1) >> bit & 1:
            part = roll(window, -covered, axis) if covered else window
            y = part if y is None else y * part
            covered += 1 << bit
    return y


_MANY, _ROWS = 1 << 14, 64  # how many elements are many, and in how many rows their product is found


def _product_gradient(g, y, x, axis, keepdims, dtype):
    shape = x.shape
    g = spread(g, shape, axis, keepdims)
    for a in normalize_axes(axis, len(shape)):
        if None not in x.shape and x.shape[a] > 1:
            g = g * _products_of_others(x, a)
        x = prod(x, a, keepdims=True)
    return g


@op(reduced, [_product_gradient], accumulate)
def prod(xp, x, axis=None, keepdims=False, dtype=None):
    """Product over an axis, several or all, in ``dtype`` if given (``keras.ops.prod``).

    >>> prod([[1, 2], [3, 4]], axis=0).tolist()
    [3, 8]
    """
    y = x
    if axis is None and x.size >= _MANY and x.size % _ROWS == 0:  # rows one onto the other are quicker than numbers one after the other
        y = x.reshape(_ROWS, -1).prod(axis=0, dtype=_wide(x)).reshape((*[1] * (x.ndim - 1), -1))
    return y.prod(axis=_axes(axis), dtype=_wide(x), keepdims=keepdims).astype(x.dtype, copy=False)


# ---- extremes
def _extreme_gradient(g, y, x, axis, keepdims, initial=None):
    """Equal extremes share the gradient; ``initial`` takes all of it, or half if equal."""
    best = spread(y, x.shape, axis, keepdims)
    mask = cast(equal(x, best), x.dtype)
    count = sum(mask, axis, keepdims=True)
    if initial is not None:
        held = cast(equal(y, initial), x.dtype)
        g, count = g * (1.0 - 0.5 * held), maximum(count, 1.0)
    return spread(g, x.shape, axis, keepdims) * (mask / count)


def _not_beyond(xp, choose, extreme, x, axis, keepdims, initial):
    """The extreme of the elements and of ``initial``, which an empty array needs."""
    if initial is None:
        return extreme(axis=_axes(axis), keepdims=keepdims)
    initial = x.dtype.type(initial)
    if x.size == 0:
        return xp.full(reduced(x.shape, axis, keepdims), initial, x.dtype)
    return choose(extreme(axis=_axes(axis), keepdims=keepdims), initial)


@op(reduced, [_extreme_gradient])
def max(xp, x, axis=None, keepdims=False, initial=None):
    """Greatest element over an axis, several or all, and not less than ``initial`` (``keras.ops.max``).

    >>> max([[1, 4], [3, 2]], axis=0).tolist()
    [3, 4]
    """
    return _not_beyond(xp, xp.maximum, x.max, x, axis, keepdims, initial)


@op(reduced, [_extreme_gradient])
def min(xp, x, axis=None, keepdims=False, initial=None):
    """Smallest element over an axis, several or all, and not more than ``initial`` (``keras.ops.min``).

    >>> min([[1, 4], [3, 2]], axis=0).tolist()
    [1, 2]
    """
    return _not_beyond(xp, xp.minimum, x.min, x, axis, keepdims, initial)


@composite
def amax(x, axis=None, keepdims=False):
    """The same as :func:`max` (``keras.ops.amax``).

    >>> int(amax([1, 4, 2]))
    4
    """
    return max(x, axis, keepdims)


@composite
def amin(x, axis=None, keepdims=False):
    """The same as :func:`min` (``keras.ops.amin``).

    >>> int(amin([3, 1, 2]))
    1
    """
    return min(x, axis, keepdims)


@op(reduced, [None], to("int32"))
def argmax(xp, x, axis=None, keepdims=False):
    """Index of the greatest element along an axis, or among all elements; the first of equal ones (``keras.ops.argmax``).

    >>> argmax([[1, 4], [3, 2]], axis=1).tolist()
    [1, 0]
    """
    return x.argmax(axis=axis, keepdims=keepdims).astype(xp.int32)


@op(reduced, [None], to("int32"))
def argmin(xp, x, axis=None, keepdims=False):
    """Index of the smallest element along an axis, or among all elements; the first of equal ones (``keras.ops.argmin``).

    >>> argmin([[1, 4], [3, 2]], axis=1).tolist()
    [0, 1]
    """
    return x.argmin(axis=axis, keepdims=keepdims).astype(xp.int32)


@op(reduced, [None], to("bool"))
def any(xp, x, axis=None, keepdims=False):
    """Whether any element is true, that is not 0 (``keras.ops.any``).

    >>> bool(any([False, True]))
    True
    """
    return xp.any(x, axis=_axes(axis), keepdims=keepdims)


@op(reduced, [None], to("bool"))
def all(xp, x, axis=None, keepdims=False):
    """Whether all elements are true, that is not 0 (``keras.ops.all``).

    >>> bool(all([False, True]))
    False
    """
    return xp.all(x, axis=_axes(axis), keepdims=keepdims)


@op(reduced, [None], to("int32"))
def count_nonzero(xp, x, axis=None):
    """Number of elements that are not 0 (``keras.ops.count_nonzero``).

    >>> int(count_nonzero([0, 1, 2]))
    2
    """
    return (x != 0).sum(axis=_axes(axis), dtype=xp.int32)


def _logsumexp_gradient(g, y, x, axis, keepdims):
    y = choose(isfinite(y), y, 0.0)
    return spread(g, x.shape, axis, keepdims) * exp(x - spread(y, x.shape, axis, keepdims))


@op(reduced, [_logsumexp_gradient], floating, module="ops.math")
def logsumexp(xp, x, axis=None, keepdims=False):
    """``log(sum(exp(x)))`` without overflow (``keras.ops.logsumexp``).

    >>> float(logsumexp([1000.0, -float("inf")]))
    1000.0
    """
    axis = _axes(axis)
    highest = x.max(axis=axis, keepdims=True)
    highest = xp.where(xp.isfinite(highest), highest, xp.zeros((), x.dtype))
    y = x - highest
    y = xp.exp(y, out=y if y.ndim else None)
    y = xp.log(_sum(xp, y, axis, keepdims)).astype(x.dtype, copy=False)
    return y + highest.reshape(y.shape)


# ---- cumulative sums and products
def _cumulative_dtype(dtypes, attrs):
    """As the attribute ``dtype`` says, else as the input; booleans as int32."""
    dtype = attrs["dtype"]
    return numeric(dtypes if dtype is None else [standardize_dtype(dtype)], attrs)


def _in_a_row(x, axis):
    """The tensor and the axis to go along: all elements in one row for None."""
    x = as_tensor(x)
    return (reshape(x, (-1,)), 0) if axis is None else (x, normalize_axis(axis, x.ndim))


def _same(x, *others, **attrs):
    return x


@op(_same, [lambda g, y, x, axis, reverse, dtype: _cumsum(g, axis=axis, reverse=not reverse)], _cumulative_dtype)
def _cumsum(xp, x, axis, reverse=False, dtype=None):
    if reverse:
        x = xp.flip(x, axis)
    y = x.cumsum(axis=axis, dtype=_wide(x)).astype(x.dtype, copy=False)
    return xp.flip(y, axis) if reverse else y


@composite
def cumsum(x, axis=None, dtype=None):
    """Sum of each element and those before it along an axis, or of all elements in a row (``keras.ops.cumsum``).

    >>> cumsum([1, 2, 3]).tolist()
    [1, 3, 6]
    """
    x, axis = _in_a_row(x, axis)
    return _cumsum(x, axis=axis, dtype=dtype)


@op(_same, [lambda g, y, x, axis, by, fill: _shift(g, axis=axis, by=-by)])
def _shift(xp, x, axis, by, fill=0.0):
    """Elements moved by one place along an axis; ``fill`` comes in at the end that falls free."""
    y, to_, from_ = xp.full_like(x, fill), [slice(None)] * x.ndim, [slice(None)] * x.ndim
    to_[axis], from_[axis] = (slice(1, None), slice(-1)) if by > 0 else (slice(-1), slice(1, None))
    y[tuple(to_)] = x[tuple(from_)]
    return y


def _recurrence_gradients(g, y, b, a, axis, reverse):
    back = -1 if reverse else 1
    r = _recurrence(g, _shift(a, axis=axis, by=-back), axis=axis, reverse=not reverse)
    return [r, r * _shift(y, axis=axis, by=back)]


@op(_same, _recurrence_gradients)
def _recurrence(xp, b, a, axis=0, reverse=False):
    """``y[k] = b[k] + a[k] * y[k - 1]`` along an axis (``y[k + 1]`` in reverse), for the gradient of a cumulative product."""
    y = xp.empty_like(b)
    y_rows, a_rows, b_rows = (xp.moveaxis(z, axis, 0) for z in (y, a, b))
    last = xp.zeros(y_rows.shape[1:], y.dtype)
    for k in range(len(y_rows))[:: -1 if reverse else 1]:
        last = y_rows[k] = b_rows[k] + a_rows[k] * last
    return y


def _cumprod_gradient(g, y, x, axis, dtype):
    """No division, so that zeros do no harm: products of those before, times sums over those after."""
    before = _shift(y, axis=axis, by=1, fill=1.0)
    return before * _recurrence(g, _shift(x, axis=axis, by=-1), axis=axis, reverse=True)


@op(_same, [_cumprod_gradient], _cumulative_dtype)
def _cumprod(xp, x, axis, dtype=None):
    return x.cumprod(axis=axis, dtype=_wide(x)).astype(x.dtype, copy=False)


@composite
def cumprod(x, axis=None, dtype=None):
    """Product of each element and those before it along an axis, or of all elements in a row (``keras.ops.cumprod``).

    >>> cumprod([1, 2, 3]).tolist()
    [1, 2, 6]
    """
    x, axis = _in_a_row(x, axis)
    return _cumprod(x, axis=axis, dtype=dtype)


# ---- made of the above
@composite
def ptp(x, axis=None, keepdims=False):
    """Greatest element less the smallest, over an axis, several or all (``keras.ops.ptp``).

    >>> int(ptp([3, 1, 6]))
    5
    """
    return max(x, axis, keepdims) - min(x, axis, keepdims)


@composite(class_name="AllClose")
def allclose(x1, x2, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Whether all elements are close as in ``isclose`` (``keras.ops.allclose``).

    >>> bool(allclose([1.0, 2.0], [1.0, 2.1]))
    False
    """
    return all(isclose(x1, x2, rtol, atol, equal_nan))


@composite(inputs=["x", "weights"])
def average(x, axis=None, weights=None):
    """Mean over an axis or all, each element counting as its weight says (``keras.ops.average``).

    ``weights``: of the shape of ``x``, or one for each place on ``axis``; ValueError for other shapes.

    >>> float(average([1.0, 4.0], weights=[2, 1]))
    2.0
    """
    x = as_tensor(x)
    if weights is None:
        return mean(x, axis)
    weights = as_tensor(weights)
    dtype = result_type(x.dtype, weights.dtype, float)
    x, weights = as_tensor(x, dtype), as_tensor(weights, dtype)
    if weights.ndim != x.ndim and axis is not None and weights.ndim == 1 and _may_equal(weights.shape[0], x.shape[axis]):
        rest = [i for i in range(x.ndim) if i != normalize_axis(axis, x.ndim)]
        weights = expand_dims(weights, rest)
    elif weights.ndim != x.ndim or not builtins.all(map(_may_equal, weights.shape, x.shape)):
        raise ValueError(
            "average: `weights` must have the shape of `x`, or be a vector with one weight for each place on `axis`. "
            f"Received: weights.shape={weights.shape}, x.shape={x.shape}, axis={axis}"
        )
    return sum(x * weights, axis) / sum(weights, axis if weights.ndim == x.ndim else None)


def _may_equal(m, n):
    return m is None or n is None or m == n


def _along(x, axis, part):
    """A part (a slice) of an axis."""
    return x[(*[slice(None)] * axis, part)]


def _differences_gradient(g, y, x, axis):
    none = zeros_like(_along(x, axis, slice(0, 1)))
    return concatenate([none, g], axis) - concatenate([g, none], axis)


def _one_fewer(shape, axis):
    n = shape[axis]
    return (*shape[:axis], n if not n else n - 1, *shape[axis + 1 :])


@op(_one_fewer, [_differences_gradient])
def _differences(xp, x, axis):
    return xp.subtract(_along(x, axis, slice(1, None)), _along(x, axis, slice(None, -1)))


@composite(inputs=["a"])
def diff(a, n=1, axis=-1):
    """Differences of neighbours along an axis, taken ``n`` times (``keras.ops.diff``).

    >>> diff([1, 4, 9]).tolist()
    [3, 5]
    """
    if n < 0:
        raise ValueError(f"Order `n` must be non-negative. Received n={n}")
    a = as_tensor(a)
    axis = normalize_axis(axis, a.ndim)
    for _ in range(n):
        if a.dtype == "bool":
            a = not_equal(_along(a, axis, slice(1, None)), _along(a, axis, slice(None, -1)))
        else:
            a = _differences(a, axis=axis)
    return a


@composite(inputs=["y"])
def trapezoid(y, x=None, dx=1.0, axis=-1):
    """Integral along an axis by the trapezoidal rule, at the points ``x`` or at points ``dx`` apart (``keras.ops.trapezoid``).

    ``x``: as many points as the axis is long, or a tensor of the shape of ``y``.

    >>> float(trapezoid([1.0, 2.0, 3.0]))
    4.0
    """
    y = as_tensor(y)
    axis = normalize_axis(axis, y.ndim)
    y = moveaxis(as_tensor(y, result_type(y.dtype, float)), axis, -1)
    if x is None and isinstance(dx, (int, float)) and y.shape[-1]:
        weights = np.full(y.shape[-1], dx)
        weights[[0, -1]] = dx / 2 if y.shape[-1] > 1 else 0
        return sum(y * as_tensor(weights, y.dtype), -1)
    if x is not None:
        x = as_tensor(x)
        dx = diff(x if x.ndim == 1 else moveaxis(x, axis, -1))
    return sum((y[..., 1:] + y[..., :-1]) * dx, -1) * 0.5


# ---- quantiles
_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


@op(_same, [None], to("int32"))
def _order(xp, x):
    """Places of the elements of the last axis from the smallest to the greatest; NaN comes last."""
    return xp.argsort(x, axis=-1).astype(xp.int32)


@op(lambda x, index: index, [lambda g, y, x, index: _give_back(g, index, n=x.shape[-1]), None], keep)
def _pick(xp, x, index):
    """Elements of the last axis, each row's own."""
    return xp.take_along_axis(x, index, axis=-1)


@op(lambda g, index, n: (*g[:-1], n), [lambda gg, y, g, index, n: _pick(gg, index), None], keep)
def _give_back(xp, g, index, n):
    """Zeros with ``g`` added where it was picked."""
    rows = g.size // g.shape[-1]
    y = xp.zeros(rows * n, g.dtype)
    index = index.reshape(rows, -1) + n * xp.arange(rows).reshape(rows, 1)
    return xp.scatter_add(y, index.reshape(-1), g.reshape(-1)).reshape(*g.shape[:-1], n)


def _quantile(x, q, axis, method, keepdims, ignore_nan):
    if method not in _METHODS:
        raise ValueError(f"`method` must be one of {_METHODS}. Received: method={method!r}")
    x, q = as_tensor(x), as_tensor(q)
    if q.ndim > 1:
        raise ValueError(f"`q` must be a number or a vector. Received: q.shape={q.shape}")
    x = as_tensor(x, result_type(x.dtype, float))
    shape, axes = x.shape, normalize_axes(axis, x.ndim)
    kept = tuple(n for i, n in enumerate(shape) if i not in axes)
    x = reshape(moveaxis(x, axes, range(-len(axes), 0)), (*kept, size([shape[a] for a in axes])))
    known = logical_not(isnan(x))
    last = maximum(sum(known, -1, keepdims=True) - 1, 0)
    place = last * as_tensor(reshape(q, (-1,)), result_type(x.dtype, "float32"))  # in half precision places would be rounded
    y = _between(x, _order(x), place, method)
    if not ignore_nan:
        y = choose(all(known, -1, keepdims=True), y, math.nan)
    return reshape(moveaxis(y, -1, 0), q.shape + (reduced(shape, axis, keepdims=True) if keepdims else kept))


def _between(x, order, place, method):
    """The values at places between the ranked elements."""
    below = floor(place)
    part = place - below
    if method == "nearest":
        below = choose(part > 0.5, below + 1.0, below)
    elif method == "higher":
        below = choose(part > 0.0, below + 1.0, below)
    low = _pick(x, _pick(order, cast(below, "int32")))
    if method not in ("linear", "midpoint"):
        return low
    above = minimum(below + 1.0, x.shape[-1] - 1.0) if x.shape[-1] else below
    above = choose(part > 0.0, above, below)
    high = _pick(x, _pick(order, cast(above, "int32")))
    part = as_tensor(part, x.dtype) if method == "linear" else 0.5
    return low * (1.0 - part) + high * part


@composite
def quantile(x, q, axis=None, method="linear", keepdims=False):
    """Values below which the parts ``q`` (0 to 1) of the elements lie, over an axis, several or all (``keras.ops.quantile``).

    ``q``: a number, or a vector, whose axis comes first in the result. ``method`` says what to take between two elements:
    "linear", "lower", "higher", "midpoint" or "nearest". NaN where an element is NaN.

    >>> quantile([1.0, 2.0, 4.0], [0.0, 0.5, 0.75]).tolist()
    [1.0, 2.0, 3.0]
    """
    return _quantile(x, q, axis, method, keepdims, ignore_nan=False)


@composite
def percentile(x, q, axis=None, method="linear", keepdims=False):
    """As :func:`quantile`, with ``q`` from 0 to 100 (``keras.ops.percentile``).

    >>> float(percentile([1.0, 2.0, 4.0], 75))
    3.0
    """
    return quantile(x, _hundredth(q), axis, method, keepdims)


def _hundredth(q):
    return as_tensor(q) / 100.0


@composite
def median(x, axis=None, keepdims=False):
    """The middle element, or the mean of the two in the middle, over an axis, several or all (``keras.ops.median``).

    >>> float(median([5.0, 1.0, 2.0]))
    2.0
    """
    return quantile(x, 0.5, axis, keepdims=keepdims)


# ---- as if NaN were not there
def _instead_of_nan(x, value):
    x = as_tensor(x)
    return choose(isnan(x), value, x) if differentiable(x.dtype) else x


def _count_known(x, axis, keepdims=False):
    return sum(cast(logical_not(isnan(x)), x.dtype), axis, keepdims)


@composite
def nansum(x, axis=None, keepdims=False):
    """As :func:`sum`, with 0 for NaN (``keras.ops.nansum``).

    >>> float(nansum([1.0, float("nan")]))
    1.0
    """
    return sum(_instead_of_nan(x, 0.0), axis, keepdims)


@composite
def nanprod(x, axis=None, keepdims=False):
    """As :func:`prod`, with 1 for NaN (``keras.ops.nanprod``).

    >>> float(nanprod([2.0, float("nan")]))
    2.0
    """
    return prod(_instead_of_nan(x, 1.0), axis, keepdims)


@composite
def nancumsum(x, axis=None, dtype=None):
    """As :func:`cumsum`, with 0 for NaN (``keras.ops.nancumsum``).

    >>> nancumsum([1.0, float("nan"), 2.0]).tolist()
    [1.0, 1.0, 3.0]
    """
    return cumsum(_instead_of_nan(x, 0.0), axis, dtype)


@composite
def nancumprod(x, axis=None, dtype=None):
    """As :func:`cumprod`, with 1 for NaN (``keras.ops.nancumprod``).

    >>> nancumprod([3.0, float("nan"), 2.0]).tolist()
    [3.0, 3.0, 6.0]
    """
    return cumprod(_instead_of_nan(x, 1.0), axis, dtype)


@composite
def nanmean(x, axis=None, keepdims=False):
    """Mean of the elements that are not NaN; NaN where there are none (``keras.ops.nanmean``).

    >>> float(nanmean([1.0, float("nan"), 3.0]))
    2.0
    """
    x = as_tensor(x)
    x = as_tensor(x, result_type(x.dtype, float))
    return nansum(x, axis, keepdims) / _count_known(x, axis, keepdims)


@composite
def nanvar(x, axis=None, keepdims=False):
    """Variance of the elements that are not NaN; NaN where there are none (``keras.ops.nanvar``).

    >>> float(nanvar([1.0, float("nan"), 3.0]))
    1.0
    """
    x = as_tensor(x)
    distance = _instead_of_nan(x - nanmean(x, axis, keepdims=True), 0.0)
    return sum(distance * distance, axis, keepdims) / _count_known(as_tensor(x, distance.dtype), axis, keepdims)


@composite
def nanstd(x, axis=None, keepdims=False):
    """Standard deviation of the elements that are not NaN; NaN where there are none (``keras.ops.nanstd``).

    >>> float(nanstd([1.0, float("nan"), 3.0]))
    1.0
    """
    return sqrt(nanvar(x, axis, keepdims))


def _nan_extreme(function, x, worst, axis, keepdims):
    x = as_tensor(x)
    if not differentiable(x.dtype):
        return function(x, axis, keepdims)
    return choose(all(isnan(x), axis, keepdims), math.nan, function(_instead_of_nan(x, worst), axis, keepdims))


@composite
def nanmax(x, axis=None, keepdims=False):
    """Greatest of the elements that are not NaN; NaN where there are none (``keras.ops.nanmax``).

    >>> float(nanmax([1.0, float("nan"), 3.0]))
    3.0
    """
    return _nan_extreme(max, x, -math.inf, axis, keepdims)


@composite
def nanmin(x, axis=None, keepdims=False):
    """Smallest of the elements that are not NaN; NaN where there are none (``keras.ops.nanmin``).

    >>> float(nanmin([1.0, float("nan"), 3.0]))
    1.0
    """
    return _nan_extreme(min, x, math.inf, axis, keepdims)


def _nan_place(function, x, worst, axis, keepdims):
    x = as_tensor(x)
    place = function(_instead_of_nan(x, worst), axis, keepdims)
    return choose(all(isnan(x), axis, keepdims), -1, place) if differentiable(x.dtype) else place


@composite
def nanargmax(x, axis=None, keepdims=False):
    """Index of the greatest of the elements that are not NaN; -1 where there are none (``keras.ops.nanargmax``).

    >>> int(nanargmax([1.0, float("nan"), 3.0]))
    2
    """
    return _nan_place(argmax, x, -math.inf, axis, keepdims)


@composite
def nanargmin(x, axis=None, keepdims=False):
    """Index of the smallest of the elements that are not NaN; -1 where there are none (``keras.ops.nanargmin``).

    >>> int(nanargmin([1.0, float("nan"), 3.0]))
    0
    """
    return _nan_place(argmin, x, math.inf, axis, keepdims)


@composite
def nanquantile(x, q, axis=None, method="linear", keepdims=False):
    """As :func:`quantile`, of the elements that are not NaN (``keras.ops.nanquantile``).

    >>> float(nanquantile([1.0, float("nan"), 3.0], 0.5))
    2.0
    """
    return _quantile(x, q, axis, method, keepdims, ignore_nan=True)


@composite
def nanpercentile(x, q, axis=None, method="linear", keepdims=False):
    """As :func:`percentile`, of the elements that are not NaN (``keras.ops.nanpercentile``).

    >>> float(nanpercentile([1.0, float("nan"), 3.0], 50))
    2.0
    """
    return nanquantile(x, _hundredth(q), axis, method, keepdims)


@composite
def nanmedian(x, axis=None, keepdims=False):
    """As :func:`median`, of the elements that are not NaN (``keras.ops.nanmedian``).

    >>> float(nanmedian([1.0, float("nan"), 3.0]))
    2.0
    """
    return nanquantile(x, 0.5, axis, keepdims=keepdims)


__all__ = [
    "all", "allclose", "amax", "amin", "any", "argmax", "argmin", "average", "count_nonzero", "cumprod", "cumsum", "diff",
    "logsumexp", "max", "mean", "median", "min", "nanargmax", "nanargmin", "nancumprod", "nancumsum", "nanmax", "nanmean",
    "nanmedian", "nanmin", "nanpercentile", "nanprod", "nanquantile", "nanstd", "nansum", "nanvar", "percentile", "prod", "ptp",
    "quantile", "std", "sum", "trapezoid", "var",
]  # fmt: skip
