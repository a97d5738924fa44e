"""Element-wise calls that are in no group: more than three axes, whole numbers of dtypes that groups leave alone, rarer functions.

A thread for each element of the result; inputs may be repeated along axes or have gaps. Memory is the bound.
"""

import math

from kerasish.backend.kernels import domain
from kerasish.backend.kernels.cuda import axes
from kerasish.backend.kernels.cuda.launch import candidate
from kerasish.backend.kernels.cuda.moments import MEAN_SQUARE, MOMENTS
from kerasish.backend.kernels.cuda.prelude import MEMORY, REGISTER, number, rounded
from kerasish.backend.kernels.cuda.reduce import reduction
from kerasish.backend.kernels.cuda.steps import STEPS, expression

_SHIFT = """
template <class T> __device__ inline bool far(T b) { return b < 0 || b >= (T)(8 * sizeof(T)); }
template <class T> __device__ inline T shifted_left(T a, T b) { return far(b) ? (T)0 : (T)((u64)a << b); }
template <class T> __device__ inline T shifted_right(T a, T b) { return far(b) ? (T)(a < 0 ? -1 : 0) : (T)(a >> b); }
template <class T> __device__ inline T divisor(T a, T b) {
    while (b != 0) { const T rest = remainder_of(a, b); a = b; b = rest; }
    return a < 0 ? 0 - a : a;
}
template <class T> __device__ inline T multiple(T a, T b) {
    if (a == 0 || b == 0) return 0;
    const T y = a / divisor(a, b) * b;
    return y < 0 ? 0 - y : y;
}
"""


def _function(name):
    """A function of CUDA's library; ``name`` is that for double."""
    return lambda d, *xs: f"{name if d == 'float64' else name + 'f'}({', '.join(xs)})"


def _round(d, x, decimals=0):
    if "float" not in d:
        return x if decimals >= 0 else None
    nearest = _function("rint")
    if not decimals:
        return nearest(d, x)
    scale = number(10.0 ** abs(decimals), d)
    up, down = ("*", "/") if decimals > 0 else ("/", "*")
    return f"{nearest(d, f'({x} {up} {scale})')} {down} {scale}"


def _not_nan(pick):
    return lambda d, x, y: f"{x} != {x} ? {y} : {y} != {y} ? {x} : {x} {pick} {y} ? {x} : {y}"


_MORE = {
    **{name: _function(c) for name, c in (
        ("sin", "sin"), ("cos", "cos"), ("tan", "tan"), ("sinh", "sinh"), ("cosh", "cosh"), ("arcsin", "asin"), ("arccos", "acos"),
        ("arctan", "atan"), ("arcsinh", "asinh"), ("arccosh", "acosh"), ("arctanh", "atanh"), ("arctan2", "atan2"), ("log2", "log2"),
        ("log10", "log10"), ("cbrt", "cbrt"))},
    "_root": _function("sqrt"),
    "round": _round,
    "trunc": lambda d, x: _function("trunc")(d, x) if "float" in d else x,
    "bitwise_and": lambda d, x, y: f"{x} & {y}",
    "bitwise_or": lambda d, x, y: f"{x} | {y}",
    "bitwise_xor": lambda d, x, y: f"{x} ^ {y}",
    "bitwise_invert": lambda d, x: f"!{x}" if d == "bool" else f"~{x}",
    "bitwise_left_shift": lambda d, x, y: f"shifted_left<{REGISTER[d]}>({x}, {y})",
    "bitwise_right_shift": lambda d, x, y: f"shifted_right<{REGISTER[d]}>({x}, {y})",
    "ldexp": lambda d, x, y: f"{'ldexp' if d == 'float64' else 'ldexpf'}({x}, (int){y})",
    "gcd": lambda d, x, y: f"divisor<{REGISTER[d]}>({x}, {y})",
    "lcm": lambda d, x, y: f"multiple<{REGISTER[d]}>({x}, {y})",
    "fmax": _not_nan(">"),
    "fmin": _not_nan("<"),
    "isposinf": lambda d, x: f"{x} == {number(math.inf, d)}" if "float" in d else "false",
    "isneginf": lambda d, x: f"{x} == -{number(math.inf, d)}" if "float" in d else "false",
    "isfinite": lambda d, x: expression("isfinite", {}, [d], "bool", [x], "") if "float" in d else "true",
    "isinf": lambda d, x: expression("isinf", {}, [d], "bool", [x], "") if "float" in d else "false",
}  # fmt: skip
_KNOWN = {name for name, align in domain.ALIGNED.items() if align is domain.elements} & STEPS.keys() | _MORE.keys()
_OF_FLOATS = {"_power", "fmod"}  # their C for whole numbers is not what the ops' kernels give


def each(request, code, inputs, y):
    """A launch of ``code``, in which ``v0``... are elements of inputs that broadcast to ``y``, which is dense."""
    strides = [axes.spread(x, y.shape) for x in inputs]
    gaps = {f"at{j}": s for j, s in enumerate(strides) if not inputs[j].view(y.shape, s).dense}
    values = [f"const {REGISTER[x.dtype]} v{j} = get(x{j}[{f'at{j}' if f'at{j}' in gaps else 'i'}]);" for j, x in enumerate(inputs)]
    return axes.each(request, y, "\n".join([*values, f"put(y + i, {rounded(code, y.dtype)});"]), inputs, gaps, more=_SHIFT)


