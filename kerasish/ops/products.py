"""Products of vectors, matrices and tensors, norms, correlation."""

import builtins
import functools
import itertools
import math
import string

import numpy as np

from kerasish.backend.autodiff import shapes
from kerasish.backend.autodiff.dtypes import differentiable, floating, magnitude, promote
from kerasish.backend.autodiff.op import as_tensor, broadcast_to, cast, composite, op
from kerasish.backend.autodiff.shapes import normalize_axis
from kerasish.config import floatx
from kerasish.ops.elementwise import absolute, choose, clip, conjugate, not_equal, power, sqrt
from kerasish.ops.indexing import pad
from kerasish.ops.reduction import max, mean, min, sum
from kerasish.ops.shaping import (
    diagonal,
    expand_dims,
    flip,
    moveaxis,
    ravel,
    repeat,
    reshape,
    squeeze,
    stack,
    swapaxes,
    tile,
    transpose,
)

__all__ = [
    "cdist", "corrcoef", "correlate", "cross", "dot", "einsum", "inner", "kron", "matmul", "norm", "outer", "tensordot", "vdot",
]  # fmt: skip


def _products(dtypes, attrs):
    """As promote; products of int8 are summed in int32."""
    return (("int32",) * len(dtypes), "int32") if set(dtypes) == {"int8"} else promote(dtypes, attrs)


# ---- matrix products
def _matmul_x1(g, y, x1, x2):
    if x2.ndim == 1:
        return expand_dims(g, -1) * x2
    if x1.ndim == 1:
        return squeeze(matmul(x2, expand_dims(g, -1)), -1)
    return matmul(g, swapaxes(x2, -1, -2))


def _matmul_x2(g, y, x1, x2):
    if x1.ndim == 1:
        return x1 * g if x2.ndim == 1 else expand_dims(x1, -1) * expand_dims(g, -2)
    if x2.ndim == 1:
        return squeeze(matmul(swapaxes(x1, -1, -2), expand_dims(g, -1)), -1)
    if x2.ndim == 2 and x1.ndim > 2:  # one product over all batches instead of one for each
        x1, g = (reshape(x, (shapes.size(x.shape[:-1]), x.shape[-1])) for x in (x1, g))
    return matmul(swapaxes(x1, -1, -2), g)


@op(shapes.matmul, [_matmul_x1, _matmul_x2], _products)
def matmul(xp, x1, x2, out=None):
    """Matrix product over the last two axes, the others broadcast; vectors as in NumPy (``keras.ops.matmul``).

    >>> matmul([[1, 2], [3, 4]], [1, 1]).tolist()
    [3, 7]
    """
    if x2.ndim == 2 and x1.ndim > 2:  # one large product instead of one for each batch
        n = math.prod(x1.shape[:-1])
        y = xp.matmul(x1.reshape(n, x1.shape[-1]), x2, out=None if out is None else out.reshape(n, x2.shape[-1]))
        return y.reshape(*x1.shape[:-1], x2.shape[-1])
    return xp.matmul(x1, x2, out=out)


# ---- contraction: sums of products over the labels that the output has not
def _without(labels, places):
    return "".join(c for i, c in enumerate(labels) if i not in places)


def _label_sizes(all_shapes, terms):
    """Size of each label; where an operand has size 1 it is repeated, as in broadcasting."""
    known = {}
    for shape, labels in zip(all_shapes, terms, strict=True):
        for n, c in zip(shape, labels, strict=True):
            known.setdefault(c, []).append((n,))
    try:
        return {c: shapes.broadcast(*sizes)[0] for c, sizes in known.items()}
    except ValueError:
        raise ValueError(f"Cannot multiply tensors of shapes {list(all_shapes)}: sizes of shared axes do not match.") from None


def _sizes_of(labels, sizes):
    return tuple(sizes[c] for c in labels)


def _preparation(shape, labels, wanted, sizes):
    """Axes to sum over (nobody wants them, or others repeat them) and the labels that stay."""
    gone = tuple(i for i, c in enumerate(labels) if c not in wanted or shape[i] == 1 != sizes[c])
    return gone, _without(labels, gone)


def _order_of(labels, wanted):
    """The permutation to the wanted order, None where it is that already."""
    return None if list(labels) == list(wanted) else [labels.index(c) for c in wanted]


