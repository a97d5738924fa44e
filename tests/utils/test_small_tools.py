"""pad_sequences, Config, normalize, to_categorical, get_source_inputs and the configs of Keras 2, against real Keras."""

import copy
import inspect
import json
import pickle

import keras as real
import numpy as np
import pytest

import kerasish as keras
from kerasish import layers
from kerasish.utils import Config, get_source_inputs, pad_sequences

# ---- pad_sequences
ROWS = [[1], [1, 2], [], [1, 2, 3]]
PADDED = [
    (ROWS, {}),
    (ROWS, {"maxlen": 2}),
    (ROWS, {"maxlen": 2, "truncating": "post"}),
    (ROWS, {"maxlen": 5, "padding": "post", "value": -1.0, "dtype": "float32"}),
    ([[[1, 2]], [[3, 4], [5, 6]], []], {"maxlen": 3}),
    ([[], []], {}),
    ([["a"], ["b", "c"]], {"dtype": object, "value": "none"}),
    ([["a"], ["b", "c"]], {"dtype": "<U5", "value": "none", "padding": "post"}),
    (np.arange(6).reshape(2, 3), {"maxlen": 2}),
]


@pytest.mark.parametrize(("rows", "arguments"), PADDED)
def test_pad_sequences(rows, arguments):
    ours, theirs = (module.utils.pad_sequences(rows, **arguments) for module in (keras, real))
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("rows", "arguments", "message"),
    [
        (iter(ROWS), {}, "must be iterable, with a length"),
        ([[1], 2], {}, "but holds 2"),
        ([[[1]], [2]], {}, "sequence 1 have shape"),
        (ROWS, {"padding": "mid"}, "padding='mid'"),
        (ROWS, {"truncating": "mid"}, "truncating='mid'"),
        ([["a"]], {"value": "none"}, "dtype=object"),
    ],
)
def test_pad_sequences_refuses(rows, arguments, message):
    with pytest.raises(ValueError, match=message):
        pad_sequences(rows, **arguments)


# ---- Config
def test_config_as_attributes_and_items():
    config = Config(a=1)
    config.b, config["c"] = [2], 3
    assert (config.a, config["b"], config.c, len(config), "a" in config, "z" in config) == (1, [2], 3, 3, True, False)
    assert list(config) == sorted(config.keys()) == ["a", "b", "c"]
    assert list(config.items()) == list(zip(config.keys(), config.values(), strict=True))
    assert json.loads(config.to_json()) == config.as_dict() == {"a": 1, "b": [2], "c": 3}
    assert (config.get("z"), config.get("z", 4), config.pop("c"), config.pop("c", 5)) == (None, 4, 3, 5)
    config.update({"d": 6}, e=7)
    del config["e"]
    assert repr(config) == repr(real.utils.Config(**config.as_dict())) == "<Config {'a': 1, 'b': [2], 'd': 6}>"
    assert config.as_dict() is not config.as_dict()


