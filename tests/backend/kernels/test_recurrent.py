"""Whole sequences and their gradients, against the ops' NumPy kernels."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.kernels import copy, recurrent, threads  # noqa: F401  (they register the candidates)
from kerasish.backend.kernels.alone import run_alone
from kerasish.ops.recurrent import _gru, _gru_gradient, _lstm, _lstm_gradient

KINDS = {"lstm": (_lstm, _lstm_gradient, 4, 2), "gru": (_gru, _gru_gradient, 3, 1)}
every_kind = pytest.mark.parametrize("kind", KINDS)
XP = NumpyArrays()
RNG = np.random.default_rng(0)


def numbers(*shape, scale=1.0):
    return (RNG.standard_normal(shape) * scale).astype("float32")


def arguments(kind, batch, steps, units, masked=False, biased=True):
    *_, gates, states = KINDS[kind]
    bias = (2, 3 * units) if kind == "gru" else (4 * units,)
    return [
        numbers(batch, steps, gates * units),
        numbers(units, gates * units, scale=units**-0.5),
        numbers(*bias) if biased else np.zeros((), "float32"),
        *[numbers(batch, units) for _ in range(states)],
        RNG.random((batch, steps)) < 0.6 if masked else np.array(True),
    ]


def upstream(outputs, sequences=True):
    """Gradients of all outputs but the tape."""
    g, *states = (numbers(*y.shape) for y in outputs[:-1])
    return [g if sequences else np.zeros((), "float32"), *states]


def run(op, arrays, **attrs):
    """What the candidate gives and what the NumPy kernel gives; the tape without what is not filled."""
    want = op.kernel(XP, *arrays, **attrs)
    got = run_alone(op, arrays, outputs=[np.full(np.shape(y), 7, "float32") for y in want], **attrs)
    assert got is not None
    return [[_filled(y) for y in ys] for ys in (got, want)]


def _filled(y):
    return y if y.ndim < 4 else np.concatenate([y[:-1].ravel(), y[-1, 4].ravel()])


def close(got, want, tol=1e-5):
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tol * max(1e-3, np.abs(b).max(initial=0)))


def check(kind, args, reverse=False, sequences=True):
    op, gradient, *_ = KINDS[kind]
    close(*run(op, args, reverse=reverse, return_sequences=sequences))
    outputs = op.kernel(XP, *args, reverse=reverse, return_sequences=sequences)
    close(*run(gradient, [*upstream(outputs, sequences), *args, outputs[0], outputs[-1]], reverse=reverse))


@every_kind
@pytest.mark.parametrize("batch", [1, 3, 16, 17, 32, 33])
@pytest.mark.parametrize("units", [1, 5, 8, 64, 100])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_values_and_gradients(kind, batch, units, steps):
    check(kind, arguments(kind, batch, steps, units))


@every_kind
@pytest.mark.parametrize("batch", [2, 20])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_options(kind, batch, reverse, sequences, masked, biased):
    check(kind, arguments(kind, batch, 5, 12, masked, biased), reverse, sequences)


@every_kind
@pytest.mark.parametrize("batch", [1, 18])
def test_long_sequences(kind, batch):
    check(kind, arguments(kind, batch, 200, 20), reverse=True)


@every_kind
def test_strided_inputs(kind):
    x, *rest = arguments(kind, 9, 4, 6)
    wide = np.repeat(x, 2, axis=1)[:, ::2]
    check(kind, [wide, np.asfortranarray(rest[0]), *rest[1:]])


@every_kind
@pytest.mark.parametrize("batch", [2, 18])
def test_numbers_that_are_not_finite(kind, batch):
    x, *rest = arguments(kind, batch, 3, 10)
    x[0, 1, 3] = np.nan
    x[1, :, ::2] = np.inf
    x[1, :, 1::2] = -np.inf
    with np.errstate(all="ignore"):
        got, want = run(KINDS[kind][0], [x, *rest])
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


@every_kind
def test_masked_steps_may_hold_anything(kind):
    for batch in (2, 18):
        x, *rest, mask = arguments(kind, batch, 4, 10, masked=True)
        x[~mask] = np.nan
        with np.errstate(all="ignore"):
            check(kind, [x, *rest, mask])


@every_kind
def test_the_same_bits_for_any_number_of_threads(kind, monkeypatch):
    op, gradient, *_ = KINDS[kind]
    args, found = arguments(kind, 70, 6, 24), []
    given = upstream(op.kernel(XP, *args))
    for size in (1, 3):
        monkeypatch.setattr(threads, "_pool", threads.Pool(size))
        outputs = run_alone(op, args)
        slopes = run_alone(gradient, [*given, *args, outputs[0], outputs[-1]], reverse=False)
        found.append([_filled(y) for y in (*outputs, *slopes)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@every_kind
def test_small_numbers_keep_their_digits(kind):
    args = [a * np.float32(1e-6) if a.dtype == "float32" else a for a in arguments(kind, 3, 2, 8)]
    got, want = run(KINDS[kind][0], args)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-4, atol=1e-12)


@every_kind
def test_what_is_left_to_others(kind):
    op, *_ = KINDS[kind]
    args = arguments(kind, 2, 3, 4)
    assert run_alone(op, [a.astype("float64") if a.dtype == "float32" else a for a in args]) is None
    assert run_alone(op, [args[0][:, :0], *args[1:]]) is None
    args = arguments(kind, 1, 2, 300)
    outputs = run_alone(op, args)
    assert run_alone(KINDS[kind][1], [*upstream(outputs), *args, outputs[0], outputs[-1]], reverse=False) is None
