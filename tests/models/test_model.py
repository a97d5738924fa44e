"""Subclassed models, cloning, state trees, and the summary in 80 columns, in a log and without colours."""

import copy
import io
import pickle
import re

import numpy as np
import pytest

import kerasish as ks
from kerasish import layers


def ones(*shape):
    return np.ones(shape, "float32")


class Net(ks.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.blocks = [layers.Dense(4, activation="relu")]
        self.blocks.append(layers.Dense(3))
        self.heads = {"a": layers.Dense(1), "b": layers.Dense(2)}

    def call(self, x, training=False):
        for block in self.blocks:
            x = block(x)
        return {name: head(x) for name, head in self.heads.items()}


def test_layers_in_containers_belong_to_the_model():
    net = Net()
    outputs = net(ones(2, 5))
    assert {k: v.shape for k, v in outputs.items()} == {"a": (2, 1), "b": (2, 2)}
    assert len(net.layers) == 4 and len(net.weights) == 8 and net.built


def test_build_by_shape():
    net = Net()
    net.build((None, 5))
    assert net.built and len(net.weights) == 8


def test_get_layer():
    net = Net()
    with pytest.raises(ValueError, match="No such layer"):
        net.get_layer("nothing")
    with pytest.raises(ValueError, match="index 9"):
        net.get_layer(index=9)
    with pytest.raises(ValueError, match="not both"):
        net.get_layer()
    assert net.get_layer(index=0) is net.blocks[0]


def test_clone_model():
    x = ks.Input((3,))
    model = ks.Model(x, layers.Dense(2, name="d")(layers.Dropout(0.5)(x)))
    model.compile("sgd", "mse")
    copy = ks.models.clone_model(model)
    assert copy.get_layer("d") is not model.get_layer("d") and copy.compiled
    assert [v.shape for v in copy.weights] == [v.shape for v in model.weights]
    wider = ks.models.clone_model(
        model, clone_function=lambda layer: layers.Dense(5, name="wide") if isinstance(layer, layers.Dense) else layer
    )
    assert wider.output_shape == (None, 5)
    doubled = ks.models.clone_model(model, call_function=lambda layer, *a, **k: layer(*a, **k) * 2.0)
    doubled.set_weights(model.get_weights())
    np.testing.assert_allclose(doubled(ones(1, 3)), model(ones(1, 3)) * 4.0)  # the Dropout's call is doubled too
    with pytest.raises(ValueError, match="call_function"):
        ks.models.clone_model(ks.Sequential([layers.Dense(1)]), call_function=lambda layer, x: x)


def test_state_tree_round_trip():
    model = ks.Sequential([ks.Input((3,), name="i"), layers.Dense(2, name="d")], name="net")
    model.compile("adam", "mse")
    model.train_on_batch(ones(2, 3), ones(2, 2))
    tree = model.get_state_tree("numpy_array")
    assert tree["trainable_variables"]["net"]["d"]["kernel"].shape == (3, 2)
    other = ks.models.clone_model(model)
    other.train_on_batch(ones(2, 3), ones(2, 2))
    other.set_state_tree({"trainable_variables": tree["trainable_variables"]})
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])


def text_of(model, **kwargs):
    lines = io.StringIO()
    model.summary(print_fn=lambda text: lines.write(text + "\n"), **kwargs)
    return lines.getvalue()


@pytest.fixture
def deep():
    x = ks.Input((28, 28, 1), name="image")
    y = layers.Conv2D(8, 3, name="a_convolution_with_a_rather_long_name")(x)
    z = layers.GlobalAveragePooling2D()(y)
    inner = ks.Sequential([ks.Input((8,)), layers.Dense(4, name="inside")], name="inner")
    return ks.Model(x, layers.Add()([inner(z), layers.Dense(4)(z)]), name="deep")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_summary_fits_and_tells_the_numbers(deep, width):
    text = text_of(deep, line_length=width, show_trainable=width > 60)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text and 'Model: "deep"' in text
    assert "Total params: 152" in text and "Non-trainable params: 0" in text


