"""Write the golden files of `keras3/VERSION/` with an older Keras 3: `KERAS_BACKEND=jax python make_keras3.py`.

Each NAME.zip holds NAME.keras, NAME.weights.h5 and NAME.h5 of a model that was trained for three steps, and NAME.npz with its
inputs, targets and predictions, and the losses and predictions after two more steps (see make_golden.py, whose models these are).
`containers` is a subclassed model with layers inside tuples, which versions before 3.14 kept under other paths.
"""

import importlib.util
import os
import tempfile
import warnings
import zipfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

HERE = Path(__file__).parent
spec = importlib.util.spec_from_file_location("make_golden", HERE / "make_golden.py")
golden = importlib.util.module_from_spec(spec)
spec.loader.exec_module(golden)


@keras.saving.register_keras_serializable("golden")
class Containers(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.blocks = [(keras.layers.Dense(3, activation="tanh"),), (keras.layers.Dense(4),)]
        self.out = keras.layers.Dense(1)
        self.also = {"first": keras.layers.Dense(4)}

    def call(self, x):
        x = self.also["first"](x)
        for (layer,) in self.blocks:
            x = layer(x)
        return self.out(x)


def containers(rng):
    model = Containers(name="containers")
    x = golden.floats(rng, 4)
    model(x)
    return model, {"optimizer": "adam", "loss": "mean_squared_error"}, (x, golden.floats(rng, 1))


def write(build, folder):
    keras.backend.clear_session()
    keras.utils.set_random_seed(7)
    model, compiled, data = build(np.random.default_rng(7))
    model.compile(**compiled)
    golden.train(model, data, 3)
    stem = folder / build.__name__
    model.save(f"{stem}.keras")
    model.save_weights(f"{stem}.weights.h5")
    if build is not containers and keras.__version__[:4] != "3.0.":  # which wrote two arrays of one name
        model.save(f"{stem}.h5")
    record = golden.arrays("input", data[0]) | golden.arrays("target", data[1])
    record |= golden.arrays("prediction", model.predict(data[0], verbose=0))
    record["resumed_loss"] = np.array(golden.train(model, data, 2), "float32")
    record |= golden.arrays("resumed_prediction", model.predict(data[0], verbose=0))
    np.savez_compressed(f"{stem}.npz", **record)


def main():
    folder = HERE / "keras3" / keras.__version__
    folder.mkdir(parents=True, exist_ok=True)
    for build in (golden.birnn, golden.attention, golden.nested, containers):
        with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            write(build, Path(scratch))
            with zipfile.ZipFile(folder / f"{build.__name__}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
                for file in sorted(Path(scratch).iterdir()):
                    archive.write(file, file.name)


if __name__ == "__main__":
    main()
