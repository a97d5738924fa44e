"""Data sets from folders: files, labels and splits as real Keras finds them, pixels as it reads them on TensorFlow (resized.npz)."""

import functools
import pathlib
import struct
import sys
import wave

import numpy as np
import pytest
from keras.src.utils import dataset_utils

import kerasish as keras
from kerasish import layers
from kerasish.utils import folders

GOLDEN = np.load(pathlib.Path(__file__).with_name("resized.npz"))
RESIZED = [name for name in GOLDEN.files if name.split()[-1] in ("plain", "crop", "pad")]
DECODED = [name for name in GOLDEN.files if name.split()[-1] in ("rgb", "rgba", "grayscale")]


def texts(folder, names=("b", "a", ".hidden"), count=7):
    """Folders of text files, with other things among them."""
    for name in names:
        (folder / name / "deep").mkdir(parents=True)
        for i in range(count):
            place = folder / name / "deep" if i % 3 == 0 else folder / name
            (place / f"{i}.{'TXT' if i % 2 else 'txt'}").write_text(f"{name}{i} text")
        (folder / name / "notes.md").write_text("no")
    (folder / "top.txt").write_text("at the top")
    return folder


def images(folder, classes=2, count=3):
    for c in range(classes):
        (folder / str(c)).mkdir()
        for i in range(count):
            keras.utils.save_img(folder / str(c) / f"{i}.png", np.full((4, 6, 3), 40 * c + i), scale=False)
    return folder


def sound(path, samples, width=2, rate=16000, channels=1):
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(samples)


# ---- which files, in what order
ARGUMENTS = [
    {"labels": "inferred", "shuffle": False},
    {"labels": "inferred", "seed": 3},
    {"labels": "inferred", "class_names": ["b", "a"], "seed": 1},
    {"labels": "inferred", "class_names": ["b"], "shuffle": False},
    {"labels": None, "seed": 5},
    {"labels": [i % 4 for i in range(22)], "seed": 5},
]


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_files_and_labels_are_those_of_keras(tmp_path, arguments):
    folder = str(texts(tmp_path))
    ours = folders.index_directory(folder, formats=(".txt",), verbose=False, **arguments)
    labels = list(arguments["labels"]) if isinstance(arguments["labels"], list) else arguments["labels"]  # Keras shuffles in place
    theirs = dataset_utils.index_directory(folder, formats=(".txt",), verbose=False, **arguments | {"labels": labels})
    assert ours[0] == theirs[0]
    assert ours[2] == theirs[2]
    assert (ours[1] is None and theirs[1] is None) or np.array_equal(ours[1], theirs[1])


@pytest.mark.parametrize("subset", ["training", "validation", "both"])
@pytest.mark.parametrize("share", [0.2, 0.55])
def test_splits_are_those_of_keras(tmp_path, subset, share, capsys):
    folder = str(texts(tmp_path))
    made = keras.utils.text_dataset_from_directory(folder, validation_split=share, subset=subset, seed=11, batch_size=4)
    said = capsys.readouterr().out
    paths, labels, _ = dataset_utils.index_directory(folder, "inferred", (".txt",), seed=11)
    for part, dataset in zip(["training", "validation"] if subset == "both" else [subset], made if subset == "both" else [made], strict=True):
        wanted = dataset_utils.get_training_or_validation_split(paths, labels, share, part)
        assert dataset.file_paths == wanted[0]
        assert sorted(y for _, ys in dataset for y in ys.tolist()) == sorted(wanted[1].tolist())
    assert said == capsys.readouterr().out


def test_links_are_followed_when_asked(tmp_path):
    texts(tmp_path / "there", ("x",), 2)
    (tmp_path / "here" / "a").mkdir(parents=True)
    (tmp_path / "here" / "a" / "link").symlink_to(tmp_path / "there" / "x")
    for follow in (False, True):
        found = folders.index_directory(str(tmp_path / "here"), "inferred", (".txt",), follow_links=follow, verbose=False)
        assert len(found[0]) == (2 if follow else 0)


# ---- labels and batches
@pytest.mark.parametrize(
    ("mode", "shape", "dtype", "row"), [("int", (6,), "int32", 1), ("binary", (6, 1), "float32", [1.0]), ("categorical", (6, 2), "float32", [0.0, 1.0])]
)
def test_label_modes(tmp_path, mode, shape, dtype, row):
    data = keras.utils.image_dataset_from_directory(images(tmp_path), label_mode=mode, shuffle=False, verbose=False)
    ((_, y),) = data
    assert (y.shape, y.dtype, y[-1].tolist()) == (shape, dtype, row)


