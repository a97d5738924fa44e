"""Parts of a recorded step that run as values say when it is replayed: the branch taken, the turns of a loop.

A part is recorded once, by a recorder within that of the step, and is an attribute of one call in the step: ``_switch``, ``_loop``
or ``_while``. What it uses from outside, tensors and variables, becomes inputs of that call; variables that it assigns become
outputs, which the step assigns then. The gradient of such a call is another one, of parts that go on with the recording: back
through the calls that the function made. So it is the gradient of what was written (``stop_gradient`` and ``custom_gradient``
count), and has gradients itself.
"""

import copy
import functools

from kerasish import tree
from kerasish.backend.arrays import active
from kerasish.backend.autodiff.dtypes import differentiable, numpy_dtype
from kerasish.backend.autodiff.gradient import _key, gradients, zeros
from kerasish.backend.autodiff.op import add, as_tensor, cast, op
from kerasish.backend.autodiff.remat import _captured
from kerasish.backend.autodiff.state import next_order, setting, state
from kerasish.backend.autodiff.tensor import NoValueError
from kerasish.backend.plan.plan import Plan
from kerasish.backend.plan.record import Recorder
from kerasish.ops.shaping import reshape


class _Part:
    """What a recorder knows by now as a function of tensors. ``entries`` stand for what it is given; ``results`` know the calls
    that made them, from the moment ``first`` on."""

    def __init__(self, recorder, first, entries, results):
        self.recorder, self.first, self.entries, self.results = recorder, first, entries, results
        self.trace = recorder.part(entries, results)
        recorder.sources.update({id(x): x for x in entries if x.requires_grad})  # tapes watch tensors only for a time
        self.shapes, self.dtypes = [y.shape for y in results], tuple(y.dtype for y in results)

    def takes_gradients(self, i):
        """Whether there is a gradient for the entry with that number."""
        return id(self.entries[i]) in self.recorder.sources

    @functools.cached_property
    def plan(self):
        return Plan(self.trace)

    def run(self, arrays):
        return [y.value for y in self.plan(arrays)]


# ---- recording a function
class _Form:
    """A structure of tensors as a list of them, and back. Masks that tensors carry are tensors of the list too."""

    def __init__(self, structure, masks=True):
        self.structure = structure
        self.masked = [masks and x is not None and x._keras_mask is not None for x in tree.flatten(structure)]
        pairs = zip(tree.flatten(structure), self.masked, strict=True)
        self.tensors = [y for x, masked in pairs if x is not None for y in ((x, x._keras_mask) if masked else (x,))]

    def packed(self, tensors):
        tensors, leaves = iter(tensors), []
        for x, masked in zip(tree.flatten(self.structure), self.masked, strict=True):
            leaves.append(x if x is None else next(tensors))
            if masked:
                leaves[-1]._keras_mask = next(tensors)
        return tree.pack_sequence_as(self.structure, leaves)

    def is_like(self, other):
        """Whether both have the same structure, shapes and dtypes."""
        try:
            tree.assert_same_structure(self.structure, other.structure)
        except (ValueError, TypeError):
            return False
        kinds = [[(x.shape, x.dtype) for x in form.tensors] for form in (self, other)]
        none = [[x is None for x in tree.flatten(form.structure)] for form in (self, other)]
        return kinds[0] == kinds[1] and none[0] == none[1] and self.masked == other.masked


def as_tensors(structure):
    """The structure with tensors for its leaves, but None for None."""
    return tree.map_structure(lambda x: None if x is None else as_tensor(x), structure)


def _run(recorder, f, *args):
    """What the function gives for tensors of that recorder."""
    outer = scope = state.stateless
    if scope is not None:
        scope = copy.copy(outer)
        scope.state_mapping, scope.variables, scope.losses = dict(outer.state_mapping), dict(outer.variables), list(outer.losses)
    with setting(recording=recorder, stateless=scope):
        result = as_tensors(f(*args))
        recorder.finish(_Form(result).tensors)
    if scope is not None:
        changed = any(value is not outer.state_mapping.get(i) for i, value in scope.state_mapping.items())
        if changed or len(scope.losses) != len(outer.losses):
            raise NoValueError("A branch or loop in a recorded step can't assign variables, or add losses, in a StatelessScope.")
    return result


def try_out(f, *args):
    """What the function would give: tensors without values. ``args``: structures of tensors, of which shapes and dtypes count."""
    recorder = Recorder(state.recording)
    return _run(recorder, f, *[tree.map_structure(lambda x: None if x is None else _stand_in(recorder, x), arg) for arg in args])


