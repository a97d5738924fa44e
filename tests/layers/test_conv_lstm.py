"""What the rows of ``conformance/layers_rnn.py`` don't reach: state between batches, masks of several examples, dropout, files."""

import keras
import numpy as np
import pytest

import kerasish
from kerasish import layers, ops
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.state import clear_session
from kerasish.layers.conv_lstm import ConvLSTMCell

X = np.random.default_rng(0).uniform(-1, 1, (2, 5, 4, 3, 2)).astype("float32")
MASK = np.array([[True, True, False, True, False], [False, False, True, True, True]])
KINDS = {1: "ConvLSTM1D", 2: "ConvLSTM2D", 3: "ConvLSTM3D"}


@pytest.fixture(autouse=True)
def fresh_names():
    clear_session()
    keras.utils.clear_session(free_memory=False)


def close(ours, theirs, tol=1e-5):
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=tol, atol=tol)


def test_stateful_layer_goes_on_where_the_last_batch_ended():
    ours, theirs = (library.layers.ConvLSTM2D(3, 2, stateful=True, return_state=True) for library in (kerasish, keras))
    ours.build(X.shape)
    theirs.build(X.shape)
    theirs.set_weights(ours.get_weights())
    outputs = []
    for batch in (X, X[:, ::-1], X):
        outputs.append(ours(ops.array(batch)))
        for a, b in zip(outputs[-1], theirs(batch), strict=True):
            close(a, b)
    assert [s.path for s in ours.states] == [s.path for s in theirs.states]
    ours.reset_state()
    close(ours(X)[0], outputs[0][0])


# ---- steps
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("rank", KINDS)
def test_layer_takes_the_cell_through_the_steps(rank, data_format):
    layer = getattr(layers, KINDS[rank])(3, 2, padding="same", strides=2, data_format=data_format, bias_initializer="ones")
    x = np.random.default_rng(1).uniform(-1, 1, (2, 4, *(4, 3, 5, 4)[: rank + 1])).astype("float32")
    expected = layer(x)
    assert isinstance(layer.cell, ConvLSTMCell)
    states = layer.get_initial_state(2)
    for t in range(4):
        output, states = layer.cell(ops.array(x[:, t]), states)
    close(output, expected)
    close(states[0], expected)


def test_cell_in_a_layer_of_its_own_and_stacked():
    plain = layers.ConvLSTM2D(3, 2, return_sequences=True)
    plain.build(X.shape)
    wrapped = layers.RNN(ConvLSTMCell(2, 3, 2), return_sequences=True)
    wrapped.build(X.shape)
    wrapped.set_weights(plain.get_weights())
    close(wrapped(X, mask=MASK), plain(X, mask=MASK))
    again = layers.deserialize(layers.serialize(wrapped))
    assert again.get_config() == wrapped.get_config()


def test_number_of_steps_may_be_unknown_or_zero():
    x = layers.Input((None, 4, 3, 2))
    y, *states = layers.ConvLSTM2D(3, 2, return_sequences=True, return_state=True, dropout=0.5)(x)
    assert [y.shape, *(s.shape for s in states)] == [(None, None, 3, 2, 3)] + [(None, 3, 2, 3)] * 2
    model = kerasish.models.Model(x, y)
    close(model(X)[:, :2], model(X[:, :2]))
    assert model(X[:, :0]).shape == (2, 0, 3, 2, 3)
    assert layers.ConvLSTM2D(3, 2)(X[:, :0]).shape == (2, 3, 2, 3)


def test_what_is_recorded_does_not_grow_with_the_sequence():
    layer = layers.ConvLSTM1D(2, 2)
    layer.build((1, 5, 4, 2))
    sizes = []
    for n in (6, 12):
        f = kerasish.function(lambda x: grad(lambda x: ops.sum(layer(x)))(x))
        f(np.ones((1, n, 4, 2), "float32"))
        ((plan, *_),) = f.plans.values()
        sizes.append(len(plan.trace.calls))
    assert sizes[0] == sizes[1]


# ---- masks
def test_padding_before_and_after_changes_nothing():
    layer = layers.ConvLSTM2D(3, 2, return_state=True)
    expected = layer(X)
    padding = np.full((2, 2, *X.shape[2:]), 9.0, "float32")
    padded = np.concatenate([padding, X[:, :2], padding, X[:, 2:], padding], axis=1)
    mask = np.repeat([[False, True, False, True, False]], [2, 2, 2, 3, 2], axis=1).repeat(2, axis=0)
    for a, b in zip(layer(padded, mask=mask), expected, strict=True):
        close(a, b)


def test_masked_steps_repeat_the_output_or_give_zeros():
    layer = layers.ConvLSTM2D(3, 2, return_sequences=True)
    y = layer(X, mask=MASK).numpy()
    assert not y[1, :2].any()
    for step in (2, 4):
        close(y[0, step], y[0, step - 1])
    layer.zero_output_for_mask = True
    y = layer(X, mask=MASK).numpy()
    assert (np.abs(y).sum(axis=(2, 3, 4)) > 0).tolist() == MASK.tolist()


