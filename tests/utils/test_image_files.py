"""Images as files and arrays, against real Keras."""

import io
import pathlib
import sys

import keras as real
import numpy as np
import pytest
from PIL import Image

import kerasish as keras
from kerasish.utils import array_to_img, img_to_array, load_img, save_img

RGB = np.random.RandomState(0).randint(0, 256, (5, 8, 3)).astype("uint8")


def both(name, *args, **kwargs):
    found = []
    for module in (keras, real):
        for part in name.split("."):
            module = getattr(module, part)
        found.append(module(*args, **kwargs))
    return found


ARRAYS = {
    "rgb": RGB, "rgba": np.concatenate([RGB, RGB[:, :, :1]], -1), "gray": RGB[:, :, :1], "floats": RGB / 255.0 - 0.5, "flat": np.ones((2, 3, 3)),
    "large": np.array([[[1000.0], [5.0]]]),
}  # fmt: skip


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("name", ARRAYS)
def test_array_to_img(name, scale):
    if name == "floats" and not scale:
        scale = True  # negative numbers as uint8 are whatever the processor says
    ours, theirs = both("utils.array_to_img", ARRAYS[name], scale=scale)
    assert (ours.mode, ours.size) == (theirs.mode, theirs.size)
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_channels_first():
    first = RGB.transpose(2, 0, 1)
    assert np.array_equal(np.asarray(array_to_img(first, data_format="channels_first", scale=False)), RGB)
    assert np.array_equal(img_to_array(array_to_img(RGB, scale=False), data_format="channels_first"), first)
    assert img_to_array(Image.fromarray(RGB[:, :, 0]), "channels_first").shape == (1, 5, 8)


@pytest.mark.parametrize("dtype", [None, "uint8", "float16"])
@pytest.mark.parametrize("image", [Image.fromarray(RGB), Image.fromarray(RGB[:, :, 0]), Image.fromarray(RGB[:, :, 0].astype("uint16"))])
def test_img_to_array(image, dtype):
    ours, theirs = both("utils.img_to_array", image, dtype=dtype)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


@pytest.fixture
def files(tmp_path):
    for name, image in {
        "rgb": Image.fromarray(RGB), "rgba": Image.fromarray(ARRAYS["rgba"]), "gray": Image.fromarray(RGB[:, :, 0]),
        "sixteen": Image.fromarray(RGB[:, :, 0].astype("uint16") * 200),
    }.items():  # fmt: skip
        image.save(tmp_path / f"{name}.png")
    return tmp_path


@pytest.mark.parametrize("mode", ["rgb", "rgba", "grayscale"])
@pytest.mark.parametrize("name", ["rgb", "rgba", "gray", "sixteen"])
def test_load_img(files, name, mode):
    ours, theirs = both("utils.load_img", files / f"{name}.png", color_mode=mode)
    assert ours.mode == theirs.mode
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "hamming", "box", "lanczos"])
@pytest.mark.parametrize("size", [(3, 3), (9, 4), (5, 8)])
@pytest.mark.parametrize("keep", [True, False])
def test_load_img_resized(files, interpolation, size, keep):
    path = str(files / "rgb.png")
    ours, theirs = both("utils.load_img", path, target_size=size, interpolation=interpolation, keep_aspect_ratio=keep)
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_load_img_from_memory_and_bytes_paths(files):
    data = (files / "rgb.png").read_bytes()
    assert load_img(io.BytesIO(data)).size == load_img(str(files / "rgb.png").encode()).size == (8, 5)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.gif", "a.jpg", "a.JPEG"])
def test_save_and_load(tmp_path, name):
    save_img(tmp_path / name, np.full((4, 4, 3), 100.0), scale=False)
    assert abs(img_to_array(load_img(tmp_path / name)) - 100).max() <= 2


def test_save_to_memory_with_arguments():
    file = io.BytesIO()
    save_img(file, RGB, file_format="jpg", quality=1)
    assert file.getbuffer().nbytes < 1000


def test_jpeg_has_no_transparency(tmp_path):
    with pytest.warns(UserWarning, match="converting to RGB"):
        save_img(tmp_path / "a.jpg", ARRAYS["rgba"])
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.mode == "RGB"


@pytest.mark.parametrize("size", [(2, 2), (4, 10), (7, 3)])
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_smart_resize(size, interpolation, data_format):
    x = np.random.RandomState(1).rand(2, 5, 8, 3).astype("float32")
    for image in (x, x[0]):
        ours, theirs = both("preprocessing.image.smart_resize", image, size, interpolation=interpolation, data_format=data_format)
        assert isinstance(ours, np.ndarray)
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert isinstance(keras.preprocessing.image.smart_resize(keras.ops.array(x), size), keras.Tensor)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: array_to_img(RGB[0]), ValueError, "rank 3"),
        (lambda: array_to_img(RGB[:, :, :2]), ValueError, "channel number: 2"),
        (lambda: img_to_array(RGB[None]), ValueError, "Unsupported image shape"),
        (lambda: load_img(3), TypeError, "path-like"),
        (lambda: load_img("x", color_mode="cmyk"), ValueError, "color_mode must be"),
        (lambda: load_img(pathlib.Path("nowhere.png")), FileNotFoundError, "nowhere"),
        (lambda: keras.preprocessing.image.smart_resize(RGB, (2,)), ValueError, "2 integers"),
        (lambda: keras.preprocessing.image.smart_resize(RGB[0], (2, 2)), ValueError, "incorrect rank"),
        (lambda: keras.preprocessing.image.smart_resize(RGB, (2, 2), other=1), TypeError, "other"),
    ],
)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_wrong_interpolation(files):
    with pytest.raises(ValueError, match="Invalid interpolation method other"):
        load_img(files / "rgb.png", target_size=(2, 2), interpolation="other")


def test_without_pillow(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r'pip install "kerasish\[images\]"'):
        array_to_img(RGB)
