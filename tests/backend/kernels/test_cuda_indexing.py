"""CUDA C of elements picked along an axis, sorted and searched, run on the processor, against the ops' own NumPy kernels."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from kerasish.backend import random
from kerasish.backend.kernels.cuda import indexing as _indexing  # noqa: F401  (register)
from kerasish.backend.kernels.cuda import order
from kerasish.ops import crossentropy, indexing, reduction
from tests.backend.kernels import cuda_host as host
from tests.backend.kernels.test_cuda_kernels import all_of, normal, op_of

pytestmark = pytest.mark.skipif(not host.available(), reason="g++ compiles the sources for the processor")


def draw(low, high, shape, seed=0, dtype="int32"):
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)


def test_along_an_axis():
    x, cases = normal(3, 4, 5), []
    for axis in range(3):
        others = [n for a, n in enumerate(x.shape) if a != axis]
        ids, places = draw(-1, 6, others), draw(-3, 3, [7 if a == axis else n for a, n in enumerate(x.shape)])
        cases += [
            (op_of(crossentropy._one_hot), [ids], {"num_classes": 6, "axis": axis, "dtype": "float32", "sparse": False}),
            (op_of(crossentropy._put_at), [ids, normal(*others)], {"size": 6, "axis": axis}),
            (op_of(crossentropy._pick_at), [ids, x], {"axis": axis}),
            (op_of(crossentropy._in_range), [ids, x], {"axis": axis}),
            (op_of(indexing._take_along), [x, places], {"axis": axis}),
            (op_of(indexing._take_along), [x[:, :1].transpose(1, 2, 0), draw(0, 1, (1, 5, 3))], {"axis": 0}),
            (op_of(indexing._add_along), [normal(*places.shape), places], {"shape": x.shape, "axis": axis}),
        ]
    cases.append((op_of(crossentropy._one_hot), [draw(0, 3, (2, 3))], {"num_classes": 3, "axis": -1, "dtype": "int32", "sparse": False}))
    cases.append((op_of(indexing._add_along), [normal(3, 4, 5), draw(0, 5, (3, 4, 5))], {"shape": (3, 1, 5), "axis": 2}))
    start = np.array([1, -3, 0])
    cases += [(op_of(indexing._slice), [x, start], {"sizes": (2, 3, 4)}), (op_of(indexing._put_slice), [normal(2, 3, 4), start], {"shape": x.shape}),
              (op_of(indexing._slice_update), [x.transpose(1, 0, 2), start, normal(2, 1, 4)], {})]  # fmt: skip
    for (op, _, attrs), (expected, y) in zip(cases, all_of(*cases), strict=True):
        assert_allclose(y, expected, rtol=1e-6, atol=1e-6, err_msg=f"{op} {attrs}")


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32", "int64", "uint8"])
@pytest.mark.parametrize("short", [0, order._SHORT])
def test_order(dtype, short, monkeypatch):
    monkeypatch.setattr(order, "_SHORT", short)
    x = (normal(5, 70, 3) * 4).round().astype(dtype)
    if "float" in dtype:
        x[1, 3, 0], x[2, :4, 1], x[0, 5, 2], x[0, 7] = np.nan, np.nan, -np.inf, -0.0
    ops = op_of(indexing._argsort), op_of(indexing._sort)
    cases = [(op, [z], {"axis": axis}) for op in ops for axis in (0, 1) for z in ((x, x.transpose(2, 0, 1)) if short else (x[:, :, 0],))]
    cases += [(op_of(indexing._top_indices), [x[:, :, 0]], {"k": k}) for k in (1, 5, 70)]
    for (op, _, attrs), (expected, y) in zip(cases, all_of(*cases), strict=True):
        assert_array_equal(y, expected, err_msg=f"{op} {attrs}")


def test_recurrences_and_picks():
    a, b, ids = normal(3, 6, 4), normal(3, 6, 4, seed=1), draw(0, 4, (3, 6, 2))
    cases = [(op_of(reduction._recurrence), [b, a], {"axis": axis, "reverse": reverse}) for axis in range(3) for reverse in (False, True)]
    cases += [(op_of(reduction._order), [a], {}), (op_of(reduction._pick), [a, ids], {}), (op_of(reduction._give_back), [a[..., :2], ids], {"n": 4})]
    for (op, _, attrs), (expected, y) in zip(cases, all_of(*cases), strict=True):
        assert_allclose(y, expected, rtol=1e-5, atol=1e-6, err_msg=f"{op} {attrs}")


def test_random_orders():
    key = np.array([42, 7], "uint32")
    cases = [(op_of(random._random_order), [key], {"shape": shape, "axis": axis}) for shape, axis in (((9,), 0), ((4, 6, 3), 1), ((1500,), 0))]
    permutation = np.random.default_rng(0).permutation(12)
    cases += [(op_of(random._inverse_order), [permutation], {"axis": 0}), (op_of(random._reorder), [normal(12), permutation], {"axis": 0})]
    for expected, y in all_of(*cases):
        assert_array_equal(y, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_searches(dtype):
    sequence, values = np.sort((normal(9) * 3).round()).astype(dtype), (normal(4, 6) * 3).round().astype(dtype)
    if "float" in dtype:
        values[0, 0], sequence[-1] = np.nan, np.nan
    cases = [(op_of(indexing.searchsorted), [sequence, values], {"side": side}) for side in ("left", "right")]
    sequence = np.arange(5).astype(dtype)
    cases += [(op_of(indexing.digitize), [values[1:], bins], {}) for bins in (sequence, sequence[::-1], sequence[:1])]
    for expected, y in all_of(*cases):
        assert_array_equal(y, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_targets_among_the_largest(dtype):
    x, targets = normal(11, 70, dtype=dtype).round(1), draw(-1, 71, 11)
    x[3, 5], x[4, targets[4] % 70] = np.nan, np.nan
    for expected, y in all_of(*((op_of(indexing.in_top_k), [targets, x], {"k": k}) for k in (1, 5, 40))):
        assert_array_equal(y, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "float16"])
def test_running_sums(dtype):
    x = (normal(4, 150, 3) * 2).astype(dtype)
    cases = [(op_of(reduction._cumsum), [z], {"axis": axis, "reverse": reverse, "dtype": None})
             for z in (x, x.transpose(1, 2, 0)) for axis in range(3) for reverse in (False, True)]  # fmt: skip
    cases += [(op_of(reduction._cumprod), [x[:, :20]], {"axis": axis, "dtype": None}) for axis in range(3)]
    for (op, _, attrs), (expected, y) in zip(cases, all_of(*cases), strict=True):
        assert_allclose(y, expected, rtol=2e-3 if dtype == "float16" else 1e-4, atol=1e-2 if dtype == "float16" else 1e-5, err_msg=f"{op} {attrs}")
