"""Fourier transforms, of whole signals and of the windows that slide over them; complex numbers as pairs of real ones.

A transform is linear, so its gradient is the opposite transform: without the factor ``1 / n`` where it had none, with it where it had.
Numbers of 16 bits are computed with as 32.
"""

import functools
import math

import numpy as np

from kerasish.backend.autodiff.dtypes import floating, is_float, keep, magnitude
from kerasish.backend.autodiff.op import as_tensor, composite, op
from kerasish.backend.autodiff.shapes import broadcast
from kerasish.ops.creation import ones_like
from kerasish.ops.elementwise import choose, imag, real
from kerasish.ops.indexing import pad
from kerasish.ops.products import in_dtype, singles
from kerasish.ops.shaping import stack

__all__ = [
    "extract_sequences", "fft", "fft2", "ifft2", "irfft", "istft", "rfft", "stft", "view_as_complex", "view_as_real",
]  # fmt: skip

_OTHER = {"backward": "forward", "forward": "backward"}  # who has the factor 1 / n: the inverse or the transform


# ---- complex numbers and pairs
def _complex_of(xp, re, im):
    """Not ``re + 1j * im``: that makes NaN of infinities."""
    z = xp.empty(re.shape, xp.complex128 if re.dtype == xp.float64 else xp.complex64)
    z.real, z.imag = re, im
    return z


def _complex(dtypes, attrs):
    casts, common = floating(dtypes, attrs)
    return casts, "complex128" if common == "float64" else "complex64"


@op(broadcast, [lambda g, y, re, im: real(g), lambda g, y, re, im: -imag(g)], _complex, module="ops.math", class_name="ComplexOfParts")
def _joined(xp, re, im):
    return _complex_of(xp, re, im)


@op(lambda x: x[:-1], [lambda g, y, x: stack([real(g), -imag(g)], -1)], _complex, views=True, module="ops.math")
def _from_pairs(xp, x):
    wide = x if x.dtype.itemsize > 2 else x.astype(xp.float32)
    return xp.ascontiguousarray(wide).view(xp.complex128 if wide.dtype == xp.float64 else xp.complex64)[..., 0]


@op(lambda x: (*x, 2), [lambda g, y, x: _joined(g[..., 0], -g[..., 1])], magnitude, views=True, module="ops.math")
def _to_pairs(xp, x):
    return xp.ascontiguousarray(x).view(xp.float64 if x.dtype == xp.complex128 else xp.float32).reshape((*x.shape, 2))


@composite(module="ops.math")
def view_as_complex(x):
    """Complex numbers from pairs along the last axis: real and imaginary part (``keras.ops.view_as_complex``).

    >>> view_as_complex([[1.0, 2.0]]).tolist()
    [(1+2j)]
    """
    x = as_tensor(x)
    if x.ndim < 1 or x.shape[-1] not in (2, None):
        raise ValueError(f"Last dimension of input must be size 2, for the two parts. Got shape {x.shape}")
    return _from_pairs(x)


@composite(module="ops.math")
def view_as_real(x):
    """Real and imaginary part of each number along a new last axis (``keras.ops.view_as_real``).

    >>> view_as_real([1 + 2j]).tolist()
    [[1.0, 2.0]]
    """
    x = as_tensor(x)
    return _to_pairs(x) if "complex" in x.dtype else stack([real(x), imag(x)], -1)


def _pair(x, rank=1):
    """The two parts, checked."""
    if not isinstance(x, (tuple, list)) or len(x) != 2:
        raise ValueError(f"Input `x` should be a tuple of two tensors: the real, then the imaginary part. Got {x}")
    re, im = as_tensor(x[0]), as_tensor(x[1])
    if re.ndim != im.ndim or any(None not in (m, n) and m != n for m, n in zip(re.shape, im.shape, strict=True)):
        raise ValueError(f"Input `x` should be a tuple of two tensors of the same shape, got {re.shape} and {im.shape}")
    if not is_float(re.dtype) or not is_float(im.dtype):
        raise ValueError(f"Both parts of input `x` must be of a floating dtype. Received: {re.dtype} and {im.dtype}")
    if re.ndim < rank:
        raise ValueError(f"Input should have rank >= {rank}. Received: input.shape = {re.shape}")
    return re, im


