"""Gradients asked for in three ways, of any order, on long graphs, and freed without the garbage collector."""

import gc
import tracemalloc
import weakref

import numpy as np
import pytest

import kerasish as ks
from kerasish import ops
from kerasish.backend.autodiff.gradient import (
    GradientTape,
    custom_gradient,
    grad,
    hessian,
    jacobian,
    no_grad,
    stop_gradient,
    value_and_grad,
)
from kerasish.backend.autodiff.remat import remat
from kerasish.backend.autodiff.state import state
from kerasish.backend.autodiff.tensor import Tensor


@pytest.fixture
def x():
    return ks.Variable([0.5, -1.0, 2.0])


def test_three_ways_agree(x):
    def f(x):
        return ops.sum(ops.tanh(x) * x)

    f(x).backward()
    with GradientTape() as tape:
        y = f(x)
    by_tape, by_function = tape.gradient(y, x), grad(f)(x)
    np.testing.assert_array_equal(x.grad, by_tape)
    np.testing.assert_array_equal(by_tape, by_function)


def test_derivatives_of_tanh_to_order_4():
    f, point = ops.tanh, Tensor(0.3, dtype="float64")
    derivatives = []
    for _ in range(4):
        f = grad(f)
        derivatives.append(float(f(point)))
    t = np.tanh(0.3)
    s = 1 - t * t
    expected = [s, -2 * t * s, s * (4 * t * t - 2 * s), 8 * t * s * (2 * s - t * t)]
    np.testing.assert_allclose(derivatives, expected, rtol=1e-12)


def test_backward_accumulates_and_starts_anew_after_assign(x):
    ops.sum(x * 2.0).backward()
    ops.sum(x * 3.0).backward()
    assert x.grad.tolist() == [5.0, 5.0, 5.0]
    x.assign([1.0, 1.0, 1.0])
    assert x.grad is None


def test_backward_needs_a_scalar_or_weights(x):
    with pytest.raises(ValueError, match="one element"):
        (x * 2.0).backward()
    (x * 2.0).backward([1.0, 0.0, 2.0])
    assert x.grad.tolist() == [2.0, 0.0, 4.0]
    with pytest.raises(ValueError, match="depends on nothing"):
        Tensor(1.0).backward()


def test_gradient_of_a_shared_input_adds_up(x):
    y = x * 3.0
    (g,) = ks.grad(lambda v: ops.sum(v * v + v), argnums=(0,))(y)
    np.testing.assert_allclose(g, 2 * y.numpy() + 1)


def test_broadcasting_is_undone():
    a, b = ks.Variable(np.ones((3, 1), "float32")), ks.Variable(np.ones((4,), "float32"))
    ops.sum(a * b).backward()
    assert a.grad.shape == (3, 1) and b.grad.shape == (4,)
    assert a.grad.tolist() == [[4.0]] * 3 and b.grad.tolist() == [3.0] * 4


