"""Pipeline: layers one after the other, as one layer."""

from kerasish.layers.layer import Layer
from kerasish.saveable import deserialize_keras_object, serialize_keras_object


class Pipeline(Layer):
    """Layers that prepare data, applied in turn, also to dicts of images, labels and boxes (``keras.layers.Pipeline``).

    Unlike a Sequential model it is no model, and hands on what it was given without making tensors of it.

    >>> from kerasish import layers, ops
    >>> Pipeline([layers.Rescaling(2.0), layers.Rescaling(1.0, offset=1.0)])(ops.array([1.0])).tolist()
    [3.0]
    """

    _convert_input_args = False
    _allow_non_tensor_positional_args = True

    def __init__(self, layers, name=None):
        super().__init__(name=name)
        self._pipeline_layers = layers

    @property
    def layers(self):
        return self._pipeline_layers

    def call(self, inputs, training=True, mask=None):
        for layer in self._pipeline_layers:
            context = {"training": training} if layer._call_has_training_arg and training is not None else {}
            if mask is not None and layer._call_has_mask_arg:
                context["mask"] = mask
            inputs, mask = layer(inputs, **context), None  # from here on masks travel with the tensors
        return inputs

    def get_config(self):
        return {"layers": serialize_keras_object(list(self._pipeline_layers)), "name": self.name}

    @classmethod
    def from_config(cls, config):
        layers = config.get("layers")
        if not isinstance(layers, (list, tuple)):
            raise ValueError(f"A Pipeline's config must have a list of serialized layers as `layers`. Received: layers={layers}")
        return cls(**{**config, "layers": [deserialize_keras_object(layer) for layer in layers]})
