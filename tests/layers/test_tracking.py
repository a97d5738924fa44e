"""Containers on a layer own what is put into them, however it is put in."""

import numpy as np

import kerasish as ks
from kerasish import layers, tree


def test_dicts_lists_and_sets():
    layer = ks.Layer()
    layer.blocks = [layers.Dense(1)]
    layer.by_name = {1: layers.Dense(2), "a": layers.Dense(3)}
    layer.by_name |= {"b": layers.Dense(4)}
    layer.some = {layers.Dense(5)}
    assert len(layer._layers) == 5
    assert tree.map_structure(lambda x: 0, layer.by_name) == {1: 0, "a": 0, "b": 0}
    layer.some.clear()
    layer.by_name.pop("b")
    assert len(layer._layers) == 3


def test_a_layer_met_twice_is_owned_once():
    layer, inner = ks.Layer(), layers.Dense(1)
    layer.a = layer.b = inner
    layer.c = [inner, inner]
    assert len(layer._layers) == 1


def test_subclass_with_a_field_more():
    class Scaled(layers.Dense):
        scale: float = 2.0

        def call(self, x, training=None):
            return super().call(x) * self.scale

    layer = Scaled(1, kernel_initializer="ones", scale=3.0)
    assert layer(np.ones((1, 2), "float32")).tolist() == [[6.0]]
    assert Scaled.from_config(layer.get_config()).get_config() == layer.get_config()
