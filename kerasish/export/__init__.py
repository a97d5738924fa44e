"""Models for other programs: ONNX files (``keras.export``)."""

from kerasish.export.archive import ExportArchive

__all__ = ["ExportArchive"]
