"""The guarded process: benign models and their files, and every way in which a file or a config can be loaded."""

import importlib
import importlib.util
import json
import marshal
import os
import pathlib
import socket
import subprocess
import tempfile

import numpy as np

from tests.saving.hostile import guard


# ---- benign models, one for each room of the house
def mlp(ks):
    layers = ks.layers
    model = ks.Sequential(
        [ks.Input((4,)), layers.Dense(3, "relu", kernel_regularizer="l2", name="first"), layers.Dropout(0.1, seed=1),
         layers.BatchNormalization(), layers.Dense(2, name="second")], name="mlp")  # fmt: skip
    model.compile(ks.optimizers.Adam(ks.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)), ks.losses.Huber(),
                  metrics=[ks.metrics.MeanAbsoluteError(), "mse"])  # fmt: skip
    model.train_on_batch(np.ones((2, 4), "float32"), np.ones((2, 2), "float32"))
    return model


def graph(ks):
    layers = ks.layers
    left, right = ks.Input((4,), name="left"), ks.Input((4,), name="right")
    shared = layers.Dense(3, name="shared")
    inner_input = ks.Input((6,), name="inner_input")
    inner = ks.Model(inner_input, layers.Dense(2)(ks.ops.relu(inner_input) * 2.0 + 1.0), name="inner")
    x = layers.Concatenate(name="both")([shared(left), shared(right)])
    y = inner(x)
    z = inner(ks.ops.reshape(x, (-1, 6))[:, ::-1])
    model = ks.Model({"left": left, "right": right}, [y, layers.Add()([y, z])], name="graph")
    model.compile("sgd", ["mse", "mae"])
    return model


def sequence(ks):
    layers = ks.layers
    x = ks.Input((5,), dtype="int32", name="ids")
    h = layers.Embedding(7, 4, mask_zero=True)(x)
    h = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(h)
    h = layers.MultiHeadAttention(2, 3)(h, h)
    h = layers.TimeDistributed(layers.Dense(2))(h)
    h = layers.RNN(layers.StackedRNNCells([layers.GRUCell(2), layers.SimpleRNNCell(2)]))(h)
    return ks.Model(x, h, name="sequence")


def image(ks):
    layers = ks.layers
    return ks.Sequential(
        [ks.Input((8, 8, 3)), layers.Rescaling(1 / 255), layers.RandomFlip(seed=1), layers.Conv2D(2, 3, padding="same"), layers.MaxPooling2D(),
         layers.SeparableConv2D(2, 3), layers.LayerNormalization(), layers.Flatten(), layers.Dense(2, dtype="mixed_float16")], name="image")  # fmt: skip


def text(ks):
    layers = ks.layers
    vectorization = layers.TextVectorization(output_sequence_length=4, name="words")
    vectorization.adapt(["a b c", "b c d"])
    x = ks.Input((1,), dtype="string", name="sentence")
    return ks.Model(x, layers.Embedding(8, 2)(vectorization(x)), name="text")


def table(ks):
    space = ks.utils.FeatureSpace({"size": "float_normalized", "kind": "string_categorical", "code": "integer_categorical"},
                                  crosses=[("kind", "code")], crossing_dim=4)  # fmt: skip
    space.adapt({"size": [1.0, 3.0], "kind": ["a", "b"], "code": [1, 2]})
    return space


MODELS = {function.__name__: function for function in (mlp, graph, sequence, image, text, table)}
_made: dict = {}


def made(ks, name):
    """The model, made once: loaders of weights change its values alone."""
    if name not in _made:
        _made[name] = MODELS[name](ks)
    return _made[name]


def write_seeds(ks, folder):
    """A valid file of every kind; returns ``{file name: (loader, model's name)}``."""
    folder, files = pathlib.Path(folder), {}
    for name in MODELS:
        model = made(ks, name)
        (ks.saving.save_model)(model, folder / f"{name}.keras")
        files[f"{name}.keras"] = "model", name
        (folder / f"{name}.json").write_text(json.dumps(ks.saving.serialize_keras_object(model)))
        files[f"{name}.json"] = "json", name
        if name in ("text", "table"):
            continue
        ks.saving.save_model(model, folder / f"{name}.h5")
        files[f"{name}.h5"] = "model", name
        model.save_weights(folder / f"{name}.weights.h5")
        files[f"{name}.weights.h5"] = "weights", name
    (folder / "by_name.h5").write_bytes((folder / "mlp.h5").read_bytes())
    files["by_name.h5"] = "by_name", "mlp"
    (folder / "order.h5").write_bytes((folder / "mlp.h5").read_bytes())
    files["order.h5"] = "weights", "mlp"
    made(ks, "mlp").save_weights(folder / "parts.weights.json", max_shard_size=2e-7)
    files["parts.weights.json"] = "weights", "mlp"
    if importlib.util.find_spec("safetensors"):
        made(ks, "mlp").save_weights(folder / "mlp.safetensors")
        files["mlp.safetensors"] = "weights", "mlp"
    return files


