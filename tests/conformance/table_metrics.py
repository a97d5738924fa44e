"""Metric functions that are no losses."""

from tests.conformance.driver import A, case, row

_T = A(4, 6)
_P = A(4, 6, low=-2, high=2)
_ONE_HOT = A(4, 6, low=0, high=1)
_CLASS = A(4, dtype="int32", low=0, high=6)

ROWS = [
    row(
        "metrics.binary_accuracy",
        case(A(4, 3, dtype="int32", low=0, high=2), A(4, 3, low=0, high=1)),
        case(_P, _T, threshold=0.1),
        grad=False,
    ),
    row("metrics.categorical_accuracy", case(_ONE_HOT, _P), case(A(2, 3, 4), A(2, 3, 4)), grad=False, nodtype=True),
    row("metrics.sparse_categorical_accuracy", case(_CLASS, _P), case(A(4, 1, dtype="int32", low=0, high=6), _P), grad=False),
    row("metrics.top_k_categorical_accuracy", case(_ONE_HOT, _P), case(A(2, 3, 6), A(2, 3, 6), k=2), grad=False, nodtype=True),
    row(
        "metrics.sparse_top_k_categorical_accuracy",
        case(_CLASS, _P, k=2),
        case(A(2, 3, dtype="int32", low=0, high=6), A(2, 3, 6), k=3),
        case(_CLASS, A(4, 6, dtype="int32", low=0, high=6), k=2, from_sorted_ids=True),
        grad=False,
    ),
    row("metrics.pearson_correlation", case(_T, _P), case(_T, _P, axis=0)),
    row("metrics.concordance_correlation", case(_T, _P), case(_T, _P, axis=0)),
]
