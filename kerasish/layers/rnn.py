"""Recurrent layers: cells that take one step, and layers that take them through a sequence."""

from kerasish import ops, random, tree
from kerasish.activations import Activation as ActivationFunction
from kerasish.backend.autodiff.state import to_snake_case
from kerasish.backend.autodiff.variable import Variable
from kerasish.backend.random import SeedGenerator
from kerasish.constraints import Constraint
from kerasish.initializers import Initializer
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.layer import Layer
from kerasish.ops.recurrent import _gru, _lstm, gru_step, lstm_step
from kerasish.ops.sizes import closed
from kerasish.regularizers import Regularizer
from kerasish.saveable import InitOnly, deserialize_keras_object, serialize_keras_object
from kerasish.tracking import no_tracking


# ---- cells
def product(kernel, masks=None, times=ops.matmul, axis=-1):
    """Function ``x -> times(x, kernel)``, of a kernel that is read once. ``masks``: what ``x`` is multiplied by first, one for
    each gate where it is a list: then their products lie side by side along ``axis``."""
    kernel = ops.convert_to_tensor(kernel)
    if masks is None:
        return lambda x: times(x, kernel)
    if not isinstance(masks, list):
        return lambda x: times(x * masks, kernel)
    pairs = list(zip(masks, ops.split(kernel, len(masks), axis=-1), strict=True))
    return lambda x: ops.concatenate([times(x * mask, part) for mask, part in pairs], axis=axis)


