"""Pooling layers: the largest or the mean of windows, of everything, or of as many windows as one wants."""

from kerasish import ops
from kerasish.layers.arguments import DataFormat, standardize_tuple
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.layer import Layer
from kerasish.saveable import ForBase


class BasePooling(Layer):
    """Windows of ``pool_size`` moved by ``strides`` (``pool_size`` if None); ``_pool`` is the op."""

    built = True
    rank = None
    _pool = None
    pool_size: tuple
    strides: tuple = None
    padding: str = "valid"
    data_format: DataFormat = None
    name: ForBase = None

    def check(self):
        super().check()
        self.pool_size = standardize_tuple(self.pool_size, self.rank, "pool_size")
        self.strides = self.pool_size if self.strides is None else standardize_tuple(self.strides, self.rank, "strides")
        if self.padding not in ("valid", "same"):
            raise ValueError(f"`padding` is one of 'valid', 'same', not {self.padding}")
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, inputs):
        return type(self)._pool(inputs, self.pool_size, self.strides, self.padding, self.data_format)


class MaxPooling1D(BasePooling):
    """The largest of each window of steps (``keras.layers.MaxPooling1D``).

    >>> MaxPooling1D(2)(ops.ones((2, 8, 3))).shape
    (2, 4, 3)
    """

    rank, _pool = 1, ops.max_pool
    pool_size: tuple = 2


class MaxPooling2D(BasePooling):
    """The largest of each window of an image (``keras.layers.MaxPooling2D``).

    >>> MaxPooling2D()(ops.ones((2, 8, 8, 3))).shape
    (2, 4, 4, 3)
    """

    rank, _pool = 2, ops.max_pool
    pool_size: tuple = (2, 2)


class MaxPooling3D(BasePooling):
    """The largest of each window of a volume (``keras.layers.MaxPooling3D``).

    >>> MaxPooling3D()(ops.ones((1, 4, 4, 4, 2))).shape
    (1, 2, 2, 2, 2)
    """

    rank, _pool = 3, ops.max_pool
    pool_size: tuple = (2, 2, 2)


class AveragePooling1D(BasePooling):
    """The mean of each window of steps (``keras.layers.AveragePooling1D``).

    >>> AveragePooling1D(2)(ops.array([[[1.0], [3.0]]])).tolist()
    [[[2.0]]]
    """

    rank, _pool = 1, ops.average_pool


class AveragePooling2D(BasePooling):
    """The mean of each window of an image (``keras.layers.AveragePooling2D``).

    >>> AveragePooling2D(2, padding="same")(ops.ones((2, 5, 5, 3))).shape
    (2, 3, 3, 3)
    """

    rank, _pool = 2, ops.average_pool


class AveragePooling3D(BasePooling):
    """The mean of each window of a volume (``keras.layers.AveragePooling3D``).

    >>> AveragePooling3D(2)(ops.ones((1, 4, 4, 4, 2))).shape
    (1, 2, 2, 2, 2)
    """

    rank, _pool = 3, ops.average_pool


# ---- over everything
class GlobalPooling(Layer):
    built = True
    rank = None
    data_format: DataFormat = None
    keepdims: bool = False

    def check(self):
        super().check()
        self.input_spec = InputSpec(ndim=self.rank + 2)

    @property
    def _axes(self):
        first = 2 if self.data_format == "channels_first" else 1
        return tuple(range(first, first + self.rank))


class _GlobalMax(GlobalPooling):
    def call(self, inputs):
        return ops.max(inputs, axis=self._axes, keepdims=self.keepdims)


class _GlobalAverage(GlobalPooling):
    def call(self, inputs):
        return ops.mean(inputs, axis=self._axes, keepdims=self.keepdims)


class GlobalMaxPooling1D(_GlobalMax):
    """The largest over all steps (``keras.layers.GlobalMaxPooling1D``).

    >>> GlobalMaxPooling1D()(ops.ones((2, 8, 3))).shape
    (2, 3)
    """

    rank = 1


class GlobalMaxPooling2D(_GlobalMax):
    """The largest over the image (``keras.layers.GlobalMaxPooling2D``).

    >>> GlobalMaxPooling2D(keepdims=True)(ops.ones((2, 8, 8, 3))).shape
    (2, 1, 1, 3)
    """

    rank = 2


class GlobalMaxPooling3D(_GlobalMax):
    """The largest over the volume (``keras.layers.GlobalMaxPooling3D``).

    >>> GlobalMaxPooling3D()(ops.ones((2, 4, 4, 4, 3))).shape
    (2, 3)
    """

    rank = 3