def _pair(first, second, out, sizes):
    """How one matrix product contracts two operands, and what it leaves."""
    (shape1, labels1), (shape2, labels2) = first, second
    gone1, labels1 = _preparation(shape1, labels1, labels2 + out, sizes)
    gone2, labels2 = _preparation(shape2, labels2, labels1 + out, sizes)
    batch = [c for c in labels1 if c in labels2 and c in out]
    summed = [c for c in labels1 if c in labels2 and c not in out]
    rows, columns = [c for c in labels1 if c not in labels2], [c for c in labels2 if c not in labels1]
    lead, n_rows, n_columns, n_summed = (_sizes_of(labels, sizes) for labels in (batch, rows, columns, summed))
    prepare1 = gone1, _order_of(labels1, batch + rows + summed), (*lead, math.prod(n_rows), math.prod(n_summed))
    prepare2 = gone2, _order_of(labels2, batch + summed + columns), (*lead, math.prod(n_summed), math.prod(n_columns))
    shape = lead + n_rows + n_columns
    return (prepare1, prepare2, bool(summed), shape), (shape, "".join(batch + rows + columns))


@functools.lru_cache(maxsize=4096)
def _program(all_shapes, terms, out):
    """The steps of a contraction: pairs of operands to multiply, and what to do with the last result."""
    sizes = _label_sizes(all_shapes, terms)
    left, steps = list(zip(all_shapes, terms, strict=True)), []
    while len(left) > 1:
        i, j = _cheapest(left, out, sizes) if len(left) > 2 else (0, 1)
        second, first = left.pop(j), left.pop(i)
        step, result = _pair(first, second, "".join([out, *[labels for _, labels in left]]), sizes)
        steps.append((i, j, *step))
        left.append(result)
    gone, labels = _preparation(*left[0], out, sizes)
    order = _order_of(labels, [c for c in out if c in labels])
    return steps, (gone, order, tuple(sizes[c] if c in labels else 1 for c in out)), _sizes_of(out, sizes)


def _cheapest(left, out, sizes):
    """The two operands whose product has the fewest elements more than they have."""

    def cost(pair):
        first, second = (left[k][1] for k in pair)
        kept = set(out).union(*[labels for k, (_, labels) in enumerate(left) if k not in pair])
        before, after = [first, second], {*first, *second} & kept
        return math.prod(_sizes_of(after, sizes)) - builtins.sum(math.prod(_sizes_of(labels, sizes)) for labels in before)

    return builtins.min(itertools.combinations(range(len(left)), 2), key=cost)


def _prepared(xp, x, gone, order, shape):
    if gone:
        x = xp.sum(x, axis=gone, dtype=x.dtype)
    return (x if order is None else x.transpose(order)).reshape(shape)


def _contract_gradients(g, y, *operands, terms, into):
    """Each operand's gradient is the contraction of ``g`` with the other operands, to that operand's labels."""
    slopes = []
    for i, x in enumerate(operands):
        others = [_conjugate(other) for other in operands[:i] + operands[i + 1 :]]
        given = (into, *terms[:i], *terms[i + 1 :])
        slopes.append(_contract(g, *others, terms=given, into=terms[i]) if x.requires_grad else None)
    return slopes


def _conjugate(x):
    return conjugate(x) if "complex" in x.dtype else x


def _contracted(*all_shapes, terms, into):
    return _sizes_of(into, _label_sizes(all_shapes, terms))


@op(_contracted, _contract_gradients)
def _contract(xp, *operands, terms, into):
    """Sum of products. In ``terms`` no operand has a label twice, and each label is in another operand or in ``into``."""
    steps, last, shape = _program(tuple([x.shape for x in operands]), terms, into)
    left = list(operands)
    for i, j, prepare1, prepare2, summed, new_shape in steps:
        second, first = _prepared(xp, left.pop(j), *prepare2), _prepared(xp, left.pop(i), *prepare1)
        left.append((xp.matmul(first, second) if summed else first * second).reshape(new_shape))
    y = _prepared(xp, left[0], *last)
    return y if y.shape == shape else xp.broadcast_to(y, shape)


class _InOps:
    """The little that the contraction's kernel asks of its namespace, as ops: a plan sees its products."""

    sum, matmul, broadcast_to = staticmethod(lambda x, axis, dtype: sum(x, axis)), staticmethod(matmul), staticmethod(broadcast_to)


