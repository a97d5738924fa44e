"""Element-wise ops where the conformance rows don't go: kinks, poles, infinities, promotion, broadcasting."""

import math
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasish import ops
from kerasish.backend.autodiff.check import check_grads
from kerasish.backend.autodiff.gradient import GradientTape, grad
from kerasish.backend.autodiff.op import as_tensor
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor

INF, NAN = math.inf, math.nan


def slopes(f, *xs):
    """First derivatives of a function of numbers."""
    return [float(g) for g in grad(f, argnums=tuple(range(len(xs))))(*[Tensor(float(x)) for x in xs])]


# ---- gradients at kinks and poles are JAX's
ONE_ARGUMENT = ["abs", "sqrt", "cbrt", "square", "sinc", "sign", "floor", "nan_to_num", "arcsin", "arctanh", "log", "exp"]
POINTS = [0.0, -0.0, 1.0, -1.0]


@pytest.mark.parametrize("name", ONE_ARGUMENT)
@pytest.mark.parametrize("x", POINTS)
def test_slope_of_one_argument_is_jax_s(name, x):
    np.testing.assert_allclose(slopes(getattr(ops, name), x)[0], jax.grad(getattr(jnp, name))(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["maximum", "minimum", "fmax", "fmin", "power", "mod", "logaddexp", "heaviside"])
@pytest.mark.parametrize("pair", [(1.0, 1.0), (0.5, 2.0), (2.0, 0.5), (3.0, 2.0)])
def test_slopes_of_two_arguments_are_jax_s(name, pair):
    expected = jax.grad(getattr(jnp, name), argnums=(0, 1))(*pair)
    np.testing.assert_allclose(slopes(getattr(ops, name), *pair), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("base", "exponent", "expected"),
    [(0, 0, 0.0), (0, 1, 1.0), (0, 2, 0.0), (0, 3.0, 0.0), (0, 0.5, INF), (-2, 2, -4.0), (-2, 3, 12.0), (2, -1, -0.25)],
)
def test_slope_of_power(base, exponent, expected):
    assert slopes(lambda x: ops.power(x, exponent), base) == [expected]
    assert slopes(lambda x: ops.power(x, Tensor(float(exponent))), base) == [expected]


def test_slope_of_power_by_exponent_at_base_zero():
    assert slopes(ops.power, 0.0, 2.0) == [0.0, 0.0]


def test_second_slope_of_a_square_at_zero():
    for f in (ops.square, lambda x: x**2, lambda x: ops.power(x, Tensor(2.0))):
        assert float(grad(grad(f))(0.0)) == 2.0


def test_third_slope_of_sinc_at_zero_and_beyond():
    f = ops.sinc
    for order in range(5):
        expected = {0: 1.0, 2: -(math.pi**2) / 3, 4: math.pi**4 / 5}.get(order, 0.0)
        np.testing.assert_allclose(float(f(Tensor(0.0, dtype="float64"))), expected, atol=1e-9)
        f = grad(f)


@pytest.mark.parametrize("x", [0.3, 1.9, 2.1, 7.0])
def test_slopes_of_sinc_agree_on_both_sides_of_the_formulas(x):
    second = grad(grad(ops.sinc))(Tensor(x, dtype="float64"))
    a = math.pi * x
    expected = (-math.pi * a * a * math.sin(a) - 2 * math.pi * a * math.cos(a) + 2 * math.pi * math.sin(a)) * math.pi / a**3
    np.testing.assert_allclose(float(second), expected, rtol=1e-9)


@pytest.mark.parametrize("x", [0.0, 1e-6, 0.7, -5.0, 80.0])
def test_slope_of_i0_is_i1(x):
    with jax.enable_x64():
        expected = float(jax.scipy.special.i1(jnp.float64(x)))
    np.testing.assert_allclose(float(grad(ops.i0)(Tensor(x, dtype="float64"))), expected, rtol=1e-12)


def test_divide_no_nan_has_no_nan_in_any_order():
    f = lambda x: ops.divide_no_nan(x, x - x)
    assert float(f(Tensor(2.0))) == slopes(f, 2.0)[0] == float(grad(grad(f))(2.0)) == 0.0


FAR_APART = [((INF, 0), [1, 0]), ((0, -INF), [1, 0]), ((900, 0), [1, 0])]


@pytest.mark.parametrize(("pair", "expected"), [((-INF, -INF), [0.5, 0.5]), *FAR_APART])
def test_logaddexp_of_infinities(pair, expected):
    assert slopes(ops.logaddexp, *pair) == expected


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0, 1), (np.float32(0), np.float32(1)), (Tensor(0.0), Tensor(1.0))])
def test_clip_passes_half_at_its_bounds(low, high):
    assert [slopes(lambda x: ops.clip(x, low, high), x)[0] for x in (-1, 0, 0.5, 1, 2)] == [0, 0.5, 1, 0.5, 0]


def test_clip_by_tensors_has_gradients_for_them():
    assert slopes(lambda low, high: ops.clip(-3.0, low, high) + ops.clip(3.0, low, high), -1.0, 1.0) == [1.0, 1.0]


