"""CUDA C of normal numbers, whole numbers and choices, run on the processor: what the ops' own NumPy kernels draw."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from kerasish.backend import random
from kerasish.backend.kernels.cuda import gamma as _gamma  # noqa: F401  (registers)
from kerasish.backend.kernels.cuda import random as _random
from tests.backend.kernels import cuda_host as host
from tests.backend.kernels.test_cuda_kernels import all_of, normal, op_of

pytestmark = pytest.mark.skipif(not host.available(), reason="g++ compiles the sources for the processor")
KEY = np.array([42, 7], "uint32")
SIZES = (1, 2, 7, 8, 9, 33, 4999)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_normal_numbers(dtype):
    parameters = [{"mean": 0.0, "stddev": 1.0}, {"mean": -3.0, "stddev": 0.3}]
    cases = [(op_of(op), [KEY], {"shape": (size,), "dtype": dtype, **more})
             for op in (random._normal, random._truncated_normal) for size in SIZES for more in parameters]  # fmt: skip
    tol = {"float32": 1e-6, "float64": 1e-14, "float16": 2e-3, "bfloat16": 2e-2}[dtype]
    for expected, y in all_of(*cases):
        assert y.dtype == expected.dtype
        assert_allclose(y.astype("float64"), expected.astype("float64"), rtol=tol, atol=tol)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "uint32"])
def test_whole_numbers(dtype):
    bounds = [(np.int64(2), np.int64(7)), (np.int64(5), np.int64(5)), (np.int64(0), np.int64(1 << 62))]
    cases = [(op_of(random._randint), [KEY, np.asarray(a), np.asarray(b)], {"shape": (33,), "dtype": dtype}) for a, b in bounds]
    low = np.arange(33) % 5
    cases.append((op_of(random._randint), [KEY, low, low + 3], {"shape": (33,), "dtype": dtype}))
    for expected, y in all_of(*cases):
        assert_array_equal(y, expected)


def test_choices():
    cases = [(op_of(random._categorical), [KEY, normal(rows, classes, dtype=dtype) * 3], {"num_samples": samples, "dtype": "int32"})
             for rows, samples, classes, dtype in [(3, 5, 4, "float32"), (2, 9, 77, "float64"), (7, 3, 501, "float32"), (1, 1, 1, "float16")]]  # fmt: skip
    for expected, y in all_of(*cases):
        assert_array_equal(y, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_gamma_and_beta(dtype):
    alpha = np.array([0.0, 0.02, 0.3, 0.9, 1.0, 1.5, 4.0, 100.0, -1.0, np.nan, np.inf])
    many = np.resize(alpha[1:8], (3, 100))
    gamma, beta, one = op_of(random._gamma_draw), op_of(random._beta_draw), np.asarray(0.4)
    cases = [(gamma, [KEY, alpha], {"shape": (11,)}), (gamma, [KEY, one], {"shape": (2, 300)}), (gamma, [KEY, many[:, :1]], {"shape": (3, 100)}),
             (beta, [KEY, one, one], {"shape": (7,)}), (beta, [KEY, many, many[:1]], {"shape": (3, 100)}), (beta, [KEY, one, one], {"shape": ()})]  # fmt: skip
    for expected, y in all_of(*((op, arrays, {**attrs, "dtype": dtype}) for op, arrays, attrs in cases)):
        assert_allclose(y.astype("float64"), expected.astype("float64"), rtol={"float32": 1e-6, "float64": 1e-11, "float16": 2e-3}[dtype])


def test_constants_are_those_of_the_ops():
    for name in ("_FORMATS", "_ERFINV", "_ERF_OF_TWO_SIGMA"):
        assert getattr(_random, name) == getattr(random, name)
