"""Layers that flip, turn, move, zoom, shear, bend or cover images at random in training. In inference images stay as they are."""

import math

from kerasish import ops, random
from kerasish.backend.random import draw_seed
from kerasish.layers.arguments import DataFormat
from kerasish.layers.preprocessing import boxes as box_utils
from kerasish.layers.preprocessing.base import BaseImagePreprocessingLayer, factor_range
from kerasish.ops.image import bent


class _Geometric(BaseImagePreprocessingLayer):
    """Base of layers that move what is in the images: masks move along without interpolation, boxes as ``_move_boxes`` says."""

    _box_format = "xyxy"
    _FILL_MODES = ("reflect", "wrap", "constant", "nearest")

    def check(self):
        super().check()
        for name, allowed in (("fill_mode", self._FILL_MODES), ("interpolation", ("nearest", "bilinear"))):
            if name in self.fields and getattr(self, name) not in allowed:
                raise NotImplementedError(f"Unknown `{name}` {getattr(self, name)}. Expected one of {allowed}.")

    def _draw(self, seed, batch, *shape, low=0.0, high=1.0, dtype=None):
        return random.uniform((batch, *shape), low, high, dtype=dtype, seed=self.generator if seed is None else seed)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        shape = ops.shape(data["images"] if isinstance(data, dict) else data)
        drawn = self._drawn(seed, *self._sizes_of(shape))
        return None if drawn is None else {**drawn, "input_shape": shape}

    def _transform_images(self, images, transformation, interpolation):
        if transformation is None:
            return images
        if images.ndim == 3:
            return ops.squeeze(self._transform_images(ops.expand_dims(images, 0), transformation, interpolation), 0)
        return self._moved(images, transformation, interpolation)

    def _moved(self, images, transformation, interpolation):
        return ops.image.affine_transform(
            images,
            self._matrix(transformation),
            interpolation=interpolation,
            fill_mode=self.fill_mode,
            fill_value=self.fill_value,
            data_format=self.data_format,
        )

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        return self._transform_images(segmentation_masks, transformation, "nearest") if training else segmentation_masks

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        if not training or transformation is None:
            return bounding_boxes
        _, height, width = self._sizes_of(transformation["input_shape"])
        found = box_utils.convert_format(bounding_boxes, self.bounding_box_format, self._box_format, height, width)
        found["boxes"] = self._move_boxes(found["boxes"], transformation, height, width)
        found = box_utils.clip_to_image_size(found, height, width, self._box_format)
        return box_utils.convert_format(found, self._box_format, self.bounding_box_format, height, width)


def _rows(*entries):
    """A transform for each image: its eight numbers, of which each is a tensor (batch,) or the same number for all images."""
    tensor = next(entry for entry in entries if not isinstance(entry, (int, float)))
    return ops.stack([ops.zeros_like(tensor) + entry for entry in entries], axis=-1)


class RandomFlip(_Geometric):
    """Mirrors half of the images (``keras.layers.RandomFlip``); ``mode``: "horizontal", "vertical" or "horizontal_and_vertical".

    As in Keras, images are flipped both ways or not at all with "horizontal_and_vertical".

    >>> RandomFlip("horizontal", seed=1)(ops.ones((2, 4, 4, 3)), training=True).shape
    (2, 4, 4, 3)
    """

    _box_format = "rel_xyxy"
    mode: str = "horizontal_and_vertical"
    seed: int = None
    data_format: DataFormat = None

    def check(self):
        super().check()
        if self.mode not in ("horizontal", "vertical", "horizontal_and_vertical"):
            raise ValueError(
                f"`mode` must be 'horizontal', 'vertical' or 'horizontal_and_vertical'. Received: mode={self.mode}"
            )

    def _drawn(self, seed, batch, height, width):
        return {"flips": self._draw(seed, batch, 1, 1, 1) <= 0.5}

    def _moved(self, images, transformation, interpolation):
        for word, axis in (("horizontal", self.width_axis), ("vertical", self.height_axis)):
            if word in self.mode:
                images = ops.where(transformation["flips"], ops.flip(images, axis), images)
        return images

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        return self.transform_images(segmentation_masks, transformation, training)

    def _move_boxes(self, boxes, transformation, height, width):
        x1, y1, x2, y2 = ops.split(boxes, 4, axis=-1)
        if "horizontal" in self.mode:
            x1, x2 = 1 - x2, 1 - x1
        if "vertical" in self.mode:
            y1, y2 = 1 - y2, 1 - y1
        return ops.where(ops.squeeze(transformation["flips"], -1), ops.concatenate([x1, y1, x2, y2], axis=-1), boxes)


