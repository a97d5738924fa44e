"""Models as ONNX files: what the ONNX exporter's parts are put together to.

A model is recorded on tensors whose open sizes (the batch's above all) are stand-ins; each call becomes ONNX's operators; the
variables become initializers with the names of their paths. It is done twice, with other stand-ins, and must give the same: so no
size that a model's code has taken for a fixed number gets into a file unnoticed.
"""

import inspect
import itertools
import os
import pathlib
import tempfile

import numpy as np

from kerasish import tree
from kerasish.backend.autodiff.state import setting
from kerasish.backend.autodiff.tensor import NoValueError, Tensor
from kerasish.export import converters as converters  # which fill the table of graph.py
from kerasish.export.graph import ELEMENT_TYPES, CannotExport, Graph, Value
from kerasish.export.recording import Recording
from kerasish.layers.input_spec import InputSpec
from kerasish.ops.sizes import Size, expression
from kerasish.version import __version__

OLDEST_OPSET, NEWEST_OPSET = 17, 26
DEFAULT_OPSET = 21  # all that is needed is in it; runtimes lag behind the newest (onnxruntime 1.31 has no RandomNormal of 22)
_LIMIT = 2**31 - 1  # bytes that a protobuf message may have
_OUTSIDE = 1024  # bytes from which on a tensor of a large model lies beside the file


def _library():
    try:
        import onnx
    except ImportError:
        raise ImportError('Exporting to ONNX needs the package onnx: pip install "kerasish[onnx]"') from None
    return onnx


def export_onnx(model, filepath, verbose=None, input_signature=None, opset_version=None, **kwargs):
    """Write the model's ``call`` for inference as an ONNX file.

    ``input_signature``: a structure of ``InputSpec`` (KerasTensors, tensors), one for each argument of ``call``; by default that of
    a Functional or Sequential model, or of the first call. None sizes stay open. ``opset_version``: 17 to 26, by default 21.
    Raises ValueError, naming layer and op, for what has no ONNX form. Files of more than 2 GB get one with the weights beside them.
    """
    if kwargs:
        raise ValueError(f"Unknown arguments for the ONNX format: {sorted(kwargs)}. Expected `input_signature` and `opset_version`.")
    signature = input_signature_of(model) if input_signature is None else _checked_signature(input_signature)
    _check_arguments(model.call, signature)
    _export(model, lambda *args: model(*args, training=False), filepath, verbose, signature, opset_version)


def export_function(function, filepath, verbose=None, input_signature=None, opset_version=None):
    """The same of a function of tensors, whose layers are called for inference."""

    def call(*args):
        with setting(call_context={"training": False}):
            return function(*args)

    _export(function, call, filepath, verbose, _checked_signature(input_signature), opset_version)


def _export(model, function, filepath, verbose, signature, opset_version):
    onnx = _library()
    opset = DEFAULT_OPSET if opset_version is None else opset_version
    if not isinstance(opset, int) or not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise ValueError(f"`opset_version` must be from {OLDEST_OPSET} to {NEWEST_OPSET}. Received: opset_version={opset_version}")
    _write(onnx, build(model, function, signature, opset), str(filepath))
    if verbose or verbose is None:
        print(f"Saved artifact at '{filepath}'.")


# ---- signatures
def input_signature_of(model):
    """What the model is called with: a list with a structure of specs for each argument. ValueError where it is not known."""
    if not hasattr(model, "built"):
        raise TypeError(f"The model must be a layer or a model. Received: model={model} of the type {type(model)}")
    if not model.built:
        raise ValueError("This model has no variables yet. It must be built to be exported.")
    struct = getattr(model, "_inputs_struct", None)
    if struct is None and getattr(model, "_functional", None) is not None:
        struct = model._functional._inputs_struct
    if struct is not None:
        return [tree.map_structure(_spec_of, struct)]
    shapes = list((getattr(model, "_build_shapes", None) or {}).values())
    if not shapes or not model._called:
        raise ValueError("The model provided has never called. Call it once before export, or give `input_signature`.")
    parameters = inspect.signature(model.call).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    if len(needed) > len(shapes):
        raise ValueError(f"The model is called with {needed}: give `input_signature`, a list with a spec for each.")

    def spec(shape):
        return InputSpec(shape=(None, *shape[1:]), dtype=model.input_dtype)

    return [tree.map_shape_structure(spec, shape) for shape in shapes]


def _spec_of(x):
    """Shape, dtype and name, from whatever has a shape."""
    spec = InputSpec(shape=x.shape, dtype=x.dtype, name=getattr(x, "name", None))
    spec.dtype = spec.dtype or "float32"
    return spec


