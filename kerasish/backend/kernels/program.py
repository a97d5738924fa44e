"""A group of calls as a *program*: the simplest steps, in an order in which they can run.

Each value of a program has a dtype, and a level. A *row* has one number for all that lies along the group's last axis (the
maximum of a row, a learning rate); anything else is *full*. Steps named ``row_...`` make a row's number of a full value. A value's
*phase* is how many such steps lie behind it, one after the other: so often must a row be gone over before.
"""

from kerasish.backend.kernels.domain import REDUCTIONS, VIEWS

# ---- which dtypes steps are written for, and which are little work
FLOATS_ONLY = {"isfinite", "isnan", "isinf", "floor", "ceil", "trunc", "_wins", "_gate", "_leak", "heaviside", "nan_to_num", "isclose",
               "deg2rad", "rad2deg", "signbit", "_half_turns"}  # fmt: skip
SINGLE = {"i0", "erfc", "erfinv", "exp2", "logaddexp", "logaddexp2", "hypot", "nextafter",
          "exp", "expm1", "log", "log1p", "tanh", "sigmoid", "erf", "_power", "softplus", "log_sigmoid", "silu", "elu", "celu",
          "_gelu_tanh", "_normal_cdf", "_sigmoid_crossentropy"}  # fmt: skip
CHEAP = {"add", "subtract", "multiply", "negative", "maximum", "minimum", "relu", "choose", "cast", "square", "_gate", "_clip", "equal",
         "place", "number", "absolute", "greater", "less", "greater_equal", "less_equal"}  # fmt: skip


class Unsupported(Exception):
    """The group has something for which there is no code here."""


class Node:
    """A value of a program, with operators that add steps to it."""

    def __init__(self, program, ref):
        self.program, self.ref = program, ref

    dtype = property(lambda self: self.program.dtypes[self.ref])
    full = property(lambda self: self.program.full[self.ref])

    def _with(self, name, other, mirrored=False):
        if not isinstance(other, Node):
            other = self.program.number(other, self.dtype)
        return self.program.step(name, *((other, self) if mirrored else (self, other)), dtype=self.dtype)

    __add__ = lambda self, other: self._with("add", other)
    __sub__ = lambda self, other: self._with("subtract", other)
    __mul__ = lambda self, other: self._with("multiply", other)
    __truediv__ = lambda self, other: self._with("divide", other)
    __rtruediv__ = lambda self, other: self._with("divide", other, mirrored=True)
    __neg__ = lambda self: self.program.step("negative", self, dtype=self.dtype)

    def then(self, name, *others, dtype=None, **attrs):
        """A step on this value (and others), of the same dtype if none is given."""
        return self.program.step(name, self, *others, dtype=dtype or self.dtype, **attrs)

    def along(self, kind, dtype=None):
        """A number for each row: its sum, maximum, ..."""
        return self.program.step(f"row_{kind}", self, dtype=dtype or self.dtype)


class Program:
    """Inputs (dtype, mask), steps (name, operands, attributes, dtype), outputs (operand, mask, how rows are combined, dtype).

    ``single``: names of steps that there are for float32 alone.
    """

    def __init__(self, single=SINGLE):
        self.single = single
        self.inputs, self.steps, self.outputs, self.dtypes, self.full, self._known = [], [], [], [], [], {}

    def input(self, dtype, mask):
        """A value that comes from outside."""
        self.inputs.append((dtype, mask))
        self.dtypes.append(dtype)
        self.full.append(bool(mask) and mask[-1])
        return Node(self, len(self.dtypes) - 1)

    def step(self, name, *operands, dtype, **attrs):
        """The value of a step; the same one for equal steps."""
        if (name in self.single and dtype != "float32") or (name in FLOATS_ONLY and any("float" not in x.dtype for x in operands)):
            raise Unsupported(f"{name} of {dtype}")
        key = (name, tuple(x.ref for x in operands), tuple(sorted(attrs.items())), dtype)
        if key not in self._known:
            self.steps.append(key)
            self.dtypes.append(dtype)
            self.full.append(name == "place" or (not name.startswith("row_") and any(x.full for x in operands)))
            self._known[key] = len(self.dtypes) - 1
        return Node(self, self._known[key])

    def number(self, value, dtype):
        """A constant."""
        return self.step("number", dtype=dtype, value=float(value) if "float" in dtype else int(value))

    def place(self, like):
        """The place along the last axis as a number that can be compared with ``like``."""
        place = self.step("place", dtype="int32")
        return place if like == "int32" else place.then("cast", dtype=like if "float" in like else "int64")


