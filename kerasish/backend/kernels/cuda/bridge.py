"""The bridge from a plan on CuPy to CUDA kernels: what ``kernels/native.py`` is to NumPy, under the same names.

A source is compiled by NVRTC through ``cupy.RawKernel`` when it first runs; CuPy keeps what came of it on disk. Launches go to the
current stream. With ``KERASISH_COMPILE=0`` plans run CuPy's kernels, with ``KERASISH_GRAPHS=0`` nothing is captured.
"""

import contextlib
import functools
import os
import time
import warnings

import numpy as np

from kerasish.backend.kernels import domain, native
from kerasish.backend.kernels.candidates import Buffer, Scratch
from kerasish.backend.kernels.cuda import copy, embedding, fused, pool, random  # noqa: F401  (each tells what it can compute)
from kerasish.backend.kernels.cuda.graph import Graphs
from kerasish.backend.kernels.cuda.launch import Request, bind

DTYPES = (*domain.DTYPES, "float16", "bfloat16")  # what groups may be made of
_OPTIONS = ("-std=c++17",)
_warned: set = set()


@functools.cache
def available():
    """Whether there is a device, and ``$KERASISH_COMPILE`` is not 0."""
    if os.environ.get("KERASISH_COMPILE") == "0":
        return False
    try:
        import cupy

        return hasattr(cupy, "RawKernel") and bool(cupy.cuda.is_available())
    except ImportError:
        return False


def instructions(plan, call):
    """The launches for a call, None where no kernel takes it."""
    if not available():
        return None
    buffers = [[native.place_of(plan, i) for i in numbers] for numbers in (call.inputs, call.outputs)]
    if any(b is None or not _on_device(plan, b.base) for side in buffers for b in side):
        return None
    launches = bind(Request(call.op, call.attrs, *buffers))
    return None if launches is None else native.Bound(launches, [])


def _on_device(plan, root):
    """Whether a value lies, or will lie, in the device's memory: not where CuPy lacks the dtype."""
    array = plan.values[root]
    return plan.xp.holds(plan.trace.specs[root].numpy_dtype) if array is None else isinstance(array, plan.xp.array_types)


@functools.cache
def _kernel(source):
    import cupy

    return cupy.RawKernel(source, "kernel", options=_OPTIONS)


def _failed(error):
    if "capture" not in _warned:
        _warned.add("capture")
        warnings.warn(f"A step could not be captured as a CUDA graph and runs launch by launch: {error}", stacklevel=2)


class Programs:
    """The launches of one plan, and the addresses in them that change. ``values``: the plan's arrays, None where they move."""

    def __init__(self, values):
        self.values, self.scratch_bytes = values, 0
        self.moving, self._scratch, self._keep = {}, [], []

    def add(self, calls, instructions):
        """A function without arguments that runs the launches of several calls; ``timed`` runs them call by call."""
        program, moving = [], []
        for own in instructions:
            scratch, launches = {}, []
            for launch in own:
                args = [0] * len(launch.args)
                for i, argument in enumerate(launch.args):
                    self._place(args, i, argument, scratch, moving)
                launches.append((launch, args))
            program.append(launches)

        def run():
            for launches in program:
                self.launch(launches)

        count = sum(map(len, program))
        capture_off = os.environ.get("KERASISH_GRAPHS") == "0"
        graphs = Graphs(run, lambda: _capture(run), _failed, 0 if capture_off else count)

        def step():
            graphs(tuple([args[i] for args, i in moving]))

        step.calls, step.timed, step.compiled = list(calls), lambda: [self.timed(launches) for launches in program], True
        return step

    def _place(self, args, i, argument, scratch, moving):
        if not isinstance(argument, Buffer):
            args[i] = int(argument)
            return
        base, offset = argument.base, argument.offset * argument.itemsize
        if isinstance(base, Scratch):
            if base not in scratch:
                scratch[base] = sum(-(-other.nbytes // 256) * 256 for other in scratch)
                self.scratch_bytes = max(self.scratch_bytes, scratch[base] + base.nbytes)
            self._scratch.append((args, i, scratch[base] + offset))
        elif self.values[base] is None:
            self.moving.setdefault(base, []).append((args, i, offset))
            moving.append((args, i))
        else:
            args[i] = self.address(self.values[base]) + offset

    def finish(self):
        """Give the launches their scratch memory."""
        if not self._scratch:
            return
        memory = self.scratch(self.scratch_bytes)
        self._keep.append(memory)
        for args, i, offset in self._scratch:
            args[i] = self.address(memory) + offset

    def point_to(self, numbers, values):
        """Take over where these values lie now."""
        for number in numbers:
            for args, i, offset in self.moving.get(number, ()):
                args[i] = self.address(values[number]) + offset

    # ---- what asks for a device
    def address(self, array):
        """Where an array lies."""
        return array.data.ptr

    def launch(self, launches):
        """Launch kernels, one after the other, on the current stream."""
        for launch, args in launches:
            _kernel(launch.source)((launch.blocks,), (launch.threads,), tuple(np.array(args, np.int64)))

    def timed(self, launches):
        """How long some launches take, in seconds."""
        import cupy

        stream = cupy.cuda.get_current_stream()
        stream.synchronize()
        start = time.perf_counter()
        self.launch(launches)
        stream.synchronize()
        return time.perf_counter() - start

    def scratch(self, nbytes):
        """Memory that the launches of a plan share."""
        import cupy

        return cupy.empty(nbytes, dtype="uint8")


def _capture(run):
    """A graph of what ``run`` launches. It is recorded on a stream of its own, and launched on the current one."""
    import cupy

    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        try:
            run()
        except BaseException:
            with contextlib.suppress(Exception):
                stream.end_capture()
            raise
        return stream.end_capture()


__all__ = ["DTYPES", "Programs", "available", "instructions"]
