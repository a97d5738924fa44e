"""Ops and the one place where calls happen.

An op is declared once: a kernel written against the array namespace ``xp``, a shape rule, a dtype rule, and one gradient rule
per input (None where there is no gradient)::

    @op(shape=same, dtype=floating, grads=[lambda g, y, x: g * (1 - y * y)])
    def tanh(xp, x, out=None):
        return xp.tanh(x, out=out)

``tanh(x)`` is then a call: its inputs become tensors of the right dtype, its kernel runs (or, for tensors without values, its
shape rule), and the output remembers the call while gradients are wanted. The kernel's parameters after ``xp``: first as many
inputs as there are gradient rules, then attributes; ``out``, where a kernel has it, is a buffer that a plan may give.

A gradient rule gets the output's gradient ``g``, the output ``y``, the inputs and the attributes by name, and is written in
ops, so gradients of any order follow. It need not undo broadcasting: the gradient walk does. A rule for several outputs
gets tuples for ``g`` and ``y``. With ``*inputs``, ``grads`` is one function that gives a gradient for each input.

``@composite`` declares a function that is written in other ops and needs no rule at all.
"""

import functools
import inspect
import typing

from kerasish.backend.arrays import active
from kerasish.backend.autodiff import dtypes, shapes
from kerasish.backend.autodiff.dtypes import differentiable, name_of, weak_dtype
from kerasish.backend.autodiff.state import next_order, state
from kerasish.backend.autodiff.symbolic import Node, Operation, any_symbolic_tensors, compute_output_spec
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor
from kerasish.config import _on_floatx, standardize_data_format
from kerasish.loading import spend
from kerasish.saveable import get_registered_name, registry, serialize_keras_object, serializes


class Call:
    """One remembered call. It never points at its outputs, so that nothing here is a reference cycle."""

    __slots__ = ("__weakref__", "attrs", "inputs", "op", "order", "values")

    def __init__(self, op, inputs, attrs, values=None):
        self.op, self.inputs, self.attrs, self.values = op, inputs, attrs, values
        self.order = next_order()


class Declared:
    """What ops and composites share: a public signature and a node in the graph for calls on KerasTensors."""

    def __init__(self, function, parameters, module, class_name):
        self.function = function
        functools.update_wrapper(self, function)
        self.__signature__ = inspect.Signature(parameters)
        self.name = function.__name__
        self.class_name = class_name or "".join(part.title() for part in self.name.strip("_").split("_"))
        self.module = module
        registry.add_later(f"keras.src.{module}", self.class_name, lambda: _operation_class(self))

    def symbolic(self, args, kwargs):
        """The call on KerasTensors: one node, whatever happens inside."""
        bound = self.__signature__.bind(*args, **kwargs)
        bound.apply_defaults()
        tensors, attributes, more = [], {}, {}
        for name, value in bound.arguments.items():
            kind = self.__signature__.parameters[name].kind
            values = list(value) if kind is inspect.Parameter.VAR_POSITIONAL else [value]
            if kind is inspect.Parameter.VAR_KEYWORD:
                more = value
            elif name in self.input_names or any_symbolic_tensors(tuple(values)):
                tensors.extend(values)
            elif name == "data_format":  # a file says which layout was the default when the model was made
                attributes[name] = standardize_data_format(value)
            else:
                attributes[name] = value
        return registry.find(f"keras.src.{self.module}", self.class_name)(**attributes).symbolic_call(*tensors, **more)

    def from_node(self, inputs, attributes):
        """The call that a node stands for: its inputs fill, in order, the parameters that are no attributes."""
        inputs, attributes, leading = list(inputs), dict(attributes), []
        for name, p in self.__signature__.parameters.items():
            if p.kind is p.VAR_POSITIONAL:
                leading = [attributes.pop(name) if name in attributes else inputs.pop(0) for name in leading]
                return self(*leading, *inputs, **attributes)
            leading.append(name)
        return self(**dict(zip([name for name in leading if name not in attributes], inputs, strict=False)), **attributes)

    def __repr__(self):
        return f"<op {self.name}>"


