"""Attention of long sequences and its gradient, in tiles: a few queries against a block of keys (T. Dao et al. 2022, T. Dao 2023).

All scores of a head would neither stay in the cache nor, where sequences are long, in memory. So a task goes through its keys block by
block; what it needs of a block is put into the order in which it is read, and meets all queries of the task, a few rows at a time.
Forward, each query has a running maximum ``m`` of its scores, a sum ``l`` of powers and a weighted sum ``o`` of values. A block with a
larger maximum makes what was there before smaller, by the factor ``a``::

    s = q @ k.T    m, before = max(m, max(s)), m    a = 2**(before - m)    p = 2**(s - m)    l = a * l + sum(p)    o = a * o + p @ v

In the end ``o / l`` is the result, and the logarithm of the sum of all powers, ``m + log2(l)``, is all that is kept of the weights.
Backward, they are computed again from it, tile by tile; see ``attention.py`` for the rest. Sums over queries (``dk``, ``dv``) end with
a block of keys, sums over keys (``dq``) with the task. Where there are few heads, tasks share a head's keys, and their ``dq`` are added.

A query that sees no key weighs all of them alike, which its logarithm couldn't tell: as low as a hidden score, it absorbs what is added.
"""

import contextlib
import math

from kerasish.backend.kernels.attention import (
    HIDDEN,
    Head,
    Memory,
    all_float32,
    bits,
    dot,
    exp2,
    gathered,
    heads_of,
    hide,
    mask_of,
    number_of,
    padded,
    rows_at_once,
    turn,
    up,
    vectors_of,
    visible,
)
from kerasish.backend.kernels.candidates import candidate
from kerasish.backend.kernels.compile import target
from kerasish.backend.kernels.emit import f32, i8, i32, i64
from kerasish.backend.kernels.gemm import micro_kernel
from kerasish.backend.kernels.vmath import log

_KEYS = 96  # in a block: whole vectors, and whole rows of tiles
_QUERIES = 96  # that meet a block together, backward
_MOST = 1024  # queries of a task, forward: what is known of them stays in the second cache
_LOWEST = -3.4028234663852886e38
_BLIND = -1e38  # a sum's logarithm below which no key was seen
_TASKS = 8  # backward; not the number of threads, so that results don't depend on it


# ---- what both kernels share
def _strips(k, x, count, size, y, factor=None):
    """Pairs of vectors of a head's rows turned round: strips in which :func:`_scores` reads them."""
    strip = 2 * k.lanes
    with k.range(0, count, strip) as j:
        turn(k, x.after(j), k.minimum(count - j, strip), size, y + j * padded(k, size), strip, factor)


def _scores(k, x, strips, count, size, rows, y):
    """Products of rows of ``x`` with so many of the rows that are in strips; what comes behind these is of no meaning."""
    wide, strip = padded(k, size), 2 * k.lanes
    with k.range(0, count, strip) as j:
        for r, row in enumerate(micro_kernel(k, x, (wide, 1), strips + j * wide, strip, size, rows, 2, unroll=1)):
            for c, sums in enumerate(row):
                y.store(sums.value, j + (r * _KEYS + c * k.lanes))


def _add_product(k, a, a_strides, b, depth, y, rows, size, factors=None):
    """Add sums over ``depth`` steps of scalars of ``a`` times rows of ``b`` to rows of ``y``, which are multiplied by factors first."""
    wide, n = padded(k, size), k.lanes

    def columns(first, count):
        for r, row in enumerate(micro_kernel(k, a, a_strides, b + first, wide, depth, rows, count, unroll=1)):
            for c, sums in enumerate(row):
                at = first + (r * wide + c * n)
                before = y.load(at, n)
                y.store(sums.value + before if factors is None else k.fma(factors[r], before, sums.value), at)

    twos = wide // (2 * n) * (2 * n)
    if twos:
        with k.range(0, twos, 2 * n) as first:
            columns(first, 2)
    if twos < wide:
        columns(k.const(twos), 1)


def _gather(k, x, count, size, rows, y):
    """Rows side by side, filled up with zeros to whole vectors, and with copies of the last one to whole blocks of rows."""
    gathered(k, x, count, size, y)
    with k.range(count, _whole(count, rows)) as i:
        for j in range(0, padded(k, size), k.lanes):
            y.store(y.load((count - 1) * padded(k, size) + j, k.lanes), i * padded(k, size) + j)


