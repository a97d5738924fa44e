"""CallbackList: several callbacks as one."""

from kerasish import tree
from kerasish.backend.autodiff.symbolic import is_default
from kerasish.callbacks.backup_and_restore import BackupAndRestore
from kerasish.callbacks.callback import Callback
from kerasish.callbacks.history import History
from kerasish.callbacks.logs import pythonify_logs
from kerasish.callbacks.progbar_logger import ProgbarLogger


class CallbackList(Callback):
    """Tells several callbacks what it is told (``keras.callbacks.CallbackList``), in their order.

    ``add_history`` and ``add_progbar`` add a :class:`History` and a :class:`ProgbarLogger` where there are none; ``params`` are
    handed to all. Callbacks that don't listen to batches cost nothing per batch: values are read only for those that do.

    >>> callbacks = CallbackList([History()], epochs=3)
    >>> callbacks.params
    {'epochs': 3}
    """

    def __init__(self, callbacks=None, add_history=False, add_progbar=False, model=None, **params):
        super().__init__()
        self.callbacks = tree.flatten(callbacks) if callbacks else []
        self._history = self._find(History)
        if self._history is None and add_history:
            self._history = History()
            self.callbacks.append(self._history)
        if add_progbar and self._find(ProgbarLogger) is None:
            self.callbacks.append(ProgbarLogger())
        self._listeners = {}
        self._find_backups()
        self.set_model(model)
        self.set_params(params)

    def _find(self, kind):
        return next((callback for callback in self.callbacks if isinstance(callback, kind)), None)

    def _find_backups(self):
        """Backups are written when all others have been told of a moment, and taken up when all have been told of the beginning."""
        self._backups = [callback for callback in self.callbacks if isinstance(callback, BackupAndRestore)]
        for backup in self._backups:
            backup.others = self.callbacks

    def append(self, callback):
        """Add a callback, told the same model and settings as the others."""
        self.callbacks.append(callback)
        self._listeners = {}
        self._find_backups()
        callback.set_model(self._model)
        callback.set_params(self.params)

    def set_params(self, params):
        """Hand the settings to all."""
        self.params = params
        if params:
            for callback in self.callbacks:
                callback.set_params(params)

    def set_model(self, model):
        """Hand the model to all, and the model its history."""
        if model is None:
            return
        super().set_model(model)
        if self._history is not None:
            model.history = self._history
        for callback in self.callbacks:
            callback.set_model(model)

    def close(self):
        """Let callbacks that hold something open (a line being drawn, a file) close it, after an error has broken things off."""
        for callback in self.callbacks:
            getattr(callback, "close", lambda: None)()

    # ---- telling
    def _tell(self, moment, *args):
        *position, logs = args
        python = None
        for callback in self._who_listens(moment):
            if getattr(callback, "_reads_batch_logs_itself", False) and "batch" in moment:
                getattr(callback, moment)(*position, logs)
                continue
            if python is None:
                python = pythonify_logs(logs)
            getattr(callback, moment)(*position, python)

    def _who_listens(self, moment):
        if moment not in self._listeners:
            moments = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}
            names = {moment, moments.get(moment, moment)}
            self._listeners[moment] = [
                callback for callback in self.callbacks if not all(is_default(getattr(callback, name)) for name in names)
            ]
        return self._listeners[moment]

    def on_train_begin(self, logs=None):
        self._listeners = {}  # a list may have been changed between two runs
        self._find_backups()
        self._tell("on_train_begin", logs)
        for backup in self._backups:
            backup.take_up()
            backup.write_if_due()

    def on_train_end(self, logs=None):
        self._tell("on_train_end", logs)

    def on_epoch_begin(self, epoch, logs=None):
        self._tell("on_epoch_begin", epoch, logs)
        for backup in self._backups:
            backup.take_up(epoch)

    def on_epoch_end(self, epoch, logs=None):
        self._tell("on_epoch_end", epoch, logs)
        for backup in self._backups:
            backup.write_if_due(logs)

    def on_train_batch_begin(self, batch, logs=None):
        self._tell("on_train_batch_begin", batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        self._tell("on_train_batch_end", batch, logs)
        for backup in self._backups:
            backup.write_if_due(logs)

    def on_batch_begin(self, batch, logs=None):
        self._tell("on_batch_begin", batch, logs)

    def on_batch_end(self, batch, logs=None):
        self._tell("on_batch_end", batch, logs)

    def on_test_begin(self, logs=None):
        self._tell("on_test_begin", logs)

    def on_test_end(self, logs=None):
        self._tell("on_test_end", logs)

    def on_test_batch_begin(self, batch, logs=None):
        self._tell("on_test_batch_begin", batch, logs)

    def on_test_batch_end(self, batch, logs=None):
        self._tell("on_test_batch_end", batch, logs)

    def on_predict_begin(self, logs=None):
        self._tell("on_predict_begin", logs)

    def on_predict_end(self, logs=None):
        self._tell("on_predict_end", logs)

    def on_predict_batch_begin(self, batch, logs=None):
        self._tell("on_predict_batch_begin", batch, logs)

    def on_predict_batch_end(self, batch, logs=None):
        self._tell("on_predict_batch_end", batch, logs)
