"""Arrays in files: every row once, in an order that the seed fixes, and never much of them in memory."""

import itertools
import math
import pathlib
import sys
import threading
import traceback
import tracemalloc
import warnings

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kerasish as keras
from kerasish import tree
from kerasish.backend import arrays
from kerasish.data import Epochs, as_batches, streams, train_validation_split
from kerasish.data.streams import StreamedBatches
from tests.conformance.strict import StrictArray, StrictArrays

SHUFFLES = [False, "batch", True]


class Stored:
    """An array in a file: gives what slices ask for, and remembers how many rows that was."""

    def __init__(self, rows, chunk=None, fail_at=None):
        self.array, self.fail_at, self.reads = np.arange(rows), fail_at, []
        self.shape, self.dtype, self.chunks = (rows, 2), np.dtype("float64"), chunk and (chunk, 2)

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("read as a whole")

    def __getitem__(self, index):
        assert isinstance(index, slice), "HDF5 is slow at anything else"
        if self.fail_at is not None and index.start <= self.fail_at < index.stop:
            raise OSError("the disk is broken")
        self.reads.append((index.start, index.stop))
        return np.repeat(self.array[index][:, None], 2, axis=1).astype("float64")


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr(streams, "BLOCK_BYTES", 64)  # 4 rows of a Stored
    monkeypatch.setattr(streams, "WINDOW_BYTES", 320)


def rows_of(batches):
    return [np.ravel(leaf[:, 0] if leaf.ndim > 1 else leaf).astype(int).tolist() for leaf in batches]


def seeded(batches, start=0):
    np.random.seed(3)
    return list(batches.iterate(start))


sizes = {"rows": st.integers(1, 120), "chunk": st.sampled_from([None, 1, 3, 7, 50, 200]), "batch_size": st.integers(1, 150)}


@given(**sizes, shuffle=st.sampled_from(SHUFFLES), block=st.sampled_from([16, 64, 4096]), window=st.sampled_from([16, 300, 5000]))
@settings(max_examples=150)
def test_each_row_comes_once_an_epoch_in_an_order_that_the_seed_fixes(rows, chunk, batch_size, shuffle, block, window):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "BLOCK_BYTES", block)
        patch.setattr(streams, "WINDOW_BYTES", window)
        batches = as_batches({"a": Stored(rows, chunk), "b": np.arange(rows)}, Stored(rows, 11), batch_size=batch_size, shuffle=shuffle)
        assert isinstance(batches, StreamedBatches)
        found = seeded(batches)
        assert [len(y) for _, y in found] == [min(batch_size, rows - start) for start in range(0, rows, batch_size)]
        x, y = [rows_of([x["a"] for x, _ in found]), rows_of([x["b"] for x, _ in found])], rows_of([y for _, y in found])
        assert x == [y, y] and found[0][0]["a"].dtype == "float32"
        assert sorted(itertools.chain(*y)) == list(range(rows))
        if shuffle is False:
            assert y == sorted(y)
        if shuffle == "batch":
            assert [sorted(rows) for rows in y] == [list(range(min(rows), max(rows) + 1)) for rows in y]
        for start in {0, 1, len(y) // 2, len(y)}:
            assert rows_of([y for _, y in seeded(batches, start)]) == y[start:]


def test_every_epoch_has_another_order(small_windows):
    batches = as_batches(Stored(100), batch_size=10, shuffle=True)
    first, second = rows_of(batches), rows_of(batches)
    assert first != second
    np.random.seed(0)
    third = rows_of(batches)
    np.random.seed(1)
    assert third != rows_of(batches)


def test_a_window_has_rows_from_all_over_the_file(small_windows):
    first, *_ = seeded(as_batches(Stored(4000, chunk=4), batch_size=20, shuffle=True))
    assert np.ptp(first) > 2000


def test_chunks_are_read_as_a_whole_and_once():
    stored = Stored(100, chunk=8)
    list(as_batches(stored, batch_size=3, shuffle=True))
    assert sorted(stored.reads) == [(0, 100)]  # blocks of many small chunks
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "BLOCK_BYTES", 1)
        stored.reads.clear()
        list(as_batches(stored, batch_size=3, shuffle=True))
        assert sorted(stored.reads) == [(start, min(start + 8, 100)) for start in range(0, 100, 8)]
        stored.reads.clear()
        (_, _, _), (x, _, _) = train_validation_split((stored, None, None), 0.5)
        assert rows_of(as_batches(x, batch_size=50)) == [list(range(50, 100))]
        assert stored.reads == [(50, 56), *((start, min(start + 8, 100)) for start in range(56, 100, 8))]


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_only_windows_are_in_memory(shuffle):
    class Large(Stored):
        def __init__(self, rows):
            super().__init__(rows)
            self.shape, self.dtype = (rows, 1000), np.dtype("float32")  # 400 MB

        def __getitem__(self, index):
            return np.broadcast_to(np.float32(1), (index.stop - index.start, 1000))

    batches = as_batches(Large(100_000), batch_size=100, shuffle=shuffle)
    tracemalloc.start()
    try:
        batches.peek()
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
        for _ in itertools.islice(batches, 200):
            pass
        assert tracemalloc.get_traced_memory()[1] < 4 * streams.WINDOW_BYTES
    finally:
        tracemalloc.stop()


