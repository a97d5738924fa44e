"""Settings for all tests: real Keras on JAX is the oracle, on the CPU."""

import os

import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
pytest.register_assert_rewrite("tests.conformance.driver", "tests.conformance.layer_driver")
