"""Sums, means, maxima and the like, and what runs along an axis."""

from kerasish.backend.autodiff.shapes import normalize_axes, normalize_axis
from kerasish.export.graph import Value, onnx


def _axes(x, axis):
    return normalize_axes(axis, x.ndim)


def _reduction(kind):
    def convert(g, x, axis, keepdims, **more):
        return g.cast(g.reduce(kind, g.wide(x), _axes(x, axis), keepdims), g.outputs[0].dtype)

    return convert


onnx("sum")(_reduction("Sum"))
onnx("prod")(_reduction("Prod"))


@onnx("mean")
def mean(g, x, axis, keepdims):
    return g.reduce("Mean", x, _axes(x, axis), keepdims)


def _extreme(kind, combine):
    def convert(g, x, axis, keepdims, initial):
        y = g.reduce(kind, g.wide(x), _axes(x, axis), keepdims)
        if initial is not None:
            y = getattr(g, combine)(y, initial)
        return g.cast(y, x.dtype)

    return convert


onnx("max")(_extreme("Max", "Max"))
onnx("min")(_extreme("Min", "Min"))


@onnx("var")
def var(g, x, axis, keepdims):
    axes = _axes(x, axis)
    apart = g.Sub(x, g.reduce("Mean", x, axes, keepdims=True))
    return g.reduce("Mean", g.Mul(apart, apart), axes, keepdims)


def _quantifier(kind):
    def convert(g, x, axis, keepdims):
        return g.cast(g.reduce(kind, g.cast(g.cast(x, "bool"), "int32"), _axes(x, axis), keepdims), "bool")

    return convert


onnx("any")(_quantifier("Max"))
onnx("all")(_quantifier("Min"))


@onnx("count_nonzero")
def count_nonzero(g, x, axis):
    return g.reduce("Sum", g.cast(g.cast(x, "bool"), "int32"), _axes(x, axis))


def _place(kind):
    def convert(g, x, axis, keepdims):
        y = g.wide(x)
        if axis is None:
            y = getattr(g, f"Arg{kind}")(g.Reshape(y, g.int64(-1)), axis=0, keepdims=0)
            y = g.reshape(y, g.outputs[0].shape) if keepdims else y
        else:
            y = getattr(g, f"Arg{kind}")(y, axis=normalize_axis(axis, x.ndim), keepdims=int(keepdims))
        return g.cast(y, "int32")

    return convert


onnx("argmax")(_place("Max"))
onnx("argmin")(_place("Min"))


@onnx("logsumexp")
def logsumexp(g, x, axis, keepdims):
    axes = _axes(x, axis)
    highest = g.reduce("Max", x, axes, keepdims=True)
    highest = g.where(g.Or(g.IsInf(highest), g.IsNaN(highest)), 0, highest)
    y = g.Add(g.Log(g.reduce("Sum", g.Exp(g.Sub(x, highest)), axes, keepdims=True)), highest)
    return y if keepdims else g.squeeze(y, *axes)


@onnx("spread")
def spread(g, x, shape, axis, keepdims):
    if not keepdims:
        axes = normalize_axes(axis, len(shape))
        x = g.reshape(x, [1 if i in axes else n for i, n in enumerate(shape)])
    return g.expand(x, shape)


# ---- along an axis
@onnx("_cumsum")
def cumsum(g, x, axis, reverse, dtype):
    y = g.wide(x)
    return g.cast(g.CumSum(y, g.constant(normalize_axis(axis, x.ndim), "int64"), reverse=int(reverse)), g.outputs[0].dtype)


def along(g, axis, inputs, step, reverse=False):
    """``step(g, before, *slices) -> after`` along an axis, from zeros (or what ``step.start`` says), as a Scan."""
    body, (first, *_) = g.inner(), inputs
    rest = [n for i, n in enumerate(first.shape) if i != axis]
    names = [body.name(f"{g.path}/scan_{i}") for i in range(len(inputs) + 1)]
    before, *slices = (Value(name, tuple(rest), first.dtype) for name in names)
    body.inputs = [before, *slices]
    after = step(body, before, *slices)
    body.results = [after, body.Identity(after)]
    start = g.Expand(g.constant(step.start, first.dtype), g.shape(rest)) if rest else g.constant(step.start, first.dtype)
    n, directions = len(inputs), [int(reverse)]
    _, y = g.Scan(
        start, *inputs, outputs=2, dtype=first.dtype, body=body, num_scan_inputs=n, scan_input_axes=[axis] * n,
        scan_input_directions=directions * n, scan_output_axes=[axis], scan_output_directions=directions,
    )  # fmt: skip
    return y


def _times(g, before, x):
    return g.Mul(before, x)


_times.start = 1  # type: ignore[attr-defined]


@onnx("_cumprod")
def cumprod(g, x, axis, dtype):
    return g.cast(along(g, normalize_axis(axis, x.ndim), [g.wide(x)], _times), g.outputs[0].dtype)


def _decayed(g, before, b, a):
    return g.Add(b, g.Mul(a, before))


_decayed.start = 0  # type: ignore[attr-defined]


@onnx("_recurrence")
def recurrence(g, b, a, axis, reverse):
    return along(g, normalize_axis(axis, b.ndim), [b, g.expand(a, b.shape)], _decayed, reverse)


@onnx("_shift")
def shift(g, x, axis, by, fill):
    axis = normalize_axis(axis, x.ndim)
    kept = g.slice(x, axis, None, -1) if by > 0 else g.slice(x, axis, 1, None)
    pads = [0] * (2 * x.ndim)
    pads[axis if by > 0 else axis + x.ndim] = 1
    return g.Pad(kept, g.int64(*pads), g.constant(fill, x.dtype))


# ---- order
def ordered(g, x, axis, largest=False, k=None):
    """The elements along an axis in order, and their places; of equals the first one first."""
    axis = normalize_axis(axis, x.ndim)
    y = g.wide(x)
    values, places = g.TopK(y, g.size(x.shape[axis] if k is None else k), axis=axis, largest=int(largest), outputs=2)
    return g.cast(values, x.dtype), g.cast(Value(places, None, "int64"), "int32")


@onnx("_order")
def order(g, x):
    return ordered(g, x, -1)[1]


@onnx("_argsort", "_argpartition")
def argsort(g, x, axis, kth=None):
    return ordered(g, x, axis)[1]


@onnx("_sort")
def sort(g, x, axis):
    return ordered(g, x, axis)[0]


@onnx("_top_indices")
def top_indices(g, x, k):
    return ordered(g, x, -1, largest=True, k=k)[1]


@onnx("_pick")
def pick(g, x, index):
    return g.GatherElements(x, index, axis=-1)
