"""CSVLogger: every epoch's logs as a row of a file."""

import csv
import os
import warnings
from collections.abc import Iterable

from kerasish.callbacks.callback import Callback


class CSVLogger(Callback):
    """Write each epoch's logs to a CSV file (``keras.callbacks.CSVLogger``), each row as soon as it is known.

    ``append`` goes on with a file that is there; else it is written anew, from the first row on. A training that
    :class:`BackupAndRestore` takes up again goes on behind the rows that it knows of.

    >>> CSVLogger("run.csv", separator=";").sep
    ';'
    """

    def __init__(self, filename, separator=",", append=False):
        super().__init__()
        self.filename, self.sep, self.append = os.fspath(filename), separator, append
        self.append_header = True
        self.writer = self.keys = self.csv_file = None

    def on_train_begin(self, logs=None):
        self.close()
        self.keys = None
        self.append_header = not (self.append and self._size())

    def get_state(self):
        return {"keys": self.keys, "size": self._size() if self.append or self.keys else 0}

    def set_state(self, state):
        if self._size() < state["size"]:
            warnings.warn(f"The rows of {self.filename} from before the training was broken off are gone; beginning anew.", stacklevel=2)
            return
        if self._size() > state["size"]:
            os.truncate(self.filename, state["size"])  # rows of epochs that will be trained again
        self.append_header, self.keys = not state["size"], state["keys"]
        if self.keys:
            self._open("a")

    def _size(self):
        return os.path.getsize(self.filename) if os.path.exists(self.filename) else 0

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        if self.writer is None:
            self._begin(logs)
        self.writer.writerow({"epoch": epoch, **{key: _cell(logs.get(key, "NA")) for key in self.keys}})
        self.csv_file.flush()

    def _begin(self, logs):
        self.keys = sorted(logs)
        if not any(key.startswith("val_") for key in self.keys):  # validation may come in a later epoch
            self.keys += [f"val_{key}" for key in self.keys]
        self._open("a" if self.append else "w")
        if self.append_header:
            self.writer.writeheader()

    def _open(self, mode):
        self.csv_file = open(self.filename, mode, encoding="utf-8", newline="")  # noqa: SIM115
        self.writer = csv.DictWriter(self.csv_file, ["epoch", *self.keys], delimiter=self.sep)

    def on_train_end(self, logs=None):
        self.close()

    def close(self):
        """Close the file; the next training opens it again."""
        if self.csv_file is not None:
            self.csv_file.close()
        self.csv_file = self.writer = None


def _cell(value):
    """A value as a cell; several numbers as a list."""
    if isinstance(value, Iterable) and not isinstance(value, str) and getattr(value, "ndim", 1) > 0:
        return f'"[{", ".join(map(str, value))}]"'
    return value
