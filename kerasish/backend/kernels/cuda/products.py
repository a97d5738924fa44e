"""Matrix products by kernels of our own, for what no library takes: small ones in tiles (``tiles.py``), thin ones as sums.

Thin ones, of few columns such as a layer's with one unit, read a large matrix once and do nothing else, so its bytes bound them. Where its
rows lie in order a warp sums along each; where they lie across, threads walk down, neighbours beside each other. Products so large
that a library would be much faster are left to CuPy.
"""

import math

from kerasish.backend.kernels.cuda.cublaslt import tf32
from kerasish.backend.kernels.cuda.launch import THREADS, Launch, candidate, source
from kerasish.backend.kernels.cuda.operands import DTYPES, Digit, Item, Operand, Result, Side, batch, digits, distances
from kerasish.backend.kernels.cuda.prelude import MEMORY, REGISTER, WARP
from kerasish.backend.kernels.cuda.tiles import product

_LARGEST = 2 << 30  # products
_THIN, _LEAST_STEPS = 4, 16  # columns, steps of the sum


@candidate("matmul")
def matmul(request):
    """Products of matrices, batches and vectors with any strides."""
    (x, y), out = request.inputs, request.outputs[0]
    if not x.dtype == y.dtype == out.dtype or out.dtype not in DTYPES:
        return None
    if not out.size:
        return []
    lead = out.shape[: len(out.shape) - (len(x.shape) > 1) - (len(y.shape) > 1)]
    x = x if len(x.shape) > 1 else x.view((1, *x.shape), (0, *x.strides))
    y = y if len(y.shape) > 1 else y.view((*y.shape, 1), (*y.strides, 0))
    (m, k), n = x.shape[-2:], y.shape[-1]
    if out.size * k > _LARGEST or not out.dense:
        return None
    out = out.view((*lead, m, n))
    apart = list(zip(lead, _repeated(x, lead), _repeated(y, lead), out.strides, strict=False))
    shared = [axis for axis in apart if not axis[2]]  # these have the same y, so they are more rows
    items = [Item(*axis) for axis in reversed(apart) if axis[2] and axis[0] > 1]
    sizes = [*(axis[0] for axis in shared), m]
    rows_x, rows_out = (digits(sizes, [*(axis[j] for axis in shared), b.strides[-2]]) for j, b in ((1, x), (3, out)))
    shape, columns = (math.prod(sizes), n, k), (Digit(n, y.strides[-1]),)
    steps_x, steps_y = (Digit(k, x.strides[-1]),), (Digit(k, y.strides[-2]),)
    a, b, c = Operand(x, rows_x, steps_x), Operand(y, columns, steps_y), Result(out, rows_out)
    if k >= _LEAST_STEPS and min(shape[:2]) <= _THIN and len(items) <= 1:
        if shape[1] <= _THIN:
            return [_thin(a, b, c, shape, items)]
        if len(rows_out) == 1:
            turned = [Item(item.count, item.b, item.a, item.c) for item in items]
            return [_thin(b, a, Result(out, (Digit(n, 1),), rows_out[0].stride), (n, shape[0], k), turned)]
    return product(request, a, b, c, shape, items, tf32())


def _repeated(b, lead):
    """Strides of a buffer's batch axes when they are broadcast."""
    own = [0 if n == 1 else s for n, s in zip(b.shape[:-2], b.strides, strict=False)]
    return [0] * (len(lead) - len(own)) + own


_SUMS = r"""
u32 block = blockIdx.x / (u32)per;
%(start)s
%(rows)s
const int lane = threadIdx.x %% 32, group = threadIdx.x / 32;
const i64 row = (i64)(blockIdx.x %% (u32)per) * %(each)d + %(mine)s;
const bool there = row < m;
const %(memory)s *const from = a + (there ? a_row((int)row) : 0);
%(register)s sum[%(n)d] = {};
if (there) {
    #pragma unroll 4
    for (i64 i = %(first)s; i < k; i += %(step)s) {
        const %(register)s x = get(from[i * a_step]);
        #pragma unroll
        for (int j = 0; j < %(n)d; ++j) sum[j] += x * get(b[i * b_step + j * b_column]);
    }
}
#pragma unroll
for (int j = 0; j < %(n)d; ++j) {
    sum[j] = %(total)s(sum[j]);
    if (there && %(last)s) put(c + c_row((int)row) + j * c_column, sum[j]);
}
"""


def _thin(a, b, c, shape, items):
    """The launch for few columns. Any step of the sum is of one digit, so are the columns."""
    m, n, k = shape
    dtype, items = a.buffer.dtype, items or [Item(1, 0, 0, 0)]
    along = abs(a.steps[0].stride) <= abs(a.rows[0].stride) or m == 1
    per = math.ceil(m / (THREADS // WARP if along else WARP))
    rows_a, rows_c = Side("a_row", a.rows), Side("c_row", c.rows)
    values = {"m": m, "k": k, "per": per, "a_step": a.steps[0].stride, "b_step": b.steps[0].stride, "b_column": b.rows[0].stride,
              "c_column": c.column, **distances(items, "abc"), **rows_a.parameters(), **rows_c.parameters()}  # fmt: skip
    names = {"memory": MEMORY[dtype], "register": REGISTER[dtype], "n": n, "start": batch(items, "abc"),
             "rows": f"{rows_a.offset()}\n{rows_c.offset()}"}  # fmt: skip
    if along:
        names |= {"each": THREADS // WARP, "mine": "group", "first": "lane", "step": WARP, "last": "lane == 0",
                  "total": f"across<Sum, {WARP}, {THREADS}>"}  # fmt: skip
    else:
        names |= {"each": WARP, "mine": "lane", "first": "group", "step": THREADS // WARP, "last": "group == 0",
                  "total": f"down<Sum, {WARP}, {THREADS}>"}  # fmt: skip
    t = MEMORY[dtype]
    parameters = [f"const {t} *__restrict__ a", f"const {t} *__restrict__ b", f"{t} *__restrict__ c", *(f"i64 {name}" for name in values)]
    text = source(parameters, _SUMS % names, THREADS)
    return Launch(text, [a.buffer, b.buffer, c.buffer, *values.values()], per * math.prod(item.count for item in items), THREADS)
