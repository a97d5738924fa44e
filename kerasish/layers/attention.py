"""Attention layers: many heads, grouped heads, and the two early forms."""

import math
import string

from kerasish import config, ops, random
from kerasish.backend.autodiff.state import auto_name
from kerasish.backend.random import SeedGenerator
from kerasish.constraints import Constraint
from kerasish.initializers import Initializer
from kerasish.layers.activation import Softmax
from kerasish.layers.core import EinsumDense
from kerasish.layers.layer import Layer
from kerasish.layers.regularization import Dropout
from kerasish.regularizers import Regularizer
from kerasish.saveable import InitOnly


# ---- many heads
class _HeadsAttention(Layer):
    """What layers of several heads share: projections as EinsumDense layers, masks, and the attention between."""

    supports_masking = True
    _attention_axes, _score_rank = (1,), 4

    def check(self, flash_attention=None):
        super().check()
        if self.sliding_window is not None and (not isinstance(self.sliding_window, int) or self.sliding_window <= 0):
            raise ValueError(f"`sliding_window` is `None` or a positive integer, got {self.sliding_window}")
        self._flash_attention = flash_attention or config.is_flash_attention_enabled()
        if self._flash_attention and self.dropout > 0.0:
            raise ValueError("Dropout is not supported when flash attention is enabled. Set it to 0, or turn flash attention off.")

    def _projection(self, equation, output_shape, bias_axes, name, input_shape, activation=None):
        """A built EinsumDense with this layer's initializers, regularizers and constraints; initializers are copies, so that
        kernels differ."""
        dense = EinsumDense(
            equation, output_shape=output_shape, bias_axes=bias_axes if self.use_bias else None, name=name, activation=activation,
            kernel_initializer=self.kernel_initializer.clone(), bias_initializer=self.bias_initializer.clone(),
            kernel_regularizer=self.kernel_regularizer, bias_regularizer=self.bias_regularizer,
            activity_regularizer=self.activity_regularizer, kernel_constraint=self.kernel_constraint,
            bias_constraint=self.bias_constraint, dtype=self.dtype_policy,
        )  # fmt: skip
        dense.supports_masking = True  # masks are this layer's business: its parts need not warn of losing them
        dense.build(input_shape)
        return dense

    def _build_attention(self, norm_axes):
        self._softmax = Softmax(axis=norm_axes, dtype=self.dtype_policy)
        self._dropout_layer = Dropout(rate=self.dropout, dtype=self.dtype_policy, seed=self.seed)

    def call(self, query, value, key=None, query_mask=None, value_mask=None, key_mask=None, attention_mask=None,
             return_attention_scores=False, training=None, use_causal_mask=False):  # fmt: skip
        key = value if key is None else key
        if self._flash_attention and return_attention_scores:
            raise ValueError("Flash attention keeps no scores: returning attention scores is not supported with it.")
        mask = self._compute_attention_mask(query, value, query_mask, value_mask, key_mask, attention_mask, use_causal_mask)
        gate = self._gate_dense(query) if self.use_gate else None
        output, scores = self._attend(
            self._query_dense(query), self._heads(self._key_dense(key)), self._heads(self._value_dense(value)), mask, training,
            return_attention_scores,
        )  # fmt: skip
        output = self._output_dense(output if gate is None else output * gate)
        return (output, scores) if return_attention_scores else output

    def _heads(self, x):
        return x

    def compute_mask(self, query, previous_mask=None):
        return previous_mask

    def _compute_attention_mask(self, query, value, query_mask=None, value_mask=None, key_mask=None, attention_mask=None,
                                use_causal_mask=False):  # fmt: skip
        """All masks as one (batch, queries, keys) that says which pairs may meet; None if all may."""
        masks = [(query_mask, -1), (value_mask, -2), (key_mask, -2)]
        masks = [ops.expand_dims(ops.cast(mask, "bool"), axis) for mask, axis in masks if mask is not None]
        if use_causal_mask or self.sliding_window is not None:
            offset = ops.expand_dims(ops.arange(query.shape[1]), 1) - ops.arange(value.shape[1]) if _known(query, value) else None
            if use_causal_mask:
                masks.append(_pairs(query, value, offset, lambda d: d >= 0))
            if self.sliding_window is not None:
                masks.append(_pairs(query, value, offset, lambda d: ops.abs(d) < self.sliding_window))
        if attention_mask is not None:
            masks.insert(0, ops.cast(attention_mask, "bool"))
        if not masks:
            return None
        mask = masks[0]
        for other in masks[1:]:
            mask = ops.logical_and(mask, other)
        return mask

    def _attend(self, query, key, value, mask, training, return_scores):
        """Heads ``(batch, positions..., heads, size)``: the values' weighted sums, and the weights where they were worked out."""
        scale = 1.0 / math.sqrt(float(key.shape[-1]))
        while mask is not None and mask.ndim < self._score_rank:  # the heads' axis, and others that attention leaves alone
            mask = ops.expand_dims(mask, -len(self._attention_axes) * 2 - 1)
        drops = self.dropout > 0 and (training or mask is not None)  # masks count otherwise in the scores' softmax: see Softmax
        if not drops and not return_scores and query.ndim == 4:
            output = ops.dot_product_attention(query, key, value, mask=mask, scale=scale, flash_attention=self._flash_attention)
            return output, None
        scores = ops.einsum(self._dot_product_equation, key, query * scale)
        scores = self._softmax(scores, mask=mask)
        kept = self._dropout_layer(scores, training=training) if self.dropout > 0.0 else scores
        return ops.einsum(self._combine_equation, kept, value), scores


