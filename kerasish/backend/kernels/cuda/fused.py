"""The source of one kernel for a group of calls (``kernels/group.py``), from the same program as the processor's kernels.

All axes are ``(A, R, C)``, a *row* is what lies along C. There are three ways to write a kernel:

- ``elements``, where nothing is added up: a thread has some elements, far from each other, so that neighbours read neighbours. It reads
  all before it writes anything: a result may have an input's memory.
- ``rows``, where a row has numbers of its own (its maximum, its sum): some threads share a row, and what later passes over the row
  need again stays in registers if it is not too long.
- ``columns``, where only what is added up leaves the group: a thread goes down a column, its neighbour down the next one.

What several blocks add up goes to scratch memory, a part for each, and a second kernel puts the parts together in order: no
atomic operations, so the same inputs give the same bits.
"""

import math
import typing

from kerasish.backend.kernels.cuda.launch import THREADS, Launch, candidate, source
from kerasish.backend.kernels.cuda.prelude import MEMORY, REGISTER, rounded
from kerasish.backend.kernels.cuda.steps import STEPS, expression
from kerasish.backend.kernels.program import Facts, Unsupported, program_of, saved_for_later

_EACH = 4  # elements of a thread, where nothing is added up
_IN_REGISTERS, _LONGEST = 8, 1024  # elements of a row that a thread keeps, threads that share a row
_BLOCKS, _MOST_PARTS = 1024, 256  # enough blocks to fill a device, parts that are worth putting together
_BESIDE = 8  # results whose parts are put together side by side: few, so that no thread has many parts
_OPERATION = {"sum": "Sum", "prod": "Product", "max": "Max", "min": "Min", "any": "Any", "all": "All",
              "argmax": "ArgMax", "argmin": "ArgMin"}  # fmt: skip


class Output(typing.NamedTuple):
    """A value that leaves the group: ``kind`` says how it is combined over rows; ``parts``: each block writes one of its own."""

    operand: int
    mask: tuple
    kind: str | None
    of_rows: bool
    divide: bool
    dtype: str
    parts: bool = False

    @property
    def along(self):
        return self.mask[2]

    @property
    def memory(self):
        """The type in memory."""
        return REGISTER[self.dtype] if self.parts else MEMORY[self.dtype]


class Shape(typing.NamedTuple):
    """What a kernel is compiled for: the way it is written, threads along a row, threads in all, elements of a row in registers."""

    mode: str
    wide: int
    threads: int
    kept: int
    index: str


def lifted(mask, kind=None):
    """A mask of the axes (A, R, C); axes of size 1 in front, which smaller groups lack, count as gone along."""
    mask = (True,) * (3 - len(mask)) + tuple(mask)
    return (mask[0], mask[1] and kind is None, mask[2])


