"""Strict arrays: the backend for CuPy on a stand-in for CuPy, with NumPy underneath, so that tests without a GPU catch what breaks on one.

The stand-in converts to and from NumPy only where CuPy does. It has the names, parameters and element-wise types that CuPy has
(``cupy_names.txt``, read off the real one) and none beside them, and no dtypes but CuPy's.
"""

import contextlib
import functools
import pathlib
import sys
import types
import unittest.mock

import numpy

from kerasish.backend.arrays.cupy import CupyArrays
from kerasish.backend.arrays.numpy import NumpyArrays

_DTYPES, _SCATTERED = "?bhilqBHILQefdFD", ("int32", "uint32", "uint64", "float32", "float64")


def _names():
    names, section = {}, {}
    for line in (pathlib.Path(__file__).parent / "cupy_names.txt").read_text().splitlines():
        if line.startswith("["):
            section = names[line[1:-1]] = {}
        elif not line.startswith("#"):
            name, _, kind = line.partition(" ")
            section[name] = kind
    return names


NAMES = _names()


class _Flags:
    def __init__(self, flags):
        self._flags = flags

    def __getattr__(self, name):
        if name not in NAMES["flags"]:
            raise AttributeError(f"CuPy's flags have no '{name}'")
        return getattr(self._flags, name)


class StrictArray:
    """A wrapped ``numpy.ndarray`` that mixes with nothing but its own kind and numbers."""

    __array_ufunc__ = None
    __slots__ = ("_a",)

    def __init__(self, array):
        self._a = numpy.asarray(array)
        if self._a.dtype.char not in _DTYPES and self._a.dtype.name != "bfloat16":
            raise ValueError(f"Unsupported dtype {self._a.dtype}")

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed: use xp.to_numpy.")

    @property
    def flags(self):
        return _Flags(self._a.flags)

    data = types.SimpleNamespace(ptr=0)  # where it lies: nobody may look there
    device = contextlib.nullcontext()  # a context, as CuPy's devices are

    def get(self, stream=None, order="C", out=None, blocking=True):
        return self._a.copy(order)

    def set(self, arr, stream=None):
        self._a[...] = arr

    def __getattr__(self, name):
        if name not in NAMES["ndarray"]:
            raise AttributeError(f"CuPy's arrays have no '{name}'")
        value = getattr(self._a, name)
        if callable(value):
            return lambda *args, **kwargs: wrap(value(*unwrap(args), **unwrap(kwargs)))
        return wrap(value) if isinstance(value, numpy.ndarray) else value

    def __setattr__(self, name, value):
        object.__setattr__(self, name, value) if name == "_a" else setattr(self._a, name, unwrap(value))

    def __getitem__(self, key):
        return wrap(self._a[unwrap(key)])

    def __setitem__(self, key, value):
        self._a[unwrap(key)] = unwrap(value)

    def __len__(self):
        return len(self._a)

    def __iter__(self):
        return (wrap(item) for item in self._a)

    def __bool__(self):
        return bool(self._a)

    def __int__(self):
        return int(self._a)

    def __float__(self):
        return float(self._a)

    def __index__(self):
        return self._a.__index__()

    def __dlpack__(self, **kwargs):
        return self._a.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self._a.__dlpack_device__()

    __hash__ = None


def _operator(name):
    def method(self, *others):
        return wrap(getattr(self._a, name)(*[unwrap(other) for other in others]))

    return method


_BINARY = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift"]
for _name in ["neg", "pos", "abs", "invert", "lt", "le", "gt", "ge", "eq", "ne"] + [p + n for n in _BINARY for p in ("", "r", "i")]:
    setattr(StrictArray, f"__{_name}__", _operator(f"__{_name}__"))


def wrap(x):
    if isinstance(x, (numpy.ndarray, numpy.generic)):
        return StrictArray(x)
    if isinstance(x, (list, tuple)):
        return type(x)(*map(wrap, x)) if hasattr(x, "_fields") else type(x)(map(wrap, x))
    return x


