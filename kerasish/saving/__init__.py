"""Files (``keras.saving``): whole models and weights, in Keras's own layouts.

The ending says the layout: ``.keras``, ``.h5``/``.hdf5`` (the whole model as Keras 2 wrote it), ``.weights.h5`` (weights alone).
"""

import os
import pathlib
import warnings

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
from kerasish.saving import keras_file, legacy_h5, weights_h5
from kerasish.saving.limits import UnsafeFileError, h5_member, open_h5

__all__ = [
    "CustomObjectScope", "UnsafeFileError", "custom_object_scope", "deserialize_keras_object", "get_custom_objects",
    "get_registered_name", "get_registered_object", "load_model", "load_weights", "register_keras_serializable", "save_model",
    "save_weights", "serialize_keras_object",
]  # fmt: skip

_HDF5 = (".h5", ".hdf5")


def save_model(model, filepath, overwrite=True, zipped=None, **kwargs):
    """Save a model to ``.keras`` (``zipped=False``: a folder) or ``.h5`` (``keras.saving.save_model``).

    The old file stays until the new one is whole. With ``overwrite=False`` an existing file is kept unless a person agrees.
    """
    include_optimizer = kwargs.pop("include_optimizer", True)
    save_format = kwargs.pop("save_format", None)
    if save_format:
        warnings.warn("The `save_format` argument is deprecated: the file's ending says the format.", DeprecationWarning, stacklevel=3)
    if kwargs:
        raise ValueError(f"The following argument(s) are not supported: {list(kwargs)}")
    path = os.fspath(filepath)
    if path.endswith(_HDF5):
        if zipped is not None:
            raise ValueError(f"`zipped` is not for HDF5 files. Received: filepath={path}, zipped={zipped}")
        if _may_write(path, overwrite):
            legacy_h5.save(model, path, include_optimizer)
    elif path.endswith(".keras") or zipped is False:
        if _may_write(path, overwrite):
            keras_file.save(model, path, zipped=zipped is not False)
    else:
        raise ValueError(
            f"Invalid filepath extension for saving. Please add either a `.keras` extension for the native Keras format "
            f"(recommended) or a `.h5` extension. Received: filepath={path}."
        )


def load_model(filepath, custom_objects=None, compile=True, safe_mode=True):
    """Read a model that ``save_model``, or real Keras, wrote (``keras.saving.load_model``).

    Names in the file resolve to built-in classes, registered ones and ``custom_objects``; nothing is imported or run. Python code
    in Lambda layers is refused unless ``safe_mode`` is False.
    """
    path = os.fspath(filepath)
    if path.endswith(_HDF5):
        return legacy_h5.load(path, custom_objects, compile, safe_mode)
    if not os.path.exists(path):
        raise ValueError(
            f"File not found: filepath={path}. Please ensure the file is an accessible `.keras` zip file or folder, or a `.h5` file."
        )
    if path.endswith(".keras") or os.path.isdir(path):
        return keras_file.load(path, custom_objects, compile, safe_mode)
    raise ValueError(f"File format not supported: filepath={path}. Only `.keras` and `.h5` files can be loaded.")


def save_weights(model, filepath, overwrite=True, max_shard_size=None, **kwargs):
    """Save the weights to ``.weights.h5``, in several files of at most ``max_shard_size`` GB if given."""
    if kwargs:
        raise ValueError(f"Invalid keyword arguments: {list(kwargs)}")
    path = os.fspath(filepath)
    wanted = ".weights.h5" if max_shard_size is None else (".weights.h5", ".weights.json")
    if not path.endswith(wanted):
        raise ValueError(f"The filename must end in `.weights.h5`. Received: filepath={path}")
    if _may_write(path, overwrite):
        weights_h5.save_weights(model, path, max_shard_size)


def load_weights(model, filepath, skip_mismatch=False, **kwargs):
    """Load weights from ``.weights.h5`` (or its ``.json`` index), ``.keras`` or ``.h5`` (here also ``by_name=True``)."""
    by_name = kwargs.pop("by_name", False)
    if kwargs:
        raise ValueError(f"Invalid keyword arguments: {list(kwargs)}")
    path = os.fspath(filepath)
    if path.endswith((".weights.h5", ".weights.json", ".keras")):
        if by_name:
            raise ValueError(f"Invalid keyword arguments: by_name is for `.h5` files only. Received: filepath={path}")
        if path.endswith(".keras"):
            keras_file.load_weights(model, path, skip_mismatch)
        else:
            weights_h5.load_weights(model, path, skip_mismatch)
    elif path.endswith(_HDF5):
        with open_h5(path) as file:
            group = h5_member(file, "model_weights") if "model_weights" in file else file
            (legacy_h5.load_weights_by_name if by_name else legacy_h5.load_weights)(model, group, skip_mismatch)
    else:
        raise ValueError(f"File format not supported: filepath={path}. Only `.keras`, `.weights.h5` and `.h5` files hold weights.")


def _may_write(path, overwrite):
    if overwrite or not pathlib.Path(path).exists():
        return True
    try:
        answer = input(f"[WARNING] {path} already exists - overwrite? [y/n] ")
    except EOFError:
        raise FileExistsError(f"{path} already exists, overwrite=False and nobody is there to ask.") from None
    return answer.strip().lower() == "y"
