"""The symbolic reader of calls: operations, the nodes that calls on KerasTensors leave, and the functions made of them.

A call on KerasTensors runs the same code as any other, on tensors without values, in a scope that keeps state untouched;
it leaves one Node, whatever happened inside: a layer's call is one node, not one for each op in it.
"""

import collections
import inspect
import typing

from kerasish import tree
from kerasish.backend.autodiff.scopes import StatelessScope
from kerasish.backend.autodiff.state import auto_name, setting
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor
from kerasish.saveable import Saveable, serialize_keras_object


class KerasHistory(typing.NamedTuple):
    """Where a KerasTensor comes from: the ``tensor_index``-th output of the operation's ``node_index``-th call."""

    operation: object
    node_index: int
    tensor_index: int


def any_symbolic_tensors(args=None, kwargs=None):
    """Whether there is a KerasTensor anywhere in the arguments."""
    for x in args or ():
        if isinstance(x, KerasTensor):
            return True
        if isinstance(x, (list, tuple, dict)) and any(isinstance(leaf, KerasTensor) for leaf in tree.flatten(x)):
            return True
    return any_symbolic_tensors(tuple(kwargs.values())) if kwargs else False


class Node:
    """One call of an operation on KerasTensors: its arguments and its outputs."""

    def __init__(self, operation, call_args=(), call_kwargs=None, outputs=()):
        self.operation = operation
        self.args, self.kwargs = call_args, call_kwargs or {}
        self.outputs = tree.flatten(outputs)
        for x in self.outputs:
            if not isinstance(x, KerasTensor):
                raise ValueError(f"All operation outputs must be tensors. Operation {operation} returned: {x}")
        self.input_tensors = [x for x in tree.flatten((self.args, self.kwargs)) if isinstance(x, KerasTensor)]
        self.is_input = not self.input_tensors
        operation._inbound_nodes.append(self)
        recorded = all(x.record_history for x in self.input_tensors)
        for x in self.input_tensors:
            if recorded and not hasattr(x, "_keras_history"):
                x._keras_history = KerasHistory(None, 0, 0)
            if (source := x._keras_history.operation) is not None:
                source._outbound_nodes.append(self)
        if recorded:
            for i, x in enumerate(self.outputs):
                x._keras_history = KerasHistory(operation, len(operation._inbound_nodes) - 1, i)

    output_tensors = property(lambda self: self.outputs)
    arguments = property(lambda self: self)  # Keras's name for what holds args and kwargs

    @property
    def parent_nodes(self):
        """Nodes whose outputs this one takes."""
        return [node_of(x) for x in self.input_tensors if x._keras_history.operation is not None]

    def fill_in(self, tensors):
        """The arguments with each KerasTensor replaced by its value in ``tensors``, a dict by id."""
        if not self.kwargs and len(self.args) == 1 and isinstance(self.args[0], KerasTensor):
            return (tensors.get(id(self.args[0])),), {}

        def value(x):
            return tensors.get(id(x)) if isinstance(x, KerasTensor) else x

        return tree.map_structure(value, self.args), tree.map_structure(value, self.kwargs)

    def __repr__(self):
        return f"<Node operation={self.operation.name}, id={id(self)}>"


def node_of(x):
    """The node that made a KerasTensor."""
    return x._keras_history.operation._inbound_nodes[x._keras_history.node_index]


# ---- KerasTensors outside, plain tensors without values inside
def _strip(x):
    if not isinstance(x, KerasTensor):
        return x
    inner = Tensor(None, x.shape, x.dtype)
    if x._keras_mask is not None:
        inner._keras_mask = _strip(x._keras_mask)
    return inner


def _dress(x, record_history=True):
    if not isinstance(x, Tensor) or isinstance(x, KerasTensor):
        return x
    outer = KerasTensor(x.shape, x.dtype, record_history=record_history)
    if x._keras_mask is not None:
        outer._keras_mask = _dress(x._keras_mask, record_history)
    return outer


def compute_output_spec(fn, *args, **kwargs):
    """Shapes and dtypes of ``fn``'s outputs, as KerasTensors, without computing anything or changing any state."""
    with StatelessScope(), setting(symbolic=True):
        outputs = fn(*tree.map_structure(_strip, args), **tree.map_structure(_strip, kwargs))
    return tree.map_structure(_dress, outputs)


def default(method):
    """Mark a method as the base's own, so that one can ask whether a subclass has its own."""
    method._is_default = True
    return method


def is_default(method):
    """Whether a method is one that :func:`default` marked."""
    return getattr(method, "_is_default", False)


