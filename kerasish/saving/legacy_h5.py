"""The whole-model ``.h5`` layout: JSON in attributes, weights by layer in order, the optimizer's slots.

Real Keras 3.15 reads what is written here, and here what it writes is read, also where it can't read its own: compiled with
a short loss name ("mse"), with ops in the graph, and the optimizer's slots.
"""

import itertools
import json
import warnings

import h5py
import numpy as np

from kerasish import losses, metrics
from kerasish.layers.mismatch import Report, differences, shortened
from kerasish.loading import brief, loading
from kerasish.saveable import (
    CustomObjectScope,
    deserialize_keras_object,
    get_registered_name,
    object_sharing_scope,
    registry,
    serialize_keras_object,
)
from kerasish.saving import keras2
from kerasish.saving.keras_file import KERAS_VERSION, warn_unbuilt
from kerasish.saving.limits import h5_attribute, h5_group, h5_has, h5_member, open_h5, parse_json, replacing, weights_memory

_MAX_ATTRIBUTE = 64512  # bytes: HDF5 keeps no larger attribute in an object's header


# ---- writing
def save(model, path, include_optimizer=True):
    """Write architecture, weights and (if compiled) training state to ``path``."""
    warn_unbuilt(model)
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
    names, i = h5_attribute(group, key), 0
    if names is None:
        names = []
        while (part := h5_attribute(group, f"{key}{i}")) is not None:
            names.extend(np.atleast_1d(part))
            i += 1
    names = np.atleast_1d(names)
    if names.dtype.kind not in "OSU" and names.size:
        raise ValueError(f"The attribute '{key}' of '{group.name}' in {group.file.filename} should list names.")
    return [name.decode("utf-8") if isinstance(name, bytes) else str(name) for name in names]


# ---- reading
def load(path, custom_objects=None, compile=True, safe_mode=True):
    """Read a whole model: architecture, weights and, with ``compile``, training state."""
    with loading(path) as load, open_h5(path) as file, object_sharing_scope():
        load.left["bytes"] = weights_memory(file.id.get_filesize())
        config = _json_attribute(file, "model_config", load)
        if config is None:
            raise ValueError(f"No model config found in {path}: it holds weights alone. Make the model and use `model.load_weights`.")
        old = _is_old(file, config)
        with CustomObjectScope(custom_objects):
            config = keras2.upgrade(config) if old else _modern(config)
        model = deserialize_keras_object(config, custom_objects, safe_mode=safe_mode)
        if not model.built and _names(h5_group(file, "model_weights"), "layer_names"):
            raise ValueError(
                f"The config of model '{model.name}' ({type(model).__name__}) doesn't build it, so its weights have no place. Save it to a "
                "`.keras` file instead, or make and build the model and use `model.load_weights`."
            )
        load_weights(model, h5_group(file, "model_weights"))
        if compile:
            training = _json_attribute(file, "training_config", load)
            if training is None:
                warnings.warn("No training configuration in the file: the model is not compiled, call `compile()`.",
                              stacklevel=3)  # fmt: skip
            else:
                training = _training_of_keras2(training, model) if old else training
                model.compile(**_compile_arguments(training, custom_objects, safe_mode))
                _load_optimizer(model, file)
        return model


def _is_old(file, config):
    version = _version(file)
    return keras2.is_old(version) if version is not None else "batch_input_shape" in json.dumps(config)


def _version(file):
    value = h5_attribute(file, "keras_version")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _training_of_keras2(config, model):
    names = getattr(model, "output_names", ())
    config = dict(config)
    for key in ("loss", "metrics", "weighted_metrics"):
        config[key] = keras2.each(config.get(key), lambda value: keras2.loss_or_metric(value, names))
    for key in ("metrics", "weighted_metrics"):
        if isinstance(config[key], list) and len(config[key]) == 1 and isinstance(config[key][0], list):
            config[key] = config[key][0]
    config["optimizer_config"] = keras2.optimizer_config(config["optimizer_config"])
    return config


def _json_attribute(file, key, load):
    value = h5_attribute(file, key)
    if value is None:
        return None
    if not isinstance(value, (str, bytes)):
        raise ValueError(f"{file.filename}: its '{key}' is not JSON: it is {brief(value)}")
    config = parse_json(value, f"its '{key}'", load)
    if not isinstance(config, dict):
        raise ValueError(f"{file.filename}: its '{key}' should hold an object, it holds a {type(config).__name__}.")
    return config


def _modern(config):
    """A layer's or model's legacy config with the modules that it leaves out."""
    parts = [config.get(key) for key in ("class_name", "config")] if isinstance(config, dict) else [None, None]
    if not isinstance(parts[0], str) or not isinstance(parts[1], dict):
        raise ValueError(f"A layer is described by a `class_name` and a `config`. Received: {brief(config)}")
    name, inner = parts[0], dict(parts[1])
    if "layers" in inner:
        inner["layers"] = [_modern(layer) for layer in inner["layers"]]
        inner.setdefault("name", name.lower())
        module = "keras.src.models.functional" if name in ("Functional", "Model") else "keras"
        name = "Functional" if name == "Model" else name
    else:
        module = _module_of(name, inner)
    modern = {"module": module, "class_name": name, "config": inner, "registered_name": None if module else name}
    return {**modern, **{key: config[key] for key in ("name", "inbound_nodes") if key in config}}


