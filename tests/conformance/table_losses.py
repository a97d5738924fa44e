"""Loss functions."""

from tests.conformance.driver import A, case, row

_T = A(4, 3, low=-2, high=2)
_P = A(4, 3, low=2.1, high=3)
_BIT = A(4, 3, dtype="int32", low=0, high=2)
_SHARE = A(4, 3, low=0.1, high=0.9)
_CLASS = A(4, dtype="int32", low=0, high=3)

ROWS = [
    row("losses.mean_squared_error", case(_T, _P), case(A(4), A(4, 1)), case(A(2, 3, 4), A(2, 3, 4)), zero_size=True),
    row("losses.mean_absolute_error", case(_T, _P), zero_size=True),
    row("losses.mean_absolute_percentage_error", case(A(4, 3, low=1, high=2), _P), zero_size=True),
    row("losses.mean_squared_logarithmic_error", case(A(4, 3, low=0.5, high=2), _P), zero_size=True),
    row("losses.huber", case(A(4, 3), A(4, 3)), case(A(4, 3, low=5, high=6), _P, delta=0.5), zero_size=True),
    row("losses.log_cosh", case(_T, _P), zero_size=True),
    row("losses.cosine_similarity", case(_T, _P), case(_T, _P, axis=0)),
    row("losses.hinge", case(A(4, 3, low=0.2, high=0.4), A(4, 3)), case(_BIT, A(4, 3, low=-0.9, high=0.9)), zero_size=True),
    row("losses.squared_hinge", case(A(4, 3, low=0.2, high=0.4), A(4, 3)), case(_BIT, A(4, 3)), zero_size=True),
    row("losses.categorical_hinge", case(A(4, 3, low=0.2, high=0.4), A(4, 3)), zero_size=True),
    row("losses.kl_divergence", case(_SHARE, A(4, 3, low=0.2, high=0.8)), zero_size=True),
    row("losses.poisson", case(A(4, 3, low=0, high=4), _P), zero_size=True),
    row(
        "losses.binary_crossentropy",
        case(_BIT, _SHARE),
        case(_BIT, _T, from_logits=True),
        zero_size=True,
    ),
    row("losses.binary_crossentropy", case(_SHARE, A(4, 3, low=0.2, high=0.8), label_smoothing=0.1, axis=0)),
    row(
        "losses.binary_focal_crossentropy",
        case(_BIT, _SHARE),
        case(_BIT, _T, from_logits=True, gamma=1.5),
        case(_BIT, _SHARE, apply_class_balancing=True, alpha=0.3, label_smoothing=0.1),
    ),
    row(
        "losses.categorical_crossentropy",
        case(_SHARE, A(4, 3, low=0.2, high=0.8)),
        case(_SHARE, _T, from_logits=True, label_smoothing=0.1),
        case(A(2, 3, 4, low=0.1, high=0.9), A(2, 3, 4, low=0.2, high=0.8), axis=1),
    ),
    row(
        "losses.categorical_focal_crossentropy",
        case(_SHARE, A(4, 3, low=0.2, high=0.8)),
        case(_SHARE, _T, from_logits=True, alpha=0.5, gamma=1.5),
    ),
    row(
        "losses.sparse_categorical_crossentropy",
        case(_CLASS, _SHARE),
        case(_CLASS, _T, from_logits=True, ignore_class=1),
        case(A(4, 1, dtype="int32", low=0, high=3), _SHARE),
    ),
    row("losses.categorical_generalized_cross_entropy", case(_CLASS, _SHARE, q=0.5)),
    row("losses.dice", case(_BIT, _SHARE), case(_SHARE, A(4, 3, low=0.2, high=0.8), axis=1)),
    row("losses.tversky", case(_BIT, _SHARE, alpha=0.3, beta=0.6), case(_SHARE, A(4, 3, low=0.2, high=0.8), axis=0)),
    row("losses.circle", case(_CLASS, A(4, 3, low=0.1, high=0.5), gamma=2.0), tol=1e-4),
    row("losses.ctc", case(A(4, 2, dtype="int32", low=1, high=3), A(4, 6, 3)), tol=1e-4),
]