def _fill(k, y, count, value=0.0):
    """The same number in whole vectors."""
    with k.range(0, count, k.lanes) as i:
        y.store(k.vector(value), i)


def _where(k, condition):
    """Code that runs only where the condition holds, if there is one."""
    return contextlib.nullcontext() if condition is None else k.when(condition)


def _whole(count, rows):
    return (count + (rows - 1)) / rows * rows


def _up_to(k, j, last):
    """Truth values for a vector of keys from ``j`` on: whether they come no later than ``last``."""
    return k.iota(k.lanes, i32) <= (last - j).to(i32).splat(k.lanes)


def _keys_of(k, row, steps, j):
    """A row of the mask from key ``j`` on."""
    return row + j if steps else row


# ---- forward
def emit_tiled_attention(k, size, value_size, rows, causal, mask):
    """Arguments: query, key, value, result, each an address and three strides (16); logarithms, mask and its three strides (5);
    scratch, elements of it for a thread, heads, queries, keys (5); scale, queries for each task, tasks for each head.

    ``causal``: whether keys behind a query are hidden; ``mask``: None, or whether its stride along the keys is 1 (else 0).
    """
    heads, queries, keys = (k.arg(i, i64) for i in range(23, 26))
    scale, each, parts = number_of(k, 26), k.arg(27, i64), k.arg(28, i64)
    pair, part = k.task / parts, k.task % parts
    batch, head, start = pair / heads, pair % heads, part * each
    count = k.minimum(queries - start, each)
    q, key, value, y = (Head(k, at, batch, head) for at in (0, 4, 8, 12))
    seen = None if mask is None else Head(k, 17, batch, head, i8)
    t = _Tiles(k, k.arg(21, f32) + k.thread * k.arg(22, i64), each, size, value_size, rows)
    _gather(k, q.after(start), count, size, rows, t.queries)
    _fill(k, t.sums, each * t.value_wide)
    _fill(k, t.totals, each * k.lanes)
    _fill(k, t.tops, each / rows * t.across, _LOWEST)
    _fill(k, t.largest, k.const(t.across))  # also where there is no row
    end = k.minimum(keys, start + count) if causal and mask is None else keys
    with k.range(0, end, _KEYS) as j:
        here = k.minimum(keys - j, _KEYS)
        _strips(k, key.after(j), here, size, t.keys, scale)
        gathered(k, value.after(j), here, value_size, t.values)
        with k.range(0, count, rows) as i, _where(k, _meet(k, t, i, start + i, j, mask) if causal else None):
            _scores(k, t.queries + i * t.wide, t.keys, here, size, rows, t.scores)
            if mask is not None:
                with k.range(rows) as r:
                    row = seen.row(start + k.minimum(i + r, count - 1))
                    hide(k, t.scores + r * _KEYS, here, _keys_of(k, row, mask, j), mask)
            if causal:
                with k.when(j + here > start + i + 1), k.range(rows) as r:
                    _hide_later(k, t.scores + r * _KEYS, here, start + i + r - j)
            _powers(k, t, i, here)
            factors = [t.factors.load(r).splat(k.lanes) for r in range(rows)]
            _add_product(k, t.scores, (_KEYS, 1), t.values, here, t.sums + i * t.value_wide, rows, value_size, factors)
    _finish(k, t, count, y.after(start), k.arg(16, f32) + (pair * queries + start))


class _Tiles:
    """What a task knows of its queries (scores, of a few rows, and sums of values, powers in each lane, largest scores), and the
    block of keys and values. ``across``: places for a number of each row of a tile, in whole vectors."""

    def __init__(self, k, start, each, size, value_size, rows):
        memory = Memory(start)
        self.rows, self.value_size, self.across = rows, value_size, padded(k, rows)
        self.wide, self.value_wide = padded(k, size), padded(k, value_size)
        self.keys, self.values = memory.take(_KEYS * self.wide), memory.take(_KEYS * self.value_wide)
        self.scores, self.factors, self.largest = (memory.take(n) for n in (_KEYS * rows, self.across, self.across))
        self.queries, self.sums, self.totals = (memory.take(each * n) for n in (self.wide, self.value_wide, k.lanes))
        self.tops = memory.take(each / rows * self.across)