def _kept(x, gone):
    """A shape with 1 for some axes."""
    return tuple(1 if a in gone else n for a, n in enumerate(x.shape))


@candidate(*sorted(_KNOWN))
def single(request):
    """One call by itself."""
    y, name = request.outputs[0], request.op.name
    if not all(b.dtype in MEMORY for b in (*request.inputs, y)) or any(len(x.shape) > len(y.shape) for x in request.inputs):
        return None
    d = request.inputs[0].dtype if request.inputs else y.dtype
    if (name in _OF_FLOATS and "float" not in d) or (name in ("sign", "_slope_of_absolute") and d in ("uint8", "uint32", "bool")):
        return None
    if not y.size:
        return []
    operands = [f"v{j}" for j in range(len(request.inputs))]
    attrs = {key: value for key, value in request.attrs.items() if key not in ("dtype", "shape") and value is not None}
    if name in _MORE:
        code = _MORE[name](d, *operands, **attrs)
    else:
        code = expression(name, attrs, [x.dtype for x in request.inputs], y.dtype, operands, "")
    return None if code is None else [each(request, code, request.inputs, y)]


@candidate("_standardize")
def standardize(request):
    """``x`` less its mean, over the root of its mean square plus epsilon, and that divisor's reciprocal; over any axes."""
    x, (y, slope), attrs = request.inputs[0], request.outputs, request.attrs
    if x.dtype not in ("float32", "float64") or not x.size:
        return None
    gone = {a % len(x.shape) for a in attrs["axes"]}
    t, shape = REGISTER[x.dtype], _kept(x, gone)
    root = "1 / {}({} / (T)count + {})".format("sqrt" if t == "double" else "sqrtf", "acc.squares", number(attrs["epsilon"], x.dtype))
    if not attrs["center"]:
        launches = reduction(request, x, gone, [slope]).launches(MEAN_SQUARE, x.itemsize, f"put(y0 + to, {root});")
        return [*launches, each(request, "v0 * v1", [x, slope.view(shape)], y)]
    mean = request.scratch(slope.size * x.itemsize, shape, x.dtype)
    finish = f"put(y0 + to, {root}); put(y1 + to, acc.pivot + acc.sum / (T)count);"
    launches = reduction(request, x, gone, [slope, mean]).launches(MOMENTS, 4 * x.itemsize, finish)
    return [*launches, each(request, "(v0 - v1) * v2", [x, mean, slope.view(shape)], y)]


@candidate("plain_softmax", "log_softmax", "logsumexp")
def softmax(request):
    """Over any axes: the largest, the sum, then what is made of them."""
    x, y, axis, name = request.inputs[0], request.outputs[0], request.attrs["axis"], request.op.name
    if "float" not in x.dtype or x.dtype not in MEMORY or not x.size:
        return None
    gone = set(range(len(x.shape))) if axis is None else {a % len(x.shape) for a in ([axis] if isinstance(axis, int) else axis)}
    t, shape = REGISTER[x.dtype], _kept(x, gone)
    exp, log = ("exp", "log") if t == "double" else ("expf", "logf")
    wide, nbytes = ("float64", 8) if t == "double" else ("float32", 4)
    found = [request.scratch(math.prod(shape) * nbytes, shape, wide) for _ in range(2)] if name != "logsumexp" else [y]
    total = f"acc.finished() + {log}(acc.sum)" if name == "logsumexp" else "acc.largest"
    finish = f"put(y0 + to, {total});" + ("" if name == "logsumexp" else "put(y1 + to, acc.sum + (acc.largest - acc.largest));")
    text = _SOFTMAX % {"exp": exp, "infinity": f"({t})infinity()"}
    launches = reduction(request, x, gone, found).launches(text, 2 * nbytes, finish)
    code = {"plain_softmax": f"{exp}(v0 - v1) / v2", "log_softmax": f"v0 - v1 - {log}(v2)", "logsumexp": ""}[name]
    return [*launches, each(request, code, [x, *found], y)] if code else launches


_SOFTMAX = """
struct Accumulator {  // sums of exp(x - the largest so far)
    T largest, sum;
    __device__ void start(T = 0) { largest = -%(infinity)s; sum = 0; }
    __device__ void add(const T *v, int m, i64, i64) {
        Accumulator b;
        b.start();
        #pragma unroll
        for (int j = 0; j < EACH; ++j) if (j < m) b.largest = larger(b.largest, v[j]);
        const T from = b.finished();
        #pragma unroll
        for (int j = 0; j < EACH; ++j) if (j < m) b.sum += %(exp)s(v[j] - from);
        merge(b);
    }
    __device__ T finished() const { return largest == %(infinity)s || largest == -%(infinity)s ? (T)0 : largest; }
    __device__ void merge(const Accumulator &b) {
        const T most = larger(largest, b.largest);
        Accumulator a = *this;
        largest = most;
        const T from = finished();
        sum = (a.sum == 0 ? (T)0 : a.sum * %(exp)s(a.finished() - from)) + (b.sum == 0 ? (T)0 : b.sum * %(exp)s(b.finished() - from));
    }
};
"""
