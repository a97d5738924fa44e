"""From what a user passes to ``fit`` to batches, and from batches to the steps of one epoch after another."""

import itertools
import warnings
from collections.abc import Iterable

import numpy as np

import kerasish.config as config
from kerasish import tree
from kerasish.backend.arrays import active
from kerasish.data.arrays import ArrayBatches
from kerasish.data.batches import Batches, is_array_like
from kerasish.data.iterables import IterableBatches, IteratorBatches, is_iterator
from kerasish.data.py_dataset import PyDataset, PyDatasetBatches
from kerasish.data.random_state import get_random_state, set_random_state
from kerasish.data.rows import is_stored
from kerasish.data.streams import StreamedBatches


def as_batches(x, y=None, sample_weight=None, batch_size=None, steps=None, shuffle=False, class_weight=None):
    """:class:`Batches` of any kind of data that ``fit``, ``evaluate`` and ``predict`` take.

    ``y``, ``sample_weight``, ``batch_size`` and ``shuffle`` are for arrays (``shuffle`` also for a PyDataset): other kinds of
    data bring their own.
    """
    leaves = tree.flatten((x, y, sample_weight))
    if all(is_array_like(leaf) for leaf in leaves):
        kind = StreamedBatches if any(is_stored(leaf) for leaf in leaves) else ArrayBatches
        return kind(x, y, sample_weight, batch_size, steps, shuffle, class_weight)
    if isinstance(x, (str, bytes)) or is_array_like(x) or tree.is_nested(x) or not isinstance(x, (Batches, PyDataset, Iterable)):
        return ArrayBatches(x, y, sample_weight)  # says what is wrong with it
    for name, what, given in (("y", "the targets", y), ("sample_weight", "the sample weights", sample_weight)):
        if given is not None:
            kind = "generator" if is_iterator(x) else type(x).__name__
            raise ValueError(f"With `x` a {kind}, `{name}` should not be passed: the {kind} gives the {what}.")
    if isinstance(x, Batches):
        return x
    if isinstance(x, PyDataset):
        return PyDatasetBatches(x, shuffle, class_weight)
    return IteratorBatches(x, class_weight) if is_iterator(x) else IterableBatches(x, class_weight)


class Epochs:
    """One epoch of steps for each iteration: ``(first step, last step, batches)``, ``steps_per_execution`` batches at a time.

    Without ``steps_per_epoch`` an epoch is one pass over the data. With it, epochs take up where the last one stopped; data that
    ends in the middle of an epoch ends the epoch, with a warning. ``close`` ends what works for the data.

    ``position()`` says which batches have been handed out; ``restore`` lets a new object for the same data go on behind them.
    """

    def __init__(self, batches, steps_per_epoch=None, steps_per_execution=1):
        if steps_per_epoch is not None and (not isinstance(steps_per_epoch, (int, np.integer)) or steps_per_epoch < 1):
            raise ValueError(f"The number of steps in an epoch must be a positive integer. Received: {steps_per_epoch!r}")
        limit = config.max_steps_per_epoch()
        if limit and (not steps_per_epoch or limit < steps_per_epoch):
            warnings.warn(f"Limiting steps_per_epoch to {limit}", stacklevel=5)
            steps_per_epoch = limit
        self.batches, self.steps_per_epoch, self.steps_per_execution = batches, steps_per_epoch, steps_per_execution
        self._iterator = None
        self._step = self._taken = 0  # batches of this epoch, and of this pass, that were handed out
        self._began = None  # the random state from which this pass drew its order
        self._restored = None  # a position to go on from
        self.first_step = 0  # where this epoch began: not at 0 after a restored position

    @property
    def num_batches(self):
        """Steps in an epoch, None before anyone knows."""
        return self.steps_per_epoch or self.batches.num_batches

    def exhausted(self):
        """Whether there is no further epoch."""
        return self._restored is None and self.batches.exhausted()

    def position(self):
        """Which batches have been handed out, and the random states that fix those to come, as what JSON can hold."""
        if self._restored is not None:
            return {**self._restored, "random": get_random_state()}
        here = {"step": self._step, "taken": self._taken, "began": self._began}
        return {**here, "random": get_random_state(), "data": self.batches.state(self._taken > 0)}

    def restore(self, position):
        """Let the next epoch begin behind the batches that a position names, with its random states.

        Arrays, files and a PyDataset go there at once; what can only be iterated is iterated up to there, from the pass's
        beginning, and its passes before are begun.
        """
        self.end_pass()
        self._restored = position
        self.batches.set_state(position["data"])
        set_random_state(position["random"])

    def __iter__(self):
        before = None if self._restored is None else get_random_state()
        self.batches.on_epoch_begin()
        if self._restored is not None:
            self._go_on(before)
        self.first_step = self._step
        try:
            for chunk in self._chunks():
                self._step += len(chunk)
                yield self._step - len(chunk), self._step - 1, chunk
        finally:
            self._step = 0
            if self.steps_per_epoch is None:
                self.end_pass()
            self.batches.on_epoch_end()

    def _go_on(self, before):
        position, self._restored = self._restored, None
        self._step = position["step"]
        now = before if self._step else get_random_state()  # an epoch's beginning that is told a second time draws nothing,
        if self._step:
            self.batches.set_state(position["data"])  # and changes nothing
        if position["taken"]:
            set_random_state(position["began"])
            self._begin_pass(position["taken"])
        set_random_state(now)

    def _chunks(self):
        left = None if self.steps_per_epoch is None else self.steps_per_epoch - self._step
        while left != 0:
            wanted = self.steps_per_execution if left is None else min(left, self.steps_per_execution)
            chunk = self._next(wanted)
            if not chunk and left is not None and left == self.steps_per_epoch and self.batches.repeatable:
                self.end_pass()  # the last epoch took all there was: start again
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
            self._begin_pass()
        chunk = list(itertools.islice(self._iterator, count))
        self._taken += len(chunk)
        return chunk

    def _begin_pass(self, start=0):
        if self.batches.repeatable or self._began is None:
            self._began = get_random_state()
        self._iterator = active.xp.ahead(self.batches.iterate(start))
        self._taken = max(start, self._taken)

    def _ran_out(self, left):
        self.end_pass()
        if left:
            warnings.warn(
                "Your input ran out of data, and training stops. It has to give `steps_per_epoch * epochs` batches.",
                stacklevel=6,
            )

    def end_pass(self):
        """Let the next epoch begin at the data's beginning."""
        iterator, self._iterator = self._iterator, None
        if self.batches.repeatable:
            self._taken = 0
        if hasattr(iterator, "close"):
            iterator.close()

    def close(self):
        """End what works for the data: threads, processes, generators. The next epoch begins at the data's beginning."""
        try:
            self.end_pass()
        finally:
            self.batches.close()
