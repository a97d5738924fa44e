"""What all kinds of data come in: :class:`Batches`, and what a batch is: ``x``, ``(x, y)`` or ``(x, y, sample_weight)``."""

import contextlib
import itertools
from collections import deque

import numpy as np

import kerasish.config as config
from kerasish import tree
from kerasish.backend.arrays import active, is_array
from kerasish.backend.autodiff.dtypes import is_float, name_of, numpy_dtype
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor
from kerasish.backend.autodiff.variable import Variable
from kerasish.data.frames import is_frame


class Batches:
    """Data as batches: iterating gives those of one epoch, in which every array has rows as its first axis.

    ``num_batches`` is how many there are, None where nobody knows before the end. ``repeatable`` says whether one can iterate
    again. Iterators are generators: closing one ends what works for it. ``close`` ends what works for all of them.
    """

    num_batches = None
    repeatable = True

    def __iter__(self):
        raise TypeError(f"{type(self).__name__} must define __iter__.")

    def iterate(self, start=0):
        """The batches of one pass from number ``start`` on. Those before are taken and dropped, where a kind knows nothing quicker."""
        batches = iter(self)
        deque(itertools.islice(batches, start), maxlen=0)
        return batches

    def close(self):
        """End what is kept from one epoch to the next: processes."""

    def peek(self):
        """The first batch, to build a model for."""
        with contextlib.closing(iter(self)) as batches:
            for batch in batches:
                return batch
        raise ValueError("The data contains no batch: there is nothing to train on, to evaluate or to predict.")

    def exhausted(self):
        """Whether nothing is left, and one can't start again."""
        return False

    def state(self, running):
        """What a data set says about itself, for one like it to go on from there; None where there is nothing to say.

        ``running``: whether a pass has begun that is to be gone on with.
        """

    def set_state(self, state):
        """Go on from what ``state`` gave."""

    def on_epoch_begin(self):
        """Called before the first batch of an epoch."""

    def on_epoch_end(self):
        """Called after the last batch of an epoch."""


def pack_x_y_sample_weight(x, y=None, sample_weight=None):
    """The tuple in which ``fit`` handles data (``keras.utils.pack_x_y_sample_weight``); a lone ``x`` stays as it is.

    >>> pack_x_y_sample_weight(1, 2)
    (1, 2)
    """
    if y is None and sample_weight is None:
        return (x,) if isinstance(x, (tuple, list)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def unpack_x_y_sample_weight(data):
    """``x``, ``y`` and ``sample_weight`` of what a step is given, None for what is not there (``keras.utils``).

    >>> unpack_x_y_sample_weight((1, 2))
    (1, 2, None)
    """
    if not isinstance(data, (tuple, list)):
        return data, None, None
    if 1 <= len(data) <= 3:
        return (*data, None, None)[:3]
    raise ValueError(f"A batch is `x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)`, got {len(data)} items: {data}")


def is_array_like(x):
    """Whether ``x`` is None or something with rows: an array of any library, a tensor, a data frame, an HDF5 dataset."""
    return x is None or isinstance(x, Tensor) or is_frame(x) or any(hasattr(x, name) for name in _OF_ARRAYS)


_OF_ARRAYS = ("__array__", "__dlpack__", "tocsr", "todense", "dense_shape", "row_splits")  # the latter: sparse and ragged ones


def as_batch(data):
    """A batch with every leaf as an array of NumPy or of the active library, floats in ``floatx``."""
    return tree.map_structure(_with_rows, data, none_is_leaf=False)


def _with_rows(x):
    array = as_array(x)
    if array.ndim == 0:
        raise ValueError(f"Arrays of a batch need at least one axis, along which its samples lie. Received a scalar: {x!r}")
    return array


def as_array(x):
    """One part of a batch as an array; floats in ``floatx``, as Keras does with all data."""
    array = x if isinstance(x, np.ndarray) else _array_of(x)
    dtype, floatx = name_of(array.dtype), config.floatx()
    if dtype == "object":
        return _plain(array)
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8")
    return array.astype(numpy_dtype(floatx)) if dtype != floatx and is_float(dtype) else array


def _array_of(x):
    """The array in ``x``, or one like it."""
    if isinstance(x, KerasTensor):
        raise ValueError(f"Expected data, got the symbolic tensor {x}: it has a shape and a dtype, but no values.")
    value = x.value if isinstance(x, Variable) else x
    if isinstance(value, Tensor):
        value = value.value
    if is_array(value):
        return value
    if hasattr(value, "detach"):  # a tensor of PyTorch, wherever it lives
        return _array_of_torch(value.detach().cpu())
    for dense in ("toarray", "todense"):  # sparse arrays of SciPy and JAX
        if hasattr(value, dense):
            return np.asarray(getattr(value, dense)())
    if hasattr(value, "dense_shape"):  # a SparseTensor of TensorFlow
        array = np.zeros(np.asarray(value.dense_shape), np.asarray(value.values).dtype)
        array[tuple(np.asarray(value.indices).T)] = np.asarray(value.values)
        return array
    if hasattr(value, "row_splits"):
        raise ValueError(f"A {type(value).__name__} has rows of different lengths, which arrays don't: pass `data.to_tensor()`, filled up.")
    return np.asarray(value)


def _array_of_torch(tensor):
    if getattr(tensor, "is_sparse", False):
        tensor = tensor.to_dense()
    return np.asarray(tensor.float() if str(getattr(tensor, "dtype", "")) == "torch.bfloat16" else tensor)


def _plain(array):
    """What an array of Python objects holds, if that is text or numbers."""
    kinds = {type(item) for item in array.ravel()}
    if kinds and kinds <= {str, bytes}:  # bytes are what HDF5 and TensorFlow give
        return np.array([item.decode() if isinstance(item, bytes) else item for item in array.ravel()]).reshape(array.shape)
    try:
        return array.astype(numpy_dtype(config.floatx()))
    except (TypeError, ValueError):
        raise ValueError(
            f"Expected data of numbers or text. Received an array of Python objects of the types "
            f"{sorted(kind.__name__ for kind in kinds)}, shape {array.shape}."
        ) from None


def with_class_weight(batch, class_weight):
    """The batch with the sample weights that its classes have; None leaves it alone."""
    if class_weight is None:
        return batch
    x, y, sample_weight = unpack_x_y_sample_weight(batch)
    check_class_weight(class_weight, y, sample_weight)
    return x, y, class_weight_to_sample_weights(y, class_weight)


def check_class_weight(class_weight, y, sample_weight):
    """ValueError where class weights can't be used with these targets and sample weights."""
    if not isinstance(class_weight, dict) or not all(isinstance(key, (int, np.integer)) for key in class_weight):
        raise ValueError(f"`class_weight` must be a dict from class (an int) to weight (a float). Received: {class_weight!r}")
    if sample_weight is not None:
        raise ValueError("You cannot use `class_weight` and `sample_weight` at the same time.")
    if tree.is_nested(y) or y is None:
        raise ValueError("`class_weight` needs a single output, and needs its targets `y`.")


def class_weight_to_sample_weights(y, class_weight):
    """The weight of each target's class, 1 for classes that are not named. ``y``: class numbers, or one-hot rows."""
    y = as_array(y)
    y = active.xp.to_numpy(y) if is_array(y) else y
    if y.ndim > 1:
        y = y[..., 0] if y.shape[-1] == 1 else np.argmax(y, axis=-1)
    classes = np.round(y).astype("int64")
    weights = np.ones(classes.shape, numpy_dtype(config.floatx()))
    for label, weight in class_weight.items():
        weights[classes == label] = weight
    return weights