def _contract_in_ops(*operands, **attrs):
    """The same as ops; None for integers, whose sums and products would be widened there."""
    return _contract.kernel(_InOps, *operands, **attrs) if all(differentiable(x.dtype) for x in operands) else None


_contract.lowered = _contract_in_ops


_LETTERS = [chr(i) for i in range(0x100, 0x180)]  # labels that no user writes


@functools.lru_cache(maxsize=1024)
def _parse(subscripts, ranks):
    """Labels of each operand and of the output; an ellipsis becomes labels of its own, the same in all operands."""
    left, arrow, out = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise ValueError(f"einsum: {subscripts!r} names {len(terms)} operands, {len(ranks)} were given.")
    widest = 0
    for i, (term, rank) in enumerate(zip(terms, ranks, strict=True)):
        if "..." in term:
            more = rank - len(term.replace("...", ""))
            if more < 0:
                raise ValueError(f"einsum: {term!r} in {subscripts!r} has too many labels for a tensor of rank {rank}.")
            widest = more if more > widest else widest
            terms[i] = term.replace("...", "".join(_LETTERS[64 - more : 64]))
        if len(terms[i]) != rank:
            raise ValueError(f"einsum: {term!r} in {subscripts!r} does not fit a tensor of rank {rank}.")
    dots = "".join(_LETTERS[64 - widest : 64])
    if arrow:
        out = out.replace("...", dots)
    else:
        labels = "".join(terms)
        out = dots + "".join(sorted(c for c in set(labels) if labels.count(c) == 1 and c not in dots))
    for c in "".join([*terms, out]):
        if c not in string.ascii_letters and c not in dots:
            raise ValueError(f"einsum: {c!r} in {subscripts!r} is no label.")
    if any(c not in "".join(terms) for c in out) or len(set(out)) < len(out):
        raise ValueError(f"einsum: the output of {subscripts!r} must have labels of the operands, each once.")
    used = "".join([*terms, out])
    is_plain = all(used.count(c) > 1 for c in used) and all(len(set(term)) == len(term) for term in terms)
    return tuple(terms), out, is_plain


def _with_distinct_labels(x, labels):
    """Diagonals in place of labels that an operand has twice."""
    while len(set(labels)) < len(labels):
        c = next(c for c in labels if labels.count(c) > 1)
        a = labels.index(c)
        b = labels.index(c, a + 1)
        if None not in (x.shape[a], x.shape[b]) and x.shape[a] != x.shape[b]:
            raise ValueError(f"einsum: label {c!r} stands for sizes {x.shape[a]} and {x.shape[b]} of one operand.")
        x, labels = diagonal(x, 0, a, b), _without(labels, (a, b)) + c
    return x, labels


@composite(inputs=["operands"])
def einsum(subscripts, *operands, **kwargs):
    """Sums of products in Einstein's notation: ``"ij,jk->ik"`` is a matrix product (``keras.ops.einsum``).

    Labels may repeat in an operand (its diagonal) and be left out of the output (summed over); ``...`` stands for axes that
    broadcast. Two operands are contracted by one matrix product, more by one product after the other.

    >>> einsum("ij,j->i", [[1, 2], [3, 4]], [1, 1]).tolist()
    [3, 7]
    """
    if kwargs:
        raise TypeError(f"einsum() got unexpected keyword arguments: {sorted(kwargs)}")
    xs = [as_tensor(x) for x in operands]
    if all(x.dtype == "int8" for x in xs):
        xs = [cast(x, "int32") for x in xs]
    terms, out, is_plain = _parse(subscripts, tuple([x.ndim for x in xs]))
    if not is_plain:
        xs, terms = _plain(xs, terms, out)
    return _contract.call(xs, {"terms": terms, "into": out})


def _plain(xs, terms, out):
    """Operands without labels that they have twice, or that only one of them has."""
    pairs = [_with_distinct_labels(x, labels) for x, labels in zip(xs, terms, strict=True)]
    for i, (x, labels) in enumerate(pairs):
        others = "".join([out, *[other for k, (_, other) in enumerate(pairs) if k != i]])
        lone = [a for a, c in enumerate(labels) if c not in others]
        if lone:
            pairs[i] = cast(sum(x, lone), x.dtype), _without(labels, lone)
    return [x for x, _ in pairs], tuple(labels for _, labels in pairs)


