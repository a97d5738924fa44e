"""Resampling along an axis: products with matrices of which each column has a few numbers beside each other, and zeros around.

Only those numbers count here: NaN stays where it is, which times a zero would be everywhere. Sums are in the order of a product's.
Where rows lie behind the axis, results are sums of rows; where there are only a few channels, as behind the width of images, vectors
are gathered.
"""

import math

import numpy as np

from kerasish.backend.kernels.candidates import Buffer, candidate
from kerasish.backend.kernels.copy import pointer_to
from kerasish.backend.kernels.emit import SIZE, f32, f64, i64

_FLOATS = {"float32": f32, "float64": f64}
_MOST = 32  # numbers of a column that are more than a matrix product is slow for
_TASK = 1 << 15  # elements that are worth a task


def emit_rows(k, element, count):
    """Sums of ``count`` rows. Arguments: x, result, first row of each sum, factors, sums of a matrix, rows of a matrix, elements of a
    row, sums in all, sums for each task."""
    t = _FLOATS[element]
    x, y, starts, factors = pointer_to(k, 0, t), pointer_to(k, 1, t), k.integers(2), pointer_to(k, 3, t)
    n, m, size, total, each = (k.arg(i, i64) for i in range(4, 9))
    first = k.task * each
    with k.range(first, k.minimum(first + each, total)) as i:
        sum_ = i % n
        source, target = x + (i / n * m + starts[sum_]) * size, y + i * size
        scale = [factors[sum_ * count + j] for j in range(count)]

        def add(e, v, source=source, target=target, scale=scale):
            value = v.load(source, e) * scale[0]
            for j in range(1, count):
                value = k.fma(v.load(source, e + size * j), scale[j], value)
            v.store(value, target, e)

        k.each_vector(0, size, add, k.lanes * 4 // SIZE[t])


def emit_gathered(k, element, count):
    """The same for short rows, all sums of a matrix one behind the other. Arguments: x, result, first element of each, factors of the
    first rows, of the second..., elements of a matrix's result, of a matrix, of a row, matrices, matrices for each task."""
    t = _FLOATS[element]
    x, y, starts, factors = pointer_to(k, 0, t), pointer_to(k, 1, t), k.integers(2), pointer_to(k, 3, t)
    n, m, size, total, each = (k.arg(i, i64) for i in range(4, 9))
    first = k.task * each
    with k.range(first, k.minimum(first + each, total)) as i:
        source, target = x + i * m, y + i * n

        def add(e, v, source=source, target=target):
            places = v.load(starts, e)
            value = source.gather(places) * v.load(factors, e)
            for j in range(1, count):
                value = k.fma((source + size * j).gather(places), v.load(factors, e + n * j), value)
            v.store(value, target, e)

        k.each_vector(0, n, add, k.lanes * 4 // SIZE[t])


def bands(weights):
    """For each column of a matrix the first row that counts, and as many numbers from there on as the longest column has."""
    used = weights != 0
    first = np.where(used.any(0), used.argmax(0), 0)
    count = int(np.where(used.any(0), len(used) - used[::-1].argmax(0) - first, 1).max())
    first = np.minimum(first, len(used) - count)
    return first, np.take_along_axis(weights, first + np.arange(count)[:, None], 0)


@candidate("_resampled")
def _resampled(request):
    x, y, axis, weights = request.inputs[0], request.outputs[0], request.attrs["axis"], request.attrs["weights"]
    if y.dtype not in _FLOATS or x.dtype != y.dtype or not x.size or not y.size:
        return None
    (first, factors), lead, size = bands(weights.astype(y.dtype)), math.prod(y.shape[:axis]), math.prod(y.shape[axis + 1 :])
    count, (m, n) = len(factors), weights.shape
    if count > min(_MOST, m // 2):
        return None
    if size >= 16:
        emit, total, sizes, factors = emit_rows, lead * n, (n, m, size), factors.T
        each = -(-_TASK // size)
    else:
        emit, total, sizes = emit_gathered, lead, (n * size, m * size, size)
        first, factors = (first[:, None] * size + np.arange(size)).reshape(-1), np.repeat(factors, size, axis=1)
        each = -(-_TASK // (n * size))
    tables = (Buffer(a, a.shape, a.dtype.name) for a in (np.ascontiguousarray(first, np.int64), np.ascontiguousarray(factors)))
    return [request.kernel(emit, [request.dense(0), y, *tables, *sizes, total, each], -(-total // each), element=y.dtype, count=count)]
