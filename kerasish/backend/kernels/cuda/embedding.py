"""Rows looked up by number, and the gradient of that, in fixed order.

Whoever launches doesn't look at numbers (it would have to wait for the device): a number out of range gives NaN, or 0 where there is none,
and adds nothing. The gradient has a block for each number: the one where a row's number stands first adds up all that belong to that row.
"""

import math

from kerasish.backend.kernels.cuda.launch import THREADS, Launch, candidate, source
from kerasish.backend.kernels.cuda.prelude import MEMORY, REGISTER

_INDICES = ("int32", "int64", "uint8", "uint32")
_MOST_NUMBERS = 1 << 14  # more of them would be looked through for too long

_TAKE = """
const i64 i = (i64)blockIdx.x * %d + threadIdx.x;
if (i >= count) return;
const i64 inside = i %% inner, outer = i / inner;
i64 row = (i64)ids[outer %% numbers];
if (row < 0) row += rows;
if (row >= 0 && row < rows) y[i] = x[outer / numbers * far + row * stride + inside];
else put(y + i, %s);
"""


def _lookup(request, axis):
    x, ids, y = *request.inputs, request.outputs[0]
    if ids.dtype not in _INDICES or y.dtype not in MEMORY or not ids.size:
        return None
    if not y.size:
        return []
    if axis or not x.view(x.shape[1:], x.strides[1:]).dense:
        x = request.dense(0)
    rows, inner = x.shape[axis], math.prod(x.shape[axis + 1 :])
    stride = x.strides[0] if not axis else inner
    nothing = "(float)__int_as_float(0x7fc00000)" if "float" in y.dtype else "0"
    t = MEMORY[y.dtype]
    parameters = [f"const {t} *x", f"const {MEMORY[ids.dtype]} *ids", f"{t} *y",
                  *(f"i64 {name}" for name in ("count", "numbers", "rows", "inner", "stride", "far"))]  # fmt: skip
    text = source(parameters, _TAKE % (THREADS, nothing), THREADS)
    return [request.each(text, [x, request.dense(1), y, y.size, ids.size, rows, inner, stride, rows * inner], y.size)]


@candidate("_take")
def take(request):
    """Rows, or pieces along another axis."""
    return _lookup(request, request.attrs["axis"] % len(request.inputs[0].shape))


@candidate("_get_item")
def get_rows(request):
    """``x[numbers]``, with whole axes behind."""
    key = request.attrs["key"]
    rows = len(request.inputs) == 2 and repr(key[0]) == "ARRAY" and all(item is Ellipsis or item == slice(None) for item in key[1:])
    return _lookup(request, 0) if rows else None


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
    %(type)s sum = 0;
    for (int start = me / %(threads)d * %(threads)d; start < numbers; start += %(threads)d) {
        const int i = start + t;
        const i64 other = i >= me && i < numbers ? (i64)ids[i] : -1 - rows;
        const u32 ballot = __ballot_sync(0xffffffffu, other == row || (wraps && other + rows == row));
        if (t %% 32 == 0) hits[t / 32] = ballot;
        __syncthreads();
        for (int w = 0; w < %(words)d; ++w)
            for (u32 left = hits[w]; left; left &= left - 1)
                if (c < inner) sum += get(values[(i64)(start + w * 32 + __ffs(left) - 1) * inner + c]);
        __syncthreads();
    }
    if (c < inner) put(y + row * inner + c, sum);
}
"""
_FILL = "const i64 i = (i64)blockIdx.x * %d + threadIdx.x;\nif (i < count) put(y + i, (%s)0);"


def _add(request, rows, wraps):
    values, ids, y = *request.inputs, request.outputs[0]
    known = ids.dtype in _INDICES and y.dtype == values.dtype and y.dtype in MEMORY and y.dtype != "bool"
    if not known or ids.size > _MOST_NUMBERS:
        return None
    if not y.size:
        return []
    t, names = MEMORY[y.dtype], {"threads": THREADS, "words": THREADS // 32, "type": REGISTER[y.dtype]}
    launches = [request.each(source([f"{t} *y", "i64 count"], _FILL % (THREADS, REGISTER[y.dtype]), THREADS), [y, y.size], y.size)]
    if ids.size:
        parameters = [f"const {t} *values", f"const {MEMORY[ids.dtype]} *ids", f"{t} *y",
                      *(f"i64 {name}" for name in ("numbers", "rows", "inner", "wraps"))]  # fmt: skip
        args = [request.dense(0), request.dense(1), y, ids.size, rows, y.size // rows, int(wraps)]
        launches.append(Launch(source(parameters, _ADD % names, THREADS), args, ids.size, THREADS))
    return launches


@candidate("_add_at")
def add_at(request):
    """Rows added up where their numbers say."""
    return _add(request, request.outputs[0].shape[0], wraps=True) if request.attrs.get("axis", 0) == 0 else None


@candidate("_segment")
def segment(request):
    """Sums of the rows of each segment; ids below 0 belong to none."""
    return _add(request, request.outputs[0].shape[0], wraps=False) if request.attrs["kind"] == "add" else None
