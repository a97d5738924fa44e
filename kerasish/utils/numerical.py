"""Small helpers on arrays of labels and features (``keras.utils``)."""

import numpy as np

from kerasish import ops
from kerasish.backend.autodiff.tensor import is_tensor


def to_categorical(x, num_classes=None):
    """Integer labels (...,) or (..., 1) as one-hot float rows (..., num_classes) (``keras.utils.to_categorical``).

    >>> to_categorical([0, 2]).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if is_tensor(x):
        if len(x.shape) > 1 and x.shape[-1] == 1:
            x = ops.squeeze(x, -1)
        return ops.one_hot(x, num_classes or int(ops.max(x)) + 1)
    x = np.asarray(x, dtype="int64")
    shape = x.shape[:-1] if x.ndim > 1 and x.shape[-1] == 1 else x.shape
    x = x.reshape(-1)
    num_classes = num_classes or int(x.max()) + 1
    if x.size and (x.min() < -num_classes or x.max() >= num_classes):
        raise ValueError(f"to_categorical: labels must be below num_classes={num_classes}. Received labels from {x.min()} to {x.max()}.")
    return np.eye(num_classes)[x].reshape(*shape, num_classes)


def normalize(x, axis=-1, order=2):
    """Scale an array to norm 1 along an axis; zeros stay zeros (``keras.utils.normalize``).

    >>> normalize(np.array([[3.0, 4.0]])).tolist()
    [[0.6, 0.8]]
    """
    if not isinstance(order, int) or order < 1:
        raise ValueError(f"Argument `order` must be an int >= 1, got {order}")
    if is_tensor(x):
        return ops.normalize(x, axis=axis, order=order)
    lengths = np.expand_dims(np.atleast_1d(np.linalg.norm(x, order, axis)), -1 if axis is None else axis)
    return x / np.where(lengths == 0, 1, lengths)
