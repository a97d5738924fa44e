"""Training on a GPU gives what it gives on the CPU; where there is no GPU, most of it runs on the stand-in for CuPy."""

import contextlib
import gc
import importlib.util
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import kerasish as keras
from kerasish.backend import arrays
from kerasish.backend.arrays.cupy import CupyArrays
from kerasish.backend.arrays.numpy import NumpyArrays
from tests.conformance.strict import StrictArrays

pytestmark = pytest.mark.gpu
needs_ml_dtypes = pytest.mark.skipif(importlib.util.find_spec("ml_dtypes") is None, reason="bfloat16 needs ml_dtypes")
SINGLE = 1e-4  # relative tolerance for losses in float32
DROPOUT = 0.4


@pytest.fixture
def cupy():
    """The backend for CuPy, in use: the real one where there is a GPU, else the stand-in."""
    before = arrays.use(CupyArrays() if arrays.has_gpu() else StrictArrays())
    yield arrays.active.xp
    arrays.use(before)


@pytest.fixture
def gpu():
    """A real GPU, in use."""
    if not arrays.has_gpu():
        pytest.skip("no GPU")
    before = arrays.use(CupyArrays())
    yield arrays.active.xp
    arrays.use(before)


@contextlib.contextmanager
def on_cpu():
    before = arrays.use(NumpyArrays())
    try:
        yield
    finally:
        arrays.use(before)


def model(policy=None, seed=0, dropout=DROPOUT):
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    made = keras.Sequential([
        keras.Input((8, 8, 3)),
        layers.Conv2D(4, 3, activation="relu", dtype=policy),
        layers.BatchNormalization(dtype=policy),
        layers.MaxPooling2D(2, dtype=policy),
        layers.Flatten(dtype=policy),
        layers.Dropout(dropout, dtype=policy),
        layers.Dense(16, activation="gelu", dtype=policy),
        layers.Dense(3, activation="softmax", dtype="float64" if policy == "float64" else "float32"),
    ])  # fmt: skip
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def data(count=64):
    rng = np.random.default_rng(0)
    return rng.standard_normal((count, 8, 8, 3), dtype="float32"), rng.integers(0, 3, count)


def losses(made, epochs=3, **options):
    return made.fit(*data(), batch_size=16, epochs=epochs, verbose=0, shuffle=False, **options).history["loss"]


POLICIES = [("float32", SINGLE), ("float64", 1e-8), ("float16", 0.1), ("mixed_float16", 5e-2)]
BFLOAT = [pytest.param(name, 0.2, marks=needs_ml_dtypes) for name in ("mixed_bfloat16", "bfloat16")]


@pytest.mark.parametrize(("policy", "tolerance"), [*POLICIES, *BFLOAT])
def test_each_dtype_policy_trains_as_on_the_cpu(cupy, policy, tolerance):
    found = losses(model(policy))
    with on_cpu():
        expected = losses(model(policy))
    np.testing.assert_allclose(found, expected, rtol=tolerance)
    assert np.isfinite(found).all() and found[-1] != found[0]


