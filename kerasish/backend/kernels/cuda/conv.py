"""Convolutions of 1, 2 or 3 spatial axes and their two gradients as products of windows; groups are a batch of products.

- ``y = x * w``: a row for each position of the result, a step for each tap and channel, a column for each filter.
- The input's gradient: a row for each position of the image, whose windows of ``g`` go backwards. With strides the image has phases, the
  positions that leave the same remainder: each meets its own taps, evenly spaced, so each is a product of its own, all in one launch.
- The kernel's gradient: a row for each tap and channel, a step for each position. It is small and its sum is long, so the sum is divided.

Multiples of 16 channels go from memory to registers (``direct.py``, ``direct_sums.py``), the rest by ``tiles.py``. Neighbouring windows
share their elements, so all taps but the first find them in a cache: bytes of images bound convolutions of few channels, and those of
small images what a launch costs. Channels may come first: only strides tell.
"""

import math

from kerasish.backend.kernels.cuda import direct, direct_sums, tiles
from kerasish.backend.kernels.cuda.cublaslt import tf32
from kerasish.backend.kernels.cuda.depthwise import Windows, known
from kerasish.backend.kernels.cuda.launch import candidate
from kerasish.backend.kernels.cuda.operands import Digit, Item, Operand, Prologue, Result, digits


def _positions(at):
    """The digits of a position of ``y`` as where its window begins on ``x``."""
    places = (Digit(at.y.shape[a + 1], axis=a, step=at.strides[a], base=-at.before[a]) for a in at.axes)
    return *places, Digit(at.x.shape[0], at.x.strides[0])


def _elements(at):
    """The digits of an element of a window: channel and tap."""
    return Digit(at.each_in, at.x.strides[-1]), *(Digit(at.size[a], axis=a, step=at.dilation[a]) for a in at.axes)


def _places(b):
    """The digits of all axes of a buffer but the last."""
    return digits(b.shape[:-1], b.strides[:-1])


def _product(request, a, b, c, shape, items, prologue=None):
    """The launches for windows by a kernel, by the way that suits their sizes."""
    args = request, a, b, c, shape, items, tf32(), prologue
    return direct.product(*args) or tiles.product(*args)


@candidate("conv")
def conv(request):
    """The convolution."""
    x, w, y = *request.inputs, request.outputs[0]
    if not y.size:
        return []
    if not known(request):
        return None
    at, w = Windows(request.attrs, x, y, w.shape), request.dense(1)
    shape = math.prod(at.y.shape[:-1]), at.each_out, at.taps * at.each_in
    a = Operand(at.x, _positions(at), _elements(at), at.x.shape[1:-1], at.x.strides[1:-1])
    b = Operand(w, (Digit(at.each_out, 1),), (Digit(shape[2], w.shape[-1]),))
    items = [Item(at.groups, at.each_in * at.x.strides[-1], at.each_out, at.each_out * at.y.strides[-1])]
    return _product(request, a, b, Result(at.y, _places(at.y), at.y.strides[-1]), shape, items)


@candidate("_conv_kernel")
def conv_kernel(request):
    """The gradient of the kernel."""
    x, g, out = *request.inputs, request.outputs[0]
    if not out.size:
        return []
    if not known(request) or not out.dense:
        return None
    at = Windows(request.attrs, x, g, out.shape)
    shape = at.taps * at.each_in, at.each_out, math.prod(at.y.shape[:-1])
    a = Operand(at.x, _elements(at), _positions(at), at.x.shape[1:-1], at.x.strides[1:-1])
    b = Operand(at.y, (Digit(at.each_out, at.y.strides[-1]),), _places(at.y))
    items = [Item(at.groups, at.each_in * at.x.strides[-1], at.each_out * at.y.strides[-1], at.each_out)]
    args = request, a, b, Result(out, (Digit(shape[0], out.shape[-1]),)), shape, items, tf32()
    return direct_sums.product(*args) or tiles.product(*args)


