"""Plans whose kernels are CUDA C, on the processor: the bridge as it is, but for what asks for a device."""

import contextlib

import numpy as np

from kerasish.backend.kernels import native
from kerasish.backend.kernels.cuda import bridge
from kerasish.backend.kernels.cuda.launch import Request, bind
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
        return np.full(nbytes + 256, 0xAB, np.uint8)

    def launch(self, launches):
        if HostPrograms.recorded is not None:
            HostPrograms.recorded.extend((launch, list(args)) for launch, args in launches)
        elif HostPrograms.only is not None:
            raise Collected
        else:
            host.launch(launches)

    def add(self, calls, instructions):
        if HostPrograms.only is not None:
            HostPrograms.only.update(launch.source for own in instructions for launch in own)
        return super().add(calls, instructions)


class HostBridge:
    DTYPES, Programs = bridge.DTYPES, HostPrograms

    @staticmethod
    def available():
        return True

    @staticmethod
    def instructions(plan, call):
        buffers = [[native.place_of(plan, i) for i in numbers] for numbers in (call.inputs, call.outputs)]
        if any(b is None for side in buffers for b in side):
            return None
        launches = bind(Request(call.op, call.attrs, *buffers))
        return None if launches is None else native.Bound(launches, [])


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
    compiler_for, capture = native.compiler_for, bridge._capture
    native.compiler_for, bridge._capture, HostPrograms.only = lambda xp: HostBridge, HostGraph, only
    try:
        yield
    finally:
        native.compiler_for, bridge._capture, HostPrograms.only = compiler_for, capture, None
