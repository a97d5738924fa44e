"""Rows by number, their gradient, and class numbers, against the ops' NumPy kernels."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from kerasish import function, ops
from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.kernels import embedding  # noqa: F401  (registers the candidates)
from kerasish.backend.kernels.alone import run_alone
from kerasish.ops import crossentropy, indexing, reduction

RNG = np.random.default_rng(0)
nan, inf = np.nan, np.inf


def numbers(*shape, dtype="float32"):
    return (RNG.standard_normal(shape) * 100).astype(dtype)


def integers(low, high, *shape, dtype="int32"):
    return RNG.integers(low, high, shape).astype(dtype)


def check(op, *arrays, **attrs):
    with np.errstate(all="ignore"):
        want = op.kernel(NumpyArrays(), *arrays, **attrs)
    got = run_alone(op, arrays, outputs=[np.full(want.shape, 99, want.dtype)], **attrs)
    assert got is not None
    np.testing.assert_array_equal(got[0], want)


@pytest.mark.parametrize("kind", ["add", "multiply", "maximum", "minimum"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize(("count", "rows", "rest"), [(1, 1, ()), (300, 7, (5,)), (3000, 100, (33,)), (50, 400, (2, 3))], ids=str)
def test_segments(count, rows, rest, dtype, kind):
    values = integers(-3, 4, count, *rest).astype(dtype) if kind == "add" else integers(0, 2, count, *rest).astype(dtype) * 2 - 1
    if dtype != "int32" and kind != "add":
        values[count // 2 :: 7] = nan
        values[::5] = inf
    check(indexing._segment, values, integers(-2, rows + 2, count), num_segments=rows, kind=kind)


@pytest.mark.parametrize("dtype", ["float32", "int32"])
@pytest.mark.parametrize(("count", "rows", "rest"), [(1, 1, ()), (300, 7, (5,)), (40, 3000, (64,)), (50, 400, (2, 3))], ids=str)
def test_rows_put(count, rows, rest, dtype):
    table, values, places = numbers(rows, *rest, dtype=dtype), numbers(count, *rest, dtype=dtype), integers(-rows, rows, count)
    check(indexing._set, table, values, places, key=(indexing.ARRAY, *[slice(None)] * len(rest)))


@pytest.mark.parametrize(("shape", "axis"), [((3, 7), 1), ((2, 5, 3), 1), ((4, 2, 6, 33), 2), ((2, 3, 4, 1), 3)], ids=str)
def test_take_behind(shape, axis):
    x = numbers(*shape)
    check(indexing._take, x, integers(-shape[axis], shape[axis], 4, 9), axis=axis)
    with pytest.raises(IndexError, match=f"index {shape[axis]} is out of bounds for axis {axis} with size {shape[axis]}"):
        run_alone(indexing._take, [x, np.array([0, shape[axis]])], outputs=[np.empty((*shape[:axis], 2, *shape[axis + 1 :]), "float32")], axis=axis)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bool"])
@pytest.mark.parametrize("index", ["int32", "int64"])
@pytest.mark.parametrize(
    ("table", "shape"), [((7, 5), (3, 4)), ((20, 128), (300, 9)), ((50, 33), (1,)), ((9,), (40,)), ((30, 3), (50,)), ((30, 4), (5, 5)), ((4, 3, 7), ()), ((5, 0), (2,))], ids=str
)
def test_take(table, shape, index, dtype):
    check(indexing._take, numbers(*table, dtype=dtype), integers(-table[0], table[0], *shape, dtype=index), axis=0)


def test_take_of_strided_tables_and_numbers():
    table, ids = numbers(40, 17), integers(0, 20, 6, 8)
    check(indexing._take, table[::2], ids.T, axis=0)
    check(indexing._take, table[:, 3:9], ids[:, ::3], axis=0)
    check(indexing._get_item, table, ids, key=(indexing.ARRAY, slice(None)))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize("index", ["int32", "int64"])
@pytest.mark.parametrize(("rows", "width", "count"), [(7, 5, 12), (20, 128, 300), (3000, 70, 500), (1, 1, 100), (900, 33, 2100), (5, 4, 0)])
def test_gradient_of_take_is_the_same_bits_for_any_number_of_threads(rows, width, count, index, dtype):
    values, ids = numbers(count, width, dtype=dtype), integers(-rows, rows, count, dtype=index)
    check(indexing._add_at, values, ids, shape=(rows, width), axis=0)
    check(indexing._put, values, ids, shape=(rows, width), key=(indexing.ARRAY,))
    results = [run_alone(indexing._add_at, [values, ids], threads=n, shape=(rows, width), axis=0)[0] for n in (1, 5)]
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("bad", [7, -8, 2**30])
def test_numbers_out_of_range_raise_numpys_error(bad, dtype):
    ids = np.array([[0, 1, -7], [6, bad, 3]], dtype)
    table, rows, wide = numbers(7, 5), numbers(2, 3, 5), numbers(2, 7)
    message = f"index {bad} is out of bounds for axis {{}} with size 7"
    for op, inputs, shape, axis, attrs in [
        (indexing._take, [table, ids], (2, 3, 5), 0, {"axis": 0}),
        (indexing._take, [table[:, 2], ids], (2, 3), 0, {"axis": 0}),
        (indexing._get_item, [table, ids], (2, 3, 5), 0, {"key": (indexing.ARRAY,)}),
        (indexing._add_at, [rows, ids], (7, 5), 0, {"axis": 0, "shape": (7, 5)}),
        (indexing._take_along, [wide, ids], (2, 3), 1, {"axis": 1}),
        (indexing._add_along, [numbers(2, 3), ids], (2, 7), 1, {"axis": 1, "shape": (2, 7)}),
    ]:
        with pytest.raises(IndexError, match=message.format(axis)):
            run_alone(op, inputs, outputs=[np.empty(shape, "float32")], **attrs)
        with pytest.raises(IndexError):
            op.kernel(NumpyArrays(), *inputs, **attrs)


def test_a_replayed_step_raises_too_and_the_next_one_is_right_again():
    table = numbers(7, 5)
    lookup = function(lambda ids: ops.take(table, ids, axis=0) * 2.0)
    np.testing.assert_array_equal(lookup(np.array([1, -1], "int32")), table[[1, -1]] * 2)
    with pytest.raises(IndexError, match="index 7 is out of bounds for axis 0 with size 7"):
        lookup(np.array([1, 7], "int32"))
    np.testing.assert_array_equal(lookup(np.array([2, 3], "int32")), table[[2, 3]] * 2)


def test_what_is_left_to_others():
    table, ids = numbers(7, 5), integers(0, 5, 3)
    assert run_alone(indexing._take, [table, ids.astype("uint8")], axis=0) is None
    assert run_alone(indexing._get_item, [table, ids, ids], key=(indexing.ARRAY,) * 2) is None
    assert run_alone(crossentropy._one_hot, [ids], num_classes=4, axis=0, dtype="float32") is None
    assert run_alone(reduction.argmax, [table], axis=0) is None


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize(("shape", "classes"), [((5,), 10), ((), 3), ((70, 3), 100), ((2, 0), 4), ((3,), 1)])
def test_one_hot(shape, classes, dtype):
    check(crossentropy._one_hot, integers(-2, classes + 2, *shape), num_classes=classes, dtype=dtype)
    check(crossentropy._one_hot, integers(-2, classes + 2, *shape, dtype="int64"), num_classes=classes, dtype=dtype, axis=len(shape))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_elements_at_classes_and_their_gradient(dtype):
    x = numbers(30, 12, dtype=dtype)
    x[3, 0] = x[4, 5] = nan
    x[5, 0] = inf
    ids = integers(-2, 14, 30)
    ids[3:6] = 12, 5, -1  # out of range where the first element is NaN, or infinite: NaN
    check(crossentropy._pick_at, ids, x, axis=-1)
    check(crossentropy._pick_at, ids, numbers(12, 30, dtype=dtype).T, axis=1)
    check(crossentropy._pick_at, ids.reshape(5, 6), x.reshape(5, 6, 12), axis=2)
    check(crossentropy._put_at, ids, x[:, 0], size=12, axis=-1)
    check(crossentropy._in_range, ids, x, axis=-1)


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_along_the_last_axis(dtype):
    x, ids = numbers(6, 5, 20, dtype=dtype), integers(-20, 20, 6, 5, 7)
    check(indexing._take_along, x, ids, axis=2)
    check(indexing._take_along, x[0, ::2, ::-1], ids[0, :3], axis=1)
    check(indexing._add_along, numbers(6, 5, 7, dtype=dtype), ids, shape=x.shape, axis=2)


@pytest.mark.parametrize("op", [reduction.argmax, reduction.argmin], ids=lambda op: op.name)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize("width", [1, 2, 10, 16, 33, 1000])
def test_place_of_the_largest(width, dtype, op):
    x = integers(-3, 4, 40, width).astype(dtype)  # many are equal: the first one counts
    if dtype != "int32":
        x[0], x[1], x[2] = nan, -inf, inf
        x[3, width // 2 :] = nan
        x[4, ::3] = -inf
        x[5, ::2] = inf
    else:
        x[0], x[1] = -(2**31), 2**31 - 1
    check(op, x, axis=-1)
    check(op, x, axis=1, keepdims=True)
    check(op, x, axis=None)
    check(op, x.reshape(5, 8, width)[:, ::2], axis=2)
