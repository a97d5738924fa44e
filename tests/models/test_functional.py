"""Functional models: structures in and out, sharing, nesting, partial graphs; side by side with real Keras."""

import keras
import numpy as np
import pytest

import kerasish as ks
from kerasish import layers, ops


def both(build):
    """The same model by both libraries, with the same weights and automatic names."""
    keras.utils.clear_session()
    ks.utils.clear_session()
    theirs, ours = build(keras), build(ks)
    ours.set_weights([np.asarray(v.value) for v in theirs.weights])
    return ours, theirs


def same_outputs(ours, theirs, x, tol=1e-5):
    a, b = ours.predict(x, verbose=0), theirs.predict(x, verbose=0)
    for p, q in zip(ks.tree.flatten(a), ks.tree.flatten(b), strict=True):
        np.testing.assert_allclose(p, q, rtol=tol, atol=tol)
    ks.tree.assert_same_structure(a, b)


def rows(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def test_several_inputs_and_outputs_in_structures():
    def build(k):
        a, b = k.Input((3,), name="a"), k.Input((3,), name="b")
        shared = k.layers.Dense(2)
        total = k.layers.Add()([shared(a), shared(b)])
        return k.Model({"a": a, "b": b}, {"sum": total, "parts": [shared(a), k.ops.relu(total)]})

    ours, theirs = both(build)
    assert [layer.name.split("_")[0] for layer in ours.layers] == [layer.name.split("_")[0] for layer in theirs.layers]
    same_outputs(ours, theirs, {"a": rows(5, 3), "b": rows(5, 3)})
    assert ours.input_names == ["a", "b"] and len(ours.layers[2]._inbound_nodes) == len(theirs.layers[2]._inbound_nodes)


@pytest.mark.parametrize("container", [list, tuple])
def test_one_output_in_a_list(container):
    """Values come without the list, KerasTensors in it."""

    def build(k):
        x = k.Input((3,))
        return k.Model(x, container([k.layers.Dense(2)(x)]))

    ours, theirs = both(build)
    x = rows(4, 3)
    for k, model in ((ks, ours), (keras, theirs)):
        assert model(x).shape == (4, 2) and model.predict(x, verbose=0).shape == model.predict_on_batch(x).shape == (4, 2)
        assert isinstance(model(k.Input((3,))), container) and isinstance(model.compute_output_spec(k.KerasTensor((4, 3))), container)
        z = k.Input((3,))
        outer = k.Model(z, k.layers.Add()([*model(z), *model(z * 2.0)]))
        assert outer(x).shape == (4, 2)
        model.compile(loss=["mse"], metrics=["mae"])
        model.fit(x, [x[:, :2]], sample_weight=[x[:, 0] ** 2], verbose=0)
    same_outputs(ours, theirs, x)


def test_nested_and_shared_models():
    def build(k):
        inner = k.Sequential([k.Input((3,)), k.layers.Dense(4, activation="tanh")], name="inner")
        x = k.Input((3,))
        y = inner(x)
        middle = k.Model(x, y, name="middle")
        z = k.Input((3,))
        return k.Model(z, k.layers.Concatenate()([middle(z), inner(z * 2.0)]), name="outer")

    ours, theirs = both(build)
    same_outputs(ours, theirs, rows(4, 3))
    assert [v.path for v in ours.weights] == [v.path for v in theirs.weights]


def test_partial_graphs_share_their_layers():
    x = ks.Input((4,))
    h = layers.Dense(3, name="h")(x)
    y = layers.Dense(2, name="y")(ops.tanh(h))
    whole, first = ks.Model(x, y), ks.Model(x, h)
    second = ks.Model(h, y)
    data = rows(2, 4)
    np.testing.assert_allclose(second.predict(first.predict(data, verbose=0), verbose=0), whole.predict(data, verbose=0), rtol=1e-6)
    whole.get_layer("h").kernel.assign(np.zeros((4, 3)))
    np.testing.assert_array_equal(first.predict(data, verbose=0), 0)


def test_inputs_by_name_by_list_and_of_other_rank():
    a, b = ks.Input((1,), name="a"), ks.Input((2,), name="b")
    model = ks.Model([a, b], layers.Concatenate()([a, b]))
    x, y = rows(3, 1), rows(3, 2)
    expected = np.concatenate([x, y], 1)
    for given in ([x, y], {"a": x, "b": y}, {"b": y, "a": x, "unused": y}, [x[:, 0], y]):
        np.testing.assert_array_equal(model(given), expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (rows(3, 5), "expected shape=.None, 4., found shape=.3, 5."),
        (rows(3, 4, 2), "expected shape"),
        ([rows(3, 4), rows(3, 4)], r"expects 1 input\(s\)|structure"),
    ],
)
def test_wrong_inputs_are_refused_with_the_layers_name(given, message):
    x = ks.Input((4,))
    model = ks.Model(x, layers.Dense(1)(x), name="mine")
    with pytest.raises(ValueError, match=message):
        model(given)
    try:
        model(given)
    except ValueError as error:
        assert "mine" in str(error) + "".join(getattr(error, "__notes__", []))


