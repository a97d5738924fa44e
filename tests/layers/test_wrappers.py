"""What the rows of ``conformance/layers_rnn.py`` don't reach of Bidirectional and TimeDistributed."""

import keras
import numpy as np
import pytest

import kerasish
from kerasish import layers, ops
from kerasish.backend.autodiff.state import clear_session

X = np.random.default_rng(0).uniform(-1, 1, (2, 5, 3)).astype("float32")
MASK = np.array([[True, True, False, True, False], [False, False, True, True, True]])


@pytest.fixture(autouse=True)
def fresh_names():
    clear_session()
    keras.utils.clear_session(free_memory=False)


def close(ours, theirs, tol=1e-5):
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=tol, atol=tol)


# ---- Bidirectional
def test_stateful_layers_go_on_where_the_last_batch_ended():
    ours, theirs = (
        library.layers.Bidirectional(library.layers.LSTM(4, stateful=True, return_sequences=True)) for library in (kerasish, keras)
    )
    ours.build(X.shape)
    theirs.build(X.shape)
    theirs.set_weights(ours.get_weights())
    outputs = []
    for batch in (X, X[:, ::-1]):
        outputs.append(ours(ops.array(batch)))
        close(outputs[-1], theirs(batch))
    assert [s.path for s in ours.states] == [s.path for s in theirs.states]
    ours.reset_states()
    close(ours(X), outputs[0])


def test_states_belong_to_stateful_layers():
    layer = layers.Bidirectional(layers.GRU(2))
    layer(X)
    assert layer.states is None
    with pytest.raises(AttributeError, match="must be stateful"):
        layer.reset_state()


def test_layers_are_copies_with_weights_of_their_own():
    given = layers.LSTM(4, use_cudnn=False, return_sequences=True)
    given(X)
    layer = layers.Bidirectional(given)
    layer(X)
    ahead, back = layer.forward_layer, layer.backward_layer
    assert (ahead.name, back.name, back.go_backwards) == ("forward_lstm", "backward_lstm", True)
    assert not {id(w) for w in given.weights} & {id(w) for w in layer.weights}
    assert {each.use_cudnn for each in (ahead, back)} == {False}
    assert {each.zero_output_for_mask for each in (ahead, back)} == {True}
    assert not given.zero_output_for_mask
    assert not layers.Bidirectional(layers.LSTM(4)).forward_layer.zero_output_for_mask


def test_weights_to_start_from():
    start = layers.Bidirectional(layers.GRU(4))
    expected = start(X)
    layer = layers.Bidirectional(layers.GRU(4), weights=start.get_weights())
    close(layer(X), expected)
    with pytest.raises(ValueError, match="weight list of length 1"):
        layers.Bidirectional(layers.GRU(4), weights=start.get_weights()[:1])(X)


def test_a_given_backward_layer_is_used_as_it_is():
    back = layers.GRU(2, go_backwards=True)
    layer = layers.Bidirectional(layers.LSTM(4), backward_layer=back)
    assert layer.backward_layer is back
    assert layer(X).shape == (2, 6)


def test_own_layers_and_cells_need_no_registration():
    class Sum(layers.Layer):
        state_size = 3

        def call(self, inputs, states):
            return states[0] + inputs, [states[0] + inputs]

    class Twice(layers.RNN):
        def call(self, sequences, initial_state=None, mask=None, training=False):
            return 2 * super().call(sequences, initial_state, mask, training)

    close(layers.Bidirectional(Twice(Sum()), merge_mode="sum")(X), 4 * X.sum(axis=1))


def test_layer_may_lack_mask_training_and_state():
    class Cumulative(layers.Layer):
        return_sequences, return_state, stateful = True, False, False
        supports_masking = True

        def __init__(self, go_backwards=False, **kwargs):
            super().__init__(**kwargs)
            self.go_backwards = go_backwards

        def call(self, sequences):
            return ops.cumsum(ops.flip(sequences, axis=1) if self.go_backwards else sequences, axis=1)

        def get_config(self):
            return {**super().get_config(), "go_backwards": self.go_backwards}

    y = layers.Bidirectional(Cumulative(), merge_mode=None)(X, mask=MASK)
    close(y[0], X.cumsum(axis=1))
    close(y[1], X[:, ::-1].cumsum(axis=1)[:, ::-1])


@pytest.mark.parametrize("merge_mode", ["concat", "sum", None])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("stateful", [False, True])
def test_masks_go_with_sequences_only(merge_mode, return_sequences, stateful):
    layer = layers.Bidirectional(
        layers.GRU(2, return_state=True, return_sequences=return_sequences, stateful=stateful), merge_mode=merge_mode
    )
    x = ops.array(X)
    x._keras_mask = ops.array(MASK)
    outputs = layer(x)
    with_mask = (2 if merge_mode is None else 1) if return_sequences else 0
    assert [y._keras_mask is not None for y in outputs] == [True] * with_mask + [False] * (len(outputs) - with_mask)


def test_unknown_batch_and_steps():
    y = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(layers.Input((None, 3)))
    assert y.shape == (None, None, 8)


def test_config_may_lack_the_backward_layer():
    layer = layers.Bidirectional(layers.LSTM(4), merge_mode="ave")
    config = layer.get_config()
    again = layers.Bidirectional.from_config({k: v for k, v in config.items() if k != "backward_layer"})
    assert again.merge_mode == "ave"
    assert again.get_config()["layer"] == config["layer"]
    assert again.backward_layer.go_backwards
    assert "backward_layer" in config  # what it was made from is left as it was


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        (("lstm",), {}, "`layer` must be a layer"),
        ((layers.LSTM(2),), {"backward_layer": "lstm"}, "`backward_layer` must be a layer"),
        ((layers.LSTM(2), "max"), {}, "`merge_mode` must be one of"),
        ((layers.LSTM(2),), {"backward_layer": layers.LSTM(2)}, "different `go_backwards`"),
        ((layers.LSTM(2),), {"backward_layer": layers.LSTM(2, go_backwards=True, return_state=True)}, '"return_state" must be the same'),
    ],
)
def test_arguments_that_make_no_sense(args, kwargs, message):
    with pytest.raises(ValueError, match=message):
        layers.Bidirectional(*args, **kwargs)


