"""What is going on in this thread: are gradients wanted, which scopes are open, which names are taken."""

import contextlib
import itertools
import re
import threading

from kerasish import config
from kerasish.backend.arrays import active


class _State(threading.local):
    grad_enabled = True  # calls remember their inputs
    grad_depth = 0  # open tapes and grad transforms: their walks must be differentiable themselves
    stateless = None  # the innermost StatelessScope: where variables are read and written
    recording = None  # the Recorder of the step that is being recorded
    symbolic = False  # inside a SymbolicScope: shapes only
    autocast = None  # dtype that float variables are read in
    names = ()  # open name scopes
    call_context = None  # arguments that layers' calls hand down to inner calls (`training`), None outside any call
    tracking = True  # whether objects that are set as attributes become owned
    remat = None  # the innermost RematScope
    seen = None  # while a call that will run again runs: what each variable held when it was first read or written

    def __init__(self):
        self.global_attributes = {}


state = _State()
_counter = itertools.count(1)
next_order = _counter.__next__  # a number for each recorded call: later calls have higher ones


@contextlib.contextmanager
def setting(**values):
    """Set attributes of this thread's state for a block, and put them back whatever happens."""
    before = {name: getattr(state, name) for name in values}
    try:
        for name, value in values.items():
            setattr(state, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(state, name, value)


# ---- names
_taken: dict = {}  # prefix -> how many so far; shared by all threads, as in Keras


def to_snake_case(name):
    """``BatchNormalization`` -> ``batch_normalization``."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def uniquify(name):
    """The name, or the name with the next number where it is taken."""
    n = _taken.get(name, 0)
    _taken[name] = n + 1
    return f"{name}_{n}" if n else name


def auto_name(prefix):
    """Keras's automatic name of an object of a class: ``Dense`` -> ``dense``, ``dense_1``, ..."""
    return uniquify(to_snake_case(prefix))


def get_uid(prefix=""):
    """A number for the prefix, from 1, counting up (``keras.backend.get_uid``)."""
    _taken[prefix] = _taken.get(prefix, 0) + 1
    return _taken[prefix]


on_clear: list = []  # functions that ``clear_session`` calls: other rooms with session state add theirs


def clear_session(free_memory=True):
    """Forget automatic names and the global seed (``keras.backend.clear_session``)."""
    _taken.clear()
    state.global_attributes.clear()
    config._changes.count += 1
    for forget in on_clear:
        forget()


class name_scope:
    """``with`` block that prefixes the paths of the variables made in it (``keras.name_scope``).

    >>> with name_scope("encoder"):
    ...     current_path()
    'encoder'
    """

    def __init__(self, name, **kwargs):
        caller, deduplicate = kwargs.pop("caller", None), kwargs.pop("deduplicate", True)
        override_parent = kwargs.pop("override_parent", None)
        if kwargs:
            raise TypeError(f"name_scope() got unexpected keyword arguments: {sorted(kwargs)}")
        if not isinstance(name, str) or "/" in name:
            raise ValueError(f"`name` {name}: it must be a string and cannot contain character `/`.")
        self.name, self.caller, self.override_parent = name, caller, override_parent
        self.deduplicate = deduplicate and caller is not None

    def __enter__(self):
        self.before = state.names
        parents = self.before if self.override_parent is None else tuple(p for p in self.override_parent.split("/") if p)
        repeated = self.deduplicate and self.before and self.before[-1] is self._entry(self.before[-1])
        state.names = parents if repeated else (*parents, _Scope(self.name, self.caller))
        return self

    def _entry(self, last):
        return last if isinstance(last, _Scope) and last.caller is self.caller and last == self.name else None

    def __exit__(self, *exc):
        state.names = self.before


class _Scope(str):
    """A scope's name that remembers who opened it."""

    def __new__(cls, name, caller):
        scope = super().__new__(cls, name)
        scope.caller = caller
        return scope


class device:
    """``with`` block whose tensors are made on the named device (``keras.device``): "cpu", "gpu:0", ...

    NumPy has one device; on CuPy the number selects the GPU.

    >>> with device("cpu:0"):
    ...     pass
    """

    def __init__(self, device_name):
        kind, _, index = str(device_name).lower().partition(":")
        if kind not in ("cpu", "gpu", "cuda") or (index and not index.isdigit()):
            raise ValueError(f"Unknown device {device_name!r}. Expected 'cpu', 'gpu' or 'gpu:N'.")
        self.kind, self.index = kind, int(index or 0)

    def __enter__(self):
        self._entered = active.xp.device_scope(self.kind, self.index)
        self._entered.__enter__()
        return self

    def __exit__(self, *exc):
        return self._entered.__exit__(*exc)


def current_path():
    """Names of the open scopes joined by ``/``."""
    return "/".join(state.names)
