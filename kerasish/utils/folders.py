"""Data sets of files that lie in a folder for each class: images, texts and sound (``keras.utils.*_dataset_from_directory``).

The files' order, labels and split are Keras's, seed for seed. Files are read by a bounded number of threads, a few batches ahead,
while steps run.
"""

import functools
import io
import os

import numpy as np

from kerasish.config import standardize_data_format
from kerasish.console import print_msg
from kerasish.utils.audio_files import fit_length, read_wav, resample
from kerasish.utils.dataset import AUTOTUNE, Dataset
from kerasish.utils.image_files import pillow
from kerasish.utils.resampling import INTERPOLATIONS, resize_cropped, resize_image, resize_padded

IMAGES, TEXTS, SOUNDS = (".bmp", ".gif", ".jpeg", ".jpg", ".png"), (".txt",), (".wav",)


def image_dataset_from_directory(
    directory, labels="inferred", label_mode="int", class_names=None, color_mode="rgb", batch_size=32, image_size=(256, 256),
    shuffle=True, seed=None, validation_split=None, subset=None, interpolation="bilinear", follow_links=False,
    crop_to_aspect_ratio=False, pad_to_aspect_ratio=False, data_format=None, format="tf", verbose=True,
):  # fmt: skip
    """A :class:`Dataset` of ``(images, labels)`` from a folder with a folder for each class (``keras.utils``).

    Images are float32 (batch, height, width, channels) from 0 to 255 (uint8 with "nearest"). ``label_mode``: "int" (batch,),
    "binary" (batch, 1), "categorical" (batch, classes), or None for images alone. ``validation_split`` with ``subset``
    "training", "validation" or "both" splits the files. ``batch_size`` None: single images. Attributes ``class_names``,
    ``file_paths``. Shuffled, each epoch has an order of its own, or all the same one with ``format="grain"``. ValueError where
    an argument or a file is wrong.

    >>> import pathlib, tempfile
    >>> from kerasish.utils.image_files import save_img
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("cat", "dog"):
    ...     (folder / name).mkdir()
    ...     save_img(folder / name / "1.png", np.zeros((4, 4, 3)))
    >>> data = image_dataset_from_directory(folder, image_size=(2, 2), shuffle=False, verbose=False)
    >>> data.class_names, [(x.shape, y.tolist()) for x, y in data]
    (['cat', 'dog'], [((2, 2, 2, 3), [0, 1])])
    """
    channels = {"rgb": "RGB", "rgba": "RGBA", "grayscale": "L"}
    if color_mode not in channels:
        raise ValueError(f"`color_mode` must be one of {sorted(channels)}. Received: color_mode={color_mode}")
    if isinstance(image_size, int):
        image_size = (image_size, image_size)
    if not isinstance(image_size, (list, tuple)) or len(image_size) != 2 or not all(isinstance(n, int) and n > 0 for n in image_size):
        raise ValueError(f"Invalid `image_size` value. Expected a tuple of 2 positive integers. Received: image_size={image_size}")
    interpolation = interpolation.lower()
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"`interpolation` should be one of {INTERPOLATIONS}. Received: interpolation={interpolation}")
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError("Only one of `pad_to_aspect_ratio` and `crop_to_aspect_ratio` can be True.")
    resize = resize_cropped if crop_to_aspect_ratio else resize_padded if pad_to_aspect_ratio else resize_image
    pillow()  # where it is missing, this is the time to say so
    read = functools.partial(
        _read_image, mode=channels[color_mode], resize=functools.partial(resize, size=tuple(image_size), interpolation=interpolation),
        channels_first=standardize_data_format(data_format) == "channels_first",
    )  # fmt: skip
    check_format(format)
    return _dataset_of_files(
        directory, labels, label_mode, class_names, batch_size, shuffle, seed, validation_split, subset, follow_links, verbose,
        what="images", formats=IMAGES, read=read, reshuffle=format == "tf",
    )  # fmt: skip


def text_dataset_from_directory(
    directory, labels="inferred", label_mode="int", class_names=None, batch_size=32, max_length=None, shuffle=True, seed=None,
    validation_split=None, subset=None, follow_links=False, format="tf", verbose=True,
):  # fmt: skip
    """A :class:`Dataset` of ``(texts, labels)`` from a folder with a folder of .txt files for each class (``keras.utils``).

    Texts are arrays of ``str`` with ``numpy()``, read as UTF-8 (ValueError for other files) and cut to ``max_length`` characters.
    The other arguments are those of :func:`image_dataset_from_directory`.

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("bad", "good"):
    ...     (folder / name).mkdir()
    ...     _ = (folder / name / "1.txt").write_text(f"so {name}")
    >>> data = text_dataset_from_directory(folder, shuffle=False, verbose=False)
    >>> [(x.numpy().tolist(), y.tolist()) for x, y in data]
    [(['so bad', 'so good'], [0, 1])]
    """
    check_format(format)
    return _dataset_of_files(
        directory, labels, label_mode, class_names, batch_size, shuffle, seed, validation_split, subset, follow_links, verbose,
        what="text files", formats=TEXTS, read=functools.partial(_read_text, max_length=max_length), reshuffle=format == "tf",
    )  # fmt: skip


