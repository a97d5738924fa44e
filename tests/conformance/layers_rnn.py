"""Rows for the recurrent layers, their cells and the wrappers that take layers through sequences.

Real Keras compiles its loop anew for each call, which takes long: only the first configurations of a layer go through every check.
State that is kept between batches, random masks and cells of a user's own are in ``tests/layers/test_rnn.py``.
"""

from tests.conformance.layer_driver import A, config, layer_row, make

SEQUENCE, H = A(2, 4, 5), A(2, 3)
MASK, LONG_MASK = A(2, 4, dtype="bool"), A(4, 6, dtype="bool")
BRIEF = {"half": False, "strict": False, "empty": False, "symbolic": False, "json": False}
EVERYTHING = {
    "bias_initializer": "ones", "kernel_regularizer": make("regularizers.L2", 0.1), "recurrent_regularizer": "l1",
    "bias_regularizer": "l2", "kernel_constraint": "non_neg", "recurrent_constraint": "max_norm", "bias_constraint": "unit_norm",
    "dropout": 0.4, "recurrent_dropout": 0.3, "seed": 1, "name": "other",
}  # fmt: skip


def brief(*args, **kwargs):
    """A configuration for which only weights, output and gradient are compared."""
    return config(*args, **kwargs).but(**BRIEF)


def cell(name, states, *configs):
    """The row of a cell with so many states."""
    configs = [config(3), config(3, **EVERYTHING).but(**{**BRIEF, "json": True}), *configs]
    return layer_row(name, *configs, inputs=[A(2, 5), [H] * states])


def layer(name, states, *configs):
    """The row of a layer whose cell has so many states."""
    return layer_row(
        name,
        config(3),
        config(3, return_sequences=True, return_state=True, go_backwards=True, use_bias=False).but(masks=[MASK], unknown=(1,)),
        config(3, activation=None, trainable=False, **EVERYTHING).but(**{**BRIEF, "json": True}),
        brief(3, return_sequences=True).but(call={"initial_state": [H] * states, "mask": MASK}),
        *configs,
        inputs=[SEQUENCE],
        tol=2e-5,
    )


def conv_lstm(name, shape, state, *configs):
    """The row of a convolutional LSTM for sequences of that shape; ``state``: what the sizes become where windows of 2 must fit."""
    channels_first = A(*shape[:2], shape[-1], *shape[2:-1])
    return layer_row(
        name,
        config(3, 2),
        config(3, 2, padding="same", data_format="channels_first", return_sequences=True, return_state=True, go_backwards=True,
               use_bias=False).but(inputs=[channels_first], unknown=(1,)),
        brief(3, 2, return_sequences=True).but(call={"initial_state": [A(shape[0], *state, 3)] * 2}),
        *configs,
        inputs=[A(*shape)],
        tol=2e-5,
    )  # fmt: skip


