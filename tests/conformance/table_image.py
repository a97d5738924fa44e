"""Images: colours, sizes, transforms, filters, patches."""

import numpy as np

import kerasish
from tests.conformance.driver import A, case, row

RGB = A(2, 4, 5, 3, low=0.05)
FIRST = A(2, 3, 4, 5, low=0.05)
BYTES = A(2, 6, 5, 3, dtype="uint8", low=0, high=256)
TURN = [0.8, -0.55, 1.3, 0.6, 0.9, -0.7, 0.0, 0.0]
SHIFT = [1.1, 0.2, -1.4, -0.15, 0.85, 0.35, 0.0, 0.0]
CORNERS = np.array([[0, 0], [4, 0], [0, 3], [4, 3]], "float32")
SEEN = np.array([[0.4, 0.3], [3.7, -0.6], [-0.5, 2.8], [4.3, 3.6]], "float32")
BOTH = np.stack([CORNERS, SEEN]), np.stack([SEEN, CORNERS + 0.3])
LAST, CHANNELS_FIRST = {"data_format": "channels_last"}, {"data_format": "channels_first"}
MODES = ("constant", "nearest", "wrap", "mirror", "reflect")


def elastic(images, alpha, sigma, interpolation, fill_mode, fill_value, seed, data_format):
    """Real Keras's blur and look-up, with our noise."""
    import keras  # here, since the table is also read where real Keras is not

    x = np.moveaxis(images, 1, -1) if data_format == "channels_first" else images
    noise = kerasish.random.normal((*x.shape[:3], 2), 0.0, sigma, seed=seed).numpy()
    size = int(6 * sigma) | 1
    noise = alpha * np.asarray(keras.ops.image.gaussian_blur(noise, (size, size), (sigma, sigma), "channels_last"))
    grid = np.stack(np.meshgrid(np.arange(x.shape[1]), np.arange(x.shape[2]), indexing="ij"), -1)
    order = {"nearest": 0, "bilinear": 1}[interpolation]
    y = np.empty_like(x)
    for i in range(x.shape[0]):
        for c in range(x.shape[3]):
            places = np.moveaxis(grid + noise[i], -1, 0).astype("float32")
            y[i, ..., c] = keras.ops.image.map_coordinates(x[i, ..., c], places, order, fill_mode, fill_value)
    return np.moveaxis(y, -1, 1) if data_format == "channels_first" else y


