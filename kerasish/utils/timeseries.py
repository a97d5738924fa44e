"""Windows of a series as a data set (``keras.utils.timeseries_dataset_from_array``)."""

import numpy as np

from kerasish.backend.autodiff.tensor import Tensor
from kerasish.utils.dataset import AUTOTUNE, Dataset
from kerasish.utils.folders import check_format


def timeseries_dataset_from_array(
    data, targets, sequence_length, sequence_stride=1, sampling_rate=1, batch_size=128, shuffle=False, seed=None, start_index=None,
    end_index=None, format="tf",
):  # fmt: skip
    """A :class:`Dataset` of windows (batch, sequence_length, ...) of a series of rows (``keras.utils``), with targets if given.

    Windows begin every ``sequence_stride`` rows and take every ``sampling_rate``-th; ``targets[i]`` is that of the window which
    begins at row i. Only the rows from ``start_index`` to ``end_index`` are used. ``batch_size`` None: single windows. Shuffled, each
    epoch has an order of its own, or all the same one with ``format="grain"``.

    >>> windows = timeseries_dataset_from_array(np.arange(6), np.arange(2, 6), sequence_length=3)
    >>> for x, y in windows:
    ...     print(x.tolist(), y.tolist())
    [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]] [2, 3, 4, 5]
    """
    check_format(format)
    _check_indexes(start_index, end_index, len(data))
    for name, value in (("sampling_rate", sampling_rate), ("sequence_stride", sequence_stride)):
        if not 0 < value < len(data):
            raise ValueError(f"`{name}` must be higher than 0 and lower than the length of the data, {len(data)}. Received: {name}={value}")
    rows = slice(start_index or 0, len(data) if end_index is None else end_index)
    series, goals = (None if x is None else (x.numpy() if isinstance(x, Tensor) else np.asarray(x))[rows] for x in (data, targets))
    count = len(range(*rows.indices(len(data)))) - (sequence_length - 1) * sampling_rate
    starts = np.arange(0, count if goals is None else min(count, len(goals)), sequence_stride)
    if shuffle:
        seed = np.random.randint(10**6) if seed is None else seed
        np.random.RandomState(seed).shuffle(starts)
    offsets = np.arange(sequence_length) * sampling_rate

    def windows(start):
        start = start.numpy()
        found = series[start[..., None] + offsets]
        return found if goals is None else (found, goals[start])

    dataset = Dataset.from_tensor_slices(starts)
    if shuffle:
        dataset = dataset.shuffle((batch_size or 128) * 8, seed, reshuffle_each_iteration=format == "tf")
    return (dataset if batch_size is None else dataset.batch(batch_size)).map(windows).prefetch(AUTOTUNE)


def _check_indexes(start, end, length):
    for name, index in (("start_index", start), ("end_index", end)):
        if index and not 0 <= index < length:
            raise ValueError(f"`{name}` must be 0 or greater and lower than the length of the data, {length}. Received: {name}={index}")
    if end and start and end <= start:
        raise ValueError(f"`end_index` must be higher than `start_index`. Received: start_index={start}, end_index={end}")