def _forward_scratch(each, size, value_size, rows, lanes):
    """Elements that :class:`_Tiles` takes."""
    wide, value_wide, across = (up(n, lanes) for n in (size, value_size, rows))
    return _KEYS * (wide + value_wide + rows) + 2 * across + each * (wide + value_wide + lanes) + each // rows * across


def _meet(k, t, i, query, j, mask):
    """Whether queries have anything to do with keys from ``j`` on: these aren't later, or one of them has seen no key so far."""
    meet = j < query + t.rows
    if mask is None:
        return meet
    tops = [t.tops.load(i / t.rows * t.across + c, k.lanes) for c in range(0, t.across, k.lanes)]
    lowest = tops[0] if len(tops) == 1 else k.minimum(*tops[:2])
    for more in tops[2:]:
        lowest = k.minimum(lowest, more)
    return meet | (k.reduce(lowest, k.minimum) <= HIDDEN)


def _hide_later(k, x, count, last):
    """Make scores of keys behind ``last`` low."""

    def body(j, v):
        v.store(k.select(_up_to(k, j, last), v.load(x, j), k.vector(HIDDEN)), x, j)

    k.each_vector(0, count, body)


def _powers(k, t, i, count):
    """The scores of a block become powers, and so do the factors by which what is known of these queries gets smaller."""
    n, tops = k.lanes, t.tops + i / t.rows * t.across
    with k.range(t.rows) as r:
        top, row = k.var(k.vector(_LOWEST)), t.scores + r * _KEYS

        def larger(j, v, top=top, row=row):
            x = v.load(row, j)
            x = x if v.mask is None else k.select(v.mask, x, k.vector(_LOWEST))
            top.value = k.select(x > top.value, x, top.value)

        k.each_vector(0, count, larger, unroll=2)
        t.largest.store(k.reduce(top.value, lambda a, b: k.select(a > b, a, b)), r)
    for c in range(0, t.across, n):
        before, top = tops.load(c, n), t.largest.load(c, n)
        top = k.select(top > before, top, before)
        t.factors.store(exp2(k, before - top), c)
        tops.store(top, c)
    with k.range(t.rows) as r:
        row, top, totals = t.scores + r * _KEYS, tops.load(r).splat(n), t.totals + (i + r) * n
        total = k.var(totals.load(0, n) * t.factors.load(r))

        def power(j, v, row=row, top=top, total=total):
            p = exp2(k, v.load(row, j) - top)
            v.store(p, row, j)
            total.value = total.value + (p if v.mask is None else k.select(v.mask, p, k.vector(0.0)))

        k.each_vector(0, count, power, unroll=3)
        totals.store(total.value)


def _finish(k, t, count, y, logarithms):
    """Results, and logarithms of the sums of powers."""
    n = k.lanes
    with k.range(0, count, t.rows) as i:
        here = k.minimum(count - i, t.rows)
        with k.range(here) as r:
            total = k.sum((t.totals + (i + r) * n).load(0, n))
            t.factors.store(total, r)
            for j, mask in vectors_of(k, t.value_size):
                y.row(i + r).store((t.sums + (i + r) * t.value_wide).load(j, n) * (1.0 / total), j, mask)
        for c in range(0, t.across, n):
            top = t.tops.load(i / t.rows * t.across + c, n)
            logarithms.store(k.fma(top, k.vector(math.log(2)), log(k, t.factors.load(c, n))), i + c, k.mask(here - c))


