"""Matrix products by NVIDIA's cuBLASLt, called through ctypes: CuPy's own products refuse to be captured in a graph.

The library's matrices have their columns one behind the other, ours their rows: in its terms it computes ``out.T = y.T @ x.T``, which is
the same memory. Large products are bound by the tensor cores, skinny ones by reading both matrices once. Nothing is allocated
when a product runs: handle, descriptors and algorithm are found, and tried, when a plan binds, and its workspace belongs to the plan.
"""

import contextlib
import ctypes
import functools
import itertools
import math
import os
import pathlib
import sys
import typing

from kerasish.backend.arrays.cupy import allows_tf32 as tf32
from kerasish.backend.kernels.cuda.launch import candidate

MOST_CALLS = 2  # of the library, for batches that no single stride describes; beyond, dense copies are made
_WORKSPACE = 32 << 20  # bytes that an algorithm may ask for
_MOST_MATRICES = 65535  # of one call
_ALIGNMENT = 16  # bytes; more is of no use to any algorithm
_NAMES = ("libcublasLt.so.13", "libcublasLt.so.12", "cublasLt64_13.dll", "cublasLt64_12.dll")
_FOLDERS = ("nvidia/cu13/lib", "nvidia/cublas/lib", "nvidia/cu13/bin/x86_64", "nvidia/cublas/bin")  # of NVIDIA's own packages

# numbers from cublasLt.h, cublas_api.h and library_types.h
_KIND = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 14}  # CUDA_R_...
_IN_FLOAT32, _IN_FLOAT64, _IN_TF32 = 68, 70, 77  # CUBLAS_COMPUTE_...
TURN_A, TURN_B = 3, 4  # CUBLASLT_MATMUL_DESC_...
BATCH, APART = 5, 6  # CUBLASLT_MATRIX_LAYOUT_...
WORKSPACE, REDUCTION, ALIGNMENTS = 1, 3, (5, 6, 7, 8)  # CUBLASLT_MATMUL_PREF_..., the last of A, B, C, D
_REDUCED_IN_COMPUTE_TYPE = 2


# ---- a product as data
class Matrix(typing.NamedTuple):
    """How matrices lie in memory: rows one behind the other, columns where they are ``turned``, with ``lead`` elements from one to the
    next; ``apart`` elements from matrix to matrix; ``alignment`` in bytes of the first one's address."""

    turned: bool
    lead: int
    apart: int
    alignment: int

    def reach(self, rows, columns, batch):
        """Elements from the first to the last one."""
        lines, width = (columns, rows) if self.turned else (rows, columns)
        return (batch - 1) * self.apart + (lines - 1) * self.lead + width


class Product(typing.NamedTuple):
    """``out = scale * x @ y`` for a batch of matrices ``x`` (m, k) and ``y`` (k, n). Arguments: x, y, out, workspace."""

    m: int
    n: int
    k: int
    batch: int
    x: Matrix
    y: Matrix
    out: Matrix
    dtype: str
    scale: float = 1.0
    tf32: bool = False
    workspace: int = _WORKSPACE  # bytes at most

    def prepare(self):
        """Bytes of workspace, None where the library is missing or can't do this."""
        try:
            return _tried(self, _device())
        except (ImportError, OSError, AttributeError, RuntimeError):
            return None

    def run(self, addresses):
        """Multiply what lies at these addresses, on the current stream."""
        import cupy

        handle, described = _found(self._at(addresses), _device())
        described.run(handle, addresses, cupy.cuda.get_current_stream().ptr)

    def nbytes(self):
        """How far the matrices of x, y and out reach."""
        sizes = (self.m, self.k), (self.k, self.n), (self.m, self.n)
        return [one.reach(*size, self.batch) * _ITEMSIZE[self.dtype] for one, size in zip((self.x, self.y, self.out), sizes, strict=True)]

    def _at(self, addresses):
        """The product that can be had at these addresses: arrays that are slices of others may lie anywhere."""
        matrices = self.x, self.y, self.out
        if all(address % matrix.alignment == 0 for address, matrix in zip(addresses, matrices, strict=False)):
            return self
        x, y, out = (matrix._replace(alignment=_ITEMSIZE[self.dtype]) for matrix in matrices)
        return self._replace(x=x, y=y, out=out, workspace=self.prepare())


_ITEMSIZE = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2}


