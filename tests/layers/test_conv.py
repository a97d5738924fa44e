"""Convolution layers: what the conformance rows do not say."""

import numpy as np
import pytest

from kerasish import layers

IMAGE = np.linspace(-1, 1, 2 * 3 * 4 * 5, dtype="float32").reshape(2, 3, 4, 5)
MADE_WRONG = [
    ("Conv2D", (4, 0), {}),
    ("Conv2D", (0, 1), {}),
    ("Conv2D", (4, (1, 2, 3)), {}),
    ("Conv2D", (4, 2), {"strides": 0}),
    ("Conv2D", (4, 2), {"padding": "causal"}),
    ("Conv2D", (4, 2), {"groups": 3}),
    ("Conv2D", (4, 2), {"groups": 0}),
    ("Conv2D", (4, 2), {"strides": 2, "dilation_rate": 2}),
    ("Conv2D", (4, 2), {"dilation_rate": 0}),
    ("Conv2D", (4, 2), {"data_format": "x"}),
    ("Conv2DTranspose", (4, 2), {"strides": 2, "dilation_rate": 2}),
    ("Conv2DTranspose", (4, 2), {"output_padding": 1}),
    ("Conv2DTranspose", (4, 2), {"output_padding": (1, 2, 3)}),
    ("Conv1DTranspose", (4, 2), {"padding": "causal"}),
    ("DepthwiseConv1D", (2,), {"padding": "causal"}),
    ("DepthwiseConv2D", (2,), {"depth_multiplier": 0}),
    ("SeparableConv1D", (2, 2), {"padding": "causal"}),
    ("SeparableConv2D", (2, 2), {"depth_multiplier": 0}),
]


@pytest.mark.parametrize(("name", "args", "kwargs"), MADE_WRONG)
def test_wrong_arguments(keras, name, args, kwargs):
    with pytest.raises(ValueError):
        getattr(keras.layers, name)(*args, **kwargs)


@pytest.mark.parametrize(
    ("kwargs", "x", "message"),
    [
        ({}, IMAGE[0], "expected min_ndim=4, found ndim=3"),
        ({"groups": 2}, IMAGE, "the input has 5 channels"),
        ({"kernel_size": 9}, IMAGE, "output size would be zero or negative"),
    ],
)
def test_wrong_inputs(keras, kwargs, x, message):
    with pytest.raises(ValueError, match=message):
        keras.layers.Conv2D(4, **{"kernel_size": 2, **kwargs})(x)


def test_channels_are_fixed_by_the_first_call(keras):
    layer = keras.layers.Conv2D(4, 2)
    layer(IMAGE)
    with pytest.raises(ValueError, match="axis -1 of input shape"):
        layer(IMAGE[..., :3])


def test_unknown_channels():
    with pytest.raises(ValueError, match="channel axis of the input must be known"):
        layers.Conv1D(2, 2).build((None, 5, None))


def test_more_batch_axes_are_refused_by_the_op():
    with pytest.raises(ValueError):
        layers.Conv1D(2, 2)(IMAGE)


@pytest.mark.parametrize("lora_alpha", [None, 4])
def test_enable_lora(keras, lora_alpha):
    layer = keras.layers.Conv2D(4, 2, name="conv")
    before = np.asarray(layer(IMAGE))
    layer.enable_lora(2, lora_alpha)
    np.testing.assert_allclose(np.asarray(layer(IMAGE)), before, atol=1e-6)  # the change starts at zero
    assert [v.name for v in layer.trainable_variables] == ["bias", "lora_kernel_a", "lora_kernel_b"]
    layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    assert abs(np.asarray(layer(IMAGE)) - before).max() > 1e-3
    config = layer.get_config()
    assert (config["lora_rank"], config["lora_alpha"]) == (2, lora_alpha or 2)
    with pytest.raises(ValueError, match="already enabled"):
        layer.enable_lora(2)
    with pytest.raises(ValueError, match="isn't yet built"):
        keras.layers.Conv2D(4, 2).enable_lora(2)
