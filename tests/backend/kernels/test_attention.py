"""Attention and its gradient against the ops' NumPy kernels."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from hypothesis import given, settings
from hypothesis import strategies as st

from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.kernels import attention, tiled_attention  # noqa: F401  (register the candidates)
from kerasish.backend.kernels.alone import run_alone
from kerasish.ops.attention import _BLIND, _attention, _attention_gradient, _long_attention, _long_attention_gradient

xp = NumpyArrays()
NO_MASK = np.array(True)


def arrays(batch, queries, keys, heads, size, value_size, seed=0):
    rng = np.random.default_rng(seed)
    shapes = (batch, queries, heads, size), (batch, keys, heads, size), (batch, keys, heads, value_size), (batch, queries, heads, value_size)
    return [rng.standard_normal(shape).astype("float32") for shape in shapes]


def close(got, want, tolerance):
    assert got is not None
    for a, b in zip(got, want, strict=True):
        finite = np.isfinite(b)
        np.testing.assert_array_equal(a[~finite], b[~finite])
        largest = np.max(np.abs(b[finite]), initial=1.0)  # the terms, whose sums may be far smaller
        np.testing.assert_allclose(a[finite], b[finite], rtol=0, atol=tolerance * largest)


def check(query, key, value, g, mask=NO_MASK, scale=0.3, threads=None, tolerance=1e-5):
    with np.errstate(all="ignore"):
        y, weights = _attention.kernel(xp, query, key, value, mask, scale)
        slopes = _attention_gradient.kernel(xp, g, query, key, value, mask, y, weights, scale)
    outputs = [[np.full(a.shape, 99, "float32") for a in of] for of in ((y, weights), slopes)]
    got = run_alone(_attention, [query, key, value, mask], outputs=outputs[0], scale=scale, threads=threads)
    close(got, [y, weights], tolerance)
    close(run_alone(_attention_gradient, [g, query, key, value, mask, y, weights], outputs=outputs[1], scale=scale), slopes, tolerance)
    return got, check_tiles(query, key, value, g, mask, scale, threads, tolerance, expected=[y, *slopes])


def check_tiles(query, key, value, g, mask=NO_MASK, scale=0.3, threads=None, tolerance=1e-5, causal=False, expected=None):
    """The kernels that keep no weights against these results and slopes, or those of the op's own kernel."""
    options = {"scale": scale, "causal": causal}
    with np.errstate(all="ignore"):
        y, logarithms = _long_attention.kernel(xp, query, key, value, mask, **options)
        slopes = _long_attention_gradient.kernel(xp, g, query, key, value, mask, y, logarithms, **options)
    if expected:
        close([y, *slopes], expected, tolerance)
    else:
        expected = [y, *slopes]
    outputs = [[np.full(a.shape, 99, "float32") for a in of] for of in ((y, logarithms), slopes)]
    got = run_alone(_long_attention, [query, key, value, mask], outputs=outputs[0], threads=threads, **options)
    close(got[:1], expected[:1], tolerance)
    blind = logarithms < _BLIND
    np.testing.assert_array_equal(got[1] < _BLIND, blind)
    close([got[1][~blind]], [logarithms[~blind]], tolerance)
    given = [g, query, key, value, mask, *got]
    slopes = run_alone(_long_attention_gradient, given, outputs=outputs[1], threads=threads, **options)
    close(slopes, expected[1:], tolerance)
    return [*got, *slopes]


@pytest.mark.parametrize(
    "sizes",
    [(2, 20, 20, 2, 32, 32), (1, 1, 1, 1, 1, 1), (2, 3, 5, 3, 7, 4), (1, 13, 40, 2, 16, 64), (1, 200, 33, 1, 17, 5), (3, 12, 16, 1, 40, 48),
     (1, 5, 300, 2, 8, 100), (1, 24, 1024, 1, 8, 8), (1, 98, 193, 3, 33, 20)],
    ids=str,
)  # fmt: skip
def test_sizes(sizes):
    check(*arrays(*sizes))


