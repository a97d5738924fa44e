"""What the table has not: a case worked out by hand, and errors."""

import numpy as np
import pytest

from kerasish import ops


def test_ctc_decode_finds_what_other_paths_add_up_to():
    """Greedy takes blank, blank (0.36); label 1 is likelier: 0.24 + 0.24 + 0.16."""
    logits = np.log(np.array([[[0.6, 0.4], [0.6, 0.4]]], "float32"))
    assert ops.ctc_decode(logits, [2])[0].tolist() == [[[-1, -1]]]
    labels, scores = ops.ctc_decode(logits, [2], strategy="beam_search", beam_width=5, top_paths=3)
    assert labels.tolist() == [[[1, -1]], [[-1, -1]], [[-1, -1]]]
    np.testing.assert_allclose(np.exp(scores), [[0.64, 0.36, 0.0]], atol=1e-6)
    with pytest.raises(ValueError, match="Invalid strategy"):
        ops.ctc_decode(logits, [2], strategy="none")
