"""Activation functions (``keras.activations``), and how layers and files name them: by plain strings.

Most are the ops of the same name; those below differ from their op in parameters or defaults.
"""

import typing
from collections.abc import Callable

from kerasish import ops
from kerasish.backend.autodiff.op import composite
from kerasish.ops import (
    celu,
    elu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_tanh,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    tanh,
    tanh_shrink,
    threshold,
)
from kerasish.saveable import converters, deserialize_keras_object, get_registered_object, registry, serialize_keras_object

__all__ = [
    "celu", "deserialize", "elu", "exponential", "gelu", "get", "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish",
    "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "serialize", "sigmoid",
    "silu", "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "swish",
    "tanh", "tanh_shrink", "threshold",
]  # fmt: skip

hard_swish, swish = hard_silu, silu


# ---- the functions that are not simply ops
def linear(x):
    """The input, unchanged (``keras.activations.linear``).

    >>> linear(3.0)
    3.0
    """
    return x


def exponential(x):
    """e to the power of ``x`` (``keras.activations.exponential``).

    >>> float(exponential(0.0))
    1.0
    """
    return ops.exp(x)


def gelu(x, approximate=False):
    """``ops.gelu``, by default the exact one (``keras.activations.gelu``; Hendrycks and Gimpel 2016).

    >>> round(float(gelu(1.0)), 4)
    0.8413
    """
    return ops.gelu(x, approximate)


@composite(module="activations.activations", class_name="ReLU")
def relu(x, negative_slope=0.0, max_value=None, threshold=0.0):
    """``x`` above ``threshold``, at most ``max_value``; below it ``negative_slope * (x - threshold)`` (``keras.activations.relu``).

    >>> relu([-2.0, 0.5, 9.0], negative_slope=0.5, max_value=6.0).tolist()
    [-1.0, 0.5, 6.0]
    """
    if threshold == 0.0 and max_value is None:
        return ops.leaky_relu(x, negative_slope) if negative_slope else ops.relu(x)
    if threshold == 0.0 and negative_slope == 0.0:
        return ops.relu6(x) if max_value == 6 else ops.clip(x, 0.0, max_value)
    x = ops.convert_to_tensor(x)
    above = x if max_value is None else ops.clip(x, 0.0, max_value)
    return ops.where(x > threshold, above, negative_slope * (x - threshold))


@composite(module="activations.activations")
def mish(x):
    """``x * tanh(softplus(x))`` (``keras.activations.mish``; Misra 2019).

    >>> round(float(mish(1.0)), 4)
    0.8651
    """
    x = ops.convert_to_tensor(x)
    return x * ops.tanh(ops.softplus(x))


# ---- names
_BY_NAME = {name: globals()[name] for name in __all__ if name not in ("deserialize", "get", "serialize")}
for _name, _function in _BY_NAME.items():
    registry.add("keras.activations", _name, _function)


def get(identifier):
    """The activation that a name, a config or a callable means; None means ``linear`` (``keras.activations.get``).

    Raises ValueError for a name that is neither built in nor registered.

    >>> get("relu") is relu, get(None) is linear
    (True, True)
    """
    if identifier is None:
        return linear
    found = deserialize(identifier) if isinstance(identifier, (str, dict)) else identifier
    if not callable(found):
        raise ValueError(
            f"Could not interpret activation function identifier: {identifier}. Expected a callable, its config, "
            f"or one of {sorted(_BY_NAME)}."
        )
    return found


def serialize(activation):
    """The name of a built-in activation, the config of any other (``keras.activations.serialize``).

    >>> serialize(relu), serialize(silu)
    ('relu', 'silu')
    """
    if not callable(activation):
        raise ValueError(f"Cannot serialize {activation!r}: an activation must be callable.")
    return built_in_name(activation) or serialize_keras_object(activation)


def built_in_name(activation):
    """The name of an activation that is one of this module's, or the op of that name; else None."""
    name = getattr(activation, "__name__", None)
    return name if name in _BY_NAME and activation in (_BY_NAME[name], getattr(ops, name, None)) else None


def deserialize(config, custom_objects=None):
    """The activation of a name or a config (``keras.activations.deserialize``).

    >>> deserialize("tanh") is tanh
    True
    """
    if isinstance(config, str):
        return get_registered_object(config, custom_objects) or _BY_NAME.get(config, config)
    return deserialize_keras_object(config, custom_objects=custom_objects)


# the annotation of a field that holds an activation; in the config it is a name where it has one
Activation = typing.Annotated[str | dict | Callable | None, "activation"]
converters[Activation] = (get, serialize)
