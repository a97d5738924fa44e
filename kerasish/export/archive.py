"""Endpoints: functions, layers and models, each written as an ONNX file of its own."""

import pathlib

from kerasish.export.onnx import export_function, export_onnx, input_signature_of
from kerasish.layers.layer import Layer


class ExportArchive:
    """Functions for inference, each with a name and a signature, written as ONNX files (``keras.export.ExportArchive``).

    ``ExportArchive(format="onnx")`` is the only format: SavedModels, Keras's default, need TensorFlow, so ValueError. ``write_out``
    makes a folder with a file for each endpoint; of one endpoint it makes the file itself where the path ends in ``.onnx``.

    >>> from kerasish import InputSpec
    >>> archive = ExportArchive(format="onnx")
    >>> archive.add_endpoint("double", lambda x: x * 2.0, input_signature=[InputSpec(shape=(None, 3), dtype="float32")])
    >>> archive.endpoints
    ['double']
    """

    def __init__(self, *args, **kwargs):
        unknown = sorted(set(kwargs) - {"format"})
        if len(args) > 1 or unknown:
            raise TypeError(f"ExportArchive takes one argument, `format`. Received: {args} and {kwargs}")
        format = args[0] if args else kwargs.get("format", "saved_model")
        if format != "onnx":
            raise ValueError(
                f"Unsupported format: {format}. kerasish exports ONNX only: ExportArchive(format='onnx'). To load a model in Keras "
                "again, save it as a `.keras` file."
            )
        self._endpoints, self._tracked = {}, []

    endpoints = property(lambda self: list(self._endpoints))

    def track(self, resource):
        """Take note of a layer or model that endpoints use; ValueError for one that is not built."""
        if not isinstance(resource, Layer):
            raise ValueError(f"Invalid resource type: a layer or model is needed, got {resource} ({type(resource)})")
        if not resource.built:
            raise ValueError("This layer has no variables yet. It must be built to be exported.")
        self._tracked.append(resource)

    def add_endpoint(self, name, fn, input_signature=None, **kwargs):
        """A function of tensors, or a layer, under a name. The signature, a list with a structure of ``InputSpec`` for each
        argument, may be left out for a model that knows its inputs."""
        if kwargs:
            raise ValueError(f"Endpoints of ONNX files have no further options. Received: {sorted(kwargs)}")
        if name in self._endpoints:
            raise ValueError(f"Endpoint name '{name}' is already taken.")
        if input_signature is None:
            if not isinstance(fn, Layer):
                raise ValueError(f"`input_signature` is needed for the function of endpoint '{name}'.")
            input_signature = input_signature_of(fn)
        self._endpoints[name] = fn, input_signature

    def track_and_add_endpoint(self, name, resource, input_signature, **kwargs):
        """Both: the layer's own call is the endpoint."""
        self.track(resource)
        self.add_endpoint(name, resource, input_signature, **kwargs)

    def add_variable_collection(self, name, variables):
        """ValueError: an ONNX file has its weights in the graph, and no collections of them."""
        raise ValueError(f"ONNX files have no collections of variables. Save those of '{name}' with `save_weights`.")

    def write_out(self, filepath, options=None, verbose=True):
        """Write all endpoints: see the class."""
        if options is not None:
            raise ValueError(f"`options` are for SavedModels; ONNX files have none. Received: options={options}")
        if not self._endpoints:
            raise ValueError("No endpoints have been set yet. Call add_endpoint().")
        path = pathlib.Path(filepath)
        if path.suffix == ".onnx" and len(self._endpoints) > 1:
            raise ValueError(f"{path} can hold one endpoint, there are {len(self._endpoints)}: {self.endpoints}. Name a folder instead.")
        for name, (fn, signature) in self._endpoints.items():
            target = path if path.suffix == ".onnx" else path / f"{name}.onnx"
            (export_onnx if isinstance(fn, Layer) else export_function)(fn, target, verbose, signature)
