"""What products in tiles (``tiles.py``, ``direct.py``) know of their matrices, which may be images seen through windows.

An element (row, step of the sum) of A or B lies at ``offset(row) + offset(step)``, and is 0 unless for each axis of the image
``at(row) + at(step)`` is on it. An index becomes such a point by being taken apart into digits (:class:`Digit`): a position into image, row
and column, a step into tap and channel. A matrix has one digit on each side and no axis.
"""

import typing

from kerasish.backend.kernels.candidates import Buffer
from kerasish.backend.kernels.cuda.prelude import MEMORY, REGISTER

DTYPES = ("float32", "float64", "float16", "bfloat16")


class Digit(typing.NamedTuple):
    """A number that an index is made of, one of ``count``: it moves by ``stride`` elements, or from ``base`` by ``step`` along an axis."""

    count: int
    stride: int = 0
    axis: int | None = None
    step: int = 0
    base: int = 0


class Operand(typing.NamedTuple):
    """A matrix: where it is, the digits of its rows (of B: columns) and of the sum's steps, the quickest first; the image's axes."""

    buffer: Buffer
    rows: tuple
    steps: tuple
    sizes: tuple = ()
    strides: tuple = ()


class Result(typing.NamedTuple):
    """Where the product goes: the digits of its rows, and the distance of its columns."""

    buffer: Buffer
    rows: tuple
    column: int = 1


class Item(typing.NamedTuple):
    """An axis of a batch of products: its size, and how far the three matrices are apart."""

    count: int
    a: int
    b: int
    c: int


class Prologue(typing.NamedTuple):
    """Code by which a block finds out which of ``count`` cases it has; it may change any parameter. ``arguments``: more, by name."""

    text: str
    count: int
    arguments: dict


def digits(sizes, strides):
    """The digits of an index of several axes, as few as possible."""
    found = []
    for size, stride in zip(reversed(sizes), reversed(strides), strict=True):
        if found and stride == found[-1].count * found[-1].stride:
            found[-1] = Digit(found[-1].count * size, found[-1].stride)
        elif size != 1 or not found:
            found = [d for d in found if d.count != 1] + [Digit(size, stride)]
    return tuple(found)


# ---- how threads bring an operand
def _stride(digit, operand):
    return digit.stride if digit.axis is None else digit.step * operand.strides[digit.axis]


def _nearest(digits, operand):
    """The distance of neighbouring indices, and how many are so near."""
    digit = next((d for d in digits if d.count > 1), digits[0])
    return abs(_stride(digit, operand)) if digit.count > 1 else 1 << 62, -digit.count


def layout(operand):
    """Elements that are loaded at once, and whether neighbours lie along the sum."""
    along = _nearest(operand.steps, operand) < _nearest(operand.rows, operand)
    digits, others = (operand.steps, operand.rows) if along else (operand.rows, operand.steps)
    wide = 2 if operand.buffer.dtype == "float64" else 4
    strides = [*(_stride(d, operand) for d in (*digits[1:], *others) if d.count > 1), *operand.strides]
    first = digits[0]
    together = first.axis is None and first.stride == 1 and first.count % wide == 0 and not any(s % wide for s in strides)
    return wide if together else 1, along


# ---- code
POINTS = r"""
constexpr int NOWHERE = -(1 << 29);
typedef %(memory)s T;
typedef %(register)s S;
typedef %(result)s R;
template <int AXES> struct Point { i64 offset; int at[AXES]; };
template <class X, int N> struct alignas(sizeof(X) * N) Pack { X x[N]; };
template <int AXES> __device__ inline bool on(const Point<AXES> &p, const Point<AXES> &q, const int *sizes) {
    bool there = true;
    #pragma unroll
    for (int a = 0; a < AXES; ++a) there = there && (u32)(p.at[a] + q.at[a]) < (u32)sizes[a];
    return there;
}

#undef TENSOR_CORES
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define TENSOR_CORES %(tensor)d
#else
#define TENSOR_CORES 0
#endif
template <class X> __device__ inline X kept(X x) { return x; }
%(instructions)s
"""
_TENSOR = r"""
__device__ inline float tf32(float x) {
    u32 y = (u32)__float_as_int(x);
#if TENSOR_CORES
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
#endif
    return __int_as_float((int)y);
}
__device__ inline void multiply(float *c, const float *a, const float *b) {
    u32 x[4], y[2];
    for (int i = 0; i < 4; ++i) x[i] = (u32)__float_as_int(a[i]);
    for (int i = 0; i < 2; ++i) y[i] = (u32)__float_as_int(b[i]);
#if TENSOR_CORES
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]));
#else  // of a device without them
    const int lane = threadIdx.x % 32;
    for (int k = 0; k < 8; ++k)
        for (int i = 0; i < 4; ++i) {
            const float x = __shfl_sync(0xffffffffu, a[i / 2 + k / 4 * 2], lane / 4 * 4 + k % 4);
            c[i] += x * __shfl_sync(0xffffffffu, b[k / 4], (lane % 4 * 2 + i % 2) * 4 + k % 4);
        }
#endif
}
"""  # noqa: E501
_ROUNDED = "__device__ inline float kept(float x) { return tf32(x); }\n"
# Fragments to memory, neighbours in pairs: a thread has rows (lane / 4) and 8 more, columns 2 (lane % 4) and 1 more, of each 16 x 8.
STORE = r"""
const bool pairs = c_column == 1 && n %% 2 == 0 && (u64)c %% sizeof(Pack<R, 2>) == 0 && %(even)s;
#pragma unroll
for (int i = 0; i < MI; ++i)
    #pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int row = m0 + row0 + i * 16 + half * 8;
        if (row >= m) continue;
        R *const to = c + c_row(row);
        #pragma unroll
        for (int j = 0; j < NI; ++j) {
            const int column = n0 + column0 + j * 8 + lane %% 4 * 2;
            if (pairs && column < n) {
                Pack<R, 2> y;
                put(&y.x[0], sum[i][j][half * 2]);
                put(&y.x[1], sum[i][j][half * 2 + 1]);
                *(Pack<R, 2> *)(to + column) = y;
            } else {
                if (column < n) put(to + column * c_column, sum[i][j][half * 2]);
                if (column + 1 < n) put(to + (column + 1) * c_column, sum[i][j][half * 2 + 1]);
            }
        }
    }
"""


