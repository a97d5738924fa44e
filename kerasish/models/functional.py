"""Functional: a model that is a graph between KerasTensors."""

import copy
import inspect
import warnings

from kerasish import ops, tree
from kerasish.backend.autodiff.symbolic import Function, Node, Operation, any_symbolic_tensors, default, map_graph, node_of
from kerasish.backend.autodiff.tensor import KerasTensor, is_tensor
from kerasish.layers.core import Input, InputLayer
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.layer import Layer
from kerasish.loading import brief, spend
from kerasish.models.model import Model
from kerasish.saveable import CustomObjectScope, deserialize_keras_object, serialize_keras_object
from kerasish.tracking import no_tracking


class Functional(Function, Model):
    """The computation between ``inputs`` and ``outputs``, each one KerasTensor or a structure of them.

    Inputs may be tensors inside a larger graph: the layers between are shared with it.

    >>> from kerasish import layers
    >>> x = Input((4,))
    >>> Model(x, layers.Dense(1)(x)).output_shape
    (None, 1)
    """

    keras_module = "keras.src.models.functional"
    saves_layers_first, locks_state = True, False

    def __init__(self, inputs, outputs, name=None, **kwargs):
        _check_tensors("inputs", inputs)
        _check_tensors("outputs", outputs)
        if isinstance(inputs, dict):
            for key, x in inputs.items():
                if isinstance(x, KerasTensor) and key != x.name:
                    warnings.warn(
                        f"In a dict of `inputs` keys and names of tensors must match, but '{key}' maps to {x} of name "
                        f"'{x.name}'. Make it `Input(..., name='{key}')`.",
                        stacklevel=3,
                    )
        trainable = kwargs.pop("trainable", None)
        if not all(_is_entry(x) for x in tree.flatten(inputs)):
            inputs, outputs = _clone_between(inputs, outputs)
        if not self._super_called:
            super(Function, self).__init__(name=name, **kwargs)
        with no_tracking():
            Function.__init__(self, inputs, outputs, name=self.name)
        for layer in self.layers:
            self._tracker.track(layer)
        if trainable is not None:
            self.trainable = trainable
        self._convert_input_args, self._allow_non_tensor_positional_args = False, True
        self.output_names = [x._keras_history.operation.name for x in self._outputs]
        self.build(None)

    def build(self, input_shape):
        self.built = True

    def get_build_config(self):
        return {"input_shape": None}  # as in Keras: the graph says it all

    @property
    def layers(self):
        """The layers of the graph, in the order in which they were first called."""
        return [operation for operation in self._operations if isinstance(operation, Layer)]

    @layers.setter
    def layers(self, _):
        raise AttributeError("`Model.layers` attribute is reserved: store it under a name of your own.")

    @property
    def input(self):
        return self._inputs_struct

    @property
    def output(self):
        return self._outputs_struct

    @property
    def input_names(self):
        return [x.name for x in self._inputs]

    input_shape = property(lambda self: _unpacked(tree.map_structure(lambda x: x.shape, self._inputs)))
    output_shape = property(lambda self: _unpacked(tree.map_structure(lambda x: x.shape, self._outputs)))

    def add_loss(self, loss):
        raise NotImplementedError("A Functional model has no `call` of its own: add losses inside one of its layers.")

    # ---- the call
    def call(self, inputs, training=None, mask=None, **kwargs):
        inputs = self._standardized(inputs)
        for x, m in zip(inputs, tree.flatten(mask) if mask is not None else [], strict=False):
            if m is not None and x is not None:
                x._keras_mask = m
        return _unpacked(self._run_through_graph(inputs, lambda operation: _with_context(operation, training=training, **kwargs)))

    def _output_spec(self, args, kwargs):
        """As Keras has it, one output in a list stays in its list in graphs, while values come without it."""
        outputs = super()._output_spec(args, kwargs)
        if type(self).call is not Functional.call or _unpacked(self._outputs_struct) is self._outputs_struct:
            return outputs
        return tree.pack_sequence_as(self._outputs_struct, tree.flatten(outputs))

    def _outputs_like(self, x):
        outputs = super()._outputs_like(x)
        return _unpacked(outputs) if type(self).call is Functional.call else outputs

    @default  # it is what the base would do
    def compute_output_spec(self, inputs, training=None, mask=None):
        return self._output_spec((inputs,), {"training": training, "mask": mask})

    @default
    def compute_output_shape(self, input_shape):
        return Function.compute_output_shape(self, input_shape)

    def _standardized(self, inputs):
        """Inputs in the structure, ranks and dtypes that the graph was made with, as a flat list."""
        expected, matches = self._inputs_struct, True
        if isinstance(expected, (list, tuple)) and len(expected) == 1 and is_tensor(inputs):
            inputs = [inputs]
        elif isinstance(inputs, dict) and not isinstance(expected, dict):
            wanted = [expected] if isinstance(expected, KerasTensor) else expected
            if all(isinstance(x, KerasTensor) and x.name in inputs for x in wanted):
                inputs = [inputs[x.name] for x in wanted]
                inputs = inputs[0] if isinstance(expected, KerasTensor) else inputs
            else:
                matches = False
        elif isinstance(expected, dict) and not isinstance(inputs, dict) and list(expected) != sorted(expected):
            matches = False
        if isinstance(inputs, dict) and isinstance(expected, dict) and set(expected) < set(inputs):
            unused = sorted(set(inputs) - set(expected), key=str)
            warnings.warn(f"Model '{self.name}' has no inputs of the names {unused}: they are left out.", stacklevel=2)
            inputs = {key: inputs[key] for key in expected}
        self._check_structure(inputs, must_match=not matches)
        flat = [self._as_input(x, spec) for x, spec in zip(tree.flatten(inputs), self._inputs, strict=True)]
        return [self._with_rank(x, i) for i, x in enumerate(flat)]

    def _check_structure(self, inputs, must_match):
        try:
            tree.assert_same_structure(tree.lists_to_tuples(inputs), tree.lists_to_tuples(self._inputs_struct))
        except (ValueError, TypeError):
            wanted = tree.map_structure(lambda x: x.name, self._inputs_struct)
            given = tree.map_structure(lambda x: "None" if x is None else f"Tensor(shape={x.shape})", inputs)
            message = (
                f"The structure of `inputs` doesn't match the expected structure of '{self.name}'.\nExpected: "
                f"{wanted}\nReceived: inputs={given}"
            )
            if must_match or len(tree.flatten(inputs)) != len(self._inputs):
                raise ValueError(message) from None
            if not (isinstance(self._inputs_struct, (list, tuple)) and len(self._inputs_struct) == 1):
                warnings.warn(message, stacklevel=6)

    def _as_input(self, x, spec):
        if x is None:
            source = spec._keras_history.operation
            if isinstance(source, InputLayer) and not source.optional:
                raise ValueError(f"The input '{spec.name}' is not optional, but got None.")
            return None
        y = ops.convert_to_tensor(x, dtype=spec.dtype)
        if y is not x and getattr(x, "_keras_mask", None) is not None:
            y._keras_mask = x._keras_mask
        return y

    def _with_rank(self, x, i):
        """Keras lets a last axis of size 1 come or go."""
        if x is None:
            return None
        expected, mask = self._inputs[i].shape, x._keras_mask
        if len(x.shape) == len(expected):
            return x
        if len(x.shape) == len(expected) + 1 and x.shape[-1] == 1:
            y = ops.squeeze(x, axis=-1)
        elif len(x.shape) == len(expected) - 1 and expected[-1] == 1:
            y = ops.expand_dims(x, axis=-1)
        else:
            path = ".".join(map(str, tree.flatten_with_path(self._inputs_struct)[i][0]))
            raise ValueError(
                f"Invalid input shape for the input with name '{self._inputs[i].name}' and path '{path}' of model '{self.name}': "
                f"expected shape {expected}, but input has incompatible shape {x.shape}"
            )
        y._keras_mask = mask
        return y

    @property
    def input_spec(self):
        """What the graph's inputs must look like, batch size free."""
        if "_manual_input_spec" in self.__dict__:
            return self._manual_input_spec
        struct = self._inputs_struct
        if isinstance(struct, dict):
            if not all(isinstance(x, KerasTensor) for x in struct.values()):
                return None
            return [_spec_of(struct[name], name) for name in sorted(struct)]
        return [_spec_of(x) for x in self._inputs]

    @input_spec.setter
    def input_spec(self, value):
        self._manual_input_spec = value

    # ---- config
    @default
    def get_config(self):
        """The graph: every layer with the calls made on it inside this model."""
        if not is_functional_like(type(self)):
            return Model.get_config(self)
        own, index_in_config = {id(node) for node in self._nodes}, {}
        layers = []
        for operation in self._operations:
            shift = 1 if isinstance(operation, Functional) else 0
            nodes = [node for node in operation._inbound_nodes if id(node) in own]
            index_in_config.update({id(node): i + shift for i, node in enumerate(nodes)})
            config = serialize_keras_object(operation)
            config["name"] = operation.name
            config["inbound_nodes"] = [_serialize_node(node, own) for node in nodes if node.input_tensors]
            layers.append(config)

        def place(x):
            return [x._keras_history.operation.name, index_in_config[id(node_of(x))], x._keras_history.tensor_index]

        config = {"name": self.name, "trainable": self.trainable, "layers": layers}
        config["input_layers"] = tree.map_structure(place, self._inputs_struct)
        config["output_layers"] = tree.map_structure(place, self._outputs_struct)
        return copy.deepcopy(config)

    @staticmethod
    def rebuild(cls, config, custom_objects=None):
        """A model of class ``cls`` from the config of a Functional one."""
        config = dict(config)
        with CustomObjectScope(custom_objects):
            made = {layer["name"]: _deserialize_layer(layer) for layer in _entries(config)}
        todo = {layer["name"]: list(layer["inbound_nodes"]) for layer in config.pop("layers")}
        _replay_calls(made, todo)

        def tensor(place):
            name, node, index = _checked_place(place, made)
            node -= isinstance(made[name], Functional)  # its own graph counts as its first node there
            if not 0 <= node < len(made[name]._inbound_nodes):
                raise ValueError(f"Invalid Functional model configuration: '{name}' is not called {node + 1} times.")
            return _output(made[name]._inbound_nodes[node], index, name)

        inputs, outputs = _map_places(tensor, config.pop("input_layers")), _map_places(tensor, config.pop("output_layers"))
        return cls(inputs=inputs, outputs=outputs, name=config.pop("name", None), trainable=config.pop("trainable", None), **config)


