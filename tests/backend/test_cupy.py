"""The backend for CuPy without a GPU: over the stand-in of tests/conformance/strict.py, and its CUDA source on the CPU."""

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
import types
import warnings

import numpy as np
import pytest

import kerasish as keras
from kerasish import config
from kerasish.backend import arrays, upload
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
def test_processes_that_load_data_take_no_gpu(with_cupy, monkeypatch):
    monkeypatch.setattr(arrays, "has_gpu", lambda: True)
    process = types.SimpleNamespace(parent_process=lambda: None)
    monkeypatch.setitem(sys.modules, "multiprocessing.process", process)
    before = config._settings["backend"]
    try:
        for parent, expected in ((None, "cupy"), (object(), "numpy")):
            process.parent_process = lambda parent=parent: parent
            arrays.use(NumpyArrays())
            config._settings["backend"] = None
            arrays._start()
            assert arrays.active.xp.name == keras.config.backend() == expected
    finally:
        config._settings["backend"] = before


def test_large_arrays_are_brought_in_one_piece(xp, monkeypatch):
    monkeypatch.setattr(cupy, "_LARGE", 100)
    x = np.random.default_rng(0).standard_normal((10, 6)).astype("float32")
    for given in (x, x.T, x[::2]):
        found = xp.asarray(given)
        assert type(found) is StrictArray
        np.testing.assert_array_equal(xp.to_numpy(found), given)


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


# ---- several devices
class Elsewhere:
    """A device that tells when it is the current one."""

    current: list = []

    def __enter__(self):
        self.current.append(self)

    def __exit__(self, *error):
        self.current.pop()


def test_work_is_done_where_the_arrays_are(xp, on_cupy, monkeypatch):
    there, seen = Elsewhere(), []
    monkeypatch.setattr(StrictArray, "device", there, raising=False)
    monkeypatch.setattr(xp, "_several", True)
    monkeypatch.setattr(xp, "add", lambda *xs, **more: seen.append(list(Elsewhere.current)) or xp.module.add(*xs, **more))
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse", metrics=["mae"])
    x, y = np.ones((4, 3)), np.ones((4, 2))
    for go in (lambda: model.fit(x, y, verbose=0), lambda: model.evaluate(x, y, verbose=0), lambda: model.predict_on_batch(x),
               lambda: model.train_on_batch(x, y), lambda: model.predict(x, verbose=0), lambda: keras.ops.ones(3) + 1):  # fmt: skip
        seen.clear()
        go()
        assert seen and all(current[:1] == [there] for current in seen) and not Elsewhere.current
    assert xp.beside([xp.asarray(np.ones(2))]) is there
    monkeypatch.setattr(xp, "_several", False)
    assert xp.beside([xp.asarray(np.ones(2))]) is not there


@pytest.mark.parametrize(("ours", "cupys", "allowed"), [(None, None, True), ("0", None, False), (None, "0", False), ("1", "0", True), ("0", "1", False)])
def test_who_allows_tf32(monkeypatch, with_cupy, ours, cupys, allowed):
    for name, value in (("KERASISH_TF32", ours), ("CUPY_TF32", cupys)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    cupy.load()
    assert cupy.allows_tf32() is allowed and os.environ["CUPY_TF32"] == str(int(allowed))


# ---- data that is kept on the device
def losses_of(x, y, **more):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    history = model.fit(x, y, batch_size=4, epochs=2, verbose=0, **more).history
    return history["loss"], model.predict(x, verbose=0)


@pytest.mark.parametrize("shuffle", [True, False, "batch"])
@pytest.mark.parametrize("kept", [True, False])
def test_data_kept_on_the_device_trains_to_the_same(xp, monkeypatch, shuffle, kept):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((10, 3)), rng.standard_normal((10, 2)).astype("float32")
    expected, outputs = losses_of(x, y, shuffle=shuffle)
    asked, brought = [], []
    monkeypatch.setattr(type(xp), "keeps", lambda self, nbytes: asked.append(nbytes) or kept)
    monkeypatch.setattr(type(xp), "ahead", lambda self, batches: (brought.append(batch) or batch for batch in batches))
    before = arrays.use(xp)
    try:
        found, predicted = losses_of(x, y, shuffle=shuffle)
    finally:
        arrays.use(before)
    assert all(type(part) is (StrictArray if kept else np.ndarray) for batch in brought for part in (batch if isinstance(batch, tuple) else (batch,)))
    assert max(asked) == x.nbytes + y.nbytes
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(predicted, outputs, rtol=1e-5, atol=1e-6)


def test_only_data_that_fits_is_kept(xp):
    assert xp.keeps(1 << 18) and not xp.keeps((1 << 18) + 1)  # a quarter of the megabyte that is free
    assert not NumpyArrays().keeps(1)


def test_class_weights_are_looked_up_on_the_host(xp, on_cupy):
    losses, _ = losses_of(np.ones((8, 3)), np.array([0, 1] * 4)[:, None].repeat(2, 1).astype("float32"))
    assert np.isfinite(losses).all()
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(np.ones((8, 3)), np.array([0, 1] * 4), class_weight={0: 1.0, 1: 2.0}, verbose=0)


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_rows_in_cuda_are_numpy_s(tmp_path):
    parts = [np.random.default_rng(i).integers(0, 100, (9, *shape)).astype(dtype) for i, (shape, dtype) in enumerate(
        [((4,), "float32"), ((3,), "float32"), ((), "int64"), ((5, 7), "float16"), ((3,), "uint8")])]  # fmt: skip
    words = (16, 4, 8, 2, 1)
    shim = """
struct uint4 { unsigned x, y, z, w; };
struct Three { unsigned x, y, z; };
static Three blockIdx, threadIdx, gridDim;
#define __global__
"""
    given = ", ".join(f"({upload._WORDS[w]} *)p[{3 * i + 1}], ({upload._WORDS[w]} *)p[{3 * i + 2}], (long long)p[{3 * i + 3}]" for i, w in enumerate(words))
    text = f"""{shim}{upload.rows_source(words)}
extern "C" void run(long long *p, long long first, long long count, unsigned blocks) {{
    gridDim = {{blocks, {len(words)}, 1}};
    for (unsigned b = 0; b < blocks; ++b) for (unsigned i = 0; i < {len(words)}; ++i) for (unsigned t = 0; t < 256; ++t) {{
        blockIdx = {{b, i, 0}}; threadIdx = {{t, 0, 0}};
        rows((long long *)p[0], first, count, {given});
    }}
}}"""
    (tmp_path / "rows.cpp").write_text(text)
    subprocess.run(["g++", "-O1", "-shared", "-fPIC", "-o", tmp_path / "rows.so", tmp_path / "rows.cpp"], check=True)
    library = ctypes.CDLL(str(tmp_path / "rows.so"))
    for numbers, first in ((np.array([8, 0, 3, 3]), 0), (None, 5)):
        found = [np.full((4, *x.shape[1:]), 1, x.dtype) for x in parts]
        p = [0 if numbers is None else numbers.ctypes.data]
        for x, y, word in zip(parts, found, words, strict=True):
            p += [x.ctypes.data, y.ctypes.data, y[0].nbytes // word]
        library.run((ctypes.c_longlong * len(p))(*p), ctypes.c_longlong(first), ctypes.c_longlong(4), 1)
        for x, y in zip(parts, found, strict=True):
            np.testing.assert_array_equal(y, x[numbers] if numbers is not None else x[5:9])