def test_disconnected_graphs_and_bad_arguments():
    x, other = ks.Input((4,), name="x"), ks.Input((4,), name="other")
    with pytest.raises(ValueError, match="not connected"):
        ks.Model(other, layers.Dense(1)(x))
    with pytest.raises(ValueError, match="KerasTensors"):
        ks.Model(x, np.ones(3))
    with pytest.raises(ValueError, match="used 2 times"):
        ks.Model(x, layers.Dense(1, name="same")(layers.Dense(1, name="same")(x)))


def test_subclass_with_functional_arguments():
    class Mine(ks.Model):
        def __init__(self, size):
            x = ks.Input((size,))
            super().__init__(x, layers.Dense(1)(x), name="mine")
            self.size = size

    model = Mine(3)
    assert model.predict(rows(2, 3), verbose=0).shape == (2, 1) and model.output_shape == (None, 1)


def test_config_round_trip_and_json():
    x = ks.Input((4,), name="x")
    y = layers.Dense(2, activation="relu")(x) + 1.0
    model = ks.Model(x, [y, y[:, 0], y[:, [1, 0]]])
    again = ks.models.model_from_json(model.to_json())
    again.set_weights(model.get_weights())
    for a, b in zip(again(rows(3, 4)), model(rows(3, 4)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert ks.Model.from_config(model.get_config()).get_config() == model.get_config()


def test_optional_inputs():
    x, extra = ks.Input((2,), name="x"), ks.Input((2,), name="extra", optional=True)

    class Sum(ks.Layer):
        def call(self, x, y):
            return x if y is None else x + y

        def compute_output_shape(self, x_shape):
            return x_shape

    model = ks.Model([x, extra], Sum()(x, extra))
    data = rows(3, 2)
    np.testing.assert_array_equal(model([data, None]), data)
    np.testing.assert_array_equal(model([data, data]), 2 * data)
    with pytest.raises(ValueError, match="not optional"):
        model([None, data])


def test_masks_travel_through_the_graph():
    def build(k):
        ids = k.Input((4,), dtype="int32")
        x = k.layers.Embedding(5, 3, mask_zero=True)(ids)
        return k.Model(ids, k.layers.GlobalAveragePooling1D()(k.layers.Dense(2)(x)))

    ours, theirs = both(build)
    same_outputs(ours, theirs, np.array([[1, 2, 0, 0], [3, 0, 0, 0]]))


def test_training_flag_reaches_inner_layers():
    x = ks.Input((100,))
    inner = ks.Sequential([layers.Dropout(0.5, seed=1)])
    model = ks.Model(x, inner(x))
    ones = np.ones((1, 100), "float32")
    assert (model(ones).numpy() == 1).all() and (model(ones, training=True).numpy() == 0).any()