# ---- whole signals
def _both(re, im, **attrs):
    return [broadcast(re, im)] * 2


def _fourier_gradients(g, y, re, im, axes, inverse, norm):
    return _fourier(*g, axes=axes, inverse=not inverse, norm=_OTHER[norm])


@op(_both, _fourier_gradients, floating, module="ops.math", class_name="FourierOfParts")
def _fourier(xp, re, im, axes=(-1,), inverse=False, norm="backward"):
    z = (xp.fft.ifftn if inverse else xp.fft.fftn)(_complex_of(xp, re, im), axes=axes, norm=norm)
    return xp.real(z).astype(re.dtype), xp.imag(z).astype(re.dtype)


@composite(module="ops.math", class_name="FFT")
def fft(x):
    """Discrete Fourier transform along the last axis, of a pair (real, imaginary) to such a pair (``keras.ops.fft``).

    >>> [part.tolist() for part in fft(([1.0, 2.0], [0.0, 1.0]))]
    [[3.0, -1.0], [1.0, -1.0]]
    """
    return tuple(_fourier(*_pair(x)))


@composite(module="ops.math", class_name="FFT2")
def fft2(x):
    """Discrete Fourier transform along the last two axes, of a pair (real, imaginary) to such a pair (``keras.ops.fft2``).

    >>> fft2(([[1.0, 2.0], [2.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]))[0].tolist()
    [[6.0, 0.0], [0.0, -2.0]]
    """
    return tuple(_fourier(*_pair(x, 2), axes=(-2, -1)))


