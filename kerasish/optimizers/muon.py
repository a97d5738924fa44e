"""Muon."""

import math
import re

from kerasish import ops
from kerasish.optimizers.adam import running_mean
from kerasish.optimizers.optimizer import LearningRate, Optimizer


class Muon(Optimizer):
    """Momentum whose steps are made orthogonal matrices (``keras.optimizers.Muon``; Jordan 2024, Liu et al. 2025).

    Only matrices are updated so; other weights, those with "embedding" in their path (``exclude_embeddings``) and those
    whose path one of ``exclude_layers`` is found in (regular expressions: name your output layer) are updated as by AdamW,
    with ``adam_lr_ratio`` times the learning rate. ``muon_a, muon_b, muon_c, ns_steps``: the Newton-Schulz iteration.
    ``rms_rate``: steps are scaled to Adam's length by ``rms_rate * sqrt(longer side)``; None for no scaling.

    >>> from kerasish.backend.autodiff.variable import Variable
    >>> w = Variable([[1.0, 0.0], [0.0, 1.0]])
    >>> Muon(0.1, weight_decay=None, rms_rate=None).apply([[[3.0, 0.0], [0.0, 3.0]]], [w])
    >>> 0.85 < float(w.value[0, 0]) < 0.95
    True
    """

    learning_rate: LearningRate = 0.001
    adam_beta_1: float = 0.9
    adam_beta_2: float = 0.999
    adam_weight_decay: float | None = 0.004
    epsilon: float = 1e-7
    weight_decay: float | None = 0.004
    clipnorm: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None
    use_ema: bool = False
    ema_momentum: float = 0.99
    ema_overwrite_frequency: int | None = None
    loss_scale_factor: float | None = None
    gradient_accumulation_steps: int | None = None
    name: str | None = None
    exclude_layers: list[str] | None = None
    exclude_embeddings: bool = True
    muon_a: float = 3.4445
    muon_b: float = -4.7750
    muon_c: float = 2.0315
    adam_lr_ratio: float = 1
    momentum: float = 0.95
    ns_steps: int = 5
    nesterov: bool = True
    rms_rate: float | None = 0.2
    slots = ("momentum", "velocity")

    def check(self):
        super().check()
        self.exclude_layers = self.exclude_layers or []

    def _should_use_adamw(self, variable):
        if len(variable.shape) != 2 or (self.exclude_embeddings and "embedding" in variable.path.lower()):
            return True
        return any(re.search(keyword, variable.path) for keyword in self.exclude_layers)

    def _weight_decay_of(self, variable):
        return self.adam_weight_decay if self._should_use_adamw(variable) else self.weight_decay

    def make_slot(self, name, variable):
        return super().make_slot(name, variable) if name == "momentum" or self._should_use_adamw(variable) else None

    def update(self, w, g, lr, momentum, velocity):
        if velocity is not None:
            return self._adam_update(w, g, lr * self.adam_lr_ratio, momentum, velocity)
        momentum = self.momentum * momentum + g
        direction = g + self.momentum * momentum if self.nesterov else momentum
        return w - self.lr_adjust(lr * self.zeropower_via_newtonschulz5(direction, self.ns_steps)), momentum, None

    def _adam_update(self, w, g, lr, momentum, velocity):
        t = self.step(w)
        alpha = lr * ops.sqrt(1 - ops.power(self.adam_beta_2, t)) / (1 - ops.power(self.adam_beta_1, t))
        momentum = running_mean(momentum, g, self.adam_beta_1)
        velocity = running_mean(velocity, ops.square(g), self.adam_beta_2)
        return w - momentum * alpha / (ops.sqrt(velocity) + self.epsilon), momentum, velocity

    def transpose_last_axis(self, X):
        """The matrix, or matrices, with rows and columns exchanged."""
        return ops.swapaxes(X, -1, -2)

    def lr_adjust(self, x):
        """A step scaled to the length of Adam's steps (see ``rms_rate``)."""
        return x if self.rms_rate is None else x * (math.sqrt(max(x.shape[0], x.shape[1])) * self.rms_rate)

    def zeropower_via_newtonschulz5(self, x, steps: int):
        """Roughly the nearest orthogonal matrix: each singular value becomes 1, up to about 30%.

        ValueError for a tensor with fewer than two axes.
        """
        if len(x.shape) < 2:
            raise ValueError(f"Muon takes matrices, or at least 2 dimensions. Received shape {x.shape}")
        tall = x.shape[-2] > x.shape[-1]
        if tall:  # products of the shorter side are smaller
            x = self.transpose_last_axis(x)
        x = x / (ops.sqrt(ops.sum(ops.square(x), axis=(-2, -1), keepdims=True)) + 1e-7)
        for _ in range(steps):
            square = ops.matmul(x, self.transpose_last_axis(x))
            x = self.muon_a * x + ops.matmul(self.muon_b * square + self.muon_c * ops.matmul(square, square), x)
        return self.transpose_last_axis(x) if tall else x
