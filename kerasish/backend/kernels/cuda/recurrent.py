"""Whole sequences through an LSTM or a GRU, and back (``ops/recurrent.py``): a block takes one example through all steps.

No step waits for another block, so a sequence is one launch. Four threads share a unit, and each has a quarter of what the unit's gates
are sums over: its part of the recurrent kernel stays in registers, the rest in shared memory, from the first step to the last. The state
is in shared memory, twice, so that a step has one barrier. Four threads exchange their sums such that each has one gate; back in time
sixteen exchange theirs such that four each have one unit.

What bounds a step is latency: with 64 units some 70 multiplications in two warps of each scheduler, five exchanges, two tanh and the
barrier, 400 to 500 cycles in all, in which two blocks share a multiprocessor. What a step reads from memory is asked for one or two
steps before.

The op's tape has the batch as its last axis. Blocks write and read one with the batch first, and tiles of it are transposed on the way:
otherwise each number of a step would be a sector of memory of its own.

A recurrent kernel that one block can't hold takes a launch for each step: sixteen threads have a unit of four examples, and each a
sixteenth of the sum. The kernel comes from the second cache again and again, and that, with a launch's start, is what bounds it.

The recurrent kernel's gradient is one product over all steps and examples (``products.py``); the bias's is added up on the way back.
"""

import math

from kerasish.backend.kernels.cuda.launch import THREADS, Launch, Request, candidate, source
from kerasish.backend.kernels.cuda.prelude import MEMORY, REGISTER
from kerasish.backend.kernels.cuda.products import matmul

_DTYPES = ("float32", "float64", "float16", "bfloat16")
_REGISTERS = 1 << 16  # of a multiprocessor
_OTHERS = {"float": (44, 58), "double": (72, 72)}  # registers of a thread that hold no weights, without and with weights in shared memory
_LARGEST = 1 << 30  # elements of the inputs
_SHARED = 200 << 10  # bytes of dynamic shared memory that a block may have

# ---- what all kernels share
_COMMON = """
enum { GATES = %(gates)d };
typedef %(memory)s M;
typedef %(register)s T;
struct alignas(16) Four { T at[4]; };
struct Step { T a, b, c, d, e, g; bool keep; };  // what a step back reads: a row of the tape, the gradient, the mask

// four sums of four threads, whose lanes differ in BIT and BIT / 2: the total of one for each
template <int BIT> __device__ inline T own_total(const T (&sum)[4], int lane) {
    const bool high = lane & BIT, odd = lane & (BIT / 2);
    const T a = (high ? sum[2] : sum[0]) + neighbour(high ? sum[0] : sum[2], BIT);
    const T b = (high ? sum[3] : sum[1]) + neighbour(high ? sum[1] : sum[3], BIT);
    return (odd ? b : a) + neighbour(odd ? a : b, BIT / 2);
}
"""
_BLOCK = """
enum { THREADS = %(threads)d, LANES = %(lanes)d, COLUMNS = %(columns)d, PARTS = %(parts)d, KEPT = %(kept)d, CHUNKS = %(chunks)d };

// what this thread adds to each column's sum: of every chunk its numbers, times their weights
__device__ inline void product(const T (&kept)[KEPT][COLUMNS][PARTS], const Four *rest, const Four *v, T (&sum)[4]) {
    #pragma unroll
    for (int c = 0; c < 4; ++c) sum[c] = 0;
    #pragma unroll
    for (int m = 0; m < KEPT; ++m) {
        const Four x = v[m * LANES];
        #pragma unroll
        for (int i = 0; i < COLUMNS * PARTS; ++i) sum[i / PARTS] += kept[m][i / PARTS][i %% PARTS] * x.at[i %% PARTS];
    }
    #pragma unroll 1
    for (int m = KEPT; m < CHUNKS; ++m) {
        const Four x = v[m * LANES];
        #pragma unroll
        for (int c = 0; c < COLUMNS; ++c) {
            const Four w = rest[((m - KEPT) * COLUMNS + c) * THREADS];
            #pragma unroll
            for (int p = 0; p < PARTS; ++p) sum[c] += w.at[p] * x.at[p];
        }
    }
}
"""
_START = """
const int thread = threadIdx.x, lane = thread %% LANES, unit = thread / 4, gate = thread %% 4, H = (int)units, width = GATES * H;
const int steps = (int)n_steps, start = (int)n_start, way = (int)n_way;
const i64 row = blockIdx.x, far = H;
const bool mine = unit < H;
__shared__ Four vectors[2][CHUNKS * LANES];
SHARED(Four, shared);
Four *const rest = shared + thread;
auto weight = [&](int m, int c, int p) {
    %(weight)s
    return there ? (T)get(kernel[from]) : (T)0;
};
T kept[KEPT][COLUMNS][PARTS];
#pragma unroll
for (int m = 0; m < KEPT; ++m) {
    #pragma unroll
    for (int i = 0; i < COLUMNS * PARTS; ++i) kept[m][i / PARTS][i %% PARTS] = weight(m, i / PARTS, i %% PARTS);
}
#pragma unroll 1
for (int i = 0; i < (CHUNKS - KEPT) * COLUMNS; ++i) {
    Four w;
    #pragma unroll
    for (int p = 0; p < PARTS; ++p) w.at[p] = weight(KEPT + i / COLUMNS, i %% COLUMNS, p);
    rest[i * THREADS] = w;
}
for (int i = thread; i < 2 * CHUNKS * LANES * 4; i += THREADS) ((T *)vectors)[i] = 0;
__syncthreads();
"""
_FORWARD_WEIGHT = """const int k = 4 * (m * LANES + lane) + p;
    const bool there = mine && k < H;
    const i64 from = (i64)k * width + c * H + unit;"""