def program_of(group, single=SINGLE):
    """The program of a group. ``single``: the steps that there are for float32 alone."""
    program, nodes = Program(single), {}
    for i in range(group.n_inputs):
        nodes[i] = program.input(group.specs[i].dtype, group.masks[i])
    for call in group.calls:
        name, ins = call.op.name, [nodes[i] for i in call.inputs]
        dtypes = [group.specs[i].dtype for i in call.outputs]
        if name in REDUCTIONS:
            made = [_reduction(group, call, ins[0], dtypes[0], lambda dtype: program.step("size", dtype=dtype))]
        elif name in VIEWS or name == "copy" or (name == "cast" and ins[0].dtype == dtypes[0]):
            made = ins[0]
        elif name in _WRITTEN:
            made = _WRITTEN[name](program, *ins, **{key: v for key, v in call.attrs.items() if key not in _OF_SHAPES})
        else:
            attrs = {key: v for key, v in call.attrs.items() if key != "dtype" and v is not None}
            made = program.step(name, *ins, dtype=dtypes[0], **attrs)
        nodes.update(zip(call.outputs, [made] if isinstance(made, Node) else made, strict=True))
    for i in group.outputs:
        node, mask, dtype = nodes[i], group.masks[i], group.specs[i].dtype
        program.outputs.append((*node, dtype) if isinstance(node, tuple) else (node.ref, mask, None, False, False, dtype))
    return program


_OF_SHAPES = ("axis", "axes", "keepdims", "sparse")  # attributes that the masks have said already
_KIND = {"sum": "sum", "mean": "sum", "sum_to": "sum", "prod": "prod", "max": "max", "min": "min", "any": "any", "all": "all"}


def _reduction(group, call, x, dtype, size):
    """A number for each row, or what to do where it leaves the group: operand, mask, kind, whether of rows' numbers, whether a mean."""
    (source,), (result,), k = call.inputs, call.outputs, len(group.axes)
    before, after, kind = group.masks[source], group.masks[result], _KIND[call.op.name]
    if before == after:
        return x
    if kind in ("any", "all") and x.dtype != "bool":
        x = x.then("cast", dtype="bool")
    if before == (True,) * k and after == (True,) * (k - 1) + (False,) and (k > 1 or any(result in c.inputs for c in group.calls)):
        total = x.along(kind)
        return total / size(dtype) if call.op.name == "mean" else total
    return (x.ref, after, kind, not before[-1], call.op.name == "mean")


# ---- ops that are several steps
def _softmax_parts(x):
    e = (x - x.along("max")).then("exp")
    return e, e.along("sum")


def _softmax(p, x):
    e, total = _softmax_parts(x)
    return e * (1.0 / total)


def _log_softmax(p, x):
    shifted = x - x.along("max")
    return shifted - shifted.then("exp").along("sum").then("log")


def _logsumexp(p, x):
    highest = x.along("max")
    highest = highest.then("isfinite", dtype="bool").then("choose", highest, p.number(0, x.dtype), dtype=x.dtype)
    return (x - highest).then("exp").along("sum").then("log") + highest


def _row_mean(p, x):
    return x.along("sum") / p.step("size", dtype=x.dtype)


def _standardize(p, x, epsilon=None, center=True):
    y = x - _row_mean(p, x) if center else x
    slope = 1.0 / (_row_mean(p, y * y) + epsilon).then("sqrt")
    return y * slope, slope


def _moments(p, x):
    mean = _row_mean(p, x)
    y = x - mean
    return mean, _row_mean(p, y * y)


