"""Models (``keras.models``)."""

from kerasish.models.cloning import clone_model
from kerasish.models.model import Model, model_from_json
from kerasish.models.sequential import Sequential
from kerasish.saving import load_model, save_model

__all__ = ["Model", "Sequential", "clone_model", "load_model", "model_from_json", "save_model"]
