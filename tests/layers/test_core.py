"""Inputs, dense layers, embeddings, LoRA, Lambda, Wrapper: what the conformance rows do not say."""

import numpy as np
import pytest

import kerasish
import kerasish.layers
from kerasish import ops
from kerasish.backend.autodiff.symbolic import node_of
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor
from kerasish.layers import Dense, EinsumDense, Embedding, Identity, Input, InputLayer, Lambda, Masking, ReversibleEmbedding, Wrapper
from kerasish.saveable import custom_object_scope, register_keras_serializable, safe_mode_scope, serialize_keras_object
from tests.layers.test_layer import X


# ---- Input
def test_input_is_made_by_an_input_layer(keras):
    x = keras.Input((3,), name="points")
    layer = x._keras_history.operation
    assert type(layer).__name__ == "InputLayer" and layer.name == "points" and layer.built
    assert layer.output is x
    assert layer._inbound_nodes[0].is_input
    assert layer.get_config() == {
        "batch_shape": (None, 3), "dtype": "float32", "sparse": False, "ragged": False, "name": "points", "optional": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "shape", "dtype"),
    [
        ({"shape": (3, None)}, (None, 3, None), "float32"),
        ({"shape": [3], "batch_size": 2, "dtype": "int32"}, (2, 3), "int32"),
        ({"batch_shape": (2, 3)}, (2, 3), "float32"),
        ({"shape": ()}, (None,), "float32"),
        ({"tensor": (4, 5)}, (4, 5), "float32"),
    ],
)
def test_shapes_of_inputs(keras, arguments, shape, dtype):
    if "tensor" in arguments:
        arguments = {"tensor": keras.KerasTensor(arguments["tensor"])}
    x = keras.Input(**arguments)
    assert tuple(x.shape) == shape and x.dtype == dtype


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"shape": (3,), "batch_shape": (None, 3)},
        {"batch_size": 2, "batch_shape": (None, 3)},
        {"shape": 3},
        {"shape": (-1,)},
        {"tensor": 3},
        {"tensor": (2, 3), "shape": (4,)},
        {"tensor": (2, 3), "batch_size": 4},
        {"tensor": (2, 3), "batch_shape": (3, 3)},
        {"tensor": (2, 3), "dtype": "int32"},
    ],
)
def test_wrong_inputs(keras, arguments):
    if isinstance(arguments.get("tensor"), tuple):
        arguments = {**arguments, "tensor": keras.KerasTensor(arguments["tensor"])}
    with pytest.raises(ValueError):
        keras.Input(**arguments)


def test_sparse_and_unknown_arguments_are_refused():
    for arguments in ({"sparse": True}, {"ragged": True}):
        with pytest.raises(ValueError, match="not supported"):
            Input((3,), **arguments)
    with pytest.raises(ValueError, match="Unrecognized"):
        InputLayer((3,), what=1)
    with pytest.warns(UserWarning, match="deprecated"):
        assert InputLayer(input_shape=(3,)).batch_shape == (None, 3)
    assert InputLayer(batch_input_shape=(2, 3)).batch_shape == (2, 3)


def test_input_layer_round_trip():
    layer = InputLayer(batch_shape=(None, 3), dtype="int32", name="x", optional=True)
    again = InputLayer.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert node_of(again.output).operation is again


# ---- dense layers
@pytest.mark.parametrize("units", [0, -1, 2.5, None, "3"])
def test_units(keras, units):
    with pytest.raises(ValueError, match="positive integer"):
        keras.layers.Dense(units)


@pytest.mark.parametrize(
    ("equation", "shape", "bias_axes"),
    [
        ("ab,bc", 3, None),
        ("ab,bc->ad", 3, None),
        ("ab,bcd->ac", 3, None),
        ("ab,bc->ac", 3, "x"),
        ("abc,cd->abd", (7, 3), None),
        ("...ab,bc->ac...", 3, None),
    ],
)
def test_wrong_equations(keras, equation, shape, bias_axes):
    with pytest.raises((ValueError, TypeError)):
        keras.layers.EinsumDense(equation, shape, bias_axes=bias_axes)(np.ones((2, 5, 4) if "abc" in equation else (2, 4), "float32"))