@pytest.mark.parametrize("arguments", [{"labels": None}, {"label_mode": None}])
def test_without_labels(tmp_path, arguments):
    data = keras.utils.image_dataset_from_directory(images(tmp_path), verbose=False, image_size=(2, 2), **arguments)
    assert [x.shape for x in data] == [(6, 2, 2, 3)]


def test_given_labels(tmp_path):
    data = keras.utils.image_dataset_from_directory(images(tmp_path), labels=[5, 4, 3, 2, 1, 0], shuffle=False, verbose=False)
    ((x, y),) = data
    assert y.tolist() == [5, 4, 3, 2, 1, 0]
    assert x[:, 0, 0, 0].tolist() == [0, 1, 2, 40, 41, 42]
    assert data.class_names == list("012345")


def test_a_seed_fixes_the_order_and_epochs_differ(tmp_path):
    def epochs():
        data = keras.utils.image_dataset_from_directory(images_folder, seed=7, batch_size=2, verbose=False)
        return [[y.tolist() + x[:, 0, 0, 0].tolist() for x, y in data] for _ in range(3)]

    images_folder = images(tmp_path, count=8)
    first = epochs()
    assert first == epochs()
    assert first[0] != first[1]
    data = keras.utils.image_dataset_from_directory(images_folder, seed=7, batch_size=2, format="grain", verbose=False)
    assert [y.tolist() for _, y in data] == [y.tolist() for _, y in data]
    keras.utils.set_random_seed(1)
    unseeded = keras.utils.image_dataset_from_directory(images_folder, verbose=False).file_paths
    keras.utils.set_random_seed(1)
    assert keras.utils.image_dataset_from_directory(images_folder, verbose=False).file_paths == unseeded


def test_what_scripts_do_with_the_result(tmp_path):
    data = keras.utils.image_dataset_from_directory(images(tmp_path), image_size=(4, 6), batch_size=4, seed=1, verbose=False)
    assert data.class_names == ["0", "1"]
    for pictures, labels in data.take(1):
        for i in range(2):
            value = pictures[i].numpy().astype("uint8")
            assert value.shape == (4, 6, 3)
            assert (value[0, 0, 0] >= 40) == int(data.class_names[labels[i]])
    augmented = data.map(lambda x, y: (layers.Rescaling(1 / 255)(x), y), num_parallel_calls=keras.utils.AUTOTUNE).cache().prefetch(2)
    assert len(augmented) == int(augmented.cardinality()) == 2
    assert max(float(keras.ops.max(x)) for x, _ in augmented) == np.float32(42 / 255)
    assert next(iter(data.unbatch()))[0].shape == (4, 6, 3)
    assert [spec.shape for spec in data.element_spec] == [(None, 4, 6, 3), (None,)]


