"""Ops on images (``keras.ops.image``): a batch (batch, height, width, channels) or one image without the first axis.

Two ideas carry most of them. Resampling along an axis is a product with a matrix of weights that follows from the sizes
(``resize``, ``scale_and_translate``). Looking up pixels at fractional coordinates is a weighted sum of their neighbours
(``map_coordinates`` and all transforms). Both are written in other ops, so gradients come by themselves.
"""

import functools
import itertools
import math
import types

import numpy as np

from kerasish.backend.autodiff import shapes
from kerasish.backend.autodiff.dtypes import is_float, is_int, keep, result_type
from kerasish.backend.autodiff.op import as_tensor, composite, op
from kerasish.backend.autodiff.shapes import per_axis, window_counts, window_padding
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.backend.random import normal
from kerasish.config import standardize_data_format
from kerasish.ops.conv import _slices, _windows, _with_borders
from kerasish.ops.core import saturate_cast
from kerasish.ops.creation import arange
from kerasish.ops.elementwise import abs, choose, clip, exp, floor, logical_and, maximum, minimum, round, sin, trunc
from kerasish.ops.indexing import pad, take
from kerasish.ops.products import cross, einsum, matmul, tensordot
from kerasish.ops.reduction import sum
from kerasish.ops.shaping import broadcast_to, concatenate, expand_dims, moveaxis, reshape, squeeze, stack, transpose
from kerasish.ops.sizes import is_open

__all__ = [
    "affine_transform", "crop_images", "elastic_transform", "extract_patches", "extract_patches_3d", "gaussian_blur", "hsv_to_rgb",
    "map_coordinates", "pad_images", "perspective_transform", "resize", "rgb_to_grayscale", "rgb_to_hsv", "scale_and_translate",
    "sobel_edges", "ssim",
]  # fmt: skip

image_composite = functools.partial(composite, module="ops.image")


# ---- what images are
def _as_images(images, name="images"):
    """One image or a batch as a tensor; ValueError for another rank."""
    images = as_tensor(images)
    if images.ndim not in (3, 4):
        raise ValueError(f"{name} must have rank 3, or rank 4 (a batch), got shape {images.shape}")
    return images


def _axes(data_format):
    """Height, width and channels axis, counted from the end, so that a batch axis makes no difference."""
    return (-3, -2, -1) if standardize_data_format(data_format) == "channels_last" else (-2, -1, -3)


def _single(dtype):
    """The dtype to compute in: float32, or float64 for tensors of that."""
    return "float64" if dtype == "float64" else "float32"


def _away_from_zero(x):
    """The nearest whole number, of two the one further from 0."""
    near = trunc(x)
    return near + trunc(2 * (x - near))


def _unknown(shape, dtype):
    """What is known of a result whose values depend on sizes that are not known yet."""
    return Tensor(None, tuple(shape), dtype)


def _batch(images, data_format):
    """As a batch with the channels last, and the function that undoes this."""
    lone, first = images.ndim == 3, standardize_data_format(data_format) == "channels_first"
    batch = expand_dims(images, 0) if lone else images

    def undo(y):
        y = moveaxis(y, -1, 1) if first else y
        return squeeze(y, 0) if lone else y

    return moveaxis(batch, 1, -1) if first else batch, undo


# ---- colours
@image_composite(class_name="RGBToGrayscale")
def rgb_to_grayscale(images, data_format=None):
    """Brightness ``0.2989 red + 0.587 green + 0.114 blue`` as one channel (``keras.ops.image.rgb_to_grayscale``).

    Images of one channel stay as they are; ValueError for other numbers than 1 and 3. Integers are cut off, not rounded.

    >>> rgb_to_grayscale([[[100.0, 100.0, 200.0]]]).shape
    (1, 1, 1)
    """
    images, channels = _as_images(images), _axes(data_format)[2]
    if images.shape[channels] not in (1, 3, None):
        raise ValueError(f"Images need 3 channels (RGB) or 1 (gray), got shape {images.shape}")
    if images.shape[channels] == 1:
        return images
    dtype = _single(images.dtype)
    y = tensordot(as_tensor(images, dtype), as_tensor(np.array([0.2989, 0.5870, 0.1140]), dtype), ([channels], [0]))
    return as_tensor(expand_dims(y, channels), images.dtype)


_EPSILON = {"bfloat16": 2.0**-7, "float16": 2.0**-10, "float32": 2.0**-23, "float64": 2.0**-52}


def _planes(images, data_format):
    """The three channels of float images, each without its axis."""
    images, channels = _as_images(images), _axes(data_format)[2]
    if not is_float(images.dtype):
        raise ValueError(f"Invalid images dtype: expected float dtype. Got {images.dtype}")
    if images.shape[channels] not in (3, None):
        raise ValueError(f"Input images must have 3 channels, but received images with {images.shape[channels]} channels.")
    places = (slice(None),) * (-1 - channels)
    return [images[(..., i, *places)] for i in range(3)], channels


