"""Launches: a kernel's source, its arguments, its grid; and who makes them of a call.

Every kernel is a source of its own with one function ``kernel``, whose parameters are pointers and ``i64``: eight bytes each. It
allocates nothing and never waits for the host, so that it can be captured in a graph.
"""

import math
import typing

from kerasish.backend.kernels.candidates import Candidates
from kerasish.backend.kernels.candidates import Request as _Request
from kerasish.backend.kernels.cuda.prelude import PRELUDE, WORD

THREADS = 256
MOST_BLOCKS = (1 << 31) - 1  # of a grid's first axis
_for_cuda = Candidates()
candidate, bind = _for_cuda.candidate, _for_cuda.bind


class Launch(typing.NamedTuple):
    """One kernel: its source, its arguments (buffers, integers), blocks in the grid, threads in a block."""

    source: str
    args: list
    blocks: int
    threads: int


def source(parameters, body, threads, more="", prelude=PRELUDE):
    """A whole source from the parameters (``float *x``) and the body of its function. ``more``: functions that the body calls."""
    head = f'extern "C" __global__ void __launch_bounds__({threads}) kernel({", ".join(parameters)})'
    return f"{prelude}{more}\n{head} {{\n{body}\n}}\n"


class Request(_Request):
    """A call that wants launches."""

    def __init__(self, op, attrs, inputs, outputs):
        super().__init__(op, attrs, inputs, outputs, threads=1)

    def copy(self, x, y):
        """A launch that copies one buffer to another of the same shape; both may have gaps."""
        word, rank = WORD[y.itemsize], len(y.shape)
        return self.each(_copy(word, rank), [x, y, y.size, *y.shape, *x.strides, *y.strides], y.size)

    def each(self, text, args, count, per_thread=1, threads=THREADS):
        """A launch with a thread for so many elements each."""
        return Launch(text, list(args), max(1, math.ceil(count / (threads * per_thread))), threads)


def _copy(word, rank):
    parameters = [f"const {word} *x", f"{word} *y", "i64 count", *(f"i64 {name}{a}" for name in ("n", "sx", "sy") for a in range(rank))]
    lines = [f"const i64 i = (i64)blockIdx.x * {THREADS} + threadIdx.x;", "if (i >= count) return;", "i64 rest = i, from = 0, to = 0;"]
    for a in reversed(range(rank)):
        lines.append(f"from += rest % n{a} * sx{a}; to += rest % n{a} * sy{a}; rest /= n{a};")
    return source(parameters, "\n".join([*lines, "y[to] = x[from];"]), THREADS)
