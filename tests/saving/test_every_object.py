"""Every layer, optimizer, loss and metric through files, both ways: what is written here real Keras reads, and the reverse.

For layers, weights and configs on both sides are compared: that the same layer with the same weights gives the same outputs is what
tests/conformance/test_layers.py checks.
"""

import inspect
import json

import keras
import numpy as np
import pytest

import kerasish as ks
from kerasish import tree
from kerasish.backend.autodiff.state import clear_session
from tests.conformance.layer_driver import OURS, THEIRS, A, plain, resolve, with_their_warnings, without_random_initializers
from tests.conformance.test_layers import ROWS

RNG = np.random.default_rng(0)
# compile configs of Keras: names that its own .h5 reader doesn't know
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in what Keras itself does
NOT_IN_KERAS_H5 = {"CategoricalGeneralizedCrossEntropy", "Lamb", "MeanMetricWrapper", "ConcordanceCorrelation", "PearsonCorrelation", "LossScaleOptimizer"}


# ---- layers
def first_case(row):
    """The first configuration of a layer that a model can hold."""
    return next((case for case in row if case.json and case.symbolic), row[0])


def model_of(library, case):
    """A model that calls the row's layer on Inputs."""
    library.clear()
    inputs = []

    def entry(x):
        if not isinstance(x, A):
            return x
        shape = tuple(None if axis in {0, *case.unknown} else n for axis, n in enumerate(x.shape)) if case.symbolic else x.shape
        inputs.append(library.root.Input(batch_shape=shape, dtype=x.dtype, name=f"entry_{len(inputs)}"))
        return inputs[-1]

    args = tree.map_structure(entry, list(case.inputs))
    kwargs = tree.map_structure(entry, resolve(library, dict(case.call)))
    config = case.config
    layer = getattr(library.root.layers, case.name)(*resolve(library, config.args), **resolve(library, config.kwargs))
    outputs = [y for y in tree.flatten(layer(*args, **kwargs)) if library.is_tensor(y)]
    return library.root.Model(inputs, outputs, name="holder"), layer


def randomized(library, model):
    values = []
    for v in library.values(model.weights):
        values.append(RNG.uniform(0.2, 0.9, v.shape).astype(v.dtype) if v.dtype.kind == "f" else v)
    model.set_weights(values)
    return values


def assert_same_weights(ours, theirs):
    """Names too, but not paths: Keras builds layers inside others on their own when it loads them."""
    assert [v.name for v in ours.weights] == [v.name for v in theirs.weights]
    for v, a, b in zip(ours.weights, OURS.values(ours.weights), THEIRS.values(theirs.weights), strict=True):
        np.testing.assert_array_equal(a, np.asarray(b), err_msg=v.path)


def in_model(model, layer):
    return next(found for found in model.layers if found.name == layer.name)


LAYERS = [row for row in ROWS if row[0].name != "Equalization"]  # Keras itself can't put it into a graph that it saves


@pytest.mark.parametrize("row", LAYERS, ids=[row[0].name for row in LAYERS])
@pytest.mark.filterwarnings("ignore:.*lambda.*")
@with_their_warnings
def test_layers(row, tmp_path):
    case = first_case(row)
    model, layer = model_of(OURS, case)
    randomized(OURS, model)
    model.save(tmp_path / "ours.keras")
    model.save_weights(tmp_path / "ours.weights.h5")
    THEIRS.clear()
    safe = {"safe_mode": case.name != "Lambda"}
    with without_random_initializers():
        theirs = keras.saving.load_model(tmp_path / "ours.keras", **safe)
    assert_same_weights(model, theirs)
    assert plain(OURS.serialize(layer)["config"]) == plain(THEIRS.serialize(in_model(theirs, layer))["config"])
    randomized(THEIRS, theirs)
    theirs.save(tmp_path / "theirs.keras")
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    theirs.load_weights(tmp_path / "ours.weights.h5")
    assert_same_weights(model, theirs)
    model.load_weights(tmp_path / "theirs.weights.h5")
    clear_session()
    again = ks.saving.load_model(tmp_path / "theirs.keras", **safe)
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert plain(OURS.serialize(in_model(again, layer))["config"]) == plain(OURS.serialize(layer)["config"])


# ---- how models are compiled
def small(library):
    library.clear()
    layers = library.root.layers
    return library.root.Sequential([library.root.Input((3,)), layers.Dense(4, activation="tanh"), layers.Dense(3, activation="softmax")], name="small")


DATA = RNG.standard_normal((4, 3)).astype("float32"), np.eye(3, dtype="float32")[[0, 1, 2, 0]]
ARGUMENTS = {
    "num_classes": 3, "target_class_ids": [0, 1], "recall": 0.5, "precision": 0.5, "specificity": 0.5, "sensitivity": 0.5,
    "learning_rate": 0.01,
}  # fmt: skip


def instance(module, name):
    cls = getattr(module, name)
    if name == "MeanMetricWrapper":
        return cls(module.mean_squared_error, name="wrapped")
    if name == "LossScaleOptimizer":
        return cls(module.Adam(0.01))
    parameters = inspect.signature(cls).parameters.values()
    return cls(**{p.name: ARGUMENTS[p.name] for p in parameters if p.default is p.empty and p.name in ARGUMENTS})


