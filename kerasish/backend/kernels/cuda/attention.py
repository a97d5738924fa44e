"""Attention and its gradient: products by cuBLASLt, and one kernel for what happens to the scores between them.

Forward: scores, their softmax in place (they are kept for the gradient), weighted sums. Backward, with ``p`` the weights and ``g`` the
result's gradient: ``dv = p.T @ g``, ``ds = p * (scale * g @ v.T - sum(scale * g * y))``, ``dq = ds @ k``, ``dk = ds.T @ q``.

Queries, keys and values have their heads between positions and numbers, so no one stride leads from matrix to matrix: with up to two
heads (or examples) there are as many calls of each product, which makes 5 launches forward and 9 backward; with more, one launch puts the
heads first for all operands, and one puts those of the results back: 5 and 7. Long sequences are bound by the traffic of the scores:
each kernel here reads and writes them once.
"""

import math

from kerasish.backend.kernels.cuda.cublaslt import MOST_CALLS, products
from kerasish.backend.kernels.cuda.launch import THREADS, Launch, candidate, source
from kerasish.backend.kernels.cuda.prelude import MEMORY, WARP, WORD, number

_HIDDEN = -0.7 * 3.4028234663852886e38  # the score of a pair that may not meet: finite, so a row that hides all keys weighs them alike
_KEPT, _WIDEST = 16, 1024  # scores that a thread keeps, threads that share a row
_EACH = 4  # numbers that a thread moves
_LARGEST = 1 << 31  # rows of scores, numbers that are moved

# ---- a row of scores and where it is; its mask
_ROW = """
const int tx = threadIdx.x % {wide};
const i64 mine = (i64)blockIdx.x * {high} + threadIdx.x / {wide};
const bool there = mine < rows;
const i64 row = there ? mine : rows - 1;
const int of_all = (int)row, q = of_all % (int)queries, h = of_all / (int)queries % (int)heads, b = of_all / (int)queries / (int)heads;
"""
_SEEN = "seen += b * mb + h * mh + q * mq;"
_ROW_PARAMETERS = ["i64 rows", "i64 keys", "i64 queries", "i64 heads"]
_MASK_PARAMETERS = ["const bool *__restrict__ seen", "i64 mb", "i64 mh", "i64 mq", "i64 mk"]

_SOFTMAX = """
{t} *x = weights + row * keys;
{declared}
{t} top = -infinity(), total = 0;
{each} {{ const {t} score = {score}; {e} = score; top = larger(top, score); }} }}
top = across<Max, {wide}, {threads}>(top);
{each} {{ const {t} power = {exp}({e} - top); {e} = power; total += power; }} }}
const {t} inverse = 1 / across<Sum, {wide}, {threads}>(total);
{each} x[c] = {e} * inverse; }}
"""
_SLOPES = """
g += b * gb + q * gq + h * gh;
y += b * yb + q * yq + h * yh;
{t} mean = 0;
for (i64 c = tx; c < size; c += {wide}) mean += g[c * gs] * {scale} * y[c * ys];
mean = across<Sum, {wide}, {threads}>(mean);
slopes += row * keys;
weights += row * keys;
#pragma unroll 4
for (i64 c = tx; there && c < keys; c += {wide}) slopes[c] = (slopes[c] - mean) * weights[c]{times};
"""


