"""Drawings of models (``keras.utils.plot_model``), by pydot (the extra ``graph``) and the program ``dot`` of Graphviz."""

import os
import shutil
import sys

from kerasish import tree
from kerasish.console import print_msg
from kerasish.layers.core import InputLayer
from kerasish.models.functional import Functional
from kerasish.models.sequential import Sequential


def model_to_dot(
    model, show_shapes=False, show_dtype=False, show_layer_names=True, rankdir="TB", expand_nested=False, dpi=200, subgraph=False,
    show_layer_activations=False, show_trainable=False, splines="ortho", **kwargs,
):  # fmt: skip
    """The graph of a built model as a ``pydot.Dot``: a box for each layer, an arrow for each tensor (``keras.utils.model_to_dot``).

    ``expand_nested`` draws models inside the model as frames with their layers; ``subgraph`` gives such a frame (``pydot.Cluster``).
    ``rankdir``: "TB" from top to bottom, "LR" from left to right. A subclassed model is one box. ImportError without pydot.
    """
    _check(model, kwargs)
    pydot = _pydot()
    shown = {
        "names": show_layer_names, "activations": show_layer_activations, "dtype": show_dtype, "shapes": show_shapes,
        "trainable": show_trainable,
    }  # fmt: skip
    if subgraph:
        dot = pydot.Cluster(str(id(model)), style="dashed", label=model.name, labeljust="l")
    else:
        dot = pydot.Dot(rankdir=rankdir, concentrate=True, dpi=dpi, splines=splines)
        dot.set_node_defaults(shape="record")
    _draw(model, dot, expand_nested, shown, pydot)
    return dot


def plot_model(
    model, to_file="model.png", show_shapes=False, show_dtype=False, show_layer_names=False, rankdir="TB", expand_nested=False,
    dpi=200, show_layer_activations=False, show_trainable=False, splines="ortho", **kwargs,
):  # fmt: skip
    """Draw a built model into a file, of the kind that its name ends with: png, svg, pdf, ... (``keras.utils.plot_model``).

    The options are those of :func:`model_to_dot`. In a notebook the picture is returned, to be shown. ImportError without pydot or
    Graphviz, of which a notebook is told by a message only.
    """
    _check(model, kwargs)
    try:
        _pydot()
        if shutil.which("dot") is None:
            raise ImportError("Models are drawn by the program `dot` of Graphviz: see https://graphviz.org/download/")
    except ImportError as error:
        if "IPython.core.magics.namespace" not in sys.modules:
            raise
        print_msg(error)
        return None
    dot = model_to_dot(
        model, show_shapes, show_dtype, show_layer_names, rankdir, expand_nested, dpi,
        show_layer_activations=show_layer_activations, show_trainable=show_trainable, splines=splines,
    )  # fmt: skip
    to_file = os.fspath(to_file)
    kind = os.path.splitext(to_file)[1][1:] or "png"
    dot.write(to_file, format=kind)
    try:
        from IPython.display import Image
    except ImportError:
        return None
    return Image(filename=to_file) if kind in ("png", "jpg", "jpeg", "gif") else None


def _check(model, kwargs):
    if not model.built:
        raise ValueError(
            f"The model '{model.name}' has not yet been built: its layers and shapes are unknown. Call `build()`, or the model on a "
            "batch of data, first."
        )
    if kwargs:
        raise ValueError(f"Unrecognized keyword arguments: {sorted(kwargs)}")


def _pydot():
    try:
        import pydot
    except ImportError as error:
        raise ImportError('Models are drawn with pydot: pip install "kerasish[graph]"') from error
    return pydot


# ---- boxes and arrows
def _draw(model, dot, expand_nested, shown, pydot):
    graph = _graph(model)
    if graph is None:
        dot.add_node(_box(model, shown, pydot))
        return
    layers = model.layers if isinstance(model, Sequential) else graph.operations
    for layer in layers:
        if expand_nested and _graph(layer) is not None:
            frame = pydot.Cluster(str(id(layer)), style="dashed", label=layer.name, labeljust="l")
            _draw(layer, frame, expand_nested, shown, pydot)
            dot.add_subgraph(frame)
        else:
            dot.add_node(_box(layer, shown, pydot))
    for source, target in _arrows(graph, {id(layer) for layer in layers}, expand_nested):
        dot.add_edge(pydot.Edge(str(id(source)), str(id(target)), penwidth="2"))


