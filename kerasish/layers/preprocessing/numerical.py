"""Numbers made fit for a model: scaled by mean and variance, or put into bins. Both learn from data with ``adapt``."""

import math

import numpy as np

from kerasish import config, ops
from kerasish.backend.autodiff.dtypes import is_float
from kerasish.backend.autodiff.op import as_tensor
from kerasish.backend.autodiff.tensor import is_tensor
from kerasish.layers.layer import Layer
from kerasish.layers.preprocessing.encoding import check_output_mode, encode


# ---- mean and variance
class Normalization(Layer):
    """``(inputs - mean) / sqrt(variance)``, or with ``invert`` back again (``keras.layers.Normalization``).

    Each position along ``axis`` (one or several; None: all together) has its own mean and variance. They are given, or learned
    by ``adapt(data)`` from an array or from batches. The axes' sizes must be known.

    >>> layer = Normalization()
    >>> layer.adapt(np.array([[1.0], [3.0]], "float32"))
    >>> layer(ops.array([[3.0], [5.0]])).tolist()
    [[1.0], [3.0]]
    """

    supports_masking = True

    def __init__(self, axis=-1, mean=None, variance=None, invert=False, **kwargs):
        super().__init__(**kwargs)
        self.axis = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        self.invert = invert
        self.input_mean, self.input_variance = mean, variance
        if (mean is None) != (variance is None):
            raise ValueError(f"Of given values both `mean` and `variance` must be set, got {mean} and {variance}")
        if np.shape(mean) != np.shape(variance):
            raise ValueError(f"`mean` and `variance` must have the same shape, got {np.shape(mean)} and {np.shape(variance)}")
        if len(np.shape(mean)) > len(self.axis):
            raise ValueError(f"`mean` of shape {np.shape(mean)} has more dimensions than the {len(self.axis)} of axis {self.axis}")

    def build(self, input_shape):
        ndim = len(input_shape)
        if any(not -ndim <= axis < ndim for axis in self.axis):
            raise ValueError(f"All `axis` values must be in the range that ndim={ndim} allows, got {self.axis}")
        self._keep = tuple(sorted(axis % ndim for axis in self.axis))
        for axis in self._keep:
            if input_shape[axis] is None:
                raise ValueError(
                    f"All `axis` values to be kept need a known size: axis {axis} of inputs of shape {tuple(input_shape)} has "
                    f"none (axis={self.axis})"
                )
        self._reduce = tuple(axis for axis in range(ndim) if axis not in self._keep)
        self._broadcast_shape = tuple(n if axis in self._keep else 1 for axis, n in enumerate(input_shape))
        if self.input_mean is None:
            shape = tuple(input_shape[axis] for axis in self._keep)
            self.adapt_mean = self.add_weight(shape, "zeros", trainable=False, name="mean")
            self.adapt_variance = self.add_weight(shape, "ones", trainable=False, name="variance")
            self.count = self.add_weight((), "zeros", dtype="int", trainable=False, name="count")  # older files have it

    mean = property(lambda self: self._statistic("mean"), doc="The mean in the inputs' rank, None before the layer is built.")
    variance = property(lambda self: self._statistic("variance"), doc="The variance in the inputs' rank.")

    def _statistic(self, name):
        if not self.built:
            return None
        given = getattr(self, f"input_{name}")
        if given is None:
            return ops.cast(ops.reshape(getattr(self, f"adapt_{name}"), self._broadcast_shape), self.compute_dtype)
        given = as_tensor(given)
        shape = [1] * len(self._broadcast_shape)
        for axis, n in zip(reversed(self._keep), reversed(given.shape), strict=False):
            shape[axis] = n
        return ops.cast(ops.broadcast_to(ops.reshape(given, shape), self._broadcast_shape), self.compute_dtype)

    def call(self, inputs):
        inputs = ops.cast(inputs, self.compute_dtype)
        scale = ops.maximum(ops.sqrt(self._statistic("variance")), config.epsilon())
        mean = self._statistic("mean")
        return mean + inputs * scale if self.invert else (inputs - mean) / scale

    def adapt(self, data):
        """Learn mean and variance from an array, a ``PyDataset`` or anything else that gives batches, ``(x, y)`` or x alone."""
        if self.input_mean is not None:
            raise ValueError(f"Layer '{self.name}' was given `mean` and `variance`: it has nothing to adapt.")
        mean = variance = 0.0
        count = 0
        for batch in _batches(data):
            self._check_batch(batch.shape)
            new = batch if is_float(batch.dtype) else ops.cast(batch, config.floatx())
            n = math.prod(batch.shape[axis] for axis in self._reduce)
            if not n:
                continue
            count += n
            share = n / count
            new_mean, new_variance = ops.mean(new, axis=self._reduce), ops.var(new, axis=self._reduce)
            total_mean = mean * (1 - share) + new_mean * share
            variance = (variance + ops.square(mean - total_mean)) * (1 - share)
            variance = variance + (new_variance + ops.square(new_mean - total_mean)) * share
            mean = total_mean
        if not count:
            raise ValueError("adapt() was given an empty iterable: one batch at least is needed.")
        self.adapt_mean.assign(mean)
        self.adapt_variance.assign(variance)

    def _check_batch(self, shape):
        if not self.built:
            self.build(tuple(shape))
        elif len(shape) != len(self._broadcast_shape) or any(shape[axis] != self._broadcast_shape[axis] for axis in self._keep):
            raise ValueError(
                f"adapt() got data of an incompatible shape, {tuple(shape)}: the layer was built with "
                f"{self.get_build_config()['input_shape']}"
            )

    def finalize_state(self):
        """Nothing to do: mean and variance are read where they are used. There because Keras has it."""

    def get_config(self):
        given = {"mean": np.array(self.input_mean).tolist(), "variance": np.array(self.input_variance).tolist()}
        return {**super().get_config(), "axis": self.axis, "invert": self.invert, **given}


