"""Normalization layers: what the conformance rows do not say."""

import numpy as np
import pytest

import kerasish
from kerasish import layers
from tests.conformance.layer_driver import real_keras

IMAGE = np.linspace(-1, 1, 2 * 3 * 4 * 5, dtype="float32").reshape(2, 3, 4, 5) ** 3
RENORM = {"renorm": True}


@pytest.mark.parametrize(
    ("name", "kwargs", "error"),
    [
        ("BatchNormalization", {"synchronized": True}, ValueError),
        ("BatchNormalization", {**RENORM, "renorm_clipping": {"a": 1}}, ValueError),
        ("BatchNormalization", {**RENORM, "renorm_clipping": {"rmax": 1, "rmin": 2}}, ValueError),
        ("BatchNormalization", {**RENORM, "renorm_clipping": {"dmax": -1}}, ValueError),
        ("LayerNormalization", {"axis": "a"}, TypeError),
        ("UnitNormalization", {"axis": "a"}, TypeError),
        ("SpectralNormalization", {"layer": 3}, ValueError),
    ],
)
def test_wrong_arguments(keras, name, kwargs, error):
    with pytest.raises(error):
        getattr(keras.layers, name)(**kwargs)


@pytest.mark.parametrize("groups", [3, 8])
def test_groups_that_do_not_divide(keras, groups):
    with pytest.raises(ValueError, match="Number of groups"):
        keras.layers.GroupNormalization(groups)(IMAGE)


@pytest.mark.parametrize("name", ["BatchNormalization", "LayerNormalization", "RMSNormalization", "GroupNormalization"])
@pytest.mark.parametrize(("axis", "message"), [(5, "axis=5 is out of range for an input of rank 4"), (1, "must be known")])
def test_axes_that_cannot_be(name, axis, message):
    with pytest.raises(ValueError, match=message):
        getattr(layers, name)(axis=axis).build((2, None, 4, 5))


def test_numbers_of_batch_normalization_are_standardized(keras):
    config = keras.layers.BatchNormalization(axis=1.0, momentum=1, epsilon=1).get_config()
    assert [type(config[name]) for name in ("axis", "momentum", "epsilon")] == [int, float, float]


def test_mask_of_wrong_rank(keras):
    with pytest.raises(ValueError, match="one dimension less"):
        keras.layers.BatchNormalization()(IMAGE, mask=np.ones((2, 3), bool))


@pytest.mark.parametrize("kwargs", [{}, {"scale": False, "center": False}, {"axis": (2, 1)}])
def test_rms_scaling(kwargs):
    found = []
    for library in (real_keras(), kerasish):
        with pytest.warns(UserWarning, match="rms_scaling"):
            layer = library.layers.LayerNormalization(rms_scaling=True, **kwargs)
        with pytest.warns(UserWarning, match="rms_scaling"):
            y = layer(IMAGE)
        found.append((np.asarray(y), layer.get_config()["axis"], [v.name for v in layer.weights]))
    (theirs, *rest), (ours, *same) = found
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert same == rest


@pytest.mark.parametrize("name", ["BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization"])
def test_half_precision_does_not_overflow(name):
    layer = getattr(layers, name)(dtype="mixed_float16", **({"groups": 5} if name == "GroupNormalization" else {}))
    y = layer(np.array([[1e4, -1e4, 2e4, 3e4, 0]] * 3, "float32"), training=True)
    assert y.dtype == "float16" and np.isfinite(y.numpy()).all()


def test_moving_statistics_stay_while_not_trainable(keras):
    layer = keras.layers.BatchNormalization(momentum=0.5)
    layer(IMAGE, training=True)
    moved = np.asarray(layer.moving_mean.value)
    assert abs(moved).max() > 0
    layer.trainable = False
    layer(IMAGE, training=True)
    np.testing.assert_array_equal(np.asarray(layer.moving_mean.value), moved)
    layer.trainable = True
    layer(IMAGE, training=True)
    assert (np.asarray(layer.moving_mean.value) != moved).any()


def test_spectral_normalization_takes_a_kernel(keras):
    with pytest.raises(ValueError, match="no attribute 'kernel' nor 'embeddings'"):
        keras.layers.SpectralNormalization(keras.layers.ReLU())(IMAGE)
    with pytest.raises(ValueError, match="power_iterations"):
        keras.layers.SpectralNormalization(keras.layers.Dense(2), power_iterations=0)


def test_spectral_normalization_of_embeddings():
    """The largest singular value becomes 1; real Keras makes integers of the output."""
    layer = layers.SpectralNormalization(layers.Embedding(5, 3, embeddings_initializer="normal"), power_iterations=50)
    y = layer(np.array([[0, 4]]), training=True)
    assert y.dtype == "float32"
    np.testing.assert_allclose(y.numpy()[0, 0], layer.kernel.numpy()[0])
    np.testing.assert_allclose(np.linalg.norm(layer.kernel.numpy(), 2), 1.0, rtol=1e-3)
