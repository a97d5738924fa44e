"""Generators, and objects of other libraries that are iterables of batches."""

import itertools
import sys

import numpy as np
import pytest
import scipy.sparse

from kerasish.data import as_batches, pack_x_y_sample_weight, unpack_x_y_sample_weight
from kerasish.data.iterables import IterableBatches, IteratorBatches

X, Y = np.ones((2, 3)), np.zeros(2)


class Loader:
    """Looks like PyTorch's DataLoader: batches are lists, and one can iterate again."""

    def __init__(self, batches, length=True):
        self.batches = batches
        if length:
            self.__class__ = type("Loader", (Loader,), {"__len__": lambda self: len(self.batches)})

    def __iter__(self):
        return iter(self.batches)


class Dataset(Loader):
    """Looks like a tf.data.Dataset."""

    def __init__(self, batches, cardinality):
        super().__init__(batches, length=False)
        self.cardinality = lambda: cardinality


class Torch:
    """Looks like a tensor of PyTorch that lives on a device and has a gradient."""

    def __init__(self, array, ready=False):
        self.array, self.ready, self.shape = array, ready, array.shape

    def detach(self):
        return self

    def cpu(self):
        return Torch(self.array, True)

    def __array__(self, dtype=None, copy=None):
        assert self.ready, "can't convert a tensor on a device that requires grad"
        return self.array


def test_a_generator_is_read_no_further_than_asked():
    read = []

    def generate():
        for i in range(5):
            read.append(i)
            yield X * i, Y

    batches = as_batches(generate())
    assert isinstance(batches, IteratorBatches) and batches.num_batches is None
    assert read == [0]
    assert batches.peek()[0].sum() == 0
    first = iter(batches)
    assert [next(first)[0][0, 0] for _ in range(2)] == [0, 1]
    first.close()
    assert [batch[0][0, 0] for batch in batches] == [2, 3, 4]  # closing our iterator does not end the user's generator
    assert batches.exhausted()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (iter([]), "must yield at least one batch"),
        (iter([[X, Y]]), "must return a tuple"),
        (iter([(X, Y, Y, Y)]), r"\(inputs, targets, sample_weights\)"),
    ],
)
def test_generator_errors(data, message):
    with pytest.raises(ValueError, match=message):
        list(as_batches(data))


@pytest.mark.parametrize(
    ("data", "count"),
    [(Loader([[X, Y]] * 3), 3), (Loader([[X, Y]] * 3, length=False), None), (Dataset([(X, Y)], 1), 1), (Dataset([(X, Y)], -2), None)],
)
def test_iterables_can_be_repeated(data, count):
    batches = as_batches(data)
    assert isinstance(batches, IterableBatches) and batches.num_batches == count
    assert len(list(batches)) == len(list(batches)) == len(data.batches)
    for batch in batches:
        assert isinstance(batch, tuple) and [a.dtype.name for a in batch] == ["float32", "float32"]


def test_a_batch_may_be_a_dict_or_an_array():
    (batch,) = as_batches(Loader([{"a": X}]))
    assert list(batch) == ["a"]
    (batch,) = as_batches(Loader([X]))
    assert batch.shape == (2, 3)
    with pytest.raises(ValueError, match="Loader must return a tuple .* or a dict"):
        list(as_batches(Loader([3])))


def test_tensors_of_other_libraries_become_arrays():
    ((x, _),) = as_batches(Loader([(Torch(X), Torch(Y))]))
    assert isinstance(x, np.ndarray) and x.dtype == "float32"
    (batch,) = as_batches(Torch(X), batch_size=2)
    np.testing.assert_array_equal(batch, X)


class Sparse:
    """Looks like a tf.SparseTensor."""

    shape, dense_shape, indices, values = (2, 3), [2, 3], [[0, 1], [1, 2]], np.array([5.0, 6.0])


class Ragged:
    """Looks like a tf.RaggedTensor."""

    shape, row_splits = (2, None), [0, 1, 3]


class Half(Torch):
    """Looks like a tensor of PyTorch in bfloat16, which NumPy doesn't know, and a sparse one."""

    dtype, is_sparse = "torch.bfloat16", True

    def cpu(self):
        return self

    def to_dense(self):
        self.is_sparse = False
        return self

    def float(self):
        assert not self.is_sparse
        return self.array


def test_sparse_tensors_become_dense():
    expected = [[0, 5, 0], [0, 0, 6]]
    for batches in (as_batches(Loader([(Sparse(), Y)])), as_batches(Sparse(), Y)):
        ((x, _),) = batches
        assert x.tolist() == expected
    ((x,),) = as_batches(Loader([[scipy.sparse.coo_matrix(expected)]]))
    assert x.tolist() == expected
    ((x,),) = as_batches(Loader([(Half(X),)]))
    np.testing.assert_array_equal(x, X)


def test_what_is_no_batch_of_arrays_is_told():
    for batches in (Loader([(Ragged(),)]), (batch for batch in [(Ragged(),)])):
        with pytest.raises(ValueError, match=r"Ragged has rows of different lengths.*to_tensor\(\)"):
            list(as_batches(batches))
    with pytest.raises(ValueError, match="at least one axis.*Received a scalar: 3"):
        list(as_batches(Loader([(X, 3)])))


def test_a_length_without_end_is_none():
    class Forever:
        def __len__(self):
            return sys.maxsize

        def __iter__(self):
            return itertools.repeat(X)

    assert as_batches(Forever()).num_batches is None


def test_class_weights_work_for_any_data():
    expected = [1.0, 5.0]
    for data in (iter([(X, np.array([0, 1]))]), Loader([(X, np.array([0, 1]))])):
        ((_, _, weight),) = as_batches(data, class_weight={1: 5.0})
        assert weight.tolist() == expected


@pytest.mark.parametrize("name", ["y", "sample_weight"])
@pytest.mark.parametrize(("data", "kind"), [(Loader([]), "Loader"), (iter([(X,)]), "generator")])
def test_targets_belong_into_the_data(data, kind, name):
    with pytest.raises(ValueError, match=f"With `x` a {kind}, `{name}` should not be passed"):
        as_batches(data, **{name: Y})


@pytest.mark.parametrize(
    ("data", "unpacked"),
    [(1, (1, None, None)), ((1,), (1, None, None)), ([1, 2], (1, 2, None)), ((1, 2, 3), (1, 2, 3)), ({"a": 1}, ({"a": 1}, None, None))],
)
def test_unpack(data, unpacked):
    assert unpack_x_y_sample_weight(data) == unpacked


def test_pack():
    assert pack_x_y_sample_weight(1) == 1 and pack_x_y_sample_weight([1]) == ([1],)
    assert pack_x_y_sample_weight(1, 2) == (1, 2) and pack_x_y_sample_weight(1, 2, 3) == (1, 2, 3)
    assert pack_x_y_sample_weight(1, None, 3) == (1, None, 3)
    with pytest.raises(ValueError, match="4 items"):
        unpack_x_y_sample_weight((1, 2, 3, 4))
