"""PyDataset: batches in order whoever makes them, errors with their cause, and no worker left over."""

import multiprocessing
import os
import random
import threading
import traceback

import numpy as np
import pytest

from kerasish.data import Epochs, PyDataset, Sequence, as_batches

# other tests in this process may have started JAX, whose threads don't like forks; the workers here don't use it
pytestmark = pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning", "ignore:This process:DeprecationWarning")
WORKERS = [{}, {"workers": 3}, {"workers": 2, "use_multiprocessing": True}]


class Numbers(PyDataset):
    """Batch i holds i, the process that made it and a random number."""

    def __init__(self, count=6, fail_at=None, **kwargs):
        super().__init__(**kwargs)
        self.count, self.fail_at, self.log = count, fail_at, []

    @property
    def num_batches(self):
        return self.count

    def __getitem__(self, index):
        if index == self.fail_at:
            raise LookupError("no such picture")
        self.log.append(index)
        return np.full((2, 1), index), np.array([os.getpid()] * 2), np.array([np.random.rand()] * 2)

    def on_epoch_begin(self):
        self.log.append("begin")

    def on_epoch_end(self):
        self.log.append("end")


def assert_nobody_left():
    assert not multiprocessing.active_children()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("kerasish")]


@pytest.mark.parametrize("workers", WORKERS)
def test_batches_come_in_order(workers):
    batches = as_batches(Numbers(**workers))
    assert batches.num_batches == 6
    for _ in range(2):
        batch = list(batches)
        assert [int(x[0, 0]) for x, *_ in batch] == list(range(6))
        assert batch[0][2].dtype == "float32"
    assert (batch[0][1][0] != os.getpid()) == workers.get("use_multiprocessing", False)
    assert_nobody_left()


@pytest.mark.parametrize("workers", WORKERS)
def test_shuffle_is_keras_s(workers):
    random.seed(5)
    order = list(range(6))
    random.shuffle(order)
    random.seed(5)
    assert [int(x[0, 0]) for x, *_ in as_batches(Numbers(**workers), shuffle=True)] == order


@pytest.mark.parametrize("workers", WORKERS)
def test_an_error_shows_where_it_was_raised(workers):
    seen = []
    with pytest.raises(LookupError, match="no such picture") as caught:
        seen.extend(as_batches(Numbers(fail_at=3, **workers)))
    assert len(seen) == 3
    text = "".join(traceback.format_exception(caught.value))
    assert 'raise LookupError("no such picture")' in text
    assert_nobody_left()


@pytest.mark.parametrize("workers", WORKERS)
def test_an_endless_data_set_left_in_the_middle_ends_its_workers(workers):
    batches = iter(as_batches(Numbers(count=None, **workers)))
    assert [int(next(batches)[0][0, 0]) for _ in range(4)] == [0, 1, 2, 3]
    batches.close()
    assert_nobody_left()


def test_workers_are_not_far_ahead():
    data = Numbers(count=50, workers=2, max_queue_size=3)
    batches = iter(as_batches(data))
    next(batches)
    batches.close()
    assert len(data.log) <= 4


def test_processes_draw_different_numbers_that_the_seed_fixes():
    def draw():
        random.seed(1)
        return [float(w[0]) for *_, w in as_batches(Numbers(workers=2, use_multiprocessing=True))]

    first = draw()
    assert len(set(first)) == 6 and first == draw()


def test_epochs_are_told():
    data = Numbers(count=2)
    epochs = Epochs(as_batches(data))
    assert data.log == []
    for _ in range(2):
        list(epochs)
    assert data.log == ["begin", 0, 1, "end"] * 2


def test_a_data_set_may_change_its_length_between_epochs():
    data = Numbers(count=2)
    batches = as_batches(data)
    assert len(list(batches)) == 2
    data.count = 3
    assert len(list(batches)) == 3


def test_len_counts_and_iterating_needs_no_training():
    class Two(Sequence):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return [np.full(1, index), np.zeros(1)]

    assert Two().num_batches == 2 and len(list(Two())) == 2
    assert isinstance(next(iter(as_batches(Two()))), tuple)


def test_a_forgotten_super_init_is_told():
    class Forgetful(PyDataset):
        def __init__(self):
            pass

        def __len__(self):
            return 1

        def __getitem__(self, index):
            return (np.zeros((1, 1)),)

    with pytest.warns(UserWarning, match="super"):
        assert len(list(as_batches(Forgetful()))) == 1


def test_what_is_missing_is_told():
    with pytest.raises(TypeError, match="must define __getitem__"):
        PyDataset()[0]
    with pytest.raises(NotImplementedError, match="`num_batches`"):
        PyDataset().num_batches  # noqa: B018


def test_an_empty_data_set_has_nothing_to_peek_at():
    with pytest.raises(ValueError, match="contains no batch"):
        as_batches(Numbers(count=0)).peek()
    assert as_batches(Numbers()).peek()[0][0, 0] == 0
