"""Small data sets to try models on (`keras.datasets`); `digits` is part of the package and needs no network."""

from kerasish.datasets import digits, mnist

__all__ = ["digits", "mnist"]
