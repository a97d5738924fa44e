"""Attention beyond its rows: rows that see nothing, unknown sizes, errors."""

import functools
import tracemalloc

import jax
import keras
import numpy as np
import pytest

import kerasish
from kerasish import Variable, backend, ops
from kerasish.backend.arrays import active
from kerasish.backend.autodiff.check import check_grads
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.tensor import KerasTensor
from kerasish.ops import attention
from kerasish.ops.attention import _attention, _attention_gradient, _long_attention
from tests.conformance.driver import A
from tests.conformance.strict import StrictArrays


def arrays(heads=2, keys=5):
    return A(2, 3, 4, 6).make(), A(2, keys, heads, 6).make(1), A(2, keys, heads, 6).make(2)


@pytest.fixture(params=["short", "long"])
def length(request, monkeypatch):
    """Each of the two ways, whatever the length; the long one works on a few queries at a time."""
    if request.param == "long":
        monkeypatch.setattr(active.xp, "block", 40)
    return request.param


def test_a_query_that_sees_nothing_weighs_all_values_alike(length):
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


# ---- as one op
def composite(query, key, value, mask=None, scale=0.3, **options):
    """The same by the general path, which a bias takes."""
    return ops.dot_product_attention(query, key, value, bias=np.zeros(1, query.dtype), mask=mask, scale=scale, **options)


MASKS = [None, np.tri(3, 5, dtype=bool), np.array([True, False, True, True, True]), np.eye(3, 5, dtype=bool)[None, None] * np.ones((2, 4, 1, 1), bool)]


