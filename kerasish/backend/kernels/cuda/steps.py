"""What fused kernels can do with numbers: for each element-wise op a function that gives its C expression.

Each takes the dtypes of the first operand and of the result, the operands as C names and the op's attributes; names and order as in
``kernels/steps.py``. Halves come as float. Functions of CUDA's own mathematics library are named without the ``f`` of float.
"""

import math

from kerasish.backend.kernels.cuda.prelude import REGISTER, number

_LARGEST = {"float16": 65504.0, "bfloat16": float.fromhex("0x1.fep127"), "float32": float.fromhex("0x1.fffffep127"),
            "float64": float.fromhex("0x1.fffffffffffffp1023")}  # fmt: skip


def _f(name, d):
    """The function for a dtype."""
    return name if d == "float64" else name + "f"


def _call(name):
    return lambda d, result, *xs: f"{_f(name, d)}({', '.join(xs)})"


def _infix(sign, for_bool=None):
    return lambda d, result, a, b: f"{a} {for_bool if d == 'bool' and for_bool else sign} {b}"


def _n(value, d):
    return number(value, d)


def _times(d, a, b):
    """A product that no later sum takes in as one instruction: what two passes over a row compute must be the same number."""
    return f"__{'d' if d == 'float64' else 'f'}mul_rn({a}, {b})" if "float" in d else f"{a} * {b}"


def _clip(d, result, x, x_min=None, x_max=None):
    x = x if x_min is None else f"larger({x}, {_n(x_min, d)})"
    return x if x_max is None else f"smaller({x}, {_n(x_max, d)})"


def _cast(d, result, x):
    if result == "bool":
        return f"{x} != 0"
    if "float" in d and result in ("uint8", "uint32"):
        return f"(i64){x}"
    return x


def _gate(d, result, g, x, low=0.0, high=math.inf):
    inside = f"{x} > {_n(low, d)}" + (f" && {x} < {_n(high, d)}" if high != math.inf else "")
    return f"(({inside}) ? {g} : 0 * {g})"


def _sigmoid(d, x):
    return f"1 / ({_f('exp', d)}(-({x} < -{_edge(d)} ? -{_edge(d)} : {x})) + 1)"


def _edge(d):
    """Beyond, exp is infinite: sigmoid is never quite 0."""
    return _n(709.0 if d == "float64" else 88.0, d)


def _softplus_of_minus(d, x):
    return f"{_f('log1p', d)}({_f('exp', d)}(-{_f('fabs', d)}({x})))"


def _leaky(d, result, x, negative_slope=0.2):
    return f"{'larger' if negative_slope <= 1 else 'smaller'}({x}, {x} * {_n(negative_slope, d)})"


def _elu(d, result, x, alpha=1.0, inner=1.0):
    low = f"smaller({x}, {_n(0, d)})"
    return f"{_f('expm1', d)}({low} / {_n(inner, d)}) * {_n(alpha, d)} + larger({x}, {_n(0, d)})"


def _gelu(d, result, x):
    slope = math.sqrt(8 / math.pi)
    inner = f"(({x} * {x} * {_n(slope * 0.044715, d)} + {_n(slope, d)}) * {x})"
    return _times(d, x, _sigmoid(d, inner))


def _nan_to_num(d, result, x, nan=0.0, posinf=None, neginf=None):
    high, low = (_LARGEST[d] if posinf is None else posinf), (-_LARGEST[d] if neginf is None else neginf)
    inf = _n(math.inf, d)
    return f"{x} != {x} ? {_n(nan or 0.0, d)} : {x} == {inf} ? {_n(high, d)} : {x} == -{inf} ? {_n(low, d)} : {x}"


def _isclose(d, result, a, b, rtol=1e-5, atol=1e-8, equal_nan=False):
    size = f"{_f('fabs', d)}({b})"
    near = f"({_f('fabs', d)}({a} - {b}) <= {size} * {_n(rtol, d)} + {_n(atol, d)} && {size} < {_n(math.inf, d)}) || {a} == {b}"
    return f"{near} || ({a} != {a} && {b} != {b})" if equal_nan else near


