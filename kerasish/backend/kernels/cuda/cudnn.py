"""Convolutions and their two gradients by NVIDIA's cuDNN, where its package ``nvidia-cudnn-frontend`` is installed.

With many channels convolutions are bound by the tensor cores, which cuDNN uses in full and our own kernels (``conv.py``) in part; with
few, by bytes or launches, where it gains nothing: it is asked where an estimate says that it pays (``_pays``), and with
``KERASISH_CUDNN=1`` wherever it can. It wants kernels as (filters, \\*size, channels) where ours are (\\*size, channels, filters), so
each call comes with a launch that copies one. Sums are in float32, those of float64 in float64, by engines that give the same bits
each time.
"""

import dataclasses
import math
import os

from kerasish.backend.autodiff.shapes import per_axis, split_layout, window_padding
from kerasish.backend.kernels.candidates import dense_strides
from kerasish.backend.kernels.cuda import cudnn_graphs
from kerasish.backend.kernels.cuda.cublaslt import tf32
from kerasish.backend.kernels.cuda.launch import candidate
from kerasish.config import standardize_data_format

_ALIGNMENT = cudnn_graphs.ALIGNMENT
_DTYPES = ("float32", "float64", "float16", "bfloat16")
_SPEED = {"float32": 350e12, "float16": 600e12, "bfloat16": 600e12}  # operations in a second of an H200 by cuDNN, float32 as TF32
_OUR_SPEED, _MEMORY, _COPY = 150e12, 4e12, 3e-6  # operations and bytes in a second, seconds for the copy of a kernel
_ARGUMENTS = {"y": "xwy", "x": "ywx", "w": "xyw"}  # in the order in which cuDNN names them


@dataclasses.dataclass(frozen=True)
class Convolution:
    """``y``, the convolution of images ``x`` with a kernel ``w``, or the gradient of ``x`` or ``w``: the one that ``wanted`` names.

    Sizes are in cuDNN's order: (batch, channels, \\*spatial), (filters, channels of a group, \\*size), with 2 or 3 spatial axes. In memory
    a kernel's channels come last, those of images where ``channels_last`` is set. ``before`` and ``after``: zeros at the borders.
    Arguments: the two that are given, the wanted one, workspace.
    """

    wanted: str
    x: tuple
    w: tuple
    y: tuple
    channels_last: bool
    strides: tuple
    dilation: tuple
    before: tuple
    after: tuple
    dtype: str
    tf32: bool = False

    @property
    def arguments(self):
        """Which of x, w and y the arguments are, in order."""
        return tuple(_ARGUMENTS[self.wanted])

    def sizes(self, name):
        """Of x, w or y."""
        return getattr(self, name)

    def steps(self, name):
        """Distances of elements along each axis of x, w or y."""
        n, channels, *spatial = sizes = self.sizes(name)
        if not self.channels_last and name != "w":
            return dense_strides(sizes)
        first, *between, last = dense_strides((n, *spatial, channels))
        return (first, last, *between)

    def prepare(self):
        """Bytes of workspace, None where the library is missing or can't do this; ``cudnn_graphs.declined`` then says why."""
        return cudnn_graphs.prepare(self)

    def run(self, addresses):
        """Compute it from what lies at these addresses, on the current stream."""
        cudnn_graphs.run(self, addresses)


# ---- from calls to convolutions
@candidate("conv")
def conv(request):
    """Convolutions."""
    x, w = request.inputs
    return _bound(request, "y", x, w, request.outputs[0])


@candidate("_conv_input")
def conv_input(request):
    """Gradients of their images."""
    y, w = request.inputs
    return _bound(request, "x", request.outputs[0], w, y)


@candidate("_conv_kernel")
def conv_kernel(request):
    """Gradients of their kernels."""
    x, y = request.inputs
    return _bound(request, "w", x, request.outputs[0], y)


