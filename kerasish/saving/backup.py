"""Backups of a training: one HDF5 file with all that a training needs to go on as if nothing had happened.

The file is a ``.weights.h5`` (model and optimizer, which Keras reads too) with one group more: every variable by number (those that
the weights hold anyway are links to them, not copies), and a structure of plain values and arrays: what callbacks, data and random
generators have in mind. HDF5 leaves room for others at the beginning of a file; a checksum over all the rest lies there.
"""

import concurrent.futures
import hashlib
import json
import os
from collections.abc import Mapping

import h5py
import numpy as np

from kerasish import config
from kerasish.backend.arrays import is_array
from kerasish.backend.autodiff.state import state as global_state
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.backend.autodiff.variable import Variable
from kerasish.backend.random import _GENERATOR, global_seed_generator
from kerasish.layers.layer import Layer
from kerasish.optimizers.optimizer import Optimizer
from kerasish.saving import weights_h5
from kerasish.saving.limits import h5_member, open_h5, parse_json, replacing

_GROUP = "training.state"  # no attribute has a dot in its name, so no object's group can be called this
_SEAL, _ROOM = b"kerasish backup 1 sha256 ", 512


class DamagedBackupError(ValueError):
    """The file is cut off, changed or no HDF5 file at all."""


# ---- all variables of a training
def _parts(model):
    """What has a group in the file: pairs (path, layer or optimizer)."""
    return [(path, item) for path, item in weights_h5.walk(model) if hasattr(item, "save_own_variables")]


def training_variables(model, parts):
    """Every variable that a training may change: of layers, seeds, optimizers and metrics, each once, in a fixed order. Also those
    that a layer keeps beside its weights, such as the states of a stateful RNN, and what other optimizers train."""
    found = [*model.variables, *([] if model.optimizer is None else model.optimizer.variables), *model.metrics_variables]
    for _, item in parts:  # optimizers that a subclass keeps beside the compiled one
        found += [*item.variables, *item._trainable_variables] if isinstance(item, Optimizer) else []
    for layer in model._flatten_layers():
        found += [v for value in list(vars(layer).values()) for v in _variables_in(value)]
    return list({id(v): v for v in found}.values())


def _variables_in(value):
    if isinstance(value, Variable):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _variables_in(item)


def _held(parts, file):
    """Which datasets of the file's weights are a variable as it is: id of the variable -> dataset."""
    held = {}
    for path, item in parts:
        known = type(item).save_own_variables in (Layer.save_own_variables, Optimizer.save_own_variables)
        own = item._variables_in_files() if isinstance(item, Layer) else getattr(item, "variables", [])
        for i, variable in enumerate(own):
            dataset = file.get(f"{weights_h5._group_name(path)}/{i}")
            if dataset is not None and (known or np.asarray(dataset).tobytes() == variable.numpy().tobytes()):
                held.setdefault(id(variable), dataset)
    return held


# ---- the file
def write(path, model, state):
    """Write a backup; the old file stays until the new one is whole. ``state``: nested dicts and lists of plain values and arrays."""
    parts, arrays = _parts(model), []
    variables = training_variables(model, parts)
    text = json.dumps({"kinds": _kinds(variables), "state": _encoded(state, arrays, "state")})
    with replacing(path) as temporary:
        with h5py.File(temporary, "w", userblock_size=_ROOM) as file:
            weights_h5.write(model, file)
            group = file.create_group(_GROUP)
            _write_variables(group, variables, _held(parts, file))
            _fill(group, "arrays", arrays)
            group["text"] = np.frombuffer(text.encode(), np.uint8)
        _seal(temporary)


def _kinds(variables):
    return [[list(v.shape), v.dtype] for v in variables]


def _write_variables(group, variables, held):
    numbered = group.create_group("variables")
    store = weights_h5.Store(numbered)
    for i, variable in enumerate(variables):
        if id(variable) in held:
            numbered[str(i)] = held[id(variable)]  # a hard link
        else:
            store[str(i)] = variable.numpy()


def _fill(group, name, arrays):
    store = weights_h5.Store(group.create_group(name))
    for i, array in enumerate(arrays):
        store[str(i)] = array


def _seal(path):
    """Put the checksum in its place; it is worked out while the disk writes."""
    with open(path, "rb+") as file, concurrent.futures.ThreadPoolExecutor(1) as pool:
        written = pool.submit(os.fsync, file.fileno())
        file.seek(_ROOM)
        seal = _SEAL + hashlib.file_digest(file, "sha256").hexdigest().encode()
        written.result()
        file.seek(0)
        file.write(seal)


