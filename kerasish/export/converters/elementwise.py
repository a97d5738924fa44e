"""Arithmetic, comparison, logic, bits, rounding, exponentials, trigonometry."""

import math

from kerasish.backend.autodiff.dtypes import is_float
from kerasish.export.graph import CannotExport, onnx, simple

simple(
    negative="Neg", sqrt="Sqrt", exp="Exp", log="Log", sin="Sin", cos="Cos", tan="Tan", arcsin="Asin",
    arccos="Acos", arctan="Atan", sinh="Sinh", cosh="Cosh", tanh="Tanh", arcsinh="Asinh", arccosh="Acosh", arctanh="Atanh",
    floor="Floor", ceil="Ceil", erf="Erf", sign="Sign", reciprocal="Reciprocal", subtract="Sub", divide="Div", _root="Sqrt",
    copy="Identity", real="Identity", conjugate="Identity",
)  # fmt: skip


# ---- arithmetic
@onnx("absolute", "fabs")
def absolute(g, x):
    return g.Identity(x) if x.dtype == "bool" else g.Abs(x)


def _or_of_booleans(operator, of_booleans):
    return lambda g, *xs: getattr(g, of_booleans if xs[0].dtype == "bool" else operator)(*xs)


onnx("add")(_or_of_booleans("Add", "Or"))
onnx("multiply")(_or_of_booleans("Mul", "And"))
for _name, _operator in {"and": "And", "or": "Or", "xor": "Xor"}.items():
    onnx(f"bitwise_{_name}")(_or_of_booleans(f"Bitwise{_operator}", _operator))
onnx("bitwise_invert")(_or_of_booleans("BitwiseNot", "Not"))


def _wide_pair(operator):
    """An operator that the runtime has for few integers."""

    def convert(g, x1, x2):
        return g.cast(getattr(g, operator)(g.wide(x1), g.wide(x2)), x1.dtype)

    return convert


onnx("maximum")(_wide_pair("Max"))
onnx("minimum")(_wide_pair("Min"))
onnx("_power")(_wide_pair("Pow"))


@onnx("choose")
def choose(g, condition, x1, x2):
    return g.where(condition, x1, x2)


@onnx("divide_no_nan")
def divide_no_nan(g, x1, x2):
    return g.where(g.Equal(x2, 0), 0, g.Div(x1, x2))


@onnx("mod")
def mod(g, x1, x2):
    if not is_float(x1.dtype):
        return g.Mod(x1, x2)
    rest = g.Mod(x1, x2, fmod=1)  # has the sign of x1
    other_side = g.And(g.Not(g.Equal(rest, 0)), g.Xor(g.Less(rest, 0), g.Less(x2, 0)))
    return g.where(other_side, g.Add(rest, x2), rest)


@onnx("fmod")
def fmod(g, x1, x2):
    return g.Mod(x1, x2, fmod=1)


@onnx("floor_divide")
def floor_divide(g, x1, x2):
    return g.Floor(g.Div(x1, x2)) if is_float(x1.dtype) else g.Div(g.Sub(x1, g.Mod(x1, x2)), x2)


@onnx("square")
def square(g, x):
    return g.Mul(x, x)


@onnx("rsqrt")
def rsqrt(g, x):
    return g.Reciprocal(g.Sqrt(x))


@onnx("cbrt")
def cbrt(g, x):
    return g.Mul(g.Sign(x), g.Pow(g.Abs(x), 1 / 3))


@onnx("hypot")
def hypot(g, x1, x2):
    return g.Sqrt(g.Add(g.Mul(x1, x1), g.Mul(x2, x2)))


@onnx("deg2rad")
def deg2rad(g, x):
    return g.Mul(x, math.pi / 180)


@onnx("rad2deg")
def rad2deg(g, x):
    return g.Mul(x, 180 / math.pi)


# ---- exponentials
@onnx("exp2")
def exp2(g, x):
    return g.Pow(g.constant(2, x.dtype), x)


@onnx("expm1")
def expm1(g, x):
    half = g.Mul(x, 0.5)
    return g.Mul(g.Mul(g.Sinh(half), g.Exp(half)), 2)  # no digits are lost near 0


@onnx("log1p")
def log1p(g, x):
    y = g.Add(x, 1)
    lost = g.Div(g.Sub(x, g.Sub(y, 1)), y)
    return g.where(g.Or(g.IsInf(y), g.LessOrEqual(y, 0)), g.Log(y), g.Add(g.Log(y), lost))


@onnx("log2")
def log2(g, x):
    return g.Mul(g.Log(x), 1 / math.log(2))


@onnx("log10")
def log10(g, x):
    return g.Mul(g.Log(x), 1 / math.log(10))


def _log_of_sum(g, x1, x2, base):
    apart = g.Mul(g.Abs(g.Sub(x1, x2)), -math.log(base))
    more = g.Mul(g.Log(g.Add(g.Exp(apart), 1)), 1 / math.log(base))
    return g.where(g.Equal(x1, x2), g.Add(x1, math.log(2, base)), g.Add(g.Max(x1, x2), more))


@onnx("logaddexp")
def logaddexp(g, x1, x2):
    return _log_of_sum(g, x1, x2, math.e)


@onnx("logaddexp2")
def logaddexp2(g, x1, x2):
    return _log_of_sum(g, x1, x2, 2)


@onnx("ldexp")
def ldexp(g, x1, x2):
    dtype = g.outputs[0].dtype
    return g.Mul(g.cast(x1, dtype), g.Pow(g.constant(2, dtype), g.cast(x2, dtype)))


@onnx("erfc")
def erfc(g, x):
    return g.Sub(g.constant(1, x.dtype), g.Erf(x))


