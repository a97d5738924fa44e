"""Decompositions of matrices, linear equations, inverses and determinants; all but ``lstsq`` over batches of matrices.

Gradient rules: M. Giles, "An extended collection of matrix derivative results" (2008), where no other source is named. Numbers of
16 bits are computed with as 32. Gradients with respect to complex matrices exist where the result does not hang on a phase.
"""

import builtins
import math

from kerasish.backend.autodiff.dtypes import floating, promote_dtypes, to, to_attribute
from kerasish.backend.autodiff.op import as_tensor, cast, composite, op
from kerasish.backend.autodiff.shapes import broadcast
from kerasish.ops.creation import ones_like
from kerasish.ops.elementwise import conjugate, real
from kerasish.ops.products import in_dtype, inverse_gaps, matmul, only_real, real_at, singles, singular_values, thin_svd, thin_svd_gradient
from kerasish.ops.reduction import sum
from kerasish.ops.shaping import concatenate, diagonal, expand_dims, squeeze, swapaxes, tril, triu

__all__ = [
    "cholesky", "cholesky_inverse", "det", "eig", "eigh", "inv", "logdet", "lstsq", "lu_factor", "matrix_rank", "pinv", "qr", "slogdet",
    "solve", "solve_triangular", "svd",
]  # fmt: skip

_SMALL = 64  # rows from which a triangular system is solved by halves


# ---- shapes
def _matrix(shape, **attrs):
    if len(shape) < 2:
        raise ValueError(f"Input should have rank >= 2. Received: input.shape={tuple(shape)}")
    return tuple(shape)


def _square(shape, **attrs):
    *_, m, n = _matrix(shape)
    if None not in (m, n) and m != n:
        raise ValueError(f"Not a square matrix: shape {tuple(shape)}.")
    return tuple(shape)


def _smaller(m, n):
    return None if None in (m, n) else builtins.min(m, n)


# ---- what the rules share
def _transposed(x):
    return swapaxes(x, -1, -2)


def _conjugate(x):
    return conjugate(x) if "complex" in x.dtype else x


def _adjoint(x):
    return _transposed(_conjugate(x))


def _eye_like(x):
    return tril(triu(ones_like(x)))


def _on_diagonal(values, like):
    return expand_dims(values, -2) * _eye_like(like)


def _hermitian(x):
    return 0.5 * (x + _adjoint(x))


def _symmetrised(xp, x):
    return (x + xp.conjugate(xp.swapaxes(x, -1, -2))) * x.dtype.type(0.5)


# ---- linear equations
def _solved(a, b, **attrs):
    _square(a)
    if len(b) < 2 or (None not in (a[-1], b[-2]) and a[-1] != b[-2]):
        raise ValueError(f"Incompatible shapes between `a` and `b`: as many rows are needed in both. Received: {tuple(a)}, {tuple(b)}")
    return (*broadcast(a[:-2], b[:-2]), a[-1] if b[-2] is None else b[-2], b[-1])


@op(
    _solved,
    [lambda g, y, a, b: -matmul(_solve(_transposed(a), g), _transposed(y)), lambda g, y, a, b: _solve(_transposed(a), g)],
    floating,
    module="ops.linalg",
    class_name="SolveMatrices",
)
def _solve(xp, a, b):
    return in_dtype(xp.linalg.solve(singles(xp, a), singles(xp, b)), b.dtype)


def _columns(solver, a, b, **attrs):
    """A right side of one axis less than the matrices is a vector for each of them."""
    a, b = as_tensor(a), as_tensor(b)
    _square(a.shape)
    if b.ndim < 1:
        raise ValueError("Expected `b` to have rank >= 1. Received a scalar.")
    if b.ndim != a.ndim - 1:
        return solver(a, b, **attrs)
    return squeeze(solver(a, expand_dims(b, -1), **attrs), -1)


@composite(module="ops.linalg")
def solve(a, b):
    """The ``x`` with ``a @ x = b``; ValueError where ``a`` is singular (``keras.ops.solve``).

    ``a`` of shape ``(..., M, M)``, ``b`` of shape ``(..., M)`` or ``(..., M, N)``, as the result.

    >>> solve([[2.0, 0.0], [0.0, 4.0]], [2.0, 2.0]).tolist()
    [1.0, 0.5]
    """
    return _columns(_solve, a, b)