@pytest.mark.parametrize("mask", MASKS, ids=["none", "triangle", "keys", "all"])
@pytest.mark.parametrize("causal", [False, True])
def test_one_op_gives_what_the_composite_gives_and_so_do_its_gradients(length, mask, causal):
    inputs = [x.astype("float64") for x in (A(2, 3, 4, 6).make(), A(2, 5, 4, 6).make(1), A(2, 5, 4, 7).make(2))]
    one, other = (lambda *xs, f=f: f(*xs, mask=mask, scale=0.3, is_causal=causal) for f in (ops.dot_product_attention, composite))
    np.testing.assert_allclose(one(*inputs), other(*inputs), rtol=1e-12, atol=1e-14)
    slopes = [grad(lambda *xs, f=f: ops.sum(f(*xs) ** 3), (0, 1, 2))(*inputs) for f in (one, other)]
    for a, b in zip(*slopes, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    check_grads(one, inputs)


def test_gradients_of_the_third_order(length):
    inputs = [x.astype("float64") for x in arrays(4)]

    def third(f):
        def slope(f):
            return lambda *xs: functools.reduce(ops.add, [ops.sum(g**2) for g in grad(lambda *xs: ops.sum(f(*xs)), (0, 1, 2))(*xs)])

        return grad(slope(slope(lambda *xs: f(*xs, scale=0.3) ** 2)), (0, 1, 2))(*inputs)

    for a, b in zip(third(ops.dot_product_attention), third(composite), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


def test_it_is_one_call_and_its_gradient_another(length):
    query, key, value = (Variable(x) for x in arrays(4))
    y = ops.dot_product_attention(query, key, value, mask=MASKS[1])
    assert y.call.op is {"short": _attention, "long": _long_attention}[length]
    assert [x.token is v.value.token for x, v in zip(y.call.inputs, (query, key, value), strict=False)] == [True] * 3


def test_inputs_that_must_be_repeated_take_the_general_path():
    query, key, value = arrays(4)
    y = ops.dot_product_attention(query, key[:1], value)
    np.testing.assert_allclose(y, ops.dot_product_attention(query, key[:1].repeat(2, axis=0), value), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_dtypes_of_result_and_gradient(length, dtype):
    inputs = [ops.cast(x, dtype) for x in arrays(4)]
    y = ops.dot_product_attention(*inputs)
    slopes = grad(lambda *xs: ops.sum(ops.dot_product_attention(*xs)), (0, 1, 2))(*inputs)
    assert {x.dtype for x in (y, *slopes)} == {dtype}


def test_a_scale_may_be_a_tensor(length):
    query, key, value = arrays(4)
    expected = ops.dot_product_attention(query, key, value, scale=0.3)
    np.testing.assert_allclose(ops.dot_product_attention(query, key, value, scale=Variable(0.3)), expected, rtol=1e-6)
    assert float(grad(lambda scale: ops.sum(ops.dot_product_attention(query, key, value, scale=scale)))(Variable(0.3).value)) != 0


def test_more_examples_than_are_worked_on_at_a_time(monkeypatch):
    query, key, value = arrays(4)
    whole = [_attention.kernel(active.xp, query, key, value, MASKS[1], 0.3)]
    whole += _attention_gradient.kernel(active.xp, query, query, key, value, MASKS[1], *whole[0], 0.3)
    monkeypatch.setattr(attention, "_TOGETHER", 1)
    parts = [_attention.kernel(active.xp, query, key, value, MASKS[1], 0.3)]
    parts += _attention_gradient.kernel(active.xp, query, query, key, value, MASKS[1], *parts[0], 0.3)
    for a, b in zip([*whole[0], *whole[1:]], [*parts[0], *parts[1:]], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


# ---- long sequences
def with_slopes(f, g, inputs):
    """Values and gradients by JAX, of a function of real Keras."""
    y, pulled = jax.vjp(f, *map(jax.numpy.asarray, inputs))
    return [y, *pulled(jax.numpy.asarray(g))]


@pytest.mark.parametrize(
    ("queries", "keys", "masked", "causal"),
    [(515, 515, None, True), (300, 901, None, False), (901, 301, "keys", False), (515, 530, "keys", True), (530, 515, "pairs", True),
     (515, 515, "nothing", False), (300, 901, "nothing", True)],
)  # fmt: skip
def test_long_sequences_as_keras_has_them(queries, keys, masked, causal):
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal((1, n, 2, size)).astype("float32") for n, size in ((queries, 8), (keys, 8), (keys, 8))]
    g, options = rng.standard_normal((1, queries, 2, 8)).astype("float32"), {"is_causal": causal}
    if masked:
        options["mask"] = {"keys": rng.random((1, 1, 1, keys)) < 0.5, "pairs": rng.random((1, 2, queries, keys)) < 0.5,
                           "nothing": np.zeros((1, 1, queries, keys), bool)}[masked]  # fmt: skip
    expected = with_slopes(lambda *xs: keras.ops.dot_product_attention(*xs, **options), g, inputs)

    def ours(*xs):
        slopes = grad(lambda *xs: ops.sum(ops.dot_product_attention(*xs, **options) * g), (0, 1, 2))(*xs)
        return ops.dot_product_attention(*xs, **options), *slopes

    for f in (ours, kerasish.function(ours)):
        for a, b in zip(f(*map(ops.array, inputs)), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_strict_arrays(length):
    def all_of(mask):
        inputs = [*map(ops.array, arrays(4))]
        f = functools.partial(ops.dot_product_attention, mask=ops.array(mask), is_causal=True)
        slopes = grad(lambda *xs: ops.sum(f(*xs) ** 2), (0, 1, 2))(*inputs)
        return [active.xp.to_numpy(y.value) for y in (f(*inputs), *slopes)]

    for mask in MASKS[1:]:
        expected, strict = all_of(mask), StrictArrays()
        if length == "long":
            strict.block = 40
        before = backend.arrays.use(strict)
        try:
            found = all_of(mask)
        finally:
            backend.arrays.use(before)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 2e-3), ("float64", 1e-10)])
def test_dtypes_of_long_sequences(dtype, tolerance):
    inputs = [np.random.default_rng(i).standard_normal((1, 530, 1, 4)).astype(dtype) for i in range(3)]
    fs = [functools.partial(f, scale=0.3, is_causal=True) for f in (ops.dot_product_attention, composite)]
    slopes = [grad(lambda *xs, f=f: ops.sum(f(*xs) ** 2), (0, 1, 2))(*inputs) for f in fs]
    for a, b in zip(*slopes, strict=True):
        assert a.dtype == b.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=10 * tolerance)


def test_layers_of_long_sequences_give_what_those_with_weights_give():
    x = np.random.default_rng(0).standard_normal((2, 520, 12)).astype("float32")
    for policy in ("float32", "mixed_float16"):
        for layer in (kerasish.layers.MultiHeadAttention(2, 4, dtype=policy), kerasish.layers.GroupQueryAttention(4, 4, 2, dtype=policy)):
            found = layer(x, x, use_causal_mask=True)
            expected, scores = layer(x, x, use_causal_mask=True, return_attention_scores=True)
            assert scores.shape[-2:] == (520, 520)
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 if policy == "float32" else 4e-3)


def test_memory_is_linear_in_the_length():
    def peak(length):
        query = np.zeros((1, length, 1, 4), "float32")
        tracemalloc.start()
        try:
            grad(lambda *xs: ops.sum(ops.dot_product_attention(*xs, is_causal=True)), (0, 1, 2))(query, query, query)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(16)
    assert peak(4096) < 4096 * 4096  # a quarter of what the weights would take


def test_short_sequences_and_unknown_sizes_keep_the_weights():
    query, key, value = (Variable(x) for x in arrays(4))
    assert ops.dot_product_attention(query, key, value).call.op is _attention
    assert not attention._is_long(KerasTensor((1, None, 2, 4)), 4096)
    assert not attention._is_long(KerasTensor((1, 4096, 2, 4)), None)
    assert attention._is_long(KerasTensor((None, 4096, 2, 4)), 4096)
