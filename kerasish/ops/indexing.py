"""Ops that look up, choose, sort, search, count, scatter and pad."""

import builtins
import math

import numpy as np

from kerasish.backend.autodiff import shapes
from kerasish.backend.autodiff.dtypes import compare, floating, is_int, keep, promote_dtypes, to
from kerasish.backend.autodiff.op import as_tensor, cast, composite, op
from kerasish.backend.autodiff.shapes import first, normalize_axis, same
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.ops.elementwise import choose, floor, maximum, minimum, multiply, round
from kerasish.ops.reduction import median
from kerasish.ops.shaping import as_shape, broadcast_to, concatenate, ravel, reshape
from kerasish.ops.sizes import sliced_size

__all__ = [
    "argpartition", "argsort", "bincount", "digitize", "get_item", "histogram", "in_top_k", "isin", "nonzero", "pad", "scatter",
    "scatter_update", "searchsorted", "segment_max", "segment_min", "segment_prod", "segment_sum", "select", "slice",
    "slice_update", "sort", "take", "take_along_axis", "top_k", "unique", "unravel_index", "where",
]  # fmt: skip


# ---- indexing with brackets: a key is a tuple of ints, bools, slices, None, Ellipsis, and ARRAY for the next index tensor
class _Array:
    def __repr__(self):
        return "ARRAY"


ARRAY = _Array()
_PLAIN = {int, bool, builtins.slice, type(None), type(Ellipsis)}
_NO_AXIS = {bool, type(None), type(Ellipsis)}


def _written_out(key, ndim):
    """The key with slices in place of Ellipsis, or behind it, so that each axis has its item."""
    left = ndim - builtins.sum(type(item) not in _NO_AXIS for item in key)
    dots = [i for i, item in enumerate(key) if item is Ellipsis]
    if left < 0 or len(dots) > 1:
        raise IndexError(f"Too many indices, or more than one Ellipsis, for a tensor of rank {ndim}. Received: {key}")
    at = dots[0] if dots else len(key)
    return (*key[:at], *[builtins.slice(None)] * left, *key[at + 1 :])


def _slice_size(s, n):
    if (size := sliced_size(s, n)) is not None:
        return size
    if n is not None:
        return len(builtins.range(*s.indices(n)))
    return 0 if s == builtins.slice(0, 0) else None


def _indexed(shape, *index_shapes, key):
    """Shape of ``x[key]``: the index tensors' common shape stands where they stood together, else in front (as in NumPy)."""
    index_shapes, sizes = iter(index_shapes), iter(shape)
    out, picked, places = [], [], []
    for place, item in enumerate(_written_out(key, len(shape))):
        if item is None:
            out.append(1)
        elif type(item) is builtins.slice:
            out.append(_slice_size(item, next(sizes)))
        else:
            if not places:
                front = len(out)
            places.append(place)
            n = None if type(item) is bool else next(sizes)
            if item is ARRAY:
                picked.append(next(index_shapes))
            elif type(item) is bool:
                picked.append((int(item),))
            elif n is not None and not -n <= item < n:
                raise IndexError(f"index {item} is out of bounds for an axis of size {n} of a tensor of shape {tuple(shape)}")
    if not places:
        return tuple(out)
    at = front if places[-1] - places[0] + 1 == len(places) else 0
    return (*out[:at], *shapes.broadcast((), *picked), *out[at:])


def _fill_in(key, indices):
    indices = iter(indices)
    return tuple([next(indices) if item is ARRAY else item for item in key])


@op(
    _indexed,
    lambda g, y, x, *indices, key: [_put(g, *indices, shape=x.shape, key=key), *[None] * len(indices)],
    keep,
    views=True,
)
def _get_item(xp, *inputs, key):
    return inputs[0][_fill_in(key, inputs[1:]) if len(inputs) > 1 else key]


@op(
    lambda *inputs, shape, key: shape,
    lambda g, y, x, *indices, shape, key: [_get_item(g, *indices, key=key), *[None] * len(indices)],
    keep,
)
def _put(xp, *inputs, shape, key):
    """Zeros of the given shape with ``inputs[0]`` added at the key: what indexing's gradient is."""
    y = xp.zeros(shape, dtype=inputs[0].dtype)
    if len(inputs) > 1:
        return xp.scatter_add(y, _fill_in(key, inputs[1:]), inputs[0])
    y[key] = inputs[0]
    return y


def _index_tensors(item, sizes):
    """A tensor in a key as integer tensors, one for each axis that it takes: a mask takes as many as it has."""
    index = as_tensor(item)
    if index.dtype == "bool":
        if any(None not in pair and pair[0] != pair[1] for pair in zip(index.shape, sizes, strict=False)):
            raise IndexError(f"A boolean mask of shape {index.shape} does not fit axes of sizes {tuple(sizes[: index.ndim])}.")
        return _nonzero(index)
    if index.size == 0 and not isinstance(item, Tensor):
        index = cast(index, "int32")  # an empty list
    if not is_int(index.dtype):
        raise IndexError(f"Indices are ints, slices, `...`, None, integer or boolean tensors. Received dtype {index.dtype}.")
    return [index]


def _without_tensors(items, shape):
    """The key with ARRAY in place of tensors, and those tensors."""
    key, indices, axis = [], [], 0
    for i, item in enumerate(items):
        if type(item) in _PLAIN:
            key.append(item)
            axis += type(item) not in _NO_AXIS
            if item is Ellipsis:  # what stands behind it counts from the last axis
                axis = len(shape) - builtins.sum(_axes_taken(later) for later in items[i + 1 :])
        elif isinstance(item, np.integer):
            key.append(int(item))
            axis += 1
        else:
            found = _index_tensors(item, shape[axis:])
            key.extend([ARRAY] * len(found))
            indices.extend(found)
            axis += len(found)
    return tuple(key), indices


