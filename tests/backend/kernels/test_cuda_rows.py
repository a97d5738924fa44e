"""CUDA C of rows put together by number, sorted or not, run on the processor, against the ops' own NumPy kernels."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from kerasish.backend.kernels.cuda import embedding, radix
from kerasish.backend.kernels.cuda.launch import Request
from kerasish.ops import indexing
from kerasish.ops.indexing import ARRAY
from tests.backend.kernels import cuda_host as host
from tests.backend.kernels.test_cuda_kernels import all_of, normal, op_of

pytestmark = pytest.mark.skipif(not host.available(), reason="g++ compiles the sources for the processor")
ALL = slice(None)


@pytest.mark.parametrize(("count", "bits", "dtype"), [(1, 4, "uint32"), (5000, 8, "uint32"), (4097, 17, "uint32"), (3000, 40, "uint64")])
def test_sorting(count, bits, dtype):
    keys = np.random.default_rng(0).integers(0, 1 << bits, count).astype(dtype)
    keys[count // 2 :] = keys[: count - count // 2]
    request = Request(op_of(indexing._argsort), {}, [host.buffer(keys.copy())], [])
    found, order, launches = radix.sort(request, request.inputs[0], bits)
    results = np.zeros_like(keys), np.zeros(count, "int32")
    host.run([*launches, request.copy(found, host.buffer(results[0])), request.copy(order, host.buffer(results[1]))])
    assert_array_equal(results[1], np.argsort(keys, kind="stable"))
    assert_array_equal(results[0], keys[results[1]])


def numbers(count, rows, seed=0):
    """Some rows come often, one very often, some are missing."""
    ids = np.random.default_rng(seed).integers(0, rows, count)
    ids[count // 3 : count // 2] = rows // 2
    return ids


@pytest.mark.parametrize("few", [0, embedding._FEW])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32"])
def test_rows_are_put_together(dtype, few, monkeypatch):
    monkeypatch.setattr(embedding, "_FEW", few)
    cases, add_at, segment = [], op_of(indexing._add_at), op_of(indexing._segment)
    for count, rows, inner in [(1, 1, 1), (130, 40, 3), (60, 9, 300)] if few else [(1, 1, 1), (1500, 300, 33)]:
        values = (normal(count, inner) * (1 if few else 3)).round(2).astype(dtype)
        if dtype == "float16":
            values = (values * 8).round() / 8  # sums that a half holds: the op rounds after each addition
        ids = numbers(count, rows)
        cases.append((add_at, [values, np.where(ids % 2, ids, ids - rows)], {"shape": (rows, inner), "axis": 0}))
        cases.append((segment, [values, ids - 1], {"num_segments": rows, "kind": "add"}))
        cases += [(segment, [values, ids.astype("int32")], {"num_segments": rows + 3, "kind": kind}) for kind in ("maximum", "minimum")]
    cases.append((segment, [normal(50, 2).round(1).astype(dtype), numbers(50, 30)], {"num_segments": 30, "kind": "multiply"}))
    for (_, _, attrs), (expected, y) in zip(cases, all_of(*cases), strict=True):
        assert_allclose(y, expected, rtol=1e-4 if dtype != "float16" else 2e-2, atol=1e-4, err_msg=str(attrs))


@pytest.mark.parametrize("few", [0, embedding._FEW])
def test_other_axes_and_coordinates(few, monkeypatch):
    monkeypatch.setattr(embedding, "_FEW", few)
    ids, x = np.array([[3, 0, 2], [-1, 3, 3]]), normal(3, 4, 5)
    at = np.array([0, 2, -1, 0]), np.array([[1], [3], [1]])
    cases = [
        (op_of(indexing._add_at), [normal(3, 2, 3, 5), ids], {"shape": (3, 4, 5), "axis": 1}),
        (op_of(indexing._take), [x, ids], {"axis": 1}),
        (op_of(indexing._take), [x.transpose(1, 0, 2), ids], {"axis": 0}),
        (op_of(indexing._get_item), [x, ids], {"key": (ALL, ARRAY)}),
        (op_of(indexing._get_item), [x, *at], {"key": (ARRAY, ARRAY, Ellipsis)}),
        (op_of(indexing._get_item), [normal(2, 3, 4), *at], {"key": (ALL, ARRAY, ARRAY)}),
        (op_of(indexing._put), [normal(3, 4, 5), *at], {"key": (ARRAY, ARRAY, ALL), "shape": (3, 4, 5)}),
        (op_of(indexing._put), [normal(1, 5), *at], {"key": (ARRAY, ARRAY), "shape": (3, 4, 5)}),
        (op_of(indexing._put), [normal(2, 3, 4), *at], {"key": (ALL, ARRAY, ARRAY), "shape": (2, 3, 4)}),
        (op_of(indexing._put), [normal(2, 3, 5), ids], {"key": (ARRAY,), "shape": (4, 5)}),
        (op_of(indexing._set), [x, normal(2, 3, 4, 5), np.array([[0, 2, 0], [2, 2, 1]])], {"key": (ARRAY, ALL, ALL)}),
        (op_of(indexing._set), [x, normal(3, 4, 5), *at], {"key": (ARRAY, ARRAY, ALL)}),
        (op_of(indexing._flat_ids), [x, *at], {}),
        (op_of(indexing._set), [x, normal(5), np.array([1, 3])], {"key": (ALL, ARRAY)}),
    ]
    for i, (expected, y) in enumerate(all_of(*cases)):
        assert_allclose(y, expected, rtol=1e-5, atol=1e-6, err_msg=str(cases[i][2]))


def test_what_comes_often_is_the_same_each_time():
    values, ids = normal(2200, 7), np.where(np.arange(2200) % 3, 5, np.arange(2200) % 17)
    first, second = all_of(*[(op_of(indexing._add_at), [values, ids], {"shape": (17, 7), "axis": 0})] * 2)
    assert_array_equal(first[1], second[1])
    assert_allclose(first[1], first[0], rtol=1e-3, atol=1e-4)
