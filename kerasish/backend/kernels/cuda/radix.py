"""A stable sort of whole numbers and of the places where they stood, in scratch memory: digit by digit, the last one first.

For each digit of 8 bits there are three launches: blocks count their digits, one block makes places of the counts, and each block puts
its pairs there, in order. Which of a warp's 32 pairs have the same digit is asked with one ballot for each bit. Nothing depends on
chance, and the number of launches depends on the number of digits alone. Memory bounds it: for each digit a pair's key is read
three times and the pair is read and written once.
"""

from kerasish.backend.kernels.cuda.launch import Launch, source

_THREADS, _EACH = 256, 8  # as many threads as a digit has values; pairs of a thread
_TILE = _THREADS * _EACH
MOST = 1 << 31  # pairs

SCAN = """
// the sum of what threads up to this one have
__device__ inline u32 running(u32 x) {
    __shared__ u32 parts[256];
    const int t = threadIdx.x;
    parts[t] = x;
    __syncthreads();
    for (int k = 1; k < 256; k *= 2) {
        const u32 before = t >= k ? parts[t - k] : 0;
        __syncthreads();
        parts[t] += before;
        __syncthreads();
    }
    x = parts[t];
    __syncthreads();
    return x;
}
"""
_COUNT = f"""
__shared__ u32 counts[256];
const int t = threadIdx.x;
counts[t] = 0;
__syncthreads();
for (int k = 0; k < {_EACH}; ++k) {{
    const i64 i = (i64)blockIdx.x * {_TILE} + k * {_THREADS} + t;
    if (i < count) atomicAdd(&counts[(u32)(keys[i] >> shift) & 255], 1u);
}}
__syncthreads();
table[(i64)blockIdx.x * 256 + t] = counts[t];
"""
_PLACE = """
const int t = threadIdx.x;
u32 total = 0;
#pragma unroll 8
for (i64 b = 0; b < blocks; ++b) total += table[b * 256 + t];
u32 at = running(total) - total;
#pragma unroll 8
for (i64 b = 0; b < blocks; ++b) {
    const u32 n = table[b * 256 + t];
    places[b * 256 + t] = at;
    at += n;
}
"""
_PUT = f"""
__shared__ u32 starts[{_THREADS // 32}][256];
const int t = threadIdx.x, lane = t % 32, warp = t / 32;
u32 at = places[(i64)blockIdx.x * 256 + t];
for (int w = 0; w < {_THREADS // 32}; ++w) starts[w][t] = 0;
__syncthreads();
const i64 first = (i64)blockIdx.x * {_TILE} + warp * {32 * _EACH} + lane;
for (int k = 0; k < {_EACH}; ++k)
    if (first + k * 32 < count) atomicAdd(&starts[warp][(u32)(keys[first + k * 32] >> shift) & 255], 1u);
__syncthreads();
for (int w = 0; w < {_THREADS // 32}; ++w) {{
    const u32 n = starts[w][t];
    starts[w][t] = at;
    at += n;
}}
__syncthreads();
for (int k = 0; k < {_EACH}; ++k) {{
    const i64 i = first + k * 32;
    const bool there = i < count;
    const KEY key = there ? keys[i] : 0;
    const u32 digit = (u32)(key >> shift) & 255;
    u32 same = __ballot_sync(0xffffffffu, there);
    #pragma unroll
    for (int b = 0; b < 8; ++b) {{
        const bool set = digit >> b & 1;
        const u32 ones = __ballot_sync(0xffffffffu, set);
        same &= set ? ones : ~ones;
    }}
    const u32 before = __popc(same & ((1u << lane) - 1)), place = starts[warp][digit] + before;
    __syncwarp();
    if (there && before == 0) starts[warp][digit] += __popc(same);
    __syncwarp();
    if (there) {{
        sorted[place] = key;
        to[place] = numbered ? (int)i : from[i];
    }}
}}
"""


def sort(request, keys, bits):
    """Sorts ``keys`` (uint32 or uint64, dense, scratch memory that is written over) by their lowest bits.

    Returns the sorted keys, the places where they stood (int32), and the launches; equal keys keep their order.
    """
    n, word = keys.size, "u64" if keys.itemsize == 8 else "u32"
    blocks = -(-n // _TILE)
    spare = request.scratch(n * keys.itemsize, (n,), keys.dtype)
    places = [request.scratch(n * 4, (n,), "int32") for _ in range(2)]
    table, starts = (request.scratch(blocks * 256 * 4, dtype="uint32") for _ in range(2))
    launches, now, order = [], keys, places[0]
    for number, shift in enumerate(range(0, max(1, bits), 8)):
        after, to = (spare if now is keys else keys), places[number % 2]
        for body, parameters, args, grid in (
            (_COUNT, [f"const {word} *keys", "u32 *table", "i64 count", "i64 shift"], [now, table, n, shift], blocks),
            (_PLACE, ["const u32 *__restrict__ table", "u32 *__restrict__ places", "i64 blocks"], [table, starts, blocks], 1),
            (_PUT.replace("KEY", word),
             [f"const {word} *keys", "const int *from", "const u32 *places", f"{word} *sorted", "int *to", "i64 count", "i64 shift",
              "i64 numbered"],
             [now, order, starts, after, to, n, shift, int(number == 0)], blocks),
        ):  # fmt: skip
            launches.append(Launch(source(parameters, body, _THREADS, more=SCAN), args, grid, _THREADS))
        now, order = after, to
    return now, order, launches
