"""How weights start (``keras.initializers``): objects that are called with a shape and a dtype.

A layer's field ``kernel_initializer: Initializer = "glorot_uniform"`` takes a name, a config, a class, an object, a callable
``(shape, dtype=None)`` or the values themselves.
"""

import math
import typing

from kerasish import ops
from kerasish.backend import random
from kerasish.backend.autodiff.dtypes import keep, standardize_dtype
from kerasish.backend.autodiff.op import as_tensor, op
from kerasish.backend.autodiff.shapes import same
from kerasish.backend.autodiff.tensor import standardize_shape
from kerasish.families import deserialize_in, register_names, resolve
from kerasish.saveable import Saveable, converters, deserialize_keras_object, serialize_keras_object

_MODULE = "keras.initializers"


class Initializer(Saveable):
    """Base of initializers (``keras.Initializer``). Subclasses define ``__call__(self, shape, dtype=None)``.

    Constructor arguments are annotated fields, or an ``__init__`` and a ``get_config`` as in Keras.

    >>> class Twos(Initializer):
    ...     def __call__(self, shape, dtype=None):
    ...         return ops.full(shape, 2, dtype)
    >>> Twos()((3,)).tolist()
    [2.0, 2.0, 2.0]
    """

    keras_module = _MODULE

    def __call__(self, shape, dtype=None):
        raise NotImplementedError("Initializer subclasses must implement the `__call__()` method.")

    def clone(self):
        """A new initializer of the same config: one without a seed draws a seed of its own."""
        return self.from_config(self.get_config())


# annotation of a field that may be an object which files hold as a config: an array, a SeedGenerator
Loadable = typing.Annotated[typing.Any, "loadable"]
converters[Loadable] = (lambda value: deserialize_keras_object(value) if isinstance(value, dict) else value), None


# ---- given values
class Zeros(Initializer):
    """All zeros (``keras.initializers.Zeros``).

    >>> Zeros()((2,)).tolist()
    [0.0, 0.0]
    """

    def __call__(self, shape, dtype=None):
        return ops.zeros(shape, standardize_dtype(dtype))


class Ones(Initializer):
    """All ones (``keras.initializers.Ones``).

    >>> Ones()((2,), "int32").tolist()
    [1, 1]
    """

    def __call__(self, shape, dtype=None):
        return ops.ones(shape, standardize_dtype(dtype))


class Constant(Initializer):
    """A number, or an array that broadcasts to the shape (``keras.initializers.Constant``).

    >>> Constant([1.0, 2.0])((2, 2)).tolist()
    [[1.0, 2.0], [1.0, 2.0]]
    """

    value: Loadable = 0.0

    def __call__(self, shape, dtype=None):
        dtype = standardize_dtype(dtype)
        return as_tensor(self.value, dtype) * ops.ones(shape, dtype)


class Identity(Initializer):
    """A matrix with ``gain`` on its diagonal, also where it is not square (``keras.initializers.Identity``).

    Raises ValueError for a shape of another rank than 2.

    >>> Identity(2.0)((2, 2)).tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """

    gain: float = 1.0

    def __call__(self, shape, dtype=None):
        if len(shape) != 2:
            raise ValueError(f"Identity makes 2D matrices, not shape={shape}.")
        return self.gain * ops.eye(*shape, dtype=standardize_dtype(dtype))

    def get_config(self):
        # Keras writes no gain and so forgets it; it does read one, and the default config stays Keras's
        return {} if self.gain == 1 else super().get_config()


# windows as sums of cosines: F. J. Harris 1978; A. H. Nuttall 1981
_COSINES = {
    "boxcar": (1.0,),
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.5, 0.08),
    "nuttall": (0.3635819, 0.4891775, 0.1365995, 0.0106411),
    "blackmanharris": (0.35875, 0.48829, 0.14128, 0.01168),
}


def _window(name, length, periodic):
    """The window of that name as a list of floats."""
    if name not in _COSINES:
        try:
            from scipy.signal import get_window
        except ImportError:
            raise ImportError(f"The window {name!r} needs scipy: pip install scipy. Without it: {sorted(_COSINES)}") from None
        return get_window(name, length, periodic).tolist()
    if length == 1:
        return [1.0]
    step = 2 * math.pi / (length if periodic else length - 1)
    return [sum((-1) ** k * a * math.cos(k * step * i) for k, a in enumerate(_COSINES[name])) for i in range(length)]


