"""The state of the generators that shuffle data, as what JSON can hold: Python's ``random`` and NumPy's global one."""

import random

import numpy as np


def get_random_state():
    """Where both generators stand, as numbers, strings and lists.

    >>> state = get_random_state()
    >>> first = np.random.rand()
    >>> set_random_state(state)
    >>> bool(first == np.random.rand())
    True
    """
    version, internal, gauss = random.getstate()
    return {"python": [version, list(internal), gauss], "numpy": _plain(np.random.get_state(legacy=False))}


def set_random_state(state):
    """Let both generators go on from what :func:`get_random_state` gave."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(state["numpy"])


def _plain(x):
    if isinstance(x, dict):
        return {name: _plain(value) for name, value in x.items()}
    return x.tolist() if isinstance(x, (np.ndarray, np.generic)) else x
