"""Rows of the layers that scale, crop and move images. Where a transformation is random, factors fix it."""

from tests.conformance.layer_driver import A, config, layer_row, make

IMAGES = A(2, 6, 8, 3)
BATCH = {"inputs": [IMAGES], "weights": None, "symbolic": True}
NOT_TRAINED = {**BATCH, "training": (False,), "grad": False}
BOTH = {**BATCH, "training": (False, True), "tol": 1e-4}
FIRST = A(2, 3, 6, 8)

ROWS = [
    layer_row(
        "Rescaling",
        config(1 / 127.5, offset=-1.0),
        config([0.5, 1.0, 2.0], offset=[0.0, 1.0, 2.0]),
        inputs=[A(2, 4, 3)],
    ),
    layer_row(
        "Resizing",
        config(4, 5),
        config(4, 5, interpolation="nearest"),
        config(9, 4, crop_to_aspect_ratio=True),
        config(9, 4, pad_to_aspect_ratio=True, fill_value=0.5),
        config(4, 4, antialias=True, interpolation="bicubic"),
        config(4, 5, data_format="channels_first").but(inputs=[FIRST]),
        # symbolic=False: for integers Keras promises floats, and gives integers
        config(3, 7).but(inputs=[A(2, 5, 9, 3, dtype="int32", low=0, high=250)], grad=False, half=False, symbolic=False),
        unknown=(1, 2),
        **{**BATCH, "tol": 1e-4},
    ),
    layer_row(
        "CenterCrop",
        config(3, 4),
        config(9, 4),
        config(5, 12, data_format="channels_first").but(inputs=[FIRST]),
        **{**BATCH, "tol": 1e-4},
    ),
    layer_row(
        "RandomCrop",
        config(6, 8, seed=1).but(training=(False, True)),  # nothing to choose
        config(9, 4, seed=1).but(training=(True,)),
        config(9, 4, seed=1, data_format="channels_first").but(training=(True,), inputs=[FIRST]),
        config(5, 5, seed=1).but(training=(False,), random=[A(60, 12, 12, 3)], jit=False, grad=False),
        **{**BATCH, "tol": 1e-4},
    ),
    layer_row(
        "RandomFlip",
        config(seed=1).but(random=[A(400, 4, 4, 1, low=0.0)]),
        config("vertical", seed=1, data_format="channels_first").but(inputs=[FIRST]),
        config("horizontal", seed=3),
        **NOT_TRAINED,
    ),
    layer_row(
        "RandomRotation",
        config((0.1, 0.1), seed=1),
        config((0.25, 0.25), fill_mode="constant", fill_value=0.5),
        config((-0.2, -0.2), fill_mode="nearest", interpolation="nearest").but(grad=False),
        config((0.1, 0.1), fill_mode="wrap", data_format="channels_first").but(inputs=[FIRST]),
        config(0.3, seed=2).but(training=(False,), half=False, random=[A(300, 6, 6, 1)]),
        **BOTH,
    ),
    layer_row(
        "RandomTranslation",
        config((0.25, 0.25), (-0.5, -0.5)),
        config((0.1, 0.1), 0.0, fill_mode="constant", fill_value=0.5),
        config((0.3, 0.3), (0.2, 0.2), fill_mode="wrap", data_format="channels_first").but(inputs=[FIRST]),
        config(0.3, 0.2, seed=2).but(training=(False,), half=False, random=[A(300, 6, 6, 1)]),
        **BOTH,
    ),
    layer_row(
        "RandomZoom",
        config((0.25, 0.25)),
        config((-0.3, -0.3), (0.2, 0.2), fill_mode="constant"),
        config((0.3, 0.3), (0.2, 0.2), fill_mode="nearest", data_format="channels_first").but(inputs=[FIRST]),
        config(0.3, 0.2, seed=2).but(training=(False,), half=False, random=[A(300, 6, 6, 1)]),
        **BOTH,
    ),
    layer_row(
        "RandomShear",
        config(),
        config((0.2, 0.4), (0.1, 0.1), seed=2, fill_mode="wrap").but(training=(False,), half=False, random=[A(300, 6, 6, 1)]),
        **BOTH,
    ),
    layer_row(
        "RandomPerspective",
        config(factor=0.0),
        config(scale=0.0),
        config((0.2, 0.7), 0.5, seed=2, fill_value=0.5).but(training=(False,), half=False, random=[A(300, 6, 6, 1)]),
        **BOTH,
    ),
    layer_row(
        "RandomElasticTransform",
        config(factor=0.0),
        config(scale=0.0, data_format="channels_first").but(inputs=[FIRST]),
        config((0.2, 0.9), (0.1, 0.5), value_range=(0, 1), seed=2).but(training=(False,), half=False, empty=False),
        **BOTH,
    ),
    layer_row(
        "RandomErasing",
        config(factor=0.0),
        config((1.0, 1.0), scale=(1.0, 1.0), fill_value=0.5),
        config((1.0, 1.0), scale=(1.0, 1.0), fill_value=5, value_range=(0, 2), data_format="channels_first").but(inputs=[FIRST]),
        config((0.5, 0.9), seed=2, value_range=(0, 1)).but(training=(False,), half=False, random=[A(300, 8, 8, 3, low=0.5)]),
        **BOTH,
    ),
    layer_row("MaxNumBoundingBoxes", config(3), config(5, bounding_box_format="xywh"), **BATCH),
    layer_row(
        "Pipeline",
        config([make("layers.Rescaling", 2.0), make("layers.Resizing", 3, 4)]),
        config([make("layers.RandomFlip", seed=1), make("layers.CenterCrop", 2, 3)], name="pipe").but(training=(False,)),
        half=False,  # it takes no dtype
        **{**BATCH, "tol": 1e-4},
    ),
]
