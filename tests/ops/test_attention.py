"""Attention beyond its rows: rows that see nothing, unknown sizes, errors."""

import keras
import numpy as np
import pytest

import kerasish
from kerasish import ops
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.tensor import KerasTensor
from tests.conformance.driver import A


def arrays(heads=2, keys=5):
    return A(2, 3, 4, 6).make(), A(2, keys, heads, 6).make(1), A(2, keys, heads, 6).make(2)


def test_a_query_that_sees_nothing_weighs_all_values_alike():
    query, key, value = arrays(4)
    y = ops.dot_product_attention(query, key, value, mask=np.zeros((3, 5), bool))
    np.testing.assert_allclose(y, np.broadcast_to(value.mean(axis=1, keepdims=True), y.shape), rtol=1e-5)
    slope = grad(lambda key: ops.sum(ops.dot_product_attention(query, key, value, mask=np.zeros((3, 5), bool)) ** 2))(key)
    assert not slope.numpy().any()


def test_integer_masks():
    query, key, value = arrays(4)
    mask = A(3, 5, dtype="bool").make()
    expected = ops.dot_product_attention(query, key, value, mask=mask)
    np.testing.assert_array_equal(ops.dot_product_attention(query, key, value, mask=mask.astype("int32")), expected)


def test_values_may_have_a_size_of_their_own():
    query, key, _ = arrays(4)
    value = A(2, 5, 4, 7).make()
    logits = np.einsum("btnh,bsnh->bnts", query, key) / np.sqrt(6)
    weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = np.einsum("bnts,bsnh->btnh", weights, value)
    np.testing.assert_allclose(ops.dot_product_attention(query, key, value), expected, rtol=1e-4, atol=1e-6)


def test_unknown_sizes():
    x = KerasTensor((None, None, 4, 6))
    assert ops.dot_product_attention(x, x, x, is_causal=True).shape == (None, None, 4, 6)
    y = ops.dot_product_attention(x, KerasTensor((None, 7, 2, 6), "float16"), KerasTensor((None, 7, 2, 6)))
    assert (y.shape, y.dtype) == ((None, None, 4, 6), "float32")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"flash_attention": True}, "Flash attention"), ({"attn_logits_soft_cap": 3.0}, "TPU")],
)
def test_options_of_other_backends(options, message):
    with pytest.raises(ValueError, match=message):
        ops.dot_product_attention(*arrays(4), **options)


def test_errors():
    query, key, value = arrays(4)
    with pytest.raises(ValueError, match="4D"):
        ops.dot_product_attention(query[0], key[0], value[0])
    with pytest.raises(ValueError, match="multiple of the key heads"):
        ops.dot_product_attention(query, *arrays(3)[1:])


def test_node_in_functional_models():
    def node(library):
        library.backend.clear_session()
        x = library.Input((5, 4, 6))
        y = library.ops.dot_product_attention(x, x, x, mask=library.Input((4, 5, 5), dtype="bool"), is_causal=True)
        return type(y._keras_history.operation).__name__, y._keras_history.operation.get_config(), y.shape

    assert node(kerasish) == node(keras)
