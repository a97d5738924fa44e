"""The ``.keras`` layout: a zip (or a folder) of metadata.json, config.json, model.weights.h5 and the layers' assets."""

import datetime
import io
import json
import os
import pathlib
import shutil
import tempfile
import warnings
import zipfile
import zlib

import h5py

from kerasish.loading import loading
from kerasish.saveable import CustomObjectScope, deserialize_keras_object, object_sharing_scope, serialize_keras_object
from kerasish.saving import keras2, weights_h5
from kerasish.saving.limits import (
    MAX_JSON,
    UnsafeFileError,
    open_h5,
    open_zip,
    parse_json,
    regular_file,
    replacing,
    safe_name,
    unpack,
    weights_memory,
)

KERAS_VERSION = "3.15.1"  # the version whose layout this is
_PARTS = {"assets", "config.json", "metadata.json", "model.weights.h5"}


def save(model, path, zipped=True, include_optimizer=True):
    """Write ``model`` to a ``.keras`` file, or to a folder."""
    path = pathlib.Path(path)
    warn_unbuilt(model)
    if zipped:
        with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            _write(model, lambda name, data: archive.writestr(name, data), include_optimizer)
        return
    _refuse_foreign(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = pathlib.Path(folder, "made")

        def put(name, data):
            target = made / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "wb") as file:
                file.write(data if isinstance(data, bytes) else data.encode())
                file.flush()
                os.fsync(file.fileno())

        _write(model, put, include_optimizer)
        old = pathlib.Path(folder, "old")
        if path.exists():
            path.rename(old)
        try:
            made.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise


def _refuse_foreign(path):
    """The folder that is there gives way to the new one: it must hold nothing but a model."""
    if path.exists() and not path.is_dir():
        raise ValueError(f"With `zipped=False` a folder is written, and {path} is a file.")
    foreign = sorted({part.name for part in path.iterdir()} - _PARTS) if path.exists() else []
    if foreign:
        raise ValueError(f"{path} holds files that are no part of a model: {foreign[:5]}. Name another folder, or one in it.")


def save_to(model, file, include_optimizer=True):
    """Write ``model`` to an open binary file; nothing is written where the model can't be saved."""
    warn_unbuilt(model)
    file.write(to_bytes(model, include_optimizer))


def load_from(file, custom_objects=None, compile=True, safe_mode=True):
    """Read a model from an open binary file."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.keras")
        with open(path, "wb") as copy:
            shutil.copyfileobj(file, copy)
        return load(path, custom_objects, compile, safe_mode)


def to_bytes(model, include_optimizer=True):
    """The ``.keras`` file of ``model``, in memory."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        _write(model, lambda name, data: archive.writestr(name, data), include_optimizer)
    return buffer.getvalue()


