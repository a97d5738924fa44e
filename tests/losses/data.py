"""Batches that losses and metrics are compared with real Keras on."""

import zlib

import numpy as np


def batch(kind, seed=0, n=6):
    """Labels and predictions of a kind; same kind and seed, same numbers."""
    rng = np.random.default_rng([zlib.crc32(kind.encode()), seed])
    y_true, y_pred = _KINDS[kind](rng, n)
    return np.asarray(y_true), np.asarray(y_pred, dtype="float32" if np.asarray(y_pred).dtype.kind == "f" else None)


def _numbers(rng, n, low=-2.0, high=2.0):
    return rng.uniform(low, high, (n, 3)).astype("float32"), rng.uniform(low, high, (n, 3))


def _probabilities(rng, *shape):
    p = rng.uniform(0.05, 1.0, shape)
    return p / p.sum(-1, keepdims=True)


def _one_hot(rng, *shape):
    return np.eye(5, dtype="float32")[rng.integers(0, 5, shape)]


def _padded_classes(rng, n):
    return np.where(np.arange(4) < rng.integers(1, 4, (n, 1)), rng.integers(1, 5, (n, 4)), 0)


def _unit(rng, n):
    x = rng.normal(size=(n, 4))
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


_KINDS = {
    "numbers": _numbers,
    "positive": lambda rng, n: _numbers(rng, n, 0.1, 3.0),
    "counts": lambda rng, n: (rng.integers(0, 5, (n, 3)).astype("float32"), rng.uniform(0.1, 3.0, (n, 3))),
    "column": lambda rng, n: (rng.normal(size=n).astype("float32"), rng.normal(size=(n, 1))),
    "sequence": lambda rng, n: (rng.normal(size=(n, 4, 2)).astype("float32"), rng.normal(size=(n, 4, 2))),
    "binary": lambda rng, n: (rng.integers(0, 2, (n, 3)), rng.uniform(0.02, 0.98, (n, 3))),
    "binary vector": lambda rng, n: (rng.integers(0, 2, n), rng.uniform(0.02, 0.98, n)),
    "binary column": lambda rng, n: (rng.integers(0, 2, (n, 1)), rng.uniform(0.02, 0.98, (n, 1))),
    "signed": lambda rng, n: (rng.choice([-1.0, 1.0], (n, 3)), rng.uniform(-2, 2, (n, 3))),
    "binary logits": lambda rng, n: (rng.integers(0, 2, (n, 3)), rng.uniform(-3, 3, (n, 3))),
    "distributions": lambda rng, n: (_probabilities(rng, n, 5).astype("float32"), _probabilities(rng, n, 5)),
    "one hot": lambda rng, n: (_one_hot(rng, n), _probabilities(rng, n, 5)),
    "one hot, classes": lambda rng, n: (_one_hot(rng, n), rng.integers(0, 5, n)),
    "one hot images": lambda rng, n: (_one_hot(rng, n, 2, 2)[..., :3], _probabilities(rng, n, 2, 2, 3)),
    "one hot logits": lambda rng, n: (_one_hot(rng, n), rng.uniform(-3, 3, (n, 5))),
    "sparse": lambda rng, n: (rng.integers(0, 5, n), _probabilities(rng, n, 5)),
    "sparse column": lambda rng, n: (rng.integers(0, 5, (n, 1)), _probabilities(rng, n, 5)),
    "sparse sequence": lambda rng, n: (rng.integers(0, 5, (n, 4)), _probabilities(rng, n, 4, 5)),
    "sparse logits": lambda rng, n: (rng.integers(0, 5, n), rng.uniform(-3, 3, (n, 5))),
    "classes": lambda rng, n: (rng.integers(0, 3, n), rng.integers(0, 3, n)),
    "class images": lambda rng, n: (rng.integers(0, 3, (n, 2, 2)), rng.integers(0, 3, (n, 2, 2))),
    "sorted ids": lambda rng, n: (rng.integers(0, 5, n), np.argsort(rng.random((n, 5)), -1)),
    "embeddings": lambda rng, n: (rng.integers(0, 3, n), _unit(rng, n)),
    "ctc": lambda rng, n: (_padded_classes(rng, n), rng.uniform(-2, 2, (n, 9, 5))),
}  # fmt: skip
