"""Batches of arrays in files, HDF5 datasets and memory maps, which may be larger than memory: read while the model trains."""

import contextlib
from collections import deque

import numpy as np

from kerasish import tree
from kerasish.backend.arrays import active
from kerasish.data.ahead import by_threads
from kerasish.data.arrays import ArrayBatches
from kerasish.data.batches import with_class_weight
from kerasish.data.rows import StoredRows, as_rows, rows_at

BLOCK_BYTES = 256 << 10  # about what is read at once of rows that follow each other in the file
WINDOW_BYTES = 16 << 20  # about what the blocks have together that are in memory at the same time,
WINDOW_BLOCKS = 4  # unless so many are more


class StreamedBatches(ArrayBatches):
    """Rows of arrays of which at least one lies in a file, read a window at a time, the next one ahead by a thread.

    ``shuffle=True`` draws for each epoch an order of the blocks, which are whole chunks of the file and of which a window has
    many, and mixes the rows within each window: every row comes once, in an order that NumPy's global seed fixes, though not in
    the one that arrays have. In memory are two windows of about ``WINDOW_BYTES``; more, if a single chunk is larger.
    """

    def iterate(self, start=0):
        seed = int(np.random.randint(2**31 - 1)) if self.shuffle else None
        return self._stream(seed, start)

    def peek(self):
        rows = min(self.batch_size, self.num_rows)
        return self._batch([_Window(self.data, [(0, rows)], 0, _buffers(self.data, rows)).rows(0, rows)])

    def _stream(self, seed, start):
        spare = deque()  # memory of windows that are done: fresh memory would cost as much time as reading
        with contextlib.closing(self._windows(seed, start * self.batch_size, spare)) as windows:
            window = None
            for number in range(start, self.num_batches):
                at, stop = number * self.batch_size, min((number + 1) * self.batch_size, self.num_rows)
                pieces = []
                while at < stop:
                    window = window or next(windows)
                    until = min(stop, window.stop)
                    pieces.append(window.rows(at, until))
                    at = until
                    if at == window.stop:
                        spare.append(window.buffers)
                        window = None
                yield self._batch(pieces, [seed, number] if self.shuffle == "batch" else None)

    def _batch(self, pieces, seed=None):
        batch = pieces[0] if len(pieces) == 1 else tree.map_structure(_joined, *pieces, none_is_leaf=False)
        if seed is not None:
            order = np.random.default_rng(seed).permutation(sum(_length(piece) for piece in pieces))
            batch = tree.map_structure(lambda rows: rows_at(as_rows(rows), order), batch, none_is_leaf=False)
        return with_class_weight(batch, self.class_weight)

    def _windows(self, seed, row, spare):
        """The windows of a pass from the one on that has the pass's given row."""
        blocks, count = self._blocks()
        shuffled = self.shuffle and self.shuffle != "batch"
        if shuffled:
            blocks = blocks[np.random.default_rng(seed).permutation(len(blocks))]
        groups = [blocks[i : i + count] for i in range(0, len(blocks), count)]
        sizes = [int(np.diff(group).sum()) for group in groups]
        stops = np.cumsum(sizes)

        def read(number):
            buffers = spare.popleft() if spare else _buffers(self.data, max(sizes))
            return _Window(self.data, groups[number], int(stops[number]) - sizes[number], buffers, [seed, number] if shuffled else None)

        return by_threads(read, range(int(np.searchsorted(stops, row, side="right")), len(groups)), workers=1, ahead=1)

    def _blocks(self):
        """The first row and the one behind the last of each block, and how many blocks a window has.

        Blocks are whole chunks of the array that has the largest rows; pieces of others' chunks cost little to read again.
        """
        stored = [rows for rows in tree.flatten(self.data) if isinstance(rows, StoredRows)]
        largest, row_bytes = max(stored, key=lambda rows: rows.row_bytes), max(1, sum(rows.row_bytes for rows in stored))
        chunk = largest.chunk_rows
        size = chunk * max(1, round(BLOCK_BYTES / (chunk * row_bytes)))
        edges = np.unique(np.arange(-(largest.start % size), self.num_rows + size, size).clip(0, self.num_rows))
        return np.stack([edges[:-1], edges[1:]], axis=1), max(WINDOW_BLOCKS, WINDOW_BYTES // (size * row_bytes))


class _Window:
    """The rows of some blocks, in memory: those from ``first`` to ``stop`` of a pass; mixed if there is a seed."""

    def __init__(self, data, blocks, first, buffers, seed=None):
        numbers = np.concatenate([np.arange(*block) for block in blocks])
        self.first, self.stop, self.buffers = first, first + len(numbers), buffers
        self._order = np.arange(len(numbers)) if seed is None else np.random.default_rng(seed).permutation(len(numbers))
        self._numbers, self._data = numbers, data
        tree.map_structure(lambda rows, buffer: _read(rows, blocks, buffer), data, buffers, none_is_leaf=False)

    def rows(self, start, stop):
        """The data's rows from ``start`` to ``stop`` of the pass, as fresh arrays."""
        here = self._order[start - self.first : stop - self.first]

        def taken(rows, buffer):
            return rows_at(rows, self._numbers[here]) if buffer is rows else rows_at(buffer, here)

        return tree.map_structure(taken, self._data, self.buffers, none_is_leaf=False)


def _buffers(data, count):
    """Memory for so many rows of all that lies in files; what is in memory stands for itself."""
    return tree.map_structure(
        lambda rows: np.empty((count, *rows.shape[1:]), rows.dtype) if isinstance(rows, StoredRows) else rows, data, none_is_leaf=False
    )


def _read(rows, blocks, buffer):
    """Read the blocks' rows, if they lie in a file, next to each other into the buffer."""
    at = 0
    for start, stop in blocks if isinstance(rows, StoredRows) else ():
        rows.read(int(start), buffer[at : at + stop - start])
        at += stop - start


def _joined(*pieces):
    xp = np if isinstance(pieces[0], np.ndarray) else active.xp
    return xp.concatenate(pieces)


def _length(piece):
    return next(leaf for leaf in tree.flatten(piece) if leaf is not None).shape[0]