def _checked_signature(signature):
    if isinstance(signature, (InputSpec, Tensor, dict)):
        signature = [signature]
    for spec in tree.flatten(signature):
        if getattr(spec, "shape", None) is None:
            raise ValueError(f"`input_signature` must be a structure of `InputSpec` with shapes. Received: {signature}")
    return [tree.map_structure(_spec_of, spec) for spec in signature]


def _check_arguments(call, signature):
    parameters = inspect.signature(call)
    try:
        parameters.bind(*signature, **({"training": False} if "training" in parameters.parameters else {}))
    except TypeError as error:
        raise ValueError(f"`input_signature` is for {len(signature)} arguments, the model is called with {parameters}: {error}") from None


# ---- from a model to a graph
def build(model, function, signature, opset):
    """The graph of ``function``. With open sizes it is recorded twice, with other stand-ins, which must make no difference."""
    shared, graphs = 0, []
    while len(graphs) < 1 + _has_open_axes(signature, 0):
        try:
            graphs.append(_graph(model, function, signature, opset, len(graphs), shared))
        except CannotExport as error:
            raise ValueError(str(error)) from None
        except ValueError as error:
            if shared == 2 or isinstance(error, NoValueError) or not _has_open_axes(signature, 1):
                raise _explained(model, error, _has_open_axes(signature, 0)) from error
            shared, graphs = shared + 1, []  # perhaps open axes that the model adds up are of one size
        except TypeError as error:
            raise _explained(model, error, False) from error
    _compare(graphs[0], graphs[-1])
    return graphs[0]


def _has_open_axes(signature, first):
    return any(None in spec.shape[first:] for spec in tree.flatten(signature))


def _explained(model, error, has_open_sizes):
    """The error of a call without values, or with sizes that stand for any, as one that says where the model can't be exported."""
    if not isinstance(error, NoValueError) and not has_open_sizes:
        return error
    notes = [note for note in getattr(error, "__notes__", []) if note.startswith("In layer ")]
    where = notes[0].removeprefix("In ").partition(", called with")[0] if notes else f"model '{getattr(model, 'name', model)}'"
    open_sizes = "" if isinstance(error, NoValueError) else " with open sizes (give `input_signature` with numbers)"
    return ValueError(f"{where[0].upper()}{where[1:]} can't be exported to ONNX{open_sizes}: {error}")


def _graph(model, function, signature, opset, kind, shared):
    recording, graph = Recording(function, signature, kind, shared), Graph(opset)
    trace, specs = recording.trace, tree.flatten(signature)
    assigned = [variable.path for variable in trace.writes if variable.name != "seed_generator_state"]
    if assigned:
        names = ", ".join(f"'{path}'" for path in assigned)
        raise CannotExport(f"The model can't be exported to ONNX: its call assigns {names}, and an ONNX graph holds no state.")
    for i, (number, spec) in enumerate(zip(trace.arguments, specs, strict=True)):
        name = graph.name(spec.name or f"input_{i}")
        graph.inputs.append(Value(name, trace.specs[number].shape, trace.specs[number].dtype))
    graph.symbols = {name: (graph.inputs[i], axis) for name, (i, axis) in recording.symbols.items()}
    graph.variables = {}
    known = {}
    for variable, number in trace.reads.items():
        known[number] = Value(graph.name(variable.path or variable.name), variable.shape, variable.dtype)
        graph.variables[known[number]] = variable
    results = graph.convert(trace, graph.inputs, known, recording.layers)
    names = _output_names(model, recording)
    for name, y in zip(names, results, strict=True):
        name = Value(graph.name(name), y.shape, y.dtype)
        graph.path = ""
        graph.Identity(y)
        graph.nodes[-1].outputs = [name]
        graph.results.append(name)
    return graph


def _output_names(model, recording):
    """Those of a dict's keys, a Functional model's output layers, or ``output_0``, ``output_1``, ..."""
    n = len(recording.results)
    paths = [path for path, y in tree.flatten_with_path(recording.structure) if y is not None] if n else []
    if any(isinstance(part, str) for path in paths for part in path):
        return [".".join(map(str, path)) for path in paths]
    outputs = getattr(getattr(model, "_functional", None) or model, "_outputs", None)
    if outputs is not None and len(outputs) == n:
        return [x._keras_history.operation.name for x in outputs]
    return [f"output_{i}" for i in range(n)]