def _axes_taken(item):
    if type(item) in _PLAIN:
        return type(item) not in _NO_AXIS
    index = as_tensor(item)
    return index.ndim if index.dtype == "bool" else 1


@composite(inputs=["x", "key"])
def get_item(x, key):
    """``x[key]`` with NumPy's meaning (``keras.ops.get_item``): ints, slices, None, Ellipsis, integer tensors, boolean masks.

    Repeated indices add up in the gradient. IndexError for indices out of range.

    >>> get_item([[1, 2], [3, 4]], (..., 0)).tolist()
    [1, 3]
    """
    x = as_tensor(x)
    items = key if type(key) is tuple else (key,)
    for item in items:
        if type(item) not in _PLAIN:
            key, indices = _without_tensors(items, x.shape)
            return _get_item.call([x, *indices], {"key": key})
    return _get_item.call([x], {"key": items})


def _nonzero_shape(shape):
    return [(None,)] * builtins.max(len(shape), 1)


@op(_nonzero_shape, [None], to("int32"))
def _nonzero(xp, x):
    return tuple(i.astype(xp.int32) for i in xp.nonzero(x if x.ndim else x.reshape(1)))


@composite
def nonzero(x):
    """Where elements are not zero: a tuple with one index tensor for each axis (``keras.ops.nonzero``).

    >>> [i.tolist() for i in nonzero([[1, 0], [0, 1]])]
    [[0, 1], [0, 1]]
    """
    return tuple(_nonzero(x))


# ---- looking up along one axis
def _taken(shape, indices, axis):
    return shape[:axis] + indices + shape[axis + 1 :]


@op(_taken, [lambda g, y, x, indices, axis: _add_at(g, indices, shape=x.shape, axis=axis), None], keep)
def _take(xp, x, indices, axis=0):
    return xp.take(x, indices, axis=axis)


@op(
    lambda values, indices, shape, axis: shape,
    [lambda g, y, values, indices, shape, axis: _take(g, indices, axis=axis), None],
    keep,
)
def _add_at(xp, values, indices, shape, axis=0, out=None):
    """Zeros of the given shape with ``values`` added at ``indices`` of the axis: what take's gradient is."""
    y = xp.empty(shape, values.dtype) if out is None else out
    y[...] = 0
    rows = xp.moveaxis(values.reshape(shape[:axis] + (indices.size,) + shape[axis + 1 :]), axis, 0)
    xp.scatter_add(xp.moveaxis(y, axis, 0), indices.reshape(-1), rows)
    return y


@composite(inputs=["x", "indices"])
def take(x, indices, axis=None):
    """Slices of ``x`` at the given indices of an axis, of all its elements for None (``keras.ops.take``).

    Negative indices count from the end; others out of range raise IndexError.

    >>> take([[1, 2], [3, 4], [5, 6]], [2, 0], axis=0).tolist()
    [[5, 6], [1, 2]]
    """
    x, indices = as_tensor(x), as_tensor(indices)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    return _take.call([x, indices], {"axis": normalize_axis(axis, x.ndim)})


@op(
    lambda shape, indices, axis: _along(shape, indices, axis),
    [lambda g, y, x, indices, axis: _add_along(g, indices, shape=x.shape, axis=axis), None],
    keep,
)
def _take_along(xp, x, indices, axis=0):
    return xp.take_along_axis(x, indices, axis=axis)


def _along(shape, indices, axis):
    if len(shape) != len(indices):
        raise ValueError(f"take_along_axis: x and indices must have the same rank. Received shapes {shape} and {indices}.")
    other = shapes.broadcast((*shape[:axis], 1, *shape[axis + 1 :]), (*indices[:axis], 1, *indices[axis + 1 :]))
    return (*other[:axis], indices[axis], *other[axis + 1 :])


@op(
    lambda values, indices, shape, axis: shape,
    [lambda g, y, v, indices, shape, axis: _take_along(g, indices, axis=axis), None],
    keep,
)
def _add_along(xp, values, indices, shape, axis=0):
    """Zeros of the given shape with ``values`` added where take_along_axis would find them."""
    y = xp.zeros(shape, dtype=values.dtype)
    grid = []
    for i, n in enumerate(values.shape):
        place = xp.arange(n) if shape[i] == n else xp.zeros(n, dtype=xp.int64)  # an axis of size 1 was repeated
        grid.append(xp.broadcast_to(indices if i == axis else place.reshape((n,) + (1,) * (values.ndim - i - 1)), values.shape))
    return xp.scatter_add(y, tuple(grid), values)


@composite(inputs=["x", "indices"])
def take_along_axis(x, indices, axis=None):
    """Elements picked along an axis by ``indices`` of the same rank; among all elements for None (``keras.ops``).

    >>> take_along_axis([[10, 20], [30, 40]], [[1], [0]], axis=1).tolist()
    [[20], [30]]
    """
    x, indices = as_tensor(x), as_tensor(indices)
    if axis is None:
        x, indices, axis = ravel(x), ravel(indices), 0
    return _take_along(x, indices, axis=normalize_axis(axis, x.ndim))