@serializes(Declared)
def _save_declared(function):
    """An op that stands as a value in a config, such as a layer's activation: as Keras writes any function."""
    return {"module": "builtins", "class_name": "function", "config": get_registered_name(function), "registered_name": "function"}


def _operation_class(function):
    """The Operation that stands for calls of an op in Functional models and in their files, with Keras's class name."""

    class _OpCall(Operation):
        def __init__(self, *values, name=None, **attributes):
            super().__init__(name=name)
            names = [p for p in function.__signature__.parameters if p not in function.input_names]
            self.attributes = dict(zip(names, values, strict=False)) | attributes

        def __call__(self, *args, **kwargs):
            if any_symbolic_tensors(args, kwargs):
                return self.symbolic_call(*args, **kwargs)
            return self.call(*args, **kwargs)

        def call(self, *args, **kwargs):
            return function.from_node(args, {**self.attributes, **kwargs})

        def revived(self, args, kwargs):
            """Arguments from a file, where tuples have become lists: a key of several indices is a tuple."""
            if function.name == "get_item":
                args = [tuple(a) if isinstance(a, list) else a for a in args]
            return args, kwargs

        def get_config(self):
            return {"name": self.name, **{k: serialize_keras_object(v) for k, v in self.attributes.items()}}

    _OpCall.__name__ = _OpCall.__qualname__ = function.class_name
    _OpCall.keras_module = f"keras.src.{function.module}"
    return _OpCall


