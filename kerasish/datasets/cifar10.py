"""Small photographs of ten kinds of things (`keras.datasets.cifar10`)."""

from kerasish.datasets import cifar
from kerasish.datasets.sources import Pair

__all__ = ["load_data"]

ORIGIN = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"


def load_data() -> tuple[Pair, Pair]:
    """CIFAR-10 as `(x_train, y_train), (x_test, y_test)`: uint8 images (n, 32, 32, 3), labels (n, 1) from 0 to 9.

    50,000 to train and 10,000 to test on. The archive (170 MB) is downloaded into Keras's cache and unpacked there, unless
    `$KERASISH_DATA` has the folder cifar-10-batches-py.

    Source: A. Krizhevsky 2009 (`keras.datasets.cifar10.load_data`).

    >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
    """
    folder = cifar.find("cifar-10-batches-py", ORIGIN, SHA256)
    train = [f"data_batch_{i}" for i in range(1, 6)]
    return cifar.read_batches(folder, train, "labels"), cifar.read_batches(folder, ["test_batch"], "labels")
