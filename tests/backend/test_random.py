import random as python_random

import numpy as np
import pytest

from kerasish.backend import arrays
from kerasish.backend import random as r
from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.autodiff.scopes import StatelessScope
from kerasish.backend.autodiff.state import clear_session, name_scope
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.saveable import deserialize_keras_object, serialize_keras_object


class FixedBits(NumpyArrays):
    """Arrays whose generator always gives the same word."""

    def __init__(self, word):
        self.word = word

    def random_bits(self, key, size):
        return np.full(size, self.word, np.uint32)


@pytest.fixture
def bits():
    """Function that fixes the generator's word for the rest of the test."""
    before = arrays.active.xp
    yield lambda word: arrays.use(FixedBits(word))
    arrays.use(before)


# ---- seeds
@pytest.mark.parametrize("ordered", [True, False])
def test_generator_counts_as_keras(ordered):
    import keras

    ours, theirs = r.SeedGenerator(5), keras.random.SeedGenerator(5)
    for _ in range(3):
        np.testing.assert_array_equal(ours.next(ordered), theirs.next(ordered))
    np.testing.assert_array_equal(ours.state, theirs.state)


def test_generator_state_is_a_variable_as_in_keras():
    import keras

    clear_session()
    keras.backend.clear_session()
    ours, theirs = [], []
    for scope, make, made in ((name_scope, r.SeedGenerator, ours), (keras.name_scope, keras.random.SeedGenerator, theirs)):
        made.append(make(1))
        with scope("layer"):
            made.append(make(2))
            made.append(make(3, name="mine"))
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.name == other.name
        assert serialize_keras_object(mine) == keras.saving.serialize_keras_object(other)
        for what in ("name", "path", "shape", "dtype", "trainable", "aggregation"):
            assert getattr(mine.state, what) == getattr(other.state, what), what


