"""Write the golden files of `keras2/` with Keras 2: `python make_keras2.py [folder]` under tensorflow-cpu 2.15 (Keras 2.15).

Each model is trained for three steps. NAME.zip holds NAME.h5 (the whole model with its optimizer), NAME.weights_only.h5
(`save_weights`), where the optimizer is one of 2.11 and later also NAME.keras, and NAME.npz:

    input/KEY, target/KEY, prediction/KEY   fixed arrays; KEY is "0", "1", ...
    weight/000, ...                         the weights in the order of `model.get_weights()`
    resumed_loss, resumed_prediction/KEY    losses of two more steps on the same batch, and the predictions after them
"""

import json
import os
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import h5py
import numpy as np
import tensorflow as tf

keras, layers = tf.keras, tf.keras.layers
legacy = keras.optimizers.legacy
ROWS = 6


def floats(rng, *shape):
    return rng.standard_normal((ROWS, *shape)).astype("float32")


def classes(rng, count):
    return rng.integers(0, count, (ROWS,)).astype("int32")


def image(rng):
    model = keras.Sequential(
        [
            layers.Conv2D(3, 3, padding="same", input_shape=(4, 4, 2), kernel_initializer=keras.initializers.GlorotUniform(seed=1)),
            layers.BatchNormalization(axis=[3]),
            layers.LeakyReLU(0.2),
            layers.DepthwiseConv2D(2, padding="same"),
            layers.SeparableConv2D(3, 2, padding="same", activation="relu"),
            layers.Conv2DTranspose(2, 2, strides=2, kernel_regularizer=keras.regularizers.l2(1e-3)),
            layers.AveragePooling2D(2),
            layers.PReLU(shared_axes=[1, 2]),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ],
        name="image",
    )
    compiled = {"optimizer": keras.optimizers.Adam(0.01), "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    return model, compiled, (floats(rng, 4, 4, 2), classes(rng, 3))


def recurrent(rng):
    ids = keras.Input((5,), dtype="int32", name="ids")
    x = layers.Embedding(7, 3, mask_zero=True)(ids)
    x = layers.Bidirectional(layers.GRU(2, return_sequences=True))(x)
    x = layers.LSTM(3, return_sequences=True, implementation=1, time_major=False)(x)
    x = layers.TimeDistributed(layers.Dense(3, activation="tanh"))(x)
    x = layers.RNN(layers.StackedRNNCells([layers.GRUCell(2), layers.LSTMCell(3)]), return_sequences=True)(x)
    x = layers.GRU(2, reset_after=False)(x)
    model = keras.Model(ids, layers.Dense(1, activation="sigmoid")(x), name="recurrent")
    ids = np.where(np.arange(5) < rng.integers(2, 6, ROWS)[:, None], rng.integers(1, 7, (ROWS, 5)), 0).astype("int32")
    compiled = {"optimizer": legacy.Adam(lr=0.01, decay=0.1), "loss": keras.losses.BinaryCrossentropy()}
    return model, compiled, (ids, classes(rng, 2)[:, None])


@keras.utils.register_keras_serializable("golden")
class Scale(layers.Layer):
    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape):
        self.offset = self.add_weight("offset", shape=input_shape[-1:], initializer="ones")

    def call(self, x):
        return x * self.factor + self.offset

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def nested(rng):
    block = keras.Sequential([layers.Dense(3, activation="elu", input_shape=(4,), name="a"), layers.BatchNormalization(name="b")])
    middle_in = keras.Input((4,), name="middle_in")
    middle = keras.Model(middle_in, layers.Dense(4, name="c")(block(middle_in)), name="middle")
    x = keras.Input((4,), name="x")
    once = middle(x)
    both = layers.Concatenate(axis=-1, name="both")([once, middle(once)])
    both = Scale(2.0, name="scale")(layers.Dropout(0.0, name="drop")(both))
    model = keras.Model(x, layers.Dense(1, kernel_constraint="non_neg", name="d")(both), name="nested")
    compiled = {
        "optimizer": legacy.SGD(lr=0.02, momentum=0.9, decay=0.01),
        "loss": "mse",
        "metrics": ["mae", keras.metrics.MeanSquaredError(name="squared")],
    }
    return model, compiled, (floats(rng, 4), floats(rng, 1))


def attention(rng):
    x = keras.Input((4, 3), name="x")
    y = layers.MultiHeadAttention(num_heads=2, key_dim=3, name="attend")(x, x)
    y = layers.LayerNormalization(name="norm")(layers.Add(name="residual")([x, y]))
    y = layers.GlobalAveragePooling1D(name="pool")(y)
    out = {"kind": layers.Dense(3, activation="softmax", name="kind")(y), "price": layers.Dense(1, name="price")(y)}
    model = keras.Model(x, [out["price"], out["kind"]], name="attention")
    compiled = {
        "optimizer": keras.optimizers.RMSprop(keras.optimizers.schedules.ExponentialDecay(0.01, 2, 0.5), momentum=0.5),
        "loss": ["mean_squared_error", "sparse_categorical_crossentropy"],
        "loss_weights": [0.5, 2.0],
        "metrics": [["mae"], ["accuracy"]],
    }
    return model, compiled, (floats(rng, 4, 3), [floats(rng, 1), classes(rng, 3)])