def _back_substitution(xp, a, b):
    """Solve with the upper triangle of ``a``, large ones by halves: most of the work is then one matrix product."""
    n = a.shape[-1]
    if n <= _SMALL:
        if not (xp.isfinite(a).all() and xp.isfinite(b).all()):
            return _solve_by_rows(xp, a, b)  # LU would spread what is not finite everywhere
        return xp.linalg.solve(xp.triu(a), b)  # with zeros below, LU has nothing to do
    k = n // 2
    below = _back_substitution(xp, a[..., k:, k:], b[..., k:, :])
    above = _back_substitution(xp, a[..., :k, :k], b[..., :k, :] - xp.matmul(a[..., :k, k:], below))
    return xp.concatenate([above, below], axis=-2)


def _solve_by_rows(xp, a, b):
    if (xp.diagonal(a, axis1=-2, axis2=-1) == 0).any():
        raise xp.linalg.LinAlgError("Singular matrix")
    y = xp.zeros(xp.broadcast_shapes(a.shape[:-2], b.shape[:-2]) + b.shape[-2:], b.dtype)
    for i in reversed(builtins.range(a.shape[-1])):
        known = xp.matmul(a[..., i : i + 1, i + 1 :], y[..., i + 1 :, :])[..., 0, :]
        y[..., i, :] = (b[..., i, :] - known) / a[..., i, i][..., None]
    return y


def _triangular_a(g, y, a, b, lower):
    slope = -matmul(_solve_triangular(_transposed(a), g, lower=not lower), _transposed(y))
    return tril(slope) if lower else triu(slope)


@op(
    _solved,
    [_triangular_a, lambda g, y, a, b, lower: _solve_triangular(_transposed(a), g, lower=not lower)],
    floating,
    module="ops.linalg",
    class_name="SolveTriangularMatrices",
)
def _solve_triangular(xp, a, b, lower=False):
    dtype, a, b = b.dtype, singles(xp, a), singles(xp, b)
    if not lower:
        return in_dtype(_back_substitution(xp, a, b), dtype)
    y = _back_substitution(xp, xp.flip(a, (-2, -1)), xp.flip(b, -2))
    return in_dtype(xp.flip(y, -2), dtype)


@composite(module="ops.linalg")
def solve_triangular(a, b, lower=False):
    """The ``x`` with ``a @ x = b`` for an upper (or ``lower``) triangular ``a``, whose other half is not read (``keras.ops``).

    Shapes as in :func:`solve`.

    >>> solve_triangular([[1.0, 1.0], [0.0, 2.0]], [3.0, 4.0]).tolist()
    [1.0, 2.0]
    """
    return _columns(_solve_triangular, a, b, lower=lower)


@op(_square, [lambda g, y, x: -matmul(matmul(_transposed(y), g), _transposed(y))], floating, module="ops.linalg")
def inv(xp, x):
    """Inverse of square matrices; ValueError where one is singular (``keras.ops.inv``).

    >>> inv([[2.0, 0.0], [0.0, 4.0]]).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """
    return in_dtype(xp.linalg.inv(singles(xp, x)), x.dtype)


# ---- Cholesky
def _cholesky_gradient(g, y, x, upper):
    g = _conjugate(g)
    g, upper_factor = (_adjoint(g), y) if upper else (g, _adjoint(y))
    inner = matmul(upper_factor, g)
    inner = 0.5 * (tril(inner) + tril(inner, -1))
    inner = _solve_triangular(upper_factor, inner)
    return _conjugate(_hermitian(_adjoint(_solve_triangular(upper_factor, _adjoint(inner)))))


@op(_square, [_cholesky_gradient], floating, module="ops.linalg")
def cholesky(xp, x, upper=False):
    """The triangular ``L`` with ``L @ L.T = x``, or with ``upper`` its transpose (``keras.ops.cholesky``).

    Of ``x``, shape ``(..., M, M)``, the symmetric part counts. ValueError where it is not positive definite.

    >>> cholesky([[4.0, 2.0], [2.0, 5.0]]).tolist()
    [[2.0, 0.0], [1.0, 2.0]]
    """
    try:
        y = xp.linalg.cholesky(_symmetrised(xp, singles(xp, x)))
    except ValueError as error:  # also NumPy's LinAlgError
        raise ValueError(f"Cholesky decomposition failed: {error}") from None
    return in_dtype(xp.conjugate(xp.swapaxes(y, -1, -2)) if upper else y, x.dtype)