def test_config_frozen():
    config = Config(a=1)
    config.freeze()
    assert config.frozen
    for change in (
        lambda: setattr(config, "a", 2), lambda: config.__setitem__("b", 1), lambda: config.pop("a"), lambda: config.update(a=2),
        lambda: config.__delitem__("a"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="frozen"):
            change()
    config.unfreeze()
    config.a = 2
    assert config.a == 2


def test_config_names():
    config = Config(learning_rate=1)
    with pytest.raises(AttributeError, match="Unknown attribute: 'learning_rat'. Did you mean 'learning_rate'"):
        _ = config.learning_rat
    with pytest.raises(AttributeError, match="Unknown attribute: 'z'.$"):
        _ = config.z
    with pytest.raises(AttributeError, match="part of Config"):
        config.keys = 1
    for other in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert other.as_dict() == {"learning_rate": 1}


# ---- numbers
@pytest.mark.parametrize("x", [[0, 2, 1], [[0], [2]], [[[1], [0]]], [[0, 1], [2, 0]], 3])
@pytest.mark.parametrize("num_classes", [None, 4])
def test_to_categorical(x, num_classes):
    ours, theirs = (module.utils.to_categorical(x, num_classes) for module in (keras, real))
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    np.testing.assert_array_equal(ours, theirs)
    tensor = keras.utils.to_categorical(keras.ops.array(x), num_classes or 4)
    assert tensor.dtype == "float32"
    np.testing.assert_array_equal(tensor, real.utils.to_categorical(x, num_classes or 4))


@pytest.mark.parametrize("arguments", [{}, {"axis": 0}, {"order": 1}, {"axis": 1, "order": 3}])
def test_normalize(arguments):
    x = np.random.RandomState(0).normal(size=(3, 4)).astype("float32")
    x[0] = 0
    norm = np.linalg.norm(x, arguments.get("order", 2), arguments.get("axis", -1), keepdims=True)
    wanted = x / np.where(norm == 0, 1, norm)
    np.testing.assert_allclose(keras.utils.normalize(x, **arguments), wanted, rtol=1e-6)
    np.testing.assert_allclose(keras.utils.normalize(keras.ops.array(x), **arguments), wanted, rtol=1e-5)
    if arguments.get("axis") != 0:  # where Keras takes the last axis to divide by
        np.testing.assert_allclose(real.utils.normalize(x, **arguments), wanted, rtol=1e-6)


# ---- graphs
def test_source_inputs():
    def sources(keras):
        a, b, c = (keras.Input((2,), name=name) for name in "abc")
        y = keras.layers.Dense(2)(keras.layers.add([b, keras.layers.add([c, a])]))
        inner = keras.Model([a, b], keras.layers.add([a, b]))
        return [[x.name for x in keras.utils.get_source_inputs(t)] for t in (a, y, inner([c, y]))]

    assert sources(keras) == sources(real) == [["a"], ["b", "c", "a"], ["c", "b", "a"]]
    assert get_source_inputs(3) == 3


def test_source_inputs_of_a_deep_graph():
    x = start = layers.Input((2,))
    for _ in range(3000):
        x = x + 1
    assert get_source_inputs(x) == [start] or get_source_inputs(x)[0] is start


# ---- configs of Keras 2
def made(keras, what):
    return {
        "dense": lambda: keras.layers.Dense(2, kernel_regularizer=keras.regularizers.L2(0.5), name="d"),
        "initializer": lambda: keras.initializers.Constant(2.0),
        "function": lambda: keras.activations.relu,
        "nothing": lambda: None,
    }[what]()


@pytest.mark.parametrize("what", ["dense", "initializer", "function", "nothing"])
def test_legacy_configs(what):
    ours, theirs = (module.utils.legacy.serialize_keras_object(made(module, what)) for module in (keras, real))
    if what == "dense":
        for config in (ours, theirs):
            config["config"].pop("dtype")  # a policy, whose object says so in another way
    assert ours == theirs


def test_legacy_round_trip():
    legacy = keras.utils.legacy

    class Mine:
        def __init__(self, factor=1, inner=None):
            self.factor, self.inner = factor, inner

        def get_config(self):
            return {"factor": self.factor, "inner": self.inner, "name": "double"}

        @classmethod
        def from_config(cls, config):
            config.pop("name")
            return cls(**config)

    def double(x):
        return 2 * x

    known = {"Mine": Mine, "double": double}
    config = legacy.serialize_keras_object(Mine(3, Mine(double)))
    assert config["config"]["inner"]["__passive_serialization__"] is True
    assert json.loads(json.dumps(config)) == config
    again = legacy.deserialize_keras_object(config, custom_objects=known)
    assert (again.factor, again.inner.factor) == (3, double)
    assert legacy.deserialize_keras_object("Mine", module_objects=known).factor == 1
    assert legacy.deserialize_keras_object("double", known) is double
    assert legacy.deserialize_keras_object(double) is double
    assert legacy.deserialize_keras_object(None) is None
    made = legacy.deserialize_keras_object({"class_name": "make", "config": {"a": 1}}, {"make": lambda a: ("made", a)})
    assert made == ("made", 1)


@pytest.mark.parametrize(
    ("value", "message"),
    [("nope", "Unknown object: 'nope'"), ({"class_name": "nope", "config": {}}, "Unknown object"), ({"a": 1}, "Improper config"), (3, "interpret")],
)
def test_legacy_refuses(value, message):
    with pytest.raises(ValueError, match=message):
        keras.utils.legacy.deserialize_keras_object(value)
    with pytest.raises(ValueError, match="get_config"):
        keras.utils.legacy.serialize_keras_object(3)


def test_public_names_are_all_of_keras():
    ours, theirs = set(keras.utils.__all__), {name for name in dir(real.utils) if not name.startswith("_")}
    assert theirs - ours == set()
    assert inspect.signature(keras.utils.standardize_dtype) == inspect.signature(real.utils.standardize_dtype)
