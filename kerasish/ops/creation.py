"""Ops that make tensors of numbers and shapes."""

import math

import numpy as np

from kerasish.backend.arrays import active
from kerasish.backend.autodiff.dtypes import is_float, keep, numpy_dtype, result_type, standardize_dtype, weak_dtype
from kerasish.backend.autodiff.op import as_tensor, cast, composite, op
from kerasish.backend.autodiff.shapes import broadcast, first, normalize_axis, same
from kerasish.backend.autodiff.tensor import Tensor, standardize_shape
from kerasish.config import floatx
from kerasish.ops.elementwise import absolute, floor, log10, power, sign
from kerasish.ops.shaping import as_shape, broadcast_to, copy, expand_dims, stack
from kerasish.ops.sizes import count, is_open, numbers_up_to, repeated

__all__ = [
    "arange", "array", "bartlett", "blackman", "convert_to_tensor", "empty", "empty_like", "eye", "full",
    "full_like", "geomspace", "hamming", "hanning", "identity", "kaiser", "linspace", "logspace", "ones",
    "ones_like", "tri", "vander", "zeros", "zeros_like",
]  # fmt: skip


# ---- from values
@composite(module="ops.core")
def convert_to_tensor(x, dtype=None, sparse=None, ragged=None):
    """A tensor from a tensor, a variable or anything array-like (``keras.ops.convert_to_tensor``).

    Raises ValueError for ``sparse`` or ``ragged``: tensors are dense.

    >>> convert_to_tensor([1, 2], dtype="float32").tolist()
    [1.0, 2.0]
    """
    if sparse or ragged:
        raise ValueError("Sparse and ragged tensors are not supported: tensors here are dense.")
    return as_tensor(x, None if dtype is None else standardize_dtype(dtype))


@composite
def array(x, dtype=None):
    """A tensor with the values of ``x`` in memory of its own (``keras.ops.array``).

    >>> array([1, 2]).dtype
    'int32'
    """
    return copy(convert_to_tensor(x, dtype))


# ---- of a shape
def _constant(value, dtype):
    """A tensor from an array, in the given dtype."""
    return Tensor(value.astype(numpy_dtype(dtype), copy=False), value.shape, dtype)


def _filled(make, shape, dtype):
    """A constant tensor; without a value where a size is unknown, as the batch's while only shapes are worked out."""
    shape, dtype = standardize_shape(as_shape(shape)), standardize_dtype(dtype)
    if is_open(shape):
        return repeated(Tensor(make((), dtype=numpy_dtype(dtype))), shape)
    return Tensor(None if None in shape else make(shape, dtype=numpy_dtype(dtype)), shape, dtype)


def zeros(shape, dtype=None):
    """Zeros, of ``floatx`` by default (``keras.ops.zeros``).

    >>> zeros((2,)).tolist()
    [0.0, 0.0]
    """
    return _filled(active.xp.zeros, shape, dtype)


def ones(shape, dtype=None):
    """Ones, of ``floatx`` by default (``keras.ops.ones``).

    >>> ones((2,), "int32").tolist()
    [1, 1]
    """
    return _filled(active.xp.ones, shape, dtype)


def empty(shape, dtype=None):
    """A tensor whose values may be anything, of ``floatx`` by default (``keras.ops.empty``).

    >>> empty((2, 3)).shape
    (2, 3)
    """
    return _filled(active.xp.empty, shape, dtype)


@composite(inputs=["fill_value"])
def full(shape, fill_value, dtype=None):
    """A number, or a tensor that broadcasts, repeated to a shape; of ``floatx`` by default (``keras.ops.full``).

    >>> full((2,), 7).tolist()
    [7.0, 7.0]
    """
    if isinstance(fill_value, (int, float)) and not is_open([fill_value]):
        return _filled(lambda shape, dtype: active.xp.full(shape, fill_value, dtype=dtype), shape, dtype)
    return copy(broadcast_to(as_tensor(fill_value, standardize_dtype(dtype)), shape))


def _rows_and_columns(rows, columns):
    return expand_dims(arange(rows), 1), arange(rows if columns is None else columns)


def eye(N, M=None, k=0, dtype=None):
    """Matrix of N rows and M (as many, by default) columns with ones on the ``k``-th diagonal (``keras.ops.eye``).

    >>> eye(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    dtype = standardize_dtype(dtype)
    if is_open((N, M)):
        rows, columns = _rows_and_columns(N, M)
        return cast(rows + k == columns, dtype)
    return _constant(active.xp.eye(int(N), None if M is None else int(M), int(k), dtype=numpy_dtype(dtype)), dtype)


def identity(n, dtype=None):
    """Square matrix with ones on the diagonal (``keras.ops.identity``).

    >>> identity(2, "int32").tolist()
    [[1, 0], [0, 1]]
    """
    return eye(n, dtype=dtype)


def tri(N, M=None, k=0, dtype=None):
    """Matrix of N rows and M columns with ones on and below the ``k``-th diagonal (``keras.ops.tri``).

    >>> tri(2).tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    dtype = standardize_dtype(dtype)
    if is_open((N, M)):
        rows, columns = _rows_and_columns(N, M)
        return cast(rows + k >= columns, dtype)
    return _constant(active.xp.tri(int(N), None if M is None else int(M), int(k), dtype=numpy_dtype(dtype)), dtype)


