"""Files (``keras.saving``): whole models and weights, in Keras's own layouts.

The ending says the layout: ``.keras``, ``.h5``/``.hdf5`` (the whole model as Keras 2 wrote it), ``.weights.h5`` and ``.safetensors``
(weights alone). docs/files.md tells what is in them.
"""

import os
import pathlib
import warnings

from kerasish.loading import loading
from kerasish.saveable import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)
from kerasish.saving import keras_file, legacy_h5, orbax, safetensors_file, weights_h5
from kerasish.saving.file_editor import KerasFileEditor
from kerasish.saving.limits import UnsafeFileError, h5_group, h5_has, open_h5

__all__ = [
    "CustomObjectScope", "KerasFileEditor", "UnsafeFileError", "custom_object_scope", "deserialize_keras_object", "get_custom_objects",
    "get_registered_name", "get_registered_object", "load_model", "load_weights", "register_keras_serializable", "save_model",
    "save_weights", "serialize_keras_object",
]  # fmt: skip

_HDF5 = (".h5", ".hdf5")


def save_model(model, filepath, overwrite=True, zipped=None, **kwargs):
    """Save a model to ``.keras`` (``zipped=False``: to a folder) or ``.h5`` (``keras.saving.save_model``), or to an open binary file.

    The old file stays until the new one is whole. With ``overwrite=False`` an existing file is kept unless a person agrees.
    ``include_optimizer=False`` leaves out how the model was compiled.
    """
    include_optimizer = kwargs.pop("include_optimizer", True)
    save_format = kwargs.pop("save_format", None)
    if kwargs:
        raise ValueError(f"The following argument(s) are not supported: {list(kwargs)}")
    if hasattr(filepath, "write"):
        if zipped is False or save_format:
            raise ValueError(f"Into an open file goes the `.keras` format, zipped. Received: zipped={zipped}, save_format={save_format}")
        keras_file.save_to(model, filepath, include_optimizer)
        return
    path = _local(filepath)
    if save_format:
        _deprecated_format(path, save_format)
    if zipped is False:
        if path.endswith(".keras"):
            raise ValueError(f"With `zipped=False` a folder is written: its name should not end in `.keras`, got {path}")
        if _may_write(path, overwrite):
            keras_file.save(model, path, zipped=False, include_optimizer=include_optimizer)
    elif path.endswith(".keras"):
        if _may_write(path, overwrite):
            keras_file.save(model, path, include_optimizer=include_optimizer)
    elif path.endswith(_HDF5):
        if zipped is not None:
            raise ValueError(f"`zipped` is not for HDF5 files. Received: filepath={path}, zipped={zipped}")
        if _may_write(path, overwrite):
            legacy_h5.save(model, path, include_optimizer)
    else:
        raise ValueError(f"Invalid filepath extension for saving: use `.keras` (recommended) or `.h5`, not {path}.")


def _deprecated_format(path, save_format):
    message = "The `save_format` argument is deprecated in Keras 3: the file's ending says the format."
    if not path.endswith((".keras", *_HDF5)):
        raise ValueError(f"{message} Received: save_format={save_format}, filepath={path}")
    warnings.warn(message, DeprecationWarning, stacklevel=4)


def load_model(filepath, custom_objects=None, compile=True, safe_mode=True):
    """Read a model that ``save_model``, or real Keras (2 too), wrote (``keras.saving.load_model``), from a path or an open binary file.

    Names in the file resolve to built-in classes, registered ones and ``custom_objects``; nothing is imported or run. Python code
    in Lambda layers is refused unless ``safe_mode`` is False.
    """
    if hasattr(filepath, "read"):
        return keras_file.load_from(filepath, custom_objects, compile, safe_mode)
    path = _local(filepath)
    if path.endswith(_HDF5):
        return legacy_h5.load(path, custom_objects, compile, safe_mode)
    if os.path.exists(path) and (path.endswith(".keras") or os.path.exists(os.path.join(path, "config.json"))):
        return keras_file.load(path, custom_objects, compile, safe_mode)
    if orbax.is_checkpoint(path):
        return orbax.load_model(path, custom_objects, compile, safe_mode)
    if path.endswith(".keras"):
        raise ValueError(f"File not found: {path}. Please ensure the file is an accessible `.keras` file.")
    raise ValueError(
        f"File format not supported: filepath={path}. Only `.keras` files, folders that `zipped=False` made, and `.h5` files can be loaded."
    )


