"""Normalization layers: over the batch, over features, over groups, by length, and of a layer's weights."""

import warnings

from kerasish import config, ops
from kerasish.backend.autodiff.dtypes import result_type
from kerasish.constraints import Constraint
from kerasish.initializers import Initializer, TruncatedNormal
from kerasish.layers.core import Wrapper
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.layer import Layer
from kerasish.regularizers import Regularizer


def _axes(axis, ndim):
    """Axes of a tensor of that rank as a list of numbers from 0."""
    axes = [axis] if isinstance(axis, int) else list(axis)
    wrong = [a for a in axes if not -ndim <= a < ndim]
    if wrong:
        raise ValueError(f"axis={axis} is out of range for an input of rank {ndim}.")
    return [a % ndim for a in axes]


def _sorted_axes(axis, shape):
    """Axes as the sorted list that configs hold, and their sizes."""
    _axes(axis, len(shape))
    axes = [axis] if isinstance(axis, int) else sorted(axis)
    return axes, _sizes(axes, shape)


def _sizes(axes, shape):
    sizes = [shape[a] for a in axes]
    if None in sizes:
        raise ValueError(f"The sizes of the input's axes {axes} must be known. Received an input of shape {tuple(shape)}.")
    return sizes


class _ScaleAndShift(Layer):
    """Base of normalizations that learn a factor ``gamma`` and an offset ``beta``, kept at full precision for the statistics' sake."""

    supports_masking = True

    def _make_gamma_and_beta(self, shape):
        self.gamma = self._weight("gamma", shape) if self.scale else None
        self.beta = self._weight("beta", shape) if self.center else None

    def _weight(self, name, shape):
        return self.add_weight(
            shape, getattr(self, f"{name}_initializer"), regularizer=getattr(self, f"{name}_regularizer"),
            constraint=getattr(self, f"{name}_constraint"), autocast=False, name=name,
        )  # fmt: skip


def _check_clipping(rmin=None, rmax=None, dmax=None, **unknown):
    if unknown:
        raise ValueError(f"Received invalid keys for `renorm_clipping` argument: {list(unknown)}. Expected some of rmin, rmax, dmax.")
    if rmin is not None and rmax is not None and rmax < rmin:
        raise ValueError(f"`renorm_clipping`: rmax must not be less than rmin. Received: rmax={rmax}, rmin={rmin}.")
    if dmax is not None and dmax < 0:
        raise ValueError(f"`renorm_clipping`: dmax must not be negative. Received: dmax={dmax}.")