def audio_dataset_from_directory(
    directory, labels="inferred", label_mode="int", class_names=None, batch_size=32, sampling_rate=None, output_sequence_length=None,
    ragged=False, shuffle=True, seed=None, validation_split=None, subset=None, follow_links=False, verbose=True,
):  # fmt: skip
    """A :class:`Dataset` of ``(sound, labels)`` from a folder with a folder of .wav files for each class (``keras.utils``).

    Sound is float32 (batch, samples, channels) from -1 to 1, filled up with zeros to the longest of the batch, or cut or filled to
    ``output_sequence_length`` (all must have as many channels then), or, with ``ragged``, an array of arrays. ``sampling_rate``:
    samples per second that all get (with the extra ``audio``). The other arguments are those of :func:`image_dataset_from_directory`.

    >>> import pathlib, tempfile, wave
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with wave.open(str(folder / "1.wav"), "wb") as file:
    ...     file.setparams((1, 2, 16000, 3, "NONE", ""))
    ...     file.writeframes(np.array([0, 16384, -32768], "<i2").tobytes())
    >>> [x.tolist() for x in audio_dataset_from_directory(folder, labels=None, verbose=False)]
    [[[[0.0], [0.5], [-1.0]]]]
    """
    if ragged and output_sequence_length is not None:
        raise ValueError("Cannot set both `ragged` and `output_sequence_length`.")
    if sampling_rate is not None and not isinstance(sampling_rate, int):
        raise ValueError(f"`sampling_rate` should have an integer value. Received: sampling_rate={sampling_rate}")
    if sampling_rate is not None and sampling_rate <= 0:
        raise ValueError(f"`sampling_rate` should be higher than 0. Received: sampling_rate={sampling_rate}")
    fixed = output_sequence_length is not None or ragged
    alike = {} if output_sequence_length is not None and batch_size is not None and batch_size > 1 else None
    return _dataset_of_files(
        directory, labels, label_mode, class_names, batch_size, shuffle, seed, validation_split, subset, follow_links, verbose,
        what="audio files", formats=SOUNDS, batched=Dataset.batch if fixed else Dataset.padded_batch,
        read=functools.partial(_read_sound, rate=sampling_rate, length=output_sequence_length, ragged=ragged, alike=alike),
    )  # fmt: skip


def check_format(format):
    """ValueError for another ``format`` than Keras's two."""
    if format not in ("tf", "grain"):
        raise ValueError(f'`format` should be "tf" or "grain", not {format}')


# ---- from arguments to data sets
def _dataset_of_files(directory, labels, label_mode, class_names, batch_size, shuffle, seed, validation_split, subset, follow_links,
                      verbose, what, formats, read, batched=Dataset.batch, reshuffle=True):  # fmt: skip
    _check(labels, label_mode, class_names, validation_split, subset, shuffle, seed, what)
    if labels is None or label_mode is None:
        labels = label_mode = None
    seed = np.random.randint(10**6) if seed is None else seed
    paths, labels, class_names = index_directory(directory, labels, formats, class_names, shuffle, seed, follow_links, verbose)
    if label_mode == "binary" and len(class_names) != 2:
        raise ValueError(f'For `label_mode="binary"` there must be exactly 2 classes. Received: class_names={class_names}')
    targets = None if label_mode is None else _targets(labels, label_mode, len(class_names))
    made = []
    for part in ("training", "validation") if subset == "both" else (subset,):
        rows = _rows_of(part, len(paths), validation_split)
        part_paths = paths[rows]
        if not part_paths:
            which = f"{part} {what}" if subset == "both" else what
            raise ValueError(f"No {which} found in directory {directory}. Allowed formats: {formats}")
        dataset = Dataset.from_tensor_slices(part_paths if targets is None else (part_paths, targets[rows]))
        if shuffle and not (subset == "both" and part == "validation"):
            dataset = dataset.shuffle((batch_size or 128) * 8, seed, reshuffle)
        dataset = dataset.map(functools.partial(_read_first, read), num_parallel_calls=AUTOTUNE)
        dataset = (dataset if batch_size is None else batched(dataset, batch_size)).prefetch(AUTOTUNE)
        dataset.class_names, dataset.file_paths = class_names, part_paths
        made.append(dataset)
    return made if subset == "both" else made[0]


def _read_first(read, path, *labels):
    data = read(path.numpy())
    return (data, *labels) if labels else data


