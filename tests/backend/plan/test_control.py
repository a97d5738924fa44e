"""Control flow in recorded functions does what it does eagerly; what is recorded does not grow with a loop's turns."""

import warnings

import numpy as np
import pytest

import kerasish as keras
from kerasish import Variable, layers, ops, tree
from kerasish.backend.autodiff.gradient import grad, value_and_grad
from kerasish.backend.autodiff.scopes import StatelessScope

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def same_numbers_in_any_order():
    """Each test draws the same numbers, whichever ran before it."""
    RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state


def random(*shape):
    return RNG.uniform(-1, 1, shape).astype("float32")


def numbers(structure):
    return [None if x is None else np.array(x) for x in tree.flatten(structure)]


def check(f, *args, variables=(), calls=3, tol=2e-5):
    """Recorded, ``f`` gives what it gives eagerly, several times over, and leaves the same in the variables. Returns the recording."""
    before, recorded = [v.numpy() for v in variables], keras.function(f)
    outcomes = []
    for run in (lambda *args: f(*map(ops.convert_to_tensor, args)), recorded):
        for v, value in zip(variables, before, strict=True):
            v.assign(value)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # running eagerly would be told by a warning
            outcomes.append([numbers((run(*args), [v.numpy() for v in variables])) for _ in range(calls)])
    for eager, replayed in zip(*outcomes, strict=True):
        for a, b in zip(eager, replayed, strict=True):
            if a is None or b is None:
                assert a is None and b is None
            else:
                assert a.dtype == b.dtype
                np.testing.assert_allclose(a, b, rtol=tol, atol=tol)
    return recorded


def recorded_calls(recorded):
    (made,) = recorded.plans.values()
    return made[0].trace.calls


def derivatives(f, n):
    """``f``'s value, first and second derivatives for its first ``n`` arguments."""
    places = tuple(range(n))
    total = lambda *args: sum(ops.sum(g * g) for g in grad(f, places)(*args))
    return lambda *args: (value_and_grad(f, places)(*args), grad(total, places)(*args))


# ---- branches
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_only_the_branch_taken_runs(sign):
    def f(x):
        return ops.cond(ops.sum(x) > 0, lambda: ops.log(x), lambda: {"a": x}["a"] * x)

    check(derivatives(lambda x: ops.sum(f(x)), 1), sign * np.ones(3, "float32"))  # log of the others would be NaN


@pytest.mark.parametrize("number", [-2, 0, 1, 2, 7])
def test_switch_with_operands(number):
    w = Variable(random(3))
    branches = [lambda x, y: ops.sum(x * y), lambda x, y: ops.sum(x * x * x * w), lambda x, y: ops.sum(ops.exp(y)) + 0.0 * w[0]]
    check(derivatives(lambda x, y, i: ops.switch(i, branches, x, y) * w[1], 2), random(3), random(3), np.int32(number), variables=[w])


def test_variables_are_written_by_the_branch_taken_alone():
    a, b, c = Variable(1.0), Variable(2.0), Variable(3.0)

    def f(x):
        def first():
            a.assign_add(b)
            b.assign(x)
            return a * 2.0

        def second():
            b.assign(b * c + 1.0)
            return a + b

        return ops.cond(x > 0, first, second), a + b + c

    for x in (1.5, -1.5):
        check(f, np.float32(x), variables=[a, b, c])


def test_a_branch_may_return_nothing():
    v = Variable(0.0)

    def f(x):
        ops.cond(x > 2, lambda: v.assign(x) * 0, lambda: v.value)
        return ops.cond(x > 2, lambda: None, lambda: None), ops.cond(x > 0, lambda: (None, [x]), lambda: (None, [-x]))

    for x in (1.0, -1.0, 3.0):
        check(f, np.float32(x), variables=[v])


def test_random_numbers_of_a_branch_are_drawn_only_there():
    seed = keras.random.SeedGenerator(1)

    def f(x):
        y = ops.cond(x > 0, lambda: keras.random.uniform((2,), seed=seed), lambda: ops.zeros(2))
        return y, keras.random.uniform((2,), seed=seed)

    for x in (1.0, -1.0):
        check(f, np.float32(x), variables=[seed.state])


def test_branches_of_different_kinds_run_eagerly():
    f = keras.function(lambda x: ops.cond(x > 0, lambda: x, lambda: ops.cast(x, "int32")))
    with pytest.warns(UserWarning, match="same kind"):
        assert f(np.float32(2)).dtype == "float32"
    assert f(np.float32(-2)).dtype == "int32"


