"""Save a trained model to HDF5 and to ``.keras``, load both, and go on training.

    python examples/save_and_load.py [--short]
"""

import pathlib
import sys
import tempfile

import numpy as np
from data import load_digits

import kerasish as keras
from kerasish import layers

keras.utils.set_random_seed(0)
(x_train, y_train), (x_test, y_test) = load_digits(1000 if "--short" in sys.argv else 10_000)
model = keras.Sequential([
    keras.Input((28, 28)),
    layers.Flatten(),
    layers.Dense(64, activation="relu"),
    layers.Dense(10, activation="softmax"),
])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=1, verbose=2)
expected = model.predict(x_test, verbose=0)

with tempfile.TemporaryDirectory() as folder:
    for name in ("model.keras", "model.h5"):
        path = pathlib.Path(folder, name)
        model.save(path)
        loaded = keras.models.load_model(path)
        same = np.array_equal(loaded.predict(x_test, verbose=0), expected)
        print(f"{name}: {path.stat().st_size:,} bytes, predictions {'equal' if same else 'DIFFER'}")
        loaded.fit(x_train, y_train, epochs=1, verbose=2)  # the optimizer goes on where it was

    weights = pathlib.Path(folder, "model.weights.h5")
    model.save_weights(weights)
    fresh = keras.models.clone_model(model)
    fresh.load_weights(weights)
    print("weights alone:", "equal" if np.array_equal(fresh.predict(x_test, verbose=0), expected) else "DIFFER")
