"""Layers that take another layer through a sequence: both ways, or step by step."""

import math

from kerasish import ops, tree
from kerasish.activations import built_in_name
from kerasish.layers.conv import BaseConv
from kerasish.layers.core import Dense, Embedding, Wrapper
from kerasish.layers.layer import Layer
from kerasish.layers.pooling import BasePooling, GlobalPooling
from kerasish.layers.reshaping import Flatten
from kerasish.layers.rnn import time_first
from kerasish.saveable import (
    CustomObjectScope,
    InitOnly,
    deserialize_keras_object,
    get_registered_name,
    serialize_keras_object,
)

_MERGES = {
    "concat": lambda y, y_rev: ops.concatenate([y, y_rev], axis=-1),
    "sum": lambda y, y_rev: y + y_rev,
    "ave": lambda y, y_rev: (y + y_rev) / 2,
    "mul": lambda y, y_rev: y * y_rev,
    None: lambda y, y_rev: (y, y_rev),
}


def _copied(layer, name, **changes):
    """A new layer of the same config but for the name and the changes."""
    config = serialize_keras_object(layer)
    config["config"].update(name=name, **changes)
    classes = {get_registered_name(type(inner)): type(inner) for inner in layer._flatten_layers()}
    with CustomObjectScope(classes):  # the user's own need no registration for this
        return deserialize_keras_object(config)


class Bidirectional(Layer):
    """A recurrent layer and its copy that goes backwards, and their outputs merged (``keras.layers.Bidirectional``).

    ``merge_mode``: "concat", "sum", "mul", "ave", or None for both outputs. ``backward_layer`` is used in place of the copy;
    ``weights`` to start from: the forward layer's, then the backward layer's. ``initial_state`` lists the states in that order,
    and so does what ``return_state`` adds to the output. Masked steps give 0 where sequences are returned.

    >>> from kerasish.layers import LSTM
    >>> Bidirectional(LSTM(4, return_sequences=True))(ops.ones((2, 5, 3))).shape
    (2, 5, 8)
    """

    supports_masking = True
    layer: InitOnly
    merge_mode: str = "concat"
    weights: InitOnly = None
    backward_layer: InitOnly = None

    def check(self, layer, weights, backward_layer):
        super().check()
        for name, value in (("layer", layer), ("backward_layer", backward_layer)):
            if not isinstance(value, Layer) and (name == "layer" or value is not None):
                raise ValueError(f"Bidirectional: `{name}` must be a layer. Received: {name}={value}")
        if self.merge_mode not in _MERGES:
            raise ValueError(f"`merge_mode` must be one of {list(_MERGES)}. Received: merge_mode={self.merge_mode}")
        self.forward_layer = _copied(layer, f"forward_{layer.name.removeprefix('forward_')}")
        if backward_layer is None:
            backward_layer = _copied(layer, f"backward_{layer.name.removeprefix('backward_')}", go_backwards=True)
        self.backward_layer = backward_layer
        self._check_layers()
        for each in (self.forward_layer, self.backward_layer):
            if hasattr(layer, "use_cudnn"):
                each.use_cudnn = layer.use_cudnn  # which configs don't hold
            if hasattr(each, "zero_output_for_mask"):
                each.zero_output_for_mask = each.return_sequences
        self.stateful, self.return_sequences, self.return_state = layer.stateful, layer.return_sequences, layer.return_state
        self.input_spec = layer.input_spec
        self.__dict__["_start"] = weights

    def _check_layers(self):
        forward, backward = self.forward_layer, self.backward_layer
        if forward.go_backwards == backward.go_backwards:
            raise ValueError(
                f"Forward and backward layer need different `go_backwards`, got {forward.go_backwards} and {backward.go_backwards}"
            )
        for name in ("stateful", "return_sequences", "return_state"):
            ahead, back = getattr(forward, name), getattr(backward, name)
            if ahead != back:
                raise ValueError(
                    f'"{name}" must be the same for both layers, but is "{ahead}" for the forward and "{back}" for the backward layer'
                )

    def build(self, sequences_shape, initial_state_shape=None):
        for layer in (self.forward_layer, self.backward_layer):
            if not layer.built:
                layer.build(sequences_shape)
        if self._start:
            self.set_weights(self._start)

    def call(self, sequences, initial_state=None, mask=None, training=None):
        half = len(initial_state or ()) // 2
        ahead, back = (None, None) if initial_state is None else (initial_state[:half], initial_state[half:])
        y, states = self._one_way(self.forward_layer, sequences, ahead, mask, training)
        y_rev, states_rev = self._one_way(self.backward_layer, sequences, back, mask, training)
        if self.return_sequences:
            y_rev = ops.flip(y_rev, axis=1)
        output = _MERGES[self.merge_mode](y, y_rev)
        if not self.return_state:
            return output
        return (*(output if self.merge_mode is None else [output]), *states, *states_rev)

    def _one_way(self, layer, sequences, initial_state, mask, training):
        kwargs = {} if initial_state is None else {"initial_state": initial_state}
        if layer._call_has_training_arg:
            kwargs["training"] = training
        if layer._call_has_mask_arg:
            kwargs["mask"] = mask
        y, *states = layer(sequences, **kwargs) if self.return_state else [layer(sequences, **kwargs)]
        return ops.cast(y, self.compute_dtype), states

    def compute_mask(self, _, mask):
        mask = mask[0] if isinstance(mask, list) else mask
        mask = mask if self.return_sequences else None
        return (mask, mask) if self.merge_mode is None else mask

    @property
    def states(self):
        """The state variables of both layers where they are stateful and built, else None."""
        ahead, back = self.forward_layer.states, self.backward_layer.states
        return (*ahead, *back) if ahead and back else None

    def reset_state(self):
        """Set the states of both layers, which must be stateful, to zeros."""
        if not self.stateful:
            raise AttributeError("Layer must be stateful.")
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    def reset_states(self):
        """The same as :meth:`reset_state`."""
        self.reset_state()

    def get_config(self):
        layers = {"layer": self.forward_layer, "backward_layer": self.backward_layer}
        return {**super().get_config(), **{name: serialize_keras_object(layer) for name, layer in layers.items()}}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        layers = {name: deserialize_keras_object(config.get(name), custom_objects) for name in ("layer", "backward_layer")}
        return super().from_config({**config, **layers})


