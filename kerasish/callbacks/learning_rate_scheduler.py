"""LearningRateScheduler: a learning rate for each epoch."""

import numpy as np

from kerasish.callbacks.callback import Callback
from kerasish.callbacks.learning_rate import learning_rate_logs, learning_rate_of, optimizers_of
from kerasish.console import print_msg


class LearningRateScheduler(Callback):
    """Set the learning rate to ``schedule(epoch, learning_rate)`` as each epoch begins
    (``keras.callbacks.LearningRateScheduler``); epochs count from 0.

    >>> LearningRateScheduler(lambda epoch, rate: rate * 0.9).schedule(1, 1.0)
    0.9
    """

    def __init__(self, schedule, verbose=0):
        super().__init__()
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch, logs=None):
        for label, optimizer in optimizers_of(self.model.optimizer):
            rate = self._rate(epoch, optimizer)
            optimizer.learning_rate = rate
            if self.verbose > 0:
                name = f"{label} " if label else ""
                print_msg(f"\nEpoch {epoch + 1}: LearningRateScheduler setting {name}learning rate to {rate}.")

    def _rate(self, epoch, optimizer):
        if not hasattr(optimizer, "learning_rate"):
            raise ValueError('Optimizer must have a "learning_rate" attribute.')
        now = learning_rate_of(optimizer)
        try:
            rate = self.schedule(epoch, now)
        except TypeError:  # an older kind of schedule takes the epoch alone
            rate = self.schedule(epoch)
        if not isinstance(rate, (float, np.float32, np.float64)):
            raise ValueError(f"`schedule` must give a float, got {rate}")
        return rate

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs.update(learning_rate_logs(self.model.optimizer))