def test_einsum_output_shape_must_fit():
    with pytest.raises(ValueError, match="does not fit"):
        EinsumDense("ab,bc->ac", (3, 4))(X)


def test_einsum_initializer_knows_the_axes(keras):
    """The kernel (heads, size, features) of an attention's output: its fan-in is heads times size, not what stands last."""
    layer = keras.layers.EinsumDense("abc,bcd->ad", 10, kernel_initializer=keras.initializers.GlorotUniform(seed=1))
    layer(np.ones((1, 40, 50), "float32"))
    limit = np.sqrt(6 / (2000 + 10))
    assert 0.95 * limit < np.abs(np.asarray(layer.kernel)).max() <= limit
    assert layer.get_config()["kernel_initializer"]["config"]["input_axes"] is None


# ---- embeddings
@pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (True, 3), (2.0, 3), (3, "4")])
def test_sizes_of_embeddings(keras, sizes):
    with pytest.raises(ValueError, match="positive integer"):
        keras.layers.Embedding(*sizes)


def test_embedding_with_weights(keras):
    table = np.arange(6, dtype="float32").reshape(3, 2)
    for weights in (table, [table]):
        layer = keras.layers.Embedding(3, 2, weights=weights)
        assert layer.built and len(layer.weights) == 1
        assert np.asarray(layer(np.array([[2, 0]], "int32"))).tolist() == [[[4, 5], [0, 1]]]
    assert "weights" not in layer.get_config()
    with pytest.raises(ValueError):
        keras.layers.Embedding(3, 2, weights=table[:2])


def test_embedding_warns_of_input_length(keras):
    with pytest.warns(UserWarning, match="input_length"):
        keras.layers.Embedding(3, 2, input_length=4)
    keras.layers.Embedding(3, 2, input_length=None)


def test_embedding_table_stays_wide(keras):
    layer = keras.layers.Embedding(3, 2, dtype="mixed_float16")
    y = layer(np.array([1], "int32"))
    assert str(y.dtype) == "float16" and str(layer.embeddings.dtype) == "float32"


def test_reversible_embedding_both_ways():
    layer = ReversibleEmbedding(5, 3, tie_weights=False)
    rows = layer(np.array([[1, 2]], "int32"))
    scores = layer(rows, reverse=True)
    np.testing.assert_allclose(scores.numpy(), rows.numpy() @ layer.reverse_embeddings.numpy(), rtol=1e-5)
    assert [v.name for v in layer.weights] == ["embeddings", "reverse_embeddings"]


# ---- LoRA
LORA = [
    (lambda keras, **kw: keras.layers.Dense(4, **kw), X, "kernel"),
    (lambda keras, **kw: keras.layers.EinsumDense("ab,bcd->acd", (2, 4), bias_axes="d", **kw), X, "kernel"),
    (lambda keras, **kw: keras.layers.Embedding(6, 4, **kw), np.array([[1, 2, 3]], "int32"), "embeddings"),
]
LORA_LAYERS = pytest.mark.parametrize(("make", "x", "target"), LORA, ids=["Dense", "EinsumDense", "Embedding"])


def adapted(keras, make, x, target):
    """A layer with LoRA on and a change that is not zero, and what it gave before."""
    layer = make(keras)
    with pytest.raises(ValueError, match="isn't yet built"):
        layer.enable_lora(2)
    before = np.asarray(layer(x))
    layer.enable_lora(2, lora_alpha=3, a_initializer="ones")
    np.testing.assert_allclose(np.asarray(layer(x)), before)  # b starts at zero
    b = getattr(layer, f"lora_{target}_b")
    b.assign(np.full(b.shape, 0.5, "float32"))
    return layer, before