def test_a_value_wanted_in_a_branch_runs_eagerly_and_says_which_line():
    f = keras.function(lambda x: ops.cond(x > 0, lambda: x * float(x), lambda: x))
    with pytest.warns(UserWarning, match=r"test_control.py:\d+: .*float\(x\)"):
        assert float(f(np.float32(2))) == 4.0


def test_a_constant_can_be_differentiated_through_a_branch():
    v = Variable(2.0)
    f = lambda x: ops.cond(v > x, lambda: x * x * v, lambda: x)
    check(lambda: (grad(f)(3.0), grad(f)(1.0), grad(grad(f))(1.0)), variables=[v])


def test_masks_go_through_branches():
    def f(x):
        masked = layers.Masking()(x)
        y = ops.cond(ops.sum(x) > 0, lambda: masked, lambda: layers.Masking(1.0)(x))
        return y._keras_mask

    for x in (np.ones((2, 3, 1), "float32"), np.zeros((2, 3, 1), "float32")):
        check(f, x)


# ---- what stops gradients does so inside as well
@pytest.mark.parametrize("n", [3, 6])
def test_gradients_are_those_of_what_was_written(n):
    w = Variable(0.5)

    @ops.custom_gradient
    def scaled(x, scale):
        return x, lambda upstream: (upstream * scale * w, None)

    def body(c, x):
        c = ops.stop_gradient(c) * x + ops.sin(c) * 0.5
        return scaled(c, x), ops.stop_gradient(c) + scaled(x, 3.0)

    def f(xs, c):
        c, ys = ops.scan(body, c, xs)
        return c + ops.sum(ys * ys)

    check(derivatives(f, 2), random(n), np.float32(0.3), variables=[w])
    check(derivatives(lambda x, c: ops.cond(c > 0, lambda: body(c, x)[0] * x, lambda: x), 2), np.float32(0.7), np.float32(0.3))


def test_a_tensor_and_what_is_stopped_of_it_are_not_the_same():
    def f(x, xs):
        stopped = ops.stop_gradient(x)
        c, _ = ops.scan(lambda c, a: (c * a * x + stopped * x, None), x, xs)
        return ops.cond(c > 100, lambda: stopped, lambda: c * stopped * x)

    check(derivatives(f, 2), np.float32(0.9), random(6))


def test_gradients_arrive_at_the_right_one_of_two_aliases():
    def f(x, xs):
        a, b = ops.stop_gradient(x), ops.stop_gradient(x)
        with keras.GradientTape(persistent=True) as tape:
            tape.watch([a, b])
            y, _ = ops.scan(lambda c, x: (c * ops.sin(a) + b * b * x, None), x, xs)
        return tape.gradient(y, a), tape.gradient(y, b), tape.gradient(y, x)

    check(f, np.float32(0.9), random(6))


# ---- scan
def gated(w, u):
    def step(h, x):
        z = ops.sigmoid(ops.matmul(x, w) + ops.matmul(h, u))
        h = z * h + (1.0 - z) * ops.tanh(ops.matmul(h, u))
        return h, (h, {"twice": 2.0 * h, "none": None})

    return step


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("n", [0, 1, 2, 4, 5, 9])
def test_scan(n, reverse):
    w, u = Variable(random(2, 3)), Variable(random(3, 3))

    def f(xs, h, scale):
        h, (hs, more) = ops.scan(gated(w * scale, u), h, xs, reverse=reverse)
        return ops.sum(h * h * h) + ops.sum(hs * ops.reshape(ops.arange(n * 6, dtype="float32"), hs.shape)) + ops.sum(more["twice"])

    def step(xs, h, scale):
        with keras.GradientTape() as tape:
            y = f(xs, h, scale)
        return y, tape.gradient(y, [w, u])

    args = random(n, 2, 2), random(2, 3), np.float32(0.8)
    check(step, *args)
    check(derivatives(f, 3), *args, tol=1e-3)
    check(lambda xs, h: ops.scan(gated(w, u), h, xs, reverse=reverse), *args[:2])