# ---- trigonometry
@onnx("arctan2")
def arctan2(g, x1, x2):
    zero = g.And(g.Equal(x1, 0), g.Equal(x2, 0))
    angle = g.Atan(g.Div(x1, g.where(zero, 1, x2)))
    turn = g.where(g.Less(x1, 0), g.constant(-math.pi, x1.dtype), math.pi)
    return g.Add(angle, g.where(g.Less(x2, 0), turn, 0))


@onnx("sinc")
def sinc(g, x):
    angle = g.Mul(x, math.pi)
    return g.where(g.Equal(x, 0), 1, g.Div(g.Sin(angle), angle))


# ---- rounding and limits
@onnx("trunc")
def trunc(g, x):
    return g.Mul(g.Sign(x), g.Floor(g.Abs(x))) if is_float(x.dtype) else g.Identity(x)


@onnx("round")
def round(g, x, decimals):
    if not is_float(x.dtype) and decimals >= 0:
        return g.Identity(x)
    if not is_float(x.dtype):
        raise CannotExport("integers can't be rounded to tens there")
    return g.Div(g.Round(g.Mul(x, 10.0**decimals)), 10.0**decimals) if decimals else g.Round(x)


@onnx("_clip")
def clip(g, x, x_min, x_max):
    wide = g.wide(x)
    low, high = (None if limit is None else g.constant(limit, wide.dtype) for limit in (x_min, x_max))
    return g.cast(g.Clip(wide, low, high), x.dtype)


def _unless_nan(operator):
    def convert(g, x1, x2):
        if not is_float(x1.dtype):
            return _wide_pair(operator)(g, x1, x2)
        return g.where(g.IsNaN(x1), x2, g.where(g.IsNaN(x2), x1, getattr(g, operator)(x1, x2)))

    return convert


onnx("fmax")(_unless_nan("Max"))
onnx("fmin")(_unless_nan("Min"))


@onnx("nan_to_num")
def nan_to_num(g, x, nan, posinf, neginf):
    limits = {"float16": 65504.0, "float32": 3.4028234663852886e38, "float64": 1.7976931348623157e308, "bfloat16": 3.3895313892515355e38}
    if not is_float(x.dtype):
        return g.Identity(x)
    y = g.where(g.IsNaN(x), g.constant(nan, x.dtype), x)
    y = g.where(g.IsInf(y, detect_negative=0), g.constant(limits[x.dtype] if posinf is None else posinf, x.dtype), y)
    return g.where(g.IsInf(y, detect_positive=0), g.constant(-limits[x.dtype] if neginf is None else neginf, x.dtype), y)


@onnx("heaviside")
def heaviside(g, x1, x2):
    return g.where(g.Equal(x1, 0), x2, g.cast(g.Greater(x1, 0), x1.dtype))


# ---- comparison
def _compare(operator, negate=False):
    def convert(g, x1, x2):
        y = getattr(g, operator)(g.wide(x1), g.wide(x2))
        return g.Not(y) if negate else y

    return convert


for _name, _operator in {"equal": "Equal", "less": "Less", "less_equal": "LessOrEqual", "greater": "Greater"}.items():
    onnx(_name)(_compare(_operator))
onnx("greater_equal")(_compare("GreaterOrEqual"))
onnx("not_equal")(_compare("Equal", negate=True))


@onnx("isclose")
def isclose(g, x1, x2, rtol, atol, equal_nan):
    near = g.LessOrEqual(g.Abs(g.Sub(x1, x2)), g.Add(g.Mul(g.Abs(x2), rtol), atol))
    y = g.Or(g.Equal(x1, x2), g.And(near, g.Not(g.IsInf(x2)))) if is_float(x1.dtype) else near
    return g.Or(y, g.And(g.IsNaN(x1), g.IsNaN(x2))) if equal_nan else y


@onnx("isnan")
def isnan(g, x):
    return g.IsNaN(x) if is_float(x.dtype) else g.And(g.Equal(x, x), g.constant(False))


def _is_infinite(**signs):
    def convert(g, x):
        return g.IsInf(x, **signs) if is_float(x.dtype) else g.Not(g.Equal(x, x))

    return convert


onnx("isinf")(_is_infinite())
onnx("isposinf")(_is_infinite(detect_negative=0))
onnx("isneginf")(_is_infinite(detect_positive=0))


@onnx("isfinite")
def isfinite(g, x):
    return g.Not(g.Or(g.IsNaN(x), g.IsInf(x))) if is_float(x.dtype) else g.Equal(x, x)


@onnx("signbit")
def signbit(g, x):
    return g.Less(g.where(g.Equal(x, 0), g.Reciprocal(x), x), 0) if is_float(x.dtype) else g.Less(g.wide(x), 0)


@onnx("_half_turns")
def half_turns(g, x):
    return g.where(g.IsNaN(x), x, g.where(signbit(g, x), g.constant(math.pi, x.dtype), 0))


@onnx("isreal")
def isreal(g, x):
    return g.Or(g.Equal(x, x), g.constant(True))


@onnx("imag")
def imag(g, x):
    return g.expand(g.constant(0, x.dtype), x.shape)


# ---- logic and bits
def _logical(operator):
    return lambda g, *xs: getattr(g, operator)(*[g.cast(x, "bool") for x in xs])


for _name, _operator in {"and": "And", "or": "Or", "xor": "Xor", "not": "Not"}.items():
    onnx(f"logical_{_name}")(_logical(_operator))


@onnx("bitwise_left_shift")
def left_shift(g, x, y):
    return g.Mul(x, g.cast(g.Pow(g.constant(2, "int64"), g.cast(y, "int64")), x.dtype))


@onnx("bitwise_right_shift")
def right_shift(g, x, y):
    return floor_divide(g, x, g.cast(g.Pow(g.constant(2, "int64"), g.cast(y, "int64")), x.dtype))
