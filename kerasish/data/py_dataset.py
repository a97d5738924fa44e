"""PyDataset: batches by number, made in the main thread, in threads or in processes."""

import contextlib
import itertools
import random
import warnings

from kerasish.data.ahead import by_threads
from kerasish.data.batches import Batches, as_batch, with_class_weight
from kerasish.data.iterables import standardize_batch
from kerasish.data.processes import Processes


class PyDataset:
    """Base of data sets that give whole batches by number (``keras.utils.PyDataset``).

    Subclasses define ``__getitem__(index)``, which returns ``(x, y)`` or the like, and ``__len__`` (the number of batches), or
    the property ``num_batches`` (None: endless). ``workers`` > 1 makes batches in threads, ``use_multiprocessing`` in processes,
    at most ``max_queue_size`` ahead. ``on_epoch_begin`` and ``on_epoch_end`` may change the data between epochs; if what they
    change is to survive an interruption (BackupAndRestore), define ``state_dict()`` and ``load_state_dict(state)``, for JSON.

    >>> import numpy as np
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
                f"`{type(self).__name__}.__init__` should call `super().__init__(**kwargs)`: `workers`, `use_multiprocessing` and "
                "`max_queue_size` are set there. The defaults are taken.",
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
        try:
            number = self.num_batches
        except NotImplementedError:
            number = None  # nobody says when to stop
        for index in itertools.count() if number is None else range(number):
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
        self._processes = None

    def __iter__(self):
        return self.iterate()

    def iterate(self, start=0):
        self.num_batches = self.dataset.num_batches  # an epoch's end may have changed it
        return self._standardized(self._made(itertools.islice(self._order(), start, None)))

    def _made(self, order):
        """What makes the batches with these numbers: a generator."""
        dataset, workers, ahead = self.dataset, self.dataset.workers, self.dataset.max_queue_size
        if workers > 0 and dataset.use_multiprocessing:
            if self._processes is None or self._processes.workers != workers or not self._processes.alive:
                self.close()
                self._processes = Processes(workers)
            return self._processes.batches(dataset, order, random.getrandbits(31), ahead)
        if workers > 1:
            return by_threads(dataset.__getitem__, order, workers, ahead)
        return (dataset[index] for index in order)

    def _standardized(self, batches):
        with contextlib.closing(batches):
            for batch in batches:
                yield self._batch(batch)

    def state(self, running):
        return self.dataset.state_dict() if hasattr(self.dataset, "state_dict") else None

    def set_state(self, state):
        if state is not None:
            self.dataset.load_state_dict(state)

    def close(self):
        processes, self._processes = self._processes, None
        if processes is not None:
            processes.close()

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
