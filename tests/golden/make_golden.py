"""Write the golden files of this folder with real Keras: `KERAS_BACKEND=jax python make_golden.py [folder]`.

Every model is trained for three steps (so that optimizer slots are not zero) and saved twice, in all three formats:
NAME_compiled.* with its training configuration and optimizer, NAME.* without, both with the same weights. The six files
and NAME.npz lie in NAME.zip (HDF5 files this small are mostly padding). The .npz holds

    input/KEY, target/KEY, prediction/KEY   fixed arrays; KEY is "0", "1", ... or the key in a dict
    optimizer/000, optimizer/001, ...       the optimizer's variables after the three steps, in order
    weight/000, weight/001, ...             the weights, in the order of `model.get_weights()`
    optimizer_paths, weight_paths           their paths
    resumed_loss, resumed_prediction/KEY    losses of two more steps on the same batch, from the .keras file, and the
                                            predictions after them (not for models with dropout)
    h5_error, h5_error_compiled             what real Keras says when it opens its own .h5; "" when it can
"""

import os
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from keras import layers, ops

ROWS = 8
Data = tuple[Any, Any]


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal((ROWS, *shape)).astype("float32")


def tokens(rng: np.random.Generator, length: int, size: int) -> np.ndarray:
    """Token ids with zeros (the mask) at the end of every row but the first."""
    ids = rng.integers(1, size, (ROWS, length))
    lengths = np.r_[length, rng.integers(1, length, ROWS - 1)]
    return np.where(np.arange(length) < lengths[:, None], ids, 0).astype("int32")


def classes(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.integers(0, count, (ROWS,)).astype("int32")


def mlp(rng):
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(5, activation="relu"), layers.Dense(3, activation="softmax")], name="mlp"
    )
    compiled = {"optimizer": "rmsprop", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    return model, compiled, (floats(rng, 6), classes(rng, 3))


def convnet(rng):
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(3, 3, padding="same", activation="relu", kernel_regularizer=keras.regularizers.L2(1e-3)),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.25, seed=3),
            layers.Dense(3),
        ],
        name="convnet",
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    compiled = {"optimizer": "adam", "loss": loss, "metrics": [keras.metrics.SparseCategoricalAccuracy(name="hit")]}
    return model, compiled, (floats(rng, 6, 6, 2), classes(rng, 3))


def lstm(rng):
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            layers.Embedding(7, 3, mask_zero=True),
            layers.LSTM(4),
            layers.Dense(1, activation="sigmoid"),
        ],
        name="lstm",
    )
    compiled = {"optimizer": "adam", "loss": "binary_crossentropy", "metrics": ["accuracy"]}
    return model, compiled, (tokens(rng, 5, 7), classes(rng, 2)[:, None])


def birnn(rng):
    model = keras.Sequential(
        [
            keras.Input((5, 3)),
            layers.Masking(0.0),
            layers.Bidirectional(layers.GRU(2, return_sequences=True)),
            layers.SimpleRNN(3),
            layers.Dense(1),
        ],
        name="birnn",
    )
    x = floats(rng, 5, 3)
    x[1:, 3:] = 0
    return model, {"optimizer": keras.optimizers.Nadam(0.01), "loss": keras.losses.Huber()}, (x, floats(rng, 1))


def attention(rng):
    ids = keras.Input((4,), dtype="int32", name="ids")
    x = layers.Embedding(9, 4, name="embed")(ids)
    y = layers.MultiHeadAttention(num_heads=2, key_dim=3, name="attend")(x, x, use_causal_mask=True)
    x = layers.LayerNormalization(name="norm")(layers.Add(name="residual")([x, y]))
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    model = keras.Model(ids, layers.Dense(3, activation="softmax", name="kind")(x), name="attention")
    compiled = {
        "optimizer": keras.optimizers.Adam(0.01, amsgrad=True),
        "loss": "categorical_crossentropy",
        "metrics": ["accuracy", keras.metrics.TopKCategoricalAccuracy(k=2)],
    }
    return model, compiled, (tokens(rng, 4, 9), np.eye(3, dtype="float32")[classes(rng, 3)])