def _stand_in(recorder, x, shape=None, wanted=False):
    """An argument of the recording in place of ``x``, at which gradients arrive where they are ``wanted``."""
    entry = recorder.argument(x.shape if shape is None else shape, x.dtype)
    entry.requires_grad = wanted and differentiable(x.dtype)
    return entry


def _uses(recorders, results, first, known=()):
    """The variables and tensors from outside that recorded functions use, besides those that ``known`` entries stand for.

    Tensors at which gradients arrive are found along the calls behind the results: one with a value is only a constant of the
    recording. The others are what recorders were asked for.
    """
    ids = set(map(id, known))
    variables = dict.fromkeys(v for r in recorders for v, leaf in r.leaves.items() if id(leaf) not in ids)
    keys = {_key(x) for x in known} | {_key(r.read(v)) for r in recorders for v in variables}
    symbols, tensors = {x.symbol for x in known}, []
    for recorder, ys in zip(recorders, results, strict=True):
        at_once = [y for y in ys if y.requires_grad and (y.call is None or y.call.order < first)]
        for x in (*at_once, *_captured(ys, [], first)):
            if _key(x) not in keys and not recorder.owns(x):
                keys.add(_key(x))
                symbols.add(x.symbol)
                tensors.append(x)
    for recorder in recorders:
        for symbol, (x, _) in recorder.captured.items():
            if symbol not in symbols:
                symbols.add(symbol)
                tensors.append(x.alias())
    return list(variables), tensors


def _outside(variables):
    """What variables hold in the recording around."""
    return [state.recording.read(v) for v in variables]


# ---- gradients
def _tuple(x):
    return x if isinstance(x, tuple) else (x,)


def _is_given(g):
    """Whether an output has a gradient at all: for one that has none, the walk gives zeros."""
    return g.value is None or g.requires_grad or bool(active.xp.any(g.value))


def _going_on(part):
    """Block in which calls join a part's recording, and those for gradients are remembered where the walk's own are."""
    return setting(recording=part.recorder, stateless=None, grad_depth=int(state.grad_enabled))


def _walk_back(part, which):
    """Stand-ins for the gradients of the results ``which``, and those of the entries that follow from them: place -> gradient."""
    places = [i for i in range(len(part.entries)) if part.takes_gradients(i)]
    with _going_on(part):
        given = [_stand_in(part.recorder, part.results[i], wanted=state.grad_enabled) for i in which]
        found = gradients([part.results[i] for i in which], [part.entries[i] for i in places], given, first=part.first)
    return given, {i: g for i, g in zip(places, found, strict=True) if g is not None}


def _zeros_like(x):
    return zeros(x.shape, x.dtype)


# ---- branches
def switch(index, functions, what):
    """What the function with the given number returns; only that one runs."""
    first, recorders = next_order(), [Recorder(state.recording) for _ in functions]
    forms = [_Form(_run(recorder, f)) for recorder, f in zip(recorders, functions, strict=True)]
    for other in forms[1:]:
        if not other.is_like(forms[0]):
            outcomes = f"{forms[0].structure} and {other.structure}"
            raise NoValueError(f"{what} should give outputs of the same kind: structure, dtype and shape. Got {outcomes}.")
    written = list(dict.fromkeys(v for recorder in recorders for v in recorder.trace.writes))
    results = [[*form.tensors, *map(recorder.read, written)] for form, recorder in zip(forms, recorders, strict=True)]
    variables, tensors = _uses(recorders, results, first)
    entries = [[*(recorder.leaves[v] for v in variables), *tensors] for recorder in recorders]
    ys = _call_switch(index, [*_outside(variables), *tensors], recorders, first, entries, results)
    for variable, y in zip(written, ys[len(ys) - len(written) :], strict=True):
        state.recording.write(variable, y)
    return forms[0].packed(ys)


def _call_switch(index, inputs, recorders, first, entries, results):
    parts = tuple(_Part(recorder, first, *of) for recorder, *of in zip(recorders, entries, results, strict=True))
    return _switch(index, *inputs, branches=parts, dtype=parts[0].dtypes) if parts[0].results else []


