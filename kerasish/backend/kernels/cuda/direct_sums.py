"""Products ``C = A B`` with a long sum and a small C, as the gradients of kernels are: elements go from memory to registers.

A warp has some rows, 16 channels of some taps, and 16 or 32 columns for itself, and goes through positions by eights. Which channels and
filters an instruction of a tensor core takes together is free: a thread loads two neighbouring channels of a position, and so many
neighbouring filters as there are instructions side by side. Warps of a block share their rows and divide positions, whose points they
find in a table; what they have is added up in shared memory, and the parts of blocks by a second kernel, in order.

Instructions bound it: of some 25 that a tap needs for eight positions, two or four are for tensor cores. float32 is rounded to TF32.
"""

import math

from kerasish.backend.kernels.cuda.launch import MOST_BLOCKS, Launch, source
from kerasish.backend.kernels.cuda.operands import POINTS, Digit, Item, Result, described, layout, point_bytes
from kerasish.backend.kernels.cuda.prelude import WARP
from kerasish.backend.kernels.cuda.tiles import added

_WARPS, _ROUND = 4, 128  # warps of a block, positions that it takes at a time
_SUMS, _BLOCKS, _MOST_PARTS = 24, 396, 264  # instructions side by side, blocks that fill a device, parts

_TOOLS = r"""
constexpr int MT = %(mt)d, NI = %(ni)d, WARPS = %(warps)d, THREADS = 32 * WARPS, SUMS = MT * NI * 4;
template <int N> __device__ inline Pack<T, N> loaded(const T *from, bool there, bool whole) {
    Pack<T, N> x = Pack<T, N>();
    if (there && whole) x = *(const Pack<T, N> *)from;
    else if (there)
        #pragma unroll
        for (int v = 0; v < N; ++v) x.x[v] = from[v];
    return x;
}
"""
_BODY = r"""
SHARED(float, memory);
Point<%(axes)d> *const steps = (Point<%(axes)d> *)(memory + WARPS * SUMS * 32), *const rows = steps + 2 * THREADS;
const int thread = threadIdx.x, lane = thread %% 32, warp = thread / 32;
u32 block = blockIdx.x;
const int n0 = (int)(block %% (u32)n_tiles) * NI * 8;
block /= (u32)n_tiles;
const int m0 = (int)(block %% (u32)m_tiles) * MT * 16;
block /= (u32)m_tiles;
const u32 part = block %% (u32)parts;
block /= (u32)parts;
c += part * part_size;
%(start)s
const int sizes_a[] = {%(sizes)s};
const bool whole_a = (u64)a %% sizeof(Pack<T, 2>) == 0, whole_b = (u64)b %% sizeof(Pack<T, NI>) == 0;
%(points)s
if (thread < MT) rows[thread] = a_row(m0 + thread * 16, (int)m);
a += lane / 4 * 2;
b += n0 + lane / 4 * NI;
float sum[MT][NI][4] = {};
const i64 first = part * k_each, last = k < first + k_each ? k : first + k_each;
for (i64 round = first, turn = 0; round < last; round += THREADS, turn ^= 1) {
    Point<%(axes)d> *const now = steps + turn * THREADS;
    now[thread] = a_step((int)(round + thread), (int)last);
    __syncthreads();
    #pragma unroll 1
    for (int step = warp * 32; step < warp * 32 + 32; step += 8) {
        const int mine = step + lane %% 4;
        const Point<%(axes)d> p[2] = {now[mine], now[mine + 4]};
        float y[NI][2];
        #pragma unroll
        for (int h = 0; h < 2; ++h) {
            const i64 place = round + mine + h * 4;
            const Pack<T, NI> x = loaded<NI>(b + place * b_step_s0, place < last, whole_b);
            #pragma unroll
            for (int j = 0; j < NI; ++j) y[j][h] = kept(get(x.x[j]));
        }
        #pragma unroll
        for (int i = 0; i < MT; ++i) {
            const Point<%(axes)d> q = rows[i];
            float x[4];
            #pragma unroll
            for (int h = 0; h < 2; ++h) {
                const Pack<T, 2> two = loaded<2>(a + (p[h].offset + q.offset), on(p[h], q, sizes_a), whole_a);
                x[h * 2] = kept(get(two.x[0]));
                x[h * 2 + 1] = kept(get(two.x[1]));
            }
            #pragma unroll
            for (int j = 0; j < NI; ++j) multiply(sum[i][j], x, y[j]);
        }
    }
}
#pragma unroll
for (int i = 0; i < MT; ++i)
    #pragma unroll
    for (int j = 0; j < NI; ++j)
        #pragma unroll
        for (int r = 0; r < 4; ++r) memory[(warp * SUMS + (i * NI + j) * 4 + r) * 32 + lane] = sum[i][j][r];
__syncthreads();
for (int e = thread; e < SUMS * 32; e += THREADS) {
    float total = 0;
    #pragma unroll
    for (int w = 0; w < WARPS; ++w) total += memory[w * SUMS * 32 + e];
    const int r = e / 32 %% 4, j = e / 128 %% NI, of_a = e %% 32 / 4 * 2 + r / 2, of_b = (e %% 4 * 2 + r %% 2) * NI + j;
    const int row = m0 + e / 128 / NI * 16 + of_a;
    if (row < m) c[c_row(row) + n0 + of_b] = total;
}
"""


