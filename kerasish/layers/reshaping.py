"""Layers that move, repeat, pad or crop elements."""

import math

import numpy as np

from kerasish import ops
from kerasish.backend.autodiff import shapes
from kerasish.layers.arguments import DataFormat, standardize_tuple
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.layer import Layer
from kerasish.ops.sizes import is_open


class Flatten(Layer):
    """All axes but the batch axis in one (``keras.layers.Flatten``). "channels_first" data is read as if channels were last.

    >>> Flatten()(ops.ones((2, 3, 4))).shape
    (2, 12)
    """

    data_format: DataFormat = None

    def check(self):
        super().check()
        self.input_spec = InputSpec(min_ndim=1)

    def call(self, inputs):
        if self.data_format == "channels_first" and inputs.ndim > 1:
            inputs = ops.transpose(inputs, (0, *range(2, inputs.ndim), 1))
        batch, *sizes = ops.shape(inputs)
        return ops.reshape(inputs, (batch, -1 if None in sizes else math.prod(sizes)))


class Reshape(Layer):
    """Elements of each example in the shape ``target_shape``, one size of which may be -1 (``keras.layers.Reshape``).

    >>> Reshape((3, -1))(ops.ones((2, 6))).shape
    (2, 3, 2)
    """

    built = True
    target_shape: tuple

    def check(self):
        super().check()
        self.target_shape = tuple(self.target_shape)
        if any(n < -1 for n in self.target_shape) or self.target_shape.count(-1) > 1:
            raise ValueError(
                "`target_shape` must hold non-negative integers and at most one unknown dimension (-1). "
                f"Received: target_shape={self.target_shape}"
            )

    def call(self, inputs):
        batch, *sizes = ops.shape(inputs)
        target = shapes.reshaped(tuple(sizes), self.target_shape)
        return ops.reshape(inputs, (batch, *[-1 if n is None else n for n in target]))


class Permute(Layer):
    """Axes of each example in another order; ``dims`` counts from 1 (``keras.layers.Permute``).

    >>> Permute((2, 1))(ops.ones((1, 2, 3))).shape
    (1, 3, 2)
    """

    dims: tuple

    def check(self):
        super().check()
        self.dims = tuple(self.dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(f"Invalid permutation `dims`: each of 1, 2, ... has to be there once, got {self.dims}")
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs):
        return ops.transpose(inputs, (0, *self.dims))


class RepeatVector(Layer):
    """Each vector ``n`` times along a new axis: ``(batch, size)`` to ``(batch, n, size)`` (``keras.layers.RepeatVector``).

    >>> RepeatVector(2)(ops.array([[1.0, 2.0]])).tolist()
    [[[1.0, 2.0], [1.0, 2.0]]]
    """

    n: int

    def check(self):
        super().check()
        _positive_int("n", self.n)
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs):
        return ops.repeat(ops.expand_dims(inputs, 1), self.n, axis=1)


def _positive_int(name, value):
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"Expected an integer value for `{name}`, got {type(value)}.")
    if value <= 0:
        raise ValueError(f"Argument `{name}` should be a positive integer. Received: {name}={value}")


class _Spatial(Layer):
    """Base of layers that work on ``rank`` axes between batch and channels, or after them ("channels_first")."""

    rank = None
    data_format = "channels_last"

    def check(self):
        super().check()
        self.input_spec = InputSpec(ndim=self.rank + 2)

    @property
    def _axes(self):
        first = 2 if self.data_format == "channels_first" else 1
        return range(first, first + self.rank)


# ---- up-sampling
class _UpSampling(_Spatial):
    interpolation = "nearest"

    def check(self):
        super().check()
        self.size = standardize_tuple(self.size, self.rank, "size")

    def call(self, inputs):
        sizes = [inputs.shape[axis] for axis in self._axes]
        if self.interpolation == "nearest" or None in sizes:  # where sizes are unknown only the shape matters
            return self._repeated(inputs)
        if is_open(sizes):
            sizes = [n * factor for n, factor in zip(sizes, self.size, strict=True)]
            return ops.image.resize(inputs, sizes, self.interpolation, data_format=self.data_format)
        for axis, size, factor in zip(self._axes, sizes, self.size, strict=True):
            weights = ops.convert_to_tensor(_interpolation(size, factor, self.interpolation), inputs.dtype)
            inputs = ops.moveaxis(ops.tensordot(weights, inputs, axes=[[1], [axis]]), 0, axis)
        return inputs

    def _repeated(self, x):
        for axis, factor in zip(self._axes, self.size if self.rank > 1 else [self.size], strict=True):
            x = ops.repeat(x, factor, axis=axis)
        return x


def _triangle(x):
    return np.maximum(1 - x, 0)


def _cubic(x):  # R. Keys 1981 with a = -0.5
    near, far = ((1.5 * x - 2.5) * x) * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x >= 2, 0, np.where(x >= 1, far, near))


def _lanczos(radius):
    return lambda x: np.where(x < radius, np.sinc(x) * np.sinc(x / radius), 0)


_KERNELS = {"bilinear": _triangle, "bicubic": _cubic, "lanczos3": _lanczos(3), "lanczos5": _lanczos(5)}


def _interpolation(size, factor, kernel):
    """Weights (size * factor, size) of the elements around each new one, whose centres lie half an element in."""
    places = (np.arange(size * factor) + 0.5) / factor - 0.5
    weights = _KERNELS[kernel](np.abs(places[:, None] - np.arange(size)))
    return weights / weights.sum(axis=1, keepdims=True)


class UpSampling1D(_UpSampling):
    """Each time step ``size`` times (``keras.layers.UpSampling1D``): ``(batch, steps, features)``.

    >>> UpSampling1D(2)(ops.array([[[1.0], [2.0]]]))[0, :, 0].tolist()
    [1.0, 1.0, 2.0, 2.0]
    """

    rank = 1
    size: int = 2

    def check(self):
        _positive_int("size", self.size)
        _Spatial.check(self)


