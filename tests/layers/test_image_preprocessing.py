"""Image layers: boxes, dicts, single images, randomness. Values of whole calls are compared in tests/conformance/layers_image.py."""

import itertools

import keras
import numpy as np
import pytest

import kerasish
from kerasish import layers, ops
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.layers.preprocessing import boxes as box_utils

FORMATS = box_utils.FORMATS
IMAGES = np.random.default_rng(0).uniform(0, 1, (3, 6, 8, 3)).astype("float32")
BOXES = np.array([[[1, 1, 5, 4], [2, 0, 8, 6]], [[0, 2, 3, 5], [4, 1, 6, 3]], [[3, 3, 7, 5], [0, 0, 8, 6]]], "float32")
LABELS = np.array([[0, 1], [2, 3], [4, 5]], "int32")
RANDOM = {
    "RandomFlip": {},
    "RandomRotation": {"factor": 0.2},
    "RandomTranslation": {"height_factor": 0.4, "width_factor": 0.3},
    "RandomZoom": {"height_factor": 0.4, "width_factor": 0.3},
    "RandomShear": {"x_factor": 0.4, "y_factor": 0.2},
    "RandomPerspective": {"factor": (0.9, 1.0), "scale": 0.5},
    "RandomElasticTransform": {"factor": (0.9, 1.0), "scale": 0.6, "value_range": (0, 1)},
    "RandomErasing": {"factor": (0.9, 1.0), "value_range": (0, 1)},
    "RandomCrop": {"height": 4, "width": 5},
}


# ---- boxes
@pytest.mark.parametrize(("source", "target"), list(itertools.product(FORMATS, FORMATS)))
def test_convert_format(source, target):
    given = BOXES / 8 if source.startswith("rel") else BOXES
    expected = keras.utils.bounding_boxes.convert_format(given, source, target, height=6, width=8)
    np.testing.assert_allclose(box_utils.convert_format(given, source, target, 6, 8), expected, rtol=1e-6)


@pytest.mark.parametrize("box_format", ["xyxy", "rel_xyxy"])
def test_clipping(box_format):
    given = {"boxes": BOXES * 2 - 6 if box_format == "xyxy" else BOXES / 4 - 1.1, "labels": LABELS}
    expected = keras.utils.bounding_boxes.clip_to_image_size(given, 6, 8, box_format)
    ours = box_utils.clip_to_image_size(given, 6, 8, box_format)
    np.testing.assert_allclose(ours["boxes"], expected["boxes"], rtol=1e-6)
    np.testing.assert_array_equal(ours["labels"], expected["labels"])
    assert -1 in ours["labels"].numpy()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((BOXES, "xyxy", "rel_xyxy"), "height"),
        ((BOXES, "xyxy", "corners"), "formats"),
        ((BOXES[..., :3], "xyxy", "xywh"), "last dimension of 4"),
    ],
)
def test_convert_format_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        box_utils.convert_format(*arguments)


def test_lists_of_boxes_are_filled_up():
    dense = box_utils.densify_bounding_boxes({"boxes": [[[0, 0, 1, 1]], [[1, 1, 2, 2], [0, 0, 2, 2]]], "labels": [[3], [4, 5]]})
    assert dense["boxes"].shape == (2, 2, 4)
    assert dense["labels"].tolist() == [[3, -1], [4, 5]]
    assert box_utils.densify_bounding_boxes({"boxes": [[0, 0, 1, 1]], "labels": [3]})["boxes"].tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize(
    "wrong",
    [{"boxes": BOXES}, {"boxes": [[0, 0, 1, 1]], "labels": []}, {"boxes": BOXES[0, 0], "labels": LABELS}, {"boxes": BOXES, "labels": LABELS[0]}],
)
def test_wrong_boxes(wrong):
    with pytest.raises(ValueError, match=r"boxes|labels"):
        box_utils.densify_bounding_boxes(wrong)


# ---- one transformation, in both libraries
def as_ours(value):
    if isinstance(value, dict):
        return {key: as_ours(item) for key, item in value.items()}
    return Tensor(np.asarray(value)) if hasattr(value, "dtype") else value


