"""Ops that move elements about: shapes, axes, joining, splitting, repeating, diagonals."""

import functools
import itertools
import math
import re

import numpy as np

from kerasish.backend.autodiff import op as core
from kerasish.backend.autodiff import shapes
from kerasish.backend.autodiff.dtypes import accumulate, keep, numpy_dtype, standardize_dtype, to, to_attribute
from kerasish.backend.autodiff.op import as_tensor, composite, op, sum_to
from kerasish.backend.autodiff.shapes import normalize_axes, normalize_axis
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.loading import spend
from kerasish.ops.sizes import is_open, open_call, repeated

__all__ = [
    "append", "array_split", "broadcast_to", "concatenate", "copy", "diag", "diagflat", "diagonal", "dsplit", "dstack",
    "expand_dims", "flip", "fliplr", "flipud", "hsplit", "hstack", "meshgrid", "moveaxis", "ndim", "ravel", "rearrange",
    "repeat", "reshape", "roll", "rot90", "size", "split", "squeeze", "stack", "swapaxes", "tile", "trace", "transpose", "tril",
    "triu", "unstack", "view", "vsplit", "vstack",
]  # fmt: skip


def as_shape(shape):
    """What users give for a shape, one number included, as a tuple."""
    return (shape.__index__(),) if isinstance(shape, (int, np.integer)) else tuple(shape)


# ---- shapes
@op(
    lambda shape, newshape: shapes.reshaped(shape, as_shape(newshape)),
    [lambda g, y, x, newshape: reshape(g, x.shape)],
    keep,
    views=True,
)
def reshape(xp, x, newshape):
    """The same elements in another shape; one size may be -1 (``keras.ops.reshape``).

    >>> reshape([[1, 2], [3, 4]], (-1,)).tolist()
    [1, 2, 3, 4]
    """
    newshape = as_shape(newshape)
    return x.reshape(shapes.reshaped(x.shape, newshape) if None in newshape else newshape)


@composite
def ravel(x):
    """All elements along one axis (``keras.ops.ravel``).

    >>> ravel([[1, 2], [3, 4]]).tolist()
    [1, 2, 3, 4]
    """
    return reshape(x, (-1,))


@op(lambda shape, newshape: newshape, [lambda g, y, x, newshape: _relabel(g, newshape=x.shape)], keep, views=True)
def _relabel(xp, x, newshape):
    """A reshape that only adds or drops axes of size 1: unknown sizes pass through it."""
    return x.reshape(newshape)


@functools.lru_cache(maxsize=1024)
def _expanded(shape, axes):
    ndim = len(shape) + len(axes)
    new = {normalize_axis(a, ndim) for a in axes}
    if len(new) < len(axes):
        raise ValueError(f"expand_dims: an axis is repeated in axis={axes}.")
    sizes = iter(shape)
    return tuple(1 if i in new else next(sizes) for i in range(ndim))


@composite(inputs=["x"])
def expand_dims(x, axis):
    """With axes of size 1 at the positions ``axis`` of the result (``keras.ops.expand_dims``).

    >>> expand_dims([1, 2], (0, -1)).shape
    (1, 2, 1)
    """
    x = as_tensor(x)
    return _relabel.call([x], {"newshape": _expanded(x.shape, as_shape(axis))})


@functools.lru_cache(maxsize=1024)
def _squeezed(shape, axes):
    axes = [i for i, n in enumerate(shape) if n == 1] if axes is None else normalize_axes(axes, len(shape))
    for a in axes:
        if shape[a] not in (1, None):
            raise ValueError(f"Cannot squeeze axis={a}, because its size is not 1. Received shape {shape}.")
    return tuple(n for i, n in enumerate(shape) if i not in axes)


@composite
def squeeze(x, axis=None):
    """Without the axes of size 1: all of them, or those given, which must be of size 1 (``keras.ops.squeeze``).

    >>> squeeze([[[1, 2]]], axis=0).shape
    (1, 2)
    """
    x = as_tensor(x)
    return _relabel.call([x], {"newshape": _squeezed(x.shape, None if axis is None else as_shape(axis))})


