"""The contract: what kernels may ask of the array library they are given as ``xp``.

``xp`` has NumPy's names (taken from ``module``) and the few methods below, which NumPy lacks or names otherwise. A new array
library is a subclass that overrides what it does differently or faster, and hands the rest on.
"""

import contextlib
import math


class Arrays:
    name = None  # as in ``config.backend()``
    module = None  # the namespace that has NumPy's names
    array_types = ()  # what counts as an array of this library
    block = 1 << 28  # bytes that a kernel of several passes works on at a time: many, where there is no cache to stay in

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(self.module, name)
        setattr(self, name, value)  # found once, then as quick as a method of its own
        return value

    # ---- in and out
    def asarray(self, x, dtype=None):
        """An array of this library from anything array-like; copies only if it must."""
        return self.module.asarray(x, dtype=dtype)

    def scalar(self, x, dtype):
        """A Python number as an operand of elementwise kernels: no transfer to a device."""
        return dtype.type(x)

    def to_numpy(self, array):
        """The values as a ``numpy.ndarray``: the only way out of a device."""
        raise NotImplementedError  # every library has its own; there is no default to fall back on

    def memory(self, nbytes):
        """A block of so many bytes, as uint8, that begins at a multiple of 64."""
        return self.module.empty(nbytes, dtype="uint8")

    def device_scope(self, kind, index):
        """Context in which arrays are made on that device; ValueError where this library has no such device."""
        if kind != "cpu" or index:
            raise ValueError(f"There is no device '{kind}:{index}': {self.name} arrays live on the CPU.")
        return contextlib.nullcontext()

    def parts(self, n, bytes_each):
        """Slices that cut ``n`` things of so many bytes into parts of about ``block`` bytes."""
        step = max(1, self.block // max(bytes_each, 1))
        return [slice(start, min(start + step, n)) for start in range(0, n, step)]

    # ---- log(0) is -inf and 0/0 is NaN, without a warning: around every kernel
    def silence(self):
        """Turn off warnings of floating-point errors; returns what ``unsilence`` needs."""

    def unsilence(self, token):
        """Put the warnings back as they were."""

    # ---- what NumPy has under other names, or not at all
    def scatter_add(self, target, index, values):
        """``target[index] += values`` with repeated indices adding up; changes and returns ``target``."""
        raise NotImplementedError

    def scatter_reduce(self, name, target, index, values):
        """As ``scatter_add`` with the function ``name``: "maximum", "minimum" or "multiply"."""
        getattr(self.module, name).at(target, index, values)
        return target

    def random_bits(self, key, size):
        """``size`` uint32 from the counter-based generator Philox4x64-10 with the key ``(key[0], key[1])``."""
        raise NotImplementedError

    def windows(self, x, sizes, axes):
        """A view with the sliding windows of ``sizes`` along ``axes`` appended as new last axes."""
        return self.module.lib.stride_tricks.sliding_window_view(x, sizes, axis=axes)

    def erf(self, x):
        """The error function: in double precision W. J. Cody's (1969), else to eight units in float32's last place, quickly."""
        np = self.module
        return _erf(np, x) if x.dtype == np.float64 else _erf_single(np, x.astype(np.float32)).astype(x.dtype)

    def erfc(self, x):
        """``1 - erf(x)``, exact also where that is tiny (W. J. Cody 1969)."""
        return _erfc(self.module, x.astype(self.module.float64)).astype(x.dtype)

    def erfinv(self, x):
        """Inverse of ``erf`` on (-1, 1): M. Giles 2010's first guess, then two Newton steps in float64."""
        return _erfinv(self.module, self.erf, x.astype(self.module.float64)).astype(x.dtype)


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
_P_SINGLE = (2.066456954e-06, 2.850623562e-04, 3.738383492e-03, 5.266819542e-02, 1.896677932e-01, 1.128379148e00)
_Q_SINGLE = (3.826985970e-05, 1.157383970e-03, 1.491435235e-02, 1.138193446e-01, 5.014214868e-01, 1.0)


def _erf_single(np, x):
    near = np.clip(x, -3.9, 3.9)
    y = near * near
    y = _horner_in_place(_P_SINGLE, y) * near / _horner_in_place(_Q_SINGLE, y)
    return np.where(np.abs(x) < 3.9, y, np.where(x != x, x, np.copysign(1.0, x).astype(y.dtype)))


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


def _erf(np, x):
    a = np.abs(x)
    y = np.where(a <= 0.46875, _erf_near(np, a), 1.0 - _erfc_far(np, np.minimum(a, 6.0)))
    return np.where(np.isnan(x), x, np.copysign(y, x))


def _erfc(np, x):
    far = _erfc_far(np, np.minimum(np.abs(x), 30.0))  # beyond 27 it is 0 in float64
    y = np.where(np.abs(x) <= 0.46875, 1.0 - _erf_near(np, x), np.where(x < 0, 2.0 - far, far))
    return np.where(np.isnan(x), x, y)


def _erfinv(np, erf, y):
    w = -np.log(np.maximum((1.0 - y) * (1.0 + y), 1e-300))
    center, tail = w - 2.5, np.sqrt(w) - 3.0
    guess = np.where(
        w < 5.0,
        _horner((2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164,
                 0.246640727, 1.50140941), center),
        _horner((-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
                 1.00167406, 2.83297682), tail),
    )  # fmt: skip
    x = guess * y
    for _ in range(2):
        x = x - (erf(x) - y) * (math.sqrt(math.pi) / 2) * np.exp(np.minimum(x * x, 700.0))
    x = np.where(np.abs(y) == 1.0, np.copysign(np.inf, y), x)
    return np.where(np.abs(y) > 1.0, np.nan, x)
