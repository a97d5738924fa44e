"""Products ``C = A B`` of many rows by a small matrix, as convolutions with few channels are: elements of A go from memory to registers.

All of B that a block needs is brought to shared memory at once, so warps never wait for each other after that. Which steps of the sum
an instruction of a tensor core takes together is free, as long as A and B agree: a thread loads four neighbouring channels of a row (16
bytes, and four threads 64 of them), and these are its steps in two instructions. Rows of A pass through the first-level cache once for
each tap, and not through shared memory, which bounds ``tiles.py``: with 16 filters that takes about as long as to read images from
memory once, so bytes bound it; with 64 the tensor cores do. float32 is rounded to TF32, halves are exact in it.
"""

import itertools
import math
import typing

from kerasish.backend.kernels.cuda.launch import MOST_BLOCKS, Launch, source
from kerasish.backend.kernels.cuda.operands import POINTS, STORE, Item, described, layout, point_bytes
from kerasish.backend.kernels.cuda.prelude import WARP
from kerasish.backend.kernels.cuda.tiles import LATENCY, MULTIPROCESSORS, START, divide

_WARPS, _STEPS = 4, 16  # warps of a block, steps of the sum that are loaded together
_MOST_BYTES, _ALL_SHARED, _UNIT = 80 << 10, 227 << 10, 8 << 10  # bytes of shared memory: of a block, of a multiprocessor, that one asks for
_RESIDENT = 5  # blocks that a multiprocessor has at a time

_TOOLS = r"""
constexpr int BM = %(bm)d, BN = %(bn)d, MI = BM / %(warps)d / 16, NI = BN / 8, THREADS = 32 * %(warps)d, ROWS = 2 * MI;
constexpr int DEPTH = %(depth)d;  // loads on their way
constexpr bool ALONG = %(along)d;
constexpr int BYTES = %(bytes)d;  // of shared memory: a driver keeps one limit for each source
"""
_BODY = r"""
SHARED(float, memory);
const int thread = threadIdx.x, lane = thread %% 32;
u32 block = blockIdx.x;
const int n0 = (int)(block %% (u32)n_tiles) * BN;
block /= (u32)n_tiles;
const int m0 = (int)(block %% (u32)m_tiles) * BM;
block /= (u32)m_tiles;
%(start)s
if (m0 >= m) return;
const int steps = (int)k, chunks = steps / 16, pitch = ALONG ? steps + (steps %% 32 ? 0 : 16) : BN + 2;
const int sizes_a[] = {%(sizes)s};
const bool whole_a = (u64)a %% sizeof(Pack<T, 4>) == 0, whole_b = (u64)b %% sizeof(Pack<T, 4>) == 0 && %(wide)d == 4;
%(points)s
Point<%(axes)d> *const places = (Point<%(axes)d> *)(memory + (ALONG ? BN : steps) * pitch);
for (int i = thread; i < chunks; i += THREADS) places[i] = a_step(i * 16, steps);
for (int i = thread; i < BN * steps / 4; i += THREADS) {
    const int line = ALONG ? steps / 4 : BN / 4, side = i %% line * 4, other = i / line;
    const int step = ALONG ? side : other, column = n0 + (ALONG ? other : side);
    const T *const from = b + b_row(column, 1 << 30).offset + b_step(step, steps).offset;
    const i64 apart = ALONG ? b_step_s0 : b_row_s0;
    Pack<T, 4> x = Pack<T, 4>();
    if (whole_b && column < n) x = *(const Pack<T, 4> *)from;
    else
        #pragma unroll
        for (int v = 0; v < 4; ++v)
            if (column + (ALONG ? 0 : v) < n) x.x[v] = from[v * apart];
    #pragma unroll
    for (int v = 0; v < 4; ++v) memory[(ALONG ? column - n0 : step) * pitch + side + v] = kept(get(x.x[v]));
}
__syncthreads();
const int row0 = thread / 32 * (MI * 16) + lane / 4, column0 = 0, four = lane %% 4 * 4;
Point<%(axes)d> rows[ROWS];
#pragma unroll
for (int i = 0; i < ROWS; ++i) {
    rows[i] = a_row(m0 + row0 + i * 8, (int)m);
    rows[i].offset += four;
}
auto fetch = [&](Pack<T, 4> *x, int chunk) {
    const Point<%(axes)d> q = places[chunk];
    #pragma unroll
    for (int i = 0; i < ROWS; ++i) {
        const bool there = on(rows[i], q, sizes_a);
        const T *const from = a + (rows[i].offset + q.offset);
        x[i] = Pack<T, 4>();
        if (there && whole_a) x[i] = *(const Pack<T, 4> *)from;
        else if (there)
            #pragma unroll
            for (int v = 0; v < 4; ++v) x[i].x[v] = from[v];
    }
};
S sum[MI][NI][4] = {};
auto add = [&](const Pack<T, 4> *x, int chunk) {
    float now[ROWS][4];
    #pragma unroll
    for (int i = 0; i < ROWS; ++i)
        #pragma unroll
        for (int v = 0; v < 4; ++v) now[i][v] = kept(get(x[i].x[v]));
    #pragma unroll
    for (int j = 0; j < NI; ++j) {
        const int column = j * 8 + lane / 4, step = chunk * 16 + four;
        __align__(16) float y[4];
        if (ALONG) *(Pack<float, 4> *)y = *(const Pack<float, 4> *)(memory + column * pitch + step);
        else
            #pragma unroll
            for (int v = 0; v < 4; ++v) y[v] = memory[(step + v) * pitch + column];
        #pragma unroll
        for (int v = 0; v < 4; v += 2)
            #pragma unroll
            for (int i = 0; i < MI; ++i) {
                const float four_of_a[4] = {now[2 * i][v], now[2 * i + 1][v], now[2 * i][v + 1], now[2 * i + 1][v + 1]};
                multiply(sum[i][j], four_of_a, y + v);
            }
    }
};
Pack<T, 4> x[DEPTH][ROWS];
#pragma unroll
for (int d = 0; d < DEPTH; ++d)
    if (d < chunks) fetch(x[d], d);
for (int chunk = 0; chunk < chunks; chunk += DEPTH)
    #pragma unroll
    for (int d = 0; d < DEPTH; ++d)
        if (chunk + d < chunks) {
            add(x[d], chunk + d);
            if (chunk + d + DEPTH < chunks) fetch(x[d], chunk + d + DEPTH);
        }
%(store)s
"""


