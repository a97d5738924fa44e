"""Programs run whole, in order, on any number of threads, and from any thread; what is kept on disk is checked."""

import hashlib
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

pytest.importorskip("llvmlite")
from kerasish.backend.kernels import compile as compiling
from kerasish.backend.kernels import threads
from kerasish.backend.kernels.emit import i64


def add_one(k):
    """Arguments: an array of integers, elements of a task."""
    x, each = k.integers(0), k.arg(1, i64)
    with k.range(k.task * each, (k.task + 1) * each) as i:
        x[i] = x[i] + 1


def double(k):
    x, each = k.integers(0), k.arg(1, i64)
    with k.range(k.task * each, (k.task + 1) * each) as i:
        x[i] = x[i] * 2


def program_of(x, tasks, kernels):
    block = np.array([x.ctypes.data, x.size // tasks], np.int64)
    rows = [[compiling.compiled(kernel), block.ctypes.data, tasks, 0] for kernel in kernels]
    return np.array(rows, np.int64), block


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_every_task_runs_once_and_kernels_in_order(size):
    pool = threads.Pool(size)
    x = np.zeros(6400, np.int64)
    program, _block = program_of(x, 64, [add_one, double] * 10)
    expected = np.zeros(6400, np.int64)
    for _ in range(200):
        x[:] = 0
        pool.run(program.ctypes.data, len(program))
    for _ in range(10):
        expected = (expected + 1) * 2
    np.testing.assert_array_equal(x, expected)
    pool._shared[threads.STOP] = 1


def test_programs_of_many_threads_do_not_disturb_each_other():
    pool = threads.Pool(2)
    arrays = [np.zeros(640, np.int64) for _ in range(6)]

    def work(x):
        program, _block = program_of(x, 16, [add_one] * 5)
        for _ in range(300):
            pool.run(program.ctypes.data, len(program))

    workers = [threading.Thread(target=work, args=(x,)) for x in arrays]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for x in arrays:
        assert (x == 1500).all()
    pool._shared[threads.STOP] = 1


def test_workers_that_sleep_are_woken():
    import time

    pool = threads.Pool(2)
    x = np.zeros(640, np.int64)
    program, _block = program_of(x, 16, [add_one])
    for _ in range(20):
        pool.run(program.ctypes.data, 1)
        time.sleep(0.005)  # long enough for workers to go to sleep
    assert (x == 20).all()
    pool._shared[threads.STOP] = 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_has_threads_of_its_own():
    code = """
import os, numpy as np, kerasish as keras
f = keras.function(lambda x: keras.ops.tanh(x @ x))
x = np.full((300, 300), 0.01, "float32")
expected = f(x).numpy()
pid = os.fork()
if pid == 0:
    os._exit(0 if all(np.array_equal(f(x).numpy(), expected) for _ in range(5)) else 1)
_, status = os.waitpid(pid, 0)
assert np.array_equal(f(x).numpy(), expected)
raise SystemExit(os.waitstatus_to_exitcode(status))
"""
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=120, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_one_thread_where_the_environment_says_so():
    code = "from kerasish.backend.kernels import threads; raise SystemExit(threads.pool().size)"
    ended = subprocess.run([sys.executable, "-c", code], env={**os.environ, "KERASISH_THREADS": "1"}, timeout=60, check=False)
    assert ended.returncode == 1


def test_a_damaged_file_in_the_cache_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "cache_folder", lambda: str(tmp_path))
    monkeypatch.setattr(compiling, "_addresses", {})
    compiling.compiled(double)
    (kept,) = tmp_path.glob("*.o")
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-20])
    assert compiling._kept(str(kept)) is None
    kept.write_bytes(whole[:40] + b"\xff" + whole[41:])
    assert compiling._kept(str(kept)) is None
    kept.write_bytes(whole)
    assert compiling._kept(str(kept)) == whole[32:]


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "cache_folder", lambda: str(tmp_path / "nowhere"))
    monkeypatch.setattr(compiling, "_addresses", {})
    x = np.ones(64, np.int64)
    threads.run(compiling.compiled(add_one), [x, 64])
    assert (x == 2).all()


def test_without_llvmlite_steps_run_on_numpy():
    code = """
import sys
sys.modules["llvmlite"] = None
import numpy as np, kerasish as keras
from kerasish.backend.kernels import native
f = keras.function(lambda x: keras.ops.tanh(x @ x))
assert f(np.eye(3, dtype="float32")).shape == (3, 3)
assert not native.available()
"""
    ended = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_the_cache_is_pruned_of_what_was_wanted_longest_ago(tmp_path):
    for age, name in enumerate("abcdefgh"):
        path = tmp_path / f"{name}.o"
        path.write_bytes(bytes(100))
        os.utime(path, (1e9 - age, 1e9 - age))
    (tmp_path / "other.txt").write_bytes(bytes(1000))
    compiling.prune(tmp_path, most=800)
    assert len(list(tmp_path.glob("*.o"))) == 8
    compiling.prune(tmp_path, most=799)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.o", "b.o", "c.o", "d.o", "e.o", "other.txt"]
    compiling.prune(tmp_path / "nowhere", most=1)


def test_pruning_happens_while_others_prune(tmp_path):
    for i in range(200):
        (tmp_path / f"{i}.o").write_bytes(bytes(10))
    threads = [threading.Thread(target=compiling.prune, args=(tmp_path, 400)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0 < len(list(tmp_path.iterdir())) <= 40


def test_a_file_that_is_wanted_again_counts_as_new(tmp_path):
    path, content = tmp_path / "a.o", b"code"
    compiling._keep(str(path), hashlib.sha256(content).digest() + content)
    os.utime(path, (1e9, 1e9))
    assert compiling._kept(str(path)) == content
    assert path.stat().st_mtime > 1e9


def test_a_process_prunes_once_an_hour(tmp_path, monkeypatch):
    pruned = []
    monkeypatch.setattr(compiling, "cache_folder", lambda: str(tmp_path))
    monkeypatch.setattr(compiling, "prune", pruned.append)
    for _ in range(3):
        compiling._prune_once.__wrapped__()
    os.utime(tmp_path / "pruned", (1e9, 1e9))
    compiling._prune_once.__wrapped__()
    assert pruned == [str(tmp_path)] * 2
