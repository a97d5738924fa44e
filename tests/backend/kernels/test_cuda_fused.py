"""CUDA C of fused groups, run on the processor, against the NumPy kernels of their calls."""


import numpy as np
import pytest
from numpy.testing import assert_array_equal

from kerasish import ops
from kerasish.backend.kernels import domain
from kerasish.backend.kernels.cuda import bridge, fused
from kerasish.backend.kernels.cuda.launch import Request, bind
from kerasish.backend.kernels.cuda.steps import STEPS
from kerasish.backend.kernels.group import Fused
from kerasish.backend.plan.fuse import fuse
from kerasish.ops.normalization import _moments
from tests.backend.kernels import cuda_host as host
from tests.backend.kernels import nvrtc
from tests.backend.traces import RandomFunction, agree, run, traced

pytestmark = pytest.mark.skipif(not host.available(), reason="g++ compiles the sources for the processor")


def compiled(call, inputs):
    outputs = [np.full(call.op.specs[i].shape, 7, call.op.specs[i].numpy_dtype) for i in call.op.outputs]
    request = Request(call.op, call.attrs, [host.buffer(np.ascontiguousarray(x)) for x in inputs], [host.buffer(y) for y in outputs])
    launches = bind(request)
    assert launches is not None, call
    host.run(launches)
    return outputs


def check(function, *arrays, tol=3e-6, atol=1e-30):
    """Compare all values that leave groups."""
    arrays = [np.asarray(x) for x in arrays]
    trace, values = traced(function, *arrays)
    made = fuse(trace, True, bridge.DTYPES)
    assert any(isinstance(c.op, Fused) for c in made.calls)
    agree(run(trace, values), run(made, values, compiled), trace.kept(), tol, atol)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


@pytest.mark.parametrize("seed", range(12))
def test_random_functions(seed):
    function = RandomFunction(seed)
    check(function, *function.arrays, tol=3e-5, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (1, 5), (7, 16), (12, 70), (600, 100), (5, 3000), (2, 9000)])
def test_rows_and_columns(shape):
    x, bias = normal(*shape), normal(shape[1], seed=1)

    def several(x, b):
        y = x * b
        return ops.relu(x + b), ops.sum(y, 0), ops.max(y, 0), ops.mean(y)

    check(several, x, bias)
    if shape[1] > 1:
        check(lambda x, b: (ops.softmax(x + b), ops.sum(ops.softmax(x + b), 0), ops.mean(ops.softmax(x + b) * b)), x, bias)
        check(lambda x, g, b: ops.layer_normalization(x, g, b, epsilon=0.1), x, bias, bias + 1, tol=1e-5)
        check(lambda x: (ops.argmax(x, -1), ops.argmin(x, -1), ops.max(x, -1), *_moments(x, axes=(1,), keepdims=True)), x.round(0), tol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "uint32"])
def test_remainders_quotients_and_products(dtype):
    size = np.dtype(dtype).itemsize
    x, y = np.random.default_rng(0).integers(0, 256, (2, 1000 * size), dtype="uint8").view(dtype)
    x[:4], y[:7], y[4] = [0, 7, 5, 9], np.array([0, 0, 3, 4, 2, 1, 1]).astype(dtype), np.array(-1).astype(dtype)
    with np.errstate(all="ignore"):
        check(lambda x, y: (ops.fmod(x, y), ops.mod(x, y), ops.floor_divide(x, y)), x, y)
        check(lambda x: ops.prod(x * x), (x % 3 + 1).reshape(40, 25))
        check(lambda x: (ops.angle(x), ops.signbit(x)), x.astype("float32"))


@pytest.mark.parametrize("shape", [(7, 16), (300, 40), (2, 9000)])
def test_half_precision(shape):
    x, bias = normal(*shape).astype("float16"), normal(shape[1], seed=1).astype("float16")
    check(lambda x, b: (ops.relu(x + b), ops.max(x * b, 0), ops.isfinite(x * 60000.0)), x, bias, tol=2e-3)
    check(lambda x, b: (ops.softmax(x + b), ops.max(ops.softmax(x + b), 0)), x, bias, tol=4e-3)


def test_a_step_that_overflows_a_half_is_infinite_in_the_next():
    x = np.array([300.0, 2.0], "float16")
    check(lambda x: (x * x, ops.isfinite(x * x)), x)


def test_offsets_of_64_bits(monkeypatch):
    shape_of = fused._shape
    monkeypatch.setattr(fused, "_shape", lambda *args: shape_of(*args)._replace(index="i64"))
    x, bias = normal(30, 40), normal(40, seed=1)
    check(lambda x, b: (ops.softmax(x + b), ops.sum(ops.softmax(x + b), 0)), x, bias)
    check(lambda x, b: (ops.tanh(x + b), ops.sum(ops.tanh(x + b), 0)), x, bias)
    check(lambda x, b: ops.tanh(x + b), x, bias)


def test_the_same_bits_every_time():
    x = normal(3000, 40)
    trace, values = traced(lambda x: (ops.sum(ops.exp(x), 0), ops.mean(x * x)), x)
    made = fuse(trace)
    first, second = (run(made, values, compiled) for _ in range(2))
    for i in trace.kept():
        assert_array_equal(first[i], second[i])


def test_every_step_is_written_in_cuda_c():
    elements = domain._ALIGN[domain.elements]
    assert set(elements) - domain.VIEWS <= STEPS.keys()


@pytest.mark.skipif(nvrtc.library() is None, reason="needs NVRTC: pip install nvidia-cuda-nvrtc-cu12")
def test_two_passes_over_a_row_compute_the_same_number():
    """A sum that takes in a product where that is not needed, and not where it is, would be no row's maximum any more."""

    def function(a, b, c):
        product = a * b
        x = product + c
        hits = ops.cast(x == ops.max(x, axis=-1, keepdims=True), "float32")
        return product, hits / ops.sum(hits, axis=-1, keepdims=True)

    trace, _ = traced(function, *(normal(5, 100, seed=i) for i in range(3)))
    [call] = fuse(trace, True, bridge.DTYPES).calls
    specs = [call.op.specs[i] for i in range(call.op.n_inputs)], [call.op.specs[i] for i in call.op.outputs]
    buffers = ([host.buffer(np.zeros(spec.shape, spec.numpy_dtype)) for spec in side] for side in specs)
    [ptx] = nvrtc.compile_all(launch.source for launch in bind(Request(call.op, call.attrs, *buffers)))
    assert "mul.rn.f32" in ptx
    assert "fma" not in ptx
