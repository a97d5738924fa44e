"""One step: what happens to one batch, as a function of it.

A step changes state (weights, optimizer slots, metrics) only in Variables and reads no value in Python, so it can be recorded
once and replayed. A model's ``train_step(self, data)`` changes the Variables itself; a ``train_step(self, state, data)``, as
Keras has it on JAX, is a pure function: it gets all values and returns the new ones.
"""

import functools
import inspect

import numpy as np

from kerasish import tree
from kerasish.backend.autodiff.gradient import enable_grad, no_grad
from kerasish.backend.autodiff.op import as_tensor
from kerasish.backend.autodiff.state import state
from kerasish.backend.plan.function import RecordedFunction
from kerasish.backend.plan.passes import Same, frozen
from kerasish.data.batches import as_array

# which variables' values make the state of a pure step
_STATE = {
    "train_step": ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables"),
    "test_step": ("trainable_variables", "non_trainable_variables", "metrics_variables"),
    "predict_step": ("trainable_variables", "non_trainable_variables"),
}


def as_tensors(batch):
    """A batch with every array as a tensor."""
    return tree.map_structure(lambda x: as_tensor(as_array(x)), batch, none_is_leaf=False)


def step_of(model, name):
    """The model's ``train_step``, ``test_step`` or ``predict_step`` as a function of one batch."""
    step = getattr(model, name)
    run = _pure(model, step, name) if _takes_state(step) else step
    gradients = enable_grad if name == "train_step" and run is step else no_grad
    if model.run_eagerly or not model.jit_compile:

        def eagerly(batch):
            with gradients():
                return run(as_tensors(batch))

        eagerly.profile = _nothing_to_profile
        return eagerly

    @functools.wraps(step)
    def recordable(batch):
        with gradients():
            try:
                return run(batch)
            finally:
                if state.recording is not None:
                    model._clear_losses()  # they have no values

    recorded = RecordedFunction(recordable, functools.partial(_fingerprint, model))

    def on_batch(batch):
        return recorded(_arrays(batch))

    on_batch.profile = lambda batch, repeats: recorded.profile(_arrays(batch), repeats=repeats)
    return on_batch


def _arrays(batch):
    if type(batch) is tuple and all(type(x) is np.ndarray and as_array(x) is x for x in batch):
        return batch
    return tree.map_structure(as_array, batch, none_is_leaf=False)


def _nothing_to_profile(batch, repeats):
    raise ValueError("The model's steps run eagerly (`run_eagerly`, or without `jit_compile`), so there is no plan to profile.")


_SIMPLE = (bool, int, float, str, type(None))


def _fingerprint(model):
    """What a recorded step depends on besides its batch: attributes of layers and of the optimizer. Objects are compared by identity."""
    optimizers = [model.optimizer, getattr(model.optimizer, "inner_optimizer", None)]
    objects, unrecorded = [*model._flatten_layers(), *[x for x in optimizers if x is not None]], model._unrecorded
    return tuple(
        (Same(x), getattr(x, "trainable", None),
         *[frozen(v) if isinstance(v, _SIMPLE) else Same(v) for k, v in list(vars(x).items()) if k not in unrecorded])
        for x in objects
    )  # fmt: skip


def is_own_step(model, name, base):
    """Whether the step is the user's own and no pure one: it may call the model in other ways, or not at all."""
    return getattr(type(model), name) is not getattr(base, name) and not _takes_state(getattr(model, name))


def on_iterator(step):
    """A step as a function of an iterator of batches, which takes all of them; the last one's logs."""

    def function(iterator):
        logs = None
        for batch in iterator:
            logs = step(batch)
        return logs

    return function


def _takes_state(step):
    parameters = inspect.signature(step).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is p.empty for p in parameters) == 2


def _pure(model, step, name):
    """A step from state and data to logs and state, as one that takes the state from the model and puts it back."""

    def run(data):
        variables = [_variables(model, group) for group in _STATE[name]]
        state = tuple([v.value for v in group] for group in variables)
        result, new = step(state, data)
        if name == "predict_step":  # it returns only what a call can change
            variables, new = variables[1:], (new,)
        for group, values in zip(variables, new, strict=True):
            for variable, value in zip(group, values, strict=True):
                if value is not None:
                    variable.assign(value)
        return result

    return run


def _variables(model, group):
    if group == "optimizer_variables":
        return [] if model.optimizer is None else model.optimizer.variables
    return getattr(model, group)
