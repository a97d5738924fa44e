"""Epochs: how many steps each has, and where it takes up the data."""

import itertools
import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras.src.trainers.epoch_iterator import EpochIterator

from kerasish import config
from kerasish.data import Batches, Epochs, PyDataset, as_batches

X = np.arange(6, dtype="float32")[:, None]


class Endless:
    def __iter__(self):
        i = 0
        while True:
            yield (np.full((1, 1), i),)
            i += 1


def first_values(epochs):
    """For each execution of one epoch: first step, last step, the batches' first values."""
    return [(first, last, [int(np.ravel(b[0] if isinstance(b, tuple) else b)[0]) for b in batches]) for first, last, batches in epochs]


def test_an_epoch_is_one_pass():
    epochs = Epochs(as_batches(X, batch_size=2))
    assert epochs.num_batches == 3
    for _ in range(2):
        assert first_values(epochs) == [(0, 0, [0]), (1, 1, [2]), (2, 2, [4])]


def test_several_batches_at_a_time():
    epochs = Epochs(as_batches(X, batch_size=2), steps_per_execution=2)
    assert first_values(epochs) == [(0, 1, [0, 2]), (2, 2, [4])]
    epochs = Epochs(as_batches(X, batch_size=1), steps_per_epoch=5, steps_per_execution=3)
    assert first_values(epochs) == [(0, 2, [0, 1, 2]), (3, 4, [3, 4])]


def test_steps_take_up_where_the_last_epoch_stopped():
    epochs = Epochs(as_batches(X, batch_size=1), steps_per_epoch=3)
    assert [[v for *_, values in first_values(epochs) for v in values] for _ in range(3)] == [[0, 1, 2], [3, 4, 5], [0, 1, 2]]


def test_an_endless_iterable():
    epochs = Epochs(as_batches(Endless()), steps_per_epoch=2)
    assert first_values(epochs) == [(0, 0, [0]), (1, 1, [1])]
    assert first_values(epochs) == [(0, 0, [2]), (1, 1, [3])]
    epochs.close()
    assert first_values(epochs) == [(0, 0, [0]), (1, 1, [1])]


def test_data_that_ends_within_an_epoch_is_told():
    epochs = Epochs(as_batches(X, batch_size=2), steps_per_epoch=5)
    with pytest.warns(UserWarning, match="ran out of data"):
        assert len(first_values(epochs)) == 3
    with pytest.warns(UserWarning, match="ran out of data"):
        assert first_values(epochs)[0] == (0, 0, [0])


def test_a_generator_ends_once():
    epochs = Epochs(as_batches((X[i : i + 1],) for i in range(5)), steps_per_epoch=3)
    assert len(first_values(epochs)) == 3 and not epochs.exhausted()
    with pytest.warns(UserWarning, match="ran out of data"):
        assert first_values(epochs) == [(0, 0, [3]), (1, 1, [4])]
    assert epochs.exhausted()
    whole = Epochs(as_batches((X[i : i + 1],) for i in range(5)))
    assert len(first_values(whole)) == 5 and whole.exhausted()


def test_an_error_while_a_generator_closes_is_told():
    class Files(Batches):
        def __iter__(self):
            try:
                yield from [(X,), (X,)]
            finally:
                raise AttributeError("no file to close")

    epochs = Epochs(Files(), steps_per_epoch=1)
    assert len(first_values(epochs)) == 1
    with pytest.raises(AttributeError, match="no file to close"):
        epochs.close()
    epochs.close()


def test_a_pass_that_is_broken_off_starts_again():
    epochs = Epochs(as_batches(X, batch_size=2))
    for _ in epochs:
        break
    assert first_values(epochs)[0] == (0, 0, [0])


@pytest.mark.parametrize("steps", [0, -1, 1.5, "2"])
def test_wrong_numbers_of_steps(steps):
    with pytest.raises(ValueError, match=f"must be a positive integer. Received: {steps!r}"):
        Epochs(as_batches(np.ones((4, 1))), steps)


def test_the_configured_limit_counts():
    config.set_max_steps_per_epoch(2)
    try:
        with pytest.warns(UserWarning, match="Limiting steps_per_epoch to 2"):
            epochs = Epochs(as_batches(X, batch_size=1))
    finally:
        config.set_max_steps_per_epoch(None)
    assert epochs.num_batches == 2 and len(first_values(epochs)) == 2


