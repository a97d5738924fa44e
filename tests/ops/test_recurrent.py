"""Sequence ops against the same steps written in ops, against real Keras, and their derivatives against differences."""

import typing
from collections.abc import Callable

import keras
import numpy as np
import pytest

from kerasish import ops
from kerasish.backend import arrays
from kerasish.backend.arrays import active
from kerasish.backend.autodiff.check import check_grads
from kerasish.backend.autodiff.gradient import grad, value_and_grad
from kerasish.backend.autodiff.op import as_tensor, cast
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.ops import recurrent
from tests.conformance.strict import StrictArrays

BATCH, UNITS = 3, 4


class Kind(typing.NamedTuple):
    op: typing.Any
    gradient: typing.Any
    in_steps: Callable
    layer: type
    gates: int
    states: int

    def results(self, *args, **attrs):
        """Sequence and last states, without the tape."""
        return self.op(*args, **attrs)[:-1]


KINDS = [
    Kind(recurrent._lstm, recurrent._lstm_gradient, recurrent._lstm_in_steps, keras.layers.LSTM, 4, 2),
    Kind(recurrent._gru, recurrent._gru_gradient, recurrent._gru_in_steps, keras.layers.GRU, 3, 1),
]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=["lstm", "gru"])
every_direction = pytest.mark.parametrize("reverse", [False, True])


def arguments(kind, steps=5, masked=False, biased=True, dtype="float64"):
    rng = np.random.default_rng(0)

    def array(*shape):
        return rng.uniform(-1, 1, shape).astype(dtype)

    bias = (2, 3 * UNITS) if kind.gates == 3 else (4 * UNITS,)
    return [
        array(BATCH, steps, kind.gates * UNITS),
        array(UNITS, kind.gates * UNITS),
        array(*bias) if biased else np.zeros((), dtype),
        *[array(BATCH, UNITS) for _ in range(kind.states)],
        np.array([[t % 3 != n % 3 for t in range(steps)] for n in range(BATCH)]) if masked else np.array(True),
    ]


def close(ours, theirs, tol=1e-12):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(np.asarray(a).astype("float64"), np.asarray(b).astype("float64"), rtol=tol, atol=tol)


# ---- values
@every_kind
@every_direction
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("steps", [0, 1, 5])
def test_values_and_gradients_are_those_of_the_steps(kind, reverse, masked, biased, steps):
    args = [as_tensor(x) for x in arguments(kind, steps, masked, biased)]

    def weighed(f):
        return lambda *xs: sum(ops.sum(ops.sin(y) * (i + 1)) for i, y in enumerate(f(*xs, args[-1], reverse=reverse)))

    close(kind.results(*args, reverse=reverse), kind.in_steps(*args, reverse))
    floats = [i for i, x in enumerate(args[:-1]) if x.ndim]
    ours, theirs = (value_and_grad(weighed(f), floats)(*args[:-1])[1] for f in (kind.results, kind.in_steps))
    assert [g.shape for g in ours] == [args[i].shape for i in floats]
    close(ours, theirs)


@every_kind
def test_a_bias_that_is_not_there_has_no_gradient(kind):
    x, kernel, bias, *rest = arguments(kind, biased=False)
    assert float(grad(lambda b: ops.sum(kind.results(x, kernel, b, *rest)[0]))(bias)) == 0


@every_kind
@every_direction
@pytest.mark.parametrize("masked", [False, True])
def test_values_are_those_of_keras(kind, reverse, masked):
    x, kernel, bias, *states, mask = arguments(kind, masked=masked, dtype="float32")
    layer = kind.layer(UNITS, return_sequences=True, return_state=True, go_backwards=reverse)
    layer.build(x.shape)
    layer.set_weights([np.eye(x.shape[-1]), kernel, bias])
    close(kind.results(x, kernel, bias, *states, mask, reverse=reverse), layer(x, initial_state=states, mask=mask if masked else None), 1e-5)


@every_kind
def test_masked_steps_may_hold_anything(kind):
    args = arguments(kind, masked=True)
    args[0][~args[-1]] = np.nan
    floats = tuple(range(len(args) - 1))
    slopes = grad(lambda *xs: sum(ops.sum(y) for y in kind.results(*xs, args[-1])), floats)(*args[:-1])
    for y in [*kind.results(*args), *slopes]:
        assert np.isfinite(y.numpy()).all()
    assert (slopes[0].numpy()[~args[-1]] == 0).all()


@every_kind
def test_large_inputs_saturate_in_silence(kind):  # without the silence around an op's kernel, a warning would be an error
    x, *rest = arguments(kind, dtype="float32")
    sequence, *_ = kind.op.kernel(active.xp, np.sign(x) * np.float32(1e30), *rest)
    assert (np.abs(sequence) <= 1).all()