def test_third_derivatives():
    f = lambda x, xs: ops.scan(lambda c, a: (ops.sin(c * a + x), None), x, xs)[0]
    check(lambda x, xs: grad(grad(grad(f)))(x, xs), np.float32(0.4), random(6), tol=1e-3)
    g = lambda x, p: ops.cond(p > 0, lambda: ops.sin(x * x), lambda: x)
    check(lambda x, p: grad(grad(grad(g)))(x, p), np.float32(0.4), np.float32(1), tol=1e-3)


def test_gradients_by_backward():
    w = Variable(random(3))

    def step(xs):
        c, ys = ops.scan(lambda c, x: (ops.tanh(c * w + x), c), ops.zeros(3), xs)
        ops.sum(c + ops.sum(ys, axis=0)).backward()
        gradient, w.grad = w.grad, None
        w.assign_sub(0.1 * gradient)
        return gradient

    check(step, random(7, 3), variables=[w])


def test_scan_without_xs_and_with_none_as_carry():
    check(lambda x: ops.scan(lambda c, _: (c * x, c + x), x, length=7), np.float32(1.1))
    check(lambda xs: ops.scan(lambda _, x: (None, {"a": x * x}), None, xs), random(7, 2))


def test_the_first_turn_may_change_what_is_carried():
    f = lambda xs: ops.scan(lambda c, x: ((c[0] + x, ops.concatenate([x, x])), None), (0, ops.zeros(1)), xs)[0]
    check(f, random(6, 2))


def test_a_carry_that_always_changes_its_shape_is_unrolled():
    check(lambda x: ops.fori_loop(0, 5, lambda i, c: ops.concatenate([c, c]), x), random(2))
    check(lambda x: ops.fori_loop(0, 5, lambda i, c: c * [1.0, 2.0, 3.0, 4.0, 5.0][int(i)], x), random(2))


def test_a_value_wanted_in_a_loop_runs_eagerly_and_says_which_line():
    f = keras.function(lambda xs: ops.map(lambda x: x * float(x), xs))
    with pytest.warns(UserWarning, match=r"test_control.py:\d+: .*float\(x\)"):
        assert f(np.ones(6, "float32")).tolist() == [1.0] * 6


@pytest.mark.parametrize("reverse", [False, True])
def test_variables_are_read_and_written_at_each_turn(reverse):
    total, scale, seed = Variable(1.0), Variable([1.0, 2.0], trainable=False), keras.random.SeedGenerator(3)

    def body(c, x):
        before = total.value
        total.assign_add(ops.sum(x * scale))
        scale.assign(ops.flip(scale.value) * 0.9)
        noise = keras.random.uniform((2,), seed=seed)
        return c * 0.5 + total * before, (noise, total.value, c)

    def f(xs):
        old = total.value

        def with_old(c, x):
            c, y = body(c, x)
            return c + old, y

        return ops.scan(with_old, 0.0, xs, reverse=reverse), total * 1.0

    check(f, random(6, 2), variables=[total, scale, seed.state])


def test_gradients_for_variables_that_a_loop_writes():
    w, xs = Variable(0.5), random(6)

    def f(xs):
        with keras.GradientTape() as tape:
            tape.watch(xs)
            y = w * 2.0

            def body(c, x):
                c = c * w + x
                w.assign(w * 0.9 + 0.1 * x)
                return c * w, w * y

            c, ys = ops.scan(body, y, xs)
            loss = c + ops.sum(ys) * w
        return loss, tape.gradient(loss, [w, xs])

    check(f, xs, variables=[w])


def test_training_inside_a_loop():
    w, optimizer = Variable(random(3)), keras.optimizers.Adam(0.1)
    optimizer.build([w])

    def body(i, _):
        with keras.GradientTape() as tape:
            loss = ops.sum((w - ops.cast(i, "float32")) ** 2)
        optimizer.apply(tape.gradient(loss, [w]), [w])
        return loss

    check(lambda x: ops.fori_loop(0, 8, body, x), np.float32(0), variables=[w, *optimizer.variables])


def test_backward_to_variables_inside_a_loop_is_not_lost():
    w = Variable(2.0)

    def f(xs):
        def body(c, x):
            ops.sum(w * x).backward()
            return c + x, None

        return ops.scan(body, 0.0, xs)[0]

    recorded = keras.function(f)
    with pytest.warns(UserWarning, match="gradient"):
        recorded(np.ones(6, "float32"))
    assert float(w.grad) == 6.0


