"""Bounding boxes: dicts of ``boxes`` (..., count, 4) and ``labels`` (..., count), in the formats that image layers understand.

Formats say what the four numbers of a box are, in pixels or, with ``rel_``, as shares of the image's width and height: corners
("xyxy", "yxyx"), or the upper left corner ("xywh") or the centre ("center_xywh", "center_yxhw") and the size.
A label of -1 marks a box that is none: padding, or one that left the image.
"""

from kerasish import ops

FORMATS = (
    "xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw", "rel_xyxy", "rel_yxyx", "rel_xywh", "rel_center_xywh",
)  # fmt: skip


def convert_format(boxes, source, target, height=None, width=None, dtype="float32"):
    """Boxes (..., 4), or a dict that holds them, in another format (``keras.utils.bounding_boxes.convert_format``).

    ``height`` and ``width`` of the image, numbers or tensors (batch, 1, 1), are needed between pixels and shares. Raises ValueError
    without them, and for unknown formats.

    >>> convert_format([[1.0, 2.0, 5.0, 4.0]], "xyxy", "center_xywh").tolist()
    [[3.0, 3.0, 4.0, 2.0]]
    """
    if isinstance(boxes, dict):
        return {**boxes, "boxes": convert_format(boxes["boxes"], source, target, height, width, dtype)}
    boxes = ops.cast(boxes, dtype)
    if boxes.shape[-1] != 4:
        raise ValueError(f"`boxes` need a last dimension of 4, got shape {boxes.shape}")
    source, target = source.lower(), target.lower()
    if source not in FORMATS or target not in FORMATS:
        raise ValueError(f"Bounding box formats are {FORMATS}. Received: source={source}, target={target}")
    if source == target:
        return boxes
    relative = source.startswith("rel_"), target.startswith("rel_")
    if any(relative) and (height is None or width is None):
        raise ValueError(
            "convert_format() must receive `height` and `width` to convert between relative and absolute formats. "
            f"Received: source={source}, target={target}, height={height}, width={width}"
        )
    corners = _corners(boxes, source.removeprefix("rel_"))
    sizes = (width, height, width, height)
    if relative == (True, False):
        corners = [x * size for x, size in zip(corners, sizes, strict=True)]
    parts = _described(corners, target.removeprefix("rel_"))
    if relative == (False, True):
        parts = [x / size for x, size in zip(parts, sizes, strict=True)]
    return ops.concatenate(_ordered(parts, target.removeprefix("rel_")), axis=-1)


def _ordered(parts, layout):
    """x before y, or back to y before x in the formats that have it so."""
    a, b, c, d = parts
    return (b, a, d, c) if layout in ("yxyx", "center_yxhw") else (a, b, c, d)


def _corners(boxes, layout):
    a, b, c, d = _ordered(ops.split(boxes, 4, axis=-1), layout)
    if layout.startswith("center"):
        return a - c / 2, b - d / 2, a + c / 2, b + d / 2
    return (a, b, a + c, b + d) if layout == "xywh" else (a, b, c, d)


def _described(corners, layout):
    x1, y1, x2, y2 = corners
    if layout.startswith("center"):
        return x1 + (x2 - x1) / 2, y1 + (y2 - y1) / 2, x2 - x1, y2 - y1
    return (x1, y1, x2 - x1, y2 - y1) if layout == "xywh" else corners


