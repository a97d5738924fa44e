"""Shape rules that ops name. A shape is a tuple; None stands for a size that is not known yet.

A rule takes the shapes of an op's inputs and its attributes, and gives the shape of its output (a list for several).
"""

import math

import numpy as np

from kerasish.config import standardize_data_format


def same(shape, **attrs):
    """The output has the (first) input's shape."""
    return shape


def first(shape, *others, **attrs):
    """The output has the first input's shape, whatever the others'."""
    return shape


def broadcast(*shapes, **attrs):
    """NumPy's broadcasting; an unknown size gives way to a known one above 1."""
    if len(shapes) == 2 and shapes[0] == shapes[1]:
        return shapes[0]
    ndim = max(map(len, shapes))
    padded = [(1,) * (ndim - len(s)) + tuple(s) for s in shapes]
    return tuple(_common_size(sizes, shapes) for sizes in zip(*padded, strict=True))


def _common_size(sizes, shapes):
    known = {n for n in sizes if n is not None and n != 1}
    if len(known) > 1:
        raise ValueError(f"Cannot broadcast shapes {', '.join(map(str, shapes))}: sizes {sorted(known)} do not match.")
    if known:
        return known.pop()
    return None if None in sizes else 1


def normalize_axis(axis, ndim):
    """One axis as a number from 0; ValueError where it is out of range."""
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis {axis} is out of bounds for a tensor of rank {ndim}.")
    return axis % ndim


def normalize_axes(axis, ndim):
    """An axis, several or None (all) as a sorted tuple of numbers from 0."""
    if axis is None:
        return tuple(range(ndim))
    axes = [axis] if isinstance(axis, (int, np.integer)) else axis
    return tuple(sorted({normalize_axis(int(a), ndim) for a in axes}))


def reduced(shape, axis=None, keepdims=False, **attrs):
    """What a reduction over ``axis`` leaves."""
    axes = normalize_axes(axis, len(shape))
    return tuple(1 if i in axes else n for i, n in enumerate(shape) if keepdims or i not in axes)


def size(shape):
    """Number of elements, None where unknown."""
    return None if None in shape else math.prod(shape)


def reshaped(shape, newshape, **attrs):
    """``newshape`` with its one -1 worked out; None in it stands for a size that is not known."""
    newshape = tuple(newshape)
    if newshape.count(-1) > 1:
        raise ValueError(f"Only one size of a new shape may be -1. Received: {newshape}")
    open_sizes = [n for n in newshape if n in (-1, None)]
    old, new = (math.prod(n for n in s if n not in (-1, None)) for s in (shape, newshape))
    if -1 in open_sizes and len(open_sizes) == 1 + tuple(shape).count(None):
        open_sizes = [-1]  # what is unknown stays the same on both sides
    elif None in shape:
        return tuple(None if n == -1 else n for n in newshape)
    if len(open_sizes) > 1:
        return tuple(None if n == -1 else n for n in newshape)
    if old != new if not open_sizes else new == 0 or old % new:
        raise ValueError(f"Cannot reshape a tensor of shape {tuple(shape)} into {newshape}: the number of elements differs.")
    return tuple(old // new if n == open_sizes[0] else n for n in newshape) if open_sizes else newshape


def matmul(a, b, **attrs):
    """Matrix products over the last two axes, the others broadcast; vectors as in NumPy."""
    if not a or not b:
        raise ValueError(f"matmul needs tensors of rank 1 or more. Received shapes {a} and {b}.")
    rows, columns = (a[-2:-1], b[-1:]) if len(b) > 1 else (a[-2:-1], ())
    inner_a, inner_b = a[-1], b[-2] if len(b) > 1 else b[0]
    if inner_a is not None and inner_b is not None and inner_a != inner_b:
        raise ValueError(f"matmul: the last axis of {a} ({inner_a}) must match the second last of {b} ({inner_b}).")
    return broadcast(a[:-2], b[:-2]) + rows + columns


def concatenated(*shapes, axis=0, **attrs):
    """Shapes joined along ``axis``; all other sizes must agree."""
    ndim = len(shapes[0])
    if any(len(s) != ndim for s in shapes):
        raise ValueError(f"Tensors to concatenate must have the same rank. Received shapes: {list(shapes)}")
    axis = normalize_axis(axis, ndim)
    joined = [sum(s[i] for s in shapes) if None not in [s[i] for s in shapes] else None for i in [axis]]
    out = []
    for i in range(ndim):
        sizes = {s[i] for s in shapes if s[i] is not None}
        if i != axis and len(sizes) > 1:
            raise ValueError(f"Tensors to concatenate must have the same shape except along axis {axis}. Received: {list(shapes)}")
        out.append(joined[0] if i == axis else (sizes.pop() if sizes else None))
    return tuple(out)


def transposed(shape, axes=None, **attrs):
    """Axes in the given order, reversed for None."""
    return tuple(shape[a] for a in axes) if axes is not None else tuple(reversed(shape))


# ---- windows that slide over the axes between batch and channels: convolutions and pools
def per_axis(value, n, name):
    """One number for every spatial axis, or one for each, as a tuple of ``n``."""
    values = (value,) * n if isinstance(value, (int, np.integer)) else tuple(value)
    if len(values) != n:
        raise ValueError(f"`{name}` must be an integer or {n} of them, one for each spatial axis. Received: {name}={value}")
    return values


def split_layout(shape, data_format):
    """Batch size, spatial sizes and number of channels of a shape."""
    if len(shape) < 3:
        raise ValueError(f"Expected a batch axis, spatial axes and a channels axis. Received shape {shape}.")
    if standardize_data_format(data_format) == "channels_last":
        return shape[0], tuple(shape[1:-1]), shape[-1]
    return shape[0], tuple(shape[2:]), shape[1]


def join_layout(batch, spatial, channels, data_format):
    """Inverse of :func:`split_layout`."""
    if standardize_data_format(data_format) == "channels_last":
        return (batch, *spatial, channels)
    return (batch, channels, *spatial)


def window_padding(spatial, size, strides, padding, dilation):
    """Zeros before and after each axis for ``"valid"``, ``"same"``, ``"causal"`` or given pairs."""
    if not isinstance(padding, str):
        return tuple(padding)
    spans = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    kind = padding.lower()
    if kind == "valid":
        return ((0, 0),) * len(spatial)
    if kind == "causal":
        return tuple((span - 1, 0) for span in spans)
    if kind != "same":
        raise ValueError(f"`padding` must be 'valid', 'same' or 'causal'. Received: padding={padding}")
    totals = [max((-(-n // s) - 1) * s + span - n, 0) for n, span, s in zip(spatial, spans, strides, strict=True)]
    return tuple((total // 2, total - total // 2) for total in totals)


def window_counts(spatial, size, strides, padding, dilation):
    """How many windows fit on each axis, None where that is not known; ValueError where none does."""
    pairs = window_padding([n or 0 for n in spatial], [k or 1 for k in size], strides, padding, dilation)
    counts = []
    for n, k, s, (before, after), d in zip(spatial, size, strides, pairs, dilation, strict=True):
        count = None if n is None or k is None else (n + before + after - (k - 1) * d - 1) // s + 1
        if count is not None and count <= 0 < n:
            raise ValueError(
                f"Computed output size would be zero or negative: windows of size {tuple(size)}, strides {tuple(strides)} and "
                f"dilation {tuple(dilation)} with padding={padding!r} don't fit into spatial sizes {tuple(spatial)}."
            )
        counts.append(count)
    return tuple(counts)
