"""One kernel for a group of calls (``group.py``): nothing that they hand on goes to memory.

From the group's program (``program.py``) a kernel is written in one of two ways:

- ``rows``: row by row, in vectors along the last axis. A step that adds up a row ends a *phase*: what needs the sum comes in the
  next loop over the row, where full values of earlier phases are computed once more if that is little work, else kept in a buffer
  for one row. Rows of few vectors stay in registers as a whole. Sums over rows are gathered in memory that a task has for itself.
- ``columns``, where no row has a number of its own to be computed: some vectors of a row's columns, down all rows, so that sums over
  rows, and what is the same in all rows, are in registers.

A task is a block of rows or of columns, whose number and size depend on the shapes alone. Where several tasks add up the same,
each keeps its part, and a second kernel puts the parts together in order: the result is the same for any number of threads.
"""

import math

from llvmlite import ir

from kerasish.backend.kernels.candidates import candidate
from kerasish.backend.kernels.compile import target
from kerasish.backend.kernels.emit import i1, i8, i32, i64, lanes
from kerasish.backend.kernels.program import Facts, Unsupported, program_of, saved_for_later, three
from kerasish.backend.kernels.steps import STEPS, TYPES, UNSIGNED, compare, maximum, minimum

_TASK_BYTES, _TASK_STEPS, _MOST_TASKS = 1 << 17, 1 << 14, 64  # what is worth a task: bytes, or steps on a vector
_WIDEST = 4  # vectors of a row that are in registers at once


# ---- reductions
def _stored(dtype):
    """The type in memory."""
    return i8 if dtype == "bool" else TYPES[dtype]


def _identity(k, kind, dtype, n=0):
    """What changes nothing: the start of a sum, of a maximum, ..., in n lanes."""
    t = ir.VectorType(TYPES[dtype], n) if n else TYPES[dtype]
    if kind not in ("max", "min"):
        return k.const(int(kind in ("all", "prod")), t)
    if "float" in dtype:
        return k.const(-math.inf if kind == "max" else math.inf, t)
    bits = TYPES[dtype].width
    lowest, highest = (0, (1 << bits) - 1) if dtype in UNSIGNED else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    return k.const(lowest if kind == "max" else highest, t)


def _combine(k, kind, dtype, a, b):
    if kind == "sum":
        return a + b
    if kind == "prod":
        return a * b
    if kind in ("any", "all"):
        return a | b if kind == "any" else a & b
    return (maximum if kind == "max" else minimum)(k, dtype, dtype, a, b)


class _Total:
    """What the lanes of vectors (or numbers, for no lanes) have been combined to by now."""

    def __init__(self, k, kind, dtype, n):
        self.k, self.kind, self.dtype, self.n = k, kind, dtype, n
        self.var = k.var(_identity(k, kind, dtype, n))

    def take(self, x, v=None):
        """Combine with the lanes of a vector that are there."""
        if v is not None and v.mask is not None:
            x = self.k.select(v.mask, x, _identity(self.k, self.kind, self.dtype, self.n))
        self.var.value = _combine(self.k, self.kind, self.dtype, self.var.value, x)

    def result(self):
        """All lanes combined."""
        if not self.n:
            return self.var.value
        return self.k.reduce(self.var.value, lambda a, b: _combine(self.k, self.kind, self.dtype, a, b))


