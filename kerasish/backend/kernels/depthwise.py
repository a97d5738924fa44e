"""Convolutions in which each channel has kernels of its own, and their two gradients, with the channels last.

Neighbouring channels do the same with neighbouring numbers, so they are the lanes of a vector, and nothing is shared between them:
what is read is multiplied once. A task does some rows of the result. Where a window reaches over the border, its taps are asked one
by one whether they lie on the image; in columns further in only its rows are.

The gradient of the input is such a convolution too, with the kernel mirrored. That of the kernel keeps its taps in registers while
it goes through some images; their sums are added in the end, in an order that does not depend on threads.
"""

import contextlib

from kerasish.backend.kernels.candidates import candidate
from kerasish.backend.kernels.compile import target
from kerasish.backend.kernels.conv import _Call
from kerasish.backend.kernels.emit import f32, i64
from kerasish.config import standardize_data_format

_MOST_TAPS = 25
_GROUPS = 8  # of images, whose sums for the kernel's gradient are apart
_INTEGERS = ("images", "height", "width", "out_height", "out_width", "channels", "top", "left", "each")


class _Geometry:
    """Where the taps of a window lie: ``size``, ``strides`` and ``dilation`` are known, sizes are arguments."""

    def __init__(self, k, size, strides, dilation, first):
        self.k, self.size, self.strides, self.dilation = k, size, strides, dilation
        for i, name in enumerate(_INTEGERS):
            setattr(self, name, k.arg(first + i, i64))

    def columns(self, body):
        """``body(column, inside)`` for all columns of the result; ``inside``: all taps are on the image there."""
        k, reach, s = self.k, (self.size[1] - 1) * self.dilation[1], self.strides[1]
        first = k.minimum(k.maximum((self.left + (s - 1)) / s, 0), self.out_width)
        room = self.width - 1 - reach + self.left
        behind = k.select(room < 0, k.const(0), room / s + 1)
        behind = k.maximum(k.minimum(behind, self.out_width), first)
        for start, stop, inside in ((k.const(0), first, False), (first, behind, True), (behind, self.out_width, False)):
            with k.range(start, stop) as column:
                body(column, inside)

    def taps(self, row, column, inside, body, beyond=None):
        """``body(number, y, x)`` for each tap of a window that is on the image, ``beyond(number)`` for the others."""
        k, (rows, columns) = self.k, self.size
        for i in range(rows):
            y = row * self.strides[0] + i * self.dilation[0] - self.top
            on_rows = (y >= 0) & (y < self.height)
            with k.when(on_rows):
                for j in range(columns):
                    x = column * self.strides[1] + j * self.dilation[1] - self.left
                    on_columns = None if inside else (x >= 0) & (x < self.width)
                    with contextlib.nullcontext() if inside else k.when(on_columns):
                        body(i * columns + j, y, x)
                    if beyond and not inside:
                        with k.unless(on_columns):
                            beyond(i * columns + j)
            if beyond:
                with k.unless(on_rows):
                    for j in range(columns):
                        beyond(i * columns + j)


def emit_depthwise(k, size, strides, dilation, mirrored):
    """Arguments: x, kernel, y, sizes as ``_INTEGERS`` names them, with the rows of y for each task."""
    x, w, out = (k.arg(i, f32) for i in range(3))
    g = _Geometry(k, size, strides, dilation, 3)
    last, n = size[0] * size[1] - 1, k.lanes
    with k.range(k.task * g.each, k.minimum(k.task * g.each + g.each, g.images * g.out_height)) as line:
        row, image = line % g.out_height, line / g.out_height * g.height

        def at(column, inside, line=line, row=row, image=image):
            def channels(c, v):
                total = k.var(k.vector(0, f32, n))

                def tap(number, ty, tx):
                    weight = v.load(w, g.channels * (last - number if mirrored else number) + c)
                    total.value = k.fma(v.load(x, ((image + ty) * g.width + tx) * g.channels + c), weight, total.value)

                def zero(number):  # for an infinite weight a zero of the border makes NaN, as in NumPy's kernel
                    total.value = k.fma(v.load(w, g.channels * number + c), k.vector(0, f32, n), total.value)

                g.taps(row, column, inside, tap, None if mirrored else zero)
                v.store(total.value, out, (line * g.out_width + column) * g.channels + c)

            k.each_vector(0, g.channels, channels, n)

        g.columns(at)


