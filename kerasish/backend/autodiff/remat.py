"""Rematerialization: forget what a function computed inside, and compute it again when gradients need it."""

import functools

from kerasish import tree
from kerasish.backend.autodiff.gradient import Call, _reachable, enable_grad, gradients, stop_gradient
from kerasish.backend.autodiff.scopes import _Scope
from kerasish.backend.autodiff.state import state
from kerasish.backend.autodiff.tensor import Tensor, is_tensor

_MODES = ("full", "activations", "larger_than", "list_of_layers", None)


class RematScope(_Scope):
    """Layers made in this block are rematerialized (``keras.RematScope``; T. Chen et al. 2016, arXiv 1604.06174).

    ``mode``: "full" (every layer), "activations" (activation layers), "larger_than" (outputs of more than
    ``output_size_threshold`` elements), "list_of_layers" (the names in ``layer_names``), or None (nothing).
    """

    def __init__(self, mode="full", output_size_threshold=1024, layer_names=None):
        if mode not in _MODES:
            raise ValueError(f"Invalid mode {mode}. Supported modes are: {_MODES}. If using `list_of_layers`, provide `layer_names`.")
        self.mode, self.output_size_threshold, self.layer_names = mode, output_size_threshold, layer_names or []

    def _values(self):
        return {"remat": self}


class _Remat:
    """The op of a rematerialized call: its gradient runs the function again."""

    def __init__(self, function, n_args):
        def grads(g, y, *inputs):
            args = inputs[:n_args] if state.grad_depth else [_leaf_like(x) for x in inputs[:n_args]]
            with enable_grad():
                outputs = tree.flatten(function(*args))
            return gradients(outputs, [*args, *inputs[n_args:]], g if isinstance(g, tuple) else (g,))

        self.grads = grads


def _leaf_like(x):
    leaf = Tensor(x.value, x.shape, x.dtype)
    leaf.requires_grad = x.requires_grad
    return leaf


def remat(f):
    """The function, with its inner results computed again for gradients instead of kept (``keras.remat``).

    >>> from kerasish import Variable, ops
    >>> v = Variable(2.0)
    >>> remat(lambda x: ops.exp(x) * v)(v * 1.0).backward()
    >>> round(float(v.grad), 4)
    22.1672
    """

    @functools.wraps(f)
    def wrapped(*args, **kwargs):
        flat = tree.flatten((args, kwargs))
        at = [i for i, x in enumerate(flat) if is_tensor(x)]
        if not state.grad_enabled or any(flat[i].value is None for i in at):
            return f(*args, **kwargs)

        def run(*tensors):
            values = list(flat)
            for i, x in zip(at, tensors, strict=True):
                values[i] = x
            new_args, new_kwargs = tree.pack_sequence_as((args, kwargs), values)
            return f(*new_args, **new_kwargs)

        entries = [_leaf_like(flat[i]) for i in at]
        result = run(*entries)
        outputs = tree.flatten(result)
        calls, _ = _reachable([y for y in outputs if isinstance(y, Tensor)], 0, float("inf"))
        if not calls:
            return result
        known = {id(x) for x in entries}
        leaves = {id(x): x for call in calls for x in call.inputs if x.call is None and x.requires_grad and id(x) not in known}
        call = Call(_Remat(run, len(at)), [*[flat[i] for i in at], *leaves.values()], {})
        if len(outputs) > 1:
            call.values = [(y.value, y.shape, y.dtype) for y in outputs]
        made = [stop_gradient(y) for y in outputs]
        for i, (y, inner) in enumerate(zip(made, outputs, strict=True)):
            if inner.requires_grad:
                y.call, y.index, y.requires_grad = call, i, True
        return tree.pack_sequence_as(result, made)

    return wrapped
