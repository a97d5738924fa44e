import inspect
import json

import keras
import numpy as np
import pytest

import kerasish.config as config
from kerasish import dtype_policies
from kerasish.backend.autodiff.state import clear_session
from kerasish.backend.autodiff.symbolic import Function
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor
from kerasish.backend.autodiff.variable import Variable
from kerasish.dtype_policies import DTypePolicy, DTypePolicyMap, FloatDTypePolicy, dtype_policy, set_dtype_policy
from kerasish.saveable import deserialize_keras_object, serialize_keras_object

NAMES = ["float32", "float16", "bfloat16", "float64", "int32", "bool", "mixed_float16", "mixed_bfloat16"]


@pytest.fixture(autouse=True)
def _clean():
    yield
    clear_session()
    config.set_floatx("float32")


@pytest.mark.parametrize("name", dtype_policies.__all__)
def test_signatures(name):
    ours, theirs = getattr(dtype_policies, name), getattr(keras.dtype_policies, name)
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs))


@pytest.mark.parametrize("cls", ["DTypePolicy", "FloatDTypePolicy"])
@pytest.mark.parametrize("name", NAMES)
def test_policies_are_keras(cls, name):
    ours, theirs = getattr(dtype_policies, cls)(name), getattr(keras.dtype_policies, cls)(name)
    for what in ("name", "compute_dtype", "variable_dtype", "quantization_mode"):
        assert getattr(ours, what) == getattr(theirs, what), what
    assert repr(ours) == repr(theirs)
    made = json.loads(json.dumps(serialize_keras_object(ours)))
    assert made == keras.saving.serialize_keras_object(theirs)
    assert deserialize_keras_object(made) == ours == dtype_policies.deserialize(made) == dtype_policies.get(made)


def test_equality():
    assert DTypePolicy("float32") == FloatDTypePolicy("float32") != DTypePolicy("float16")
    assert DTypePolicy("float32") != "float32"
    assert len({DTypePolicy("float32"), DTypePolicy("float32")}) == 1


@pytest.mark.parametrize(
    ("identifier", "name"),
    [("mixed_float16", "mixed_float16"), (np.float32, "float32"), (np.dtype("int8"), "int8"), (int, "int32"), (None, "float32"),
     ({"class_name": "DTypePolicy", "config": {"name": "float16"}}, "float16"),
     ({"module": "keras.mixed_precision", "class_name": "Policy", "config": {"name": "mixed_float16"}}, "mixed_float16")],
)  # fmt: skip
def test_get(identifier, name):
    assert dtype_policies.get(identifier) == DTypePolicy(name)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p, c: p.DTypePolicy("foo"), ValueError, "Cannot convert 'foo' to a "),
        (lambda p, c: p.DTypePolicy(3), TypeError, "'name' must be a string"),
        (lambda p, c: p.get(3), ValueError, "Cannot interpret `dtype` argument"),
        (lambda p, c: p.DTypePolicyMap(p.DTypePolicyMap()), ValueError, "cannot be a `DTypePolicyMap`"),
        (lambda p, c: p.DTypePolicyMap(None, 3), TypeError, "`policy_map` must be a dict"),
        (lambda p, c: c.set_dtype_policy(3), ValueError, "Invalid `policy` argument"),
    ],
)
def test_errors_are_keras(call, error, message):
    for policies, where in ((dtype_policies, dtype_policies), (keras.dtype_policies, keras.config)):
        with pytest.raises(error, match=message):
            call(policies, where)


@pytest.mark.parametrize(
    "call",
    [
        lambda: dtype_policies.get("int8"),
        lambda: dtype_policies.get("gptq/4/128_from_float32"),
        lambda: DTypePolicy("float8_from_mixed_bfloat16"),
        lambda: set_dtype_policy("int4_from_float32"),
        lambda: dtype_policies.get({"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8"}}),
    ],
)
def test_quantized_policies_say_why_not(call):
    with pytest.raises(ValueError, match="quantized weights are not supported"):
        call()


