"""The recorder: runs a function once on tensors without values and keeps its calls as a :class:`Trace`.

While it runs, ``state.recording`` is this recorder: the dispatch tells it of every call that has no value, and Variables
are read from it and written to it, so the function sees its own writes and the Variables themselves stay as they are.
Calls whose inputs all have values run at once and become constants.

A recorder inside another keeps a part of a step, such as a branch (``ops/parts.py``): it sees the tensors of the one around it,
and the variables as they are there.
"""

from kerasish import tree
from kerasish.backend.autodiff.op import Call as GradientCall
from kerasish.backend.autodiff.state import setting, state
from kerasish.backend.autodiff.tensor import NoValueError, Tensor
from kerasish.backend.plan.trace import Call, Trace, parts_of


class Recorder:
    """What a recording knows by now. ``captured``: symbol -> (tensor of an outer recording, its number here); ``leaves``: variable ->
    the tensor that stands for what it held at first; ``sources``: by id, tensors from outside that gradients are taken for."""

    def __init__(self, outer=None):
        self.trace, self.outer = Trace(), outer
        self.captured, self.leaves, self.sources = {}, {}, {}
        self._token, self._constants, self._held = object(), {}, {}

    # ---- values
    def _stands_for(self, tensor, number):
        tensor.symbol = (self._token, number)

    def argument(self, shape, dtype):
        """A new tensor that stands for something given at each replay."""
        tensor = Tensor(None, tuple(shape), dtype)
        self._stands_for(tensor, self.trace.new(shape, dtype))
        self.trace.arguments.append(self.number(tensor))
        return tensor

    def owns(self, tensor):
        """Whether the tensor stands for a value of this recording."""
        return tensor.symbol is not None and tensor.symbol[0] is self._token

    def knows(self, tensor):
        """Whether it stands for one of this recording or of those around it."""
        return self.owns(tensor) or (self.outer is not None and self.outer.knows(tensor))

    def number(self, tensor):
        """The number of a tensor's value; what has a value is a constant."""
        if tensor.value is None:
            if self.owns(tensor):
                return tensor.symbol[1]
            if not self.knows(tensor):
                raise NoValueError(f"{tensor!r} comes from outside the recorded step, or from a branch or loop in it, and has no value.")
            if tensor.symbol not in self.captured:
                self.captured[tensor.symbol] = tensor, self.trace.new(tensor.shape, tensor.dtype)
            return self.captured[tensor.symbol][1]
        scalar = tensor.shape == () and tensor.dtype != "string"
        key = (tensor.dtype, tensor.value.tobytes()) if scalar else (id(tensor.value), tensor.dtype)
        number = self._constants.get(key)
        if number is None:
            number = self._constants[key] = self.trace.new(tensor.shape, tensor.dtype)
            self.trace.constants[number] = tensor.value
        return number

    def call(self, op, inputs, attrs, outputs):
        """Keep a call whose outputs have no value."""
        for y in outputs:
            if None in y.shape:
                raise NoValueError(
                    f"The shape of what {op.name} returns depends on a value: {y.shape}. It can't be part of a recorded step."
                )
        if op.lowered is not None:
            with setting(grad_enabled=False):
                lowered = op.lowered(*[x.alias() for x in inputs], **attrs)
            if lowered is not None:
                for y, inner in zip(outputs, parts_of(lowered), strict=True):
                    y.symbol = inner.symbol
                return
        numbers = [self.number(x) for x in inputs]
        made = [self.trace.new(y.shape, y.dtype) for y in outputs]
        for y, number in zip(outputs, made, strict=True):
            self._stands_for(y, number)
        self.trace.calls.append(Call(op, numbers, attrs, made))

    # ---- variables
    def read(self, variable):
        """The tensor that a variable holds now, in this recording."""
        held = self._held.get(variable)
        if held is None:
            before = self._initialized(variable) if self.outer is None else self.outer.read(variable)
            held = self._held[variable] = self.leaves[variable] = variable._leaf(Tensor(None, variable._shape, variable._dtype))
            held.grad = None if self.outer is None else before.grad
            self._stands_for(held, self.trace.new(held.shape, held.dtype))
            self.trace.reads[variable] = self.number(held)
        return held

    @staticmethod
    def _initialized(variable):
        if variable._value is None:
            with setting(recording=None):
                variable._deferred_initialize()
        return variable._value

    def write(self, variable, value):
        """Let a variable hold another value from now on."""
        self.read(variable)  # so that the plan knows where it lives
        self._held[variable] = variable._leaf(value)
        self.trace.writes[variable] = self.number(value)

    def finish(self, results):
        """The trace, once the function has returned these tensors."""
        for variable, held in self._held.items():
            if self.trace.looks_at_gradients and variable._value.grad is not None:
                raise NoValueError(f"Variable '{variable.path}' has a gradient from an earlier step, which backward() would add to.")
            before = None if self.outer is None else self.outer.read(variable).grad
            if held.grad is not before and variable not in self.trace.writes:
                raise NoValueError(f"Variable '{variable.path}' would keep a gradient (`.grad`) beyond the recorded step, branch or loop.")
        self.trace.writes = {v: n for v, n in self.trace.writes.items() if n != self.trace.reads[v]}
        self.trace.results = [self.number(x) for x in results]
        return self.trace

    def part(self, entries, results):
        """What was recorded by now, as a trace from some tensors to others."""
        trace = Trace()
        trace.results = [self.number(x) for x in results]
        for x in entries:
            number = self.number(x) if x.value is None else None
            trace.arguments.append(self.trace.new(x.shape, x.dtype) if number is None or number in trace.arguments else number)
        trace.specs, trace.calls, trace.constants = list(self.trace.specs), list(self.trace.calls), dict(self.trace.constants)
        return trace


