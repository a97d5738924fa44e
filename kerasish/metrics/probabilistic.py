"""Losses for probabilities as metrics."""

from kerasish.losses import probabilistic as losses
from kerasish.metrics.reduction import FunctionMetric


class KLDivergence(FunctionMetric):
    """Mean :func:`~kerasish.losses.kl_divergence` (``keras.metrics.KLDivergence``).

    >>> round(float(KLDivergence()([[0.5, 0.5]], [[0.25, 0.75]])), 4)
    0.1438
    """

    _fn = staticmethod(losses.kl_divergence)
    _direction = "down"
    name: str | None = "kl_divergence"


class Poisson(FunctionMetric):
    """Mean :func:`~kerasish.losses.poisson` loss (``keras.metrics.Poisson``).

    >>> round(float(Poisson()([[2.0]], [[1.0]])), 4)
    1.0
    """

    _fn = staticmethod(losses.poisson)
    _direction = "down"
    name: str | None = "poisson"


class BinaryCrossentropy(FunctionMetric):
    """Mean :func:`~kerasish.losses.binary_crossentropy` (``keras.metrics.BinaryCrossentropy``).

    >>> round(float(BinaryCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]])), 4)
    0.6931
    """

    _fn = staticmethod(losses.binary_crossentropy)
    _direction = "down"
    fields = {}
    name: str | None = "binary_crossentropy"
    dtype: str | None = None
    from_logits: bool = False
    label_smoothing: float = 0


class CategoricalCrossentropy(FunctionMetric):
    """Mean :func:`~kerasish.losses.categorical_crossentropy`, for one-hot labels (``keras.metrics.CategoricalCrossentropy``).

    >>> round(float(CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]])), 4)
    0.6931
    """

    _fn = staticmethod(losses.categorical_crossentropy)
    _direction = "down"
    fields = {}
    name: str | None = "categorical_crossentropy"
    dtype: str | None = None
    from_logits: bool = False
    label_smoothing: float = 0
    axis: int = -1


class SparseCategoricalCrossentropy(FunctionMetric):
    """Mean :func:`~kerasish.losses.sparse_categorical_crossentropy`, for class numbers (``keras.metrics``).

    >>> round(float(SparseCategoricalCrossentropy()([1], [[0.5, 0.5]])), 4)
    0.6931
    """

    _fn = staticmethod(losses.sparse_categorical_crossentropy)
    _direction = "down"
    fields = {}
    name: str | None = "sparse_categorical_crossentropy"
    dtype: str | None = None
    from_logits: bool = False
    ignore_class: int | None = None
    axis: int = -1