def _is_sealed(path):
    """Whether the file is one of ours; DamagedBackupError where it is and has been changed."""
    with open(path, "rb") as file:
        seal = file.read(_ROOM).rstrip(b"\0")
        if not seal.startswith(_SEAL):
            return False
        if hashlib.file_digest(file, "sha256").hexdigest().encode() != seal.removeprefix(_SEAL):
            raise DamagedBackupError(f"The backup {path} is damaged: its checksum does not fit.")
    return True


class Backup:
    """What a backup's file holds. ``state``: as it was given to :func:`write`; None in a file that real Keras wrote."""

    def __init__(self, path):
        self.path, self.state, self.values = path, None, None
        sealed = _is_sealed(path)
        try:
            with open_h5(path) as file:
                if sealed:
                    self._read(h5_member(file, _GROUP))
                elif _GROUP in file:
                    raise DamagedBackupError(f"The backup {path} is damaged: its checksum is gone.")
        except FileNotFoundError:
            raise
        except (ValueError, KeyError, OSError) as error:
            if isinstance(error, DamagedBackupError):
                raise
            raise DamagedBackupError(f"The backup {path} can't be read: {error}") from error

    def _read(self, group):
        content = parse_json(np.asarray(h5_member(group, "text"), np.uint8).tobytes(), "its state")
        values, arrays = (weights_h5.Store(h5_member(group, name)) for name in ("variables", "arrays"))
        self.kinds = content["kinds"]
        self.values = [values[str(i)] for i in range(len(self.kinds))]
        self.state = _decoded(content["state"], arrays)

    def restore_variables(self, model):
        """Set all variables; ValueError, and nothing is changed, where the model is another one than that of the backup."""
        if self.values is None:
            weights_h5.load_weights(model, self.path)
            return
        variables = training_variables(model, _parts(model))
        kinds = _kinds(variables)
        if kinds != self.kinds:
            raise ValueError(self._mismatch(variables, kinds))
        for variable, value in zip(variables, self.values, strict=True):
            variable.assign(value)

    def _mismatch(self, variables, kinds):
        differences = [f"{v.path} has {_said(now)}, the backup's has {_said(then)}"
                       for v, now, then in zip(variables, kinds, self.kinds, strict=False) if now != then]  # fmt: skip
        return (
            f"The backup {self.path} is of another training: it has {len(self.kinds)} variables; the model, its optimizer and its "
            f"metrics have {len(kinds)}. {'; '.join(differences[:3])}. Delete the backup to begin anew. (Optimizers beside the "
            "compiled one must be built before `fit`.)"
        )


def _said(kind):
    return f"shape {tuple(kind[0])} {kind[1]}"


# ---- plain values and arrays as JSON
def _encoded(value, arrays, where):
    """A structure as JSON; arrays become numbers of those that are appended to ``arrays``."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Tensor) or is_array(value) or isinstance(value, (np.ndarray, np.generic)):
        arrays.append(value.numpy() if isinstance(value, Tensor) else np.asarray(value))
        return {"array": len(arrays) - 1}
    if isinstance(value, (list, tuple)):
        return [_encoded(item, arrays, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _encoded(item, arrays, f"{where}[{key!r}]") for key, item in value.items()}}
    raise TypeError(
        f"{where} can't be backed up. Expected None, booleans, numbers, strings, arrays, and lists and dicts (by string) of these. "
        f"Received: {value!r} (of type {type(value)})"
    )


def _decoded(value, arrays):
    if isinstance(value, list):
        return [_decoded(item, arrays) for item in value]
    if isinstance(value, dict) and "array" in value:
        array = arrays[str(value["array"])]
        return array[()] if array.ndim == 0 else array
    if isinstance(value, dict):
        return {key: _decoded(item, arrays) for key, item in value["dict"].items()}
    return value


# ---- the generator of draws without a seed
def global_seed_state():
    """Where it stands, None if nothing has been drawn from it."""
    generator = global_state.global_attributes.get(_GENERATOR)
    return None if generator is None else generator.state.numpy()


def set_global_seed_state(value):
    """Put it back there."""
    if value is not None:
        global_seed_generator().state.assign(value)
    elif global_state.global_attributes.pop(_GENERATOR, None) is not None:
        config._changes.count += 1  # recorded steps may hold the generator