@image_composite(class_name="RGBToHSV")
def rgb_to_hsv(images, data_format=None):
    """Red, green and blue from 0 to 1 as hue, saturation and value from 0 to 1 (``keras.ops.image.rgb_to_hsv``).

    ValueError for integers.

    >>> rgb_to_hsv([[[0.0, 0.5, 0.5]]]).tolist()
    [[[0.5, 1.0, 0.5]]]
    """
    planes, channels = _planes(images, data_format)
    r, g, b = (choose(abs(plane) < _EPSILON[plane.dtype], 0.0, plane) for plane in planes)
    value = maximum(maximum(r, g), b)
    spread = value - minimum(minimum(r, g), b)
    saturation = choose(value > 0, spread / choose(value > 0, value, 1.0), 0.0)
    sixth = 1 / (6 * choose(spread > 0, spread, 1.0))
    hue = choose(value == g, sixth * (b - r) + 2 / 6, sixth * (r - g) + 4 / 6)
    hue = choose(value == r, sixth * (g - b), hue)
    hue = choose(spread > 0, hue, 0.0) + as_tensor(hue < 0, hue.dtype)
    return stack([hue, saturation, value], channels)


@image_composite(class_name="HSVToRGB")
def hsv_to_rgb(images, data_format=None):
    """The inverse of ``rgb_to_hsv`` (``keras.ops.image.hsv_to_rgb``); the hue may lie outside of 0 to 1. ValueError for integers.

    >>> hsv_to_rgb([[[0.5, 1.0, 1.0]]]).tolist()
    [[[0.0, 1.0, 1.0]]]
    """
    (hue, saturation, value), channels = _planes(images, data_format)
    sector = hue % 1.0 * 6
    shares = [abs(sector - 3) - 1, 2 - abs(sector - 2), 2 - abs(sector - 4)]
    return stack([value * (1 - saturation + saturation * clip(share, 0.0, 1.0)) for share in shares], channels)


# ---- resampling along axes
def _triangle(lib, x):
    return lib.maximum(1 - x, 0.0)


def _cubic(lib, x):
    """R. G. Keys 1981, with a = -0.5."""
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return lib.where(x >= 2, 0.0, lib.where(x >= 1, far, (1.5 * x - 2.5) * x * x + 1))


def _lanczos(radius, lib, x):
    waves = radius * lib.sin(math.pi * x) * lib.sin(math.pi / radius * x)
    y = lib.where(x > 1e-3, waves / lib.where(x > 1e-3, math.pi**2 * x * x, 1.0), 1.0)
    return lib.where(x > radius, 0.0, y)


_CUBIC, _LINEAR = dict.fromkeys(("cubic", "bicubic", "tricubic"), _cubic), dict.fromkeys(("linear", "bilinear", "trilinear"), _triangle)
_KERNELS = {**_LINEAR, **_CUBIC, **{f"lanczos{n}": functools.partial(_lanczos, n) for n in (3, 5)}}
_INTERPOLATIONS = ("bilinear", "nearest", "lanczos3", "lanczos5", "bicubic")
_IN_NUMPY = types.SimpleNamespace(abs=np.abs, arange=np.arange, maximum=np.maximum, sin=np.sin, where=np.where)
_IN_OPS = types.SimpleNamespace(abs=abs, arange=arange, maximum=maximum, sin=sin, where=choose)


def _weights(lib, m, n, scale, shift, method, antialias, dtype):
    """Matrix (m, n): how much each of m pixels is of each of n, which lie at ``scale * place + shift``.

    Written once for numbers (``lib`` is NumPy) and for tensors (``lib`` is ops). Pixel centres are at halves.
    """
    step = 1 / scale
    centres = (lib.arange(n, dtype=dtype) + 0.5) * step - shift * step - 0.5
    distances = lib.abs(centres - lib.arange(m, dtype=dtype)[:, None])
    w = _KERNELS[method](lib, distances / lib.maximum(step, 1.0) if antialias else distances)
    total = w.sum(0, keepdims=True)
    enough = lib.abs(total) > 1000 * float(np.finfo(np.float32).eps)
    inside = (centres >= -0.5) & (centres <= m - 0.5)
    return lib.where(enough & inside, w / lib.where(enough, total, 1.0), 0.0)


@functools.lru_cache(maxsize=256)
def _resize_weights(m, n, method, antialias, dtype):
    return _weights(_IN_NUMPY, m, n, n / m, 0.0, method, antialias, dtype).astype(dtype)


def _along(x, axis, w):
    """Product with a matrix along one axis."""
    length = shapes.size(x.shape[axis + 1 :])
    if axis < x.ndim - 1 and length is not None and length > 16:  # long rows: they stay where they are
        rows = reshape(x, (*x.shape[: axis + 1], length))
        return reshape(matmul(transpose(w), rows), (*x.shape[:axis], w.shape[1], *x.shape[axis + 1 :]))
    return moveaxis(matmul(moveaxis(x, axis, -1), w), -1, axis)


def _resample(x, axis, weights):
    return _resampled.call([x, as_tensor(weights)], {"axis": axis, "weights": weights})


@op(
    lambda x, w, axis, weights: (*x[:axis], w[1], *x[axis + 1 :]),
    [lambda g, y, x, w, axis, weights: _resample(g, axis, weights.T), None],
    keep,
)
def _resampled(xp, x, w, axis, weights):
    """As ``_along``; ``weights`` are the numbers in ``w``: most are 0, and compiled kernels see where."""
    *lead, m = x.shape[: axis + 1]
    rest = x.shape[axis + 1 :]
    if math.prod(rest) > 16:
        return xp.matmul(w.T, x.reshape(*lead, m, math.prod(rest))).reshape(*lead, w.shape[1], *rest)
    rows = xp.ascontiguousarray(xp.moveaxis(x, axis, -1))
    return xp.moveaxis(xp.matmul(rows.reshape(-1, m), w).reshape(*rows.shape[:-1], w.shape[1]), -1, axis)