class _Writer:
    """Writes a kernel's body, line by line. A value with number i is ``v<i>``, its memory ``x<i>``, that of an output ``y<j>``."""

    def __init__(self, inputs, steps, outputs, shape):
        self.inputs, self.steps, self.outputs, self.shape = inputs, steps, outputs, shape
        self.facts, self.lines = Facts(inputs, steps), [f"typedef {shape.index} I;"]
        self.dtypes = [dtype for dtype, _ in inputs] + [dtype for _, _, _, dtype in steps]

    def source(self):
        for text in ("R", "C", "rows", "per", "blocks", "wide"):
            self.line(f"const I {text} = (I)n_{text};")
        {"elements": self.elements, "rows": self.rows, "columns": self.columns}[self.shape.mode]()
        only = "" if self.shape.mode == "elements" else "__restrict__ "
        parameters = [f"i64 n_{text}" for text in ("R", "C", "rows", "per", "blocks", "wide")]
        parameters += [f"i64 divisor{j}" for j in range(len(self.outputs))]
        parameters += [f"const {MEMORY[dtype]} *{only}x{i}" for i, (dtype, _) in enumerate(self.inputs)]
        parameters += [f"{y.memory} *{only}y{j}" for j, y in enumerate(self.outputs)]
        return source(parameters, "\n".join(self.lines), self.shape.threads)

    # ---- lines
    def line(self, *lines):
        self.lines.extend(lines)

    def value(self, i, code):
        """The line that gives a value its name."""
        self.line(f"const {REGISTER[self.dtypes[i]]} v{i} = {code};")

    def place(self, mask):
        """Where in its memory a value's element is."""
        along_a, along_r, along_c = mask
        row = "row" if along_a and along_r else "a" if along_a else "r" if along_r else None
        if not along_c:
            return row or "0"
        return f"{row} * C + c" if row else "c"

    def load(self, i):
        return f"get(x{i}[{self.place(self.inputs[i][1])}])"

    def step(self, i):
        """A step's code."""
        name, operands, attrs, dtype = self.steps[i - len(self.inputs)]
        if name == "place":
            return "(int)c"
        code = expression(name, attrs, [self.dtypes[o] for o in operands], dtype, [f"v{o}" for o in operands], "C")
        return rounded(code, dtype)

    def needed(self, wanted, known=()):
        """The values along rows that must be computed for some, in order; those known are not looked behind."""
        found, stack = set(), [i for i in wanted if self.facts.full[i]]
        while stack:
            i = stack.pop()
            if i in found:
                continue
            found.add(i)
            if i >= len(self.inputs) and i not in known:
                stack.extend(o for o in self.steps[i - len(self.inputs)][1] if self.facts.full[o])
        return sorted(found)

    def start(self, y):
        t = REGISTER[y.dtype]
        return f"{_OPERATION[y.kind]}::start({t}())"

    def combine(self, y, target, value=None):
        t = REGISTER[y.dtype]
        return f"{target} = {_OPERATION[y.kind]}::combine({target}, ({t}){value or f'v{y.operand}'});"

    def finished(self, j, value):
        """What is written of an output that has been combined."""
        y = self.outputs[j]
        return f"({value}) / ({REGISTER[y.dtype]})divisor{j}" if y.divide and not y.parts else value

    def which(self, combined, along):
        """The outputs that are combined over rows, or not, and their numbers."""
        return [(j, y) for j, y in enumerate(self.outputs) if bool(y.kind) == combined and y.along == along]

    # ---- elements
    def elements(self):
        loads = list(range(len(self.inputs)))
        where = [f"const I i = first + j * {self.shape.threads};", "if (i >= rows) continue;", "const I c = i % C, row = i / C;",
                 "const I a = row / R, r = row % R;"]  # fmt: skip
        self.line(f"const I first = (I)blockIdx.x * {self.shape.threads * _EACH} + threadIdx.x;")
        self.line(*(f"{REGISTER[self.dtypes[i]]} in{i}[{_EACH}];" for i in loads))
        loop = ["#pragma unroll", f"for (int j = 0; j < {_EACH}; ++j) {{"]
        self.line(*loop, *where, *(f"in{i}[j] = {self.load_element(i)};" for i in loads), "}", *loop, *where)
        for i in range(len(self.dtypes)):
            self.value(i, f"in{i}[j]" if i < len(self.inputs) else self.step(i))
        for j, y in enumerate(self.outputs):
            self.put_element(j, y)
        self.line("}")

    def load_element(self, i):
        mask = self.inputs[i][1]
        return f"get(x{i}[i])" if all(mask) else self.load(i)

    def put_element(self, j, y):
        """An element of an output; what is the same in several is written once."""
        others = [f"{name} == 0" for name, along in zip("arc", y.mask, strict=True) if not along]
        place = "i" if all(y.mask) else self.place(y.mask)
        once = f"if ({' && '.join(others)}) " if others else ""
        self.line(f"{once}put(y{j} + {place}, v{y.operand});")

    # ---- columns
    def block(self, part):
        """Which rows a block has."""
        self.line(f"const int tx = threadIdx.x % {self.shape.wide}, ty = threadIdx.x / {self.shape.wide};")
        self.line(f"const I part = {part}, segment = part / blocks;")
        self.line("const I first = segment * rows + part % blocks * per, end = segment * rows + rows;")
        self.line("const I last = first + per < end ? first + per : end;")

    def columns(self):
        high = self.shape.threads // self.shape.wide
        self.block("(I)blockIdx.x / wide")
        self.line("const I column = (I)blockIdx.x % wide;")
        sums, totals = self.which(True, True), self.which(True, False)
        self.line(*(f"{REGISTER[y.dtype]} total{j} = {self.start(y)};" for j, y in totals))
        self.line(f"for (I c0 = column * {self.shape.wide}; c0 < C; c0 += wide * {self.shape.wide}) {{", "const I c = c0 + tx;")
        self.line(*(f"{REGISTER[y.dtype]} sum{j} = {self.start(y)};" for j, y in sums))
        self.line("if (c < C) {", "#pragma unroll 4", f"for (I row = first + ty; row < last; row += {high}) {{")
        self.line("const I a = row / R, r = row % R;")
        for i in range(len(self.dtypes)):
            self.value(i, self.load(i) if i < len(self.inputs) else self.step(i))
        self.line(*(f"put(y{j} + {self.place(y.mask)}, v{y.operand});" for j, y in self.which(False, True)))
        self.line(*(f"if (c == 0) put(y{j} + {self.place(y.mask)}, v{y.operand});" for j, y in self.which(False, False)))
        self.line(*(self.combine(y, f"sum{j}") for j, y in sums))
        self.line(*(f"{'if (c == 0) ' if y.of_rows else ''}{self.combine(y, f'total{j}')}" for j, y in totals), "}", "}")
        for j, y in sums:
            self.line(f"sum{j} = down<{_OPERATION[y.kind]}, {self.shape.wide}, {self.shape.threads}>(sum{j});")
            self.line(f"if (ty == 0 && c < C) put(y{j} + part * C + c, {self.finished(j, f'sum{j}')});")
        self.line("}")
        self.write_totals(totals, "blockIdx.x")

    def write_totals(self, totals, place):
        n = self.shape.threads
        for j, y in totals:
            self.line(f"total{j} = across<{_OPERATION[y.kind]}, {n}, {n}>(total{j});")
            self.line(f"if (threadIdx.x == 0) put(y{j} + {place}, {self.finished(j, f'total{j}')});")

    # ---- rows
    def rows(self):
        wide, kept, n = self.shape.wide, self.shape.kept, self.shape.threads
        high, phases = n // wide, range(1 + max(self.facts.phase, default=0))
        self.block("(I)blockIdx.x")
        sums, totals = self.which(True, True), self.which(True, False)
        self.line(*(f"{REGISTER[y.dtype]} total{j} = {self.start(y)};" for j, y in totals))
        if kept:
            self.line(*(f"{REGISTER[y.dtype]} sum{j}[{kept}];" for j, y in sums))
            self.line("#pragma unroll", f"for (int k = 0; k < {kept}; ++k) {{", *(f"sum{j}[k] = {self.start(y)};" for j, y in sums), "}")
        self.line(f"for (I row0 = first; row0 < last; row0 += {high}) {{", "const bool there = row0 + ty < last;")
        self.line("const I row = there ? row0 + ty : last - 1;", "const I a = row / R, r = row % R;")
        self.numbers(0)
        self.plan_phases(phases)
        for phase in phases:
            self.one_phase(phase)
            self.numbers(phase + 1)
        for j, y in self.which(False, False):
            self.line(f"if (there && tx == 0) put(y{j} + {self.place(y.mask)}, v{y.operand});")
        self.line(*(f"if (there && tx == 0) {self.combine(y, f'total{j}')}" for j, y in totals if y.of_rows), "}")
        self.write_totals(totals, "part")
        for j, y in sums if kept else ():
            for k in range(kept):
                self.line(f"{{ const I c = tx + {k * wide};")
                self.line(f"const {REGISTER[y.dtype]} s = down<{_OPERATION[y.kind]}, {wide}, {n}>(sum{j}[{k}]);")
                self.line(f"if (ty == 0 && c < C) put(y{j} + part * C + c, {self.finished(j, 's')}); }}")

    def numbers(self, phase):
        """Rows' numbers that are known now."""
        n = self.shape
        for i, dtype in enumerate(self.dtypes):
            if self.facts.full[i] or self.facts.phase[i] != phase:
                continue
            if i < len(self.inputs):
                self.value(i, self.load(i))
                continue
            name = self.steps[i - len(self.inputs)][0]
            if name.startswith("row_arg"):
                self.value(i, f"best_across<{_OPERATION[name[4:]]}, {n.wide}, {n.threads}>(row{i})")
            elif name.startswith("row_"):
                self.value(i, rounded(f"across<{_OPERATION[name[4:]]}, {n.wide}, {n.threads}>(row{i})", dtype))
            else:
                self.value(i, self.step(i))

    def plan_phases(self, phases):
        """What each pass over a row computes: rows' numbers (value, kind, operand), outputs; and what stays in registers for later."""
        first, self.found, self.written, wanted = len(self.inputs), {}, {}, {}
        for p in phases:
            self.found[p] = [(first + j, name[4:], operands[0]) for j, (name, operands, _, _) in enumerate(self.steps)
                             if name.startswith("row_") and self.facts.phase[first + j] == p + 1]  # fmt: skip
            self.written[p] = [(j, y) for j, y in enumerate(self.outputs)
                               if not y.of_rows and (y.kind or y.along) and self.facts.phase[y.operand] == p]  # fmt: skip
        saved = saved_for_later(self.facts, first, self.steps) if self.shape.kept else ()
        for p in phases:
            own = [i for i in saved if self.facts.phase[i] == p]
            known = [i for i in saved if self.facts.phase[i] < p]
            wanted[p] = self.needed([*(o for _, _, o in self.found[p]), *(y.operand for _, y in self.written[p]), *own], known)
        uses = {i: [p for p in phases if i in wanted[p]] for i in (*range(first), *saved)}
        self.wanted, self.kept_from = wanted, {i: u[0] for i, u in uses.items() if self.shape.kept and len(u) > 1}
        self.line(*(f"{REGISTER[self.dtypes[i]]} kept{i}[{self.shape.kept}];" for i in self.kept_from))

    def one_phase(self, phase):
        """One pass over a row."""
        if not (self.found[phase] or self.written[phase] or phase in self.kept_from.values()):
            return
        wide, kept = self.shape.wide, self.shape.kept
        for i, kind, o in self.found[phase]:
            t = REGISTER[self.dtypes[o] if kind.startswith("arg") else self.dtypes[i]]
            start = f"{_OPERATION[kind.removeprefix('arg')]}::start({t}())"
            self.line(f"Best<{t}> row{i} = {{{start}, 0x7fffffff}};" if kind.startswith("arg") else f"{t} row{i} = {start};")
        if kept:
            self.line("#pragma unroll", f"for (int k = 0; k < {kept}; ++k) {{", f"const I c = tx + k * {wide};", "if (c < C) {")
        else:
            self.line(f"for (I c = tx; c < C; c += {wide}) {{", "{")
        for i in self.wanted[phase]:
            known = i in self.kept_from and self.kept_from[i] < phase
            self.value(i, f"kept{i}[k]" if known else self.load(i) if i < len(self.inputs) else self.step(i))
            if self.kept_from.get(i) == phase:
                self.line(f"kept{i}[k] = v{i};")
        for i, kind, o in self.found[phase]:
            if kind.startswith("arg"):
                t = REGISTER[self.dtypes[o]]
                self.line(f"{{ const Best<{t}> x = {{v{o}, (int)c}}; row{i} = better<{_OPERATION[kind]}>(x, row{i}); }}")
            else:
                self.line(f"row{i} = {_OPERATION[kind]}::combine(row{i}, ({REGISTER[self.dtypes[i]]})v{o});")
        for j, y in self.written[phase]:
            self.output(j, y)
        self.line("}", "}")

    def output(self, j, y):
        """An element of an output."""
        if not y.kind:
            self.line(f"if (there) put(y{j} + {self.place(y.mask)}, v{y.operand});")
        elif not y.along:
            self.line(f"if (there) {self.combine(y, f'total{j}')}")
        elif self.shape.kept:
            self.line(f"if (there) {self.combine(y, f'sum{j}[k]')}")
        else:
            place, t = f"y{j}[part * C + c]", REGISTER[y.dtype]
            self.line(f"{place} = row0 == first ? ({t})v{y.operand} : {_OPERATION[y.kind]}::combine({place}, ({t})v{y.operand});")