# ---- choosing
@composite(inputs=["condition", "x1", "x2"])
def where(condition, x1=None, x2=None):
    """``x1`` where the condition holds, ``x2`` elsewhere; the condition alone gives where it holds (``keras.ops.where``).

    >>> where([True, False], 1.0, 0.0).tolist()
    [1.0, 0.0]
    """
    if (x1 is None) != (x2 is None):
        raise ValueError("`x1` and `x2` either both should be `None`, else both set.")
    return nonzero(condition) if x1 is None else choose(condition, x1, x2)


@composite(inputs=["condlist", "choicelist", "default"])
def select(condlist, choicelist, default=0):
    """Elements of the first choice whose condition holds, else ``default`` (``keras.ops.select``).

    >>> select([[True, False], [True, True]], [[1, 1], [2, 2]]).tolist()
    [1, 2]
    """
    if len(condlist) != len(choicelist) or not condlist:
        raise ValueError(f"select needs as many conditions as choices. Received {len(condlist)} and {len(choicelist)}.")
    y = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        y = choose(condition, choice, y)
    return y


# ---- order
_LONG_ROW = 128  # from which on rows are sorted as integers


def _keys(xp, x, places):
    """Integers that are sorted as the floats of the last axis: no two of a row are the same, the place decides between equals."""
    bits = (x + 0.0).view(xp.int32)
    keys = xp.where(xp.isnan(x), 2**31 - 1, xp.where(bits < 0, bits ^ (2**31 - 1), bits)).astype(xp.int64)
    keys <<= 32
    keys += places
    return keys


@op(same, [None], to("int32"))
def _argsort(xp, x, axis=-1):
    if x.dtype != xp.float32 or x.shape[axis] < _LONG_ROW:
        return xp.argsort(x, axis=axis, kind="stable").astype(xp.int32)
    keys = _keys(xp, xp.moveaxis(x, axis, -1), xp.arange(x.shape[axis]))
    keys.sort(axis=-1)  # many times quicker than argsort: the processor sorts integers in vectors
    return xp.moveaxis((keys & (2**32 - 1)).astype(xp.int32), -1, axis)


@composite
def argsort(x, axis=-1):
    """Indices that sort along an axis, all elements for None; equal elements keep their order (``keras.ops.argsort``).

    >>> argsort([3, 1, 2]).tolist()
    [1, 2, 0]
    """
    x = as_tensor(x)
    if axis is None or x.ndim == 0:
        x, axis = ravel(x), 0
    return _argsort(x, axis=normalize_axis(axis, x.ndim))


def _sort_gradient(g, y, x, axis):
    return _add_along(g, _argsort(x, axis=axis), shape=x.shape, axis=axis)


@op(same, [_sort_gradient], keep)
def _sort(xp, x, axis=-1):
    return xp.sort(x, axis=axis)  # equals are the same in any order, but for the sign of a zero


@composite
def sort(x, axis=-1):
    """Smallest first along an axis, all elements in one axis for None (``keras.ops.sort``).

    >>> sort([3, 1, 2]).tolist()
    [1, 2, 3]
    """
    x = as_tensor(x)
    if axis is None:
        x, axis = ravel(x), 0
    return _sort(x, axis=normalize_axis(axis, x.ndim))


@op(same, [None], to("int32"))
def _argpartition(xp, x, kth, axis=-1):
    return xp.argpartition(x, kth, axis=axis).astype(xp.int32)


@composite(inputs=["x"])
def argpartition(x, kth, axis=-1):
    """Indices that put the ``kth`` smallest in its place, smaller ones before, larger ones behind (``keras.ops``).

    >>> int(argpartition([30, 10, 20], 0)[0])
    1
    """
    x = as_tensor(x)
    if axis is None:
        x, axis = ravel(x), 0
    return _argpartition(x, kth=kth, axis=normalize_axis(axis, x.ndim))


@op(lambda shape, k: (*shape[:-1], k), [None], to("int32"))
def _top_indices(xp, x, k):
    """Places of the ``k`` largest of the last axis, largest first, the first of equals first."""
    n = x.shape[-1]
    if x.dtype == xp.float32 and 0 < k <= n // 4:
        return _few_top_indices(xp, x, k)
    backwards = xp.argsort(x[..., ::-1], axis=-1, kind="stable")[..., ::-1][..., :k]  # so equals keep their order
    return (n - 1 - backwards).astype(xp.int32)


def _few_top_indices(xp, x, k):
    """By selection, not sorting."""
    keys = _keys(xp, x, xp.arange(x.shape[-1] - 1, -1, -1))
    keys = xp.sort(xp.partition(keys, x.shape[-1] - k, axis=-1)[..., -k:], axis=-1)[..., ::-1]
    return (x.shape[-1] - 1 - (keys & (2**32 - 1))).astype(xp.int32)


@composite(module="ops.math", inputs=["x"])
def top_k(x, k, sorted=True):
    """The ``k`` largest of the last axis and their places, as a pair; always sorted (``keras.ops.top_k``).

    >>> [t.tolist() for t in top_k([1.0, 3.0, 2.0], 2)]
    [[3.0, 2.0], [1, 2]]
    """
    x = as_tensor(x)
    if x.ndim == 0:
        raise ValueError("top_k needs a tensor of rank 1 or more.")
    n = x.shape[-1]
    if n is not None and not 0 <= k <= n:
        raise ValueError(f"top_k: k={k} must be between 0 and the size of the last axis. Received: x.shape={x.shape}")
    indices = _top_indices(x, k=k)
    return _take_along(x, indices, axis=x.ndim - 1), indices