def _compare(graph, other):
    """Refuse a graph in which a size that is open has become a number."""
    for a, b in itertools.zip_longest(_all_nodes(graph), _all_nodes(other)):
        same = a and b and (a.type, a.inputs, a.outputs, _plain(a)) == (b.type, b.inputs, b.outputs, _plain(b))
        if not same or not all(_equal(graph, other, x) for x in a.inputs):
            raise ValueError(
                f"The model can't be exported to ONNX with open sizes: in '{(a or b).name}' its code made a fixed number of one. Use "
                "`ops` on the tensor instead of Python numbers there, or give `input_signature` with sizes."
            )


def _all_nodes(graph):
    for node in [*graph.sizes, *graph.nodes] if graph.outer is None else graph.nodes:
        yield node
        for value in node.attributes.values():
            if isinstance(value, Graph):
                yield from _all_nodes(value)


def _plain(node):
    return {k: v for k, v in node.attributes.items() if not isinstance(v, Graph)}


def _equal(graph, other, name):
    a, b = graph.constants.get(name), other.constants.get(name)
    return (a is None) == (b is None) and (a is None or (a.shape == b.shape and a.tobytes() == b.tobytes()))


# ---- from a graph to a file
def _write(onnx, graph, filepath):
    model, path = _model_proto(onnx, graph), pathlib.Path(filepath)
    path.parent.mkdir(parents=True, exist_ok=True)
    large = sum(len(t.raw_data) for t in model.graph.initializer) > _LIMIT
    outside = {"save_as_external_data": True, "location": f"{path.name}.data", "size_threshold": _OUTSIDE} if large else {}
    with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:  # old files stay until the new ones are whole
        made = pathlib.Path(folder, path.name)
        onnx.save_model(model, made, **outside)
        _check(onnx, str(made) if large else model, graph.opset)
        for part in sorted(pathlib.Path(folder).iterdir(), reverse=True):
            os.replace(part, path.parent / part.name)


def _check(onnx, model, opset):
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        newer = f" A higher `opset_version` may have it: this one is {opset}." if opset < NEWEST_OPSET else ""
        raise ValueError(f"The model can't be exported to ONNX: {error}{newer}") from error


def _model_proto(onnx, graph):
    opsets = [onnx.helper.make_opsetid("", graph.opset)]
    return onnx.helper.make_model(
        _graph_proto(onnx, graph), opset_imports=opsets, ir_version=onnx.helper.find_min_ir_version_for(opsets), producer_name="kerasish",
        producer_version=__version__,
    )  # fmt: skip


def _graph_proto(onnx, graph):
    tensors = []
    if graph.outer is None:
        used = {x for node in _all_nodes(graph) for x in node.inputs} | {y for g in _graphs(graph) for y in g.results}
        weights = {name: np.asarray(v.value.numpy()) for name, v in graph.variables.items() if name in used}
        tensors = [_tensor(onnx, k, v, k.dtype) for k, v in [*weights.items(), *((k, v) for k, v in graph.constants.items() if k in used)]]
    nodes = [_node(onnx, node) for node in _all_sizes(graph) + graph.nodes]
    inputs, outputs = ([_info(onnx, v) for v in values] for values in (graph.inputs, graph.results))
    return onnx.helper.make_graph(nodes, "kerasish" if graph.outer is None else graph.path or "part", inputs, outputs, tensors)


def _all_sizes(graph):
    return graph.sizes if graph.outer is None else []


def _graphs(graph):
    yield graph
    for node in graph.nodes:
        for value in node.attributes.values():
            if isinstance(value, Graph):
                yield from _graphs(value)


def _node(onnx, node):
    attributes = {k: _graph_proto(onnx, v) if isinstance(v, Graph) else v for k, v in node.attributes.items()}
    inputs = list(node.inputs)
    while inputs and not inputs[-1]:
        inputs.pop()
    return onnx.helper.make_node(node.type, inputs, list(node.outputs), name=node.name, **attributes)


def _tensor(onnx, name, array, dtype):
    array = np.ascontiguousarray(array).reshape(array.shape)
    return onnx.helper.make_tensor(str(name), ELEMENT_TYPES[dtype], array.shape, array.tobytes(), raw=True)


def _info(onnx, value):
    if value.shape is None:  # a result of an inner graph, whose shape nobody needs
        return onnx.helper.make_tensor_value_info(str(value), ELEMENT_TYPES[value.dtype], None)
    return onnx.helper.make_tensor_value_info(
        str(value), ELEMENT_TYPES[value.dtype], [expression(n) if isinstance(n, Size) else int(n) for n in value.shape]
    )