Model.functional = Functional


def is_functional_like(cls):
    """Whether the class's constructor takes what Functional's takes, so that a graph's config can make it again."""
    spec = inspect.getfullargspec(cls.__init__)
    return spec.args[1:] == ["inputs", "outputs", "name"] or (spec.varargs is not None and spec.varkw is not None)


def _check_tensors(what, tensors):
    for x in tree.flatten(tensors):
        if not isinstance(x, KerasTensor):
            raise ValueError(
                f"All `{what}` values must be KerasTensors. Received: {what}={tensors} including invalid value {x} of type {type(x)}"
            )


def _is_entry(x):
    return x._keras_history.operation is not None and node_of(x).is_input


def _unpacked(x):
    return x[0] if isinstance(x, (list, tuple)) and len(x) == 1 else x


def _spec_of(x, name=None):
    source = x._keras_history.operation
    shape = (None, *x.shape[1:]) if x.shape else ()
    return InputSpec(shape=shape, allow_last_axis_squeeze=True, name=name or source.name, optional=getattr(source, "optional", False))


def _with_context(operation, **context):
    """The operation with ``training`` and the like handed to it where it takes them, unless the call itself says otherwise."""

    def call(*args, **kwargs):
        known = getattr(operation, "_call_context_args", ())
        free = {k for k in known if k not in kwargs or _is_usual(operation, k, kwargs[k])}
        return operation(*args, **{**kwargs, **{k: v for k, v in context.items() if k in free and v is not None}})

    return call


