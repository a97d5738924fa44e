"""The quick-start: two Dense layers learn to read digits (F. Chollet, "Deep Learning with Python", chapter 2).

    python examples/mnist_mlp.py [--short]
"""

import sys

from data import load_digits

import kerasish as keras
from kerasish import layers

SHORT = "--short" in sys.argv

keras.utils.set_random_seed(0)
(x_train, y_train), (x_test, y_test) = load_digits(2000 if SHORT else None)
x_train, x_test = x_train.reshape(-1, 28 * 28), x_test.reshape(-1, 28 * 28)

model = keras.Sequential([
    layers.Dense(512, activation="relu"),
    layers.Dense(10, activation="softmax"),
])
model.compile(optimizer="rmsprop", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=1 if SHORT else 5, batch_size=128)

loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"Test accuracy: {accuracy:.4f}")
