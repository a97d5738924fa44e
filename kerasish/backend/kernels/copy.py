"""Copies between strided views: transposes, slices, broadcasting, joining, padding.

A copy is brought to its simplest form first: axes of size 1 go, the others are put in the order of the result's memory, and
neighbours that lie one behind the other in both buffers become one. What is left is a loop over each axis around one of these:

- ``rows``: the last axis is contiguous in both, and is copied in vectors;
- ``tiles``: the last axis is contiguous in the result, the one before it in the source: a transposition, in square tiles that
  are turned round in registers, so that both sides see whole vectors;
- ``splat``: the last axis repeats one element, or all elements are one constant;
- ``elements``: anything else, one by one.

A task is a box: each axis is cut into so many blocks, the outer ones first, and the task's number says which block of each.
"""

import math

import numpy as np

from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.kernels.candidates import Buffer, Request, candidate
from kerasish.backend.kernels.compile import target
from kerasish.backend.kernels.emit import Pointer, f16, f32, i8, i16, i32, i64

_INTEGER = {1: i8, 2: i16, 4: i32, 8: i64}
_LOOPS = (2, 4, 6, 8)  # how many axes a kernel has: few kernels for all shapes
_MOST_RUNS = 16  # copies of a padding
_TASK = 1 << 16  # bytes that are worth a task


# ---- the kernel
def emit_copy(k, kind, itemsize, loops):
    """Arguments: source (a constant's bits for ``constant``), result, then for each axis its size, both strides, the size of a
    block and the number of blocks."""
    t = _INTEGER[itemsize]
    x = k.arg(0, i64).to(t) if kind == "constant" else pointer_to(k, 0, t)
    axes = [[k.arg(2 + 5 * a + j, i64) for j in range(5)] for a in range(loops)]
    task, bounds = k.task, []
    for size, _, _, block, count in reversed(axes):
        start = task % count * block
        bounds.insert(0, (start, k.minimum(start + block, size)))
        task = task / count
    _loop(k, _INNER[kind], x, pointer_to(k, 1, t), axes, bounds)


def pointer_to(k, i, t):
    """Argument number ``i`` as a pointer, also to 64-bit integers."""
    return k.integers(i).as_(t)


def _loop(k, inner, x, y, axes, bounds):
    if len(axes) == (2 if inner is _tiles else 1):
        return inner(k, x, y, axes, bounds)
    (_, xs, ys, _, _), *axes = axes
    (start, stop), *bounds = bounds
    with k.range(start, stop) as i:
        _loop(k, inner, x + i * xs if isinstance(x, Pointer) else x, y + i * ys, axes, bounds)


def _rows(k, x, y, axes, bounds):
    (start, stop), n = bounds[0], _lanes(k, y.element)
    runs(k, start, stop, n, lambda i, m: y.store(x.load(i, m), i))


def _splat(k, x, y, axes, bounds):
    (start, stop), n = bounds[0], _lanes(k, y.element)
    value = (x[0] if isinstance(x, Pointer) else x).splat(n)
    runs(k, start, stop, n, lambda i, m: y.store(k.shuffle(value, value, range(m)), i))


def runs(k, start, stop, n, body):
    """``body(i, m)``, for ``m`` elements from ``i`` on: by 4 vectors, by one, then what is left by powers of 2."""
    place = k.var(start)
    for step in (4 * n, n):
        last = (stop - place.value) / step * step + place.value
        with k.range(place.value, last, step) as i:
            for j in range(0, step, n):
                body(i + j, n)
        place.value = last
    left = stop - place.value
    while n > 1:
        n //= 2
        with k.when((left & n) > 0):
            body(place.value, n)
            place.value = place.value + n


def _elements(k, x, y, axes, bounds):
    (_, xs, ys, _, _), (start, stop) = axes[0], bounds[0]
    four = (stop - start) / 4 * 4 + start
    with k.range(start, four, 4) as i:
        for j in range(4):
            y[(i + j) * ys] = x[(i + j) * xs]
    with k.range(four, stop) as i:
        y[i * ys] = x[i * xs]


