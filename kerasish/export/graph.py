"""What a converter writes into: an ONNX graph as plain data, and the table of converters.

A converter turns one call of an op into ONNX's operators. It is a function of the graph, the inputs and the attributes::

    @onnx("silu")
    def silu(g, x):
        return g.Mul(x, g.Sigmoid(x))

``g.Name(*inputs, **attributes)`` adds a node and gives its output, a :class:`Value`; Python numbers among the inputs take the dtype
of the first input, None leaves an optional input out. ``g.outputs`` are the specs of what the call is to give. Sizes that are open
stay so: ``g.reshape``, ``g.expand``, ``g.shape`` and ``g.scalar`` take them as the numbers that they are.
"""

import collections

import numpy as np

from kerasish.backend.autodiff.dtypes import is_float, numpy_dtype
from kerasish.backend.plan.passes import drop_unread, with_calls
from kerasish.backend.plan.trace import Call
from kerasish.ops.sizes import Size, frozen_terms

CONVERTERS: dict = {}  # op name -> converter
DRAWN: set = set()  # names of ops whose inputs no graph needs

ELEMENT_TYPES = {
    "float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "string": 8, "bool": 9, "float16": 10,
    "float64": 11, "uint32": 12, "uint64": 13, "complex64": 14, "complex128": 15, "bfloat16": 16, "float8_e4m3fn": 17, "float8_e5m2": 19,
}  # fmt: skip
_GIVES = {
    **dict.fromkeys(("Shape", "Size", "ArgMax", "ArgMin", "NonZero"), "int64"),
    **dict.fromkeys(("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "Not", "IsNaN", "IsInf"), "bool"),
}
_SMALL = {"int8": "int32", "int16": "int32", "uint8": "int32", "uint16": "int32", "bool": "int32", "uint32": "int64", "uint64": "int64"}


class CannotExport(ValueError):
    """What has no ONNX form, in words. ``where``: the layer's path and class, once that is known."""

    where = None

    def placed(self, op, path, layer):
        """The same with the op's name and that of the layer, in the words that users see."""
        if self.where is not None:
            return self
        who = f"Layer '{path}' ({layer})" if path else "The model"
        error = CannotExport(f"{who} can't be exported to ONNX: op '{op.strip('_')}': {self}")
        error.where = path, layer
        return error


class Value(str):
    """The name of a value in the graph, with what is known of it."""

    shape: tuple
    dtype: str

    def __new__(cls, name, shape=None, dtype=None):
        value = super().__new__(cls, name)
        value.shape, value.dtype = shape, dtype
        return value

    ndim = property(lambda self: len(self.shape))


def _needed(trace, calls, layers):
    """Pairs (call, its layer) of those calls that the results need."""
    of_layer = dict(zip(map(id, calls), layers, strict=True))
    bare = with_calls(trace, calls)
    bare.writes = {}
    return [(call, of_layer[id(call)]) for call in drop_unread(bare).calls]


_Made = collections.namedtuple("_Made", "name inputs")  # a value's call: the op, and what it was given


class Node:
    """One operator: its type, names of inputs and outputs, attributes (among them graphs), and its own name."""

    __slots__ = ("attributes", "inputs", "name", "outputs", "type")

    def __init__(self, type, inputs, outputs, attributes, name):
        self.type, self.inputs, self.outputs, self.attributes, self.name = type, inputs, outputs, attributes, name


def onnx(*names):
    """Decorator that makes a function the converter of the ops with these names."""

    def register(converter):
        for name in names:
            CONVERTERS[name] = converter
        return converter

    return register


def drawn(name):
    """Decorator for the converter of an op that draws random numbers: its key, and what that is made of, stay out of the graph."""
    DRAWN.add(name)
    return onnx(name)


def simple(**names):
    """Converters of ops that one operator with the same inputs and no attributes stands for: ``op="Operator"``."""
    for name, operator in names.items():
        CONVERTERS[name] = lambda g, *inputs, _operator=operator: getattr(g, _operator)(*inputs)


class Graph:
    """Nodes in order. A graph inside another (a branch, a loop's body) shares the constants and the sizes of the outermost."""

    def __init__(self, opset, outer=None):
        self.opset, self.outer, self.root = opset, outer, self if outer is None else outer.root
        self.nodes, self.inputs, self.results = [], [], []
        self.path, self.outputs, self.call = "", (), None
        if outer is None:
            self.constants, self.sizes, self.producers = {}, [], {}
            self._names, self._constants, self._sizes, self.symbols = collections.Counter(), {}, {}, {}
        else:
            self.path = outer.path

    def inner(self):
        """A graph for an attribute of a node."""
        return Graph(self.opset, self)

    # ---- nodes
    def name(self, wanted):
        """The name, with a number where it is taken."""
        names = self.root._names
        names[wanted] += 1
        return wanted if names[wanted] == 1 else self.name(f"{wanted}_{names[wanted] - 1}")

    def __getattr__(self, operator):
        if not operator[0].isupper():
            raise AttributeError(operator)

        def add(*inputs, outputs=1, dtype=None, **attributes):
            return self.add(operator, inputs, outputs, dtype, attributes)

        return add

    def add(self, operator, inputs, outputs=1, dtype=None, attributes=None, into=None):
        """A node; returns its output, or a tuple of them."""
        first = next((x.dtype for x in inputs if isinstance(x, Value) and x.dtype), None)
        inputs = [x if isinstance(x, Value) else Value("") if x is None else self.constant(x, first) for x in inputs]
        name = self.name(f"{self.path}/{operator}" if self.path else operator)
        dtype = dtype or _GIVES.get(operator) or (inputs[1].dtype if operator == "Where" else first)
        made = [Value(name if outputs == 1 else f"{name}:{i}", None, dtype) for i in range(outputs)]
        nodes = self.root.sizes if into is not None else self.nodes
        nodes.append(Node(operator, inputs, made, {k: v for k, v in (attributes or {}).items() if v is not None}, name))
        return made[0] if outputs == 1 else tuple(made)

    # ---- calls
    def convert(self, trace, arguments, known, layers=None):
        """The calls of a trace, for values of its arguments and of its variables; returns its results."""
        values = {**known, **dict(zip(trace.arguments, arguments, strict=True))}

        def value(number):
            if number not in values:
                values[number] = self.constant(trace.constants[number], trace.specs[number].dtype)
            return values[number]

        calls = [Call(call.op, (), call.attrs, call.outputs) if call.op.name in DRAWN else call for call in trace.calls]
        for call, layer in _needed(trace, calls, layers or [None] * len(calls)):
            self.path, layer = layer or (self.path, "")
            inputs = [value(i) for i in call.inputs]
            made = self._converted(call, inputs, [trace.specs[i] for i in call.outputs], layer)
            for i, y in zip(call.outputs, made, strict=True):
                if y is not None:
                    values[i] = Value(y, trace.specs[i].shape, trace.specs[i].dtype)
                    self.root.producers[values[i]] = _Made(call.op.name, inputs)
        return [value(i) for i in trace.results]

    def _converted(self, call, inputs, specs, layer):
        op = call.op.name
        try:
            if "complex" in "".join([spec.dtype for spec in specs] + [x.dtype for x in inputs]):
                raise CannotExport("complex numbers have no ONNX form")
            if op not in CONVERTERS:
                raise CannotExport("it has no ONNX form")
            self.outputs, self.call = specs, call
            made = CONVERTERS[op](self, *inputs, **call.attrs)
        except CannotExport as error:
            raise error.placed(op, self.path, layer) from None
        return made if isinstance(made, (tuple, list)) else (made,)

    # ---- constants and sizes
    def constant(self, value, dtype=None):
        """A number or array as a value; equal ones are the same."""
        array = np.asarray(value, dtype=None if dtype is None else numpy_dtype(dtype))
        key = (array.dtype.str, array.dtype.name, array.shape, array.tobytes())
        root = self.root
        if key not in root._constants:
            made = Value(root.name("constant"), array.shape, dtype or array.dtype.name)
            root._constants[key], root.constants[made] = made, array
        return root._constants[key]

    def int64(self, *numbers):
        """A vector of int64."""
        return self.constant(np.array(numbers, dtype="int64"))

    def size(self, n):
        """A size as a vector of one int64."""
        if not isinstance(n, Size):
            return self.int64(int(n))
        return self._sum(frozen_terms(n))

    def _sum(self, terms):
        """The size with these terms, worked out once, before all else."""
        known = self.root._sizes
        if terms not in known:
            parts = [self._product(atoms, n) for atoms, n in terms]
            total = parts[0] if parts else self.int64(0)
            for part in parts[1:]:
                total = self._of_sizes("Add", total, part)
            known[terms] = total
        return known[terms]

    def _product(self, atoms, n):
        factors = [self._atom(atom) for atom in atoms]
        if n != 1 or not factors:
            factors.append(self.int64(n))
        total = factors[0]
        for factor in factors[1:]:
            total = self._of_sizes("Mul", total, factor)
        return total

    def _atom(self, atom):
        if not isinstance(atom, str):
            n, by = (self._sum(terms) for terms in atom[1:])
            return self._of_sizes("Div", self._of_sizes("Sub", n, self._of_sizes("Mod", n, by)), by)  # Div rounds towards 0
        known = self.root._sizes
        if atom not in known:
            source, axis = self.root.symbols[atom]
            known[atom] = self._of_sizes("Shape", source, start=axis, end=axis + 1)
        return known[atom]

    def _of_sizes(self, operator, *inputs, **attributes):
        return self.root.add(operator, inputs, dtype="int64", attributes=attributes, into="sizes")

    def shape(self, sizes):
        """Sizes as a vector of int64."""
        if not any(isinstance(n, Size) for n in sizes):
            return self.int64(*map(int, sizes))
        parts = [self.size(n) for n in sizes]
        return parts[0] if len(parts) == 1 else self.Concat(*parts, axis=0)

    def scalar(self, n, dtype="int64"):
        """A size as a tensor of no axes."""
        if not isinstance(n, Size):
            return self.constant(int(n), dtype)
        return self.cast(self.Squeeze(self.size(n), self.int64(0)), dtype)

    def range(self, n, dtype="int64"):
        """The numbers from 0 up to, without, a size."""
        if not isinstance(n, Size):
            return self.constant(np.arange(int(n)), dtype)
        return self.cast(self.Range(self.scalar(0), self.scalar(n), self.scalar(1)), dtype)

    # ---- what many converters need
    def cast(self, x, dtype):
        return x if x.dtype == dtype else Value(self.Cast(x, to=ELEMENT_TYPES[dtype], dtype=dtype), x.shape, dtype)

    def wide(self, x):
        """Integers that few of the runtime's operators take, and booleans, as those that they take."""
        return self.cast(x, _SMALL.get(x.dtype, x.dtype))

    def reshape(self, x, sizes):
        """``x`` in a shape; one open size is worked out from the rest, those that stay where they are are copied."""
        at = [isinstance(n, Size) and x.shape is not None and i < len(x.shape) and x.shape[i] == n for i, n in enumerate(sizes)]
        left = [i for i, n in enumerate(sizes) if isinstance(n, Size) and not at[i]]
        if len(left) > 1 or 0 in sizes:
            return self.Reshape(x, self.shape(sizes), allowzero=int(0 in sizes) or None)
        return self.Reshape(x, self.int64(*[0 if at[i] else -1 if i in left else int(n) for i, n in enumerate(sizes)]))

    def expand(self, x, sizes):
        if 0 in sizes and not any(isinstance(n, Size) for n in sizes):
            return self.constant(np.zeros(sizes), x.dtype)  # an Expand of 1 to 0 is 1
        return x if x.shape == tuple(sizes) else self.Expand(x, self.shape(sizes))

    def unsqueeze(self, x, *axes):
        return self.Unsqueeze(x, self.int64(*axes)) if axes else x

    def squeeze(self, x, *axes):
        return self.Squeeze(x, self.int64(*axes)) if axes else x

    def transpose(self, x, order):
        order = [int(i) for i in order]
        return x if order == sorted(order) else self.Transpose(x, perm=order)

    def slice(self, x, axis, start, stop, step=1):
        """A part of one axis; bounds are ints, sizes or None."""
        last = np.iinfo("int64").max
        start = (0 if step > 0 else last) if start is None else start
        stop = (last if step > 0 else -last) if stop is None else stop
        return self.Slice(x, self.size(start), self.size(stop), self.int64(axis), self.int64(step))

    def reduce(self, kind, x, axes=None, keepdims=False):
        """``Reduce`` + ``kind`` over the axes (None: all)."""
        keepdims = int(keepdims)
        if axes is not None and not axes:
            return x
        if kind != "Sum" and self.opset < 18:
            return getattr(self, f"Reduce{kind}")(x, axes=None if axes is None else list(axes), keepdims=keepdims)
        return getattr(self, f"Reduce{kind}")(x, None if axes is None else self.int64(*axes), keepdims=keepdims)

    def where(self, condition, x, other):
        """``Where`` for every dtype."""
        dtype = next(v.dtype for v in (x, other) if isinstance(v, Value))
        small = "uint8" if dtype == "bool" else _SMALL.get(dtype, dtype)
        x, other = (self.cast(v, small) if isinstance(v, Value) else self.constant(v, small) for v in (x, other))
        return self.cast(self.Where(self.cast(condition, "bool"), x, other), dtype)


def need_float(dtype, what):
    """Refuse what ONNX has only for floats."""
    if not is_float(dtype):
        raise CannotExport(f"ONNX has {what} for floats only, not for {dtype}")

