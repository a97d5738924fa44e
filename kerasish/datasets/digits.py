"""1,797 real handwritten digits that come with the package: MNIST's form, no download."""

from importlib.resources import files

import numpy as np

Pair = tuple[np.ndarray, np.ndarray]


def load_data() -> tuple[Pair, Pair]:
    """Handwritten digits as `(x_train, y_train), (x_test, y_test)`: uint8 images (n, 28, 28) and labels (n,).

    1,437 images to train and 360 to test on (36 of each digit; the same people wrote both), in a fixed shuffled
    order, values 0 to 255. Each is an 8x8 image with values 0 to 16, enlarged three times, in a border of 2.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (the test part), UCI Machine Learning
    Repository, 1998, https://doi.org/10.24432/C50P49, by way of scikit-learn; licence CC BY 4.0; split and rescaled.

    >>> (x_train, y_train), (x_test, y_test) = load_data()
    >>> x_train.shape, y_test.shape
    ((1437, 28, 28), (360,))
    """
    with files(__package__).joinpath("digits.npz").open("rb") as file, np.load(file, allow_pickle=False) as data:
        return (_enlarge(data["x_train"]), data["y_train"]), (_enlarge(data["x_test"]), data["y_test"])


def _enlarge(images: np.ndarray) -> np.ndarray:
    # Repeated pixels trained a little better than interpolated ones, in a dense and in a convolutional model.
    pixels = np.rint(images * (255 / 16)).astype("uint8")
    return np.pad(pixels.repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2)))