_BACKWARD_WEIGHT = """const int k = thread / LANES * 4 + c, other = m * LANES + lane;
    const bool there = k < H && other < H;
    const i64 from = (i64)k * width + p * H + other;"""

# ---- forward
_FORWARD = """
const M *const input = x + row * steps * width + %(column)s * H + unit;
const bool reads = mine && %(reads)s, *const keeping = masked ? mask + row * steps : 0;
auto read = [&](int t) { return reads && t < steps ? (T)get(input[(i64)(start + t * way) * width]) : (T)0; };
auto keeps = [&](int t) { return !keeping || t >= steps || keeping[start + t * way]; };
T b = 0;
if (biased && mine) { %(bias)s }
T next = read(0), later = read(1);
bool keep_next = keeps(0), keep_later = keeps(1);
T h = mine ? get(h0[row * H + unit]) : (T)0;
%(state)s
M *to = sequence + row * steps * H + unit;
T *now = tape + row * (steps + 1) * 5 * H + unit;
if (mine && !gate) {
    ((T *)vectors[0])[unit] = h;
    now[4 * far] = %(taped)s;
}
__syncthreads();
for (int t = 0; t < steps; ++t, to += H, now += 5 * far) {
    const T of_x = next + b;
    const bool keep = keep_next;
    next = later; keep_next = keep_later;
    later = read(t + 2); keep_later = keeps(t + 2);
    T sum[4];
    product(kept, rest, vectors[t %% 2] + lane, sum);
    T v = own_total<2>(sum, gate) + of_x;
    %(step)s
    if (mine) {
        if (!gate) {
            ((T *)vectors[(t + 1) %% 2])[unit] = h;
            put(to, h);
            %(write)s
            now[9 * far] = %(taped)s;
        }
        %(write_all)s
    }
    __syncthreads();
}
if (mine && !gate) {
    put(last_h + row * H + unit, h);
    %(end)s
}
"""
_LSTM = {
    "pointers": """const M *x, const M *kernel, const M *bias, const M *h0, const M *c0, const bool *mask,
                   M *sequence, M *last_h, M *last_c, T *tape""",
    "column": "gate", "reads": "true", "bias": "b = get(bias[gate * H + unit]);", "state": "T c = mine ? get(c0[row * H + unit]) : (T)0;",
    "taped": "c", "write": "", "again": "if (mine && t) c = now[4 * far];",
    "write_all": "now[gate * far] = v;", "end": "put(last_c + row * H + unit, c);",
    "step": """const T scale = gate == 2 ? (T)1 : (T)0.5;
    v = tanh(v * scale) * scale + (1 - scale);
    if (!keep) v = gate == 1;
    const T f = neighbour(v, 1), fresh = neighbour(v, 2), o = neighbour(v, 3);  // for the first of four, which has i
    c = f * c + v * fresh;
    const T y = o * tanh(c);
    if (keep) h = y;""",
}  # fmt: skip
_GRU = {
    "pointers": """const M *x, const M *kernel, const M *bias, const M *h0, const bool *mask,
                   M *sequence, M *last_h, T *tape""",
    "column": "(gate == 3 ? 2 : gate)", "reads": "gate != 2", "state": "", "taped": "h", "end": "", "write": "now[2 * far] = fresh;",
    "bias": """if (gate != 2) b = get(bias[(gate == 3 ? 2 : gate) * H + unit]);
    if (gate != 3) b += get(bias[width + gate * H + unit]);""",
    "again": "", "write_all": "if (gate != 3) now[(gate == 2 ? 3 : gate) * far] = v;",
    "step": """if (gate < 2) v = tanh(v * (T)0.5) * (T)0.5 + (T)0.5;
    if (!keep && gate < 2) v = !gate;
    const T r = neighbour(v, 1), inner = neighbour(v, 2), fresh_x = neighbour(v, 3);  // for the first of four, which has z
    T fresh = tanh(r * inner + fresh_x);
    if (!keep) fresh = 0;
    h = (h - fresh) * v + fresh;""",
}  # fmt: skip

