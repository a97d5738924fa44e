"""Attention and its gradient, one head of one example at a time.

A task has the scores of a few queries at once, never those of a whole batch. Forward, the head's keys are turned round into
scratch memory, so that a vector holds one number of as many keys; then for each block of queries: scores (as many queries as
registers allow against a few vectors of keys), softmax, weighted sums of the values. The weights are kept for the gradient, which costs
less than to compute them again. Backward, in the notation of the kernel (``p`` weights, ``g`` the result's gradient)::

    ds = p * (g @ v.T - sum(g * y)) * scale       a block of queries at a time; kept in scratch memory
    dq = ds @ k         dk = ds.T @ q         dv = p.T @ g

Exponentials are powers of 2: the factor that makes them so is part of the scale.
"""

import copy
import math

import numpy as np

from kerasish.backend.kernels.candidates import candidate
from kerasish.backend.kernels.compile import target
from kerasish.backend.kernels.copy import transposed, views_of
from kerasish.backend.kernels.emit import f32, i8, i32, i64
from kerasish.backend.kernels.gemm import micro_kernel
from kerasish.backend.kernels.vmath import horner

_EXP2 = (1.535336188319500e-4, 1.339887440266574e-3, 9.618437357674640e-3, 5.550332471162809e-2, 2.402264791363012e-1,
         6.931472028550421e-1, 1.0)  # fmt: skip
_MAGIC = 1.5 * 2.0**23  # adding it rounds to an integer, which is then in the lowest bits
HIDDEN = -3.0e38  # the score of a pair that may not meet
_LARGEST = 1 << 24  # scores of a head, above which there is no scratch memory for them


def exp2(k, x):
    """2 to the power of x, which isn't above 0; below the smallest normal numbers it is 0."""
    low = x < -126.0
    x = k.select(low, k.const(-126.0, x.type), x)
    shifted = x + _MAGIC
    power = ((shifted.bits(i32) << 23) + (127 << 23)).bits(f32)
    y = horner(k, x - (shifted - _MAGIC), _EXP2) * power
    return k.select(low, k.const(0.0, x.type), y)


# ---- what both kernels share
def rows_at_once(registers):
    """Queries, or keys, that are worked on at once: with two vectors each they fill the registers."""
    return 12 if registers == 32 else 6


class Head:
    """The rows of one head of one example in a buffer (batch, positions, heads, size): four arguments from ``at`` on, address and
    strides of batch, positions and heads."""

    def __init__(self, k, at, batch, head, t=f32):
        self.stride = k.arg(at + 2, i64)
        self.start = k.arg(at, t) + batch * k.arg(at + 1, i64) + head * k.arg(at + 3, i64)

    def row(self, i):
        return self.start + i * self.stride

    def after(self, i):
        """The rows from ``i`` on."""
        rest = copy.copy(self)
        rest.start = self.row(i)
        return rest


class Memory:
    """Takes arrays from a thread's memory, one after the other."""

    def __init__(self, start):
        self.next = start

    def take(self, count):
        start, self.next = self.next, self.next + count
        return start


