"""The MNIST handwritten digits (`keras.datasets.mnist`)."""

import zipfile

import numpy as np

from kerasish.datasets import sources
from kerasish.datasets.sources import Pair

__all__ = ["load_data"]

ORIGIN = f"{sources.ORIGIN}mnist.npz"
SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
SHAPES = {"x_train": (60000, 28, 28), "y_train": (60000,), "x_test": (10000, 28, 28), "y_test": (10000,)}


def load_data(path: str = "mnist.npz") -> tuple[Pair, Pair]:
    """MNIST as `(x_train, y_train), (x_test, y_test)`: uint8 images (n, 28, 28) from 0 to 255, labels (n,).

    The file named `path` is looked for in the folder `$KERASISH_DATA`, then in Keras's cache (`~/.keras/datasets`),
    then downloaded there (11 MB; OSError when that fails). 60,000 images to train and 10,000 to test on.

    Source: Y. LeCun, C. Cortes, C. Burges; licence CC BY-SA 3.0 (`keras.datasets.mnist.load_data`).

    >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
    """
    arrays = _read(sources.find(path, ORIGIN, SHA256))
    return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])


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
