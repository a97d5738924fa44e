"""Python's operators and array methods on tensors, variables and symbolic tensors."""

import operator

import numpy as np
import pytest

from kerasish import ops
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.symbolic import Function
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor
from kerasish.backend.autodiff.variable import Variable

FLOATS, INTS = np.array([1.5, -2.0, 3.0], "float32"), np.array([5, 3, 6], "int32")
ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, divmod]
COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]
BITS = [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift]


def same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True) if isinstance(theirs, tuple) else [(ours, theirs)]:
        assert isinstance(a, Tensor)
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-6)


@pytest.mark.parametrize("f", ARITHMETIC + COMPARISONS)
@pytest.mark.parametrize("make", [Tensor, Variable])
@pytest.mark.parametrize("other", [2, 1.5, np.array([2.0, 1.0, -1.0], "float32"), np.float32(2.0), [1.0, 2.0, 4.0]])
def test_binary_operators_from_both_sides(f, make, other):
    same(f(make(FLOATS), other), f(FLOATS, np.asarray(other, "float32")))
    same(f(other, make(FLOATS)), f(np.asarray(other, "float32"), FLOATS))


@pytest.mark.parametrize("f", [operator.pow, operator.matmul])
@pytest.mark.parametrize("make", [Tensor, Variable])
def test_power_and_product_from_both_sides(f, make):
    positive, other = np.abs(FLOATS), np.array([2.0, 0.5, 1.0], "float32")
    same(f(make(positive), other), f(positive, other))
    same(f(other, make(positive)), f(other, positive))
    same(f(make(positive), make(other)), f(positive, other))


@pytest.mark.parametrize("f", BITS)
def test_bits_of_integer_tensors(f):
    same(f(Tensor(INTS), 2), f(INTS, np.int32(2)))
    same(f(2, Tensor(INTS)), f(np.int32(2), INTS))


@pytest.mark.parametrize("f", BITS[:3])
def test_truth_values(f):
    a, b = np.array([True, True, False]), np.array([True, False, False])
    same(f(Tensor(a), Tensor(b)), f(a, b))
    assert (f(Tensor(a), b)).dtype == "bool"
    assert f(Variable(INTS), 2).dtype == "bool"  # a variable's are logical, as in Keras
    assert f(KerasTensor((3,), "int32"), 2).dtype == "bool"


@pytest.mark.parametrize("make", [Tensor, Variable])
def test_unary_operators(make):
    x = make(FLOATS)
    for f in (operator.neg, operator.pos, abs, round):
        same(f(x), f(FLOATS) if f is not round else np.round(FLOATS))
    same(round(x, 1), np.round(FLOATS, 1))
    same(~make(INTS), ~INTS)
    same(~(x > 0), ~(FLOATS > 0))


def test_symbolic_tensors_give_what_values_give():
    x = KerasTensor((None, 3))
    outputs = {
        "arithmetic": (1.0 - x) * 2.0 / (abs(x) + 1.0) + x**2 - x % 0.7 + x // 0.5 - (-x) + 2.0**x,
        "logic": (x > 0) & ~(x >= 1) | (x <= -0.5) ^ (x < -0.9),
        "different": x != 0.5,
        "indexed": x[:, 1:] @ x[0, :2],
        "rounded": round(x, 1),
        "methods": x.reshape(-1, 3).T.sum(0) + x.squeeze().mean(axis=-1) + x.max(1) - x.flatten().astype("float32").min(),
    }
    values = np.random.default_rng(0).uniform(-1, 1, (2, 3)).astype("float32")
    v = Tensor(values)
    expected = {
        "arithmetic": (1 - v) * 2 / (abs(v) + 1) + v * v - v % 0.7 + v // 0.5 + v + 2.0**v,
        "logic": (v > 0) & ~(v >= 1) | (v <= -0.5) ^ (v < -0.9),
        "different": v != 0.5,
        "indexed": v[:, 1:] @ v[0, :2],
        "rounded": round(v, 1),
        "methods": v.reshape(-1, 3).T.sum(0) + v.squeeze().mean(axis=-1) + v.max(1) - v.flatten().astype("float32").min(),
    }
    results = Function(x, outputs)(v)
    for name in outputs:
        np.testing.assert_allclose(results[name].numpy(), expected[name].numpy(), rtol=1e-6, err_msg=name)
        assert outputs[name].dtype == expected[name].dtype


