"""Convolutions by channel and their gradients against the ops' own NumPy kernels."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.kernels import copy, depthwise  # noqa: F401  (they register the candidates)
from kerasish.backend.kernels.alone import run_alone
from kerasish.ops.conv import _conv_input, _conv_kernel, conv

XP = NumpyArrays()


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def compare(op, *arrays, **attrs):
    want = op.kernel(XP, *arrays, **attrs)
    got = run_alone(op, arrays, outputs=[np.full(want.shape, 99, want.dtype)], **attrs)
    assert got is not None
    np.testing.assert_allclose(got[0], want, rtol=0, atol=1e-5 * max(1.0, np.nanmax(np.abs(want))))


@pytest.mark.parametrize(
    ("shape", "size", "more"),
    [
        ((2, 12, 13, 16), (3, 3), {"padding": "same"}),
        ((3, 9, 8, 5), (3, 2), {}),
        ((1, 20, 21, 35), (5, 5), {"padding": "same"}),
        ((9, 6, 7, 3), (1, 3), {"padding": "same"}),
        ((2, 30, 20), (5,), {"padding": "same"}),
        ((2, 30, 20), (3,), {"padding": "causal", "dilation_rate": 3}),
        ((2, 13, 13, 20), (3, 3), {"strides": 2, "padding": "same"}),
        ((2, 12, 17, 20), (3, 3), {"strides": (2, 3)}),
        ((2, 19, 18, 6), (3, 3), {"dilation_rate": (2, 3), "padding": "same"}),
        ((2, 2, 2, 20), (5, 5), {"padding": "same"}),
        ((2, 9, 10, 6), (3, 3), {"padding": ((-1, 2), (3, -1))}),
    ],
    ids=str,
)
def test_depthwise(shape, size, more):
    attrs = {"strides": 1, "padding": "valid", "dilation_rate": 1, "data_format": "channels_last", **more}
    x, w = numbers(*shape), numbers(*size, 1, shape[-1], seed=1)
    compare(conv, x, w, **attrs)
    g = numbers(*conv.kernel(XP, x, w, **attrs).shape, seed=2)
    compare(_conv_kernel, x, g, shape=w.shape, **attrs)
    if attrs["strides"] == 1:
        compare(_conv_input, g, w, shape=x.shape, **attrs)


def test_infinite_weights_make_nan_of_the_border():
    w = np.full((3, 3, 1, 16), np.inf, "float32")
    attrs = {"strides": 1, "padding": "same", "dilation_rate": 1, "data_format": "channels_last"}
    x = np.ones((1, 4, 4, 16), "float32")
    (y,) = run_alone(conv, [x, w], outputs=[np.empty_like(x)], **attrs)
    assert np.isposinf(y[:, 1:-1, 1:-1]).all() and np.isnan(y[:, [0, -1]]).all() and np.isnan(y[:, :, [0, -1]]).all()


def test_what_is_left_to_others():
    attrs = {"strides": 1, "padding": "same", "dilation_rate": 1, "data_format": "channels_last"}
    x = numbers(1, 8, 8, 4)
    assert run_alone(conv, [x, numbers(3, 3, 1, 8)], **attrs) is None  # two filters for each channel
    assert run_alone(conv, [x.astype("float64"), numbers(3, 3, 1, 4).astype("float64")], **attrs) is None
