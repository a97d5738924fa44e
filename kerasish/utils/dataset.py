"""Dataset: elements one after another, and what is done with them on the way (what people use of ``tf.data.Dataset``).

An element is an array, or a tuple or dict of elements. Inside, arrays are NumPy's, so that files are read and batches are put
together without a thought of devices; whoever iterates, and every function given to ``map`` and ``filter``, sees tensors.
"""

import contextlib
import functools
import itertools
import math
import operator
import os
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from kerasish.backend.autodiff.gradient import no_grad
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.backend.autodiff.variable import Variable
from kerasish.data.ahead import by_threads

AUTOTUNE = -1
INFINITE, UNKNOWN = -1, -2  # tf.data's numbers for cardinalities that are none
MAX_THREADS = 16


class ObjectTensor:
    """What no tensor holds, text or arrays of different lengths, with what scripts do with tensors: ``numpy()``, rows, ``shape``.

    >>> texts = ObjectTensor(np.array(["ab", "c"], object))
    >>> texts.numpy().tolist(), texts[1].numpy(), texts.dtype
    (['ab', 'c'], 'c', 'string')
    """

    def __init__(self, array):
        self.array = array

    shape = property(lambda self: self.array.shape)
    ndim = property(lambda self: self.array.ndim)
    dtype = property(lambda self: "string" if all(isinstance(item, str) for item in self.array.flat) else "object")

    def numpy(self):
        """An array of objects, or the one object where there is no axis."""
        return self.array[()]

    def tolist(self):
        """The objects in nested lists."""
        return self.array.tolist()

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array, dtype, copy=copy)

    def __len__(self):
        return len(self.array)

    def __getitem__(self, key):
        found = self.array[key]
        return ObjectTensor(found if isinstance(found, np.ndarray) and found.dtype == object else _single(found))

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __repr__(self):
        return f"ObjectTensor({self.array!r})"

    def __str__(self):
        return str(self.array)


@dataclass(frozen=True)
class TensorSpec:
    """Shape, with None for sizes that vary, and dtype of a part of an element; "string" for text, "object" for other objects."""

    shape: tuple
    dtype: str


