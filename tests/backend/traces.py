"""Traces for tests of fusion: recorded functions, random ones among them, and running a trace on NumPy's kernels."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from kerasish import ops
from kerasish.backend.arrays import active
from kerasish.backend.autodiff.op import as_tensor, sum_to
from kerasish.backend.kernels.group import Fused
from kerasish.backend.plan import passes
from kerasish.backend.plan.record import record
from kerasish.ops import activation, crossentropy


def traced(function, *arrays):
    """The trace of a function of arrays, and the values that it starts with."""
    trace, _ = record(function, tuple(as_tensor(x) for x in arrays))
    trace = passes.drop_unread(passes.merge_equal(passes.drop_unread(trace)))
    return trace, {**dict(zip(trace.arguments, arrays, strict=True)), **{i: np.asarray(c) for i, c in trace.constants.items()}}


def run(trace, values, fused=None):
    """All values of a trace; ``fused(call, inputs)`` computes groups, by default their own kernel."""
    values, xp = dict(values), active.xp
    token = xp.silence()
    try:
        for call in trace.calls:
            inputs = [values[i] for i in call.inputs]
            y = fused(call, inputs) if fused and isinstance(call.op, Fused) else call.op.kernel(xp, *inputs, **call.attrs)
            values.update(zip(call.outputs, y if isinstance(y, (tuple, list)) else [y], strict=True))
    finally:
        xp.unsilence(token)
    return values


_SMOOTH = [ops.tanh, ops.sigmoid, ops.exp, ops.square, ops.negative, ops.softplus, ops.abs, ops.elu, ops.silu, ops.gelu, ops.erf]
_BINARY = [ops.add, ops.subtract, ops.multiply, ops.maximum, ops.minimum, lambda x, y: x / (ops.abs(y) + 1.0)]
_COMPARE = [ops.greater, ops.less_equal, ops.not_equal, ops.equal]
_ALONG = [
    lambda x: ops.softmax(x),
    lambda x: ops.log_softmax(x),
    lambda x: ops.logsumexp(x, -1, keepdims=True),
    lambda x: ops.layer_normalization(x, epsilon=0.1),
]


class RandomFunction:
    """A function made of random element-wise ops and reductions over arrays that broadcast to one shape.

    Ops with a jump see only arguments, whose values are the same bits however the rest is computed.
    """

    def __init__(self, seed, steps=12, rank=None):
        self.rng = np.random.default_rng(seed)
        rank = rank or int(self.rng.integers(1, 5))
        self.shape = tuple(int(self.rng.choice([1, 2, 3, 5, 8, 16, 17, 33, 70])) for _ in range(rank))
        while np.prod(self.shape) > 10_000:  # NumPy's own sums over many rows lose too much
            self.shape = tuple(max(1, n // 2) for n in self.shape)
        self.shapes = [self.shape] + [self._part() for _ in range(3)]
        self.arrays = [self.rng.uniform(-2, 2, s).astype("float32").round(1) for s in self.shapes]
        self.steps, self.choices = steps, self.rng.integers(0, 1 << 30, 100 * steps)

    def _part(self):
        shape = tuple(n if self.rng.random() < 0.6 else 1 for n in self.shape)
        return shape[int(self.rng.integers(0, len(shape) + 1)) :] if self.rng.random() < 0.3 else shape

    def __call__(self, *given):
        choices = iter(self.choices)

        def pick(items):
            return items[int(next(choices)) % len(items)]

        given, values = list(given), list(given)
        for _ in range(self.steps):
            kind, x = pick(range(12)), pick(values)
            if kind < 4:
                y = pick(_BINARY)(x, pick(values))
            elif kind < 6:
                y = ops.tanh(pick(_SMOOTH)(ops.tanh(x)))
            elif kind == 6:
                y = ops.where(pick(_COMPARE)(pick(given), pick(given)), x, pick([pick(values), 0.5]))
            elif kind == 7:
                y = pick([activation._gate, activation._leak])(*[ops.broadcast_to(z, self.shape) for z in (x, pick(given))], 0.3)
            elif kind < 10 and x.ndim:
                cut = pick(range(x.ndim + 1))
                axes = pick([tuple(range(cut, x.ndim)), tuple(range(cut)), (-1,), None])
                y = pick([ops.sum, ops.mean, ops.max, ops.min])(x, axis=axes or None, keepdims=bool(next(choices) % 4))
                y = ops.tanh(y * 0.1)
            elif kind == 10 and x.ndim and x.shape[-1] > 1:
                y = pick(_ALONG)(x)
            elif kind == 11 and x.ndim:
                y = sum_to(x, shape=tuple(1 if next(choices) % 2 else n for n in x.shape))
            else:
                y = ops.cast(ops.cast(pick(given) * 3.0, "int32"), "float32") * 0.1
            if y.ndim <= len(self.shape) and all(n in (1, m) for n, m in zip(y.shape[::-1], self.shape[::-1], strict=False)):
                values.append(y)
        return [v for i, v in enumerate(values[len(given) :]) if i % 3 == 2] + values[-1:]


def agree(expected, got, kept, tol, atol):
    """Compare the values that leave a trace: floats to ``tol`` of the largest and ``atol``, all else exactly."""
    for i in kept:
        x, y = np.asarray(expected[i]), np.asarray(got[i])
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        if x.dtype.kind != "f":
            assert_array_equal(y, x)
            continue
        scale = np.abs(x[np.isfinite(x)]).max(initial=0)
        assert_allclose(y, x, rtol=tol, atol=tol * scale + atol)


def loss_and_gradients(labels, logits, weights):
    """A loss with a softmax, its gradients, and how often the largest is right."""
    p = ops.softmax(logits)
    right = crossentropy._pick_at(labels, p, axis=-1)
    loss = ops.mean(-ops.log(ops.clip(right, 1e-7, 1.0)) * weights)
    g = crossentropy._put_at(labels, weights / right, size=logits.shape[-1], axis=-1) * p
    g = g - p * ops.sum(g, -1, keepdims=True)
    return loss, g, ops.sum(g, 0), ops.sum(ops.cast(ops.equal(labels, ops.argmax(p, -1)), "float32"))