@functools.lru_cache(maxsize=1024)
def _check_broadcast(shape, target):
    given = (1,) * (len(target) - len(shape)) + shape
    if len(given) != len(target) or any(n not in (1, m, None) and m is not None for n, m in zip(given, target, strict=True)):
        raise ValueError(f"Cannot broadcast a tensor of shape {shape} to shape {target}.")


@composite(inputs=["x"])
def broadcast_to(x, shape):
    """The tensor repeated along its axes of size 1, and along new first axes (``keras.ops.broadcast_to``).

    >>> broadcast_to([1, 2], (2, 2)).tolist()
    [[1, 2], [1, 2]]
    """
    x, shape = as_tensor(x), as_shape(shape)
    _check_broadcast(x.shape, shape)
    if is_open(shape):
        return repeated(x, shape)
    return core.broadcast_to.call([x], {"shape": shape}) if None not in shape or x.value is None else Tensor(None, shape, x.dtype)


@op(shapes.same, [lambda g, y, x: g], keep)
def copy(xp, x):
    """The same values in memory of their own (``keras.ops.copy``).

    >>> copy([1, 2]).tolist()
    [1, 2]
    """
    return xp.array(x)


def _viewed(shape, itemsizes):
    old, new = itemsizes
    if old == new:
        return shape
    if not shape:
        raise ValueError("A scalar can only be viewed as a dtype of the same item size.")
    if shape[-1] is not None and shape[-1] * old % new:
        raise ValueError(f"Cannot view shape {shape}, {old} bytes an item, as items of {new} bytes: the last axis does not fit.")
    return (*shape[:-1], None if shape[-1] is None else shape[-1] * old // new)


@op(lambda shape, dtype, itemsizes: _viewed(shape, itemsizes), [None], to_attribute, views=True)
def _view(xp, x, dtype, itemsizes):
    return xp.ascontiguousarray(x).view(numpy_dtype(dtype)).reshape(_viewed(x.shape, itemsizes))


@composite
def view(x, dtype=None):
    """The same bytes read as another dtype; the last axis's size follows the item size (``keras.ops.view``).

    >>> view(as_tensor([1.0], "float32"), "uint8").tolist()
    [0, 0, 128, 63]
    """
    x = as_tensor(x)
    dtype = x.dtype if dtype is None else standardize_dtype(dtype)
    if dtype == x.dtype:
        return x
    itemsizes = tuple(numpy_dtype(d).itemsize for d in (x.dtype, dtype))
    return _view(x, dtype=dtype, itemsizes=itemsizes)


@op(lambda shape: (), [None], to("int32"), class_name="Ndim")
def _ndim(xp, x):
    """What a Functional model's file may name; :func:`ndim` itself knows the rank at once."""
    return xp.asarray(x.ndim, dtype=xp.int32)


def ndim(x):
    """Number of axes, as an int (``keras.ops.ndim``).

    >>> ndim([[1, 2]])
    2
    """
    return as_tensor(x).ndim


@op(lambda shape: (), [None], to("int32"), class_name="Size")
def _size(xp, x):
    return xp.asarray(x.size, dtype=xp.int32)


def size(x):
    """Number of elements: an int, or a tensor where a size is unknown (``keras.ops.size``).

    >>> size([[1, 2, 3]])
    3
    """
    shape = as_tensor(x).shape
    return _size(x) if None in shape else math.prod(shape)


# ---- the order of axes
def _order(ndim, axes):
    if axes is None:
        return tuple(reversed(range(ndim)))
    order = tuple(normalize_axis(a, ndim) for a in axes)
    if sorted(order) != list(range(ndim)):
        raise ValueError(f"transpose: axes={tuple(axes)} is not a permutation of the axes of a tensor of rank {ndim}.")
    return order


def _inverse(order):
    return tuple(order.index(i) for i in range(len(order)))


@op(
    lambda shape, axes=None: tuple(shape[a] for a in _order(len(shape), axes)),
    [lambda g, y, x, axes: transpose(g, _inverse(_order(x.ndim, axes)))],
    keep,
    views=True,
)
def transpose(xp, x, axes=None):
    """Axes in the given order, reversed by default (``keras.ops.transpose``).

    >>> transpose([[1, 2], [3, 4]]).tolist()
    [[1, 3], [2, 4]]
    """
    return x.transpose(_order(x.ndim, axes))


@composite(inputs=["x"])
def swapaxes(x, axis1, axis2):
    """With two axes in each other's place (``keras.ops.swapaxes``).

    >>> swapaxes([[1, 2, 3]], 0, 1).shape
    (3, 1)
    """
    x = as_tensor(x)
    order = list(range(x.ndim))
    a, b = normalize_axis(axis1, x.ndim), normalize_axis(axis2, x.ndim)
    order[a], order[b] = b, a
    return transpose(x, order)


@composite(inputs=["x"])
def moveaxis(x, source, destination):
    """With the axes ``source`` at the places ``destination``, the others in their order (``keras.ops.moveaxis``).

    >>> moveaxis(as_tensor([[[1, 2, 3]]]), -1, 0).shape
    (3, 1, 1)
    """
    x = as_tensor(x)
    source = [normalize_axis(a, x.ndim) for a in as_shape(source)]
    destination = [normalize_axis(a, x.ndim) for a in as_shape(destination)]
    if len(source) != len(destination) or len(set(source)) < len(source) or len(set(destination)) < len(destination):
        raise ValueError(f"moveaxis needs as many distinct sources as destinations. Received: {source} and {destination}")
    order = [a for a in range(x.ndim) if a not in source]
    for place, a in sorted(zip(destination, source, strict=True)):
        order.insert(place, a)
    return transpose(x, order)


# ---- joining
def _concatenated_gradients(g, y, *xs, axis):
    if len(xs) == 1:
        return [g]
    ends = np.cumsum([x.shape[axis] for x in xs[:-1]]).tolist()
    return _split(g, parts=tuple(ends), axis=normalize_axis(axis, g.ndim))


@op(shapes.concatenated, _concatenated_gradients, views=True)
def _concatenate(xp, *xs, axis=0):
    return xp.concatenate(xs, axis=axis) if len(xs) > 1 else xs[0]


@composite
def concatenate(xs, axis=0):
    """Tensors joined along an axis that they have (``keras.ops.concatenate``).

    >>> concatenate([[1, 2], [3]]).tolist()
    [1, 2, 3]
    """
    return _concatenate.call(list(xs), {"axis": axis})


def _stacked(*all_shapes, axis=0):
    common = []
    for sizes in zip(*all_shapes, strict=all(len(s) == len(all_shapes[0]) for s in all_shapes)):
        known = {n for n in sizes if n is not None}
        common.append(known.pop() if len(known) == 1 else None)
        if known:
            break
    if len(common) < max(map(len, all_shapes)) or (common and known):
        raise ValueError(f"Tensors to stack must have the same shape. Received shapes: {list(all_shapes)}")
    axis = normalize_axis(axis, len(common) + 1)
    return (*common[:axis], len(all_shapes), *common[axis:])


@op(_stacked, lambda g, y, *xs, axis: _unstack(g, axis=normalize_axis(axis, g.ndim), num=len(xs)))
def _stack(xp, *xs, axis=0):
    return xp.stack(xs, axis=axis)


@composite
def stack(x, axis=0):
    """Tensors of one shape along a new axis (``keras.ops.stack``).

    >>> stack([[1, 2], [3, 4]], axis=1).tolist()
    [[1, 3], [2, 4]]
    """
    return _stack.call(list(x), {"axis": axis})


def _at_least(x, rank):
    """With axes of size 1 until the rank is reached: in front, and for rank 3 behind the first two."""
    x = as_tensor(x)
    if x.ndim == 0:
        x = expand_dims(x, 0)
    if x.ndim == 1 < rank:
        x = expand_dims(x, 0)
    return expand_dims(x, 2) if x.ndim == 2 < rank else x


@composite
def hstack(xs):
    """Tensors side by side: along the second axis, vectors along their one (``keras.ops.hstack``).

    >>> hstack([[1], [2, 3]]).tolist()
    [1, 2, 3]
    """
    xs = [_at_least(x, 1) for x in xs]
    return _concatenate(*xs, axis=0 if xs[0].ndim == 1 else 1)


@composite
def vstack(xs):
    """Tensors below each other: along the first axis, vectors as rows (``keras.ops.vstack``).

    >>> vstack([[1, 2], [3, 4]]).tolist()
    [[1, 2], [3, 4]]
    """
    return _concatenate(*[_at_least(x, 2) for x in xs], axis=0)


@composite
def dstack(xs):
    """Tensors behind each other: along the third axis (``keras.ops.dstack``).

    >>> dstack([[1, 2], [3, 4]]).tolist()
    [[[1, 3], [2, 4]]]
    """
    return _concatenate(*[_at_least(x, 3) for x in xs], axis=2)


@composite
def append(x1, x2, axis=None):
    """Two tensors joined along an axis, or all their elements in one axis (``keras.ops.append``).

    >>> append([[1, 2]], [3]).tolist()
    [1, 2, 3]
    """
    if axis is None:
        return _concatenate(ravel(x1), ravel(x2), axis=0)
    return _concatenate(x1, x2, axis=axis)


# ---- splitting
def _bounds(n, parts, equal):
    """Where parts begin and end. ``parts``: how many, or the places to cut at."""
    if isinstance(parts, int):
        if parts < 1 or (n is not None and equal and n % parts):
            raise ValueError(f"split: an axis of size {n} cannot be cut into {parts} equal parts.")
        if n is None:
            return [None] * (parts + 1)
        each, more = divmod(n, parts)
        return [i * each + min(i, more) for i in range(parts + 1)]
    if n is not None:
        parts = [min(max(end + n if end < 0 else end, 0), n) for end in parts]
        if parts != sorted(parts):
            raise ValueError(f"split: the places to cut at must not decrease. Received: {parts}")
    return [0, *parts, n]


def _parts(shape, parts, axis=0, equal=False):
    bounds = _bounds(shape[axis], parts, equal)
    sizes = [None if None in pair else pair[1] - pair[0] for pair in itertools.pairwise(bounds)]
    return [(*shape[:axis], n, *shape[axis + 1 :]) for n in sizes]


def _of_each(g):
    """Gradients of the outputs; of one output it comes bare."""
    return g if isinstance(g, tuple) else (g,)


@op(_parts, [lambda g, y, x, parts, axis, equal: _concatenate(*_of_each(g), axis=axis)], keep, views=True)
def _split(xp, x, parts, axis=0, equal=False):
    bounds = _bounds(x.shape[axis], parts, equal)
    lead = (slice(None),) * (axis % x.ndim)
    return tuple(x[(*lead, slice(*pair))] for pair in itertools.pairwise(bounds))


def _cut(x, indices_or_sections, axis, equal):
    x = as_tensor(x)
    parts = indices_or_sections
    parts = int(parts) if isinstance(parts, (int, np.integer)) else tuple(int(i) for i in parts)
    spend("values", parts if isinstance(parts, int) else len(parts))
    return _split.call([x], {"parts": parts, "axis": normalize_axis(axis, x.ndim), "equal": equal})


@composite(inputs=["x"])
def split(x, indices_or_sections, axis=0):
    """List of so many equal parts of an axis, or of the parts between the given places (``keras.ops.split``).

    >>> [part.tolist() for part in split([1, 2, 3, 4], 2)]
    [[1, 2], [3, 4]]
    """
    return _cut(x, indices_or_sections, axis, equal=True)


@composite(inputs=["x"])
def array_split(x, indices_or_sections, axis=0):
    """As :func:`split`; where parts cannot be equal the first ones are longer by one (``keras.ops.array_split``).

    >>> [part.tolist() for part in array_split([1, 2, 3], 2)]
    [[1, 2], [3]]
    """
    if not isinstance(indices_or_sections, int):
        raise TypeError(f"Argument `indices_or_sections` must be of type `int`. Received: {indices_or_sections}")
    return _cut(x, indices_or_sections, axis, equal=False)


@composite(inputs=["x"])
def hsplit(x, indices_or_sections):
    """:func:`split` along the second axis, of a vector along its one (``keras.ops.hsplit``).

    >>> [part.tolist() for part in hsplit([[1, 2], [3, 4]], 2)]
    [[[1], [3]], [[2], [4]]]
    """
    return _cut(x, indices_or_sections, min(_rank(x, 1, "hsplit") - 1, 1), equal=True)


@composite(inputs=["x"])
def vsplit(x, indices_or_sections):
    """:func:`split` along the first axis of a tensor of rank 2 or more (``keras.ops.vsplit``).

    >>> [part.tolist() for part in vsplit([[1, 2], [3, 4]], 2)]
    [[[1, 2]], [[3, 4]]]
    """
    _rank(x, 2, "vsplit")
    return _cut(x, indices_or_sections, 0, equal=True)


@composite(inputs=["x"])
def dsplit(x, indices_or_sections):
    """:func:`split` along the third axis of a tensor of rank 3 or more (``keras.ops.dsplit``).

    >>> [part.tolist() for part in dsplit([[[1, 2]]], 2)]
    [[[[1]]], [[[2]]]]
    """
    _rank(x, 3, "dsplit")
    return _cut(x, indices_or_sections, 2, equal=True)


def _rank(x, least, name):
    rank = as_tensor(x).ndim
    if rank < least:
        raise ValueError(f"{name} needs a tensor of rank {least} or more. Received rank {rank}.")
    return rank


def _unstacked(shape, axis, num):
    return [shape[:axis] + shape[axis + 1 :]] * num


@op(_unstacked, [lambda g, y, x, axis, num: _stack(*_of_each(g), axis=axis)], keep, views=True)
def _unstack(xp, x, axis=0, num=None):
    lead = (slice(None),) * axis
    return tuple(x[(*lead, i, ...)] for i in range(num))


@composite(module="ops.core")
def unstack(x, num=None, axis=0):
    """List of the slices along an axis, without it; ``num`` says how many where that is unknown (``keras.ops.unstack``).

    >>> [row.tolist() for row in unstack([[1, 2], [3, 4]])]
    [[1, 2], [3, 4]]
    """
    x = as_tensor(x)
    axis = normalize_axis(axis, x.ndim)
    n = x.shape[axis]
    if n is None and num is None:
        raise ValueError(f"unstack: `num` is needed, since the size of axis {axis} of shape {x.shape} is unknown.")
    if None not in (n, num) and n != num:
        raise ValueError(f"unstack: num={num} is not the size of axis {axis} of shape {x.shape}.")
    spend("values", num if n is None else n)
    return _unstack(x, axis=axis, num=num if n is None else n) if n != 0 else []


# ---- repeating
def _tile_sizes(shape, repeats):
    """Repeats and sizes, both filled up in front with ones."""
    repeats = as_shape(repeats)
    rank = max(len(shape), len(repeats))
    return (1,) * (rank - len(repeats)) + repeats, (1,) * (rank - len(shape)) + tuple(shape)


def _tiled(shape, repeats):
    return tuple(None if None in (n, r) else n * r for r, n in zip(*_tile_sizes(shape, repeats), strict=True))


def _tile_gradient(g, y, x, repeats):
    repeats, sizes = _tile_sizes(x.shape, repeats)
    pairs = [k for pair in zip(repeats, sizes, strict=True) for k in pair]
    once = tuple(1 if i % 2 == 0 else k for i, k in enumerate(pairs))
    return reshape(sum_to(reshape(g, pairs), once), x.shape)


@op(_tiled, [_tile_gradient], keep)
def _tile(xp, x, repeats):
    return xp.tile(x, repeats)


@composite(inputs=["x"])
def tile(x, repeats):
    """The whole tensor repeated along each axis (``keras.ops.tile``).

    >>> tile([1, 2], 2).tolist()
    [1, 2, 1, 2]
    """
    x, repeats = as_tensor(x), as_shape(repeats)
    if is_open(repeats):
        return open_call(_tile, x, repeats=repeats)
    return Tensor(None, _tiled(x.shape, repeats), x.dtype) if None in repeats else _tile(x, repeats=repeats)


def _repeated(shape, repeats, axis):
    n = shape[axis]
    return (*shape[:axis], None if n is None else n * repeats, *shape[axis + 1 :])


def _repeat_gradient(g, y, x, repeats, axis):
    lead, n, rest = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    return reshape(sum_to(reshape(g, (*lead, n, repeats, *rest)), (*lead, n, 1, *rest)), x.shape)


@op(_repeated, [_repeat_gradient], keep)
def _repeat(xp, x, repeats, axis=0):
    return xp.repeat(x, repeats, axis=axis)


@composite(inputs=["x"])
def repeat(x, repeats, axis=None):
    """Each element (of an axis; of all, in one axis, for None) repeated so many times (``keras.ops.repeat``).

    ``repeats``: one number, or one for each element.

    >>> repeat([1, 2], 2).tolist(), repeat([1, 2], [1, 3]).tolist()
    ([1, 1, 2, 2], [1, 2, 2, 2])
    """
    x = as_tensor(x)
    x, axis = (ravel(x), 0) if axis is None else (x, normalize_axis(axis, x.ndim))
    if is_open((repeats,)):
        return open_call(_repeat, x, repeats=repeats, axis=axis)
    counts = np.asarray(repeats)
    if counts.size == 1:
        return _repeat(x, repeats=int(counts.reshape(())), axis=axis)
    n = x.shape[axis]
    if n is not None and counts.shape != (n,):
        raise ValueError(f"repeat: {counts.size} repeats were given for {n} elements. Received: repeats={repeats}")
    return x[(slice(None),) * axis + (np.repeat(np.arange(counts.size), counts),)]


@composite(inputs=["x"])
def meshgrid(*x, indexing="xy"):
    """Coordinates of the points of a grid, from vectors of coordinates along each axis (``keras.ops.meshgrid``).

    ``indexing="xy"`` puts the second vector's axis first, ``"ij"`` keeps the order. Returns a list.

    >>> [a.tolist() for a in meshgrid([1, 2], [3, 4])]
    [[[1, 2], [1, 2]], [[3, 3], [4, 4]]]
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"`indexing` must be 'xy' or 'ij'. Received: indexing={indexing}")
    x = [ravel(item) for item in x]
    order = list(range(len(x)))
    if indexing == "xy" and len(x) > 1:
        order[:2] = 1, 0
    sizes = tuple(x[i].shape[0] for i in order)
    places = [order.index(i) for i in range(len(x))]
    columns = [reshape(a, [-1 if i == place else 1 for i in range(len(x))]) for a, place in zip(x, places, strict=True)]
    return [broadcast_to(a, sizes) for a in columns]


# ---- turning about
@op(shapes.same, [lambda g, y, x, axis: flip(g, axis)], keep, views=True)
def flip(xp, x, axis=None):
    """In reverse order along the given axes, all for None (``keras.ops.flip``).

    >>> flip([1, 2, 3]).tolist()
    [3, 2, 1]
    """
    return xp.flip(x, tuple(axis) if isinstance(axis, list) else axis)


@composite
def fliplr(x):
    """In reverse order along the second axis (``keras.ops.fliplr``).

    >>> fliplr([[1, 2]]).tolist()
    [[2, 1]]
    """
    _rank(x, 2, "fliplr")
    return flip(x, 1)


@composite
def flipud(x):
    """In reverse order along the first axis (``keras.ops.flipud``).

    >>> flipud([[1], [2]]).tolist()
    [[2], [1]]
    """
    _rank(x, 1, "flipud")
    return flip(x, 0)


def _opposite(shift):
    return -shift if isinstance(shift, (int, np.integer)) else tuple(-s for s in shift)


@op(shapes.same, [lambda g, y, x, shift, axis: roll(g, _opposite(shift), axis)], keep)
def roll(xp, x, shift, axis=None):
    """Moved along axes by ``shift`` places; what falls off the end comes in at the start (``keras.ops.roll``).

    >>> roll([1, 2, 3], 1).tolist()
    [3, 1, 2]
    """
    return xp.roll(x, shift, axis)


@composite(class_name="Rot90")
def rot90(array, k=1, axes=(0, 1)):
    """Turned ``k`` times by 90 degrees from the first towards the second axis (``keras.ops.rot90``).

    >>> rot90([[1, 2], [3, 4]]).tolist()
    [[2, 4], [1, 3]]
    """
    x = as_tensor(array)
    if x.ndim < 2:
        raise ValueError(f"An array of at least 2 dimensions is needed, got {x.ndim}")
    if len(axes) != 2 or axes[0] == axes[1]:
        raise ValueError(f"Invalid axes: {axes}. Give a tuple of two that differ.")
    a, b = (normalize_axis(axis, x.ndim) for axis in axes)
    if k % 2 == 0:
        return flip(x, (a, b)) if k % 4 else x
    return swapaxes(flip(x, b), a, b) if k % 4 == 1 else flip(swapaxes(x, a, b), b)


# ---- diagonals
def _diagonal_size(rows, columns, offset):
    return None if None in (rows, columns) else max(0, min(rows + min(offset, 0), columns - max(offset, 0)))


def _diagonal_shape(shape, offset, axis1, axis2):
    if len(shape) < 2:
        raise ValueError(f"diagonal needs a tensor of rank 2 or more. Received shape {shape}.")
    a, b = normalize_axis(axis1, len(shape)), normalize_axis(axis2, len(shape))
    if a == b:
        raise ValueError(f"`axis1` and `axis2` must differ, got {axis1} and {axis2}")
    return (*[n for i, n in enumerate(shape) if i not in (a, b)], _diagonal_size(shape[a], shape[b], offset))


@op(
    _diagonal_shape,
    [lambda g, y, x, offset, axis1, axis2: _on_diagonal(g, shape=x.shape, offset=offset, axis1=axis1, axis2=axis2)],
    keep,
    views=True,
)
def diagonal(xp, x, offset=0, axis1=0, axis2=1):
    """Elements whose second index is larger than the first by ``offset``, as a new last axis (``keras.ops.diagonal``).

    >>> diagonal([[1, 2], [3, 4]]).tolist()
    [1, 4]
    """
    return xp.diagonal(x, offset, axis1, axis2)


@op(
    lambda x, shape, **attrs: shape,
    [lambda g, y, x, shape, offset, axis1, axis2: diagonal(g, offset, axis1, axis2)],
    keep,
)
def _on_diagonal(xp, x, shape, offset=0, axis1=0, axis2=1):
    """Zeros of the given shape with ``x`` on a diagonal: what diagonal's gradient is."""
    y = xp.zeros(shape, dtype=x.dtype)
    i = xp.arange(x.shape[-1])
    xp.moveaxis(y, (axis1, axis2), (-2, -1))[..., i + max(-offset, 0), i + max(offset, 0)] = x
    return y


@composite
def diag(x, k=0):
    """The ``k``-th diagonal of a matrix, or the matrix with a vector on that diagonal (``keras.ops.diag``).

    >>> diag([1, 2]).tolist()
    [[1, 0], [0, 2]]
    """
    x = as_tensor(x)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ValueError(f"`x` must be 1-D or 2-D. Received: x.shape={x.shape}")
    n = None if x.shape[0] is None else x.shape[0] + abs(k)
    return _on_diagonal(x, shape=(n, n), offset=k)


@composite
def diagflat(x, k=0):
    """The matrix with all elements of ``x`` on its ``k``-th diagonal (``keras.ops.diagflat``).

    >>> diagflat([[1, 2]]).tolist()
    [[1, 0], [0, 2]]
    """
    return diag(ravel(x), k)


def _trace_gradient(g, y, x, offset, axis1, axis2):
    size = _diagonal_size(x.shape[axis1], x.shape[axis2], offset)
    return _on_diagonal(broadcast_to(expand_dims(g, -1), (*g.shape, size)), shape=x.shape, offset=offset, axis1=axis1, axis2=axis2)


@op(lambda shape, **attrs: _diagonal_shape(shape, **attrs)[:-1], [_trace_gradient], accumulate)
def _trace(xp, x, offset=0, axis1=0, axis2=1):
    wide = xp.float32 if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x.dtype  # as sum
    return xp.trace(x, offset, axis1, axis2, dtype=wide).astype(x.dtype, copy=False)


@composite
def trace(x, offset=0, axis1=0, axis2=1):
    """Sum along a diagonal (``keras.ops.trace``).

    >>> int(trace([[1, 2], [3, 4]]))
    5
    """
    return _trace.call([as_tensor(x)], {"offset": offset, "axis1": axis1, "axis2": axis2})


@op(shapes.same, [lambda g, y, x, k: tril(g, k)], keep)
def tril(xp, x, k=0):
    """Zero above the ``k``-th diagonal of the last two axes (``keras.ops.tril``).

    >>> tril([[1, 2], [3, 4]]).tolist()
    [[1, 0], [3, 4]]
    """
    return xp.tril(x, k)


@op(shapes.same, [lambda g, y, x, k: triu(g, k)], keep)
def triu(xp, x, k=0):
    """Zero below the ``k``-th diagonal of the last two axes (``keras.ops.triu``).

    >>> triu([[1, 2], [3, 4]]).tolist()
    [[1, 2], [0, 4]]
    """
    return xp.triu(x, k)


# ---- rearranging by names
def _groups(side):
    """``"b (h w) c"`` as ``[["b"], ["h", "w"], ["c"]]``; ``1`` is an axis of size 1 without a name."""
    groups = [re.findall(r"\w+", token) for token in re.findall(r"\([^()]*\)|\w+", side)]
    if re.sub(r"\([\w\s]*\)|[\w\s]", "", side):
        raise ValueError(f"rearrange: cannot read {side!r}: expected names, and names in parentheses.")
    return [[] if group == ["1"] else group for group in groups]


def _axis_sizes(x, groups, lengths, pattern):
    """Size of each named axis: given, or worked out from the tensor; None where unknown."""
    sizes = {}
    for group, n in zip(groups, x.shape, strict=True):
        unknown = [name for name in group if name not in lengths]
        known = math.prod(lengths[name] for name in group if name in lengths)
        sizes.update({name: lengths[name] for name in group if name in lengths})
        if len(unknown) > 1:
            raise ValueError(f"rearrange: give the lengths of all but one of {group} in {pattern!r}.")
        if n is not None and (n % known if unknown else n != known):
            raise ValueError(f"rearrange: an axis of size {n} of shape {x.shape} cannot be {group} with lengths {lengths}.")
        if unknown:
            sizes[unknown[0]] = None if n is None else n // known
    return sizes


@composite(module="ops.einops", inputs=["tensor", "pattern"])
def rearrange(tensor, pattern, **axes_lengths):
    """Axes split, reordered and merged as a pattern of their names says (``keras.ops.rearrange``, from einops).

    ``axes_lengths`` gives the sizes of axes that are split off, for all but one of a group.

    >>> rearrange(as_tensor([[1, 2, 3, 4]]), "a (b c) -> (a c) b", b=2).tolist()
    [[1, 3], [2, 4]]
    """
    x = as_tensor(tensor)
    sides = pattern.split("->")
    if len(sides) != 2:
        raise ValueError(f"rearrange: the pattern must have one '->'. Received: {pattern!r}")
    before, after = (_groups(side) for side in sides)
    old, new = ([name for group in groups for name in group] for groups in (before, after))
    if sorted(old) != sorted(new) or len(set(old)) < len(old):
        raise ValueError(f"rearrange: both sides must have the same names, each once. Received: {pattern!r}")
    if len(before) != x.ndim:
        raise ValueError(f"rearrange: {pattern!r} has {len(before)} axes on its left, the tensor's shape is {x.shape}.")
    sizes = _axis_sizes(x, before, axes_lengths, pattern)
    x = transpose(reshape(x, [sizes[name] for name in old]), [old.index(name) for name in new])
    merged = [None if None in (part := [sizes[name] for name in group]) else math.prod(part) for group in after]
    return reshape(x, merged)
