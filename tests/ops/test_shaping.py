"""What the table has not: shapes from hypothesis, unknown sizes, errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasish import ops
from kerasish.backend.autodiff import shapes
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor

quick = settings(max_examples=60, deadline=None)
small_shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


def numbers(shape):
    return np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape)


@quick
@given(small_shapes, st.data())
def test_transpose_and_its_gradient_follow_numpy(shape, data):
    axes = tuple(data.draw(st.permutations(range(len(shape)))))
    x = numbers(shape)
    y = ops.transpose(Tensor(x), axes)
    np.testing.assert_array_equal(y, x.transpose(axes))
    weight = numbers(y.shape) ** 2
    slope = grad(lambda t: ops.sum(ops.transpose(t, axes) * Tensor(weight)))(Tensor(x))
    np.testing.assert_array_equal(slope, weight.transpose(np.argsort(axes)))


@quick
@given(small_shapes, st.data())
def test_reshape_works_out_one_size(shape, data):
    order = data.draw(st.permutations(shape))
    at = data.draw(st.integers(0, len(order) - 1))
    wanted = (*order[:at], -1, *order[at + 1 :])
    assert ops.reshape(numbers(shape), wanted).shape == tuple(order)
    unknown = (None, *shape[1:])
    assert shapes.reshaped(unknown, (None, -1)) == (None, int(np.prod(shape[1:])))


@pytest.mark.parametrize(
    ("shape", "newshape", "expected"),
    [
        ((None, 4), (-1, 2, 2), (None, 2, 2)),
        ((None, 4, 3), (None, -1), (None, 12)),
        ((None, 4), (2, -1), (2, None)),
        ((None, None, 4), (None, None, -1), (None, None, 4)),
        ((6,), (None, 2), (3, 2)),
        ((6,), (None, None), (None, None)),
        ((0, 3), (-1, 3), (0, 3)),
        ((), (1, 1), (1, 1)),
    ],
)
def test_reshape_with_unknown_sizes(shape, newshape, expected):
    assert shapes.reshaped(shape, newshape) == expected


@quick
@given(small_shapes, st.integers(-5, 5), st.integers(1, 4), st.data())
def test_split_is_undone_by_concatenate(shape, axis, parts, data):
    axis %= len(shape)
    cuts = sorted(data.draw(st.lists(st.integers(0, shape[axis] + 1), max_size=3)))
    x = numbers(shape)
    pieces = ops.split(x, cuts, axis)
    for piece, expected in zip(pieces, np.split(x, cuts, axis), strict=True):
        np.testing.assert_array_equal(piece, expected)
    np.testing.assert_array_equal(ops.concatenate(pieces, axis), x)
    if parts <= shape[axis]:
        for piece, expected in zip(ops.array_split(x, parts, axis), np.array_split(x, parts, axis), strict=True):
            np.testing.assert_array_equal(piece, expected)


@quick
@given(small_shapes, st.data())
def test_moveaxis_follows_numpy(shape, data):
    n = data.draw(st.integers(1, len(shape)))
    source = data.draw(st.permutations(range(len(shape))))[:n]
    destination = data.draw(st.permutations(range(len(shape))))[:n]
    x = numbers(shape)
    np.testing.assert_array_equal(ops.moveaxis(x, source, destination), np.moveaxis(x, source, destination))


@pytest.mark.parametrize("k", range(-1, 5))
@pytest.mark.parametrize("axes", [(0, 1), (1, 0), (2, 0), (-1, 1)])
def test_rot90_follows_numpy(k, axes):
    x = numbers((2, 3, 4))
    np.testing.assert_array_equal(ops.rot90(x, k, axes), np.rot90(x, k, axes))


def test_views_keep_the_gradient_of_parts_that_nobody_used():
    slope = grad(lambda x: ops.sum(ops.split(x, 3)[1] * 2.0))(Tensor([1.0, 2.0, 3.0]))
    assert slope.tolist() == [0.0, 2.0, 0.0]
    slope = grad(lambda x: ops.sum(ops.unstack(x, axis=1)[0]))(Tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert slope.tolist() == [[1.0, 0.0], [1.0, 0.0]]


def test_sizes_that_are_unknown():
    x = KerasTensor((None, 6))
    assert ops.shape(x) == (None, 6)
    assert isinstance(ops.size(x), KerasTensor)
    assert ops.size(ops.ones((2, 6))) == 12
    assert ops.rearrange(x, "b (h w) -> (b h) w", h=2).shape == (None, 3)
    assert [part.shape for part in ops.split(x, 2)] == [(None, 6), (None, 6)]
    assert ops.tile(x, (2, 2)).shape == (None, 12)
    assert ops.tile(ops.ones((1, 3)), (None, 1)).shape == (None, 3)
    assert ops.broadcast_to(ops.ones((1, 3)), (None, 3)).shape == (None, 3)
    assert [part.shape for part in ops.unstack(x, num=4)] == [(6,)] * 4


def test_a_symbolic_unstack_needs_to_know_how_many():
    with pytest.raises(ValueError, match="num"):
        ops.unstack(KerasTensor((None, 3)))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: ops.reshape(numbers((2, 3)), (4, -1)), "number of elements"),
        (lambda: ops.reshape(numbers((2, 3)), (-1, -1)), "-1"),
        (lambda: ops.transpose(numbers((2, 3)), (0, 0)), "permutation"),
        (lambda: ops.squeeze(numbers((2, 3)), 0), "squeeze"),
        (lambda: ops.expand_dims(numbers((2,)), (0, 0)), "repeated"),
        (lambda: ops.broadcast_to(numbers((2,)), (3,)), "broadcast"),
        (lambda: ops.broadcast_to(numbers((2, 2)), (2,)), "broadcast"),
        (lambda: ops.concatenate([numbers((2, 3)), numbers((2, 2))]), "same shape"),
        (lambda: ops.stack([numbers((2,)), numbers((3,))]), "same shape"),
        (lambda: ops.stack([numbers((2,)), numbers((2, 1))]), "same shape"),
        (lambda: ops.split(numbers((3,)), 2), "equal parts"),
        (lambda: ops.split(numbers((4,)), [3, 1]), "decrease"),
        (lambda: ops.hsplit(1.0, 1), "rank"),
        (lambda: ops.repeat(numbers((3,)), [1, 2]), "repeats"),
        (lambda: ops.diag(numbers((1, 1, 1))), "1-D or 2-D"),
        (lambda: ops.diagonal(numbers((2, 2)), axis1=0, axis2=-2), "axis2"),
        (lambda: ops.rot90(numbers((2, 2)), axes=(0, 0)), "axes"),
        (lambda: ops.meshgrid(numbers((2,)), indexing="yx"), "indexing"),
        (lambda: ops.view(np.zeros(3, "float32"), "float64"), "fit"),
        (lambda: ops.rearrange(numbers((2, 3)), "a b -> a c"), "same names"),
        (lambda: ops.rearrange(numbers((2, 3)), "a b c -> a b c"), "axes"),
        (lambda: ops.rearrange(numbers((2, 3)), "a (b c) -> a b c", b=2), "axis of size 3"),
        (lambda: ops.rearrange(numbers((2, 3)), "a (b c d) -> a b c d", b=1), "all but one"),
        (lambda: ops.rearrange(numbers((2, 3)), "a * -> a *"), "cannot read"),
    ],
)
def test_errors_say_what_was_wrong(function, message):
    with pytest.raises(ValueError, match=message):
        function()


@pytest.mark.parametrize("one", [lambda x: ops.split(x, 1, axis=1), lambda x: ops.unstack(x, axis=1)])
def test_gradient_of_the_only_part(one):
    x = np.ones((3, 1, 2), "float32")
    assert grad(lambda x: ops.sum(one(x)[0]))(x).tolist() == x.tolist()
