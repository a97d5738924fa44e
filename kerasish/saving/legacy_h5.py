"""The whole-model ``.h5`` layout: JSON in attributes, weights by layer in order, the optimizer's slots.

Real Keras 3.15 reads what is written here, and here what it writes is read, also where it can't read its own: compiled with
a short loss name ("mse"), with ops in the graph, and the optimizer's slots.
"""

import json
import warnings

import h5py
import numpy as np

from kerasish import losses, metrics
from kerasish.saveable import (
    deserialize_keras_object,
    get_registered_name,
    object_sharing_scope,
    registry,
    serialize_keras_object,
)
from kerasish.saving.keras_file import KERAS_VERSION
from kerasish.saving.limits import h5_member, open_h5, replacing

_MAX_ATTRIBUTE = 64512  # bytes: HDF5 keeps no larger attribute in an object's header


# ---- writing
def save(model, path, include_optimizer=True):
    """Write architecture, weights and (if compiled) training state to ``path``."""
    if not model.weights and not model.built:
        raise ValueError(f"The model '{model.name}' is not built: it has no weights to save. Call it on some data first.")
    _refuse_assets(model)
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = KERAS_VERSION, "jax"
        config = {"class_name": _class_name(model), "config": _legacy_config(model.get_config())}
        file.attrs["model_config"] = _json(config)
        save_weights(model, file.create_group("model_weights"))
        optimizer = getattr(model, "optimizer", None)
        if include_optimizer and getattr(model, "compiled", False) and optimizer is not None:
            file.attrs["training_config"] = _json(_training_config(model))
            if optimizer.built:
                _write_arrays(file.create_group("optimizer_weights"), _by_path(optimizer.variables))


def _refuse_assets(model):
    names = [layer.name for layer in model._flatten_layers() if getattr(layer, "has_assets", False)]
    if names:
        raise ValueError(f"`.h5` files have no place for the vocabularies of layers {names}: save the model to a `.keras` file instead.")


def _json(config):
    return json.dumps(serialize_keras_object(config)).encode("utf-8")


def _class_name(obj):
    return get_registered_name(type(obj))


def _legacy_config(config):
    """A model's config with its layers (at any depth of models) named without their modules."""
    if "layers" not in config:
        return config
    layers = []
    for layer in config["layers"]:
        inner = {"class_name": layer["registered_name"] or layer["class_name"], "config": _legacy_config(layer["config"])}
        layers.append({**inner, **{key: layer[key] for key in ("name", "inbound_nodes") if key in layer}})
    return {**config, "layers": layers}


def _training_config(model):
    config = dict(model.get_compile_config() or {})
    optimizer = config.pop("optimizer", None)
    config["loss"] = _named(config.get("loss"), losses)
    for key in ("metrics", "weighted_metrics"):
        config[key] = _named(config.get(key), metrics)
    if optimizer is not None:
        config["optimizer_config"] = {"class_name": optimizer["class_name"], "config": optimizer["config"]}
    return config


def _named(value, family):
    """Losses or metrics as the legacy layout has them: full names (Keras can't read short ones back), objects without modules."""
    if isinstance(value, str):
        return losses.get(value).__name__ if family is losses else value
    if isinstance(value, dict) and "class_name" in value:
        if value["class_name"] == "function":
            return value["config"]
        return {"class_name": value["registered_name"] or value["class_name"], "config": value["config"]}
    if isinstance(value, dict):
        return {key: _named(item, family) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_named(item, family) for item in value]
    return value


def save_weights(model, group):
    """Put the model's weights into a group, layer by layer."""
    _set_names(group, "layer_names", [layer.name for layer in model.layers])
    group.attrs["backend"], group.attrs["keras_version"] = "jax", KERAS_VERSION
    for layer in model.layers:
        _write_arrays(group.create_group(layer.name), _by_path(_legacy_weights(layer)))
    _write_arrays(group.create_group("top_level_model_weights"), _by_path(model._own_variables(seeds=False)))


def _legacy_weights(layer):
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def _by_path(variables):
    """Pairs (path, array); a path that is there already gets a number, as HDF5 has each name once."""
    used, out = {}, []
    for v in variables:
        used[v.path] = n = used.get(v.path, 0) + 1
        out.append((v.path if n == 1 else f"{v.path}_{n - 1}", v.numpy()))
    return out