def unwrap(x):
    if isinstance(x, StrictArray):
        return x._a
    if isinstance(x, numpy.ndarray):
        raise TypeError(f"Unsupported type {type(x)}: a NumPy array was given to a kernel.")
    if isinstance(x, (list, tuple)):
        return type(x)(*map(unwrap, x)) if hasattr(x, "_fields") else type(x)(map(unwrap, x))
    if isinstance(x, dict):
        return {key: unwrap(value) for key, value in x.items()}
    if isinstance(x, slice):
        return slice(*[None if v is None else int(v) for v in (x.start, x.stop, x.step)])
    return x


# ---- functions
def _function(name, function, parameters):
    """A function that takes CuPy's parameters only."""

    def call(*args, **kwargs):
        known = parameters.split()
        if "**" not in parameters and not set(kwargs) <= set(known):
            raise TypeError(f"CuPy's {name}() has no parameters {sorted(set(kwargs) - set(known))}")
        if "*" not in parameters and len(args) > len(known):
            raise TypeError(f"CuPy's {name}() takes {len(known)} parameters")
        kwargs.pop("blocking", None)
        return wrap(function(*unwrap(args), **unwrap(kwargs)))

    return call


def _ufunc(name, function, loops):
    """An element-wise function that must give what CuPy's gives for these dtypes."""

    def call(*args, **kwargs):
        if not set(kwargs) <= {"out", "dtype", "casting"}:
            raise TypeError(f"CuPy's {name}() has no parameters {sorted(kwargs)}")
        if any(isinstance(x, (list, tuple)) for x in args[: function.nin]):
            raise TypeError(f"CuPy's {name}() takes no lists")
        y = function(*unwrap(args), **unwrap(kwargs))
        if kwargs.get("out") is None and "dtype" not in kwargs and len(args) == function.nin:
            for part, char in zip(y if type(y) is tuple else [y], _types(loops, unwrap(args)), strict=True):
                assert part.dtype == numpy.dtype(char) or part.dtype.name == "bfloat16", f"CuPy's {name} gives {char}, not {part.dtype}"
        return wrap(y)

    return call


def _types(loops, args):
    """The characters of the dtypes that the first of the loops gives which takes these arguments; E, bfloat16, left out."""
    dtypes = [numpy.result_type(x, *[y for y in args if hasattr(y, "dtype")]) if type(x) in (int, float, complex) else numpy.asarray(x).dtype for x in args]
    for loop in loops.split():
        takes, gives = loop.split("->")
        if "E" not in loop and all(numpy.can_cast(dtype, numpy.dtype(char)) for dtype, char in zip(dtypes, takes, strict=True)):
            return gives
    raise TypeError(f"no loop of {loops} takes {dtypes}")


class _Namespace:
    """Those of NumPy's functions that CuPy has, on strict arrays."""

    def __init__(self, module, path):
        self._module, self._path, self._names = module, path, NAMES.get(path, {})

    def __getattr__(self, name):
        if any(f"{path}.".startswith(f"{self._path}.{name}.") for path in NAMES):
            return _Namespace(getattr(self._module, name), f"{self._path}.{name}")
        if name not in self._names:
            raise AttributeError(f"{self._path} has no '{name}'")
        kind, _, rest = self._names[name].partition(" ")
        value = getattr(self._module, name)
        if kind == "type" or kind == "value":
            return value
        made = _ufunc(name, value, rest) if kind == "ufunc" and isinstance(value, numpy.ufunc) else _function(name, value, "*args **kwargs" if kind == "ufunc" else rest)
        setattr(self, name, made)
        return made


# ---- the rest of CuPy
class _Stream:
    def __init__(self, non_blocking=False):
        self.waited = []

    def record(self):
        return types.SimpleNamespace(synchronize=lambda: None)

    def synchronize(self):
        pass

    def wait_event(self, event):
        self.waited.append(event)