@candidate("_conv_input")
def conv_input(request):
    """The gradient of the input."""
    g, w, out = *request.inputs, request.outputs[0]
    if not out.size:
        return []
    if not known(request):
        return None
    at, w = Windows(request.attrs, out, g, w.shape), request.dense(1)
    x, g = at.x, at.y
    apart = tuple(math.prod(at.size[a + 1 :]) * math.prod(w.shape[-2:]) for a in range(len(at.size)))  # taps in w
    spread = [math.gcd(d, s) for d, s in zip(at.dilation, at.strides, strict=True)]
    spacing, steps = ([n // by for n, by in zip(of, spread, strict=True)] for of in (at.strides, at.dilation))
    sizes = [math.ceil(n / s) for n, s in zip(x.shape[1:-1], at.strides, strict=True)]
    taps = [math.ceil(n / s) for n, s in zip(at.size, spacing, strict=True)]
    shape = x.shape[0] * math.prod(sizes), at.each_in, at.each_out * math.prod(taps)
    rows = *(Digit(sizes[a], axis=a, step=1, base=at.before[a]) for a in at.axes), Digit(g.shape[0], g.strides[0])
    sums = Digit(at.each_out, g.strides[-1]), *(Digit(taps[a], axis=a, step=-steps[a]) for a in at.axes)
    a = Operand(g, rows, sums, g.shape[1:-1], g.strides[1:-1])
    items = [Item(at.groups, at.each_out * g.strides[-1], at.each_out, at.each_in * x.strides[-1])]
    of_w, filters = (Digit(at.each_out, 1), Digit(at.taps, apart[-1])), (Digit(at.each_in, w.shape[-1]),)
    if max(at.strides) == 1:
        return _product(request, a, Operand(w, filters, of_w), Result(x, _places(x), x.strides[-1]), shape, items)
    of_w = of_w[0], *(Digit(taps[a], spacing[a] * apart[a]) for a in at.axes)
    to = *(Digit(sizes[a], at.strides[a] * x.strides[a + 1]) for a in at.axes), Digit(x.shape[0], x.strides[0])
    return _product(request, a, Operand(w, filters, of_w), Result(x, to, x.strides[-1]), shape, items, _phases(at, spacing, apart))


# Tap i of window o reads what lies at o * stride + i * dilation - before: of the taps that meet a phase, the first and how many there are.
_PHASE = r"""
{
    const int by = (int)stride%(a)d, phase = (int)(block %% (u32)by);
    block /= (u32)by;
    int tap = 0;
    while (tap < spacing%(a)d && (phase + before%(a)d - tap * dilation%(a)d) %% by) ++tap;
    const i64 met = tap < spacing%(a)d && tap < taps%(a)d ? (taps%(a)d - tap + spacing%(a)d - 1) / spacing%(a)d : 0;
    const i64 rows = phase < length%(a)d ? (length%(a)d - phase + by - 1) / by : 0;
    a_row_n%(j)d = rows;
    c_row_n%(j)d = rows;
    a_row_b%(j)d = (phase + before%(a)d - tap * dilation%(a)d) / by;
    a_step_n%(k)d = met;
    b_step_n%(k)d = met;
    b += tap * apart%(a)d;
    c += phase * to%(a)d;
    m *= rows;
    k *= met;
}"""


def _phases(at, spacing, apart):
    """The code by which a block finds its phase, what meets it and where it goes."""
    given = {"images": at.x.shape[0], "each_out": at.each_out}
    for a in at.axes:
        given |= {f"stride{a}": at.strides[a], f"before{a}": at.before[a], f"dilation{a}": at.dilation[a], f"taps{a}": at.size[a],
                  f"spacing{a}": spacing[a], f"apart{a}": apart[a], f"length{a}": at.x.shape[a + 1],
                  f"to{a}": at.x.strides[a + 1]}  # fmt: skip
    text = "".join(_PHASE % {"a": a, "j": j, "k": j + 1} for j, a in enumerate(at.axes))
    return Prologue(f"m = images;\nk = each_out;{text}", math.prod(at.strides), given)
