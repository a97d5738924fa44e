"""Cross-entropies and encodings of classes."""

from tests.conformance.driver import A, case, row

P = A(3, 4, low=0.1, high=0.9)
LOGITS = A(3, 4, low=-3.0, high=3.0)
LARGE = A(3, 4, low=-40.0, high=40.0)
CLASSES = A(3, dtype="int32", low=0, high=4)

ROWS = [
    row(
        "ops.one_hot",
        case(A(3, dtype="int32"), 10),
        case(A(2, 3, dtype="int32", low=-2, high=6), 4, axis=1, dtype="int32"),
        case(A(2, 3, dtype="int64"), 10, 0, "float16"),
        case(A(2, 3, dtype="uint8"), num_classes=5, axis=-1, dtype="bool"),
        case(3, 5),
        zero_size=True,
    ),
    row(
        "ops.multi_hot",
        case(A(3, 4, dtype="int32"), 10),
        case(A(2, 3, 4, dtype="int32"), num_classes=12, dtype="int32"),
        case(A(3, 4, dtype="int32"), num_tokens=10),
        zero_size=True,
    ),
    row(
        "ops.categorical_crossentropy",
        case(P, A(3, 4, low=0.2, high=0.8)),
        case(P, LOGITS, from_logits=True),
        case(P, LARGE, True),
        case(A(2, 3, 4, low=0.1, high=0.9), A(2, 3, 4, low=0.2, high=0.8), axis=1),
        case(A(2, 3, 4, low=0.1, high=0.9), A(2, 3, 4), True, 1),
        case(A(3, 4, dtype="int32", low=0, high=2), LOGITS, from_logits=True),
        zero_size=True,
    ),
    row(
        "ops.sparse_categorical_crossentropy",
        case(CLASSES, A(3, 4, low=0.2, high=0.8)),
        case(CLASSES, LOGITS, from_logits=True),
        case(CLASSES, LARGE, True),
        case(A(3, 1, dtype="int32", low=0, high=4), LOGITS, from_logits=True),
        case(A(5, dtype="int32", low=-3, high=7), A(5, 4), from_logits=True),  # some out of range
        case(A(5, dtype="int32", low=-3, high=7), A(5, 4, low=0.2, high=0.8)),
        case(A(2, 3, dtype="int64", low=0, high=4), A(2, 3, 4), from_logits=True),
        case(A(2, 3, dtype="int32", low=0, high=3), A(2, 3, 3), from_logits=True, axis=1),
        case(A(2, 3, dtype="int32", low=0, high=3), A(2, 3, 3, low=0.2, high=0.8), axis=1),
        case(A(3, low=0.0, high=4.0), LOGITS, from_logits=True),  # classes as floats
        grad=[1],
        zero_size=True,
    ),
    row(
        "ops.binary_crossentropy",
        case(P, A(3, 4, low=0.2, high=0.8)),
        case(P, LOGITS, from_logits=True),
        case(P, LARGE, True),
        case(A(3, 4, dtype="int32", low=0, high=2), A(3, 4, low=0.2, high=0.8)),
        case(A(3, 4, dtype="bool"), LOGITS, True),
        case(A(), A(low=0.2, high=0.8)),
        zero_size=True,
    ),
    # one example without a batch
    row("ops.multi_hot", case(A(4, dtype="int32"), 10)),
    row("ops.categorical_crossentropy", case(A(4, low=0.1, high=0.9), A(4), from_logits=True)),
    row("ops.sparse_categorical_crossentropy", case(2, A(4), from_logits=True)),
]
