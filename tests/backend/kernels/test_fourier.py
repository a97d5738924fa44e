"""Fourier transforms against the ops' NumPy kernels."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.kernels import copy, fourier  # noqa: F401  (they register the candidates)
from kerasish.backend.kernels.alone import run_alone
from kerasish.ops.fourier import _fourier, _half_spectrum, _real_signal

RNG = np.random.default_rng(0)


def numbers(*shape):
    return RNG.standard_normal(shape).astype("float32")


def check(op, *arrays, **attrs):
    want = op.kernel(NumpyArrays(), *arrays, **attrs)
    got = run_alone(op, arrays, **attrs)
    for a, b in zip(got, want if isinstance(want, tuple) else [want], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 * np.abs(b).max() * np.log2(a.size))


@pytest.mark.parametrize("norm", ["backward", "forward", "ortho"])
@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize(
    ("shape", "axes"), [((16,), (-1,)), ((3, 32), (-1,)), ((40, 64), (1,)), ((2, 32, 16), (-2, -1)), ((2, 128, 5), (1,)), ((64, 2, 3), (0,)), ((2, 256), (-1,))], ids=str
)
def test_complex(shape, axes, inverse, norm):
    check(_fourier, numbers(*shape), numbers(*shape), axes=axes, inverse=inverse, norm=norm)


@pytest.mark.parametrize("inner", [1.0, 2.0, 0.5])
@pytest.mark.parametrize("norm", ["backward", "forward"])
@pytest.mark.parametrize("shape", [(16,), (3, 32), (33, 64), (2, 40, 512), (1, 1024)], ids=str)
def test_real(shape, norm, inner):
    check(_half_spectrum, numbers(*shape), norm=norm, inner=inner)
    half = (*shape[:-1], shape[-1] // 2 + 1)
    check(_real_signal, numbers(*half), numbers(*half), n=shape[-1], norm=norm, inner=inner)


def test_what_is_left_to_others():
    for x in (numbers(3, 20), numbers(3, 8), numbers(3, 32).astype("float64"), numbers(2, 1 << 13)):
        assert run_alone(_half_spectrum, [x]) is None
