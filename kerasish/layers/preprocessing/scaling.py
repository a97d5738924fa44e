"""Layers that bring values into a range, and images (or counts of boxes) to a size."""

from kerasish import config, ops, random
from kerasish.backend.autodiff.dtypes import is_int
from kerasish.backend.random import make_default_seed
from kerasish.layers.arguments import DataFormat
from kerasish.layers.layer import Layer
from kerasish.layers.preprocessing import boxes as box_utils
from kerasish.layers.preprocessing.base import BaseImagePreprocessingLayer
from kerasish.saveable import ForBase, deserialize_keras_object


class Rescaling(Layer):
    """``inputs * scale + offset`` in the layer's dtype (``keras.layers.Rescaling``). Both may be arrays, one number a channel.

    >>> Rescaling(1 / 127.5, offset=-1)(ops.array([0.0, 255.0])).tolist()
    [-1.0, 1.0]
    """

    supports_masking = True
    _allow_non_tensor_positional_args = True
    scale: object
    offset: object = 0.0

    def call(self, inputs):
        scale, offset = ops.cast(self.scale, self.compute_dtype), ops.cast(self.offset, self.compute_dtype)
        if scale.ndim > 0 and config.image_data_format() == "channels_first":
            scale = ops.reshape(scale, (*scale.shape, *[1] * (3 - scale.ndim)))
        return ops.cast(inputs, self.compute_dtype) * scale + offset

    @classmethod
    def from_config(cls, config, custom_objects=None):
        arrays = {key: deserialize_keras_object(config[key], custom_objects) for key in ("scale", "offset") if key in config}
        return super().from_config({**config, **arrays})


class Resizing(BaseImagePreprocessingLayer):
    """Images of size ``(height, width)``, whatever size they had (``keras.layers.Resizing``), in training and inference.

    ``interpolation``: as of ``ops.image.resize``. The aspect ratio is kept by cutting off what is too long with
    ``crop_to_aspect_ratio``, by filling up what is too short with ``pad_to_aspect_ratio``. Integer images stay integers.

    >>> Resizing(2, 3)(ops.ones((1, 4, 4, 1))).shape
    (1, 2, 3, 1)
    """

    height: int
    width: int
    interpolation: str = "bilinear"
    crop_to_aspect_ratio: bool = False
    pad_to_aspect_ratio: bool = False
    fill_mode: str = "constant"
    fill_value: float = 0.0
    antialias: bool = False
    data_format: DataFormat = None

    def check(self):
        super().check()
        self.antialias = bool(self.antialias)

    def get_random_transformation(self, data, training=True, seed=None):
        return self._sizes(data)[1:]

    def transform_images(self, images, transformation=None, training=True):
        return self._transform_images(images, transformation, self.interpolation)

    def transform_segmentation_masks(self, segmentation_masks, transformation=None, training=True):
        return self._transform_images(segmentation_masks, transformation, "nearest")

    def _transform_images(self, images, transformation, interpolation):
        resized = ops.image.resize(
            images,
            (self.height, self.width),
            interpolation=interpolation,
            antialias=self.antialias,
            crop_to_aspect_ratio=self.crop_to_aspect_ratio,
            pad_to_aspect_ratio=self.pad_to_aspect_ratio,
            fill_mode=self.fill_mode,
            fill_value=self.fill_value,
            data_format=self.data_format,
        )
        if resized.dtype == images.dtype:
            return resized
        return ops.saturate_cast(ops.round(resized) if is_int(images.dtype) else resized, images.dtype)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        height, width = transformation
        given = bounding_boxes["boxes"]
        padding = ops.logical_or(ops.all(given == -1, axis=-1, keepdims=True), ops.all(given == 0, axis=-1, keepdims=True))
        found = box_utils.convert_format(bounding_boxes, self.bounding_box_format, "xyxy", height, width)
        scale_x, scale_y, left, top = self._stretch(height, width)
        x1, y1, x2, y2 = ops.split(found["boxes"], 4, axis=-1)
        moved = [x1 * scale_x + left, y1 * scale_y + top, x2 * scale_x + left, y2 * scale_y + top]
        found = box_utils.clip_to_image_size({**found, "boxes": ops.concatenate(moved, axis=-1)}, self.height, self.width)
        found["boxes"] = ops.where(padding, 0.0, found["boxes"])
        return box_utils.convert_format(found, "xyxy", self.bounding_box_format, self.height, self.width)

    def _stretch(self, height, width):
        """``(scale_x, scale_y, left, top)``: where a point of the image comes to lie."""
        scale_x, scale_y = self.width / width, self.height / height
        if self.pad_to_aspect_ratio:
            scale_x = scale_y = min(scale_x, scale_y)
        elif self.crop_to_aspect_ratio:
            scale_x = scale_y = max(scale_x, scale_y)
        else:
            return scale_x, scale_y, 0, 0
        excess_x, excess_y = abs(self.width - width * scale_x) // 2, abs(self.height - height * scale_y) // 2
        return (scale_x, scale_y, excess_x, excess_y) if self.pad_to_aspect_ratio else (scale_x, scale_y, -excess_x, -excess_y)