# ---- equality and hashing
def test_comparing_with_none_or_strings_is_plain_python():
    for x in (Tensor(FLOATS), Variable(FLOATS), KerasTensor((3,))):
        assert (x == None) is False  # noqa: E711
        assert (x != None) is True  # noqa: E711
        assert (x == "name") is False


@pytest.mark.parametrize("make", [lambda: Tensor(FLOATS), lambda: Variable(FLOATS), lambda: KerasTensor((3,))])
def test_tensors_are_keys_by_identity(make):
    a, b = make(), make()
    known = {a: 1, b: 2}
    assert (known[a], known[b], len({a, b, a})) == (1, 2, 2)


def test_symbolic_tensors_are_found_in_lists():
    a, b = KerasTensor((3,)), KerasTensor((3,))
    assert [a, b].index(b) == 1


@pytest.mark.parametrize("other", [None, "text", object()])
def test_arithmetic_with_strangers_is_a_type_error(other):
    for x in (Tensor(FLOATS), Variable(FLOATS), KerasTensor((3,))):
        with pytest.raises(TypeError):
            x + other
        with pytest.raises(TypeError):
            other < x  # noqa: B015


def test_other_classes_can_take_part_through_their_own_operators():
    class Other:
        def __radd__(self, x):
            return "other's"

    assert Tensor(FLOATS) + Other() == "other's"


# ---- methods
@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "prod", "var", "std", "argmax", "argmin", "any", "all"])
def test_reductions_as_methods(name):
    values = np.random.default_rng(0).uniform(-1, 1, (2, 3)).astype("float32")
    x = Tensor(values)
    for options in ({}, {"axis": 1, "keepdims": True}):
        np.testing.assert_allclose(getattr(x, name)(**options).numpy(), getattr(values, name)(**options), rtol=1e-5)


def test_shape_methods():
    x = Tensor(np.arange(6.0, dtype="float32").reshape(1, 2, 3))
    assert x.reshape(3, -1).shape == x.reshape((3, 2)).shape == (3, 2)
    assert x.T.shape == x.transpose().shape == (3, 2, 1)
    assert x.transpose(1, 0, 2).shape == x.transpose((1, 0, 2)).shape == (2, 1, 3)
    assert x.squeeze().shape == x.squeeze(0).shape == (2, 3)
    assert x.ravel().shape == x.flatten().shape == (6,)
    assert x.astype("int32").dtype == x.astype(np.int32).dtype == x.astype(int).dtype == "int32"


def test_powers_of_two_are_products():
    x = Tensor([3.0])
    x.requires_grad = True
    assert (x**2).call.op.name == "square"
    assert (x**0.5).call.op.name == "sqrt"


def test_a_variable_takes_part_in_gradients():
    v = Variable([1.0, 2.0])
    (ops.sum(3.0 * v * v) + v[0] - v @ v).backward()
    assert v.grad.tolist() == [5.0, 8.0]


def test_gradient_through_every_float_operator():
    f = lambda x: ((-x + 2.0) * x / 3.0 - x % 7.0 + x**3 + abs(x)).sum()
    x = np.array([0.5, 1.5], "float32")
    np.testing.assert_allclose(grad(f)(x).numpy(), (2 - 2 * x) / 3 - 1 + 3 * x * x + 1, rtol=1e-6)


def test_numpys_functions_on_tensors():
    t = ops.convert_to_tensor(np.arange(6, dtype="float32").reshape(2, 3))
    a = t.numpy()
    for function in (np.mean, np.sum, np.max, np.min, np.std, np.var, np.any, np.exp, np.sqrt, np.round, np.argmax, np.sort):
        np.testing.assert_allclose(np.asarray(function(t)), function(a), rtol=1e-6)
    assert type(np.ones(3, "float32") + t) is type(t) and (np.ones(3) * t).dtype == "float32"
    with pytest.raises(ValueError, match="dtype"):
        ops.convert_to_tensor(np.array([[None]]))