def _is_usual(operation, name, value):
    """Whether a call has the default there: Keras writes that into its files where the user wrote nothing."""
    parameter = inspect.signature(type(operation).call).parameters.get(name)
    return parameter is not None and value is parameter.default


# ---- config of calls
def _serialize_node(node, own):
    def numbered(x):
        if not isinstance(x, KerasTensor):
            return x
        operation, index, tensor_index = x._keras_history
        inside = sum(id(n) in own for n in operation._inbound_nodes[:index])
        config = {"shape": x.shape, "dtype": x.dtype, "keras_history": [operation.name, inside, tensor_index]}
        return {"class_name": "__keras_tensor__", "config": config}

    return {
        "args": serialize_keras_object(tree.map_structure(numbered, node.args)),
        "kwargs": serialize_keras_object(tree.map_structure(numbered, node.kwargs)),
    }


def _entries(config):
    """The config's layers, each a dict with a name of its own."""
    layers, names = config["layers"], set()
    for layer in layers if isinstance(layers, list) else [layers]:
        name = layer.get("name") if isinstance(layer, dict) else None
        if not isinstance(name, str) or not isinstance(layer.get("inbound_nodes"), list) or name in names:
            raise ValueError(
                "Invalid Functional model configuration: each of its layers needs a `name` of its own and a list of `inbound_nodes`. "
                f"Received: {brief(layer)}"
            )
        names.add(name)
    return layers


