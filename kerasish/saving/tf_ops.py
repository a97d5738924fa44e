"""TensorFlow functions in the graphs of Keras 2: what ``TFOpLambda`` and ``SlicingOpLambda`` layers mean in ops."""

import inspect
import itertools

from kerasish import ops
from kerasish.ops.activation import plain_softmax
from kerasish.ops.crossentropy import _one_hot
from kerasish.saveable import serialize_keras_object

# TensorFlow's names -> (name in ops, the parameters after the first one under both names, defaults that differ)
_BINARY = {
    "add": "add __operators__.add", "subtract": "subtract", "multiply": "multiply", "true_divide": "truediv divide realdiv",
    "floor_divide": "floordiv", "mod": "floormod mod", "power": "pow", "maximum": "maximum", "minimum": "minimum",
    "greater": "greater", "greater_equal": "greater_equal", "less": "less", "less_equal": "less_equal", "equal": "equal",
    "not_equal": "not_equal", "logical_and": "logical_and", "logical_or": "logical_or", "arctan2": "atan2",
}  # fmt: skip
_UNARY = {
    "negative": "negative", "absolute": "abs", "exp": "exp", "expm1": "expm1", "log": "log", "log1p": "log1p", "sqrt": "sqrt",
    "rsqrt": "rsqrt", "square": "square", "sign": "sign", "floor": "floor", "ceil": "ceil", "round": "round", "sin": "sin", "cos": "cos",
    "tan": "tan", "tanh": "tanh nn.tanh", "sigmoid": "sigmoid nn.sigmoid", "softplus": "softplus nn.softplus", "erf": "erf",
    "logical_not": "logical_not", "isnan": "is_nan", "relu": "nn.relu", "relu6": "nn.relu6", "elu": "nn.elu", "selu": "nn.selu",
    "softsign": "nn.softsign", "silu": "nn.silu nn.swish", "copy": "identity", "zeros_like": "zeros_like", "ones_like": "ones_like",
    "reciprocal": "reciprocal", "stop_gradient": "stop_gradient",
}  # fmt: skip
_REDUCTIONS = {
    "sum": "reduce_sum", "mean": "reduce_mean", "max": "reduce_max", "min": "reduce_min", "prod": "reduce_prod", "any": "reduce_any",
    "all": "reduce_all", "logsumexp": "reduce_logsumexp", "std": "reduce_std", "var": "reduce_variance",
}  # fmt: skip
_OTHERS = {
    "concat": ("concatenate", {"axis": "axis"}, {}),
    "stack": ("stack", {"axis": "axis"}, {"axis": 0}),
    "reshape": ("reshape", {"shape": "newshape"}, {}),
    "transpose": ("transpose", {"perm": "axes"}, {}),
    "squeeze": ("squeeze", {"axis": "axis"}, {}),
    "expand_dims": ("expand_dims", {"axis": "axis"}, {}),
    "cast": ("cast", {"dtype": "dtype"}, {}),
    "tile": ("tile", {"multiples": "repeats"}, {}),
    "gather": ("take", {"indices": "indices", "axis": "axis"}, {"axis": 0}),
    "where": ("where", {"x": "x1", "y": "x2"}, {}),
    "clip_by_value": ("clip", {"clip_value_min": "x_min", "clip_value_max": "x_max"}, {}),
    "split": ("split", {"num_or_size_splits": "indices_or_sections", "axis": "axis"}, {"axis": 0}),
    "one_hot": ("one_hot", {"depth": "num_classes", "axis": "axis"}, {"axis": -1, "dtype": "float32", "sparse": False}),
    "matmul": ("matmul", {"b": "x2"}, {}),
    "argmax": ("argmax", {"axis": "axis"}, {"axis": 0}),
    "argmin": ("argmin", {"axis": "axis"}, {"axis": 0}),
    "cumsum": ("cumsum", {"axis": "axis"}, {"axis": 0}),
    "nn.softmax": ("softmax", {"axis": "axis"}, {}),
    "nn.log_softmax": ("log_softmax", {"axis": "axis"}, {}),
    "nn.leaky_relu": ("leaky_relu", {"alpha": "negative_slope"}, {}),
    "nn.gelu": ("gelu", {"approximate": "approximate"}, {"approximate": False}),
    "image.resize": ("image.resize", {"size": "size", "method": "interpolation"}, {}),
}
_INNER = {"softmax": plain_softmax, "one_hot": _one_hot}  # whose public functions only check their arguments
_IGNORED = {"name", "output_type", "validate_indices", "validate_shape"}


