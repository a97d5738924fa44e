"""Normalizations, psnr and polar beyond their rows."""

import keras
import numpy as np
import pytest

import kerasish
from kerasish import config, ops
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor
from tests.conformance.driver import A


def test_moments_of_half_precision_stay_finite():
    mean, variance = ops.moments(Tensor([6e4, -6e4, 6e4, -6e4], dtype="float16"), axes=[0])
    assert (mean.dtype, variance.dtype) == ("float16", "float16")
    assert (float(mean), float(variance)) == (0.0, 65504.0)


def test_moments_of_integers_are_floats():
    assert [part.tolist() for part in ops.moments([[1, 2], [3, 6]], axes=[0])] == [[2.0, 4.0], [1.0, 4.0]]


def test_variance_of_large_numbers_is_exact():
    x = 1e4 + A(1000, 3).make().astype("float64")
    _, variance = ops.moments(Tensor(x, dtype="float32"), axes=[0])
    np.testing.assert_allclose(variance, x.astype("float32").astype("float64").var(axis=0), rtol=1e-3)


def test_sums_of_many_small_numbers_keep_their_digits():
    x = np.full((1 << 21, 1), 0.1, "float32")
    x[::2] = 0.3
    mean, variance = ops.moments(x, axes=[0])
    np.testing.assert_allclose([float(mean), float(variance)], [0.2, 0.01], rtol=1e-4)


@pytest.mark.parametrize("function", [ops.layer_normalization, ops.rms_normalization, ops.normalize])
def test_unknown_sizes(function):
    assert function(KerasTensor((None, None, 4))).shape == (None, None, 4)
    assert function(KerasTensor((2, 3, None))).shape == (2, 3, None)


def test_unknown_sizes_of_moments():
    assert [part.shape for part in ops.moments(KerasTensor((None, None, 4)), axes=(0, 1))] == [(4,), (4,)]
    assert [part.shape for part in ops.moments(KerasTensor((None, 3, 4)), axes=(1,), keepdims=True)] == [(None, 1, 4)] * 2


def test_epsilon_is_that_of_the_configuration():
    before = config.epsilon()
    config.set_epsilon(0.5)
    try:
        assert ops.rms_normalization([1.0, 1.0]).tolist() == pytest.approx([1 / np.sqrt(1.5)] * 2)
        assert ops.layer_normalization([1.0, 3.0]).tolist() == pytest.approx([-1 / np.sqrt(1.5), 1 / np.sqrt(1.5)])
        assert ops.normalize([0.3, 0.0]).tolist() == pytest.approx([0.6, 0.0])
    finally:
        config.set_epsilon(before)


def test_rms_scaling_is_deprecated():
    x, gamma = A(3, 4).make(), A(4).make()
    with pytest.warns(UserWarning, match="rms_normalization"):
        ours = ops.layer_normalization(x, gamma, rms_scaling=True)
    with pytest.warns(UserWarning):
        theirs = keras.ops.layer_normalization(x, gamma, rms_scaling=True)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    with pytest.raises(TypeError, match="scaling"):
        ops.layer_normalization(x, scaling=True)


def test_normalize_of_zero_is_zero():
    assert ops.normalize([0.0, 0.0]).tolist() == [0.0, 0.0]
    assert np.isfinite(grad(lambda x: ops.sum(ops.normalize(x)))([0.0, 0.0]).numpy()).all()
    with pytest.raises(ValueError, match="order"):
        ops.normalize([1.0], order=0.5)


@pytest.mark.parametrize("which", ["mean", "variance", "offset", "scale"])
def test_batch_normalization_wants_vectors(which):
    vectors = {name: np.ones(4, "float32") for name in ("mean", "variance", "offset", "scale")} | {which: np.ones(3, "float32")}
    with pytest.raises(ValueError, match=f"`{which}` must be a vector"):
        ops.batch_normalization(np.ones((2, 4), "float32"), axis=-1, **vectors)


def test_nodes_in_functional_models():
    def nodes(library):
        library.backend.clear_session()
        x, v = library.Input((3, 4)), library.Input(batch_shape=(4,))
        outputs = [
            library.ops.batch_normalization(x, v, v, -1, v, v, 0.01),
            library.ops.batch_normalization(x, v, v, axis=-1, scale=v, offset=v),
            library.ops.layer_normalization(x, v, v, axis=-1),
            library.ops.rms_normalization(x, v, epsilon=1e-3),
            library.ops.moments(x, [0])[0],
            library.ops.normalize(x, 1),
            library.ops.psnr(x, x, 1.0),
        ]
        model = library.Model([x, v], outputs)
        layers = [layer for layer in model.get_config()["layers"] if layer["class_name"] != "InputLayer"]
        return [(layer["module"], layer["class_name"], layer["config"]) for layer in layers], [y.shape for y in outputs]

    assert nodes(kerasish) == nodes(keras)


def test_a_functional_model_runs_them():
    x, v = kerasish.Input((3, 4)), kerasish.Input(batch_shape=(4,))
    model = kerasish.Model([x, v], ops.batch_normalization(x, v, v + 1.0, -1, v, v, 0.01))
    data, w = A(2, 3, 4).make(), A(4, low=0.5).make()
    np.testing.assert_allclose(model([data, w]), keras.ops.batch_normalization(data, w, w + 1.0, -1, w, w, 0.01), rtol=1e-5, atol=1e-6)


# ---- psnr and polar
def test_psnr_compares_equal_shapes():
    with pytest.raises(ValueError, match="must match"):
        ops.psnr(np.ones(3), np.ones(4), 1.0)


def test_gradients_of_polar():
    """Through the length and the angle of numbers turned by another angle, whose derivatives are known."""

    def f(length, angle):
        z = ops.polar(length, angle) * complex(np.exp(0.5j))
        return ops.sum(ops.real(z)) + 2.0 * ops.sum(ops.imag(z))

    r, a = np.array([0.5, 2.0]), np.array([0.3, -1.0])
    by_length, by_angle = grad(f, (0, 1))(Tensor(r), Tensor(a))
    np.testing.assert_allclose(by_length, np.cos(a + 0.5) + 2 * np.sin(a + 0.5), rtol=1e-12)
    np.testing.assert_allclose(by_angle, r * (2 * np.cos(a + 0.5) - np.sin(a + 0.5)), rtol=1e-12)


@pytest.mark.parametrize(("dtype", "expected"), [("float16", "complex64"), ("float32", "complex64"), ("float64", "complex128")])
def test_dtype_of_polar(dtype, expected):
    x = Tensor([1.0], dtype=dtype)
    assert ops.polar(x, x).dtype == expected
    assert ops.polar(KerasTensor((1,), dtype), KerasTensor((1,), dtype)).dtype == expected
