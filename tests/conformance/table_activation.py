"""Activation functions."""

import numpy as np

from tests.conformance.driver import A, case, row

X = A(3, 4, low=-4.0, high=4.0)
INSIDE = A(3, 4, low=-0.9, high=0.9)  # away from kinks at -1 and 1
LARGE = A(5, low=-50.0, high=50.0)

ALONG_AXES = (
    case(X),
    case(A(2, 3, 4), axis=1),
    case(A(2, 3, 4), axis=(0, 2)),
    case(A(2, 3, 4), axis=(1, 2)),
    case(X, axis=None),
    case(A(3, 4, low=-80, high=80)),
)


def smooth(name, *more, **options):
    return row(f"ops.{name}", case(X), case(A(2, 3, 4)), case(A()), *more, zero_size=True, **options)


def projection_on_simplex(x, axis=-1):
    """The point of the simplex that is nearest to ``x``: the threshold by bisection. Keras's own is wrong beyond one element."""
    x = np.asarray(x, "float64")
    low, high = x.min(axis, keepdims=True) - 1, x.max(axis, keepdims=True)
    for _ in range(80):
        middle = (low + high) / 2
        over = np.maximum(x - middle, 0).sum(axis, keepdims=True) > 1
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    return np.maximum(x - low, 0).astype("float32")


ROWS = [
    smooth("relu", case(A(4, dtype="int32", low=-5, high=5))),
    smooth("relu6", case(A(4, low=7.0, high=9.0))),
    smooth("leaky_relu", case(X, 0.3), case(X, negative_slope=1.5), case(X, negative_slope=-0.5)),
    smooth("hard_sigmoid", case(A(4, low=-2.9, high=2.9))),
    smooth("hard_silu", case(A(4, low=-2.9, high=2.9))),
    smooth("hard_swish"),
    smooth("hard_tanh", case(A(4, low=1.5, high=2.0))),
    smooth("hard_shrink", case(X, 0.25), case(X, threshold=1.5)),
    smooth("soft_shrink", case(X, 0.25), case(X, threshold=1.5)),
    row("ops.threshold", case(X, 0.5, 0.0), case(X, threshold=-0.3, default_value=-7.0), case(A(), 0.5, 0.0), zero_size=True),
    smooth("sparse_sigmoid", case(INSIDE)),
    smooth("sparse_plus", case(INSIDE)),
    smooth("sigmoid", case(LARGE)),
    smooth("softplus", case(LARGE)),
    smooth("log_sigmoid", case(LARGE)),
    smooth("silu", case(LARGE)),
    smooth("swish"),
    row("ops.glu", case(X), case(A(4, 3), axis=0), case(A(2, 4, 3), axis=1)),
    smooth("gelu", case(X, False), case(X, approximate=True), case(A(), approximate=False)),
    smooth("elu", case(X, 0.5), case(X, alpha=2.0)),
    smooth("celu", case(X, 0.5), case(X, alpha=2.0)),
    smooth("selu"),
    smooth("softsign"),
    smooth("squareplus", case(X, 1), case(X, b=0.5)),
    smooth("tanh_shrink"),
    row("ops.softmax", *ALONG_AXES),
    row("ops.log_softmax", *ALONG_AXES),
    row("ops.sparsemax", case(X), case(A(3, 4)), case(A(2, 3, 4), axis=1), case(A(3, 4), axis=0), reference=projection_on_simplex),
]

# keras.activations: the same functions, but for these
ROWS += [
    row("activations.relu", case(X), case(X, 0.3), case(X, 0.3, 2.0), case(X, max_value=2.0), case(X, 0.1, 3.0, 0.5), zero_size=True),
    row("activations.gelu", case(X), case(X, True), zero_size=True),
    row("activations.exponential", case(X), zero_size=True),
    row("activations.linear", case(X), zero_size=True),
    row("activations.mish", case(X), case(LARGE), zero_size=True),
    row("activations.tanh", case(X), zero_size=True),
    row("activations.threshold", case(X, 0.5, 0.0)),
]
_DONE = {r.name for r in ROWS}
ROWS += [row(name, r.cases[0], reference=r.reference) for r in ROWS if (name := r.name.replace("ops.", "activations.")) not in _DONE]
