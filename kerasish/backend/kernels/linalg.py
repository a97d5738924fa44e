"""Batches of small matrices: triangular systems and LU factors, a matrix for each task.

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

        def exchange(c, v, here=here, there=there):
            upper, lower = v.load(y, here + c), v.load(y, there + c)
            v.store(lower, y, here + c)
            v.store(upper, y, there + c)

        k.each_vector(0, n, exchange, lanes)
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
