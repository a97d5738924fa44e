"""Frames of signals and their spectra."""

import math

import numpy as np

from kerasish.export.graph import CannotExport, Value, onnx
from kerasish.ops.sizes import Size


@onnx("extract_sequences")
def extract_sequences(g, x, sequence_length, sequence_stride):
    starts = g.Mul(g.range(g.outputs[0].shape[-2]), sequence_stride)
    places = g.Add(g.unsqueeze(starts, 1), g.unsqueeze(g.range(sequence_length), 0))
    return g.Gather(x, places, axis=x.ndim - 1)


@onnx("_overlap_add")
def overlap_add(g, x, stride, size):
    *lead, count, length = x.shape
    rows = math.prod(lead)
    kernel = np.eye(length).reshape(length, 1, length)
    columns = g.Transpose(g.reshape(x, [rows, count, length]), perm=[0, 2, 1])
    y = g.ConvTranspose(columns, g.constant(kernel, x.dtype), strides=[stride], kernel_shape=[length])
    out = g.outputs[0].shape
    made = (count - 1) * stride + length
    y = g.Pad(y, g.shape([0, 0, 0, 0, 0, max(out[-1] - made, 0)]), g.constant(0, x.dtype))
    return g.reshape(g.slice(y, 2, None, out[-1]), out)


@onnx("_fit")
def fit(g, x, size):
    n = x.shape[-1]
    if isinstance(n, Size):
        raise CannotExport("a transform of a signal whose length is open has no ONNX form")
    kept = g.slice(x, x.ndim - 1, None, min(size, n))
    pads = [0] * (2 * x.ndim)
    pads[-1] = max(size - n, 0)
    return g.Pad(kept, g.int64(*pads), g.constant(0, x.dtype)) if pads[-1] else kept


def _scale(n, norm, inverse, inner=1.0):
    forward = {"backward": 1.0, "ortho": 1 / math.sqrt(n), "forward": 1 / n}[norm]
    return 1 / (n * forward) if inverse else forward


def _waves(n, columns):
    """Cosines and sines (n, columns): what the transform of ``n`` numbers is a product with."""
    angles = 2 * np.pi / n * (np.outer(np.arange(n), np.arange(columns)) % n)
    return np.cos(angles), np.sin(angles)


def _length(n):
    if isinstance(n, Size):
        raise CannotExport("a transform of a signal whose length is open has no ONNX form")
    return n


def _inner(columns, n, inner):
    """Weights of a half spectrum: those of the numbers that stand for two."""
    weights = np.full(columns, inner)
    weights[0] = 1.0
    if n % 2 == 0:
        weights[-1] = 1.0
    return weights


@onnx("_half_spectrum")
def half_spectrum(g, x, norm, inner):
    n = _length(x.shape[-1])
    cosines, sines = _waves(n, n // 2 + 1)
    weights = _scale(n, norm, False) * _inner(n // 2 + 1, n, inner)
    return g.MatMul(x, g.constant(cosines * weights, x.dtype)), g.MatMul(x, g.constant(-sines * weights, x.dtype))


@onnx("_real_signal")
def real_signal(g, re, im, n, norm, inner):
    n = 2 * (_length(re.shape[-1]) - 1) if n is None else n
    columns = min(n // 2 + 1, _length(re.shape[-1]))
    cosines, sines = _waves(n, n // 2 + 1)
    weights = _scale(n, norm, True) * _inner(n // 2 + 1, n, 2 * inner)
    re, im = (g.slice(part, part.ndim - 1, None, columns) for part in (re, im))
    matrices = (g.constant((wave * weights).T[:columns], re.dtype) for wave in (cosines, -sines))
    return g.Add(*[g.MatMul(part, matrix) for part, matrix in zip((re, im), matrices, strict=True)])


@onnx("_fourier")
def fourier(g, re, im, axes, inverse, norm):
    rank, shape = re.ndim, re.shape
    for axis in axes:
        axis %= rank
        n = _length(shape[axis])
        order = [*(i for i in range(rank) if i != axis), axis]
        cosines, sines = (g.constant(wave * _scale(n, norm, inverse), re.dtype) for wave in _waves(n, n))
        a, b = (Value(g.transpose(part, order), None, re.dtype) for part in (re, im))
        turned, back = (g.Sub, g.Add) if inverse else (g.Add, g.Sub)
        re, im = (
            turned(g.MatMul(a, cosines), g.MatMul(b, sines)),
            back(g.MatMul(b, cosines), g.MatMul(a, sines)),
        )
        re, im = (g.transpose(Value(part, None, a.dtype), np.argsort(order)) for part in (re, im))
    return re, im
