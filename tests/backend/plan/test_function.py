"""Recorded functions do what the same code does eagerly; each trap has a test."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import kerasish as keras
from kerasish import Variable, ops


def test_values_and_structures_come_out_as_they_would_eagerly():
    @keras.function
    def f(x, more):
        return {"sum": x + more["y"], "same": x, "constant": ops.ones((2,)), "text": "kept", "none": None}

    for _ in range(2):
        out = f(np.ones((2,), "float32"), {"y": ops.ones((2,)) * 3.0})
        assert out["sum"].numpy().tolist() == [4.0, 4.0]
        assert out["same"].numpy().tolist() == [1.0, 1.0]
        assert out["constant"].numpy().tolist() == [1.0, 1.0]
        assert out["text"] == "kept" and out["none"] is None
    assert len(f.plans) == 1


def test_each_shape_and_dtype_has_its_own_plan():
    f = keras.function(lambda x: x * 2)
    for x in (np.ones(2, "float32"), np.ones(3, "float32"), np.ones(2, "int32"), np.ones(2, "float32")):
        y = f(x)
        assert y.shape == x.shape and y.dtype == x.dtype.name
    assert len(f.plans) == 3


def test_python_values_are_part_of_what_a_recording_is_for():
    f = keras.function(lambda x, n: x * n)
    assert float(f(ops.ones(()), 2.0)) == 2.0
    assert float(f(ops.ones(()), 3.0)) == 3.0  # not 2: a number is no tensor


def test_variables_are_read_and_written_at_every_call():
    v = Variable(1.0)

    @keras.function
    def f(x):
        v.assign_add(x)
        return v * 10.0

    assert float(f(ops.ones(()))) == 20.0
    assert float(f(ops.ones(()))) == 30.0
    v.assign(5.0)  # from outside, between the calls
    assert float(f(ops.ones(()))) == 60.0
    assert float(v) == 6.0


def test_a_function_sees_its_own_writes_in_their_order():
    v = Variable([1.0, 2.0])

    @keras.function
    def f():
        before = v.value
        v.assign(v * 2.0)
        between = v.value
        v.assign(between + before)
        return before, between

    before, between = f()
    assert (before.tolist(), between.tolist(), v.numpy().tolist()) == ([1.0, 2.0], [2.0, 4.0], [3.0, 6.0])
    before, between = f()
    assert (before.tolist(), between.tolist(), v.numpy().tolist()) == ([3.0, 6.0], [6.0, 12.0], [9.0, 18.0])


def test_variables_can_swap_their_values():
    a, b = Variable([1.0]), Variable([2.0])

    @keras.function
    def swap():
        first = a.value
        a.assign(b.value)
        b.assign(first)

    swap()
    assert (float(a[0]), float(b[0])) == (2.0, 1.0)
    swap()
    assert (float(a[0]), float(b[0])) == (1.0, 2.0)


def test_what_was_read_before_a_call_stays_as_it_was():
    v = Variable(np.ones(1000, "float32"))
    step = keras.function(lambda: v.assign_add(ops.ones(1000)))
    step()
    tensor, array, view = v.value, np.asarray(v), np.asarray(v.value)[:3]
    step()
    assert tensor.numpy()[0] == array[0] == view[0] == 2.0
    assert v.numpy()[0] == 3.0


def test_results_are_not_overwritten_by_the_next_call():
    f = keras.function(lambda x: x + 1.0)
    first = f(np.zeros(3, "float32"))
    f(np.ones(3, "float32"))
    assert first.tolist() == [1.0, 1.0, 1.0]


def test_arguments_are_not_changed_and_may_have_any_layout():
    x = np.arange(12, dtype="float32").reshape(3, 4)
    f = keras.function(lambda x: ops.relu(x - 5.0) @ ops.transpose(x))
    for given in (x, x.T, x[::-1], x[:, ::2], np.asfortranarray(x)):
        before = given.copy()
        np.testing.assert_allclose(f(given).numpy(), np.maximum(given - 5, 0) @ given.T)
        np.testing.assert_array_equal(given, before)


def test_random_numbers_are_drawn_anew_and_as_eagerly():
    seeds = keras.random.SeedGenerator(3), keras.random.SeedGenerator(3)
    f = keras.function(lambda: keras.random.uniform((4,), seed=seeds[0]))
    drawn = [f().tolist() for _ in range(3)]
    assert drawn == [keras.random.uniform((4,), seed=seeds[1]).tolist() for _ in range(3)]
    assert drawn[0] != drawn[1]


def test_wanting_a_value_runs_eagerly_and_says_which_line():
    def f(x):
        if float(x) > 0:  # the line
            return x * 2.0
        return -x

    f = keras.function(f)
    with pytest.warns(UserWarning, match=r"runs eagerly.*test_function.py:\d+: \"if float\(x\) > 0:"):
        assert float(f(ops.ones(()))) == 2.0
    assert float(f(-ops.ones(()))) == 1.0  # no frozen branch, no second warning


def test_shapes_that_depend_on_values_run_eagerly():
    f = keras.function(lambda x: ops.nonzero(x)[0])
    with pytest.warns(UserWarning, match="depends on a value"):
        assert f(np.array([0, 1, 1])).tolist() == [1, 2]
    assert f(np.array([0, 0, 1])).tolist() == [2]


def test_an_error_is_the_users_and_leaves_everything_as_it_was():
    v = Variable([1.0, 2.0])

    @keras.function
    def f(x):
        v.assign(v + 1.0)
        return v @ x

    with pytest.raises(ValueError):
        f(np.ones((3, 3), "float32"))
    assert v.numpy().tolist() == [1.0, 2.0]
    assert f(np.ones((2, 2), "float32")).tolist() == [5.0, 5.0]


def test_inside_a_tape_calls_join_the_others():
    v = Variable(3.0)
    f = keras.function(lambda x: x * v)
    assert float(f(ops.ones(()))) == 3.0
    with keras.GradientTape() as tape:
        y = f(f(ops.ones(())))
    assert float(tape.gradient(y, v)) == 6.0


def test_functions_nest():
    inner = keras.function(lambda x: x + 1.0)
    outer = keras.function(lambda x: inner(x) * inner(x))
    assert float(outer(ops.ones(()))) == 4.0
    assert float(outer(ops.ones(()) * 2.0)) == 9.0
    assert not inner.plans  # it was recorded with the other


def test_gradients_are_recorded():
    w = Variable([1.0, 2.0])

    @keras.function
    def step(x):
        loss = ops.sum((w * x) ** 2)
        loss.backward()
        gradient, w.grad = w.grad, None
        w.assign_sub(0.1 * gradient)
        return loss

    expected = np.array([1.0, 2.0], "float32")
    for _ in range(3):
        step(np.ones(2, "float32"))
        expected -= 0.2 * expected
    np.testing.assert_allclose(w.numpy(), expected, rtol=1e-6)


def test_gradients_that_add_up_over_steps_are_not_lost():
    w = Variable([1.0])

    @keras.function
    def step():
        ops.sum(w * 2.0).backward()

    with pytest.warns(UserWarning, match="would keep a gradient"):
        step()
    step()
    assert w.grad.tolist() == [4.0]


def test_a_variable_made_on_the_first_call_keeps_its_value():
    made = []

    @keras.function
    def f(x):
        if not made:
            made.append(Variable(1.0))
        made[0].assign_add(x)
        return made[0].value

    assert [float(f(ops.ones(()))) for _ in range(3)] == [2.0, 3.0, 4.0]


def test_changed_settings_are_seen():
    f = keras.function(lambda x: x * keras.config.epsilon())
    before = keras.config.epsilon()
    try:
        f(ops.ones(()))
        keras.config.set_epsilon(0.5)
        assert float(f(ops.ones(()))) == 0.5
    finally:
        keras.config.set_epsilon(before)


def test_trainable_flags_are_seen():
    v = Variable(2.0)

    @keras.function
    def f(x):
        y = x * v
        return y.requires_grad

    assert f(ops.ones(())) is True
    v.trainable = False
    assert f(ops.ones(())) is False


def test_several_threads_may_call_at_once():
    v = Variable(np.zeros(500, "float32"))
    f = keras.function(lambda x: v.assign_add(x))
    f(np.ones(500, "float32"))
    threads = [threading.Thread(target=lambda: [f(np.ones(500, "float32")) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert v.numpy().tolist() == [201.0] * 500


def test_different_functions_in_different_threads():
    def work(n, out):
        f = keras.function(lambda x: ops.sum(ops.tanh(x) * n))
        out[n] = [float(f(np.full(1000, 0.1 * i, "float32"))) for i in range(20)]

    out: dict = {}
    threads = [threading.Thread(target=work, args=(n, out)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(1, 5):
        np.testing.assert_allclose(out[n], [1000 * n * np.tanh(0.1 * i) for i in range(20)], rtol=1e-4, atol=1e-5)


def test_too_many_shapes_are_told_once():
    f = keras.function(lambda x: x + 1.0)
    with pytest.warns(UserWarning, match="recorded 64 times"):
        for n in range(70):
            f(np.zeros(n + 1, "float32"))
    assert len(f.plans) == 16


def test_zero_sizes_and_scalars():
    f = keras.function(lambda x: (ops.sum(x), x * 2.0))
    for shape in ((0,), (0, 3), (), (1,)):
        total, twice = f(np.ones(shape, "float32"))
        assert float(total) == np.ones(shape).sum() and twice.shape == shape


def test_unusual_dtypes():
    f = keras.function(lambda x: (x + x, ops.cast(x, "float32") * 0.5))
    for dtype in ("bool", "uint8", "int8", "int64", "float16", "bfloat16", "float64", "complex64"):
        x = ops.ones((3,), dtype="float32").numpy().astype(dtype) if dtype != "bfloat16" else ops.ones((3,), dtype="bfloat16")
        eager = f.f(ops.convert_to_tensor(x))
        for mine, theirs in zip(f(x), eager, strict=True):
            assert mine.dtype == theirs.dtype and np.array_equal(mine.numpy(), theirs.numpy())


def test_old_values_kept_in_other_variables_stay_old():
    w, before, part = Variable([1.0, 2.0]), Variable([0.0, 0.0]), Variable([[0.0, 0.0]])

    @keras.function
    def f():
        before.assign(w.value)
        part.assign(ops.reshape(w.value, (1, 2)))
        w.assign(w * 2.0 + 1.0)

    f()
    f()
    assert (w.numpy().tolist(), before.numpy().tolist(), part.numpy().tolist()) == ([7.0, 11.0], [3.0, 5.0], [[3.0, 5.0]])


def test_a_shift_register():
    a, b, c = Variable([1.0]), Variable([1.0]), Variable([2.0])

    @keras.function
    def f():
        total = a + b + c
        a.assign(b.value)
        b.assign(c.value)
        c.assign(total)

    for _ in range(3):
        f()
    assert [float(v[0]) for v in (a, b, c)] == [4.0, 7.0, 13.0]


def test_a_variable_that_is_a_view_of_another_is_changed_alone():
    a, b = Variable(np.ones((4, 3), "float32")), Variable(np.zeros((2, 3), "float32"))
    given = np.zeros((2, 3), "float32")
    c = Variable(np.zeros(6, "float32"))
    b.assign(a[:2])
    c.assign(ops.reshape(ops.convert_to_tensor(given), (6,)))
    f = keras.function(lambda: (b.assign_add(np.ones((2, 3), "float32")), c.assign_add(np.ones(6, "float32")))[0])
    f()
    f()
    assert a.numpy().sum() == 12.0 and given.sum() == 0.0
    assert b.numpy().sum() == 18.0 and c.numpy().sum() == 12.0


def test_views_of_arguments_are_not_written_to_by_the_next_call():
    w = Variable(np.ones((4, 2), "float32"))

    @keras.function
    def f(x):
        r = ops.reshape(x, (6, 4))
        return ops.sum(ops.sort(r, axis=0)), ops.matmul(r, w)

    xs = [np.full((2, 3, 4), float(i), "float32") for i in range(3)]
    for x in xs:
        f(x)
    assert [x.mean() for x in xs] == [0.0, 1.0, 2.0]


def test_an_error_in_the_middle_leaves_nothing_behind():
    table = Variable(np.ones((3, 2), "float32"))

    @keras.function
    def f(x, i):
        r = ops.reshape(x, (2, 3))
        return ops.sum(ops.sort(r)), ops.take(table, i, axis=0), ops.sum(ops.sort(r, axis=0))

    xs = [np.full((3, 2), float(i), "float32") for i in range(3)]
    with pytest.raises(IndexError):
        f(xs[0], np.array([7]))
    f(xs[1], np.array([0]))
    f(xs[2], np.array([1]))
    assert [x.mean() for x in xs] == [0.0, 1.0, 2.0]


def test_numbers_in_the_other_order_of_bytes():
    f = keras.function(lambda x: ops.tanh(x) * 2.0)
    np.testing.assert_allclose(f(np.ones(300, ">f4")).numpy(), 2 * np.tanh(1.0), rtol=1e-6)
    v = Variable(np.ones(300, ">f4"))
    np.testing.assert_allclose(keras.function(lambda: ops.tanh(v) * 2.0)().numpy(), 2 * np.tanh(1.0), rtol=1e-6)


def test_kinds_of_numbers_are_told_apart():
    f = keras.function(lambda x, n: x * n)
    x = np.array([2], "int32")
    assert f(x, 2).dtype == "int32" and f(x, 2.0).dtype == "float32" and f(x, True).dtype == "int32"
    g = keras.function(lambda x, n: x / n)
    assert (float(g(ops.ones(()), 0.0)), float(g(ops.ones(()), -0.0))) == (np.inf, -np.inf)


def test_gradients_through_a_function_are_right_or_refused():
    w = Variable(2.0)
    f = keras.function(lambda x: x * 3.0)
    f(ops.ones(()))
    y = f(w * 1.0) + w
    y.backward()
    assert float(w.grad) == 4.0
    closed = keras.function(lambda x: x * w)
    y = closed(ops.ones(()))
    with pytest.raises(ValueError, match="don't go back through a recorded function"):
        y.backward()


def test_gradients_from_before_are_added_to():
    w = Variable(2.0)

    @keras.function
    def step():
        (w * 3.0).backward()
        gradient, w.grad = w.grad, None
        return gradient

    assert float(step()) == 3.0
    (w * 10.0).backward()
    assert float(step()) == 13.0
    assert float(step()) == 3.0


def test_reading_a_variable_leaves_its_gradient_alone():
    w = Variable(2.0)
    f = keras.function(lambda: w * 5.0)
    f()
    w.assign(w * 2.0)
    y = w * w
    f()
    y.backward()
    f()
    assert float(w.grad) == 8.0


def test_masks_come_and_go():
    embed = keras.layers.Embedding(5, 3, mask_zero=True)
    lstm = keras.layers.LSTM(4)
    ids = np.array([[1, 2, 0, 0]])
    f = keras.function(lambda ids: embed(ids))
    for _ in range(2):
        h = f(ids)
        assert h._keras_mask.tolist() == [[True, True, False, False]]
    np.testing.assert_allclose(keras.function(lambda h: lstm(h))(h).numpy(), lstm(h).numpy(), rtol=1e-5, atol=1e-6)


def test_training_of_an_outer_call_is_seen():
    class Inner(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dropout = keras.layers.Dropout(0.5, seed=1)
            self.f = keras.function(lambda x: self.dropout(x))

        def call(self, x):
            return self.f(x)

    layer, x = Inner(), np.ones((1, 100), "float32")
    assert (layer(x, training=True).numpy() == 0).any()
    assert (layer(x, training=False).numpy() == 1).all()


def test_a_new_global_seed_is_seen():
    f = keras.function(lambda: keras.random.uniform((2,)))
    keras.utils.set_random_seed(1)
    first = f().tolist()
    keras.utils.set_random_seed(1)
    assert f().tolist() == first


def test_a_variable_of_a_recorded_value_runs_eagerly():
    made = []

    def f(x):
        made.append(Variable(x * 2.0))
        return made[-1].value

    f = keras.function(f)
    with pytest.warns(UserWarning, match="runs eagerly"):
        assert f(ops.ones((2,))).tolist() == [2.0, 2.0]


def test_parts_of_complex_numbers_stay_as_they_were():
    z = np.array([1 + 2j, 3 + 4j], "complex64")
    w = Variable(z)

    @keras.function
    def f():
        i = ops.imag(w.value)
        w.assign(w * 10.0)
        return ops.sort(i)

    assert f().tolist() == [2.0, 4.0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_records_though_another_thread_was_recording():
    code = """