def _in_top(targets, predictions, k):
    if len(predictions) != 2 or len(targets) != 1:
        raise ValueError(f"in_top_k needs targets of rank 1, predictions of rank 2. Received shapes {targets}, {predictions}.")
    return targets if targets[0] is not None else predictions[:1]


@op(_in_top, [None, None], to("bool"), module="ops.math", class_name="InTopK")
def in_top_k(xp, targets, predictions, k):
    """Whether each target's prediction is among the ``k`` largest of its row; ties count as in (``keras.ops.in_top_k``).

    >>> in_top_k([1, 0], [[0.1, 0.9], [0.1, 0.9]], 1).tolist()
    [True, False]
    """
    n = predictions.shape[-1]
    valid = (targets >= 0) & (targets < n)
    of_target = xp.take_along_axis(predictions, xp.where(valid, targets, 0).reshape(-1, 1), axis=-1)
    of_target = xp.where(valid.reshape(-1, 1) & ~xp.isnan(of_target), of_target, -math.inf)
    return xp.sum(predictions > of_target, axis=-1) < k


# ---- searching and counting
def _searched(sequence, values, **attrs):
    if len(sequence) != 1:
        raise ValueError(f"`searchsorted` only supports 1-D sorted sequences. Received: sorted_sequence.shape={sequence}")
    return values


def _compared(dtypes, attrs):
    return compare(dtypes, attrs)[0], "int32"


@op(_searched, [None, None], _compared, class_name="SearchSorted")
def searchsorted(xp, sorted_sequence, values, side="left"):
    """Where each value would have to be put in to keep the sequence sorted (``keras.ops.searchsorted``).

    >>> searchsorted([10, 20, 30], [15, 30]).tolist()
    [1, 2]
    """
    if side not in ("left", "right"):
        raise ValueError(f"`side` must be 'left' or 'right'. Received: side={side}")
    return xp.searchsorted(sorted_sequence, values, side=side).astype(xp.int32)


def _digitized(shape, bins):
    if len(bins) != 1:
        raise ValueError(f"`bins` must be a 1D array. Received: bins.shape={bins}")
    return shape


@op(_digitized, [None, None], _compared)
def digitize(xp, x, bins):
    """The bin each value falls in: ``i`` with ``bins[i-1] <= x < bins[i]``; bins may fall too (``keras.ops.digitize``).

    >>> digitize([0.5, 1.0, 3.0], [1.0, 2.0]).tolist()
    [0, 1, 2]
    """
    return xp.digitize(x, bins).astype(xp.int32)


@op(first, [None, None], compare, class_name="IsIn")
def isin(xp, x1, x2, assume_unique=False, invert=False):
    """Whether each element of ``x1`` is (with ``invert``: is not) anywhere in ``x2`` (``keras.ops.isin``).

    >>> isin([1, 2, 3], [2, 4]).tolist()
    [False, True, False]
    """
    return xp.isin(x1, x2, assume_unique=assume_unique, invert=invert)


@op(
    lambda shape, *weights, minlength: (*shape[:-1], None),
    lambda g, y, x, *weights, minlength: [None, *[_take_along(g, x, axis=-1)] * len(weights)],
    lambda dtypes, attrs: ((None,) * len(dtypes), "int32" if len(dtypes) == 1 else promote_dtypes(dtypes[1:])),
)
def _bincount(xp, *inputs, minlength=0):
    x, dtype = inputs[0], xp.int32 if len(inputs) == 1 else inputs[1].dtype
    n = builtins.max(int(x.max()) + 1 if x.size else 0, minlength)
    rows = 1 if x.ndim == 1 else x.shape[0]
    places = x if x.ndim == 1 else x + xp.arange(rows, dtype=x.dtype).reshape(-1, 1) * n
    counts = xp.bincount(places.reshape(-1), *[w.reshape(-1) for w in inputs[1:]], minlength=rows * n)
    return counts.astype(dtype).reshape(*x.shape[:-1], n)


@composite
def bincount(x, weights=None, minlength=0, sparse=False):
    """How often, or with what sum of weights, each number from 0 occurs in a vector or in each row (``keras.ops.bincount``).

    >>> bincount([1, 2, 2], minlength=4).tolist()
    [0, 1, 2, 0]
    """
    if sparse:
        raise ValueError("Sparse tensors are not supported: tensors here are dense.")
    x = as_tensor(x)
    if x.ndim not in (1, 2):
        raise ValueError(f"bincount needs a tensor of rank 1 or 2. Received: x.shape={x.shape}")
    return _bincount(x, *[] if weights is None else [weights], minlength=minlength)


@op(lambda shape, bins, range: [(bins,), (bins + 1,)], [None], floating)
def _histogram(xp, x, bins=10, range=None):
    return tuple(part.astype(x.dtype) for part in xp.histogram(x, bins=bins, range=range))


@composite
def histogram(x, bins=10, range=None):
    """Counts of a vector's elements in bins of equal width, and the bins' edges, as a pair (``keras.ops.histogram``).

    >>> [t.tolist() for t in histogram([1.0, 2.0, 2.0, 3.0], bins=2)]
    [[1.0, 3.0], [1.0, 2.0, 3.0]]
    """
    if not isinstance(bins, int):
        raise TypeError(f"`bins` must be an int. Received: bins={bins}")
    if bins < 0:
        raise ValueError(f"Argument `bins` should be a non-negative integer, got {bins}")
    if range and (not isinstance(range, tuple) or len(range) != 2 or range[1] < range[0]):
        raise ValueError(f"`range` must be a tuple (low, high). Received: range={range}")
    x = as_tensor(x)
    if x.ndim != 1:
        raise ValueError(f"Input tensor must be 1-dimensional. Received: x.shape={x.shape}")
    return tuple(_histogram(x, bins=bins, range=range or None))


