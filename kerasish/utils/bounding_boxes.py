"""Bounding boxes: formats, overlap, and the differences to anchors that detectors learn (``keras.utils.bounding_boxes``).

kerasish/layers/preprocessing/boxes.py says what boxes and formats are.
"""

import math

from kerasish import ops
from kerasish.config import epsilon
from kerasish.layers.preprocessing.boxes import clip_to_image_size, clipped, convert_format, mapped, shifted

__all__ = [
    "affine_transform", "clip_to_image_size", "compute_ciou", "compute_iou", "convert_format", "crop", "decode_deltas_to_boxes",
    "encode_box_to_deltas", "pad",
]  # fmt: skip


def compute_iou(boxes1, boxes2, bounding_box_format, use_masking=False, mask_val=-1, image_shape=None):
    """Intersection over union of each box with each: (n, 4) and (m, 4), or batches of these, give (n, m), or batches of it.

    ``use_masking`` puts ``mask_val`` wherever one of the two has only negative numbers. ``image_shape``: (height, width,
    channels), for ``rel_`` formats. ValueError for other ranks, or without the shape (``keras.utils.bounding_boxes.compute_iou``).

    >>> compute_iou([[0, 0, 2, 2]], [[0, 0, 2, 1], [2, 2, 3, 3]], "xyxy").numpy().round(3).tolist()
    [[0.5, 0.0]]
    """
    boxes1, boxes2 = ops.convert_to_tensor(boxes1), ops.convert_to_tensor(boxes2)
    for name, boxes in (("boxes1", boxes1), ("boxes2", boxes2)):
        if boxes.ndim not in (2, 3):
            raise ValueError(f"compute_iou() expects boxes (count, 4) or (batch, count, 4). Received: {name}.shape={boxes.shape}")
    boxes1, boxes2 = (_plain_corners(boxes, bounding_box_format, image_shape) for boxes in (boxes1, boxes2))
    first, second = ops.expand_dims(boxes1, -2), ops.expand_dims(boxes2, -3)
    common, areas = _overlap(first, second), _area(first) + _area(second)
    result = ops.squeeze(common / (areas - common + epsilon()), -1)
    if not use_masking:
        return result
    masked = ops.logical_or(ops.max(first, -1) < 0, ops.max(second, -1) < 0)
    return ops.where(masked, ops.cast(mask_val, result.dtype), result)


def compute_ciou(boxes1, boxes2, bounding_box_format, image_shape=None):
    """Complete IoU of boxes (..., 4), pair by pair: IoU less the centres' distance and the difference in proportions.

    ``image_shape``: (height, width, channels), for ``rel_`` formats (``keras.utils.bounding_boxes.compute_ciou``; Z. Zheng et
    al. 2020).

    >>> round(float(compute_ciou([[0, 0, 2, 2]], [[0, 0, 2, 1]], "xyxy")[0]), 3)
    0.466
    """
    boxes1, boxes2 = (_plain_corners(boxes, bounding_box_format, image_shape) for boxes in (boxes1, boxes2))
    left1, top1, right1, bottom1 = ops.split(boxes1, 4, axis=-1)
    left2, top2, right2, bottom2 = ops.split(boxes2, 4, axis=-1)
    width1, height1 = right1 - left1, bottom1 - top1 + epsilon()
    width2, height2 = right2 - left2, bottom2 - top2 + epsilon()
    common = _overlap(boxes1, boxes2)
    iou = common / (width1 * height1 + width2 * height2 - common + 2 * epsilon())
    frame_width = ops.maximum(right1, right2) - ops.minimum(left1, left2)
    frame_height = ops.maximum(bottom1, bottom2) - ops.minimum(top1, top2)
    apart = ((left1 + right1 - left2 - right2) ** 2 + (top1 + bottom1 - top2 - bottom2) ** 2) / 4
    proportions = 4 / math.pi**2 * (ops.arctan(width2 / height2) - ops.arctan(width1 / height1)) ** 2
    weight = proportions / (proportions - iou + 1 + epsilon())
    return ops.squeeze(iou - apart / (frame_width**2 + frame_height**2 + epsilon()) - proportions * weight, -1)