def _module_of(name, config):
    """An op has neither dtype nor trainable in its config, a layer of the same name has."""
    ops = [module for module, key in registry.objects if key == name and module.startswith("ops")]
    if ops and "dtype" not in config and "trainable" not in config:
        return f"keras.{ops[0]}"
    return "keras.layers" if registry.find("keras.layers", name) else None


def load_weights(model, group, skip_mismatch=False):
    """Set weights from a group: layers with weights in order, whatever their names."""
    saved = [(name, _arrays(h5_group(group, name))) for name in _names(group, "layer_names")]
    saved = [(name, arrays) for name, arrays in saved if arrays]
    own = [layer for layer in model.layers if layer.weights]
    if len(saved) != len(own):
        raise ValueError(
            f"Layer count mismatch: {len(own)} in the model, {len(saved)} in the file.\n" + _count_difference(own, saved)
        )
    jobs = [(layer, name, arrays) for layer, (name, arrays) in zip(own, saved, strict=True)]
    _assign_layers(model, group, jobs + _top_level(model, group), skip_mismatch)


def _count_difference(own, saved):
    ours = {layer.name: [v.shape for v in _legacy_weights(layer)] for layer in own}
    theirs = {name: [array.shape for array in arrays] for name, arrays in saved}
    lines = [f"  {name} {shapes}: only in the model" for name, shapes in ours.items() if name not in theirs]
    lines += [f"  {name} {shapes}: only in the file" for name, shapes in theirs.items() if name not in ours]
    return "\n".join(shortened(lines))


def _top_level(model, group):
    """The model's own variables as one more layer to load."""
    if not h5_has(group, "top_level_model_weights"):
        return []
    arrays, own = _arrays(h5_group(group, "top_level_model_weights")), _TopLevel(model)
    return [(own, "top_level_model_weights", arrays)] if arrays or _legacy_weights(own) else []


def load_weights_by_name(model, group, skip_mismatch=False):
    """Set weights from a group for the layers whose names are in it; the others stay as they are."""
    saved = {keras2.clean(name): _arrays(h5_group(group, name)) for name in _names(group, "layer_names")}
    jobs = [(layer, layer.name, saved[layer.name]) for layer in model.layers if saved.get(layer.name)]
    _assign_layers(model, group, jobs + [job for job in _top_level(model, group) if job[2]], skip_mismatch)


class _TopLevel:
    """A model's own variables, as a layer of their own."""

    def __init__(self, model):
        self.name = model.name
        self.trainable_weights = [v for v in model._own_variables(seeds=False) if v.trainable]
        self.non_trainable_weights = [v for v in model._own_variables(seeds=False) if not v.trainable]


def _arrays(group):
    arrays = [h5_member(group, name) for name in _names(group, "weight_names")]
    for array in arrays:
        if not isinstance(array, h5py.Dataset) or array.dtype.kind not in "biufc":
            raise ValueError(f"'{array.name}' in {group.file.filename} holds no numbers: a weight was expected.")
    return arrays


def _assign_layers(model, group, jobs, skip_mismatch):
    """Check every layer first; then set all, or report all that does not fit by path. A layer is loaded whole or not at all."""
    report, good = Report(model, group.file.filename), []
    for k, (layer, name, datasets) in enumerate(jobs):
        weights, arrays = _legacy_weights(layer), keras2.weights_for(_legacy_weights(layer), datasets)
        where = f"for layer #{k} ({layer.name} in the model, {name} in the file)"
        pairs = [(v.path if v is not None else str(i), None if v is None else v.shape, None if a is None else a.shape)
                 for i, (v, a) in enumerate(itertools.zip_longest(weights, arrays))]  # fmt: skip
        lines = differences(pairs)
        if len(weights) != len(arrays):
            counts = f"Layer expects {len(weights)} weight(s). Received {len(arrays)} saved weight(s)"
            report.add(layer.name, f"- Weight count mismatch {where}. {counts}", lines)
        elif lines:
            report.add(layer.name, f"- Shape mismatch {where}", lines)
        else:
            good.append((layer, list(zip(weights, arrays, strict=True))))
    if report:
        if not skip_mismatch:
            raise ValueError(str(report))
        warnings.warn(str(report), stacklevel=5)
    for layer, pairs in good:
        for variable, array in pairs:
            variable.assign(np.asarray(array))
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


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
    if not isinstance(optimizer.get("class_name"), str):
        raise ValueError(f"An optimizer is described by a `class_name` and a `config`. Received: {brief(optimizer)}")
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
    if not h5_has(file, "optimizer_weights") or not model.built:
        return
    optimizer = model.optimizer
    datasets = _arrays(h5_group(file, "optimizer_weights"))
    optimizer.build(model.trainable_variables)
    variables = optimizer.variables
    if keras2.is_old(_version(file)) and datasets:
        names = _names(h5_group(file, "optimizer_weights"), "weight_names")
        datasets = keras2.optimizer_arrays(datasets, names, optimizer, len(model.trainable_variables))
    datasets = keras2.in_order(datasets, optimizer)
    if len(variables) != len(datasets) or any(tuple(v.shape) != d.shape for v, d in zip(variables, datasets, strict=True)):
        warnings.warn(
            f"The optimizer's state in {file.filename} ({len(datasets)} arrays) does not fit '{optimizer.name}' "
            f"({len(variables)} variables): it starts afresh.",
            stacklevel=4,
        )
        return
    for variable, dataset in zip(variables, datasets, strict=True):
        variable.assign(np.asarray(dataset))
