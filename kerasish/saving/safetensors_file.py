"""Weights in ``.safetensors`` files: arrays under the paths of their variables, which other frameworks' tools read too.

The package (extra ``safetensors``) checks a file's header against its size before anything is read, so that a file can claim no more
than it holds; names and shapes are compared with the model's before any array is.
"""

import json
import os
import warnings

import numpy as np

from kerasish.layers.mismatch import Report, differences, shortened
from kerasish.loading import loading
from kerasish.saving.limits import parse_json, replacing


def save_weights(model, path):
    """Write the model's weights (no optimizer) to ``path``, their order in the metadata."""
    _need_built(model, "saving")
    package = _package()
    arrays = {name: np.require(v.numpy(), requirements="C") for name, v in _named(model).items()}
    metadata = {"format": "keras", "model": model.name, "order": json.dumps(list(arrays))}
    with replacing(path) as temporary:
        package.numpy.save_file(arrays, temporary, metadata)


def load_weights(model, path, skip_mismatch=False):
    """Set the model's weights from ``path``: by name, or in order where only the names' numbers differ.

    What does not fit is an error that lists it, before anything is changed, or with ``skip_mismatch`` a warning.
    """
    _need_built(model, "loading")
    package = _package()
    if not os.path.isfile(path):
        raise FileNotFoundError(f"File not found: filepath={path}")
    with loading(path):
        try:
            file = package.safe_open(path, "numpy")
        except package.SafetensorError as error:
            raise ValueError(f"it is no readable safetensors file (foreign, truncated or damaged): {error}") from error
        with file:
            _load(model, path, file, skip_mismatch)


def _load(model, path, file, skip_mismatch):
    shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    own = _named(model)
    places = _matched(own, shapes, _order(file.metadata()))
    report = Report(model, path)
    for name, variable in own.items():
        lines = differences([(name, variable.shape, shapes.get(places.get(name)))])
        if lines:
            report.add(lines[0], "")
    report.extra = shortened([f"{name}: {shape}" for name, shape in shapes.items() if name not in places.values()])
    if report or report.extra:
        if not skip_mismatch:
            raise ValueError(str(report))
        warnings.warn(str(report), stacklevel=6)
    for name, variable in own.items():
        if places.get(name) in shapes and shapes[places[name]] == tuple(variable.shape):
            variable.assign(file.get_tensor(places[name]))


def _matched(own, shapes, order):
    """Name in the file for each name in the model."""
    if set(own) == set(shapes) or sorted(order) != sorted(shapes) or len(order) != len(own):
        return {name: name for name in own if name in shapes}
    pairs = list(zip(own.items(), order, strict=True))
    if all(name.split("/")[-1] == other.split("/")[-1] and tuple(v.shape) == shapes[other] for (name, v), other in pairs):
        return {name: other for (name, _), other in pairs}  # the same model, whose layers were numbered anew
    return {name: name for name in own if name in shapes}


def _order(metadata):
    """The names in the order of the model that was saved, empty where the file doesn't say."""
    try:
        order = parse_json((metadata or {}).get("order", "[]"), "its metadata")
    except ValueError:
        return []
    return order if isinstance(order, list) and all(isinstance(name, str) for name in order) else []


def _named(model):
    """The weights by path; a path that is there already gets a number."""
    named = {}
    for variable in model.weights:
        name, n = variable.path, 0
        while name in named:
            n += 1
            name = f"{variable.path}_{n}"
        named[name] = variable
    return named


def _need_built(model, doing):
    if not model.built:
        raise ValueError(f"You are {doing} weights of model '{model.name}', which has not yet been built: it has none. Build it first.")


def _package():
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError('`.safetensors` files need the package safetensors: pip install "kerasish[safetensors]"') from error
    return safetensors
