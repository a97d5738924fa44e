"""Rows for the pooling layers."""

from tests.conformance.layer_driver import A, config, layer_row

ALIAS = {"grad": False, "half": False, "strict": False, "empty": False}
SHAPES = {1: A(2, 7, 3), 2: A(2, 5, 6, 3), 3: A(1, 4, 5, 3, 2)}
FIRST = {1: A(2, 3, 7), 2: A(2, 3, 5, 6), 3: A(1, 2, 4, 5, 3)}
UNEVEN = {1: 3, 2: (3, 2), 3: (3, 2, 1)}
STEPS = A(2, 7, dtype="bool")


def rows(names, *configs):
    """Rows for 1 to 3 axes; aliases are the same classes, so little is asked of them. Configurations are functions of the rank."""
    first, *aliases = names.split()
    for rank in (1, 2, 3):
        yield layer_row(f"{first}{rank}D", *(make(rank) for make in configs), inputs=[SHAPES[rank]])
        yield from (layer_row(f"{name}{rank}D", configs[0](rank), inputs=[SHAPES[rank]], **ALIAS) for name in aliases)


def windows(names):
    return rows(
        names,
        lambda rank: config(2),
        lambda rank: config(UNEVEN[rank], 2, "same").but(unknown=range(1, rank + 1)),
        lambda rank: config(UNEVEN[rank], strides=1),
        lambda rank: config(2, UNEVEN[rank], "same", "channels_first", name="other").but(inputs=[FIRST[rank]], unknown=range(2, rank + 2)),
    )


def everything(names):
    return rows(
        names,
        lambda rank: config(),
        lambda rank: config(keepdims=True).but(unknown=range(1, rank + 1)),
        lambda rank: config("channels_first").but(inputs=[FIRST[rank]], unknown=range(2, rank + 2)),
        lambda rank: config("channels_first", True).but(inputs=[FIRST[rank]]),
    )


def adaptive(names):
    return rows(
        names,
        lambda rank: config(UNEVEN[rank]),
        lambda rank: config(2, "channels_first").but(inputs=[FIRST[rank]]),
    )


ROWS = [
    *windows("MaxPooling MaxPool"),
    *windows("AveragePooling AvgPool"),
    layer_row("MaxPooling1D", config(), inputs=[SHAPES[1]], **ALIAS),
    layer_row("MaxPooling2D", config(), inputs=[SHAPES[2]], **ALIAS),
    layer_row("MaxPooling3D", config(), inputs=[SHAPES[3]], **ALIAS),
    *everything("GlobalMaxPooling GlobalMaxPool"),
    *everything("GlobalAveragePooling GlobalAvgPool"),
    layer_row(
        "GlobalAveragePooling1D",
        config(),
        config(keepdims=True),
        config("channels_first").but(inputs=[FIRST[1]]),
        config("channels_first", True).but(inputs=[FIRST[1]]),
        inputs=[SHAPES[1]],
        masks=[STEPS],
    ),
    *adaptive("AdaptiveAveragePooling"),
    *adaptive("AdaptiveMaxPooling"),
]