@pytest.mark.parametrize("box_format", ["xyxy", "rel_xywh"])
@pytest.mark.parametrize("name", ["RandomFlip", "RandomTranslation", "RandomZoom", "RandomShear", "RandomPerspective", "RandomRotation"])
def test_one_transformation(name, box_format):
    arguments = {**RANDOM[name], "seed": 5, "bounding_box_format": box_format}
    theirs, ours = getattr(keras.layers, name)(**arguments), getattr(layers, name)(**arguments)
    transformation = theirs.get_random_transformation(IMAGES, training=True)
    same = {"input_shape": IMAGES.shape, **as_ours(transformation)}
    expected = theirs.transform_images(IMAGES, transformation, training=True)
    np.testing.assert_allclose(ours.transform_images(IMAGES, same), expected, atol=2e-4)
    masks = IMAGES[..., :1].round()
    expected = theirs.transform_segmentation_masks(masks, transformation, training=True)
    assert (np.asarray(ours.transform_segmentation_masks(masks, same)) != np.asarray(expected)).mean() < 0.02  # ties between pixels
    given = np.asarray(keras.utils.bounding_boxes.convert_format(BOXES, "xyxy", box_format, height=6, width=8))
    found = ours.transform_bounding_boxes({"boxes": Tensor(given), "labels": Tensor(LABELS)}, same)
    reference = theirs
    if name in ("RandomRotation", "RandomPerspective"):  # of these, Keras reads or returns boxes in the wrong format
        reference, given = getattr(keras.layers, name)(**{**arguments, "bounding_box_format": "xyxy"}), BOXES
    expected = reference.transform_bounding_boxes({"boxes": keras.ops.array(given), "labels": keras.ops.array(LABELS)}, transformation)
    if reference is not theirs:
        expected = keras.utils.bounding_boxes.convert_format(expected, "xyxy", box_format, height=6, width=8)
    np.testing.assert_allclose(found["boxes"], expected["boxes"], atol=1e-4)
    np.testing.assert_array_equal(found["labels"], expected["labels"])


@pytest.mark.parametrize("box_format", ["xyxy", "rel_center_xywh"])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Resizing", {"height": 4, "width": 5}),
        ("Resizing", {"height": 9, "width": 4, "pad_to_aspect_ratio": True}),
        ("Resizing", {"height": 9, "width": 4, "crop_to_aspect_ratio": True}),
        ("Resizing", {"height": 3, "width": 16, "crop_to_aspect_ratio": True}),
        ("CenterCrop", {"height": 3, "width": 4}),
        ("CenterCrop", {"height": 9, "width": 4}),
    ],
)
def test_boxes_of_layers_without_chance(name, arguments, box_format):
    given = np.asarray(keras.utils.bounding_boxes.convert_format(BOXES, "xyxy", box_format, height=6, width=8))
    theirs, ours = (getattr(library.layers, name)(**arguments, bounding_box_format=box_format) for library in (keras, kerasish))
    found, expected = (
        layer({"images": IMAGES, "bounding_boxes": {"boxes": given, "labels": LABELS}})["bounding_boxes"] for layer in (ours, theirs)
    )
    np.testing.assert_allclose(found["boxes"], expected["boxes"], atol=1e-5)
    np.testing.assert_array_equal(found["labels"], expected["labels"])
    assert ours.get_config()["bounding_box_format"] == box_format


def test_one_erasing():
    theirs, ours = keras.layers.RandomErasing(seed=3, value_range=(0, 1)), layers.RandomErasing(value_range=(0, 1))
    transformation = theirs.get_random_transformation(IMAGES)
    np.testing.assert_allclose(ours.transform_images(IMAGES, as_ours(transformation)), theirs.transform_images(IMAGES, transformation))


# ---- boxes stay around what they were around
def bright(top, left, bottom, right):
    image = np.zeros((16, 24, 1), "float32")
    image[top:bottom, left:right] = 1
    return image


