"""Element-wise ops: arithmetic, comparison, logic, bits, rounding, exponentials, trigonometry.

Where an op is not smooth its gradient is JAX's: 1 for ``absolute`` at 0, one half for each side of a tie in ``maximum``.
"""

import math

import numpy as np

from kerasish.backend import special
from kerasish.backend.autodiff.dtypes import (
    compare,
    floating,
    integral,
    is_float,
    keep,
    magnitude,
    numeric,
    promote_dtypes,
    result_type,
    to,
)
from kerasish.backend.autodiff.op import add as add
from kerasish.backend.autodiff.op import as_tensor, cast, composite, op
from kerasish.backend.autodiff.shapes import broadcast, same

_LN2, _LN10, _SQRT_PI = math.log(2.0), math.log(10.0), math.sqrt(math.pi)
_NUMBERS = (int, float)


# ---- what gradient rules need
def _choice(dtypes, attrs):
    """The condition stays as it is, the other two are promoted."""
    common = promote_dtypes(dtypes[1:])
    return (None, common, common), common


@op(broadcast, [None, lambda g, y, c, x1, x2: choose(c, g, 0.0), lambda g, y, c, x1, x2: choose(c, 0.0, g)], _choice)
def choose(xp, condition, x1, x2):
    """``x1`` where the condition holds, else ``x2``: the three-argument half of ``where``, for gradient rules and other ops."""
    return xp.where(condition, x1, x2)


@op(broadcast, [None, None])
def _wins(xp, x1, x2):
    """1 where ``x1 > x2``, one half where they are equal, else 0."""
    y = (x1 > x2).astype(x1.dtype)
    y += x1 >= x2
    y *= 0.5
    return y


@op(same, [None])
def _slope_of_absolute(xp, x):
    """1 from 0 upwards, -1 below, as in JAX."""
    y = (x >= 0).astype(x.dtype)
    y *= 2
    y -= 1
    return y


# ---- arithmetic
@op(broadcast, [lambda g, y, x1, x2: g, lambda g, y, x1, x2: -g])
def subtract(xp, x1, x2, out=None):
    """Difference, element by element (``keras.ops.subtract``).

    >>> subtract([3, 4], 1).tolist()
    [2, 3]
    """
    return xp.subtract(x1, x2, out=out)


@op(broadcast, [lambda g, y, x1, x2: g * x2, lambda g, y, x1, x2: g * x1])
def multiply(xp, x1, x2, out=None):
    """Product, element by element (``keras.ops.multiply``).

    >>> multiply([3, 4], 2).tolist()
    [6, 8]
    """
    return xp.multiply(x1, x2, out=out)


@op(broadcast, [lambda g, y, x1, x2: g / x2, lambda g, y, x1, x2: -g * y / x2], floating)
def divide(xp, x1, x2, out=None):
    """Quotient, element by element; integers become floats (``keras.ops.divide``).

    >>> divide([3, 4], 2).tolist()
    [1.5, 2.0]
    """
    return xp.divide(x1, x2, out=out)


@composite
def true_divide(x1, x2):
    """The same as :func:`divide` (``keras.ops.true_divide``).

    >>> float(true_divide(1, 4))
    0.25
    """
    return divide(x1, x2)


@op(broadcast, [lambda g, y, x1, x2: divide_no_nan(g, x2), lambda g, y, x1, x2: -divide_no_nan(g * y, x2)], floating)
def divide_no_nan(xp, x1, x2):
    """Quotient, 0 where the divisor is 0 (``keras.ops.divide_no_nan``).

    >>> divide_no_nan([1.0, 2.0], [0.0, 4.0]).tolist()
    [0.0, 0.5]
    """
    return xp.where(x2 == 0, xp.zeros((), x1.dtype), xp.divide(x1, x2))


@op(broadcast, [None, None], numeric)
def floor_divide(xp, x1, x2, out=None):
    """Quotient rounded down (``keras.ops.floor_divide``).

    >>> floor_divide([7, -7], 2).tolist()
    [3, -4]
    """
    return xp.floor_divide(x1, x2, out=out)


@op(broadcast, [lambda g, y, x1, x2: g, lambda g, y, x1, x2: -g * floor_divide(x1, x2)], numeric)
def mod(xp, x1, x2, out=None):
    """Remainder with the divisor's sign, as Python's ``%`` (``keras.ops.mod``).

    >>> mod([7, -7], 3).tolist()
    [1, 2]
    """
    return xp.mod(x1, x2, out=out)


@op(broadcast, [lambda g, y, x1, x2: g, lambda g, y, x1, x2: -g * trunc(x1 / x2)], numeric)
def fmod(xp, x1, x2, out=None):
    """Remainder with the dividend's sign, as C's ``fmod`` (``keras.ops.fmod``).

    >>> fmod([7, -7], 3).tolist()
    [1, -1]
    """
    return xp.fmod(x1, x2, out=out)


