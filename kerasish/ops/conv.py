"""Convolutions, their transposes, and ops that take images apart into patches and put them together again.

A convolution is bilinear in its input and its kernel. So three primitives suffice, each of whose gradients are the other two:
``conv``, its transpose with respect to the input (``_conv_input``) and its transpose with respect to the kernel
(``_conv_kernel``). All work on arrays with the channels last; other layouts are views of such.
"""

import functools
import itertools
import math

from kerasish.backend.autodiff.dtypes import promote
from kerasish.backend.autodiff.op import as_tensor
from kerasish.backend.autodiff.shapes import join_layout, per_axis, split_layout, window_counts, window_padding
from kerasish.config import standardize_data_format
from kerasish.ops.activation import nn_composite, nn_op
from kerasish.ops.shaping import reshape

__all__ = ["conv", "conv_transpose", "depth_to_space", "depthwise_conv", "fold", "separable_conv", "space_to_depth", "unfold"]

# ---- layouts and borders
def channels_last(xp, x, data_format):
    """A view of ``x`` with its channels in the last axis."""
    return x if standardize_data_format(data_format) == "channels_last" else xp.moveaxis(x, 1, -1)


def as_layout(xp, x, data_format):
    """Inverse of :func:`channels_last`."""
    return x if standardize_data_format(data_format) == "channels_last" else xp.moveaxis(x, -1, 1)


def in_layout(xp, kernel, data_format, out):
    """What ``kernel(out=)`` gives with its channels last, as an array of the layout; into the array ``out`` unless that is None."""
    if out is None:
        return as_layout(xp, kernel(out=None), data_format)
    kernel(out=channels_last(xp, out, data_format))
    return out


def _borders(spatial, pairs):
    """Of spatial axes with so much added before and after each (cut off where negative): the sizes, what of the old axes is
    kept, and where it comes to lie; the latter two as indices of (batch, \\*spatial, channels)."""
    sizes, kept, places = [], [slice(None)], [slice(None)]
    for n, (before, after) in zip(spatial, pairs, strict=True):
        start, stop = max(-before, 0), max(n + min(after, 0), 0)
        sizes.append(n + before + after)
        kept.append(slice(start, stop))
        places.append(slice(max(before, 0), max(before, 0) + max(stop - start, 0)))
    return sizes, tuple(kept), tuple(places)


def _with_borders(xp, x, pairs):
    """``x`` (batch, \\*spatial, channels) with zeros before and after each spatial axis; negative widths cut off."""
    sizes, kept, places = _borders(x.shape[1:-1], pairs)
    inner = x[kept]
    if list(inner.shape[1:-1]) == sizes:
        return inner
    y = xp.zeros((x.shape[0], *sizes, x.shape[-1]), x.dtype)
    y[places] = inner
    return y


def in_single(kernel):
    """Decorator of kernels: half precision is computed in single, since NumPy has no fast half-precision products."""

    @functools.wraps(kernel)
    def wrapped(xp, *inputs, out=None, **attrs):
        dtype = inputs[0].dtype
        if dtype.itemsize > 2 or dtype.kind in "iub":
            return kernel(xp, *inputs, **attrs, out=out)
        y = kernel(xp, *[x.astype(xp.float32) for x in inputs], **attrs)
        if out is None:
            return y.astype(dtype)
        out[...] = y
        return out

    return wrapped


# ---- windows as the rows of matrices
def _windows(xp, x, size, strides, dilation, axis):
    """View of ``x`` with its windows along the axes from ``axis`` on appended as last axes."""
    spans = tuple((k - 1) * d + 1 for k, d in zip(size, dilation, strict=True))
    view = xp.windows(x, spans, tuple(range(axis, axis + len(size))))
    places = (slice(None),) * axis + tuple(slice(None, None, s) for s in strides)
    return view[(*places, ..., *[slice(None, None, d) for d in dilation])]