# ---- derivatives
@every_kind
@pytest.mark.parametrize(
    ("options", "masked", "order"),
    [({}, False, 3), ({"reverse": True, "return_sequences": False}, True, 2)],
)
def test_derivatives_of_higher_order(kind, options, masked, order):
    *args, mask = arguments(kind, 2, masked)
    first = 0 if options.get("return_sequences", True) else 1
    check_grads(lambda *xs: kind.results(*xs, mask, **options)[first:], args, order=order, rtol=1e-4)


@every_kind
def test_last_states_alone_have_the_gradients_that_they_have_beside_the_sequence(kind):
    *args, mask = arguments(kind)
    found = [
        grad(lambda *xs: sum(ops.sum(y) for y in kind.results(*xs, mask, return_sequences=flag)[1:]), (0, 1))(*args)  # noqa: B023
        for flag in (False, True)
    ]
    close(*found)


# ---- dtypes
@every_kind
@pytest.mark.parametrize(("dtype", "tol"), [("bfloat16", 2e-2), ("float16", 2e-3), ("float32", 2e-6), ("float64", 1e-12)])
def test_dtypes(kind, dtype, tol):
    *args, mask = arguments(kind, masked=True)
    args = [cast(x, dtype) for x in args]

    def f(*xs):
        return ops.sum(ops.sin(cast(kind.results(*xs, mask)[0], "float64")))

    results = kind.op(*args, mask)
    assert [y.dtype for y in results] == [dtype] * (1 + kind.states) + ["float64" if dtype == "float64" else "float32"]
    wide = [cast(x, "float64") for x in args]
    close(results[:-1], kind.in_steps(*wide, as_tensor(mask), False), tol)
    slopes, expected = (grad(f, (0, 1, 2, 3))(*xs) for xs in (args, wide))
    assert {g.dtype for g in slopes} == {dtype}
    close(slopes, expected, 4 * tol)


# ---- arrays and memory
def first_order(kind, inputs):
    """What the kernels of both ops give, written anew or into buffers."""
    xp = active.xp
    given = [xp.asarray(x) for x in inputs]
    forward = kind.op.kernel(xp, *given)
    backward = kind.gradient.kernel(xp, *forward[:-1], *given, forward[0], forward[-1])
    return given, forward, backward


@every_kind
def test_strict_arrays(kind):
    inputs = arguments(kind, masked=True)
    _, forward, backward = first_order(kind, inputs)
    before = arrays.use(StrictArrays())
    try:
        _, *strict = first_order(kind, inputs)
        strict = [active.xp.to_numpy(y) for y in [*strict[0][:-1], *strict[1]]]
    finally:
        arrays.use(before)
    close(strict, [*forward[:-1], *backward], 0)


@every_kind
def test_results_go_into_buffers(kind):
    given, forward, backward = first_order(kind, arguments(kind, masked=True))
    for op, inputs, expected in (
        (kind.op, given, forward),
        (kind.gradient, [*forward[:-1], *given, forward[0], forward[-1]], backward),
    ):
        out = tuple(np.full_like(y, 7) for y in expected)
        found = op.kernel(active.xp, *inputs, out=out)
        assert all(a is b for a, b in zip(found, out, strict=True))
        for a, b in zip(found, expected, strict=True):
            whole = slice(None) if a.ndim < 4 else slice(-1)  # the tape's last row is not whole
            close([a[whole] if a.ndim else a], [b[whole] if b.ndim else b], 0)


@every_kind
def test_inputs_stay_as_they_are(kind):
    inputs = arguments(kind, masked=True)
    before = [x.copy() for x in inputs]
    first_order(kind, inputs)
    close(inputs, before, 0)


# ---- shapes
@every_kind
def test_unknown_sizes(kind):
    def tensor(*shape):
        return Tensor(None, shape, "float16")

    shapes = [(None, None, kind.gates * 5), (5, kind.gates * 5), (2, 15) if kind.gates == 3 else (20,)] + [(None, 5)] * kind.states
    inputs = [tensor(*s) for s in shapes]
    *results, tape = kind.op(*inputs, as_tensor(True))
    assert [y.shape for y in results] == [(None, None, 5)] + [(None, 5)] * kind.states
    assert (tape.shape, tape.dtype) == ((None, 5, 5, None), "float32")
    assert kind.op(tensor(2, 7, kind.gates * 5), *inputs[1:], Tensor(None, (2, 7), "bool"))[-1].shape == (8, 5, 5, 2)
    slopes = kind.gradient(*results, *inputs, as_tensor(True), results[0], tape)
    assert [(g.shape, g.dtype) for g in slopes] == [(s, "float16") for s in shapes]


@every_kind
def test_shapes_that_do_not_fit(kind):
    x, kernel, *rest = arguments(kind)
    for wrong in ([x[..., 1:], kernel, *rest], [x, kernel[1:], *rest], [x, kernel, rest[0], rest[1][:, 1:], *rest[2:]]):
        with pytest.raises(ValueError, match="Expected inputs"):
            kind.op(*wrong)
