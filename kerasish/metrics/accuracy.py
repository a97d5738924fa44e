"""How often predictions are right."""

from kerasish import config, ops
from kerasish.losses.loss import matched, squeeze_or_expand_to_same_rank
from kerasish.metrics.reduction import FunctionMetric


def _as_numbers(matches):
    return ops.cast(matches, config.floatx())


def accuracy(y_true, y_pred):
    """1 where prediction and label are equal, else 0.

    >>> accuracy([1, 2], [1, 3]).tolist()
    [1.0, 0.0]
    """
    return _as_numbers(ops.equal(*matched(y_true, y_pred)))


def binary_accuracy(y_true, y_pred, threshold=0.5):
    """1 where a prediction above ``threshold`` meets label 1, or another label 0 (``keras.metrics.binary_accuracy``).

    >>> binary_accuracy([[1], [1]], [[0.6], [0.4]]).tolist()
    [[1.0], [0.0]]
    """
    y_true, y_pred = squeeze_or_expand_to_same_rank(ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred))
    y_true, above = matched(y_true, ops.cast(ops.greater(y_pred, threshold), y_true.dtype))
    return _as_numbers(ops.equal(y_true, above))


def _same_class(y_true, y_pred):
    """Whether class numbers are where scores are largest; an axis of size 1 that scores lack is taken off for it."""
    shape, guess = ops.shape(y_true), ops.argmax(y_pred, axis=-1)
    if y_true.ndim == guess.ndim + 1 and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    return ops.reshape(_as_numbers(ops.equal(*matched(y_true, ops.cast(guess, y_true.dtype)))), shape)


def categorical_accuracy(y_true, y_pred):
    """1 where the largest of the scores is that of the class in one-hot ``y_true`` (``keras.metrics.categorical_accuracy``).

    >>> categorical_accuracy([[0, 1], [1, 0]], [[0.2, 0.8], [0.3, 0.7]]).tolist()
    [1.0, 0.0]
    """
    return _same_class(ops.argmax(ops.convert_to_tensor(y_true), axis=-1), ops.convert_to_tensor(y_pred))


def sparse_categorical_accuracy(y_true, y_pred):
    """1 where the largest of the scores is that of class number ``y_true`` (``keras.metrics.sparse_categorical_accuracy``).

    >>> sparse_categorical_accuracy([1, 0], [[0.2, 0.8], [0.3, 0.7]]).tolist()
    [1.0, 0.0]
    """
    matches = _same_class(ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred))
    return ops.squeeze(matches, -1) if matches.ndim > 1 and matches.shape[-1] == 1 else matches


def _rows(y_true, y_pred):
    """Class numbers as one vector and scores as one matrix."""
    return ops.reshape(y_true, (-1,)), ops.reshape(y_pred, (-1, y_pred.shape[-1]))


def top_k_categorical_accuracy(y_true, y_pred, k=5):
    """1 where the class in one-hot ``y_true`` is among the ``k`` largest scores (``keras.metrics``).

    >>> top_k_categorical_accuracy([[0, 0, 1]], [[0.1, 0.5, 0.4]], k=2).tolist()
    [1.0]
    """
    return sparse_top_k_categorical_accuracy(ops.argmax(ops.convert_to_tensor(y_true), axis=-1), y_pred, k)


def sparse_top_k_categorical_accuracy(y_true, y_pred, k=5, from_sorted_ids=False):
    """1 where class number ``y_true`` is among the ``k`` largest scores (``keras.metrics``).

    ``from_sorted_ids``: predictions are not scores but class numbers, best first.

    >>> sparse_top_k_categorical_accuracy([2], [[0.1, 0.5, 0.4]], k=2).tolist()
    [1.0]
    """
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    shape = ops.shape(y_true)
    classes, scores = _rows(y_true, y_pred)
    if from_sorted_ids:
        matches = ops.any(ops.equal(ops.expand_dims(classes, 1), scores[:, :k]), axis=1)
    else:
        matches = ops.in_top_k(ops.cast(classes, "int32"), scores, k)
    return ops.reshape(_as_numbers(matches), shape)


class Accuracy(FunctionMetric):
    """How often predictions equal labels (``keras.metrics.Accuracy``).

    >>> float(Accuracy()([1, 2, 3, 4], [1, 2, 3, 0]))
    0.75
    """

    _fn = staticmethod(accuracy)
    _direction = "up"
    name: str | None = "accuracy"


class BinaryAccuracy(FunctionMetric):
    """How often predictions, cut at ``threshold``, equal labels 0 and 1 (``keras.metrics.BinaryAccuracy``).

    >>> float(BinaryAccuracy()([[1], [0]], [[0.6], [0.7]]))
    0.5
    """

    _fn = staticmethod(binary_accuracy)
    _direction = "up"
    fields = {}
    name: str | None = "binary_accuracy"
    dtype: str | None = None
    threshold: float = 0.5


class CategoricalAccuracy(FunctionMetric):
    """How often the largest score is that of the right class, for one-hot labels (``keras.metrics.CategoricalAccuracy``).

    >>> float(CategoricalAccuracy()([[0, 1], [1, 0]], [[0.2, 0.8], [0.3, 0.7]]))
    0.5
    """

    _fn = staticmethod(categorical_accuracy)
    _direction = "up"
    name: str | None = "categorical_accuracy"


class SparseCategoricalAccuracy(FunctionMetric):
    """How often the largest score is that of the right class, for class numbers (``keras.metrics.SparseCategoricalAccuracy``).

    >>> float(SparseCategoricalAccuracy()([1, 0], [[0.2, 0.8], [0.3, 0.7]]))
    0.5
    """

    _fn = staticmethod(sparse_categorical_accuracy)
    _direction = "up"
    name: str | None = "sparse_categorical_accuracy"


class TopKCategoricalAccuracy(FunctionMetric):
    """How often the right class is among the ``k`` best, for one-hot labels (``keras.metrics.TopKCategoricalAccuracy``).

    >>> float(TopKCategoricalAccuracy(k=2)([[0, 0, 1]], [[0.1, 0.5, 0.4]]))
    1.0
    """

    _fn = staticmethod(top_k_categorical_accuracy)
    _direction = "up"
    k: int = 5
    name: str | None = "top_k_categorical_accuracy"


class SparseTopKCategoricalAccuracy(FunctionMetric):
    """How often the right class is among the ``k`` best, for class numbers (``keras.metrics.SparseTopKCategoricalAccuracy``).

    >>> float(SparseTopKCategoricalAccuracy(k=2)([2], [[0.1, 0.5, 0.4]]))
    1.0
    """

    _fn = staticmethod(sparse_top_k_categorical_accuracy)
    _direction = "up"
    left_out_of_config = ("from_sorted_ids",)
    fields = {}
    k: int = 5
    name: str | None = "sparse_top_k_categorical_accuracy"
    dtype: str | None = None
    from_sorted_ids: bool = False