def _resized_axes(x, sizes, interpolation, antialias):
    """``x`` with the axes that ``sizes`` names resampled, those that shrink most first."""
    if is_open([*sizes.values(), *(x.shape[axis] for axis in sizes)]):
        return _resized_open_axes(x, sizes, interpolation, antialias)
    changes = sorted((n / x.shape[axis], axis, n) for axis, n in sizes.items() if x.shape[axis] != n)
    for _, axis, n in changes:
        m = x.shape[axis]
        if interpolation == "nearest":
            places = np.floor((np.arange(n, dtype=np.float32) + np.float32(0.5)) * np.float32(m) / np.float32(n))
            x = take(x, as_tensor(places.astype(np.int64)), axis=axis)
        else:
            x = _resample(x, axis, _resize_weights(m, n, interpolation, antialias, x.dtype))
    return x


def _resized_open_axes(x, sizes, interpolation, antialias):
    """The same, worked out from sizes that are open."""
    for axis, n in sizes.items():
        m = x.shape[axis]
        if m == n:
            continue
        ratio = as_tensor(n, "float32") / as_tensor(m, "float32")
        if interpolation == "nearest":
            x = take(x, as_tensor(floor((arange(n, dtype="float32") + 0.5) / ratio), "int32"), axis=axis)
        else:
            w = _weights(_IN_OPS, m, n, ratio, 0.0, interpolation, antialias, "float32")
            x = _along(x, axis, as_tensor(w, x.dtype))
    return x


def _fitting(height, width, size):
    """The height that goes with a width at the target's proportions, and the width that goes with a height."""
    return int(float(width * size[0]) / size[1]), int(float(height * size[1]) / size[0])


def _cropped_to_ratio(x, axes, size):
    """The largest part around the centre that has the target's proportions."""
    key = [slice(None)] * x.ndim
    sizes = [x.shape[axis] for axis in axes]
    for axis, n, wanted in zip(axes, sizes, _fitting(*sizes, size), strict=True):
        part = max(min(n, wanted), 1)
        start = int((n - part) / 2)
        key[axis] = slice(start, start + part)
    return x[tuple(key)]


def _padded_to_ratio(x, axes, size, fill_value):
    """With as much on both sides of an axis as the target's proportions ask for."""
    widths = [(0, 0)] * x.ndim
    sizes = [x.shape[axis] for axis in axes]
    for axis, n, wanted in zip(axes, sizes, _fitting(*sizes, size), strict=True):
        border = int((max(n, wanted) - n) / 2)
        if border:
            widths[axis] = (border, border)
            return pad(x, widths, constant_values=fill_value)
    return x


@image_composite(inputs=["images"])
def resize(
    images,
    size,
    interpolation="bilinear",
    antialias=False,
    crop_to_aspect_ratio=False,
    pad_to_aspect_ratio=False,
    fill_mode="constant",
    fill_value=0.0,
    data_format=None,
):
    """Images at another ``size`` (height, width), in their dtype; integers are rounded (``keras.ops.image.resize``).

    ``interpolation``: "bilinear", "nearest", "bicubic", "lanczos3", "lanczos5". ``antialias`` widens the filter where images
    shrink. Proportions change unless images are cropped or padded (with ``fill_value``) to the target's first.

    >>> resize([[[0.0], [3.0]]], (1, 4)).tolist()
    [[[0.0], [0.75], [2.25], [3.0]]]
    """
    size = tuple(size)
    if len(size) != 2:
        raise ValueError(f"`size` has to be 2 integers, got {size}")
    if min(size) <= 0:
        raise ValueError(f"`size` must have positive height and width. Got {size}")
    images = _as_images(images)
    if pad_to_aspect_ratio and crop_to_aspect_ratio:
        raise ValueError("Only one of `pad_to_aspect_ratio` & `crop_to_aspect_ratio` can be `True`.")
    _check_in("interpolation", interpolation, _INTERPOLATIONS)
    _check_in("fill_mode", fill_mode, ("constant",))
    axes = [axis % images.ndim for axis in _axes(data_format)[:2]]
    wanted = dict(zip(axes, size, strict=True))
    if None in [images.shape[axis] for axis in axes]:
        return _unknown([wanted.get(axis, n) for axis, n in enumerate(images.shape)], images.dtype)
    x = images
    if crop_to_aspect_ratio:
        x = _cropped_to_ratio(x, axes, size)
    if interpolation != "nearest" or (pad_to_aspect_ratio and not is_float(x.dtype)):
        x = as_tensor(x, _single(x.dtype))
    if pad_to_aspect_ratio:
        x = _padded_to_ratio(x, axes, size, fill_value)
    x = _resized_axes(x, wanted, interpolation, antialias)
    if x.dtype == images.dtype:
        return x
    return saturate_cast(round(x), images.dtype) if is_int(images.dtype) else as_tensor(x, images.dtype)


def _check_in(name, value, allowed):
    if value not in allowed:
        raise ValueError(f"Invalid value for argument `{name}`. Expected one of {sorted(allowed)}. Received: {name}={value}")


