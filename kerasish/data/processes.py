"""Processes that make the batches of a data set: started once for a ``fit``, ended with it, and in no case later than their parent."""

import concurrent.futures
import filecmp
import functools
import multiprocessing
import os
import pathlib
import pickle
import random
import shutil
import signal
import tempfile
import threading
import weakref

import numpy as np

from kerasish.data.ahead import in_order


class Processes:
    """``workers`` processes, to which a data set goes as a file; again only when it has changed since the last epoch.

    They are spawned, not forked: a fork copies locks that threads hold at that moment, and this process always has threads.
    """

    def __init__(self, workers):
        self.workers, self.path = workers, None
        self._folder = tempfile.TemporaryDirectory(prefix="kerasish-", ignore_cleanup_errors=True)
        context = multiprocessing.get_context("spawn")
        self._pool = concurrent.futures.ProcessPoolExecutor(workers, context, _begin, (self._folder.name,))
        self.close = weakref.finalize(self, _end, self._pool, self._folder)  # also when everybody has forgotten this object

    @property
    def alive(self):
        """Whether they work, as they do until they are closed or one of them dies."""
        return self.close.alive

    def batches(self, dataset, order, seed, ahead):
        """The data set's batches with the numbers in ``order``; ``seed`` and a batch's number fix the random numbers for it."""
        self._send(dataset)
        try:
            yield from in_order(functools.partial(self._pool.submit, _make, self.path, seed), order, ahead)
        except concurrent.futures.process.BrokenProcessPool as error:
            self.close()
            raise RuntimeError(
                "A process that makes batches has died. Either the system ended it, as it does when memory is short, or it could "
                'not start: a script that uses processes needs `if __name__ == "__main__":` around what is to run once.'
            ) from error

    def _send(self, dataset):
        path = pathlib.Path(self._folder.name) / f"{1 if self.path is None else 1 + int(pathlib.Path(self.path).name)}"
        try:
            with path.open("wb") as file:
                pickle.dump(dataset, file, protocol=5)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(
                f"With `use_multiprocessing=True` a {type(dataset).__name__} goes to other processes, and so must be an object that "
                f"can be pickled, of a class at the top of a module. It can't: {error}"
            ) from error
        if self.path is not None and filecmp.cmp(path, self.path, shallow=False):
            path.unlink()
            return
        if self.path is not None:
            pathlib.Path(self.path).unlink()
        self.path = str(path)


def _end(pool, folder):
    pool.shutdown(wait=True, cancel_futures=True)
    folder.cleanup()


# ---- in a process
def _begin(folder):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the parent, which then ends this process
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()


def _end_with_parent(folder):
    multiprocessing.parent_process().join()
    shutil.rmtree(folder, ignore_errors=True)  # a parent that was killed has left it
    os._exit(1)


@functools.lru_cache(maxsize=1)
def _dataset(path):
    with open(path, "rb") as file:
        try:
            return pickle.load(file)
        except (AttributeError, ModuleNotFoundError) as error:
            error.add_note("Processes import a data set's class from its module. In a notebook, put it into a file, or use threads.")
            raise


def _make(path, seed, index):
    dataset = _dataset(path)
    np.random.seed((seed + index) % 2**32)
    random.seed(seed + index)
    return dataset[index]
