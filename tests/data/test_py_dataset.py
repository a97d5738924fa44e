"""PyDataset: batches in order whoever makes them, errors with their cause, and no worker left over."""

import contextlib
import itertools
import multiprocessing
import os
import pathlib
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback

import numpy as np
import pytest

import kerasish as keras
from kerasish.data import Epochs, PyDataset, Sequence, as_batches

WORKERS = [{}, {"workers": 3}, {"workers": 2, "use_multiprocessing": True}]
ROOT = pathlib.Path(__file__).parents[2]


class Numbers(PyDataset):
    """Batch i holds i, the process that made it and a random number."""

    def __init__(self, count=6, fail_at=None, shift=0, **kwargs):
        super().__init__(**kwargs)
        self.count, self.fail_at, self.shift, self.log = count, fail_at, shift, []

    @property
    def num_batches(self):
        return self.count

    def __getitem__(self, index):
        if index == self.fail_at:
            raise LookupError("no such picture")
        self.log.append(index)
        return np.full((2, 1), index + self.shift), np.array([os.getpid()] * 2), np.array([np.random.rand()] * 2)

    def on_epoch_begin(self):
        self.log.append("begin")

    def on_epoch_end(self):
        self.log.append("end")


class Mortal(Numbers):
    dies = True

    def __getitem__(self, index):
        return os._exit(1) if self.dies else super().__getitem__(index)


def assert_nobody_left():
    assert not multiprocessing.active_children()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("kerasish")]


def first_numbers(batches):
    return [int(x[0, 0]) for x, *_ in batches]


@pytest.fixture(autouse=True)
def nobody_left():
    yield
    assert_nobody_left()


@pytest.mark.parametrize("workers", WORKERS)
def test_batches_come_in_order(workers):
    data = Numbers(**workers)
    with contextlib.closing(as_batches(data)) as batches:
        assert batches.num_batches == 6
        makers = set()
        for _ in range(2):
            made = list(batches)
            assert first_numbers(made) == list(range(6))
            assert made[0][2].dtype == "float32"
            makers |= {int(process[0]) for _, process, _ in made}
        assert (os.getpid() not in makers) == workers.get("use_multiprocessing", False)
        assert len(makers) <= max(1, workers.get("workers", 1))  # the second epoch is made by the same processes
        data.shift = 10  # what changes between epochs gets to them
        assert first_numbers(batches) == list(range(10, 16))


@pytest.mark.parametrize("workers", WORKERS[:2])
def test_shuffle_is_keras_s(workers):
    random.seed(5)
    order = list(range(6))
    random.shuffle(order)
    random.seed(5)
    with contextlib.closing(as_batches(Numbers(**workers), shuffle=True)) as batches:
        assert first_numbers(batches) == order


@pytest.mark.parametrize("workers", WORKERS)
def test_an_error_shows_where_it_was_raised(workers):
    seen = []
    with contextlib.closing(as_batches(Numbers(fail_at=3, **workers))) as batches:
        with pytest.raises(LookupError, match="no such picture") as caught:
            seen.extend(batches)
        assert len(seen) == 3
        text = "".join(traceback.format_exception(caught.value))
        assert 'raise LookupError("no such picture")' in text
        assert first_numbers(batches.iterate(4)) == [4, 5]  # workers live on


@pytest.mark.parametrize("workers", WORKERS[:2])
def test_an_endless_data_set_left_in_the_middle(workers):
    with contextlib.closing(as_batches(Numbers(count=None, **workers))) as batches:
        for _ in range(2):
            with contextlib.closing(iter(batches)) as left:
                assert [next(left)[0][0, 0] for _ in range(4)] == [0, 1, 2, 3]


def test_a_forgotten_data_set_ends_its_processes():
    batches = as_batches(Numbers(workers=1, use_multiprocessing=True))
    iterator = iter(batches)
    next(iterator)
    assert multiprocessing.active_children()
    del iterator, batches
    assert not multiprocessing.active_children()


def test_workers_are_not_far_ahead():
    data = Numbers(count=50, workers=2, max_queue_size=3)
    batches = iter(as_batches(data))
    next(batches)
    batches.close()
    assert len(data.log) <= 4


def test_processes_draw_numbers_that_only_the_seed_fixes():
    def draw(workers):
        random.seed(1)
        with contextlib.closing(as_batches(Numbers(workers=workers, use_multiprocessing=True))) as batches:
            return [float(w[0]) for *_, w in batches]

    first = draw(1)
    assert len(set(first)) == 6 and first == draw(2)


def test_a_process_that_dies_is_told():
    data = Mortal(workers=1, use_multiprocessing=True)
    with contextlib.closing(as_batches(data)) as batches:
        with pytest.raises(RuntimeError, match="has died.*__main__"):
            next(iter(batches))
        data.dies = False
        assert first_numbers(batches) == list(range(6))


def test_what_can_t_be_pickled_is_told():
    data = Numbers(workers=1, use_multiprocessing=True)
    data.function = lambda: 0
    with contextlib.closing(as_batches(data)) as batches, pytest.raises(ValueError, match="a Numbers goes to other processes.*pickle"):
        next(iter(batches))


