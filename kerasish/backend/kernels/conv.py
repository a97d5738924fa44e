"""Convolutions of images with the channels last, and their two gradients, without any matrix of copied windows.

With the channels last, the elements of a window that lie in one row of the image are neighbours in memory. So a convolution is,
for each row of the window, a matrix product whose left matrix has rows that overlap: ``x`` itself. ``_convolution`` computes a
tile of some positions by some vectors of filters in registers, over all elements of the window: one broadcast of an input
serves all vectors, one load of filters all positions. Where windows reach over the border, and a row is one tile or two, the
code knows which taps are on the image (``_within``); else images are first copied to scratch memory, with zeros round them. So
whether an infinite weight meets a zero of the border, and makes NaN, depends on the sizes.

The gradient of the input is a convolution too, with the kernel mirrored and its channels and filters swapped; with strides, one
for each phase of the input positions, since each meets its own taps.

The gradient of the kernel keeps a tile of the kernel in registers, some taps and channels by some vectors of filters, and sums
over positions: any neighbours in a row of the window (``_kernel_gradient``), or channels of single taps, whose positions on the
image are known without a copy (``_kernel_gradient_within``). The images are cut into groups, the same whatever the number of
threads, whose sums are added in the end (``_total``).
"""

import itertools
import math
import types

from kerasish.backend.autodiff.shapes import per_axis, window_padding
from kerasish.backend.kernels.candidates import candidate
from kerasish.backend.kernels.compile import target
from kerasish.backend.kernels.emit import SIZE, f32, f64, i64
from kerasish.config import standardize_data_format

_TYPES = {"float32": f32, "float64": f64}
_FAST = 40 << 10  # bytes that stay in the first-level cache
_CACHE = 1 << 20  # bytes that stay in the second-level cache
_CODE = 200  # products that are written out in one kernel, at most: more would take long to compile
_TASK = 1 << 21  # floating-point operations that a task should have at least
_SUMS = 1 << 24  # bytes of the sums of all groups of images, at most


def lanes_of(dtype):
    """How many numbers of a type a vector register holds."""
    return target().lanes * 4 // SIZE[_TYPES[dtype]]


# ---- what the kernels share
def arguments(k, t, pointers, integers):
    """The arguments by their names: pointers first."""
    named = {name: k.arg(i, t) for i, name in enumerate(pointers)}
    return types.SimpleNamespace(**named, **{name: k.arg(len(pointers) + i, i64) for i, name in enumerate(integers)})


def _ordered(names, **values):
    """Integer arguments in the order in which a kernel names them."""
    return [values[name] for name in names]


_SOURCE = (
    "x_image", "x_row", "x_pixel", "channels", "height", "top", "lead", "skip", "columns", "trail", "image_pitch", "row_pitch",
    "scratch_each", "run",
)  # fmt: skip


def _bring(k, a, n, border, gapped, first_image, count, first_row, rows):
    """Where images lie, from a row on, with zeros round them: in place, or (``border``) copied to this thread's scratch memory."""
    source = a.x + (first_image * a.x_image + first_row * a.x_row)
    if not border:
        return source
    scratch = a.scratch + k.thread * a.scratch_each
    zero = k.vector(0, scratch.element, n)
    with k.range(count) as i, k.range(rows) as r:
        row, to = first_row + r - a.top, scratch + (i * a.image_pitch + r * a.row_pitch)
        inside = (row + 1 > 0) & (row < a.height)
        with k.when(inside):
            k.each_vector(0, a.lead * a.channels, lambda j, v: v.store(zero, to, j), n)
            start, here = to + a.lead * a.channels, a.x + ((first_image + i) * a.x_image + row * a.x_row + a.skip * a.x_pixel)
            if gapped:
                with k.range(a.columns) as c:
                    pixel, place = here + c * a.x_pixel, start + c * a.channels
                    k.each_vector(0, a.channels, lambda j, v: v.store(v.load(pixel, j), place, j), n)
            else:
                k.each_vector(0, a.columns * a.channels, lambda j, v: v.store(v.load(here, j), start, j), n)
            end = start + a.columns * a.channels
            k.each_vector(0, a.trail * a.channels, lambda j, v: v.store(zero, end, j), n)
        with k.unless(inside):
            k.each_vector(0, a.row_pitch, lambda j, v: v.store(zero, to, j), n)
    return scratch


def _masks(k, left, vectors, n, masked):
    """For each vector of filters which lanes exist."""
    return [k.mask(left - v * n, n) if masked else None for v in range(vectors)]


# ---- convolution
_CONVOLUTION = (
    *_SOURCE,
    "images", "block", "out_height", "out_width", "row_blocks", "rows_each", "panels", "parts", "panels_each", "panel_size", "filters",
    "y_image", "y_row", "y_pixel", "y_shift", "stride_y", "taps_y", "tap_y", "taps_x", "tap_x",
)  # fmt: skip


