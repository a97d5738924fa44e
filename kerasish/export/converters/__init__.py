"""One small converter for each op that has an ONNX form, by families."""

from kerasish.export.converters import (
    activation,
    control,
    elementwise,
    indexing,
    products,
    random,
    recurrent,
    reduction,
    shaping,
    signal,
    windows,
)

__all__ = [
    "activation", "control", "elementwise", "indexing", "products", "random", "recurrent", "reduction", "shaping", "signal", "windows",
]  # fmt: skip