# ---- TimeDistributed
class Probe(layers.Layer):
    """Marks the examples that its mask keeps, and remembers what it was called with."""

    supports_masking = True

    def call(self, inputs, training=None, mask=None):
        self.training = training
        return inputs if mask is None else inputs * ops.expand_dims(ops.cast(mask, "float32"), -1)


def test_each_step_gets_its_part_of_the_mask():
    layer = layers.TimeDistributed(Probe())
    close(layer(X, mask=MASK, training=True), X * MASK[..., None])
    assert layer.layer.training is True


def test_dropout_draws_for_each_step():
    y = layers.TimeDistributed(layers.Dropout(0.5))(ops.ones((1, 4, 100)), training=True).numpy()[0]
    assert len({row.tobytes() for row in y}) == 4


@pytest.mark.parametrize("wrap", [lambda layer: layer, lambda layer: kerasish.Sequential([layer])])
def test_steps_may_be_unknown_or_none(wrap):
    layer = layers.TimeDistributed(wrap(layers.Conv1D(2, 2)))
    assert layer(layers.Input((None, 4, 3))).shape == (None, None, 3, 2)
    assert layer(ops.zeros((2, 0, 4, 3))).shape == (2, 0, 3, 2)


class OwnDense(layers.Dense):
    """Knows the other examples of its batch."""

    def call(self, inputs, training=None):
        return super().call(inputs - ops.mean(inputs, axis=0))


def over_examples(x):
    return ops.softmax(x, axis=0)


@pytest.mark.parametrize("make", [lambda: OwnDense(2), lambda: layers.Dense(2, activation=over_examples)])
def test_what_mixes_examples_gets_one_step_at_a_time(make):
    layer = layers.TimeDistributed(make())
    y = layer(X)
    for t in range(X.shape[1]):
        close(y[:, t], layer.layer(ops.array(X[:, t])))


@pytest.mark.parametrize("make", [lambda: layers.Dense(2), lambda: layers.LayerNormalization(), lambda: layers.Dropout(0.5)])
def test_what_is_recorded_does_not_grow_with_the_sequence(make):
    layer = layers.TimeDistributed(make())
    layer.build(X.shape)
    sizes = []
    for n in (6, 12):
        f = kerasish.function(lambda x: layer(x, training=True))
        y = f(np.ones((2, n, 3), "float32"))
        assert y.shape[:2] == (2, n)
        ((plan, *_),) = f.plans.values()
        sizes.append(len(plan.trace.calls))
    assert sizes[0] == sizes[1]


def test_dropout_draws_for_each_recorded_step():
    layer = layers.TimeDistributed(layers.Dropout(0.5))
    f = kerasish.function(lambda x: layer(x, training=True))
    rows = [row.tobytes() for _ in range(2) for row in f(np.ones((1, 6, 100), "float32")).numpy()[0]]
    assert len(set(rows)) == 12


def test_state_changes_with_each_recorded_step():
    normal, x = layers.BatchNormalization(), np.concatenate([X, X + 1], axis=1)
    layer = layers.TimeDistributed(normal)
    layer.build(x.shape)
    found = []
    for run in (layer, kerasish.function(lambda x, training: layer(x, training=True))):
        normal.moving_mean.assign(np.zeros(3))
        y = run(ops.array(x), training=True) if run is layer else run(x, True)
        found.append((y.numpy(), normal.moving_mean.numpy()))
    for a, b in zip(*found, strict=True):
        close(a, b)


def test_penalties_inside_count_for_each_step_also_when_recorded():
    inner = kerasish.Sequential([layers.Dense(2, activity_regularizer="l2")])
    layer = layers.TimeDistributed(inner)
    layer.build(X.shape)

    def penalty(x):
        layer(x)
        return sum(layer.losses)

    expected = sum(0.01 * float(ops.sum(ops.square(inner(ops.array(X[:, t]))))) / 2 for t in range(5))
    close(penalty(ops.array(X)), expected)
    close(kerasish.function(penalty)(X), expected)


@pytest.mark.parametrize(
    ("x", "mask", "message"),
    [
        (X[:, 0], None, "at least 3 dimensions"),
        (X, MASK[0], "incompatible with the input shape"),
        (X, MASK[:, :4], "incompatible with the input shape"),
        (X, MASK[:1], "incompatible with the input shape"),
    ],
)
def test_inputs_that_make_no_sense(x, mask, message):
    with pytest.raises(ValueError, match=message):
        layers.TimeDistributed(layers.Dense(2))(x, mask=mask)


def test_only_layers_are_wrapped():
    with pytest.raises(ValueError, match="isn't a supported layer type"):
        layers.TimeDistributed(len)


# ---- layers of other frameworks
@pytest.mark.parametrize("name", ["FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"])
def test_layers_of_other_frameworks_say_what_to_use_instead(name):
    with pytest.raises(AttributeError, match=f"{name} is not there: .* You can "):
        getattr(layers, name)
    assert hasattr(keras.layers, name)


def test_names_that_nobody_knows():
    with pytest.raises(AttributeError, match="has no attribute 'Dance'"):
        _ = layers.Dance