class Dataset:
    """Elements that can be gone through any number of times; each method returns a new data set and leaves this one alone.

    ``cardinality`` is the number of elements, -1 for infinitely many, -2 where nobody knows. A data set goes to ``fit``,
    ``evaluate``, ``predict`` and ``adapt`` as it is, once its elements are batches.

    >>> data = Dataset.from_tensor_slices(([1, 2, 3], [0, 1, 0]))
    >>> for x, y in data.map(lambda x, y: (x * 10, y)).batch(2):
    ...     print(x.numpy(), y.numpy())
    [10 20] [0 1]
    [30] [0]
    """

    def __init__(self, elements: Callable[[], Iterator], cardinality=UNKNOWN, batch_size=None, varying=()):
        # `elements` makes a new generator; `varying`: axes that differ from batch to batch, None for all
        self._elements, self._cardinality, self._batch_size, self._varying = elements, cardinality, batch_size, varying

    def _like(self, elements, cardinality):
        """A data set with elements of the same kind."""
        return Dataset(elements, cardinality, self._batch_size, self._varying)

    # ---- where elements come from
    @staticmethod
    def from_tensor_slices(tensors):
        """The rows of an array, or of all arrays in a tuple or dict of arrays: lists are arrays."""
        arrays = _map_leaves(_array, tensors)
        length = _rows_in(arrays)

        def elements():
            if type(arrays) is tuple and all(isinstance(part, np.ndarray) for part in arrays):
                return (row for row in zip(*arrays, strict=True))  # the usual case, in a third of the time
            return (_map_leaves(operator.itemgetter(i), arrays) for i in range(length))

        return Dataset(elements, length)

    @staticmethod
    def from_tensors(tensors):
        """One element: the given one."""
        element = _map_leaves(_array, tensors)
        return Dataset(lambda: (element for _ in range(1)), 1)

    @staticmethod
    def range(*args):
        """The int64 numbers of Python's ``range``."""
        numbers = range(*args)
        return Dataset(lambda: (np.int64(i) for i in numbers), len(numbers))

    @staticmethod
    def zip(*datasets):
        """Tuples of an element from each data set, until the shortest ends; a tuple or a dict of data sets may be given too."""
        structure = datasets[0] if len(datasets) == 1 else datasets
        parts = list(_leaves(structure))
        wrong = [part for part in parts if not isinstance(part, Dataset)]
        if wrong or not parts:
            raise TypeError(f"`zip` expects data sets. Received: {wrong[0] if wrong else structure!r}")

        def elements():
            with contextlib.ExitStack() as stack:
                sources = [stack.enter_context(contextlib.closing(part._elements())) for part in parts]
                for found in zip(*sources, strict=False):
                    place = iter(found)
                    yield _map_leaves(lambda _, place=place: next(place), structure)

        counts = [part._cardinality for part in parts if part._cardinality != INFINITE]
        return Dataset(elements, INFINITE if not counts else UNKNOWN if UNKNOWN in counts else min(counts))

    # ---- what is done with each
    def map(self, map_func, num_parallel_calls=None, deterministic=True):
        """What ``map_func`` returns for each element; the parts of a tuple are its arguments.

        ``num_parallel_calls`` threads work ahead (AUTOTUNE: as many as there are processors, at most 16), the first element
        alone, so that layers are built once. The order stays, which ``deterministic=False`` would allow to change too.
        """
        function, workers = functools.partial(_called, map_func), _threads(num_parallel_calls)

        def elements():
            with contextlib.closing(self._elements()) as source:
                yield from _mapped(function, source, workers)

        return self._like(elements, self._cardinality)

    def filter(self, predicate):
        """The elements for which ``predicate`` is true."""

        def elements():
            with contextlib.closing(self._elements()) as source:
                yield from (element for element in source if bool(_apply(predicate, element)))

        return self._like(elements, INFINITE if self._cardinality == INFINITE else UNKNOWN)

    def enumerate(self, start=0):
        """Pairs ``(number, element)``."""

        def elements():
            with contextlib.closing(self._elements()) as source:
                yield from ((np.int64(i), element) for i, element in enumerate(source, start))

        return Dataset(elements, self._cardinality)

    # ---- batches
    def batch(self, batch_size, drop_remainder=False, num_parallel_calls=None, deterministic=True):
        """``batch_size`` elements at a time, stacked along a new first axis; the last batch may be smaller, or be dropped.

        ``num_parallel_calls`` threads stack (as in :meth:`map`). ValueError where the elements' shapes differ.
        """
        return self._batched(batch_size, drop_remainder, _stacked, (0,), _threads(num_parallel_calls))

    def padded_batch(self, batch_size, drop_remainder=False):
        """Batches of elements of different sizes: zeros, or empty texts, behind what is shorter."""
        return self._batched(batch_size, drop_remainder, _padded, None)

    def _batched(self, batch_size, drop_remainder, put_together, varying, workers=0):
        size = int(batch_size)
        if size < 1:
            raise ValueError(f"`batch_size` must be positive. Received: batch_size={batch_size}")

        def groups(source):
            while group := list(itertools.islice(source, size)):
                if len(group) == size or not drop_remainder:
                    yield group

        def elements():
            with contextlib.closing(self._elements()) as source:
                function = functools.partial(_together, put_together)
                yield from _mapped(function, groups(source), workers)

        count = _counted(self._cardinality, lambda n: n // size if drop_remainder else math.ceil(n / size))
        return Dataset(elements, count, size, varying if varying is None or not drop_remainder else ())

    def unbatch(self):
        """The rows of all elements, one after another."""

        def elements():
            with contextlib.closing(self._elements()) as source:
                for element in source:
                    arrays = _map_leaves(_array, element)
                    for i in range(_rows_in(arrays)):
                        yield _map_leaves(lambda leaf, i=i: np.asarray(leaf)[i], arrays)

        return Dataset(elements, INFINITE if self._cardinality == INFINITE else UNKNOWN)

    # ---- which elements, and in what order
    def shuffle(self, buffer_size, seed=None, reshuffle_each_iteration=True):
        """A random order: each element is drawn from ``buffer_size`` that wait. A seed gives the same orders in every run.

        Every iteration has an order of its own, unless ``reshuffle_each_iteration`` is False. Without a seed NumPy's global
        generator is asked for one, so that ``set_random_seed`` fixes it.
        """
        size, iterations = int(buffer_size), itertools.count()
        if size < 1:
            raise ValueError(f"`buffer_size` must be positive. Received: buffer_size={buffer_size}")
        seed = np.random.randint(2**31) if seed is None else int(seed)

        def elements():
            random = np.random.default_rng((next(iterations) if reshuffle_each_iteration else 0, abs(seed), seed < 0))
            with contextlib.closing(self._elements()) as source:
                waiting = list(itertools.islice(source, size))
                for element in source:
                    i = random.integers(size)
                    yield waiting[i]
                    waiting[i] = element
            order = random.permutation(len(waiting))
            yield from (waiting[i] for i in order)

        return self._like(elements, self._cardinality)

    def take(self, count):
        """The first ``count`` elements; -1 for all."""
        count = int(count)

        def elements():
            with contextlib.closing(self._elements()) as source:
                yield from source if count < 0 else itertools.islice(source, count)

        known = self._cardinality
        return self._like(elements, known if count < 0 else count if known == INFINITE else _counted(known, lambda n: min(n, count)))

    def skip(self, count):
        """All but the first ``count`` elements; -1 for none at all."""
        count = int(count)

        def elements():
            with contextlib.closing(self._elements()) as source:
                yield from () if count < 0 else itertools.islice(source, count, None)

        return self._like(elements, 0 if count < 0 else _counted(self._cardinality, lambda n: max(n - count, 0)))

    def repeat(self, count=None):
        """All elements ``count`` times over; None or -1 for ever."""
        forever = count is None or int(count) < 0

        def elements():
            for _ in itertools.count() if forever else range(int(count)):
                found = False
                with contextlib.closing(self._elements()) as source:
                    for element in source:
                        found = True
                        yield element
                if not found:
                    return

        known = self._cardinality
        return self._like(elements, (INFINITE if known else 0) if forever else _counted(known, lambda n: n * int(count)))

    def concatenate(self, dataset):
        """These elements, then those of another data set."""
        if not isinstance(dataset, Dataset):
            raise TypeError(f"`concatenate` expects a data set. Received: {dataset!r}")

        def elements():
            for part in (self, dataset):
                with contextlib.closing(part._elements()) as source:
                    yield from source

        counts = (self._cardinality, dataset._cardinality)
        return self._like(elements, INFINITE if INFINITE in counts else UNKNOWN if UNKNOWN in counts else sum(counts))

    # ---- when they are made
    def cache(self):
        """Elements kept in memory once they have all been gone through; they can't be written to."""
        kept: list = []

        def elements():
            if kept:
                yield from kept[0]
                return
            seen = []
            with contextlib.closing(self._elements()) as source:
                for element in source:
                    seen.append(_map_leaves(_read_only, element))
                    yield seen[-1]
            kept[:] = [seen]

        return self._like(elements, self._cardinality)

    def prefetch(self, buffer_size):
        """Up to ``buffer_size`` elements made ahead, in a thread (AUTOTUNE: 2), while the last one is worked on."""
        size = int(buffer_size)
        size = 2 if size == AUTOTUNE else size
        if size < 0:
            raise ValueError(f"`buffer_size` must not be negative. Received: buffer_size={buffer_size}")
        return self._like(lambda: _ahead(self._elements, size), self._cardinality) if size else self

    # ---- what comes out
    def __iter__(self):
        with contextlib.closing(self._elements()) as source:
            yield from map(_presented, source)

    def as_numpy_iterator(self):
        """The elements, one by one, with NumPy's arrays and numbers in place of tensors, and text as ``str``."""
        with contextlib.closing(self._elements()) as source:
            yield from (_map_leaves(lambda leaf: _array(leaf)[()], element) for element in source)

    def reduce(self, initial_state, reduce_func):
        """The last ``state = reduce_func(state, element)``."""
        return functools.reduce(reduce_func, self, initial_state)

    def cardinality(self):
        """Number of elements as an int64 tensor, -1 for infinitely many, -2 where it is unknown."""
        return Tensor(np.int64(self._cardinality))

    def __len__(self):
        if self._cardinality < 0:
            raise TypeError(f"The data set has {'no end' if self._cardinality == INFINITE else 'an unknown length'}, so no len().")
        return self._cardinality

    def __bool__(self):
        return True

    @functools.cached_property
    def element_spec(self):
        """:class:`TensorSpec` of every part of an element, of which the first is asked for."""
        with contextlib.closing(self._elements()) as source:
            for element in source:
                return _map_leaves(self._spec, element)
        raise ValueError("The data set is empty: it has no element to tell shapes and dtypes from.")

    def _spec(self, leaf):
        array = _array(leaf)
        shape = tuple(None if self._varying is None or axis in self._varying else n for axis, n in enumerate(array.shape))
        return TensorSpec(shape, ObjectTensor(array).dtype if array.dtype == object else array.dtype.name)

    def __repr__(self):
        count = {INFINITE: "infinite", UNKNOWN: "unknown"}.get(self._cardinality, self._cardinality)
        return f"<Dataset cardinality={count}>"


# ---- elements
def _map_leaves(function, element):
    """As ``tree.map_structure``, but only tuples and dicts are structure: a list is data."""
    if isinstance(element, dict):
        return {key: _map_leaves(function, part) for key, part in element.items()}
    if isinstance(element, tuple):
        parts = [_map_leaves(function, part) for part in element]
        return type(element)(*parts) if hasattr(element, "_fields") else tuple(parts)
    return None if element is None else function(element)


def _leaves(element):
    if isinstance(element, (dict, tuple)):
        for part in element.values() if isinstance(element, dict) else element:
            yield from _leaves(part)
    elif element is not None:
        yield element


def _array(leaf):
    """A part of an element as a NumPy array; text as objects, so that one long text doesn't widen all others."""
    if isinstance(leaf, (Tensor, Variable)):
        return leaf.numpy()
    if isinstance(leaf, ObjectTensor):
        return leaf.array
    if isinstance(leaf, (str, bytes)):
        return _single(leaf)
    array = np.asarray(leaf)
    if array.dtype.kind not in "USOT" or not array.size or not isinstance(array.flat[0], (str, bytes)):
        return array
    texts = np.empty(array.size, object)
    texts[:] = [item.decode() if isinstance(item, bytes) else item for item in array.ravel().tolist()]
    return texts.reshape(array.shape)


def _rows_in(arrays):
    """Length of the first axis, which all arrays of an element have."""
    lengths = {len(leaf) if leaf.ndim else None for leaf in _leaves(arrays)}
    if len(lengths) != 1 or None in lengths:
        shapes = [leaf.shape for leaf in _leaves(arrays)]
        raise ValueError(f"Arrays to be sliced need a first axis, of the same length in all. Received shapes: {shapes}")
    return lengths.pop()


def _single(item):
    """One object as an array without axes."""
    array = np.empty((), object)
    array[()] = item.decode() if isinstance(item, bytes) else item
    return array


def _presented(element):
    """An element as users see it."""
    return _map_leaves(_tensor, element)


def _tensor(leaf):
    if isinstance(leaf, (Tensor, ObjectTensor)):
        return leaf
    array = _array(leaf)
    return ObjectTensor(array) if array.dtype == object else Tensor(array)


def _read_only(leaf):
    array = _array(leaf).view()
    array.flags.writeable = False
    return array


def _apply(function, element):
    """A user's function on an element. Nobody wants gradients of data."""
    with no_grad():
        shown = _presented(element)
        try:
            return function(*shown) if type(shown) is tuple else function(shown)
        except StopIteration as error:  # which would end the data without a word
            raise RuntimeError(f"{function} raised StopIteration for an element of the data set.") from error


def _called(function, element):
    result = _apply(function, element)
    result = tuple(result) if isinstance(result, list) else result  # as in tf.data: several parts, not an array of them
    return _map_leaves(lambda leaf: leaf if isinstance(leaf, Tensor) else _array(leaf), result)


# ---- batches
def _together(put_together, group):
    """The elements of a batch as one, part by part."""
    first = group[0]
    if isinstance(first, dict):
        return {key: _together(put_together, [element[key] for element in group]) for key in first}
    if isinstance(first, tuple):
        parts = [_together(put_together, list(part)) for part in zip(*group, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
    return None if first is None else put_together([_array(leaf) for leaf in group])


def _stacked(arrays):
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise ValueError(f"Elements of different shapes can't be one batch: {sorted(shapes)}. `padded_batch` fills them up.")
    return np.stack(arrays)


def _padded(arrays):
    if len({array.ndim for array in arrays}) > 1:
        raise ValueError(f"Elements of different ranks can't be one batch: shapes {sorted({array.shape for array in arrays})}")
    longest = tuple(max(sizes) for sizes in zip(*(array.shape for array in arrays), strict=True))
    batch = np.full((len(arrays), *longest), "" if arrays[0].dtype == object else 0, arrays[0].dtype)
    for row, array in zip(batch, arrays, strict=True) if longest else ():
        row[tuple(slice(n) for n in array.shape)] = array
    return batch if longest else np.stack(arrays)


# ---- numbers of elements and of threads
def _counted(cardinality, count):
    return cardinality if cardinality < 0 else count(cardinality)


def _threads(parallel):
    if parallel is None:
        return 0
    parallel = int(parallel)
    if parallel == AUTOTUNE:
        return min(os.cpu_count() or 1, MAX_THREADS)
    if parallel < 1:
        raise ValueError(f"`num_parallel_calls` must be positive or AUTOTUNE. Received: num_parallel_calls={parallel}")
    return parallel


# ---- threads
def _mapped(function, source, workers):
    """``map``, in threads where there are to be some, so far ahead that all of them are busy."""
    return by_threads(function, source, workers, ahead=2 * workers, first_alone=True) if workers else map(function, source)


def _ahead(make_source, count):
    """The elements of a source that another thread goes through, ``count`` ahead. It has ended when this generator has."""
    ready: queue.SimpleQueue = queue.SimpleQueue()
    room, stopped = threading.Semaphore(count), threading.Event()

    def work():
        end: BaseException | None = None
        try:
            with contextlib.closing(make_source()) as source:
                for element in source:
                    room.acquire()
                    if stopped.is_set():
                        return
                    ready.put((element, False))
        except BaseException as error:  # whatever it is, it belongs to whoever iterates
            end = error
        ready.put((end, True))

    thread = threading.Thread(target=work, name="kerasish-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            element, ended = ready.get()
            if ended:
                if element is not None:
                    raise element
                return
            room.release()
            yield element
    finally:
        stopped.set()
        room.release()
        thread.join()