def _unique_shapes(shape, axis, size, which, **attrs):
    values = (size,) if axis is None else (*shape[:axis], size, *shape[axis + 1 :])
    inverse = shape if axis is None else (shape[axis],)
    return [values, *[inverse if name == "inverse" else (size,) for name in which]]


@op(_unique_shapes, [None], lambda dtypes, attrs: ((None,), [keep(dtypes, attrs)[1], *["int32"] * len(attrs["which"])]))
def _unique(xp, x, axis=None, size=None, fill_value=None, which=(), dtype=None):  # with `dtype`, so that the rule is asked each time
    found = xp.unique(x, **{f"return_{name}": True for name in which}, axis=axis, equal_nan=False)
    values, *others = found if which else (found,)
    others = [part.astype(xp.int32) for part in others]
    n = values.shape[axis or 0]
    if size is not None:
        fill = xp.take(values, xp.zeros(builtins.max(size - n, 0), dtype=xp.int64), axis=axis or 0)
        if fill_value is not None:
            fill[...] = fill_value
        lead = (builtins.slice(None),) * (axis or 0)
        values = xp.concatenate([values[(*lead, builtins.slice(size))], fill], axis=axis or 0)
        filler = {"index": lambda part: part[0], "counts": lambda part: 0}
        others = [
            part if name == "inverse" else _lengthened(xp, part[:size], size, filler[name](part))
            for name, part in zip(which, others, strict=True)
        ]
    if "inverse" in which:
        i = which.index("inverse")
        others[i] = others[i].reshape(x.shape if axis is None else (x.shape[axis],))
    return (values, *others)


def _lengthened(xp, part, size, value):
    y = xp.zeros(size, dtype=part.dtype)
    y[...] = value
    y[: part.shape[0]] = part
    return y


@composite
def unique(x, sorted=True, return_index=False, return_inverse=False, return_counts=False, axis=None, size=None, fill_value=None):
    """The distinct elements, or slices of an axis, in order (``keras.ops.unique``).

    Also, in a tuple, where each is first, which one each element is, and how often each occurs. ``size`` fixes how many come
    out: more are cut off, missing ones are ``fill_value`` (the smallest by default). ``sorted=False`` gives the same order.

    >>> [t.tolist() for t in unique([3, 1, 3], return_counts=True)]
    [[1, 3], [1, 2]]
    """
    x = as_tensor(x)
    wanted = {"index": return_index, "inverse": return_inverse, "counts": return_counts}
    which = tuple(name for name, asked in wanted.items() if asked)
    axis = None if axis is None else normalize_axis(axis, x.ndim)
    out = _unique(x, axis=axis, size=size, fill_value=fill_value, which=which)
    return tuple(out) if which else out[0]


@op(lambda shape, sizes: [shape] * len(sizes), [None], keep)
def _unravel_index(xp, indices, sizes):
    total = math.prod(sizes)
    if indices.size and not (int(indices.min()) >= -total and int(indices.max()) < total):
        raise ValueError(f"unravel_index: an index is out of bounds for a tensor of shape {sizes}.")
    if indices.size and int(indices.min()) < 0:
        indices = xp.where(indices < 0, indices + total, indices)
    out = []
    for n in sizes[:0:-1]:
        rows = indices // n  # NumPy's remainder takes many times as long as its quotient
        out.append(indices - rows * n)
        indices = rows
    return (indices, *out[::-1]) if sizes else ()


@composite(inputs=["indices"])
def unravel_index(indices, shape):
    """The coordinates, one tensor for each axis, of places counted through a whole tensor (``keras.ops.unravel_index``).

    >>> [i.tolist() for i in unravel_index([3, 5], (2, 3))]
    [[1, 1], [0, 2]]
    """
    return tuple(_unravel_index(indices, sizes=as_shape(shape)))


# ---- segments: rows that belong together
def _row_mask(valid, rank):
    return valid.reshape((-1,) + (1,) * (rank - 1))


def _of_segment(y, ids):
    """For each row what its segment has, 0 for rows of no segment."""
    valid = (ids >= 0) & (ids < y.shape[0])
    rows = _take(y, choose(valid, ids, 0), axis=0)
    return choose(_row_mask(valid, y.ndim), rows, 0)


def _segment_gradient(g, y, data, ids, num_segments, kind):
    if kind == "add":
        return _of_segment(g, ids)
    n = y.shape[0]
    if kind == "multiply":  # the product of the others, also where one factor is 0
        is_zero = data == 0
        others = choose(is_zero, 1, data)
        of_others = _of_segment(_segment(others, ids, num_segments=n, kind="multiply"), ids) / others
        zeros = _of_segment(_segment(cast(is_zero, "int32"), ids, num_segments=n, kind="add"), ids)
        return _of_segment(g, ids) * choose(zeros == cast(is_zero, "int32"), of_others, 0)
    hit = cast(data == _of_segment(y, ids), g.dtype)  # equals share the gradient
    return hit * _of_segment(g / maximum(_segment(hit, ids, num_segments=n, kind="add"), 1), ids)


@op(lambda data, ids, num_segments, kind: (num_segments, *data[1:]), [_segment_gradient, None], keep)
def _segment(xp, data, ids, num_segments=None, kind="add"):
    n = num_segments if num_segments is not None else int(ids.max()) + 1 if ids.size else 0
    y = xp.empty((n + 1, *data.shape[1:]), dtype=data.dtype)  # the last row is that of ids out of range
    y[...] = _neutral(xp, kind, data.dtype)
    ids = xp.where((ids >= 0) & (ids < n), ids, n)
    y = xp.scatter_add(y, ids, data) if kind == "add" else xp.scatter_reduce(kind, y, ids, data)
    return y[:n]