def _shape(keys):
    """Threads along a row of scores, and how many of them each keeps in registers: 0 where the row is too long."""
    wide = min(WARP, 1 << max(0, keys - 1).bit_length())
    while wide < _WIDEST and wide * _KEPT < keys:
        wide *= 2
    kept = -(-keys // wide)
    return wide, kept if kept <= _KEPT else 0


def _rows(template, weights, parameters, args, masked, **words):
    """A launch in which some threads share each row of scores."""
    batch, heads, queries, keys = weights.shape
    wide, kept = _shape(keys)
    threads, rows, t = max(THREADS, wide), batch * heads * queries, MEMORY[weights.dtype]
    high = threads // wide
    each = f"#pragma unroll\nfor (int k = 0; k < {kept}; ++k) {{ const i64 c = tx + k * {wide}; if (there && c < keys)"
    words |= {"t": t, "wide": wide, "high": high, "threads": threads, "e": "kept[k]" if kept else "x[c]"}
    words["each"] = each if kept else f"for (i64 c = tx; there && c < keys; c += {wide}) {{"
    body = (_ROW + (_SEEN if masked else "") + template).format(declared=f"{t} kept[{kept}];" if kept else "", **words)
    parameters = [*_ROW_PARAMETERS, *(parameter.format(t=t) for parameter in parameters), *(_MASK_PARAMETERS if masked else ())]
    return Launch(source(parameters, body, threads), [rows, keys, queries, heads, *args], -(-rows // high), threads)


def _softmax(weights, mask):
    score = "x[c]" if mask is None else f"seen[c * mk] ? x[c] : {number(_HIDDEN, weights.dtype)}"
    exp = "exp" if weights.dtype == "float64" else "expf"
    return _rows(_SOFTMAX, weights, ["{t} *weights"], [weights, *(mask or ())], mask is not None, score=score, exp=exp)


def _slopes(slopes, weights, g, y, mask, scale):
    pointers = [f"{const}{{t}} *__restrict__ {x}" for const, x in (("", "slopes"), *(("const ", x) for x in ("weights", "g", "y")))]
    parameters = [*pointers, "i64 size", *(f"i64 {x}{a}" for x in "gy" for a in "bqhs")]
    args = [slopes, weights, g, y, y.shape[3], *g.strides, *y.strides, *(mask or ())]
    times = "" if mask is None else " * (seen[c * mk] ? 1 : 0)"
    return _rows(_SLOPES, weights, parameters, args, mask is not None, scale=number(scale, y.dtype), times=times)


# ---- heads first, and back
_MOVE = """
if (block < blocks{i}) {{
    const u32 first = (u32)block * {tile} + threadIdx.x;
    #pragma unroll
    for (int j = 0; j < {each}; ++j) {{
        const u32 e = first + j * {threads};
        if (e < count{i}) {{
            const u32 s = e % {size}, h = e / {size} % {heads}, row = e / {both}, n = row % (u32)length{i}, b = row / (u32)length{i};
            y{i}[b * yb{i} + h * yh{i} + n * yn{i} + s * ys{i}] = x{i}[b * xb{i} + h * xh{i} + n * xn{i} + s * xs{i}];
        }}
    }}
    return;
}}
block -= blocks{i};
"""


def _moves(pairs):
    """One launch that copies buffers (batch, heads, length, size) to others. Heads and size are those of a model, so they are constants."""
    parameters, body, args, grid, word = [], ["i64 block = blockIdx.x;"], [], 0, WORD[pairs[0][0].itemsize]
    for i, (x, y) in enumerate(pairs):
        _, heads, length, size = x.shape
        blocks = -(-x.size // (THREADS * _EACH))
        parameters += [f"const {word} *__restrict__ x{i}", f"{word} *__restrict__ y{i}"]
        parameters += [f"i64 {name}{i}" for name in ("count", "length", "blocks", *(name + a for name in "xy" for a in "bhns"))]
        args += [x, y, x.size, length, blocks, *x.strides, *y.strides]
        names = {"i": i, "size": f"{size}u", "heads": f"{heads}u", "both": f"{heads * size}u"}
        body.append(_MOVE.format(tile=THREADS * _EACH, each=_EACH, threads=THREADS, **names))
        grid += blocks
    return Launch(source(parameters, "\n".join(body), THREADS), args, grid, THREADS)


def _by_heads(x):
    """A buffer (batch, length, heads, size) as (batch, heads, length, size)."""
    order = 0, 2, 1, 3
    return x.view([x.shape[a] for a in order], [x.strides[a] for a in order])


def _turned(x):
    """Matrices with rows and columns exchanged."""
    return x.view((*x.shape[:2], x.shape[3], x.shape[2]), (*x.strides[:2], x.strides[3], x.strides[2]))


def _operands(request, read, written):
    """Buffers by heads to compute with, and the launches before and after that."""
    read, written = [_by_heads(x) for x in read], [_by_heads(x) for x in written]
    batch, heads = read[0].shape[:2]
    if min(batch, heads) <= MOST_CALLS:
        return read, written, [], []
    dense = [request.scratch(x.size * x.itemsize, x.shape, x.dtype) for x in (*read, *written)]
    first, last = dense[: len(read)], dense[len(read) :]
    return first, last, [_moves([*zip(read, first, strict=True)])], [_moves([*zip(last, written, strict=True)])]


def _launches(*parts):
    """All launches one after the other, None where a part of them can't be had."""
    return None if None in parts else [launch for part in parts for launch in part]


def _mask(mask, shape):
    """The mask as arguments: its buffer and its strides when it is broadcast, None where there is none."""
    if not mask.shape:
        return None
    own = [0 if n == 1 else stride for n, stride in zip(mask.shape, mask.strides, strict=True)]
    return [mask, *[0] * (len(shape) - len(own)), *own]


def _fits(request, weights):
    """Whether all is of a dtype and of sizes that the kernels know."""
    floats = [x for x in (*request.inputs, *request.outputs) if x.dtype != "bool"]
    if not all(x.dtype == weights.dtype and x.size for x in floats) or weights.dtype not in ("float32", "float64"):
        return False
    return all((math.prod(x.shape[:3]) if x.shape == weights.shape else x.size) < _LARGEST for x in floats)


@candidate("_attention")
def attention(request):
    """The result and the weights."""
    (*inputs, mask), (y, weights) = request.inputs, request.outputs
    if not _fits(request, weights):
        return None
    (query, key, value), [result], before, after = _operands(request, inputs, [y])
    scores = products(request, query, _turned(key), weights, request.attrs["scale"])
    sums = products(request, weights, value, result)
    return _launches(before, scores, [_softmax(weights, _mask(mask, weights.shape))], sums, after)


@candidate("_attention_gradient")
def attention_gradient(request):
    """Gradients of the query, the key and the value."""
    (g, *inputs, mask, y, _), weights, scale = request.inputs, request.dense(6), request.attrs["scale"]
    if not _fits(request, weights):
        return None
    (grad, query, key, value), (dq, dk, dv), before, after = _operands(request, [g, *inputs], request.outputs)
    slopes = request.scratch(weights.size * weights.itemsize, weights.shape, weights.dtype)
    parts = [
        before,
        products(request, _turned(weights), grad, dv),
        products(request, grad, _turned(value), slopes, scale),
        [_slopes(slopes, weights, g, y, _mask(mask, weights.shape), scale)],
        products(request, slopes, key, dq),
        products(request, _turned(slopes), query, dk),
        after,
    ]
    return _launches(*parts)
