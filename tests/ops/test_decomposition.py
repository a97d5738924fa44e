"""What the tables have not: invariants that no sign or phase changes, complex matrices, singular ones, errors, models."""

import keras
import numpy as np
import pytest

import kerasish
from kerasish import ops
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor

RNG = np.random.default_rng(0)


def matrices(*shape, dtype="float64"):
    x = RNG.uniform(-1, 1, shape)
    if "complex" in dtype:
        x = x + 1j * RNG.uniform(-1, 1, shape)
    return x.astype(dtype)


def adjoint(x):
    return np.conj(np.swapaxes(np.asarray(x), -1, -2))


def slopes_agree(f, x, tol=1e-6, step=1e-6):
    """The gradient along a random direction, real or complex, is the finite difference."""
    direction = matrices(*x.shape, dtype=x.dtype.name)
    slope = np.asarray(grad(f)(Tensor(x)))
    numeric = (float(f(Tensor(x + step * direction))) - float(f(Tensor(x - step * direction)))) / (2 * step)
    np.testing.assert_allclose(np.sum(slope * direction).real, numeric, rtol=tol, atol=tol)


# ---- reconstruction
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("shape", [(4, 4), (2, 5, 3), (2, 3, 5), (1, 1)])
def test_factors_multiply_to_the_matrix(shape, dtype):
    x = matrices(*shape, dtype=dtype)
    *_, m, n = shape
    k = min(m, n)
    for mode in ("reduced", "complete"):
        q, r = map(np.asarray, ops.qr(Tensor(x), mode=mode))
        np.testing.assert_allclose(q @ r, x, atol=1e-12)
        np.testing.assert_allclose(adjoint(q) @ q, np.broadcast_to(np.eye(q.shape[-1]), (*shape[:-2], q.shape[-1], q.shape[-1])), atol=1e-12)
    for full in (False, True):
        u, s, vt = map(np.asarray, ops.svd(Tensor(x), full_matrices=full))
        assert s.dtype == "float64"
        np.testing.assert_allclose((u[..., :k] * s[..., None, :]) @ vt[..., :k, :], x, atol=1e-12)
    lu, pivots = map(np.asarray, ops.lu_factor(Tensor(x)))
    lower, upper = np.tril(lu[..., :k], -1) + np.eye(m, k), np.triu(lu[..., :k, :])
    product = lower @ upper
    for places in np.ndindex(*shape[:-2]):
        rows = x[places].copy()
        for i, p in enumerate(pivots[places]):
            rows[[i, p]] = rows[[p, i]]
        np.testing.assert_allclose(product[places], rows, atol=1e-12)


def test_eigenvectors():
    x = matrices(3, 4, 4)
    w, v = map(np.asarray, ops.eig(Tensor(x)))
    np.testing.assert_allclose(x @ v, v * w[:, None, :], atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(v, axis=-2), 1.0)
    theirs = np.asarray(keras.ops.eig(x.astype("float32"))[0])
    np.testing.assert_allclose(np.sort_complex(w), np.sort_complex(theirs), atol=1e-4)
    h = matrices(3, 4, 4, dtype="complex128")
    h = h + adjoint(h)
    w, v = map(np.asarray, ops.eigh(Tensor(h)))
    assert w.dtype == "float64"
    np.testing.assert_allclose((v * w[:, None, :]) @ adjoint(v), h, atol=1e-12)


def test_large_triangular_systems_are_solved_by_halves():
    a, b = matrices(150, 150) + 20 * np.eye(150), matrices(2, 150, 3)
    for lower, half in ((False, np.triu), (True, np.tril)):
        x = np.asarray(ops.solve_triangular(Tensor(a), Tensor(b), lower=lower))
        np.testing.assert_allclose(half(a) @ x, b, atol=1e-10)


def test_a_known_least_squares_line():
    a = np.stack([np.ones(4), np.arange(4.0)], 1)
    np.testing.assert_allclose(ops.lstsq(a, 1 + 2 * np.arange(4.0)), [1, 2], atol=1e-5)
    twice = np.stack([np.arange(1.0, 4.0)] * 2, 1)  # of all solutions the shortest
    np.testing.assert_allclose(ops.lstsq(twice, np.arange(1.0, 4.0)), [0.5, 0.5], atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("least", [1.0, 1e-2, 1e-3, 1e-7, 0.0])
def test_least_squares_of_any_condition(least, dtype):
    """The least singular value is far above what counts as 0, or far below, where the solution is the shortest one."""
    rng = np.random.default_rng(0)
    (u, _, vt), s = np.linalg.svd(rng.standard_normal((40, 6)), full_matrices=False), np.array([1, 0.9, 0.8, 0.7, 0.6, least])
    a, b = (u * s @ vt).astype(dtype), rng.standard_normal((40, 3)).astype(dtype)
    cutoff = 40 * np.finfo(dtype).eps
    want = np.linalg.lstsq(a.astype("float64"), b.astype("float64"), rcond=cutoff)[0]
    for scale in (1, 1e-20 if dtype == "float32" else 1e-150):
        got = ops.lstsq(Tensor(a * a.dtype.type(scale)), Tensor(b)).numpy() * scale
        rounding = np.finfo(dtype).eps * (1 / least**2 if least > cutoff else 10)
        np.testing.assert_allclose(got, want, rtol=0, atol=10 * rounding * np.abs(want).max())


def test_gradients_of_least_squares_are_those_of_the_pseudo_inverse():
    a, b = Tensor(matrices(6, 3, dtype="float32")), Tensor(matrices(6, 2, dtype="float32"))
    f = [lambda a, b, solve=solve: ops.sum(solve(a, b) ** 2) for solve in (ops.lstsq, lambda a, b: ops.pinv(a) @ b)]
    for got, want in zip(*(grad(g, argnums=(0, 1))(a, b) for g in f), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (2, 3, 6)])
