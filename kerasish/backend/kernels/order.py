"""The largest elements of rows, places in a sorted sequence, and running sums.

The k largest of a row are kept sorted in a small list. A vector of elements is compared at once with the least of them, and of
random numbers hardly any gets past it: the row is read once, at the speed of memory. Floats are compared as integers that have
their order, with NaN above all, as NumPy sorts them.

Searches by halves take equally many steps for all values, so several go on at once, and wait for memory together.

A running sum adds a vector's lanes in log2(lanes) steps, each lane to that one, two, four... further on; what hangs on the vector
before is one addition.
"""

from kerasish.backend.kernels.candidates import candidate
from kerasish.backend.kernels.copy import pointer_to
from kerasish.backend.kernels.emit import SIZE, f32, f64, i32, i64

_FLOATS = {"float32": f32, "float64": f64}
_LEAST = -(2**31)  # below the key of every number
_MOST_KEPT = 128
_TOGETHER = 8  # searches at once


def _row_tasks(request, rows, nbytes):
    tasks = max(1, min(nbytes >> 15, 4 * request.threads, rows))
    each = -(-rows // tasks)
    return each, -(-rows // each)


# ---- the largest
def _key(k, x):
    """An integer that is larger for larger floats; zeros are equal, NaN is above all."""
    bits = (x + 0.0).bits(i32)
    return k.select(x.differs(x), k.const(2**31 - 1, bits.type), k.select(bits < 0, bits ^ (2**31 - 1), bits))


def emit_top_k(k):
    """Places of the ``count`` largest elements of each row, largest first, the first of equals first. Arguments: x, places, rows,
    elements of a row, count, rows for each task."""
    x, y, n = k.arg(0, f32), k.arg(1, i32), k.lanes
    rows, width, count, each = (k.arg(i, i64) for i in range(2, 6))
    keys, places = k.local(i32, _MOST_KEPT), k.local(i32, _MOST_KEPT)
    with k.range(k.task * each, k.minimum(k.task * each + each, rows)) as row:
        source = x + row * width
        k.each_vector(0, count, lambda i, v: v.store(k.vector(_LEAST, i32), keys, i))
        least = k.var(k.const(_LEAST, i32))

        def put(place, source=source, least=least):
            key = _key(k, source[place])
            with k.when(key > least.value):
                at = k.var(count - 1)
                with k.repeat_while(lambda: (at.value > 0) & (keys[k.maximum(at.value - 1, 0)] < key)):
                    keys[at.value], places[at.value] = keys[at.value - 1], places[at.value - 1]
                    at.value = at.value - 1
                keys[at.value], places[at.value] = key, place.to(i32)
                least.value = keys[count - 1]

        def look(i, v, source=source, least=least):
            larger = _key(k, v.load(source, i)) > least.value.splat(n)
            k.each_bit(larger if v.mask is None else larger & v.mask, lambda lane: put(i + lane))

        k.each_vector(0, width, look)
        k.each_vector(0, count, lambda i, v, row=row: v.store(v.load(places, i), y, row * count + i))


@candidate("_top_indices")
def _top_indices(request):
    x, y = request.inputs[0], request.outputs[0]
    if x.dtype != "float32" or not y.size or y.shape[-1] > min(_MOST_KEPT, x.shape[-1] // 2) or x.shape[-1] >= 2**31:
        return None
    rows, width = x.size // x.shape[-1], x.shape[-1]
    each, tasks = _row_tasks(request, rows, x.size * x.itemsize)
    return [request.kernel(emit_top_k, [request.dense(0), y, rows, width, y.shape[-1], each], tasks)]


# ---- searching
def emit_search(k, element, right):
    """Before how many elements of a sorted sequence, or ``right`` behind equal ones, each value belongs; NaN behind all numbers.
    Arguments: sequence, values, y, length of the sequence (not 0), how many values, values for each task."""
    t = _FLOATS[element]
    sequence, values, y = pointer_to(k, 0, t), pointer_to(k, 1, t), k.arg(2, i32)
    length, count, each = (k.arg(i, i64) for i in range(3, 6))
    start = k.task * each
    stop = k.minimum(start + each, count)

    def search(places):
        wanted = [values[place] for place in places]
        begin, left = [k.var(k.const(0)) for _ in places], k.var(length)

        def step(half):
            for value, first in zip(wanted, begin, strict=True):
                there = sequence[first.value + half - 1]
                if right:
                    beyond = (there <= value) | value.differs(value)
                else:
                    beyond = (there < value) | (value.differs(value) & there.equals(there))
                first.value = first.value + k.select(beyond, half, k.const(0))

        with k.repeat_while(lambda: left.value > 1):
            half = left.value.halved()
            step(half)
            left.value = left.value - half
        step(k.const(1))
        for place, first in zip(places, begin, strict=True):
            y[place] = first.value.to(i32)

    whole = (stop - start) / _TOGETHER * _TOGETHER + start
    with k.range(start, whole, _TOGETHER) as i:
        search([i + j for j in range(_TOGETHER)])
    with k.range(whole, stop) as i:
        search([i])


@candidate("searchsorted")
def _searchsorted(request):
    sequence, values = request.inputs
    if sequence.dtype not in _FLOATS or values.dtype != sequence.dtype or not sequence.size or not values.size:
        return None
    each = max(1024, -(-values.size // (4 * request.threads)))
    args = [request.dense(0), request.dense(1), request.outputs[0], sequence.size, values.size, each]
    return [request.kernel(emit_search, args, -(-values.size // each), element=values.dtype, right=request.attrs["side"] == "right")]


# ---- running sums and products
def emit_running(k, element, product):
    """The sum, or the product, of each element and those before it in its row. Arguments: x, y, rows, elements of a row, rows for
    each task."""
    t = _FLOATS[element]
    x, y, n = pointer_to(k, 0, t), pointer_to(k, 1, t), k.lanes * 4 // SIZE[t]
    rows, width, each = (k.arg(i, i64) for i in range(2, 5))
    combine = (lambda a, b: a * b) if product else (lambda a, b: a + b)
    neutral = k.vector(1 if product else 0, t, n)
    with k.range(k.task * each, k.minimum(k.task * each + each, rows)) as row:
        carried = k.var(neutral)

        def body(i, v, row=row, carried=carried):
            z, step = v.load(x, row * width + i), 1
            while step < n:
                z = combine(z, k.shuffle(neutral, z, [n - step + j if j < step else n + j - step for j in range(n)]))
                step *= 2
            z = combine(z, carried.value)
            v.store(z, y, row * width + i)
            carried.value = k.shuffle(z, z, [n - 1] * n)

        k.each_vector(0, width, body, n, unroll=2)


@candidate("_cumsum", "_cumprod")
def _running(request):
    x, y, attrs = request.inputs[0], request.outputs[0], request.attrs
    if y.dtype not in _FLOATS or x.dtype != y.dtype or not y.size or attrs.get("reverse"):
        return None
    if attrs["axis"] % len(y.shape) != len(y.shape) - 1:
        return None
    rows, width = y.size // y.shape[-1], y.shape[-1]
    each, tasks = _row_tasks(request, rows, y.size * y.itemsize)
    args = [request.dense(0), y, rows, width, each]
    return [request.kernel(emit_running, args, tasks, element=y.dtype, product=request.op.name == "_cumprod")]
