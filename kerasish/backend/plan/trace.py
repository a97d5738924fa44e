"""A recorded step as data: calls of ops on numbered values. Passes are functions from one trace to another."""

import typing

import numpy as np

from kerasish.backend.autodiff.dtypes import numpy_dtype


class Spec(typing.NamedTuple):
    """What is known of a value before it is computed."""

    shape: tuple
    dtype: str

    @property
    def size(self):
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def numpy_dtype(self):
        return numpy_dtype(self.dtype)

    @property
    def nbytes(self):
        return self.size * self.numpy_dtype.itemsize


def parts_of(y):
    """What a kernel returned, as a sequence with one item for each output."""
    return y if isinstance(y, (tuple, list)) else (y,)


class Call:
    """``outputs = op(*inputs, **attrs)``, where inputs and outputs are numbers of values."""

    __slots__ = ("attrs", "inputs", "op", "outputs")

    def __init__(self, op, inputs, attrs, outputs):
        self.op, self.inputs, self.attrs, self.outputs = op, tuple(inputs), attrs, tuple(outputs)

    def __repr__(self):
        return f"{self.outputs} = {self.op.name}{self.inputs} {self.attrs or ''}"


class Trace:
    """A step: its calls in an order in which they can run, and what its values are.

    ``specs``: a :class:`Spec` for each value. ``constants``: value -> array. ``arguments``: the values that each replay is
    given. ``reads`` and ``writes``: variable -> value before and after the step. ``results``: the values it returns.
    """

    def __init__(self):
        self.specs, self.calls, self.constants = [], [], {}
        self.arguments, self.reads, self.writes, self.results = [], {}, {}, []
        self.looks_at_gradients = False  # at ``.grad`` of variables

    def new(self, shape, dtype):
        """The number of a new value."""
        self.specs.append(Spec(tuple(shape), dtype))
        return len(self.specs) - 1

    def kept(self):
        """Values that are needed after the last call."""
        return {*self.results, *self.writes.values()}

    def users(self):
        """For each value the calls that read it."""
        users = {}
        for call in self.calls:
            for i in call.inputs:
                users.setdefault(i, []).append(call)
        return users

    def __repr__(self):
        return "\n".join(f"{call!r:100} {[self.specs[i] for i in call.outputs]}" for call in self.calls)
