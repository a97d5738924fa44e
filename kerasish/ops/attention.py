"""Attention: means of values, weighted by how well their keys answer a query."""

import math

from kerasish.backend.autodiff.dtypes import result_type
from kerasish.backend.autodiff.op import as_tensor, cast
from kerasish.backend.autodiff.shapes import same
from kerasish.ops.activation import nn_composite, nn_op, plain_softmax
from kerasish.ops.elementwise import choose
from kerasish.ops.linalg import matmul
from kerasish.ops.shaping import repeat, transpose

__all__ = ["dot_product_attention"]

_HIDDEN = -0.7 * 3.4028234663852886e38  # a logit whose softmax is 0, and finite: a row that hides all keys weighs them alike


@nn_op(same, [lambda g, y, x, fill: _up_to_diagonal(g, fill=0.0)])
def _up_to_diagonal(xp, x, fill=0.0):
    """``x`` with ``fill`` above the diagonal of its last two axes."""
    return xp.where(xp.tri(*x.shape[-2:], dtype=bool), x, xp.scalar(fill, x.dtype))


def _heads_first(x, axes=(0, 2, 1, 3)):
    return transpose(x, axes)


def _as_many_heads(x, heads, name):
    """Keys or values with each head repeated for the group of query heads that share it."""
    if x.shape[2] == heads or None in (x.shape[2], heads):
        return x
    if heads % x.shape[2]:
        raise ValueError(f"The number of query heads ({heads}) must be a multiple of the {name} heads ({x.shape[2]}).")
    return repeat(x, heads // x.shape[2], axis=2)


@nn_composite(inputs=["query", "key", "value", "bias", "mask", "scale"])
def dot_product_attention(
    query,
    key,
    value,
    bias=None,
    mask=None,
    scale=None,
    is_causal=False,
    flash_attention=None,
    attn_logits_soft_cap=None,
):
    """``softmax(query @ key * scale + bias) @ value`` for each head (``keras.ops.dot_product_attention``).

    ``query``: (batch, queries, heads, size); ``key``, ``value``: (batch, keys, heads or a divisor of it, size). ``bias`` and
    ``mask`` (True: may be seen) broadcast to (batch, heads, queries, keys). ``scale``: ``1 / sqrt(size)`` by default.
    ``is_causal``: query i sees keys up to i. Raises ValueError for ``flash_attention=True`` and ``attn_logits_soft_cap``:
    the former needs a kernel of a GPU library, the latter one of a TPU.

    >>> dot_product_attention([[[[0.0]]]], [[[[1.0]], [[2.0]]]], [[[[1.0]], [[3.0]]]]).tolist()
    [[[[2.0]]]]
    """
    if attn_logits_soft_cap is not None:
        raise ValueError("`attn_logits_soft_cap` is only supported on TPUs. Set attn_logits_soft_cap=None.")
    if flash_attention:
        raise ValueError("Flash attention is not supported by this backend. Set flash_attention=None or False.")
    query, key, value = as_tensor(query), as_tensor(key), as_tensor(value)
    if not len(query.shape) == len(key.shape) == len(value.shape) == 4:
        raise ValueError(
            "`dot_product_attention` only supports 4D inputs. "
            f"Received: query.shape={query.shape}, key.shape={key.shape}, value.shape={value.shape}."
        )
    dtype = result_type(query.dtype, key.dtype, value.dtype)
    wide = result_type(dtype, "float32")
    heads = query.shape[2]
    if scale is None:
        scale = 1.0 / math.sqrt(query.shape[-1])
    queries = _heads_first(cast(query, wide) * scale)
    keys = _heads_first(_as_many_heads(cast(key, wide), heads, "key"), (0, 2, 3, 1))
    values = _heads_first(_as_many_heads(cast(value, wide), heads, "value"))
    logits = matmul(queries, keys)
    if bias is not None:
        logits = logits + cast(as_tensor(bias), wide)
    if mask is not None:
        logits = choose(cast(as_tensor(mask), "bool"), logits, _HIDDEN)
    if is_causal:
        logits = _up_to_diagonal(logits, fill=_HIDDEN)
    return cast(_heads_first(matmul(plain_softmax(logits), values)), dtype)
