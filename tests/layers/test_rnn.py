"""What the rows of ``conformance/layers_rnn.py`` don't reach: state between batches, random masks, cells of a user's own."""

import keras
import numpy as np
import pytest

import kerasish
from kerasish import layers, ops
from kerasish.backend.autodiff.gradient import GradientTape, grad
from kerasish.backend.autodiff.state import clear_session, next_order
from kerasish.saveable import CustomObjectScope, deserialize_keras_object, serialize_keras_object

KINDS = [layers.SimpleRNN, layers.LSTM, layers.GRU]
CELLS = [layers.SimpleRNNCell, layers.LSTMCell, layers.GRUCell]
X = np.random.default_rng(0).uniform(-1, 1, (2, 5, 3)).astype("float32")
MASK = np.array([[True, True, False, True, False], [False, False, True, True, True]])
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def fresh_names():
    clear_session()
    keras.utils.clear_session(free_memory=False)


def close(ours, theirs, tol=1e-5):
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=tol, atol=tol)


def with_weights_of(ours, theirs):
    ours.build(X.shape)
    theirs.build(X.shape)
    rng = np.random.default_rng(1)
    ours.set_weights([rng.uniform(-0.7, 0.7, w.shape) for w in ours.get_weights()])
    theirs.set_weights(ours.get_weights())
    return ours, theirs


# ---- state between batches
@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize(
    "make",
    [
        lambda library: library.layers.LSTM(4, stateful=True, return_state=True),
        lambda library: library.layers.RNN([library.layers.GRUCell(4), library.layers.LSTMCell(2)], stateful=True),
    ],
)
def test_stateful_layer_goes_on_where_the_last_batch_ended(make, mask):
    ours, theirs = with_weights_of(make(kerasish), make(keras))
    for batch in (X, X[:, ::-1], X):
        found, expected = ours(ops.array(batch), mask=mask), theirs(batch, mask=mask)
        for a, b in zip(kerasish.tree.flatten(found), kerasish.tree.flatten(expected), strict=True):
            close(a, b)
    for a, b in zip(kerasish.tree.flatten(ours.states), kerasish.tree.flatten(theirs.states), strict=True):
        assert (a.path, a.trainable) == (b.path, b.trainable)
        close(a, b)


@pytest.mark.parametrize("reset", ["reset_state", "reset_states"])
def test_state_can_be_reset_and_is_no_weight(reset):
    layer = layers.RNN([layers.GRUCell(4), layers.LSTMCell(2)], stateful=True)
    first, second = layer(X).numpy(), layer(X).numpy()
    assert not np.allclose(first, second)
    getattr(layer, reset)()
    close(layer(X), first)
    assert not {id(v) for v in layer.variables} & {id(v) for v in kerasish.tree.flatten(layer.states)}


def test_stateful_layer_ends_gradients_at_the_batch():
    layer = layers.SimpleRNN(2, stateful=True)
    layer(X)
    with GradientTape() as tape:
        x = ops.array(X)
        tape.watch(x)
        layer(x)
        y = ops.sum(layer(X))
    assert tape.gradient(y, x) is None


def test_stateful_layer_keeps_its_state_in_a_stateless_call():
    layer = layers.GRU(2, stateful=True)
    layer(X)
    before = layer.states[0].numpy()
    layer.stateless_call(layer.trainable_variables, layer.non_trainable_variables, ops.array(X))
    close(layer.states[0], before)


def test_stateful_layer_wants_one_batch_size():
    with pytest.raises(ValueError, match="batch size must be static"):
        layers.LSTM(2, stateful=True)(layers.Input((5, 3)))
    layer = layers.LSTM(2, stateful=True)
    layer(X)
    with pytest.raises(ValueError, match="Expected batch size: 2. Received batch size: 1"):
        layer(X[:1])


# ---- masks
@every_kind
def test_padding_before_and_after_changes_nothing(kind):
    layer = kind(4, return_state=True)
    expected = layer(X)
    padding = np.full((2, 2, 3), 9.0, "float32")
    padded = np.concatenate([padding, X[:, :2], padding, X[:, 2:], padding], axis=1)
    mask = np.repeat([[False, True, False, True, False]], [2, 2, 2, 3, 2], axis=1).repeat(2, axis=0)
    for a, b in zip(layer(padded, mask=mask), expected, strict=True):
        close(a, b)


