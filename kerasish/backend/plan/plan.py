"""A plan: a trace that has been optimised, given memory and bound to kernels, ready to be replayed.

Values live in one block of memory (``memory.py``), in constants, or where variables and arguments keep theirs. What compiled
kernels take becomes *programs*, which run without Python; every other call runs its op's own kernel between them. A variable
is updated in its own memory where nothing reads the old value later, and at the end of the replay otherwise.
"""

import collections
import functools
import os
import sys
import threading
import time
import weakref

import numpy as np

from kerasish.backend.arrays import active
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.backend.kernels import native
from kerasish.backend.kernels.candidates import Refused
from kerasish.backend.plan import passes
from kerasish.backend.plan.fuse import fuse
from kerasish.backend.plan.memory import lay_out
from kerasish.backend.plan.trace import parts_of

_LARGE = 1 << 16  # elements: larger constants that only repeat a number are not written out
_WORTH_A_PLACE = 1 << 15  # bytes: larger results get memory of their own at each replay, smaller ones are copied


def optimised(trace, compiler):
    """The trace after all passes."""
    trace = passes.drop_unread(passes.without_last_reshapes(trace))
    return fuse(passes.drop_unread(passes.merge_equal(trace)), compiler.available(), compiler.DTYPES)


class Plan:
    """What replays a trace. ``nbytes``: the memory that it takes besides variables, constants and arguments."""

    def __init__(self, trace):
        self.xp, self.compiler = active.xp, native.compiler_for(active.xp)
        self._kinds = [trace.specs[n] for n in trace.results]
        self.trace = trace = optimised(trace, self.compiler)
        self.views = passes.static_views(trace)
        self.variables = list(trace.reads)
        self._versions, self._copies = [None] * len(self.variables), {}
        self._lock, self._flags = threading.Lock(), [_flags(v) for v in self.variables]
        locked.add(self)
        self._outside = {*trace.arguments, *trace.reads.values()}
        self._updated = _updates_in_place(trace, self.views)
        self._held = [(v, number, v in trace.writes) for v, number in trace.reads.items()]
        late = [(trace.reads[v], n) for v, n in trace.writes.items() if n not in self._updated]
        self._late = [(number, n, self.root(n) in self._outside) for number, n in late]
        self._results, self._given_away = [self._updated.get(n, n) for n in trace.results], []
        self._bind()

    def root(self, value):
        """The value whose memory this one is in."""
        value = passes.root_of(self.views, value)
        return self._updated.get(value, value)

    # ---- binding
    def _bind(self):
        trace, xp = self.trace, self.xp
        self.values = values = [None] * len(trace.specs)
        for number, array in trace.constants.items():
            values[number] = array if _is_array(array, xp) or array.size > _LARGE else xp.array(array, order="C")
        bound = [None if self._is_view(call) else self.compiler.instructions(self, call) for call in trace.calls]
        offsets, self.nbytes = lay_out(self._lifetimes(self._in_block(bound)))
        block = xp.memory(self.nbytes)
        for number, offset in offsets.items():
            spec = trace.specs[number]
            values[number] = block[offset : offset + spec.nbytes].view(spec.numpy_dtype).reshape(spec.shape)
        for call in trace.calls:
            if self._is_view(call) and all(values[n] is not None for n in call.inputs):
                y = call.op.kernel(xp, *[values[n] for n in call.inputs], **call.attrs)
                for number, part in zip(call.outputs, parts_of(y), strict=True):
                    values[number] = part
        try:
            self._steps = self._make_steps(bound)
        except Refused:
            return self._bind()
        made = {n for step in self._steps if not hasattr(step, "compiled") for call in step.calls for n in call.outputs}
        self._let_go = [n for n in {*self._outside, *made, *trace.kept()} if values[n] is None]
        return None

    def _is_view(self, call):
        return bool(call.outputs) and all(n in self.views for n in call.outputs)

    def _in_block(self, bound):
        """Values that need a fixed place: what compiled kernels read or write, and what kernels with ``out`` are given."""
        fixed = set()
        for call, instructions in zip(self.trace.calls, bound, strict=True):
            if instructions is not None:
                fixed.update(map(self.root, (*call.inputs, *call.outputs)))
            elif _gives_out(self.trace, call):
                fixed.update(call.outputs)
        elsewhere = (self._outside, self.trace.constants, self.views, self._updated)
        fixed = {n for n in fixed if not any(n in places for places in elsewhere)}
        shared = {self.root(n) for n in (*self.views, *self.trace.writes.values())}
        large = {n for n in fixed - shared if self.trace.specs[n].nbytes >= _WORTH_A_PLACE and self._results.count(n) == 1}
        self._given_away = sorted(large)
        return fixed - large

    def _lifetimes(self, wanted):
        end, lives = len(self.trace.calls), {}

        def live(value, step):
            root = self.root(value)
            if root in wanted:
                first, last = lives.get(root, (step, step))
                lives[root] = min(first, step), max(last, step)

        for step, call in enumerate(self.trace.calls):
            for value in (*call.inputs, *call.outputs):
                live(value, step)
        for value in self.trace.kept():
            live(value, end)
        return {n: (self.trace.specs[n].nbytes, *life) for n, life in lives.items()}

    def _make_steps(self, bound):
        """Programs of compiled kernels, and what runs between them."""
        last_use = {}
        for step, call in enumerate(self.trace.calls):
            for value in (*call.inputs, *call.outputs):
                last_use[value] = step
        for value in self.trace.kept():
            last_use[value] = None
        steps, program = [], []
        self._programs = self.compiler.Programs(self.values, self.trace.reads.values())
        needed = self._needed_arrays(bound)

        def close():
            if program:
                steps.append(self._programs.add(*zip(*program, strict=True)))
                program.clear()

        for number, (call, instructions) in enumerate(zip(self.trace.calls, bound, strict=True)):
            if instructions is not None:
                program.append((call, instructions))
                if instructions.checks:
                    close()  # an error is told before anything else happens
            elif not self._is_view(call) or any(n in needed and self.values[n] is None for n in call.outputs):
                close()
                free = {n for n in (*call.inputs, *call.outputs) if last_use[n] == number and self.values[n] is None}
                steps.append(self._eager_step(call, free - self._outside))
        close()
        self._programs.finish()
        return steps

    def _needed_arrays(self, bound):
        """Values that are wanted as arrays: by ops' own kernels, as results, for variables; views only where their views are."""
        needed = self.trace.kept()
        for call, instructions in reversed(list(zip(self.trace.calls, bound, strict=True))):
            if instructions is None and (not self._is_view(call) or not needed.isdisjoint(call.outputs)):
                needed.update(call.inputs)
        return needed

    def _eager_step(self, call, free):
        """A call as a function without arguments that runs its op's own kernel."""
        values, kernel, xp, attrs, views = self.values, call.op.kernel, self.xp, call.attrs, call.op.views
        inputs, outputs = ([self._updated.get(n, n) for n in numbers] for numbers in (call.inputs, call.outputs))
        kinds = [self.trace.specs[n] for n in call.outputs]
        unforeseen = views and not self._is_view(call)  # it may share memory that nobody keeps for it
        narrow = kinds[0].numpy_dtype if len(kinds) == 1 and kinds[0].dtype == "bfloat16" else None  # as eagerly

        def with_out():
            out = values[outputs[0]]
            y = kernel(xp, *[values[i] for i in inputs], out=out, **attrs)
            if y is not out:
                out[...] = y
            for n in free:
                values[n] = None

        def with_outs():
            kernel(xp, *[values[i] for i in inputs], out=tuple([values[n] for n in outputs]), **attrs)
            for n in free:
                values[n] = None

        def without():
            y = kernel(xp, *[values[i] for i in inputs], **attrs)
            if narrow and type(y) not in (tuple, list):
                y = y.astype(narrow, copy=False)
            if type(y) not in (tuple, list) and not (views or y.flags.c_contiguous):
                y = xp.ascontiguousarray(y)  # as eagerly
            for n, part in zip(outputs, parts_of(y), strict=True):
                if values[n] is None:
                    values[n] = xp.array(part) if unforeseen else part
                else:
                    values[n][...] = part
            for n in free:
                values[n] = None

        step = without if not _gives_out(self.trace, call) else with_out if len(outputs) == 1 else with_outs
        step.calls, step.timed = [call], functools.partial(_timed, step, xp)
        return step

    def described(self):
        """What runs, in order: calls, the bytes that each reads and writes, and whether compiled kernels do it."""
        for step in self._steps:
            for call in step.calls:
                nbytes = sum(self.trace.specs[n].nbytes for n in (*call.inputs, *call.outputs))
                yield call, nbytes, hasattr(step, "compiled")

    # ---- replaying
    def __call__(self, arguments, run=None):
        """Replay on arrays, one for each argument of the trace; returns a tensor for each result. ``run(step)`` runs a step."""
        with self._lock:
            values, xp, trace, moving = self.values, self.xp, self.trace, self._programs.moving
            try:
                for number, array in zip(trace.arguments, arguments, strict=True):
                    values[number] = array if number not in moving or _is_array(array, xp) else self._dense(number, array)
                for number in self._given_away:
                    spec = trace.specs[number]
                    values[number] = xp.memory(spec.nbytes).view(spec.numpy_dtype).reshape(spec.shape)
                self._programs.point_to((*trace.arguments, *self._given_away), values)
                self._hold_variables()
                token = xp.silence()
                try:
                    for step in self._steps:
                        step() if run is None else run(step)
                finally:
                    xp.unsilence(token)
                results = [self._result(n, kind) for n, kind in zip(self._results, self._kinds, strict=True)]
                self._write_variables()
                return results
            except MemoryError as error:
                error.add_note(f"The plan of this step needs {self.nbytes / 1e6:.1f} MB besides variables, arguments and large results.")
                raise
            finally:
                for number in self._let_go:
                    values[number] = None  # so that the plan is no holder of arrays that are not its own

    def _result(self, number, kind):
        y = self.values[number] if number in self._given_away else self.xp.array(self.values[number])
        return Tensor(y if y.shape == kind.shape else y.reshape(kind.shape), *kind)

    def _hold_variables(self):
        """Look where variables keep their values now; see that those that will be changed are nobody else's."""
        values, xp = self.values, self.xp
        for i, (variable, number, written) in enumerate(self._held):
            leaf = variable._value
            array = leaf.value
            as_before = variable._version == self._versions[i]
            if written:
                shared = sys.getrefcount(leaf) > _ALONE or sys.getrefcount(array) > _ALONE
                if shared or not (as_before or (_is_array(array, xp) and xp.is_own(array))):
                    variable._set(Tensor(self._dense(number, array), leaf.shape, leaf.dtype))
                    array = variable._value.value
            elif as_before:
                array = self._copies.get(i, array)
            elif not _is_array(array, xp):  # nobody writes to it in place, so the copy serves until another value is assigned
                array = self._copies[i] = self._dense(number, array)
            else:
                self._copies.pop(i, None)
            values[number] = array
            if self._versions[i] != variable._version:
                self._programs.point_to((number,), values)
                self._versions[i] = variable._version

    def _dense(self, number, array):
        """A copy that compiled kernels can read: in C order and in the machine's order of bytes."""
        return self.xp.array(array, dtype=self.trace.specs[number].numpy_dtype, order="C")

    def adds_to_gradients(self):
        """Whether the step looks at ``.grad`` of variables and finds something there from before: only eagerly it is added to."""
        return self.trace.looks_at_gradients and any(v._value.grad is not None for v in self.variables)

    def is_current(self):
        """Whether the variables are still what they were when the step was recorded: trainable, constrained and so on."""
        return all(_flags(v) == flags for v, flags in zip(self.variables, self._flags, strict=True))

    def _write_variables(self):
        values = self.values
        taken = [values[n].copy() if moves else values[n] for _, n, moves in self._late]
        for (number, _, _), value in zip(self._late, taken, strict=True):
            values[number][...] = value


