"""Pools beyond their rows: ties, borders, unknown sizes, windows by output size against a reference of our own."""

import keras
import numpy as np
import pytest

import kerasish
from kerasish import ops
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.tensor import KerasTensor
from tests.conformance.driver import A

POOLS = ["max_pool", "average_pool"]


def slope(function, x):
    return grad(lambda x: ops.sum(function(x)))(np.asarray(x, "float32")).numpy()


def test_gradient_goes_to_the_first_maximum():
    x = np.ones((1, 4, 1))
    assert slope(lambda x: ops.max_pool(x, 2), x).ravel().tolist() == [1, 0, 1, 0]
    assert slope(lambda x: ops.max_pool(x, 2, 1), x).ravel().tolist() == [1, 1, 1, 0]
    assert slope(lambda x: ops.max_pool(x, 3, 2, "same"), x).ravel().tolist() == [1, 0, 1, 0]
    x = np.array([[[1.0, 3.0], [3.0, 3.0]]])[..., None]
    assert slope(lambda x: ops.max_pool(x, 2), x).ravel().tolist() == [0, 1, 0, 0]


def test_overlapping_windows_with_one_maximum_add_up():
    assert slope(lambda x: ops.max_pool(x, 3, 1), [[[0.0], [1.0], [5.0], [1.0], [0.0]]]).ravel().tolist() == [0, 0, 3, 0, 0]


def test_borders_take_no_part():
    x = -np.ones((1, 3, 3, 1), "float32")
    assert (ops.max_pool(x, 2, 1, "same").numpy() == -1).all()
    np.testing.assert_allclose(ops.average_pool(x, 2, 1, "same"), -np.ones((1, 3, 3, 1)))


def test_integers():
    x = A(2, 6, 6, 3, dtype="int32", low=-9, high=9).make()
    assert ops.max_pool(x, 2).dtype == "int32"
    np.testing.assert_array_equal(ops.max_pool(x, 2), x.reshape(2, 3, 2, 3, 2, 3).max(axis=(2, 4)))
    np.testing.assert_array_equal(ops.max_pool(x, 3, 2, "same"), ops.max_pool(x.astype("float32"), 3, 2, "same"))


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_strides_are_the_size_by_default(name, data_format):
    x, function = A(2, 7, 7, 7).make(), getattr(ops, name)
    given = function(x, (2, 3), (2, 3), "same", data_format)
    np.testing.assert_array_equal(function(x, (2, 3), padding="same", data_format=data_format), given)


@pytest.mark.parametrize("name", POOLS)
def test_unknown_sizes(name):
    function = getattr(ops, name)
    assert function(KerasTensor((None, None, 7, 3)), 2).shape == (None, None, 3, 3)
    assert function(KerasTensor((None, None, 7, 3)), 2, padding="same").shape == (None, None, 4, 3)
    assert getattr(ops, f"adaptive_{name}")(KerasTensor((None, None, 7, 3)), 2).shape == (None, 2, 2, 3)


@pytest.mark.parametrize("name", POOLS)
def test_size_1_is_a_new_array(name):
    x = ops.convert_to_tensor(A(1, 3, 1).make())
    assert not np.shares_memory(getattr(ops, name)(x, 1).value, x.value)


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pool_size": 9}, "zero or negative"),
        ({"pool_size": 2, "padding": "causal"}, "must be 'same' or 'valid'"),
        ({"pool_size": (2, 2, 2)}, "pool_size"),
    ],
)
def test_errors(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(ops, name)(A(2, 5, 5, 1).make(), **arguments)


# ---- adaptive
def windows(n, m):
    return [(int(np.floor(i * n / m)), int(np.ceil((i + 1) * n / m))) for i in range(m)]


@pytest.mark.parametrize("reduce", [np.mean, np.max])
@pytest.mark.parametrize("outputs", [(1, 1), (3, 2), (7, 5), (9, 5), (4, 11)])
def test_adaptive_windows(reduce, outputs):
    """Also with as many outputs as inputs, or more, where Keras on JAX loses windows to rounding."""
    x = A(2, 7, 5, 3).make()
    expected = np.stack([np.stack([reduce(x[:, a:b, c:d], axis=(1, 2)) for c, d in windows(5, outputs[1])], 1)
                         for a, b in windows(7, outputs[0])], 1)  # fmt: skip
    function = ops.adaptive_average_pool if reduce is np.mean else ops.adaptive_max_pool
    np.testing.assert_allclose(function(x, outputs), expected, rtol=1e-5, atol=1e-6)


def test_adaptive_pools_have_at_most_three_axes():
    with pytest.raises(ValueError, match="1, 2 or 3"):
        ops.adaptive_max_pool(np.zeros((1, 2, 2, 2, 2, 1)), 1)


@pytest.mark.parametrize("name", POOLS)
def test_nodes_in_functional_models(name):
    def config(library):
        library.backend.clear_session()
        y = getattr(library.ops, name)(library.Input((8, 8, 4)), 3, 2)
        return y._keras_history.operation.get_config(), y.shape

    assert config(kerasish) == config(keras)
