"""Looking up, putting in, padding, searching."""

import numpy as np

from kerasish.backend.autodiff.shapes import normalize_axis
from kerasish.export.graph import CannotExport, Value, onnx
from kerasish.ops.indexing import ARRAY, _source, _written_out
from kerasish.ops.sizes import Size


# ---- brackets
@onnx("_get_item")
def get_item(g, x, *indices, key):
    items = _written_out(key, x.ndim)
    if any(type(item) is bool for item in items):
        raise CannotExport("a bool in an index has no ONNX form")
    axes = iter(range(x.ndim))
    of_axis = {next(axes): item for item in items if item is not None}
    x = _sliced(g, x, {a: item for a, item in of_axis.items() if isinstance(item, slice)})
    picked = [a for a, item in of_axis.items() if not isinstance(item, slice)]
    if not indices:
        for a in picked:
            x = g.slice(x, a, of_axis[a], None if of_axis[a] == -1 else of_axis[a] + 1)
        x, front = g.squeeze(x, *picked), None
    else:
        places = [i for i, item in enumerate(items) if item is not None and not isinstance(item, slice)]
        together = places[-1] - places[0] + 1 == len(places)
        x, front = _gathered(g, x, indices, {a: of_axis[a] for a in picked}, together), together
    return g.unsqueeze(x, *_new_axes(items, indices, front))


def _sliced(g, x, slices):
    """All slices at once."""
    slices = {a: s for a, s in slices.items() if s != slice(None)}
    if not slices:
        return x
    last = np.iinfo("int64").max
    steps = [1 if s.step is None else s.step for s in slices.values()]
    starts = [s.start if s.start is not None else 0 if step > 0 else last for s, step in zip(slices.values(), steps, strict=True)]
    stops = [s.stop if s.stop is not None else last if step > 0 else -last for s, step in zip(slices.values(), steps, strict=True)]
    return Value(g.Slice(x, g.shape(starts), g.shape(stops), g.int64(*slices), g.int64(*steps)), x.shape, x.dtype)


def _gathered(g, x, indices, items, together):
    """The elements at the indices, whose axes stand where the first indexed axis stood, or in front."""
    axes = list(items)
    indices = iter(indices)
    indices = [next(indices) if item is ARRAY else g.constant(item, "int64") for item in items.values()]
    indices = [g.cast(i, "int64") for i in indices]
    if len(axes) == 1:
        return Value(g.Gather(x, indices[0], axis=axes[0]), None, x.dtype)
    rest = [a for a in range(x.ndim) if a not in axes]
    total = indices[0]
    for i in indices[1:]:
        total = g.Add(total, g.Mul(i, 0))  # of the common shape
    shape = g.Shape(total)
    stacked = g.Concat(*[g.unsqueeze(g.Expand(i, shape), -1) for i in indices], axis=-1)
    y = g.GatherND(g.transpose(x, [*axes, *rest]), stacked)
    if together and axes[0] > 0:
        n = len(g.outputs[0].shape) - sum(item is None for item in g.call.attrs["key"]) - len(rest)
        order = [*range(n, n + axes[0]), *range(n), *range(n + axes[0], n + len(rest))]
        y = g.transpose(y, order)
    return y


def _new_axes(items, indices, together):
    """Where, in the result, the axes for None lie."""
    out, at, new = [], None, []
    for item in items:
        if item is None:
            new.append(len(out))
            out.append(None)
        elif isinstance(item, slice):
            out.append(item)
        elif indices and at is None:
            at = len(out)
    if at is None:
        return new
    rank = max(i.ndim for i in indices)
    return [i + (rank if not together or i >= at else 0) for i in new]


@onnx("_take")
def take(g, x, indices, axis):
    return g.Gather(x, _places(g, indices), axis=normalize_axis(axis, x.ndim))


def _places(g, indices):
    return indices if indices.dtype in ("int32", "int64") else g.cast(indices, "int64")


@onnx("_take_along")
def take_along(g, x, indices, axis):
    axis = normalize_axis(axis, x.ndim)
    out = g.outputs[0].shape
    x = g.expand(x, [n if i != axis else x.shape[i] for i, n in enumerate(out)])
    return g.GatherElements(x, g.expand(_places(g, indices), out), axis=axis)


# ---- putting in
def _scattered(g, x, updates, places, rest, reduction=None):
    """``updates`` at the coordinates, in or with what is there."""
    lead = g.outputs[0].shape[: len(places)]
    places = [g.where(g.Less(p, 0), g.Add(p, g.scalar(n)), p) for p, n in zip((g.cast(p, "int64") for p in places), lead, strict=True)]
    shape = g.Shape(places[0])
    updates = g.Expand(updates, g.Concat(shape, g.shape(rest), axis=0) if rest else shape)
    at = g.Concat(*[g.unsqueeze(p, -1) for p in places], axis=-1)
    return g.ScatterND(x, at, updates, reduction=reduction)


def _check_key(key):
    if any(item is not ARRAY and item != slice(None) for item in key):
        raise CannotExport("what is put at slices has no ONNX form")


@onnx("_set")
def set_at(g, x, updates, *places, key):
    _check_key(key)
    return _scattered(g, x, updates, places, x.shape[len(places) :])


@onnx("_put")
def put(g, updates, *places, shape, key):
    _check_key(key)
    zeros = g.Expand(g.constant(0, updates.dtype), g.shape(shape))
    return _scattered(g, zeros, updates, places, shape[len(places) :], "add")