ROWS = [
    row(
        "ops.image.rgb_to_grayscale",
        case(RGB),
        case(FIRST, "channels_first"),
        case(A(2, 4, 5, 1)),
        case(BYTES),
        zero_size=True,
    ),
    row("ops.image.rgb_to_grayscale", case(A(4, 5, 3)), case(A(3, 4, 5), data_format="channels_first")),
    row(
        "ops.image.rgb_to_hsv",
        case(RGB),
        case(FIRST, "channels_first"),
        case(A(4, 5, 3, low=0.05)),
        case(A(3, 4, 5, low=0.05), data_format="channels_first"),
    ),
    row("ops.image.rgb_to_hsv", case(np.full((2, 3, 3), 0.5, "float32")), case(np.zeros((2, 3, 3), "float32"))),  # grey and black
    row(
        "ops.image.hsv_to_rgb",
        case(A(2, 4, 5, 3, low=-2.0, high=2.0)),
        case(A(4, 5, 3)),
        case(A(2, 3, 4, 5), "channels_first"),
        case(A(3, 4, 5), data_format="channels_first"),
    ),
    row(
        "ops.image.resize",
        *[case(RGB, (7, 3), how) for how in ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")],
        *[case(A(2, 9, 8, 2), (4, 5), how, True) for how in ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")],
        case(A(1, 6, 9, 18), (8, 4)),
        case(FIRST, (6, 7), antialias=True, data_format="channels_first"),
        case(RGB, (4, 5), "bicubic"),
        case(A(2, 6, 9, 3), (4, 4), crop_to_aspect_ratio=True),
        case(A(2, 6, 9, 3), (4, 4), pad_to_aspect_ratio=True, fill_value=0.5),
        case(A(2, 3, 9, 4), (3, 5), "nearest", pad_to_aspect_ratio=True, data_format="channels_first"),
        zero_size=True,
        special=False,  # a weight of 0 meets an infinity, or nothing: NaN or not
    ),
    row(
        "ops.image.resize",
        case(A(4, 5, 3), (4, 9)),
        case(A(3, 4, 5), (2, 3), "bicubic", data_format="channels_first"),
        case(A(3, 9, 4), (4, 6), crop_to_aspect_ratio=True, data_format="channels_first"),
        case(A(5, 4, 1), (6, 2), pad_to_aspect_ratio=True, fill_mode="constant"),
        case(A(4, 5, 1), (8, 10), pad_to_aspect_ratio=True),
        special=False,  # a weight of 0 meets an infinity, or nothing: NaN or not
    ),
    row(
        "ops.image.resize",
        *[case(BYTES, (4, 7), how) for how in ("bilinear", "nearest", "bicubic", "lanczos3")],
        case(BYTES, (4, 4), "bicubic", antialias=True, crop_to_aspect_ratio=True),
        case(BYTES, (4, 4), pad_to_aspect_ratio=True, fill_value=7),
        case(BYTES, (4, 4), "nearest", pad_to_aspect_ratio=True, fill_value=7.0),
        case(A(4, 5, 3, dtype="int32", low=-50, high=50), (7, 6), "bicubic"),
    ),
    row(
        "ops.image.scale_and_translate",
        case(A(5, 6), (4, 7), A(2, low=0.6, high=1.4), A(2), (0, 1), "linear"),
        case(A(5, 6), (4, 7), A(2, low=0.6, high=1.4), A(2), (0, 1), "linear", False),
        case(A(2, 5, 4, 2), (2, 6, 3, 2), A(2, low=0.6, high=1.4), A(2), (1, 2), "cubic"),
        case(A(2, 6, 5, 3), (2, 8, 4, 3), A(1, low=0.6, high=0.9), A(1), (-2,), "bicubic", antialias=False),
        case(A(9, 8, 2), (8, 6, 2), A(2, low=0.6, high=1.4), A(2), (0, 1), "lanczos3"),
        case(A(9), (12,), A(1, low=0.6, high=1.4), A(1), (0,), "lanczos5", antialias=False),
        case(A(2, 4, 4, 4), (2, 5, 3, 4), A(3, low=0.6, high=1.4), A(3), (1, 2, 3), "trilinear"),
    ),
    row("ops.image.scale_and_translate", case(BYTES, (2, 4, 7, 3), A(2, low=0.6, high=1.4), A(2), (1, 2), "linear"), grad=False),
    row(
        "ops.image.map_coordinates",
        *[case(A(4, 5), A(2, 3, 4, low=-3.0, high=7.0), 1, mode) for mode in MODES],
        *[case(A(4, 5), A(2, 3, 4, low=-3.0, high=7.0), 0, mode) for mode in MODES],
        case(A(6), A(1, 9, low=-2.0, high=8.0), 1, fill_value=0.5),
        case(A(3, 4, 2), A(3, 5, low=-1.0, high=4.0), order=1, fill_mode="mirror"),
        case(A(1, 4), A(2, 6, low=-3.0, high=6.0), 1, "mirror"),
        case(A(1, 4), A(2, 6, low=-3.0, high=6.0), 1, "reflect"),
        case(A(4, 5, dtype="uint8", low=0, high=256), A(2, 3, 4, low=-1.0, high=6.0), 1, "constant", 9),
        case(A(4, 5, dtype="int32", low=-99, high=99), A(2, 3, 4, low=-1.0, high=6.0), 0, "reflect"),
    ),
    row(
        "ops.image.affine_transform",
        *[case(RGB, [TURN, SHIFT], how, mode) for how in ("bilinear", "nearest") for mode in MODES],
        case(FIRST, [TURN, SHIFT], fill_value=0.5, data_format="channels_first"),
        case(A(4, 5, 2), SHIFT),
        case(A(2, 4, 5), [TURN], "nearest", "reflect", data_format="channels_first"),
        case(BYTES, [SHIFT, TURN], fill_value=200),
    ),
    row(
        "ops.image.perspective_transform",
        case(A(4, 5, 2), CORNERS, SEEN),
        case(A(2, 4, 5, 2), *BOTH, fill_value=0.5),
        case(A(2, 4, 5, 2), *BOTH, interpolation="nearest"),
        case(A(2, 3, 4, 5), *BOTH, data_format="channels_first"),
        case(A(4, 5, 3, dtype="uint8", low=0, high=256), SEEN, CORNERS),
        tol=1e-4,
    ),
    row(
        "ops.image.gaussian_blur",
        case(RGB, **LAST),
        case(RGB, (5, 2), (0.7, 2.0), "channels_last"),
        case(FIRST, (3, 5), (2.0, 0.8), "channels_first"),
        case(A(4, 5, 2), (3, 3), A(2, low=0.7, high=1.5), **LAST),
        case(A(2, 4, 5), **CHANNELS_FIRST),
    ),
    row(
        "ops.image.elastic_transform",
        case(A(2, 5, 6, 3), 3.0, 1.5, "bilinear", "reflect", 0.0, 1, "channels_last"),
        case(A(2, 3, 5, 6), 4.0, 0.8, "bilinear", "constant", 0.5, 2, "channels_first"),
        case(A(1, 5, 6, 2), 5.0, 1.1, "nearest", "mirror", 0.0, 3, "channels_last"),
        reference=elastic,
        nodtype=True,  # other dtypes are other random numbers
    ),
    row("ops.image.sobel_edges", case(A(2, 4, 5, 3)), case(A(2, 3, 4, 5), "channels_first"), case(A(2, 4, 5, 1, dtype="int32"))),
    row(
        "ops.image.ssim",
        case(A(2, 9, 8, 3, low=0.0), A(2, 9, 8, 3, low=0.1), filter_size=5),
        case(A(2, 3, 9, 8, low=0.0), A(2, 3, 9, 8, low=0.1), 2.0, 4, 0.9, 0.02, 0.05, "channels_first"),
        case(A(12, 13, 1, low=0.0), A(12, 13, 1, low=0.1)),
        case(A(2, 9, 8, 3, dtype="uint8", low=0, high=256), A(2, 9, 8, 3, dtype="uint8", low=0, high=250), 255, 7),
    ),
    row(
        "ops.image.pad_images",
        case(RGB, 1, 2, 0, 3),
        case(RGB, top_padding=1, left_padding=0, target_height=9, target_width=6),
        case(FIRST, bottom_padding=2, right_padding=1, target_height=6, target_width=8, data_format="channels_first"),
        case(A(2, 4, 5, 3, dtype="uint8"), 1, 1, 1, 1),
        zero_size=True,
    ),
    row("ops.image.pad_images", case(A(3, 4, 5), 0, 1, 2, 0, data_format="channels_first"), case(A(4, 5, 3, dtype="uint8"), 1, 1, 1, 1)),
    row(
        "ops.image.crop_images",
        case(RGB, 1, 2, 0, 1),
        case(RGB, top_cropping=1, left_cropping=0, target_height=2, target_width=4),
        case(FIRST, bottom_cropping=2, right_cropping=1, target_height=1, target_width=3, data_format="channels_first"),
        case(A(2, 4, 5, 3, dtype="uint8"), 1, 1, 1, 1),
        zero_size=True,
    ),
    row(
        "ops.image.crop_images",
        case(A(3, 4, 5), 0, 1, 2, 0, data_format="channels_first"),
        case(A(4, 5, 3, dtype="uint8"), 1, 1, target_height=2, target_width=3),
    ),
    row(
        "ops.image.extract_patches",
        case(A(2, 5, 6, 3), 2),
        case(A(2, 5, 6, 3), (3, 2), 1, padding="same"),
        case(A(2, 5, 6, 3), (3, 2), (2, 1), 2),
        case(A(2, 3, 5, 6), 3, 2, padding="same", data_format="channels_first"),
        case(A(2, 5, 6, 3, dtype="int32"), 2),
        case(A(1, 4, 5, 4, 2), (2, 3, 2), (1, 1, 2)),
        zero_size=True,
    ),
    row("ops.image.extract_patches", case(A(5, 6, 1), [2, 3])),
    row(
        "ops.image.extract_patches_3d",
        case(A(2, 4, 5, 4, 2), 2),
        case(A(1, 4, 5, 4, 2), (2, 3, 1), 1, padding="same"),
        case(A(1, 2, 4, 5, 4), 2, (1, 2, 2), data_format="channels_first"),
        zero_size=True,
    ),
    row("ops.image.extract_patches_3d", case(A(5, 5, 5, 1), 2, 1, 3)),
]
