"""Image layers that mix the images of a batch, and their labels."""

from kerasish import ops, random
from kerasish.layers.arguments import DataFormat
from kerasish.layers.preprocessing.base import BaseImagePreprocessingLayer
from kerasish.layers.preprocessing.color import per_image


def _random_order(batch, seed):
    return ops.argsort(random.uniform((batch,), seed=seed))


def _blended(x, weight, order):
    """Each example with the one that takes its place in the order, ``weight`` being the share of the first."""
    x = ops.convert_to_tensor(x)
    weight = ops.reshape(weight, (-1,) + (1,) * (x.ndim - 1))
    return weight * x + (1.0 - weight) * ops.take(x, order, axis=0)


class MixUp(BaseImagePreprocessingLayer):
    """Blends each image, mask and label with another of the batch in training (``keras.layers.MixUp``; H. Zhang et al. 2017).

    ``alpha``: shares are drawn from Beta(alpha, alpha). ``labels`` are rows such as one-hot ones. Boxes of both images are kept.

    >>> images, labels = ops.ones((2, 2, 2, 1)), ops.eye(2)
    >>> MixUp(seed=1)({"images": images, "labels": labels}, training=True)["labels"].shape
    (2, 2)
    """

    alpha: float = 0.2
    data_format: DataFormat = None
    seed: int = None

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        seed = self.generator if seed is None else seed
        batch, _, _ = self._sizes(data)
        order = _random_order(batch, seed)
        return {"mix_weight": random.beta((batch,), self.alpha, self.alpha, seed=seed), "permutation_order": order}

    def _transform_images(self, images, transformation, interpolation):
        return _blended(images, ops.cast(transformation["mix_weight"], images.dtype), transformation["permutation_order"])

    def transform_labels(self, labels, transformation, training=True):
        return _blended(labels, transformation["mix_weight"], transformation["permutation_order"]) if training else labels

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        return self.transform_labels(segmentation_masks, transformation, training)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        if not training:
            return bounding_boxes

        def both(x):
            other = ops.take(x, transformation["permutation_order"], axis=0)
            return ops.concatenate([x, other], axis=min(1, len(x.shape) - 1))

        return {**bounding_boxes, "boxes": both(bounding_boxes["boxes"]), "labels": both(bounding_boxes["labels"])}


class CutMix(BaseImagePreprocessingLayer):
    """Puts a rectangle of another image of the batch into each in training (``keras.layers.CutMix``; S. Yun et al. 2019).

    ``factor``: bounds of alpha, and the rectangle's share of the image is drawn from Beta(alpha, alpha); a number f means ``(0, f)``.
    Labels are blended by that share, masks are cut like the images. Raises NotImplementedError for bounding boxes, as Keras does.

    >>> images, labels = ops.ones((2, 4, 4, 1)), ops.eye(2)
    >>> CutMix(seed=1)({"images": images, "labels": labels}, training=True)["images"].shape
    (2, 4, 4, 1)
    """

    _FACTOR_BOUNDS = (0, 1)
    factor: float = 1.0
    seed: int = None
    data_format: DataFormat = None

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        seed = self.generator if seed is None else seed
        batch, height, width = self._sizes(data)
        alpha = random.uniform((), *self.factor, self.compute_dtype, seed) + 1e-6
        weight = random.beta((batch,), alpha, alpha, self.compute_dtype, seed)
        side = ops.sqrt(1.0 - weight)
        left, right = self._cut(batch, width, side, seed)
        top, bottom = self._cut(batch, height, side, seed)
        return {
            "permutation_order": _random_order(batch, seed),
            "batch_masks": self._within(top, bottom, height, self.height_axis) & self._within(left, right, width, self.width_axis),
            "mix_weight": 1.0 - (right - left) * (bottom - top) / (width * height),
        }

    def _cut(self, batch, size, side, seed):
        """Where the rectangle begins and ends along an axis."""
        length = side * size
        start = random.uniform((batch,), dtype=self.compute_dtype, seed=seed) * (size - length)
        return per_image(start), per_image(start + length)

    def _within(self, start, end, size, axis):
        shape = [1] * 4
        shape[axis] = size
        place = ops.reshape(ops.arange(size, dtype=self.compute_dtype), shape)
        return (place >= start) & (place < end)

    def _transform_images(self, images, transformation, interpolation):
        if transformation is None:
            return images
        return ops.where(transformation["batch_masks"], ops.take(images, transformation["permutation_order"], axis=0), images)

    def transform_labels(self, labels, transformation, training=True):
        if not training or transformation is None:
            return labels
        return _blended(labels, transformation["mix_weight"], transformation["permutation_order"])

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        raise NotImplementedError("CutMix does not transform bounding boxes: a box may be cut. Leave 'bounding_boxes' out of its input.")

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        return self.transform_images(segmentation_masks, transformation, training)
