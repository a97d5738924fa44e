"""Images as files, as Pillow's objects and as arrays (``keras.utils``). Pillow comes with the extra ``images``."""

import io
import os
import pathlib
import warnings

import numpy as np

from kerasish import ops
from kerasish.backend.autodiff.dtypes import numpy_dtype
from kerasish.config import floatx, standardize_data_format

PIL_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")
_MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}


def pillow():
    """The module ``PIL.Image``; ImportError that says what to install where it is missing."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError('Images are read and written by Pillow: pip install "kerasish[images]"') from error
    return Image


def array_to_img(x, data_format=None, scale=True, dtype=None):
    """An array (height, width, channels) with 1, 3 or 4 channels as a Pillow image (``keras.utils.array_to_img``).

    ``scale`` stretches the values to 0 to 255; without it they should lie there. ValueError for other shapes.

    >>> array_to_img(np.zeros((2, 3, 3))).size
    (3, 2)
    """
    x = np.asarray(x, dtype=numpy_dtype(dtype or floatx()))
    if x.ndim != 3:
        raise ValueError(f"One image has rank 3, got shape {x.shape}")
    if standardize_data_format(data_format) == "channels_first":
        x = x.transpose(1, 2, 0)
    if x.shape[2] not in (1, 3, 4):
        raise ValueError(f"Unsupported channel number: {x.shape[2]}. Expected 1, 3 or 4 channels.")
    if scale:
        x = x - np.min(x)
        highest = np.max(x)
        x = (x / highest if highest != 0 else x) * 255
    if x.shape[2] == 1:
        x = x[:, :, 0]
        return pillow().fromarray(x.astype("int32" if np.max(x) > 255 else "uint8"))
    return pillow().fromarray(x.astype("uint8"))


def img_to_array(img, data_format=None, dtype=None):
    """A Pillow image as an array with three axes, in ``floatx`` by default (``keras.utils.img_to_array``).

    >>> img_to_array(array_to_img(np.ones((2, 3, 1)), scale=False)).shape
    (2, 3, 1)
    """
    channels_first = standardize_data_format(data_format) == "channels_first"
    x = np.asarray(img, dtype=numpy_dtype(dtype or floatx()))
    if x.ndim not in (2, 3):
        raise ValueError(f"Unsupported image shape: {x.shape}. Expected two or three axes.")
    if x.ndim == 2:
        return x[None] if channels_first else x[:, :, None]
    return x.transpose(2, 0, 1) if channels_first else x


def load_img(path, color_mode="rgb", target_size=None, interpolation="nearest", keep_aspect_ratio=False):
    """The image in a file, or in a BytesIO, as a Pillow image (``keras.utils.load_img``).

    ``color_mode``: "rgb", "rgba" or "grayscale", which keeps 16 and 32 bits. ``target_size``: (height, width), resized by one
    of Pillow's ``interpolation``s "nearest", "bilinear", "bicubic", "hamming", "box", "lanczos"; ``keep_aspect_ratio`` cuts
    off what has other proportions. TypeError for something else than a path.

    >>> file = io.BytesIO()
    >>> save_img(file, np.zeros((4, 6, 3)), file_format="png")
    >>> load_img(file, target_size=(2, 3)).size
    (3, 2)
    """
    if color_mode not in _MODES:
        raise ValueError(f'color_mode must be "grayscale", "rgb", or "rgba". Received: color_mode={color_mode!r}')
    if not isinstance(path, (io.BytesIO, os.PathLike, str, bytes)):
        raise TypeError(f"The path is neither path-like nor io.BytesIO: {type(path)}")
    with pillow().open(path) as file:
        file.load()
        img = file
    if img.mode != _MODES[color_mode] and not (color_mode == "grayscale" and img.mode in ("I;16", "I")):
        img = img.convert(_MODES[color_mode])
    return img if target_size is None else _resized(img, (target_size[1], target_size[0]), interpolation, keep_aspect_ratio)


def _resized(img, size, interpolation, keep_aspect_ratio):
    if img.size == size:
        return img
    if interpolation not in PIL_INTERPOLATIONS:
        raise ValueError(f"Invalid interpolation method {interpolation}. Supported methods are {', '.join(PIL_INTERPOLATIONS)}")
    resample = pillow().Resampling[interpolation.upper()]
    if not keep_aspect_ratio:
        return img.resize(size, resample)
    (width, height), (wanted_width, wanted_height) = img.size, size
    part_width = min(width, height * wanted_width // wanted_height)
    part_height = min(height, width * wanted_height // wanted_width)
    left, top = (width - part_width) // 2, (height - part_height) // 2
    return img.resize(size, resample, box=(left, top, left + part_width, top + part_height))


def save_img(path, x, data_format=None, file_format=None, scale=True, **kwargs):
    """Write an array to an image file, in the format that the name ends with (``keras.utils.save_img``).

    ``file_format`` names another one, and must where ``path`` is a file object. JPEG can't hold transparency: it is dropped,
    with a warning. Further arguments go to Pillow's ``save``.
    """
    image = array_to_img(x, data_format=data_format, scale=scale)
    if file_format is None and isinstance(path, (str, pathlib.Path)):
        file_format = pathlib.Path(path).suffix[1:]
    is_jpeg = file_format is not None and file_format.lower() in ("jpg", "jpeg")
    if is_jpeg and image.mode == "RGBA":
        warnings.warn("JPEG has no alpha channel: converting to RGB.", stacklevel=2)
        image = image.convert("RGB")
    image.save(path, format="jpeg" if is_jpeg else file_format, **kwargs)


def smart_resize(x, size, interpolation="bilinear", data_format="channels_last", **kwargs):
    """Images at another size, cropped to its proportions first (``keras.preprocessing.image.smart_resize``).

    ``x``: one image or a batch. An array gives an array, a tensor a tensor.

    >>> smart_resize(np.ones((4, 8, 3)), (2, 2)).shape
    (2, 2, 3)
    """
    if kwargs:
        raise TypeError(f"smart_resize() got unexpected keyword arguments: {list(kwargs)}")
    if len(size) != 2:
        raise ValueError(f"`size` has to be 2 integers, got {size}.")
    img = ops.convert_to_tensor(x)
    if img.ndim not in (3, 4):
        raise ValueError(f"An image (height, width, channels), or a batch of them, has rank 3 or 4: incorrect rank, of shape {img.shape}.")
    img = ops.image.resize(img, size, interpolation=interpolation, crop_to_aspect_ratio=True, data_format=data_format)
    return np.array(img) if isinstance(x, np.ndarray) else img