def _power_base(g, y, x1, x2):
    """Without the choices 0 ** 0 would give 0 * inf."""
    constant = equal(x2, 0.0)
    return g * choose(constant, 0.0, x2 * _power(x1, choose(constant, 1.0, x2 - 1.0)))


def _power_exponent(g, y, x1, x2):
    return g * y * log(choose(equal(x1, 0.0), 1.0, x1))


@op(broadcast, [_power_base, _power_exponent], numeric)
def _power(xp, x1, x2, out=None):
    return xp.power(x1, x2, out=out)


_QUICK_POWERS = {  # a general power takes many times as long
    2: lambda x: square(x),
    3: lambda x: x * square(x),
    0.5: lambda x: sqrt(x),
    -0.5: lambda x: rsqrt(x),
    -1: lambda x: reciprocal(x),
}


@composite
def power(x1, x2):
    """``x1`` to the power of ``x2``, element by element (``keras.ops.power``).

    >>> power([1.0, 2.0, 3.0], 2).tolist()
    [1.0, 4.0, 9.0]
    """
    if type(x2) in (int, float) and x2 in _QUICK_POWERS:
        x1 = as_tensor(x1)
        dtype = result_type(x1.dtype, type(x2))
        if x2 > 0 or is_float(dtype):
            return _QUICK_POWERS[x2](as_tensor(x1, dtype))
    return _power(x1, x2)


@op(same, [lambda g, y, x: -g])
def negative(xp, x, out=None):
    """The number with the other sign (``keras.ops.negative``).

    >>> negative([1, -2]).tolist()
    [-1, 2]
    """
    return xp.negative(x, out=out)


@op(same, [lambda g, y, x: -g * y * y], floating)
def reciprocal(xp, x, out=None):
    """One divided by ``x`` (``keras.ops.reciprocal``).

    >>> reciprocal([2, 4]).tolist()
    [0.5, 0.25]
    """
    return xp.reciprocal(x, out=out)


def _absolute_gradient(g, y, x):
    """Of complex numbers their direction, mirrored."""
    return g * (divide_no_nan(conjugate(x), y) if "complex" in x.dtype else _slope_of_absolute(x))


@op(same, [_absolute_gradient], magnitude)
def absolute(xp, x, out=None):
    """The number without its sign; of complex numbers the length (``keras.ops.absolute``).

    >>> absolute([1, -2]).tolist()
    [1, 2]
    """
    return xp.absolute(x, out=out)


abs = absolute


def _real_floating(dtypes, attrs):
    if "complex" in promote_dtypes(dtypes):
        raise TypeError(f"fabs does not support complex inputs. Received: dtype={dtypes[0]}")
    return floating(dtypes, attrs)


@op(same, [lambda g, y, x: g * _slope_of_absolute(x)], _real_floating)
def fabs(xp, x, out=None):
    """The number without its sign, always a float; TypeError for complex numbers (``keras.ops.fabs``).

    >>> fabs([1, -2]).tolist()
    [1.0, 2.0]
    """
    return xp.fabs(x, out=out)


@op(same, [None])
def sign(xp, x, out=None):
    """-1, 0 or 1 (``keras.ops.sign``).

    >>> sign([-3.0, 0.0, 2.0]).tolist()
    [-1.0, 0.0, 1.0]
    """
    return xp.sign(x, out=out)


@op(same, [None], to("bool"))
def signbit(xp, x, out=None):
    """Whether the sign bit is set: of negative numbers and of -0.0 (``keras.ops.signbit``).

    >>> signbit([-1.0, -0.0, 0.0]).tolist()
    [True, True, False]
    """
    return xp.signbit(x, out=out)


@op(same, [lambda g, y, x: g * (2.0 * x)], numeric)
def square(xp, x, out=None):
    """``x`` times itself (``keras.ops.square``).

    >>> square([2, -3]).tolist()
    [4, 9]
    """
    return xp.square(x, out=out)


@op(same, [lambda g, y, x: g * (0.5 / y)], floating)
def sqrt(xp, x, out=None):
    """Square root (``keras.ops.sqrt``).

    >>> sqrt([4, 9]).tolist()
    [2.0, 3.0]
    """
    return xp.sqrt(x, out=out)


@op(same, [lambda g, y, x: g * (-0.5 * y / x)], floating, module="ops.math")
def rsqrt(xp, x, out=None):
    """One divided by the square root (``keras.ops.rsqrt``).

    >>> float(rsqrt(4.0))
    0.5
    """
    y = xp.sqrt(x, out=out)
    return xp.reciprocal(y, out=y if y.ndim else out)


@op(same, [lambda g, y, x: g / (3.0 * y * y)], floating)
def cbrt(xp, x, out=None):
    """Cube root (``keras.ops.cbrt``).

    >>> cbrt([1.0, -1.0]).tolist()
    [1.0, -1.0]
    """
    return xp.cbrt(x, out=out)


