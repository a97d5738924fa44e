import inspect
import json

import keras
import numpy as np
import pytest
from keras.src.constraints import ALL_OBJECTS_DICT

from kerasish import constraints, ops
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.backend.autodiff.variable import Variable
from kerasish.saveable import CustomObjectScope, Saveable, deserialize_keras_object, serialize_keras_object

MADE = [
    ("MaxNorm", {}), ("MaxNorm", {"max_value": 1.5, "axis": 1}), ("MaxNorm", {"max_value": 1, "axis": [0, 1]}), ("NonNeg", {}),
    ("UnitNorm", {}), ("UnitNorm", {"axis": -1}), ("MinMaxNorm", {}),
    ("MinMaxNorm", {"min_value": 1.0, "max_value": 2.0, "rate": 0.7, "axis": 1}),
]  # fmt: skip
made = pytest.mark.parametrize(("name", "kwargs"), MADE)


def both(name, kwargs):
    return getattr(constraints, name)(**kwargs), getattr(keras.constraints, name)(**kwargs)


@pytest.mark.parametrize("name", constraints.__all__)
def test_signatures(name):
    ours, theirs = getattr(constraints, name), getattr(keras.constraints, name)
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
    w = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(dtype)
    w[0, :, 0] = 0.0  # no direction to keep
    y = ours(w)
    assert (y.shape, y.dtype) == (w.shape, dtype)
    np.testing.assert_allclose(y, theirs(w), rtol=2e-6 if dtype == "float32" else 5e-3)
    np.testing.assert_array_equal(y, ours(Variable(w)))


def test_norms_end_up_in_bounds():
    w = np.random.default_rng(0).normal(size=(5, 100)).astype("float32")
    norms = np.linalg.norm(constraints.MinMaxNorm(2.0, 2.5)(w).numpy(), axis=0)
    assert norms.min() > 1.9999 and norms.max() < 2.5001


@pytest.mark.parametrize("name", sorted(ALL_OBJECTS_DICT))
def test_names(name):
    expected = ALL_OBJECTS_DICT[name].__name__
    assert type(constraints.get(name)).__name__ == expected
    assert type(constraints.get({"class_name": name, "config": {}})).__name__ == expected


def test_other_identifiers():
    unit = constraints.UnitNorm(1)
    assert constraints.get(unit) is unit
    assert constraints.get(None) is None
    assert constraints.get(abs) is abs
    assert isinstance(constraints.get(constraints.NonNeg), constraints.NonNeg)
    assert constraints.Constraint()(unit) is unit


@pytest.mark.parametrize("identifier", ["x", 3, {"class_name": "x", "config": {}}])
def test_unknown_identifiers_are_errors_as_in_keras(identifier):
    for module in (constraints, keras.constraints):
        with pytest.raises(ValueError, match="Could not interpret constraint identifier"):
            module.get(identifier)


def test_users_own():
    class Below(constraints.Constraint):
        def __init__(self, top):
            self.top = top

        def __call__(self, w):
            return ops.minimum(w, self.top)

        def get_config(self):
            return {"top": self.top}

    assert Below(1.0)(Tensor([0.5, 3.0])).tolist() == [0.5, 1.0]
    with CustomObjectScope({"Below": Below}):
        assert constraints.get(serialize_keras_object(Below(2.0))).top == 2.0


def test_as_a_field():
    class Owner(Saveable):
        bias_constraint: constraints.Constraint = None

    config = Owner("max_norm").get_config()
    assert config["bias_constraint"]["config"] == {"max_value": 2, "axis": 0}
    assert Owner.from_config(config).bias_constraint.max_value == 2
