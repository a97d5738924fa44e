"""Fourier transforms, sequences, complex numbers as pairs."""

import numpy as np

from tests.conformance.driver import A, case, row

WINDOW = np.linspace(0.5, 1.5, 4).astype("float32")
ROWS = [
    row("ops.extract_sequences", case(A(7), 3, 2), case(A(2, 3, 9), 4, 1), case(A(9), 2, 4), case(A(2, 5), 5, 3)),
    row("ops.fft", case((A(5), A(5))), case((A(2, 4), A(2, 4))), tol=1e-4),
    row("ops.fft2", case((A(3, 4), A(3, 4))), case((A(2, 3, 5), A(2, 3, 5))), tol=1e-4),
    row("ops.ifft2", case((A(3, 4), A(3, 4))), case((A(2, 3, 5), A(2, 3, 5))), tol=1e-4),
    row("ops.rfft", case(A(5)), case(A(2, 6)), case(A(6), 4), case(A(2, 5), fft_length=8), case(A(5), 5), case(A(6, dtype="int32")), tol=1e-4),
    row("ops.irfft", case((A(4), A(4))), case((A(2, 4), A(2, 4)), 7), case((A(4), A(4)), fft_length=4), case((A(3), A(3)), 9), tol=1e-4),
    row(
        "ops.stft",
        case(A(20), 4, 2, 4),
        case(A(2, 20), 5, 3, 8),
        case(A(20), 4, 2, 8, window="hamming", center=False),
        case(A(20), 4, 3, 5, window=None),
        case(A(20), 4, 3, 5, window=WINDOW),
        tol=1e-4,
        nodtype=True,
    ),
    row(
        "ops.istft",
        case((A(9, 3), A(9, 3)), 4, 2, 4),
        case((A(2, 9, 5), A(2, 9, 5)), 5, 3, 8),
        case((A(9, 5), A(9, 5)), 4, 2, 8, window="hamming", center=False),
        case((A(9, 3), A(9, 3)), 4, 2, 4, length=11),
        case((A(9, 3), A(9, 3)), 4, 2, 4, window=None),
        case((A(9, 3), A(9, 3)), 4, 3, 5, window=WINDOW),
        tol=1e-4,
        nodtype=True,
    ),
    row("ops.view_as_complex", case(A(3, 2)), case(A(2, 3, 2)), grad=False),
    row("ops.view_as_real", case(A(3)), case(A(2, 3)), grad=False),
]