# ---- backward
_READ = """{
        const T *const at = taped + t * 5 * far;
        y.a = at[0]; y.b = at[far]; y.c = at[2 * far]; y.d = at[3 * far]; y.e = at[4 * far];
        if (sequences) y.g = get(g[(row * steps + t) * H + unit]);
        if (masked) y.keep = mask[row * steps + start + t * way];
    }"""
_BACKWARD = """
const T *const taped = tape + row * (steps + 1) * 5 * H + unit;
auto read = [&](int t) {
    Step y = {0, 0, 0, 0, 0, 0, true};
    if (mine && t >= 0) %(read)s
    return y;
};
Step next = read(steps - 1);
const i64 last = steps;
T dh = mine ? get(g_h[row * H + unit]) : (T)0, total = 0;
%(state)s
for (int t = steps - 1; t >= 0; --t) {
    const Step s = next;
    next = read(t - 1);
    const i64 at = (row * steps + start + t * way) * width + unit;
    %(step)s
    ((T *)vectors[t %% 2])[thread] = dz;
    total += dz;
    if (mine) { %(write)s }
    __syncthreads();
    T sum[4];
    product(kept, rest, vectors[t %% 2] + lane, sum);
    dh = own_total<8>(sum, lane);
    dh += neighbour(dh, 2);
    dh += neighbour(dh, 1) + carry;
}
if (!mine) return;
if (!gate) {
    put(dh0 + row * H + unit, dh);
    %(end)s
}
%(sums)s
"""
_LSTM_BACK = {
    "pointers": """const M *g, const M *g_h, const M *g_c, const M *kernel, const bool *mask, const T *tape,
                   M *dx, M *dh0, M *dc0, T *slopes, T *sums""",
    "state": "T dc = mine ? get(g_c[row * H + unit]) : (T)0, after = mine ? taped[(last * 5 + 4) * far] : (T)0;",
    "step": """const T of_c = tanh(after);
    dh += s.g;
    dc += dh * (s.d * (1 - of_c * of_c));
    const T slope = gate == 0 ? (1 - s.a) * s.a * s.c : gate == 1 ? (1 - s.b) * s.b * s.e
                  : gate == 2 ? (1 - s.c * s.c) * s.a : (1 - s.d) * s.d * of_c;
    const T dz = slope * (gate == 3 ? dh : dc), carry = s.keep ? (T)0 : dh;
    dc *= s.b;
    after = s.e;""",
    "write": "put(dx + at + gate * H, dz); if (slopes) slopes[at + gate * H] = dz;",
    "end": "put(dc0 + row * H + unit, dc);",
    "again": "if (mine && !first) dc = cells[row * H + unit];",
    "keep": "cells[row * H + unit] = dc;",
    "place": "row * width + gate * H + unit",
    "sums": "sums[row * width + gate * H + unit] = total;",
}
_GRU_BACK = {
    "pointers": "const M *g, const M *g_h, const M *kernel, const bool *mask, const T *tape, M *dx, M *dh0, T *slopes, T *sums",
    "state": "",
    "step": """dh += s.g;
    const T fresh = (1 - s.c * s.c) * (1 - s.a) * dh;
    const T dz = gate == 0 ? (1 - s.a) * s.a * (s.e - s.c) * dh : gate == 1 ? (1 - s.b) * s.b * s.d * fresh
               : gate == 2 ? fresh * s.b : fresh;
    const T carry = dh * s.a;""",
    "write": "if (gate != 3) slopes[at + gate * H] = dz; if (gate != 2) put(dx + at + (gate == 3 ? 2 : gate) * H, dz);",
    "end": "",
    "again": "",
    "keep": "",
    "place": "row * 2 * width + (gate == 3 ? 2 : gate) * H + (gate == 2 ? width : 0) + unit",
    "sums": """T *const both = sums + row * 2 * width + unit;
if (gate != 2) both[(gate == 3 ? 2 : gate) * H] = total;
if (gate != 3) both[width + gate * H] = total;""",
}