@composite(module="ops.linalg")
def cholesky_inverse(x, upper=False):
    """Inverse of the matrix whose Cholesky factor is ``x``, lower or ``upper`` (``keras.ops.cholesky_inverse``).

    >>> cholesky_inverse([[2.0, 0.0], [0.0, 1.0]]).tolist()
    [[0.25, 0.0], [0.0, 1.0]]
    """
    x = as_tensor(x)
    _square(x.shape)
    inverse = _solve_triangular(x, _eye_like(x), lower=not upper)
    return matmul(inverse, _adjoint(inverse)) if upper else matmul(_adjoint(inverse), inverse)


# ---- eigenvalues and eigenvectors
def _eigen_shapes(shape):
    return [_square(shape)[:-1], tuple(shape)]


def _eigh_gradient(g, y, x):
    (w, v), gv = y, _conjugate(g[1])
    inner = inverse_gaps(w) * matmul(_adjoint(v), gv) + _on_diagonal(g[0], v)
    return _conjugate(_hermitian(matmul(matmul(v, inner), _adjoint(v))))


@op(_eigen_shapes, [_eigh_gradient], real_at(0), module="ops.linalg", class_name="EighOfMatrices")
def _eigh(xp, x):
    w, v = xp.linalg.eigh(_symmetrised(xp, singles(xp, x)))
    return (w, v) if x.dtype.itemsize > 2 else (w.astype(x.dtype), v.astype(x.dtype))


@composite(module="ops.linalg", class_name="Eigh")
def eigh(x):
    """Eigenvalues, ascending, and eigenvectors (columns) of symmetric or Hermitian matrices (``keras.ops.eigh``).

    Of ``x``, shape ``(..., M, M)``, the symmetric part counts. Where eigenvalues are equal, only what does not hang on the choice
    of their vectors has a gradient.

    >>> eigh([[2.0, 0.0], [0.0, 1.0]])[0].tolist()
    [1.0, 2.0]
    """
    return tuple(_eigh(x))


def _eig_gradient(g, y, x):
    """C. Boeddeker et al., "On the computation of complex-valued gradients with application to beamforming" (2017)."""
    (w, v), (gw, gv) = y, (_conjugate(part) for part in g)
    vh = _adjoint(v)
    in_v = matmul(vh, gv)
    in_v = in_v - matmul(vh, v) * expand_dims(real(diagonal(in_v, 0, -2, -1)), -2)  # vectors keep their length
    inner = _conjugate(inverse_gaps(w)) * in_v + _on_diagonal(gw, v)
    slope = _conjugate(_solve(vh, matmul(inner, vh)))
    return slope if "complex" in x.dtype else cast(real(slope), x.dtype)


def _complex(dtypes, attrs):
    casts, common = floating(dtypes, attrs)
    return casts, promote_dtypes([common, "complex64"])


@op(_eigen_shapes, [_eig_gradient], _complex, module="ops.linalg", class_name="EigOfMatrices")
def _eig(xp, x):
    w, v = xp.linalg.eig(singles(xp, x))
    dtype = xp.complex128 if x.dtype.itemsize // (2 if x.dtype.kind == "c" else 1) == 8 else xp.complex64
    return w.astype(dtype), v.astype(dtype)


@composite(module="ops.linalg", class_name="Eig")
def eig(x):
    """Eigenvalues and eigenvectors (columns, of length 1) of square matrices, always complex (``keras.ops.eig``).

    >>> eig([[2.0, 0.0], [0.0, 1.0]])[0].tolist()
    [(2+0j), (1+0j)]
    """
    return tuple(_eig(x))


# ---- singular values
def _full_svd_shapes(shape):
    *lead, m, n = _matrix(shape)
    return [(*lead, m, m), (*lead, _smaller(m, n)), (*lead, n, n)]


def _full_svd_gradient(g, y, x):
    """Vectors beyond the singular values turn only with the others: what is asked of them is asked of these."""
    (gu, gs, gvt), (u, s, vt) = g, y
    k = s.shape[-1]
    (u1, u2), (gu1, gu2) = ((part[..., :k], part[..., k:]) for part in (u, gu))
    (vt1, vt2), (gvt1, gvt2) = ((part[..., :k, :], part[..., k:, :]) for part in (vt, gvt))
    gu1 = gu1 - matmul(u2, matmul(_transposed(gu2), u1))
    gvt1 = gvt1 - matmul(matmul(vt1, _transposed(gvt2)), vt2)
    return thin_svd_gradient((gu1, gs, gvt1), (u1, s, vt1), x)


