"""A file may name the user's own classes in modules that are imported already, and nothing else of these modules."""

import sys
import types

import pytest

import kerasish as keras
from kerasish.saving import deserialize_keras_object, serialize_keras_object


class Doubling(keras.layers.Layer):
    def call(self, x):
        return 2 * x


class Halves(keras.metrics.Mean):
    pass


class Plain:
    """No class that is made for files."""

    def __init__(self, **kwargs):
        raise AssertionError("a file has called it")


def function(**kwargs):
    raise AssertionError("a file has called it")


Renamed = Doubling


def config_of(name, module=__name__, **config):
    return {"module": module, "class_name": name, "config": config, "registered_name": name}


@pytest.mark.parametrize("make", [Doubling, Halves])
def test_an_unregistered_class_is_found_where_it_is_defined(make):
    copy = deserialize_keras_object(serialize_keras_object(make(name="mine")))
    assert type(copy) is make and copy.name == "mine"


def test_a_model_with_unregistered_layers_is_loaded(tmp_path):
    model = keras.Sequential([keras.Input((2,)), Doubling(), keras.layers.Dense(1)])
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    assert type(copy.layers[0]) is Doubling
    assert copy(keras.ops.ones((1, 2))).tolist() == model(keras.ops.ones((1, 2))).tolist()


@pytest.mark.parametrize("name", ["Plain", "Renamed", "keras", "sys", "Doubling.call", "__name__", "Missing", "deserialize_keras_object"])
def test_nothing_else_is_found(name):
    with pytest.raises(TypeError, match="Could not locate class"):
        deserialize_keras_object(config_of(name))


def test_no_function_is_found():
    config = {"module": __name__, "class_name": "function", "config": "function", "registered_name": "function"}
    with pytest.raises(TypeError, match="Could not locate function"):
        deserialize_keras_object(config)


@pytest.mark.parametrize(
    ("name", "module"),
    [("Saveable", "kerasish.saveable"), ("CompileMetrics", "kerasish.training.compiled"), ("Path", "pathlib"), ("Popen", "subprocess"),
     ("Doubling", "tests.saving"), ("Doubling", None)],
)  # fmt: skip
def test_no_class_of_other_modules(name, module):
    with pytest.raises(TypeError, match="Could not locate class"):
        deserialize_keras_object(config_of(name, module))


def test_a_class_that_only_says_that_it_comes_from_a_module(monkeypatch):
    """Where a class was made decides, not a module that merely knows it."""
    other = types.ModuleType("tests.saving.other")
    other.Doubling = Doubling
    monkeypatch.setitem(sys.modules, "tests.saving.other", other)
    with pytest.raises(TypeError, match="Could not locate class"):
        deserialize_keras_object(config_of("Doubling", "tests.saving.other"))


def test_no_module_is_imported():
    module = "xml.dom.pulldom"
    assert module not in sys.modules
    with pytest.raises(TypeError, match="Could not locate class"):
        deserialize_keras_object(config_of("PullDOM", module))
    assert module not in sys.modules
