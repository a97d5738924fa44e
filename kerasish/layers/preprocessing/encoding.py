"""Categories as vectors: one-hot, multi-hot and counts, for all layers that give categories."""

from kerasish import ops
from kerasish.backend.autodiff.dtypes import is_int
from kerasish.backend.autodiff.op import as_tensor
from kerasish.layers.layer import Layer

OUTPUT_MODES = ("int", "one_hot", "multi_hot", "count")


def encode(indices, output_mode, depth, dtype, count_weights=None):
    """Integers as they are ("int"), or as vectors of ``depth`` numbers; integers outside of 0 to ``depth - 1`` count for nothing.

    "one_hot": one vector for each integer; a last axis of size 1 is dropped first. "multi_hot" and "count": one vector for each
    row, with 1 at the places that it names, or how often it names them (each time ``count_weights``). A scalar is a row of one.

    >>> encode(as_tensor([[0, 2, 2]]), "count", 3, "float32").tolist()
    [[1.0, 0.0, 2.0]]
    """
    if output_mode == "int":
        return ops.cast(indices, dtype)
    if indices.ndim == 0:
        indices = ops.expand_dims(indices, -1)
    if output_mode == "multi_hot":
        return ops.multi_hot(indices, depth, dtype=dtype)
    if output_mode == "one_hot":
        if indices.ndim > 1 and indices.shape[-1] == 1:
            indices = ops.squeeze(indices, -1)
        return ops.one_hot(indices, depth, dtype=dtype)
    vectors = ops.one_hot(indices, depth, dtype=dtype if count_weights is None else count_weights.dtype)
    if count_weights is not None:
        vectors = vectors * ops.expand_dims(count_weights, -1)
    return ops.sum(vectors, axis=1 if indices.ndim > 1 else 0)


def check_output_mode(layer, allowed=OUTPUT_MODES):
    """ValueError for an output mode that the layer does not have, and for ``sparse=True``."""
    if layer.output_mode not in allowed:
        raise ValueError(
            f"Unknown value for `output_mode` argument of {type(layer).__name__}. Allowed values are: {allowed}. "
            f"Received: output_mode={layer.output_mode}"
        )
    refuse_sparse(layer)


def refuse_sparse(layer, what="sparse"):
    """ValueError for ``sparse=True`` or ``ragged=True``."""
    if getattr(layer, what):
        raise ValueError(f"{type(layer).__name__}: `{what}=True` is not supported, tensors are dense. Received: {what}=True")


class CategoryEncoding(Layer):
    """Integers below ``num_tokens`` as vectors of that length (``keras.layers.CategoryEncoding``).

    ``output_mode``: "one_hot" for each integer, "multi_hot" or "count" for each row of them. With "count" a call may have
    ``count_weights`` of the inputs' shape. Integers out of range count for nothing.

    >>> CategoryEncoding(num_tokens=4, output_mode="count")(ops.array([[0, 1], [3, 3]])).tolist()
    [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0]]
    """

    num_tokens: int = None
    output_mode: str = "multi_hot"
    sparse: bool = False
    _convert_input_args = False
    _allow_non_tensor_positional_args = True

    def check(self):
        super().check()
        if self.output_mode == "binary":
            self.output_mode = "multi_hot"
        if self.output_mode not in ("count", "one_hot", "multi_hot"):
            raise ValueError(f"Unknown arg for output_mode: {self.output_mode}. Expected 'count', 'one_hot' or 'multi_hot'.")
        refuse_sparse(self)
        if self.num_tokens is None:
            raise ValueError("num_tokens must be set to use this layer. Where it is not known, take an IntegerLookup.")
        if self.num_tokens < 1:
            raise ValueError(f"`num_tokens` must be >= 1. Received: num_tokens={self.num_tokens}.")

    def call(self, inputs, count_weights=None):
        if count_weights is not None:
            if self.output_mode != "count":
                raise ValueError(
                    f"`count_weights` is not used when `output_mode` is '{self.output_mode}', but with 'count'. Got {count_weights}."
                )
            count_weights = ops.cast(as_tensor(count_weights), self.compute_dtype)
        inputs = as_tensor(inputs)
        indices = inputs if is_int(inputs.dtype) else ops.cast(inputs, "int32")
        return encode(indices, self.output_mode, self.num_tokens, self.dtype, count_weights)

    def get_config(self):
        config = super().get_config()
        del config["sparse"]
        return config