def _bound(request, wanted, x, w, y):
    convolution = _described(request.attrs, wanted, x, w, y)
    if convolution is None or not (os.environ.get("KERASISH_CUDNN") == "1" or _pays(convolution)):
        return None
    buffers = {"x": x, "w": _filters_first(w), "y": y}
    *given, out = (buffers[name] for name in convolution.arguments)
    given = [b if _lies_well(b) else request.copied(b) for b in given]
    place = out if _lies_well(out) else request.scratch(out.size * out.itemsize, out.shape, out.dtype)
    call = request.library(convolution, [*given, place])
    if call is None or place is out:
        return None if call is None else [call]
    back = _filters_last if wanted == "w" else lambda b: b  # along the rows of what is written
    return [call, request.copy(back(place), back(out))]


def _pays(it):
    """Whether cuDNN is quicker than our own kernels, as far as can be told beforehand: what lies otherwise than its engines for tensor
    cores want it (16 bytes of channels together) it copies first, or leaves to slower ones."""
    together, groups, in_tf32 = 16 // cudnn_graphs.ITEMSIZE[it.dtype], it.x[1] // it.w[1], it.tf32 or it.dtype != "float32"
    if it.dtype not in _SPEED or not in_tf32 or groups > 1 or not it.channels_last or it.x[1] % together or it.y[1] % together:
        return False
    operations = 2 * math.prod(it.y) * math.prod(it.w[1:])
    reading = sum(cudnn_graphs.sizes(it)) / _MEMORY
    return max(reading, operations / _OUR_SPEED) > max(reading, operations / _SPEED[it.dtype]) + _COPY


def _described(attrs, wanted, x, w, y):
    """The convolution, None where cuDNN has none like it."""
    dtypes, rank = {x.dtype, w.dtype, y.dtype}, len(x.shape) - 2
    if len(dtypes) > 1 or x.dtype not in _DTYPES or not 1 <= rank <= 3 or 0 in (*x.shape, *w.shape, *y.shape):
        return None
    (batch, spatial, channels), (_, counts, filters) = (split_layout(b.shape, attrs["data_format"]) for b in (x, y))
    *size, each, _ = w.shape
    strides, dilation = (per_axis(attrs[name], rank, name) for name in ("strides", "dilation_rate"))
    pairs = window_padding(spatial, size, strides, attrs["padding"], dilation)
    axes = [_borders(*axis) for axis in zip(spatial, counts, size, strides, dilation, (before for before, _ in pairs), strict=True)]
    if None in axes:
        return None
    before, after = zip(*axes, strict=True)
    more = (1,) if rank == 1 else ()  # cuDNN knows images of two axes or three
    return Convolution(
        wanted, (batch, channels, *more, *spatial), (filters, each, *more, *size), (batch, filters, *more, *counts),
        standardize_data_format(attrs["data_format"]) == "channels_last", (*more, *strides), (*more, *dilation),
        (0,) * len(more) + before, (0,) * len(more) + after, x.dtype, x.dtype == "float32" and tf32())  # fmt: skip


def _borders(n, count, k, stride, dilation, before):
    """Zeros before and after an axis of ``n`` elements, as few as ``count`` windows need; None where windows begin later than it does."""
    span = (k - 1) * dilation + 1
    after = max((count - 1) * stride + span - n - before, 0)
    fitting = (n + before + after - span) // stride + 1
    return (before, after) if before >= 0 and fitting == count else None


def _lies_well(b):
    """Whether a buffer is as cuDNN wants it."""
    return b.dense and b.offset * b.itemsize % _ALIGNMENT == 0


def _permuted(b, axes):
    return b.view([b.shape[a] for a in axes], [b.strides[a] for a in axes])


def _filters_first(w):
    """A kernel (\\*size, channels, filters) as (filters, \\*size, channels)."""
    *size, channels, filters = range(len(w.shape))
    return _permuted(w, (filters, *size, channels))


def _filters_last(w):
    filters, *others = range(len(w.shape))
    return _permuted(w, (*others, filters))