def _plain_corners(boxes, bounding_box_format, image_shape):
    if "rel" in bounding_box_format and image_shape is None:
        raise ValueError(
            f"For relative formats `image_shape` must be given. Received: bounding_box_format={bounding_box_format}, image_shape=None"
        )
    return convert_format(boxes, bounding_box_format, "xyxy", *_height_and_width(image_shape))


def _height_and_width(image_shape):
    return (None, None) if image_shape is None else tuple(image_shape)[:2]


def _overlap(boxes1, boxes2):
    left1, top1, right1, bottom1 = ops.split(boxes1, 4, axis=-1)
    left2, top2, right2, bottom2 = ops.split(boxes2, 4, axis=-1)
    width = ops.minimum(right1, right2) - ops.maximum(left1, left2)
    return ops.relu(width) * ops.relu(ops.minimum(bottom1, bottom2) - ops.maximum(top1, top2))


def _area(boxes):
    left, top, right, bottom = ops.split(boxes, 4, axis=-1)
    return (right - left) * (bottom - top)


# ---- boxes that move with their image
def _only_corners(bounding_box_format):
    if bounding_box_format != "xyxy":
        raise NotImplementedError(
            f"This works on boxes in the format 'xyxy': `convert_format` first. Received: bounding_box_format={bounding_box_format}"
        )


def crop(boxes, top, left, height, width, bounding_box_format="xyxy"):
    """Boxes in a part of the image, cut off at its edges (``keras.utils.bounding_boxes.crop``).

    >>> crop(ops.array([[1.0, 1.0, 5.0, 5.0]]), top=2, left=0, height=2, width=4).tolist()
    [[1.0, 0.0, 4.0, 2.0]]
    """
    _only_corners(bounding_box_format)
    return clipped(shifted(ops.convert_to_tensor(boxes), -left, -top), 0, 0, width, height)


def pad(boxes, top, left, height=None, width=None, bounding_box_format="xyxy"):
    """Boxes in an image with a border of ``top`` and ``left`` pixels (``keras.utils.bounding_boxes.pad``).

    The sizes of the larger image change nothing.

    >>> pad(ops.array([[1.0, 1.0, 5.0, 5.0]]), top=2, left=1).tolist()
    [[2.0, 3.0, 6.0, 7.0]]
    """
    _only_corners(bounding_box_format)
    return shifted(ops.convert_to_tensor(boxes), left, top)


def affine_transform(
    boxes, angle, translate_x, translate_y, scale, shear_x, shear_y, height, width, center_x=None, center_y=None,
    bounding_box_format="xyxy",
):  # fmt: skip
    """The upright boxes around boxes (batch, count, 4) that were turned, moved, scaled and slanted with their image.

    All but ``height`` and ``width`` have one number for each image: ``angle`` and shears in degrees, translations and centres as
    shares of the image's size (centres 0.5 by default) (``keras.utils.bounding_boxes.affine_transform``).

    >>> box, zero, one = ops.array([[[0.0, 0.0, 2.0, 4.0]]]), ops.zeros(1), ops.ones(1)
    >>> affine_transform(box, zero, 0.5 * one, zero, one, zero, zero, height=9, width=9).tolist()
    [[[4.0, 0.0, 6.0, 4.0]]]
    """
    _only_corners(bounding_box_format)
    angle, shear_x, shear_y = (_per_image(degrees) * (-math.pi / 180) for degrees in (angle, shear_x, shear_y))
    center_x = _per_image(0.5 if center_x is None else center_x) * (width - 1)
    center_y = _per_image(0.5 if center_y is None else center_y) * (height - 1)
    move_x, move_y = _per_image(translate_x) * (width - 1), _per_image(translate_y) * (height - 1)
    a, c = ops.cos(angle - shear_y) / ops.cos(shear_y), -ops.sin(angle - shear_y) / ops.cos(shear_y)
    b, d = a * ops.tan(shear_x) + ops.sin(angle), ops.cos(angle) - c * ops.tan(shear_x)
    scale = _per_image(scale)

    def moved(x, y):
        x, y = x - center_x + move_x, y - center_y + move_y
        return center_x + scale * (d * x - b * y), center_y + scale * (a * y - c * x)

    return mapped(ops.cast(boxes, "float32"), moved)


