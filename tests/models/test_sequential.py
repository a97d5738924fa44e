"""Sequential models, with and without an Input."""

import numpy as np
import pytest

import kerasish as ks
from kerasish import layers


def ones(*shape):
    return np.ones(shape, "float32")


def test_with_an_input_it_is_built_at_once():
    model = ks.Sequential([ks.Input((3,)), layers.Dense(2), layers.Dense(1)])
    assert model.built and model.input_shape == (None, 3) and model.output_shape == (None, 1)
    assert len(model.layers) == 2 and model.count_params() == 11


def test_without_an_input_it_is_built_by_data():
    model = ks.Sequential([layers.Dense(2), layers.Dense(1)])
    assert not model.built and model.weights == []
    with pytest.raises(AttributeError, match="no defined"):
        _ = model.output_shape
    with pytest.raises(ValueError, match="isn't built"):
        model.count_params()
    assert model(ones(4, 3)).shape == (4, 1)
    assert model.built and model.count_params() == 11
    built = ks.Sequential([layers.Dense(2)])
    built.build((None, 5))
    assert built.weights[0].shape == (5, 2)


def test_add_and_pop():
    model = ks.Sequential(name="stack")
    model.add(ks.Input((3,)))
    model.add(layers.Dense(2, name="a"))
    model.add(layers.Dense(4, name="b"))
    assert model.output_shape == (None, 4)
    assert model.pop().name == "b" and model.output_shape == (None, 2)
    with pytest.raises(ValueError, match="unique names"):
        model.add(layers.Dense(2, name="a"))
    with pytest.raises(ValueError, match="Only instances of"):
        model.add(lambda x: x)
    with pytest.raises(ValueError, match="already been configured"):
        model.add(ks.Input((3,)))


def test_wrong_shapes_and_layers_that_do_not_fit():
    model = ks.Sequential([ks.Input((3,)), layers.Dense(2)], name="stack")
    with pytest.raises(ValueError, match="axis -1 of input shape"):
        model(ones(2, 4))
    with pytest.raises(ValueError, match="already been configured"):
        model.build((None, 9))
    with pytest.raises(ValueError, match="no layers"):
        ks.Sequential().build((None, 2))
    with pytest.raises(ValueError, match="single required positional"):

        class Two(ks.Layer):
            def call(self, x, y):
                return x + y

        ks.Sequential([ks.Input((3,)), Two()])


def test_config_round_trip():
    for model in (
        ks.Sequential([ks.Input((3,), name="in"), layers.Dense(2), layers.Dropout(0.1)], name="net"),
        ks.Sequential([layers.Dense(2)], name="lazy"),
    ):
        again = ks.Sequential.from_config(model.get_config())
        assert again.get_config() == model.get_config() and again.built == model.built


def test_frozen_layers_and_paths():
    model = ks.Sequential([ks.Input((3,)), layers.Dense(2, name="a"), layers.Dense(1, name="b")], name="net")
    assert [v.path for v in model.weights] == ["net/a/kernel", "net/a/bias", "net/b/kernel", "net/b/bias"]
    model.get_layer("a").trainable = False
    assert [v.path for v in model.trainable_weights] == ["net/b/kernel", "net/b/bias"]
    model.trainable = False
    assert model.trainable_weights == [] and len(model.non_trainable_weights) == 4
