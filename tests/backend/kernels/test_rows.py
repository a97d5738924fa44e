"""Triangles, differences of neighbours and distances against their NumPy kernels."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.kernels import copy, rows  # noqa: F401  (they register the candidates)
from kerasish.backend.kernels.alone import run_alone
from kerasish.ops import creation, products, reduction, shaping


def check(op, *arrays, **attrs):
    want = op.kernel(NumpyArrays(), *arrays, **attrs)
    (got,) = run_alone(op, arrays, outputs=[np.full(want.shape, 99, want.dtype)], **attrs)
    np.testing.assert_array_equal(got, want)


def numbers(*shape, dtype="float32"):
    return np.random.default_rng(0).integers(-100, 100, shape).astype(dtype)


@pytest.mark.parametrize("op", [shaping.tril, shaping.triu])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 5), (2, 3, 33, 40), (100, 1), (1, 100), (700, 130)], ids=str)
def test_triangles(op, shape):
    for dtype in ("float32", "float64", "int8", "float16", "bool"):
        for k in (0, 1, -2, 40, -200):
            check(op, numbers(*shape, dtype=dtype), k=k)
    check(op, numbers(30, 64)[::2, ::3], k=1)


@pytest.mark.parametrize("shape", [(2,), (70_001,), (9, 33), (1000, 100), (3, 40_000, 2), (4, 1, 3)], ids=str)
def test_differences(shape):
    for dtype in ("float32", "float64", "int32", "int64"):
        for axis in range(len(shape)):
            if shape[axis] > 1:
                check(reduction._differences, numbers(*shape, dtype=dtype), axis=axis)
    x = numbers(6, 70)
    x[1, 4:6], x[2, 3] = np.inf, np.nan
    check(reduction._differences, x[::-1, ::2], axis=1)


@pytest.mark.parametrize("shape", [(1,), (3, 7), (1000, 33)], ids=str)
def test_numbers_repeated(shape):
    check(creation.full_like, numbers(*shape), np.array(2.5, "float32"))
    check(creation.full_like, numbers(*shape), np.array(-3, "int32"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("first", "second"), [((1, 1), (1, 1)), ((9, 3), (17, 3)), ((2, 3, 30, 5), (2, 3, 33, 5)), ((40, 2), (3, 8, 2)), ((3, 8, 2), (1, 40, 2))], ids=str
)
def test_distances_are_numpys_bits(first, second, dtype):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(first).astype(dtype), rng.standard_normal(second).astype(dtype)
    check(products._distances, x, y, in_order=True)
    check(products._distances, x[..., ::-1], y[..., ::-1], in_order=True)
    x[..., 0, 0], y[..., 0, 0] = np.nan, np.inf
    check(products._distances, x, y, in_order=True)
