"""Reshaping, padding, cropping and up-sampling: what the conformance rows do not say."""

import numpy as np
import pytest

from kerasish.backend.autodiff.tensor import KerasTensor
from kerasish.layers import Cropping2D, Flatten, Reshape, UpSampling2D, ZeroPadding2D
from tests.layers.test_layer import X


@pytest.mark.parametrize(
    ("name", "argument", "error"),
    [
        ("Reshape", (-1, -1), ValueError),
        ("Reshape", (-2,), ValueError),
        ("Permute", (1, 3), ValueError),
        ("Permute", (0, 1), ValueError),
        ("RepeatVector", 0, ValueError),
        ("RepeatVector", 1.5, TypeError),
        ("RepeatVector", True, TypeError),
        ("UpSampling1D", 0, ValueError),
        ("UpSampling1D", (2,), TypeError),
        ("UpSampling2D", (2, 0), ValueError),
        ("UpSampling2D", (2, 2, 2), ValueError),
        ("UpSampling3D", ("a", 2, 2), ValueError),
        ("ZeroPadding1D", (1, 2, 3), ValueError),
        ("ZeroPadding1D", (-1, 2), ValueError),
        ("ZeroPadding2D", (1, 2, 3), ValueError),
        ("ZeroPadding2D", ((1, 2), (3, -4)), ValueError),
        ("ZeroPadding2D", None, ValueError),
        ("ZeroPadding3D", (1, 2), ValueError),
        ("Cropping1D", (1, 2, 3), ValueError),
        ("Cropping2D", -1, ValueError),
        ("Cropping2D", ((1, 2, 3), 1), ValueError),
        ("Cropping3D", (1, 2), ValueError),
        ("Flatten", "channels_middle", ValueError),
    ],
)
def test_wrong_arguments(keras, name, argument, error):
    with pytest.raises(error):
        getattr(keras.layers, name)(argument)


@pytest.mark.parametrize(("name", "shape"), [("Cropping1D", (1, 2, 3)), ("Cropping2D", (1, 4, 2, 3)), ("Cropping3D", (1, 4, 4, 2, 3))])
def test_too_much_cropping(keras, name, shape):
    for x in (np.ones(shape, "float32"), keras.Input(shape[1:])):
        with pytest.raises(ValueError, match="smaller than"):
            getattr(keras.layers, name)(1)(x)


@pytest.mark.parametrize(
    ("name", "arguments", "ndim"),
    [("Permute", ((2, 1),), 3), ("RepeatVector", (2,), 2), ("UpSampling1D", (), 3), ("UpSampling2D", (), 4), ("UpSampling3D", (), 5),
     ("ZeroPadding1D", (), 3), ("ZeroPadding2D", (), 4), ("ZeroPadding3D", (), 5), ("Cropping2D", (), 4)],
)  # fmt: skip
def test_ranks(keras, name, arguments, ndim):
    with pytest.raises(ValueError, match=f"expected ndim={ndim}"):
        getattr(keras.layers, name)(*arguments)(np.ones((2,) * (ndim + 1), "float32"))


def test_reshape_that_does_not_fit(keras):
    for target in ((4,), (-1, 2)):
        with pytest.raises((ValueError, TypeError)):
            keras.layers.Reshape(target)(X)


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (Flatten(), (None, None, 3), (None, None)),
        (Flatten(), (None,), (None, 1)),
        (Flatten(), (4, None, 3), (4, None)),
        (Reshape((-1, 3)), (None, None, 3), (None, None, 3)),
        (Reshape((6,)), (None, None, 3), (None, 6)),
        (Reshape((-1,)), (None, 2, 3), (None, 6)),
        (UpSampling2D(2, interpolation="bilinear"), (None, None, 4, 3), (None, None, 8, 3)),
        (ZeroPadding2D(1), (None, None, 4, 3), (None, None, 6, 3)),
        (Cropping2D(1), (None, None, 4, 3), (None, None, 2, 3)),
    ],
)
def test_unknown_sizes(layer, shape, expected):
    assert layer(KerasTensor(shape)).shape == expected


def test_batch_of_zero_and_of_no_features():
    assert Flatten()(np.ones((0, 2, 3), "float32")).shape == (0, 6)
    assert Flatten()(np.ones((2, 0, 3), "float32")).shape == (2, 0)
    assert Reshape((-1, 3))(np.ones((0, 2, 3), "float32")).shape == (0, 2, 3)


def test_reshaping_keeps_integers(keras):
    x = np.arange(6, dtype="int32").reshape(2, 3)
    for layer in (keras.layers.Flatten(), keras.layers.Reshape((3, 1)), keras.layers.RepeatVector(2)):
        assert str(layer(x).dtype) == "int32"


def test_unknown_interpolation():
    with pytest.raises(ValueError):
        UpSampling2D(interpolation="guess")(np.ones((1, 2, 2, 1), "float32"))