class RandomRotation(_Geometric):
    """Turns images around their centre by an angle within ``factor``, in shares of a full turn (``keras.layers.RandomRotation``).

    Positive angles turn counter-clockwise. ``fill_mode``: what lies outside of the image, as of ``ops.image.affine_transform``.

    >>> layer = RandomRotation((0.5, 0.5))
    >>> layer(ops.array([[[1.0], [2.0]], [[3.0], [4.0]]]), training=True)[:, :, 0].numpy().round(3).tolist()
    [[4.0, 3.0], [2.0, 1.0]]
    """

    factor: tuple
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    seed: int = None
    fill_value: float = 0.0
    data_format: DataFormat = None

    def _drawn(self, seed, batch, height, width):
        low, high = self.factor
        return {"angle": self._draw(seed, batch, low=low * 360.0, high=high * 360.0)}

    def _matrix(self, transformation):
        _, height, width = self._sizes_of(transformation["input_shape"])
        radians = transformation["angle"] * (math.pi / 180)
        cos, sin = ops.cos(radians), ops.sin(radians)
        x, y = (width - 1) / 2, (height - 1) / 2
        return _rows(cos, -sin, x - x * cos + y * sin, sin, cos, y - x * sin - y * cos, 0.0, 0.0)

    def _move_boxes(self, boxes, transformation, height, width):
        radians = transformation["angle"][:, None, None] * (math.pi / 180)
        cos, sin = ops.cos(radians), ops.sin(radians)
        center_x, center_y = (width - 1) / 2, (height - 1) / 2

        def turned(x, y):
            x, y = x - center_x, y - center_y
            return center_x + cos * x + sin * y, center_y - sin * x + cos * y

        return box_utils.mapped(boxes, turned)


class RandomTranslation(_Geometric):
    """Moves images down and to the right by shares of their height and width (``keras.layers.RandomTranslation``).

    A factor is a number, for both directions, or a pair ``(lower, upper)``, all within [-1, 1].

    >>> layer = RandomTranslation(0, (0.5, 0.5), fill_mode="constant")
    >>> layer(ops.array([[[1.0], [2.0]]]), training=True)[:, :, 0].tolist()
    [[0.0, 1.0]]
    """

    height_factor: tuple
    width_factor: tuple
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    seed: int = None
    fill_value: float = 0.0
    data_format: DataFormat = None

    def check(self):
        super().check()
        self._height_range = _strict_range(self.height_factor, "height_factor", lambda x: -1 <= x <= 1, "[-1.0, 1.0]")
        self._width_range = _strict_range(self.width_factor, "width_factor", lambda x: -1 <= x <= 1, "[-1.0, 1.0]")

    def _drawn(self, seed, batch, height, width):
        y = self._draw(seed, batch, 1, low=self._height_range[0], high=self._height_range[1]) * height
        x = self._draw(seed, batch, 1, low=self._width_range[0], high=self._width_range[1]) * width
        return {"translations": ops.cast(ops.concatenate([x, y], axis=1), "float32")}

    def _matrix(self, transformation):
        x, y = ops.unstack(transformation["translations"], 2, axis=1)
        return _rows(1.0, 0.0, -x, 0.0, 1.0, -y, 0.0, 0.0)

    def _move_boxes(self, boxes, transformation, height, width):
        x, y = ops.split(transformation["translations"][:, None], 2, axis=-1)
        return box_utils.shifted(boxes, x, y)


def _strict_range(factor, name, allowed, bounds):
    """``(lower, upper)`` of a number or of a pair of numbers, each of which must be allowed."""
    is_pair = isinstance(factor, (tuple, list))
    pair = tuple(factor) if is_pair else (factor, factor)
    if len(pair) != 2 or not all(isinstance(x, (int, float)) and allowed(x) for x in pair):
        raise ValueError(f"`{name}` is a number or a list of two, in the range {bounds}. Got {factor}")
    return tuple(sorted(pair)) if is_pair else (-abs(factor), abs(factor))