class _GatedCell(Layer):
    """Base of the cells: kernels for all gates side by side, and dropout whose masks stay the same through a sequence.

    A subclass says how many gates and states it has, and with ``_stepper`` how a step goes from inputs that are already
    multiplied by the kernel: so a layer multiplies those of all steps at once. ``implementation`` 1 draws a dropout mask for
    each gate, as recurrent dropout always does.
    """

    _gates, _states = 1, 1
    _axis = -1  # where features lie, counted from the end
    _window = ()  # sizes of the kernels between batch and features
    _units = property(lambda self: self.units)

    def _init_base(self, implementation=2, **kwargs):
        super()._init_base(**kwargs)
        self.implementation = implementation

    def check(self):
        super().check()
        if self._units <= 0:
            raise ValueError(f"Invalid `units`, expected a positive integer, got {self._units}.")
        self.dropout, self.recurrent_dropout = (min(1.0, max(0.0, rate)) for rate in (self.dropout, self.recurrent_dropout))
        self.implementation = 1 if self.recurrent_dropout else self.implementation
        self.seed_generator = SeedGenerator(self.seed)
        self.state_size = self._units if self._states == 1 else [self._units] * self._states
        self.output_size = self._units
        with no_tracking():
            self._masks = {}

    def build(self, input_shape):
        size, width = input_shape[self._axis], self._units * self._gates
        self.kernel = self._weight("kernel", "kernel", (*self._window, size, width), self.kernel_initializer)
        shape = (*self._window, self._units, width)
        self.recurrent_kernel = self._weight("recurrent_kernel", "recurrent", shape, self.recurrent_initializer)
        self.bias = self._weight("bias", "bias", self._bias_shape(), self._bias_start()) if self.use_bias else None

    def _weight(self, name, what, shape, initializer):
        regularizer, constraint = getattr(self, f"{what}_regularizer"), getattr(self, f"{what}_constraint")
        return self.add_weight(shape, initializer, regularizer=regularizer, constraint=constraint, name=name)

    def _bias_shape(self):
        return (self._units * self._gates,)

    def _bias_start(self):
        return self.bias_initializer

    def _input_bias(self):
        return self.bias

    def get_initial_state(self, batch_size=None):
        """Zeros, one tensor ``(batch, units)`` for each state."""
        return [ops.zeros((batch_size, self.units), dtype=self.compute_dtype) for _ in range(self._states)]

    # ---- dropout
    def get_dropout_mask(self, step_input):
        """Mask for the inputs, drawn once and kept until it is reset; in ``implementation`` 1 a list, one for each gate. None
        without dropout."""
        return self._mask("dropout", step_input)

    def get_recurrent_dropout_mask(self, step_input):
        """The same for the state: a list, or one mask for a cell without gates."""
        return self._mask("recurrent_dropout", step_input)

    def _mask(self, kind, like):
        rate = getattr(self, kind)
        if rate and kind not in self._masks:
            count = self._gates if self.implementation == 1 else 1
            masks = [random.dropout(ops.ones_like(like), rate, seed=self.seed_generator) for _ in range(count)]
            self._masks[kind] = masks if count > 1 else masks[0]
        return self._masks.get(kind)

    def reset_dropout_mask(self):
        """Let the inputs' mask be drawn anew."""
        self._masks.pop("dropout", None)

    def reset_recurrent_dropout_mask(self):
        """Let the state's masks be drawn anew."""
        self._masks.pop("recurrent_dropout", None)

    # ---- steps
    def _of_inputs(self, masks):
        return product(self.kernel, masks)

    def _of_state(self, masks):
        return product(self.recurrent_kernel, masks)

    def _prepare(self, inputs, h, training):
        """Inputs of one step ``(batch, size)``, or of all steps ``(steps, batch, size)``, times the kernel, and the step from
        there: ``(projected, states) -> (output, new states)``, where the output is the first new state and shaped like ``h``."""
        of_inputs = of_state = None
        if training:
            of_inputs = self.get_dropout_mask(ops.zeros(inputs.shape[-h.ndim :], inputs.dtype))
            of_state = self.get_recurrent_dropout_mask(h)
        projected, bias = self._of_inputs(of_inputs)(inputs), self._input_bias()
        return projected if bias is None else projected + bias, self._stepper(of_state)

    def sequence_op(self, sequences, states, mask, training, **options):
        """All steps as one call: ``(sequence, last states)``. None where that would not give the numbers of :meth:`call`, taken
        step by step: then the layer does so.

        ``sequences``: (batch, steps, size); ``mask``: (batch, steps) or None; ``options``: ``reverse`` and ``return_sequences``
        (without it, the sequence takes no gradients).
        """
        shape = (sequences.shape[0], self._units)
        fits = sequences.ndim == 3 and [s.shape for s in states] == [shape] * self._states
        if not fits or not self._has_sequence_op() or (training and self.recurrent_dropout):
            return None
        with self._autocast_scope():
            x = ops.cast(sequences, self.compute_dtype)
            kept = self.get_dropout_mask(ops.zeros((shape[0], x.shape[2]), x.dtype)) if training else None
            kept = kept if kept is None else tree.map_structure(lambda m: ops.expand_dims(m, 1), kept)
            x = self._of_inputs(kept)(x)
            bias, mask = (ops.zeros((), x.dtype) if self.bias is None else self.bias), (True if mask is None else mask)
            return self._in_one_call(x, ops.convert_to_tensor(bias), states, ops.convert_to_tensor(mask), options)

    def _has_sequence_op(self):
        """Whether there is such an op, with this cell's activations. A class of a user's own may do anything in a step."""
        return False

    def call(self, inputs, states, training=False):
        nested = tree.is_nested(states)
        states = list(states) if nested else [states]
        projected, step = self._prepare(inputs, states[0], training)
        output, states = step(projected, states)
        return output, states if nested else states[0]

    def _is_plain(self):
        """Whether a layer may prepare all steps at once, because ``call`` does no more than that for one."""
        return type(self).call.__module__ == __name__ and self.activity_regularizer is None


def _are_default(cell):
    return cell.activation is ops.tanh and cell.recurrent_activation is ops.sigmoid


class _SimpleRNNFields(Layer):  # such classes say once what a cell and its layer take
    units: int
    activation: ActivationFunction = "tanh"
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    recurrent_initializer: Initializer = "orthogonal"
    bias_initializer: Initializer = "zeros"
    kernel_regularizer: Regularizer = None
    recurrent_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    kernel_constraint: Constraint = None
    recurrent_constraint: Constraint = None
    bias_constraint: Constraint = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    seed: int = None