@op(broadcast, [lambda g, y, x1, x2: g * divide_no_nan(x1, y), lambda g, y, x1, x2: g * divide_no_nan(x2, y)], floating)
def hypot(xp, x1, x2, out=None):
    """Length of the hypotenuse, ``sqrt(x1**2 + x2**2)`` without overflow (``keras.ops.hypot``).

    >>> float(hypot(3.0, 4.0))
    5.0
    """
    return xp.hypot(x1, x2, out=out)


# ---- exponentials and logarithms
@op(same, [lambda g, y, x: g * y], floating)
def exp(xp, x, out=None):
    """e to the power of ``x`` (``keras.ops.exp``).

    >>> float(exp(0.0))
    1.0
    """
    return xp.exp(x, out=out)


@op(same, [lambda g, y, x: g * y * _LN2], floating)
def exp2(xp, x, out=None):
    """2 to the power of ``x`` (``keras.ops.exp2``).

    >>> float(exp2(3.0))
    8.0
    """
    return xp.exp2(x, out=out)


@op(same, [lambda g, y, x: g * (y + 1.0)], floating)
def expm1(xp, x, out=None):
    """``exp(x) - 1``, exact near 0 (``keras.ops.expm1``).

    >>> float(expm1(0.0))
    0.0
    """
    return xp.expm1(x, out=out)


@op(same, [lambda g, y, x: g / x], floating)
def log(xp, x, out=None):
    """Natural logarithm (``keras.ops.log``).

    >>> float(log(1.0))
    0.0
    """
    return xp.log(x, out=out)


@op(same, [lambda g, y, x: g / (x * _LN10)], floating)
def log10(xp, x, out=None):
    """Logarithm to the base 10 (``keras.ops.log10``).

    >>> float(log10(1.0))
    0.0
    """
    return xp.log10(x, out=out)


@op(same, [lambda g, y, x: g / (1.0 + x)], floating, class_name="Log1p")
def log1p(xp, x, out=None):
    """``log(1 + x)``, exact near 0 (``keras.ops.log1p``).

    >>> float(log1p(0.0))
    0.0
    """
    return xp.log1p(x, out=out)


@op(same, [lambda g, y, x: g / (x * _LN2)], floating)
def log2(xp, x, out=None):
    """Logarithm to the base 2 (``keras.ops.log2``).

    >>> float(log2(8.0))
    3.0
    """
    return xp.log2(x, out=out)


def _share(x1, x2, exponential):
    """``x1``'s part of a sum of exponentials; two equal infinities share alike."""
    gap = x2 - x1
    most = 10.0 if gap.dtype == "float16" else 80.0  # beyond, the share is 0 and its derivative would be 0 times infinity
    share = reciprocal(1.0 + exponential(minimum(choose(isnan(gap), 0.0, gap), most)))
    return choose(gap > most, 0.0, share)


@op(broadcast, [lambda g, y, x1, x2: g * _share(x1, x2, exp), lambda g, y, x1, x2: g * _share(x2, x1, exp)], floating)
def logaddexp(xp, x1, x2, out=None):
    """``log(exp(x1) + exp(x2))`` without overflow (``keras.ops.logaddexp``).

    >>> float(logaddexp(0.0, 0.0))
    0.693...
    """
    return xp.logaddexp(x1, x2, out=out)


@op(broadcast, [lambda g, y, x1, x2: g * _share(x1, x2, exp2), lambda g, y, x1, x2: g * _share(x2, x1, exp2)], floating)
def logaddexp2(xp, x1, x2, out=None):
    """``log2(2**x1 + 2**x2)`` without overflow (``keras.ops.logaddexp2``).

    >>> float(logaddexp2(0.0, 0.0))
    1.0
    """
    return xp.logaddexp2(x1, x2, out=out)


@op(broadcast, [lambda g, y, x1, x2: ldexp(g, x2), None],
    lambda dtypes, attrs: _ldexp_dtypes(dtypes))  # fmt: skip
def ldexp(xp, x1, x2):
    """``x1 * 2**x2``; TypeError unless ``x2`` is an integer (``keras.ops.ldexp``).

    >>> float(ldexp(0.75, 3))
    6.0
    """
    return xp.ldexp(x1, x2)


def _ldexp_dtypes(dtypes):
    if "int" not in dtypes[1]:
        raise TypeError(f"ldexp's exponent must be an integer type, not {dtypes[1]}")
    _, dtype = floating(dtypes[:1], {})
    return (dtype, "int32"), dtype


# ---- trigonometry
@op(same, [lambda g, y, x: g * cos(x)], floating)
def sin(xp, x, out=None):
    """Sine of an angle in radians (``keras.ops.sin``).

    >>> float(sin(0.0))
    0.0
    """
    return xp.sin(x, out=out)


@op(same, [lambda g, y, x: -g * sin(x)], floating)
def cos(xp, x, out=None):
    """Cosine of an angle in radians (``keras.ops.cos``).

    >>> float(cos(0.0))
    1.0
    """
    return xp.cos(x, out=out)


