"""Mean and variance of each column of a matrix, for batch normalization.

A task has a block of rows that stays in its cache and goes over it twice, for the mean and for the squares around it, since the
difference of two large sums would lose digits. A second kernel puts the blocks together (T. Chan, G. Golub and R. LeVeque 1979):
squares around the blocks' own means, plus those of the means around the mean of all.
"""

import math

from kerasish.backend.autodiff.shapes import normalize_axes
from kerasish.backend.kernels.candidates import candidate
from kerasish.backend.kernels.compile import target
from kerasish.backend.kernels.emit import f32, i64

_TASK, _MOST_TASKS = 1 << 15, 64  # elements that are worth a task
_ROWS = 4  # rows that are added to accumulators of their own


def emit_moments(k, width):
    """Arguments: matrix, what the blocks leave (means, then squares), rows, columns, rows of a block."""
    x, left = k.arg(0, f32), k.arg(1, f32)
    rows, columns, per = (k.arg(i, i64) for i in (2, 3, 4))
    start = k.task * per
    stop = k.minimum(start + per, rows)
    left, n, step = left + k.task * columns * 2, k.lanes, width * k.lanes
    count = (stop - start).to(f32)

    def some_columns(c, vectors, mask):
        def summed(f):
            sums = [[k.var(k.vector(0.0)) for _ in range(vectors)] for _ in range(_ROWS)]
            whole = start + (stop - start) / _ROWS * _ROWS

            def add(r, into):
                for j in range(vectors):
                    into[j].value = f(x.load(r * columns + c + j * n, n, mask), j, into[j].value)

            with k.range(start, whole, _ROWS) as r:
                for i in range(_ROWS):
                    add(r + i, sums[i])
            with k.range(whole, stop) as r:
                add(r, sums[0])
            return [(sums[0][j].value + sums[1][j].value) + (sums[2][j].value + sums[3][j].value) for j in range(vectors)]

        means = [total / count for total in summed(lambda v, j, total: total + v)]
        squares = summed(lambda v, j, total: k.fma(v - means[j], v - means[j], total))
        for j in range(vectors):
            left.store(means[j], c + j * n, mask)
            left.store(squares[j], columns + c + j * n, mask)

    whole = columns / step * step
    with k.range(0, whole, step) as c:
        some_columns(c, width, None)
    with k.range(whole, columns, n) as c:
        some_columns(c, 1, k.mask(columns - c))


def emit_together(k):
    """Arguments: what the blocks have left, mean, variance, rows, columns, rows of a block, blocks."""
    left, mean, variance = (k.arg(i, f32) for i in range(3))
    rows, columns, per, blocks = (k.arg(i, i64) for i in range(3, 7))
    n = rows.to(f32)

    def weight(b):
        return k.minimum(per, rows - b * per).to(f32).splat(k.lanes)

    def one(c, v):
        total = k.var(k.vector(0.0))
        with k.range(blocks) as b:
            total.value = k.fma(v.load(left, b * columns * 2 + c), weight(b), total.value)
        center, squares = total.value / n, k.var(k.vector(0.0))
        with k.range(blocks) as b:
            at = b * columns * 2 + c
            apart = v.load(left, at) - center
            squares.value = squares.value + k.fma(apart * apart, weight(b), v.load(left, at + columns))
        v.store(center, mean, c)
        v.store(squares.value / n, variance, c)

    k.each_vector(0, columns, one)


@candidate("_moments")
def moments(request):
    """Over the leading axes of float32."""
    x, axes = request.inputs[0], normalize_axes(request.attrs["axes"], len(request.inputs[0].shape))
    if x.dtype != "float32" or not x.size or axes != tuple(range(len(axes))) or len(axes) == len(x.shape):
        return None
    rows = math.prod(x.shape[: len(axes)])
    columns = x.size // rows
    blocks = max(1, min(_MOST_TASKS, x.size // _TASK, rows))
    per = -(-rows // blocks)
    blocks = -(-rows // per)
    left, width = request.scratch(blocks * 2 * columns * 4, dtype="float32"), min(2, max(1, columns // target().lanes))
    return [
        request.kernel(emit_moments, [request.dense(0), left, rows, columns, per], blocks, width=width),
        request.kernel(emit_together, [left, *request.outputs, rows, columns, per, blocks]),
    ]
