"""CSVLogger: every epoch's logs as a row of a file."""

import csv
import os
from collections.abc import Iterable

from kerasish.callbacks.callback import Callback


class CSVLogger(Callback):
    """Write each epoch's logs to a CSV file (``keras.callbacks.CSVLogger``), each row as soon as it is known.

    ``append`` goes on with a file that is there, for training that is taken up again; else it is written anew.

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
        if self.append and os.path.exists(self.filename):
            with open(self.filename, encoding="utf-8") as file:
                self.append_header = not file.readline()
        self.csv_file = open(self.filename, "a" if self.append else "w", encoding="utf-8", newline="")  # noqa: SIM115
        self.writer = self.keys = None

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
        self.writer = csv.DictWriter(self.csv_file, ["epoch", *self.keys], delimiter=self.sep)
        if self.append_header:
            self.writer.writeheader()

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
