"""KerasFileEditor: look into a file of weights, change it, and write it anew."""

import os
import pathlib
import tempfile

import h5py
import numpy as np

from kerasish.loading import UnsafeFileError, loading
from kerasish.saving import keras_file, weights_h5
from kerasish.saving.limits import h5_attribute, h5_member, open_h5, parse_json, replacing


class KerasFileEditor:
    """The weights of a ``.keras`` or ``.weights.h5`` file, to look at and to change (``keras.saving.KerasFileEditor``).

    ``weights_dict`` holds them as dicts in dicts: an object's variables "0", "1", ... beside the objects inside it. Nothing in
    the file that was opened changes: ``save`` writes a new one. Objects go by name where it is unique, else by path.

    >>> import kerasish, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "m.weights.h5")
    >>> kerasish.Sequential([kerasish.Input((2,)), kerasish.layers.Dense(3)]).save_weights(path)
    >>> editor = KerasFileEditor(path)
    Keras model file ...
    >>> editor.rename_object("dense", "dense_1")
    >>> editor.weights_dict["layers"]["dense_1"]["0"].shape
    (2, 3)
    """

    def __init__(self, filepath):
        from rich.console import Console

        self.filepath = os.fspath(filepath)
        self.metadata = self.config = self.model = None
        self.console = Console(highlight=False)
        if not self.filepath.endswith((".keras", ".weights.h5")):
            raise ValueError(f"Invalid filename: expected a `.keras` or `.weights.h5` extension. Received: filepath={self.filepath}")
        with tempfile.TemporaryDirectory() as folder, loading(self.filepath):
            weights = self.filepath
            if self.filepath.endswith(".keras"):
                source = keras_file.opened(pathlib.Path(self.filepath), pathlib.Path(folder))
                self.config, weights = parse_json(source.json("config.json"), "config.json"), source.weights()
                self.metadata = source.metadata()
            with open_h5(weights) as file:
                self.object_metadata: dict = {}
                self.weights_dict = _read_group(file, self.object_metadata)
        self._print(f"Keras model file [green]'{_shown(self.filepath)}'[/]")
        if self.metadata is not None:
            version, date = (_shown(self.metadata.get(key)) for key in ("keras_version", "date_saved"))
            self._print(f"Saved with Keras [green]{version}[/] - date: [green]{date}[/]")

    def _print(self, text):
        self.console.print(text, soft_wrap=True)

    # ---- looking
    def summary(self):
        """Print the tree of objects and weights, with shapes and dtypes."""
        self._print("Weights structure")
        self._print_tree(self.weights_dict, "  ", "")

    def _print_tree(self, weights, prefix, path):
        for i, (key, value) in enumerate(weights.items()):
            last = i == len(weights) - 1
            at = f"{path}/{key}"
            line = f"{prefix}{'└─' if last else '├─'} [bold]{_shown(key)}[/]"
            if isinstance(value, dict):
                name = self.object_metadata.get(at, {}).get("name")
                self._print(line + (f" ('{_shown(name)}')" if name is not None else ""))
                self._print_tree(value, prefix + ("   " if last else "│  "), at)
            else:
                self._print(f"{line}: shape={np.shape(value)}, dtype={np.asarray(value).dtype}")

    def compare(self, reference_model):
        """Print every difference between the file and a model; a dict with ``status``, ``error_count`` and ``match_count``.

        An object that one of them lacks counts once.
        """
        self._print("Running comparison")
        errors, matches = self._compare(self.weights_dict, _spec(reference_model), "")
        self._print("─" * 21)
        if errors:
            self._print(f"[red][bold]Found {_counted(errors, 'error')}:[/] the model cannot load this file[/]")
        else:
            self._print("[green][bold]Comparison successful:[/] the model can load this file[/]")
            self._print(f"    Found {_counted(matches, 'matching weight')}")
        return {"status": "error" if errors else "success", "error_count": errors, "match_count": matches}

    def _compare(self, saved, wanted, path):
        errors = matches = 0
        for key in dict.fromkeys([*wanted, *saved]):
            at = f"{path}/{key}"
            if key not in saved or key not in wanted:
                errors += 1
                self._print_missing(at, (wanted if key in wanted else saved)[key], key in wanted)
            elif isinstance(saved[key], dict) and isinstance(wanted[key], dict):
                inner = self._compare(saved[key], wanted[key], at)
                errors, matches = errors + inner[0], matches + inner[1]
            elif isinstance(saved[key], dict) or isinstance(wanted[key], dict) or np.shape(saved[key]) != wanted[key].shape:
                errors += 1
                shapes = ["an object" if isinstance(side, dict) else f"shape={np.shape(side)}" for side in (wanted[key], saved[key])]
                self._print(f"[red]...Weight shape mismatch for [bold]{_shown(at)}[/][/]")
                self._print(f"    In reference model: {shapes[0]}\n    In saved file: {shapes[1]}")
            else:
                matches += 1
        return errors, matches

    def _print_missing(self, path, value, in_model):
        here, there = ("reference model", "saved file") if in_model else ("saved file", "reference model")
        kind = "Object" if isinstance(value, dict) else "Weight"
        self._print(f"[red]...{kind} [bold]{_shown(path)}[/] present in {here}, missing from {there}[/]")
        if isinstance(value, dict):
            self._print(f"    In {here}, {_shown(path)} contains the following keys: {_shown(list(value))}")

    # ---- changing
    def rename_object(self, object_name, new_name):
        """Give an object (by name or path) a new name: one name, no path."""
        if "/" in new_name:
            raise ValueError(f"`new_name` is a leaf name, without the path before it. Got '{new_name}'")
        parent, name, path = self._find(object_name)
        if new_name in parent and new_name != name:
            raise ValueError(f"There is a '{new_name}' beside '{object_name}' already.")
        renamed = {new_name if key == name else key: value for key, value in parent.items()}
        parent.clear()
        parent.update(renamed)
        new = f"{path.rpartition('/')[0]}/{new_name}"
        self.object_metadata = {
            new + at[len(path) :] if at == path or at.startswith(f"{path}/") else at: value for at, value in self.object_metadata.items()
        }

    def delete_object(self, object_name):
        """Take an object (by name or path) out, with all that is in it."""
        parent, name, path = self._find(object_name)
        del parent[name]
        self.object_metadata = {
            at: value for at, value in self.object_metadata.items() if at != path and not at.startswith(f"{path}/")
        }

    def add_object(self, object_path, weights):
        """Add an object at a path whose parents are there; ``weights`` maps "0", "1", ... to arrays."""
        _check_weights(weights)
        *parents, name = object_path.strip("/").split("/")
        if not name:
            raise ValueError(f"`object_path` must name an object. Received: '{object_path}'")
        at = self.weights_dict
        for part in parents:
            if not isinstance(at.get(part), dict):
                raise ValueError(f"Path '{'/'.join(parents)}' not found in model.")
            at = at[part]
        at[name] = dict(weights)

    def delete_weight(self, object_name, weight_name):
        """Take one weight out of an object (by name or path)."""
        weights = self._object(object_name)
        if weight_name not in weights:
            raise ValueError(f"Weight {weight_name} not found in object {object_name}. Weights found: {list(weights)}")
        del weights[weight_name]

    def add_weights(self, object_name, weights):
        """Add weights to an object (by name or path); ``weights`` maps "0", "1", ... to arrays."""
        _check_weights(weights)
        self._object(object_name).update(weights)

    def _object(self, name):
        parent, key, _ = self._find(name)
        if not isinstance(parent[key], dict):
            raise ValueError(f"'{name}' is a weight, not an object.")
        return parent[key]

    def _find(self, name):
        """The dict that holds an object, its key there, and its path."""
        if "/" in name:
            parent = self.weights_dict
            *parents, key = name.strip("/").split("/")
            for part in parents:
                parent = parent.get(part) if isinstance(parent, dict) else None
            if not isinstance(parent, dict) or key not in parent:
                raise ValueError(f"Path '{name}' not found in model.")
            return parent, key, "/" + "/".join([*parents, key])
        found = list(_places(self.weights_dict, name, ""))
        if len(found) > 1:
            raise ValueError(f"'{name}' is there more than once: give one of the paths {[p for _, p in found]}")
        if not found:
            raise ValueError(f"'{name}' does not appear in the file. `editor.summary()` lists what does.")
        return found[0][0], name, found[0][1]

    # ---- writing
    def save(self, filepath):
        """Write the weights as they are now to a ``.weights.h5`` file."""
        path = os.fspath(filepath)
        if not path.endswith(".weights.h5"):
            raise ValueError(f"`filepath` is to end in `.weights.h5`, got {path}")
        with replacing(path) as temporary, h5py.File(temporary, "w") as file:
            self._write(self.weights_dict, file, "")

    def resave_weights(self, filepath):
        """The same as :meth:`save`."""
        self.save(filepath)

    def _write(self, weights, file, path):
        own = {key: value for key, value in weights.items() if not isinstance(value, dict)}
        name = self.object_metadata.get(path, {}).get("name")
        if own or name is not None:
            group = file.require_group(f"{path}/vars")
            if name is not None:
                group.attrs["name"] = name
            store = weights_h5.Store(group)
            for key, value in own.items():
                store[key] = value
        for key, value in weights.items():
            if isinstance(value, dict):
                self._write(value, file, f"{path}/{key}")

    def __repr__(self):
        return f"<KerasFileEditor {self.filepath!r}: {list(self.weights_dict)}>"


