"""Elementary functions of vectors, in units in the last place."""

import math

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from kerasish.backend.kernels import vmath
from kerasish.backend.kernels.compile import compiled
from kerasish.backend.kernels.emit import f32, i64
from kerasish.backend.kernels.threads import run


def emit_one(k, name):
    x, y, n = k.arg(0, f32), k.arg(1, f32), k.arg(2, i64)
    k.each_vector(0, n, lambda i, v: v.store(getattr(vmath, name)(k, v.load(x, i)), y, i))


def emit_two(k, name):
    x, z, y, n = k.arg(0, f32), k.arg(1, f32), k.arg(2, f32), k.arg(3, i64)
    k.each_vector(0, n, lambda i, v: v.store(getattr(vmath, name)(k, v.load(x, i), v.load(z, i)), y, i))


def of(name, *xs):
    xs = [np.ascontiguousarray(x, "float32") for x in xs]
    y = np.empty_like(xs[0])
    run(compiled(emit_one if len(xs) == 1 else emit_two, name=name), [*xs, y, y.size])
    return y


def units(y, exact):
    """The largest distance in units in the last place, subnormal numbers counting as the smallest normal one does."""
    return np.max(np.abs(y.astype("float64") - exact) / np.maximum(np.spacing(np.abs(exact).astype("float32")), 1e-45))


def both_signs(*args):
    x = np.geomspace(*args, 20_001).astype("float32")
    return np.concatenate([-x[::-1], x])


@pytest.mark.parametrize(
    "name, function, x, most",
    [
        ("exp", np.exp, both_signs(1e-6, 87), 1.5),
        ("expm1", np.expm1, both_signs(1e-30, 88), 2),
        ("log", np.log, np.geomspace(1e-38, 1e38, 20_001), 1.5),
        ("log1p", np.log1p, np.concatenate([both_signs(1e-30, 0.99), np.geomspace(1, 1e38, 5001)]), 2),
        ("tanh", np.tanh, both_signs(1e-30, 20), 2),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x)), both_signs(1e-6, 80), 2.5),
        ("erf", np.vectorize(math.erf), both_signs(1e-30, 6), 1.5),
    ],
)
def test_close(name, function, x, most):
    x = x.astype("float32")
    assert units(of(name, x), function(x.astype("float64"))) <= most


SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-38, 89.0, -89.0, 200.0, -200.0, -1.0, 1.0, -2.0, 3e38, -3e38], "float32")


@pytest.mark.parametrize("name", ["exp", "expm1", "log", "log1p", "tanh"])
def test_special(name):
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(SPECIAL)
    np.testing.assert_allclose(of(name, SPECIAL), expected, rtol=3e-7, atol=2e-45)
    assert np.array_equal(np.signbit(of(name, SPECIAL[:2])), np.signbit(expected[:2]))


def test_power():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(0, 3, 20_000), rng.lognormal(0, 20, 20_000).clip(0, 1e38)]).astype("float32")
    y = np.concatenate([rng.uniform(-60, 60, 20_000), rng.normal(0, 1, 20_000)]).astype("float32")
    with np.errstate(all="ignore"):
        exact = np.power(x.astype("float64"), y)
    keep = (exact > 1e-37) & (exact < 3e38)
    assert keep.mean() > 0.5 and units(of("power", x, y)[keep], exact[keep]) <= 1


def test_power_of_special_numbers():
    x, y = (a.ravel() for a in np.meshgrid([*SPECIAL, 0.5, -0.5, 0.99], [*SPECIAL, 0.5, -0.5, 3.0, -3.0, 4.0, 2.5, 1e9]))
    with np.errstate(all="ignore"):
        expected = np.power(x.astype("float32"), y.astype("float32"))
    got = of("power", x, y)
    np.testing.assert_allclose(got, expected, rtol=2e-7, atol=2e-45)
    zero = (expected == 0) | np.isinf(expected)
    assert np.array_equal(np.signbit(got[zero]), np.signbit(expected[zero]))