# ---- complex numbers: JAX's convention
COMPLEX = {
    "abs": ops.abs,
    "real": ops.real,
    "imag": ops.imag,
    "angle": ops.angle,
    "conj": lambda z: ops.real(ops.conj(z) * z * z),
    "times": lambda z: ops.abs(z * (2 + 1j)) + ops.real(3.0 * z),
}
JAX_COMPLEX = {
    "abs": jnp.abs,
    "real": jnp.real,
    "imag": jnp.imag,
    "angle": jnp.angle,
    "conj": lambda z: jnp.real(jnp.conj(z) * z * z),
    "times": lambda z: jnp.abs(z * (2 + 1j)) + jnp.real(3.0 * z),
}


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_gradients_are_jax_s(name):
    z = np.array([1 + 2j, -0.5 + 0.3j, -1 - 1j], "complex64")
    ours = grad(lambda z: ops.sum(COMPLEX[name](z)))(z)
    assert ours.dtype == "complex64"
    np.testing.assert_allclose(ours.numpy(), jax.grad(lambda z: jnp.sum(JAX_COMPLEX[name](z)))(z), rtol=1e-5)


def test_a_real_factor_of_a_complex_product_has_a_real_gradient():
    x = np.array([1.0, -2.0], "float32")
    ours = grad(lambda x: ops.sum(ops.abs(x * (2 + 1j))))(x)
    np.testing.assert_allclose(ours.numpy(), np.sign(x) * abs(2 + 1j), rtol=1e-6)
    assert ours.dtype == "float32"


# ---- values at the edges
def test_no_warnings_from_kernels_and_numpy_s_own_stay():
    assert float(ops.log(0.0)) == -INF
    assert math.isnan(float(ops.subtract(INF, INF)))
    assert float(ops.exp(1000.0)) == float(ops.divide(1, 0)) == INF
    with pytest.warns(RuntimeWarning), warnings.catch_warnings():
        warnings.simplefilter("always")
        np.log(np.zeros(1))


@pytest.mark.parametrize("x", [-INF, -30.0, -8.0, -1.0, -0.46875, -1e-20, 0.0, 0.3, 0.46875, 0.5, 4.0, 4.1, 10.0, 26.0, INF])
def test_erf_and_erfc_in_double_precision(x):
    np.testing.assert_allclose(float(ops.erf(Tensor(x, dtype="float64"))), math.erf(x), rtol=1e-15)
    np.testing.assert_allclose(float(ops.erfc(Tensor(x, dtype="float64"))), math.erfc(x), rtol=1e-13)


def test_erf_of_nan_and_erfinv_of_its_ends():
    assert all(math.isnan(float(f(NAN))) for f in (ops.erf, ops.erfc, ops.erfinv))
    assert [float(ops.erfinv(x)) for x in (-1.0, 1.0)] == [-INF, INF]
    assert math.isnan(float(ops.erfinv(1.5)))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "float16", "float32", "float64"])
def test_square_root_and_cousins_of_many_dtypes(dtype):
    x = Tensor([1, 4, 9], dtype=dtype)
    expected = dtype if "float" in dtype else "float32"
    for f in (ops.sqrt, ops.log, ops.exp, ops.cbrt, ops.floor, ops.rsqrt, ops.erf):
        assert f(x).dtype == f(KerasTensor((3,), dtype)).dtype == expected


def test_python_numbers_are_weak_and_float64_arrays_give_way():
    half = Tensor([1.0], dtype="float16")
    assert (half * 2.5).dtype == (half + 1).dtype == ops.maximum(half, 0.0).dtype == "float16"
    assert (Tensor([1.0]) * np.array([2.0])).dtype == "float32"
    assert (Tensor([1.0], dtype="float64") * Tensor([2.0])).dtype == "float64"


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("bitwise_and", ([1.0], [1])),
        ("left_shift", ([1], [0.5])),
        ("gcd", ([1.5], [2])),
        ("ldexp", ([1.0], [2.0])),
        ("fabs", ([1j],)),
        ("bitwise_not", ([1.0],)),
    ],
)
def test_wrong_dtypes_are_type_errors_also_for_shapes_alone(name, args):
    with pytest.raises(TypeError):
        getattr(ops, name)(*args)
    with pytest.raises(TypeError):
        getattr(ops, name)(*[KerasTensor(t.shape, t.dtype) for t in map(as_tensor, args)])


def test_shapes_that_do_not_broadcast_are_refused():
    with pytest.raises(ValueError, match="broadcast"):
        ops.add(KerasTensor((None, 3)), KerasTensor((None, 4)))


def test_unknown_sizes_broadcast():
    assert ops.multiply(KerasTensor((None, 1, 3)), KerasTensor((5, 1))).shape == (None, 5, 3)


# ---- broadcasting is undone in gradients
@st.composite
def broadcast_pairs(draw):
    shape = draw(st.lists(st.integers(1, 3), max_size=3))

    def thinned():
        kept = [draw(st.sampled_from([n, 1])) for n in shape]
        return tuple(kept[draw(st.integers(0, len(kept))) :])

    return thinned(), thinned()


SMOOTH = ["add", "subtract", "multiply", "divide", "maximum", "power", "hypot", "logaddexp", "arctan2", "divide_no_nan"]


@given(broadcast_pairs(), st.sampled_from(SMOOTH))
@settings(max_examples=100, deadline=None)
def test_gradients_of_broadcast_operands(shapes, name):
    rng = np.random.default_rng(0)
    pair = [Tensor(rng.uniform(0.5, 2.0, shape)) for shape in shapes]
    slopes = grad(lambda a, b: ops.sum(getattr(ops, name)(a, b)), argnums=(0, 1))(*pair)
    assert [g.shape for g in slopes] == list(shapes)
    check_grads(getattr(ops, name), pair, order=1)


def test_what_is_not_smooth_ends_the_gradient():
    x = Tensor([0.5, 1.5])
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        flat = [ops.floor(x), ops.sign(x), ops.cast(x > 1.0, "float32"), ops.round(x)]
    assert all(tape.gradient(y, x) is None for y in flat)