def test_generator_config_round_trip():
    for seed in (7, None):
        generator = r.SeedGenerator(seed, name="g")
        assert generator.get_config() == {"seed": seed, "name": "g"}
        again = deserialize_keras_object(serialize_keras_object(generator))
        assert again.get_config() == generator.get_config()
    assert r.SeedGenerator(np.int64(3)).get_config()["seed"] == 3


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: r.SeedGenerator(1.5), ValueError, "must be an integer"),
        (lambda: r.SeedGenerator(1, foo=2), ValueError, "Unrecognized keyword arguments"),
        (lambda: r.draw_seed("a"), ValueError, "either an integer or a `SeedGenerator`"),
        (lambda: r.set_random_seed("a"), ValueError, "to be an integer"),
    ],
)
def test_wrong_seeds(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_integer_seeds_are_keys_and_wrap_to_32_bits():
    assert r.draw_seed(3).tolist() == [3, 0]
    assert r.draw_seed(-1).tolist() == [2**32 - 1, 0]
    key = Tensor(np.array([4, 5], "uint32"))
    assert r.draw_seed(key) is key


def test_stateless_scope_leaves_the_generator_alone():
    generator = r.SeedGenerator(1)
    with StatelessScope() as scope:
        first, second = generator.next(), generator.next()
    assert (first.tolist(), second.tolist()) == ([1, 0], [1, 1])
    assert generator.state.numpy().tolist() == [1, 0]
    assert scope.get_current_value(generator.state).tolist() == [1, 2]


def test_global_seed():
    def numbers():
        r.set_random_seed(11)
        return [float(r.uniform(())), float(r.uniform(())), python_random.random(), np.random.rand()]

    first = numbers()
    assert first == numbers()
    assert first[0] != first[1]
    assert r.get_random_seed() == 11
    clear_session()
    assert r.get_random_seed() is None


# ---- bits
def test_bits_are_those_of_numpys_philox():
    expected = np.random.Philox(key=np.array([7, 3], "uint64"), counter=0).random_raw(8).view("uint32")
    np.testing.assert_array_equal(r.random_bits(Tensor(np.array([7, 3], "uint32")), (3, 5)), expected[:15].reshape(3, 5))


def test_seeds_and_counters_give_unrelated_numbers():
    keys = [Tensor(np.array(key, "uint32")) for key in ((1, 0), (1, 1), (2, 0), (0, 1))]
    samples = np.stack([r.normal((5000,), seed=key).numpy() for key in keys])
    assert abs(np.corrcoef(samples) - np.eye(4)).max() < 0.06


def test_same_seed_same_numbers_whatever_the_size():
    assert r.uniform((10,), seed=1).tolist()[:4] == r.uniform((4,), seed=1).tolist()


# ---- ends of intervals
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("word", [0, 2**32 - 1, 0x80000000])
def test_uniform_stays_below_its_upper_end(bits, dtype, word):
    bits(word)
    for low, high in ((0, 1), (0, 0.1), (-0.05, 0.05), (1, 2), (-3, -1), (1000, 1001), (0.1, 0.3), (7, 9)):
        for low_, high_ in ((low, high), (Tensor(low, dtype="float64"), Tensor(high, dtype="float64"))):
            x = r.uniform((2,), low_, high_, dtype=dtype).numpy()
            first, end = (np.asarray(v).astype(x.dtype) for v in (low, high))
            assert ((x >= first) & ((x < end) | (first >= end) & (x == first))).all(), (low, high, x)


@pytest.mark.parametrize("word", [0, 2**32 - 1, 0x80000000])
def test_every_word_gives_finite_numbers(bits, word):
    bits(word)
    for dtype in ("float16", "float32", "float64"):
        assert np.isfinite(r.normal((3,), dtype=dtype).numpy()).all()
        assert (abs(r.truncated_normal((3,), dtype=dtype).numpy()) <= 2).all()
    assert r.categorical([[0.0, 1.0]], 2).shape == (1, 2)
    assert set(r.randint((3,), -2, 2).tolist()) <= {-2, 0, 1}
    low, high = -(2**63), 2**63 - 1
    assert r.randint((1,), low, high, dtype="int64").tolist() == [low + ((word << 32 | word) * (high - low) >> 64)]


# ---- dropout's mask
@pytest.mark.parametrize("rate", [0.5, 0.1, 0.999, 1e-3, 1.0, 3e-7])
def test_mask_rate(rate):
    size = 2_000_000
    dropped = 1 - r.keep_mask(r.draw_seed(3), (size,), rate).numpy().mean()
    assert abs(dropped - rate) <= 4 * (rate * (1 - rate) / size) ** 0.5


def test_mask_breaks_ties_by_more_bits():
    class Ties(NumpyArrays):
        def random_bits(self, key, size):
            spare = 2  # for 512 elements
            words = np.full(size, 0x19191919, np.uint32)  # 25, where 0.1 * 256 is 25.6: all are ties
            words[:spare] = [0.6 * 2**32 - 1, 0.6 * 2**32 + 1]  # 0.6 of the ties are dropped
            return words

    before = arrays.use(Ties())
    try:
        mask = r.keep_mask(r.draw_seed(1), (512,), 0.1).numpy()
    finally:
        arrays.use(before)
    np.testing.assert_array_equal(mask, np.arange(512) % 2 == 1)


def test_what_is_dropped_is_zero_even_if_it_was_not_finite():
    x = Tensor(np.array([np.nan, np.inf, 1.0, -np.inf], "float32"))
    mask = Tensor(np.array([False, False, True, True]))
    assert r.masked_scale(x, mask, 2.0).tolist() == [0.0, 0.0, 2.0, -np.inf]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_masked_scale_of_each_dtype(dtype):
    x = Tensor(np.arange(12).reshape(3, 4).T, dtype=dtype)
    mask = Tensor(np.array([[True], [False], [True], [True]]))
    y = r.masked_scale(x, mask, 2.0)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.numpy().astype("float64"), 2 * x.numpy().astype("float64") * mask.numpy())


# ---- randint's wide product
@pytest.mark.parametrize("span", [1, 3, 2**31, 2**32 + 7, 2**62 + 12345])
def test_randint_is_the_upper_half_of_a_product(span):
    words = np.random.Philox(key=np.array([9, 0], "uint64"), counter=0).random_raw(50)
    expected = [(int(word) * span >> 64) - 5 for word in words]
    assert r.randint((50,), -5, span - 5, dtype="int64", seed=9).tolist() == expected
