"""Batches that something else makes: Python generators and iterators, PyTorch's DataLoader, tf.data, any iterable of batches.

None of them is read ahead: what a generator yields may depend on the model, or on NumPy's random numbers, as they are when it
is asked. To have batches made ahead, use a PyDataset or a DataLoader with workers.
"""

import itertools
import sys
from collections.abc import Iterator

from kerasish.data.batches import Batches, as_array, as_batch, is_array_like, with_class_weight


class IteratorBatches(Batches):
    """The batches of a generator or iterator, which can be gone through once and is read no further than asked for."""

    repeatable = False

    def __init__(self, iterator, class_weight=None):
        self.iterator, self.class_weight = iterator, class_weight
        self._peeked = []
        if self.exhausted():
            raise ValueError("A generator given as data must yield at least one batch, and this one gives none.")

    def exhausted(self):
        if not self._peeked:
            self._peeked = list(itertools.islice(self.iterator, 1))
        return not self._peeked

    def peek(self):
        return self._batch(self._peeked[0])

    def __iter__(self):
        while not self.exhausted():
            yield self._batch(self._peeked.pop())

    def _batch(self, batch):
        if not isinstance(batch, tuple) or not 1 <= len(batch) <= 3:
            raise ValueError(
                "A generator given as data must return a tuple: (inputs,), (inputs, targets) or (inputs, targets, "
                f"sample_weights). Got {_brief(batch)}"
            )
        return with_class_weight(as_batch(batch), self.class_weight)


class IterableBatches(Batches):
    """The batches of something that can be iterated again for each epoch: a DataLoader, a tf.data.Dataset, ..."""

    def __init__(self, iterable, class_weight=None):
        self.iterable, self.class_weight = iterable, class_weight
        self.num_batches = _length(iterable)
        self._passes = 0  # that have begun

    def __iter__(self):
        self._passes += 1
        iterator = iter(self.iterable)
        try:
            for batch in iterator:
                yield with_class_weight(as_batch(standardize_batch(batch, type(self.iterable).__name__)), self.class_weight)
        finally:
            if hasattr(iterator, "close"):
                iterator.close()

    def state(self, running):
        return self._passes - running

    def set_state(self, state):
        """Begin and drop as many passes: what shuffles anew for each goes on with the order that would have come."""
        while self._passes < (state or 0):
            self.peek()


def standardize_batch(batch, source):
    """A batch as what steps are given: lists as tuples, an array or a dict alone as ``x``."""
    if isinstance(batch, dict):
        return batch
    if isinstance(batch, list):
        batch = tuple(batch)
    if not isinstance(batch, tuple) and is_array_like(batch) and batch is not None:
        return as_array(batch)
    if not isinstance(batch, tuple) or not 1 <= len(batch) <= 3:
        raise ValueError(
            f"{source} must return a tuple (inputs,), (inputs, targets) or (inputs, targets, sample_weights), or a dict of "
            f"inputs. Got {_brief(batch)}"
        )
    return batch


def _brief(batch):
    return f"{str(batch)[:100]}... of type {type(batch)}"


def _length(iterable):
    """Number of batches, None where it is unknown or endless."""
    if hasattr(iterable, "cardinality"):  # tf.data: negative for unknown and infinite
        count = iterable.cardinality
        count = int(count() if callable(count) else count)
        return count if count >= 0 else None
    try:
        count = len(iterable)
    except TypeError:
        return None
    return count if count < sys.maxsize else None  # so long is what grain repeats forever


def is_iterator(x):
    """Whether ``x`` gives batches once: a generator or another iterator."""
    return isinstance(x, Iterator)