@functools.lru_cache(maxsize=1024)
def _tensordot_labels(ndim1, ndim2, axes1, axes2):
    a, b = ([normalize_axis(i, ndim) for i in axes] for axes, ndim in ((axes1, ndim1), (axes2, ndim2)))
    if len(a) != len(b):
        raise ValueError(f"tensordot: as many axes are needed of x1 as of x2. Received: axes={(axes1, axes2)}")
    first = _LETTERS[:ndim1]
    second = [first[a[b.index(i)]] if i in b else _LETTERS[64 + i] for i in range(ndim2)]
    out = [c for c in first if c not in second] + [c for c in second if c not in first]
    return ("".join(first), "".join(second)), "".join(out)


@composite(inputs=["x1", "x2"])
def tensordot(x1, x2, axes=2):
    """Sum of products over the last ``axes`` axes of ``x1`` and the first of ``x2``, or over two lists of axes (``keras.ops``).

    >>> int(tensordot([1, 2], [3, 4], 1))
    11
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if isinstance(axes, (int, np.integer)):
        axes1, axes2 = range(x1.ndim - axes, x1.ndim), range(axes)
    else:
        axes1, axes2 = ([part] if isinstance(part, (int, np.integer)) else part for part in axes)
    terms, out = _tensordot_labels(x1.ndim, x2.ndim, tuple(axes1), tuple(axes2))
    return _contract.call([x1, x2], {"terms": terms, "into": out})


@composite
def dot(x1, x2):
    """Sum of products over the last axis of ``x1`` and of ``x2`` its second last (a vector's only one) (``keras.ops.dot``).

    >>> dot([[1, 2], [3, 4]], [1, 1]).tolist()
    [3, 7]
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if x1.ndim == 0 or x2.ndim == 0:
        return x1 * x2
    return tensordot(x1, x2, [[-1], [-2 if x2.ndim > 1 else -1]])


@composite
def inner(x1, x2):
    """Sum of products over the last axes of both (``keras.ops.inner``).

    >>> int(inner([1, 2], [3, 4]))
    11
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    return x1 * x2 if x1.ndim == 0 or x2.ndim == 0 else tensordot(x1, x2, [[-1], [-1]])


@composite
def vdot(x1, x2):
    """Sum of products of all elements, of ``x1``'s conjugate where it is complex (``keras.ops.vdot``).

    >>> int(vdot([[1, 2]], [[3, 4]]))
    11
    """
    return tensordot(_conjugate(ravel(x1)), ravel(x2), 1)


@composite
def outer(x1, x2):
    """All products of an element of ``x1`` and one of ``x2``, as a matrix (``keras.ops.outer``).

    >>> outer([1, 2], [3, 4]).tolist()
    [[3, 4], [6, 8]]
    """
    return expand_dims(ravel(x1), 1) * expand_dims(ravel(x2), 0)


@composite
def kron(x1, x2):
    """Kronecker product: ``x1`` with each element replaced by it times ``x2`` (``keras.ops.kron``).

    >>> kron([1, 2], [1, 1]).tolist()
    [1, 1, 2, 2]
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    rank = x1.ndim if x1.ndim > x2.ndim else x2.ndim
    sizes1, sizes2 = ((1,) * (rank - x.ndim) + x.shape for x in (x1, x2))
    together = [None if None in pair else pair[0] * pair[1] for pair in zip(sizes1, sizes2, strict=True)]
    last = []
    if rank > 1 and together[-1] is not None:  # products of long rows, not of many short ones
        x1, x2 = repeat(reshape(x1, sizes1), sizes2[-1], rank - 1), tile(x2, sizes1[-1])
        sizes1, sizes2, last = sizes1[:-1], sizes2[:-1], together[-1:]
    x1 = reshape(x1, [n for size in sizes1 for n in (size, 1)] + last)
    x2 = reshape(x2, [n for size in sizes2 for n in (1, size)] + last)
    return reshape(x1 * x2, together)


@composite
def cross(x1, x2, axisa=-1, axisb=-1, axisc=-1, axis=None):
    """Vector product of vectors of size 2 or 3 along the given axes; a number for two of size 2 (``keras.ops.cross``).

    >>> cross([1, 0, 0], [0, 1, 0]).tolist()
    [0, 0, 1]
    """
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    x1, x2 = moveaxis(x1, axisa, -1), moveaxis(x2, axisb, -1)
    for x in (x1, x2):
        if x.shape[-1] not in (2, 3, None):
            raise ValueError(f"cross needs vectors of size 2 or 3. Received shapes {x1.shape} and {x2.shape} (vectors last).")
    a, b = ([x[..., i] for i in range(x.shape[-1] or 3)] for x in (x1, x2))
    last = a[0] * b[1] - a[1] * b[0]
    if len(a) == len(b) == 2:
        return last
    a, b = ([*v, 0] if len(v) == 2 else v for v in (a, b))
    return stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], last], normalize_axis(axisc, last.ndim + 1))