# ---- putting parts together
def together(parts):
    """The source that combines parts of several results. ``parts``: (kind, whether a mean, dtype, whether single numbers) of each."""
    parameters, lines = [], ["i64 block = blockIdx.x;"]
    for j, (kind, divide, dtype, single) in enumerate(parts):
        t, wide = REGISTER[dtype], 1 if single else _BESIDE
        parameters += [f"const {t} *part{j}", f"{MEMORY[dtype]} *y{j}"]
        parameters += [f"i64 {name}{j}" for name in ("count", "size", "divisor", "blocks")]
        lines += [
            f"if (block < blocks{j}) {{",
            f"const i64 each = (size{j} + {wide - 1}) / {wide}, segment = block / each, c = block % each * {wide} + threadIdx.x % {wide};",
            f"const int ty = threadIdx.x / {wide};",
            f"{t} sum = {_OPERATION[kind]}::start({t}());",
            "#pragma unroll 4",
            f"for (i64 i = ty; i < (c < size{j} ? count{j} : 0); i += {THREADS // wide})",
            f"    sum = {_OPERATION[kind]}::combine(sum, part{j}[(segment * count{j} + i) * size{j} + c]);",
            f"sum = down<{_OPERATION[kind]}, {wide}, {THREADS}>(sum);",
            f"if (ty == 0 && c < size{j}) put(y{j} + segment * size{j} + c, sum{f' / ({t})divisor{j}' if divide else ''});",
            "return;",
            "}",
            f"block -= blocks{j};",
        ]
    return source(parameters, "\n".join(lines), THREADS)