class _Best:
    """Where the first extreme element of a row is; the first NaN where there is one."""

    def __init__(self, k, kind, dtype, n):
        self.k, self.n, self.floating = k, n, "float" in dtype
        self.beats = lambda a, b: compare(">" if kind == "argmax" else "<")(k, dtype, None, a, b)
        self.best = k.var(_identity(k, kind[3:], dtype, n))
        self.place = k.var(k.const((1 << 31) - 1, ir.VectorType(i32, n)))

    def _first(self, a, i, b, j):
        """Whether a at place i goes before b at place j."""
        beats, same = self.beats(a, b), a.equals(b)
        if self.floating:
            beats, same = beats | (a.differs(a) & b.equals(b)), same | (a.differs(a) & b.differs(b))
        return beats | (same & (i < j))

    def take(self, x, v):
        """Compare with the lanes of a vector that are there."""
        k, place = self.k, self.k.iota(self.n, i32) + v.place.to(i32)
        first = self._first(x, place, self.best.value, self.place.value)
        first = first if v.mask is None else first & v.mask
        self.best.value, self.place.value = k.select(first, x, self.best.value), k.select(first, place, self.place.value)

    def result(self):
        """The place of the best of all lanes."""
        k, v, p = self.k, self.best.value, self.place.value
        n = self.n
        while n > 1:
            n //= 2
            (a, b), (i, j) = ([k.shuffle(x, x, range(s, s + n)) for s in (0, n)] for x in (v, p))
            first = self._first(a, i, b, j)
            v, p = k.select(first, a, b), k.select(first, i, j)
        return p.lane(0)


# ---- what both ways of writing a kernel share
class _Vector:
    """One vector of a row, or its last lanes: where it is, and what is known of it. ``slot``: which of those at once in registers."""

    def __init__(self, place, mask=None, slot=0, values=None):
        self.place, self.mask, self.slot, self.values = place, mask, slot, dict(values or {})


class _Output:
    """A value that leaves the group: (operand, mask, how rows are combined, whether they are rows' numbers, whether a mean, dtype)."""

    def __init__(self, rank, described):
        self.operand, mask, self.kind, self.of_rows, self.divide, self.dtype = described
        self.mask = three(mask)
        self.along_columns = self.mask[2]
        self.level = int(self.kind is not None and rank == 3 and self.mask[0])  # 1 where it is combined for each A anew