def _per_image(numbers):
    numbers = ops.cast(numbers, "float32")
    return ops.reshape(numbers, (-1, 1, 1)) if numbers.shape else numbers


def _variance(variance):
    if variance is None:
        return 1.0
    variance = ops.convert_to_tensor(variance, "float32")
    if variance.shape[-1] != 4:
        raise ValueError(f"`variance` must have length 4. Received: variance={variance}")
    return variance


def _check_centered(name, value):
    if value not in ("center_xywh", "center_yxhw"):
        raise ValueError(f"`{name}` should be one of 'center_xywh' or 'center_yxhw'. Received: {name}={value}")


# ---- differences to anchors
def encode_box_to_deltas(
    anchors, boxes, anchor_format, box_format, encoding_format="center_yxhw", variance=None, image_shape=None
):  # fmt: skip
    """Boxes as differences from anchors: centres in sizes of the anchor, and logarithms of sizes, divided by ``variance``.

    ``anchors`` (count, 4), ``boxes`` (count, 4) or (batch, count, 4) (``keras.utils.bounding_boxes.encode_box_to_deltas``).

    >>> encode_box_to_deltas([[0, 0, 2, 2]], [[1, 0, 3, 2]], "xyxy", "xyxy").tolist()
    [[0.0, 0.5, 0.0, 0.0]]
    """
    variance, size = _variance(variance), _height_and_width(image_shape)
    _check_centered("encoding_format", encoding_format)
    anchors = convert_format(anchors, anchor_format, encoding_format, *size)
    boxes = convert_format(boxes, box_format, encoding_format, *size)
    anchor_sizes, box_sizes = (ops.maximum(x[..., 2:], epsilon()) for x in (anchors, boxes))
    places = (boxes[..., :2] - anchors[..., :2]) / anchor_sizes
    return ops.concatenate([places, ops.log(box_sizes / anchor_sizes)], axis=-1) / variance


def decode_deltas_to_boxes(
    anchors, boxes_delta, anchor_format, box_format, encoded_format="center_yxhw", variance=None, image_shape=None
):  # fmt: skip
    """Boxes of what :func:`encode_box_to_deltas` made of them; dicts of anchors and of differences give a dict (``keras.utils``).

    >>> decode_deltas_to_boxes([[0, 0, 2, 2]], [[0.0, 0.5, 0.0, 0.0]], "xyxy", "xyxy").tolist()
    [[1.0, 0.0, 3.0, 2.0]]
    """
    variance, size = _variance(variance), _height_and_width(image_shape)
    _check_centered("encoded_format", encoded_format)

    def decode(anchors, deltas):
        anchors, deltas = convert_format(anchors, anchor_format, encoded_format, *size), ops.convert_to_tensor(deltas) * variance
        places = deltas[..., :2] * anchors[..., 2:] + anchors[..., :2]
        boxes = ops.concatenate([places, ops.exp(deltas[..., 2:]) * anchors[..., 2:]], axis=-1)
        return convert_format(boxes, encoded_format, box_format, *size)

    if isinstance(anchors, dict) and isinstance(boxes_delta, dict):
        return {level: decode(anchors[level], boxes_delta[level]) for level in anchors}
    return decode(anchors, boxes_delta)
