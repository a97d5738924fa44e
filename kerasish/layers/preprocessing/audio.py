"""Sound as pictures: spectrograms of short-time Fourier transforms, trainable or on the mel scale."""

import math
import warnings

from kerasish import config, ops
from kerasish.initializers import STFT
from kerasish.layers.arguments import DataFormat
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.layer import Layer

_MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")
_MEL_BREAK, _MEL_Q = 700.0, 1127.0  # Hertz up to which the mel scale is about linear, and its factor


class STFTSpectrogram(Layer):
    """A short-time Fourier transform as a convolution whose kernels can be trained (``keras.layers.STFTSpectrogram``).

    Input (batch, time, channels), output (batch, frames, channels * frequencies), with ``expand_dims`` (batch, frames, frequencies,
    channels). ``mode``: "log", "magnitude", "psd" (power), "real", "imag", "angle", or "stft" (real and imaginary parts, one behind the
    other). ``frame_step`` is half of ``frame_length`` by default, ``fft_length`` the next power of two.

    >>> STFTSpectrogram(frame_length=4, frame_step=2)(ops.ones((1, 8, 1))).shape
    (1, 3, 3)
    """

    mode: str = "log"
    frame_length: int = 256
    frame_step: int = None
    fft_length: int = None
    window: object = "hann"
    periodic: bool = False
    scaling: str = "density"
    padding: str = "valid"
    expand_dims: bool = False
    data_format: DataFormat = None

    def check(self):
        super().check()
        if self.frame_step is not None and not 1 <= self.frame_step <= self.frame_length:
            raise ValueError(f"`frame_step` should be a positive integer up to `frame_length`={self.frame_length}, got {self.frame_step}")
        if self.fft_length is not None:
            if self.fft_length < self.frame_length:
                raise ValueError(f"`fft_length` is {self.fft_length}, less than `frame_length`={self.frame_length}")
            if self.fft_length & (self.fft_length - 1):
                warnings.warn(f"`fft_length`={self.fft_length} is slower than a power of two would be", stacklevel=4)
        if self.mode not in _MODES:
            raise ValueError(f"`mode` is one of {', '.join(_MODES)}, not {self.mode}")
        if self.padding not in ("valid", "same"):
            raise ValueError(f"`padding` is one of 'valid', 'same', not {self.padding}")
        self._frame_step = self.frame_step or self.frame_length // 2
        self._fft_length = self.fft_length or 2 ** math.ceil(math.log2(self.frame_length))
        self._initializer("real")  # window and scaling are checked there
        self.input_spec = InputSpec(ndim=3)

    def _initializer(self, side):
        return STFT(side, self.window, self.scaling, self.periodic)

    def build(self, input_shape):
        shape = (self.frame_length, 1, self._fft_length // 2 + 1)
        if self.mode != "imag":
            self.real_kernel = self.add_weight(shape, self._initializer("real"), name="real_kernel")
        if self.mode != "real":
            self.imag_kernel = self.add_weight(shape, self._initializer("imag"), name="imag_kernel")

    def call(self, inputs):
        if inputs.dtype not in ("float16", "float32", "float64"):
            raise TypeError(f"Invalid input type {inputs.dtype}: use `float16`, `float32` or `float64`.")
        channels = inputs.shape[-1 if self.data_format == "channels_last" else 1]
        return self._arranged(self._transformed(inputs, channels), channels)

    def _transformed(self, inputs, channels):
        """All frequencies of the first channel, then all of the second, and so on, for each frame."""
        if self.mode == "stft":
            return self._convolved(inputs, ops.concatenate([self.real_kernel, self.imag_kernel], axis=-1), channels)
        real = None if self.mode == "imag" else self._convolved(inputs, self.real_kernel, channels)
        imag = None if self.mode == "real" else self._convolved(inputs, self.imag_kernel, channels)
        if real is None or imag is None:
            return imag if real is None else real
        if self.mode == "angle":
            return ops.arctan2(imag, real)
        power = ops.square(real) + ops.square(imag)
        if self.mode == "psd":
            return power * self._in_layout(self._sides(channels, power.dtype))
        magnitude = ops.sqrt(ops.maximum(power, config.epsilon()))
        return magnitude if self.mode == "magnitude" else ops.log(ops.maximum(magnitude, config.epsilon()))

    def _convolved(self, inputs, kernel, channels):
        """Each channel with the same kernel."""
        kernel = ops.tile(ops.cast(kernel, inputs.dtype), (1, 1, channels))
        return ops.conv(inputs, kernel, strides=self._frame_step, padding=self.padding, data_format=self.data_format)

    def _sides(self, channels, dtype):
        """2 for frequencies that stand for their negative too, 1 for the first and the last."""
        n = self._fft_length // 2 + 1
        return ops.cast(ops.tile(ops.array([1.0] + [2.0] * (n - 2) + [1.0] * (n > 1)), (channels,)), dtype)

    def _in_layout(self, by_channel):
        return by_channel if self.data_format == "channels_last" else ops.expand_dims(by_channel, -1)

    def _arranged(self, y, channels):
        if not self.expand_dims:
            return y
        batch, *sizes = ops.shape(y)
        if self.data_format == "channels_last":  # (batch, frames, channels, frequencies)
            return ops.swapaxes(ops.reshape(y, (batch, sizes[0], channels, sizes[1] // channels)), 2, 3)
        return ops.swapaxes(ops.reshape(y, (batch, channels, sizes[0] // channels, sizes[1])), 2, 3)


class MelSpectrogram(Layer):
    """Sound, (time,) or (batch, time), as a spectrogram on the mel scale, (..., mel bins, frames) (``keras.layers.MelSpectrogram``).

    A short-time Fourier transform of frames ``sequence_stride`` apart; its magnitude to the power ``mag_exp``, summed over
    ``num_mel_bins`` bands from ``min_freq`` to ``max_freq`` Hertz; with ``power_to_db`` in decibel, at most ``top_db`` below the
    loudest.

    >>> MelSpectrogram(fft_length=16, sequence_stride=8, num_mel_bins=4)(ops.ones((2, 32))).shape
    (2, 4, 5)
    """

    fft_length: int = 2048
    sequence_stride: int = 512
    sequence_length: int = None
    window: object = "hann"
    sampling_rate: int = 16000
    num_mel_bins: int = 128
    min_freq: float = 20.0
    max_freq: float = None
    power_to_db: bool = True
    top_db: float = 80.0
    mag_exp: float = 2.0
    min_power: float = 1e-10
    ref_power: float = 1.0

    def check(self):
        super().check()
        self.sequence_length = self.sequence_length or self.fft_length
        self.max_freq = self.max_freq or int(self.sampling_rate / 2)
        if self.fft_length < self.sequence_length:
            raise ValueError(
                f"`fft_length` must be greater than or equal to {self.sequence_length}, its `sequence_length`, but is "
                f"{self.fft_length}."
            )

    def call(self, inputs):
        inputs = ops.cast(inputs, self.compute_dtype if self.compute_dtype in ("float32", "float64") else "float32")
        real, imag = ops.stft(
            inputs, sequence_length=self.sequence_length, sequence_stride=self.sequence_stride, fft_length=self.fft_length,
            window=self.window, center=True,
        )  # fmt: skip
        power = ops.power(ops.sqrt(ops.square(real) + ops.square(imag)), self.mag_exp)
        matrix = self.linear_to_mel_weight_matrix(
            self.num_mel_bins, power.shape[-1], self.sampling_rate, self.min_freq, self.max_freq, power.dtype
        )
        mel = ops.matmul(power, matrix)
        mel = self._in_decibel(mel) if self.power_to_db else mel
        return ops.cast(ops.swapaxes(mel, -1, -2), self.compute_dtype)

    def _in_decibel(self, power):
        reference = 10.0 * math.log10(max(abs(self.ref_power), self.min_power))
        decibel = 10.0 * ops.log10(ops.maximum(power, self.min_power)) - reference
        return ops.maximum(decibel, ops.max(decibel) - self.top_db)

    def linear_to_mel_weight_matrix(self, num_mel_bins=20, num_spectrogram_bins=129, sampling_rate=8000, lower_edge_hertz=125.0,
                                    upper_edge_hertz=3800.0, dtype="float32"):  # fmt: skip
        """Matrix (frequencies, mel bins) of triangles of height 1, evenly spaced on the mel scale; the first frequency counts for none.

        A spectrogram (..., frequencies) times it is one on the mel scale of the Hidden Markov Model Toolkit.
        """
        mel = _mel(ops.linspace(0.0, sampling_rate / 2.0, num_spectrogram_bins, dtype=dtype)[1:, None])
        low, high = (_mel(ops.cast(hertz, dtype)) for hertz in (lower_edge_hertz, upper_edge_hertz))
        edges = ops.linspace(low, high, num_mel_bins + 2, dtype=dtype)
        lower, center, upper = edges[:-2], edges[1:-1], edges[2:]
        rising, falling = (mel - lower) / (center - lower), (upper - mel) / (upper - center)
        triangles = ops.maximum(ops.minimum(rising, falling), 0.0)
        return ops.pad(triangles, [[1, 0], [0, 0]])


def _mel(hertz):
    return _MEL_Q * ops.log(1.0 + hertz / _MEL_BREAK)
