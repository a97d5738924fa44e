"""What a tensor is, casting, and where gradients end."""

import builtins

import numpy as np

from kerasish.backend import eager as eager  # large arrays run on compiled kernels
from kerasish.backend.autodiff import gradient
from kerasish.backend.autodiff.dtypes import is_float, numpy_dtype, standardize_dtype
from kerasish.backend.autodiff.gradient import custom_gradient as custom_gradient
from kerasish.backend.autodiff.op import as_tensor, composite
from kerasish.backend.autodiff.tensor import is_tensor as is_tensor
from kerasish.ops.elementwise import choose, clip, isnan
from kerasish.ops.sizes import reading

__all__ = ["cast", "convert_to_numpy", "custom_gradient", "dtype", "is_tensor", "saturate_cast", "shape", "stop_gradient"]


# ---- what a tensor is
def shape(x):
    """Sizes of the axes as a tuple, None where unknown (``keras.ops.shape``).

    >>> shape([[1, 2, 3]])
    (1, 3)
    """
    sizes = as_tensor(x).shape
    if None in sizes:
        reading.open_size = True
    return sizes


def dtype(x):
    """The dtype as a string (``keras.ops.dtype``).

    >>> dtype([1.5])
    'float32'
    """
    return as_tensor(x).dtype


def convert_to_numpy(x):
    """The values as a ``numpy.ndarray`` (``keras.ops.convert_to_numpy``); ValueError for a symbolic tensor.

    >>> convert_to_numpy([1, 2])
    array([1, 2], dtype=int32)
    """
    return np.array(as_tensor(x))


# ---- casting
@composite(module="ops.core", inputs=["x"])
def cast(x, dtype):
    """The values in another dtype (``keras.ops.cast``).

    >>> cast([1.7, 2.2], "int32").tolist()
    [1, 2]
    """
    return as_tensor(x, standardize_dtype(dtype))


def _limits(dtype):
    """Smallest and largest number of a dtype, as Python's."""
    if dtype == "bool":
        return 0, 1
    limits = np.finfo(numpy_dtype(dtype)) if is_float(dtype) else np.iinfo(numpy_dtype(dtype))
    return (float(limits.min), float(limits.max)) if is_float(dtype) else (limits.min, limits.max)


@composite(module="ops.core", inputs=["x"])
def saturate_cast(x, dtype):
    """The values in another dtype, those beyond its range at its limits, NaN as 0 in integers (``keras.ops.saturate_cast``).

    >>> saturate_cast([300.0, -5.0], "uint8").tolist()
    [255, 0]
    """
    x, dtype = as_tensor(x), standardize_dtype(dtype)
    (lowest, highest), (low, high) = _limits(x.dtype), _limits(dtype)
    bounds = []
    for limit in (builtins.max(lowest, low), builtins.min(highest, high)):
        bound = np.asarray(limit).astype(numpy_dtype(x.dtype))
        if not low <= bound.item() <= high:  # the limit has no place in the source's dtype: the next one within
            bound = np.nextafter(bound, np.zeros_like(bound))
        bounds.append(bound.item())
    if is_float(x.dtype) and not is_float(dtype):
        x = choose(isnan(x), 0, x)
    return cast(clip(x, *bounds), dtype)


# ---- gradients
@composite(module="ops.core")
def stop_gradient(variable):
    """The value as a constant: gradients end here (``keras.ops.stop_gradient``).

    >>> stop_gradient([1.0, 2.0]).tolist()
    [1.0, 2.0]
    """
    return gradient.stop_gradient(variable)