def _neutral(xp, kind, dtype):
    """What leaves every number as it is."""
    if kind in ("add", "multiply"):
        return int(kind == "multiply")
    if dtype.kind == "b":
        return kind == "minimum"
    if dtype.kind in "iu":
        return getattr(xp.iinfo(dtype), "min" if kind == "maximum" else "max")
    return -math.inf if kind == "maximum" else math.inf


def _reduced(data, ids, num_segments, kind):
    data, ids = as_tensor(data), as_tensor(ids)
    if ids.ndim != 1 or data.ndim == 0 or (None not in (ids.shape[0], data.shape[0]) and ids.shape[0] != data.shape[0]):
        raise ValueError(f"`segment_ids` must have one id for each row of `data`. Received shapes {ids.shape}, {data.shape}.")
    if num_segments is None and ids.value is not None:
        num_segments = int(ids.value.max()) + 1 if ids.size else 0
    return _segment(data, ids, num_segments=num_segments, kind=kind)


@composite(module="ops.math")
def segment_sum(data, segment_ids, num_segments=None, sorted=False):
    """Sum of the rows with each id, from 0 to ``num_segments``; ids out of range are left out (``keras.ops.segment_sum``).

    ``num_segments`` is by default the largest id plus 1. ``sorted`` (ids in order) makes no difference here.

    >>> segment_sum([1, 2, 10], [0, 0, 2]).tolist()
    [3, 0, 10]
    """
    return _reduced(data, segment_ids, num_segments, "add")


@composite(module="ops.math")
def segment_max(data, segment_ids, num_segments=None, sorted=False):
    """As :func:`segment_sum` with the largest; -inf, or the smallest integer, where there is none (``keras.ops.segment_max``).

    >>> segment_max([1, 2, 10], [0, 0, 1]).tolist()
    [2, 10]
    """
    return _reduced(data, segment_ids, num_segments, "maximum")


@composite(module="ops.math")
def segment_min(data, segment_ids, num_segments=None, sorted=False):
    """As :func:`segment_sum` with the smallest; inf, or the largest integer, where there is none (``keras.ops.segment_min``).

    >>> segment_min([1, 2, 10], [0, 0, 1]).tolist()
    [1, 10]
    """
    return _reduced(data, segment_ids, num_segments, "minimum")


@composite(module="ops.math")
def segment_prod(data, segment_ids, num_segments=None, sorted=False):
    """As :func:`segment_sum` with the product, 1 where there is none (``keras.ops.segment_prod``).

    >>> segment_prod([3, 2, 10], [0, 0, 2]).tolist()
    [6, 1, 10]
    """
    return _reduced(data, segment_ids, num_segments, "multiply")


# ---- scattering
def _coordinates(indices, shape):
    """Index tensors, one for each of the first axes, from coordinates along the last axis of ``indices``."""
    indices = as_tensor(indices)
    k = indices.shape[-1] if indices.ndim else None
    if k is None or k > len(shape) or not is_int(indices.dtype):
        raise ValueError(
            f"`indices` must be integers of shape (..., k), k coordinates in a tensor of rank {len(shape)}. "
            f"Received shape {indices.shape}, dtype {indices.dtype}."
        )
    return [indices[..., i] for i in builtins.range(k)], (ARRAY,) * k + (builtins.slice(None),) * (len(shape) - k)


@composite(module="ops.core", inputs=["indices", "values"])
def scatter(indices, values, shape):
    """Zeros of the given shape with ``values`` added at the coordinates ``indices`` (``keras.ops.scatter``).

    >>> scatter([[0, 1], [1, 1]], [1.0, 2.0], (2, 2)).tolist()
    [[0.0, 1.0], [0.0, 2.0]]
    """
    shape = as_shape(shape)
    places, key = _coordinates(indices, shape)
    return _put(values, *places, shape=shape, key=key)


def _set_gradients(g, y, x, updates, *indices, key):
    n = math.prod(indices[0].shape)
    order = reshape(as_tensor(np.arange(n)), indices[0].shape)
    marks = _set(as_tensor(np.full(x.shape[: len(indices)], -1)), order, *indices, key=key[: len(indices)])
    last = _get_item(marks, *indices, key=key[: len(indices)]) == order  # of equal coordinates only the last one counts
    last = reshape(last, indices[0].shape + (1,) * (x.ndim - len(indices)))
    to_updates = choose(last, _get_item(g, *indices, key=key), 0)
    return [_set(g, choose(last, 0.0, 0.0), *indices, key=key), to_updates, *[None] * len(indices)]


@op(first, _set_gradients, lambda dtypes, attrs: ((None, dtypes[0], *[None] * (len(dtypes) - 2)), dtypes[0]))
def _set(xp, *inputs, key):
    y = xp.array(inputs[0])
    y[_fill_in(key, inputs[2:])] = inputs[1]
    return y


_REDUCTIONS = {"add": "add", "max": "maximum", "min": "minimum", "mul": "multiply"}