class Op(Declared):
    """A primitive: see the module's description. ``views`` says that the output may share its input's memory; ``lowered`` gives
    the same in other ops (or None), where a plan gains from seeing them."""

    lowered = None
    elementwise = False  # whether a result may take an input's memory while the kernel runs: groups of a plan say so

    def __init__(self, kernel, shape, dtype, grads, module, class_name, views):
        self.kernel, self.shape, self.dtype_rule, self.views = kernel, shape, dtype, views
        self.grads = grads
        parameters = list(inspect.signature(kernel).parameters.values())[1:]
        self.takes_out = any(p.name == "out" for p in parameters)
        parameters = [p for p in parameters if p.name != "out"]
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.n_inputs = len(grads) if not callable(grads) else sum(p.default is p.empty for p in parameters)
        self.input_names = [p.name for p in parameters if p.kind is p.VAR_POSITIONAL] or [p.name for p in parameters[: self.n_inputs]]
        self.defaults = {p.name: p.default for p in parameters if p.name not in self.input_names}
        self.input_defaults = [p.default for p in parameters[: self.n_inputs]]
        self._dtypes = {}
        _on_floatx.append(self._dtypes.clear)
        super().__init__(kernel, parameters, module, class_name)

    def __call__(self, *args, **kwargs):
        for x in args:
            if isinstance(x, KerasTensor):
                return self.symbolic(args, kwargs)
        if kwargs and any_symbolic_tensors(None, kwargs):
            return self.symbolic(args, kwargs)
        if not kwargs and (self.variadic or len(args) == self.n_inputs):
            return self.call(args, self.defaults)
        return self.call(*self._bind(args, kwargs))

    def _bind(self, args, kwargs):
        if self.variadic:
            return args, {**self.defaults, **kwargs}
        n = self.n_inputs
        inputs = list(args[:n])
        for name, default in zip(self.input_names[len(inputs) :], self.input_defaults[len(inputs) :], strict=True):
            if name in kwargs:
                kwargs = dict(kwargs)
                inputs.append(kwargs.pop(name))
            elif default is not inspect.Parameter.empty:
                inputs.append(default)
            else:
                raise TypeError(f"{self.name}() is missing the required argument '{name}'")
        attrs = dict(self.defaults)
        if len(args) > n:
            if len(args) - n > len(attrs):
                raise TypeError(f"{self.name}() takes at most {n + len(attrs)} arguments, {len(args)} were given")
            attrs.update(zip(attrs, args[n:], strict=False))
        for name in kwargs:
            if name not in attrs:
                raise TypeError(f"{self.name}() got an unexpected argument '{name}'. Expected {self.name}{self.__signature__}")
        attrs.update(kwargs)
        if inspect.Parameter.empty in attrs.values():
            missing = [k for k, v in attrs.items() if v is inspect.Parameter.empty]
            raise TypeError(f"{self.name}() is missing the required arguments {missing}")
        return inputs, attrs

    # ---- the one dispatch
    def call(self, inputs, attrs):
        """Run the op on values, or on shapes where a value is missing."""
        xp = active.xp
        for x in inputs:
            if type(x) is not Tensor:
                inputs, kinds = _to_tensors(inputs)
                break
        else:
            inputs = list(inputs)
            kinds = tuple([x.dtype for x in inputs])
        if "dtype" in attrs:
            casts, out_dtype = self.dtype_rule(kinds, attrs)
        else:
            try:
                casts, out_dtype = self._dtypes[kinds]
            except KeyError:
                casts, out_dtype = self.dtype_rule(kinds, attrs)
                self._dtypes[kinds] = casts, out_dtype
        values, known, wanted = [], True, False
        for i, x in enumerate(inputs):
            if type(x) is not Tensor:
                dtype = casts[i] or dtypes.promote_dtypes((kinds[i],))
                x = inputs[i] = Tensor(xp.scalar(x, dtypes.numpy_dtype(dtype)), (), dtype)
            elif casts[i] is not None and casts[i] != x.dtype:
                x = inputs[i] = cast(x, casts[i])
            if x.value is None:
                known = False
            if x.requires_grad:
                wanted = True
            values.append(x.value)
        if not known:
            return self._without_value(inputs, attrs, out_dtype, wanted)
        token = xp.silence()
        try:
            value = xp.run(self, values, attrs)
        except ValueError:
            self.shape(*[x.shape for x in inputs], **attrs)  # where the rule refuses too, its message is the clearer one
            raise
        finally:
            xp.unsilence(token)
        if type(value) in (tuple, list):
            outputs = [Tensor(v, v.shape, name_of(v.dtype)) for v in value]
        else:
            if not (value.flags.c_contiguous or self.views):
                value = xp.ascontiguousarray(value)  # so that later sums run in one order, wherever the inputs came from
            if out_dtype == "bfloat16":
                value = value.astype(dtypes.numpy_dtype(out_dtype), copy=False)  # NumPy widens it beside Python's numbers
            outputs = [Tensor(value, value.shape, name_of(value.dtype))]
        if wanted and state.grad_enabled:
            self._remember(inputs, attrs, outputs)
        return outputs if type(value) in (tuple, list) else outputs[0]

    def _without_value(self, inputs, attrs, out_dtype, wanted):
        spend("ops")  # a config must not make us loop for ever
        shape = self.shape(*[x.shape for x in inputs], **attrs)
        several = isinstance(shape, list)
        kinds = out_dtype if isinstance(out_dtype, (tuple, list)) else [out_dtype] * (len(shape) if several else 1)
        outputs = [Tensor(None, tuple(s), d) for s, d in zip(shape if several else [shape], kinds, strict=True)]
        if state.recording is not None:
            state.recording.call(self, inputs, attrs, outputs)
        if wanted and state.grad_enabled:
            self._remember(inputs, attrs, outputs)
        return outputs if several else outputs[0]

    def _remember(self, inputs, attrs, outputs):
        call = Call(self, inputs, attrs, None if len(outputs) == 1 else [y.alias() for y in outputs])
        for i, y in enumerate(outputs):
            if differentiable(y.dtype):
                y.call, y.index, y.requires_grad = call, i, True


