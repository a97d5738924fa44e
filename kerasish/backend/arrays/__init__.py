"""The array libraries that kerasish runs on, and which of them is active. Kernels get the active one as ``xp``."""

import kerasish.config as config
from kerasish.backend.arrays.base import Arrays as Arrays
from kerasish.backend.arrays.numpy import NumpyArrays


class _Active:
    """Holder of the active library: ops read ``active.xp`` at every call, so that it can be switched."""

    xp: Arrays = NumpyArrays()


active = _Active()


def use(arrays):
    """Run on the given :class:`Arrays` from now on; returns the ones used before."""
    before, active.xp = active.xp, arrays
    config._settings["backend"] = arrays.name
    return before


def is_array(x):
    """Whether ``x`` is an array of the active library."""
    return isinstance(x, active.xp.array_types)
