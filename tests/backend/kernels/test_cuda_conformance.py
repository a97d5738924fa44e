"""The conformance table through plans whose kernels are CUDA C: every source compiles for a device and, run on the processor, gives
what the eager step gives, gradients included. What no CUDA kernel takes runs on NumPy here, as it would on CuPy there."""

import contextlib
import warnings

import numpy as np
import pytest

import kerasish
from tests.backend.kernels import cuda_host as host
from tests.backend.kernels import nvrtc
from tests.backend.kernels.cuda_plans import Collected, on_host
from tests.conformance import driver
from tests.conformance.test_ops import ROWS

_CASES = [(f"{row.name}-{i}", row, case) for row in ROWS if row.name.startswith(("ops.", "random.")) for i, case in enumerate(row.cases[:3])]
CASES = [(name, row, case, special) for name, row, case in _CASES if driver.arrays_of(case)
         for special in ([False, True] if row.special and case is row.cases[0] else [False])]  # fmt: skip


def arrays_for(case, special):
    """The arrays of a case, with NaN and infinities among their numbers where they are ``special``."""
    return [driver.with_special_values(a, i) if special else a.make(i) for i, a in enumerate(driver.arrays_of(case))]


def outcome(row, case, special, wrap):
    """What a case gives, gradients included."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # some run eagerly
        return driver.outcome(wrap(driver.with_slopes(row, case, special)), arrays_for(case, special))


@pytest.fixture(scope="module")
def sources():
    """All that the table needs."""
    found = set()
    with on_host(found):
        for _, row, case, special in CASES:
            with contextlib.suppress(Collected):
                outcome(row, case, special, kerasish.function)
    return found


@pytest.mark.skipif(nvrtc.library() is None, reason="needs NVRTC: pip install nvidia-cuda-nvrtc-cu12")
def test_sources_compile_for_a_device(sources):
    assert len(sources) > 300
    nvrtc.compile_all(sources)


@pytest.mark.skipif(not host.available(), reason="g++ compiles the sources for the processor")
def test_values_and_gradients(sources):
    host.prepare(sources)
    for name, row, case, special in CASES:
        expected = outcome(row, case, special, lambda function: function)
        with on_host():
            found = outcome(row, case, special, kerasish.function)
        half = not isinstance(expected, type) and any(getattr(a, "dtype", None) == "float16" for a in expected)
        driver.agree(f"{name} in CUDA C", found, expected, max(row.tol, 4e-3 if half else 1e-4), 2e-3 if half else 1e-5)