@image_composite(inputs=["images", "output_shape", "scale", "translation"])
def scale_and_translate(images, output_shape, scale, translation, spatial_dims, method, antialias=True):
    """Pixels moved to ``scale * place + translation`` along the axes ``spatial_dims`` (``keras.ops.image.scale_and_translate``).

    ``scale`` and ``translation`` have a number for each of these axes and may be tensors with gradients. Places that come from
    beyond the edges are 0. ``method``: "linear", "cubic" (each also with "bi" or "tri" before it), "lanczos3", "lanczos5".

    >>> scale_and_translate([1.0, 2.0, 3.0], (3,), [1.0], [1.0], (0,), "linear").tolist()
    [0.0, 1.0, 2.0]
    """
    _check_in("method", method, _KERNELS)
    images, scale, translation = as_tensor(images), as_tensor(scale), as_tensor(translation)
    output_shape, axes = tuple(output_shape), [shapes.normalize_axis(axis, images.ndim) for axis in spatial_dims]
    if len(output_shape) != images.ndim:
        raise ValueError(f"`output_shape` must have a size for each axis of {images.shape}. Received: output_shape={output_shape}")
    for name, value in (("scale", scale), ("translation", translation)):
        if value.shape not in ((len(axes),), (None,)):
            raise ValueError(f"`{name}` must have a number for each of spatial_dims={spatial_dims}. Received shape {value.shape}")
    dtype = images.dtype if is_float(images.dtype) else "float32"
    if None in [images.shape[axis] for axis in axes]:
        return _unknown(output_shape, dtype)
    x, precise = as_tensor(images, _single(dtype)), _single(result_type(scale.dtype, translation.dtype))
    scale, translation = as_tensor(scale, precise), as_tensor(translation, precise)
    for i, axis in enumerate(axes):
        w = _weights(_IN_OPS, x.shape[axis], output_shape[axis], scale[i], translation[i], method, antialias, precise)
        x = _along(x, axis, as_tensor(w, x.dtype))
    return as_tensor(x, dtype)


# ---- looking up pixels at fractional coordinates
def _mirrored(index, n):
    if n == 1:
        return index * 0
    return abs((index + (n - 1)) % (2 * (n - 1)) - (n - 1))


_INDEX_FIXES = {
    "constant": lambda index, n: index,
    "nearest": lambda index, n: clip(index, 0, n - 1),
    "wrap": lambda index, n: index % n,
    "mirror": _mirrored,
    "reflect": lambda index, n: (_mirrored(2 * index + 1, 2 * n + 1) - 1) // 2,
}
_ORDERS = {"nearest": 0, "bilinear": 1}


def _neighbours(coordinates, n, order, mode, dtype):
    """Along an axis of size n: index, weight, and whether there is such a place (None: always)."""
    lower = floor(coordinates) if order else _away_from_zero(coordinates)
    upper_weight = coordinates - lower
    if dtype == "int32":
        lower = clip(lower, -2, n)  # both beyond the edges, and no larger than what int32 holds
    lower = as_tensor(lower, dtype)
    pairs = [(lower, 1 - upper_weight), (lower + 1, upper_weight)] if order else [(lower, None)]
    if mode == "constant":
        return [(i, weight, logical_and(i >= 0, i < n)) for i, weight in pairs]
    return [(_INDEX_FIXES[mode](i, n), weight, None) for i, weight in pairs]


def _sampled(images, coordinates, order, mode, fill_value):
    """``images`` (batch, \\*spatial, channels) at places between pixels: ``coordinates`` has for each spatial axis a float tensor
    that broadcasts to (batch, \\*places). Gives (batch, \\*places, channels)."""
    batch, *spatial, channels = images.shape
    count = batch * math.prod(spatial)
    rows = reshape(images, (count, channels))
    if mode == "constant":  # what is outside is one row more, behind all others
        rows = concatenate([rows, broadcast_to(as_tensor(fill_value, images.dtype), (1, channels))])
    small = mode in ("constant", "nearest") and count < 2**30 and max(spatial) < 2**24  # which float32 holds
    first = np.arange(batch).reshape(-1, *[1] * (coordinates[0].ndim - 1)) * math.prod(spatial)
    first = as_tensor(first, "int32" if small else "int64")
    axes = []
    for axis, (c, n) in enumerate(zip(coordinates, spatial, strict=True)):
        stride = math.prod(spatial[axis + 1 :])
        axes.append([(i * stride, *rest) for i, *rest in _neighbours(c, n, order, mode, first.dtype)])
    total = None
    for parts in itertools.product(*axes):
        place, weight, there = first, None, None
        for index, w, inside in parts:
            place = place + index
            weight = w if weight is None or w is None else weight * w
            there = inside if there is None or inside is None else logical_and(there, inside)
        part = take(rows, place if there is None else choose(there, place, count), axis=0)
        part = part if weight is None else part * expand_dims(weight, -1)
        total = part if total is None else total + part
    return as_tensor(_away_from_zero(total) if is_int(images.dtype) and order else total, images.dtype)