class GlobalAveragePooling1D(_GlobalAverage):
    """The mean over all steps, of those that the mask keeps if there is one (``keras.layers.GlobalAveragePooling1D``).

    >>> GlobalAveragePooling1D()(ops.ones((2, 8, 3))).shape
    (2, 3)
    """

    rank = 1
    supports_masking = True

    def call(self, inputs, mask=None):
        if mask is None:
            return super().call(inputs)
        (axis,) = self._axes
        weights = ops.expand_dims(ops.cast(mask, inputs.dtype), 2 if axis == 1 else 1)
        return ops.sum(inputs * weights, axis=axis, keepdims=self.keepdims) / ops.sum(weights, axis=axis, keepdims=self.keepdims)

    def compute_mask(self, inputs, previous_mask=None):
        return None


class GlobalAveragePooling2D(_GlobalAverage):
    """The mean over the image (``keras.layers.GlobalAveragePooling2D``).

    >>> GlobalAveragePooling2D()(ops.ones((2, 8, 8, 3))).shape
    (2, 3)
    """

    rank = 2


class GlobalAveragePooling3D(_GlobalAverage):
    """The mean over the volume (``keras.layers.GlobalAveragePooling3D``).

    >>> GlobalAveragePooling3D()(ops.ones((2, 4, 4, 4, 3))).shape
    (2, 3)
    """

    rank = 3


# ---- as many windows as one wants
class _AdaptivePooling(Layer):
    rank = None
    _pool = None
    output_size: tuple
    data_format: DataFormat = None

    def check(self):
        super().check()
        try:
            self.output_size = standardize_tuple(self.output_size, self.rank, "output_size")
        except ValueError as error:
            raise TypeError(str(error)) from None  # as Keras, here and only here
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, inputs):
        return type(self)._pool(inputs, self.output_size, self.data_format)


class AdaptiveAveragePooling1D(_AdaptivePooling):
    """Means of ``output_size`` windows that share the steps evenly (``keras.layers.AdaptiveAveragePooling1D``).

    >>> AdaptiveAveragePooling1D(3)(ops.ones((2, 8, 3))).shape
    (2, 3, 3)
    """

    rank, _pool = 1, ops.adaptive_average_pool


class AdaptiveAveragePooling2D(_AdaptivePooling):
    """Means of windows that share the image evenly (``keras.layers.AdaptiveAveragePooling2D``).

    >>> AdaptiveAveragePooling2D(2)(ops.ones((2, 7, 7, 3))).shape
    (2, 2, 2, 3)
    """

    rank, _pool = 2, ops.adaptive_average_pool


class AdaptiveAveragePooling3D(_AdaptivePooling):
    """Means of windows that share the volume evenly (``keras.layers.AdaptiveAveragePooling3D``).

    >>> AdaptiveAveragePooling3D(2)(ops.ones((1, 4, 4, 4, 2))).shape
    (1, 2, 2, 2, 2)
    """

    rank, _pool = 3, ops.adaptive_average_pool


class AdaptiveMaxPooling1D(_AdaptivePooling):
    """The largest of ``output_size`` windows that share the steps evenly (``keras.layers.AdaptiveMaxPooling1D``).

    >>> AdaptiveMaxPooling1D(3)(ops.ones((2, 8, 3))).shape
    (2, 3, 3)
    """

    rank, _pool = 1, ops.adaptive_max_pool


class AdaptiveMaxPooling2D(_AdaptivePooling):
    """The largest of windows that share the image evenly (``keras.layers.AdaptiveMaxPooling2D``).

    >>> AdaptiveMaxPooling2D(2)(ops.ones((2, 7, 7, 3))).shape
    (2, 2, 2, 3)
    """

    rank, _pool = 2, ops.adaptive_max_pool


class AdaptiveMaxPooling3D(_AdaptivePooling):
    """The largest of windows that share the volume evenly (``keras.layers.AdaptiveMaxPooling3D``).

    >>> AdaptiveMaxPooling3D(2)(ops.ones((1, 4, 4, 4, 2))).shape
    (1, 2, 2, 2, 2)
    """

    rank, _pool = 3, ops.adaptive_max_pool


MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
GlobalMaxPool1D, GlobalMaxPool2D, GlobalMaxPool3D = GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D
GlobalAvgPool1D, GlobalAvgPool2D, GlobalAvgPool3D = GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalAveragePooling3D
