"""Whole sequences through an LSTM or a GRU (see ``ops/recurrent.py``): a block of the batch goes through all steps on its own.

The tape has the batch as its last axis, so vectors go along the batch. A task takes as many examples as a vector has lanes, from the
first step to the last, and waits for nobody. In each step

- the inputs of the step come from rows into vectors (``read``: squares of numbers are transposed in registers),
- ``product`` multiplies the recurrent kernel with the state, as many rows at a time as there are registers for their sums. The kernel is
  *packed* before, so that this reads it from end to end, each number spread over the lanes as it is loaded; the bias is in
  front of it, where the sums start,
- the gates are computed unit by unit, and written to the tape.

The gradient does the same from the last step to the first, with the kernel packed the other way round. It leaves the states before
each step in rows like those of the inputs' gradient; the recurrent kernel's gradient is one product of both. Each task has a sum of
its own for the bias, and they are added in order.

A few examples would leave most lanes empty: for them vectors go along the units (``emit_lstm_rows``, ``emit_gru_rows``).

Activations are one quotient of polynomials each; gates of a step share the division, which costs as much as sixteen products.
"""

import numpy as np

from kerasish.backend.kernels.candidates import Buffer, candidate
from kerasish.backend.kernels.compile import target
from kerasish.backend.kernels.emit import f32, i8, i64
from kerasish.backend.kernels.gemm import Matrices, emit_total, instructions, transposed
from kerasish.backend.kernels.vmath import horner

_EDGE = 7.9  # tanh is 1 from here on, but for some units in the last place
_TOP = (1.542797052e-8, 2.202324364e-5, 3.578991948e-3, 0.1345062051, 1.0)  # tanh(x) = x top(x * x) / bottom(x * x), error 6e-9
_BOTTOM = (8.598779205e-7, 3.423650416e-4, 2.619223766e-2, 0.4678394851, 1.0)
_FEW = 5  # examples that are better taken one by one
_LARGEST = 4 << 20  # bytes of a recurrent kernel that each task may read again in each step


# ---- activations
def _fraction(k, x, half):
    """Top and bottom of tanh(x), or of tanh(x / 2) / 2; NaN goes to the top alone."""
    scale, edge = (0.5, 2 * _EDGE) if half else (1.0, _EDGE)
    x = k.select(x > edge, k.const(edge, x.type), x)
    x = k.select(x < -edge, k.const(-edge, x.type), x)
    s = x * x
    top, bottom = ([c * scale ** (2 * (len(cs) - 1 - i)) for i, c in enumerate(cs)] for cs in (_TOP, _BOTTOM))
    bottom = horner(k, s, bottom)
    return x * horner(k, s, [c * scale * scale for c in top] if half else top), k.select(bottom < 1e6, bottom, k.const(1e6, x.type))


def _activated(k, xs, kinds):
    """Sigmoids and tanhs (``kinds``: "s" or "t" for each), by one division: 1 / a = b / (a b)."""
    fractions = [_fraction(k, x, kind == "s") for x, kind in zip(xs, kinds, strict=True)]
    products = [fractions[0][1]]
    for _, bottom in fractions[1:]:
        products.append(products[-1] * bottom)
    rest, results = 1.0 / products[-1], []
    for i, (top, bottom) in reversed(list(enumerate(fractions))):
        inverse = rest * products[i - 1] if i else rest
        results.append(k.fma(top, inverse, k.const(0.5, top.type)) if kinds[i] == "s" else top * inverse)
        rest = rest * bottom
    return results[::-1]


def _tanh(k, x):
    return _activated(k, [x], "t")[0]


