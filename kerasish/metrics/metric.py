"""Metric: the base of all metrics, numbers that are gathered over batches."""

import typing

from kerasish import initializers, ops
from kerasish.backend.autodiff.dtypes import standardize_dtype
from kerasish.backend.autodiff.scopes import StatelessScope
from kerasish.backend.autodiff.state import auto_name, name_scope
from kerasish.backend.autodiff.tensor import standardize_shape
from kerasish.backend.autodiff.variable import Variable
from kerasish.loading import reserve
from kerasish.losses.loss import compute_dtype, own_config
from kerasish.saveable import Fixed, Saveable
from kerasish.tracking import Tracker


class Metric(Saveable):
    """A number gathered over batches in variables (``keras.metrics.Metric``).

    Subclasses make variables with ``add_variable``, change them in ``update_state`` and read them in ``result``. Metrics that
    are set as attributes, or put in lists or dicts that are, are reset and saved with this one.

    >>> class Largest(Metric):
    ...     def __init__(self, name=None, dtype=None):
    ...         super().__init__(name=name, dtype=dtype)
    ...         self.largest = self.add_variable((), "zeros", name="largest")
    ...     def update_state(self, values, sample_weight=None):
    ...         self.largest.assign(ops.maximum(self.largest, ops.max(values)))
    ...     def result(self):
    ...         return self.largest.value
    >>> metric = Largest()
    >>> metric.update_state([1.0, 3.0]); float(metric([2.0]))
    3.0
    """

    keras_module = "keras.metrics"
    left_out_of_config: typing.ClassVar[tuple] = ()  # as in Loss
    _direction: str | None = None  # "up" or "down": which way is better, for callbacks whose mode is "auto"

    dtype: str | None = Fixed(None)
    name: str | None = None

    def __setattr__(self, name, value):
        if "_tracker" not in vars(self):  # the first attribute of all
            variables, metrics = [], []
            tracker = Tracker({"variables": (_is_variable, variables), "metrics": (_is_metric, metrics)})
            vars(self).update(_tracker=tracker, _variables=variables, _metrics=metrics)
        super().__setattr__(name, self._tracker.track(value))

    def check(self):
        self.name = self.name or auto_name(type(self).__name__)
        self._dtype = compute_dtype(self.dtype)
        self.add_state()

    def add_state(self):
        """Make the variables: called when all fields are set."""

    # ---- what subclasses write
    def update_state(self, *args, **kwargs):
        """Take a batch in."""
        raise NotImplementedError(f"{type(self).__name__} needs an `update_state` method.")

    def result(self):
        """The number, or numbers, so far."""
        raise NotImplementedError(f"{type(self).__name__} needs a `result` method.")

    def reset_state(self):
        """Start anew: all variables to zero."""
        for v in self.variables:
            v.assign(ops.zeros(v.shape, dtype=v.dtype))

    def __call__(self, *args, **kwargs):
        """Take a batch in and give the result over all batches so far."""
        self._check_super_called()
        self.update_state(*args, **kwargs)
        return self.result()

    # ---- variables
    def add_variable(self, shape, initializer, dtype=None, aggregation="sum", name=None):
        """A variable of this metric; ``aggregation`` says how those of several devices become one."""
        self._check_super_called()
        reserve(standardize_shape(shape), standardize_dtype(dtype))
        with name_scope(self.name.replace("/", ">"), caller=self):
            variable = Variable(
                initializers.get(initializer),
                shape,
                dtype,
                trainable=False,
                aggregation=aggregation,
                synchronization="on_read",
                name=name,
            )
        self._tracker.track(variable)
        return variable

    def add_weight(self, shape=(), initializer=None, dtype=None, name=None):
        """A variable, a scalar by default."""
        return self.add_variable(shape, initializer, dtype, name=name)

    def _check_super_called(self):
        if "name" not in vars(self):
            raise RuntimeError(f"{type(self).__name__}.__init__() must call `super().__init__()` before anything else.")

    @property
    def variables(self):
        """Own variables, then those of the metrics that this one owns."""
        return [*self._variables, *(v for metric in self._metrics for v in metric.variables)]

    # ---- the same as functions of the variables' values
    def stateless_update_state(self, metric_variables, *args, **kwargs):
        """The variables' values after a batch, given those before it; the variables stay as they are."""
        with self._holding(metric_variables) as scope:
            self.update_state(*args, **kwargs)
        return self._values_in(scope)

    def stateless_result(self, metric_variables):
        """The result that the given values of the variables would have."""
        with self._holding(metric_variables):
            return self.result()

    def stateless_reset_state(self):
        """The variables' values after a reset."""
        with StatelessScope() as scope:
            self.reset_state()
        return self._values_in(scope)

    def _holding(self, values):
        if len(values) != len(self.variables):
            raise ValueError(
                f"Argument `metric_variables` must be a list of tensors, one for each of {type(self).__name__}().variables. "
                f"Received {len(values)}, expected {len(self.variables)}."
            )
        return StatelessScope(state_mapping=list(zip(self.variables, values, strict=True)))

    def _values_in(self, scope):
        values = [(v, scope.get_current_value(v)) for v in self.variables]
        return [v if value is None else value for v, value in values]

    def get_config(self):
        """Constructor arguments as JSON-ready values."""
        return {"name": self.name, "dtype": self.dtype, **own_config(self, Metric)}

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"


def _is_variable(x):
    return isinstance(x, Variable)


def _is_metric(x):
    return isinstance(x, Metric)
