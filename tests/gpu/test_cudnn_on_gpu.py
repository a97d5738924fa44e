"""Convolutions in plans on a GPU: cuDNN takes them, captured in a graph too, and gives what NumPy gives.

Where there is no GPU the stand-in for CuPy shows that the tests themselves are right.
"""

import importlib.util

import numpy as np
import pytest

import kerasish as keras
from kerasish import ops
from kerasish.backend import arrays
from kerasish.backend.arrays.cupy import CupyArrays
from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.autodiff.dtypes import numpy_dtype
from kerasish.backend.kernels.cuda import cudnn_graphs
from kerasish.ops.conv import _conv_input, _conv_kernel, conv
from tests.conformance.strict import StrictArrays

pytestmark = pytest.mark.gpu
TOLERANCE = {"float32": 1e-5, "float64": 1e-12, "float16": 2e-3, "bfloat16": 2e-2}
CASES = [
    ((4, 16, 16, 32), (3, 3, 32, 64), {"padding": "same"}),
    ((4, 16, 16, 32), (3, 3, 32, 64), {"padding": "same", "strides": 2}),
    ((4, 17, 15, 3), (5, 3, 3, 7), {"strides": (2, 1)}),
    ((4, 16, 16, 16), (3, 3, 16, 8), {"padding": "same", "dilation_rate": 2}),
    ((4, 16, 16, 32), (1, 1, 32, 16), {"strides": 2}),
    ((4, 12, 12, 16), (3, 3, 4, 16), {"padding": "same"}),
    ((4, 12, 12, 8), (3, 3, 1, 8), {"padding": "same"}),
    ((4, 30, 16), (5, 16, 24), {"padding": "causal"}),
    ((2, 8, 9, 10, 4), (3, 3, 3, 4, 8), {"padding": "same", "strides": 2}),
    ((4, 16, 12, 13), (3, 3, 16, 8), {"padding": "same", "data_format": "channels_first"}),
]


@pytest.fixture
def there(monkeypatch):
    """Whether there is a GPU; cuDNN is then asked for every convolution."""
    monkeypatch.setenv("KERASISH_CUDNN", "1")
    monkeypatch.setenv("KERASISH_TF32", "0")
    there = arrays.has_gpu()
    if there and importlib.util.find_spec("cudnn") is None:
        pytest.skip("needs cuDNN: pip install kerasish[cudnn13]")
    before = arrays.use(CupyArrays() if there else StrictArrays())
    cudnn_graphs.declined.clear()
    yield there
    arrays.use(before)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("first", "second", "attrs"), CASES)
def test_convolutions_and_gradients(there, first, second, attrs, dtype):
    if there and not arrays.active.xp.holds(np.dtype(numpy_dtype(dtype))):
        pytest.skip(f"this CuPy has no {dtype}")
    attrs, rng = {"strides": 1, "padding": "valid", "data_format": "channels_last", "dilation_rate": 1, **attrs}, np.random.default_rng(0)
    x, w, g = (rng.standard_normal(shape).astype(numpy_dtype(dtype)) for shape in (first, second, conv.shape(first, second, **attrs)))
    exact, wide = NumpyArrays(), [a.astype("float64") for a in (x, w, g)]
    expected = [
        conv.kernel(exact, wide[0], wide[1], **attrs),
        _conv_input.kernel(exact, wide[2], wide[1], shape=first, **attrs),
        _conv_kernel.kernel(exact, wide[0], wide[2], shape=second, **attrs),
    ]

    def all_three(x, w, g):
        return ops.conv(x, w, **attrs), *keras.grad(lambda x, w: ops.sum(ops.conv(x, w, **attrs) * g), (0, 1))(x, w)

    recorded = keras.function(all_three)
    for _ in range(4):
        found = recorded(*map(ops.convert_to_tensor, (x, w, g)))
    for name, y, z in zip(("y", "x", "w"), expected, found, strict=True):
        z = np.asarray(arrays.active.xp.to_numpy(z.value), "float64")
        np.testing.assert_allclose(z, y, rtol=0, atol=TOLERANCE[dtype] * np.abs(y).max(), err_msg=name)
    assert not there or cudnn_graphs._planned.cache_info().currsize > 0
    assert not cudnn_graphs.declined
