"""Moments, normalizations, and the ops of ``ops.nn`` that belong to no family."""

from tests.conformance.driver import A, case, row

X = A(3, 4, low=-2.0, high=2.0)
CUBE = A(2, 3, 4, low=-2.0, high=2.0)
V = A(4, low=0.5, high=1.5)

ROWS = [
    row(
        "ops.moments",
        case(X, axes=[0]),
        case(X, axes=[-1], keepdims=True),
        case(CUBE, (0, 1)),
        case(CUBE, (1, 2)),
        case(CUBE, (0, 2), keepdims=True),
        case(CUBE, [1]),
        case(CUBE, (0, 1, 2)),
        case(A(3, 4, dtype="float16"), axes=[0]),
    ),
    row(
        "ops.batch_normalization",
        case(X, A(4), V, -1),
        case(X, A(4), V, axis=1, offset=A(4), scale=A(4), epsilon=0.1),
        case(CUBE, A(3), A(3, low=0.5, high=1.5), 1, offset=A(3)),
        case(CUBE, A(2), A(2, low=0.5, high=1.5), 0, scale=A(2)),
        case(A(2, 3, 4, 5), A(3), A(3, low=0.5, high=1.5), 1, A(3), A(3)),
    ),
    row(
        "ops.layer_normalization",
        case(X),
        case(X, A(4), A(4)),
        case(CUBE, A(4), epsilon=1e-3),
        case(CUBE, beta=A(4), epsilon=1e-3),
        case(CUBE, A(3), A(3), axis=1),
        case(CUBE, A(3, 4), A(3, 4), axis=(1, 2)),
        case(CUBE, A(3, 4), axis=[-1, -2]),
        case(CUBE, A(1, 3, 1), A(1, 3, 1), axis=1),
        case(CUBE, axis=(0, 2)),
    ),
    row(
        "ops.rms_normalization",
        case(X),
        case(X, A(4)),
        case(CUBE, A(4), axis=-1, epsilon=1e-3),
        case(CUBE, axis=(1, 2)),
        case(CUBE, axis=1),
        case(CUBE, A(3, 4), axis=[1, 2]),
    ),
    row(
        "ops.normalize",
        case(X),
        case(X, axis=0),
        case(CUBE, axis=(1, 2)),
        case(X, order=1),
        case(CUBE, 1, 3),
        case(A(3, 4, low=-0.1, high=0.1), epsilon=5.0),
        case(A(3, 4, low=-0.1, high=0.1), order=3, epsilon=5.0),
    ),
    row(
        "ops.psnr",
        case(CUBE, A(2, 3, 4), 2.0),
        case(CUBE, A(2, 3, 4), max_val=255),
    ),
    row(
        "ops.polar",
        case(A(3, low=0.5, high=2.0), A(3)),
        case(A(2, 3), A(3)),
        grad=False,  # of complex numbers: see tests/ops/test_normalization.py
    ),
]
