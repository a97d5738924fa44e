"""What weights must satisfy after each update (``keras.constraints``): functions from weights to weights."""

from kerasish import config, ops
from kerasish.backend.autodiff.op import as_tensor
from kerasish.families import deserialize_in, register_names, resolve
from kerasish.saveable import Saveable, converters, serialize_keras_object

_MODULE = "keras.constraints"


class Constraint(Saveable):
    """Base of constraints (``keras.constraints.Constraint``). Subclasses define ``__call__(self, w)``, which gives new weights.

    Constructor arguments are annotated fields, or an ``__init__`` and a ``get_config`` as in Keras.

    >>> class Capped(Constraint):
    ...     top: float = 1.0
    ...     def __call__(self, w):
    ...         return ops.minimum(w, self.top)
    >>> Capped(0.5)([0.0, 2.0]).tolist()
    [0.0, 0.5]
    """

    keras_module = _MODULE

    def __call__(self, w):
        return w


def _norms(w, axis):
    return ops.sqrt(ops.sum(ops.square(w), axis=axis, keepdims=True))


def _with_norms(w, norms, wanted):
    return ops.cast(w, norms.dtype) * (wanted / (config.epsilon() + norms))


class MaxNorm(Constraint):
    """Weights no longer than ``max_value`` along ``axis``, by Euclid's norm (``keras.constraints.MaxNorm``).

    For a dense kernel (inputs, units), axis 0 gives each unit's norm; for a 2D convolution's, use [0, 1, 2].

    >>> round(float(MaxNorm(1.0)([3.0, 4.0])[0]), 5)
    0.6
    """

    max_value: float = 2
    axis: object = 0

    def __call__(self, w):
        w = as_tensor(w)
        norms = _norms(w, self.axis)
        return _with_norms(w, norms, ops.clip(norms, 0, self.max_value))


class NonNeg(Constraint):
    """No negative weights: they become 0 (``keras.constraints.NonNeg``).

    >>> NonNeg()([-1.0, 2.0]).tolist()
    [0.0, 2.0]
    """

    def __call__(self, w):
        return ops.maximum(as_tensor(w), 0)


class UnitNorm(Constraint):
    """Weights of norm 1 along ``axis`` (``keras.constraints.UnitNorm``).

    >>> round(float(UnitNorm()([3.0, 4.0])[0]), 5)
    0.6
    """

    axis: object = 0

    def __call__(self, w):
        w = as_tensor(w)
        norms = _norms(w, self.axis)
        return ops.cast(w, norms.dtype) / (config.epsilon() + norms)


class MinMaxNorm(Constraint):
    """Norms along ``axis`` between ``min_value`` and ``max_value`` (``keras.constraints.MinMaxNorm``).

    ``rate``: how much of the way an update goes; 1 enforces the bounds at once.

    >>> round(float(MinMaxNorm(0.0, 1.0, rate=0.5)([3.0, 4.0])[0]), 5)
    1.8
    """

    min_value: float = 0.0
    max_value: float = 1.0
    rate: float = 1.0
    axis: object = 0

    def __call__(self, w):
        w = as_tensor(w)
        norms = _norms(w, self.axis)
        return _with_norms(w, norms, self.rate * ops.clip(norms, self.min_value, self.max_value) + (1 - self.rate) * norms)


# ---- by name
max_norm, min_max_norm, non_neg, unit_norm = MaxNorm, MinMaxNorm, NonNeg, UnitNorm
register_names(_MODULE, globals())
register_names(_MODULE, {"constraint": Constraint})


def serialize(constraint):
    """The config of a constraint (``keras.constraints.serialize``).

    >>> serialize(MaxNorm())["config"]
    {'max_value': 2, 'axis': 0}
    """
    return serialize_keras_object(constraint)


def deserialize(config, custom_objects=None):
    """The constraint of a config (``keras.constraints.deserialize``).

    >>> deserialize({"class_name": "UnitNorm", "config": {"axis": 1}}).axis
    1
    """
    return deserialize_in(_MODULE, config, custom_objects)


def get(identifier):
    """The constraint that a name, config, class or callable means (``keras.constraints.get``).

    >>> get("non_neg")([-1.0]).tolist()
    [0.0]
    """
    return resolve(_MODULE, "constraint", identifier)


converters[Constraint] = get, serialize

__all__ = [
    "Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm", "deserialize", "get", "max_norm", "min_max_norm",
    "non_neg", "serialize", "unit_norm",
]  # fmt: skip
