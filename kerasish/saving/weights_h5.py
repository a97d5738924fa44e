"""The ``.weights.h5`` layout: a group for each object with variables, found by walking attributes as Keras does."""

import contextlib
import json
import pathlib
import secrets
import warnings

import h5py
import numpy as np

from kerasish.backend.autodiff.dtypes import numpy_dtype
from kerasish.backend.autodiff.state import to_snake_case
from kerasish.layers.layer import Layer
from kerasish.layers.lora import LoraLayer
from kerasish.layers.mismatch import Report, differences
from kerasish.loading import loading
from kerasish.optimizers import Optimizer
from kerasish.saveable import Saveable
from kerasish.saving import keras2
from kerasish.saving.limits import UnsafeFileError, h5_attribute, h5_group, h5_has, h5_member, open_h5, parse_json, replacing, safe_name

_ALWAYS_SKIPPED = {"_functional", "operations", "_operations", "_nodes", "_operations_by_depth", "variable_serialization_spec"}


# ---- which objects there are, and under which paths
def _skipped(obj):
    """Attributes that every layer or saveable object has: what is in them is reached by other ways, or is not state."""
    base = next((cls for cls in type(obj).__mro__ if cls.__name__ in _BASES), Saveable)
    if base not in _skip_cache:
        plain = set(dir(base))
        if issubclass(base, Layer):
            plain |= set(vars(Layer(name="plain"))) | {"input", "output", "inputs", "outputs"}
        _skip_cache[base] = (plain | _ALWAYS_SKIPPED) - {"optimizer", "layers"}
    return _skip_cache[base]


_BASES = {"Model", "Layer", "Optimizer", "Metric", "Loss"}
_skip_cache: dict = {}
_CLASS_NAMES = {"GroupQueryAttention": "GroupedQueryAttention"}  # where Keras's class has another name than it is exported under


def children(obj):
    """Pairs (attribute, value) in the order of Keras's files: a graph's layers first, then by name, private names last."""
    if not getattr(obj, "saves_parts", True):
        return
    if getattr(obj, "saves_layers_first", False):
        yield "layers", obj.layers
    skipped = _skipped(obj) | ({"layers"} if getattr(obj, "saves_layers_first", False) else set())
    for name in sorted(dir(obj), key=lambda name: ("~" + name) if name.startswith("_") else name):
        if name.startswith("__") or name in skipped:
            continue
        try:
            value = getattr(obj, name)
        except Exception:  # a property that has no value yet
            continue
        yield name, value


def walk(obj, path="", seen=None, aliases=None):
    """Pairs (path, object) of everything that has variables of its own, each object once.

    ``aliases`` collects the other paths that lead to an object: path -> list.
    """
    seen = {} if seen is None else seen
    if id(obj) in seen:
        if aliases is not None and seen[id(obj)] is not None:
            aliases.setdefault(seen[id(obj)], []).append(path)
        return
    seen[id(obj)] = path
    if hasattr(obj, "save_own_variables") or hasattr(obj, "save_assets"):
        yield path, obj
    for name, value in children(obj):
        at = f"{path}/{name}" if path else name
        if isinstance(value, Saveable):
            yield from walk(value, at, seen, aliases)
        elif isinstance(value, (list, dict, tuple)):
            yield from _walk_container(value, at, seen, aliases, set())


def _walk_container(container, path, seen, aliases, containers):
    if id(container) in containers:
        return
    containers.add(id(container))
    used = {}
    for item in container.values() if isinstance(container, dict) else container:
        if isinstance(item, Saveable):
            name = to_snake_case(_CLASS_NAMES.get(type(item).__name__, type(item).__name__))
            yield from walk(item, f"{path}/{_numbered(name, used)}", seen, aliases)
        elif isinstance(item, (list, dict, tuple)):
            yield from _walk_container(item, f"{path}/{_numbered('container', used)}", seen, aliases, containers)


def _numbered(name, used):
    used[name] = n = used.get(name, -1) + 1
    return f"{name}_{n}" if n else name


