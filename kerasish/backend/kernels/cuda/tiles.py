"""Products ``C = A B`` in tiles, whose matrices may be images seen through windows (``operands.py``): no matrix of windows is made.

A block brings a tile of A and one of B to shared memory, as they lie (neighbours in memory are loaded by neighbouring threads, 16 bytes
each where that is possible), while it multiplies the tiles before. The points of its rows and of the next steps lie there too, as
tables, so divisions are made once for each. Tensor cores multiply in TF32, with sums in float32: float32 rounded to it where that is
allowed, float16 and bfloat16 as they are, since TF32 holds both exactly. All else is done by ordinary multiply-adds, of the same
elements by the same threads. Where C is small and the sum long, blocks divide the sum, and a second kernel adds their parts in order.

What bounds it is shared memory: 16 loads for 8 instructions of a tensor core at best, which is about half of its speed, and small
products wait for memory in each round; ``_cycles`` weighs that.
"""

import itertools
import math
import typing

from kerasish.backend.kernels.cuda.launch import MOST_BLOCKS, THREADS, Launch, source
from kerasish.backend.kernels.cuda.operands import (
    POINTS,
    STORE,
    Digit,
    Item,
    Result,
    Side,
    batch,
    described,
    distances,
    layout,
    point_bytes,
)
from kerasish.backend.kernels.cuda.prelude import MEMORY, REGISTER, WARP

_LEAST_STEPS, _MOST_PARTS = 128, 256  # steps of a sum that is divided for each block, parts
MULTIPROCESSORS, _RESIDENT = 132, 4  # of an H200, blocks that one has at a time
START, LATENCY, _SECOND_LAUNCH = 2000, 500, 4000  # cycles before the first round, until elements come, until another kernel runs
_BYTES, _MANY_ELEMENTS = 1500, 1 << 14  # of memory for each cycle, of a result that is added up
_TILES = {  # rows and columns of a tile: warps down and across it
    (128, 64): (4, 2), (64, 64): (2, 2), (32, 64): (1, 4),
    (128, 32): (4, 1), (64, 32): (2, 2), (32, 32): (2, 2),
    (128, 16): (4, 1), (64, 16): (4, 1), (32, 16): (2, 2),
}  # fmt: skip


