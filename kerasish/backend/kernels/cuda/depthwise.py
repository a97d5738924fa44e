"""Convolutions in which each channel has kernels of its own, and their two gradients. Channels may come first or last.

What is read is multiplied once or a few times, so bytes bound them. Of a result and of the input's gradient a thread has an element, or
four neighbouring channels; its neighbour has the next one in memory, and what windows share is found in a cache. Of the
kernel's gradient a block has 32 channels and some positions; a thread keeps the sums of some taps in registers, parts are added in order.
"""

import functools
import math

from kerasish.backend.autodiff.shapes import per_axis, window_padding
from kerasish.backend.kernels.cuda.launch import THREADS, Launch, candidate, source
from kerasish.backend.kernels.cuda.operands import DTYPES, Digit, Item, Result
from kerasish.backend.kernels.cuda.prelude import MEMORY, REGISTER, WARP
from kerasish.backend.kernels.cuda.tiles import added
from kerasish.config import standardize_data_format

_BLOCKS, _MOST_PARTS = 528, 256  # of the kernel's gradient
_MOST_TAPS, _UNROLLED = 25, 32  # sums that a thread keeps, taps whose loops are written out


class Windows:
    """How windows of ``x`` make ``y`` (channels last, whatever the strides): sizes, and strides in memory, of two axes or three."""

    def __init__(self, attrs, x, y, w_shape):
        rank = len(w_shape) - 2
        x, y = (_channels_last(b, attrs["data_format"]) for b in (x, y))
        *size, self.each_in, filters = w_shape
        strides, dilation = (per_axis(attrs[name], rank, name) for name in ("strides", "dilation_rate"))
        before = [b for b, _ in window_padding(x.shape[1:-1], size, strides, attrs["padding"], dilation)]
        self.groups = x.shape[-1] // self.each_in
        self.each_out = filters // self.groups
        more = rank == 1
        self.size, self.strides, self.dilation = ((1,) * more + tuple(values) for values in (size, strides, dilation))
        self.before = (0,) * more + tuple(before)
        self.x, self.y = (b if rank > 1 else b.view((b.shape[0], 1, *b.shape[1:]), (b.strides[0], 0, *b.strides[1:])) for b in (x, y))
        self.axes = tuple(range(len(self.size)))[::-1]  # the quickest first

    @property
    def taps(self):
        return math.prod(self.size)


def _channels_last(b, data_format):
    """A view with the channels in the last axis."""
    if standardize_data_format(data_format) == "channels_last":
        return b
    return b.view((b.shape[0], *b.shape[2:], b.shape[1]), (b.strides[0], *b.strides[2:], b.strides[1]))


def known(request):
    """Whether a call's dtypes and axes are known here, and there is anything to multiply."""
    buffers = (*request.inputs, *request.outputs)
    dtype, rank = buffers[0].dtype, len(buffers[0].shape)
    return dtype in DTYPES and all(b.dtype == dtype for b in buffers) and 3 <= rank <= 5 and all(b.size for b in buffers)


def _taken(request, x, y, w_shape):
    """The windows of a call of this kind, None where it is none."""
    if not known(request) or w_shape[-2] != 1:
        return None
    at = Windows(request.attrs, x, y, w_shape)
    return at if at.groups > 1 else None


# ---- a result's elements
_PACK = "template <class X, int N> struct alignas(sizeof(X) * N) Pack { X x[N]; };\n"
_GATHER = r"""
const i64 element = (i64)blockIdx.x * %(threads)d + threadIdx.x;
if (element >= count) return;
%(index)s rest = (%(index)s)element;
%(digits)s
const i64 image = rest, c0 = (i64)c * %(wide)d;
typedef Pack<%(memory)s, %(wide)d> Some;
const bool whole = ((u64)x | (u64)w | (u64)y) %% sizeof(Some) == 0;
%(register)s sum[%(wide)d] = {};
%(loops)s
const %(memory)s *const from = x + (%(from)s), *const by = w + (%(by)s);
Some p, q;
if (whole) { p = *(const Some *)from; q = *(const Some *)by; }
else
    #pragma unroll
    for (int v = 0; v < %(wide)d; ++v) { p.x[v] = from[v * x_channel]; q.x[v] = by[v]; }
#pragma unroll
for (int v = 0; v < %(wide)d; ++v) sum[v] += get(p.x[v]) * get(q.x[v]);
%(ends)s
%(memory)s *const to = y + (%(to)s);
Some result;
#pragma unroll
for (int v = 0; v < %(wide)d; ++v) put(&result.x[v], sum[v]);
if (whole) *(Some *)to = result;
else
    #pragma unroll
    for (int v = 0; v < %(wide)d; ++v) to[v * y_channel] = result.x[v];
"""


