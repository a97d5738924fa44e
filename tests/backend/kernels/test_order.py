"""The largest of rows, searches and running sums, against the ops' NumPy kernels."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.kernels import order  # noqa: F401  (registers the candidates)
from kerasish.backend.kernels.alone import run_alone
from kerasish.ops import indexing, reduction

RNG = np.random.default_rng(0)
nan, inf = np.nan, np.inf


@pytest.fixture(autouse=True)
def same_numbers():
    """Every test draws the same numbers, whichever tests its process ran before."""
    RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state


def numbers(*shape, dtype="float32"):
    return RNG.standard_normal(shape).astype(dtype)


def compared(op, *arrays, **attrs):
    """What the candidate gives, and what the op's own kernel does."""
    with np.errstate(all="ignore"):
        want = op.kernel(NumpyArrays(), *arrays, **attrs)
    got = run_alone(op, arrays, outputs=[np.full(want.shape, 99, want.dtype)], **attrs)
    assert got is not None
    return got[0], want


@pytest.mark.parametrize(("shape", "k"), [((5, 40), 1), ((300, 1000), 10), ((3, 2, 33), 16), ((1, 256), 128), ((700,), 5), ((4, 3), 1)], ids=str)
def test_top_k(shape, k):
    for x in (numbers(*shape), numbers(*shape).round(0), np.zeros(shape, "float32"), np.broadcast_to(np.arange(shape[-1], dtype="float32"), shape)):
        np.testing.assert_array_equal(*compared(indexing._top_indices, x, k=k))


def test_top_k_of_special_numbers():
    x = np.array([0.0, -0.0, inf, -inf, nan, 1e-40, -1e-40, nan, 3e38, -0.0, 0.0, inf, -nan, 1, 2, 3, 4, 5, 6, 7], "float32")
    for k in range(1, 11):
        np.testing.assert_array_equal(*compared(indexing._top_indices, np.stack([x, x[::-1], np.full_like(x, -inf), np.full_like(x, nan)]), k=k))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("length", "count"), [(1, 1), (2, 9), (7, 100), (1000, 5000), (1024, 33)])
def test_searchsorted(length, count, side, dtype):
    sequence = np.sort(numbers(length, dtype=dtype).round(1))
    values = np.concatenate([numbers(count, dtype=dtype).round(1), np.array([nan, inf, -inf, -0.0, 0.0], dtype)])
    np.testing.assert_array_equal(*compared(indexing.searchsorted, sequence, values, side=side))
    sequence[-1] = nan
    np.testing.assert_array_equal(*compared(indexing.searchsorted, sequence, values, side=side))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1,), (16,), (3, 5), (40, 100), (2, 3, 333), (1000,)], ids=str)
@pytest.mark.parametrize("op", [reduction._cumsum, reduction._cumprod], ids=lambda op: op.name)
def test_running(op, shape, dtype):
    x = numbers(*shape, dtype=dtype)
    if op is reduction._cumprod:  # products that stay near 1: what rounds to 0 in one order and not in another, times inf, is no number
        x = np.sign(x) * np.exp2(x / 8)
    axis = len(shape) - 1
    got, want = compared(op, x, axis=axis, dtype=None)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * np.abs(want).max())
    x[..., shape[-1] // 2] = inf
    x[..., shape[-1] - shape[-1] // 4 - 1] = -inf if shape[-1] > 4 else nan
    got, want = compared(op, x, axis=axis, dtype=None)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * shape[-1])