@image_composite(inputs=["inputs", "coordinates"])
def map_coordinates(inputs, coordinates, order, fill_mode="constant", fill_value=0):
    """Values of a tensor between its elements (``keras.ops.image.map_coordinates``).

    ``coordinates`` (rank, \\*places): for each axis of ``inputs`` where to look; gives a tensor of shape ``places``. ``order``: 0
    takes the nearest element, 1 interpolates. ``fill_mode`` says what is beyond the edges: "constant" (``fill_value``), "nearest",
    "wrap", "mirror" (without repeating the edge) or "reflect" (repeating it).

    >>> map_coordinates([10.0, 20.0], [[0.0, 0.5, 2.0]], 1).tolist()
    [10.0, 15.0, 0.0]
    """
    if isinstance(coordinates, (list, tuple)) and any(isinstance(c, Tensor) for c in coordinates):
        coordinates = stack(coordinates)
    inputs, coordinates = as_tensor(inputs), as_tensor(coordinates)
    if coordinates.ndim and coordinates.shape[0] not in (inputs.ndim, None):
        raise ValueError(
            f"`coordinates` has {coordinates.shape[0]} rows. This must be the same as the rank of `inputs`, whose shape is "
            f"{inputs.shape}"
        )
    if coordinates.ndim < 2:
        raise ValueError(f"Invalid coordinates rank: expected at least rank 2, got shape {coordinates.shape}")
    _check_in("fill_mode", fill_mode, _INDEX_FIXES)
    _check_in("order", order, (0, 1))
    if None in inputs.shape:
        return _unknown(coordinates.shape[1:], inputs.dtype)
    places = expand_dims(as_tensor(coordinates, _single(coordinates.dtype)), 1)
    y = _sampled(expand_dims(inputs, (0, -1)), [places[i] for i in range(inputs.ndim)], order, fill_mode, fill_value)
    return squeeze(y, (0, -1))


def _grid(batch, dtype):
    """Rows and columns of the pixels of a batch, as (1, height, 1) and (1, 1, width)."""
    _, height, width, _ = batch.shape
    return as_tensor(np.arange(height).reshape(1, -1, 1), dtype), as_tensor(np.arange(width).reshape(1, 1, -1), dtype)


def _check_batches(images, others, name):
    """As many sets of parameters as images, or one for all."""
    if others.shape[0] not in (1, None) and images.shape[0] is not None and others.shape[0] != images.shape[0]:
        raise ValueError(f"`{name}` has {others.shape[0]} rows for {images.shape[0]} images: expected one for each, or one for all.")


@image_composite
def affine_transform(images, transform, interpolation="bilinear", fill_mode="constant", fill_value=0, data_format=None):
    """Images whose pixel (x, y) is taken from ((a0 x + a1 y + a2) / k, (b0 x + b1 y + b2) / k), k = c0 x + c1 y + 1.

    ``transform``: the eight numbers a0, a1, a2, b0, b1, b2, c0, c1, or a row of them for each image. ``interpolation``: "nearest" or
    "bilinear"; ``fill_mode`` as for ``map_coordinates`` (``keras.ops.image.affine_transform``).

    >>> affine_transform([[[1.0], [2.0]]], [1, 0, 1, 0, 1, 0, 0, 0]).tolist()
    [[[2.0], [0.0]]]
    """
    images, transform = _as_images(images), as_tensor(transform)
    _check_in("interpolation", interpolation, _ORDERS)
    _check_in("fill_mode", fill_mode, _INDEX_FIXES)
    if transform.ndim not in (1, 2) or transform.shape[-1] not in (8, None):
        raise ValueError(
            f"Invalid transform rank: expected rank 1 or rank 2 (one per image), with 8 numbers each. Got shape {transform.shape}"
        )
    if None in images.shape:
        return _unknown(images.shape, images.dtype)
    batch, undo = _batch(images, data_format)
    dtype = _single(transform.dtype)
    transform = reshape(as_tensor(transform, dtype), (-1, 8, 1, 1))
    _check_batches(batch, transform, "transform")
    (y, x), (a0, a1, a2, b0, b1, b2, c0, c1) = _grid(batch, dtype), [transform[:, i] for i in range(8)]
    k = x * c0 + y * c1 + 1
    places = [(y * b1 + x * b0 + b2) / k, (y * a1 + x * a0 + a2) / k]
    return undo(_sampled(batch, places, _ORDERS[interpolation], fill_mode, fill_value))


def _frame(points):
    """Rows that a projective map sends the unit vectors to, for it to send (1, 1, 1) to the fourth of four points."""
    p0, p1, p2, p3 = (concatenate([points[:, i], points[:, i, :1] * 0 + 1], -1) for i in range(4))
    volumes = [sum(a * cross(b, c), -1, keepdims=True) for a, b, c in ((p3, p1, p2), (p0, p3, p2), (p0, p1, p3))]
    return [volume * p for volume, p in zip(volumes, (p0, p1, p2), strict=True)]


def _homography(start, end):
    """The matrices (n, 3, 3) of the projective maps that send ``end`` to ``start``, both (n, 4, 2); the last entry is 1."""
    to, (e0, e1, e2) = _frame(start), _frame(end)
    back = [cross(e1, e2), cross(e2, e0), cross(e0, e1)]  # the inverse, but for a factor
    matrix = einsum("inj,ink->njk", stack(to), stack(back))
    return matrix / matrix[:, 2:, 2:]


