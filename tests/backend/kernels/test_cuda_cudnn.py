"""Convolutions by cuDNN: what it is asked, with NumPy in its place; how its package is used, with a package that only takes notes;
and, where the package is, its own plans for a GPU that isn't here."""

import contextlib
import ctypes
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import kerasish
from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.autodiff.dtypes import numpy_dtype
from kerasish.backend.kernels.cuda import cudnn, cudnn_graphs, launch
from kerasish.backend.kernels.cuda.cudnn import Convolution
from kerasish.backend.kernels.cuda.launch import LibraryCall, Request
from kerasish.ops.conv import _conv_input, _conv_kernel, conv
from tests.backend.kernels import cuda_cudnn
from tests.backend.kernels import cuda_host as host
from tests.backend.kernels.cuda_plans import on_host
from tests.backend.kernels.test_cuda_plans import trained

XP = NumpyArrays()
needs_compiler = pytest.mark.skipif(not host.available(), reason="g++ compiles the copies for the processor")
CANDIDATES = {conv: cudnn.conv, _conv_input: cudnn.conv_input, _conv_kernel: cudnn.conv_kernel}


@pytest.fixture(autouse=True)
def everywhere(monkeypatch):
    """cuDNN is asked wherever it can."""
    monkeypatch.setenv("KERASISH_CUDNN", "1")


