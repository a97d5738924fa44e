import inspect
import json

import keras
import numpy as np
import pytest
from keras.src.regularizers import ALL_OBJECTS_DICT

from kerasish import ops, regularizers
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.backend.autodiff.variable import Variable
from kerasish.saveable import CustomObjectScope, Saveable, deserialize_keras_object, serialize_keras_object

MADE = [
    ("L1", {}), ("L1", {"l1": 0.3}), ("L1", {"l1": None}),
    ("L2", {}), ("L2", {"l2": 0.3}), ("L2", {"l2": None}), ("L2", {"l2": 2}),
    ("L1L2", {}), ("L1L2", {"l1": 0.3, "l2": 0.2}), ("L1L2", {"l1": None, "l2": None}), ("L1L2", {"l2": 1}),
    ("OrthogonalRegularizer", {}), ("OrthogonalRegularizer", {"factor": 0.3, "mode": "columns"}),
]  # fmt: skip
made = pytest.mark.parametrize(("name", "kwargs"), MADE)


def both(name, kwargs):
    return getattr(regularizers, name)(**kwargs), getattr(keras.regularizers, name)(**kwargs)


@pytest.mark.parametrize("name", regularizers.__all__)
def test_signatures(name):
    ours, theirs = getattr(regularizers, name), getattr(keras.regularizers, name)
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs))


@made
def test_configs(name, kwargs):
    ours, theirs = both(name, kwargs)
    config = json.loads(json.dumps(serialize_keras_object(ours)))
    assert config == json.loads(json.dumps(keras.saving.serialize_keras_object(theirs)))
    assert serialize_keras_object(deserialize_keras_object(config)) == config


@made
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_values(name, kwargs, dtype):
    ours, theirs = both(name, kwargs)
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(dtype)
    y = ours(Tensor(x))
    assert (y.shape, y.dtype) == ((), dtype)
    np.testing.assert_allclose(y, theirs(keras.ops.convert_to_tensor(x)), rtol=1e-5 if dtype == "float32" else 1e-2)
    np.testing.assert_allclose(y, ours(Variable(x)))


@made
def test_gradients(name, kwargs):
    ours, _ = both(name, kwargs)
    x = np.random.default_rng(0).normal(size=(3, 4))
    slope = grad(ours)(Tensor(x)).numpy()
    for i, j in ((0, 0), (2, 1)):
        step = np.zeros((3, 4))
        step[i, j] = 1e-6
        numeric = (float(ours(Tensor(x + step))) - float(ours(Tensor(x - step)))) / 2e-6
        np.testing.assert_allclose(slope[i, j], numeric, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", [*sorted(ALL_OBJECTS_DICT), "l1_l2"])
def test_names(name):
    expected = "L1L2" if name == "l1_l2" else ALL_OBJECTS_DICT[name].__name__
    assert type(regularizers.get(name)).__name__ == expected
    assert type(regularizers.get({"class_name": name, "config": {}})).__name__ == expected


def test_other_identifiers():
    l2 = regularizers.L2(0.3)
    assert regularizers.get(l2) is l2
    assert regularizers.get(None) is None
    assert regularizers.get(abs) is abs
    assert isinstance(regularizers.get(regularizers.L1), regularizers.L1)
    assert regularizers.get({"class_name": "L2", "config": {"l2": 0.1}}).l2 == 0.1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda r: r.get("x"), ValueError, "Could not interpret regularizer identifier: x"),
        (lambda r: r.get(3), ValueError, "Could not interpret regularizer identifier: 3"),
        (lambda r: r.get({"class_name": "x", "config": {}}), ValueError, "Could not interpret regularizer identifier"),
        *[(lambda r, v=v: r.L2(v), ValueError, "l2: expected a non-negative float") for v in (-1, "a", np.nan, np.inf)],
        (lambda r: r.L1(-1), ValueError, "l1: expected a non-negative float"),
        (lambda r: r.L1L2(0.1, -1), ValueError, "l2: expected a non-negative float"),
        (lambda r: r.OrthogonalRegularizer(-1), ValueError, "factor: expected a non-negative float"),
        (lambda r: r.OrthogonalRegularizer(mode="x"), ValueError, "Invalid value for argument `mode`"),
        (lambda r: r.OrthogonalRegularizer()(np.ones(3)), ValueError, "must have rank 2"),
        (lambda r: r.Regularizer().get_config(), NotImplementedError, "does not implement get_config"),
    ],
)
def test_errors_are_keras(call, error, message):
    for module in (regularizers, keras.regularizers):
        with pytest.raises(error, match=message):
            call(module)


def test_users_own():
    class Largest(regularizers.Regularizer):
        def __init__(self, factor):
            self.factor = factor

        def __call__(self, x):
            return self.factor * ops.max(x)

        def get_config(self):
            return {"factor": self.factor}

    assert float(Largest(2.0)(Tensor([1.0, 3.0]))) == 6.0
    with CustomObjectScope({"Largest": Largest}):
        assert regularizers.get(serialize_keras_object(Largest(2.0))).factor == 2.0
    assert regularizers.Regularizer()(Tensor([1.0])) == 0.0


def test_as_a_field():
    class Owner(Saveable):
        kernel_regularizer: regularizers.Regularizer = None

    config = Owner("l2").get_config()
    assert config["kernel_regularizer"]["config"] == {"l2": 0.01}
    assert Owner.from_config(config).kernel_regularizer.l2 == 0.01
    assert Owner().get_config() == {"kernel_regularizer": None}