def from_bytes(data, custom_objects=None):
    """The model of a ``.keras`` file in memory, made by this process or one that is trusted: code in Lambdas is kept."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.keras")
        path.write_bytes(data)
        return load(path, custom_objects, safe_mode=False)


def warn_unbuilt(model):
    """Say that a model may have no weights yet."""
    if not model.built:
        warnings.warn(
            f"You are saving a model that has not yet been built: '{model.name}'. The file may lack weights: call the model on "
            "some data before.",
            stacklevel=5,
        )


def _write(model, put, include_optimizer):
    with object_sharing_scope():
        config = serialize_keras_object(model)
    optimizer = getattr(model, "optimizer", None)
    if not include_optimizer:
        config.pop("compile_config", None)
    now = datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
    put("metadata.json", json.dumps({"keras_version": KERAS_VERSION, "date_saved": now}))
    put("config.json", json.dumps(config))
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        weights_h5.write(model, file, () if include_optimizer or optimizer is None else [optimizer])
    put("model.weights.h5", weights.getvalue())
    for name, data in _assets(model):
        put(name, data)


def _assets(model):
    """Files that layers keep beside their weights (vocabularies): pairs (name in the archive, bytes)."""
    for path, item in weights_h5.walk(model):
        if hasattr(item, "save_assets"):
            with tempfile.TemporaryDirectory() as folder:
                item.save_assets(folder)
                for file in sorted(pathlib.Path(folder).rglob("*")):
                    if file.is_file():
                        yield f"assets/{path}/{file.relative_to(folder).as_posix()}", file.read_bytes()


def load(path, custom_objects=None, compile=True, safe_mode=True):
    """Read a model from a ``.keras`` file or folder. Nothing in it is run; names resolve through the registry alone."""
    path = pathlib.Path(path)
    with tempfile.TemporaryDirectory() as folder, loading(path) as load:
        source = opened(path, pathlib.Path(folder))
        load.left["bytes"] = weights_memory(source.weights().stat().st_size)
        model = _from_config(source, load, custom_objects, compile, safe_mode)
        with open_h5(source.weights()) as file:
            weights_h5.read(model, file, source=path)
        _load_assets(model, source)
        return model


def load_weights(model, path, skip_mismatch=False):
    """Set a model's weights from those in a ``.keras`` file."""
    weights_h5.need_built(model)
    with tempfile.TemporaryDirectory() as folder, loading(path):
        source = opened(pathlib.Path(path), pathlib.Path(folder))
        with open_h5(source.weights()) as file:
            weights_h5.read(model, file, skip_mismatch, source=path)


class _Folder:
    def __init__(self, path):
        self.path = path

    def json(self, name):
        path = regular_file(self.path, name)
        if path.stat().st_size > MAX_JSON:
            raise UnsafeFileError(f"{name} has {path.stat().st_size:,} bytes, more than {MAX_JSON:,}: refused.")
        return path.read_bytes()

    def metadata(self):
        """Which Keras wrote the file and when, empty where it doesn't say."""
        if not (self.path / "metadata.json").exists():
            return {}
        metadata = parse_json(self.json("metadata.json"), "metadata.json")
        return metadata if isinstance(metadata, dict) else {}

    def weights(self):
        return regular_file(self.path, "model.weights.h5")

    def assets(self, at):
        folder = self.path / "assets" / safe_name(at)
        for file in folder.rglob("*") if folder.is_dir() else ():
            if not file.is_dir() or file.is_symlink():
                regular_file(self.path, file.relative_to(self.path))
        return folder if folder.is_dir() else None


def opened(path, folder):
    """The file's parts: the folder itself, or the archive unpacked into ``folder``."""
    return _Folder(path) if path.is_dir() else _unzipped(path, folder)


def _unzipped(path, folder):
    """The archive's known members in a temporary folder, each checked first."""
    with open_zip(path) as archive:
        try:
            for name in archive.namelist():
                if name in ("metadata.json", "config.json", "model.weights.h5") or (name.startswith("assets/") and not name.endswith("/")):
                    unpack(archive, name, folder)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError) as error:
            raise ValueError(f"{path} is damaged: {error}") from error
    for name in ("config.json", "model.weights.h5"):
        if not (folder / name).exists():
            raise ValueError(f"{path} is no .keras file: it has no '{name}'.")
    return _Folder(folder)


def _from_config(source, load, custom_objects, compile, safe_mode):
    version = source.metadata().get("keras_version")
    config = parse_json(source.json("config.json"), "config.json", load)
    if not isinstance(config, dict):
        raise ValueError(f"config.json should hold an object, it holds a {type(config).__name__}.")
    if not compile:
        config["compile_config"] = None
    if keras2.is_old(version):
        with CustomObjectScope(custom_objects):
            config = keras2.upgrade_file(config)
    with object_sharing_scope():
        return deserialize_keras_object(config, custom_objects, safe_mode=safe_mode)


def _load_assets(model, source):
    for path, item in weights_h5.walk(model):
        if hasattr(item, "load_assets"):
            folder = source.assets(path)
            if folder is None and not getattr(item, "has_assets", True):
                continue  # what they would hold is in the config
            if folder is None:
                warnings.warn(f"The file has no assets for '{path}'.", stacklevel=3)
            else:
                item.load_assets(str(folder))
