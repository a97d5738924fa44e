"""Matrix products by cuBLASLt: what its functions are given, against a stand-in that knows its matrices' layout, and the library itself."""

import ctypes
import math
import sys
import types

import numpy as np
import pytest
from numpy.testing import assert_allclose

from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.autodiff.dtypes import numpy_dtype
from kerasish.backend.kernels.candidates import Buffer
from kerasish.backend.kernels.cuda import cublaslt
from kerasish.backend.kernels.cuda.cublaslt import Described, Matrix, Product, products
from kerasish.backend.kernels.cuda.launch import LibraryCall, Request
from kerasish.ops.products import matmul
from tests.backend.kernels import cuda_host as host
from tests.backend.kernels.cuda_libraries import HOST, KINDS, HostBlasLt

XP = NumpyArrays()
TOLERANCE = {"float32": 2e-5, "float64": 1e-12, "float16": 2e-3, "bfloat16": 2e-2}
needs_compiler = pytest.mark.skipif(not host.available(), reason="g++ compiles the sources for the processor")
needs_library = pytest.mark.skipif(cublaslt.library() is None, reason="needs cuBLASLt: pip install nvidia-cublas")


def normal(*shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(numpy_dtype(dtype))


def buffer(array):
    """An array as a buffer, also where it is a slice of another one: its memory is that of the whole."""
    base = array if array.base is None else array.base
    base = base if isinstance(base, np.ndarray) else array
    offset = (array.ctypes.data - base.ctypes.data) // array.itemsize
    return Buffer(base, array.shape, array.dtype.name, [s // array.itemsize for s in array.strides], offset)


def multiply(x, y):
    """Launches for a product, what they give, and what NumPy does."""
    expected = matmul.kernel(XP, x, y)
    out = np.full(expected.shape, 7, expected.dtype)
    request = Request(matmul, {}, [buffer(x), buffer(y)], [host.buffer(out)])
    launches = cublaslt.matmul(request)
    if launches is not None:
        launches = [*request.before, *launches]
        host.run(launches)
        wide = expected.astype("float64")
        assert_allclose(out.astype("float64"), wide, rtol=0, atol=TOLERANCE[out.dtype.name] * (1 + abs(wide).max(initial=0)))
    return launches


def kinds(launches):
    """Copies as "copy", products as (m, n, k, batch)."""
    return [one.routine[:4] if isinstance(one, LibraryCall) else "copy" for one in launches]


@pytest.mark.parametrize(("first", "second", "given"), [
    ((3, 4), (4, 5), (3, 5, 4, 1)), ((1, 1), (1, 1), (1, 1, 1, 1)), ((4,), (4, 5), (1, 5, 4, 1)), ((3, 4), (4,), (3, 1, 4, 1)),
    ((4,), (4,), (1, 1, 4, 1)), ((2, 3, 4), (4, 5), (6, 5, 4, 1)), ((2, 6, 3, 4), (4, 5), (36, 5, 4, 1)), ((2, 3, 4), (4,), (6, 1, 4, 1)),
    ((2, 3, 4), (2, 4, 5), (3, 5, 4, 2)), ((2, 6, 3, 4), (2, 6, 4, 5), (3, 5, 4, 12)), ((2, 3, 4), (1, 4, 5), (6, 5, 4, 1)),
    ((1, 3, 4), (7, 4, 5), (3, 5, 4, 7)), ((3, 4), (7, 4, 5), (3, 5, 4, 7)), ((4,), (7, 4, 5), (1, 5, 4, 7)), ((7, 3, 4), (4,), (21, 1, 4, 1)),
    ((5, 1, 4), (4, 6), (5, 6, 4, 1)), ((5, 1, 4), (5, 4, 1), (1, 1, 4, 5)), ((1, 70), (70, 1), (1, 1, 70, 1)),
    ((5, 6, 3, 4), (5, 1, 4, 2), (18, 2, 4, 5)),
])  # fmt: skip
def test_shapes(first, second, given):
    assert kinds(multiply(normal(*first), normal(*second, seed=1))) == [given]


@pytest.mark.parametrize("dtype", [*KINDS.values()])
@pytest.mark.parametrize(("turned_x", "turned_y"), [(a, b) for a in (False, True) for b in (False, True)])
def test_turned_matrices_are_not_copied(monkeypatch, dtype, turned_x, turned_y):
    monkeypatch.setattr(cublaslt, "tf32", lambda: True)
    for lead in ((), (3,)):
        x, y = normal(*lead, 5, 7, dtype=dtype), normal(*lead, 7, 6, seed=1, dtype=dtype)
        x, y = (np.ascontiguousarray(one.swapaxes(-1, -2)).swapaxes(-1, -2) if turned else one for one, turned in ((x, turned_x), (y, turned_y)))
        [call] = multiply(x, y)
        assert (call.routine.x.turned, call.routine.y.turned, call.routine.out.turned) == (turned_x, turned_y, False)
        assert call.routine.tf32 == (dtype == "float32")


@needs_compiler
def test_slices_of_matrices():
    big, other = normal(9, 40), normal(40, 30, seed=1)
    for x, y in [(big[2:5, 8:20], other[:12, 4:9]), (big[:, ::-1], other), (big[::2], other[::, ::3]), (big[:, :12], other[5:29:2]),
                 (other.T[3:9], big.T[:, :4]), (np.broadcast_to(big[:1], (6, 40)), other), (big, np.broadcast_to(other[:, :1], (40, 4)))]:  # fmt: skip
        assert sum(isinstance(one, LibraryCall) for one in multiply(x, y)) == 1
    [call] = multiply(big[2:5, 8:20], other[:12, 4:9])
    assert (call.routine.x.lead, call.routine.y.lead, call.routine.x.alignment, call.routine.y.alignment) == (40, 30, 16, 16)
    assert multiply(big[:, 1:13], other[:12])[0].routine.x.alignment == 4


@needs_compiler
def test_batches_with_gaps():
    x, y = normal(3, 4, 6, 5), normal(3, 4, 5, 7, seed=1)
    one, two = normal(3, 1, 6, 5), normal(1, 4, 5, 7, seed=1)
    cases = [(x[:, :2], y[:, 2:], [(6, 7, 5, 3)] * 2), (x[::2], y[1:], [(6, 7, 5, 4)] * 2), (x[:, :, ::2], y[..., ::2], ["copy", (3, 4, 5, 12)]),
             (one, y[:2].repeat(2, axis=0)[:3], ["copy", (6, 7, 5, 12)]), (one, two, ["copy", "copy", (6, 7, 5, 12)]), (x, two, ["copy", (6, 7, 5, 12)]),
             (x[:, :1], y[0, 0], [(6, 7, 5, 3)]), (x[:, ::2], y[:, ::2], [(6, 7, 5, 6)]), (x[:2, :1], y[:2], [(6, 7, 5, 4)] * 2)]  # fmt: skip
    for first, second, expected in cases:
        assert kinds(multiply(first, second)) == expected


@needs_compiler
def test_heads_of_interleaved_rows():
    """Batch and heads have no common stride in (batch, length, heads, size): a call for each of two heads, copies for more."""
    for batch, heads in ((6, 2), (2, 6), (1, 5), (5, 1), (3, 4)):
        q, k = normal(batch, 5, heads, 8), normal(batch, 9, heads, 8, seed=1)
        launches = kinds(multiply(q.transpose(0, 2, 1, 3), k.transpose(0, 2, 3, 1)))
        fewest = min(batch, heads)
        each = (5, 9, 8, max(batch, heads))
        assert launches == ([each] * fewest if fewest < 3 else ["copy", "copy", (5, 9, 8, batch * heads)])


@needs_compiler
def test_results_that_are_views():
    x, y = normal(3, 4, 5, 6), normal(3, 4, 6, 8, seed=1)
    for batch, heads in ((3, 2), (3, 4)):
        out = np.zeros((batch, 5, heads, 8), "float32")
        view = out.transpose(0, 2, 1, 3)
        request = Request(matmul, {}, [], [])
        host.run([*request.before, *products(request, buffer(x[:, :heads]), buffer(y[:, :heads]), buffer(view), 0.5)])
        assert_allclose(view, 0.5 * (x[:, :heads] @ y[:, :heads]), rtol=1e-5, atol=1e-5)
    out = np.zeros((8, 5), "float32")
    host.run(products(request, buffer(x[0, 0]), buffer(y[0, 0]), buffer(out.T)))
    assert_allclose(out.T, x[0, 0] @ y[0, 0], rtol=1e-5, atol=1e-5)


def test_many_matrices_are_several_calls(monkeypatch):
    monkeypatch.setattr(cublaslt, "_MOST_MATRICES", 3)
    assert [one[3] for one in kinds(multiply(normal(8, 3, 4), normal(8, 4, 5)))] == [3, 3, 2]
    assert [one[3] for one in kinds(multiply(normal(7, 3, 4), normal(7, 4, 5)))] == [3, 3, 1]


def test_what_is_not_taken():
    assert multiply(np.ones((2, 3), "int32"), np.ones((3, 4), "int32")) is None
    assert multiply(np.ones((2, 0), "float32"), np.ones((0, 4), "float32")) is None
    assert multiply(np.ones((0, 2), "float32"), np.ones((2, 4), "float32")) == []


@pytest.mark.parametrize(("own", "cupys", "expected"), [(None, None, True), ("0", None, False), (None, "0", False), ("1", "0", True), ("0", "1", False)])
def test_tf32_can_be_refused(monkeypatch, own, cupys, expected):
    for name, value in (("KERASISH_TF32", own), ("CUPY_TF32", cupys)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert cublaslt.tf32() is expected
    [call] = multiply(normal(2, 3), normal(3, 4))
    assert call.routine.tf32 is expected
    assert HOST.made[Described(HOST, call.routine).operation.value]["compute"] == (77 if expected else 68)


# ---- the routine on a device, as far as it goes without one
PRODUCT = Product(3, 5, 4, 2, Matrix(True, 9, 90, 16), Matrix(False, 6, 70, 8), Matrix(False, 5, 15, 16), "float32", 0.5)


class Memory:
    """What stands for ``cupy.zeros``."""

    def __init__(self, nbytes, dtype):
        self.array = np.full(nbytes + 64, 0xAB, np.uint8)
        self.array[:nbytes] = 0
        self.data, self.nbytes = types.SimpleNamespace(ptr=self.array.ctypes.data), nbytes
        Memory.made.append(self)

    made: list = []


class Library(HostBlasLt):
    """A library with answers to choose, and what it was asked."""

    found, state, status = 1, 0, 0

    def cublasLtMatmulAlgoGetHeuristic(self, handle, *args):
        self.preferences = self.made[args[5].value]
        args[-1]._obj.value, args[-2]._obj.state, args[-2]._obj.nbytes = self.found, self.state, 12
        return 0

    def cublasLtMatmul(self, handle, *args):
        self.given = args
        assert self.made[handle.value]["kind"] == "handle"
        return self.status or super().cublasLtMatmul(handle, *args)


@pytest.fixture
def library(monkeypatch):
    lt, stream = Library(), types.SimpleNamespace(ptr=77)
    cuda = types.SimpleNamespace(get_current_stream=lambda: stream, runtime=types.SimpleNamespace(getDevice=lambda: 3))
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(cuda=cuda, zeros=Memory))
    monkeypatch.setattr(cublaslt, "library", lambda: lt)
    monkeypatch.setattr(Memory, "made", [])
    caches = cublaslt._found, cublaslt._tried, cublaslt._handle
    for cached in caches:
        cached.cache_clear()
    yield lt
    for cached in caches:
        cached.cache_clear()


def test_a_product_is_tried_when_a_plan_binds(library):
    assert PRODUCT.prepare() == PRODUCT.prepare() == 12
    assert library.products == 1
    assert [one.nbytes for one in Memory.made] == [4 * (90 + 3 * 9 + 3), 4 * (70 + 3 * 6 + 5), 4 * (15 + 2 * 5 + 5), 12]
    assert all((one.array[one.nbytes :] == 0xAB).all() for one in Memory.made)


@pytest.mark.parametrize("dtype", [*KINDS.values()])
def test_run(library, dtype):
    x, y, out = normal(2, 4, 3, dtype=dtype), normal(2, 4, 5, seed=1, dtype=dtype), np.zeros((2, 3, 5), numpy_dtype(dtype))
    alignment = math.gcd(*(a.ctypes.data for a in (x, y, out)), 16)
    matrices = Matrix(True, 3, 12, alignment), Matrix(False, 5, 20, alignment), Matrix(False, 5, 15, alignment)
    product, workspace = Product(3, 5, 4, 2, *matrices, dtype, 0.5), np.zeros(64, np.uint8)
    product.run([*(a.ctypes.data for a in (x, y, out)), workspace.ctypes.data])
    wide = [a.astype("float64") for a in (x, y, out)]
    assert_allclose(wide[2], 0.5 * wide[0].swapaxes(1, 2) @ wide[1], rtol=0, atol=5 * TOLERANCE[dtype])
    assert library.given[-3:] == (workspace.ctypes.data, 12, 77)


def test_run_asks_for_what_the_addresses_allow(library):
    memory = [np.zeros(1024, "float32") for _ in range(4)]
    x, y, out, workspace = (-one.ctypes.data % 16 + one.ctypes.data for one in memory)
    PRODUCT.run([x, y + 8, out, workspace])
    assert [library.preferences[i] for i in (1, *cublaslt.ALIGNMENTS)] == [32 << 20, 8, 16, 16, 16]
    PRODUCT.run([x + 4, y + 8, out, workspace])
    assert [library.preferences[i] for i in (1, *cublaslt.ALIGNMENTS)] == [12, 4, 4, 4, 4]


def test_what_fails_is_no_candidate(library, monkeypatch):
    for library.found, library.state, library.status in ((0, 0, 0), (1, 15, 0), (1, 0, 7)):
        assert PRODUCT.prepare() is None
    library.status = 0
    assert PRODUCT.prepare() == 12
    monkeypatch.setattr(cublaslt, "library", lambda: None)
    assert PRODUCT._replace(n=4).prepare() is None


@pytest.mark.parametrize("error", [OSError, ImportError, RuntimeError, AttributeError])
def test_no_device_is_no_candidate(monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr(cublaslt, "_device", fail)
    assert PRODUCT.prepare() is None


def test_no_room_for_a_trial(library, monkeypatch):
    def fail(*args):
        raise MemoryError

    monkeypatch.setattr(sys.modules["cupy"], "zeros", fail)
    assert PRODUCT.prepare() == 12
    assert library.products == 0


# ---- the library itself: descriptors need no device
def attribute(get, descriptor, number, kind):
    value, written = kind(), ctypes.c_size_t()
    assert get(descriptor, ctypes.c_int(number), ctypes.byref(value), ctypes.c_size_t(ctypes.sizeof(value)), ctypes.byref(written)) == 0
    assert written.value == ctypes.sizeof(value)
    return value.value


@needs_library
@pytest.mark.parametrize(("dtype", "kind", "compute", "scale", "tf32"), [
    ("float32", 0, 68, 0, False), ("float32", 0, 77, 0, True), ("float64", 1, 70, 1, False), ("float16", 2, 68, 0, False), ("bfloat16", 14, 68, 0, False),
])  # fmt: skip
def test_descriptors_of_the_library(dtype, kind, compute, scale, tf32):
    lt = cublaslt.library()
    described = Described(lt, PRODUCT._replace(dtype=dtype, tf32=tf32))
    operation = [attribute(lt.cublasLtMatmulDescGetAttribute, described.operation, i, ctypes.c_int32) for i in range(5)]
    assert operation == [compute, scale, 0, 0, 1]  # what A and B are: y, and x turned
    names = {0: ctypes.c_uint32, 1: ctypes.c_int32, 2: ctypes.c_uint64, 3: ctypes.c_uint64, 4: ctypes.c_int64, 5: ctypes.c_int32, 6: ctypes.c_int64}
    found = [[attribute(lt.cublasLtMatrixLayoutGetAttribute, one, i, t) for i, t in names.items()] for one in (described.a, described.b, described.d)]
    assert found == [[kind, 0, 5, 4, 6, 2, 70], [kind, 0, 3, 4, 9, 2, 90], [kind, 0, 5, 3, 5, 2, 15]]
    get = lt.cublasLtMatmulPreferenceGetAttribute
    assert attribute(get, described.preference, 1, ctypes.c_uint64) == 32 << 20
    assert attribute(get, described.preference, 3, ctypes.c_uint32) == (7 if dtype.endswith(("32", "64")) else 2)
    assert [attribute(get, described.preference, i, ctypes.c_uint32) for i in (5, 6, 7, 8)] == [8, 16, 16, 16]
    assert ctypes.sizeof(cublaslt.Result) == 96


@needs_library
def test_the_library_refuses_wrong_sizes():
    described = Described(cublaslt.library(), PRODUCT)
    with pytest.raises(RuntimeError, match="status 7"):
        described._set(described.lt.cublasLtMatrixLayoutSetAttribute, described.a, cublaslt.APART, ctypes.c_int32(1))
