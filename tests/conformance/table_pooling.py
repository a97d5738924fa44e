"""Pools."""

from tests.conformance.driver import A, case, row

POOLS = (  # always with strides: Keras on JAX fails without
    case(A(2, 8, 3), 2, 2),
    case(A(2, 7, 3), 3, 2, "same"),
    case(A(2, 3, 7), 3, strides=1, data_format="channels_first"),
    case(A(2, 6, 8, 3), 2, 2),
    case(A(2, 7, 6, 3), (3, 2), (2, 2), padding="SAME"),
    case(A(2, 7, 6, 3), 3, strides=2),
    case(A(2, 7, 6, 3), 3, strides=(2, 1), padding="same"),
    case(A(2, 7, 6, 3), (2, 1), strides=3, padding="valid", data_format="channels_last"),
    case(A(2, 7, 6, 3), 1, strides=2),
    case(A(2, 7, 6, 3), 1, strides=1),
    case(A(2, 3, 7, 6), 2, 2, padding="same", data_format="channels_first"),
    case(A(2, 4, 5, 6, 2), 2, 2),
    case(A(1, 4, 5, 6, 2), (3, 2, 2), strides=(2, 2, 1), padding="same"),
    case(A(1, 2, 4, 5, 6), 2, 2, data_format="channels_first"),
)
ADAPTIVE = (
    case(A(2, 8, 3), (3,)),
    case(A(2, 3, 7), 4, data_format="channels_first"),
    case(A(2, 7, 6, 3), (3, 4)),
    case(A(2, 5, 6, 3), 1),
    case(A(2, 3, 7, 5), (4, 2), "channels_first"),
    case(A(1, 4, 5, 6, 2), (2, 3, 4)),
    case(A(1, 2, 4, 5, 6), 3, data_format="channels_first"),
)

ROWS = [
    row("ops.max_pool", *POOLS, zero_size=True),
    row("ops.average_pool", *POOLS, zero_size=True),
    row("ops.adaptive_average_pool", *ADAPTIVE, zero_size=True),
    row("ops.adaptive_max_pool", *ADAPTIVE, zero_size=True),
]