# ---- the candidate
@candidate("fused")
def take_fused(request):
    """The launches for a group."""
    group = request.op
    try:
        program = program_of(group, single=())
    except Unsupported:
        return None
    known = all(name in STEPS or name in ("number", "size", "place") or name.startswith("row_") for name, _, _, _ in program.steps)
    if not known or not {spec.dtype for spec in group.specs} <= MEMORY.keys():
        return None
    inputs = [(dtype, lifted(mask)) for dtype, mask in program.inputs]
    outputs = [Output(o, lifted(m, kind), kind, of_rows, divide, d) for o, m, kind, of_rows, divide, d in program.outputs]
    A, R, C = sizes = (1,) * (3 - len(group.axes)) + tuple(group.axes)
    shape = _shape(sizes, program.steps, outputs)
    segments = A if any(y.kind and y.mask[0] for y in outputs) else 1
    rows = A * R // segments
    blocks, wide = _grid(shape, segments, rows, C, outputs)
    per = -(-rows // blocks)
    blocks = -(-rows // per)
    divisors, results, left = [], [], []
    for j, (y, buffer) in enumerate(zip(outputs, request.outputs, strict=True)):
        divisor = math.prod(sizes[:2] if y.of_rows else sizes) // buffer.size if y.divide else 1
        divisors.append(divisor)
        count = blocks * (1 if y.along else wide) * (1 if y.mask[0] else segments) if y.kind else 1
        if count == 1 and not (y.kind and y.along and shape.mode == "rows" and not shape.kept):
            results.append(buffer)
            continue
        size = C if y.along else 1
        scratch = "float32" if MEMORY[y.dtype] != REGISTER[y.dtype] else y.dtype
        total = count * size * (segments if y.mask[0] else 1)
        results.append(request.scratch(total * (4 if scratch == "float32" else buffer.itemsize), (total,), scratch))
        outputs[j] = y._replace(parts=True)
        here = (A if y.mask[0] else 1) * (1 if size == 1 else -(-size // _BESIDE))
        left.append(((y.kind, y.divide, y.dtype, size == 1), [results[-1], buffer, count, size, divisor, here]))
    if shape.mode == "elements":
        rows, grid = A * R * C, -(-(A * R * C) // (THREADS * _EACH))
    else:
        grid = segments * blocks * wide
    text = _Writer(inputs, program.steps, outputs, shape).source()
    args = [R, C, rows, per, blocks, wide, *divisors, *(request.dense(i) for i in range(len(inputs))), *results]
    launches = [Launch(text, args, grid, shape.threads)]
    if left:
        described = tuple(part for part, _ in left)
        launches.append(Launch(together(described), [x for _, own in left for x in own], sum(own[-1] for _, own in left), THREADS))
    return launches


def _power(n):
    """The smallest power of two that is not smaller."""
    return 1 << max(0, n - 1).bit_length()


def _shape(sizes, steps, outputs):
    A, R, C = sizes
    index = "int" if A * R * C < (1 << 31) - (1 << 16) else "i64"
    if any(name.startswith("row_") for name, _, _, _ in steps):
        wide = min(256, max(4, _power(-(-C // 4))))
        while wide < _LONGEST and wide * _IN_REGISTERS < C:
            wide *= 2
        kept = -(-C // wide)
        return Shape("rows", wide, max(THREADS, wide), kept if kept <= _IN_REGISTERS else 0, index)
    if any(y.kind for y in outputs):
        wide = THREADS if A * R == 1 else min(32, _power(C))
        return Shape("columns", wide, THREADS, 0, index)
    return Shape("elements", THREADS, THREADS, 0, index)


def _grid(shape, segments, rows, columns, outputs):
    """Blocks that share the rows of a segment, and blocks that share the columns."""
    high = shape.threads // shape.wide
    if shape.mode == "elements":
        return 1, 1
    if shape.mode == "rows":
        most = -(-rows // high)
        return (min(most, max(1, _BLOCKS // segments), _MOST_PARTS) if any(y.kind for y in outputs) else most), 1
    single = all(not y.along for y in outputs if y.kind)
    wide = min(-(-columns // (shape.wide * (4 if single and rows == 1 else 1))), _BLOCKS)
    return min(-(-rows // (high * 4)), max(1, _BLOCKS // (wide * segments)), _MOST_PARTS), wide
