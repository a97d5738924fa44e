"""Rows of the connectionist temporal classification ops."""

import numpy as np

from tests.conformance.driver import A, case, row

LABELS = np.array([[1, 1, 2], [3, 1, 0], [2, 0, 0], [0, 0, 0]], "int32")
ROWS = [
    row("ops.ctc_loss", case(LABELS, A(4, 7, 4), np.array([3, 2, 1, 0]), np.array([7, 6, 7, 5])),
        case(LABELS, A(4, 5, 5), np.array([3, 2, 1, 1]), np.array([5, 5, 4, 5]), mask_index=4), tol=1e-4, nodtype=False),
    row("ops.ctc_decode", case(A(4, 7, 4, low=-3.0, high=3.0), np.array([7, 6, 3, 1])),
        case(A(4, 7, 3, low=-3.0, high=3.0), np.array([7, 6, 3, 1]), merge_repeated=False, mask_index=None),
        case(A(3, 6, 4, low=-3.0, high=3.0), np.array([6, 4, 1]), strategy="beam_search", beam_width=4, top_paths=3),
        case(A(3, 6, 4, low=-3.0, high=3.0), np.array([6, 4, 2]), "beam_search", 20, 2, mask_index=3), grad=False, nodtype=True),
]  # fmt: skip
