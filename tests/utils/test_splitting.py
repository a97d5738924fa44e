"""split_dataset. What goes where is as in real Keras, whose TensorFlow-based results for these calls stand in the tests."""

import random

import numpy as np
import pytest

import kerasish as keras
from kerasish.utils import Dataset, split_dataset

X, Y = np.arange(20).reshape(10, 2), np.arange(10)


def rows(dataset):
    return [x.tolist() if isinstance(x, np.ndarray) else x for x in dataset.as_numpy_iterator()]


@pytest.mark.parametrize(
    ("sizes", "left", "right"),
    [
        ({"left_size": 0.8}, 8, 2),
        ({"right_size": 0.3}, 7, 3),
        ({"left_size": 3}, 3, 7),
        ({"left_size": 2, "right_size": 3}, 2, 3),
        ({"left_size": 0.24, "right_size": 0.5}, 2, 5),
        ({"left_size": 4, "right_size": 0.1}, 4, 1),
    ],
)
def test_sizes(sizes, left, right):
    first, second = split_dataset(Y, **sizes)
    assert rows(first) == list(range(left))
    assert rows(second) == list(range(10 - right, 10))
    assert (len(first), len(second)) == (left, right)


@pytest.mark.parametrize(
    ("data", "row"),
    [
        (X, [0, 1]),
        ((X, Y), ([0, 1], 0)),
        ([X, Y], ([0, 1], 0)),
        (keras.ops.array(X), [0, 1]),
        (Dataset.from_tensor_slices({"x": X, "y": Y}).map(lambda d: (d["x"], d["y"])), ([0, 1], 0)),
        (Dataset.from_tensor_slices((X, Y)).batch(3), ([[0, 1], [2, 3], [4, 5]], [0, 1, 2])),
    ],
)
def test_kinds_of_data(data, row):
    def plain(element):
        return tuple(part.tolist() for part in element) if isinstance(element, tuple) else element.tolist()

    first, _ = split_dataset(data, left_size=0.5)
    assert plain(next(iter(first))) == row


def test_shuffled_as_by_keras():
    wanted = list(range(10))
    random.Random(5).shuffle(wanted)
    first, second = split_dataset(Y, left_size=0.6, shuffle=True, seed=5)
    assert rows(first) + rows(second) == wanted
    state = random.getstate()
    split_dataset(Y, left_size=0.6, shuffle=True, seed=5)
    assert random.getstate() == state
    random.seed(1)
    again = [rows(split_dataset(Y, left_size=0.6, shuffle=True)[0]) for _ in range(2)]
    assert again[0] != again[1]


def test_batches_of_another_kind():
    data = Dataset.from_tensor_slices(Y).batch(4)
    first, second = split_dataset(data, left_size=5)
    assert (rows(first), rows(second)) == ([[0, 1, 2, 3], [4]], [[5, 6, 7, 8], [9]])


@pytest.mark.parametrize(
    ("data", "sizes", "error", "message"),
    [
        (Y, {}, ValueError, "At least one of"),
        (Y, {"left_size": 0.7, "right_size": 0.7}, ValueError, "greater than 1"),
        (Y, {"left_size": 7, "right_size": 7}, ValueError, "smaller than 10"),
        (Y, {"left_size": 0}, ValueError, "left_size=0"),
        (Y, {"left_size": 10}, ValueError, "left_size=10"),
        (Y, {"left_size": -1}, ValueError, "left_size=-1"),
        (Y, {"right_size": 1.0}, ValueError, "right_size=1.0"),
        (Y, {"left_size": 0.01}, ValueError, "one side will be empty"),
        (Y, {"left_size": "half"}, TypeError, "Invalid `left_size` type"),
        (Y, {"right_size": [1]}, TypeError, "Invalid `right_size` type"),
        ([], {"left_size": 1}, ValueError, "empty"),
        (np.zeros((0, 2)), {"left_size": 1}, ValueError, "empty"),
        ([[1, 2]], {"left_size": 1}, ValueError, "list or tuple of arrays"),
        ([X, Y[:3]], {"left_size": 1}, ValueError, "same length"),
        ("text", {"left_size": 1}, TypeError, "must be a Dataset"),
    ],
)
def test_wrong_arguments(data, sizes, error, message):
    with pytest.raises(error, match=message):
        split_dataset(data, **sizes)


def test_data_sets_of_tensorflow():
    class Batched:  # what is used of tf.data.Dataset
        _batch_size = np.int64(4)

        def unbatch(self):
            return Dataset.from_tensor_slices({"x": X})

        def as_numpy_iterator(self):
            raise AssertionError("batches are taken apart first")

    first, second = split_dataset(Batched(), left_size=5)
    assert [d["x"].tolist() for d in first] == [X[:4].tolist(), X[4:5].tolist()]
    assert [len(d["x"]) for d in second] == [4, 1]


def test_torch():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.arange(10), torch.arange(10, 20))
    for given, arguments in ((data, {}), ([Y, Y + 10], {"preferred_backend": "torch"})):
        first, second = split_dataset(given, left_size=0.6, **arguments)
        assert [(int(a), int(b)) for a, b in second] == [(6, 16), (7, 17), (8, 18), (9, 19)]
        mixed = split_dataset(given, left_size=0.6, shuffle=True, seed=1, **arguments)
        assert sorted(int(a) for part in mixed for a, _ in part) == list(range(10))
        assert len(first) == len(mixed[0]) == 6
    ours, _ = split_dataset(data, left_size=2, preferred_backend="tensorflow")
    assert rows(ours) == [(0, 10), (1, 11)]
