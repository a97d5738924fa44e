"""Writes resized.npz: images as Keras on TensorFlow reads them from files (``python make_resized.py``, with both installed)."""

import os
import pathlib
import tempfile

import numpy as np
from PIL import Image

INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic")
SIZES = ((8, 8), (23, 9))
WAYS = {"plain": {}, "crop": {"crop_to_aspect_ratio": True}, "pad": {"pad_to_aspect_ratio": True}}


def pictures():
    """Image files of all kinds and modes: name -> (Pillow image, arguments of save)."""
    random = np.random.RandomState(0)
    rgb = random.randint(0, 256, (11, 17, 3)).astype("uint8")
    rgba = random.randint(0, 256, (5, 7, 4)).astype("uint8")
    smooth = np.add.outer(np.arange(12) * 9, np.arange(16) * 8)[..., None] + np.array([0, 20, 40])
    return {
        "rgb.png": Image.fromarray(rgb),
        "rgba.png": Image.fromarray(rgba),
        "gray.png": Image.fromarray(rgb[:, :, 0]),
        "sixteen.png": Image.fromarray((random.randint(0, 2**16, (6, 6))).astype("uint16")),
        "palette.png": Image.fromarray(rgb).convert("P", palette=Image.Palette.ADAPTIVE, colors=8),
        "two.bmp": Image.fromarray(rgb),
        "three.gif": Image.fromarray(rgb).convert("P", palette=Image.Palette.ADAPTIVE, colors=8),
        "four.jpg": Image.fromarray(smooth.astype("uint8")),
    }


def folder_of(images, root):
    """A folder with these images in it."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=root))
    for name, image in images.items():
        image.save(folder / name)
    return folder


def main():
    import keras

    def read(folder, **arguments):
        data = keras.utils.image_dataset_from_directory(folder, labels=None, shuffle=False, verbose=False, batch_size=None, **arguments)
        return [x.numpy() for x in data]

    found, images = {}, pictures()
    with tempfile.TemporaryDirectory() as root:
        folder = folder_of({"rgb.png": images["rgb.png"]}, root)
        for interpolation in INTERPOLATIONS:
            for size in SIZES:
                for way, arguments in WAYS.items():
                    if way == "crop" and interpolation in ("gaussian", "mitchellcubic"):
                        continue  # TensorFlow's backend of Keras has no such resize
                    (image,) = read(folder, image_size=size, interpolation=interpolation, **arguments)
                    found[f"{interpolation} {size[0]}x{size[1]} {way}"] = image
        for name, image in images.items():
            folder = folder_of({name: image}, root)
            found[f"file {name}"] = np.frombuffer((folder / name).read_bytes(), "uint8")
            for mode in ("rgb", "rgba", "grayscale"):
                try:
                    (array,) = read(folder, color_mode=mode, image_size=image.size[::-1])
                    found[f"{name} {mode}"] = array.astype("float32")
                except Exception as error:
                    print(name, mode, type(error).__name__, str(error).splitlines()[0][:100])
    np.savez_compressed(pathlib.Path(__file__).with_name("resized.npz"), **found)


if __name__ == "__main__":
    os.environ["KERAS_BACKEND"] = "tensorflow"
    main()
