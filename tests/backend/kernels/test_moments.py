"""Compiled mean and variance of columns against NumPy's."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from kerasish.backend.kernels import copy, moments  # noqa: F401  (copies of strided inputs)
from kerasish.backend.kernels.alone import run_alone
from kerasish.ops.normalization import _moments


def check(x, axes, **attrs):
    mean, variance = run_alone(_moments, [x], axes=axes, **attrs)
    with np.errstate(all="ignore"):
        expected = x.astype("float64").mean(axes, keepdims=True), x.astype("float64").var(axes, keepdims=True)
    for y, z in zip((mean, variance), expected, strict=True):
        assert_allclose(y.reshape(z.shape), z, rtol=2e-6, atol=2e-6 * np.abs(x[np.isfinite(x)]).max(initial=1))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 400), st.integers(1, 90), st.sampled_from([0.0, 3.0]), st.booleans())
def test_columns(rows, columns, center, keepdims):
    x = (np.random.default_rng(rows * 100 + columns).standard_normal((rows, columns)) + center).astype("float32")
    check(x, (0,), keepdims=keepdims)


@pytest.mark.parametrize("shape, axes", [((64, 32, 32, 16), (0, 1, 2)), ((5, 7, 33), (0, 1)), ((40_000, 3), (0,)), ((3, 4, 5, 6), (0, 1))])
def test_images(shape, axes):
    check(np.random.default_rng(0).standard_normal(shape).astype("float32"), axes)


def test_far_from_zero():
    x = (np.random.default_rng(0).standard_normal((100_000, 4)) + 1000).astype("float32")
    _, variance = run_alone(_moments, [x], axes=(0,), keepdims=False)
    assert_allclose(variance, x.astype("float64").var(0), rtol=1e-5)


def test_nan_infinity_and_strides():
    x = np.random.default_rng(0).standard_normal((50, 6, 20)).astype("float32")[:, ::2, :].copy()
    check(x, (0, 1))
    check(np.swapaxes(x, 0, 2), (0, 1))
    x[3, 1, 2], x[4, 1, 3] = np.nan, np.inf
    with np.errstate(all="ignore"):
        mean, variance = run_alone(_moments, [x], axes=(0, 1), keepdims=False)
    assert np.isnan(mean[2]) and np.isnan(variance[2]) and np.isinf(mean[3]) and np.isnan(variance[3])
    assert np.isfinite(np.delete(variance, [2, 3])).all()


def test_what_is_left_to_numpy():
    x = np.ones((3, 4, 5), "float32")
    assert run_alone(_moments, [x], axes=(1,)) is None
    assert run_alone(_moments, [x], axes=(2,)) is None
    assert run_alone(_moments, [x.astype("float64")], axes=(0,)) is None