class _RawKernel:
    """What the kernels of ``arrays/cupy.py`` do, by their names."""

    def __init__(self, code, name):
        assert f"void {name}(" in code and name in ("philox", "rows")
        self.run = getattr(self, name)

    def __call__(self, grid, block, args):
        self.run(grid, block, args)

    def rows(self, grid, block, args):
        numbers, first, count = args[:3]
        numbers = numbers._a if isinstance(numbers, StrictArray) else numpy.arange(first, first + count)
        assert len(args) == 3 + 3 * grid[1] and numbers.dtype == numpy.int64 and len(numbers) == count
        for x, y, words in zip(args[3::3], args[4::3], args[5::3], strict=True):
            assert y._a.nbytes % max(1, count * int(words)) == 0
            y._a[...] = x._a[numbers]

    def philox(self, grid, block, args):
        key, out, blocks = args
        assert grid[0] * block[0] >= blocks and all(x._a.dtype == numpy.uint64 for x in (key, out))
        out._a[...] = NumpyArrays().random_bits(key._a, 8 * int(blocks)).view(numpy.uint64)


def _scattered(function, allowed):
    def scatter(a, slices, value):
        assert a.dtype.name in allowed, f"CuPy scatters no {a.dtype}"
        function.at(unwrap(a), unwrap(slices), unwrap(value))

    return scatter


def stand_in():
    """The modules ``cupy`` and ``cupyx``, by name, as far as they are needed."""
    from scipy import special

    one = _Stream()
    runtime = types.SimpleNamespace(getDeviceCount=lambda: 2, memGetInfo=lambda: (1 << 20, 1 << 30), CUDARuntimeError=RuntimeError)
    cuda = types.SimpleNamespace(
        Stream=_Stream, get_current_stream=lambda: one, get_device_id=lambda: 0, runtime=runtime, is_available=lambda: False,
        Device=contextlib.nullcontext,
    )  # fmt: skip
    cupy = _Namespace(numpy, "cupy")
    cupy.__dict__.update(cuda=cuda, ndarray=StrictArray, RawKernel=_RawKernel, __version__="14.2.0", asarray=_asarray, array=_array)
    cupy.__dict__["from_dlpack"] = lambda x: wrap(numpy.from_dlpack(x))
    cupyx = types.SimpleNamespace(
        scatter_add=_scattered(numpy.add, _SCATTERED), scatter_max=_scattered(numpy.maximum, _SCATTERED), scatter_min=_scattered(numpy.minimum, _SCATTERED),
        errstate=lambda linalg: contextlib.nullcontext(), empty_pinned=numpy.empty,
    )  # fmt: skip
    special = types.SimpleNamespace(**{n: functools.partial(_special, getattr(special, n)) for n in ("erf", "erfc", "erfinv")})
    return {"cupy": cupy, "cupyx": cupyx, "cupyx.scipy.special": special}


def _asarray(a, dtype=None, order=None, *, copy=None, blocking=False):
    if isinstance(a, StrictArray):
        return a if dtype is None or a.dtype == dtype else a.astype(dtype)
    return StrictArray(numpy.array(_stripped(a), dtype=dtype, order=order or "K"))  # always a copy of what is on the host


def _array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    return StrictArray(numpy.array(_stripped(obj), dtype=dtype, copy=copy, order=order, ndmin=ndmin))


def _stripped(x):
    """What CuPy makes an array of: host arrays too, and lists of its own."""
    return type(x)(map(_stripped, x)) if isinstance(x, (list, tuple)) else x._a if isinstance(x, StrictArray) else x


def _special(function, x):
    return wrap(function(unwrap(x)))


class StrictArrays(CupyArrays):
    silence, unsilence = staticmethod(NumpyArrays.silence), staticmethod(NumpyArrays.unsilence)  # CuPy warns of nothing, NumPy does

    def __init__(self):
        with unittest.mock.patch.dict(sys.modules, stand_in()):
            super().__init__()


__all__ = ["NAMES", "StrictArray", "StrictArrays", "stand_in", "unwrap", "wrap"]