def test_mask_goes_with_the_sequence_only():
    x = ops.array(X)
    x._keras_mask = ops.array(MASK)
    y, h, c = layers.ConvLSTM2D(3, 2, return_sequences=True, return_state=True)(x)
    assert [t._keras_mask is not None for t in (y, h, c)] == [True, False, False]
    assert layers.ConvLSTM2D(3, 2)(x)._keras_mask is None


# ---- dropout
@pytest.mark.parametrize("rate", ["dropout", "recurrent_dropout"])
def test_each_gate_has_a_mask_that_lasts_for_the_sequence(rate):
    cell = layers.ConvLSTM2D(3, 2, seed=1, **{rate: 0.5}).cell
    masks = getattr(cell, f"get_{rate}_mask")(ops.ones((2, 8, 8, 3)))
    assert len(masks) == 4
    assert len({m.numpy().tobytes() for m in masks}) == 4
    assert getattr(cell, f"get_{rate}_mask")(ops.ones((2, 8, 8, 3))) is masks


@pytest.mark.parametrize("rate", ["dropout", "recurrent_dropout"])
def test_masks_are_new_for_each_call_and_there_only_in_training(rate):
    options = {"bias_initializer": "ones", "return_sequences": True, "seed": 3}
    layer, plain = layers.ConvLSTM2D(3, 2, **{rate: 0.5}, **options), layers.ConvLSTM2D(3, 2, **options)
    first = layer(X, training=True).numpy()
    plain.build(X.shape)
    plain.set_weights(layer.get_weights())
    assert (layer(X, training=True).numpy() != first).any()
    close(layer(X), plain(X))
    close(plain(X, training=True), plain(X))
    again = layers.ConvLSTM2D(3, 2, **{rate: 0.5}, **options)
    again.build(X.shape)
    again.set_weights(layer.get_weights())
    close(again(X, training=True), first)


def test_gradients_with_dropout_are_those_of_the_masked_function():
    layer = layers.ConvLSTM1D(2, 2, dropout=0.4, recurrent_dropout=0.4, seed=1, dtype="float64")
    x = X[:, :, :, 0].astype("float64")
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


# ---- models and files
def small_model(library):
    return library.Sequential([
        library.layers.Input((5, 4, 3, 2)),
        library.layers.ConvLSTM2D(3, 2, padding="same", return_sequences=True),
        library.layers.TimeDistributed(library.layers.Flatten()),
        library.layers.GlobalAveragePooling1D(),
        library.layers.Dense(1),
    ])  # fmt: skip


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras's own variables
@pytest.mark.parametrize("ending", ["keras", "weights.h5", "h5"])
@pytest.mark.parametrize(("writer", "reader"), [(keras, kerasish), (kerasish, keras)])
def test_files_go_both_ways(writer, reader, ending, tmp_path):
    source, path = small_model(writer), str(tmp_path / f"m.{ending}")
    if ending == "weights.h5":
        source.save_weights(path)
        target = small_model(reader)
        target.load_weights(path)
    else:
        source.save(path)
        target = reader.saving.load_model(path, compile=False)
    close(target.predict(X, verbose=0), source.predict(X, verbose=0))


def test_training_in_recorded_steps_is_training_step_by_step():
    histories, y = [], X.sum(axis=(1, 2, 3, 4))
    for eagerly in (True, False):
        kerasish.utils.set_random_seed(0)
        model = small_model(kerasish)
        model.compile("adam", "mse", run_eagerly=eagerly)
        histories.append(model.fit(X, y, epochs=4, verbose=0).history["loss"])
    close(*histories)
    assert histories[0][-1] < histories[0][0]


def test_frozen_layer_has_nothing_to_train():  # Keras's cell forgets it
    layer = layers.ConvLSTM2D(3, 2, trainable=False)
    layer.build(X.shape)
    assert not any(v.trainable for v in layer.weights)


# ---- errors
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filters": 0}, "`filters`"),
        ({"padding": "causal"}, "`padding`"),
        ({"strides": 2, "dilation_rate": 2}, "strides > 1"),
        ({"kernel_size": (1, 2, 3)}, "`kernel_size`"),
        ({"implementation": 1}, "implementation"),
    ],
)
def test_arguments_that_make_no_sense(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        layers.ConvLSTM2D(**{"filters": 3, "kernel_size": 2, **options})


def test_arguments_that_are_missing_are_told_of_the_layer():
    with pytest.raises(TypeError, match=r"ConvLSTM2D: missing a required argument: 'kernel_size'"):
        layers.ConvLSTM2D(3)


def test_sizes_of_steps_are_known_and_stay():
    with pytest.raises(ValueError, match="must be known"):
        layers.ConvLSTM2D(3, 2)(layers.Input((5, None, 3, 2)))
    layer = layers.ConvLSTM2D(3, 2)
    layer(X)
    with pytest.raises(ValueError, match="expected shape"):
        layer(X[:, :, :3])
    with pytest.raises(ValueError, match="size of the states"):
        ConvLSTMCell(2, 3, 2).get_initial_state(1)
    with pytest.raises(ValueError, match="`rank` must be 1, 2 or 3"):
        ConvLSTMCell(4, 3, 2)
