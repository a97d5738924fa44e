"""Products and attention in plans on a GPU: cuBLASLt takes them, in any layout and captured in a graph, and gives what NumPy gives.

Where there is no GPU the stand-in for CuPy shows that the tests themselves are right.
"""


import numpy as np
import pytest

import kerasish as keras
from kerasish import ops
from kerasish.backend import arrays
from kerasish.backend.arrays.cupy import CupyArrays
from kerasish.backend.autodiff.dtypes import numpy_dtype
from kerasish.backend.kernels.cuda import cublaslt
from tests.conformance.strict import StrictArrays

pytestmark = pytest.mark.gpu
TOLERANCE = {"float32": 1e-5, "float64": 1e-12, "float16": 2e-3, "bfloat16": 2e-2}


@pytest.fixture
def taken():
    """A function that says how many kinds of products cuBLASLt was asked for; None where there is no GPU."""
    there = arrays.has_gpu()
    before = arrays.use(CupyArrays() if there else StrictArrays())
    cublaslt._found.cache_clear()
    yield (lambda: cublaslt._found.cache_info().currsize) if there else None
    arrays.use(before)


def normal(*shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(numpy_dtype(dtype))


def check(function, reference, xs, taken, tolerance=None):
    """A recorded function, some times so that it is captured, against NumPy in float64."""
    recorded = keras.function(function)
    expected = reference(*(np.asarray(x, "float64") for x in xs))
    for _ in range(4):
        found = recorded(*map(ops.convert_to_tensor, xs))
    found = np.asarray(arrays.active.xp.to_numpy(found.value), "float64")
    largest = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=(tolerance or TOLERANCE[xs[0].dtype.name]) * max(1, largest))
    assert taken is None or taken() > 0


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("first", "second"), [
    ((33, 17), (17, 65)), ((1, 1), (1, 1)), ((40,), (40, 5)), ((3, 40), (40,)), ((2, 30, 40), (40, 5)), ((2, 3, 4, 8), (2, 3, 8, 6)),
    ((5, 1, 64), (5, 64, 16)), ((128, 64), (7, 64, 32)), ((3, 1, 16, 8), (1, 4, 8, 24)), ((256, 512), (512, 384)), ((8, 20000), (20000, 8)),
])  # fmt: skip
def test_shapes(taken, first, second, dtype):
    if not arrays.active.xp.holds(np.dtype(numpy_dtype(dtype))) if taken else False:
        pytest.skip(f"this CuPy has no {dtype}")
    check(ops.matmul, np.matmul, [normal(*first, dtype=dtype), normal(*second, seed=1, dtype=dtype)], taken)


LAYOUTS = [
    (lambda x, y: x.T @ y, (96, 40), (96, 24)),
    (lambda x, y: x @ y.T, (96, 40), (24, 40)),
    (lambda x, y: x.T @ y.T, (40, 96), (24, 40)),
    (lambda x, y: x[:, 1:33] @ y[3:35], (96, 40), (40, 24)),  # addresses that are aligned to 4 bytes
    (lambda x, y: x[::2, 2:34:2] @ y[1:17], (96, 40), (40, 23)),
    (lambda x, y: x[:, :3].swapaxes(-1, -2) @ y[:, 1:], (5, 4, 16, 8), (5, 4, 16, 12)),
]


@pytest.mark.parametrize("which", range(len(LAYOUTS)))
def test_layouts(taken, which):
    function, first, second = LAYOUTS[which]

    def in_ops(x, y):
        return function(_Axes(x), _Axes(y)).x

    check(in_ops, function, [normal(*first), normal(*second, seed=1)], taken)


class _Axes:
    """A tensor with NumPy's names."""

    def __init__(self, x):
        self.x = x

    T = property(lambda self: _Axes(ops.transpose(self.x)))

    def swapaxes(self, a, b):
        return _Axes(ops.swapaxes(self.x, a, b))

    def __getitem__(self, key):
        return _Axes(self.x[key])

    def __matmul__(self, other):
        return _Axes(ops.matmul(self.x, other.x))


def test_products_of_products(taken):
    xs = [normal(48, 48, seed=i) for i in range(5)]
    check(lambda a, b, c, d, e: a @ b @ c @ d @ e, lambda a, b, c, d, e: a @ b @ c @ d @ e, xs, taken, 1e-4)


@pytest.mark.parametrize(("batch", "heads"), [(8, 2), (2, 8), (6, 5), (1, 1)])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_and_its_gradient(taken, batch, heads, causal):
    q, k, v, g = (normal(batch, n, heads, 16, seed=i) for i, n in enumerate((40, 70, 70, 40)))

    def forward(q, k, v):
        scores = np.einsum("bnhs,bmhs->bhnm", q, k) / 4
        scores = np.where(np.tri(40, 70, dtype=bool), scores, -np.inf) if causal else scores
        p = np.exp(scores - scores.max(-1, keepdims=True))
        return np.einsum("bhnm,bmhs->bnhs", p / p.sum(-1, keepdims=True), v)

    def loss(q, k, v, g):
        return ops.sum(ops.dot_product_attention(q, k, v, is_causal=causal) * g)

    def along(q, k, v, g):
        """The slope of the loss in one direction."""
        e = 1e-6
        return np.sum((forward(q + e * k[:, :40], k + e * k, v + e * k) - forward(q - e * k[:, :40], k - e * k, v - e * k)) * g) / (2 * e)

    def slope(q, k, v, g):
        dq, dk, dv = keras.grad(loss, (0, 1, 2))(q, k, v, g)
        return ops.sum(dq * k[:, :40]) + ops.sum(dk * k) + ops.sum(dv * k)

    check(lambda q, k, v: ops.dot_product_attention(q, k, v, is_causal=causal), forward, [q, k, v], taken)
    check(slope, along, [q, k, v, g], taken, 1e-4)