# ---- the source
_TOOLS = r"""
constexpr int BM = %(bm)d, BN = %(bn)d, BK = %(bk)d, ACROSS = %(across)d, MI = BM / %(down)d / 16, NI = BN / %(across)d / 8;
constexpr int THREADS = %(threads)d;

// One thread's share of a tile: V elements side by side in memory are a unit, along the sum or across it. ROWS x BK are in shared memory,
// with a pitch at which the 32 threads that read a fragment meet 32 banks.
template <int ROWS, int AXES, int V, bool ALONG> struct Share {
    static constexpr int PITCH = ALONG ? BK + 4 : ROWS + 8, SIZE = (ALONG ? ROWS : BK) * PITCH;
    static constexpr int LINE = (ALONG ? BK : ROWS) / V, UNITS = ROWS * BK / V, EACH = (UNITS + THREADS - 1) / THREADS;
    Pack<T, V> fetched[EACH];

    static __device__ inline int place(int row, int k) { return ALONG ? row * PITCH + k : k * PITCH + row; }
    static __device__ inline void unit(int i, int *row, int *k) {
        const int side = threadIdx.x %% LINE * V, line = threadIdx.x / LINE + i * (THREADS / LINE);
        *row = ALONG ? line : side;
        *k = ALONG ? side : line;
    }
    static __device__ inline bool beyond(int i) { return UNITS %% THREADS != 0 && (int)threadIdx.x + i * THREADS >= UNITS; }
    __device__ inline void fetch(const T *x, const Point<AXES> *rows, const Point<AXES> *steps, const int *sizes, bool whole) {
        #pragma unroll
        for (int i = 0; i < EACH; ++i) {
            if (beyond(i)) continue;
            int row, k;
            unit(i, &row, &k);
            const Point<AXES> p = rows[row], q = steps[k];
            const bool there = on(p, q, sizes);
            const T *from = x + (p.offset + q.offset);
            fetched[i] = Pack<T, V>();
            if (there && (V == 1 || whole)) fetched[i] = *(const Pack<T, V> *)from;
            else if (there)
                #pragma unroll
                for (int v = 0; v < V; ++v) fetched[i].x[v] = from[v];
        }
    }
    __device__ inline void keep(S *tile) const {
        #pragma unroll
        for (int i = 0; i < EACH; ++i) {
            if (beyond(i)) continue;
            int row, k;
            unit(i, &row, &k);
            Pack<S, V> y;
            #pragma unroll
            for (int v = 0; v < V; ++v) y.x[v] = kept(get(fetched[i].x[v]));
            *(Pack<S, V> *)(tile + place(row, k)) = y;
        }
    }
};
typedef Share<BM, %(axes)d, %(wide_a)d, %(along_a)d> A;
typedef Share<BN, 1, %(wide_b)d, %(along_b)d> B;
"""
# A thread's fragments: rows (thread / 4) and 8 more, columns 2 (thread % 4) and 1 more, of each 16 x 8 of its warp's part of the tile.
_PRODUCTS = r"""
#if TENSOR_CORES
#pragma unroll
for (int k = 0; k < BK; k += 8) {
    float x[MI][4], y[NI][2];
    #pragma unroll
    for (int i = 0; i < MI; ++i)
        #pragma unroll
        for (int r = 0; r < 4; ++r) x[i][r] = (float)tile_a[A::place(row0 + i * 16 + r % 2 * 8, k + r / 2 * 4 + lane % 4)];
    #pragma unroll
    for (int j = 0; j < NI; ++j)
        #pragma unroll
        for (int r = 0; r < 2; ++r) y[j][r] = (float)tile_b[B::place(column0 + j * 8 + lane / 4, k + r * 4 + lane % 4)];
    #pragma unroll
    for (int i = 0; i < MI; ++i)
        #pragma unroll
        for (int j = 0; j < NI; ++j) multiply(sum[i][j], x[i], y[j]);
}
#else
#pragma unroll 4
for (int k = 0; k < BK; ++k) {
    S x[MI * 2], y[NI * 2];
    #pragma unroll
    for (int i = 0; i < MI * 2; ++i) x[i] = tile_a[A::place(row0 + i * 8, k)];
    #pragma unroll
    for (int j = 0; j < NI * 2; ++j) y[j] = tile_b[B::place(column0 + j / 2 * 8 + lane % 4 * 2 + j % 2, k)];
    #pragma unroll
    for (int i = 0; i < MI * 2; ++i)
        #pragma unroll
        for (int j = 0; j < NI * 2; ++j) sum[i / 2][j / 2][i % 2 * 2 + j % 2] += x[i] * y[j];
}
#endif
"""
_BODY = r"""
SHARED(S, memory);
S *const tiles_a = memory, *const tiles_b = tiles_a + 2 * A::SIZE;
Point<%(axes)d> *const rows_a = (Point<%(axes)d> *)(tiles_b + 2 * B::SIZE), *const steps_a = rows_a + BM;
Point<1> *const rows_b = (Point<1> *)(steps_a + 2 * BK), *const steps_b = rows_b + BN;
const int thread = threadIdx.x, lane = thread %% 32, warp = thread / 32;
u32 block = blockIdx.x;
const int n0 = (int)(block %% (u32)n_tiles) * BN;
block /= (u32)n_tiles;
const int m0 = (int)(block %% (u32)m_tiles) * BM;
block /= (u32)m_tiles;
const u32 part = block %% (u32)parts;
block /= (u32)parts;
c += part * part_size;
%(start)s
if (m0 >= m) return;
const int first = (int)(part * k_each), last = (int)(k < first + k_each ? k : first + k_each), rounds = (last - first + BK - 1) / BK;
const int sizes_a[] = {%(sizes)s}, sizes_b[] = {1};
const bool whole_a = (u64)a %% sizeof(Pack<T, %(wide_a)d>) == 0, whole_b = (u64)b %% sizeof(Pack<T, %(wide_b)d>) == 0;
%(points)s
auto fill_steps = [&](int round) {
    const int step = thread %% BK, place = round %% 2 * BK + step, index = first + round * BK + step;
    if (thread < BK) steps_a[place] = a_step(index, last);
    else if (thread < 2 * BK) steps_b[place] = b_step(index, last);
};
for (int i = thread; i < BM; i += THREADS) rows_a[i] = a_row(m0 + i, (int)m);
for (int i = thread; i < BN; i += THREADS) rows_b[i] = b_row(n0 + i, (int)n);
fill_steps(0);
fill_steps(1);
__syncthreads();
A share_a;
B share_b;
if (rounds > 0) {
    share_a.fetch(a, rows_a, steps_a, sizes_a, whole_a);
    share_b.fetch(b, rows_b, steps_b, sizes_b, whole_b);
    share_a.keep(tiles_a);
    share_b.keep(tiles_b);
}
__syncthreads();
S sum[MI][NI][4] = {};
const int row0 = warp / ACROSS * (MI * 16) + lane / 4, column0 = warp %% ACROSS * (NI * 8);
for (int round = 0; round < rounds; ++round) {
    const int now = round %% 2, next = 1 - now;
    const bool more = round + 1 < rounds;
    if (more) {
        share_a.fetch(a, rows_a, steps_a + next * BK, sizes_a, whole_a);
        share_b.fetch(b, rows_b, steps_b + next * BK, sizes_b, whole_b);
    }
    const S *const tile_a = tiles_a + now * A::SIZE, *const tile_b = tiles_b + now * B::SIZE;
    %(products)s
    if (more) {
        share_a.keep(tiles_a + next * A::SIZE);
        share_b.keep(tiles_b + next * B::SIZE);
        fill_steps(round + 2);
    }
    __syncthreads();
}
%(store)s
"""
_TOTAL = r"""
const i64 e = (i64)blockIdx.x * %(wide)d + threadIdx.x %% %(wide)d, size = m * n * items;
const int group = threadIdx.x / %(wide)d;
%(register)s sum = 0;
if (e < size)
    #pragma unroll 4
    for (i64 part = group; part < parts; part += %(groups)d) sum += x[part * size + e];
sum = down<Sum, %(wide)d, %(threads)d>(sum);
if (group || e >= size) return;
u32 block = (u32)(e / n / m);
%(start)s
%(points)s
put(c + c_row((int)(e / n %% m)) + e %% n * c_column, sum);
"""