@LORA_LAYERS
def test_lora_trains_a_change(keras, make, x, target):
    layer, before = adapted(keras, make, x, target)
    names = [v.name for v in layer.trainable_variables]
    assert f"lora_{target}_a" in names and f"lora_{target}_b" in names and target not in names
    assert [v.name for v in layer.weights].index(target) == 0
    weight = getattr(layer, f"_{target}")
    change = 3 / 2 * np.ones((*weight.shape[:-1], 2)) @ np.full((2, weight.shape[-1]), 0.5)
    np.testing.assert_allclose(np.asarray(getattr(layer, target)), np.asarray(weight) + change, rtol=1e-5)
    assert not np.allclose(np.asarray(layer(x)), before)
    assert (layer.lora_rank, layer.lora_alpha, layer.lora_enabled) == (2, 3, True)
    config = layer.get_config()
    assert (config["lora_rank"], config["lora_alpha"]) == (2, 3)
    assert "lora_rank" not in make(keras).get_config()
    with pytest.raises(ValueError, match="already enabled"):
        layer.enable_lora(2)


@LORA_LAYERS
def test_lora_in_files_is_merged(keras, make, x, target):
    layer, _ = adapted(keras, make, x, target)
    store = {}
    layer.save_own_variables(store)
    plain = make(keras)
    plain(x)
    plain.load_own_variables({key: np.asarray(value) for key, value in store.items()})
    np.testing.assert_allclose(np.asarray(plain(x)), np.asarray(layer(x)), rtol=1e-5)
    layer.load_own_variables({key: np.asarray(value) for key, value in store.items()})
    assert not np.asarray(getattr(layer, f"lora_{target}_b")).any()
    np.testing.assert_allclose(np.asarray(plain(x)), np.asarray(layer(x)), rtol=1e-5)


@LORA_LAYERS
def test_lora_from_the_constructor(make, x, target):
    layer = make(kerasish, lora_rank=2, lora_alpha=8)
    layer(x)
    assert layer.lora_enabled and layer.lora_alpha == 8
    assert str(getattr(layer, f"lora_{target}_a").dtype) == "float32"


@LORA_LAYERS
def test_lora_refuses_constraints(keras, make, x, target):
    layer = make(keras, **{f"{target}_constraint": "non_neg"})
    layer(x)
    with pytest.raises(ValueError, match="incompatible with"):
        layer.enable_lora(2)


def test_weight_before_building(keras):
    with pytest.raises(AttributeError, match="build the layer"):
        _ = keras.layers.Dense(3).kernel


# ---- masking
def test_masking_with_a_serialized_value():
    value = serialize_keras_object(np.array([1.0, 2.0]))
    assert Masking(value).mask_value.tolist() == [1.0, 2.0]
    assert Masking(0.5).get_config()["mask_value"] == 0.5


# ---- Lambda
@register_keras_serializable("tests")
def doubled(x):
    return x * 2.0


def test_lambda_arguments(keras):
    def scaled(x, factor, training=None):
        return x * (factor if training else -factor)

    layer = keras.layers.Lambda(scaled, arguments={"factor": 3.0})
    np.testing.assert_allclose(np.asarray(layer(X, training=True)), 3 * X)
    np.testing.assert_allclose(np.asarray(layer(X)), -3 * X)


def test_lambda_shapes(keras):
    x = keras.Input((3,))
    assert tuple(keras.layers.Lambda(lambda x: x[:, :2])(x).shape) == (None, 2)
    assert tuple(keras.layers.Lambda(lambda x: x, output_shape=(5, 6))(x).shape) == (None, 5, 6)
    assert tuple(keras.layers.Lambda(lambda x: x, output_shape=lambda s: (s[0], 9))(x).shape) == (None, 9)
    assert tuple(keras.layers.Lambda(lambda x: x[:, :1]).compute_output_shape((4, 3))) == (4, 1)


def test_lambda_masks(keras):
    x = keras.ops.convert_to_tensor(X)
    x._keras_mask = keras.ops.convert_to_tensor(np.array([True, False]))
    seen = []

    def shows(inputs, mask=None):
        seen.append(mask is not None)
        return inputs + 0.0

    layer = keras.layers.Lambda(shows, mask=lambda inputs, mask: keras.ops.logical_not(mask))
    assert np.asarray(layer(x)._keras_mask).tolist() == [False, True]
    assert seen == [True]
    with pytest.warns(UserWarning, match="destroy"):
        keras.layers.Lambda(lambda x: x + 1.0)(x)


