"""Rematerialization: forget what a function computed inside, and compute it again when gradients need it."""

import functools

from kerasish import tree
from kerasish.backend.autodiff.dtypes import differentiable
from kerasish.backend.autodiff.gradient import Call, _reachable, enable_grad, gradients, identity, stop_gradient
from kerasish.backend.autodiff.scopes import StatelessScope, _Scope
from kerasish.backend.autodiff.state import next_order, setting, state
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
    """The op of a rematerialized call: its gradient runs the function again, in the state that it first ran in."""

    def __init__(self, run, n_args, seen):
        now = {name: getattr(state, name) for name in ("call_context", "autocast", "names")}

        def grads(g, y, *inputs):
            args = [_entry(x, identity if state.grad_depth else Tensor.alias) for x in inputs[:n_args]]
            first = next_order()
            with enable_grad(), setting(**now), StatelessScope(seen.values()):
                outputs = tree.flatten(run(*args))
            return gradients(outputs, [*args, *inputs[n_args:]], g if isinstance(g, tuple) else (g,), first=first)

        self.grads = grads


def _entry(x, make):
    """An argument as a tensor of its own, at which the gradients of this run arrive."""
    if not differentiable(x.dtype):
        return x
    entry = make(x)
    entry.requires_grad = True
    return entry


def remat(f):
    """The function, with its inner results computed again for gradients instead of kept (``keras.remat``).

    The second run sees variables, seeds included, as they were at the first, and changes none of them.

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

        entries, first, seen = [_entry(flat[i], Tensor.alias) for i in at], next_order(), {}
        with setting(seen=seen):
            result = run(*entries)
        if state.seen is not None:  # inside another such call, which will run again too
            state.seen.update({key: value for key, value in seen.items() if key not in state.seen})
        outputs = tree.flatten(result)
        captured = _captured(outputs, entries, first)
        if not captured and not any(flat[i].requires_grad for i in at):
            return tree.pack_sequence_as(result, [stop_gradient(y) for y in outputs])
        call = Call(_Remat(run, len(at), seen), [*[flat[i] for i in at], *captured], {})
        if len(outputs) > 1:
            call.values = [y.alias() for y in outputs]
        made = [stop_gradient(y) for y in outputs]
        for i, (y, inner) in enumerate(zip(made, outputs, strict=True)):
            if inner.requires_grad:
                y.call, y.index, y.requires_grad = call, i, True
        return tree.pack_sequence_as(result, made)

    return wrapped


def _captured(outputs, entries, first):
    """What the function used besides its arguments: variables' values, and tensors that were there before it ran."""
    calls, _ = _reachable([y for y in outputs if isinstance(y, Tensor)], first, float("inf"))
    own = {id(x) for x in entries}
    found = {}
    for call in calls:
        for x in call.inputs:
            if x.requires_grad and id(x) not in own and (x.call is None or x.call.order < first):
                found[id(x)] = x
    return list(found.values())
