"""Tensors, ops and gradients: see README.md in this folder."""