def test_a_class_that_processes_don_t_find_is_told(tmp_path):
    script = "import numpy as np; from kerasish.data import *\nclass Data(PyDataset):\n  num_batches = 1\nnext(iter(as_batches(Data(1, True))))"
    ran = subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 1 and "Can't get attribute 'Data'" in ran.stderr and "In a notebook, put it into a file" in ran.stderr


# ---- in fit
class Samples(Numbers):
    def __getitem__(self, index):
        super().__getitem__(index)
        return np.full((2, 1), index, "float32"), np.zeros((2, 1))


def linear():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    return model


def ends(how, model):
    """A callback that ends training in its second batch."""

    def end(batch, logs):
        if batch == 1:
            if how is None:
                model.stop_training = True
            else:
                raise how

    return keras.callbacks.LambdaCallback(on_train_batch_end=end)


@pytest.mark.parametrize(
    ("how", "workers"),
    [
        *itertools.product([None, KeyboardInterrupt(), ZeroDivisionError()], [{}, {"workers": 3}]),
        (KeyboardInterrupt(), {"workers": 1, "use_multiprocessing": True}),
    ],
)
def test_nobody_is_left_however_training_ends(workers, how):
    model, data = linear(), Samples(count=None, **workers)
    with contextlib.nullcontext() if how is None else pytest.raises(type(how)):
        model.fit(data, verbose=0, callbacks=[ends(how, model)])
    assert_nobody_left()


def test_validation_is_made_by_the_same_processes_each_epoch():
    model, data = linear(), Numbers(count=2, workers=1, use_multiprocessing=True)
    seen = []
    step = model.test_step
    model.test_step = lambda batch: seen.append(int(batch[1].numpy()[0])) or step(batch)
    model.fit(np.zeros((2, 1)), np.zeros(2), epochs=2, verbose=0, validation_data=data)
    assert len(seen) == 4 and len(set(seen)) == 1 and seen[0] != os.getpid()


SCRIPT = """
    import os, sys, time
    import numpy as np
    from kerasish.data import PyDataset, as_batches

    class Data(PyDataset):
        num_batches = None
        def __getitem__(self, index):
            return np.array([os.getpid()]), np.array([index])

    if __name__ == "__main__":
        batches = iter(as_batches(Data(workers=1, use_multiprocessing=True)))
        print(int(next(batches)[0][0]), flush=True)
        time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_processes_end_with_their_parent(tmp_path, how):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    (tmp_path / "temp").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "temp")}
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as parent:
        worker = int(parent.stdout.readline())
        os.kill(worker, 0)
        os.killpg(parent.pid, how) if how == signal.SIGINT else parent.kill()  # Ctrl-C goes to all
        _, errors = parent.communicate(timeout=60)
    deadline = time.monotonic() + 60
    while is_alive(worker):
        assert time.monotonic() < deadline, "the worker lives on"
        time.sleep(0.05)
    assert not list((tmp_path / "temp").glob("kerasish-*"))
    assert errors.count("Traceback") == (how == signal.SIGINT)  # the parent's alone


def is_alive(process):
    try:
        os.kill(process, 0)
        return pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"  # ended, and nobody has asked how
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # another system than Linux, or ended in between
        return not pathlib.Path("/proc/self").exists()


# ---- epochs
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


class Shuffled(PyDataset):
    """Shuffles itself after each epoch, as many data sets do."""

    def __init__(self, with_state, **kwargs):
        super().__init__(**kwargs)
        self.order = list(range(8))
        if with_state:
            self.state_dict = lambda: {"order": list(self.order)}
            self.load_state_dict = lambda state: self.order.__setitem__(slice(None), state["order"])

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return (np.array(self.order[2 * index : 2 * index + 2])[:, None],)

    def on_epoch_end(self):
        np.random.shuffle(self.order)


@pytest.mark.parametrize("with_state", [True, False])
@pytest.mark.parametrize("batches", [8, 10])
def test_a_data_set_s_own_state_comes_back(batches, with_state):
    def made(epochs, count):
        return [batch[0][:, 0].tolist() for _ in range(count) for *_, (batch,) in epochs]

    np.random.seed(0)
    epochs = Epochs(as_batches(Shuffled(with_state)))
    seen = []
    for _ in range(3):
        for *_, (batch,) in epochs:
            seen.append(batch[0][:, 0].tolist())
            if len(seen) == batches:
                position = epochs.position()
        if len(seen) == batches:
            position = epochs.position()
    again = Epochs(as_batches(Shuffled(with_state)))
    again.restore(position)
    np.random.seed(0) if not with_state else None
    assert (made(again, 1) == seen[batches:12]) == with_state


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


def test_without_a_length_one_can_iterate_endlessly():
    class Endless(PyDataset):
        def __getitem__(self, index):
            return index

    assert [batch for batch, _ in zip(Endless(), range(30), strict=False)] == list(range(30))


def test_an_empty_data_set_has_nothing_to_peek_at():
    with pytest.raises(ValueError, match="contains no batch"):
        as_batches(Numbers(count=0)).peek()
    assert as_batches(Numbers()).peek()[0][0, 0] == 0