# ---- the library
class Result(ctypes.Structure):
    """cublasLtMatmulHeuristicResult_t: an algorithm, and what it takes."""

    _fields_ = [("algorithm", ctypes.c_uint64 * 8), ("nbytes", ctypes.c_size_t), ("state", ctypes.c_int), ("waves", ctypes.c_float),
                ("reserved", ctypes.c_int * 4)]  # fmt: skip


_P, _INT, _U64, _I64, _SIZE = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint64, ctypes.c_int64, ctypes.c_size_t
_FUNCTIONS = {
    "cublasLtCreate": [_P],
    "cublasLtMatmulDescCreate": [_P, _INT, _INT],
    "cublasLtMatmulDescSetAttribute": [_P, _INT, _P, _SIZE],
    "cublasLtMatrixLayoutCreate": [_P, _INT, _U64, _U64, _I64],
    "cublasLtMatrixLayoutSetAttribute": [_P, _INT, _P, _SIZE],
    "cublasLtMatmulPreferenceCreate": [_P],
    "cublasLtMatmulPreferenceSetAttribute": [_P, _INT, _P, _SIZE],
    "cublasLtMatmulAlgoGetHeuristic": [_P, _P, _P, _P, _P, _P, _P, _INT, _P, _P],
    "cublasLtMatmul": [_P, _P, _P, _P, _P, _P, _P, _P, _P, _P, _P, _P, _P, _P, _SIZE, _P],
}


def _places():
    """Where the library may be, the best place first: in this process (CuPy's own), where CUDA's finder says, anywhere."""
    here = getattr(os, "RTLD_NOLOAD", None)
    if here is not None:
        yield from ((name, here | os.RTLD_NOW) for name in _NAMES)
    found = _by_finder()
    if found:
        yield found, ctypes.DEFAULT_MODE
    yield from ((name, ctypes.DEFAULT_MODE) for name in _NAMES)
    paths = (pathlib.Path(root, folder, name) for root in sys.path for folder in _FOLDERS for name in _NAMES)
    yield from ((str(path), ctypes.DEFAULT_MODE) for path in paths if path.exists())


def _by_finder():
    with contextlib.suppress(Exception):  # optional, and it raises errors of its own where it finds nothing
        from cuda.pathfinder import load_nvidia_dynamic_lib

        return load_nvidia_dynamic_lib("cublasLt").abs_path
    return None


@functools.cache
def library():
    """cuBLASLt, None where it isn't found."""
    for name, mode in _places():
        try:
            lt = ctypes.CDLL(name, mode=mode)
            for function, types in _FUNCTIONS.items():
                getattr(lt, function).argtypes = types
        except (OSError, AttributeError):
            continue
        return lt
    return None


@functools.cache
def _handle(device):
    return _made(library().cublasLtCreate)


def _device():
    import cupy

    return cupy.cuda.runtime.getDevice()


@functools.cache
def _found(product, device):
    """The handle of a device and the product's descriptors and algorithm on it."""
    if library() is None:
        raise RuntimeError("cuBLASLt was not found")
    described, handle = Described(library(), product), _handle(device)
    described.find(handle)
    return handle, described


@functools.cache
def _tried(product, device):
    """Multiply something once; bytes of workspace. That loads the kernels, which can't be done during a capture, and shows what fails."""
    import cupy

    handle, described = _found(product, device)
    with contextlib.suppress(MemoryError):  # there is no room for a trial
        memory = [cupy.zeros(nbytes, "uint8") for nbytes in (*product.nbytes(), described.nbytes)]
        described.run(handle, [one.data.ptr for one in memory], cupy.cuda.get_current_stream().ptr)
    return described.nbytes


def _check(status):
    if status:
        raise RuntimeError(f"cuBLASLt failed with status {status}")


def _made(create, *args):
    """A handle or a descriptor."""
    it = ctypes.c_void_p()
    _check(create(ctypes.byref(it), *args))
    return it


