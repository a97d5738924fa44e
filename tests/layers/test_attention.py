"""Attention layers: what the conformance rows do not say."""

import numpy as np
import pytest

from kerasish import config, layers
from tests.layers.test_layer import masked

Q = np.linspace(-1, 1, 2 * 3 * 4, dtype="float32").reshape(2, 3, 4) ** 3
HIDES_LAST = np.array([[True, True, False]] * 2)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((0, 2), {}),
        ((2, 2.5), {}),
        ((2, 2), {"value_dim": 0}),
        ((2, 2), {"output_shape": 2.5}),
        ((2, 2), {"attention_axes": "a"}),
        ((2, 2), {"sliding_window": 0}),
        ((2, 2), {"flash_attention": True, "dropout": 0.1}),
    ],
)
def test_wrong_arguments(keras, args, kwargs):
    with pytest.raises(ValueError):
        keras.layers.MultiHeadAttention(*args, **kwargs)


@pytest.mark.parametrize(("name", "value"), [("num_key_value_heads", 3), ("sliding_window", 1.5)])
def test_wrong_arguments_of_grouped_heads(keras, name, value):
    with pytest.raises(ValueError, match=name):
        keras.layers.GroupQueryAttention(**{"head_dim": 2, "num_query_heads": 4, "num_key_value_heads": 2, name: value})


@pytest.mark.parametrize("name", ["head_dim", "num_query_heads", "num_key_value_heads"])
def test_grouped_heads_are_positive(name):
    with pytest.raises(ValueError, match=f"`{name}`, expected a positive integer"):
        layers.GroupQueryAttention(**{"head_dim": 2, "num_query_heads": 4, "num_key_value_heads": 2, name: 0})


def test_values_and_keys_are_as_many(keras):
    with pytest.raises(ValueError, match="must be equal"):
        keras.layers.MultiHeadAttention(2, 2)(Q, Q, Q[:, :2])
    with pytest.raises(ValueError, match="must be equal"):
        layers.GroupQueryAttention(2, 2, 2)(Q, Q, Q[:, :2])


def test_flash_attention_needs_a_kernel_of_its_own(keras):
    layer = keras.layers.MultiHeadAttention(2, 2, flash_attention=True)
    with pytest.raises((ValueError, RuntimeError)):
        layer(Q, Q)
    with pytest.raises(ValueError, match="scores is not supported"):
        layer(Q, Q, return_attention_scores=True)


def test_flash_attention_enabled_for_all():
    config.enable_flash_attention()
    try:
        with pytest.raises(ValueError, match="Dropout is not supported"):
            layers.MultiHeadAttention(2, 2, dropout=0.1)
    finally:
        config.disable_flash_attention()


@pytest.mark.parametrize("kwargs", [{"use_causal_mask": True}, {"attention_mask": HIDES_LAST[:, None]}, {}])
def test_both_ways_of_attention_agree(kwargs):
    """With scores asked for, weights are worked out one by one; also where values and keys differ in size."""
    layer = layers.MultiHeadAttention(2, 3, value_dim=4)
    fused = layer(Q, Q, **kwargs)
    open_, scores = layer(Q, Q, return_attention_scores=True, **kwargs)
    np.testing.assert_allclose(fused.numpy(), open_.numpy(), atol=1e-6)
    np.testing.assert_allclose(scores.numpy().sum(-1), 1.0, rtol=1e-6)


@pytest.mark.parametrize("make", [lambda: layers.MultiHeadAttention(2, 3), lambda: layers.GroupQueryAttention(3, 4, 2)])
def test_masks_of_tensors_and_of_arguments_are_the_same(make):
    import kerasish

    layer, x = make(), masked(kerasish, Q, HIDES_LAST)
    of_tensor = layer(x, x)
    of_arguments = layer(Q, Q, query_mask=HIDES_LAST, value_mask=HIDES_LAST)
    np.testing.assert_allclose(of_tensor.numpy(), of_arguments.numpy(), atol=1e-6)
    assert of_tensor._keras_mask.numpy().tolist() == HIDES_LAST.tolist()
    assert x._keras_mask is not None  # the call leaves its inputs alone
    changed = Q.copy()
    changed[:, 2] += 1.0
    hidden = layer(Q, changed, value_mask=HIDES_LAST)
    np.testing.assert_allclose(hidden.numpy(), layer(Q, Q, value_mask=HIDES_LAST).numpy(), atol=1e-6)


def test_causal_attention_looks_back_only():
    layer = layers.MultiHeadAttention(2, 3)
    changed = Q.copy()
    changed[:, 2] += 1.0
    a, b = (layer(x, x, use_causal_mask=True).numpy() for x in (Q, changed))
    np.testing.assert_allclose(a[:, :2], b[:, :2], atol=1e-6)
    assert abs(a[:, 2] - b[:, 2]).max() > 1e-4


def test_names_under_which_files_keep_the_projections(keras):
    layer = keras.layers.MultiHeadAttention(2, 2, use_gate=True)
    layer(Q, Q)
    for name in ("query", "key", "value", "output", "gate"):
        assert getattr(layer, f"_{name}_dense").name == {"output": "attention_output"}.get(name, name)
    assert layer.query_dense is layer._query_dense and layer.output_dense is layer._output_dense


@pytest.mark.parametrize("inputs", [Q, [Q], [Q] * 4, (Q, Q)])
@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention"])
def test_simple_attention_takes_a_list(keras, name, inputs):
    with pytest.raises(ValueError, match="list"):
        getattr(keras.layers, name)()(inputs)


@pytest.mark.parametrize("mask", [HIDES_LAST, [HIDES_LAST]])
def test_simple_attention_takes_a_list_of_masks(keras, mask):
    with pytest.raises(ValueError, match="list"):
        keras.layers.Attention()([Q, Q], mask=mask)


def test_score_mode(keras):
    with pytest.raises(ValueError, match="score_mode"):
        keras.layers.Attention(score_mode="x")
