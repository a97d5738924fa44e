"""What all image layers have: single images and batches, dicts with labels, boxes and masks beside the images, factors and seeds."""

from kerasish import ops
from kerasish.backend.random import SeedGenerator
from kerasish.config import standardize_data_format
from kerasish.layers.layer import Layer
from kerasish.layers.preprocessing.boxes import densify_bounding_boxes


class BaseImagePreprocessingLayer(Layer):
    """Base of layers that change images (Keras's class of that name).

    They take images (height, width, channels) or batches of them, or a dict with ``images`` and, if wanted, ``labels``,
    ``bounding_boxes`` (see boxes.py; then ``bounding_box_format`` must be given) and ``segmentation_masks``. Every call asks
    ``get_random_transformation`` once what to do and hands the answer to ``transform_images``, ``transform_labels`` and so on, which
    always see batches. Subclasses override what the transformation changes; the rest passes as it is.

    A field ``factor`` becomes the range ``(lower, upper)`` within ``_FACTOR_BOUNDS``; a field ``seed`` makes ``self.generator``.
    """

    _allow_non_tensor_positional_args = True
    _FACTOR_BOUNDS = (-1, 1)

    def _init_base(self, factor=None, bounding_box_format=None, data_format=None, **kwargs):
        super()._init_base(**kwargs)
        if factor is not None:
            raise ValueError(f"{type(self).__name__} has no `factor` to set, got {factor}")
        self.bounding_box_format = bounding_box_format
        self.data_format = standardize_data_format(data_format)

    def check(self):
        super().check()
        if "factor" in self.fields:
            self._set_factor(self.factor or 0.0)
        if "seed" in self.fields:
            self._set_seed()

    def _set_factor(self, factor):
        self.factor = factor_range(factor, self._FACTOR_BOUNDS)

    def _set_seed(self):
        self.generator = SeedGenerator(self.seed)

    def get_config(self):
        config = {**super().get_config(), "data_format": self.data_format}
        if self.bounding_box_format is not None:
            config["bounding_box_format"] = self.bounding_box_format
        return config

    # ---- where things are
    @property
    def height_axis(self):
        return -2 if self.data_format == "channels_first" else -3

    @property
    def width_axis(self):
        return self.height_axis + 1

    @property
    def channel_axis(self):
        return -3 if self.data_format == "channels_first" else -1

    def _sizes(self, data):
        """``(batch, height, width)`` of images or of a dict with them. A single image is a batch of one.

        Where height and width are unknown only shapes matter: then they are 1.
        """
        return self._sizes_of(ops.shape(data["images"] if isinstance(data, dict) else data))

    def _sizes_of(self, shape):
        batch = 1 if len(shape) == 3 else shape[0]
        height, width = (1 if shape[axis] is None else shape[axis] for axis in (self.height_axis, self.width_axis))
        return batch, height, width

    # ---- what subclasses override
    def get_random_transformation(self, data, training=True, seed=None):
        """What to do with this batch, in any form that the ``transform_`` methods understand; None for nothing."""

    def _transform_images(self, images, transformation, interpolation):
        """Images changed; masks may be handed here too, with interpolation "nearest"."""
        return images

    def transform_images(self, images, transformation, training=True):
        images = ops.cast(images, self.compute_dtype)
        if not training:
            return images
        return self._transform_images(images, transformation, getattr(self, "interpolation", None))

    def transform_labels(self, labels, transformation, training=True):
        return labels

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        return bounding_boxes

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        return segmentation_masks

    # ---- the call
    def __call__(self, inputs, **kwargs):
        """Boxes may be given as lists, one for each image: they become tensors before anything else looks at the inputs."""
        boxes = inputs.get("bounding_boxes") if isinstance(inputs, dict) else None
        if isinstance(boxes, dict) and isinstance(boxes.get("boxes"), list):
            inputs = {**inputs, "bounding_boxes": densify_bounding_boxes(boxes)}
        return super().__call__(inputs, **kwargs)

    def call(self, data, training=True):
        given = dict(data) if isinstance(data, dict) else {"images": data}
        given = {key: self._as_tensors(key, value) for key, value in given.items()}
        single = self._is_single(given["images"])
        batch = _mapped(given, lambda x: ops.expand_dims(x, 0)) if single else given
        transformation = self.get_random_transformation(batch if isinstance(data, dict) else batch["images"], training=training)
        result = {key: self._transformed(key, value, transformation, training) for key, value in batch.items()}
        result = _mapped(result, lambda x: ops.squeeze(x, 0)) if single else result
        return result if isinstance(data, dict) else result["images"]

    def _as_tensors(self, key, value):
        if key == "bounding_boxes":
            if not self.bounding_box_format:
                raise ValueError(
                    f"Images with 'bounding_boxes' need the layer's `bounding_box_format`: {type(self).__name__}(..., "
                    "bounding_box_format='xyxy')."
                )
            return densify_bounding_boxes(value)
        return ops.convert_to_tensor(value) if key in _TRANSFORMED else value

    def _is_single(self, images):
        if images.ndim not in (3, 4):
            raise ValueError(f"An image has rank 3, a batch of them rank 4, but data.shape={images.shape}")
        return images.ndim == 3

    def _transformed(self, key, value, transformation, training):
        if key not in _TRANSFORMED:
            return value
        return getattr(self, f"transform_{key}")(value, transformation=transformation, training=training)

    # ---- the same for single images
    def transform_single_image(self, image, transformation, training=True):
        return self._transform_single("images", image, transformation, training)

    def transform_single_label(self, label, transformation, training=True):
        return self._transform_single("labels", label, transformation, training)

    def transform_single_bounding_box(self, bounding_box, transformation, training=True):
        return self._transform_single("bounding_boxes", bounding_box, transformation, training)

    def transform_single_segmentation_mask(self, segmentation_mask, transformation, training=True):
        return self._transform_single("segmentation_masks", segmentation_mask, transformation, training)

    def _transform_single(self, key, value, transformation, training):
        batch = _mapped({key: value}, lambda x: ops.expand_dims(x, 0))
        return _mapped({key: self._transformed(key, batch[key], transformation, training)}, lambda x: ops.squeeze(x, 0))[key]

    # ---- for layers that work on colours
    def _transform_value_range(self, images, original_range, target_range, dtype="float32"):
        """Values of one range, such as (0, 1), in another, such as (0, 255)."""
        if tuple(original_range) == tuple(target_range):
            return images
        (low, high), (new_low, new_high) = original_range, target_range
        return (ops.cast(images, dtype) - low) / (high - low) * (new_high - new_low) + new_low


_TRANSFORMED = ("images", "labels", "bounding_boxes", "segmentation_masks")


def _mapped(data, function):
    """``function`` on everything that a layer transforms."""

    def one(key, value):
        if key == "bounding_boxes":
            return {k: function(v) if k in ("boxes", "labels") else v for k, v in value.items()}
        return function(value) if key in _TRANSFORMED else value

    return {key: one(key, value) for key, value in data.items()}


def factor_range(factor, bounds, name="factor"):
    """``(lower, upper)`` of a number, which stands for both signs, or of a pair; ValueError for one outside the bounds.

    >>> factor_range(0.5, (-1, 1)), factor_range(0.5, (0, 1)), factor_range((0.5, 0.2), (-1, 1))
    ((-0.5, 0.5), (0, 0.5), (0.2, 0.5))
    """
    low, high = bounds
    if isinstance(factor, (tuple, list)) and len(factor) == 2 and factor[0] <= high and factor[1] >= low:
        return tuple(sorted(factor))
    if isinstance(factor, (int, float)) and low <= factor <= high:
        return max(-abs(factor), low), abs(factor)
    raise ValueError(f"`{name}` is a number or a list of two, in the range [{low}, {high}]. Got {factor}")
