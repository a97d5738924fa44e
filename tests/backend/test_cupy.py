"""The backend for CuPy without a GPU: over the stand-in of tests/conformance/strict.py, and its CUDA source on the CPU."""

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest

import kerasish as keras
from kerasish.backend import arrays
from kerasish.backend.arrays import cupy
from kerasish.backend.arrays.numpy import NumpyArrays
from tests.conformance.strict import NAMES, StrictArray, StrictArrays, stand_in


@pytest.fixture
def xp():
    return StrictArrays()


@pytest.fixture
def on_cupy(xp):
    before = arrays.use(xp)
    yield xp
    arrays.use(before)


@pytest.fixture
def with_cupy(monkeypatch):
    """As if CuPy were installed and a GPU there."""
    for name, module in stand_in().items():
        monkeypatch.setitem(sys.modules, name, module)
    before = arrays.active.xp
    yield sys.modules["cupy"]
    arrays.use(before)


# ---- choosing it
def test_set_backend(with_cupy):
    keras.config.set_backend("cupy")
    assert keras.config.backend() == "cupy" and type(keras.ops.ones(2).value) is StrictArray
    keras.config.set_backend("numpy")
    assert keras.config.backend() == "numpy" and type(keras.ops.ones(2).value) is np.ndarray
    with pytest.raises(ValueError, match="must be one of"):
        keras.config.set_backend("cuda")


def test_draws_go_on_after_another_backend_was_chosen(with_cupy):
    keras.random.uniform((2,))
    keras.config.set_backend("cupy")
    assert keras.random.uniform((2,)).shape == (2,)
    keras.config.set_backend("numpy")


def test_missing_cupy_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(ImportError, match=r"kerasish\[cuda13\].*kerasish\[cuda12\]"):
        keras.config.set_backend("cupy")
    assert keras.config.backend() == "numpy"


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda c: setattr(c.cuda.runtime, "getDeviceCount", lambda: 0), RuntimeError, "finds no GPU"),
        (lambda c: setattr(c.cuda.runtime, "getDeviceCount", _no_driver), RuntimeError, "no driver"),
        (lambda c: c.__dict__.update(__version__="13.4.0"), ImportError, "14 or newer, and this is 13.4.0"),
    ],
)
def test_cupy_that_cannot_be_used_says_why(with_cupy, change, error, said):
    change(with_cupy)
    with pytest.raises(error, match=said):
        keras.config.set_backend("cupy")
    assert keras.config.backend() == "numpy"


def _no_driver():
    raise RuntimeError("no driver")


def test_the_choice_without_one(with_cupy, monkeypatch):
    monkeypatch.setattr(arrays, "has_gpu", lambda: True)
    monkeypatch.setitem(keras.config._settings, "backend", None)
    arrays._start()
    assert keras.config.backend() == "cupy"
    monkeypatch.setattr(with_cupy.cuda.runtime, "getDeviceCount", lambda: 0)
    monkeypatch.setitem(keras.config._settings, "backend", None)
    arrays.active.xp = NumpyArrays()
    with pytest.warns(UserWarning, match="runs on the CPU"):
        arrays._start()
    assert keras.config.backend() == "numpy" and arrays.active.xp.name == "numpy"


def test_the_environment_names_it(tmp_path):
    (tmp_path / "cupy.py").write_text("raise ImportError('no libcuda')")
    code = "import kerasish"
    ran = subprocess.run([sys.executable, "-c", code], env={"KERASISH_BACKEND": "cupy", "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.getcwd()}"}, capture_output=True, text=True)
    assert ran.returncode and "needs CuPy, which can't be imported (no libcuda)" in ran.stderr


# ---- arrays in and out
def test_in_and_out(xp):
    assert type(xp.asarray([1.0, 2.0])) is StrictArray and type(xp.asarray(np.ones(2, ">f4"))) is StrictArray
    assert type(xp.asarray(["a"])) is np.ndarray and type(xp.asarray(np.ones(2, "longdouble"))) is np.ndarray
    assert xp.to_numpy(xp.asarray(np.arange(3))).tolist() == [0, 1, 2] and xp.to_numpy(np.arange(3)).tolist() == [0, 1, 2]
    x = xp.asarray(np.arange(3))
    assert xp.asarray(x) is x and xp.asarray(x, np.dtype("float32")).dtype == "float32"
    assert xp.to_numpy(xp.asarray([[x, x], [x, x]])).shape == (2, 2, 3)


