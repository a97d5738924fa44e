"""The ``.weights.h5`` layout: a group for each object with variables, found by walking attributes as Keras does."""

import contextlib
import json
import pathlib
import warnings

import h5py
import numpy as np

from kerasish.backend.autodiff.dtypes import numpy_dtype
from kerasish.backend.autodiff.state import to_snake_case
from kerasish.layers.layer import Layer
from kerasish.saveable import Saveable
from kerasish.saving.limits import h5_member, open_h5, replacing, safe_name

_ALWAYS_SKIPPED = {"_functional", "operations", "_operations", "_nodes", "_operations_by_depth", "variable_serialization_spec"}


# ---- which objects there are, and under which paths
def _skipped(obj):
    """Attributes that every layer or saveable object has: what is in them is reached by other ways, or is not state."""
    base = next((cls for cls in type(obj).__mro__ if cls.__name__ in _BASES), Saveable)
    if base not in _skip_cache:
        plain = set(dir(base))
        if issubclass(base, Layer):
            plain |= set(vars(Layer(name="plain"))) | {"input", "output", "inputs", "outputs"}
        _skip_cache[base] = (plain | _ALWAYS_SKIPPED) - {"optimizer"}
    return _skip_cache[base]


_BASES = {"Model", "Layer", "Optimizer", "Metric", "Loss"}
_skip_cache: dict = {}


def children(obj):
    """Pairs (attribute, value) in the order of Keras's files: a graph's layers first, then by name, private names last."""
    if not getattr(obj, "saves_parts", True):
        return
    if getattr(obj, "saves_layers_first", False):
        yield "layers", obj.layers
    skipped = _skipped(obj)
    for name in sorted(dir(obj), key=lambda name: ("~" + name) if name.startswith("_") else name):
        if name.startswith("__") or name in skipped:
            continue
        try:
            value = getattr(obj, name)
        except Exception:  # a property that has no value yet
            continue
        yield name, value


def walk(obj, path="", seen=None):
    """Pairs (path, object) of everything that has variables of its own, each object once."""
    seen = set() if seen is None else seen
    if id(obj) in seen:
        return
    seen.add(id(obj))
    if hasattr(obj, "save_own_variables") or hasattr(obj, "save_assets"):
        yield path, obj
    for name, value in children(obj):
        at = f"{path}/{name}" if path else name
        if isinstance(value, Saveable):
            yield from walk(value, at, seen)
        elif isinstance(value, (list, dict, tuple)):
            yield from _walk_container(value, at, seen, set())


def _walk_container(container, path, seen, containers):
    if id(container) in containers:
        return
    containers.add(id(container))
    used = {}
    for item in container.values() if isinstance(container, dict) else container:
        if isinstance(item, Saveable):
            yield from walk(item, f"{path}/{_numbered(to_snake_case(type(item).__name__), used)}", seen)
        elif isinstance(item, (list, dict, tuple)):
            yield from _walk_container(item, f"{path}/{_numbered('container', used)}", seen, containers)


def _numbered(name, used):
    used[name] = n = used.get(name, -1) + 1
    return f"{name}_{n}" if n else name


# ---- one object's variables
class Store:
    """What ``save_own_variables`` and ``load_own_variables`` see: a dictionary of arrays in one group of the file."""

    def __init__(self, group):
        self.group = group

    def __setitem__(self, key, value):
        value = np.asarray(value)
        if value.dtype.name == "bfloat16":
            self.group.create_dataset(key, data=value.view("V2")).attrs["dtype"] = "bfloat16"
        else:
            self.group.create_dataset(key, data=value)

    def __getitem__(self, key):
        dataset = h5_member(self.group, key)
        if not isinstance(dataset, h5py.Dataset):
            raise ValueError(f"'{dataset.name}' in {self.group.file.filename} is a group where a weight was expected.")
        value = np.asarray(dataset)
        return value.view(numpy_dtype("bfloat16")) if dataset.attrs.get("dtype") == "bfloat16" else value

    def shape(self, key):
        """Shape of an array, without reading it."""
        return h5_member(self.group, key).shape

    def keys(self):
        return list(self.group.keys()) if self.group is not None else []

    def values(self):
        return [self[key] for key in self.keys()]

    def items(self):
        return [(key, self[key]) for key in self.keys()]

    def __len__(self):
        return len(self.keys())

    def __iter__(self):
        return iter(self.keys())

    def __contains__(self, key):
        return key in self.keys()


# ---- whole files
def write(obj, file):
    """Put the variables of ``obj``, and of all that is in it, into an open HDF5 file."""
    for path, item in walk(obj):
        if not hasattr(item, "save_own_variables"):
            continue
        _put(file, path, item)


