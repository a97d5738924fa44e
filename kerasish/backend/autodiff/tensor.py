"""Tensor: a shape, a dtype and maybe a value. One class for values, for shapes alone and for tensors that are recorded."""

import typing

import numpy as np

import kerasish.config as config
from kerasish.backend.arrays import active
from kerasish.backend.autodiff import dtypes
from kerasish.backend.autodiff.dtypes import name_of, numpy_dtype, standardize_dtype
from kerasish.saveable import serializes


class NoValueError(TypeError, ValueError):
    """A value was asked of a tensor that has only a shape and a dtype."""


class Tensor:
    """A shape, a dtype and, unless the tensor only stands for one, the array ``value``.

    ``requires_grad`` says that calls on it are remembered; ``call`` is the call that made it, if it was remembered;
    ``grad`` is what ``backward`` adds up. Arithmetic, comparison and indexing are those of ``kerasish.ops``.

    >>> x = Tensor([1.0, 2.0])
    >>> x.shape, x.dtype
    ((2,), 'float32')
    """

    call = None  # Call that made it
    index = 0  # which of that call's outputs it is
    requires_grad = False
    grad = None
    token = None  # the Variable's identity, where this is a Variable's value
    symbol = None  # (recording, number), where this stands for a value in a recorded step
    _keras_mask = None
    backward: typing.Callable  # from gradient.py
    T: "Tensor"  # operators and array methods come from kerasish.ops
    __array_priority__ = 1000
    __array_ufunc__: typing.Any = None  # `numpy_array + tensor` asks the tensor, not numpy: see ops/operators.py

    def __init__(self, value, shape=None, dtype=None):
        if shape is None:
            value = as_array(value, dtype)
            shape, dtype = value.shape, name_of(value.dtype)
        self.value, self.shape, self.dtype = value, shape, dtype

    # ---- what it is
    @property
    def ndim(self):
        return len(self.shape)

    @property
    def size(self):
        return None if None in self.shape else int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self):
        return self.size * numpy_dtype(self.dtype).itemsize

    @property
    def device(self):
        """Where the value lives, as the array library says it."""
        return getattr(self._need(), "device", "cpu")

    def __repr__(self):
        if self.value is None:
            return f"<{type(self).__name__} shape={self.shape}, dtype={self.dtype}>"
        return f"Tensor({np.array2string(self.numpy(), separator=', ', prefix='Tensor(')}, dtype={self.dtype})"

    def __len__(self):
        if not self.shape:
            raise TypeError("len() of a tensor of rank 0")
        if self.shape[0] is None:
            raise NoValueError("len() of a tensor whose first size is not known")
        return self.shape[0]

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    __hash__ = object.__hash__  # tensors are keys by identity, though == compares elements

    # ---- the value
    def _need(self):
        if self.value is None:
            raise NoValueError(
                f"{self!r} has no value here: this code runs with shapes only (a symbolic call or a recorded step). "
                "Use kerasish.ops on it, or run eagerly (`run_eagerly=True`)."
            )
        return self.value

    def numpy(self):
        """The value as a ``numpy.ndarray``."""
        return active.xp.to_numpy(self._need())

    def __array__(self, dtype=None, copy=None):
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(f"a copy is needed to turn {self.dtype} into {np.dtype(dtype)}")
            return array.astype(dtype)
        return np.array(array) if copy else array

    def item(self):
        """The value of a tensor with one element as a Python number."""
        return self.numpy().item()

    def tolist(self):
        """The value as nested Python lists."""
        return self.numpy().tolist()

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __complex__(self):
        return complex(self.item())

    def __index__(self):
        if "int" not in self.dtype:
            raise TypeError(f"only integer tensors can be an index, not {self.dtype}")
        return int(self.item())

    def __bool__(self):
        if self.size is not None and self.size != 1 and self.value is not None:
            raise ValueError("The truth value of a tensor with more than one element is ambiguous. Use ops.any or ops.all.")
        return bool(self.item())

    def __format__(self, spec):
        return format(self.item() if self.shape == () and self.value is not None else repr(self), spec)

    def alias(self):
        """A new tensor with the same value, which knows nothing of how it was made."""
        other = Tensor(self.value, self.shape, self.dtype)
        if self.symbol is not None:
            other.symbol = self.symbol
        return other

    def __copy__(self):
        return self.alias()

    def __deepcopy__(self, memo):
        return self.alias() if self.value is None else Tensor(self.value.copy(), self.shape, self.dtype)

    def __reduce__(self):
        return Tensor, (self.numpy(),)

    # ---- other libraries
    def __dlpack__(self, **kwargs):
        return self._need().__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self._need().__dlpack_device__()


