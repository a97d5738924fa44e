"""Rows for the convolution layers."""

from tests.conformance.layer_driver import A, config, layer_row, make

STEPS, IMAGE, VOLUME = A(2, 7, 4), A(2, 5, 6, 4), A(1, 4, 5, 4, 2)
STEPS_FIRST, IMAGE_FIRST, VOLUME_FIRST = A(2, 4, 7), A(2, 4, 5, 6), A(1, 2, 4, 5, 4)
ALIAS = {"grad": False, "half": False, "strict": False, "empty": False}
FIRST = {"data_format": "channels_first"}
COMMON = {
    "activation": "tanh", "bias_initializer": "ones", "bias_regularizer": "l1", "activity_regularizer": make("regularizers.L2", 0.3),
    "bias_constraint": "unit_norm", "name": "other",
}  # fmt: skip


def everything(*kernels):
    """Every field that says how to make and bound the weights."""
    fields = {"initializer": "he_normal", "regularizer": make("regularizers.L2", 0.1), "constraint": "non_neg"}
    return {**COMMON, **{f"{kernel}_{field}": value for kernel in kernels for field, value in fields.items()}}


def row(names, *configs, inputs):
    """The cases of a symbol; its aliases are the same class, so little is asked of them."""
    first, *aliases = names.split()
    return [
        *layer_row(first, *configs, inputs=inputs),
        *(case for name in aliases for case in layer_row(name, configs[0], inputs=inputs, **ALIAS)),
    ]


ROWS = [
    row(
        "Conv1D Convolution1D",
        config(3, 2),
        config(4, 3, 2, padding="causal").but(unknown=(1,)),
        config(4, 3, dilation_rate=2, padding="causal", groups=2, use_bias=False),
        config(4, 3, padding="causal", **FIRST).but(inputs=[STEPS_FIRST]),
        config(2, 3, 2, "same", "channels_first", groups=2).but(inputs=[STEPS_FIRST], unknown=(2,)),
        config(3, 2, padding="SAME", **everything("kernel")),
        config(3, 2, lora_rank=2),
        config(3, 2, lora_rank=2, lora_alpha=3.0),
        config(2, 2, trainable=False),
        inputs=[STEPS],
    ),
    row(
        "Conv2D Convolution2D",
        config(3, 2),
        config(4, (3, 2), (1, 2), "same", groups=2).but(unknown=(1, 2)),
        config(4, 2, dilation_rate=(2, 3), groups=4, use_bias=False, activation="relu"),
        config(3, (2, 3), 2, "same", "channels_first").but(inputs=[IMAGE_FIRST], unknown=(2, 3)),
        config(3, [2, 3], **everything("kernel")),
        config(3, (2, 3), lora_rank=2, lora_alpha=3.0),
        inputs=[IMAGE],
    ),
    row(
        "Conv3D Convolution3D",
        config(3, 2),
        config(4, (3, 2, 1), (1, 2, 2), "same", groups=2).but(unknown=(1, 2, 3)),
        config(2, 2, dilation_rate=(1, 2, 1), use_bias=False),
        config(3, 2, 2, "same", "channels_first").but(inputs=[VOLUME_FIRST]),
        config(3, 2, **everything("kernel")),
        config(3, 2, lora_rank=2),
        inputs=[VOLUME],
    ),
    row(
        "Conv1DTranspose Convolution1DTranspose",
        config(3, 2),
        config(3, 3, 2, "same").but(unknown=(1,)),
        config(3, 3, strides=3, output_padding=1),
        config(3, 3, strides=3, padding="same", output_padding=2),
        config(3, 2, 2, **FIRST).but(inputs=[STEPS_FIRST], unknown=(2,)),
        config(3, 3, dilation_rate=2, use_bias=False),
        config(3, 2, **everything("kernel")),
        inputs=[STEPS],
    ),
    row(
        "Conv2DTranspose Convolution2DTranspose",
        config(3, 2),
        config(3, (3, 2), (2, 3), "same").but(unknown=(1, 2)),
        config(3, 3, strides=(2, 3), output_padding=(1, 2)),
        config(3, 3, 3, "same", 1),
        config(3, (2, 3), 2, **FIRST).but(inputs=[IMAGE_FIRST], unknown=(2, 3)),
        config(3, 2, dilation_rate=2, use_bias=False),
        config(3, 2, **everything("kernel")),
        inputs=[IMAGE],
    ),
    row(
        "Conv3DTranspose Convolution3DTranspose",
        config(3, 2),
        config(3, (3, 2, 1), (2, 3, 1), "same").but(unknown=(1, 2, 3)),
        config(2, 2, 2, "valid", "channels_first", 1).but(inputs=[VOLUME_FIRST]),
        config(2, 2, dilation_rate=(1, 2, 1), use_bias=False),
        config(3, 2, **everything("kernel")),
        inputs=[VOLUME],
    ),
    row(
        "DepthwiseConv1D",
        config(2),
        config(3, 2, "same", 3).but(unknown=(1,)),
        config(3, dilation_rate=2, use_bias=False),
        config(3, depth_multiplier=2, **FIRST).but(inputs=[STEPS_FIRST]),
        config(2, **everything("depthwise")),
        inputs=[STEPS],
    ),
    row(
        "DepthwiseConv2D",
        config(2),
        config((3, 2), 2, "same", 3).but(unknown=(1, 2)),
        config(3, dilation_rate=(2, 1), use_bias=False),
        config(3, depth_multiplier=2, **FIRST).but(inputs=[IMAGE_FIRST], unknown=(2, 3)),
        config(2, **everything("depthwise")),
        inputs=[IMAGE],
    ),
    row(
        "SeparableConv1D SeparableConvolution1D",
        config(3, 2),
        config(3, 3, 2, "same", depth_multiplier=2).but(unknown=(1,)),
        config(3, 3, dilation_rate=2, use_bias=False),
        config(3, 3, **FIRST).but(inputs=[STEPS_FIRST]),
        config(3, 2, **everything("depthwise", "pointwise")),
        inputs=[STEPS],
    ),
    row(
        "SeparableConv2D SeparableConvolution2D",
        config(3, 2),
        config(3, (3, 2), 2, "same", depth_multiplier=2).but(unknown=(1, 2)),
        config(3, 3, dilation_rate=(2, 1), use_bias=False),
        config(3, 3, **FIRST).but(inputs=[IMAGE_FIRST]),
        config(3, 2, **everything("depthwise", "pointwise")),
        inputs=[IMAGE],
    ),
]
