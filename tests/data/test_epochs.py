"""Epochs: how many steps each has, and where it takes up the data."""

import numpy as np
import pytest

from kerasish import config
from kerasish.data import Batches, Epochs, as_batches

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


def test_the_configured_limit_counts():
    config.set_max_steps_per_epoch(2)
    try:
        with pytest.warns(UserWarning, match="Limiting steps_per_epoch to 2"):
            epochs = Epochs(as_batches(X, batch_size=1))
    finally:
        config.set_max_steps_per_epoch(None)
    assert epochs.num_batches == 2 and len(first_values(epochs)) == 2