class _Writer:
    """Writes a kernel. ``row``: rows' numbers by now; ``totals``: what outputs that are combined have in registers."""

    def __init__(self, k, rank, inputs, steps, outputs, width, tail, saved):
        self.k, self.n, self.rank, self.inputs, self.steps = k, k.lanes, rank, inputs, steps
        self.width, self.tail, self.saved = width, tail, saved
        self.outputs = [_Output(rank, output) for output in outputs]
        self.masks, self.facts = [three(mask) for _, mask in inputs], Facts(inputs, steps)
        self.dtypes = [dtype for dtype, _ in inputs] + [dtype for _, _, _, dtype in steps]
        self._read_arguments()
        self.row, self.totals, self.zero = {}, {}, k.const(0)
        self.a = self.r = self.zero

    def _read_arguments(self):
        k, arguments = self.k, iter(range(1000))
        self.A, self.R, self.C, per, columns, blocks = (k.arg(next(arguments), i64) for _ in range(6))
        for y in self.outputs:
            y.divisor = k.arg(next(arguments), i64)
        self.sources = [k.integers(next(arguments)).as_(_stored(dtype)) for dtype, _ in self.inputs]
        for y in self.outputs:
            y.memory = k.integers(next(arguments)).as_(_stored(y.dtype))
        if self.saved:
            memory, each = k.integers(next(arguments)).as_(i8), k.arg(next(arguments), i64)
            memory = memory + k.thread * (each * len(self.saved))
            self.scratch = {i: (memory + each * j).as_(_stored(self.dtypes[i])) for j, i in enumerate(self.saved)}
        self.block, column = k.task / blocks, k.task % blocks * columns
        self.start, self.column = self.block * per, column
        self.stop = k.minimum(self.start + per, self.A if self.rank == 3 else self.R)
        self.end_column = k.minimum(column + columns, self.C)

    # ---- values
    def at(self, mask):
        """How far into its memory a value is at the start of the row."""
        along_a, along_r, along_c = mask
        place = self.a if along_a else self.zero
        if along_r:
            place = place * self.R + self.r if along_a else self.r
        return place * self.C if along_c and (along_a or along_r) else place

    def loaded(self, value, dtype):
        """What comes out of memory, with truth values made of bytes."""
        return value.differs(0) if dtype == "bool" else value

    def put(self, p, value, at, mask=None):
        """Into memory."""
        p.store(value.to(i8) if (value.type.element if lanes(value.type) else value.type) == i1 else value, at, mask)

    def numbers(self, when, phase=0):
        """Get all rows' numbers that are known by now."""
        facts = self.facts
        for i, dtype in enumerate(self.dtypes):
            if facts.full[i] or facts.phase[i] != phase or facts.when[i] != when or i in self.row:
                continue
            if i < len(self.inputs):
                self.row[i] = self.loaded(self.sources[i][self.at(self.masks[i])], dtype)
            else:
                self.row[i] = self.compute(i, [self.row[o] for o in self.steps[i - len(self.inputs)][1]])

    def vector(self, i, v, phase=0):
        """A value in the lanes of a vector."""
        if i not in v.values:
            v.values[i] = self._vector(i, v, phase)
        return v.values[i]

    def _vector(self, i, v, phase):
        if not self.facts.full[i]:
            return self.row[i].splat(self.n)
        if i < len(self.inputs):
            return self.loaded(self.sources[i].load(self.at(self.masks[i]) + v.place, self.n, v.mask), self.dtypes[i])
        if i in self.saved and self.facts.phase[i] < phase:
            return self.loaded(self.scratch[i].load(v.place - self.column, self.n), self.dtypes[i])
        name, operands, _, _ = self.steps[i - len(self.inputs)]
        if name == "place":
            return self.k.iota(self.n, i32) + v.place.to(i32)
        return self.compute(i, [self.vector(o, v, phase) for o in operands])

    def compute(self, i, operands):
        """A step's code."""
        name, refs, attrs, dtype = self.steps[i - len(self.inputs)]
        if name == "number":
            return self.k.const(dict(attrs)["value"], TYPES[dtype])
        if name == "size":
            return self.C.to(TYPES[dtype])
        return STEPS[name](self.k, self.dtypes[refs[0]], dtype, *operands, **dict(attrs))

    # ---- outputs that are combined over rows
    def combined(self, level):
        """Those that are combined for each A anew (level 1), or over all (0)."""
        return [y for y in self.outputs if y.kind and y.level == level]

    def place_of(self, y):
        """Where it goes: its own place, or that of this task's part."""
        if y.along_columns:
            return y.memory + (self.a if y.level else self.block) * self.C
        return y.memory + (self.a if y.level else self.k.task)

    def finished(self, y, value):
        """The result: divided where it is a mean."""
        return value / y.divisor.to(TYPES[y.dtype]) if y.divide else value

    def total(self, y):
        return _Total(self.k, y.kind, y.dtype, 0 if y.of_rows else self.n)

    def over_rows(self, each_a, each_row):
        """Loops over A, with ``each_a`` around what is inside, and over the rows of this task."""
        k = self.k
        if self.rank < 2:
            each_row()
        elif self.rank == 2:
            with k.range(self.start, self.stop) as self.r, self.forgetting():
                each_row()
            self.r = self.zero
        else:
            with k.range(self.start, self.stop) as self.a, self.forgetting():
                self.numbers(1)
                each_a(self._over_r, each_row)
            self.a = self.zero

    def _over_r(self, each_row):
        with self.k.range(self.R) as self.r, self.forgetting():
            each_row()
        self.r = self.zero

    def forgetting(self):
        """Block after which rows' numbers that were found in it are not known any more."""
        return _Forgetting(self)


class _Forgetting:
    def __init__(self, writer):
        self.writer = writer

    def __enter__(self):
        self.known = dict(self.writer.row)

    def __exit__(self, *exc):
        self.writer.row = self.known