def test_tensors_are_data_like_arrays(cupy):
    x, y = data()
    expected = losses(model())
    made = model()
    tensors = keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(y)
    found = made.fit(*tensors, batch_size=16, epochs=3, verbose=0, shuffle=False).history["loss"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_dropout_draws_what_it_draws_on_the_cpu(cupy):
    def drawn():
        keras.utils.set_random_seed(5)
        layer = keras.layers.Dropout(DROPOUT)
        function = keras.function(lambda x: layer(x, training=True))
        x = keras.ops.ones((37, 41))
        eager = [layer(x, training=True).numpy() for _ in range(2)]
        return [*eager, *[function(x).numpy() for _ in range(3)], keras.random.uniform((99,), seed=3).numpy()]

    found = drawn()
    with on_cpu():
        expected = drawn()
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (found[0] != found[1]).any()


def test_train_test_and_predict_on_batch(cupy):
    def run():
        x, y = data(16)
        made = model()
        logs = [made.train_on_batch(x, y, return_dict=True)["loss"] for _ in range(3)]
        return [*logs, made.test_on_batch(x, y, return_dict=True)["loss"]], made.predict_on_batch(x)

    found, outputs = run()
    with on_cpu():
        expected, on_numpy = run()
    assert type(outputs) is np.ndarray
    np.testing.assert_allclose(found, expected, rtol=SINGLE)
    np.testing.assert_allclose(outputs, on_numpy, rtol=10 * SINGLE, atol=SINGLE)


def test_evaluate_and_predict(cupy):
    made, (x, y) = model(), data(50)
    made.fit(x, y, batch_size=16, verbose=0)
    found = made.evaluate(x, y, batch_size=16, verbose=0, return_dict=True)
    outputs = made.predict(x, batch_size=16, verbose=0)
    assert outputs.shape == (50, 3)
    np.testing.assert_allclose(found["accuracy"], (outputs.argmax(-1) == y).mean(), rtol=1e-6)
    np.testing.assert_allclose(found["loss"], -np.log(outputs[np.arange(50), y]).mean(), rtol=SINGLE)


@pytest.mark.parametrize("recorded", [False, True])
def test_a_loop_of_one_s_own(cupy, recorded):
    def run():
        keras.utils.set_random_seed(1)
        x, y = data(16)
        made, optimizer = model(), keras.optimizers.SGD(0.1, momentum=0.9)
        loss_of = keras.losses.SparseCategoricalCrossentropy()

        def step(x, y):
            with keras.GradientTape() as tape:
                loss = loss_of(y, made(x, training=True))
            optimizer.apply(tape.gradient(loss, made.trainable_variables), made.trainable_variables)
            return loss

        optimizer.build(made.trainable_variables)
        step = keras.function(step) if recorded else step
        return [float(step(keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(y))) for _ in range(4)]

    found = run()
    with on_cpu():
        np.testing.assert_allclose(found, run(), rtol=SINGLE)


def test_files_go_both_ways(cupy, tmp_path):
    x, _ = data(16)
    made = model(dropout=0.0)  # a layer without a seed of its own draws from the process's numbers, which no file has
    losses(made, 1)
    made.save(tmp_path / "gpu.keras")
    made.save_weights(tmp_path / "gpu.weights.h5")
    expected, slots = made.predict(x, verbose=0), [v.numpy() for v in made.optimizer.variables]
    with on_cpu():
        loaded = keras.saving.load_model(tmp_path / "gpu.keras")
        np.testing.assert_allclose(loaded.predict(x, verbose=0), expected, rtol=10 * SINGLE, atol=SINGLE)
        for variable, slot in zip(loaded.optimizer.variables, slots, strict=True):
            np.testing.assert_array_equal(variable.numpy(), slot)
        on_numpy = losses(loaded, 1)
        loaded.save(tmp_path / "cpu.keras")
        after = loaded.predict(x, verbose=0)
    np.testing.assert_allclose(losses(made, 1), on_numpy, rtol=SINGLE)
    again = keras.saving.load_model(tmp_path / "cpu.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), after, rtol=10 * SINGLE, atol=SINGLE)
    other = model(seed=9, dropout=0.0)
    losses(other, 1)
    other.load_weights(tmp_path / "gpu.weights.h5")
    np.testing.assert_array_equal(other.predict(x, verbose=0), expected)


def test_several_models_in_turn_are_as_each_alone(cupy):
    x, y = data(16)
    alone = []
    for seed in (0, 1):
        made = model(seed=seed, dropout=0.0)
        alone.append([made.train_on_batch(x, y, return_dict=True)["loss"] for _ in range(6)])
    both, found = [model(seed=seed, dropout=0.0) for seed in (0, 1)], [[], []]
    for _ in range(6):
        for made, own in zip(both, found, strict=True):
            own.append(made.train_on_batch(x, y, return_dict=True)["loss"])
    np.testing.assert_allclose(found, alone, rtol=1e-5)


def test_two_threads_train_as_each_alone(cupy):
    x, y = data(32)

    def run(made, into):
        try:
            into.append([made.train_on_batch(x, y, return_dict=True)["loss"] for _ in range(10)])
        except BaseException as error:
            into.append(error)

    expected, found = [], [[], []]
    for seed in (0, 1):
        run(model(seed=seed, dropout=0.0), expected)
    threads = [threading.Thread(target=run, args=(model(seed=seed, dropout=0.0), into)) for seed, into in enumerate(found)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for own, alone in zip(found, expected, strict=True):
        assert not isinstance(own[0], BaseException), own[0]
        np.testing.assert_allclose(own[0], alone, rtol=1e-5)


def test_what_is_too_large_says_what_to_do(cupy, monkeypatch):
    if not arrays.has_gpu():
        monkeypatch.setitem(cupy.module.__dict__, "empty", _full)
    with pytest.raises(MemoryError, match="MB are needed in one piece.*Use a smaller batch"):
        cupy.memory(1 << 50)


def _full(*args, **kwargs):
    raise MemoryError


# ---- what only a GPU can show
SCRIPT = """
import sys
import numpy as np
sys.path.insert(0, ".")
import kerasish as keras
from tests.gpu.test_training_on_gpu import losses, model
keras.config.set_backend("cupy")
print(np.array(losses(model(), 4), "float64").tobytes().hex())
"""


def _in_a_process(**environment):
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env={**os.environ, **environment})
    assert ran.returncode == 0, ran.stderr[-2000:]
    return np.frombuffer(bytes.fromhex(ran.stdout.splitlines()[-1]))


def test_graphs_change_nothing(gpu):
    expected = _in_a_process(KERASISH_GRAPHS="0")
    np.testing.assert_allclose(_in_a_process(KERASISH_GRAPHS="1"), expected, rtol=1e-6)
    np.testing.assert_allclose(_in_a_process(KERASISH_COMPILE="0"), expected, rtol=SINGLE)


def test_two_runs_agree(gpu):
    np.testing.assert_allclose(losses(model()), losses(model()), rtol=1e-6)


def test_memory_does_not_grow(gpu):
    made, (x, y) = model(), data()
    pool = gpu.module.get_default_memory_pool()

    def used(steps):
        made.fit(x, y, batch_size=16, epochs=steps // 4, verbose=0)
        gc.collect()
        return pool.used_bytes(), pool.total_bytes()

    used(40)
    held, taken = used(40)
    later = used(200)
    assert later[0] <= held + (1 << 16) and later[1] <= taken + (4 << 20)


def test_a_model_on_the_second_gpu(gpu):
    count = gpu.module.cuda.runtime.getDeviceCount()
    if count < 2:
        pytest.skip(f"needs two GPUs, and there is {count}")
    expected = losses(model())
    with keras.device("gpu:1"):
        made = model()
        found = losses(made)
        assert made.trainable_variables[0].value.value.device.id == 1
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(losses(model()), expected, rtol=1e-5)