def box_around(image):
    rows, columns = (np.flatnonzero(image[..., 0].max(axis) > 0.5) for axis in (1, 0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


@pytest.mark.parametrize("box_format", FORMATS)
@pytest.mark.parametrize(
    "layer",
    [
        lambda **kw: layers.RandomFlip(seed=1, **kw),
        lambda **kw: layers.RandomFlip("vertical", seed=1, **kw),
        lambda **kw: layers.RandomTranslation((0.25, 0.25), (-0.125, -0.125), fill_mode="constant", **kw),
        lambda **kw: layers.RandomCrop(12, 20, seed=2, **kw),
        lambda **kw: layers.RandomCrop(32, 48, seed=2, **kw),
        lambda **kw: layers.CenterCrop(10, 12, **kw),
        lambda **kw: layers.CenterCrop(32, 48, **kw),
        lambda **kw: layers.Resizing(32, 48, interpolation="nearest", **kw),
        lambda **kw: layers.Resizing(32, 24, pad_to_aspect_ratio=True, interpolation="nearest", **kw),
        lambda **kw: layers.Resizing(16, 12, crop_to_aspect_ratio=True, interpolation="nearest", **kw),
    ],
)
def test_boxes_follow(layer, box_format):
    images = np.stack([bright(6, 9, 10, 14), bright(5, 8, 9, 16)])
    corners = np.array([[box_around(image)] for image in images], "float32")
    given = box_utils.convert_format(corners, "xyxy", box_format, 16, 24)
    layer = layer(bounding_box_format=box_format)
    result = layer({"images": images, "bounding_boxes": {"boxes": given, "labels": Tensor([[1], [2]])}}, training=True)
    height, width = result["images"].shape[1:3]
    found = box_utils.convert_format(result["bounding_boxes"]["boxes"], box_format, "xyxy", height, width)
    expected = [[box_around(image)] for image in result["images"].numpy()]
    np.testing.assert_allclose(found, expected, atol=0.51)  # half a pixel, where images are resized
    assert result["bounding_boxes"]["labels"].tolist() == [[1], [2]]


def test_quarter_turn_of_boxes():
    layer = layers.RandomRotation((0.25, 0.25), fill_mode="constant", bounding_box_format="xywh")
    image = np.zeros((9, 9, 1), "float32")
    image[2:4, 1:6] = 1
    boxes = {"boxes": np.array([[1.0, 2.0, 4.0, 1.0]], "float32"), "labels": np.array([1])}  # first and last pixel
    result = layer({"images": image, "bounding_boxes": boxes}, training=True)
    left, top, right, bottom = box_around(result["images"].numpy())
    np.testing.assert_allclose(result["bounding_boxes"]["boxes"], [[left, top, right - left - 1, bottom - top - 1]], atol=1e-4)


def test_padding_boxes_stay_zero():
    layer = layers.Resizing(12, 12, bounding_box_format="xyxy")
    boxes = {"boxes": np.array([[[-1.0] * 4, [0.0] * 4, [0.0, 0.0, 8.0, 6.0]]], "float32"), "labels": np.array([[-1, -1, 1]])}
    result = layer({"images": IMAGES[:1], "bounding_boxes": boxes})["bounding_boxes"]
    assert result["boxes"].tolist() == [[[0.0] * 4, [0.0] * 4, [0.0, 0.0, 12.0, 12.0]]]


# ---- dicts and single images
def everything(box_format="xyxy"):
    return {
        "images": IMAGES,
        "labels": np.eye(3, dtype="float32"),
        "bounding_boxes": {"boxes": BOXES, "labels": LABELS},
        "segmentation_masks": IMAGES[..., :1].round(),
        "name": np.arange(3),
    }


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", [name for name in RANDOM if name != "RandomElasticTransform"])
def test_dicts(name, training):
    data = everything()
    layer = getattr(layers, name)(**RANDOM[name], seed=3, bounding_box_format="xyxy")
    result = layer(data, training=training)
    assert list(result) == list(data)
    assert data["images"] is IMAGES
    assert data["bounding_boxes"]["boxes"] is BOXES
    np.testing.assert_array_equal(result["labels"], data["labels"])
    np.testing.assert_array_equal(result["name"], data["name"])
    assert result["bounding_boxes"]["boxes"].shape == BOXES.shape
    assert result["segmentation_masks"].shape[:3] == result["images"].shape[:3]
    if not training:
        np.testing.assert_array_equal(result["images"], IMAGES)
        np.testing.assert_array_equal(result["bounding_boxes"]["boxes"], BOXES)
    else:
        assert result["images"].shape != IMAGES.shape or (result["images"].numpy() != IMAGES).any()


@pytest.mark.parametrize("name", RANDOM)
def test_single_images_are_batches_of_one(name):
    batch, single = (getattr(layers, name)(**RANDOM[name], seed=3) for _ in range(2))
    np.testing.assert_array_equal(single(IMAGES[0], training=True), batch(IMAGES[:1], training=True)[0])


def test_dict_with_lists_of_boxes():
    boxes = {"boxes": [[[0, 0, 1, 1]], [], [[1, 1, 2, 2], [0, 0, 8, 6]]], "labels": [[3], [], [4, 5]]}
    result = layers.Resizing(12, 16, bounding_box_format="xyxy")({"images": IMAGES, "bounding_boxes": boxes})["bounding_boxes"]
    assert result["labels"].tolist() == [[3, -1], [-1, -1], [4, 5]]
    assert result["boxes"][2].tolist() == [[2, 2, 4, 4], [0, 0, 16, 12]]


def test_single_dict():
    data = {"images": IMAGES[0], "labels": np.array([1.0]), "bounding_boxes": {"boxes": BOXES[0], "labels": LABELS[0]}}
    result = layers.RandomFlip(seed=1, bounding_box_format="xyxy")(data, training=True)
    assert result["images"].shape == (6, 8, 3)
    assert result["labels"].tolist() == [1.0]
    assert result["bounding_boxes"]["boxes"].shape == (2, 4)
    assert result["bounding_boxes"]["labels"].tolist() == [0, 1]


@pytest.mark.parametrize("name", ["RandomElasticTransform", "RandomZoom", "RandomCrop"])
def test_masks_move_with_their_images(name):
    arguments = {**RANDOM[name], "interpolation": "nearest"} if name != "RandomCrop" else RANDOM[name]
    result = getattr(layers, name)(**arguments, seed=3)({"images": IMAGES, "segmentation_masks": IMAGES}, training=True)
    np.testing.assert_array_equal(result["images"], result["segmentation_masks"])


@pytest.mark.parametrize("name", RANDOM)
def test_images_of_unknown_size(name):
    layer = getattr(layers, name)(**RANDOM[name], seed=1)
    y = layer(kerasish.KerasTensor((None, None, None, 3)))
    assert y.shape == ((None, 4, 5, 3) if name == "RandomCrop" else (None, None, None, 3))


def test_boxes_need_a_format():
    with pytest.raises(ValueError, match="bounding_box_format"):
        layers.RandomFlip()({"images": IMAGES, "bounding_boxes": {"boxes": BOXES, "labels": LABELS}})


def test_rank_of_images():
    with pytest.raises(ValueError, match="rank 3"):
        layers.CenterCrop(2, 2)(IMAGES[0, 0])


# ---- randomness
@pytest.mark.parametrize("name", RANDOM)
def test_seeds(name):
    def run(seed):
        layer = getattr(layers, name)(**RANDOM[name], seed=seed)
        return [layer(IMAGES, training=True).numpy() for _ in range(8)]

    first, again, other = run(1), run(1), run(2)
    np.testing.assert_array_equal(first, again)
    assert any((a != b).any() for a, b in zip(first, other, strict=True))
    assert any((first[0] != a).any() for a in first)


@pytest.mark.parametrize(
    ("name", "key", "low", "high"),
    [
        ("RandomRotation", "angle", -72, 72),
        ("RandomTranslation", "translations", [-2.4, -2.4], [2.4, 2.4]),
        ("RandomZoom", "height_zoom", 0.6, 1.4),
        ("RandomZoom", "width_zoom", 0.7, 1.3),
        ("RandomShear", "shear_factor", [-0.4, -0.2], [0.4, 0.2]),
        ("RandomElasticTransform", "distortion_factor", 0.0, 0.6),
    ],
)
def test_transformations_are_uniform(name, key, low, high):
    layer = getattr(layers, name)(**RANDOM[name], seed=1)
    images = np.zeros((2000, 6, 8, 1), "float32")
    drawn = layer.get_random_transformation(images)[key].numpy()
    if drawn.ndim == 0:
        drawn = np.stack([layer.get_random_transformation(images)[key].numpy() for _ in range(300)])
    low, high = np.asarray(low), np.asarray(high)
    assert (drawn >= low).all()
    assert (drawn <= high).all()
    spread = (high - low) / 12**0.5
    np.testing.assert_allclose(drawn.mean(0), np.broadcast_to((low + high) / 2, drawn.mean(0).shape), atol=0.2 * spread.max())
    np.testing.assert_allclose(drawn.std(0), np.broadcast_to(spread, drawn.std(0).shape), rtol=0.1)


@pytest.mark.parametrize(("name", "key"), [("RandomPerspective", "apply_perspective"), ("RandomErasing", "apply_erasing")])
def test_probability(name, key):
    layer = getattr(layers, name)(factor=(0.2, 0.4), seed=1)
    chosen = layer.get_random_transformation(np.zeros((4000, 4, 4, 3), "float32"))[key]
    assert abs(chosen.numpy().mean() - 0.3) < 0.03


def test_flips_half_of_the_images():
    flips = layers.RandomFlip(seed=1).get_random_transformation(np.zeros((4000, 2, 2, 1), "float32"))["flips"]
    assert abs(flips.numpy().mean() - 0.5) < 0.03


def test_erased_share():
    layer = layers.RandomErasing((1.0, 1.0), scale=(0.25, 0.25), fill_value=0.0, seed=1)
    erased = layer(np.ones((200, 32, 32, 1), "float32"), training=True).numpy() == 0
    assert abs(erased.mean() - 0.25) < 0.02
    assert (erased.any(axis=(1, 2, 3))).all()
    assert len({tuple(np.argwhere(image)[0]) for image in erased}) > 50


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_erased_with_one_value_for_each_channel(data_format):
    layer = layers.RandomErasing((1.0, 1.0), (1.0, 1.0), fill_value=(1, 2, 3), value_range=(0, 2), data_format=data_format)
    images = np.zeros((2, 4, 4, 3) if data_format == "channels_last" else (2, 3, 4, 4), "float32")
    y = np.moveaxis(layer(images, training=True).numpy(), layer.channel_axis, -1)
    np.testing.assert_array_equal(y, np.broadcast_to([1, 2, 2], (2, 4, 4, 3)))


def test_crops_are_windows_at_all_places():
    layer, image = layers.RandomCrop(3, 2, seed=1), np.arange(5 * 4, dtype="float32").reshape(1, 5, 4, 1)
    corners = set()
    for _ in range(200):
        y = layer(image, training=True).numpy()
        top, left = divmod(int(y[0, 0, 0, 0]), 4)
        np.testing.assert_array_equal(y, image[:, top : top + 3, left : left + 2])
        corners.add((top, left))
    assert corners == set(itertools.product(range(3), range(3)))


# ---- the rest
def test_max_num_bounding_boxes():
    data = {"images": IMAGES, "bounding_boxes": {"boxes": BOXES, "labels": LABELS}}
    more = layers.MaxNumBoundingBoxes(3, fill_value=-2, bounding_box_format="xyxy")
    found = more(data)["bounding_boxes"]
    assert found["boxes"].shape == (3, 3, 4)
    assert found["labels"].tolist() == [[0, 1, -2], [2, 3, -2], [4, 5, -2]]
    assert (found["boxes"].numpy()[:, 2] == -2).all()
    fewer = layers.MaxNumBoundingBoxes(1, bounding_box_format="xyxy")(data)["bounding_boxes"]
    np.testing.assert_array_equal(fewer["boxes"], BOXES[:, :1])
    assert type(more).from_config(more.get_config()).fill_value == -2


def test_pipeline_on_dicts():
    pipeline = layers.Pipeline([layers.Resizing(4, 4, bounding_box_format="xyxy"), layers.RandomFlip(seed=1, bounding_box_format="xyxy")])
    result = pipeline({"images": IMAGES, "bounding_boxes": {"boxes": BOXES, "labels": LABELS}}, training=False)
    np.testing.assert_allclose(result["bounding_boxes"]["boxes"], BOXES * [4 / 8, 4 / 6, 4 / 8, 4 / 6], rtol=1e-5)
    assert [type(layer) for layer in pipeline.layers] == [layers.Resizing, layers.RandomFlip]


def test_pipeline_hands_on_training_and_masks():
    class Seen(layers.Layer):
        supports_masking = True

        def call(self, x, training=None, mask=None):
            self.seen = training, mask
            return x

    seen = Seen()
    pipeline = layers.Pipeline([seen])
    with pytest.warns(UserWarning, match="does not support masking"):  # the pipeline itself
        pipeline(ops.ones((1, 2)), training=False, mask=ops.array([True]))
    assert seen.seen[0] is False
    assert seen.seen[1].tolist() == [True]
    pipeline(ops.ones((1, 2)))
    assert seen.seen == (True, None)


def test_rescaling_with_arrays_in_its_config():
    layer = layers.Rescaling(np.array([1.0, 2.0]), offset=1.0)
    again = layers.deserialize(layers.serialize(layer))
    assert again(np.ones((1, 2), "float32")).tolist() == [[2.0, 3.0]]


def test_shear_made_again_of_its_config():
    layer = layers.RandomShear(0.2, (0.1, 0.3))
    assert layers.RandomShear.from_config(layer.get_config()).x_factor == (-0.2, 0.2)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: layers.RandomRotation(1.5), ValueError),
        (lambda: layers.RandomRotation((0.1, 0.2, 0.3)), ValueError),
        (lambda: layers.RandomTranslation(1.5, 0.1), ValueError),
        (lambda: layers.RandomTranslation("all", 0.1), ValueError),
        (lambda: layers.RandomZoom(-1.0), ValueError),
        (lambda: layers.RandomZoom(0.1, (0.1,)), ValueError),
        (lambda: layers.RandomShear(-0.1), ValueError),
        (lambda: layers.RandomPerspective(scale=2.0), ValueError),
        (lambda: layers.RandomErasing(scale=2.0), ValueError),
        (lambda: layers.RandomErasing(fill_value=(1, 2)), ValueError),
        (lambda: layers.RandomFlip("diagonal"), ValueError),
        (lambda: layers.CenterCrop(2, 2, factor=1.0), ValueError),
        (lambda: layers.RandomRotation(0.1, fill_mode="mirror"), NotImplementedError),
        (lambda: layers.RandomZoom(0.1, interpolation="cubic"), NotImplementedError),
        (lambda: layers.Pipeline.from_config({"layers": None}), ValueError),
    ],
)
def test_errors(make, error):
    with pytest.raises(error):
        make()


def test_elastic_transform_refuses_boxes():
    layer = layers.RandomElasticTransform(bounding_box_format="xyxy")
    with pytest.raises(ValueError, match="bounding boxes"):
        layer({"images": IMAGES, "bounding_boxes": {"boxes": BOXES, "labels": LABELS}}, training=True)


def test_training_behind_augmentation():
    model = kerasish.Sequential([
        layers.Rescaling(1 / 255), layers.RandomFlip(seed=1), layers.RandomRotation(0.1, seed=1), layers.RandomZoom(0.1, seed=2),
        layers.RandomCrop(4, 4, seed=3), layers.Resizing(4, 4), layers.Flatten(), layers.Dense(1),
    ])  # fmt: skip
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).uniform(0, 255, (8, 6, 6, 1)).astype("float32")
    history = model.fit(x, x.mean((1, 2, 3))[:, None] / 255, epochs=2, batch_size=4, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert model.predict(x, verbose=0).shape == (8, 1)