def _blocks(xp, x, pairs, size, strides, dilation, counts):
    """Pairs (part, matrix): a part of the outputs, and what gives them by a product with the kernel (as a matrix), a row for each
    window of ``x`` with borders. The next matrix takes the memory of the one before.

    Windows are copied, in blocks that stay in the processor's cache until they are multiplied: twice as quick as all at once.
    With few channels, they are copied channel by channel, so that long runs of elements move together.
    """
    n, channels, rank, taps = x.shape[0], x.shape[-1], len(size), math.prod(size)
    few, bordered = channels <= 4, any(pair != (0, 0) for pair in pairs)
    if taps == 1 and max(strides) == 1 and not bordered:
        yield (slice(0, n),), x.reshape(-1, channels)
        return
    row = math.prod(counts[1:]) * taps * channels * x.dtype.itemsize
    blocks = [(images, slice(0, counts[0])) for images in xp.parts(n, counts[0] * row)]
    if counts[0] * row > xp.block:  # one image is too much already
        blocks = list(itertools.product(xp.parts(n, xp.block), xp.parts(counts[0], row)))
    source, copied = x, bordered or not x.flags.c_contiguous
    if copied:
        sizes, kept, places = _borders(x.shape[1:-1], pairs)
        images = _length(blocks[0][0]) if blocks else 0
        source = xp.moveaxis(xp.zeros((channels, images, *sizes), x.dtype), 0, -1) if few else xp.zeros((images, *sizes, channels), x.dtype)
    view = _windows(xp, source, size, strides, dilation, axis=1)
    which, elements = tuple(range(rank + 1)), (*range(rank + 2, 2 * rank + 2), rank + 1)  # the view's axes
    memory, done = None, None
    for images, rows in blocks:
        place = images, rows
        if copied:
            place = slice(0, _length(images)), rows
            if images != done:
                source[place[0]][places] = x[images][kept]
                done = images
        block = view[place].transpose(elements + which if few else which + elements)
        memory = xp.empty(block.size, x.dtype) if memory is None else memory
        matrix = memory[: block.size].reshape(block.shape)
        matrix[...] = block
        yield (images, rows), matrix.reshape(taps * channels, -1).T if few else matrix.reshape(-1, taps * channels)


def _length(part):
    return part.stop - part.start


def _correlate_dense(xp, x, w, pairs, strides, dilation, counts, out=None):
    size, filters = w.shape[:-2], w.shape[-1]
    y = xp.empty((x.shape[0], *counts, filters), x.dtype) if out is None else out
    w, direct = w.reshape(-1, filters), y.flags.c_contiguous
    for part, matrix in _blocks(xp, x, pairs, size, strides, dilation, counts):
        target, stack = y[part], _stack(matrix, filters)
        if direct:
            xp.matmul(matrix.reshape(*stack, -1, w.shape[0]), w, out=target.reshape(*stack, -1, filters))
        else:
            target[...] = xp.matmul(matrix, w).reshape(target.shape)
    return y


