"""Windows of series, against windows cut by hand as Keras's documentation says."""

import numpy as np
import pytest

import kerasish as keras
from kerasish.utils import timeseries_dataset_from_array


def by_hand(data, targets, length, stride=1, rate=1, start=0, end=None):
    end = len(data) if end is None else end
    series, found = data[start:end], []
    for first in range(0, end - start - (length - 1) * rate, stride):
        if targets is None:
            found.append(series[first : first + length * rate : rate].tolist())
        elif first < len(targets[start:end]):
            found.append((series[first : first + length * rate : rate].tolist(), targets[start:end][first].tolist()))
    return found


DATA = np.arange(40).reshape(20, 2)
CASES = [
    ({}, None),
    ({}, np.arange(20) * 10),
    ({"sequence_stride": 3}, np.arange(20)),
    ({"sampling_rate": 2}, np.arange(7)),
    ({"sequence_stride": 2, "sampling_rate": 3, "start_index": 4, "end_index": 19}, np.arange(40).reshape(20, 2)),
    ({"start_index": 5}, np.arange(20)),
    ({"start_index": 5}, np.arange(12)),
    ({"end_index": 9}, None),
    ({"end_index": 3}, None),
]


@pytest.mark.parametrize(("arguments", "targets"), CASES)
@pytest.mark.parametrize("batch_size", [None, 4, 128])
def test_windows(arguments, targets, batch_size):
    data = timeseries_dataset_from_array(DATA, targets, 4, batch_size=batch_size, **arguments)
    short = {"sequence_stride": "stride", "sampling_rate": "rate", "start_index": "start", "end_index": "end"}
    wanted = by_hand(DATA, targets, 4, **{short[name]: value for name, value in arguments.items()})
    single = data if batch_size is None else data.unbatch()
    found = [element.tolist() if targets is None else tuple(part.tolist() for part in element) for element in single]
    assert found == wanted
    assert len(data) == (len(wanted) if batch_size is None else -(-len(wanted) // batch_size))


def test_shuffled_windows_keep_their_targets_and_their_seed():
    def epochs():
        data = timeseries_dataset_from_array(DATA, DATA[:, 0], 3, batch_size=5, shuffle=True, seed=2)
        return [[(x.tolist(), y.tolist()) for x, y in data.unbatch()] for _ in range(2)]

    first, second = epochs()
    assert [first, second] == epochs()
    assert first != second
    assert sorted(first) == sorted(second) == by_hand(DATA, DATA[:, 0], 3)


def test_targets_of_another_array_and_tensors():
    series = keras.ops.array(DATA, "float32")
    ((x, y),) = timeseries_dataset_from_array(series[:-10], DATA[10:, 1], 10, batch_size=64)
    assert (x.shape, x.dtype, y.shape) == ((1, 10, 2), "float32", (1,))


def test_training():
    data = timeseries_dataset_from_array(DATA.astype("float32"), DATA[3:, 0].astype("float32"), 3, batch_size=8)
    model = keras.Sequential([keras.Input((3, 2)), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mae")
    assert len(model.fit(data, epochs=2, verbose=0).history["loss"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start_index": -1}, "start_index=-1"),
        ({"start_index": 20}, "start_index=20"),
        ({"end_index": 20}, "end_index=20"),
        ({"end_index": -3}, "end_index=-3"),
        ({"start_index": 5, "end_index": 5}, "must be higher than `start_index`"),
        ({"sampling_rate": 0}, "sampling_rate=0"),
        ({"sampling_rate": 20}, "sampling_rate=20"),
        ({"sequence_stride": 0}, "sequence_stride=0"),
        ({"sequence_stride": 20}, "sequence_stride=20"),
        ({"format": "other"}, '"tf" or "grain"'),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        timeseries_dataset_from_array(DATA, None, 3, **arguments)
