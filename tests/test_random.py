import inspect

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats

from kerasish import ops, random
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.symbolic import Function, compute_output_spec
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor

N = 20_000


@pytest.mark.parametrize("name", random.__all__)
def test_signatures(name):
    ours, theirs = getattr(random, name), getattr(keras.random, name)
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs))


# ---- distributions
CONTINUOUS = {
    "uniform": (lambda **k: random.uniform((N,), -2.0, 3.0, **k), scipy.stats.uniform(-2, 5)),
    "normal": (lambda **k: random.normal((N,), 1.0, 2.0, **k), scipy.stats.norm(1, 2)),
    "truncated_normal": (lambda **k: random.truncated_normal((N,), 1.0, 2.0, **k), scipy.stats.truncnorm(-2, 2, 1, 2)),
    "gamma": (lambda **k: random.gamma((N,), 2.5, **k), scipy.stats.gamma(2.5)),
    "gamma_below_1": (lambda **k: random.gamma((N,), 0.3, **k), scipy.stats.gamma(0.3)),
    "gamma_large": (lambda **k: random.gamma((N,), 3000.0, **k), scipy.stats.gamma(3000)),
    "beta": (lambda **k: random.beta((N,), 2.0, 0.5, **k), scipy.stats.beta(2, 0.5)),
    "beta_bell": (lambda **k: random.beta((N,), 20.0, 30.0, **k), scipy.stats.beta(20, 30)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_distributions(name, dtype):
    draw, expected = CONTINUOUS[name]
    x = draw(seed=1, dtype=dtype)
    assert x.dtype == dtype
    x = x.numpy().astype("float64")
    assert scipy.stats.kstest(x, expected.cdf).pvalue > 1e-3
    assert abs(x.mean() - expected.mean()) < 4 * expected.std() / N**0.5
    assert abs(x.var() / expected.var() - 1) < 0.06


@pytest.mark.parametrize("name", ["uniform", "normal", "truncated_normal"])
def test_half_precision(name):
    draw, expected = CONTINUOUS[name]
    x = draw(seed=1, dtype="float16")
    assert x.dtype == "float16"
    x = x.numpy().astype("float64")
    assert abs(x.mean() - expected.mean()) < 5 * expected.std() / N**0.5
    assert abs(x.std() / expected.std() - 1) < 0.03


def test_normal_has_tails_and_no_pairs():
    x = random.normal((1_000_001,), seed=2).numpy()
    assert 4.2 < abs(x).max() < 6
    assert abs(np.mean(x**3)) < 0.02 and abs(np.mean(x**4) - 3) < 0.05
    half = (len(x) + 1) // 2
    assert abs(np.corrcoef(x[: half - 1] ** 2, x[half:] ** 2)[0, 1]) < 0.01


def test_truncated_normal_is_the_inverse_of_its_distribution_function():
    bits = np.random.Philox(key=np.array([5, 0], "uint64"), counter=0).random_raw(500).view("int32")
    u = (bits >> 7) * 2.0**-24 * scipy.special.erf(2**0.5)
    np.testing.assert_allclose(random.truncated_normal((1000,), seed=5), 2**0.5 * scipy.special.erfinv(u), rtol=2e-6, atol=1e-7)


BINOMIAL = [(5, 0.3), (16, 0.5), (17, 0.9), (400, 0.02), (100_000, 0.7)]


@pytest.mark.parametrize(("counts", "p"), BINOMIAL)
def test_binomial(counts, p):
    x = random.binomial((N,), counts, p, seed=1).numpy()
    expected = scipy.stats.binom(counts, p)
    assert ((x >= 0) & (x <= counts) & (x == np.floor(x))).all()
    assert abs(x.mean() - expected.mean()) < 4 * expected.std() / N**0.5
    assert abs(x.var() / expected.var() - 1) < 0.06
    # ranks of discrete numbers, spread evenly over their steps, are uniform
    u = np.random.default_rng(0).random(N)
    assert scipy.stats.kstest(expected.cdf(x - 1) + u * expected.pmf(x), "uniform").pvalue > 1e-3


def test_randint_is_uniform():
    counts = np.bincount(random.randint((N,), 3, 10, seed=1).numpy(), minlength=10)
    assert counts[:3].sum() == 0
    assert scipy.stats.chisquare(counts[3:]).pvalue > 1e-3


def test_categorical_follows_the_logits():
    logits = np.log([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0 + 1e-300]])
    x = random.categorical(logits, N, seed=1)
    assert (x.shape, x.dtype) == ((2, N), "int32")
    counts = np.stack([np.bincount(line, minlength=3) for line in x.numpy()])
    assert scipy.stats.chisquare(counts[0], N * np.array([0.1, 0.2, 0.7])).pvalue > 1e-3
    assert scipy.stats.chisquare(counts[1, :2]).pvalue > 1e-3 and counts[1, 2] == 0


def test_shuffle_gives_each_order_equally_often():
    x = random.shuffle(np.tile(np.arange(3), (6000, 1)), axis=1, seed=1).numpy()
    _, counts = np.unique(x, axis=0, return_counts=True)
    assert len(counts) == 6 and scipy.stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_shuffle_keeps_each_line(axis):
    x = np.arange(60).reshape(3, 4, 5)
    y = random.shuffle(x, axis=axis, seed=1).numpy()
    np.testing.assert_array_equal(np.sort(y, axis), x)
    assert (y != x).any()


# ---- parameters at the edge, as in Keras
EDGES = [
    ("gamma", [0.0]), ("gamma", [-1.0]),
    ("binomial", [-1, 0.5]), ("binomial", [5, 1.5]), ("binomial", [[5.0, 6, 7], [0.0, 1, 0]]), ("binomial", [0, 0.5]),
    ("randint", [5, 5]), ("randint", [5, 2]), ("uniform", [2.0, 2.0]), ("uniform", [2.0, 1.0]),
    ("normal", [3.0, 0.0]), ("normal", [[1.0, 2, 3], [0.0, 0, 0]]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args"), EDGES)
def test_edges_as_keras(name, args):
    np_args = [np.array(a, "float32") if isinstance(a, list) else a for a in args]
    expected = getattr(keras.random, name)((3,), *np_args, seed=1)
    np.testing.assert_array_equal(getattr(random, name)((3,), *args, seed=1), expected)


def test_parameters_may_be_arrays():
    assert random.gamma((2, 3), [1.0, 2.0, 3.0], seed=1).shape == (2, 3)
    assert random.beta((2, 3), [[1.0], [2.0]], 2.0, seed=1).shape == (2, 3)
    x = random.uniform((1000, 2), [0.0, 10.0], [1.0, 20.0], seed=1).numpy()
    assert (x.min(0) >= [0, 10]).all() and (x.max(0) < [1, 20]).all()
    x = random.randint((1000, 2), [0, 10], [2, 13], seed=1).numpy()
    assert set(x[:, 0]) == {0, 1} and set(x[:, 1]) == {10, 11, 12}
    assert np.isnan(random.beta((2,), [0.0, -1.0], 1.0, seed=1).numpy()).all()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int64", "uint32"])
def test_integer_dtypes(dtype):
    x = random.randint((100,), 0, 100, dtype=dtype, seed=1)
    assert x.dtype == dtype and x.numpy().min() >= 0 and x.numpy().max() < 100


def test_shapes():
    for shape in ((), (0,), (3, 0), (2, 3), [2, 3], 4):
        expected = (4,) if shape == 4 else tuple(shape)
        for draw in (random.uniform, random.normal, random.truncated_normal):
            assert draw(shape, seed=1).shape == expected
        assert random.randint(shape, 0, 2, seed=1).shape == expected
        assert random.gamma(shape, 2.0, seed=1).shape == expected
        assert random.binomial(shape, 30, 0.5, seed=1).shape == expected
    assert random.shuffle(np.zeros((0, 3)), seed=1).shape == (0, 3)
    assert random.dropout(np.zeros((0, 3), "float32"), 0.3, seed=1).shape == (0, 3)
    assert random.categorical(np.zeros((0, 3), "float32"), 2, seed=1).shape == (0, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: random.uniform((2,), dtype="int32"), ValueError, "`keras.random.uniform` requires a floating point `dtype`"),
        (lambda: random.normal((2,), dtype="int32"), ValueError, "requires a floating point `dtype`"),
        (lambda: random.randint((2,), 0, 5, dtype="float32"), ValueError, "`keras.random.randint` requires an integer `dtype`"),
        (lambda: random.categorical(np.zeros(3), 2), ValueError, "2-D tensor"),
        (lambda: random.uniform((None, 3)), TypeError, "shape of integers"),
        (lambda: random.uniform((-1, 3)), ValueError, "Negative dimensions"),
        (lambda: random.uniform((3,), seed="a"), ValueError, "Argument `seed`"),
        (lambda: random.gamma((3,), [1.0, 2.0]), ValueError, "broadcast|match"),
        (lambda: random.randint((), [0, 0], 3), ValueError, "does not broadcast"),
        (lambda: random.dropout(np.ones(3, "float32"), 1.5), ValueError, "between 0 and 1"),
        (lambda: random.dropout(np.ones(3, "int32"), 0.5), TypeError, "must be floats"),
        (lambda: random.dropout(np.ones((3, 1), "float32"), 0.5, noise_shape=(3, 2)), ValueError, "noise_shape"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---- seeds
DRAWS = [
    lambda seed: random.uniform((5,), seed=seed),
    lambda seed: random.normal((5,), seed=seed),
    lambda seed: random.truncated_normal((5,), seed=seed),
    lambda seed: random.randint((5,), 0, 1000, seed=seed),
    lambda seed: random.categorical(np.zeros((1, 1000), "float32"), 5, seed=seed),
    lambda seed: random.dropout(np.arange(1, 65, dtype="float32"), 0.5, seed=seed),
    lambda seed: random.shuffle(np.arange(20), seed=seed),
    lambda seed: random.gamma((5,), 2.0, seed=seed),
    lambda seed: random.beta((5,), 2.0, 2.0, seed=seed),
    lambda seed: random.binomial((5,), 1000, 0.5, seed=seed),
]


@pytest.mark.parametrize("draw", DRAWS)
def test_seeds(draw):
    assert draw(3).tolist() == draw(3).tolist()
    assert draw(3).tolist() != draw(4).tolist()
    assert draw(None).tolist() != draw(None).tolist()
    one, other = random.SeedGenerator(3), random.SeedGenerator(3)
    sequence = [draw(one).tolist() for _ in range(3)]
    assert sequence == [draw(other).tolist() for _ in range(3)]
    assert sequence[0] != sequence[1] != sequence[2]
    assert sequence[0] == draw(3).tolist()
    assert one.state.numpy().tolist() == [3, 3]


# ---- dropout
def test_dropout_values():
    x = np.random.default_rng(0).normal(size=(100, 200)).astype("float32")
    y = random.dropout(x, 0.3, seed=1).numpy()
    kept = y != 0
    np.testing.assert_allclose(y[kept], x[kept] / 0.7, rtol=1e-6)
    assert abs(kept.mean() - 0.7) < 0.015


def test_dropout_of_nothing_and_of_all():
    x = Tensor([1.0, 2.0])
    assert random.dropout(x, 0.0) is x
    assert random.dropout(x, 1.0).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("noise_shape", [(None, 1), (1, None), (8,), (8, 1), (1,)])
def test_noise_shape(noise_shape):
    y = random.dropout(np.ones((8, 8), "float32"), 0.5, noise_shape=noise_shape, seed=1).numpy()
    shape = tuple(8 if n is None else n for n in noise_shape)
    axes = tuple(i for i, n in enumerate((1,) * (2 - len(shape)) + shape) if n == 1)
    np.testing.assert_array_equal(y, np.broadcast_to(y.min(axes, keepdims=True), (8, 8)))


def test_dropout_gradient_is_the_mask():
    x = Tensor(np.arange(1.0, 65.0), dtype="float64")
    y = random.dropout(x, 0.25, seed=3)
    slope = grad(lambda x: ops.sum(random.dropout(x, 0.25, seed=3) * x))(x)
    np.testing.assert_allclose(slope, 2 * y.numpy())
    second = grad(lambda x: ops.sum(grad(lambda x: ops.sum(random.dropout(x, 0.25, seed=3) * x))(x)))(x)
    np.testing.assert_allclose(second, 2 * y.numpy() / x.numpy())


def test_shuffle_gradient():
    x = Tensor(np.arange(12.0).reshape(3, 4), dtype="float64")
    weights = np.random.default_rng(0).normal(size=(3, 4))
    slope = grad(lambda x: ops.sum(random.shuffle(x, axis=1, seed=3) * Tensor(weights)))(x)
    order = np.argsort(random.shuffle(x, axis=1, seed=3).numpy(), axis=1)
    np.testing.assert_allclose(slope, np.take_along_axis(weights, order, 1))


def test_gradients_through_location_and_scale():
    slope = grad(lambda m: ops.sum(random.normal((3,), m, 2.0, seed=1)))(Tensor(1.0))
    assert float(slope) == 3.0
    draws = random.uniform((3,), seed=1).numpy()
    slope = grad(lambda high: ops.sum(random.uniform((3,), 0.0, high, seed=1)))(Tensor(1.0))
    np.testing.assert_allclose(float(slope), draws.sum(), rtol=1e-6)


# ---- shapes alone
SYMBOLIC = [
    (lambda x: random.dropout(x, 0.5), (None, 3), "float32"),
    (lambda x: random.dropout(x, 0.5, noise_shape=(None, 1)), (None, 3), "float32"),
    (lambda x: random.shuffle(x), (None, 3), "float32"),
    (lambda x: random.categorical(x, 5), (None, 5), "int32"),
    (lambda x: random.normal(x.shape), (None, 3), "float32"),
    (lambda x: random.normal(x.shape, 0.0, [1.0, 2.0, 3.0]), (None, 3), "float32"),
    (lambda x: random.uniform(x.shape, dtype="float16"), (None, 3), "float16"),
    (lambda x: random.truncated_normal(x.shape), (None, 3), "float32"),
    (lambda x: random.randint(x.shape, 0, 3), (None, 3), "int32"),
    (lambda x: random.gamma(x.shape, 2.0), (None, 3), "float32"),
    (lambda x: random.beta(x.shape, 2.0, 2.0), (None, 3), "float32"),
    (lambda x: random.binomial(x.shape, 2.0, 0.5), (None, 3), "float32"),
]


@pytest.mark.parametrize(("draw", "shape", "dtype"), SYMBOLIC)
def test_symbolic(draw, shape, dtype):
    generator = random.SeedGenerator(1)
    y = compute_output_spec(draw, KerasTensor((None, 3)))
    assert (y.shape, y.dtype) == (shape, dtype)
    assert generator.state.numpy().tolist() == [1, 0]


def test_in_a_graph_of_keras_tensors():
    x = KerasTensor((None, 1000))
    f = Function(x, random.dropout(x * 2.0, 0.5))
    first, second = f(np.ones((2, 1000), "float32")).numpy(), f(np.ones((2, 1000), "float32")).numpy()
    assert set(first.ravel()) == {0.0, 4.0} and (first != second).any()
