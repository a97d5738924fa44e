"""Film reviews as numbers of words (`keras.datasets.imdb`)."""

import numpy as np

from kerasish.datasets import sources, texts

__all__ = ["get_word_index", "load_data"]

SHA256 = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
INDEX_MD5 = "bfafd718b763782e994055a2d397834f"


def load_data(
    path: str = "imdb.npz", num_words: int | None = None, skip_top: int = 0, maxlen: int | None = None, seed: int = 113,
    start_char: int | None = 1, oov_char: int | None = 2, index_from: int = 3, **kwargs,
) -> tuple[sources.Pair, sources.Pair]:  # fmt: skip
    """50,000 reviews as `(x_train, y_train), (x_test, y_test)`: lists of word numbers, labels 0 (bad) and 1 (good).

    Words are numbered by how frequent they are, moved up by `index_from`; those below `skip_top` and from `num_words` on become
    `oov_char`. Reviews begin with `start_char`. Only those with less than `maxlen` words are kept. Half are to test on.

    Source: A. Maas et al. 2011 (`keras.datasets.imdb.load_data`).

    >>> (x_train, y_train), (x_test, y_test) = load_data(num_words=10_000)  # doctest: +SKIP
    """
    if kwargs:
        raise TypeError(f"load_data() got unexpected keyword arguments: {sorted(kwargs)}")
    file = sources.find(path, f"{sources.ORIGIN}imdb.npz", SHA256)
    x_train, y_train, x_test, y_test = sources.read_npz(file, ("x_train", "y_train", "x_test", "y_test"))
    random, parts = np.random.RandomState(seed), []
    for x, y in ((x_train, y_train), (x_test, y_test)):
        x, y = texts.shuffled(x, y, random)
        parts.append(texts.shorter(texts.renumbered(x, start_char, index_from), y, maxlen))
    (train, y_train), (test, y_test) = parts
    words = texts.known_words(train + test, num_words, skip_top, oov_char)
    return (texts.as_objects(words[: len(train)]), y_train), (texts.as_objects(words[len(train) :]), y_test)


def get_word_index(path: str = "imdb_word_index.json") -> dict[str, int]:
    """The number of each word, from 1 for the most frequent one; `load_data` moves them up by `index_from`.

    >>> get_word_index()["the"]  # doctest: +SKIP
    1
    """
    return texts.read_index(sources.find(path, f"{sources.ORIGIN}imdb_word_index.json", INDEX_MD5))
