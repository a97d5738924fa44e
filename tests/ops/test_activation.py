"""Activations beyond their rows: kinks, extremes, warnings."""

import warnings

import numpy as np
import pytest

from kerasish import ops
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.tensor import KerasTensor


def slope(function, x):
    return grad(lambda x: ops.sum(function(x)))(np.asarray(x, "float32")).tolist()


@pytest.mark.parametrize(
    ("name", "points", "slopes"),
    [
        ("relu", [-1.0, 0.0, 1.0], [0.0, 0.0, 1.0]),
        ("relu6", [0.0, 3.0, 6.0], [0.0, 1.0, 0.0]),
        ("leaky_relu", [-1.0, 0.0], [pytest.approx(0.2), 1.0]),
        ("hard_tanh", [-1.0, 1.0, 1.5], [1.0, 1.0, 0.0]),
        ("hard_sigmoid", [-3.0, 3.0], [0.0, 0.0]),
        ("elu", [0.0], [1.0]),
        ("celu", [0.0], [1.0]),
    ],
)
def test_gradients_at_kinks_are_those_of_jax(name, points, slopes):
    assert slope(getattr(ops, name), points) == slopes


@pytest.mark.parametrize("name", ["sigmoid", "silu", "softplus", "log_sigmoid", "gelu", "elu", "selu", "softmax", "log_softmax"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_nothing_overflows(name, dtype):
    x = ops.convert_to_tensor([-60000.0, -100.0, -20.0, 0.0, 20.0, 100.0], dtype)
    y = getattr(ops, name)(x)  # warnings are errors
    assert y.dtype == dtype
    assert np.isfinite(y.numpy()).all()


def test_small_values_keep_their_digits():
    np.testing.assert_allclose(ops.sigmoid([-20.0, -50.0]), [2.0611537e-09, 1.9287498e-22], rtol=1e-5)
    np.testing.assert_allclose(ops.log_sigmoid([20.0, 50.0]), [-2.0611537e-09, -1.9287498e-22], rtol=1e-5)


def test_softmax_over_one_element_warns():
    with pytest.warns(UserWarning, match="size 1"):
        assert ops.softmax([[3.0], [4.0]]).tolist() == [[1.0], [1.0]]
    with pytest.warns(UserWarning, match="size 1"):
        ops.softmax(KerasTensor((None, 1)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ops.log_softmax([[3.0], [4.0]])


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_axis_out_of_range(name):
    with pytest.raises(ValueError, match="out of bounds"):
        getattr(ops, name)(KerasTensor((2, 3)), axis=2)


def test_glu_needs_an_even_size():
    with pytest.raises(ValueError, match="even"):
        ops.glu([1.0, 2.0, 3.0])
    assert ops.glu(KerasTensor((None, 6))).shape == (None, 3)
    assert ops.glu(KerasTensor((2, None))).shape == (2, None)