def clip_to_image_size(bounding_boxes, height=None, width=None, bounding_box_format="xyxy"):
    """Boxes cut off at the image's edges; those of which nothing is left get the label -1 (``keras.utils.bounding_boxes``).

    ``bounding_box_format``: "xyxy", for which height and width are needed, or "rel_xyxy"; ValueError for another one.

    >>> clip_to_image_size({"boxes": ops.array([[-5.0, 0.0, 5.0, 5.0]]), "labels": ops.array([1])}, 4, 4)["boxes"].tolist()
    [[0.0, 0.0, 4.0, 4.0]]
    """
    if bounding_box_format == "rel_xyxy":
        height = width = 1.0
    elif bounding_box_format != "xyxy" or height is None or width is None:
        raise ValueError(
            "Boxes are clipped in the formats 'xyxy', with `height` and `width`, and 'rel_xyxy'. "
            f"Received: bounding_box_format={bounding_box_format}, height={height}, width={width}"
        )
    boxes = clipped(bounding_boxes["boxes"], 0, 0, width, height)
    result = {**bounding_boxes, "boxes": boxes}
    if bounding_boxes.get("labels") is not None:
        x1, y1, x2, y2 = ops.unstack(boxes, 4, axis=-1)
        result["labels"] = ops.where((x2 - x1) * (y2 - y1) > 0, bounding_boxes["labels"], -1)
    return result


def clipped(boxes, left, top, right, bottom):
    """Corners no further out than the given edges."""
    x1, y1, x2, y2 = ops.split(boxes, 4, axis=-1)
    edges = (left, right), (top, bottom)
    return ops.concatenate([ops.clip(x, *edges[i % 2]) for i, x in enumerate((x1, y1, x2, y2))], axis=-1)


def shifted(boxes, x, y):
    """Corners moved to the right by ``x`` and down by ``y``."""
    x1, y1, x2, y2 = ops.split(boxes, 4, axis=-1)
    return ops.concatenate([x1 + x, y1 + y, x2 + x, y2 + y], axis=-1)


def mapped(boxes, function):
    """The smallest upright boxes around where ``function(x, y)`` puts the four corners of each."""
    x1, y1, x2, y2 = ops.unstack(boxes, 4, axis=-1)
    xs, ys = function(ops.stack([x1, x2, x2, x1], axis=-1), ops.stack([y1, y1, y2, y2], axis=-1))
    return ops.stack([ops.min(xs, -1), ops.min(ys, -1), ops.max(xs, -1), ops.max(ys, -1)], axis=-1)


def densify_bounding_boxes(bounding_boxes):
    """Boxes as float32 and labels as tensors, after a check of both; lists of different lengths are filled up with label -1.

    >>> densify_bounding_boxes({"boxes": [[[0, 0, 1, 1]], []], "labels": [[3], []]})["labels"].tolist()
    [[3], [-1]]
    """
    if not isinstance(bounding_boxes, dict) or not {"boxes", "labels"} <= set(bounding_boxes):
        raise ValueError(f"`bounding_boxes` is a dict of 'boxes' and 'labels', got {bounding_boxes}")
    boxes, labels = bounding_boxes["boxes"], bounding_boxes["labels"]
    if isinstance(boxes, list):
        if not isinstance(labels, list) or len(boxes) != len(labels):
            raise ValueError(f"Boxes in a list need as many labels in a list. Received: boxes={boxes}, labels={labels}")
        boxes, labels = _filled_up(boxes, labels)
    else:
        labels = ops.convert_to_tensor(labels)
    boxes = ops.cast(boxes, "float32")
    if boxes.ndim not in (2, 3) or labels.ndim not in (boxes.ndim - 1, boxes.ndim):
        raise ValueError(
            "Expected boxes of shape (count, 4) or (batch, count, 4), and labels with one axis less or as many. "
            f"Received: boxes.shape={boxes.shape}, labels.shape={labels.shape}"
        )
    return {**bounding_boxes, "boxes": boxes, "labels": labels}


def _filled_up(boxes, labels):
    batched = any(len(b) == 0 or not isinstance(b[0], (int, float)) for b in boxes)
    if batched:
        count = max(len(b) for b in boxes)
        boxes = [[*b, *[[0.0] * 4] * (count - len(b))] for b in boxes]
        labels = [[*row, *[-1] * (count - len(row))] for row in labels]
    shape = (len(boxes), count, 4) if batched else (len(boxes), 4)
    return ops.reshape(ops.convert_to_tensor(boxes, "float32"), shape), ops.reshape(ops.convert_to_tensor(labels, "int32"), shape[:-1])