@op(same, [lambda g, y, x: g * (1.0 + y * y)], floating)
def tan(xp, x, out=None):
    """Tangent of an angle in radians (``keras.ops.tan``).

    >>> float(tan(0.0))
    0.0
    """
    return xp.tan(x, out=out)


@op(same, [lambda g, y, x: g * rsqrt((1.0 - x) * (1.0 + x))], floating)
def arcsin(xp, x, out=None):
    """Angle in radians whose sine is ``x`` (``keras.ops.arcsin``).

    >>> float(arcsin(0.0))
    0.0
    """
    return xp.arcsin(x, out=out)


@op(same, [lambda g, y, x: -g * rsqrt((1.0 - x) * (1.0 + x))], floating)
def arccos(xp, x, out=None):
    """Angle in radians whose cosine is ``x`` (``keras.ops.arccos``).

    >>> float(arccos(1.0))
    0.0
    """
    return xp.arccos(x, out=out)


@op(same, [lambda g, y, x: g / (1.0 + x * x)], floating)
def arctan(xp, x, out=None):
    """Angle in radians whose tangent is ``x`` (``keras.ops.arctan``).

    >>> float(arctan(0.0))
    0.0
    """
    return xp.arctan(x, out=out)


@op(broadcast, [lambda g, y, x1, x2: g * (x2 / (x1 * x1 + x2 * x2)), lambda g, y, x1, x2: -g * (x1 / (x1 * x1 + x2 * x2))],
    floating)  # fmt: skip
def arctan2(xp, x1, x2, out=None):
    """Angle in radians of the point with height ``x1`` and width ``x2`` (``keras.ops.arctan2``).

    >>> float(arctan2(0.0, 1.0))
    0.0
    """
    return xp.arctan2(x1, x2, out=out)


@op(same, [lambda g, y, x: g * cosh(x)], floating)
def sinh(xp, x, out=None):
    """Hyperbolic sine (``keras.ops.sinh``).

    >>> float(sinh(0.0))
    0.0
    """
    return xp.sinh(x, out=out)


@op(same, [lambda g, y, x: g * sinh(x)], floating)
def cosh(xp, x, out=None):
    """Hyperbolic cosine (``keras.ops.cosh``).

    >>> float(cosh(0.0))
    1.0
    """
    return xp.cosh(x, out=out)


@op(same, [lambda g, y, x: g * (1.0 - y * y)], floating)
def tanh(xp, x, out=None):
    """Hyperbolic tangent (``keras.ops.tanh``).

    >>> float(tanh(0.0))
    0.0
    """
    return xp.tanh(x, out=out)


@op(same, [lambda g, y, x: g * rsqrt(x * x + 1.0)], floating)
def arcsinh(xp, x, out=None):
    """Inverse of the hyperbolic sine (``keras.ops.arcsinh``).

    >>> float(arcsinh(0.0))
    0.0
    """
    return xp.arcsinh(x, out=out)


@op(same, [lambda g, y, x: g * rsqrt((x - 1.0) * (x + 1.0))], floating)
def arccosh(xp, x, out=None):
    """Inverse of the hyperbolic cosine (``keras.ops.arccosh``).

    >>> float(arccosh(1.0))
    0.0
    """
    return xp.arccosh(x, out=out)


@op(same, [lambda g, y, x: g / ((1.0 - x) * (1.0 + x))], floating)
def arctanh(xp, x, out=None):
    """Inverse of the hyperbolic tangent (``keras.ops.arctanh``).

    >>> float(arctanh(0.0))
    0.0
    """
    return xp.arctanh(x, out=out)


@op(same, [lambda g, y, x: g * (math.pi / 180.0)], floating, class_name="Deg2rad")
def deg2rad(xp, x, out=None):
    """Degrees in radians (``keras.ops.deg2rad``).

    >>> float(deg2rad(180.0))
    3.141...
    """
    return xp.deg2rad(x, out=out)


@op(same, [lambda g, y, x: g * (180.0 / math.pi)], floating, class_name="Rad2deg")
def rad2deg(xp, x, out=None):
    """Radians in degrees (``keras.ops.rad2deg``).

    >>> float(rad2deg(0.0))
    0.0
    """
    return xp.rad2deg(x, out=out)


# ---- rounding
@op(same, [None], floating)
def floor(xp, x, out=None):
    """The next whole number below, as a float (``keras.ops.floor``).

    >>> floor([1.5, -1.5]).tolist()
    [1.0, -2.0]
    """
    return xp.floor(x, out=out)


@op(same, [None], floating)
def ceil(xp, x, out=None):
    """The next whole number above, as a float (``keras.ops.ceil``).

    >>> ceil([1.5, -1.5]).tolist()
    [2.0, -1.0]
    """
    return xp.ceil(x, out=out)


