"""Compiled random numbers are those of the NumPy kernels, bit by bit."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from kerasish.backend import random
from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.kernels import random as kernels  # noqa: F401  (registers the candidates)
from kerasish.backend.kernels.alone import run_alone

KEYS = [np.array(key, "uint32") for key in ((0, 0), (42, 7), (2**32 - 1, 2**31))]
SHAPES = [(), (1,), (7,), (63,), (64,), (65,), (3, 5, 11), (100_001,), (0, 3)]


def check(op, *arrays, **attrs):
    with np.errstate(all="ignore"):
        want = op.kernel(NumpyArrays(), *arrays, **attrs)
    got = run_alone(op, arrays, outputs=[np.full(want.shape, 1, want.dtype)], **attrs)
    assert got is not None
    np.testing.assert_array_equal(got[0].view("uint8") if want.dtype == bool else got[0], want)


@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bits(shape, key):
    check(random.random_bits, key, shape=shape)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.05, 0.05), (0.0, 3.0), (2.0, 3.0), (5.0, 5.0), (-3.0, -1.0), (1.0, 1.0 + 1e-7), (2.0, 1.0)])
def test_uniform_numbers(low, high, dtype):
    for shape in SHAPES:
        check(random._uniform, KEYS[1], shape=shape, low=low, high=high, dtype=dtype)


@pytest.mark.parametrize("rate", [0.0, 0.5, 0.1, 0.25, 1 / 3, 0.999, 1e-12, 1.0])
def test_dropout_masks(rate):
    for shape in SHAPES:
        check(random.keep_mask, KEYS[1], shape=shape, rate=rate)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "mask"), [((5,), (5,)), ((7, 300), (7, 300)), ((4, 5, 6), (4, 1, 6)), ((4, 5), (5,)), ((70_001,), (70_001,))])
def test_masked_scale(shape, mask, dtype):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    x.reshape(-1)[:5] = np.nan, np.inf, -np.inf, -0.0, 1e-45
    mask = np.random.default_rng(1).random(mask) < 0.5
    check(random.masked_scale, x, mask, scale=1 / 0.9)
    check(random.masked_scale, np.ascontiguousarray(x.T).T, mask, scale=0.0)


def test_what_is_left_to_others():
    assert run_alone(random._uniform, [KEYS[0]], shape=(3,), low=0.0, high=1.0, dtype="float16") is None
    assert run_alone(random._normal, [KEYS[0]], shape=(3,), mean=0.0, stddev=1.0, dtype="float32") is None
    assert run_alone(random.random_bits, [KEYS[0].astype("int64")], shape=(3,)) is None
