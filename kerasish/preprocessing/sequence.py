"""Sequences of different lengths (``keras.preprocessing.sequence``)."""

from kerasish.utils.sequences import pad_sequences

__all__ = ["pad_sequences"]
