"""Elementary functions of float32 vectors as arithmetic, since a call for each lane would cost ten times as much.

Polynomials are those of the Cephes library (S. Moshier 1989); errors are one to two units in the last place. Infinities, NaN
and results too small or too large come out as NumPy's.
"""

import math

from kerasish.backend.kernels.emit import f32, f64, i32, i64
from kerasish.backend.special import BESSEL_FAR, BESSEL_NEAR, COMPLEMENT, INVERSE_CENTER, INVERSE_TAIL, P_SINGLE, Q_SINGLE

_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
_TANH = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
_LOG = (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1,
        -2.4999993993e-1, 3.3333331174e-1)  # fmt: skip


def horner(k, x, coefficients):
    """The polynomial with these coefficients, highest power first."""
    y = k.const(coefficients[0], x.type)
    for c in coefficients[1:]:
        y = k.fma(y, x, k.const(c, x.type))
    return y


def exp(k, x):
    """e to the power x."""
    x_ = k.select(x > 89.0, k.const(89.0, x.type), x)  # beyond, the result is infinite or 0 anyway; NaN stays
    x_ = k.select(x_ < -104.0, k.const(-104.0, x.type), x_)
    n = k.intrinsic("rint", x_ * 1.44269504088896341)
    r = k.fma(n, k.const(-0.693359375, x.type), x_)
    r = k.fma(n, k.const(2.12194440e-4, x.type), r)
    y = k.fma(horner(k, r, _EXP), r * r, r) + 1.0
    n = k.select(n.differs(n), k.const(0.0, x.type), n).to(i32)
    low = n.halved()  # 2**n in two factors: one alone would overflow, or miss the smallest numbers
    high = n - low
    return y * _power_of_two(k, low) * _power_of_two(k, high)


def _power_of_two(k, n):
    return ((n + 127) << 23).bits(f32)


def sigmoid(k, x):
    """1 / (1 + exp(-x)), never quite 0, as NumPy's kernel has it."""
    return 1.0 / (exp(k, -k.select(x < -88.0, k.const(-88.0, x.type), x)) + 1.0)


def tanh(k, x):
    """The hyperbolic tangent."""
    a = k.abs(x)
    s = x * x
    small = k.fma(horner(k, s, _TANH) * s, x, x)
    large = 1.0 - 2.0 / (exp(k, a + a) + 1.0)
    y = k.intrinsic("copysign", k.select(a < 0.625, small, large), x)
    return k.select(x.differs(x), x, y)


def log(k, x):
    """The natural logarithm: -inf at 0, NaN below."""
    tiny = x < 1.17549435e-38
    scaled = k.select(tiny, x * 8388608.0, x)  # subnormal numbers
    bits = scaled.bits(i32)
    e = ((bits >> 23) & 255) - 126
    m = ((bits & 0x007FFFFF) | 0x3F000000).bits(f32)  # in [0.5, 1)
    low = m < 0.707106781186547524
    e = e.to(f32) - k.select(low, k.const(1.0, x.type), k.const(0.0, x.type)) - k.select(tiny, k.const(23.0, x.type), k.const(0.0, x.type))
    m = k.select(low, m + m, m) - 1.0
    z = m * m
    y = horner(k, m, _LOG) * m * z
    y = k.fma(e, k.const(-2.12194440e-4, x.type), y)
    y = k.fma(z, k.const(-0.5, x.type), y)
    y = m + y
    y = k.fma(e, k.const(0.693359375, x.type), y)
    y = k.select(x.equals(float("inf")), x, y)
    y = k.select(x.equals(0.0), k.const(float("-inf"), x.type), y)
    return k.select((x < 0.0) | x.differs(x), k.const(float("nan"), x.type), y)


def log1p(k, x):
    """log(1 + x), exact also for small x: what rounding 1 + x takes off is put back."""
    u = x + 1.0
    lost = k.select(u.equals(float("inf")), k.const(0.0, x.type), (x - (u - 1.0)) / u)
    return k.select(u.equals(1.0), x, log(k, u) + k.select(u > 0.0, lost, k.const(0.0, x.type)))


def expm1(k, x):
    """exp(x) - 1, exact also for small x."""
    x_ = k.select(x > 89.0, k.const(89.0, x.type), x)
    x_ = k.select(x_ < -104.0, k.const(-104.0, x.type), x_)
    n = k.intrinsic("rint", x_ * 1.44269504088896341)
    r = k.fma(n, k.const(-0.693359375, x.type), x_)
    r = k.fma(n, k.const(2.12194440e-4, x.type), r)
    y = k.fma(horner(k, r, _EXP), r * r, r)  # exp(r) - 1
    n = k.select(n.differs(n), k.const(0.0, x.type), n).to(i32)
    low = n.halved()
    scale, rest = _power_of_two(k, low), _power_of_two(k, n - low)
    whole = scale * rest
    large = (y + 1.0) * scale * rest - 1.0  # 2**n may be too large for a number of its own
    y = k.select(n > 126, large, k.fma(y, whole, whole - 1.0))
    return k.select(x.equals(0.0), x, y)


def i0(k, x):
    """The modified Bessel function of the first kind and order 0."""
    a = k.abs(x)
    t = k.minimum(a, 3.75) * (1 / 3.75)
    far = k.maximum(a, 3.75)
    half = exp(k, far * 0.5)
    beyond = half * (horner(k, 3.75 / far, BESSEL_FAR) / k.sqrt(far)) * half
    return k.select(a < 3.75, horner(k, t * t, BESSEL_NEAR), beyond)