def test_batches_may_be_kept(small_windows):
    np.testing.assert_array_equal(np.concatenate(list(as_batches(Stored(100), batch_size=7)))[:, 0], np.arange(100))


def no_thread():
    return not [thread for thread in threading.enumerate() if thread.name.startswith("kerasish")]


def test_the_reading_thread_ends_with_the_pass(small_windows):
    batches = as_batches(Stored(1000), batch_size=7)
    list(batches)
    assert no_thread()
    left = iter(batches)
    next(left)
    assert not no_thread()
    left.close()
    assert no_thread()
    forgotten = iter(batches)
    next(forgotten)
    del forgotten
    assert no_thread()


def test_reading_stops_where_training_stops(small_windows):
    stored = Stored(1000)
    model = linear()
    model.fit(stored, np.zeros(1000), batch_size=4, verbose=0, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_: stop(model))])
    assert no_thread() and len(stored.reads) < 30

    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(stored, np.zeros(1000), verbose=0, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=interrupt)])
    assert no_thread()


def stop(model):
    model.stop_training = True


def linear():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile("sgd", "mse", run_eagerly=True)
    return model


def test_an_error_while_reading_shows_where_it_was_raised(small_windows):
    seen = []
    with pytest.raises(OSError, match="the disk is broken") as caught:
        seen.extend(as_batches(Stored(100, fail_at=50), batch_size=10))
    assert rows_of(seen) == [list(range(i, i + 10)) for i in range(0, 40, 10)]
    assert 'raise OSError("the disk is broken")' in "".join(traceback.format_exception(caught.value))
    assert no_thread()


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_files_beside_arrays_on_a_device(small_windows, shuffle):
    before = arrays.use(StrictArrays())
    try:
        labels = keras.ops.convert_to_tensor(np.arange(50))
        found = seeded(as_batches(Stored(50), labels, batch_size=8, shuffle=shuffle))
        assert all(isinstance(y, StrictArray) and isinstance(x, np.ndarray) for x, y in found)
        y = [arrays.active.xp.to_numpy(y) for _, y in found]
    finally:
        arrays.use(before)
    assert rows_of([x for x, _ in found]) == [rows.tolist() for rows in y]


# ---- real files
X = np.random.default_rng(0).standard_normal((60, 2)).astype("float32")
Y = np.arange(60) % 3


@pytest.fixture(params=["h5py", "gzip", "memmap"])
def files(request, tmp_path):
    """``X`` and ``Y`` in files."""
    if request.param == "memmap":
        for name, array in (("x", X), ("y", Y)):
            np.save(tmp_path / f"{name}.npy", array)
        yield np.load(tmp_path / "x.npy", mmap_mode="r"), np.load(tmp_path / "y.npy", mmap_mode="r")
        return
    with h5py.File(tmp_path / "data.h5", "w") as file:
        for name, array in (("x", X), ("y", Y)):
            file.create_dataset(name, data=array, **({"chunks": (7, *array.shape[1:]), "compression": "gzip"} if request.param == "gzip" else {}))
        yield file["x"], file["y"]


