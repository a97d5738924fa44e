"""Matrix products, contractions and attention."""

import string

import numpy as np

from kerasish.export.graph import need_float, onnx, simple
from kerasish.ops.attention import _HIDDEN


@onnx("matmul")
def matmul(g, x1, x2):
    return g.cast(g.MatMul(g.wide(x1), g.wide(x2)), g.outputs[0].dtype)


@onnx("_resampled")
def resampled(g, x, w, axis, weights):
    order = [*(i for i in range(x.ndim) if i != axis), axis]
    return g.transpose(g.MatMul(g.transpose(x, order), w), np.argsort(order))


@onnx("_distances")
def distances(g, x, y, in_order):
    gaps = g.Sub(g.unsqueeze(x, x.ndim - 1), g.unsqueeze(y, y.ndim - 2))
    return g.Sqrt(g.reduce("Sum", g.Mul(gaps, gaps), (max(x.ndim, y.ndim),)))


@onnx("_contract")
def contract(g, *operands, terms, into):
    letters = dict(zip(dict.fromkeys("".join([*terms, into])), string.ascii_letters, strict=False))
    equation = ",".join("".join(letters[c] for c in term) for term in terms) + "->" + "".join(letters[c] for c in into)
    return g.cast(g.Einsum(*[g.wide(x) for x in operands], equation=equation), g.outputs[0].dtype)


@onnx("correlate")
def correlate(g, x1, x2, mode):
    need_float(x1.dtype, "the correlation of signals")
    n, m = x1.shape[0], x2.shape[0]
    if m > n:  # NumPy exchanges them, and turns the result round
        return g.slice(_correlated(g, x2, x1, n, mode), 0, None, None, -1)
    return _correlated(g, x1, x2, m, mode)


def _correlated(g, x, kernel, m, mode):
    before, after = {"valid": (0, 0), "full": (m - 1, m - 1), "same": (m // 2, m - 1 - m // 2)}[mode]
    x, kernel = (g.unsqueeze(v, 0, 1) for v in (x, kernel))
    return g.squeeze(g.Conv(x, kernel, pads=[before, after], kernel_shape=[m]), 0, 1)


@onnx("_attention")
def attention(g, query, key, value, mask, scale):
    weights = g.Softmax(_scores(g, query, key, mask, scale), axis=-1)
    return _attended(g, weights, value), weights


@onnx("_long_attention")
def long_attention(g, query, key, value, mask, scale, causal):
    scores = _scores(g, query, key, mask, scale)
    if causal:
        scores = _hidden(g, g.constant(np.tri(query.shape[1], key.shape[1], dtype=bool), "bool"), scores)
    return _attended(g, g.Softmax(scores, axis=-1), value), g.reduce("LogSumExp", scores, (3,))


def _scores(g, query, key, mask, scale):
    scores = g.MatMul(g.Transpose(g.Mul(query, scale), perm=[0, 2, 1, 3]), g.Transpose(key, perm=[0, 2, 3, 1]))
    return _hidden(g, mask, scores) if mask.ndim else scores


def _hidden(g, mask, scores):
    """Scores where the mask is true, elsewhere what makes them weigh nothing."""
    return g.where(mask, scores, np.float32(max(_HIDDEN, -6e4)) if scores.dtype == "float16" else _HIDDEN)


def _attended(g, weights, value):
    return g.Transpose(g.MatMul(weights, g.Transpose(value, perm=[0, 2, 1, 3])), perm=[0, 2, 1, 3])


# ---- of whole matrices
simple(det="Det")


@onnx("_slogdet")
def slogdet(g, x):
    y = g.Det(x)
    return g.Sign(y), g.Log(g.Abs(y))
