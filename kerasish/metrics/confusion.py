"""True and false positives and negatives at thresholds, and what is made of them."""

import typing

import numpy as np

from kerasish import config, ops
from kerasish.loading import spend
from kerasish.losses.loss import matched, squeeze_or_expand_to_same_rank
from kerasish.metrics.metric import Metric

_FEW = 10  # up to so many thresholds, comparing with each is quicker than sorting into buckets
_NEVER = -1e10  # what scores outside the top k become: below every threshold but one that equals it


def evenly_spaced(n):
    """``n`` thresholds from 0 to 1."""
    spend("values", n)
    return [0.0, *(i / (n - 1) for i in range(1, n - 1)), 1.0]


def are_even(thresholds):
    """Whether these are the thresholds of :func:`evenly_spaced`, so that a prediction's place among them can be computed."""
    n = len(thresholds)
    return n > 2 and np.allclose(thresholds, np.arange(n, dtype=np.float32) / (n - 1), atol=config.epsilon())


def checked_thresholds(thresholds, default):
    """A list of thresholds from a number, a list or None. ValueError for one outside [0, 1]."""
    if thresholds is None:
        return [default]
    thresholds = np.ravel(np.asarray(thresholds, dtype=object)).tolist()
    invalid = [t for t in thresholds if t is None or not 0 <= t <= 1]
    if invalid:
        raise ValueError(f"Threshold values must be in [0, 1]. Received: {invalid}")
    return thresholds


def keep_top_k(y_pred, k):
    """Scores, of which all but the ``k`` largest of the last axis are out of the running."""
    _, best = ops.top_k(y_pred, k)
    kept = ops.sum(ops.one_hot(best, y_pred.shape[-1], dtype=y_pred.dtype), axis=-2)
    return ops.where(kept > 0, y_pred, _NEVER)


