"""Dropout, noise and penalties: what the conformance rows do not say."""

import numpy as np
import pytest

from kerasish import layers, ops
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor
from tests.layers.test_layer import X

ONES = np.ones((200, 100), "float32")
RANDOM = ["Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"]


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_rates(keras, name, rate):
    with pytest.raises(ValueError, match="between 0 and 1"):
        getattr(keras.layers, name)(rate)


@pytest.mark.parametrize("noise_shape", ["12", 3, (0, 1), (1.5,), (-1, 2)])
def test_noise_shapes(keras, noise_shape):
    with pytest.raises(ValueError, match="noise_shape"):
        keras.layers.Dropout(0.5, noise_shape=noise_shape)


@pytest.mark.parametrize("name", RANDOM[:4])
def test_only_in_training_and_only_above_zero(keras, name):
    cls = getattr(keras.layers, name)
    np.testing.assert_array_equal(np.asarray(cls(0.5)(X)), X)
    np.testing.assert_array_equal(np.asarray(cls(0.0)(X, training=True)), X)
    assert not np.array_equal(np.asarray(cls(0.5)(ONES, training=True)), ONES)
    assert len(cls(0.5).variables) == 1 and len(cls(0.0).variables) == 0


def test_noise_shape_shares_fate(keras):
    y = np.asarray(keras.layers.Dropout(0.5, noise_shape=(None, 1))(ONES, training=True))
    assert set(np.unique(y)) == {0.0, 2.0} and (y == y[:, :1]).all()


@pytest.mark.parametrize(
    ("name", "shape", "axes", "format"),
    [
        ("SpatialDropout1D", (4, 5, 60), (1,), None),
        ("SpatialDropout2D", (4, 5, 3, 60), (1, 2), "channels_last"),
        ("SpatialDropout2D", (4, 60, 5, 3), (2, 3), "channels_first"),
        ("SpatialDropout3D", (4, 2, 3, 2, 60), (1, 2, 3), None),
        ("SpatialDropout3D", (4, 60, 2, 3, 2), (2, 3, 4), "channels_first"),
    ],
)
def test_spatial_dropout_drops_whole_channels(keras, name, shape, axes, format):
    layer = getattr(keras.layers, name)(0.5, **({} if format is None else {"data_format": format}))
    y = np.asarray(layer(np.ones(shape, "float32"), training=True))
    assert set(np.unique(y)) == {0.0, 2.0}
    assert (y == y.mean(axes, keepdims=True)).all()


def test_dropout_gradient_is_the_mask():
    x = Tensor(ONES)
    x.requires_grad = True
    y = layers.Dropout(0.5, seed=1)(x, training=True)
    ops.sum(y).backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


@pytest.mark.parametrize("name", RANDOM[:4])
def test_shapes_alone(name):
    layer = getattr(layers, name)(0.5)
    assert layer(KerasTensor((None, 3)), training=True).shape == (None, 3)
    assert layer(Tensor(X), training=True).shape == (2, 3)


def test_gaussian_noise_has_its_deviation():
    y = layers.GaussianNoise(0.25, seed=1)(np.zeros((300, 100), "float32"), training=True).numpy()
    assert abs(y.std() - 0.25) < 0.005 and abs(y.mean()) < 0.005


def test_alpha_dropout_keeps_mean_and_variance():
    x = np.random.default_rng(0).normal(size=(400, 100)).astype("float32")
    y = layers.AlphaDropout(0.3, seed=1)(x, training=True).numpy()
    assert abs(y.mean()) < 0.03 and abs(y.std() - 1) < 0.03


def test_activity_regularization_takes_no_other_regularizer(keras):
    with pytest.raises(TypeError):
        keras.layers.ActivityRegularization(0.1, activity_regularizer="l2")


def test_seeds_make_runs_the_same():
    a, b = (layers.Dropout(0.5, seed=3) for _ in range(2))
    for _ in range(2):
        np.testing.assert_array_equal(a(ONES, training=True).numpy(), b(ONES, training=True).numpy())