def test_masked_steps_take_no_gradient():
    layer = layers.LSTM(4)
    layer(X)
    slope = grad(lambda x: ops.sum(layer(x, mask=MASK)))(X).numpy()
    assert (np.abs(slope).sum(axis=-1) > 0).tolist() == MASK.tolist()


def test_embedding_hands_its_mask_to_the_layer():
    model = kerasish.models.Sequential([layers.Embedding(5, 3, mask_zero=True), layers.GRU(2, return_sequences=True)])
    ids = np.array([[1, 2, 0, 0]])
    y = model(ids)
    assert y._keras_mask.tolist() == [[True, True, False, False]]
    close(y[0, 2], y[0, 1])


@pytest.mark.parametrize("unroll", [False, True])  # Keras on JAX forgets the zeros when it unrolls
def test_masked_outputs_are_zero_on_demand(unroll):
    layer = layers.GRU(4, return_sequences=True, zero_output_for_mask=True, unroll=unroll)
    y = layer(X, mask=MASK).numpy()
    assert (np.abs(y).sum(axis=-1) > 0).tolist() == MASK.tolist()


def test_mask_with_features_keeps_a_step_that_has_any():
    wide = np.stack([MASK, np.zeros_like(MASK)], axis=-1)
    layer = layers.GRU(4)
    close(layer(X, mask=wide), layer(X, mask=MASK))


# ---- unknown sizes
@every_kind
def test_number_of_steps_may_be_unknown(kind):
    x = layers.Input((None, 3))
    y, *states = kind(4, return_sequences=True, return_state=True)(x)
    assert [y.shape, *(s.shape for s in states)] == [(None, None, 4)] + [(None, 4)] * len(states)
    model = kerasish.models.Model(x, y)
    assert [model(X[:, :n]).shape for n in (1, 5)] == [(2, 1, 4), (2, 5, 4)]
    close(model(X)[:, :2], model(X[:, :2]))


def test_no_steps_leave_the_initial_state():
    layer = layers.GRU(4, return_sequences=True, return_state=True, dropout=0.5)
    y, h = layer(X[:, :0], initial_state=ops.ones((2, 4)), training=True)
    assert y.shape == (2, 0, 4)
    close(h, np.ones((2, 4)))


def test_unrolling_wants_a_known_number_of_steps():
    with pytest.raises(ValueError, match="Cannot unroll"):
        layers.GRU(4, unroll=True)(layers.Input((None, 3)))


# ---- dropout
@pytest.mark.parametrize(("cell", "library"), [(c.__name__, lib) for c in CELLS for lib in (keras, kerasish)])
def test_cells_keep_their_masks_until_they_are_reset(cell, library):
    cell = getattr(library.layers, cell)(4, dropout=0.5, recurrent_dropout=0.5, seed=1)
    several = not isinstance(cell, library.layers.SimpleRNNCell)
    x = library.ops.ones((50, 3))
    for name in ("dropout_mask", "recurrent_dropout_mask"):
        first = getattr(cell, f"get_{name}")(x)
        assert isinstance(first, list) == several
        assert getattr(cell, f"get_{name}")(x) is first
        getattr(cell, f"reset_{name}")()
        again = getattr(cell, f"get_{name}")(x)
        for a, b in zip(*(m if several else [m] for m in (first, again)), strict=True):
            assert set(np.unique(a)) == {0.0, 2.0}
            assert (np.asarray(a) != np.asarray(b)).any()


@pytest.mark.parametrize("implementation", [1, 2])
def test_implementation_one_drops_inputs_for_each_gate(implementation):
    cell = layers.LSTMCell(4, dropout=0.5, implementation=implementation)
    masks = cell.get_dropout_mask(ops.ones((2, 3)))
    assert (len(masks) == 4 and isinstance(masks, list)) == (implementation == 1)


