"""Losses for probabilities: how unlikely what happened is under what was predicted."""

import warnings

from kerasish import config, ops
from kerasish.backend.autodiff.shapes import normalize_axis
from kerasish.losses.loss import FunctionLoss, equal, matched

_HINT = " Labels that are class numbers need the `sparse_` version of this loss."


def _check_axis(axis):
    if isinstance(axis, bool):
        raise ValueError(f"`axis` must be of type `int`, not {axis} ({type(axis)})")


def _one_hot_pair(name, y_true, y_pred, label_smoothing, axis):
    """Labels, smoothed, and predictions of one shape (..., classes)."""
    _check_axis(axis)
    y_true, y_pred = matched(y_true, y_pred, exact=True, hint=_HINT)
    if y_pred.shape[-1] == 1:
        warnings.warn(
            f"{name} of a single class is always zero: expected y_pred of shape (batch_size, classes) with classes > 1, "
            f"received shape {y_pred.shape}. For two classes in one column use binary_crossentropy.",
            SyntaxWarning,
            stacklevel=3,
        )
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + label_smoothing / y_true.shape[-1]
    return y_true, y_pred


def _binary_pair(y_true, y_pred, label_smoothing):
    y_true, y_pred = matched(y_true, y_pred, exact=True)
    return (y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing if label_smoothing else y_true), y_pred


def binary_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """Mean over ``axis`` of minus the log probability of labels 0 and 1 (``keras.losses.binary_crossentropy``).

    ``from_logits``: predictions are before the sigmoid. ``label_smoothing`` in [0, 1] pulls labels towards a half.

    >>> round(float(binary_crossentropy([[0.0, 1.0]], [[0.5, 0.5]])[0]), 4)
    0.6931
    """
    y_true, y_pred = _binary_pair(y_true, y_pred, label_smoothing)
    return ops.mean(ops.binary_crossentropy(y_true, y_pred, from_logits=from_logits), axis=axis)


def binary_focal_crossentropy(
    y_true, y_pred, apply_class_balancing=False, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1
):
    """As :func:`binary_crossentropy`, times ``(1 - probability of the label) ** gamma``: easy examples count less.

    ``apply_class_balancing`` weighs label 1 by ``alpha`` and 0 by ``1 - alpha`` (``keras.losses``; Lin et al. 2017).

    >>> round(float(binary_focal_crossentropy([[0.0, 1.0]], [[0.5, 0.5]])[0]), 4)
    0.1733
    """
    y_true, y_pred = _binary_pair(y_true, y_pred, label_smoothing)
    if from_logits:
        y_pred = ops.sigmoid(y_pred)
    likelihood = y_true * y_pred + (1.0 - y_true) * (1.0 - y_pred)
    focal = ops.power(1.0 - likelihood, gamma) * ops.binary_crossentropy(y_true, y_pred)
    if apply_class_balancing:
        focal = focal * (y_true * alpha + (1.0 - y_true) * (1.0 - alpha))
    return ops.mean(focal, axis=axis)


def categorical_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """Minus the log probability of the class in one-hot ``y_true``, classes along ``axis`` (``keras.losses``).

    ``from_logits``: predictions are before the softmax. ``label_smoothing`` in [0, 1] pulls labels towards equal shares.

    >>> round(float(categorical_crossentropy([[0.0, 1.0]], [[0.5, 0.5]])[0]), 4)
    0.6931
    """
    y_true, y_pred = _one_hot_pair("categorical_crossentropy", y_true, y_pred, label_smoothing, axis)
    return ops.categorical_crossentropy(y_true, y_pred, from_logits=from_logits, axis=axis)


def categorical_focal_crossentropy(
    y_true, y_pred, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1
):  # fmt: skip
    """As :func:`categorical_crossentropy`, times ``alpha * (1 - probability) ** gamma``: easy examples count less.

    ``alpha``: a number, or one per class (``keras.losses``; Lin et al. 2017).

    >>> round(float(categorical_focal_crossentropy([[0.0, 1.0]], [[0.5, 0.5]])[0]), 4)
    0.0433
    """
    y_true, y_pred = _one_hot_pair("categorical_focal_crossentropy", y_true, y_pred, label_smoothing, axis)
    if from_logits:
        y_pred = ops.softmax(y_pred, axis=axis)
    p = ops.clip(y_pred / ops.sum(y_pred, axis=axis, keepdims=True), config.epsilon(), 1.0 - config.epsilon())
    return ops.sum(-y_true * ops.log(p) * (ops.power(1.0 - p, gamma) * alpha), axis=axis)


