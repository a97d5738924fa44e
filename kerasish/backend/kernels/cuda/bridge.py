"""The bridge from a plan on CuPy to CUDA kernels: what ``kernels/native.py`` is to NumPy, under the same names.

A source is compiled by NVRTC through ``cupy.RawKernel`` when it first runs; CuPy keeps what came of it on disk. Launches go to the
current stream. With ``KERASISH_COMPILE=0`` plans run CuPy's kernels, with ``KERASISH_GRAPHS=0`` nothing is captured.
"""

import concurrent.futures
import contextlib
import functools
import importlib
import os
import typing
import warnings

import numpy as np

from kerasish.backend.arrays import active
from kerasish.backend.kernels import domain, native
from kerasish.backend.kernels.candidates import Buffer, Refused, Scratch
from kerasish.backend.kernels.cuda import verify
from kerasish.backend.kernels.cuda.graph import Graphs
from kerasish.backend.kernels.cuda.launch import Launch, LibraryCall, Request, bind
from kerasish.backend.kernels.cuda.together import Table, gathered

# each tells what it can compute; those that come first are asked first
_KERNELS = (
    "cublaslt", "cudnn", "attention", "copy", "embedding", "fused", "pool", "random", "depthwise", "conv", "products",
    "recurrent", "moments", "reduce", "single", "indexing", "order", "gamma", "resample",
)  # fmt: skip
for _name in _KERNELS:
    importlib.import_module(f"{__package__}.{_name}")

DTYPES = (*domain.DTYPES, "float16", "bfloat16")  # what groups may be made of
_OPTIONS = ("-std=c++17",)
_REPEATS = 20  # launches of which the mean time is taken
_warned: set = set()
_refused: set = set()  # sources that can't be compiled or loaded here
_largest: dict = {}  # (source, device) -> bytes of shared memory that were asked for
_trust: dict = {}  # kinds of calls -> whether libraries do them rightly


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
    return bound(call, buffers)


def bound(call, buffers):
    """The launches for a call whose inputs and outputs lie in these buffers."""
    launches = bind(Request(call.op, call.attrs, *buffers))
    if launches is not None and verify.uses_library(launches) and not _trusted(call, buffers):
        launches = bind(Request(call.op, call.attrs, *buffers, libraries=False))
    if launches is None or any(isinstance(launch, Launch) and launch.source in _refused for launch in launches):
        return None
    return native.Bound(launches, [])


def _trusted(call, buffers):
    """Whether libraries do calls of this kind rightly: tried once."""
    kind = verify.kind_of(call, buffers)
    if kind not in _trust:
        try:
            wrong = verify.difference(active.xp, call, buffers, _run_alone)
        except MemoryError:
            wrong = None  # nothing is said about the library
        except Exception as error:  # of the library or the driver
            wrong = error
        if wrong is None:
            return True
        _trust[kind] = isinstance(wrong, float) and wrong <= 1
        if not _trust[kind]:
            what = f"is off by {wrong:.1e} times what is tolerated" if isinstance(wrong, float) else f"says: {wrong}"
            _warn_once("library", f"NVIDIA's library is not used for {call.op.name} of {[b.shape for b in buffers[0]]}: it {what}")
    return _trust[kind]


def _run_alone(launches):
    """Run launches whose buffers have arrays of the device as their bases."""
    import cupy

    held: dict = {}

    def address(x):
        if not isinstance(x, Buffer):
            return int(x)
        base = held.setdefault(x.base, cupy.empty(x.base.nbytes, "uint8")) if isinstance(x.base, Scratch) else x.base
        return base.data.ptr + x.offset * x.itemsize

    _launch([_Item(launch, [address(x) for x in launch.args], []) for launch in launches])


def _launch(items):
    """Launch some items, one after the other, on the current stream."""
    import cupy

    device = cupy.cuda.get_device_id()
    for launch, args, _ in items:
        if isinstance(launch, LibraryCall):
            launch.routine.run(args)
        else:
            kernel = _kernel(launch.source, launch.shared, device)
            kernel((launch.blocks,), (launch.threads,), tuple(np.array(args, np.int64)), shared_mem=launch.shared)


def _on_device(plan, root):
    """Whether a value lies, or will lie, in the device's memory: not where CuPy lacks the dtype."""
    array = plan.values[root]
    return plan.xp.holds(plan.trace.specs[root].numpy_dtype) if array is None else isinstance(array, plan.xp.array_types)


@functools.cache
def _kernel(source, shared, device):
    """A kernel on a device, loaded. ``shared``: bytes of dynamic shared memory of a block."""
    import cupy

    kernel = cupy.RawKernel(source, "kernel", options=_OPTIONS)
    kernel.compile()
    if shared > _largest.get((source, device), 0):  # a limit holds for all kernels of one source
        kernel.max_dynamic_shared_size_bytes = _largest[source, device] = shared
    return kernel


def _warn_once(about, text):
    if about not in _warned:
        _warned.add(about)
        warnings.warn(text, stacklevel=2)


def _failed(error):
    _warn_once("capture", f"A step could not be captured as a CUDA graph and runs launch by launch: {error}")


class _Item(typing.NamedTuple):
    """What is launched at once: a launch, its arguments as they are now, and the numbers of the calls that it works for."""

    launch: Launch | LibraryCall
    args: list
    calls: list


