"""Digits for the examples: MNIST where it is at hand or can be fetched, else the small set inside the package."""

import kerasish as keras


def load_digits(limit=None):
    """``(x_train, y_train), (x_test, y_test)``: images (n, 28, 28) scaled to 0..1 and labels; says which set it is."""
    try:
        train, test = keras.datasets.mnist.load_data()
        print("Data: MNIST")
    except OSError as error:
        train, test = keras.datasets.digits.load_data()
        print(f"Data: the embedded digits (1,797 images), as MNIST is not at hand:\n  {error}")
    return tuple((x[:limit].astype("float32") / 255, y[:limit].astype("int32")) for x, y in (train, test))