# ---- one object's variables
class Store:
    """What ``save_own_variables`` and ``load_own_variables`` see: a dictionary of arrays, in one group of the file or of several."""

    def __init__(self, *groups):
        self.groups = groups

    @property
    def name(self):
        """The name that the object had when it was saved, or None."""
        names = [h5_attribute(group, "name") for group in self.groups]
        return next((str(name) for name in names if name is not None), None)

    def __setitem__(self, key, value):
        value = np.asarray(value)
        if h5_has(self.groups[0], key):
            del self.groups[0][key]
        if value.dtype.name == "bfloat16":
            self.groups[0].create_dataset(key, data=value.view("V2")).attrs["dtype"] = "bfloat16"
        else:
            self.groups[0].create_dataset(key, data=value)

    def __delitem__(self, key):
        del self._group(key)[key]

    def __getitem__(self, key):
        dataset = self._dataset(key)
        value = np.asarray(dataset)
        if h5_attribute(dataset, "dtype") != "bfloat16":
            return value
        bfloat16 = numpy_dtype("bfloat16")
        return value.view(bfloat16) if value.dtype.kind == "V" else value.astype(bfloat16)

    def _group(self, key):
        found = next((group for group in self.groups if h5_has(group, key)), None)
        if found is None:
            raise KeyError(f"'{key}' is not in {[group.name for group in self.groups]}")
        return found

    def _dataset(self, key):
        dataset = h5_member(self._group(key), key)
        if not isinstance(dataset, h5py.Dataset):
            raise ValueError(f"'{dataset.name}' in {dataset.file.filename} is a group where a weight was expected.")
        return dataset

    def shape(self, key):
        """Shape of an array, without reading it."""
        return self._dataset(key).shape

    def keys(self):
        return [key for group in self.groups for key in group]

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


class _Lazy:
    """An array of a store that is read when it is wanted."""

    def __init__(self, store, key):
        self.store, self.key, self.shape = store, key, store.shape(key)


def _in_order(store, optimizer):
    """An optimizer's store with the order that its variables have today."""
    keys = [str(i) for i in range(len(store))]
    if sorted(keys) != sorted(store.keys()):
        return store
    arrays = keras2.in_order([_Lazy(store, key) for key in keys], optimizer)
    if [getattr(array, "key", None) for array in arrays] == keys:
        return store
    return {str(i): array.store[array.key] if isinstance(array, _Lazy) else array for i, array in enumerate(arrays)}


# ---- whole files
def write(obj, file, skip=()):
    """Put the variables of ``obj``, and of all that is in it but ``skip``, into an open HDF5 file."""
    for path, item in _with_variables(obj, "save_own_variables", skip):
        item.save_own_variables(Store(_group_for(file, path, item)))


def _with_variables(obj, method, skip=(), aliases=None):
    seen = {id(item): None for item in skip}
    return [(path, item) for path, item in walk(obj, seen=seen, aliases=aliases) if hasattr(item, method)]


def _group_for(file, path, item):
    group = file.require_group(_group_name(path))
    if isinstance(getattr(item, "name", None), str):
        group.attrs["name"] = item.name
    return group


def _group_name(path):
    return f"{path}/vars" if path else "vars"


def read(obj, file, skip_mismatch=False, skip=(), source=None):
    """Set the variables of ``obj``, and of all that is in it but ``skip``, from an open HDF5 file (``source`` in words).

    What does not fit is reported all at once, by path: as an error before anything is changed, or with ``skip_mismatch`` as a
    warning after all else is loaded.
    """
    _read(obj, _File(file, source), skip_mismatch, skip)


class _File:
    """Where the variables of a path are: one open file."""

    def __init__(self, file, source=None):
        self.file, self.source = file, file.filename if source is None else str(source)
        if not isinstance(self.source, str) or "BytesIO" in self.source:
            self.source = "the file"

    def store(self, path):
        """The arrays of the object at ``path``, none where the file doesn't have it."""
        return Store(*[group for group in [_group_of(self.file, _group_name(path))] if group is not None])

    def paths(self):
        """Every array in the file: pairs (path of the object, shapes by key)."""
        found = {}

        def visit(name, item):
            if isinstance(item, h5py.Dataset) and name.split("/")[-2:-1] == ["vars"]:
                found.setdefault("/".join(name.split("/")[:-2]), {})[name.split("/")[-1]] = item.shape

        self.file.visititems(visit)
        return found


def _read(obj, source, skip_mismatch, skip=()):
    report, aliases = Report(obj, source.source), {}
    jobs = list(_fitting(obj, source, skip, aliases, report))
    for in_own_way in (True, False):  # that can only be tried: first, so that the others are unchanged where it fails
        for path, item, store in jobs if skip_mismatch or not report else ():
            if (_checked_variables(item, store) is None) is in_own_way:
                with _reported(report, path, item):
                    item.load_own_variables(store)
    if not report:
        return
    own = {other for path, _ in _with_variables(obj, "load_own_variables") for other in (path, *_other_paths(path, aliases))}
    for path, shapes in source.paths().items():
        if path not in own:
            report.extra.append(f"{path}: {', '.join(f'{key} {shape}' for key, shape in shapes.items())}")
    if not skip_mismatch:
        raise ValueError(str(report))
    warnings.warn(str(report), stacklevel=5)