# ---- a step of a block
class _Block:
    """What all kernels of blocks share: which examples, and their working memory.

    Arguments from ``first`` on: batch, steps, units, the first step's place and the way to the next, scratch memory, its size for a
    thread, and the sizes of the areas in it.
    """

    def __init__(self, k, first, areas):
        self.k, self.n = k, k.lanes
        self.batch, self.steps, self.units, self.start, self.way = (k.arg(first + i, i64) for i in range(5))
        self.first = k.task * self.n
        self.count = k.minimum(self.batch - self.first, k.const(self.n))
        self.mask = k.mask(self.count)
        at, self.areas = k.arg(first + 5, f32) + k.thread * k.arg(first + 6, i64), []
        for i in range(areas):
            self.areas.append(at)
            at = at + k.arg(first + 7 + i, i64)

    def place(self, t):
        """Where the inputs of step ``t`` are."""
        return self.start + t * self.way

    def tape(self, tape, t, part):
        """A part of the tape's row ``t``: its units are ``self.batch`` apart."""
        return tape + ((t * 5 + part) * self.units * self.batch + self.first)

    def read(self, source, stride, columns, area):
        """The block's rows of a matrix as vectors, one for each column."""
        k = self.k
        k.subroutine(_emit_read, source + self.first * stride, stride, self.count, columns, area)

    def write(self, area, columns, stride, *targets, sums=()):
        """Vectors as the block's rows of one or two matrices; the sum of the rows is added to each of ``sums``."""
        k = self.k
        targets = [*(y + self.first * stride for y in targets), 0][:2]
        k.subroutine(_emit_write, area, stride, self.count, columns, *targets, *[*sums, 0, 0][:2])

    def left_out(self, mask, t):
        """Which examples of a step are masked out. ``mask`` (batch, steps)."""
        k, n = self.k, self.n
        keep = k.local(i8, n)
        for i, row in enumerate(_rows(k, self.count, self.steps)):
            keep.store(mask[self.first * self.steps + row + self.place(t)], i)
        return keep.load(0, n).equals(0)


def _rows(k, count, stride):
    """Where the rows of a block begin; beyond the edge the last one once more."""
    return [k.minimum(count - 1, k.const(i)) * stride for i in range(k.lanes)]


def _emit_read(k):
    """Arguments: matrix, its stride, number of rows, of columns, result: a vector for each column (and some more)."""
    x, stride, count, columns, y = k.arg(0, f32), k.arg(1, i64), k.arg(2, i64), k.arg(3, i64), k.arg(4, f32)
    n, rows = k.lanes, [x + row for row in _rows(k, count, stride)]
    with k.range(0, columns, n) as j:
        mask = k.mask(columns - j)
        for i, v in enumerate(transposed(k, [row.load(j, n, mask) for row in rows])):
            y.store(v, (j + i) * n)


def _emit_write(k):
    """Arguments: vectors, stride of the results, number of rows, of columns, result, another one, two rows of sums (0: not there).

    Rows are written from the last on, so that what comes in place of those beyond the edge is written over.
    """
    x, stride, count, columns, *targets = k.arg(0, f32), k.arg(1, i64), k.arg(2, i64), k.arg(3, i64), k.arg(4, f32), k.arg(5, f32)
    n, rows, sums = k.lanes, _rows(k, count, stride), [k.arg(6, f32), k.arg(7, f32)]
    there = [k.arg(i, i64).differs(0) for i in (5, 6, 7)]
    with k.range(0, columns, n) as j:
        mask = k.mask(columns - j)
        vectors = transposed(k, [x.load((j + i) * n, n) for i in range(n)])

        def write(y):
            for row, v in reversed(list(zip(rows, vectors, strict=True))):
                (y + row).store(v, j, mask)

        write(targets[0])
        with k.when(there[0]):
            write(targets[1])
        total = vectors
        while len(total) > 1:
            total = [a + b for a, b in zip(total[::2], total[1::2], strict=True)]
        for there_, y in zip(there[1:], sums, strict=True):
            with k.when(there_):
                y.store(y.load(j, n, mask) + total[0], j, mask)


def product(k, packed, rows, tiles, depth, x, y, add=False):
    """``y = start + kernel x``, or that added to ``y``, with a kernel that ``emit_pack`` has packed. ``x`` and ``y`` are vectors."""
    n = k.lanes
    with k.range(tiles) as tile:
        at = packed + tile * ((depth + 1) * rows)
        sums = [k.var(at.load(r).splat(n)) for r in range(rows)]
        with k.range(depth) as step:
            now, v = at + (step + 1) * rows, x.load(step * n, n)
            for r, total in enumerate(sums):
                total.value = k.fma(now.load(r), v, total.value)
        for r, total in enumerate(sums):
            place = (tile * rows + r) * n
            y.store(total.value + y.load(place, n) if add else total.value, place)


