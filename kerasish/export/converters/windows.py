"""Convolutions, their transposes, pools, and patches: windows that slide over images.

ONNX has the channels in the second axis, kernels as (filters, channels, *size).
"""

import math

import numpy as np

from kerasish.backend.autodiff.shapes import per_axis, window_padding
from kerasish.config import standardize_data_format
from kerasish.export.graph import CannotExport, Value, need_float, onnx
from kerasish.ops.pooling import _spans
from kerasish.ops.sizes import Size


# ---- layouts
def channels_first(g, x, data_format):
    if standardize_data_format(data_format) == "channels_first":
        return x
    return Value(g.Transpose(x, perm=[0, x.ndim - 1, *range(1, x.ndim - 1)]), (x.shape[0], x.shape[-1], *x.shape[1:-1]), x.dtype)


def in_layout(g, y, rank, data_format):
    if standardize_data_format(data_format) == "channels_first":
        return y
    return g.Transpose(y, perm=[0, *range(2, rank + 2), 1])


def borders(spatial, size, strides, padding, dilation):
    """What says how wide the borders are: ``pads``, or ``auto_pad`` where that depends on open sizes."""
    if isinstance(padding, str) and padding.lower() == "same":
        if any(isinstance(n, Size) and s != 1 for n, s in zip(spatial, strides, strict=True)):
            return {"auto_pad": "SAME_UPPER"}
        spans = [(k - 1) * d for k, d in zip(size, dilation, strict=True)]
        pairs = [
            (span // 2, span - span // 2) if s == 1 else window_padding([n], [k], [s], padding, [d])[0]
            for n, k, s, d, span in zip(spatial, size, strides, dilation, spans, strict=True)
        ]
    else:
        pairs = window_padding(spatial, size, strides, padding, dilation)
    if any(n < 0 for pair in pairs for n in pair):
        raise CannotExport("windows with negative padding have no ONNX form")
    return {"pads": [int(before) for before, _ in pairs] + [int(after) for _, after in pairs]}


# ---- convolutions
@onnx("conv")
def conv(g, inputs, kernel, strides, padding, data_format, dilation_rate):
    dtype, rank = inputs.dtype, inputs.ndim - 2
    x = channels_first(g, inputs, data_format)
    if "int" in dtype or dtype == "bool":
        x, kernel = (Value(g.cast(v, "float32"), v.shape, "float32") for v in (x, kernel))
    strides, dilation = per_axis(strides, rank, "strides"), per_axis(dilation_rate, rank, "dilation_rate")
    size = kernel.shape[:-2]
    y = g.Conv(
        x, g.Transpose(kernel, perm=[rank + 1, rank, *range(rank)]), strides=list(strides), dilations=list(dilation),
        kernel_shape=list(size), group=x.shape[1] // kernel.shape[-2], **borders(x.shape[2:], size, strides, padding, dilation),
    )  # fmt: skip
    return g.cast(in_layout(g, y, rank, data_format), g.outputs[0].dtype)


@onnx("_conv_input")
def conv_transpose(g, inputs, kernel, shape, strides, padding, data_format, dilation_rate):
    need_float(inputs.dtype, "transposed convolutions")
    rank = inputs.ndim - 2
    x = channels_first(g, inputs, data_format)
    strides, dilation = per_axis(strides, rank, "strides"), per_axis(dilation_rate, rank, "dilation_rate")
    cuts, more = [max(n, 0) for n in _flat(padding)], [max(-n, 0) for n in _flat(padding)]
    y = g.ConvTranspose(
        x, g.Transpose(kernel, perm=[rank + 1, rank, *range(rank)]), strides=list(strides), dilations=list(dilation),
        kernel_shape=list(kernel.shape[:-2]), pads=cuts,
    )  # fmt: skip
    if any(more):
        y = g.Pad(y, g.int64(0, 0, *more[:rank], 0, 0, *more[rank:]), g.constant(0, x.dtype))
    return in_layout(g, y, rank, data_format)


def _flat(pairs):
    return [before for before, _ in pairs] + [after for _, after in pairs]


# ---- pools
def _pool(operator, **attributes):
    def convert(g, inputs, pool_size, strides, padding, data_format):
        rank = inputs.ndim - 2
        x = channels_first(g, inputs, data_format)
        size = per_axis(pool_size, rank, "pool_size")
        strides = size if strides is None else per_axis(strides, rank, "strides")
        pads = borders(x.shape[2:], size, strides, padding, (1,) * rank)
        x = x if "float" in x.dtype else g.cast(x, "float64")
        y = getattr(g, operator)(x, kernel_shape=list(size), strides=list(strides), **pads, **attributes)
        return g.cast(in_layout(g, y, rank, data_format), g.outputs[0].dtype)

    return convert


onnx("max_pool")(_pool("MaxPool"))
onnx("average_pool")(_pool("AveragePool", count_include_pad=0))


def _adaptive(kind):
    def convert(g, inputs, output_size, data_format):
        rank = inputs.ndim - 2
        first = 2 if standardize_data_format(data_format) == "channels_first" else 1
        counts = per_axis(output_size, rank, "output_size")
        x = inputs
        for axis, m in zip(range(first, first + rank), counts, strict=True):
            n = inputs.shape[axis]
            if isinstance(n, Size) and m != 1:
                raise CannotExport("adaptive pools over an axis of unknown size have an ONNX form only for an output size of 1")
            spans = [(None, None)] if m == 1 else _spans(n, m)
            parts = [g.reduce(kind, x if m == 1 else g.slice(x, axis, *span), [axis], keepdims=True) for span in spans]
            x = parts[0] if m == 1 else g.Concat(*parts, axis=axis)
        return x

    return convert


onnx("adaptive_average_pool")(_adaptive("Mean"))
onnx("adaptive_max_pool")(_adaptive("Max"))


# ---- patches
def _one_per_tap(g, size, channels, dtype):
    """A kernel (taps * channels, channels, *size) that picks each element of a window: tap by tap, or channel by channel."""
    taps = math.prod(size)
    return np.eye(taps * channels).reshape(taps, channels, taps, channels).transpose(1, 0, 3, 2)


@onnx("_patches")
def patches(g, x, size, strides, padding, dilation):
    rank, channels, dtype = len(size), x.shape[-1], x.dtype
    x = x if "float" in dtype else g.cast(x, "float32")
    kernel = _one_per_tap(g, size, channels, x.dtype).transpose(1, 0, 2, 3).reshape(-1, channels, *size)
    pads = borders(x.shape[1:-1], size, strides, padding, dilation)
    y = g.Conv(
        channels_first(g, x, "channels_last"), g.constant(kernel, x.dtype), strides=list(strides), dilations=list(dilation), **pads
    )
    return g.cast(in_layout(g, y, rank, "channels_last"), dtype)


@onnx("unfold")
def unfold(g, x, kernel_size, dilation, padding, stride):
    need_float(x.dtype, "patches")
    size, dilation, padding, strides = (list(per_axis(v, 2, "size")) for v in (kernel_size, dilation, padding, stride))
    kernel = _one_per_tap(g, size, x.shape[1], x.dtype).reshape(-1, x.shape[1], *size)
    y = g.Conv(x, g.constant(kernel, x.dtype), strides=strides, dilations=dilation, pads=padding * 2)
    return g.reshape(y, g.outputs[0].shape)


@onnx("fold")
def fold(g, x, output_size, kernel_size, dilation, padding, stride):
    size, dilation, padding, strides = (list(per_axis(v, 2, "size")) for v in (kernel_size, dilation, padding, stride))
    output = per_axis(output_size, 2, "output_size")
    return g.Col2Im(x, g.shape(output), g.int64(*size), dilations=dilation, pads=padding * 2, strides=strides)


@onnx("depth_to_space")
def depth_to_space(g, x, block_size, data_format):
    b, out = block_size, g.outputs[0].shape
    if standardize_data_format(data_format) == "channels_last":
        n, h, w, _ = x.shape
        return g.reshape(g.Transpose(g.reshape(x, [n, h, w, b, b, out[-1]]), perm=[0, 1, 3, 2, 4, 5]), out)
    n, _, h, w = x.shape
    return g.reshape(g.Transpose(g.reshape(x, [n, out[1], b, b, h, w]), perm=[0, 1, 4, 2, 5, 3]), out)


@onnx("space_to_depth")
def space_to_depth(g, x, block_size, data_format):
    b, out = block_size, g.outputs[0].shape
    if standardize_data_format(data_format) == "channels_last":
        n, _, _, c = x.shape
        return g.reshape(g.Transpose(g.reshape(x, [n, out[1], b, out[2], b, c]), perm=[0, 1, 3, 2, 4, 5]), out)
    n, c, _, _ = x.shape
    return g.reshape(g.Transpose(g.reshape(x, [n, c, out[2], b, out[3], b]), perm=[0, 1, 3, 5, 2, 4]), out)
