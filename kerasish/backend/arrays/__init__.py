"""The array libraries that kerasish runs on, and which of them is active. Kernels get the active one as ``xp``."""

import glob
import importlib.util
import os
import sys
import warnings

import kerasish.config as config
from kerasish.backend.arrays.base import Arrays as Arrays
from kerasish.backend.arrays.cupy import CupyArrays
from kerasish.backend.arrays.numpy import NumpyArrays

_LIBRARIES = {"numpy": NumpyArrays, "cupy": CupyArrays}


class _Active:
    """Holder of the active library: ops read ``active.xp`` at every call, so that it can be switched."""

    xp: Arrays = NumpyArrays()


active = _Active()


def use(arrays):
    """Run on the given :class:`Arrays` from now on; returns the ones used before."""
    before, active.xp = active.xp, arrays
    config._settings["backend"] = arrays.name
    config._changes.count += 1
    return before


def is_array(x):
    """Whether ``x`` is an array of the active library."""
    return isinstance(x, active.xp.array_types)


def has_gpu():
    """Whether there seem to be CuPy and a GPU of NVIDIA, without importing anything: that alone would take a second."""
    driver = glob.glob("/dev/nvidia[0-9]*") or os.path.exists("/dev/dxg") or (os.name == "nt" and _on_windows())
    return bool(driver) and importlib.util.find_spec("cupy") is not None


def _on_windows():
    return os.path.exists(os.path.join(os.environ.get("SYSTEMROOT", ""), "System32", "nvcuda.dll"))


def _is_worker():
    """Whether this process was started by multiprocessing, as those that load data are: it takes no GPU by itself."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def _start():
    """Use what ``KERASISH_BACKEND`` names; where it names nothing CuPy if there is a GPU for it, and NumPy otherwise."""
    named = config.backend()
    config._settings["backend"] = "numpy"
    if named == "cupy":
        use(CupyArrays())
    elif named is None and has_gpu() and not _is_worker():
        try:
            use(CupyArrays())
        except (ImportError, RuntimeError) as error:
            warnings.warn(f"There is a GPU, but kerasish runs on the CPU. {error}", stacklevel=2)


_start()
config._on_backend.append(lambda name: use(_LIBRARIES[name]()))
