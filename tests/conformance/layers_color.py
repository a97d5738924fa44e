"""Rows for image layers that change colors or mix images. Where a factor is a pair of equals, the layer is not random."""

from tests.conformance.layer_driver import A, config, layer_row

BATCH, UNIT, FIRST = A(2, 6, 5, 3, low=0.0, high=255.0), A(2, 6, 5, 3, low=0.0, high=1.0), A(2, 3, 6, 5, low=0.0, high=255.0)
MANY, MANY_UNIT = A(900, 2, 1, 3, low=30.0, high=220.0), A(900, 2, 1, 3, low=0.1, high=0.9)
FIXED = {"inputs": [BATCH], "training": (False, True), "weights": None}
RANDOM = {"training": (False,), "grad": False, "half": False, "random": [MANY]}
RANGE = {"value_range": (0, 1), "seed": 2}
CHANNELS_FIRST = {"data_format": "channels_first", "seed": 3}

ROWS = [
    layer_row(
        "RandomBrightness",
        config((0.2, 0.2), seed=1),
        config((-0.3, -0.3), **RANGE).but(inputs=[UNIT]),
        config(0.4, seed=1, name="other").but(**RANDOM),
        **FIXED,
    ),
    layer_row(
        "RandomContrast",
        config((0.0, 0.0), seed=1, value_range=(20, 200)),
        config((0.0, 0.0), **CHANNELS_FIRST).but(inputs=[FIRST]),
        config((0.3, 0.7), **RANGE).but(inputs=[UNIT], **{**RANDOM, "random": [MANY_UNIT]}),
        **FIXED,
    ),
    layer_row("RandomHue", config((0.0, 0.0), seed=1), config(0.6, **RANGE).but(**{**RANDOM, "random": [MANY_UNIT]}), **FIXED),
    layer_row(
        "RandomSaturation",
        config((0.3, 0.3), seed=1),
        config((0.6, 0.6), **RANGE).but(inputs=[UNIT]),
        config((0.2, 0.2), **CHANNELS_FIRST).but(inputs=[FIRST]),
        config((0.1, 0.5), seed=1).but(**RANDOM),
        **FIXED,
    ),
    layer_row(
        "RandomColorJitter",
        config(brightness_factor=(0.1, 0.1), saturation_factor=(0.4, 0.4), seed=1),
        config(contrast_factor=(0.0, 0.0), hue_factor=(0.0, 0.0), **RANGE).but(inputs=[UNIT]),
        config((0, 255), 0.2, 0.3, (0.4, 0.6), 0.2, seed=1).but(**RANDOM),
        config().but(json=True),
        **FIXED,
    ),
    layer_row(
        "RandomColorDegeneration",
        config((0.6, 0.6), seed=1),
        config((-0.5, -0.5), **RANGE).but(inputs=[UNIT]),
        config((0.3, 0.3), **CHANNELS_FIRST).but(inputs=[FIRST]),
        config(0.5, seed=1).but(**RANDOM),
        **FIXED,
    ),
    layer_row(
        "RandomGrayscale",
        config(1.0, seed=1),
        config(0.0, **CHANNELS_FIRST).but(inputs=[FIRST]),
        config(0.5, seed=1).but(json=False, **RANDOM),  # the config has no seed
        **FIXED,
    ),
    layer_row("RandomInvert", config((0.0, 0.0)), config(seed=1).but(**RANDOM), config((0.2, 0.3), **RANGE).but(**RANDOM), **FIXED),
    layer_row(
        "RandomPosterization",
        config((3, 3), seed=1),
        config((5, 5), **RANGE).but(inputs=[UNIT]),
        config(4, seed=1).but(**RANDOM),
        **FIXED,
        half=False,  # rounding to float16 may pass a step
    ),
    layer_row(
        "RandomSharpness",
        config((0.2, 0.2), seed=1),
        config((0.9, 0.9), **RANGE).but(inputs=[UNIT]),
        config((0.3, 0.3), **CHANNELS_FIRST).but(inputs=[FIRST]),
        config(0.5, seed=1).but(**RANDOM),
        **FIXED,
    ),
    layer_row(
        "RandomGaussianBlur",
        config((0.0, 0.0), seed=1),
        config(0.5, kernel_size=5, sigma=(0.6, 0.6), seed=1).but(**RANDOM),
        config((0.2, 0.6), (3, 5), (0.7, 0.7), **CHANNELS_FIRST).but(inputs=[FIRST], **{**RANDOM, "random": [A(900, 3, 2, 1, low=0.0, high=255.0)]}),
        **FIXED,
    ),
    layer_row(
        "Solarization",
        config(seed=1),
        config(**RANGE).but(inputs=[UNIT]),
        config(0.3, (0.2, 0.8), seed=1).but(**RANDOM),
        **FIXED,
    ),
    layer_row("AutoContrast", config(), config(value_range=(0, 1), name="other").but(inputs=[UNIT]), **FIXED, tol=1e-4),
    layer_row(
        "Equalization",
        config(bins=7),
        config((0, 1), 5).but(inputs=[UNIT]),
        config(bins=4, data_format="channels_first").but(inputs=[FIRST]),
        **{**FIXED, "grad": False},
        jit=False,  # a loop over the bins
        half=False,
    ),
    layer_row(
        "ContrastLimitedAdaptiveHistogramEqualization",
        config(tile_grid_size=(2, 2)),
        config(clip_limit=0, tile_grid_size=(3, 2)),
        config((0, 1), 1.5, (1, 3)).but(inputs=[UNIT]),
        config(tile_grid_size=(4, 2), data_format="channels_first").but(inputs=[FIRST]),
        **{**FIXED, "grad": False},
        half=False,
        empty=False,
        tol=1e-4,
    ),
    layer_row("MixUp", config(seed=1).but(**RANDOM), config(0.8, **CHANNELS_FIRST).but(**RANDOM), **FIXED),
    layer_row(
        "CutMix",
        config(seed=1).but(**{**RANDOM, "random": [A(300, 6, 5, 1, low=30.0, high=220.0)]}),
        config((0.5, 0.9), **CHANNELS_FIRST).but(inputs=[FIRST], **{**RANDOM, "random": [A(300, 1, 6, 5, low=30.0, high=220.0)]}),
        **FIXED,
    ),
    layer_row(
        "RandAugment",
        config(seed=1),
        config((0, 1), 1, 0.3, "nearest", **CHANNELS_FIRST).but(inputs=[FIRST]),
        **{**FIXED, "grad": False, "training": (False,)},
        half=False,
    ),
    layer_row(
        "AugMix",
        config(seed=1),
        config((0, 1), 1, 2, 0.6, 0.5, False, "nearest", **CHANNELS_FIRST).but(inputs=[FIRST]),
        **{**FIXED, "grad": False, "training": (False,)},
        half=False,
    ),
]