@op(_full_svd_shapes, [_full_svd_gradient], real_at(1, of=3), module="ops.linalg", class_name="FullSVD")
def _full_svd(xp, x):
    return tuple(in_dtype(part, x.dtype) if x.dtype.itemsize == 2 else part for part in xp.linalg.svd(singles(xp, x)))


@composite(module="ops.linalg", class_name="SVD")
def svd(x, full_matrices=True, compute_uv=True):
    """Singular value decomposition ``x = u * s @ vt`` of matrices (``keras.ops.svd``): ``u``, ``s``, ``vt``.

    ``s`` falls. ``full_matrices``: ``u`` is ``(..., M, M)`` and ``vt`` ``(..., N, N)``; without, both have ``min(M, N)`` vectors.
    Without ``compute_uv`` only ``s``. Gradients are of real matrices.

    >>> svd([[3.0, 0.0], [0.0, 2.0]], compute_uv=False).tolist()
    [3.0, 2.0]
    """
    x = as_tensor(x)
    *_, m, n = _matrix(x.shape)
    if not compute_uv:
        return singular_values(x)
    return tuple((_full_svd if full_matrices and (m != n or m is None) else thin_svd)(x))


def _cutoff(xp, s, rcond, default):
    """Below which singular values count as 0: a part of the largest."""
    return s[..., :1] * s.dtype.type(default * float(xp.finfo(s.dtype).eps) if rcond is None else rcond)


@op(lambda shape, tol: _matrix(shape)[:-2], [None], to("int32"), module="ops.linalg", class_name="RankOf")
def _rank(xp, x, tol=None):
    s = xp.linalg.svd(singles(xp, x), compute_uv=False)
    return xp.sum(s > (_cutoff(xp, s, None, builtins.max(x.shape[-2:])) if tol is None else tol), axis=-1, dtype=xp.int32)


@composite(module="ops.linalg")
def matrix_rank(x, tol=None):
    """How many singular values exceed ``tol``, by default rounding errors of the largest (``keras.ops.matrix_rank``).

    >>> int(matrix_rank([[1.0, 2.0], [2.0, 4.0]]))
    1
    """
    x = as_tensor(x)
    return _rank(x if "float" in x.dtype or "complex" in x.dtype else cast(x, floating([x.dtype], {})[1]), tol=tol)


def _pinv_gradient(g, y, x, rcond, default):
    """G. Golub and V. Pereyra, "The differentiation of pseudo-inverses ..." (1973)."""
    p, ph, gh = y, _adjoint(y), _transposed(g)  # gh: the adjoint of the conjugate of g
    left, right = matmul(x, p), matmul(p, x)
    slope = -matmul(matmul(ph, _conjugate(g)), ph)
    slope = slope + matmul(gh - matmul(left, gh), matmul(p, ph))
    return _conjugate(slope + matmul(matmul(ph, p), gh - matmul(gh, right)))


@op(
    lambda shape, **attrs: (*_matrix(shape)[:-2], shape[-1], shape[-2]),
    [_pinv_gradient],
    floating,
    module="ops.linalg",
    class_name="PseudoInverse",
)
def _pinv(xp, x, rcond=None, default=10.0):
    u, s, vt = xp.linalg.svd(singles(xp, x), full_matrices=False)
    kept = s > _cutoff(xp, s, rcond, default * builtins.max(x.shape[-2:]))
    inverse = xp.where(kept, 1 / xp.where(kept, s, 1), 0).astype(s.dtype)
    y = xp.matmul(xp.conjugate(xp.swapaxes(vt, -1, -2)) * inverse[..., None, :], xp.conjugate(xp.swapaxes(u, -1, -2)))
    return in_dtype(y, x.dtype)


