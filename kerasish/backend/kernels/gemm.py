"""Matrix products, blocked for the caches (K. Goto and R. van de Geijn 2008; F. Van Zee and R. van de Geijn 2015).

``C = A B`` is computed in tiles that stay in vector registers while the sum runs: of ``rows`` x ``vectors`` accumulators. Each step of
the sum loads a few vectors of a row of B, and adds their products with as many scalars of a column of A as the tile has rows.
That is ``micro_kernel``; everything else is about feeding it from the caches:

- A task is a rectangle of C. It goes through the sum in blocks, and in each block through its rows of tiles, so that C is written in
  the order in which it lies. A row of tiles needs the same few rows of A again and again, which stay in the first
  cache, and all of the block of B, which stays in the second.
- B's block is first *packed* into strips of one vector, which lie in the order in which they are needed: rows that are far apart
  fight for the same places in the caches. A transposed B is transposed on the way. Where only a few rows of tiles would profit, B is
  read where it is.
- A is read where it is. Its rows are streams that the processor can follow; only where A is transposed, with long rows, and
  needed often, is it packed, a few rows of tiles at a time.
- Where C is small and the sum long, tasks divide the sum. Each has a partial result, and a second kernel adds them in order.

Products of a matrix with rows in order and one column are sums along vectors instead, see ``_dots``.

Other kernels can take all of this and do more with a tile before it is stored: see ``product`` and ``instructions``.
"""

import math
import typing

from llvmlite import ir

from kerasish.backend.kernels.candidates import Buffer, candidate
from kerasish.backend.kernels.compile import target
from kerasish.backend.kernels.copy import transposed
from kerasish.backend.kernels.emit import SIZE, Pointer, Value, f32, f64, i8, i64

TYPES = {"float32": f32, "float64": f64}
_BLOCK = 512  # steps of the sum in a block
_B_BYTES = 1 << 20  # of a block of B: half of the second cache
_BAND = 4  # rows of tiles for which A is packed at once: as many as share cache lines
_THREADS = 2  # for which sums are divided; not the real number, so that results don't depend on it
_DISPATCH = 3000  # cycles that it takes to start an instruction on all threads
_WORTH = 10_000  # cycles that are worth a task of their own


# ---- inner loops
def micro_kernel(k, a, a_strides, b, b_stride, depth, rows, vectors, mask=None, unroll=2, apart=None):
    """The sum over ``depth`` steps of products of ``rows`` scalars of A and ``vectors`` vectors of B: rows of accumulators (``Var``).

    ``a_strides`` are from row to row and from step to step, ``b_stride`` from step to step, and the vectors of B are ``apart`` (None: side
    by side), all in elements: integers, or constants where they are known. ``mask`` says which lanes of the last vector may be read.
    """
    t, n = a.element, lanes_of(k, a.element)
    sums = [[k.var(k.vector(0.0, t, n)) for _ in range(vectors)] for _ in range(rows)]
    at_b, (streams, places) = k.var(Value(k, b.ir)), _rows_of(k, a, a_strides[0], rows)

    def step():
        b_now, a_now = Pointer(k, at_b.value.ir, t), [Pointer(k, s.value.ir, i8) for s in streams]
        row_of_b = [(b_now + (n if apart is None else apart) * v).load(0, n, mask if v == vectors - 1 else None) for v in range(vectors)]
        for (stream, offset), row in zip(places, sums, strict=True):
            scalar = (a_now[stream] + offset).as_(t).load().splat(n)
            for x, y in zip(row, row_of_b, strict=True):
                x.value = k.fma(scalar, y, x.value)
        at_b.value = Value(k, (b_now + b_stride).ir)
        for s, p in zip(streams, a_now, strict=True):
            after = Value(k, (p.as_(t) + a_strides[1]).ir)
            s.value = _opaque(k, after) if len(streams) > 1 else after

    even = depth // unroll * unroll
    with k.range(0, even, unroll):
        for _ in range(unroll):
            step()
    if unroll > 1:
        with k.range(even, depth):
            step()
    return sums


