"""CUDA C of whole sequences and their gradients, run on the processor, against the ops' own NumPy kernels."""

import itertools
import re

import numpy as np
import pytest

import kerasish as keras
from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.autodiff.dtypes import numpy_dtype
from kerasish.backend.kernels.cuda import products, recurrent
from kerasish.backend.kernels.cuda.launch import Request, bind
from kerasish.ops.recurrent import _gru, _gru_gradient, _lstm, _lstm_gradient
from tests.backend.kernels import cuda_host as host
from tests.backend.kernels import nvrtc
from tests.backend.kernels.cuda_plans import HostBridge, on_host

pytestmark = pytest.mark.skipif(not host.available(), reason="g++ compiles the sources for the processor")
KINDS = {"lstm": (_lstm, _lstm_gradient, 4, 2), "gru": (_gru, _gru_gradient, 3, 1)}
every_kind = pytest.mark.parametrize("kind", KINDS)
XP = NumpyArrays()
RNG = np.random.default_rng(0)
TOLERANCE = {"float32": 1e-5, "float64": 1e-13, "float16": 2e-3, "bfloat16": 2e-2}


@pytest.fixture(autouse=True)
def whole_digits(monkeypatch):
    monkeypatch.setenv("KERASISH_TF32", "0")


def numbers(*shape, dtype="float32", scale=1.0):
    return (RNG.standard_normal(shape) * scale).astype(numpy_dtype(dtype))


def arguments(kind, batch, steps, units, masked=False, biased=True, dtype="float32"):
    *_, gates, states = KINDS[kind]
    bias = (2, 3 * units) if kind == "gru" else (4 * units,)
    return [
        numbers(batch, steps, gates * units, dtype=dtype),
        numbers(units, gates * units, dtype=dtype, scale=units**-0.5),
        numbers(*bias, dtype=dtype) if biased else np.zeros((), numpy_dtype(dtype)),
        *[numbers(batch, units, dtype=dtype) for _ in range(states)],
        RNG.random((batch, steps)) < 0.6 if masked else np.array(True),
    ]


def upstream(outputs, sequences=True):
    """Gradients of all outputs but the tape."""
    g, *states = (numbers(*y.shape, dtype=y.dtype.name) for y in outputs[:-1])
    return [g if sequences else np.zeros((), g.dtype), *states]


def launches(op, arrays, outputs, **attrs):
    return bind(Request(op, attrs, [host.buffer(x) for x in arrays], [host.buffer(y) for y in outputs]))


def run(op, arrays, **attrs):
    """What the candidate gives and what the NumPy kernel gives; the tape without what is not filled."""
    with np.errstate(all="ignore"):
        want = op.kernel(XP, *arrays, **attrs)
    want = [np.asarray(y, arrays[0].dtype) if np.ndim(y) == 0 else y for y in want]
    got = [np.full(y.shape, 7, y.dtype) for y in want]
    host.run(launches(op, arrays, got, **attrs))
    return [[_filled(y) for y in ys] for ys in (got, want)]


def _filled(y):
    return y if y.ndim < 4 else np.concatenate([y[:-1].ravel(), y[-1, 4].ravel()])


def close(got, want, tol=1e-5):
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype
        a, b = a.astype("float64"), b.astype("float64")
        np.testing.assert_allclose(a, b, rtol=0, atol=tol * max(1e-3, np.abs(b).max(initial=0, where=np.isfinite(b))))


def check(kind, args, reverse=False, sequences=True):
    op, gradient, *_ = KINDS[kind]
    tol = TOLERANCE[args[0].dtype.name]
    close(*run(op, args, reverse=reverse, return_sequences=sequences), tol)
    with np.errstate(all="ignore"):
        outputs = op.kernel(XP, *args, reverse=reverse, return_sequences=sequences)
    close(*run(gradient, [*upstream(outputs, sequences), *args, outputs[0], outputs[-1]], reverse=reverse), tol)


