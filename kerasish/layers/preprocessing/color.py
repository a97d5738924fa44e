"""Image layers that change colors in training: brightness, contrast, hue, saturation, sharpness and the like."""

from kerasish import config, ops, random
from kerasish.layers.arguments import DataFormat
from kerasish.layers.preprocessing.base import BaseImagePreprocessingLayer, factor_range


# ---- what the layers share
def checked_range(value_range):
    """The smallest and the largest value that images have, as a sorted pair; ValueError for anything else."""
    if not isinstance(value_range, (tuple, list)) or len(value_range) != 2:
        raise ValueError(f"The `value_range` argument should be a list of two numbers, got {value_range}")
    return tuple(sorted(value_range))


def per_image(x, dtype=None):
    """Numbers that stand for one image each, so that they broadcast with a batch of images."""
    x = ops.reshape(x, (-1, 1, 1, 1))
    return x if dtype is None else ops.cast(x, dtype)


class ColorLayer(BaseImagePreprocessingLayer):
    """Base of layers that change colors; labels, boxes and masks stay as they are.

    Subclasses have ``_changed(images, transformation)``, for a batch of images in the layer's dtype.
    """

    def check(self):
        super().check()
        if "value_range" in self.fields:
            self.value_range = checked_range(self.value_range)

    def transform_images(self, images, transformation=None, training=True):
        return super().transform_images(images, transformation, training)

    def _transform_images(self, images, transformation, interpolation):
        return self._changed(images, transformation)

    def _in_range(self, images):
        return ops.clip(images, *self.value_range)

    def _rescaled(self, images, old, new):
        return self._transform_value_range(images, old, new, self.compute_dtype)


class _RandomColor(ColorLayer):
    """Base of those that are random: subclasses have ``_draw(batch, seed)`` too, the transformation for a batch of that size."""

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        batch, _, _ = self._sizes(data)
        return self._draw(batch, self.generator if seed is None else seed)

    def _chosen(self, batch, seed):
        """Which images are changed: each with a probability that is drawn between the bounds of ``factor``."""
        probability = random.uniform((batch,), *self.factor, seed=seed)
        return random.uniform((batch,), seed=seed) < probability


# ---- the layers
class RandomBrightness(_RandomColor):
    """Adds to each image a share of the value range, drawn from ``factor``, in training (``keras.layers.RandomBrightness``).

    ``factor``: the bounds of that share, from -1 to 1; a number f means ``(-f, f)``. Values stay in ``value_range``.

    >>> RandomBrightness((0.2, 0.2), value_range=(0, 10))(ops.ones((1, 1, 1, 1)), training=True).tolist()
    [[[[3.0]]]]
    """

    factor: float
    value_range: tuple = (0, 255)
    seed: int = None

    def _draw(self, batch, seed):
        low, high = self.value_range
        return {"rgb_delta": random.uniform((batch, 1, 1, 1), *self.factor, seed=seed) * (high - low)}

    def _changed(self, images, transformation):
        return self._in_range(images + ops.cast(transformation["rgb_delta"], images.dtype))


class RandomContrast(_RandomColor):
    """Stretches each channel about its mean by a factor in training (``keras.layers.RandomContrast``).

    ``factor``: for a pair ``(a, b)`` from 0 to 1 the contrast lies between ``1 - a`` and ``1 + b``; a number b means ``(0, b)``.

    >>> RandomContrast(0.5)(ops.ones((1, 2, 2, 1)), training=True).shape
    (1, 2, 2, 1)
    """

    _FACTOR_BOUNDS = (0, 1)
    factor: float
    value_range: tuple = (0, 255)
    seed: int = None

    def _draw(self, batch, seed):
        less, more = self.factor
        return {"contrast_factor": random.uniform((batch, 1, 1, 1), 1.0 - less, 1.0 + more, self.compute_dtype, seed)}

    def _changed(self, images, transformation):
        mean = ops.mean(images, (self.height_axis, self.width_axis), keepdims=True)
        return self._in_range((images - mean) * ops.cast(transformation["contrast_factor"], images.dtype) + mean)