def test_policy_in_force():
    assert dtype_policy() == DTypePolicy("float32")
    config.set_floatx("float16")
    assert dtype_policy() == DTypePolicy("float16")
    set_dtype_policy("mixed_bfloat16")
    assert dtype_policy() == dtype_policies.get(None) == DTypePolicy("mixed_bfloat16") == DTypePolicy()
    set_dtype_policy(DTypePolicy("float64"))
    assert dtype_policy() == DTypePolicy("float64")
    clear_session()
    assert dtype_policy() == DTypePolicy("float16")


@pytest.mark.parametrize(
    ("x", "autocast", "dtype"),
    [
        (np.ones(2), True, "float16"), (np.ones(2, "float32"), False, "float32"), (np.ones(2, "int32"), True, "int32"),
        (np.float32(3), True, "float16"), (Tensor([1.0]), True, "float16"), (Tensor([1]), True, "int32"),
        (Tensor([1.0]), False, "float32"), (Tensor([True]), True, "bool"),
    ],
)  # fmt: skip
def test_convert_input(x, autocast, dtype):
    y = DTypePolicy("mixed_float16").convert_input(x, autocast, "float16")
    assert isinstance(y, Tensor) and y.dtype == dtype
    np.testing.assert_array_equal(y, np.asarray(x))


def test_convert_input_of_other_things():
    policy = DTypePolicy("mixed_float16")
    for x in ([1.0, 2.0], 1.0, "abc", None):
        assert policy.convert_input(x, True, "float16") is x
    x = Tensor([1.0])
    assert policy.convert_input(x, True, "float32") is x
    assert policy.convert_input(Variable([1.0]), True, "float16").dtype == "float16"
    x._keras_mask = Tensor([True])
    assert policy.convert_input(x, True, "float16")._keras_mask is x._keras_mask


def test_convert_input_of_a_keras_tensor_is_a_node():
    x = KerasTensor((None, 2))
    y = DTypePolicy("mixed_float16").convert_input(x, True, "float16")
    assert (y.shape, y.dtype) == ((None, 2), "float16")
    assert Function(x, y)(np.ones((3, 2), "float32")).dtype == "float16"
    assert DTypePolicy("float32").convert_input(x, True, "float32") is x


# ---- maps
def both_maps(default):
    for module in (dtype_policies, keras.dtype_policies):
        policies = module.DTypePolicyMap(default)
        policies["a/b"] = "mixed_float16"
        policies["c/.*"] = module.DTypePolicy("float16")
        yield policies


@pytest.mark.parametrize("default", ["bfloat16", None])
def test_maps_are_keras(default):
    ours, theirs = both_maps(default)
    for path in ("a/b", "a/b/c", "c/d", "c", "zz"):
        assert ours[path].name == theirs[path].name
    for what in ("name", "compute_dtype", "variable_dtype", "quantization_mode"):
        assert getattr(ours, what) == getattr(theirs, what), what
    assert list(ours) == list(theirs) and len(ours) == 2 and "a/b" in ours and "c/d" not in ours
    assert repr(ours).split("default")[1] == repr(theirs).split("default")[1]
    made = json.loads(json.dumps(serialize_keras_object(ours)))
    assert made == json.loads(json.dumps(keras.saving.serialize_keras_object(theirs)))
    again = deserialize_keras_object(made)
    assert again.default_policy == ours.default_policy and list(again) == list(ours)
    if default:
        assert again == ours


def test_map_with_a_policy_as_default():
    policies = DTypePolicyMap(DTypePolicy("float16"), {"a": DTypePolicy("float32")})
    assert deserialize_keras_object(json.loads(json.dumps(serialize_keras_object(policies)))) == policies
    assert policies != DTypePolicyMap("float16")
    del policies["a"]
    assert policies == DTypePolicyMap("float16")


def test_map_errors():
    ours, theirs = both_maps("float32")
    for policies in (ours, theirs):
        with pytest.raises(ValueError, match="already exist"):
            policies["c/.*"] = "float32"
        with pytest.raises(ValueError, match="Cannot interpret"):
            policies["q"] = 3
        policies["c/d.*"] = "float32"
        with pytest.raises(ValueError, match="matches m"):
            policies["c/de"]