class STFT(Initializer):
    """Kernel of a 1D convolution that computes a short-time Fourier transform (``keras.initializers.STFT``).

    Shape: (frame length, 1, half of the FFT's length + 1). ``side``: "real" or "imag". ``window``: a name, an array or None.
    ``scaling``: "density", "spectrum" or None. ``periodic``: a window that can be repeated, rather than a symmetric one.

    >>> STFT("real", window=None)((2, 1, 2)).tolist()
    [[[1.0, 1.0]], [[1.0, -1.0]]]
    """

    side: str = "real"
    window: Loadable = "hann"
    scaling: str = "density"
    periodic: bool = False

    def check(self):
        if self.side not in ("real", "imag"):
            raise ValueError(f"side should be 'real' or 'imag', not {self.side}")
        if self.scaling not in (None, "density", "spectrum"):
            raise ValueError(f"Scaling is invalid: `None`, 'density' and 'spectrum' are known, got {self.scaling}")
        if isinstance(self.window, str):
            _window(self.window, 1, self.periodic)

    def __call__(self, shape, dtype=None):
        dtype = standardize_dtype(dtype)
        frame_length, _, bins = shape
        time = ops.reshape(ops.arange(frame_length, dtype=dtype), (frame_length, 1, 1))
        frequency = ops.reshape(ops.arange(bins, dtype=dtype), (1, 1, bins)) / (2 * (bins - 1))
        angle = -2.0 * math.pi * time * frequency
        kernel = ops.cos(angle) if self.side == "real" else ops.sin(angle)
        if self.window is None:
            return kernel
        window = _window(self.window, frame_length, self.periodic) if isinstance(self.window, str) else self.window
        window = as_tensor(window, dtype)
        if window.shape != (frame_length,):
            raise ValueError(f"The shape of `window` must be ({frame_length},). Received: window shape={window.shape}")
        scale = 1.0
        if self.scaling == "density":
            scale = ops.sqrt(ops.sum(ops.square(window)))
        elif self.scaling == "spectrum":
            scale = ops.sum(ops.abs(window))
        return kernel * ops.reshape(window, (frame_length, 1, 1)) / scale


# ---- random values
class RandomInitializer(Initializer):
    """Base of random initializers: what ``seed`` means.

    An integer gives the same values at every call; so does None, which takes a seed from Python's ``random`` once. A
    SeedGenerator gives other values at every call.
    """

    def check(self):
        self._init_seed = self.seed
        if self.seed is None:
            self.seed = random.make_default_seed()
        elif not isinstance(self.seed, (int, random.SeedGenerator)):
            raise ValueError(f"`seed` argument should be an integer or a `SeedGenerator`, got {self.seed}")

    def get_config(self):
        return {**super().get_config(), "seed": serialize_keras_object(self._init_seed)}


class RandomNormal(RandomInitializer):
    """Normal values (``keras.initializers.RandomNormal``).

    >>> RandomNormal(stddev=1.0, seed=1)((2, 3)).shape
    (2, 3)
    """

    mean: float = 0.0
    stddev: float = 0.05
    seed: Loadable = None

    def __call__(self, shape, dtype=None):
        return random.normal(shape, self.mean, self.stddev, dtype, self.seed)


class TruncatedNormal(RandomInitializer):
    """Normal values no further than two ``stddev`` from the mean (``keras.initializers.TruncatedNormal``).

    >>> TruncatedNormal(seed=1)((2, 3)).shape
    (2, 3)
    """

    mean: float = 0.0
    stddev: float = 0.05
    seed: Loadable = None

    def __call__(self, shape, dtype=None):
        return random.truncated_normal(shape, self.mean, self.stddev, dtype, self.seed)


class RandomUniform(RandomInitializer):
    """Values in ``[minval, maxval)``, each as likely (``keras.initializers.RandomUniform``).

    >>> RandomUniform(0.0, 1.0, seed=1)((2, 3)).shape
    (2, 3)
    """

    minval: float = -0.05
    maxval: float = 0.05
    seed: Loadable = None

    def __call__(self, shape, dtype=None):
        return random.uniform(shape, self.minval, self.maxval, dtype, self.seed)


_DEVIATION_WITHIN_TWO_SIGMA = 0.87962566103423978  # standard deviation of the standard normal distribution cut off at -2 and 2