class BatchNormalization(_ScaleAndShift):
    """Mean 0 and variance 1 of each feature over the batch; moving averages of both serve at inference (S. Ioffe, C. Szegedy 2015).

    Any shape, features along ``axis``. ``renorm`` corrects the batch's statistics towards the moving ones (S. Ioffe 2017).
    ``synchronized`` needs several devices (``keras.layers.BatchNormalization``).

    >>> BatchNormalization()(ops.array([[1.0], [3.0]]), training=True).numpy().round(2).tolist()
    [[-1.0], [1.0]]
    """

    axis: int = -1
    momentum: float = 0.99
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: Initializer = "zeros"
    gamma_initializer: Initializer = "ones"
    moving_mean_initializer: Initializer = "zeros"
    moving_variance_initializer: Initializer = "ones"
    beta_regularizer: Regularizer = None
    gamma_regularizer: Regularizer = None
    beta_constraint: Constraint = None
    gamma_constraint: Constraint = None
    renorm: bool = False
    renorm_clipping: dict = None
    renorm_momentum: float = 0.99
    synchronized: bool = False

    def check(self):
        super().check()
        self.axis, self.momentum, self.epsilon = int(self.axis), float(self.momentum), float(self.epsilon)
        if self.synchronized:
            raise ValueError("BatchNormalization: `synchronized=True` needs training on several devices, which is not supported.")
        if self.renorm:
            self.renorm_clipping = self.renorm_clipping or {}
            _check_clipping(**self.renorm_clipping)

    def build(self, input_shape):
        (axis,) = _axes(self.axis, len(input_shape))
        (size,) = _sizes([axis], input_shape)
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: size})
        self._reduced = [a for a in range(len(input_shape)) if a != axis]
        self._make_gamma_and_beta((size,))
        statistics = [("moving_mean", self.moving_mean_initializer), ("moving_variance", self.moving_variance_initializer)]
        if self.renorm:
            statistics += [
                ("moving_stddev", self._initial_deviation),
                ("renorm_mean", self.moving_mean_initializer),
                ("renorm_stddev", self._initial_deviation),
            ]
        for name, initializer in statistics:
            setattr(self, name, self.add_weight((size,), initializer, trainable=False, autocast=False, name=name))

    def _initial_deviation(self, shape, dtype=None):
        return ops.sqrt(self.moving_variance_initializer(shape, dtype=dtype))

    def call(self, inputs, training=None, mask=None):
        if mask is not None and len(mask.shape) != len(inputs.shape) - 1:
            raise ValueError(f"A mask has one dimension less than the inputs, got shapes {mask.shape} and {inputs.shape}")
        dtype = result_type(inputs.dtype, "float32")  # half precision overflows in a variance
        x = ops.cast(inputs, dtype)
        gamma = None if self.gamma is None else ops.cast(self.gamma, dtype)
        beta = None if self.beta is None else ops.cast(self.beta, dtype)
        mean, variance = ops.cast(self.moving_mean, dtype), ops.cast(self.moving_variance, dtype)
        if training and self.trainable:
            mean, variance = self._moments(x, mask)
            self._move("moving_mean", mean, self.momentum)
            if self.renorm:
                gamma, beta = self._renormalize(mean, variance, gamma, beta)
            else:
                self._move("moving_variance", variance, self.momentum)
        y = ops.batch_normalization(x, mean, variance, self.axis, offset=beta, scale=gamma, epsilon=self.epsilon)
        return ops.cast(y, self.compute_dtype)

    def _moments(self, x, mask):
        if mask is None:
            return ops.moments(x, axes=self._reduced)
        keep = ops.broadcast_to(ops.expand_dims(ops.cast(mask, "bool"), -1), ops.shape(x))
        total = ops.sum(ops.cast(keep, x.dtype), self._reduced, keepdims=True) + config.epsilon()
        mean = ops.sum(ops.where(keep, x, 0.0), self._reduced, keepdims=True) / total
        variance = ops.sum(ops.square(ops.where(keep, x - mean, 0.0)), self._reduced, keepdims=True) / total
        return ops.squeeze(mean, self._reduced), ops.squeeze(variance, self._reduced)

    def _move(self, name, value, momentum):
        moving = getattr(self, name)
        moving.assign(ops.cast(moving, value.dtype) * momentum + ops.stop_gradient(value) * (1.0 - momentum))

    def _renormalize(self, mean, variance, gamma, beta):
        """Factors that make the batch's statistics give what the moving ones would, clipped, as constants."""
        deviation = ops.sqrt(variance + self.epsilon)
        moving_mean = ops.cast(self.renorm_mean, mean.dtype)
        moving_deviation = ops.maximum(ops.cast(self.renorm_stddev, mean.dtype), self.epsilon**0.5)
        r = ops.stop_gradient(deviation / moving_deviation)
        d = ops.stop_gradient((mean - moving_mean) / moving_deviation)
        rmin, rmax, dmax = map(self.renorm_clipping.get, ("rmin", "rmax", "dmax"))
        r = r if rmin is None else ops.maximum(r, rmin)
        r = r if rmax is None else ops.minimum(r, rmax)
        d = d if dmax is None else ops.clip(d, -dmax, dmax)
        self._move("renorm_mean", mean, self.renorm_momentum)
        self._move("renorm_stddev", deviation, self.renorm_momentum)
        self._move("moving_stddev", deviation, self.momentum)
        self.moving_variance.assign(ops.relu(ops.square(self.moving_stddev.value) - self.epsilon))
        scale = r if gamma is None else r * gamma
        offset = d if gamma is None else d * gamma
        return scale, offset if beta is None else offset + beta