import os, threading, numpy as np, kerasish as keras
f = keras.function(lambda x: keras.ops.tanh(x))
inside, leave = threading.Event(), threading.Event()
def hold():
    with f._lock:
        inside.set()
        leave.wait()
thread = threading.Thread(target=hold)
thread.start()
inside.wait()
pid = os.fork()
if pid == 0:
    f(np.ones(3, "float32"))
    os._exit(0)
_, status = os.waitpid(pid, 0)
leave.set()
raise SystemExit(os.waitstatus_to_exitcode(status))
"""
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=60, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_large_results_have_memory_of_their_own():
    f = keras.function(lambda x: (ops.exp(x), ops.sum(x, axis=0), ops.exp(x).T, x))
    x = ops.array(np.linspace(-1, 1, 40_000, dtype="float32").reshape(200, 200))
    first, second = f(x), f(x)
    for a, b, want in zip(first, second, (np.exp(x.value), x.value.sum(0), np.exp(x.value).T, x.value), strict=True):
        assert not np.shares_memory(a.value, b.value)
        np.testing.assert_allclose(a.value, want, rtol=1e-5, atol=1e-4)
    assert not np.shares_memory(first[3].value, x.value)


def test_results_in_another_shape_are_arrays_of_their_own():
    state = Variable(np.zeros((200, 100), "float32"))

    @keras.function
    def f(x):
        state.assign_add(ops.reshape(x, (200, 100)))
        y = x * 2.0
        return ops.reshape(y, (100, 200)), y, ops.reshape(ops.reshape(x + 1.0, (10, 2000)), (-1,)), ops.expand_dims(x, 0), ops.reshape(state.value, (-1,))

    results = []
    for i in range(3):
        x = np.full((20_000,), float(i), "float32")
        results.append((x, f(x)))
    total = 0.0
    for x, found in results:  # what was returned first is still what it was
        total += x[0]
        for y, shape, value in zip(found, [(100, 200), (20_000,), (20_000,), (1, 20_000), (20_000,)], [2 * x[0], 2 * x[0], x[0] + 1, x[0], total], strict=True):
            assert y.shape == y.numpy().shape == shape
            assert np.all(y.numpy() == value)