def _switch_gradient(g, y, index, *inputs, branches, dtype):
    gs, first, recorders = _tuple(g), branches[0].first, [part.recorder for part in branches]
    which = [i for i, g in enumerate(gs) if _is_given(g)]
    walks = [_walk_back(part, which) for part in branches]
    places = sorted({i for _, found in walks for i in found})
    pairs = list(zip(branches, walks, strict=True))
    results = [[found[i] if i in found else _zeros_like(part.entries[i]) for i in places] for part, (_, found) in pairs]
    entries = [[*part.entries, *given] for part, (given, _) in pairs]
    variables, tensors = _uses(recorders, results, first, [x for own in entries for x in own])
    entries = [[*own, *(recorder.leaves[v] for v in variables), *tensors] for recorder, own in zip(recorders, entries, strict=True)]
    given = [*inputs, *(gs[i] for i in which), *_outside(variables), *tensors]
    found = dict(zip(places, _call_switch(index, given, recorders, first, entries, results), strict=True))
    return [None, *(found.get(i) for i in range(len(inputs)))]


def _as_said(dtypes, attrs):
    return (None,) * len(dtypes), attrs["dtype"]


@op(lambda *shapes, branches, dtype: branches[0].shapes, _switch_gradient, _as_said)
def _switch(xp, *inputs, branches, dtype):
    """The first input says which branch runs on the others."""
    index = int(xp.to_numpy(inputs[0]))
    return tuple(branches[min(max(index, 0), len(branches) - 1)].run(inputs[1:]))


# ---- loops whose number of turns is known
def loop(f, carry, xs, n, reverse):
    """``n`` turns of ``f(carry, x) -> (carry, y)``: the last carry and the stacked ``y``. NoValueError where turns differ in kind."""
    first, recorder = next_order(), Recorder(state.recording)
    before, over = _Form(carry), _Form(xs, masks=False)
    carried = [_stand_in(recorder, x, wanted=state.grad_enabled) for x in before.tensors]
    slices = [_stand_in(recorder, x, x.shape[1:], x.requires_grad) for x in over.tensors]
    after, y = _run(recorder, f, before.packed(carried), over.packed(slices))
    after, y, written = _Form(after), _Form(y, masks=False), list(recorder.trace.writes)
    if not after.is_like(before):
        raise NoValueError(f"The carry of a recorded loop must stay of the same kind. Got {before.structure} and then {after.structure}.")
    results = [*after.tensors, *map(recorder.read, written)], y.tensors
    variables, tensors = _uses([recorder], [[*results[0], *results[1]]], first, [*carried, *slices])
    kept = [v for v in variables if v not in recorder.trace.writes]
    carries = [*before.tensors, *_outside(written)], [*carried, *(recorder.leaves[v] for v in written)]
    rest = [*_outside(kept), *tensors], [*(recorder.leaves[v] for v in kept), *tensors]
    out = _call_loop(recorder, first, carries, (over.tensors, slices), rest, results, n, reverse)
    for variable, value in zip(written, out[len(carried) :], strict=False):
        state.recording.write(variable, value)
    return after.packed(out), y.packed(out[len(carried) + len(written) :])


def _call_loop(recorder, first, carries, over, rest, results, n, reverse):
    """The call. ``carries``, ``over``, ``rest``: inputs and the entries that stand for them; ``results``: new carries, and others.

    Where gradients are wanted, what the carries were before each turn is among the outputs, as the last of them.
    """
    inputs, entries = ([*a, *b, *c] for a, b, c in zip(carries, over, rest, strict=True))
    kept = carries[1] if state.grad_enabled and any(x.requires_grad for x in inputs) else []
    body = _Part(recorder, first, entries, [*results[0], *results[1], *kept])
    counts = {"carried": len(carries[0]), "over": len(over[0])}
    return _loop(*inputs, body=body, n=n, reverse=reverse, **counts, dtype=body.dtypes) if body.results else []


