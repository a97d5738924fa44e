"""CUDA C of single element-wise calls, run on the processor, against the ops' own NumPy kernels."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from kerasish.backend.kernels.cuda import single
from kerasish.ops import elementwise
from tests.backend.kernels import cuda_host as host
from tests.backend.kernels.test_cuda_kernels import all_of, normal, op_of

pytestmark = pytest.mark.skipif(not host.available(), reason="g++ compiles the sources for the processor")
UNARY = ("sin", "cos", "tan", "sinh", "cosh", "arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh", "log2", "log10", "cbrt", "round",
         "trunc", "isposinf", "isneginf", "isfinite", "isinf", "exp", "sqrt", "negative")  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_functions(dtype):
    x = np.array([-2.5, -1, -0.0, 0.25, 0.5, 1, 1.5, 40, np.nan, np.inf, -np.inf], dtype)
    cases = [(op_of(getattr(elementwise, name)), [x], {}) for name in UNARY]
    cases += [(op_of(elementwise.round), [x * 1.234], {"decimals": d}) for d in (-1, 2)]
    cases += [(op_of(getattr(elementwise, name)), [x[:, None], x], {}) for name in ("arctan2", "fmax", "fmin", "add", "maximum")]
    for (op, _, attrs), (expected, y) in zip(cases, all_of(*cases), strict=True):
        tol = {"rtol": 4e-3, "atol": 2e-3} if dtype == "float16" else {"rtol": 1e-6, "atol": 1e-6}
        assert_allclose(y, expected, **tol, err_msg=f"{op.name} {attrs}")


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool"])
def test_whole_numbers(dtype):
    x, z = (np.random.default_rng(seed).integers(-40, 40, (3, 1, 4, 1, 2)).astype(dtype) for seed in (0, 1))
    names = ["bitwise_and", "bitwise_or", "bitwise_xor"]
    if dtype != "bool":
        names += ["gcd", "lcm", "bitwise_left_shift", "bitwise_right_shift", "mod", "floor_divide", "trunc", "round"]
        z = np.abs(z.transpose(0, 3, 2, 1, 4) % 70).astype(dtype)
    assert set(names) <= single._KNOWN
    cases = [(op_of(getattr(elementwise, name)), [x] if name in ("trunc", "round") else [x, z], {}) for name in names]
    cases.append((op_of(elementwise.bitwise_invert), [x], {}))
    for (op, _, _), (expected, y) in zip(cases, all_of(*cases), strict=True):
        assert_allclose(y, expected, err_msg=op.name)


def test_many_axes():
    x, a, b = normal(3, 4, 2, 5), normal(3, 1, 2, 1), normal(4, 1, 5)
    cases = [(op_of(elementwise.add), [x, a], {}), (op_of(elementwise.multiply), [x.transpose(0, 2, 1, 3), normal(3, 2, 1, 5)], {}),
             (op_of(elementwise.subtract), [normal(2, 3, 1, 6), normal(1, 1, 5, 6)], {}), (op_of(elementwise.choose), [x > 0, a, b], {}),
             (op_of(elementwise.cast), [x * 3], {"dtype": "int32"}), (op_of(elementwise.cast), [x], {"dtype": "float16"}),
             (op_of(elementwise.ldexp), [x, np.array([3, -2, 0, 1, 200], "int32")], {})]  # fmt: skip
    for (op, _, _), (expected, y) in zip(cases, all_of(*cases), strict=True):
        assert_allclose(y, expected, err_msg=op.name)