@every_kind
@pytest.mark.parametrize("rate", ["dropout", "recurrent_dropout"])
def test_masks_are_new_for_each_call_and_there_only_in_training(kind, rate):
    def outputs(layer, training=True):
        x = ops.ones((64, 6, 1)) * 0.1
        return layer(x, training=training).numpy()

    options = {"kernel_initializer": "ones", "recurrent_initializer": "identity", "return_sequences": True, "seed": 3}
    layer = kind(8, **{rate: 0.5}, **options)
    first, second = outputs(layer), outputs(layer)
    assert (first != second).any()
    close(outputs(kind(8, **{rate: 0.5}, **options)), first)
    plain = outputs(layer, training=False)
    close(plain, outputs(kind(8, **options)))
    close(outputs(kind(8, **options), training=True), plain)


def test_dropped_inputs_are_dropped_at_every_step():
    layer = layers.SimpleRNN(1, dropout=0.5, activation=None, kernel_initializer="ones", recurrent_initializer="zeros",
                             return_sequences=True, seed=1)  # fmt: skip
    y = layer(ops.ones((1000, 4, 1)), training=True).numpy()[..., 0]
    assert (y == y[:, :1]).all()
    assert set(np.unique(y)) == {0.0, 2.0}
    assert abs(y.mean() - 1) < 0.1


def test_dropped_state_is_dropped_at_every_step():
    layer = layers.SimpleRNN(1, recurrent_dropout=0.5, activation=None, kernel_initializer="zeros", bias_initializer="ones",
                             recurrent_initializer="ones", return_sequences=True, seed=1)  # fmt: skip
    y = layer(ops.ones((1000, 4, 1)), training=True).numpy()[..., 0]
    assert {tuple(row) for row in y} == {(1, 1, 1, 1), (1, 3, 7, 15)}  # each step gives 1, and twice the step before if it is kept
    assert abs((y[:, 1] == 3).mean() - 0.5) < 0.1


@pytest.mark.parametrize("kind", [layers.LSTM, layers.GRU])
def test_each_gate_drops_a_part_of_its_own(kind):
    cell = kind(3, recurrent_dropout=0.5, dropout=0.5).cell
    for masks in (cell.get_dropout_mask(ops.ones((200, 3))), cell.get_recurrent_dropout_mask(ops.ones((200, 3)))):
        assert len({m.numpy().tobytes() for m in masks}) == len(masks) == cell._gates


@every_kind
def test_gradients_with_dropout_are_those_of_the_masked_function(kind):
    """With the seed set back before each call, finite differences agree."""
    layer = kind(3, dropout=0.4, recurrent_dropout=0.4, seed=1, dtype="float64")
    x = X.astype("float64")
    layer(x)
    state = layer.cell.seed_generator.state
    start = state.numpy()

    def f(x):
        state.assign(start)
        return ops.sum(ops.sin(layer(x, training=True)))

    slope = grad(f)(ops.array(x)).numpy()
    direction = np.random.default_rng(2).normal(size=x.shape)
    difference = (float(f(x + 1e-5 * direction)) - float(f(x - 1e-5 * direction))) / 2e-5
    np.testing.assert_allclose((slope * direction).sum(), difference, rtol=1e-6)


@every_kind
def test_gradients_of_second_order(kind):
    layer = kind(2, dtype="float64")
    x = X[:1, :3].astype("float64")
    layer(x)

    def f(x):
        return ops.sum(ops.square(layer(x)))

    direction = np.random.default_rng(2).normal(size=x.shape)
    along = grad(lambda x: ops.sum(grad(f)(x) * direction))(ops.array(x)).numpy()
    difference = (grad(f)(ops.array(x + 1e-5 * direction)).numpy() - grad(f)(ops.array(x - 1e-5 * direction)).numpy()) / 2e-5
    np.testing.assert_allclose(along, difference, rtol=1e-5, atol=1e-8)


