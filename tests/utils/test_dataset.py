"""Dataset: what its methods give, that iterations are fresh and seeded, and that threads end with them."""

import gc
import threading
import time

import numpy as np
import pytest

import kerasish as keras
from kerasish import ops
from kerasish.utils import AUTOTUNE, Dataset
from kerasish.utils.dataset import ObjectTensor, TensorSpec


def numbers(n):
    return Dataset.range(n)


def values(dataset):
    return [x.tolist() if isinstance(x, np.ndarray) else x for x in dataset.as_numpy_iterator()]


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("kerasish-")]


@pytest.fixture(autouse=True)
def no_threads_left():
    yield
    if threads():  # of an iterator that nobody has anymore
        gc.collect()
    assert threads() == []


CASES = {
    "range": (lambda: numbers(3), [0, 1, 2], 3),
    "range with steps": (lambda: Dataset.range(5, 1, -2), [5, 3], 2),
    "slices": (lambda: Dataset.from_tensor_slices([[1, 2], [3, 4]]), [[1, 2], [3, 4]], 2),
    "tensors": (lambda: Dataset.from_tensors([[1, 2], [3, 4]]), [[[1, 2], [3, 4]]], 1),
    "map": (lambda: numbers(3).map(lambda x: x * 2), [0, 2, 4], 3),
    "map in threads": (lambda: numbers(50).map(lambda x: x * 2, num_parallel_calls=3), list(range(0, 100, 2)), 50),
    "map to a pair": (lambda: numbers(2).map(lambda x: (x, {"a": x + 1})), [(0, {"a": 1}), (1, {"a": 2})], 2),
    "map of a pair": (lambda: Dataset.from_tensor_slices(([1, 2], [3, 4])).map(lambda x, y: x + y), [4, 6], 2),
    "map of a dict": (lambda: Dataset.from_tensor_slices({"a": [1, 2]}).map(lambda d: d["a"]), [1, 2], 2),
    "map of a pair in a tuple": (lambda: Dataset.zip((numbers(2), numbers(2))).map(lambda x, y: {"s": x + y}), [{"s": 0}, {"s": 2}], 2),
    "filter": (lambda: numbers(5).filter(lambda x: x % 2 == 0), [0, 2, 4], -2),
    "enumerate": (lambda: Dataset.from_tensor_slices([7, 8]).enumerate(5), [(5, 7), (6, 8)], 2),
    "batch": (lambda: numbers(5).batch(2), [[0, 1], [2, 3], [4]], 3),
    "batch in threads": (lambda: numbers(5).batch(2, num_parallel_calls=AUTOTUNE), [[0, 1], [2, 3], [4]], 3),
    "whole batches": (lambda: numbers(5).batch(2, drop_remainder=True), [[0, 1], [2, 3]], 2),
    "batch of batches": (lambda: numbers(4).batch(2).batch(2), [[[0, 1], [2, 3]]], 1),
    "padded": (lambda: numbers(3).map(lambda n: np.ones(int(n))).padded_batch(2), [[[0], [1]], [[1, 1]]], 2),
    "unbatch": (lambda: numbers(5).batch(2).unbatch(), [0, 1, 2, 3, 4], -2),
    "unbatch pairs": (lambda: Dataset.from_tensors(([1, 2], [3, 4])).unbatch(), [(1, 3), (2, 4)], -2),
    "take": (lambda: numbers(5).take(2), [0, 1], 2),
    "take more": (lambda: numbers(2).take(5), [0, 1], 2),
    "take all": (lambda: numbers(2).take(-1), [0, 1], 2),
    "skip": (lambda: numbers(5).skip(3), [3, 4], 2),
    "skip more": (lambda: numbers(2).skip(3), [], 0),
    "skip all": (lambda: numbers(2).skip(-1), [], 0),
    "repeat": (lambda: numbers(2).repeat(2), [0, 1, 0, 1], 4),
    "repeat for ever": (lambda: numbers(2).repeat().take(5), [0, 1, 0, 1, 0], 5),
    "repeat nothing": (lambda: numbers(0).repeat(), [], 0),
    "concatenate": (lambda: numbers(2).concatenate(numbers(1)), [0, 1, 0], 3),
    "zip": (lambda: Dataset.zip(numbers(2), numbers(3)), [(0, 0), (1, 1)], 2),
    "zip of a dict": (lambda: Dataset.zip({"a": numbers(2), "b": (numbers(2),)}), [{"a": 0, "b": (0,)}, {"a": 1, "b": (1,)}], 2),
    "zip with endless": (lambda: Dataset.zip(numbers(2).repeat(), numbers(3)), [(0, 0), (1, 1), (0, 2)], 3),
    "cache": (lambda: numbers(3).cache(), [0, 1, 2], 3),
    "prefetch": (lambda: numbers(3).prefetch(1), [0, 1, 2], 3),
    "prefetch nothing": (lambda: numbers(3).prefetch(0), [0, 1, 2], 3),
    "all": (lambda: numbers(20).shuffle(1).map(lambda x: x + 1, AUTOTUNE).batch(8).cache().prefetch(AUTOTUNE).take(1), [list(range(1, 9))], 1),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_elements_and_cardinality(name):
    make, wanted, count = CASES[name]
    data = make()
    assert int(data.cardinality()) == data.cardinality().numpy() == count
    for _ in range(3):  # again and again
        assert values(data) == wanted
    if count >= 0:
        assert len(data) == count


def test_lengths_that_are_none():
    for data, message in ((numbers(2).repeat(), "no end"), (numbers(2).filter(bool), "unknown length")):
        with pytest.raises(TypeError, match=message):
            len(data)
        assert data  # though it has no length
    assert values(numbers(3).filter(lambda x: x > 0)) == [1, 2]
    assert int(numbers(2).repeat().batch(2).cardinality()) == -1


# ---- what users see
def test_elements_are_tensors():
    (x, y), _ = Dataset.from_tensor_slices((np.ones((2, 3), "float32"), ["a", "b"]))
    assert isinstance(x, keras.Tensor)
    assert x.numpy().dtype == "float32"
    assert isinstance(y, ObjectTensor)
    assert y.numpy() == "a"
    assert ops.sum(x) == 3


@pytest.mark.parametrize("given", [["a", "béb"], np.array(["a", "béb"]), np.array(["a", "béb"], object), [b"a", "béb".encode()]])
def test_texts_in_any_form(given):
    (batch,) = Dataset.from_tensor_slices(given).batch(2)
    assert batch.numpy().tolist() == ["a", "béb"]
    assert [text.numpy() for text in batch] == [str(text) for text in batch] == ["a", "béb"]
    assert (batch.shape, batch.ndim, batch.dtype, len(batch), batch[1:].tolist()) == ((2,), 1, "string", 2, ["béb"])
    assert np.asarray(batch).tolist() == ["a", "béb"]
    assert repr(batch[0]) == "ObjectTensor(array('a', dtype=object))"
    assert Dataset.from_tensor_slices(given).element_spec == TensorSpec((), "string")


def test_element_spec():
    data = Dataset.from_tensor_slices({"a": np.ones((4, 3), "float32"), "b": np.arange(4)})
    assert data.element_spec == {"a": TensorSpec((3,), "float32"), "b": TensorSpec((), "int64")}
    assert data.batch(2).element_spec["a"] == TensorSpec((None, 3), "float32")
    assert data.batch(2, drop_remainder=True).element_spec["a"] == TensorSpec((2, 3), "float32")
    assert data.padded_batch(2).take(1).element_spec["a"] == TensorSpec((None, None), "float32")
    with pytest.raises(ValueError, match="empty"):
        _ = numbers(0).element_spec


def test_reduce():
    assert int(numbers(5).reduce(0, lambda total, x: total + x)) == 10


def test_layers_are_built_once_before_threads_start():
    dense = keras.layers.Dense(2)
    data = Dataset.from_tensor_slices(np.ones((40, 3), "float32")).batch(2).map(dense, num_parallel_calls=4)
    found = [x.numpy() for x in data]
    assert len(found) == 20
    assert len(dense.weights) == 2
    assert all((x == found[0]).all() for x in found)
    assert not next(iter(data)).requires_grad


# ---- orders
def test_shuffle():
    data = numbers(30).shuffle(10, seed=4)
    first, second = values(data), values(data)
    assert sorted(first) == sorted(second) == list(range(30))
    assert first != second
    assert first[0] < 10
    assert (first, second) == tuple(values(again) for again in [numbers(30).shuffle(10, seed=4)] for _ in range(2))
    assert values(numbers(30).shuffle(10, seed=5)) != first
    fixed = numbers(30).shuffle(100, seed=4, reshuffle_each_iteration=False)
    assert values(fixed) == values(fixed) != list(range(30))
    assert values(numbers(3).shuffle(numbers(3).cardinality(), seed=1).repeat(2)) not in ([0, 1, 2] * 2,)


def test_shuffle_is_uniform():
    counts = np.zeros((3, 3))
    data = numbers(3).shuffle(3, seed=0)
    for _ in range(300):
        for place, value in enumerate(values(data)):
            counts[place, value] += 1
    assert abs(counts / 300 - 1 / 3).max() < 0.1


def test_global_seed_fixes_shuffles_without_one():
    keras.utils.set_random_seed(3)
    first = values(numbers(20).shuffle(20))
    assert first != values(numbers(20).shuffle(20))
    keras.utils.set_random_seed(3)
    assert first == values(numbers(20).shuffle(20))


# ---- when things are made
def test_cache_makes_elements_once_and_keeps_no_half_pass():
    made = []
    data = numbers(4).map(lambda x: made.append(int(x)) or x).cache()
    assert values(data.take(2)) == [0, 1]
    assert values(data) == values(data) == [0, 1, 2, 3]
    assert made == [0, 1, 0, 1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        next(iter(data.batch(2).cache())).numpy()[0] = 5


def test_nothing_is_made_before_it_is_asked_for():
    made = []
    iterator = iter(numbers(100).map(lambda x: made.append(int(x)) or x))
    next(iterator)
    assert made == [0]


@pytest.mark.parametrize(
    ("data", "most"),
    [
        (lambda f: numbers(1000).map(f, num_parallel_calls=2), 2 + 4 + 1),
        (lambda f: numbers(1000).map(f).prefetch(3), 1 + 3 + 1),
        (lambda f: numbers(1000).map(f, 2).batch(2).prefetch(1), 2 * 3 + 7),
    ],
)
def test_work_ahead_is_bounded_and_ends_with_the_iterator(data, most):
    made = []
    iterator = iter(data(lambda x: made.append(int(x)) or x))
    next(iterator)
    deadline = time.monotonic() + 60
    while len(made) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert 1 < len(made) <= most
    iterator.close()
    assert threads() == []
    after = len(made)
    time.sleep(0.02)
    assert len(made) == after


@pytest.mark.parametrize("through", [lambda d: d, lambda d: d.prefetch(2), lambda d: d.batch(2).prefetch(2), lambda d: d.cache().shuffle(3)])
@pytest.mark.parametrize("workers", [None, 3])
def test_errors_reach_whoever_iterates(through, workers):
    def fail(x):
        if x == 5:
            raise KeyError("five")
        return x

    data = through(numbers(20).map(fail, num_parallel_calls=workers))
    for _ in range(2):
        with pytest.raises(KeyError, match="five"):
            list(data)
        assert threads() == []


@pytest.mark.parametrize("method", ["map", "filter"])
def test_an_iterator_that_ends_in_a_function_does_not_end_the_data(method):
    empty = iter(())
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        list(getattr(numbers(5), method)(lambda x: next(empty)))


def test_a_list_that_a_function_returns_is_several_parts():
    assert values(numbers(2).map(lambda x: [x, x + 1])) == [(0, 1), (1, 2)]


def test_abandoned_iterators_end_their_threads():
    for _ in range(3):
        next(iter(numbers(100).map(lambda x: x, 2).prefetch(2)))
    gc.collect()
    assert threads() == []


def test_threads_work_at_the_same_time():
    barrier = threading.Barrier(3, timeout=60)  # breaks unless three calls are under way at once

    def meet(x):
        if x > 0:  # the first is called alone
            barrier.wait()
        return x

    assert values(numbers(7).map(meet, num_parallel_calls=3)) == list(range(7))


def test_prefetch_works_while_the_last_element_is_worked_on():
    made = threading.Event()
    data = numbers(2).map(lambda x: made.set() or x if x == 1 else x).prefetch(1)
    for x in data:
        assert made.wait(60)
        assert x >= 0


# ---- training
def test_fit_evaluate_predict():
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    y = x.sum(1, keepdims=True)
    data = Dataset.from_tensor_slices((x, y)).shuffle(32, seed=1).batch(8).prefetch(2)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(data, epochs=4, validation_data=data, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert model.fit(data.repeat(), epochs=2, steps_per_epoch=3, verbose=0).epoch == [0, 1]
    assert model.evaluate(data, verbose=0) < history["loss"][0]
    np.testing.assert_allclose(
        model.predict(Dataset.from_tensor_slices(x).batch(10), verbose=0), model.predict(x, verbose=0), rtol=1e-4, atol=1e-5
    )


def test_dicts_of_inputs():
    data = Dataset.from_tensor_slices(({"a": np.ones((6, 2)), "b": np.ones((6, 1))}, np.ones((6, 1)))).batch(4)
    a, b = keras.Input((2,), name="a"), keras.Input((1,), name="b")
    model = keras.Model({"a": a, "b": b}, keras.layers.Dense(1)(keras.layers.concatenate([a, b])))
    model.compile("sgd", "mse")
    assert len(model.fit(data, verbose=0).history["loss"]) == 1


# ---- what is wrong
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Dataset.from_tensor_slices(([1, 2], [1])), ValueError, r"\(2,\), \(1,\)"),
        (lambda: Dataset.from_tensor_slices(3), ValueError, "first axis"),
        (lambda: Dataset.zip([1, 2]), TypeError, "expects data sets"),
        (lambda: numbers(3).concatenate([1]), TypeError, r"expects a data set. Received: \[1\]"),
        (lambda: list(numbers(3).unbatch()), ValueError, "first axis"),
        (lambda: list(Dataset.from_tensors((np.ones(3), np.ones(2))).unbatch()), ValueError, r"\(3,\), \(2,\)"),
        (lambda: numbers(3).batch(0), ValueError, "batch_size=0"),
        (lambda: numbers(3).shuffle(0), ValueError, "buffer_size=0"),
        (lambda: numbers(3).prefetch(-2), ValueError, "must not be negative"),
        (lambda: numbers(3).map(len, num_parallel_calls=0), ValueError, "num_parallel_calls=0"),
        (lambda: list(numbers(3).map(lambda n: np.ones(int(n))).batch(2)), ValueError, "different shapes"),
        (lambda: list(numbers(3).map(lambda n: np.ones((1,) * int(n))).padded_batch(2)), ValueError, "different ranks"),
    ],
)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
