"""CuPy arrays: the same kernels on an NVIDIA GPU.

CuPy never converts to or from NumPy by itself, so a kernel that mixes them raises. What CuPy has no function or dtype for is
computed on the host: strings, bfloat16 where this CuPy lacks it, eigenvalues of general matrices, and products scattered to places.
"""

import importlib
import os

import numpy

from kerasish.backend.arrays.base import Arrays
from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.upload import Rows, uploaded

# Philox4x64-10 as a function for kernels: the words of one block, with the key (k, l). Counters begin at 1, as NumPy's do.
PHILOX = r"""
__device__ void philox_block(unsigned long long k, unsigned long long l, unsigned long long counter, unsigned long long *words) {
    unsigned long long a = counter, b = 0, c = 0, d = 0;
    for (int i = 0; i < 10; ++i) {
        unsigned long long high = __umul64hi(0xD2E7470EE14C6C93ULL, a), low = 0xD2E7470EE14C6C93ULL * a;
        unsigned long long other = __umul64hi(0xCA5A826395121157ULL, c), lower = 0xCA5A826395121157ULL * c;
        a = other ^ b ^ k; b = lower; c = high ^ d ^ l; d = low;
        k += 0x9E3779B97F4A7C15ULL; l += 0xBB67AE8584CAA73BULL;
    }
    words[0] = a; words[1] = b; words[2] = c; words[3] = d;
}
"""
_DRAW = (
    PHILOX
    + r"""
extern "C" __global__ void philox(const unsigned long long *key, unsigned long long *out, unsigned long long blocks) {
    unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < blocks) philox_block(key[0], key[1], i + 1, out + 4 * i);
}
"""
)
_THREADS = 256
_LARGE = 64 << 20  # bytes
_SCALARS = 4096  # Python numbers that are kept on the device
_ADDED = "iIfd"  # dtypes that CuPy adds up at places; and uint64, whose bits are those of int64
_COMPARED = "iIQfd"
_HOST = NumpyArrays()


