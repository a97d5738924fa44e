"""Branches and loops: a call whose attributes are traces of their own becomes an operator whose attributes are graphs."""

from kerasish.export.graph import Value, onnx
from kerasish.ops.sizes import Size


def _body(g, part, inputs):
    """The part's calls in a graph, for inputs that are values of any graph around it: the results."""
    return g.convert(part.trace, inputs, {})


def _entries(g, part, which):
    """New inputs of a graph, for some of a part's arguments."""
    specs = [part.trace.specs[part.trace.arguments[i]] for i in which]
    return [Value(g.name(f"{g.path}/entry"), spec.shape, spec.dtype) for spec in specs]


def _results(g, values):
    """Results of an inner graph must be made in it."""
    return [g.Identity(y) for y in values]


@onnx("_switch")
def switch(g, index, *inputs, branches, dtype):
    return _branch(g, g.reshape(g.cast(index, "int64"), ()), inputs, branches, 0)


def _branch(g, index, inputs, branches, at):
    if at == len(branches) - 1:
        return _results(g, _body(g, branches[at], inputs))
    here, other = g.inner(), g.inner()
    here.results = _results(here, _body(here, branches[at], inputs))
    other.results = list(_branch(other, index, inputs, branches, at + 1))
    n = len(here.results)
    y = g.If(g.LessOrEqual(index, at), outputs=n, then_branch=here, else_branch=other)
    return [Value(part, None, spec.dtype) for part, spec in zip((y,) if n == 1 else y, here.results, strict=True)]


@onnx("_loop")
def loop(g, *inputs, body, n, reverse, carried, over, dtype):
    carry, xs, rest = inputs[:carried], inputs[carried : carried + over], inputs[carried + over :]
    inner = g.inner()
    turn, before = (Value(inner.name(f"{g.path}/{name}"), (), kind) for name, kind in (("turn", "int64"), ("go_on", "bool")))
    entries = _entries(inner, body, range(carried))
    inner.inputs = [turn, before, *entries]
    at = inner.Sub(g.scalar(n - 1), turn) if reverse else turn
    slices = [Value(inner.Gather(x, at), x.shape[1:], x.dtype) for x in xs]
    inner.results = [inner.Identity(before), *_results(inner, _body(inner, body, [*entries, *slices, *rest]))]
    y = g.Loop(g.scalar(n), g.constant(True), *carry, outputs=len(body.shapes), body=inner)
    y = [y] if len(body.shapes) == 1 else list(y)
    return [*y[:carried], *(_in_order(g, part, spec, n, reverse) for part, spec in zip(y[carried:], g.outputs[carried:], strict=True))]


def _in_order(g, y, spec, n, reverse):
    """What a loop has stacked, as the first turn's first. Of no turns the runtime doesn't know the shape."""
    y = Value(y, None, spec.dtype)
    y = g.slice(y, 0, None, None, -1) if reverse else y
    return g.Reshape(y, g.shape(spec.shape), allowzero=1) if isinstance(n, Size) else y


@onnx("_while")
def while_loop(g, go_on, *inputs, body, most, dtype):
    n, inner = len(dtype), g.inner()
    turn, before = (Value(inner.name(f"{g.path}/{name}"), (), kind) for name, kind in (("turn", "int64"), ("go_on", "bool")))
    entries = _entries(inner, body, range(n))
    inner.inputs = [turn, before, *entries]
    *after, again = _results(inner, _body(inner, body, [*entries, *inputs[n:]]))
    inner.results = [again, *after]
    limit = None if most is None else g.constant(most, "int64")
    y = g.Loop(limit, g.reshape(go_on, ()), *inputs[:n], outputs=n, body=inner)
    return (y,) if n == 1 else y