class TestTape:
    def test_persistence(self, x):
        with GradientTape() as tape:
            y = ops.sum(x * x)
        tape.gradient(y, x)
        with pytest.raises(RuntimeError, match="non-persistent"):
            tape.gradient(y, x)
        with GradientTape(persistent=True) as tape:
            y = ops.sum(x * x)
        assert tape.gradient(y, x).tolist() == tape.gradient(y, x).tolist() == [1.0, -2.0, 4.0]

    def test_only_what_happened_inside_counts(self, x):
        before = x * 2.0
        with GradientTape() as tape:
            y = ops.sum(before * 3.0)
        assert tape.gradient(y, x) is None
        with GradientTape() as tape:
            y = ops.sum(x * 1.0)
        z = y * 2.0
        assert tape.gradient(z, x) is None

    def test_watch_and_stop_recording(self):
        t = Tensor([1.0, 2.0])
        with GradientTape() as tape:
            tape.watch(t)
            y = t * t
            with tape.stop_recording():
                y = y + t * 100.0 * 0.0
        assert not t.requires_grad
        with GradientTape(persistent=True) as tape:
            tape.watch(t)
            y = ops.sum(t * t)
        assert tape.gradient(y, t).tolist() == [2.0, 4.0]
        with GradientTape() as tape, pytest.raises(ValueError, match="floating"):
            tape.watch(Tensor([1]))

    def test_nested_tapes_give_second_derivatives(self, x):
        with GradientTape() as outer:
            with GradientTape() as inner:
                y = ops.sum(x * x * x)
            first = inner.gradient(y, x)
        np.testing.assert_allclose(outer.gradient(first, x), 6 * x.numpy(), rtol=1e-6)

    def test_structures_none_and_zero(self, x):
        other = ks.Variable(1.0)
        with GradientTape(persistent=True) as tape:
            y = ops.sum(x * 2.0)
        got = tape.gradient(y, {"x": x, "other": [other]})
        assert got["x"].tolist() == [2.0] * 3 and got["other"] == [None]
        zero = tape.gradient(y, other, unconnected_gradients="zero")
        assert float(zero) == 0.0

    def test_unwatched_variables(self, x):
        with GradientTape(watch_accessed_variables=False) as tape:
            y = ops.sum(x * x)
        assert tape.gradient(y, x) is None

    def test_jacobian_and_batch_jacobian(self):
        a = Tensor(np.arange(6.0).reshape(3, 2))
        with GradientTape(persistent=True) as tape:
            tape.watch(a)
            y = a * a
        full = tape.jacobian(y, a).numpy()
        assert full.shape == (3, 2, 3, 2)
        by_row = tape.batch_jacobian(y, a).numpy()
        np.testing.assert_array_equal(by_row, [np.diag(2 * row) for row in a.numpy()])

    def test_assign_between_forward_and_gradient(self, x):
        with GradientTape() as tape:
            y = ops.sum(x * x)
            x.assign(x * 0.0)
        assert tape.gradient(y, x).tolist() == [1.0, -2.0, 4.0]


class TestTransforms:
    def test_closures_differentiate_through(self):
        mixed = grad(lambda a: grad(lambda b: a * b * b)(3.0))(2.0)
        assert float(mixed) == 6.0

    def test_argnums_aux_and_structures(self):
        (value, aux), slopes = value_and_grad(lambda p, q: (p["a"] * q, "note"), argnums=(0, 1), has_aux=True)(
            {"a": Tensor(2.0)}, 5.0
        )
        assert float(value) == 10.0 and aux == "note"
        assert float(slopes[0]["a"]) == 5.0 and float(slopes[1]) == 2.0

    def test_errors(self):
        with pytest.raises(ValueError, match="one number"):
            grad(lambda x: x)([1.0, 2.0])
        with pytest.raises(TypeError, match="floating"):
            grad(lambda x: x)(Tensor(1))

    def test_jacobian_and_hessian_against_formulas(self):
        a = np.array([[1.0, 2.0], [3.0, 5.0]])
        np.testing.assert_allclose(jacobian(lambda x: ops.matmul(Tensor(a), x))(Tensor([1.0, 1.0], dtype="float64")), a)
        form = hessian(lambda x: ops.sum(x * ops.matmul(Tensor(a), x)))(Tensor([1.0, 2.0], dtype="float64"))
        np.testing.assert_allclose(form, a + a.T)

    def test_state_is_restored_after_an_error(self):
        with pytest.raises(ZeroDivisionError):
            grad(lambda x: 1 / 0)(1.0)
        assert state.grad_depth == 0 and state.grad_enabled


