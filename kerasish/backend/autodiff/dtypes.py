"""Dtypes as strings, Keras's promotion of them, and the dtype rules that ops name.

A *weak* dtype ("int", "float", "complex") is that of a Python number: it says the kind and leaves the width to the others.
Promotion is the least upper bound on JAX's lattice, as in Keras; unlike Keras on JAX, 64-bit inputs stay 64-bit.
"""

import functools

import numpy as np

import kerasish.config as config

INTS = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
FLOATS = ("bfloat16", "float16", "float32", "float64")
COMPLEX = ("complex64", "complex128")
ALLOWED = ("bool", *INTS, *FLOATS, *COMPLEX, "string", "float8_e4m3fn", "float8_e5m2")
_PYTHON = {bool: "bool", int: "int32", float: "float32", complex: "complex64", str: "string", "int": "int32"}
_WEAK = {bool: "bool", int: "int", float: "float", complex: "complex"}
_WEAK_TYPES = {**_WEAK, np.float64: "float"}
_HIGHER = {
    "bool": ("int",), "uint8": ("int16", "uint16"), "uint16": ("int32", "uint32"), "uint32": ("int64", "uint64"),
    "uint64": ("float",), "int": ("uint8", "int8"), "int8": ("int16",), "int16": ("int32",), "int32": ("int64",),
    "int64": ("float",), "float": ("bfloat16", "float16", "complex"), "bfloat16": ("float32",), "float16": ("float32",),
    "float32": ("float64", "complex64"), "float64": ("complex128",), "complex": ("complex64",), "complex64": ("complex128",),
    "complex128": (),
}  # fmt: skip


def _above(dtype):
    return {dtype}.union(*(_above(d) for d in _HIGHER[dtype]))


_UPPER_BOUNDS = {dtype: frozenset(_above(dtype)) for dtype in _HIGHER}
_names: dict = {}  # numpy dtype -> its name; numpy computes `.name` anew at every read


def name_of(dtype):
    """Name of a NumPy dtype object."""
    try:
        return _names[dtype]
    except KeyError:
        return _names.setdefault(dtype, "string" if dtype.kind in "UST" else dtype.name)


def standardize_dtype(dtype):
    """Any way of naming a dtype as Keras's string; None means ``floatx`` (``keras.backend.standardize_dtype``).

    >>> standardize_dtype(float), standardize_dtype("int")
    ('float32', 'int32')
    """
    if dtype is None:
        return config.floatx()
    if isinstance(dtype, str) and dtype in ALLOWED:
        return dtype
    try:
        name = _PYTHON.get(dtype, dtype)
    except TypeError:  # unhashable
        name = dtype
    if not isinstance(name, str):
        name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or str(dtype)
        name = name.removeprefix("torch.")
    if name.startswith(("str", "bytes", "<U")):
        name = "string"
    if name not in ALLOWED:
        raise ValueError(f"Invalid dtype: {dtype}")
    return name


@functools.lru_cache(maxsize=None)
def numpy_dtype(name):
    """The NumPy dtype of that name. bfloat16 and float8 need the package ml_dtypes (extra ``bfloat16``)."""
    if name == "bfloat16" or name.startswith("float8"):
        try:
            import ml_dtypes
        except ImportError:
            raise ImportError(f"dtype {name} needs the package ml_dtypes: pip install kerasish[bfloat16]") from None
        return np.dtype(getattr(ml_dtypes, name))
    return np.dtype("str" if name == "string" else name)


def is_float(dtype):
    """Whether a dtype is a (real) floating one (``keras.backend.is_float_dtype``)."""
    return "float" in standardize_dtype(dtype)


def is_int(dtype):
    """Whether a dtype is a signed or unsigned integer one (``keras.backend.is_int_dtype``)."""
    return "int" in standardize_dtype(dtype)


def differentiable(dtype):
    """Whether values of this dtype can have gradients."""
    return "float" in dtype or "complex" in dtype


def weak_dtype(x):
    """The weak dtype of a Python number or a float64 NumPy scalar (``np.sqrt(2)``), None for anything else."""
    return _WEAK_TYPES.get(type(x))