def sparse_categorical_crossentropy(y_true, y_pred, from_logits=False, ignore_class=None, axis=-1):
    """Minus the log probability of the class numbers ``y_true``, classes along ``axis`` of ``y_pred`` (``keras.losses``).

    Examples of class ``ignore_class`` count 0 and are masked, so that means are over the others.

    >>> round(float(sparse_categorical_crossentropy([1], [[0.5, 0.5]])[0]), 4)
    0.6931
    """
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    class_axis = normalize_axis(axis, y_pred.ndim)
    expected = tuple(n for i, n in enumerate(y_pred.shape) if i != class_axis)
    if y_true.ndim == y_pred.ndim and y_true.shape[class_axis] == 1:
        y_true = ops.squeeze(y_true, class_axis)
    if not equal(y_true.shape, expected):
        raise ValueError(
            f"`y_true` must have the shape of `y_pred` without axis {axis}: expected {expected} for `y_pred` of shape "
            f"{y_pred.shape}, received {y_true.shape}."
        )
    if ignore_class is None:
        return ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=from_logits, axis=axis)
    valid = ops.not_equal(y_true, ops.cast(ignore_class, y_true.dtype))
    y_pred = ops.where(ops.expand_dims(valid, class_axis), y_pred, 0.0)
    values = ops.sparse_categorical_crossentropy(ops.where(valid, y_true, 0), y_pred, from_logits=from_logits, axis=axis)
    values = ops.where(valid, values, 0.0)
    values._keras_mask = valid
    return values


def categorical_generalized_cross_entropy(y_true, y_pred, q):
    """``(1 - p ** q) / q`` of the probability ``p`` of class numbers ``y_true``: robust to wrong labels (``keras.losses``;
    Zhang and Sabuncu 2018). ``q`` in (0, 1): near 0 it is cross-entropy, at 1 the absolute error.

    >>> categorical_generalized_cross_entropy([1], [[0.75, 0.25]], q=0.5).tolist()
    [1.0]
    """
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    if not equal(y_true.shape, y_pred.shape[:-1]):
        raise ValueError(f"`y_true` of shape {y_true.shape} are no class numbers for `y_pred` of shape {y_pred.shape}.")
    labels = ops.one_hot(ops.cast(y_true, "int32"), y_pred.shape[-1], dtype=y_pred.dtype)
    return (1.0 - ops.power(ops.sum(y_pred * labels, axis=-1), q)) / q


def kl_divergence(y_true, y_pred):
    """Kullback-Leibler divergence ``sum(y_true * log(y_true / y_pred))`` over the last axis (``keras.losses.kl_divergence``).

    >>> round(float(kl_divergence([[0.5, 0.5]], [[0.25, 0.75]])[0]), 4)
    0.1438
    """
    y_true, y_pred = (ops.clip(y, config.epsilon(), 1.0) for y in matched(y_true, y_pred))
    return ops.sum(y_true * ops.log(y_true / y_pred), axis=-1)


def poisson(y_true, y_pred):
    """Mean of ``y_pred - y_true * log(y_pred)`` over the last axis, for counts and their rates (``keras.losses.poisson``).

    >>> round(float(poisson([[2.0]], [[1.0]])[0]), 4)
    1.0
    """
    y_true, y_pred = matched(y_true, y_pred)
    return ops.mean(y_pred - y_true * ops.log(y_pred + config.epsilon()), axis=-1)


def ctc(y_true, y_pred):
    """Connectionist temporal classification: class numbers (batch, length), 0 for blank and padding, and logits
    (batch, time, classes) give one value per sequence (``keras.losses.ctc``; Graves et al. 2006).

    >>> round(float(ctc([[1, 2]], [[[0.0, 9.0, 0.0], [0.0, 0.0, 9.0]]])[0]), 4)
    0.0005
    """
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    if y_true.ndim != 2:
        raise ValueError(f"`y_true` must be class numbers of shape (batch_size, length). Received: y_true.shape={y_true.shape}")
    if y_pred.ndim != 3:
        raise ValueError(f"`y_pred` must be logits of shape (batch_size, time, classes). Received: y_pred.shape={y_pred.shape}")
    used = ops.sum(ops.cast(ops.not_equal(y_true, 0), "int32"), axis=-1)
    steps = ops.ones_like(used) * y_pred.shape[1]
    return ops.ctc_loss(ops.cast(y_true, "int32"), y_pred, used, steps, mask_index=0)