class Described:
    """A product in the library's terms: its A is our ``y``, its B our ``x``, its D our result, each with rows and columns exchanged."""

    def __init__(self, lt, product):
        self.lt, self.count, p, halves = lt, product.batch, product, _ITEMSIZE[product.dtype] == 2
        kind, double = _KIND[p.dtype], p.dtype == "float64"
        number, compute = (ctypes.c_double, _IN_FLOAT64) if double else (ctypes.c_float, _IN_TF32 if p.tf32 else _IN_FLOAT32)
        self.scale, self.zero, self.result, self.nbytes = number(p.scale), number(0), Result(), 0
        self.operation = _made(lt.cublasLtMatmulDescCreate, compute, _KIND["float64" if double else "float32"])
        for attribute, matrix in ((TURN_A, p.y), (TURN_B, p.x)):
            self._set(lt.cublasLtMatmulDescSetAttribute, self.operation, attribute, ctypes.c_int32(matrix.turned))
        self.a, self.b, self.d = (self._layout(kind, *one) for one in ((p.y, p.k, p.n), (p.x, p.m, p.k), (p.out, p.m, p.n)))
        self.preference = _made(lt.cublasLtMatmulPreferenceCreate)
        preferences = {WORKSPACE: _U64(p.workspace)}
        preferences |= {REDUCTION: ctypes.c_uint32(_REDUCED_IN_COMPUTE_TYPE)} if halves else {}
        preferences |= {i: ctypes.c_uint32(one.alignment) for i, one in zip(ALIGNMENTS, (p.y, p.x, p.out, p.out), strict=True)}
        for attribute, value in preferences.items():
            self._set(lt.cublasLtMatmulPreferenceSetAttribute, self.preference, attribute, value)

    def _layout(self, kind, matrix, rows, columns):
        """The descriptor of our matrix (rows, columns)."""
        sizes = (rows, columns) if matrix.turned else (columns, rows)
        layout, change = _made(self.lt.cublasLtMatrixLayoutCreate, kind, *sizes, matrix.lead), self.lt.cublasLtMatrixLayoutSetAttribute
        self._set(change, layout, BATCH, ctypes.c_int32(self.count))
        self._set(change, layout, APART, _I64(matrix.apart))
        return layout

    @staticmethod
    def _set(change, descriptor, attribute, value):
        _check(change(descriptor, attribute, ctypes.byref(value), ctypes.sizeof(value)))

    def find(self, handle):
        """Choose the algorithm that the library thinks is the fastest."""
        count, layouts = ctypes.c_int(), (self.a, self.b, self.d, self.d)
        choose = self.lt.cublasLtMatmulAlgoGetHeuristic
        _check(choose(handle, self.operation, *layouts, self.preference, 1, ctypes.byref(self.result), ctypes.byref(count)))
        if not count.value:
            raise RuntimeError("cuBLASLt has no algorithm for this")
        _check(self.result.state)
        self.nbytes = self.result.nbytes

    def run(self, handle, addresses, stream):
        """Multiply."""
        x, y, out, workspace = addresses
        scale, zero, algorithm = (ctypes.byref(value) for value in (self.scale, self.zero, self.result))
        factors = scale, y, self.a, x, self.b, zero, out, self.d, out, self.d
        _check(self.lt.cublasLtMatmul(handle, self.operation, *factors, algorithm, workspace, self.nbytes, stream))


# ---- from buffers to products
class _Axis(typing.NamedTuple):
    """An axis that is not in every product: its size and its strides in the three buffers."""

    n: int
    x: int
    y: int
    out: int


def products(request, x, y, out, scale=1.0):
    """What computes ``out = scale * x @ y`` over the last two axes, the others broadcast; None where the library can't do it.

    Inputs with strides that no matrix of the library has are copied before everything else of the request.
    """
    if not x.dtype == y.dtype == out.dtype or out.dtype not in _KIND or 0 in (*x.shape, *y.shape, *out.shape):
        return None
    if _order(*out.shape[-2:], *out.strides[-2:]) is not _BY_ROWS:
        return _copied_out(request, x, y, out, scale)
    x, y = (one if _order(*one.shape[-2:], *one.strides[-2:]) else request.copied(one) for one in (x, y))
    batch, (k, n) = out.shape[:-2], y.shape[-2:]
    strides = _repeated(x, batch), _repeated(y, batch), out.strides
    axes, rows = [_Axis(*axis) for axis in zip(batch, *strides, strict=False)], _Axis(x.shape[-2], x.strides[-2], 0, out.strides[-2])
    axes, rows = _longer(_merged(axes), rows, lambda one: _order(one.n, k, one.x, x.strides[-1]) and _order(one.n, n, one.out, 1))
    *loops, axis = sorted([_Axis(1, 0, 0, 0), *axes])
    if math.prod(one.n for one in loops) > MOST_CALLS:
        if not _even(out, batch):
            return _copied_out(request, x, y, out, scale)
        x, y = (one if _even(one, batch) else request.copied(_spread(one, batch)) for one in (x, y))
        return products(request, x, y, out, scale)
    x, y, out = (x, (rows.n, k), (rows.x, x.strides[-1])), (y, (k, n), y.strides[-2:]), (out, (rows.n, n), (rows.out, 1))
    return _calls(request, loops, axis, (x, y, out), scale)


