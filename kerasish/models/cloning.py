"""clone_model: the same architecture with new layers and new weights."""

from kerasish import tree
from kerasish.backend.autodiff.symbolic import is_default
from kerasish.backend.autodiff.tensor import KerasTensor
from kerasish.layers.core import Input, InputLayer
from kerasish.models.functional import Functional, is_functional_like
from kerasish.models.sequential import Sequential
from kerasish.saveable import deserialize_keras_object, serialize_keras_object


def clone_model(model, input_tensors=None, clone_function=None, call_function=None, recursive=False, **kwargs):
    """The model once more, with new layers and newly initialised weights (``keras.models.clone_model``).

    ``clone_function(layer)`` makes each layer of the copy; ``call_function(layer, *args, **kwargs)`` makes its calls (Functional
    models only); with ``recursive`` inner models are cloned too. A subclassed model is made again from its config.

    >>> from kerasish import Input, layers
    >>> model = Sequential([Input((2,)), layers.Dense(1)])
    >>> clone_model(model).layers[0] is model.layers[0]
    False
    """
    cache = kwargs.pop("cache", None)
    if kwargs:
        raise ValueError(f"Unexpected keyword argument(s): {tuple(kwargs)}")
    if isinstance(model, Sequential):
        if call_function is not None:
            raise ValueError(
                "`call_function` argument is not supported with Sequential models: their layers are listed, not called, when the "
                f"model is made. Received call_function={call_function}"
            )
        return _clone_sequential(model, _cloner(clone_function, None, recursive, cache), input_tensors)
    if isinstance(model, Functional) and (is_default(type(model).get_config) or clone_function or input_tensors):
        return _clone_functional(model, _cloner(clone_function, call_function, recursive, cache), input_tensors, call_function)
    if clone_function or input_tensors or call_function:
        raise ValueError(
            "Arguments `clone_function`, `input_tensors` and `call_function` are only supported for Sequential and Functional "
            f"models. Received model of type '{type(model).__name__}'."
        )
    return deserialize_keras_object(serialize_keras_object(model), custom_objects={type(model).__name__: type(model)})


def _cloner(clone_function, call_function, recursive, cache):
    """The layer's clone, the same one for a layer that is met again."""
    clone_function = clone_function or (lambda layer: type(layer).from_config(layer.get_config()))
    cache = {} if cache is None else cache

    def clone(layer):
        if id(layer) not in cache:
            if recursive and isinstance(layer, (Sequential, Functional)):
                inner_calls = {} if isinstance(layer, Sequential) else {"call_function": call_function}
                new = clone_model(layer, clone_function=clone_function, recursive=True, cache=cache, **inner_calls)
            else:
                new = clone_function(layer)
            cache[id(layer)] = new
        return cache[id(layer)]

    return clone


def _compiled_like(model, new):
    if model.compiled:
        new.compile_from_config(model.get_compile_config())
    return new


def _clone_sequential(model, clone, input_tensors):
    layers = [clone(layer) for layer in model.layers]
    source = model._stack[0] if model._stack and isinstance(model._stack[0], InputLayer) else None
    if input_tensors is not None:
        given = tree.flatten(input_tensors)
        if len(given) != 1 or not isinstance(given[0], KerasTensor):
            raise ValueError(f"Argument `input_tensors` must be a single KerasTensor. Received: {input_tensors}")
        layers.insert(0, Input(tensor=given[0], name=source and source.name))
    elif source is not None:
        layers.insert(0, Input(batch_shape=source.batch_shape, dtype=source.dtype, name=source.name, optional=source.optional))
    return _compiled_like(model, Sequential(layers, name=model.name, trainable=model.trainable))


def _clone_functional(model, clone, input_tensors, call_function):
    if input_tensors is None:
        inputs = tree.map_structure(lambda x: Input(batch_shape=x.shape, dtype=x.dtype, name=x.name), model.input)
    else:
        if not all(isinstance(x, KerasTensor) for x in tree.flatten(input_tensors)):
            raise ValueError(f"All entries in `input_tensors` must be KerasTensors. Received: {input_tensors}")
        try:
            tree.assert_same_structure(input_tensors, model.input)
        except ValueError as error:
            raise ValueError(f"`input_tensors` must have the same structure as model.input. {error}") from None
        inputs = input_tensors
    outputs = model._run_through_graph(inputs, operation_fn=clone, call_fn=call_function)
    cls = type(model) if is_functional_like(type(model)) else Functional
    return _compiled_like(model, cls(inputs, outputs, name=model.name))