def _gather(request, at, x, w, y, back):
    """The launch for a result, or (``back``) for the input's gradient: every element asks the taps that it meets."""
    wide, multiplier, axes = _together(x, y, at.each_out), at.each_out, range(len(at.size))
    order, channels = [(f"o{a}", y.shape[a + 1]) for a in at.axes], ("c", y.shape[-1] // wide)
    order.insert(0 if y.strides[-1] <= min(y.strides[1:-1]) else len(order), channels)  # neighbours in memory are neighbours
    values = {"count": y.size // wide, **{f"n_{name}": n for name, n in order}, "x_image": x.strides[0], "x_channel": x.strides[-1],
              "y_image": y.strides[0], "y_channel": y.strides[-1], "filters": w.shape[-1]}  # fmt: skip
    for a in axes:
        values |= {f"stride{a}": at.strides[a], f"dilation{a}": at.dilation[a], f"before{a}": at.before[a], f"length{a}": x.shape[a + 1],
                   f"pitch{a}": x.strides[a + 1], f"y_pitch{a}": y.strides[a + 1]}  # fmt: skip
    index = "u32" if y.size < 1 << 31 else "i64"
    of_x, of_w = (f"c0 * {multiplier} + j",) * 2 if back else (f"c0 / {multiplier}", "c0")
    loops, ends = _loops(at, back)
    tap = functools.reduce(lambda text, a: f"({text} * {at.size[a]} + t{a})", axes, "0")
    names = {
        "memory": MEMORY[y.dtype], "register": REGISTER[y.dtype], "threads": THREADS, "wide": wide, "index": index, "ends": ends,
        "digits": "\n".join(f"const int {name} = (int)(rest % ({index})n_{name}); rest /= ({index})n_{name};" for name, _ in order),
        "loops": f"{loops}\nfor (int j = 0; j < {multiplier}; ++j) {{" if back else f"{loops}\n{{",
        "from": " + ".join(["image * x_image", f"({of_x}) * x_channel", *(f"at{a} * pitch{a}" for a in axes)]),
        "by": f"{tap} * filters + {of_w}",
        "to": " + ".join(["image * y_image", "c0 * y_channel", *(f"o{a} * y_pitch{a}" for a in axes)]),
    }  # fmt: skip
    t = names["memory"]
    parameters = [f"const {t} *__restrict__ x", f"const {t} *__restrict__ w", f"{t} *__restrict__ y", *(f"i64 {name}" for name in values)]
    text = source(parameters, _GATHER % names, THREADS, more=_PACK)
    return request.each(text, [x, w, y, *values.values()], y.size // wide)


def _together(x, y, multiplier):
    """How many neighbouring channels a thread has."""
    wide = 2 if y.dtype == "float64" else 4
    beside = multiplier == 1 and x.strides[-1] == y.strides[-1] == 1 and y.shape[-1] % wide == 0
    return wide if beside and not any(s % wide for s in (*x.strides[:-1], *y.strides[:-1])) else 1


def _loops(at, back):
    """The code of loops over taps, and of their ends: ``at<axis>`` is where a tap meets the other image."""
    lines = []
    for a, n in enumerate(at.size):
        lines += ["#pragma unroll" if at.taps <= _UNROLLED else "#pragma unroll 1", f"for (int t{a} = 0; t{a} < {n}; ++t{a}) {{"]
        if back:
            quotient = f"s{a}" if at.strides[a] == 1 else f"s{a} / (int)stride{a}"
            lines += [f"const int s{a} = o{a} + (int)before{a} - t{a} * (int)dilation{a}, at{a} = {quotient};",
                      f"if (s{a} < 0 || at{a} >= length{a} || at{a} * stride{a} != s{a}) continue;"]  # fmt: skip
        else:
            lines += [f"const int at{a} = o{a} * (int)stride{a} + t{a} * (int)dilation{a} - (int)before{a};",
                      f"if (at{a} < 0 || at{a} >= length{a}) continue;"]  # fmt: skip
    return "\n".join(lines), "}" * (len(at.size) + 1)


@candidate("conv")
def depthwise(request):
    """The convolution."""
    x, w, y = *request.inputs, request.outputs[0]
    at = _taken(request, x, y, w.shape)
    return at and [_gather(request, at, at.x, request.dense(1), at.y, back=False)]


@candidate("_conv_input")
def depthwise_input(request):
    """The gradient of its input."""
    g, w, out = *request.inputs, request.outputs[0]
    at = _taken(request, out, g, w.shape)
    return at and [_gather(request, at, at.y, request.dense(1), at.x, back=True)]


# ---- the kernel's gradient
_KERNEL = r"""
const int lane = threadIdx.x %% 32, group = threadIdx.x / 32;
const i64 filter = (i64)blockIdx.x %% panels * 32 + lane, block = blockIdx.x / panels;
const i64 chunk = block %% %(chunks)d, part = block / %(chunks)d;
const i64 first = part * each, last = first + each < positions ? first + each : positions;
%(register)s sum[%(kept)d] = {};
if (filter < filters)
    for (i64 i = first + group; i < last; i += %(groups)d) {
        %(index)s rest = (%(index)s)i;
        %(digits)s
        const %(register)s there = get(g[i * filters + filter]);
        const %(memory)s *const image = x + rest * x_image + filter / multiplier;
        #pragma unroll
        for (int j = 0; j < %(kept)d; ++j) {
            int tap = (int)chunk * %(kept)d + j;
            if (tap >= %(taps)d) continue;
            %(taps_of)s
            if (%(inside)s) sum[j] += get(image[%(offset)s]) * there;
        }
    }
#pragma unroll
for (int j = 0; j < %(kept)d; ++j) {
    const i64 tap = chunk * %(kept)d + j;
    const %(register)s total = down<Sum, 32, %(threads)d>(sum[j]);
    if (group == 0 && filter < filters && tap < %(taps)d) parts[(part * %(taps)d + tap) * filters + filter] = total;
}
"""


@candidate("_conv_kernel")
def depthwise_kernel(request):
    """The gradient of its kernel."""
    x, g, out = *request.inputs, request.outputs[0]
    at = _taken(request, x, g, out.shape)
    if at is None or not out.dense:
        return None
    x, g = (b if b.dense else request.copied(b) for b in (at.x, at.y))
    filters, positions, panels = out.shape[-1], math.prod(g.shape[:-1]), math.ceil(out.shape[-1] / WARP)
    chunks = math.ceil(at.taps / _MOST_TAPS)
    parts = max(1, min(_BLOCKS // (panels * chunks), positions // 64, _MOST_PARTS))
    each = math.ceil(positions / parts)
    parts = math.ceil(positions / each)
    held = "float64" if out.dtype == "float64" else "float32"
    memory = request.scratch(parts * out.size * (8 if held == "float64" else 4), (parts, out.size), held)
    values = {"panels": panels, "each": each, "positions": positions, "filters": filters, "multiplier": at.each_out,
              "x_image": x.strides[0]}  # fmt: skip
    for a in at.axes:
        values |= {f"n{a}": g.shape[a + 1], f"stride{a}": at.strides[a], f"before{a}": at.before[a], f"dilation{a}": at.dilation[a],
                   f"length{a}": x.shape[a + 1], f"pitch{a}": x.strides[a + 1]}  # fmt: skip
    text = _kernel_source(at, out.dtype, list(values), chunks, "u32" if positions < 1 << 31 else "i64")
    launch = Launch(text, [x, g, memory, *values.values()], panels * chunks * parts, THREADS)
    sizes = {"m": at.taps, "n": filters, "parts": parts}
    return [launch, added(memory, Result(out, (Digit(at.taps, filters),)), sizes, [Item(1, 0, 0, 0)])]


def _kernel_source(at, dtype, arguments, chunks, index):
    digits = (f"const int o{a} = (int)(rest % ({index})n{a} * stride{a} - before{a}); rest /= ({index})n{a};" for a in at.axes)
    taps_of = (f"const int at{a} = o{a} + tap % {at.size[a]} * (int)dilation{a};\ntap /= {at.size[a]};" for a in at.axes)
    names = {"register": REGISTER[dtype], "memory": MEMORY[dtype], "threads": THREADS, "groups": THREADS // WARP, "chunks": chunks,
             "kept": math.ceil(at.taps / chunks), "taps": at.taps, "digits": "\n".join(digits), "taps_of": "\n".join(taps_of),
             "inside": " && ".join(f"at{a} >= 0 && at{a} < length{a}" for a in at.axes), "index": index,
             "offset": " + ".join(f"at{a} * pitch{a}" for a in at.axes)}  # fmt: skip
    pointers = [f"const {MEMORY[dtype]} *__restrict__ x", f"const {MEMORY[dtype]} *__restrict__ g", f"{REGISTER[dtype]} *parts"]
    return source([*pointers, *(f"i64 {name}" for name in arguments)], _KERNEL % names, THREADS)