def _resolve(dtype):
    """A weak dtype at the width of ``floatx``."""
    if dtype == "int":
        return "int32"
    if dtype == "complex":
        return "complex64" if config.floatx() != "float64" else "complex128"
    return config.floatx() if dtype == "float" else dtype


@functools.lru_cache(maxsize=None)
def _least_upper_bound(dtypes):
    try:
        common = frozenset.intersection(*(_UPPER_BOUNDS[d] for d in dtypes))
    except KeyError as e:
        raise ValueError(f"dtype={e.args[0]!r} has no implicit promotion: cast it first. Received dtypes: {sorted(dtypes)}") from None
    least = [d for d in common if common <= _UPPER_BOUNDS[d]]
    if len(least) != 1:
        raise ValueError(f"Input dtypes {sorted(dtypes)} have no common dtype: cast them first.")
    return least[0]


def promote_dtypes(dtypes):
    """The common dtype of names that may be weak; weak alone resolves to the default width."""
    return _resolve(_least_upper_bound(frozenset(dtypes)))


def result_type(*dtypes):
    """The dtype of an operation on these dtypes; Python's ``int`` and ``float`` are weak (``keras.backend.result_type``).

    >>> result_type("float16", float), result_type("int32", "float32")
    ('float16', 'float32')
    """
    if not dtypes:
        return config.floatx()
    return promote_dtypes(_WEAK.get(d) or standardize_dtype(d) for d in dtypes)


# ---- dtype rules: (dtypes of the inputs, attributes) -> (what each input is cast to, None = as it is; dtype of the output)
def promote(dtypes, attrs):
    """All inputs to their common dtype, which is the output's."""
    common = promote_dtypes(dtypes)
    return (common,) * len(dtypes), common


def floating(dtypes, attrs):
    """As :func:`promote`, and integers and booleans become ``floatx``."""
    common = promote_dtypes(dtypes)
    if not differentiable(common):
        common = config.floatx()
    return (common,) * len(dtypes), common


def numeric(dtypes, attrs):
    """As :func:`promote`, and booleans become int32."""
    common = promote_dtypes(dtypes)
    common = "int32" if common == "bool" else common
    return (common,) * len(dtypes), common


def integral(dtypes, attrs):
    """As :func:`promote`, of integers and booleans only; TypeError for others."""
    common = promote_dtypes(dtypes)
    if common != "bool" and not is_int(common):
        raise TypeError(f"Expected integers or booleans. Received dtypes: {list(dtypes)}")
    return (common,) * len(dtypes), common


def magnitude(dtypes, attrs):
    """The output has the input's dtype, of complex numbers that of their parts."""
    dtype = promote_dtypes(dtypes)
    return (dtype,), {"complex64": "float32", "complex128": "float64"}.get(dtype, dtype)


def compare(dtypes, attrs):
    """Inputs to their common dtype; the output is boolean."""
    return (promote_dtypes(dtypes),) * len(dtypes), "bool"


def keep(dtypes, attrs):
    """Nothing is cast; the output has the first input's dtype."""
    return (None,) * len(dtypes), _resolve(dtypes[0])


def to(dtype):
    """Rule: nothing is cast; the output has this dtype."""
    return lambda dtypes, attrs: ((None,) * len(dtypes), dtype)


def to_attribute(dtypes, attrs):
    """Nothing is cast; the output has the dtype that the attribute ``dtype`` names."""
    return (None,) * len(dtypes), attrs["dtype"]


def accumulate(dtypes, attrs):
    """Sums and products: booleans and narrow integers become 32-bit ones, unless an attribute ``dtype`` says otherwise."""
    if attrs.get("dtype") is not None:
        return (standardize_dtype(attrs["dtype"]),) * len(dtypes), standardize_dtype(attrs["dtype"])
    dtype = promote_dtypes(dtypes)
    if dtype in ("bool", "int8", "int16"):
        dtype = "int32"
    elif dtype in ("uint8", "uint16"):
        dtype = "uint32"
    return (dtype,) * len(dtypes), dtype
