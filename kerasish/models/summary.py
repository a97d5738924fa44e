"""The table that ``model.summary()`` prints: right in a terminal of 80 columns, in a log file and in a notebook."""

import re
import shutil

from kerasish import config, tree
from kerasish.backend.autodiff.dtypes import numpy_dtype


def print_summary(model, line_length=None, positions=None, print_fn=None, expand_nested=False, show_trainable=False, layer_range=None):
    """Print the layers, their output shapes and numbers of parameters, and the totals."""
    from rich.console import Console

    if print_fn is None and not config.is_interactive_logging_enabled():
        import logging

        print_fn = logging.getLogger("kerasish").info
    width = line_length or min(108, shutil.get_terminal_size().columns)
    captured = Console(highlight=False, force_terminal=False, color_system=None, width=width, force_jupyter=False)
    console = Console(highlight=False, width=width) if print_fn is None else captured
    with captured.capture() if print_fn else console as capture:
        console.print(f'[bold]Model: "{_escape(model.name)}"[/]')
        console.print(_table(model, width, positions, expand_nested, show_trainable, layer_range))
        for label, variables in _totals(model):
            size = sum(v.size * numpy_dtype(v.dtype).itemsize for v in variables)
            count = sum(v.size for v in variables)
            console.print(f"[bold] {label}:[/] [green]{count:,}[/] ({_readable(size)})")
    if print_fn is not None:
        print_fn(capture.get())


def _escape(text):
    from rich.markup import escape

    return escape(str(text))


def _totals(model):
    optimizer = getattr(model, "optimizer", None)
    own = optimizer.variables if getattr(model, "compiled", False) and optimizer is not None and optimizer.built else None
    rows = [
        ("Total params", [*model.weights, *(own or [])]),
        ("Trainable params", model.trainable_weights),
        ("Non-trainable params", model.non_trainable_weights),
    ]
    return [*rows, ("Optimizer params", own)] if own is not None else rows


def _readable(size):
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            return f"{size:.2f} {unit}"
        size /= 1024
    return None


def _table(model, width, positions, expand_nested, show_trainable, layer_range):
    from rich.table import Column, Table

    operations = _chosen(getattr(model, "_operations", None) or model.layers, layer_range)
    nodes = getattr(model, "_nodes", None)
    linear = nodes is None or _is_chain(model, nodes)
    columns = [("Layer (type)", "left"), ("Output Shape", "left"), ("Param #", "right")]
    positions = list(positions or ([0.45, 0.80, 1.0] if linear else [0.3, 0.56, 0.74, 1.0]))
    if not linear:
        columns.append(("Connected to", "left"))
    if show_trainable:
        columns.append(("Trainable", "center"))
        positions = [p * 0.9 for p in positions] + [1.0]
    edges = [0] + [int(p * width) for p in positions]
    sizes = [right - left - 3 for left, right in zip(edges, edges[1:], strict=False)]  # less borders and padding
    if min(sizes) < 1:
        raise ValueError(f"Insufficient console width to print summary: {width}.")
    made = [
        Column(name, justify=justify, width=size, overflow="ellipsis" if name == "Trainable" else "fold")
        for (name, justify), size in zip(columns, sizes, strict=False)
    ]
    table = Table(*made, show_lines=True)
    for operation in operations:
        _add_rows(table, operation, nodes, linear, show_trainable, expand_nested, level=0)
    return table


def _add_rows(table, layer, nodes, linear, show_trainable, expand_nested, level):
    name = ("   " * level + "└ " if level else "") + _escape(layer.name)
    cells = [f"{name} ([cyan]{_escape(type(layer).__name__)}[/])", _output_shape(layer), _params(layer)]
    if not linear:
        cells.append(_connections(layer, nodes))
    if show_trainable:
        weights = getattr(layer, "weights", None)
        cells.append(("[green]Y[/]" if layer.trainable else "[red]N[/]") if weights else "-")
    table.add_row(*cells)
    if expand_nested:
        for inner in getattr(layer, "layers", None) or ():
            _add_rows(table, inner, None, linear, show_trainable, expand_nested, level + 1)


def _params(layer):
    if not getattr(layer, "built", True):
        return "0 (unbuilt)"
    return f"[green]{layer.count_params():,}[/]" if hasattr(layer, "count_params") else "0"


def _output_shape(layer):
    if layer._inbound_nodes:
        shapes = tree.map_structure(lambda x: x.shape, layer._inbound_nodes[-1].outputs)
        return _escape(shapes[0] if len(shapes) == 1 else shapes)
    build_config = layer.get_build_config() if hasattr(layer, "get_build_config") else None
    if not build_config:
        return "?"
    try:
        shapes = build_config.get("shapes_dict") or {"input_shape": build_config["input_shape"]}
        return _escape(layer.compute_output_shape(*shapes.values()))
    except Exception:  # a user's call may need what shapes don't tell: the table says that it doesn't know
        return "?"


def _connections(layer, nodes):
    if nodes is None:
        return "-"
    inside = {id(node) for node in nodes}
    sources = [x._keras_history for node in layer._inbound_nodes if id(node) in inside for x in node.input_tensors]
    return ", ".join(f"{_escape(h.operation.name)}\\[{h.node_index}]\\[{h.tensor_index}]" for h in sources) or "-"


def _is_chain(model, nodes):
    """Whether each node has one input, that of the node before: then the column of connections says nothing."""
    if any(len(node.input_tensors) > 1 for node in nodes) or sum(node.is_input for node in nodes) > 1:
        return False
    sources = [id(x) for node in nodes for x in node.input_tensors]
    return len(set(sources)) == len(sources)


def _chosen(layers, layer_range):
    if not layer_range:
        return layers
    if len(layer_range) != 2 or not all(isinstance(name, str) for name in layer_range):
        raise ValueError(f"layer_range must be a list or tuple of two strings. Received: layer_range={layer_range}")
    found = [[i for i, layer in enumerate(layers) if re.match(name, layer.name)] for name in layer_range]
    if not all(found):
        raise ValueError(f"Passed layer_range does not match any layers: {layer_range}. Layers: {[layer.name for layer in layers]}")
    first, last = sorted((min(found[0]), max(found[1])))
    return layers[first : last + 1]
