"""Order: elements sorted along an axis, the largest of them, searches, running sums.

Elements become whole numbers of the same order. In short lines each element counts how many come before it; longer ones are sorted by
their digits (``radix.py``), all lines at once, and then by their lines. The few largest of a row are found one after the other. A running
sum is made of pieces: what each comes to, then its sums from what those before it come to, in order.
"""

import math

from kerasish.backend.arrays.cupy import PHILOX
from kerasish.backend.kernels.cuda import axes, radix
from kerasish.backend.kernels.cuda.launch import THREADS, Launch, candidate, source
from kerasish.backend.kernels.cuda.prelude import MEMORY, REGISTER

_SHORT, _FEW = 1024, 64  # elements of a line that are compared with each other, largest ones that are found one by one
_BITS = {"float32": 32, "float16": 32, "bfloat16": 32, "float64": 64, "int32": 32, "int64": 64, "uint8": 8, "uint32": 32, "bool": 1}
_KEYS = """
__device__ inline u32 key_of(float x) {
    if (x != x) return 0xffffffffu;
    const u32 bits = (u32)__float_as_int(x + 0.0f);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}
__device__ inline u64 key_of(double x) {
    if (x != x) return ~(u64)0;
    x += 0.0;
    const u64 bits = (u64)__double_as_longlong(x);
    return bits >> 63 ? ~bits : bits | (u64)1 << 63;
}
__device__ inline u32 key_of(int x) { return (u32)x ^ 0x80000000u; }
__device__ inline u64 key_of(i64 x) { return (u64)x ^ (u64)1 << 63; }
__device__ inline u32 key_of(u32 x) { return x; }
__device__ inline u32 key_of(u8 x) { return x; }
__device__ inline u32 key_of(bool x) { return x; }
"""
_COUNT = """
const i64 line = i / n, me = i % n;
const auto mine = x0[i];
i64 before = 0;
for (i64 j = 0; j < n; ++j) before += x0[line * n + j] < mine || (x0[line * n + j] == mine && j < me);
order[line * n + before] = (int)me;
y[i] = 0;
"""


def _keys(request, x, falling):
    """Whole numbers of the same order for the elements of ``x``, which is dense, and how many bits they have."""
    bits = _BITS[x.dtype]
    y = request.scratch(x.size * (8 if bits == 64 else 4), x.shape, "int64" if bits == 64 else "uint32")
    word = "u64" if bits == 64 else "u32"
    mask = f" & (({word})-1 >> {(64 if bits == 64 else 32) - bits})" if falling else ""
    body = f"y[i] = ({MEMORY[y.dtype]})({'~' if falling else ''}({word})key_of(get(x0[i])){mask});"
    return y, bits, axes.each(request, y, body, [x], more=_KEYS)


