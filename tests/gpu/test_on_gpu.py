"""What only a GPU with CuPy can show; everything else of the backend runs on the stand-in (tests/backend/test_cupy.py)."""

import importlib.util

import numpy as np
import pytest

import kerasish as keras
from kerasish.backend import arrays
from kerasish.backend.arrays.numpy import NumpyArrays

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not arrays.has_gpu(), reason="needs a GPU and CuPy")]


@pytest.fixture(autouse=True)
def on_gpu():
    before = keras.config.backend()
    keras.config.set_backend("cupy")
    yield
    keras.config.set_backend(before)


def model():
    keras.utils.set_random_seed(0)
    layers = [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.BatchNormalization(),
              keras.layers.Flatten(), keras.layers.Dropout(0.5), keras.layers.Dense(3, activation="softmax")]  # fmt: skip
    made = keras.Sequential(layers)
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((200, 8, 8, 3), dtype="float32"), rng.integers(0, 3, 200)


def trained():
    made = model()
    return made.fit(*data(), epochs=2, batch_size=32, verbose=0).history["loss"], made.predict(data()[0], verbose=0)


def test_fit_gives_what_it_gives_on_the_cpu():
    losses, outputs = trained()
    keras.config.set_backend("numpy")
    expected, on_cpu = trained()
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    np.testing.assert_allclose(outputs, on_cpu, rtol=1e-3, atol=1e-4)


def test_a_saved_model_gives_the_same(tmp_path):
    made = model()
    made.fit(*data(), verbose=0)
    made.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras").predict(data()[0], verbose=0), made.predict(data()[0], verbose=0))


@pytest.mark.parametrize("size", [1, 7, 8, 9, 4096, 1000001])
def test_random_bits_are_those_of_the_cpu(size):
    found = arrays.active.xp.random_bits(arrays.active.xp.asarray(np.array([42, 7], "uint32")), size)
    np.testing.assert_array_equal(arrays.active.xp.to_numpy(found), NumpyArrays().random_bits([42, 7], size))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int32", "int64", "uint8", "bool", "complex64"])
def test_scattering(dtype):
    xp, rng = arrays.active.xp, np.random.default_rng(0)
    target, index, values = rng.integers(0, 5, 20).astype(dtype), rng.integers(0, 20, 50), rng.integers(0, 5, 50).astype(dtype)
    expected = NumpyArrays().scatter_add(target.copy(), index, values)
    found = xp.to_numpy(xp.scatter_add(*map(xp.asarray, (target, index, values))))
    np.testing.assert_array_equal(found, expected)


def test_batches_are_uploaded_in_order():
    xp = arrays.active.xp
    batches = [(np.full((1000, 1000), i, "float32"), {"y": np.full(3, i)}) for i in range(20)]
    for i, (x, more) in enumerate(xp.ahead(iter(batches))):
        for _ in range(5):
            x = x + xp.ones_like(x)
        assert float(x.min()) == float(x.max()) == i + 5 and more["y"].tolist() == [i] * 3


def test_too_large_a_plan_says_how_much_it_needs():
    xp = arrays.active.xp
    with pytest.raises(MemoryError, match="MB are needed in one piece"):
        xp.memory(1 << 50)


def test_devices():
    with keras.device("gpu:0"):
        assert keras.ops.ones(2).tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="GPUs were found"), keras.device("gpu:99"):
        pass


def test_float16_and_bfloat16():
    for policy in ("mixed_float16", "mixed_bfloat16") if importlib.util.find_spec("ml_dtypes") else ("mixed_float16",):
        keras.utils.set_random_seed(0)
        layer = keras.layers.Dense(4, dtype=policy)
        assert np.isfinite(np.asarray(keras.ops.cast(layer(np.ones((2, 3), "float32")), "float32"))).all()
