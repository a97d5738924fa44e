"""Pools: windows of an image gathered into their maximum or mean, with windows given by size or by the output's size.

Gradients are closed. A mean is linear, so its gradient is its transpose and the other way round. For a maximum, ``_to_first_maximum``
hands each window's gradient to the first element that has it (as XLA does), and ``_of_first_maximum`` looks that element up.
"""

import functools
import itertools
import math

from kerasish.backend.autodiff.dtypes import floating
from kerasish.backend.autodiff.shapes import join_layout, per_axis, split_layout, window_counts, window_padding
from kerasish.ops.activation import in_cache, nn_op
from kerasish.ops.conv import as_layout, channels_last, in_layout

__all__ = ["adaptive_average_pool", "adaptive_max_pool", "average_pool", "max_pool"]


# ---- windows
def _axes(spatial, pool_size, strides, padding):
    """For each spatial axis: its size, the windows' size, stride and number, and how far the first begins before the axis."""
    rank = len(spatial)
    if isinstance(padding, str) and padding.lower() not in ("valid", "same"):
        raise ValueError(f"Invalid padding '{padding}', must be 'same' or 'valid'.")
    size = per_axis(pool_size, rank, "pool_size")
    strides = size if strides is None else per_axis(strides, rank, "strides")
    counts = window_counts(spatial, size, strides, padding, (1,) * rank)
    pairs = window_padding([n or 0 for n in spatial], size, strides, padding, (1,) * rank)
    return list(zip(spatial, size, strides, counts, [before for before, _ in pairs], strict=True))


def _pooled(shape, pool_size, strides, padding, data_format):
    batch, spatial, channels = split_layout(shape, data_format)
    counts = [axis[3] for axis in _axes(spatial, pool_size, strides, padding)]
    return join_layout(batch, counts, channels, data_format)


