"""Tools around models (``keras.utils``)."""

from kerasish.backend.autodiff.dtypes import standardize_dtype
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
from kerasish.utils import bounding_boxes, legacy
from kerasish.utils.configuration import Config
from kerasish.utils.dataset import AUTOTUNE, Dataset
from kerasish.utils.feature_space import FeatureSpace
from kerasish.utils.files import get_file
from kerasish.utils.folders import (
    audio_dataset_from_directory,
    image_dataset_from_directory,
    text_dataset_from_directory,
)
from kerasish.utils.graph import get_source_inputs
from kerasish.utils.image_files import array_to_img, img_to_array, load_img, save_img
from kerasish.utils.numerical import normalize, to_categorical
from kerasish.utils.plotting import model_to_dot, plot_model
from kerasish.utils.sequences import pad_sequences
from kerasish.utils.splitting import split_dataset
from kerasish.utils.timeseries import timeseries_dataset_from_array

__all__ = [
    "AUTOTUNE", "Config", "CustomObjectScope", "Dataset", "FeatureSpace", "Progbar", "PyDataset", "Sequence", "array_to_img",
    "audio_dataset_from_directory", "bounding_boxes", "clear_session", "custom_object_scope", "deserialize_keras_object",
    "disable_interactive_logging", "enable_interactive_logging", "get_custom_objects", "get_file", "get_registered_name",
    "get_registered_object", "get_source_inputs", "image_dataset_from_directory", "img_to_array",
    "is_interactive_logging_enabled", "is_keras_tensor", "legacy", "load_img", "model_to_dot", "normalize",
    "pack_x_y_sample_weight", "pad_sequences", "plot_model", "register_keras_serializable", "save_img", "serialize_keras_object",
    "set_random_seed", "split_dataset", "standardize_dtype", "text_dataset_from_directory", "timeseries_dataset_from_array",
    "to_categorical", "unpack_x_y_sample_weight",
]  # fmt: skip
