"""Losses for numbers: how far predictions are from what was expected."""

import math

from kerasish import config, ops
from kerasish.losses.loss import FunctionLoss, matched


def mean_squared_error(y_true, y_pred):
    """Mean of the squared errors over the last axis (``keras.losses.mean_squared_error``).

    >>> mean_squared_error([[0.0, 1.0]], [[2.0, 1.0]]).tolist()
    [2.0]
    """
    y_true, y_pred = matched(y_true, y_pred)
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


def mean_absolute_error(y_true, y_pred):
    """Mean of the absolute errors over the last axis (``keras.losses.mean_absolute_error``).

    >>> mean_absolute_error([[0.0, 1.0]], [[2.0, 1.0]]).tolist()
    [1.0]
    """
    y_true, y_pred = matched(y_true, y_pred)
    return ops.mean(ops.abs(y_true - y_pred), axis=-1)


def mean_absolute_percentage_error(y_true, y_pred):
    """Mean of the absolute errors in percent of ``y_true``, at least epsilon (``keras.losses``).

    >>> mean_absolute_percentage_error([[2.0, 4.0]], [[1.0, 4.0]]).tolist()
    [25.0]
    """
    y_true, y_pred = matched(y_true, y_pred)
    return 100.0 * ops.mean(ops.abs((y_true - y_pred) / ops.maximum(ops.abs(y_true), config.epsilon())), axis=-1)


def mean_squared_logarithmic_error(y_true, y_pred):
    """Mean of the squared differences of ``log(1 + y)``; values below epsilon count as epsilon (``keras.losses``).

    >>> round(float(mean_squared_logarithmic_error([[0.0, 1.0]], [[0.0, 3.0]])[0]), 4)
    0.2402
    """
    y_true, y_pred = matched(y_true, y_pred)
    log_true, log_pred = (ops.log1p(ops.maximum(y, config.epsilon())) for y in (y_true, y_pred))
    return ops.mean(ops.square(log_pred - log_true), axis=-1)


def huber(y_true, y_pred, delta=1.0):
    """Half the squared error up to ``delta``, from there on linear; the mean over the last axis (``keras.losses.huber``).

    >>> huber([[0.0, 0.0]], [[1.0, 3.0]]).tolist()
    [1.5]
    """
    y_true, y_pred = matched(y_true, y_pred)
    error = ops.abs(y_pred - y_true)
    bounded = ops.minimum(error, delta)
    return ops.mean(bounded * (error - 0.5 * bounded), axis=-1)  # both branches in one formula


def log_cosh(y_true, y_pred):
    """Mean of ``log(cosh(error))``: about half the square for small errors, linear for large (``keras.losses.log_cosh``).

    >>> round(float(log_cosh([[0.0]], [[1.0]])[0]), 4)
    0.4338
    """
    y_true, y_pred = matched(y_true, y_pred)
    error = y_pred - y_true
    return ops.mean(error + ops.softplus(-2.0 * error) - math.log(2.0), axis=-1)


def cosine_similarity(y_true, y_pred, axis=-1):
    """Minus the cosine of the angle between vectors along ``axis``: -1 for one direction (``keras.losses.cosine_similarity``).

    >>> cosine_similarity([[0.0, 2.0]], [[0.0, 3.0]]).tolist()
    [-1.0]
    """
    y_true, y_pred = matched(y_true, y_pred)
    return -ops.sum(ops.normalize(y_true, axis=axis) * ops.normalize(y_pred, axis=axis), axis=axis)


class MeanSquaredError(FunctionLoss):
    """:func:`mean_squared_error` as a loss (``keras.losses.MeanSquaredError``).

    >>> float(MeanSquaredError()([[0.0, 1.0]], [[2.0, 1.0]]))
    2.0
    """

    fn = staticmethod(mean_squared_error)
    name: str | None = "mean_squared_error"


class MeanAbsoluteError(FunctionLoss):
    """:func:`mean_absolute_error` as a loss (``keras.losses.MeanAbsoluteError``).

    >>> float(MeanAbsoluteError()([[0.0, 1.0]], [[2.0, 1.0]]))
    1.0
    """

    fn = staticmethod(mean_absolute_error)
    name: str | None = "mean_absolute_error"


class MeanAbsolutePercentageError(FunctionLoss):
    """:func:`mean_absolute_percentage_error` as a loss (``keras.losses.MeanAbsolutePercentageError``).

    >>> float(MeanAbsolutePercentageError()([[2.0, 4.0]], [[1.0, 4.0]]))
    25.0
    """

    fn = staticmethod(mean_absolute_percentage_error)
    name: str | None = "mean_absolute_percentage_error"


class MeanSquaredLogarithmicError(FunctionLoss):
    """:func:`mean_squared_logarithmic_error` as a loss (``keras.losses.MeanSquaredLogarithmicError``).

    >>> round(float(MeanSquaredLogarithmicError()([[0.0, 1.0]], [[0.0, 3.0]])), 4)
    0.2402
    """

    fn = staticmethod(mean_squared_logarithmic_error)
    name: str | None = "mean_squared_logarithmic_error"


class Huber(FunctionLoss):
    """:func:`huber` as a loss (``keras.losses.Huber``): squares near zero, absolute values beyond ``delta``.

    >>> float(Huber(delta=2.0)([[0.0, 0.0]], [[1.0, 3.0]]))
    2.25
    """

    fn = staticmethod(huber)
    left_out_of_config = ("delta",)
    delta: float = 1.0
    name: str | None = "huber_loss"


class LogCosh(FunctionLoss):
    """:func:`log_cosh` as a loss (``keras.losses.LogCosh``).

    >>> round(float(LogCosh()([[0.0]], [[1.0]])), 4)
    0.4338
    """

    fn = staticmethod(log_cosh)
    name: str | None = "log_cosh"


class CosineSimilarity(FunctionLoss):
    """:func:`cosine_similarity` as a loss (``keras.losses.CosineSimilarity``): from -1, one direction, to 1, the opposite.

    >>> float(CosineSimilarity()([[0.0, 2.0]], [[0.0, 3.0]]))
    -1.0
    """

    fn = staticmethod(cosine_similarity)
    left_out_of_config = ("axis",)
    axis: int = -1
    name: str | None = "cosine_similarity"