# ---- cells of a user's own
def minimal_cell(library):
    class MinimalCell(library.layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = self.state_size = units

        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(input_shape[-1], self.units), initializer="uniform", name="kernel")
            self.recurrent_kernel = self.add_weight(shape=(self.units, self.units), initializer="uniform", name="recurrent_kernel")

        def call(self, inputs, states):
            h = library.ops.matmul(inputs, self.kernel) + library.ops.matmul(states[0], self.recurrent_kernel)
            return h, [h]

        def get_config(self):
            return {**super().get_config(), "units": self.units}

    return MinimalCell


def two_state_cell(library):
    class TwoStateCell(library.layers.Layer):
        """Two states; an output that is neither; another size; takes ``training``."""

        state_size, output_size = (4, 4), 2

        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(input_shape[-1], 4), name="kernel")
            self.to_output = self.add_weight(shape=(4, 2), name="to_output")

        def call(self, inputs, states, training=False):
            a, b = states
            a, b = library.ops.tanh(library.ops.matmul(inputs, self.kernel) + b), a * (0.5 if training else 1.0)
            return library.ops.matmul(b, self.to_output), [a, b]

        def get_initial_state(self, batch_size=None):
            return [library.ops.ones((batch_size, 4)), library.ops.zeros((batch_size, 4))]

    return TwoStateCell


@pytest.mark.parametrize(
    ("make", "options", "mask"),
    [
        (lambda library: minimal_cell(library)(4), {"return_sequences": True, "return_state": True}, None),
        (lambda library: minimal_cell(library)(4), {"return_sequences": True, "return_state": True}, MASK),
        (lambda library: [minimal_cell(library)(4), minimal_cell(library)(2)], {"return_state": True, "go_backwards": True}, None),
        (lambda library: two_state_cell(library)(), {"return_state": True, "zero_output_for_mask": True}, MASK),
    ],
)
def test_own_cells_give_what_keras_gives(make, options, mask):
    ours, theirs = with_weights_of(layers.RNN(make(kerasish), **options), keras.layers.RNN(make(keras), **options))
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    for training in (False, True):
        found, expected = (layer(x, mask=mask, training=training) for layer, x in ((ours, ops.array(X)), (theirs, X)))
        for a, b in zip(kerasish.tree.flatten(found), kerasish.tree.flatten(expected), strict=True):
            close(a, b)
    shapes = kerasish.tree.flatten(ours.compute_output_shape((None, 7, 3)))
    assert shapes == kerasish.tree.flatten(theirs.compute_output_shape((None, 7, 3)))


@pytest.mark.parametrize("make", [lambda: two_state_cell(kerasish)(), lambda: [minimal_cell(kerasish)(4), minimal_cell(kerasish)(2)]])
def test_masked_steps_repeat_the_output_that_was_there_before(make):  # Keras on JAX gives the (first cell's) state instead
    layer = layers.RNN(make(), return_sequences=True)
    y = layer(X, mask=MASK).numpy()
    close(y[0, 2], y[0, 1])
    close(y[0, 4], y[0, 3])
    close(y[1, :2], np.zeros((2, 2)))  # nothing to repeat yet


def test_cell_may_return_its_states_in_a_tuple_or_bare():
    class Last(layers.Layer):
        state_size = 3

        def call(self, inputs, states):
            return inputs, self.pack(inputs)

    for pack in (lambda x: x, lambda x: (x,), lambda x: [x]):
        cell = Last()
        cell.pack = pack
        y, state = layers.RNN(cell, return_state=True)(X, mask=MASK)
        close(y, X[[0, 1], [3, 4]])
        close(state, y)


def test_cell_may_be_any_object_with_call_and_state_size():
    class Sum:
        state_size = 3

        def call(self, inputs, states):
            return states[0] + inputs, states[0] + inputs

    close(layers.RNN(Sum())(X), X.sum(axis=1))
    close(layers.RNN([Sum(), Sum()])(X), X.cumsum(axis=1).sum(axis=1))


