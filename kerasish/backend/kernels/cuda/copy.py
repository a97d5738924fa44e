"""Copies that plans make between kernels: launches of their own, so that they don't interrupt what is captured in a graph.

A thread for each element; what is contiguous in the result is written in whole lines, and memory is the bound.
"""

import math

import numpy as np

from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.autodiff.shapes import window_padding
from kerasish.backend.kernels.cuda import axes
from kerasish.backend.kernels.cuda.launch import THREADS, Request, candidate, source
from kerasish.backend.kernels.cuda.prelude import MEMORY, REGISTER, WORD, number

_ARRAYS = NumpyArrays()
_AT_ONCE = 64  # arrays that one launch puts together


def _copied(request, x, y):
    """A launch that copies one buffer to another of the same shape; both may have gaps."""
    word, found, names = WORD[y.itemsize], axes.merged(zip(y.shape, x.strides, y.strides, strict=True)), ("from", "to")
    lines = [f"typedef {axes.index_type(x, y)} I;", *axes.as_index(len(found), names),
             f"const I i = (I)blockIdx.x * {THREADS} + threadIdx.x;", "if (i >= (I)count) return;",
             *axes.offsets("i", len(found), names), "y[to] = x[from];"]  # fmt: skip
    parameters = [f"const {word} *x", f"{word} *y", "i64 count", *axes.parameters(len(found), names)]
    return request.each(source(parameters, "\n".join(lines), THREADS), [x, y, y.size, *axes.arguments(found)], y.size)


Request.copy = _copied


@candidate("reshape", "_relabel", "copy")
def whole(request):
    """All elements in order."""
    x, y = request.inputs[0], request.outputs[0]
    return [request.copy(x, y.view(x.shape))] if y.size else []


