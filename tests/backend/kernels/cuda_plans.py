"""Plans whose kernels are CUDA C, on the processor: the bridge as it is, but for what asks for a device."""

import contextlib
import os

import numpy as np

from kerasish.backend.kernels import native
from kerasish.backend.kernels.cuda import bridge
from kerasish.backend.kernels.cuda.launch import Launch
from tests.backend.kernels import cuda_cudnn  # noqa: F401  (stands for cuDNN)
from tests.backend.kernels import cuda_host as host


class Collected(Exception):
    """The sources are known; nothing runs."""


class HostPrograms(bridge.Programs):
    """Programs whose addresses are NumPy's and whose launches run on the processor; with ``only`` a set, nothing runs but is put there."""

    only: set | None = None
    recorded: list | None = None  # what a graph is made of while it is captured

    def address(self, array):
        return array.ctypes.data

    def scratch(self, nbytes):
        return np.full(nbytes + 256, 0xFF, np.uint8)  # NaN: nobody may read what nobody has written

    def load(self, launches):
        pass

    def upload(self, table):
        table.device[: table.host.nbytes] = table.host.view(np.uint8).reshape(-1)

    def time(self, item):
        self.launch([item])
        return 1e-6

    def launch(self, items):
        launches = [(item.launch, list(item.args)) for item in items]
        if HostPrograms.recorded is not None:
            HostPrograms.recorded.extend(launches)
        elif HostPrograms.only is not None:
            raise Collected
        else:
            host.launch(launches)

    def add(self, calls, instructions):
        step = super().add(calls, instructions)
        if HostPrograms.only is not None:
            HostPrograms.only.update(item.launch.source for item in self._items if isinstance(item.launch, Launch))
        return step


class HostBridge:
    DTYPES, Programs = bridge.DTYPES, HostPrograms

    @staticmethod
    def available():
        return True

    @staticmethod
    def instructions(plan, call):
        buffers = [[native.place_of(plan, i) for i in numbers] for numbers in (call.inputs, call.outputs)]
        return None if any(b is None for side in buffers for b in side) else bridge.bound(call, buffers)


class HostGraph:
    """A graph as a list of launches with the addresses that they had when it was captured."""

    made = replayed = 0

    def __init__(self, run):
        HostPrograms.recorded = self.launches = []
        try:
            run()
        finally:
            HostPrograms.recorded = None
        HostGraph.made += 1

    def launch(self):
        host.launch(self.launches)
        HostGraph.replayed += 1


@contextlib.contextmanager
def on_host(only=None):
    """Block in which plans are bound to CUDA C; with ``only`` nothing runs, and the sources are put there."""
    before, tf32 = (native.compiler_for, bridge._capture, bridge._run_alone), os.environ.get("KERASISH_TF32")
    os.environ.setdefault("KERASISH_TF32", "0")  # unless a test wants to know what TF32 gives
    native.compiler_for, bridge._capture, bridge._run_alone = lambda xp: HostBridge, HostGraph, host.run
    HostPrograms.only = only
    try:
        yield
    finally:
        native.compiler_for, bridge._capture, bridge._run_alone = before
        HostPrograms.only = None
        if tf32 is None:
            del os.environ["KERASISH_TF32"]