def _convolution(k, dtype, step, vectors, positions, rows, masked, border, gapped, fill, edges=None):
    """``y`` at some rows of a block of images, for some panels of filters. A window's row is ``taps_x`` runs of ``run`` neighbours.

    With ``fill``, ``y`` has gaps between its pixels, which get zeros. ``edges`` (see ``_within``) instead of ``border``: windows
    leave out what is not on the image, where a tile or two cover a row, so that the code can know.
    """
    t = _TYPES[dtype]
    n = k.lanes * 4 // SIZE[t]
    a = arguments(k, t, ("x", "w", "y", "scratch"), _CONVOLUTION)
    part, rest = k.task % a.parts, k.task // a.parts
    first_image, first_row = rest // a.row_blocks * a.block, rest % a.row_blocks * a.rows_each
    count, height = k.minimum(a.block, a.images - first_image), k.minimum(a.rows_each, a.out_height - first_row)
    needed = (height - 1) * a.stride_y + (a.taps_y - 1) * a.tap_y + 1
    images = _bring(k, a, n, border, gapped, first_image, count, k.const(0) if edges else first_row * a.stride_y, needed)
    if fill:
        start, zero = a.y + (first_image * a.y_image - a.y_shift), k.vector(0, t, n)
        k.each_vector(0, count * a.y_image, lambda j, v: v.store(zero, start, j), n)
    first = part * a.panels_each
    with k.range(first, k.minimum(first + a.panels_each, a.panels)) as panel, k.range(count) as i, k.range(0, height, rows) as row:
        filter_ = panel * (vectors * n)
        masks, w = _masks(k, a.filters - filter_, vectors, n, masked), a.w + panel * a.panel_size
        row = k.minimum(row, height - rows)  # the last tile does some rows of the one before again
        image, y = images + i * a.image_pitch, a.y + ((first_image + i) * a.y_image + (first_row + row) * a.y_row + filter_)
        tile = (rows, positions, vectors)
        if edges:
            for column in sorted({0, edges[0] - positions}):
                sums = _new_sums(k, t, n, tile)
                _within(k, a, image, first_row + row, column, w, sums, step, n, edges)
                _store(a, y + a.y_pixel * column, sums, masks, n)
        else:
            with k.range(0, a.out_width, positions) as column:
                column = k.minimum(column, a.out_width - positions)
                sums = _new_sums(k, t, n, tile)
                x = [image + ((row + j) * a.stride_y * a.row_pitch + column * step) for j in range(rows)]
                with k.range(a.taps_y) as ty, k.range(a.taps_x) as tx:
                    offset = ty * a.tap_y * a.row_pitch + tx * a.tap_x
                    _multiply(k, [p + offset for p in x], w + (ty * a.taps_x + tx) * a.run * (vectors * n), sums, a.run, step, n)
                _store(a, y + column * a.y_pixel, sums, masks, n)


def _new_sums(k, t, n, tile):
    rows, positions, vectors = tile
    return [[[k.var(k.vector(0, t, n)) for _ in range(vectors)] for _ in range(positions)] for _ in range(rows)]


def _store(a, y, sums, masks, n):
    for j, row in enumerate(sums):
        at = y + a.y_row * j
        for position in row:
            for v, total in enumerate(position):
                at.store(total.value, v * n, masks[v])
            at = at + a.y_pixel


def _multiply(k, x, w, sums, run, step, n):
    """Add to the sums the products of ``run`` neighbours at each position with the rows of ``w``."""
    vectors = len(sums[0][0])
    with k.range(run) as j:
        filters = [w.load(j * (vectors * n) + v * n, n) for v in range(vectors)]
        for pointer, row in zip([p + j for p in x], sums, strict=True):
            for p, position in enumerate(row):
                element = pointer[p * step].splat(n)
                for v, total in enumerate(position):
                    total.value = k.fma(element, filters[v], total.value)


def _within(k, a, image, row, column, w, sums, step, n, edges):
    """Add to the sums of one row what its windows have on the image. ``edges``: number of windows, width, taps, stride, border."""
    _, width, taps, stride, left = edges
    channels, (sums,) = step // stride, sums
    vectors = len(sums[0])
    places = {}  # column of the image: which positions and taps meet there
    for tap, p in itertools.product(range(taps), range(len(sums))):
        at = (column + p) * stride + tap - left
        if 0 <= at < width:
            places.setdefault(at, []).append((tap, p))
    top = a.top - row * a.stride_y
    together = _fits(len(sums), vectors, taps)  # each element of the image is then loaded once for all taps
    with k.range(k.maximum(top, k.const(0)), k.minimum(a.taps_y, top + a.height)) as ty:
        x, w = image + (ty - top) * a.row_pitch, w + ty * a.run * (vectors * n)
        for some in [range(taps)] if together else [[tap] for tap in range(taps)]:
            with k.range(channels) as c:
                filters = {tap: [w.load((c + tap * channels) * (vectors * n) + v * n, n) for v in range(vectors)] for tap in some}
                for at, meeting in sorted(places.items()):
                    meeting = [(tap, p) for tap, p in meeting if tap in some]
                    element = (x + c)[at * channels].splat(n) if meeting else None
                    for tap, p in meeting:
                        for v, total in enumerate(sums[p]):
                            total.value = k.fma(element, filters[tap][v], total.value)


# ---- gradient of the kernel
_GRADIENT = (
    *_SOURCE,
    "images", "group", "block", "out_height", "out_width", "rows_each", "parts", "units", "units_each", "kernel_size", "filters",
    "g_image", "g_pixel", "stride_y", "tap_y", "taps_x", "tap_x", "padded_rows",
)  # fmt: skip