def _fitting(obj, source, skip, aliases, report):
    """Objects whose variables in the file fit, with their stores, as far as one can tell before reading."""
    for path, item in _with_variables(obj, "load_own_variables", skip, aliases):
        with _reported(report, path, item):
            store = _store(source, path, aliases)
            store = _in_order(store, item) if isinstance(item, Optimizer) else store
            if _container_is_missing(path, store, source):
                warnings.warn(
                    f"Skipping nested container at '{path}', which the file lacks. Before Keras 3.14 layers in lists in lists of "
                    "a layer were not saved: they keep the weights they have.",
                    stacklevel=8,
                )
            elif _check(path, item, store, report):
                yield path, item, store


def _container_is_missing(path, store, source):
    parts = path.split("/")
    last = max((i for i, part in enumerate(parts) if part.rstrip("0123456789") in ("container", "container_")), default=None)
    if last is None or len(store):
        return False
    at = "/".join(parts[: last + 1])
    return not any(other == at or other.startswith(f"{at}/") for other in source.paths())


@contextlib.contextmanager
def _reported(report, path, item):
    """What fails inside is one more line of the report."""
    try:
        yield
    except UnsafeFileError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        report.add(path, _named(item), [str(error)])


def _store(source, path, aliases):
    """The arrays of the object at ``path``: older files may have them under another name of the same object."""
    found = source.store(path)
    for other in () if found.groups else _other_paths(path, aliases):
        if (store := source.store(other)).groups:
            return store
    return found


def _other_paths(path, aliases):
    """Paths that lead to the same object through another attribute, of it or of what it is in."""
    parts = path.split("/")
    for i in range(len(parts), 0, -1):
        for other in aliases.get("/".join(parts[:i]), ()):
            yield "/".join([other, *parts[i:]])
    if parts[0] == "layers":
        yield "/".join(["_layer_checkpoint_dependencies", *parts[1:]])  # written by TensorFlow 2.13


def _named(item, saved=None):
    name = getattr(item, "name", None)
    other = f", '{saved}' in the file" if saved is not None and saved != name else ""
    return f"({type(item).__name__} '{name}'{other})"


def _shape(store, key):
    return store[key].shape if isinstance(store, dict) else store.shape(key)


def _checked_variables(item, store):
    """Variables that must be in the file as they are; None for objects that load in their own way."""
    load = type(item).load_own_variables
    if load in (Layer.load_own_variables, LoraLayer.load_own_variables):
        return item._variables_in_files()
    if load is Optimizer.load_own_variables and len(store) == len(item.variables):  # another number is its own affair
        return item.variables
    return None


def _check(path, item, store, report):
    """Whether an object's variables fit those in the file; the report says what does not."""
    own, keys = _checked_variables(item, store), list(store)
    if own is None:
        return True
    numbered = {str(i): variable for i, variable in enumerate(own)}
    pairs = [(f"{key} ({numbered[key].name})" if key in numbered else key, numbered[key].shape if key in numbered else None,
              _shape(store, key) if key in keys else None) for key in dict.fromkeys([*numbered, *keys])]  # fmt: skip
    lines = differences(pairs)
    if not lines:
        return True
    what = _named(item, getattr(store, "name", None))
    if len(keys) != len(own):
        expected = "was never built" if not item.built and not own else f"expected {len(own)} variables"
        what += f": it {expected}, but received {len(keys)} variables during loading"
    report.add(path, what, lines)
    return False


def _group_of(file, path):
    with contextlib.suppress(KeyError):
        return h5_group(file, path)
    return None


def save_weights(model, path, max_shard_size=None, skip=()):
    """Write ``model``'s weights to ``path``, or to several files of at most ``max_shard_size`` GB and an index of them."""
    if not model.built:
        raise ValueError(
            f"You are saving a model that has not yet been built: '{model.name}' has no weights. Call `build()` or call it on "
            "some data before."
        )
    if max_shard_size is not None:
        _save_shards(model, pathlib.Path(path), max_shard_size * 2**30, skip)
        return
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        write(model, file, skip)


def need_built(model):
    """ValueError for a model that has no weights to load into yet."""
    if not model.built:
        raise ValueError(
            f"You are loading weights into a model that has not yet been built: '{model.name}' has none to fill. Call `build()` "
            "or call it on some data before."
        )


def load_weights(model, path, skip_mismatch=False, skip=()):
    """Set ``model``'s weights from ``path``, all but those of the objects in ``skip``."""
    need_built(model)
    with contextlib.ExitStack() as stack:
        stack.enter_context(loading(path))
        if str(path).endswith(".weights.json"):
            _read(model, _Shards(pathlib.Path(path), stack), skip_mismatch, skip)
        else:
            read(model, stack.enter_context(open_h5(path)), skip_mismatch, skip)