def padded(k, size):
    return -(-size // k.lanes) * k.lanes


def vectors_of(k, size):
    """(start, mask) for the vectors of a row of so many numbers; the mask is None where all lanes are there."""
    return [(j, None if j + k.lanes <= size else k.mask(k.const(size - j))) for j in range(0, size, k.lanes)]


def _blocks(k, start, stop, rows, body):
    """``body(i)`` for blocks of so many rows; the last one overlaps the one before."""
    with k.range(start, stop, rows) as i:
        body(k.minimum(i, stop - rows))


def _columns(k, keys, body):
    """``body(first key, vectors)`` for pairs of vectors of a row of scores, and one that is left."""
    twos = keys / (2 * k.lanes) * (2 * k.lanes)
    with k.range(0, twos, 2 * k.lanes) as j:
        body(j, 2)
    with k.range(twos, keys, k.lanes) as j:
        body(j, 1)


def gathered(k, x, count, size, y):
    """Copy a head's rows side by side, each filled up with zeros to whole vectors."""
    with k.range(count) as i:
        for j, mask in vectors_of(k, size):
            y.store(x.row(i).load(j, k.lanes, mask), i * padded(k, size) + j)


def turn(k, x, count, size, y, stride, factor=None):
    """``y[j * stride + i]`` is ``x[i, j]``; rows beyond the last are copies of it. ``factor``: what to multiply by."""
    n = k.lanes

    def tile(i, j, mask=None):
        rows = [x.row(k.minimum(i + r, count - 1)).load(j, n, mask) for r in range(n)]
        for r, vector in enumerate(transposed(k, rows)):
            y.store(vector if factor is None else vector * factor, i + (j + r) * stride)

    whole = k.const(size // n * n)
    with k.range(0, count, n) as i:
        with k.range(0, whole, n) as j:
            tile(i, j)
        if size % n:
            tile(i, whole, k.mask(size - whole))


def _product(k, a, a_strides, b, depth, y, rows, size):
    """Rows of ``y``: sums over ``depth`` steps of scalars of ``a`` times rows of ``b``, as :func:`gathered` leaves them."""
    vectors = vectors_of(k, size)
    for first in range(0, len(vectors), 2):
        two = vectors[first : first + 2]
        sums = micro_kernel(k, a, a_strides, b + two[0][0], padded(k, size), depth, rows, len(two), unroll=1)
        for r, row in enumerate(sums):
            for x, (j, mask) in zip(row, two, strict=True):
                y(r).store(x.value, j, mask)


def number_of(k, i):
    return k.arg(i, i64).to(i32).bits(f32)


def visible(k, row, steps, j, mask):
    """Truth values for a vector of keys from ``j`` on: which of them may be seen."""
    return (row.load(j, k.lanes, mask) if steps else row[0].splat(k.lanes)).differs(0)


# ---- forward
def emit_attention(k, size, value_size, rows, mask):
    """Arguments: query, key, value, result, each an address and three strides (16); weights, mask and its three strides (5);
    scratch, elements of it for a thread, heads, queries, keys, elements between rows of scores (6); scale, queries for each task,
    tasks for each head.

    ``mask``: None, or whether its stride along the keys is 1 (else 0).
    """
    weights, each_scratch = k.arg(16, f32), k.arg(22, i64)
    heads, queries, keys, width = (k.arg(i, i64) for i in range(23, 27))
    scale, each, parts = number_of(k, 27), k.arg(28, i64), k.arg(29, i64)
    pair, part = k.task / parts, k.task % parts
    batch, head = pair / heads, pair % heads
    q, key, value, y = (Head(k, at, batch, head) for at in (0, 4, 8, 12))
    seen = None if mask is None else Head(k, 17, batch, head, i8)
    scratch = Memory(k.arg(21, f32) + k.thread * each_scratch)
    scores, turned, values = (scratch.take(c) for c in (width * rows, width * padded(k, size), keys * padded(k, value_size)))
    turn(k, key, keys, size, turned, width, scale)
    gathered(k, value, keys, value_size, values)
    weights = weights + pair * queries * keys

    def block(t):
        def columns(j, count):
            for r, row in enumerate(micro_kernel(k, q.row(t), (q.stride, 1), turned + j, width, size, rows, count, unroll=1)):
                for c, x in enumerate(row):
                    scores.store(x.value, j + c * k.lanes + width * r)

        _columns(k, keys, columns)
        with k.range(rows) as r:
            if seen is not None:
                hide(k, scores + r * width, keys, seen.row(t + r), mask)
            _softmax(k, scores + r * width, weights + (t + r) * keys, keys)
        _product(k, scores, (width, 1), values, keys, lambda r: y.row(t + r), rows, value_size)

    start = part * each
    _blocks(k, start, k.minimum(start + each, queries), rows, block)


def hide(k, x, keys, row, steps):
    """Make scores of pairs that may not meet low."""
    k.each_vector(0, keys, lambda j, v: v.store(k.select(visible(k, row, steps, j, v.mask), v.load(x, j), k.vector(HIDDEN)), x, j))


def _softmax(k, x, y, keys):
    """A row of scores in place; what comes out goes to ``y`` as well."""
    n = k.lanes
    whole = (keys - 1) / n * n  # all vectors but the last
    last = k.mask(keys - whole)
    top, total = k.var(k.select(last, x.load(whole, n), k.vector(float("-inf")))), k.var(k.vector(0.0))
    x.store(top.value, whole)
    with k.range(0, whole, n) as j:
        value = x.load(j, n)
        top.value = k.select(value > top.value, value, top.value)
    largest = k.reduce(top.value, lambda a, b: k.select(a > b, a, b)).splat(n)
    with k.range(0, whole + 1, n) as j:
        power = exp2(k, x.load(j, n) - largest)
        total.value = total.value + power
        x.store(power, j)
    inverse = (1.0 / k.sum(total.value)).splat(n)

    def finish(j, mask):
        value = x.load(j, n) * inverse
        x.store(value, j)
        y.store(value, j, mask)

    with k.range(0, whole, n) as j:
        finish(j, None)
    finish(whole, last)


# ---- backward
def emit_attention_gradient(k, size, value_size, rows, key_rows, mask):
    """Arguments: query, key, value, result, gradients of these four, each an address and three strides (32); then, from the weights
    on, as :func:`emit_attention` up to the scale."""
    weights, each_scratch = k.arg(32, f32), k.arg(38, i64)
    heads, queries, keys, width = (k.arg(i, i64) for i in range(39, 43))
    scale, n, pair = number_of(k, 43).splat(k.lanes), k.lanes, k.task
    batch, head = pair / heads, pair % heads
    q, key, value, y, dq, dk, dv, g = (Head(k, at, batch, head) for at in range(0, 32, 4))
    seen = None if mask is None else Head(k, 33, batch, head, i8)
    scratch, wide, value_wide = Memory(k.arg(37, f32) + k.thread * each_scratch), padded(k, size), padded(k, value_size)
    slopes, turned = scratch.take(width * queries), scratch.take(width * value_wide)
    their_keys, their_queries, their_g = (scratch.take(c) for c in (keys * wide, queries * wide, queries * value_wide))
    turn(k, value, keys, value_size, turned, width)
    gathered(k, key, keys, size, their_keys)
    gathered(k, q, queries, size, their_queries)
    gathered(k, g, queries, value_size, their_g)
    weights = weights + pair * queries * keys

    def block(t):
        means = [k.var(dot(k, g.row(t + r), y.row(t + r), value_size)) for r in range(rows)]

        def columns(j, count):
            sums = micro_kernel(k, g.row(t), (g.stride, 1), turned + j, width, value_size, rows, count, unroll=1)
            for c in range(count):
                at, inside = j + c * n, None if c < count - 1 else k.mask(keys - j - c * n)
                for r in range(rows):
                    p = (weights + (t + r) * keys).load(at, n, inside)
                    slope = p * ((sums[r][c].value - means[r].value.splat(n)) * scale)
                    if seen is not None:
                        slope = k.select(visible(k, seen.row(t + r), mask, at, inside), slope, k.vector(0.0))
                    slopes.store(slope, at + (t + r) * width)

        _columns(k, keys, columns)
        _product(k, slopes + t * width, (width, 1), their_keys, keys, lambda r: dq.row(t + r), rows, size)

    def key_block(s):
        _product(k, slopes + s, (1, width), their_queries, queries, lambda r: dk.row(s + r), key_rows, size)
        _product(k, weights + s, (1, keys), their_g, queries, lambda r: dv.row(s + r), key_rows, value_size)

    _blocks(k, k.const(0), queries, rows, block)
    _blocks(k, k.const(0), keys, key_rows, key_block)


def dot(k, a, b, size):
    """Sum of products of two rows."""
    total = k.vector(0.0)
    for j, mask in vectors_of(k, size):
        total = k.fma(a.load(j, k.lanes, mask), b.load(j, k.lanes, mask), total)
    return k.sum(total)


# ---- from buffers to kernels
def heads_of(request, x):
    """A buffer and its strides as arguments; a copy where the numbers of a head don't lie one behind the other."""
    x = x if x.strides[3] == 1 or x.shape[3] == 1 else request.copied(x)
    return [x, *x.strides[:3]]


def mask_of(request, mask, shape):
    """The mask as arguments (address, strides of batch, queries, heads), and the kernels' option for it."""
    if not mask.shape:
        return [mask, 0, 0, 0], None
    wide = views_of(lambda xp, x, shape: xp.broadcast_to(x, shape), mask, {"shape": shape})[0]
    if wide.strides[3] not in (0, 1):
        wide = request.copied(wide)
    batch, heads, queries, keys = wide.strides
    return [wide, batch, queries, heads], keys == 1


def _width(keys, lanes):
    """Elements between rows of scores: whole vectors, and rows not a page apart, which would share places in the cache."""
    width = up(keys, lanes)
    return width + lanes * (width % 1024 == 0)


def up(size, lanes):
    return -(-size // lanes) * lanes


def all_float32(request):
    """Whether all but the mask are of that dtype, and not empty."""
    return all(x.dtype == "float32" and x.size for x in (*request.inputs, *request.outputs) if x.dtype != "bool")


def _fits(request, weights):
    return all_float32(request) and math.prod(weights.shape[2:]) <= _LARGEST


def bits(x):
    return int(np.float32(x).view(np.int32))


@candidate("_attention")
def _attention(request):
    (query, key, value, mask), (y, weights) = request.inputs, request.outputs
    if not _fits(request, weights):
        return None
    batch, heads, queries, keys = weights.shape
    size, value_size, lanes, rows = query.shape[3], value.shape[3], target().lanes, min(rows_at_once(target().registers), queries)
    mask, steps = mask_of(request, mask, weights.shape)
    parts = max(1, min(-(-4 * request.threads // (batch * heads)), queries // 64))
    each = up(-(-queries // parts), rows)
    parts = -(-queries // each)
    if queries - (parts - 1) * each < rows:  # too few for a block
        each, parts = queries, 1
    width = _width(keys, lanes)
    each_scratch = up(width * (rows + up(size, lanes)) + keys * up(value_size, lanes), 16)
    args = [v for x in (query, key, value, y) for v in heads_of(request, x)]
    args += [weights, *mask, request.scratch(4 * request.threads * each_scratch), each_scratch, heads, queries, keys, width]
    args += [bits(request.attrs["scale"] * math.log2(math.e)), each, parts]
    options = {"size": size, "value_size": value_size, "rows": rows, "mask": steps}
    return [request.kernel(emit_attention, args, batch * heads * parts, **options)]


@candidate("_attention_gradient")
def _attention_gradient(request):
    g, query, key, value, mask, y, weights = request.inputs
    if not _fits(request, weights):
        return None
    batch, heads, queries, keys = weights.shape
    size, value_size, lanes, rows = query.shape[3], value.shape[3], target().lanes, rows_at_once(target().registers)
    mask, steps = mask_of(request, mask, weights.shape)
    width, wide, value_wide = _width(keys, lanes), up(size, lanes), up(value_size, lanes)
    each_scratch = up(width * (queries + value_wide) + (keys + queries) * wide + queries * value_wide, 16)
    args = [v for x in (query, key, value, y, *request.outputs, g) for v in heads_of(request, x)]
    args += [request.dense(6), *mask, request.scratch(4 * request.threads * each_scratch), each_scratch, heads, queries, keys, width]
    args += [bits(request.attrs["scale"])]
    options = {"size": size, "value_size": value_size, "rows": min(rows, queries), "key_rows": min(rows, keys), "mask": steps}
    return [request.kernel(emit_attention_gradient, args, batch * heads, **options)]