class LayerNormalization(_ScaleAndShift):
    """Mean 0 and variance 1 over ``axis`` of each example (J. L. Ba, J. R. Kiros, G. E. Hinton 2016; ``keras.layers``).

    ``rms_scaling=True`` (deprecated) only divides by the standard deviation, and has no offset.

    >>> LayerNormalization()(ops.array([[1.0, 3.0]])).numpy().round(2).tolist()
    [[-1.0, 1.0]]
    """

    axis: int = -1
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: Initializer = "zeros"
    gamma_initializer: Initializer = "ones"
    beta_regularizer: Regularizer = None
    gamma_regularizer: Regularizer = None
    beta_constraint: Constraint = None
    gamma_constraint: Constraint = None

    def _init_base(self, rms_scaling=False, **kwargs):
        super()._init_base(**kwargs)
        self.rms_scaling = rms_scaling
        self.autocast = False
        if rms_scaling:
            warnings.warn(
                "You passed `rms_scaling=True`, which is deprecated: it divides by the standard deviation, not the root mean square. Use "
                "`keras.layers.RMSNormalization`.",
                stacklevel=4,
            )

    def check(self):
        super().check()
        if not isinstance(self.axis, (int, list, tuple)):
            raise TypeError(f"Expected an int or a list/tuple of ints for the argument 'axis', got {self.axis}")

    def get_config(self):
        return {**super().get_config(), "rms_scaling": self.rms_scaling}

    def build(self, input_shape):
        self.axis, shape = _sorted_axes(self.axis, input_shape)
        if self.rms_scaling:
            self.gamma, self.beta = self._weight("gamma", shape), None
        else:
            self._make_gamma_and_beta(shape)

    def call(self, inputs):
        y = ops.layer_normalization(inputs, self.gamma, self.beta, self.axis, self.epsilon, rms_scaling=self.rms_scaling)
        return ops.cast(y, self.compute_dtype)


