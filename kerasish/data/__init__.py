"""Data of any kind as batches: see :class:`kerasish.data.batches.Batches` for the one interface."""

from kerasish.data.arrays import train_validation_split
from kerasish.data.batches import Batches, pack_x_y_sample_weight, unpack_x_y_sample_weight
from kerasish.data.epochs import Epochs, as_batches
from kerasish.data.py_dataset import PyDataset

Sequence = PyDataset  # Keras 2's name

__all__ = [
    "Batches",
    "Epochs",
    "PyDataset",
    "Sequence",
    "as_batches",
    "pack_x_y_sample_weight",
    "train_validation_split",
    "unpack_x_y_sample_weight",
]