class RandomHue(_RandomColor):
    """Turns the hue of each image, either way, in training (``keras.layers.RandomHue``).

    ``factor``: bounds from 0 to 1 of the angle, where 1 is half a turn; a number f means ``(0, f)``.

    >>> RandomHue((1.0, 1.0), (0, 1))(ops.reshape([1.0, 0.0, 0.0], (1, 1, 1, 3)), training=True).tolist()
    [[[[0.0, 1.0, 1.0]]]]
    """

    _FACTOR_BOUNDS = (0, 1)
    factor: float
    value_range: tuple = (0, 255)
    data_format: DataFormat = None
    seed: int = None

    def _draw(self, batch, seed):
        sign = ops.where(random.uniform((batch,), seed=seed) > 0.5, -1.0, 1.0)
        return {"factor": sign * random.uniform((batch,), *self.factor, seed=seed) * 0.5}

    def _changed(self, images, transformation):
        images = self._transform_value_range(images, self.value_range, (0, 1))
        images = ops.image.rgb_to_hsv(images, data_format=self.data_format)
        hue, saturation, value = ops.split(images, 3, axis=self.channel_axis)
        hue = hue + per_image(transformation["factor"], images.dtype)
        hue = ops.where(hue > 1.0, hue - 1.0, hue)
        hue = ops.where(hue < 0.0, hue + 1.0, hue)
        images = ops.concatenate([hue, saturation, value], axis=self.channel_axis)
        images = ops.clip(ops.image.hsv_to_rgb(images, data_format=self.data_format), 0, 1)
        return ops.cast(self._transform_value_range(images, (0, 1), self.value_range), self.compute_dtype)


class RandomSaturation(_RandomColor):
    """Multiplies the saturation of each image in training (``keras.layers.RandomSaturation``).

    ``factor``: bounds of a number f drawn, and ``f / (1 - f)`` multiplies: 0 gives gray, 0.5 the same image, 1 full saturation.

    >>> RandomSaturation((0.0, 0.0))(ops.reshape([9.0, 3.0, 3.0], (1, 1, 1, 3)), training=True).tolist()
    [[[[9.0, 9.0, 9.0]]]]
    """

    factor: float
    value_range: tuple = (0, 255)
    data_format: DataFormat = None
    seed: int = None

    def _draw(self, batch, seed):
        factor = random.uniform((batch,), *self.factor, seed=seed)
        return {"factor": factor / (1 - factor + config.epsilon())}

    def _changed(self, images, transformation):
        images = ops.image.rgb_to_hsv(images, data_format=self.data_format)
        hue, saturation, value = ops.split(images, 3, axis=self.channel_axis)
        saturation = self._in_range(saturation * per_image(transformation["factor"], images.dtype))
        images = ops.concatenate([hue, saturation, value], axis=self.channel_axis)
        return ops.image.hsv_to_rgb(images, data_format=self.data_format)


class RandomColorJitter(_RandomColor):
    """Random brightness, contrast, saturation and hue, in that order, each unless None (``keras.layers.RandomColorJitter``).

    The factors are those of the layers that do it: :class:`RandomBrightness` and so on.

    >>> RandomColorJitter((0, 10), brightness_factor=(0.2, 0.2))(ops.ones((1, 1, 1, 1)), training=True).tolist()
    [[[[3.0]]]]
    """

    value_range: tuple = (0, 255)
    brightness_factor: float = None
    contrast_factor: float = None
    saturation_factor: float = None
    hue_factor: float = None
    seed: int = None
    data_format: DataFormat = None

    def check(self):
        super().check()
        self.random_brightness = self._part(RandomBrightness, self.brightness_factor)
        self.random_contrast = self._part(RandomContrast, self.contrast_factor)
        self.random_saturation = self._part(RandomSaturation, self.saturation_factor)
        self.random_hue = self._part(RandomHue, self.hue_factor)

    def _part(self, cls, factor):
        if factor is None:
            return None
        return cls(factor, self.value_range, seed=self.seed, data_format=self.data_format, dtype=self.dtype_policy)

    @property
    def _parts(self):
        parts = (self.random_brightness, self.random_contrast, self.random_saturation, self.random_hue)
        return [part for part in parts if part is not None]

    def build(self, input_shape):
        for part in self._parts:
            part.build(input_shape)

    def _draw(self, batch, seed):
        return [part._draw(batch, seed) for part in self._parts]

    def transform_images(self, images, transformation=None, training=True):
        if training and transformation is None:
            transformation = self.get_random_transformation(images)
        return super().transform_images(images, transformation, training)

    def _changed(self, images, transformation):
        for part, drawn in zip(self._parts, transformation, strict=True):
            images = part.transform_images(images, drawn)
        return images