@op(same, [None])
def trunc(xp, x, out=None):
    """The number without its fraction; integers stay as they are (``keras.ops.trunc``).

    >>> trunc([1.5, -1.5]).tolist()
    [1.0, -1.0]
    """
    return xp.trunc(x, out=out)


@op(same, [None])
def round(xp, x, decimals=0):
    """Rounded to so many decimals, halves to even (``keras.ops.round``).

    >>> round([0.5, 1.5, 2.25]).tolist()
    [0.0, 2.0, 2.0]
    """
    return xp.round(x, decimals)


# ---- the greater, the smaller, the bounded
@op(broadcast, [lambda g, y, x1, x2: g * _wins(x1, x2), lambda g, y, x1, x2: g * _wins(x2, x1)])
def maximum(xp, x1, x2, out=None):
    """The greater of two, element by element; NaN where one is NaN (``keras.ops.maximum``).

    >>> maximum([1, 5], 3).tolist()
    [3, 5]
    """
    return xp.maximum(x1, x2, out=out)


@op(broadcast, [lambda g, y, x1, x2: g * _wins(x2, x1), lambda g, y, x1, x2: g * _wins(x1, x2)])
def minimum(xp, x1, x2, out=None):
    """The smaller of two, element by element; NaN where one is NaN (``keras.ops.minimum``).

    >>> minimum([1, 5], 3).tolist()
    [1, 3]
    """
    return xp.minimum(x1, x2, out=out)


def _first_of(comparison):
    """Gradient rules of fmax and fmin: all goes to one side, to the second in a tie."""

    def chosen(x1, x2):
        return logical_or(comparison(x1, x2), isnan(x2))

    return [lambda g, y, x1, x2: choose(chosen(x1, x2), g, 0.0), lambda g, y, x1, x2: choose(chosen(x1, x2), 0.0, g)]


@op(broadcast, _first_of(lambda x1, x2: greater(x1, x2)))
def fmax(xp, x1, x2, out=None):
    """The greater of two, element by element; the other where one is NaN (``keras.ops.fmax``).

    >>> fmax([1.0, float("nan")], 3.0).tolist()
    [3.0, 3.0]
    """
    return xp.fmax(x1, x2, out=out)


@op(broadcast, _first_of(lambda x1, x2: less(x1, x2)))
def fmin(xp, x1, x2, out=None):
    """The smaller of two, element by element; the other where one is NaN (``keras.ops.fmin``).

    >>> fmin([1.0, float("nan")], 3.0).tolist()
    [1.0, 3.0]
    """
    return xp.fmin(x1, x2, out=out)


def _clip_gradient(g, y, x, x_min, x_max):
    if x_min is not None:
        g = g * _wins(x, x_min)
    return g if x_max is None else g * _wins(x_max, x)


@op(same, [_clip_gradient])
def _clip(xp, x, x_min, x_max, out=None):
    return xp.clip(x, x_min, x_max, out=out)


@composite(inputs=["x"])
def clip(x, x_min, x_max):
    """The number, or the bound that it lies beyond; a bound of None is none (``keras.ops.clip``).

    >>> clip([-2.0, 0.5, 2.0], -1.0, 1.0).tolist()
    [-1.0, 0.5, 1.0]
    """
    x = as_tensor(x)
    bounds = [bound for bound in (x_min, x_max) if bound is not None]
    if not bounds:
        return x
    if all(type(bound) in _NUMBERS for bound in bounds):
        dtype = result_type("int32" if x.dtype == "bool" else x.dtype, *map(type, bounds))
        if "int" in dtype:  # a bound that the dtype can't reach is none
            least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
            x_min = None if x_min is not None and x_min <= least else x_min
            x_max = None if x_max is not None and x_max >= most else x_max
        x = as_tensor(x, dtype)
        return x if x_min is x_max is None else _clip(x, x_min=x_min, x_max=x_max)
    x = x if x_min is None else maximum(x, x_min)
    return x if x_max is None else minimum(x, x_max)


@op(same, [lambda g, y, x, nan, posinf, neginf: choose(isfinite(x), g, 0.0)])
def nan_to_num(xp, x, nan=0.0, posinf=None, neginf=None):
    """NaN and infinities replaced; the default for infinities is the dtype's largest number (``keras.ops.nan_to_num``).

    >>> nan_to_num([1.0, float("nan")]).tolist()
    [1.0, 0.0]
    """
    return xp.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)


@op(broadcast, [None, lambda g, y, x1, x2: choose(equal(x1, 0.0), g, 0.0)], floating)
def heaviside(xp, x1, x2, out=None):
    """0 where ``x1`` is negative, 1 where positive, ``x2`` where 0 (``keras.ops.heaviside``).

    >>> heaviside([-1.0, 0.0, 2.0], 0.5).tolist()
    [0.0, 0.5, 1.0]
    """
    return xp.heaviside(x1, x2, out=out)


