"""Ops on images beyond their rows: gradients by what transforms go by, unknown sizes, errors, files, and where Keras differs."""

import keras
import numpy as np
import pytest

import kerasish
from kerasish import check_grads, layers, models, ops
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor
from kerasish.ops import image
from tests.conformance.driver import A


def array(*shape, **options):
    return A(*shape, **options).make()


# ---- numbers
def test_projective_part_of_affine_transform():
    """As the documentation has it: coordinates are divided by k. (On JAX Keras adds multiples of the channel's number instead.)"""
    x = array(1, 6, 7, 2)
    a0, a1, a2, b0, b1, b2, c0, c1 = transform = [0.9, 0.1, 0.4, -0.1, 1.1, 0.3, 0.02, -0.03]
    rows, columns = np.meshgrid(np.arange(6), np.arange(7), indexing="ij")
    k = c0 * columns + c1 * rows + 1
    places = np.stack([(b0 * columns + b1 * rows + b2) / k, (a0 * columns + a1 * rows + a2) / k]).astype("float32")
    expected = [keras.ops.image.map_coordinates(x[0, ..., c], places, 1) for c in range(2)]
    np.testing.assert_allclose(image.affine_transform(x, transform)[0], np.stack(expected, -1), atol=1e-5)


def test_one_transform_for_all_images():
    x, transform = array(3, 5, 6, 2), [0.9, 0.2, 0.3, -0.1, 1.1, -0.2, 0, 0]
    np.testing.assert_array_equal(image.affine_transform(x, transform), image.affine_transform(x, [transform] * 3))
    corners, seen = array(4, 2, low=0, high=0.3) + [[0, 0], [5, 0], [0, 4], [5, 4]], [[0, 0], [5, 0], [0, 4], [5, 4]]
    one = image.perspective_transform(x, corners, seen)
    np.testing.assert_array_equal(one, image.perspective_transform(x, np.stack([corners] * 3), np.stack([seen] * 3)))


