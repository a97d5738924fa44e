"""OrbaxCheckpoint: checkpoints in the layout of the package orbax-checkpoint."""

import os
import warnings

from kerasish.callbacks.frequency import EveryBatches
from kerasish.callbacks.monitor import MonitorCallback
from kerasish.console import print_msg
from kerasish.saving.orbax import content_of, orbax


class OrbaxCheckpoint(MonitorCallback):
    """Save model, optimizer and metrics into numbered folders below ``directory`` (``keras.callbacks.OrbaxCheckpoint``).

    Each epoch (numbered by the epoch) or each ``save_freq`` batches (numbered by all batches so far); with ``save_best_only`` where
    ``monitor`` improves. The last ``max_to_keep`` stay (None: all). ``save_on_background`` writes while the training goes on;
    ``save_weights_only`` leaves out the config and the optimizer. ``keras.saving.load_model(directory)`` and
    ``model.load_weights(directory)`` read the newest, as real Keras does. Needs the extra ``orbax`` (orbax-checkpoint, which brings
    JAX): ImportError without it.

    >>> import pytest; _ = pytest.importorskip("orbax.checkpoint")
    >>> import tempfile
    >>> OrbaxCheckpoint(tempfile.mkdtemp(), save_freq=100).is_primary_host()
    True
    """

    def __init__(self, directory, monitor="val_loss", verbose=0, save_best_only=False, mode="auto", save_freq="epoch",
                 initial_value_threshold=None, max_to_keep=1, save_on_background=True, save_weights_only=False):  # fmt: skip
        ocp = orbax()
        super().__init__(monitor, mode, initial_value_threshold)
        if save_freq != "epoch" and not isinstance(save_freq, int):
            raise ValueError(f"Unrecognized save_freq: {save_freq}. Give 'epoch' or a number of batches")
        self.directory, self.verbose = os.path.abspath(directory), verbose
        self.save_best_only, self.save_freq, self.max_to_keep = save_best_only, save_freq, max_to_keep
        self.save_on_background, self.save_weights_only = save_on_background, save_weights_only
        self._every, self._batches_before = EveryBatches(save_freq), 0
        self._saves: list = []
        self.checkpointer = ocp.training.Checkpointer(
            self.directory,
            preservation_policy=None if max_to_keep is None else ocp.training.preservation_policies.LatestN(max_to_keep),
            save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
        )

    def set_model(self, model):
        super().set_model(model)
        if getattr(model, "optimizer", None) is not None:
            self._batches_before = int(model.optimizer.iterations)  # of a model that goes on

    def is_multihost_enabled(self):
        """False: training runs in one process."""
        return False

    def is_primary_host(self):
        """True: training runs in one process."""
        return True

    def on_train_batch_end(self, batch, logs=None):
        if self.save_freq != "epoch" and self._every.due(batch) and self._should_save(logs, f"batch {batch}"):
            self._save_checkpoint(self._batches_before + self._every.total)

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq == "epoch" and self._should_save(logs, f"epoch {epoch}"):
            self._save_checkpoint(epoch)

    def _should_save(self, logs, when):
        if not self.save_best_only:
            return True
        if self.monitor_op is None:
            self._set_monitor_op()
        current = (logs or {}).get(self.monitor)
        if current is None:
            warnings.warn(f"`save_best_only`: there is no {self.monitor} to compare, so nothing is saved at {when}.", stacklevel=3)
            return False
        if not self._is_improvement(current, self.best):
            return False
        self.best = current
        return True

    def _save_checkpoint(self, step, logs=None):
        if self.verbose > 0:
            print_msg(f"\nOrbaxCheckpoint: saving step {step} to {self.directory}")
        content = content_of(self.model, self.save_weights_only)
        if self.save_on_background:
            self._saves.append(self.checkpointer.save_checkpointables_async(step, content))
        else:
            self.checkpointer.save_checkpointables(step, content)

    def wait_until_finished(self):
        """Return when all that is written in the background is there; an error in it is raised here."""
        while self._saves:
            self._saves.pop(0).result()
        self.checkpointer.wait()

    def get_state(self):
        return {"best": self.best, "every": self._every.get_state(), "before": self._batches_before}

    def set_state(self, state):
        self.best, self._batches_before = state["best"], state["before"]
        self._every.set_state(state["every"])

    def on_train_end(self, logs=None):
        self.wait_until_finished()
        self.checkpointer.close()

    def close(self):
        """End what works in the background, after an error has broken the training off."""
        self.on_train_end()
