"""Errors of predicted numbers as metrics."""

import warnings

from kerasish import ops
from kerasish.losses import regression as losses
from kerasish.losses.loss import matched
from kerasish.metrics.metric import Metric
from kerasish.metrics.reduction import FunctionMetric, Mean


def _cosine_similarity(y_true, y_pred, axis=-1):
    return -losses.cosine_similarity(y_true, y_pred, axis)


class MeanSquaredError(FunctionMetric):
    """Mean of the squared errors (``keras.metrics.MeanSquaredError``).

    >>> float(MeanSquaredError()([[0.0, 1.0]], [[2.0, 1.0]]))
    2.0
    """

    _fn = staticmethod(losses.mean_squared_error)
    _direction = "down"
    name: str | None = "mean_squared_error"


class MeanAbsoluteError(FunctionMetric):
    """Mean of the absolute errors (``keras.metrics.MeanAbsoluteError``).

    >>> float(MeanAbsoluteError()([[0.0, 1.0]], [[2.0, 1.0]]))
    1.0
    """

    _fn = staticmethod(losses.mean_absolute_error)
    _direction = "down"
    name: str | None = "mean_absolute_error"


class MeanAbsolutePercentageError(FunctionMetric):
    """Mean of the absolute errors in percent of what was expected (``keras.metrics.MeanAbsolutePercentageError``).

    >>> float(MeanAbsolutePercentageError()([[2.0, 4.0]], [[1.0, 4.0]]))
    25.0
    """

    _fn = staticmethod(losses.mean_absolute_percentage_error)
    _direction = "down"
    name: str | None = "mean_absolute_percentage_error"


class MeanSquaredLogarithmicError(FunctionMetric):
    """Mean of the squared differences of ``log(1 + y)`` (``keras.metrics.MeanSquaredLogarithmicError``).

    >>> round(float(MeanSquaredLogarithmicError()([[0.0, 1.0]], [[0.0, 3.0]])), 4)
    0.2402
    """

    _fn = staticmethod(losses.mean_squared_logarithmic_error)
    _direction = "down"
    name: str | None = "mean_squared_logarithmic_error"


class LogCoshError(FunctionMetric):
    """Mean of ``log(cosh(error))`` (``keras.metrics.LogCoshError``).

    >>> round(float(LogCoshError()([[0.0]], [[1.0]])), 4)
    0.4338
    """

    _fn = staticmethod(losses.log_cosh)
    _direction = "down"
    name: str | None = "logcosh"


class CosineSimilarity(FunctionMetric):
    """Mean cosine of the angle between vectors along ``axis``: 1 for one direction (``keras.metrics.CosineSimilarity``).

    >>> float(CosineSimilarity()([[0.0, 2.0]], [[0.0, 3.0]]))
    1.0
    """

    _fn = staticmethod(_cosine_similarity)
    _direction = "up"
    left_out_of_config = ("axis",)
    fields = {}
    name: str | None = "cosine_similarity"
    dtype: str | None = None
    axis: int = -1


class RootMeanSquaredError(Mean):
    """Root of the mean of the squared errors (``keras.metrics.RootMeanSquaredError``).

    >>> float(RootMeanSquaredError()([[0.0, 0.0]], [[1.0, 7.0]]))
    5.0
    """

    _direction = "down"
    name: str | None = "root_mean_squared_error"

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch."""
        y_true, y_pred = matched(y_true, ops.convert_to_tensor(y_pred, dtype=self.dtype))
        super().update_state(ops.square(y_pred - y_true), sample_weight=sample_weight)

    def result(self):
        return ops.sqrt(super().result())


class R2Score(Metric):
    """Coefficient of determination: 1 for a perfect fit, 0 for one no better than the mean (``keras.metrics.R2Score``).

    Inputs are (batch, outputs). ``class_aggregation``: ``"uniform_average"`` of outputs, ``"variance_weighted_average"``, or
    None for one score each. ``num_regressors`` above 0 gives the adjusted score for that many inputs.

    >>> round(float(R2Score()([[1.0], [2.0], [4.0]], [[1.0], [3.0], [4.0]])), 4)
    0.7857
    """

    _direction = "up"
    fields = {}
    class_aggregation: str | None = "uniform_average"
    num_regressors: int = 0
    name: str | None = "r2_score"
    dtype: str | None = None
    built = False

    def check(self):
        allowed = (None, "uniform_average", "variance_weighted_average")
        if self.class_aggregation not in allowed:
            raise ValueError(f"Invalid value for argument `class_aggregation`. Expected one of {allowed}, got {self.class_aggregation}")
        if self.num_regressors < 0:
            raise ValueError(f"Invalid value for argument `num_regressors`. It is at least 0, got {self.num_regressors}")
        super().check()

    def add_state(self):
        self.num_samples = self.add_variable((), "zeros", name="num_samples")

    def _build(self, shape):
        if len(shape) != 2 or shape[-1] is None:
            raise ValueError(f"R2Score expects 2D inputs with shape (batch, output_dim), got {shape}")
        for attribute, name in (("squared_sum",) * 2, ("sum",) * 2, ("total_mse", "residual"), ("count",) * 2):
            setattr(self, attribute, self.add_variable(shape[1:], "zeros", name=name))
        self.built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch; weights are one per example, or of the inputs' shape."""
        y_true, y_pred = matched(y_true, ops.convert_to_tensor(y_pred, dtype=self.dtype))
        if not self.built:
            self._build(y_pred.shape)
        weight = ops.convert_to_tensor(1 if sample_weight is None else sample_weight, dtype=self.dtype)
        weight = ops.broadcast_to(ops.expand_dims(weight, 1) if weight.ndim == 1 else weight, ops.shape(y_true))
        weighted = y_true * weight
        self.sum.assign_add(ops.sum(weighted, axis=0))
        self.squared_sum.assign_add(ops.sum(y_true * weighted, axis=0))
        self.total_mse.assign_add(ops.sum(ops.square(y_true - y_pred) * weight, axis=0))
        self.count.assign_add(ops.sum(weight, axis=0))
        self.num_samples.assign_add(y_true.size or ops.sum(ops.ones_like(y_true)))

    def result(self):
        spread = self.squared_sum - self.sum * (self.sum / self.count)
        scores = 1.0 - self.total_mse / spread
        scores = ops.where(ops.isinf(scores), 0.0, scores)
        if self.class_aggregation == "uniform_average":
            scores = ops.mean(scores)
        elif self.class_aggregation == "variance_weighted_average":
            scores = ops.sum(spread * scores) / ops.sum(spread)
        return self._adjusted(scores) if self.num_regressors else scores

    def _adjusted(self, scores):
        left = self.num_samples.value - self.num_regressors - 1.0
        if left.value is not None and float(left) <= 0:
            warnings.warn(
                f"The adjusted R2 score for {self.num_regressors} regressors needs more than {self.num_regressors + 1} "
                f"data points, {int(self.num_samples)} were given: this is the score without adjustment.",
                stacklevel=3,
            )
        adjusted = 1.0 - (1.0 - scores) * (self.num_samples - 1.0) / ops.where(left > 0, left, 1.0)
        return ops.where(left > 0, adjusted, scores)