class _Beyond:
    """The op of a result's call: there is no way back through a replay."""

    @staticmethod
    def grads(g, y):
        raise ValueError(
            "Gradients don't go back through a recorded function. Take them inside it, give it tensors that require gradients (then it "
            "runs as if it were not recorded), or call it inside a GradientTape."
        )


def _what_else(leaves, at):
    """A function that gives results what tensors have besides values: masks, and that gradients can't go through them. Or None."""
    masked = [k for k, i in enumerate(at) if leaves[i]._keras_mask is not None]
    wanted = [k for k, i in enumerate(at) if leaves[i].requires_grad and leaves[i].token is None]
    if not masked and not wanted:
        return None

    def after(tensors):
        for k, mask in zip(masked, tensors[len(at) :], strict=True):
            tensors[k]._keras_mask = mask
        for k in wanted if state.grad_enabled else ():
            tensors[k].call, tensors[k].requires_grad = GradientCall(_Beyond, [], {}), True

    return after


def record(function, args):
    """Record ``function(*args)``, where every array-like leaf of ``args`` becomes an argument of the trace.

    Returns the trace and a function that makes the result's structure of a list of its tensors.
    """
    recorder = Recorder()
    with setting(recording=recorder):
        given = tree.map_structure(lambda x: recorder.argument(x.shape, x.dtype) if isinstance(x, Tensor) else x, args, none_is_leaf=False)
        result = function(*given)
        leaves = tree.flatten(result)
        at = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
        masks = [leaves[i]._keras_mask for i in at if leaves[i]._keras_mask is not None]
        trace = recorder.finish([*[leaves[i] for i in at], *masks])
    after = _what_else(leaves, at)
    if after is None and type(result) is dict and len(at) == len(leaves) == len(result) and sorted(result) == list(result):  # logs, quickly
        keys = list(result)
        return trace, lambda tensors: dict(zip(keys, tensors, strict=True))
    rest = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    result_like = tree.pack_sequence_as(result, rest)

    def packed(tensors):
        out = list(rest)
        for i, tensor in zip(at, tensors, strict=False):
            out[i] = tensor
        if after is not None:
            after(tensors)
        return tree.pack_sequence_as(result_like, out)

    return trace, packed