# ---- of another tensor's shape
def _dtype_like(dtypes, attrs):
    return (None,), keep(dtypes, attrs)[1] if attrs["dtype"] is None else standardize_dtype(attrs["dtype"])


def _given(dtype, x):
    return x.dtype if dtype is None else numpy_dtype(standardize_dtype(dtype))


@op(same, [None], _dtype_like)
def zeros_like(xp, x, dtype=None):
    """Zeros of the shape, and by default the dtype, of ``x`` (``keras.ops.zeros_like``).

    >>> zeros_like([1.5, 2.5]).tolist()
    [0.0, 0.0]
    """
    return xp.zeros(x.shape, dtype=_given(dtype, x))


@op(same, [None], _dtype_like)
def ones_like(xp, x, dtype=None):
    """Ones of the shape, and by default the dtype, of ``x`` (``keras.ops.ones_like``).

    >>> ones_like([1.5, 2.5]).tolist()
    [1.0, 1.0]
    """
    return xp.ones(x.shape, dtype=_given(dtype, x))


@op(same, [None], _dtype_like)
def empty_like(xp, x, dtype=None):
    """A tensor of the shape, and by default the dtype, of ``x`` with any values (``keras.ops.empty_like``).

    >>> empty_like([1, 2]).shape
    (2,)
    """
    return xp.empty(x.shape, dtype=_given(dtype, x))


def _filled_like(dtypes, attrs):
    dtype = _dtype_like(dtypes[:1], attrs)[1]
    return (None, dtype), dtype


@op(first, [None, lambda g, y, x, fill_value, dtype: g], _filled_like)
def full_like(xp, x, fill_value, dtype=None):
    """A value repeated to the shape, and by default the dtype, of ``x`` (``keras.ops.full_like``).

    >>> full_like([1, 2], 7).tolist()
    [7, 7]
    """
    y = xp.empty(x.shape, dtype=fill_value.dtype)
    y[...] = fill_value
    return y


# ---- sequences
def _item(x):
    """A number as Python's, None where a tensor has no value."""
    if isinstance(x, (int, float)):
        return x
    x = as_tensor(x)
    return None if x.value is None else x.item()


def _kind(x):
    """What ``result_type`` takes for a number or a tensor."""
    return {"int": int, "float": float, "complex": complex}.get(weak_dtype(x)) or as_tensor(x).dtype


@composite(inputs=["start", "stop", "step"])
def arange(start, stop=None, step=None, dtype=None):
    """Numbers from ``start`` up to, without, ``stop``; from 0 up to ``start`` where it is alone (``keras.ops.arange``).

    >>> arange(3).tolist(), arange(1, 2, 0.5).tolist()
    ([0, 1, 2], [1.0, 1.5])
    """
    given = [x for x in (start, stop, step) if x is not None]
    dtype = result_type(*map(_kind, given)) if dtype is None else standardize_dtype(dtype)
    start, stop = (0, start) if stop is None else (start, stop)
    numbers = [_item(x) for x in (start, stop, 1 if step is None else step)]
    if None in numbers:
        return Tensor(None, (None,), dtype)
    if is_open(numbers):
        start, _, step = numbers
        return cast(numbers_up_to(count(*numbers)) * step + start, dtype)
    return _constant(active.xp.arange(*numbers, dtype=numpy_dtype(dtype)), dtype)


def _spaced(start, stop, num, endpoint, axis, dtype):
    shape = broadcast(start, stop)
    axis = normalize_axis(axis, len(shape) + 1)
    return (*shape[:axis], num, *shape[axis:])


def _weights(like, num, endpoint, axis):
    """How much of ``stop`` each of the numbers has, as a tensor that broadcasts against the result."""
    t = np.arange(num) / max(num - 1 if endpoint else num, 1)
    return as_tensor(t.reshape((-1,) + (1,) * (like.ndim - 1 - normalize_axis(axis, like.ndim))), like.dtype)


@op(
    _spaced,
    [
        lambda g, y, a, b, num, endpoint, axis, dtype: (g * (1 - _weights(g, num, endpoint, axis))).sum(axis),
        lambda g, y, a, b, num, endpoint, axis, dtype: (g * _weights(g, num, endpoint, axis)).sum(axis),
    ],
    lambda dtypes, attrs: ((attrs["dtype"],) * 2, attrs["dtype"]),
)
def _linspace(xp, start, stop, num=50, endpoint=True, axis=0, dtype=None):
    return xp.linspace(start, stop, num, endpoint=endpoint, axis=axis).astype(start.dtype)


def _count(num):
    num = int(num)
    if num < 0:
        raise ValueError(f"`num` must not be negative. Received: num={num}")
    return num


def _are_numbers(*xs):
    return all(isinstance(x, (int, float)) for x in xs)