def emit_pack(k, rows):
    """Tiles (depth + 1, rows) of a matrix, one in each task: first a row of what its sums start with, then the steps of the sum.

    Arguments: matrix, its strides between rows and between steps, number of rows, depth, start (a number for each row), its stride, result.
    """
    x, row_stride, step_stride, count, depth = k.arg(0, f32), k.arg(1, i64), k.arg(2, i64), k.arg(3, i64), k.arg(4, i64)
    start, start_stride = k.arg(5, f32), k.arg(6, i64)
    y = k.arg(7, f32) + k.task * ((depth + 1) * rows)
    places = [k.minimum(k.task * rows + r, count - 1) for r in range(rows)]  # beyond the edge the last row once more
    for r, place in enumerate(places):
        y[r] = start[place * start_stride]
    with k.range(depth) as step:
        for r, place in enumerate(places):
            y[(step + 1) * rows + r] = x[place * row_stride + step * step_stride]


# ---- LSTM
def _lstm_unit(k, x, h, units, unit, c, left_out):
    """Gates, c and h of one unit after a step; ``x`` and ``h``: functions that load what the gates are sums of."""
    i, f, new, o = _activated(k, [x(g * units + unit) + h(g * units + unit) for g in range(4)], "ssts")
    if left_out is not None:
        zero = k.const(0.0, i.type)
        i, new, o = (k.select(left_out, zero, v) for v in (i, new, o))
        f = k.select(left_out, zero + 1.0, f)
    c_new = k.fma(f, c, i * new)
    return (i, f, new, o), c_new, o * _tanh(k, c_new)


def emit_lstm(k, rows, masked=False):
    """A block through an LSTM. Arguments: x, packed kernel, h, c, mask, sequence, last h, last c, tape, tiles; then the block's."""
    x, packed, h0, c0 = (k.arg(i, f32) for i in range(4))
    mask, (sequence, last_h, last_c, tape), tiles = k.arg(4, i8), (k.arg(i, f32) for i in range(5, 9)), k.arg(9, i64)
    b = _Block(k, 10, 4)
    n, units, (of_x, of_h, h, c) = b.n, b.units, b.areas
    b.read(h0, units, units, h)
    b.read(c0, units, units, c)
    _to_tape(b, c, tape, k.const(0))
    with k.range(b.steps) as t:
        b.read(x + b.place(t) * units * 4, b.steps * units * 4, units * 4, of_x)
        product(k, packed, rows, tiles, units, h, of_h)
        left_out = b.left_out(mask, t) if masked else None
        parts = [b.tape(tape, t, part) for part in range(4)] + [b.tape(tape, t + 1, 4)]
        with k.range(units) as unit:
            c_old = c.load(unit * n, n)
            gates, c_new, h_new = _lstm_unit(k, lambda i: of_x.load(i * n, n), lambda i: of_h.load(i * n, n), units, unit, c_old, left_out)
            if masked:
                h_new = k.select(left_out, h.load(unit * n, n), h_new)
            for part, v in zip(parts, (*gates, c_new), strict=True):
                part.store(v, unit * b.batch, b.mask)
            c.store(c_new, unit * n)
            h.store(h_new, unit * n)
        b.write(h, units, b.steps * units, sequence + t * units)
    b.write(h, units, units, last_h)
    b.write(c, units, units, last_c)


def _to_tape(b, state, tape, t):
    """A state as the last part of the tape's row ``t``."""
    part = b.tape(tape, t, 4)
    with b.k.range(b.units) as unit:
        part.store(state.load(unit * b.n, b.n), unit * b.batch, b.mask)


