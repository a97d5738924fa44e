"""News in 46 topics as numbers of words (`keras.datasets.reuters`)."""

import numpy as np

from kerasish.datasets import sources, texts

__all__ = ["get_label_names", "get_word_index", "load_data"]

SHA256 = "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"
INDEX_MD5 = "4d44cc38712099c9e383dc6e5f11a921"
TOPICS = (
    "cocoa grain veg-oil earn acq wheat copper housing money-supply coffee sugar trade reserves ship cotton carcass crude nat-gas "
    "cpi money-fx interest gnp meal-feed alum oilseed gold tin strategic-metal livestock retail ipi iron-steel rubber heat jobs "
    "lei bop zinc orange pet-chem dlr gas silver wpi hog lead"
)


def load_data(
    path: str = "reuters.npz", num_words: int | None = None, skip_top: int = 0, maxlen: int | None = None, test_split: float = 0.2,
    seed: int = 113, start_char: int | None = 1, oov_char: int | None = 2, index_from: int = 3,
) -> tuple[sources.Pair, sources.Pair]:  # fmt: skip
    """11,228 newswires as `(x_train, y_train), (x_test, y_test)`: lists of word numbers, labels from 0 to 45.

    The last `test_split` of them, in a random order, are to test on; the other arguments are those of `imdb.load_data`.

    Source: D. Lewis, Reuters-21578 (`keras.datasets.reuters.load_data`).

    >>> (x_train, y_train), (x_test, y_test) = load_data(num_words=10_000)  # doctest: +SKIP
    """
    file = sources.find(path, f"{sources.ORIGIN}reuters.npz", SHA256)
    x, y = sources.read_npz(file, ("x", "y"))
    rows, labels = texts.shuffled(x, y, np.random.RandomState(seed))
    rows, labels = texts.shorter(texts.renumbered(rows, start_char, index_from), labels, maxlen)
    words = texts.known_words(rows, num_words, skip_top, oov_char)
    end = int(len(words) * (1 - test_split))
    return (texts.as_objects(words[:end]), labels[:end]), (texts.as_objects(words[end:]), labels[end:])


def get_word_index(path: str = "reuters_word_index.json") -> dict[str, int]:
    """The number of each word, from 1 for the most frequent one; `load_data` moves them up by `index_from`.

    >>> get_word_index()["the"]  # doctest: +SKIP
    1
    """
    return texts.read_index(sources.find(path, f"{sources.ORIGIN}reuters_word_index.json", INDEX_MD5))


def get_label_names() -> tuple[str, ...]:
    """The 46 topics, in the order of their labels.

    >>> get_label_names()[3]
    'earn'
    """
    return tuple(TOPICS.split())
