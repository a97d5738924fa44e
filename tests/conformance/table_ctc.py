"""Rows of the connectionist temporal classification ops."""

import numpy as np

from tests.conformance.driver import A, case, row

LABELS = np.array([[1, 1, 2], [3, 1, 0], [2, 0, 0], [0, 0, 0]], "int32")
ROWS = [
    row("ops.ctc_loss", case(LABELS, A(4, 7, 4), np.array([3, 2, 1, 0]), np.array([7, 6, 7, 5])),
        case(LABELS, A(4, 5, 5), np.array([3, 2, 1, 1]), np.array([5, 5, 4, 5]), mask_index=4), tol=1e-4, nodtype=False),
]  # fmt: skip