# ---- norms and distances
def _root_gradient(g, y, x):
    return g * choose(y == 0, 0.0, 0.5 / choose(y == 0, 1.0, y))


@op(shapes.same, [_root_gradient], floating)
def _root(xp, x):
    """Square root with slope 0 at 0, where distances have a corner."""
    return xp.sqrt(x)


def _vector_norm(x, ord, axis, keepdims):
    if isinstance(ord, str):
        raise ValueError(f"Invalid `ord` argument for vector norm. Received: ord={ord}")
    if ord == 0:
        return sum(cast(not_equal(x, 0), magnitude([x.dtype], {})[1]), axis, keepdims)
    x = absolute(x) if "complex" in x.dtype or ord not in (None, 2) else x
    if ord is None or ord == 2:
        return _root(sum(x * x, axis, keepdims))
    if abs(ord) == math.inf:
        return (max if ord > 0 else min)(x, axis, keepdims)
    return sum(x, axis, keepdims) if ord == 1 else power(sum(power(x, ord), axis, keepdims), 1.0 / ord)


def _matrix_norm(x, ord, axes, keepdims):
    rows, columns = axes
    if ord in (None, "fro"):
        return _vector_norm(x, None, axes, keepdims)
    if ord in (1, -1, math.inf, -math.inf):
        summed, other = (rows, columns) if abs(ord) == 1 else (columns, rows)
        y = (max if ord > 0 else min)(sum(absolute(x), summed, keepdims=True), other, keepdims=True)
    elif ord in ("nuc", 2, -2):
        s = singular_values(moveaxis(x, (rows, columns), (-2, -1)))
        y = sum(s, -1) if ord == "nuc" else s[..., 0 if ord == 2 else -1]
        y = expand_dims(y, sorted(axes))
    else:
        raise ValueError(f"Invalid `ord` argument for matrix norm. Received: ord={ord}")
    return y if keepdims else squeeze(y, axes)


@composite(module="ops.linalg")
def norm(x, ord=None, axis=None, keepdims=False):
    """Norm of vectors along one axis, of matrices along two, of all elements for None (``keras.ops.norm``).

    ``ord``: for vectors 0, inf, -inf or any power (2 by default); for matrices "fro" (default), "nuc", inf, -inf, 1, -1, 2, -2.

    >>> float(norm([3.0, 4.0]))
    5.0
    """
    x = as_tensor(x)
    if not differentiable(x.dtype):
        x = cast(x, floatx())
    axes = (axis,) if isinstance(axis, int) else tuple(range(x.ndim)) if axis is None else tuple(axis)
    axes = tuple(normalize_axis(a, x.ndim) for a in axes)
    if len(axes) == 1:
        return _vector_norm(x, ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, ord, axes, keepdims)
    if axis is None and ord is None:
        return _vector_norm(x, None, axes, keepdims)
    raise ValueError(f"norm with `ord` needs one axis (vectors) or two (matrices). Received: axis={axis}, x.shape={x.shape}")


def singles(xp, x):
    """LAPACK knows no numbers of 16 bits: they are computed with as 32."""
    return x.astype(xp.float32) if x.dtype.itemsize == 2 else x


def in_dtype(x, dtype):
    return x if x.dtype == dtype else x.astype(dtype)


def real_at(*places, of=2):
    """Dtype rule of a decomposition: as ``floating``, and these outputs are real also where the input is complex."""

    def rule(dtypes, attrs):
        casts, common = floating(dtypes, attrs)
        dtypes = [magnitude([common], attrs)[1] if i in places else common for i in range(of)]
        return casts, dtypes if of > 1 else dtypes[0]

    return rule


def only_real(x, name):
    if "complex" in x.dtype:
        raise TypeError(f"{name} of a complex matrix has no gradient: its vectors have any phase. Received dtype {x.dtype}.")


