"""Functions that are recorded once for each kind of arguments and replayed from then on."""

import collections
import functools
import os
import threading
import traceback
import warnings

from kerasish import config, tree
from kerasish.backend.arrays import active
from kerasish.backend.autodiff.op import as_tensor
from kerasish.backend.autodiff.state import state
from kerasish.backend.autodiff.tensor import KerasTensor, NoValueError, Tensor
from kerasish.backend.plan import passes
from kerasish.backend.plan.plan import Plan, locked
from kerasish.backend.plan.profile import profile
from kerasish.backend.plan.record import record

_MOST = 16  # plans that one function keeps
_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep


class RecordedFunction:
    """What :func:`function` returns. ``plans``: those made so far, by kind of arguments.

    ``fingerprint()`` gives what else a recording depends on: where that changes, the plans are made anew.
    """

    def __init__(self, f, fingerprint=None):
        functools.update_wrapper(self, f, updated=())
        self.f, self.fingerprint, self.plans = f, fingerprint, collections.OrderedDict()
        self._lock, self._looked, self._depends_on = threading.RLock(), None, None
        self._recordings, self._eager, self._failed, self._quick = 0, False, None, {}
        locked.add(self)

    def __call__(self, *args):
        key = self._quick_key(args)
        if config._changes.count == self._looked and (found := self._quick.get(key)) and not found[0].adds_to_gradients():
            plan, packed = found
            return packed(plan(args[0]))
        plan, packed, given = self._planned(args)
        if plan is None:
            return self._run_eagerly(given)
        if key is not None:
            self._quick[key] = plan, packed
        return packed(plan(given))

    def _run_eagerly(self, args):
        """The function itself; where it works though recording it failed, it is what runs from now on, and that is told."""
        failed, self._failed = self._failed, None
        result = self.f(*args)
        if failed is not None:
            self._eager = True
            warnings.warn(_explained(self.f, failed), stacklevel=3)
        return result

    def _quick_key(self, args):
        """A key for one tuple of arrays such as a batch of ``fit``, in a tenth of the time of ``_planned``; None for anything else."""
        if len(args) != 1 or type(args[0]) is not tuple or self._eager or state.call_context is not None or not _may_replay():
            return None
        key = [state.grad_enabled, state.autocast]
        array_types = active.xp.array_types
        for x in args[0]:
            if type(x) not in array_types or not x.ndim or not x.dtype.isnative:
                return None
            key += (x.shape, x.dtype)
        return tuple(key)

    def profile(self, *args, repeats=20):
        """A :class:`~kerasish.backend.plan.profile.Profile` of the plan for these arguments; its replays change variables."""
        plan, _, given = self._planned(args)
        if plan is None:
            raise ValueError(f"{_name(self.f)} is not replayed from a plan here, so there is nothing to profile.")
        return profile(plan, given, repeats)

    def _planned(self, args):
        """The plan for these arguments, what makes its results' structure, and its arrays; or None, None and the arguments as tensors."""
        leaves = tree.flatten(args)
        given = [as_tensor(x) if hasattr(x, "shape") and type(x) is not Tensor else x for x in leaves]
        if not self._eager and _replayable(given):
            if config._changes.count != self._looked:
                self._look()
            kinds = [(x.shape, x.dtype) if type(x) is Tensor else passes.frozen(x) for x in given]
            key = (*kinds, state.grad_enabled, state.autocast, passes.frozen(state.call_context), _structure(args))
            made = self.plans.get(key) or self._make(key, tree.pack_sequence_as(args, given))
            if made is not None and not made[0].adds_to_gradients():
                return *made, [x.value for x in given if type(x) is Tensor]
        return None, None, tree.pack_sequence_as(args, given)

    def _look(self):
        """Something somewhere has changed: do the plans depend on it?"""
        count = config._changes.count
        more = passes.Same(state.global_attributes.get("global_seed_generator")), self.fingerprint() if self.fingerprint else None
        now = active.xp, config.floatx(), config.epsilon(), config.image_data_format(), *more
        if now != self._depends_on or not all(plan.is_current() for plan, _ in self.plans.values()):
            self.plans.clear()
            self._quick.clear()
            self._depends_on = now
        self._looked = count

    def _make(self, key, args):
        """Record and bind; None where that fails."""
        with self._lock:
            if key in self.plans:
                return self.plans[key]
            try:
                trace, packed = record(self.f, args)
                made = Plan(trace), packed
            except Exception as error:
                if isinstance(error, (MemoryError, ValueError)) and not isinstance(error, NoValueError):
                    raise  # sizes that don't fit or the like: nothing has been changed yet
                self._failed = error  # running eagerly goes on, or tells better what is wrong
                return None
            self._look()
            self.plans[key] = made
            self._recordings += 1
            if len(self.plans) > _MOST:
                self.plans.popitem(last=False)
                self._quick.clear()
            if self._recordings == 4 * _MOST:
                warnings.warn(
                    f"{_name(self.f)} has been recorded {self._recordings} times, for ever new shapes, settings or attributes. Recording "
                    "takes longer than running eagerly: use fewer different shapes (pad the batches), don't set attributes of layers, "
                    "models and optimizers between steps, or set `run_eagerly=True`.", stacklevel=3,
                )  # fmt: skip
            return made


def _may_replay():
    """Whether this is a place for a replay: not inside a recording, a tape, a stateless scope or a symbolic call."""
    outer = (state.recording, state.stateless, state.remat, state.seen)
    return all(x is None for x in outer) and not (state.grad_depth or state.symbolic)


def _replayable(given):
    """Whether a plan would do what the caller wants: no tensor stands for shapes only, has a mask, or waits for gradients."""
    if not _may_replay() or any(isinstance(x, KerasTensor) for x in given):
        return False
    tensors = [x for x in given if type(x) is Tensor]
    return not any(x.value is None or x._keras_mask is not None or (x.requires_grad and state.grad_enabled) for x in tensors)


def _structure(args):
    """A key for how the arguments are nested."""
    if isinstance(args, dict):
        return type(args), tuple((k, _structure(v)) for k, v in args.items())
    if isinstance(args, (tuple, list)):
        return type(args), tuple(map(_structure, args))
    return None


def _name(f):
    return getattr(f, "__qualname__", None) or repr(f)


def _explained(f, error):
    """Why a function runs eagerly, and the line of the user's code that is the reason."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_PACKAGE)]
    where = f' The line is {frames[-1].filename}:{frames[-1].lineno}: "{frames[-1].line}".' if frames else ""
    return f"{_name(f)} can't be recorded and replayed, so it runs eagerly, which is slower: {type(error).__name__}: {error}{where}"


def function(f):
    """Decorator: record the function's calls of ops once for each kind of arguments, and replay them from then on.

    As with ``tf.function`` and ``jax.jit``, Python runs only while recording: what it prints, appends or branches on happens
    then and never again. Variables are read and written at each call. Arguments are structures of tensors or arrays; anything
    else in them is part of what a recording is for. A function that wants a value in Python (``float(x)``, ``if x > 0``) runs
    eagerly, with a warning. Inside tapes, transforms and other recordings its calls join those around it.

    >>> from kerasish import Variable
    >>> total = Variable(0.0)
    >>> @function
    ... def add(x):
    ...     total.assign_add(x * 2.0)
    ...     return total.value
    >>> float(add(1.0)), float(add(2.0))
    (2.0, 6.0)
    """
    return RecordedFunction(f)