def _kernel_gradient(k, dtype, run, step, vectors, width, height, bands, masked, border, gapped):
    """Sums over one group of images of products of ``x`` and ``g``, for some units: a panel of filters at ``height`` rows of taps.

    There are ``bands`` such parts of the kernel's rows; a tile has ``width`` of the ``run`` neighbours in a row.
    """
    t = _TYPES[dtype]
    n = k.lanes * 4 // SIZE[t]
    a = arguments(k, t, ("x", "g", "out", "scratch"), _GRADIENT)
    part, group = k.task % a.parts, k.task // a.parts
    first, out = group * a.group, a.out + group * a.kernel_size
    first_unit = part * a.units_each
    with k.range(first, k.minimum(first + a.group, a.images), a.block) as image:
        count = k.minimum(a.block, k.minimum(first + a.group, a.images) - image)
        images = _bring(k, a, n, border, gapped, image, count, k.const(0), a.padded_rows)
        with k.range(0, a.out_height, a.rows_each) as row, k.range(first_unit, k.minimum(first_unit + a.units_each, a.units)) as unit:
            tap, panel = unit % (a.taps_x * bands), unit // (a.taps_x * bands)
            ty, tx, filter_ = tap // a.taps_x * height, tap % a.taps_x, panel * (vectors * n)
            x = images + ((ty * a.tap_y + row * a.stride_y) * a.row_pitch + tx * a.tap_x)
            g = a.g + (image * a.g_image + row * a.out_width * a.g_pixel + filter_)
            to, masks = out + ((ty * a.taps_x + tx) * run * a.filters + filter_), _masks(k, a.filters - filter_, vectors, n, masked)
            places, more = (count, k.minimum(a.rows_each, a.out_height - row) * a.out_width), (image > first) | (row > 0)
            whole = run // width * width
            with k.range(0, whole, width) as j:
                _sum(k, a, x + j, g, to + j * a.filters, masks, (height, width, vectors), step, n, places, more)
            if run > whole:
                _sum(k, a, x + whole, g, to + a.filters * whole, masks, (height, run - whole, vectors), step, n, places, more)


def _sum(k, a, x, g, out, masks, tile, step, n, places, more):
    """One tile of the kernel's gradient, over some images and places in each, added to what is there where there is ``more``."""
    rows, width, vectors = tile
    sums = [[[k.var(k.vector(0, x.element, n)) for _ in range(vectors)] for _ in range(width)] for _ in range(rows)]
    to = [[out + (a.run * a.taps_x * i + j) * a.filters for j in range(width)] for i in range(rows)]
    every = list(itertools.product(range(rows), range(width), range(vectors)))
    with k.when(more):
        for i, j, v in every:
            sums[i][j][v].value = to[i][j].load(v * n, n, masks[v])
    jump = a.stride_y * a.row_pitch - (a.out_width - 1) * step  # from a row's last window to the next row's first
    with k.range(places[0]) as image:
        lines, given = [x + (image * a.image_pitch + a.tap_y * a.row_pitch * i) for i in range(rows)], g + image * a.g_image
        at, left = k.var(k.const(0)), k.var(a.out_width)
        with k.range(places[1]) as place:  # one loop for all rows: ends of short loops are hard to foresee
            factors = [(given + place * a.g_pixel).load(v * n, n, masks[v]) for v in range(vectors)]
            for i, j in itertools.product(range(rows), range(width)):
                element = (lines[i] + at.value)[j].splat(n)
                for v in range(vectors):
                    sums[i][j][v].value = k.fma(element, factors[v], sums[i][j][v].value)
            left.value = left.value - 1
            ends = left.value.equals(0)
            at.value = at.value + k.select(ends, jump, k.const(step))
            left.value = k.select(ends, a.out_width, left.value)
    for i, j, v in every:
        to[i][j].store(sums[i][j][v].value, v * n, masks[v])


_WITHIN = (
    "x_image", "x_row", "height", "width", "channels", "g_image", "images", "group", "block", "out_height", "out_width", "rows",
    "rows_each", "parts", "units", "units_each", "kernel_size", "filters", "taps_y", "taps_x", "stride_y", "stride_x", "top", "left",
)  # fmt: skip


