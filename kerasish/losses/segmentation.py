"""Losses for masks: how little two sets overlap, from 0 (the same) to 1 (disjoint)."""

from kerasish import config, ops
from kerasish.losses.loss import FunctionLoss, matched


def dice(y_true, y_pred, axis=None):
    """1 minus twice the overlap by the sum of sizes, summed over ``axis``, all for None (``keras.losses.dice``).

    >>> round(float(dice([[1.0, 0.0]], [[0.5, 0.5]])), 4)
    0.5
    """
    y_true, y_pred = matched(y_true, y_pred)
    overlap = ops.sum(y_true * y_pred, axis=axis)
    return 1.0 - 2.0 * overlap / (ops.sum(y_true, axis=axis) + ops.sum(y_pred, axis=axis) + config.epsilon())


def tversky(y_true, y_pred, alpha=0.5, beta=0.5, axis=None):
    """1 minus the Tversky index: as :func:`dice`, but what is missing weighs ``alpha`` and what is too much ``beta``
    (``keras.losses.tversky``; Salehi et al. 2017).

    >>> round(float(tversky([[1.0, 0.0]], [[0.5, 0.5]], alpha=0.3, beta=0.7)), 4)
    0.5
    """
    y_true, y_pred = matched(y_true, y_pred)
    overlap = ops.sum(y_true * y_pred, axis=axis)
    missing, too_much = ops.sum((1.0 - y_pred) * y_true, axis=axis), ops.sum(y_pred * (1.0 - y_true), axis=axis)
    return 1.0 - overlap / (overlap + alpha * missing + beta * too_much + config.epsilon())


class Dice(FunctionLoss):
    """:func:`dice` as a loss (``keras.losses.Dice``).

    >>> round(float(Dice()([[1.0, 0.0]], [[0.5, 0.5]])), 4)
    0.5
    """

    fn = staticmethod(dice)
    fields = {}
    reduction: str | None = "sum_over_batch_size"
    name: str | None = "dice"
    axis: int | tuple | None = None
    dtype: str | None = None


class Tversky(FunctionLoss):
    """:func:`tversky` as a loss (``keras.losses.Tversky``).

    >>> round(float(Tversky(alpha=0.3, beta=0.7)([[1.0, 0.0]], [[0.5, 0.5]])), 4)
    0.5
    """

    fn = staticmethod(tversky)
    fields = {}
    alpha: float = 0.5
    beta: float = 0.5
    reduction: str | None = "sum_over_batch_size"
    name: str | None = "tversky"
    axis: int | tuple | None = None
    dtype: str | None = None
