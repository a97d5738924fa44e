"""Precision and recall in one number."""

import math

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
            raise ValueError(f"Invalid `average`. Expected one of: None, 'micro', 'macro', 'weighted', got {self.average}")
        checks = {"beta": (math.inf, "be > 0")} | ({} if self.threshold is None else {"threshold": (1.0, "verify 0 < threshold <= 1")})
        for name, (largest, rule) in checks.items():
            value = getattr(self, name)
            invalid, got = f"Invalid `{name}` argument value. It should", f"Received: {name}={value}"
            if not isinstance(value, float):
                raise ValueError(f"{invalid} be a Python float. {got} of type '{type(value)}'")
            if not 0 < value <= largest:
                raise ValueError(f"{invalid} {rule}. {got}")
        super().check()

    def _build(self, y_true_shape, y_pred_shape):
        if len(y_pred_shape) != 2 or len(y_true_shape) != 2 or y_pred_shape[-1] is None:
            known = ", with output_dim fully defined (not None)" if None in (y_true_shape[-1:] + y_pred_shape[-1:]) else ""
            raise ValueError(
                f"{type(self).__name__} expects 2D inputs with shape (batch, outputs){known}, got {y_pred_shape} and {y_true_shape}."
            )
        shape = () if self.average == "micro" else y_pred_shape[1:]
        for name in ("true_positives", "false_positives", "false_negatives", "intermediate_weights"):
            setattr(self, name, self.add_variable(shape, "zeros", self.dtype, name=name))
        self.built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch; weights are one per example."""
        y_true, y_pred = (ops.convert_to_tensor(y, dtype=self.dtype) for y in (y_true, y_pred))
        if not self.built:
            self._build(y_true.shape, y_pred.shape)
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