@composite(module="ops.linalg")
def pinv(x, rcond=None):
    """Moore and Penrose's inverse of matrices ``(..., M, N)``: shape ``(..., N, M)`` (``keras.ops.pinv``).

    Singular values up to ``rcond`` times the largest count as 0; by default ``10 * max(M, N)`` rounding errors. The gradient
    is, as JAX's, that of a matrix whose other singular values are 0 and stay so.

    >>> pinv([[2.0], [0.0]]).tolist()
    [[0.5, 0.0]]
    """
    return _pinv(x, rcond=rcond)


def _least_squares_gradients(g, y, a, b, rcond, default):
    p = _pinv(a, rcond=rcond, default=default)
    return [_pinv_gradient(matmul(g, _transposed(b)), p, a, rcond, default), matmul(_transposed(p), g)]


def _by_products(xp, a, b, cutoff):
    """The solution where surely no singular value of ``a`` is below ``cutoff`` of the largest; None where one may be, or is near it.

    Single precision's products are exact in double precision, and so the square of what an error grows by does no harm.
    """
    if a.dtype != xp.float32 or a.shape[0] < a.shape[1] or not a.size:
        return None
    a, b = a.astype(xp.float64), b.astype(xp.float64)
    square = xp.matmul(a.T, a)
    try:
        inverse = xp.linalg.inv(square)
    except ValueError:  # also NumPy's LinAlgError
        return None
    spread = xp.sum(square * square) * xp.sum(inverse * inverse)  # at least the largest to the least singular value, to the fourth
    return xp.matmul(inverse, xp.matmul(a.T, b)) if spread * builtins.max(cutoff, 1e-5) ** 4 < 1 else None


@op(
    lambda a, b, **attrs: (a[1], b[1]),
    _least_squares_gradients,
    floating,
    module="ops.linalg",
    class_name="LeastSquares",
)
def _least_squares(xp, a, b, rcond=None, default=1.0):
    dtype, a, b = b.dtype, singles(xp, a), singles(xp, b)
    cutoff = default * builtins.max(a.shape) * float(xp.finfo(a.dtype).eps) if rcond is None else rcond
    y = _by_products(xp, a, b, cutoff)
    return in_dtype(xp.matmul(_pinv.kernel(xp, a, rcond, default), b) if y is None else y, dtype)


@composite(module="ops.linalg")
def lstsq(a, b, rcond=None):
    """The ``x`` for which ``a @ x`` is closest to ``b``, the shortest of several (``keras.ops.lstsq``).

    ``a`` is one matrix ``(M, N)``, ``b`` ``(M,)`` or ``(M, K)``. Singular values below ``rcond`` times the largest count as 0.

    >>> [round(float(v), 4) for v in lstsq([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], [1.0, 3.0, 5.0])]
    [1.0, 2.0]
    """
    a, b = as_tensor(a), as_tensor(b)
    if a.ndim != 2:
        raise ValueError(f"`a` must be of rank 2, got shape {a.shape}")
    if b.ndim not in (1, 2):
        raise ValueError(f"`b` must be of rank 1 or 2, got shape {b.shape}")
    if None not in (a.shape[0], b.shape[0]) and a.shape[0] != b.shape[0]:
        raise ValueError(f"`a` and `b` need the same number of rows, got shapes {a.shape} and {b.shape}")
    attrs = {"rcond": rcond, "default": 1.0}
    if rcond is not None and rcond < 0:
        attrs = {"default": 1.0 / builtins.max(n or 1 for n in a.shape)}
    return _least_squares(a, b, **attrs) if b.ndim == 2 else squeeze(_least_squares(a, expand_dims(b, 1), **attrs), 1)


# ---- QR
def _qr_shapes(shape, mode):
    if mode not in ("reduced", "complete"):
        raise ValueError(f"`mode` {mode} is not supported. Expected one of {{'reduced', 'complete'}}.")
    *lead, m, n = _matrix(shape)
    k = _smaller(m, n) if mode == "reduced" else m
    return [(*lead, m, k), (*lead, k, n)]