def _known(query, value):
    return query.shape[1] is not None and value.shape[1] is not None


def _pairs(query, value, offset, allowed):
    """A mask (1, queries, keys) of the distances between positions; sizes may be unknown."""
    if offset is None:
        return ops.ones((1, query.shape[1], value.shape[1]), "bool")
    return ops.expand_dims(allowed(offset), 0)


def _key_shape(value_shape, key_shape):
    """The keys' shape, which is the values' unless given."""
    if key_shape is None:
        return value_shape
    if value_shape[1:-1] != key_shape[1:-1]:
        raise ValueError(f"Shapes of `value` and `key` must be equal but for the last axis, got {value_shape} and {key_shape}")
    return key_shape


def _check_positive(layer, *names):
    for name in names:
        value = getattr(layer, name)
        if not isinstance(value, int) or value <= 0:
            raise ValueError(f"Received an invalid value for argument `{name}`, expected a positive integer. Received: {name}={value}")


class MultiHeadAttention(_HeadsAttention):
    """Attention of several heads (A. Vaswani et al. 2017; ``keras.layers.MultiHeadAttention``).

    ``query`` (batch, T, ...), ``value`` and ``key`` (batch, S, ...); output like ``query``, or ``output_shape`` instead of its last
    axis. ``attention_mask`` (batch, T, S) says which pairs may meet. ``attention_axes``: over which axes, all between batch and
    features by default.

    >>> MultiHeadAttention(num_heads=2, key_dim=3)(ops.ones((1, 4, 8)), ops.ones((1, 5, 8))).shape
    (1, 4, 8)
    """

    num_heads: int
    key_dim: int
    value_dim: int = None
    dropout: float = 0.0
    use_bias: bool = True
    output_shape: tuple = None
    attention_axes: tuple = None
    sliding_window: int = None
    flash_attention: InitOnly = None
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    kernel_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    activity_regularizer: Regularizer = None
    kernel_constraint: Constraint = None
    bias_constraint: Constraint = None
    use_gate: bool = False
    seed: int = None

    # public in Keras for this class alone, and so part of the paths in its files
    query_dense = property(lambda self: self._query_dense)
    key_dense = property(lambda self: self._key_dense)
    value_dense = property(lambda self: self._value_dense)
    output_dense = property(lambda self: self._output_dense)

    def check(self, flash_attention=None):
        super().check(flash_attention)
        self.value_dim = self.key_dim if self.value_dim is None else self.value_dim
        _check_positive(self, "num_heads", "key_dim", "value_dim")
        if isinstance(self.output_shape, int):
            self.output_shape = (self.output_shape,)
        elif self.output_shape is not None:
            try:
                self.output_shape = tuple(self.output_shape)
            except TypeError:
                raise ValueError(f"Invalid `output_shape`: {self.output_shape}. It should be of type tuple, list, or int.") from None
        if isinstance(self.attention_axes, int):
            self.attention_axes = (self.attention_axes,)
        elif self.attention_axes and not isinstance(self.attention_axes, (list, tuple)):
            raise ValueError(f"`attention_axes` takes axes (an int, list or tuple), got {self.attention_axes}")

    def _add_activity_loss(self, outputs):
        """Nothing: the projections have the regularizer."""

    def build(self, query_shape, value_shape, key_shape=None):
        key_shape = _key_shape(value_shape, key_shape)
        self._query_dense = self._head_projection("query", query_shape, self.key_dim)
        self._key_dense = self._head_projection("key", key_shape, self.key_dim)
        if self.use_gate:
            self._gate_dense = self._head_projection("gate", query_shape, self.value_dim, activation="sigmoid")
        self._value_dense = self._head_projection("value", value_shape, self.value_dim)
        rank = len(query_shape) + 1  # of the projected tensors
        axes = self.attention_axes if self.attention_axes is not None else range(1, rank - 2)
        self._attention_axes = self.attention_axes = tuple(a % (rank - 1) for a in axes)
        self._dot_product_equation, self._combine_equation, self._score_rank = _attention_equations(rank, self._attention_axes)
        self._build_attention(tuple(range(self._score_rank - len(self._attention_axes), self._score_rank)))
        sizes = list(self.output_shape or [query_shape[-1]])
        letters = string.ascii_lowercase
        free, bound, new = letters[: rank - 2], letters[rank - 2 : rank], letters[rank : rank + len(sizes)]
        self._output_dense = self._projection(
            f"{free}{bound},{bound}{new}->{free}{new}", (*[None] * (rank - 3), *sizes), new, "attention_output",
            (*query_shape[:-1], self.num_heads, self.value_dim),
        )  # fmt: skip

    def _head_projection(self, name, shape, size, activation=None):
        free = string.ascii_lowercase[: len(shape) - 1]
        bound, heads, new = string.ascii_lowercase[len(shape) - 1 : len(shape) + 2]
        equation = f"{free}{bound},{bound}{heads}{new}->{free}{heads}{new}"
        output_shape = (*[None] * (len(shape) - 2), self.num_heads, size)
        return self._projection(equation, output_shape, heads + new, name, shape, activation)


