"""The loops around steps: one pass over data, telling callbacks, and the outputs that ``predict`` puts together."""

import contextlib

import numpy as np

from kerasish import tree
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.callbacks.callback_list import CallbackList


def run_epoch(steps, function, begin, end, stopped):
    """Call ``function`` on the batches of each step of one epoch; the last one's logs.

    ``begin(first)`` and ``end(last, logs)`` are told the numbers of the first and last batch, the last one, as in Keras, as if
    all executions were of ``steps_per_execution`` batches; ``stopped()`` ends the epoch.
    The logs are None where the epoch goes on from a position behind its last batch.
    """
    logs, seen = None, False
    with contextlib.closing(iter(steps)) as epoch:
        for first, _, batches in epoch:
            if first and not seen and stopped():  # it was stopped before the position from which it goes on
                break
            begin(first)
            logs, seen = function(iter(batches)), True
            end(first + steps.steps_per_execution - 1, logs)
            if stopped():
                break
    if not seen and not steps.first_step:
        raise ValueError("The data contains no batch: there is nothing to train on, to evaluate or to predict.")
    return logs


@contextlib.contextmanager
def callback_list(callbacks, model, steps, verbose, epochs=1, history=False):
    """The callbacks as one, for the time of a run; after an error they close what they hold open."""
    if not isinstance(callbacks, CallbackList):
        callbacks = CallbackList(
            callbacks, add_history=history, add_progbar=verbose != 0, model=model, verbose=verbose, epochs=epochs,
            steps=steps.num_batches,
        )  # fmt: skip
    try:
        yield callbacks
    except BaseException:
        callbacks.close()
        raise


class Outputs:
    """Outputs of one batch after another, as NumPy arrays in the structure in which they come.

    A device still works on the last ones: they are fetched when the next have come.
    """

    def __init__(self):
        self.structure, self.batches, self._last = None, [], []

    def add(self, outputs):
        """Take a batch's outputs."""
        self._fetch()
        self._last.append(outputs)

    def _fetch(self):
        if self._last:
            self.structure = self._last.pop()
            self.batches.append([_numpy(y) for y in tree.flatten(self.structure)])

    def joined(self):
        """All batches' outputs, joined along the first axis."""
        self._fetch()
        columns = zip(*self.batches, strict=True)
        joined = [parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in columns]
        return tree.pack_sequence_as(self.structure, joined)


def _numpy(x):
    return x.numpy() if isinstance(x, Tensor) else np.asarray(x)