def _deserialize_layer(config):
    layer = deserialize_keras_object({k: v for k, v in config.items() if k not in ("name", "inbound_nodes")})
    if not isinstance(layer, Operation):
        raise ValueError(f"Expected a layer or an operation in the model's config, got {type(layer)}: {config.get('class_name')}")
    return layer


class _NotYet(Exception):
    """A call needs the output of a call that has not been made yet."""


def _replay_calls(made, todo):
    """Make the calls of a config, in whatever order their inputs become available."""
    while any(todo.values()):
        progress = False
        for name, nodes in todo.items():
            while nodes:
                spend("attempts")
                try:
                    args, kwargs = _call_arguments(nodes[0], made)
                except _NotYet:
                    break
                args, kwargs = made[name].revived(args, kwargs)
                if not any_symbolic_tensors(args, kwargs):
                    raise ValueError(f"Invalid Functional model configuration: a call of '{name}' is on no tensor of the model.")
                made[name](*args, **kwargs)
                nodes.pop(0)
                progress = True
        if not progress:
            stuck = [name for name, nodes in todo.items() if nodes]
            raise ValueError(f"The config of a Functional model has loops, or needs layers that are not there. What is left over: {stuck}")


def _output_of(place, made):
    name, node, index = _checked_place(place[:3], made)
    nodes = made[name]._inbound_nodes
    if len(nodes) <= node:
        raise _NotYet
    return _output(nodes[node], index, name)


def _checked_place(place, made):
    """Name, node and tensor index of a tensor in a graph."""
    if not isinstance(place, (list, tuple)) or len(place) != 3 or not all(type(n) is int and n >= 0 for n in place[1:]):
        raise ValueError(f"Invalid Functional model configuration: {brief(place)} is no tensor: [layer, node index, tensor index].")
    if not isinstance(place[0], str) or place[0] not in made:
        raise ValueError(f"Invalid Functional model configuration. Missing node: {brief(place[0])}.")
    return place


def _output(node, index, name):
    if index >= len(node.outputs):
        raise ValueError(f"Invalid Functional model configuration: a call of '{name}' has no output {index}.")
    return node.outputs[index]


def _call_arguments(node, made):
    if isinstance(node, list):  # as Keras 2 wrote calls: [[layer, node, tensor, kwargs], ...]
        tensors = [_output_of(place, made) for place in node]
        return [_unpacked(tensors)], (node[0][3] if node and len(node[0]) == 4 else {})
    args, kwargs = deserialize_keras_object(node["args"]), deserialize_keras_object(node["kwargs"])

    def revived(x):
        place = getattr(x, "_pre_serialization_keras_history", None)
        return _output_of(place, made) if place is not None else x

    return tree.map_structure(revived, args), tree.map_structure(revived, kwargs)


def _map_places(function, places):
    if isinstance(places, (list, tuple)) and len(places) == 3 and isinstance(places[0], str):
        return function(places)
    if isinstance(places, dict):
        return {key: _map_places(function, value) for key, value in places.items()}
    if not isinstance(places, (list, tuple)):
        raise ValueError(f"Invalid Functional model configuration: {brief(places)} is no tensor: [layer, node index, tensor index].")
    return type(places)(_map_places(function, value) for value in places)


# ---- partial graphs
def _clone_between(inputs, outputs):
    """The nodes between tensors inside a graph once more, from new Inputs: their layers are shared."""
    nodes, _ = map_graph(tree.flatten(inputs), tree.flatten(outputs))
    copies = {}

    def entry(x):
        if _is_entry(x):
            new = x
        else:
            source = x._keras_history.operation
            new = Input(batch_shape=x.shape, dtype=x.dtype, name=f"{x.name}CLONE", optional=getattr(source, "optional", False))
        copies[id(x)] = new
        return new

    def copied(x):
        if not isinstance(x, KerasTensor):
            return x
        if id(x) not in copies:
            copies[id(x)] = KerasTensor(x.shape, x.dtype, name=f"{x.name}_clone")
        return copies[id(x)]

    new_inputs = tree.map_structure(entry, inputs)
    for node in nodes:
        if not node.is_input:
            args, kwargs = tree.map_structure(copied, node.args), tree.map_structure(copied, node.kwargs)
            Node(node.operation, args, kwargs, [copied(x) for x in node.outputs])
    return new_inputs, tree.map_structure(copied, outputs)
