"""Attention: means of values, weighted by how well their keys answer a query.

Without a bias the whole of it is one op, and its gradient is another one, which reads the weights that the first has kept.
Their kernels take few heads at a time, so that the heads' scores stay in the cache.

Where sequences are long, so that the scores of one head wouldn't, it is another op, which keeps but one number for each query, the
logarithm of its scores' sum of powers; its gradient computes the weights again (T. Dao et al. 2022). Memory is linear in the length then.
"""

import functools
import itertools
import math
import numbers

from kerasish.backend.arrays import active
from kerasish.backend.autodiff import shapes
from kerasish.backend.autodiff.dtypes import floating, numpy_dtype, result_type
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.op import add, as_tensor
from kerasish.backend.autodiff.shapes import same
from kerasish.ops.activation import nn_composite, nn_op, plain_softmax
from kerasish.ops.creation import tri
from kerasish.ops.elementwise import choose, logical_and
from kerasish.ops.products import matmul
from kerasish.ops.reduction import sum
from kerasish.ops.shaping import repeat, transpose

__all__ = ["dot_product_attention"]

_HIDDEN = -0.7 * 3.4028234663852886e38  # a logit whose softmax is 0, and finite: a row that hides all keys weighs them alike


@nn_op(same, [lambda g, y, x, fill: _up_to_diagonal(g, fill=0.0)])
def _up_to_diagonal(xp, x, fill=0.0):
    """``x`` with ``fill`` above the diagonal of its last two axes."""
    return xp.where(xp.tri(*x.shape[-2:], dtype=bool), x, xp.scalar(fill, x.dtype))