class RandomZoom(_Geometric):
    """Shows more of images (positive factors) or less (negative ones) (``keras.layers.RandomZoom``).

    A factor of 0.2 shows 1.2 times the height. ``width_factor``: None keeps the aspect ratio. Factors lie within (-1, 1].

    >>> RandomZoom((-0.5, -0.5))(ops.array([[[1.0], [2.0], [3.0]]]), training=True)[0, :, 0].tolist()
    [1.5, 2.0, 2.5]
    """

    height_factor: tuple
    width_factor: tuple = None
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    seed: int = None
    fill_value: float = 0.0
    data_format: DataFormat = None

    def check(self):
        super().check()
        self._height_range = _strict_range(self.height_factor, "height_factor", lambda x: -1 < x <= 1, "(-1.0, 1.0]")
        self._width_range = self.width_factor
        if self.width_factor is not None:
            self._width_range = _strict_range(self.width_factor, "width_factor", lambda x: -1 < x <= 1, "(-1.0, 1.0]")

    def _drawn(self, seed, batch, height, width):
        y, x = (
            range_ and self._draw(seed, batch, 1, low=1.0 + range_[0], high=1.0 + range_[1])
            for range_ in (self._height_range, self._width_range)
        )
        return {"height_zoom": y, "width_zoom": y if x is None else x}

    def _matrix(self, transformation):
        _, height, width = self._sizes_of(transformation["input_shape"])
        x, y = (ops.cast(transformation[key][:, 0], "float32") for key in ("width_zoom", "height_zoom"))
        return _rows(x, 0.0, (width - 1) / 2 * (1.0 - x), 0.0, y, (height - 1) / 2 * (1.0 - y), 0.0, 0.0)

    def _move_boxes(self, boxes, transformation, height, width):
        """Boxes within the part of the image that is shown, in pixels of what it becomes."""
        x1, y1, x2, y2 = ops.split(boxes, 4, axis=-1)

        def along(axis, low, high, size):
            zoom = ops.cast(transformation[f"{axis}_zoom"], "float32")[:, None]
            start = (size - 1) / 2 * (1.0 - zoom)
            return ((ops.clip(x, start, start + zoom * size) - start) / zoom for x in (low, high))

        (x1, x2), (y1, y2) = along("width", x1, x2, width), along("height", y1, y2, height)
        return ops.concatenate([x1, y1, x2, y2], axis=-1)


class RandomShear(_Geometric):
    """Slants images: rows move by ``x_factor`` times their height, columns by ``y_factor`` (``keras.layers.RandomShear``).

    Factors are a number within [0, 1] or a pair ``(lower, upper)``; half of the images are slanted the other way.

    >>> RandomShear(0.0, 0.0)(ops.ones((2, 4, 4, 3)), training=True).shape
    (2, 4, 4, 3)
    """

    _box_format = "rel_xyxy"
    x_factor: tuple = 0.0
    y_factor: tuple = 0.0
    interpolation: str = "bilinear"
    fill_mode: str = "reflect"
    fill_value: float = 0.0
    data_format: DataFormat = None
    seed: int = None

    def check(self):
        super().check()
        for name in ("x_factor", "y_factor"):
            factor = getattr(self, name)
            low = -1 if isinstance(factor, (tuple, list)) else 0  # what a number becomes in the config reaches below 0
            setattr(self, name, _strict_range(factor, name, lambda x, low=low: low <= x <= 1, "[0, 1]"))

    def _drawn(self, seed, batch, height, width):
        sign = ops.where(self._draw(seed, batch, 1, dtype=self.compute_dtype) > 0.5, -1.0, 1.0)
        y, x = (self._draw(seed, batch, 1, low=f[0], high=f[1], dtype=self.compute_dtype) for f in (self.y_factor, self.x_factor))
        return {"shear_factor": ops.concatenate([x, y], axis=1) * ops.cast(sign, self.compute_dtype)}

    def _matrix(self, transformation):
        x, y = ops.unstack(transformation["shear_factor"], 2, axis=1)
        return _rows(1.0, x, 0.0, y, 1.0, 0.0, 0.0, 0.0)

    def _move_boxes(self, boxes, transformation, height, width):
        shear_x, shear_y = ops.split(ops.cast(transformation["shear_factor"], boxes.dtype), 2, axis=-1)
        x1, y1, x2, y2 = ops.unstack(boxes, 4, axis=-1)
        left, right = ops.where(shear_x < 0, y1, y2), ops.where(shear_x < 0, y2, y1)  # the edges that reach furthest out
        x1, x2 = x1 - shear_x * left, x2 - shear_x * right
        top, bottom = ops.where(shear_y > 0, x2, x1), ops.where(shear_y > 0, x1, x2)
        return ops.stack([x1, y1 - shear_y * top, x2, y2 - shear_y * bottom], axis=-1)


