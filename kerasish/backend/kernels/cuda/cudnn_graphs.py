"""cuDNN's graphs, each of one convolution: planned once for a device, then run with addresses.

Nothing is allocated when a graph runs, so that runs can be captured. Planning ends with a run on zeros: it loads the kernels, which
can't be done during a capture, and an engine that fails is known before a model depends on it.
"""

import contextlib
import ctypes
import functools
import importlib.util
import math
import os
import pathlib
import sysconfig
import threading
import typing

ALIGNMENT = 16  # bytes, of all that cuDNN is given
_WORKSPACE = 1 << 30  # bytes that an engine may ask for
_KINDS = {"float32": "FLOAT", "float64": "DOUBLE", "float16": "HALF", "bfloat16": "BFLOAT16"}
ITEMSIZE = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2}
_NAME = "libcudnn.so.9"
# what engines may not do: add up in changing order or in half precision, or compute something else than the sums of a convolution
_REFUSED = ("NONDETERMINISTIC", "DOWN_CONVERT_INPUTS", "REDUCED_PRECISION_REDUCTION", "FFT", "WINOGRAD")
_FROM_DEVICE_TO_DEVICE = 3  # cudaMemcpyDeviceToDevice
declined: dict = {}  # convolution: why cuDNN doesn't do it


# ---- the library
@functools.cache
def library():
    """The package ``cudnn``; raises what its import raises, and ImportError with ``$KERASISH_CUDNN`` 0."""
    if os.environ.get("KERASISH_CUDNN") == "0":
        raise ImportError("cuDNN is turned off by KERASISH_CUDNN=0")
    _find_cudnn()
    import cudnn

    return cudnn


def _find_cudnn():
    """Load the library where its Python package wouldn't look: it knows one folder of packages, and what the system finds by name."""
    if pathlib.Path(sysconfig.get_path("purelib"), "nvidia/cudnn/lib", _NAME).exists():
        return
    with contextlib.suppress(OSError):
        ctypes.CDLL(_NAME)
        return
    with contextlib.suppress(ImportError, OSError):
        spec = importlib.util.find_spec("nvidia.cudnn")
        for folder in () if spec is None else spec.submodule_search_locations:
            ctypes.CDLL(os.path.join(folder, "lib", _NAME))


@functools.cache
def _handle(device, thread):
    """The library's state on the current device, for one thread: it is not to be shared."""
    return library().create_handle()


def _own_handle(device):
    return _handle(device, threading.get_ident())


# ---- planning
class Planned(typing.NamedTuple):
    """A graph with an engine, the numbers that it has for the arguments, and bytes of workspace."""

    graph: object
    numbers: list
    nbytes: int

    def run(self, handle, addresses, stream):
        """Compute, on a stream."""
        *arguments, workspace = addresses
        library().set_stream(handle, stream)
        self.graph.execute(dict(zip(self.numbers, arguments, strict=True)), workspace, handle)


def plan(convolution, **where):
    """A convolution planned by the library's heuristics. ``where``: a handle, or the properties of a device that isn't here."""
    it, cudnn = convolution, library()
    kind, sums = (getattr(cudnn.data_type, name) for name in (_KINDS[it.dtype], "DOUBLE" if it.dtype == "float64" else "FLOAT"))
    graph = cudnn.pygraph(io_data_type=kind, intermediate_data_type=sums, compute_data_type=sums, **where)
    *given, wanted = it.arguments
    inputs = [graph.tensor(dim=list(it.sizes(name)), stride=list(it.steps(name)), data_type=kind, name=name) for name in given]
    operation = {"y": graph.conv_fprop, "x": graph.conv_dgrad, "w": graph.conv_wgrad}[wanted]
    out = operation(*inputs, pre_padding=list(it.before), post_padding=list(it.after), stride=list(it.strides), dilation=list(it.dilation))
    out.set_output(True)
    out.set_data_type(kind)
    out.set_dim(list(it.sizes(wanted)))
    out.set_stride(list(it.steps(wanted)))
    _choose(graph, exact=it.dtype == "float32" and not it.tf32)
    return Planned(graph, [tensor.get_uid() for tensor in (*inputs, out)], int(graph.get_workspace_size()))


def _choose(graph, exact):
    """Give a graph the engine that the library thinks is the fastest of those that may be; ``exact``: without TF32."""
    cudnn, refused = library(), [*_REFUSED, *["TENSOR_CORE"] * exact]
    graph.validate()
    graph.build_operation_graph()
    graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
    graph.deselect_numeric_notes([getattr(cudnn.numerical_note, note) for note in refused])
    graph.deselect_workspace_greater_than(_WORKSPACE)
    graph.check_support()
    graph.build_plans()


def sizes(convolution):
    """Bytes of the arguments."""
    return [math.prod(convolution.sizes(name)) * ITEMSIZE[convolution.dtype] for name in convolution.arguments]


@functools.cache
def _planned(convolution, device):
    """A convolution on a device, None where it can't be had."""
    try:
        planned = plan(convolution, handle=_own_handle(device))
        _try(planned, sizes(convolution), device)
        return planned
    except Exception as error:  # the package or the library is missing, or has no engine, or one that fails: others compute it
        declined[convolution] = f"{type(error).__name__}: {error}"
        return None


def _try(planned, nbytes, device):
    """Run it on zeros, where there is memory for that. ``nbytes`` of the arguments."""
    import cupy

    stream = cupy.cuda.get_current_stream()
    with contextlib.suppress(MemoryError):
        memory = [cupy.zeros(max(n, 1), "uint8") for n in (*nbytes, planned.nbytes)]
        planned.run(_own_handle(device), [array.data.ptr for array in memory], stream.ptr)
        stream.synchronize()


# ---- what routines ask for
def _device():
    import cupy

    return cupy.cuda.runtime.getDevice()


def prepare(convolution):
    """Bytes of workspace, None where the library is missing or can't do it."""
    try:
        planned = _planned(convolution, _device())
    except (ImportError, RuntimeError):  # no CuPy, no device
        return None
    return None if planned is None else planned.nbytes


def run(convolution, addresses):
    """Run what has been prepared, on the current stream."""
    import cupy

    device, stream, (*arguments, workspace) = _device(), cupy.cuda.get_current_stream().ptr, addresses
    places = [_place(convolution, i, address, device) for i, address in enumerate(arguments)]
    *given, (address, place, nbytes) = zip(arguments, places, sizes(convolution), strict=True)
    for one in given:
        _copy(*one, stream)
    _planned(convolution, device).run(_own_handle(device), [*places, workspace], stream)
    _copy(place, address, nbytes, stream)


def _place(convolution, i, address, device):
    """Where cuDNN can take an argument that lies there: slices of arrays may lie anywhere."""
    return address if address % ALIGNMENT == 0 else _spare(convolution, i, device).data.ptr


@functools.cache
def _spare(convolution, i, device):
    """Memory for an argument. Made by the first run with such an address, which isn't captured."""
    import cupy

    return cupy.empty(sizes(convolution)[i], "uint8")


def _copy(start, to, nbytes, stream):
    if start != to:
        import cupy

        cupy.cuda.runtime.memcpyAsync(to, start, nbytes, _FROM_DEVICE_TO_DEVICE, stream)