@op(broadcast, [None, None], floating)
def nextafter(xp, x1, x2, out=None):
    """The next float after ``x1`` towards ``x2`` (``keras.ops.nextafter``).

    >>> float(nextafter(1.0, 2.0)) > 1.0
    True
    """
    return xp.nextafter(x1, x2, out=out)


# ---- comparison
@op(broadcast, [None, None], compare)
def equal(xp, x1, x2, out=None):
    """Whether ``x1 == x2``, element by element (``keras.ops.equal``).

    >>> equal([1, 2], 2).tolist()
    [False, True]
    """
    return xp.equal(x1, x2, out=out)


@op(broadcast, [None, None], compare)
def not_equal(xp, x1, x2, out=None):
    """Whether ``x1 != x2``, element by element (``keras.ops.not_equal``).

    >>> not_equal([1, 2], 2).tolist()
    [True, False]
    """
    return xp.not_equal(x1, x2, out=out)


@op(broadcast, [None, None], compare)
def less(xp, x1, x2, out=None):
    """Whether ``x1 < x2``, element by element (``keras.ops.less``).

    >>> less([1, 2], 2).tolist()
    [True, False]
    """
    return xp.less(x1, x2, out=out)


@op(broadcast, [None, None], compare)
def less_equal(xp, x1, x2, out=None):
    """Whether ``x1 <= x2``, element by element (``keras.ops.less_equal``).

    >>> less_equal([1, 3], 2).tolist()
    [True, False]
    """
    return xp.less_equal(x1, x2, out=out)


@op(broadcast, [None, None], compare)
def greater(xp, x1, x2, out=None):
    """Whether ``x1 > x2``, element by element (``keras.ops.greater``).

    >>> greater([1, 3], 2).tolist()
    [False, True]
    """
    return xp.greater(x1, x2, out=out)


@op(broadcast, [None, None], compare)
def greater_equal(xp, x1, x2, out=None):
    """Whether ``x1 >= x2``, element by element (``keras.ops.greater_equal``).

    >>> greater_equal([1, 2], 2).tolist()
    [False, True]
    """
    return xp.greater_equal(x1, x2, out=out)


