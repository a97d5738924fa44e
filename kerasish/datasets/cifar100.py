"""Small photographs of a hundred kinds of things (`keras.datasets.cifar100`)."""

from kerasish.datasets import cifar
from kerasish.datasets.sources import Pair

__all__ = ["load_data"]

ORIGIN = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
SHA256 = "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"


def load_data(label_mode: str = "fine") -> tuple[Pair, Pair]:
    """CIFAR-100 as `(x_train, y_train), (x_test, y_test)`: uint8 images (n, 32, 32, 3), labels (n, 1).

    `label_mode`: "fine" for the 100 classes, "coarse" for the 20 groups that they form. 50,000 images to train and 10,000 to
    test on. The archive (170 MB) is downloaded into Keras's cache and unpacked there, unless
    `$KERASISH_DATA` has the folder cifar-100-python.

    Source: A. Krizhevsky 2009 (`keras.datasets.cifar100.load_data`).

    >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
    """
    if label_mode not in ("fine", "coarse"):
        raise ValueError(f'`label_mode` is "fine" or "coarse", not {label_mode}')
    folder = cifar.find("cifar-100-python", ORIGIN, SHA256)
    train, test = (cifar.read_batches(folder, [name], f"{label_mode}_labels") for name in ("train", "test"))
    return train, test
