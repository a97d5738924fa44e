"""Pictures of clothes in MNIST's form (`keras.datasets.fashion_mnist`)."""

import gzip
import math
import os
import zlib

import numpy as np

from kerasish.datasets import sources

__all__ = ["load_data"]

FILES = {  # with what they hold: Keras knows no hashes of these
    "train-images-idx3-ubyte.gz": (60000, 28, 28),
    "train-labels-idx1-ubyte.gz": (60000,),
    "t10k-images-idx3-ubyte.gz": (10000, 28, 28),
    "t10k-labels-idx1-ubyte.gz": (10000,),
}


def load_data() -> tuple[sources.Pair, sources.Pair]:
    """Fashion-MNIST as `(x_train, y_train), (x_test, y_test)`: uint8 images (n, 28, 28), labels (n,) from 0 to 9.

    60,000 images to train and 10,000 to test on, in four files (30 MB), looked for as that of `mnist.load_data`.

    Source: Zalando SE, H. Xiao, K. Rasul, R. Vollgraf 2017; MIT licence (`keras.datasets.fashion_mnist.load_data`).

    >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
    """
    folder = os.path.join("datasets", "fashion-mnist")
    paths = {name: sources.find(name, sources.ORIGIN + name, cache_subdir=folder) for name in FILES}
    x_train, y_train, x_test, y_test = (_read_idx(path, FILES[name]) for name, path in paths.items())
    return (x_train, y_train), (x_test, y_test)


def _read_idx(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """Bytes in the format of MNIST's original files: the kind, the number of axes and their sizes, and the values."""
    head, size = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">i4").tobytes(), math.prod(shape)
    try:
        with gzip.open(path, "rb") as file:
            came, data = file.read(len(head)), file.read(size)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is no whole gzip file: {error}") from error
    if came != head or len(data) != size:
        raise ValueError(f"{path} is not from Fashion-MNIST. Expected: uint8 {shape} as an idx file. Received: {len(data):,} values")
    return np.frombuffer(data, "uint8").reshape(shape).copy()