class SimpleRNNCell(_SimpleRNNFields, _GatedCell):
    """``h' = activation(x @ kernel + h @ recurrent_kernel + bias)`` (``keras.layers.SimpleRNNCell``).

    >>> cell = SimpleRNNCell(4)
    >>> output, states = cell(ops.ones((2, 3)), [ops.zeros((2, 4))])
    >>> output.shape
    (2, 4)
    """

    def _stepper(self, masks):
        recurrent, activation = self._of_state(masks), self.activation

        def step(x, states):
            h = activation(x + recurrent(states[0]))
            return h, [h]

        return step

    def call(self, sequence, states, training=False):  # Keras's name of the inputs here
        return super().call(sequence, states, training)


class LongShortTermCell(_GatedCell):
    """The step that an LSTM takes, whatever its products are."""

    _gates, _states = 4, 2  # input, forget, cell, output

    def _bias_start(self):
        if not self.unit_forget_bias:
            return self.bias_initializer

        def forget_gate_open(shape, dtype=None):
            start = self.bias_initializer
            parts = [start((self._units,), dtype=dtype), ops.ones((self._units,), dtype), start((self._units * 2,), dtype=dtype)]
            return ops.concatenate(parts)

        return forget_gate_open

    def _stepper(self, masks):
        recurrent, axis = self._of_state(masks), self._axis
        activation, gate = self.activation, self.recurrent_activation

        def step(x, states):
            h, c = lstm_step(x, *states, recurrent, activation, gate, axis)
            return h, [h, c]

        return step


class _LSTMFields(Layer):
    units: int
    activation: ActivationFunction = "tanh"
    recurrent_activation: ActivationFunction = "sigmoid"
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    recurrent_initializer: Initializer = "orthogonal"
    bias_initializer: Initializer = "zeros"
    unit_forget_bias: bool = True
    kernel_regularizer: Regularizer = None
    recurrent_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    kernel_constraint: Constraint = None
    recurrent_constraint: Constraint = None
    bias_constraint: Constraint = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    seed: int = None


class LSTMCell(_LSTMFields, LongShortTermCell):
    """Long short-term memory (S. Hochreiter, J. Schmidhuber 1997; ``keras.layers.LSTMCell``): states ``h`` and ``c``.

    >>> cell = LSTMCell(4)
    >>> output, states = cell(ops.ones((2, 3)), cell.get_initial_state(2))
    >>> len(states)
    2
    """

    def _has_sequence_op(self):
        return type(self) is LSTMCell and self._is_plain() and _are_default(self)

    def _in_one_call(self, x, bias, states, mask, options):
        sequence, h, c, _ = _lstm(x, self.recurrent_kernel, bias, *states, mask, **options)
        return sequence, [h, c]


class _GRUFields(Layer):
    units: int
    activation: ActivationFunction = "tanh"
    recurrent_activation: ActivationFunction = "sigmoid"
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    recurrent_initializer: Initializer = "orthogonal"
    bias_initializer: Initializer = "zeros"
    kernel_regularizer: Regularizer = None
    recurrent_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    kernel_constraint: Constraint = None
    recurrent_constraint: Constraint = None
    bias_constraint: Constraint = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    reset_after: bool = True
    seed: int = None


class GRUCell(_GRUFields, _GatedCell):
    """Gated recurrent unit (K. Cho et al. 2014; ``keras.layers.GRUCell``).

    With ``reset_after`` the reset gate acts on the state's product with the kernel, else on the state.

    >>> cell = GRUCell(4)
    >>> cell(ops.ones((2, 3)), [ops.zeros((2, 4))])[0].shape
    (2, 4)
    """

    _gates = 3  # update, reset, new

    def _bias_shape(self):
        return (2, self.units * 3) if self.reset_after else (self.units * 3,)  # the recurrent product has a bias of its own

    def _input_bias(self):
        return self.bias[0] if self.use_bias and self.reset_after else self.bias

    def _stepper(self, masks):
        activation, gate = self.activation, self.recurrent_activation
        kernel, bias = self.recurrent_kernel, self.bias[1] if self.use_bias and self.reset_after else None
        if self.reset_after:
            times_kernel = self._of_state(masks)
            recurrent = times_kernel if bias is None else lambda h: times_kernel(h) + bias

            def step(x, states):
                h = gru_step(x, *states, recurrent, activation, gate)
                return h, [h]

            return step
        kernel, new_kernel = ops.split(kernel, [2 * self.units], axis=-1)
        recurrent, new_recurrent = product(kernel, masks and masks[:2]), product(new_kernel, masks and masks[2])

        def step_with_reset_before(x, states):
            (h,) = states
            x_z, x_r, x_new = ops.split(x, 3, axis=-1)
            h_z, h_r = ops.split(recurrent(h), 2, axis=-1)
            new = activation(x_new + new_recurrent(gate(x_r + h_r) * h))
            h = new + gate(x_z + h_z) * (h - new)
            return h, [h]

        return step_with_reset_before

    def _has_sequence_op(self):
        return type(self) is GRUCell and self._is_plain() and self.reset_after and _are_default(self)

    def _in_one_call(self, x, bias, states, mask, options):
        sequence, h, _ = _gru(x, self.recurrent_kernel, bias, *states, mask, **options)
        return sequence, [h]


