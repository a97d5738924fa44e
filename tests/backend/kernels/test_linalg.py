"""Batches of small matrices against the ops' NumPy kernels."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.kernels import linalg  # noqa: F401  (registers the candidates)
from kerasish.backend.kernels.alone import run_alone
from kerasish.ops import decomposition

RNG = np.random.default_rng(0)


def close(got, want):
    np.testing.assert_allclose(got, want, rtol=0, atol=(1e-5 if want.dtype == "float32" else 1e-13) * np.abs(want).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize(("shape", "columns"), [((1, 1), 1), ((5, 5), 3), ((3, 2, 33, 33), 17), ((64, 64), 40)], ids=str)
def test_triangular(shape, columns, lower, dtype):
    a = (RNG.standard_normal(shape) + 8 * np.sqrt(shape[-1]) * np.eye(shape[-1])).astype(dtype)
    b = RNG.standard_normal((*shape[:-1], columns)).astype(dtype)
    (got,) = run_alone(decomposition._solve_triangular, [a, b], lower=lower)
    close(got, np.linalg.solve(np.tril(a) if lower else np.triu(a), b))


def test_singular_matrices_are_told():
    a, b = np.triu(np.ones((2, 3, 3), "float32")), np.ones((2, 3, 1), "float32")
    a[1, 1, 1] = 0
    with pytest.raises(ValueError, match="Singular"):
        run_alone(decomposition._solve_triangular, [a, b], outputs=[np.empty_like(b)], lower=False)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (3, 2, 33, 33), (20, 30), (40, 17)], ids=str)
def test_lu(shape, dtype):
    x = RNG.standard_normal(shape).astype(dtype)
    for y in (x, np.zeros_like(x), np.ones_like(x)):
        with np.errstate(all="ignore"):
            want = decomposition._lu.kernel(NumpyArrays(), y)
            got = run_alone(decomposition._lu, [y])
        np.testing.assert_array_equal(got[1], want[1])
        close(got[0], want[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 2, 33, 33), (2, 100, 100)], ids=str)
def test_inverse(shape, dtype):
    x = RNG.standard_normal(shape).astype(dtype)
    x[..., 0, 0] = 0 if shape[-1] > 1 else 2  # so that rows are exchanged
    (got,) = run_alone(decomposition.inv, [x])
    np.testing.assert_allclose(got, np.linalg.inv(x), rtol=0, atol=(1e-6 if dtype == "float32" else 1e-11) * np.abs(got).max())
    (turned,) = run_alone(decomposition.inv, [np.swapaxes(x, -1, -2)])
    np.testing.assert_array_equal(turned, run_alone(decomposition.inv, [np.ascontiguousarray(np.swapaxes(x, -1, -2))])[0])


def test_inverse_of_what_has_none():
    x = np.ones((2, 3, 3), "float32")
    with pytest.raises(ValueError, match="Singular"):
        run_alone(decomposition.inv, [x], outputs=[np.empty_like(x)])
    x[0, 1, 1] = np.nan
    x[1] = np.eye(3)
    (got,) = run_alone(decomposition.inv, [x], outputs=[np.empty_like(x)])
    assert np.isnan(got[0]).any()
    np.testing.assert_array_equal(got[1], np.eye(3))
