"""Rows: what has a ``shape`` and gives ``rows[slice or index array]``, wherever its values lie."""

import mmap

import numpy as np

from kerasish import tree
from kerasish.backend.arrays import active, is_array
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.backend.autodiff.variable import Variable
from kerasish.data.batches import as_array
from kerasish.data.frames import frame_to_array, is_frame


def as_rows(x):
    """``x`` as something that gives rows by number, without copying and without reading what lies in a file."""
    if isinstance(x, StoredRows):
        return x
    if is_stored(x) and len(x.shape):
        return MappedRows(x) if isinstance(x, np.memmap) else StoredRows(x)
    if isinstance(x, np.ndarray):
        return x
    if is_frame(x):  # each value of a column alone is a sample with one feature
        array = frame_to_array(x)
        return array[:, None] if array.ndim == 1 else array
    if hasattr(x, "tocsr"):
        return x.tocsr()
    if isinstance(x, (Tensor, Variable)) or is_array(x):
        array = as_array(x)
        return array if isinstance(array, np.ndarray) else DeviceRows(array)
    return as_array(x)


def is_stored(x):
    """Whether ``x`` lies in a file: an HDF5 dataset, another array that reads only what one asks for, a memory map."""
    if isinstance(x, np.ndarray):
        return isinstance(x, np.memmap) and _mapping(x) is not None
    return isinstance(x, StoredRows) or all(hasattr(x, name) for name in ("shape", "dtype", "chunks", "__getitem__"))


def rows_at(rows, index):
    """The rows at a slice or at an array of numbers, as an array in a batch's dtype."""
    # `take` needs a third of the time that indexing needs for few rows, but copies all rows of what is not contiguous.
    quick = isinstance(index, np.ndarray) and isinstance(rows, np.ndarray) and rows.flags.c_contiguous
    return as_array(rows.take(index, 0) if quick else rows[index])


class DeviceRows:
    """Rows of an array that lives on a device. Batches are copies: what is recorded for one place in memory serves for all of them."""

    def __init__(self, array):
        self.array, self.shape = array, array.shape

    def __getitem__(self, index):
        return active.xp.rows([self.array], index if isinstance(index, slice) else active.xp.asarray(index))[0]


def on_device(data):
    """The data in a structure as :class:`DeviceRows`, None where the device has no room for all of it or lacks a dtype."""
    leaves = [x for x in tree.flatten(data) if x is not None]
    if not all(isinstance(x, DeviceRows) or (type(x) is np.ndarray and x.dtype.kind in "biuf") for x in leaves):
        return None
    if not active.xp.keeps(sum(x.nbytes for x in leaves if type(x) is np.ndarray)):
        return None

    def brought(x):
        array = active.xp.asarray(as_array(x)) if type(x) is np.ndarray else None
        return x if array is None else DeviceRows(array)

    return tree.map_structure(brought, data, none_is_leaf=False)


class StoredRows:
    """Rows of an array in a file, of which only those are read that a slice asks for."""

    def __init__(self, stored, start=0, stop=None):
        self.stored, self.start = stored, start
        self.dtype = np.dtype(stored.dtype)
        self.shape = ((stored.shape[0] if stop is None else stop) - start, *stored.shape[1:])

    def __getitem__(self, index):
        out = np.empty((index.stop - index.start, *self.shape[1:]), self.dtype)
        self.read(index.start, out)
        return out

    def read(self, start, out):
        """Read as many rows as ``out`` has, from ``start`` on, into it."""
        out[...] = self.stored[self.start + start : self.start + start + len(out)]

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self[0 : self.shape[0]], dtype)

    def between(self, start, stop):
        """Some of the rows, not read yet."""
        return type(self)(self.stored, self.start + start, self.start + stop)

    @property
    def row_bytes(self):
        """Bytes of a row."""
        return self.dtype.itemsize * int(np.prod(self.shape[1:], dtype="int64"))

    @property
    def chunk_rows(self):
        """Rows that lie together, and are read and unpacked as a whole; 1 where any slice can be read by itself."""
        chunks = getattr(self.stored, "chunks", None)
        return int(np.ravel(chunks[0])[0]) if chunks else 1  # dask lists every chunk's size


class MappedRows(StoredRows):
    """Rows of a memory map, read so that the pages don't stay in this process's memory."""

    def read(self, start, out):
        mapped = self.stored[self.start + start : self.start + start + len(out)]
        out[...] = mapped
        _let_go(mapped, self.stored)


def _mapping(array):
    """The memory map that an array is a view of, if it is one."""
    while isinstance(array, np.ndarray):
        array = array.base
    return array if isinstance(array, mmap.mmap) else None


def _let_go(mapped, array):
    """Give the pages of some rows back to the system, which has them in the file; private changes have no other place."""
    if array.mode not in ("r", "r+", "w+") or not hasattr(mmap, "MADV_DONTNEED"):
        return
    mapping, first, length = _mapping(array), 0, 0
    if mapped.flags.c_contiguous:
        begin = np.frombuffer(mapping, "uint8").__array_interface__["data"][0]
        first = mapped.__array_interface__["data"][0] - begin
        length = mapped.nbytes
    first, last = first // mmap.PAGESIZE * mmap.PAGESIZE, first + (length or len(mapping))
    mapping.madvise(mmap.MADV_DONTNEED, first, min(last, len(mapping)) - first)