@image_composite
def perspective_transform(images, start_points, end_points, interpolation="bilinear", fill_value=0, data_format=None):
    """Images seen from elsewhere: what lies at the four ``start_points`` comes to lie at ``end_points``.

    Points: (4, 2), each (x, y) in pixels, or (batch, 4, 2). What comes from beyond the edges is ``fill_value``
    (``keras.ops.image.perspective_transform``).

    >>> corners = [[0, 0], [1, 0], [0, 1], [1, 1]]
    >>> perspective_transform([[[1.0], [2.0]], [[3.0], [4.0]]], corners, [[x, 1 - y] for x, y in corners]).tolist()
    [[[3.0], [4.0]], [[1.0], [2.0]]]
    """
    images = _as_images(images)
    _check_in("interpolation", interpolation, _ORDERS)
    points = {"start_points": as_tensor(start_points), "end_points": as_tensor(end_points)}
    for name, p in points.items():
        if p.ndim not in (2, 3) or p.shape[-2:] != (4, 2):
            raise ValueError(f"{name} has four points: shape (4, 2), or (N, 4, 2) if many. Received shape: {p.shape}")
    start, end = points.values()
    if start.shape != end.shape:
        raise ValueError(f"start_points and end_points must have the same shape, got {start.shape} and {end.shape}")
    if None in images.shape:
        return _unknown(images.shape, images.dtype)
    batch, undo = _batch(images, data_format)
    dtype = _single(result_type(start.dtype, end.dtype))
    start, end = (reshape(as_tensor(p, "float64"), (-1, 4, 2)) for p in (start, end))
    _check_batches(batch, start, "start_points")
    matrix = reshape(as_tensor(_homography(start, end), dtype), (-1, 9, 1, 1))
    (y, x), m = _grid(batch, dtype), [matrix[:, i] for i in range(8)]
    k = m[6] * x + m[7] * y + 1
    places = [(m[3] * x + m[4] * y + m[5]) / k, (m[0] * x + m[1] * y + m[2]) / k]
    return undo(_sampled(batch, places, _ORDERS[interpolation], "constant", fill_value))


# ---- filters
def _bell(size, sigma, dtype):
    """A normal curve at ``size`` places around its middle, as weights of sum 1."""
    x = as_tensor(np.arange(size) - (size - 1) / 2, dtype) / sigma
    y = exp(-0.5 * x * x)
    return y / sum(y)