def names_in(module, base):
    abstract = {"Loss", "Metric", "Optimizer", "Mean", "MeanIoU", "Sum", "MeanMetricWrapper"} if base in (ks.Loss, ks.optimizers.Optimizer) else {"Metric"}
    found = {name: cls for name, cls in vars(module).items() if inspect.isclass(cls) and issubclass(cls, base) and name not in abstract}
    return sorted({cls: name for name, cls in reversed(found.items())}.values())


def compile_config(model):
    return json.loads(json.dumps(plain(model.get_compile_config())))


OPTIMIZERS = [name for name in names_in(ks.optimizers, ks.optimizers.Optimizer) if name not in ("Muon", "MultiOptimizer")]
STATES = {"Adam": {"amsgrad": True, "use_ema": True}, "SGD": {"momentum": 0.9}, "RMSprop": {"momentum": 0.5, "centered": True}}


def optimizer_of(library, name):
    module = library.root.optimizers
    return getattr(module, name)(0.01, **STATES[name]) if name in STATES else instance(module, name)


def slots(library, model):
    optimizer = model.optimizer
    variables = [*optimizer.variables, *(optimizer.inner_optimizer.variables if hasattr(optimizer, "inner_optimizer") else [])]
    return [np.asarray(value) for value in library.values({id(v): v for v in variables}.values())]


@pytest.mark.parametrize("name", OPTIMIZERS)
@with_their_warnings
def test_optimizers(name, tmp_path):
    model = small(OURS)
    model.compile(optimizer_of(OURS, name), "categorical_crossentropy")
    for _ in range(2):
        model.train_on_batch(*DATA)
    model.save(tmp_path / "m.keras")
    THEIRS.clear()
    with without_random_initializers():
        theirs = keras.saving.load_model(tmp_path / "m.keras")
    for a, b in zip(slots(OURS, model), slots(THEIRS, theirs), strict=True):
        np.testing.assert_array_equal(a, b)
    assert compile_config(model)["optimizer"]["config"] == compile_config(theirs)["optimizer"]["config"]
    for v in theirs.optimizer.variables[2:]:
        v.assign(RNG.uniform(0, 1, v.shape).astype(v.dtype))
    theirs.save(tmp_path / "m.keras")
    endings = ["keras"]
    if name != "Adafactor":  # whose state Keras can't put into .h5
        theirs.save(tmp_path / "m.h5")
        model.save(tmp_path / "ours.h5")
        endings += ["h5"]
        if name not in NOT_IN_KERAS_H5:
            THEIRS.clear()
            with without_random_initializers():
                assert type(keras.saving.load_model(tmp_path / "ours.h5").optimizer).__name__ == name
    for ending in endings:
        again = ks.saving.load_model(tmp_path / f"m.{ending}")
        if ending == "keras" or not hasattr(again.optimizer, "inner_optimizer"):
            for a, b in zip(slots(OURS, again), slots(THEIRS, theirs), strict=True):
                np.testing.assert_array_equal(a, b)
        again.train_on_batch(*DATA)


@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.parametrize("family", ["losses", "metrics"])
@with_their_warnings
def test_losses_and_metrics(family, ending, tmp_path):
    """All of them as outputs of one model, each with one of its own."""
    base = {"losses": ks.Loss, "metrics": ks.Metric}[family]
    names = [name for name in names_in(getattr(ks, family), base) if ending == "keras" or name not in NOT_IN_KERAS_H5]
    assert len(names) > 20

    def compiled(library):
        library.clear()
        x = library.root.Input((3,))
        outputs = {name: library.root.layers.Dense(3, name=f"out_{i}")(x) for i, name in enumerate(names)}
        model = library.root.Model(x, list(outputs.values()))
        objects = [instance(getattr(library.root, family), name) for name in names]
        model.compile("sgd", objects if family == "losses" else "mse", metrics=None if family == "losses" else [[o] for o in objects])
        return model

    with without_random_initializers():
        theirs, ours = compiled(THEIRS), compiled(OURS)
        expected = compile_config(theirs)[family.removesuffix("es") if family == "losses" else family]
        path = tmp_path / f"m.{ending}"
        if ending == "h5" and family == "metrics":  # a short name of a loss is what Keras's .h5 reader stumbles over
            for model in (theirs, ours):
                model.compile("sgd", "mean_squared_error", metrics=compile_metrics(model, names))
        ours.save(path)
        THEIRS.clear()
        loaded = keras.saving.load_model(path)
    assert_same_objects(loaded, expected, family)
    theirs.save(path)
    assert_same_objects(ks.saving.load_model(path), expected, family)


def compile_metrics(model, names):
    module = keras.metrics if isinstance(model, keras.Model) else ks.metrics
    return [[instance(module, name)] for name in names]


def assert_same_objects(model, expected, family):
    found = compile_config(model)["loss" if family == "losses" else "metrics"]
    assert [tree.flatten(without_names(item)) for item in found] == [tree.flatten(without_names(item)) for item in expected]


def without_names(config):
    """Classes and configs; names of metrics get numbers."""
    if isinstance(config, dict):
        return {key: without_names(value) for key, value in sorted(config.items()) if key not in ("name", "module", "registered_name", "build_config")}
    return [without_names(item) for item in config] if isinstance(config, list) else config
