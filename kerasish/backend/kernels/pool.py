"""Pools of images with the channels last, and their gradients: one pass over memory, vectors along the channels.

A task has some rows of windows, of one image or of several. Small windows are written out; where windows are large, or reach over
the border, the taps are loops whose bounds leave out what is not on the image. In gradients, windows that don't overlap write what
they pass on; else an image is filled with zeros first and windows add to it, last window first: so each element gets its shares in
the order of the taps, as in the op's own kernel, and sums are the same to the last bit.
"""

import math

from kerasish.backend.autodiff.shapes import per_axis, window_padding
from kerasish.backend.kernels.candidates import candidate
from kerasish.backend.kernels.conv import arguments
from kerasish.backend.kernels.emit import SIZE, f32, f64, i1
from kerasish.config import standardize_data_format

_TYPES = {"float32": f32, "float64": f64}
_TASK = 1 << 16  # bytes of a task's images, at least
_WRITTEN_OUT = 9  # taps, at most
_CHANNELS = 3  # at least: with fewer, vectors along the channels are all but empty, and NumPy is quicker

_SIZES = ("rows", "rows_each", "height", "width", "channels", "out_height", "out_width", "top", "left", "size_y", "size_x", "stride_y",
          "stride_x")  # fmt: skip


class _Window:
    """One window: where its elements lie from the start of ``x``, and how many of them there are."""

    def __init__(self, k, a, image, row, column, size):
        self.k, self.a, self.size = k, a, size
        self.y, self.x = row * a.stride_y - a.top, column * a.stride_x - a.left
        self.image = image * a.height
        if not size:
            zero = k.const(0)
            self.bounds = [(k.maximum(zero - start, zero), k.minimum(taps, n - start))
                           for start, taps, n in ((self.y, a.size_y, a.height), (self.x, a.size_x, a.width))]  # fmt: skip

    def inside(self):
        """Whether all of it is on the image."""
        a, (height, width) = self.a, self.size
        return (self.y + 1 > 0) & (self.x + 1 > 0) & (self.y + height < a.height + 1) & (self.x + width < a.width + 1)

    def _place(self, ty, tx):
        return ((self.image + self.y + ty) * self.a.width + self.x + tx) * self.a.channels

    def each(self, body):
        """``body(offset, whether it is the window's last)`` for each element on the image, row by row."""
        if self.size:
            height, width = self.size
            for ty in range(height):
                for tx in range(width):
                    body(self._place(ty, tx), self.k.const((ty, tx) == (height - 1, width - 1), i1))
        else:
            (top, bottom), (left, right) = self.bounds
            with self.k.range(top, bottom) as ty, self.k.range(left, right) as tx:
                body(self._place(ty, tx), (ty + 1).equals(self.a.size_y) & (tx + 1).equals(self.a.size_x))

    def count(self, t):
        """The number of elements on the image."""
        if self.size:
            return self.k.const(math.prod(self.size), t)
        (top, bottom), (left, right) = self.bounds
        return ((bottom - top) * (right - left)).to(t)


def _each_window(k, a, size, borders, body, begin=None):
    """``body(window, offset of its result)`` for a task's windows, last first; ``begin(image)`` before those of an image.

    ``size`` is that of windows to be written out, None for any; with ``borders`` some of them are not wholly on the image.
    """
    first = k.task * a.rows_each
    stop = k.minimum(first + a.rows_each, a.rows)
    with k.range(stop - first) as i:
        number = stop - 1 - i
        image, row = number // a.out_height, number % a.out_height
        if begin:
            with k.when(row.equals(a.out_height - 1)):
                begin(image)
        with k.range(a.out_width) as j:
            column = a.out_width - 1 - j
            window, place = _Window(k, a, image, row, column, size), (number * a.out_width + column) * a.channels
            if not (size and borders):
                body(window, place)
            else:
                with k.when(window.inside()):
                    body(window, place)
                with k.unless(window.inside()):
                    body(_Window(k, a, image, row, column, None), place)


def _zeros(k, a, p, n):
    """What fills an image with zeros."""

    def begin(image):
        size, zero = a.height * a.width * a.channels, k.vector(0, p.element, n)
        start = p + image * size
        k.each_vector(0, size, lambda i, v: v.store(zero, start, i), n)

    return begin


def _maximum(k, dtype, size, borders):
    """The largest element of each window, NaN where one is NaN."""
    t = _TYPES[dtype]
    n = k.lanes * 4 // SIZE[t]
    a = arguments(k, t, ("x", "y"), _SIZES)

    def body(window, place):
        def channels(c, v):
            largest = k.var(k.vector(-math.inf, t, n))

            def combine(at, _):
                largest.value = k.maximum(largest.value, v.load(a.x + at, c))

            window.each(combine)
            v.store(largest.value, a.y + place, c)

        k.each_vector(0, a.channels, channels, n)

    _each_window(k, a, size, borders, body)


def _to_first_maximum(k, dtype, size, borders, apart, zeros):
    """Each window's ``g`` at the first element that equals the window's maximum ``y``, or at the last (where there are NaNs)."""
    t = _TYPES[dtype]
    n = k.lanes * 4 // SIZE[t]
    a = arguments(k, t, ("g", "x", "y", "out"), _SIZES)

    def body(window, place):
        def channels(c, v):
            g, y = v.load(a.g + place, c), v.load(a.y + place, c)
            waiting = k.var(k.vector(1.0, t, n))

            def give(at, last):
                hit = k.select(v.load(a.x + at, c).equals(y) | last.splat(n), waiting.value, 0.0)
                waiting.value = waiting.value - hit
                share = g * hit  # a product, as in the op's kernel: infinity times 0 is NaN
                v.store(share if apart else v.load(a.out + at, c) + share, a.out + at, c)

            window.each(give)

        k.each_vector(0, a.channels, channels, n)

    _each_window(k, a, size, borders, body, _zeros(k, a, a.out, n) if zeros else None)


