"""Strict arrays: NumPy underneath, but converting to and from NumPy only where CuPy does, so that CPU tests catch GPU breakage."""

import numpy

from kerasish.backend.arrays.numpy import NumpyArrays

_NUMBERS = (int, float, complex, bool, numpy.generic)


class StrictArray:
    """A wrapped ``numpy.ndarray`` that mixes with nothing but its own kind and numbers."""

    __array_ufunc__ = None
    __slots__ = ("_a",)

    def __init__(self, array):
        self._a = numpy.asarray(array)

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed: use xp.to_numpy.")

    def __getattr__(self, name):
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


class _Namespace:
    """NumPy's functions on strict arrays."""

    def __init__(self, module):
        self._module = module

    def __getattr__(self, name):
        value = getattr(self._module, name)
        if isinstance(value, type(numpy)):
            return _Namespace(value)
        if not callable(value) or isinstance(value, type):
            return value
        return lambda *args, **kwargs: wrap(value(*unwrap(args), **unwrap(kwargs)))


class StrictArrays(NumpyArrays):
    name = "numpy"
    module = _Namespace(numpy)
    array_types = (StrictArray,)

    def asarray(self, x, dtype=None):
        return StrictArray(numpy.asarray(x._a if isinstance(x, StrictArray) else x, dtype=dtype))

    def scalar(self, x, dtype):
        return StrictArray(numpy.asarray(x, dtype))

    def memory(self, nbytes):
        return StrictArray(super().memory(nbytes))

    def to_numpy(self, array):
        return array._a

    def scatter_add(self, target, index, values):
        super().scatter_add(unwrap(target), unwrap(index), unwrap(values))
        return target

    def scatter_reduce(self, name, target, index, values):
        getattr(numpy, name).at(unwrap(target), unwrap(index), unwrap(values))
        return target

    def random_bits(self, key, size):
        return StrictArray(super().random_bits(unwrap(key), size))
