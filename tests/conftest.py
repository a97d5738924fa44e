"""Settings for all tests: real Keras on JAX is the oracle, on the CPU."""

import os
import pathlib
import zlib

import hypothesis
import numpy as np
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


_PRECISION = {name: os.environ.get(name) for name in ("KERASISH_TF32", "CUPY_TF32")}


@pytest.fixture(autouse=True)
def precision_of_products():
    """Scripts and CuPy's arrays say by the environment whether TF32 may be used: every test finds what was set for all of them."""
    for name, value in _PRECISION.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture(autouse=True)
def fresh_names():
    """Automatic names start anew in every test: what a test sees doesn't hang on which ones ran before it in its process."""
    state._taken.clear()


@pytest.fixture(autouse=True)
def same_numbers_in_any_order(request):
    """Generators that a module of tests has begin anew in every test: its numbers don't hang on which tests ran before it."""
    seed = zlib.crc32(request.node.nodeid.encode())  # of each test its own, so that none meets the numbers made at import again
    for value in vars(getattr(request.node, "module", object)).values():  # doctests have none
        if isinstance(value, np.random.RandomState):
            value.seed(seed)
        elif isinstance(value, np.random.Generator):
            value.bit_generator.state = type(value.bit_generator)(seed).state