def _stack(matrix, filters):
    """In how many parts to multiply it (as a shape): OpenBLAS takes small matrices as they are, and copies larger ones first,
    which takes as long as their product where filters are few."""
    rows, columns = matrix.shape
    if filters > 32 or not matrix.flags.c_contiguous:
        return ()
    return (math.gcd(rows, 1 << (rows * columns * filters // 10**6).bit_length()),)


def _kernel_dense(xp, x, g, w_shape, pairs, strides, dilation, counts, out=None):
    size, filters = w_shape[:-2], w_shape[-1]
    w, more, first = xp.empty(w_shape, x.dtype) if out is None else out, None, True
    total = w.reshape(-1, filters)
    for part, matrix in _blocks(xp, x, pairs, size, strides, dilation, counts):
        products = matrix.T, g[part].reshape(-1, filters)
        if first:
            xp.matmul(*products, out=total)
        else:
            more = xp.matmul(*products, out=more)
            total += more
        first = False
    if first:
        w[...] = 0
    return w


# ---- groups of channels
def _small_parts(xp, x, counts, filters):
    """Parts of the batch, so small that passes over the outputs stay in the fastest caches."""
    return xp.parts(x.shape[0], 2 * math.prod(counts) * filters * x.dtype.itemsize)


def _slices(x, size, strides, dilation, counts):
    """Pairs (tap, view): of each window the element at that tap."""
    for tap in itertools.product(*map(range, size)):
        at = [slice(i * d, i * d + (m - 1) * s + 1, s) for i, d, m, s in zip(tap, dilation, counts, strides, strict=True)]
        yield tap, x[(slice(None), *at)]


def _by_group(x, groups):
    """The channels as two axes, groups and channels of a group; without the latter where it has size 1."""
    each = x.shape[-1] // groups
    return x if each == 1 else x.reshape(*x.shape[:-1], groups, each)


def _correlate(xp, x, w, pairs, strides, dilation, counts, out=None):
    """Sums of products of ``w`` (\\*size, channels / groups, filters) with the windows of ``x`` (batch, \\*spatial, channels),
    to which ``pairs`` adds borders."""
    each_in, filters = w.shape[-2:]
    groups = x.shape[-1] // each_in
    if groups == 1:
        return _correlate_dense(xp, x, w, pairs, strides, dilation, counts, out)
    each_out = filters // groups
    y = xp.empty((x.shape[0], *counts, filters), x.dtype) if out is None else out
    if each_in > 4:
        for i in range(groups):
            ins, outs = slice(i * each_in, (i + 1) * each_in), slice(i * each_out, (i + 1) * each_out)
            _correlate_dense(xp, x[..., ins], w[..., outs], pairs, strides, dilation, counts, y[..., outs])
        return y
    x = _with_borders(xp, x, pairs)
    y[...] = 0
    for part in _small_parts(xp, x, counts, filters):
        total = _by_group(y[part], groups)
        for channel in range(each_in):
            for tap, view in _slices(x[part][..., channel::each_in], w.shape[:-2], strides, dilation, counts):
                total += (view if each_out == 1 else view[..., None]) * _by_group(w[tap][channel], groups)
    return y


def _correlate_kernel(xp, x, g, w_shape, pairs, strides, dilation, counts, out=None):
    """What makes ``sum(_correlate(x, w) * g)`` of ``w``: its gradient."""
    *size, each_in, filters = w_shape
    groups = x.shape[-1] // each_in
    if groups == 1:
        return _kernel_dense(xp, x, g, w_shape, pairs, strides, dilation, counts, out)
    each_out = filters // groups
    w = xp.zeros(w_shape, x.dtype) if out is None else out
    if each_in > 4:
        for i in range(groups):
            ins, outs = slice(i * each_in, (i + 1) * each_in), slice(i * each_out, (i + 1) * each_out)
            shape = (*size, each_in, each_out)
            w[..., outs] = _kernel_dense(xp, x[..., ins], g[..., outs], shape, pairs, strides, dilation, counts)
        return w
    x = _with_borders(xp, x, pairs)
    w[...] = 0
    for part in _small_parts(xp, x, counts, filters):
        for channel in range(each_in):
            for tap, view in _slices(x[part][..., channel::each_in], size, strides, dilation, counts):
                products = (view if each_out == 1 else view[..., None]) * _by_group(g[part], groups)
                products = products.reshape(-1, filters)
                w[tap][channel] += xp.ones(products.shape[0], x.dtype) @ products  # a sum of rows, by the quick way
    return w


# ---- the transpose with respect to the input
def _transposed_kernel(w, groups):
    """The kernel mirrored along its spatial axes, its channels and filters (of each group) swapped."""
    *size, each_in, filters = w.shape
    w = w[(slice(None, None, -1),) * len(size)]
    w = w.reshape(*size, each_in, groups, filters // groups).swapaxes(-1, -3)
    return w.reshape(*size, filters // groups, groups * each_in)


def _phase(phase, n, count, k, s, d, before):
    """One axis of the input positions ``phase``, ``phase + s``, ...: which taps reach them, and how.

    Tap i of window o reads position ``o * s + i * d - before``. The taps that meet this phase are evenly spaced, so what they
    send back is again a convolution, of stride 1. Returns its taps, its dilation and its borders.
    """
    taps = [i for i in range(k) if (phase + before - i * d) % s == 0]
    if not taps:
        return None
    spacing, dilation = s // math.gcd(d, s), d // math.gcd(d, s)
    first = (phase + before - taps[-1] * d) // s  # the window that sends to the phase's first position through the last tap
    size = -(-(n - phase) // s)
    return slice(taps[0], None, spacing), dilation, (-first, first + size + (len(taps) - 1) * dilation - count)


def _scatter(xp, g, w, spatial, strides, dilation, pairs, out=None):
    """As :func:`_correlate_input`: what all windows send back through each tap is one product, then added up where it came from.

    Quicker where channels are few (then they come first in memory), or where the borders that windows of ``g`` need are wide.
    """
    *size, channels, filters = w.shape
    counts, few = g.shape[1:-1], channels <= 4
    covered = [(m - 1) * s + (k - 1) * d + 1 for m, k, s, d in zip(counts, size, strides, dilation, strict=True)]
    lengths = [max(n + before, m) for n, (before, _), m in zip(spatial, pairs, covered, strict=True)]
    inner = (slice(None), *[slice(before, before + n) for n, (before, _) in zip(spatial, pairs, strict=True)])
    w = w.reshape(-1, filters) if few else w.reshape(-1, channels, filters).swapaxes(-1, -2)
    y = xp.empty((g.shape[0], *spatial, channels), g.dtype) if out is None else out
    for part in xp.parts(g.shape[0], math.prod(counts) * math.prod(size) * channels * g.dtype.itemsize // 2):
        rows, n = g[part].reshape(-1, filters), part.stop - part.start
        if few:
            shares = xp.moveaxis((w @ rows.T).reshape(*size, channels, n, *counts), len(size), -1)
            x = xp.moveaxis(xp.zeros((channels, n, *lengths), g.dtype), 0, -1)
        else:
            shares = (rows @ w).reshape(*size, n, *counts, channels)
            x = xp.zeros((n, *lengths, channels), g.dtype)
        for tap, view in _slices(x, size, strides, dilation, counts):
            view += shares[tap]
        y[part] = x[inner]
    return y


def _correlate_input(xp, g, w, spatial, channels, strides, dilation, pairs, out=None):
    """What makes ``sum(_correlate(x, w) * g)`` of ``x`` (without its borders): its gradient."""
    groups, counts = channels // w.shape[-2], g.shape[1:-1]
    wide_borders = max(strides) == 1 and 4 * math.prod(spatial) > 5 * math.prod(counts) and channels * w.shape[-1] >= 256
    if groups == 1 and (channels <= 4 < w.shape[-1] or wide_borders):
        return _scatter(xp, g, w, spatial, strides, dilation, pairs, out)
    x = xp.empty((g.shape[0], *spatial, channels), g.dtype) if out is None else out
    for phases in itertools.product(*[range(min(s, n)) for s, n in zip(strides, spatial, strict=True)]):
        axes = [_phase(*numbers) for numbers in
                zip(phases, spatial, counts, w.shape, strides, dilation, [before for before, _ in pairs], strict=False)]  # fmt: skip
        target = x if max(strides) == 1 else x[(slice(None), *map(slice, phases, itertools.repeat(None), strides))]
        if None in axes:
            target[...] = 0
            continue
        taps, dilations, borders = zip(*axes, strict=True)
        part = _transposed_kernel(w[taps], groups)
        _correlate(xp, g, part, borders, (1,) * len(spatial), dilations, target.shape[1:-1], target)
    return x


# ---- the primitives
def _settings(rank, strides, dilation_rate):
    return per_axis(strides, rank, "strides"), per_axis(dilation_rate, rank, "dilation_rate")


def _conv_shape(inputs, kernel, strides, padding, data_format, dilation_rate):
    if len(kernel) != len(inputs):
        raise ValueError(f"The kernel must have as many axes as the inputs. Received shapes: inputs={inputs}, kernel={kernel}")
    batch, spatial, channels = split_layout(inputs, data_format)
    *size, each_in, filters = kernel
    if channels is not None and (channels % each_in or filters % (channels // each_in)):
        raise ValueError(
            f"The inputs' {channels} input channels must match the kernel's, or be a multiple (groups, into which the filters "
            f"are cut too). Got inputs={inputs} ({data_format}), kernel={kernel}"
        )
    strides, dilation = _settings(len(spatial), strides, dilation_rate)
    return join_layout(batch, window_counts(spatial, size, strides, padding, dilation), filters, data_format)


@nn_op(
    _conv_shape,
    [
        lambda g, y, inputs, kernel, **attrs: _conv_input(g, kernel, shape=inputs.shape, **attrs),
        lambda g, y, inputs, kernel, **attrs: _conv_kernel(inputs, g, shape=kernel.shape, **attrs),
    ],
    promote,
)
@in_single
def conv(xp, inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1, out=None):
    """Convolution over 1, 2 or 3 spatial axes (``keras.ops.conv``).

    ``inputs``: (batch, \\*spatial, channels), or channels first; ``kernel``: (\\*size, channels / groups, filters).
    ``padding``: "valid", "same", or "causal" (zeros in front only). Raises ValueError where channels or sizes don't fit.

    >>> conv([[[1.0], [2.0], [3.0]]], [[[1.0]], [[10.0]]]).tolist()
    [[[21.0], [32.0]]]
    """
    shape = _conv_shape(inputs.shape, kernel.shape, strides, padding, data_format, dilation_rate)
    x, (_, counts, _) = channels_last(xp, inputs, data_format), split_layout(shape, data_format)
    strides, dilation = _settings(len(counts), strides, dilation_rate)
    pairs = window_padding(x.shape[1:-1], kernel.shape[:-2], strides, padding, dilation)
    return in_layout(xp, functools.partial(_correlate, xp, x, kernel, pairs, strides, dilation, counts), data_format, out)


@nn_op(
    lambda g, kernel, shape, **attrs: (g[0], *shape[1:]),
    [
        lambda g, y, inputs, kernel, shape, **attrs: conv(g, kernel, **attrs),
        lambda g, y, inputs, kernel, shape, **attrs: _conv_kernel(g, inputs, shape=kernel.shape, **attrs),
    ],
    promote,
)
@in_single
def _conv_input(xp, g, kernel, shape, strides, padding, data_format, dilation_rate, out=None):
    """The gradient that ``conv`` of an input of the given shape passes on to it."""
    _, spatial, channels = split_layout(shape, data_format)
    strides, dilation = _settings(len(spatial), strides, dilation_rate)
    pairs = window_padding(spatial, kernel.shape[:-2], strides, padding, dilation)
    g = channels_last(xp, g, data_format)
    back = functools.partial(_correlate_input, xp, g, kernel, spatial, channels, strides, dilation, pairs)
    return in_layout(xp, back, data_format, out)


@nn_op(
    lambda inputs, g, shape, **attrs: tuple(shape),
    [
        lambda g, y, inputs, outputs, shape, **attrs: _conv_input(outputs, g, shape=inputs.shape, **attrs),
        lambda g, y, inputs, outputs, shape, **attrs: conv(inputs, g, **attrs),
    ],
    promote,
)
@in_single
def _conv_kernel(xp, inputs, g, shape, strides, padding, data_format, dilation_rate, out=None):
    """The gradient that ``conv`` passes on to a kernel of the given shape."""
    x, g = channels_last(xp, inputs, data_format), channels_last(xp, g, data_format)
    strides, dilation = _settings(x.ndim - 2, strides, dilation_rate)
    pairs = window_padding(x.shape[1:-1], shape[:-2], strides, padding, dilation)
    return _correlate_kernel(xp, x, g, shape, pairs, strides, dilation, g.shape[1:-1], out)


# ---- what is made of them
def _check_channels(inputs, kernel_channels, data_format):
    channels = split_layout(inputs.shape, data_format)[2]
    if channels is not None and kernel_channels is not None and channels != kernel_channels:
        raise ValueError(f"The input channels must match the kernel's: {channels} and {kernel_channels}, data_format={data_format!r}")


@nn_composite
def depthwise_conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """Convolution of each channel by its own kernels (``keras.ops.depthwise_conv``).

    ``kernel``: (\\*size, channels, multiplier); the outputs have ``channels * multiplier`` channels.

    >>> depthwise_conv([[[1.0, 2.0], [3.0, 4.0]]], [[[1.0], [10.0]]]).tolist()
    [[[1.0, 20.0], [3.0, 40.0]]]
    """
    inputs, kernel = as_tensor(inputs), as_tensor(kernel)
    _check_channels(inputs, kernel.shape[-2], data_format)
    kernel = reshape(kernel, (*kernel.shape[:-2], 1, kernel.shape[-2] * kernel.shape[-1]))
    return conv(inputs, kernel, strides, padding, data_format, dilation_rate)


@nn_composite
def separable_conv(inputs, depthwise_kernel, pointwise_kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """Depthwise convolution, then one of size 1 that mixes the channels (``keras.ops.separable_conv``).

    >>> separable_conv([[[1.0, 2.0]]], [[[1.0], [10.0]]], [[[1.0], [1.0]]]).tolist()
    [[[21.0]]]
    """
    y = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(y, pointwise_kernel, data_format=data_format, dilation_rate=dilation_rate)


def _transposed_axis(n, k, s, d, padding, output_padding):
    """Output size of a transposed convolution on one axis, and what is cut off before and after (negative: added)."""
    span = ((k or 1) - 1) * d + 1
    if padding == "valid":
        extra = max(s - span, 0) if output_padding is None else output_padding
        before, after = 0, -extra
    elif padding == "same":
        borders = s + span - 2 if output_padding is None else span + span % 2 - 2 + output_padding
        left = min(borders - borders // 2, span - 1)
        before, after = span - 1 - left, span - 1 - (borders - left)
    else:
        raise ValueError(f"`padding` is one of 'valid', 'same', not {padding}")
    size = None if n is None or k is None else (n - 1) * s + span - before - after
    return size, (before, after)


@nn_composite
def conv_transpose(inputs, kernel, strides=1, padding="valid", output_padding=None, data_format=None, dilation_rate=1):
    """The transpose of a convolution: each input element adds a multiple of the kernel to the output (``keras.ops``).

    ``kernel``: (\\*size, filters, channels). Output sizes: ``inputs * strides`` for "same", ``(inputs - 1) * strides + max(size,
    strides)`` for "valid"; ``output_padding`` sets what is added at the end instead.

    >>> conv_transpose([[[1.0], [2.0]]], [[[1.0]], [[10.0]]], strides=2).tolist()
    [[[1.0], [10.0], [2.0], [20.0]]]
    """
    inputs, kernel = as_tensor(inputs), as_tensor(kernel)
    _check_channels(inputs, kernel.shape[-1], data_format)
    batch, spatial, _ = split_layout(inputs.shape, data_format)
    settings = _settings(len(spatial), strides, dilation_rate)
    outputs = (None,) * len(spatial) if output_padding is None else per_axis(output_padding, len(spatial), "output_padding")
    numbers = zip(spatial, kernel.shape, *settings, [padding.lower()] * len(spatial), outputs, strict=False)
    sizes, cuts = zip(*itertools.starmap(_transposed_axis, numbers), strict=True)
    shape = join_layout(batch, sizes, kernel.shape[-2], data_format)
    return _conv_input(inputs, kernel, shape, strides, cuts, data_format, dilation_rate)


# ---- patches
def _pairs(*values):
    return [per_axis(value, 2, "size") for value in values]


def _patch_counts(spatial, size, dilation, padding, stride):
    return window_counts(spatial, size, stride, tuple((p, p) for p in padding), dilation)


def _unfolded(shape, kernel_size, dilation, padding, stride):
    if len(shape) != 4:
        raise ValueError(f"unfold needs a 4D tensor. Received shape {tuple(shape)}")
    size, *settings = _pairs(kernel_size, dilation, padding, stride)
    counts = _patch_counts(shape[2:], size, *settings)
    channels = None if shape[1] is None else shape[1] * math.prod(size)
    return shape[0], channels, None if None in counts else math.prod(counts)


def _folded(shape, output_size, kernel_size, dilation, padding, stride):
    if len(shape) != 3:
        raise ValueError(f"fold needs a 3D tensor. Received shape {tuple(shape)}")
    output, size, *settings = _pairs(output_size, kernel_size, dilation, padding, stride)
    taps, count = math.prod(size), math.prod(_patch_counts(output, size, *settings))
    if shape[1] is not None and shape[1] % taps:
        raise ValueError(f"The second size of the input ({shape[1]}) must be a multiple of the kernel's {taps} elements.")
    if shape[2] is not None and shape[2] != count:
        raise ValueError(f"fold: output_size={output_size} has {count} patches, but the input has {shape[2]}.")
    return (shape[0], None if shape[1] is None else shape[1] // taps, *output)


@nn_op(_unfolded, [lambda g, y, x, **attrs: fold(g, output_size=x.shape[2:], **attrs)])
def unfold(xp, x, kernel_size, dilation=1, padding=0, stride=1):
    """Patches of images (batch, channels, height, width) as columns: (batch, channels * size, patches) (``keras.ops.unfold``).

    >>> unfold([[[[1, 2], [3, 4]]]], (1, 2)).tolist()
    [[[1, 3], [2, 4]]]
    """
    shape = _unfolded(x.shape, kernel_size, dilation, padding, stride)
    size, dilation, padding, stride = _pairs(kernel_size, dilation, padding, stride)
    x = xp.pad(x, ((0, 0), (0, 0), *[(p, p) for p in padding]))
    return _windows(xp, x, size, stride, dilation, axis=2).transpose(0, 1, 4, 5, 2, 3).reshape(shape)


@nn_op(_folded, [lambda g, y, x, output_size, **attrs: unfold(g, **attrs)])
def fold(xp, x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Patches put where they came from, adding up where they overlap: the transpose of ``unfold`` (``keras.ops.fold``).

    >>> fold([[[1.0, 3.0], [2.0, 4.0]]], (2, 2), (1, 2)).tolist()
    [[[[1.0, 2.0], [3.0, 4.0]]]]
    """
    n, channels, *output = _folded(x.shape, output_size, kernel_size, dilation, padding, stride)
    size, dilation, padding, stride = _pairs(kernel_size, dilation, padding, stride)
    counts = _patch_counts(output, size, dilation, padding, stride)
    patches = x.reshape(n, channels, *size, *counts)
    y = xp.zeros((n, *[m + 2 * p for m, p in zip(output, padding, strict=True)], channels), x.dtype)
    for (i, j), view in _slices(y, size, stride, dilation, counts):
        view += xp.moveaxis(patches[:, :, i, j], 1, -1)
    inner = tuple(slice(p, p + m) for p, m in zip(padding, output, strict=True))
    return xp.moveaxis(y[(slice(None), *inner)], -1, 1)


def _check_block_size(block_size):
    if block_size < 2:
        raise ValueError(f"`block_size` must be at least 2. Received: block_size={block_size}")


def _rank_4(name, shape):
    if len(shape) != 4:
        raise ValueError(f"`{name}` needs a tensor of rank 4. Received shape {tuple(shape)}")


def _spread_out(shape, block_size, data_format):
    _check_block_size(block_size)
    _rank_4("depth_to_space", shape)
    batch, spatial, channels = split_layout(shape, data_format)
    if channels is not None and channels % block_size**2:
        raise ValueError(f"The number of channels ({channels}) must be a multiple of block_size**2 ({block_size**2}).")
    sizes = [None if n is None else n * block_size for n in spatial]
    return join_layout(batch, sizes, None if channels is None else channels // block_size**2, data_format)


def _packed(shape, block_size, data_format):
    _check_block_size(block_size)
    _rank_4("space_to_depth", shape)
    batch, spatial, channels = split_layout(shape, data_format)
    if any(n is not None and n % block_size for n in spatial):
        raise ValueError(f"Height and width {spatial} must be multiples of block_size ({block_size}).")
    sizes = [None if n is None else n // block_size for n in spatial]
    return join_layout(batch, sizes, None if channels is None else channels * block_size**2, data_format)


@nn_op(_spread_out, [lambda g, y, x, **attrs: space_to_depth(g, **attrs)], views=True)
def depth_to_space(xp, x, block_size, data_format="channels_last"):
    """Channels moved into blocks of ``block_size`` by ``block_size`` pixels (``keras.ops.depth_to_space``).

    >>> depth_to_space([[[[1, 2, 3, 4]]]], 2).tolist()
    [[[[1], [2]], [[3], [4]]]]
    """
    shape, b = _spread_out(x.shape, block_size, data_format), block_size
    if standardize_data_format(data_format) == "channels_last":
        n, h, w, _ = x.shape
        return x.reshape(n, h, w, b, b, shape[-1]).transpose(0, 1, 3, 2, 4, 5).reshape(shape)
    n, _, h, w = x.shape
    return x.reshape(n, shape[1], b, b, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(shape)


@nn_op(_packed, [lambda g, y, x, **attrs: depth_to_space(g, **attrs)], views=True)
def space_to_depth(xp, x, block_size, data_format="channels_last"):
    """Blocks of pixels moved into channels: the inverse of ``depth_to_space`` (``keras.ops.space_to_depth``).

    >>> space_to_depth([[[[1], [2]], [[3], [4]]]], 2).tolist()
    [[[[1, 2, 3, 4]]]]
    """
    shape, b = _packed(x.shape, block_size, data_format), block_size
    if standardize_data_format(data_format) == "channels_last":
        n, h, w, c = x.shape
        return x.reshape(n, h // b, b, w // b, b, c).transpose(0, 1, 3, 2, 4, 5).reshape(shape)
    n, c, h, w = x.shape
    return x.reshape(n, c, h // b, b, w // b, b).transpose(0, 1, 3, 5, 2, 4).reshape(shape)