def _band(weights, n, padding):
    """The matrix whose product with an axis of size n is the sum of its shifted copies by weights, zeros beyond the edges."""
    k = weights.shape[0]
    before, m = ((k - 1) // 2, n) if padding == "same" else (0, n - k + 1)
    taps = np.arange(n)[:, None] - np.arange(m) + before
    return take(pad(weights, (0, 1)), as_tensor(np.where((taps >= 0) & (taps < k), taps, k)), axis=0)


def _filtered(images, rows, columns, padding, data_format):
    """Images filtered along the height by ``rows``, along the width by ``columns``: quicker as products than tap by tap."""
    for axis, weights in zip(_axes(data_format), (rows, columns), strict=False):
        axis %= images.ndim
        images = _along(images, axis, _band(weights, images.shape[axis], padding))
    return images


def _spatial(shape, data_format):
    """Height and width of a shape."""
    return [shape[axis] for axis in _axes(data_format)[:2]]


@image_composite
def gaussian_blur(images, kernel_size=(3, 3), sigma=(1.0, 1.0), data_format=None):
    """Images smoothed by normal curves; what is beyond the edges counts as 0 (``keras.ops.image.gaussian_blur``).

    ``kernel_size`` and ``sigma`` are those along the width, then the height, in pixels; ``sigma`` may be a tensor. ValueError for
    integer images.

    >>> gaussian_blur([[[0.0], [1.0], [0.0]]], (3, 1)).numpy().ravel().round(3)
    array([0.274, 0.452, 0.274], dtype=float32)
    """
    images = _as_images(images)
    if not is_float(images.dtype):
        raise ValueError(f"Invalid images dtype: expected float dtype. Got {images.dtype}")
    if None in _spatial(images.shape, data_format):
        return _unknown(images.shape, images.dtype)
    dtype = _single(images.dtype)
    columns, rows = (_bell(n, as_tensor(s, dtype), dtype) for n, s in zip(kernel_size, (sigma[0], sigma[1]), strict=True))
    return as_tensor(_filtered(as_tensor(images, dtype), rows, columns, "same", data_format), images.dtype)


@image_composite
def elastic_transform(
    images, alpha=20.0, sigma=5.0, interpolation="bilinear", fill_mode="reflect", fill_value=0.0, seed=None, data_format=None
):
    """Images with each pixel taken from a little elsewhere: by smoothed normal noise times ``alpha``.

    ``sigma`` is both the noise's deviation and the width in pixels that it is smoothed over; ``interpolation`` and ``fill_mode`` are
    those of ``affine_transform`` (``keras.ops.image.elastic_transform``).

    >>> elastic_transform([[[1.0], [1.0]]], seed=1).tolist()
    [[[1.0], [1.0]]]
    """
    images = _as_images(images)
    _check_in("interpolation", interpolation, _ORDERS)
    _check_in("fill_mode", fill_mode, _INDEX_FIXES)
    if None in images.shape:
        return _unknown(images.shape, images.dtype)
    return bent(images, alpha, sigma, int(6 * sigma) | 1, interpolation, fill_mode, fill_value, seed, data_format)


def bent(images, alpha, sigma, size, interpolation, fill_mode, fill_value, seed, data_format):
    """``elastic_transform`` with noise smoothed over ``size`` pixels: ``sigma`` may be a tensor without a value."""
    batch, undo = _batch(images, data_format)
    dtype = _single(images.dtype)
    noise = normal((*batch.shape[:3], 2), 0.0, sigma, dtype, seed)
    noise = alpha * gaussian_blur(noise, (size, size), (sigma, sigma), "channels_last")
    places = [of_grid + noise[..., i] for i, of_grid in enumerate(_grid(batch, dtype))]
    return undo(_sampled(batch, places, _ORDERS[interpolation], fill_mode, fill_value))


@image_composite
def sobel_edges(images, data_format=None):
    """How steeply a batch of images rises along its height and its width, as a new last axis of size 2 (``keras.ops.image``).

    ValueError for other ranks than 4, and for dtypes without negative numbers.

    >>> sobel_edges([[[[0.0], [1.0], [2.0]]] * 3])[0, 1, 1].tolist()
    [[0.0, 8.0]]
    """
    images = as_tensor(images)
    if images.ndim != 4:
        raise ValueError(f"Invalid images rank: expected rank 4, a batch. Got shape {images.shape}")
    if images.dtype == "bool" or "uint" in images.dtype:
        raise ValueError(f"Edges need a dtype with negative numbers. Received: images.dtype={images.dtype}")
    if None in _spatial(images.shape, data_format):
        return _unknown((*images.shape, 2), images.dtype)
    dtype = _single(images.dtype) if is_float(images.dtype) else images.dtype
    slope, smooth = (as_tensor(np.array(weights), dtype) for weights in ((-1, 0, 1), (1, 2, 1)))
    x = as_tensor(images, dtype)
    edges = [_filtered(x, *pair, "same", data_format) for pair in ((slope, smooth), (smooth, slope))]
    return as_tensor(stack(edges, -1), images.dtype)


@image_composite(class_name="SSIM", inputs=["image1", "image2"])
def ssim(image1, image2, max_val=1.0, filter_size=11, filter_sigma=1.5, k1=0.01, k2=0.03, data_format=None):
    """Structural similarity of images (Wang et al. 2004), 1 for equal ones: one number for each (``keras.ops.image.ssim``).

    ``max_val``: the largest possible value; means and variances are those in windows weighted by a normal curve.

    >>> import numpy as np
    >>> ssim(np.ones((2, 16, 16, 1)), np.ones((2, 16, 16, 1))).tolist()
    [1.0, 1.0]
    """
    image1, image2 = _as_images(image1, "image1"), _as_images(image2, "image2")
    sizes = [n for image in (image1, image2) for n in _spatial(image.shape, data_format)]
    if None in sizes:
        return _unknown(image1.shape[: image1.ndim - 3], image1.dtype)
    if min(sizes) < filter_size:
        raise ValueError(f"Windows of {filter_size} pixels don't fit into images of shapes {image1.shape} and {image2.shape}.")
    a, b = (as_tensor(image, _single(image.dtype)) for image in (image1, image2))
    bell = _bell(filter_size, filter_sigma, _single(image1.dtype))
    blur = functools.partial(_filtered, rows=bell, columns=bell, padding="valid", data_format=data_format)
    mean_a, mean_b = blur(a), blur(b)
    squares, product = mean_a * mean_a + mean_b * mean_b, mean_a * mean_b
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    y = (2 * product + c1) * (2 * (blur(a * b) - product) + c2) / ((squares + c1) * (blur(a * a + b * b) - squares + c2))
    return as_tensor(y.mean((-3, -2, -1)), image1.dtype)


# ---- borders
def _side_names(what):
    """Names of what belongs together: before, after, and the size that results; along the height, then along the width."""
    return ((f"top_{what}", f"bottom_{what}", "target_height"), (f"left_{what}", f"right_{what}", "target_width"))


def _given_two(names, values):
    """ValueError unless two of three are given, and none is negative."""
    if values.count(None) != 1:
        received = ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
        raise ValueError(f"Must specify exactly two of {', '.join(names)}. Received: {received}")
    _not_negative(names, values)


def _not_negative(names, values):
    for name, value in zip(names, values, strict=True):
        if value is not None and value < 0:
            raise ValueError(f"{name} must be >= 0. Received: {name}={value}")


@image_composite
def pad_images(
    images,
    top_padding=None,
    left_padding=None,
    bottom_padding=None,
    right_padding=None,
    target_height=None,
    target_width=None,
    data_format=None,
):
    """Zeros around images: two of top, bottom and target height, two of left, right and target width (``keras.ops.image.pad_images``).

    >>> pad_images([[[1]]], top_padding=0, left_padding=1, target_height=1, target_width=3).tolist()
    [[[0], [1], [0]]]
    """
    images = _as_images(images)
    widths, shape, known = [(0, 0)] * images.ndim, list(images.shape), True
    given = ((top_padding, bottom_padding, target_height), (left_padding, right_padding, target_width))
    for axis, names, values in zip(_axes(data_format), _side_names("padding"), given, strict=False):
        _given_two(names, values)
        before, after, target = values
        n = images.shape[axis]
        if n is None:
            shape[axis], known = target, False
            continue
        before = target - n - after if before is None else before
        after = target - n - before if after is None else after
        _not_negative(names, (before, after, target))
        widths[axis], shape[axis] = (before, after), before + n + after
    return pad(images, widths) if known else _unknown(shape, images.dtype)


@image_composite
def crop_images(
    images,
    top_cropping=None,
    left_cropping=None,
    bottom_cropping=None,
    right_cropping=None,
    target_height=None,
    target_width=None,
    data_format=None,
):
    """Images without their borders: two of top, bottom and target height, two of left, right and target width.

    (``keras.ops.image.crop_images``.)

    >>> crop_images([[[1], [2], [3]]], top_cropping=0, left_cropping=1, target_height=1, target_width=1).tolist()
    [[[2]]]
    """
    images = _as_images(images)
    key, shape, known = [slice(None)] * images.ndim, list(images.shape), True
    given = ((top_cropping, bottom_cropping, target_height), (left_cropping, right_cropping, target_width))
    for axis, names, values in zip(_axes(data_format), _side_names("cropping"), given, strict=False):
        _given_two(names, values)
        before, after, target = values
        n = images.shape[axis]
        if n is None:
            if target is None:
                side = names[2].removeprefix("target_")
                raise ValueError(f"When the {side} of the images is unknown, `{names[2]}` must be given. Received: {images.shape}")
            shape[axis], known = target, False
            continue
        target = n - before - after if target is None else target
        before = n - target - after if before is None else before
        _not_negative(names, (before, n - before - target, target))
        key[axis], shape[axis] = slice(before, before + target), target
    return images[tuple(key)] if known else _unknown(shape, images.dtype)


# ---- patches
def _patched(shape, size, strides, padding, dilation):
    counts = window_counts(shape[1:-1], size, strides, padding, dilation)
    return (shape[0], *counts, None if shape[-1] is None else shape[-1] * math.prod(size))


@op(_patched, [lambda g, y, x, **attrs: _from_patches(g, shape=x.shape, **attrs)], keep, module="ops.image")
def _patches(xp, x, size, strides, padding, dilation):
    """Each window of ``x`` (batch, \\*spatial, channels) as one row of channels."""
    rank, pairs = len(size), window_padding(x.shape[1:-1], size, strides, padding, dilation)
    view = _windows(xp, _with_borders(xp, x, pairs), size, strides, dilation, axis=1)
    return xp.moveaxis(view, rank + 1, -1).reshape(_patched(x.shape, size, strides, padding, dilation))


@op(
    lambda g, shape, **attrs: tuple(shape),
    [lambda g, y, patches, shape, **attrs: _patches(g, **attrs)],
    keep,
    module="ops.image",
)
def _from_patches(xp, g, shape, size, strides, padding, dilation):
    """Patches added up where they came from: what the gradient of ``_patches`` is."""
    batch, *spatial, channels = shape
    pairs, counts = window_padding(spatial, size, strides, padding, dilation), g.shape[1:-1]
    parts = g.reshape(batch, *counts, *size, channels)
    y = xp.zeros((batch, *[before + n + after for n, (before, after) in zip(spatial, pairs, strict=True)], channels), g.dtype)
    for tap, view in _slices(y, size, strides, dilation, counts):
        view += parts[(slice(None),) * (len(size) + 1) + tap]
    return y[(slice(None), *[slice(before, before + n) for n, (before, _) in zip(spatial, pairs, strict=True)])]


@image_composite(inputs=["images"])
def extract_patches(images, size, strides=None, dilation_rate=1, padding="valid", data_format=None):
    """Windows of images as channels: (batch, rows, columns, height * width * channels) (``keras.ops.image.extract_patches``).

    ``size``: one number, or two, or three for volumes (as :func:`extract_patches_3d`). ``strides`` is by default ``size``, so that
    patches lie side by side. ``padding``: "valid" or "same".

    >>> extract_patches([[[1], [2]], [[3], [4]]], 2).tolist()
    [[[1, 2, 3, 4]]]
    """
    if not isinstance(size, (int, np.integer, tuple, list)):
        raise TypeError(f"Invalid `size`. Expected an int or a tuple, got {size} ({type(size).__name__})")
    size = per_axis(size, 2, "size") if isinstance(size, (int, np.integer)) else tuple(size)
    rank = len(size)
    if rank not in (2, 3):
        raise ValueError(f"Invalid `size`. Expected a tuple of length 2 or 3, got {size} of length {rank}")
    images = as_tensor(images)
    if images.ndim not in (rank + 1, rank + 2):
        raise ValueError(f"Patches of {rank} axes need rank {rank + 1}, or {rank + 2} for a batch. Received shape {images.shape}")
    _check_in("padding", padding.lower(), ("valid", "same"))
    settings = {
        "size": size,
        "strides": per_axis(strides or size, rank, "strides"),
        "padding": padding,
        "dilation": per_axis(dilation_rate, rank, "dilation_rate"),
    }
    lone, last = images.ndim == rank + 1, standardize_data_format(data_format) == "channels_last"
    x = expand_dims(images, 0) if lone else images
    y = _patches(x, **settings) if last else moveaxis(_patches(moveaxis(x, 1, -1), **settings), -1, 1)
    return squeeze(y, 0) if lone else y


def extract_patches_3d(volumes, size, strides=None, dilation_rate=1, padding="valid", data_format=None):
    """Windows of volumes as channels: (batch, \\*places, depth * height * width * channels) (``keras.ops.image.extract_patches_3d``).

    >>> import numpy as np
    >>> extract_patches_3d(np.zeros((1, 4, 4, 4, 2)), 2).shape
    (1, 2, 2, 2, 16)
    """
    size = (size,) * 3 if isinstance(size, (int, np.integer)) else size
    if not isinstance(size, (tuple, list)) or len(size) != 3:
        raise TypeError(f"Invalid `size`. Expected an int or a tuple with length 3, got {size}")
    return extract_patches(volumes, size, strides, dilation_rate, padding, data_format)
