"""From what a user passes to ``fit`` to batches, and from batches to the steps of one epoch after another."""

import itertools
import warnings
from collections.abc import Iterable

import kerasish.config as config
from kerasish import tree
from kerasish.data.arrays import ArrayBatches
from kerasish.data.batches import Batches, is_array_like
from kerasish.data.iterables import IterableBatches, IteratorBatches, is_iterator
from kerasish.data.py_dataset import PyDataset, PyDatasetBatches


def as_batches(x, y=None, sample_weight=None, batch_size=None, steps=None, shuffle=False, class_weight=None):
    """:class:`Batches` of any kind of data that ``fit``, ``evaluate`` and ``predict`` take.

    ``y``, ``sample_weight``, ``batch_size`` and ``shuffle`` are for arrays (``shuffle`` also for a PyDataset): other kinds of
    data bring their own.
    """
    if all(is_array_like(leaf) for leaf in tree.flatten((x, y, sample_weight))):
        return ArrayBatches(x, y, sample_weight, batch_size, steps, shuffle, class_weight)
    if isinstance(x, (str, bytes)) or tree.is_nested(x) or not isinstance(x, (Batches, PyDataset, Iterable)):
        return ArrayBatches(x, y, sample_weight)  # says what is wrong with it
    for name, what, given in (("y", "the targets", y), ("sample_weight", "the sample weights", sample_weight)):
        if given is not None:
            kind = "generator" if is_iterator(x) else type(x).__name__
            raise ValueError(
                f"When providing `x` as a {kind}, `{name}` should not be passed. Instead, {what} should be included as part of the {kind}."
            )
    if isinstance(x, Batches):
        return x
    if isinstance(x, PyDataset):
        return PyDatasetBatches(x, shuffle, class_weight)
    return IteratorBatches(x, class_weight) if is_iterator(x) else IterableBatches(x, class_weight)


class Epochs:
    """One epoch of steps for each iteration: ``(first step, last step, batches)``, ``steps_per_execution`` batches at a time.

    Without ``steps_per_epoch`` an epoch is one pass over the data. With it, epochs take up where the last one stopped; data that
    ends in the middle of an epoch ends the epoch, with a warning. ``close`` ends what works for the data.
    """

    def __init__(self, batches, steps_per_epoch=None, steps_per_execution=1):
        limit = config.max_steps_per_epoch()
        if limit and (not steps_per_epoch or limit < steps_per_epoch):
            warnings.warn(f"Limiting steps_per_epoch to {limit}", stacklevel=5)
            steps_per_epoch = limit
        self.batches, self.steps_per_epoch, self.steps_per_execution = batches, steps_per_epoch, steps_per_execution
        self._iterator = None

    @property
    def num_batches(self):
        """Steps in an epoch, None before anyone knows."""
        return self.steps_per_epoch or self.batches.num_batches

    def exhausted(self):
        """Whether there is no further epoch."""
        return self.batches.exhausted()

    def __iter__(self):
        self.batches.on_epoch_begin()
        step = 0
        try:
            for chunk in self._chunks():
                yield step, step + len(chunk) - 1, chunk
                step += len(chunk)
        finally:
            if self.steps_per_epoch is None:
                self.close()
            self.batches.on_epoch_end()

    def _chunks(self):
        left = self.steps_per_epoch
        while left != 0:
            wanted = self.steps_per_execution if left is None else min(left, self.steps_per_execution)
            chunk = self._next(wanted)
            if not chunk and left is not None and left == self.steps_per_epoch and self.batches.repeatable:
                self.close()  # the last epoch took all there was: start again
                chunk = self._next(wanted)
            if chunk:
                yield chunk
            if left is not None:
                left -= len(chunk)
            if len(chunk) < wanted:
                self._ran_out(left)
                return

    def _next(self, count):
        if self._iterator is None:
            self._iterator = iter(self.batches)
        return list(itertools.islice(self._iterator, count))

    def _ran_out(self, left):
        self.close()
        if left:
            warnings.warn(
                "Your input ran out of data; interrupting training. Make sure that your dataset or generator can generate at "
                "least `steps_per_epoch * epochs` batches.",
                stacklevel=6,
            )

    def close(self):
        """End what works for the data: threads, processes, generators. The next epoch begins at the data's beginning."""
        iterator, self._iterator = self._iterator, None
        if hasattr(iterator, "close"):
            iterator.close()
