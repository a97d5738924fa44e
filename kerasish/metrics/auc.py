"""Area under a curve that thresholds draw."""

from kerasish import config, ops
from kerasish.metrics.confusion import ConfusionMetric, are_even, evenly_spaced

_CURVES, _METHODS = ("ROC", "PR", "PRGAIN"), ("interpolation", "minoring", "majoring")


def _choice(what, value, choices):
    value = getattr(value, "value", value)  # Keras has enumerations for these
    found = [c for c in choices if value in (c, c.lower(), c.capitalize())]
    if not found:
        raise ValueError(f'Invalid {what} value: "{value}". Expected one of {list(choices)}')
    return found[0]


class AUC(ConfusionMetric):
    """Area under the ROC, the precision-recall or the precision-gain curve, by Riemann sums (``keras.metrics.AUC``).

    ``thresholds`` in place of ``num_thresholds`` even ones. ``multi_label``: one area per label, averaged with
    ``label_weights``; otherwise these weigh the labels' predictions. ``from_logits``: predictions are before the sigmoid.

    >>> round(float(AUC()([0, 0, 1, 1], [0, 0.5, 0.3, 0.9])), 4)
    0.75
    """

    _direction = "up"
    counts = ("true_positives", "false_positives", "true_negatives", "false_negatives")
    fields = {}
    num_thresholds: int = 200
    curve: str = "ROC"
    summation_method: str = "interpolation"
    name: str | None = None
    dtype: str | None = None
    thresholds: list | None = None
    multi_label: bool = False
    num_labels: int | None = None
    label_weights: list | None = None
    from_logits: bool = False
    built = False

    def check(self):
        self.curve = _choice("AUC curve", self.curve, _CURVES)
        self.summation_method = _choice("AUC summation method", self.summation_method, _METHODS)
        if self.thresholds is None and self.num_thresholds <= 1:
            raise ValueError(f"Argument `num_thresholds` must be an integer > 1. Received: {self.num_thresholds}")
        if self.num_labels and not self.multi_label:
            raise ValueError("`num_labels` is needed only when `multi_label` is True.")
        super().check()

    def add_state(self):
        self._given = None if self.thresholds is None else sorted(float(t) for t in self.thresholds)
        inner = evenly_spaced(self.num_thresholds)[1:-1] if self._given is None else self._given
        self._even = self._given is None or are_even([0.0, *inner, 1.0])
        self.thresholds = [-config.epsilon(), *inner, 1.0 + config.epsilon()]  # so that all lies between them
        self.num_thresholds = len(self.thresholds)
        if not self.multi_label:
            self._build(())
        elif self.num_labels:
            self._build((self.num_labels,))

    def _build(self, shape):
        self.add_counts(*shape)
        self.built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch: labels that are zero or not, predictions in [0, 1]; weights are one per example, or of their shape."""
        if self.multi_label:
            y_pred = ops.convert_to_tensor(y_pred)
            if y_pred.ndim != 2:
                raise ValueError(f"`y_pred` must have rank 2 when `multi_label=True`. Received shape: {y_pred.shape}")
            if not self.built:
                self._build(y_pred.shape[1:])
        super().update_state(y_true, y_pred, sample_weight)

    def result(self):
        if self.curve == "PR" and self.summation_method == "interpolation":
            return self.interpolate_pr_auc()
        x, y = getattr(self, f"_{self.curve.lower()}")()
        if self.summation_method == "interpolation":
            heights = (y[:-1] + y[1:]) / 2.0
        else:
            heights = (ops.minimum if self.summation_method == "minoring" else ops.maximum)(y[:-1], y[1:])
        return self._over_labels((x[:-1] - x[1:]) * heights)

    def _roc(self):
        tp, fp, tn, fn = self._values()
        return ops.divide_no_nan(fp, fp + tn), ops.divide_no_nan(tp, tp + fn)

    def _pr(self):
        tp, fp, _, fn = self._values()
        return ops.divide_no_nan(tp, tp + fn), ops.divide_no_nan(tp, tp + fp)

    def _prgain(self):
        """Recall and precision on a scale where always saying 1 scores 0 (Flach and Kull 2015)."""
        tp, fp, tn, fn = self._values()
        scale, none = ops.divide_no_nan(tp + fn, tn + fp), ops.equal(tp, 0.0)
        recall = ops.where(none, 0.0, 1.0 - scale * ops.divide_no_nan(fn, tp))
        precision = ops.where(none, 1.0, 1.0 - scale * ops.divide_no_nan(fp, tp))
        return ops.maximum(recall, 0.0), precision

    def interpolate_pr_auc(self):
        """Area under the precision-recall curve, true positives interpolated between thresholds (Davis and Goadrich 2006).

        Between two thresholds precision is ``(intercept + slope * p) / p`` with ``p`` positives: its integral has a logarithm.
        """
        tp, fp, _, fn = self._values()
        p = tp + fp
        lost, width = tp[:-1] - tp[1:], ops.maximum(p[:-1] - p[1:], 0.0)
        slope = ops.divide_no_nan(lost, width)
        intercept = tp[1:] - slope * p[1:]
        both = ops.logical_and(p[:-1] > 0, p[1:] > 0)
        ratio = ops.where(both, ops.divide_no_nan(p[:-1], p[1:]), 1.0)
        areas = ops.divide_no_nan(slope * (lost + intercept * ops.log(ratio)), tp[1:] + fn[1:])
        return self._over_labels(areas)

    def _values(self):
        return [getattr(self, name).value for name in self.counts]

    def _over_labels(self, areas):
        areas = ops.sum(areas, axis=0)
        if not self.multi_label:
            return areas
        if self.label_weights is None:
            return ops.mean(areas)
        weights = ops.convert_to_tensor(self.label_weights, dtype=areas.dtype)
        return ops.divide_no_nan(ops.sum(areas * weights), ops.sum(weights))

    def get_config(self):
        values = super().get_config()
        del values["thresholds"]
        if self.label_weights is not None:
            values["label_weights"] = [float(w) for w in self.label_weights]
        return values if self._given is None else {**values, "thresholds": list(self._given)}