def _attention_equations(rank, axes):
    """Einsum equations for scores (batch, heads, queries, keys) and for the values' weighted sums, whatever the attended axes."""
    target = string.ascii_lowercase[:rank]
    batch = [i for i in range(rank) if i not in axes and i != rank - 1]
    source, extra = "", iter(string.ascii_lowercase[rank:])
    for i in range(rank):
        source += target[i] if i in batch or i == rank - 1 else next(extra)
    scores = "".join(target[i] for i in batch) + "".join(target[i] for i in axes) + "".join(source[i] for i in axes)
    return f"{source},{target}->{scores}", f"{scores},{source}->{target}", len(scores)


class GroupQueryAttention(_HeadsAttention):
    """Attention in which groups of query heads share a key and a value head (J. Ainslie et al. 2023; ``keras.layers``).

    >>> layer = GroupQueryAttention(head_dim=3, num_query_heads=4, num_key_value_heads=2)
    >>> layer(ops.ones((1, 5, 8)), ops.ones((1, 6, 8))).shape
    (1, 5, 8)
    """

    _dot_product_equation, _combine_equation = "bkuh,bquh->buqk", "buqk,bkuh->bquh"
    head_dim: int
    num_query_heads: int
    num_key_value_heads: int
    dropout: float = 0.0
    use_bias: bool = True
    sliding_window: int = None
    flash_attention: InitOnly = None
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    kernel_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    activity_regularizer: Regularizer = None
    kernel_constraint: Constraint = None
    bias_constraint: Constraint = None
    use_gate: bool = False
    seed: int = None

    def _init_base(self, name=None, **kwargs):
        super()._init_base(name=name or auto_name("GroupedQueryAttention"), **kwargs)  # as Keras's class is called inside

    def check(self, flash_attention=None):
        super().check(flash_attention)
        _check_positive(self, "head_dim", "num_query_heads", "num_key_value_heads")
        if self.num_query_heads % self.num_key_value_heads:
            raise ValueError("`num_query_heads` must be divisible by `num_key_value_heads`.")

    def build(self, query_shape, value_shape, key_shape=None):
        key_shape = _key_shape(value_shape, key_shape)
        heads, shared, size = self.num_query_heads, self.num_key_value_heads, self.head_dim
        self._query_dense = self._projection("bqm,muh->bquh", (None, heads, size), "uh", "query", query_shape)
        self._key_dense = self._projection("bkm,mvh->bkvh", (None, shared, size), "vh", "key", key_shape)
        if self.use_gate:
            self._gate_dense = self._projection("bqm,muh->bquh", (None, heads, size), "uh", "gate", query_shape, "sigmoid")
        self._value_dense = self._projection("bkm,mvh->bkvh", (None, shared, size), "vh", "value", value_shape)
        self._build_attention(-1)
        self._output_dense = self._projection("bquh,uhm->bqm", (None, query_shape[-1]), "m", "attention_output", (None, None, heads, size))

    def _heads(self, x):
        return ops.repeat(x, self.num_query_heads // self.num_key_value_heads, axis=2)


# ---- one head, without projections
class Attention(Layer):
    """Weighted sums of values by the likeness of queries and keys (M.-T. Luong et al. 2015; ``keras.layers.Attention``).

    Called on ``[query, value]`` or ``[query, value, key]``: (batch, T, size), (batch, S, size).

    >>> Attention()([ops.ones((1, 2, 4)), ops.ones((1, 3, 4))]).shape
    (1, 2, 4)
    """

    supports_masking = True
    use_scale: bool = False
    score_mode: str = "dot"
    dropout: float = 0.0
    seed: int = None

    def check(self):
        super().check()
        if self.score_mode not in ("dot", "concat"):
            raise ValueError(f"Invalid value for argument score_mode. Expected one of {{'dot', 'concat'}}, got {self.score_mode}")
        if self.dropout > 0:
            self.seed_generator = SeedGenerator(self.seed)

    def build(self, input_shape):
        self._validate(input_shape)
        self.scale = self.add_weight((), "ones", name="scale") if self.use_scale else None
        self.concat_score_weight = None
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight((), "ones", name="concat_score_weight")

    def call(self, inputs, mask=None, training=False, return_attention_scores=False, use_causal_mask=False):
        self._validate(inputs, mask)
        query, value, key = inputs[0], inputs[1], inputs[2] if len(inputs) > 2 else inputs[1]
        query_mask, value_mask = (mask[0], mask[1]) if mask else (None, None)
        scores = self._scores(query, key)
        allowed = None if value_mask is None else ops.expand_dims(value_mask, -2)
        if use_causal_mask and _known(scores, scores):
            causal = ops.tri(scores.shape[-2], scores.shape[-1], dtype="bool")
            allowed = causal if allowed is None else ops.logical_and(allowed, causal)
        if allowed is not None:
            scores = ops.where(allowed, scores, scores - (65504.0 if scores.dtype == "float16" else 1e9))
        weights = ops.softmax(scores, axis=-1)
        if training and self.dropout > 0:
            weights = random.dropout(weights, self.dropout, seed=self.seed_generator)
        output = ops.matmul(weights, value)
        if query_mask is not None:
            output = ops.where(ops.expand_dims(query_mask, -1), output, 0)
        return (output, weights) if return_attention_scores else output

    def _scores(self, query, key):
        if self.score_mode == "dot":
            scores = ops.matmul(query, ops.swapaxes(key, -2, -1))
            return scores if self.scale is None else scores * self.scale
        both = ops.expand_dims(query, -2) + ops.expand_dims(key, -3)
        return self.concat_score_weight * ops.sum(ops.tanh(both if self.scale is None else self.scale * both), axis=-1)

    def compute_mask(self, inputs, mask=None):
        self._validate(inputs, mask)
        return None if mask is None or mask[0] is None else ops.convert_to_tensor(mask[0])

    def _validate(self, inputs, mask=None):
        for what, given in (("inputs", inputs), ("mask", mask)):
            if given is None:
                continue
            if not isinstance(given, list) or not 2 <= len(given) <= 3:
                raise ValueError(
                    f"{type(self).__name__} layer: {what} must be a list of length 2 or 3, namely of [query, value] or of "
                    f"[query, value, key]. Received: {what}={given}."
                )


class AdditiveAttention(Attention):
    """Attention whose scores are sums of ``tanh(query + key)`` (D. Bahdanau et al. 2014; ``keras.layers.AdditiveAttention``).

    >>> AdditiveAttention()([ops.ones((1, 2, 4)), ops.ones((1, 3, 4))]).shape
    (1, 2, 4)
    """

    def __init__(self, use_scale=True, dropout=0.0, **kwargs):
        super().__init__(use_scale=use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape):
        self._validate(input_shape)
        self.scale = self.add_weight((input_shape[0][-1],), "glorot_uniform", name="scale") if self.use_scale else None

    def _scores(self, query, key):
        both = ops.tanh(ops.expand_dims(query, -2) + ops.expand_dims(key, -3))
        return ops.sum(both if self.scale is None else self.scale * both, axis=-1)

    def get_config(self):
        config = super().get_config()
        del config["score_mode"]
        return config