class _Division(typing.NamedTuple):
    """Rows and columns of a block, loads that are on their way for each row, bytes of shared memory."""

    bm: int
    bn: int
    depth: int
    shared: int


def _divide(m, n, k, cases, along, axes):
    """How a product is divided, and about how many cycles it takes; None where B is too large."""
    best, chunks = None, math.ceil(k / _STEPS)
    for bm, bn in itertools.product((128, 64), (16, 32, 64)):
        shared = 4 * (bn * (k + 16) if along else (bn + 2) * k) + chunks * point_bytes(axes)
        shared = math.ceil(shared / _UNIT) * _UNIT
        if bn >= 2 * max(n, 9) or shared > _MOST_BYTES:
            continue
        rows, columns = bm // _WARPS // 8, bn // 8
        depth = 4 if rows == 2 else 3 if bn < 64 else 2
        each = math.ceil(math.ceil(m / bm) * math.ceil(n / bn) * cases / MULTIPROCESSORS)
        together = min(each, _RESIDENT, _ALL_SHARED // shared)
        busy = together * _WARPS * 4 * (rows + columns)  # cycles of the first-level cache for a chunk of all blocks there
        waves = math.ceil(each / together)
        time = waves * (START + chunks * max(LATENCY / (depth - 1) + busy / together, busy)) + each * shared / 64
        if best is None or time < best[0]:
            best = time, _Division(bm, bn, depth, shared)
    return best


def product(request, a, b, c, shape, items=(), tensor=True, prologue=None):
    """The launch for a product as ``tiles.product`` has it, None where it isn't one for this way or that one is quicker."""
    m, n, k = shape
    dtype, axes = a.buffer.dtype, max(1, len(a.sizes))
    if dtype == "float64" or (dtype == "float32" and not tensor) or layout(a) != (4, True) or a.steps[0].count % _STEPS:
        return None
    items = [*items] or [Item(1, 0, 0, 0)]
    cases = math.prod(item.count for item in items) * (prologue.count if prologue else 1)
    wide, along = layout(b)
    best = _divide(m, n, k, cases, along, axes)
    if best is None or best[0] > divide(m, n, k, cases, dtype, parted=prologue is None)[0]:
        return None
    how = best[1]
    m_tiles, n_tiles = math.ceil(m / how.bm), math.ceil(n / how.bn)
    blocks = m_tiles * n_tiles * cases
    if max(m, n, k) >= (1 << 31) - 256 or blocks > MOST_BLOCKS:
        return None
    sizes = {"m": m, "n": n, "k": k, "m_tiles": m_tiles, "n_tiles": n_tiles}
    names, parameters, args = described(a, b, c, items, sizes, tensor, prologue)
    names |= {"bm": how.bm, "bn": how.bn, "depth": how.depth, "warps": _WARPS, "along": int(along), "wide": wide, "store": STORE % names,
              "bytes": how.shared}  # fmt: skip
    text = source(parameters, _BODY % names, WARP * _WARPS, more=(POINTS + _TOOLS) % names)
    return [Launch(text, args, blocks, WARP * _WARPS, how.shared)]
