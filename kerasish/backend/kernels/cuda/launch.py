"""Launches: a kernel's source, its arguments, its grid, or a routine of NVIDIA's libraries; and who makes them of a call.

Every kernel is a source of its own with one function ``kernel``, whose parameters are pointers and ``i64``: eight bytes each. Neither it
nor a routine allocates anything or waits for the host, so that both can be captured in a graph.
"""

import math
import operator
import typing

from kerasish.backend.kernels.candidates import Candidates
from kerasish.backend.kernels.candidates import Request as _Request
from kerasish.backend.kernels.cuda.prelude import PRELUDE

THREADS = 256
MOST_BLOCKS = (1 << 31) - 1  # of a grid's first axis
_for_cuda = Candidates()
candidate, bind = _for_cuda.candidate, _for_cuda.bind


class Launch(typing.NamedTuple):
    """One kernel: its source, its arguments (buffers, integers), blocks in the grid, threads in a block, bytes of dynamic shared memory."""

    source: str
    args: list
    blocks: int
    threads: int
    shared: int = 0


class Routine(typing.Protocol):
    """What a library does, as data: equal ones are one. It knows sizes and dtypes, no addresses.

    ``prepare()`` finds out how the library does it, once, and says how many bytes of workspace that takes, or None where the library is
    missing or can't do it. ``run(addresses)`` does it on the current stream; the last address is that of the workspace.
    """

    def prepare(self) -> int | None: ...
    def run(self, addresses: list) -> None: ...


class LibraryCall(typing.NamedTuple):
    """One call of a library: what it does, and its arguments (buffers)."""

    routine: Routine
    args: list


def source(parameters, body, threads, more="", prelude=PRELUDE):
    """A whole source from the parameters (``float *x``) and the body of its function. ``more``: functions that the body calls."""
    head = f'extern "C" __global__ void __launch_bounds__({threads}) kernel({", ".join(parameters)})'
    return f"{prelude}{more}\n{head} {{\n{body}\n}}\n"


class Request(_Request):
    """A call that wants launches."""

    prepare = operator.methodcaller("prepare")  # tests have libraries of their own

    def __init__(self, op, attrs, inputs, outputs, libraries=True):
        super().__init__(op, attrs, inputs, outputs, threads=1)
        self.libraries = libraries

    def library(self, routine, args):
        """A call of a library, None where it is missing or can't do that."""
        nbytes = Request.prepare(routine) if self.libraries else None
        return None if nbytes is None else LibraryCall(routine, [*args, self.scratch(nbytes)])

    def each(self, text, args, count, per_thread=1, threads=THREADS):
        """A launch with a thread for so many elements each."""
        return Launch(text, list(args), max(1, math.ceil(count / (threads * per_thread))), threads)
