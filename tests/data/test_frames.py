"""Data frames of several libraries, whole and by columns, as inputs, targets and weights."""

import sys

import numpy as np
import pandas
import polars
import pyarrow
import pytest

import kerasish as keras
from kerasish.data import as_batches, train_validation_split
from kerasish.data.frames import frame_to_array, is_frame

COLUMNS = {"a": [1.0, 2.5, 3.0], "b": [4, 5, 6], "yes": [True, False, True]}
ARRAY = np.array([[1.0, 4, 1], [2.5, 5, 0], [3.0, 6, 1]])
LIBRARIES = {"pandas": pandas.DataFrame, "polars": polars.DataFrame, "pyarrow": pyarrow.table}
each_library = pytest.mark.parametrize("frame", LIBRARIES.values(), ids=LIBRARIES)


@each_library
def test_a_table_is_one_array(frame):
    table = frame(COLUMNS)
    assert is_frame(table)
    np.testing.assert_array_equal(frame_to_array(table), ARRAY)
    (batch,) = as_batches(table)
    assert batch.dtype == "float32" and batch.shape == (3, 3)
    (batch,) = as_batches(frame({"b": [4, 5], "c": [1, 2]}))
    assert batch.dtype == "int64"


@each_library
def test_a_column_is_one_feature_per_sample(frame):
    table = frame(COLUMNS)
    ((x, y, weight),) = as_batches({name: table[name] for name in COLUMNS}, table["b"], table["a"])
    assert {name: column.shape for name, column in x.items()} == dict.fromkeys(COLUMNS, (3, 1))
    assert y.shape == weight.shape == (3, 1) and x["yes"].dtype == bool and y[:, 0].tolist() == COLUMNS["b"]


@each_library
def test_text_and_missing_numbers(frame):
    assert frame_to_array(frame({"a": ["x", "yz"], "b": ["p", "q"]})).tolist() == [["x", "p"], ["yz", "q"]]
    np.testing.assert_array_equal(frame_to_array(frame({"a": [1, None, 3]})), [[1], [np.nan], [3]])
    np.testing.assert_array_equal(frame_to_array(frame({"a": [1.5, None], "b": [True, None]})), [[1.5, 1], [np.nan, np.nan]])


def test_nullable_and_categorical_columns_of_pandas():
    table = pandas.DataFrame({"a": pandas.array([1, None], dtype="Int64"), "b": pandas.Categorical([2, 1])})
    np.testing.assert_array_equal(frame_to_array(table), [[1, 2], [np.nan, 1]])


def test_missing_truth_values_and_names_that_differ_by_kind_alone():
    table = pandas.DataFrame({1: pandas.array([True, None], dtype="boolean"), "1": [3.0, 4.0]})
    np.testing.assert_array_equal(frame_to_array(table), [[1, 3], [np.nan, 4]])


def test_a_column_of_arrays():
    column = polars.Series("images", np.arange(12.0).reshape(3, 4))
    (batch,) = as_batches(column)
    np.testing.assert_array_equal(batch, np.arange(12.0).reshape(3, 4))
    np.testing.assert_array_equal(frame_to_array(pandas.Series([np.ones(2), np.zeros(2)])), [[1, 1], [0, 0]])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (polars.LazyFrame(COLUMNS), r"polars.LazyFrame is a query.*collect\(\)"),
        (polars.DataFrame({"a": ["x"], "b": [1]}), r"polars.DataFrame become one array if.*\{'a': 'text', 'b': 'numbers'\}.*dict of columns"),
        (pandas.DataFrame({"when": pandas.to_datetime(["2020-01-01"])}), "Column 'when' of type Datetime.* holds neither numbers nor text"),
        (pyarrow.table({"a": ["x", None]}), "Column 'a' of type String holds neither numbers nor text without gaps"),
        (pandas.DataFrame({"a": [{}]}), "Column 'a' of type Object holds neither"),
        (polars.DataFrame({"a": [[1, 2], [3]]}), "Column 'a' of type List.* holds neither"),
        (pandas.DataFrame(index=range(3)), "has no columns"),
    ],
)
def test_what_is_no_array_is_told(table, message):
    with pytest.raises(ValueError, match=message):
        as_batches(table)


def test_narwhals_may_be_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "narwhals", None)
    with pytest.raises(ModuleNotFoundError, match=r'pandas.DataFrame, install narwhals: pip install "kerasish\[frames\]"'):
        as_batches(pandas.DataFrame(COLUMNS))


def test_only_frames_are_frames():
    class DataFrame:
        pass

    assert not any(map(is_frame, [np.ones(3), DataFrame(), {"a": 1}, pandas.Index([1]), pyarrow.array([1])]))


@each_library
def test_training_on_frames(frame):
    def trained(x, y, weight, **options):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="zeros")])
        model.compile("sgd", "mse", run_eagerly=True)
        model.fit(x, y, sample_weight=weight, shuffle=False, verbose=0, **options)
        return np.concatenate([np.ravel(w) for w in model.get_weights()])

    table, target = frame(COLUMNS), frame({"y": [1.0, 2.0, 3.0]})
    expected = trained(ARRAY, np.array([[1.0], [2], [3]]), np.array([1.0, 2.5, 3.0]), validation_split=0.4)
    np.testing.assert_array_equal(trained(table, target["y"], table["a"], validation_split=0.4), expected)
    (x, _, _), (rest, _, _) = train_validation_split((table, None, None), 0.4)
    assert len(x) == 1 and len(rest) == 2
