"""House prices in California, 1990 (`keras.datasets.california_housing`)."""

from kerasish.datasets import sources

__all__ = ["load_data"]

SHA256 = "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f"


def load_data(
    version: str = "large", path: str = "california_housing.npz", test_split: float = 0.2, seed: int = 113
) -> tuple[sources.Pair, sources.Pair]:
    """20,640 districts as `(x_train, y_train), (x_test, y_test)`: 8 float32 features, and the median price in dollars.

    `version` "small" takes the first 600 of them. The file is looked for as that of `mnist.load_data`.

    Source: R. Pace and R. Barry 1997 (`keras.datasets.california_housing.load_data`).

    >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
    """
    if version not in ("large", "small"):
        raise ValueError(f"`version` is 'small' or 'large', not {version}")
    x, y = sources.read_npz(sources.find(path, f"{sources.ORIGIN}california_housing.npz", SHA256), ("x", "y"))
    rows = slice(600 if version == "small" else None)
    return sources.split_shuffled(x[rows], y[rows], test_split, seed)
