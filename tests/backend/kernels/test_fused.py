"""Compiled groups against the NumPy kernels of their calls."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from kerasish import ops
from kerasish.backend.autodiff.op import sum_to
from kerasish.backend.kernels import copy, fused  # noqa: F401  (copies of strided inputs)
from kerasish.backend.kernels.alone import run_alone
from kerasish.backend.kernels.group import Fused
from kerasish.backend.plan.fuse import fuse
from kerasish.ops import activation, crossentropy, elementwise
from kerasish.ops.normalization import _moments
from tests.backend.traces import RandomFunction, agree, loss_and_gradients, run, traced


def compiled(call, inputs):
    outputs = [np.full(call.op.specs[i].shape, 7, call.op.specs[i].numpy_dtype) for i in call.op.outputs]
    assert run_alone(call.op, [np.asarray(x) for x in inputs], outputs=outputs) is not None, call
    return outputs


def check(function, *arrays, tol=3e-6, groups=None, atol=1e-30):
    """Compare, and say how many groups and other calls there were."""
    arrays = [np.asarray(x) for x in arrays]
    trace, values = traced(function, *arrays)
    made = fuse(trace)
    if groups is not None:
        assert (len(made.calls), all(isinstance(c.op, Fused) for c in made.calls)) == (groups, True), made
    agree(run(trace, values), run(made, values, compiled), trace.kept(), tol, atol)
    return made


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 30))
def test_random_functions(seed):
    function = RandomFunction(seed)
    check(function, *function.arrays, tol=3e-5, atol=1e-4)  # sums of numbers around 10 may cancel


SHAPES = [(1, 1), (3, 1), (1, 5), (7, 16), (5, 33), (130, 64), (12, 70), (600, 100), (9, 1000), (5000, 16), (3, 20000)]


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_and_columns(shape):
    x, bias, scale = normal(*shape), normal(shape[1], seed=1), normal(shape[0], 1, seed=2)
    check(lambda x, b: ops.relu(x + b), x, bias, groups=1)
    check(lambda x, g: (activation._gate(g, x), ops.sum(activation._gate(g, x), 0)), x, scale * bias, groups=1)
    check(lambda x, s: (ops.sum(x * s, -1), ops.max(x * s, 0), ops.mean(x * s)), x, scale, groups=1)
    check(lambda x, b: (ops.min(x + b, -1), ops.any(x > b, 0), ops.all(x > -3.0, -1)), x, bias)
    if shape[1] > 1:
        check(lambda x: ops.softmax(x), x, groups=1)
        check(lambda g, y: g * y - y * ops.sum(g * y, -1, keepdims=True), x, x * bias, groups=1, tol=1e-5)
        check(lambda x, g, b: ops.layer_normalization(x, g, b, epsilon=0.1), x, bias, bias + 1, groups=1, tol=1e-5)
        check(lambda x: tuple(_moments(x, axes=(1,), keepdims=True)), x, groups=1, tol=1e-5)
        check(lambda x: (ops.argmax(x, -1), ops.argmin(x, -1)), x.round(0), groups=1)


@pytest.mark.parametrize("shape", [(2, 3, 4), (5, 16, 16), (3, 70, 33), (40, 30, 8), (2, 400, 100)])
def test_three_axes(shape):
    x, per_image, channel = normal(*shape), normal(shape[0], 1, shape[2], seed=1), normal(shape[2], seed=2)
    check(lambda x: ops.mean(x, 1), x, groups=1)
    check(lambda g, x: activation._gate(ops.broadcast_to(g, shape) * 0.5, x), per_image, x, groups=1)

    def both(x, p, c):
        y = x * p + c
        return y, ops.mean(y, 1), ops.sum(y, (0, 1)), ops.max(y), ops.sum(y * y, (1, 2))

    check(both, x, per_image, channel, groups=1, tol=1e-5)
    check(lambda x, p: ops.sum(ops.softmax(x * p), (0, 1)), x, per_image, groups=1, tol=1e-5)
    row = normal(shape[0], shape[1], 1, seed=3)
    check(lambda x, r: (ops.sum(x * ops.exp(r), 1), ops.mean(ops.exp(r), 1)), x, row, tol=1e-5)


@pytest.mark.parametrize("rows, classes", [(1, 2), (128, 10), (32, 2), (9, 40), (5, 100)])
def test_loss(rows, classes):
    labels = np.random.default_rng(0).integers(0, classes, rows).astype("int32")
    check(loss_and_gradients, labels, normal(rows, classes), np.abs(normal(rows, seed=3)), groups=1, tol=1e-5)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
def test_classes(dtype):
    labels, logits, g = np.array([0, 4, 2, 1]).astype(dtype), normal(4, 5), normal(4)
    target = np.abs(normal(4, 5, seed=2))
    check(lambda y, x: crossentropy._in_range(y, x, axis=-1), np.array([0, 5, -1, 4], "int32"), logits)
    check(lambda y, x: crossentropy.sparse_categorical_crossentropy(y, x, from_logits=True), labels, logits)
    check(lambda y, g, x: crossentropy._sparse_softmax_crossentropy_logits(y, g, x, axis=-1), labels, g, logits)
    check(lambda y: ops.one_hot(y, 5), labels)
    check(lambda t, x: crossentropy.categorical_crossentropy(t, x, from_logits=True), target, logits)
    check(lambda g, t, x: crossentropy._softmax_crossentropy_logits(g, t, x, axis=-1), g[:, None], target, logits)
    check(lambda t, x: crossentropy.binary_crossentropy(t, x, from_logits=True), target, logits)


FLOATS = {
    name: getattr(ops, name)
    for name in [
    "negative", "reciprocal", "absolute", "sign", "square", "sqrt", "rsqrt", "exp", "expm1", "log", "log1p", "tanh", "sigmoid",
    "erf", "softplus", "log_sigmoid", "silu", "relu", "relu6", "leaky_relu", "hard_sigmoid", "hard_tanh", "hard_shrink",
    "soft_shrink", "elu", "celu", "gelu", "softsign", "squareplus", "isfinite", "isnan", "isinf", "floor", "ceil", "trunc",
    "logical_not", "zeros_like", "ones_like", "erfc", "erfinv", "exp2", "nan_to_num", "deg2rad", "rad2deg", "signbit", "angle",
    "sparse_sigmoid", "sparse_plus", "i0",
]
} | {
    "gelu_erf": lambda x: ops.gelu(x, approximate=False),
    "threshold": lambda x: ops.threshold(x, 0.5, 0.1),
    "clip": lambda x: ops.clip(x, -1.0, 0.7),
    "slope": elementwise._slope_of_absolute,
    "to_int": lambda x: ops.cast(ops.clip(x, -100.0, 100.0), "int32"),
    "to_bool": lambda x: ops.cast(x, "bool"),
    "to_double": lambda x: ops.cast(x, "float64"),
}
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 1e-20, 3e38, -3e38, 88.9, -88.9, 104.5, -104.5, 0.5, 6.0, 3.0, -3.0, 1e10],
                   "float32")  # fmt: skip


@pytest.mark.parametrize("name", FLOATS)
def test_functions(name):
    with np.errstate(all="ignore"):
        wide = np.concatenate([np.linspace(-6, 6, 501), np.geomspace(1e-6, 80, 100), -np.geomspace(1e-6, 80, 100)]).astype("float32")
        if name not in ("to_int", "gelu_erf"):
            check(FLOATS[name], SPECIAL)
        trace, values = traced(FLOATS[name], wide)
        (result,) = trace.kept()
        expected, got = (np.asarray(r[result], "float64") for r in (run(trace, values), run(fuse(trace), values, compiled)))
        assert_allclose(got, expected, rtol=3e-6, atol=1e-5 if name == "gelu_erf" else 2e-7)


BINARY = {
    name: getattr(ops, name)
    for name in [
    "add", "subtract", "multiply", "divide", "divide_no_nan", "maximum", "minimum", "power", "equal", "not_equal", "less",
    "less_equal", "greater", "greater_equal", "logical_and", "logical_or", "logical_xor", "logaddexp", "logaddexp2", "hypot", "nextafter",
    "heaviside", "isclose",
]
} | {
    "gate": activation._gate,
    "gate6": lambda x, y: activation._gate(x, y, 0.0, 6.0),
    "leak": lambda x, y: activation._leak(x, y, slope=0.3),
    "where": lambda x, y: ops.where(x, x, y),
    "wins": elementwise._wins,
}


@pytest.mark.parametrize("name", BINARY)
def test_pairs(name):
    check(BINARY[name], *np.broadcast_arrays(SPECIAL[:, None], SPECIAL))


@pytest.mark.parametrize("name", ["fmod", "mod", "floor_divide"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "uint32"])
def test_remainders_and_quotients_to_the_last_bit(name, dtype):
    rng, size = np.random.default_rng(0), np.dtype(dtype).itemsize
    bits = rng.integers(0, 256, 20_000 * size, dtype="uint8").view(dtype)
    pairs = [(bits, rng.permutation(bits))]
    if "float" in dtype:
        tenths, special = np.round(rng.normal(size=(2, 5000)) * 30) / 10, np.append(SPECIAL, [5e-324, 1e-45]).astype(dtype)
        pairs += [tuple(tenths.astype(dtype)), tuple(np.broadcast_arrays(special[:, None], special))]
    else:
        lowest, highest = np.iinfo(dtype).min, np.iinfo(dtype).max
        ends = np.array([lowest, highest, 0, 1, -1 if lowest else 2, 7]).astype(dtype)
        pairs += [tuple(np.broadcast_arrays(ends[:, None], ends)), (bits, bits % 7)]
    with np.errstate(all="ignore"):
        for x, y in pairs:
            trace, values = traced(getattr(ops, name), x, y)
            (result,) = trace.kept()
            want, got = (np.asarray(r[result]) for r in (run(trace, values), run(fuse(trace), values, compiled)))
            assert_array_equal(got, want)
            assert_array_equal(np.signbit(got) & (got == got), np.signbit(want) & (want == want))


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_products(axis):
    for x in (1 + normal(300, 70) / 100, np.where(normal(9, 33) > 2, np.nan, 1).astype("float32"), np.full((3, 5), 3, "int32")):
        check(lambda x: ops.prod(x, axis), x)
        check(lambda x: ops.nanprod(x, axis, keepdims=True), x)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "uint32", "bool", "float64"])
def test_dtypes(dtype):
    rng = np.random.default_rng(0)
    x, y = (rng.integers(0, 2 if dtype == "bool" else 200, (40, 37)).astype(dtype) for _ in range(2))
    for function in (ops.add, ops.multiply, ops.maximum, ops.minimum, ops.equal, ops.less, ops.greater_equal, ops.logical_and):
        check(function, x, y, groups=1)
    check(lambda x, y: (ops.sum(x, 0), ops.max(y, -1), ops.min(y), ops.argmax(x, -1), ops.any(x, 0), ops.all(y, 1)), x, y)
    for other in ("float32", "float64", "int32", "int64", "uint8", "bool"):
        check(lambda x, other=other: ops.cast(x, other), x)
    check(lambda x, y: ops.where(x > y, ops.cast(x, "float32"), 0.5), x, y, groups=1)


def test_nan_goes_through_reductions():
    x = normal(6, 40)
    x[1, 3], x[2, 5], x[4, :] = np.nan, np.inf, -np.inf
    for axis in (0, 1, None):
        check(lambda x, axis=axis: (ops.max(x, axis), ops.min(x, axis), ops.sum(x, axis), ops.mean(x, axis)), x)
    check(lambda x: (ops.softmax(x), ops.log_softmax(x), ops.logsumexp(x, -1), ops.argmax(x, -1)), x)


def test_strided_inputs():
    x = normal(30, 20)
    check(lambda x, y: ops.relu(x + y), x.T, normal(60, 60)[::3, ::2])


def adam(w, g, m, v, lr):
    m = m + (g - m) * (1 - 0.9)
    v = v + (ops.square(g) - v) * (1 - 0.999)
    return w - m * lr / (ops.sqrt(v) + 1e-7), m, v


@pytest.mark.parametrize("size", [1, 10, 1000, 300_000])
def test_results_in_the_place_of_inputs(size):
    arrays = [normal(size), normal(size, seed=1), normal(size, seed=2), np.abs(normal(size, seed=3)), np.float32(0.01)]
    made = check(adam, *arrays, groups=1)
    (call,) = made.calls
    assert call.op.elementwise
    trace, values = traced(adam, *arrays)
    expected = run(trace, values)
    places = [np.array(values[i]) for i in call.inputs]
    w, m, v = (places[call.inputs.index(trace.arguments[i])] for i in (0, 2, 3))
    by_result = dict(zip(trace.results, (w, m, v), strict=True))
    run_alone(call.op, places, outputs=[by_result[i] for i in call.outputs])
    for i, got in by_result.items():
        assert_allclose(got, expected[i], rtol=1e-5, atol=1e-6)


def test_the_number_of_threads_changes_no_bit():
    x, g = normal(5000, 40), normal(5000, 40, seed=1)
    trace, values = traced(lambda x, g: (ops.sum(x * g, 0), ops.sum(x * g), sum_to(ops.exp(x), shape=(1, 40))), x, g)
    (call,) = fuse(trace).calls
    inputs = [np.asarray(values[i]) for i in call.inputs]
    results = [run_alone(call.op, inputs, threads=n, outputs=[np.empty(call.op.specs[i].shape, "float32") for i in call.op.outputs]) for n in (1, 2, 7)]
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert_array_equal(a, b)


def test_equal_chains_share_a_kernel():
    from kerasish.backend.kernels.candidates import Buffer, Request, bind

    keys = set()
    for shape in [(100, 64), (30, 128), (7, 320)]:
        trace, _ = traced(lambda x, b: ops.relu(x + b), normal(*shape), normal(shape[1]))
        (call,) = fuse(trace).calls
        buffers = [[Buffer(i, trace.specs[i].shape, trace.specs[i].dtype) for i in part] for part in (call.inputs, call.outputs)]
        keys.update(repr(sorted(i.options.items())) for i in bind(Request(call.op, {}, *buffers, 2)))
    assert len(keys) == 1


def test_every_op_that_may_be_in_a_group_has_code():
    from kerasish.backend.kernels.domain import ALIGNED, REDUCTIONS, VIEWS
    from kerasish.backend.kernels.program import _WRITTEN
    from kerasish.backend.kernels.steps import STEPS

    assert not set(ALIGNED) - {*STEPS, *_WRITTEN, *REDUCTIONS, *VIEWS, "copy"}


def test_what_has_no_code_is_left_to_numpy():
    trace, _ = traced(lambda x: ops.exp(x) * 2.0, np.ones(5))
    (call,) = fuse(trace).calls
    assert run_alone(call.op, [np.ones(5), np.float64(2.0)], outputs=[np.empty(5)]) is None