class TestOwnRules:
    def test_stop_gradient(self, x):
        assert grad(lambda v: ops.sum(v * stop_gradient(v)))(x).tolist() == x.numpy().tolist()

    def test_no_grad_remembers_nothing(self, x):
        with no_grad():
            y = x * 2.0
        assert y.call is None and not y.requires_grad

    def test_custom_gradient(self):
        @custom_gradient
        def log1pexp(x):
            e = ops.exp(x)
            return ops.log(1 + e), lambda upstream: upstream * (1 - 1 / (1 + e))

        assert float(grad(log1pexp)(100.0)) == 1.0

    def test_custom_gradient_of_several(self):
        @custom_gradient
        def both(a, b):
            return (a * b, a + b), lambda g1, g2: (g1 * 10.0, g2 * 100.0)

        ga, gb = grad(lambda a, b: both(a, b)[0] + 2.0 * both(a, b)[1], argnums=(0, 1))(1.0, 2.0)
        assert (float(ga), float(gb)) == (10.0, 200.0)

    def test_remat_gives_the_same_gradients(self, x):
        def f(v):
            return ops.tanh(v * x) * ops.exp(v)

        point = Tensor([0.1, 0.2, 0.3])
        plain, again = (value_and_grad(lambda v, g=g: ops.sum(g(v)), 0)(point) for g in (f, remat(f)))
        np.testing.assert_array_equal(plain[1], again[1])
        twice = [grad(lambda v, g=g: ops.sum(grad(lambda u: ops.sum(g(u)))(v)))(point).numpy() for g in (f, remat(f))]
        np.testing.assert_allclose(*twice, rtol=1e-6)


class TestLongGraphs:
    def test_chain_of_100_000_calls(self):
        x = ks.Variable(1.0)
        y = x * 1.0
        for _ in range(100_000):
            y = y + 1.0
        y.backward()
        assert float(x.grad) == 1.0
        del y  # freed without recursion too

    def test_memory_returns_without_collection(self):
        gc.collect()
        gc.disable()
        try:
            v = ks.Variable(np.ones(250_000, "float32"))
            y = ops.sum(ops.tanh(v * 2.0))
            y.backward()
            middle = ops.exp(v)
            watcher = weakref.ref(middle.call)
            z = ops.sum(middle * middle)
            v.grad = None
            tracemalloc.start()
            before = None
            for i in range(10):
                if i == 5:  # by now the blocks that are kept to be used again are there
                    before = tracemalloc.get_traced_memory()[0]
                ops.sum(ops.tanh(v * 2.0) * 3.0).backward()
                v.grad = None
            grown = tracemalloc.get_traced_memory()[0] - before
            tracemalloc.stop()
            del y, middle, z
            assert watcher() is None
            assert grown < 200_000, f"{grown} bytes were not returned"
            assert gc.collect() == 0 or not any(isinstance(o, Tensor) for o in gc.garbage)
        finally:
            gc.enable()


def test_multi_output_ops_whose_outputs_are_dropped(x):
    first, _ = ops.split(x[:2] * x[:2], 2)
    ops.sum(first).backward()
    assert x.grad.tolist() == [1.0, 0.0, 0.0]


class TestRemat:
    """Rematerialized calls give what plain calls give, whatever they use besides their arguments."""

    def both(self, f, *points):
        plain = [grad(lambda *xs, g=g: ops.sum(g(*xs)), tuple(range(len(points))))(*points) for g in (f, remat(f))]
        for a, b in zip(*plain, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)

    def test_captured_tensors(self, x):
        w = ks.Variable(3.0)
        assert float(grad(lambda z: remat(lambda t: t * z)(Tensor(5.0)))(w * 1.0)) == 5.0
        self.both(lambda a: a * x * w, Tensor([1.0, 2.0, 3.0]))

    def test_inside_an_open_tape_and_after_it(self):
        v = ks.Variable(2.0)
        with GradientTape(persistent=True) as tape:
            y = remat(lambda a: a * v)(v * 3.0)
            inside = tape.gradient(y, v)
        assert float(inside) == float(tape.gradient(y, v)) == 12.0
        t = Tensor(3.0)
        with GradientTape() as tape:
            tape.watch(t)
            y = remat(lambda a: a * a)(t)
        assert float(tape.gradient(y, t)) == 6.0

    def test_equal_arguments_and_second_order(self):
        assert float(grad(grad(lambda x: remat(lambda a, b: a * b)(x, x)))(3.0)) == 2.0

    def test_one_inside_another(self):
        layer, x = ks.layers.Dropout(0.5, seed=1), Tensor(np.ones(50, "float32"))
        inner = remat(lambda b: layer(b, training=True))
        y, slope = value_and_grad(lambda a: ops.sum(remat(lambda b: inner(b) * 1.0)(a)))(x)
        assert float(y) == float(ops.sum(slope))

    def test_state_and_random_numbers_stay_the_same(self):
        layer, x = ks.layers.Dropout(0.5, seed=1), Tensor(np.ones(50, "float32"))
        y, slope = value_and_grad(lambda a: ops.sum(remat(lambda b: layer(b, training=True))(a)))(x)
        assert float(y) == float(ops.sum(slope))
        norm = ks.layers.BatchNormalization(momentum=0.5)
        norm.build((None, 1))
        value_and_grad(lambda a: ops.sum(remat(lambda b: norm(b, training=True))(a)))(Tensor(np.full((2, 1), 2.0, "float32")))
        assert norm.moving_mean.numpy().tolist() == [1.0]


