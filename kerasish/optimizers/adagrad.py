"""Adagrad and Adadelta."""

from kerasish import initializers, ops
from kerasish.optimizers.optimizer import LearningRate, Optimizer


class Adagrad(Optimizer):
    """Gradients divided by the root of the sum of all their squares (``keras.optimizers.Adagrad``; Duchi et al. 2011).

    ``initial_accumulator_value``: what that sum starts from.

    >>> from kerasish.backend.autodiff.variable import Variable
    >>> w = Variable([1.0])
    >>> Adagrad(0.1, initial_accumulator_value=0.0).apply([[5.0]], [w])
    >>> round(float(w.value[0]), 4)
    0.9
    """

    learning_rate: LearningRate = 0.001
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7
    slots = ("accumulator",)

    def make_slot(self, name, variable):
        return super().make_slot(name, variable, initializers.Constant(self.initial_accumulator_value))

    def update(self, w, g, lr, accumulator):
        accumulator = accumulator + ops.square(g)
        return w - lr * g / ops.sqrt(accumulator + self.epsilon), accumulator


class Adadelta(Optimizer):
    """Steps in the weights' own unit, from running means of squared steps and gradients (``keras.optimizers.Adadelta``).

    ``rho``: decay of both means. Source: Zeiler 2012, which has a ``learning_rate`` of 1.

    >>> from kerasish.backend.autodiff.variable import Variable
    >>> w = Variable([1.0])
    >>> Adadelta(1.0).apply([[5.0]], [w])
    >>> w.numpy().item() < 1
    True
    """

    learning_rate: LearningRate = 0.001
    rho: float = 0.95
    epsilon: float = 1e-7
    slots = ("accumulated_grad", "accumulated_delta_var")

    def update(self, w, g, lr, squares, step_squares):
        squares = self.rho * squares + (1 - self.rho) * ops.square(g)
        step = g * ops.sqrt(step_squares + self.epsilon) / ops.sqrt(squares + self.epsilon)
        step_squares = self.rho * step_squares + (1 - self.rho) * ops.square(step)
        return w - lr * step, squares, step_squares
