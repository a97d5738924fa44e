"""Reductions where the conformance rows don't go: ties, zeros, infinities, half precision, odd shapes and axes."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasish import ops
from kerasish.backend.autodiff.check import check_grads
from kerasish.backend.autodiff.gradient import grad, hessian
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor

INF, NAN = math.inf, math.nan


def slope(f, x):
    return grad(f)(np.asarray(x, "float32")).tolist()


# ---- gradients where there are ties and zeros
@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize("initial", [None, 1.0, 0.0, 2.0])
def test_equal_extremes_share_the_gradient_as_in_jax(name, initial):
    x = np.array([1.0, 0.0, 1.0, 0.0, 0.5], "float32")
    expected = jax.grad(lambda x: getattr(jnp, name)(x, initial=initial))(x)
    assert slope(lambda x: getattr(ops, name)(x, initial=initial), x) == expected.tolist()


ZEROS = [[2.0, 3.0, 4.0], [0.0, 3.0, 4.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0], [5.0]]


@pytest.mark.parametrize("x", ZEROS)
def test_products_with_zeros_have_right_derivatives(x):
    x = np.array(x, "float32")
    np.testing.assert_allclose(grad(ops.prod)(x).numpy(), jax.grad(jnp.prod)(x), rtol=1e-6)
    np.testing.assert_allclose(hessian(ops.prod)(x).numpy(), jax.hessian(jnp.prod)(x), rtol=1e-6)


@pytest.mark.parametrize("x", ZEROS)
def test_cumulative_products_with_zeros_have_right_derivatives(x):
    x = np.array(x, "float32")
    weights = np.arange(1, len(x) + 1, dtype="float32")
    f, g = lambda x: ops.sum(ops.cumprod(x) * weights), lambda x: jnp.sum(jnp.cumprod(x) * weights)
    np.testing.assert_allclose(grad(f)(x).numpy(), jax.grad(g)(x), rtol=1e-6)
    np.testing.assert_allclose(hessian(f)(x).numpy(), jax.hessian(g)(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n", range(1, 12))
def test_product_gradient_for_every_length(n):
    x = np.random.default_rng(n).uniform(0.5, 1.5, n)
    np.testing.assert_allclose(grad(ops.prod)(Tensor(x)).numpy(), np.prod(x) / x, rtol=1e-12)


def test_product_over_several_axes_with_a_zero_in_each():
    x = np.random.default_rng(0).uniform(0.5, 1.5, (2, 3, 2)).astype("float32")
    x[0, 1, 0] = 0.0
    ours = grad(lambda x: ops.sum(ops.prod(x, axis=(0, 2))))(x)
    np.testing.assert_allclose(ours.numpy(), jax.grad(lambda x: jnp.sum(jnp.prod(x, axis=(0, 2))))(x), rtol=1e-6)


def test_standard_deviation_of_equal_elements():
    assert float(ops.std([3.0, 3.0])) == 0.0
    assert all(map(math.isnan, slope(ops.std, [3.0, 3.0])))  # as in Keras
    assert slope(ops.var, [3.0, 3.0]) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("x", "value", "expected"),
    [
        ([0.0, -INF], 0.0, [1.0, 0.0]),
        ([-INF, -INF], -INF, [0.0, 0.0]),
        ([1000.0, 1000.0], 1000.0 + math.log(2), [0.5, 0.5]),
        ([INF, 0.0], INF, None),
    ],
)
def test_logsumexp_of_great_and_infinite_numbers(x, value, expected):
    np.testing.assert_allclose(float(ops.logsumexp(x)), value, rtol=1e-6)
    if expected is not None:
        np.testing.assert_allclose(slope(ops.logsumexp, x), expected, rtol=1e-4)


# ---- precision
def test_half_precision_is_added_up_in_single():
    x = Tensor(np.full(5000, 15.0), dtype="float16")
    assert float(ops.mean(x)) == 15.0
    assert float(ops.var(x)) == 0.0
    assert float(ops.sum(Tensor(np.ones(5000), dtype="float16"))) == 5000.0
    assert ops.mean(x).dtype == ops.sum(x).dtype == ops.var(x).dtype == ops.cumsum(x).dtype == "float16"


def test_variance_far_from_zero_keeps_its_digits():
    x = Tensor(np.array([10000.0, 10001.0, 10002.0]))
    np.testing.assert_allclose(float(ops.var(Tensor(x.numpy(), dtype="float32"))), 2 / 3, rtol=1e-5)


def test_bfloat16_sums_and_means():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = Tensor(np.ones((300, 2)), dtype="bfloat16")
    assert ops.sum(x, 0).dtype == ops.mean(x, 0).dtype == "bfloat16"
    assert ops.sum(x, 0).numpy().astype("float32").tolist() == [300.0, 300.0]
    assert ops.mean(x).numpy() == ml_dtypes.bfloat16(1)


# ---- axes and shapes
@st.composite
def arrays_and_axes(draw):
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    axes = draw(st.none() | st.sets(st.integers(0, len(shape) - 1), min_size=1))
    if axes is None:
        return shape, None
    axes = tuple(a - len(shape) if draw(st.booleans()) else a for a in sorted(axes))
    return shape, axes if len(axes) > 1 or draw(st.booleans()) else axes[0]


REDUCTIONS = ["sum", "mean", "max", "min", "prod", "var", "logsumexp", "any", "all", "count_nonzero", "median", "nansum", "ptp"]


def numpy_logsumexp(x, **options):
    return np.log(np.sum(np.exp(x), **options))


@given(arrays_and_axes(), st.booleans(), st.sampled_from(REDUCTIONS))
@settings(max_examples=150, deadline=None)
def test_values_gradients_and_shapes_over_any_axes(shape_and_axis, keepdims, name):
    shape, axis = shape_and_axis
    x = np.random.default_rng(0).permutation(math.prod(shape)).reshape(shape) / 10 + 0.5
    options = {"axis": axis} if name == "count_nonzero" else {"axis": axis, "keepdims": keepdims}
    reference = numpy_logsumexp if name == "logsumexp" else getattr(np, name)
    f = lambda x: getattr(ops, name)(x, **options)
    ours = f(Tensor(x))
    np.testing.assert_allclose(ours.numpy(), reference(x, **options), rtol=1e-9, atol=1e-12)
    assert f(KerasTensor(shape)).shape == ours.shape
    unknown = f(KerasTensor((None,) * len(shape))).shape
    assert len(unknown) == ours.ndim and set(unknown) <= {None, 1}
    if name not in ("any", "all", "count_nonzero"):
        check_grads(f, (Tensor(x),), order=1)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "prod", "logsumexp", "argmax", "cumsum"])
def test_an_axis_that_is_not_there_is_refused(name):
    with pytest.raises(ValueError, match="axis"):
        getattr(ops, name)(KerasTensor((None, 2)), axis=2)
    with pytest.raises(ValueError, match="axis"):
        getattr(ops, name)(np.ones((3, 2), "float32"), axis=2)


def test_nothing_adds_up_to_nothing():
    empty = np.zeros((0, 3), "float32")
    assert ops.sum(empty, 0).tolist() == [0.0] * 3
    assert ops.prod(empty, 0).tolist() == [1.0] * 3
    assert ops.all(empty, 0).tolist() == [True] * 3
    assert all(map(math.isnan, ops.mean(empty, 0).tolist()))
    assert ops.max(empty, 1).shape == ops.median(empty, 1).shape == ops.nanmean(empty, 1).shape == (0,)
    with pytest.raises(ValueError):
        ops.max(empty, 0)


# ---- the made-up ones
@pytest.mark.parametrize(("weights", "axis"), [(np.ones(3), 0), (np.ones((3, 2)), None), (np.ones(2), None)])
def test_weights_of_another_shape_are_refused(weights, axis):
    with pytest.raises(ValueError, match="weights"):
        ops.average(np.ones((2, 3), "float32"), axis=axis, weights=weights)
    with pytest.raises(ValueError, match="weights"):
        ops.average(KerasTensor((2, 3)), axis=axis, weights=KerasTensor(weights.shape))


def test_average_is_differentiable_by_its_weights():
    x, w = np.array([1.0, 4.0], "float32"), np.array([2.0, 1.0], "float32")
    ours = grad(lambda w: ops.average(x, weights=w))(w)
    np.testing.assert_allclose(ours.numpy(), jax.grad(lambda w: jnp.average(x, weights=w))(w), rtol=1e-6)


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "midpoint", "nearest"])
@pytest.mark.parametrize("q", [0.0, 0.125, 0.25, 0.5, 0.6, 1.0])
def test_quantiles_are_numpy_s(method, q):
    x = np.random.default_rng(0).uniform(-1, 1, (5, 3)).astype("float32")
    ours = ops.quantile(x, q, axis=0, method=method)
    np.testing.assert_allclose(ours.numpy(), np.quantile(x, q, axis=0, method=method), rtol=1e-5)


def test_quantile_is_differentiable_by_its_place():
    x = np.array([0.0, 1.0, 4.0], "float32")
    assert float(grad(lambda q: ops.quantile(x, q))(0.75)) == pytest.approx(6.0)


def test_places_of_quantiles_are_exact_in_half_precision():
    x = Tensor(np.arange(2049) % 2048 / 2048, dtype="float16")
    assert float(ops.quantile(x, 1.0)) == float(ops.max(x))


def test_quantile_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="method"):
        ops.quantile([1.0, 2.0], 0.5, method="best")
    with pytest.raises(ValueError, match="`q`"):
        ops.quantile([1.0, 2.0], [[0.5]])


def test_quantile_with_unknown_sizes():
    x = KerasTensor((None, 3, None))
    assert ops.quantile(x, [0.1, 0.5], axis=-1).shape == (2, None, 3)
    assert ops.nanquantile(x, 0.5, axis=(0, 2), keepdims=True).shape == (1, 3, 1)
    assert ops.median(x).shape == ()


def test_nan_variants_have_gradients_for_what_is_not_nan():
    x = np.array([1.0, NAN, 3.0], "float32")
    assert slope(ops.nansum, x) == [1.0, 0.0, 1.0]
    assert slope(ops.nanmean, x) == [0.5, 0.0, 0.5]
    assert slope(ops.nanmax, x) == [0.0, 0.0, 1.0]
    assert slope(ops.nanmedian, x) == [0.5, 0.0, 0.5]
    assert slope(ops.nanvar, x) == [-1.0, 0.0, 1.0]


def test_negative_order_of_differences_is_refused():
    with pytest.raises(ValueError, match="non-negative"):
        ops.diff([1, 2], n=-1)


def test_cumulative_ops_in_one_row_keep_the_gradient_s_shape():
    x = np.random.default_rng(0).uniform(0.5, 1.5, (2, 3)).astype("float32")
    for ours, theirs in ((ops.cumsum, jnp.cumsum), (ops.cumprod, jnp.cumprod)):
        f = lambda x, cumulate=ours: ops.sum(ops.square(cumulate(x)))
        g = lambda x, cumulate=theirs: jnp.sum(jnp.square(cumulate(x)))
        np.testing.assert_allclose(grad(f)(x).numpy(), jax.grad(g)(x), rtol=1e-5)


def test_dtype_of_products_and_cumulative_sums_is_what_is_asked_for():
    x = np.array([100, 100], "uint8")
    assert ops.prod(x).dtype == ops.sum(x).dtype == "uint32"
    assert ops.prod(x, dtype="uint8").dtype == ops.cumsum(x).dtype == "uint8"
    assert ops.cumsum(x, dtype=np.float32).dtype == ops.prod(x, dtype=float).dtype == "float32"