def _meets(tap, n, k, s, count, before):
    """Which windows have their element ``tap`` on the axis, not on its border, and where: a slice of outputs, one of inputs."""
    first = max(0, -((tap - before) // s))
    last = min(count, (n - 1 - tap + before) // s + 1)
    start = tap - before + first * s
    return slice(first, max(last, first)), slice(start, max(start + (last - first - 1) * s + 1, start), s)


def _places(axes):
    """For each element of a window: where the windows' results lie that have it on the image, and where it lies."""
    for taps in itertools.product(*[range(k) for _, k, *_ in axes]):
        pairs = [_meets(tap, *axis) for tap, axis in zip(taps, axes, strict=True)]
        yield tuple((slice(None), *[pair[i] for pair in pairs]) for i in (0, 1))


def _along(x, i, part):
    """``x`` cut to ``part`` on spatial axis ``i``."""
    return x[(slice(None),) * (i + 1) + (part,)]


def _reduce_windows(xp, combine, empty, x, axes):
    """All elements of each window combined, one axis after the other: fewer passes than over all elements at once."""
    if all(k == 1 for _, k, *_ in axes):
        return x[(slice(None), *[slice(None, None, s) for _, _, s, *_ in axes])].copy()
    for i, (n, k, s, count, before) in enumerate(axes):
        places = [_meets(tap, n, k, s, count, before) for tap in range(k)]
        if all(outs == slice(0, count) for outs, _ in places):  # no borders
            views = [_along(x, i, ins) for _, ins in places]
            y = views[0]
            for j, view in enumerate(views[1:]):
                y = combine(y, view, out=y if j else None)
        else:
            y = xp.full((*x.shape[: i + 1], count, *x.shape[i + 2 :]), empty, x.dtype)
            for outs, ins in places:
                target = _along(y, i, outs)
                combine(target, _along(x, i, ins), out=target)
        x = y
    return x


def _reduce_images(xp, combine, empty, x, axes, out=None):
    y = xp.empty((x.shape[0], *[count for *_, count, _ in axes], x.shape[-1]), x.dtype) if out is None else out
    for part in in_cache(xp, x):
        y[part] = _reduce_windows(xp, combine, empty, x[part], axes)
    return y


# ---- maximum
def _max_pool(xp, x, axes, out=None):
    lowest = -math.inf if x.dtype.kind not in "iu" else int(xp.iinfo(x.dtype).min)
    return _reduce_images(xp, xp.maximum, lowest, x, axes, out)


def _first_maxima(xp, x, y, axes):
    """For each element of a window the place of its results, its place, and a mask: whether it is its window's first maximum."""
    waiting = xp.ones(y.shape, bool)
    *places, last = _places(axes)
    for outs, ins in places:
        hit = x[ins] == y[outs]
        hit &= waiting[outs]
        waiting[outs] ^= hit
        yield outs, ins, hit
    yield *last, waiting[last[0]]  # who still waits has it there


def _to_first(xp, g, x, y, axes, out=None):
    gx = xp.empty(x.shape, g.dtype) if out is None else out
    apart = all(s >= k for _, k, s, *_ in axes)
    tiled = apart and all(n == k * count and s == k for n, k, s, count, _ in axes)
    for part in in_cache(xp, x):
        target, share = gx[part], g[part]
        if not tiled:
            target[...] = 0
        for outs, ins, hit in _first_maxima(xp, x[part], y[part], axes):
            hit = hit.astype(g.dtype)  # three times as quick as a product with booleans
            hit *= share[outs]
            if apart:
                target[ins] = hit
            else:
                target[ins] += hit
    return gx


def _of_first(xp, h, x, y, axes, out=None):
    picked = xp.empty(y.shape, h.dtype) if out is None else out
    for part in in_cache(xp, x):
        target, source = picked[part], h[part]
        target[...] = 0
        for outs, ins, hit in _first_maxima(xp, x[part], y[part], axes):
            target[outs] += source[ins] * hit
    return picked


@nn_op(
    _pooled,
    [lambda g, y, x, **attrs: _to_first_maximum(g, x, y, **attrs)],
)
def max_pool(xp, inputs, pool_size, strides=None, padding="valid", data_format=None, out=None):
    """Maximum of each window of a (batch, \\*spatial, channels) tensor, or channels first (``keras.ops.max_pool``).

    ``strides`` are by default the windows' size. With "same" padding the borders take no part.

    >>> max_pool([[[1.0], [4.0], [3.0], [2.0]]], 2).tolist()
    [[[4.0], [3.0]]]
    """
    x = channels_last(xp, inputs, data_format)
    axes = _axes(x.shape[1:-1], pool_size, strides, padding)
    return in_layout(xp, functools.partial(_max_pool, xp, x, axes), data_format, out)


def _arrays_and_axes(xp, arrays, at, pool_size, strides, padding, data_format):
    """The arrays with channels last, and the axes of the one at ``at``."""
    arrays = [channels_last(xp, x, data_format) for x in arrays]
    return arrays, _axes(arrays[at].shape[1:-1], pool_size, strides, padding)


@nn_op(
    lambda g, x, y, **attrs: x,
    [lambda g, y, g1, x, y1, **attrs: _of_first_maximum(g, x, y1, **attrs), None, None],
)
def _to_first_maximum(xp, g, x, y, pool_size, strides, padding, data_format, out=None):
    """Each window's ``g`` at the first place where ``x`` is the window's maximum ``y``, adding up where windows overlap."""
    (g, x, y), axes = _arrays_and_axes(xp, (g, x, y), 1, pool_size, strides, padding, data_format)
    return in_layout(xp, functools.partial(_to_first, xp, g, x, y, axes), data_format, out)


@nn_op(
    lambda h, x, y, **attrs: y,
    [lambda g, y, h, x, y1, **attrs: _to_first_maximum(g, x, y1, **attrs), None, None],
)
def _of_first_maximum(xp, h, x, y, pool_size, strides, padding, data_format, out=None):
    """For each window ``h`` at the first place where ``x`` is the window's maximum ``y``."""
    (h, x, y), axes = _arrays_and_axes(xp, (h, x, y), 1, pool_size, strides, padding, data_format)
    return in_layout(xp, functools.partial(_of_first, xp, h, x, y, axes), data_format, out)


# ---- mean
def _divide_by_counts(xp, y, axes):
    """Divide each window's sum by the number of its elements that lie on the image, in place."""
    fixed = 1
    for i, (n, k, s, count, before) in enumerate(axes):
        sizes = [min(o * s - before + k, n) - max(o * s - before, 0) for o in range(count)]
        if len(set(sizes)) > 1:
            y /= xp.asarray(sizes, y.dtype).reshape(-1, *(1,) * (len(axes) - i))
        else:
            fixed *= sizes[0] if sizes else 1
    y /= fixed
    return y


@nn_op(
    _pooled,
    [lambda g, y, x, **attrs: _average_pool_input(g, shape=x.shape, **attrs)],
    floating,
)
def average_pool(xp, inputs, pool_size, strides=None, padding="valid", data_format=None, out=None):
    """Mean of each window of a (batch, \\*spatial, channels) tensor, or channels first (``keras.ops.average_pool``).

    ``strides`` are by default the windows' size. With "same" padding the borders don't count.

    >>> average_pool([[[1.0], [4.0], [3.0], [2.0]]], 2).tolist()
    [[[2.5], [2.5]]]
    """
    x = channels_last(xp, inputs, data_format)
    axes = _axes(x.shape[1:-1], pool_size, strides, padding)

    def pool(out):
        return _divide_by_counts(xp, _reduce_images(xp, xp.add, 0, x, axes, out), axes)

    return in_layout(xp, pool, data_format, out)


@nn_op(
    lambda g, shape, **attrs: (g[0], *shape[1:]),
    [lambda g, y, g1, shape, **attrs: average_pool(g, **attrs)],
    floating,
)
def _average_pool_input(xp, g, shape, pool_size, strides, padding, data_format):
    """Transpose of ``average_pool``: each window's ``g``, divided by its number of elements, at all of them."""
    g, (_, spatial, _) = channels_last(xp, g, data_format), split_layout(shape, data_format)
    axes = _axes(spatial, pool_size, strides, padding)
    g = _divide_by_counts(xp, g.copy(), axes)
    for i, axis in enumerate(axes):
        x = xp.zeros((*g.shape[: i + 1], axis[0], *g.shape[i + 2 :]), g.dtype)
        for tap in range(axis[1]):
            outs, ins = _meets(tap, *axis)
            target = _along(x, i, ins)
            target += _along(g, i, outs)
        g = x
    return as_layout(xp, g, data_format)


# ---- windows given by the output's size: output i of m gathers the inputs from floor(i n / m) to ceil((i + 1) n / m)
def _adapted(shape, output_size, data_format):
    batch, spatial, channels = split_layout(shape, data_format)
    if len(spatial) > 3:
        raise ValueError(f"Adaptive pools have 1, 2 or 3 spatial axes. Received shape {tuple(shape)}")
    return join_layout(batch, per_axis(output_size, len(spatial), "output_size"), channels, data_format)


def _spans(n, m):
    return [(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]


def _averages(xp, x, matrices):
    for i, matrix in enumerate(matrices):
        x = xp.moveaxis(xp.tensordot(x, xp.asarray(matrix, x.dtype), axes=((i + 1,), (1,))), -1, i + 1)
    return x


def _average_matrix(n, m):
    """The matrix that takes ``n`` numbers to the means of their ``m`` windows."""
    return [[1 / (stop - start) if start <= j < stop else 0.0 for j in range(n)] for start, stop in _spans(n, m)]


def _average_matrices(shape, outputs):
    return list(itertools.starmap(_average_matrix, zip(shape, outputs, strict=True)))


@nn_op(
    _adapted,
    [lambda g, y, x, output_size, data_format: _adaptive_average_input(g, x.shape, data_format)],
    floating,
)
def adaptive_average_pool(xp, inputs, output_size, data_format=None):
    """Means of windows that cover the image so that the output has the size ``output_size`` (``keras.ops``).

    >>> adaptive_average_pool([[[1.0], [2.0], [3.0]]], 2).tolist()
    [[[1.5], [2.5]]]
    """
    x = channels_last(xp, inputs, data_format)
    _, outputs, _ = split_layout(_adapted(inputs.shape, output_size, data_format), data_format)
    return as_layout(xp, _averages(xp, x, _average_matrices(x.shape[1:-1], outputs)), data_format)


def _spatial(shape, data_format):
    return split_layout(shape, data_format)[1]


@nn_op(
    lambda g, shape, data_format: (g[0], *shape[1:]),
    [lambda g, y, g1, shape, data_format: adaptive_average_pool(g, _spatial(g1.shape, data_format), data_format)],
    floating,
)
def _adaptive_average_input(xp, g, shape, data_format):
    """Transpose of ``adaptive_average_pool``."""
    g = channels_last(xp, g, data_format)
    matrices = _average_matrices(_spatial(shape, data_format), g.shape[1:-1])
    return as_layout(xp, _averages(xp, g, [list(zip(*matrix, strict=True)) for matrix in matrices]), data_format)


def _windows_apart(xp, x, outputs):
    """The windows side by side, all as long as the longest (the others repeat their last element), and those lengths."""
    lengths = []
    for i, (n, m) in enumerate(zip(x.shape[1:-1], outputs, strict=True)):
        spans = _spans(n, m)
        lengths.append(max(stop - start for start, stop in spans))
        places = [min(start + j, stop - 1) for start, stop in spans for j in range(lengths[-1])]
        x = xp.take(x, xp.asarray(places), axis=i + 1)
    return x, lengths


def _adaptive_axes(x, lengths):
    return [(n, k, k, n // k, 0) for n, k in zip(x.shape[1:-1], lengths, strict=True)]


def _windows_together(xp, g, spatial, outputs, lengths):
    """Transpose of :func:`_windows_apart`."""
    for i, (n, m, k) in enumerate(zip(spatial, outputs, lengths, strict=True)):
        x = xp.zeros((*g.shape[: i + 1], n, *g.shape[i + 2 :]), g.dtype)
        for o, (start, stop) in enumerate(_spans(n, m)):
            for j in range(k):
                target = _along(x, i, min(start + j, stop - 1))
                target += _along(g, i, o * k + j)
        g = x
    return g


@nn_op(_adapted, [lambda g, y, x, **attrs: _to_first_adaptive(g, x, y, **attrs)])
def adaptive_max_pool(xp, inputs, output_size, data_format=None):
    """Maxima of windows that cover the image so that the output has the size ``output_size`` (``keras.ops``).

    >>> adaptive_max_pool([[[1.0], [2.0], [3.0]]], 2).tolist()
    [[[2.0], [3.0]]]
    """
    _, outputs, _ = split_layout(_adapted(inputs.shape, output_size, data_format), data_format)
    x, lengths = _windows_apart(xp, channels_last(xp, inputs, data_format), outputs)
    return as_layout(xp, _max_pool(xp, x, _adaptive_axes(x, lengths)), data_format)


@nn_op(
    lambda g, x, y, **attrs: x,
    [lambda g, y, g1, x, y1, **attrs: _of_first_adaptive(g, x, y1, **attrs), None, None],
)
def _to_first_adaptive(xp, g, x, y, output_size, data_format):
    """As ``_to_first_maximum``, of an adaptive pool."""
    g, x, y = (channels_last(xp, array, data_format) for array in (g, x, y))
    apart, lengths = _windows_apart(xp, x, y.shape[1:-1])
    gx = _to_first(xp, g, apart, y, _adaptive_axes(apart, lengths))
    return as_layout(xp, _windows_together(xp, gx, x.shape[1:-1], y.shape[1:-1], lengths), data_format)


@nn_op(
    lambda h, x, y, **attrs: y,
    [lambda g, y, h, x, y1, **attrs: _to_first_adaptive(g, x, y1, **attrs), None, None],
)
def _of_first_adaptive(xp, h, x, y, output_size, data_format):
    """As ``_of_first_maximum``, of an adaptive pool."""
    h, x, y = (channels_last(xp, array, data_format) for array in (h, x, y))
    (h, lengths), (x, _) = (_windows_apart(xp, array, y.shape[1:-1]) for array in (h, x))
    return as_layout(xp, _of_first(xp, h, x, y, _adaptive_axes(x, lengths)), data_format)
