"""Rows looked up by number, their gradient, and other work with class numbers: one-hot vectors, argmax, picking an element a row.

Looking up is copying. The gradient adds rows into a table of zeros that is mostly larger than any cache, so zeroing it is most
of the work: a task owns a range of the table's rows that fits into the second-level cache, zeroes it, looks through all numbers
(a vector at a time) for those in its range, and adds their rows in the order in which they stand. So the sums are the same bits
for any number of threads, and the same as NumPy's.

Numbers out of range never make a kernel leave its buffers: they count as row 0, and raise a flag (``Request.check``).
"""

import math

from kerasish.backend.kernels.candidates import candidate
from kerasish.backend.kernels.copy import pointer_to, runs
from kerasish.backend.kernels.emit import SIZE, Value, f32, f64, i8, i16, i32, i64

_INDICES = {"int32": i32, "int64": i64}
_NUMBERS = {"float32": f32, "float64": f64, "int32": i32}
_BITS = {1: i8, 2: i16, 4: i32, 8: i64}
_AHEAD = 8  # rows whose first cache lines are asked for early
_RANGE = 1 << 19  # bytes of a table that one task fills


# ---- looking up
def emit_take(k, itemsize, index, few=0):
    """``y[i] = table[numbers[i]]``, rows of ``few`` elements, 0: any number. Arguments: table, numbers, y, flag, how many numbers, rows
    of the table, elements between them, elements of a row, numbers for each task."""
    t = _BITS[itemsize]
    table, ids, y, flag = pointer_to(k, 0, t), pointer_to(k, 1, _INDICES[index]), pointer_to(k, 2, t), k.integers(3)
    count, rows, stride, width, each = (k.arg(i, i64) for i in range(4, 9))
    start = k.task * each
    stop = k.minimum(start + each, count)
    if few == 1 and itemsize == 4:
        k.each_vector(start, stop, lambda i, v: v.store(_gathered(k, table, v.load(ids, i), rows, stride, flag), y, i))
        return
    if few:
        with k.range(start, stop) as i:
            source = table + _checked(k, ids[i].to(i64), rows, flag) * stride
            for e in range(few):
                y[i * few + e] = source[e]
        return
    with k.range(start, stop) as i:
        ahead = _safe(ids[k.minimum(i + _AHEAD, stop - 1)].to(i64), rows)
        (table + ahead * stride).prefetch()
        row, source, target = _checked(k, ids[i].to(i64), rows, flag), table, y + i * width
        source = source + row * stride
        runs(k, k.const(0), width, k.lanes * 4 // itemsize, lambda j, m: target.store(source.load(j, m), j))


def _safe(number, rows):
    """A row that exists."""
    k = number.k
    number = k.select(number < 0, number + rows, number)
    return k.select((number < 0) | (number >= rows), k.const(0), number)


def _checked(k, number, rows, flag):
    """A row that exists; the flag is raised where that isn't the one that the number says."""
    row = k.select(number < 0, number + rows, number)
    with k.when((row < 0) | (row >= rows)):
        flag[0], flag[1] = 1, number
    return _safe(number, rows)


def _gathered(k, table, numbers, rows, stride, flag):
    """An element of each of a vector of rows."""
    numbers = numbers.to(i64)
    places = k.select(numbers < 0, numbers + rows, numbers)
    wrong = (places < 0) | (places >= rows)

    def tell(lane):
        flag[0], flag[1] = 1, Value(k, k.builder.extract_element(numbers.ir, lane.ir))

    k.each_bit(wrong, tell)
    return table.gather(k.select(wrong, k.const(0, places.type), places) * stride)


def _out_of_bounds(rows, axis=0):
    return lambda number: IndexError(f"index {number} is out of bounds for axis {axis} with size {rows}")


def _lookup(request):
    table, ids, y = request.inputs[0], request.inputs[1], request.outputs[0]
    if ids.dtype not in _INDICES:
        return None
    if not y.size:
        return [] if table.shape[0] else None
    if not table.view(table.shape[1:], table.strides[1:]).dense or not table.shape[0]:
        return None
    ids, rows, width = request.dense(1), table.shape[0], y.size // ids.size
    each = max(1, (1 << 16) // (width * y.itemsize))
    each = max(each, -(-ids.size // (8 * request.threads)))
    args = [table, ids, y, request.check(_out_of_bounds(rows)), ids.size, rows, table.strides[0], width, each]
    few = width if width <= 4 else 0
    return [request.kernel(emit_take, args, -(-ids.size // each), itemsize=y.itemsize, index=ids.dtype, few=few)]


@candidate("_take")
def _take(request):
    return _lookup(request) if request.attrs["axis"] == 0 else _lookup_behind(request)


def emit_take_behind(k, itemsize, index, width):
    """``y[i, j] = x[i, numbers[j]]`` for pieces of ``width`` elements, 0: any number. Arguments: x, numbers, y, flag, how many
    numbers, rows, pieces of a row of x, elements of a piece, rows for each task."""
    t = _BITS[itemsize]
    x, ids, y, flag = pointer_to(k, 0, t), pointer_to(k, 1, _INDICES[index]), pointer_to(k, 2, t), k.integers(3)
    count, rows, pieces, size, each = (k.arg(i, i64) for i in range(4, 9))
    size = k.const(width) if width else size
    with k.range(k.task * each, k.minimum(k.task * each + each, rows)) as i:
        source, target = x + i * pieces * size, y + i * count * size

        def one(j, source=source, target=target):
            piece, place = source + _checked(k, ids[j].to(i64), pieces, flag) * size, target + j * size
            if width:
                for e in range(width):
                    place[e] = piece[e]
            else:
                runs(k, k.const(0), size, k.lanes * 4 // itemsize, lambda e, m: place.store(piece.load(e, m), e))

        with k.range(count) as j:
            one(j)


def _lookup_behind(request):
    x, ids, y, axis = *request.inputs, request.outputs[0], request.attrs["axis"]
    if ids.dtype not in _INDICES or not y.size or not x.size:
        return None
    rows, pieces, size = math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])
    each, tasks = _row_tasks(request, rows, y.size * y.itemsize)
    args = [request.dense(0), request.dense(1), y, request.check(_out_of_bounds(pieces, axis)), ids.size, rows, pieces, size, each]
    return [request.kernel(emit_take_behind, args, tasks, itemsize=y.itemsize, index=ids.dtype, width=size if size <= 4 else 0)]


def _first_axis_only(key):
    """Whether a key of the form ``x[numbers, ...]`` with whole axes behind."""
    return repr(key[0]) == "ARRAY" and all(item is Ellipsis or item == slice(None) for item in key[1:])


@candidate("_get_item")
def _get_rows(request):
    return _lookup(request) if len(request.inputs) == 2 and _first_axis_only(request.attrs["key"]) else None


# ---- the gradient
_COMBINE = {
    "add": lambda k, a, b: a + b,
    "multiply": lambda k, a, b: a * b,
    "maximum": lambda k, a, b: k.maximum(a, b),
    "minimum": lambda k, a, b: k.minimum(a, b),
    "put": lambda k, a, b: b,
}


def _neutral(kind, t):
    """What leaves every number as it is."""
    if kind in ("add", "multiply"):
        return int(kind == "multiply")
    sign = -1 if kind == "maximum" else 1
    return sign * math.inf if t is not i32 else -(2**31) if sign < 0 else 2**31 - 1


def emit_add_rows(k, element, index, kind="add", checked=True):
    """Zeros, with ``values[i]`` added to row ``numbers[i]``, or what else ``kind`` says ("put": other rows, with these in their place);
    a task does a range of rows. Numbers out of range raise the flag where ``checked``, else they are left out, also negative ones.
    Arguments: values, numbers, y, flag, how many numbers, rows of y, elements of a row, rows for each task, and the other rows."""
    t = _NUMBERS[element]
    values, ids, y, flag = pointer_to(k, 0, t), pointer_to(k, 1, _INDICES[index]), pointer_to(k, 2, t), k.integers(3)
    count, rows, width, each = (k.arg(i, i64) for i in range(4, 8))
    start, step = k.task * each, k.lanes * 4 // SIZE[t]
    stop = k.minimum(start + each, rows)
    if kind == "put":
        before = pointer_to(k, 8, t)
        runs(k, start * width, stop * width, step, lambda j, m: y.store(before.load(j, m), j))
    else:
        neutral = k.vector(_neutral(kind, t), t, step)
        runs(k, start * width, stop * width, step, lambda j, m: y.store(k.shuffle(neutral, neutral, range(m)), j))
    existing = (lambda row: k.select(row < 0, row + rows, row)) if checked else lambda row: row

    def add(place):
        target, source = y + existing(ids[place].to(i64)) * width, values + place * width
        runs(k, k.const(0), width, step, lambda j, m: target.store(_COMBINE[kind](k, target.load(j, m), source.load(j, m)), j))

    def report(place):
        flag[0], flag[1] = 1, ids[place].to(i64)

    def look(place, v):
        row = existing(v.load(ids, place).to(i64))
        exists = k.mask(count - place)
        if checked:
            with k.when(k.task.equals(0)):
                k.each_bit(exists & ((row < 0) | (row >= rows)), lambda lane: report(place + lane))
        k.each_bit(exists & (row >= start) & (row < stop), lambda lane: add(place + lane))

    k.each_vector(0, count, look)


def _added(request, kind="add", checked=True, places=(0, 1), more=()):
    (values, ids), y = (request.inputs[i] for i in places), request.outputs[0]
    if ids.dtype not in _INDICES or values.dtype not in _NUMBERS or not y.size:
        return None
    rows, width = y.shape[0], y.size // y.shape[0]
    busy = min(3 * request.threads, values.size * values.itemsize >> 16)
    each = -(-rows // max(1, y.size * y.itemsize // _RANGE, busy))
    if values.size != ids.size * width:  # broadcast
        return None
    flag = request.check(_out_of_bounds(rows)) if checked else 0
    args = [*map(request.dense, places), y, flag, ids.size, rows, width, each, *more]
    return [request.kernel(emit_add_rows, args, -(-rows // each), element=y.dtype, index=ids.dtype, kind=kind, checked=checked)]


@candidate("_segment")
def _segment(request):
    return _added(request, request.attrs["kind"], checked=False)


@candidate("_add_at")
def _add_at(request):
    return _added(request) if request.attrs["axis"] == 0 else None


@candidate("_set")
def _set_rows(request):
    if len(request.inputs) != 3 or not _first_axis_only(request.attrs["key"]) or request.inputs[0].dtype != request.inputs[1].dtype:
        return None
    return _added(request, "put", places=(1, 2), more=[request.dense(0)])


@candidate("_put")
def _put_rows(request):
    return _added(request) if len(request.inputs) == 2 and _first_axis_only(request.attrs["key"]) else None


# ---- class numbers
def _row_tasks(request, rows, nbytes):
    """How many rows for each task, and how many tasks."""
    tasks = max(1, min(nbytes >> 16, 4 * request.threads, rows))
    each = -(-rows // tasks)
    return each, -(-rows // each)


def emit_one_hot(k, element, index, scaled):
    """``y[i, c]`` is ``values[i] * (numbers[i] == c)``, or without values 1 there. Arguments: numbers, values, y, how many
    numbers, classes, numbers for each task."""
    t, n = _NUMBERS[element], k.lanes
    ids, values, y = pointer_to(k, 0, _INDICES[index]), pointer_to(k, 1, t), pointer_to(k, 2, t)
    count, classes, each = (k.arg(i, i64) for i in range(3, 6))
    with k.range(k.task * each, k.minimum(k.task * each + each, count)) as i:
        number, value = ids[i].to(i64), values[i] if scaled else k.const(1, t)
        row = y + i * classes

        def put(c, v):
            hit = (k.iota(n) + c).equals(number).to(t)
            v.store(hit * value, row, c)

        k.each_vector(0, classes, put)


def _one_hot_rows(request, ids, values, classes):
    y = request.outputs[0]
    if ids.dtype not in _INDICES or y.dtype not in _NUMBERS or (values is not None and values.dtype != y.dtype):
        return None
    if not y.size:
        return []
    each, tasks = _row_tasks(request, ids.size, y.size * y.itemsize)
    options = {"element": y.dtype, "index": ids.dtype, "scaled": values is not None}
    return [request.kernel(emit_one_hot, [ids, y if values is None else values, y, ids.size, classes, each], tasks, **options)]


def _is_last(axis, ndim):
    return axis in (-1, ndim - 1)


@candidate("_one_hot")
def _one_hot(request):
    y = request.outputs[0]
    if not _is_last(request.attrs["axis"], len(y.shape)) or request.attrs["sparse"]:
        return None
    return _one_hot_rows(request, request.dense(0), None, y.shape[-1])


@candidate("_put_at")
def _put_at(request):
    y = request.outputs[0]
    if not _is_last(request.attrs["axis"], len(y.shape)):
        return None
    return _one_hot_rows(request, request.dense(0), request.dense(1), y.shape[-1])


def emit_pick(k, element, index, checked):
    """``y[i, j] = x[i, numbers[i, j]]``: ``checked``, a number out of range raises the flag; else it gives ``x[i, 0] * 0``.
    Arguments: numbers, x, y, flag, rows, elements between them, elements of a row, elements between them, numbers for each row,
    rows for each task."""
    t = _NUMBERS[element]
    ids, x, y, flag = pointer_to(k, 0, _INDICES[index]), pointer_to(k, 1, t), pointer_to(k, 2, t), k.integers(3)
    rows, row_stride, classes, stride, picks, each = (k.arg(i, i64) for i in range(4, 10))
    with k.range(k.task * each, k.minimum(k.task * each + each, rows)) as i, k.range(picks) as j:
        number = ids[i * picks + j].to(i64)
        if checked:
            y[i * picks + j] = x[i * row_stride + _checked(k, number, classes, flag) * stride]
        else:
            valid = (number >= 0) & (number < classes)
            y[i * picks + j] = x[i * row_stride + k.select(valid, number, k.const(0)) * stride] * valid.to(t)


def _picked(request, ids, x, checked):
    """Elements of the last axis of ``x``, whose other axes are those of the numbers."""
    y = request.outputs[0]
    if ids.dtype not in _INDICES or x.dtype not in _NUMBERS or x.dtype != y.dtype or not x.size or not y.size:
        return None
    if len(x.shape) != 2 and not x.dense:
        return None
    rows, classes = x.size // x.shape[-1], x.shape[-1]
    row_stride = x.strides[0] if len(x.shape) == 2 else classes
    each, tasks = _row_tasks(request, rows, 16 * y.size)
    flag = request.check(_out_of_bounds(classes, len(x.shape) - 1)) if checked else 0
    args = [ids, x, y, flag, rows, row_stride, classes, x.strides[-1], y.size // rows, each]
    return [request.kernel(emit_pick, args, tasks, element=x.dtype, index=ids.dtype, checked=checked)]


@candidate("_pick_at")
def _pick_at(request):
    x = request.inputs[1]
    return _picked(request, request.dense(0), x, False) if _is_last(request.attrs["axis"], len(x.shape)) else None


@candidate("_take_along")
def _take_along(request):
    x, ids = request.inputs
    if not _is_last(request.attrs["axis"], len(x.shape)) or x.shape[:-1] != ids.shape[:-1]:
        return None
    return _picked(request, request.dense(1), x, True)


def emit_add_along(k, element, index):
    """Zeros with ``values[i, j]`` added at ``y[i, numbers[i, j]]``. Arguments: values, numbers, y, flag, rows, elements of a row,
    values for each row, rows for each task."""
    t, n = _NUMBERS[element], k.lanes
    values, ids, y, flag = pointer_to(k, 0, t), pointer_to(k, 1, _INDICES[index]), pointer_to(k, 2, t), k.integers(3)
    rows, classes, picks, each = (k.arg(i, i64) for i in range(4, 8))
    with k.range(k.task * each, k.minimum(k.task * each + each, rows)) as i:
        row = y + i * classes
        k.each_vector(0, classes, lambda c, v: v.store(k.vector(0, t, n), row, c))
        with k.range(i * picks, i * picks + picks) as j:
            at = _checked(k, ids[j].to(i64), classes, flag)
            row[at] = row[at] + values[j]


@candidate("_add_along")
def _add_along(request):
    (values, ids), y = request.inputs, request.outputs[0]
    if not _is_last(request.attrs["axis"], len(y.shape)) or ids.dtype not in _INDICES or values.dtype not in _NUMBERS:
        return None
    if values.shape != ids.shape or ids.shape[:-1] != y.shape[:-1] or not y.size or not ids.size:
        return None
    rows, classes = y.size // y.shape[-1], y.shape[-1]
    each, tasks = _row_tasks(request, rows, (y.size + ids.size) * y.itemsize)
    flag = request.check(_out_of_bounds(classes, len(y.shape) - 1))
    args = [request.dense(0), request.dense(1), y, flag, rows, classes, ids.shape[-1], each]
    return [request.kernel(emit_add_along, args, tasks, element=y.dtype, index=ids.dtype)]


def emit_in_range(k, element, index):
    """``y[i]``: whether ``0 <= numbers[i] < classes``, as 0 or 1. Arguments: numbers, y, how many, classes, numbers a task."""
    ids, y = pointer_to(k, 0, _INDICES[index]), pointer_to(k, 1, _NUMBERS[element])
    count, classes, each = (k.arg(i, i64) for i in range(2, 5))

    def body(i, v):
        number = v.load(ids, i).to(i64)
        v.store(((number >= 0) & (number < classes)).to(y.element), y, i)

    k.each_vector(k.task * each, k.minimum(k.task * each + each, count), body)


@candidate("_in_range")
def _in_range(request):
    ids, x, y = *request.inputs, request.outputs[0]
    if ids.dtype not in _INDICES or y.dtype not in _NUMBERS:
        return None
    each, tasks = _row_tasks(request, max(1, ids.size), y.size * y.itemsize)
    args = [request.dense(0), y, ids.size, x.shape[request.attrs["axis"]], each]
    return [request.kernel(emit_in_range, args, tasks, element=y.dtype, index=ids.dtype)]


# ---- the place of the largest
def emit_argmax(k, element, largest):
    """The place of the largest (or smallest) element of each row, the first of equal ones, NaN above all. Arguments: x, y, rows,
    elements of a row, rows for each task."""
    t, n = _NUMBERS[element], k.lanes
    x, y = pointer_to(k, 0, t), k.arg(1, i32)
    rows, width, each = (k.arg(i, i64) for i in range(2, 5))
    worst = {i32: -(2**31) if largest else 2**31 - 1}.get(t, float("-inf" if largest else "inf"))

    def beats(a, b):
        """Whether ``a`` is to be preferred wherever it stands: neither is where both are NaN."""
        if t is i32:
            return a > b if largest else a < b
        return (a <= b if largest else a >= b).invert() & b.equals(b)

    def better(a, b):
        (a, at), (b, bt) = a, b
        tie = beats(a, b).invert() & beats(b, a).invert() & (at < bt)
        first = beats(a, b) | tie
        return k.select(first, a, b), k.select(first, at, bt)

    with k.range(k.task * each, k.minimum(k.task * each + each, rows)) as i:
        row = x + i * width
        best, place = k.var(k.vector(worst, t, n)), k.var(k.vector(2**31 - 1, i32, n))

        def look(j, v):
            value, at = v.load(row, j), k.iota(n, i32) + j.to(i32)
            wins = beats(value, best.value) | place.value.equals(2**31 - 1)
            if v.mask is not None:
                wins = wins & v.mask
            best.value = k.select(wins, value, best.value)
            place.value = k.select(wins, at, place.value)

        k.each_vector(0, width, look)
        pair, m = (best.value, place.value), n
        while m > 1:
            m //= 2
            low, high = ([k.shuffle(v, v, range(a, a + m)) for v in pair] for a in (0, m))
            pair = better(low, high)
        y[i] = pair[1].lane(0)


@candidate("argmax", "argmin")
def _argmax(request):
    x, y, axis = request.inputs[0], request.outputs[0], request.attrs["axis"]
    if x.dtype not in _NUMBERS or not x.size or not (axis is None or _is_last(axis, len(x.shape))) or not x.shape:
        return None
    width = x.size if axis is None else x.shape[-1]
    if width >= 2**31 - 1:
        return None
    each, tasks = _row_tasks(request, x.size // width, x.size * x.itemsize)
    args = [request.dense(0), y, x.size // width, width, each]
    return [request.kernel(emit_argmax, args, tasks, element=x.dtype, largest=request.op.name == "argmax")]
