"""Precision and recall in one number."""

from kerasish import config, ops
from kerasish.metrics.metric import Metric


class FBetaScore(Metric):
    """Weighted harmonic mean of precision and recall, recall weighing ``beta`` times as much (``keras.metrics.FBetaScore``).

    Inputs are (batch, classes). ``average``: None for one score per class, ``"micro"``, ``"macro"`` or ``"weighted"``.
    ``threshold``: what counts as predicted; for None it is the class with the largest score.

    >>> metric = FBetaScore(beta=2.0, threshold=0.5)
    >>> metric([[1, 1], [1, 0]], [[0.6, 0.7], [0.2, 0.6]]).numpy().astype(float).round(4).tolist()
    [0.5556, 0.8333]
    """

    _direction = "up"
    fields = {}
    average: str | None = None
    beta: float = 1.0
    threshold: float | None = None
    name: str | None = "fbeta_score"
    dtype: str | None = None
    built = False
    axis = property(lambda self: None if self.average == "micro" else 0)

    def check(self):
        if self.average not in (None, "micro", "macro", "weighted"):
            raise ValueError(
                "Invalid `average` argument value. Expected one of: {None, 'micro', 'macro', 'weighted'}. "
                f"Received: average={self.average}"
            )
        if not isinstance(self.beta, float) or self.beta <= 0.0:
            raise ValueError(f"Invalid `beta` argument value. It should be a Python float > 0. Received: beta={self.beta!r}")
        if self.threshold is not None and not (isinstance(self.threshold, float) and 0.0 < self.threshold <= 1.0):
            raise ValueError(
                "Invalid `threshold` argument value. It should be a Python float with 0 < threshold <= 1. "
                f"Received: threshold={self.threshold!r}"
            )
        super().check()

    def _build(self, y_true, y_pred):
        if y_pred.ndim != 2 or y_true.ndim != 2 or y_pred.shape[-1] is None:
            raise ValueError(
                f"{type(self).__name__} expects 2D inputs with shape (batch_size, output_dim). "
                f"Received: y_pred.shape={y_pred.shape} and y_true.shape={y_true.shape}"
            )
        shape = () if self.average == "micro" else y_pred.shape[1:]
        for name in ("true_positives", "false_positives", "false_negatives", "intermediate_weights"):
            setattr(self, name, self.add_variable(shape, "zeros", self.dtype, name=name))
        self.built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch; weights are one per example."""
        y_true, y_pred = (ops.convert_to_tensor(y, dtype=self.dtype) for y in (y_true, y_pred))
        if not self.built:
            self._build(y_true, y_pred)
        if self.threshold is None:
            chosen = ops.logical_and(y_pred >= ops.max(y_pred, axis=-1, keepdims=True), ops.abs(y_pred) > 1e-9)
        else:
            chosen = y_pred > self.threshold
        chosen = ops.cast(chosen, self.dtype)
        weight = 1.0 if sample_weight is None else ops.expand_dims(ops.convert_to_tensor(sample_weight, dtype=self.dtype), 1)
        for variable, hits in (
            (self.true_positives, chosen * y_true),
            (self.false_positives, chosen * (1.0 - y_true)),
            (self.false_negatives, (1.0 - chosen) * y_true),
            (self.intermediate_weights, y_true),
        ):
            variable.assign_add(ops.sum(hits * weight, axis=self.axis))

    def result(self):
        epsilon, factor = config.epsilon(), self.beta**2
        precision = self.true_positives / (self.true_positives + self.false_positives + epsilon)
        recall = self.true_positives / (self.true_positives + self.false_negatives + epsilon)
        score = precision * recall / (factor * precision + recall + epsilon) * (1.0 + factor)
        if self.average == "weighted":
            return ops.sum(score * self.intermediate_weights / (ops.sum(self.intermediate_weights) + epsilon))
        return score if self.average is None else ops.mean(score)


class F1Score(FBetaScore):
    """Harmonic mean of precision and recall (``keras.metrics.F1Score``): :class:`FBetaScore` with ``beta`` 1.

    >>> round(float(F1Score(average="micro")([[1, 0], [1, 0]], [[0.6, 0.4], [0.2, 0.8]])), 4)
    0.5
    """

    fields = {}
    average: str | None = None
    threshold: float | None = None
    name: str | None = "f1_score"
    dtype: str | None = None
    beta = 1.0
