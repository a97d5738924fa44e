"""Elements picked and put along one axis, each by a number of its own, and slices that begin where a tensor says.

A thread for each result, which is bound by memory. A number out of range gives what the ops say where they say it, else NaN or 0; what is
added at places that several numbers may name is sorted first (``segments.py``).
"""

import math

from kerasish.backend.kernels.cuda import axes
from kerasish.backend.kernels.cuda.embedding import INDICES, add_pieces
from kerasish.backend.kernels.cuda.launch import THREADS, candidate, source
from kerasish.backend.kernels.cuda.prelude import MEMORY, REGISTER

_NOTHING = "(float)__int_as_float(0x7fc00000)"


def _known(*buffers):
    return all(b.dtype in MEMORY for b in buffers)


def _along(x, y, axis):
    """Strides for the axes of ``y`` of a buffer that lacks ``axis``, which ``y`` has."""
    return axes.spread(x.view((*x.shape[:axis], 1, *x.shape[axis:]), (*x.strides[:axis], 0, *x.strides[axis:])), y.shape)


@candidate("_one_hot")
def one_hot(request):
    """1 at each number, 0 elsewhere, along a new axis."""
    x, y, axis = request.inputs[0], request.outputs[0], request.attrs["axis"]
    axis = len(x.shape) if axis == -1 else axis
    if request.attrs["sparse"] or not _known(x, y):
        return None
    places = {"at": _along(x, y, axis), "place": axes.unit(len(y.shape), axis)}
    return [axes.each(request, y, f"put(y + i, ({REGISTER[y.dtype]})(get(x0[at]) == place));", [x], places)] if y.size else []


@candidate("_put_at")
def put_at(request):
    """Zeros with each value at its number along a new axis."""
    (ids, values), y = request.inputs, request.outputs[0]
    axis = request.attrs["axis"] % len(y.shape)
    if not _known(ids, values, y) or values.dtype != y.dtype:
        return None
    places = {"at0": _along(ids, y, axis), "at1": _along(values, y, axis), "place": axes.unit(len(y.shape), axis)}
    t = REGISTER[y.dtype]
    return [axes.each(request, y, f"put(y + i, get(x1[at1]) * ({t})((i64)x0[at0] == place));", [ids, values], places)] if y.size else []


@candidate("_pick_at")
def pick_at(request):
    """The element at each number, 0 for one out of range."""
    (ids, x), y = request.inputs, request.outputs[0]
    axis = request.attrs["axis"] % len(x.shape)
    if not _known(ids, x, y) or x.dtype != y.dtype or ids.shape != y.shape or not x.size:
        return None
    places = {"at0": ids.strides, "at1": [s for a, s in enumerate(x.strides) if a != axis]}
    body = """const i64 k = (i64)x0[at0];
const bool there = k >= 0 && k < n;
put(y + i, get(x1[at1 + (there ? k : 0) * stride]) * (%s)there);""" % REGISTER[y.dtype]  # noqa: UP031
    return [axes.each(request, y, body, [ids, x], places, {"n": x.shape[axis], "stride": x.strides[axis]})] if y.size else []


@candidate("_in_range")
def in_range(request):
    """Whether each number is one of a class."""
    (ids, x), y = request.inputs, request.outputs[0]
    if not _known(ids, y) or not y.size:
        return None if y.size else []
    body = f"const i64 k = (i64)x0[at];\nput(y + i, ({REGISTER[y.dtype]})(k >= 0 && k < n));"
    return [axes.each(request, y, body, [ids], {"at": ids.strides}, {"n": x.shape[request.attrs["axis"]]})]


@candidate("_take_along", "_reorder", "_pick")
def take_along(request):
    """``x[..., numbers, ...]``, with other numbers for each line."""
    (x, ids), y = request.inputs, request.outputs[0]
    axis = request.attrs.get("axis", -1) % len(x.shape)
    if not _known(x, y) or ids.dtype not in INDICES:
        return None
    flat = x.view((*x.shape[:axis], 1, *x.shape[axis + 1 :]), x.strides)
    places = {"at0": axes.without(axes.spread(flat, y.shape), axis), "at1": axes.spread(ids, y.shape)}
    body = f"""i64 k = (i64)x1[at1];
if (k < 0) k += n;
if (k >= 0 && k < n) y[i] = x0[at0 + k * stride]; else put(y + i, {_NOTHING if "float" in y.dtype else "0"});"""
    return [axes.each(request, y, body, [x, ids], places, {"n": x.shape[axis], "stride": x.strides[axis]})] if y.size else []