# Keras on JAX lays masks over the wrong axes of images, but for a batch of one
ROWS = [
    cell("SimpleRNNCell", 1, brief(3, use_bias=False)),
    cell("LSTMCell", 2, brief(3, recurrent_activation="softmax", unit_forget_bias=False), brief(3, implementation=1)),
    cell("GRUCell", 1, brief(3, recurrent_activation="softmax"), brief(3, reset_after=False, implementation=1)),
    layer(
        "SimpleRNN",
        1,
        brief(3, return_sequences=True).but(masks=[LONG_MASK], inputs=[A(4, 6, 5)]),
        brief(3, return_sequences=True, return_state=True, zero_output_for_mask=True).but(masks=[MASK], json=True),
        brief(3, return_state=True, unroll=True).but(masks=[MASK]),
        brief(3, go_backwards=True).but(call={"initial_state": [H]}),
        brief(3, unroll=True, return_sequences=True, go_backwards=True),
    ),
    layer("LSTM", 2, brief(3, recurrent_activation="hard_sigmoid", unit_forget_bias=False, use_cudnn=False)),
    layer("GRU", 1, brief(3, reset_after=False, use_bias=False), brief(3, reset_after=False).but(masks=[MASK])),
    conv_lstm(
        "ConvLSTM1D",
        (2, 3, 6, 2),
        (5,),
        brief(3, 3, padding="SAME", activation=None, recurrent_activation="hard_sigmoid", **EVERYTHING).but(json=True),
        brief(3, 2, strides=2, unroll=True, unit_forget_bias=False, activity_regularizer="l2").but(json=True),
    ),
    conv_lstm(
        "ConvLSTM2D",
        (2, 3, 4, 5, 2),
        (3, 4),
        brief(3, (2, 3), dilation_rate=(1, 2), zero_output_for_mask=True, return_sequences=True).but(
            inputs=[A(1, 4, 4, 5, 2)], masks=[A(1, 4, dtype="bool")], json=True
        ),
        brief(3, 3, return_state=True, strides=(1, 2), padding="same").but(inputs=[A(1, 4, 4, 5, 2)], masks=[A(1, 4, dtype="bool")]),
    ),
    conv_lstm("ConvLSTM3D", (2, 3, 3, 4, 3, 2), (2, 3, 2)),
    layer_row(
        "StackedRNNCells",
        config([make("layers.LSTMCell", 3), make("layers.GRUCell", 2)]),
        inputs=[A(2, 5), [[H, H], [A(2, 2)]]],
    ),
    layer_row(
        "RNN",
        config([make("layers.LSTMCell", 3), make("layers.GRUCell", 2)], return_sequences=True, return_state=True).but(
            masks=[MASK], unknown=(1,)
        ),
        brief(make("layers.GRUCell", 3), zero_output_for_mask=True, activity_regularizer="l1").but(masks=[MASK], json=True),
        brief([make("layers.LSTMCell", 3), make("layers.SimpleRNNCell", 2)], go_backwards=True).but(
            call={"initial_state": [[H, H], [A(2, 2)]]}
        ),
        brief(make("layers.LSTMCell", 3, dtype="float16")).but(tol=1e-2),
        inputs=[SEQUENCE],
        tol=2e-5,
    ),
    layer_row(
        "Bidirectional",
        config(make("layers.LSTM", 3, return_state=True, return_sequences=True)).but(masks=[MASK], unknown=(1,)),
        config(make("layers.SimpleRNN", 3, name="forward_me", return_sequences=True), merge_mode=None).but(masks=[MASK]),
        brief(make("layers.GRU", 3), "sum").but(json=True),
        brief(make("layers.SimpleRNN", 3, return_sequences=True), merge_mode="ave", name="both").but(masks=[MASK], json=True),
        brief(make("layers.SimpleRNN", 3, return_sequences=True), merge_mode="mul"),
        brief(make("layers.ConvLSTM1D", 3, 2, return_sequences=True)).but(inputs=[A(2, 3, 4, 2)]),
        brief(make("layers.SimpleRNN", 3, return_state=True), merge_mode=None).but(call={"initial_state": [H, H], "mask": MASK}),
        brief(make("layers.LSTM", 3), backward_layer=make("layers.GRU", 2, go_backwards=True)).but(json=True),
        inputs=[SEQUENCE],
        tol=2e-5,
    ),
    layer_row(
        "TimeDistributed",
        config(make("layers.Dense", 3, activation="relu")).but(masks=[MASK], unknown=(1,)),
        brief(make("layers.GRU", 3)).but(inputs=[A(2, 4, 3, 5)], masks=[A(2, 4, 3, dtype="bool")], json=True),
        brief(make("layers.Conv2D", 2, 2)).but(inputs=[A(2, 3, 4, 4, 2)]),
        config(make("layers.BatchNormalization")).but(**BRIEF, training=(False, True), weights=(0.5, 1.5), tol=5e-5, inputs=[A(6, 4, 5)]),
        brief(make("layers.Dense", 3, activation="softmax")).but(inputs=[A(2, 3, 4, 5)]),
        brief(make("layers.Embedding", 5, 3)).but(inputs=[A(2, 4, 3, dtype="int32", low=0, high=5)]),
        brief(make("layers.GlobalAveragePooling1D")).but(inputs=[A(2, 4, 9, 5)], masks=[A(2, 4, 9, dtype="bool")]),
        brief(make("layers.TimeDistributed", make("layers.Dense", 3))).but(inputs=[A(2, 4, 3, 5)], symbolic=True),
        inputs=[SEQUENCE],
    ),
]
