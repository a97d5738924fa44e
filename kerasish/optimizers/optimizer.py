"""The base of all optimizers: everything but the update rule itself.

An optimizer is its options as annotated fields, the names of its slots (the variables that it keeps for each weight) and a
*pure* update, written in ops on tensors::

    class RMSprop(Optimizer):
        rho: float = 0.9
        epsilon: float = 1e-7
        slots = ("velocity",)

        def update(self, w, g, lr, velocity):
            velocity = self.rho * velocity + (1 - self.rho) * ops.square(g)
            return w - lr * g / ops.sqrt(velocity + self.epsilon), velocity

Clipping, weight decay, averages, accumulation, loss scaling and constraints live here, once. Nothing branches in Python on the
value of a tensor, so that a whole step can be recorded and replayed.
"""

import re
import typing
import warnings
from collections.abc import Callable

from kerasish import config, initializers, ops
from kerasish.backend.autodiff.op import as_tensor
from kerasish.backend.autodiff.scopes import StatelessScope
from kerasish.backend.autodiff.state import auto_name, name_scope, setting, state
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.backend.autodiff.variable import Variable
from kerasish.optimizers.schedules.schedule import LearningRateSchedule
from kerasish.saveable import CustomObjectScope, Saveable, deserialize_keras_object, serialize_keras_object
from kerasish.tracking import Tracker, no_tracking

LearningRate = float | LearningRateSchedule | Callable[[], float]