def test_perspective_of_large_images_is_exact():
    """Corners of a large image that stay where they are leave all pixels where they are."""
    x = array(301, 487, 1)
    corners = np.array([[0, 0], [486, 0], [0, 300], [486, 300]], "float32")
    np.testing.assert_allclose(image.perspective_transform(x, corners, corners), x, atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_beyond_the_edges_is_not_read(value):
    x = np.full((1, 2, 2, 1), value, "float32")
    moved = image.affine_transform(x, [1, 0, 5, 0, 1, 0, 0, 0], fill_value=3.0)
    np.testing.assert_array_equal(moved, np.full((1, 2, 2, 1), 3.0))


def test_coordinates_that_are_no_numbers():
    y = image.map_coordinates([1.0, 2.0], [[np.nan, np.inf, 0.0]], 1).numpy()
    assert np.isnan(y[:2]).all() and y[2] == 1.0
    assert image.map_coordinates([1.0, 2.0], [[np.nan, np.inf, 1e30]], 0, fill_value=7.0).tolist() == [7.0] * 3


def test_halves_of_integers():
    """Look-ups round away from zero, resizing to even numbers."""
    assert image.map_coordinates([0, 1, 2, -1, -2], [[0.5, 1.5, 3.5]], 1).tolist() == [1, 2, -2]
    assert image.resize(np.array([[[0], [2], [4], [6]]], "uint8"), (1, 2)).tolist() == [[[1], [5]]]
    assert image.resize(np.array([[[0], [1], [2], [3]]], "uint8"), (1, 2)).tolist() == [[[0], [2]]]


def test_grayscale_cuts_integers_off():
    assert image.rgb_to_grayscale(np.full((1, 1, 3), 255, "uint8")).tolist() == [[[254]]]


def test_colours_there_and_back():
    x = array(4, 5, 3, low=0.0)
    np.testing.assert_allclose(image.hsv_to_rgb(image.rgb_to_hsv(x)), x, atol=1e-6)


def test_elastic_transform_is_seeded():
    x = array(2, 6, 5, 1)
    first, again, other = (image.elastic_transform(x, seed=seed).numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    seed = kerasish.random.SeedGenerator(1)
    assert (image.elastic_transform(x, seed=seed).numpy() != image.elastic_transform(x, seed=seed).numpy()).any()
    np.testing.assert_array_equal(image.elastic_transform(x, alpha=0.0, seed=1), x)
    lone = image.elastic_transform(x[0], seed=1)
    np.testing.assert_array_equal(lone, image.elastic_transform(x[:1], seed=1)[0])
    assert image.elastic_transform((x * 99).astype("int32"), seed=1).dtype == "int32"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("how", ["bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"])
def test_resize_of_many_sizes(how, antialias, seed):
    rng = np.random.default_rng(seed)
    x = rng.random((1, *rng.integers(1, 40, 2), 2)).astype("float32")
    for options in ({}, {"crop_to_aspect_ratio": True}, {"pad_to_aspect_ratio": True}):
        size = tuple(map(int, rng.integers(1, 40, 2)))
        expected = keras.ops.image.resize(x, size, how, antialias, **options)
        np.testing.assert_allclose(image.resize(x, size, how, antialias, **options), expected, atol=1e-5)


# ---- gradients by the parameters of transforms
def close_to(values, seed=0):
    return Tensor(np.asarray(values) + array(*np.shape(values), low=-0.01, high=0.01).astype("float64"), dtype="float64")


def test_gradients_of_affine_transform():
    x = Tensor(array(2, 4, 5, 2), dtype="float64")
    transform = close_to([[0.9, 0.15, 0.3, -0.12, 1.1, -0.25, 0.01, 0.02]] * 2)
    check_grads(lambda x, t: image.affine_transform(x, t, fill_mode="reflect"), (x, transform))


def test_gradients_of_perspective_transform():
    x = Tensor(array(1, 4, 5, 2), dtype="float64")
    start, end = close_to([[0.2, 0.1], [4.1, 0.3], [0.3, 3.2], [3.8, 2.9]]), close_to([[0.0, 0.4], [3.6, 0.1], [0.1, 2.7], [4.2, 3.3]])
    check_grads(image.perspective_transform, (x, start, end))


def test_gradient_of_elastic_transform_by_its_strength():
    x = Tensor(array(1, 4, 5, 1), dtype="float64")
    check_grads(lambda x, alpha: image.elastic_transform(x, alpha, 1.0, seed=1), (x, Tensor(2.3, dtype="float64")))


# ---- unknown sizes
OPEN = KerasTensor((None, None, None, 3))


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: image.resize(OPEN, (4, 5)), (None, 4, 5, 3)),
        (lambda: image.resize(KerasTensor((None, 8, 8, None)), (4, 5), pad_to_aspect_ratio=True), (None, 4, 5, None)),
        (lambda: image.resize(KerasTensor((3, None, 7)), (4, 5), data_format="channels_first"), (3, 4, 5)),
        (lambda: image.rgb_to_grayscale(OPEN), (None, None, None, 1)),
        (lambda: image.rgb_to_hsv(OPEN), (None, None, None, 3)),
        (lambda: image.hsv_to_rgb(OPEN), (None, None, None, 3)),
        (lambda: image.affine_transform(OPEN, KerasTensor((None, 8))), (None, None, None, 3)),
        (lambda: image.affine_transform(KerasTensor((None, 6, 7, 3)), KerasTensor((None, 8))), (None, 6, 7, 3)),
        (lambda: image.perspective_transform(OPEN, KerasTensor((None, 4, 2)), KerasTensor((None, 4, 2))), (None, None, None, 3)),
        (lambda: image.map_coordinates(KerasTensor((None, None)), KerasTensor((2, None, 4)), 1), (None, 4)),
        (lambda: image.gaussian_blur(OPEN), (None, None, None, 3)),
        (lambda: image.gaussian_blur(KerasTensor((None, 4, 4, None))), (None, 4, 4, None)),
        (lambda: image.elastic_transform(OPEN), (None, None, None, 3)),
        (lambda: image.sobel_edges(OPEN), (None, None, None, 3, 2)),
        (lambda: image.ssim(OPEN, OPEN), (None,)),
        (lambda: image.scale_and_translate(OPEN, (2, 4, 4, 3), [1.0], [0.5], (1,), "linear"), (2, 4, 4, 3)),
        (lambda: image.pad_images(OPEN, 1, 1, 1, 1), (None, None, None, 3)),
        (lambda: image.pad_images(OPEN, top_padding=1, left_padding=1, target_height=9, target_width=8), (None, 9, 8, 3)),
        (lambda: image.crop_images(OPEN, top_cropping=1, left_cropping=1, target_height=9, target_width=8), (None, 9, 8, 3)),
        (lambda: image.extract_patches(OPEN, 4), (None, None, None, 48)),
        (lambda: image.extract_patches_3d(KerasTensor((None, None, 8, 8, 2)), 4), (None, None, 2, 2, 128)),
    ],
)
def test_unknown_sizes(call, expected):
    assert call().shape == expected