@pytest.mark.parametrize("arguments", [{}, {"validation_split": 0.3}, {"sample_weight": np.linspace(0, 1, 60)}, {"class_weight": {0: 3.0, 2: 0.5}}])
def test_training_on_files_is_training_on_arrays(files, arguments, small_windows):
    def trained(x, y):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="softmax", kernel_initializer="zeros")])
        model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
        history = model.fit(x, y, batch_size=9, epochs=2, shuffle=False, verbose=0, **arguments).history
        return history, model.evaluate(x, y, verbose=0), model.predict(x, verbose=0)

    for ours, expected in zip(tree.flatten(trained(*files)), tree.flatten(trained(X, Y)), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_shuffled_files_train(files):
    x, y = files
    model = linear()
    model.fit({"x": x}["x"], y, sample_weight=y, epochs=2, shuffle=True, verbose=0, validation_data=(x, y))
    model.fit(x, y, shuffle="batch", steps_per_epoch=2, epochs=3, verbose=0)
    assert len(model.history.history["loss"]) == 3 and np.isfinite(model.get_weights()[0]).all()


def test_text_in_a_file(tmp_path):
    with h5py.File(tmp_path / "text.h5", "w") as file:
        file["free"], file["fixed"] = ["good", "bäd"], np.array([b"abc", b"d"])
        (((free, fixed),),) = as_batches([file["free"], file["fixed"]])
        assert free.tolist() == ["good", "bäd"] and fixed.tolist() == ["abc", "d"]


@pytest.mark.skipif(sys.platform != "linux", reason="tells the size by /proc")
def test_pages_of_a_memory_map_don_t_stay(tmp_path):
    def mapped():
        return int(pathlib.Path("/proc/self/status").read_text().partition("RssFile:")[2].split()[0]) * 1024

    stored = np.memmap(tmp_path / "x", "float32", mode="w+", shape=(60_000, 256))  # 61 MB
    before = mapped()
    for shuffle in (False, True):
        assert sum(len(batch) for batch in as_batches(stored, batch_size=100, shuffle=shuffle)) == 60_000
    assert mapped() - before < 20_000_000
    assert (np.asarray(stored) == 0).all() and mapped() - before > 60_000_000  # that is what is measured


def test_changes_to_a_private_map_stay(tmp_path):
    np.save(tmp_path / "x.npy", X)
    for mode in ("c", "r+"):
        changed = np.load(tmp_path / "x.npy", mmap_mode=mode)
        changed[:] = 7
        for _ in range(2):
            assert all((batch == 7).all() for batch in as_batches(changed))


def test_parts_and_copies_of_a_memory_map(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(40).reshape(20, 2))
    whole = np.load(tmp_path / "x.npy", mmap_mode="r")
    for part in (whole[5:], whole[::3], whole[:, 1:], whole.T):
        batches = as_batches(part, batch_size=4)
        assert isinstance(batches, StreamedBatches)
        np.testing.assert_array_equal(np.concatenate(list(batches)), part)
    copy = whole.copy()
    assert isinstance(copy, np.memmap) and not isinstance(as_batches(copy), StreamedBatches)


def test_steps_go_on_where_the_last_epoch_stopped(small_windows):
    epochs = Epochs(as_batches(Stored(20), batch_size=5), steps_per_epoch=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert [[rows_of(batches)[0][0] for *_, batches in epochs] for _ in range(3)] == [[0, 5, 10], [15], [0, 5, 10]]
    epochs.close()
    assert no_thread()


def test_a_dataset_without_rows_is_told(tmp_path):
    with h5py.File(tmp_path / "none.h5", "w") as file:
        file["scalar"], file["empty"] = 3.0, np.ones((0, 2))
        with pytest.raises(ValueError, match="Received a scalar"):
            as_batches(file["scalar"])
        with pytest.raises(ValueError, match="no samples"):
            as_batches(file["empty"])


def test_length_is_what_arrays_have():
    for rows, size in ((10, 3), (9, 3), (1, 5)):
        assert as_batches(Stored(rows), batch_size=size).num_batches == math.ceil(rows / size)
