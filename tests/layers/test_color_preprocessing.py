"""Image layers that change colors, mix or choose: what the conformance rows do not say."""

import keras as real_keras
import numpy as np
import pytest

import kerasish
from kerasish import layers

RNG = np.random.default_rng(0)
BATCH = 3
IMAGES = RNG.uniform(0, 255, (BATCH, 8, 6, 3)).astype("float32")
CLAHE = "ContrastLimitedAdaptiveHistogramEqualization"


def drawn(low, high, *shape):
    return RNG.uniform(low, high, (BATCH, *shape)).astype("float32")


SOME = np.array([True, False, True])
# layer, arguments, what it does to each image
GIVEN = {
    "RandomBrightness": ({"factor": 0.5}, {"rgb_delta": drawn(-90, 90, 1, 1, 1)}),
    "RandomContrast": ({"factor": 0.5}, {"contrast_factor": drawn(0.5, 1.5, 1, 1, 1)}),
    "RandomHue": ({"factor": 0.5}, {"factor": drawn(-0.5, 0.5)}),
    "RandomSaturation": ({"factor": 0.5}, {"factor": drawn(0, 2)}),
    "RandomColorDegeneration": ({"factor": 0.5}, {"factor": drawn(-0.5, 1, 1, 1, 1)}),
    "RandomGrayscale": ({}, SOME[:, None, None, None]),
    "RandomInvert": ({}, {"apply_inversion": SOME}),
    "RandomPosterization": ({"factor": 5}, {"shift_factor": np.array([1, 4, 7], "uint8")}),
    "RandomSharpness": ({"factor": 0.5}, {"factor": drawn(0, 1)}),
    "RandomGaussianBlur": (
        {"kernel_size": (3, 5)},
        {"should_apply_blur": SOME, "blur_factor": np.array([0.4, 0.9], "float32")},
    ),
    "Solarization": ({}, {"additions": drawn(0, 90, 1, 1, 1), "thresholds": drawn(0, 200, 1, 1, 1)}),
    "AutoContrast": ({}, None),
    "Equalization": ({}, None),
    CLAHE: ({"tile_grid_size": (3, 2)}, None),
}
RANDOM = [name for name, (_, transformation) in GIVEN.items() if transformation is not None]


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("unit", [False, True])
def test_a_given_transformation_gives_keras_values(name, data_format, unit):
    arguments, transformation = GIVEN[name]
    images = IMAGES / 255 if unit else IMAGES
    if unit and "value_range" in layers.__dict__[name].fields:
        arguments = {**arguments, "value_range": (0, 1)}
    first = data_format == "channels_first"
    if first and name == "Equalization" and unit:
        return  # its loop over 256 bins takes Keras long enough
    ours = getattr(layers, name)(**arguments, data_format=data_format)
    mine = ours.transform_images(images.transpose(0, 3, 1, 2) if first else images, transformation).numpy()
    theirs = getattr(real_keras.layers, name)(**arguments, data_format="channels_last" if name == "AutoContrast" else data_format)
    tensor = real_keras.ops.convert_to_tensor
    given = transformation if transformation is None else real_keras.tree.map_structure(tensor, transformation)
    flipped = first and name != "AutoContrast"  # which takes the wrong axes for channels first
    wanted = np.asarray(theirs.transform_images(tensor(images.transpose(0, 3, 1, 2) if flipped else images), given))
    if first and not flipped:
        wanted = wanted.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(mine, wanted, rtol=1e-4, atol=1e-4 if unit else 5e-3)


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64")  # by Keras's MixUp on JAX
@pytest.mark.parametrize("name", [*RANDOM, "MixUp", "CutMix"])
def test_transformations_are_drawn_as_keras_does(name):
    arguments, _ = GIVEN.get(name, ({}, None))
    data = np.zeros((4000, 2, 2, 3), "float32")
    found = []
    for library in (real_keras, kerasish):
        layer = getattr(library.layers, name)(**arguments, seed=5)
        numbers = layer.get_random_transformation(data)
        numbers = numbers if isinstance(numbers, dict) else {"chosen": numbers}
        found.append({key: np.asarray(x).astype("float64") for key, x in numbers.items()})
    theirs, ours = found
    assert set(ours) == set(theirs)
    for key in set(theirs) - {"permutation_order"}:
        a, b = theirs[key], ours[key]
        if key == "blur_factor":
            assert b.shape == a.shape and (b > 0).all() and (b <= 1).all()
            continue
        assert np.size(b) == np.size(a) or key == "batch_masks"
        spread = max(a.std(), 1e-6)
        np.testing.assert_allclose(b.mean(), a.mean(), atol=0.08 * spread, err_msg=key)
        np.testing.assert_allclose(b.std(), a.std(), atol=0.08 * spread, err_msg=key)
        np.testing.assert_allclose([b.min(), b.max()], [a.min(), a.max()], atol=0.2 * spread, err_msg=key)
    if "permutation_order" in ours:
        np.testing.assert_array_equal(np.sort(ours["permutation_order"]), np.arange(len(data)))


