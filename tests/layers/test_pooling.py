"""Pooling layers: what the conformance rows do not say."""

import numpy as np
import pytest

from kerasish import layers
from tests.layers.test_layer import masked

IMAGE = np.linspace(-1, 1, 2 * 3 * 4 * 5, dtype="float32").reshape(2, 3, 4, 5)


@pytest.mark.parametrize(
    ("name", "args", "error"),
    [
        ("MaxPooling2D", (0,), ValueError),
        ("MaxPooling2D", ((1, 2, 3),), ValueError),
        ("AveragePooling1D", (2, -1), ValueError),
        ("AveragePooling1D", (2, 1, "valid", "x"), ValueError),
        ("GlobalMaxPooling1D", ("x",), ValueError),
        ("AdaptiveMaxPooling1D", ("2",), TypeError),
        ("AdaptiveMaxPooling2D", ((1, 2, 3),), TypeError),
        ("AdaptiveAveragePooling2D", (2, "x"), ValueError),
    ],
)
def test_wrong_arguments(keras, name, args, error):
    with pytest.raises(error):
        getattr(keras.layers, name)(*args)


@pytest.mark.parametrize("padding", ["causal", "SAME"])
def test_wrong_padding(keras, padding):
    with pytest.raises(ValueError, match="padding"):
        keras.layers.MaxPooling2D(padding=padding)(keras.Input(IMAGE.shape[1:]))


@pytest.mark.parametrize("name", ["MaxPooling1D", "AveragePooling3D", "GlobalMaxPooling1D", "GlobalAveragePooling3D"])
def test_wrong_rank(keras, name):
    layer = getattr(keras.layers, name)(**({} if "Global" in name else {"pool_size": 2}))
    with pytest.raises(ValueError, match=r"expected ndim=\d, found ndim=4"):
        layer(IMAGE)


def test_windows_larger_than_the_image():
    with pytest.raises(ValueError, match="output size would be zero or negative"):
        layers.MaxPooling2D(4)(IMAGE)


def test_average_of_what_the_mask_keeps(keras):
    x = masked(keras, IMAGE[0], np.array([[True, False, True, False]] * 3))
    y = keras.layers.GlobalAveragePooling1D()(x)
    np.testing.assert_allclose(np.asarray(y), IMAGE[0][:, ::2].mean(axis=1), rtol=1e-6)
    assert getattr(y, "_keras_mask", None) is None