# ---- backward
def emit_tiled_attention_gradient(k, size, value_size, rows, causal, mask):
    """Arguments: query, key, value, result, gradients of these four, each an address and three strides (32); then, from the logarithms
    on, as :func:`emit_tiled_attention` up to the keys; the scale, and that for powers of 2; keys for each task, tasks for each head, how
    far apart their gradients of the query are."""
    n = k.lanes
    heads, queries, keys = (k.arg(i, i64) for i in range(39, 42))
    scale, scale2, each, parts = number_of(k, 42), number_of(k, 43), k.arg(44, i64), k.arg(45, i64)
    pair, part = k.task / parts, k.task % parts
    batch, head = pair / heads, pair % heads
    q, key, value, y, dq, dk, dv, g = (Head(k, at, batch, head) for at in range(0, 32, 4))
    dq.start = dq.start + part * k.arg(46, i64)
    seen = None if mask is None else Head(k, 33, batch, head, i8)
    t = _BackwardTiles(k, k.arg(37, f32) + k.thread * k.arg(38, i64), _whole(queries, rows), size, value_size)
    _gather(k, q, queries, size, rows, t.queries)
    _gather(k, g, queries, value_size, rows, t.g)
    _fill(k, t.dq, queries * t.wide)
    logarithms, alike = k.arg(32, f32) + pair * queries, (1.0 / keys.to(f32)).splat(n)
    with k.range(queries) as i:
        t.means.store(dot(k, g.row(i), y.row(i), value_size), i)
        t.logarithms.store(logarithms[i] * math.log2(math.e), i)

    def slopes(i, j, r, here):
        """A row of the tile: weights, and the scores' gradients."""
        logarithm, mean = (x.load(i + r).splat(n) for x in (t.logarithms, t.means))
        blind = k.select(logarithm < _BLIND, alike, k.vector(0.0))
        weights, slopes, last = t.weights + r * _KEYS, t.slopes + r * _KEYS, i + r - j
        row = None if mask is None else _keys_of(k, seen.row(i + r), mask, j)

        def body(c, v):
            p = exp2(k, v.load(weights, c) - logarithm)
            slope = p * ((v.load(slopes, c) - mean) * scale)
            shown = [_up_to(k, c, last)] if causal else []
            shown += [] if mask is None else [visible(k, row, mask, c, v.mask)]
            if shown:
                both = shown[0] if len(shown) == 1 else shown[0] & shown[1]
                p, slope = k.select(both, p, blind), k.select(both, slope, k.vector(0.0))
            v.store(p, weights, c)
            v.store(slope, slopes, c)

        k.each_vector(0, here, body, unroll=3)

    def block(i, j, here):
        count = k.minimum(queries - i, _QUERIES)
        with k.range(0, count, rows) as r:
            _scores(k, t.queries + (i + r) * t.wide, t.keys, here, size, rows, t.weights + r * _KEYS)
            _scores(k, t.g + (i + r) * t.value_wide, t.values, here, value_size, rows, t.slopes + r * _KEYS)
        with k.range(count) as r:
            slopes(i, j, r, here)
        with k.range(0, count, rows) as r:
            _add_product(k, t.slopes + r * _KEYS, (_KEYS, 1), t.key_rows, here, t.dq + (i + r) * t.wide, rows, size)
        with k.range(0, here, rows) as c:
            _add_product(k, t.weights + c, (1, _KEYS), t.g + i * t.value_wide, count, t.dv + c * t.value_wide, rows, value_size)
            _add_product(k, t.slopes + c, (1, _KEYS), t.queries + i * t.wide, count, t.dk + c * t.wide, rows, size)

    start = part * each
    with k.range(start, k.minimum(start + each, keys), _KEYS) as j:
        here = k.minimum(keys - j, _KEYS)
        _strips(k, key.after(j), here, size, t.keys, scale2)
        _strips(k, value.after(j), here, value_size, t.values)
        gathered(k, key.after(j), here, size, t.key_rows)
        _fill(k, t.dk, here * t.wide)
        _fill(k, t.dv, here * t.value_wide)
        with k.range(0, queries, _QUERIES) as i, _where(k, _meet_again(k, t, i, queries, j, mask) if causal else None):
            block(i, j, here)
        _put(k, t.dk, here, size, dk.after(j))
        _put(k, t.dv, here, value_size, dv.after(j))
    _put(k, t.dq, queries, size, dq)


class _BackwardTiles:
    """What a task knows of all its queries, of a block of keys, and the tile where they meet."""

    def __init__(self, k, start, queries, size, value_size):
        memory, self.wide, self.value_wide = Memory(start), padded(k, size), padded(k, value_size)
        self.keys, self.key_rows, self.dk = (memory.take(_KEYS * self.wide) for _ in range(3))
        self.values, self.dv = (memory.take(_KEYS * self.value_wide) for _ in range(2))
        self.weights, self.slopes = (memory.take(_QUERIES * _KEYS) for _ in range(2))
        self.queries, self.dq, self.g = (memory.take(queries * n) for n in (self.wide, self.wide, self.value_wide))
        self.means, self.logarithms = (memory.take(queries) for _ in range(2))


