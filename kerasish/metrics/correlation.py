"""How predictions go along with what was expected."""

from kerasish import config, ops
from kerasish.losses.loss import matched
from kerasish.metrics.reduction import FunctionMetric


def _centred(y_true, y_pred, axis):
    return [(y - ops.mean(y, axis=axis, keepdims=True)) for y in matched(y_true, y_pred)]


def pearson_correlation(y_true, y_pred, axis=-1):
    """Pearson's coefficient along ``axis``: 1 where one is a rising line in the other (``keras.metrics.pearson_correlation``).

    >>> round(float(pearson_correlation([[0.0, 1.0, 2.0]], [[1.0, 3.0, 5.0]])[0]), 4)
    1.0
    """
    scores = [y / ops.std(y, axis=axis, keepdims=True) for y in _centred(y_true, y_pred, axis)]
    return ops.mean(scores[0] * scores[1], axis=axis)


def concordance_correlation(y_true, y_pred, axis=-1):
    """Lin's coefficient along ``axis``: 1 only where both are equal (``keras.metrics.concordance_correlation``).

    >>> round(float(concordance_correlation([[0.0, 1.0, 2.0]], [[0.0, 1.0, 2.0]])[0]), 4)
    1.0
    """
    y_true, y_pred = matched(y_true, y_pred)
    a, b = _centred(y_true, y_pred, axis)
    spread = ops.mean(ops.square(a) + ops.square(b), axis=axis) + ops.square(ops.mean(y_true - y_pred, axis=axis))
    return 2.0 * ops.mean(a * b, axis=axis) / (spread + config.epsilon())


class PearsonCorrelation(FunctionMetric):
    """Mean :func:`pearson_correlation` (``keras.metrics.PearsonCorrelation``).

    >>> round(float(PearsonCorrelation()([[0.0, 1.0, 2.0]], [[1.0, 3.0, 5.0]])), 4)
    1.0
    """

    _fn = staticmethod(pearson_correlation)
    _direction = "up"
    fields = {}
    name: str | None = "pearson_correlation"
    dtype: str | None = None
    axis: int = -1


class ConcordanceCorrelation(FunctionMetric):
    """Mean :func:`concordance_correlation` (``keras.metrics.ConcordanceCorrelation``).

    >>> round(float(ConcordanceCorrelation()([[0.0, 1.0, 2.0]], [[0.0, 1.0, 2.0]])), 4)
    1.0
    """

    _fn = staticmethod(concordance_correlation)
    _direction = "up"
    fields = {}
    name: str | None = "concordance_correlation"
    dtype: str | None = None
    axis: int = -1
