"""How the shapes of calls that are computed together, element by element, lie on each other.

What the calls of a group have in common are *axes*: all their shapes, written one below the other with sizes of 1 where a value
is repeated, cut the elements into at most three axes ``(A, R, C)``; axes that no value tells apart are one. Each value then
has a *mask*: which of the axes it goes along. With the axes ``(rows, columns)`` a matrix has ``(True, True)``, a bias ``(False,
True)``, the maxima of rows ``(True, False)``, a learning rate ``(False, False)``.
"""

import math
import typing

from kerasish.backend.autodiff.shapes import reduced

DTYPES = ("float32", "float64", "int32", "int64", "uint8", "uint32", "bool")
_ONE_ROW = 4096  # a vector that long may be one row, whose sum is used again in the same group


# ---- shapes of one rank for inputs, outputs, and what an op that works along an axis leaves of that axis
def _padded(shape, rank):
    return (1,) * (rank - len(shape)) + tuple(shape)


def elements(ins, outs, **attrs):
    return [_padded(s, len(outs[0])) for s in ins], outs, None


def renamed(ins, outs, **attrs):
    return [(math.prod(ins[0]),)], [(math.prod(outs[0]),)], None


def spread(ins, outs, shape, axis=None, keepdims=False):
    return [reduced(shape, axis, keepdims=True)], outs, None


def reduction(ins, outs, axis=None, **attrs):
    return None if attrs.get("initial") is not None else (ins, [reduced(ins[0], axis, keepdims=True)], None)


def _sum_to(ins, outs, shape):
    return ins, [_padded(shape, len(ins[0]))], None


def place(ins, outs, axis=None, **attrs):
    kept = reduced(ins[0], axis, keepdims=True)
    return ins, [kept], kept


def along(ins, outs, axis=None, **attrs):
    return ins, outs, reduced(outs[0], axis, keepdims=True)


def statistics(ins, outs, axes=None, **attrs):
    kept = reduced(ins[0], axes, keepdims=True)
    return ins, [kept if math.prod(s) == math.prod(kept) else s for s in outs], kept


def _to_one(ins, outs, axis, **attrs):
    """Inputs without the axis beside the last one, which has it; an output without it."""
    full = ins[-1]
    kept = reduced(full, axis, keepdims=True)
    return [s if len(s) == len(full) else kept for s in ins], [kept], kept


def _from_one(ins, outs, axis=-1, **attrs):
    """Inputs without an axis, or with it, and an output with it."""
    full = outs[0]
    kept = reduced(full, axis, keepdims=True)
    return [s if len(s) == len(full) else kept for s in ins], outs, kept


_ALIGN = {
    renamed: ("reshape", "_relabel", "copy"),
    spread: ("spread",),
    reduction: ("sum", "mean", "prod", "max", "min", "any", "all"),
    _sum_to: ("sum_to",),
    place: ("argmax", "argmin", "logsumexp"),
    along: ("plain_softmax", "log_softmax"),
    statistics: ("_moments", "_standardize"),
    _to_one: ("_pick_at", "_in_range", "_softmax_crossentropy", "_sparse_softmax_crossentropy"),
    _from_one: ("_put_at", "_one_hot", "_softmax_crossentropy_logits", "_sparse_softmax_crossentropy_logits"),
    elements: (
        "broadcast_to", "cast", "add", "subtract", "multiply", "divide", "divide_no_nan", "negative", "reciprocal", "absolute",
        "fabs", "sign", "square", "sqrt", "rsqrt", "exp", "expm1", "log", "log1p", "tanh", "sigmoid", "softplus", "log_sigmoid",
        "silu", "relu", "relu6", "leaky_relu", "_gate", "_leak", "hard_sigmoid", "hard_tanh", "elu", "celu", "_gelu_tanh",
        "_normal_cdf", "erf", "softsign", "maximum", "minimum", "_clip", "_wins", "_slope_of_absolute", "choose", "equal",
        "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or", "logical_xor",
        "logical_not", "isfinite", "isnan", "isinf", "floor", "ceil", "trunc", "_power", "masked_scale", "_scale_and_shift",
        "_sigmoid_crossentropy", "zeros_like", "ones_like", "hard_shrink", "soft_shrink", "threshold", "squareplus",
        "erfc", "erfinv", "exp2", "logaddexp", "logaddexp2", "hypot", "nextafter", "heaviside", "nan_to_num", "isclose", "deg2rad",
        "rad2deg", "sparse_sigmoid", "sparse_plus", "i0", "fmod", "mod", "floor_divide", "signbit", "_half_turns",
    ),
}  # fmt: skip
ALIGNED = {name: align for align, names in _ALIGN.items() for name in names}
VIEWS = {"broadcast_to", "reshape", "_relabel", "spread"}  # they compute nothing
_DEAR = {"i0", "erf", "erfc", "erfinv", "_gelu_tanh", "_normal_cdf", "_power", "logaddexp", "logaddexp2", "fmod", "mod", "floor_divide"}
CHEAP = {*_ALIGN[elements], *_ALIGN[renamed], *_ALIGN[reduction], "sum_to", "spread"} - _DEAR  # what NumPy does in one quick pass
REDUCTIONS = {*_ALIGN[reduction], "sum_to"}  # they may go over any axes


