"""ProgbarLogger: the progress bar of ``fit``, ``evaluate`` and ``predict``."""

from kerasish.callbacks.callback import Callback
from kerasish.console import Progbar, is_dynamic, print_msg


class ProgbarLogger(Callback):
    """Shows progress and metrics (``keras.callbacks.ProgbarLogger``); ``fit`` adds one unless ``verbose=0``.

    With ``verbose=1`` in a terminal or a notebook: a bar. With ``verbose=2``, or where nothing can be drawn again: one line for
    each epoch. Validation within ``fit`` shows no bar of its own.

    >>> bar = ProgbarLogger()
    >>> bar.set_params({"verbose": 2, "epochs": 2, "steps": 1})
    >>> bar.on_epoch_begin(0); bar.on_train_batch_end(0); bar.on_epoch_end(0, {"loss": 0.5})
    Epoch 1/2 - 1/1 - 0s - ... - loss: 0.5000
    """

    _reads_batch_logs_itself = True  # only when they are drawn: reading a value may wait for a device

    def __init__(self):
        super().__init__()
        self.seen, self.progbar, self.target, self.verbose, self.epochs = 0, None, None, 1, 1
        self._called_in_fit = False

    def set_params(self, params):
        self.params = params
        self.verbose = 1 if params["verbose"] == "auto" else params["verbose"]
        self.epochs, self.target = params["epochs"], params["steps"]

    def on_train_begin(self, logs=None):
        self._called_in_fit = True

    def on_train_end(self, logs=None):
        self._called_in_fit = False

    def on_epoch_begin(self, epoch, logs=None):
        title = f"Epoch {epoch + 1}/{self.epochs}" if self.epochs > 1 else ""
        self._begin(title)
        if title and self.verbose == 1 and is_dynamic():
            print_msg(title)

    def on_test_begin(self, logs=None):
        if not self._called_in_fit:
            self._begin()

    def on_predict_begin(self, logs=None):
        self._begin()

    def on_train_batch_end(self, batch, logs=None):
        self._update(batch, logs)

    def on_test_batch_end(self, batch, logs=None):
        if not self._called_in_fit:
            self._update(batch, logs)

    def on_predict_batch_end(self, batch, logs=None):
        self._update(batch, None)

    def on_epoch_end(self, epoch, logs=None):
        self._finalize(logs)

    def on_test_end(self, logs=None):
        if not self._called_in_fit:
            self._finalize(logs)

    def on_predict_end(self, logs=None):
        self._finalize(logs)

    def close(self):
        """Begin a new line if one is being drawn."""
        if self.progbar is not None:
            self.progbar.close()
        self._called_in_fit = False

    def _begin(self, title=""):
        self.seen = 0
        self.progbar = Progbar(self.target, verbose=self.verbose, stateless_metrics=set())
        self.progbar.title = title

    def _update(self, batch, logs):
        self.seen = batch + 1 if self.target is None else min(batch + 1, self.target)  # the last execution may be a short one
        due = self.progbar.due()
        self.progbar.update(self.seen, _numbers(logs) if due else None, finalize=False)

    def _finalize(self, logs):
        if self.target is None:
            self.target = self.progbar.target = self.seen
        self.progbar.update(self.seen, _numbers(logs), finalize=True)


def _numbers(logs):
    """Logs by name, as one reads them in every line."""
    flat = {}
    for name, value in (logs or {}).items():
        flat.update(value if isinstance(value, dict) else {name: value})
    return sorted(flat.items(), key=lambda item: (item[0].startswith("val_"), item[0]))
