"""ReduceLROnPlateau: smaller steps when larger ones no longer help."""

import warnings

import numpy as np

from kerasish.callbacks.learning_rate import learning_rate_logs, learning_rate_of, optimizers_of
from kerasish.callbacks.monitor import MonitorCallback
from kerasish.console import print_msg


class ReduceLROnPlateau(MonitorCallback):
    """Multiply the learning rate by ``factor`` when ``monitor`` has not improved for ``patience`` epochs
    (``keras.callbacks.ReduceLROnPlateau``), not below ``min_lr``, and then wait ``cooldown`` epochs.

    >>> ReduceLROnPlateau(factor=0.5, min_lr=1e-5).min_lr
    1e-05
    """

    state_attributes = ("best", "wait", "cooldown_counter")

    def __init__(self, monitor="val_loss", factor=0.1, patience=10, verbose=0, mode="auto", min_delta=1e-4, cooldown=0,
                 min_lr=0.0, **kwargs):  # fmt: skip
        super().__init__(monitor, mode, min_delta=min_delta)
        if kwargs:
            raise TypeError(f"ReduceLROnPlateau got unexpected arguments: {sorted(kwargs)}")
        if factor >= 1.0:
            raise ValueError(f"ReduceLROnPlateau does not support a factor >= 1.0, got {factor}")
        self.factor, self.min_lr, self.patience, self.verbose, self.cooldown = factor, min_lr, patience, verbose, cooldown
        self.on_train_begin()

    def on_train_begin(self, logs=None):
        self.best = None
        self.cooldown_counter = self.wait = 0

    def on_epoch_end(self, epoch, logs=None):
        if self.monitor_op is None:
            self._set_monitor_op()
        logs = {} if logs is None else logs
        logs.update(learning_rate_logs(self.model.optimizer))
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(
                f"ReduceLROnPlateau watches `{self.monitor}`, but the logs have only: {','.join(logs)}.",
                stacklevel=2,
            )
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_improvement(current, self.best):
            self.best, self.wait = current, 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and self._reduce(epoch):
                self.cooldown_counter, self.wait = self.cooldown, 0

    def _reduce(self, epoch):
        """Reduce every learning rate that is above ``min_lr``; whether there was one."""
        reduced = False
        for label, optimizer in optimizers_of(self.model.optimizer):
            old = learning_rate_of(optimizer)
            if old > np.float32(self.min_lr):
                new = max(old * self.factor, self.min_lr)
                optimizer.learning_rate = new
                reduced = True
                if self.verbose > 0:
                    name = f" {label}" if label else ""
                    print_msg(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing{name} learning rate to {new}.")
        return reduced

    def in_cooldown(self):
        """Whether epochs are waited for after a reduction."""
        return self.cooldown_counter > 0
