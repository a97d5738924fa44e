"""Sequential: layers one after another."""

import copy
import inspect

from kerasish import tree
from kerasish.backend.autodiff.tensor import standardize_shape
from kerasish.layers.core import InputLayer
from kerasish.layers.layer import Layer, as_shape
from kerasish.loading import brief, loading
from kerasish.models.functional import Functional
from kerasish.models.model import Model
from kerasish.saveable import CustomObjectScope, deserialize_keras_object, serialize_keras_object
from kerasish.tracking import no_tracking


class Sequential(Model):
    """A stack of layers, each with one input and one output (``keras.Sequential``).

    Without an ``Input`` first it is built when it first sees data.

    >>> from kerasish import Input, layers
    >>> Sequential([Input((3,)), layers.Dense(2), layers.Dense(1)]).output_shape
    (None, 1)
    """

    keras_module = "keras"
    saves_layers_first, locks_state = True, False

    def __init__(self, layers=None, trainable=True, name=None):
        super().__init__(trainable=trainable, name=name)
        self._functional = None
        with no_tracking():
            self._stack = []  # what is called in turn; other layers set as attributes are owned, but not called
        for layer in layers or ():
            self.add(layer, rebuild=False)
        if layers:
            self._maybe_rebuild()

    def add(self, layer, rebuild=True):
        """Put a layer (or an ``Input``) on top."""
        if not self._stack and getattr(layer, "_input_shape_arg", None) is not None:
            self.add(InputLayer(shape=layer._input_shape_arg), rebuild=False)
        history = getattr(layer, "_keras_history", None)
        if history is not None and isinstance(history.operation, InputLayer):
            layer = history.operation
        if not isinstance(layer, Layer):
            raise ValueError(f"Only instances of `keras.Layer` make up a Sequential model, got {layer} ({type(layer)})")
        if any(layer.name == other.name and layer is not other for other in self._stack):
            raise ValueError(
                f"Layers of a Sequential model should have unique names, but there is a '{layer.name}' already. Set another `name`."
            )
        if isinstance(layer, InputLayer) and self._stack and isinstance(self._stack[0], InputLayer):
            raise ValueError(
                f"Sequential model '{self.name}' has already been configured: its input shape is {self._stack[0].batch_shape}. A "
                "second Input cannot be added."
            )
        self._stack.append(layer)
        self._tracker.track(layer)
        self._forget_graph()
        if rebuild:
            self._maybe_rebuild()

    def pop(self, rebuild=True):
        """Take the last layer off, and return it."""
        layer = self._stack.pop()
        self._tracker.untrack(layer)
        self._forget_graph()
        if rebuild and self._stack:
            self._maybe_rebuild()
        return layer

    def _forget_graph(self):
        self.built, self._functional = False, None

    def _maybe_rebuild(self):
        self._forget_graph()
        first = self._stack[0]
        if len(self._stack) > 1 and isinstance(first, InputLayer):
            self.build(first.batch_shape)
        elif len(self._stack) > 1 and isinstance(first, Model) and hasattr(first, "input_shape"):
            self.build(first.input_shape)

    def build(self, input_shape=None):
        """Make all variables for inputs of this shape (batch size first)."""
        if not self._stack:
            raise ValueError(f"Sequential model {self.name} has no layers to build. Call `model.add(layer)`.")
        try:
            input_shape = standardize_shape(input_shape)
        except (ValueError, TypeError):
            return
        if not isinstance(self._stack[0], InputLayer):
            self._stack.insert(0, InputLayer(batch_shape=input_shape, dtype=self._stack[0].compute_dtype))
            self._tracker.track(self._stack[0])
        elif self._stack[0].batch_shape != input_shape:
            raise ValueError(
                f"Sequential model '{self.name}' has already been configured: its input shape is {self._stack[0].batch_shape}, "
                f"so it cannot be built with {input_shape}"
            )
        inputs = x = self._stack[0].output
        for layer in self._stack[1:]:
            try:
                x = layer(x)
            except NotImplementedError:
                return  # a layer that can't run on shapes alone: it will see values first
            except TypeError as error:
                _check_call(layer, error)
                raise
        with no_tracking():
            self._functional = Functional(inputs, x)

    def _post_build(self):
        self.built = self._functional is not None

    def get_build_config(self):
        return {"input_shape": self._stack[0].batch_shape} if self._functional is not None else super().get_build_config()

    def call(self, inputs, training=None, mask=None, **kwargs):
        if self._functional is not None:
            return self._functional.call(inputs, training=training, mask=mask, **kwargs)
        for layer in self.layers:
            parameters = inspect.signature(layer.call).parameters
            given = {"training": training, "mask": mask, **kwargs}
            inputs = layer(inputs, **{k: v for k, v in given.items() if k in parameters and (v is not None or k == "mask")})
            mask = tree.map_structure(lambda x: getattr(x, "_keras_mask", None), inputs)
        return inputs

    @property
    def layers(self):
        """The layers of the stack; the ``Input`` is not among them."""
        return [layer for i, layer in enumerate(self._stack) if i or not isinstance(layer, InputLayer)]

    @layers.setter
    def layers(self, _):
        raise AttributeError("`Sequential.layers` is not to be set. Use `add()` and `pop()`.")

    def _of_graph(self, what):
        if self._functional is None:
            raise AttributeError(f"Sequential model '{self.name}' has no defined {what.replace('_', ' ')} yet.")
        return getattr(self._functional, what)

    input = property(lambda self: self._of_graph("input"))
    output = property(lambda self: self._of_graph("output"))
    inputs = property(lambda self: self._of_graph("inputs"))
    outputs = property(lambda self: self._of_graph("outputs"))
    input_shape = property(lambda self: self._of_graph("input_shape"))
    output_shape = property(lambda self: self._of_graph("output_shape"))
    input_names = property(lambda self: self._of_graph("input_names"))
    output_names = property(lambda self: self._of_graph("output_names"))
    operations = property(lambda self: self._of_graph("operations"))

    @property
    def input_dtype(self):
        """Dtype that inputs are cast to: the Input's, else what the first layer computes in."""
        if self._stack and isinstance(self._stack[0], InputLayer):
            return self._stack[0].dtype
        return super().input_dtype

    def get_config(self):
        config = {"name": self.name, "trainable": self.trainable, "dtype": serialize_keras_object(self._dtype_policy)}
        config["layers"] = [copy.deepcopy(serialize_keras_object(layer)) for layer in self._stack]
        if self._functional is not None:
            config["build_input_shape"] = self._stack[0].batch_shape
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        if "name" not in config or "layers" not in config:
            raise ValueError(
                f"A Sequential model configuration must be a dictionary containing the 'name' and 'layers' keys, got {brief(config)}"
            )
        if not isinstance(config["layers"], (list, tuple)):
            raise ValueError(f"A Sequential model's config must have a list of layers. Received: layers={brief(config['layers'])}")
        model = cls(name=config["name"], trainable=config.get("trainable", True))
        with loading(), CustomObjectScope(custom_objects):
            for layer_config in config["layers"]:
                if not isinstance(layer_config, dict) or "config" not in layer_config:
                    raise ValueError(
                        "The configuration of a layer is not a valid one. Expected a dictionary containing a 'config' key. "
                        f"Received: {brief(layer_config)}"
                    )
                model.add(deserialize_keras_object(layer_config), rebuild=False)
            if model._stack:
                model._maybe_rebuild()
            shape = config.get("build_input_shape")
            if model._functional is None and isinstance(shape, (tuple, list)):
                model.build(as_shape(shape))
        return model


def _check_call(layer, error):
    """A clear error where a layer could never work in a stack."""
    parameters = inspect.signature(layer.call).parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p.name for p in positional if p.default is p.empty]
    if not positional or len(required) > 1:
        raise ValueError(
            f"The layers of a Sequential can only have a single required positional argument. {type(layer).__name__} has these: "
            f"{required}"
        ) from error