# ---- several files
def index_path(path):
    """The index that stands for ``path`` where weights are saved in several files."""
    if path.endswith(".json"):
        return path
    index = f"{path.removesuffix('.h5')}.json"
    warnings.warn(f"Saving sharded weights requires `*.json` as the extension: '{path}' becomes '{index}'.", stacklevel=4)
    return index


class _ShardWriter:
    """Puts arrays into one file after the other, each at most ``limit`` bytes."""

    def __init__(self, folder, stem, limit, save_id, stack):
        self.folder, self.stem, self.limit, self.save_id, self.stack = folder, stem, limit, save_id, stack
        self.files, self.size, self.total, self.index = [], 0, 0, {}

    def open_next(self):
        name = f"{self.stem}_{len(self.files):05d}.weights.h5"
        temporary = self.stack.enter_context(replacing(self.folder / name))
        file = self.stack.enter_context(h5py.File(temporary, "w"))
        file.attrs["save_id"] = self.save_id
        self.files.append((name, file))
        self.size = 0

    def put(self, path, item, key, value):
        value = np.asarray(value)
        if value.nbytes > self.limit:
            raise ValueError(
                f"The size of '{key}' of {path or 'the model itself'} {_named(item)} is {value.nbytes:,} bytes, which exceeds the maximum "
                f"shard size of {int(self.limit):,} bytes: increase `max_shard_size`."
            )
        if self.size + value.nbytes > self.limit:
            self.open_next()
        self.size, self.total = self.size + value.nbytes, self.total + value.nbytes
        name, file = self.files[-1]
        Store(_group_for(file, path, item))[key] = value
        files = self.index.setdefault(f"/{_group_name(path)}", [])
        if name not in files:
            files.append(name)


def _save_shards(model, path, limit, skip):
    stem, save_id = path.stem.removesuffix(".weights"), secrets.token_hex(8)
    old = _old_shards(path)
    with contextlib.ExitStack() as stack:  # the shards take their places when all of them, and the index, are whole
        index_at = stack.enter_context(replacing(path))
        writer = _ShardWriter(path.parent, stem, limit, save_id, stack)
        writer.open_next()
        for at, item in _with_variables(model, "save_own_variables", skip):
            _group_for(writer.files[-1][1], at, item)
            store: dict = {}
            item.save_own_variables(store)
            for key, value in store.items():
                writer.put(at, item, key, value)
        metadata = {"total_size": writer.total, "save_id": save_id}
        index_at.write_text(json.dumps({"metadata": metadata, "weight_map": writer.index}, indent=4))
    for name in old - {name for name, _ in writer.files}:
        (path.parent / name).unlink(missing_ok=True)


def _old_shards(path):
    """Files of an earlier save to the same index."""
    try:
        index = json.loads(path.read_text())["weight_map"]
        names = {name for names in index.values() for name in ([names] if isinstance(names, str) else names)}
        stem = path.stem.removesuffix(".weights")
        return {name for name in names if name == pathlib.Path(name).name and name.startswith(f"{stem}_") and name.endswith(".weights.h5")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()


class _Shards:
    """Several files that read as one."""

    def __init__(self, path, stack):
        self.source, self.stack, self.files = str(path), stack, {}
        try:
            if not path.is_file():
                raise FileNotFoundError(f"File not found: filepath={path}")
            index = parse_json(path.read_bytes(), "the index")
            self.save_id = index.get("metadata", {}).get("save_id")
            weight_map = {at.strip("/"): [names] if isinstance(names, str) else names for at, names in index["weight_map"].items()}
            self.places = {at: [path.parent / safe_name(name) for name in names] for at, names in weight_map.items()}
        except UnsafeFileError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{path} is no index of sharded weights: {error}") from error

    def _file(self, place):
        if place not in self.files:
            file = self.files[place] = self.stack.enter_context(open_h5(place))
            if self.save_id is not None and h5_attribute(file, "save_id") != self.save_id:
                raise ValueError(f"{place} does not belong to {self.source}: it is of another save.")
        return self.files[place]

    def store(self, path):
        at = _group_name(path)
        groups = [_group_of(self._file(place), at) for place in self.places.get(at, ())]
        return Store(*[group for group in groups if group is not None])

    def paths(self):
        stores = {at.removesuffix("vars").rstrip("/"): None for at in self.places}
        for path in stores:
            store = self.store(path)
            stores[path] = {key: store.shape(key) for key in store}
        return stores
