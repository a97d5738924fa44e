"""ModelCheckpoint: files of the model while it learns."""

import os
import warnings

import numpy as np

from kerasish.callbacks.frequency import EveryBatches
from kerasish.callbacks.monitor import MonitorCallback
from kerasish.console import print_msg


class ModelCheckpoint(MonitorCallback):
    """Save the model, or its weights, each epoch or each ``save_freq`` batches (``keras.callbacks.ModelCheckpoint``).

    ``filepath`` may name logs, as in ``"{epoch:02d}-{val_loss:.2f}.keras"`` (epochs and batches count from 1); it ends in
    ``.keras`` or ``.h5``, with ``save_weights_only`` in ``.weights.h5``. ``save_best_only`` saves where ``monitor`` improves,
    at first on ``initial_value_threshold``. A file is whole at any time: it takes the old one's place when it is written.

    >>> ModelCheckpoint("best.keras", save_best_only=True).monitor
    'val_loss'
    """

    def __init__(self, filepath, monitor="val_loss", verbose=0, save_best_only=False, save_weights_only=False, mode="auto",
                 save_freq="epoch", initial_value_threshold=None):  # fmt: skip
        super().__init__(monitor, mode, initial_value_threshold)
        self.filepath, self.verbose = os.fspath(filepath), verbose
        self.save_best_only, self.save_weights_only, self.save_freq = save_best_only, save_weights_only, save_freq
        self._every = EveryBatches(save_freq)
        if save_freq != "epoch" and not isinstance(save_freq, int):
            raise ValueError(f"Unrecognized save_freq: {save_freq}. Give 'epoch' or a number of batches")
        if save_weights_only and not self.filepath.endswith(".weights.h5"):
            raise ValueError(f"With `save_weights_only=True` the filepath must end in `.weights.h5`, got {self.filepath}")
        if not save_weights_only and not self.filepath.endswith((".keras", ".h5")):
            raise ValueError(f"A whole model's filepath must end in `.keras`, got {self.filepath}")

    def on_train_batch_end(self, batch, logs=None):
        if self.save_freq != "epoch" and self._every.due(batch):
            self._save_model(self._current_epoch, batch, logs)

    def on_epoch_begin(self, epoch, logs=None):
        self._current_epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq == "epoch":
            self._save_model(epoch, None, logs)

    def get_state(self):
        return {"best": self.best, "every": self._every.get_state()}

    def set_state(self, state):
        self.best = state["best"]
        self._every.set_state(state["every"])

    def _save_model(self, epoch, batch, logs):
        logs = logs or {}
        path = self._path(epoch, batch, logs)
        if not self._should_save(epoch, logs, path):
            return
        if os.path.isdir(path) and self.save_weights_only:
            raise OSError(f"ModelCheckpoint writes a file, but its filepath is a directory: {path}")
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        save = self.model.save_weights if self.save_weights_only else self.model.save
        save(path, overwrite=True)
        self._say(epoch, f"finished saving model to {path}")

    def _should_save(self, epoch, logs, path):
        if not self.save_best_only:
            self._say(epoch, f"saving model to {path}")
            return True
        if self.monitor_op is None:
            self._set_monitor_op()
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(f"Can save best model only with {self.monitor} available.", stacklevel=4)
            return True
        if np.ndim(current) > 0:
            warnings.warn(
                f"`save_best_only` needs a scalar value to compare, but `monitor` gave {current}. Saving anyway.",
                stacklevel=4,
            )
            return True
        best = "None" if self.best is None else f"{self.best:.5f}"
        if not self._is_improvement(current, self.best):
            self._say(epoch, f"{self.monitor} did not improve from {best}")
            return False
        self._say(epoch, f"{self.monitor} improved from {best} to {current:.5f}, saving model to {path}")
        self.best = current
        return True

    def _say(self, epoch, message):
        if self.verbose > 0:
            print_msg(f"\nEpoch {epoch + 1}: {message}")

    def _path(self, epoch, batch, logs):
        numbers = {"epoch": epoch + 1, **({} if batch is None else {"batch": batch + 1}), **logs}
        try:
            return self.filepath.format(**numbers)
        except KeyError as error:
            raise KeyError(f'Failed to format this callback filepath: "{self.filepath}". Reason: {error}') from None
