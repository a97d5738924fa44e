"""Decompositions, linear equations, inverses, determinants; derivatives along directions."""

import numpy as np

import kerasish
from tests.conformance.driver import A, case, row


class Apart(A):
    """A matrix whose diagonal is 3, 5, 7, ...: singular and eigenvalues well apart, and far from singular."""

    def make(self, seed=0, dtype=None):
        x = super().make(seed, dtype)
        m, n = x.shape[-2:]
        return (x + np.eye(m, n) * (3 + 2 * np.arange(n))).astype(x.dtype)


class Positive(Apart):
    """A symmetric, positive definite matrix."""

    def make(self, seed=0, dtype=None):
        x = super().make(seed, dtype)
        return ((x + np.swapaxes(x, -1, -2)) / 2).astype(x.dtype)


def solutions(a, b):
    return np.linalg.solve(a, b[..., None])[..., 0]


def complex_eig(x):
    """Keras on JAX gives other signs."""
    w, v = np.linalg.eig(x.astype("float64"))
    return w.astype("complex64"), v.astype("complex64")


def sine_along(x, v):
    return np.sin(x), np.cos(x) * v


ROWS = [
    *[row(f"ops.{part}cholesky", case(Positive(3, 3)), case(Positive(2, 4, 4), upper=True), case(Apart(3, 3)), tol=1e-4) for part in ("", "linalg.")],
    row("ops.cholesky_inverse", case(Apart(3, 3)), case(Apart(3, 3), upper=True), case(Apart(1, 1)), tol=1e-4),
    row("ops.cholesky_inverse", case(Apart(2, 3, 3)), reference=lambda x: np.linalg.inv(np.tril(x) @ np.swapaxes(np.tril(x), 1, 2)), tol=1e-4),
    row("ops.det", case(A(3, 3)), case(A(2, 2, 4, 4)), case(A(1, 1)), case(A(3, 3, dtype="int32")), tol=1e-4),
    row("ops.slogdet", case(A(3, 3)), case(Apart(2, 4, 4)), tol=1e-4, nodtype=True),
    row("ops.logdet", case(Positive(3, 3)), case(Positive(2, 4, 4)), tol=1e-4),
    row("ops.eig", case(Apart(3, 3)), case(Apart(2, 4, 4)), case(A(3, 3)), reference=complex_eig, tol=1e-4, grad=False, nodtype=True),
    row("ops.eigh", case(Positive(3, 3)), case(Positive(2, 4, 4)), case(Apart(3, 3)), tol=1e-4),
    row("ops.inv", case(Apart(3, 3)), case(Apart(2, 4, 4)), case(Apart(3, 3, dtype="int32")), tol=1e-4),
    row("ops.lstsq", case(A(5, 3), A(5)), case(A(5, 3), A(5, 2)), case(A(3, 5), A(3, 2)), case(Apart(4, 4), A(4), rcond=0.01), tol=1e-3),
    row("ops.lu_factor", *[case(A(*shape)) for shape in ((3, 3), (2, 4, 4), (5, 3), (3, 5), (1, 1))], tol=1e-4, nodtype=True),
    row("ops.matrix_rank", case(A(3, 3)), case(A(2, 4, 3)), case(np.ones((3, 3), "float32")), case(Apart(3, 3), tol=4.0), grad=False),
    row("ops.pinv", case(A(3, 3)), case(A(2, 5, 3)), case(A(2, 3)), tol=1e-3, nodtype=True),
    row("ops.pinv", case(Apart(3, 3), rcond=0.5), tol=1e-3, grad=False),
    row(
        "ops.qr",
        *[case(Apart(*shape), mode=mode) for shape in ((3, 3), (2, 3, 4)) for mode in ("reduced", "complete")],
        case(Apart(2, 5, 3)),
        tol=1e-4,
    ),
    row("ops.qr", case(Apart(5, 3), mode="complete"), grad=False, tol=1e-4),
    row("ops.solve", case(Apart(3, 3), A(3)), case(Apart(3, 3), A(3, 2)), case(Apart(2, 4, 4), A(2, 4, 3)), tol=1e-4),
    row("ops.solve", case(Apart(2, 4, 4), A(2, 4)), reference=solutions, tol=1e-4),
    row(
        "ops.solve_triangular",
        *[case(Apart(3, 3), b, lower=lower) for b in (A(3), A(3, 2)) for lower in (False, True)],
        case(Apart(2, 4, 4), A(2, 4, 3)),
        tol=1e-4,
    ),
    row(
        "ops.svd",
        case(Apart(3, 3)),
        *[case(Apart(*shape), full_matrices=False) for shape in ((2, 4, 4), (5, 3), (3, 5))],
        case(Apart(2, 5, 3), compute_uv=False),
        tol=1e-4,
    ),
    row("ops.svd", case(Apart(5, 3)), case(Apart(2, 3, 4)), grad=False, tol=1e-4),
    row(
        "ops.jvp",
        case(kerasish.ops.sin, (A(3),), (A(3, low=2.0, high=3.0),)),
        reference=lambda f, xs, vs: sine_along(*xs, *vs),
    ),
]