def test_summary_of_inner_layers_and_ranges(deep):
    assert "inside" not in text_of(deep) and "inside" in text_of(deep, expand_nested=True)
    assert "InputLayer" not in text_of(deep, layer_range=["a_conv.*", "dense.*"])
    with pytest.raises(ValueError, match="layer_range"):
        text_of(deep, layer_range=["nothing", "dense.*"])


def test_summary_of_unbuilt_and_plain_models():
    assert "unbuilt" in text_of(ks.Sequential([layers.Dense(2)]))
    plain = text_of(ks.Sequential([ks.Input((3,)), layers.Dense(2)]))
    assert "Connected to" not in plain and re.search(r"\(None, 2\)", plain)


def test_automatic_names_and_clear_session():
    ks.utils.clear_session()
    assert [layers.Dense(1).name for _ in range(2)] == ["dense", "dense_1"]
    assert layers.BatchNormalization().name == "batch_normalization" and ks.Sequential().name == "sequential"


def test_stateless_call_and_output_spec():
    model = ks.Sequential([ks.Input((3,)), layers.BatchNormalization(), layers.Dense(2)])
    before = [v.numpy().copy() for v in model.variables]
    outputs, rest = model.stateless_call(
        [v.value * 0.0 for v in model.trainable_variables], model.non_trainable_variables, ones(4, 3), training=True
    )
    np.testing.assert_array_equal(outputs, 0)
    assert not np.array_equal(rest[0], model.non_trainable_variables[0])
    for v, old in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(v, old)
    assert model.compute_output_spec(ks.KerasTensor((7, 3))).shape == (7, 2)
    assert model.compute_output_shape((None, 3)) == (None, 2)


def test_own_shapes_where_call_needs_values():
    class Host(ks.Layer):
        def call(self, x):
            return ks.ops.convert_to_tensor(np.asarray(x).sum(-1, keepdims=True))

        def compute_output_shape(self, input_shape):
            return (*input_shape[:-1], 1)

    x = ks.Input((4,))
    model = ks.Model(x, Host()(x))
    assert model.output_shape == (None, 1) and model(ones(2, 4)).tolist() == [[4.0], [4.0]]


def test_forgotten_super():
    class Bad(ks.Layer):
        def __init__(self):
            pass

        def call(self, x):
            return x

    with pytest.raises(RuntimeError, match="super"):
        Bad()(ones(1, 1))


def test_state_of_ones_own_on_graph_models():
    class Tracked(ks.Model):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.loss_tracker = ks.metrics.Mean(name="loss")
            self.scale = ks.Variable(2.0)

    x = ks.Input((3,))
    model = Tracked(x, layers.Dense(1)(x))
    assert model.loss_tracker in model.metrics and model.scale in [*model.variables]
    stack = ks.Sequential([ks.Input((3,)), layers.Dense(1)])
    stack.extra = layers.Dense(2)
    assert len(stack.layers) == 1 and stack(ones(2, 3)).shape == (2, 1)


class Doubled(ks.Layer):
    def call(self, x):
        return x * 2.0


def test_pickles_and_deep_copies():
    model = ks.Sequential([ks.Input((3,)), layers.Dense(2), Doubled()])
    model.compile("adam", "mse")
    model.train_on_batch(ones(2, 3), ones(2, 2))
    expected = model.predict(ones(2, 3), verbose=0)
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(again.predict(ones(2, 3), verbose=0), expected)
        assert len(again.optimizer.variables) == len(model.optimizer.variables)
    dense = layers.Dense(2)
    dense.build((None, 3))
    copied = copy.deepcopy(dense)
    np.testing.assert_array_equal(copied(ones(1, 3)), dense(ones(1, 3)))
    copied.kernel.assign(copied.kernel * 0.0)
    assert dense.kernel.numpy().any() and copied.weights[0] is copied.kernel


def test_a_seed_gives_bit_identical_weights():
    def trained():
        ks.utils.set_random_seed(3)
        model = ks.Sequential([layers.Dense(8, activation="relu"), layers.Dropout(0.3), layers.Dense(2)])
        model.compile("adam", "mse")
        x = np.random.default_rng(0).standard_normal((40, 4)).astype("float32")
        model.fit(x, x[:, :2], batch_size=8, epochs=2, verbose=0)
        return model.get_weights()

    for a, b in zip(trained(), trained(), strict=True):
        np.testing.assert_array_equal(a, b)