def _check(labels, label_mode, class_names, validation_split, subset, shuffle, seed, what):
    if labels not in ("inferred", None):
        if not isinstance(labels, (list, tuple)):
            raise ValueError(
                f'`labels` argument should be "inferred" (from the names of the folders), None (no labels), or a list of integers, '
                f"one for each of the {what}. Received: labels={labels}"
            )
        if class_names:
            raise ValueError(f'You can only pass `class_names` if `labels="inferred"`, got {class_names}')
    if label_mode not in ("int", "categorical", "binary", None):
        raise ValueError(f'`label_mode` argument must be "int", "categorical", "binary" or None. Received: label_mode={label_mode}')
    if validation_split and not 0 < validation_split < 1:
        raise ValueError(f"`validation_split` must be between 0 and 1. Received: validation_split={validation_split}")
    if bool(validation_split) != bool(subset):
        raise ValueError("`subset` needs a `validation_split`, and `validation_split` must be set with a `subset`.")
    if subset not in ("training", "validation", "both", None):
        raise ValueError(f'`subset` must be either "training", "validation" or "both", not {subset}')
    if validation_split and shuffle and seed is None:
        raise ValueError(
            "With `validation_split` and shuffled data you must provide a `seed`, or the training and the validation subset overlap."
        )


def _rows_of(subset, count, validation_split):
    if not validation_split:
        return slice(None)
    left = int(validation_split * count)
    print_msg(f"Using {count - left} files for training." if subset == "training" else f"Using {left} files for validation.")
    return slice(count - left) if subset == "training" else slice(count - left, None)


def _targets(labels, label_mode, num_classes):
    labels = np.asarray(labels, "int32")
    if label_mode == "int":
        return labels
    if label_mode == "binary":
        return labels.astype("float32")[:, None]
    return (labels[:, None] == np.arange(num_classes)).astype("float32")


# ---- files and their labels
def index_directory(directory, labels, formats, class_names=None, shuffle=True, seed=None, follow_links=False, verbose=True):
    """``(file paths, integer labels or None, names of the classes or None)`` of a folder, in Keras's order."""
    if labels == "inferred":
        folders = [entry.name for entry in os.scandir(directory) if entry.is_dir() and not entry.name.startswith(".")]
        if class_names is not None and not set(class_names) <= set(folders):
            raise ValueError(
                f"The `class_names` passed did not match the folders: these are {sorted(folders)}, `class_names` {class_names}"
            )
        names = sorted(folders) if class_names is None else list(class_names)
        found = [_files_in(os.path.join(directory, name), formats, follow_links) for name in names]
        labels = np.repeat(np.arange(len(names), dtype="int32"), [len(files) for files in found])
        paths = [path for files in found for path in files]
    else:
        if class_names is not None:
            raise ValueError(f"`class_names` cannot be specified when `labels` is {'None' if labels is None else 'a list'}.")
        paths = _files_in(os.fspath(directory), formats, follow_links)
        names = None if labels is None else [str(label) for label in sorted(set(labels))]
        if labels is not None and len(labels) != len(paths):
            raise ValueError(
                f"Expected the lengths of `labels` to match the number of files: {len(labels)} labels, {len(paths)} files in "
                f"{directory}."
            )
    if verbose:
        print_msg(f"Found {len(paths)} files" + ("." if labels is None else f" belonging to {len(names)} classes."))
    if shuffle:
        order = np.arange(len(paths))
        np.random.RandomState(seed).shuffle(order)
        paths = [paths[i] for i in order]
        labels = None if labels is None else np.asarray(labels)[order]
    return paths, labels, names


def _files_in(folder, formats, follow_links):
    """Paths of the files in a folder and below it, sorted folder by folder."""
    levels = sorted(os.walk(folder, followlinks=follow_links), key=lambda level: level[0])
    return [os.path.join(root, name) for root, _, names in levels for name in sorted(names) if name.lower().endswith(formats)]


# ---- one file
def _read_image(path, mode, resize, channels_first):
    with open(path, "rb") as file:
        data = io.BytesIO(file.read())
    try:
        with pillow().open(data) as image:
            if image.mode.startswith("I"):  # 16 bits: the upper 8 of them, as conversion would cut all bright values off
                image = pillow().fromarray((np.asarray(image).astype("int32") >> 8).astype("uint8"))
            pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    except (OSError, SyntaxError, ValueError, pillow().DecompressionBombError) as error:  # what Pillow raises for damaged files
        raise ValueError(f"The image {path} can't be read: {error}") from error
    pixels = resize(pixels.reshape(*pixels.shape[:2], -1))
    return pixels.transpose(2, 0, 1) if channels_first else pixels


def _read_text(path, max_length):
    with open(path, "rb") as file:
        data = file.read()
    try:
        return data.decode("utf-8")[:max_length]
    except UnicodeDecodeError as error:
        raise ValueError(f"The text {path} is not in UTF-8: {error}") from error


def _read_sound(path, rate, length, ragged, alike):
    """``alike``: a dict that keeps what the first file was like, where all must have its number of channels."""
    sound, own_rate = read_wav(path)
    channels, first = (sound.shape[1], path) if alike is None else alike.setdefault("first", (sound.shape[1], path))
    if sound.shape[1] != channels:
        raise ValueError(
            f"{path} has {sound.shape[1]} channels and {first} has {channels}: without `output_sequence_length` missing ones are zeros."
        )
    if rate is not None:
        sound = resample(sound, own_rate, rate)
    if length is not None:
        sound = fit_length(sound, length)
    if not ragged:
        return sound
    single = np.empty((), object)
    single[()] = sound
    return single