class TestCorners:
    def test_negative_and_wrong_argnums(self):
        assert float(grad(lambda a, b: a * b, argnums=-1)(5.0, 3.0)) == 5.0
        with pytest.raises(ValueError, match="out of range"):
            grad(lambda a: a, argnums=2)(1.0)

    def test_variables_that_are_not_trainable_or_are_assigned_while_watched(self):
        v = ks.Variable(3.0, trainable=False)
        assert float(grad(lambda v: v * v)(v)) == 6.0
        with GradientTape() as tape:
            tape.watch(v)
            v.assign(4.0)
            y = v * v
        assert float(tape.gradient(y, v)) == 8.0 and not v.value.requires_grad

    def test_gradients_with_respect_to_a_scopes_values(self):
        v = ks.Variable(1.0)
        with ks.StatelessScope([(v, Tensor(3.0))]):
            assert float(grad(lambda u: u * u)(v)) == 6.0

    def test_weights_of_wrong_shape_and_unknown_options(self, x):
        with pytest.raises(ValueError, match="shape"):
            (x * 2.0).backward(gradient=np.ones((3, 3)))
        with GradientTape(persistent=True) as tape:
            y = x * 2.0
        with pytest.raises(ValueError, match="shape"):
            tape.gradient(y, x, output_gradients=np.ones((2, 3)))
        with pytest.raises(ValueError, match="unconnected"):
            tape.gradient(y, x, unconnected_gradients="zeros")

    def test_several_arguments_take_one_walk(self):
        walked = []

        @custom_gradient
        def product(x, y):
            return x * y, lambda upstream: (walked.append(upstream), [upstream * y, upstream * x])[1]

        assert [float(g) for g in grad(product, (0, 1))(2.0, 3.0)] == [3.0, 2.0]
        assert [float(g) for g in grad(lambda xs, y: product(xs["a"], y), (1, 0))({"a": 2.0}, 3.0)[:1]] == [2.0]
        assert len(walked) == 2  # one for each call of grad

    def test_second_derivative_through_a_custom_rule(self):
        @custom_gradient
        def softplus(x):
            e = ops.exp(x)
            return ops.log(1 + e), lambda upstream: upstream * (1 - 1 / (1 + e))

        assert float(grad(grad(softplus))(0.0)) == 0.25

    def test_variables_keep_memory_of_their_own(self):
        a = np.ones(2, "float32")
        v = ks.Variable(a)
        a[:] = 5
        assert v.numpy().tolist() == [1.0, 1.0]
        v.assign(a)
        a[:] = 7
        v.numpy()[:] = 9
        assert v.numpy().tolist() == [5.0, 5.0]

    def test_floatx_is_not_cached(self):
        assert ops.exp(Tensor(1)).dtype == "float32"
        ks.config.set_floatx("float64")
        try:
            assert ops.exp(Tensor(1)).dtype == "float64"
        finally:
            ks.config.set_floatx("float32")

    def test_a_failed_build_does_not_poison_later_ones(self):
        def bad(shape, dtype=None):
            raise RuntimeError("bad initializer")

        def model(initializer):
            class Outer(ks.Layer):
                def __init__(self):
                    super().__init__()
                    self.inner = ks.layers.Dense(2, kernel_initializer=initializer)

                def call(self, x):
                    return self.inner(x)

            return Outer()(ks.Input((3,)))

        with pytest.raises(RuntimeError, match="bad"):
            model(bad)
        assert model("zeros").shape == (None, 2)
