"""Fourier transforms of many signals whose length is a power of 2.

The lanes of a vector are different signals, so a transform is the textbook's (Stockham's, which needs no bit reversal), with vectors
as its numbers: it works on two halves of a thread's scratch memory in turns, four elements at a time. Signals that lie one behind the
other are turned round in registers when they are brought there, and when results are put back; along other axes they lie as needed.

Real signals go two at a time, as real and imaginary part of one. The inverse transform is the transform with both parts exchanged.
"""

import functools
import math
import typing

import numpy as np

from kerasish.backend.kernels.candidates import Buffer, candidate
from kerasish.backend.kernels.compile import target
from kerasish.backend.kernels.copy import transposed
from kerasish.backend.kernels.emit import f32, i32, i64

_SHORTEST, _LONGEST = 16, 4096


# ---- the transform
@functools.cache
def _twiddles(n):
    """The first, second and third power of the roots of unity of each stage, real and imaginary."""
    stages, length = [np.zeros((0, 3), complex)], n
    while length > 4:
        stages.append(np.exp(-2j * math.pi / length * np.outer(np.arange(length // 4), [1, 2, 3])))
        length //= 4
    return np.ascontiguousarray(np.concatenate(stages)).astype("complex64").view("float32").reshape(-1)


class _Numbers(typing.NamedTuple):
    """Complex vectors: pointers to their real and imaginary parts."""

    re: object
    im: object

    def load(self, at, n):
        return self.re.load(at, n), self.im.load(at, n)

    def store(self, value, at):
        self.re.store(value[0], at)
        self.im.store(value[1], at)


def _add(a, b):
    return a[0] + b[0], a[1] + b[1]


def _subtract(a, b):
    return a[0] - b[0], a[1] - b[1]


def _times_i(a):
    return -a[1], a[0]


def _multiply(k, a, w):
    return k.fma(a[0], w[0], -(a[1] * w[1])), k.fma(a[0], w[1], a[1] * w[0])


def _transform(k, n, table, here, there):
    """Transform ``n`` vectors; returns which of both places has the result."""
    lanes, length, stride, at = k.lanes, n, 1, 0
    while length > 1:
        parts = 4 if length >= 4 else 2
        step = length // parts
        with k.range(step) as p:
            w = [table[p * 6 + (at + i)].splat(lanes) for i in range(6)] if step > 1 else None
            with k.range(stride) as q:
                x = [here.load((q + (p + i * step) * stride) * lanes, lanes) for i in range(parts)]
                for i, y in enumerate(_butterfly(x)):
                    turned = y if i == 0 or w is None else _multiply(k, y, w[2 * i - 2 : 2 * i])
                    there.store(turned, (q + (p * parts + i) * stride) * lanes)
        at += 6 * step if step > 1 else 0
        here, there, length, stride = there, here, step, stride * parts
    return here


def _butterfly(x):
    """The transform of four numbers, or of two."""
    if len(x) == 2:
        return _add(*x), _subtract(*x)
    a, b, c, d = x
    even, odd, evens, odds = _add(a, c), _subtract(a, c), _add(b, d), _times_i(_subtract(b, d))
    return _add(even, evens), _subtract(odd, odds), _subtract(even, evens), _add(odd, odds)


# ---- signals that lie one behind the other
def emit_gather(k):
    """Bring the first elements of a vector's lanes of rows. Arguments: rows, place, first row, number of rows, elements of a row, how
    many of them are wanted."""
    source, place, (first, rows, width, count), n = k.arg(0, f32), k.arg(1, f32), (k.arg(i, i64) for i in range(2, 6)), k.lanes
    at = [source + k.minimum(first + i, rows - 1) * width for i in range(n)]
    whole = count / n * n
    with k.range(0, whole, n) as e:
        for i, v in enumerate(transposed(k, [row.load(e, n) for row in at])):
            place.store(v, (e + i) * n)
    with k.range(whole, count) as e:
        for i, row in enumerate(at):
            place[e * n + i] = row[e]


def emit_scatter(k):
    """Put vectors where rows are. Arguments: place, rows, first row, number of rows, elements of a row, bits of a factor."""
    place, target, factor, n = k.arg(0, f32), k.arg(1, f32), _number(k, 5), k.lanes
    first, rows, width = (k.arg(i, i64) for i in range(2, 5))
    at = [target + k.minimum(first + i, rows - 1) * width for i in range(n)]
    whole = width / n * n
    with k.range(0, whole, n) as e:
        vectors = transposed(k, [place.load((e + i) * n, n) * factor for i in range(n)])
        for i, row in reversed(list(enumerate(at))):  # so that of those beyond the last row, which are put there too, its own remains
            row.store(vectors[i], e)
    with k.range(whole, width) as e:
        for i, row in reversed(list(enumerate(at))):
            row[e] = place[e * n + i] * factor


def _gather(k, source, first, rows, width, count, place):
    k.subroutine(emit_gather, source, place, first, rows, width, count)


def _scatter(k, place, target, first, rows, width, factor):
    k.subroutine(emit_scatter, place, target, first, rows, width, factor)


def _vectors(n):
    """How many vectors of one part a place has room for."""
    return n + 2


def _places(k, number, n):
    """Both places of this thread's scratch memory."""
    each = _vectors(n) * k.lanes
    start = k.arg(number, f32) + k.thread * 4 * each
    return _Numbers(start, start + each), _Numbers(start + 2 * each, start + 3 * each)


def _number(k, i):
    """An argument that is a float, given by its bits."""
    return k.arg(i, i64).to(i32).bits(f32)


def emit_rows(k, n):
    """Complex rows. Arguments: real and imaginary parts, those of the results, scratch, table, rows, factor."""
    x, y, rows = _Numbers(k.arg(0, f32), k.arg(1, f32)), _Numbers(k.arg(2, f32), k.arg(3, f32)), k.arg(6, i64)
    here, there = _places(k, 4, n)
    first = k.task * k.lanes
    for source, place in zip(x, here, strict=True):
        _gather(k, source, first, rows, n, n, place)
    for part, out in zip(_transform(k, n, k.arg(5, f32), here, there), y, strict=True):
        _scatter(k, part, out, first, rows, n, k.arg(7, i64))


def emit_columns(k, n):
    """Complex columns of matrices. Arguments: as ``emit_rows``, with columns in place of rows, and how many tasks each matrix has."""
    x, y, columns = _Numbers(k.arg(0, f32), k.arg(1, f32)), _Numbers(k.arg(2, f32), k.arg(3, f32)), k.arg(6, i64)
    here, there = _places(k, 4, n)
    factor, blocks, lanes = _number(k, 7), k.arg(8, i64), k.lanes
    column = k.task % blocks * lanes
    start, mask = k.task / blocks * n * columns + column, k.mask(columns - column, lanes)
    with k.range(n) as e:
        here.store([part.load(start + e * columns, lanes, mask) for part in x], e * lanes)
    result = _transform(k, n, k.arg(5, f32), here, there)
    with k.range(n) as e:
        for part, out in zip(result, y, strict=True):
            out.store(part.load(e * lanes, lanes) * factor, start + e * columns, mask)


def emit_half(k, n):
    """Half the spectra of real rows. Arguments: x, both parts of the results, scratch, table, rows, factor, factor of what is inside."""
    x, y, rows = k.arg(0, f32), _Numbers(k.arg(1, f32), k.arg(2, f32)), k.arg(5, i64)
    here, there = _places(k, 3, n)
    lanes, outer, inner, half = k.lanes, _number(k, 6), _number(k, 7), n // 2 + 1
    firsts = k.task * (2 * lanes), k.task * (2 * lanes) + lanes
    for first, place in zip(firsts, here, strict=True):
        _gather(k, x, first, rows, n, n, place)
    z = _transform(k, n, k.arg(4, f32), here, there)

    other = _Numbers(*there) if z.re is here.re else _Numbers(*here)
    parts = [[x + i * half * lanes for x in other] for i in range(2)]  # of the first signal, and of the second
    with k.range(half) as e:
        (a, b), (c, d) = (z.load(i * lanes, lanes) for i in (e, (n - e) & (n - 1)))
        scale = k.select(e.equals(0) | e.equals(n // 2), outer, inner) * 0.5
        for place, value in zip((*parts[0], *parts[1]), (a + c, b - d, b + d, c - a), strict=True):
            place.store(value * scale, e * lanes)
    for first, pair in zip(firsts, parts, strict=True):
        with k.when(first < rows):
            for place, out in zip(pair, y, strict=True):
                _scatter(k, place, out, first, rows, half, _bits(1.0))


def emit_signal(k, n):
    """Real rows of half their spectra. Arguments: both parts, y, scratch, table, rows, factor, factor of what is inside."""
    x, y, rows = _Numbers(k.arg(0, f32), k.arg(1, f32)), k.arg(2, f32), k.arg(5, i64)
    here, there = _places(k, 3, n)
    lanes, outer, inner, half = k.lanes, _number(k, 6), _number(k, 7), n // 2 + 1
    firsts = k.task * (2 * lanes), k.task * (2 * lanes) + lanes
    pairs = [_Numbers(here.re, here.im), _Numbers(there.re, there.im)]
    for first, pair in zip(firsts, pairs, strict=True):
        for source, place in zip(x, pair, strict=True):
            _gather(k, source, first, rows, half, half, place)
    whole = _Numbers(there.re + half * lanes, there.im + half * lanes)  # behind the second signal's half: what mirrors
    with k.range(1, n // 2) as e:
        (a, b), (c, d) = (tuple(v * inner for v in pair.load(e * lanes, lanes)) for pair in pairs)
        here.store((a - d, b + c), e * lanes)
        whole.store((a + d, c - b), (n // 2 - 1 - e) * lanes)
    for e in (0, n // 2):
        a, c = (pair.re.load(e * lanes, lanes) * outer for pair in pairs)
        here.store((a, c), e * lanes)
    with k.range(n // 2 - 1) as e:
        here.store(whole.load(e * lanes, lanes), (e + half) * lanes)
    z = _transform(k, n, k.arg(4, f32), _Numbers(here.im, here.re), _Numbers(there.im, there.re))
    for first, part in zip(firsts, (z.im, z.re), strict=True):
        with k.when(first < rows):
            _scatter(k, part, y, first, rows, n, _bits(1.0))


# ---- which calls
def _takes(n, *buffers):
    fits = _SHORTEST <= n <= _LONGEST and n % target().lanes == 0 and not n & (n - 1)
    return fits and all(b.dtype == "float32" and b.size for b in buffers)


def _table(n):
    table = _twiddles(n) if n > 4 else np.zeros(6, "float32")
    return Buffer(table, table.shape, "float32")


def _scratch(request, n):
    return request.scratch(request.threads * 4 * _vectors(n) * target().lanes * 4)


def _bits(x):
    return int(np.float32(x).view("int32"))


def _factor(n, norm, inverse):
    return {"ortho": 1 / math.sqrt(n), "forward": 1.0 if inverse else 1 / n, "backward": 1 / n if inverse else 1.0}[norm]


@candidate("_fourier")
def _fourier(request):
    outputs, attrs = request.outputs, request.attrs
    shape = outputs[0].shape
    axes = sorted({a % len(shape) for a in attrs["axes"]}, reverse=True)
    if len(axes) != len(attrs["axes"]) or any(b.shape != shape for b in request.inputs):
        return None
    if not all(_takes(shape[a], *request.inputs, *outputs) for a in axes):
        return None
    order = [1, 0] if attrs["inverse"] else [0, 1]
    source, result, instructions = [request.dense(i) for i in order], [outputs[i] for i in order], []
    for axis in axes:
        n, columns, lanes = shape[axis], math.prod(shape[axis + 1 :]), target().lanes
        factor = _bits(_factor(n, attrs["norm"], attrs["inverse"]))
        rows, blocks = math.prod(shape) // n, -(-columns // lanes)
        args = [*source, *result, _scratch(request, n), _table(n), rows if columns == 1 else columns, factor]
        if columns == 1:
            instructions.append(request.kernel(emit_rows, args, -(-rows // lanes), n=n))
        else:
            instructions.append(request.kernel(emit_columns, [*args, blocks], rows // columns * blocks, n=n))
        source = result
    return instructions


def _real(request, emit, n, rows, inverse):
    attrs = request.attrs
    factor = _factor(n, attrs["norm"], inverse)
    buffers = [request.dense(i) for i in range(len(request.inputs))] + request.outputs
    args = [*buffers, _scratch(request, n), _table(n), rows, _bits(factor), _bits(factor * attrs["inner"])]
    return [request.kernel(emit, args, -(-rows // (2 * target().lanes)), n=n)]


@candidate("_half_spectrum")
def _half_spectrum(request):
    x = request.inputs[0]
    n = x.shape[-1]
    return _real(request, emit_half, n, x.size // n, False) if _takes(n, x, *request.outputs) else None


@candidate("_real_signal")
def _real_signal(request):
    (re, im), y, n = request.inputs, request.outputs[0], request.attrs["n"]
    if not _takes(n, re, im, y) or re.shape != im.shape or re.shape[-1] != n // 2 + 1:
        return None
    return _real(request, emit_signal, n, y.size // n, True)