def save_weights(model, filepath, overwrite=True, max_shard_size=None, **kwargs):
    """Save the weights to ``.weights.h5``, in several files of at most ``max_shard_size`` GB if given, or to ``.safetensors``.

    ``objects_to_skip``: layers, or other parts of the model, that are left out (not for ``.safetensors``).
    """
    skip = kwargs.pop("objects_to_skip", None)
    if kwargs:
        raise ValueError(f"Invalid keyword arguments: {kwargs}")
    path = _local(filepath)
    safetensors = path.endswith(".safetensors")
    if safetensors and (max_shard_size is not None or skip is not None):
        raise ValueError(f"`max_shard_size` and `objects_to_skip` are not for `.safetensors` files. Received: filepath={path}")
    if max_shard_size is None and not safetensors and not path.endswith(".weights.h5"):
        raise ValueError(f"The filename must end in `.weights.h5` (or `.safetensors`). Received: filepath={path}")
    if max_shard_size is not None and not path.endswith((".weights.h5", ".weights.json")):
        raise ValueError(f"With `max_shard_size` the filename must end in `.weights.json`, got {path}")
    if max_shard_size is not None:
        if isinstance(max_shard_size, bool) or not isinstance(max_shard_size, (int, float)) or not max_shard_size > 0:
            raise ValueError(f"`max_shard_size` must be a positive number of gigabytes. Received: max_shard_size={max_shard_size!r}")
        path = weights_h5.index_path(path)
    if _may_write(path, overwrite):
        if safetensors:
            safetensors_file.save_weights(model, path)
        else:
            weights_h5.save_weights(model, path, max_shard_size, skip or ())


def load_weights(model, filepath, skip_mismatch=False, **kwargs):
    """Load weights from ``.weights.h5`` (or its ``.json`` index), ``.keras``, ``.safetensors`` or ``.h5`` (here also ``by_name=True``).

    What does not fit is an error that lists all of it by path; with ``skip_mismatch`` the rest is loaded and the list is a warning.
    ``objects_to_skip`` (``.weights.h5``): layers, or other parts of the model, that stay as they are.
    """
    by_name, skip = kwargs.pop("by_name", None), kwargs.pop("objects_to_skip", None)
    if kwargs:
        raise ValueError(f"Invalid keyword arguments: {kwargs}")
    path = _local(filepath)
    weights, legacy = path.endswith((".weights.h5", ".weights.json")), path.endswith(_HDF5) and not path.endswith(".weights.h5")
    if skip is not None and not weights:
        raise ValueError(f"`objects_to_skip` only supports loading '.weights.h5' files. Received: {path}")
    if by_name is not None and not legacy:
        raise ValueError(f"`by_name` only supports loading legacy '.h5' or '.hdf5' files, not {path}")
    if weights:
        weights_h5.load_weights(model, path, skip_mismatch, skip or ())
    elif path.endswith(".keras"):
        keras_file.load_weights(model, path, skip_mismatch)
    elif path.endswith(".safetensors"):
        safetensors_file.load_weights(model, path, skip_mismatch)
    elif legacy:
        weights_h5.need_built(model)
        with loading(path), open_h5(path) as file:
            group = h5_group(file, "model_weights") if h5_has(file, "model_weights") else file
            (legacy_h5.load_weights_by_name if by_name else legacy_h5.load_weights)(model, group, skip_mismatch)
    elif orbax.is_checkpoint(path):
        orbax.load_weights(model, path)
    else:
        raise ValueError(
            f"File format not supported: filepath={path}. Only `.keras`, `.weights.h5`, `.safetensors` and `.h5` files hold weights."
        )


def _local(filepath):
    """The path as text; ValueError for what lies on another machine."""
    try:
        path = os.fspath(filepath)
    except TypeError:
        path = str(filepath)
    path = os.fsdecode(path)
    scheme = path.split("://")[0] if "://" in path else None
    if scheme is not None and scheme.isalnum():
        hint = " (with huggingface_hub.snapshot_download)" if scheme == "hf" else ""
        raise ValueError(f"'{path}' is a remote path: only local files are read and written. Copy it to or from this machine{hint}.")
    return path


def _may_write(path, overwrite):
    if overwrite or not pathlib.Path(path).exists():
        return True
    try:
        answer = input(f"[WARNING] {path} already exists - overwrite? [y/n] ")
        while answer.strip().lower() not in ("y", "n"):
            answer = input('Enter "y" (overwrite) or "n" (cancel). ')
    except EOFError:
        raise FileExistsError(f"{path} already exists, overwrite=False and nobody is there to ask.") from None
    return answer.strip().lower() == "y"