class TimeDistributed(Wrapper):
    """A layer applied to each step of a sequence ``(batch, steps, ...)`` by itself (``keras.layers.TimeDistributed``).

    The layer gets the step's part of the mask, if its ``call`` takes one. It is called for each step (a recorded step of training
    holds one loop), or once, where steps may just as well be examples: in Dense, Embedding, Flatten, convolution and pooling.
    ValueError for inputs of less than three axes and for a mask that does not fit them.

    >>> from kerasish.layers import Dense
    >>> TimeDistributed(Dense(4))(ops.ones((2, 5, 3))).shape
    (2, 5, 4)
    """

    supports_masking = True

    def build(self, input_shape):
        if not isinstance(input_shape, (tuple, list)) or len(input_shape) < 3:
            raise ValueError(f"`TimeDistributed` takes inputs with at least 3 dimensions, got shape {input_shape}")
        super().build((input_shape[0], *input_shape[2:]))

    def call(self, inputs, training=None, mask=None):
        given = [inputs]
        if mask is not None:
            _check_mask(mask.shape, inputs.shape)
            given += [mask] if self.layer._call_has_mask_arg else []
        kwargs = {"training": training} if self.layer._call_has_training_arg else {}

        def step(x, mask=None):
            return self.layer.call(x, **kwargs, **({} if mask is None else {"mask": mask}))

        if _is_by_example(self.layer):
            return _split_steps(step(*map(_join_steps, given)), inputs.shape[:2])
        outputs = ops.map(lambda parts: step(*parts), [time_first(x) for x in given])
        return tree.map_structure(time_first, outputs)


def _is_by_example(layer):
    """Whether the layer does the same with each example of a batch, whatever the others are: it has no state and no chance.
    Classes and activations of a user's own may do anything."""
    if not isinstance(layer, (Dense, Embedding, BaseConv, BasePooling, GlobalPooling, Flatten)):
        return False
    activation = getattr(layer, "activation", None)
    return type(layer).__module__.startswith("kerasish.") and (activation is None or built_in_name(activation) is not None)


def _join_steps(x):
    """``(batch, steps, ...)`` as ``(batch * steps, ...)``."""
    sizes = x.shape[:2]
    return ops.reshape(x, (-1 if None in sizes else math.prod(sizes), *x.shape[2:]))


def _split_steps(x, sizes):
    return ops.reshape(x, (*sizes, *x.shape[1:]))


def _check_mask(mask_shape, input_shape):
    pairs = zip(mask_shape[:2], input_shape[:2], strict=False)
    if len(mask_shape) < 2 or any(None not in pair and pair[0] != pair[1] for pair in pairs):
        raise ValueError(
            f"The `mask` passed to the `TimeDistributed` layer has a shape {tuple(mask_shape)}, incompatible with the input "
            f"shape {tuple(input_shape)}: its first two dimensions must be the batch size and the steps."
        )
