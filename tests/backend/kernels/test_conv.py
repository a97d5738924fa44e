"""Convolutions and their gradients against the ops' own NumPy kernels."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from hypothesis import given, settings
from hypothesis import strategies as st

from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.kernels import conv as kernels
from kerasish.backend.kernels import copy  # noqa: F401  (registers the candidates)
from kerasish.backend.kernels.alone import run_alone
from kerasish.ops.conv import _conv_input, _conv_kernel, conv

XP = NumpyArrays()


def numbers(*shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def compare(op, *arrays, **attrs):
    want = op.kernel(XP, *arrays, **attrs)
    got = run_alone(op, arrays, outputs=[np.full(want.shape, 99, want.dtype)], **attrs)
    assert got is not None
    tolerance = 1e-5 if want.dtype == "float32" else 1e-13
    np.testing.assert_allclose(got[0], want, rtol=0, atol=tolerance * max(1.0, np.abs(want).max()))


def check(x, w, strides=1, padding="valid", dilation_rate=1):
    """The convolution and both gradients."""
    attrs = {"strides": strides, "padding": padding, "data_format": "channels_last", "dilation_rate": dilation_rate}
    compare(conv, x, w, **attrs)
    g = numbers(*conv.kernel(XP, x, w, **attrs).shape, dtype=x.dtype, seed=1)
    compare(_conv_input, g, w, shape=x.shape, **attrs)
    compare(_conv_kernel, x, g, shape=w.shape, **attrs)


CASES = [
    ((5, 28, 28, 1), (3, 3, 1, 32), {}),
    ((20, 13, 13, 32), (3, 3, 32, 64), {}),
    ((3, 32, 32, 3), (3, 3, 3, 16), {"padding": "same"}),
    ((40, 32, 32, 16), (3, 3, 16, 16), {"padding": "same"}),
    ((9, 16, 16, 32), (3, 3, 32, 32), {"padding": "same"}),
    ((9, 8, 8, 64), (3, 3, 64, 64), {"padding": "same"}),
    ((3, 32, 32, 16), (3, 3, 16, 32), {"padding": "same", "strides": 2}),
    ((3, 32, 32, 16), (1, 1, 16, 32), {"padding": "same", "strides": 2}),
    ((2, 31, 33, 3), (7, 7, 3, 64), {"padding": "same", "strides": 2}),
    ((1, 1, 2, 3), (1, 1, 3, 2), {"strides": (1, 2)}),  # one window, and a pixel that it doesn't see
    ((1, 56, 56, 40), (5, 5, 40, 48), {"padding": "same"}),
    ((2, 14, 14, 130), (1, 1, 130, 70), {}),
    ((1, 7, 7, 256), (3, 3, 256, 128), {"padding": "same"}),
    ((70, 2, 2, 20), (3, 3, 20, 17), {"padding": "same"}),
    ((70, 4, 4, 20), (2, 3, 20, 5), {"padding": "same"}),
    ((2, 9, 10, 5), (3, 2, 5, 7), {"strides": (2, 3), "padding": "same"}),
    ((2, 9, 10, 5), (2, 2, 5, 7), {"strides": (3, 4)}),
    ((2, 19, 18, 6), (3, 3, 6, 20), {"dilation_rate": 2, "padding": "same"}),
    ((2, 19, 18, 6), (3, 3, 6, 20), {"dilation_rate": (1, 3), "strides": (2, 1)}),
    ((2, 9, 10, 6), (3, 3, 6, 9), {"padding": ((-1, 2), (3, -1))}),
    ((2, 30, 5), (4, 5, 12), {"padding": "causal", "dilation_rate": 2}),
    ((3, 40, 16), (3, 16, 32), {"padding": "same"}),
    ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    ((3, 1, 1, 1), (3, 3, 1, 1), {"padding": "same"}),
]  # fmt: skip


@pytest.mark.parametrize(("x", "w", "attrs"), CASES, ids=str)
def test_shapes(x, w, attrs):
    check(numbers(*x), numbers(*w, seed=2), **attrs)


@pytest.mark.parametrize(("x", "w", "attrs"), [CASES[i] for i in (1, 5, 14, 16, 19)], ids=str)
def test_double_precision(x, w, attrs):
    check(numbers(*x, dtype="float64"), numbers(*w, dtype="float64", seed=2), **attrs)


@settings(max_examples=15, deadline=None)
@given(
    images=st.integers(1, 9),
    sizes=st.tuples(st.integers(1, 18), st.integers(1, 18)),
    channels=st.sampled_from([1, 2, 3, 4, 16, 17]),
    filters=st.sampled_from([1, 5, 16, 33, 48]),
    taps=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.sampled_from(["same", "valid"]),
)
def test_any_windows(images, sizes, channels, filters, taps, strides, padding):
    if padding == "valid":
        sizes = tuple(n + k - 1 for n, k in zip(sizes, taps, strict=True))
    check(numbers(images, *sizes, channels), numbers(*taps, channels, filters, seed=2), strides=strides, padding=padding)


def test_strided_inputs():
    x, w = numbers(6, 20, 18, 24), numbers(3, 3, 16, 40, seed=2)
    check(x[::2, 1:, ::2, ::3], w[..., :8, ::2], padding="same")
    check(x[::-1, ::-1, 2:, 4:20], w, strides=2)
    check(x[..., :16].swapaxes(1, 2), w.swapaxes(0, 1), padding="same")
    attrs = {"strides": 1, "padding": "same", "data_format": "channels_last", "dilation_rate": 1}
    g = numbers(4, 9, 9, 80)[::2, :, :, ::2]
    compare(_conv_input, g, w, shape=(2, 9, 9, 16), **attrs)
    compare(_conv_kernel, x[:2, :9, :9, :16], g, shape=w.shape, **attrs)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_reach_what_they_should(value):
    x, w = np.abs(numbers(2, 9, 9, 16)), np.abs(numbers(3, 3, 16, 16, seed=2))
    x[1, 4, 5, 3] = value
    attrs = {"strides": 1, "padding": "same", "data_format": "channels_last", "dilation_rate": 1}
    for op, arrays, more in ((conv, (x, w), {}), (_conv_input, (x, w), {"shape": x.shape}), (_conv_kernel, (x, x), {"shape": w.shape})):
        want = op.kernel(XP, *arrays, **attrs, **more)
        np.testing.assert_allclose(run_alone(op, arrays, **attrs, **more)[0], want, rtol=1e-4)


@pytest.mark.parametrize(("x", "w", "attrs"), [CASES[i] for i in (1, 4, 6, 9, 11)], ids=str)
def test_results_do_not_depend_on_the_number_of_threads(x, w, attrs):
    attrs = {"strides": 1, "padding": "valid", "data_format": "channels_last", "dilation_rate": 1, **attrs}
    x, w = numbers(*x), numbers(*w, seed=2)
    g = conv.kernel(XP, x, w, **attrs)
    for op, arrays, more in ((conv, (x, w), {}), (_conv_input, (g, w), {"shape": x.shape}), (_conv_kernel, (x, g), {"shape": w.shape})):
        few, many = (run_alone(op, arrays, threads=threads, **attrs, **more)[0] for threads in (2, 16))
        np.testing.assert_array_equal(few, many)


def test_calls_that_are_left_to_numpy():
    attrs = {"strides": 1, "padding": "valid", "dilation_rate": 1}
    x, w = numbers(2, 8, 8, 8), numbers(3, 3, 8, 8)
    for arrays, data_format in (
        ((x, w), "channels_first"),
        ((x, numbers(3, 3, 2, 8)), "channels_last"),  # groups
        ((numbers(2, 5, 5, 5, 3), numbers(2, 2, 2, 3, 4)), "channels_last"),
        ((x.astype("int32"), w.astype("int32")), "channels_last"),
    ):
        assert run_alone(conv, arrays, data_format=data_format, **attrs) is None


def test_tiles_fit_into_the_registers(monkeypatch):
    class Small:
        lanes, registers = 4, 16

    monkeypatch.setattr(kernels, "target", Small)
    for filters in (1, 4, 8, 12, 20, 64):
        for width in (1, 5, 8, 30, 1000):
            vectors, rows, positions = kernels._tile(20, width, filters, 4, True)
            assert (rows * positions + 1) * vectors + (vectors > 1) <= 16
            assert -(-filters // 4) % vectors == 0