@every_kind
@pytest.mark.parametrize("batch, steps", [(1, 1), (5, 7), (3, 2)])
@pytest.mark.parametrize("units", [1, 5, 17, 64])
def test_values_and_gradients(kind, batch, units, steps):
    check(kind, arguments(kind, batch, steps, units))


@every_kind
@pytest.mark.parametrize("units", [97, 130])
def test_more_units_than_registers_hold(kind, units):
    check(kind, arguments(kind, 5, 2, units))


@every_kind
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_options(kind, reverse, sequences, masked, biased):
    check(kind, arguments(kind, 2, 5, 9, masked, biased), reverse, sequences)


@pytest.fixture
def in_steps(monkeypatch):
    """Block in which no block of threads can have a whole recurrent kernel."""
    monkeypatch.setattr(recurrent, "_SHARED", -1)


@every_kind
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_options_in_steps(kind, reverse, sequences, masked, biased, in_steps):
    check(kind, arguments(kind, 2, 3, 5, masked, biased), reverse, sequences)


@every_kind
@pytest.mark.parametrize("batch, units", [(1, 1), (33, 6), (3, 70)])
def test_sizes_in_steps(kind, batch, units, in_steps):
    check(kind, arguments(kind, batch, 2, units))


@every_kind
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_dtypes(kind, dtype):
    check(kind, arguments(kind, 3, 5, 20, masked=True, dtype=dtype))


@every_kind
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_dtypes_in_steps(kind, dtype, in_steps):
    check(kind, arguments(kind, 3, 3, 6, masked=True, dtype=dtype), reverse=True)


@every_kind
def test_wide_kernels_of_doubles(kind):
    check(kind, arguments(kind, 2, 2, 81, dtype="float64"))


@every_kind
def test_many_terms_of_the_kernels_gradient(kind):
    check(kind, arguments(kind, 7, 41, 6))


@every_kind
def test_a_kernels_gradient_in_pieces(kind, monkeypatch):
    monkeypatch.setattr(products, "_LARGEST", 2 * 2 * 2 * 4 * 5)
    check(kind, arguments(kind, 2, 2, 5))


@every_kind
def test_gradient_of_the_kernel_in_tf32(kind, monkeypatch):
    monkeypatch.setenv("KERASISH_TF32", "1")
    _, gradient, *_ = KINDS[kind]
    args = arguments(kind, 6, 50, 5)
    outputs = KINDS[kind][0].kernel(XP, *args)
    got, want = run(gradient, [*upstream(outputs), *args, outputs[0], outputs[-1]], reverse=False)
    close(got[1:2], want[1:2], 1e-3)
    close([got[0], *got[2:]], [want[0], *want[2:]])
    assert np.abs(got[1] - want[1]).max() > 1e-5


@every_kind
def test_strided_inputs(kind):
    x, *rest = arguments(kind, 3, 4, 6)
    check(kind, [np.repeat(x, 2, axis=1)[:, ::2], np.asfortranarray(rest[0]), *rest[1:]])


@every_kind
def test_numbers_that_are_not_finite(kind):
    x, *rest = arguments(kind, 2, 3, 10)
    x[0, 1, 3] = np.nan
    x[1, :, ::2] = np.inf
    x[1, :, 1::2] = -np.inf
    check(kind, [x, *rest])


@every_kind
def test_masked_steps_may_hold_anything(kind):
    x, *rest, mask = arguments(kind, 3, 4, 10, masked=True)
    x[~mask] = np.nan
    check(kind, [x, *rest, mask])


@every_kind
def test_small_numbers_keep_their_digits(kind):
    args = [a * np.float32(1e-6) if a.dtype == "float32" else a for a in arguments(kind, 3, 2, 8)]
    got, want = run(KINDS[kind][0], args, reverse=False, return_sequences=True)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-4, atol=1e-12)


@every_kind
def test_the_same_bits_again(kind):
    op, gradient, *_ = KINDS[kind]
    args = arguments(kind, 6, 30, 5)
    outputs = op.kernel(XP, *args)
    given = [*upstream(outputs), *args, outputs[0], outputs[-1]]
    one, other = (run(gradient, given, reverse=False)[0] for _ in range(2))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@every_kind