def _to_tensors(inputs):
    """Inputs as tensors and Python numbers, and their kinds. A raw float64 array gives way to the dtype of float tensors
    beside it, as a Python number does: only data that was made a float64 *tensor* pulls others up to it."""
    tensors = [x if type(x) is Tensor or weak_dtype(x) else as_tensor(x) for x in inputs]
    kinds = [x.dtype if type(x) is Tensor else weak_dtype(x) for x in tensors]
    raw = [i for i, x in enumerate(inputs) if kinds[i] == "float64" and type(x) is not Tensor and not hasattr(x, "value")]
    if raw and any("float" in kind for i, kind in enumerate(kinds) if i not in raw and type(tensors[i]) is Tensor):
        for i in raw:
            kinds[i] = "float"
    return tensors, tuple(kinds)


class Composite(Declared):
    """A function written in other ops, as one call for the symbolic reader."""

    def __init__(self, function, module, class_name, inputs):
        parameters = list(inspect.signature(function).parameters.values())
        if inputs is None:
            inputs = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
        self.input_names = list(inputs)
        super().__init__(function, parameters, module, class_name)

    def __call__(self, *args, **kwargs):
        if any_symbolic_tensors(args, kwargs):
            return self.symbolic(args, kwargs)
        return self.function(*args, **kwargs)


def op(shape, grads, dtype=dtypes.promote, module="ops.numpy", class_name=None, views=False) -> typing.Callable[[typing.Callable], Op]:
    """Decorator that makes an :class:`Op` of a kernel. ``module`` and ``class_name`` are those in Keras's files."""
    return lambda kernel: Op(kernel, shape, dtype, grads, module, class_name, views)


def composite(function=None, *, module="ops.numpy", class_name=None, inputs=None) -> typing.Any:
    """Decorator that makes a :class:`Composite`. ``inputs``: names of the tensor parameters, by default those without default."""
    if function is None:
        return functools.partial(composite, module=module, class_name=class_name, inputs=inputs)
    return Composite(function, module, class_name, inputs)


def as_tensor(x, dtype=None):
    """A tensor from a tensor, a variable or anything array-like."""
    if isinstance(x, Tensor):
        return x if dtype is None or x.dtype == dtype else cast(x, dtype)
    value = getattr(x, "value", None)
    if isinstance(value, Tensor):  # a variable
        return value if dtype is None or value.dtype == dtype else cast(value, dtype)
    if x is None:
        raise ValueError("Expected a tensor or array-like, got None.")
    return Tensor(x, dtype=dtype)


# ---- the ops that dispatch and the gradient walk need themselves
def _cast_back(g, y, x, dtype):
    return cast(g, x.dtype)


@op(shapes.same, [_cast_back], dtypes.to_attribute, "ops.core")
def cast(xp, x, dtype):
    if dtype == "string":
        return x.astype(str)
    wanted = dtypes.numpy_dtype(dtype)
    if x.dtype.kind == "c" and wanted.kind not in "cb":
        x = x.real  # as astype does, which warns
    return x.astype(wanted)


@op(lambda x, shape: tuple(shape), [lambda g, y, x, shape: g], dtypes.keep, views=True)
def broadcast_to(xp, x, shape):
    return xp.broadcast_to(x, shape)


@op(lambda x, shape: tuple(shape), [lambda g, y, x, shape: broadcast_to(g, x.shape)], dtypes.keep)
def sum_to(xp, x, shape):
    """Undo broadcasting: sum over the axes along which ``shape`` was repeated."""
    lead = x.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(i + lead for i, n in enumerate(shape) if n == 1 and x.shape[i + lead] != 1)
    return xp.sum(x, axis=axes).reshape(shape)


@op(lambda *xs: (len(xs), *xs[0]), lambda g, y, *xs: [g[i] for i in range(len(xs))])
def stack_rows(xp, *xs):
    """Tensors of one shape along a new first axis."""
    return xp.stack(xs)


@op(shapes.broadcast, [lambda g, y, x1, x2: g, lambda g, y, x1, x2: g])
def add(xp, x1, x2, out=None):
    return xp.add(x1, x2, out=out)


__all__ = [
    "Call", "Composite", "Node", "Op", "add", "as_tensor", "broadcast_to", "cast", "composite", "compute_output_spec", "op",
    "stack_rows", "sum_to",
]  # fmt: skip
