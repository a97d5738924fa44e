"""Whether launches give what the op's own kernel gives: asked once of every kind of call that NVIDIA's libraries are to do.

A library that is called in a wrong way returns wrong numbers and no error. So before the first call of a kind (the op, its dtypes, the
order of axes in memory) is trusted to it, the call is made with random numbers, and compared.
"""

import math

import numpy as np

from kerasish.backend.autodiff.dtypes import numpy_dtype
from kerasish.backend.kernels.candidates import Buffer
from kerasish.backend.kernels.cuda.launch import LibraryCall, Request, bind

MOST_ELEMENTS = 1 << 24  # larger calls are trusted: a smaller one of their kind may come some time
TOLERANCE = {"float64": 1e-8, "float32": 1e-2, "float16": 2e-2, "bfloat16": 6e-2}  # of the largest element: TF32 keeps three digits


def kind_of(call, buffers):
    """What calls have in common that are trusted together."""

    def layout(buffer):
        order = sorted(range(len(buffer.shape)), key=lambda axis: -buffer.strides[axis])
        return buffer.dtype, tuple(order), buffer.dense

    attrs = tuple(sorted((name, repr(value)) for name, value in call.attrs.items()))
    return call.op.name, attrs, *(layout(buffer) for side in buffers for buffer in side)


def uses_library(launches):
    """Whether some of the launches are calls of a library."""
    return any(isinstance(launch, LibraryCall) for launch in launches)


def difference(xp, call, buffers, run):
    """How much the largest difference is, in parts of what is tolerated; None where that is not tried.

    ``run(launches)`` runs launches whose buffers have arrays as their bases.
    """
    inputs, outputs = buffers
    floats = all(b.dtype in TOLERANCE for b in outputs) and all(b.dtype in TOLERANCE or not b.shape for b in inputs)
    if not floats or sum(map(_count, (*inputs, *outputs))) > MOST_ELEMENTS:
        return None
    rng = np.random.default_rng(0)
    given = [_strided(xp, b, rng.standard_normal(_count(b), dtype=np.float32)) for b in inputs]
    found = [_strided(xp, b, np.full(_count(b), np.nan, np.float32)) for b in outputs]
    sides = [[Buffer(base, b.shape, b.dtype, b.strides, -b.reach[0]) for (base, _), b in zip(arrays, side, strict=True)]
             for arrays, side in zip((given, found), buffers, strict=True)]  # fmt: skip
    launches = bind(Request(call.op, call.attrs, *sides))
    if launches is None:
        return None
    run(launches)
    expected = call.op.kernel(xp, *[view for _, view in given], **call.attrs)
    expected = expected if isinstance(expected, (tuple, list)) else [expected]
    return max((_apart(xp, y, view, b.dtype) for (_, view), y, b in zip(found, expected, outputs, strict=True)), default=0.0)


def _count(buffer):
    """Elements from a buffer's lowest address to its highest one."""
    low, end = buffer.reach
    return end - low


def _strided(xp, buffer, numbers):
    """An array that holds the numbers, and a view of it in a buffer's shape and strides."""
    base = xp.asarray(numbers.astype(numpy_dtype(buffer.dtype)))
    strides = [s * buffer.itemsize for s in buffer.strides]
    return base, xp.lib.stride_tricks.as_strided(base[-buffer.reach[0] :], buffer.shape, strides)


def _apart(xp, expected, found, dtype):
    x, y = (xp.to_numpy(a).astype(np.float64) for a in (expected, found))
    if not x.size:
        return 0.0
    if not np.isfinite(y).all() and np.isfinite(x).all():
        return math.inf
    with np.errstate(invalid="ignore"):
        gap = np.abs(x - y)
    return float(np.nanmax(gap, initial=0) / max(np.abs(x[np.isfinite(x)]).max(initial=0), 1e-30) / TOLERANCE[dtype])