# ---- a launch for each step
_STEP = """
const int thread = threadIdx.x, lane = thread %% 16, gate = lane %% 4, H = (int)units, width = GATES * H, t = (int)n_t;
const int steps = (int)n_steps, start = (int)n_start, way = (int)n_way, unit = (int)(blockIdx.x %% (u32)wide) * 4 + thread / 64;
const i64 top = ((i64)(blockIdx.x / (u32)wide) * 4 + thread / 16 %% 4) * 4, row = top + lane / 4, far = H * batch;
const bool mine = unit < H && row < batch;
const T *const weights = packed + (i64)(unit < H ? unit : 0) * pitch, *vectors[4];
#pragma unroll
for (int s = 0; s < 4; ++s) vectors[s] = before + (top + s < batch ? top + s : batch - 1) * pitch;
"""
_STEP_FORWARD = """
T *const now = tape + ((i64)t * 5 * H + unit) * batch + row;
const i64 at = row * steps + start + t * way;
const bool keep = !masked || !mine || mask[at];
T sum[4][4], own[4], b = 0, h = mine ? before[row * pitch + unit] : (T)0;
if (biased && mine) { %(bias)s }
if (mine && %(reads)s) b += get(x[at * width + %(column)s * H + unit]);
%(state)s
%(again)s
#pragma unroll
for (int i = 0; i < 16; ++i) sum[i / 4][i %% 4] = 0;
#pragma unroll 2
for (i64 k = 4 * lane; k < pitch; k += 64) {
    Four w[GATES];
    #pragma unroll
    for (int c = 0; c < GATES; ++c) w[c] = *(const Four *)(weights + (i64)c * H * pitch + k);
    #pragma unroll
    for (int s = 0; s < 4; ++s) {
        const Four x = *(const Four *)(vectors[s] + k);
        #pragma unroll
        for (int i = 0; i < GATES * 4; ++i) sum[i / 4][s] += w[i / 4].at[i %% 4] * x.at[i %% 4];
    }
}
#pragma unroll
for (int c = 0; c < 4; ++c) own[c] = c < GATES ? own_total<8>(sum[c], lane) : (T)0;
T v = own_total<2>(own, gate) + b;
const T old = %(taped)s;
%(step)s
if (!mine) return;
if (!gate) {
    if (!t) now[4 * far] = old;
    after_step[row * pitch + unit] = h;
    put(sequence + (row * steps + t) * H + unit, h);
    %(write)s
    now[9 * far] = %(taped)s;
}
%(write_all)s
if (!gate && t == steps - 1) {
    put(last_h + row * H + unit, h);
    %(end)s
}
"""
_STEP_BACKWARD = """
const bool first = t == steps - 1;
const i64 last = t + 1, at = (row * steps + start + t * way) * width + unit;
const T *const taped = tape + (i64)unit * batch + row;
T sum[4] = {0, 0, 0, 0}, dh = mine ? (first ? (T)get(g_h[row * H + unit]) : carries[row * H + unit]) : (T)0;
%(state)s
%(again)s
#pragma unroll 4
for (i64 k = 4 * lane; k < (first ? 0 : pitch); k += 64) {
    const Four w = *(const Four *)(weights + k);
    #pragma unroll
    for (int s = 0; s < 4; ++s) {
        const Four x = *(const Four *)(vectors[s] + k);
        #pragma unroll
        for (int i = 0; i < 4; ++i) sum[s] += w.at[i] * x.at[i];
    }
}
T all = own_total<8>(sum, lane);
all += neighbour(all, 2);
dh += all + neighbour(all, 1);
if (!mine) return;
if (t < 0) {
    if (gate) return;
    put(dh0 + row * H + unit, dh);
    %(end)s
    return;
}
Step s = {0, 0, 0, 0, 0, 0, true};
{ Step &y = s; %(read)s }
T total = first ? (T)0 : sums[%(place)s];
%(step)s
if (gate < GATES) after_step[row * pitch + gate * H + unit] = dz;
%(write)s
if (!gate) { carries[row * H + unit] = carry; %(keep)s }
total += dz;
%(sums)s
"""
_PAD = """
const i64 i = (i64)blockIdx.x * %(threads)d + threadIdx.x, row = i / pitch, column = i %% pitch;
if (i < count) y[i] = column < columns ? (%(register)s)get(x[row * down + column * right]) : (%(register)s)0;
"""