def _read_group(file, metadata):
    """Arrays of a file as dicts in dicts, the group "vars" of an object merged into it; attributes go to ``metadata`` by path."""
    seen: set = set()

    def once(item):
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            raise UnsafeFileError(f"'{item.name}' is in the file under two names: refused.")
        seen.add(address)

    def read(group, path, depth):
        once(group)
        if depth > 100:
            raise UnsafeFileError(f"'{path[:200]}' is nested too deeply: refused.")
        found = {}
        for key in group:
            item = h5_member(group, key)
            if isinstance(item, h5py.Group):
                is_own = key == "vars"
                inner = read(item, path if is_own else f"{path}/{key}", depth + 1)
                name = h5_attribute(item, "name")
                if is_own and isinstance(name, str):
                    metadata[path] = {"name": name}
                if is_own:
                    found.update(inner)
                elif inner:
                    found[key] = inner
            else:
                once(item)
                found[key] = weights_h5.Store(group)[key]
        return found

    return read(file, "", 0)


def _spec(model):
    """What a file of the model's weights would hold: shapes as dicts in dicts."""
    spec: dict = {}
    for path, item in weights_h5.walk(model):
        store: dict = {}
        if hasattr(item, "save_own_variables"):
            item.save_own_variables(store)
        if store:
            at = spec
            for part in path.split("/") if path else ():
                at = at.setdefault(part, {})
            at.update({key: np.asarray(value) for key, value in store.items()})
    return spec


def _places(weights, name, path):
    if name in weights:
        yield weights, f"{path}/{name}"
    for key, value in weights.items():
        if isinstance(value, dict):
            yield from _places(value, name, f"{path}/{key}")


def _check_weights(weights):
    if not isinstance(weights, dict):
        raise ValueError(f"`weights` should be a dict of NumPy arrays by name ('0', '1', ...), got {type(weights)}")
    for key, value in weights.items():
        if not isinstance(key, str) or not key or "/" in key:
            raise ValueError(f"A weight's name must be a string without '/'. Received: {key!r}")
        if isinstance(value, dict):
            _check_weights(value)
        elif np.asarray(value).dtype.kind not in "biufcV":
            raise ValueError(f"Weight '{key}' must be an array of numbers. Received: {value!r}")


def _counted(n, what):
    return f"{n} {what}{'' if n == 1 else 's'}"


def _shown(value):
    """Text from a file for the terminal: no markup, no control characters."""
    text = "".join(c if c.isprintable() else "?" for c in str(value))
    return text[:500].replace("[", r"\[")