def _graph(model):
    """The Functional model that tells how layers are connected; None for layers, and for models that are none."""
    return model._functional if isinstance(model, Sequential) else model if isinstance(model, Functional) else None


def _arrows(graph, drawn, expand_nested):
    """Pairs of boxes, each once; those of nested models are the layers where a tensor leaves one and enters another."""
    pairs = {}
    for node in graph.nodes:
        for place, x in enumerate(node.input_tensors):
            history = x._keras_history
            if id(history.operation) in drawn:
                ends = (_leaving(*history), _entering(node.operation, place)) if expand_nested else (history.operation, node.operation)
                if ends[0] is not ends[1]:  # an Input that is the nested model's own too
                    pairs[tuple(map(id, ends))] = ends
    return pairs.values()


def _leaving(layer, _, index):
    while (graph := _graph(layer)) is not None:
        layer, _, index = graph.outputs[index]._keras_history
    return layer


def _entering(layer, place):
    while (graph := _graph(layer)) is not None:
        layer, place = (layer.layers[0], 0) if isinstance(layer, Sequential) else (graph.inputs[place]._keras_history.operation, 0)
    return layer


# ---- what is in a box: a table in Graphviz's HTML
def _box(layer, shown, pydot):
    facts = _facts(layer, shown)
    rows = [[("black", _title(layer, shown["names"]))], facts]
    activation = getattr(layer, "activation", None)
    if shown["activations"] and activation is not None:
        name = getattr(activation, "name", None) or getattr(activation, "__name__", str(activation))
        rows.insert(1, [("white", f"Activation: {_bold(name)}")])
    table = "".join(_row(cells, max(len(facts), 1)) for cells in rows if cells)
    label = f'<<table bgcolor="black" border="0" cellborder="1" cellpadding="10">{table}</table>>'
    return pydot.Node(str(id(layer)), label=label, fontname="Helvetica", border="0", margin="0")


def _title(layer, with_name):
    kind = type(layer).__name__
    return f"{_bold(layer.name)} ({_escaped(kind)})" if with_name else _bold(kind)


def _facts(layer, shown):
    facts = []
    if shown["shapes"]:
        if not isinstance(layer, InputLayer):
            facts.append(("white", f"Input shape: {_bold(_described(layer, 'input', 'shape'))}"))
        facts.append(("white", f"Output shape: {_bold(_described(layer, 'output', 'shape'))}"))
    if shown["dtype"]:
        facts.append(("white", f"Output dtype: {_bold(_described(layer, 'output', 'dtype'))}"))
    if shown["trainable"] and getattr(layer, "weights", None):
        facts.append(("forestgreen", _bold("Trainable")) if layer.trainable else ("firebrick", _bold("Non-trainable")))
    return facts


def _described(layer, end, attribute):
    try:
        found = tree.map_structure(lambda x: getattr(x, attribute), getattr(layer, end))
    except (AttributeError, ValueError):  # a layer that was never called on symbolic tensors
        return "?"
    return ", ".join(f"{key}: {value}" for key, value in found.items()) if isinstance(found, dict) else str(found)


def _bold(text):
    return f"<b>{_escaped(text)}</b>"


def _escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _row(cells, columns):
    """A row of the table; a cell that is alone takes all columns."""

    def cell(color, text):
        size, ink = (16 if color == "black" else 14), ("black" if color == "white" else "white")
        span = columns if len(cells) == 1 else 1
        return f'<td colspan="{span}" bgcolor="{color}"><font point-size="{size}" color="{ink}">{text}</font></td>'

    return f"<tr>{''.join(cell(*each) for each in cells)}</tr>"
