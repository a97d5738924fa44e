"""The error function, its relatives and a Bessel function, for arrays of any library with NumPy's names: few passes in single
precision, exact in double."""

import math


def erf(np, x):
    """The error function: in double precision W. J. Cody's (1969), else to eight units in float32's last place, quickly."""
    return _erf_double(np, x) if x.dtype == np.float64 else _erf_single(np, x.astype(np.float32)).astype(x.dtype)


def erfc(np, x):
    """``1 - erf(x)``, exact also where that is tiny: W. J. Cody's in double precision, else to some units in float32's last place."""
    return _erfc_double(np, x) if x.dtype == np.float64 else _erfc_single(np, x.astype(np.float32)).astype(x.dtype)


def erfinv(np, y):
    """Inverse of ``erf`` on (-1, 1): M. Giles's polynomials (2010), and in double precision two Newton steps from there."""
    if y.dtype == np.float64:
        return _erfinv_double(np, y)
    single = np.asarray(y.astype(np.float32))
    return _erfinv_ends(np, _guess(np, single), single).astype(y.dtype)


def i0(np, x):
    """Modified Bessel function of order 0: in double precision the library's, else M. Abramowitz's and I. Stegun's polynomials."""
    return np.i0(x.astype(np.float64)).astype(x.dtype) if x.dtype == np.float64 else _i0_single(np, x.astype(np.float32)).astype(x.dtype)


# M. Abramowitz and I. Stegun, "Handbook of Mathematical Functions" (1964), 9.8.1 and 9.8.2: in (x / 3.75)**2, and 3.75 / x beyond
BESSEL_NEAR = (0.0045813, 0.0360768, 0.2659732, 1.2067492, 3.0899424, 3.5156229, 1.0)
BESSEL_FAR = (0.00392377, -0.01647633, 0.02635537, -0.02057706, 0.00916281, -0.00157565, 0.00225319, 0.01328592, 0.39894228)


def _i0_single(np, x):
    a = np.abs(x)
    near = _horner_in_place(BESSEL_NEAR, np.square(np.minimum(a, 3.75) / 3.75))
    a = np.maximum(a, 3.75)
    half = np.exp(a * 0.5)  # in two steps: all of it would overflow too early
    return np.where(np.abs(x) < 3.75, near, half * (_horner_in_place(BESSEL_FAR, 3.75 / a) / np.sqrt(a)) * half)


# W. J. Cody, "Rational Chebyshev approximation for the error function", Math. Comp. 23 (1969)
_P_SMALL = (1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3)
_Q_SMALL = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)
_P_MIDDLE = (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1, 2.98635138197400131e2,
             8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3)  # fmt: skip
_Q_MIDDLE = (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
             3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3)  # fmt: skip
_P_LARGE = (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
            1.60837851487422766e-2, 6.58749161529837803e-4)  # fmt: skip
_Q_LARGE = (1.0, 2.56852019228982242e0, 1.87295284992346725e0, 5.27905102951428412e-1, 6.05183413124413191e-2,
            2.33520497626869185e-3)  # fmt: skip


# erf(x) / x as a quotient of polynomials in x * x, fitted to a relative error of 2e-8 for |x| up to 3.9, beyond which erf is 1
P_SINGLE = (2.066456954e-06, 2.850623562e-04, 3.738383492e-03, 5.266819542e-02, 1.896677932e-01, 1.128379148e00)
Q_SINGLE = (3.826985970e-05, 1.157383970e-03, 1.491435235e-02, 1.138193446e-01, 5.014214868e-01, 1.0)


def _erf_single(np, x):
    near = np.clip(x, -3.9, 3.9)
    y = near * near
    y = _horner_in_place(P_SINGLE, y) * near / _horner_in_place(Q_SINGLE, y)
    return np.where(np.abs(x) < 3.9, y, np.where(x != x, x, np.copysign(1.0, x).astype(y.dtype)))


def _erfc_single(np, x):
    a = np.minimum(np.abs(x), 11.0)  # beyond, it is 0
    t = 1.0 / (a * 0.5 + 1.0)
    high = (a.view(np.int32) & -4096).view(np.float32)  # its square is exact: rounding it would change the last digits of exp
    y = np.exp(_horner_in_place(COMPLEMENT, t) - (a - high) * (a + high)) * np.exp(-high * high) * t
    return np.where(x < 0, 2.0 - y, y)


def _horner_in_place(coefficients, x):
    y = x * coefficients[0]
    for c in coefficients[1:-1]:
        y += c
        y *= x
    y += coefficients[-1]
    return y


def _horner(coefficients, x):
    y = coefficients[0]
    for c in coefficients[1:]:
        y = y * x + c
    return y


def _erf_near(np, x):
    """erf for |x| up to 0.46875."""
    square = np.minimum(x * x, 1.0)
    return x * _horner(_P_SMALL, square) / _horner(_Q_SMALL, square)


def _erfc_far(np, a):
    """erfc for a above 0.46875."""
    square = a * a
    middle = _horner(_P_MIDDLE, np.minimum(a, 4.0)) / _horner(_Q_MIDDLE, np.minimum(a, 4.0))
    inverse = 1.0 / np.maximum(square, 1.0)
    tail = inverse * _horner(_P_LARGE, inverse) / _horner(_Q_LARGE, inverse)
    large = (1.0 / math.sqrt(math.pi) - tail) / np.maximum(a, 1.0)
    return np.exp(-square) * np.where(a <= 4.0, middle, large)


def _erf_double(np, x):
    a = np.abs(x)
    y = np.where(a <= 0.46875, _erf_near(np, a), 1.0 - _erfc_far(np, np.minimum(a, 6.0)))
    return np.where(np.isnan(x), x, np.copysign(y, x))


def _erfc_double(np, x):
    far = _erfc_far(np, np.minimum(np.abs(x), 30.0))  # beyond 27 it is 0 in float64
    y = np.where(np.abs(x) <= 0.46875, 1.0 - _erf_near(np, x), np.where(x < 0, 2.0 - far, far))
    return np.where(np.isnan(x), x, y)


# M. Giles, "Approximating the erfinv function", 2010: polynomials in w - 2.5 and, for w from 5 on, in sqrt(w) - 3, w = -log(1 - y**2)
INVERSE_CENTER = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164,
                  0.246640727, 1.50140941)  # fmt: skip
INVERSE_TAIL = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
                1.00167406, 2.83297682)  # fmt: skip
# erfc(x) = t * exp(-x**2 + a polynomial in t), t = 1 / (1 + x / 2) (W. Press et al., "Numerical Recipes"): to 1.2e-7 of the value
COMPLEMENT = (0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368, -1.26551223)


def _guess(np, y):
    w = np.atleast_1d(-np.log(np.maximum((1.0 - y) * (1.0 + y), y.dtype.type(1e-37))))
    center = _horner_in_place(INVERSE_CENTER, w - 2.5)
    far = w >= 5.0
    if far.any():
        center[far] = _horner_in_place(INVERSE_TAIL, np.sqrt(w[far]) - 3.0)
    return center.reshape(y.shape) * y


def _erfinv_ends(np, x, y):
    x = np.where(np.abs(y) == 1.0, np.copysign(np.inf, y).astype(y.dtype), x)
    return np.where(np.abs(y) > 1.0, np.nan, x).astype(y.dtype)


def _erfinv_double(np, y):
    x = _guess(np, y)
    for _ in range(2):
        x = x - (_erf_double(np, x) - y) * (math.sqrt(math.pi) / 2) * np.exp(np.minimum(x * x, 700.0))
    return _erfinv_ends(np, x, y)
