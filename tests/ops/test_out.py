"""Kernels that take a buffer write into it, whatever it held, and give the same values as without it."""

import sys

import numpy as np
import pytest

from kerasish.backend.arrays import active
from kerasish.ops import activation, normalization, pooling
from tests.conformance.driver import A

convolution = sys.modules["kerasish.ops.conv"]  # `ops.conv` is the function


def array(*shape):
    return A(*shape).make()


def _conv(**attrs):
    return {"strides": (1, 1), "padding": "same", "data_format": "channels_last", "dilation_rate": (1, 1), **attrs}


def _pool(**attrs):
    return {"pool_size": (2, 2), "strides": (2, 2), "padding": "valid", "data_format": "channels_last", **attrs}


X, X_FIRST, Y = array(3, 9, 8, 6), array(3, 6, 9, 8), array(3, 4, 4, 6)
G, G_FIRST, KERNEL, DEPTHWISE = array(3, 9, 8, 4), array(3, 4, 9, 8), array(3, 3, 6, 4), array(3, 3, 1, 6)
FIRST = {"data_format": "channels_first"}
TOP = pooling.max_pool.kernel(active.xp, X, **_pool())
CALLS = [
    (convolution.conv, (X, KERNEL), _conv()),
    (convolution.conv, (X_FIRST, KERNEL), _conv(**FIRST)),
    (convolution.conv, (X.astype("float16"), KERNEL.astype("float16")), _conv()),
    (convolution.conv, (X, DEPTHWISE), _conv()),
    (convolution.conv, (array(2, 9, 9, 10), array(3, 3, 5, 4)), _conv()),
    (convolution._conv_input, (G, KERNEL), _conv(shape=X.shape)),
    (convolution._conv_input, (G_FIRST, KERNEL), _conv(shape=X_FIRST.shape, **FIRST)),
    (convolution._conv_input, (array(2, 5, 5, 16), array(3, 3, 16, 16)), _conv(shape=(2, 7, 7, 16), padding="valid")),
    (convolution._conv_input, (array(2, 5, 5, 8), array(3, 3, 3, 8)), _conv(shape=(2, 7, 7, 3), padding="valid")),
    (convolution._conv_input, (array(3, 5, 4, 4), array(1, 1, 6, 4)), _conv(shape=X.shape, strides=(2, 2))),
    (convolution._conv_kernel, (X, G), _conv(shape=KERNEL.shape)),
    (convolution._conv_kernel, (X, array(3, 9, 8, 6)), _conv(shape=DEPTHWISE.shape)),
    (convolution._conv_kernel, (array(2, 9, 9, 10), array(2, 9, 9, 4)), _conv(shape=(3, 3, 5, 4))),
    (pooling.max_pool, (X,), _pool()),
    (pooling.max_pool, (X_FIRST,), _pool(pool_size=(3, 3), padding="same", **FIRST)),
    (pooling.average_pool, (X,), _pool(pool_size=(3, 3), padding="same")),
    (pooling._to_first_maximum, (Y, X, TOP), _pool()),
    (pooling._of_first_maximum, (X, X, TOP), _pool()),
    (activation._gate, (X, X[::-1]), {"high": 0.5}),
    (activation.relu, (X,), {}),
    (activation.plain_softmax, (X,), {"axis": (1, 2)}),
    (normalization._scale_and_shift, (array(8, 256, 16), array(16), array(16)), {}),
]


@pytest.mark.parametrize(("op", "inputs", "attrs"), CALLS, ids=lambda part: getattr(part, "name", ""))
@pytest.mark.parametrize("block", [1 << 20, 4000])
def test_out(monkeypatch, op, inputs, attrs, block):
    expected = op.kernel(active.xp, *inputs, **attrs)
    monkeypatch.setattr(active.xp, "block", block)  # a small one: kernels work in parts
    out = np.full(expected.shape, np.nan, expected.dtype)
    assert op.takes_out
    assert op.kernel(active.xp, *inputs, **attrs, out=out) is out
    np.testing.assert_allclose(out, expected, rtol=1e-3 if out.dtype == "float16" else 1e-5, atol=1e-6)