def _qr_gradient(g, y, x, mode):
    """S. Walter and L. Lehmann, "Algorithmic differentiation of linear algebra functions" (2010), for a tall matrix; the columns
    that a wide one has beyond are products with ``q``; columns of ``q`` beyond those of ``x`` turn only with the others."""
    only_real(x, "qr")
    (q, r), (gq, gr), (m, n) = y, g, x.shape[-2:]
    k = builtins.min(m, n)
    rest, g_rest = q[..., k:], gq[..., k:]
    q, gq = q[..., :k], gq[..., :k]
    if rest.shape[-1]:
        gq = gq - matmul(rest, matmul(_transposed(g_rest), q))
    wide, g_wide = x[..., k:], gr[..., :k, k:]
    r, gr = r[..., :k, :k], gr[..., :k, :k]
    if n > k:
        gq = gq + matmul(wide, _transposed(g_wide))
    inner = matmul(r, _transposed(gr)) - matmul(_transposed(gq), q)
    inner = tril(inner) + _transposed(tril(inner, -1))
    slope = _transposed(_solve_triangular(r, _transposed(gq + matmul(q, inner))))
    return concatenate([slope, matmul(q, g_wide)], -1) if n > k else slope


@op(_qr_shapes, [_qr_gradient], floating, module="ops.linalg", class_name="QrFactors")
def _qr(xp, x, mode="reduced"):
    q, r = xp.linalg.qr(singles(xp, x), mode=mode)
    return in_dtype(q, x.dtype), in_dtype(r, x.dtype)


@composite(module="ops.linalg", class_name="Qr")
def qr(x, mode="reduced"):
    """Orthogonal ``q`` and upper triangular ``r`` with ``q @ r = x`` (``keras.ops.qr``).

    ``x`` is ``(..., M, N)``. ``mode`` "reduced": ``q`` has ``min(M, N)`` columns; "complete": M. Gradients are of real matrices.

    >>> q, r = qr([[3.0, 1.0], [4.0, 2.0]])
    >>> abs(round(float(r[0, 0]), 4))
    5.0
    """
    x = as_tensor(x)
    _qr_shapes(x.shape, mode)
    return tuple(_qr(x, mode=mode))


# ---- LU
def _lu_shapes(shape):
    *lead, m, n = _matrix(shape)
    return [tuple(shape), (*lead, _smaller(m, n))]


def _lu_dtypes(dtypes, attrs):
    casts, common = floating(dtypes, attrs)
    return casts, [common, "int32"]


def _permuted(shape, size, dtype):
    return (*shape[:-1], size, size)


@op(_permuted, [None], to_attribute, module="ops.linalg", class_name="PermutationOfPivots")
def _permutation(xp, pivots, size, dtype):
    """The matrix that exchanges rows as the pivots say."""
    lead, k = pivots.shape[:-1], pivots.shape[-1]
    count = math.prod(lead)
    batch, pivots = xp.arange(count), pivots.reshape(count, k)
    y = xp.zeros((count, size, size), dtype) + xp.eye(size, dtype=dtype)
    for j in range(k):
        _exchange(y, batch, j, pivots[:, j])
    return y.reshape(*lead, size, size)


def _exchange(a, batch, j, p):
    row = a[batch, p]
    a[batch, p] = a[:, j]
    a[:, j] = row


def _lu_gradient(g, y, x):
    """Of the square block first; what is beyond it is a product with the other factor's inverse."""
    g, (lu, pivots), (m, n) = g[0], y, x.shape[-2:]
    k = builtins.min(m, n)
    block, rows, columns = lu[..., :k, :k], lu[..., k:, :], lu[..., :, k:]
    lower_t, upper = _transposed(tril(block, -1) + _eye_like(block)), triu(block)
    g_lower, g_upper = tril(g[..., :k, :k], -1), triu(g[..., :k, :k])
    if m > k:
        g_rows = _transposed(_solve_triangular(upper, _transposed(g[..., k:, :])))
        g_upper = g_upper - triu(matmul(_transposed(rows), g_rows))
    if n > k:
        g_columns = _solve_triangular(lower_t, g[..., :, k:])
        g_lower = g_lower - tril(matmul(g_columns, _transposed(columns)), -1)
    inner = tril(matmul(lower_t, g_lower), -1) + triu(matmul(g_upper, _transposed(upper)))
    slope = _transposed(_solve_triangular(upper, _transposed(_solve_triangular(lower_t, inner))))
    if m > k:
        slope = concatenate([slope, g_rows], -2)
    if n > k:
        slope = concatenate([slope, g_columns], -1)
    return matmul(_transposed(_permutation(pivots, size=m, dtype=x.dtype)), slope)