# ---- other loops
def test_map_and_its_like():
    w = Variable(random(2))
    f = lambda xs: ops.sum(ops.map(lambda x: {"a": ops.sum(x * w) ** 3}, xs)["a"] * ops.vectorized_map(lambda p: p[0] * p[1], [xs[:, 0], xs[:, 1]]))
    check(derivatives(f, 1), random(6, 2))
    check(lambda xs: ops.map(lambda x: ops.concatenate([x, x]), xs), random(0, 2))
    check(lambda xs: ops.vectorize(lambda a: a * w[0])(xs), random(3, 3))


def test_fori_loop_with_known_bounds():
    v = Variable(1.0)

    def body(i, c):
        v.assign(v + ops.cast(i, "float32"))
        return c * v * 0.5 + ops.cast(i, "float32")

    check(derivatives(lambda x: ops.fori_loop(2, 8, lambda i, c: ops.sin(c * x) + ops.cast(i, "float32"), x), 1), np.float32(0.3), tol=1e-3)
    check(lambda x: ops.fori_loop(-1, 6, body, x), np.float32(0.3), variables=[v])


@pytest.mark.parametrize("n", [0, 1, 7])
def test_loops_as_long_as_a_value_says(n):
    v, seed = Variable(1.0), keras.random.SeedGenerator(3)

    def f(n, x):
        def body(i, total, c):
            v.assign(v * 1.5)
            return i + 1, total + v * x, [c[0] + keras.random.uniform((2,), seed=seed)]

        last = ops.while_loop(lambda i, *_: i < n, body, (0, x, [ops.zeros(2)]))
        return last, ops.fori_loop(0, n, lambda i, c: c * v + ops.cast(i, "float32"), x), ops.while_loop(lambda t: t < x, lambda t: t + 1.0, 0.5)

    check(f, np.int32(n), np.float32(3.3), variables=[v, seed.state])


def test_a_condition_may_draw_and_write():
    seed, count = keras.random.SeedGenerator(3), Variable(0, dtype="int32")

    def go_on(x):
        count.assign_add(1)
        return keras.random.uniform((), seed=seed) < 0.8

    check(lambda x: ops.while_loop(go_on, lambda x: x + 1.0, x), np.float32(0), variables=[seed.state, count])
    f = keras.function(lambda x: ops.while_loop(go_on, lambda x: x + 1.0, x, maximum_iterations=1))
    with pytest.warns(UserWarning, match="maximum_iterations"):
        f(np.float32(0))


@pytest.mark.parametrize("most", [0, 2, 9])
def test_loops_stop_after_the_most_turns_allowed(most):
    check(lambda x: ops.while_loop(lambda x: x < 100.0, lambda x: x * 5.0, x, maximum_iterations=most), np.float32(1))
    check(lambda x: ops.while_loop(lambda i, x: (i < 2) | (x < 30.0), lambda i, x: (i + 1, x * 5.0), [0, x], maximum_iterations=most), np.float32(1))


def test_no_gradient_through_a_loop_of_unknown_length():
    f = keras.function(grad(lambda x: ops.while_loop(lambda y: y < 10.0, lambda y: y * y, x)))
    with pytest.warns(UserWarning, match="while_loop"):
        assert float(f(np.float32(2))) == 32.0  # x ** 4
    check(lambda x: grad(lambda x: x * ops.stop_gradient(ops.while_loop(lambda y: y < 10.0, lambda y: y * y, x)))(x), np.float32(2))


def test_a_loop_whose_variables_change_their_shape_runs_eagerly():
    f = keras.function(lambda x: ops.while_loop(lambda x: ops.sum(x) < 10, lambda x: ops.concatenate([x, x]), x))
    with pytest.warns(UserWarning, match="same kind"):
        assert f(np.ones(2, "float32")).shape == (16,)


# ---- together
def test_scan_in_cond_in_scan():
    w, seed = Variable(random(2)), keras.random.SeedGenerator(5)

    def inner(c, x):
        return ops.tanh(c * w) + x * keras.random.uniform((2,), seed=seed), None

    def body(c, xs):
        def first():
            w.assign(w * 1.1)
            return ops.scan(inner, c, xs)[0]

        c = ops.cond(ops.sum(c) > 0, first, lambda: c - ops.sum(xs))
        return c, ops.while_loop(lambda y: ops.sum(y * y) < 3.0, lambda y: y * 1.5 + w, c + 0.1)

    def f(xss, c):
        with keras.GradientTape() as tape:
            tape.watch([xss, c])
            c, ys = ops.scan(body, c, xss)
            y = ops.sum(c * c)
        return y, ys, tape.gradient(y, [xss, c, w])

    check(f, random(6, 5, 2), random(2), variables=[w, seed.state])