class RandomColorDegeneration(_RandomColor):
    """Blends each image with its gray version in training (``keras.layers.RandomColorDegeneration``).

    ``factor``: bounds of the share of gray, from 0, the image as it is, to 1; a number f means ``(-f, f)``.

    >>> RandomColorDegeneration((1.0, 1.0))(ops.ones((1, 1, 1, 3)), training=True).shape
    (1, 1, 1, 3)
    """

    factor: float
    value_range: tuple = (0, 255)
    data_format: DataFormat = None
    seed: int = None

    def _draw(self, batch, seed):
        return {"factor": random.uniform((batch, 1, 1, 1), *self.factor, seed=seed)}

    def _changed(self, images, transformation):
        gray = ops.image.rgb_to_grayscale(images, data_format=self.data_format)
        return self._in_range(images + ops.cast(transformation["factor"], images.dtype) * (gray - images))


class RandomGrayscale(_RandomColor):
    """Turns images gray with probability ``factor`` in training; they keep their channels (``keras.layers.RandomGrayscale``).

    >>> RandomGrayscale(0.0)(ops.ones((1, 1, 1, 3)), training=True).tolist()
    [[[[1.0, 1.0, 1.0]]]]
    """

    factor: float = 0.5
    data_format: DataFormat = None
    seed: int = None

    def _set_factor(self, factor):
        if not 0 <= factor <= 1:
            raise ValueError(f"`factor` has to lie between 0 and 1, got {factor}")

    def _draw(self, batch, seed):
        return random.uniform((batch, 1, 1, 1), seed=seed) < self.factor

    def transform_images(self, images, transformation=None, training=True):
        if not training:
            return images
        if transformation is None:
            transformation = self.get_random_transformation(images)
        return ops.where(transformation, ops.image.rgb_to_grayscale(images, data_format=self.data_format), images)

    def get_config(self):
        config = super().get_config()
        del config["seed"]
        return config


class RandomInvert(_RandomColor):
    """Turns values around, the upper end minus the value, in images chosen in training (``keras.layers.RandomInvert``).

    ``factor``: bounds between which the probability for an image is drawn; a number f means ``(0, f)``.

    >>> RandomInvert((0.0, 0.0))(ops.ones((1, 1, 1, 1)), training=True).tolist()
    [[[[1.0]]]]
    """

    _FACTOR_BOUNDS = (0, 1)
    factor: float = 1.0
    value_range: tuple = (0, 255)
    seed: int = None
    data_format: DataFormat = None

    def _draw(self, batch, seed):
        return {"apply_inversion": self._chosen(batch, seed)}

    def _changed(self, images, transformation):
        return ops.where(per_image(transformation["apply_inversion"]), self.value_range[1] - images, images)


class RandomPosterization(_RandomColor):
    """Keeps only the upper bits of each value in training (``keras.layers.RandomPosterization``).

    ``factor``: the number of bits of 8, drawn from ``low`` up to, without, ``high``; a number n means ``(1, n)``.

    >>> RandomPosterization((1, 1))(ops.reshape([100.0, 200.0], (1, 2, 1, 1)), training=True).reshape((2,)).tolist()
    [0.0, 128.0]
    """

    _FACTOR_BOUNDS = (1, 8)
    factor: int
    value_range: tuple = (0, 255)
    data_format: DataFormat = None
    seed: int = None

    def _draw(self, batch, seed):
        low, high = self.factor
        bits = random.randint((batch,), low, max(high, low + 1), "uint8", seed)
        return {"shift_factor": 8 - bits}

    def _changed(self, images, transformation):
        shift = per_image(transformation["shift_factor"], "uint8")
        images = ops.cast(ops.clip(self._rescaled(images, self.value_range, (0, 255)), 0, 255), "uint8")
        images = ops.bitwise_left_shift(ops.bitwise_right_shift(images, shift), shift)
        return self._rescaled(ops.cast(images, self.compute_dtype), (0, 255), self.value_range)


