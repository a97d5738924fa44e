"""Rows of the reductions. Random arrays have no ties; ties, zeros and infinities have tests of their own."""

import numpy as np

from tests.conformance.driver import A, case, row

INF, NAN = float("inf"), float("nan")
X, SMALL = A(2, 3, 4), A(2, 3)
INTS = A(2, 3, dtype="int32", low=-5, high=6)
BYTES = A(2, 3, dtype="uint8", low=1, high=9)
BOOLS = A(2, 3, dtype="bool")
HOLES = np.array([[1.0, NAN, 3.0, 0.5], [NAN, NAN, NAN, NAN], [-2.0, 5.0, NAN, 5.0]], "float32")
INFINITE = np.array([[1.0, -INF, 3.0], [INF, 2.0, 0.0], [-INF, -INF, -INF]], "float32")


def each(names, *cases, **options):
    return [row(f"ops.{name}", *cases, **options) for name in names.split()]


def over_axes(x=X):
    return [case(x), case(x, axis=1), case(x, axis=(0, -1)), case(x, axis=-1, keepdims=True), case(x, keepdims=True)]


# fmt: off
ROWS = [
    *each("sum prod mean var std", *over_axes(), case(INTS), case(BYTES, axis=0), case(BOOLS, axis=1),
          case(X, axis=[0, 1])),
    *each("sum prod mean var", case(A())),
    *each("sum prod", case(A(2, 3, dtype="int8"), axis=1), case(A(0, 3)), case(A(2, 0, 3), axis=1)),
    *each("sum mean prod var max min any all count_nonzero logsumexp", case(SMALL, axis=1), grad=False, zero_size=True),
    row("ops.prod", case(INTS, axis=1, dtype="float32"), case(BYTES, dtype="uint8"), nodtype=True),
    *each("max min", *over_axes(), case(INTS), case(BYTES, axis=0), case(SMALL, axis=1, initial=0.25),
          case(A(0, 3), axis=0, initial=1.0), case(INFINITE, axis=1), case(BOOLS, axis=0), case(A())),
    *each("amax amin", *over_axes(), case(INTS, axis=1)),
    *each("argmax argmin", case(X), case(X, axis=1), case(X, axis=-1, keepdims=True), case(X, keepdims=True),
          case(INTS, axis=1), case(HOLES, axis=1), case(A())),
    *each("any all", case(BOOLS), case(BOOLS, axis=1), case(BOOLS, axis=(0, 1), keepdims=True),
          case(A(2, 3, dtype="int32", high=2), axis=0), case(SMALL)),
    row("ops.count_nonzero", case(BOOLS), case(INTS, axis=1), case(X, axis=(0, 2)), case(SMALL)),
    row("ops.logsumexp", *over_axes(), case(INTS), case(A(3, 4, low=80, high=200), axis=1), case(INFINITE, axis=1),
        case(A())),
    row("ops.average", case(X), case(X, axis=1), case(X, 1, A(3, low=0.1)), case(X, -1, A(2, 3, 4, low=0.1)),
        case(X, None, A(2, 3, 4, low=0.1)), case(INTS, 1), case(INTS, 0, np.array([1, 2], "int32"))),
    *each("cumsum cumprod", case(X), case(X, axis=1), case(X, -1), case(INTS, axis=1), case(BYTES, axis=0),
          case(BOOLS, axis=1), case(INTS, axis=0, dtype="float32"), case(A(2, 1), axis=1), zero_size=True),
    row("ops.diff", case(X), case(X, n=2, axis=1), case(X, axis=0), case(INTS), case(BOOLS), case(X, n=0)),
    row("ops.trapezoid", case(X), case(X, dx=0.5, axis=1), case(X, A(4, low=0, high=3)), case(X, A(3), axis=1),
        case(X, A(2, 3, 4), axis=0), case(INTS)),
    row("ops.ptp", *over_axes(), case(INTS, axis=1), case(BYTES)),
    row("ops.allclose", case(SMALL, SMALL), case(SMALL, A(2, 3, low=-0.9)),
        case(SMALL, A(2, 3, low=-0.9), rtol=5.0, atol=2.0), case(HOLES, HOLES, equal_nan=True), case(HOLES, HOLES)),
    # ---- quantiles
    *each("median nanmedian", *over_axes(), case(INTS), case(HOLES, axis=1), case(A(2, 5), axis=1), case(A())),
    *each("quantile nanquantile",
          *[case(X, 0.3, axis=1, method=m) for m in ("linear", "lower", "higher", "midpoint", "nearest")],
          case(X, np.array([0.0, 0.25, 1.0], "float32")),
          case(X, np.array([0.1, 0.9], "float32"), axis=(0, 2), keepdims=True), case(X, 0.5, keepdims=True),
          case(INTS, 0.4, axis=0), case(HOLES, 0.5, axis=1), case(HOLES, np.array([0.2, 0.5], "float32"))),
    *each("percentile nanpercentile", case(X, 30), case(X, np.array([10.0, 50.0], "float32"), axis=-1, keepdims=True),
          case(INTS, 40.0, axis=1), case(HOLES, 25, axis=0)),
    # ---- as if NaN were not there
    *each("nansum nanprod nanmean nanvar nanstd nanmax nanmin", *over_axes(), case(HOLES), case(HOLES, axis=1),
          case(HOLES, 0, keepdims=True), case(INTS, axis=1), case(BYTES)),
    *each("nanargmax nanargmin", case(X), case(X, axis=1), case(HOLES, axis=1), case(HOLES, axis=1, keepdims=True),
          case(HOLES), case(INTS, axis=0)),
    *each("nancumsum nancumprod", case(X), case(X, axis=1), case(HOLES), case(HOLES, axis=1), case(INTS, axis=0)),
    *each("prod nancumsum nancumprod cumsum", case(SMALL, 0, dtype="float16"), grad=False, tol=1e-3, nodtype=True),
]

# fmt: on