class Operation(Saveable):
    """Something that can be called on KerasTensors, leaving a Node: layers, and ops in a Functional model (``keras.Operation``)."""

    keras_module = "keras"
    _auto_config = None

    def __new__(cls, *args, **kwargs):
        instance = super().__new__(cls)
        if not cls.fields or "__init__" in vars(cls):
            object.__setattr__(instance, "_auto_config", _constructor_arguments(cls, args, kwargs))
        return instance

    def __init__(self, name=None):
        if name is None:
            name = auto_name(type(self).__name__)
        if not isinstance(name, str) or "/" in name:
            raise ValueError(f"`name` {name} ({type(name)}): it must be a string and cannot contain character `/`.")
        self.name = name
        self._inbound_nodes, self._outbound_nodes = [], []

    def __call__(self, *args, **kwargs):
        if any_symbolic_tensors(args, kwargs):
            return self.symbolic_call(*args, **kwargs)
        return self.call(*args, **kwargs)

    def call(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} needs a `call` method.")

    def compute_output_spec(self, *args, **kwargs):
        """KerasTensors with the shapes and dtypes that a call on these arguments would give."""
        return compute_output_spec(self.call, *args, **kwargs)

    def symbolic_call(self, *args, **kwargs):
        """The call on KerasTensors: shapes are worked out and a node is left."""
        outputs = self.compute_output_spec(*args, **kwargs)
        Node(self, args, kwargs, outputs)
        return outputs

    def revived(self, args, kwargs):
        """Call arguments as they were before they were written to a file."""
        return args, kwargs

    @default
    def get_config(self):
        """Constructor arguments. Made automatically where all of them are numbers, strings, booleans or None."""
        config = {"name": self.name}
        if type(self).fields:
            return {**config, **super().get_config()}
        if not is_default(type(self).get_config):
            return config  # a subclass that has its own get_config calls this one for the name
        if self._auto_config is None:
            raise NotImplementedError(
                f"{type(self).__name__} has constructor arguments that are no plain values: give it a `get_config()` to serialize it."
            )
        config.update(self._auto_config)
        parameters = inspect.signature(type(self).__init__).parameters.values()
        if not any(p.name == "name" or p.kind is p.VAR_KEYWORD for p in parameters):
            del config["name"]
        return config

    def __repr__(self):
        return f"<Operation name={self.name}>"

    input = property(lambda self: self._node_attribute("input_tensors", "input"))
    output = property(lambda self: self._node_attribute("output_tensors", "output"))

    def _node_attribute(self, attribute, what):
        if not self._inbound_nodes:
            raise AttributeError(f"{self.name} has never been called: there is no defined {what} yet.")
        values = getattr(self._inbound_nodes[0], attribute)
        return values[0] if isinstance(values, list) and len(values) == 1 else values


def _constructor_arguments(cls, args, kwargs):
    """Arguments with defaults as a dict, None where some could not be written into a file as they are."""
    signature = inspect.signature(cls.__init__)
    try:
        bound = signature.bind(None, *args, **kwargs)
    except TypeError:
        return None
    if any(p.kind is p.POSITIONAL_ONLY for p in list(signature.parameters.values())[1:]):
        return None
    bound.apply_defaults()
    arguments = dict(bound.arguments)
    del arguments[next(iter(signature.parameters))]
    for p in signature.parameters.values():
        if p.kind is p.VAR_KEYWORD:
            arguments.update(arguments.pop(p.name, {}))
        elif p.kind is p.VAR_POSITIONAL and arguments.pop(p.name, ()):
            return None
    arguments.pop("name", None)
    plain = all(leaf is None or isinstance(leaf, (str, int, float, bool)) for leaf in tree.flatten(arguments))
    return {key: serialize_keras_object(value) for key, value in arguments.items()} if plain else None


