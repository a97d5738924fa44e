"""What the table has not: contractions from hypothesis, norms by singular values, distances of equal points, errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasish import ops
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor

quick = settings(max_examples=80, deadline=None)


@st.composite
def contractions(draw):
    """Subscripts with repeated labels and labels of one operand only, and arrays that fit."""
    sizes = {"a": 2, "b": 3, "c": 4, "d": 2, "e": 1}
    terms = draw(st.lists(st.lists(st.sampled_from("abcde"), max_size=3).map("".join), min_size=1, max_size=4))
    labels = sorted(set("".join(terms)))
    out = "".join(draw(st.permutations(draw(st.lists(st.sampled_from(labels), unique=True)) if labels else [])))
    rng = np.random.default_rng(draw(st.integers(0, 100)))
    arrays = [rng.uniform(-1, 1, [sizes[c] for c in term]) for term in terms]
    return ",".join(terms) + ("->" + out if draw(st.booleans()) else ""), arrays


@quick
@given(contractions())
def test_einsum_and_its_gradient_follow_numpy(contraction):
    subscripts, arrays = contraction
    expected = np.einsum(subscripts, *arrays)
    y = ops.einsum(subscripts, *map(Tensor, arrays))
    np.testing.assert_allclose(y, expected, atol=1e-12)
    assert ops.einsum(subscripts, *[KerasTensor(x.shape, "float64") for x in arrays]).shape == expected.shape
    weight = np.random.default_rng(0).uniform(-1, 1, expected.shape)
    total = lambda *xs: ops.sum(ops.einsum(subscripts, *xs) * Tensor(weight))
    slopes = grad(total, argnums=tuple(range(len(arrays))))(*map(Tensor, arrays))
    for i, (x, slope) in enumerate(zip(arrays, slopes, strict=True)):
        changed = lambda d, i=i: [a + d if k == i else a for k, a in enumerate(arrays)]
        direction = np.random.default_rng(1).uniform(-1, 1, x.shape)
        numeric = sum(sign * np.sum(np.einsum(subscripts, *changed(sign * 1e-6 * direction)) * weight) for sign in (1, -1)) / 2e-6
        np.testing.assert_allclose(np.sum(slope.numpy() * direction), numeric, atol=1e-6)


@quick
@given(st.lists(st.integers(1, 3), max_size=3), st.lists(st.integers(1, 3), max_size=3), st.integers(0, 2))
def test_einsum_broadcasts_its_ellipsis(lead1, lead2, missing):
    lead2 = [n if m == 1 else m if n != 1 else 1 for m, n in zip(lead1, lead2, strict=False)][missing:]
    lead1 = lead1[-len(lead2) :] if lead2 else lead1
    x, y = np.ones((*lead1, 2, 3)), np.ones((*lead2, 3, 4))
    try:
        expected = np.einsum("...ij,...jk->...ik", x, y)
    except ValueError:
        return
    np.testing.assert_allclose(ops.einsum("...ij,...jk->...ik", x, y), expected)


def test_contractions_of_unknown_sizes():
    x = KerasTensor((None, 5, 3))
    assert ops.einsum("bij,jk->bik", x, KerasTensor((3, 4))).shape == (None, 5, 4)
    assert ops.matmul(x, KerasTensor((None, 3, 2))).shape == (None, 5, 2)
    assert ops.tensordot(x, KerasTensor((3, 5, 2)), [[1, 2], [1, 0]]).shape == (None, 2)
    assert ops.norm(x, axis=-1).shape == (None, 5)


@pytest.mark.parametrize("ord", ["nuc", 2, -2])
@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (2, 3, 3)])
def test_norms_by_singular_values(ord, shape):
    x = np.random.default_rng(3).uniform(-1, 1, shape)
    f = lambda t: ops.sum(ops.norm(t, ord=ord, axis=(-2, -1)))
    np.testing.assert_allclose(f(Tensor(x)), np.sum(np.linalg.norm(x, ord, (-2, -1))), rtol=1e-12)
    first, second = np.random.default_rng(4).uniform(-1, 1, (2, *shape))
    slope = lambda t: ops.sum(grad(f)(t) * Tensor(first))
    difference = (float(f(Tensor(x + 1e-6 * first))) - float(f(Tensor(x - 1e-6 * first)))) / 2e-6
    np.testing.assert_allclose(slope(Tensor(x)), difference, atol=1e-7)
    difference = (float(slope(Tensor(x + 1e-6 * second))) - float(slope(Tensor(x - 1e-6 * second)))) / 2e-6
    np.testing.assert_allclose(np.sum(grad(slope)(Tensor(x)).numpy() * second), difference, atol=1e-6)


@pytest.mark.parametrize("shapes", [((40, 3), (50, 3)), ((2, 40, 3), (1, 50, 3)), ((3, 200), (4, 200)), ((0, 3), (2, 3)), ((30, 0), (40, 0))])
def test_distances(shapes):
    x, y = (np.random.default_rng(0).standard_normal(shape).astype("float32") for shape in shapes)
    want = np.sqrt(np.sum((x[..., :, None, :] - y[..., None, :, :]) ** 2, -1))
    np.testing.assert_allclose(ops.cdist(x, y), want, rtol=1e-6)
    assert np.all(np.diagonal(ops.cdist(x, x), 0, -2, -1) == 0)


def test_distances_of_equal_points_have_gradient_zero_not_nan():
    x = Tensor([[1.0, 2.0], [1.0, 2.0]])
    assert grad(lambda x: ops.sum(ops.cdist(x, x)))(x).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert grad(lambda x: ops.norm(x))(Tensor([0.0, 0.0])).tolist() == [0.0, 0.0]


def test_a_matrix_product_of_many_batches_is_one_product():
    x, w = np.random.default_rng(0).uniform(size=(2, 3, 4)), np.random.default_rng(1).uniform(size=(4, 5))
    np.testing.assert_allclose(ops.matmul(np.asfortranarray(x), w), x @ w)
    assert ops.matmul(np.zeros((0, 3, 4)), w).shape == (0, 3, 5)
    assert ops.matmul(np.zeros((2, 3, 0)), np.zeros((0, 5))).tolist() == np.zeros((2, 3, 5)).tolist()


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: ops.matmul(x, x), ValueError, "last axis"),
        (lambda x: ops.matmul(x, 1.0), ValueError, "rank 1"),
        (lambda x: ops.einsum("ij,jk", x), ValueError, "operands"),
        (lambda x: ops.einsum("ij,jk", x, x), ValueError, "do not match"),
        (lambda x: ops.einsum("ii", x), ValueError, "sizes"),
        (lambda x: ops.einsum("ijk", x), ValueError, "rank"),
        (lambda x: ops.einsum("...ijk", x), ValueError, "rank"),
        (lambda x: ops.einsum("ij->k", x), ValueError, "output"),
        (lambda x: ops.einsum("ij->ii", x), ValueError, "output"),
        (lambda x: ops.einsum("i1", x), ValueError, "label"),
        (lambda x: ops.einsum("ij", x, speed="full"), TypeError, "speed"),
        (lambda x: ops.tensordot(x, x, [[0], [0, 1]]), ValueError, "axes"),
        (lambda x: ops.cross(np.ones(4), np.ones(3)), ValueError, "2 or 3"),
        (lambda x: ops.norm(x, ord=3, axis=(0, 1)), ValueError, "matrix norm"),
        (lambda x: ops.norm(x, ord="fro", axis=0), ValueError, "vector norm"),
        (lambda x: ops.norm(np.ones((1, 1, 1)), ord=2), ValueError, "axis"),
        (lambda x: ops.cdist(x, np.ones(3)), ValueError, "rank"),
        (lambda x: ops.cdist(x, np.ones((2, 2))), ValueError, "match"),
        (lambda x: ops.correlate(x, x), ValueError, "vectors"),
        (lambda x: ops.correlate([1.0], [1.0], mode="half"), ValueError, "mode"),
    ],
)
def test_errors_say_what_was_wrong(function, error, message):
    with pytest.raises(error, match=message):
        function(np.ones((2, 3)))