def _batches(data):
    """Tensors of an array (one batch), or of what gives batches."""
    if isinstance(data, np.ndarray) or is_tensor(data):
        yield as_tensor(data)
        return
    if not hasattr(data, "__iter__"):
        raise TypeError(f"Unsupported data type: {type(data)}. `adapt` takes arrays, tensors, `PyDataset`s and iterables of batches.")
    for batch in data:
        batch = batch[0] if isinstance(batch, tuple) else batch
        if getattr(batch, "shape", None) is None:
            raise TypeError(f"adapt() takes batches that are arrays or tensors, got a {type(batch).__name__}.")
        yield as_tensor(batch)


# ---- bins
class Discretization(Layer):
    """The number of the bin that each input falls in: ``i`` with ``bin_boundaries[i-1] <= x < bin_boundaries[i]``
    (``keras.layers.Discretization``).

    With ``num_bins`` the boundaries are learned by ``adapt(data)``: quantiles of the data, to within ``epsilon``.
    ``output_mode``: "int", "one_hot" (for each input), "multi_hot" or "count" (for each row).

    >>> Discretization(bin_boundaries=[0.0, 1.0])(ops.array([-1.0, 0.5, 1.0])).tolist()
    [0, 1, 2]
    """

    def __init__(self, bin_boundaries=None, num_bins=None, epsilon=0.01, output_mode="int", sparse=False, dtype=None, name=None):
        super().__init__(name=name, dtype=dtype)
        self.num_bins, self.epsilon, self.output_mode, self.sparse = num_bins, epsilon, output_mode, sparse
        self.bin_boundaries = bin_boundaries
        check_output_mode(self)
        if num_bins is not None and num_bins < 0:
            raise ValueError(f"`num_bins` cannot be negative, got {num_bins}")
        if (num_bins is None) == (bin_boundaries is None):
            raise ValueError(
                "You need to set either `num_bins` or `bin_boundaries`, and not both. "
                f"Received: `num_bins={num_bins}` and `bin_boundaries={bin_boundaries}`"
            )
        self.reset_state()

    input_dtype = property(lambda self: config.floatx())
    output_dtype = property(lambda self: "int32" if self.output_mode == "int" else self.compute_dtype)

    def call(self, inputs):
        if self.bin_boundaries is None:
            raise ValueError("You need to give it boundaries first: pass `bin_boundaries`, or call `adapt(dataset)`.")
        indices = ops.digitize(inputs, as_tensor(list(self.bin_boundaries), "float32"))
        return encode(indices, self.output_mode, len(self.bin_boundaries) + 1, self.output_dtype)

    def adapt(self, data, steps=None):
        """Learn the boundaries from an array or from batches (``steps``: only so many)."""
        if self.num_bins is None:
            raise ValueError("A Discretization with given `bin_boundaries` does not adapt: give it `num_bins` instead.")
        self.reset_state()
        for i, batch in enumerate([data] if isinstance(data, np.ndarray) or is_tensor(data) else data):
            if steps is not None and i >= steps:
                break
            self.update_state(batch)
        self.finalize_state()

    def update_state(self, data):
        """Take one batch into the summary of the data."""
        self.summary = _compressed(_merged(_summary(np.array(data).astype("float32"), self.epsilon), self.summary), self.epsilon)

    def finalize_state(self):
        """Make boundaries of the summary."""
        if self.num_bins is not None:
            self.bin_boundaries = _compressed(self.summary, 1.0 / self.num_bins)[0, :-1].tolist()

    def reset_state(self):
        """Forget the data that was seen."""
        if self.num_bins is not None:
            self.summary = np.zeros((2, 0), "float32")

    def load_own_variables(self, store):
        if len(store) == 1:  # files of Keras 2 keep the summary
            self.summary = store["0"]

    def get_config(self):
        names = ("bin_boundaries", "num_bins", "epsilon", "output_mode", "sparse", "name", "dtype")
        boundaries = None if self.bin_boundaries is None else np.asarray(self.bin_boundaries).tolist()
        return {**{name: getattr(self, name) for name in names}, "bin_boundaries": boundaries}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        learned = config.get("bin_boundaries")
        if learned is None or config.get("num_bins") is None:
            return cls(**config)
        layer = cls(**{**config, "bin_boundaries": None})
        layer.bin_boundaries = learned
        return layer


# A summary of numbers is two rows: values in order, and how many numbers each stands for.
def _summary(values, epsilon):
    """About ``1 / epsilon`` of the values, evenly spaced in their order; all of them if they are fewer."""
    values = np.sort(values.reshape(-1))
    step = max(values.size / (1.0 / epsilon), 1)
    kept = values[int(step - 1) :: int(step)]
    return np.stack([kept, np.full_like(kept, step)])


def _merged(first, second):
    both = np.concatenate([first, second], axis=1)
    return both[:, np.argsort(both[0])]


def _compressed(summary, epsilon):
    """The values at every ``epsilon`` of the whole count, between those that are there by straight lines."""
    values, counts = summary
    if values.size * epsilon < 1:
        return summary
    wanted = epsilon + np.arange(0.0, 1.0, epsilon)
    reached = counts.cumsum()
    shares = reached / reached[-1]
    new_values, new_reached = np.interp(wanted, shares, values), np.interp(wanted, shares, reached)
    return np.stack([new_values, np.diff(new_reached, prepend=0)]).astype("float32")