class ConfusionMetric(Metric):
    """Base: variables with the weighted counts, one for each threshold, and the update of them."""

    counts: typing.ClassVar[tuple] = ()  # which ones this metric needs; also their variables' names
    variable_name: typing.ClassVar[str | None] = None  # if not that of the count
    # what some of the metrics here let one choose
    top_k: int | None = None
    class_id: int | None = None
    label_weights: list | None = None
    multi_label: bool = False
    from_logits: bool = False

    def add_counts(self, *shape):
        """Variables of shape (thresholds, *shape), and how to count: many thresholds divide the predictions into buckets."""
        self._in_buckets = self._even or len(self.thresholds) > _FEW
        self._sorted = sorted(self.thresholds)
        self._places = None if self._sorted == self.thresholds else [self._sorted.index(t) for t in self.thresholds]
        for name in self.counts:
            variable = self.add_variable((len(self.thresholds), *shape), "zeros", name=self.variable_name or name)
            setattr(self, name, variable)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch: labels that are zero or not, predictions in [0, 1]; weights are one per example, or of their shape."""
        dtype = self.variables[0].dtype
        y_true, y_pred = matched(y_true, ops.convert_to_tensor(y_pred, dtype=dtype))
        if self.from_logits:
            y_pred = ops.sigmoid(y_pred)
        if sample_weight is not None:
            weight = ops.expand_dims(ops.convert_to_tensor(sample_weight, dtype=dtype), -1)
            _, sample_weight = squeeze_or_expand_to_same_rank(y_true, weight, expand_rank_1=False)
        if self.top_k is not None:
            y_pred = keep_top_k(y_pred, self.top_k)
        if self.class_id is not None:
            if y_pred.ndim < 2 or not -y_pred.shape[-1] <= self.class_id < y_pred.shape[-1]:
                raise ValueError(
                    "When class_id is provided, y_pred must be a 2D array with shape (num_samples, num_classes), found shape: "
                    f"{y_pred.shape}, class_id={self.class_id}"
                )
            y_true, y_pred = (y[..., self.class_id, None] for y in (y_true, y_pred))
        y_true = ops.cast(ops.cast(y_true, "bool"), dtype)
        for name, count in self._count(y_true, y_pred, self._weights(y_pred, sample_weight)).items():
            if name in self.counts:
                getattr(self, name).assign_add(count)

    def _weights(self, y_pred, sample_weight):
        """Weights of examples and labels in the shape of predictions, or 1."""
        per_label = None if self.multi_label else self.label_weights
        if sample_weight is None and per_label is None:
            return 1.0
        weights = 1.0 if sample_weight is None else sample_weight
        if per_label is not None:
            weights = weights * ops.convert_to_tensor([per_label], dtype=y_pred.dtype)
        return ops.broadcast_to(weights, ops.shape(y_pred))

    def _count(self, y_true, y_pred, weights):
        """The four counts by name; of each pair only if one of them is needed."""
        positives, negatives = y_true * weights, (1.0 - y_true) * weights
        if not self.multi_label:
            y_pred, positives, negatives = (ops.reshape(x, (-1,)) for x in (y_pred, positives, negatives))
        above = self._buckets(y_pred) if self._in_buckets else self._is_above(y_pred)
        counts = {}
        for hit, miss, amounts in (
            ("true_positives", "false_negatives", positives),
            ("false_positives", "true_negatives", negatives),
        ):
            if hit in self.counts or miss in self.counts:
                counts[hit] = self._sum_in_buckets(amounts, above) if self._in_buckets else ops.sum(amounts * above, axis=1)
                counts[miss] = ops.sum(amounts, axis=0) - counts[hit]
        return counts

    def _is_above(self, y_pred):
        """1 where a prediction is above a threshold: shape (thresholds, *predictions)."""
        thresholds = ops.convert_to_tensor(self.thresholds, dtype=y_pred.dtype)
        return ops.cast(ops.expand_dims(y_pred, 0) > ops.reshape(thresholds, (-1,) + (1,) * y_pred.ndim), y_pred.dtype)

    def _buckets(self, y_pred):
        """How many thresholds each prediction is above; labels apart have buckets of their own."""
        if self._even:
            above = ops.ceil(ops.clip(y_pred, 0.0, 1.0) * (len(self.thresholds) - 1.0))
            above = ops.cast(ops.maximum(above, 1.0) if self.thresholds[0] < 0 else above, "int32")
        else:
            above = ops.where(ops.isnan(y_pred), 0, ops.searchsorted(self._sorted, y_pred))
        return above * y_pred.shape[1] + ops.arange(y_pred.shape[1], dtype="int32") if self.multi_label else above

    def _sum_in_buckets(self, amounts, buckets):
        """For each threshold the sum of what is above it: a running sum over the buckets from the top."""
        shape = (len(self.thresholds) + 1, *amounts.shape[1:])
        sums = ops.segment_sum(ops.reshape(amounts, (-1,)), ops.reshape(buckets, (-1,)), int(np.prod(shape)))
        from_top = ops.flip(ops.reshape(sums, shape)[1:], axis=0)
        above = ops.flip(ops.cumsum(from_top, axis=0), axis=0)
        return above if self._places is None else ops.take(above, self._places, axis=0)


# ---- counts and ratios at thresholds that the user gives
class _AtThresholds(ConfusionMetric):
    """``thresholds`` is a number, a list or None, for 0.5 (or, with ``top_k``, for whatever is among the best)."""

    def add_state(self):
        self.init_thresholds = self.thresholds
        self.thresholds = checked_thresholds(self.thresholds, 0.5 if self.top_k is None else _NEVER)
        self._even = are_even(self.thresholds)
        self.add_counts()

    def _first_if_single(self, values):
        return values[0] if len(self.thresholds) == 1 else values

    def get_config(self):
        given = self.init_thresholds
        return {**super().get_config(), "thresholds": None if given is None else np.asarray(given).tolist()}


class _Count(_AtThresholds):
    fields = {}
    thresholds: float | list | None = None
    name: str | None = None
    dtype: str | None = None

    variable_name = "accumulator"

    @property
    def accumulator(self):
        return getattr(self, self.counts[0])

    def result(self):
        return self._first_if_single(self.accumulator.value)


class TruePositives(_Count):
    """How many labels 1 are predicted so, at each threshold (``keras.metrics.TruePositives``).

    >>> float(TruePositives()([0, 1, 1], [0.9, 0.9, 0.2]))
    1.0
    """

    counts = ("true_positives",)


class TrueNegatives(_Count):
    """How many labels 0 are predicted so, at each threshold (``keras.metrics.TrueNegatives``).

    >>> float(TrueNegatives()([0, 0, 1], [0.9, 0.1, 0.2]))
    1.0
    """

    counts = ("true_negatives",)


class FalsePositives(_Count):
    """How many labels 0 are predicted as 1, at each threshold (``keras.metrics.FalsePositives``).

    >>> float(FalsePositives()([0, 0, 1], [0.9, 0.1, 0.2]))
    1.0
    """

    counts = ("false_positives",)


class FalseNegatives(_Count):
    """How many labels 1 are predicted as 0, at each threshold (``keras.metrics.FalseNegatives``).

    >>> float(FalseNegatives()([0, 1, 1], [0.9, 0.9, 0.2]))
    1.0
    """

    counts = ("false_negatives",)


class Precision(_AtThresholds):
    """Share of the predicted positives that are right (``keras.metrics.Precision``).

    ``top_k``: only the largest k scores of an example count as predicted. ``class_id``: only this class is looked at.

    >>> float(Precision()([0, 1, 1], [0.9, 0.9, 0.2]))
    0.5
    """

    _direction = "up"
    counts = ("true_positives", "false_positives")
    fields = {}
    thresholds: float | list | None = None
    top_k: int | None = None
    class_id: int | None = None
    name: str | None = None
    dtype: str | None = None

    def result(self):
        return self._first_if_single(ops.divide_no_nan(self.true_positives, self.true_positives + self.false_positives))


class Recall(_AtThresholds):
    """Share of the labels 1 that are predicted so (``keras.metrics.Recall``); arguments as for :class:`Precision`.

    >>> float(Recall()([0, 1, 1], [0.9, 0.9, 0.2]))
    0.5
    """

    _direction = "up"
    counts = ("true_positives", "false_negatives")
    fields = {}
    thresholds: float | list | None = None
    top_k: int | None = None
    class_id: int | None = None
    name: str | None = None
    dtype: str | None = None

    def result(self):
        return self._first_if_single(ops.divide_no_nan(self.true_positives, self.true_positives + self.false_negatives))


# ---- the best of one ratio while another is good enough
class _BestWhere(ConfusionMetric):
    """Base: the largest ``best`` over evenly spaced thresholds at which ``bound`` is at least the value asked for."""

    _direction = "up"
    counts = ("true_positives", "false_positives", "true_negatives", "false_negatives")
    bound: typing.ClassVar[str]  # name of a ratio below, and of the field with the value asked for
    best: typing.ClassVar[str]  # name of a ratio below

    def check(self):
        value = getattr(self, self.bound)
        if not 0 <= value <= 1:
            raise ValueError(f"Argument `{self.bound}` must be in the range [0, 1]. Received: {self.bound}={value}")
        if self.num_thresholds <= 0:
            raise ValueError(f"Argument `num_thresholds` must be an integer > 0. Received: {self.num_thresholds}")
        super().check()

    def add_state(self):
        self._even = self.num_thresholds > 1
        self.thresholds = evenly_spaced(self.num_thresholds) if self._even else [0.5]
        self.add_counts()

    def _ratio(self, name):
        hit, other = {
            "recall": (self.true_positives, self.false_negatives),
            "sensitivity": (self.true_positives, self.false_negatives),
            "specificity": (self.true_negatives, self.false_positives),
            "precision": (self.true_positives, self.false_positives),
        }[name]
        return ops.divide_no_nan(hit, hit + other)

    def result(self):
        good_enough = self._ratio(self.bound) >= getattr(self, self.bound)
        return ops.max(ops.where(good_enough, self._ratio(self.best), 0.0))


class SensitivityAtSpecificity(_BestWhere):
    """Best recall at a threshold whose specificity is at least the given one (``keras.metrics.SensitivityAtSpecificity``).

    >>> float(SensitivityAtSpecificity(0.5)([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8]))
    0.5
    """

    bound, best = "specificity", "sensitivity"
    fields = {}
    specificity: float
    num_thresholds: int = 200
    class_id: int | None = None
    name: str | None = None
    dtype: str | None = None


class SpecificityAtSensitivity(_BestWhere):
    """Best specificity at a threshold whose recall is at least the given one (``keras.metrics.SpecificityAtSensitivity``).

    >>> round(float(SpecificityAtSensitivity(0.5)([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8])), 4)
    0.6667
    """

    bound, best = "sensitivity", "specificity"
    fields = {}
    sensitivity: float
    num_thresholds: int = 200
    class_id: int | None = None
    name: str | None = None
    dtype: str | None = None


class PrecisionAtRecall(_BestWhere):
    """Best precision at a threshold whose recall is at least the given one (``keras.metrics.PrecisionAtRecall``).

    >>> float(PrecisionAtRecall(0.5)([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8]))
    0.5
    """

    bound, best = "recall", "precision"
    fields = {}
    recall: float
    num_thresholds: int = 200
    class_id: int | None = None
    name: str | None = None
    dtype: str | None = None


class RecallAtPrecision(_BestWhere):
    """Best recall at a threshold whose precision is at least the given one (``keras.metrics.RecallAtPrecision``).

    >>> float(RecallAtPrecision(0.8)([0, 0, 1, 1], [0, 0.5, 0.3, 0.9]))
    0.5
    """

    bound, best = "precision", "recall"
    fields = {}
    precision: float
    num_thresholds: int = 200
    class_id: int | None = None
    name: str | None = None
    dtype: str | None = None