@composite(module="ops.core")
def scatter_update(inputs, indices, updates, reduction=None):
    """``inputs`` with ``updates`` at the coordinates ``indices``: put there, or combined (``keras.ops.scatter_update``).

    ``reduction``: None, "add", "max", "min" or "mul". Of equal coordinates the last one is put.

    >>> scatter_update([0, 0, 0], [[1], [1]], [5, 6], reduction="add").tolist()
    [0, 11, 0]
    """
    x = as_tensor(inputs)
    places, key = _coordinates(indices, x.shape)
    if reduction is None:
        return _set(x, updates, *places, key=key)
    if reduction not in _REDUCTIONS:
        raise ValueError(f"Unsupported reduction: {reduction}. Expected None or one of {list(_REDUCTIONS)}.")
    updates = broadcast_to(as_tensor(updates, x.dtype), (*places[0].shape, *x.shape[len(places) :]))
    if reduction == "add":
        return x + _put(updates, *places, shape=x.shape, key=key)
    lead, rest = x.shape[: len(places)], x.shape[len(places) :]
    ids = ravel(_flat_ids(x, *places))
    change = _segment(reshape(updates, (*ids.shape, *rest)), ids, num_segments=shapes.size(lead), kind=_REDUCTIONS[reduction])
    combine = {"max": maximum, "min": minimum, "mul": multiply}[reduction]
    return combine(x, reshape(change, x.shape))


@op(
    lambda x, *indices: shapes.broadcast(*indices),
    lambda g, y, *inputs: [None] * len(inputs),
    lambda dtypes, attrs: ((None,) * len(dtypes), "int64"),
)
def _flat_ids(xp, *inputs):
    """Coordinates in the first axes of ``inputs[0]`` as one number each."""
    ids = 0
    for index, n in zip(inputs[1:], inputs[0].shape, strict=False):
        if index.size and not (int(index.min()) >= -n and int(index.max()) < n):
            raise IndexError(f"An index is out of bounds for an axis of size {n} of a tensor of shape {inputs[0].shape}.")
        ids = ids * n + xp.where(index < 0, index + n, index).astype(xp.int64)
    return ids


# ---- slices that begin where a tensor says
def _starts(xp, start, sizes, shape):
    """The key of a slice; ValueError where it goes beyond the edges. Negative starts count from the end."""
    starts = [int(s) + (n if s < 0 else 0) for s, n in zip(xp.to_numpy(start), shape, strict=True)]
    if any(s < 0 or s + size > n for s, size, n in zip(starts, sizes, shape, strict=True)):
        raise ValueError(f"A slice of shape {tuple(sizes)} at {starts} goes beyond a tensor of shape {tuple(shape)}.")
    return tuple(builtins.slice(s, s + size) for s, size in zip(starts, sizes, strict=True))


@op(lambda x, start, sizes: sizes, [lambda g, y, x, start, sizes: _put_slice(g, start, shape=x.shape), None], keep, views=True)
def _slice(xp, x, start, sizes):
    return x[_starts(xp, start, sizes, x.shape)]


@op(lambda x, start, shape: shape, [lambda g, y, x, start, shape: _slice(g, start, sizes=x.shape), None], keep)
def _put_slice(xp, x, start, shape):
    y = xp.zeros(shape, dtype=x.dtype)
    y[_starts(xp, start, x.shape, shape)] = x
    return y


def _start_tensor(start_indices, shape):
    if isinstance(start_indices, (list, tuple)) and any(isinstance(i, Tensor) for i in start_indices):
        start_indices = concatenate([reshape(as_tensor(i, "int32"), (1,)) for i in start_indices])
    start = as_tensor(start_indices)
    if start.shape != (len(shape),):
        raise ValueError(f"`start_indices` must have one index for each axis of shape {shape}. Received shape {start.shape}.")
    return start


@composite(module="ops.core", inputs=["inputs", "start_indices"])
def slice(inputs, start_indices, shape):
    """The part of the given shape that begins at ``start_indices``; -1 in the shape means all the rest (``keras.ops.slice``).

    >>> slice([1, 2, 3, 4], [1], [2]).tolist()
    [2, 3]
    """
    x, shape = as_tensor(inputs), as_shape(shape)
    start = _start_tensor(start_indices, x.shape)
    if len(shape) != x.ndim:
        raise ValueError(f"`shape` must have one size for each axis of shape {x.shape}. Received: shape={shape}")
    if -1 in shape:
        begins = [None] * x.ndim if start.value is None else start.tolist()
        shape = tuple(
            size if size != -1 else None if None in (begin, n) else -begin if begin < 0 else n - begin
            for begin, size, n in zip(begins, shape, x.shape, strict=True)
        )
    return _slice(x, start, sizes=shape)


@op(
    lambda x, start, updates: x,
    [
        lambda g, y, x, start, updates: _slice_update(g, start, updates * 0),
        None,
        lambda g, y, x, start, updates: _slice(g, start, sizes=updates.shape),
    ],
    lambda dtypes, attrs: ((None, None, dtypes[0]), dtypes[0]),
)
def _slice_update(xp, x, start, updates):
    y = xp.array(x)
    y[_starts(xp, start, updates.shape, y.shape)] = updates
    return y


@composite(module="ops.core")
def slice_update(inputs, start_indices, updates):
    """``inputs`` with ``updates`` in place of the part that begins at ``start_indices`` (``keras.ops.slice_update``).

    >>> slice_update([1, 2, 3, 4], [1], [8, 9]).tolist()
    [1, 8, 9, 4]
    """
    x = as_tensor(inputs)
    return _slice_update(x, _start_tensor(start_indices, x.shape), updates)


# ---- padding
def _padded(shape, widths, **attrs):
    return tuple(None if n is None else before + n + after for n, (before, after) in zip(shape, widths, strict=True))


