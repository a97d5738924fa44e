"""Files of Keras 2 (tf.keras 2.15) and of older versions of Keras 3 open here, predict the same, and train on as they would have there."""

import json
import math
import pathlib
import shutil
import zipfile

import h5py
import numpy as np
import pytest

import kerasish as ks
from kerasish import layers, tree
from kerasish.saving import keras2, tf_ops

GOLDEN = pathlib.Path(__file__).parent.parent / "golden"
KERAS2 = sorted(path.stem for path in (GOLDEN / "keras2").glob("*.zip"))
KERAS3 = sorted(f"{path.parent.name}/{path.stem}" for path in (GOLDEN / "keras3").glob("*/*.zip"))


@pytest.fixture(scope="module", autouse=True)
def own_classes():
    class Scale(layers.Layer):
        def __init__(self, factor, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

        def build(self, input_shape):
            self.offset = self.add_weight(name="offset", shape=input_shape[-1:], initializer="ones")

        def call(self, x):
            return x * self.factor + self.offset

        def get_config(self):
            return {**super().get_config(), "factor": self.factor}

    class Containers(ks.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.blocks = [(layers.Dense(3, activation="tanh"),), (layers.Dense(4),)]
            self.out = layers.Dense(1)
            self.also = {"first": layers.Dense(4)}

        def call(self, x):
            x = self.also["first"](x)
            for (layer,) in self.blocks:
                x = layer(x)
            return self.out(x)

    with ks.saving.custom_object_scope({"golden>Scale": Scale, "golden>Containers": Containers, "Containers": Containers}):
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("older")
    for name in [f"keras2/{name}" for name in KERAS2] + [f"keras3/{name}" for name in KERAS3]:
        with zipfile.ZipFile(GOLDEN / f"{name}.zip") as archive:
            archive.extractall((folder / name).parent)
    return folder


def reference(folder, name):
    with np.load(folder / f"{name}.npz") as file:
        return dict(file)


def values(reference, prefix):
    found = [reference[key] for key in sorted(reference) if key.startswith(f"{prefix}/")]
    return found[0] if len(found) == 1 else found


def assert_same(actual, expected, tol=1e-5):
    for a, b in zip(tree.flatten(actual), tree.flatten(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tol, atol=tol)


def check(model, expected, tol=1e-5):
    x, y = values(expected, "input"), values(expected, "target")
    assert_same(model.predict(x, verbose=0), values(expected, "prediction"))
    if "resumed_loss" in expected:
        losses = []
        for _ in range(2):
            model.reset_metrics()
            losses.append(float(model.train_on_batch(x, y, return_dict=True)["loss"]))
        np.testing.assert_allclose(losses, expected["resumed_loss"], rtol=1e-4)
        assert_same(model.predict(x, verbose=0), values(expected, "resumed_prediction"), 1e-4)


@pytest.mark.parametrize("ending", ["h5", "keras"])
@pytest.mark.parametrize("name", KERAS2)
def test_whole_models_of_keras_2(folder, name, ending):
    path = folder / "keras2" / f"{name}.{ending}"
    if not path.exists():  # its optimizer is one of those before 2.11, or it has operators: Keras 2 itself writes no .keras file
        assert name in ("recurrent", "nested", "cudnn", "operators")
        return
    check(ks.models.load_model(path), reference(folder / "keras2", name))


@pytest.mark.parametrize("name", KERAS2)
def test_weights_alone_of_keras_2(folder, name):
    expected = reference(folder / "keras2", name)
    model = ks.models.load_model(folder / "keras2" / f"{name}.h5", compile=False)
    for by_name in (None, True):
        for v in model.weights:
            v.assign(np.zeros(v.shape, v.dtype))
        model.load_weights(folder / "keras2" / f"{name}.weights_only.h5", **({} if by_name is None else {"by_name": by_name}))
        assert_same(model.predict(values(expected, "input"), verbose=0), values(expected, "prediction"))


@pytest.mark.parametrize("name", [name for name in KERAS2 if name in ("attention", "image", "numbers")])
def test_weights_h5_of_keras_2(folder, name):
    model = ks.models.load_model(folder / "keras2" / f"{name}.h5")
    for v in [*model.weights, *model.optimizer.variables[2:]]:
        v.assign(np.zeros(v.shape, v.dtype))
    model.load_weights(folder / "keras2" / f"{name}.weights.h5")
    check(model, reference(folder / "keras2", name))


@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.parametrize("name", KERAS3)
def test_whole_models_of_older_keras_3(folder, name, ending):
    path = folder / "keras3" / f"{name}.{ending}"
    if not path.exists():
        assert ending == "h5" and (name.endswith("containers") or name.startswith("3.0."))  # which that Keras itself could not write
        return
    check(ks.models.load_model(path), reference(folder / "keras3", name))


@pytest.mark.parametrize("name", KERAS3)
def test_weights_of_older_keras_3(folder, name):
    model = ks.models.load_model(folder / "keras3" / f"{name}.keras")
    for v in model.weights:
        v.assign(np.zeros(v.shape, v.dtype))
    model.load_weights(folder / "keras3" / f"{name}.weights.h5")
    expected = reference(folder / "keras3", name)
    assert_same(model.predict(values(expected, "input"), verbose=0), values(expected, "prediction"))


def test_the_group_that_tensorflow_2_13_wrote(tmp_path):
    model = ks.Sequential([ks.Input((2,)), layers.Dense(3), layers.Dense(1)])
    model.save_weights(tmp_path / "m.weights.h5")
    wanted = model.get_weights()
    with h5py.File(tmp_path / "m.weights.h5", "r+") as file:
        file.move("layers", "_layer_checkpoint_dependencies")
    model.set_weights([w * 0 for w in wanted])
    model.load_weights(tmp_path / "m.weights.h5")
    assert_same(model.get_weights(), wanted)


class Nest(layers.Layer):
    """A layer with layers in tuples: before Keras 3.14 they were in no file."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.parts = [(layers.Dense(2),), (layers.Dense(2),)]

    def build(self, input_shape):
        for (part,) in self.parts:
            part.build(input_shape)

    def call(self, x):
        for (part,) in self.parts:
            x = part(x)
        return x


def test_layers_that_were_not_saved_keep_their_weights(tmp_path):
    model = ks.Sequential([ks.Input((2,)), Nest(), layers.Dense(1)])
    model.save_weights(tmp_path / "m.weights.h5")
    with h5py.File(tmp_path / "m.weights.h5", "r+") as file:
        del file["layers/nest/parts"]
    kernel = model.weights[0].numpy()
    model.layers[1].kernel.assign(np.zeros((2, 1)))
    with pytest.warns(UserWarning, match="Skipping nested container at 'layers/nest/parts/container") as caught:
        model.load_weights(tmp_path / "m.weights.h5")
    assert len(caught) == 2 and model.layers[1].kernel.numpy().any()
    np.testing.assert_array_equal(model.weights[0].numpy(), kernel)


# ---- forms that tf.keras 2.15 itself does not write any more
def dense(units, **extra):
    return {"class_name": "Dense", "config": {"units": units, "activation": "relu", **extra}}


def as_h5(path, config, training=None, version="2.1.6"):
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = version
        file.attrs["model_config"] = json.dumps(config).encode()
        if training:
            file.attrs["training_config"] = json.dumps(training).encode()
        file.create_group("model_weights").attrs["layer_names"] = np.zeros((0,))


def test_sequential_as_a_list_without_input_layer():
    config = {"class_name": "Sequential", "config": [dense(3, name="a/b", batch_input_shape=[None, 4]), dense(2, name="c")]}
    model = ks.saving.deserialize_keras_object(keras2.upgrade(config))
    assert [layer.name for layer in model.layers] == ["a_b", "c"] and model.output_shape == (None, 2)


def test_model_and_constants_and_states_in_calls():
    def entry(name, class_name, config, *nodes):
        return {"class_name": class_name, "name": name, "config": {"name": name, **config}, "inbound_nodes": list(nodes)}

    config = {
        "class_name": "Model",
        "config": {
            "name": "old",
            "layers": [
                entry("x", "InputLayer", {"batch_input_shape": [None, 3, 2], "dtype": "float32", "sparse": False, "ragged": False}),
                entry("h", "InputLayer", {"batch_input_shape": [None, 4], "dtype": "float32", "sparse": False}),
                entry("minus", "TFOpLambda", {"function": "math.subtract"}, ["_CONSTANT_VALUE", -1, 1.0, {"y": ["x", 0, 0]}]),
                entry("gru", "GRU", {"units": 4, "time_major": False, "implementation": 1}, [["minus", 0, 0, {}], ["h", 0, 0, {}]]),
            ],
            "input_layers": [["x", 0, 0], ["h", 0, 0]],
            "output_layers": [["gru", 0, 0]],
        },
    }
    model = ks.saving.deserialize_keras_object(keras2.upgrade(config))
    gru = model.get_layer("gru")
    assert gru.cell.reset_after is False  # what was the default then
    x, h = np.ones((2, 3, 2), "float32"), np.full((2, 4), 0.5, "float32")
    assert_same(model.predict([x, h], verbose=0), gru(1.0 - x, initial_state=h))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"class_name": "LocallyConnected2D", "config": {"name": "a"}}, "not in Keras 3"),
        ({"class_name": "LSTM", "config": {"name": "a", "units": 2, "time_major": True}}, "time_major=True"),
        ({"class_name": "DepthwiseConv2D", "config": {"name": "a", "kernel_size": 2, "groups": 2}}, "groups=2"),
    ],
)
def test_what_has_no_counterpart_is_said(config, message):
    with pytest.raises(ValueError, match=message):
        keras2.upgrade(config)


def test_unknown_tensorflow_functions_are_named():
    with pytest.raises(ValueError, match=r"the layer 'x'.*tf\.linalg\.expm"):
        tf_ops.upgraded("linalg.expm", "the layer 'x'", [([], {})])
    with pytest.raises(ValueError, match="transpose_a"):
        tf_ops.upgraded("linalg.matmul", "it", [([], {"b": [], "transpose_a": True})])


@pytest.mark.parametrize(("function", "pair"), tf_ops._TABLE.items())
def test_every_tensorflow_function_has_an_op_with_those_parameters(function, pair):
    name, parameters, defaults = pair
    known = tf_ops._op(name).__signature__.parameters
    assert {*parameters.values(), *defaults} <= set(known)
    assert tf_ops._op(name).module.startswith("ops.")


def test_decay_is_the_schedule_that_it_was():
    made = keras2.optimizer_config({"class_name": "SGD", "config": {"lr": 0.1, "decay": 0.5, "momentum": 0.0, "nesterov": False}})
    optimizer = ks.optimizers.deserialize({**made, "module": "keras.optimizers", "registered_name": None})
    optimizer.build([ks.Variable([1.0])])
    optimizer.iterations.assign(2)
    np.testing.assert_allclose(float(optimizer.learning_rate), 0.1 / (1 + 0.5 * 2), rtol=1e-6)


def test_short_training_configs_and_versions(tmp_path):
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [dense(1, name="a", batch_input_shape=[None, 2])]}}
    training = {"optimizer_config": {"class_name": "Adam", "config": {"lr": 0.5, "epsilon": None, "decay": 0.0}}, "loss": "mse",
                "metrics": ["acc"], "loss_weights": None}  # fmt: skip
    as_h5(tmp_path / "m.h5", config, training)
    with pytest.raises(ValueError, match=r"(?s)Layer count mismatch.*a \[\(2, 1\), \(1,\)\]: only in the model"):
        ks.models.load_model(tmp_path / "m.h5")
    assert keras2.is_old("2.3.0-tf") and not keras2.is_old("3.0.0") and not keras2.is_old(None)
    shutil.rmtree(tmp_path)


X = np.arange(-3, 3, dtype="float32").reshape(2, 3)


@pytest.mark.parametrize(
    ("function", "first", "kwargs", "expected"),
    [
        ("gather", X, {"indices": [1, 0]}, X[[1, 0]]),
        ("clip_by_value", X, {"clip_value_min": -1.0, "clip_value_max": 1.0, "name": None}, X.clip(-1, 1)),
        ("one_hot", np.array([0, 2]), {"depth": 3}, np.eye(3)[[0, 2]]),
        ("compat.v1.where", X > 0, {"x": X, "y": -X}, abs(X)),
        ("split", X, {"num_or_size_splits": [1, 2], "axis": 1}, [X[:, :1], X[:, 1:]]),
        ("linalg.matmul", X, {"b": X.T, "transpose_a": False}, X @ X.T),
        ("math.argmax", X, {"output_type": "int64"}, X.argmax(0)),
        ("math.cumsum", X, {}, X.cumsum(0)),
        ("math.reduce_std", X, {"axis": [1], "keepdims": True}, X.std(1, keepdims=True)),
        ("math.reduce_sum", X, {"axis": None}, X.sum()),
        ("math.floormod", X, {"y": 2.0}, X % 2),
        ("transpose", X, {"perm": [1, 0]}, X.T),
        ("tile", X, {"multiples": [2, 1]}, np.tile(X, (2, 1))),
        ("stack", [X, X], {}, np.stack([X, X])),
        ("nn.leaky_relu", X, {"alpha": 0.1}, np.where(X > 0, X, 0.1 * X)),
        ("compat.v1.nn.softmax", X, {"axis": -1}, np.exp(X) / np.exp(X).sum(-1, keepdims=True)),
        ("nn.gelu", X, {}, X * 0.5 * (1 + np.vectorize(math.erf)(X / math.sqrt(2)))),
        ("__operators__.getitem", X, {"slice_spec": [{"start": None, "stop": None, "step": 2}, 1]}, X[::2, 1]),
    ],
)
def test_tensorflow_functions_compute_what_they_did(function, first, kwargs, expected):
    kind, config, calls = tf_ops.upgraded(function, "it", [(first, kwargs)])
    operation = ks.saving.deserialize_keras_object({**kind, "config": {"name": "op", **config}})
    args = [ks.saving.deserialize_keras_object(arg) if isinstance(arg, list) and not isinstance(first, list) else arg for arg in calls[0][0]]
    args, _ = operation.revived(args, {})
    assert_same(operation(*args), expected)