def _write_arrays(group, named):
    _set_names(group, "weight_names", [name for name, _ in named])
    for name, array in named:
        group.create_dataset(name, data=array.astype("float32") if array.dtype.name == "bfloat16" else array)


def _set_names(group, key, names):
    encoded = [name.encode("utf-8") for name in names]
    longest = max(map(len, encoded), default=0)
    if longest > _MAX_ATTRIBUTE:
        raise RuntimeError(f"The name '{names[[len(e) for e in encoded].index(longest)][:60]}...' is too long for an HDF5 attribute.")
    if longest * len(encoded) <= _MAX_ATTRIBUTE:
        group.attrs[key] = encoded
        return
    parts = 2
    while any(longest * len(part) > _MAX_ATTRIBUTE for part in np.array_split(np.array(encoded), parts)):
        parts += 1
    for i, part in enumerate(np.array_split(np.array(encoded), parts)):
        group.attrs[f"{key}{i}"] = part


def _names(group, key):
    if key in group.attrs:
        names = list(group.attrs[key])
    else:
        names, i = [], 0
        while f"{key}{i}" in group.attrs:
            names.extend(group.attrs[f"{key}{i}"])
            i += 1
    return [name.decode("utf-8") if isinstance(name, bytes) else str(name) for name in names]


# ---- reading
def load(path, custom_objects=None, compile=True, safe_mode=True):
    """Read a whole model: architecture, weights and, with ``compile``, training state."""
    with open_h5(path) as file, object_sharing_scope():
        config = _json_attribute(file, "model_config")
        if config is None:
            raise ValueError(f"No model config found in {path}: it holds weights alone. Make the model and use `model.load_weights`.")
        model = deserialize_keras_object(_modern(config), custom_objects, safe_mode=safe_mode)
        load_weights(model, h5_member(file, "model_weights"))
        if compile:
            training = _json_attribute(file, "training_config")
            if training is None:
                warnings.warn("No training configuration found in the save file, so the model was *not* compiled. Compile it manually.",
                              stacklevel=3)  # fmt: skip
            else:
                model.compile(**_compile_arguments(training, custom_objects, safe_mode))
                _load_optimizer(model, file)
        return model


def _json_attribute(file, key):
    value = file.attrs.get(key)
    if value is None:
        return None
    try:
        return json.loads(value.decode("utf-8") if isinstance(value, bytes) else value)
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{file.filename}: its '{key}' is not JSON: {error}") from error


def _modern(config):
    """A layer's or model's legacy config with the modules that it leaves out."""
    name, inner = config["class_name"], dict(config["config"])
    if "layers" in inner:
        inner["layers"] = [_modern(layer) for layer in inner["layers"]]
        inner.setdefault("name", name.lower())
        module = "keras.src.models.functional" if name in ("Functional", "Model") else "keras"
        name = "Functional" if name == "Model" else name
    else:
        module = _module_of(name, inner)
        inner = _renamed(name, inner)
    modern = {"module": module, "class_name": name, "config": inner, "registered_name": None if module else name}
    return {**modern, **{key: config[key] for key in ("name", "inbound_nodes") if key in config}}


def _module_of(name, config):
    """An op has neither dtype nor trainable in its config, a layer of the same name has."""
    ops = [module for module, key in registry.objects if key == name and module.startswith("ops")]
    if ops and "dtype" not in config and "trainable" not in config:
        return f"keras.{ops[0]}"
    return "keras.layers" if registry.find("keras.layers", name) else None


def _renamed(name, config):
    """Fields of Keras 2 under their names of today."""
    if "batch_input_shape" in config:
        shape = config.pop("batch_input_shape")
        if name == "InputLayer":
            config["batch_shape"] = shape
    for gone in ("time_major", "implementation"):
        config.pop(gone, None)
    axis = config.get("axis")
    if isinstance(axis, list) and len(axis) == 1:
        config["axis"] = axis[0]
    return config


