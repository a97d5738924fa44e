"""RemoteMonitor: what a server is sent."""

import builtins
import http.server
import json
import threading
import urllib.parse

import numpy as np
import pytest

from kerasish import callbacks

LOGS = {"loss": 0.5, "mae": np.float32(0.25), "one": np.array([3.0]), "several": np.array([1, 2])}
SENT = {"epoch": 2, "loss": 0.5, "mae": 0.25, "one": 3.0, "several": [1, 2]}


@pytest.fixture
def server():
    """A server's address, and the requests that it got."""
    received = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            received.append((self.path, dict(self.headers), body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()
        thread.join()


def test_as_a_form(server):
    address, received = server
    callbacks.RemoteMonitor(address, field="what", headers={"X-Run": "7"}).on_epoch_end(2, LOGS)
    ((path, headers, body),) = received
    assert path == "/publish/epoch/end/" and headers["X-Run"] == "7" and "form" in headers["Content-Type"]
    assert json.loads(urllib.parse.parse_qs(body)["what"][0]) == SENT


def test_as_json(server):
    address, received = server
    callbacks.RemoteMonitor(address, path="/here", send_as_json=True).on_epoch_end(2, LOGS)
    ((path, headers, body),) = received
    assert path == "/here" and headers["Content-Type"] == "application/json" and json.loads(body) == SENT


def test_a_server_that_is_not_there_is_a_warning():
    with pytest.warns(UserWarning, match="Could not reach RemoteMonitor root server at http://127.0.0.1:1"):
        callbacks.RemoteMonitor("http://127.0.0.1:1").on_epoch_end(0)


def test_without_requests_it_says_what_to_install(monkeypatch):
    original = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "requests":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "kerasish\[remote\]"'):
        callbacks.RemoteMonitor().on_epoch_end(0)