# ---- states before each step, sums, transposition
_BEFORE = """
const i64 n = (i64)blockIdx.x * %(high)d + threadIdx.x / 32;
if (n >= rows) return;
const u32 row = (u32)n / (u32)steps, place = (u32)n - row * (u32)steps, t = reverse ? (u32)steps - 1 - place : place;
const %(memory)s *const from = t ? sequence + ((i64)row * steps + t - 1) * H : h0 + row * H;
for (i64 k = threadIdx.x %% 32; k < H; k += 32) y[n * H + k] = (%(register)s)get(from[k]);
"""
_SUM = """
const i64 c = (i64)blockIdx.x * 32 + threadIdx.x %% 32;
%(register)s sum = 0;
if (c < size) for (i64 i = threadIdx.x / 32; i < count; i += %(high)d) sum += parts[i * size + c];
sum = down<Sum, 32, %(threads)d>(sum);
if (threadIdx.x < 32 && c < size) put(y + c, sum);
"""
_TRANSPOSE = """
__shared__ %(type)s tile[32][33];
const int tx = threadIdx.x %% 32, ty = threadIdx.x / 32;
const i64 r0 = blockIdx.x / wide * 32, c0 = blockIdx.x %% wide * 32;
for (int i = ty; i < 32; i += %(high)d) if (r0 + i < rows && c0 + tx < columns) tile[i][tx] = x[(r0 + i) * columns + c0 + tx];
__syncthreads();
for (int i = ty; i < 32; i += %(high)d) if (c0 + i < columns && r0 + tx < rows) y[(c0 + i) * rows + r0 + tx] = tile[tx][i];
"""


def _pointers(cell):
    return [pointer.strip() for pointer in cell["pointers"].split(",")]


def _integers(*names):
    return [f"i64 {name}" for name in names]


