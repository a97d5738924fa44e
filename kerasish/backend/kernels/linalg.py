"""Batches of small matrices: triangular systems, LU factors and inverses, a matrix for each task.

A row of right hand sides, or of the matrix, is a vector; what comes before is subtracted from it row by row. Matrices that are so
large that this is slower than products of blocks are left to LAPACK.
"""

import math

import numpy as np

from kerasish.backend.kernels.candidates import candidate
from kerasish.backend.kernels.copy import pointer_to
from kerasish.backend.kernels.emit import SIZE, f32, f64, i32, i64

_FLOATS = {"float32": f32, "float64": f64}
_LARGEST = 256


def _singular(number):
    return np.linalg.LinAlgError("Singular matrix")


def emit_solve(k, element, lower):
    """``y`` with ``a @ y = b`` for triangular ``a``. Arguments: a, b, y, flag, rows, right hand sides."""
    t = _FLOATS[element]
    a, b, y, flag = *(pointer_to(k, i, t) for i in range(3)), k.integers(3)
    n, columns, lanes = k.arg(4, i64), k.arg(5, i64), k.lanes * 4 // SIZE[t]
    a, b, y = a + k.task * n * n, b + k.task * n * columns, y + k.task * n * columns
    with k.range(n) as step:
        row = step if lower else n - 1 - step
        diagonal = a[row * n + row]
        with k.when(diagonal.equals(0)):
            flag[0], flag[1] = 1, row

        def solve(c, v, row=row, diagonal=diagonal):
            left = k.var(v.load(b, row * columns + c))
            with k.range(*((0, row) if lower else (row + 1, n))) as known:
                left.value = left.value - v.load(y, known * columns + c) * a[row * n + known]
            v.store(left.value / diagonal, y, row * columns + c)

        k.each_vector(0, columns, solve, lanes)


@candidate("_solve_triangular")
def _solve_triangular(request):
    (a, b), y = request.inputs, request.outputs[0]
    if y.dtype not in _FLOATS or not a.dtype == b.dtype == y.dtype or not y.size or a.shape[-1] > _LARGEST or a.shape[:-2] != y.shape[:-2]:
        return None
    args = [request.dense(0), request.dense(1), y, request.check(_singular), *y.shape[-2:]]
    return [request.kernel(emit_solve, args, math.prod(y.shape[:-2]), element=y.dtype, lower=request.attrs["lower"])]


def _exchange(k, one, other, n, lanes):
    """Let two rows change places."""

    def exchange(c, v):
        upper, lower = v.load(one, c), v.load(other, c)
        v.store(lower, one, c)
        v.store(upper, other, c)

    k.each_vector(0, n, exchange, lanes)


def emit_lu(k, element):
    """The factors in one matrix and the row that each step exchanged, by partial pivoting. Arguments: x, y, pivots, rows, columns."""
    t = _FLOATS[element]
    x, y, pivots, m, n = pointer_to(k, 0, t), pointer_to(k, 1, t), k.arg(2, i32), k.arg(3, i64), k.arg(4, i64)
    lanes, size = k.lanes * 4 // SIZE[t], k.minimum(m, n)
    x, y, pivots = x + k.task * m * n, y + k.task * m * n, pivots + k.task * size
    k.each_vector(0, m * n, lambda i, v: v.store(v.load(x, i), y, i), lanes)
    with k.range(size) as j:
        best, place = k.var(k.abs(y[j * n + j])), k.var(j)
        with k.range(j + 1, m) as i:
            value = k.abs(y[i * n + j])
            with k.when((value > best.value) | (value.differs(value) & best.value.equals(best.value))):
                best.value, place.value = value, i
        pivots[j] = place.value.to(i32)
        here, there = j * n, place.value * n
        _exchange(k, y + here, y + there, n, lanes)
        pivot = y[j * n + j]
        with k.range(j + 1, m) as i:
            factor = k.select(pivot.equals(0), y[i * n + j], y[i * n + j] / pivot)
            y[i * n + j] = factor
            row = i * n
            take = lambda c, v, row=row, here=here, factor=factor: v.store(v.load(y, row + c) - v.load(y, here + c) * factor, y, row + c)
            k.each_vector(j + 1, n, take, lanes)


@candidate("_lu")
def _lu(request):
    x, (y, pivots) = request.inputs[0], request.outputs
    if y.dtype not in _FLOATS or x.dtype != y.dtype or not y.size or max(x.shape[-2:]) > _LARGEST:
        return None
    return [request.kernel(emit_lu, [request.dense(0), y, pivots, *x.shape[-2:]], math.prod(x.shape[:-2]), element=y.dtype)]


def emit_inverse(k, element):
    """Inverses by Gauss and Jordan's elimination in double precision, as NumPy's. Arguments: x, y, flag, scratch for each thread
    (matrix and columns), rows."""
    t = _FLOATS[element]
    x, y, flag, n = pointer_to(k, 0, t), pointer_to(k, 1, t), k.integers(2), k.arg(4, i64)
    x, y, lanes = x + k.task * n * n, y + k.task * n * n, k.lanes // 2
    a = k.arg(3, f64) + k.thread * (n * n + n)
    exchanged = (a + n * n).as_(i64)
    k.each_vector(0, n * n, lambda i, v: v.store(v.load(x, i).to(f64), a, i), lanes)
    with k.range(n) as j:
        best, place = k.var(k.abs(a[j * n + j])), k.var(j)
        with k.range(j + 1, n) as i:
            value = k.abs(a[i * n + j])
            with k.when(value > best.value):
                best.value, place.value = value, i
        exchanged[j] = place.value
        here, there = j * n, place.value * n
        _exchange(k, a + here, a + there, n, lanes)
        pivot = a[here + j]
        with k.when(pivot.equals(0)):
            flag[0], flag[1] = 1, j
        a[here + j] = k.const(1.0, f64)
        k.each_vector(0, n, lambda c, v, here=here, pivot=pivot: v.store(v.load(a, here + c) / pivot, a, here + c), lanes)
        with k.range(n) as i, k.when(i.differs(j)):
            factor, row = a[i * n + j], i * n
            a[row + j] = k.const(0.0, f64)
            take = lambda c, v, row=row, here=here, factor=factor: v.store(v.load(a, row + c) - v.load(a, here + c) * factor, a, row + c)
            k.each_vector(0, n, take, lanes, unroll=4)
    with k.range(n) as step:
        j = n - 1 - step
        other = exchanged[j]
        with k.when(other.differs(j)), k.range(n) as i:
            left, right = a[i * n + j], a[i * n + other]
            a[i * n + j], a[i * n + other] = right, left
    k.each_vector(0, n * n, lambda i, v: v.store(v.load(a, i).to(t), y, i), lanes)


@candidate("inv")
def _inverse(request):
    y, n = request.outputs[0], request.outputs[0].shape[-1]
    if y.dtype not in _FLOATS or request.inputs[0].dtype != y.dtype or not y.size or n > _LARGEST:
        return None
    scratch = request.scratch(request.threads * (n * n + n) * 8)
    args = [request.dense(0), y, request.check(_singular), scratch, n]
    return [request.kernel(emit_inverse, args, y.size // (n * n), element=y.dtype)]
