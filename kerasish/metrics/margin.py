"""Losses for margins as metrics."""

from kerasish.losses import margin as losses
from kerasish.metrics.reduction import FunctionMetric


class Hinge(FunctionMetric):
    """Mean :func:`~kerasish.losses.hinge` loss (``keras.metrics.Hinge``).

    >>> float(Hinge()([[-1.0, 1.0]], [[0.5, 2.0]]))
    0.75
    """

    _fn = staticmethod(losses.hinge)
    _direction = "down"
    name: str | None = "hinge"


class SquaredHinge(FunctionMetric):
    """Mean :func:`~kerasish.losses.squared_hinge` loss (``keras.metrics.SquaredHinge``).

    >>> float(SquaredHinge()([[-1.0, 1.0]], [[0.5, 2.0]]))
    1.125
    """

    _fn = staticmethod(losses.squared_hinge)
    _direction = "down"
    name: str | None = "squared_hinge"


class CategoricalHinge(FunctionMetric):
    """Mean :func:`~kerasish.losses.categorical_hinge` loss (``keras.metrics.CategoricalHinge``).

    >>> float(CategoricalHinge()([[0.0, 1.0]], [[0.5, 1.25]]))
    0.25
    """

    _fn = staticmethod(losses.categorical_hinge)
    _direction = "down"
    name: str | None = "categorical_hinge"
