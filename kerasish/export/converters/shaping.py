"""Shapes, axes, joining, splitting, repeating, diagonals; tensors made of a shape."""

import numpy as np

from kerasish.backend.autodiff.shapes import normalize_axes, normalize_axis
from kerasish.export.graph import onnx
from kerasish.ops.sizes import Size


# ---- of a shape
@onnx("size_of")
def size_of(g, size):
    return g.scalar(size, "int32")


@onnx("positions")
def positions(g, n):
    return g.range(n, "int32")


@onnx("_ndim")
def ndim(g, x):
    return g.constant(x.ndim, "int32")


@onnx("_size")
def size(g, x):
    return g.cast(g.Size(x), "int32")


def _filled(value):
    def convert(g, x, dtype):
        (spec,) = g.outputs
        return g.expand(g.constant(value, spec.dtype), spec.shape)

    return convert


onnx("zeros_like", "empty_like")(_filled(0))
onnx("ones_like")(_filled(1))


@onnx("full_like")
def full_like(g, x, fill_value, dtype):
    return g.expand(fill_value, x.shape)


@onnx("_linspace")
def linspace(g, start, stop, num, endpoint, axis, dtype):
    (spec,) = g.outputs
    axis = normalize_axis(axis, len(spec.shape))
    share = np.arange(num) / max(num - 1 if endpoint else num, 1)
    share = g.constant(share.reshape([-1 if i == axis else 1 for i in range(len(spec.shape))]), start.dtype)
    rest = [n for i, n in enumerate(spec.shape) if i != axis]
    start, stop = (g.unsqueeze(g.expand(x, rest), axis) for x in (start, stop))
    return g.Add(start, g.Mul(g.Sub(stop, start), share))


# ---- shapes
@onnx("cast")
def cast(g, x, dtype):
    return g.cast(x, dtype)


@onnx("reshape", "_relabel")
def reshape(g, x, newshape):
    return g.reshape(x, g.outputs[0].shape)


@onnx("broadcast_to")
def broadcast_to(g, x, shape):
    return g.expand(x, shape)


@onnx("sum_to")
def sum_to(g, x, shape):
    lead = x.ndim - len(shape)
    axes = [*range(lead), *(i + lead for i, n in enumerate(shape) if n == 1 and x.shape[i + lead] != 1)]
    return g.reshape(g.reduce("Sum", x, axes, keepdims=True), shape)


@onnx("transpose")
def transpose(g, x, axes):
    return g.transpose(x, reversed(range(x.ndim)) if axes is None else [normalize_axis(a, x.ndim) for a in axes])


# ---- joining and splitting
@onnx("_concatenate")
def concatenate(g, *xs, axis):
    return g.Concat(*xs, axis=normalize_axis(axis, xs[0].ndim))


@onnx("_stack", "stack_rows")
def stack(g, *xs, axis=0):
    axis = normalize_axis(axis, xs[0].ndim + 1)
    return g.Concat(*[g.unsqueeze(x, axis) for x in xs], axis=axis)


@onnx("_split")
def split(g, x, parts, axis, equal):
    sizes = [spec.shape[axis] for spec in g.outputs]
    if len(sizes) == 1:
        return g.Identity(x)
    return g.Split(x, g.shape(sizes), axis=normalize_axis(axis, x.ndim), outputs=len(sizes))


@onnx("_unstack")
def unstack(g, x, axis, num):
    return tuple(g.Gather(x, g.constant(i, "int64"), axis=axis) for i in range(num))


# ---- repeating
@onnx("_tile")
def tile(g, x, repeats):
    repeats = [repeats] if isinstance(repeats, int) else list(repeats)
    if len(repeats) > x.ndim:
        x = g.unsqueeze(x, *range(len(repeats) - x.ndim))
    return g.Tile(x, g.shape([1] * (len(g.outputs[0].shape) - len(repeats)) + repeats))


@onnx("_repeat")
def repeat(g, x, repeats, axis):
    times = [repeats if i == axis + 1 else 1 for i in range(x.ndim + 1)]
    return g.reshape(g.Tile(g.unsqueeze(x, axis + 1), g.shape(times)), g.outputs[0].shape)


@onnx("flip")
def flip(g, x, axis):
    for a in normalize_axes(axis, x.ndim):
        x = g.slice(x, a, None, None, -1)
    return x


@onnx("roll")
def roll(g, x, shift, axis):
    if axis is None:
        return g.reshape(_rolled(g, g.Reshape(x, g.int64(-1)), shift, 0, None), x.shape)
    shifts, axes = ([v] if isinstance(v, int) else list(v) for v in (shift, axis))
    for a, by in zip(axes, shifts * len(axes) if len(shifts) == 1 else shifts, strict=True):
        a = normalize_axis(a, x.ndim)
        x, shape = _rolled(g, x, by, a, x.shape[a]), x.shape
        x.shape = shape
    return x


def _rolled(g, x, by, axis, n):
    by = by % n if isinstance(n, int) and not isinstance(n, Size) and n else by
    return g.Concat(g.slice(x, axis, -by, None), g.slice(x, axis, None, -by), axis=axis) if by else g.Identity(x)


# ---- diagonals
def offsets(g, rows, columns):
    """How far each column of a matrix is right of its diagonal."""
    return g.Sub(g.unsqueeze(g.range(columns), 0), g.unsqueeze(g.range(rows), 1))


@onnx("tril")
def tril(g, x, k):
    return g.where(g.LessOrEqual(offsets(g, *x.shape[-2:]), k), x, 0)


@onnx("triu")
def triu(g, x, k):
    return g.where(g.GreaterOrEqual(offsets(g, *x.shape[-2:]), k), x, 0)


@onnx("_up_to_diagonal")
def up_to_diagonal(g, x, fill):
    return g.where(g.LessOrEqual(offsets(g, *x.shape[-2:]), 0), x, fill)


def _last(ndim, axis1, axis2):
    """An order of axes with two of them last."""
    axis1, axis2 = normalize_axis(axis1, ndim), normalize_axis(axis2, ndim)
    return [*(i for i in range(ndim) if i not in (axis1, axis2)), axis1, axis2]


@onnx("diagonal")
def diagonal(g, x, offset, axis1, axis2):
    order, n = _last(x.ndim, axis1, axis2), g.outputs[0].shape[-1]
    *rest, rows, columns = [x.shape[i] for i in order]
    flat = g.reshape(g.transpose(x, order), [*rest, rows * columns])
    columns = g.scalar(columns)
    start = g.Add(g.Mul(columns, max(-offset, 0)), max(offset, 0))
    return g.Gather(flat, g.Add(g.Mul(g.range(n), g.Add(columns, 1)), start), axis=len(rest))


@onnx("_trace")
def trace(g, x, offset, axis1, axis2):
    x = g.transpose(x, _last(x.ndim, axis1, axis2))
    kept = g.where(g.Equal(offsets(g, *x.shape[-2:]), offset), x, 0)
    return g.reduce("Sum", kept, (-2, -1))


@onnx("_on_diagonal")
def on_diagonal(g, x, shape, offset, axis1, axis2):
    order = _last(len(shape), axis1, axis2)
    rows, columns = shape[order[-2]], shape[order[-1]]
    before = max(-offset, 0)
    pads = g.shape([*[0] * (x.ndim - 1), before, *[0] * (x.ndim - 1), rows - x.shape[-1] - before])
    padded = g.Pad(x, pads, g.constant(0, x.dtype))
    y = g.where(g.Equal(offsets(g, rows, columns), offset), g.unsqueeze(padded, x.ndim), 0)
    return g.transpose(y, np.argsort(order))