# ---- row by row
class _Rows(_Writer):
    def write(self):
        k = self.k
        self.numbers(0)
        self.last_mask = k.mask(self.C - (self.width - 1) * self.n) if self.width and self.tail else None
        self.begin(0)
        self.over_rows(self.each_a, self.one_row)
        self.end(0)

    def each_a(self, over_r, each_row):
        self.begin(1)
        over_r(each_row)
        self.end(1)

    def begin(self, level):
        """Nothing has been combined so far."""
        for y in self.combined(level):
            if y.along_columns:
                self.each_vector(lambda c, v, y=y: self.put(self.place_of(y), _identity(self.k, y.kind, y.dtype, self.n), c, v.mask))
            else:
                self.totals[y] = self.total(y)

    def end(self, level):
        """What has been combined goes to memory."""
        for y in self.combined(level):
            place = self.place_of(y)
            if not y.along_columns:
                self.put(place, self.finished(y, self.totals[y].result()), 0)
            elif y.divide:
                self.each_vector(lambda c, v, y=y, place=place: v.store(self.finished(y, v.load(place, c)), place, c))

    def each_vector(self, body):
        self.k.each_vector(self.column, self.end_column, body)

    def one_row(self):
        self.numbers(2)
        vectors = None
        if self.width:
            masks = [None] * (self.width - 1) + [self.last_mask]
            vectors = [_Vector(self.k.const(i * self.n), mask) for i, mask in enumerate(masks)]
        for phase in range(1 + max(self.facts.phase, default=0)):
            self.one_phase(phase, vectors)
            self.numbers(2, phase + 1)
        for y in self.outputs:
            if y.of_rows:
                self.totals[y].take(self.row[y.operand])
            elif not y.kind and not y.along_columns:
                self.put(y.memory, self.row[y.operand], self.at(y.mask))

    def one_phase(self, phase, vectors):
        """One loop over a row: everything of this phase that is stored, combined or kept for later."""
        first = len(self.inputs)
        sums = {first + j: (name[4:], operands[0]) for j, (name, operands, _, _) in enumerate(self.steps)
                if name.startswith("row_") and self.facts.phase[first + j] == phase + 1}  # fmt: skip
        outputs = [y for y in self.outputs if not y.of_rows and (y.kind or y.along_columns) and self.facts.phase[y.operand] == phase]
        kept = [] if self.width else [i for i in self.saved if self.facts.phase[i] == phase]
        if not (sums or outputs or kept):
            return
        totals = {i: (_Best if kind.startswith("arg") else _Total)(self.k, kind, self.dtypes[o], self.n) for i, (kind, o) in sums.items()}
        needed = [*(o for _, o in sums.values()), *(y.operand for y in outputs), *kept]

        def one_vector(v):
            for i in needed:  # all loads come before the first store: a result may have an input's memory
                self.vector(i, v, phase)
            for i, (_, o) in sums.items():
                totals[i].take(v.values[o], v)
            for i in kept:
                self.put(self.scratch[i], v.values[i], v.place - self.column)
            for y in outputs:
                self.output(y, v)

        if vectors is None:
            self.each_vector(lambda c, v: one_vector(_Vector(c, v.mask)))
        else:
            for v in vectors:
                one_vector(v)
        self.row.update((i, total.result()) for i, total in totals.items())

    def output(self, y, v):
        """A vector of an output."""
        x = v.values[y.operand]
        if not y.kind:
            self.put(y.memory, x, self.at(y.mask) + v.place, v.mask)
        elif not y.along_columns:
            self.totals[y].take(x, v)
        else:
            place = self.place_of(y)
            before = self.loaded(place.load(v.place, self.n, v.mask), y.dtype)
            self.put(place, _combine(self.k, y.kind, y.dtype, before, x), v.place, v.mask)


