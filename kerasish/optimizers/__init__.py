"""Optimizers (``keras.optimizers``): see optimizer.py for what they share."""

from kerasish.loading import brief
from kerasish.optimizers import legacy as legacy
from kerasish.optimizers import schedules as schedules
from kerasish.optimizers.adafactor import Adafactor
from kerasish.optimizers.adagrad import Adadelta, Adagrad
from kerasish.optimizers.adam import Adam, Adamax, AdamW, Lamb, Nadam, ScheduleFreeAdamW
from kerasish.optimizers.ftrl import Ftrl
from kerasish.optimizers.lion import Lion
from kerasish.optimizers.loss_scale import LossScaleOptimizer
from kerasish.optimizers.multi import MultiOptimizer, OptimizerMap
from kerasish.optimizers.muon import Muon
from kerasish.optimizers.optimizer import Optimizer
from kerasish.optimizers.rmsprop import RMSprop
from kerasish.optimizers.sgd import SGD
from kerasish.saveable import deserialize_keras_object, serialize_keras_object

_BUILT_IN = (
    Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Ftrl, Lamb, Lion, LossScaleOptimizer, MultiOptimizer, Muon,
    Nadam, Optimizer, OptimizerMap, RMSprop, ScheduleFreeAdamW, SGD,
)  # fmt: skip
_BY_LOWER_NAME = {cls.__name__.lower(): cls.__name__ for cls in _BUILT_IN}


def serialize(optimizer):
    """JSON-ready config of an optimizer (``keras.optimizers.serialize``).

    >>> serialize(SGD(momentum=0.9))["config"]["momentum"]
    0.9
    """
    return serialize_keras_object(optimizer)


def deserialize(config, custom_objects=None):
    """The optimizer that a config describes; built-in class names in any case (``keras.optimizers.deserialize``).

    >>> deserialize({"class_name": "adam", "config": {"beta_1": 0.8}}).beta_1
    0.8
    """
    name = config.get("class_name") if isinstance(config, dict) else None
    if not isinstance(name, str):
        raise TypeError(f"Expected the config of an optimizer, a dict with a `class_name`. Received: {brief(config)}")
    config = {**config, "class_name": _BY_LOWER_NAME.get(name.lower(), name)}
    return deserialize_keras_object(config, custom_objects=custom_objects)


def get(identifier):
    """An optimizer from a name, a config, an optimizer or None (``keras.optimizers.get``); else ValueError.

    >>> get("adam").name[:4]
    'adam'
    """
    if identifier is None or isinstance(identifier, Optimizer):
        return identifier
    config = {"class_name": identifier, "config": {}} if isinstance(identifier, str) else identifier
    try:
        optimizer = deserialize(config) if isinstance(config, dict) else None
    except TypeError as e:
        raise ValueError(f"Could not interpret optimizer identifier: {identifier}. {e}") from e
    if not isinstance(optimizer, Optimizer):
        raise ValueError(f"Could not interpret optimizer identifier: {identifier}")
    return optimizer


__all__ = [
    "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lamb", "Lion", "LossScaleOptimizer",
    "MultiOptimizer", "Muon", "Nadam", "Optimizer", "OptimizerMap", "RMSprop", "SGD", "ScheduleFreeAdamW",
    "deserialize", "get", "legacy", "schedules", "serialize",
]  # fmt: skip
