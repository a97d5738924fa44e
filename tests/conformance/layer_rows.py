"""Rows for the core, activation, merging, regularization and reshaping layers."""

from tests.conformance.layer_driver import A, config, layer_row, make

STEPS = A(2, 4, dtype="bool")  # a mask over the 4 steps of 2 examples
SEQUENCE, IMAGE, VOLUME = A(2, 4, 5), A(2, 3, 4, 2), A(2, 2, 3, 2, 2)


def merging(name, *configs, **options):
    """The row of a merging layer, on two and three tensors, broadcast, and with masks."""
    cases = [
        config(*c.args, **c.kwargs).but(**{**case, **c.options})
        for c in configs or [config()]
        for case in (
            {"inputs": [[SEQUENCE, SEQUENCE, SEQUENCE]], "masks": [STEPS, STEPS, STEPS]},
            {"inputs": [[SEQUENCE, A(2, 1, 5), A(2, 5)]]},
            {"inputs": [[SEQUENCE, SEQUENCE]], "masks": [STEPS, None]},
        )
    ]
    return layer_row(name, *cases, **{"inputs": [], **options})


ROWS = [
    # core
    layer_row(
        "Dense",
        config(3),
        config(3, activation="relu", use_bias=False),
        config(
            3,
            activation="tanh",
            name="other",
            kernel_regularizer=make("regularizers.L2", 0.1),
            bias_regularizer=make("regularizers.L1", 0.2),
            activity_regularizer=make("regularizers.L2", 0.3),
        ).but(inputs=[SEQUENCE], masks=[STEPS]),
        config(3, lora_rank=2),
        config(2, kernel_constraint="non_neg", bias_initializer="ones", trainable=False),
        inputs=[A(2, 5)],
    ),
    layer_row(
        "EinsumDense",
        config("ab,bc->ac", 3).but(inputs=[A(2, 5)]),
        config("abc,cd->abd", (None, 3), bias_axes="d", activation="relu"),
        config("...x,xy->...y", output_shape=4, bias_axes="y").but(inputs=[A(2, 5, 2)]),
        config("abc,cde->abde", (None, 3, 2), bias_axes="de", lora_rank=2, lora_alpha=4),
        config("abc,abde->acde", (5, 3, 2), bias_axes="d").but(inputs=[A(2, 4, 5)], symbolic=False, empty=False),
        config("ab...,bc->ac...", (4,), bias_axes="c").but(inputs=[A(2, 3, 5)]),
        inputs=[SEQUENCE],
        finer=True,
    ),
    layer_row(
        "Embedding",
        config(10, 3, mask_zero=True),
        config(10, 3, embeddings_initializer="normal", embeddings_regularizer="l2", embeddings_constraint="max_norm"),
        config(10, 3, lora_rank=2),
        config(10, 3).but(inputs=[A(2, 4, low=0, high=9)], grad=False),
        inputs=[A(2, 4, dtype="int32")],
    ),
    layer_row(
        "ReversibleEmbedding",
        config(10, 5).but(inputs=[A(2, 4, dtype="int32")]),
        config(10, 5, mask_zero=True).but(inputs=[A(2, 4, dtype="int32")], symbolic=False),  # Keras loses the mask of a KerasTensor
        config(10, 5).but(inputs=[SEQUENCE], call={"reverse": True}),
        config(10, 5, tie_weights=False, logit_soft_cap=0.5, reverse_dtype="float32").but(inputs=[SEQUENCE], call={"reverse": True}),
        inputs=[],
    ),
    layer_row("Identity", config(), config().but(inputs=[[SEQUENCE, A(2, 3)]], masks=[STEPS, None]), inputs=[A(2, 5)]),
    layer_row("Masking", config(), config(mask_value=3.0), inputs=[A(2, 4, 2, low=2.5, high=3.5)]),
    # activation
    layer_row("Activation", config("relu"), config("softmax"), config(None), inputs=[SEQUENCE], masks=[STEPS]),
    layer_row("ReLU", config(), config(0.5, negative_slope=0.1, threshold=0.2), inputs=[A(3, 5)]),
    layer_row("LeakyReLU", config(), config(0.1), inputs=[A(3, 5)]),
    layer_row("ELU", config(), config(0.5), inputs=[A(3, 5)]),
    layer_row(
        "PReLU", config(), config("ones", "l2", shared_axes=[1]), config(shared_axes=2, alpha_constraint="non_neg"), inputs=[SEQUENCE]
    ),
    layer_row(
        "Softmax",
        config(),
        config(axis=1),
        config(axis=[1, 2]),
        config(axis=(-1,)),
        config(axis=[1, 2]).but(call={"mask": A(2, 4, 5, dtype="bool")}),
        config().but(call={"mask": A(5, low=0, high=1)}, symbolic=False, empty=False, grad=False),
        inputs=[SEQUENCE],
    ),
    # merging
    merging("Add"),
    merging("Average"),
    merging("Multiply"),
    merging("Maximum"),
    merging("Minimum"),
    layer_row("Subtract", config(), inputs=[[SEQUENCE, SEQUENCE]], masks=[STEPS, STEPS]),
    layer_row(
        "Concatenate",
        config(),
        config().but(masks=[STEPS, None]),
        config(axis=1).but(masks=[STEPS, A(2, 4, dtype="bool", low=0)]),
        config(axis=-2).but(inputs=[[SEQUENCE, A(2, 1, 5), A(2, 2, 5)]]),
        inputs=[[SEQUENCE, SEQUENCE]],
    ),
    layer_row(
        "Dot",
        config(1).but(inputs=[[A(2, 5), A(2, 5)]]),
        config(axes=(1, 2)).but(inputs=[[A(2, 4, 5), A(2, 3, 4)]]),
        config(-1, normalize=True).but(inputs=[[A(2, 4, 5), A(2, 3, 5)]]),
        config([1, 1], True).but(inputs=[[A(2, 4), A(2, 4, 5)]]),
        config((3, 1)).but(inputs=[[A(2, 3, 2, 4), A(2, 4, 5, 2)]], empty=False),  # Keras divides by zero
        inputs=[],
    ),
    # regularization
    layer_row("Dropout", config(0), inputs=[A(2, 5)], training=(False, True)),
    layer_row("Dropout", config(0.4, seed=1), config(0.3, (None, 1), seed=2), inputs=[A(2, 5)], random=[A(20000, 2, low=0.5)]),
    layer_row("SpatialDropout1D", config(0.4, seed=1), inputs=[SEQUENCE], random=[A(100, 5, 100, low=0.5)]),
    layer_row("SpatialDropout2D", config(0.4, seed=1), inputs=[IMAGE], random=[A(100, 2, 2, 100, low=0.5)]),
    layer_row("SpatialDropout2D", config(0.4, "channels_first", 1), inputs=[A(2, 3, 4, 5)], random=[A(100, 100, 2, 2, low=0.5)]),
    layer_row("SpatialDropout3D", config(0.4, seed=1), inputs=[VOLUME], random=[A(100, 2, 1, 2, 100, low=0.5)]),
    layer_row("AlphaDropout", config(0.4, seed=1), config(0.3, (None, 1), seed=2), inputs=[A(2, 5)], random=[A(20000, 2, low=0.5)]),
    layer_row("GaussianDropout", config(0.4, seed=1), inputs=[A(2, 5)], random=[A(300, 100, low=0.5)]),
    layer_row("GaussianNoise", config(0.4, seed=1), inputs=[A(2, 5)], random=[A(300, 100, low=0.5)]),
    layer_row("ActivityRegularization", config(0.1, 0.2), config(l2=0.3), inputs=[SEQUENCE], masks=[STEPS]),
    # reshaping
    layer_row("Flatten", config(), config("channels_first"), config().but(inputs=[A(3)]), config().but(unknown=(1,)), inputs=[IMAGE]),
    layer_row("Reshape", config((4, 6)), config([-1, 2, 3]).but(unknown=(1,)), config((-1,)), inputs=[IMAGE]),
    layer_row("Permute", config((2, 1)), config([3, 1, 2]).but(inputs=[IMAGE]), inputs=[SEQUENCE]),
    layer_row("RepeatVector", config(3), inputs=[A(2, 5)]),
    layer_row("UpSampling1D", config(), config(3).but(unknown=(1,)), inputs=[SEQUENCE]),
    layer_row(
        "UpSampling2D",
        config(),
        config((2, 3), "channels_first"),
        config(2, interpolation="bilinear").but(unknown=(1,)),
        config((1, 2), data_format="channels_first", interpolation="bilinear"),
        *[config((2, 3), interpolation=kernel) for kernel in ("bicubic", "lanczos3", "lanczos5")],
        inputs=[IMAGE],
    ),
    layer_row("UpSampling3D", config(), config((1, 2, 3), "channels_first"), inputs=[VOLUME]),
    layer_row("ZeroPadding1D", config(), config((1, 2), "channels_first").but(unknown=(2,)), inputs=[SEQUENCE]),
    layer_row("ZeroPadding2D", config(), config(((1, 0), (2, 3)), "channels_first"), config((0, 2)), config(2), inputs=[IMAGE]),
    layer_row("ZeroPadding3D", config(), config((1, (0, 2), 1), "channels_first"), inputs=[VOLUME]),
    layer_row("Cropping1D", config(), config((0, 2)), config(1).but(unknown=(1,)), inputs=[SEQUENCE]),
    layer_row("Cropping2D", config(), config(((0, 1), (1, 2))), config(((0, 1), (1, 0)), "channels_first"), inputs=[A(2, 4, 5, 4)]),
    layer_row("Cropping3D", config(), config((1, (0, 2), 0)), config(((0, 1), 1, 1), "channels_first"), inputs=[A(2, 3, 4, 3, 4)]),
]