def _logaddexp(base):
    def step(d, result, a, b):
        high, low = f"larger({a}, {b})", f"smaller({a}, {b})"
        gap = f"{_f('exp' if base == 'e' else 'exp2', d)}({low} - {high})"
        log = f"{_f('log1p', d)}({gap})" + ("" if base == "e" else f" * {_n(1 / math.log(2), d)}")
        return f"{a} == {b} ? {a} + {_n(1 if base == '2' else math.log(2), d)} : {high} + {log}"

    return step


def _sparse_plus(d, result, x):
    y = _clip(d, d, f"({x} + 1)", 0.0, 2.0)
    return f"{y} * {y} * {_n(0.25, d)} + larger({x} - 1, {_n(0, d)})"


def _magnitude(d, result, x):
    if "float" in d:
        return f"{_f('fabs', d)}({x})"
    return x if d in ("uint8", "uint32", "bool") else f"{x} < 0 ? 0 - {x} : {x}"


def _truths(sign):
    return lambda d, result, a, b: f"({a} != 0) {sign} ({b} != 0)"


def _constant(value):
    return lambda d, result, x: number(value, result)


def _with(pattern):
    """An expression with x, y for the operands and numbers in braces, made constants of the dtype."""

    def step(d, result, x, y=None, **attrs):
        values = {key: _n(value, d) for key, value in attrs.items()}
        return pattern.format(x=x, y=y, zero=_n(0, d), one=_n(1, d), half=_n(0.5, d), **values)

    return step