@composite(module="ops.math", class_name="IFFT2")
def ifft2(x):
    """Inverse of :func:`fft2` (``keras.ops.ifft2``).

    >>> ifft2(([[4.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]))[0].tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    return tuple(_fourier(*_pair(x, 2), axes=(-2, -1), inverse=True))


# ---- real signals: half of the spectrum says all
def _half_shapes(shape, **attrs):
    n = shape[-1]
    return [(*shape[:-1], None if n is None else n // 2 + 1)] * 2


def _scaled(x, n, factor):
    """Frequencies that stand for two, themselves and their mirror image, times the factor."""
    if factor == 1.0:
        return x
    x = x.copy()
    x[..., 1 : (n + 1) // 2] *= factor
    return x


@op(
    _half_shapes,
    [lambda g, y, x, norm, inner: _real_signal(*g, n=x.shape[-1], norm=_OTHER[norm], inner=inner / 2)],
    floating,
    module="ops.math",
    class_name="HalfSpectrum",
)
def _half_spectrum(xp, x, norm="backward", inner=1.0):
    z = _scaled(xp.fft.rfft(singles(xp, x), norm=norm), x.shape[-1], inner)
    return xp.real(z).astype(x.dtype), xp.imag(z).astype(x.dtype)


def _real_signal_gradients(g, y, re, im, n, norm, inner):
    return _half_spectrum(g, norm=_OTHER[norm], inner=inner * 2)


@op(lambda re, im, n, **attrs: (*re[:-1], n), _real_signal_gradients, floating, module="ops.math", class_name="RealSignal")
def _real_signal(xp, re, im, n=None, norm="backward", inner=1.0):
    return in_dtype(xp.fft.irfft(_scaled(_complex_of(xp, re, im), n, inner), n=n, norm=norm), re.dtype)


def _fitted(shape, size):
    return (*shape[:-1], size)


@op(_fitted, [lambda g, y, x, size: _fit(g, size=x.shape[-1])], keep, module="ops.math", class_name="FitLength")
def _fit(xp, x, size):
    """The last axis cut, or lengthened by zeros."""
    y = xp.zeros((*x.shape[:-1], size), x.dtype)
    kept = min(size, x.shape[-1])
    y[..., :kept] = x[..., :kept]
    return y


def _check_length(fft_length):
    if fft_length is not None and fft_length < 1:
        raise ValueError(f"`fft_length` must be positive. Received: fft_length={fft_length}")


@composite(module="ops.math", class_name="RFFT")
def rfft(x, fft_length=None):
    """Fourier transform of a real signal along the last axis: real and imaginary part of its first half (``keras.ops.rfft``).

    ``fft_length``: the signal is cut or lengthened by zeros to it. Both parts have ``fft_length // 2 + 1`` elements.

    >>> [part.tolist() for part in rfft([1.0, 2.0, 4.0, 5.0])]
    [[12.0, -3.0, -2.0], [0.0, 3.0, 0.0]]
    """
    x = as_tensor(x)
    if x.ndim < 1:
        raise ValueError(f"Input should have rank >= 1. Received: input.shape = {x.shape}")
    _check_length(fft_length)
    return tuple(_half_spectrum(x if fft_length in (None, x.shape[-1]) else _fit(x, size=fft_length)))


@composite(module="ops.math", class_name="IRFFT")
def irfft(x, fft_length=None):
    """Inverse of :func:`rfft`: a real signal from a pair (real, imaginary) of half its spectrum (``keras.ops.irfft``).

    ``fft_length`` of the signal, by default even: twice the pair's length less 2.

    >>> irfft(([12.0, -3.0, -2.0], [0.0, 3.0, 0.0])).tolist()
    [1.0, 2.0, 4.0, 5.0]
    """
    re, im = _pair(x)
    _check_length(fft_length)
    if fft_length is not None:
        return _real_signal(*[_fit(part, size=fft_length // 2 + 1) for part in (re, im)], n=fft_length)
    if re.shape[-1] == 1:
        raise ValueError("irfft: half a spectrum of one element stands for a signal of length 1: say fft_length=1.")
    return _real_signal(re, im, n=None if re.shape[-1] is None else 2 * (re.shape[-1] - 1))


# ---- windows that slide over a signal
def _sequence_shape(shape, sequence_length, sequence_stride):
    for name, n in (("sequence_length", sequence_length), ("sequence_stride", sequence_stride)):
        if not isinstance(n, (int, np.integer)) or n <= 0:
            raise ValueError(f"`{name}` must be a positive integer. Received: {name}={n}")
    if len(shape) < 1:
        raise ValueError(f"Input should have rank >= 1. Received: input.shape = {tuple(shape)}")
    if shape[-1] is not None and shape[-1] < sequence_length:
        raise ValueError(f"A signal of length {shape[-1]} has no sequence of length {sequence_length}.")
    count = None if shape[-1] is None else 1 + (shape[-1] - sequence_length) // sequence_stride
    return (*shape[:-1], count, sequence_length)


@op(
    _sequence_shape,
    [lambda g, y, x, sequence_length, sequence_stride: _overlap_add(g, stride=sequence_stride, size=x.shape[-1])],
    keep,
    module="ops.math",
)
def extract_sequences(xp, x, sequence_length, sequence_stride):
    """Windows that slide over the last axis: shape ``(..., count, sequence_length)`` (``keras.ops.extract_sequences``).

    >>> extract_sequences([1, 2, 3, 4, 5, 6], 3, 2).tolist()
    [[1, 2, 3], [3, 4, 5]]
    """
    _sequence_shape(x.shape, sequence_length, sequence_stride)
    return xp.ascontiguousarray(xp.windows(x, (sequence_length,), (x.ndim - 1,))[..., ::sequence_stride, :])


def _overlapped(shape, stride, size):
    if size is None and shape[-2] is not None:
        size = (shape[-2] - 1) * stride + shape[-1]
    return (*shape[:-2], size)


@op(
    _overlapped,
    [lambda g, y, x, stride, size: extract_sequences(g, sequence_length=x.shape[-1], sequence_stride=stride)],
    keep,
    module="ops.math",
    class_name="OverlapAdd",
)
def _overlap_add(xp, x, stride, size=None):
    """Sequences put back where they came from, added up where they overlap: a stride of each at a time."""
    *lead, count, length = x.shape
    parts = -(-length // stride)
    size = (count - 1) * stride + length if size is None else size
    y = xp.zeros((*lead, max(count + parts - 1, -(-size // stride)), stride), x.dtype)
    for i in range(parts):
        part = x[..., i * stride : (i + 1) * stride]
        y[..., i : i + count, : part.shape[-1]] += part
    return y.reshape(*lead, y.shape[-2] * stride)[..., :size]


@functools.lru_cache(maxsize=64)
def _named_window(name, n):
    """One period of a raised cosine."""
    floor = {"hann": 0.5, "hamming": 0.54}[name]
    return np.ones(1) if n == 1 else floor - (1 - floor) * np.cos(2 * math.pi * np.arange(n) / n)


def _window(window, sequence_length, fft_length, dtype):
    """The window in the middle of ``fft_length``, None for none."""
    if fft_length < sequence_length:
        raise ValueError(f"`fft_length` must equal or exceed `sequence_length`: {fft_length} < {sequence_length}")
    if window is None:
        return None
    if isinstance(window, str):
        if window not in ("hann", "hamming"):
            raise ValueError(f"If a string is passed to `window`, it is 'hann' or 'hamming', not {window}")
        window = _named_window(window, sequence_length)
    window = as_tensor(window, dtype)
    if window.shape != (sequence_length,):
        raise ValueError(f"The shape of `window` must be equal to [{sequence_length}], not {window.shape}")
    before = (fft_length - sequence_length) // 2
    return pad(window, [(before, fft_length - sequence_length - before)])


def _check_stride(sequence_stride):
    if not isinstance(sequence_stride, int) or sequence_stride <= 0:
        raise ValueError(f"`sequence_stride` must be a positive integer. Received: sequence_stride={sequence_stride}")


@composite(module="ops.math", class_name="STFT", inputs=["x"])
def stft(x, sequence_length, sequence_stride, fft_length, window="hann", center=True):
    """Fourier transforms of the windows that slide over the last axis, real and imaginary part (``keras.ops.stft``).

    Both have the shape ``(..., count, fft_length // 2 + 1)``. ``window``: "hann", "hamming", ``sequence_length`` numbers, or None.
    With ``center`` the signal is mirrored at its ends, so that window ``t`` has its middle at ``t * sequence_stride``.

    >>> [part.shape for part in stft([0.0, 1.0, 2.0, 3.0, 4.0], 3, 2, 3)]
    [(3, 2), (3, 2)]
    """
    _check_stride(sequence_stride)
    x = as_tensor(x)
    if x.dtype not in ("float32", "float64"):
        raise TypeError(f"Invalid input type {x.dtype}: use `float32` or `float64`.")
    window = _window(window, sequence_length, fft_length, x.dtype)
    if center:
        x = pad(x, [(0, 0)] * (x.ndim - 1) + [(fft_length // 2, fft_length // 2)], "reflect")
    sequences = extract_sequences(x, fft_length, sequence_stride)
    return tuple(_half_spectrum(sequences if window is None else sequences * window))


@composite(module="ops.math", class_name="ISTFT", inputs=["x"])
def istft(x, sequence_length, sequence_stride, fft_length, length=None, window="hann", center=True):
    """Inverse of :func:`stft` with the same parameters (``keras.ops.istft``): the signal whose windows come closest to the pair.

    ``length``: the signal is cut to it. Without a window the result is, as in Keras, ``fft_length / sequence_stride`` times the signal.

    >>> x = [0.0, 1.0, 2.0, 3.0, 4.0]
    >>> [round(v, 4) for v in istft(stft(x, 4, 1, 4), 4, 1, 4).tolist()]
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    _check_stride(sequence_stride)
    re, im = _pair(x, 2)
    window = _window(window, sequence_length, fft_length, re.dtype)
    sequences = irfft((re, im), fft_length)
    if window is None:
        y, weight = sequences * (fft_length / sequence_stride), ones_like(sequences)
    else:
        y, weight = sequences * window, ones_like(sequences) * (window * window)
    y, weight = _overlap_add(y, stride=sequence_stride), _overlap_add(weight, stride=sequence_stride)
    y = y / choose(weight > 1e-10, weight, 1.0)
    start = fft_length // 2 if center else 0
    end = None if re.shape[-2] is None else (re.shape[-2] - 1) * sequence_stride + fft_length
    if length is not None:
        end = start + length
    elif center and end is not None:
        end -= fft_length // 2
    return y[..., start:end]