@op(broadcast, [None, None], compare)
def isclose(xp, x1, x2, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Whether ``abs(x1 - x2) <= atol + rtol * abs(x2)``, element by element (``keras.ops.isclose``).

    >>> isclose([1.0, 2.0], [1.0, 2.1]).tolist()
    [True, False]
    """
    return xp.isclose(x1, x2, rtol, atol, equal_nan)


# ---- what kind of number
@op(same, [None], to("bool"))
def isfinite(xp, x, out=None):
    """Whether it is neither NaN nor infinite (``keras.ops.isfinite``).

    >>> isfinite([1.0, float("inf")]).tolist()
    [True, False]
    """
    return xp.isfinite(x, out=out)


@op(same, [None], to("bool"))
def isinf(xp, x, out=None):
    """Whether it is infinite (``keras.ops.isinf``).

    >>> isinf([1.0, -float("inf")]).tolist()
    [False, True]
    """
    return xp.isinf(x, out=out)


@op(same, [None], to("bool"))
def isnan(xp, x, out=None):
    """Whether it is NaN (``keras.ops.isnan``).

    >>> isnan([1.0, float("nan")]).tolist()
    [False, True]
    """
    return xp.isnan(x, out=out)


@op(same, [None], to("bool"))
def isneginf(xp, x, out=None):
    """Whether it is minus infinity (``keras.ops.isneginf``).

    >>> isneginf([float("inf"), -float("inf")]).tolist()
    [False, True]
    """
    return xp.equal(x, -math.inf, out=out)


@op(same, [None], to("bool"))
def isposinf(xp, x, out=None):
    """Whether it is plus infinity (``keras.ops.isposinf``).

    >>> isposinf([float("inf"), -float("inf")]).tolist()
    [True, False]
    """
    return xp.equal(x, math.inf, out=out)


@op(same, [None], to("bool"))
def isreal(xp, x):
    """Whether its imaginary part is 0 (``keras.ops.isreal``).

    >>> isreal([1.0, 2.0]).tolist()
    [True, True]
    """
    return xp.isreal(x) if x.dtype.kind == "c" else xp.ones(x.shape, dtype=bool)


# ---- logic and bits
@op(broadcast, [None, None], to("bool"))
def logical_and(xp, x1, x2, out=None):
    """Whether both are true, that is not 0 (``keras.ops.logical_and``).

    >>> logical_and([True, True], [True, False]).tolist()
    [True, False]
    """
    return xp.logical_and(x1, x2, out=out)


@op(broadcast, [None, None], to("bool"))
def logical_or(xp, x1, x2, out=None):
    """Whether one or both are true (``keras.ops.logical_or``).

    >>> logical_or([True, False], [False, False]).tolist()
    [True, False]
    """
    return xp.logical_or(x1, x2, out=out)


@op(broadcast, [None, None], to("bool"))
def logical_xor(xp, x1, x2, out=None):
    """Whether exactly one is true (``keras.ops.logical_xor``).

    >>> logical_xor([True, True], [True, False]).tolist()
    [False, True]
    """
    return xp.logical_xor(x1, x2, out=out)


@op(same, [None], to("bool"))
def logical_not(xp, x, out=None):
    """Whether it is false (``keras.ops.logical_not``).

    >>> logical_not([True, False]).tolist()
    [False, True]
    """
    return xp.logical_not(x, out=out)


@op(broadcast, [None, None], integral)
def bitwise_and(xp, x, y, out=None):
    """Bits set in both integers (``keras.ops.bitwise_and``).

    >>> int(bitwise_and(6, 3))
    2
    """
    return xp.bitwise_and(x, y, out=out)


@op(broadcast, [None, None], integral)
def bitwise_or(xp, x, y, out=None):
    """Bits set in one integer or both (``keras.ops.bitwise_or``).

    >>> int(bitwise_or(6, 3))
    7
    """
    return xp.bitwise_or(x, y, out=out)


@op(broadcast, [None, None], integral)
def bitwise_xor(xp, x, y, out=None):
    """Bits set in exactly one of two integers (``keras.ops.bitwise_xor``).

    >>> int(bitwise_xor(6, 3))
    5
    """
    return xp.bitwise_xor(x, y, out=out)


@op(same, [None], integral)
def bitwise_invert(xp, x, out=None):
    """All bits of an integer turned over (``keras.ops.bitwise_invert``).

    >>> int(bitwise_invert(5))
    -6
    """
    return xp.invert(x, out=out)


@composite
def bitwise_not(x):
    """The same as :func:`bitwise_invert` (``keras.ops.bitwise_not``).

    >>> int(bitwise_not(5))
    -6
    """
    return bitwise_invert(x)


def _shift_dtypes(dtypes, attrs):
    _, common = integral(dtypes, attrs)
    common = "int32" if common == "bool" else common
    return (common, common), common


@op(broadcast, [None, None], _shift_dtypes)
def bitwise_left_shift(xp, x, y, out=None):
    """Bits of ``x`` moved up by ``y`` places (``keras.ops.bitwise_left_shift``).

    >>> int(bitwise_left_shift(3, 2))
    12
    """
    return xp.left_shift(x, y, out=out)


@composite
def left_shift(x, y):
    """The same as :func:`bitwise_left_shift` (``keras.ops.left_shift``).

    >>> int(left_shift(3, 2))
    12
    """
    return bitwise_left_shift(x, y)


@op(broadcast, [None, None], _shift_dtypes)
def bitwise_right_shift(xp, x, y, out=None):
    """Bits of ``x`` moved down by ``y`` places (``keras.ops.bitwise_right_shift``).

    >>> int(bitwise_right_shift(12, 2))
    3
    """
    return xp.right_shift(x, y, out=out)


@composite
def right_shift(x, y):
    """The same as :func:`bitwise_right_shift` (``keras.ops.right_shift``).

    >>> int(right_shift(12, 2))
    3
    """
    return bitwise_right_shift(x, y)


@op(broadcast, [None, None], integral)
def gcd(xp, x1, x2, out=None):
    """Greatest common divisor of integers (``keras.ops.gcd``).

    >>> int(gcd(12, 18))
    6
    """
    return xp.gcd(x1, x2, out=out)


@op(broadcast, [None, None], integral)
def lcm(xp, x1, x2, out=None):
    """Least common multiple of integers (``keras.ops.lcm``).

    >>> int(lcm(4, 6))
    12
    """
    return xp.lcm(x1, x2, out=out)


# ---- complex numbers
@op(same, [lambda g, y, x: cast(g, x.dtype)], magnitude, views=True)
def real(xp, x):
    """Real part (``keras.ops.real``).

    >>> real([1 + 2j]).tolist()
    [1.0]
    """
    return xp.real(x)


@op(same, [lambda g, y, x: g * -1j if "complex" in x.dtype else None], magnitude, views=True)
def imag(xp, x):
    """Imaginary part (``keras.ops.imag``).

    >>> imag([1 + 2j]).tolist()
    [2.0]
    """
    return xp.imag(x)


@op(same, [lambda g, y, x: conjugate(g)], keep, views=True)
def conjugate(xp, x):
    """Complex conjugate (``keras.ops.conjugate``).

    >>> conjugate([1 + 2j]).tolist()
    [(1-2j)]
    """
    return xp.conjugate(x) if x.dtype.kind == "c" else x


conj = conjugate


@op(same, [None], floating)
def _half_turns(xp, x):
    """pi where the sign bit is set, else 0; NaN stays."""
    y = xp.signbit(x).astype(x.dtype)
    y *= math.pi
    return xp.maximum(xp.minimum(x, y), y)  # y, or NaN: quicker than a choice


@composite
def angle(x):
    """Angle of a complex number in radians: 0 or pi for a real one (``keras.ops.angle``).

    >>> float(angle(1j))
    1.570...
    """
    x = as_tensor(x)
    if "complex" in x.dtype:
        return arctan2(imag(x), real(x))
    return _half_turns(x)


# ---- special functions
@op(same, [lambda g, y, x: g * exp(-x * x) * (2.0 / _SQRT_PI)], floating, module="ops.math")
def erf(xp, x):
    """Error function (``keras.ops.erf``).

    >>> float(erf(0.0))
    0.0
    """
    return xp.erf(x)


@op(same, [lambda g, y, x: -g * exp(-x * x) * (2.0 / _SQRT_PI)], floating, module="ops.math")
def erfc(xp, x):
    """``1 - erf(x)``, exact also where that is tiny (``keras.ops.erfc``).

    >>> float(erfc(0.0))
    1.0
    """
    return xp.erfc(x)


@op(same, [lambda g, y, x: g * exp(y * y) * (_SQRT_PI / 2.0)], floating, module="ops.math")
def erfinv(xp, x):
    """Inverse of the error function, on [-1, 1] (``keras.ops.erfinv``).

    >>> float(erfinv(0.0))
    0.0
    """
    return xp.erfinv(x)


def _nodes(n):
    """Points and weights of Gauss and Legendre's rule for integrals from 0 to 1."""
    points, weights = np.polynomial.legendre.leggauss(n)
    return [(float(p + 1) / 2, float(w) / 2) for p, w in zip(points, weights, strict=True)]


@op(same, [lambda g, y, x, order: g * _sinc_derivative(x, order + 1)], floating)
def _sinc_derivative(xp, x, order=0):
    """Near 0 from ``sinc(x)``, the integral of ``cos(pi x t)``; elsewhere from ``(x sinc(x))' = cos(pi x)`` and so on."""
    wide, near = x.astype(xp.float64), xp.abs(x) < 2.0
    bounded, safe = xp.where(near, wide, 0.0), xp.where(near, 1.0, wide)
    inner, outer = xp.zeros_like(wide), xp.sin(math.pi * safe) / (math.pi * safe)
    for t, weight in _nodes(24):
        inner += weight * (math.pi * t) ** order * xp.cos(math.pi * t * bounded + order * math.pi / 2)
    for n in range(1, order + 1):
        outer = (math.pi ** (n - 1) * xp.sin(math.pi * safe + n * math.pi / 2) - n * outer) / safe
    return xp.where(near, inner, outer).astype(x.dtype)


@op(same, [lambda g, y, x: g * _sinc_derivative(x, 1)], floating)
def sinc(xp, x):
    """``sin(pi x) / (pi x)``, 1 at 0 (``keras.ops.sinc``).

    >>> sinc([0.0, 0.5]).tolist()
    [1.0, 0.636...]
    """
    return xp.sinc(x)


@op(same, [lambda g, y, x, order: g * _i0_derivative(x, order + 1)], floating)
def _i0_derivative(xp, x, order=0):
    """From Bessel's integral of ``cosh(x cos(angle))`` over a quarter turn, for which the midpoint rule is as good as exact."""
    wide, points = x.astype(xp.float64), 64
    function, y = (xp.sinh, xp.cosh)[order % 2 == 0], xp.zeros(x.shape, xp.float64)
    for k in range(points):
        c = math.cos((k + 0.5) * math.pi / (2 * points))
        y = y + c**order / points * function(c * wide)
    return y.astype(x.dtype)


@op(same, [lambda g, y, x: g * _i0_derivative(x, 1)], floating)
def i0(xp, x):
    """Modified Bessel function of the first kind and order 0 (``keras.ops.i0``).

    >>> float(i0(0.0))
    1.0
    """
    return special.i0(xp, x)


__all__ = [
    "abs", "absolute", "add", "angle", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh",
    "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift",
    "bitwise_xor", "cbrt", "ceil", "clip", "conj", "conjugate", "cos", "cosh", "deg2rad", "divide", "divide_no_nan",
    "equal", "erf", "erfc", "erfinv", "exp", "exp2", "expm1", "fabs", "floor", "floor_divide", "fmax", "fmin", "fmod",
    "gcd", "greater", "greater_equal", "heaviside", "hypot", "i0", "imag", "isclose", "isfinite", "isinf", "isnan",
    "isneginf", "isposinf", "isreal", "lcm", "ldexp", "left_shift", "less", "less_equal", "log", "log10", "log1p",
    "log2", "logaddexp", "logaddexp2", "logical_and", "logical_not", "logical_or", "logical_xor", "maximum", "minimum",
    "mod", "multiply", "nan_to_num", "negative", "nextafter", "not_equal", "power", "rad2deg", "real", "reciprocal",
    "right_shift", "round", "rsqrt", "sign", "signbit", "sin", "sinc", "sinh", "sqrt", "square", "subtract", "tan",
    "tanh", "true_divide", "trunc",
]  # fmt: skip