# ---- as Keras does
class Numbers(PyDataset):
    def __init__(self, count):
        super().__init__()
        self.count = count

    num_batches = property(lambda self: self.count)

    def __getitem__(self, index):
        return (X[index % 6 : index % 6 + 1] + index,)


@given(
    rows=st.integers(1, 9), batch_size=st.integers(1, 4), steps=st.sampled_from([None, 1, 2, 3, 5, 8]), shuffle=st.sampled_from([False, True, "batch"])
)
@settings(max_examples=60)
def test_epochs_of_arrays_are_keras_s(rows, batch_size, steps, shuffle):
    arguments = {"x": np.arange(rows, dtype="float32")[:, None], "batch_size": batch_size, "shuffle": shuffle}

    def made(epochs):
        np.random.seed(0)
        return [[(first, last, [np.ravel(b).tolist() for b in batches]) for first, last, batches in epochs] for _ in range(4)]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = made(Epochs(as_batches(**arguments), steps))
        theirs = made(EpochIterator(**arguments, steps_per_epoch=steps))
    assert [len(epoch) for epoch in ours] == [len(epoch) for epoch in theirs]
    assert ours == theirs


# ---- positions
class Stored:
    """Looks like an array in a file."""

    shape, dtype, chunks = (10, 1), np.dtype("float32"), (2, 1)
    __array__ = None

    def __getitem__(self, index):
        return np.arange(10, dtype="float32")[index][:, None]


class Again:
    """Has another order in every iteration, which hangs on how many there were, as a tf.data.Dataset with a seed has."""

    def __init__(self):
        self.iterations = itertools.count()

    def __iter__(self):
        order = np.random.default_rng(next(self.iterations)).permutation(5)
        return iter([(X[i : i + 1],) for i in order])


KINDS = {
    "array": lambda: as_batches(np.arange(10.0)[:, None], batch_size=3, shuffle=True),
    "within": lambda: as_batches(np.arange(10.0)[:, None], batch_size=3, shuffle="batch"),
    "file": lambda: as_batches(Stored(), batch_size=3, shuffle=True),
    "data set": lambda: as_batches(Numbers(5), shuffle=True),
    "endless": lambda: as_batches(Numbers(None)),
    "iterable": lambda: as_batches(Again()),
    "generator": lambda: as_batches((np.full((1, 1), i),) for i in range(60)),
}


def numbered(batches):
    return [np.ravel(b[0] if isinstance(b, tuple) else b).tolist() for b in batches]


@given(kind=st.sampled_from(list(KINDS)), steps=st.sampled_from([3, 4, 7]), whole=st.booleans(), at_once=st.integers(1, 3), stop=st.integers(0, 20))
@settings(max_examples=200)
def test_a_position_is_where_a_new_run_goes_on(kind, steps, whole, at_once, stop):
    steps = None if whole and kind not in ("endless", "generator") else steps

    def run(epochs, numbers, position_at=None):
        """All chunks of some epochs, and the position after one of them: in an epoch, or at its end for those behind the last."""
        chunks, position = [], None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for epoch in numbers:
                for first, last, batches in epochs:
                    chunks.append((epoch, first, last, numbered(batches), np.random.rand()))
                    if len(chunks) == position_at:
                        position = epoch, json.loads(json.dumps(epochs.position()))
                if position is None and len(chunks) >= stop:
                    position, position_at = (epoch + 1, json.loads(json.dumps(epochs.position()))), len(chunks)
        return chunks, position, position_at

    np.random.seed(7)
    chunks, position, stopped = run(Epochs(KINDS[kind](), steps, at_once), range(4), stop)
    if position is None:
        return
    epoch, place = position
    np.random.seed(8)
    again = Epochs(KINDS[kind](), steps, at_once)
    again.restore(place)
    assert run(again, range(epoch, 4))[0] == chunks[stopped:]


def test_a_position_behind_the_last_batch():
    epochs = Epochs(as_batches(X, batch_size=2))
    for _ in epochs:
        position = epochs.position()
    again = Epochs(as_batches(X, batch_size=2))
    again.restore(position)
    assert first_values(again) == [] and again.first_step == 3
    assert first_values(again) == [(0, 0, [0]), (1, 1, [2]), (2, 2, [4])] and again.first_step == 0


def test_going_on_reads_only_what_is_needed():
    read = []

    class Reading(Numbers):
        def __getitem__(self, index):
            read.append(index)
            return super().__getitem__(index)

    assert len(list(itertools.islice(as_batches(Reading(100)).iterate(90), 3))) == 3
    assert read == [90, 91, 92]