def _kernel_gradient_within(k, dtype, taps, width, vectors, masked):
    """As ``_kernel_gradient``, of dense images, where windows leave out what is not on the image.

    A tile has ``width`` channels, and ``taps`` neighbours in a column of the kernel: 1, or all, which then share the elements of a row of
    ``x`` (with stride 1) and meet them with as many rows of ``g``.
    """
    t = _TYPES[dtype]
    n = k.lanes * 4 // SIZE[t]
    a = arguments(k, t, ("x", "g", "out"), _WITHIN)
    part, group = k.task % a.parts, k.task // a.parts
    first, out = group * a.group, a.out + group * a.kernel_size
    first_unit, zero = part * a.units_each, k.const(0)
    with k.range(first, k.minimum(first + a.group, a.images), a.block) as image, k.range(0, a.rows, a.rows_each) as row:
        count = k.minimum(a.block, k.minimum(first + a.group, a.images) - image)
        with k.range(first_unit, k.minimum(first_unit + a.units_each, a.units)) as unit:
            tx, rest = unit % a.taps_x, unit // a.taps_x
            bands = a.taps_y // taps
            ty, filter_ = rest % bands * taps, rest // bands * (vectors * n)
            masks = _masks(k, a.filters - filter_, vectors, n, masked)
            begin = (k.maximum(a.left - tx, zero) + a.stride_x - 1) // a.stride_x  # the first column of windows whose tap is on the image
            end = k.minimum((k.maximum(a.width + a.left - tx, zero) + a.stride_x - 1) // a.stride_x, a.out_width)
            x = a.x + (image * a.x_image + (begin * a.stride_x + tx - a.left) * a.channels)
            g = a.g + (image * a.g_image + begin * a.filters + filter_)
            rows, columns, more = (row, k.minimum(row + a.rows_each, a.rows)), k.maximum(end - begin, zero), (image > first) | (row > 0)
            with k.range(0, a.channels, width) as c:
                to = [[out + ((((ty + i) * a.taps_x + tx) * a.channels + c + j) * a.filters + filter_) for j in range(width)]
                      for i in range(taps)]  # fmt: skip
                _sum_within(k, a, x + c, g, to, masks, (taps, width, vectors), n, ty, count, rows, columns, more)


def _sum_within(k, a, x, g, to, masks, tile, n, ty, count, rows, columns, more):
    """One tile over some images: the rows where all taps of the tile meet ``g``, then for each tap those that it meets alone."""
    taps, width, vectors = tile
    sums = [[[k.var(k.vector(0, x.element, n)) for _ in range(vectors)] for _ in range(width)] for _ in range(taps)]
    every = list(itertools.product(range(taps), range(width), range(vectors)))
    with k.when(more):
        for i, j, v in every:
            sums[i][j][v].value = to[i][j].load(v * n, n, masks[v])
    zero = k.const(0)
    first, last = rows
    with k.range(count) as image:
        x, g = x + image * a.x_image, g + image * a.g_image
        if taps == 1:  # rows are those of windows
            first = k.maximum(first, (k.maximum(a.top - ty, zero) + a.stride_y - 1) // a.stride_y)
            last = k.minimum(last, (k.maximum(a.height + a.top - ty, zero) + a.stride_y - 1) // a.stride_y)
            _places(k, a, x + (ty - a.top) * a.x_row, [g], sums, masks, n, first, last, columns)
        else:  # rows are those of x
            low = k.maximum(first, taps - 1 - a.top)
            high = k.maximum(k.minimum(last, a.out_height - a.top), low)
            given = [g + (a.top - i) * (a.out_width * a.filters) for i in range(taps)]
            _places(k, a, x, given, sums, masks, n, low, high, columns)
            for i in range(taps):
                start, stop = k.maximum(first, i - a.top), k.minimum(last, a.out_height + i - a.top)
                with k.range(2) as after:
                    late = after > 0
                    begin, end = k.select(late, k.maximum(start, high), start), k.select(late, stop, k.minimum(stop, low))
                    _places(k, a, x, given[i : i + 1], sums[i : i + 1], masks, n, begin, end, columns)
    for i, j, v in every:
        to[i][j].store(sums[i][j][v].value, v * n, masks[v])


def _places(k, a, x, g, sums, masks, n, first, last, columns):
    """Add to the sums what places in the rows from ``first`` to ``last`` give: one loop, since ends of short loops are hard to foresee."""
    x_step, g_step = a.stride_x * a.channels, a.filters
    x_jump = a.stride_y * a.x_row - (columns - 1) * x_step  # from a row's last place to the next row's first
    g_jump = (a.out_width - columns + 1) * g_step
    x_at, g_at, left = k.var(first * a.stride_y * a.x_row), k.var(first * a.out_width * g_step), k.var(columns)
    with k.range(k.maximum(last - first, k.const(0)) * columns):
        factors = [[(line + g_at.value).load(v * n, n, masks[v]) for v in range(len(masks))] for line in g]
        for j in range(len(sums[0])):
            element = (x + x_at.value)[j].splat(n)
            for tap, some in zip(sums, factors, strict=True):
                for total, factor in zip(tap[j], some, strict=True):
                    total.value = k.fma(element, factor, total.value)
            if len(sums) > 1:
                k.pin([total for tap in sums for total in tap[j]])
        left.value = left.value - 1
        ends = left.value.equals(0)
        x_at.value = x_at.value + k.select(ends, x_jump, x_step)
        g_at.value = g_at.value + k.select(ends, g_jump, g_step)
        left.value = k.select(ends, columns, left.value)


_CHUNK = 1024  # numbers that a task of _total adds up


def _total(k, dtype):
    """The sum of ``groups`` arrays of ``size`` numbers that lie one behind the other."""
    t = _TYPES[dtype]
    a = arguments(k, t, ("parts", "out"), ("size", "groups"))
    start = k.task * _CHUNK

    def add(i, v):
        total = k.var(v.load(a.parts, i))
        with k.range(1, a.groups) as group:
            total.value = total.value + v.load(a.parts, group * a.size + i)
        v.store(total.value, a.out, i)

    k.each_vector(start, k.minimum(start + _CHUNK, a.size), add, k.lanes * 4 // SIZE[t])


# ---- kernels in panels, zeros
def _pack(k, dtype, vectors, contiguous):
    """One tap of a kernel, for one panel of filters: rows of ``vectors`` vectors, with zeros where there is no filter."""
    t = _TYPES[dtype]
    n = k.lanes * 4 // SIZE[t]
    a = arguments(k, t, ("w", "out"), ("taps_y", "taps_x", "channels", "filters", "by_y", "by_x", "by_channel", "by_filter"))
    taps, size = a.taps_y * a.taps_x, vectors * n
    panel, tap = k.task // taps, k.task % taps
    w = a.w + (tap // a.taps_x * a.by_y + tap % a.taps_x * a.by_x + panel * size * a.by_filter)
    out = a.out + k.task * a.channels * size
    left = a.filters - panel * size
    zero = k.vector(0, t, n)
    with k.range(a.channels) as c:
        for v in range(vectors):
            if contiguous:
                out.store(w.load(c * a.by_channel + v * n, n, k.mask(left - v * n, n)), c * size + v * n)
            else:
                out.store(zero, c * size + v * n)
        if not contiguous:
            with k.range(k.minimum(left, k.const(size))) as f:
                out[c * size + f] = w[c * a.by_channel + f * a.by_filter]


def _zeros(k, dtype):
    """Zeros in one image."""
    t = _TYPES[dtype]
    n = k.lanes * 4 // SIZE[t]
    y, size = k.arg(0, t), k.arg(1, i64)
    start, zero = y + k.task * size, k.vector(0, t, n)
    k.each_vector(0, size, lambda j, v: v.store(zero, start, j), n)


# ---- choices
def _divisors(n):
    return [i for i in range(1, n + 1) if n % i == 0]


def _cycles(elements, vectors):
    """Of one step of a tile: two products, or two loads, a cycle; and results come after four."""
    return max(elements * vectors, elements + vectors, 8) / 2


def _fits(elements, vectors, taps=1):
    """Whether a tile's sums and operands fit into the vector registers."""
    return (elements + taps) * vectors + (vectors * taps > 1) <= target().registers


def _tile(out_height, out_width, filters, n, row_tiles):
    """(vectors, rows, positions) of the tiles that cover an image in the shortest time."""
    count = -(-filters // n)
    best = None
    for vectors in (v for v in (2, 3, 1, 4) if count % v == 0):
        for rows in range(1, min(out_height, 8) + 1 if row_tiles else 2):
            for tiles in range(max(1, out_width // target().registers), out_width + 1):
                positions = -(-out_width // tiles)
                if not _fits(rows * positions, vectors):
                    continue
                number = tiles * -(-out_height // rows) * (count // vectors)
                cost = number * (_cycles(rows * positions, vectors) + 0.5)
                if best is None or cost < 0.999 * best[0]:
                    best = cost, (vectors, rows, positions)
                break
    return best[1]


def _gradient_tile(taps_y, run, filters, n):
    """(vectors, rows of taps, neighbours of a row) of the tiles of a kernel's gradient."""
    count = -(-filters // n)
    best = None
    for vectors in (v for v in (2, 3, 1, 4) if count % v == 0):
        for height in _divisors(taps_y):
            for width in range(1, min(run, target().registers) + 1):
                if not _fits(height * width, vectors) or (height > 1 and width < run):
                    continue
                cost = run // width * (_cycles(height * width, vectors) + 0.5)
                if run % width:
                    cost += _cycles(height * (run % width), vectors) + 3  # more code
                cost *= taps_y // height * (count // vectors)
                if best is None or cost < best[0]:
                    best = cost, (vectors, height, width)
    return best[1]


def _tile_within(taps_y, stride_y, channels, filters, n):
    """(vectors, taps, channels) of the tiles of ``_kernel_gradient_within``, None where none keeps the processor busy.

    One vector of filters for each element of ``x`` would be more loads than products: then all taps of a column share the elements.
    """
    count = -(-filters // n)
    vectors = next(v for v in (2, 3, 1) if count % v == 0)
    taps = taps_y if vectors == 1 and stride_y == 1 else 1
    width = max((d for d in _divisors(channels) if _fits(d * taps, vectors, taps)), default=0)
    return (vectors, taps, width) if width * taps * vectors >= 12 else None


# ---- calls as instructions
def _padded(counts, strides, size, dilation):
    """What windows cover of each axis."""
    return [(m - 1) * s + (k - 1) * d + 1 for m, s, k, d in zip(counts, strides, size, dilation, strict=False)]


def _inside(padded, before, sizes):
    """Whether windows that cover ``padded`` of each axis, beginning ``before`` the border, are all wholly on the image."""
    return all(b <= 0 and p - b <= n for p, b, n in zip(padded, before, sizes, strict=True))


class _Call:
    """A convolution of 1 or 2 spatial axes, channels last and not grouped: its sizes per axis, and its buffers with 4 axes."""

    def __init__(self, request, x, y, w_shape):
        attrs = request.attrs
        self.rank = len(w_shape) - 2
        self.x, self.y = (self._image(b) for b in (x, y))
        *size, self.channels, self.filters = w_shape
        strides, dilation = (per_axis(attrs[name], self.rank, name) for name in ("strides", "dilation_rate"))
        pairs = window_padding(x.shape[1:-1], size, strides, attrs["padding"], dilation)
        more = 2 - self.rank
        self.size, self.strides, self.dilation = ((1,) * more + tuple(v) for v in (size, strides, dilation))
        self.before = (0,) * more + tuple(before for before, _ in pairs)

    def _image(self, b):
        return b if self.rank == 2 else b.view((b.shape[0], 1, *b.shape[1:]), (b.strides[0], 0, *b.strides[1:]))


def _taken(request, x, y, w, w_shape):
    """The call, or None where it is none for these kernels."""
    dtypes = {b.dtype for b in (x, y, w)}
    if len(dtypes) > 1 or x.dtype not in _TYPES or len(x.shape) not in (3, 4) or 0 in (*x.shape, *y.shape, *w_shape):
        return None
    if standardize_data_format(request.attrs["data_format"]) != "channels_last" or x.shape[-1] != w_shape[-2]:
        return None
    return _Call(request, x, y, w_shape)


class _Reach:
    """How windows lie on the images ``x``: ``counts`` of them, ``size`` taps each, beginning ``before`` the border."""

    def __init__(self, request, x, counts, size, strides, dilation, before):
        if x.strides[3] != 1 and x.shape[3] != 1:
            x = request.copied(x)
        _, self.height, self.width, self.channels = x.shape
        self.x, self.counts, self.size, self.strides, self.dilation, self.before = x, counts, size, strides, dilation, before
        self.padded = _padded(counts, strides, size, dilation)
        self.gapped = x.strides[2] != self.channels and self.width > 1
        self.border = self.gapped or not _inside(self.padded, before, x.shape[1:3])
        self.edges = None
        self.run, self.runs = (size[1] * self.channels, 1) if dilation[1] == 1 else (self.channels, size[1])

    def by_rows(self, tile):
        """Whether the code can know what is on the image, so that no copy is needed: for tiles that are a row, or half of one."""
        vectors, _, positions = tile
        tiles = -(-self.counts[1] // positions)
        few = tiles <= 2 and positions >= 7 and tiles * positions * vectors * self.size[1] <= _CODE
        if self.border and not self.gapped and self.dilation == (1, 1) and few:
            self.border = False
            self.edges = (self.counts[1], self.width, self.size[1], self.strides[1], self.before[1])
        return bool(self.edges)

    def options(self):
        """The kernels' options."""
        step = self.strides[1] * self.channels
        return {"dtype": self.x.dtype, "step": step, "border": self.border, "gapped": self.border and self.gapped}

    def source(self):
        """The images' buffer, from where the first window begins."""
        if self.border or self.edges:
            return self.x
        top, left = self.before
        return self.x.view(self.x.shape, self.x.strides, -top * self.x.strides[1] - left * self.x.strides[2])

    def numbers(self, request, images, rows):
        """Scratch memory for copies of so many rows of so many images at a time, and the kernels' arguments."""
        x, (top, left), covered = self.x, self.before, self.padded[1]
        lead, skip = min(max(left, 0), covered), max(-left, 0)
        columns = max(min(covered - lead, self.width - skip), 0)
        scratch, each, image_pitch, row_pitch = x, 0, *x.strides[:2]
        if self.border:
            row_pitch = covered * self.channels
            image_pitch = rows * row_pitch
            each = -(-images * image_pitch // 64) * 64
            scratch = request.scratch(request.threads * each * x.itemsize, (request.threads * each,), x.dtype)
        return scratch, {"x_image": x.strides[0], "x_row": x.strides[1], "x_pixel": x.strides[2], "channels": self.channels,
                         "height": self.height, "top": top, "lead": lead, "skip": skip, "columns": columns,
                         "trail": covered - lead - columns, "image_pitch": image_pitch, "row_pitch": row_pitch, "scratch_each": each,
                         "run": self.run, "taps_x": self.runs, "tap_x": self.dilation[1] * self.channels, "tap_y": self.dilation[0],
                         "stride_y": self.strides[0]}  # fmt: skip


def _flattened(x, y, size, strides, before):
    """Images as single rows where windows have one element: what lies side by side need not be told apart."""
    if size != (1, 1) or strides != (1, 1) or before != (0, 0) or not (x.dense and y.dense):
        return x, y
    n, pixels = x.shape[0], x.shape[1] * x.shape[2]
    together = min((d for d in _divisors(n) if d * pixels >= 64), default=n)
    return (b.view((n // together, 1, together * pixels, b.shape[3])) for b in (x, y))


def _correlate(request, x, w, y, strides, dilation, before, fill=None):
    """Instructions for ``y``, the sums of products of the windows of ``x`` with the kernel ``w`` (4 axes, any strides).

    With ``fill``, ``y`` has pixels of larger images, which begin so many elements before; the others get zeros.
    """
    size = tuple(w.shape[:2])
    if fill is None:
        x, y = _flattened(x, y, size, strides, before)
    n = lanes_of(x.dtype)
    images, out_height, out_width, filters = y.shape
    reach = _Reach(request, x, (out_height, out_width), size, strides, dilation, before)
    tile = _tile(out_height, out_width, filters, n, False)
    wanted = 4 * request.threads  # tasks: how a row of windows is computed doesn't depend on how rows are shared out
    if not reach.by_rows(tile) and images >= wanted:
        tile = _tile(out_height, out_width, filters, n, True)
    vectors, rows, positions = tile
    instructions, w, panel_size = _packed(request, w, vectors, n)
    panels, each = -(-filters // (vectors * n)), 2 * math.prod(y.shape[1:]) * math.prod(size) * x.shape[3]
    row_blocks = parts = 1
    if images < wanted and fill is None:
        row_blocks = min(out_height, max(1, min(wanted // images, each // _TASK)))
        parts = min(panels, max(1, min(wanted // (images * row_blocks), each // row_blocks // _TASK)))
    rows_each, panels_each = -(-out_height // row_blocks), -(-panels // parts)
    row_blocks, parts = -(-out_height // rows_each), -(-panels // panels_each)
    block = max(1, min(images // (2 * wanted), -(-_TASK // each), 64))
    scratch, values = reach.numbers(request, block, _padded([rows_each], strides, size, dilation)[0])
    numbers = _ordered(
        _CONVOLUTION, **values, images=images, block=block, out_height=out_height, out_width=out_width, row_blocks=row_blocks,
        rows_each=rows_each, panels=panels, parts=parts, panels_each=panels_each, panel_size=panel_size, filters=filters,
        y_image=y.strides[0], y_row=y.strides[1], y_pixel=y.strides[2], y_shift=fill or 0, taps_y=size[0])  # fmt: skip
    args, tasks = [reach.source(), w, y, scratch, *numbers], -(-images // block) * row_blocks * parts
    main = request.kernel(_convolution, args, tasks=tasks, vectors=vectors, positions=positions, rows=rows,
                          masked=filters % n > 0, fill=fill is not None, edges=reach.edges, **reach.options())  # fmt: skip
    return [*instructions, main]


def _packed(request, w, vectors, n):
    """The kernel in panels of ``vectors`` vectors of filters: what makes it so, itself, and the size of a panel."""
    taps, (channels, filters) = math.prod(w.shape[:2]), w.shape[2:]
    size, panels = taps * channels * vectors * n, -(-filters // (vectors * n))
    if w.dense and filters == vectors * n:
        return [], w, size
    packed = request.scratch(panels * size * w.itemsize, (panels * size,), w.dtype)
    args = [w, packed, *w.shape, *w.strides]
    return [request.kernel(_pack, args, tasks=panels * taps, dtype=w.dtype, vectors=vectors, contiguous=w.strides[3] == 1)], packed, size


@candidate("conv")
def conv(request):
    """Convolution."""
    x, w = request.inputs
    call = _taken(request, x, request.outputs[0], w, w.shape)
    if call is None:
        return None
    return _correlate(request, call.x, _kernel(w), call.y, call.strides, call.dilation, call.before)


def _kernel(w):
    """A kernel with four axes."""
    return w if len(w.shape) == 4 else w.view((1, *w.shape), (0, *w.strides))


def _phase(phase, n, count, k, s, d, before):
    """How windows meet the input positions ``phase``, ``phase + s``, ... of an axis: (first tap, their distance, number), dilation, border.

    Tap i of window o is at ``o * s + i * d - before``. The taps that come to this phase are evenly spaced, and what they bring from
    the windows is a convolution of stride 1.
    """
    taps = [i for i in range(k) if (phase + before - i * d) % s == 0]
    if not taps:
        return None
    common = math.gcd(d, s)
    first = (phase + before - taps[-1] * d) // s  # the window whose last tap comes to the first position
    return (taps[0], s // common, len(taps)), d // common, -first


@candidate("_conv_input")
def conv_input(request):
    """Gradient of a convolution's input."""
    g, w = request.inputs
    y = request.outputs[0]
    call = _taken(request, y, g, w, w.shape)
    if call is None:
        return None
    y, g, w = call.x, call.y, _kernel(w)
    images, *spatial, _ = y.shape
    phases = []
    for phase in itertools.product(*[range(min(s, n)) for s, n in zip(call.strides, spatial, strict=True)]):
        axes = [_phase(*a) for a in zip(phase, spatial, g.shape[1:3], call.size, call.strides, call.dilation, call.before, strict=True)]
        phases.append(None if None in axes else (phase, axes))
    gaps = None in phases
    phases = [phase for phase in phases if phase]
    if not phases:
        return [request.kernel(_zeros, [y, y.size // images], tasks=images, dtype=y.dtype)]
    instructions = []
    for phase, axes in phases:
        taps, dilation, before = zip(*axes, strict=True)
        part, shift = _every(y, phase, call.strides)
        fill = shift if gaps and not instructions else None
        instructions += _correlate(request, g, _turned(w, taps), part, (1, 1), dilation, before, fill)
    return instructions


def _every(y, phase, strides):
    """The pixels of images from ``phase`` on at distances of ``strides``, and how many elements are before the first."""
    shift = sum(p * step for p, step in zip(phase, y.strides[1:3], strict=True))
    sizes = [-(-(n - p) // s) for n, p, s in zip(y.shape[1:3], phase, strides, strict=True)]
    steps = [s * step for s, step in zip(strides, y.strides[1:3], strict=True)]
    return y.view((y.shape[0], *sizes, y.shape[3]), (y.strides[0], *steps, 1), shift), shift


def _turned(w, taps):
    """Some taps of a kernel in reverse order, its channels and filters swapped."""
    last = sum((first + (m - 1) * by) * step for (first, by, m), step in zip(taps, w.strides, strict=False))
    steps = [-by * step for (_, by, _), step in zip(taps, w.strides, strict=False)]
    return w.view((*[m for *_, m in taps], w.shape[3], w.shape[2]), (*steps, w.strides[3], w.strides[2]), last)


@candidate("_conv_kernel")
def conv_kernel(request):
    """Gradient of a convolution's kernel."""
    x, g = request.inputs
    out = request.outputs[0]
    call = _taken(request, x, g, out, out.shape)
    if call is None:
        return None
    x, g = call.x, call.y
    if not g.dense:
        g = request.copied(g)
    groups = min(math.prod(g.shape[:3]) // 1024, 32, g.shape[0], _SUMS // (out.size * out.itemsize))
    groups = max(1, groups)  # the same for any number of threads, and so the sums
    groups = -(-g.shape[0] // -(-g.shape[0] // groups))
    sums = out if groups == 1 else request.scratch(groups * out.size * out.itemsize, (groups * out.size,), out.dtype)
    instructions = [_gradient_within(request, call, x, g, sums, out, groups) or _gradient(request, call, x, g, sums, out, groups)]
    if groups > 1:
        tasks = -(-out.size // _CHUNK)
        instructions.append(request.kernel(_total, [sums, out, out.size, groups], tasks=tasks, dtype=out.dtype))
    return instructions


def _blocks(out, images, row_bytes, rows, row_places):
    """How many images, and how many of their rows, are gone through at a time: as many as stay in a cache."""
    image = row_bytes * rows
    if out.size * out.itemsize > _CACHE:  # the sums themselves don't stay
        return max(1, min(images, 8 * _CACHE // image)), rows
    block = max(1, min(images, _FAST // image))
    rows_each = max(1, min(rows, max(_FAST // row_bytes, 128 // row_places))) if block == 1 else rows
    return block, -(-rows // -(-rows // rows_each))


def _gradient_within(request, call, x, g, sums, out, groups):
    """The instruction for dense images with borders and enough channels, else None."""
    n = lanes_of(x.dtype)
    images, out_height, out_width, filters = g.shape
    _, height, width, channels = x.shape
    padded = _padded((out_height, out_width), call.strides, call.size, call.dilation)
    if not x.dense or call.dilation != (1, 1) or _inside(padded, call.before, (height, width)):
        return None
    tile = _tile_within(call.size[0], call.strides[0], channels, filters, n)
    if tile is None:
        return None
    vectors, taps, across = tile
    group = -(-images // groups)
    units = -(-filters // (vectors * n)) * (call.size[0] // taps) * call.size[1]
    parts = min(units, -(-4 * request.threads // groups))
    rows = out_height if taps == 1 else height
    row_bytes = (height * width * channels + out_height * out_width * vectors * n) * x.itemsize // rows
    block, rows_each = _blocks(out, group, row_bytes, rows, out_width)
    numbers = _ordered(
        _WITHIN, x_image=x.strides[0], x_row=x.strides[1], height=height, width=width, channels=channels, g_image=g.strides[0],
        images=images, group=group, block=block, out_height=out_height, out_width=out_width, rows=rows, rows_each=rows_each, parts=parts,
        units=units, units_each=-(-units // parts), kernel_size=out.size, filters=filters, taps_y=call.size[0], taps_x=call.size[1],
        stride_y=call.strides[0], stride_x=call.strides[1], top=call.before[0], left=call.before[1])  # fmt: skip
    return request.kernel(
        _kernel_gradient_within, [x, g, sums, *numbers], tasks=groups * parts,
        dtype=x.dtype, taps=taps, width=across, vectors=vectors, masked=filters % n > 0)  # fmt: skip


def _gradient(request, call, x, g, sums, out, groups):
    """The instruction for any images."""
    n = lanes_of(x.dtype)
    images, out_height, out_width, filters = g.shape
    reach = _Reach(request, x, (out_height, out_width), call.size, call.strides, call.dilation, call.before)
    vectors, height, width = _gradient_tile(call.size[0], reach.run, filters, n)
    bands = call.size[0] // height
    units = -(-filters // (vectors * n)) * bands * reach.runs
    group = -(-images // groups)
    parts = min(units, -(-4 * request.threads // groups))
    row_bytes = (math.prod(reach.padded) * reach.channels // out_height + out_width * vectors * n) * x.itemsize
    block, rows_each = _blocks(out, group, row_bytes, out_height, out_width)
    scratch, values = reach.numbers(request, block, reach.padded[0])
    numbers = _ordered(
        _GRADIENT, **values, images=images, group=group, block=block, out_height=out_height, out_width=out_width, rows_each=rows_each,
        parts=parts, units=units, units_each=-(-units // parts), kernel_size=out.size, filters=filters, g_image=g.strides[0],
        g_pixel=g.strides[2], padded_rows=reach.padded[0])  # fmt: skip
    return request.kernel(
        _kernel_gradient, [reach.source(), g, sums, scratch, *numbers], tasks=groups * parts,
        run=reach.run, vectors=vectors, width=width, height=height, bands=bands, masked=filters % n > 0, **reach.options())  # fmt: skip
