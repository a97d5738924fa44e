"""What fused kernels can do with numbers: a function for each element-wise op that writes its code.

Each takes the emitter, the dtypes of the first operand and of the result, the operands (all scalars, or all vectors) and the
op's attributes. Truth values are ``i1`` here, and bytes in memory.
"""

import math

import numpy as np
from llvmlite import ir

from kerasish.backend.kernels import division, vmath
from kerasish.backend.kernels.emit import Value, f32, f64, i1, i8, i32, i64, lanes

TYPES = {"float32": f32, "float64": f64, "int32": i32, "int64": i64, "uint8": i8, "uint32": i32, "bool": i1}
UNSIGNED = ("uint8", "uint32", "bool")


def compare(sign):
    def step(k, d, result, a, b):
        if d in UNSIGNED:
            return Value(k, k.builder.icmp_unsigned(sign, a.ir, b.ir))
        return a._compare(b, sign)

    return step


def _float(k, condition, like):
    """1 where a condition holds, else 0."""
    return k.select(condition, k.const(1, like.type), k.const(0, like.type))


def _extreme(sign):
    def step(k, d, result, a, b):
        if d in UNSIGNED:
            return k.select(compare(sign)(k, d, d, a, b), a, b)
        return k.maximum(a, b) if sign == ">" else k.minimum(a, b)

    return step


maximum, minimum = _extreme(">"), _extreme("<")


def _clip(k, d, result, x, x_min=None, x_max=None):
    x = x if x_min is None else maximum(k, d, d, x, k.const(x_min, x.type))
    return x if x_max is None else minimum(k, d, d, x, k.const(x_max, x.type))


def _truth(k, d, x):
    return x if d == "bool" else x.differs(0)


def _cast(k, d, result, x):
    if result == "bool":
        return _truth(k, d, x)
    t = TYPES[result]
    if "float" in d and result in ("uint8", "uint32"):
        return x.to(i64 if result == "uint32" else i32).to(t)
    return x.to(t, signed=d not in UNSIGNED)


def _magnitude(k, d, result, x):
    if "float" in d:
        return k.abs(x)
    return x if d in UNSIGNED else k.select(x < 0, 0 - x, x)


def _sign(k, d, result, x):
    zero = k.select(x.differs(x), x, k.const(0, x.type))
    return k.select(x > 0, k.const(1, x.type), k.select(x < 0, k.const(-1, x.type), zero))


def _gate(k, d, result, g, x, low=0.0, high=math.inf):
    inside = x > low
    return _float(k, inside & (x < high) if high != math.inf else inside, g) * g


def _softplus_of_minus(k, x):
    return vmath.log1p(k, vmath.exp(k, -k.abs(x)))


def _leaky(k, d, result, x, negative_slope=0.2):
    y = x * negative_slope
    return k.maximum(x, y) if negative_slope <= 1 else k.minimum(x, y)


def _elu(k, d, result, x, alpha=1.0, inner=1.0):
    y = k.minimum(x, 0.0)
    return vmath.expm1(k, y / inner if inner != 1 else y) * alpha + k.maximum(x, 0.0)


def _gelu(k, d, result, x):
    slope = math.sqrt(8 / math.pi)
    return vmath.sigmoid(k, (x * x * (slope * 0.044715) + slope) * x) * x


def _wins(k, d, result, a, b):
    return (_float(k, a > b, a) + _float(k, a >= b, a)) * 0.5


def _heaviside(k, d, result, x, at_zero):
    y = k.select(x > 0, k.const(1, x.type), k.select(x < 0, k.const(0, x.type), x))
    return k.select(x.equals(0), at_zero, y)


def _nan_to_num(k, d, result, x, nan=0.0, posinf=None, neginf=None):
    largest = float(np.finfo(d).max)
    y = k.select(x.equals(math.inf), k.const(largest if posinf is None else posinf, x.type), x)
    y = k.select(x.equals(-math.inf), k.const(-largest if neginf is None else neginf, x.type), y)
    return k.select(x.differs(x), k.const(0.0 if nan is None else nan, x.type), y)


def _isclose(k, d, result, a, b, rtol=1e-5, atol=1e-8, equal_nan=False):
    near = (k.abs(a - b) <= k.abs(b) * rtol + atol) & (k.abs(b) < math.inf)
    near = near | a.equals(b)
    return near | (a.differs(a) & b.differs(b)) if equal_nan else near


def _sparse_plus(k, d, result, x):
    y = _clip(k, d, d, x + 1.0, 0.0, 2.0)
    return y * y * 0.25 + k.maximum(x - 1.0, 0.0)


def _logical(name):
    def step(k, d, result, a, *b):
        a, b = _truth(k, d, a), [_truth(k, d, x) for x in b]
        return getattr(a, name)(*b)

    return step


def _on_float(f):
    return lambda k, d, result, x, **attrs: f(k, x, **attrs)


def _arithmetic(name, for_bool):
    return lambda k, d, result, a, b: getattr(a, for_bool if d == "bool" else name)(b)


