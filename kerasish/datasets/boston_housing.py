"""House prices around Boston, 1978 (`keras.datasets.boston_housing`)."""

from kerasish.datasets import sources

__all__ = ["load_data"]

SHA256 = "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5"


def load_data(path: str = "boston_housing.npz", test_split: float = 0.2, seed: int = 113) -> tuple[sources.Pair, sources.Pair]:
    """506 suburbs as `(x_train, y_train), (x_test, y_test)`: 13 float64 features, and the median price in 1,000 dollars.

    One feature was made from the share of Black residents, on the authors' assumption about its effect on prices: fit for
    studying such data, not for use. The file is looked for as that of `mnist.load_data`.

    Source: D. Harrison and D. Rubinfeld 1978 (`keras.datasets.boston_housing.load_data`).

    >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
    """
    x, y = sources.read_npz(sources.find(path, f"{sources.ORIGIN}boston_housing.npz", SHA256), ("x", "y"))
    return sources.split_shuffled(x, y, test_split, seed)
