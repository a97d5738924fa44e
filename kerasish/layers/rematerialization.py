"""How layers made in a RematScope are called: their inner results are forgotten and computed again for gradients."""

import functools

from kerasish import tree
from kerasish.backend.autodiff.remat import remat
from kerasish.backend.autodiff.symbolic import compute_output_spec
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor


def rematerialized(layer, call, args, kwargs):
    """The call, or one that keeps less for gradients, as the scope says that the layer was made in."""
    mode, scope = layer._remat_mode.mode, layer._remat_mode
    if mode == "activations" and getattr(layer, "activation", None) is not None:
        return _with_light_activation(layer, call)
    if (
        mode == "full"
        or (mode == "list_of_layers" and layer.name in scope.layer_names)
        or (mode == "larger_than" and _output_size(call, args, kwargs) > scope.output_size_threshold)
    ):
        return remat(call)
    return call


def _with_light_activation(layer, call):
    @functools.wraps(call)
    def wrapped(*args, **kwargs):
        activation = layer.activation
        layer.activation = remat(activation)
        try:
            return call(*args, **kwargs)
        finally:
            layer.activation = activation

    return wrapped


def _output_size(call, args, kwargs):
    """Number of elements that the call would give."""

    def spec(x):
        return KerasTensor(x.shape, x.dtype) if isinstance(x, Tensor) else x

    outputs = compute_output_spec(call, *tree.map_structure(spec, args), **tree.map_structure(spec, kwargs))
    return sum(y.size or 0 for y in tree.flatten(outputs) if isinstance(y, Tensor))
