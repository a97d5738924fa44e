"""Resampling against a matrix product."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from kerasish.backend.kernels import copy, resample  # noqa: F401  (they register the candidates)
from kerasish.backend.kernels.alone import run_alone
from kerasish.ops import image


def resampled(x, axis, weights):
    return run_alone(image._resampled, [x, weights], axis=axis, weights=weights)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("method", ["bilinear", "bicubic", "lanczos5"])
@pytest.mark.parametrize(("m", "n"), [(40, 20), (40, 37), (40, 97), (40, 1)])
def test_any_axis(m, n, method, dtype):
    for antialias in (False, True) if n > 1 else (False,):
        weights = image._resize_weights(m, n, method, antialias, dtype)
        for axis, shape in enumerate([(m, 3, 5), (2, m, 33), (2, 5, m), (2, m, 1), (2, 3, m)]):
            x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
            axis = min(axis, 2) if shape[min(axis, 2)] == m else 1
            for given in (x, np.asfortranarray(x)):
                (got,) = resampled(given, axis, weights)
                want = np.moveaxis(np.moveaxis(x, axis, -1) @ weights, -1, axis)
                np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 if dtype == "float32" else 1e-13)


def test_what_is_not_finite_stays_where_it_is():
    x = np.zeros((1, 40, 2), "float32")
    x[0, 20, 1] = np.nan
    (got,) = resampled(x, 1, image._resize_weights(40, 80, "bilinear", False, "float32"))
    assert np.argwhere(np.isnan(got[0])).tolist() == [[39, 1], [40, 1], [41, 1], [42, 1]]


def test_full_matrices_are_left_to_products():
    assert resampled(np.zeros((2, 40), "float32"), 1, np.ones((40, 3), "float32")) is None


def test_bands_of_empty_columns():
    weights = np.zeros((5, 3))
    weights[4, 1] = 2
    first, factors = resample.bands(weights)
    assert first.tolist() == [0, 4, 0]
    assert factors.tolist() == [[0, 2, 0]]
