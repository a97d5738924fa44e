"""One call by itself, outside any plan: for tests and trials."""

import ctypes

import numpy as np

from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.kernels.candidates import Buffer, Request, Scratch, bind, raise_failed
from kerasish.backend.kernels.compile import compiled
from kerasish.backend.kernels.threads import Pool, pool

_NUMPY = NumpyArrays()


def run_alone(op, arrays, threads=None, outputs=None, **attrs):
    """Compute one call of an op on NumPy arrays with its candidate, for tests: the outputs, or None where nobody takes it."""
    pool_ = pool()
    if threads and threads < pool_.size:
        pool_ = Pool(threads)  # there is scratch memory for no more than these
    attrs = {**getattr(op, "defaults", {}), **attrs}
    if outputs is None:
        expected = op.kernel(_NUMPY, *arrays, **attrs)
        outputs = [np.empty(np.shape(y), y.dtype) for y in (expected if isinstance(expected, (tuple, list)) else [expected])]
    buffers = [[Buffer(a, a.shape, a.dtype.name, [s // a.itemsize for s in a.strides]) for a in xs] for xs in (arrays, outputs)]
    request = Request(op, attrs, *buffers, threads or pool_.size)
    instructions = bind(request)
    if instructions is None:
        return None
    memory = {}

    def value(x):
        if not isinstance(x, Buffer):
            return int(x)
        base = x.base
        if isinstance(base, Scratch):
            base = memory.setdefault(id(base), np.empty(base.nbytes + 64, np.uint8))
            return -(-base.ctypes.data // 64) * 64
        return base.ctypes.data + x.offset * x.itemsize

    blocks = [(ctypes.c_int64 * len(i.args))(*map(value, i.args)) for i in instructions]
    rows = [[compiled(i.emit, **i.options), ctypes.addressof(b), i.tasks, 0] for i, b in zip(instructions, blocks, strict=True)]
    program = np.array(rows, np.int64)
    pool_.run(program.ctypes.data, len(instructions))
    raise_failed(request.checks)
    return outputs