# ---- ways in
def _model(ks, job):
    return ks.saving.load_model(job["path"])


def _weights(ks, job):
    made(ks, job["model"]).load_weights(job["path"])


def _skip_mismatch(ks, job):
    made(ks, job["model"]).load_weights(job["path"], skip_mismatch=True)


def _by_name(ks, job):
    made(ks, job["model"]).load_weights(job["path"], by_name=True)


def _json(ks, job):
    return ks.models.model_from_json(pathlib.Path(job["path"]).read_bytes())


def _config(job):
    """The config that a test wrote: JSON, nested at most as deeply as JSON itself can be read."""
    return json.loads(pathlib.Path(job["path"]).read_text())


def _object(ks, job):
    return ks.saving.deserialize_keras_object(_config(job), custom_objects={"mine": len, "Mine": ks.layers.Identity})


def _family(module):
    def load(ks, job):
        family = ks
        for part in module.split("."):
            family = getattr(family, part)
        return family.deserialize(_config(job))

    return load


def _from_config(cls):
    def load(ks, job):
        return getattr(ks, cls).from_config(_config(job))

    return load


def _clone(ks, job):
    """A model of Python objects may be cloned by what its own layers say of themselves."""
    return ks.models.clone_model(ks.Sequential.from_config(_config(job)))


def _python(ks, job):
    """Configs that no JSON can hold."""
    config = {"module": "keras", "class_name": "Sequential", "config": {"name": "m", "layers": []}, "registered_name": None}
    if job["what"] == "cycle":
        config["config"]["layers"].append(config)
    elif job["what"] == "deep":
        for _ in range(100_000):
            config = {"module": "keras", "class_name": "Sequential", "config": {"name": "m", "layers": [config]}, "registered_name": None}
    elif job["what"] == "laughs":
        for _ in range(60):
            config = [config, config]
    return ks.saving.deserialize_keras_object(config)


def _misbehave(ks, job):
    """What no loader may do: the guard must see it."""
    what = job["what"]
    if what == "read":
        pathlib.Path("/etc/hostname").read_bytes()
    elif what == "write":
        pathlib.Path(job["folder"], "..", "owned").write_text("x")
    elif what == "run":
        subprocess.run(["true"], check=False)
    elif what == "connect":
        socket.create_connection(("localhost", 1), timeout=0.1)
    elif what == "import":
        __import__("colorsys")
    elif what == "evaluate":
        eval("1 + 1")
    elif what == "unmarshal":
        marshal.loads(marshal.dumps(1))
    elif what == "settings":
        ks.config.set_floatx("float16" if ks.config.floatx() == "float32" else "float32")
    elif what == "memory":
        bytearray(2**31)
    elif what == "spin":
        while True:
            pass
    elif what == "crash":
        os.abort()


FAMILIES = ("layers", "losses", "metrics", "optimizers", "initializers", "activations", "regularizers", "constraints", "dtype_policies",
            "optimizers.schedules")  # fmt: skip
LOADERS = {
    "model": _model, "weights": _weights, "skip_mismatch": _skip_mismatch, "by_name": _by_name, "json": _json, "object": _object,
    "clone": _clone, "python": _python, "misbehave": _misbehave,
    **{f"deserialize {name}": _family(name) for name in FAMILIES},
    **{f"from_config {name}": _from_config(name) for name in ("Sequential", "Model")},
}  # fmt: skip


def warm_up(ks):
    """Load one file of every kind, so that all that is imported on first use is there."""
    with tempfile.TemporaryDirectory() as folder:
        for name, (loader, model) in write_seeds(ks, folder).items():
            LOADERS[loader](ks, {"path": str(pathlib.Path(folder, name)), "model": model})


if __name__ == "__main__":
    guard.serve(*guard.ready(warm_up), LOADERS)