def _loop_gradient(g, y, *inputs, body, n, reverse, carried, over, dtype):
    """A loop the other way: over what the carries were, the slices and the gradients of what was stacked. It carries the gradients of
    the carries, and adds up those of all else. A variable that the loop assigns is a leaf anew: along its chain, they add up too."""
    gs, ys, recorder, entries = _tuple(g), _tuple(y), body.recorder, body.entries
    chain = [i for i in range(carried) if body.takes_gradients(i)]
    which = [i for i in range(carried, len(gs)) if _is_given(gs[i])]
    given, found = _walk_back(body, [*chain, *which])
    slices, shared = ([i for i in found if start <= i < end] for start, end in ((carried, carried + over), (carried + over, len(entries))))
    with _going_on(body):
        totals = [_stand_in(recorder, entries[i], wanted=state.grad_enabled) for i in shared]
        sums = [add(total, found[i]) for total, i in zip(totals, shared, strict=True)]
    after = [*(found[i] if i in found else _zeros_like(entries[i]) for i in chain), *sums]
    results = after, [found[i] for i in slices]
    variables, tensors = _uses([recorder], [[*results[0], *results[1]]], body.first, [*entries, *given, *totals])
    end = carried + over
    carries = [*(gs[i] for i in chain), *map(_zeros_like, totals)], [*given[: len(chain)], *totals]
    turns = [*ys[len(ys) - carried :], *inputs[carried:end], *(gs[i] for i in which)], [*entries[:end], *given[len(chain) :]]
    rest = [*inputs[end:], *_outside(variables), *tensors], [*entries[end:], *(recorder.leaves[v] for v in variables), *tensors]
    out = _call_loop(recorder, body.first, carries, turns, rest, results, n, not reverse)
    by_place = dict(zip([*chain, *shared, *slices], out, strict=False))
    return [by_place.get(i) for i in range(len(inputs))]


def _loop_shapes(*shapes, body, n, reverse, carried, over, dtype):
    return [shape if i < carried else (n, *shape) for i, shape in enumerate(body.shapes)]


@op(_loop_shapes, _loop_gradient, _as_said)
def _loop(xp, *inputs, body, n, reverse, carried, over, dtype):
    """Inputs: first the carries, then what is gone over, then what is the same in each turn."""
    carry, xs, rest = list(inputs[:carried]), inputs[carried : carried + over], inputs[carried + over :]
    ys = [xp.empty((n, *shape), numpy_dtype(kind)) for shape, kind in zip(body.shapes[carried:], dtype[carried:], strict=True)]
    for i in reversed(range(n)) if reverse else range(n):
        out = body.run([*carry, *(x[i] for x in xs), *rest])
        carry = out[:carried]
        for y, part in zip(ys, out[carried:], strict=True):
            y[i] = part
    return (*carry, *ys)


# ---- loops that go on while a value says so
def repeat(go_on, turn, carry, most):
    """``turn(*carry) -> (carry, go_on)`` again and again, at most ``most`` times, while ``go_on``."""
    first, recorder = next_order(), Recorder(state.recording)
    before = _Form(carry)
    carried = [_stand_in(recorder, x) for x in before.tensors]
    after, again = _run(recorder, turn, *before.packed(carried))
    after, written = _Form(after), list(recorder.trace.writes)
    if not after.is_like(before):
        kinds = f"{before.structure} and then {after.structure}"
        raise NoValueError(f"The variables of a recorded while_loop must stay of the same kind. Got {kinds}.")
    with setting(recording=recorder):
        again = as_condition(again)
    results = [*after.tensors, *map(recorder.read, written), again]
    variables, tensors = _uses([recorder], [results], first, carried)
    kept = [v for v in variables if v not in recorder.trace.writes]
    entries = [*carried, *(recorder.leaves[v] for v in (*written, *kept)), *tensors]
    inputs = [go_on, *before.tensors, *_outside([*written, *kept]), *tensors]
    body = _Part(recorder, first, entries, results)
    out = _while(*inputs, body=body, most=most, dtype=body.dtypes[:-1]) if len(results) > 1 else []
    for variable, value in zip(written, out[len(carried) :], strict=True):
        state.recording.write(variable, value)
    return after.packed(out)


def as_condition(x):
    """A tensor of one element as a bool of no axes."""
    return cast(reshape(x, ()), "bool")


def _while_gradient(g, y, *inputs, **attrs):
    raise NoValueError("There is no gradient through a recorded while_loop, as its number of turns depends on a value: scan has one.")


@op(lambda *shapes, body, **attrs: body.shapes[:-1], _while_gradient, _as_said)
def _while(xp, *inputs, body, most, dtype):
    """The first input says whether there is a first turn; the body's last result, whether there is another."""
    go_on, carry, rest, turns = inputs[0], list(inputs[1 : 1 + len(dtype)]), inputs[1 + len(dtype) :], 0
    while (most is None or turns < most) and bool(xp.to_numpy(go_on)):
        *carry, go_on = body.run([*carry, *rest])
        turns += 1
    return tuple(carry if turns else map(xp.array, carry))