def test_what_is_left_to_others(kind):
    op, *_ = KINDS[kind]
    x, *rest = arguments(kind, 2, 3, 4)
    outputs = op.kernel(XP, x, *rest)
    assert launches(op, [x, *rest], outputs, reverse=False, return_sequences=True)
    assert launches(op, [x.astype("float64"), *rest], outputs, reverse=False, return_sequences=True) is None
    assert launches(op, [x[:, :0], *rest], outputs, reverse=False, return_sequences=True) is None


@every_kind
@pytest.mark.parametrize("units", [5, 150])
def test_every_parameter_has_an_argument(kind, units):
    op, gradient, *_ = KINDS[kind]
    args = arguments(kind, 2, 3, units)
    outputs = op.kernel(XP, *args)
    back = [*outputs[:-1], *args, outputs[0], outputs[-1]]
    found = launches(op, args, outputs, reverse=False, return_sequences=True)
    found += launches(gradient, back, gradient.kernel(XP, *back), reverse=False)
    for launch in found:
        assert len(launch.args) == len(re.search(r" kernel\((.*)\) \{", launch.source).group(1).split(", "))


@every_kind
def test_how_many_launches(kind):
    """Without what is summed over steps: one and a transposition, for any number of steps."""
    op, *_ = KINDS[kind]
    for steps in (1, 9):
        args = arguments(kind, 2, steps, 4)
        assert len(launches(op, args, op.kernel(XP, *args), reverse=False, return_sequences=True)) == 2


@pytest.mark.skipif(nvrtc.library() is None, reason="needs NVRTC: pip install nvidia-cuda-nvrtc-cu12")
def test_sources_compile_for_a_device():
    sources = set()
    for kind, units, dtype in itertools.product(KINDS, (5, 64, 100, 200), recurrent._DTYPES):
        op, gradient, *_ = KINDS[kind]
        args = arguments(kind, 2, 1, units, dtype=dtype)
        outputs = op.kernel(XP, *args)
        back = [*args, outputs[0], outputs[-1]]
        sources.update(launch.source for launch in launches(op, args, outputs, reverse=False, return_sequences=True))
        found = launches(gradient, [*outputs[:-1], *back], gradient.kernel(XP, *outputs[:-1], *back), reverse=False)
        sources.update(launch.source for launch in found)
    nvrtc.compile_all(sources)


def trained(cell, masked, policy):
    keras.utils.set_random_seed(3)
    rng, layers = np.random.default_rng(0), keras.layers
    cell = getattr(layers, cell)
    model = keras.Sequential([
        keras.Input((6,), dtype="int32"),
        layers.Embedding(30, 8, mask_zero=masked),
        cell(7, return_sequences=True, dtype=policy),
        layers.Bidirectional(cell(5, dtype=policy)),
        layers.Dense(1, activation="sigmoid"),
    ])  # fmt: skip
    model.compile("adam", "binary_crossentropy")
    x, y = rng.integers(0, 30, (24, 6)), rng.integers(0, 2, (24, 1)).astype("float32")
    return model.fit(x, y, batch_size=8, epochs=3, verbose=0, shuffle=False).history["loss"], model.get_weights()


@pytest.mark.parametrize("cell, masked, policy", [("LSTM", False, "float32"), ("LSTM", True, "mixed_float16"), ("GRU", True, "float32")])
def test_training_gives_the_same(cell, masked, policy, monkeypatch):
    losses, weights = trained(cell, masked, policy)
    bound, instructions = {}, HostBridge.instructions

    def watched(plan, call):
        found = instructions(plan, call)
        bound.setdefault(call.op.name, set()).add(found is not None)
        return found

    monkeypatch.setattr(HostBridge, "instructions", staticmethod(watched))
    with on_host():
        found_losses, found = trained(cell, masked, policy)
    name = f"_{cell.lower()}"
    assert bound[name] == bound[f"{name}_gradient"] == {True}
    np.testing.assert_allclose(found_losses, losses, rtol=1e-5)
    for a, b in zip(found, weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
