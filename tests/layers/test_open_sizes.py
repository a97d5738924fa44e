"""Layers whose code computes with sizes that are open in a Functional model, as Keras's examples do."""

import numpy as np
import pytest

import kerasish as keras
from kerasish import ops
from kerasish.ops.sizes import Size

CASES = {  # the layer's code, and the shape that comes of (None, None, 3)
    "positions": (lambda x: x + ops.cast(ops.arange(0, ops.shape(x)[1], 1), "float32")[None, :, None], (None, None, 3)),
    "halves": (lambda x: x[:, : ops.shape(x)[1] // 2], (None, None, 3)),
    "causal": (lambda x: ops.matmul(ops.tril(ops.ones((ops.shape(x)[1], ops.shape(x)[1]))), x), (None, None, 3)),
    "mean": (lambda x: ops.sum(x, axis=1) / ops.cast(ops.shape(x)[1], "float32"), (None, 3)),
    "token": (lambda x: ops.concatenate([ops.repeat(ops.ones((1, 1, 3)), ops.shape(x)[0], axis=0), x], axis=1), (None, None, 3)),
    "flat": (lambda x: ops.reshape(x, (ops.shape(x)[0] * ops.shape(x)[1], 3)), (None, 3)),
    "heads": (lambda x: ops.reshape(x, (ops.shape(x)[0], ops.shape(x)[1] * 3)), (None, None)),
    "of both": (lambda x: x[: ops.shape(x)[0] * 2 // 2, :1], (None, 1, 3)),
    "masked": (lambda x: keras.layers.Masking()(x * (ops.shape(x)[1] // 2)), (None, None, 3)),
}


class Called(keras.layers.Layer):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


@pytest.mark.parametrize("name", CASES)
def test_shape_and_values(name):
    function, shape = CASES[name]
    inputs = keras.Input((None, 3))
    outputs = Called(function)(inputs)
    assert outputs.shape == shape
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    np.testing.assert_array_equal(keras.Model(inputs, outputs)(x), function(ops.convert_to_tensor(x)))


def test_masks_are_kept():
    outputs = Called(CASES["masked"][0])(keras.Input((None, 3)))
    assert outputs._keras_mask.shape == (None, None)


def test_a_model_that_is_built_for_open_sizes():
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, x):
            return self.dense(x) * ops.cast(ops.shape(x)[1], "float32")

    model = Model()
    model.build((None, None, 3))
    assert [v.shape for v in model.weights] == [(3, 2), (2,)]
    assert model.dense.get_build_config() == {"input_shape": (None, None, 3)}


def test_a_weight_has_a_size():
    with pytest.raises(ValueError, match="can't have a size that is open"):
        keras.layers.Layer().add_weight(shape=(Size(960, {("size",): 1}), 3))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: keras.layers.Dense(2)(ops.reshape(x, (-1, ops.shape(x)[1] * 3))), r"unsupported operand type\(s\) for \*"),
        (lambda x: ops.concatenate([x[:, : ops.shape(x)[1] // 2], x[..., :2]], axis=1), r"unsupported operand type\(s\) for //"),
    ],
)
def test_errors_are_those_of_the_open_sizes(function, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Called(function)(keras.Input((None, 3)))
