"""A loss scale that looks after itself, for float16."""

from kerasish import initializers, ops
from kerasish.backend.autodiff.op import as_tensor
from kerasish.backend.autodiff.state import name_scope
from kerasish.optimizers.optimizer import Optimizer, without_history
from kerasish.saveable import CustomObjectScope, deserialize_keras_object, serialize_keras_object


class LossScaleOptimizer(Optimizer):
    """Wraps an optimizer and scales the loss so that float16 gradients don't underflow (``keras.optimizers``).

    A step with a gradient that isn't finite is left out and halves the scale, which starts from ``initial_scale``;
    ``dynamic_growth_steps`` good steps in a row double it. All other options belong to ``inner_optimizer``: ValueError here.
    Source: Micikevicius et al. 2017.

    >>> from kerasish.optimizers.sgd import SGD
    >>> float(LossScaleOptimizer(SGD(), initial_scale=8.0).scale_loss(0.5))
    4.0
    """

    def __init__(self, inner_optimizer, initial_scale=2.0**15, dynamic_growth_steps=2000, name=None, **kwargs):
        if not kwargs.pop("dynamic", True):
            raise ValueError(
                "LossScaleOptimizer no longer supports `dynamic=False`. Instead, set `loss_scale_factor` on the `inner_optimizer`."
            )
        for option, value in kwargs.items():
            if option not in Optimizer.fields or option == "learning_rate":
                names = ", ".join(f"`{name}`" for name in kwargs)
                raise ValueError(f"LossScaleOptimizer does not support arguments: {names}.")
            if value != Optimizer.fields[option].default:  # older files name the defaults
                raise ValueError(f"LossScaleOptimizer does not support `{option}`. Set it on the `inner_optimizer`.")
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner_optimizer
        self.initial_scale, self.dynamic_growth_steps = initial_scale, dynamic_growth_steps
        inner_optimizer.loss_scale_factor = None  # gradients must not be unscaled twice

    def build(self, variables):
        if self.built:
            return
        self.step_counter = self.add_variable((), dtype="int32", name="step_counter")
        initial = initializers.Constant(self.initial_scale)
        self.dynamic_scale = self.add_variable((), initial, "float32", name="dynamic_scale")
        self.inner_optimizer.build(variables)
        super().build(variables)

    @property
    def variables(self):
        return self._variables + self.inner_optimizer.variables

    @property
    def iterations(self):
        return self.inner_optimizer.iterations

    def _get_learning_rate(self):
        return self.inner_optimizer.learning_rate

    def _set_learning_rate(self, value):
        self.inner_optimizer.learning_rate = value

    def apply(self, grads, trainable_variables=None):
        with name_scope(self.name, caller=self), without_history():
            if not self.built:
                self.build(trainable_variables)
            self._apply(list(grads), trainable_variables)

    def _apply(self, grads, trainable_variables):
        variables = self._trainable_variables if trainable_variables is None else trainable_variables
        finite = self.check_finite(grads)
        scaled = [g if g is None or self._overwrite_variable_with_gradient(v) else ops.divide(g, self.dynamic_scale)
                  for g, v in zip(grads, variables, strict=True)]  # fmt: skip
        usable = [None if g is None else ops.where(finite, g, 0.0) for g in scaled]
        self._keep_where(finite, lambda: self.inner_optimizer.apply(usable, trainable_variables))
        grown = ops.equal(self.step_counter, self.dynamic_growth_steps - 1)
        self.dynamic_scale.assign(self.dynamic_scale * ops.where(finite, ops.where(grown, 2.0, 1.0), 0.5))
        counts = ops.logical_and(finite, ops.logical_not(grown))
        self.step_counter.assign(ops.where(counts, self.step_counter + 1, 0))

    def check_finite(self, grads):
        """Whether all elements of all gradients are finite, as a boolean tensor."""
        return ops.all(ops.stack([ops.all(ops.isfinite(as_tensor(g))) for g in grads if g is not None]))

    def scale_loss(self, loss):
        return ops.multiply(loss, self.dynamic_scale if self.built else self.initial_scale)

    def finalize_variable_values(self, var_list):
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self):
        return {
            "name": self.name,
            "inner_optimizer": serialize_keras_object(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        with CustomObjectScope(custom_objects):
            return cls(**{**config, "inner_optimizer": deserialize_keras_object(config["inner_optimizer"])})