class KerasTensor(Tensor):
    """A tensor with a shape and a dtype but no value: what ``Input`` returns and models are wired from (``keras.KerasTensor``).

    >>> KerasTensor((None, 3), name="x")
    <KerasTensor shape=(None, 3), dtype=float32, sparse=False, ragged=False, name=x>
    """

    _count = 0

    def __init__(self, shape, dtype="float32", sparse=False, ragged=False, record_history=True, name=None, **kwargs):
        unknown = set(kwargs) - {"ragged_rank", "row_splits_dtype"}
        if unknown:
            raise TypeError(f"Unexpected keyword arguments: {', '.join(sorted(unknown))}")
        if sparse or ragged:
            raise ValueError("Sparse and ragged tensors are not supported: tensors here are dense.")
        super().__init__(None, standardize_shape(shape), standardize_dtype(dtype))
        self.sparse, self.ragged, self.record_history = bool(sparse), bool(ragged), record_history
        self.ragged_rank = self.row_splits_dtype = None
        if name is None:
            name = f"keras_tensor_{KerasTensor._count}" if KerasTensor._count else "keras_tensor"
            KerasTensor._count += 1
        self.name = name

    def __repr__(self):
        return (
            f"<KerasTensor shape={self.shape}, dtype={self.dtype}, sparse={self.sparse}, ragged={self.ragged}, name={self.name}>"
        )

    def __array__(self, dtype=None, copy=None):
        raise ValueError("A KerasTensor is symbolic: there is no array to read, since it doesn't have any actual numerical value.")

    def __bool__(self):
        raise TypeError("A KerasTensor has no value and cannot be used as a boolean.")

    def __iter__(self):
        raise TypeError("Iterating over a symbolic KerasTensor is not supported.")


def is_keras_tensor(x):
    """Whether ``x`` is a symbolic tensor of the Functional API (``keras.backend.is_keras_tensor``)."""
    return isinstance(x, KerasTensor)


def standardize_shape(shape):
    """A checked tuple of non-negative ints and Nones."""
    if shape is None:
        raise ValueError("Undefined shapes are not supported.")
    try:
        shape = tuple(shape)
    except TypeError:
        raise ValueError(f"Cannot convert '{shape}' to a shape.") from None
    out = []
    for n in shape:
        if n is not None:
            try:
                n = n.__index__()
            except (AttributeError, TypeError):
                raise ValueError(f"Cannot convert '{shape}' to a shape. Found invalid entry '{n}' of type '{type(n)}'.") from None
            if n < 0:
                raise ValueError(f"Cannot convert '{shape}' to a shape. Negative dimensions mean nothing.")
        out.append(n)
    return tuple(out)


# ---- values in
def _default_dtype(x):
    """Dtype for Python data, where numpy would take 64 bits."""
    if isinstance(x, (np.ndarray, np.generic)):
        return None
    kind = np.asarray(x).dtype.kind
    return {"f": config.floatx(), "i": "int32", "u": "int32", "c": "complex64"}.get(kind)


def as_array(x, dtype=None):
    """An array of the active library from a tensor, a variable, an array of any library, or nested Python numbers."""
    xp = active.xp
    x = getattr(x, "value", x) if not isinstance(x, xp.array_types) else x
    if isinstance(x, Tensor):  # a variable's value is a tensor
        x = x._need()
    wanted = None if dtype is None else numpy_dtype(standardize_dtype(dtype))
    if isinstance(x, np.ndarray) and x.dtype.kind in "OV" and name_of(x.dtype) not in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        raise ValueError(f"Invalid dtype: {x.dtype}. Tensors hold numbers, booleans or strings.")
    if isinstance(x, xp.array_types):
        return x if wanted is None or x.dtype == wanted else x.astype(wanted)
    if isinstance(x, (list, tuple)) and any(isinstance(item, Tensor) or hasattr(item, "value") for item in _leaves(x)):
        x = _numbers(x)
    if hasattr(x, "__dlpack__") and not isinstance(x, np.ndarray):
        try:
            x = xp.from_dlpack(x)
        except (BufferError, RuntimeError, TypeError, ValueError):  # an array of another device
            x = np.asarray(x)
    if wanted is None:
        default = _default_dtype(x) if not isinstance(x, xp.array_types) else None
        wanted = None if default is None else numpy_dtype(default)
    array = xp.asarray(x, dtype=wanted)
    if array.dtype.kind == "O":
        raise ValueError(f"Cannot make a tensor of {type(x).__name__} with ragged or non-numeric items.")
    return array


def _leaves(x):
    for item in x:
        if isinstance(item, (list, tuple)):
            yield from _leaves(item)
        else:
            yield item


def _numbers(x):
    """Nested lists of tensors as nested lists of arrays."""
    return [_numbers(i) if isinstance(i, (list, tuple)) else np.asarray(getattr(i, "numpy", lambda i=i: i)()) for i in x]


@serializes(KerasTensor, "__keras_tensor__", lambda c: _load_keras_tensor(c))
def _save_keras_tensor(x):
    history = getattr(x, "_keras_history", None)
    history = history and [history.operation.name, history.node_index, history.tensor_index]
    return {"class_name": "__keras_tensor__", "config": {"shape": x.shape, "dtype": x.dtype, "keras_history": history}}


def _load_keras_tensor(config):
    x = KerasTensor(config["shape"], config["dtype"])
    x._pre_serialization_keras_history = config["keras_history"]
    return x


@serializes(Tensor, "__tensor__", lambda c: Tensor(c["value"], dtype=c["dtype"]))
def _save_tensor(x):
    return {"class_name": "__tensor__", "config": {"value": x.tolist(), "dtype": x.dtype}}


def is_tensor(x):
    """Whether ``x`` is a tensor with a value or a recorded one; symbolic KerasTensors are not (``keras.ops.is_tensor``)."""
    return isinstance(x, Tensor) and not isinstance(x, KerasTensor)


__all__ = ["KerasTensor", "NoValueError", "Tensor", "as_array", "dtypes", "is_keras_tensor", "is_tensor", "standardize_shape"]
