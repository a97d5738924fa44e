"""Rows looked up by number, and rows put together by number: the gradient of that, sums of segments, rows put in others' place.

Whoever launches doesn't look at numbers (it would have to wait for the device): a number out of range gives NaN, or 0 where there is none,
and adds nothing. A few numbers have a block each: the one where a row's number stands first puts together all that belong to that row,
and looks through all numbers for it. More of them are sorted first (``segments.py``). Both are in the order in which the numbers stand.
"""

import math

import numpy as np

from kerasish.backend.kernels.cuda import axes
from kerasish.backend.kernels.cuda.launch import THREADS, Launch, candidate, source
from kerasish.backend.kernels.cuda.prelude import MEMORY, REGISTER
from kerasish.backend.kernels.cuda.segments import COMBINE, LAST, START, combined

INDICES = ("int32", "int64", "uint8", "uint32")
_FEW = 1 << 11  # numbers that each block may look through

_TAKE = """
typedef %(index)s I;
const I i = (I)blockIdx.x * %(threads)d + threadIdx.x, inner = (I)n_inner, numbers = (I)n_numbers;
if (i >= (I)count) return;
const I inside = i %% inner, outer = i / inner;
i64 row = (i64)ids[outer %% numbers];
if (row < 0) row += rows;
if (row >= 0 && row < rows) y[i] = x[(i64)(outer / numbers) * far + row * stride + inside];
else put(y + i, %(nothing)s);
"""


def _lookup(request, x, ids, axis, count=1):
    """Pieces of ``x`` along an axis, or several that count as one."""
    y = request.outputs[0]
    if ids.dtype not in INDICES or y.dtype not in MEMORY:
        return None
    if not y.size:
        return []
    rows, inner = math.prod(x.shape[axis : axis + count]), math.prod(x.shape[axis + count :])
    if axis or count > 1 or not x.view(x.shape[1:], x.strides[1:]).dense:
        x = x if x.dense else request.copied(x)
    stride = x.strides[0] if not axis and count == 1 else inner
    nothing = "(float)__int_as_float(0x7fc00000)" if "float" in y.dtype else "0"
    t = MEMORY[y.dtype]
    parameters = [f"const {t} *x", f"const {MEMORY[ids.dtype]} *ids", f"{t} *y",
                  *(f"i64 {name}" for name in ("count", "n_numbers", "rows", "n_inner", "stride", "far"))]  # fmt: skip
    names = {"index": "u32" if y.size < axes.LARGEST else "i64", "threads": THREADS, "nothing": nothing}
    text = source(parameters, _TAKE % names, THREADS)
    return [request.each(text, [x, ids, y, y.size, ids.size, rows, inner, stride, rows * inner], y.size)]


@candidate("_take")
def take(request):
    """Rows, or pieces along another axis."""
    return _lookup(request, request.inputs[0], request.dense(1), request.attrs["axis"] % len(request.inputs[0].shape))


def _whole(item):
    return item is Ellipsis or item == slice(None)


def _arrays(key):
    """The axis where the index tensors of a key stand, and how many: None unless they stand together and all other axes are whole."""
    places = [i for i, item in enumerate(key) if repr(item) == "ARRAY"]
    if not places or places != list(range(places[0], places[-1] + 1)) or Ellipsis in key[: places[0]]:
        return None
    return (places[0], len(places)) if all(_whole(item) for i, item in enumerate(key) if i not in places) else None


def _one_number(request, indices, sizes):
    """Index tensors as one: the place in axes of these sizes, a huge one where there is none. None for other dtypes than integers."""
    if len(indices) == 1:
        return (indices[0] if indices[0].dense else request.copied(indices[0])), list(indices[0].shape), []
    if any(ids.dtype not in INDICES for ids in indices):
        return None
    shape = list(np.broadcast_shapes(*(ids.shape for ids in indices)))
    y = request.scratch(math.prod(shape) * 8, shape, "int64")
    return y, shape, [_numbered(request, y, indices, sizes)] if y.size else []


def _numbered(request, y, indices, sizes):
    """The launch that makes one number of several."""
    lines = ["i64 place = 0;", "bool there = true;"]
    for j in range(len(indices)):
        lines.append(f"{{ i64 k = (i64)x{j}[at{j}]; if (k < 0) k += n_{j}; there &= k >= 0 && k < n_{j}; place = place * n_{j} + k; }}")
    body = "\n".join([*lines, "y[i] = there ? place : (i64)1 << 62;"])
    places = {f"at{j}": axes.spread(ids, y.shape) for j, ids in enumerate(indices)}
    return axes.each(request, y, body, indices, places, {f"n_{j}": n for j, n in zip(range(len(indices)), sizes, strict=False)})


@candidate("_get_item")
def get_rows(request):
    """``x[numbers]``, with whole axes around."""
    found, x = _arrays(request.attrs["key"]), request.inputs[0]
    if found is None:
        return None
    axis, count = found
    ids = _one_number(request, request.inputs[1:], x.shape[axis : axis + count])
    if ids is None:
        return None
    launches = _lookup(request, x, ids[0], axis, count)
    return None if launches is None else [*ids[2], *launches]


