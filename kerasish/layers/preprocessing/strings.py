"""Strings and other values that tensors can't compute with: read from whatever holds them, worked on in Python, given back as tensors."""

import numpy as np

from kerasish.backend.autodiff.state import state
from kerasish.backend.autodiff.tensor import NoValueError, Tensor
from kerasish.layers.layer import Layer


def read(x):
    """A NumPy array of a tensor, an array or nested lists. Strings, of any kind, become ``str``."""
    array = x.numpy() if isinstance(x, Tensor) else np.asarray(x)
    if array.dtype.kind == "S" or (array.dtype.kind == "O" and any(isinstance(item, bytes) for item in array.flat)):
        return decode(array, "utf-8")
    return array.astype(str) if array.dtype.kind in "OT" and all(isinstance(item, str) for item in array.flat) else array


def decode(array, encoding):
    """An array of ``bytes`` (or ``str``) as one of ``str``."""
    items = [item.decode(encoding) if isinstance(item, bytes) else item for item in array.ravel().tolist()]
    return np.array(items, dtype=str).reshape(array.shape)


def read_strings(x, who):
    """As :func:`read`; TypeError where there are no strings."""
    array = read(x)
    if array.dtype.kind != "U" and array.size:
        raise TypeError(f"{who} works on strings. Received an array of dtype {array.dtype}, of shape {array.shape}.")
    return array.astype(str)


def to_bytes(array):
    """The items of an array as ``bytes``: strings in UTF-8, numbers as they are written out, floats without what is behind the point."""
    if array.dtype.kind == "f":
        array = array.astype("int64")
    if array.dtype.kind == "b":
        return [b"true" if item else b"false" for item in array.ravel().tolist()]
    return [str(item).encode() for item in array.ravel().tolist()]


class HostLayer(Layer):
    """Base of layers that work on values in Python, not on tensors: they can't be part of a recorded step."""

    supports_jit = False
    _convert_input_args = False
    _allow_non_tensor_positional_args = True

    def _known(self, *inputs):
        """Whether the inputs have values; no where only shapes are worked out. NoValueError in a recorded step."""
        unknown = [x for x in inputs if isinstance(x, Tensor) and x.value is None]
        if unknown and not state.symbolic:
            raise NoValueError(
                f"{type(self).__name__} needs the values of its inputs, in Python: it can't be part of a recorded step. Run eagerly "
                "(`run_eagerly=True`), or apply the layer to the data before the model gets it."
            )
        return not unknown
