"""Batches for a GPU: copied there while it works on the one before, or taken from data that is there already."""

import collections
import functools

import numpy

from kerasish import tree


def uploaded(arrays, batches):
    """Each batch on the device, copied from page-locked memory in a stream of its own while the one before is worked on.

    Device memory is taken in the stream that computes, and the copy waits for what that stream was told until then, so no memory is
    written that a kernel still reads. A page-locked block is written again when its copy has ended.
    """
    upload, waiting = _Upload(arrays), collections.deque()
    try:
        for batch in batches:
            waiting.append(upload.begin(batch))
            if len(waiting) == 2:
                yield upload.arrived(waiting.popleft())
        while waiting:
            yield upload.arrived(waiting.popleft())
    finally:
        upload.stream.synchronize()  # nothing may still be written to memory that others get
        getattr(batches, "close", lambda: None)()


class _Upload:
    """A stream for copies and the page-locked blocks that they are made from, two in turn."""

    def __init__(self, arrays):
        self.arrays, self.cuda = arrays, arrays.module.cuda
        self.stream, self.blocks, self.turn = self.cuda.Stream(non_blocking=True), [(None, None)] * 2, 0

    def begin(self, batch):
        """Start the copies of a batch; what will be the batch, and the event of its arrival."""
        hosts = [x for x in tree.flatten(batch) if self._copied(x)]
        if not hosts:
            return batch, None
        places, nbytes = [], 0
        for x in hosts:
            places.append(nbytes)
            nbytes += -(-x.nbytes // 64) * 64
        locked, copied = self.blocks[self.turn]
        if copied is not None:
            copied.synchronize()
        if locked is None or locked.size < nbytes:
            locked = self.arrays.extra.empty_pinned(nbytes, numpy.uint8)
        memory = self.arrays.memory(nbytes)
        for x, start in zip(hosts, places, strict=True):
            numpy.copyto(locked[start : start + x.nbytes].view(x.dtype).reshape(x.shape), x)
        self.stream.wait_event(self.cuda.get_current_stream().record())
        memory.set(locked[:nbytes], stream=self.stream)
        event = self.stream.record()
        self.blocks[self.turn], self.turn = (locked, event), 1 - self.turn
        arrays = iter([memory[i : i + x.nbytes].view(x.dtype).reshape(x.shape) for x, i in zip(hosts, places, strict=True)])
        return tree.map_structure(lambda x: next(arrays) if self._copied(x) else x, batch, none_is_leaf=False), event

    def _copied(self, x):
        return isinstance(x, numpy.ndarray) and x.size > 0 and self.arrays.holds(x.dtype)

    def arrived(self, begun):
        """The batch; what the computing stream is told from now on waits until it is there."""
        batch, event = begun
        if event is not None:
            self.cuda.get_current_stream().wait_event(event)
        return batch


# ---- rows of data that is on the device
_THREADS, _BLOCKS = 256, 1024
_WORDS = {16: "uint4", 8: "unsigned long long", 4: "unsigned", 2: "unsigned short", 1: "unsigned char"}
_CASE = """
    case %(i)d:
        for (; k < count * n%(i)d; k += step) {
            const long long row = k / n%(i)d, from = numbers ? numbers[row] : first + row;
            y%(i)d[k] = x%(i)d[from * n%(i)d + k %% n%(i)d];
        }
        break;"""


@functools.cache
def rows_source(words):
    """CUDA C that copies rows of several arrays, one along the grid's second axis for each; ``words``: bytes that are copied at once."""
    parameters = "".join(f", const {_WORDS[w]} *x{i}, {_WORDS[w]} *y{i}, long long n{i}" for i, w in enumerate(words))
    return f"""extern "C" __global__ void rows(const long long *numbers, long long first, long long count{parameters}) {{
    long long k = (long long)blockIdx.x * {_THREADS} + threadIdx.x, step = (long long)gridDim.x * {_THREADS};
    switch (blockIdx.y) {{{"".join(_CASE % {"i": i} for i in range(len(words)))}
    }}
}}"""


class Rows:
    """Rows of arrays of a device by their numbers, by one launch for all arrays."""

    def __init__(self, module):
        self.module, self._kernels = module, {}

    def __call__(self, arrays, numbers):
        """New arrays. ``numbers``: 64-bit integers on the device, or a slice."""
        ordered = isinstance(numbers, slice)
        count, first = (numbers.stop - numbers.start, numbers.start) if ordered else (len(numbers), 0)
        made, words, args, most = [], [], [0 if ordered else numbers, first, count], 1
        for x in arrays:
            y = self.module.empty((count, *x.shape[1:]), x.dtype)
            nbytes = y.nbytes // max(count, 1)
            word = next(w for w in _WORDS if nbytes % w == 0 and x.data.ptr % w == 0)
            made.append(y)
            words.append(word)
            args += [x, y, nbytes // word]
            most = max(most, count * nbytes // word)
        if not any(y.size for y in made):
            return made
        key = tuple(words), self.module.cuda.get_device_id()
        if key not in self._kernels:
            self._kernels[key] = self.module.RawKernel(rows_source(key[0]), "rows")
        grid = min(-(-most // _THREADS), _BLOCKS), len(made)
        self._kernels[key](grid, (_THREADS,), tuple([numpy.int64(a) if type(a) is int else a for a in args]))
        return made
