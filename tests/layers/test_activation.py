"""Activation layers: what the conformance rows do not say."""

import numpy as np
import pytest

from kerasish.layers import LeakyReLU, PReLU
from tests.layers.test_layer import X


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ReLU", {"max_value": -1.0}),
        ("ReLU", {"negative_slope": None}),
        ("ReLU", {"negative_slope": -0.1}),
        ("ReLU", {"threshold": -1.0}),
        ("LeakyReLU", {"negative_slope": -1.0}),
        ("LeakyReLU", {"negative_slope": None}),
        ("Activation", {"activation": "no such function"}),
    ],
)
def test_wrong_arguments(keras, name, arguments):
    with pytest.raises(ValueError):
        getattr(keras.layers, name)(**arguments)


def test_old_name_of_the_slope():
    with pytest.raises(ValueError, match="negative_slope"):
        LeakyReLU(alpha=0.1)


def test_softmax_mask_must_broadcast(keras):
    for shape in ((2, 2), (1, 2, 3)):
        with pytest.raises(ValueError, match="broadcastable"):
            keras.layers.Softmax()(X, mask=keras.ops.ones(shape, "bool"))


def test_softmax_of_masked_rows_is_zero(keras):
    y = keras.layers.Softmax()(X, mask=keras.ops.convert_to_tensor(np.array([[False] * 3, [True, True, False]])))
    assert np.asarray(y)[0].tolist() == [0, 0, 0]
    np.testing.assert_allclose(np.asarray(y)[1].sum(), 1.0, rtol=1e-6)


def test_prelu_of_another_size(keras):
    layer = keras.layers.PReLU(shared_axes=[1])
    layer(np.ones((2, 4, 3), "float32"))
    layer(np.ones((2, 5, 3), "float32"))  # the shared axis may vary
    with pytest.raises(ValueError, match="axis 2"):
        layer(np.ones((2, 4, 5), "float32"))


def test_shared_axes_are_a_list():
    assert PReLU(shared_axes=1).shared_axes == [1]
    assert PReLU(shared_axes=(1, 2)).get_config()["shared_axes"] == [1, 2]
