"""What the data sets of word numbers have in common: `imdb` and `reuters`."""

import json

import numpy as np


def shuffled(rows: np.ndarray, labels: np.ndarray, random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Both in the same random order."""
    order = np.arange(len(rows))
    random.shuffle(order)
    return rows[order], labels[order]


def renumbered(rows, start_char: int | None, index_from: int) -> list[list[int]]:
    """Word numbers moved up by `index_from`, behind a `start_char`."""
    start = [] if start_char is None else [start_char]
    return [[*start, *(word + (index_from or 0) for word in row)] for row in rows]


def shorter(rows: list, labels, maxlen: int | None):
    """The rows with fewer than `maxlen` words, and their labels."""
    if not maxlen:
        return rows, labels
    kept = [i for i, row in enumerate(rows) if len(row) < maxlen]
    if not kept:
        raise ValueError(f"No sequence has less than maxlen={maxlen} words. Increase maxlen.")
    return [rows[i] for i in kept], np.asarray(labels)[kept]


def known_words(rows: list, num_words: int | None, skip_top: int, oov_char: int | None) -> list[list[int]]:
    """Rows with `oov_char` in place of words from `num_words` on and below `skip_top`; without these words where it is None."""
    num_words = num_words or max(max(row) for row in rows)
    if oov_char is None:
        return [[word for word in row if skip_top <= word < num_words] for row in rows]
    return [[word if skip_top <= word < num_words else oov_char for word in row] for row in rows]


def as_objects(rows: list) -> np.ndarray:
    """Lists as an array of lists; lists that are all of one length become a matrix, as in Keras."""
    return np.array(rows, dtype="object")


def read_index(path: str) -> dict[str, int]:
    """Words and their numbers, from a JSON file."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)
