"""Rows of the element-wise ops. Values keep away from kinks, poles and branch cuts; those have tests of their own."""

import numpy as np

from tests.conformance.driver import A, case, row

INF, NAN = float("inf"), float("nan")
AWAY = A(2, 3, low=0.3, high=0.9)  # inside (0, 1), where every op is smooth
INTS = A(2, 3, dtype="int32", low=-5, high=6)
NATURAL = A(2, 3, dtype="int32", low=0, high=9)
BYTES = A(2, 3, dtype="uint8", low=1, high=9)
BOOLS = A(2, 3, dtype="bool")
SPECIAL = np.array([0.0, -0.0, 1.0, -2.5, INF, -INF, NAN], "float32")
BINARY = (
    "add subtract multiply divide true_divide divide_no_nan mod floor_divide fmod power hypot arctan2 logaddexp logaddexp2"
    " maximum minimum fmax fmin equal less isclose logical_and logical_or logical_xor heaviside"
)
COMPLEX = np.array([1 + 2j, -3 + 0.5j, 0.5 - 1j], "complex64")


def each(names, *cases, **options):
    return [row(f"ops.{name}", *cases, **options) for name in names.split()]


# fmt: off
ROWS = [
    # ---- one argument
    *each("abs absolute", case(A(2, 3, low=0.1)), case(A(2, 3, low=-2, high=-0.1)), case(INTS), case(BOOLS), case(COMPLEX)),
    *each("fabs square", case(A(2, 3, low=0.1)), case(A(2, 3, low=-2, high=-0.1)), case(INTS), case(BYTES), zero_size=True),
    *each("negative sign", case(AWAY), case(A(2, 3, low=-2, high=-0.1)), case(INTS), zero_size=True),
    *each("sin cos tan sinh cosh tanh exp exp2 expm1 arctan arcsinh", case(A(2, 3)), case(A(4, low=-3, high=-2)),
          case(INTS), case(BOOLS), zero_size=True),
    *each("log log10 log1p log2 sqrt cbrt reciprocal", case(AWAY), case(A(3, 2, low=1, high=50)), case(BYTES),
          zero_size=True),
    *each("rsqrt", case(AWAY), case(A(3, 2, low=1, high=50)), zero_size=True),
    *each("arcsin arccos arctanh", case(A(2, 3, low=-0.9, high=0.9)), zero_size=True),
    *each("arccosh", case(A(2, 3, low=1.1, high=5)), case(BYTES), zero_size=True),
    *each("deg2rad rad2deg", case(A(2, 3, low=-180, high=180)), case(INTS), zero_size=True),
    *each("floor ceil trunc", case(A(2, 3, low=1.1, high=1.4)), case(A(2, 3, low=-1.4, high=-1.1)), case(INTS),
          zero_size=True),
    row("ops.round", case(np.array([0.5, 1.5, 2.5, -0.5], "float32")), case(A(2, 3, low=1.11, high=1.14), 1), case(INTS),
        case(np.array([15, 25, -15], "int32"), -1), zero_size=True),
    *each("isfinite isinf isnan isneginf isposinf isreal signbit", case(A(2, 3)), case(SPECIAL), case(INTS), case(BOOLS)),
    *each("logical_not", case(BOOLS), case(A(2, 3)), case(NATURAL), zero_size=True),
    *each("bitwise_not bitwise_invert", case(INTS), case(BYTES), case(BOOLS), zero_size=True),
    *each("sinc", case(A(2, 3, low=0.3, high=1.5)), case(A(2, 3, low=2.2, high=4)), case(A(3, low=-0.01, high=0.01)),
          case(INTS), zero_size=True),
    *each("i0", case(A(2, 3)), case(A(2, 3, low=-9, high=9)), case(np.zeros(2, "float32")), case(INTS), zero_size=True),
    *each("erf erfc", case(A(2, 3)), case(A(2, 3, low=-5, high=-0.5)), case(A(2, 3, low=0.5, high=5)), zero_size=True),
    *each("erfinv", case(A(2, 3, low=-0.95, high=0.95)), zero_size=True),
    row("ops.nan_to_num", case(SPECIAL), case(SPECIAL, nan=1.0, posinf=2.0, neginf=3.0), case(A(2, 3)), case(INTS)),
    *each("real imag conj conjugate", case(A(2, 3)), case(INTS), case(BOOLS), case(COMPLEX)),
    *each("angle", case(A(2, 3, low=0.1)), case(A(2, 3, low=-2, high=-0.1)), case(INTS), case(COMPLEX)),
    row("ops.clip", case(A(2, 3), -0.5, 0.5), case(A(2, 3), None, 0.2), case(INTS, -2, 3), case(INTS, 0.5, 1.5),
        case(BOOLS, 0, 1), case(A(2, 3), A(3, low=-0.5, high=-0.4), A(3, low=0.2, high=0.3)), case(A(2, 3), None, None),
        case(A(2, 3), -1, 0.2)),
    # ---- two arguments
    *each("add subtract multiply", case(A(2, 3), A(3)), case(A(2, 1), A(1, 3)), case(A(2, 3), 2), case(1.5, A(2, 3)),
          case(INTS, NATURAL), case(INTS, 2.5), case(A(2, 3, dtype="float16"), NATURAL), case(BYTES, INTS)),
    *each("add multiply", case(BOOLS, BOOLS), case(COMPLEX, A(3))),
    *each("divide true_divide", case(A(2, 3), AWAY), case(A(2, 3), 2), case(1, A(3, low=1, high=2)), case(NATURAL, BYTES)),
    row("ops.divide_no_nan", case(A(2, 3), AWAY), case(A(2, 3), np.array([0, 1, 2], "float32")), case(NATURAL, NATURAL)),
    *each("mod floor_divide fmod", case(A(2, 3, low=1.1, high=1.4), A(3, low=0.5, high=0.55)),
          case(A(2, 3, low=-1.9, high=-1.6), 0.5), case(INTS, BYTES), case(INTS, -3), case(BOOLS, np.ones(3, "bool"))),
    row("ops.power", case(AWAY, A(3)), case(A(2, 3), 2), case(A(2, 3), 3), case(AWAY, 0.5), case(AWAY, -1.5),
        case(2.0, A(2, 3)), case(INTS, 2), case(BYTES, A(3)), case(BOOLS, 2), case(INTS, 2.0), case(A(2, 3), -2)),
    *each("hypot arctan2 logaddexp logaddexp2", case(AWAY, A(3, low=1, high=2)), case(A(2, 3, low=-2, high=-1), AWAY),
          case(INTS, BYTES), case(A(2, 3), 1.0)),
    *each("maximum minimum fmax fmin", case(A(2, 3), A(2, 3)), case(A(2, 3), 0.0), case(A(2, 1), A(3)),
          case(INTS, NATURAL), case(INTS, 1.5), case(SPECIAL, np.float32(1.0)), case(np.full(7, NAN, "float32"), SPECIAL)),
    *each("equal not_equal less less_equal greater greater_equal", case(A(2, 3), A(2, 3)), case(A(2, 3), 0.5),
          case(INTS, NATURAL), case(NATURAL, 3.0), case(SPECIAL, SPECIAL), case(BOOLS, BOOLS)),
    row("ops.isclose", case(A(2, 3), A(2, 3)), case(SPECIAL, SPECIAL), case(SPECIAL, SPECIAL, equal_nan=True),
        case(A(2, 3), A(2, 3, low=-0.9), rtol=0.5, atol=0.1), case(INTS, INTS)),
    *each("logical_and logical_or logical_xor", case(BOOLS, A(3, dtype="bool")), case(NATURAL, NATURAL),
          case(A(2, 3), BOOLS), case(BOOLS, True)),
    *each("bitwise_and bitwise_or bitwise_xor", case(INTS, NATURAL), case(BYTES, INTS), case(BOOLS, A(3, dtype="bool")),
          case(INTS, 3)),
    *each("bitwise_left_shift left_shift bitwise_right_shift right_shift", case(INTS, A(3, dtype="int32", low=0, high=4)),
          case(INTS, 2), case(BOOLS, BOOLS)),
    *each("gcd lcm", case(INTS, NATURAL), case(BYTES, 6)),
    row("ops.ldexp", case(A(2, 3), A(3, dtype="int32", low=-2, high=3)), case(A(2, 3), 2), case(INTS, 2)),
    row("ops.heaviside", case(A(2, 3), AWAY), case(np.array([-1, 0, 2], "float32"), A(3)), case(INTS, 2)),
    row("ops.nextafter", case(A(2, 3), A(3)), case(A(2, 3), 5.0), nodtype=True, grad=False),
    # ---- nothing in, nothing out
    *each(BINARY, case(AWAY, AWAY), grad=False, zero_size=True),
    *each("bitwise_and left_shift right_shift gcd lcm", case(BYTES, BYTES), zero_size=True),
]

# fmt: on
