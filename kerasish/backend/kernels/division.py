"""Remainders and whole quotients of vectors, bit for bit as NumPy's.

C's ``fmod`` shifts and subtracts, digit by digit. Here the quotient is divided and cut off as long as its digits fit into a
float: then ``a - q * b``, rounded once, has no rounding error, and a quotient that was rounded up to the next whole number shows
in its sign. Where the quotient is larger, which is rare, the remainder of a suitable multiple of the divisor comes first.
"""

import math

from llvmlite import ir

from kerasish.backend.kernels.emit import Value, element, f32, f64, i64, lanes


def _any(k, condition):
    """Whether it holds in some lane."""
    n = lanes(condition.type)
    return Value(k, k.builder.bitcast(condition.ir, ir.IntType(n))).differs(0) if n else condition


def _zero(k, like):
    """0 with another number's sign."""
    return k.intrinsic("copysign", k.const(0, like.type), like)


def _less(k, a, b):
    """The remainder of a by b, both positive, where a / b has few digits."""
    r = k.fma(-k.intrinsic("trunc", a / b), b, a)
    return k.select(r < 0, r + b, r)


def _fmod(k, x, y):
    a, b = k.abs(x), k.abs(y)
    step = 2.0 ** (22 if element(x.type) is f32 else 51)
    possible = (a < math.inf) & (b > 0)
    rest = k.var(a)
    with k.when(_any(k, possible & (b < a * (1 / step)))):
        divisor = k.var(b)
        low = lambda: possible & (divisor.value < a * (1 / step))
        with k.repeat_while(lambda: _any(k, low())):
            divisor.value = k.select(low(), divisor.value * step, divisor.value)
        with k.repeat_while(lambda: _any(k, divisor.value > b)):
            raised = divisor.value > b
            rest.value = k.select(raised, _less(k, rest.value, divisor.value), rest.value)
            divisor.value = k.select(raised, divisor.value * (1 / step), divisor.value)
    r = k.select((a < math.inf) & b.equals(math.inf), a, _less(k, rest.value, b))
    return k.intrinsic("copysign", r, x)


def _turned(r, y):
    """Where a remainder with the dividend's sign is on the other side of 0 than the divisor."""
    return r.differs(0) & ((r < 0) ^ (y < 0))


def _float_mod(k, x, y):
    r = _fmod(k, x, y)
    return k.select(r.equals(0), _zero(k, y), k.select(_turned(r, y), r + y, r))


def _float_floor_divide(k, x, y):
    r, plain = _fmod(k, x, y), x / y
    q = (x - r) / y
    q = k.select(_turned(r, y), q - 1.0, q)
    whole = k.intrinsic("floor", q)
    whole = k.select(q - whole > 0.5, whole + 1.0, whole)
    return k.select(y.equals(0), plain, k.select(q.equals(0), _zero(k, plain), whole))


def _whole_quotient(k, x, y, signed, rounding):
    """x / y rounded, for integers of up to 32 bits, whose quotient is never so close to a whole number that a double can't tell; of
    0 where y is 0."""
    q = x.to(f64, signed) / k.select(y.equals(0), k.const(1, y.type), y).to(f64, signed)
    return k.select(y.equals(0), k.const(0, x.type), k.intrinsic(rounding, q).to(i64).to(element(x.type)))


def _step(for_float, rounding, remains):
    def step(k, d, result, x, y):
        if "float" in d:
            return for_float(k, x, y)
        q = _whole_quotient(k, x, y, not d.startswith("u"), rounding)
        return k.select(y.equals(0), k.const(0, x.type), x - q * y) if remains else q

    return step


fmod, mod = _step(_fmod, "trunc", True), _step(_float_mod, "floor", True)
floor_divide = _step(_float_floor_divide, "floor", False)
