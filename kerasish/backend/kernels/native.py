"""The bridge from a plan to compiled kernels: asks candidates for instructions and writes programs. Optional: see ``available``."""

import importlib
import itertools
import os
import sys
import time
import types

import numpy as np

from kerasish.backend.arrays.cupy import CupyArrays
from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.kernels.candidates import Buffer, Request, Scratch, bind, raise_failed
from kerasish.backend.kernels.domain import DTYPES

_KERNELS = (
    "copy", "gemm", "conv", "depthwise", "pool", "fused", "moments", "embedding", "order", "random", "attention", "tiled_attention",
    "recurrent", "linalg", "fourier", "rows", "resample",
)  # fmt: skip
_state: dict = {"available": None}


def available():
    """Whether kernels can be compiled here: llvmlite is installed, and ``$KERASISH_COMPILE`` is not 0."""
    if _state["available"] is None:
        _state["available"] = os.environ.get("KERASISH_COMPILE") != "0" and _load()
    return _state["available"]


def _load():
    try:
        compile, threads = (importlib.import_module(f"{__package__}.{name}") for name in ("compile", "threads"))
    except ImportError as error:
        if (error.name or "").split(".")[0] != "llvmlite":
            raise
        return False
    for name in _KERNELS:  # each tells what it can compute
        importlib.import_module(f"{__package__}.{name}")
    _state.update(compiled=compile.compiled, pool=threads.pool)
    return True


def compiler_for(xp):
    """What compiles calls for these arrays: this module for NumPy's, ``cuda.bridge`` for CuPy's, nothing for others."""
    if type(xp) is NumpyArrays:
        return sys.modules[__name__]
    return importlib.import_module(f"{__package__}.cuda.bridge") if type(xp) is CupyArrays else _NOTHING


def instructions(plan, call):
    """What compiled kernels do for a call, None where none takes it."""
    if not available():
        return None
    inputs, outputs = ([place_of(plan, i) for i in numbers] for numbers in (call.inputs, call.outputs))
    if any(b is None for b in (*inputs, *outputs)):
        return None
    request = Request(call.op, call.attrs, inputs, outputs, _state["pool"]().size)
    instructions = bind(request)
    return None if instructions is None else Bound(instructions, request.checks)


class Bound(list):
    """The instructions of one call, and what is to be looked at when they have run (``Request.check``)."""

    def __init__(self, instructions, checks):
        super().__init__(instructions)
        self.checks = checks


def place_of(plan, value):
    """Where a value lies, by its root."""
    spec, root = plan.trace.specs[value], plan.root(value)
    if spec.dtype == "string":
        return None
    if value in plan.views:
        _, shape, strides, offset = plan.views[value]
        size = spec.numpy_dtype.itemsize
        return Buffer(root, shape, spec.dtype, [s // size for s in strides], offset // size)
    constant = plan.values[root] if root in plan.trace.constants else None
    strides = None if constant is None else [s // constant.itemsize for s in constant.strides]
    return Buffer(root, spec.shape, spec.dtype, strides)


class Programs:
    """The programs of one plan, and the addresses in them that change. ``values``: the plan's arrays, None where they move."""

    def __init__(self, values, variables=()):
        self.values, self.scratch_bytes = values, 0
        self.moving, self._scratch, self._keep = {}, [], []

    def add(self, calls, instructions):
        """A function without arguments that runs the instructions of several calls; ``timed`` runs them call by call."""
        program, starts = [], [0]
        for own in instructions:
            scratch = {}  # calls come one after the other, so all may use the same memory
            for instruction in own:
                block = np.zeros(max(1, len(instruction.args)), np.int64)
                for i, argument in enumerate(instruction.args):
                    self._place(block, i, argument, scratch)
                program.append((_state["compiled"](instruction.emit, **instruction.options), block.ctypes.data, instruction.tasks, 0))
                self._keep.append(block)
            starts.append(len(program))
        table = np.array(program, np.int64).reshape(-1, 4)
        self._keep.append((table, instructions))
        pool, address, count = _state["pool"], table.ctypes.data, len(table)
        checks = [check for own in instructions for check in own.checks]

        def step():
            pool().run(address, count)
            if checks:
                raise_failed(checks)

        def timed():
            times = []
            for first, last in itertools.pairwise(starts):
                start = time.perf_counter()
                pool().run(address + 32 * first, last - first)
                times.append(time.perf_counter() - start)
            return times

        step.calls, step.timed, step.compiled = list(calls), timed, True
        return step

    def _place(self, block, i, argument, scratch):
        if not isinstance(argument, Buffer):
            block[i] = argument
            return
        base, offset = argument.base, argument.offset * argument.itemsize
        if isinstance(base, Scratch):
            if base not in scratch:
                scratch[base] = sum(-(-other.nbytes // 64) * 64 for other in scratch)
                self.scratch_bytes = max(self.scratch_bytes, scratch[base] + base.nbytes)
            self._scratch.append((block, i, scratch[base] + offset))
        elif isinstance(base, np.ndarray):  # of the instruction's own
            block[i] = base.ctypes.data + offset
        elif self.values[base] is None:
            self.moving.setdefault(base, []).append((block, i, offset))
        else:
            block[i] = self.values[base].ctypes.data + offset

    def finish(self):
        """Give the instructions their scratch memory."""
        memory = np.empty(self.scratch_bytes + 64, np.uint8)
        self._keep.append(memory)
        start = memory.ctypes.data + -memory.ctypes.data % 64
        for block, i, offset in self._scratch:
            block[i] = start + offset

    def point_to(self, numbers, values):
        """Take over where these values lie now."""
        for number in numbers:
            places = self.moving.get(number)
            if places:
                address = values[number].ctypes.data
                for block, i, offset in places:
                    block[i] = address + offset


_NOTHING = types.SimpleNamespace(available=lambda: False, instructions=lambda plan, call: None, Programs=Programs, DTYPES=DTYPES)

__all__ = ["DTYPES", "Programs", "available", "compiler_for", "instructions"]
