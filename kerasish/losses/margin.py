"""Losses for margins: labels -1 and 1 (0 and 1 are taken for them), predictions any number."""

from kerasish import ops
from kerasish.losses.loss import FunctionLoss, matched


def _signed(y_true):
    """Labels that are all 0 or 1 as -1 and 1, others as they are."""
    binary = ops.all(ops.logical_or(ops.equal(y_true, 0), ops.equal(y_true, 1)))
    return ops.where(binary, 2.0 * y_true - 1.0, y_true)


def _shortfall(y_true, y_pred):
    y_true, y_pred = matched(y_true, y_pred)
    return ops.maximum(1.0 - _signed(y_true) * y_pred, 0.0)


def hinge(y_true, y_pred):
    """Mean of ``max(1 - y_true * y_pred, 0)`` over the last axis (``keras.losses.hinge``).

    >>> hinge([[-1.0, 1.0]], [[0.5, 2.0]]).tolist()
    [0.75]
    """
    return ops.mean(_shortfall(y_true, y_pred), axis=-1)


def squared_hinge(y_true, y_pred):
    """Mean of ``max(1 - y_true * y_pred, 0) ** 2`` over the last axis (``keras.losses.squared_hinge``).

    >>> squared_hinge([[-1.0, 1.0]], [[0.5, 2.0]]).tolist()
    [1.125]
    """
    return ops.mean(ops.square(_shortfall(y_true, y_pred)), axis=-1)


def categorical_hinge(y_true, y_pred):
    """``max(best wrong score - right score + 1, 0)`` for one-hot labels (``keras.losses.categorical_hinge``).

    >>> categorical_hinge([[0.0, 1.0]], [[0.5, 1.25]]).tolist()
    [0.25]
    """
    y_true, y_pred = matched(y_true, y_pred)
    right, wrong = ops.sum(y_true * y_pred, axis=-1), ops.max((1.0 - y_true) * y_pred, axis=-1)
    return ops.maximum(wrong - right + 1.0, 0.0)


class Hinge(FunctionLoss):
    """:func:`hinge` as a loss (``keras.losses.Hinge``).

    >>> float(Hinge()([[-1.0, 1.0]], [[0.5, 2.0]]))
    0.75
    """

    fn = staticmethod(hinge)
    name: str | None = "hinge"


class SquaredHinge(FunctionLoss):
    """:func:`squared_hinge` as a loss (``keras.losses.SquaredHinge``).

    >>> float(SquaredHinge()([[-1.0, 1.0]], [[0.5, 2.0]]))
    1.125
    """

    fn = staticmethod(squared_hinge)
    name: str | None = "squared_hinge"


class CategoricalHinge(FunctionLoss):
    """:func:`categorical_hinge` as a loss (``keras.losses.CategoricalHinge``).

    >>> float(CategoricalHinge()([[0.0, 1.0]], [[0.5, 1.25]]))
    0.25
    """

    fn = staticmethod(categorical_hinge)
    name: str | None = "categorical_hinge"
