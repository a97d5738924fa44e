"""A group of calls that are computed together, as one op, and how NumPy runs it."""

import math
import typing

import numpy as np

from kerasish.backend.kernels import domain
from kerasish.backend.kernels.domain import ALIGNED, REDUCTIONS, VIEWS

_BLOCK = 1 << 16  # elements that NumPy computes at a time: some arrays of that size stay in the cache
_IN_PLACE = ("add", "subtract", "multiply", "divide", "maximum", "minimum")  # kernels that may write where they read


class Fused:
    """A group of calls as one op. ``calls`` name values by numbers: first the inputs, then what the calls give.

    ``outputs``: which values leave the group. ``axes``, ``masks``: of all values; ``specs``: their shapes and dtypes.
    """

    name, takes_out, views = "fused", True, False
    defaults: typing.ClassVar[dict] = {}

    def __init__(self, calls, n_inputs, outputs, specs, axes, masks):
        self.calls, self.n_inputs, self.outputs, self.specs, self.axes, self.masks = calls, n_inputs, outputs, specs, axes, masks
        # each element depends on those at its own place alone, so that a result may take an input's memory
        own_place = {ALIGNED[c.op.name] for c in calls} <= {domain.elements, domain.renamed, domain.spread}
        self.elementwise = own_place and all(all(masks[i]) for i in outputs)
        self.blocks = _Blocks.of(self)
        self._later = {i: {n for call in self._from(i) for n in call.inputs if n < n_inputs} for i in outputs}

    def _from(self, i):
        """The calls that may read an input when value ``i`` has begun to be written."""
        at = next(j for j, call in enumerate(self.calls) if i in call.outputs)
        return self.calls[at + (self.calls[at].op.name in _IN_PLACE) :]

    def __repr__(self):
        return f"<fused {' '.join(call.op.name for call in self.calls)}>"

    def kernel(self, xp, *inputs, out=None):
        """The calls one after the other, block by block where there is more than the cache holds.

        ``out``: where the result goes, or a sequence of such arrays for several.
        """
        out = out if out is None or isinstance(out, (tuple, list)) else [out]
        results = self.blocks.run(xp, inputs, out) if self.blocks and xp.name == "numpy" else self._run(xp, inputs, out)
        return results[0] if len(results) == 1 else tuple(results)

    def places(self, inputs, out):
        """Results that can be computed in their place: nothing that is read later has its memory there."""
        pairs = zip(self.outputs, out or (), strict=False)
        return {i: y for i, y in pairs if y.ndim and not any(_overlap(y, inputs[n]) for n in self._later[i])}

    def _run(self, xp, inputs, out):
        values, given = dict(enumerate(inputs)), self.places(inputs, out)
        for call in self.calls:
            where = given.get(call.outputs[0])
            kwargs = {"out": where} if where is not None and call.op.takes_out else {}
            y = call.op.kernel(xp, *[values[i] for i in call.inputs], **call.attrs, **kwargs)
            values.update(zip(call.outputs, y if isinstance(y, (tuple, list)) else [y], strict=True))
        results = [values[i] for i in self.outputs]
        for i, y in enumerate(out or ()):
            if results[i] is not y:
                y[...] = results[i]
        return out or results


def _overlap(x, y):
    """Whether the bytes between the first and the last of two NumPy arrays overlap; True for arrays of other libraries."""
    return not isinstance(x, np.ndarray) or (isinstance(y, np.ndarray) and np.may_share_memory(x, y))