def emit_lstm_gradient(k, rows, masked=False):
    """A block back through an LSTM. Arguments: gradients of the sequence, h and c, packed kernel, h, mask, sequence, tape, gradients of
    x, h and c, states before each step, the sums for the bias, tiles; then the block's."""
    g, g_h, g_c, packed, h0 = (k.arg(i, f32) for i in range(5))
    mask, (sequence, tape, dx, dh0, dc0, before, sums), tiles = k.arg(5, i8), (k.arg(i, f32) for i in range(6, 13)), k.arg(13, i64)
    b = _Block(k, 14, 4)
    n, units, (dz, dh, dc, of_sequence) = b.n, b.units, b.areas
    sums, sequences = sums + k.task * (units * 4), k.arg(0, i64).differs(0)
    k.each_vector(0, units * 4, lambda i, v: v.store(k.vector(0.0), sums, i))
    k.each_vector(0, units * n, lambda i, v: v.store(k.vector(0.0), of_sequence, i))
    b.read(g_h, units, units, dh)
    b.read(g_c, units, units, dc)
    with k.range(b.steps) as done:
        t = b.steps - 1 - done
        with k.when(sequences):
            b.read(g + t * units, b.steps * units, units, of_sequence)
        left_out = b.left_out(mask, t) if masked else None
        parts = [b.tape(tape, t, part) for part in range(5)] + [b.tape(tape, t + 1, 4)]
        with k.range(units) as unit:
            i, f, new, o, c, c_new = (part.load(unit * b.batch, n, b.mask) for part in parts)
            d_h = dh.load(unit * n, n) + of_sequence.load(unit * n, n)
            of_c = _tanh(k, c_new)
            d_c = k.fma(d_h * o, 1.0 - of_c * of_c, dc.load(unit * n, n))
            slopes = d_c * new * (i - i * i), d_c * c * (f - f * f), d_c * i * (1.0 - new * new), d_h * of_c * (o - o * o)
            for gate, v in enumerate(slopes):
                dz.store(v, (units * gate + unit) * n)
            dc.store(d_c * f, unit * n)
            if masked:
                dh.store(k.select(left_out, d_h, k.vector(0.0)), unit * n)
        b.write(dz, units * 4, b.steps * units * 4, dx + b.place(t) * units * 4, sums=[sums])
        product(k, packed, rows, tiles, units * 4, dz, dh, add=masked)
        _copy_before(b, before, sequence, h0, t)
    b.write(dh, units, units, dh0)
    b.write(dc, units, units, dc0)


def _copy_before(b, before, sequence, h0, t):
    """The states before step ``t`` to the rows where the step's inputs have theirs."""
    k, units = b.k, b.units

    def copy(source, stride):
        with k.range(b.first, b.first + b.count) as row:
            to, start = before + (row * b.steps + b.place(t)) * units, source + row * stride
            k.each_vector(0, units, lambda i, v: v.store(v.load(start, i), to, i))

    with k.when(t > 0):
        copy(sequence + (t - 1) * units, b.steps * units)
    with k.when(t.equals(0)):
        copy(h0, units)


# ---- GRU
def _gru_unit(k, x, h, units, unit, state, left_out):
    """Gates, the recurrent product's part for the third, and the state of one unit after a step."""
    z, r = _activated(k, [x(g * units + unit) + h(g * units + unit) for g in range(2)], "ss")
    inner = h(units * 2 + unit)
    new = _tanh(k, k.fma(r, inner, x(units * 2 + unit)))
    if left_out is not None:
        zero = k.const(0.0, z.type)
        r, new = (k.select(left_out, zero, v) for v in (r, new))
        z = k.select(left_out, zero + 1.0, z)
    return (z, r, new, inner), k.fma(state - new, z, new)


def emit_gru(k, rows, masked=False):
    """A block through a GRU. Arguments: x, bias of x, packed kernel, h, mask, sequence, last h, tape, tiles; then the block's."""
    x, bias, packed, h0 = (k.arg(i, f32) for i in range(4))
    mask, (sequence, last_h, tape), tiles = k.arg(4, i8), (k.arg(i, f32) for i in range(5, 8)), k.arg(8, i64)
    b = _Block(k, 9, 3)
    n, units, (of_x, of_h, h) = b.n, b.units, b.areas
    b.read(h0, units, units, h)
    _to_tape(b, h, tape, k.const(0))
    with k.range(b.steps) as t:
        b.read(x + b.place(t) * units * 3, b.steps * units * 3, units * 3, of_x)
        product(k, packed, rows, tiles, units, h, of_h)
        left_out = b.left_out(mask, t) if masked else None
        parts = [b.tape(tape, t, part) for part in range(4)] + [b.tape(tape, t + 1, 4)]
        with k.range(units) as unit:
            old = h.load(unit * n, n)
            gates, new = _gru_unit(k, lambda i: of_x.load(i * n, n) + bias[i], lambda i: of_h.load(i * n, n), units, unit, old, left_out)
            for part, v in zip(parts, (*gates, new), strict=True):
                part.store(v, unit * b.batch, b.mask)
            h.store(new, unit * n)
        b.write(h, units, b.steps * units, sequence + t * units)
    b.write(h, units, units, last_h)


