"""PyDataset: batches by number, made in the main thread, in threads or in processes."""

import concurrent.futures
import itertools
import random
import warnings
from collections import deque

import numpy as np

from kerasish.data.batches import Batches, as_batch, with_class_weight
from kerasish.data.iterables import standardize_batch

_DEFAULTS = {"workers": 1, "use_multiprocessing": False, "max_queue_size": 10}


class PyDataset:
    """Base of data sets that give whole batches by number (``keras.utils.PyDataset``).

    Subclasses define ``__getitem__(index)``, which returns ``(x, y)`` or the like, and ``__len__`` (the number of batches), or
    the property ``num_batches`` (None: endless). ``workers`` > 1 makes batches in threads, ``use_multiprocessing`` in processes,
    at most ``max_queue_size`` ahead. ``on_epoch_begin`` and ``on_epoch_end`` may change the data between epochs.

    >>> class Squares(PyDataset):
    ...     def __len__(self):
    ...         return 2
    ...     def __getitem__(self, index):
    ...         return np.array([index]), np.array([index ** 2])
    >>> [int(y[0]) for x, y in Squares()]
    [0, 1]
    """

    def __init__(self, workers=1, use_multiprocessing=False, max_queue_size=10):
        self._workers, self._use_multiprocessing, self._max_queue_size = workers, use_multiprocessing, max_queue_size

    def _setting(self, name):
        if not hasattr(self, f"_{name}"):
            warnings.warn(
                "Your `PyDataset` class should call `super().__init__(**kwargs)` in its constructor. `**kwargs` can include "
                "`workers`, `use_multiprocessing`, `max_queue_size`. Do not pass these arguments to `fit()`, as they will be "
                "ignored.",
                stacklevel=4,
            )
            PyDataset.__init__(self)
        return getattr(self, f"_{name}")

    @property
    def workers(self):
        """How many threads or processes make batches; up to 1 without processes, the main thread makes them itself."""
        return self._setting("workers")

    @workers.setter
    def workers(self, value):
        self._workers = value

    @property
    def use_multiprocessing(self):
        """Whether workers are processes."""
        return self._setting("use_multiprocessing")

    @use_multiprocessing.setter
    def use_multiprocessing(self, value):
        self._use_multiprocessing = value

    @property
    def max_queue_size(self):
        """How many batches workers may be ahead."""
        return self._setting("max_queue_size")

    @max_queue_size.setter
    def max_queue_size(self, value):
        self._max_queue_size = value

    def __getitem__(self, index):
        raise TypeError(f"{type(self).__name__} must define __getitem__(index), which returns a batch.")

    def __iter__(self):
        for index in itertools.count() if self.num_batches is None else range(self.num_batches):
            yield self[index]

    @property
    def num_batches(self):
        """Number of batches, None for an endless data set."""
        if hasattr(self, "__len__"):
            return len(self)
        raise NotImplementedError(f"{type(self).__name__} must define `__len__`, or the property `num_batches`.")

    def on_epoch_begin(self):
        """Called at the beginning of every epoch."""

    def on_epoch_end(self):
        """Called at the end of every epoch."""


class PyDatasetBatches(Batches):
    """The batches of a :class:`PyDataset`; ``shuffle`` draws a new order for each epoch, as Keras from Python's ``random``."""

    def __init__(self, dataset, shuffle=False, class_weight=None):
        self.dataset, self.class_weight = dataset, class_weight
        self.num_batches = dataset.num_batches
        self.shuffle = shuffle and self.num_batches is not None
        self.on_epoch_begin, self.on_epoch_end = dataset.on_epoch_begin, dataset.on_epoch_end

    def __iter__(self):
        self.num_batches = self.dataset.num_batches  # an epoch's end may have changed it
        workers, processes = self.dataset.workers, self.dataset.use_multiprocessing
        if workers > 1 or (workers > 0 and processes):
            batches = _made_by_workers(self.dataset, self._order(), workers, processes, self.dataset.max_queue_size)
        else:
            batches = (self.dataset[index] for index in self._order())
        for batch in batches:
            yield self._batch(batch)

    def peek(self):
        first = next(iter(self._order()), None)
        return super().peek() if first is None else self._batch(self.dataset[first])

    def _order(self):
        if self.num_batches is None:
            return itertools.count()
        order = list(range(self.num_batches))
        if self.shuffle:
            random.shuffle(order)
        return order

    def _batch(self, batch):
        return with_class_weight(as_batch(standardize_batch(batch, "PyDataset.__getitem__()")), self.class_weight)


def _made_by_workers(dataset, order, workers, processes, ahead):
    """Batches in order, at most ``ahead`` of them waiting. An error in a worker is raised here, with the worker's traceback;
    whatever happens, all workers have ended when this generator has."""
    if processes:
        seed = random.getrandbits(31)
        pool = concurrent.futures.ProcessPoolExecutor(workers, initializer=_remember, initargs=(dataset, seed))
        make = _make_in_process
    else:
        pool, make = concurrent.futures.ThreadPoolExecutor(workers, "kerasish-data"), dataset.__getitem__
    indexes, waiting = iter(order), deque()
    try:
        waiting.extend(pool.submit(make, index) for index in itertools.islice(indexes, max(1, ahead)))
        while waiting:
            batch = waiting.popleft().result()
            waiting.extend(pool.submit(make, index) for index in itertools.islice(indexes, 1))
            yield batch
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_in_process: dict = {}  # in a worker process: the data set that it makes batches of, and the seed of its random numbers


def _remember(dataset, seed):
    _in_process.update(dataset=dataset, seed=seed)


def _make_in_process(index):
    # A forked process starts with a copy of its parent's generators: without a seed per batch all would draw the same numbers.
    np.random.seed((_in_process["seed"] + index) % 2**32)
    random.seed(_in_process["seed"] + index)
    return _in_process["dataset"][index]