def _hits(p, index):
    """Where the last axis's place is the index."""
    if index.dtype not in ("int32", "float32", "float64"):
        index = index.then("cast", dtype="int64")
    return p.place(index.dtype).then("equal", index, dtype="bool")


def _pick_at(p, index, x):
    return _hits(p, index).then("choose", x, p.number(0, x.dtype), dtype=x.dtype).along("sum")


def _in_range(p, index, x):
    low = index.then("greater_equal", p.number(0, index.dtype), dtype="bool")
    high = index.then("less", p.step("size", dtype=index.dtype), dtype="bool")
    return low.then("logical_and", high).then("cast", dtype=x.dtype)


def _put_at(p, index, values, size):
    return _hits(p, index).then("cast", dtype=values.dtype) * values


def _one_hot(p, index, num_classes, dtype):
    return _hits(p, index).then("cast", dtype=dtype)


def _softmax_crossentropy(p, target, logits):
    return -(_log_softmax(p, logits) * target).along("sum")


def _softmax_crossentropy_logits(p, g, target, logits):
    return (_softmax(p, logits) * target.along("sum") - target) * g


def _sparse_softmax_crossentropy(p, index, x):
    shifted = x - x.along("max")
    total = shifted.then("exp").along("sum").then("log")
    return (total - _pick_at(p, index, shifted)) * _in_range(p, index, x)


def _sparse_softmax_crossentropy_logits(p, index, g, x):
    return (_softmax(p, x) - _hits(p, index).then("cast", dtype=x.dtype)) * (g * _in_range(p, index, x))


def _arg(kind):
    return lambda p, x: x.along(kind, dtype="int32")


_WRITTEN = {
    "plain_softmax": _softmax, "log_softmax": _log_softmax, "logsumexp": _logsumexp, "_standardize": _standardize, "_moments": _moments,
    "_pick_at": _pick_at, "_in_range": _in_range, "_put_at": _put_at, "_one_hot": _one_hot, "_softmax_crossentropy": _softmax_crossentropy,
    "_softmax_crossentropy_logits": _softmax_crossentropy_logits, "_sparse_softmax_crossentropy": _sparse_softmax_crossentropy,
    "_sparse_softmax_crossentropy_logits": _sparse_softmax_crossentropy_logits, "argmax": _arg("argmax"), "argmin": _arg("argmin"),
}  # fmt: skip


# ---- what a program's values depend on
class Facts:
    """For each value: whether it is ``full``; its ``phase``; ``when`` a row's number is known (0: always, 1: with A, 2: with the row)."""

    def __init__(self, inputs, steps):
        self.full, self.phase, self.when = [], [], []
        for _, mask in inputs:
            mask = three(mask)
            self._add(mask[2], 0, 2 if mask[1] else int(mask[0]))
        for name, operands, _, _ in steps:
            inner = name.startswith("row_")
            full = name == "place" or (not inner and any(self.full[i] for i in operands))
            phase, when = (max((values[i] for i in operands), default=0) for values in (self.phase, self.when))
            self._add(full, phase + inner, 2 if inner else when)

    def _add(self, full, phase, when):
        self.full.append(full)
        self.phase.append(phase)
        self.when.append(when)


def three(mask):
    """A mask of the axes (A, R, C), where a group has fewer."""
    return (False,) * (3 - len(mask)) + tuple(mask)


def saved_for_later(facts, n_inputs, steps):
    """Full steps that a later phase reads and that are too much work to be done again."""
    cost, late = {}, set()
    for j, (name, operands, _, _) in enumerate(steps):
        phase = facts.phase[n_inputs + j] - name.startswith("row_")
        late.update(i for i in operands if facts.full[i] and facts.phase[i] < phase)
    saved = []
    for j, (name, operands, _, _) in enumerate(steps):
        i = n_inputs + j
        cost[i] = (1 if name in CHEAP else 10) + sum(cost.get(o, 0) for o in operands if facts.full[o])
        if i in late and facts.full[i] and cost[i] > 2:
            saved.append(i)
            cost[i] = 0
    return tuple(saved)