def emit_gru_gradient(k, rows):
    """A block back through a GRU. Arguments: gradients of the sequence and h, packed kernel, h, sequence, tape, gradients of x and h,
    that of the recurrent product, states before each step, the sums for the bias (two rows for each task), tiles; then the block's."""
    g, g_h, packed, h0, sequence, tape, dx, dh0, d_product, before, sums = (k.arg(i, f32) for i in range(11))
    tiles, b = k.arg(11, i64), _Block(k, 12, 3)
    n, units, (dz, dh, of_sequence) = b.n, b.units, b.areas
    sums, sequences = sums + k.task * (units * 6), k.arg(0, i64).differs(0)
    k.each_vector(0, units * 6, lambda i, v: v.store(k.vector(0.0), sums, i))
    d_new, of_product = dz, dz + units * n  # in front of z, r and the third gate's part of the product
    k.each_vector(0, units * n, lambda i, v: v.store(k.vector(0.0), of_sequence, i))
    b.read(g_h, units, units, dh)
    with k.range(b.steps) as done:
        t = b.steps - 1 - done
        with k.when(sequences):
            b.read(g + t * units, b.steps * units, units, of_sequence)
        parts = [b.tape(tape, t, part) for part in range(5)]
        with k.range(units) as unit:
            z, r, new, inner, h = (part.load(unit * b.batch, n, b.mask) for part in parts)
            d_h = dh.load(unit * n, n) + of_sequence.load(unit * n, n)
            of_new = k.select(b.mask, d_h * (1.0 - new * new) * (1.0 - z), k.vector(0.0))  # others are no part of the sums
            slopes = of_new, d_h * (h - new) * (z - z * z), of_new * inner * (r - r * r), of_new * r
            for gate, v in enumerate(slopes):
                dz.store(v, (units * gate + unit) * n)
            dh.store(d_h * z, unit * n)
        row, stride = b.place(t) * units * 3, b.steps * units * 3
        b.write(of_product, units * 2, stride, dx + row, d_product + row, sums=[sums, sums + units * 3])
        b.write(d_new, units, stride, dx + (row + units * 2), sums=[sums + units * 2])
        b.write(of_product + units * 2 * n, units, stride, d_product + (row + units * 2), sums=[sums + units * 5])
        product(k, packed, rows, tiles, units * 3, of_product, dh, add=True)
        _copy_before(b, before, sequence, h0, t)
    b.write(dh, units, units, dh0)