# ---- columns by columns
class _Columns(_Writer):
    def write(self):
        k, step = self.k, max(1, self.width) * self.n
        self.numbers(0)
        numbers = [y for y in self.combined(0) if not y.along_columns]
        self.totals.update(((y, 0), self.total(y)) for y in numbers)
        rest = self.column
        if self.width:
            rest = self.column + (self.end_column - self.column) / step * step
            with k.range(self.column, rest, step) as c:
                self.some_columns([_Vector(c + i * self.n, slot=i) for i in range(self.width)])
        if self.tail:
            with k.range(rest, self.end_column, self.n) as c:
                self.some_columns([_Vector(c, k.mask(self.end_column - c))])
        for y in numbers:
            self.put(self.place_of(y), self.finished(y, self.totals[y, 0].result()), 0)

    def some_columns(self, vectors):
        """All rows of these columns."""
        vectors = self.inside(vectors, 0)
        self.begin(0, vectors)

        def each_a(over_r, each_row):
            nonlocal vectors
            outside, vectors = vectors, self.inside(vectors, 1)
            self.begin(1, vectors)
            over_r(each_row)
            self.end(1, vectors)
            vectors = outside

        self.over_rows(each_a, lambda: self.one_row(vectors))
        self.end(0, vectors)

    def inside(self, vectors, when):
        """The vectors in an inner loop: with what the loops around know of them, and inputs that are known there."""
        vectors = [_Vector(v.place, v.mask, v.slot, v.values) for v in vectors]
        for i, mask in enumerate(self.masks):
            if mask[2] and (2 if mask[1] else int(mask[0])) == when:
                for v in vectors:
                    self.vector(i, v)
        return vectors

    def begin(self, level, vectors):
        for y in self.combined(level):
            if y.along_columns:
                self.totals.update(((y, v.slot), self.total(y)) for v in vectors)

    def end(self, level, vectors):
        for y in self.combined(level):
            for v in vectors if y.along_columns else ():
                self.put(self.place_of(y), self.finished(y, self.totals[y, v.slot].var.value), v.place, v.mask)

    def one_row(self, vectors):
        self.numbers(2)
        vectors = self.inside(vectors, 2)
        for v in vectors:
            for y in self.outputs:  # all loads come before the first store, as above
                self.vector(y.operand, v)
        for v in vectors:
            for y in self.outputs:
                x = v.values[y.operand]
                if y.kind:
                    self.totals[y, v.slot if y.along_columns else 0].take(x, None if y.along_columns else v)
                else:
                    self.put(y.memory, x, self.at(y.mask) + v.place, v.mask)


def emit_group(k, rank, inputs, steps, outputs, mode, width, tail, saved):
    """Arguments: A, R, C, rows (or A) of a task, columns of a task, blocks of columns; what each output is divided by; inputs,
    outputs; scratch memory and its bytes for each value."""
    (_Rows if mode == "rows" else _Columns)(k, rank, inputs, steps, outputs, width, tail, saved).write()


def emit_together(k, parts):
    """Arguments for each of the ``parts`` (kind, whether a mean, dtype): what the tasks have left, the result, how many there are, the
    size of each, what to divide by."""
    for j, part in enumerate(parts):
        _together(k, 5 * j, *part)


def _together(k, first, kind, divide, dtype):
    source, result = (k.integers(first + i).as_(_stored(dtype)) for i in (0, 1))
    count, size, divisor = (k.arg(first + i, i64) for i in (2, 3, 4))

    def loaded(v, at):
        x = v.load(source, at)
        return x.differs(0) if dtype == "bool" else x

    def one_vector(c, v):
        total = k.var(loaded(v, c))
        with k.range(1, count) as i:
            total.value = _combine(k, kind, dtype, total.value, loaded(v, i * size + c))
        y = total.value / divisor.to(TYPES[dtype]) if divide else total.value
        v.store(y.to(i8) if dtype == "bool" else y, result, c)

    k.each_vector(0, size, one_vector)