class StackedRNNCells(Layer):
    """Several cells as one: each takes the output of the one before (``keras.layers.StackedRNNCells``).

    >>> RNN(StackedRNNCells([LSTMCell(4), GRUCell(3)]))(ops.ones((2, 5, 3))).shape
    (2, 3)
    """

    def __init__(self, cells, **kwargs):
        super().__init__(**kwargs)
        for cell in cells:
            _check_cell(cell)
        self.cells = list(cells)

    state_size = property(lambda self: [cell.state_size for cell in self.cells])
    output_size = property(lambda self: _output_size(self.cells[-1]))

    def get_initial_state(self, batch_size=None):
        """The cells' initial states, as each of them gives it."""
        return [_initial_state(cell, batch_size) for cell in self.cells]

    def build(self, input_shape):
        for cell in self.cells:
            _build_cell(cell, input_shape)
            input_shape = (input_shape[0], _output_size(cell))

    def call(self, inputs, states, training=False, **kwargs):
        new_states = []
        for cell, state in zip(self.cells, states, strict=True):
            nested = tree.is_nested(state)
            inputs, state = _cell_step(cell, training, **kwargs)(inputs, list(state) if nested else [state])
            new_states.append(state if nested else state[0])
        return inputs, new_states

    def get_config(self):
        return {**super().get_config(), "cells": [serialize_keras_object(cell) for cell in self.cells]}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return super().from_config({**config, "cells": deserialize_keras_object(config["cells"], custom_objects)})


# ---- what loops want of a cell, which may be a user's own
def _check_cell(cell):
    if not callable(getattr(cell, "call", None)):
        raise ValueError(f"An RNN cell must have a `call` method. Received: cell={cell}")
    if not isinstance(getattr(cell, "state_size", None), (int, list, tuple)):
        raise ValueError(
            f"An RNN cell must have a `state_size` attribute: an integer, or a list, one for each state. Received: cell={cell}"
        )


def _build_cell(cell, input_shape):
    if isinstance(cell, Layer) and not cell.built:
        cell.build(input_shape)
        cell.built = True


def _output_size(cell):
    size = getattr(cell, "output_size", None)
    if size is None:
        size = cell.state_size[0] if isinstance(cell.state_size, (list, tuple)) else cell.state_size
    return size


def _initial_state(cell, batch_size):
    if hasattr(cell, "get_initial_state"):
        return cell.get_initial_state(batch_size=batch_size)
    dtype = getattr(cell, "compute_dtype", None)
    return tree.map_structure(lambda size: ops.zeros((batch_size, size), dtype=dtype), cell.state_size)


def _cell_step(cell, training, **kwargs):
    """The cell as a function ``(inputs, list of states) -> (output, list of states)``."""
    if isinstance(cell, Layer) and cell._call_has_training_arg:
        kwargs["training"] = training
    call = cell if callable(cell) else cell.call

    def step(inputs, states):
        output, states = call(inputs, states, **kwargs)
        return output, list(states) if tree.is_nested(states) else [states]

    return step