def _as_many_heads(x, heads, name):
    """Keys or values with each head repeated for the group of query heads that share it."""
    if x.shape[2] == heads or None in (x.shape[2], heads):
        return x
    if heads % x.shape[2]:
        raise ValueError(f"The number of query heads ({heads}) must be a multiple of the {name} heads ({x.shape[2]}).")
    return repeat(x, heads // x.shape[2], axis=2)


def _heads_first(x, axes=(0, 2, 1, 3)):
    return transpose(x, axes)


def _in_other_ops(query, key, value, mask=None, scale=1.0, bias=None, is_causal=False):
    logits = matmul(_heads_first(query * scale), _heads_first(key, (0, 2, 3, 1)))
    if bias is not None:
        logits = logits + bias
    if mask is not None and mask.ndim:
        logits = choose(mask, logits, _HIDDEN)
    if is_causal:
        logits = _up_to_diagonal(logits, fill=_HIDDEN)
    return _heads_first(matmul(plain_softmax(logits), _heads_first(value)))


# ---- as one op, and its gradient as another
_TOGETHER = 1 << 17  # scores that a kernel works on at a time: half a megabyte in float32


def _attended(query, key, value, mask, scale):
    """Shapes of the result and of the weights."""
    batch, queries, heads, _ = query
    return [(batch, queries, heads, value[3]), (batch, heads, queries, key[1])]


def _attention_dtypes(dtypes, attrs):
    casts, common = floating(dtypes[:3], attrs)
    return (*casts, None), common


def _gradients(g, y, query, key, value, mask, scale):
    return [*_attention_gradient(g[0], query, key, value, mask, *y, scale=scale), None]


def _by_heads(x):
    return x.transpose(0, 2, 1, 3)


def _parts(xp, weights, mask):
    """Slices of the batch that are worked on at a time, and for each the mask, None where there is none."""
    batch, *scores = weights.shape
    step = max(1, _TOGETHER // max(1, math.prod(scores)))
    masks = xp.broadcast_to(mask, weights.shape) if mask.ndim else None
    for start in range(0, batch, step):
        part = slice(start, start + step)
        yield part, None if masks is None else masks[part]


@nn_op(_attended, _gradients, _attention_dtypes)
def _attention(xp, query, key, value, mask, scale=1.0, out=None):
    """``softmax(query @ key * scale) @ value`` for each head, and the softmax. ``query``: (batch, queries, heads, size), ``key`` and
    ``value``: (batch, keys, heads, size). ``mask``: of a rank up to 4, (batch, heads, queries, keys), or 0 for none.
    """
    (batch, queries, heads, _), keys = query.shape, key.shape[1]
    shapes_of = (batch, queries, heads, value.shape[3]), (batch, heads, queries, keys)
    y, weights = out or (xp.empty(shape, query.dtype) for shape in shapes_of)
    q, k, v, by_heads = _by_heads(query * scale), key.transpose(0, 2, 3, 1), _by_heads(value), _by_heads(y)
    for part, seen in _parts(xp, weights, mask):
        p = weights[part]
        xp.matmul(q[part], k[part], out=p)
        if seen is not None:
            p[...] = xp.where(seen, p, xp.scalar(_HIDDEN, p.dtype))
        if keys:
            p -= p.max(axis=-1, keepdims=True)
        xp.exp(p, out=p)
        p *= 1 / xp.sum(p, axis=(-1,), keepdims=True)
        xp.matmul(p, v[part], out=by_heads[part])
    return y, weights


def _second_order(h, y, g, query, key, value, mask, attended, weights, scale, causal=False):
    """Gradients of the first-order gradients' sum, weighted by ``h``; results and weights depend on the other inputs: none of them."""

    def weighed(ys, by):
        return functools.reduce(add, [sum(y * w) for y, w in zip(ys, by, strict=True)])

    def slopes(g, *inputs):
        return grad(lambda *inputs: weighed([_in_other_ops(*inputs, mask, scale, is_causal=causal)], [g]), (0, 1, 2))(*inputs)

    found = grad(lambda *inputs: weighed(slopes(*inputs), h), (0, 1, 2, 3))(g, query, key, value)
    return [*found, None, None, None]


@nn_op(
    lambda g, query, key, value, mask, attended, weights, scale: [query, key, value],
    _second_order,
    lambda dtypes, attrs: ((None,) * len(dtypes), dtypes[0]),
)
def _attention_gradient(xp, g, query, key, value, mask, attended, weights, scale=1.0, out=None):
    """Gradients of the query, the key and the value, from that of the result ``attended`` and the ``weights``."""
    results = out or tuple(xp.empty(x.shape, x.dtype) for x in (query, key, value))
    q, k, v, dq, dk, dv, g_heads = map(_by_heads, (query, key, value, *results, g))
    scaled = g * scale
    mean, scaled = (scaled * attended).sum(axis=-1), _by_heads(scaled)
    mean = mean.transpose(0, 2, 1)[..., None]
    slopes = None  # one array for all parts
    for part, seen in _parts(xp, weights, mask):
        p = weights[part]
        xp.matmul(p.swapaxes(2, 3), g_heads[part], out=dv[part])
        slopes = xp.matmul(scaled[part], v[part].swapaxes(2, 3), out=slopes if slopes is not None and slopes.shape == p.shape else None)
        slopes -= mean[part]
        slopes *= p
        if seen is not None:
            slopes *= seen
        xp.matmul(slopes, k[part], out=dq[part])
        xp.matmul(slopes.swapaxes(2, 3), q[part], out=dk[part])
    return results


# ---- long sequences: the same without keeping the weights
_BLIND = -1e38  # a logarithm below which a query has seen no key: its weights can't be had from it


def _logarithms(query, key, value, mask, scale, causal):
    """Shapes of the result and of a number for each query."""
    batch, queries, heads, _ = query
    return [(batch, queries, heads, value[3]), (batch, heads, queries)]


def _long_gradients(g, y, query, key, value, mask, scale, causal):
    return [*_long_attention_gradient(g[0], query, key, value, mask, *y, scale=scale, causal=causal), None]


def _rows(xp, query, key, mask, causal):
    """What is worked on at a time: places of some queries of a head and of keys, and which of these they may see (None: all)."""
    (batch, queries, heads, _), keys = query.shape, key.shape[1]
    masks = xp.broadcast_to(mask, (batch, heads, queries, keys)) if mask.ndim else None
    for b, h in itertools.product(range(batch), range(heads)):
        for rows in xp.parts(queries, keys * query.dtype.itemsize):
            end = min(rows.stop, keys) if causal and masks is None else keys
            seen = None if masks is None else masks[b, h, rows]
            if causal:
                earlier = xp.arange(rows.start, rows.stop)[:, None] >= xp.arange(end)
                seen = earlier if seen is None else seen & earlier
            yield (b, rows, h), (b, slice(end), h), seen


@nn_op(_logarithms, _long_gradients, _attention_dtypes)
def _long_attention(xp, query, key, value, mask, scale=1.0, causal=False, out=None):
    """As :func:`_attention`, but in place of the softmax the logarithm of each query's sum of powers. ``causal``: query i sees keys
    up to i.
    """
    (batch, queries, heads, _), keys = query.shape, key.shape[1]
    y, logarithms = out or (xp.empty(shape, query.dtype) for shape in ((batch, queries, heads, value.shape[3]), (batch, heads, queries)))
    for at, of, seen in _rows(xp, query, key, mask, causal):
        p = xp.matmul(query[at] * scale, key[of].T)
        if seen is not None:
            p = xp.where(seen, p, xp.scalar(_HIDDEN, p.dtype))
        top = p.max(axis=-1, keepdims=True) if keys else xp.zeros((p.shape[0], 1), p.dtype)
        p -= top
        xp.exp(p, out=p)
        total = xp.sum(p, axis=(-1,), keepdims=True)
        p *= 1 / total
        y[at] = xp.matmul(p, value[of])
        logarithms[at[0], at[2], at[1]] = (top + xp.log(total))[:, 0]
    return y, logarithms


@nn_op(
    lambda g, query, key, value, mask, attended, logarithms, scale, causal: [query, key, value],
    _second_order,
    lambda dtypes, attrs: ((None,) * len(dtypes), dtypes[0]),
)
def _long_attention_gradient(xp, g, query, key, value, mask, attended, logarithms, scale=1.0, causal=False, out=None):
    """Gradients of the query, the key and the value, from that of the result ``attended`` and the ``logarithms``."""
    dq, dk, dv = out or tuple(xp.empty(x.shape, x.dtype) for x in (query, key, value))
    dk[...] = dv[...] = 0
    for at, of, seen in _rows(xp, query, key, mask, causal):
        scaled, g_here, sums = query[at] * scale, g[at], logarithms[at[0], at[2], at[1]][:, None]
        p = xp.matmul(scaled, key[of].T)
        p -= sums
        xp.exp(p, out=p)
        if seen is not None:
            alike = (sums < _BLIND).astype(p.dtype) * (1 / max(1, key.shape[1]))
            p = xp.where(seen, p, alike)
        dv[of] += xp.matmul(p.T, g_here)
        slopes = xp.matmul(g_here, value[of].T)
        slopes -= (g_here * attended[at]).sum(axis=-1, keepdims=True)
        slopes *= p
        if seen is not None:
            slopes *= seen
        dq[at] = xp.matmul(slopes, key[of]) * scale
        dk[of] += xp.matmul(slopes.T, scaled)
    return dq, dk, dv


# ---- which of them
def _is_long(query, keys):
    """Whether the scores of one head are more than what a kernel works on at a time."""
    queries = query.shape[1]
    return None not in (queries, keys) and queries * keys * numpy_dtype(query.dtype).itemsize >= active.xp.block


def _one_op(query, key, value, mask, scale, is_causal):
    """The op's result, None where none takes the call: where an axis would be broadcast, or the size of one isn't known."""
    (batch, queries, heads, _), keys = query.shape, key.shape[1]
    if any(x.shape[:3] != (batch, keys, heads) for x in (key, value)) or (is_causal and None in (queries, keys)):
        return None
    scores = (batch, heads, queries, keys)
    if mask is not None and (None in mask.shape or shapes.broadcast(mask.shape, scores) != scores):
        return None
    if not isinstance(scale, numbers.Real):
        query, scale = query * scale, 1.0
    if _is_long(query, keys):
        return _long_attention(query, key, value, True if mask is None else mask, scale=float(scale), causal=bool(is_causal))[0]
    if is_causal:
        earlier = tri(queries, keys, dtype="bool")
        mask = earlier if mask is None else logical_and(mask, earlier)
    return _attention(query, key, value, True if mask is None else mask, scale=float(scale))[0]


# ---- the public op
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
        raise ValueError(f"`dot_product_attention` takes 4D inputs, got {query.shape}, {key.shape} and {value.shape}.")
    dtype = result_type(query.dtype, key.dtype, value.dtype)
    wide = result_type(dtype, "float32")
    heads = query.shape[2]
    if scale is None:
        scale = 1.0 / math.sqrt(query.shape[-1])
    query, key, value = (as_tensor(x, wide) for x in (query, key, value))
    key, value = _as_many_heads(key, heads, "key"), _as_many_heads(value, heads, "value")
    mask = None if mask is None else as_tensor(mask, "bool")
    y = _one_op(query, key, value, mask, scale, is_causal) if bias is None else None
    if y is None:
        y = _in_other_ops(query, key, value, mask, scale, None if bias is None else as_tensor(bias, wide), is_causal)
    return as_tensor(y, dtype)
