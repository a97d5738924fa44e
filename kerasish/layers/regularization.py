"""Layers that act in training only, to keep a model from learning its data by heart, and penalties on activations."""

import math

from kerasish import ops, random
from kerasish.backend.random import SeedGenerator
from kerasish.config import standardize_data_format
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.layer import Layer
from kerasish.regularizers import L1L2


class _Noise(Layer):
    """Base of layers that are random in training: ``_strength`` names the field that says how much, from 0 to 1."""

    supports_masking = True
    built = True
    _strength = "rate"

    def check(self):
        super().check()
        strength = getattr(self, self._strength)
        if not 0 <= strength <= 1:
            raise ValueError(
                f"Invalid value received for argument `{self._strength}`. Expected a float value between 0 and 1, not {strength}"
            )
        if strength > 0:
            self.seed_generator = SeedGenerator(self.seed)

    def call(self, inputs, training=False):
        return self._noisy(inputs) if training and getattr(self, self._strength) > 0 else inputs


class Dropout(_Noise):
    """Zeros a share ``rate`` of the inputs in training and scales the others up (``keras.layers.Dropout``).

    ``noise_shape``: 1 for axes along which all elements share their fate, None for the inputs' size.

    >>> Dropout(0.5)(ops.ones((1, 2))).tolist()
    [[1.0, 1.0]]
    """

    rate: float
    noise_shape: tuple = None
    seed: int = None

    def check(self):
        super().check()
        if self.noise_shape is not None:
            self.noise_shape = _checked_noise_shape(self.noise_shape)

    def _noisy(self, inputs):
        return random.dropout(inputs, self.rate, noise_shape=self._noise_shape(inputs), seed=self.seed_generator)

    def _noise_shape(self, inputs):
        return self.noise_shape


def _checked_noise_shape(noise_shape):
    try:
        sizes = None if isinstance(noise_shape, str) else tuple(noise_shape)
    except TypeError:
        sizes = None
    if sizes is None or any(n is not None and (not isinstance(n, int) or n <= 0) for n in sizes):
        raise ValueError(f"Invalid value for `noise_shape`: it is made of positive integers and None, not {noise_shape}")
    return sizes


class _SpatialDropout(Dropout):
    """Drops whole feature maps: all positions of a channel share their fate."""

    rank = None
    data_format = "channels_last"

    def __init__(self, rate, seed=None, name=None, dtype=None):
        super().__init__(rate, seed=seed, name=name, dtype=dtype)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def _noise_shape(self, inputs):
        batch, *sizes = inputs.shape
        ones = (1,) * self.rank
        return (batch, sizes[0], *ones) if self.data_format == "channels_first" else (batch, *ones, sizes[-1])

    def get_config(self):
        return {"rate": self.rate, "seed": self.seed, "name": self.name, "dtype": self.dtype}


class SpatialDropout1D(_SpatialDropout):
    """Dropout of whole features of a sequence ``(batch, steps, features)`` (``keras.layers.SpatialDropout1D``).

    >>> SpatialDropout1D(0.5)(ops.ones((1, 2, 1))).shape
    (1, 2, 1)
    """

    rank = 1


class _SpatialDropoutND(_SpatialDropout):
    def __init__(self, rate, data_format=None, seed=None, name=None, dtype=None):
        super().__init__(rate, seed=seed, name=name, dtype=dtype)
        self.data_format = standardize_data_format(data_format)

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format}


class SpatialDropout2D(_SpatialDropoutND):
    """Dropout of whole channels of images (``keras.layers.SpatialDropout2D``).

    >>> SpatialDropout2D(0.5)(ops.ones((1, 2, 2, 1))).shape
    (1, 2, 2, 1)
    """

    rank = 2


class SpatialDropout3D(_SpatialDropoutND):
    """Dropout of whole channels of volumes (``keras.layers.SpatialDropout3D``).

    >>> SpatialDropout3D(0.5)(ops.ones((1, 2, 2, 2, 1))).shape
    (1, 2, 2, 2, 1)
    """

    rank = 3


class AlphaDropout(_Noise):
    """Dropout that keeps the mean and variance of what SELU gives (``keras.layers.AlphaDropout``; G. Klambauer et al. 2017).

    >>> AlphaDropout(0.5)(ops.ones((1, 2))).tolist()
    [[1.0, 1.0]]
    """

    rate: float
    noise_shape: tuple = None
    seed: int = None

    def _noisy(self, inputs):
        dropped = -1.6732632423543772 * 1.0507009873554805  # SELU's value far below zero
        scale = ((1 - self.rate) * (1 + self.rate * dropped**2)) ** -0.5
        shape = self.noise_shape or (None,) * inputs.ndim
        shape = tuple(n if size is None else size for size, n in zip(shape, inputs.shape, strict=True))
        noise = random.uniform(shape, seed=self.seed_generator)
        kept = ops.cast(ops.greater_equal(noise, self.rate), inputs.dtype)
        return scale * (inputs * kept + dropped * (1 - kept)) - scale * dropped * self.rate


class GaussianDropout(_Noise):
    """Multiplies by normal noise of mean 1 and the variance of dropout at ``rate`` (``keras.layers.GaussianDropout``).

    >>> GaussianDropout(0.5)(ops.ones((1, 2))).tolist()
    [[1.0, 1.0]]
    """

    rate: float
    seed: int = None

    def _noisy(self, inputs):
        stddev = math.sqrt(self.rate / (1.0 - self.rate))
        return inputs * random.normal(inputs.shape, 1.0, stddev, dtype=self.compute_dtype, seed=self.seed_generator)


class GaussianNoise(_Noise):
    """Adds normal noise of mean 0 in training (``keras.layers.GaussianNoise``).

    >>> GaussianNoise(0.5)(ops.ones((1, 2))).tolist()
    [[1.0, 1.0]]
    """

    _strength = "stddev"
    stddev: float
    seed: int = None

    def _noisy(self, inputs):
        return inputs + random.normal(inputs.shape, 0.0, self.stddev, dtype=self.compute_dtype, seed=self.seed_generator)


class ActivityRegularization(Layer):
    """Its input as it is, with ``l1 * sum(|x|) + l2 * sum(x^2)`` added to the losses (``keras.layers.ActivityRegularization``).

    >>> layer = ActivityRegularization(l2=0.5)
    >>> _ = layer(ops.ones((1, 2)))
    >>> [float(x) for x in layer.losses]
    [1.0]
    """

    supports_masking = True
    built = True
    l1: float = 0.0
    l2: float = 0.0

    def _init_base(self, **kwargs):
        super()._init_base(activity_regularizer=None, **kwargs)  # a TypeError where one is given

    def check(self):
        super().check()
        self.activity_regularizer = L1L2(l1=self.l1, l2=self.l2)

    def call(self, inputs):
        return inputs

    def get_config(self):
        config = super().get_config()
        del config["activity_regularizer"]
        return config