def _inside(shape, widths):
    return tuple(builtins.slice(before, before + n) for n, (before, _) in zip(shape, widths, strict=True))


@op(_padded, [lambda g, y, x, widths, value: g[_inside(x.shape, widths)]], keep)
def _pad_constant(xp, x, widths, value=0):
    y = xp.zeros(_padded(x.shape, widths), dtype=x.dtype)
    if value != 0:
        y[...] = value
    y[_inside(x.shape, widths)] = x
    return y


def _source(n, before, after, mode):
    """For each place of a padded axis the place that it repeats."""
    return np.pad(np.arange(n), (before, after), mode)


def _axis_padded(shape, axis, before, after, mode):
    return (*shape[:axis], None if shape[axis] is None else before + shape[axis] + after, *shape[axis + 1 :])


def _pad_repeat_gradient(g, y, x, axis, before, after, mode):
    return _add_at(g, as_tensor(_source(x.shape[axis], before, after, mode)), shape=x.shape, axis=axis)


@op(_axis_padded, [_pad_repeat_gradient], keep)
def _pad_repeat(xp, x, axis, before, after, mode):
    return xp.take(x, xp.asarray(_source(x.shape[axis], before, after, mode)), axis=axis)


def _pad_ramp(x, axis, before, after):
    """Straight lines from the edges down to 0."""
    lead = (builtins.slice(None),) * axis
    edges = x[(*lead, builtins.slice(0, 1))], x[(*lead, builtins.slice(-1, None))]
    slopes = np.arange(before) / builtins.max(before, 1), np.arange(after)[::-1] / builtins.max(after, 1)
    out = []
    for edge, slope in zip(edges, slopes, strict=True):
        line = edge * as_tensor(slope.reshape((-1,) + (1,) * (x.ndim - axis - 1)), x.dtype if "float" in x.dtype else "float32")
        out.append(line if "float" in x.dtype else cast(floor(line), x.dtype))
    return concatenate([out[0], x, out[1]], axis)


_STATISTICS = {
    "maximum": lambda x, axis: x.max(axis, keepdims=True),
    "minimum": lambda x, axis: x.min(axis, keepdims=True),
    "mean": lambda x, axis: x.mean(axis, keepdims=True),
    "median": lambda x, axis: median(x, axis, keepdims=True),
}


def _pad_statistic(x, axis, before, after, mode):
    value = _STATISTICS[mode](x, axis)
    if value.dtype != x.dtype:
        value = cast(round(value) if is_int(x.dtype) else value, x.dtype)
    sizes = [(*x.shape[:axis], n, *x.shape[axis + 1 :]) for n in (before, after)]
    return concatenate([broadcast_to(value, sizes[0]), x, broadcast_to(value, sizes[1])], axis)


_REPEATING = {"edge": "edge", "reflect": "reflect", "symmetric": "symmetric", "wrap": "wrap", "circular": "wrap"}


@composite(inputs=["x", "constant_values"])
def pad(x, pad_width, mode="constant", constant_values=None):
    """Elements added before and after along each axis (``keras.ops.pad``).

    ``pad_width``: ``((before, after), ...)``, one pair for all axes, or one number. ``mode`` as in ``numpy.pad``: "constant",
    "edge", "reflect", "symmetric", "wrap" (= "circular"), "linear_ramp", "maximum", "mean", "median", "minimum", "empty".

    >>> pad([1, 2, 3], 1).tolist(), pad([1, 2, 3], (0, 2), "reflect").tolist()
    ([0, 1, 2, 3, 0], [1, 2, 3, 2, 1])
    """
    x = as_tensor(x)
    if constant_values is not None and mode != "constant":
        raise ValueError(f"Argument `constant_values` can only be provided when `mode == 'constant'`, not {mode}")
    try:
        widths = tuple(map(tuple, np.broadcast_to(np.asarray(pad_width, dtype=np.int64), (x.ndim, 2)).tolist()))
    except ValueError:
        raise ValueError(f"`pad_width` must have a pair for each axis of {x.shape}. Received: pad_width={pad_width}") from None
    if any(n < 0 for pair in widths for n in pair):
        raise ValueError(f"`pad_width` must not be negative. Received: pad_width={pad_width}")
    if mode in ("constant", "empty"):
        return _pad_with(x, widths, constant_values)
    for axis, (before, after) in enumerate(widths):
        if before == after == 0:
            continue
        if mode in _REPEATING:
            x = _pad_repeat(x, axis=axis, before=before, after=after, mode=_REPEATING[mode])
        elif mode in _STATISTICS:
            x = _pad_statistic(x, axis, before, after, mode)
        elif mode == "linear_ramp":
            x = _pad_ramp(x, axis, before, after)
        else:
            raise ValueError(f"Unknown padding mode. Received: mode={mode}")
    return x


def _pad_with(x, widths, values):
    if values is None or isinstance(values, (int, float)):
        return _pad_constant(x, widths=widths, value=values or 0)
    if isinstance(values, Tensor) or hasattr(values, "assign"):
        outside = _pad_constant(x * 0 + 1, widths=widths) == 0
        return choose(outside, values, _pad_constant(x, widths=widths))
    for axis, pair in enumerate(np.broadcast_to(np.asarray(values), (x.ndim, 2)).tolist()):
        for side, value in enumerate(pair):
            one = [(0, 0)] * x.ndim
            one[axis] = (widths[axis][0], 0) if side == 0 else (0, widths[axis][1])
            x = _pad_constant(x, widths=tuple(one), value=value)
    return x
