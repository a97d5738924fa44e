"""Pools and their gradients against the ops' own NumPy kernels."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from hypothesis import given, settings
from hypothesis import strategies as st

from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.kernels import copy, pool  # noqa: F401  (register the candidates)
from kerasish.backend.kernels.alone import run_alone
from kerasish.ops.pooling import _average_pool_input, _to_first_maximum, average_pool, max_pool

XP = NumpyArrays()


def computed(op, *arrays, **attrs):
    """What the compiled kernel gives, and what the op's own does."""
    want = op.kernel(XP, *arrays, **attrs)
    got = run_alone(op, arrays, outputs=[np.full(want.shape, 99, want.dtype)], **attrs)
    assert got is not None
    return got[0], want


def check(x, **attrs):
    """All four kernels on one input."""
    attrs = {"strides": None, "padding": "valid", "data_format": "channels_last", **attrs}
    y, want = computed(max_pool, x, **attrs)
    np.testing.assert_array_equal(y, want)
    g = np.random.default_rng(1).standard_normal(want.shape).astype(x.dtype)
    np.testing.assert_array_equal(*computed(_to_first_maximum, g, x, want, **attrs))
    tolerance = {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(*computed(average_pool, x, **attrs), **tolerance)
    np.testing.assert_allclose(*computed(_average_pool_input, g, shape=x.shape, **attrs), **tolerance)


def numbers(*shape, dtype="float32"):
    """Few different numbers, so that windows have ties."""
    return np.random.default_rng(0).integers(-3, 4, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "attrs"),
    [
        ((3, 26, 26, 32), {"pool_size": 2}),
        ((5, 11, 11, 64), {"pool_size": 2}),
        ((40, 5, 5, 64), {"pool_size": 2, "padding": "same"}),
        ((2, 9, 12, 7), {"pool_size": (3, 2), "strides": (2, 1)}),
        ((2, 9, 12, 17), {"pool_size": 3, "strides": 2, "padding": "same"}),
        ((2, 9, 12, 3), {"pool_size": 2, "strides": 3, "padding": "same"}),
        ((2, 9, 12, 33), {"pool_size": (9, 5), "strides": (1, 2)}),
        ((1, 1, 1, 5), {"pool_size": 1}),
        ((3, 8, 8, 16), {"pool_size": 1, "strides": 2}),
        ((3, 20, 5), {"pool_size": 3, "strides": 2}),
        ((3, 20, 16), {"pool_size": 2}),
    ],
    ids=str,
)
def test_windows(shape, attrs, dtype):
    check(numbers(*shape, dtype=dtype), **attrs)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(3, 35)),
    size=st.sampled_from([(1, 1), (2, 2), (1, 3), (4, 3)]),
    strides=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
def test_any_windows(shape, size, strides):
    check(numbers(*shape), pool_size=size, strides=strides, padding="same")
    if size[0] <= shape[1] and size[1] <= shape[2]:
        check(numbers(*shape), pool_size=size, strides=strides)


@pytest.mark.parametrize("attrs", [{"pool_size": 2}, {"pool_size": 3, "strides": 2, "padding": "same"}], ids=str)
def test_nan_and_infinity(attrs):
    x = numbers(2, 8, 8, 20)
    places = np.random.default_rng(2).integers(0, x.size, (3, 25))
    for where, value in zip(places, (np.nan, np.inf, -np.inf), strict=True):
        x.reshape(-1)[where] = value
    attrs = {"strides": None, "padding": "valid", "data_format": "channels_last", **attrs}
    y, want = computed(max_pool, x, **attrs)
    np.testing.assert_array_equal(y, want)
    g = np.where(np.arange(y.size).reshape(y.shape) % 7, 2.0, np.inf).astype(x.dtype)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(*computed(_to_first_maximum, g, x, want, **attrs))
        np.testing.assert_allclose(*computed(average_pool, x, **attrs), rtol=1e-5, atol=1e-6)


def test_strided_inputs():
    x = numbers(4, 10, 14, 24)
    check(x[::2, 1:, ::2, ::3], pool_size=2)
    check(x.swapaxes(1, 2), pool_size=3, strides=2, padding="same")


@pytest.mark.parametrize(
    ("shape", "dtype", "data_format"),
    [((2, 4, 4, 1), "float32", "channels_last"), ((2, 4, 4, 3), "int32", "channels_last"), ((2, 4, 4, 3), "float32", "channels_first"), ((2, 4, 4, 4, 3), "float32", "channels_last")],
    ids=str,
)
def test_calls_that_are_left_to_numpy(shape, dtype, data_format):
    assert run_alone(max_pool, [np.ones(shape, dtype)], pool_size=2, strides=None, padding="valid", data_format=data_format) is None