def two_input(rng):
    inputs = {"left": keras.Input((4,), name="left"), "right": keras.Input((4,), name="right")}
    shared = layers.Dense(3, activation="tanh", name="shared")
    a, b = shared(inputs["left"]), shared(inputs["right"])
    both = layers.Concatenate(name="both")([a, b])
    total = layers.Add(name="total")([a, b])
    outputs = {
        "price": layers.Dense(1, name="price")(both),
        "kind": layers.Dense(3, activation="softmax", name="kind")(total),
    }
    model = keras.Model(inputs, outputs, name="two_input")
    compiled = {
        "optimizer": keras.optimizers.Adam(0.01),
        "loss": {"price": "mean_squared_error", "kind": "sparse_categorical_crossentropy"},
        "loss_weights": {"price": 0.5, "kind": 2.0},
        "metrics": {"kind": ["accuracy"]},
    }
    x = {"left": floats(rng, 4), "right": floats(rng, 4)}
    return model, compiled, (x, {"price": floats(rng, 1), "kind": classes(rng, 3)})


def nested(rng):
    block = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, activation="elu", name="a"), layers.BatchNormalization(name="b")],
        name="block",
    )
    middle_in = keras.Input((4,), name="middle_in")
    middle_out = layers.Dense(4, name="c")(block(middle_in))
    middle = keras.Model(middle_in, middle_out, name="middle")
    outer_in = keras.Input((4,), name="outer_in")
    once = middle(outer_in)
    x = layers.Average(name="mean")([once, middle(once)])  # the nested model is called twice: it is shared
    model = keras.Model(outer_in, layers.Dense(1, name="d")(x), name="nested")
    return model, {"optimizer": "sgd", "loss": "mean_absolute_error"}, (floats(rng, 4), floats(rng, 1))


def ops_model(rng):
    x = keras.Input((4, 3), name="x")
    y = keras.Input((4, 3), name="y")
    z = x + 1
    z = ops.relu(z * y)
    z = ops.concatenate([z, 2.0 - x], axis=-1)
    mean = ops.mean(z, axis=1, keepdims=False)
    first = z[:, 0]
    last = z[..., -1:]
    flat = ops.reshape(last, (-1, 4))
    h = layers.Dense(3, name="mix")(ops.concatenate([mean, first, flat], axis=1))
    model = keras.Model([x, y], ops.sqrt(ops.square(h) / 2 + 0.5) ** 1.5, name="ops_model")
    return (
        model,
        {"optimizer": "adam", "loss": "mean_squared_error"},
        ([floats(rng, 4, 3), floats(rng, 4, 3)], floats(rng, 3)),
    )


def sgd_schedule(rng):
    model = keras.Sequential([layers.Dense(4, "relu", kernel_constraint="non_neg"), layers.Dense(1)], name="sgd_schedule")
    model.build((None, 5))  # no Input: the model makes its InputLayer itself
    schedule = keras.optimizers.schedules.ExponentialDecay(0.05, decay_steps=2, decay_rate=0.5, staircase=True)
    optimizer = keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True)
    return model, {"optimizer": optimizer, "loss": "mean_squared_error"}, (floats(rng, 5), floats(rng, 1))


def adamw_ema(rng):
    model = keras.Sequential([keras.Input((5,)), layers.Dense(4, "gelu"), layers.Dense(1)], name="adamw_ema")
    optimizer = keras.optimizers.AdamW(
        0.01, weight_decay=0.02, clipnorm=0.5, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=4
    )
    compiled = {"optimizer": optimizer, "loss": "mean_squared_error", "weighted_metrics": ["mean_absolute_error"]}
    return model, compiled, (floats(rng, 5), floats(rng, 1))


