"""NumPy arrays."""

import functools
import math

import numpy

from kerasish.backend.arrays.base import Arrays

try:  # what numpy.errstate does, in an eighth of its time: it would cost as much as a small kernel
    from numpy._core.umath import _extobj_contextvar, _make_extobj

    _silence, _unsilence = functools.partial(_extobj_contextvar.set, _make_extobj(all="ignore")), _extobj_contextvar.reset
except ImportError:  # a NumPy that keeps it elsewhere

    def _silence():
        return numpy.seterr(all="ignore")

    def _unsilence(token):
        numpy.seterr(**token)


class NumpyArrays(Arrays):
    name = "numpy"
    module = numpy
    array_types = (numpy.ndarray, numpy.generic)

    silence, unsilence = staticmethod(_silence), staticmethod(_unsilence)

    def matmul(self, a, b, out=None):
        y = self.module.matmul(a, b, out=out)
        return y if y.dtype == a.dtype or a.dtype != b.dtype else y.astype(a.dtype)  # bfloat16, which NumPy widens

    def to_numpy(self, array):
        return numpy.asarray(array)

    def scatter_add(self, target, index, values):
        """``numpy.add.at`` is two to four times faster on one flat axis than on rows: add there."""
        places = _flat_places(target, index) if target.flags.c_contiguous and target.ndim > 1 else None
        if places is None:
            numpy.add.at(target, index, values)
        else:
            values = numpy.broadcast_to(values, places.shape)
            numpy.add.at(target.reshape(-1), places.reshape(-1), values.reshape(-1))
        return target

    def random_bits(self, key, size):
        key = numpy.asarray(key, dtype=numpy.uint64)
        bits = numpy.random.Philox(counter=0, key=key).random_raw(math.ceil(size / 2))
        return bits.view(numpy.uint32)[:size]


def _flat_places(target, index):
    """For each element of ``target[index]`` its place in the flattened target; None for an index with slices or masks."""
    indices = index if isinstance(index, tuple) else (index,)
    if not indices or not all(isinstance(i, numpy.ndarray) and i.dtype.kind in "iu" for i in indices):
        return None
    sizes, places = target.shape[: len(indices)], 0
    for i, n in zip(indices, sizes, strict=True):
        if i.size and not (i.min() >= -n and i.max() < n):
            raise IndexError(f"an index is out of bounds for an axis of size {n}")
        places = places * n + numpy.where(i < 0, i + n, i).astype(numpy.int64)
    rest = target.shape[len(indices) :]
    return places.reshape(places.shape + (1,) * len(rest)) * math.prod(rest) + numpy.arange(math.prod(rest)).reshape(rest)