_ADD = """
const int t = threadIdx.x, me = blockIdx.x;
__shared__ u32 hits[%(words)d];
i64 row = (i64)ids[me];
if (wraps && row < 0) row += rows;
if (row < 0 || row >= rows) return;
bool before = false;
for (int i = t; i < me; i += %(threads)d) {
    i64 other = (i64)ids[i];
    before = before || other == row || (wraps && other + rows == row);
}
if (across<Any, %(threads)d, %(threads)d>(before)) return;
for (i64 c0 = 0; c0 < inner; c0 += %(threads)d) {
    const i64 c = c0 + t;
    %(type)s sum = %(start)s;
    for (int start = me / %(threads)d * %(threads)d; start < numbers; start += %(threads)d) {
        const int i = start + t;
        const i64 other = i >= me && i < numbers ? (i64)ids[i] : -1 - rows;
        const u32 ballot = __ballot_sync(0xffffffffu, other == row || (wraps && other + rows == row));
        if (t %% 32 == 0) hits[t / 32] = ballot;
        __syncthreads();
        for (int w = 0; w < %(words)d; ++w)
            for (u32 left = hits[w]; left; left &= left - 1)
                if (c < inner) sum = %(combine)s(sum, get(values[(i64)(start + w * 32 + __ffs(left) - 1) * inner + c]));
        __syncthreads();
    }
    if (c < inner) put(y + row * inner + c, sum);
}
"""


def _together(request, values, ids, y, kind, wraps, before=None):
    """Rows of ``y`` put together, ``before`` being launches that put there what is left where there are none."""
    if ids.dtype not in INDICES or not {y.dtype, values.dtype} <= MEMORY.keys() - {"bool"} or y.dtype != values.dtype:
        return None
    if not y.size:
        return []
    rows, inner, t, m = y.shape[0], y.size // y.shape[0], REGISTER[y.dtype], MEMORY[y.dtype]
    if rows >= 1 << 31 or ids.size >= 1 << 31:
        return None
    start = START[kind].format(t)
    launches = [axes.each(request, y, f"put(y + i, ({t}){start});")] if before is None else before
    if not ids.size:
        return launches
    if ids.size > _FEW:
        return [*launches, *combined(request, values, ids, y, kind, rows, wraps)]
    names = {"threads": THREADS, "words": THREADS // 32, "type": t, "start": start, "combine": COMBINE[kind]}
    parameters = [f"const {m} *values", f"const {MEMORY[ids.dtype]} *ids", f"{m} *y",
                  *(f"i64 {name}" for name in ("numbers", "rows", "inner", "wraps"))]  # fmt: skip
    text = source(parameters, _ADD % names, THREADS, more=LAST)
    return [*launches, Launch(text, [values, ids, y, ids.size, rows, inner, int(wraps)], ids.size, THREADS)]


def _moved(x, axis, count=1):
    """A view with some axes in front."""
    order = [*range(axis, axis + count), *(a for a in range(len(x.shape)) if not axis <= a < axis + count)]
    return x.view([x.shape[a] for a in order], [x.strides[a] for a in order])


def add_pieces(request, values, ids, axis, count=1, kind="add", wraps=True, base=None):
    """Pieces along an axis of the result, or several that count as one, put together; ``values`` has as many axes there as ``ids``."""
    y = request.outputs[0]
    values = _moved(values, axis, len(ids.shape))
    values = values if values.dense else request.copied(values)
    rows = math.prod(y.shape[axis : axis + count])
    flat = rows, y.size // rows if rows else 0
    if not axis:
        return _together(request, values, ids, y.view(flat), kind, wraps, None if base is None else [request.copy(base, y)])
    moved, whole = _moved(y, axis, count), request.scratch(y.size * y.itemsize, flat, y.dtype)
    before = None if base is None else [request.copy(_moved(base, axis, count), whole.view(moved.shape))]
    launches = _together(request, values, ids, whole, kind, wraps, before)
    return launches and [*launches, request.copy(whole.view(moved.shape), moved)]


@candidate("_add_at")
def add_at(request):
    """Pieces added up where their numbers say."""
    return add_pieces(request, request.inputs[0], request.dense(1), request.attrs.get("axis", 0) % len(request.outputs[0].shape))


@candidate("_flat_ids")
def flat_ids(request):
    """Coordinates as one number each."""
    x, indices, y = request.inputs[0], request.inputs[1:], request.outputs[0]
    if y.dtype != "int64" or any(ids.dtype not in INDICES for ids in indices):
        return None
    return [_numbered(request, y, indices, x.shape)] if y.size else []


@candidate("_put")
def put_rows(request):
    """The gradient of ``x[numbers]``: zeros, with rows added up where their numbers say."""
    y, found = request.outputs[0], _arrays(request.attrs["key"])
    return _at_coordinates(request, request.inputs[0], request.inputs[1:], y, found, "add") if found else None


@candidate("_set")
def set_rows(request):
    """Others in the place of rows; of equal numbers the last one counts."""
    y, found = request.outputs[0], _arrays(request.attrs["key"])
    if not found or request.inputs[0].dtype != y.dtype:
        return None
    return _at_coordinates(request, request.inputs[1], request.inputs[2:], y, found, "put", request.inputs[0])


def _at_coordinates(request, values, indices, y, found, kind, base=None):
    axis, count = found
    ids = _one_number(request, indices, y.shape[axis : axis + count])
    if ids is None:
        return None
    ids, shape, before = ids
    if not y.size:
        return []
    wanted = (*y.shape[:axis], *shape, *y.shape[axis + count :])
    values = values.view(wanted, axes.spread(values, wanted))
    launches = add_pieces(request, values, ids, axis, count, kind, base=base)
    return None if launches is None else [*before, *launches]


@candidate("_segment")
def segment(request):
    """What the rows of each segment come to; ids below 0 belong to none."""
    return add_pieces(request, request.inputs[0], request.dense(1), 0, kind=request.attrs["kind"], wraps=False)