# ---- functions: the graph between inputs and outputs
class Function(Operation):
    """The computation between given KerasTensors, callable on values: what a Functional model runs (``keras.Function``).

    >>> from kerasish import ops
    >>> x = KerasTensor((None, 2))
    >>> float(Function(x, ops.sum(x * 2.0))(ops.ones((3, 2))))
    12.0
    """

    def __init__(self, inputs, outputs, name=None):
        super().__init__(name=name)
        self._inputs_struct = tree.map_structure(lambda x: x, inputs)
        self._outputs_struct = tree.map_structure(lambda x: x, outputs)
        self._inputs, self._outputs = tree.flatten(inputs), tree.flatten(outputs)
        if not self._inputs:
            raise ValueError(f"`inputs` argument cannot be empty. Received:\ninputs={inputs}\noutputs={outputs}")
        if not self._outputs:
            raise ValueError(f"`outputs` argument cannot be empty. Received:\ninputs={inputs}\noutputs={outputs}")
        self._nodes, self._operations = map_graph(self._inputs, self._outputs)
        self._operations_by_depth = None

    inputs = property(lambda self: self._inputs)
    outputs = property(lambda self: self._outputs)
    operations = property(lambda self: self._operations[:])
    nodes = property(lambda self: self._nodes[:])

    def call(self, inputs):
        """Output structure for a structure of inputs."""
        return self._run_through_graph(inputs, operation_fn=lambda operation: operation)

    def compute_output_spec(self, inputs):
        def known_or_spec(operation):
            return operation.compute_output_spec

        return self._run_through_graph(inputs, operation_fn=known_or_spec)

    def compute_output_shape(self, input_shape):
        """Output shapes for input shapes."""
        shapes = tree.map_structure_up_to(self._inputs_struct, lambda x, shape: (x, shape), self._inputs_struct, input_shape)
        specs = tree.map_structure_up_to(self._inputs_struct, lambda pair: KerasTensor(pair[1], pair[0].dtype), shapes)
        return tree.map_structure(lambda x: x.shape, self.compute_output_spec(specs))

    def _run_through_graph(self, inputs, operation_fn, call_fn=None):
        flat = tree.flatten(inputs)
        if len(flat) != len(self._inputs):
            raise ValueError(f"{self.name} got an invalid input structure: {len(self._inputs)} tensors wanted, {len(flat)} given.")
        values = dict(zip(map(id, self._inputs), flat, strict=True))
        for node in self._nodes:
            if node.is_input or all(id(x) in values for x in node.outputs):
                continue
            if any(id(x) not in values for x in node.input_tensors):
                continue
            args, kwargs = node.fill_in(values)
            operation = operation_fn(node.operation)
            outputs = operation(*args, **kwargs) if call_fn is None else call_fn(operation, *args, **kwargs)
            values.update(zip(map(id, node.outputs), tree.flatten(outputs), strict=True))
        return tree.pack_sequence_as(self._outputs_struct, [values[id(x)] for x in self._outputs])


def map_graph(inputs, outputs):
    """Nodes between inputs and outputs in an order in which they can run, and their operations in Keras's order.

    That is by decreasing depth (longest way to an output), then by when a walk from the outputs first meets them. Raises
    ValueError where an output can't be reached from the inputs, or where two operations have the same name.
    """
    order, first_met = _walk_back(inputs, outputs)
    depths, operation_depths = {}, {}
    inside = {id(node) for node in order}
    for node in reversed(order):
        depth = max(depths.get(id(node), 0), operation_depths.get(id(node.operation), 0))
        depths[id(node)] = operation_depths[id(node.operation)] = depth
        for parent in node.parent_nodes:
            if id(parent) in inside:
                depths[id(parent)] = max(depths.get(id(parent), 0), depth + 1)
    for x in inputs:  # inputs that no output depends on are part of the model all the same
        if _is_entry(x) and id(x._keras_history.operation) not in operation_depths:
            order.append(node_of(x))
            depths[id(node_of(x))] = operation_depths[id(x._keras_history.operation)] = 0
            first_met[id(x._keras_history.operation)] = -1
    nodes = sorted(order, key=lambda node: -depths[id(node)])
    operations = list({id(node.operation): node.operation for node in nodes}.values())
    operations.sort(key=lambda operation: (-operation_depths[id(operation)], first_met[id(operation)]))
    for name, times in collections.Counter(operation.name for operation in operations).items():
        if times > 1:
            raise ValueError(f'The name "{name}" is used {times} times: give each operation its own.')
    return nodes, operations


def _walk_back(inputs, outputs):
    """Nodes behind the outputs, parents before children, and a number for each operation in the order of first meeting."""
    input_ids = {id(x) for x in inputs}
    order, done, first_met = [], set(), {}
    stack = [(x, False) for x in reversed(outputs)]
    while stack:
        x, left = stack.pop()
        if id(x) in input_ids and not _is_entry(x):
            continue
        node = _source(x, inputs)
        if left:
            order.append(node)
        elif id(node) not in done:
            done.add(id(node))
            first_met.setdefault(id(node.operation), len(first_met))
            if node.is_input and id(x) not in input_ids:
                raise ValueError(
                    f"Output of the graph is not connected to `inputs`: it depends on {x!r}, which is not among {list(inputs)}."
                )
            stack.append((x, True))
            stack.extend((parent, False) for parent in reversed(node.input_tensors))
    return order, first_met


def _source(x, inputs):
    if getattr(x, "_keras_history", None) is None or x._keras_history.operation is None:
        raise ValueError(f"Output {x!r} is not connected to `inputs`: no operation made it, and it is not among {list(inputs)}.")
    return node_of(x)


def _is_entry(x):
    """Whether a tensor comes from an Input, so that its node is part of the graph."""
    history = getattr(x, "_keras_history", None)
    return bool(history and history.operation and node_of(x).is_input)
