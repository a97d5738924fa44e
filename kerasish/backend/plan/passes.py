"""Passes: small functions from a trace to a trace, which change what is computed but no result."""

import numpy as np

from kerasish.backend.arrays import active
from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.plan.trace import Call, Trace, parts_of

_NUMPY = NumpyArrays()


def with_calls(trace, calls):
    """The trace with other calls."""
    new = Trace()
    new.__dict__.update(trace.__dict__, calls=calls)
    return new


def drop_unread(trace):
    """Without calls whose outputs nobody reads."""
    needed, calls = trace.kept(), []
    for call in reversed(trace.calls):
        if not needed.isdisjoint(call.outputs):
            needed.update(call.inputs)
            calls.append(call)
    return with_calls(trace, calls[::-1])


def merge_equal(trace):
    """With one call in place of several that compute the same, and none in place of a cast to the dtype that is there already."""
    first, same, calls = {}, {}, []
    for call in trace.calls:
        inputs = tuple(same.get(i, i) for i in call.inputs)
        if call.op.name == "cast" and trace.specs[inputs[0]].dtype == call.attrs["dtype"]:
            same[call.outputs[0]] = inputs[0]
            continue
        key = (call.op, inputs, frozen(call.attrs))
        if key in first:
            same.update(zip(call.outputs, first[key], strict=True))
        else:
            first[key] = call.outputs
            calls.append(Call(call.op, inputs, call.attrs, call.outputs))
    merged = with_calls(trace, calls)
    merged.results = [same.get(i, i) for i in trace.results]
    merged.writes = {v: same.get(i, i) for v, i in trace.writes.items()}
    return merged


def without_last_reshapes(trace):
    """With results that are another's elements in another shape left in that one's: whoever returns them gives them their own."""
    source = {call.outputs[0]: call.inputs[0] for call in trace.calls if call.op.name in ("reshape", "_relabel")}
    new = with_calls(trace, trace.calls)
    new.results = list(trace.results)
    for i, number in enumerate(new.results):
        while number in source:
            number = source[number]
        new.results[i] = number
    return new


class Same:
    """Equal to another of the same object only, which it keeps alive."""

    __slots__ = ("x",)

    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return isinstance(other, Same) and other.x is self.x

    def __hash__(self):
        return id(self.x)


def frozen(x):
    """An attribute as a key: equal for equal values."""
    if isinstance(x, dict):
        return tuple((k, frozen(v)) for k, v in sorted(x.items()))
    if isinstance(x, (tuple, list)):
        return type(x).__name__, tuple(map(frozen, x))
    if isinstance(x, slice):
        return "slice", x.start, x.stop, x.step
    if isinstance(x, float):
        return "float", x.hex()  # 0.0 and -0.0 are not the same
    if isinstance(x, np.ndarray):
        return "array", x.shape, x.dtype.str, x.tobytes()
    try:
        hash(x)
    except TypeError:
        return Same(x)
    return type(x).__name__, x


def static_views(trace):
    """Values that are views of others: value -> (root, shape, strides in bytes, offset in bytes).

    An op that says it may return a view is asked, on memory that is never touched, whether it does.
    """
    views = {}
    for call in trace.calls:
        source = call.inputs[0] if call.inputs else None
        if not call.op.views or any(i not in trace.constants for i in call.inputs[1:]) or source in trace.constants:
            continue
        root, shape, strides, offset = views.get(source, (source, trace.specs[source].shape, None, 0))
        memory = np.empty(trace.specs[root].shape, trace.specs[root].numpy_dtype)
        if not memory.size:
            continue
        x = memory if strides is None else np.lib.stride_tricks.as_strided(memory.reshape(-1)[offset // memory.itemsize :], shape, strides)
        y = call.op.kernel(_NUMPY, x, *[active.xp.to_numpy(trace.constants[i]) for i in call.inputs[1:]], **call.attrs)
        if all(_within(part, memory) for part in parts_of(y)):
            for number, part in zip(call.outputs, parts_of(y), strict=True):
                views[number] = root, part.shape, part.strides, _address(part) - _address(memory) if part.size else 0
    return views


def root_of(views, value):
    """The value whose memory a value is in."""
    return views[value][0] if value in views else value


def _address(array):
    return array.__array_interface__["data"][0]


def _within(part, memory):
    inside = isinstance(part, np.ndarray) and part.dtype == memory.dtype
    return inside and (not part.size or 0 <= _address(part) - _address(memory) < memory.nbytes)