class Optimizer(Saveable):
    """Base of all optimizers (``keras.optimizers.Optimizer``); its options are every optimizer's.

    ``learning_rate``: a float, a schedule, or a function without arguments. ``weight_decay``: share of each weight, times the
    learning rate, taken off at every step. ``clipnorm``, ``global_clipnorm``: largest norm of each gradient, of all together;
    ``clipvalue``: largest element; only one of the three. ``use_ema``: keep averages of the weights, put in their place every
    ``ema_overwrite_frequency`` steps and at the end of training. ``loss_scale_factor``: what the loss is multiplied by before
    gradients are taken. ``gradient_accumulation_steps``: update only every so many calls, with the gradients' mean.

    >>> class Descent(Optimizer):
    ...     def update(self, w, g, lr):
    ...         return w - lr * g
    >>> w = Variable([1.0, 2.0])
    >>> Descent(0.5, clipvalue=1.0).apply([[4.0, 1.0]], [w])
    >>> w.numpy().tolist()
    [0.5, 1.5]
    """

    keras_module = "keras.optimizers"
    # names, made side by side for each weight; or tuples of names, each made for all weights before the next
    slots: typing.ClassVar[tuple] = ()

    learning_rate: LearningRate
    weight_decay: float | None = None
    clipnorm: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None
    use_ema: bool = False
    ema_momentum: float = 0.99
    ema_overwrite_frequency: int | None = None
    loss_scale_factor: float | None = None
    gradient_accumulation_steps: int | None = None
    name: str | None = None

    _learning_rate = None
    _excluded_from_decay: frozenset = frozenset()
    _excluded_names = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "learning_rate" in vars(cls).get("__annotations__", ()) and "learning_rate" in vars(cls):
            del cls.learning_rate  # the field's default; it would hide the property

    @classmethod
    def _order_fields(cls, own):
        """Keras's order: the learning rate, what the class declares, what it inherits."""
        fields = {**cls.fields, **own}
        return {name: fields[name] for name in dict.fromkeys(["learning_rate", *own, *cls.fields])}

    # ---- construction
    def _init_base(self, decay=None, **kwargs):
        if decay is not None:
            warnings.warn("Argument `decay` is no longer supported: it does nothing.", stacklevel=3)
        if kwargs:
            raise ValueError(f"Argument(s) not recognized by {type(self).__name__}: {kwargs}")
        own = []
        vars(self)["_variables"], vars(self)["_tracker"] = own, Tracker({"variables": (_is_variable, own)})
        self.built = False

    def check(self):
        """Check the options and make the first variables; subclasses that check more call this first."""
        self._check_options()
        self.name = self.name or auto_name(type(self).__name__)
        with no_tracking():
            self._trainable_variables, self._indices = [], {}
        self._iterations = self.add_variable((), dtype="int32", aggregation="only_first_replica", name="iteration")
        if callable(self._learning_rate):
            return
        if not isinstance(self._learning_rate, float):
            raise ValueError(
                f"`learning_rate` should be float, a LearningRateSchedule or a callable without arguments, got {self._learning_rate}"
            )
        self._learning_rate = self.add_variable(
            (), initializers.Constant(self._learning_rate), aggregation="only_first_replica", name="learning_rate"
        )

    def _check_options(self):
        steps, frequency = self.gradient_accumulation_steps, self.ema_overwrite_frequency
        if steps and not steps >= 2:
            raise ValueError(f"`gradient_accumulation_steps` must be an integer >= 2. Received: {steps}")
        if self.use_ema and not 0 <= self.ema_momentum <= 1:
            raise ValueError(f"`ema_momentum` must be between 0 and 1, got {self.ema_momentum}")
        if self.use_ema and frequency and (not isinstance(frequency, int) or frequency < 1):
            raise ValueError(f"`ema_overwrite_frequency` must be an integer, 1 or more, or None. Got {frequency}")
        if sum(x is not None for x in (self.clipnorm, self.clipvalue, self.global_clipnorm)) > 1:
            raise ValueError(
                f"Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can apply, got {self.clipnorm}, {self.clipvalue} and "
                f"{self.global_clipnorm}"
            )

    def __setattr__(self, name, value):
        self._check_super_called()
        super().__setattr__(name, self._tracker.track(value))
        config._changes.count += 1

    def _check_super_called(self):
        if "_tracker" not in vars(self):
            raise RuntimeError(f"In optimizer '{type(self).__name__}', call `super().__init__()` first in `__init__()`.")

    # ---- variables
    @property
    def variables(self):
        """The optimizer's variables in the order in which files hold them: iteration, learning rate, averages, ..., slots."""
        return self._variables[:]

    @property
    def iterations(self):
        """Number of updates so far; with gradient accumulation, of those that changed the weights."""
        steps = self.gradient_accumulation_steps
        return ops.floor_divide(self._iterations, steps) if steps else self._iterations

    def step(self, like):
        """Number of the update that is going on, from 1, in the dtype of the tensor ``like``."""
        return ops.cast(self.iterations + 1, like.dtype)

    def build(self, variables):
        """Make the variables that the optimizer keeps for these weights; ``apply`` does it at its first call."""
        if self.built:
            return
        variables = list(variables)
        with no_tracking():
            self._trainable_variables, self._indices = variables, {v: i for i, v in enumerate(variables)}
            self._model_variables_moving_average = self.add_optimizer_variables(variables, "average") if self.use_ema else []
            accumulated = variables if self.gradient_accumulation_steps else []
            self._accumulated_gradients = [self.add_variable_from_reference(v, "gradient_accumulator") for v in accumulated]
            self._slots = self._build_slots(variables)
        self.built = True

    def _build_slots(self, variables):
        groups = [self.slots] if self.slots and isinstance(self.slots[0], str) else self.slots
        slots = {name: [None] * len(variables) for group in groups for name in group}
        for group in groups:
            for i, variable in enumerate(variables):
                if not self._overwrite_variable_with_gradient(variable):
                    for name in group:
                        slots[name][i] = self.make_slot(name, variable)
        return list(slots.values())

    def make_slot(self, name, variable, initializer="zeros"):
        """The slot ``name`` of a weight, or None where it needs none. Override for another initial value or shape."""
        return self.add_variable_from_reference(variable, name, initializer)

    def add_variable(self, shape, initializer="zeros", dtype=None, aggregation="none", layout=None, name=None):
        """A new variable of the optimizer's own (``layout`` is for distribution and does nothing on one device)."""
        self._check_super_called()
        with name_scope(self.name, caller=self):
            initializer = initializers.get(initializer)
            variable = Variable(initializer, shape, dtype, False, aggregation=aggregation, layout=layout, name=name)
        return self._track_variable(variable)

    def _track_variable(self, variable):
        with setting(tracking=True):
            return self._tracker.track(variable)

    def add_variable_from_reference(self, reference_variable, name=None, initializer="zeros"):
        """A new variable with the shape and dtype of a weight, named after its path."""
        name = f"{reference_variable.path.replace('/', '_')}_{name or 'var'}"
        return self.add_variable(reference_variable.shape, initializer, reference_variable.dtype, name=name)

    def add_optimizer_variables(self, trainable_variables, name, initializer="zeros"):
        """A list of new variables, one for each weight; for several names, a tuple of lists, made side by side.

        ``initializer`` may be one for all names or a list. Weights that are overwritten with their gradient get None.
        """
        if isinstance(name, str):
            return self.add_optimizer_variables(trainable_variables, [name], [initializer])[0]
        several = isinstance(initializer, (list, tuple))
        initializer = list(initializer) if several else [initializer] * len(name)
        if len(name) != len(initializer):
            raise ValueError(f"Names and number of provided initializers must match, got '{name}' and '{initializer}'")
        made = tuple([] for _ in name)
        for variable in trainable_variables:
            for out, n, init in zip(made, name, initializer, strict=True):
                kept = not self._overwrite_variable_with_gradient(variable)
                out.append(self.add_variable_from_reference(variable, n, init) if kept else None)
        return made

    def _overwrite_variable_with_gradient(self, variable):
        return getattr(variable, "overwrite_with_gradient", False)

    def _get_variable_index(self, variable):
        return self._indices[variable]

    # ---- the learning rate
    def _get_learning_rate(self):
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            return rate(self._iterations)
        return rate() if callable(rate) else rate

    def _set_learning_rate(self, value):
        current = self._learning_rate
        if callable(value):
            self._learning_rate = value
            if isinstance(current, Variable):
                self._tracker.untrack(current)
        elif isinstance(current, Variable):
            current.assign(value)
        else:
            raise TypeError(
                f"This optimizer was created with a `LearningRateSchedule` or a function as its learning rate ({current}), which can't "
                "be set to a number. Make the optimizer with a float `learning_rate` to be able to set it."
            )

    # ---- one step
    def update(self, w, g, lr, *slots):
        """The rule, a pure function of tensors of one dtype: the new weight, then the new slots in their order."""
        raise NotImplementedError(f"Optimizer '{type(self).__name__}' must have a method `update` or `update_step`.")

    def update_step(self, gradient, variable, learning_rate):
        """Change one weight. Optimizers written in Keras's own style override this and assign to variables themselves."""
        slots = [slot[self._get_variable_index(variable)] for slot in self._slots]
        values = [None if slot is None else slot.value for slot in slots]
        g, lr = ops.cast(gradient, variable.dtype), ops.cast(learning_rate, variable.dtype)
        new = self.update(variable.value, g, lr, *values)
        new = (new,) if isinstance(new, Tensor) else new
        for target, value in zip((variable, *slots), new, strict=True):
            if target is not None:
                self.assign(target, value)

    def apply_gradients(self, grads_and_vars):
        """``apply`` for pairs (gradient, variable); returns the iteration variable."""
        pairs = list(grads_and_vars)
        self.apply([g for g, _ in pairs], [v for _, v in pairs])
        return self._iterations

    def apply(self, grads, trainable_variables=None):
        """Update the variables with their gradients, one each, in the order of the variables or of ``build``.

        A gradient may be None: that variable stays, with a warning. ValueError where all are, where numbers differ, where
        variables are unknown to ``build``, and for no variables before ``build``.
        """
        grads = [None if g is None else as_tensor(g) for g in grads]
        if not grads:
            return
        with name_scope(self.name, caller=self), without_history():
            pairs = self._pairs(grads, self._variables_for(grads, trainable_variables))
            pairs = self._overwrite_variables_directly_with_gradients(pairs)
            if pairs:
                grads, variables = map(list, zip(*pairs, strict=True))
                if self.loss_scale_factor is not None:
                    grads = [g / self.loss_scale_factor for g in grads]
                self._apply_or_accumulate(grads, variables)
                self._update_model_variables_moving_average()
                for variable in variables:
                    if variable.constraint is not None:
                        variable.assign(variable.constraint(variable))
            self._iterations.assign_add(1)

    def _variables_for(self, grads, variables):
        if variables is None:
            if not self.built:
                raise ValueError(
                    "Without `variables`, the optimizer must already be built: call `optimizer.build(trainable_variables)` first."
                )
            variables = self._trainable_variables
        variables = list(variables)
        if len(grads) != len(variables):
            raise ValueError(
                f"Gradients must match variables one to one. Received {len(grads)} gradients for {len(variables)} variables "
                f"of optimizer '{self.name}'."
            )
        if not self.built:
            self.build(variables)
            self.built = True
        for variable in variables:
            if variable not in self._indices:
                raise ValueError(
                    f"Unknown variable: {variable}. An optimizer is for the variables that it was built with: make a new one for "
                    "others."
                )
        return variables

    def _pairs(self, grads, variables):
        """Gradients with their variables, without those that have none."""
        missing = [v.path for g, v in zip(grads, variables, strict=True) if g is None]
        if len(missing) == len(variables):
            raise ValueError("No gradients provided for any variable.")
        if missing:
            warnings.warn(
                f"Gradients do not exist for variables {missing}. Does the loss depend on them, and was a `loss` given to "
                "`model.compile()`?",
                stacklevel=3,
            )
        return [(g, v) for g, v in zip(grads, variables, strict=True) if g is not None]

    def _overwrite_variables_directly_with_gradients(self, pairs):
        """Variables such as float8 scales, whose "gradient" is their new value; returns the other pairs."""
        for g, v in pairs:
            if not self._overwrite_variable_with_gradient(v):
                continue
            if self.gradient_accumulation_steps:
                due, accumulator = self._update_is_due(), self._accumulated_gradients[self._get_variable_index(v)]
                largest = ops.maximum(g, accumulator)
                v.assign(ops.where(due, largest, v))
                accumulator.assign(ops.where(due, ops.zeros_like(largest), largest))
            else:
                v.assign(g)
        return [(g, v) for g, v in pairs if not self._overwrite_variable_with_gradient(v)]

    def _apply_or_accumulate(self, grads, variables):
        steps = self.gradient_accumulation_steps
        if not steps:
            self._apply_now(grads, variables)
            return
        due = self._update_is_due()
        accumulators = [self._accumulated_gradients[self._get_variable_index(v)] for v in variables]
        totals = [g + a for g, a in zip(grads, accumulators, strict=True)]
        self._keep_where(due, lambda: self._apply_now([total / steps for total in totals], variables))
        for accumulator, total in zip(accumulators, totals, strict=True):
            accumulator.assign(ops.where(due, ops.zeros_like(total), total))

    def _update_is_due(self):
        return ops.equal(ops.mod(self._iterations + 1, self.gradient_accumulation_steps), 0)

    def _keep_where(self, condition, step):
        """Run ``step``, then put back what it assigned unless ``condition`` holds: a branch that can be recorded."""
        variables = [*self._trainable_variables, *self.variables]
        before = [v.value for v in variables]
        step()
        for variable, value in zip(variables, before, strict=True):
            if variable.value is not value:
                variable.assign(ops.where(condition, variable, value))

    def _apply_now(self, grads, variables):
        grads = self._clip_gradients(grads)
        self._apply_weight_decay(variables)
        self._update_all(grads, variables, self.learning_rate)

    def _update_all(self, grads, variables, learning_rate):
        for gradient, variable in zip(grads, variables, strict=True):
            self.update_step(gradient, variable, learning_rate)

    def _clip_gradients(self, grads):
        if self.clipnorm and self.clipnorm > 0:
            return [_scaled_to_norm(g, _norm([g]), self.clipnorm) for g in grads]
        if self.global_clipnorm and self.global_clipnorm > 0:
            norm = _norm(grads)
            norm = ops.where(ops.isfinite(norm), norm, float("nan"))  # one infinite gradient spoils all, visibly
            return [_scaled_to_norm(g, norm, self.global_clipnorm) for g in grads]
        if self.clipvalue and self.clipvalue > 0:
            return [ops.clip(g, -self.clipvalue, self.clipvalue) for g in grads]
        return grads

    # ---- weight decay
    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Spare these variables, and those in whose name one of the strings (regular expressions) is found."""
        self._excluded_from_decay = frozenset(var_list or ())
        self._excluded_names = re.compile("|".join(var_names)) if var_names else None

    def _use_weight_decay(self, variable):
        named = self._excluded_names is not None and self._excluded_names.search(variable.name)
        return variable not in self._excluded_from_decay and not named

    def _weight_decay_of(self, variable):
        return self.weight_decay

    def _apply_weight_decay(self, variables):
        for variable in variables:
            decay = self._weight_decay_of(variable)
            if decay is not None and self._use_weight_decay(variable):
                variable.assign(variable - variable * decay * ops.cast(self.learning_rate, variable.dtype))

    # ---- averages of the weights
    def _averaged(self):
        return [(v, a) for v, a in zip(self._trainable_variables, self._model_variables_moving_average, strict=True) if a is not None]

    def _update_model_variables_moving_average(self):
        if not self.use_ema:
            return
        for variable, average in self._averaged():
            momentum = self.ema_momentum * ops.cast(ops.not_equal(self.iterations, 0), variable.dtype)
            average.assign(momentum * average + (1 - momentum) * variable)
        if self.ema_overwrite_frequency:
            due = ops.equal(ops.mod(self.iterations + 1, self.ema_overwrite_frequency), 0)
            for variable, average in self._averaged():
                variable.assign(ops.where(due, average, variable))

    def finalize_variable_values(self, var_list):
        """At the end of training: with ``use_ema``, put the averages in the weights' place."""
        if not self.use_ema:
            return
        if len(var_list) != len(self._model_variables_moving_average):
            raise ValueError(
                f"The number of variables to overwrite ({len(var_list)}) does not match the number of averages that optimizer "
                f"'{self.name}' keeps ({len(self._model_variables_moving_average)}). Was it built on your model?"
            )
        for variable, average in zip(var_list, self._model_variables_moving_average, strict=True):
            if average is not None:
                variable.assign(average)

    # ---- the loss, pure application
    def scale_loss(self, loss):
        """The loss to take gradients of: times ``loss_scale_factor``, where that is set."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    def stateless_apply(self, optimizer_variables, grads, trainable_variables):
        """``apply`` as a pure function of values: returns ``(trainable_variables, optimizer_variables)``, changes nothing."""
        self._check_super_called()
        name, own, weights = type(self).__name__, self.variables, self._trainable_variables
        if not self.built:
            raise ValueError(f"To call `stateless_apply`, {name} must be built: call `optimizer.build(trainable_variables)`.")
        if len(optimizer_variables) != len(own):
            raise ValueError(
                f"`optimizer_variables` must be a list of values of {name}().variables, one each: {len(own)}, not "
                f"{len(optimizer_variables)}."
            )
        if len(trainable_variables) != len(weights):
            raise ValueError(
                f"`trainable_variables` must be a list of values of the optimizer's {len(weights)} variables, got "
                f"{len(trainable_variables)}."
            )
        mapping = zip([*weights, *own], [*trainable_variables, *optimizer_variables], strict=True)
        with StatelessScope(state_mapping=mapping) as scope:
            self.apply(grads)
        return [scope.get_current_value(v) for v in weights], [scope.get_current_value(v) for v in own]

    # ---- assignments, for optimizers in Keras's style
    def assign(self, variable, value):
        """Set a variable."""
        variable.assign(value)

    def assign_add(self, variable, value):
        """Add to a variable."""
        variable.assign_add(value)

    def assign_sub(self, variable, value):
        """Subtract from a variable."""
        variable.assign_sub(value)

    # ---- saving
    def set_weights(self, weights):
        """Set the optimizer's variables, in their order."""
        if not self.built:
            raise ValueError("You are calling `set_weights()` before there are any: call `optimizer.build(trainable_variables)` first.")
        for variable, weight in zip(self.variables, weights, strict=False):
            if variable.shape != tuple(weight.shape):
                raise ValueError(
                    f"Optimizer variable '{variable.path}' has shape {variable.shape}, not that of the weight given for it: "
                    f"{tuple(weight.shape)}."
                )
            variable.assign(weight)

    def save_own_variables(self, store):
        """Put the values into a dict-like store, under "0", "1", ..."""
        for i, variable in enumerate(self.variables):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store):
        """Take the values from a store; a warning, and no change, where it holds another number of them."""
        if len(store.keys()) != len(self.variables):
            message = (
                f"Skipping variable loading for optimizer '{self.name}': it has {len(self.variables)} variables, the file "
                f"{len(store.keys())}. "
            )
            if not self.variables:
                message += "It has not been built: call `build()` before."
            warnings.warn(message, stacklevel=2)
            return
        for i, variable in enumerate(self.variables):
            variable.assign(store[str(i)])

    def get_config(self):
        """Constructor arguments as JSON-ready values; the learning rate as it is now."""
        rate = self._learning_rate
        rate = float(rate) if isinstance(rate, Variable) else serialize_keras_object(rate)
        others = {name: field.serialize(getattr(self, name)) for name, field in self.fields.items() if name != "learning_rate"}
        return {"name": self.name, "learning_rate": rate, **others}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Make an optimizer from what ``get_config`` returned."""
        if isinstance(config.get("learning_rate"), dict):
            with CustomObjectScope(custom_objects):
                config = {**config, "learning_rate": deserialize_keras_object(config["learning_rate"])}
        return cls(**config)


def _current_or_constructing(self, value):
    if self._learning_rate is None:  # the constructor sets fields; `check` then makes a variable of a number
        self._learning_rate = value
    else:
        self._set_learning_rate(value)


# a property that is also a field: had it been defined in the class body, it would have been the field's default
Optimizer.learning_rate = property(  # type: ignore[assignment]
    lambda self: self._get_learning_rate(), _current_or_constructing, doc="The learning rate of the next step; may be assigned."
)


def without_history():
    """Block whose calls are remembered only if someone differentiates through the step."""
    return setting(grad_enabled=state.grad_enabled and state.grad_depth > 0)


def _is_variable(x):
    return isinstance(x, Variable)


def _norm(tensors):
    return ops.sqrt(sum(ops.sum(ops.square(x)) for x in tensors))


def _scaled_to_norm(x, norm, largest):
    return x * (largest / ops.maximum(norm, largest))
