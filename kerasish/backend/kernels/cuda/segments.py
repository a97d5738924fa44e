"""Rows put together by number: sums, products, extremes, or the last one, in the order in which they stand.

Pairs of a row's number and its place are sorted (``radix.py``); equal numbers are then a *run*. Some threads go down a piece of the
sorted rows, each in a column of its own, and write what a run within the piece comes to. Runs that go on beyond it leave parts in
scratch memory, which are put together in order by those who have the run's beginning. So the time hardly depends on how the numbers
are spread, and memory bounds it: values are read once, the result is written once and filled once.
"""

from kerasish.backend.kernels.cuda import radix
from kerasish.backend.kernels.cuda.launch import THREADS, Launch, source
from kerasish.backend.kernels.cuda.prelude import MEMORY, REGISTER

COMBINE = {"add": "Sum::combine", "multiply": "Product::combine", "maximum": "larger", "minimum": "smaller", "put": "the_last"}
START = {"add": "0", "multiply": "1", "maximum": "Max::start({}())", "minimum": "Min::start({}())", "put": "0"}
LAST = "template <class T> __device__ inline T the_last(T, T b) { return b; }\n"

_KEYS = """
const i64 i = (i64)blockIdx.x * %d + threadIdx.x;
if (i >= count) return;
i64 row = (i64)ids[i];
if (wraps && row < 0) row += rows;
keys[i] = (u32)(row < 0 || row >= rows ? rows : row);  // behind all others
"""
_WHERE = """
const int t = threadIdx.x;
const i64 group = (i64)blockIdx.x * %(high)d + t / %(wide)d, piece = group / tiles, c = group %% tiles * %(wide)d + t %% %(wide)d;
const i64 begin = piece * size, end = begin + size < count ? begin + size : count;
if (begin >= count || c >= inner) return;
"""
_PIECES = """
u32 run = keys[begin];
%(type)s sum = %(start)s;
bool opens = begin == 0 || keys[begin - 1] != run;
for (i64 i = begin; i < end; i += 8) {
    u32 key[8];
    %(type)s x[8];
    #pragma unroll
    for (int j = 0; j < 8; ++j) if (i + j < end) {
        key[j] = keys[i + j];
        x[j] = get(values[(i64)order[i + j] * inner + c]);
    }
    #pragma unroll
    for (int j = 0; j < 8; ++j) if (i + j < end) {
        if (key[j] != run) {
            if (opens) { if (run < rows) put(y + run * inner + c, sum); }
            else left[piece * 2 * inner + c] = sum;
            run = key[j]; sum = %(start)s; opens = true;
        }
        sum = %(combine)s(sum, x[j]);
    }
}
const bool closes = end == count || keys[end] != run;
if (opens && closes) { if (run < rows) put(y + run * inner + c, sum); }
else left[(piece * 2 + (opens ? 1 : 0)) * inner + c] = sum;
"""
_ACROSS = """
if (end == count) return;
const u32 run = keys[end];
if (keys[end - 1] != run || run >= rows || (begin && keys[begin - 1] == run)) return;  // no run that begins here goes on
i64 last = piece + 1, beyond = (count + size - 1) / size;  // pieces of which all of it is, and some piece of which not
while (beyond - last > 1) {
    const i64 middle = (last + beyond) / 2;
    if (keys[middle * size] == run) last = middle; else beyond = middle;
}
%(type)s sum = left[(piece * 2 + 1) * inner + c];
#pragma unroll 8
for (i64 p = piece + 1; p <= last; ++p) sum = %(combine)s(sum, left[p * 2 * inner + c]);
put(y + run * inner + c, sum);
"""


def combined(request, values, ids, y, kind, rows, wraps):
    """Launches that put rows of ``values`` together in ``y`` (rows of the same size, which hold what no row leaves): dense buffers."""
    t, m, n, inner = REGISTER[y.dtype], MEMORY[y.dtype], ids.size, y.size // rows
    keys = request.scratch(n * 4, (n,), "uint32")
    parameters = [f"const {MEMORY[ids.dtype]} *ids", "u32 *keys", "i64 count", "i64 rows", "i64 wraps"]
    launches = [request.each(source(parameters, _KEYS % THREADS, THREADS), [ids, keys, n, rows, int(wraps)], n)]
    keys, order, sorting = radix.sort(request, keys, rows.bit_length())
    wide = min(THREADS, 1 << max(0, inner - 1).bit_length())
    size = min(1024, max(32, 1 << int(n**0.5 / 4).bit_length()))
    tiles, pieces = -(-inner // wide), -(-n // size)
    left = request.scratch(pieces * 2 * inner * (8 if t in ("double", "i64") else 4), dtype="uint8")
    names = {"high": THREADS // wide, "wide": wide, "type": t, "start": START[kind].format(t), "combine": COMBINE[kind]}
    parameters = ["const u32 *keys", "const int *order", f"const {m} *values", f"{m} *y", f"{t} *left",
                  *(f"i64 {name}" for name in ("count", "rows", "inner", "size", "tiles"))]  # fmt: skip
    args, grid = [keys, order, values, y, left, n, rows, inner, size, tiles], -(-(pieces * tiles) // (THREADS // wide))
    for body in (_PIECES, _ACROSS):
        sorting.append(Launch(source(parameters, (_WHERE + body) % names, THREADS, more=LAST), args, grid, THREADS))
    return [*launches, *sorting]
