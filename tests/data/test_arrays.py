"""Batches of arrays: the same rows in the same order as Keras gives, from every kind of array."""

import itertools
import tracemalloc

import jax.experimental.sparse
import numpy as np
import pandas
import pytest
import scipy.sparse
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter

import kerasish
from kerasish import config
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor
from kerasish.data import as_batches, train_validation_split
from kerasish.data.arrays import ArrayBatches

X = np.arange(22, dtype="float32").reshape(11, 2)
Y = np.arange(11)
W = np.linspace(0, 1, 11, dtype="float32")


def assert_same(ours, theirs):
    assert type(ours) is type(theirs)
    for a, b in zip(kerasish.tree.flatten(ours), kerasish.tree.flatten(theirs), strict=True):
        np.testing.assert_array_equal(a, np.asarray(b))


@pytest.mark.parametrize("shuffle", [False, True, "batch"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"x": X},
        {"x": X, "y": Y, "batch_size": 4},
        {"x": X, "y": Y, "sample_weight": W, "batch_size": 4},
        {"x": X, "y": Y, "steps": 3},
        {"x": {"a": X, "b": Y}, "y": (Y, W), "batch_size": 5},
        {"x": [X, X], "batch_size": 5},
        {"x": X, "y": {"a": Y, "b": W}, "sample_weight": W, "batch_size": 5},
        {"x": X, "y": Y % 3, "class_weight": {0: 0.5, 2: 3.0}, "batch_size": 4},
        {"x": X, "y": np.eye(3)[Y % 3], "class_weight": {0: 0.5, 2: 3.0}, "batch_size": 4},
        {"x": X, "y": (Y % 3)[:, None], "class_weight": {0: 0.5, 2: 3.0}, "batch_size": 4},
    ],
)
def test_two_epochs_are_keras_s(arguments, shuffle):
    ours, theirs = ArrayBatches(**arguments, shuffle=shuffle), ArrayDataAdapter(**arguments, shuffle=shuffle)
    assert ours.num_batches == theirs.num_batches
    epochs = []
    for again in (ours.__iter__, theirs.get_numpy_iterator):
        np.random.seed(3)
        epochs.append([batch for _ in range(2) for batch in again()])
    for a, b in zip(*epochs, strict=True):
        assert_same(a, b)


@pytest.mark.parametrize(
    "make",
    [
        np.asarray,
        lambda a: a.astype("float64"),
        lambda a: np.asfortranarray(a)[::1],
        lambda a: np.repeat(a, 2, axis=0)[::2],
        Tensor,
        kerasish.Variable,
        lambda a: pandas.DataFrame(a, columns=["value", "b"]),
        scipy.sparse.coo_matrix,
        jax.experimental.sparse.BCOO.fromdense,
    ],
)
@pytest.mark.parametrize("shuffle", [False, True])
def test_any_array_gives_the_same_rows(make, shuffle):
    np.random.seed(0)
    expected = list(ArrayBatches(X, batch_size=4, shuffle=shuffle))
    np.random.seed(0)
    for a, b in zip(ArrayBatches(make(X), batch_size=4, shuffle=shuffle), expected, strict=True):
        assert a.dtype == "float32"
        np.testing.assert_array_equal(a, b)


def test_batches_may_be_kept():
    def kept(shuffle):
        np.random.seed(0)
        return list(ArrayBatches(X, batch_size=4, shuffle=shuffle))

    assert all(np.shares_memory(batch, X) for batch in kept(False))
    mixed = kept(True)
    assert not any(np.shares_memory(a, b) for a in [X, *mixed] for b in mixed if a is not b)
    np.random.seed(0)
    np.testing.assert_array_equal(np.concatenate(mixed), X[np.random.permutation(11)])