class Programs:
    """The launches of one plan, and the addresses in them that change. ``values``: the plan's arrays, None where they move.

    ``variables``: numbers of values that are variables': they move seldom.
    """

    def __init__(self, values, variables=()):
        self.values, self.variables, self.scratch_bytes = values, set(variables), 0
        self.moving, self._scratch, self._keep, self._tables, self._items = {}, [], [], [], []

    def add(self, calls, instructions):
        """A function without arguments that runs the launches of several calls; ``timed`` runs them call by call."""
        launches = [launch for own in instructions for launch in own]
        callers = [number for number, own in enumerate(instructions) for _ in own]
        places, moving, items, tables, done = self._scratch_places(instructions), [], [], [], 0
        for group in gathered(launches, self._place_of, _refused):
            table = Table(group) if len(group) > 1 else None
            rows = [[0] * len(group[0].args)] if table is None else table.rows
            for launch, args in zip(group, rows, strict=True):
                for i, argument in enumerate(launch.args):
                    self._place(args, i, argument, places, moving, table)
            if table is not None:
                tables.append(table)
            one, args = (group[0], rows[0]) if table is None else (table.launch, table.launch.args)
            items.append(_Item(one, args, callers[done : done + len(group)]))
            done += len(group)
        self._items += items
        self._tables += tables
        capture_off = os.environ.get("KERASISH_GRAPHS") == "0"
        run = functools.partial(self.launch, items)
        graphs = Graphs(run, lambda: _capture(run), _failed, 0 if capture_off else len(items))

        def upload():
            for table in tables:
                if table.stale:
                    self.upload(table)
                    table.stale = False

        def step():
            upload()
            graphs(tuple([args[i] for args, i in moving]))

        def timed():
            upload()
            return self._times(items, len(calls))

        step.calls, step.timed, step.compiled, step.graphs = list(calls), timed, True, graphs
        return step

    def _scratch_places(self, instructions):
        """Where in the scratch memory each piece of it is: calls come one after the other, so all may use the same."""
        places = {}
        for own in instructions:
            used = 0
            for argument in (a for launch in own for a in launch.args if isinstance(a, Buffer)):
                if isinstance(argument.base, Scratch) and argument.base not in places:
                    places[argument.base] = used
                    used += -(-argument.base.nbytes // 256) * 256
            self.scratch_bytes = max(self.scratch_bytes, used)
        return places

    def _place_of(self, buffer):
        """For ``gathered``: where a buffer lies, None where that changes with every replay."""
        offset = buffer.offset * buffer.itemsize
        if self.values[buffer.base] is not None:
            return "addresses", self.address(self.values[buffer.base]) + offset
        return (buffer.base, offset) if buffer.base in self.variables else None

    def _place(self, args, i, argument, places, moving, table):
        if not isinstance(argument, Buffer):
            args[i] = int(argument)
            return
        base, offset = argument.base, argument.offset * argument.itemsize
        if isinstance(base, Scratch):
            self._scratch.append((args, i, places[base] + offset))
        elif self.values[base] is None:
            self.moving.setdefault(base, []).append((args, i, offset, table))
            if table is None:
                moving.append((args, i))
        else:
            args[i] = self.address(self.values[base]) + offset

    def _times(self, items, count):
        """Seconds that each call takes; calls that are one launch have equal shares of it."""
        times = [0.0] * count
        for item in items:
            seconds = self.time(item) / len(item.calls)
            for number in item.calls:
                times[number] += seconds
        return times

    def finish(self):
        """Give the launches their scratch memory, and see that all kernels can be had: ``Refused`` where a plan must do without one."""
        memory = self.scratch(max(256, self.scratch_bytes))
        self._keep.append(memory)
        for args, i, offset in self._scratch:
            args[i] = self.address(memory) + offset
        for table in self._tables:
            device = self.scratch(table.host.nbytes)
            self._keep.append(device)
            table.launch.args[0], table.device = self.address(device), device
        self.load([item.launch for item in self._items if isinstance(item.launch, Launch)])

    def point_to(self, numbers, values):
        """Take over where these values lie now."""
        for number in numbers:
            for args, i, offset, table in self.moving.get(number, ()):
                args[i] = self.address(values[number]) + offset
                if table is not None:
                    table.stale = True

    # ---- what asks for a device
    def address(self, array):
        """Where an array lies."""
        return array.data.ptr

    def load(self, launches):
        """Compile what must be, several at once, and bring it to the device: nothing can be loaded during a capture."""
        import cupy

        number, wanted = cupy.cuda.get_device_id(), list({(launch.source, launch.shared): None for launch in launches})

        def loaded(key):
            try:
                cupy.cuda.Device(number).use()  # of this thread, which ends here
                _kernel(*key, number)
            except Exception as error:  # of NVRTC or the driver: the ops' own kernels still do
                return key[0], error
            return None

        with concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            failed = [found for found in pool.map(loaded, wanted) if found is not None]
        if failed:
            _refused.update(source for source, _ in failed)
            _warn_once("kernel", f"{len(failed)} CUDA kernels can't be compiled or loaded; CuPy's are used instead: {failed[0][1]}")
            raise Refused

    def upload(self, table):
        """Bring a table's rows to the device."""
        table.device.set(table.host.view(np.uint8).reshape(-1))

    def launch(self, items):
        """Launch some items, one after the other, on the current stream."""
        _launch(items)

    def time(self, item):
        """How many seconds an item takes on the device: in a row with itself, so that what the host does for it doesn't count."""
        import cupy

        run = functools.partial(self.launch, [item] * _REPEATS)
        with contextlib.suppress(Exception):  # what can't be captured is launched one by one
            run = _capture(run).launch
        run()  # the first launch of a graph brings it to the device
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        run()
        end.record()
        end.synchronize()
        return cupy.cuda.get_elapsed_time(start, end) / 1e3 / _REPEATS

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