@candidate("_add_along", "_give_back")
def add_along(request):
    """The gradient of that: a place in all of the result for each number, and values added up by place."""
    (values, ids), y = request.inputs, request.outputs[0]
    axis, shape = request.attrs.get("axis", -1) % len(y.shape), values.shape
    if ids.dtype not in INDICES or not values.size or not y.size or y.size >= 1 << 31:
        return None if y.size and values.size else [axes.each(request, y, f"put(y + i, ({REGISTER[y.dtype]})0);")] if y.size else []
    strides = [math.prod(y.shape[a + 1 :]) for a in range(len(shape))]
    where = request.scratch(values.size * 8, shape, "int64")
    to = [0 if a == axis or y.shape[a] != n else s for a, (n, s) in enumerate(zip(shape, strides, strict=True))]
    places = {"at": axes.spread(ids, shape), "to": to}
    body = "i64 k = (i64)x0[at];\nif (k < 0) k += n;\ny[i] = k >= 0 && k < n ? to + k * stride : (i64)1 << 62;"
    launch = axes.each(request, where, body, [ids], places, {"n": y.shape[axis], "stride": strides[axis]})
    request.outputs[0] = y.view((y.size, 1))
    launches = add_pieces(request, request.dense(0).view((values.size, 1)), where.view((values.size,)), 0)
    request.outputs[0] = y
    return None if launches is None else [launch, *launches]


_IN_TOP = """
const i64 row = (i64)blockIdx.x * %d + threadIdx.x / 32;
const bool there = row < rows;
const i64 first = (there ? row : 0) * classes, target = there ? (i64)targets[row] : 0;
auto wanted = target >= 0 && target < classes ? get(x[first + target]) : -infinity();
if (wanted != wanted) wanted = -infinity();
int larger_ones = 0;
for (i64 c = threadIdx.x %% 32; c < classes; c += 32) larger_ones += get(x[first + c]) > wanted;
larger_ones = across<Sum, 32, %d>(larger_ones);
if (there && threadIdx.x %% 32 == 0) y[row] = larger_ones < k;
"""


@candidate("in_top_k")
def in_top_k(request):
    """Whether few enough of a row are larger than what its number names: a warp counts them."""
    (targets, x), y = request.inputs, request.outputs[0]
    if targets.dtype not in INDICES or "float" not in x.dtype or x.dtype not in MEMORY or y.dtype != "bool":
        return None
    if not y.size:
        return []
    parameters = [f"const {MEMORY[targets.dtype]} *targets", f"const {MEMORY[x.dtype]} *x", "bool *y", "i64 rows", "i64 classes", "i64 k"]
    body = _IN_TOP % (THREADS // 32, THREADS)
    if x.dtype == "float64":
        body = body.replace("-infinity()", "-(double)infinity()")
    text = source(parameters, body, THREADS)
    return [request.each(text, [request.dense(0), request.dense(1), y, y.size, x.shape[1], request.attrs["k"]], 32 * y.size)]


# ---- slices that begin where a tensor says: at the edge, where they would go beyond it
_BEGIN = "i64 b{a} = (i64)x1[{a}]; if (b{a} < 0) b{a} += n{a}_; if (b{a} > n{a}_ - m{a}_) b{a} = n{a}_ - m{a}_; if (b{a} < 0) b{a} = 0;"


def _begins(rank):
    """Lines that make where the slice begins of what the tensor says, one for each axis."""
    return [_BEGIN.format(a=a) for a in range(rank)]


def _slice_numbers(shape, sizes):
    return {f"{name}{a}_": n for a, pair in enumerate(zip(shape, sizes, strict=True)) for name, n in zip("nm", pair, strict=True)}


@candidate("_slice")
def sliced(request):
    """A part."""
    (x, start), y = request.inputs, request.outputs[0]
    if not _known(x) or start.dtype not in INDICES or not start.dense:
        return None
    rank = len(y.shape)
    where = "".join(f" + b{a} * s{a}_" for a in range(rank))
    body = "\n".join([*_begins(rank), f"y[i] = x0[at{where}];"])
    numbers = {**_slice_numbers(x.shape, y.shape), **{f"s{a}_": s for a, s in enumerate(x.strides)}}
    return [axes.each(request, y, body, [x, start], {"at": x.strides}, numbers)] if y.size else []


@candidate("_put_slice", "_slice_update")
def put_slice(request):
    """Zeros, or others, and a part in their place."""
    update = request.op.name == "_slice_update"
    x, start, part = request.inputs if update else (None, request.inputs[1], request.inputs[0])
    y = request.outputs[0]
    if not _known(y) or part.dtype != y.dtype or start.dtype not in INDICES or not start.dense or (update and x.dtype != y.dtype):
        return None
    rank = len(y.shape)
    inside = " && ".join([f"at{a} >= b{a} && at{a} < b{a} + m{a}_" for a in range(rank)] or ["true"])
    where = " + ".join([f"(at{a} - b{a}) * s{a}_" for a in range(rank)] or ["0"])
    other = "y[i] = x2[at];" if update else f"put(y + i, ({REGISTER[y.dtype]})0);"
    body = "\n".join([*_begins(rank), f"if ({inside}) y[i] = x0[{where}]; else {other}"])
    places = {f"at{a}": axes.unit(rank, a) for a in range(rank)} | ({"at": x.strides} if update else {})
    numbers = {**_slice_numbers(y.shape, part.shape), **{f"s{a}_": s for a, s in enumerate(part.strides)}}
    return [axes.each(request, y, body, [part, start, *([x] if update else [])], places, numbers)] if y.size else []
