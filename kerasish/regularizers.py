"""Penalties on weights and activations (``keras.regularizers``): functions of a tensor that a loss is added by."""

import math

from kerasish import ops
from kerasish.backend.autodiff.op import as_tensor
from kerasish.families import deserialize_in, register_names, resolve
from kerasish.saveable import Saveable, converters, serialize_keras_object

_MODULE = "keras.regularizers"


class Regularizer(Saveable):
    """Base of regularizers (``keras.Regularizer``). Subclasses define ``__call__(self, x)``, which gives one number.

    Constructor arguments are annotated fields, or an ``__init__`` and a ``get_config`` as in Keras.

    >>> class Mean(Regularizer):
    ...     factor: float = 0.1
    ...     def __call__(self, x):
    ...         return self.factor * ops.mean(x)
    >>> Mean(0.5).get_config()
    {'factor': 0.5}
    """

    keras_module = _MODULE

    def __call__(self, x):
        return 0.0

    def get_config(self):
        if not self.fields:
            raise NotImplementedError(f"{self} does not implement get_config()")
        return super().get_config()


def _factor(value, name, default=None):
    """A checked factor as a float; None means the default."""
    value = default if value is None else value
    if not isinstance(value, (float, int)) or not math.isfinite(value) or value < 0:
        raise ValueError(f"Invalid value for {name}: expected a non-negative float, got {value}")
    return float(value)


def _rounded(value):
    """The number that a tensor of the default dtype holds: some of Keras's regularizers keep their factor in one."""
    return float(as_tensor(value))


def _sum_of_absolutes(x):
    return ops.sum(ops.absolute(x))


def _sum_of_squares(x):
    return ops.sum(ops.square(x))


class L1(Regularizer):
    """``l1 * sum(abs(x))`` (``keras.regularizers.L1``). Raises ValueError for a factor that is negative or not finite.

    >>> float(L1(0.5)(as_tensor([-1.0, 3.0])))
    2.0
    """

    l1: float = 0.01

    def check(self):
        self.l1 = _rounded(_factor(self.l1, "l1", 0.01))

    def __call__(self, x):
        return self.l1 * _sum_of_absolutes(x)


class L2(Regularizer):
    """``l2 * sum(x ** 2)`` (``keras.regularizers.L2``). Raises ValueError for a factor that is negative or not finite.

    >>> float(L2(0.5)(as_tensor([-1.0, 3.0])))
    5.0
    """

    l2: float = 0.01

    def check(self):
        self.l2 = _factor(self.l2, "l2", 0.01)

    def __call__(self, x):
        return self.l2 * _sum_of_squares(x)


class L1L2(Regularizer):
    """``l1 * sum(abs(x)) + l2 * sum(x ** 2)`` (``keras.regularizers.L1L2``).

    Raises ValueError for a factor that is negative or not finite.

    >>> float(L1L2(1.0, 0.5)(as_tensor([-1.0, 3.0])))
    9.0
    """

    l1: float = 0.0
    l2: float = 0.0

    def check(self):
        self.l1, self.l2 = _factor(self.l1, "l1", 0.0), _factor(self.l2, "l2", 0.0)

    def __call__(self, x):
        penalty = as_tensor(0.0, x.dtype)
        if self.l1:
            penalty = penalty + self.l1 * _sum_of_absolutes(x)
        if self.l2:
            penalty = penalty + self.l2 * _sum_of_squares(x)
        return penalty


class OrthogonalRegularizer(Regularizer):
    """``factor`` times the mean over pairs of rows, or of columns, of their cosine's size (``keras.regularizers``).

    Raises ValueError for inputs of another rank than 2 and for a ``mode`` that is neither "rows" nor "columns".

    >>> float(OrthogonalRegularizer(1.0)(as_tensor([[1.0, 0.0], [0.0, 2.0]])))
    0.0
    """

    factor: float = 0.01
    mode: str = "rows"

    def check(self):
        self.factor = _rounded(_factor(self.factor, "factor"))
        if self.mode not in ("rows", "columns"):
            raise ValueError(f'Invalid value for argument `mode`: "rows" and "columns" are known, got {self.mode}')

    def __call__(self, inputs):
        if len(inputs.shape) != 2:
            raise ValueError(f"Inputs to OrthogonalRegularizer must have rank 2, got shape {inputs.shape}")
        x = as_tensor(inputs) if self.mode == "rows" else ops.transpose(inputs)
        x = ops.normalize(x, axis=1)
        cosines = ops.matmul(x, ops.transpose(x))
        size = x.shape[0]
        pairs = size * (size - 1) / 2
        return self.factor * 0.5 * _sum_of_absolutes(cosines * (1.0 - ops.eye(size, dtype=x.dtype))) / pairs


# ---- by name
l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer
register_names(_MODULE, globals())
register_names(_MODULE, {"l1l2": L1L2, "regularizer": Regularizer})


def serialize(regularizer):
    """The config of a regularizer (``keras.regularizers.serialize``).

    >>> serialize(L2(0.5))["config"]
    {'l2': 0.5}
    """
    return serialize_keras_object(regularizer)


def deserialize(config, custom_objects=None):
    """The regularizer of a config (``keras.regularizers.deserialize``).

    >>> deserialize({"class_name": "L2", "config": {"l2": 0.5}}).l2
    0.5
    """
    return deserialize_in(_MODULE, config, custom_objects)


def get(identifier):
    """The regularizer that a name, config, class or callable means (``keras.regularizers.get``).

    >>> get("l2").l2
    0.01
    """
    return resolve(_MODULE, "regularizer", identifier)


converters[Regularizer] = get, serialize

__all__ = [
    "L1", "L1L2", "L2", "OrthogonalRegularizer", "Regularizer", "deserialize", "get", "l1", "l1_l2", "l2",
    "orthogonal_regularizer", "serialize",
]  # fmt: skip