def emit_depthwise_kernel(k, size, strides, dilation):
    """The sums of one group of images for one vector of channels. Arguments: x, g, sums, sizes, with the images of each group."""
    x, gradient, sums = (k.arg(i, f32) for i in range(3))
    g = _Geometry(k, size, strides, dilation, 3)
    n, taps = k.lanes, size[0] * size[1]
    vectors = (g.channels + (n - 1)) / n
    c, group = k.task % vectors * n, k.task / vectors
    mask = k.mask(g.channels - c, n)
    totals = [k.var(k.vector(0, f32, n)) for _ in range(taps)]
    start = group * g.each
    with k.range(start * g.out_height, k.minimum(start + g.each, g.images) * g.out_height) as line:
        row, image = line % g.out_height, line / g.out_height * g.height

        def at(column, inside, line=line, row=row, image=image):
            there = gradient.load((line * g.out_width + column) * g.channels + c, n, mask)

            def tap(number, ty, tx):
                value = x.load(((image + ty) * g.width + tx) * g.channels + c, n, mask)
                totals[number].value = k.fma(value, there, totals[number].value)

            g.taps(row, column, inside, tap)

        g.columns(at)
    for number, total in enumerate(totals):
        sums.store(total.value, (group * taps + number) * g.channels + c, mask)


def emit_total(k):
    """The sum of several blocks. Arguments: blocks, y, how many, elements of each."""
    blocks, y, count, size = k.arg(0, f32), k.arg(1, f32), k.arg(2, i64), k.arg(3, i64)

    def body(i, v):
        total = k.var(v.load(blocks, i))
        with k.range(1, count) as block:
            total.value = total.value + v.load(blocks, block * size + i)
        v.store(total.value, y, i)

    k.each_vector(0, size, body)


# ---- which calls
def _call(request, x, y, w_shape):
    """The call as one on images, None where it is none of this kind."""
    if len(x.shape) not in (3, 4) or standardize_data_format(request.attrs["data_format"]) != "channels_last":
        return None
    if w_shape[-2] != 1 or x.shape[-1] == 1 or not x.shape[-1] == w_shape[-1] == y.shape[-1] or 0 in (*x.shape, *y.shape, *w_shape):
        return None
    call = _Call(request, x, y, w_shape)
    taken = call.size[0] * call.size[1] <= _MOST_TAPS and all(b.dtype == "float32" for b in (*request.inputs, *request.outputs))
    return call if taken else None


def _rows(request, images, height):
    each = max(1, -(-images * height // (8 * request.threads)))
    return each, -(-images * height // each)


@candidate("conv")
def depthwise(request):
    """The convolution."""
    x, w, y = *request.inputs, request.outputs[0]
    call = _call(request, x, y, w.shape)
    if call is None:
        return None
    x, y = call.x, call.y
    each, tasks = _rows(request, *y.shape[:2])
    args = [x if x.dense else request.copied(x), request.dense(1), y, *x.shape[:3], *y.shape[1:], *call.before, each]
    options = {"size": call.size, "strides": call.strides, "dilation": call.dilation}
    return [request.kernel(emit_depthwise, args, tasks, mirrored=False, **options)]


@candidate("_conv_input")
def depthwise_input(request):
    """The gradient of its input, where windows lie at all places."""
    g, w, y = *request.inputs, request.outputs[0]
    call = _call(request, y, g, w.shape)
    if call is None or tuple(call.strides) != (1, 1):
        return None
    y, g = call.x, call.y
    before = [(n - 1) * d - b for n, d, b in zip(call.size, call.dilation, call.before, strict=True)]
    each, tasks = _rows(request, *y.shape[:2])
    args = [g if g.dense else request.copied(g), request.dense(1), y, *g.shape[:3], *y.shape[1:], *before, each]
    options = {"size": call.size, "strides": call.strides, "dilation": call.dilation}
    return [request.kernel(emit_depthwise, args, tasks, mirrored=True, **options)]


@candidate("_conv_kernel")
def depthwise_kernel(request):
    """The gradient of its kernel."""
    x, g, out = *request.inputs, request.outputs[0]
    call = _call(request, x, g, out.shape)
    if call is None:
        return None
    x, g = (b if b.dense else request.copied(b) for b in (call.x, call.y))
    each = -(-x.shape[0] // min(_GROUPS, x.shape[0]))
    groups, vectors = -(-x.shape[0] // each), -(-x.shape[3] // target().lanes)
    sums = request.scratch(groups * out.size * 4, (groups * out.size,), "float32")
    args = [x, g, sums, *x.shape[:3], *g.shape[1:], *call.before, each]
    options = {"size": call.size, "strides": call.strides, "dilation": call.dilation}
    each_group = request.kernel(emit_depthwise_kernel, args, groups * vectors, **options)
    return [each_group, request.kernel(emit_total, [sums, out, groups, out.size])]
