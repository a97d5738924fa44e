"""What the table has not: keys from hypothesis, indices out of range, ties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kerasish import Variable, ops
from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor

quick = settings(max_examples=100, deadline=None)
small_shapes = hnp.array_shapes(min_dims=1, max_dims=4, max_side=4)


def numbers(shape):
    return np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape)


def added_up(shape, key, values):
    expected = np.zeros(shape)
    np.add.at(expected, key, values)
    return expected


@st.composite
def mixed_keys(draw, shape):
    """Ints, slices, None, Ellipsis and index arrays that broadcast, in any order."""
    common = draw(hnp.array_shapes(min_dims=1, max_dims=2, max_side=3))
    items, seen_ellipsis = [], False
    for n in shape:
        kind = draw(st.sampled_from(["int", "slice", "array", "none", "ellipsis", "end"]))
        if kind == "end":
            break
        if kind == "none":
            items.append(None)
        if kind == "ellipsis" and not seen_ellipsis:
            items.append(Ellipsis)
            break
        if kind == "array":
            items.append(draw(hnp.arrays(np.int64, common, elements=st.integers(-n, n - 1))))
        elif kind == "int":
            items.append(draw(st.integers(-n, n - 1)))
        else:
            items.append(draw(st.slices(n)))
    return tuple(items)


@quick
@given(st.data())
def test_keys_follow_numpy_forward_and_backward(data):
    shape = data.draw(small_shapes)
    strategy = st.one_of(mixed_keys(shape), hnp.basic_indices(shape, allow_newaxis=True), hnp.integer_array_indices(shape))
    key = data.draw(strategy)
    x = numbers(shape)
    y = ops.get_item(Tensor(x), key)
    np.testing.assert_array_equal(y, x[key])
    assert y.shape == x[key].shape
    assert ops.get_item(KerasTensor(shape), key).shape == x[key].shape
    weight = numbers(y.shape) ** 2
    slope = grad(lambda t: ops.sum(t[key] * Tensor(weight)))(Tensor(x))
    np.testing.assert_array_equal(slope, added_up(shape, key, weight))


@quick
@given(st.data())
def test_masks_follow_numpy(data):
    shape = data.draw(small_shapes)
    rank = data.draw(st.integers(1, len(shape)))
    mask = data.draw(hnp.arrays(bool, shape[:rank]))
    x = numbers(shape)
    np.testing.assert_array_equal(Tensor(x)[mask], x[mask])
    slope = grad(lambda t: ops.sum(t[Tensor(mask)] * 3.0))(Tensor(x))
    np.testing.assert_array_equal(slope, np.broadcast_to(3.0 * mask.reshape(mask.shape + (1,) * (x.ndim - rank)), shape))


@pytest.mark.parametrize("key", [True, False, (True, 1), (slice(None), True, np.array([1, 0])), [], [0, 1], np.int64(1)])
def test_rare_keys(key):
    x = numbers((2, 3))
    np.testing.assert_array_equal(Tensor(x)[key], x[np.array([], int) if isinstance(key, list) and not key else key])


def test_keys_of_tensors_and_variables():
    x, i = numbers((3, 4)), Variable([2, 0], dtype="int32")
    np.testing.assert_array_equal(Tensor(x)[i], x[[2, 0]])
    np.testing.assert_array_equal(Tensor(x)[Tensor(1), Tensor([0, 1])], x[1, [0, 1]])
    np.testing.assert_array_equal(Variable(x)[Tensor(1) :], x[1:])


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x[3],
        lambda x: x[np.array([0, 3])],
        lambda x: x[np.array([-4])],
        lambda x: x[0, 0, 0],
        lambda x: x[..., 0, ...],
        lambda x: x[np.array([0.5])],
        lambda x: x[np.array([True, False])],
        lambda x: x[..., np.array([True, False, True])],
        lambda x: ops.take(x, [3], axis=0),
        lambda x: ops.take(x, 6),
        lambda x: ops.take_along_axis(x, [[2, 2]], axis=1),
        lambda x: ops.scatter([[3]], [1.0], (3,)),
        lambda x: ops.scatter_update(x, [[3]], [[1.0, 1.0]]),
        lambda x: ops.scatter_update(x, [[3]], [[1.0, 1.0]], reduction="max"),
    ],
)
def test_indices_out_of_range_raise(use):
    with pytest.raises(IndexError):
        use(Tensor(numbers((3, 2))))


def test_a_wrong_index_in_a_gradient_raises_too():
    target = np.zeros((3, 2))
    with pytest.raises(IndexError):
        NumpyArrays().scatter_add(target, np.array([0, 3]), np.ones((2, 2)))


def test_symbolic_int_out_of_range_raises():
    with pytest.raises(IndexError):
        KerasTensor((None, 3))[:, 3]


@quick
@given(st.data())
def test_scatter_add_is_numpys(data):
    shape = data.draw(small_shapes)
    index = data.draw(st.one_of(hnp.integer_array_indices(shape), mixed_keys(shape)))
    values = numbers(np.zeros(shape)[index].shape)
    ours = NumpyArrays().scatter_add(np.zeros(shape), index, values)
    np.testing.assert_array_equal(ours, added_up(shape, index, values))


@quick
@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(0, 2))
def test_take_adds_up_the_gradients_of_repeated_rows(indices, axis):
    x = numbers((4, 4, 4))
    y = ops.take(Tensor(x), indices, axis=axis)
    np.testing.assert_array_equal(y, np.take(x, indices, axis))
    slope = grad(lambda t: ops.sum(ops.take(t, indices, axis=axis)))(Tensor(x))
    counts = np.bincount(indices, minlength=4)
    np.testing.assert_array_equal(slope, np.broadcast_to(counts.reshape([-1 if i == axis else 1 for i in range(3)]), x.shape))


@pytest.mark.parametrize(
    "mode", ["reflect", "symmetric", "edge", "wrap", "maximum", "minimum", "mean", "median", "linear_ramp", "constant"]
)
@quick
@given(hnp.array_shapes(max_dims=3, max_side=4), st.data())
def test_pad_follows_numpy(mode, shape, data):
    pairs = st.tuples(st.integers(0, 5), st.integers(0, 5))
    widths = data.draw(st.lists(pairs, min_size=len(shape), max_size=len(shape)))
    for x in (numbers(shape), numbers(shape).astype("int32")):
        np.testing.assert_allclose(ops.pad(x, widths, mode), np.pad(x, widths, mode), rtol=1e-12)


def test_circular_is_wrap():
    assert ops.pad([1, 2, 3], (1, 2), "circular").tolist() == ops.pad([1, 2, 3], (1, 2), "wrap").tolist() == [3, 1, 2, 3, 1, 2]


def test_pad_with_a_tensor_passes_its_gradient():
    assert grad(lambda v: ops.sum(ops.pad(Tensor([1.0, 2.0]), 1, constant_values=v)))(Tensor(5.0)).item() == 2.0


def test_equal_values_keep_their_order():
    x = [2.0, 1.0, 2.0, 1.0, 2.0]
    assert ops.argsort(x).tolist() == [1, 3, 0, 2, 4]
    values, indices = ops.top_k(x, 4)
    assert indices.tolist() == [0, 2, 4, 1]
    assert values.tolist() == [2.0, 2.0, 2.0, 1.0]
    assert ops.top_k(x, 0)[0].shape == (0,)


@pytest.mark.parametrize("axis", [0, 1])
def test_long_rows_are_sorted_as_short_ones(axis):
    x = np.random.default_rng(0).integers(-3, 4, (300, 300)).astype("float32")  # many equals: they keep their order
    x[5, 7:9], x[7:9, 5], x[3, 3:9], x[1, 1], x[2, 2] = np.nan, np.nan, -0.0, np.inf, -np.inf
    np.testing.assert_array_equal(ops.argsort(x, axis), np.argsort(x, axis, kind="stable"))
    np.testing.assert_array_equal(ops.sort(x, axis), np.sort(x, axis))
    np.testing.assert_array_equal(ops.argsort(x[:, ::-2], axis), np.argsort(x[:, ::-2], axis, kind="stable"))


def test_of_equal_coordinates_the_last_update_is_put_and_gets_the_gradient():
    x, indices, updates = Tensor([0.0, 0.0]), [[1], [1]], Tensor([5.0, 6.0])
    assert ops.scatter_update(x, indices, updates).tolist() == [0.0, 6.0]
    slopes = grad(lambda x, u: ops.sum(ops.scatter_update(x, indices, u)), argnums=(0, 1))(x, updates)
    assert [s.tolist() for s in slopes] == [[1.0, 0.0], [0.0, 1.0]]


def test_extremes_of_segments_share_the_gradient_among_equals():
    slope = grad(lambda x: ops.sum(ops.segment_max(x, [0, 0, 1], 2)))(Tensor([3.0, 3.0, 1.0]))
    assert slope.tolist() == [0.5, 0.5, 1.0]
    slope = grad(lambda x: ops.sum(ops.segment_min(x, [0, 0, 1], 2)))(Tensor([3.0, 4.0, 1.0]))
    assert slope.tolist() == [1.0, 0.0, 1.0]


def test_the_product_of_a_segment_with_a_zero_has_the_others_as_gradient():
    slope = grad(lambda x: ops.sum(ops.segment_prod(x, [0, 0, 0, 1, 1], 2)))(Tensor([2.0, 0.0, 3.0, 0.0, 0.0]))
    assert slope.tolist() == [0.0, 6.0, 0.0, 0.0, 0.0]


def test_the_number_of_segments_is_found_out():
    assert ops.segment_sum([1, 2, 3], [0, 3, 3]).tolist() == [1, 0, 0, 5]
    assert ops.segment_sum(KerasTensor((None, 2)), KerasTensor((None,), "int32")).shape == (None, 2)


def test_counts_of_rows_have_one_length():
    assert ops.bincount([[1, 2], [0, 4]]).tolist() == [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]]
    assert ops.bincount(KerasTensor((2, 3), "int32")).shape == (2, None)


@pytest.mark.parametrize(("start", "message"), [((3, 0), "beyond"), ((0, 2), "beyond"), ((0,), "start_indices")])
def test_slices_must_lie_inside(start, message):
    x = numbers((4, 3))
    with pytest.raises(ValueError, match=message):
        ops.slice(x, start, (2, 2))
    with pytest.raises(ValueError, match=message):
        ops.slice_update(x, np.array(start), np.ones((2, 2)))


def test_slices_at_unknown_places():
    x, start = KerasTensor((None, 4)), KerasTensor((2,), "int32")
    assert ops.slice(x, start, (2, -1)).shape == (2, None)
    assert ops.slice(x, (0, 1), (2, -1)).shape == (2, 3)
    assert ops.slice_update(x, start, KerasTensor((1, 2))).shape == (None, 4)
    assert ops.slice([1, 2, 3], [Tensor(1)], [2]).tolist() == [2, 3]
    assert ops.slice([1, 2, 3], [-2], [-1]).tolist() == [2, 3]
    assert ops.slice(ops.zeros((0, 2)), [0, 1], [-1, -1]).shape == (0, 1)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda: ops.where([True], 1.0), ValueError, "both"),
        (lambda: ops.pad([1.0], 1, "reflect", constant_values=1), ValueError, "constant_values"),
        (lambda: ops.pad([1.0], 1, "mirror"), ValueError, "mode"),
        (lambda: ops.pad([1.0], -1), ValueError, "negative"),
        (lambda: ops.pad([[1.0]], ((1, 1), (1, 1), (1, 1))), ValueError, "pad_width"),
        (lambda: ops.top_k([1.0], 2), ValueError, "k=2"),
        (lambda: ops.searchsorted([[1.0]], [1.0]), ValueError, "1-D"),
        (lambda: ops.searchsorted([1.0], [1.0], side="middle"), ValueError, "side"),
        (lambda: ops.bincount([1], sparse=True), ValueError, "dense"),
        (lambda: ops.histogram([1.0], bins=1.5), TypeError, "int"),
        (lambda: ops.histogram([1.0], range=(2, 1)), ValueError, "range"),
        (lambda: ops.histogram([[1.0]]), ValueError, "1-dimensional"),
        (lambda: ops.unravel_index([6], (2, 3)), ValueError, "out of bounds"),
        (lambda: ops.scatter_update([1.0], [[0]], [1.0], reduction="xor"), ValueError, "reduction"),
        (lambda: ops.scatter([[0, 0]], [1.0], (3,)), ValueError, "indices"),
        (lambda: ops.segment_sum([1, 2], [[0, 0]]), ValueError, "segment_ids"),
        (lambda: ops.select([[True]], []), ValueError, "conditions"),
    ],
)
def test_errors_say_what_was_wrong(function, error, message):
    with pytest.raises(error, match=message):
        function()
