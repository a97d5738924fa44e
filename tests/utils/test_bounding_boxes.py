"""Bounding boxes against real Keras, and against what is right where it fails."""

import keras as real
import numpy as np
import pytest

import kerasish as keras

RANDOM = np.random.RandomState(0)


def boxes(*shape):
    corners = RANDOM.uniform(0, 40, (*shape, 4)).astype("float32")
    corners[..., 2:] = corners[..., :2] + RANDOM.uniform(1, 30, (*shape, 2))
    return corners


def both(name, *args, **kwargs):
    return [np.asarray(getattr(module.utils.bounding_boxes, name)(*args, **kwargs)) for module in (keras, real)]


@pytest.mark.parametrize(
    ("shapes", "masked"),
    # with masks and only one batch Keras takes the axes of the one for those of the other
    [(((3,), (5,)), False), (((2, 3), (2, 5)), False), (((3,), (2, 5)), False), (((3,), (5,)), True), (((2, 3), (2, 5)), True)],
)
@pytest.mark.parametrize("layout", ["xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw", "rel_xyxy"])
def test_iou(shapes, masked, layout):
    first, second = (boxes(*shape) for shape in shapes)
    first[..., 0, :] = -1
    image = (50, 60, 3) if layout.startswith("rel") else None
    ours, theirs = both("compute_iou", first, second, layout, use_masking=masked, mask_val=-7, image_shape=image)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("layout", ["xyxy", "yxyx", "center_xywh"])
@pytest.mark.parametrize("shape", [(4,), (2, 4)])
def test_ciou(layout, shape):
    ours, theirs = both("compute_ciou", boxes(*shape), boxes(*shape), layout)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_ciou_of_relative_boxes():
    first, second = boxes(4), boxes(4)
    scale = np.array([60, 50, 60, 50], "float32")
    relative = keras.utils.bounding_boxes.compute_ciou(first / scale, second / scale, "rel_xyxy", image_shape=(50, 60, 3))
    np.testing.assert_allclose(relative, keras.utils.bounding_boxes.compute_ciou(first, second, "xyxy"), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("encoding", ["center_xywh", "center_yxhw"])
@pytest.mark.parametrize("variance", [None, [0.1, 0.1, 0.2, 0.2]])
@pytest.mark.parametrize("image", [None, (50, 60, 3)])
def test_deltas(encoding, variance, image):
    anchors, found = boxes(6), boxes(2, 6)
    form = "xyxy" if image is None else "rel_xyxy"
    if image is not None:
        anchors, found = anchors / 60, found / 60
    ours, theirs = both("encode_box_to_deltas", anchors, found, form, "yxyx" if image is None else form, encoding, variance, image)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    arguments = (anchors, theirs, form, form, encoding, variance, image)
    ours, theirs = both("decode_deltas_to_boxes", *arguments)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    levels = keras.utils.bounding_boxes.decode_deltas_to_boxes({"p3": arguments[0]}, {"p3": arguments[1]}, *arguments[2:])
    np.testing.assert_allclose(levels["p3"], theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("center", [{}, {"center_x": 0.2, "center_y": 0.9}])
def test_affine_transform(center):
    numbers = [RANDOM.uniform(low, high, 2).astype("float32") for low, high in ((-90, 90), (-0.3, 0.3), (-0.3, 0.3), (0.5, 2), (-20, 20), (-20, 20))]
    args = [boxes(2, 3), *numbers]
    ours, theirs = both("affine_transform", *(real.ops.array(x) for x in args), height=50, width=60, **center)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


def test_crop_and_pad():
    given = boxes(2, 3)
    np.testing.assert_allclose(*both("crop", real.ops.array(given), 5, 8, 20, 30))
    np.testing.assert_allclose(*both("pad", real.ops.array(given), 5, 8, 60, 70))


def test_clip_and_convert_are_those_of_the_layers():
    np.testing.assert_allclose(*both("convert_format", boxes(3), "xyxy", "rel_xywh", 50, 60), rtol=1e-5)
    given = {"boxes": boxes(2, 3) - 20, "labels": np.ones((2, 3), "int32")}
    ours, theirs = (
        module.utils.bounding_boxes.clip_to_image_size({k: module.ops.array(v) for k, v in given.items()}, 30, 30) for module in (keras, real)
    )
    for key in given:
        np.testing.assert_allclose(ours[key], theirs[key])


@pytest.mark.parametrize(
    ("name", "args", "error", "message"),
    [
        ("compute_iou", (np.zeros(4), np.zeros((1, 4)), "xyxy"), ValueError, r"boxes1.shape=\(4,\)"),
        ("compute_iou", (np.zeros((1, 4)), np.zeros((1, 4)), "rel_xyxy"), ValueError, "image_shape"),
        ("compute_ciou", (np.zeros((1, 4)), np.zeros((1, 4)), "rel_xyxy"), ValueError, "image_shape"),
        ("encode_box_to_deltas", (np.zeros((1, 4)), np.zeros((1, 4)), "xyxy", "xyxy", "xyxy"), ValueError, "encoding_format=xyxy"),
        ("decode_deltas_to_boxes", (np.zeros((1, 4)), np.zeros((1, 4)), "xyxy", "xyxy", "xyxy"), ValueError, "encoded_format=xyxy"),
        ("encode_box_to_deltas", (np.zeros((1, 4)), np.zeros((1, 4)), "xyxy", "xyxy", "center_xywh", [1.0]), ValueError, "length 4"),
        ("crop", (np.zeros((1, 4)), 0, 0, 1, 1, "xywh"), NotImplementedError, "format=xywh"),
        ("pad", (np.zeros((1, 4)), 0, 0, 1, 1, "xywh"), NotImplementedError, "format=xywh"),
    ],
)
def test_wrong_arguments(name, args, error, message):
    with pytest.raises(error, match=message):
        getattr(keras.utils.bounding_boxes, name)(*args)
