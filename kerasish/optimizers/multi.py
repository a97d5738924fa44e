"""Several optimizers for one model."""

import re
from collections.abc import MutableMapping

from kerasish.optimizers.loss_scale import LossScaleOptimizer
from kerasish.optimizers.optimizer import Optimizer
from kerasish.saveable import CustomObjectScope, Saveable, deserialize_keras_object, serialize_keras_object


class OptimizerMap(Saveable, MutableMapping):
    """Which optimizer is for which variable (``keras.optimizers.OptimizerMap``).

    Keys are paths of variables, or regular expressions that fit the whole path. What fits no key gets
    ``default_optimizer``; ValueError where two expressions fit.

    >>> from kerasish.optimizers.sgd import SGD
    >>> optimizers = OptimizerMap(SGD(name="slow"))
    >>> optimizers["encoder/.*"] = SGD(0.1, name="quick")
    >>> optimizers["encoder/dense/kernel"].name, optimizers["decoder/dense/kernel"].name
    ('quick', 'slow')
    """

    keras_module = "keras.optimizers"

    def __init__(self, default_optimizer, optimizer_map=None):
        if not isinstance(default_optimizer, Optimizer):
            raise TypeError(f"default_optimizer must be a Keras Optimizer instance. Received: {default_optimizer}")
        if optimizer_map is not None and not isinstance(optimizer_map, dict):
            raise TypeError(f"optimizer_map must be a dictionary. Received: {optimizer_map}")
        self._default_optimizer, self._optimizer_map = default_optimizer, optimizer_map or {}

    @property
    def default_optimizer(self):
        """The optimizer of variables that no key fits."""
        return self._default_optimizer

    def __getitem__(self, key):
        if key in self._optimizer_map:
            return self._optimizer_map[key]
        fitting = [pattern for pattern in self._optimizer_map if re.fullmatch(pattern, key)]
        if len(fitting) > 1:
            raise ValueError(f"Multiple optimizers assigned to variable {key}: the keys {fitting} fit.")
        return self._optimizer_map[fitting[0]] if fitting else self.default_optimizer

    def __setitem__(self, key, optimizer):
        if not isinstance(key, str):
            raise ValueError(f"key must be a string. Received: {key}")
        if key in self._optimizer_map:
            raise ValueError(f"'{key}' already exists in the OptimizerMap with value {self._optimizer_map[key]}.")
        if not isinstance(optimizer, Optimizer):
            raise ValueError(f"optimizer must be a Keras Optimizer instance. Received: {optimizer}")
        _check_single(optimizer)
        self._optimizer_map[key] = optimizer

    def __delitem__(self, key):
        del self._optimizer_map[key]

    def __len__(self):
        return len(self._optimizer_map)

    def __iter__(self):
        return iter(self._optimizer_map)

    def __call__(self, variable):
        return self[variable.path]

    def get_config(self):
        parts = {"default_optimizer": self._default_optimizer, "optimizer_map": self._optimizer_map}
        return {name: serialize_keras_object(part) for name, part in parts.items()}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        with CustomObjectScope(custom_objects):
            return cls(*(deserialize_keras_object(config[name]) for name in ("default_optimizer", "optimizer_map")))


def _check_single(optimizer):
    if isinstance(optimizer, (LossScaleOptimizer, MultiOptimizer)):
        name = type(optimizer).__name__
        raise ValueError(f"optimizer cannot be {name}. {name} cannot be used inside an MultiOptimizer.")


class MultiOptimizer(Optimizer):
    """Hands each variable to an optimizer of its own (``keras.optimizers.MultiOptimizer``).

    ``optimizer_map``: an OptimizerMap, or a function from a variable to its optimizer. ``loss_scale_factor`` is set on all of
    them. There is no one learning rate: AttributeError; see ``optimizers``.

    >>> from kerasish.optimizers.sgd import SGD
    >>> [o.name for o in MultiOptimizer(OptimizerMap(SGD(name="a"), {"head/.*": SGD(name="b")})).optimizers]
    ['b', 'a']
    """

    _inner_optimizers = ()
    _loss_scale_factor = None

    def __init__(self, optimizer_map, loss_scale_factor=None, name=None):
        super().__init__(learning_rate=0.0, loss_scale_factor=loss_scale_factor, name=name)
        self._optimizer_map, self._inner_optimizers = optimizer_map, []
        if isinstance(optimizer_map, OptimizerMap):
            for optimizer in (*optimizer_map.values(), optimizer_map.default_optimizer):
                self._position(optimizer)

    def _position(self, optimizer):
        """Place of an optimizer among ``optimizers``, where it is put if it is new."""
        if optimizer not in self._inner_optimizers:
            optimizer.loss_scale_factor = self.loss_scale_factor
            self._inner_optimizers.append(optimizer)
        return self._inner_optimizers.index(optimizer)

    def build(self, variables):
        if self.built:
            return
        self._positions = {}
        for variable in variables:
            optimizer = self._optimizer_map(variable)
            if not isinstance(optimizer, Optimizer):
                raise ValueError(f"Optimizer for variable {variable} is not an Optimizer instance. Received: {optimizer}")
            _check_single(optimizer)
            self._positions[variable] = self._position(optimizer)
        for optimizer, own in self._by_optimizer(variables, variables):
            optimizer.build(own)
        super().build(variables)

    def _by_optimizer(self, variables, items):
        """Pairs (optimizer, items of its variables), without optimizers that have none."""
        groups = [[] for _ in self._inner_optimizers]
        for variable, item in zip(variables, items, strict=True):
            groups[self._positions[variable]].append(item)
        return [(optimizer, group) for optimizer, group in zip(self._inner_optimizers, groups, strict=True) if group]

    @property
    def optimizers(self):
        """The optimizers that variables are handed to."""
        return self._inner_optimizers

    @property
    def variables(self):
        return [*self._variables, *(v for optimizer in self._inner_optimizers for v in optimizer.variables)]

    @property
    def iterations(self):
        return self._iterations

    @property  # type: ignore[misc]
    def loss_scale_factor(self):
        """What the loss is multiplied by; setting it sets it on all optimizers."""
        return self._loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, value):
        self._loss_scale_factor = value
        for optimizer in self._inner_optimizers:
            optimizer.loss_scale_factor = value

    def _get_learning_rate(self):
        raise AttributeError("Learning rate cannot be accessed on a MultiOptimizer: see the individual `optimizers`.")

    def _set_learning_rate(self, value):
        raise AttributeError("A MultiOptimizer has no learning rate to set: set those of the individual `optimizers`.")

    def apply(self, grads, trainable_variables=None):
        grads = list(grads)
        if not grads:
            return
        variables = self._variables_for(grads, trainable_variables)
        for optimizer, pairs in self._by_optimizer(variables, list(zip(grads, variables, strict=True))):
            optimizer.apply([g for g, _ in pairs], [v for _, v in pairs])
        self._iterations.assign_add(1)

    def finalize_variable_values(self, var_list):
        for optimizer, variables in self._by_optimizer(var_list, var_list):
            optimizer.finalize_variable_values(variables)

    def get_config(self):
        return {
            "optimizer_map": serialize_keras_object(self._optimizer_map),
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        with CustomObjectScope(custom_objects):
            return cls(**{**config, "optimizer_map": deserialize_keras_object(config["optimizer_map"])})
