"""EarlyStopping: end the training when it no longer helps."""

import warnings

from kerasish.callbacks.monitor import MonitorCallback
from kerasish.console import print_msg


class EarlyStopping(MonitorCallback):
    """Stop when ``monitor`` has not improved for ``patience`` epochs (``keras.callbacks.EarlyStopping``).

    Only changes above ``min_delta`` count, and only those beyond ``baseline``, if given, make patience start anew.
    ``restore_best_weights`` goes back to the best epoch's weights; ``start_from_epoch`` epochs are not judged.

    >>> EarlyStopping(monitor="loss", patience=3).patience
    3
    """

    state_attributes = ("wait", "stopped_epoch", "best_epoch", "best", "best_weights")

    def __init__(self, monitor="val_loss", min_delta=0, patience=0, verbose=0, mode="auto", baseline=None,
                 restore_best_weights=False, start_from_epoch=0):  # fmt: skip
        super().__init__(monitor, mode, min_delta=min_delta)
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self.on_train_begin()

    def on_train_begin(self, logs=None):
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = self.best_weights = None

    def on_epoch_end(self, epoch, logs=None):
        if self.monitor_op is None:
            self._set_monitor_op()
        current = self.get_monitor_value(logs)
        if current is not None and epoch >= self.start_from_epoch:
            self._judge(epoch, current)

    def _judge(self, epoch, current):
        better = self._is_improvement(current, self.best)
        if better or (self.restore_best_weights and self.best_weights is None):  # with a NaN there may never be a better one
            self._remember(epoch)
        self.best = current if better else self.best
        enough = better and (self.baseline is None or self._is_improvement(current, self.baseline))
        self.wait = 0 if enough else self.wait + 1
        if not better and self.wait >= self.patience and epoch > 0:
            self.stopped_epoch, self.model.stop_training = epoch, True

    def _remember(self, epoch):
        self.best_epoch = epoch
        if self.restore_best_weights:
            self.best_weights = self.model.get_weights()

    def on_train_end(self, logs=None):
        if self.stopped_epoch > 0 and self.verbose > 0:
            print_msg(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose > 0:
                print_msg(f"Going back to the weights of epoch {self.best_epoch + 1}, the best one.")
            self.model.set_weights(self.best_weights)

    def get_monitor_value(self, logs):
        """The watched number, None with a warning where it is not among the logs."""
        logs = logs or {}
        if logs.get(self.monitor) is None:
            warnings.warn(
                f"EarlyStopping watches `{self.monitor}`, but the logs have only: {','.join(logs)}",
                stacklevel=2,
            )
        return logs.get(self.monitor)