def product(request, a, b, c, shape, items=(), tensor=True):
    """The launches for a product as ``tiles.product`` has it, None where it isn't one for this way."""
    m, n, k = shape
    dtype, first = a.buffer.dtype, a.rows[0]
    if dtype == "float64" or (dtype == "float32" and not tensor) or layout(a) != (4, False) or layout(b) != (4, False):
        return None
    if first.count % 16 or n % 16 or len(b.steps) > 1 or k < 8 * _ROUND:
        return None
    items = [*items] or [Item(1, 0, 0, 0)]
    count, blocks_of_m, ni = math.prod(item.count for item in items), m // 16, 4 if n % 32 == 0 else 2
    mt = min(range(1, _SUMS // ni + 1), key=lambda mt: (math.ceil(blocks_of_m / mt) * (mt + 1), -mt))
    m_tiles, n_tiles = math.ceil(blocks_of_m / mt), n // (8 * ni)
    alone = m_tiles * n_tiles * count
    if alone > _BLOCKS:  # C is not small: larger tiles read less
        return None
    parts = max(1, min(_BLOCKS // alone, k // (2 * _ROUND), _MOST_PARTS))
    k_each = math.ceil(math.ceil(k / parts) / _ROUND) * _ROUND
    parts = math.ceil(k / k_each)
    if max(m, n, k) >= (1 << 31) - 256 or alone * parts > MOST_BLOCKS:
        return None
    memory = request.scratch(parts * count * m * n * 4, (parts, count * m * n), "float32")
    sizes = {"m": m, "n": n, "k": k, "m_tiles": m_tiles, "n_tiles": n_tiles, "parts": parts, "k_each": k_each, "part_size": count * m * n}
    apart = [item._replace(c=m * n * math.prod(i.count for i in items[:j])) for j, item in enumerate(items)]
    names, parameters, args = described(a, b, Result(memory, (Digit(m, n),)), apart, sizes, tensor, partial=True)
    names |= {"mt": mt, "ni": ni, "warps": _WARPS}
    text = source(parameters, _BODY % names, WARP * _WARPS, more=(POINTS + _TOOLS) % names)
    shared = _WARPS * mt * ni * 4 * WARP * 4 + (2 * WARP * _WARPS + mt) * point_bytes(names["axes"])
    return [Launch(text, args, alone * parts, WARP * _WARPS, shared), added(memory, c, sizes, items)]