def test_lambda_of_a_registered_function():
    layer = Lambda(doubled, name="double")
    config = serialize_keras_object(layer)
    again = kerasish.layers.deserialize(config)
    assert again.function is doubled
    np.testing.assert_allclose(again(X).numpy(), 2 * X)
    assert layer.get_config()["arguments"] == {}


def test_lambda_of_an_op():
    config = serialize_keras_object(Lambda(ops.relu))
    assert config["config"]["function"] == real_config(lambda keras: keras.layers.Lambda(keras.ops.relu))["function"]


def real_config(make):
    import keras

    return make(keras).get_config()


def test_lambda_bytecode_needs_trust():
    offset = 0.5
    layer = Lambda(lambda x, factor=3.0: x * factor + offset, output_shape=lambda shape: shape, mask=lambda inputs, mask: mask)
    config = layer.get_config()
    for load in (lambda: Lambda.from_config(config), lambda: kerasish.layers.deserialize(serialize_keras_object(layer))):
        with pytest.raises(ValueError, match="safe_mode=False"):
            load()
    again = Lambda.from_config(config, safe_mode=False)
    np.testing.assert_allclose(again(X).numpy(), 3 * X + 0.5)
    with safe_mode_scope(False):
        np.testing.assert_allclose(Lambda.from_config(config)(X).numpy(), 3 * X + 0.5)


@pytest.mark.parametrize("field", ["function", "output_shape", "mask"])
def test_each_function_of_a_lambda_is_checked(field):
    functions = {"function": doubled, field: lambda x: x}
    config = Lambda(**functions).get_config()
    with pytest.raises(ValueError, match="safe_mode=False"):
        Lambda.from_config(config)


def test_lambda_files_of_keras_and_ours_are_the_same():
    import keras

    function = lambda x, n=2: x * n
    ours, theirs = Lambda(function, name="l").get_config(), keras.layers.Lambda(function, name="l").get_config()
    assert ours["function"] == theirs["function"]
    np.testing.assert_allclose(Lambda.from_config(theirs, safe_mode=False)(X).numpy(), 2 * X)
    np.testing.assert_allclose(np.asarray(keras.layers.Lambda.from_config(ours, safe_mode=False)(X)), 2 * X)


def test_lambda_output_shape_from_a_file_is_a_tuple():
    config = {**Lambda(doubled, output_shape=(3,)).get_config(), "output_shape": [3]}
    assert Lambda.from_config(config).output_shape == (3,)


def test_lambda_wants_a_function():
    with pytest.raises(ValueError, match="needs a function"):
        Lambda("relu")


# ---- Wrapper
class Doubled(Wrapper):
    def call(self, x):
        return self.layer(x) * 2.0


def test_wrapper():
    layer = Doubled(Dense(2, name="inner"), name="outer")
    y = layer(X)
    np.testing.assert_allclose(y.numpy(), 2 * layer.layer(X).numpy())
    assert [v.path for v in layer.weights] == ["outer/inner/kernel", "outer/inner/bias"]
    with custom_object_scope({"Doubled": Doubled}):
        config = serialize_keras_object(layer)
        again = kerasish.layers.deserialize(config)
    assert again.layer.units == 2 and again.built
    assert serialize_keras_object(again) == config
    with pytest.raises(ValueError, match="isn't a supported layer"):
        Wrapper(3)


def test_wrapper_of_a_built_layer_leaves_it_so():
    inner = Dense(2)
    inner(X)
    weights = list(inner.weights)
    Doubled(inner)(X)
    assert [v is w for v, w in zip(inner.weights, weights, strict=True)] == [True, True]


def test_identity_hands_structures_through():
    a, b = Tensor(X), Tensor(X)
    out = Identity()({"a": a, "b": [b]})
    assert out["a"] is a and out["b"][0] is b
    assert Identity()(KerasTensor((None, 3))).shape == (None, 3)


def test_embedding_gathers_gradients_of_repeated_rows():
    layer = Embedding(4, 2)
    ops.sum(layer(np.array([1, 1, 3], "int32"))).backward()
    assert layer.embeddings.grad.numpy().tolist() == [[0, 0], [2, 2], [0, 0], [1, 1]]
