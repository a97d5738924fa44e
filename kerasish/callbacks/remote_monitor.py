"""RemoteMonitor: every epoch's logs sent to a server."""

import json
import warnings

import numpy as np

from kerasish.callbacks.callback import Callback


class RemoteMonitor(Callback):
    """POST each epoch's number and logs to ``root + path`` (``keras.callbacks.RemoteMonitor``).

    They go as JSON in the form field ``field``, or with ``send_as_json`` as the request's JSON body; ``headers`` are added. A server
    that can't be reached is a warning. Needs the extra ``remote`` (the package requests): ImportError without it.

    >>> RemoteMonitor("http://localhost:8000", send_as_json=True).path
    '/publish/epoch/end/'
    """

    def __init__(self, root="http://localhost:9000", path="/publish/epoch/end/", field="data", headers=None, send_as_json=False):
        super().__init__()
        self.root, self.path, self.field, self.headers, self.send_as_json = root, path, field, headers, send_as_json

    def on_epoch_end(self, epoch, logs=None):
        try:
            import requests
        except ImportError as error:
            raise ImportError('RemoteMonitor requires the `requests` library: pip install "kerasish[remote]"') from error
        sent = {"epoch": epoch, **{name: _plain(value) for name, value in (logs or {}).items()}}
        content = {"json": sent} if self.send_as_json else {"data": {self.field: json.dumps(sent)}}
        try:
            requests.post(self.root + self.path, headers=self.headers, **content)
        except requests.exceptions.RequestException:
            warnings.warn(f"Could not reach RemoteMonitor root server at {self.root}", stacklevel=2)


def _plain(value):
    """A number or numbers as JSON has them."""
    if not isinstance(value, (np.ndarray, np.generic)):
        return value
    return value.item() if value.size == 1 else value.tolist()
