"""Merging layers: what the conformance rows do not say."""

import numpy as np
import pytest

import kerasish
from kerasish import layers
from tests.layers.test_layer import X, masked

MERGES = ["Add", "Average", "Multiply", "Maximum", "Minimum", "Subtract"]


@pytest.mark.parametrize("name", [*MERGES, "Concatenate", "Dot"])
@pytest.mark.parametrize("case", ["one tensor", "shapes"])
def test_wrong_inputs(keras, name, case):
    layer = getattr(keras.layers, name)(**({"axes": 1} if name == "Dot" else {}))
    inputs = X if case == "one tensor" else [X, np.ones((2, 4) if name not in ("Concatenate",) else (3, 4), "float32")]
    with pytest.raises((ValueError, TypeError)):
        layer(inputs)


@pytest.mark.parametrize("name", MERGES)
def test_batches_must_agree(keras, name):
    with pytest.raises(ValueError, match="different batch sizes"):
        getattr(keras.layers, name)()([X, X[:1]])


@pytest.mark.parametrize("count", [1, 3])
def test_subtract_and_dot_take_two(keras, count):
    for layer in (keras.layers.Subtract(), keras.layers.Dot(1)):
        with pytest.raises((ValueError, IndexError)):
            layer([X] * count)


@pytest.mark.parametrize("axes", ["1", (1, 2, 3), (1, "2")])
def test_axes_of_dot(keras, axes):
    with pytest.raises((ValueError, TypeError)):
        keras.layers.Dot(axes)


def test_dot_leaves_the_batch(keras):
    with pytest.raises(ValueError):
        keras.layers.Dot(0)([X, X])


FUNCTIONS = ["add", "average", "multiply", "maximum", "minimum", "subtract", "concatenate", "dot"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_their_layers(keras, name):
    cls = getattr(keras.layers, name.title())
    kwargs = {"axes": 1} if name == "dot" else {}
    inputs = [X, 2 * X]
    np.testing.assert_allclose(np.asarray(getattr(keras.layers, name)(inputs, **kwargs)), np.asarray(cls(**kwargs)(inputs)), rtol=1e-6)
    x = keras.Input((3,))
    y = getattr(keras.layers, name)([x, x], name="merged", **kwargs)
    assert y._keras_history.operation.name == "merged" and isinstance(y._keras_history.operation, cls)


def test_one_input_is_enough(keras):
    for name in ("Add", "Average", "Maximum", "Concatenate"):
        np.testing.assert_allclose(np.asarray(getattr(keras.layers, name)()([X])), X)


def test_masks_of_higher_rank():
    """A mask over steps of tensors with several feature axes."""
    x, y = np.full((2, 2, 2, 2), 1.0, "float32"), np.full((2, 2, 2, 2), 3.0, "float32")
    mask = np.array([[True, False], [True, True]])
    out = layers.Maximum()([masked(kerasish, x, mask), masked(kerasish, y, ~mask)])
    assert out.numpy()[0, 0].max() == 1.0 and out.numpy()[0, 1].max() == 3.0
    assert out._keras_mask.numpy().all()


def test_merges_of_other_lengths_keep_their_inputs_masks():
    x = masked(kerasish, np.ones((2, 2, 3), "float32"))
    out = layers.Add()([x, x])
    assert out._keras_mask.numpy().tolist() == x._keras_mask.numpy().tolist()
    assert layers.Dot(1)([x, x])._keras_mask is None
