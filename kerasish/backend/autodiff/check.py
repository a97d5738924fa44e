"""check_grads: a function's derivatives against finite differences."""

import numpy as np

from kerasish import tree
from kerasish.backend.autodiff.gradient import value_and_grad
from kerasish.backend.autodiff.op import as_tensor
from kerasish.backend.autodiff.tensor import Tensor


def check_grads(f, args, order=2, step=None, rtol=None, atol=None, seed=0):
    """Raise AssertionError unless the derivatives of ``f`` at ``args`` agree with central differences.

    ``f`` takes tensors (float ones are differentiated; pass float64 arrays for sharp bounds) and returns a tensor or a structure
    of them. Derivatives are taken along random directions, to order 1 or 2.

    >>> from kerasish import ops
    >>> check_grads(ops.tanh, [np.array([0.5, -1.0])])
    """
    rng = np.random.default_rng(seed)
    points = [as_tensor(x) for x in args]
    wide = all("64" in x.dtype for x in points if "float" in x.dtype)
    step = step or (1e-6 if wide else 1e-3)
    rtol, atol = rtol or (1e-5 if wide else 2e-2), atol or (1e-6 if wide else 2e-2)
    chosen = tuple(i for i, x in enumerate(points) if "float" in x.dtype)
    directions = {i: rng.uniform(-1, 1, points[i].shape).astype(points[i].dtype) for i in chosen}

    def value(*xs):
        total = 0.0
        for k, y in enumerate(tree.flatten(f(*xs))):
            weights = np.random.default_rng(k).uniform(0.5, 1.5, y.shape).astype(y.dtype)
            total = total + (as_tensor(y) * weights).sum()
        return total

    def slope(*xs):
        _, slopes = value_and_grad(value, chosen)(*xs)
        return sum((g * directions[i]).sum() for i, g in zip(chosen, slopes, strict=True))

    function = value
    for n in range(1, order + 1):
        _, slopes = value_and_grad(function, chosen)(*points)
        analytic = sum(float(np.sum(g.numpy() * directions[i])) for i, g in zip(chosen, slopes, strict=True))
        ends = []
        for sign in (1, -1):
            moved = [Tensor(x.numpy() + sign * step * directions[i]) if i in directions else x for i, x in enumerate(points)]
            ends.append(float(function(*moved)))
        numeric = (ends[0] - ends[1]) / (2 * step)
        if not np.isclose(analytic, numeric, rtol=rtol, atol=atol):
            raise AssertionError(f"order {n}: the gradient rules give {analytic}, finite differences {numeric}")
        function = slope