def _backward_scratch(queries, size, value_size, lanes):
    """Elements that :class:`_BackwardTiles` takes, for so many queries."""
    wide, value_wide = up(size, lanes), up(value_size, lanes)
    return _KEYS * (3 * wide + 2 * value_wide + 2 * _QUERIES) + queries * (2 * wide + value_wide + 2)


def _meet_again(k, t, i, queries, j, mask):
    """Whether a block of queries has anything to do with keys from ``j`` on: these aren't later, or one of them has seen none."""
    stop = k.minimum(i + _QUERIES, queries)
    meet = k.var(j < stop)
    if mask is not None:
        with k.range(i, stop) as at:
            meet.value = meet.value | (t.logarithms.load(at) < _BLIND)
    return meet.value


def _put(k, x, count, size, y):
    """Rows side by side to where they belong."""
    with k.range(count) as i:
        for j, mask in vectors_of(k, size):
            y.row(i).store((x + i * padded(k, size)).load(j, k.lanes), j, mask)


def emit_sum(k, parts):
    """Arguments: partial sums, one behind the other, the sum, how many elements it has, elements for each task."""
    x, y, count, each = k.arg(0, f32), k.arg(1, f32), k.arg(2, i64), k.arg(3, i64)
    start = k.task * each

    def body(i, v):
        total = v.load(x, i)
        for part in range(1, parts):
            total = total + v.load(x + count * part, i)
        v.store(total, y, i)

    k.each_vector(start, k.minimum(start + each, count), body)


# ---- from buffers to kernels
@candidate("_long_attention")
def _long_attention(request):
    (query, key, value, mask), (y, logarithms) = request.inputs, request.outputs
    if not all_float32(request):
        return None
    (batch, heads, queries), keys = logarithms.shape, key.shape[1]
    sizes, rows, lanes = (query.shape[3], value.shape[3]), rows_at_once(target().registers), target().lanes
    mask, steps = mask_of(request, mask, (batch, heads, queries, keys))
    parts = max(-(-queries // _MOST), min(-(-4 * request.threads // (batch * heads)), queries // (2 * _QUERIES)))
    each = up(-(-queries // parts), rows)
    parts, scratch = -(-queries // each), up(_forward_scratch(each, *sizes, rows, lanes), 16)
    args = [v for x in (query, key, value, y) for v in heads_of(request, x)]
    args += [logarithms, *mask, request.scratch(4 * request.threads * scratch), scratch, heads, queries, keys]
    args += [bits(request.attrs["scale"] * math.log2(math.e)), each, parts]
    options = dict(zip(("size", "value_size"), sizes, strict=True), rows=rows, causal=request.attrs["causal"], mask=steps)
    return [request.kernel(emit_tiled_attention, args, batch * heads * parts, **options)]


@candidate("_long_attention_gradient")
def _long_attention_gradient(request):
    g, query, key, value, mask, y, logarithms = request.inputs
    if not all_float32(request):
        return None
    (batch, heads, queries), keys = logarithms.shape, key.shape[1]
    sizes, rows, lanes = (query.shape[3], value.shape[3]), rows_at_once(target().registers), target().lanes
    mask, steps = mask_of(request, mask, (batch, heads, queries, keys))
    parts = max(1, min(-(-_TASKS // (batch * heads)), keys // (2 * _KEYS)))
    each = up(-(-keys // parts), _KEYS)
    parts, scratch = -(-keys // each), up(_backward_scratch(up(queries, rows), *sizes, lanes), 16)
    dq, dk, dv = request.outputs
    partial = dq if parts == 1 else request.scratch(4 * parts * dq.size, (parts * batch, *dq.shape[1:]), dq.dtype)
    args = [v for x in (query, key, value, y, partial, dk, dv, g) for v in heads_of(request, x)]
    args += [request.dense(6), *mask, request.scratch(4 * request.threads * scratch), scratch, heads, queries, keys]
    scale = request.attrs["scale"]
    args += [bits(scale), bits(scale * math.log2(math.e)), each, parts, dq.size]
    options = dict(zip(("size", "value_size"), sizes, strict=True), rows=rows, causal=request.attrs["causal"], mask=steps)
    steps = [request.kernel(emit_tiled_attention_gradient, args, batch * heads * parts, **options)]
    if parts > 1:
        task = 1 << 14
        steps.append(request.kernel(emit_sum, [partial, dq, dq.size, task], -(-dq.size // task), parts=parts))
    return steps
