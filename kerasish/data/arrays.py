"""Batches of arrays that are there as a whole: NumPy, tensors, data frames, HDF5 datasets, and structures of these."""

import math

import numpy as np

from kerasish import tree
from kerasish.backend.arrays import active, is_array
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.backend.autodiff.variable import Variable
from kerasish.data.batches import (
    Batches,
    as_array,
    check_class_weight,
    is_array_like,
    pack_x_y_sample_weight,
    with_class_weight,
)


class ArrayBatches(Batches):
    """Rows of arrays, ``batch_size`` at a time (32, or what makes ``steps`` batches), the last batch maybe smaller.

    ``shuffle``: True draws a new order for each epoch from NumPy's global generator, as Keras does, so that
    ``set_random_seed`` fixes it; "batch" only mixes the rows within each batch.

    Batches in order are views of the arrays, others are fresh arrays, so a step or a callback may keep them. No thread takes
    them ahead: the products of a step use all cores already, and handing a batch over costs more than taking its rows.
    """

    def __init__(self, x, y=None, sample_weight=None, batch_size=None, steps=None, shuffle=False, class_weight=None):
        _check_leaves((x, y, sample_weight))
        if class_weight is not None:
            check_class_weight(class_weight, y, sample_weight)
        data = pack_x_y_sample_weight(x, y, _one_weight_per_output(sample_weight, y))
        self.data = tree.map_structure(as_rows, data, none_is_leaf=False)
        self.class_weight, self.shuffle = class_weight, shuffle
        self.num_rows = _check_cardinality(self.data)
        if batch_size is not None and (not isinstance(batch_size, (int, np.integer)) or batch_size < 1):
            raise ValueError(f"`batch_size` must be a positive integer. Received: batch_size={batch_size!r}")
        self.batch_size = batch_size or (math.ceil(self.num_rows / steps) if steps else 32)
        self.num_batches = math.ceil(self.num_rows / self.batch_size)

    def __iter__(self):
        return (self._batch(index) for index in self._indexes())

    def peek(self):
        return self._batch(next(self._indexes()))

    def _indexes(self):
        order = np.random.permutation(self.num_rows) if self.shuffle and self.shuffle != "batch" else None
        for start in range(0, self.num_rows, self.batch_size):
            stop = min(start + self.batch_size, self.num_rows)
            if self.shuffle == "batch":
                yield np.random.permutation(stop - start) + start
            else:
                yield slice(start, stop) if order is None else order[start:stop]

    def _batch(self, index):
        batch = tree.map_structure(lambda rows: as_array(_rows_at(rows, index)), self.data, none_is_leaf=False)
        return with_class_weight(batch, self.class_weight)


def _check_leaves(arrays):
    if all(leaf is None for leaf in tree.flatten(arrays)):
        raise ValueError("No data: `x` is None.")
    unknown = [leaf for leaf in tree.flatten(arrays) if not is_array_like(leaf)]
    if unknown:
        raise ValueError(
            f"Unrecognized data type: {unknown[0]!r} (of type {type(unknown[0])}). Expected arrays, tensors, data frames, or "
            "lists, tuples and dicts of these; numbers and nested lists of numbers must be made an array first."
        )
    scalars = [leaf for leaf in tree.flatten(arrays) if leaf is not None and len(leaf.shape) == 0]
    if scalars:
        raise ValueError(f"Data needs a first axis along which samples lie. Received a scalar: {scalars[0]!r}")


def _one_weight_per_output(sample_weight, y):
    """Sample weights in the structure of ``y``: one array alone counts for every output."""
    if sample_weight is None or not tree.is_nested(y):
        return sample_weight
    if tree.is_nested(sample_weight):
        try:
            tree.assert_same_structure(y, sample_weight)
        except ValueError as error:
            raise ValueError(f"You should provide one `sample_weight` array per output in `y`. {error}") from None
        return sample_weight
    if len(sample_weight.shape) > 1 and tuple(sample_weight.shape[1:]) != (1,):
        raise ValueError(
            "For a model with multiple outputs, when providing a single `sample_weight` array, it should only have one scalar "
            f"score per sample (i.e. shape `(num_samples,)`). Received shape {tuple(sample_weight.shape)}. For other weights, "
            "pass one array per output."
        )
    return tree.map_structure(lambda _: sample_weight, y)