def short_names(rng):
    """Real Keras cannot open the .h5 of a model compiled with a short name of a loss, such as "mse"."""
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)], name="short_names")
    return model, {"optimizer": "adam", "loss": "mse", "metrics": ["mae"]}, (floats(rng, 4), floats(rng, 1))


MODELS = [mlp, convnet, lstm, birnn, attention, two_input, nested, ops_model, sgd_schedule, adamw_ema, short_names]


def arrays(prefix: str, values: Any) -> dict[str, np.ndarray]:
    """Flat keys for one array, a list or a dict of them."""
    if not isinstance(values, (dict, list)):
        values = [values]
    items = values.items() if isinstance(values, dict) else enumerate(values)
    return {f"{prefix}/{key}": np.asarray(value) for key, value in items}


def train(model: keras.Model, data: Data, steps: int) -> list[float]:
    losses = []
    for _ in range(steps):
        model.reset_metrics()
        losses.append(float(model.train_on_batch(*data, return_dict=True)["loss"]))
    return losses


def save(model: keras.Model, stem: Path) -> None:
    model.save(f"{stem}.keras")
    model.save_weights(f"{stem}.weights.h5")
    model.save(f"{stem}.h5")  # last: saving to .h5 takes the optimizer out of the model's compile config


def error_of(file: str) -> str:
    try:
        keras.models.load_model(file)
    except Exception as error:
        return f"{type(error).__name__}: {error}".split("\n")[0]
    return ""


def check_same(actual: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(actual[key], value, rtol=1e-5, atol=1e-6, err_msg=key)


def write(build: Callable, folder: Path) -> dict[str, np.ndarray]:
    stem = folder / build.__name__
    keras.backend.clear_session()
    keras.utils.set_random_seed(7)
    model, compiled, data = build(np.random.default_rng(7))
    model.compile(**compiled)
    train(model, data, 3)
    save(model, f"{stem}_compiled")

    keras.backend.clear_session()
    bare, _, _ = build(np.random.default_rng(7))
    bare.set_weights(model.get_weights())
    save(bare, stem)

    slots = model.optimizer.variables
    predicted = arrays("prediction", model.predict(data[0], verbose=0))
    record = arrays("input", data[0]) | arrays("target", data[1]) | predicted
    record |= {f"optimizer/{i:03}": np.asarray(v) for i, v in enumerate(slots)}
    record |= {f"weight/{i:03}": w for i, w in enumerate(model.get_weights())}
    record["optimizer_paths"] = np.array([v.path for v in slots])
    record["weight_paths"] = np.array([v.path for v in model.weights])
    record["h5_error"] = np.array(error_of(f"{stem}.h5"))
    record["h5_error_compiled"] = np.array(error_of(f"{stem}_compiled.h5"))

    check_same(arrays("prediction", keras.models.load_model(f"{stem}.keras").predict(data[0], verbose=0)), predicted)
    loaded = keras.models.load_model(f"{stem}_compiled.keras")
    check_same(
        {f"optimizer/{i:03}": np.asarray(v) for i, v in enumerate(loaded.optimizer.variables)},
        {key: value for key, value in record.items() if key.startswith("optimizer/")},
    )
    if not any(isinstance(layer, layers.Dropout) for layer in loaded.layers):
        record["resumed_loss"] = np.array(train(loaded, data, 2), "float32")
        record |= arrays("resumed_prediction", loaded.predict(data[0], verbose=0))
    np.savez_compressed(f"{stem}.npz", **record)
    return record


def main(folder: Path) -> None:
    if keras.backend.backend() != "jax":
        raise SystemExit("run with KERAS_BACKEND=jax")
    folder.mkdir(parents=True, exist_ok=True)
    for build in MODELS:
        name = build.__name__
        with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            record = write(build, Path(scratch))
            with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
                for file in sorted(Path(scratch).iterdir()):
                    archive.write(file, file.name)
        print(f"{name}: {len(record['optimizer_paths'])} optimizer variables", record["h5_error_compiled"])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