class _Sometimes(_Geometric):
    """Base of layers that leave some images alone: ``factor`` is the range of the probability that they don't."""

    _FACTOR_BOUNDS = (0, 1)

    def _chosen(self, seed, batch):
        probability = self._draw(seed, batch, low=self.factor[0], high=self.factor[1])
        return self._draw(seed, batch) < probability


def _for_images(chosen):
    return chosen[:, None, None, None]


class RandomPerspective(_Sometimes):
    """Images as seen at an angle, their corners moved by up to half of ``scale`` (``keras.layers.RandomPerspective``).

    ``factor``: a range that the probability of it is drawn from, a number f for ``(0, f)``; it and ``scale`` lie within [0, 1].

    >>> RandomPerspective(scale=0.5, seed=1)(ops.ones((2, 4, 4, 3)), training=True).shape
    (2, 4, 4, 3)
    """

    factor: tuple = 1.0
    scale: float = 1.0
    interpolation: str = "bilinear"
    fill_value: float = 0.0
    seed: int = None
    data_format: DataFormat = None

    def check(self):
        super().check()
        if not 0 <= self.scale <= 1:
            raise ValueError(f"`scale` is a number in the range [0, 1], not {self.scale}")

    def _drawn(self, seed, batch, height, width):
        chosen = self._chosen(seed, batch)
        moved = self._draw(seed, batch, 4, 2, low=-0.5 * self.scale, high=0.5 * self.scale, dtype=self.compute_dtype)
        right, bottom = width - 1.0, height - 1.0
        corners = ops.cast([[0.0, 0.0], [right, 0.0], [0.0, bottom], [right, bottom]], self.compute_dtype)
        corners = ops.zeros_like(moved) + corners
        return {"apply_perspective": chosen, "start_points": corners, "end_points": corners + corners * moved}

    def _moved(self, images, transformation, interpolation):
        moved = ops.image.perspective_transform(
            images,
            transformation["start_points"],
            transformation["end_points"],
            interpolation=interpolation,
            fill_value=self.fill_value,
            data_format=self.data_format,
        )
        return ops.where(_for_images(transformation["apply_perspective"]), moved, images)

    def _move_boxes(self, boxes, transformation, height, width):
        """A rectangle's points in the quadrangle of its moved corners (P. Heckbert 1989)."""
        points = ops.cast(transformation["end_points"], boxes.dtype)[:, :, :, None, None]
        (x0, y0), (x1, y1), (x3, y3), (x2, y2) = ((points[:, i, 0], points[:, i, 1]) for i in range(4))
        ax, ay, bx, by = x1 - x2, y1 - y2, x3 - x2, y3 - y2
        sx, sy = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
        area = ax * by - bx * ay
        g, h = (sx * by - bx * sy) / area, (ax * sy - sx * ay) / area

        def seen(x, y):
            u, v = x / (width - 1), y / (height - 1)
            below = g * u + h * v + 1
            moved_x = ((x1 - x0 + g * x1) * u + (x3 - x0 + h * x3) * v + x0) / below
            return moved_x, ((y1 - y0 + g * y1) * u + (y3 - y0 + h * y3) * v + y0) / below

        chosen = transformation["apply_perspective"][:, None, None]
        return ops.where(chosen, box_utils.mapped(boxes, seen), boxes)


