"""What holds for all tests on a GPU."""

import pytest


@pytest.fixture(autouse=True)
def full_precision(monkeypatch):
    """Products of float32 in full precision, whatever was said for others."""
    for name in ("KERASISH_TF32", "CUPY_TF32"):
        monkeypatch.setenv(name, "0")