@onnx("_flat_ids")
def flat_ids(g, x, *places):
    ids = None
    for place, n in zip(places, x.shape, strict=False):
        place, n = g.cast(place, "int64"), g.scalar(n)
        place = g.where(g.Less(place, 0), g.Add(place, n), place)
        ids = place if ids is None else g.Add(g.Mul(ids, n), place)
    return ids


_KINDS = {"add": ("add", 0), "multiply": ("mul", 1), "maximum": ("max", None), "minimum": ("min", None)}


@onnx("_segment")
def segment(g, data, ids, num_segments, kind):
    reduction, start = _KINDS[kind]
    if start is None:
        info = np.iinfo(data.dtype) if "int" in data.dtype else None
        start = (info.min if kind == "maximum" else info.max) if info else (-np.inf if kind == "maximum" else np.inf)
    rest, ids = list(data.shape[1:]), g.cast(ids, "int64")
    n = g.scalar(num_segments)
    outside = g.Or(g.Less(ids, 0), g.GreaterOrEqual(ids, n))
    empty = g.Expand(g.constant(start, data.dtype), g.shape([num_segments + 1, *rest]))
    y = g.ScatterND(empty, g.unsqueeze(g.where(outside, n, ids), 1), data, reduction=reduction)
    return g.slice(y, 0, None, -1)


# ---- slices that begin where a tensor says
def _starts(g, start, shape):
    start = g.cast(start, "int64")
    return g.where(g.Less(start, 0), g.Add(start, g.shape(shape)), start)


@onnx("_differences")
def differences(g, x, axis):
    return g.Sub(g.slice(x, axis, 1, None), g.slice(x, axis, None, -1))


@onnx("_slice")
def slice_at(g, x, start, sizes):
    start = _starts(g, start, x.shape)
    return g.Slice(x, start, g.Add(start, g.shape(sizes)))


@onnx("_slice_update")
def slice_update(g, x, start, updates):
    start, at = _starts(g, start, x.shape), []
    for axis, n in enumerate(updates.shape):
        here = g.Add(g.range(n), g.Gather(start, g.constant(axis, "int64")))
        here = g.reshape(here, [n if i == axis else 1 for i in range(x.ndim)])
        at.append(g.unsqueeze(g.Expand(here, g.shape(updates.shape)), -1))
    return g.ScatterND(x, g.Concat(*at, axis=-1), updates)


# ---- padding
@onnx("_pad_constant")
def pad_constant(g, x, widths, value):
    return g.Pad(x, g.shape([*(before for before, _ in widths), *(after for _, after in widths)]), g.constant(value, x.dtype))


@onnx("_pad_repeat")
def pad_repeat(g, x, axis, before, after, mode):
    n = x.shape[axis]
    if not isinstance(n, Size):
        return g.Gather(x, g.constant(_source(n, before, after, mode), "int64"), axis=axis)
    if mode == "symmetric":
        parts = [g.slice(g.slice(x, axis, None, before), axis, None, None, -1)] if before else []
        parts += [x, *([g.slice(x, axis, None, -after - 1, -1)] if after else [])]
        return g.Concat(*parts, axis=axis)
    pads = [0] * (2 * x.ndim)
    pads[axis], pads[axis + x.ndim] = before, after
    return g.Pad(x, g.int64(*pads), mode=mode)


# ---- searching
@onnx("in_top_k")
def in_top_k(g, targets, predictions, k):
    n = predictions.shape[-1]
    targets = g.cast(targets, "int64")
    classes = g.unsqueeze(g.range(n), 0)
    here = g.Equal(g.unsqueeze(targets, 1), classes)
    low = g.constant(-np.inf, predictions.dtype)
    of_target = g.reduce("Max", g.where(here, predictions, low), [1], keepdims=True)
    of_target = g.where(g.IsNaN(of_target), low, of_target)
    higher = g.reduce("Sum", g.cast(g.Greater(predictions, of_target), "int32"), [1])
    return g.Less(higher, k)


def _counted(g, found):
    return g.reduce("Sum", g.cast(found, "int32"), [-1])


@onnx("searchsorted")
def searchsorted(g, sorted_sequence, values, side):
    values = g.unsqueeze(values, values.ndim)
    return _counted(g, (g.Less if side == "left" else g.LessOrEqual)(sorted_sequence, values))


@onnx("digitize")
def digitize(g, x, bins):
    known = g.root.constants.get(bins)
    falling = known is not None and len(known) > 1 and known[0] > known[-1]
    dtype = g.outputs and (x.dtype if "float" in x.dtype else bins.dtype)
    x, bins = g.unsqueeze(g.cast(x, dtype), x.ndim), g.cast(bins, dtype)
    return _counted(g, (g.Greater if falling else g.LessOrEqual)(bins, x))


@onnx("isin")
def isin(g, x1, x2, assume_unique, invert):
    x1, x2 = g.wide(x1), g.wide(x2)
    equal = g.Equal(g.unsqueeze(x1, len(g.outputs[0].shape)), g.Reshape(x2, g.int64(-1)))
    found = g.cast(g.reduce("Max", g.cast(equal, "int32"), [-1]), "bool")
    return g.Not(found) if invert else found


@onnx("_unravel_index")
def unravel_index(g, indices, sizes):
    left, out = g.cast(indices, "int64"), []
    for n in reversed(sizes):
        out.append(g.Mod(left, g.scalar(n)))
        left = g.Div(g.Sub(left, out[-1]), g.scalar(n))
    return tuple(g.cast(part, indices.dtype) for part in reversed(out))
