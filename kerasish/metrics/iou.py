"""Intersection over union of segmentations: overlap by the size of what either holds, class by class."""

import warnings

from kerasish import config, ops
from kerasish.loading import spend
from kerasish.metrics.metric import Metric


class IoU(Metric):
    """Mean intersection over union of the classes ``target_class_ids`` (``keras.metrics.IoU``).

    Inputs are class numbers, or with ``sparse_y_true=False`` or ``sparse_y_pred=False`` scores of the classes along ``axis``.
    Labels ``ignore_class`` and numbers that are no class are left out. Classes that never occur don't count.

    >>> round(float(IoU(num_classes=2, target_class_ids=[0])([0, 0, 1, 1], [0, 1, 0, 1])), 4)
    0.3333
    """

    _direction = "up"
    fields = {}
    num_classes: int
    target_class_ids: list | tuple
    name: str | None = None
    dtype: str | None = None
    ignore_class: int | None = None
    sparse_y_true: bool = True
    sparse_y_pred: bool = True
    axis: int = -1

    def check(self):
        self._dtype = self.dtype or "int"
        self.target_class_ids = list(self.target_class_ids)
        if max(self.target_class_ids) >= self.num_classes:
            raise ValueError(f"`target_class_ids` hold {max(self.target_class_ids)}, out of range [0, {self.num_classes}).")
        super().check()

    def add_state(self):
        shape = (self.num_classes, self.num_classes)
        self.total_cm = self.add_variable(shape, "zeros", self.dtype, name="total_confusion_matrix")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch of any shape; weights are broadcast to the labels."""
        y_true = self._class_numbers(y_true, self.sparse_y_true)
        y_pred = self._class_numbers(y_pred, self.sparse_y_pred)
        if "float" in str(getattr(sample_weight, "dtype", "")) and "int" in self.dtype:
            message = "Your weights are `float`, dtype is `int`: casting cuts them. Use integer weights, or dtype='float32'."
            warnings.warn(message, stacklevel=2)
        weight = ops.convert_to_tensor(1 if sample_weight is None else sample_weight, dtype=self.dtype)
        weight = ops.broadcast_to(ops.reshape(weight, (-1,)) if weight.ndim > 1 else weight, ops.shape(y_true))
        known = ops.logical_and(self._is_class(y_true), self._is_class(y_pred))
        if self.ignore_class is not None:
            known = ops.logical_and(known, ops.not_equal(y_true, self.ignore_class))
        cells = ops.where(known, y_true * self.num_classes + y_pred, 0)
        counts = ops.segment_sum(ops.where(known, weight, 0), cells, self.num_classes**2)
        self.total_cm.assign_add(ops.cast(ops.reshape(counts, self.total_cm.shape), self.dtype))

    def _class_numbers(self, y, sparse):
        y = ops.convert_to_tensor(y)
        return ops.reshape(ops.cast(y if sparse else ops.argmax(y, axis=self.axis), "int32"), (-1,))

    def _is_class(self, y):
        return ops.logical_and(ops.greater_equal(y, 0), ops.less(y, self.num_classes))

    def result(self):
        counts = ops.cast(self.total_cm, "float32")
        right = ops.diagonal(counts)
        union = ops.sum(counts, axis=0) + ops.sum(counts, axis=1) - right
        right, union = (ops.take(x, self.target_class_ids, axis=0) for x in (right, union))
        occurs = ops.greater(union, 1e-9)
        ratios = ops.where(occurs, right / (union + config.epsilon()), 0.0)
        return ops.sum(ratios) / (ops.sum(ops.cast(occurs, "float32")) + config.epsilon())


class BinaryIoU(IoU):
    """IoU of the classes 0 and 1, which predictions are cut into at ``threshold`` (``keras.metrics.BinaryIoU``).

    >>> round(float(BinaryIoU()([0, 1, 0, 1], [0.1, 0.2, 0.4, 0.7])), 4)
    0.5833
    """

    fields = {}
    num_classes = 2
    ignore_class = None
    sparse_y_true = sparse_y_pred = True
    axis = -1
    target_class_ids: list | tuple = (0, 1)
    threshold: float = 0.5
    name: str | None = None
    dtype: str | None = None

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_pred = ops.greater_equal(ops.convert_to_tensor(y_pred, dtype="float32"), self.threshold)
        super().update_state(y_true, y_pred, sample_weight)


class MeanIoU(IoU):
    """Mean IoU of all classes (``keras.metrics.MeanIoU``).

    >>> round(float(MeanIoU(num_classes=2)([0, 0, 1, 1], [0, 1, 0, 1])), 4)
    0.3333
    """

    fields = {}
    num_classes: int
    name: str | None = None
    dtype: str | None = None
    ignore_class: int | None = None
    sparse_y_true: bool = True
    sparse_y_pred: bool = True
    axis: int = -1

    def check(self):
        spend("values", self.num_classes)
        self.target_class_ids = range(self.num_classes)
        super().check()


class OneHotIoU(IoU):
    """IoU for one-hot labels and, by default, scores (``keras.metrics.OneHotIoU``).

    >>> metric = OneHotIoU(num_classes=2, target_class_ids=[1])
    >>> round(float(metric([[0, 1], [1, 0]], [[0.1, 0.9], [0.2, 0.8]])), 4)
    0.5
    """

    fields = {}
    sparse_y_true = False
    num_classes: int
    target_class_ids: list | tuple
    name: str | None = None
    dtype: str | None = None
    ignore_class: int | None = None
    sparse_y_pred: bool = False
    axis: int = -1


class OneHotMeanIoU(MeanIoU):
    """Mean IoU of all classes for one-hot labels and, by default, scores (``keras.metrics.OneHotMeanIoU``).

    >>> round(float(OneHotMeanIoU(num_classes=2)([[0, 1], [1, 0]], [[0.1, 0.9], [0.2, 0.8]])), 4)
    0.25
    """

    fields = {}
    sparse_y_true = False
    num_classes: int
    name: str | None = None
    dtype: str | None = None
    ignore_class: int | None = None
    sparse_y_pred: bool = False
    axis: int = -1
