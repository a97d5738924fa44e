"""Tables and columns of pandas, polars, pyarrow and their like as arrays, through narwhals."""

import numpy as np

_LIBRARIES = {"pandas", "polars", "pyarrow", "modin", "cudf", "narwhals", "dask", "duckdb", "ibis", "pyspark"}
_KINDS = {"DataFrame", "Series", "LazyFrame", "Table", "ChunkedArray", "DuckDBPyRelation"}


def is_frame(x):
    """Whether ``x`` is a table or a column of a library for data frames; imports none of them."""
    return any(kind.__name__ in _KINDS and kind.__module__.partition(".")[0] in _LIBRARIES for kind in type(x).__mro__)


def frame_to_array(x):
    """A table as an array of shape ``(rows, columns)``, a column as one of shape ``(rows,)``; missing numbers are NaN.

    Raises ValueError for what is not there yet, and for columns that don't go into one array.
    """
    name = f"{type(x).__module__.partition('.')[0]}.{type(x).__name__}"
    try:
        import narwhals
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'To take data from a {name}, install narwhals: pip install "kerasish[frames]". Or pass arrays of it.', name="narwhals"
        ) from error
    data = narwhals.from_native(x, allow_series=True, pass_through=True)
    if isinstance(data, narwhals.Series):
        return _column(data)
    if not isinstance(data, narwhals.DataFrame):
        raise ValueError(f"A {name} is a query, not data. Pass what `collect()` or `compute()` gives.")
    if not data.columns:
        raise ValueError(f"A {name} that has no columns is no data.")
    columns = [_column(column) for column in data.iter_columns()]
    kinds = {
        column: "arrays" if a.ndim > 1 else "text" if a.dtype.kind == "U" else "numbers"
        for column, a in zip(data.columns, columns, strict=True)
    }
    if set(kinds.values()) not in ({"text"}, {"numbers"}):
        raise ValueError(
            f"The columns of a {name} become one array if all hold numbers or all hold text. Received: {kinds}. Pass a dict of "
            "columns instead, one for each input."
        )
    return np.stack(columns, axis=1)


def _column(series):
    array = series.to_numpy()
    if array.dtype == object:
        array = _of_objects(array)
    if array.dtype.kind in "biufU":
        return array
    raise ValueError(f"Column {series.name!r} of type {series.dtype} holds neither numbers nor text without gaps: convert it first.")


def _of_objects(array):
    """What an array of Python objects holds: text, numbers some of which are missing, or arrays of the same shape."""
    if all(isinstance(item, str) for item in array):
        return array.astype(str)
    if all(isinstance(item, (list, tuple, np.ndarray)) for item in array) and len({np.shape(item) for item in array}) == 1:
        return np.stack(array)
    if all(_is_missing(item) or isinstance(item, (bool, int, float, np.number, np.bool_)) for item in array):
        return np.array([np.nan if _is_missing(item) else item for item in array], "float64")
    return array


def _is_missing(item):
    return item is None or type(item).__name__ == "NAType"  # of pandas
