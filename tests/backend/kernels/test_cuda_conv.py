"""CUDA C of convolutions and their gradients, run on the processor, against the ops' own NumPy kernels."""

import ml_dtypes  # noqa: F401  (bfloat16)
import numpy as np
import pytest
from numpy.testing import assert_allclose

import kerasish as keras
from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.kernels.cuda import bridge, direct
from kerasish.backend.kernels.cuda import conv as of_windows
from kerasish.backend.kernels.cuda import depthwise as of_channels
from kerasish.backend.kernels.cuda.launch import Request
from kerasish.ops.conv import _conv_input, _conv_kernel, conv
from tests.backend.kernels import cuda_host as host
from tests.backend.kernels.cuda_plans import on_host

pytestmark = pytest.mark.skipif(not host.available(), reason="g++ compiles the sources for the processor")
XP = NumpyArrays()
CANDIDATES = {
    "conv": (of_windows.conv, of_channels.depthwise),
    "_conv_input": (of_windows.conv_input, of_channels.depthwise_input),
    "_conv_kernel": (of_windows.conv_kernel, of_channels.depthwise_kernel),
}
TOLERANCE = {"float32": 2e-5, "float64": 1e-12, "float16": 4e-3, "bfloat16": 3e-2}


@pytest.fixture(autouse=True)
def full_precision(monkeypatch):
    monkeypatch.setenv("KERASISH_TF32", "0")