def test_training_on_folders(tmp_path):
    train, valid = keras.utils.image_dataset_from_directory(
        images(tmp_path, count=8), image_size=(4, 6), batch_size=4, validation_split=0.25, subset="both", seed=3, verbose=False
    )
    norm = layers.Normalization()
    norm.adapt(train.map(lambda x, y: x))
    model = keras.Sequential([keras.Input((4, 6, 3)), norm, layers.Flatten(), layers.Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(train, validation_data=valid, epochs=3, verbose=0).history
    assert len(history["val_loss"]) == 3
    assert model.predict(valid, verbose=0).shape == (4, 2)
    assert set(model.evaluate(valid, verbose=0, return_dict=True)) == {"loss", "accuracy"}


# ---- pixels
def read_image(tmp_path, name, **arguments):
    (tmp_path / name).write_bytes(GOLDEN[f"file {name}"].tobytes())
    data = keras.utils.image_dataset_from_directory(tmp_path, labels=None, batch_size=None, verbose=False, **arguments)
    return next(iter(data)).numpy()


@pytest.mark.parametrize("name", RESIZED)
def test_pixels_are_those_of_tensorflow(tmp_path, name):
    interpolation, size, way = name.split()
    ways = {"plain": {}, "crop": {"crop_to_aspect_ratio": True}, "pad": {"pad_to_aspect_ratio": True}}
    image = read_image(tmp_path, "rgb.png", image_size=tuple(map(int, size.split("x"))), interpolation=interpolation, **ways[way])
    assert image.dtype == GOLDEN[name].dtype
    # TensorFlow's bicubic looks its weights up in a table of 1,024
    np.testing.assert_allclose(image, GOLDEN[name], atol=0.2 if interpolation == "bicubic" else 1e-3, rtol=0)


@pytest.mark.parametrize("name", DECODED)
def test_files_are_decoded_as_by_tensorflow(tmp_path, name):
    file, mode = name.split()
    wanted = GOLDEN[name]
    image = read_image(tmp_path, file, color_mode=mode, image_size=wanted.shape[:2])
    if name == "palette.png rgba":  # opaque, but TensorFlow takes the 4 bits of a palette's index for alpha
        assert (image[..., 3] == 255).all()
        image, wanted = image[..., :3], wanted[..., :3]
    # TensorFlow decodes JPEG by a quicker, rougher transform; the way from colours to grey is rounded differently
    np.testing.assert_allclose(image, wanted, atol=4 if file.endswith("jpg") else 1 if mode == "grayscale" else 0)


def test_channels_first(tmp_path):
    plain = read_image(tmp_path, "rgb.png", image_size=(5, 4))
    first = read_image(tmp_path, "rgb.png", image_size=(5, 4), data_format="channels_first")
    np.testing.assert_array_equal(first, plain.transpose(2, 0, 1))


def test_damaged_image_is_named(tmp_path):
    (tmp_path / "bad.png").write_bytes(GOLDEN["file rgb.png"].tobytes()[:300])
    data = keras.utils.image_dataset_from_directory(tmp_path, labels=None, verbose=False)
    with pytest.raises(ValueError, match=r"bad\.png can't be read"):
        list(data)


def test_an_image_that_would_need_too_much_memory_is_named(tmp_path, monkeypatch):
    (tmp_path / "large.png").write_bytes(GOLDEN["file rgb.png"].tobytes())
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 10)
    data = keras.utils.image_dataset_from_directory(tmp_path, labels=None, verbose=False)
    with pytest.raises(ValueError, match=r"large\.png can't be read: Image size \(.*exceeds limit"):
        list(data)


# ---- texts
def test_texts(tmp_path):
    folder = texts(tmp_path)
    (folder / "a" / "é.txt").write_text("é long", encoding="utf-8")
    data = keras.utils.text_dataset_from_directory(folder, shuffle=False, max_length=2, batch_size=20, verbose=False)
    ((x, y),) = data
    assert x.numpy().tolist()[:8] == ["a1", "a2", "a4", "a5", "é ", "a0", "a3", "a6"]
    assert x[4].numpy() == "é "
    assert y.tolist() == [0] * 8 + [1] * 7
    assert data.element_spec[0].dtype == "string"


def test_vectorizing_texts(tmp_path):
    data = keras.utils.text_dataset_from_directory(texts(tmp_path), batch_size=4, verbose=False)
    vectorize = layers.TextVectorization(max_tokens=20, output_sequence_length=3)
    vectorize.adapt(data.map(lambda x, y: x))
    assert "text" in vectorize.get_vocabulary()
    shapes = [(x.shape, x.dtype) for x, _ in data.map(lambda x, y: (vectorize(x), y), num_parallel_calls=2)]
    assert shapes == [((4, 3), "int64")] * 3 + [((2, 3), "int64")]


def test_other_encodings_are_refused(tmp_path):
    (tmp_path / "latin.txt").write_bytes("é".encode("latin1"))
    with pytest.raises(ValueError, match=r"latin\.txt is not in UTF-8"):
        list(keras.utils.text_dataset_from_directory(tmp_path, labels=None, verbose=False))


# ---- sound
@pytest.mark.parametrize(
    ("width", "data", "wanted"),
    [
        (1, np.array([128, 0, 255], "u1"), [0, -1, 127 / 128]),
        (2, np.array([0, -(2**15), 2**14], "<i2"), [0, -1, 0.5]),
        (3, np.array([0, 0, 0, 0, 0, 128, 0, 0, 64], "u1"), [0, -1, 0.5]),
        (4, np.array([0, -(2**31), 2**30], "<i4"), [0, -1, 0.5]),
    ],
)
def test_widths(tmp_path, width, data, wanted):
    sound(tmp_path / "a.wav", data.tobytes(), width)
    ((x,),) = keras.utils.audio_dataset_from_directory(tmp_path, labels=None, verbose=False)
    assert (x.shape, x.dtype, x[:, 0].tolist()) == ((3, 1), "float32", wanted)


def two_sounds(folder):
    for name, n in (("a", 4), ("b", 2)):
        (folder / name).mkdir()
        sound(folder / name / "x.wav", np.arange(1, 2 * n + 1, dtype="<i2").tobytes(), channels=2)
    return folder


def test_sounds_with_different_numbers_of_channels(tmp_path):
    """As TensorFlow has it: silent channels where a batch is filled up, an error where lengths are fixed (here with the file's name)."""
    for name, channels in (("a", 1), ("b", 2), ("c", 1)):
        sound(tmp_path / f"{name}.wav", np.full(3 * channels, 2**14, "<i2").tobytes(), channels=channels)
    make = functools.partial(keras.utils.audio_dataset_from_directory, tmp_path, labels=None, shuffle=False, verbose=False)
    (x,) = make()
    assert x.shape == (3, 3, 2) and x.numpy().sum(1).tolist() == [[1.5, 0], [1.5, 1.5], [1.5, 0]]
    for one_by_one in ({"batch_size": None}, {"batch_size": 1}):
        assert [x.shape[-1] for x in make(output_sequence_length=4, **one_by_one)] == [1, 2, 1]
    with pytest.raises(ValueError, match=r"b\.wav has 2 channels and .*a\.wav has 1|[ac]\.wav has 1 channels and .*b\.wav has 2"):
        list(make(output_sequence_length=4))


def test_sounds_of_different_lengths(tmp_path):
    make = keras.utils.audio_dataset_from_directory
    ((padded, labels),) = make(two_sounds(tmp_path), shuffle=False, verbose=False)
    assert padded.shape == (2, 4, 2)
    assert (padded.numpy() * 2**15)[1].tolist() == [[1, 2], [3, 4], [0, 0], [0, 0]]
    assert labels.tolist() == [0, 1]
    ((cut, _),) = make(tmp_path, shuffle=False, output_sequence_length=3, verbose=False)
    np.testing.assert_array_equal(cut.numpy(), padded.numpy()[:, :3])
    ((ragged, _),) = make(tmp_path, shuffle=False, ragged=True, verbose=False)
    assert [part.shape for part in ragged.numpy()] == [(4, 2), (2, 2)]


def test_resampling(tmp_path):
    tone = (np.sin(np.arange(8000) * 2 * np.pi * 200 / 8000) * 2**14).astype("<i2")
    sound(tmp_path / "a.wav", tone.tobytes(), rate=8000)
    ((x,),) = keras.utils.audio_dataset_from_directory(tmp_path, labels=None, sampling_rate=16000, verbose=False)
    wanted = np.sin(np.arange(16000) * 2 * np.pi * 200 / 16000) / 2
    assert x.shape == (16000, 1)
    np.testing.assert_allclose(x.numpy()[200:-200, 0], wanted[200:-200], atol=2e-3)


def riff(*chunks):
    parts = b"".join(name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2) for name, content in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WAVE" + parts


def form(kind, bits, channels=1, more=b""):
    return b"fmt ", struct.pack("<HHIIHH", kind, channels, 16000, 0, 0, bits) + more


FLOATS = np.array([0, 0.5, -1], "<f4").tobytes()
EXTENSIBLE = struct.pack("<HHIH14x", 22, 16, 0, 1)


@pytest.mark.parametrize(
    "content",
    [
        riff(form(3, 32), (b"data", FLOATS)),
        riff((b"LIST", b"odd"), form(3, 64), (b"data", np.frombuffer(FLOATS, "<f4").astype("<f8").tobytes())),
        riff(form(0xFFFE, 16, more=EXTENSIBLE), (b"data", np.array([0, 2**14, -(2**15)], "<i2").tobytes()), (b"LIST", b"")),
        riff(form(3, 32), (b"data", FLOATS)).replace(struct.pack("<I", 12) + FLOATS, b"\xff" * 4 + FLOATS),
    ],
)
def test_other_forms(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    ((x,),) = keras.utils.audio_dataset_from_directory(tmp_path, labels=None, verbose=False)
    assert (x.dtype, x.tolist()) == ("float32", [[0], [0.5], [-1]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with b''"),
        (b"RIFF1234WAVEfmt ", "fmt "),
        (riff((b"data", FLOATS)), "fmt "),
        (riff(form(3, 32)), "data"),
        (riff(form(3, 32), (b"data", FLOATS))[:-3], "breaks off after 9 of the 12 bytes of b'data'"),
        (riff(form(85, 16), (b"data", FLOATS)), "16 bits, in the format 85"),
        (riff(form(1, 12), (b"data", FLOATS)), "12 bits, in the format 1"),
        (riff(form(3, 32, channels=2), (b"data", FLOATS)), "cannot reshape"),
        (riff(form(1, 24), (b"data", b"1234")), "cannot reshape|could not be broadcast"),
        (riff((b"fmt ", b"12")), "requires"),
    ],
)
def test_no_sound(tmp_path, content, message):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.wav is no WAV file with uncompressed sound, or is damaged: .*({message})"):
        list(keras.utils.audio_dataset_from_directory(tmp_path, labels=None, verbose=False))


# ---- what is wrong
MAKERS = {"image": keras.utils.image_dataset_from_directory, "text": keras.utils.text_dataset_from_directory, "audio": keras.utils.audio_dataset_from_directory}
FILES = {"image": "images", "text": "text files", "audio": "audio files"}
WRONG = [
    ({"labels": "other"}, "`labels` argument should be"),
    ({"labels": [0], "class_names": ["a"]}, 'only pass `class_names` if `labels="inferred"`'),
    ({"label_mode": "other"}, "`label_mode` argument must be"),
    ({"labels": [0, 1]}, r"2 labels, 4 files"),
    ({"class_names": ["a", "z"]}, "did not match"),
    ({"labels": None, "class_names": ["a"]}, "`class_names` cannot be specified"),
    ({"class_names": ["a"], "label_mode": "binary"}, "there must be exactly 2"),
    ({"validation_split": 2, "subset": "training"}, "between 0 and 1"),
    ({"validation_split": 0.2}, "`validation_split` must be set"),
    ({"subset": "training"}, "`validation_split` must be set"),
    ({"validation_split": 0.2, "subset": "other"}, '`subset` must be either "training", "validation" or "both"'),
    ({"validation_split": 0.2, "subset": "training"}, "must provide a `seed`"),
    ({"validation_split": 0.2, "subset": "both", "seed": 1}, "No validation {kind} found"),
]


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_wrong_arguments(tmp_path, kind, arguments, message):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(2):
            (tmp_path / name / f"{i}{ {'image': '.png', 'text': '.txt', 'audio': '.wav'}[kind] }").touch()
    with pytest.raises(ValueError, match=message.replace("{kind}", FILES[kind])):
        MAKERS[kind](tmp_path, verbose=False, **arguments)


@pytest.mark.parametrize("kind", MAKERS)
def test_no_files(tmp_path, kind):
    with pytest.raises(ValueError, match=f"No {FILES[kind]} found in directory .*Allowed formats"):
        MAKERS[kind](tmp_path, labels=None, verbose=False)
    with pytest.raises(FileNotFoundError):
        MAKERS[kind](tmp_path / "missing", verbose=False)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("image", {"color_mode": "cmyk"}, "`color_mode` must be"),
        ("image", {"image_size": (2,)}, "Invalid `image_size`"),
        ("image", {"image_size": (0, 2)}, "Invalid `image_size`"),
        ("image", {"image_size": (2.5, 2)}, "Invalid `image_size`"),
        ("image", {"interpolation": "other"}, "`interpolation` should be"),
        ("image", {"crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True}, "Only one of"),
        ("image", {"format": "torch"}, '"tf" or "grain"'),
        ("text", {"format": "torch"}, '"tf" or "grain"'),
        ("audio", {"sampling_rate": 1.5}, "should have an integer value"),
        ("audio", {"sampling_rate": -1}, "should be higher than 0"),
        ("audio", {"ragged": True, "output_sequence_length": 3}, "Cannot set both"),
    ],
)
def test_wrong_arguments_of_one(tmp_path, kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        MAKERS[kind](tmp_path, verbose=False, **arguments)


def test_missing_libraries_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r'pip install "kerasish\[images\]"'):
        keras.utils.image_dataset_from_directory(tmp_path, verbose=False)
    monkeypatch.setitem(sys.modules, "scipy.signal", None)
    sound(tmp_path / "a.wav", b"\0\0")
    with pytest.raises(ImportError, match=r'pip install "kerasish\[audio\]"'):
        list(keras.utils.audio_dataset_from_directory(tmp_path, labels=None, sampling_rate=8000, verbose=False))


def test_old_names():
    assert keras.preprocessing.image_dataset_from_directory is keras.utils.image_dataset_from_directory
    assert keras.preprocessing.text_dataset_from_directory is keras.utils.text_dataset_from_directory
    assert keras.preprocessing.timeseries_dataset_from_array is keras.utils.timeseries_dataset_from_array
    assert keras.preprocessing.sequence.pad_sequences is keras.utils.pad_sequences
    assert keras.preprocessing.image.load_img is keras.utils.load_img