def _check_cardinality(data):
    """Number of rows, the same for all arrays and not 0."""
    parts = data if isinstance(data, tuple) else (data,)
    sizes = [[int(leaf.shape[0]) for leaf in tree.flatten(part) if leaf is not None] for part in parts]
    different = {size for part in sizes for size in part}
    if len(different) > 1:
        found = "\n".join(f"'{name}' sizes: {', '.join(map(str, n))}" for name, n in zip(("x", "y", "sample_weight"), sizes, strict=False))
        raise ValueError(f"Data cardinality is ambiguous. Make sure all arrays contain the same number of samples. Received:\n{found}")
    if different == {0}:
        raise ValueError("The data contains no samples.")
    return different.pop()


def _rows_at(rows, index):
    # `take` needs a third of the time that indexing needs for few rows, but copies all rows of what is not contiguous.
    quick = isinstance(index, np.ndarray) and isinstance(rows, np.ndarray) and rows.flags.c_contiguous
    return rows.take(index, 0) if quick else rows[index]


# ---- rows: what has a `shape` and gives `rows[slice or index array]`
def as_rows(x):
    """``x`` as something that gives rows by number, without copying and without reading what lies in a file."""
    if isinstance(x, (np.ndarray, StoredRows)):
        return x
    if hasattr(x, "to_numpy"):  # a data frame, or a column of one: each value of it is a sample with one feature
        array = x.to_numpy()
        return array[:, None] if array.ndim == 1 else array
    if hasattr(x, "tocsr"):
        return x.tocsr()
    if isinstance(x, (Tensor, Variable)) or is_array(x):
        array = as_array(x)
        return array if isinstance(array, np.ndarray) else DeviceRows(array)
    return StoredRows(x) if _is_stored(x) else as_array(x)


def _is_stored(x):
    """Whether ``x`` is an HDF5 dataset, or another array that reads only the rows one asks for."""
    return all(hasattr(x, name) for name in ("shape", "dtype", "chunks", "__getitem__"))


class DeviceRows:
    """Rows of an array that lives on a device."""

    def __init__(self, array):
        self.array, self.shape = array, array.shape

    def __getitem__(self, index):
        return self.array[index] if isinstance(index, slice) else self.array[active.xp.asarray(index)]


class StoredRows:
    """Rows of an array in a file, read when they are asked for: in rising order, which is all that HDF5 can do."""

    def __init__(self, stored, start=0, stop=None):
        self.stored, self.start = stored, start
        self.shape = ((stored.shape[0] if stop is None else stop) - start, *stored.shape[1:])

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.stored[index.start + self.start : index.stop + self.start]
        order = np.argsort(index)
        rows = np.asarray(self.stored[np.asarray(index)[order] + self.start])
        return rows[np.argsort(order)]

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self[0 : self.shape[0]], dtype)

    def between(self, start, stop):
        """Some of the rows, not read yet."""
        return StoredRows(self.stored, self.start + start, self.start + stop)


def train_validation_split(arrays, validation_split):
    """The arrays' first rows, and the last ``validation_split`` of them, as two structures."""
    if not 0 < validation_split < 1:
        raise ValueError(f"`validation_split` must be between 0 and 1. Received: validation_split={validation_split}")
    unsuitable = [type(leaf) for leaf in tree.flatten(arrays) if not is_array_like(leaf)]
    if unsuitable:
        raise ValueError(
            f"Argument `validation_split` is only supported for tensors or NumPy arrays. Found incompatible type in the input: {unsuitable}"
        )
    _check_leaves(arrays)
    arrays = tree.map_structure(as_rows, arrays, none_is_leaf=False)
    count = _check_cardinality(arrays)
    split = math.floor(count * (1.0 - validation_split))
    if split in (0, count):
        raise ValueError(
            f"Training data contains {count} samples, which is not sufficient to split it into a validation and training set "
            f"as specified by `validation_split={validation_split}`. Either provide more data, or a different value for the "
            "`validation_split` argument."
        )

    def part(start, stop):
        def cut(rows):
            return rows.between(start, stop) if isinstance(rows, StoredRows) else rows[start:stop]

        return tree.map_structure(cut, arrays, none_is_leaf=False)

    return part(0, split), part(split, count)
