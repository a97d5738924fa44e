"""Variable: state that outlives a step. Weights, optimizer slots, metric totals, seeds, the learning rate."""

from kerasish import config
from kerasish.backend.autodiff.dtypes import is_float, standardize_dtype
from kerasish.backend.autodiff.op import as_tensor, cast
from kerasish.backend.autodiff.state import auto_name, current_path, on_clear, state
from kerasish.backend.autodiff.tensor import Tensor, standardize_shape

_AGGREGATIONS = (None, "none", "mean", "sum", "only_first_replica")
_SYNCHRONIZATIONS = (None, "none", "on_read", "on_write", "auto")
_deferred: list = []  # variables made in a StatelessScope, to be initialised after it
on_clear.append(_deferred.clear)


class Variable:
    """A named value that can be assigned (``keras.Variable``).

    ``initializer`` is a value or a callable ``(shape, dtype=...)``; the latter needs ``shape``. ``value`` is the tensor it holds
    now: in a StatelessScope the scope's, in an AutocastScope cast to the scope's dtype.

    >>> v = Variable([1.0, 2.0], name="v")
    >>> v.assign_add([1.0, 1.0]).tolist()
    [2.0, 3.0]
    """

    _version = 0  # goes up whenever it comes to hold other memory

    def __init__(self, initializer, shape=None, dtype=None, trainable=True, autocast=True, aggregation="none",
                 synchronization="auto", name=None, layout=None, **kwargs):  # fmt: skip
        if layout is not None or kwargs:
            given = sorted([*kwargs, *(["layout"] if layout is not None else [])])
            raise ValueError(f"Variable: {given} are not supported: variables live whole on one device.")
        name = name or auto_name(type(self).__name__)
        if not isinstance(name, str) or "/" in name:
            raise ValueError("Argument `name` must be a string without `/` (a variable's name cannot contain character `/`). "
                             f"Got {name}")
        _check_choice("aggregation", aggregation, _AGGREGATIONS)
        _check_choice("synchronization", synchronization, _SYNCHRONIZATIONS)
        self._name, self._path = name, f"{path}/{name}" if (path := current_path()) else name
        self._aggregation, self._synchronization = aggregation or "none", synchronization or "none"
        self._trainable, self._autocast = bool(trainable), bool(autocast)
        self._regularizer = self._constraint = None
        self._overwrite_with_gradient = self._watched = False
        self._token = object()  # what gradients know this variable by, whatever value it holds
        self._value = self._initializer = None
        if callable(initializer):
            if shape is None:
                raise ValueError("When creating a Variable from an initializer, the `shape` must be given. Got "
                                 f"initializer={initializer}, shape={shape}")  # fmt: skip
            self._shape, self._dtype = standardize_shape(shape), standardize_dtype(dtype)
            if None in self._shape:
                raise ValueError(f"A variable's shape must be fully defined before it gets values. Received shape={shape}")
            if state.stateless is not None:
                if state.stateless.initialize_variables:
                    _deferred.append(self)
                self._initializer = initializer
                return
            value = initializer(self._shape, dtype=self._dtype)
        else:
            value = initializer
            if state.stateless is not None:
                self._initializer = lambda shape, dtype: value
        value = _own(value, as_tensor(value, None if dtype is None else standardize_dtype(dtype)))
        if shape is not None and standardize_shape(shape) != value.shape:
            raise ValueError(f"Variable '{self.path}': the value's shape {value.shape} is not the given shape {tuple(shape)}.")
        self._shape, self._dtype = value.shape, value.dtype
        self._set(value)

    def __deepcopy__(self, memo):
        copied = object.__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__.update(self.__dict__)
        copied._token = object()
        if self._value is not None:
            copied._set(as_tensor(self._value.value.copy()))
        return copied

    def __reduce__(self):
        state_of = {**self.__dict__, "_token": None, "_value": None}
        return _unpickled, (type(self), state_of, None if self._value is None else self._value.numpy())

    def _deferred_initialize(self):
        if self._value is not None:
            return
        self._set(as_tensor(self._initializer(self._shape, dtype=self._dtype), self._dtype))
        self._initializer = None

    def _set(self, value):
        """Hold a value: a new leaf of the graph, known to gradients by this variable's token."""
        value._need()
        self._value = self._leaf(value)
        self._version += 1

    def _leaf(self, value):
        """A tensor with that value at which gradients for this variable arrive."""
        leaf = value.alias()
        leaf.token, leaf.requires_grad = self._token, (self._trainable or self._watched) and is_float(value.dtype)
        return leaf

    # ---- reading and writing
    @property
    def value(self):
        if self._value is None and state.stateless is None:
            self._deferred_initialize()
        current = self._held()
        if current is None and state.symbolic:
            current = Tensor(None, self._shape, self._dtype)
        elif current is None:
            current = as_tensor(self._initializer(self._shape, dtype=self._dtype), self._dtype)
        self._note(current)
        return self._autocast_value(current)

    def _note(self, current):
        if state.seen is not None:
            state.seen.setdefault(id(self), (self, current))

    def _watch(self, wanted):
        """Whether gradients pass through whatever this variable holds, trainable or not."""
        self._watched = wanted
        held = self._held()
        if held is not None:
            held.requires_grad = (wanted or self._trainable) and is_float(held.dtype)

    def _held(self):
        """What the variable holds now: in a StatelessScope what the scope says, if anything; in a recording its own."""
        current = None if state.stateless is None else state.stateless.get_current_value(self)
        if current is None:
            current = self._value if state.recording is None else state.recording.read(self)
        return current

    def _autocast_value(self, value):
        target = state.autocast
        return cast(value, target) if self._autocast and target and target != value.dtype and is_float(value.dtype) else value

    def _checked(self, value):
        value = as_tensor(value, self._dtype)
        if value.shape != self._shape and (len(value.shape) != len(self._shape) or None not in value.shape):
            raise ValueError(
                f"The assigned value's shape {value.shape} and the variable's shape {self._shape} must match. Variable: {self.path}"
            )
        return value

    def assign(self, value):
        """Set the value; shape must match, dtype is cast. Returns the value that was set."""
        given, value = value, self._checked(value)
        if state.seen is not None:
            self._note(self._held())
        if state.stateless is not None:
            state.stateless.add_update((self, value))
        elif state.recording is not None:
            state.recording.write(self, value)
        else:
            value._need()
            self._set(value if given is value else _own(given, value))
        return value

    def assign_add(self, value):
        """Add to the value."""
        return self.assign(self + value)

    def assign_sub(self, value):
        """Subtract from the value."""
        return self.assign(self - value)

    def numpy(self):
        """The value as a ``numpy.ndarray`` of its own: changing it does not change the variable."""
        return self.value.numpy().copy()

    # ---- what it is
    name = property(lambda self: self._name)
    path = property(lambda self: self._path)
    shape = property(lambda self: self._shape)
    ndim = property(lambda self: len(self._shape))
    aggregation = property(lambda self: self._aggregation)
    synchronization = property(lambda self: self._synchronization)

    @property
    def size(self):
        return self._value.size if self._value is not None else Tensor(None, self._shape, self._dtype).size

    @property
    def dtype(self):
        target = state.autocast
        return target if self._autocast and target and is_float(self._dtype) else self._dtype

    @property
    def grad(self):
        """What ``backward`` has added up for the value that this variable holds."""
        held = self._held()
        if state.recording is not None:
            state.recording.trace.looks_at_gradients = True
        return None if held is None else held.grad

    @grad.setter
    def grad(self, value):
        self._held().grad = value

    @property
    def trainable(self):
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        self._trainable = bool(value)
        config._changes.count += 1
        if self._value is not None:
            self._value.requires_grad = self._trainable and is_float(self._dtype)

    @property
    def overwrite_with_gradient(self):
        """Whether an optimizer puts the gradient in place of the value instead of applying it."""
        return self._overwrite_with_gradient

    @overwrite_with_gradient.setter
    def overwrite_with_gradient(self, value):
        if not isinstance(value, bool):
            raise TypeError(f"`overwrite_with_gradient` must be a boolean. Received: {value}")
        self._overwrite_with_gradient = value
        config._changes.count += 1

    @property
    def regularizer(self):
        return self._regularizer

    @regularizer.setter
    def regularizer(self, value):
        self._regularizer = _callable_or_none("regularizer", value)
        config._changes.count += 1

    @property
    def constraint(self):
        return self._constraint

    @constraint.setter
    def constraint(self, value):
        self._constraint = _callable_or_none("constraint", value)
        config._changes.count += 1

    def __repr__(self):
        value = f", value={self._value.numpy()}" if self._value is not None and self._value.value is not None else ""
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}{value}>"

    # ---- as a tensor (arithmetic comes from kerasish.ops, as the tensor's does)
    def __array__(self, dtype=None, copy=None):
        return self.value.__array__(dtype, copy)

    def __bool__(self):
        raise TypeError("A Keras Variable cannot be used as a boolean.")

    def __float__(self):
        return float(self.value)

    def __int__(self):
        return int(self.value)

    def __len__(self):
        return len(self.value)

    def __iter__(self):
        return iter(self.value)

    __hash__ = object.__hash__
    __array_priority__ = 1000
    __array_ufunc__ = None


def initialize_all_variables():
    """Give their values to the variables that were made inside StatelessScopes."""
    while _deferred:
        _deferred.pop(0)._deferred_initialize()


def _unpickled(cls, attributes, value):
    variable = object.__new__(cls)
    variable.__dict__.update(attributes, _token=object())
    if value is not None:
        variable._set(as_tensor(value))
    return variable


def _own(given, value):
    """The value with memory of its own, where it shares that of an array which somebody else may change."""
    return value if isinstance(given, Tensor) or value.value is not given else Tensor(value.value.copy(), value.shape, value.dtype)


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"Invalid value for argument `{name}`. Expected one of {set(choices)}. Received: {name}={value}")


def _callable_or_none(name, value):
    if value is not None and not callable(value):
        raise ValueError(f"Invalid value for attribute `{name}`. Expected a callable or `None`. Received: {name}={value}")
    return value
