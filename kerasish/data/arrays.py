"""Batches of arrays: NumPy's, tensors, data frames, sparse matrices, and structures of these."""

import math

import numpy as np

from kerasish import tree
from kerasish.backend.arrays import active
from kerasish.data.batches import Batches, check_class_weight, is_array_like, pack_x_y_sample_weight, with_class_weight
from kerasish.data.rows import StoredRows, as_rows, on_device, rows_at


class ArrayBatches(Batches):
    """Rows of arrays, ``batch_size`` at a time (32, or what makes ``steps`` batches), the last batch maybe smaller.

    ``shuffle``: True draws a new order for each epoch from NumPy's global generator, as Keras does, so that
    ``set_random_seed`` fixes it; "batch" only mixes the rows within each batch.

    Batches in order are views of the arrays, others are fresh arrays, so a step or a callback may keep them. No thread takes
    them ahead: the products of a step use all cores already, and handing a batch over costs more than taking its rows.

    A device with memory of its own is brought all the data at once, if it has room: changes of the arrays are then not seen any more.
    """

    def __init__(self, x, y=None, sample_weight=None, batch_size=None, steps=None, shuffle=False, class_weight=None):
        x, y, sample_weight = _all_as_rows((x, y, sample_weight))
        if class_weight is not None:
            check_class_weight(class_weight, y, sample_weight)
        self.data = pack_x_y_sample_weight(x, y, _one_weight_per_output(sample_weight, y))
        self.class_weight, self.shuffle = class_weight, shuffle
        self.num_rows = _check_cardinality(self.data)
        if batch_size is not None and (not isinstance(batch_size, (int, np.integer)) or batch_size < 1):
            raise ValueError(f"`batch_size` must be a positive integer. Received: batch_size={batch_size!r}")
        self.batch_size = batch_size or (math.ceil(self.num_rows / steps) if steps else 32)
        self.num_batches = math.ceil(self.num_rows / self.batch_size)
        self._brought = None

    def __iter__(self):
        return self.iterate()

    def iterate(self, start=0):
        order = np.random.permutation(self.num_rows) if self.shuffle and self.shuffle != "batch" else None
        data = self._data()
        if order is not None and data is not self.data:
            order = active.xp.asarray(order)
        return (self._batch(data, self._index(number, order)) for number in range(start, self.num_batches))

    def _data(self):
        """The data where batches are taken from it. Class weights are looked up on the host."""
        if self._brought is None and self.class_weight is None:
            self._brought = on_device(self.data)
        return self.data if self._brought is None else self._brought

    def close(self):
        self._brought = None

    def _index(self, number, order):
        """The rows of a batch; without an order those that follow each other, mixed for "batch"."""
        start = number * self.batch_size
        stop = min(start + self.batch_size, self.num_rows)
        if self.shuffle == "batch":
            mixed = np.random.permutation(stop - start) + start
            return mixed if self._brought is None else active.xp.asarray(mixed)
        return slice(start, stop) if order is None else order[start:stop]

    def _batch(self, data, index):
        if data is not self.data:  # all of them at once
            parts = tree.flatten(data)
            taken = iter(active.xp.rows([rows.array for rows in parts if rows is not None], index))
            return tree.pack_sequence_as(data, [None if rows is None else next(taken) for rows in parts])
        batch = tree.map_structure(lambda rows: rows_at(rows, index), data, none_is_leaf=False)
        return with_class_weight(batch, self.class_weight)


def _all_as_rows(arrays):
    if all(leaf is None for leaf in tree.flatten(arrays)):
        raise ValueError("No data: `x` is None.")
    unknown = [leaf for leaf in tree.flatten(arrays) if not is_array_like(leaf)]
    if unknown:
        raise ValueError(
            f"Unrecognized data type: {unknown[0]!r} (of type {type(unknown[0])}). Expected arrays, tensors, data frames, or "
            "lists, tuples and dicts of these; numbers and nested lists of numbers must be made an array first."
        )
    rows = tree.map_structure(as_rows, arrays, none_is_leaf=False)
    scalars = [leaf for leaf in tree.flatten(rows) if leaf is not None and len(leaf.shape) == 0]
    if scalars:
        raise ValueError(f"Data needs a first axis along which samples lie. Received a scalar: {scalars[0]!r}")
    return rows


def _one_weight_per_output(sample_weight, y):
    """Sample weights in the structure of ``y``: one array alone counts for every output."""
    if sample_weight is None or not tree.is_nested(y):
        return sample_weight
    if tree.is_nested(sample_weight):
        try:
            tree.assert_same_structure(y, sample_weight)
        except ValueError as error:
            raise ValueError(f"You should provide one `sample_weight` array per output. {error}") from None
        return sample_weight
    if len(sample_weight.shape) > 1 and tuple(sample_weight.shape[1:]) != (1,):
        raise ValueError(
            "One `sample_weight` array that counts for several outputs has one number for each sample. Expected the shape "
            f"(samples,) or (samples, 1). Received: {tuple(sample_weight.shape)}. For other weights, pass one array per output."
        )
    return tree.map_structure(lambda _: sample_weight, y)


def _check_cardinality(data):
    """Number of rows, the same for all arrays and not 0."""
    parts = data if isinstance(data, tuple) else (data,)
    sizes = [[int(leaf.shape[0]) for leaf in tree.flatten(part) if leaf is not None] for part in parts]
    different = {size for part in sizes for size in part}
    if len(different) > 1:
        found = "\n".join(f"'{name}' sizes: {', '.join(map(str, n))}" for name, n in zip(("x", "y", "sample_weight"), sizes, strict=False))
        raise ValueError(f"Data cardinality is ambiguous: arrays have different numbers of samples:\n{found}")
    if different == {0}:
        raise ValueError("The data contains no samples.")
    return different.pop()


def train_validation_split(arrays, validation_split):
    """The arrays' first rows, and the last ``validation_split`` of them, as two structures."""
    if not 0 < validation_split < 1:
        raise ValueError(f"`validation_split` must be between 0 and 1. Received: validation_split={validation_split}")
    unsuitable = [type(leaf) for leaf in tree.flatten(arrays) if not is_array_like(leaf)]
    if unsuitable:
        raise ValueError(
            f"`validation_split` needs data with rows: arrays, frames, files. Received: {unsuitable}. Pass `validation_data` instead."
        )
    arrays = _all_as_rows(arrays)
    count = _check_cardinality(arrays)
    split = math.floor(count * (1.0 - validation_split))
    if split in (0, count):
        raise ValueError(
            f"{count} samples are not sufficient for `validation_split={validation_split}`: {split} would be left to train on, and "
            f"{count - split} to validate with."
        )

    def part(start, stop):
        def cut(rows):
            return rows.between(start, stop) if isinstance(rows, StoredRows) else rows[start:stop]

        return tree.map_structure(cut, arrays, none_is_leaf=False)

    return part(0, split), part(split, count)
