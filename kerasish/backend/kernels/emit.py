"""A small language for kernels: Python that writes LLVM code, with vectors as values.

A kernel is a Python function that is run once to *write* the code. What it computes with are :class:`Value` objects, whose
operators emit instructions; Python's own loops and ifs unroll and specialise, ``k.range`` and ``k.when`` emit real ones::

    def emit(k):                                  # y[i] = max(x[i], 0), one task for each block of 4096
        x, y, n = k.arg(0, f32), k.arg(1, f32), k.arg(2, i64)
        start = k.task * 4096
        k.each_vector(start, k.minimum(start + 4096, n), lambda i, v: v.store(k.maximum(v.load(x, i), 0.0), y, i))

Every kernel has the C signature ``void kernel(int64 *args, int64 task, int64 thread)``: ``args`` holds pointers and integers,
``task`` says which part of the work to do, ``thread`` which scratch memory is free. See ``compile.py`` for what happens then.

Loops keep their counters, and ``k.var`` its values, in stack slots that LLVM turns into registers.
"""

import contextlib
import platform

from llvmlite import ir

i1, i8, i16, i32, i64 = (ir.IntType(n) for n in (1, 8, 16, 32, 64))
f16, f32, f64 = ir.HalfType(), ir.FloatType(), ir.DoubleType()
pointer = ir.PointerType()
SIZE = {i1: 1, i8: 1, i16: 2, i32: 4, i64: 8, f16: 2, f32: 4, f64: 8}
_NAMES = {i1: "i1", i8: "i8", i16: "i16", i32: "i32", i64: "i64", f16: "f16", f32: "f32", f64: "f64"}
_FLAGS = ("contract",)  # products and sums may become one instruction; NaN, infinities and the order of sums stay


def element(t):
    """The type of one lane."""
    return t.element if isinstance(t, ir.VectorType) else t


def lanes(t):
    """How many lanes a type has, 0 for a scalar."""
    return t.count if isinstance(t, ir.VectorType) else 0


def _like(t, of):
    return ir.VectorType(t, of.count) if isinstance(of, ir.VectorType) else t


def _name(t):
    return f"v{t.count}{_NAMES[t.element]}" if isinstance(t, ir.VectorType) else _NAMES[t]