def _put(file, path, item):
    group = file.require_group(_group_name(path))
    if isinstance(getattr(item, "name", None), str):
        group.attrs["name"] = item.name
    item.save_own_variables(Store(group))


def _group_name(path):
    return f"{path}/vars" if path else "vars"


def read(obj, file, skip_mismatch=False):
    """Set the variables of ``obj``, and of all that is in it, from an open HDF5 file.

    What does not fit is reported all at once, by path: an error, or a warning with ``skip_mismatch``.
    """
    _read(obj, file.filename, lambda group: contextlib.nullcontext(file), skip_mismatch)


def _read(obj, filename, holding, skip_mismatch):
    """``holding(group)``: context with the open file that has the group, or None."""
    problems = []
    for path, item in walk(obj):
        if not hasattr(item, "load_own_variables"):
            continue
        group = _group_name(path)
        try:
            with holding(group) as file:
                store = Store(None if file is None else _group_of(file, group))
                if isinstance(item, Layer):
                    _check_shapes(item, store)
                item.load_own_variables(store)
        except (ValueError, KeyError) as error:
            problems.append((path or "the model itself", item, error))
    if problems:
        listed = "\n".join(f"  {path} ({type(item).__name__} '{item.name}'): {error}" for path, item, error in problems)
        message = f"{len(problems)} objects could not be loaded from {filename}:\n{listed}"
        if not skip_mismatch:
            raise ValueError(message)
        warnings.warn(message, stacklevel=4)


def _group_of(file, path):
    try:
        return h5_member(file, path)
    except KeyError:
        pass
    if "_layer_checkpoint_dependencies" in file:  # written by TensorFlow 2.13
        try:
            return h5_member(file, path.replace("layers", "_layer_checkpoint_dependencies"))
        except KeyError:
            pass
    return None


def _check_shapes(layer, store):
    """Report a shape that does not fit before anything is read or changed."""
    own = layer._own_variables(seeds=False)
    if len(own) != len(store):
        return  # load_own_variables says so
    for i, variable in enumerate(own):
        if str(i) in store and tuple(store.shape(str(i))) != tuple(variable.shape):
            raise ValueError(f"variable '{variable.path}' has shape {variable.shape}, the file's has {store.shape(str(i))}")


def save_weights(model, path, max_shard_size=None):
    """Write ``model``'s weights to ``path``, or to several files of about ``max_shard_size`` GB and an index of them.

    An object's own variables stay together, so that one that is larger makes a larger file.
    """
    if not model.built:
        raise ValueError(
            f"You are saving a model that has not yet been built: '{model.name}'. It has no weights. Build it first by calling "
            "`build()` or by calling it on some data."
        )
    if max_shard_size is not None:
        _save_shards(model, pathlib.Path(path), max_shard_size * 2**30)
        return
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        write(model, file)


def load_weights(model, path, skip_mismatch=False):
    """Set ``model``'s weights from ``path``."""
    if not model.built:
        raise ValueError(
            f"You are loading weights into model '{model.name}' which has not yet been built: it has no weights to load into. "
            "Build it first by calling `build()` or by calling it on some data."
        )
    if str(path).endswith(".weights.json"):
        _read(model, str(path), _Shards(pathlib.Path(path)).holding, skip_mismatch)
        return
    with open_h5(path) as file:
        read(model, file, skip_mismatch)


# ---- several files
def _save_shards(model, path, limit):
    stem = path.name.removesuffix(".weights.json").removesuffix(".weights.h5")
    shards, total = [[]], 0
    size = 0
    for at, item in walk(model):
        if not hasattr(item, "save_own_variables"):
            continue
        variables = item._own_variables(seeds=False) if isinstance(item, Layer) else getattr(item, "variables", [])
        own = sum(v.value.nbytes for v in variables)
        if size and size + own > limit:
            shards.append([])
            size = 0
        shards[-1].append((at, item))
        size, total = size + own, total + own
    index = {}
    for n, shard in enumerate(shards):
        name = f"{stem}_{n:05d}.weights.h5"
        with replacing(path.parent / name) as temporary, h5py.File(temporary, "w") as file:
            for at, item in shard:
                _put(file, at, item)
                index[f"/{_group_name(at)}"] = [name]
    with replacing(path.parent / f"{stem}.weights.json") as temporary:
        temporary.write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": index}, indent=4))


class _Shards:
    """Several files that read as one."""

    def __init__(self, path):
        try:
            weight_map = json.loads(path.read_text())["weight_map"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no index of sharded weights: {error}") from error
        self.places = {at.strip("/"): [path.parent / safe_name(name) for name in names] for at, names in weight_map.items()}

    @contextlib.contextmanager
    def holding(self, at):
        """The open file that has the group, None if the index names none."""
        places = self.places.get(at.strip("/"))
        if not places:
            yield None
            return
        with open_h5(places[0]) as file:
            yield file