def test_singular_values_are_as_good_as_numpys(shape):
    x = matrices(*shape, dtype="float32")
    x[..., 0] = x[..., 1]  # one of them is 0 where there are as many rows
    for scale in (1, 1e-15, 1e15):
        y = x * np.float32(scale)
        want = np.linalg.svd(y.astype("float64"), compute_uv=False)
        np.testing.assert_allclose(ops.svd(Tensor(y), compute_uv=False), want, rtol=0, atol=2e-7 * want.max())
    with pytest.raises(ValueError, match="converge"):
        ops.svd(Tensor(np.full(shape, np.nan, "float32")), compute_uv=False)


@pytest.mark.parametrize("rcond", [-1.0, 0.3])
def test_rcond_is_that_of_keras(rcond):
    a, b = matrices(4, 3, dtype="float32") * np.array([1, 1, 0.01], "float32"), matrices(4, dtype="float32")
    np.testing.assert_allclose(ops.lstsq(a, b, rcond=rcond), keras.ops.lstsq(a, b, rcond=rcond), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dtype_is_kept(dtype):
    x = Tensor(matrices(3, 3) + 3 * np.eye(3), dtype=dtype)
    both = ops.matmul(x, ops.transpose(x))
    outputs = [*ops.svd(x), *ops.qr(x), *ops.eigh(both), ops.cholesky(both), ops.inv(x), ops.det(x), ops.pinv(x), *ops.slogdet(x)]
    outputs += [ops.lu_factor(x)[0], ops.solve(x, x), ops.solve_triangular(x, x), ops.norm(x, ord="nuc"), ops.norm(x, ord=2)]
    assert {y.dtype for y in outputs} == {dtype}
    assert ops.eig(x)[0].dtype == ("complex128" if dtype == "float64" else "complex64")


# ---- gradients of what does not hang on the choice of vectors
WEIGHT = RNG.uniform(-1, 1, (6, 6))


def weighed(y):
    m, n = y.shape[-2:]
    return ops.sum(y * Tensor(WEIGHT[:m, :n]))


def projection(v):
    return ops.matmul(v, ops.conjugate(ops.swapaxes(v, -1, -2)))


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (2, 5, 3)])
def test_complete_factors_have_gradients(shape):
    x = matrices(*shape)
    k = min(shape[-2:])
    slopes_agree(lambda x: weighed(projection(ops.svd(x)[0][..., k - 1 :])), x)
    slopes_agree(lambda x: weighed(projection(ops.swapaxes(ops.svd(x)[2], -1, -2)[..., k - 1 :])), x)
    slopes_agree(lambda x: weighed(projection(ops.qr(x, mode="complete")[0][..., k - 1 :])), x)
    slopes_agree(lambda x: ops.sum(grad(lambda x: weighed(projection(ops.svd(x)[0][..., k:])))(x) ** 2), x, tol=1e-5)


def test_gradients_of_eig():
    x = matrices(4, 4)
    weight = matrices(4, dtype="complex128")
    slopes_agree(lambda x: ops.sum(ops.real(ops.eig(x)[0] * Tensor(weight))), x)
    slopes_agree(lambda x: ops.sum(ops.absolute(ops.eig(x)[1]) * Tensor(WEIGHT[:4, :4])), x)
    slopes_agree(lambda x: ops.sum(ops.absolute(ops.eig(x)[1]) * Tensor(WEIGHT[:4, :4])), matrices(4, 4, dtype="complex128"))
    slopes_agree(lambda x: ops.sum(grad(lambda x: ops.sum(ops.absolute(ops.eig(x)[0])))(x) ** 2), x, tol=1e-5)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: ops.real(ops.det(x)) + 2 * ops.imag(ops.det(x)),
        lambda x: ops.slogdet(x)[1] + ops.imag(ops.slogdet(x)[0]),
        lambda x: weighed(ops.real(ops.inv(x))) + weighed(ops.imag(ops.inv(x))),
        lambda x: weighed(ops.imag(ops.solve(x, Tensor(np.eye(4, 2))))),
        lambda x: weighed(ops.imag(ops.pinv(x[:, :2]))),
        lambda x: weighed(ops.imag(ops.lu_factor(x)[0])),
        lambda x: weighed(ops.absolute(ops.eigh(x)[1])) + ops.sum(ops.eigh(x)[0] ** 2),
        lambda x: weighed(ops.imag(ops.cholesky(x + Tensor(8 * np.eye(4))))),
        lambda x: weighed(ops.real(ops.cholesky(x + Tensor(8 * np.eye(4)), upper=True))),
    ],
)
def test_gradients_by_complex_matrices(f):
    slopes_agree(f, matrices(4, 4, dtype="complex128"))


