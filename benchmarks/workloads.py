"""The models that are measured, on any library with the Keras API.

Each function takes the library, how many samples of data to make, the batch size and, where that is varied, sizes. It returns
a compiled model, inputs, targets and the batch size. The digits are MNIST's where the folder that ``KERASISH_DATA`` names has
``mnist.npz``; all other data is random, since the time of a step doesn't depend on it.
"""

import os

import numpy as np

VOCABULARY = 20000


# ---- data
def digits(samples):
    """Images (samples, 28, 28) from 0 to 1 and their labels; noise where there is no MNIST."""
    path = os.path.join(os.environ.get("KERASISH_DATA", ""), "mnist.npz")
    if not os.path.isfile(path):
        return noise(samples, 28, 28), classes(samples, 10)
    with np.load(path) as file:
        return file["x_train"][:samples].astype("float32") / 255, file["y_train"][:samples].astype("int32")


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape, dtype="float32")


def classes(samples, count):
    return np.random.default_rng(1).integers(0, count, samples).astype("int32")


def texts(samples, length):
    """Sequences of words by number."""
    return np.random.default_rng(0).integers(1, VOCABULARY, (samples, length)).astype("int32")


# ---- models
def mlp(keras, samples=60000, batch=128, width=512, depth=1):
    """Keras's first example: MNIST with one hidden layer and RMSprop."""
    x, y = digits(samples)
    hidden = [keras.layers.Dense(width, activation="relu") for _ in range(depth)]
    model = keras.Sequential([keras.Input((784,)), *hidden, keras.layers.Dense(10, activation="softmax")])
    return _classifier(model, "rmsprop"), x.reshape(-1, 784), y, batch


def bigmlp(keras, samples=16384, batch=256, width=2048, depth=3):
    """Large matrix products, and ten million weights for Adam."""
    hidden = [keras.layers.Dense(width, activation="relu") for _ in range(depth)]
    model = keras.Sequential([keras.Input((1024,)), *hidden, keras.layers.Dense(10, activation="softmax")])
    return _classifier(model, "adam"), noise(samples, 1024), classes(samples, 10), batch


def tiny(keras, samples=8192, batch=32):
    """A regression so small that only the overhead of a step counts."""
    x = noise(samples, 8)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model, x, 2 * x[:, :1] + 1, batch


def cnn(keras, samples=60000, batch=128):
    """Keras's small convolutional network for MNIST."""
    layers = keras.layers
    x, y = digits(samples)
    model = keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dropout(0.5),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    return _classifier(model, "adam"), x[..., None], y, batch


def resnet(keras, samples=2048, batch=64):
    """ResNet-20 for images of 32 x 32 (K. He et al. 2015): batch normalization between many small convolutions."""
    layers = keras.layers

    def normalized(x, filters, strides=1):
        x = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    def block(x, filters, strides):
        y = layers.ReLU()(normalized(x, filters, strides))
        y = normalized(y, filters)
        if strides > 1:
            x = layers.Conv2D(filters, 1, strides=strides)(x)
        return layers.ReLU()(layers.Add()([x, y]))

    inputs = keras.Input((32, 32, 3))
    x = layers.ReLU()(normalized(inputs, 16))
    for filters, strides in RESNET_BLOCKS:
        x = block(x, filters, strides)
    outputs = layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    model = _classifier(keras.Model(inputs, outputs), keras.optimizers.SGD(0.1, momentum=0.9))
    return model, noise(samples, 32, 32, 3), classes(samples, 10), batch


RESNET_BLOCKS = [(16, 1)] * 3 + [(32, 2), (32, 1), (32, 1)] + [(64, 2), (64, 1), (64, 1)]


def lstm(keras, samples=4096, batch=32, length=100):
    """Sentiment of a text by an LSTM."""
    layers = keras.layers
    model = keras.Sequential([
        keras.Input((length,), dtype="int32"),
        layers.Embedding(VOCABULARY, 128),
        layers.LSTM(64),
        layers.Dense(1, activation="sigmoid"),
    ])  # fmt: skip
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model, texts(samples, length), classes(samples, 2).astype("float32")[:, None], batch


def transformer(keras, samples=4096, batch=32, length=200):
    """Sentiment of a text by one transformer block, as in Keras's example."""
    layers = keras.layers
    tokens = keras.Input((length,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 32)(tokens)
    x = layers.LayerNormalization(epsilon=1e-6)(x + layers.MultiHeadAttention(num_heads=2, key_dim=32)(x, x))
    feed_forward = layers.Dense(32)(layers.Dense(32, activation="relu")(x))
    x = layers.LayerNormalization(epsilon=1e-6)(x + feed_forward)
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling1D()(x))
    outputs = layers.Dense(2, activation="softmax")(layers.Dense(20, activation="relu")(x))
    return _classifier(keras.Model(tokens, outputs), "adam"), texts(samples, length), classes(samples, 2), batch


def _classifier(model, optimizer):
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


WORKLOADS = {f.__name__: f for f in (mlp, bigmlp, tiny, cnn, resnet, lstm, transformer)}


def fit(model, x, y, batch, steps, **options):
    """Train for at most so many steps: one epoch, or several whole ones where the data is shorter. Returns their number."""
    per_epoch = min(len(x) // batch, steps)
    epochs = steps // per_epoch
    model.fit(x[: per_epoch * batch], y[: per_epoch * batch], batch_size=batch, epochs=epochs, verbose=0, **options)
    return per_epoch * epochs