class CupyArrays(Arrays):
    name = "cupy"

    def __init__(self):
        self.module = load()
        self.extra, self.special = importlib.import_module("cupyx"), importlib.import_module("cupyx.scipy.special")
        self.array_types = (self.module.ndarray,)
        self.linalg = _Linalg(self)
        self._several = self.module.cuda.runtime.getDeviceCount() > 1
        self._scalars, self._draw, self._kinds, self._rows = {}, None, {}, Rows(self.module)

    # ---- in and out
    def holds(self, dtype):
        """Whether CuPy has arrays of this dtype."""
        if dtype.char in "?bhilqBHILQefdFD":
            return dtype.isnative
        if dtype not in self._kinds:  # bfloat16 is not in every CuPy
            try:
                self._kinds[dtype] = dtype.kind == "V" and dtype.names is None and self.module.empty(1, dtype) is not None
            except (TypeError, ValueError):
                self._kinds[dtype] = False
        return self._kinds[dtype]

    def asarray(self, x, dtype=None):
        """An array on the device; a NumPy array where CuPy has no such dtype."""
        if isinstance(x, self.array_types):
            return x if dtype is None or x.dtype == dtype else x.astype(dtype)
        wanted = None if dtype is None else numpy.dtype(dtype)
        if not _holds_arrays(x, self.array_types):
            x = numpy.asarray(x, dtype=wanted)
            if not self.holds(x.dtype):
                swapped = x.dtype.newbyteorder("=")
                if swapped == x.dtype or not self.holds(swapped):
                    return x
                x = x.astype(swapped)
            if x.nbytes > _LARGE:  # without as much page-locked memory as asarray would take, and keep
                y = self.module.empty(x.shape, x.dtype)
                y.set(numpy.ascontiguousarray(x))
                return y
        return self.module.asarray(x, dtype=wanted)

    def array(self, x, dtype=None, copy=True, order="K", **options):
        """A copy, on the device where that has the dtype."""
        on_host = isinstance(x, numpy.ndarray) and not self.holds(x.dtype if dtype is None else numpy.dtype(dtype))
        library = numpy if on_host else self.module
        return library.array(x, dtype=dtype, copy=copy, order=order, **options)

    def scalar(self, x, dtype):
        """A number as an array on the device, filled there and kept: it stands for an array in every kernel."""
        if not self.holds(dtype):
            return numpy.asarray(x, dtype)
        number = dtype.type(x)
        key = number.tobytes(), dtype, self.module.cuda.get_device_id()
        array = self._scalars.get(key)
        if array is None:
            if len(self._scalars) >= _SCALARS:
                self._scalars.clear()
            known = dtype.kind in "biufc"
            array = self._scalars[key] = self.module.full((), number, dtype) if known else self.module.asarray(numpy.asarray(number))
        return array

    def to_numpy(self, array):
        return array.get() if isinstance(array, self.array_types) else numpy.asarray(array)

    def memory(self, nbytes):
        try:
            return self.module.empty(nbytes, numpy.uint8)
        except MemoryError as error:  # CuPy has tried again without its unused blocks by now
            free, total = self.module.cuda.runtime.memGetInfo()
            raise MemoryError(
                f"The GPU's memory is too small: {nbytes / 1e6:.1f} MB are needed in one piece, besides variables and data, and "
                f"{free / 1e6:.1f} MB of {total / 1e6:.1f} MB are free. Use a smaller batch, or free what is not needed any more."
            ) from error

    def device_scope(self, kind, index):
        if kind == "cpu":
            raise ValueError("There is no device 'cpu': cupy arrays live on GPUs. For the CPU: keras.config.set_backend('numpy').")
        count = self.module.cuda.runtime.getDeviceCount()
        if index >= count:
            raise ValueError(f"There is no device '{kind}:{index}': {count} GPUs were found, the first of which is '{kind}:0'.")
        return self.module.cuda.Device(index)

    def beside(self, arrays):
        own = (x for x in arrays if isinstance(x, self.array_types)) if self._several else ()
        return next((x.device for x in own), None) or super().beside(arrays)

    def run(self, op, values, attrs):
        """As the base does, on the device of the first array; on the host where a value or the result is of a dtype that CuPy lacks."""
        with self.beside(values):
            if attrs.get("dtype") != "string" and not any(isinstance(x, numpy.ndarray) for x in values):
                return op.kernel(self, *values, **attrs)
            y = op.kernel(_HOST, *map(self.to_numpy, values), **attrs)
            return type(y)(map(self.asarray, y)) if type(y) in (tuple, list) else self.asarray(y)

    def is_own(self, array):
        return array.flags.owndata

    def synchronize(self):
        self.module.cuda.get_current_stream().synchronize()

    def keeps(self, nbytes):
        return nbytes <= self.module.cuda.runtime.memGetInfo()[0] // 4

    def rows(self, arrays, numbers):
        return self._rows(arrays, numbers) if all(x.flags.c_contiguous for x in arrays) else super().rows(arrays, numbers)

    def ahead(self, batches):
        """The batches on the device: while one is worked on, the next is copied there."""
        return uploaded(self, batches)

    # ---- what CuPy has under other names, or not at all
    def scatter_add(self, target, index, values):
        if target.dtype.char in _ADDED:
            self.extra.scatter_add(target, index, self._values(values, target))
        elif target.dtype.kind in "iu" and target.dtype.itemsize == 8:
            values = self.module.ascontiguousarray(self._values(values, target))
            self.extra.scatter_add(target.view(numpy.uint64), index, values.view(numpy.uint64))
        elif target.dtype.kind == "c":
            values = self._values(values, target)
            self.scatter_add(target.real, index, values.real)
            self.scatter_add(target.imag, index, values.imag)
        else:  # in a dtype that can be added up
            wide = target.astype(numpy.int32 if target.dtype.kind in "biu" else numpy.float32)
            self.extra.scatter_add(wide, index, self._values(values, wide))
            target[...] = wide.astype(target.dtype)
        return target

    def scatter_reduce(self, name, target, index, values):
        scatter = {"maximum": self.extra.scatter_max, "minimum": self.extra.scatter_min}.get(name)
        if scatter is not None and target.dtype.char in _COMPARED:
            scatter(target, index, self._values(values, target))
            return target
        index = index if isinstance(index, tuple) else (index,)
        reduced = _HOST.scatter_reduce(name, self.to_numpy(target).copy(), tuple(map(self._on_host, index)), self._on_host(values))
        target[...] = self.module.asarray(reduced)
        return target

    def _values(self, values, target):
        return self.asarray(values, target.dtype)

    def _on_host(self, x):
        return x.get() if isinstance(x, self.array_types) else x

    def random_bits(self, key, size):
        if self._draw is None:
            self._draw = self.module.RawKernel(_DRAW, "philox")
        blocks = -(-size // 8)
        bits = self.module.empty(4 * blocks, numpy.uint64)
        if blocks:
            key = self.asarray(key, numpy.dtype(numpy.uint64))
            self._draw((-(-blocks // _THREADS),), (_THREADS,), (key, bits, numpy.uint64(blocks)))
        return bits.view(numpy.uint32)[:size]

    def erf(self, x):
        return self.special.erf(x).astype(x.dtype, copy=False)

    def erfc(self, x):
        return self.special.erfc(x).astype(x.dtype, copy=False)

    def erfinv(self, x):
        return self.special.erfinv(x).astype(x.dtype, copy=False)


class _Linalg:
    """``cupy.linalg``, with errors told as NumPy tells them and what it has not in every version computed on the host."""

    LinAlgError = numpy.linalg.LinAlgError

    def __init__(self, arrays):
        self._arrays = arrays

    def __getattr__(self, name):
        function, errors = getattr(self._arrays.module.linalg, name), self._arrays.extra.errstate

        def checked(*args, **kwargs):
            with errors(linalg="raise"):
                return function(*args, **kwargs)

        setattr(self, name, checked)
        return checked

    def eig(self, x):
        """Eigenvalues and vectors of general matrices, on the host."""
        return tuple(map(self._arrays.asarray, numpy.linalg.eig(self._arrays.to_numpy(x))))


def _holds_arrays(x, kinds):
    """Whether nested lists hold arrays of the device."""
    return isinstance(x, kinds) or (isinstance(x, (list, tuple)) and any(_holds_arrays(item, kinds) for item in x))


# ---- choosing it
def allows_tf32():
    """Whether products and convolutions of float32 may be computed in TF32, which keeps ten bits of the mantissa of what is multiplied.

    So it is in Keras on JAX and TensorFlow; not with ``KERASISH_TF32=0``, or where that is not set and ``CUPY_TF32=0``.
    """
    return os.environ.get("KERASISH_TF32", os.environ.get("CUPY_TF32", "1")) != "0"


def load():
    """The module ``cupy``; ImportError or RuntimeError that says what to do where it can't be used."""
    try:
        os.environ["CUPY_TF32"] = "1" if allows_tf32() else "0"  # CuPy looks at it when it multiplies for the first time
        cupy = importlib.import_module("cupy")
        found = cupy.cuda.runtime.getDeviceCount()
    except ImportError as error:
        raise ImportError(f"The backend 'cupy' needs CuPy, which can't be imported ({error}). {_HOW}") from error
    except RuntimeError as error:  # CUDARuntimeError: no driver, one too old for this CuPy, or no GPU
        raise RuntimeError(f"CuPy finds no GPU that it can use ({error}). {_HOW}") from error
    if not found:
        raise RuntimeError(f"CuPy finds no GPU. {_HOW}")
    if int(cupy.__version__.split(".")[0]) < 14:
        raise ImportError(f"The backend 'cupy' needs CuPy 14 or newer, and this is {cupy.__version__}. {_HOW}")
    return cupy


_HOW = (
    'For CUDA 13: pip install "kerasish[cuda13]"; for CUDA 12: pip install "kerasish[cuda12]" (`nvidia-smi` names the driver\'s CUDA '
    "version; only one CuPy may be installed). Or run on the CPU: KERASISH_BACKEND=numpy."
)
