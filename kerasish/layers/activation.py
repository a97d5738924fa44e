"""Activations as layers."""

from kerasish import activations, ops
from kerasish.activations import Activation as ActivationFunction
from kerasish.constraints import Constraint
from kerasish.initializers import Initializer
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.layer import Layer
from kerasish.regularizers import Regularizer


class Activation(Layer):
    """A function of each element, by name or as it is (``keras.layers.Activation``).

    >>> Activation("relu")(ops.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    supports_masking = True
    built = True
    activation: ActivationFunction

    def call(self, inputs):
        return self.activation(inputs)


class ReLU(Layer):
    """``max(x, 0)``, optionally with a slope below ``threshold`` and a cap (``keras.layers.ReLU``).

    >>> ReLU(max_value=1.0)(ops.array([-1.0, 0.5, 2.0])).tolist()
    [0.0, 0.5, 1.0]
    """

    supports_masking = True
    built = True
    max_value: float = None
    negative_slope: float = 0.0
    threshold: float = 0.0

    def check(self):
        super().check()
        for name in ("max_value", "negative_slope", "threshold"):
            value = getattr(self, name)
            if (value is None and name != "max_value") or (value is not None and value < 0.0):
                raise ValueError(f"{name} of a ReLU layer cannot be None or a negative value, got {value}")

    def call(self, inputs):
        return activations.relu(inputs, negative_slope=self.negative_slope, max_value=self.max_value, threshold=self.threshold)


class LeakyReLU(Layer):
    """``x`` above zero, ``negative_slope * x`` below (``keras.layers.LeakyReLU``).

    >>> LeakyReLU(0.5)(ops.array([-1.0, 2.0])).tolist()
    [-0.5, 2.0]
    """

    supports_masking = True
    built = True
    negative_slope: float = 0.3

    def _init_base(self, **kwargs):
        if "alpha" in kwargs:
            raise ValueError("LeakyReLU: the argument `alpha` is called `negative_slope` now.")
        super()._init_base(**kwargs)

    def check(self):
        super().check()
        if self.negative_slope is None or self.negative_slope < 0:
            raise ValueError(f"The negative_slope value of a Leaky ReLU layer cannot be None, nor below 0, got {self.negative_slope}")

    def call(self, inputs):
        return activations.leaky_relu(inputs, negative_slope=self.negative_slope)


class PReLU(Layer):
    """``x`` above zero, ``alpha * x`` below with ``alpha`` learnt for each feature (``keras.layers.PReLU``).

    ``shared_axes``: axes (from 1) along which one ``alpha`` serves all positions.

    >>> PReLU(alpha_initializer="ones")(ops.array([[-1.0, 2.0]])).tolist()
    [[-1.0, 2.0]]
    """

    supports_masking = True
    alpha_initializer: Initializer = "Zeros"
    alpha_regularizer: Regularizer = None
    alpha_constraint: Constraint = None
    shared_axes: list = None

    def check(self):
        super().check()
        if self.shared_axes is not None:
            several = isinstance(self.shared_axes, (list, tuple))
            self.shared_axes = list(self.shared_axes) if several else [self.shared_axes]

    def build(self, input_shape):
        shared = self.shared_axes or []
        self.alpha = self.add_weight(
            [1 if axis in shared else n for axis, n in enumerate(input_shape) if axis > 0], self.alpha_initializer,
            regularizer=self.alpha_regularizer, constraint=self.alpha_constraint, name="alpha",
        )  # fmt: skip
        axes = {axis: n for axis, n in enumerate(input_shape) if axis > 0 and axis not in shared} if shared else {}
        self.input_spec = InputSpec(ndim=len(input_shape), axes=axes)

    def call(self, inputs):
        return activations.relu(inputs) - self.alpha * activations.relu(-inputs)


class ELU(Layer):
    """``x`` above zero, ``alpha * (exp(x) - 1)`` below (``keras.layers.ELU``).

    >>> ELU()(ops.array([0.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    supports_masking = True
    built = True
    alpha: float = 1.0

    def call(self, inputs):
        return activations.elu(inputs, alpha=self.alpha)


class Softmax(Layer):
    """Exponentials that sum to 1 along ``axis``, one or several (``keras.layers.Softmax``).

    ``mask`` (True where an element counts) may be passed to the call; masked elements get 0.

    >>> Softmax()(ops.array([1.0, 1.0]), mask=ops.array([True, False])).tolist()
    [1.0, 0.0]
    """

    supports_masking = True
    built = True
    axis: int = -1

    def call(self, inputs, mask=None):
        if mask is not None:
            _check_softmax_mask(inputs.shape, mask.shape)
            if mask.dtype != "bool":
                mask = ops.greater(mask, 0.5)
            inputs = ops.where(mask, inputs, -3e4 if inputs.dtype == "float16" else -1e9)
        if isinstance(self.axis, (tuple, list)) and len(self.axis) > 1:
            outputs = ops.exp(inputs - ops.logsumexp(inputs, axis=tuple(self.axis), keepdims=True))
        else:
            outputs = activations.softmax(inputs, axis=self.axis if isinstance(self.axis, int) else self.axis[0])
        return outputs if mask is None else ops.where(mask, outputs, 0.0)


def _check_softmax_mask(shape, mask):
    sizes = zip(reversed(mask), reversed(shape), strict=False)
    if len(mask) > len(shape) or any(m not in (None, 1, n) and n is not None for m, n in sizes):
        raise ValueError(f"The `mask` must be broadcastable to `inputs`. Received: inputs.shape={tuple(shape)}, mask.shape={tuple(mask)}")
