"""Sequences of different lengths as one array (``keras.utils.pad_sequences``)."""

import numpy as np


def pad_sequences(sequences, maxlen=None, dtype="int32", padding="pre", truncating="pre", value=0.0):
    """Sequences as rows of one array, filled up with ``value`` or cut to ``maxlen`` (``keras.utils.pad_sequences``).

    ``padding`` and ``truncating`` say at which end, "pre" or "post"; ``maxlen`` is by default the longest length. ValueError where
    an item is no sequence, or where the items' further axes differ.

    >>> pad_sequences([[1], [2, 3, 4]], maxlen=2).tolist()
    [[0, 1], [3, 4]]
    """
    if not hasattr(sequences, "__len__"):
        raise ValueError(f"`sequences` must be iterable, with a length. Received: {type(sequences)}")
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("pre", "post"):
            raise ValueError(f'`{name}` must be "pre" or "post". Received: {name}={side!r}')
    without = [item for item in sequences if not hasattr(item, "__len__")]
    if without:
        raise ValueError(f"`sequences` is a list of iterables, but holds {without[0]}")
    texts = np.issubdtype(dtype, np.str_) or np.issubdtype(dtype, np.bytes_)
    if isinstance(value, str) and dtype is not object and not texts:
        raise ValueError(
            f"`dtype` {dtype} is not compatible with `value`'s type: {type(value)}. Use `dtype=object` for strings of variable length."
        )
    if maxlen is None:
        maxlen = max(map(len, sequences))
    item_shape = next((np.asarray(item).shape[1:] for item in sequences if len(item)), ())
    result = np.full((len(sequences), maxlen, *item_shape), value, dtype=dtype)
    for i, item in enumerate(sequences):
        kept = np.asarray(item[-maxlen:] if truncating == "pre" else item[:maxlen], dtype=dtype)
        if not len(item):
            continue
        if kept.shape[1:] != item_shape:
            raise ValueError(f"Samples of shape {item_shape} expected, but those of sequence {i} have shape {kept.shape[1:]}")
        start = maxlen - len(kept) if padding == "pre" else 0
        result[i, start : start + len(kept)] = kept
    return result
