"""Adafactor."""

from kerasish import ops
from kerasish.backend.autodiff.variable import Variable
from kerasish.optimizers.optimizer import LearningRate, Optimizer


def _rms(x):
    return ops.sqrt(ops.mean(ops.square(x)))


class Adafactor(Optimizer):
    """Adam with the squares of a matrix's gradients kept as row and column means (``keras.optimizers.Adafactor``).

    The rate is ``max(epsilon_2, rms(w))`` times the learning rate, which is taken as ``1 / sqrt(step)`` where that is less:
    in Keras whatever ``relative_step`` says, so here too. ``clip_threshold``: largest root mean square of a step, in units of
    the rate. Source: Shazeer & Stern 2018.

    >>> w = Variable([[1.0, 1.0], [1.0, 1.0]])
    >>> Adafactor(0.1).apply([[[1.0, 1.0], [1.0, 1.0]]], [w])
    >>> round(float(w.value[0, 0]), 4)
    0.9
    """

    learning_rate: LearningRate = 0.001
    beta_2_decay: float = -0.8
    epsilon_1: float = 1e-30
    epsilon_2: float = 1e-3
    clip_threshold: float = 1.0
    relative_step: bool = True
    slots = ("row", "column", "velocity")

    def make_slot(self, name, variable):
        shape = variable.shape
        if name == "velocity":
            return super().make_slot(name, variable)
        if len(shape) < 2:  # not factored: Keras has placeholders in its files here
            return self._track_variable(Variable(0, name=variable.name, trainable=False))
        kept = shape[:-1] if name == "row" else (*shape[:-2], shape[-1])
        return self.add_variable(kept, dtype=variable.dtype, name=variable.name)

    def update(self, w, g, lr, row, column, velocity):
        t = self.step(w)
        rate = ops.minimum(lr, 1 / ops.sqrt(t)) * ops.maximum(self.epsilon_2, _rms(w))
        keep = 1 - ops.power(t, self.beta_2_decay)
        squares = ops.square(g) + self.epsilon_1
        if len(w.shape) < 2:
            velocity = keep * velocity + (1 - keep) * squares
        else:
            row = keep * row + (1 - keep) * ops.mean(squares, axis=-1)
            column = keep * column + (1 - keep) * ops.mean(squares, axis=-2)
            share = row / ops.mean(row, axis=-1, keepdims=True)
            velocity = ops.expand_dims(share, -1) * ops.expand_dims(column, -2)
        step = g / ops.sqrt(velocity)
        return w - rate * step / ops.maximum(1.0, _rms(step) / self.clip_threshold), row, column, velocity
