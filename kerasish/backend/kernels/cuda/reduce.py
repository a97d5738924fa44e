"""What is left of some axes: sums, products, extremes and their places, over any axes of a buffer, which may have gaps.

Axes are sorted by their strides. Where the innermost one stays, neighbouring threads have neighbouring results and each goes down its
column; where it goes, some threads share a result and read neighbouring elements. Both ways read memory once, in whole lines, and that
is what bounds them. A thread reads several elements before it adds any of them; where an element lies is found by addition with
carries, without a division for each.

What threads have is combined in a tree, what blocks have goes to scratch memory and is combined by a second kernel: in the same order
every time.
"""

import math

from kerasish.backend.autodiff.shapes import normalize_axes
from kerasish.backend.kernels.cuda import axes
from kerasish.backend.kernels.cuda.launch import THREADS, Launch, candidate, source
from kerasish.backend.kernels.cuda.prelude import MEMORY, REGISTER

_EACH, _BLOCKS, _MOST_PARTS = 8, 1024, 256  # elements read at once, blocks that fill a device, parts worth putting together
_BESIDE, _AT_ONCE = 8, 4  # results whose parts are put together side by side, parts read at once

# An accumulator: start(the first element of all); add(m elements, the first one's place, how far their places are apart); merge(another).
SIMPLE = """
struct Accumulator {
    %(register)s x;
    __device__ void start(T = 0) { x = %(operation)s::start(%(register)s()); }
    __device__ void add(const T *v, int m, i64, i64) {
        #pragma unroll
        for (int j = 0; j < EACH; ++j) if (j < m) x = %(operation)s::combine(x, (%(register)s)(%(element)s));
    }
    __device__ void merge(const Accumulator &b) { x = %(operation)s::combine(x, b.x); }
};
"""
PLACE = """
struct Accumulator {
    Best<T> x;
    __device__ void start(T = 0) { x.value = %(extreme)s::start(T()); x.place = 0x7fffffff; }
    __device__ void add(const T *v, int m, i64 place, i64 apart) {
        #pragma unroll
        for (int j = 0; j < EACH; ++j) if (j < m) {
            Best<T> one = {v[j], (int)(place + j * apart)};
            x = better<%(operation)s>(x, one);
        }
    }
    __device__ void merge(const Accumulator &b) { x = better<%(operation)s>(x, b.x); }
};
"""
_TREE = """
__shared__ Accumulator all[THREADS];
all[threadIdx.x] = acc;
__syncthreads();
for (int k = LANES / 2; k; k /= 2) {
    if (lane < k) all[threadIdx.x].merge(all[threadIdx.x + k * STEP]);
    __syncthreads();
}
if (lane || !there) return;
acc = all[threadIdx.x];
"""


def _defined(dtype, **names):
    numbers = {"EACH": _EACH, "THREADS": THREADS, **names}
    return f"typedef {REGISTER[dtype]} T;\nenum {{ {', '.join(f'{name} = {value}' for name, value in numbers.items())} }};\n"