@composite(inputs=["start", "stop"])
def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    """``num`` numbers at equal distances from ``start`` to ``stop``, along a new axis (``keras.ops.linspace``).

    Without ``endpoint`` the last is one step before ``stop``. With ``retstep`` a pair: the numbers and their distance.

    >>> linspace(0, 1, 3).tolist()
    [0.0, 0.5, 1.0]
    """
    num, wide = _count(num), result_type(_kind(start), _kind(stop), float)
    dtype = wide if dtype is None else standardize_dtype(dtype)
    if _are_numbers(start, stop):
        y = active.xp.linspace(start, stop, num, endpoint=endpoint)
        y = _constant(y if is_float(dtype) else active.xp.floor(y), dtype)
    else:
        y = _linspace(start, stop, num=num, endpoint=endpoint, axis=axis, dtype=wide)
        y = cast(y if is_float(dtype) else floor(y), dtype)
    if not retstep:
        return y
    steps = num - 1 if endpoint else num
    difference = as_tensor(stop, wide) - as_tensor(start, wide)
    return y, difference / steps if steps > 0 else difference * math.nan


@composite(inputs=["start", "stop"])
def logspace(start, stop, num=50, endpoint=True, base=10, dtype=None, axis=0):
    """``base`` to the powers that :func:`linspace` gives (``keras.ops.logspace``).

    >>> logspace(0, 2, 3).tolist()
    [1.0, 10.0, 100.0]
    """
    num, wide = _count(num), result_type(_kind(start), _kind(stop), float)
    dtype = wide if dtype is None else standardize_dtype(dtype)
    if _are_numbers(start, stop, base):
        return cast(_constant(active.xp.logspace(start, stop, num, endpoint=endpoint, base=base), wide), dtype)
    return cast(power(as_tensor(base, wide), _linspace(start, stop, num=num, endpoint=endpoint, axis=axis, dtype=wide)), dtype)


@composite(inputs=["start", "stop"])
def geomspace(start, stop, num=50, endpoint=True, dtype=None, axis=0):
    """``num`` numbers from ``start`` to ``stop``, each the same multiple of the one before (``keras.ops.geomspace``).

    >>> geomspace(1, 100, 3).tolist()
    [1.0, 10.0, 100.0]
    """
    num, wide = _count(num), result_type(_kind(start), _kind(stop), float)
    dtype = wide if dtype is None else standardize_dtype(dtype)
    if _are_numbers(start, stop):
        y = as_tensor(np.geomspace(start, stop, num, endpoint=endpoint), wide)
        return cast(y, dtype)  # by way of `wide`: 7.999... in float64 is to be the integer 8
    start, stop = as_tensor(start, wide), as_tensor(stop, wide)
    powers = _linspace(log10(absolute(start)), log10(absolute(stop)), num=num, endpoint=endpoint, axis=axis, dtype=wide)
    signs = expand_dims(sign(start) + stop * 0, normalize_axis(axis, powers.ndim))
    return cast(signs * power(as_tensor(10.0, wide), powers), dtype)


@composite
def vander(x, N=None, increasing=False):
    """The powers 0 to ``N - 1`` of a vector's elements as rows, highest first (``keras.ops.vander``).

    >>> vander([2, 3]).tolist()
    [[2, 1], [3, 1]]
    """
    x = as_tensor(x)
    if x.ndim != 1:
        raise ValueError(f"vander needs a vector. Received: x.shape={x.shape}")
    N = x.shape[0] if N is None else N
    if N is None:
        return Tensor(None, (None, None), x.dtype)
    columns = [ones_like(x)]
    for _ in range(N - 1):
        columns.append(columns[-1] * x)
    return stack(columns[:N] if increasing else columns[:N][::-1], 1) if N else zeros((x.shape[0], 0), x.dtype)


# ---- windows
def bartlett(x):
    """Window of so many points: a triangle from 0 up to 1 and down (``keras.ops.bartlett``).

    >>> bartlett(5).tolist()
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    return _constant(active.xp.bartlett(int(x)), floatx())


def blackman(x):
    """Window of so many points: two cosines, close to 0 at the ends (``keras.ops.blackman``).

    >>> round(float(blackman(5)[1]), 2)
    0.34
    """
    return _constant(active.xp.blackman(int(x)), floatx())


def hamming(x):
    """Window of so many points: a cosine raised to 0.08 at the ends (``keras.ops.hamming``).

    >>> float(hamming(3)[1])
    1.0
    """
    return _constant(active.xp.hamming(int(x)), floatx())


def hanning(x):
    """Window of so many points: a cosine, 0 at the ends (``keras.ops.hanning``).

    >>> hanning(3).tolist()
    [0.0, 1.0, 0.0]
    """
    return _constant(active.xp.hanning(int(x)), floatx())


def kaiser(x, beta):
    """Window of so many points made with Bessel functions; ``beta`` says how narrow (``keras.ops.kaiser``).

    >>> kaiser(3, 0.0).tolist()
    [1.0, 1.0, 1.0]
    """
    return _constant(active.xp.kaiser(int(x), float(beta)), floatx())