def test_own_call_of_a_derived_cell_is_taken_at_every_step():
    class Doubled(layers.GRUCell):
        def call(self, inputs, states, training=False):
            output, states = super().call(inputs, states, training)
            return 2 * output, states

    class Restless(layers.LSTMCell):
        def get_initial_state(self, batch_size=None):
            return [ops.ones((batch_size, self.units)) for _ in range(2)]

    doubled, plain = layers.RNN(Doubled(4), return_state=True), layers.RNN(layers.GRUCell(4))
    output, state = doubled(X)
    plain(X)
    plain.set_weights(doubled.get_weights())
    close(output, 2 * state)
    close(state, plain(X))
    restless, plain = layers.RNN(Restless(4)), layers.LSTM(4)
    plain(X)
    restless(X)
    plain.set_weights(restless.get_weights())
    close(restless(X), plain(X, initial_state=[ops.ones((2, 4))] * 2))


def test_penalties_of_a_cell_count_every_step():
    layer = layers.RNN(layers.GRUCell(4, activity_regularizer="l2"))
    layer(X)
    assert len(layer.losses) == 10  # of the output and of the state

    def penalty(x):
        layer(x)
        return sum(layer.losses)

    close(kerasish.function(penalty)(X), penalty(X))


@every_kind
def test_penalty_on_the_output(kind):  # which Keras's SimpleRNN forgets
    layer = kind(4, activity_regularizer="l2")
    y = layer(X).numpy()
    close([float(x) for x in layer.losses], [0.01 * (y**2).sum() / 2])


def test_own_cells_are_saved_with_the_layer():
    cell = minimal_cell(kerasish)
    layer = layers.RNN([cell(4), layers.LSTMCell(2)], go_backwards=True)
    config = layer.get_config()
    with pytest.raises(TypeError, match="MinimalCell"):
        layers.RNN.from_config(config)
    again = layers.RNN.from_config(config, custom_objects={"MinimalCell": cell})
    assert again.get_config() == layer.get_config() == config
    with CustomObjectScope({"MinimalCell": cell}):
        assert isinstance(deserialize_keras_object(serialize_keras_object(layer)).cell.cells[0], cell)


@pytest.mark.parametrize("wrong", [object(), type("NoSize", (), {"call": print})()])
def test_what_is_no_cell_is_refused(wrong):
    for make in (layers.RNN, lambda cell: layers.StackedRNNCells([cell])):
        with pytest.raises(ValueError, match="An RNN cell must have a `(call|state_size)`"):
            make(wrong)


# ---- arguments
@pytest.mark.parametrize("make", KINDS + CELLS)
def test_units_must_be_positive(make):
    with pytest.raises(ValueError, match="expected a positive integer, got 0"):
        make(0)


@pytest.mark.parametrize("make", KINDS + CELLS)
def test_rates_are_kept_between_0_and_1(make):
    layer = make(2, dropout=-1.0, recurrent_dropout=3.0)
    assert (layer.dropout, layer.recurrent_dropout) == (0.0, 1.0)


@every_kind
def test_layers_read_the_arguments_of_their_cell(kind):
    layer = kind(4, kernel_regularizer="l2", seed=7)
    assert (layer.units, layer.kernel_regularizer, layer.seed) == (4, layer.cell.kernel_regularizer, 7)
    with pytest.raises(AttributeError):
        layer.units = 5
    assert layer.trainable
    assert not kind(4, trainable=False).cell.trainable


@pytest.mark.parametrize("kind", [layers.LSTM, layers.GRU])
def test_cudnn_is_not_promised(kind):
    with pytest.raises(ValueError, match="must be 'auto', True or False"):
        kind(4, use_cudnn="yes")
    with pytest.raises(ValueError, match="no cuDNN"):
        kind(4, use_cudnn=True)(X)
    assert kind(4).use_cudnn == "auto"


@every_kind
def test_subclasses_add_fields_or_a_constructor(kind):
    class Scaled(kind):
        scale: float

        def call(self, sequences, initial_state=None, mask=None, training=False):
            return self.scale * super().call(sequences, initial_state, mask, training)

    class Fixed(kind):
        def __init__(self, **kwargs):
            super().__init__(4, **kwargs)

    scaled, fixed = Scaled(units=4, scale=3.0), Fixed(name="fixed")
    assert scaled.get_config()["scale"] == 3.0
    assert Scaled.from_config(scaled.get_config()).scale == 3.0
    fixed(X)
    scaled(X)
    fixed.set_weights(scaled.get_weights())
    close(scaled(X), 3 * fixed(X).numpy())