class _Blocks:
    """How NumPy runs a group in pieces that stay in the cache: every array in the group's axes, cut along the first one."""

    def __init__(self, group, steps, size):
        self.group, self.steps, self.size = group, steps, size
        self.shapes = [tuple(n if along else 1 for n, along in zip(group.axes, mask, strict=True)) for mask in group.masks]
        self.slots, free, last, root = {}, {}, {}, {}
        for j, (call, function, ins, _) in enumerate(steps):
            if function is None:  # a view is as long needed as what it is a view of
                root[call.outputs[0]] = root.get(ins[0], ins[0])
            last.update({root.get(i, i): j for i in ins})
        last.update({root.get(i, i): len(steps) for i in group.outputs})
        for j, (call, function, ins, _) in enumerate(steps):  # memory for what a step gives: what another one no longer needs
            for i in call.outputs[:1] if function is not None and call.op.takes_out and group.masks[call.outputs[0]][0] else ():
                kind = group.masks[i], group.specs[i].dtype
                self.slots[i] = free[kind].pop() if free.get(kind) else (*kind, j)
            for i in {root.get(i, i) for i in ins}:
                if last[i] == j and i in self.slots:
                    free.setdefault(self.slots[i][:2], []).append(self.slots[i])
        # what is the same in all rows is repeated once, so that NumPy goes over a whole block in one loop
        short = len(group.axes) == 2 and group.axes[1] <= 512
        self.repeated = [i for i in range(group.n_inputs) if short and group.masks[i] == (False, True)]

    @classmethod
    def of(cls, group):
        """The pieces, None where the group can't be cut, or need not be."""
        k, rest = len(group.axes), math.prod(group.axes[1:])
        size = max(1, _BLOCK // max(1, rest))
        if not k or group.axes[0] < 2 * size or len(group.calls) < 2:
            return None
        if not all(group.masks[i][0] for call in group.calls if call.op.name not in VIEWS for i in call.outputs):
            return None  # something is added up over the blocks
        steps = [_in_axes(group, call, k) for call in group.calls]
        return None if None in steps else cls(group, steps, size)

    def run(self, xp, inputs, out):
        group, values = self.group, [None] * len(self.shapes)
        out = out or [xp.empty(group.specs[i].shape, group.specs[i].numpy_dtype) for i in group.outputs]
        places = group.places(inputs, out)
        inputs = [x.reshape(shape) for x, shape in zip(inputs, self.shapes, strict=False)]
        for i in self.repeated:
            inputs[i] = xp.repeat(inputs[i], min(self.size, group.axes[0]), axis=0)
        results = {i: y.reshape(self.shapes[i]) for i, y in zip(group.outputs, out, strict=True)}
        memory = {slot: xp.empty((min(self.size, group.axes[0]), *self.shapes[i][1:]), slot[1]) for i, slot in self.slots.items()}
        cut = [(i, x) for i, x in enumerate(inputs) if group.masks[i][0] or i in self.repeated]
        direct = {i for i in results if i in places and i in self.slots}
        values[: len(inputs)] = inputs
        for start in range(0, group.axes[0], self.size):
            n = min(self.size, group.axes[0] - start)
            for i, x in cut:
                values[i] = x[start : start + n] if group.masks[i][0] else x[:n]
            for call, function, ins, attrs in self.steps:
                i = call.outputs[0]
                if function is None:
                    values[i] = values[ins[0]]
                    continue
                if i in direct:
                    y = function(xp, *[values[j] for j in ins], **attrs, out=results[i][start : start + n])
                elif i in self.slots:
                    y = function(xp, *[values[j] for j in ins], **attrs, out=memory[self.slots[i]][:n])
                else:
                    y = function(xp, *[self.whole(xp, values[j], j, n) for j in ins], **attrs)
                    if type(y) in (tuple, list):
                        for j, part in zip(call.outputs, y, strict=True):
                            values[j] = part
                        continue
                values[i] = y
            for i in results.keys() - direct:
                results[i][start : start + n] = values[i]
        return out

    def whole(self, xp, x, i, n):
        """A block in its full size, for ops that count elements."""
        shape = (n, *self.shapes[i][1:])
        return x if x.shape == shape or not self.group.masks[i][0] else xp.broadcast_to(x, shape)


def _in_axes(group, call, k):
    """A call as (call, function, inputs, attributes) on arrays in the group's axes; a view has no function. None where it can't be."""
    name, align = call.op.name, ALIGNED[call.op.name]
    before, after = group.masks[call.inputs[0]], group.masks[call.outputs[0]]
    if name in VIEWS or (name in REDUCTIONS and before == after):
        return call, None, call.inputs, {}
    if name == "sum_to":
        axes = tuple(i for i in range(k) if before[i] and not after[i])
        return call, lambda xp, x, axis: xp.sum(x, axis=axis, keepdims=True), call.inputs, {"axis": axes}
    if align is domain.reduction:
        axes = tuple(i for i in range(k) if before[i] and not after[i])
        return call, call.op.kernel, call.inputs, {**call.attrs, "axis": axes, "keepdims": True}
    if align in (domain.along, domain.place, domain.statistics) and k == 1:
        return None
    if align in (domain.along, domain.place):
        return call, call.op.kernel, call.inputs, {**call.attrs, "axis": k - 1, **({"keepdims": True} if align is domain.place else {})}
    if align is domain.statistics:
        keepdims = {"keepdims": True} if name == "_moments" else {}
        return call, call.op.kernel, call.inputs, {**call.attrs, "axes": (k - 1,), **keepdims}
    return (call, call.op.kernel, call.inputs, call.attrs) if align is domain.elements or name == "copy" else None