def _table():
    table = dict(_OTHERS)
    for known, parameters in ((_BINARY, {"y": "x2"}), (_UNARY, {}), (_REDUCTIONS, {"axis": "axis", "keepdims": "keepdims"})):
        for ours, theirs in known.items():
            table.update({name: (ours, parameters, {}) for name in theirs.split()})
    return table


_TABLE = _table()


def upgraded(function, where, calls):
    """Class and config of the op that ``function`` means, and its calls: ``calls`` are pairs (first argument, other arguments).

    ValueError for functions that have no counterpart here, ``where`` says which layer.
    """
    if function == "__operators__.getitem":
        key = [_key(kwargs["slice_spec"]) for _, kwargs in calls]
        return _entry(ops.get_item), {}, [([x], {}) if k is None else ([x, k], {}) for (x, _), k in zip(calls, key, strict=True)]
    short = function.removeprefix("compat.v1.").removeprefix("math.").removeprefix("linalg.")
    if short not in _TABLE:
        raise ValueError(
            f"{where} calls the TensorFlow function tf.{function}, which has no counterpart here. Make the model without it, and load the "
            "file's weights with `model.load_weights`."
        )
    name, parameters, defaults = _TABLE[short]
    made = [_call(name, first, _renamed(kwargs, parameters, defaults, function, where)) for first, kwargs in calls]
    if any(config != made[0][0] for config, _ in made):
        raise ValueError(f"{where} calls tf.{function} with other settings each time.")
    return _entry(_op(name)), made[0][0], [(args, {}) for _, args in made]


def _op(name):
    if name in _INNER:
        return _INNER[name]
    found = ops
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _entry(op):
    return {"module": f"keras.src.{op.module}", "class_name": op.class_name, "registered_name": op.class_name}


def _renamed(kwargs, parameters, defaults, function, where):
    out = dict(defaults)
    for key, value in kwargs.items():
        if key in parameters:
            out[parameters[key]] = value
        elif key not in _IGNORED and value not in (None, False, 0, []):
            raise ValueError(f"{where} calls tf.{function}({key}={value!r}), which has no counterpart here.")
    if out.get("axis") == [] or ("axis" in out and out["axis"] is None):
        del out["axis"]
    if isinstance(sizes := out.get("indices_or_sections"), list):
        out["indices_or_sections"] = list(itertools.accumulate(sizes))[:-1]
    return out


def _call(name, first, kwargs):
    """Config and positional arguments of a call: what an op counts as input is an argument, the rest is config."""
    op = _op(name)
    bound = inspect.signature(op).bind(first, **kwargs)
    given = dict(bound.arguments)
    args = [value for key, value in given.items() if key in op.input_names]
    return {key: serialize_keras_object(value) for key, value in given.items() if key not in op.input_names}, args


def _key(spec):
    """The index of a slicing: a list stands for a tuple."""
    if isinstance(spec, list):
        return [_key(part) for part in spec]
    if isinstance(spec, dict) and set(spec) == {"start", "stop", "step"}:
        return {"class_name": "__slice__", "config": {name: spec[name] for name in ("start", "stop", "step")}}
    if isinstance(spec, dict) and spec.get("class_name") == "__ellipsis__":
        return {"class_name": "__ellipsis__", "config": {}}
    return spec
