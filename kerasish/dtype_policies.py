"""Which dtypes layers compute in and keep their weights in (``keras.dtype_policies``)."""

import re
from collections.abc import MutableMapping

from kerasish import config, ops
from kerasish.backend.autodiff.dtypes import is_float, standardize_dtype
from kerasish.backend.autodiff.op import as_tensor
from kerasish.backend.autodiff.state import state
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.families import deserialize_in
from kerasish.saveable import Saveable, registry, serialize_keras_object

_MODULE = "keras.dtype_policies"
_MIXED = {"mixed_float16": "float16", "mixed_bfloat16": "bfloat16"}
_QUANTIZED = ("int8", "float8", "int4", "gptq", "awq")  # how the names of quantized policies begin
_QUANTIZED_CLASSES = [f"{kind}DTypePolicy" for kind in ("Quantized", "QuantizedFloat8", "Int4", "GPTQ", "AWQ")]


class DTypePolicy(Saveable):
    """What a layer's ``dtype`` means (``keras.DTypePolicy``): ``name`` is a dtype, "mixed_float16" or "mixed_bfloat16".

    A mixed policy computes in half precision and keeps weights in float32. None means the policy in force. Raises ValueError
    for an unknown name, TypeError for one that is no string.

    >>> policy = DTypePolicy("mixed_float16")
    >>> policy.compute_dtype, policy.variable_dtype
    ('float16', 'float32')
    """

    keras_module = "keras"
    name: str | None = None

    def check(self):
        if self.name is None:
            self.name = dtype_policy().name
        if not isinstance(self.name, str):
            raise TypeError(f"'name' must be a string like 'mixed_float16', got {self.name} ({type(self.name)})")
        if self.name in _MIXED:
            self._compute_dtype, self._variable_dtype = _MIXED[self.name], "float32"
            return
        if self.name.startswith(_QUANTIZED) and "_from_" in self.name:
            _refuse(self.name)
        try:
            self._compute_dtype = self._variable_dtype = standardize_dtype(self.name)
        except ValueError:
            raise ValueError(
                f"Cannot convert '{self.name}' to a DTypePolicy. Policies are 'mixed_float16', 'mixed_bfloat16' and the float dtypes."
            ) from None

    compute_dtype = property(lambda self: self._compute_dtype)
    variable_dtype = property(lambda self: self._variable_dtype)

    quantization_mode = property(lambda self: None)

    def convert_input(self, x, autocast, dtype):
        """An input as a layer takes it: arrays become tensors and, with ``autocast``, floats get the dtype.

        Integers keep theirs, and Python numbers stay what they are: they take the dtype of what they meet.

        >>> DTypePolicy("float16").convert_input(Tensor([1.0]), True, "float16").dtype
        'float16'
        """
        if not isinstance(x, Tensor):
            if not hasattr(x, "__array__"):
                return x
            x = as_tensor(x)
        dtype = standardize_dtype(dtype)
        if not autocast or x.dtype == dtype or not is_float(x.dtype):
            return x
        y = ops.cast(x, dtype)
        y._keras_mask = x._keras_mask
        return y

    def __eq__(self, other):
        plain = (DTypePolicy, FloatDTypePolicy)
        same_kind = type(other) in plain if type(self) in plain else type(other) is type(self)
        return same_kind and self.name == other.name

    def __hash__(self):
        return hash(self.name)

    def __repr__(self):
        return f'<DTypePolicy "{self.name}">'


class FloatDTypePolicy(DTypePolicy):
    """Another name for :class:`DTypePolicy` (``keras.FloatDTypePolicy``).

    >>> FloatDTypePolicy("float32") == DTypePolicy("float32")
    True
    """