def test_numbers_are_put_on_the_device_once(xp):
    f = np.dtype("float32")
    assert xp.scalar(2.0, f) is xp.scalar(2, f) and xp.scalar(2.0, f).dtype == f
    assert np.signbit(xp.to_numpy(xp.scalar(-0.0, f))) and not np.signbit(xp.to_numpy(xp.scalar(0.0, f)))
    for i in range(5000):
        xp.scalar(i, f)
    assert len(xp._scalars) <= 4096


def test_strings_stay_on_the_host(on_cupy):
    words = keras.ops.convert_to_tensor(["a", "b"])
    assert words.dtype == "string" and type(words.value) is np.ndarray and keras.ops.reshape(words, (2, 1)).tolist() == [["a"], ["b"]]
    numbers = keras.ops.cast(keras.ops.convert_to_tensor(["1", "2"]), "int32")
    assert numbers.tolist() == [1, 2] and type(numbers.value) is StrictArray
    assert keras.ops.cast(keras.ops.ones(2, "int32"), "string").tolist() == ["1", "1"]


def test_ordinary_errors_of_linear_algebra(on_cupy):
    values, vectors = keras.ops.eig(np.array([[2.0, 1.0], [0.0, 3.0]], "float32"))
    assert sorted(keras.ops.real(values).tolist()) == [2.0, 3.0] and type(vectors.value) is StrictArray
    with pytest.raises(ValueError):
        keras.ops.cholesky(np.array([[1.0, 2.0], [2.0, 1.0]], "float32"))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int32", "int64", "uint8", "uint64", "bool", "complex64"])
@pytest.mark.parametrize("name", ["add", "maximum", "minimum", "multiply"])
def test_scattering(xp, name, dtype):
    if name in ("maximum", "minimum") and dtype == "complex64":
        dtype = "int16"
    rng = np.random.default_rng(0)
    target, index, values = rng.integers(0, 5, (6, 2)).astype(dtype), rng.integers(0, 6, 20), rng.integers(1, 3, (20, 2)).astype(dtype)
    expected, found = target.copy(), xp.asarray(target.copy())
    getattr(np, name).at(expected, index, values)
    given = xp.asarray(index), xp.asarray(values)
    result = xp.scatter_add(found, *given) if name == "add" else xp.scatter_reduce(name, found, *given)
    assert result is found
    np.testing.assert_array_equal(xp.to_numpy(found), expected)


def test_memory_that_is_not_there_is_told_in_numbers(xp, monkeypatch):
    def full(*args, **kwargs):
        raise MemoryError

    monkeypatch.setitem(xp.module.__dict__, "empty", full)
    with pytest.raises(MemoryError, match=r"8.0 MB are needed in one piece.* 1.0 MB of 1073.7 MB are free"):
        xp.memory(8_000_000)


def test_a_plan_without_memory_says_what_it_needs(on_cupy, monkeypatch):
    f = keras.function(lambda x: keras.ops.max(keras.ops.tanh(x) * x, axis=0))
    x = keras.ops.ones((300, 300))
    monkeypatch.setattr(on_cupy, "memory", lambda nbytes: (_ for _ in ()).throw(MemoryError(f"{nbytes} too many")))
    with pytest.raises(MemoryError, match="too many"):
        f(x)


def test_devices(xp):
    with xp.device_scope("gpu", 1):
        pass
    with pytest.raises(ValueError, match="2 GPUs were found"):
        xp.device_scope("gpu", 2)
    with pytest.raises(ValueError, match="cupy arrays live on GPUs"):
        xp.device_scope("cpu", 0)


# ---- batches on their way
def test_one_batch_is_ahead(xp):
    taken = []

    def batches():
        for i in range(5):
            taken.append(i)
            yield np.full((2, 3), i, "float32"), {"y": np.full(2, i), "names": np.array(["a", "b"])}, None

    for i, (x, more, nothing) in enumerate(xp.ahead(batches())):
        assert len(taken) == min(i + 2, 5)
        assert type(x) is StrictArray and xp.to_numpy(x).tolist() == [[i] * 3] * 2 and more["y"].dtype == np.dtype(int)
        assert type(more["names"]) is np.ndarray and nothing is None