def load_weights(model, group, skip_mismatch=False):
    """Set weights from a group: layers with weights in order, whatever their names."""
    saved = [(name, _arrays(h5_member(group, name))) for name in _names(group, "layer_names")]
    saved = [(name, arrays) for name, arrays in saved if arrays]
    own = [layer for layer in model.layers if layer.weights]
    if len(saved) != len(own):
        raise ValueError(
            f"Layer count mismatch when loading weights from file. Model expected {len(own)} layers with weights "
            f"({[layer.name for layer in own]}), found {len(saved)} saved ({[name for name, _ in saved]})."
        )
    _assign_layers([(layer, name, arrays) for layer, (name, arrays) in zip(own, saved, strict=True)], skip_mismatch)
    if "top_level_model_weights" in group:
        arrays = _arrays(h5_member(group, "top_level_model_weights"))
        if arrays:
            _assign_layers([(_TopLevel(model), "top_level_model_weights", arrays)], skip_mismatch)


def load_weights_by_name(model, group, skip_mismatch=False):
    """Set weights from a group for the layers whose names are in it; the others stay as they are."""
    saved = {name: _arrays(h5_member(group, name)) for name in _names(group, "layer_names")}
    _assign_layers([(layer, layer.name, saved[layer.name]) for layer in model.layers if saved.get(layer.name)], skip_mismatch)


class _TopLevel:
    """A model's own variables, as a layer of their own."""

    def __init__(self, model):
        self.name = model.name
        self.trainable_weights = [v for v in model._own_variables(seeds=False) if v.trainable]
        self.non_trainable_weights = [v for v in model._own_variables(seeds=False) if not v.trainable]


def _arrays(group):
    return [h5_member(group, name) for name in _names(group, "weight_names")]


def _assign_layers(jobs, skip_mismatch):
    """Check every layer first; then set all, or report all that does not fit by name."""
    problems, good = [], []
    for layer, name, datasets in jobs:
        weights = _legacy_weights(layer)
        if len(weights) != len(datasets):
            problems.append(f"Weight count mismatch: layer '{layer.name}' expects {len(weights)} weights, '{name}' has {len(datasets)}")
            continue
        wrong = [f"Shape mismatch: '{v.path}' has shape {v.shape}, the file's '{d.name}' has {d.shape}"
                 for v, d in zip(weights, datasets, strict=True) if tuple(v.shape) != tuple(d.shape)]  # fmt: skip
        problems.extend(wrong)
        if not wrong:
            good.extend(zip(weights, datasets, strict=True))
    if problems:
        message = "Weights that do not fit:\n  " + "\n  ".join(problems)
        if not skip_mismatch:
            raise ValueError(message)
        warnings.warn(message, stacklevel=4)
    for variable, dataset in good:
        variable.assign(np.asarray(dataset))


def _compile_arguments(config, custom_objects, safe_mode):
    def load_object(value, family):
        if isinstance(value, dict) and "class_name" in value:
            module = value.get("module") or (f"keras.{family}" if registry.find(f"keras.{family}", value["class_name"]) else None)
            return deserialize_keras_object({**value, "module": module}, custom_objects, safe_mode=safe_mode)
        if isinstance(value, dict):
            return {key: load_object(item, family) for key, item in value.items()}
        if isinstance(value, list):
            return [load_object(item, family) for item in value]
        return deserialize_keras_object(value, custom_objects) if isinstance(value, str) else value

    optimizer = dict(config["optimizer_config"])
    names = {name.lower(): name for module, name in registry.objects if module == "optimizers"}
    optimizer["class_name"] = names.get(optimizer["class_name"].lower(), optimizer["class_name"])
    return {
        "optimizer": load_object(optimizer, "optimizers"),
        "loss": load_object(config.get("loss"), "losses"),
        "metrics": load_object(config.get("metrics"), "metrics"),
        "weighted_metrics": load_object(config.get("weighted_metrics"), "metrics"),
        "loss_weights": config.get("loss_weights"),
    }


def _load_optimizer(model, file):
    if "optimizer_weights" not in file or not model.built:
        return
    optimizer = model.optimizer
    datasets = _arrays(h5_member(file, "optimizer_weights"))
    optimizer.build(model.trainable_variables)
    variables = optimizer.variables
    if len(variables) != len(datasets) or any(tuple(v.shape) != d.shape for v, d in zip(variables, datasets, strict=True)):
        warnings.warn(
            f"The optimizer's state in {file.filename} ({len(datasets)} arrays) does not fit '{optimizer.name}' "
            f"({len(variables)} variables): it starts afresh.",
            stacklevel=4,
        )
        return
    for variable, dataset in zip(variables, datasets, strict=True):
        variable.assign(np.asarray(dataset))