def _mean(k, dtype, size, borders):
    """The mean of each window's elements on the image."""
    t = _TYPES[dtype]
    n = k.lanes * 4 // SIZE[t]
    a = arguments(k, t, ("x", "y"), _SIZES)

    def body(window, place):
        count = window.count(t)

        def channels(c, v):
            total = k.var(k.vector(0, t, n))

            def add(at, _):
                total.value = total.value + v.load(a.x + at, c)

            window.each(add)
            v.store(total.value / count, a.y + place, c)

        k.each_vector(0, a.channels, channels, n)

    _each_window(k, a, size, borders, body)


def _mean_input(k, dtype, size, borders, apart, zeros):
    """Each window's ``g``, divided by the number of its elements, at all of them."""
    t = _TYPES[dtype]
    n = k.lanes * 4 // SIZE[t]
    a = arguments(k, t, ("g", "out"), _SIZES)

    def body(window, place):
        count = window.count(t)

        def channels(c, v):
            share = v.load(a.g + place, c) / count
            window.each(lambda at, _: v.store(share if apart else v.load(a.out + at, c) + share, a.out + at, c))

        k.each_vector(0, a.channels, channels, n)

    _each_window(k, a, size, borders, body, _zeros(k, a, a.out, n) if zeros else None)


class _Pool:
    """A pool of 1 or 2 spatial axes with the channels last: the numbers and the options that its kernels need."""

    def __init__(self, attrs, shape, out_shape):
        rank = len(shape) - 2
        size = per_axis(attrs["pool_size"], rank, "pool_size")
        strides = size if attrs["strides"] is None else per_axis(attrs["strides"], rank, "strides")
        pairs = window_padding(shape[1:-1], size, strides, attrs["padding"], (1,) * rank)
        more = (1,) * (2 - rank)
        (height, width), (out_height, out_width) = (more + tuple(s[1:-1]) for s in (shape, out_shape))
        size, strides = more + tuple(size), more + tuple(strides)
        before = (0,) * len(more) + tuple(b for b, _ in pairs)
        ends = [(m - 1) * s - b + k for m, s, b, k in zip((out_height, out_width), strides, before, size, strict=True)]
        inside = max(before) == 0 and ends[0] <= height and ends[1] <= width
        self.apart = all(s >= k for s, k in zip(strides, size, strict=True))
        self.covered = self.apart and strides == size and ends[0] >= height and ends[1] >= width
        written_out = math.prod(size) <= _WRITTEN_OUT
        self.options = {"size": size if written_out else None, "borders": written_out and not inside}
        self.rows = shape[0] * out_height
        self._numbers = [height, width, shape[-1], out_height, out_width, *before, *size, *strides]
        self._row_bytes = width * strides[0] * shape[-1] * 4
        self._out_height = out_height

    def numbers(self, whole_images):
        """The kernels' sizes, and the number of tasks."""
        each = min(self.rows, -(-_TASK // self._row_bytes))
        if whole_images:
            each = -(-each // self._out_height) * self._out_height
        return [self.rows, each, *self._numbers], -(-self.rows // each)


def _taken(request, shape, out_shape):
    """The pool, or None where the call is none for these kernels."""
    dtypes = {b.dtype for b in (*request.inputs, *request.outputs)}
    if len(dtypes) > 1 or not dtypes <= set(_TYPES) or len(shape) not in (3, 4) or 0 in (*shape, *out_shape):
        return None
    if standardize_data_format(request.attrs["data_format"]) != "channels_last" or shape[-1] < _CHANNELS:
        return None
    return _Pool(request.attrs, shape, out_shape)


def _forward(request, emit):
    x, y = request.inputs[0], request.outputs[0]
    pool = _taken(request, x.shape, y.shape)
    if pool is None:
        return None
    numbers, tasks = pool.numbers(False)
    return [request.kernel(emit, [request.dense(0), y, *numbers], tasks=tasks, dtype=x.dtype, **pool.options)]


def _backward(request, emit, out_shape):
    out = request.outputs[0]
    pool = _taken(request, out.shape, out_shape)
    if pool is None:
        return None
    numbers, tasks = pool.numbers(not pool.covered)
    inputs = [request.dense(i) for i in range(len(request.inputs))]
    return [request.kernel(emit, [*inputs, out, *numbers], tasks=tasks, dtype=out.dtype, apart=pool.apart, zeros=not pool.covered,
                           **pool.options)]  # fmt: skip


@candidate("max_pool")
def max_pool(request):
    """Maxima of windows."""
    return _forward(request, _maximum)


@candidate("_to_first_maximum")
def to_first_maximum(request):
    """Gradient of maxima of windows."""
    return _backward(request, _to_first_maximum, request.inputs[0].shape)


@candidate("average_pool")
def average_pool(request):
    """Means of windows."""
    return _forward(request, _mean)


@candidate("_average_pool_input")
def average_pool_input(request):
    """Gradient of means of windows."""
    return _backward(request, _mean_input, request.inputs[0].shape)