class RandomElasticTransform(_Sometimes):
    """Images bent by smooth random displacements (``keras.layers.RandomElasticTransform``; P. Simard et al. 2003).

    ``factor``: how probable it is, ``scale``: how much, each a range within [0, 1], a number f for ``(0, f)``. Results stay within
    ``value_range``. Masks are bent as their images are; boxes raise ValueError, since nobody could say where they are.

    >>> RandomElasticTransform(factor=0.0)(ops.ones((2, 4, 4, 3)), training=True).shape
    (2, 4, 4, 3)
    """

    _FILL_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")
    factor: tuple = 1.0
    scale: tuple = 1.0
    interpolation: str = "bilinear"
    fill_mode: str = "reflect"
    fill_value: float = 0.0
    value_range: tuple = (0, 255)
    seed: int = None
    data_format: DataFormat = None

    def check(self):
        super().check()
        self.scale = factor_range(self.scale, self._FACTOR_BOUNDS, "scale")

    def _drawn(self, seed, batch, height, width):
        if self.scale[1] == 0 or self.factor[1] == 0:
            return None
        chosen = self._chosen(seed, batch)
        distortion = random.uniform((), *self.scale, dtype=self.compute_dtype, seed=self.generator if seed is None else seed)
        return {"apply_transform": chosen, "distortion_factor": distortion, "seed": draw_seed(self.generator if seed is None else seed)}

    def _moved(self, images, transformation, interpolation):
        if None in images.shape:
            return images  # only the shape matters
        _, height, width = self._sizes(images)
        distortion, largest = transformation["distortion_factor"], self.scale[1]
        moved = bent(
            images,
            alpha=0.1 * max(height, width) * distortion,
            sigma=ops.maximum(0.05 * min(height, width) * distortion, 1e-6),  # a width of 0 has no normal curve
            size=int(6 * 0.05 * min(height, width) * largest) | 1,  # enough for any distortion: which one it is, nobody reads
            interpolation=interpolation,
            fill_mode=self.fill_mode,
            fill_value=self.fill_value,
            seed=transformation["seed"],
            data_format=self.data_format,
        )
        return ops.where(_for_images(transformation["apply_transform"]), moved, images)

    def transform_images(self, images, transformation, training=True):
        images = super().transform_images(images, transformation, training)
        return ops.clip(images, *self.value_range) if training and transformation is not None else images

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        if training and transformation is not None:
            raise ValueError("RandomElasticTransform cannot be used with bounding boxes: it bends what they are around.")
        return bounding_boxes


class RandomErasing(_Sometimes):
    """Covers a rectangle of each image (``keras.layers.RandomErasing``; Z. Zhong et al. 2017).

    ``factor``: how probable it is, ``scale``: the rectangle's share of the image, each a range within [0, 1], a number f for
    ``(0, f)``.
    ``fill_value``: what covers it, None for noise, a number, or one for each of three channels; kept within ``value_range``.

    >>> RandomErasing(scale=1.0, fill_value=5.0)(ops.ones((2, 4, 4, 3)), training=True).shape
    (2, 4, 4, 3)
    """

    factor: tuple = 1.0
    scale: tuple = (0.02, 0.33)
    fill_value: float = None
    value_range: tuple = (0, 255)
    seed: int = None
    data_format: DataFormat = None

    def check(self):
        super().check()
        self.scale = factor_range(self.scale, self._FACTOR_BOUNDS, "scale")
        fill = self.fill_value
        if not (fill is None or isinstance(fill, (int, float)) or (isinstance(fill, (tuple, list)) and len(fill) == 3)):
            raise ValueError(f"`fill_value` is a number or a list of three, not {fill}")

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        shape = ops.shape(data["images"] if isinstance(data, dict) else data)
        batch, height, width = self._sizes_of(shape)
        shares = ops.sqrt(self._draw(seed, batch, 2, low=self.scale[0], high=self.scale[1], dtype=self.compute_dtype))
        columns = self._covered(seed, batch, width, shares[:, 0])
        rows = self._covered(seed, batch, height, shares[:, 1])
        masks = ops.expand_dims(ops.logical_and(rows[:, :, None], columns[:, None, :]), self.channel_axis)
        return {"apply_erasing": self._chosen(seed, batch), "batch_masks": masks, "fill_value": self._fill(seed, shape)}

    def _covered(self, seed, batch, size, share):
        """Which places (batch, size) along an axis lie in a span of the given share, put anywhere."""
        length = share * size
        start = self._draw(seed, batch, dtype=self.compute_dtype) * (size - length)
        places = ops.arange(size, dtype=self.compute_dtype)
        return ops.logical_and(places >= start[:, None], places < (start + length)[:, None])

    def _fill(self, seed, shape):
        if self.fill_value is None:
            fill = random.normal(shape, dtype=self.compute_dtype, seed=self.generator if seed is None else seed) * self.value_range[1]
        else:
            fill = ops.cast(self.fill_value, self.compute_dtype)
            if fill.ndim and self.data_format == "channels_first":
                fill = fill[:, None, None]
        return ops.clip(fill, *self.value_range)

    def _moved(self, images, transformation, interpolation):
        covered = ops.where(transformation["batch_masks"], transformation["fill_value"], images)
        return ops.where(_for_images(transformation["apply_erasing"]), covered, images)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        return bounding_boxes

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        return segmentation_masks