class Value:
    """A number, or a vector of numbers, that the kernel will have when it runs."""

    __slots__ = ("ir", "k")

    def __init__(self, k, value):
        self.k, self.ir = k, value

    type = property(lambda self: self.ir.type)

    def _pair(self, other):
        """Both operands in one type: Python numbers and scalars become what the other side is."""
        if not isinstance(other, Value):
            other = self.k.const(other, self.type)
        a, b = self, other
        if lanes(a.type) and not lanes(b.type):
            b = b.splat(lanes(a.type))
        elif lanes(b.type) and not lanes(a.type):
            a = a.splat(lanes(b.type))
        if a.type != b.type:
            raise TypeError(f"operands of types {a.type} and {b.type}")
        return a, b

    def _binary(self, other, for_float, for_int):
        a, b = self._pair(other)
        b_ = self.k.builder
        if element(a.type) in (f16, f32, f64):
            return Value(self.k, getattr(b_, for_float)(a.ir, b.ir, flags=_FLAGS))
        return Value(self.k, getattr(b_, for_int)(a.ir, b.ir))

    def _compare(self, other, sign):
        a, b = self._pair(other)
        if element(a.type) in (f16, f32, f64):
            compare = self.k.builder.fcmp_unordered if sign == "!=" else self.k.builder.fcmp_ordered
        else:
            compare = self.k.builder.icmp_signed
        return Value(self.k, compare(sign, a.ir, b.ir))

    __add__ = lambda self, other: self._binary(other, "fadd", "add")
    __sub__ = lambda self, other: self._binary(other, "fsub", "sub")
    __mul__ = lambda self, other: self._binary(other, "fmul", "mul")
    __truediv__ = lambda self, other: self._binary(other, "fdiv", "sdiv")
    __floordiv__ = lambda self, other: self._binary(other, "fdiv", "sdiv")
    __mod__ = lambda self, other: self._binary(other, "frem", "srem")
    __radd__ = __add__
    __rmul__ = __mul__
    __rsub__ = lambda self, other: self._pair(other)[1] - self
    __rtruediv__ = lambda self, other: self._pair(other)[1] / self
    __neg__ = lambda self: Value(self.k, self.k.builder.fneg(self.ir)) if element(self.type) in (f16, f32, f64) else 0 - self
    __and__ = lambda self, other: self._binary(other, "and_", "and_")
    __or__ = lambda self, other: self._binary(other, "or_", "or_")
    __xor__ = lambda self, other: self._binary(other, "xor", "xor")
    __lshift__ = lambda self, other: self._binary(other, "shl", "shl")
    __rshift__ = lambda self, other: self._binary(other, "lshr", "lshr")
    __lt__ = lambda self, other: self._compare(other, "<")
    __le__ = lambda self, other: self._compare(other, "<=")
    __gt__ = lambda self, other: self._compare(other, ">")
    __ge__ = lambda self, other: self._compare(other, ">=")
    equals = lambda self, other: self._compare(other, "==")
    differs = lambda self, other: self._compare(other, "!=")
    __hash__ = object.__hash__

    def invert(self):
        """Every bit, or a truth value, turned round."""
        return Value(self.k, self.k.builder.not_(self.ir))

    def halved(self):
        """A signed integer divided by 2, towards minus infinity."""
        return Value(self.k, self.k.builder.ashr(self.ir, self.k.const(1, self.type).ir))

    def splat(self, n):
        """A vector with this number in all lanes."""
        return self.k.splat(self, n)

    def bits(self, t):
        """The same bits read as another type (of one lane)."""
        return Value(self.k, self.k.builder.bitcast(self.ir, _like(t, self.type)))

    def to(self, t, signed=True):
        """The number in another type (of one lane): floats are cut off, truth values become 0 and 1."""
        source, b = element(self.type), self.k.builder
        if source == t:
            return self
        target = _like(t, self.type)
        floats = (f16, f32, f64)
        if source in floats and t in floats:
            emit = b.fpext if SIZE[t] > SIZE[source] else b.fptrunc
        elif source in floats:
            emit = b.fptosi if signed else b.fptoui
        elif t in floats:
            emit = b.sitofp if signed and source != i1 else b.uitofp
        elif source == i1 or (SIZE[t] > SIZE[source] and not signed):
            emit = b.zext
        else:
            emit = b.sext if t.width > source.width else b.trunc
        return Value(self.k, emit(self.ir, target))

    def lane(self, i):
        """One lane of a vector."""
        return Value(self.k, self.k.builder.extract_element(self.ir, i32(i)))


class Pointer:
    """An address of elements of one type."""

    __slots__ = ("element", "ir", "k")

    def __init__(self, k, address, element):
        self.k, self.ir, self.element = k, address, element

    def __add__(self, offset):
        if isinstance(offset, int) and offset == 0:
            return self
        offset = offset if isinstance(offset, Value) else self.k.const(offset, i64)
        return Pointer(self.k, self.k.builder.gep(self.ir, [offset.ir], source_etype=self.element), self.element)

    def load(self, offset=0, lanes=0, mask=None):
        """The element at ``offset``, or so many from there on; with a ``mask`` only those where it is true, else 0."""
        at, k = (self + offset).ir, self.k
        if not lanes:
            return Value(k, k.builder.load(at, typ=self.element))
        t = ir.VectorType(self.element, lanes)
        if mask is None:
            return Value(k, k.builder.load(at, typ=t, align=SIZE[self.element]))
        load = k.external(f"llvm.masked.load.{_name(t)}.p0", t, [pointer, i32, ir.VectorType(i1, lanes), t])
        return Value(k, k.builder.call(load, [at, i32(SIZE[self.element]), mask.ir, k.const(0, t).ir]))

    __getitem__ = load

    def gather(self, offsets):
        """The elements at a vector of offsets."""
        k, n = self.k, lanes(offsets.type)
        start = Value(k, k.builder.ptrtoint(self.ir, i64))
        places = k.builder.inttoptr((start + offsets * SIZE[self.element]).ir, ir.VectorType(pointer, n))
        t = ir.VectorType(self.element, n)
        f = k.external(f"llvm.masked.gather.{_name(t)}.v{n}p0", t, [places.type, i32, ir.VectorType(i1, n), t])
        return Value(k, k.builder.call(f, [places, i32(SIZE[self.element]), k.vector(1, i1, n).ir, k.const(0, t).ir]))

    def store(self, value, offset=0, mask=None):
        """Put a number, or a vector of them, at ``offset``."""
        at, k = (self + offset).ir, self.k
        if not isinstance(value, Value):
            value = k.const(value, self.element)
        if mask is None:
            k.builder.store(value.ir, at, align=SIZE[self.element])
            return
        t = value.type
        store = k.external(f"llvm.masked.store.{_name(t)}.p0", ir.VoidType(), [t, pointer, i32, ir.VectorType(i1, t.count)])
        k.builder.call(store, [value.ir, at, i32(SIZE[self.element]), mask.ir])

    __setitem__ = lambda self, offset, value: self.store(value, offset)

    def as_(self, element):
        """The same address as one of other elements."""
        return Pointer(self.k, self.ir, element)

    def prefetch(self, offset=0):
        """Ask for the memory at ``offset`` to be brought into the cache."""
        f = self.k.external("llvm.prefetch.p0", ir.VoidType(), [pointer, i32, i32, i32])
        self.k.builder.call(f, [(self + offset).ir, i32(0), i32(3), i32(1)])


