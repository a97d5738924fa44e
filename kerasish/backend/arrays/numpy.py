"""NumPy arrays."""

import collections
import functools
import math
import sys

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
    block = 1 << 20  # half of a core's second cache: what these bytes are combined with and give has room there too

    silence, unsilence = staticmethod(_silence), staticmethod(_unsilence)

    def matmul(self, a, b, out=None):
        y = self.module.matmul(a, b, out=out)
        return y if y.dtype == a.dtype or a.dtype != b.dtype else y.astype(a.dtype)  # bfloat16, which NumPy widens

    def memory(self, nbytes):
        block = numpy.empty(nbytes + 64, numpy.uint8) if nbytes < _WORTH_KEEPING else _used_again(nbytes + 64)
        start = -block.ctypes.data % 64
        return block[start : start + nbytes]

    def to_numpy(self, array):
        return numpy.asarray(array)

    def sum(self, x, axis=None, dtype=None, out=None, keepdims=False):
        """NumPy is slow where the last axis is short: over the first axes add long rows of several, over the last ones use einsum."""
        if x.ndim > 1 and not x.flags.c_contiguous:
            x = self.module.ascontiguousarray(x)  # so that the order of the sum depends on nothing but the shape
        leading = _leading(x, axis, dtype) if type(axis) is tuple else None
        if leading is None:
            return x.sum(axis=axis, dtype=dtype, out=out, keepdims=keepdims)
        axes = [a % x.ndim for a in axis]
        terms = math.prod([x.shape[a] for a in axes])
        y = _sum_rows(x.reshape(terms, -1)) if leading else self.module.einsum("ij->i", x.reshape(-1, terms))
        y = y.reshape([1 if a in axes else n for a, n in enumerate(x.shape) if keepdims or a not in axes])
        if out is None:
            return y
        out[...] = y
        return out

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


_WORTH_KEEPING, _MOST_BYTES, _MOST_BLOCKS = 1 << 17, 1 << 27, 32
_blocks: collections.deque = collections.deque()


def _alone():
    """What ``sys.getrefcount`` says in this Python of an object that one local variable refers to."""
    block = numpy.empty(1)
    return sys.getrefcount(block)


_ALONE = _alone()


def _used_again(nbytes):
    """A block that nobody refers to any more, or a new one: to touch fresh memory costs more than most kernels do."""
    for _ in range(len(_blocks)):
        try:
            block = _blocks.popleft()  # no other thread sees it now
        except IndexError:
            break
        free = nbytes <= block.size <= nbytes + nbytes // 8 and sys.getrefcount(block) == _ALONE
        _blocks.append(block)
        if free:
            return block
    block = numpy.empty(nbytes, numpy.uint8)
    _blocks.append(block)
    while len(_blocks) > _MOST_BLOCKS or sum(b.size for b in list(_blocks)) > _MOST_BYTES:
        _blocks.popleft()
    return block


def _leading(x, axes, dtype):
    """Whether a sum goes over the first axes (True) of many or the last (False) of single or double numbers; None for any other.

    How many rows there are makes no difference over the last axes: a block of rows must give what all together give.
    """
    sizes = [(i, n) for i, n in enumerate(x.shape) if n != 1 or i == 0]  # other axes of size 1 make no difference either
    summed = {a % x.ndim for a in axes}
    along = [i in summed for i, _ in sizes]
    n, m = len(along), sum(along)
    if not x.size or dtype not in (None, x.dtype) or x.dtype.char not in "fd" or not 0 < m < n or not x.flags.c_contiguous:
        return None
    if all(along[:m]) and math.prod(size for _, size in sizes[m:]) <= 256:
        return True if x.size >= 1 << 15 else None
    return False if all(along[n - m :]) and math.prod(size for _, size in sizes[n - m :]) <= 1024 else None


def _sum_rows(x):
    """Sum of the rows of a matrix. Each sum is made of many parts, which also keeps it exact."""
    together = 1024 // x.shape[1]
    joined = x.shape[0] // together * together
    y = x[:joined].reshape(-1, together * x.shape[1]).sum(axis=0).reshape(together, -1).sum(axis=0)
    if joined < x.shape[0]:
        y += x[joined:].sum(axis=0)
    return y


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