class UpSampling2D(_UpSampling):
    """Images enlarged by whole factors (``keras.layers.UpSampling2D``), by ``interpolation`` "nearest", "bilinear", "bicubic",
    "lanczos3" or "lanczos5".

    >>> UpSampling2D((2, 3))(ops.ones((1, 2, 2, 1))).shape
    (1, 4, 6, 1)
    """

    rank = 2
    size: tuple = (2, 2)
    data_format: DataFormat = None
    interpolation: str = "nearest"

    def check(self):
        super().check()
        self.interpolation = self.interpolation.lower()
        if self.interpolation not in ("nearest", *_KERNELS):
            raise ValueError(f"`interpolation` must be one of {['nearest', *_KERNELS]}. Received: interpolation={self.interpolation}")


class UpSampling3D(_UpSampling):
    """Volumes enlarged by repeating their elements (``keras.layers.UpSampling3D``).

    >>> UpSampling3D(2)(ops.ones((1, 2, 2, 2, 1))).shape
    (1, 4, 4, 4, 1)
    """

    rank = 3
    size: tuple = (2, 2, 2)
    data_format: DataFormat = None


# ---- padding and cropping
def _pairs(value, rank, name):
    """What to do before and after each axis: from one integer, one for each axis, or a pair for each axis."""
    if isinstance(value, int):
        value = (value,) * rank
    if not hasattr(value, "__len__") or len(value) != rank:
        raise ValueError(f"`{name}` should be an int or have {rank} elements, each an int or a pair. Received: {name}={value}.")
    return tuple(standardize_tuple(item, 2, f"entry {i} of {name}", allow_zero=True) for i, item in enumerate(value))


class _ZeroPadding(_Spatial):
    def check(self):
        super().check()
        if self.rank == 1:
            self.padding = standardize_tuple(self.padding, 2, "padding", allow_zero=True)
        else:
            self.padding = _pairs(self.padding, self.rank, "padding")

    def call(self, inputs):
        widths = [(0, 0)] * inputs.ndim
        for axis, pair in zip(self._axes, [self.padding] if self.rank == 1 else self.padding, strict=True):
            widths[axis] = tuple(pair)
        return ops.pad(inputs, tuple(widths))


class ZeroPadding1D(_ZeroPadding):
    """Zeros before and after the steps: ``padding`` or ``(before, after)`` (``keras.layers.ZeroPadding1D``).

    >>> ZeroPadding1D((1, 0))(ops.ones((1, 2, 1)))[0, :, 0].tolist()
    [0.0, 1.0, 1.0]
    """

    rank = 1
    padding: tuple = 1
    data_format: DataFormat = None


class ZeroPadding2D(_ZeroPadding):
    """Zeros around images (``keras.layers.ZeroPadding2D``): one width, one for each axis, or ``((top, bottom), (left, right))``.

    >>> ZeroPadding2D(((1, 0), (2, 2)))(ops.ones((1, 2, 2, 1))).shape
    (1, 3, 6, 1)
    """

    rank = 2
    padding: tuple = (1, 1)
    data_format: DataFormat = None


class ZeroPadding3D(_ZeroPadding):
    """Zeros around volumes (``keras.layers.ZeroPadding3D``): one width, one for each axis, or a pair for each axis.

    >>> ZeroPadding3D(1)(ops.ones((1, 2, 2, 2, 1))).shape
    (1, 4, 4, 4, 1)
    """

    rank = 3
    padding: tuple = ((1, 1), (1, 1), (1, 1))
    data_format: DataFormat = None


class _Cropping(_Spatial):
    def check(self):
        super().check()
        if self.rank == 1:
            self.cropping = standardize_tuple(self.cropping, 2, "cropping", allow_zero=True)
        else:
            self.cropping = _pairs(self.cropping, self.rank, "cropping")

    def call(self, inputs):
        key = [slice(None)] * inputs.ndim
        for axis, pair in zip(self._axes, [self.cropping] if self.rank == 1 else self.cropping, strict=True):
            before, after = pair
            if inputs.shape[axis] is not None and before + after >= inputs.shape[axis]:
                raise ValueError(
                    "Values in `cropping` argument should be smaller than the corresponding spatial dimension of the input. Got "
                    f"{self.cropping} for shape {inputs.shape}"
                )
            key[axis] = slice(before, -after if after else None)
        return inputs[tuple(key)]


class Cropping1D(_Cropping):
    """The steps without the first and last few: ``cropping`` or ``(before, after)`` (``keras.layers.Cropping1D``).

    >>> Cropping1D((1, 0))(ops.array([[[1.0], [2.0]]])).tolist()
    [[[2.0]]]
    """

    rank = 1
    cropping: tuple = (1, 1)


class Cropping2D(_Cropping):
    """Images without their edges (``keras.layers.Cropping2D``): one width, one for each axis, or a pair for each axis.

    >>> Cropping2D(((1, 0), (1, 1)))(ops.ones((1, 4, 4, 1))).shape
    (1, 3, 2, 1)
    """

    rank = 2
    cropping: tuple = ((0, 0), (0, 0))
    data_format: DataFormat = None


class Cropping3D(_Cropping):
    """Volumes without their edges (``keras.layers.Cropping3D``): one width, one for each axis, or a pair for each axis.

    >>> Cropping3D(1)(ops.ones((1, 4, 4, 4, 1))).shape
    (1, 2, 2, 2, 1)
    """

    rank = 3
    cropping: tuple = ((1, 1), (1, 1), (1, 1))
    data_format: DataFormat = None
