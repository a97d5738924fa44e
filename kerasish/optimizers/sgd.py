"""Gradient descent."""

from kerasish.optimizers.optimizer import LearningRate, Optimizer


class SGD(Optimizer):
    """Gradient descent, with ``momentum`` if above 0, of Nesterov's kind with ``nesterov`` (``keras.optimizers.SGD``).

    ``momentum`` must be a float in [0, 1], else ValueError.

    >>> from kerasish.backend.autodiff.variable import Variable
    >>> w = Variable([1.0, 2.0])
    >>> SGD(0.5).apply([[1.0, 1.0]], [w])
    >>> w.numpy().tolist()
    [0.5, 1.5]
    """

    learning_rate: LearningRate = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    slots = ("momentum",)

    def check(self):
        super().check()
        if not isinstance(self.momentum, float) or not 0 <= self.momentum <= 1:
            raise ValueError(f"`momentum` must be a float between [0, 1]. Received: momentum={self.momentum}")

    def make_slot(self, name, variable):
        return super().make_slot(name, variable) if self.momentum else None

    def update(self, w, g, lr, momentum):
        if momentum is None:
            return w - lr * g, None
        momentum = self.momentum * momentum - lr * g
        return w + (self.momentum * momentum - lr * g if self.nesterov else momentum), momentum