class _Call:
    """A call's sizes, and its launches. ``x`` (batch, steps, gates * units)."""

    def __init__(self, request, x, kernel, mask, gates):
        self.request, self.gates = request, gates
        (self.batch, self.steps, _), self.units = x.shape, kernel.shape[0]
        self.width, self.dtype = gates * self.units, "float64" if x.dtype == "float64" else "float32"
        self.memory, self.register = MEMORY[x.dtype], REGISTER[self.dtype]
        self.itemsize, self.reverse, self.masked = 8 if self.dtype == "float64" else 4, bool(request.attrs["reverse"]), bool(mask.shape)
        self.mask = request.dense(request.inputs.index(mask)) if self.masked else 0
        self.common = _COMMON % {"gates": gates, "memory": self.memory, "register": self.register}
        self.sizes = [self.steps, self.units, *((self.steps - 1, -1) if self.reverse else (0, 1))]

    def space(self, *shape):
        """Scratch memory in the dtype of the computation."""
        return self.request.scratch(math.prod(shape) * self.itemsize, shape, self.dtype)

    def of_block(self, columns, lanes, parts):
        """How the recurrent kernel is spread over a block that has all of it, and bytes of shared memory; None where it can't have it."""
        threads, chunks, each = -(-self.units // 8) * 32, -(-self.units // 16), self.gates * self.itemsize
        if threads > 1024:
            return None
        registers = min(255, _REGISTERS // (-(-threads // 128) * 128) // 8 * 8)
        least, more = _OTHERS[self.register]
        kept = chunks if chunks * each + least <= registers else min(chunks - 1, (registers - more) // each)
        shared = (chunks - kept) * columns * threads * 4 * self.itemsize
        if kept < 1 or shared > _SHARED:
            return None
        bounds = f"{threads}, 2" if threads == 256 and each == 16 else threads  # two blocks in a multiprocessor
        names = {"threads": threads, "bounds": bounds, "columns": columns, "lanes": lanes, "parts": parts,
                 "kept": kept, "chunks": chunks}  # fmt: skip
        return names, shared

    def transposed(self, x, y, rows, columns):
        """The launch that transposes a matrix."""
        text = source([f"const {self.register} *x", f"{self.register} *y", *_integers("rows", "columns", "wide")],
                      _TRANSPOSE % {"type": self.register, "high": THREADS // 32}, THREADS)  # fmt: skip
        wide = -(-columns // 32)
        return Launch(text, [x, y, rows, columns, wide], -(-rows // 32) * wide, THREADS)

    def summed(self, parts, y, count, size):
        """The launch that adds up parts."""
        text = source([f"const {self.register} *parts", f"{self.memory} *y", *_integers("count", "size")],
                      _SUM % {"register": self.register, "high": THREADS // 32, "threads": THREADS}, THREADS)  # fmt: skip
        return Launch(text, [parts, y, count, size], -(-size // 32), THREADS)

    def of_kernel(self, h, sequence, slopes, y):
        """The launches for the recurrent kernel's gradient: states before each step times slopes, summed over steps and examples."""
        rows, before = self.batch * self.steps, self.space(self.batch * self.steps, self.units)
        text = source([*(f"const {self.memory} *{name}" for name in ("h0", "sequence")), f"{self.register} *y",
                       *_integers("rows", "steps", "H", "reverse")],
                      _BEFORE % {"memory": self.memory, "register": self.register, "high": THREADS // 32}, THREADS)  # fmt: skip
        copied = Launch(text, [h, sequence, before, rows, self.steps, self.units, int(self.reverse)], -(-rows // (THREADS // 32)), THREADS)
        to = y if y.dtype == self.dtype else self.space(*y.shape)
        a, b = before.view((self.units, rows), (1, self.units)), slopes.view((rows, self.width))
        rounded = [] if to is y else [self.summed(to, y, 1, y.size)]
        return [copied, *_product(a, b, to), *rounded]

    def of_bias(self, sums, bias):
        """The launch for the bias's gradient; 0 where there is no bias."""
        return self.summed(sums, bias, self.batch if bias.shape else 0, bias.size)

    def padded(self, x, y, columns, down, right):
        """The launch that copies a matrix with these strides to the first columns of one that has zeros in the others."""
        text = source([f"const {self.memory} *x", f"{self.register} *y", *_integers("count", "pitch", "columns", "down", "right")],
                      _PAD % {"register": self.register, "threads": THREADS}, THREADS)  # fmt: skip
        return self.request.each(text, [x, y, y.size, y.shape[-1], columns, down, right], y.size)

    def in_blocks(self, cell, spread, body, args, flags):
        """The launch with a block for each example. ``flags``: integers by name."""
        names, shared = spread
        parameters = [*_pointers(cell), *_integers("n_steps", "units", "n_start", "n_way", *flags)]
        text = source(parameters, (_START + body) % cell, names["bounds"], self.common + _BLOCK % names)
        return Launch(text, [*args, *self.sizes, *flags.values()], self.batch, names["threads"], shared)

    def in_steps(self, cell, body, args, flags, steps, vectors, packed):
        """A launch for each of these steps. ``vectors``: two matrices; a step reads one and writes the other."""
        names = "batch", "pitch", "wide", "n_t", "n_steps", "units", "n_start", "n_way"
        wide, (_, *shape) = -(-self.units // 4), vectors.shape
        pairs = [vectors.view(shape, offset=i * math.prod(shape)) for i in range(2)]
        parameters = [*_pointers(cell), "const T *packed", "const T *before", "T *after_step", *_integers(*names, *flags)]
        text = source(parameters, (_STEP + body) % cell, THREADS, self.common)
        return [Launch(text, [*args, packed, pairs[i % 2], pairs[1 - i % 2], *shape, wide, t, *self.sizes, *flags.values()],
                       -(-self.batch // 16) * wide, THREADS) for i, t in enumerate(steps)]  # fmt: skip

    def forward(self, cell, arrays, bias, outputs):
        """The launches of a sequence. ``cell``: its texts; ``arrays``: x, kernel, bias and states."""
        cell, (*results, tape) = {**cell, "weight": _FORWARD_WEIGHT}, outputs
        flags, spread = {"biased": int(bool(bias.shape)), "masked": int(self.masked)}, self.of_block(self.gates, 4, 4)
        if spread is not None:
            direct = tape if self.batch == 1 else self.space(self.batch, self.steps + 1, 5, self.units)
            loop = self.in_blocks(cell, spread, _FORWARD, [*arrays, self.mask, *results, direct], flags)
            return [loop] if direct is tape else [loop, self.transposed(direct, tape, self.batch, tape.size // self.batch)]
        args, pitch = [*arrays, self.mask, *results, tape], -(-self.units // 64) * 64
        packed, states = self.space(self.width, pitch), self.space(2, self.batch, pitch)
        first, second = (states.view((self.batch, pitch), offset=i * self.batch * pitch) for i in range(2))
        return [self.padded(arrays[1], packed, self.units, 1, self.width),
                self.padded(arrays[3], first, self.units, self.units, 1),
                self.padded(arrays[3], second, 0, 0, 0),
                *self.in_steps(cell, _STEP_FORWARD, args, flags, range(self.steps), states, packed)]  # fmt: skip

    def backward(self, cell, arrays, tape, outputs, slopes, sums):
        """The launches back through a sequence, but for what is summed over it. ``arrays``: gradients and the kernel."""
        flags, spread = {"sequences": int(arrays[0] != 0), "masked": int(self.masked)}, self.of_block(4, 16, self.gates)
        cell, results = {**cell, "read": _READ, "weight": _BACKWARD_WEIGHT}, [*outputs, slopes, sums]
        if spread is not None:
            direct = tape if self.batch == 1 else self.space(self.batch, self.steps + 1, 5, self.units)
            loop = self.in_blocks(cell, spread, _BACKWARD, [*arrays, self.mask, direct, *results], flags)
            return [loop] if direct is tape else [self.transposed(tape, direct, tape.size // self.batch, self.batch), loop]
        pitch, steps = -(-self.width // 64) * 64, range(self.steps - 1, -2, -1)
        packed, vectors = self.space(self.units, pitch), self.space(2, self.batch, pitch)
        cell["pointers"] += ", T *carries, T *cells"
        args = [*arrays, self.mask, tape, *results, self.space(self.batch, self.units), self.space(self.batch, self.units)]
        return [self.padded(arrays[-1], packed, self.width, self.width, 1),
                self.padded(arrays[-1], vectors.view((2 * self.batch, pitch)), 0, 0, 0),
                *self.in_steps(cell, _STEP_BACKWARD, args, flags, steps, vectors, packed)]  # fmt: skip


def _product(a, b, y):
    """The launches for ``y = a @ b``, half by half where it is too large."""
    launches, half = matmul(Request(None, {}, [a, b], [y])), y.shape[0] // 2
    if launches is not None:
        return launches

    def rows(x, first, count):
        return x.view((count, x.shape[1]), x.strides, first * x.strides[0])

    parts = (0, half), (half, y.shape[0] - half)
    return [launch for part in parts for launch in _product(rows(a, *part), b, rows(y, *part))]


def _taken(floats, mask, tape):
    """Whether all have one dtype, but for the mask and the tape, and nothing is empty."""
    dtype = floats[0].dtype
    wide = "float64" if dtype == "float64" else "float32"
    return (dtype in _DTYPES and {b.dtype for b in floats} == {dtype} and all(b.size for b in floats) and mask.dtype == "bool"
            and tape.dtype == wide and floats[0].size <= _LARGEST)  # fmt: skip


@candidate("_lstm")
def lstm(request):
    """With and without a mask and a bias, in both directions."""
    x, kernel, bias, h, c, mask = request.inputs
    if not _taken([x, kernel, bias, h, c, *request.outputs[:-1]], mask, request.outputs[-1]):
        return None
    call = _Call(request, x, kernel, mask, 4)
    arrays = [request.dense(i) for i in range(5)]
    return call.forward(_LSTM, arrays, bias, request.outputs)


@candidate("_gru")
def gru(request):
    """As ``lstm``."""
    x, kernel, bias, h, mask = request.inputs
    if not _taken([x, kernel, bias, h, *request.outputs[:-1]], mask, request.outputs[-1]):
        return None
    call = _Call(request, x, kernel, mask, 3)
    arrays = [request.dense(i) for i in range(4)]
    return call.forward(_GRU, arrays, bias, request.outputs)


@candidate("_lstm_gradient")
def lstm_gradient(request):
    """The last launches are those for the recurrent kernel and the bias."""
    g, g_h, g_c, x, kernel, bias, h, c, mask, sequence, tape = request.inputs
    if not _taken([x, g, g_h, g_c, kernel, bias, h, c, sequence, *request.outputs], mask, tape):
        return None
    call = _Call(request, x, kernel, mask, 4)
    dx, d_kernel, d_bias, dh, dc = request.outputs
    arrays = [request.dense(0) if g.shape else 0, *(request.dense(i) for i in (1, 2, 4))]
    slopes, sums = dx if call.dtype == dx.dtype else call.space(*dx.shape), call.space(call.batch, call.width)
    loop = call.backward(_LSTM_BACK, arrays, request.dense(10), (dx, dh, dc), 0 if slopes is dx else slopes, sums)
    return [*loop, *call.of_kernel(request.dense(6), request.dense(9), slopes, d_kernel), call.of_bias(sums, d_bias)]


@candidate("_gru_gradient")
def gru_gradient(request):
    """As ``lstm_gradient``."""
    g, g_h, x, kernel, bias, h, mask, sequence, tape = request.inputs
    if not _taken([x, g, g_h, kernel, bias, h, sequence, *request.outputs], mask, tape):
        return None
    call = _Call(request, x, kernel, mask, 3)
    dx, d_kernel, d_bias, dh = request.outputs
    arrays = [request.dense(0) if g.shape else 0, *(request.dense(i) for i in (1, 3))]
    slopes, sums = call.space(*dx.shape), call.space(call.batch, 2, call.width)
    loop = call.backward(_GRU_BACK, arrays, request.dense(8), (dx, dh), slopes, sums)
    return [*loop, *call.of_kernel(request.dense(5), request.dense(7), slopes, d_kernel), call.of_bias(sums, d_bias)]
