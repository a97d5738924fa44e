"""Images at another size, in NumPy and in worker threads: TensorFlow's eight ways, which data sets of image files are read with.

``ops.image.resize`` is the op for tensors; it has JAX's five ways. Here each row of the result is a weighted sum of few rows of
the image, so that the work hangs on the size that is wanted and hardly on the size of the file.
"""

import functools
import math

import numpy as np

INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic")


def resize_image(image, size, interpolation):
    """An image (height, width, channels) at another size: float32, or in its own dtype with "nearest".

    >>> resize_image(np.array([[[0.0], [3.0]]]), (1, 4), "bilinear")[0, :, 0].tolist()
    [0.0, 0.75, 2.25, 3.0]
    """
    changes = sorted((wanted / image.shape[axis], axis, wanted) for axis, wanted in enumerate(size))
    for _, axis, wanted in changes:  # what shrinks most first
        image = _along(image, axis, wanted, interpolation)
    return image if interpolation == "nearest" else image.astype("float32", copy=False)


def resize_cropped(image, size, interpolation):
    """The largest part around the centre with the proportions of ``size``, resized."""
    (height, width), (wanted_height, wanted_width) = image.shape[:2], size
    parts = int(width * wanted_height / wanted_width), int(height * wanted_width / wanted_height)
    cut = []
    for n, part in zip((height, width), parts, strict=True):
        part = max(min(n, part), 1)
        start = (n - part) // 2
        cut.append(slice(start, start + part))
    return resize_image(image[tuple(cut)], size, interpolation)


def resize_padded(image, size, interpolation):
    """As large as fits into ``size`` without change of proportions, with zeros around it."""
    ratio = max(n / wanted for n, wanted in zip(image.shape, size, strict=False))
    exact = [n / ratio for n in image.shape[:2]]
    small = resize_image(image, [max(1, math.floor(n)) for n in exact], interpolation)
    before = [max(0, math.floor((wanted - n) / 2)) for n, wanted in zip(exact, size, strict=True)]
    padded = np.zeros((*size, image.shape[2]), small.dtype)
    padded[tuple(slice(start, start + n) for start, n in zip(before, small.shape, strict=False))] = small
    return padded


def _along(image, axis, wanted, interpolation):
    n = image.shape[axis]
    if interpolation == "nearest":
        places = np.floor((np.arange(wanted, dtype="float32") + np.float32(0.5)) * np.float32(n / wanted)).astype("int64")
        return image.take(np.minimum(places, n - 1), axis)
    if n == wanted and interpolation not in ("gaussian", "mitchellcubic"):  # those two smooth
        return image
    places, weights = _taps(n, wanted, interpolation)
    shape = [1, 1, 1]
    shape[axis] = wanted
    result = np.zeros([*image.shape[:axis], wanted, *image.shape[axis + 1 :]], "float32")
    for place, weight in zip(places, weights, strict=True):
        result += image.take(place, axis) * weight.reshape(shape)
    return result


@functools.lru_cache(maxsize=256)
def _taps(n, wanted, interpolation):
    """Which of ``n`` pixels each of the ``wanted`` ones is a sum of, and their shares: two arrays (pixels of the sum, wanted)."""
    step = n / wanted
    if interpolation == "area":
        starts = np.arange(wanted) * step
        places = np.floor(starts).astype("int64") + np.arange(math.ceil(step) + 1)[:, None]
        weights = np.clip(np.minimum(places + 1, starts + step) - np.maximum(places, starts), 0, None)
    else:
        kernel, radius = _KERNELS[interpolation]
        centres = (np.arange(wanted) + 0.5) * step - 0.5
        places = np.floor(centres).astype("int64") + np.arange(-radius, radius + 2)[:, None]
        weights = kernel(np.abs(places - centres))
    weights = np.where((places >= 0) & (places < n), weights, 0)
    weights = (weights / weights.sum(0)).astype("float32")
    used = weights.any(1)
    return np.clip(places, 0, n - 1)[used], weights[used]


def _triangle(x):
    return np.maximum(1 - x, 0)


def _cubic(b, c, x):
    """The piecewise cubic filters of D. Mitchell and A. Netravali 1988."""
    near = (12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + 6 - 2 * b
    far = (-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 + (-12 * b - 48 * c) * x + 8 * b + 24 * c
    return np.where(x < 1, near, np.where(x < 2, far, 0)) / 6


def _lanczos(radius, x):
    return np.where(x < radius, np.sinc(x) * np.sinc(x / radius), 0)


def _gaussian(x):
    return np.where(x < 1.5, np.exp(-2 * x * x), 0)


_KERNELS = {
    "bilinear": (_triangle, 1),
    "bicubic": (functools.partial(_cubic, 0.0, 0.5), 2),
    "mitchellcubic": (functools.partial(_cubic, 1 / 3, 1 / 3), 2),
    "lanczos3": (functools.partial(_lanczos, 3), 3),
    "lanczos5": (functools.partial(_lanczos, 5), 5),
    "gaussian": (_gaussian, 2),
}