STEPS = {
    "add": _infix("+", "|"),
    "subtract": _infix("-", "^"),
    "multiply": lambda d, result, a, b: f"{a} & {b}" if d == "bool" else _times(d, a, b),
    "divide": _infix("/"),
    "fmod": _with("remainder_of({x}, {y})"),
    "mod": _with("modulo({x}, {y})"),
    "floor_divide": _with("floor_quotient({x}, {y})"),
    "divide_no_nan": _with("{y} == 0 ? {zero} : {x} / {y}"),
    "negative": _with("-{x}"),
    "reciprocal": _with("1 / {x}"),
    "absolute": _magnitude,
    "fabs": _magnitude,
    "sign": _with("{x} > 0 ? {one} : {x} < 0 ? -{one} : {x} != {x} ? {x} : {zero}"),
    "square": lambda d, result, x: _times(d, x, x),
    "sqrt": _call("sqrt"),
    "rsqrt": lambda d, result, x: f"1 / {_f('sqrt', d)}({x})",
    **{name: _call(name) for name in ("exp", "expm1", "log", "log1p", "tanh", "erf", "erfc", "erfinv", "exp2", "hypot", "nextafter",
                                      "floor", "ceil", "trunc")},
    "i0": lambda d, result, x: f"{_f('fabs', d)}({x}) == {_n(math.inf, d)} ? {_n(math.nan, d)} : {_f('cyl_bessel_i0', d)}({x})",
    "sigmoid": lambda d, result, x: _sigmoid(d, x),
    "logaddexp": _logaddexp("e"),
    "logaddexp2": _logaddexp("2"),
    "heaviside": _with("{x} == 0 ? {y} : {x} > 0 ? {one} : {x} < 0 ? {zero} : {x}"),
    "nan_to_num": _nan_to_num,
    "isclose": _isclose,
    "deg2rad": lambda d, result, x: _times(d, x, _n(math.pi / 180, d)),
    "rad2deg": lambda d, result, x: _times(d, x, _n(180 / math.pi, d)),
    "_power": _call("pow"),
    "softplus": lambda d, result, x: f"{_softplus_of_minus(d, x)} + larger({x}, {_n(0, d)})",
    "log_sigmoid": lambda d, result, x: f"smaller({x}, {_n(0, d)}) - {_softplus_of_minus(d, x)}",
    "silu": lambda d, result, x: _times(d, x, _sigmoid(d, x)),
    "relu": _with("larger({x}, {zero})"),
    "relu6": lambda d, result, x: _clip(d, d, x, 0, 6),
    "leaky_relu": _leaky,
    "_gate": _gate,
    "_leak": lambda d, result, g, x, slope: f"{x} >= 0 ? {g} : {g} * {_n(slope, d)}",
    "hard_sigmoid": lambda d, result, x: f"{_clip(d, d, f'({x} + 3)', 0, 6)} / 6",
    "hard_tanh": lambda d, result, x: _clip(d, d, x, -1, 1),
    "hard_shrink": lambda d, result, x, threshold=0.5: f"{x} * ({_f('fabs', d)}({x}) > {_n(threshold, d)} ? 1 : 0)",
    "soft_shrink": lambda d, result, x, threshold=0.5: f"{x} - {_clip(d, d, x, -threshold, threshold)}",
    "threshold": _with("{x} > {threshold} ? {x} : {default_value}"),
    "elu": _elu,
    "celu": lambda d, result, x, alpha=1.0: _elu(d, result, x, alpha, alpha),
    "_gelu_tanh": _gelu,
    "_normal_cdf": lambda d, result, x: _times(d, f"({_f('erf', d)}({x} * {_n(math.sqrt(0.5), d)}) + 1)", _n(0.5, d)),
    "sparse_sigmoid": lambda d, result, x: f"{_clip(d, d, f'({x} + 1)', 0, 2)} * {_n(0.5, d)}",
    "sparse_plus": _sparse_plus,
    "softsign": lambda d, result, x: f"{x} / ({_f('fabs', d)}({x}) + 1)",
    "squareplus": lambda d, result, x, b=4: f"({_f('sqrt', d)}({x} * {x} + {_n(b, d)}) + {x}) * {_n(0.5, d)}",
    "maximum": _with("larger({x}, {y})"),
    "minimum": _with("smaller({x}, {y})"),
    "_clip": _clip,
    "_wins": _with("{x} > {y} ? {one} : {x} == {y} ? {half} : {zero}"),
    "_slope_of_absolute": _with("{x} >= 0 ? {one} : -{one}"),
    "choose": lambda d, result, c, a, b: f"{c} != 0 ? {a} : {b}",
    "equal": _infix("=="),
    "not_equal": _infix("!="),
    "less": _infix("<"),
    "less_equal": _infix("<="),
    "greater": _infix(">"),
    "greater_equal": _infix(">="),
    "logical_and": _truths("&&"),
    "logical_or": _truths("||"),
    "logical_xor": _truths("!="),
    "logical_not": _with("{x} == 0"),
    "isfinite": lambda d, result, x: f"{_f('fabs', d)}({x}) < {_n(math.inf, d)}",
    "signbit": lambda d, result, x: f"{_f('copysign', d)}({_n(1, d)}, {x}) < 0",
    "_half_turns": lambda d, result, x: f"{x} != {x} ? {x} : {_f('copysign', d)}({_n(1, d)}, {x}) < 0 ? {_n(math.pi, d)} : {_n(0, d)}",
    "isnan": _with("{x} != {x}"),
    "isinf": lambda d, result, x: f"{_f('fabs', d)}({x}) == {_n(math.inf, d)}",
    "cast": _cast,
    "masked_scale": lambda d, result, x, mask, scale: _times(d, f"({mask} ? {x} : 0)", _n(scale, d)),
    "_scale_and_shift": lambda d, result, x, a, b: f"{x} * {a} + {b}",
    "_sigmoid_crossentropy": lambda d, result, t, x: f"{_softplus_of_minus(d, x)} + (larger({x}, {_n(0, d)}) - {x} * {t})",
    "zeros_like": _constant(0),
    "ones_like": _constant(1),
}  # fmt: skip


def expression(name, attrs, dtypes, dtype, operands, columns):
    """The C expression of a step; ``columns``: the size of a row."""
    attrs = dict(attrs)
    if name == "number":
        return number(attrs["value"], dtype)
    if name == "size":
        return f"({REGISTER[dtype]}){columns}"
    return STEPS[name](dtypes[0] if dtypes else dtype, dtype, *operands, **attrs)
