"""The same program run by kerasish and by real Keras on JAX: same weights, same data, compared histories."""

import types
import warnings

import jax
import keras
import numpy as np

from kerasish import callbacks, layers, losses, metrics, models, ops, optimizers, regularizers
from kerasish.backend.autodiff.gradient import value_and_grad
from kerasish.backend.random import set_random_seed
from kerasish.data import PyDataset, unpack_x_y_sample_weight
from kerasish.layers.layer import Layer
from kerasish.models.model import Model

OURS = types.SimpleNamespace(
    Input=layers.Input, Layer=Layer, Model=Model, PyDataset=PyDataset, Sequential=models.Sequential, callbacks=callbacks,
    layers=layers, losses=losses, metrics=metrics, ops=ops, optimizers=optimizers, regularizers=regularizers,
    set_random_seed=set_random_seed, unpack=unpack_x_y_sample_weight, value_and_grad=value_and_grad,
)  # fmt: skip
THEIRS = types.SimpleNamespace(
    Input=keras.Input, Layer=keras.Layer, Model=keras.Model, PyDataset=keras.utils.PyDataset, Sequential=keras.Sequential,
    callbacks=keras.callbacks, layers=keras.layers, losses=keras.losses, metrics=keras.metrics, ops=keras.ops,
    optimizers=keras.optimizers, regularizers=keras.regularizers, set_random_seed=keras.utils.set_random_seed,
    unpack=keras.utils.unpack_x_y_sample_weight, value_and_grad=jax.value_and_grad,
)  # fmt: skip
# 48 rows in batches of 12, split 36 to 12: real Keras compiles anew for each size of a batch, and that is what takes time
RNG = np.random.default_rng(7)
X = RNG.normal(size=(48, 4)).astype("float32")
CLASSES = RNG.integers(0, 3, 48)
TARGETS = (X @ [1.0, -2.0, 0.5, 0.0] + 0.3).astype("float32")
WEIGHTS = RNG.uniform(0.2, 2.0, 48).astype("float32")
TOKENS = RNG.integers(1, 9, (48, 6)) * (np.arange(6) < RNG.integers(2, 7, (48, 1)))


def mlp(k, *last, **hidden):
    """A small Sequential model on X: a hidden layer with these options, then an output layer with these."""
    units, activation = (*last, None)[:2]
    return k.Sequential([k.Input((4,)), k.layers.Dense(8, activation="tanh", **hidden), k.layers.Dense(units, activation=activation)])


def two_heads(k):
    """A Functional model with the outputs ``a`` (a number) and ``b`` (three classes)."""
    x = k.Input((4,))
    hidden = k.layers.Dense(8, activation="tanh")(x)
    a = k.layers.Dense(1, name="a")(hidden)
    b = k.layers.Dense(3, activation="softmax", name="b")(hidden)
    return k.Model(x, [a, b])


def compiled(model, *args, **kwargs):
    """The model, compiled."""
    model.compile(*args, **kwargs)
    return model


def run_both(program, **kwargs):
    """What ``program(k, begin)`` returns for each library; it calls ``begin(model)`` before the model's first step."""
    weights = []

    def remember(model):
        weights.extend(model.get_weights())

    def same_weights(model):
        model.set_weights(weights)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of real Keras and JAX
        keras.utils.set_random_seed(0)
        theirs = program(THEIRS, remember, **kwargs)
    return program(OURS, same_weights, **kwargs), theirs


def assert_close(ours, theirs, tol=2e-5):
    """The same names in the same order, and the same numbers."""
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for name in theirs:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=tol, atol=tol, err_msg=name)
    else:
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=tol, atol=tol)


def assert_same_training(make, tol=2e-5, **fit):
    """``make(k)`` gives a compiled model: train it in both libraries and compare histories and weights."""

    def program(k, begin):
        model = make(k)
        begin(model)
        arguments = {name: value(k) if callable(value) else value for name, value in fit.items()}
        history = model.fit(**{"verbose": 0, "shuffle": False, "batch_size": 12, "epochs": 2, **arguments})
        return history.history, model.get_weights()

    (history, weights), (their_history, their_weights) = run_both(program)
    assert len(history) > 0
    assert_close(history, their_history, tol)
    assert_close(weights, their_weights, tol)