def test_auto_contrast_leaves_channels_of_one_value_alone(keras):
    x = np.full((1, 2, 2, 2), 7.0, "float32")
    x[0, 0, 0, 1] = 3.0
    y = np.asarray(keras.layers.AutoContrast()(x))
    np.testing.assert_allclose(y[..., 0], 7.0)
    np.testing.assert_allclose(y[0, :, :, 1], [[0, 255], [255, 255]], atol=1e-3)


@pytest.mark.parametrize("name", ["Equalization", CLAHE])
def test_equalization_of_one_value(keras, name):
    arguments = {"bins": 8} if name == "Equalization" else {}
    y = np.asarray(getattr(keras.layers, name)(**arguments)(np.full((1, 9, 9, 1), 7.0, "float32")))
    assert np.isfinite(y).all() and (y == y[0, 0, 0, 0]).all()


DATA = {
    "images": IMAGES,
    "labels": np.eye(BATCH, dtype="float32"),
    "bounding_boxes": {
        "boxes": RNG.uniform(0, 3, (BATCH, 2, 4)).astype("float32"),
        "labels": np.arange(2 * BATCH, dtype="int32").reshape(BATCH, 2),
    },
    "segmentation_masks": RNG.integers(0, 3, (BATCH, 8, 6, 1)).astype("int32"),
}


@pytest.mark.parametrize("name", GIVEN)
def test_only_images_change(name):
    layer = getattr(layers, name)(**GIVEN[name][0], bounding_box_format="xyxy", seed=1) if name in RANDOM else None
    layer = layer or getattr(layers, name)(**GIVEN[name][0], bounding_box_format="xyxy")
    out = layer({**DATA, "bounding_boxes": dict(DATA["bounding_boxes"])}, training=True)
    assert out["images"].shape == IMAGES.shape
    for key in ("labels", "segmentation_masks"):
        np.testing.assert_array_equal(out[key], DATA[key])
    for key in ("boxes", "labels"):
        np.testing.assert_array_equal(out["bounding_boxes"][key], DATA["bounding_boxes"][key])
    assert layer(IMAGES[0], training=True).shape == IMAGES[0].shape


@pytest.mark.parametrize("name", ["RandomGrayscale", CLAHE, "RandomBrightness", "RandomHue", "Solarization"])
def test_integers(name):
    images = IMAGES.astype("uint8")
    layer = getattr(layers, name)(**GIVEN[name][0])
    keeps = name in ("RandomGrayscale", CLAHE)
    assert layer(images, training=True).dtype == ("uint8" if keeps else "float32")


