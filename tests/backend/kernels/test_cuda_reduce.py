"""CUDA C of reductions and moments over any axes, run on the processor, against the ops' own NumPy kernels."""

import itertools

import ml_dtypes
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from kerasish.backend.autodiff.op import sum_to
from kerasish.backend.kernels.cuda import moments, reduce, single  # noqa: F401  (register)
from kerasish.backend.kernels.cuda.launch import Request, bind
from kerasish.ops import activation, normalization, reduction
from tests.backend.kernels import cuda_host as host
from tests.backend.kernels.test_cuda_kernels import all_of, both, normal, op_of

pytestmark = pytest.mark.skipif(not host.available(), reason="g++ compiles the sources for the processor")
TOL = {"float32": dict(rtol=2e-6, atol=2e-6), "float64": dict(rtol=1e-13, atol=1e-13), "float16": dict(rtol=2e-3, atol=2e-3),
       "bfloat16": dict(rtol=1e-2, atol=1e-2)}  # fmt: skip
AXES = [axes for k in (1, 2, 3, 4) for axes in itertools.combinations(range(4), k)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_moments_over_any_axes(dtype):
    x = normal(4, 3, 5, 6, dtype=dtype) + np.array(1000, dtype)
    cases = [(op_of(normalization._moments), [x], {"axes": axes, "keepdims": keepdims}) for axes in AXES for keepdims in (False, True)]
    for (_, _, attrs), (expected, found) in zip(cases, all_of(*cases), strict=True):
        assert_allclose(found[0], expected[0], rtol=1e-6, err_msg=str(attrs))
        exact = np.var(x.astype("float64"), axis=attrs["axes"], keepdims=attrs["keepdims"])
        assert_allclose(found[1], exact, rtol=1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_moments_of_halves(dtype):
    x = normal(40, 33).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype) * 300
    expected, found = both(op_of(normalization._moments), x, axes=(0,), keepdims=False)
    for y, z in zip(found, expected, strict=True):
        assert_allclose(y.astype("float32"), z.astype("float32"), **{**TOL[dtype], "atol": 1})


def test_moments_of_many_blocks():
    shapes = [((7, 9, 11, 16), (0, 1, 2)), ((9, 5, 13, 17), (0, 2, 3)), ((3000, 3), (0,)), ((1, 70000), (0, 1)), ((6, 8, 9), (1,)), ((2000, 67), (0,)),
              ((40, 3, 2, 7, 90), (0, 2, 4))]  # fmt: skip
    cases = [(op_of(normalization._moments), [normal(*shape) * 3 - 50], {"axes": axes, "keepdims": False}) for shape, axes in shapes]
    for (_, [x], attrs), (expected, found) in zip(cases, all_of(*cases), strict=True):
        assert_allclose(found[0], expected[0], rtol=1e-5)
        assert_allclose(found[1], np.var(x.astype("float64"), axis=attrs["axes"]), rtol=1e-5)


def test_many_parts_of_few_results_are_put_together_by_several_blocks():
    x, y = normal(1 << 15, 32), [np.empty(32, "float32") for _ in range(2)]
    request = Request(op_of(normalization._moments), {"axes": (0,), "keepdims": False}, [host.buffer(x)], [host.buffer(z) for z in y])
    assert [launch.blocks for launch in bind(request)] == [256, 4]


def test_moments_of_views_and_special_numbers():
    x, op = normal(6, 5, 4), op_of(normalization._moments)
    strange = x.copy()
    strange[0, 0, 0], strange[1, 1, 1], strange[2, 2, 2] = np.nan, np.inf, -np.inf
    cases = [(op, [x.transpose(2, 0, 1)[:, ::2]], {"axes": (0, 2), "keepdims": False}), (op, [strange], {"axes": (0,), "keepdims": False})]
    for expected, found in all_of(*cases):
        assert_allclose(found[0], expected[0], rtol=1e-5, atol=1e-6)
        assert_allclose(found[1], expected[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "float16"])
def test_reductions_over_any_axes(dtype):
    x = (normal(4, 3, 5, 6) * 3).astype(dtype)
    if dtype != "int32":
        x[1, 1, 1, 1] = np.nan
    names = [name for name in ("sum", "max", "min", "prod", "mean", "any", "all", "count_nonzero") if name != "mean" or dtype != "int32"]
    cases = [(op_of(getattr(reduction, name)), [x], {"axis": axes}) for name in names for axes in [(0, 2), (1,), (1, 3), (0, 1, 2, 3)]]
    for (op, _, attrs), (expected, y) in zip(cases, all_of(*cases), strict=True):
        assert_allclose(y, expected, **{**TOL.get(dtype, {}), "rtol": 4e-3 if dtype == "float16" else 1e-5}, err_msg=f"{op} {attrs}")


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8"])
def test_places(dtype):
    x = (normal(6, 70, 5) * 2).round().astype(dtype)
    if "float" in dtype:
        x[2, 3, 1] = x[4, 3, 1] = np.nan
    ops = op_of(reduction.argmax), op_of(reduction.argmin)
    for expected, y in all_of(*((op, [z], {"axis": axis}) for op in ops for axis in (None, 0, 1, 2) for z in (x, x.transpose(2, 1, 0)))):
        assert_array_equal(y, expected)


def test_sums_of_nothing():
    ops = [op_of(getattr(reduction, name)) for name in ("sum", "prod", "any", "all")]
    for expected, y in all_of(*((op, [np.zeros((0, 3), "float32")], {"axis": axis}) for op in ops for axis in (0, None))):
        assert_array_equal(y, expected)


def test_sums_to_a_shape():
    x = normal(7, 3, 4, 5)
    for expected, y in all_of(*((op_of(sum_to), [x], {"shape": shape}) for shape in ((3, 1, 1), (1, 3, 1, 1), (7, 1, 4, 1), (5,), ()))):
        assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_normalizes(dtype):
    x, strange = normal(4, 3, 5, 6, dtype=dtype), normal(4, 3, 5, 6, dtype=dtype)
    strange[0, 0, 0, 0], strange[1, 1, 1, 1], strange[2] = np.nan, np.inf, -np.inf
    cases = [(op_of(normalization._standardize), [x], {"axes": axes, "epsilon": 1e-3, "center": center})
             for axes in AXES for center in (False, True)]  # fmt: skip
    ops = op_of(activation.plain_softmax), op_of(activation.log_softmax), op_of(reduction.logsumexp)
    cases += [(op, [z], {"axis": axes}) for op in ops for z in (x, strange) for axes in AXES]
    for (op, _, attrs), (expected, found) in zip(cases, all_of(*cases), strict=True):
        for y, z in zip(*((p if isinstance(p, tuple) else [p]) for p in (found, expected)), strict=True):
            assert_allclose(y, z, rtol=1e-5, atol=1e-5, err_msg=f"{op} {attrs}")