def inverse_gaps(row):
    """``1 / (row[j] - row[i])``, 0 where they are equal: how far each pair of eigenvectors turns into each other."""
    gap = expand_dims(row, -2) - expand_dims(row, -1)
    return choose(gap == 0, 0.0, 1.0 / choose(gap == 0, 1.0, gap))


def _svd_shapes(shape):
    if len(shape) < 2:
        raise ValueError(f"Input should have rank >= 2. Received: input.shape={tuple(shape)}")
    *lead, m, n = shape
    k = None if None in (m, n) else builtins.min(m, n)
    return [(*lead, m, k), (*lead, k), (*lead, k, n)]


def thin_svd_gradient(g, y, x):
    """J. Townsend, "Differentiating the singular value decomposition" (2016)."""
    only_real(x, "svd")
    (gu, gs, gv), (u, s, v) = (g[0], g[1], swapaxes(g[2], -1, -2)), (y[0], y[1], swapaxes(y[2], -1, -2))
    row, column = expand_dims(s, -2), expand_dims(s, -1)
    gaps = inverse_gaps(s * s)
    inverse = choose(row == 0, 0.0, 1.0 / choose(row == 0, 1.0, row))
    ut, vt = swapaxes(u, -1, -2), swapaxes(v, -1, -2)
    in_u, in_v = gaps * matmul(ut, gu), gaps * matmul(vt, gv)
    middle = (in_u + swapaxes(in_u, -1, -2)) * row + column * (in_v + swapaxes(in_v, -1, -2))
    left = matmul(u, middle) + u * expand_dims(gs, -2) + (gu - matmul(u, matmul(ut, gu))) * inverse
    return matmul(left, vt) + matmul(u * inverse, swapaxes(gv - matmul(v, matmul(vt, gv)), -1, -2))


@op(_svd_shapes, [thin_svd_gradient], real_at(1, of=3), module="ops.linalg", class_name="ThinSVD")
def thin_svd(xp, x):
    """Singular value decomposition ``u * s @ vt`` with as many columns as there are singular values."""
    u, s, vt = xp.linalg.svd(singles(xp, x), full_matrices=False)
    return (u, s, vt) if x.dtype.itemsize > 2 else (u.astype(x.dtype), s.astype(x.dtype), vt.astype(x.dtype))


def _singular_values_gradient(g, y, x):
    only_real(x, "svd")
    u, _, vt = thin_svd(x)
    return matmul(u * expand_dims(g, -2), vt)


@op(lambda shape: _svd_shapes(shape)[1], [_singular_values_gradient], real_at(0, of=1), module="ops.linalg", class_name="SingularValues")
def singular_values(xp, x):
    """Without their vectors. Products of single precision are exact in double precision, so the roots of the eigenvalues of
    ``x.T @ x`` are as good as what is found without products, and found sooner."""
    wide = singles(xp, x)
    if wide.dtype != xp.float32:
        return in_dtype(xp.linalg.svd(wide, compute_uv=False), x.real.dtype)
    wide = wide.astype(xp.float64)
    other = xp.swapaxes(wide, -1, -2)
    squares = xp.linalg.eigvalsh(xp.matmul(other, wide) if x.shape[-2] > x.shape[-1] else xp.matmul(wide, other))
    return xp.sqrt(xp.maximum(squares[..., ::-1], 0)).astype(x.dtype)


def _distances_gradients(g, d, x, y, in_order):
    slope = choose(d == 0, 0.0, g / choose(d == 0, 1.0, d))
    parts = expand_dims(slope, -1) * (expand_dims(x, -2) - expand_dims(y, -3))
    return [sum(parts, -2), -sum(parts, -3)]


@op(
    lambda x, y, in_order: (*shapes.broadcast(x[:-2], y[:-2]), x[-2], y[-2]),
    _distances_gradients,
    floating,
    module="ops.math",
    class_name="Distances",
)
def _distances(xp, x, y, in_order=False):
    """``in_order``: squares are added in the order of the features, as in the compiled kernel, by a pass over the result for each."""
    dtype, x, y = x.dtype, singles(xp, x), singles(xp, y)
    m, n, size = x.shape[-2], y.shape[-2], x.shape[-1]
    if not in_order:
        gaps = x[..., :, None, :] - y[..., None, :, :]
        return in_dtype(xp.sqrt(xp.sum(gaps * gaps, axis=-1)), dtype)
    lead = xp.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    d, y = xp.zeros((*lead, m, n), x.dtype), xp.ascontiguousarray(xp.swapaxes(y, -1, -2))
    for part in xp.parts(m, math.prod(lead) * n * x.dtype.itemsize):
        total = d[..., part, :]
        gap = xp.empty(total.shape, x.dtype)
        for i in range(size):
            xp.subtract(x[..., part, i : i + 1], y[..., i : i + 1, :], out=gap)
            gap *= gap
            total += gap
        xp.sqrt(total, out=total)
    return in_dtype(d, dtype)


