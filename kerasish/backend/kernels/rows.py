"""Triangles of matrices, differences of neighbours, distances: a row at a time, in whole vectors.

Of a triangle's row one part is copied and the other is zeros. The differences along an axis of ``n`` elements, behind which lie
``c`` others, are those of all numbers ``c`` apart in ``n * c`` that lie one behind the other, so any axis is as good as the last.

For distances the second set of rows is turned round, so that a vector is one number of each of so many rows; each is taken from
several rows of the first set.
"""

import math

from kerasish.backend.kernels.candidates import candidate
from kerasish.backend.kernels.copy import pointer_to
from kerasish.backend.kernels.emit import SIZE, Value, f32, f64, i8, i16, i32, i64

_BITS = {1: i8, 2: i16, 4: i32, 8: i64}
_NUMBERS = {"float32": f32, "float64": f64, "int32": i32, "int64": i64}
_TASK = 1 << 15  # elements that are worth a task
_TOGETHER = 8  # rows whose distances from others are computed at once


def emit_triangle(k, itemsize, upper):
    """Arguments: x, y, how many rows there are, rows and columns of a matrix, the diagonal, rows of a task."""
    t = _BITS[itemsize]
    x, y = pointer_to(k, 0, t), pointer_to(k, 1, t)
    rows, m, n, diagonal, each = (k.arg(i, i64) for i in range(2, 7))
    start = k.task * each
    with k.range(start, k.minimum(start + each, rows)) as row:
        border = k.minimum(k.maximum(row % m + diagonal + (0 if upper else 1), k.const(0)), n)
        here, there = x + row * n, y + row * n
        copied, cleared = ((border, n), (0, border)) if upper else ((0, border), (border, n))
        k.each_vector(*copied, lambda i, v: v.store(v.load(here, i), there, i))
        k.each_vector(*cleared, lambda i, v: v.store(k.vector(0, t), there, i))


@candidate("tril", "triu")
def _triangle(request):
    y = request.outputs[0]
    if y.itemsize not in _BITS or not y.size or len(y.shape) < 2:
        return None
    (m, n), rows = y.shape[-2:], math.prod(y.shape[:-1])
    each = -(-_TASK // n)
    args = [request.dense(0), y, rows, m, n, request.attrs["k"], each]
    return [request.kernel(emit_triangle, args, -(-rows // each), itemsize=y.itemsize, upper=request.op.name == "triu")]


def emit_differences(k, dtype):
    """Arguments: x, y, how many blocks of differences, how many of these one behind the other in each, how far numbers are apart,
    then blocks of a task, differences of each that it does, and tasks for them."""
    x, y = (pointer_to(k, i, _NUMBERS[dtype]) for i in (0, 1))
    blocks, size, apart, some, each, parts = (k.arg(i, i64) for i in range(2, 8))
    first, start = k.task / parts * some, k.task % parts * each
    stop = k.minimum(start + each, size)
    with k.range(first, k.minimum(first + some, blocks)) as block:
        here, there = x + block * (size + apart), y + block * size
        k.each_vector(start, stop, lambda i, v: v.store(v.load(here, i + apart) - v.load(here, i), there, i))


@candidate("_differences")
def _differences(request):
    y, axis = request.outputs[0], request.attrs["axis"]
    if y.dtype not in _NUMBERS or not y.size:
        return None
    blocks, apart = math.prod(y.shape[:axis]), math.prod(y.shape[axis + 1 :])
    size = y.shape[axis] * apart
    some, each = -(-_TASK // size), min(size, _TASK)
    parts = -(-size // each)
    args = [request.dense(0), y, blocks, size, apart, some, each, parts]
    return [request.kernel(emit_differences, args, -(-blocks // some) * parts, dtype=y.dtype)]


def emit_distances(k, dtype):
    """Distances of the rows of one matrix from the columns of another. Arguments: x, y, result, rows, columns, numbers of each, blocks
    of rows of a matrix, elements from one matrix to the next of x and of y. Products are rounded before they are added, as NumPy's."""
    t = _NUMBERS[dtype]
    lanes, (x, y, d) = k.lanes * 4 // SIZE[t], (pointer_to(k, i, t) for i in range(3))
    m, n, size, blocks, x_step, y_step = (k.arg(i, i64) for i in range(3, 9))
    batch, first = k.task / blocks, k.task % blocks * _TOGETHER
    x, y, d = x + batch * x_step, y + batch * y_step, d + batch * m * n
    rows = [k.minimum(first + i, m - 1) for i in range(_TOGETHER)]

    def column(j, v):
        totals = [k.var(k.vector(0, t, lanes)) for _ in rows]
        with k.range(size) as f:
            there = v.load(y, f * n + j)
            for row, total in zip(rows, totals, strict=True):
                gap = (there - x[row * size + f]).ir
                total.value = Value(k, k.builder.fadd(total.value.ir, k.builder.fmul(gap, gap)))
        for row, total in zip(rows, totals, strict=True):
            v.store(k.sqrt(total.value), d, row * n + j)

    k.each_vector(0, n, column, lanes)


@candidate("_distances")
def _distances(request):
    (x, y), d = request.inputs, request.outputs[0]
    (m, n), size = d.shape[-2:], x.shape[-1]
    several = [b.shape[:-2] == d.shape[:-2] for b in (x, y)]
    if d.dtype not in ("float32", "float64") or not x.dtype == y.dtype == d.dtype or not d.size or not size:
        return None
    if not request.attrs["in_order"] or not all(s or math.prod(b.shape[:-2]) == 1 for s, b in zip(several, (x, y), strict=True)):
        return None
    turned = request.copied(y.view((*y.shape[:-2], size, n), (*y.strides[:-2], *y.strides[:-3:-1])))
    blocks = -(-m // _TOGETHER)
    args = [request.dense(0), turned, d, m, n, size, blocks, m * size * several[0], n * size * several[1]]
    return [request.kernel(emit_distances, args, math.prod(d.shape[:-2]) * blocks, dtype=d.dtype)]