def point_bytes(axes):
    """The size of a point."""
    return 24 if axes > 2 else 16


class Side:
    """The digits of one side of an operand as code: a function from an index to a point."""

    def __init__(self, name, digits, operand=None):
        self.name, self.digits, self.axes = name, digits, 1 if operand is None else max(1, len(operand.sizes))

    def parameters(self):
        """Names and values."""
        found = {}
        for j, d in enumerate(self.digits):
            found[f"{self.name}_n{j}"] = d.count
            if d.axis is None:
                found[f"{self.name}_s{j}"] = d.stride
            else:
                found[f"{self.name}_d{j}"], found[f"{self.name}_b{j}"] = d.step, d.base
        return found

    def _walk(self, offset, at):
        lines = ["u32 rest = (u32)i;"]
        for j, d in enumerate(self.digits):
            count = f"(u32){self.name}_n{j}"
            last = j == len(self.digits) - 1
            lines.append(f"const int d{j} = (int)rest;" if last else f"const int d{j} = (int)(rest % {count}); rest /= {count};")
            if d.axis is None:
                lines.append(f"{offset} += d{j} * {self.name}_s{j};")
            else:
                lines.append(f"{at}[{d.axis}] = d{j} * (int){self.name}_d{j} + (int){self.name}_b{j};")
                lines.append(f"{offset} += {at}[{d.axis}] * pitch{d.axis};")
        return "\n".join(lines)

    def point(self):
        """The function that gives a point, or one that is nowhere from ``end`` on."""
        return (f"auto {self.name} = [&](int i, int end) {{\nPoint<{self.axes}> p = {{}};\n"
                f"if (i >= end) {{ p.at[0] = NOWHERE; return p; }}\n{self._walk('p.offset', 'p.at')}\nreturn p;\n}};")  # fmt: skip

    def offset(self):
        """The function that gives an offset."""
        return f"auto {self.name} = [&](int i) {{\ni64 offset = 0;\n{self._walk('offset', '')}\nreturn offset;\n}};"


def batch(items, matrices):
    """The code by which the matrices of an item are found: ``block`` is its number."""
    lines = []
    for j in range(len(items)):
        d = "block" if j == len(items) - 1 else f"(block % (u32)items{j})"
        lines += [f"{x} += {d} * {x}_item{j};" for x in matrices]
        if j < len(items) - 1:
            lines.append(f"block /= (u32)items{j};")
    return "\n".join(lines)


def distances(items, matrices):
    """The batch's parameters."""
    return {**{f"items{j}": item.count for j, item in enumerate(items)},
            **{f"{x}_item{j}": getattr(item, x) for x in matrices for j, item in enumerate(items)}}  # fmt: skip


# ---- parameters
def described(a, b, c, items, sizes, tensor, prologue=None, partial=False):
    """The names that fill a source, its parameters, and its arguments. ``sizes``: arguments by name; ``partial``: C is but a part."""
    dtype = a.buffer.dtype
    sides = [Side("a_row", a.rows, a), Side("a_step", a.steps, a), Side("b_row", b.rows), Side("b_step", b.steps)]
    rows_c = Side("c_row", c.rows)
    values = {**sizes, "c_column": c.column, **distances(items, "abc"), **(prologue.arguments if prologue else {}),
              **{f"{name}{j}": x for name, own in (("size", a.sizes), ("pitch", a.strides)) for j, x in enumerate(own)}}  # fmt: skip
    for side in (*sides, rows_c):
        values.update(side.parameters())
    memory, result = MEMORY[dtype], REGISTER[dtype] if partial else MEMORY[dtype]
    tensor = REGISTER[dtype] == "float" and (tensor or dtype != "float32")
    names = {
        "memory": memory, "register": REGISTER[dtype], "result": result, "axes": sides[0].axes, "tensor": int(tensor),
        "sizes": ", ".join(f"(int)size{j}" for j in range(len(a.sizes))) or "1",
        "even": " && ".join(f"c_row_s{j} % 2 == 0" for j in range(len(c.rows))),
        "points": "\n".join([*(side.point() for side in sides), rows_c.offset()]),
        "start": "\n".join([*([prologue.text] if prologue else []), batch(items, "abc")]),
        "instructions": (_TENSOR + _ROUNDED * (dtype == "float32")) if tensor else "",
    }  # fmt: skip
    pointers = [f"const {memory} *__restrict__ a", f"const {memory} *__restrict__ b", f"{result} *__restrict__ c"]
    return names, [*pointers, *(f"i64 {name}" for name in values)], [a.buffer, b.buffer, c.buffer, *values.values()]
