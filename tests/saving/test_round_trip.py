"""Files written here open in real Keras with the same predictions and optimizer state, and here again, to the bit."""

import importlib.util
import pathlib

import keras
import numpy as np
import pytest

import kerasish as ks
from kerasish import tree

SOURCE = pathlib.Path(__file__).parent.parent / "golden" / "make_golden.py"


def _with_import_changed():
    """The builders of the golden files, with kerasish in Keras's place."""
    spec = importlib.util.spec_from_loader("golden_models", loader=None)
    module = importlib.util.module_from_spec(spec)
    text = SOURCE.read_text().replace("\nimport keras\n", "\nimport kerasish as keras\n").replace("from keras import", "from kerasish import")
    exec(compile(text, str(SOURCE), "exec"), module.__dict__)  # our own file
    return module


MODELS = {function.__name__: function for function in _with_import_changed().MODELS}
# what real Keras 3.15.1 can't read of its own .h5 either
H5_NOT_IN_KERAS = {"ops_model": "operators in the graph"}


def trained(name):
    ks.utils.set_random_seed(7)
    model, compiled, (x, y) = MODELS[name](np.random.default_rng(0))
    model.compile(**compiled)
    for _ in range(2):
        model.train_on_batch(x, y)
    return model, x, y


def predictions(model, x):
    return [np.asarray(p) for p in tree.flatten(model.predict(x, verbose=0))]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_whole_model_here_and_in_keras(name, ending, tmp_path):
    model, x, y = trained(name)
    path = tmp_path / f"model.{ending}"
    model.save(path)
    expected = predictions(model, x)
    again = ks.models.load_model(path)
    for a, b in zip(predictions(again, x), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    for v, w in zip(again.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(v, w)
    if ending == "h5" and name in H5_NOT_IN_KERAS:
        return
    theirs = keras.models.load_model(path)
    for a, b in zip(predictions(theirs, x), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    if ending == "keras":
        for v, w in zip(theirs.optimizer.variables, model.optimizer.variables, strict=True):
            np.testing.assert_array_equal(v, w)
        ours, real = model.train_on_batch(x, y, return_dict=True), theirs.train_on_batch(x, y, return_dict=True)
        assert set(ours) == set(real)


@pytest.mark.parametrize("name", MODELS)
def test_config_json_is_keras(name, tmp_path):
    """The same model made by real Keras has the same config."""
    real = importlib.util.module_from_spec(importlib.util.spec_from_loader("real_models", loader=None))
    exec(compile(SOURCE.read_text(), str(SOURCE), "exec"), real.__dict__)
    theirs = getattr(real, name)(np.random.default_rng(0))[0]
    ours = MODELS[name](np.random.default_rng(0))[0]
    assert _comparable(ours.get_config()) == _comparable(theirs.get_config())


def _comparable(config):
    """Without automatic names and object ids, and with lists for tuples."""
    if isinstance(config, dict):
        if config.get("kwargs") == {"mask": None}:  # Keras notes masks that there are not
            config = {**config, "kwargs": {}}
        skipped = {"shared_object_id", *(["build_config"] if "Pooling" in str(config.get("class_name")) else [])}  # no weights: says nothing
        return {k: _comparable(v) for k, v in sorted(config.items()) if k not in skipped}
    if isinstance(config, (list, tuple)):
        return [_comparable(item) for item in config]
    if isinstance(config, str):
        return config.rstrip("0123456789").rstrip("_")
    return config


@pytest.mark.parametrize("name", MODELS)
def test_weights_in_keras(name, tmp_path):
    model, x, _ = trained(name)
    path = tmp_path / "m.weights.h5"
    model.save_weights(path)
    model.save(tmp_path / "m.keras")
    theirs = keras.models.load_model(tmp_path / "m.keras", compile=False)
    for v in theirs.weights:
        v.assign(np.zeros(v.shape, v.dtype))
    theirs.load_weights(path)
    for a, b in zip(predictions(theirs, x), predictions(model, x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
