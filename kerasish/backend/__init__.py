"""What runs: arrays, tensors, ops, gradients and random numbers; knows tensors, knows no layer (``keras.backend``)."""

from kerasish.backend.autodiff.dtypes import is_float as is_float_dtype
from kerasish.backend.autodiff.dtypes import is_int as is_int_dtype
from kerasish.backend.autodiff.dtypes import result_type, standardize_dtype
from kerasish.backend.autodiff.state import clear_session, get_uid
from kerasish.backend.autodiff.tensor import is_keras_tensor
from kerasish.config import (
    backend,
    epsilon,
    floatx,
    image_data_format,
    set_epsilon,
    set_floatx,
    set_image_data_format,
)

__all__ = [
    "backend", "clear_session", "epsilon", "floatx", "get_uid", "image_data_format", "is_float_dtype", "is_int_dtype",
    "is_keras_tensor", "result_type", "set_epsilon", "set_floatx", "set_image_data_format", "standardize_dtype",
]  # fmt: skip