def _flags(variable):
    """What a recording asks a variable besides its value; objects are held, so that no other takes their place."""
    more = (variable.regularizer, variable.constraint)
    return variable._trainable, variable._watched, variable._overwrite_with_gradient, *map(passes.Same, more)


def _alone():
    """What ``sys.getrefcount`` says in this Python of an object that one attribute and one local variable refer to."""
    holder = Tensor(np.zeros(1), (1,), "float64")
    array = holder.value
    return sys.getrefcount(array)


_ALONE = _alone()
locked: weakref.WeakSet = weakref.WeakSet()  # plans and functions


def _after_fork():
    for one in list(locked):
        one._lock = threading.RLock() if hasattr(one, "plans") else threading.Lock()  # a thread that is no more may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _timed(step, xp):
    start = time.perf_counter()
    step()
    xp.synchronize()
    return [time.perf_counter() - start]


def _is_array(x, xp):
    """Whether kernels can read and write this in place: a scalar or an array in another order of axes can't be."""
    return isinstance(x, xp.array_types) and not isinstance(x, np.generic) and x.flags.c_contiguous and x.dtype.isnative


def _gives_out(trace, call):
    """Whether the op's own kernel can be told where to put its results: an array, or one for each of several."""
    return call.op.takes_out and all(trace.specs[n].numpy_dtype.kind in "biufc" for n in call.outputs)


def _updates_in_place(trace, views):
    """New values of variables that can be computed where the old ones are: value -> the variable's value before the step."""
    last_read, made_by, updated = {}, {}, {}
    for step, call in enumerate(trace.calls):
        for i in call.inputs:
            last_read[passes.root_of(views, i)] = step
        for i in call.outputs:
            made_by[i] = step
    for i in trace.kept():  # also what another variable is to hold
        last_read[passes.root_of(views, i)] = len(trace.calls)
    holders = collections.Counter(trace.writes.values())
    for variable, new in trace.writes.items():
        old, step = trace.reads[variable], made_by.get(new)
        if step is None or new in views or holders[new] > 1:
            continue
        used = last_read.get(old, -1)
        call = trace.calls[step]
        if used < step or (used == step and call.op.elementwise):
            updated[new] = old
    return updated
