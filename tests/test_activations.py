"""Names of activations, and what they become in configs. Their values are rows of the conformance tables."""

import inspect

import keras
import numpy as np
import pytest

import kerasish
from kerasish import activations, layers, saving
from kerasish.saveable import converters

FUNCTIONS = [name for name in activations.__all__ if name not in ("get", "serialize", "deserialize")]


def test_all_of_keras_are_here():
    theirs = [name for name in dir(keras.activations) if not name.startswith("_")]
    assert set(activations.__all__) == set(theirs)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_names_and_signatures(name):
    function = activations.get(name)
    assert function is getattr(activations, name)
    assert str(inspect.signature(function)) == str(inspect.signature(getattr(keras.activations, name)))
    assert activations.serialize(function) == keras.activations.serialize(getattr(keras.activations, name))
    assert activations.deserialize(activations.serialize(function)) is function


@pytest.mark.parametrize("negative_slope", [0.0, 0.3])
@pytest.mark.parametrize("max_value", [None, 6, 1.5])
@pytest.mark.parametrize("threshold", [0.0, 0.7, -0.7])
def test_relu_in_all_its_forms(negative_slope, max_value, threshold):
    x = np.linspace(-8.0, 8.0, 40, dtype="float32")
    options = {"negative_slope": negative_slope, "max_value": max_value, "threshold": threshold}
    np.testing.assert_allclose(activations.relu(x, **options), keras.activations.relu(x, **options), atol=1e-6)


def own(x):
    return x * 2


@saving.register_keras_serializable("tests")
def registered(x):
    return x * 3


def test_functions_of_ones_own():
    assert activations.get(own) is own
    config = activations.serialize(own)
    assert config == {"module": "builtins", "class_name": "function", "config": "own", "registered_name": "function"}
    with pytest.raises(TypeError, match="own"):
        activations.deserialize(config)
    assert activations.deserialize(config, custom_objects={"own": own}) is own
    assert activations.get(activations.serialize(registered)) is registered
    assert activations.get("tests>registered") is registered
    with saving.custom_object_scope({"own": own}):
        assert activations.get("own") is own


def test_own_function_with_a_builtin_name_is_not_the_builtin():
    def relu(x):
        return x

    assert isinstance(activations.serialize(relu), dict)


def test_ops_as_activations():
    assert activations.serialize(kerasish.ops.relu) == "relu"  # though activations.relu has more parameters
    assert activations.serialize(kerasish.ops.sin)["config"] == "sin"


def test_layers_as_activations():
    layer = layers.LeakyReLU(0.5)
    again = activations.get(activations.serialize(layer))
    assert isinstance(again, layers.LeakyReLU)
    assert again.negative_slope == 0.5


@pytest.mark.parametrize("wrong", ["nope", 3, {"class_name": "nope", "config": {}, "module": "keras.layers"}])
def test_unknown_identifiers(wrong):
    with pytest.raises((ValueError, TypeError), match="nope|3"):
        activations.get(wrong)
    if not isinstance(wrong, str):
        return
    assert activations.deserialize(wrong) == wrong  # as in Keras


def test_only_callables_are_serialized():
    with pytest.raises(ValueError, match="callable"):
        activations.serialize(3)


def test_as_a_field():
    get, serialize = converters[activations.Activation]
    assert get(None) is activations.linear
    assert serialize(get(None)) == "linear"


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "gelu", "softmax", "exponential", "tanh", "elu", "hard_shrink"])
def test_nodes_in_functional_models(name):
    """A call on a KerasTensor is the same Operation in a file as Keras's."""

    def nodes(library):
        library.backend.clear_session()
        x = library.Input((3,))
        config = library.Model(x, getattr(library.activations, name)(x)).get_config()["layers"][1]
        return {key: config[key] for key in ("module", "class_name", "config")}

    assert nodes(kerasish) == nodes(keras)
