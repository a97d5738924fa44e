"""Learning rates that go down, in the ways that Keras has.

All compute in ``floatx`` from the number of steps done, an int tensor, and give a scalar tensor.
"""

import math

from kerasish import config, ops
from kerasish.optimizers.schedules.schedule import LearningRateSchedule


def _as_float(step):
    return ops.cast(step, config.floatx())


class _Decay(LearningRateSchedule):
    _length = "decay_steps"  # the field that must be above 0

    def check(self):
        if getattr(self, self._length) <= 0:
            raise ValueError(f"Argument `{self._length}` must be > 0. Received: {self._length}={getattr(self, self._length)}")


class ExponentialDecay(_Decay):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)`` (``keras.optimizers.schedules.ExponentialDecay``).

    ``staircase``: the exponent is rounded down, so that the rate falls once every ``decay_steps``.

    >>> round(float(ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5)(200)), 6)
    0.025
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False
    name: str = "ExponentialDecay"

    def __call__(self, step):
        p = _as_float(step) / self.decay_steps
        return self.initial_learning_rate * ops.power(self.decay_rate, ops.floor(p) if self.staircase else p)


class InverseTimeDecay(_Decay):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)`` (``keras.optimizers.schedules.InverseTimeDecay``).

    ``staircase``: ``step / decay_steps`` is rounded down.

    >>> round(float(InverseTimeDecay(0.1, decay_steps=100, decay_rate=1.0)(300)), 6)
    0.025
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False
    name: str = "InverseTimeDecay"

    def __call__(self, step):
        p = _as_float(step) / self.decay_steps
        return self.initial_learning_rate / (1.0 + self.decay_rate * (ops.floor(p) if self.staircase else p))


class PolynomialDecay(_Decay):
    """From one rate to another as ``(1 - step / decay_steps) ** power`` (``keras.optimizers.schedules.PolynomialDecay``).

    After ``decay_steps`` the rate stays; with ``cycle`` it rises again, and the polynomial runs over the next multiple of
    ``decay_steps``.

    >>> round(float(PolynomialDecay(0.1, decay_steps=100, end_learning_rate=0.02)(50)), 6)
    0.06
    """

    initial_learning_rate: float
    decay_steps: int
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False
    name: str = "PolynomialDecay"

    def __call__(self, step):
        step, steps = _as_float(step), self.decay_steps
        if self.cycle:
            p = step / (steps * ops.maximum(ops.ceil(step / steps), 1.0))
        else:
            p = ops.minimum(step / steps, 1.0)
        return (self.initial_learning_rate - self.end_learning_rate) * ops.power(1.0 - p, self.power) + self.end_learning_rate


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[i]`` up to and including step ``boundaries[i]``, then the last value (``keras.optimizers.schedules``).

    ValueError unless there is one value more than boundaries.

    >>> rate = PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.1])
    >>> [round(float(rate(step)), 4) for step in (10, 11, 21)]
    [1.0, 0.5, 0.1]
    """

    boundaries: list
    values: list
    name: str = "PiecewiseConstant"

    def check(self):
        if len(self.boundaries) != len(self.values) - 1:
            raise ValueError(
                f"`boundaries` must have 1 less than the length of values, got {self.boundaries} ({len(self.boundaries)}) and "
                f"{self.values} ({len(self.values)})."
            )

    def __call__(self, step):
        rate = _as_float(self.values[0])
        for boundary, value in zip(self.boundaries, self.values[1:], strict=True):
            rate = ops.where(ops.greater(step, boundary), value, rate)
        return rate


class CosineDecay(_Decay):
    """Half a cosine, down to ``alpha`` times the highest rate (``keras.optimizers.schedules.CosineDecay``).

    With ``warmup_target`` the rate first rises linearly from ``initial_learning_rate`` to it, over ``warmup_steps``. Source:
    Loshchilov & Hutter 2016.

    >>> round(float(CosineDecay(0.1, decay_steps=100)(50)), 6)
    0.05
    """

    initial_learning_rate: float
    decay_steps: int
    alpha: float = 0.0
    name: str = "CosineDecay"
    warmup_target: float | None = None
    warmup_steps: int = 0

    def __call__(self, step):
        step, low = _as_float(step), self.initial_learning_rate
        if self.warmup_target is None:
            return low * self._share(step)
        decayed = self.warmup_target * self._share(ops.maximum(step - self.warmup_steps, 0.0))
        if not self.warmup_steps:
            return decayed
        warming = low + (self.warmup_target - low) * (step / self.warmup_steps)
        return ops.where(step < self.warmup_steps, warming, decayed)

    def _share(self, step):
        return _cosine(ops.minimum(step / self.decay_steps, 1.0), self.alpha)


class CosineDecayRestarts(_Decay):
    """Half a cosine again and again, each ``t_mul`` times as long and ``m_mul`` times as high (``keras.optimizers.schedules``).

    ``alpha``: the lowest rate, as a share of ``initial_learning_rate``. Source: Loshchilov & Hutter 2016.

    >>> [round(float(CosineDecayRestarts(0.1, first_decay_steps=10)(step)), 4) for step in (5, 10, 20)]
    [0.05, 0.1, 0.05]
    """

    initial_learning_rate: float
    first_decay_steps: int
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0
    name: str = "SGDRDecay"
    _length = "first_decay_steps"

    def __call__(self, step):
        done = _as_float(step) / self.first_decay_steps
        if self.t_mul == 1.0:
            restarts = ops.floor(done)
            done = done - restarts
        else:
            # the first n decays take (t_mul ** n - 1) / (t_mul - 1) times the first one
            restarts = ops.floor(ops.log(1.0 + done * (self.t_mul - 1.0)) / math.log(self.t_mul))
            length = ops.power(self.t_mul, restarts)
            done = (done - (length - 1.0) / (self.t_mul - 1.0)) / length
        return self.initial_learning_rate * _cosine(done, self.alpha, ops.power(self.m_mul, restarts))


def _cosine(done, alpha, height=1.0):
    """``height`` at the start (``done`` is 0), ``alpha`` at the end (1), along half a cosine."""
    return (1.0 - alpha) * (0.5 * height * (1.0 + ops.cos(math.pi * done))) + alpha