@pytest.mark.parametrize("function", [ops.svd, ops.qr])
def test_vectors_of_complex_matrices_have_none(function):
    with pytest.raises(TypeError, match="phase"):
        grad(lambda x: ops.sum(ops.real(function(x)[0])))(Tensor(matrices(3, 3, dtype="complex128")))


def test_gradient_of_the_determinant_of_a_singular_matrix():
    slope = grad(ops.det)(Tensor([[1.0, 2.0], [2.0, 4.0]]))
    np.testing.assert_allclose(slope, [[4, -2], [-2, 1]], atol=1e-5)


def test_equal_eigenvalues_leave_gradients_finite():
    x = Tensor(np.eye(3))
    np.testing.assert_allclose(grad(lambda x: ops.sum(ops.eigh(x)[0] ** 2))(x), 2 * np.eye(3), atol=1e-12)
    np.testing.assert_allclose(grad(lambda x: ops.sum(ops.svd(x)[1] ** 2))(x), 2 * np.eye(3), atol=1e-12)


# ---- errors
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.cholesky(np.ones((2, 3))), "square"),
        (lambda: ops.cholesky(-np.eye(2)), "Cholesky decomposition failed"),
        (lambda: ops.cholesky_inverse(np.ones((2, 3))), "square"),
        (lambda: ops.det(np.ones(3)), "rank >= 2"),
        (lambda: ops.eig(np.ones((2, 3))), "square"),
        (lambda: ops.eigh(np.ones((2, 3))), "square"),
        (lambda: ops.inv(np.ones((2, 3))), "square"),
        (lambda: ops.inv(np.ones((2, 2))), "[Ss]ingular"),
        (lambda: ops.lu_factor(np.ones(3)), "rank >= 2"),
        (lambda: ops.svd(np.ones(3)), "rank >= 2"),
        (lambda: ops.pinv(np.ones(3)), "rank >= 2"),
        (lambda: ops.matrix_rank(np.ones(3)), "rank >= 2"),
        (lambda: ops.qr(np.ones((2, 2)), mode="full"), "mode"),
        (lambda: ops.solve(np.eye(3), np.ones((2, 2))), "Incompatible shapes"),
        (lambda: ops.solve_triangular(np.eye(3), np.ones(2)), "Incompatible shapes"),
        (lambda: ops.lstsq(np.ones((2, 2, 2)), np.ones(2)), "rank 2"),
        (lambda: ops.lstsq(np.ones((2, 2)), np.ones(3)), "same number of rows"),
        (lambda: ops.slogdet(KerasTensor((2, 3))), "square"),
        (lambda: ops.solve(KerasTensor((2, 3)), KerasTensor((2,))), "square"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_unknown_sizes():
    x = KerasTensor((None, None, None))
    assert ops.det(x).shape == (None,) and ops.inv(x).shape == ops.cholesky(x).shape == (None, None, None)
    assert [y.shape for y in ops.svd(KerasTensor((None, 4, 3)))] == [(None, 4, 4), (None, 3), (None, 3, 3)]
    assert ops.cholesky_inverse(x).shape == (None, None, None)
    assert ops.solve(KerasTensor((None, 3, 3)), KerasTensor((None, 3))).shape == (None, 3)


# ---- in models
def test_a_model_of_these_ops_has_keras_config():
    def build(keras):
        x = keras.Input((3, 3))
        y = keras.ops.matmul(x, keras.ops.transpose(x, (0, 2, 1))) + 1.0
        q, _ = keras.ops.qr(y, mode="reduced")
        re, im = keras.ops.rfft(keras.ops.solve_triangular(y, q, lower=True), fft_length=4)
        return keras.Model(x, [keras.ops.irfft((re, im)), keras.ops.svd(y, compute_uv=False), keras.ops.logdet(y)])

    ours, theirs = build(kerasish), build(keras)
    kinds = [[layer["class_name"] for layer in model.get_config()["layers"]] for model in (ours, theirs)]
    assert kinds[0] == kinds[1]
    x = (matrices(2, 3, 3) + 3 * np.eye(3)).astype("float32")
    for a, b in zip(ours(x), theirs(x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    again = kerasish.Model.from_config(ours.get_config())
    for a, b in zip(again(x), ours(x), strict=True):
        np.testing.assert_array_equal(a, b)