def normal(*shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(numpy_dtype(dtype))


def attributes(padding="valid", strides=1, dilation_rate=1, data_format="channels_last"):
    return {"padding": padding, "strides": strides, "dilation_rate": dilation_rate, "data_format": data_format}


# ---- what cuDNN is asked
def three_ways(x, w, attrs):
    """Triples (op, arrays, expected) of a convolution and its gradients."""
    y = conv.kernel(XP, x, w, **attrs)
    g = normal(*y.shape, dtype=x.dtype.name, seed=2)
    yield conv, (x, w), attrs, y
    for op, arrays, shape in ((_conv_input, (g, w), x.shape), (_conv_kernel, (x, g), w.shape)):
        more = {**attrs, "shape": shape}
        yield op, arrays, more, op.kernel(XP, *arrays, **more)


def asked(op, arrays, attrs, out):
    """The launches of a call."""
    request = Request(op, attrs, [host.buffer(a) for a in arrays], [host.buffer(out)])
    launches = CANDIDATES[op](request)
    return None if launches is None else [*request.before, *launches]


def agree(x, w, attrs, tol=1e-5):
    for op, arrays, more, expected in three_ways(x, w, attrs):
        found = np.full(expected.shape, 7, expected.dtype)
        host.run(asked(op, arrays, more, found))
        scale = np.abs(expected.astype("float32")).max()
        assert_allclose(found.astype("float32"), expected.astype("float32"), atol=tol * scale, err_msg=op.name)


CASES = [
    ((2, 7, 6, 4), (3, 3, 4, 5), {"padding": "same"}),
    ((2, 7, 6, 4), (3, 2, 4, 5), {}),
    ((2, 8, 6, 4), (3, 3, 4, 5), {"padding": "same", "strides": 2}),  # zeros behind only
    ((2, 9, 8, 3), (3, 3, 3, 1), {"padding": "same", "strides": (2, 3)}),
    ((2, 9, 8, 1), (1, 1, 1, 4), {"strides": 2}),  # pixels that no window meets
    ((2, 9, 8, 4), (3, 3, 4, 2), {"padding": "same", "dilation_rate": 2}),
    ((2, 6, 6, 6), (3, 3, 2, 9), {"padding": "same"}),  # three groups
    ((2, 6, 6, 5), (3, 3, 1, 10), {"padding": "same", "strides": 2}),
    ((2, 9, 4), (3, 4, 5), {"padding": "causal", "dilation_rate": 2}),
    ((2, 9, 4), (4, 2, 6), {"padding": "same", "strides": 3}),
    ((2, 5, 6, 4, 3), (3, 2, 3, 3, 4), {"padding": "same", "strides": (1, 2, 1)}),
    ((2, 5, 6, 3), (3, 3, 3, 4), {"padding": ((2, 0), (0, 3))}),
]


@needs_compiler
@pytest.mark.parametrize(("x", "w", "attrs"), CASES)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_convolutions_and_gradients(x, w, attrs, data_format):
    x = x if data_format == "channels_last" else (x[0], x[-1], *x[1:-1])
    agree(normal(*x), normal(*w, seed=1), attributes(**attrs, data_format=data_format))


@needs_compiler
@pytest.mark.parametrize(("dtype", "tol"), [("float64", 1e-12), ("float16", 2e-3), ("bfloat16", 2e-2)])
def test_dtypes(dtype, tol):
    agree(normal(2, 7, 6, 4, dtype=dtype), normal(3, 3, 4, 5, dtype=dtype), attributes("same", 2), tol)


@needs_compiler
def test_buffers_with_gaps():
    x, w, attrs = normal(3, 7, 8, 6)[:, :, ::2, 1:5], normal(3, 3, 8, 5)[:, :, ::2], attributes("same")
    for op, arrays, more, expected in three_ways(x, w, attrs):
        memory = np.full((*expected.shape[:-1], 2 * expected.shape[-1]), 7, "float32")
        host.run(asked(op, arrays, more, memory[..., ::2]))
        assert_allclose(memory[..., ::2], expected, atol=1e-4)
        assert_array_equal(memory[..., 1::2], 7)


@needs_compiler
def test_buffers_that_begin_anywhere():
    memory, w, attrs = np.zeros(2 * 7 * 6 * 4 + 1, "float32"), normal(3, 3, 4, 5), attributes("same")
    x, y = host.buffer(memory).view((2, 7, 6, 4), offset=1), np.zeros((2, 7, 6, 5), "float32")
    memory[1:] = normal(memory.size - 1)
    request = Request(conv, attrs, [x, host.buffer(w)], [host.buffer(y)])
    launches = cudnn.conv(request)
    assert len(request.before) == 2 and len(launches) == 1  # copies of the images and of the kernel
    host.run([*request.before, *launches])
    assert_allclose(y, conv.kernel(XP, memory[1:].reshape(2, 7, 6, 4), w, **attrs), atol=1e-4)


def test_launches(monkeypatch):
    monkeypatch.setenv("KERASISH_TF32", "1")
    x, w, attrs = normal(2, 7, 6, 4), normal(3, 3, 4, 5), attributes("same")
    kinds = {op.name: [type(one) is LibraryCall for one in asked(op, arrays, more, expected)] for op, arrays, more, expected in three_ways(x, w, attrs)}
    assert kinds == {"conv": [False, True], "_conv_input": [False, True], "_conv_kernel": [True, False]}
    [call] = asked(conv, (x, normal(3, 3, 4, 1)), attrs, normal(2, 7, 6, 1))  # one filter lies as cuDNN wants it
    assert call.routine == Convolution("y", (2, 4, 7, 6), (1, 4, 3, 3), (2, 1, 7, 6), True, (1, 1), (1, 1), (1, 1), (1, 1), "float32", True)


def test_what_is_left_to_others():
    x, w, attrs = normal(2, 7, 6, 4), normal(3, 3, 4, 5), attributes()
    y = conv.kernel(XP, x, w, **attrs)
    assert asked(conv, (x.astype("float16"), w), attrs, y) is None
    assert asked(conv, (x.astype("int32"), w.astype("int32")), attrs, y.astype("int32")) is None
    assert asked(conv, (x[:0], w), attrs, y[:0]) is None
    cut = attributes(((-1, 0), (0, 0)))
    assert asked(conv, (x, w), cut, conv.kernel(XP, x, w, **cut)) is None


def test_borders_without_use_are_left_out():
    described = cudnn._borders
    assert described(8, 4, 3, 2, 1, 0) == (0, 1)
    assert described(9, 4, 2, 2, 1, 0) == (0, 0)
    assert described(9, 5, 3, 1, 2, 0) == (0, 0)
    assert described(9, 9, 3, 1, 2, 2) == (2, 2)
    assert described(9, 3, 2, 2, 1, 0) is None  # windows are cut off


@pytest.mark.parametrize("allowed", [True, False])
def test_tf32(monkeypatch, allowed):
    monkeypatch.setenv("KERASISH_TF32", str(int(allowed)))
    for dtype, expected in (("float32", allowed), ("float64", False), ("float16", False)):
        x, w = normal(1, 3, 3, 2, dtype=dtype), normal(1, 1, 2, 1, dtype=dtype)
        assert asked(conv, (x, w), attributes(), normal(1, 3, 3, 1, dtype=dtype))[-1].routine.tf32 is expected


PAYING = [  # sizes, dtype, whether TF32 is allowed, whether cuDNN is asked
    ((64, 56, 56, 64), (3, 3, 64, 64), "float16", True, True),
    ((64, 56, 56, 64), (3, 3, 64, 64), "bfloat16", False, True),
    ((64, 56, 56, 64), (3, 3, 64, 64), "float32", True, True),
    ((64, 56, 56, 64), (3, 3, 64, 64), "float32", False, False),
    ((64, 56, 56, 64), (3, 3, 64, 64), "float64", True, False),
    ((64, 56, 56, 64), (3, 3, 16, 64), "float16", True, False),  # groups
    ((64, 56, 56, 68), (3, 3, 68, 64), "float16", True, False),  # no 16 bytes
    ((64, 56, 56, 64), (1, 1, 64, 64), "float16", True, False),  # bound by bytes
    ((512, 32, 32, 16), (3, 3, 16, 16), "float32", True, False),
    ((64, 8, 8, 64), (3, 3, 64, 64), "float32", True, False),  # too little of it
    ((512, 8, 8, 64), (3, 3, 64, 64), "float32", True, True),
]


@pytest.mark.parametrize(("x", "w", "dtype", "tf32", "pays"), PAYING)
def test_where_it_pays(monkeypatch, x, w, dtype, tf32, pays):
    assert {cudnn._pays(one) for one in directions(x, w, dtype, tf32, padding="same")} == {pays}
    assert not any(map(cudnn._pays, directions((x[0], x[3], *x[1:3]), w, dtype, tf32, data_format="channels_first")))
    monkeypatch.delenv("KERASISH_CUDNN")
    attrs = attributes("same")
    buffers = [host.Buffer(None, shape, dtype) for shape in (x, w, conv.shape(x, w, **attrs))]
    monkeypatch.setenv("KERASISH_TF32", str(int(tf32)))
    assert (cudnn.conv(Request(conv, attrs, buffers[:2], buffers[2:])) is not None) is pays


def images(policy):
    """A model with two convolutions, and its data."""
    kerasish.utils.set_random_seed(3)
    layers = [
        kerasish.Input((8, 8, 4)), kerasish.layers.Conv2D(8, 3, 2, padding="same", activation="relu", dtype=policy),
        kerasish.layers.Conv2D(4, 3, groups=2, dtype=policy), kerasish.layers.Flatten(dtype=policy), kerasish.layers.Dense(5),
    ]  # fmt: skip
    model = kerasish.Sequential(layers)
    model.compile("adam", kerasish.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model, normal(64, 8, 8, 4), np.random.default_rng(0).integers(0, 5, 64)


@needs_compiler
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_a_plan(monkeypatch, policy):
    """A model trained by plans gives what it gives without CUDA kernels, and its convolutions are cuDNN's."""
    functions, calls = launch._for_cuda._functions, []
    for op, function in CANDIDATES.items():
        monkeypatch.setitem(functions, op.name, [function, *functions[op.name]])
    monkeypatch.setitem(host.LIBRARIES, Convolution, lambda routine, addresses: calls.append(routine) or cuda_cudnn.run(routine, addresses))
    history, weights = trained(images, policy)
    with on_host():
        found_history, found = trained(images, policy)
    assert {call.wanted for call in calls} == {"x", "y", "w"} and {call.dtype for call in calls} == {policy.removeprefix("mixed_")}
    tol = {"float32": 2e-6, "mixed_float16": 2e-3, "mixed_bfloat16": 1e-2}[policy]
    assert_allclose(found_history["loss"], history["loss"], rtol=max(tol, 1e-5))
    for a, b in zip(found, weights, strict=True):
        assert_allclose(a, b, atol=tol)


# ---- how the package is used
class Notes:
    """A graph that writes down what is done with it."""

    def __init__(self, package, options):
        self.package, self.options, self.tensors, self.log = package, options, [], []

    def tensor(self, **what):
        number = 10 + len(self.tensors)
        self.tensors.append(types.SimpleNamespace(**what, get_uid=lambda: number))
        return self.tensors[-1]

    def _convolution(self, operation, inputs, options):
        self.inputs, self.operation = inputs, (operation, options)
        out = self.tensor()
        for name in ("output", "data_type", "dim", "stride"):
            setattr(out, f"set_{name}", lambda value, name=name: setattr(out, name, value))
        return out

    def conv_fprop(self, *inputs, **options):
        return self._convolution("fprop", inputs, options)

    def conv_dgrad(self, *inputs, **options):
        return self._convolution("dgrad", inputs, options)

    def conv_wgrad(self, *inputs, **options):
        return self._convolution("wgrad", inputs, options)

    def __getattr__(self, name):
        if name == self.package.fails:
            raise RuntimeError(f"{name} failed")
        return lambda *args: self.log.append((name, *args))

    def get_workspace_size(self):
        return 1000

    def execute(self, pack, workspace, handle):
        if self.package.fails == "execute":
            raise RuntimeError("execute failed")
        self.package.executed.append((pack, workspace, handle, self.package.stream))


class Package:
    """The package ``cudnn``, and CuPy as far as it is asked."""

    def __init__(self, fails=None, memory=1 << 30):
        self.fails, self.graphs, self.executed, self.copies, self.memory, self.next = fails, [], [], [], memory, 1 << 20
        names = ("FLOAT", "DOUBLE", "HALF", "BFLOAT16", "A", "FALLBACK", "TENSOR_CORE", *cudnn_graphs._REFUSED)
        self.data_type = self.heur_mode = self.numerical_note = types.SimpleNamespace(**{name: name for name in names})
        stream = types.SimpleNamespace(ptr=77, synchronize=lambda: None)
        runtime = types.SimpleNamespace(getDevice=lambda: 0, memcpyAsync=lambda *args: self.copies.append(args))
        self.cupy = types.SimpleNamespace(zeros=self.array, empty=self.array, cuda=types.SimpleNamespace(get_current_stream=lambda: stream, runtime=runtime))

    def array(self, nbytes, dtype):
        if nbytes > self.memory:
            raise MemoryError
        self.next += -(-nbytes // 256) * 256
        return types.SimpleNamespace(data=types.SimpleNamespace(ptr=self.next))

    def create_handle(self):
        return "handle"

    def set_stream(self, handle, stream):
        self.stream = stream

    def pygraph(self, **options):
        self.graphs.append(Notes(self, options))
        return self.graphs[-1]


@contextlib.contextmanager
def forgotten():
    """Block that knows nothing of others' packages, and leaves nothing behind."""
    caches = (cudnn_graphs.library, cudnn_graphs._handle, cudnn_graphs._planned, cudnn_graphs._spare)
    for cache in caches:
        cache.cache_clear()
    try:
        yield
    finally:
        for cache in caches:
            cache.cache_clear()
        cudnn_graphs.declined.clear()


@pytest.fixture
def use(monkeypatch):
    """Makes a package the installed one."""
    monkeypatch.setattr(cudnn_graphs, "_find_cudnn", lambda: None)
    with forgotten():

        def install(package):
            monkeypatch.setitem(sys.modules, "cudnn", package)
            monkeypatch.setitem(sys.modules, "cupy", None if package is None else package.cupy)
            return package

        yield install


EXAMPLE = Convolution("x", (2, 6, 8, 9), (4, 3, 3, 2), (2, 4, 4, 9), True, (2, 1), (1, 1), (0, 1), (1, 0), "float16")


def test_a_graph(use):
    package = use(Package())
    assert EXAMPLE.prepare() == EXAMPLE.prepare() == 1000
    [graph] = package.graphs
    assert graph.options == {"io_data_type": "HALF", "intermediate_data_type": "FLOAT", "compute_data_type": "FLOAT", "handle": "handle"}
    y, w, x = graph.tensors
    assert graph.inputs == (y, w) and (x.output, x.data_type) == (True, "HALF")
    assert (y.dim, y.stride) == ([2, 4, 4, 9], [144, 1, 36, 4])
    assert (w.dim, w.stride) == ([4, 3, 3, 2], [18, 1, 6, 3])
    assert (x.dim, x.stride) == ([2, 6, 8, 9], [432, 1, 54, 6])
    assert graph.operation == ("dgrad", {"pre_padding": [0, 1], "post_padding": [1, 0], "stride": [2, 1], "dilation": [1, 1]})
    steps = ["validate", "build_operation_graph", "create_execution_plans", "deselect_numeric_notes", "deselect_workspace_greater_than", "check_support", "build_plans"]
    assert [name for name, *_ in graph.log] == steps
    assert len(package.executed) == 1  # on zeros


def test_channels_first(use):
    package = use(Package())
    Convolution("y", (2, 6, 8, 9), (4, 6, 1, 1), (2, 4, 8, 9), False, (1, 1), (1, 1), (0, 0), (0, 0), "float64").prepare()
    x, w, y = package.graphs[0].tensors
    assert (x.stride, w.stride, y.stride) == ([432, 72, 9, 1], [6, 1, 6, 6], [288, 72, 9, 1])
    assert package.graphs[0].options["compute_data_type"] == "DOUBLE"


@pytest.mark.parametrize("tf32", [True, False])
def test_engines_without_tf32(use, tf32):
    package = use(Package())
    Convolution("y", (1, 1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1), True, (1, 1), (1, 1), (0, 0), (0, 0), "float32", tf32).prepare()
    [notes] = [args[0] for name, *args in package.graphs[0].log if name == "deselect_numeric_notes"]
    assert ("TENSOR_CORE" in notes) is not tf32 and "NONDETERMINISTIC" in notes


def test_a_run(use):
    package = use(Package())
    EXAMPLE.prepare()
    package.executed.clear()
    EXAMPLE.run([1600, 3200, 6400, 12800])
    assert package.executed == [({10: 1600, 11: 3200, 12: 6400}, 12800, "handle", 77)] and not package.copies


def test_a_run_on_slices_of_arrays(use):
    """cuDNN takes no address that isn't a multiple of 16: such arguments are copied there and back, always by the same memory."""
    package = use(Package())
    EXAMPLE.prepare()
    package.executed.clear()
    for _ in range(2):
        EXAMPLE.run([1602, 3200, 6404, 12800])
    ([pack, *_], again) = package.executed
    assert again[0] == pack and pack[11] == 3200 and all(address % 16 == 0 for address in pack.values())
    assert package.copies[:2] == [(pack[10], 1602, 2 * 4 * 4 * 9 * 2, 3, 77), (6404, pack[12], 2 * 6 * 8 * 9 * 2, 3, 77)]


@pytest.mark.parametrize("fails", ["validate", "create_execution_plans", "check_support", "execute"])
def test_what_cudnn_cannot_do(use, fails):
    package = use(Package(fails))
    assert EXAMPLE.prepare() is None and EXAMPLE.prepare() is None and len(package.graphs) == 1
    assert cudnn_graphs.declined[EXAMPLE] == f"RuntimeError: {fails} failed"


def test_no_memory_to_try(use):
    package = use(Package(memory=10))
    assert EXAMPLE.prepare() == 1000 and not package.executed


def test_without_the_package(use, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", use(Package()).cupy)
    monkeypatch.setitem(sys.modules, "cudnn", None)
    assert EXAMPLE.prepare() is None and "ModuleNotFoundError" in cudnn_graphs.declined[EXAMPLE]
    use(None)  # CuPy is missing too
    assert EXAMPLE.prepare() is None


def test_turned_off(use, monkeypatch):
    use(Package())
    monkeypatch.setenv("KERASISH_CUDNN", "0")
    assert EXAMPLE.prepare() is None and "KERASISH_CUDNN" in cudnn_graphs.declined[EXAMPLE]


# ---- cuDNN's own plans for compute capability 9.0, made without a GPU
H200 = {
    "maxGridSize": [2**31 - 1, 65535, 65535], "maxBlockSize": [1024, 1024, 64], "regsPerBlock": 65536, "multiProcessorCount": 132,
    "smCountOrigin": 0, "warpSize": 32, "maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": 232448,
    "reservedSharedMemoryPerBlock": 1024, "oversizedSharedMemoryPerBlock": 0, "maxRegistersPerSM": 65536, "maxCtasPerSM": 32,
    "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048, "pciDeviceId": 0, "isTccDriver": 0, "supportCoopLaunch": 1,
    "totalGlobalMem": 150 * 10**9, "smClockRateKHz": 1980000, "memClockRateKHz": 3201000, "memoryBusWidth": 6144, "l2CacheSize": 60 << 20,
    "cudaDeviceId": 0, "deviceVer": 900, "driverVer": 13000, "deviceName": "NVIDIA H200",
}  # fmt: skip
DRIVER = "int {0}(void) {{ return 100; }}\n"  # a driver that finds no device; the library needs one to be loaded
DRIVER_FUNCTIONS = ("cuGetErrorString", "cuModuleGetFunction", "cuModuleLoadData", "cuModuleUnload", "cuTensorMapEncodeIm2col", "cuTensorMapEncodeTiled")
PLANNER = r"""
import ctypes, json, sys
driver, properties, convolutions = json.load(sys.stdin)
if driver:
    ctypes.CDLL(driver, mode=ctypes.RTLD_GLOBAL)
from kerasish.backend.kernels.cuda.cudnn import Convolution
from kerasish.backend.kernels.cuda.cudnn_graphs import library, plan
cudnn, found = library(), []
device = cudnn.create_device_properties(json.dumps(properties))
for fields in convolutions:
    convolution = Convolution(*[tuple(f) if isinstance(f, list) else f for f in fields])
    try:
        planned = plan(convolution, device_property=device, sm_version=90)
        found.append([planned.nbytes, sorted(planned.numbers)])
    except Exception as error:
        found.append(f"{type(error).__name__}: {error}")
print("FOUND", json.dumps(found))
"""


def directions(x, w, dtype, tf32=True, **attrs):
    """A convolution of images (channels last) and its gradients, as routines."""
    attrs = attributes(**attrs)
    y = conv.shape(x, w, **attrs)
    host_of = lambda shape: host.Buffer(None, shape, dtype)
    for wanted in "yxw":
        described = cudnn._described(attrs, wanted, host_of(x), host_of(w), host_of(y))
        yield Convolution(**{**vars(described), "tf32": tf32 and dtype == "float32"})


def shapes(batch):
    """Those of the models cnn and resnet in benchmarks/workloads.py."""
    yield from [((batch, 28, 28, 1), (3, 3, 1, 32), {}), ((batch, 13, 13, 32), (3, 3, 32, 64), {}), ((batch, 32, 32, 3), (3, 3, 3, 16), {"padding": "same"})]
    for n, channels in ((32, 16), (16, 32), (8, 64)):
        yield (batch, n, n, channels), (3, 3, channels, channels), {"padding": "same"}
        if channels < 64:
            yield (batch, n, n, channels), (3, 3, channels, 2 * channels), {"padding": "same", "strides": 2}
            yield (batch, n, n, channels), (1, 1, channels, 2 * channels), {"strides": 2}


def wanted_of_cudnn():
    for dtype in ("float32", "float16", "bfloat16", "float64"):
        for x, w, attrs in CASES:
            yield from directions(x, w, dtype, **attrs)
        for batch in (64, 512) if dtype != "float64" else ():
            for x, w, attrs in shapes(batch):
                yield from directions(x, w, dtype, **attrs)
    for x, w, attrs in (*CASES, *shapes(64)):
        yield from directions(x, w, "float32", tf32=False, **attrs)


def driver(folder):
    """The path of what stands for CUDA's driver, None where there is one."""
    with contextlib.suppress(OSError):
        ctypes.CDLL("libcuda.so.1")
        return None
    (folder / "driver.c").write_text("".join(map(DRIVER.format, DRIVER_FUNCTIONS)))
    path = str(folder / "libcuda.so.1")
    subprocess.run(["gcc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", path, folder / "driver.c"], check=True)
    return path


@pytest.mark.skipif(importlib.util.find_spec("cudnn") is None, reason="needs cuDNN: pip install nvidia-cudnn-frontend nvidia-cudnn-cu13")
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc compiles what stands for the driver")
def test_cudnn_plans_them_all(tmp_path):
    convolutions = list(dict.fromkeys(wanted_of_cudnn()))
    assert len(convolutions) > 300
    given = json.dumps([driver(tmp_path), H200, [list(vars(one).values()) for one in convolutions]])
    path = os.pathsep.join([str(pathlib.Path(__file__).parents[3]), *sys.path])
    done = subprocess.run([sys.executable, "-c", PLANNER], input=given, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path})
    [line] = [line for line in done.stdout.splitlines() if line.startswith("FOUND")] or [done.stderr]
    found = json.loads(line.removeprefix("FOUND"))
    failed = [(one, result) for one, result in zip(convolutions, found, strict=True) if isinstance(result, str)]
    assert not failed
    assert max(nbytes for nbytes, _ in found) <= cudnn_graphs._WORKSPACE and all(len(set(numbers)) == 3 for _, numbers in found)
