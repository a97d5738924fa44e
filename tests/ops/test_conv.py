"""Convolutions beyond their rows: unknown sizes, errors, memory, and identities between the three primitives."""

import keras
import numpy as np
import pytest

import kerasish
from kerasish import ops
from kerasish.backend.arrays import active
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.tensor import KerasTensor
from tests.conformance.driver import A


def array(*shape):
    return A(*shape).make()


@pytest.mark.parametrize(
    ("shape", "kernel", "options", "expected"),
    [
        ((None, None, 3), (3, 3, 8), {}, (None, None, 8)),
        ((None, 28, None, 3), (3, 3, 3, 8), {"padding": "same", "strides": 2}, (None, 14, None, 8)),
        ((None, 3, None, 9), (3, 3, 3, 8), {"data_format": "channels_first"}, (None, 8, None, 7)),
        ((2, 9, 3), (3, 3, 8), {"padding": "causal", "dilation_rate": 4}, (2, 9, 8)),
    ],
)
def test_unknown_sizes(shape, kernel, options, expected):
    assert ops.conv(KerasTensor(shape), KerasTensor(kernel), **options).shape == expected


def test_unknown_sizes_of_the_others():
    x = KerasTensor((None, None, 7, 4))
    assert ops.conv_transpose(x, array(3, 3, 5, 4), 2, "same").shape == (None, None, 14, 5)
    assert ops.depthwise_conv(x, array(3, 3, 4, 2)).shape == (None, None, 5, 8)
    assert ops.separable_conv(x, array(3, 3, 4, 2), array(1, 1, 8, 6), padding="same").shape == (None, None, 7, 6)
    assert ops.depth_to_space(x, 2).shape == (None, None, 14, 1)
    assert ops.space_to_depth(KerasTensor((None, None, 8, None)), 2).shape == (None, None, 4, None)
    assert ops.unfold(x, 3).shape == (None, None, 10)
    assert ops.fold(KerasTensor((None, None, None)), 4, 2).shape == (None, None, 4, 4)


def test_causal_padding_looks_back_only():
    x, kernel = array(2, 8, 3), array(3, 3, 4)
    padded = np.pad(x, ((0, 0), (4, 0), (0, 0)))
    expected = ops.conv(padded, kernel, dilation_rate=2)
    np.testing.assert_array_equal(ops.conv(x, kernel, padding="causal", dilation_rate=2), expected)


@pytest.mark.parametrize("options", [{}, {"strides": 2}, {"data_format": "channels_first"}])
@pytest.mark.parametrize("channels", [2, 6])
@pytest.mark.parametrize("block", [20000, 2000])
def test_batches_in_parts(monkeypatch, options, channels, block):
    """A batch, or an image, whose windows don't fit into a part gives the same values and gradients."""
    x, kernel = array(5, channels, 11, 11), array(3, 3, channels, 4)
    x = x if "data_format" in options else np.moveaxis(x, 1, -1)

    def results():
        return ops.conv(x, kernel, **options), *grad(lambda x, k: ops.sum(ops.conv(x, k, **options) ** 2), (0, 1))(x, kernel)

    whole = results()
    monkeypatch.setattr(active.xp, "block", block)
    for a, b in zip(results(), whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["conv", "depthwise_conv"])
def test_empty_batch_has_gradients(name):
    x, kernel = np.zeros((0, 5, 5, 6), "float32"), array(3, 3, 6, 2)
    assert getattr(ops, name)(x, kernel).shape[0] == 0
    gx, gk = grad(lambda x, k: ops.sum(getattr(ops, name)(x, k)), (0, 1))(x, kernel)
    assert gx.shape == x.shape
    assert not gk.numpy().any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.conv(array(2, 4, 4, 3), array(3, 3, 2, 4)), "must match the kernel's"),
        (lambda: ops.conv(array(2, 4, 4, 4), array(3, 3, 2, 3)), "must match the kernel's"),
        (lambda: ops.conv(array(2, 4, 4, 3), array(3, 3, 4)), "as many axes"),
        (lambda: ops.conv(array(2, 2, 4, 3), array(3, 3, 3, 4)), "zero or negative"),
        (lambda: ops.conv(array(2, 4, 4, 3), array(3, 3, 3, 4), padding="full"), "'valid', 'same' or 'causal'"),
        (lambda: ops.conv(array(2, 4, 4, 3), array(3, 3, 3, 4), strides=(1, 2, 3)), "strides"),
        (lambda: ops.conv(array(2, 4, 4, 3), array(3, 3, 3, 4), data_format="nhwc"), "data_format"),
        (lambda: ops.depthwise_conv(array(2, 4, 4, 3), array(3, 3, 2, 4)), "input channels must match"),
        (lambda: ops.conv_transpose(array(2, 4, 4, 3), array(3, 3, 2, 4)), "input channels must match"),
        (lambda: ops.conv_transpose(array(2, 4, 3), array(3, 2, 3), padding="causal"), "'valid', 'same'"),
        (lambda: ops.unfold(array(2, 4, 4), 2), "4D"),
        (lambda: ops.fold(array(2, 4, 4, 1), 4, 2), "3D"),
        (lambda: ops.fold(array(2, 5, 9), 4, 2), "multiple of the kernel's 4"),
        (lambda: ops.fold(array(2, 4, 8), 4, 2), "9 patches"),
        (lambda: ops.depth_to_space(array(1, 2, 2, 4), 1), "at least 2"),
        (lambda: ops.depth_to_space(array(1, 2, 2, 6), 2), "multiple of block_size"),
        (lambda: ops.space_to_depth(array(1, 2, 3, 6), 2), "multiples of block_size"),
        (lambda: ops.space_to_depth(array(2, 2, 6), 2), "rank 4"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_integers_are_cast_to_the_kernel():
    x = A(2, 5, 5, 3, dtype="uint8").make()
    y = ops.conv(x, array(2, 2, 3, 4))
    assert y.dtype == "float32"
    np.testing.assert_allclose(y, ops.conv(x.astype("float32"), array(2, 2, 3, 4)))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("conv", ((3, 3, 4, 5),)),
        ("depthwise_conv", ((3, 3, 4, 2),)),
        ("conv_transpose", ((3, 3, 5, 4),)),
        ("separable_conv", ((3, 3, 4, 2), (1, 1, 8, 5))),
    ],
)
def test_nodes_in_functional_models(name, arguments):
    """The same Operation in a file as Keras's, with the layout that was the default when the model was made."""

    def node(library):
        library.backend.clear_session()
        x = library.Input((8, 8, 4))
        y = getattr(library.ops, name)(x, *[library.Input(batch_shape=shape) for shape in arguments], strides=2, padding="same")
        config = y._keras_history.operation.get_config()
        return type(y._keras_history.operation).__name__, config, y.shape

    assert node(kerasish) == node(keras)
