"""CUDA C of pools, lookups, random numbers and copies, run on the processor, against the ops' own NumPy kernels."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from kerasish.backend import random
from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.kernels.cuda import copy, embedding, pool  # noqa: F401  (register)
from kerasish.backend.kernels.cuda import random as _random  # noqa: F401
from kerasish.backend.kernels.cuda.launch import Request, bind
from kerasish.ops import indexing, pooling, shaping
from kerasish.ops.indexing import ARRAY
from tests.backend.kernels import cuda_host as host

pytestmark = pytest.mark.skipif(not host.available(), reason="g++ compiles the sources for the processor")
XP = NumpyArrays()


def all_of(*cases):
    """For each case (op, arrays, attributes) the results of the op's own kernel and those of its CUDA kernel, None where none takes it;
    tuples where there are several. All sources are compiled together, which takes far less time."""
    bound = []
    for op, arrays, attrs in cases:
        attrs = {**op.defaults, **attrs}
        with np.errstate(all="ignore"):
            expected = op.kernel(XP, *arrays, **attrs)
        results = [np.full(np.shape(y), 1, y.dtype) for y in (expected if isinstance(expected, tuple) else [expected])]
        bound.append((expected, results, bind(Request(op, attrs, [host.buffer(x) for x in arrays], [host.buffer(y) for y in results]))))
    host.prepare([launch.source for _, _, launches in bound for launch in launches or ()])
    found = []
    for expected, results, launches in bound:
        if launches is not None:
            host.run(launches)
        found.append((expected, None if launches is None else tuple(results) if isinstance(expected, tuple) else results[0]))
    return found


def both(op, *arrays, **attrs):
    """``all_of`` one case."""
    return all_of((op, arrays, attrs))[0]


def normal(*shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


POOLS = [
    dict(pool_size=2, strides=None, padding="valid"),
    dict(pool_size=3, strides=2, padding="same"),
    dict(pool_size=(2, 3), strides=1, padding="same"),
    dict(pool_size=2, strides=3, padding="valid"),
]


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("attrs", POOLS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_pools(attrs, data_format, dtype):
    x = normal(2, 7, 6, 5, dtype=dtype).round(1)
    x[0, 1, 2, 3] = np.nan
    attrs = {**attrs, "data_format": data_format}
    tol = {"rtol": 1e-5, "atol": 1e-6} if dtype != "float16" else {"rtol": 2e-3, "atol": 2e-3}
    for op in (pooling.max_pool, pooling.average_pool):
        expected, y = both(op_of(op), x, **attrs)
        assert_allclose(y, expected, **tol)
    y = both(op_of(pooling.max_pool), x, **attrs)[0]
    g = normal(*y.shape, seed=1, dtype=dtype)
    expected, gx = both(op_of(pooling._to_first_maximum), g, x, y, **attrs)
    assert_allclose(gx, expected, **tol)
    expected, gx = both(op_of(pooling._average_pool_input), g, shape=x.shape, **attrs)
    assert_allclose(gx, expected, **tol)


def op_of(function):
    return getattr(function, "op", function)


def test_pools_of_sequences_and_volumes():
    for shape, attrs in [((2, 9, 4), dict(pool_size=3, strides=2, padding="same")), ((2, 4, 5, 6, 3), dict(pool_size=(2, 3, 2), strides=(1, 2, 2), padding="same")),
                         ((1, 3, 5, 4, 2), dict(pool_size=2, strides=None, padding="valid"))]:  # fmt: skip
        for data_format in ("channels_last", "channels_first"):
            gradients_of_pools(normal(*shape), pooling.max_pool, pooling._to_first_maximum, pooling.average_pool, pooling._average_pool_input,
                               **attrs, data_format=data_format)  # fmt: skip


def test_adaptive_pools():
    for shape, size in [((2, 9, 4), (4,)), ((2, 7, 6, 3), (3, 4)), ((1, 4, 5, 6, 2), (2, 5, 4))]:
        x = normal(*shape).round(1)
        x[0, 2, ..., 1] = np.nan
        gradients_of_pools(x, pooling.adaptive_max_pool, pooling._to_first_adaptive, pooling.adaptive_average_pool, pooling._adaptive_average_input,
                           output_size=size, data_format="channels_last")  # fmt: skip


def gradients_of_pools(x, largest, to_first, mean, to_all, **attrs):
    """Both pools and the gradients of both."""
    y = both(op_of(largest), x, **attrs)[0]
    g = normal(*y.shape, seed=1)
    alone = {key: value for key, value in attrs.items() if key != "output_size"}
    found = all_of((op_of(largest), [x], attrs), (op_of(to_first), [g, x, y], attrs), (op_of(mean), [x], attrs),
                   (op_of(to_all), [g], {**alone, "shape": x.shape}))  # fmt: skip
    for expected, y in found:
        assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_rows(dtype):
    table = normal(11, 6)
    ids = np.array([[3, 0, 10], [-1, 3, 3]], dtype)
    expected, y = both(op_of(indexing._take), table, ids, axis=0)
    assert_array_equal(y, expected)
    expected, y = both(op_of(indexing._take), normal(3, 11, 2), ids, axis=1)
    assert_array_equal(y, expected)
    expected, y = both(op_of(indexing._get_item), table[:, ::2], ids, key=(ARRAY, slice(None)))
    assert_array_equal(y, expected)


def test_numbers_out_of_range():
    table, ids, y = normal(4, 3), np.array([4, 1, -5], "int32"), np.zeros((3, 3), "float32")
    op = op_of(indexing._take)
    host.run(bind(Request(op, {"axis": 0}, [host.buffer(table), host.buffer(ids)], [host.buffer(y)])))
    assert np.isnan(y[[0, 2]]).all()
    assert_array_equal(y[1], table[1])


@pytest.mark.parametrize("count, inner", [(1, 3), (40, 5), (700, 3), (30, 300)])
def test_rows_added_up(count, inner):
    ids = np.random.default_rng(0).integers(-9, 9, count).astype("int32")
    values = normal(count, inner)
    expected, y = both(op_of(indexing._add_at), values, ids, shape=(9, inner), axis=0)
    assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    expected, y = both(op_of(indexing._segment), values, ids, num_segments=7, kind="add")
    assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


DTYPES = "float16", "bfloat16", "float32", "float64"


@pytest.mark.parametrize("size", [1, 7, 8, 33, 5000])
def test_random_numbers_are_the_same(size):
    key = np.array([42, 7], "uint32")
    for op, attrs in [
        (random.random_bits, {}),
        *((random.keep_mask, {"rate": rate}) for rate in (0.0, 0.25, 0.3, 0.9)),
        *((random._uniform, {"low": a, "high": b, "dtype": d}) for a, b in ((0.0, 1.0), (-0.3, 0.5), (2.0, 2.0)) for d in DTYPES),
    ]:
        expected, y = both(op_of(op), key, shape=(size,), **attrs)
        assert_array_equal(y, expected, err_msg=f"{op} {attrs}")


def test_copies():
    x = normal(5, 6, 7)
    expected, y = both(op_of(shaping._relabel), x.transpose(2, 0, 1), newshape=(7, 1, 5, 6))
    assert_array_equal(y, expected)
    expected, y = both(op_of(shaping._concatenate), x, x[:, ::2], normal(5, 1, 7), axis=1)
    assert_array_equal(y, expected)
