"""Eager calls on large arrays run on compiled kernels, and give what NumPy's kernels give."""

import threading

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from kerasish import grad, ops
from kerasish.backend import eager
from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.autodiff.tensor import Tensor


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(eager, "_kinds", eager._kinds.__class__())
    monkeypatch.setattr(eager, "_LEAST", 1000)
    monkeypatch.setattr(eager, "_LEAST_CHEAP", 1000)
    monkeypatch.setattr(eager, "_least", {})


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def replays():
    return [known for known in eager._kinds.values() if type(known) is eager._Replay]


def thrice(f, *arrays):
    """The results of the first call, which NumPy computes, and of the last."""
    tensors = [Tensor(x) for x in arrays]
    results = [f(*tensors) for _ in range(4)]
    assert replays()
    return results[0], results[-1]


CASES = {
    "add": (ops.add, [(50, 60), (60,)]),
    "arithmetic": (lambda x, y: ops.sqrt(ops.abs(x * y - x)) / (1.0 + ops.square(y)), [(50, 60), (50, 60)]),
    "choices": (lambda x, y: ops.where(x > y, ops.maximum(x, 0.5), ops.clip(y, -1.0, 1.0)), [(50, 60), (60,)]),
    "largest": (lambda x: ops.max(x, axis=0) + ops.cast(ops.argmax(x, axis=0), "float32"), [(50, 60)]),
    "moved": (lambda x: ops.concatenate([ops.transpose(x), ops.flip(x.T, 0), ops.repeat(x.T, 2, 1)], 1), [(50, 60)]),
    "taken": (lambda x: ops.take(x, ops.argmin(x, axis=1), axis=0), [(60, 60)]),
    "padded": (lambda x: ops.pad(x, [[1, 2], [3, 0]]), [(50, 60)]),
    "pooled": (lambda x: ops.max_pool(x, 2), [(2, 9, 9, 8)]),
    "top_k": (lambda x: ops.top_k(x, 3)[1], [(50, 60)]),
    "searched": (lambda x, y: ops.searchsorted(ops.sort(x), y), [(2000,), (3000,)]),
    "gradient": (lambda x: grad(lambda x: ops.sum(ops.relu(x) * x))(x), [(50, 60)]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_bits_as_numpy(name):
    f, shapes = CASES[name]
    first, last = thrice(f, *[numbers(*shape, seed=i) for i, shape in enumerate(shapes)])
    assert first.dtype == last.dtype and first.shape == last.shape
    np.testing.assert_array_equal(last.value, first.value)


@pytest.mark.parametrize("f", [ops.tanh, ops.exp, ops.softmax, lambda x: ops.sum(x, axis=0), lambda x: ops.matmul(x, x.T)])
def test_what_rounds_in_its_own_way_stays_with_numpy(f):
    x = Tensor(numbers(50, 60))
    for _ in range(4):
        f(x)
    assert not replays()


def test_results_are_not_overwritten_by_later_calls():
    x = Tensor(numbers(300, 300))
    results = [ops.square(x * i) for i in range(6)]
    assert replays()
    for i, y in enumerate(results):
        np.testing.assert_array_equal(y.value, np.square(x.value * np.float32(i)))


def test_errors_are_those_of_numpy():
    table = Tensor(numbers(100, 30))
    for _ in range(4):
        ops.take(table, np.zeros(2000, "int32"), axis=0)
    with pytest.raises(IndexError):
        ops.take(table, np.full(2000, 100, "int32"), axis=0)


def test_strings_views_and_rare_calls_stay_where_they_were():
    x = Tensor(numbers(50, 60))
    assert np.shares_memory(ops.transpose(x).value, x.value)
    ops.square(x)
    ops.cast(Tensor(np.full(2000, 3, "int32")), "string")
    assert not replays()


def test_plans_hold_no_more_than_they_may(monkeypatch):
    monkeypatch.setattr(eager, "_MOST_BYTES", 1 << 14)
    monkeypatch.setattr(eager, "_MOST", 8)
    for n in range(40, 60):
        x = Tensor(numbers(n, 60))
        for _ in range(4):
            ops.square(x)
    assert len(eager._kinds) <= 8


def test_from_several_threads():
    xs = [Tensor(numbers(200, 300, seed=i)) for i in range(4)]
    wrong = []

    def work(x):
        want = np.square(x.value)
        for _ in range(50):
            if not np.array_equal(ops.square(x).value, want):
                wrong.append(1)

    threads = [threading.Thread(target=work, args=(x,)) for x in xs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_memory_that_nobody_refers_to_is_used_again():
    xp = NumpyArrays()
    first = xp.memory(1 << 20)
    where = first.ctypes.data
    second = xp.memory(1 << 20)
    assert second.ctypes.data != where
    view = first.view("float32")[5:]
    del first
    assert xp.memory(1 << 20).ctypes.data != where
    del view
    assert where in [xp.memory(1 << 20).ctypes.data for _ in range(40)]