def _tiles(k, x, y, axes, bounds):
    """Source contiguous along the first axis ``a``, result along the second ``b``: squares, the last ones overlapping."""
    n = tile_size(k.lanes, _bytes(y.element))
    (_, _, ys, _, _), (_, xs, _, _, _) = axes
    (a_start, a_stop), (b_start, b_stop) = bounds
    with k.range(a_start, a_stop, n) as a, k.range(b_start, b_stop, n) as b:
        a_, b_ = k.minimum(a, a_stop - n), k.minimum(b, b_stop - n)
        rows = [x.load((b_ + i) * xs + a_, n) for i in range(n)]
        for i, row in enumerate(transposed(k, rows)):
            y.store(row, (a_ + i) * ys + b_)


def transposed(k, rows):
    """``n`` vectors of ``n`` lanes as a matrix, turned round: pairs of rows are interleaved, log2(n) times."""
    n = len(rows)
    for _ in range(n.bit_length() - 1):
        halves = zip(rows[: n // 2], rows[n // 2 :], strict=True)
        low, high = ([part + i // 2 + i % 2 * n for i in range(n)] for part in (0, n // 2))
        rows = [k.shuffle(a, b, order) for a, b in halves for order in (low, high)]
    return rows


_INNER = {"rows": _rows, "splat": _splat, "constant": _splat, "tiles": _tiles, "elements": _elements}


def _bytes(t):
    return t.width // 8


def _lanes(k, t):
    return k.lanes * 4 // _bytes(t)


def tile_size(lanes, itemsize):
    """Rows and columns of a tile: what a register of elements of 4 bytes, or of 8, holds."""
    return lanes if itemsize <= 4 else lanes // 2


# ---- from buffers to a kernel
def copy(request, x, y):
    """The instruction that copies one buffer to another of the same shape and dtype; both may be strided."""
    return _instruction(request, _merged(y.shape, x.strides, y.strides), x, y)


def filled(request, y, value=0):
    """The instruction that sets all elements of a buffer, which may be strided, to a number."""
    return _instruction(request, _merged(y.shape, (0,) * len(y.shape), y.strides), np.array(value).astype(y.dtype), y)


Request.copy = copy


def _merged(shape, x_strides, y_strides):
    """Axes as ``[size, source's stride, result's stride]`` in the order of the result's memory, neighbours made one."""
    axes = sorted(([n, xs, ys] for n, xs, ys in zip(shape, x_strides, y_strides, strict=True) if n != 1), key=lambda a: -abs(a[2]))
    merged = []
    for n, xs, ys in axes:
        if merged and merged[-1][1] == n * xs and merged[-1][2] == n * ys:
            merged[-1] = [merged[-1][0] * n, xs, ys]
        else:
            merged.append([n, xs, ys])
    return merged or [[1, 1, 1]]


def _kind(axes, constant, tile):
    """Which inner loop, and the axes in the order that it needs."""
    size, xs, ys = axes[-1]
    if ys == 1 and (constant or xs == 0):
        return ("constant" if constant else "splat"), axes
    if ys == xs == 1:
        return "rows", axes
    for i, axis in enumerate(axes[:-1]):
        if ys == 1 and axis[1] == 1 and axis[0] >= tile and size >= tile:
            return "tiles", [*axes[:i], *axes[i + 1 : -1], axis, axes[-1]]
    return "elements", axes


def _instruction(request, axes, x, y):
    lanes = target().lanes * 4 // y.itemsize
    tile = tile_size(target().lanes, y.itemsize)
    kind, axes = _kind(axes, not isinstance(x, Buffer), tile)
    if kind == "constant":
        x = int.from_bytes(x.tobytes().ljust(8, b"\0"), "little", signed=True)
    elif not isinstance(x, Buffer):  # the result has gaps: its elements are written one by one, read from memory
        x = Buffer(x, (1,), y.dtype)
    loops = next(n for n in _LOOPS if n >= len(axes))
    axes = [[1, 0, 0]] * (loops - len(axes)) + axes
    grains = [1] * (loops - 2) + ([tile, tile] if kind == "tiles" else [1, 64 * lanes])
    blocks = _blocks([n for n, _, _ in axes], grains, _tasks(y.size * y.itemsize, request.threads))
    args = [value for axis, block in zip(axes, blocks, strict=True) for value in (*axis, *block)]
    return request.kernel(emit_copy, [x, y, *args], math.prod(n for _, n in blocks), kind=kind, itemsize=y.itemsize, loops=loops)


def _tasks(nbytes, threads):
    """How many tasks for so many bytes."""
    return max(1, min(nbytes // _TASK, 4 * threads))


def _blocks(sizes, grains, tasks):
    """For each axis the size of a block, a multiple of its grain, and how many there are: outer axes are cut first."""
    blocks = []
    for size, grain in zip(sizes, grains, strict=True):
        block = -(-max(1, -(-size // tasks)) // grain) * grain
        count = max(1, -(-size // block))
        tasks = -(-tasks // count)
        blocks.append((block, count))
    return blocks


# ---- ops whose result is a view of their input, here copied
_VIEWS = "transpose", "broadcast_to", "flip", "diagonal", "_get_item", "_split", "_unstack"


@candidate(*_VIEWS)
def _copied_views(request):
    if len(request.inputs) > 1 or any(isinstance(item, bool) for item in request.attrs.get("key", ())):
        return None  # indexing with tensors or masks
    if not request.inputs[0].shape and not request.outputs[0].shape:  # of a number NumPy gives no view
        return [copy(request, request.inputs[0], request.outputs[0])]
    views = views_of(request.op.kernel, request.inputs[0], request.attrs)
    return [copy(request, x, y) for x, y in zip(views, request.outputs, strict=True) if y.size]


def views_of(kernel, x, attrs):
    """The buffers that an op's results are, as views of its input: its NumPy kernel is asked, with an array of those strides.

    Nothing is read: the memory of that array need not be there.
    """
    if "key" in attrs:  # an element alone would be no view, and read
        attrs = {"key": attrs["key"] if Ellipsis in attrs["key"] else (*attrs["key"], Ellipsis)}
    array = np.lib.stride_tricks.as_strided(np.empty(1, x.dtype), x.shape, [s * x.itemsize for s in x.strides])
    views = kernel(_arrays, array, **attrs)
    start = array.__array_interface__["data"][0]
    return [
        x.view(v.shape, [s // x.itemsize for s in v.strides], (v.__array_interface__["data"][0] - start) // x.itemsize)
        for v in (views if isinstance(views, tuple) else (views,))
    ]


_arrays = NumpyArrays()


@candidate("empty_like")
def _any_values(request):
    return []


@candidate("full_like")
def _full_like(request):
    value, y = request.inputs[1], request.outputs[0]
    return [copy(request, value.view(y.shape, (0,) * len(y.shape)), y)] if value.size == 1 and y.size else None


@candidate("reshape", "_relabel", "copy")
def _same_elements(request):
    x, y = request.inputs[0], request.outputs[0]
    return [copy(request, x, y.view(x.shape))] if y.size else []


@candidate("_from_pairs", "_to_pairs")
def _complex_parts(request):
    """Complex numbers and pairs of real ones are the same bytes."""
    x, y = request.inputs[0], request.outputs[0]
    if {x.itemsize, y.itemsize} not in ({4, 8}, {8, 16}) or (x.itemsize == 16 and not x.dense):
        return None  # cast as well, or strided elements that a copy doesn't know
    x, y = (Buffer(b.base, (b.size * b.itemsize // 4,), "float32", offset=b.offset * b.itemsize // 4) for b in (request.dense(0), y))
    return [copy(request, x, y)] if y.size else []


@candidate("_repeat")
def _repeat(request):
    x, y, axis, times = request.inputs[0], request.outputs[0], request.attrs["axis"], request.attrs["repeats"]
    at = axis + 1
    repeated = x.view((*x.shape[:at], times, *x.shape[at:]), (*x.strides[:at], 0, *x.strides[at:]))
    return [copy(request, repeated, y.view(repeated.shape))] if y.size else []


# ---- joining
def _part(x, axis, start, size):
    """A slice of a buffer along one axis."""
    return x.view((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.strides, start * x.strides[axis])


@candidate("_concatenate")
def _concatenate(request):
    y, instructions, start = request.outputs[0], [], 0
    axis = request.attrs["axis"] % len(y.shape)
    for x in request.inputs:
        if x.dtype != y.dtype:
            return None
        if x.size:
            instructions.append(copy(request, x, _part(y, axis, start, x.shape[axis])))
        start += x.shape[axis]
    return instructions


@candidate("_stack", "stack_rows")
def _stack(request):
    y = request.outputs[0]
    axis = request.attrs.get("axis", 0) % len(y.shape)
    if any(x.dtype != y.dtype for x in request.inputs):
        return None
    wide = [x.view((*x.shape[:axis], 1, *x.shape[axis:]), (*x.strides[:axis], 0, *x.strides[axis:])) for x in request.inputs]
    return [copy(request, x, _part(y, axis, i, 1)) for i, x in enumerate(wide) if x.size]


@candidate("_pad_repeat")
def _pad_repeat(request):
    """Slices of an axis again, before and behind all of it."""
    x, y, axis = request.inputs[0], request.outputs[0], request.attrs["axis"]
    before, after, n = request.attrs["before"], request.attrs["after"], x.shape[axis]
    if not x.size:
        return None
    sources = np.pad(np.arange(n), (before, after), request.attrs["mode"]).tolist()
    instructions = [copy(request, x, _part(y, axis, before, n))]
    for place, size, step in (*_even_runs(sources, 0, before), *_even_runs(sources, before + n, len(sources))):
        strides = (*x.strides[:axis], step * x.strides[axis], *x.strides[axis + 1 :])
        again = x.view((*x.shape[:axis], size, *x.shape[axis + 1 :]), strides, sources[place] * x.strides[axis])
        instructions.append(copy(request, again, _part(y, axis, place, size)))
    return instructions if len(instructions) <= _MOST_RUNS else None


def _even_runs(numbers, start, stop):
    """A part of a list cut where the difference of neighbours changes: for each piece its first place, its length, that difference."""
    while start < stop:
        end = start + 1
        step = numbers[end] - numbers[start] if end < stop else 0
        while end < stop and numbers[end] - numbers[end - 1] == step:
            end += 1
        yield start, end - start, step
        start = end


@candidate("extract_sequences")
def _sequences(request):
    x, y, step = request.inputs[0], request.outputs[0], request.attrs["sequence_stride"] * request.inputs[0].strides[-1]
    return [copy(request, x.view(y.shape, (*x.strides[:-1], step, x.strides[-1])), y)] if y.size else []


# ---- between half and single precision
_HALVES = {"float16": f16, "float32": f32}


def emit_cast(k, source, target):
    """Arguments: x, y, how many, how many a task."""
    x, y, count, each = k.arg(0, _HALVES[source]), k.arg(1, _HALVES[target]), k.arg(2, i64), k.arg(3, i64)
    body = lambda i, v: v.store(v.load(x, i).to(_HALVES[target]), y, i)
    k.each_vector(k.task * each, k.minimum(k.task * each + each, count), body, unroll=4)


@candidate("cast")
def _cast(request):
    x, y = request.inputs[0], request.outputs[0]
    if {x.dtype, y.dtype} != set(_HALVES) or not y.size:
        return None
    each = max(1 << 14, -(-y.size // (4 * request.threads)))
    return [request.kernel(emit_cast, [request.dense(0), y, y.size, each], -(-y.size // each), source=x.dtype, target=y.dtype)]


# ---- zeros, or another number, around
def _bordered(request, x, y, starts, value):
    """``x`` at its place in ``y``, and the number everywhere else: for each axis what is before and behind, none twice."""
    instructions, inside = [], y
    for axis, (start, n) in enumerate(zip(starts, x.shape, strict=True)):
        stop = start + n
        for a, b in ((0, start), (stop, y.shape[axis])):
            border = _part(inside, axis, a, b - a)
            if border.size:
                instructions.append(filled(request, border, value))
        inside = _part(inside, axis, start, n)
    return [*instructions, copy(request, x, inside)] if x.size else instructions


@candidate("_pad_constant")
def _pad_constant(request):
    starts = [before for before, _ in request.attrs["widths"]]
    return _bordered(request, request.inputs[0], request.outputs[0], starts, request.attrs["value"])


@candidate("_put")
def _put_slices(request):
    """The gradient of indexing with slices and integers: all zeros, then the values."""
    y, key = request.outputs[0], request.attrs["key"]
    if not y.size:
        return []
    if len(request.inputs) > 1 or any(isinstance(item, bool) for item in key):
        return None
    x, place = request.inputs[0], views_of(lambda xp, x, key: x[key], y, {"key": key})[0]
    if place.strides == y.strides and x.shape == place.shape:  # a box in y
        offset, starts = place.offset - y.offset, []
        for stride in y.strides:
            starts.append(offset // stride)
            offset %= stride
        return _bordered(request, x, y, starts, 0)
    x = views_of(lambda xp, x, shape: xp.broadcast_to(x, shape), x, {"shape": place.shape})[0]
    return [filled(request, y)] * bool(y.size) + [copy(request, x, place)] * bool(place.size)