def test_jitter_is_its_parts_one_after_the_other():
    for data_format, images in (("channels_last", IMAGES), ("channels_first", IMAGES.transpose(0, 3, 1, 2))):
        jitter = layers.RandomColorJitter((0, 255), 0.3, 0.4, (0.2, 0.6), 0.3, data_format=data_format)
        drawn = jitter.get_random_transformation(images)
        expected = images
        for name, numbers in zip(("brightness", "contrast", "saturation", "hue"), drawn, strict=True):
            expected = getattr(jitter, f"random_{name}").transform_images(expected, numbers)
        np.testing.assert_array_equal(jitter.transform_images(images, drawn), expected)


# ---- mixing
ORDER, WEIGHT = np.array([2, 0, 1]), np.array([0.2, 0.5, 0.9], "float32")
CUT = np.zeros((BATCH, 8, 6, 1), bool)
CUT[0, 2:5, 1:4] = CUT[2, :, :2] = True


@pytest.mark.parametrize(
    ("name", "transformation"),
    [
        ("MixUp", {"mix_weight": WEIGHT, "permutation_order": ORDER}),
        ("CutMix", {"mix_weight": WEIGHT.reshape(BATCH, 1, 1, 1), "permutation_order": ORDER, "batch_masks": CUT}),
    ],
)
def test_mixing_images_and_labels(keras, name, transformation):
    layer = getattr(keras.layers, name)()
    given = {key: keras.ops.convert_to_tensor(value) for key, value in transformation.items()}
    weight = WEIGHT[:, None]
    mixed = weight * DATA["labels"] + (1 - weight) * DATA["labels"][ORDER]
    np.testing.assert_allclose(layer.transform_labels(keras.ops.convert_to_tensor(DATA["labels"]), given), mixed, rtol=1e-6)
    share = WEIGHT[:, None, None, None] if name == "MixUp" else 1.0 - CUT
    mixed = share * IMAGES + (1 - share) * IMAGES[ORDER]
    np.testing.assert_allclose(layer.transform_images(keras.ops.convert_to_tensor(IMAGES), given), mixed, rtol=1e-5)