class VarianceScaling(RandomInitializer):
    """Values of variance ``scale / n`` for n inputs, outputs or their mean (``keras.initializers.VarianceScaling``).

    ``mode``: "fan_in", "fan_out" or "fan_avg". ``distribution``: "truncated_normal", "untruncated_normal" or "uniform".
    ``input_axes`` and ``output_axes`` say what counts as n where the shape alone doesn't tell. Raises ValueError for others.

    >>> VarianceScaling(2.0, "fan_out", "uniform", seed=1)((3, 4)).shape
    (3, 4)
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"
    seed: Loadable = None
    input_axes: object = None
    output_axes: object = None

    def check(self):
        super().check()
        if self.scale <= 0:
            raise ValueError(f"Argument `scale` must be positive float. Received: scale={self.scale}")
        modes, distributions = ("fan_in", "fan_out", "fan_avg"), ("uniform", "truncated_normal", "untruncated_normal")
        if self.mode not in modes:
            raise ValueError(f"Invalid `mode` argument: {self.mode}. Please use one of {modes}")
        self.distribution = self.distribution.lower()
        if self.distribution == "normal":
            self.distribution = "truncated_normal"
        if self.distribution not in distributions:
            raise ValueError(f"Invalid `distribution` argument: {self.distribution}. Please use one of {distributions}")

    def __call__(self, shape, dtype=None):
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        stddev = math.sqrt(self.scale / max(1.0, fan))
        if self.distribution == "uniform":
            limit = math.sqrt(3) * stddev
            return random.uniform(shape, -limit, limit, dtype, self.seed)
        if self.distribution == "untruncated_normal":
            return random.normal(shape, 0.0, stddev, dtype, self.seed)
        return random.truncated_normal(shape, 0.0, stddev / _DEVIATION_WITHIN_TWO_SIGMA, dtype, self.seed)


def compute_fans(shape, input_axes=None, output_axes=None):
    """How many inputs feed a unit, and how many units an input feeds; kernels of convolutions are (*window, inputs, units).

    >>> compute_fans((3, 3, 8, 16))
    (72, 144)
    """
    shape = tuple(shape)
    if input_axes is not None and output_axes is not None:
        return math.prod(shape[axis] for axis in input_axes), math.prod(shape[axis] for axis in output_axes)
    if len(shape) < 2:
        return (math.prod(shape),) * 2
    *window, inputs, units = shape
    return math.prod(window) * inputs, math.prod(window) * units


class _Rule(VarianceScaling):
    """A VarianceScaling whose name says scale, mode and distribution."""

    rule: typing.ClassVar[tuple] = ()

    def __init__(self, seed=None, input_axes=None, output_axes=None):
        super().__init__(*self.rule, seed, input_axes, output_axes)

    def get_config(self):
        config = super().get_config()
        return {name: config[name] for name in ("seed", "input_axes", "output_axes")}


class GlorotUniform(_Rule):
    """Uniform, of variance 2 / (fan_in + fan_out) (``keras.initializers.GlorotUniform``; X. Glorot and Y. Bengio 2010).

    >>> bool(abs(GlorotUniform(seed=1)((2, 4)).numpy()).max() < 1.0)
    True
    """

    rule = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Rule):
    """Truncated normal, of variance 2 / (fan_in + fan_out) (``keras.initializers.GlorotNormal``; Glorot and Bengio 2010).

    >>> GlorotNormal(seed=1)((2, 4)).shape
    (2, 4)
    """

    rule = (1.0, "fan_avg", "truncated_normal")


class LecunUniform(_Rule):
    """Uniform, of variance 1 / fan_in (``keras.initializers.LecunUniform``; G. Klambauer et al. 2017).

    >>> LecunUniform(seed=1)((2, 4)).shape
    (2, 4)
    """

    rule = (1.0, "fan_in", "uniform")


class LecunNormal(_Rule):
    """Truncated normal, of variance 1 / fan_in (``keras.initializers.LecunNormal``; G. Klambauer et al. 2017).

    >>> LecunNormal(seed=1)((2, 4)).shape
    (2, 4)
    """

    rule = (1.0, "fan_in", "truncated_normal")


class HeUniform(_Rule):
    """Uniform, of variance 2 / fan_in (``keras.initializers.HeUniform``; K. He et al. 2015).

    >>> HeUniform(seed=1)((2, 4)).shape
    (2, 4)
    """

    rule = (2.0, "fan_in", "uniform")


class HeNormal(_Rule):
    """Truncated normal, of variance 2 / fan_in (``keras.initializers.HeNormal``; K. He et al. 2015).

    >>> HeNormal(seed=1)((2, 4)).shape
    (2, 4)
    """

    rule = (2.0, "fan_in", "truncated_normal")


@op(same, [None], keep, module="ops.linalg")
def _orthonormal(xp, x):
    """Orthonormal columns from a tall matrix, all orthogonal matrices equally likely (F. Mezzadri 2007)."""
    q, r = xp.linalg.qr(x)
    return q * xp.sign(xp.diagonal(r))


class Orthogonal(RandomInitializer):
    """A matrix with orthonormal rows or columns, whichever are fewer, times ``gain`` (``keras.initializers.Orthogonal``).

    More axes than two: the last one against all others (A. Saxe et al. 2014). Raises ValueError for a shape of rank below 2.

    >>> q = Orthogonal(seed=1)((2, 3)).numpy()
    >>> (abs(q @ q.T - [[1.0, 0.0], [0.0, 1.0]]) < 1e-6).all()
    np.True_
    """

    gain: float = 1.0
    seed: Loadable = None

    def __call__(self, shape, dtype=None):
        if len(shape) < 2:
            raise ValueError(f"An orthogonal initializer's shape must be at least two-dimensional, got {shape}.")
        dtype = standardize_dtype(dtype)
        rows, columns = math.prod(shape[:-1]), shape[-1]
        wide = "float64" if dtype == "float64" else "float32"  # no factorization in half precision
        normal = random.normal((max(rows, columns), min(rows, columns)), dtype=wide, seed=self.seed)
        q = _orthonormal(normal)
        if rows < columns:
            q = ops.transpose(q)
        return ops.cast(self.gain * ops.reshape(q, shape), dtype)


# ---- by name
IdentityInitializer, OrthogonalInitializer, STFTInitializer = Identity, Orthogonal, STFT
constant, zeros, ones, identity, orthogonal, stft = Constant, Zeros, Ones, Identity, Orthogonal, STFT
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal
variance_scaling, glorot_normal, glorot_uniform = VarianceScaling, GlorotNormal, GlorotUniform
he_normal, he_uniform, lecun_normal, lecun_uniform = HeNormal, HeUniform, LecunNormal, LecunUniform
_OTHER_NAMES = {"normal": RandomNormal, "uniform": RandomUniform, "one": Ones, "zero": Zeros, "initializer": Initializer}
register_names(_MODULE, {**globals(), **_OTHER_NAMES})


def serialize(initializer):
    """The config of an initializer (``keras.initializers.serialize``).

    >>> serialize(Zeros())["class_name"]
    'Zeros'
    """
    return serialize_keras_object(initializer)


def deserialize(config, custom_objects=None):
    """The initializer of a config (``keras.initializers.deserialize``).

    >>> deserialize({"class_name": "Constant", "config": {"value": 3.0}}).value
    3.0
    """
    return deserialize_in(_MODULE, config, custom_objects)


def get(identifier):
    """The initializer that a name, config, class, callable or array of values means (``keras.initializers.get``).

    >>> get("he_normal").get_config()["seed"] is None
    True
    """
    if hasattr(identifier, "__array__"):
        return _given(identifier)
    return resolve(_MODULE, "initializer", identifier)


def _given(values):
    def initialize(shape, dtype=None):
        if standardize_shape(shape) != values.shape:
            raise ValueError(f"Expected `shape` to be {values.shape}, that of the initializer's array, got {shape}")
        return as_tensor(values, standardize_dtype(dtype))

    return initialize


converters[Initializer] = get, serialize

__all__ = [
    "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "IdentityInitializer", "Initializer",
    "LecunNormal", "LecunUniform", "Ones", "Orthogonal", "OrthogonalInitializer", "RandomNormal", "RandomUniform", "STFT",
    "STFTInitializer", "TruncatedNormal", "VarianceScaling", "Zeros", "constant", "deserialize", "get", "glorot_normal",
    "glorot_uniform", "he_normal", "he_uniform", "identity", "lecun_normal", "lecun_uniform", "ones", "orthogonal",
    "random_normal", "random_uniform", "serialize", "stft", "truncated_normal", "variance_scaling", "zeros",
]  # fmt: skip