@settings(deadline=None, max_examples=15)
@given(sizes=st.tuples(st.integers(1, 3), st.integers(12, 50), st.integers(12, 70), st.integers(1, 3), st.just(8), st.just(8)), seed=st.integers(0, 99))
def test_any_lengths(sizes, seed):
    check(*arrays(*sizes, seed=seed))


def test_few_heads_are_shared_between_tasks():
    one, many = (check(*arrays(1, 400, 410, 1, 8, 8), threads=n) for n in (1, 8))
    for a, b in zip([*one[0], *one[1]], [*many[0], *many[1]], strict=True):
        np.testing.assert_array_equal(a, b)


def test_strided_inputs():
    q, k, v, g = arrays(2, 10, 18, 2, 8, 8)
    three = np.concatenate([q, q, q], axis=3)  # as of one projection for all three
    check(three[..., 8:16], k[:, ::-1], v[:, ::2].repeat(2, axis=1), g)
    check(np.ascontiguousarray(q.transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0), np.ascontiguousarray(k.swapaxes(1, 2)).swapaxes(1, 2), v, g)


@pytest.mark.parametrize("shape", [(2, 3, 10, 21), (10, 21), (2, 1, 1, 21), (2, 1, 10, 1), (1, 3, 1, 1), (1,)], ids=str)
def test_masks(shape):
    mask = np.random.default_rng(1).random(shape) < 0.6
    mask.reshape(-1)[0] = True
    check(*arrays(2, 10, 21, 3, 8, 8), mask)
    check(*arrays(2, 10, 21, 3, 8, 8), np.ascontiguousarray(mask.T).T)


def test_a_query_that_sees_nothing_weighs_all_alike_and_hands_on_no_gradient():
    query, key, value, g = arrays(1, 14, 21, 1, 8, 8)
    mask = np.ones((14, 21), bool)
    mask[3] = False
    (_, weights), _ = check(query, key, value, g, mask)
    np.testing.assert_allclose(weights[0, 0, 3], 1 / 21, rtol=1e-6)
    check(query, key, value, g, np.zeros((1, 1), bool))


@pytest.mark.parametrize("sizes", [(2, 130, 130, 2, 8, 8), (1, 110, 250, 1, 8, 8), (1, 250, 110, 1, 8, 8), (1, 1, 1, 1, 8, 8)], ids=str)
@pytest.mark.parametrize("masked", ["no", "keys", "pairs"])
def test_tiles_of_what_is_not_later(sizes, masked):
    batch, queries, keys, *_ = sizes
    inputs, rng = arrays(*sizes), np.random.default_rng(1)
    mask = {"no": NO_MASK, "keys": rng.random((batch, 1, 1, keys)) < 0.5, "pairs": rng.random((queries, keys)) < 0.5}[masked]
    if masked == "pairs":
        mask[queries // 2] = mask[-1, : queries // 3] = mask[0] = False  # who sees nothing weighs the later ones as well
    seen = mask & np.tri(queries, keys, dtype=bool)
    y, weights = _attention.kernel(xp, *inputs[:3], seen, 0.3)
    slopes = _attention_gradient.kernel(xp, inputs[3], *inputs[:3], seen, y, weights, 0.3)
    check_tiles(*inputs, mask, causal=True, expected=[y, *slopes])


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_numbers_at_the_edge(number):
    for place in range(3):
        inputs = arrays(1, 14, 21, 2, 8, 8)
        inputs[place][0, 2, 0, 3] = number
        check(*inputs)


def test_scores_far_apart():
    query, key, value, g = arrays(1, 14, 21, 2, 8, 8)
    (_, weights), _ = check(query * 60, key, value, g, scale=1.0, tolerance=5e-4)  # scores of 1000 are rounded to 1e-4
    assert (weights == 0).any()


def test_what_is_left_to_others():
    query, key, value, _ = arrays(1, 4, 5, 1, 8, 8)
    for op, kept in ((_attention, (1, 1, 4, 0)), (_long_attention, (1, 1, 4))):
        assert run_alone(op, [x.astype("float64") for x in (query, key, value)] + [NO_MASK], scale=1.0) is None
        assert run_alone(op, [query, key[:, :0], value[:, :0], NO_MASK], scale=1.0, outputs=[query, np.empty(kept, "float32")]) is None
