"""Tools around models (``keras.utils``)."""

from kerasish.backend.autodiff.state import clear_session
from kerasish.backend.autodiff.tensor import is_keras_tensor
from kerasish.backend.random import set_random_seed
from kerasish.config import (
    disable_interactive_logging,
    enable_interactive_logging,
    is_interactive_logging_enabled,
)
from kerasish.console import Progbar
from kerasish.data import PyDataset, Sequence, pack_x_y_sample_weight, unpack_x_y_sample_weight
from kerasish.saveable import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)
from kerasish.utils.feature_space import FeatureSpace
from kerasish.utils.files import get_file
from kerasish.utils.numerical import normalize, to_categorical

__all__ = [
    "CustomObjectScope", "FeatureSpace", "Progbar", "PyDataset", "Sequence", "clear_session", "custom_object_scope",
    "deserialize_keras_object", "disable_interactive_logging", "enable_interactive_logging", "get_custom_objects", "get_file",
    "get_registered_name", "get_registered_object", "is_interactive_logging_enabled", "is_keras_tensor", "normalize",
    "pack_x_y_sample_weight", "register_keras_serializable", "serialize_keras_object", "set_random_seed", "to_categorical",
    "unpack_x_y_sample_weight",
]  # fmt: skip
