"""RMSprop."""

from kerasish import ops
from kerasish.optimizers.optimizer import LearningRate, Optimizer


class RMSprop(Optimizer):
    """Gradients divided by the root of their running mean square (``keras.optimizers.RMSprop``; Hinton 2012, lecture 6e).

    ``rho``: decay of the running means. ``momentum``: above 0, steps are added up with this decay. ``centered``: divide by the
    running standard deviation instead.

    >>> from kerasish.backend.autodiff.variable import Variable
    >>> w = Variable([1.0])
    >>> RMSprop(0.1).apply([[5.0]], [w])
    >>> round(float(w.value[0]), 4)
    0.6838
    """

    learning_rate: LearningRate = 0.001
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False
    slots = (("velocity",), ("momentum",), ("average_gradient",))

    def make_slot(self, name, variable):
        kept = {"velocity": True, "momentum": self.momentum > 0, "average_gradient": self.centered}
        return super().make_slot(name, variable) if kept[name] else None

    def update(self, w, g, lr, velocity, momentum, average):
        velocity = self.rho * velocity + (1 - self.rho) * ops.square(g)
        variance = velocity
        if average is not None:
            average = self.rho * average + (1 - self.rho) * g
            variance = velocity - ops.square(average)
        step = lr * g / ops.sqrt(variance + self.epsilon)
        if momentum is not None:
            step = momentum = self.momentum * momentum + step
        return w - step, velocity, momentum, average
