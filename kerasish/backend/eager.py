"""Large arrays outside plans: an op that is called again and again with the same kinds of arrays gets a plan for this one call.

So compiled kernels, made for plans, serve eager calls too: those that give NumPy's very bits, so that a result never hangs on how
often something was computed before it (a training that was interrupted and goes on ends as one that was not). A plan costs some
microseconds a call and the work of making it once, so small arrays and what is rarely computed stay with the op's NumPy kernel,
as does all that no compiled kernel takes. Everything else is quicker inside ``keras.function``.
"""

import collections
import os
import threading

import numpy as np

from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.autodiff.op import op
from kerasish.backend.autodiff.state import setting
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.backend.kernels import native
from kerasish.backend.kernels.domain import CHEAP
from kerasish.backend.plan.passes import frozen
from kerasish.backend.plan.plan import Plan
from kerasish.backend.plan.record import record

_LEAST, _LEAST_CHEAP = 1 << 13, 1 << 16  # elements of an input from which on a plan is worth it
_CALLS = 3  # calls with the same kinds of arrays, the last of which makes the plan
_MOST, _MOST_BYTES = 512, 1 << 28  # kinds of calls that are remembered, memory that their plans may hold

# what moves, compares and selects, and arithmetic that IEEE 754 rounds in one way only
_EXACT = {
    "_clip", "_concatenate", "_differences", "_distances", "_get_item", "_half_turns", "_in_range", "_one_hot", "_pad_constant",
    "_pad_repeat", "_pick_at", "_put", "_put_at", "_relabel", "_repeat", "_set", "_split", "_stack", "_take", "_take_along",
    "_top_indices", "_unstack", "_wins", "absolute", "add", "all", "any", "argmax", "argmin", "broadcast_to", "cast", "ceil",
    "choose", "diagonal", "divide", "equal", "extract_sequences", "fabs", "flip", "floor", "floor_divide", "fmod", "greater",
    "greater_equal", "isfinite", "isinf", "isnan", "less", "less_equal", "logical_and", "logical_not", "logical_or",
    "logical_xor", "max", "max_pool", "maximum", "min", "minimum", "mod", "multiply", "negative", "not_equal", "relu", "relu6",
    "searchsorted", "sign", "signbit", "sqrt", "square", "stack_rows", "subtract", "transpose", "tril", "triu", "trunc",
}  # fmt: skip
_kinds: collections.OrderedDict = collections.OrderedDict()  # kind -> how many calls by now, or a _Replay, or None: NumPy's is the one
_least: dict = {}
_lock = threading.Lock()


def run(xp, called, values, attrs):
    """What an op's kernel gives for these arrays, or a compiled kernel where that is worth it."""
    if type(xp) is not NumpyArrays:
        return called.kernel(xp, *values, **attrs)
    least = _least.get(called)
    if least is None:
        least = _least[called] = _least_for(called)
    for x in values:
        if x.size >= least:
            replay = _replay(called, values, attrs)
            return called.kernel(xp, *values, **attrs) if replay is None else replay(values)
    return called.kernel(xp, *values, **attrs)


def _least_for(called):
    if called.views or called.name not in _EXACT:
        return float("inf")
    return _LEAST_CHEAP if called.name in CHEAP else _LEAST


def _replay(called, values, attrs):
    key = (called, *[(x.shape, x.dtype, x.flags.c_contiguous or x.strides) for x in values], frozen(attrs) if attrs else None)
    known = _kinds.get(key, 0)
    if type(known) is not int:
        return known
    if not native.available():
        return None
    with _lock:
        known = _kinds.get(key, 0)
        if type(known) is int:
            known = _kinds[key] = known + 1 if known + 1 < _CALLS else _made(called, values, attrs)
            _forget()
    return None if type(known) is int else known


def _forget():
    """Forget the oldest kinds, but not the newest, where there are too many or their plans hold too much."""
    held = sum(x.nbytes for x in _kinds.values() if type(x) is _Replay)
    while len(_kinds) > _MOST or (held > _MOST_BYTES and len(_kinds) > 1):
        held -= getattr(_kinds.popitem(last=False)[1], "nbytes", 0)


def _made(called, values, attrs):
    """A replay for a call of this kind; None where compiled kernels don't do all of it."""
    if any(type(x) is not np.ndarray for x in values if x.ndim) or any(x.dtype.kind not in "biuf" or not x.dtype.isnative for x in values):
        return None
    layouts = [_layout(x) for x in values]
    given = [Tensor(y, y.shape, y.dtype.name) for y in map(_dense, values, layouts)]

    def call(*xs):
        return called.call([x if axes is None else _laid_out.call([x], {"axes": axes}) for x, axes in zip(xs, layouts, strict=True)], attrs)

    try:
        with setting(grad_enabled=False):
            trace, _ = record(call, given)
            plan = Plan(trace)
    except Exception:  # what NumPy's kernel says of it will be clearer
        return None
    if trace.reads or not all(hasattr(step, "compiled") for step in plan._steps):
        return None
    return _Replay(plan, layouts)


def _layout(x):
    """The order of axes in which an array with its axes exchanged lies in memory; None for any other."""
    if x.flags.c_contiguous:
        return None
    axes = tuple(sorted(range(x.ndim), key=lambda i: -x.strides[i]))
    return axes if x.transpose(axes).flags.c_contiguous else None


def _dense(x, axes):
    return x if axes is None else x.transpose(axes)


@op(lambda x, axes: tuple(x[axes.index(i)] for i in range(len(axes))), [None], views=True)
def _laid_out(xp, x, axes):
    return x.transpose([axes.index(i) for i in range(len(axes))])


class _Replay:
    """A plan for one call, as a function of its arrays."""

    def __init__(self, plan, layouts):
        self.plan, self.nbytes = plan, plan.nbytes + plan._programs.scratch_bytes
        self.layouts = layouts if any(axes is not None for axes in layouts) else None

    def __call__(self, values):
        arguments = values if self.layouts is None else map(_dense, values, self.layouts)
        results = [y.value for y in self.plan(arguments)]
        return results[0] if len(results) == 1 else tuple(results)


def _after_fork():
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
NumpyArrays.run = run
