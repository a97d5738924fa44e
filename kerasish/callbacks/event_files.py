"""Files of events that TensorBoard reads, written with the package tensorboard's own writer."""

import json
import struct
import time
import zlib

import numpy as np


def needs_tensorboard():
    """ImportError that says what to install, where the package tensorboard is missing."""
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise ImportError('The TensorBoard callback needs the package tensorboard: pip install "kerasish[tensorboard]"') from error


class EventFile:
    """One file of events in a folder; what is added is there for others after ``flush``."""

    def __init__(self, folder):
        needs_tensorboard()
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = EventFileWriter(folder)

    def scalar(self, tag, value, step):
        """A number, as float32."""
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        self._add(step, summary=scalar_pb(tag, float(value)))

    def histogram(self, tag, values, step):
        """How often values occur that are finite: 30 intervals of the same width."""
        from tensorboard.plugins.histogram.summary_v2 import histogram_pb

        self._add(step, summary=histogram_pb(tag, values[np.isfinite(values)]))

    def text(self, tag, text, step):
        """A text, in Markdown."""
        from tensorboard.plugins.text.summary_v2 import text_pb

        self._add(step, summary=text_pb(tag, text))

    def images(self, tag, images, step):
        """Images ``(number, height, width, channels)`` of bytes, of which the first three are kept."""
        from tensorboard.plugins.image.metadata import create_summary_metadata

        height, width = images.shape[1:3]
        parts = [str(width).encode(), str(height).encode(), *map(png, images[:3])]
        self._tensor(tag, parts, create_summary_metadata(display_name=None, description=None), step)

    def model(self, tag, model):
        """A model's config, of which TensorBoard draws the layers."""
        from tensorboard.compat.proto.summary_pb2 import SummaryMetadata

        plugin = SummaryMetadata.PluginData(plugin_name="graph_keras_model", content=b"1")
        self._tensor(tag, model.to_json().encode(), SummaryMetadata(plugin_data=plugin), 0)

    def graph(self, model):
        """The graph of a model's layers."""
        self._add(0, graph_def=graph_of(model).SerializeToString())

    def _tensor(self, tag, value, metadata, step):
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.util.tensor_util import make_tensor_proto

        value = Summary.Value(tag=tag, tensor=make_tensor_proto(value), metadata=metadata)
        self._add(step, summary=Summary(value=[value]))

    def _add(self, step, **content):
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.add_event(Event(wall_time=time.time(), step=step, **content))

    def flush(self):
        """Put all that was added into the file."""
        self._writer.flush()

    def close(self):
        """Flush, and close the file."""
        self._writer.close()


def graph_of(model):
    """A GraphDef of the model's layers: as its config connects them, or, where it has no graph, each by its path alone."""
    from tensorboard.compat.proto.graph_pb2 import GraphDef
    from tensorboard.plugins.graph.keras_util import keras_model_to_graph_def

    if has_graph(model):
        return keras_model_to_graph_def(json.loads(model.to_json()))
    graph = GraphDef()
    for layer in model._flatten_layers():
        graph.node.add(name=layer.path or layer.name).attr["keras_class"].s = type(layer).__name__.encode()
    return graph


def has_graph(model):
    """Whether a model's config lists its layers: Sequential and Functional models."""
    return bool(getattr(model, "saves_layers_first", False)) and model.built


def png(image):
    """The PNG file of an image ``(height, width, channels)`` of bytes, with 1 (grey), 3 (colours) or 4 channels (and opacity)."""
    height, width, channels = image.shape
    kind = {1: 0, 3: 2, 4: 6}[channels]
    rows = np.concatenate([np.zeros((height, 1), np.uint8), image.reshape(height, -1)], axis=1)  # each row begins with its filter: none

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b"")