# ---- one example after the other, vectors along the units
class _Rows:
    """Arguments from ``first`` on: batch, steps, units, the first step's place and the way to the next, scratch memory (three areas), the
    size of the first two."""

    def __init__(self, k, first, gates):
        self.k, self.n, self.gates = k, k.lanes, gates
        self.batch, self.steps, self.units, self.start, self.way = (k.arg(first + i, i64) for i in range(5))
        self.columns = self.units * gates
        self.sums, size = k.arg(first + 5, f32), k.arg(first + 6, i64)
        self.h, self.c = self.sums + size, self.sums + size * 2

    def place(self, t):
        return self.start + t * self.way

    def product(self, kernel, starts):
        """The sum of ``starts`` and the state times the kernel."""
        k, n, wide = self.k, self.n, min(8, self.k.registers // 4)

        def panel(j, vectors, mask):
            sums = []
            for v in range(vectors):
                first, *others = (start.load(j + v * n, n, mask) for start in starts)
                sums.append(k.var(sum(others, first)))
            with k.range(self.units) as i:
                h, row = self.h[i].splat(n), kernel + (i * self.columns + j)
                for v, total in enumerate(sums):
                    total.value = k.fma(h, row.load(v * n, n, mask), total.value)
            for v, total in enumerate(sums):
                self.sums.store(total.value, j + v * n, mask)

        whole = self.columns // (wide * n) * (wide * n)
        with k.range(0, whole, wide * n) as j:
            panel(j, wide, None)
        with k.range(whole, self.columns, n) as j:
            panel(j, 1, k.mask(self.columns - j))

    def copy(self, source, to):
        """A state."""
        self.k.each_vector(0, self.units, lambda i, v: v.store(v.load(source, i), to, i))

    def to_tape(self, tape, t, part, row, unit, v, value):
        """Some units' part of the tape's row ``t``, for one example."""
        k = self.k
        to = tape + (((t * 5 + part) * self.units + unit) * self.batch + row)
        with k.when(self.batch.equals(1)):
            v.store(value, to)
        with k.unless(self.batch.equals(1)):
            one = k.local(f32, self.n)
            one.store(value)
            with k.range(k.minimum(self.units - unit, k.const(self.n))) as i:
                to[i * self.batch] = one[i]


def emit_lstm_rows(k, masked=False):
    """As ``emit_lstm``, for few examples. Arguments: x, kernel, bias, h, c, mask, sequence, last h, last c, tape; then the rows'."""
    x, kernel, bias, h0, c0 = (k.arg(i, f32) for i in range(5))
    mask, (sequence, last_h, last_c, tape), b = k.arg(5, i8), (k.arg(i, f32) for i in range(6, 10)), _Rows(k, 10, 4)
    units, h, c = b.units, b.h, b.c
    with k.range(b.batch) as row:
        b.copy(h0 + row * units, h)
        b.copy(c0 + row * units, c)
        k.each_vector(0, units, lambda i, v: b.to_tape(tape, k.const(0), 4, row, i, v, v.load(c, i)))
        with k.range(b.steps) as t:
            at = row * b.steps + b.place(t)
            b.product(kernel, (x + at * b.columns, bias))
            left_out = mask[at].equals(0).splat(b.n) if masked else None

            def unit(i, v):
                gates, c_new, h_new = _lstm_unit(k, lambda j: v.load(b.sums, j), lambda j: k.vector(0.0), units, i, v.load(c, i), left_out)
                h_new = k.select(left_out, v.load(h, i), h_new) if masked else h_new
                for part, value in enumerate(gates):
                    b.to_tape(tape, t, part, row, i, v, value)
                b.to_tape(tape, t + 1, 4, row, i, v, c_new)
                v.store(c_new, c, i)
                v.store(h_new, h, i)
                v.store(h_new, sequence + (row * b.steps + t) * units, i)

            k.each_vector(0, units, unit)
        b.copy(h, last_h + row * units)
        b.copy(c, last_c + row * units)


def emit_gru_rows(k, masked=False):
    """As ``emit_gru``, for few examples. Arguments: x, kernel, biases of x and h, h, mask, sequence, last h, tape; then the rows'."""
    x, kernel, bias, bias_h, h0 = (k.arg(i, f32) for i in range(5))
    mask, (sequence, last_h, tape), b = k.arg(5, i8), (k.arg(i, f32) for i in range(6, 9)), _Rows(k, 9, 3)
    units, h = b.units, b.h
    with k.range(b.batch) as row:
        b.copy(h0 + row * units, h)
        k.each_vector(0, units, lambda i, v: b.to_tape(tape, k.const(0), 4, row, i, v, v.load(h, i)))
        with k.range(b.steps) as t:
            at = row * b.steps + b.place(t)
            now = x + at * b.columns
            b.product(kernel, (bias_h,))
            left_out = mask[at].equals(0).splat(b.n) if masked else None

            def unit(i, v):
                of_x, of_h = lambda j: v.load(now, j) + v.load(bias, j), lambda j: v.load(b.sums, j)
                gates, new = _gru_unit(k, of_x, of_h, units, i, v.load(h, i), left_out)
                for part, value in enumerate(gates):
                    b.to_tape(tape, t, part, row, i, v, value)
                b.to_tape(tape, t + 1, 4, row, i, v, new)
                v.store(new, h, i)
                v.store(new, sequence + (row * b.steps + t) * units, i)

            k.each_vector(0, units, unit)
        b.copy(h, last_h + row * units)


# ---- candidates
class _Call:
    """Sizes of a call, and the arguments that its kernels share."""

    def __init__(self, request, x, kernel, mask, gates):
        self.request, self.gates, self.n = request, gates, target().lanes
        (self.batch, self.steps, _), self.units = x.shape, kernel.shape[0]
        self.blocks, self.masked = -(-self.batch // self.n), bool(mask.shape)
        self.mask = request.dense(request.inputs.index(mask)) if self.masked else 0
        start, way = (self.steps - 1, -1) if request.attrs["reverse"] else (0, 1)
        self.sizes = [self.batch, self.steps, self.units, start, way]

    @property
    def wasteful(self):
        """Whether a block would be nearly empty and have much to do, so that NumPy's products of vectors are faster."""
        return self.batch * 4 < self.n and self.gates * self.units**2 > 1 << 17

    def whole(self, count):
        """A number of vectors, as many as a transposed block has or a multiple."""
        return -(-count // self.n) * self.n

    def block(self, *areas):
        """Arguments of ``_Block``; areas in vectors."""
        areas = [a * self.n for a in areas]
        return [*self.sizes, self.request.scratch(4 * sum(areas) * self.request.threads), sum(areas), *areas]

    def rows(self):
        """Arguments of ``_Rows``."""
        size = self.whole(self.units * self.gates) + self.n
        return [*self.sizes, self.request.scratch(4 * 3 * size), size]

    def packed(self, kernel, strides, count, depth, start=None, offset=0):
        """The instruction that packs ``count`` rows of a kernel, what it makes, and its tiles' rows and number."""
        rows = _rows_of_tile(count)
        tiles = -(-count // rows)
        y = self.request.scratch(4 * tiles * rows * (depth + 1))
        start, stride = (Buffer(np.zeros(1, "float32"), (1,), "float32"), 0) if start is None else (start.view((count,), (1,), offset), 1)
        args = [kernel, *strides, count, depth, start, stride, y]
        return self.request.kernel(emit_pack, args, tasks=tiles, rows=rows), y, rows, tiles

    def of_kernel(self, before, slopes, y):
        """The recurrent kernel's gradient: the sum over all steps and examples."""
        rows, width = self.batch * self.steps, self.gates * self.units
        a, b = Matrices(before, (self.units, rows), (1, self.units)), Matrices(slopes, (rows, width), (width, 1))
        return instructions(self.request, a, b, Matrices(y, (self.units, width), (width, 1)))

    def of_bias(self, sums, bias):
        """The sum of the tasks' sums; 0 where there is no bias."""
        if not bias.shape:
            zero = np.zeros(1, "float32")
            return self.request.kernel(emit_total, [Buffer(zero, (1,), "float32"), bias, 1, 1, 1, 1])
        return self.request.kernel(emit_total, [sums, bias, self.blocks, 1, bias.size, 1])


def _rows_of_tile(count):
    """How many rows of a product are computed at a time: few are left over, and registers are used well."""
    largest = target().registers * 3 // 4
    if count <= largest:
        return count
    return min(range(largest, largest // 2 - 1, -4), key=lambda rows: -(-count // rows) * (rows + 8))  # a step takes as long as 8 more


def _taken(request, inputs):
    """Whether all is in float32, nothing is empty, and the kernel is not too large to be read again and again."""
    floats = [*inputs[:-1], *request.outputs]
    return all(b.dtype == "float32" and b.size for b in floats) and inputs[1].size * 4 <= _LARGEST and inputs[-1].dtype == "bool"


def _zeros(n):
    return Buffer(np.zeros(n, "float32"), (n,), "float32")


@candidate("_lstm")
def lstm(request):
    """float32, with and without a mask."""
    if not _taken(request, request.inputs):
        return None
    call = _Call(request, request.inputs[0], request.inputs[1], request.inputs[-1], 4)
    x, kernel, bias, h, c = (request.dense(i) for i in range(5))
    width, n, options = 4 * call.units, call.n, {"masked": True} if call.masked else {}
    bias = bias if bias.shape else _zeros(width)
    if call.batch <= _FEW:
        return [request.kernel(emit_lstm_rows, [x, kernel, bias, h, c, call.mask, *request.outputs, *call.rows()], **options)]
    pack, packed, rows, tiles = call.packed(kernel, (1, width), width, call.units, bias)
    areas = call.block(call.whole(width), max(tiles * rows, n), call.whole(call.units), call.whole(call.units))
    args = [x, packed, h, c, call.mask, *request.outputs, tiles, *areas]
    return [pack, request.kernel(emit_lstm, args, call.blocks, rows=rows, **options)]


@candidate("_lstm_gradient")
def lstm_gradient(request):
    """float32, with and without a mask."""
    g, _, _, *inputs = request.inputs[:-2]
    if not _taken(request, inputs) or any(b.dtype != "float32" for b in (*request.inputs[:3], *request.inputs[-2:])):
        return None
    call = _Call(request, inputs[0], inputs[1], inputs[-1], 4)
    if call.wasteful:
        return None
    g, (g_h, g_c) = request.dense(0) if g.shape else 0, (request.dense(1), request.dense(2))
    kernel, h, sequence, tape = (request.dense(i) for i in (4, 6, 9, 10))
    dx, d_kernel, d_bias, dh, dc = request.outputs
    width = 4 * call.units
    pack, packed, rows, tiles = call.packed(kernel, (width, 1), call.units, width)
    before, sums = request.scratch(4 * sequence.size), request.scratch(4 * call.blocks * width)
    before = Buffer(before.base, sequence.shape, "float32")
    areas = call.block(call.whole(width), max(tiles * rows, call.whole(call.units)), call.whole(call.units), call.whole(call.units))
    args = [g, g_h, g_c, packed, h, call.mask, sequence, tape, dx, dh, dc, before, sums, tiles, *areas]
    main = request.kernel(emit_lstm_gradient, args, call.blocks, rows=rows, masked=call.masked)
    return [pack, main, *call.of_kernel(before, dx, d_kernel), call.of_bias(sums, d_bias)]


@candidate("_gru")
def gru(request):
    """float32, with and without a mask."""
    if not _taken(request, request.inputs):
        return None
    call = _Call(request, request.inputs[0], request.inputs[1], request.inputs[-1], 3)
    x, kernel, bias, h = (request.dense(i) for i in range(4))
    width, n, options = 3 * call.units, call.n, {"masked": True} if call.masked else {}
    bias = bias.view((2 * width,)) if bias.shape else _zeros(2 * width)
    bias, bias_h = bias.view((width,)), bias.view((width,), offset=width)
    if call.batch <= _FEW:
        return [request.kernel(emit_gru_rows, [x, kernel, bias, bias_h, h, call.mask, *request.outputs, *call.rows()], **options)]
    pack, packed, rows, tiles = call.packed(kernel, (1, width), width, call.units, bias_h)
    areas = call.block(call.whole(width), max(tiles * rows, n), call.whole(call.units))
    args = [x, bias, packed, h, call.mask, *request.outputs, tiles, *areas]
    return [pack, request.kernel(emit_gru, args, call.blocks, rows=rows, **options)]


@candidate("_gru_gradient")
def gru_gradient(request):
    """float32, with and without a mask."""
    g, _, *inputs = request.inputs[:-2]
    if not _taken(request, inputs) or any(b.dtype != "float32" for b in (*request.inputs[:2], *request.inputs[-2:])):
        return None
    call = _Call(request, inputs[0], inputs[1], inputs[-1], 3)
    if call.wasteful:
        return None
    g, g_h = request.dense(0) if g.shape else 0, request.dense(1)
    kernel, h, sequence, tape = (request.dense(i) for i in (3, 5, 7, 8))
    dx, d_kernel, d_bias, dh = request.outputs
    width = 3 * call.units
    pack, packed, rows, tiles = call.packed(kernel, (width, 1), call.units, width)
    before, d_product = (request.scratch(4 * b.size, b.shape, "float32") for b in (sequence, dx))
    sums = request.scratch(4 * call.blocks * 2 * width)
    areas = call.block(call.whole(width + call.units), max(tiles * rows, call.whole(call.units)), call.whole(call.units))
    args = [g, g_h, packed, h, sequence, tape, dx, dh, d_product, before, sums, tiles, *areas]
    main = request.kernel(emit_gru_gradient, args, call.blocks, rows=rows)
    return [pack, main, *call.of_kernel(before, d_product, d_kernel), call.of_bias(sums, d_bias)]