class _Crop(BaseImagePreprocessingLayer):
    """Base of layers that cut a window of ``height`` and ``width`` out of images."""

    def _fitting_window(self, height, width):
        """``(top, left, height, width)`` of the largest window in the middle that has the wanted aspect ratio."""
        rows = max(min(height, int(width * self.height / self.width)), 1)
        columns = max(min(width, int(height * self.width / self.height)), 1)
        return (height - rows) // 2, (width - columns) // 2, rows, columns

    def _cut(self, images, window):
        """The window of the images, stretched to the wanted size where it has another one."""
        top, left, rows, columns = window
        for axis, start, size in ((self.height_axis, top, rows), (self.width_axis, left, columns)):
            images = ops.take(images, start + ops.arange(size), axis=axis)
        if (rows, columns) != (self.height, self.width):
            images = ops.cast(ops.image.resize(images, (self.height, self.width), data_format=self.data_format), images.dtype)
        return images

    def _cut_boxes(self, bounding_boxes, window, height, width):
        top, left, rows, columns = window
        found = box_utils.convert_format(bounding_boxes, self.bounding_box_format, "xyxy", height, width)
        corners = box_utils.clipped(box_utils.shifted(found["boxes"], -left, -top), 0, 0, columns, rows)
        x1, y1, x2, y2 = ops.split(corners, 4, axis=-1)
        x1, x2 = (x * self.width / columns for x in (x1, x2))
        y1, y2 = (y * self.height / rows for y in (y1, y2))
        found = box_utils.clip_to_image_size({**found, "boxes": ops.concatenate([x1, y1, x2, y2], axis=-1)}, self.height, self.width)
        return box_utils.convert_format(found, "xyxy", self.bounding_box_format, self.height, self.width)


class CenterCrop(_Crop):
    """The middle of images, in training and inference (``keras.layers.CenterCrop``).

    Of images smaller than ``(height, width)`` the largest part with that aspect ratio is resized.

    >>> CenterCrop(1, 2)(ops.reshape(ops.arange(12.0), (1, 3, 4, 1)))[0, :, :, 0].tolist()
    [[5.0, 6.0]]
    """

    height: int
    width: int
    data_format: DataFormat = None

    def get_random_transformation(self, data, training=True, seed=None):
        return {"input_shape": ops.shape(data["images"] if isinstance(data, dict) else data)}

    def _window(self, height, width):
        if height >= self.height and width >= self.width:
            return (height - self.height) // 2, (width - self.width) // 2, self.height, self.width
        return self._fitting_window(height, width)

    def transform_images(self, images, transformation=None, training=True):
        images = ops.cast(images, self.compute_dtype)
        return self._cut(images, self._window(*self._sizes(images)[1:]))

    def transform_segmentation_masks(self, segmentation_masks, transformation=None, training=True):
        return self.transform_images(segmentation_masks, transformation, training)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        height, width = self._sizes_of(transformation["input_shape"])[1:]
        return self._cut_boxes(bounding_boxes, self._window(height, width), height, width)


class RandomCrop(_Crop):
    """In training, a window at a random place, the same for the whole batch (``keras.layers.RandomCrop``).

    Of images that are not larger than ``(height, width)`` a part in the middle is resized. In inference images stay as they are.
    Boxes are moved with the images, also where Keras mixes up x and y.

    >>> RandomCrop(2, 3, seed=1)(ops.ones((1, 8, 8, 1)), training=True).shape
    (1, 2, 3, 1)
    """

    height: int
    width: int
    seed: int = None
    data_format: DataFormat = None
    name: ForBase = None

    def _set_seed(self):
        self.seed = make_default_seed() if self.seed is None else self.seed
        super()._set_seed()

    def get_random_transformation(self, data, training=True, seed=None):
        """``(top, left, height, width)`` of the window, and height and width of the images."""
        _, height, width = self._sizes(data)
        if training and height > self.height and width > self.width:
            seed = self.generator if seed is None else seed
            top, left = (
                ops.cast(random.uniform((), 0.0, float(size - wanted + 1), seed=seed), "int32")
                for size, wanted in ((height, self.height), (width, self.width))
            )
            return (top, left, self.height, self.width), (height, width)
        top, left, _, _ = self._fitting_window(height, width)
        return (top, left, min(self.height, height - top), min(self.width, width - left)), (height, width)

    def transform_images(self, images, transformation, training=True):
        return self._cut(ops.cast(images, self.compute_dtype), transformation[0]) if training else images

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        return self.transform_images(segmentation_masks, transformation, training)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        if not training:
            return bounding_boxes
        (top, left, rows, columns), sizes = transformation
        window = (ops.cast(top, "float32"), ops.cast(left, "float32"), rows, columns)
        return self._cut_boxes(bounding_boxes, window, *sizes)


class MaxNumBoundingBoxes(BaseImagePreprocessingLayer):
    """As many boxes for each image as ``max_number`` says (``keras.layers.MaxNumBoundingBoxes``): the first ones, or some added.

    Added boxes and their labels are ``fill_value``. Needs ``bounding_box_format``, as every layer that is given boxes.

    >>> boxes = {"boxes": ops.ones((1, 3, 4)), "labels": ops.ones((1, 3))}
    >>> layer = MaxNumBoundingBoxes(2, bounding_box_format="xyxy")
    >>> layer({"images": ops.ones((1, 8, 8, 3)), "bounding_boxes": boxes})["bounding_boxes"]["boxes"].shape
    (1, 2, 4)
    """

    max_number: int
    fill_value: int = -1

    def check(self):
        super().check()
        self.max_number, self.fill_value = int(self.max_number), int(self.fill_value)

    def get_config(self):
        config = super().get_config()
        if self.fill_value == -1:  # Keras never writes it
            del config["fill_value"]
        return config

    def transform_images(self, images, transformation=None, training=True):
        return images

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        counted = {key: self._counted(bounding_boxes[key]) for key in ("boxes", "labels")}
        return {**bounding_boxes, **counted}

    def _counted(self, x):
        widths = [(0, self.max_number if axis == 1 else 0) for axis in range(x.ndim)]
        return ops.pad(x, widths, constant_values=self.fill_value)[:, : self.max_number]