# ---- binding
@candidate("fused")
def fused(request):
    """Instructions for a group, None where something in it has no code here."""
    try:
        program = program_of(request.op)
    except Unsupported:
        return None
    inputs, steps, outputs = tuple(program.inputs), tuple(program.steps), tuple(program.outputs)
    rank, sizes = len(request.op.axes), (1,) * (3 - len(request.op.axes)) + tuple(request.op.axes)
    facts = Facts(inputs, steps)
    mode = _mode(rank, steps, outputs)
    width, tail, saved = _in_registers(rank, sizes[2], mode, facts, inputs, steps)
    blocks, per, column_blocks, columns = _tasks(rank, sizes, mode, facts, _work(request, sizes, steps), outputs)
    tasks, results, divisors, parts, left = blocks * column_blocks, [], [], [], []
    for y, (_, mask, kind, of_rows, divide, dtype) in zip(request.outputs, outputs, strict=True):
        along = bool(mask) and mask[-1]
        divisors.append(math.prod(sizes[:2] if of_rows else sizes) // y.size if divide else 1)
        results.append(y)
        count = (blocks if along else tasks) if kind and not (rank == 3 and mask[0]) else 1
        if count != 1:
            size = sizes[2] if along else 1
            results[-1] = request.scratch(count * size * y.itemsize, dtype=y.dtype)
            parts.append((kind, divide, dtype))
            left += [results[-1], y, count, size, divisors[-1]]
            divisors[-1] = 1
    each = -(-sizes[2] // 8) * 64 + 128  # bytes for a row, and a whole vector at its end
    scratch = [request.scratch(request.threads * each * len(saved)), each] if saved else []
    args = [*sizes, per, columns, column_blocks, *divisors, *(request.dense(i) for i in range(len(inputs))), *results, *scratch]
    how = {"mode": mode, "width": width, "tail": tail, "saved": saved}
    made = [request.kernel(emit_group, args, tasks, rank=rank, inputs=inputs, steps=steps, outputs=outputs, **how)]
    return [*made, request.kernel(emit_together, left, parts=tuple(parts))] if parts else made


def _mode(rank, steps, outputs):
    """``columns`` where no row has a number that must be computed for it, stored or combined."""
    if rank < 2 or any(name.startswith("row_") for name, _, _, _ in steps):
        return "rows"
    for _, mask, kind, of_rows, _, _ in outputs:
        if of_rows or not (kind or mask[-1]) or (rank == 3 and kind and mask[0] and not mask[-1]):
            return "rows"
    return "columns"


def _in_registers(rank, columns, mode, facts, inputs, steps):
    """Vectors of a row in registers (0: a loop over the row), whether the last has fewer lanes, and what is kept in memory for a row."""
    n = target().lanes
    if mode == "columns":
        width = min(_WIDEST, columns // n)
        return width, bool(columns % (max(1, width) * n)), ()
    vectors = -(-columns // n)
    if rank and max(facts.phase, default=0) and vectors <= _WIDEST and vectors * len(steps) <= 80:
        return vectors, bool(columns % n), ()
    return 0, False, saved_for_later(facts, len(inputs), steps) if rank else ()


def _work(request, sizes, steps):
    """How many tasks the work is worth, by the memory that it reads and writes and by its steps on vectors."""
    nbytes = sum(x.size * x.itemsize for x in (*request.inputs, *request.outputs))
    vectors = sizes[0] * sizes[1] * -(-sizes[2] // target().lanes)
    return min(_MOST_TASKS, max(nbytes // _TASK_BYTES, vectors * len(steps) // _TASK_STEPS))


def _tasks(rank, sizes, mode, facts, wanted, outputs):
    """Blocks of rows (or of A), rows in each, blocks of columns, columns in each."""
    A, R, C = sizes
    units, n = A if rank == 3 else R, target().lanes
    if wanted <= 1 or rank == 0 or (rank == 1 and max(facts.phase)):
        return 1, units, 1, C
    if rank == 1:
        return 1, 1, *_parts(C, wanted, 16 * n)
    sums = any(kind and mask[-1] and not (rank == 3 and mask[0]) for _, mask, kind, _, _, _ in outputs)
    rows = A * R
    if mode == "columns" and sums and rows <= 2048 and 8 * _WIDEST * n <= C:
        return 1, units, *_parts(C, min(wanted, C // (_WIDEST * n)), _WIDEST * n)  # so that nothing needs to be put together
    return *_parts(units, min(wanted, units), 1), 1, C


def _parts(size, wanted, step):
    """At most so many equal parts of a multiple of ``step``: their number and size."""
    part = -(size // -wanted)
    part = -(part // -step) * step
    return -(size // -part), part
