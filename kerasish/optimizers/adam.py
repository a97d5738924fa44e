"""Adam and its relatives: a running mean of the gradients over the root of a running mean of their squares."""

from kerasish import config, ops
from kerasish.backend.autodiff.variable import Variable
from kerasish.optimizers.optimizer import LearningRate, Optimizer


def running_mean(mean, x, beta):
    """The mean moved towards ``x`` by the share ``1 - beta``."""
    return mean + (x - mean) * (1 - beta)


class Adam(Optimizer):
    """Adam (``keras.optimizers.Adam``; Kingma & Ba 2014); with ``amsgrad`` the largest velocity so far (Reddi et al. 2018).

    ``beta_1``, ``beta_2``: decays of the running means of the gradient and of its square. ``epsilon``: the paper's "epsilon
    hat".

    >>> w = Variable([1.0])
    >>> Adam(0.1).apply([[5.0]], [w])
    >>> round(float(w.value[0]), 4)
    0.9
    """

    learning_rate: LearningRate = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False
    slots = (("momentum", "velocity"), ("velocity_hat",))

    def make_slot(self, name, variable):
        return super().make_slot(name, variable) if self.amsgrad or name != "velocity_hat" else None

    def update(self, w, g, lr, momentum, velocity, largest):
        t = self.step(w)
        alpha = lr * ops.sqrt(1 - ops.power(self.beta_2, t)) / (1 - ops.power(self.beta_1, t))
        momentum = running_mean(momentum, g, self.beta_1)
        velocity = running_mean(velocity, ops.square(g), self.beta_2)
        scale = velocity
        if largest is not None:
            scale = largest = ops.maximum(largest, velocity)
        return w - momentum * alpha / (ops.sqrt(scale) + self.epsilon), momentum, velocity, largest


class AdamW(Adam):
    """Adam with weight decay apart from the gradient (``keras.optimizers.AdamW``; Loshchilov & Hutter 2017).

    ValueError for ``weight_decay=None``.

    >>> AdamW(weight_decay=0.01).weight_decay
    0.01
    """

    learning_rate: LearningRate = 0.001
    weight_decay: float = 0.004

    def check(self):
        super().check()
        if self.weight_decay is None:
            raise ValueError("Argument `weight_decay` must be a float. Received: weight_decay=None")


class Adamax(Optimizer):
    """Adam with a running maximum in place of the velocity (``keras.optimizers.Adamax``; Kingma & Ba 2014, section 7).

    >>> w = Variable([1.0])
    >>> Adamax(0.1).apply([[5.0]], [w])
    >>> round(float(w.value[0]), 4)
    0.9
    """

    learning_rate: LearningRate = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    slots = ("momentum", "norm")

    def update(self, w, g, lr, momentum, norm):
        momentum = running_mean(momentum, g, self.beta_1)
        norm = ops.maximum(self.beta_2 * norm, ops.abs(g))
        correction = 1 - ops.power(self.beta_1, self.step(w))
        return w - lr * momentum / (correction * (norm + self.epsilon)), momentum, norm


class Nadam(Optimizer):
    """Adam with Nesterov's momentum (``keras.optimizers.Nadam``; Dozat 2015).

    >>> w = Variable([1.0])
    >>> Nadam(0.1).apply([[5.0]], [w])
    >>> w.numpy().item() < 0.91
    True
    """

    learning_rate: LearningRate = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    slots = ("momentum", "velocity")

    def build(self, variables):
        if not self.built:
            super().build(variables)
            # the product of all momentum coefficients so far, one for all weights; named and typed as in Keras's files
            self._u_product = Variable(1.0, dtype=variables[0].dtype if variables else config.floatx())

    def _coefficient(self, t):
        return self.beta_1 * (1 - 0.5 * ops.power(0.96, t))

    def _update_all(self, grads, variables, learning_rate):
        self._u_product.assign(self._u_product * self._coefficient(self.step(self._u_product)))
        super()._update_all(grads, variables, learning_rate)

    def update(self, w, g, lr, momentum, velocity):
        t, beta_2 = self.step(w), ops.cast(self.beta_2, w.dtype)
        now, following = self._coefficient(t), self._coefficient(t + 1)
        product = ops.cast(self._u_product, w.dtype)
        momentum = running_mean(momentum, g, self.beta_1)
        velocity = running_mean(velocity, ops.square(g), beta_2)
        mean = following * momentum / (1 - product * following) + (1 - now) * g / (1 - product)
        scale = velocity / (1 - ops.power(beta_2, t))
        return w - mean * lr / (ops.sqrt(scale) + self.epsilon), momentum, velocity


class Lamb(Optimizer):
    """Adam's step made as long as the weight itself, for large batches (``keras.optimizers.Lamb``; You et al. 2019).

    >>> w = Variable([3.0, 4.0])
    >>> Lamb(0.1).apply([[1.0, 0.0]], [w])
    >>> [round(x, 4) for x in w.numpy().tolist()]
    [2.5, 4.0]
    """

    learning_rate: LearningRate = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    slots = ("momentum", "velocity")

    def update(self, w, g, lr, momentum, velocity):
        t = self.step(w)
        momentum = running_mean(momentum, g, self.beta_1)
        velocity = running_mean(velocity, ops.square(g), self.beta_2)
        mean = momentum / (1 - ops.power(self.beta_1, t))
        scale = velocity / (1 - ops.power(self.beta_2, t))
        step = mean / (ops.sqrt(scale) + self.epsilon)
        w_norm, step_norm = ops.sqrt(ops.sum(ops.square(w))), ops.sqrt(ops.sum(ops.square(step)))
        comparable = ops.logical_and(w_norm > 0, step_norm > 0)
        ratio = ops.where(comparable, w_norm / ops.where(comparable, step_norm, 1.0), 1.0)
        return w - ratio * lr * step, momentum, velocity


class ScheduleFreeAdamW(Optimizer):
    """AdamW that needs no learning rate schedule (``keras.optimizers.ScheduleFreeAdamW``; Defazio et al. 2024).

    The weights are kept between a sequence of steps (the slot ``momentum``) and its average, ``beta_1`` of the way to the
    average. ``warmup_steps``: the learning rate grows linearly over so many steps.

    >>> w = Variable([1.0])
    >>> ScheduleFreeAdamW(0.1).apply([[5.0]], [w])
    >>> round(float(w.value[0]), 4)
    0.9
    """

    learning_rate: LearningRate = 0.0025
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    warmup_steps: int = 0
    slots = ("momentum", "velocity")

    def make_slot(self, name, variable):
        initial = (lambda shape, dtype: ops.copy(variable)) if name == "momentum" else "zeros"
        return super().make_slot(name, variable, initial)

    def update(self, w, g, lr, steps, velocity):
        t, beta_2 = self.step(w), ops.cast(self.beta_2, w.dtype)
        if self.warmup_steps > 0:
            lr = lr * ops.minimum(t / self.warmup_steps, 1.0)
        velocity = running_mean(velocity, ops.square(g), beta_2)
        scale = ops.sqrt(velocity / (1 - ops.power(beta_2, t))) + self.epsilon
        average = (w - (1 - self.beta_1) * steps) / self.beta_1
        steps = steps - lr * g / scale
        average = average + (steps - average) / t
        return (1 - self.beta_1) * steps + self.beta_1 * average, steps, velocity
