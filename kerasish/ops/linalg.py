"""Linear algebra (``keras.ops.linalg``): names from the modules where the ops are."""

from kerasish.ops.control import jvp
from kerasish.ops.decomposition import (
    cholesky,
    cholesky_inverse,
    det,
    eig,
    eigh,
    inv,
    lstsq,
    lu_factor,
    matrix_rank,
    pinv,
    qr,
    solve,
    solve_triangular,
    svd,
)
from kerasish.ops.products import norm

__all__ = [
    "cholesky", "cholesky_inverse", "det", "eig", "eigh", "inv", "jvp", "lstsq", "lu_factor", "matrix_rank", "norm", "pinv", "qr",
    "solve", "solve_triangular", "svd",
]  # fmt: skip
