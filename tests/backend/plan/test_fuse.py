"""What is put together, that the order stays right, and that NumPy gives the same bits with and without."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from kerasish import layers, models, ops
from kerasish.backend.autodiff.gradient import enable_grad
from kerasish.backend.autodiff.op import as_tensor, sum_to
from kerasish.backend.kernels import group
from kerasish.backend.kernels.domain import VIEWS, axes_of
from kerasish.backend.kernels.group import Fused
from kerasish.backend.plan import fuse as module
from kerasish.backend.plan import passes
from kerasish.backend.plan.fuse import fuse
from kerasish.backend.plan.record import record
from kerasish.ops import activation
from tests.backend.traces import RandomFunction, loss_and_gradients, run, traced


def zeros(*shape, dtype="float32"):
    return np.zeros(shape, dtype)


def names(function, *arrays):
    """For each call of the fused trace its name, for groups the names of what is in them, views left out."""
    trace, _ = traced(function, *arrays)
    made = fuse(trace)
    return [[c.op.name for c in call.op.calls if c.op.name not in VIEWS] if isinstance(call.op, Fused) else call.op.name for call in made.calls]


def same_bits(function, *arrays):
    trace, values = traced(function, *arrays)
    made = fuse(trace)
    expected, got = run(trace, values), run(made, values)
    for i in trace.kept():
        assert_array_equal(got[i], expected[i])
        assert np.shape(got[i]) == trace.specs[i].shape
    return made


# ---- what goes together
def relu_gradient(g, y):
    a = activation._gate(g, y)
    return a, sum_to(a, shape=(y.shape[-1],))


def adam(w, g, m, v, lr):
    m = m + (g - m) * (1 - 0.9)
    v = v + (ops.square(g) - v) * (1 - 0.999)
    return w - m * lr / (ops.sqrt(v) + 1e-7), m, v


@pytest.mark.parametrize(
    "function, arrays",
    [
        (lambda x, b: ops.relu(x + b), [zeros(128, 512), zeros(512)]),
        (relu_gradient, [zeros(128, 512), zeros(128, 512)]),
        (lambda x: ops.softmax(x * 2.0), [zeros(4, 8, 10, 10)]),
        (lambda g, y: g * y - y * ops.sum(g * y, -1, keepdims=True), [zeros(6, 4, 10), zeros(6, 4, 10)]),
        (lambda x, a, b: ops.layer_normalization(x + 1.0, a, b), [zeros(3, 20, 8), zeros(8), zeros(8)]),
        (loss_and_gradients, [zeros(12, dtype="int32"), zeros(12, 10), zeros(12)]),
        (lambda x: ops.mean(ops.relu(x), (1, 2)), [zeros(4, 8, 8, 16)]),
        (lambda g, x: activation._gate(ops.broadcast_to(ops.expand_dims(g, (1, 2)), x.shape) * 0.1, x), [zeros(4, 16), zeros(4, 8, 8, 16)]),
        (lambda x, m, a: ops.relu((x - m) * a), [zeros(4, 8, 8, 16), zeros(16), zeros(1, 1, 1, 16)]),
        (adam, [*[zeros(30, 7)] * 4, zeros()]),
        (lambda x, b: ops.relu(ops.reshape(x, (20, 3, 8)) + ops.reshape(b, (3, 8))), [zeros(60, 8), zeros(24)]),
        (lambda a, b, c: (a + 1.0, b * 2.0 + c), [zeros(), zeros(), zeros()]),
        (lambda x: (ops.sum(x, -1), ops.max(x, -1), ops.exp(x)), [zeros(5, 6)]),
        (lambda x: ops.mean(ops.square(x)) * 2.0, [zeros(40)]),
    ],
)
def test_one_group(function, arrays):
    (calls,) = names(function, *arrays)
    assert not isinstance(calls, str)


def test_what_depends_on_a_sum_over_rows_is_another_group():
    def normalized(x):
        return ops.exp(x) - ops.sum(ops.exp(x), 0)

    assert names(normalized, zeros(5, 6)) == [["exp", "sum"], ["subtract"]]


def test_a_call_between_keeps_groups_apart():
    def function(x, w):
        y = ops.relu(x)
        return ops.matmul(y, w) * y

    assert names(function, zeros(6, 6), zeros(6, 6)) == [["relu"], "matmul", ["multiply"]]


def test_a_reader_of_the_same_joins_across_other_calls():
    def function(x, w):
        y = ops.relu(x)
        return ops.matmul(y, w), ops.argmax(y, -1)

    assert names(function, zeros(6, 8), zeros(8, 6)) == [["relu", "argmax"], "matmul"]


def test_shapes_that_do_not_fit_stay_apart():
    assert names(lambda x: ops.transpose(ops.exp(x)) + ops.exp(x), zeros(6, 6)) == [["exp"], "transpose", ["add"]]
    assert len(names(lambda x, y: (ops.sum(x + y), ops.exp(y)), zeros(6, 5), zeros(5))) == 2  # a vector is not computed once a row
    assert len(names(lambda x, y: ops.exp(ops.reshape(x, (4, 9))) + y, zeros(6, 6), zeros(9))) == 1
    assert len(names(lambda x, y, z: ops.reshape(x + y, (4, 9)) + z, zeros(6, 6), zeros(6), zeros(9))) == 2


def test_numbers_are_computed_once():
    def function(x, y, step):
        rate = 0.9**step
        return x * rate, y * rate

    assert names(function, zeros(30), zeros(7), zeros()) == [["_power"], ["multiply"], ["multiply"]]


def test_unknown_dtypes_are_left_alone():
    assert names(lambda x: ops.exp(x * 2.0), zeros(5, dtype="float16")) == ["multiply", "exp"]
    assert names(lambda x: ops.exp(x * 2.0), zeros(0, 5)) == ["multiply", "exp"]


def test_views_leave_no_copy():
    made = fuse(traced(lambda x: ops.reshape(ops.relu(x), (3, 20)), zeros(60))[0])
    assert [call.op.name for call in made.calls] == ["fused", "reshape"]


# ---- whole steps
def image_step():
    m = models.Sequential([layers.Input((8, 8, 3)), layers.Conv2D(4, 3, use_bias=False), layers.BatchNormalization(), layers.ReLU(),
                           layers.Dropout(0.5, seed=1), layers.GlobalAveragePooling2D(), layers.Dense(3, activation="softmax")])  # fmt: skip
    m.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return m, np.random.default_rng(0).random((6, 8, 8, 3), "float32"), np.array([0, 1, 2, 0, 1, 2], "int32")


def dense_step():
    m = models.Sequential([layers.Input((5,)), layers.Dense(16, activation="relu"), layers.LayerNormalization(), layers.Dense(1)])
    m.compile("rmsprop", "mse")
    return m, np.random.default_rng(0).random((6, 5), "float32"), np.ones((6, 1), "float32")


@pytest.mark.parametrize("make, most", [(image_step, 20), (dense_step, 14)])
def test_training_step(make, most):
    m, x, y = make()
    with enable_grad():
        m.train_on_batch(x, y)
        trace, _ = record(lambda x, y: list(m.train_step((x, y)).values()), (as_tensor(x), as_tensor(y)))
    trace = passes.drop_unread(passes.merge_equal(passes.drop_unread(trace)))
    made = fuse(trace)
    assert sum(isinstance(c.op, Fused) for c in made.calls) <= most < len(trace.calls) / 3
    values = {**{n: v.numpy() for v, n in trace.reads.items()}, **{i: np.asarray(c) for i, c in trace.constants.items()}}
    values.update(zip(trace.arguments, (x, y), strict=True))
    expected, got = run(trace, values), run(made, values)
    for i in trace.kept():
        assert_array_equal(got[i], expected[i])


# ---- NumPy's kernel
@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1 << 30))
def test_random_functions(seed):
    function = RandomFunction(seed)
    same_bits(function, *function.arrays)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1 << 30), st.sampled_from([7, 64]))
def test_random_functions_in_blocks(seed, size):
    function, before = RandomFunction(seed), group._BLOCK
    group._BLOCK = size
    try:
        same_bits(function, *function.arrays)
    finally:
        group._BLOCK = before


def test_large_groups_are_cut():
    x = np.random.default_rng(0).standard_normal((5, 300_000)).astype("float32")
    (call,) = same_bits(adam, *x[:4], np.float32(0.01)).calls
    assert call.op.blocks and call.op.elementwise
    (call,) = same_bits(lambda x, b: ops.relu(x + b), x.reshape(-1, 16), x[0, :16]).calls
    assert call.op.blocks.repeated == [1]
    (call,) = same_bits(relu_gradient, x.reshape(-1, 16), x.reshape(-1, 16)).calls
    assert not call.op.blocks


def test_small_groups_stay_apart_where_nothing_is_compiled():
    trace, _ = traced(adam, *[zeros(300_000)] * 4, zeros())
    assert len(fuse(trace, compiled=False).calls) == 1
    trace, _ = traced(adam, *[zeros(40)] * 4, zeros())
    assert len(fuse(trace, compiled=False).calls) == len(trace.calls) > 1


@pytest.mark.parametrize("size", [40, 300_000])
def test_results_may_take_the_place_of_inputs(size):
    x = np.random.default_rng(0).random((4, size), "float32")
    trace, values = traced(adam, *x, np.float32(0.01))
    expected = run(trace, values)
    (call,) = fuse(trace).calls
    inputs = [np.array(values[i]) for i in call.inputs]
    places = dict(zip(trace.results, (inputs[call.inputs.index(trace.arguments[i])] for i in (0, 2, 3)), strict=True))
    call.op.kernel(module_namespace(), *inputs, out=tuple(places[i] for i in call.outputs))
    for i, y in places.items():
        assert_array_equal(y, expected[i])


def module_namespace():
    from kerasish.backend.arrays import active

    return active.xp


def test_long_traces_are_cut_into_windows(monkeypatch):
    monkeypatch.setattr(module, "_WINDOW", 5)

    def function(x):
        for _ in range(12):
            x = ops.tanh(x) + 0.5
        return x

    assert len(same_bits(function, np.ones((3, 4), "float32")).calls) == 5


def test_axes():
    axes, masks = axes_of([(4, 8, 8, 16), (1, 1, 1, 16), (4, 1, 1, 16), (4, 8, 8, 1), (1, 1, 1, 1)])
    assert axes == (4, 64, 16)
    assert masks == [(True, True, True), (False, False, True), (True, False, True), (True, True, False), (False, False, False)]
    assert axes_of([(1, 1), (1, 1)]) == ((), [(), ()])
