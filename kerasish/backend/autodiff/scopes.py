"""Scopes that change how variables are read and written (``keras.StatelessScope``, ``keras.SymbolicScope``)."""

from kerasish.backend.autodiff.dtypes import is_float, standardize_dtype
from kerasish.backend.autodiff.state import setting, state


class _Scope:
    """A ``with`` block that sets attributes of the thread's state; may be entered again and nested."""

    def __enter__(self):
        self._settings = [*getattr(self, "_settings", []), setting(**self._values())]
        self._settings[-1].__enter__()
        return self

    def __exit__(self, *exc):
        self._settings.pop().__exit__(*exc)


class StatelessScope(_Scope):
    """In this block variables are read from, and written to, the scope; they themselves stay as they are.

    ``state_mapping``: pairs (variable, value). ``get_current_value(variable)`` gives what it holds by then, None if untouched.

    >>> from kerasish import Variable
    >>> v = Variable(1.0)
    >>> with StatelessScope() as scope:
    ...     v.assign(5.0); print(float(v))
    Tensor(5., dtype=float32)
    5.0
    >>> float(v), float(scope.get_current_value(v))
    (1.0, 5.0)
    """

    def __init__(self, state_mapping=None, collect_losses=False, initialize_variables=True):
        self.state_mapping, self.variables = {}, {}
        self.collect_losses, self.initialize_variables, self.losses = collect_losses, initialize_variables, []
        for variable, value in state_mapping or ():
            if not hasattr(variable, "assign"):
                raise ValueError(f"Invalid reference variable in StatelessScope: {variable} is no Variable.")
            self.add_update((variable, variable._checked(value)))

    def _values(self):
        return {"stateless": self}

    def add_loss(self, loss):
        self.losses.append(loss)

    def add_update(self, update):
        variable, value = update
        self.state_mapping[id(variable)] = value
        self.variables[id(variable)] = variable  # keeps the id from being used again

    def get_current_value(self, variable):
        return self.state_mapping.get(id(variable))


class SymbolicScope(_Scope):
    """Block in which code runs for its shapes only (``keras.SymbolicScope``)."""

    def _values(self):
        return {"symbolic": True}


def in_stateless_scope():
    """Whether a StatelessScope is open."""
    return state.stateless is not None


class AutocastScope(_Scope):
    """In this block float variables are read in the given dtype; None turns casting off."""

    def __init__(self, dtype):
        if dtype is not None:
            dtype = standardize_dtype(dtype)
            if not is_float(dtype):
                raise ValueError(f"`AutocastScope` can only be used with a floating-point dtype, not {dtype}")
        self.dtype = dtype

    def _values(self):
        return {"autocast": self.dtype}
