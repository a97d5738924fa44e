"""Rows of keras.random. Numbers that depend on the seed are checked against NumPy's own Philox and the formulas in float64."""

import numpy as np

from tests.conformance.driver import A, case, row


def bits(seed, size, dtype):
    words = np.random.Philox(key=np.array([seed, 0], "uint64"), counter=0).random_raw(size * np.dtype(dtype).itemsize // 8 + 1)
    return words.view(dtype)[:size]


def uniform(shape, minval=0.0, maxval=1.0, dtype="float32", seed=None):
    words, digits = {"float16": ("uint16", 11), "float32": ("uint32", 24), "float64": ("uint64", 53)}[dtype]
    words = bits(seed, int(np.prod(shape)), words)
    unit = (words >> (8 * words.itemsize - digits)).astype("float64") / 2.0**digits
    return (minval + (maxval - minval) * unit).reshape(shape)


def normal(shape, mean=0.0, stddev=1.0, dtype="float32", seed=None):
    size = int(np.prod(shape))
    radius, angle = uniform((2, (size + 1) // 2), dtype=dtype, seed=seed)
    radius, angle = np.sqrt(-2 * np.log(1 - radius)), 2 * np.pi * angle
    return (mean + stddev * np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:size]).reshape(shape)


def randint(shape, minval, maxval, dtype="int32", seed=None):
    words = bits(seed, int(np.prod(shape)), "uint64")
    return np.array([minval + (int(word) * (maxval - minval) >> 64) for word in words]).reshape(shape)


def halves(inputs, rate, noise_shape=None, seed=None):
    """Dropout at rates of whole 256ths: a byte decides."""
    shape = inputs.shape if noise_shape is None else [n or inputs.shape[i] for i, n in enumerate(noise_shape)]
    kept = bits(seed, -(-int(np.prod(shape)) // 8) * 8, "uint8")[: int(np.prod(shape))] >= rate * 256
    return np.where(kept.reshape(shape), inputs / (1 - rate), 0.0)


def sorted_by_bits(x, axis=0, seed=None):
    return np.take_along_axis(x, np.argsort(bits(seed, x.size, "uint64").reshape(x.shape), axis), axis)


def certain(value):
    """Reference of draws whose parameters leave no choice."""
    return lambda shape, *args, **kwargs: np.full(shape, value)


LOGITS = np.array([[0.0, 80.0, 0.0], [80.0, 0.0, 0.0]], "float32")

ROWS = [
    row("random.uniform", case((2, 3), seed=1), case((5,), -2.0, 3.0, seed=2), case((3, 5), 1.0, 4.0, "float64", seed=3),
        case((), seed=4), reference=uniform),
    row("random.normal", case((2, 3), seed=1), case((5,), -2.0, 3.0, seed=2), case((3, 5), 1.0, 4.0, "float64", seed=3),
        reference=normal, tol=1e-5),
    row("random.truncated_normal", case((2, 3), 3.0, 0.0, seed=1), reference=certain(3.0)),
    row("random.randint", case((2, 3), 0, 7, seed=1), case((9,), -100, 2**31 - 1, "int64", seed=2), case((4,), 3, 4, seed=3),
        reference=randint),
    row("random.dropout", case(A(4, 6), 0.5, seed=1), case(A(4, 6), 0.25, (None, 1), seed=1), case(A(3, 5), 0.0, seed=1),
        reference=halves, zero_size=True),
    row("random.dropout", case(A(4, 6), 1.0, seed=1), reference=lambda inputs, *args, **kwargs: 0 * inputs),
    row("random.shuffle", case(A(7), seed=1), case(A(3, 4), 1, seed=2), case(A(3, 4), axis=-1, seed=2),
        case(A(5, dtype="int32"), seed=3), reference=sorted_by_bits, zero_size=True),
    row("random.categorical", case(LOGITS, 4, seed=1), case(LOGITS, 2, "int64", seed=1),
        reference=lambda logits, num_samples, *args, **kwargs: np.array([[1] * num_samples, [0] * num_samples])),
    row("random.gamma", case((2, 3), 0.0, seed=1), reference=certain(0.0)),
    row("random.gamma", case((2,), 1e12, seed=1), reference=certain(1e12), tol=1e-5),
    row("random.beta", case((2, 3), 1e-9, 1e9, seed=1), reference=certain(0.0)),
    row("random.beta", case((2, 3), 1e12, 1e12, "float64", seed=1), reference=certain(0.5)),
    row("random.binomial", case((2, 3), 40, 1.0, seed=1), case((2, 3), 40.0, [1.0, 1.0, 1.0], seed=1), reference=certain(40.0)),
    row("random.binomial", case((2, 3), 7, 0.0, seed=1), reference=certain(0.0)),
]  # fmt: skip