# ---- errors: those of Keras, of the same type
X = np.zeros((2, 4, 5, 3), "float32")
CASES = [
    ("resize", (X, (4,)), {}),
    ("resize", (X, (0, 4)), {}),
    ("resize", (X[0, 0], (4, 4)), {}),
    ("resize", (X, (4, 4), "cubic"), {}),
    ("resize", (X, (4, 4)), {"fill_mode": "nearest"}),
    ("resize", (X, (4, 4)), {"crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True}),
    ("rgb_to_grayscale", (X[..., :2],), {}),
    ("rgb_to_grayscale", (X[0, 0],), {}),
    ("rgb_to_hsv", (X.astype("uint8"),), {}),
    ("hsv_to_rgb", (X.astype("int32"),), {}),
    ("hsv_to_rgb", (X[..., :2],), {}),
    ("affine_transform", (X, np.zeros((2, 8)), "bicubic"), {}),
    ("affine_transform", (X, np.zeros((2, 8))), {"fill_mode": "edge"}),
    ("affine_transform", (X[0, 0], np.zeros(8)), {}),
    ("affine_transform", (X, np.zeros((1, 2, 8))), {}),
    ("perspective_transform", (X, np.zeros((4, 2)), np.zeros((2, 4, 2))), {}),
    ("perspective_transform", (X, np.zeros((4, 3)), np.zeros((4, 3))), {}),
    ("perspective_transform", (X, np.zeros((4, 2)), np.zeros((4, 2)), "bicubic"), {}),
    ("map_coordinates", (X[0, 0], np.zeros((3, 4)), 1), {}),
    ("map_coordinates", (X[0, 0, 0], np.zeros((3,)), 1), {}),
    ("map_coordinates", (X[0, 0], np.zeros((2, 4)), 2), {}),
    ("map_coordinates", (X[0, 0], np.zeros((2, 4)), 1, "edge"), {}),
    ("scale_and_translate", (X, X.shape, [1.0], [1.0], (1,), "nearest"), {}),
    ("gaussian_blur", (X[0, 0],), {}),
    ("elastic_transform", (X,), {"fill_mode": "edge"}),
    ("elastic_transform", (X,), {"interpolation": "bicubic"}),
    ("elastic_transform", (X[0, 0],), {}),
    ("sobel_edges", (X[0],), {}),
    ("ssim", (X[0, 0], X[0, 0]), {}),
    ("pad_images", (X, 1, 1), {}),
    ("pad_images", (X, 1, 1, 1, 1, 9), {}),
    ("pad_images", (X, -1, 1, 1, 1), {}),
    ("pad_images", (X,), {"top_padding": 1, "left_padding": 0, "target_height": 3, "target_width": 9}),
    ("pad_images", (X[0, 0], 1, 1, 1, 1), {}),
    ("crop_images", (X, 1, 1), {}),
    ("crop_images", (X, 3, 1, 3, 1), {}),
    ("crop_images", (X, -1, 1, 1, 1), {}),
    ("crop_images", (X[0, 0], 1, 1, 1, 1), {}),
    ("extract_patches", (X, "2"), {}),
    ("extract_patches", (X, (2, 2, 2, 2)), {}),
]


@pytest.mark.parametrize(("name", "args", "kwargs"), CASES, ids=[f"{case[0]}-{i}" for i, case in enumerate(CASES)])
def test_errors_are_those_of_keras(name, args, kwargs):
    with pytest.raises((ValueError, TypeError, IndexError)) as theirs:
        getattr(keras.ops.image, name)(*args, **kwargs)
    expected = theirs.type if issubclass(theirs.type, (ValueError, TypeError)) else ValueError
    with pytest.raises(expected):
        getattr(image, name)(*args, **kwargs)


def test_errors_of_our_own():
    with pytest.raises(ValueError, match="3 rows for 2 images"):
        image.affine_transform(X, np.zeros((3, 8)))
    with pytest.raises(ValueError, match="2 rows for 1 images"):
        image.perspective_transform(X[0], np.zeros((2, 4, 2)), np.zeros((2, 4, 2)))
    with pytest.raises(ValueError, match="expected float dtype"):
        image.gaussian_blur(X.astype("uint8"))
    with pytest.raises(ValueError, match="negative numbers"):
        image.sobel_edges(X.astype("uint8"))
    with pytest.raises(ValueError, match="`padding`"):
        image.extract_patches(X, 2, padding="full")
    with pytest.raises(ValueError, match="Windows of 11 pixels"):
        image.ssim(X, X)
    with pytest.raises(ValueError, match="bottom_cropping must be >= 0"):
        image.crop_images(X, top_cropping=3, left_cropping=0, target_height=3, target_width=2)
    with pytest.raises(ValueError, match="`target_height` must be given"):
        image.crop_images(OPEN, 1, 1, 1, 1)
    with pytest.raises(ValueError, match="Received shape"):
        image.extract_patches(X[0], (2, 2, 2))
    with pytest.raises(ValueError, match="`scale` must have a number for each"):
        image.scale_and_translate(X, X.shape, [1.0, 1.0], [1.0], (1,), "linear")
    with pytest.raises(ValueError, match="`output_shape` must have a size"):
        image.scale_and_translate(X, (4, 5), [1.0], [1.0], (1,), "linear")


# ---- in models
def test_files_of_functional_models():
    """A model that calls these ops has Keras's class names in its config, and each reads the other's."""

    def build(layers, models, ops):
        inputs = layers.Input((6, 8, 3))
        x = ops.image.resize(inputs, (8, 8), "bicubic", pad_to_aspect_ratio=True)
        x = ops.image.hsv_to_rgb(ops.image.rgb_to_hsv(x))
        x = ops.image.gaussian_blur(ops.image.pad_images(x, 1, 1, 1, 1), data_format="channels_last")
        x = ops.image.crop_images(x, top_cropping=1, left_cropping=1, target_height=8, target_width=8)
        edges = ops.image.sobel_edges(x, "channels_last")
        patches = ops.image.extract_patches(ops.image.rgb_to_grayscale(x), 2)
        return models.Model(inputs, [edges, patches, ops.image.ssim(x, x, filter_size=3)])

    ours, theirs = build(layers, models, ops), build(keras.layers, keras.models, keras.ops)
    names = [[layer["class_name"] for layer in model.get_config()["layers"]] for model in (ours, theirs)]
    assert names[0] == names[1]
    x = array(2, 6, 8, 3, low=0.05)
    ours_of_theirs, theirs_of_ours = models.model_from_json(theirs.to_json()), keras.models.model_from_json(ours.to_json())
    for model in (ours, ours_of_theirs, theirs_of_ours):
        for y, expected in zip(model(x), theirs(x), strict=True):
            np.testing.assert_allclose(y, expected, atol=2e-5)