def _calls(request, loops, axis, matrices, scale):
    """A call for each index of ``loops``, and for as many matrices along ``axis`` as one can take."""
    calls = []
    starts = (range(0, axis.n, _MOST_MATRICES), *(range(one.n) for one in loops))
    for index in itertools.product(*starts):
        offsets = [sum(i * one[j] for i, one in zip(index, (axis, *loops), strict=True)) for j in (1, 2, 3)]
        views = [one.view(shape, strides, offset) for (one, shape, strides), offset in zip(matrices, offsets, strict=True)]
        (m, k), (_, n), count = views[0].shape, views[1].shape, min(_MOST_MATRICES, axis.n - index[0])
        described = [_matrix(view, apart if count > 1 else 0) for view, apart in zip(views, axis[1:], strict=True)]
        dtype = views[0].dtype
        product = Product(m, n, k, count, *described, dtype, float(scale), dtype == "float32" and tf32())
        calls.append(request.library(product, views))
    return None if None in calls else calls


_BY_ROWS, _BY_COLUMNS = "rows", "columns"


def _order(rows, columns, row, column):
    """Whether a matrix lies by rows or by columns, None where it does neither. Strides of axes of size 1 mean nothing."""
    if (column == 1 or columns == 1) and (row >= columns or rows == 1):
        return _BY_ROWS
    return _BY_COLUMNS if (row == 1 or rows == 1) and (column >= rows or columns == 1) else None


def _matrix(view, apart):
    (rows, columns), (row, column) = view.shape, view.strides
    turned, alignment = _order(rows, columns, row, column) is _BY_COLUMNS, math.gcd(_ALIGNMENT, view.offset * view.itemsize)
    lead = (column if columns > 1 else rows) if turned else row if rows > 1 else columns
    return Matrix(turned, lead, apart, alignment)


def _repeated(one, batch):
    """Strides of a buffer's batch axes when they are broadcast."""
    own = [0 if n == 1 else s for n, s in zip(one.shape[:-2], one.strides, strict=False)]
    return [0] * (len(batch) - len(own)) + own


def _spread(one, batch):
    """A buffer with its batch axes broadcast."""
    return one.view((*batch, *one.shape[-2:]), (*_repeated(one, batch), *one.strides[-2:]))


def _even(one, batch):
    """Whether one stride leads from matrix to matrix."""
    return len(_merged([_Axis(n, s, s, s) for n, s in zip(batch, _repeated(one, batch), strict=True)])) <= 1


def _joined(outer, inner):
    """Two axes as one, None where that isn't possible."""
    if 1 in (outer.n, inner.n):
        return inner if outer.n == 1 else outer
    return _Axis(outer.n * inner.n, *inner[1:]) if outer[1:] == tuple(inner.n * s for s in inner[1:]) else None


def _merged(axes):
    """As few axes as possible, none of size 1."""
    merged = []
    for axis in axes:
        joined = _joined(merged[-1], axis) if merged else axis
        merged[-1:] = [joined] if joined else [*merged[-1:], axis]
    return [axis for axis in merged if axis.n > 1]


def _longer(axes, rows, possible):
    """Batches of rows of ``x`` that share ``y`` are rows of one product, if they follow each other."""
    while axes and not axes[-1].y:
        joined = _joined(axes[-1], rows)
        if joined is None or not possible(joined):
            break
        axes, rows = axes[:-1], joined
    return axes, rows


def _copied_out(request, x, y, out, scale):
    """The result in scratch memory, and a copy of it."""
    dense = request.scratch(out.size * out.itemsize, out.shape, out.dtype)
    calls = products(request, x, y, dense, scale)
    return None if calls is None else [*calls, request.copy(dense, out)]


@candidate("matmul")
def matmul(request):
    """Products of matrices, batches and vectors."""
    (x, y), out = request.inputs, request.outputs[0]
    if not out.size:
        return []
    batch = out.shape[: len(out.shape) - (len(x.shape) > 1) - (len(y.shape) > 1)]
    x = x if len(x.shape) > 1 else x.view((1, *x.shape), (0, *x.strides))
    y = y if len(y.shape) > 1 else y.view((*y.shape, 1), (*y.strides, 0))
    return products(request, x, y, out.view((*batch, x.shape[-2], y.shape[-1]))) if out.dense else None