# ---- precision and speed
@every_kind
def test_mixed_precision_keeps_weights_wide(kind):
    layer = kind(4, return_state=True, dtype="mixed_float16", stateful=True)
    outputs = layer(X)
    assert {y.dtype for y in outputs} == {"float16"}
    assert {w.dtype for w in layer.weights} == {"float32"}
    assert {s.dtype for s in layer.states} == {"float32"}


class OwnLSTMCell(layers.LSTMCell):
    """Could do anything in a step."""


AT_ONCE = [  # what goes through a sequence in as many calls as through one step, whatever its length
    (layers.LSTM, {}, {}),
    (layers.GRU, {}, {}),
    (layers.LSTM, {"use_bias": False, "return_state": True, "go_backwards": True}, {}),
    (layers.GRU, {"use_bias": False, "return_sequences": True, "return_state": True, "go_backwards": True}, {"mask": MASK}),
    (layers.LSTM, {"return_sequences": True}, {"mask": MASK}),
    (layers.LSTM, {"dropout": 0.5, "seed": 1}, {"training": True}),
    (layers.GRU, {"dropout": 0.5, "seed": 1, "implementation": 1, "return_sequences": True}, {"training": True}),
    (layers.GRU, {"recurrent_dropout": 0.5}, {}),
    (layers.LSTM, {"dtype": "float64"}, {}),
    (layers.LSTM, {"return_state": True, "stateful": True}, {"mask": MASK}),
    (layers.GRU, {"return_state": True}, {"initial_state": np.ones((2, 4), "float32")}),
]
STEP_BY_STEP = [  # and how many calls a step may be
    (layers.SimpleRNN, {}, {}, 3),
    (layers.LSTM, {"unroll": True}, {}, 12),
    (layers.GRU, {"unroll": True}, {}, 14),
    (layers.GRU, {"reset_after": False}, {}, 16),
    (layers.LSTM, {"activation": "relu"}, {}, 12),
    (layers.GRU, {"recurrent_activation": "hard_sigmoid"}, {}, 14),
    (layers.LSTM, {"recurrent_dropout": 0.5}, {"training": True}, 22),
    (layers.LSTM, {"zero_output_for_mask": True}, {"mask": MASK}, 20),
    (lambda units: layers.RNN(OwnLSTMCell(units)), {}, {}, 12),
    (lambda units: layers.RNN(layers.LSTMCell(units, activity_regularizer="l2")), {}, {}, 60),
]


def calls_of_a_step(layer, call):
    def count(steps):
        first = next_order()
        layer(X[:, :steps], **{name: x[:, :steps] if name == "mask" else x for name, x in call.items()})
        return next_order() - first

    count(5)  # builds
    return count(5) - count(4)


@pytest.mark.parametrize(("kind", "options", "call"), AT_ONCE)
def test_a_sequence_is_one_call_with_the_values_and_gradients_of_its_steps(kind, options, call):
    layer, reference = kind(4, **options), kind(4, unroll=True, **options)
    for x in (layer, reference):
        x.build(X.shape)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.uniform(-0.7, 0.7, w.shape) for w in layer.get_weights()])
    reference.set_weights(layer.get_weights())

    def run(layer):
        with GradientTape() as tape:
            x = ops.array(X)
            tape.watch(x)
            outputs = kerasish.tree.flatten(layer(x, **call))
            total = sum(ops.sum(ops.sin(y)) for y in outputs)
        return [*outputs, *tape.gradient(total, [x, *layer.trainable_variables])]

    for _ in range(2):
        for a, b in zip(run(layer), run(reference), strict=True):
            close(a, b)
    assert calls_of_a_step(layer, call) == 0


@pytest.mark.parametrize(("kind", "options", "call", "calls"), STEP_BY_STEP)
def test_a_step_is_few_calls(kind, options, call, calls):
    assert 0 < calls_of_a_step(kind(4, **options), call) <= calls
