"""Settings for all tests: real Keras on JAX is the oracle, on the CPU."""

import os
import pathlib

import hypothesis
import pytest

from kerasish import config
from kerasish.backend.autodiff import state

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# most of the oracle's time goes into compiling: compile lightly, and keep what was compiled for the next run
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parents[1] / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
config.set_backend("numpy")  # also where there is a GPU: tests that want it say so
pytest.register_assert_rewrite("tests.conformance.driver", "tests.conformance.layer_driver")

# no time limits (a busy machine is no fault of the code), and the same examples in every run of CI
hypothesis.settings.register_profile("kerasish", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("kerasish")


@pytest.fixture(autouse=True)
def fresh_names():
    """Automatic names start anew in every test: what a test sees doesn't hang on which ones ran before it in its process."""
    state._taken.clear()
