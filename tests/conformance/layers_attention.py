"""Rows for the attention layers."""

from tests.conformance.layer_driver import A, config, layer_row, make

QUERY, VALUE, KEY = A(2, 3, 6), A(2, 5, 6), A(2, 5, 6)
T, S = A(2, 3, dtype="bool"), A(2, 5, dtype="bool")
PAIRS = A(2, 3, 5, dtype="bool")
ONLY_RANDOM = {"grad": False, "half": False, "strict": False, "empty": False, "json": False, "symbolic": False}
SCORES, CAUSAL = {"return_attention_scores": True}, {"use_causal_mask": True}
DROPOUT = {"dropout": 0.1}  # without it Keras on JAX takes only values that are as long as keys
EVERYTHING = {
    "kernel_initializer": "he_normal", "bias_initializer": "ones", "kernel_regularizer": make("regularizers.L2", 0.1),
    "bias_regularizer": "l1", "activity_regularizer": "l2", "kernel_constraint": "non_neg", "bias_constraint": "unit_norm",
    "name": "other",
}  # fmt: skip
HEADS = [  # what many and grouped heads share
    config().but(inputs=[QUERY, VALUE, KEY], call={"attention_mask": PAIRS}),
    config(use_bias=False).but(call=CAUSAL),
    config(sliding_window=2).but(call={"attention_mask": PAIRS, **SCORES, **CAUSAL}, symbolic=False),  # Keras knows no mask of scores
    config(dropout=0.3, seed=1).but(training=(False,), call=SCORES, inputs=[QUERY, QUERY]),
    config(use_gate=True, sliding_window=2, **EVERYTHING),
]


def heads(name, args, *configs):
    """The row of a layer whose first arguments say how many heads there are and how large."""
    shared = [config(*args, *c.args, **c.kwargs).but(**c.options) for c in (config(), *HEADS)]
    return layer_row(name, *shared, *configs, inputs=[QUERY, VALUE], tol=2e-5)


def random(name, *args):
    """Dropout of weights in training: it has Keras's statistics when weights are the same."""
    same = {"kernel_initializer": "ones", "dropout": 0.4, "seed": 1}
    return layer_row(
        name, config(*args, **same), inputs=[QUERY, VALUE], random=[A(300, 3, 6, low=0.5), A(300, 5, 6, low=0.5)], **ONLY_RANDOM
    )


def simple(name, *configs):
    """The row of a layer without projections, called on ``[query, value]``."""
    return layer_row(
        name,
        config(),
        config().but(inputs=[[QUERY, VALUE, KEY]], masks=[T, S, None]),
        config().but(masks=[None, S], call={**CAUSAL, **SCORES}),
        config(dropout=0.4, seed=1, use_scale=False).but(training=(False,), random=[[A(600, 3, 6, low=0.5), A(600, 5, 6, low=0.5)]]),
        *configs,
        inputs=[[QUERY, VALUE]],
        tol=2e-5,
    )


ROWS = [
    heads(
        "MultiHeadAttention",
        (2, 3),
        config(2, 3).but(masks=[T, None]),
        config(2, 3).but(inputs=[QUERY, VALUE, KEY], masks=[T, S, S]),
        config(2, 3, 4, output_shape=(2, 3), **DROPOUT),
        config(2, 3, attention_axes=(2,), output_shape=4).but(inputs=[A(2, 4, 3, 6), A(2, 4, 5, 6)]),
        config(2, 3).but(inputs=[A(2, 4, 3, 6), A(2, 2, 5, 6)]),
        config(2, 3, attention_axes=1).but(call={"attention_mask": A(2, 1, 3, 5, dtype="bool"), **SCORES}, symbolic=False),
        config(2, 3, attention_axes=[-2]).but(unknown=(1,), call=CAUSAL),
        config(2, 3, value_dim=4, use_gate=True, attention_axes=(1, 2)).but(
            inputs=[A(2, 2, 3, 6), A(2, 2, 3, 6)], call={"attention_mask": A(2, 2, 3, 2, 3, dtype="bool"), **SCORES}, symbolic=False
        ),
    ),
    heads("GroupQueryAttention", (3, 4, 2), config(3, 4, 1).but(call={"query_mask": T, "value_mask": S}, symbolic=False)),
    random("MultiHeadAttention", 2, 3),
    random("GroupQueryAttention", 3, 4, 2),
    simple(
        "Attention",
        config(use_scale=True),
        config(score_mode="concat"),
        config(use_scale=True, score_mode="concat").but(masks=[T, S]),
        config(True, "dot", name="other").but(unknown=(1,)),
    ),
    simple("AdditiveAttention", config(use_scale=False), config(name="other").but(unknown=(1,))),
]