class DTypePolicyMap(DTypePolicy, MutableMapping):
    """Policies by layers' paths (``keras.dtype_policies.DTypePolicyMap``). A path that no key names has the default policy.

    Keys are paths or regular expressions for whole paths; ValueError for a path that several of them match, and for a key
    that is set twice. ``default_policy=None`` means the policy in force.

    >>> policies = DTypePolicyMap("float32", {"encoder/.*": DTypePolicy("bfloat16")})
    >>> policies["encoder/dense"].name, policies["decoder"].name
    ('bfloat16', 'float32')
    """

    keras_module = _MODULE

    def __init__(self, default_policy=None, policy_map=None):
        if isinstance(default_policy, DTypePolicyMap):
            raise ValueError("`default_policy` cannot be a `DTypePolicyMap`.")
        if policy_map is not None and not isinstance(policy_map, dict):
            raise TypeError(f"If specified, `policy_map` must be a dict. Got {policy_map} ({type(policy_map)})")
        self._default_given, self._default_policy = default_policy, get(default_policy)
        self._policy_map = policy_map or {}

    default_policy = property(lambda self: self._default_policy)
    name = property(lambda self: f"map_{self.default_policy.name}")
    compute_dtype = property(lambda self: self.default_policy.compute_dtype)
    variable_dtype = property(lambda self: self.default_policy.variable_dtype)

    def __getitem__(self, key):
        if key in self._policy_map:
            return self._policy_map[key]
        patterns = [pattern for pattern in self._policy_map if re.fullmatch(pattern, key)]
        if len(patterns) > 1:
            raise ValueError(f"Path '{key}' matches more than one key of the DTypePolicyMap: {patterns}.")
        return self._policy_map[patterns[0]] if patterns else self.default_policy

    def __setitem__(self, key, policy):
        if key in self._policy_map:
            raise ValueError(f"{key} already exist in the DTypePolicyMap with value {self._policy_map[key]}.")
        self._policy_map[key] = get(policy)

    def __delitem__(self, key):
        del self._policy_map[key]

    def __contains__(self, key):
        return key in self._policy_map

    def __len__(self):
        return len(self._policy_map)

    def __iter__(self):
        return iter(self._policy_map)

    def __eq__(self, other):
        if not isinstance(other, DTypePolicyMap):
            return False
        return self.default_policy == other.default_policy and self._policy_map == other._policy_map

    def __repr__(self):
        mapping = [(key, policy.name) for key, policy in self.items()]
        return f"<DTypePolicyMap at {id(self):#x} default_policy={self.default_policy.name}, mapping={mapping}>"

    def get_config(self):
        policies = serialize_keras_object(self._policy_map)
        if self._default_given is None:  # then whoever loads the file decides: Keras writes no names
            for policy in policies.values():
                policy["config"] = {"name": None}
        return {"default_policy": serialize_keras_object(self._default_given), "policy_map": policies}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        policies = {path: deserialize(policy, custom_objects) for path, policy in config["policy_map"].items()}
        return cls(config["default_policy"], policies)


for _name, _cls in {"DTypePolicy": DTypePolicy, "Policy": DTypePolicy, "FloatDTypePolicy": FloatDTypePolicy}.items():
    registry.add(_MODULE, _name, _cls)


# ---- the policy in force
def dtype_policy():
    """The policy of layers that are given no dtype (``keras.config.dtype_policy``): by default ``floatx``.

    >>> dtype_policy()
    <DTypePolicy "float32">
    """
    return state.global_attributes.get("dtype_policy") or DTypePolicy(config.floatx())


def set_dtype_policy(policy):
    """Set :func:`dtype_policy` to a policy or the name of one (``keras.config.set_dtype_policy``)."""
    if not isinstance(policy, (str, DTypePolicy)):
        raise ValueError(
            f"Invalid `policy` argument: give a `DTypePolicy` or its name, such as 'mixed_float16'. Got {policy} ({type(policy)})"
        )
    state.global_attributes["dtype_policy"] = get(policy)


# ---- by name
def serialize(dtype_policy):
    """The config of a policy (``keras.dtype_policies.serialize``).

    >>> serialize(DTypePolicy("float16"))["config"]
    {'name': 'float16'}
    """
    return serialize_keras_object(dtype_policy)


def deserialize(config, custom_objects=None):
    """The policy of a config (``keras.dtype_policies.deserialize``). ValueError for a quantized one.

    >>> deserialize({"class_name": "DTypePolicy", "config": {"name": "float16"}})
    <DTypePolicy "float16">
    """
    if isinstance(config, str):
        return get(config)
    if isinstance(config, dict) and config.get("class_name") in _QUANTIZED_CLASSES:
        _refuse(config["class_name"])
    return deserialize_in(_MODULE, config, custom_objects)


def _refuse(what):
    raise ValueError(f"{what}: quantized weights are not supported, layers here compute in floating point only.")


def get(identifier):
    """The policy that a name, dtype, config or policy means; None means the policy in force (``keras.dtype_policies.get``).

    >>> get("mixed_bfloat16").compute_dtype
    'bfloat16'
    """
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        if identifier.startswith(_QUANTIZED):
            _refuse(identifier)
        return DTypePolicy(identifier)
    try:
        return DTypePolicy(standardize_dtype(identifier))
    except ValueError:
        raise ValueError(f"Cannot interpret `dtype` argument. A dtype's name or a DTypePolicy is needed, got {identifier}") from None


__all__ = ["DTypePolicy", "DTypePolicyMap", "FloatDTypePolicy", "deserialize", "get", "serialize"]
