"""Candidates: who can compute a call with compiled code.

A plan asks for each of its calls, once, when it binds::

    @candidate("relu")                                # the op's name
    def relu(request):
        x, y = request.inputs[0], request.outputs[0]
        if x.dtype != "float32":
            return None                               # not this one: the next candidate, in the end the op's own NumPy kernel
        return [request.kernel(emit_relu, [y, request.dense(0), x.size], tasks=-(-x.size // 4096))]

``[]`` is also an answer: nothing is left to do.
"""

import math
import typing

import numpy as np


class Candidates:
    """Functions that turn a :class:`Request` into instructions, by the names of the ops that they know; one for each kind of device."""

    def __init__(self):
        self._functions: dict = {}

    def candidate(self, *names):
        """Decorator for a function that turns a request for an op of one of these names into instructions, or None."""

        def register(function):
            for name in names:
                self._functions.setdefault(name, []).append(function)
            return function

        return register

    def bind(self, request):
        """The instructions of the first candidate that takes the call, None if there is none."""
        for function in self._functions.get(request.op.name, ()):
            instructions = function(request)
            if instructions is not None:
                return [*request.before, *instructions]
            request.before.clear()
            request.checks.clear()
        return None


_for_the_cpu = Candidates()
candidate, bind = _for_the_cpu.candidate, _for_the_cpu.bind


class Refused(Exception):
    """A kernel can't be had after all. Whoever asked for it binds again, and is not given it any more."""


class Buffer:
    """Where a value lies: ``offset`` elements behind the start of ``base`` (anything that has an address when the plan runs).

    ``strides`` are in elements, so a transposed view is a buffer too.
    """

    __slots__ = ("base", "dtype", "offset", "shape", "strides")

    def __init__(self, base, shape, dtype, strides=None, offset=0):
        self.base, self.shape, self.dtype, self.offset = base, tuple(shape), dtype, offset
        self.strides = dense_strides(shape) if strides is None else tuple(strides)

    @property
    def size(self):
        return math.prod(self.shape)

    @property
    def itemsize(self):
        return np.dtype(self.dtype).itemsize

    @property
    def dense(self):
        """Whether the elements lie one behind the other, in the order of the axes."""
        return self.size <= 1 or all(
            s == d for n, s, d in zip(self.shape, self.strides, dense_strides(self.shape), strict=True) if n != 1
        )

    @property
    def reach(self):
        """Where its elements are, counted from the first one: the lowest place, and the one behind the highest."""
        if not self.size:
            return 0, 0
        steps = [(n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)]
        return sum(s for s in steps if s < 0), 1 + sum(s for s in steps if s > 0)

    def view(self, shape, strides=None, offset=0):
        """Other axes on the same memory."""
        return Buffer(self.base, shape, self.dtype, strides, self.offset + offset)


def dense_strides(shape):
    """Strides in elements of an array without gaps."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


class Scratch:
    """Memory that one instruction needs while it runs; all share the same."""

    def __init__(self, nbytes):
        self.nbytes = nbytes


class Instruction(typing.NamedTuple):
    """One kernel: what writes it and its options (see compile.py), its arguments (buffers, integers), how many tasks it has."""

    emit: typing.Callable
    options: dict
    args: list
    tasks: int


class Request:
    """A call that wants instructions: its op, attributes and buffers, and ``threads``, how many may run at once."""

    def __init__(self, op, attrs, inputs, outputs, threads):
        self.op, self.attrs, self.inputs, self.outputs, self.threads = op, attrs, list(inputs), list(outputs), threads
        self.before = []  # instructions that others need first
        self.checks = []  # pairs (flag, error), see check()

    def dense(self, i):
        """Input ``i`` without gaps: itself, or a copy made first."""
        x = self.inputs[i]
        return x if x.dense else self.copied(x)

    def copied(self, x):
        """A dense copy of a buffer."""
        y = self.scratch(x.size * x.itemsize, x.shape, x.dtype)
        self.before.append(self.copy(x, y))
        return y

    def copy(self, x, y):
        """An instruction that copies one buffer to another of the same shape."""
        raise NotImplementedError  # set by kernels/copy.py

    def scratch(self, nbytes, shape=None, dtype="uint8"):
        """Memory for this call alone, aligned to 64 bytes. For memory of each thread, ask for ``threads`` times as much."""
        return Buffer(Scratch(nbytes), (nbytes,) if shape is None else shape, dtype)

    def check(self, error):
        """Two integers, 0 at first, for a kernel that finds a wrong value: it puts 1 into the first, the value into the second.

        Whoever runs the instructions calls ``raise_failed(request.checks)`` afterwards, which raises ``error(value)``.
        """
        flag = np.zeros(2, np.int64)
        self.checks.append((flag, error))
        return Buffer(flag, flag.shape, "int64")

    def kernel(self, emit, args, tasks=1, **options):
        """An instruction."""
        return Instruction(emit, options, list(args), max(1, int(tasks)))


def raise_failed(checks):
    """Raise the error of the first check that has failed; the flags are 0 again then."""
    for flag, error in checks:
        if flag[0]:
            value = int(flag[1])
            for other, _ in checks:
                other[:] = 0
            raise error(value)
