"""Lion."""

from kerasish import ops
from kerasish.optimizers.optimizer import LearningRate, Optimizer


class Lion(Optimizer):
    """Steps of one length, in the direction of the sign of a running mean (``keras.optimizers.Lion``; Chen et al. 2023).

    ``beta_1``: share of the mean in the direction, in (0, 1], else ValueError. ``beta_2``: decay of the mean.

    >>> from kerasish.backend.autodiff.variable import Variable
    >>> w = Variable([1.0, 1.0])
    >>> Lion(0.5).apply([[5.0, -0.1]], [w])
    >>> w.numpy().tolist()
    [0.5, 1.5]
    """

    learning_rate: LearningRate = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.99
    slots = ("momentum",)

    def check(self):
        super().check()
        if not 0 < self.beta_1 <= 1:
            raise ValueError(
                "Argument `beta_1` must be in the [0, 1] range. Otherwise, the optimizer degenerates to SignSGD. "
                f"Received: beta_1={self.beta_1}."
            )

    def update(self, w, g, lr, momentum):
        direction = ops.sign(momentum * self.beta_1 + g * (1 - self.beta_1))
        return w - lr * direction, momentum * self.beta_2 + g * (1 - self.beta_2)
