"""Questions about the graph of a Functional model."""

from kerasish.backend.autodiff.symbolic import node_of


def get_source_inputs(tensor):
    """The ``Input`` tensors that a KerasTensor was made from, each once (``keras.utils.get_source_inputs``).

    >>> from kerasish import layers
    >>> a, b = layers.Input((2,), name="a"), layers.Input((2,), name="b")
    >>> [x.name for x in get_source_inputs(layers.add([a, b, a]))]
    ['a', 'b']
    """
    if getattr(tensor, "_keras_history", None) is None:
        return tensor
    sources, seen, todo = [], set(), [tensor]
    while todo:
        x = todo.pop()
        if id(x) in seen:
            continue
        seen.add(id(x))
        if x._keras_history.operation is None:
            sources.append(x)
        elif node_of(x).is_input:
            sources.extend(node_of(x).outputs)
        else:
            todo.extend(reversed(node_of(x).input_tensors))
    return sources