def test_batches_that_are_not_wanted_are_closed(xp):
    closed = []

    def batches():
        try:
            while True:
                yield (np.ones(2, "float32"),)
        finally:
            closed.append(True)

    ahead = xp.ahead(batches())
    next(ahead)
    ahead.close()
    assert closed


# ---- training and files
def small(seed=0):
    keras.utils.set_random_seed(seed)
    layers = [keras.Input((6, 6, 2)), keras.layers.Conv2D(3, 3, activation="relu"), keras.layers.BatchNormalization(),
              keras.layers.MaxPooling2D(2), keras.layers.Flatten(), keras.layers.Dropout(0.5), keras.layers.Dense(3, activation="softmax")]  # fmt: skip
    model = keras.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_fit_save_and_load(xp, tmp_path):
    """The same losses and outputs as on NumPy, from plans, and files that either reads."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 6, 6, 2), dtype="float32"), rng.integers(0, 3, 40)

    def run(name):
        model = small()
        history = model.fit(x, y, epochs=3, batch_size=16, validation_data=(x, y), verbose=0).history
        assert not model.run_eagerly
        model.save(tmp_path / f"{name}.keras")
        model.save_weights(tmp_path / f"{name}.weights.h5")
        return history, model.predict(x, verbose=0)

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # that a step runs eagerly would be told
        expected = run("numpy")
        before = arrays.use(xp)
        try:
            found = run("cupy")
            loaded = keras.saving.load_model(tmp_path / "numpy.keras")
            loaded.fit(x, y, batch_size=16, verbose=0)
            np.testing.assert_allclose(small(1).predict(x, verbose=0).sum(), 40, rtol=1e-5)
        finally:
            arrays.use(before)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-4, atol=1e-5)
    for key in expected[0]:
        np.testing.assert_allclose(found[0][key], expected[0][key], rtol=1e-4)
    model = keras.saving.load_model(tmp_path / "cupy.keras")
    np.testing.assert_allclose(model.predict(x, verbose=0), found[1], rtol=1e-5, atol=1e-6)
    model.load_weights(tmp_path / "cupy.weights.h5")


# ---- the CUDA source
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_philox_in_cuda_draws_what_numpy_draws(tmp_path):
    before = """
    struct Index { unsigned x; }; static Index blockIdx, blockDim, threadIdx;
    #define __device__ static
    #define __global__
    static unsigned long long __umul64hi(unsigned long long a, unsigned long long b) { return ((unsigned __int128)a * b) >> 64; }
    """
    after = """
    extern "C" void run(unsigned grid, unsigned block, const unsigned long long *key, unsigned long long *out, unsigned long long n) {
        blockDim.x = block;
        for (blockIdx.x = 0; blockIdx.x < grid; ++blockIdx.x)
            for (threadIdx.x = 0; threadIdx.x < block; ++threadIdx.x) philox(key, out, n);
    }
    """
    (tmp_path / "philox.cpp").write_text(before + cupy._DRAW + after)
    subprocess.run(["g++", "-O1", "-shared", "-fPIC", "-o", tmp_path / "philox.so", tmp_path / "philox.cpp"], check=True)
    library = ctypes.CDLL(str(tmp_path / "philox.so"))
    key, out = np.array([42, 7], np.uint64), np.zeros(4 * 300, np.uint64)
    pointers = [ctypes.c_void_p(x.ctypes.data) for x in (key, out)]
    library.run(2, 256, *pointers, ctypes.c_ulonglong(300))
    np.testing.assert_array_equal(out.view(np.uint32), NumpyArrays().random_bits(key, out.size * 2))


@pytest.mark.skipif(importlib.util.find_spec("cupy") is None, reason="needs CuPy, though no GPU")
def test_the_stand_in_s_names_are_cupy_s():
    import cupy as real

    for name in NAMES["cupy"]:
        assert hasattr(real, name), name
    for name in NAMES["ndarray"]:
        assert hasattr(real.ndarray, name), name