@pytest.mark.parametrize("shuffle", [False, True, "batch"])
def test_only_a_batch_s_rows_are_copied(shuffle):
    rows = np.broadcast_to(np.float32(1), (1000, 10_000))  # 40 MB, if anyone copied it
    tracemalloc.start()
    try:
        for _ in itertools.islice(ArrayBatches(rows, batch_size=2, shuffle=shuffle), 3):
            pass
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shuffle", [False, True, "batch"])
def test_peeking_draws_as_an_epoch_does(shuffle):
    batches = ArrayBatches(X, batch_size=4, shuffle=shuffle)
    np.random.seed(0)
    first, state = batches.peek(), np.random.get_state()[1:3]
    np.random.seed(0)
    np.testing.assert_array_equal(next(iter(batches)), first)
    np.testing.assert_equal(np.random.get_state()[1:3], state)


def test_text_stays_text_and_objects_are_refused():
    (batch,) = ArrayBatches(np.array(["a", "b"], dtype=object))
    assert batch.dtype.kind == "U"
    (batch,) = ArrayBatches(np.array(["a", b"\xc3\xa4"], dtype=object))
    assert batch.tolist() == ["a", "ä"]
    (batch,) = ArrayBatches(np.array([b"a", b"bc"]))
    assert batch.tolist() == ["a", "bc"]
    with pytest.raises(ValueError, match=r"Python objects of the types \['dict'\]"):
        list(ArrayBatches(np.array([{}, {}])))


def test_floats_are_in_floatx():
    config.set_floatx("float64")
    try:
        (batch,) = ArrayBatches(X, Y)
    finally:
        config.set_floatx("float32")
    assert batch[0].dtype == "float64" and batch[1].dtype == Y.dtype


def test_split_takes_the_last_rows():
    (x, y, w), (val_x, val_y, val_w) = train_validation_split(({"a": X}, Y, None), 0.2)
    assert len(x["a"]) == len(y) == 8 and w is val_w is None
    np.testing.assert_array_equal(val_y, [8, 9, 10])
    np.testing.assert_array_equal(val_x["a"], X[8:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": X, "y": Y[:9]}, "Data cardinality is ambiguous.*\n'x' sizes: 11\n'y' sizes: 9"),
        ({"x": [X, X[:3]]}, "'x' sizes: 11, 3"),
        ({"x": None}, "`x` is None"),
        ({"x": [[1.0, 2.0], [3.0, 4.0]]}, "nested lists of numbers must be made an array first"),
        ({"x": "text"}, "Unrecognized data type: 'text'"),
        ({"x": 3}, "Unrecognized data type: 3"),
        ({"x": X, "y": [1] * 11}, "Unrecognized data type: 1 .*must be made an array first"),
        ({"x": X, "y": Y, "sample_weight": "text"}, "Unrecognized data type: 'text'"),
        ({"x": np.float32(3)}, "first axis"),
        ({"x": X[:0]}, "no samples"),
        ({"x": X, "batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"x": X, "batch_size": 2.5}, "`batch_size` must be a positive integer"),
        ({"x": X, "y": Y, "sample_weight": W, "class_weight": {0: 1.0}}, "at the same time"),
        ({"x": X, "y": [Y, Y], "class_weight": {0: 1.0}}, "single output"),
        ({"x": X, "class_weight": {0: 1.0}}, "needs its targets"),
        ({"x": X, "y": Y, "class_weight": {"a": 1.0}}, "must be a dict from class"),
        ({"x": X, "y": [Y, Y], "sample_weight": [W]}, "one `sample_weight` array per output"),
        ({"x": X, "y": [Y, Y], "sample_weight": X}, "one number for each sample.*Received: "),
        ({"x": KerasTensor((None, 2))}, "symbolic tensor"),
    ],
)
def test_errors_say_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        as_batches(**arguments)


@pytest.mark.parametrize(
    ("arrays", "fraction", "message"),
    [
        ((X, Y), 1.5, "between 0 and 1"),
        ((X[:1], Y[:1]), 0.5, "not sufficient"),
        ((iter([]), None), 0.5, "needs data with rows.*`validation_data` instead"),
        ((X, Y[:4]), 0.5, "cardinality"),
    ],
)
def test_split_errors(arrays, fraction, message):
    with pytest.raises(ValueError, match=message):
        train_validation_split(arrays, fraction)