@composite(module="ops.math", class_name="CDist")
def cdist(x, y):
    """Distances of all rows of ``x`` from all rows of ``y``: shape ``(..., m, n)`` (``keras.ops.cdist``).

    >>> cdist([[0.0, 0.0]], [[3.0, 4.0], [0.0, 1.0]]).tolist()
    [[5.0, 1.0]]
    """
    x, y = as_tensor(x), as_tensor(y)
    if x.ndim < 2 or y.ndim < 2:
        raise ValueError(f"`cdist` inputs must have rank >= 2. Received shapes {x.shape} and {y.shape}.")
    if None not in (x.shape[-1], y.shape[-1]) and x.shape[-1] != y.shape[-1]:
        raise ValueError(f"Last dimension of `cdist`'s inputs must match, got shapes {x.shape} and {y.shape}.")
    if "complex" in x.dtype or "complex" in y.dtype:
        return _vector_norm(expand_dims(x, -2) - expand_dims(y, -3), None, -1, False)
    m, n, size = x.shape[-2], y.shape[-2], x.shape[-1]
    return _distances(x, y, in_order=None not in (m, n, size) and m * n >= 64 * size)


# ---- correlation
@composite
def corrcoef(x):
    """Pearson's correlation of all rows with each other; 1 for a vector (``keras.ops.corrcoef``).

    >>> round(float(corrcoef([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])[0, 1]), 5)
    -1.0
    """
    x = as_tensor(x)
    x = x if differentiable(x.dtype) else cast(x, floatx())
    rows = expand_dims(x, 0) if x.ndim == 1 else x
    rows = rows - mean(rows, 1, keepdims=True)
    c = matmul(rows, transpose(rows))
    spread = sqrt(diagonal(c))
    c = clip(c / expand_dims(spread, 1) / expand_dims(spread, 0), -1.0, 1.0)
    return squeeze(c, (0, 1)) if x.ndim == 1 else c


def _correlated(shape1, shape2, mode):
    if len(shape1) != 1 or len(shape2) != 1:
        raise ValueError(f"correlate needs two vectors. Received shapes {shape1} and {shape2}.")
    if mode not in ("valid", "same", "full"):
        raise ValueError(f"`mode` must be either `valid`, `same`, or `full`. Received: mode={mode}")
    if None in shape1 + shape2:
        return (None,)
    shorter, longer = sorted(shape1 + shape2)
    return ({"valid": longer - shorter + 1, "same": longer, "full": longer + shorter - 1}[mode],)


def _correlate_gradients(g, y, x1, x2, mode):
    """For the longer vector a full correlation of ``g`` with the other, for the shorter one of the longer with ``g``."""
    swapped = x2.shape[0] > x1.shape[0]
    longer, shorter = (x2, x1) if swapped else (x1, x2)
    g = flip(g) if swapped else g
    n, k = longer.shape[0], shorter.shape[0]
    before = {"valid": 0, "same": k // 2, "full": k - 1}[mode]
    after = {"valid": 0, "same": k - k // 2 - 1, "full": k - 1}[mode]
    to_longer = correlate(g, flip(shorter), "full")[before : before + n]
    to_shorter = correlate(pad(longer, (before, after)), g, "valid")
    return [to_shorter, to_longer] if swapped else [to_longer, to_shorter]


@op(_correlated, _correlate_gradients, floating)
def correlate(xp, x1, x2, mode="valid"):
    """Sums of products of two vectors, one moved along the other (``keras.ops.correlate``).

    ``mode``: "valid" only where they overlap fully, "same" as long as the longer one, "full" wherever they overlap.

    >>> correlate([1.0, 2.0, 3.0], [1.0, 1.0]).tolist()
    [3.0, 5.0]
    """
    return xp.correlate(x1, x2, mode)