class Var:
    """A number or vector that changes: ``v.value`` reads and writes it."""

    def __init__(self, k, start):
        self.k, self.slot = k, k.alloca(start.type)
        self.value = start

    @property
    def value(self):
        return Value(self.k, self.k.builder.load(self.slot, typ=self.slot.allocated_type))

    @value.setter
    def value(self, new):
        if not isinstance(new, Value):
            new = self.k.const(new, self.slot.allocated_type)
        self.k.builder.store(new.ir, self.slot)


class _Lanes:
    """How one turn of ``k.vectors`` loads and stores: whole vectors, or the lanes that are left at the end."""

    def __init__(self, lanes, mask=None):
        self.lanes, self.mask = lanes, mask

    def load(self, p, offset=0):
        return p.load(offset, self.lanes, self.mask)

    def store(self, value, p, offset=0):
        p.store(value, offset, self.mask)


class Emitter:
    """Writes one kernel. ``lanes`` is how many floats of 4 bytes a vector register of the target holds."""

    def __init__(self, module, name, lanes, registers=32):
        self.module, self.lanes, self.registers = module, lanes, registers
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer, i64, i64]), name)
        self._entry = self.function.append_basic_block("entry")
        self.builder = ir.IRBuilder(self.function.append_basic_block("body"))
        self._slots = ir.IRBuilder(self._entry)
        self._begin = self.builder.block
        self._args = Pointer(self, self.function.args[0], i64)
        self.task, self.thread = (Value(self, a) for a in self.function.args[1:])

    def finish(self):
        """Close the function."""
        self._slots.branch(self._begin)
        self.builder.ret_void()

    def arg(self, i, t):
        """Argument number ``i``: an integer for ``i64``, else a pointer to elements of that type."""
        value = self._args[i]
        return value if t is i64 else Pointer(self, self.builder.inttoptr(value.ir, pointer), t)

    def integers(self, i):
        """Argument number ``i`` as a pointer to 64-bit integers."""
        return Pointer(self, self.builder.inttoptr(self._args[i].ir, pointer), i64)

    # ---- numbers
    def const(self, x, t=i64):
        """A constant, in all lanes where the type is a vector."""
        if lanes(t):
            x = float(x) if element(t) in (f16, f32, f64) else int(x)
            return Value(self, ir.Constant(t, [x] * t.count))
        return Value(self, ir.Constant(t, float(x) if t in (f16, f32, f64) else int(x)))

    def vector(self, x, t=f32, n=None):
        """A constant vector."""
        return self.const(x, ir.VectorType(t, n or self.lanes))

    def splat(self, value, n):
        """A vector with the number in all lanes."""
        empty = ir.Constant(ir.VectorType(value.type, n), ir.Undefined)
        first = self.builder.insert_element(empty, value.ir, i32(0))
        return Value(self, self.builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(i32, n), [0] * n)))

    def shuffle(self, a, b, indices):
        """Lanes of both vectors, numbered one after the other, in the order that the constants say."""
        mask = ir.Constant(ir.VectorType(i32, len(indices)), list(indices))
        return Value(self, self.builder.shuffle_vector(a.ir, b.ir, mask))

    def iota(self, n, t=i64):
        """The vector 0, 1, 2, ..."""
        return Value(self, ir.Constant(ir.VectorType(t, n), [float(i) if t in (f32, f64) else i for i in range(n)]))

    def external(self, name, result, parameters):
        """A function that LLVM knows by name."""
        known = self.module.globals.get(name)
        return known or ir.Function(self.module, ir.FunctionType(result, parameters), name)

    def intrinsic(self, name, *xs, result=None):
        """LLVM's function ``llvm.name`` for operands of one type."""
        t = xs[0].type
        f = self.external(f"llvm.{name}.{_name(t)}", result or t, [x.type for x in xs])
        return Value(self, self.builder.call(f, [x.ir for x in xs]))

    def fma(self, a, b, c):
        """``a * b + c`` with one rounding; scalars are spread over the lanes of ``c``."""
        a, b = (x.splat(lanes(c.type)) if lanes(c.type) and not lanes(x.type) else x for x in (a, b))
        return self.intrinsic("fma", a, b, c)

    def sqrt(self, x):
        return self.intrinsic("sqrt", x)

    def abs(self, x):
        return self.intrinsic("fabs", x)

    def select(self, condition, a, b):
        """``a`` where the condition holds, else ``b``, lane by lane."""
        a, b = a._pair(b) if isinstance(a, Value) else reversed(b._pair(a))
        return Value(self, self.builder.select(condition.ir, a.ir, b.ir))

    def maximum(self, a, b):
        """The larger; NaN where one of them is, as NumPy's."""
        a, b = a._pair(b)
        if element(a.type) in (f16, f32, f64):
            larger = self.select(a > b, a, b)
            return self.select(a.differs(a), a, larger)
        return self.select(a > b, a, b)

    def minimum(self, a, b):
        """The smaller; NaN where one of them is, as NumPy's."""
        a, b = a._pair(b)
        if element(a.type) in (f16, f32, f64):
            smaller = self.select(a < b, a, b)
            return self.select(a.differs(a), a, smaller)
        return self.select(a < b, a, b)

    def sum(self, v):
        """The sum of a vector's lanes, by halves."""
        n = lanes(v.type)
        while n > 1:
            n //= 2
            v = self.shuffle(v, v, range(n)) + self.shuffle(v, v, range(n, 2 * n))
        return v.lane(0)

    def reduce(self, v, combine):
        """A vector's lanes combined by halves with a function of two vectors."""
        n = lanes(v.type)
        while n > 1:
            n //= 2
            v = combine(self.shuffle(v, v, range(n)), self.shuffle(v, v, range(n, 2 * n)))
        return v.lane(0)

    # ---- memory and control
    def alloca(self, t, n=None):
        """Stack memory, once for the whole call."""
        slot = self._slots.alloca(t, size=None if n is None else i64(n))
        if lanes(t) or n is not None:
            slot.align = 64
        return slot

    def local(self, t, n):
        """A small array on the stack."""
        slot = self._slots.ptrtoint(self.alloca(t, n), i64)  # so that llvmlite forgets what was the type: vectors may be stored too
        return Pointer(self, self._slots.inttoptr(slot, pointer), t)

    def var(self, start):
        """A number or vector that changes."""
        return Var(self, start)

    @contextlib.contextmanager
    def range(self, start, stop=None, step=1):
        """Loop over the integers from ``start`` (0 where only one bound is given) to ``stop``, without it."""
        if stop is None:
            start, stop = 0, start
        start, stop, step = (x if isinstance(x, Value) else self.const(x) for x in (start, stop, step))
        counter = self.var(start)
        head, body, end = (self.function.append_basic_block(n) for n in ("head", "loop", "end"))
        self.builder.branch(head)
        self.builder.position_at_end(head)
        i = counter.value
        self.builder.cbranch((i < stop).ir, body, end)
        self.builder.position_at_end(body)
        yield i
        counter.value = i + step
        self.builder.branch(head)
        self.builder.position_at_end(end)

    @contextlib.contextmanager
    def repeat_while(self, condition):
        """Block that runs again and again while ``condition()``, which writes the code for it, holds."""
        head, body, end = (self.function.append_basic_block(n) for n in ("head", "while", "end"))
        self.builder.branch(head)
        self.builder.position_at_end(head)
        self.builder.cbranch(condition().ir, body, end)
        self.builder.position_at_end(body)
        yield
        self.builder.branch(head)
        self.builder.position_at_end(end)

    @contextlib.contextmanager
    def when(self, condition):
        """Block that runs only where the condition holds."""
        body, end = (self.function.append_basic_block(n) for n in ("then", "end"))
        self.builder.cbranch(condition.ir, body, end)
        self.builder.position_at_end(body)
        yield
        self.builder.branch(end)
        self.builder.position_at_end(end)

    @contextlib.contextmanager
    def unless(self, condition):
        """Block that runs only where the condition does not hold."""
        with self.when(condition.invert()):
            yield

    def each_vector(self, start, stop, body, n=None, unroll=1):
        """``body(i, v)`` for the places from ``start`` to ``stop``, a vector at a time; ``v`` loads and stores there.

        With ``unroll``, so many vectors are in flight at once before what is left is done one by one.
        """
        n = n or self.lanes
        start, stop = (x if isinstance(x, Value) else self.const(x) for x in (start, stop))
        place = self.var(start)
        for count in ([unroll, 1] if unroll > 1 else [1]):
            whole = (stop - place.value) // (n * count) * (n * count) + place.value
            with self.range(place.value, whole, n * count) as i:
                for j in range(count):
                    body(i + j * n, _Lanes(n))
            place.value = self.select(whole > place.value, whole, place.value)
        at = place.value
        with self.when(at < stop):
            body(at, _Lanes(n, self.mask(stop - at, n)))

    def each_bit(self, mask, body):
        """``body(i)`` for each lane ``i`` of a vector of truth values that is true, from the first on."""
        n = lanes(mask.type)
        bits = Value(self, self.builder.bitcast(mask.ir, ir.IntType(n)))
        left = self.var(bits if n == 64 else Value(self, self.builder.zext(bits.ir, i64)))
        count_zeros = self.external("llvm.cttz.i64", i64, [i64, i1])
        with self.repeat_while(lambda: left.value.differs(0)):
            body(Value(self, self.builder.call(count_zeros, [left.value.ir, i1(1)])))
            left.value = left.value & (left.value - 1)

    def mask(self, count, n=None):
        """Truth values: the first ``count`` lanes."""
        n = n or self.lanes
        return self.iota(n) < count.splat(n)

    def pin(self, variables):
        """Vector variables are computed here and not later: else LLVM may load early what it then has no registers for."""
        register = {"x86_64": "v", "amd64": "v", "arm64": "w", "aarch64": "w"}.get(platform.machine().lower())
        if register is None:
            return
        types = [v.slot.allocated_type for v in variables]
        constraints = ",".join([f"={register}"] * len(types) + [str(i) for i in range(len(types))] + ["~{memory}"])
        result = types[0] if len(types) == 1 else ir.LiteralStructType(types)
        pinned = self.builder.call(ir.InlineAsm(ir.FunctionType(result, types), "", constraints, True), [v.value.ir for v in variables])
        for i, v in enumerate(variables):
            v.value = Value(self, pinned if len(types) == 1 else self.builder.extract_value(pinned, i))

    def subroutine(self, emit, *values, **options):
        """Call another kernel, written once into this one's module, with numbers and pointers as its arguments; it has no task."""
        name = f"{self.function.name}_{emit.__name__}_{len(values)}" + "".join(f"_{k}{v}" for k, v in sorted(options.items()))
        if name not in self.module.globals:
            inner = Emitter(self.module, name, self.lanes, self.registers)
            emit(inner, **options)
            inner.finish()
            inner.function.linkage = "internal"
            inner.function.attributes.add("noinline")
        block = self.local(i64, max(1, len(values)))
        for i, v in enumerate(values):
            if isinstance(v, Pointer):
                v = Value(self, self.builder.ptrtoint(v.ir, i64))
            block.store(v if isinstance(v, Value) else self.const(v), i)
        self.builder.call(self.module.globals[name], [block.ir, self.task.ir, self.thread.ir])

    def call(self, address, result, parameters, values):
        """Call the C function at an address (an integer value)."""
        f = self.builder.inttoptr(address.ir, ir.FunctionType(result, parameters).as_pointer())
        out = self.builder.call(f, [v.ir for v in values])
        return None if isinstance(result, ir.VoidType) else Value(self, out)