class Reduction:
    """How a buffer's axes are gone over. ``gone``: the axes that are reduced, the others are those of ``y`` (dense), in order."""

    def __init__(self, x, gone, outputs):
        self.x, self.outputs, self.index = x, outputs, axes.index_type(x, *outputs)
        stays = [a for a in range(len(x.shape)) if a not in gone]
        step, strides = 1, {}
        for a in reversed(stays):
            strides[a] = step
            step *= x.shape[a]
        inner_first = sorted(range(len(x.shape)), key=lambda a: -abs(x.strides[a]))
        self.kept = axes.merged([(x.shape[a], x.strides[a], strides[a]) for a in inner_first if a in strides])
        self.gone = axes.merged([(x.shape[a], x.strides[a]) for a in inner_first if a not in strides]) or [(1, 0)]
        self.results, self.count = step, math.prod(n for n, _ in self.gone)
        self.columns = bool(self.kept) and (self.count == 1 or abs(self.kept[-1][1]) < abs(self.gone[-1][1]))

    def launches(self, accumulator, nbytes, finish):
        """``accumulator``: the C of a struct; ``nbytes``: its size; ``finish``: C that puts the results of ``acc`` to y0... at ``to``."""
        if self.columns:
            wide = min(32, _power(self.kept[-1][0]))
            lanes = THREADS // wide
        else:
            lanes = min(THREADS, _power(-(-self.count // _EACH)))
            wide = THREADS // lanes
        tiles = -(-self.results // wide)
        parts = max(1, min(_MOST_PARTS, -(-self.count // (lanes * _EACH)), _BLOCKS // tiles))
        per = -(-self.count // parts)
        parts = -(-self.count // per)
        shared = _defined(self.x.dtype, LANES=lanes, STEP=wide if self.columns else 1) + accumulator
        left = self.scratch(parts * self.results * nbytes) if parts > 1 else None
        lines, ends = self._lines(lanes, wide, finish if left is None else "left[part * results + o] = acc;")
        kept = axes.parameters(len(self.kept), ("from", "to"))
        outs = [f"{MEMORY[y.dtype]} *y{j}" for j, y in enumerate(self.outputs)] if left is None else ["Accumulator *left"]
        numbers = ["i64 p_results", "i64 p_count", "i64 p_per", "i64 p_parts"]
        digits = [f"i64 p_{name}{a}" for a in range(len(self.gone)) for name in ("g", "gs", "e")]
        text = source([f"const {MEMORY[self.x.dtype]} *x", *outs, *numbers, *kept, *digits], "\n".join(lines), THREADS, more=shared)
        values = [self.results, self.count, per, parts]
        args = [self.x, *(self.outputs if left is None else [left]), *values, *axes.arguments(self.kept), *ends]
        launches = [Launch(text, args, tiles * parts, THREADS)]
        if left is not None:
            launches.append(self._together(left, accumulator, values, finish, kept))
        return launches

    def _start(self, numbers):
        kept = axes.as_index(len(self.kept), ("from", "to"))
        return [f"typedef {self.index} I;", *(f"const I {name} = (I)p_{name};" for name in numbers), *kept]

    def _lines(self, lanes, wide, finish):
        rank, ends = len(self.gone), []
        lines = self._start(["results", "count", "per", "parts", *(f"{name}{a}" for a in range(rank) for name in ("g", "gs", "e"))])
        lines += ["const I part = blockIdx.x % parts, tile = blockIdx.x / parts;"]
        mine, lane = ("%", "/") if self.columns else ("/", "%")
        n = wide if self.columns else lanes
        lines += [f"const int lane = threadIdx.x {lane} {n};", f"I o = tile * {wide} + threadIdx.x {mine} {n};"]
        lines += ["const bool there = o < results;", "if (!there) o = results - 1;", *axes.offsets("o", len(self.kept), ("from", "to"))]
        lines += ["const I first = part * per + lane, end = part * per + per < count ? part * per + per : count;"]
        lines += ["Accumulator acc;", "acc.start(get(x[from]));", "rest = first;"]
        for a in reversed(range(rank)):
            lines.append(f"I i{a} = {f'rest % g{a}' if a else 'rest'}; from += i{a} * gs{a}; rest /= g{a};")
        step = lanes
        for a in reversed(range(rank)):
            digit = step % self.gone[a][0] if a else step
            step //= self.gone[a][0]
            ends[:0] = [*self.gone[a], digit]
        carry = ["from += apart;"]
        for a in reversed(range(1, rank)):
            carry.append(f"i{a} += e{a}; if (i{a} >= g{a}) {{ i{a} -= g{a}; ++i{a - 1}; from += gs{a - 1} - g{a} * gs{a}; }}")
        lines += [f"const I apart = {' + '.join(f'e{a} * gs{a}' for a in range(rank))};"]
        lines += [f"for (I r = first; r < end; r += LANES * {_EACH}) {{", f"T v[{_EACH}];", "int m = 0;", "#pragma unroll"]
        lines += [f"for (int j = 0; j < {_EACH}; ++j) if (r + j * LANES < end) {{", "v[j] = get(x[from]);", "m = j + 1;", *carry, "}"]
        lines += ["acc.add(v, m, (i64)r, LANES);", "}", _TREE, finish]
        return lines, ends

    def _together(self, left, accumulator, values, finish, kept):
        wide = min(_BESIDE, _power(self.results))  # few: the parts of one result come one after the other
        lines = self._start(["results", "count", "parts"])
        lines += [f"const int lane = threadIdx.x / {wide};", f"I o = (I)blockIdx.x * {wide} + threadIdx.x % {wide};"]
        lines += ["const bool there = o < results;", "if (!there) o = results - 1;", "Accumulator acc;", "acc.start();"]
        lines += [f"for (I p = lane; p < parts; p += LANES * {_AT_ONCE}) {{", f"Accumulator some[{_AT_ONCE}];", "#pragma unroll"]
        lines += [f"for (int j = 0; j < {_AT_ONCE}; ++j) if (p + j * LANES < parts) some[j] = left[(p + j * LANES) * results + o];"]
        lines += ["#pragma unroll", f"for (int j = 0; j < {_AT_ONCE}; ++j) if (p + j * LANES < parts) acc.merge(some[j]);", "}"]
        lines += [*axes.offsets("o", len(self.kept), ("from", "to")), _TREE, finish]
        outs = [f"{MEMORY[y.dtype]} *y{j}" for j, y in enumerate(self.outputs)]
        numbers = ["i64 p_results", "i64 p_count", "i64 p_parts"]
        more = _defined(self.x.dtype, LANES=THREADS // wide, STEP=wide) + accumulator
        text = source(["const Accumulator *left", *outs, *numbers, *kept], "\n".join(lines), THREADS, more=more)
        args = [left, *self.outputs, values[0], values[1], values[3], *axes.arguments(self.kept)]
        return Launch(text, args, -(-self.results // wide), THREADS)


def _power(n):
    """The smallest power of two that is not smaller."""
    return 1 << max(0, n - 1).bit_length()


def reduction(request, x, gone, outputs):
    """A reduction whose scratch memory is the request's."""
    made = Reduction(x, gone, outputs)
    made.scratch = request.scratch
    return made


_OPERATIONS = {"sum": "Sum", "sum_to": "Sum", "mean": "Sum", "prod": "Product", "max": "Max", "min": "Min", "any": "Any", "all": "All",
               "count_nonzero": "Sum"}  # fmt: skip
_WIDTH = {"float": 4, "double": 8, "int": 4, "i64": 8, "u8": 1, "u32": 4, "bool": 1}


def _gone(request):
    """The axes that go."""
    rank = len(request.inputs[0].shape)
    if request.op.name == "sum_to":
        shape = (1,) * (rank - len(request.attrs["shape"])) + tuple(request.attrs["shape"])
        return {a for a, (n, m) in enumerate(zip(request.inputs[0].shape, shape, strict=True)) if n != m}
    axis = request.attrs["axis"]
    return set(normalize_axes(axis, rank))


@candidate(*_OPERATIONS)
def reduced(request):
    """Sums and the like."""
    x, y, name = request.inputs[0], request.outputs[0], request.op.name
    truth = name in ("any", "all", "count_nonzero")
    if x.dtype not in MEMORY or y.dtype not in MEMORY or not (truth or x.dtype == y.dtype) or request.attrs.get("initial") is not None:
        return None
    register = REGISTER[y.dtype]
    if not x.size:
        if not y.size or name in ("mean", "max", "min"):
            return None if y.size else []
        return [axes.each(request, y, f"put(y + i, {_OPERATIONS[name]}::start({register}()));")]
    names = {"register": register, "operation": _OPERATIONS[name], "element": "v[j] != 0" if truth else "v[j]"}
    finish = "put(y0 + to, acc.x / (%s)count);" % register if name == "mean" else "put(y0 + to, acc.x);"  # noqa: UP031
    return reduction(request, x, _gone(request), [y]).launches(SIMPLE % names, _WIDTH[register], finish)


@candidate("argmax", "argmin")
def place_of_extreme(request):
    """Where the first extreme element is."""
    x, y, axis = request.inputs[0], request.outputs[0], request.attrs["axis"]
    if x.dtype not in MEMORY or not x.size or not x.shape or x.size >= axes.LARGEST:
        return None
    x, rank = request.dense(0), len(x.shape)
    names = {"operation": "ArgMax", "extreme": "Max"} if request.op.name == "argmax" else {"operation": "ArgMin", "extreme": "Min"}
    gone = set(range(rank)) if axis is None else {axis % rank}
    nbytes = max(8, 2 * _WIDTH[REGISTER[x.dtype]])
    return reduction(request, x, gone, [y]).launches(PLACE % names, nbytes, "put(y0 + to, acc.x.place);")
