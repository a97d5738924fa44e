"""Whole training steps on CUDA C, run on the processor, and the parts of a plan that are captured as graphs."""

import types

import numpy as np
import pytest

import kerasish as keras
from kerasish.backend.kernels.cuda import bridge
from kerasish.backend.kernels.cuda.graph import MOST_GRAPHS, Graphs, segments
from tests.backend.kernels import cuda_host as host
from tests.backend.kernels.cuda_plans import HostGraph, on_host

needs_compiler = pytest.mark.skipif(not host.available(), reason="g++ compiles the sources for the processor")


def images(policy):
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(0)
    layers = [
        keras.layers.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, activation="relu", dtype=policy), keras.layers.BatchNormalization(dtype=policy),
        keras.layers.MaxPooling2D(2, dtype=policy), keras.layers.Flatten(dtype=policy), keras.layers.Dropout(0.3, dtype=policy),
        keras.layers.Dense(16, activation="gelu", dtype=policy), keras.layers.LayerNormalization(dtype=policy), keras.layers.Dense(5),
    ]  # fmt: skip
    model = keras.Sequential(layers)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model, rng.standard_normal((64, 8, 8, 3)).astype("float32"), rng.integers(0, 5, 64)


def words(policy):
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(0)
    layers = [keras.layers.Embedding(20, 6), keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(3, activation="softmax")]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.RMSprop(0.01, momentum=0.5), "sparse_categorical_crossentropy")
    return model, rng.integers(0, 20, (64, 7)), rng.integers(0, 3, 64)


def trained(made, policy):
    model, x, y = made(policy)
    history = model.fit(iter([(x[:32], y[:32])] * 16), steps_per_epoch=16, verbose=0).history  # the same addresses come again
    return history, model.get_weights()


@needs_compiler
@pytest.mark.parametrize(("made", "policy", "tol"), [(images, "float32", 2e-6), (words, "float32", 2e-6), (images, "mixed_float16", 2e-3),
                                                     (images, "mixed_bfloat16", 1e-2)])  # fmt: skip
def test_training_gives_the_same(made, policy, tol):
    history, weights = trained(made, policy)
    replayed = HostGraph.replayed
    with on_host():
        found_history, found = trained(made, policy)
    assert HostGraph.replayed > replayed
    np.testing.assert_allclose(found_history["loss"], history["loss"], rtol=max(tol, 1e-5))
    for a, b in zip(found, weights, strict=True):
        np.testing.assert_allclose(a, b, atol=tol)


def test_no_device_means_no_kernels():
    assert bridge.available() is False or keras.config.backend() == "cupy"


def step(compiled):
    made = types.SimpleNamespace(calls=[])
    if compiled:
        made.compiled = True
    return made


def test_segments():
    steps = [step(c) for c in (True, True, False, False, True, False, True)]
    found = segments(steps)
    assert [(s.captured, len(s.steps)) for s in found] == [(True, 2), (False, 1), (False, 1), (True, 1), (False, 1), (True, 1)]
    assert [one for s in found for one in s.steps] == steps
    assert segments([]) == []


class Stretch:
    """A stretch of launches that writes down what happens to it."""

    def __init__(self, launches=5, fails=False):
        self.log, self.fails = [], fails
        self.graphs = Graphs(lambda: self.log.append("run"), self.capture, lambda error: self.log.append(str(error)), launches)

    def capture(self):
        if self.fails:
            raise RuntimeError("no")
        self.log.append("capture")
        return types.SimpleNamespace(launch=lambda: self.log.append("graph"))

    def __call__(self, *keys):
        self.log.clear()
        for key in keys:
            self.graphs(key)
        return self.log


def test_a_stretch_is_captured_when_its_addresses_come_again():
    assert Stretch()(1, 1, 1) == ["run", "capture", "graph", "graph"]
    assert Stretch()(1, 2, 1, 2, 1, 2) == ["run", "run", "capture", "graph", "capture", "graph", "graph", "graph"]
    assert Stretch(launches=2)(1, 1, 1) == ["run"] * 3


def test_few_graphs_are_kept():
    stretch = Stretch()
    for key in range(MOST_GRAPHS + 1):
        stretch(key, key)
    assert stretch(MOST_GRAPHS) == ["graph"]
    assert stretch(0, 0) == ["run", "capture", "graph"]


def test_what_cannot_be_captured_runs_and_says_so_once():
    assert Stretch(fails=True)(1, 1, 1, 2) == ["run", "no", "run", "run", "run"]
