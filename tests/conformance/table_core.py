"""Casting, branches, loops."""

import numpy as np

from tests.conformance.driver import A, case, row


def _pair(carry, x):
    return carry + x, carry * x


ROWS = [
    row(
        "ops.associative_scan",
        *[case(lambda a, b: a * b, A(n, 2, low=0.5)) for n in (1, 2, 5, 8)],
        case(lambda a, b: a + b, A(2, 7), reverse=True, axis=1),
        case(lambda a, b: [a[0] + b[0], a[1] * b[1]], [A(3), A(3)]),
    ),
    row(
        "ops.cast",
        case(A(2, 3), "float16"),
        case(A(2, 3, low=0, high=9), "int32"),
        case(A(3, dtype="int32"), "bool"),
        case(A(3, dtype="bool"), "float32"),
        grad=False,
        nodtype=True,
    ),
    row("ops.cond", case(True, lambda: 1.5, lambda: 2.0), case(A(dtype="bool"), lambda: 1.5, lambda: 2.5)),
    row("ops.convert_to_numpy", case(A(2, 3)), case([1.0, 2.0]), grad=False, symbolic=False, strict=False),
    row("ops.custom_gradient", reference=lambda f: f, symbolic=False),
    row(
        "ops.dtype",
        case(A(2)),
        case(A(2, dtype="int8")),
        grad=False,
        nodtype=True,
        reference=lambda x: np.asarray(str(x.dtype)),
    ),
    row(
        "ops.fori_loop",
        case(0, 3, lambda i, x: x * 2.0 + 1.0, A(2)),
        case(1, 4, lambda i, x: x * x, A(2)),
        case(2, 2, lambda i, x: x * x, A(2)),
    ),
    row("ops.is_tensor", case(A(2)), case(1.5), grad=False),
    row("ops.map", case(lambda x: x * x, A(3, 2)), case(lambda x: {"a": x[0] + x[1], "b": x[0] * 2.0}, (A(3), A(3)))),
    row(
        "ops.saturate_cast",
        case(A(9, low=-300, high=300), "uint8"),
        case(A(9, low=-1e10, high=1e10), "int32"),
        case(A(9, low=-1e5, high=1e5), "float16"),
        case(A(9, dtype="int32", low=-300, high=300), "int8"),
        case(np.array([np.inf, -np.inf, np.nan], "float32"), "int8"),
        case(A(4, dtype="bool"), "float32"),
        grad=False,
        nodtype=True,
    ),
    row(
        "ops.scan",
        case(_pair, A(), A(5)),
        case(_pair, A(2), A(3, 2), reverse=True),
        case(lambda c, x: (c * 2.0, c), A(2), length=3),
        case(lambda c, x: (c + x["a"], x["a"]), A(), {"a": A(3)}),
        case(_pair, A(), A(3), unroll=True),
    ),
    row("ops.shape", case(A(2, 3)), case(A()), grad=False),
    row("ops.stop_gradient", case(A(2, 3)), grad=False),
    row(
        "ops.switch",
        *[case(i, [lambda x, y: x + y, lambda x, y: x * y], A(2), A(2)) for i in (-1, 0, 1, 5)],
        case(A(dtype="int32", low=1, high=2), [lambda x: x, lambda x: x * x], A(3)),
    ),
    row("ops.vectorize", symbolic=False),
    row("ops.vectorized_map", case(lambda x: x * x, A(3, 2)), case(lambda e: e[0] + e[1], [A(3, 2), A(3, 2)])),
    row(
        "ops.while_loop",
        case(lambda x: x[0] < 10.0, lambda x: x * 2.0, A(2, low=0.5)),
        case(lambda i, x: i < 3, lambda i, x: (i + 1, x * x), (0, A(2))),
        case(lambda x: x[0] < 10.0, lambda x: x + 1.0, A(2), maximum_iterations=2),
    ),
]
