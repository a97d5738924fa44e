"""Attention on CUDA, run on the processor with a stand-in for cuBLASLt, against the ops' NumPy kernels."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import kerasish as keras
from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.kernels.cuda import attention
from kerasish.backend.kernels.cuda.launch import LibraryCall, Request, bind
from kerasish.ops.attention import _HIDDEN, _attention, _attention_gradient
from tests.backend.kernels import cuda_host as host
from tests.backend.kernels import nvrtc
from tests.backend.kernels.cuda_plans import HostBridge, on_host

pytestmark = pytest.mark.skipif(not host.available(), reason="g++ compiles the sources for the processor")
XP = NumpyArrays()
NO_MASK = np.array(True)
SIZES = [(2, 5, 7, 2, 8, 4), (1, 1, 1, 1, 1, 1), (3, 4, 33, 3, 5, 5), (4, 3, 6, 3, 1, 2), (5, 70, 2, 1, 3, 9), (2, 3, 100, 5, 4, 4), (3, 2, 513, 4, 2, 2)]


def arrays(batch, queries, keys, heads, size, value_size, dtype="float32"):
    rng = np.random.default_rng(0)
    shapes = (batch, queries, heads, size), (batch, keys, heads, size), (batch, keys, heads, value_size), (batch, queries, heads, value_size)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def bound(op, inputs, outputs, scale):
    """The launches of a call, and arrays for its results."""
    outputs = [np.full(y.shape, 99, y.dtype) for y in outputs]
    return bind(Request(op, {"scale": scale}, [host.buffer(x) for x in inputs], [host.buffer(y) for y in outputs])), outputs


def close(found, expected, tolerance):
    for a, b in zip(found, expected, strict=True):
        finite = np.isfinite(b)
        assert_array_equal(a[~finite], b[~finite])
        assert_allclose(a[finite], b[finite], rtol=0, atol=tolerance * np.max(np.abs(b[finite]), initial=1.0))


def check(query, key, value, g, mask=NO_MASK, scale=0.3):
    """Compare both ops; the launches of both."""
    tolerance = 1e-5 if query.dtype == "float32" else 1e-13
    with np.errstate(all="ignore"):
        y, weights = _attention.kernel(XP, query, key, value, mask, scale)
        slopes = _attention_gradient.kernel(XP, g, query, key, value, mask, y, weights, scale)
    forward, results = bound(_attention, [query, key, value, mask], [y, weights], scale)
    backward, gradients = bound(_attention_gradient, [g, query, key, value, mask, y, weights], slopes, scale)
    host.prepare([one.source for one in (*forward, *backward) if not isinstance(one, LibraryCall)])
    for launches, found, expected in ((forward, results, [y, weights]), (backward, gradients, slopes)):
        host.run(launches)
        close(found, expected, tolerance)
    return forward, backward


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sizes(sizes, dtype):
    forward, backward = check(*arrays(*sizes, dtype=dtype))
    calls = min(sizes[0], sizes[3])
    copied = calls > 2
    products = [sum(isinstance(one, LibraryCall) for one in launches) for launches in (forward, backward)]
    assert products == ([2, 4] if copied else [2 * calls, 4 * calls])
    assert [len(forward) - products[0], len(backward) - products[1]] == ([3, 3] if copied else [1, 1])


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("shape", [(4, None, 5, 21), (5, 21), (4, 1, 1, 21), (4, 1, 5, 1), (1, None, 1, 1), (1,)], ids=str)
def test_masks(shape, heads):
    mask = np.random.default_rng(1).random([heads if n is None else n for n in shape]) < 0.6
    mask.reshape(-1)[0] = True
    check(*arrays(4, 5, 21, heads, 3, 2), mask)
    check(*arrays(4, 5, 21, heads, 3, 2), np.ascontiguousarray(mask.T).T)


def test_a_query_that_sees_nothing():
    mask = np.ones((6, 9), bool)
    mask[2] = False
    check(*arrays(2, 6, 9, 2, 4, 4), mask)
    assert attention._HIDDEN == _HIDDEN


def test_strided_inputs():
    q, k, v, g = arrays(3, 4, 6, 3, 4, 4)
    three = np.concatenate([q, q, q], axis=3)  # as of one projection for all three
    check(three[..., 4:8], k[:, ::-1], v[:, ::2].repeat(2, axis=1), g)
    check(np.ascontiguousarray(q.transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0), np.ascontiguousarray(k.swapaxes(1, 2)).swapaxes(1, 2), v, g)
    q, k, v, g = (x[:, :, :2] for x in (q, k, v, g))
    check(q, k[..., ::-1], v, np.broadcast_to(g[:1, :1], g.shape))


def test_infinite_and_missing_numbers():
    q, k, v, g = arrays(2, 4, 5, 2, 3, 3)
    q[0, 1, 0, 0], k[1, 2, 1] = np.nan, np.inf
    check(q, k, v, g)
    q, k, v, g = arrays(2, 4, 5, 2, 3, 3)
    v[0, 1], g[1, 2] = np.inf, np.nan
    check(q, k, v, g, np.tri(4, 5, dtype=bool))


def test_long_rows_stay_in_memory(monkeypatch):
    assert attention._shape(16384) == (1024, 16)
    assert attention._shape(16385) == (1024, 0)
    assert [attention._shape(n) for n in (1, 3, 32, 33, 200, 512, 513)] == [(1, 1), (4, 1), (32, 1), (32, 2), (32, 7), (32, 16), (64, 9)]
    monkeypatch.setattr(attention, "_WIDEST", 64)
    monkeypatch.setattr(attention, "_KEPT", 2)
    assert attention._shape(200) == (64, 0)
    check(*arrays(2, 3, 200, 1, 4, 4), np.random.default_rng(0).random(200) < 0.5)
    check(*arrays(1, 3, 140, 2, 4, 4, dtype="float64"))


def test_what_is_not_taken():
    for sizes, dtype in (((2, 3, 0, 1, 4, 4), "float32"), ((2, 3, 3, 1, 4, 4), "float16")):
        q, k, v, _ = arrays(*sizes, dtype=dtype)
        y, weights = np.empty((*q.shape[:3], 4), dtype), np.empty((2, 1, 3, sizes[2]), dtype)
        assert bind(Request(_attention, {"scale": 1.0}, [host.buffer(x) for x in (q, k, v, NO_MASK)], [host.buffer(x) for x in (y, weights)])) is None


@pytest.mark.skipif(nvrtc.library() is None, reason="needs NVRTC: pip install nvidia-cuda-nvrtc-cu12")
def test_sources_compile_for_a_device():
    sources = set()
    for sizes, mask in [(sizes, mask) for sizes in SIZES for mask in (NO_MASK, np.ones(1, bool))]:
        sources |= {one.source for launches in check(*arrays(*sizes), mask) for one in launches if not isinstance(one, LibraryCall)}
    nvrtc.compile_all(sources)


@pytest.mark.parametrize(("heads", "causal"), [(2, False), (3, True)])
def test_training_gives_the_same(heads, causal, monkeypatch):
    def trained():
        keras.utils.set_random_seed(2)
        tokens = keras.Input((6,), dtype="int32")
        x = keras.layers.Embedding(11, 8)(tokens)
        x = keras.layers.LayerNormalization()(x + keras.layers.MultiHeadAttention(heads, 5)(x, x, use_causal_mask=causal))
        model = keras.Model(tokens, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling1D()(x)))
        model.compile(keras.optimizers.SGD(0.5), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        rng = np.random.default_rng(0)
        history = model.fit(rng.integers(0, 11, (24, 6)), rng.integers(0, 3, 24), batch_size=8, epochs=3, verbose=0, shuffle=False).history
        return history["loss"], model.get_weights()

    losses, weights = trained()
    bind_call, left = HostBridge.instructions, []

    def instructions(plan, call):
        made = bind_call(plan, call)
        left.extend([call.op.name] if made is None else [])
        return made

    monkeypatch.setattr(HostBridge, "instructions", staticmethod(instructions))
    with on_host():
        found_losses, found = trained()
    assert left == []
    assert_allclose(found_losses, losses, rtol=1e-5)
    for a, b in zip(found, weights, strict=True):
        assert_allclose(a, b, atol=1e-5)