def fusible(name, attrs, ins, outs, dtypes=DTYPES):
    """How the shapes of a call lie on each other: those of inputs and outputs and what its own axis leaves, all of one rank.

    ``ins``, ``outs``: pairs (shape, dtype). None where the call can be in no group.
    """
    align = ALIGNED.get(name)
    if align is None or any(dtype not in dtypes or 0 in shape for shape, dtype in (*ins, *outs)):
        return None
    if name in ("_power", "sign", "_slope_of_absolute") and any("float" not in dtype for _, dtype in ins):
        return None
    if name in ("fmod", "mod", "floor_divide") and any(dtype == "int64" for _, dtype in ins):
        return None
    if name in ("any", "all") and any(dtype != "bool" for _, dtype in ins):
        return None
    return align([tuple(shape) for shape, _ in ins], [tuple(shape) for shape, _ in outs], **attrs)


def axes_of(shapes):
    """The axes that shapes of one rank cut their elements into, and for each shape its mask."""
    full = [max(sizes) for sizes in zip(*shapes, strict=True)]
    axes, columns = [], []
    for i, n in enumerate(full):
        if n == 1:
            continue
        column = [s[i] == n for s in shapes]
        if columns and columns[-1] == column:
            axes[-1] *= n
        else:
            axes.append(n)
            columns.append(column)
    masks = list(zip(*columns, strict=True)) if columns else [()] * len(shapes)
    return tuple(axes), masks


# ---- groups
class Domain(typing.NamedTuple):
    """The axes of a group, and the masks of its values. ``inner``: names, among the masks, of what ops along an axis leave of it."""

    axes: tuple
    masks: dict
    inner: tuple = ()

    @classmethod
    def of(cls, call, specs, dtypes=DTYPES):
        """That of one call, None where it can be in no group. ``specs``: (shape, dtype) by value."""
        shapes = fusible(call.op.name, call.attrs, *([specs[i] for i in numbers] for numbers in (call.inputs, call.outputs)), dtypes)
        if shapes is None:
            return None
        ins, outs, inner = shapes
        names = [*call.inputs, *call.outputs, *([("inner", call.outputs[0])] if inner is not None else [])]
        axes, masks = axes_of([*ins, *outs, *([inner] if inner is not None else [])])
        domain = cls(axes, dict(zip(names, masks, strict=True)), tuple(names[len(ins) + len(outs) :]))
        same = all(domain.masks[name] == mask for name, mask in zip(names, masks, strict=True))  # also where a value is read twice
        return domain if same and domain.can_run([call]) else None

    @property
    def size(self):
        return math.prod(self.axes)

    def with_(self, other):
        """That of both together: all axes of the smaller must be axes of the larger. None where they don't fit."""
        a, b = (self, other) if self.size >= other.size else (other, self)
        if a.size % b.size or (b.size == 1 and a.size > _ONE_ROW):
            return None
        ours, theirs = (list(a.axes), a.masks), (list(b.axes), b.masks)
        shared = sorted(i for i in a.masks.keys() & b.masks.keys() if not isinstance(i, tuple))
        while True:
            pairs, cut = _paired(ours, theirs, shared)
            if cut is None:
                break
            ours, theirs = (_cut(*part, *cut[1:]) if part is cut[0] else part for part in (ours, theirs))
        if pairs is None:
            return None
        axes = ours[0]
        if pairs and axes == theirs[0] and all(i == j for i, j in pairs.items()):
            pairs = {i: i for i in range(len(axes))}
        back = {i: j for j, i in pairs.items()}
        if len(pairs) < len(theirs[0]) or len(back) < len(pairs) or sorted(back) != [pairs[j] for j in sorted(pairs)]:
            return None
        moved = {value: tuple(i in back and mask[back[i]] for i in range(len(axes))) for value, mask in theirs[1].items()}
        fits = all(moved[i] == ours[1][i] for i in shared)
        return Domain(tuple(axes), {**ours[1], **moved}, (*a.inner, *b.inner)) if fits else None

    def can_run(self, calls):
        """Whether a group can be computed row by row: what its calls give is of full size or has one number for each row, but for
        sums over rows that leave the group. Views that only the group reads may lie as they like."""
        axes, masks, k = self.axes, self.masks, len(self.axes)
        full = (True,) * k
        row = (*full[:-1], False) if k > 1 or (k and axes[0] <= _ONE_ROW) else full
        read, made = {i for call in calls for i in call.inputs}, {i for call in calls for i in call.outputs}
        for call in calls:
            if call.op.name in VIEWS and read.issuperset(call.outputs):
                continue
            if k and not any(any(masks[i]) for i in (*call.inputs, *call.outputs)) and made.isdisjoint(call.inputs):
                return False  # numbers that don't come of the group's elements are computed once, elsewhere
            sums = call.op.name in REDUCTIONS
            if sums and masks[call.inputs[0]] not in (full, row):
                return False
            for i in call.outputs:
                if masks[i] not in (full, row) and (not sums or i in read or (k == 3 and masks[i][1])):
                    return False
        return k <= 3 and all(masks[i] == row for i in self.inner)


def _paired(ours, theirs, shared):
    """Which axis of one is which of the other, by the values that both have; or a cut that must be made first."""
    pairs = {}
    for value in shared:
        places = zip(*([i for i, along in enumerate(masks[value]) if along][::-1] for _, masks in (ours, theirs)), strict=False)
        for i, j in places:
            n, m = ours[0][i], theirs[0][j]
            if n == m and pairs.setdefault(j, i) == i:
                continue
            if n == m or max(n, m) % min(n, m):
                return None, None
            return pairs, (ours, i, m) if n > m else (theirs, j, n)
    return pairs, None


def _cut(axes, masks, i, inner):
    """Axis ``i`` as two, the second of size ``inner``."""
    return [*axes[:i], axes[i] // inner, inner, *axes[i + 1 :]], {v: (*m[: i + 1], *m[i:]) for v, m in masks.items()}
