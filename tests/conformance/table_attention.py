"""Attention."""

from tests.conformance.driver import A, case, row

Q, K, V = A(2, 3, 4, 6), A(2, 5, 4, 6), A(2, 5, 4, 6, low=-2.0, high=2.0)

ROWS = [
    row(
        "ops.dot_product_attention",
        case(Q, K, V),
        case(Q, K, V, scale=0.3),
        case(Q, K, V, bias=A(2, 4, 3, 5)),
        case(Q, K, V, A(1, 1, 3, 5), A(2, 4, 3, 5, dtype="bool")),
        case(Q, K, V, mask=A(2, 1, 1, 5, dtype="bool"), flash_attention=False),
        case(Q, K, V, is_causal=True),
        case(Q, Q, Q, None, A(2, 1, 3, 3, dtype="bool"), 0.5, True),
        case(Q, A(2, 5, 2, 6), A(2, 5, 2, 6, low=-2.0, high=2.0)),  # two query heads share a key head
        case(Q, A(2, 5, 1, 6), A(2, 5, 1, 6, low=-2.0, high=2.0), mask=A(2, 4, 3, 5, dtype="bool"), is_causal=True),
        case(A(2, 3, 1, 4), A(2, 1, 1, 4), A(2, 1, 1, 4)),  # a softmax over one key warns nobody
        zero_size=True,
    ),
    row("ops.dot_product_attention", case(Q, K, V, mask=A(3, 5, dtype="bool"))),
]
