"""The MNIST handwritten digits (`keras.datasets.mnist`)."""

import os
import zipfile

import numpy as np

from kerasish.utils.files import get_file

ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
SHAPES = {"x_train": (60000, 28, 28), "y_train": (60000,), "x_test": (10000, 28, 28), "y_test": (10000,)}

Pair = tuple[np.ndarray, np.ndarray]


def load_data(path: str = "mnist.npz") -> tuple[Pair, Pair]:
    """MNIST as `(x_train, y_train), (x_test, y_test)`: uint8 images (n, 28, 28) from 0 to 255, labels (n,).

    The file named `path` is looked for in the folder `$KERASISH_DATA`, then in Keras's cache (`~/.keras/datasets`),
    then downloaded there (11 MB; OSError when that fails). 60,000 images to train and 10,000 to test on.

    Source: Y. LeCun, C. Cortes, C. Burges; licence CC BY-SA 3.0 (`keras.datasets.mnist.load_data`).

    >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
    """
    arrays = _read(_find(path))
    return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])


def _find(name: str) -> str:
    folder = os.environ.get("KERASISH_DATA")
    if folder and os.path.isfile(local := os.path.join(folder, name)):
        return local
    try:
        return get_file(name, ORIGIN, file_hash=SHA256)
    except OSError as error:
        raise OSError(
            f"{error} Or put {name} in a folder and name that folder in the environment variable KERASISH_DATA "
            f"(now {folder!r}). The digits of `datasets.digits.load_data()` come with the package and need no network."
        ) from error


def _read(path: str) -> dict[str, np.ndarray]:
    """The four arrays, checked, because a file in KERASISH_DATA may be anything."""
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not MNIST. Expected: an npz file with the arrays {', '.join(SHAPES)}.")
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in SHAPES if name in file}
    for name, shape in SHAPES.items():
        came = f"{arrays[name].dtype} {arrays[name].shape}" if name in arrays else "no such array"
        if came != f"uint8 {shape}":
            raise ValueError(f"{path} is not MNIST. Expected for {name}: uint8 {shape}. Received: {came}")
    return arrays
