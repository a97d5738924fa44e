"""The pass that puts calls together which are computed element by element, so that what they hand on never goes to memory.

Each call starts as a group of its own and joins the groups of what it reads, then groups that read the same, where

- no other call stands between them, which would have to run after one and before the other;
- their shapes fit on each other (``kernels/domain.py``);
- rows can be computed one after the other: what a group computes and reads itself is of full size, or has one number for each
  row. Sums over rows leave the group; what follows from them is in the next.
"""

from kerasish.backend.kernels.domain import DTYPES, VIEWS, Domain, fusible
from kerasish.backend.kernels.group import Fused
from kerasish.backend.plan.passes import drop_unread, with_calls
from kerasish.backend.plan.trace import Call

_MOST_CALLS, _WINDOW = 80, 1500


def fuse(trace, compiled=True, dtypes=DTYPES):
    """The trace with groups of calls in place of calls; where they are not ``compiled``, only groups that NumPy runs faster in pieces."""
    (calls, able), readers = _own_views(trace, dtypes), {}
    for call in calls:
        for i in call.inputs:
            readers.setdefault(i, []).append(call)
    fused = []
    for start in range(0, len(calls), _WINDOW):
        fused.extend(_Grouping(trace, calls[start : start + _WINDOW], able, readers, dtypes).result(compiled))
    return with_calls(trace, fused)


def _own_views(trace, dtypes):
    """The calls, with a copy for each that can be in a group of the views that it reads: they cost nothing there; and which can be."""
    views, result, own = {}, [], set()

    def copied(i):
        if i not in views:
            return i
        source = copied(views[i].inputs[0])
        result.append(Call(views[i].op, [source], views[i].attrs, [trace.new(*trace.specs[i])]))
        own.add(result[-1])
        return result[-1].outputs[0]

    for call in trace.calls:
        specs = [[trace.specs[i] for i in numbers] for numbers in (call.inputs, call.outputs)]
        if fusible(call.op.name, call.attrs, *specs, dtypes) is None:
            result.append(call)
        elif call.op.name in VIEWS:
            views[call.outputs[0]] = call
            result.append(call)
        else:
            result.append(Call(call.op, [copied(i) for i in call.inputs], call.attrs, call.outputs))
            own.add(result[-1])
    return drop_unread(with_calls(trace, result)).calls, own


class _Group:
    """Calls by their numbers, the groups that must run before it (``bits`` are its own), and its domain, None for a call alone."""

    __slots__ = ("before", "bits", "calls", "domain")

    def __init__(self, number, call, before, domain):
        self.calls, self.bits, self.before, self.domain = {number: call}, 1 << number, before, domain


class _Grouping:
    """The groups of some calls. ``made``: value -> number of the call that gives it; ``readers``: value -> calls that read it."""

    def __init__(self, trace, calls, able, readers, dtypes):
        self.trace, self.calls, self.readers = trace, calls, readers
        self.groups, self.made, self.alive = [], {}, []
        users = {}
        for number, call in enumerate(calls):
            before = 0
            for i in call.inputs:
                users.setdefault(i, []).append(number)
                if i in self.made:
                    before |= self.groups[self.made[i]].bits | self.groups[self.made[i]].before
            self.groups.append(_Group(number, call, before, Domain.of(call, trace.specs, dtypes) if call in able else None))
            self.alive.append(self.groups[-1])
            self.made.update(dict.fromkeys(call.outputs, number))
            for i in call.inputs:
                if i in self.made:
                    self.join(self.made[i], number)
        for numbers in users.values():
            for first, second in zip(numbers, numbers[1:], strict=False):
                self.join(first, second)
        scalars = [number for number, group in enumerate(self.groups) if group.domain is not None and not group.domain.axes]
        for i, number in enumerate(scalars):
            for other in scalars[:i]:
                self.join(other, number)

    # ---- joining
    def join(self, first, second):
        """Make one group of those of two calls, where that can be."""
        a, b = self.groups[first], self.groups[second]
        if a is b or a.domain is None or b.domain is None or len(a.calls) + len(b.calls) > _MOST_CALLS or self.something_between(a, b):
            return
        domain, calls = a.domain.with_(b.domain), a.calls | b.calls
        if domain is None or not domain.can_run(calls.values()):
            return
        a.domain, a.calls, a.bits = domain, calls, a.bits | b.bits
        a.before = (a.before | b.before) & ~a.bits
        for number in b.calls:
            self.groups[number] = a
        self.alive.remove(b)
        for group in self.alive:
            if group.before & a.bits:
                group.before |= a.before | a.bits

    def something_between(self, a, b):
        """Whether another group must run after one and before the other."""
        for first, last in ((a, b), (b, a)):
            if last.before & first.bits and any(g.before & first.bits for g in self.sources(last) if g is not first):
                return True
        return False

    def sources(self, group):
        """The groups that give what a group reads."""
        makers = {self.made[i]: None for call in group.calls.values() for i in call.inputs if i in self.made}
        return [self.groups[number] for number in makers if number not in group.calls]

    # ---- the result
    def result(self, compiled):
        """The calls with groups in their place, each where its last call was, or before the first that needs it."""
        done, order = set(), []
        for number in range(len(self.calls)):
            stack = [self.groups[number]] if number == max(self.groups[number].calls) else []
            while stack:
                missing = next((g for g in self.sources(stack[-1]) if g not in done), None)
                if missing is not None:
                    stack.append(missing)
                else:
                    group = stack.pop()
                    if group not in done:
                        done.add(group)
                        order.extend(self.as_calls(group, compiled))
        return order

    def as_calls(self, group, compiled):
        """One call for a group, or those in it."""
        members = [group.calls[number] for number in sorted(group.calls)]
        if group.domain is None or (len(members) == 1 and members[0].op.name in VIEWS):
            return members
        made = [i for call in members for i in call.outputs]
        inputs = list(dict.fromkeys(i for call in members for i in call.inputs if i not in made))
        kept, own = self.trace.kept(), set(members)
        outputs = [i for i in made if i in kept or any(call not in own for call in self.readers.get(i, ()))]
        order = [*inputs, *made]
        local = {value: i for i, value in enumerate(order)}
        calls = [Call(c.op, [local[i] for i in c.inputs], c.attrs, [local[i] for i in c.outputs]) for c in members]
        specs, masks = [self.trace.specs[i] for i in order], [group.domain.masks[i] for i in order]
        op = Fused(calls, len(inputs), [local[i] for i in outputs], specs, group.domain.axes, masks)
        return [Call(op, inputs, {}, outputs)] if compiled or op.blocks else members