@op(_lu_shapes, [_lu_gradient], _lu_dtypes, module="ops.linalg", class_name="LuFactors")
def _lu(xp, x):
    """Column by column with partial pivoting, all matrices of the batch at once."""
    *lead, m, n = x.shape
    count, k = math.prod(lead), builtins.min(m, n)
    a = singles(xp, x).reshape(count, m, n).copy()
    batch, pivots = xp.arange(count), xp.zeros((count, k), xp.int32)
    for j in range(k):
        p = xp.argmax(xp.abs(a[:, j:, j]), axis=1) + j
        pivots[:, j] = p
        _exchange(a, batch, j, p)
        pivot = a[:, j, j][:, None]
        below = xp.where(pivot == 0, a[:, j + 1 :, j], a[:, j + 1 :, j] / pivot)
        a[:, j + 1 :, j] = below
        a[:, j + 1 :, j + 1 :] -= below[:, :, None] * a[:, j, j + 1 :][:, None, :]
    return in_dtype(a, x.dtype).reshape(x.shape), pivots.reshape(*lead, k)


@composite(module="ops.linalg", class_name="LuFactor")
def lu_factor(x):
    """Factors of matrices with rows exchanged: ``x[rows] = L @ U`` (``keras.ops.lu_factor``).

    A pair: ``U`` on and above the diagonal and ``L``, whose diagonal is 1, below; and the pivots (int32): step ``i`` exchanged the
    rows ``i`` and ``pivots[i]``.

    >>> lu, pivots = lu_factor([[1.0, 2.0], [2.0, 2.0]])
    >>> lu.tolist(), pivots.tolist()
    ([[2.0, 2.0], [0.5, 1.0]], [1, 1])
    """
    return tuple(_lu(x))


# ---- determinants
def _cofactor_gradient(g, y, x):
    """From ``y = det * inverse.T``, without the inverse."""
    whole = expand_dims(sum(g * y, (-2, -1)), (-2, -1))
    return (whole * y - matmul(matmul(y, _transposed(g)), y)) / expand_dims(det(x), (-2, -1))


@op(_square, [_cofactor_gradient], floating, module="ops.linalg", class_name="Cofactors")
def _cofactors(xp, x):
    """The derivative of the determinant, also of singular matrices: products of all singular values but one."""
    u, s, vt = xp.linalg.svd(singles(xp, x))
    others = xp.prod(xp.where(xp.eye(s.shape[-1], dtype=bool), 1, s[..., None, :]), axis=-1)
    sign = (xp.linalg.det(u) * xp.linalg.det(vt))[..., None, None]
    return in_dtype(sign * xp.matmul(xp.conjugate(u) * others[..., None, :], xp.conjugate(vt)), x.dtype)


@op(
    lambda shape: _square(shape)[:-2],
    [lambda g, y, x: expand_dims(g, (-2, -1)) * _cofactors(x)],
    floating,
    module="ops.linalg",
)
def det(xp, x):
    """Determinant of square matrices (``keras.ops.det``). Second derivatives are of matrices that have an inverse.

    >>> round(float(det([[1.0, 2.0], [3.0, 4.0]])), 4)
    -2.0
    """
    return in_dtype(xp.linalg.det(singles(xp, x)), x.dtype)


def _slogdet_gradient(g, y, x):
    slope = g[1]
    if "complex" in x.dtype:
        slope = slope - 1j * real(1j * g[0] * y[0])  # the sign turns with the imaginary part of the logarithm
    return expand_dims(slope, (-2, -1)) * _transposed(inv(x))


@op(lambda shape: [_square(shape)[:-2]] * 2, [_slogdet_gradient], real_at(1), class_name="SignAndLogDeterminant")
def _slogdet(xp, x):
    sign, logarithm = xp.linalg.slogdet(singles(xp, x))
    return (sign, logarithm) if x.dtype.itemsize > 2 else (sign.astype(x.dtype), logarithm.astype(x.dtype))


@composite
def slogdet(x):
    """Sign and logarithm of the size of the determinant, which itself may overflow (``keras.ops.slogdet``).

    >>> [float(part) for part in slogdet([[0.0, 1.0], [1.0, 0.0]])]
    [-1.0, 0.0]
    """
    return tuple(_slogdet(x))


@composite(module="ops.math")
def logdet(x):
    """Logarithm of the determinant of positive definite matrices (``keras.ops.logdet``).

    >>> float(logdet([[1.0, 0.0], [0.0, 1.0]]))
    0.0
    """
    return _slogdet(x)[1]