def normal(*shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def agree(op, *arrays, tol=None, **attrs):
    attrs = {**op.defaults, **attrs}
    expected = op.kernel(XP, *arrays, **attrs)
    y = np.full(expected.shape, 7, expected.dtype)
    request = Request(op, attrs, [host.buffer(x) for x in arrays], [host.buffer(y)])
    own, depthwise = CANDIDATES[op.name]
    launches = depthwise(request) or own(request)
    host.run([*request.before, *launches])
    tol = tol or TOLERANCE[y.dtype.name]
    assert_allclose(y.astype("float64"), expected.astype("float64"), rtol=tol, atol=tol * max(1, float(np.abs(expected).max())))
    return launches


def all_three(shape, size, filters, groups=1, dtype="float32", data_format="channels_last", tol=None, **attrs):
    attrs = {"strides": 1, "padding": "valid", "data_format": data_format, "dilation_rate": 1, **attrs}
    if data_format == "channels_first":
        shape = (shape[0], shape[-1], *shape[1:-1])
    x = normal(*shape, dtype=dtype)
    channels = shape[-1] if data_format == "channels_last" else shape[1]
    w = normal(*size, channels // groups, filters, seed=1, dtype=dtype)
    g = normal(*conv.kernel(XP, x, w, **attrs).shape, seed=2, dtype=dtype)
    return [
        agree(conv, x, w, tol=tol, **attrs),
        agree(_conv_input, g, w, tol=tol, shape=x.shape, **attrs),
        agree(_conv_kernel, x, g, tol=tol, shape=w.shape, **attrs),
    ]


@pytest.mark.parametrize(("groups", "dtype"), [(1, "float32"), (2, "float64"), (2, "float16")])
@pytest.mark.parametrize("attrs", [{}, {"padding": "same", "strides": 2}, {"padding": "same", "dilation_rate": 2}, {"strides": (3, 2)}])
def test_images(attrs, groups, dtype):
    all_three((2, 7, 8, 8), (3, 2), 12, groups, dtype, **attrs)


@pytest.mark.parametrize("attrs", [{}, {"padding": "same", "strides": 2}, {"padding": "same", "dilation_rate": (1, 2), "groups": 3}])
def test_channels_first(attrs):
    all_three((2, 6, 5, 3), (3, 3), 6, data_format="channels_first", **attrs)


@pytest.mark.parametrize("attrs", [{"padding": "causal", "dilation_rate": 2}, {"padding": "same", "strides": 3}, {"strides": 4, "dilation_rate": 6}])
def test_sequences(attrs):
    all_three((3, 29, 5), (3,), 4, **attrs)


@pytest.mark.parametrize("attrs", [{}, {"padding": "same", "strides": (2, 1, 2)}])
def test_volumes(attrs):
    all_three((2, 5, 6, 4, 3), (2, 3, 2), 5, **attrs)


@pytest.mark.parametrize(("channels", "filters", "size", "strides"), [(1, 17, 3, 1), (3, 16, 3, 2), (1, 1, 5, 2), (20, 70, 1, 1), (33, 3, 2, 2)])
def test_channels_of_all_kinds(channels, filters, size, strides):
    all_three((2, 6, 7, channels), (size, size), filters, strides=strides, padding="same")


def test_long_sums_are_divided():
    x, g = normal(8, 20, 20, 4), normal(8, 18, 18, 8, seed=1)
    attrs = dict(strides=1, padding="valid", data_format="channels_last", dilation_rate=1)
    assert len(agree(_conv_kernel, x, g, shape=(3, 3, 4, 8), **attrs)) == 2
    assert len(agree(_conv_kernel, x, normal(8, 18, 18, 8), shape=(3, 3, 2, 8), **attrs)) == 2


def test_windows_that_miss_the_image():
    attrs = dict(strides=1, padding=((5, 0), (0, 5)), data_format="channels_last", dilation_rate=1)
    agree(conv, normal(1, 3, 3, 4), normal(2, 2, 4, 3), **attrs)


def test_borders_and_infinite_weights():
    x, w = normal(1, 3, 3, 2), normal(3, 3, 2, 4)
    w[0, 0, 0, 0], x[0, 2, 2, 1] = np.inf, np.nan
    attrs = dict(strides=1, padding="same", data_format="channels_last", dilation_rate=1)
    with np.errstate(invalid="ignore"):
        agree(conv, x, w, tol=1e-5, **attrs)


def test_views():
    x, w = normal(2, 6, 6, 16)[:, ::2, :, 4:12], normal(3, 3, 8, 8).transpose(1, 0, 3, 2)
    agree(conv, x, w, strides=1, padding="same", data_format="channels_last", dilation_rate=1)


def test_addresses_that_are_not_aligned():
    memory = normal(2 * 6 * 6 * 8 + 1)
    x = memory[1:].reshape(2, 6, 6, 8)
    assert x.ctypes.data % 16
    attrs = dict(strides=1, padding="same", data_format="channels_last", dilation_rate=1)
    agree(conv, x, normal(3, 3, 8, 8), **attrs)
    agree(conv, x, normal(3, 3, 1, 8), **attrs)


@pytest.mark.parametrize(("channels", "filters", "dtype"), [(8, 8, "float32"), (8, 8, "bfloat16"), (5, 10, "float64"), (3, 3, "float16")])
@pytest.mark.parametrize("attrs", [{}, {"padding": "same", "strides": 2}, {"padding": "same", "dilation_rate": 2}])
def test_depthwise(attrs, channels, filters, dtype):
    all_three((2, 7, 6, channels), (3, 2), filters, channels, dtype, **attrs)


def test_depthwise_of_all_ranks():
    all_three((2, 6, 5, 4), (3, 3), 8, 4, data_format="channels_first", padding="same")
    all_three((2, 19, 4), (5,), 4, 4, padding="causal")
    all_three((1, 4, 5, 4, 4), (2, 2, 2), 4, 4)
    all_three((1, 12, 12, 3), (7, 7), 3, 3, padding="same")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_tensor_cores(dtype, monkeypatch):
    monkeypatch.setenv("KERASISH_TF32", "1")
    tol = {"float32": 3e-3, "float16": 4e-3, "bfloat16": 3e-2}[dtype]
    all_three((2, 6, 7, 8), (3, 3), 20, dtype=dtype, tol=tol, padding="same")
    all_three((2, 6, 7, 3), (3, 3), 6, dtype=dtype, tol=tol, strides=2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("shape", "size", "filters", "attrs"), [
    ((2, 7, 6, 16), (3, 3), 16, {"padding": "same"}),
    ((2, 9, 8, 32), (3, 3), 48, {"padding": "same", "strides": 2}),
    ((2, 9, 8, 16), (1, 1), 80, {"strides": 2}),
    ((2, 20, 48), (3,), 16, {"dilation_rate": 2}),
    ((2, 9, 8, 32), (3, 2), 32, {"groups": 2, "strides": (2, 3)}),
    ((1, 4, 5, 6, 16), (2, 2, 2), 32, {}),
])  # fmt: skip
def test_rows_that_go_to_registers(shape, size, filters, attrs, dtype, monkeypatch):
    monkeypatch.setenv("KERASISH_TF32", "1")
    monkeypatch.setattr(direct, "divide", lambda *sizes, **how: (float("inf"), None))  # as if nothing else were quicker
    forward, back, _ = all_three(shape, size, filters, dtype=dtype, tol={"float32": 3e-3, "float16": 4e-3, "bfloat16": 3e-2}[dtype], **attrs)
    assert all("DEPTH" in launches[0].source for launches in (forward, back))


@pytest.mark.parametrize(("shape", "size", "filters", "dtype", "attrs"), [
    ((4, 20, 20, 16), (3, 3), 16, "float32", {}),
    ((3, 20, 21, 32), (3, 2), 32, "float32", {"padding": "same"}),
    ((4, 40, 40, 16), (1, 1), 48, "float16", {"strides": 2}),
    ((3, 24, 24, 32), (2, 2), 64, "bfloat16", {"padding": "same", "groups": 2}),
    ((2, 600, 16), (5,), 16, "float32", {"dilation_rate": 2}),
])  # fmt: skip
def test_sums_of_what_goes_to_registers(shape, size, filters, dtype, attrs, monkeypatch):
    monkeypatch.setenv("KERASISH_TF32", "1")
    attrs = {"strides": 1, "padding": "valid", "data_format": "channels_last", "dilation_rate": 1, **attrs}
    x, of_w = normal(*shape, dtype=dtype), (*size, shape[-1] // attrs.pop("groups", 1), filters)
    g = normal(*conv.shape(shape, of_w, **attrs), seed=1, dtype=dtype)
    launches = agree(_conv_kernel, x, g, tol=3e-2 if dtype == "bfloat16" else 4e-3, shape=of_w, **attrs)
    assert "WARPS" in launches[0].source and len(launches) == 2


def trained():
    """A small residual network with convolutions of all kinds, trained for some steps."""
    keras.utils.set_random_seed(3)
    layers, inputs = keras.layers, keras.Input((8, 8, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same", use_bias=False)(inputs)))
    y = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    x = layers.Conv2D(32, 3, strides=2, padding="same")(layers.Add()([x, layers.DepthwiseConv2D(3, padding="same")(y)]))
    x = layers.Conv2DTranspose(8, 2, strides=2, activation="relu")(layers.SeparableConv2D(16, 3, padding="same")(x))
    model = keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling2D()(x)))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    losses = model.fit(normal(32, 8, 8, 3), normal(32, 1, seed=1), batch_size=8, epochs=2, verbose=0, shuffle=False).history["loss"]
    return losses, model.get_weights()


@pytest.mark.parametrize(("tf32", "tol"), [("0", 2e-5), ("1", 2e-2)])
def test_whole_steps_without_libraries(tf32, tol, monkeypatch):
    monkeypatch.setenv("KERASISH_TF32", tf32)
    monkeypatch.setattr(host, "LIBRARIES", {})
    taken, bound = {}, bridge.bound

    def watched(call, buffers):
        launches = bound(call, buffers)
        taken.setdefault(call.op.name, set()).add(launches is not None)
        return launches

    monkeypatch.setattr(bridge, "bound", watched)
    losses, weights = trained()
    with on_host():
        found_losses, found = trained()
    assert all(taken[name] == {True} for name in ("conv", "_conv_input", "_conv_kernel", "matmul"))
    assert_allclose(found_losses, losses, rtol=tol)
    for a, b in zip(found, weights, strict=True):
        assert_allclose(a, b, atol=tol)


def test_a_source_asks_for_one_size_of_shared_memory(monkeypatch):
    monkeypatch.setenv("KERASISH_TF32", "1")
    attrs, found = {"strides": 1, "padding": "same", "data_format": "channels_last", "dilation_rate": 1}, {}
    for channels in (16, 32, 48, 64):
        for size in (1, 3, 5):
            x, w, y = (64, 16, 16, channels), (size, size, channels, 32), (64, 16, 16, 32)
            request = Request(conv, attrs, [host.Buffer(None, shape, "float32") for shape in (x, w)], [host.Buffer(None, y, "float32")])
            for launch in of_windows.conv(request):
                found.setdefault(launch.source, set()).add(launch.shared)
    assert len(found) > 3 and all(len(sizes) == 1 for sizes in found.values())