class BinaryCrossentropy(FunctionLoss):
    """:func:`binary_crossentropy` as a loss (``keras.losses.BinaryCrossentropy``).

    >>> round(float(BinaryCrossentropy(from_logits=True)([[0.0, 1.0]], [[0.0, 0.0]])), 4)
    0.6931
    """

    fn = staticmethod(binary_crossentropy)
    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1
    name: str | None = "binary_crossentropy"


class BinaryFocalCrossentropy(FunctionLoss):
    """:func:`binary_focal_crossentropy` as a loss (``keras.losses.BinaryFocalCrossentropy``).

    >>> round(float(BinaryFocalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]])), 4)
    0.1733
    """

    fn = staticmethod(binary_focal_crossentropy)
    apply_class_balancing: bool = False
    alpha: float = 0.25
    gamma: float = 2.0
    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1
    name: str | None = "binary_focal_crossentropy"


class CategoricalCrossentropy(FunctionLoss):
    """:func:`categorical_crossentropy` as a loss, for one-hot labels (``keras.losses.CategoricalCrossentropy``).

    >>> round(float(CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]])), 4)
    0.6931
    """

    fn = staticmethod(categorical_crossentropy)
    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1
    name: str | None = "categorical_crossentropy"


class CategoricalFocalCrossentropy(FunctionLoss):
    """:func:`categorical_focal_crossentropy` as a loss (``keras.losses.CategoricalFocalCrossentropy``).

    >>> round(float(CategoricalFocalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]])), 4)
    0.0433
    """

    fn = staticmethod(categorical_focal_crossentropy)
    alpha: float = 0.25
    gamma: float = 2.0
    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1
    name: str | None = "categorical_focal_crossentropy"


class SparseCategoricalCrossentropy(FunctionLoss):
    """:func:`sparse_categorical_crossentropy` as a loss, for class numbers (``keras.losses.SparseCategoricalCrossentropy``).

    >>> round(float(SparseCategoricalCrossentropy(ignore_class=0)([1, 0], [[0.5, 0.5], [0.1, 0.9]])), 4)
    0.6931
    """

    fn = staticmethod(sparse_categorical_crossentropy)
    left_out_of_config = ("axis",)
    fields = {}
    from_logits: bool = False
    ignore_class: int | None = None
    reduction: str | None = "sum_over_batch_size"
    axis: int = -1
    name: str | None = "sparse_categorical_crossentropy"
    dtype: str | None = None


class CategoricalGeneralizedCrossEntropy(FunctionLoss):
    """:func:`categorical_generalized_cross_entropy` as a loss (``keras.losses.CategoricalGeneralizedCrossEntropy``).

    >>> float(CategoricalGeneralizedCrossEntropy()([1], [[0.75, 0.25]]))
    1.0
    """

    fn = staticmethod(categorical_generalized_cross_entropy)
    q: float = 0.5
    name: str | None = "categorical_generalized_cross_entropy"

    def check(self):
        super().check()
        if not 0 < self.q < 1:
            raise ValueError(f"q must be in the interval (0, 1). Received: q={self.q}")


class KLDivergence(FunctionLoss):
    """:func:`kl_divergence` as a loss (``keras.losses.KLDivergence``).

    >>> round(float(KLDivergence()([[0.5, 0.5]], [[0.25, 0.75]])), 4)
    0.1438
    """

    fn = staticmethod(kl_divergence)
    name: str | None = "kl_divergence"


class Poisson(FunctionLoss):
    """:func:`poisson` as a loss (``keras.losses.Poisson``).

    >>> round(float(Poisson()([[2.0]], [[1.0]])), 4)
    1.0
    """

    fn = staticmethod(poisson)
    name: str | None = "poisson"


class CTC(FunctionLoss):
    """:func:`ctc` as a loss (``keras.losses.CTC``).

    >>> round(float(CTC()([[1, 2]], [[[0.0, 9.0, 0.0], [0.0, 0.0, 9.0]]])), 4)
    0.0005
    """

    fn = staticmethod(ctc)
    name: str | None = "ctc"