class GroupNormalization(_ScaleAndShift):
    """Mean 0 and variance 1 over each of ``groups`` groups of channels of each example; -1: one channel a group (Y. Wu, K. He 2018).

    >>> GroupNormalization(groups=2)(ops.ones((2, 5, 4))).shape
    (2, 5, 4)
    """

    groups: int = 32
    axis: int = -1
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: Initializer = "zeros"
    gamma_initializer: Initializer = "ones"
    beta_regularizer: Regularizer = None
    gamma_regularizer: Regularizer = None
    beta_constraint: Constraint = None
    gamma_constraint: Constraint = None

    def check(self):
        super().check()
        if type(self.groups) is not int or not (self.groups > 0 or self.groups == -1):
            raise ValueError(f"Invalid value for argument `groups`: expected an integer > 0, or -1. Received: groups={self.groups!r}")
        self.autocast = False

    def build(self, input_shape):
        (size,) = _sizes(_axes(self.axis, len(input_shape)), input_shape)
        if self.groups == -1:
            self.groups = size
        if self.groups > size:
            raise ValueError(f"Number of groups is {self.groups}: it cannot be more than the number of channels, {size}.")
        if size % self.groups:
            raise ValueError(f"Number of groups ({self.groups}) must divide the number of channels ({size}), or be -1.")
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: size})
        self._make_gamma_and_beta((size,))

    def call(self, inputs):
        dtype = result_type(inputs.dtype, "float32")
        x = ops.cast(inputs, dtype)
        (axis,) = _axes(self.axis, x.ndim)
        shape = list(ops.shape(x))
        grouped = [*shape[:axis], self.groups, shape[axis] // self.groups, *shape[axis + 1 :]]
        x = ops.reshape(x, grouped)
        mean, variance = ops.moments(x, axes=[a for a in range(1, x.ndim) if a != axis], keepdims=True)
        x = (x - mean) * ops.rsqrt(variance + self.epsilon)
        x = ops.reshape(x, shape)
        features = [1] * x.ndim
        features[axis] = shape[axis]
        for variable, apply in ((self.gamma, ops.multiply), (self.beta, ops.add)):
            if variable is not None:
                x = apply(x, ops.reshape(ops.cast(variable, dtype), features))
        return ops.cast(x, self.compute_dtype)


class RMSNormalization(Layer):
    """Root mean square 1 over ``axis``, times a learned scale (B. Zhang, R. Sennrich 2019; ``keras.layers.RMSNormalization``).

    >>> RMSNormalization()(ops.array([[5.0, -5.0]])).numpy().round(3).tolist()
    [[1.0, -1.0]]
    """

    axis: int = -1
    epsilon: float = 1e-6

    def build(self, input_shape):
        self.axis, shape = _sorted_axes(self.axis, input_shape)
        self.scale = self.add_weight(shape, "ones", name="scale")

    def call(self, x):
        return ops.rms_normalization(x, scale=self.scale, axis=self.axis, epsilon=self.epsilon)


class UnitNormalization(Layer):
    """Length 1 along ``axis`` (``keras.layers.UnitNormalization``).

    >>> UnitNormalization()(ops.array([[0.0, 4.0]])).tolist()
    [[0.0, 1.0]]
    """

    supports_masking = True
    built = True
    axis: int = -1

    def check(self):
        super().check()
        if isinstance(self.axis, tuple):
            self.axis = list(self.axis)
        if not isinstance(self.axis, (int, list)):
            raise TypeError(f"Invalid value for `axis` argument: expected an int or a list/tuple of ints. Got {self.axis}")

    def call(self, inputs):
        return ops.normalize(inputs, axis=self.axis, order=2, epsilon=1e-12)


class SpectralNormalization(Wrapper):
    """A layer whose kernel is divided by its largest singular value, estimated by power iteration while training (T. Miyato 2018).

    >>> from kerasish.layers import Dense
    >>> SpectralNormalization(Dense(3))(ops.ones((2, 4)), training=True).shape
    (2, 3)
    """

    def __init__(self, layer, power_iterations=1, **kwargs):
        super().__init__(layer, **kwargs)
        if power_iterations <= 0:
            raise ValueError(f"`power_iterations` should be greater than zero. Received: `power_iterations={power_iterations}`")
        self.power_iterations = power_iterations

    def get_config(self):
        return {**super().get_config(), "power_iterations": self.power_iterations}

    def build(self, input_shape):
        super().build(input_shape)
        self.input_spec = InputSpec(min_ndim=1, axes={-1: input_shape[-1]})
        kernel = getattr(self.layer, "kernel", None)
        if kernel is None:
            kernel = getattr(self.layer, "embeddings", None)
        if kernel is None:
            raise ValueError(f"{type(self.layer).__name__} object has no attribute 'kernel' nor 'embeddings'")
        self.kernel = kernel
        self.vector_u = self.add_weight((1, kernel.shape[-1]), TruncatedNormal(stddev=0.02), kernel.dtype, trainable=False, name="vector_u")

    def call(self, inputs, training=False):
        if training:
            kernel_is_zero = ops.all(ops.equal(self.kernel.value, 0))
            u, kernel = ops.cond(kernel_is_zero, lambda: (self.vector_u.value, self.kernel.value), self._normalized)
            self.vector_u.assign(u)
            self.kernel.assign(kernel)
        return ops.cast(self.layer(inputs), self.compute_dtype)

    def _normalized(self):
        weights = ops.reshape(self.kernel, (-1, self.kernel.shape[-1]))
        u = self.vector_u.value
        for _ in range(self.power_iterations):
            v = ops.normalize(ops.matmul(u, ops.transpose(weights)))
            u = ops.normalize(ops.matmul(v, weights))
        u, v = ops.stop_gradient(u), ops.stop_gradient(v)
        sigma = ops.matmul(ops.matmul(v, weights), ops.transpose(u))
        return u, ops.reshape(ops.divide(self.kernel, sigma), self.kernel.shape)