STEPS = {
    "add": _arithmetic("__add__", "__or__"),
    "subtract": _arithmetic("__sub__", "__xor__"),
    "multiply": _arithmetic("__mul__", "__and__"),
    "divide": lambda k, d, result, a, b: a / b,
    "fmod": division.fmod,
    "mod": division.mod,
    "floor_divide": division.floor_divide,
    "divide_no_nan": lambda k, d, result, a, b: k.select(b.equals(0), k.const(0, a.type), a / b),
    "negative": lambda k, d, result, x: -x,
    "reciprocal": _on_float(lambda k, x: 1.0 / x),
    "absolute": _magnitude,
    "fabs": _magnitude,
    "sign": _sign,
    "square": _on_float(lambda k, x: x * x),
    "sqrt": _on_float(lambda k, x: k.sqrt(x)),
    "rsqrt": _on_float(lambda k, x: 1.0 / k.sqrt(x)),
    "exp": _on_float(vmath.exp),
    "expm1": _on_float(vmath.expm1),
    "log": _on_float(vmath.log),
    "log1p": _on_float(vmath.log1p),
    "tanh": _on_float(vmath.tanh),
    "sigmoid": _on_float(vmath.sigmoid),
    "erf": _on_float(vmath.erf),
    "erfc": _on_float(vmath.erfc),
    "erfinv": _on_float(vmath.erfinv),
    "i0": _on_float(vmath.i0),
    "exp2": _on_float(vmath.exp2),
    "logaddexp": lambda k, d, result, a, b: vmath.logaddexp(k, a, b),
    "logaddexp2": lambda k, d, result, a, b: vmath.logaddexp(k, a, b, 2.0),
    "hypot": lambda k, d, result, a, b: vmath.hypot(k, a, b),
    "nextafter": lambda k, d, result, a, b: vmath.nextafter(k, a, b),
    "heaviside": _heaviside,
    "nan_to_num": _nan_to_num,
    "isclose": _isclose,
    "deg2rad": _on_float(lambda k, x: x * (math.pi / 180.0)),
    "rad2deg": _on_float(lambda k, x: x * (180.0 / math.pi)),
    "_power": lambda k, d, result, a, b: vmath.power(k, a, b),
    "softplus": _on_float(lambda k, x: _softplus_of_minus(k, x) + k.maximum(x, 0.0)),
    "log_sigmoid": _on_float(lambda k, x: k.minimum(x, 0.0) - _softplus_of_minus(k, x)),
    "silu": _on_float(lambda k, x: vmath.sigmoid(k, x) * x),
    "relu": lambda k, d, result, x: x if d in UNSIGNED else k.maximum(x, 0),
    "relu6": lambda k, d, result, x: _clip(k, d, d, x, 0, 6),
    "leaky_relu": _leaky,
    "_gate": _gate,
    "_leak": lambda k, d, result, g, x, slope: (_float(k, x >= 0, g) * (1 - slope) + slope) * g,
    "hard_sigmoid": lambda k, d, result, x: _clip(k, d, d, x + 3.0, 0.0, 6.0) / 6.0,
    "hard_tanh": lambda k, d, result, x: _clip(k, d, d, x, -1, 1),
    "hard_shrink": lambda k, d, result, x, threshold=0.5: _float(k, k.abs(x) > threshold, x) * x,
    "soft_shrink": lambda k, d, result, x, threshold=0.5: x - _clip(k, d, d, x, -threshold, threshold),
    "threshold": lambda k, d, result, x, threshold, default_value: k.select(x > threshold, x, k.const(default_value, x.type)),
    "elu": _elu,
    "celu": lambda k, d, result, x, alpha=1.0: _elu(k, d, result, x, alpha, alpha),
    "_gelu_tanh": _gelu,
    "_normal_cdf": _on_float(lambda k, x: (vmath.erf(k, x * math.sqrt(0.5)) + 1.0) * 0.5),
    "sparse_sigmoid": lambda k, d, result, x: _clip(k, d, d, x + 1.0, 0.0, 2.0) * 0.5,
    "sparse_plus": _sparse_plus,
    "softsign": _on_float(lambda k, x: x / (k.abs(x) + 1.0)),
    "squareplus": _on_float(lambda k, x, b=4: (k.sqrt(x * x + float(b)) + x) * 0.5),
    "maximum": maximum,
    "minimum": minimum,
    "_clip": _clip,
    "_wins": _wins,
    "_slope_of_absolute": lambda k, d, result, x: _float(k, x >= 0, x) * 2.0 - 1.0,
    "choose": lambda k, d, result, c, a, b: k.select(_truth(k, d, c), a, b),
    "equal": compare("=="),
    "not_equal": compare("!="),
    "less": compare("<"),
    "less_equal": compare("<="),
    "greater": compare(">"),
    "greater_equal": compare(">="),
    "logical_and": _logical("__and__"),
    "logical_or": _logical("__or__"),
    "logical_xor": _logical("__xor__"),
    "logical_not": _logical("invert"),
    "isfinite": _on_float(lambda k, x: k.abs(x) < math.inf),
    "isnan": _on_float(lambda k, x: x.differs(x)),
    "signbit": lambda k, d, result, x: x.bits(i32 if d == "float32" else i64) < 0,
    "_half_turns": lambda k, d, result, x: k.select(x.differs(x), x, _float(k, STEPS["signbit"](k, d, d, x), x) * math.pi),
    "isinf": _on_float(lambda k, x: k.abs(x).equals(math.inf)),
    "floor": _on_float(lambda k, x: k.intrinsic("floor", x)),
    "ceil": _on_float(lambda k, x: k.intrinsic("ceil", x)),
    "trunc": _on_float(lambda k, x: k.intrinsic("trunc", x)),
    "cast": _cast,
    "masked_scale": lambda k, d, result, x, mask, scale: k.select(mask, x, k.const(0, x.type)) * scale,
    "_scale_and_shift": lambda k, d, result, x, a, b: x * a + b,
    "_sigmoid_crossentropy": lambda k, d, result, t, x: _softplus_of_minus(k, x) + (k.maximum(x, 0.0) - x * t),
    "zeros_like": lambda k, d, result, x: k.const(0, _like(TYPES[result], x)),
    "ones_like": lambda k, d, result, x: k.const(1, _like(TYPES[result], x)),
}


def _like(t, x):
    return ir.VectorType(t, lanes(x.type)) if lanes(x.type) else t