def _rows_of(k, a, stride, rows):
    """Pointers that walk along A and, for each row, which of them with what offset in bytes reads it.

    One pointer for four rows: an address may be a register and once, twice, but not three times another one. LLVM must
    not see how the pointers depend on each other, or it keeps an offset for each row, for which there are not enough registers.
    """
    size = SIZE[a.element]
    if isinstance(stride, int):
        return [k.var(Value(k, a.ir))], [(0, r * stride * size) for r in range(rows)]
    one = stride * size
    offsets = (0, one, one * 2, _opaque(k, one * 3))
    streams = [k.var(_opaque(k, Value(k, (a + stride * r).ir))) for r in range(0, rows, 4)]
    return streams, [(r // 4, offsets[r % 4]) for r in range(rows)]


def _opaque(k, x):
    """The same value, of which the compiler doesn't know where it is from."""
    f = ir.FunctionType(x.type, [x.type])
    return Value(k, k.builder.asm(f, "", "=r,0", [x.ir], False))


def lanes_of(k, t):
    """How many elements a vector has."""
    return k.lanes * 4 // SIZE[t]


# ---- packing
def pack(k, x, strides, width, size, depth, y, layout):
    """Copy a block of a matrix to ``y`` in strips of ``width``, in which the elements of each step of the sum lie side by side.

    ``x`` is where it begins; ``strides`` are those within a step and between steps; it has ``size`` elements in each of
    ``depth`` steps. ``layout`` is "across" or "along" where the first or second stride is 1, else "any". Strips lie
    ``width * depth`` apart. The last one is filled up with anything, and up to a vector more for each lane is written behind it.
    """
    if layout == "across":
        _pack_rows(k, x, strides[1], width, size, depth, y)
        return
    with k.range(0, size, width) as start:
        strip, to, left = x + start * strides[0], y + start * depth, k.minimum(size - start, width)
        if layout == "along":
            _pack_columns(k, strip, strides[0], width, left, depth, to)
        else:
            with k.range(depth) as step, k.range(width) as i:
                to[step * width + i] = strip[step * strides[1] + k.minimum(left - 1, i) * strides[0]]


def _pack_rows(k, x, stride, width, size, depth, y):
    """Step by step through all strips, since memory likes to be read in its order."""
    n = lanes_of(k, x.element)
    whole = size // width * width
    with k.range(depth) as step:

        def strip(start, left):
            for v in range(0, width, n):
                mask = None if left is None and v + n <= width else k.mask(k.const(width - v) if left is None else left - v, n)
                value = (x + step * stride + start).load(v, n, mask)
                y.store(value, start * depth + step * width + v, k.mask(k.const(width - v), n) if v + n > width else None)

        with k.range(0, whole, width) as start:
            strip(start, None)
        with k.when(whole < size):
            strip(whole, size - whole)


def _pack_columns(k, x, stride, width, limit, depth, y):
    """One strip of which ``limit`` elements are there: vectors along the sum, transposed; beyond the edge the last one once more."""
    n = lanes_of(k, x.element)
    with k.range(0, depth, n) as step:
        mask = k.mask(depth - step, n)
        for first in range(0, width, n):
            block = transposed(k, [(x + k.minimum(limit - 1, first + i) * stride).load(step, n, mask) for i in range(n)])
            for j, vector in enumerate(block):
                y.store(vector, (step + j) * width + first)


# ---- the product
class _Options(typing.NamedTuple):
    """What ``product`` is told when it is written."""

    rows: int = 12
    vectors: int = 2
    rest: int = 0
    wide: bool = True
    narrow: bool = False
    a: str = "along"
    b: str = "across"
    pack_a: bool = False
    pack_b: bool = False
    blocks: bool = False
    dots: bool = False
    accumulate: bool = False
    epilogue: typing.Callable | None = None


class _Arguments:
    """What ``product`` is told when it runs."""

    def __init__(self, k, first, t, batch_axes):
        self.k, self.t, self.n = k, t, lanes_of(k, t)
        self.a, self.b, self.c, self.scratch = (k.arg(first + i, t) for i in range(4))
        (self.scratch_size, self.scratch_b, self.m, self.columns, self.depth, self.a_row, self.a_step, self.b_step, self.b_column,
         self.m_task, self.n_task, self.k_task, self.k_block, self.m_tasks, self.n_tasks, self.k_tasks, self.items, self.items_task) = (
            k.arg(first + 4 + i, i64) for i in range(18)
        )  # fmt: skip
        self.axes = [[k.arg(first + 22 + 3 * j + i, i64) for i in range(3)] for j in range(batch_axes)]


def product(k, first=0, element="float32", divided="", partial=False, batch_axes=0, **options):
    """Write a kernel for ``C = A B``. Its arguments begin at number ``first``; ``instructions`` makes them, and these options:

    ``rows``, ``vectors``: size of a tile; ``rest``: rows of the last one, where they are fewer. ``wide``, ``narrow``: whether there are
    tiles of ``vectors``, and of one vector at the right edge. ``a``, ``b``: which stride is 1, that of the sum ("along"), the other one
    ("across") or none ("any"); ``pack_a``, ``pack_b``: whether they are packed. ``blocks``: the sum has more than one block. ``dots``:
    sums along vectors. ``divided``: which of m, n, k tasks divide. ``partial``: C is the first of the partial sums. ``accumulate``: add to
    what is in C.

    ``epilogue(k, vector, row, column, mask)`` returns what is stored in place of ``vector``, the elements of C from ``column`` on in
    ``row`` (rows are counted over the whole batch, so they are at ``row * columns + column``), of which only those in ``mask`` are
    there (None: all). It may load and store elsewhere too, and is called once for each element, when its sum is whole: where there are
    partial sums, by ``total``.
    """
    p, o = _Arguments(k, first, TYPES[element], batch_axes), _Options(**options)
    index, ranges, part = k.task, {}, None
    for letter, size, count, end in (("n", p.n_task, p.n_tasks, p.columns), ("m", p.m_task, p.m_tasks, p.m),
                                     ("k", p.k_task, p.k_tasks, p.depth)):  # fmt: skip
        ranges[letter] = k.const(0), end
        if letter in divided:
            part, index = index % count, index // count
            ranges[letter] = part * size, k.minimum(part * size + size, end)
    if partial:
        p.c += part * (p.m * p.columns)
    write = _dots if o.dots else _rectangle
    if not batch_axes:
        write(p, o, ranges, k.const(0))
        return
    start, matrices = index * p.items_task, (p.a, p.b, p.c)
    with k.range(start, k.minimum(start + p.items_task, p.items)) as item:
        p.a, p.b, p.c = _of_batch(p, matrices, item)
        write(p, o, ranges, item * p.m)


def _of_batch(p, matrices, item):
    """The three matrices of an item of the batch."""
    a, b, c = matrices
    left = item
    for i, (size, a_stride, b_stride) in enumerate(p.axes):  # the last axis is the first here
        more = i < len(p.axes) - 1
        at, left = (left % size, left // size) if more else (left, None)
        a, b = a + at * a_stride, b + at * b_stride
    return a, b, c + item * (p.m * p.columns)


def _rectangle(p, o, ranges, first_row):
    """A rectangle of C: for each block of the sum, for each row of tiles, all tiles beside each other."""
    k, n = p.k, p.n
    (m_start, m_end), (n_start, n_end) = ranges["m"], ranges["n"]
    memory_b = Pointer(k, (p.scratch.as_(i8) + k.thread * p.scratch_size).ir, p.t)
    memory_a = memory_b + p.scratch_b
    a_strides = (1 if o.a == "across" else p.a_row, 1 if o.a == "along" else p.a_step)
    b_strides = (1 if o.b == "across" else p.b_column, 1 if o.b == "along" else p.b_step)

    def block(k0, depth, begins, ends):
        def at_a(i):
            return p.a + i * a_strides[0] + k0 * a_strides[1]

        def at_b(j):
            return p.b + j * b_strides[0] + k0 * b_strides[1]

        def tile(i, count, j, width, mask, packed_rows):
            x, x_strides = (packed_rows, (1, o.rows)) if o.pack_a else (at_a(i), a_strides)
            unroll = 2 if count == o.rows else 1
            y, y_stride, apart = (memory_b + (j - n_start) * depth, n, depth * n) if o.pack_b else (at_b(j), b_strides[1], None)
            sums = micro_kernel(k, x, x_strides, y, y_stride, depth, count, width, None if o.pack_b else mask, unroll, apart)
            _store_tile(p, o, sums, i, j, mask, first_row, begins, ends)

        def band(start, end):
            if o.pack_a:
                pack(k, at_a(start), a_strides, o.rows, end - start, depth, memory_a, o.a)
            for i, count in _rows_of_tiles(k, o, start, end):
                packed_rows = memory_a + (i - start) * depth
                for j, width, mask in _tiles_of_row(p, o, n_start, n_end):
                    tile(i, count, j, width, mask, packed_rows)

        if o.pack_b:
            pack(k, at_b(n_start), b_strides, n, n_end - n_start, depth, memory_b, o.b)
        if o.pack_a:
            with k.range(m_start, m_end, _BAND * o.rows) as start:
                band(start, k.minimum(start + _BAND * o.rows, m_end))
        else:
            band(m_start, m_end)

    start, end = ranges["k"]
    if o.blocks:
        with k.range(start, end, p.k_block) as k0:
            stop = k.minimum(k0 + p.k_block, end)
            block(k0, stop - k0, k0.equals(start), stop.equals(end))
    else:
        block(start, end - start, None, None)


def _rows_of_tiles(k, o, start, end):
    """Where rows of tiles begin and how many rows they have. A generator of the *code* of loops: what follows it is in them."""
    whole = start + (end - start) // o.rows * o.rows
    with k.range(start, whole, o.rows) as i:
        yield i, o.rows
    if o.rest:
        with k.when(whole < end):
            yield whole, o.rest


def _tiles_of_row(p, o, start, end):
    """Where tiles begin, how many vectors they have, and which lanes of the last one are there (None: all)."""
    k, whole = p.k, start
    if o.wide:
        width = o.vectors * p.n
        whole = start + (end - start) // width * width
        with k.range(start, whole, width) as j:
            yield j, o.vectors, None
    if o.narrow:
        with k.range(whole, end, p.n) as j:
            yield j, 1, k.mask(end - j, p.n)


def _store_tile(p, o, sums, i, j, mask, first_row, begins, ends):
    """Put a tile into C, or add it where this is not the first block; ``begins`` and ``ends`` are None where there is but one."""
    k, n = p.k, p.n
    places = [(x, i + r, j + v * n, mask if v == len(row) - 1 else None) for r, row in enumerate(sums) for v, x in enumerate(row)]

    def add():
        for x, r, c, lanes in places:
            x.value = x.value + p.c.load(r * p.columns + c, n, lanes)

    def finish():
        for x, r, c, lanes in places:
            x.value = o.epilogue(k, x.value, first_row + r, c, lanes)

    if o.accumulate:
        add()
    elif begins is not None:
        with k.unless(begins):
            add()
    if o.epilogue and ends is not None:
        with k.when(ends):
            finish()
    elif o.epilogue:
        finish()
    for x, r, c, lanes in places:
        p.c.store(x.value, r * p.columns + c, lanes)


def _dots(p, o, ranges, first_row):
    """One column of C, where rows of A and the column of B lie in order: each row's products are added lane by lane, then the lanes."""
    k, n, (start, end) = p.k, p.n, ranges["m"]
    one = k.mask(k.const(1), n)
    for i, count in _rows_of_tiles(k, o, start, end):
        rows = [p.a + (i + r) * p.a_row for r in range(count)]
        sums = [k.var(k.vector(0.0, p.t, n)) for _ in rows]

        def add(place, v, rows=rows, sums=sums):
            x = v.load(p.b, place)
            for row, y in zip(rows, sums, strict=True):
                y.value = k.fma(v.load(row, place), x, y.value)

        k.each_vector(0, p.depth, add, n)
        tile = [[k.var(k.sum(y.value).splat(n))] for y in sums]
        _store_tile(p, o, tile, i, k.const(0), one, first_row, None, None)


def total(k, first=0, element="float32", accumulate=False, epilogue=None):
    """Write a kernel that adds partial sums in order, a task for each block of rows. Its options are as those of ``product``."""
    t = TYPES[element]
    parts, c = k.arg(first, t), k.arg(first + 1, t)
    count, m, columns, block = (k.arg(first + 2 + i, i64) for i in range(4))
    start = k.task * block
    with k.range(start, k.minimum(start + block, m)) as row:

        def body(column, v):
            place = row * columns + column
            x = k.var(v.load(parts, place))
            with k.range(1, count) as i:
                x.value = x.value + v.load(parts, i * (m * columns) + place)
            if accumulate:
                x.value = x.value + v.load(c, place)
            v.store(epilogue(k, x.value, row, column, v.mask) if epilogue else x.value, c, place)

        k.each_vector(0, columns, body, lanes_of(k, t))


def emit_matmul(k, **options):
    """The product alone."""
    product(k, **options)


def emit_total(k, **options):
    """The sum of partial products alone."""
    total(k, **options)


# ---- how a product is divided
class Matrices(typing.NamedTuple):
    """A batch of matrices: where they are, rows and columns, their strides, and sizes and strides of the axes before them."""

    buffer: Buffer
    shape: tuple
    strides: tuple
    batch: tuple = ()
    batch_strides: tuple = ()

    @property
    def turned(self):
        """The transposed matrices."""
        return self._replace(shape=self.shape[::-1], strides=self.strides[::-1])


def instructions(request, a, b, c, product=emit_matmul, total=emit_total, extra=(), accumulate=False):
    """Instructions for ``C = A B`` of three :class:`Matrices`. C is dense; A and B have its batch axes, with stride 0 where they repeat.

    ``product`` and ``total`` may be kernels of one's own around those of this file, with an epilogue; their arguments begin with
    those in ``extra``::

        def emit_biased(k, **options):
            bias = k.arg(0, f32)
            product(k, first=1, epilogue=lambda k, x, row, column, mask: x + bias.load(column, k.lanes, mask), **options)

    and likewise for ``total``. With ``accumulate`` the product is added to C.
    """
    along_b, across_a = b.strides[0] == 1 != b.strides[1], a.strides[0] == 1 != a.strides[1]
    if product is emit_matmul and ((c.shape[0] == 1 and along_b) or (c.shape[1] == 1 and across_a)):  # vectors along rows are better
        a, b, c = b.turned, a.turned, c.turned
    (m, depth), columns, element = a.shape, b.shape[1], c.buffer.dtype
    axes = _merged(c.batch, a.batch_strides, b.batch_strides)
    plan = _Plan(request, a, b, math.prod(c.batch), element, bool(axes))
    options = dict(plan.options, element=element, batch_axes=len(axes))
    more = {"accumulate": True} if accumulate else {}
    shape = m, columns
    args = [plan.scratch_size, plan.scratch_b, m, columns, depth, *a.strides, *b.strides, *plan.sizes, *(x for axis in axes for x in axis)]
    if plan.parts == 1:
        args = [*extra, a.buffer, b.buffer, c.buffer, plan.scratch, *args]
        return [request.kernel(product, args, plan.tasks, **options, **more)]
    parts = request.scratch(plan.parts * m * columns * c.buffer.itemsize, (plan.parts, *shape), element)
    block = -(-m // min(m, max(1, plan.parts * m * columns // 100_000)))
    return [
        request.kernel(emit_matmul, [a.buffer, b.buffer, parts, plan.scratch, *args], plan.tasks, **options, partial=True),
        request.kernel(total, [*extra, parts, c.buffer, plan.parts, *shape, block], -(-m // block), element=element, **more),
    ]


def _merged(sizes, a_strides, b_strides):
    """Axes of a batch, the last one first, as (size, stride in A, stride in B), where those that are one in memory are made one."""
    axes = []
    for size, sa, sb in reversed(list(zip(sizes, a_strides, b_strides, strict=True))):
        if axes and (sa, sb) == (axes[-1][0] * axes[-1][1], axes[-1][0] * axes[-1][2]):
            axes[-1] = (axes[-1][0] * size, *axes[-1][1:])
        elif size != 1:
            axes.append((size, sa, sb))
    return axes


class _Plan:
    """How a product is divided into tasks and blocks, and what is packed."""

    def __init__(self, request, a, b, items, element, batch):
        cpu, self.items = target(), items
        (m, depth), columns, size = a.shape, b.shape[1], SIZE[TYPES[element]]
        n = cpu.lanes * 4 // size
        a_layout, b_layout = _layout(*a.strides[::-1]), _layout(*b.strides)
        dots = columns == 1 and a_layout == "along" and b.strides[0] == 1
        rows, vectors = (min(m, 8), 1) if dots else _tile(cpu, m, columns // n)
        pack_b = not dots and (b_layout != "across" or m > 3 * rows)
        sizes = m, columns, depth, items, rows, vectors * n, n, pack_b
        k_task = depth if batch or dots else _divide(_THREADS, range(1, max(2, min(2 * _THREADS, depth // 256) + 1)), *sizes)[2]
        m_task, n_task, k_task, items_task = _divide(request.threads, [-(-depth // k_task)], *sizes)
        blocks = -(-k_task // _BLOCK)
        k_block = -(-k_task // blocks)
        if pack_b:
            n_task = min(n_task, max(1, _B_BYTES // (k_block * size * vectors * n)) * vectors * n)
        pack_a = a_layout == "across" and n_task * size >= 1024 and a.strides[1] * size >= 2048
        counts = [-(-whole // part) for whole, part in zip((m, columns, depth), (m_task, n_task, k_task), strict=True)]
        self.parts = counts[2]
        self.options = dict(
            rows=rows, vectors=vectors, rest=m % rows, wide=n_task >= vectors * n, narrow=columns % (vectors * n) != 0, a=a_layout,
            b=b_layout, pack_a=pack_a, pack_b=pack_b, blocks=blocks > 1 and not dots, dots=dots,
            divided="".join(c for c, count in zip("mnk", counts, strict=True) if count > 1),
        )  # fmt: skip
        self.scratch_b = _rounded((_rounded(n_task, n) * k_block + n * n) * pack_b, 16)
        scratch_a = _rounded((_BAND * rows * k_block) * pack_a, 16)
        self.scratch_size = (self.scratch_b + scratch_a) * size
        self.scratch = request.scratch(self.scratch_size * request.threads) if self.scratch_size else 0
        self.sizes = [m_task, n_task, k_task, k_block, *counts, items, items_task]
        self.tasks = math.prod(counts) * -(-items // items_task)


def _layout(along, across):
    return "across" if across == 1 else "along" if along == 1 else "any"


def _rounded(size, unit):
    return -(-size // unit) * unit


def _tile(cpu, m, whole_vectors):
    """Rows and vectors of a tile: accumulators, a row of B and a scalar fill the registers; few rows make place for more vectors."""
    registers = cpu.registers - cpu.registers // 16
    most = (registers - 4) // 2 // 2 * 2
    rows = most if m >= 4 * most else -(-m // -(-m // most))
    return rows, max(v for v in (2, 3, 4, 6, 8) if v == 2 or (rows * v + v < registers and v <= whole_vectors))


def _divide(threads, k_choices, m, columns, depth, items, rows, width, n, pack_b):
    """Rows, columns, steps and matrices of a task: of the ways to have enough tasks, the one that takes the fewest cycles.

    ``k_choices`` says into how many parts the sum may be divided. The model: a cycle adds 2 n products; an element of A or B costs
    half a cycle where it comes from, one where it is packed too.
    """
    cost_b = 1.0 if pack_b else 0.5

    def cycles(m, columns, depth):
        return m * max(_rounded(columns, n) * depth / (2 * n), 0.5 * depth) + (cost_b * columns + 0.5 * m) * depth + 0.1 * m * columns

    wanted = max(1, min(2 * threads, int(cycles(m, columns, depth) * items / _WORTH))) if threads > 1 else 1
    items_task = -(-items // min(wanted, items))
    wanted = -(-wanted // items)
    best = None
    for k_tasks in k_choices:
        k_task = min(depth, _rounded(-(-depth // k_tasks), 8))
        for n_tasks in range(1, min(-(-columns // width), wanted) + 1):
            n_task = min(columns, _rounded(-(-columns // n_tasks), width))
            m_task = min(m, _rounded(-(-m * n_tasks * k_tasks // wanted), rows))
            tasks = [-(-m // m_task), -(-columns // n_task), -(-depth // k_task)]
            time = -(-math.prod(tasks) // threads) * cycles(m_task, n_task, k_task)
            if k_tasks > 1:
                time = time * 1.05 + _DISPATCH + 0.2 * tasks[2] * m * columns
            if math.prod(tasks) < wanted:
                time *= 1.2
            if best is None or time < best[0]:
                best = time, (m_task, n_task, k_task, items_task)
    return best[1]


# ---- the op
@candidate("matmul")
def matmul(request):
    """Products of float32 and float64 matrices, batches and vectors with any strides."""
    (x, y), out = request.inputs, request.outputs[0]
    if not x.dtype == y.dtype == out.dtype or out.dtype not in TYPES or 0 in x.shape or 0 in y.shape:
        return [] if out.size == 0 else None
    return instructions(request, *operands(x, y, out))


def operands(x, y, out):
    """The three matrices of ``matmul(x, y)``: a vector becomes a row or a column, batches are repeated where they must be."""
    a = (x.shape, x.strides) if len(x.shape) > 1 else ((1, *x.shape), (0, *x.strides))
    b = (y.shape, y.strides) if len(y.shape) > 1 else ((*y.shape, 1), (*y.strides, 0))
    (*a_batch, m, depth), (*b_batch, _, columns) = a[0], b[0]
    batch = out.shape[: len(out.shape) - (len(x.shape) > 1) - (len(y.shape) > 1)]
    a_batch_strides, b_batch_strides = _repeated(a_batch, a[1], len(batch)), _repeated(b_batch, b[1], len(batch))
    a_strides = a[1][-2:]
    if batch and not any(b_batch_strides):  # one product over all batches, where their rows follow each other
        axes = _merged((*batch, m), (*a_batch_strides, a_strides[0]), (0,) * (len(batch) + 1))
        if len(axes) <= 1:
            m, a_strides = math.prod(batch) * m, (axes[0][1] if axes else 0, a_strides[1])
            batch = a_batch_strides = b_batch_strides = ()
    return (
        Matrices(x, (m, depth), _single((m, depth), a_strides), batch, a_batch_strides),
        Matrices(y, (depth, columns), _single((depth, columns), b[1][-2:]), batch, b_batch_strides),
        Matrices(out, (m, columns), (columns, 1), batch),
    )


def _repeated(sizes, strides, count):
    """Strides of the batch axes when they are broadcast to ``count``."""
    own = [0 if n == 1 else s for n, s in zip(sizes, strides[: len(sizes)], strict=True)]
    return tuple([0] * (count - len(own)) + own)


def _single(shape, strides):
    """Strides where an axis of size 1 has the one that suits: its own means nothing."""
    m, n = shape
    rows, columns = strides
    if n == 1:
        columns = 1 if rows != 1 else m
    if m == 1:
        rows = 1 if columns != 1 else n
    return rows, columns