def operators(rng):
    """Operators on tensors: Keras 2 keeps them as layers TFOpLambda and SlicingOpLambda."""
    x = keras.Input((4, 3), name="x")
    z = layers.Dense(3, name="first")(x)
    z = tf.nn.relu(z * 2.0 + 1.0 - x) / 3.0
    z = tf.concat([z, -x], axis=-1)
    first, last = z[:, 0], z[..., -1:]
    mean = tf.reduce_mean(z, axis=1)
    flat = tf.reshape(last, (-1, 4))
    merged = tf.concat([first, mean, tf.math.tanh(flat), tf.squeeze(last, -1) ** 2.0], axis=1)
    merged = tf.maximum(merged, -0.5) + tf.cast(tf.expand_dims(first[:, 1], 1), "float32")
    model = keras.Model(x, layers.Dense(2, name="out")(merged), name="operators")
    return model, {"optimizer": "adam", "loss": "mse"}, (floats(rng, 4, 3), floats(rng, 2))


def cudnn(rng):
    """CuDNNLSTM and CuDNNGRU run on GPUs alone; LSTM and GRU with the same weights say what they would give."""
    v1 = tf.compat.v1.keras.layers
    fast = keras.Sequential([keras.Input((4, 3)), v1.CuDNNGRU(2, return_sequences=True), v1.CuDNNLSTM(3)], name="cudnn")
    fast.set_weights([rng.standard_normal(w.shape).astype("float32") / 2 for w in fast.get_weights()])
    return fast, {"optimizer": legacy.Adam(), "loss": "mse"}, (floats(rng, 4, 3), floats(rng, 3))


def on_cpu(fast, folder):
    fast.save_weights(folder / "cudnn.h5")
    model = keras.Sequential([keras.Input((4, 3)), layers.GRU(2, return_sequences=True), layers.LSTM(3)], name="cudnn")
    model.load_weights(folder / "cudnn.h5")
    (folder / "cudnn.h5").unlink()
    return model


def numbers(rng):
    model = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0]),
            layers.Rescaling(0.5),
            layers.Dense(4, activation=keras.activations.swish, bias_initializer=keras.initializers.RandomNormal(stddev=0.1, seed=2)),
            layers.Activation("relu"),
            layers.ThresholdedReLU(0.1),
            layers.Dense(2, activation="linear", activity_regularizer=keras.regularizers.L1(1e-3)),
        ],
        name="numbers",
    )
    compiled = {
        "optimizer": keras.optimizers.AdamW(0.01, weight_decay=0.01, amsgrad=True, use_ema=True),
        "loss": keras.losses.Huber(delta=0.5),
        "metrics": [keras.metrics.RootMeanSquaredError(), "cosine_similarity"],
    }
    return model, compiled, (floats(rng, 3), floats(rng, 2))


MODELS = [image, recurrent, nested, attention, operators, cudnn, numbers]


def arrays(prefix, values):
    values = values if isinstance(values, list) else [values]
    return {f"{prefix}/{i}": np.asarray(value) for i, value in enumerate(values)}


def train(model, data, steps):
    losses = []
    for _ in range(steps):
        model.reset_metrics()
        losses.append(float(model.train_on_batch(*data, return_dict=True)["loss"]))
    return losses


def write(build, folder):
    name = build.__name__
    keras.backend.clear_session()
    keras.utils.set_random_seed(7)
    model, compiled, data = build(np.random.default_rng(7))
    model.compile(**compiled)
    runs = on_cpu(model, folder) if build is cudnn else model
    if build is not cudnn:
        train(model, data, 3)
    model.save(folder / f"{name}.h5")
    model.save_weights(folder / f"{name}.weights_only.h5")
    if build is not operators and not isinstance(model.optimizer, legacy.Optimizer):  # Keras 2 can't put Ellipsis into .keras
        model.save(folder / f"{name}.keras")
        model.save_weights(folder / f"{name}.weights.h5")
    predicted = arrays("prediction", runs.predict(data[0], verbose=0))
    record = arrays("input", data[0]) | arrays("target", data[1]) | predicted
    record |= {f"weight/{i:03}": w for i, w in enumerate(model.get_weights())}
    if build is not cudnn:
        record["resumed_loss"] = np.array(train(model, data, 2), "float32")
        record |= arrays("resumed_prediction", model.predict(data[0], verbose=0))
    np.savez_compressed(folder / f"{name}.npz", **record)


def show(path):
    """What is in a .h5 file, for people."""
    with h5py.File(path) as file:
        for key in ("model_config", "training_config"):
            print(key, json.dumps(json.loads(file.attrs[key]), indent=1))
        file.visititems(lambda name, item: print(name, getattr(item, "shape", "")))


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for build in MODELS:
        name = build.__name__
        with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            write(build, Path(scratch))
            with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
                for file in sorted(Path(scratch).iterdir()):
                    archive.write(file, file.name)
        print(name, (folder / f"{name}.zip").stat().st_size)


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].endswith(".h5"):
        show(sys.argv[1])
    else:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "keras2")
