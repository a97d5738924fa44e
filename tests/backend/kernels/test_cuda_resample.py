"""Images resized on CUDA C, run on the processor."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.kernels.cuda import resample  # noqa: F401  (registers)
from kerasish.backend.kernels.cuda.launch import Request, bind
from kerasish.ops.image import _resampled
from tests.backend.kernels import cuda_host as host

pytestmark = pytest.mark.skipif(not host.available(), reason="g++ compiles the sources for the processor")


@pytest.mark.parametrize("libraries", [True, False])
@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_each_axis(axis, libraries, monkeypatch):
    monkeypatch.setenv("KERASISH_TF32", "0")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 7, 6, 5)).astype("float32")
    w = rng.standard_normal((x.shape[axis], 9)).astype("float32")
    expected = _resampled.kernel(NumpyArrays(), x, w, axis=axis, weights=w)
    y = np.ones(expected.shape, "float32")
    host.run(bind(Request(_resampled, {"axis": axis, "weights": w}, [host.buffer(x), host.buffer(w)], [host.buffer(y)], libraries)))
    assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
