"""Sums and means of values, and functions of a batch whose mean is a metric."""

from kerasish import config, ops
from kerasish.losses.loss import Loss, apply_mask, get_mask, squeeze_or_expand_to_same_rank
from kerasish.metrics.metric import Metric
from kerasish.saveable import deserialize_keras_object, registry, serialize_keras_object


def reduce_to_samplewise_values(values, sample_weight, reduce_fn, dtype):
    """One value per example, times its weight, and the weights, one per example too (None where none were given)."""
    mask, values = get_mask(values), ops.cast(values, dtype or config.floatx())
    if sample_weight is not None:
        weight = apply_mask(ops.convert_to_tensor(sample_weight, dtype=values.dtype), mask, values.dtype, "sum")
        values, weight = squeeze_or_expand_to_same_rank(values, weight)
        if values.ndim > weight.ndim:
            values = reduce_fn(values, axis=tuple(range(weight.ndim, values.ndim)))
        rank = weight.ndim
        sample_weight = ops.broadcast_to(weight, ops.shape(values))
        values = values * sample_weight
        if rank > 1:
            sample_weight = reduce_fn(sample_weight, axis=tuple(range(1, rank)))
    if values.ndim > 1:
        values = reduce_fn(values, axis=tuple(range(1, values.ndim)))
    return values, sample_weight


class Sum(Metric):
    """Weighted sum of values (``keras.metrics.Sum``).

    >>> float(Sum()([1.0, 3.0], sample_weight=[1.0, 0.5]))
    2.5
    """

    fields = {}
    name: str | None = "sum"
    dtype: str | None = None

    def add_state(self):
        self.total = self.add_variable((), "zeros", self.dtype, name="total")

    def update_state(self, values, sample_weight=None):
        """Add values, of any shape."""
        values, _ = reduce_to_samplewise_values(values, sample_weight, ops.sum, self.dtype)
        self.total.assign_add(ops.sum(values))

    def result(self):
        return ops.cast(self.total, self.dtype)


class Mean(Metric):
    """Weighted mean of values (``keras.metrics.Mean``).

    >>> float(Mean()([1.0, 3.0], sample_weight=[3.0, 1.0]))
    1.5
    """

    fields = {}
    name: str | None = "mean"
    dtype: str | None = None

    def add_state(self):
        self.total = self.add_variable((), "zeros", self.dtype, name="total")
        self.count = self.add_variable((), "zeros", self.dtype, name="count")

    def update_state(self, values, sample_weight=None):
        """Add values: a number, or one or more for each example; weights are broadcast to them."""
        values, sample_weight = reduce_to_samplewise_values(values, sample_weight, ops.mean, self.dtype)
        if sample_weight is None:
            count = values.size or ops.sum(ops.ones_like(values))  # the size is not known while shapes are worked out
        else:
            count = ops.sum(sample_weight)
        self.total.assign_add(ops.sum(values))
        self.count.assign_add(count)

    def result(self):
        return ops.divide_no_nan(self.total, self.count)


class MeanMetricWrapper(Mean):
    """The mean of ``fn(y_true, y_pred, **kwargs)``, one value per example (``keras.metrics.MeanMetricWrapper``).

    >>> metric = MeanMetricWrapper(lambda y_true, y_pred: ops.abs(ops.subtract(y_true, y_pred)), name="distance")
    >>> float(metric([1.0, 2.0], [4.0, 3.0]))
    2.0
    """

    def __init__(self, fn, name=None, dtype=None, **kwargs):
        super().__init__(name=name, dtype=dtype)
        self._fn, self._fn_kwargs = fn, kwargs
        if isinstance(fn, Loss) or registry.find("keras.losses", getattr(fn, "__name__", None)) is fn:
            self._direction = "down"

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch; a mask on ``y_pred`` takes examples out of it."""
        values = self._fn(y_true, y_pred, **self._fn_kwargs)
        weight = apply_mask(sample_weight, get_mask(y_pred), self.dtype, "sum")
        super().update_state(values, sample_weight=weight)

    def get_config(self):
        return {**super().get_config(), "fn": serialize_keras_object(self._fn), **serialize_keras_object(self._fn_kwargs)}

    @classmethod
    def from_config(cls, config):
        return cls(**(deserialize_keras_object(config) if "fn" in config else config))


class FunctionMetric(MeanMetricWrapper):
    """Base of the metrics that are the mean of a function of this package: its arguments after ``y_true, y_pred`` are fields.

    ``fields = {}`` in a subclass starts the list of fields anew, where Keras has another order of arguments.
    """

    fields = {}
    name: str | None = None
    dtype: str | None = None

    @property
    def _fn_kwargs(self):
        return {name: getattr(self, name) for name in self.fields if name not in Metric.fields}

    def get_config(self):
        return Metric.get_config(self)
