"""BackupAndRestore: a training that goes on where it was broken off, as if nothing had happened."""

import json
import os
import pathlib
import shutil
import warnings

from kerasish.callbacks.callback import Callback
from kerasish.callbacks.frequency import EveryBatches
from kerasish.callbacks.logs import pythonify_logs
from kerasish.saving.backup import Backup, DamagedBackupError, global_seed_state, set_global_seed_state, write


class BackupAndRestore(Callback):
    """Back the training up each epoch, or each ``save_freq`` batches, and take it up again (``keras.callbacks.BackupAndRestore``).

    The same script, started again after a crash, ends with the same weights, bit for bit, as one that was never broken off: see
    docs/resume.md. ``double_checkpoint`` keeps the backup before the last too, for the case that the last one gets damaged;
    ``delete_checkpoint`` removes ``backup_dir``, which must hold nothing else, when the training is over. ``save_freq=False`` only
    restores. ValueError for a backup that is damaged, or is of another model.

    >>> BackupAndRestore("backup", save_freq=100).save_freq
    100
    """

    _reads_batch_logs_itself = True
    others = None  # the callbacks of the list that this one is in; the list says when to write and to take up

    def __init__(self, backup_dir, save_freq="epoch", double_checkpoint=False, delete_checkpoint=True):
        super().__init__()
        if not backup_dir:
            raise ValueError("Empty `backup_dir` argument passed")
        if save_freq != "epoch" and (not isinstance(save_freq, int) or (save_freq < 1 and save_freq is not False)):
            raise ValueError(
                "Invalid value for argument `save_freq`. Expected 'epoch', or a positive number of batches, or False. "
                f"Received: save_freq={save_freq}"
            )
        self.backup_dir = os.fspath(backup_dir)
        self.save_freq, self.double_checkpoint, self.delete_checkpoint = save_freq, double_checkpoint, delete_checkpoint
        self._weights_path = os.path.join(self.backup_dir, "latest.weights.h5")
        self._training_metadata_path = os.path.join(self.backup_dir, "training_metadata.json")
        self._prev_weights_path = f"{self._weights_path}.bkp"
        self._prev_training_metadata_path = f"{self._training_metadata_path}.bkp"
        self._every = EveryBatches(save_freq)
        self._current_epoch = self._last_batch_seen = 0
        self._batch = None  # the last one within the epoch, None between two epochs
        self._due, self._found = False, None

    # ---- taking up
    def on_train_begin(self, logs=None):
        self._current_epoch, self._last_batch_seen, self._batch, self._due = 0, 0, None, False
        self._every = EveryBatches(self.save_freq)
        for leftover in pathlib.Path(self.backup_dir).glob(".*.tmp"):  # of a process that was killed while it wrote
            leftover.unlink()
        self._found = self._read()
        if self._found is None:
            self._set_due(self.double_checkpoint)  # what to fall back to should the first backup get damaged
            return
        if not self.model.built:
            raise ValueError(f"BackupAndRestore: model '{self.model.name}' must be built before you call `fit()`: call it on some data.")
        if self.model.optimizer is not None and not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        self._found.restore_variables(self.model)
        if self._found.state is None:  # real Keras wrote it: all it knows is the epoch
            self.model._initial_epoch, self._found = self._epoch_of_keras(), None
        else:
            self._current_epoch = self.model._initial_epoch = self._found.state["epoch"]

    def _read(self):
        """The backup, None if there is none; the one before it where it is damaged, or was just about to be replaced."""
        for path in (self._weights_path, self._prev_weights_path):
            if not os.path.exists(path):
                continue
            try:
                found = Backup(path)
            except DamagedBackupError as error:
                if path == self._prev_weights_path or not os.path.exists(self._prev_weights_path):
                    raise DamagedBackupError(f"{error} Delete {self.backup_dir} to begin the training anew.") from error
                warnings.warn(f"{error} Going on from the backup before it.", stacklevel=4)
                continue
            if path == self._prev_weights_path:  # it must not be replaced by the damaged one
                _move(self._prev_weights_path, self._weights_path)
                _move(self._prev_training_metadata_path, self._training_metadata_path)
                found.path = self._weights_path
            return found
        return None

    def _epoch_of_keras(self):
        path = pathlib.Path(self._training_metadata_path)
        try:
            return int(json.loads(path.read_text())["epoch"]) if path.exists() else None
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedBackupError(f"{path} is damaged: {error!r}") from error

    def take_up(self, epoch=None):
        """Put everything back: after ``on_train_begin``, or, of a backup within an epoch, after this epoch's ``on_epoch_begin``."""
        if self._found is None or (self._found.state["batch"] is not None and epoch != self._found.state["epoch"]):
            return
        found, self._found = self._found, None
        found.restore_variables(self.model)
        state = found.state
        for name, callback in self._by_name():
            if name in state["callbacks"]:
                callback.set_state(state["callbacks"][name])
        set_global_seed_state(state["global_seed"])
        self.model._resumed_logs = state["logs"]
        self.model.stop_training = state["stop_training"]
        if state["stop_training"] and state["batch"] is None:
            self.model._initial_epoch = (self.params or state).get("epochs", state["epoch"])  # no further epoch
        for name, position in state["positions"].items():
            epochs = getattr(self.model, name, None)
            if epochs is not None and position is not None:
                epochs.restore(position)

    # ---- writing
    def on_epoch_end(self, epoch, logs=None):
        self._current_epoch, self._last_batch_seen = epoch + 1, 0
        self._batch = None
        self._set_due(self.save_freq == "epoch", logs)

    def on_train_batch_end(self, batch, logs=None):
        if self.save_freq in ("epoch", False):
            return
        self._last_batch_seen = self._batch = batch
        self._set_due(self._every.due(batch), logs)

    def on_epoch_begin(self, epoch, logs=None):
        self._current_epoch = epoch

    def _set_due(self, due, logs=None):
        self._due = due
        if self.others is None:
            self.write_if_due(logs)

    def write_if_due(self, logs=None):
        """Write a backup if it is time to: when all callbacks have been told of the moment."""
        if self._due:
            self._due = False
            self._save_model(logs)

    def _save_model(self, logs=None):
        if self.double_checkpoint:
            _move(self._weights_path, self._prev_weights_path)
            _move(self._training_metadata_path, self._prev_training_metadata_path)
        write(self._weights_path, self.model, self._state_of_all(logs))
        # for Keras and for people: the backup itself has it too
        pathlib.Path(self._training_metadata_path).write_text(json.dumps({"epoch": self._current_epoch, "batch": self._last_batch_seen}))

    def _state_of_all(self, logs):
        positions = {name: getattr(self.model, name, None) for name in ("_eval_epochs", "_train_epochs")}
        return {
            "epoch": self._current_epoch,
            "batch": self._batch,
            "logs": pythonify_logs(logs),
            "stop_training": self.model.stop_training,
            "global_seed": global_seed_state(),
            "positions": {name: None if epochs is None else epochs.position() for name, epochs in positions.items()},
            "callbacks": {name: state for name, callback in self._by_name() if (state := callback.get_state())},
        }

    def _by_name(self):
        """Pairs (name, callback): its class's name, numbered where there are several."""
        seen: dict[str, int] = {}
        for callback in self.others or [self]:
            name = type(callback).__name__
            seen[name] = seen.get(name, -1) + 1
            yield f"{name}_{seen[name]}" if seen[name] else name, callback

    def get_state(self):
        return self._every.get_state()

    def set_state(self, state):
        self._every.set_state(state)

    def on_train_end(self, logs=None):
        if self.delete_checkpoint and os.path.exists(self.backup_dir):
            shutil.rmtree(self.backup_dir)


def _move(path, to):
    """Put a file, if it is there, in another's place."""
    if os.path.exists(path):
        os.replace(path, to)