def exp2(k, x):
    """2 to the power x."""
    x_ = k.select(x > 129.0, k.const(129.0, x.type), x)  # beyond, the result is infinite or 0 anyway; NaN stays
    x_ = k.select(x_ < -151.0, k.const(-151.0, x.type), x_)
    n = k.intrinsic("rint", x_)
    r = (x_ - n) * math.log(2)
    y = k.fma(horner(k, r, _EXP), r * r, r) + 1.0
    n = k.select(n.differs(n), k.const(0.0, x.type), n).to(i32)
    low = n.halved()
    return y * _power_of_two(k, low) * _power_of_two(k, n - low)


def logaddexp(k, x, y, base=math.e):
    """log(exp(x) + exp(y)), or with powers of 2: the larger, and what the smaller adds to it."""
    scale = math.log(base)
    more = log1p(k, exp(k, -k.abs(x - y) * scale)) / scale
    return k.select(x.equals(y), x + math.log(2) / scale, k.maximum(x, y) + more)


def hypot(k, x, y):
    """sqrt(x * x + y * y), without overflow on the way; infinite where one is, also beside NaN."""
    z = _through_double(k, lambda k, x, y: k.sqrt(x * x + y * y), x, y)
    infinite = k.abs(x).equals(math.inf) | k.abs(y).equals(math.inf)
    return k.select(infinite, k.const(math.inf, x.type), z)


def nextafter(k, x, y):
    """The next number after x towards y."""
    bits = x.bits(i32)
    away = k.select((y > x) ^ (x < 0.0), k.const(1, bits.type), k.const(-1, bits.type))
    z = k.select(x.equals(0.0), (y.bits(i32) & -(2**31)) | 1, bits + away).bits(f32)
    z = k.select(x.equals(y), y, z)
    return k.select(x.differs(x) | y.differs(y), x + y, z)


def _through_double(k, f, *xs):
    """A function computed in double precision, where float32 would lose digits on the way."""
    return f(k, *(x.to(f64) for x in xs)).to(f32)


def erf(k, x):
    """The error function."""
    return _through_double(k, _erf, x)


def _erf(k, x):
    x_ = k.select(x > 3.9, k.const(3.9, x.type), k.select(x < -3.9, k.const(-3.9, x.type), x))
    z = x_ * x_
    y = horner(k, z, P_SINGLE) * x_ / horner(k, z, Q_SINGLE)
    return k.select(y > 1.0, k.const(1.0, x.type), k.select(y < -1.0, k.const(-1.0, x.type), y))


def erfc(k, x):
    """1 - erf(x), exact also where that is tiny."""
    a = k.abs(x)
    a = k.select(a > 11.0, k.const(11.0, x.type), a)
    t = 1.0 / k.fma(a, k.const(0.5, x.type), k.const(1.0, x.type))
    high = (a.bits(i32) & -4096).bits(f32)  # its square is exact
    y = exp(k, horner(k, t, COMPLEMENT) - (a - high) * (a + high)) * exp(k, -high * high) * t
    return k.select(x < 0.0, 2.0 - y, y)


def erfinv(k, x):
    """The inverse of the error function."""
    w = -log(k, k.maximum((1.0 - x) * (x + 1.0), 1e-37))
    tail = horner(k, k.sqrt(k.maximum(w, 0.0)) - 3.0, INVERSE_TAIL)
    y = k.select(w < 5.0, horner(k, w - 2.5, INVERSE_CENTER), tail) * x
    y = k.select(k.abs(x).equals(1.0), k.intrinsic("copysign", k.const(math.inf, x.type), x), y)
    return k.select(k.abs(x) > 1.0, k.const(math.nan, x.type), y)


def power(k, x, y):
    """x to the power y, with C's rules for what is no finite positive number."""
    return _through_double(k, _power, x, y)


def _power(k, x, y):
    a, one = k.abs(x), k.const(1.0, x.type)
    t = y * _log_of_double(k, a)
    t = k.select(a.equals(1.0), k.const(0.0, x.type), t)
    z = _exp_of_double(k, k.select(t > 200.0, k.const(200.0, x.type), k.select(t < -200.0, k.const(-200.0, x.type), t)))
    whole = k.intrinsic("rint", y).equals(y)
    half = y * 0.5
    odd = whole & k.intrinsic("rint", half).differs(half)
    z = k.select(odd, k.intrinsic("copysign", z, x), z)
    nan = k.const(float("nan"), x.type)
    z = k.select((x < 0.0) & (a < float("inf")) & whole.invert(), nan, z)
    z = k.select(x.differs(x) | y.differs(y), nan, z)
    return k.select(y.equals(0.0) | x.equals(1.0), one, z)


def _log_of_double(k, a):
    """log of doubles that are 0, infinite, or that float32 can hold: to ten digits."""
    bits = a.bits(i64)
    e = ((bits >> 52) - 1022).to(f64)
    m = ((bits & 0x000FFFFFFFFFFFFF) | 0x3FE0000000000000).bits(f64)  # in [0.5, 1)
    low = m < 0.707106781186547524
    e = k.select(low, e - 1.0, e)
    m = k.select(low, m + m, m)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    y = horner(k, z, [2.0 / n for n in range(17, 0, -2)]) * s + e * 0.693147180559945309
    y = k.select(a.equals(0.0), k.const(float("-inf"), a.type), y)
    return k.select(a.equals(float("inf")), a, y)


def _exp_of_double(k, t):
    """e to the power t, for t between -200 and 200: to eleven digits."""
    n = k.intrinsic("rint", t * 1.44269504088896341)
    r = k.fma(n, k.const(-0.693147180559945309, t.type), t)
    y = horner(k, r, [1.0 / math.factorial(i) for i in range(11, -1, -1)])
    n = k.select(n.differs(n), k.const(0.0, t.type), n).to(i64)
    return y * ((n + 1023) << 52).bits(f64)