def _reset_masks(cell):
    for inner in getattr(cell, "cells", ()):
        _reset_masks(inner)
    if isinstance(cell, _GatedCell):
        cell.reset_dropout_mask()
        cell.reset_recurrent_dropout_mask()


# ---- layers
class RNN(Layer):
    """A cell taken through a sequence ``(batch, steps, ...)`` (``keras.layers.RNN``). A list of cells is stacked.

    Output ``(batch, size)``, or ``(batch, steps, size)`` with ``return_sequences``; with ``return_state`` a tuple of that and
    the last states. Steps that the mask leaves out keep the state and repeat the output (0 with ``zero_output_for_mask``).
    ``stateful`` goes on where the last batch ended. ``unroll`` changes no number, but wants a known number of steps.

    >>> RNN(GRUCell(4), return_sequences=True)(ops.ones((2, 5, 3))).shape
    (2, 5, 4)
    """

    supports_masking = True

    def __init__(self, cell, return_sequences=False, return_state=False, go_backwards=False, stateful=False, unroll=False,
                 zero_output_for_mask=False, **kwargs):  # fmt: skip
        super().__init__(**kwargs)
        self._take_cell(StackedRNNCells(cell) if isinstance(cell, (list, tuple)) else cell)
        self.return_sequences, self.return_state, self.go_backwards = return_sequences, return_state, go_backwards
        self.stateful, self.unroll, self.zero_output_for_mask = stateful, unroll, zero_output_for_mask

    def _take_cell(self, cell):
        _check_cell(cell)
        self.cell, self.states = cell, None
        size = cell.state_size
        self.state_size = [size] if isinstance(size, int) else list(size)

    def build(self, sequences_shape, initial_state_shape=None):
        _build_cell(self.cell, (sequences_shape[0], *sequences_shape[2:]))
        if self.stateful:
            self._make_states(sequences_shape)

    def _make_states(self, sequences_shape):
        if sequences_shape[0] is None:
            raise ValueError(f"With `stateful=True` the batch size must be static, but the sequences have shape {sequences_shape}")
        with no_tracking():  # no weights: files don't hold them
            self.states = tree.map_structure(
                lambda value: Variable(value, trainable=False, dtype=self.variable_dtype, name="rnn_state"),
                self.get_initial_state(sequences_shape[0]),
            )

    def get_initial_state(self, batch_size):
        """The cell's initial state, a list."""
        state = _initial_state(self.cell, batch_size)
        return list(state) if tree.is_nested(state) else [state]

    def reset_state(self):
        """Set the state of a stateful layer to zeros."""
        for v in tree.flatten(self.states or []):
            v.assign(ops.zeros_like(v.value))

    def reset_states(self):
        """The same as :meth:`reset_state`."""
        self.reset_state()

    def compute_mask(self, _, mask):
        output_mask = tree.flatten(mask)[0] if self.return_sequences else None
        return [output_mask, *[None for _ in tree.flatten(self.state_size)]] if self.return_state else output_mask

    def call(self, sequences, initial_state=None, mask=None, training=False):
        if self.unroll and closed(sequences.shape)[1] is None:
            raise ValueError("Cannot unroll over an unknown number of steps: give the Input a known one.")
        if self.stateful:
            self._check_batch(sequences)
        if initial_state is None:
            initial_state = self.states if self.stateful else self.get_initial_state(batch_size=sequences.shape[0])
        initial_state = list(initial_state) if tree.is_nested(initial_state) else [initial_state]
        dtype = getattr(self.cell, "compute_dtype", self.compute_dtype)
        initial_state = tree.map_structure(lambda x: ops.convert_to_tensor(x, dtype=dtype), initial_state)
        try:
            last, outputs, states = self.inner_loop(sequences, initial_state, mask, training)
        finally:
            _reset_masks(self.cell)
        output = ops.cast(outputs if self.return_sequences else last, self.compute_dtype)
        states = tree.map_structure(lambda x: ops.cast(x, self.compute_dtype), states)
        if self.stateful:
            for variable, value in zip(tree.flatten(self.states), tree.flatten(states), strict=True):
                variable.assign(value)
        return (output, *states) if self.return_state else output

    def _check_batch(self, sequences):
        expected, given = tree.flatten(self.states)[0].shape[0], sequences.shape[0]
        if given is not None and given != expected:
            raise ValueError(
                f"A stateful RNN keeps a state for one batch size. Expected batch size: {expected}. Received batch size: {given}"
            )

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Take the cell through the steps: ``(last output, all outputs or None, last states)``."""
        mask = None if mask is None else _steps_to_keep(mask)
        found = self._at_once(sequences, initial_state, mask, training)
        return self._step_by_step(sequences, initial_state, mask, training) if found is None else found

    def _at_once(self, sequences, initial_state, mask, training):
        """As ``inner_loop``, in one call of an op, or None."""
        if not isinstance(self.cell, _GatedCell) or self.unroll or (mask is not None and self.zero_output_for_mask):
            return None
        options = {"reverse": self.go_backwards, "return_sequences": self.return_sequences}
        found = self.cell.sequence_op(sequences, initial_state, mask, training, **options)
        if found is None:
            return None
        sequence, states = found
        return states[0], sequence if self.return_sequences else None, states

    def _step_by_step(self, sequences, initial_state, mask, training):
        xs, step = self._prepare(time_first(sequences), initial_state, training)
        keep_all = self.return_sequences

        def plain(carry, x):
            output, states = step(x, carry[0])
            return (states, output), output if keep_all else None

        def masked(carry, x):
            (states, previous), (x, keep) = carry, x
            output, new_states = step(x, states)
            repeats = output is new_states[0]  # then that repeats the output already
            states = _choose(keep, new_states, states)
            if self.zero_output_for_mask:
                output = _choose(keep, output, 0.0)
            else:
                output = states[0] if repeats else _choose(keep, output, previous)
            return (states, output), output if keep_all else None

        start = (initial_state, self._first_output(initial_state))
        f, xs = (plain, xs) if mask is None else (masked, (xs, ops.expand_dims(ops.transpose(mask), -1)))
        (states, last), outputs = ops.scan(f, start, xs, reverse=self.go_backwards)
        if keep_all:  # in the order in which they came
            outputs = time_first(ops.flip(outputs, axis=0) if self.go_backwards else outputs)
        return last, outputs, states

    def _prepare(self, xs, initial_state, training):
        """What the loop runs over, steps first, and the step ``(x, states) -> (output, states)``."""
        cell = self.cell
        if not (isinstance(cell, _GatedCell) and cell._is_plain()):
            return xs, _cell_step(cell, training)
        with cell._autocast_scope():
            return cell._prepare(ops.cast(xs, cell.compute_dtype), initial_state[0], training)

    def _first_output(self, initial_state):
        """What a masked first step repeats: the state, where it looks like an output (as one with more axes does), else zeros."""
        of_last_cell = initial_state[-1] if isinstance(self.cell, StackedRNNCells) else initial_state
        state = tree.flatten(of_last_cell)[0]
        shape = (state.shape[0], _output_size(self.cell))
        return state if state.shape == shape or state.ndim > 2 else ops.zeros(shape, state.dtype)

    def get_config(self):
        names = ("return_sequences", "return_state", "go_backwards", "stateful", "unroll", "zero_output_for_mask")
        own = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **own, "cell": serialize_keras_object(self.cell)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        if "cell" in config:
            config = {**config, "cell": deserialize_keras_object(config["cell"], custom_objects)}
        return super().from_config(config)


def time_first(x):
    """Batch and time axis exchanged."""
    return ops.transpose(x, [1, 0, *range(2, x.ndim)])


def _steps_to_keep(mask):
    """The mask (batch, steps): a step is kept where any of its features is."""
    mask = ops.cast(mask, "bool")
    if mask.ndim > 2:
        mask = ops.any(mask, axis=tuple(range(2, mask.ndim)))
    return mask


def _choose(keep, new, old):
    """``new`` for the examples to keep, ``old`` for the others, in a structure like ``old``."""

    def choose(new, old):
        rank = new.ndim
        return ops.where(keep if rank == 2 else ops.reshape(keep, (-1, *[1] * (rank - 1))), new, old)

    if not tree.is_nested(old):
        return choose(new, old)
    return tree.pack_sequence_as(old, map(choose, tree.flatten(new), tree.flatten(old)))


class CellLayer(RNN):
    """Base of layers that are one kind of cell, ``_cell``. Its fields are among theirs, but the cell keeps them."""

    _cell = None

    @classmethod
    def _order_fields(cls, own):
        fields = super()._order_fields(own)
        if "_cell" in vars(cls):  # the cell's fields, then those of the loop
            names = [*(name for name in fields if name not in own), *own]
            names.remove("activity_regularizer")
            names.insert(names.index("bias_regularizer") + 1, "activity_regularizer")
            fields = {name: fields[name] for name in names}
        of_cell = {name: field._replace(annotation=InitOnly) for name, field in fields.items() if name in cls._cell.fields}
        for name in of_cell:
            setattr(cls, name, property(lambda self, name=name: getattr(self.cell, name)))
        return {**fields, **of_cell}

    def _init_base(self, unroll=False, zero_output_for_mask=False, **kwargs):
        super()._init_base(**kwargs)
        self.unroll, self.zero_output_for_mask = unroll, zero_output_for_mask

    def check(self, **of_cell):
        super().check()
        base = {"dtype": self._dtype_policy, "trainable": self.trainable, "name": to_snake_case(self._cell.__name__)}
        self._take_cell(self._cell(**of_cell, **base))

    def get_config(self):
        config = super().get_config()
        of_cell = config.pop("cell")["config"]
        return {**config, **{name: of_cell[name] for name in self._cell.fields if name in self.fields}}


class _DenseCellLayer(CellLayer):
    """Base of those whose steps are ``(batch, size)``."""

    def _init_base(self, implementation=2, **kwargs):
        super()._init_base(**kwargs)
        self._implementation = implementation

    def check(self, use_cudnn="auto", **of_cell):
        super().check(**of_cell, implementation=self._implementation)
        if use_cudnn not in ("auto", True, False):
            raise ValueError(f"`use_cudnn` must be 'auto', True or False. Received: use_cudnn={use_cudnn}")
        self.use_cudnn, self.input_spec = use_cudnn, InputSpec(ndim=3)

    def inner_loop(self, sequences, initial_state, mask, training=False):
        if self.use_cudnn is True:
            raise ValueError("`use_cudnn=True`, but there is no cuDNN here. Leave it at 'auto': the numbers are the same.")
        return super().inner_loop(sequences, initial_state, mask, training)


class SimpleRNN(_SimpleRNNFields, _DenseCellLayer):
    """A sequence through a fully connected recurrent cell (``keras.layers.SimpleRNN``). Input ``(batch, steps, size)``.

    >>> SimpleRNN(4)(ops.ones((2, 5, 3))).shape
    (2, 4)
    """

    _cell = SimpleRNNCell
    activity_regularizer: Regularizer = None
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False
    seed: int = None  # after those of the loop here

    def get_config(self):
        config = super().get_config()
        del config["seed"]  # which Keras's config of this layer leaves out
        return config


class LSTM(_LSTMFields, _DenseCellLayer):
    """A sequence through a long short-term memory (``keras.layers.LSTM``). Input ``(batch, steps, size)``.

    ``use_cudnn`` may be "auto" or False; True is a ValueError when called, for there is no cuDNN here.

    >>> LSTM(4, return_sequences=True)(ops.ones((2, 5, 3))).shape
    (2, 5, 4)
    """

    _cell = LSTMCell
    activity_regularizer: Regularizer = None
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False
    use_cudnn: InitOnly = "auto"


class GRU(_GRUFields, _DenseCellLayer):
    """A sequence through gated recurrent units (``keras.layers.GRU``). Input ``(batch, steps, size)``.

    ``use_cudnn`` may be "auto" or False; True is a ValueError when called, for there is no cuDNN here.

    >>> GRU(4)(ops.ones((2, 5, 3))).shape
    (2, 4)
    """

    _cell = GRUCell
    activity_regularizer: Regularizer = None
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False
    reset_after: bool = True  # after those of the loop here
    use_cudnn: InitOnly = "auto"