def _ranked(request, keys, bits, n):
    """The order of the elements of each line of ``n`` keys (int32, within the line), and the launches that find it."""
    size = keys.size
    if n <= _SHORT:
        order, spare = request.scratch(size * 4, (size,), "int32"), request.scratch(size, (size,), "uint8")
        word = "u64" if keys.itemsize == 8 else "u32"
        parameters = [f"const {word} *x0", "int *order", "u8 *y", "i64 count", "i64 n"]
        text = source(parameters, f"const i64 i = (i64)blockIdx.x * {THREADS} + threadIdx.x;\nif (i >= count) return;" + _COUNT, THREADS)
        return order, [request.each(text, [keys, order, spare, size, n], size)]
    keys = keys.view((size,))
    _, order, launches = radix.sort(request, keys, bits)
    if size > n:
        lines = request.scratch(size * 4, (size,), "uint32")
        launches.append(axes.each(request, lines, "y[i] = (u32)(x0[i] / n);", [order], numbers={"n": n}))
        _, second, more = radix.sort(request, lines, (size // n - 1).bit_length())
        both = request.scratch(size * 4, (size,), "int32")
        launches += [*more, axes.each(request, both, "y[i] = x0[x1[i]] % n;", [order, second], numbers={"n": n})]
        order = both
    return order, launches


def _last(x, axis):
    """A view with an axis behind all others."""
    order = [*(a for a in range(len(x.shape)) if a != axis), axis]
    return x.view([x.shape[a] for a in order], [x.strides[a] for a in order])


def _sorted(request, x, axis, falling=False):
    """The order along an axis as a buffer with that axis last, and the launches."""
    moved = _last(x, axis)
    moved = moved if moved.dense else request.copied(moved)
    keys, bits, first = _keys(request, moved, falling)
    order, launches = _ranked(request, keys, bits, x.shape[axis])
    return moved, order.view(moved.shape), [first, *launches]


def _placed(request, order, y, axis):
    """Launches that put an order where the result is, as whole numbers of its dtype."""
    wide = order
    launches = []
    if y.dtype != order.dtype:
        wide = request.scratch(order.size * y.itemsize, order.shape, y.dtype)
        launches.append(axes.each(request, wide, "y[i] = x0[i];", [order]))
    return [*launches, request.copy(wide, _last(y, axis))]


def _fits(x, y):
    return x.dtype in _BITS and x.size < radix.MOST and x.shape and y.dtype in ("int32", "int64")


@candidate("_argsort", "_inverse_order", "_order")
def argsort(request):
    """Where the elements stood that are sorted."""
    x, y = request.inputs[0], request.outputs[0]
    if not _fits(x, y):
        return None
    if not y.size:
        return []
    axis = request.attrs.get("axis", -1) % len(x.shape)
    _, order, launches = _sorted(request, x, axis)
    return [*launches, *_placed(request, order, y, axis)]


@candidate("_sort")
def sort(request):
    """The elements sorted."""
    x, y = request.inputs[0], request.outputs[0]
    if x.dtype not in _BITS or x.size >= radix.MOST or not x.shape:
        return None
    if not y.size:
        return []
    axis = request.attrs["axis"] % len(x.shape)
    moved, order, launches = _sorted(request, x, axis)
    values = request.scratch(y.size * y.itemsize, moved.shape, y.dtype)
    launches.append(axes.each(request, values, "y[i] = x0[i / n * n + x1[i]];", [moved, order], numbers={"n": x.shape[axis]}))
    return [*launches, request.copy(values, _last(y, axis))]


_WORDS = """
u64 words[4];
philox_block(x0[0], x0[1], i / 4 + 1, words);
y[i] = (i64)words[i % 4];
"""


@candidate("_random_order")
def random_order(request):
    """The order of random words."""
    key, y = request.inputs[0], request.outputs[0]
    if key.dtype != "uint32" or y.dtype != "int64" or y.size >= radix.MOST or not y.shape:
        return None
    if not y.size:
        return []
    axis, words = request.attrs["axis"] % len(y.shape), request.scratch(y.size * 8, y.shape, "int64")
    launches, moved = [axes.each(request, words, _WORDS, [request.dense(0)], more=PHILOX)], _last(words, axis)
    if not moved.dense:
        copied = request.scratch(y.size * 8, moved.shape, "int64")
        launches.append(request.copy(moved, copied))
        moved = copied
    order, more = _ranked(request, moved, 64, y.shape[axis])
    return [*launches, *more, *_placed(request, order.view(moved.shape), y, axis)]


# ---- the largest
_LARGEST = """
const i64 first = (i64)blockIdx.x * n;
Best<T> last = {0, -1};
for (i64 r = 0; r < k; ++r) {
    Best<T> best = {Max::start(T()), 0x7fffffff};
    for (i64 j = threadIdx.x; j < n; j += THREADS) {
        Best<T> one = {get(x[first + j]), (int)j};
        const bool less = r == 0 || ArgMax::beats(last.value, one.value), more = r > 0 && ArgMax::beats(one.value, last.value);
        if (!less && (more || one.place <= last.place)) continue;
        if (best.place == 0x7fffffff || better<ArgMax>(one, best).place == one.place) best = one;
    }
    last.place = best_across<ArgMax, THREADS, THREADS>(best);
    last.value = get(x[first + last.place]);
    if (threadIdx.x == 0) y[(i64)blockIdx.x * k + r] = last.place;
}
"""


@candidate("_top_indices")
def largest(request):
    """Places of the largest of each row, largest first, the first of equals first."""
    x, y = request.inputs[0], request.outputs[0]
    if x.dtype not in _BITS or not x.shape or x.size >= radix.MOST or y.dtype != "int32":
        return None
    if not y.size:
        return []
    n, k = x.shape[-1], y.shape[-1]
    if k <= _FEW:
        threads = min(THREADS, max(32, 1 << (n - 1).bit_length()))
        text = _LARGEST.replace("THREADS", str(threads)).replace("<T>", f"<{REGISTER[x.dtype]}>").replace("T()", f"{REGISTER[x.dtype]}()")
        text = source([f"const {MEMORY[x.dtype]} *x", "int *y", "i64 n", "i64 k"], text, threads)
        return [Launch(text, [request.dense(0), y, n, k], x.size // n, threads)]
    _, order, launches = _sorted(request, x, len(x.shape) - 1, falling=True)
    return [*launches, request.copy(order.view(y.shape, order.strides), y)]


# ---- searches
_SEARCH = """
i64 low = 0, high = length;
const auto value = get(x1[at]);
const bool falling = may_fall && length > 0 && get(x0[0]) > get(x0[length - 1]);
while (low < high) {
    const i64 middle = (low + high) / 2;
    const auto there = get(x0[falling ? length - 1 - middle : middle]);
    const bool beyond = right ? there <= value || value != value : there < value || (value != value && there == there);
    if (beyond) low = middle + 1; else high = middle;
}
y[i] = (int)(falling ? length - low : low);
"""


@candidate("searchsorted", "digitize")
def search(request):
    """By halves, a thread for each value."""
    digitize, y = request.op.name == "digitize", request.outputs[0]
    values, sequence = request.inputs if digitize else request.inputs[::-1]
    if sequence.dtype not in MEMORY or values.dtype != sequence.dtype or y.dtype != "int32":
        return None
    sequence = request.dense(int(digitize))
    numbers = {"length": sequence.size, "right": int(digitize or request.attrs["side"] == "right"), "may_fall": int(digitize)}
    return [axes.each(request, y, _SEARCH, [sequence, values], {"at": values.strides}, numbers)] if y.size else []


# ---- running sums
_RUNNING = """
const int member = threadIdx.x % GROUP, piece = threadIdx.x / GROUP;
i64 line = (i64)blockIdx.x * GROUP + member;
const bool there = line < lines;
if (!there) line = lines - 1;
const i64 first = line / inner * n * inner + line % inner;
const i64 begin = piece * per < n ? piece * per : n, end = begin + per < n ? begin + per : n;
T total = START;
for (i64 j = begin; j < end; ++j) total = total OPERATION (T)get(x[first + (backwards ? n - 1 - j : j) * inner]);
__shared__ T totals[THREADS];
totals[threadIdx.x] = total;
__syncthreads();
total = START;
for (int p = 0; p < piece; ++p) total = total OPERATION totals[p * GROUP + member];
for (i64 j = begin; j < end; ++j) {
    const i64 at = first + (backwards ? n - 1 - j : j) * inner;
    total = total OPERATION (T)get(x[at]);
    if (there) put(y + at, total);
}
"""


@candidate("_cumsum", "_cumprod")
def running(request):
    """Sums, or products, of each element and those before it."""
    x, y, axis, product = request.inputs[0], request.outputs[0], request.attrs["axis"], request.op.name == "_cumprod"
    if x.dtype != y.dtype or y.dtype not in MEMORY or y.dtype == "bool":
        return None
    if not y.size:
        return []
    axis %= len(y.shape)
    n, inner = y.shape[axis], math.prod(y.shape[axis + 1 :])
    lines = y.size // n
    pieces = 1 if lines >= 1 << 14 else min(THREADS, 1 << max(0, -(-n // 8) - 1).bit_length())
    t = REGISTER[y.dtype]
    text = f"typedef {t} T;\n" + _RUNNING
    sign = "*" if product else "+"
    for name, value in (("GROUP", THREADS // pieces), ("THREADS", THREADS), ("START", int(product)), ("OPERATION", sign)):
        text = text.replace(name, str(value))
    m, numbers = MEMORY[y.dtype], ("lines", "n", "inner", "per", "backwards")
    parameters = [f"const {m} *x", f"{m} *y", *(f"i64 {name}" for name in numbers)]
    args = [request.dense(0), y, lines, n, inner, -(-n // pieces), int(bool(request.attrs.get("reverse")))]
    return [Launch(source(parameters, text, THREADS), args, -(-lines // (THREADS // pieces)), THREADS)]


@candidate("_recurrence")
def recurrence(request):
    """``y[k] = b[k] + a[k] * y[k - 1]``: a thread goes along a line."""
    (b, a), y, axis = request.inputs, request.outputs[0], request.attrs["axis"]
    if not {b.dtype, a.dtype, y.dtype} <= {"float32", "float64"} or b.dtype != y.dtype or a.dtype != y.dtype:
        return None
    if not y.size:
        return []
    axis %= len(y.shape)
    lines, n, inner, t = y.size // y.shape[axis], y.shape[axis], math.prod(y.shape[axis + 1 :]), MEMORY[y.dtype]
    body = f"""const i64 i = (i64)blockIdx.x * {THREADS} + threadIdx.x;
if (i >= count) return;
const i64 first = i / inner * n * inner + i % inner;
{t} last = 0;
for (i64 j = 0; j < n; ++j) {{
    const i64 at = first + (backwards ? n - 1 - j : j) * inner;
    y[at] = last = b[at] + a[at] * last;
}}"""
    parameters = [f"const {t} *b", f"const {t} *a", f"{t} *y", *(f"i64 {name}" for name in ("count", "n", "inner", "backwards"))]
    args = [request.dense(0), request.dense(1), y, lines, n, inner, int(bool(request.attrs["reverse"]))]
    return [request.each(source(parameters, body, THREADS), args, lines)]
