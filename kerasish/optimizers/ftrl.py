"""Follow the regularized leader."""

from kerasish import initializers, ops
from kerasish.optimizers.optimizer import LearningRate, Optimizer


class Ftrl(Optimizer):
    """Follow the regularized leader, for large sparse linear models (``keras.optimizers.Ftrl``; McMahan et al. 2013).

    ``learning_rate_power``: 0 or less, 0 for a fixed rate. The L1 and L2 strengths are 0 or more; the "shrinkage" one acts on
    the gradient only. ``beta``: the paper's. ValueError for values of the wrong sign.

    >>> from kerasish.backend.autodiff.variable import Variable
    >>> w = Variable([0.0])
    >>> Ftrl(0.1, initial_accumulator_value=0.0).apply([[5.0]], [w])
    >>> round(float(w.value[0]), 4)
    -0.1
    """

    learning_rate: LearningRate = 0.001
    learning_rate_power: float = -0.5
    initial_accumulator_value: float = 0.1
    l1_regularization_strength: float = 0.0
    l2_regularization_strength: float = 0.0
    l2_shrinkage_regularization_strength: float = 0.0
    beta: float = 0.0
    slots = ("accumulator", "linear")

    def check(self):
        super().check()
        if self.learning_rate_power > 0:
            power = self.learning_rate_power
            raise ValueError(f"`learning_rate_power` needs to be negative or zero. Received: learning_rate_power={power}.")
        strengths = [f"{kind}_regularization_strength" for kind in ("l1", "l2", "l2_shrinkage")]
        for name in ("initial_accumulator_value", *strengths):
            if getattr(self, name) < 0:
                raise ValueError(f"`{name}` needs to be positive or zero. Received: {name}={getattr(self, name)}.")

    def make_slot(self, name, variable):
        initial = self.initial_accumulator_value if name == "accumulator" else 0.0
        return super().make_slot(name, variable, initializers.Constant(initial))

    def update(self, w, g, lr, accumulator, linear):
        l1, l2 = self.l1_regularization_strength, self.l2_regularization_strength + self.beta / (2 * lr)
        before = ops.power(accumulator, -self.learning_rate_power)
        accumulator = accumulator + ops.square(g)
        after = ops.power(accumulator, -self.learning_rate_power)
        linear = linear + g + 2 * self.l2_shrinkage_regularization_strength * w - (after - before) / lr * w
        return (ops.clip(linear, -l1, l1) - linear) / (after / lr + 2 * l2), accumulator, linear
