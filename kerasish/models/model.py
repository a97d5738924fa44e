"""Model: a layer with training, files and a summary."""

import inspect
import json
import typing
import warnings

from kerasish import saving, tree
from kerasish.backend.autodiff.symbolic import default, is_default
from kerasish.backend.autodiff.tensor import KerasTensor
from kerasish.backend.autodiff.variable import initialize_all_variables
from kerasish.export.onnx import export_onnx
from kerasish.layers.layer import Layer, as_shape
from kerasish.loading import brief, loading
from kerasish.models.summary import print_summary
from kerasish.saveable import CustomObjectScope, deserialize_keras_object, serialize_keras_object
from kerasish.saving import keras2, keras_file
from kerasish.saving.limits import parse_json
from kerasish.training.trainer import Trainer

_FUNCTIONAL_ARGUMENTS = ["inputs", "outputs", "name"]


class Model(Trainer, Layer):
    """Layers made into something that can be trained, saved and inspected (``keras.Model``).

    ``Model(inputs, outputs)`` gives a Functional model of the graph between KerasTensors. A subclass defines its layers in
    ``__init__`` and its computation in ``call``.

    >>> from kerasish import Input, layers
    >>> x = Input((3,))
    >>> Model(x, layers.Dense(2)(x)).count_params()
    8
    """

    keras_module = "keras"
    functional: typing.ClassVar[type] = None  # what Model(inputs, outputs) makes; models/functional.py puts itself here

    def __new__(cls, *args, **kwargs):
        if cls is Model and _is_functional(args, kwargs):
            return super().__new__(Model.functional, *args, **kwargs)
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args, **kwargs):
        Trainer.__init__(self)
        if _is_functional(args, kwargs):
            _make_functional(type(self))
            Model.functional.__init__(self, *args, **kwargs)
        else:
            Layer.__init__(self, *args, **kwargs)

    def _init_base(self, **kwargs):
        Model.__init__(self, **kwargs)

    def call(self, *args, **kwargs):
        raise NotImplementedError(f"Model {type(self).__name__} does not have a `call()` method implemented.")

    # ---- what is inside
    @property
    def layers(self):
        """The layers directly inside this model."""
        return self._flatten_layers(include_self=False, recursive=False)

    @layers.setter
    def layers(self, _):
        raise AttributeError("`Model.layers` attribute is reserved: store it under a name of your own.")

    def get_layer(self, name=None, index=None):
        """The layer of that name, or the one at that index."""
        if (name is None) == (index is None):
            raise ValueError("Provide either a layer name or a layer index at `get_layer`, not both and not neither. "
                             f"Received: index={index}, name={name}.")  # fmt: skip
        if index is not None:
            if len(self.layers) <= index:
                raise ValueError(f"There is no layer at index {index}: the model has {len(self.layers)}.")
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(f"No such layer: {name}. Existing layers are: {[layer.name for layer in self.layers]}.")

    def summary(self, line_length=None, positions=None, print_fn=None, expand_nested=False, show_trainable=False, layer_range=None):
        """Print a table of the layers with their output shapes and numbers of parameters.

        ``print_fn`` gets the text instead of the terminal; ``layer_range`` is a pair of layer names or patterns.
        """
        print_summary(self, line_length, positions, print_fn, expand_nested, show_trainable, layer_range)

    # ---- building
    @default
    def build(self, input_shape):
        """Make all variables by running ``call`` on tensors of this shape that have no values."""
        if not _build_by_run(self, (input_shape,), {}):
            Layer.build(self, input_shape)

    def build_from_config(self, config):
        """Build with the shapes of ``get_build_config``."""
        if not config:
            return
        args, kwargs = ((as_shape(config["input_shape"]),), {}) if "input_shape" in config else ((), config.get("shapes_dict", {}))
        kwargs = {name: as_shape(shape) for name, shape in kwargs.items()}
        if is_default(type(self).build):
            done = _build_by_run(self, args, {name.removesuffix("_shape"): shape for name, shape in kwargs.items()})
        else:
            self.build(*args, **kwargs)
            done = True
        if not done:
            warnings.warn(
                f"Model '{self.name}' has a build config that `build_from_config(config)` could not use. Implement that method, "
                "and `get_build_config(self)` where the shapes are not enough.",
                stacklevel=2,
            )

    # ---- files
    def save(self, filepath, overwrite=True, zipped=None, **kwargs):
        """Save architecture, weights and training state to ``.keras`` or ``.h5``; the old file stays whole until the new one is."""
        saving.save_model(self, filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def save_weights(self, filepath, overwrite=True, max_shard_size=None):
        """Save the weights to ``.weights.h5`` (in files of at most ``max_shard_size`` GB and an index of them) or ``.safetensors``."""
        saving.save_weights(self, filepath, overwrite=overwrite, max_shard_size=max_shard_size)

    def load_weights(self, filepath, skip_mismatch=False, **kwargs):
        """Load weights from ``.weights.h5``, ``.safetensors``, ``.keras`` or ``.h5``; with ``by_name`` (``.h5``) by the layers' names.

        What does not fit is an error that lists it by path; with ``skip_mismatch`` the rest is loaded, and the list is a warning.
        """
        saving.load_weights(self, filepath, skip_mismatch=skip_mismatch, **kwargs)

    def export(self, filepath, format="tf_saved_model", verbose=None, input_signature=None, **kwargs):
        """Write the model for inference to an ONNX file: ``format="onnx"``, or a path that ends in ``.onnx``. See docs/onnx.md.

        ``input_signature``: a structure of ``InputSpec``, one for each argument of ``call``, where the model doesn't know it; ``None``
        sizes stay open. ``opset_version`` (17 to 26). ValueError for other formats, and for what has no ONNX form.
        """
        if format != "onnx" and not (format == "tf_saved_model" and str(filepath).endswith(".onnx")):
            raise ValueError(
                f"Unsupported format={format}. kerasish exports ONNX: format='onnx', or a path that ends in '.onnx'. To load the model "
                "in Keras again, and export it there, save it as a `.keras` file."
            )
        export_onnx(self, filepath, verbose, input_signature, **kwargs)

    def __reduce__(self):
        """Pickled, and copied deeply, as the file that it would be saved to."""
        own = {type(layer) for layer in self._flatten_layers() if not type(layer).__module__.startswith("kerasish.")}
        return keras_file.from_bytes, (keras_file.to_bytes(self), {cls.__name__: cls for cls in own})

    def to_json(self, **kwargs):
        """The architecture, and how it was compiled, as JSON text; ``model_from_json`` reads it."""
        return json.dumps(serialize_keras_object(self), **kwargs)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Make a model from what ``get_config`` returned."""
        if all(key in config for key in ("name", "layers", "input_layers", "output_layers")) and _takes_functional_arguments(cls):
            with loading():
                return Model.functional.rebuild(cls, config, custom_objects)
        try:
            return cls(**config)
        except TypeError as error:
            raise TypeError(
                f"{cls} could not be made from its config. An own `get_config()` has to give every argument of the constructor. "
                f"Config: {brief(config)}\n\nThe error was: {error}"
            ) from error

    def get_state_tree(self, value_format="backend_tensor"):
        """All variables as nested dicts by path: trainable, non-trainable, the optimizer's and the metrics'."""
        groups = {
            "trainable_variables": self.trainable_variables,
            "non_trainable_variables": self.non_trainable_variables,
            "optimizer_variables": self.optimizer.variables if getattr(self, "optimizer", None) is not None else [],
            "metrics_variables": self.metrics_variables,
        }
        return {name: _nested(variables, value_format) for name, variables in groups.items()}

    def set_state_tree(self, state_tree):
        """Set variables from nested dicts such as ``get_state_tree`` gives."""
        optimizer = getattr(self, "optimizer", None)
        for group, values in state_tree.items():
            if group not in ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables"):
                raise ValueError(f"Unknown variable name: {group}")
            variables = getattr(self, group, []) if group != "optimizer_variables" else getattr(optimizer, "variables", [])
            by_path = {v.path: v for v in variables}
            for path, value in _flat(values):
                if path in by_path:
                    by_path[path].assign(value)


def _is_functional(args, kwargs):
    return len(args) >= 2 or (len(args) == 1 and "outputs" in kwargs) or ("inputs" in kwargs and "outputs" in kwargs)


def _make_functional(cls):
    """Let a Model subclass that calls ``super().__init__(inputs, outputs)`` be a Functional one, as Keras does."""
    functional = Model.functional
    if functional not in cls.__mro__:
        for base in cls.__mro__[:-1]:
            if Model in base.__bases__ and base is not functional:
                base.__bases__ = tuple(functional if b is Model else b for b in base.__bases__)


def _takes_functional_arguments(cls):
    spec = inspect.getfullargspec(cls.__init__)
    return spec.args[1:] == _FUNCTIONAL_ARGUMENTS or (spec.varargs is not None and spec.varkw is not None)


def _build_by_run(model, shapes, named_shapes):
    def specs(shape):
        return tree.map_shape_structure(lambda s: KerasTensor(s, model.input_dtype), shape)

    try:
        model._spec_of_call(
            lambda *args, **kwargs: model._run(args, kwargs), [*map(specs, shapes)], {k: specs(s) for k, s in named_shapes.items()}
        )
    except NotImplementedError:
        return False
    initialize_all_variables()
    return True


def _nested(variables, value_format):
    values = {"backend_tensor": lambda v: v.value, "numpy_array": lambda v: v.numpy()}
    if value_format not in values:
        raise ValueError(f"Invalid `value_format` argument. Expected one of {set(values)}. Received: value_format={value_format}")
    nested = {}
    for v in variables:
        *groups, last = v.path.split("/")
        at = nested
        for group in groups:
            at = at.setdefault(group, {})
        if last in at:
            raise ValueError(f"The following variable path is found twice in the model: '{v.path}'. Layers need unique names.")
        at[last] = values[value_format](v)
    return nested


def _flat(nested, prefix=""):
    for key, value in nested.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value


def model_from_json(json_string, custom_objects=None):
    """A model from ``model.to_json()``, with new weights (``keras.models.model_from_json``)."""
    with loading() as load:
        config = parse_json(json_string, "the model's JSON", load)
        if isinstance(config, dict) and keras2.is_old(config.get("keras_version")):
            with CustomObjectScope(custom_objects):
                config = keras2.upgrade(config)
        return deserialize_keras_object(config, custom_objects=custom_objects)