def _part(x, axis, start, size):
    """A slice of a buffer along one axis."""
    return x.view((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.strides, start * x.strides[axis])


@candidate("_concatenate")
def concatenate(request):
    """One behind the other along an axis."""
    y = request.outputs[0]
    axis, launches, start = request.attrs["axis"] % len(y.shape), [], 0
    for x in request.inputs:
        if x.dtype != y.dtype:
            return None
        if x.size:
            launches.append(request.copy(x, _part(y, axis, start, x.shape[axis])))
        start += x.shape[axis]
    return launches


@candidate("_stack", "stack_rows")
def stack(request):
    """Arrays of one shape along a new axis, many in one launch."""
    y, count = request.outputs[0], len(request.inputs)
    axis = request.attrs.get("axis", 0) % len(y.shape)
    if any(x.dtype != y.dtype for x in request.inputs) or y.itemsize not in WORD:
        return None
    inner, launches, word = math.prod(y.shape[axis + 1 :]), [], WORD[y.itemsize]
    for first in range(0, count if y.size else 0, _AT_ONCE):
        some = [request.dense(j) for j in range(first, min(count, first + _AT_ONCE))]
        n = len(some)
        lines = [f"const i64 i = (i64)blockIdx.x * {THREADS} + threadIdx.x;", "if (i >= count) return;",
                 f"const i64 inside = i % inner, which = i / inner % {n}, outer = i / inner / {n}, from = outer * inner + inside;",
                 f"{word} *const to = y + (outer * all + first + which) * inner + inside;", "switch ((int)which) {",
                 *(f"case {j}: *to = x{j}[from]; break;" for j in range(n)), "}"]  # fmt: skip
        given = [*(f"const {word} *x{j}" for j in range(n)), f"{word} *y", "i64 count", "i64 inner", "i64 all", "i64 first"]
        size = y.size // count * n
        launches.append(request.each(source(given, "\n".join(lines), THREADS), [*some, y, size, inner, count, first], size))
    return launches


# ---- ops whose result is a view of their input, here copied
def views_of(kernel, x, attrs):
    """The buffers that an op's results are, as views of its input: its kernel is asked, with an array of those strides without memory."""
    if "key" in attrs:  # an element alone would be no view, and read
        attrs = {"key": attrs["key"] if Ellipsis in attrs["key"] else (*attrs["key"], Ellipsis)}
    array = np.lib.stride_tricks.as_strided(np.empty(1, f"V{x.itemsize}"), x.shape, [s * x.itemsize for s in x.strides])
    views = kernel(_ARRAYS, array, **attrs)
    start = array.__array_interface__["data"][0]
    return [x.view(v.shape, [s // x.itemsize for s in v.strides], (v.__array_interface__["data"][0] - start) // x.itemsize)
            for v in (views if isinstance(views, tuple) else (views,))]  # fmt: skip


def _basic(key):
    """Whether a key is made of slices, integers, None and Ellipsis."""
    return not any(isinstance(item, bool) or repr(item) == "ARRAY" for item in key)


@candidate("transpose", "broadcast_to", "flip", "diagonal", "_get_item", "_split", "_unstack")
def copied_views(request):
    """What would be views of what keeps its place."""
    x = request.inputs[0]
    if len(request.inputs) > 1 or not _basic(request.attrs.get("key", ())):
        return None
    if not x.shape and not request.outputs[0].shape:  # of a number NumPy gives no view
        return [request.copy(x, request.outputs[0])]
    views = views_of(request.op.kernel, x, request.attrs)
    return [request.copy(v, y) for v, y in zip(views, request.outputs, strict=True) if y.size]


# ---- repeated
@candidate("_repeat")
def repeat(request):
    """Each slice of an axis several times."""
    x, y, axis, times = request.inputs[0], request.outputs[0], request.attrs["axis"], request.attrs["repeats"]
    axis = axis % len(x.shape) + 1
    repeated = x.view((*x.shape[:axis], times, *x.shape[axis:]), (*x.strides[:axis], 0, *x.strides[axis:]))
    return [request.copy(repeated, y.view(repeated.shape))] if y.size else []


@candidate("_tile")
def tile(request):
    """All of it several times along its axes."""
    x, y, times = request.inputs[0], request.outputs[0], request.attrs["repeats"]
    more = len(times) - len(x.shape)
    times, shape = (1,) * -more + tuple(times), (1,) * more + tuple(x.shape)
    strides = (0,) * more + tuple(x.strides)
    both = [n for pair in zip(times, shape, strict=True) for n in pair]
    repeated = x.view(both, [s for stride in strides for s in (0, stride)])
    return [request.copy(repeated, y.view(both))] if y.size else []


# ---- filled
def filled(request, y, value):
    """A launch that puts one number everywhere."""
    return axes.each(request, y, f"put(y + i, {number(value, y.dtype)});")


@candidate("empty_like")
def any_values(request):
    """Nothing to do."""
    return []


@candidate("full_like")
def full_like(request):
    """One number, or what can be repeated."""
    value, y = request.inputs[1], request.outputs[0]
    return [request.copy(value.view(y.shape, axes.spread(value, y.shape)), y)] if y.size else []


@candidate("_put")
def put_slices(request):
    """The gradient of indexing with slices and integers: all zeros, then the values."""
    x, y, key = request.inputs[0], request.outputs[0], request.attrs["key"]
    if len(request.inputs) > 1 or not _basic(key) or y.dtype not in MEMORY:
        return None
    if not y.size:
        return []
    place = views_of(lambda xp, x, key: x[key], y, {"key": key})[0]
    x = x.view(place.shape, axes.spread(x, place.shape))
    return [filled(request, y, 0)] * (place.size < y.size) + [request.copy(x, place)] * bool(place.size)


# ---- around
@candidate("_pad_constant")
def pad_constant(request):
    """A number around it: an element looks whether it is inside."""
    x, y, widths = request.inputs[0], request.outputs[0], request.attrs["widths"]
    rank = len(y.shape)
    if y.dtype not in MEMORY or x.dtype != y.dtype:
        return None
    if not y.size:
        return []
    padded = [a for a in range(rank) if tuple(widths[a]) != (0, 0)]
    places = {"from": x.strides, **{f"at{a}": axes.unit(rank, a) for a in padded}}
    numbers = {"shift": sum(x.strides[a] * widths[a][0] for a in range(rank))}
    numbers |= {f"{name}{a}": n for a in padded for name, n in (("before", widths[a][0]), ("end", widths[a][0] + x.shape[a]))}
    inside = " && ".join([f"at{a} >= before{a} && at{a} < end{a}" for a in padded] or ["true"])
    body = f"if ({inside}) y[i] = x0[from - shift];\nelse put(y + i, {number(request.attrs['value'], y.dtype)});"
    return [axes.each(request, y, body, [x], places, numbers)]


@candidate("_fit")
def fit(request):
    """As much of the last axis as is wanted, zeros behind."""
    x, y = request.inputs[0], request.outputs[0]
    if y.dtype not in MEMORY or x.dtype != y.dtype:
        return None
    kept = _part(y, len(y.shape) - 1, 0, min(x.shape[-1], y.shape[-1]))
    first = [filled(request, y, 0)] if kept.size < y.size else []
    return [*first, request.copy(_part(x, len(x.shape) - 1, 0, kept.shape[-1]), kept)] if kept.size else first


@candidate("_patches")
def patches(request):
    """Each window of an image as one row of channels, zeros where it reaches over the border."""
    x, y, attrs = request.inputs[0], request.outputs[0], request.attrs
    if y.dtype not in MEMORY or x.dtype != y.dtype:
        return None
    if not y.size or not x.size:
        return None if y.size else []
    size, strides, dilation = (tuple(attrs[name]) for name in ("size", "strides", "dilation"))
    pairs, rank = window_padding(x.shape[1:-1], size, strides, attrs["padding"], dilation), len(size)
    whole = y.view((*y.shape[:-1], *size, x.shape[-1]))
    places = {"from": [x.strides[0], *[0] * (2 * rank), x.strides[-1]]}
    for a in range(rank):
        places[f"at{a}"] = [strides[a] if b == a + 1 else dilation[a] if b == a + 1 + rank else 0 for b in range(2 * rank + 2)]
    numbers = {f"{name}{a}": v for a in range(rank)
               for name, v in (("before", pairs[a][0]), ("size", x.shape[a + 1]), ("stride", x.strides[a + 1]))}  # fmt: skip
    inside = " && ".join(f"at{a} >= before{a} && at{a} < before{a} + size{a}" for a in range(rank))
    where = "".join(f" + (at{a} - before{a}) * stride{a}" for a in range(rank))
    body = f"if ({inside}) y[i] = x0[from{where}]; else put(y + i, ({REGISTER[y.dtype]})0);"
    return [axes.each(request, whole, body, [x], places, numbers)]


_SOURCES = {
    "edge": "k < 0 ? 0 : k >= n ? n - 1 : k",
    "wrap": "modulo(k, n)",
    "symmetric": "modulo(k, 2 * n) < n ? modulo(k, 2 * n) : 2 * n - 1 - modulo(k, 2 * n)",
    "reflect": "n == 1 ? 0 : modulo(k, 2 * n - 2) < n ? modulo(k, 2 * n - 2) : 2 * n - 2 - modulo(k, 2 * n - 2)",
}


def _moved(request, axis, code, numbers):
    """A launch in which ``code`` says which slice of an axis each is a copy of, from its number ``k`` and the axis' old size ``n``."""
    x, y = request.inputs[0], request.outputs[0]
    if x.dtype not in MEMORY:
        return None
    places = {"from": axes.without(x.strides, axis), "place": axes.unit(len(y.shape), axis)}
    body = f"const i64 k = place + shift; const i64 from_k = {code};\ny[i] = x0[from + from_k * stride];"
    return [axes.each(request, y, body, [x], places, {"n": x.shape[axis], "stride": x.strides[axis], **numbers})] if y.size else []


@candidate("_pad_repeat")
def pad_repeat(request):
    """Slices of an axis again, before and behind all of it."""
    return _moved(request, request.attrs["axis"], _SOURCES[request.attrs["mode"]], {"shift": -request.attrs["before"]})


@candidate("_shift")
def shift(request):
    """One further along an axis, a number at the end."""
    x, y, axis, by = request.inputs[0], request.outputs[0], request.attrs["axis"], request.attrs["by"]
    by = 1 if by > 0 else -1
    place = axes.unit(len(y.shape), axis)
    fill = number(request.attrs["fill"], y.dtype)
    body = f"const i64 k = place - by;\nif (k >= 0 && k < n) y[i] = x0[from - by * stride]; else put(y + i, {fill});"
    numbers = {"by": by, "n": x.shape[axis], "stride": x.strides[axis]}
    return [axes.each(request, y, body, [x], {"from": x.strides, "place": place}, numbers)] if y.size and y.dtype in MEMORY else None


@candidate("tril", "triu")
def triangle(request):
    """Zeros above, or below, a diagonal."""
    x, y = request.inputs[0], request.outputs[0]
    if y.dtype not in MEMORY or len(y.shape) < 2:
        return None
    x, rank, sign = request.dense(0), len(y.shape), "<=" if request.op.name == "tril" else ">="
    places = {"row": axes.unit(rank, rank - 2), "column": axes.unit(rank, rank - 1)}
    body = f"if (column - row {sign} k) y[i] = x0[i]; else put(y + i, ({REGISTER[y.dtype]})0);"
    return [axes.each(request, y, body, [x], places, {"k": request.attrs["k"]})] if y.size else []


@candidate("_differences")
def differences(request):
    """Neighbours' differences along an axis."""
    x, y, axis = request.inputs[0], request.outputs[0], request.attrs["axis"]
    if y.dtype not in MEMORY or y.dtype == "bool":
        return None
    body = f"put(y + i, ({REGISTER[y.dtype]})(get(x0[from + stride]) - get(x0[from])));"
    return [axes.each(request, y, body, [x], {"from": x.strides}, {"stride": x.strides[axis]})] if y.size else []


@candidate("roll")
def roll(request):
    """What falls off the end of an axis comes in at the start."""
    x, y, shift, axis = request.inputs[0], request.outputs[0], request.attrs["shift"], request.attrs["axis"]
    if y.dtype not in MEMORY:
        return None
    if not y.size:
        return []
    if axis is None:
        x, y, axis = request.dense(0).view((y.size,)), y.view((y.size,)), 0
    rank, shifts = len(y.shape), {}
    pairs = np.broadcast(np.atleast_1d(shift), np.atleast_1d(axis))
    for by, a in pairs:
        shifts[int(a) % rank] = shifts.get(int(a) % rank, 0) + int(by)
    strides = list(x.strides)
    for a in shifts:
        strides[a] = 0
    places = {"from": strides, **{f"at{a}": axes.unit(rank, a) for a in shifts}}
    numbers = {f"{name}{a}": v for a, by in shifts.items() for name, v in (("by", by), ("size", x.shape[a]), ("stride", x.strides[a]))}
    where = "".join(f" + modulo(at{a} - by{a}, size{a}) * stride{a}" for a in shifts)
    return [axes.each(request, y, f"y[i] = x0[from{where}];", [x], places, numbers)]
