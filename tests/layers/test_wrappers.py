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
        ((layers.LSTM(2),), {"backward_layer": layers.LSTM(2, go_backwards=True, return_state=True)}, 'attribute "return_state"'),
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


def test_steps_may_be_unknown_or_none():
    layer = layers.TimeDistributed(layers.Conv1D(2, 2))
    assert layer(layers.Input((None, 4, 3))).shape == (None, None, 3, 2)
    assert layer(ops.zeros((2, 0, 4, 3))).shape == (2, 0, 3, 2)


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
