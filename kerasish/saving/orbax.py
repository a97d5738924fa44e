"""Folders of checkpoints in the layout of Keras's OrbaxCheckpoint, read and written with the optional package orbax-checkpoint.

A checkpoint has the variables as nested dicts by path (``pytree``), and, where it is of a whole model, its config
(``model_config``) and the layers' assets.
"""

import json
import os
import pathlib
import re
import tempfile

import numpy as np

from kerasish import tree
from kerasish.loading import loading
from kerasish.saveable import deserialize_keras_object, object_sharing_scope, serialize_keras_object
from kerasish.saving import keras_file
from kerasish.saving.limits import parse_json, safe_name


def orbax():
    """Orbax's interface, version 1; ImportError that says what to install."""
    try:
        import orbax.checkpoint as checkpoint
    except ImportError as error:
        raise ImportError(
            'Orbax checkpoints need the package orbax-checkpoint (which brings JAX): pip install "kerasish[orbax]"'
        ) from error
    return checkpoint.v1


def is_checkpoint(path):
    """Whether a path is a folder of checkpoints, or one of them."""
    if not os.path.isdir(path):
        return False
    names = os.listdir(path)
    return bool(_steps(path)) or not {"orbax.checkpoint", "pytree.orbax-checkpoint", "_CHECKPOINT_METADATA"}.isdisjoint(names)


def _steps(path):
    return [int(name) for name in os.listdir(path) if name.isdigit() and os.path.isdir(os.path.join(path, name))]


def content_of(model, save_weights_only=False):
    """What a checkpoint of the model holds."""
    variables = tree.map_structure(_plain, model.get_state_tree("numpy_array"))
    if save_weights_only:
        return {"pytree": {group: variables[group] for group in ("trainable_variables", "non_trainable_variables")}}
    with object_sharing_scope():
        config = json.dumps(serialize_keras_object(model))
    content = {"pytree": variables, "model_config": {"config": config}}
    assets: dict = {}
    for name, data in keras_file._assets(model):
        *folders, file = name.split("/")[1:]
        place = assets
        for folder in folders:
            place = place.setdefault(folder, {})
        place[file] = np.frombuffer(data, np.uint8)
    return {**content, "assets": assets} if assets else content


def _plain(array):
    return array.item() if array.ndim == 0 and array.dtype.kind in "biuf" else array


def load_model(path, custom_objects=None, compile=True, safe_mode=True):
    """The model of the newest checkpoint in a folder; ValueError where it holds weights alone."""
    ocp = orbax()
    path = os.path.abspath(path)
    with ocp.training.Checkpointer(path) as checkpointer:
        step = None if checkpointer.latest is None else checkpointer.latest.step
        names = set() if step is None else set(checkpointer.checkpointables_metadata(step).metadata)
        if not names:
            raise ValueError(f"No valid checkpoints found in {path}")
        if "model_config" not in names:
            raise ValueError(
                f"The checkpoint {path}/{step} does not contain a model's configuration: it was saved with `save_weights_only=True`. Make "
                "the model, and use its `load_weights`."
            )
        content = checkpointer.load_checkpointables(step, dict.fromkeys(names & {"pytree", "model_config", "assets"}))
    with loading(path) as load:
        config = parse_json(content["model_config"]["config"], "model_config", load)
        if not compile:
            config["compile_config"] = None
        with object_sharing_scope():
            model = deserialize_keras_object(config, custom_objects, safe_mode=safe_mode)
        _set_variables(model, content["pytree"])
        _load_assets(model, content.get("assets") or {})
    return model


def load_weights(model, path):
    """Set a model's variables from a checkpoint, or from the newest in a folder."""
    path = os.path.abspath(path)
    steps = _steps(path)
    path = os.path.join(path, str(max(steps))) if steps else path
    _set_variables(model, orbax().load_checkpointables(path, {"pytree": None})["pytree"])


def _set_variables(model, values):
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and not optimizer.built and "optimizer_variables" in values:
        optimizer.build(model.trainable_variables)
    _set_group(model.trainable_variables, values["trainable_variables"])
    _set_group(model.non_trainable_variables, values["non_trainable_variables"])
    if optimizer is not None and "optimizer_variables" in values:
        saved = {path for path, _ in _flat(values["optimizer_variables"])}
        known = [v for v in optimizer.variables if v.path in saved]  # fewer where the optimizer had not trained yet
        _set_group(known if len(known) == len(saved) else optimizer.variables, values["optimizer_variables"])


def _set_group(variables, values):
    """Set variables from nested dicts by path. Names that were given automatically may be others than those in the file, and a
    Sequential made of its config has no model's name in its paths: then the order of the paths counts."""
    found = {path: np.asarray(value) for path, value in _flat(values)}
    own = {v.path: v for v in variables}
    names, paths = (sorted(some) if own.keys() == found.keys() else _in_order(some) for some in (own, found))
    if [tuple(own[name].shape) for name in names] != [found[path].shape for path in paths]:
        listed = [f"{path} {found[path].shape}" for path in paths], [f"{name} {tuple(own[name].shape)}" for name in names]
        raise ValueError(f"The checkpoint's variables don't fit the model's. The checkpoint has {listed[0]}; the model has {listed[1]}.")
    for name, path in zip(names, paths, strict=True):
        own[name].assign(found[path])


def _flat(values, prefix=""):
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}/")
        else:
            yield prefix + name, value


def _in_order(arrays):
    """Paths with ``dense_10`` behind ``dense_9``, and before them those of single numbers: an optimizer's counters."""
    return sorted(arrays, key=lambda path: (arrays[path].ndim > 0, [int(s) if s.isdigit() else s for s in re.split(r"(\d+)", path)]))


def _load_assets(model, assets):
    if not assets:
        return
    with tempfile.TemporaryDirectory() as folder:
        _write(assets, pathlib.Path(folder, "assets"))
        keras_file._load_assets(model, keras_file._Folder(pathlib.Path(folder)))


def _write(content, folder):
    folder.mkdir()
    for name, value in content.items():
        path = folder / safe_name(name)
        if isinstance(value, dict):
            _write(value, path)
        else:
            path.write_bytes(np.asarray(value, np.uint8).tobytes())
