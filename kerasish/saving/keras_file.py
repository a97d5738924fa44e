"""The ``.keras`` layout: a zip (or a folder) of metadata.json, config.json, model.weights.h5 and the layers' assets."""

import datetime
import io
import json
import pathlib
import tempfile
import warnings
import zipfile

import h5py

from kerasish.saveable import deserialize_keras_object, object_sharing_scope, serialize_keras_object
from kerasish.saving import weights_h5
from kerasish.saving.limits import check_archive, open_h5, replacing, safe_name, zip_member

KERAS_VERSION = "3.15.1"  # the version whose layout this is


def save(model, path, zipped=True):
    """Write ``model`` to a ``.keras`` file, or to a folder."""
    path = pathlib.Path(path)
    if zipped:
        with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            _write(model, lambda name, data: archive.writestr(name, data))
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = pathlib.Path(folder, "made")

        def put(name, data):
            target = made / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data if isinstance(data, bytes) else data.encode())

        _write(model, put)
        old = pathlib.Path(folder, "old")
        if path.exists():
            path.rename(old)
        try:
            made.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise


def to_bytes(model):
    """The ``.keras`` file of ``model``, in memory."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        _write(model, lambda name, data: archive.writestr(name, data))
    return buffer.getvalue()


def from_bytes(data, custom_objects=None):
    """The model of a ``.keras`` file in memory, made by this process or one that is trusted: code in Lambdas is kept."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.keras")
        path.write_bytes(data)
        return load(path, custom_objects, safe_mode=False)


def _write(model, put):
    with object_sharing_scope():
        config = serialize_keras_object(model)
    now = datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
    put("metadata.json", json.dumps({"keras_version": KERAS_VERSION, "date_saved": now}))
    put("config.json", json.dumps(config))
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        weights_h5.write(model, file)
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
    with tempfile.TemporaryDirectory() as folder:
        source = _opened(path, pathlib.Path(folder))
        model = _from_config(source, path, custom_objects, compile, safe_mode)
        with open_h5(source.weights()) as file:
            weights_h5.read(model, file)
        _load_assets(model, source)
        return model


def load_weights(model, path, skip_mismatch=False):
    """Set a model's weights from those in a ``.keras`` file."""
    with tempfile.TemporaryDirectory() as folder:
        source = _opened(pathlib.Path(path), pathlib.Path(folder))
        with open_h5(source.weights()) as file:
            weights_h5.read(model, file, skip_mismatch)


class _Folder:
    def __init__(self, path):
        self.path = path

    def read(self, name):
        return (self.path / name).read_bytes()

    def weights(self):
        return self.path / "model.weights.h5"

    def assets(self, at):
        folder = self.path / "assets" / safe_name(at)
        return folder if folder.is_dir() else None


def _opened(path, folder):
    """The file's parts: the folder itself, or the archive unpacked into ``folder``."""
    return _Folder(path) if path.is_dir() else _unzipped(path, folder)


def _unzipped(path, folder):
    """The archive's known members in a temporary folder, each checked first."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path} is no readable .keras file (foreign, truncated or damaged): {error}") from error
    with archive:
        try:
            check_archive(archive)
            for name in archive.namelist():
                if name.endswith("/") or not (name in ("config.json", "model.weights.h5") or name.startswith("assets/")):
                    continue
                target = folder / safe_name(name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(zip_member(archive, name))
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise ValueError(f"{path} is damaged: {error}") from error
    for name in ("config.json", "model.weights.h5"):
        if not (folder / name).exists():
            raise ValueError(f"{path} is no .keras file: it has no '{name}'.")
    return _Folder(folder)


def _from_config(source, path, custom_objects, compile, safe_mode):
    try:
        config = json.loads(source.read("config.json"))
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: config.json is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path}: config.json should hold an object, it holds a {type(config).__name__}.")
    if not compile:
        config["compile_config"] = None
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