# ---- how a product is divided
class Division(typing.NamedTuple):
    """A tile, the steps of the sum that are brought at once, and into how many parts of how many steps the sum is divided."""

    bm: int
    bn: int
    bk: int
    parts: int
    k_each: int


def divide(m, n, k, items, dtype, parted=True):
    """About how many cycles a product of these sizes takes, divided among blocks in the best way, and that way."""
    steps = (16,) if dtype == "float64" or k <= 16 else (32, 64) if k > 32 else (32,)
    best = None
    for (bm, bn), bk in itertools.product(_TILES, steps):
        if not _fits(bm, bn, bk, n, dtype):
            continue
        alone = math.ceil(m / bm) * math.ceil(n / bn) * items
        most = min(k // _LEAST_STEPS, _MOST_PARTS) if parted else 1
        for parts in sorted({1, *(min(most, wave * MULTIPROCESSORS // alone) for wave in (1, 2, 3, 4))} - {0, -1}):
            k_each = max(bk, math.ceil(math.ceil(k / max(1, parts)) / bk) * bk)
            how = Division(bm, bn, bk, max(1, math.ceil(k / k_each)), k_each)
            time = _cycles(how, alone * how.parts, m * n * items)
            if best is None or time < best[0]:
                best = time, how
    return best


def _fits(bm, bn, bk, n, dtype):
    """Whether a tile has not too many columns for the product, nor takes too many registers."""
    return bn < 2 * max(n, 9) and (bm * bn <= 2048 or (dtype != "float64" and bk < 64))


def _cycles(how, blocks, results):
    """About how long a product takes: blocks on one multiprocessor share it, each alone waits for memory in every round.

    An instruction of a tensor core needs so many loads from shared memory, an element that is brought a sixteenth of a cycle.
    """
    down, across = _TILES[how.bm, how.bn]
    mi, ni = how.bm // down // 16, how.bn // across // 8
    loads = (4 * mi + 2 * ni) / (mi * ni)
    one_round = how.bm * how.bn * how.bk / 1024 * loads + (how.bm + how.bn) * how.bk / 16
    each = math.ceil(blocks / MULTIPROCESSORS)
    waves = math.ceil(each / _RESIDENT)
    time = waves * (START + how.k_each / how.bk * max(LATENCY + 2 * one_round, each / waves * one_round))
    return time if how.parts == 1 else time + _SECOND_LAUNCH + how.parts * results * 8 / _BYTES


def product(request, a, b, c, shape, items=(), tensor=True, prologue=None):
    """The launches for ``C = A B``, None where sizes are beyond 32 bits. ``shape``: rows, columns and steps of the sum.

    ``a``, ``b``: :class:`Operand` (only A may be an image), ``c``: :class:`Result`. ``tensor``: whether float32 may be rounded to TF32.
    With a ``prologue``, ``shape`` has the most rows and steps of all its cases.
    """
    m, n, k = shape
    items = [*items] or [Item(1, 0, 0, 0)]
    count, dtype = math.prod(item.count for item in items), a.buffer.dtype
    cases = prologue.count if prologue else 1
    _, how = divide(m, n, k, count * cases, dtype, parted=prologue is None)
    m_tiles, n_tiles = math.ceil(m / how.bm), math.ceil(n / how.bn)
    blocks = m_tiles * n_tiles * how.parts * count * cases
    if max(m, n, k) >= (1 << 31) - 256 or blocks > MOST_BLOCKS:
        return None
    partial, to = how.parts > 1, c
    if partial:
        held = "float64" if dtype == "float64" else "float32"
        size = count * m * n
        memory = request.scratch(how.parts * size * (8 if held == "float64" else 4), (how.parts, size), held)
        to, pitch = Result(memory, (Digit(m, n),)), m * n
        inner = [item._replace(c=pitch * math.prod(i.count for i in items[:j])) for j, item in enumerate(items)]
    else:
        inner, size = items, 0
    sizes = {"m": m, "n": n, "k": k, "m_tiles": m_tiles, "n_tiles": n_tiles, "parts": how.parts, "k_each": how.k_each, "part_size": size}
    main = _main(a, b, to, sizes, inner, how, tensor, prologue, partial, blocks)
    return [main, added(to.buffer, c, sizes, items)] if partial else [main]


def _main(a, b, c, sizes, items, how, tensor, prologue, partial, blocks):
    names, parameters, args = described(a, b, c, items, sizes, tensor, prologue, partial)
    (wide_a, along_a), (wide_b, along_b) = layout(a), layout(b)
    down, across = _TILES[how.bm, how.bn]
    threads = WARP * down * across
    names |= {"bm": how.bm, "bn": how.bn, "bk": how.bk, "down": down, "across": across, "threads": threads, "wide_a": wide_a,
              "wide_b": wide_b, "along_a": int(along_a), "along_b": int(along_b), "store": STORE % names}  # fmt: skip
    text = source(parameters, _BODY % {**names, "products": _PRODUCTS}, threads, more=(POINTS + _TOOLS) % names)
    elements = sum((rows * (how.bk + 4) if along else how.bk * (rows + 8)) for rows, along in ((how.bm, along_a), (how.bn, along_b)))
    numbers = 2 * elements * (8 if names["register"] == "double" else 4)
    return Launch(text, args, blocks, threads, numbers + (how.bm + 2 * how.bk) * point_bytes(names["axes"]) + (how.bn + 2 * how.bk) * 16)


def added(parts, c, sizes, items):
    """The launch that adds parts."""
    dtype, rows = c.buffer.dtype, Side("c_row", c.rows)
    count = math.prod(item.count for item in items)
    values = {"m": sizes["m"], "n": sizes["n"], "parts": sizes["parts"], "items": count, "c_column": c.column, **distances(items, "c"),
              **rows.parameters()}  # fmt: skip
    elements = sizes["m"] * sizes["n"] * count
    wide = WARP if elements >= _MANY_ELEMENTS else WARP // 4  # few elements: more threads for each
    body = _TOTAL % {"register": REGISTER[dtype], "wide": wide, "groups": THREADS // wide, "threads": THREADS,
                     "start": batch(items, "c"), "points": rows.offset()}  # fmt: skip
    parameters = [f"const {REGISTER[dtype]} *x", f"{MEMORY[dtype]} *c", *(f"i64 {name}" for name in values)]
    return Launch(source(parameters, body, THREADS), [parts, c.buffer, *values.values()], math.ceil(elements / wide), THREADS)
