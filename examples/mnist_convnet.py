"""A small convolutional network on digits.

    python examples/mnist_convnet.py [--short]
"""

import sys

from data import load_digits

import kerasish as keras
from kerasish import layers

SHORT = "--short" in sys.argv

keras.utils.set_random_seed(0)
(x_train, y_train), (x_test, y_test) = load_digits(1000 if SHORT else None)
x_train, x_test = x_train[..., None], x_test[..., None]

model = keras.Sequential([
    keras.Input((28, 28, 1)),
    layers.Conv2D(32, 3, activation="relu"),
    layers.MaxPooling2D(2),
    layers.Conv2D(64, 3, activation="relu"),
    layers.MaxPooling2D(2),
    layers.Flatten(),
    layers.Dropout(0.5),
    layers.Dense(10, activation="softmax"),
])
model.summary()
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=128, epochs=1 if SHORT else 12, validation_split=0.1)

loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"Test accuracy: {accuracy:.4f}")