def test_second_derivatives_through_nested_control_flow():
    def f(xss, c):
        inner = lambda c, x: (ops.cond(x > 0, lambda: ops.sin(c * x), lambda: c + x * x), c * x)
        body = lambda c, xs: (ops.scan(inner, c, xs)[0], ops.map(lambda x: x * x * c, xs))
        c, ys = ops.scan(body, c, xss)
        return c * c + ops.sum(ys)

    check(derivatives(f, 2), random(5, 5), np.float32(0.5), tol=1e-3)


def test_a_gradient_inside_a_loop():
    w = Variable(0.7)

    def body(c, x):
        slope = grad(lambda c: ops.sin(c * w * x) * c)(c)
        return c - 0.1 * slope, value_and_grad(lambda v: v * v * x)(2.0)

    check(derivatives(lambda xs, c: ops.scan(body, c, xs)[0], 2), random(6), np.float32(0.5), tol=1e-3)
    check(lambda xs, c: ops.scan(body, c, xs), random(6), np.float32(0.5))


def test_what_leaks_from_a_body_runs_eagerly():
    def f(xs):
        kept = []
        ops.map(lambda x: kept.append(x) or x, xs)
        return ops.stack(kept)

    recorded = keras.function(f)
    with pytest.warns(UserWarning, match="branch or loop"):
        assert recorded(np.arange(6.0, dtype="float32")).tolist() == [0, 1, 2, 3, 4, 5]


def test_variables_in_a_stateless_scope():
    v, w = Variable(1.0), Variable(2.0)

    def f(xs):
        with StatelessScope([(w, xs[0])]) as scope:
            reading, _ = ops.scan(lambda c, x: (c * w + x, None), 0.0, xs)
            writing, _ = ops.scan(lambda c, x: (c + v.assign_add(x * w), None), 0.0, xs)
        return reading, writing, scope.get_current_value(v), v.value

    check(f, random(6), variables=[v, w])


def test_the_recording_is_as_long_for_many_turns_as_for_few():
    w = Variable(random(3, 3))

    def f(xs):
        with keras.GradientTape() as tape:
            c, ys = ops.scan(lambda c, x: (ops.tanh(ops.matmul(c, w) + x), c), xs[0], xs)
            y = ops.sum(ops.map(ops.exp, ys)) + ops.sum(ops.fori_loop(0, xs.shape[0], lambda i, c: c * 0.5, c))
        return tape.gradient(y, w)

    short, long = (len(recorded_calls(check(f, random(n, 2, 3), variables=[w]))) for n in (5, 40))
    assert short == long


class Cell(layers.Layer):
    """A gated cell of a user's own, whose dropout mask is drawn once for a sequence."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units
        self.gates, self.new = layers.Dense(units, activation="sigmoid"), layers.Dense(units)
        self.dropout = layers.Dropout(0.3, seed=1)

    def build(self, shape):
        self.gates.build((shape[0], shape[1] + self.units))
        self.new.build((shape[0], shape[1] + self.units))

    def call(self, x, states, training=False):
        (h,) = states
        z = self.gates(ops.concatenate([x, h], axis=-1))
        h = z * h + (1.0 - z) * ops.tanh(self.new(ops.concatenate([self.dropout(x, training=training), z * h], axis=-1)))
        return h, [h]


@pytest.mark.parametrize("cell", [Cell, lambda units: [layers.GRUCell(units, dropout=0.2, recurrent_dropout=0.2, seed=2), Cell(units)]])
def test_training_a_cell_of_ones_own(cell):
    x, y = random(12, 8, 3), random(12, 8, 4)
    x[::3, 5:] = 0.0
    outcomes = []
    for eagerly in (True, False):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([layers.Masking(), layers.RNN(cell(4), return_sequences=True, go_backwards=True), layers.Dense(4)])
        model.compile("adam", "mse", run_eagerly=eagerly)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            history = model.fit(x, y, batch_size=4, epochs=2, verbose=0, shuffle=False)
        outcomes.append([*history.history["loss"], *model.get_weights()])
    for a, b in zip(*outcomes, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
