"""Products, contractions, norms, correlation."""

import math

from tests.conformance.driver import A, case, row

ROWS = [
    row("ops.cdist", case(A(3, 2), A(4, 2)), case(A(2, 3, 4), A(1, 2, 4)), tol=1e-4),
    row("ops.corrcoef", case(A(3, 5)), case(A(6)), case(A(3, 4, dtype="int32")), grad=True, tol=1e-4),
    row(
        "ops.correlate",
        *[case(A(n), A(m), mode=mode) for mode in ("valid", "same", "full") for n, m in ((5, 3), (2, 5), (4, 4))],
        case(A(5, dtype="int32"), A(2, dtype="int32")),
    ),
    row(
        "ops.cross",
        case(A(3), A(3)),
        case(A(4, 3), A(3)),
        case(A(4, 2), A(4, 2)),
        case(A(4, 3), A(4, 2)),
        case(A(2, 4), A(3, 4), axis=0),
        case(A(3, 4), A(4, 3), axisa=0, axisb=1, axisc=0),
    ),
    row(
        "ops.dot",
        case(A(3), A(3)),
        case(A(2, 3), A(3)),
        case(A(2, 3), A(3, 4)),
        case(A(2, 2, 3), A(4, 3, 2)),
        case(A(2, 3, 4), A(4)),
        case(A(), A(2)),
        case(A(2, 2, dtype="int8"), A(2, 2, dtype="int8")),
    ),
    row(
        "ops.einsum",
        *[
            case(subscripts, A(2, 3), A(3, 4))
            for subscripts in ("ij,jk->ik", "ij,jk", "ij,jk->ki", "ij,jk->i", "ij,jk->", "ij,jk->ijk", "ij,kl->ik")
        ],
        case("ii", A(3, 3)),
        case("ii->i", A(3, 3)),
        case("iij->ji", A(3, 3, 2)),
        case("ij->j", A(2, 3)),
        case("ij->ji", A(2, 3)),
        case("bij,bjk->bik", A(2, 3, 4), A(2, 4, 5)),
        case("...ij,...jk->...ik", A(2, 1, 3, 4), A(5, 4, 2)),
        case("...i->...", A(2, 3)),
        case("i...,i...", A(2, 3), A(2, 3)),
        case("btnh,bsnh->bnts", A(2, 3, 2, 4), A(2, 5, 2, 4)),
        case("ij,j,jk->ik", A(2, 3), A(3), A(3, 2)),
        case("ab,bc,cd,da->", A(2, 3), A(3, 4), A(4, 2), A(2, 2)),
        case("ii,ij->j", A(3, 3), A(3, 2)),
        case(",i->i", A(), A(3)),
        case("i,i->i", A(3), A(3)),
        case("i,j->ij", A(3), A(2)),
        case("ij,jk->ik", A(2, 3, dtype="int8"), A(3, 4, dtype="int8")),
        case("ij,jk->ik", A(2, 3, dtype="int32"), A(3, 4)),
        tol=1e-4,
    ),
    row("ops.inner", case(A(3), A(3)), case(A(2, 3), A(4, 3)), case(A(2, 2, 3), A(3)), case(A(), A(3))),
    row("ops.kron", case(A(2), A(3)), case(A(2, 3), A(3, 2)), case(A(2), A(2, 2)), case(A(2, 1, 2), A(2, 3))),
    row(
        "ops.matmul",
        case(A(2, 3), A(3, 4)),
        case(A(3), A(3)),
        case(A(3), A(3, 4)),
        case(A(2, 3), A(3)),
        case(A(5, 2, 3), A(3, 4)),
        case(A(2, 3), A(5, 3, 4)),
        case(A(5, 1, 2, 3), A(4, 3, 2)),
        case(A(3), A(2, 3, 4)),
        case(A(2, 4, 3), A(3)),
        case(A(2, 3, dtype="int8"), A(3, 2, dtype="int8")),
        case(A(2, 3, dtype="int8"), A(3, 2, dtype="uint8")),
        case(A(2, 3, dtype="bool"), A(3, 2, dtype="bool")),
        case(A(2, 3, dtype="int32"), A(3, 2)),
        zero_size=False,
    ),
    *[
        row(
            name,
            case(A(2, 3)),
            case(A(2, 3, 4)),
            *[case(A(2, 3), ord=ord, axis=1) for ord in (None, 1, 2, 3, -1, -2, 0.5, math.inf, -math.inf, 0)],
            *[case(A(2, 3, 4), ord=ord, axis=(0, 2), keepdims=True) for ord in ("fro", 1, -1, math.inf, -math.inf)],
            case(A(3, 2), ord=1),
            case(A(4, dtype="int32", low=1, high=5)),
            tol=1e-4,
        )
        for name in ("ops.norm", "ops.linalg.norm")
    ],
    row("ops.outer", case(A(2), A(3)), case(A(2, 2), A(3))),
    row(
        "ops.tensordot",
        case(A(2, 3, 4), A(3, 4, 5)),
        case(A(2, 3), A(3, 2), axes=1),
        case(A(2, 3), A(4, 3), axes=[[1], [1]]),
        case(A(2, 3), A(4), axes=0),
        case(A(2, 3, 4), A(4, 2, 3), axes=((0, 2), (1, 0))),
        case(A(2, 3), A(3, 2), axes=[0, 1]),
    ),
    row("ops.vdot", case(A(3), A(3)), case(A(2, 3), A(2, 3))),
]
