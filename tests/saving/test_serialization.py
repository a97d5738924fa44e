"""Names and configs: what may be registered, which scope wins, what a config may hold, and Keras 2's JSON."""

import json

import keras
import numpy as np
import pytest

import kerasish as ks
from kerasish import layers
from kerasish.saving import (
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)


def through_json(obj, **kwargs):
    return deserialize_keras_object(json.loads(json.dumps(serialize_keras_object(obj))), **kwargs)


def test_registered_names():
    @register_keras_serializable("names", name="Other")
    class Own(layers.Layer):
        pass

    @register_keras_serializable()
    def own_function(x):
        return x

    assert get_registered_name(Own) == "names>Other" and get_registered_object("names>Other") is Own
    assert get_registered_name(own_function) == "Custom>own_function" and get_registered_name(len) == "len"
    assert get_custom_objects()["Custom>own_function"] is own_function and get_registered_object("nobody") is None
    assert isinstance(through_json(Own()), Own) and through_json(own_function) is own_function
    config = {"module": "builtins", "class_name": "function", "config": "own_function", "registered_name": "function"}
    assert deserialize_keras_object(config) is own_function  # as Keras 3.6 and before wrote it
    with pytest.raises(ValueError, match=r"get_config\(\)"):
        register_keras_serializable()(type("Plain", (), {}))


def test_scopes_inside_scopes():
    with custom_object_scope({"a": 1, "b": 2}):
        with custom_object_scope({"b": 3, "c": 4}):
            assert [get_registered_object(name) for name in "abc"] == [1, 3, 4]
        assert [get_registered_object(name) for name in "abc"] == [1, 2, None]
        with pytest.raises(KeyError), custom_object_scope({"a": 5}):
            raise KeyError
        assert get_registered_object("a") == 1
    assert get_registered_object("a") is None


@pytest.mark.parametrize("name", ["builtins.eval", "subprocess.Popen", "my>Dense"])
def test_a_registered_name_does_not_stand_for_what_is_built_in(name):
    with pytest.raises(ValueError, match="resolved to a Keras built-in"):
        deserialize_keras_object({"class_name": "Dense", "module": "keras.layers", "registered_name": name, "config": {"units": 1}})
    with pytest.raises(ValueError, match="resolved to a Keras built-in"):
        deserialize_keras_object({"class_name": "function", "module": "builtins", "registered_name": name, "config": "relu"})


@register_keras_serializable("configs")
class Holder(layers.Layer):
    """Its config holds objects as they are, which Keras serializes."""

    def __init__(self, inner, function=None, **kwargs):
        super().__init__(**kwargs)
        self.inner = deserialize_keras_object(inner) if isinstance(inner, dict) else inner
        self.function = deserialize_keras_object(function) if isinstance(function, dict) else function

    def call(self, x):
        return self.inner(x)

    def get_config(self):
        return {**super().get_config(), "inner": self.inner, "function": self.function}


def test_objects_in_configs_are_serialized():
    config = serialize_keras_object(Holder(layers.Dense(2, name="d"), ks.activations.relu))
    assert config["config"]["inner"]["class_name"] == "Dense" and config["config"]["function"]["config"] == "relu"
    again = through_json(Holder(layers.Dense(2, name="d"), ks.activations.relu))
    assert again.inner.units == 2 and again.function is ks.activations.relu


@register_keras_serializable("configs")
class Forgetful(Holder):
    def __init__(self, inner, function=None, **kwargs):
        layers.Layer.__init__(self, **kwargs)
        self.inner = inner.units  # of a dict

    def get_config(self):
        return {**layers.Layer.get_config(self), "inner": layers.Dense(1)}


def test_a_config_that_is_not_made_into_objects_is_said():
    with pytest.raises((TypeError, ValueError), match="units"):
        through_json(Forgetful(layers.Dense(1)))


def test_lambdas_as_values_need_consent():
    factor = 3.0
    with pytest.warns(UserWarning, match="includes a `lambda`"):
        config = json.loads(json.dumps(serialize_keras_object({"f": lambda x, y=2.0: x * y * factor})))
    assert config["f"]["class_name"] == "__lambda__"
    with pytest.raises(ValueError, match="arbitrary code execution"):
        deserialize_keras_object(config)
    assert deserialize_keras_object(config, safe_mode=False)["f"](2.0) == 12.0


@pytest.mark.parametrize(
    "obj",
    [
        lambda k: k.initializers.VarianceScaling(2.0, "fan_out", "uniform", seed=3),
        lambda k: k.regularizers.L1L2(0.1, 0.2),
        lambda k: k.constraints.MinMaxNorm(0.1, 0.9),
        lambda k: k.losses.Tversky(0.3, 0.7, reduction="sum"),
        lambda k: k.metrics.TopKCategoricalAccuracy(3),
        lambda k: k.optimizers.Adam(k.optimizers.schedules.CosineDecay(0.1, 10), clipnorm=1.0),
        lambda k: k.optimizers.schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2, 0.3]),
        lambda k: k.layers.Bidirectional(k.layers.LSTM(2), merge_mode="sum", name="b"),
        lambda k: k.dtype_policies.DTypePolicy("mixed_bfloat16"),
        lambda k: k.Sequential([k.Input((2,), name="i"), k.layers.Dense(1, name="d")], name="s"),
        lambda k: [(1, 2.5), None, {"a": True}, slice(1, None, 2), ..., b"text", np.float32(2)],
    ],
)
def test_every_kind_of_object_has_the_config_of_keras(obj):
    for library in (ks, keras):
        library.utils.clear_session()  # names are numbered
    ours, theirs = (json.loads(json.dumps(library.saving.serialize_keras_object(obj(library)))) for library in (ks, keras))
    assert drop_ids(ours) == drop_ids(theirs)
    assert drop_ids(json.loads(json.dumps(serialize_keras_object(deserialize_keras_object(theirs))))) == drop_ids(theirs)


def drop_ids(config):
    if isinstance(config, dict):
        return {key: drop_ids(value) for key, value in config.items() if key != "shared_object_id"}
    return [drop_ids(item) for item in config] if isinstance(config, list) else config


def test_models_as_json():
    model = ks.Sequential([ks.Input((2,)), layers.Dense(3, name="d")], name="s")
    model.compile("sgd", "mse")
    again = ks.models.model_from_json(model.to_json(indent=1))
    assert again.get_layer("d").units == 3 and again.compiled
    old = {
        "class_name": "Sequential", "keras_version": "2.9.0", "backend": "tensorflow",
        "config": {"name": "s", "layers": [{"class_name": "GRU", "config": {"name": "g", "units": 2, "batch_input_shape": [None, 3, 1],
                                                                             "time_major": False}}]},
    }  # fmt: skip
    made = ks.models.model_from_json(json.dumps(old))
    assert made.output_shape == (None, 2) and not made.get_layer("g").reset_after
    with pytest.raises(ValueError, match="'name' and 'layers' keys"):
        ks.models.model_from_json(json.dumps({"module": "keras", "class_name": "Sequential", "config": {"layers": []}}))
    with pytest.raises(ValueError, match=r"Expected a dictionary containing a 'config' key"):
        ks.models.model_from_json(json.dumps({"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": [{}]}}))