def test_mixing_masks_and_boxes():
    transformation = {"mix_weight": WEIGHT, "permutation_order": ORDER}
    masks, boxes = DATA["segmentation_masks"], DATA["bounding_boxes"]
    layer, share = layers.MixUp(bounding_box_format="xyxy"), WEIGHT[:, None, None, None]
    mixed = share * masks + (1 - share) * masks[ORDER]
    np.testing.assert_allclose(layer.transform_segmentation_masks(masks, transformation), mixed, rtol=1e-6)
    both = layer.transform_bounding_boxes(boxes, transformation)
    for key in boxes:
        np.testing.assert_array_equal(both[key], np.concatenate([boxes[key], boxes[key][ORDER]], axis=1))
    cut = {"mix_weight": WEIGHT, "permutation_order": ORDER, "batch_masks": CUT}
    np.testing.assert_array_equal(layers.CutMix().transform_segmentation_masks(masks, cut), np.where(CUT, masks[ORDER], masks))
    with pytest.raises(NotImplementedError, match="bounding boxes"):
        layers.CutMix(bounding_box_format="xyxy")(dict(DATA), training=True)


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64")
@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_mixing_in_a_call(keras, name):
    layer = getattr(keras.layers, name)(seed=3)
    data = {key: DATA[key] for key in ("images", "labels")}
    np.testing.assert_array_equal(layer(dict(data), training=False)["labels"], data["labels"])
    labels = np.asarray(layer(dict(data), training=True)["labels"])
    np.testing.assert_allclose(labels.sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(layer(IMAGES[0], training=True), IMAGES[0], rtol=1e-5)  # a single image has no other


def test_cut_mix_blends_labels_by_area():
    drawn = layers.CutMix(seed=1).get_random_transformation(np.zeros((200, 32, 32, 3), "float32"))
    share = 1 - np.asarray(drawn["batch_masks"]).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(np.asarray(drawn["mix_weight"]).reshape(-1), share, atol=0.1)


# ---- choosing
@pytest.mark.parametrize("number", range(11))
def test_rand_augment_applies_the_chosen_layer(number):
    arguments = {"num_ops": 1, "factor": 0.5, "bounding_box_format": "xyxy"}
    theirs, ours = real_keras.layers.RandAugment(**arguments), layers.RandAugment(**arguments)
    name = ours._names[number]
    assert tuple(theirs._AUGMENT_LAYERS) == ours._names
    images = real_keras.ops.convert_to_tensor(IMAGES)
    chosen = getattr(theirs, name)
    drawn = chosen.get_random_transformation(images)
    values = drawn and {"input_shape": IMAGES.shape}
    for key, value in (drawn or {}).items():
        values[key] = value if key == "input_shape" else np.asarray(value)
    transformation = {"layer_idxes": np.array([number]), "transforms": {**dict.fromkeys(ours._names), name: values}}
    wanted = chosen.transform_images(images, drawn)
    np.testing.assert_allclose(ours.transform_images(IMAGES, transformation), wanted, rtol=1e-4, atol=0.02)
    wanted = chosen.transform_segmentation_masks(real_keras.ops.convert_to_tensor(DATA["segmentation_masks"]), drawn)
    np.testing.assert_allclose(ours.transform_segmentation_masks(DATA["segmentation_masks"], transformation), wanted)
    boxes = {key: kerasish.ops.array(value) for key, value in DATA["bounding_boxes"].items()}
    wanted = getattr(ours, name).transform_bounding_boxes(dict(boxes), values)
    found = ours.transform_bounding_boxes(boxes, transformation)
    for key in boxes:
        np.testing.assert_allclose(found[key], wanted[key], rtol=1e-6)


def test_rand_augment_goes_through_its_choices_in_order():
    layer = layers.RandAugment(num_ops=3, value_range=(0, 1))
    drawn = layer.get_random_transformation(IMAGES / 255)
    names = [layer._names[int(number)] for number in drawn["layer_idxes"].numpy()]
    expected = kerasish.ops.array(IMAGES / 255)
    for name in names:
        expected = getattr(layer, name).transform_images(expected, drawn["transforms"][name])
    np.testing.assert_array_equal(layer.transform_images(IMAGES / 255, drawn), expected)


def test_rand_augment_chooses_evenly():
    layer = layers.RandAugment(num_ops=5000, seed=1)
    numbers = layer.get_random_transformation(np.zeros((1, 2, 2, 3), "float32"))["layer_idxes"].numpy()
    assert np.bincount(numbers, minlength=11).min() > 350 and numbers.max() == 10


@pytest.mark.parametrize("all_ops", [True, False])
def test_aug_mix_is_a_blend_of_chains(all_ops):
    layer = layers.AugMix(num_chains=2, chain_depth=2, all_ops=all_ops)
    assert [hasattr(layer, name) for name in ("random_shear", "random_brightness")] == [True, all_ops]
    none = len(layer._names)
    drawn = layer.get_random_transformation(IMAGES)
    weights, share = np.asarray(drawn["chain_mixing_weights"]), float(drawn["weight_sample"])
    assert abs(weights.sum() - 1) < 1e-5 and 0 <= share <= 1
    stretch, spread = layer._names.index("auto_contrast"), layer._names.index("equalization")
    drawn["layer_idxes"] = kerasish.ops.array([[stretch, spread], [none, none]])
    x = np.clip(IMAGES, 40, 200)
    chain = layer.equalization.transform_images(layer.auto_contrast.transform_images(x)).numpy()
    expected = share * x + (1 - share) * (weights[0] * chain + weights[1] * x)
    np.testing.assert_allclose(layer.transform_images(x, drawn), expected, rtol=1e-4)
    masks = DATA["segmentation_masks"]
    np.testing.assert_allclose(layer.transform_segmentation_masks(masks, drawn), masks, atol=1e-5)


@pytest.mark.parametrize("name", ["RandAugment", "AugMix", "MixUp", "CutMix", "RandomColorJitter", "RandomGaussianBlur"])
def test_recorded_calls_draw_what_eager_ones_draw(name):
    arguments = {"brightness_factor": 0.2, "hue_factor": 0.3} if name == "RandomColorJitter" else {}
    eager, recorded = (getattr(layers, name)(seed=4, **arguments) for _ in range(2))
    run = kerasish.function(lambda x: recorded(x, training=True))
    x, outputs = kerasish.Tensor(IMAGES), []
    for _ in range(4):
        outputs.append(eager(x, training=True).numpy())
        np.testing.assert_allclose(run(x).numpy(), outputs[-1], rtol=1e-4, atol=1e-2)
    assert any((y != outputs[0]).any() for y in outputs[1:])


@pytest.mark.parametrize("name", [*GIVEN, "MixUp", "CutMix", "RandAugment", "AugMix"])
@pytest.mark.parametrize("shape", [(8, 6, 3), (None, None, 3)])
def test_in_a_model(name, shape):
    inputs = kerasish.Input(shape)
    model = kerasish.Model(inputs, getattr(layers, name)(**GIVEN.get(name, ({},))[0])(inputs))
    assert model.output.shape == (None, *shape)
    assert model(IMAGES, training=True).shape == IMAGES.shape
    if name not in ("AutoContrast", CLAHE):  # which act in inference too
        np.testing.assert_array_equal(model(IMAGES, training=False), IMAGES)


# ---- files
def test_a_file_by_keras_augments_and_drops_in_training_only(tmp_path):
    inputs = real_keras.Input((8, 6, 3))
    x = real_keras.layers.RandAugment(num_ops=1, seed=1)(inputs)
    x = real_keras.layers.RandomInvert((1.0, 1.0))(x)
    x = real_keras.layers.Dropout(0.5)(x)
    real_keras.Model(inputs, x).save(tmp_path / "model.keras")
    model = kerasish.models.load_model(tmp_path / "model.keras")
    images = np.full((2, 8, 6, 3), 55.0, "float32")
    np.testing.assert_array_equal(model.predict(images, verbose=0), images)
    in_training = model(images, training=True).numpy()
    assert (in_training != images).any() and (in_training == 0).any()
    model.save(tmp_path / "again.keras")
    np.testing.assert_array_equal(real_keras.models.load_model(tmp_path / "again.keras").predict(images, verbose=0), images)


# ---- errors
@pytest.mark.parametrize("name", ["RandomBrightness", "RandomSaturation", "RandomPosterization", "Solarization", "AutoContrast"])
@pytest.mark.parametrize("value_range", ["01", [1], 3])
def test_value_ranges(keras, name, value_range):
    with pytest.raises(ValueError, match="value_range"):
        getattr(keras.layers, name)(**GIVEN[name][0], value_range=value_range)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("RandomBrightness", {"factor": 1.5}),
        ("RandomBrightness", {"factor": "much"}),
        ("RandomContrast", {"factor": -0.1}),
        ("RandomHue", {"factor": (0.1, 0.2, 0.3)}),
        ("RandomGrayscale", {"factor": 2}),
        ("RandomPosterization", {"factor": 9}),
        ("RandomGaussianBlur", {"kernel_size": 4}),
        ("RandomGaussianBlur", {"kernel_size": (3, 2)}),
        ("RandomGaussianBlur", {"kernel_size": (3, 3, 3)}),
        ("RandomGaussianBlur", {"sigma": 2.0}),
        ("Solarization", {"addition_factor": -0.5}),
        ("Solarization", {"threshold_factor": (0.1, 1.5)}),
        ("Solarization", {"threshold_factor": "a"}),
        ("AutoContrast", {"factor": 0.5}),
        ("CutMix", {"factor": 2.0}),
    ],
)
def test_factors(keras, name, arguments):
    with pytest.raises(ValueError, match="|".join([*arguments, "input_number"])):
        getattr(keras.layers, name)(**arguments)


def test_rank(keras):
    with pytest.raises(ValueError, match="rank 3"):
        keras.layers.RandomBrightness(0.1)(np.ones((4, 4), "float32"), training=True)