class RandomSharpness(_RandomColor):
    """Blends each image with a blurred one, or away from it, in training (``keras.layers.RandomSharpness``).

    ``factor``: bounds from 0, blurred, over 0.5, the image as it is, to 1, sharpened; a number f means ``(0, f)``.

    >>> RandomSharpness((0.5, 0.5))(ops.ones((1, 2, 2, 1)), training=True).tolist()
    [[[[1.0], [1.0]], [[1.0], [1.0]]]]
    """

    _FACTOR_BOUNDS = (0, 1)
    factor: float
    value_range: tuple = (0, 255)
    data_format: DataFormat = None
    seed: int = None

    def _draw(self, batch, seed):
        return {"factor": random.uniform((batch,), *self.factor, seed=seed)}

    def _changed(self, images, transformation):
        blurred = ops.depthwise_conv(images, self._kernel(images), padding="same", data_format=self.data_format)
        sharpness = per_image(transformation["factor"], images.dtype) * 2
        return self._in_range(images + (1.0 - sharpness) * (blurred - images))

    def _kernel(self, images):
        around, center = 1.0 / 13.0, 5.0 / 13.0
        rows = [[around] * 3, [around, center, around], [around] * 3]
        kernel = ops.reshape(ops.convert_to_tensor(rows, dtype=images.dtype), (3, 3, 1, 1))
        return ops.tile(kernel, (1, 1, images.shape[self.channel_axis], 1))


class RandomGaussianBlur(_RandomColor):
    """Blurs images chosen in training with one Gaussian for the batch (``keras.layers.RandomGaussianBlur``).

    ``factor``: bounds of the probability for an image. ``kernel_size``: odd, one number or (width, height). ``sigma``: bounds, from 0 to
    1 pixels, of the deviations along both axes. A number f means ``(0, f)`` for ``factor`` and ``sigma``.

    >>> RandomGaussianBlur((0.0, 0.0))(ops.ones((1, 2, 2, 1)), training=True).shape
    (1, 2, 2, 1)
    """

    _FACTOR_BOUNDS = (0, 1)
    factor: float = 1.0
    kernel_size: int = 3
    sigma: float = 1.0
    value_range: tuple = (0, 255)
    data_format: DataFormat = None
    seed: int = None

    def check(self):
        super().check()
        self.kernel_size = _checked_kernel_size(self.kernel_size)
        self.sigma = factor_range(self.sigma, self._FACTOR_BOUNDS, "sigma")

    def _draw(self, batch, seed):
        chosen = self._chosen(batch, seed)
        sigma = random.uniform((2,), *self.sigma, dtype=self.compute_dtype, seed=seed)
        return {"should_apply_blur": chosen, "blur_factor": sigma + 1e-6}

    def _changed(self, images, transformation):
        sigma = transformation["blur_factor"]
        blurred = ops.image.gaussian_blur(images, kernel_size=self.kernel_size, sigma=sigma, data_format=self.data_format)
        return self._in_range(ops.where(per_image(transformation["should_apply_blur"]), blurred, images))


def _checked_kernel_size(size):
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2 or not all(isinstance(n, (int, float)) and n % 2 == 1 for n in pair):
        raise ValueError(f"`kernel_size` must be an odd number (or a list of two). Received: kernel_size={size}")
    return pair


class Solarization(_RandomColor):
    """Turns values above a threshold around, as the upper end minus the value, in training (``keras.layers.Solarization``).

    ``addition_factor``: bounds, as shares of the value range, of what is added before; ``threshold_factor``: bounds of the threshold.
    A number f means ``(0, f)``. Of a pair, the lower bound counts in steps of 1 / 255 of the range, as in Keras.

    >>> Solarization()(ops.reshape([0.0, 55.0], (1, 2, 1, 1)), training=True).reshape((2,)).tolist()
    [255.0, 200.0]
    """

    addition_factor: float = 0.0
    threshold_factor: float = 0.0
    value_range: tuple = (0, 255)
    seed: int = None

    def check(self):
        super().check()
        self.addition_factor = _checked_share(self.addition_factor, "addition_factor")
        self.threshold_factor = _checked_share(self.threshold_factor, "threshold_factor")

    def _draw(self, batch, seed):
        def drawn(low, high):
            return random.uniform((batch, 1, 1, 1), low, high * 255, self.compute_dtype, seed)

        return {"additions": drawn(*self.addition_factor), "thresholds": drawn(*self.threshold_factor)}

    def _changed(self, images, transformation):
        additions, thresholds = (ops.cast(transformation[key], images.dtype) for key in ("additions", "thresholds"))
        images = ops.clip(self._rescaled(images, self.value_range, (0, 255)) + additions, 0, 255)
        images = ops.where(images < thresholds, images, 255 - images)
        return self._rescaled(images, (0, 255), self.value_range)


def _checked_share(factor, name):
    pair = tuple(sorted(factor)) if isinstance(factor, (tuple, list)) else (0, factor)
    if len(pair) != 2 or not all(isinstance(x, (int, float)) and 0 <= x <= 1 for x in pair):
        raise ValueError(f"`{name}` is a number or a list of two, in the range [0, 1]. Got {factor}")
    return pair
