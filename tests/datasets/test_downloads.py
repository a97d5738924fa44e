"""Data sets that are downloaded, from a server on this machine that has small files of the same layout; against real Keras."""

import functools
import gzip
import hashlib
import importlib
import io
import json
import os
import pickle
import struct
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import kerasish as keras
from kerasish.datasets import sources

RANDOM = np.random.RandomState(0)


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def web(tmp_path, monkeypatch):
    """The folder that the server serves; the cache is empty."""
    folder = tmp_path / "web"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KERASISH_DATA", raising=False)
    monkeypatch.setattr(sources, "ORIGIN", f"http://127.0.0.1:{server.server_address[1]}/")
    yield folder
    server.shutdown()
    server.server_close()
    thread.join()


def expect(monkeypatch, module, path, name="SHA256"):
    """The hash of the small file in place of the real one's."""
    monkeypatch.setattr(module, name, hashlib.new(name[-6:].lower() if name == "SHA256" else "md5", path.read_bytes()).hexdigest())


def keras_on(monkeypatch, name, path):
    """Real Keras's data set module, which finds the same file."""
    module = importlib.import_module(f"keras.src.datasets.{name}")
    monkeypatch.setattr(module, "get_file", lambda *args, **kwargs: str(path))
    return module


def assert_same(ours, theirs):
    for mine, other in zip((x for pair in ours for x in pair), (x for pair in theirs for x in pair), strict=True):
        assert type(mine) is np.ndarray
        assert (mine.shape, mine.dtype) == (other.shape, other.dtype)
        assert mine.tolist() == other.tolist()


# ---- houses
@pytest.mark.parametrize("name", ["boston_housing", "california_housing"])
@pytest.mark.parametrize("arguments", [{}, {"test_split": 0, "seed": 1}, {"test_split": 0.5, "path": "mine.npz"}])
def test_housing(web, monkeypatch, name, arguments):
    module = getattr(keras.datasets, name)
    np.savez(web / f"{name}.npz", x=RANDOM.normal(size=(700, 8)), y=RANDOM.normal(size=700).astype("float32"))
    expect(monkeypatch, module, web / f"{name}.npz")
    theirs = keras_on(monkeypatch, name, web / f"{name}.npz")
    assert_same(module.load_data(**arguments), theirs.load_data(**arguments))
    if name == "california_housing":
        assert_same(module.load_data(version="small", **arguments), theirs.load_data(version="small", **arguments))
    (web / f"{name}.npz").unlink()
    module.load_data(**arguments)  # it is in the cache


def test_housing_refuses(web, monkeypatch):
    with pytest.raises(ValueError, match="not medium"):
        keras.datasets.california_housing.load_data(version="medium")
    np.savez(web / "boston_housing.npz", x=np.ones((5, 2)), y=np.ones(5))
    expect(monkeypatch, keras.datasets.boston_housing, web / "boston_housing.npz")
    with pytest.raises(ValueError, match="test_split=1.5"):
        keras.datasets.boston_housing.load_data(test_split=1.5)


# ---- texts
def sentences(n):
    found = np.empty(n, object)
    found[:] = [RANDOM.randint(1, 50, RANDOM.randint(2, 12)).tolist() for _ in range(n)]
    return found


TEXTS = [
    {},
    {"num_words": 30},
    {"num_words": 30, "skip_top": 5, "oov_char": None},
    {"maxlen": 8, "seed": 3},
    {"start_char": None},
    {"start_char": None, "index_from": 0},
    {"start_char": 7, "oov_char": 9, "index_from": 10, "num_words": 20},
]


@pytest.mark.parametrize("arguments", TEXTS)
def test_imdb(web, monkeypatch, arguments):
    labels = {f"y_{part}": RANDOM.randint(0, 2, 20) for part in ("train", "test")}
    np.savez(web / "imdb.npz", x_train=sentences(20), x_test=sentences(20), **labels)
    expect(monkeypatch, keras.datasets.imdb, web / "imdb.npz")
    assert_same(keras.datasets.imdb.load_data(**arguments), keras_on(monkeypatch, "imdb", web / "imdb.npz").load_data(**arguments))


@pytest.mark.parametrize("arguments", [*TEXTS, {"test_split": 0.5}])
def test_reuters(web, monkeypatch, arguments):
    np.savez(web / "reuters.npz", x=sentences(30), y=RANDOM.randint(0, 46, 30))
    expect(monkeypatch, keras.datasets.reuters, web / "reuters.npz")
    theirs = keras_on(monkeypatch, "reuters", web / "reuters.npz")
    assert_same(keras.datasets.reuters.load_data(**arguments), theirs.load_data(**arguments))
    assert keras.datasets.reuters.get_label_names() == theirs.get_label_names()


@pytest.mark.parametrize("name", ["imdb", "reuters"])
def test_word_index(web, monkeypatch, name):
    module, words = getattr(keras.datasets, name), {"the": 1, "café": 2}
    (web / f"{name}_word_index.json").write_text(json.dumps(words, ensure_ascii=False), encoding="utf-8")
    expect(monkeypatch, module, web / f"{name}_word_index.json", "INDEX_MD5")
    assert module.get_word_index() == words


def test_imdb_refuses(web, monkeypatch):
    with pytest.raises(TypeError, match="nb_words"):
        keras.datasets.imdb.load_data(nb_words=3)
    np.savez(web / "imdb.npz", x_train=sentences(5), x_test=sentences(5), y_train=np.zeros(5), y_test=np.zeros(5))
    expect(monkeypatch, keras.datasets.imdb, web / "imdb.npz")
    with pytest.raises(ValueError, match="Increase maxlen"):
        keras.datasets.imdb.load_data(maxlen=1)


# ---- CIFAR
class Python2Pickler(pickle._Pickler):
    """Writes text and bytes as Python 2 did, in which the archives were made."""

    def save_text(self, text):
        data = text if isinstance(text, bytes) else text.encode("latin1")
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(text)

    dispatch = {**pickle._Pickler.dispatch, str: save_text, bytes: save_text}


def pickled(value):
    file = io.BytesIO()
    Python2Pickler(file, 2).dump(value)
    return file.getvalue().replace(b"numpy._core", b"numpy.core")


def batch(n, *labels):
    data = RANDOM.randint(0, 256, (n, 3072)).astype("uint8")
    return {"data": data, "batch_label": "x", "filenames": ["a.png"] * n} | {name: RANDOM.randint(0, 100, n).tolist() for name in labels}


def archive(path, folder, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


@pytest.fixture
def cifar10(web, monkeypatch):
    batches = {name: batch(4, "labels") for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]}
    archive(web / "cifar-10-python.tar.gz", "cifar-10-batches-py", {name: pickled(value) for name, value in batches.items()})
    expect(monkeypatch, keras.datasets.cifar10, web / "cifar-10-python.tar.gz")
    monkeypatch.setattr(keras.datasets.cifar10, "ORIGIN", f"{sources.ORIGIN}cifar-10-python.tar.gz")
    return batches


def test_cifar10(cifar10, web):
    for _ in range(2):
        (x_train, y_train), (x_test, y_test) = keras.datasets.cifar10.load_data()
        (web / "cifar-10-python.tar.gz").unlink(missing_ok=True)  # the second time it comes from the cache
    assert (x_train.shape, x_train.dtype, y_train.shape, y_train.dtype) == ((20, 32, 32, 3), "uint8", (20, 1), "uint8")
    assert type(x_train) is type(y_train) is np.ndarray
    np.testing.assert_array_equal(x_train[5].transpose(2, 0, 1).ravel(), cifar10["data_batch_2"]["data"][1])
    assert y_train[4:8, 0].tolist() == cifar10["data_batch_2"]["labels"]
    np.testing.assert_array_equal(x_test.transpose(0, 3, 1, 2).reshape(4, -1), cifar10["test_batch"]["data"])
    assert y_test[:, 0].tolist() == cifar10["test_batch"]["labels"]


def test_cifar10_with_channels_first(cifar10):
    keras.config.set_image_data_format("channels_first")
    try:
        (x_train, _), _ = keras.datasets.cifar10.load_data()
    finally:
        keras.config.set_image_data_format("channels_last")
    assert x_train.shape == (20, 3, 32, 32)


@pytest.mark.parametrize("mode", ["fine", "coarse"])
def test_cifar100(web, monkeypatch, mode):
    files = {name: pickled(batch(n, "fine_labels", "coarse_labels")) for name, n in (("train", 6), ("test", 3))}
    path = web / "cifar-100-python.tar.gz"
    archive(path, "cifar-100-python", files)
    expect(monkeypatch, keras.datasets.cifar100, path)
    monkeypatch.setattr(keras.datasets.cifar100, "ORIGIN", f"{sources.ORIGIN}{path.name}")
    ours = keras.datasets.cifar100.load_data(mode)
    folder = web.parent / "home" / "datasets" / "cifar-100-python-target"
    theirs = keras_on(monkeypatch, "cifar100", folder).load_data(mode)
    for mine, other in zip((x for pair in ours for x in pair), (x for pair in theirs for x in pair), strict=True):
        np.testing.assert_array_equal(mine, other)
        assert mine.dtype == "uint8"  # Keras leaves the labels as int64, and says uint8
    monkeypatch.setenv("KERASISH_DATA", str(folder))
    assert keras.datasets.cifar100.load_data(mode)[1][0].shape == (3, 32, 32, 3)
    with pytest.raises(ValueError, match="not other"):
        keras.datasets.cifar100.load_data("other")


def test_cifar_of_another_kind(tmp_path):
    for value in ([1], {"data": np.zeros((2, 5), "uint8"), "labels": [0, 1]}, {"data": np.zeros((2, 3072)), "labels": [0, 1]}):
        (tmp_path / "batch").write_bytes(pickled(value))
        with pytest.raises(ValueError, match="no batch of CIFAR"):
            keras.datasets.cifar10.cifar.read_batch(tmp_path / "batch", "labels")


# ---- clothes
def test_fashion_mnist(web, monkeypatch):
    module, arrays = keras.datasets.fashion_mnist, {}
    monkeypatch.setattr(module, "FILES", {name: (5 if "train" in name else 3, *shape[1:]) for name, shape in module.FILES.items()})
    for name, shape in module.FILES.items():
        arrays[name] = RANDOM.randint(0, 256, shape).astype("uint8")
        head = bytes([0, 0, 8, len(shape)]) + b"".join(struct.pack(">i", n) for n in shape)
        (web / name).write_bytes(gzip.compress(head + arrays[name].tobytes()))
    found = [x for pair in module.load_data() for x in pair]
    for mine, wanted in zip(found, arrays.values(), strict=True):
        np.testing.assert_array_equal(mine, wanted)
        assert mine.flags.writeable
    assert sorted(os.listdir(web.parent / "home" / "datasets" / "fashion-mnist")) == sorted(module.FILES)
    real = importlib.import_module("keras.src.datasets.fashion_mnist")
    monkeypatch.setattr(real, "get_file", lambda name, **_: str(web / name))
    assert_same(module.load_data(), real.load_data())


@pytest.mark.parametrize("content", [b"nothing", gzip.compress(b"\0\0\x08\x01\0\0\0\x05abc"), gzip.compress(b"\0\0\x0d\x01\0\0\0\x05abcde")])
def test_fashion_mnist_of_another_kind(tmp_path, content):
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.gz is"):
        keras.datasets.fashion_mnist._read_idx(str(tmp_path / "x.gz"), (5,))


# ---- where from
def test_offline_says_what_to_do(web):
    with pytest.raises(OSError, match="HTTP Error 404.*KERASISH_DATA") as caught:
        keras.datasets.boston_housing.load_data()
    assert keras.datasets.boston_housing.SHA256 in str(caught.value)


def test_folder_of_the_user(tmp_path, web, monkeypatch):
    np.savez(tmp_path / "boston_housing.npz", x=np.ones((10, 2)), y=np.ones(10))
    monkeypatch.setenv("KERASISH_DATA", str(tmp_path))
    assert keras.datasets.boston_housing.load_data()[0][0].shape == (8, 2)
    np.savez(tmp_path / "boston_housing.npz", x=np.ones((10, 2)))
    with pytest.raises(ValueError, match="Missing: y"):
        keras.datasets.boston_housing.load_data()
    (tmp_path / "boston_housing.npz").write_bytes(b"text")
    with pytest.raises(ValueError, match="not the data set"):
        keras.datasets.boston_housing.load_data()


def test_origins_and_hashes_are_those_of_keras():
    for name in ("boston_housing", "california_housing", "cifar10", "cifar100", "imdb", "reuters"):
        with open(importlib.import_module(f"keras.src.datasets.{name}").__file__) as file:
            text = file.read()
        module = getattr(keras.datasets, name)
        assert module.SHA256 in text
        assert getattr(module, "ORIGIN", sources.ORIGIN) in text
        assert getattr(module, "INDEX_MD5", "") in text


# ---- pickles of strangers
class Call:
    """Unpickling this runs something."""

    def __init__(self, function, *args, state=None):
        self.call = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.call


reconstruct = np.array([1]).__reduce__()[0]
HOSTILE = {
    "os.system": Call(os.system, "touch evil"),
    "eval": Call(eval, "1"),
    "getattr": Call(getattr, 1, "real"),
    "numpy's own functions": Call(np.fromfile, "/etc/passwd", "u1"),
    "a huge array": Call(reconstruct, np.ndarray, (2**40,), b"b"),
    "another class of array": Call(reconstruct, np.matrix, (0,), b"b"),
    "a dtype with fields": np.zeros(2, "i4,i4"),
    "dates": np.zeros(2, "M8[s]"),
    "contents too short": Call(reconstruct, np.ndarray, (0,), b"b", state=(1, (9,), np.dtype("u1"), False, b"abc")),
    "objects too few": Call(reconstruct, np.ndarray, (0,), b"b", state=(1, (9,), np.dtype("O"), False, [1])),
    "sizes below zero": Call(reconstruct, np.ndarray, (0,), b"b", state=(1, (-1, -3), np.dtype("u1"), False, b"abc")),
    "no dtype": Call(reconstruct, np.ndarray, (0,), b"b", state=(1, (3,), "u1", False, b"abc")),
    "no state": Call(reconstruct, np.ndarray, (0,), b"b", state=3),
    "another codec": Call(__import__("_codecs").encode, "x", "rot13"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("protocol", [2, 4])
def test_hostile_pickles_are_refused(name, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = io.BytesIO(pickle.dumps([HOSTILE[name]], protocol))
    with pytest.raises(ValueError, match="this file is damaged, or holds what no data set does"):
        sources.unpickle(data, "this file")
    assert os.listdir(tmp_path) == []


def test_a_pickle_changes_nothing_for_the_next_one():
    pickles = {"attribute": b"}X\x04\0\0\0evilK\x01s", "default": b"N}X\x0c\0\0\0__defaults__X\x01\0\0\0a\x85s\x86"}
    for state in pickles.values():
        sources.unpickle(io.BytesIO(b"\x80\x02c_codecs\nencode\n" + state + b"b."), "here")
    assert sources._bytes("é") == b"\xe9" and not vars(sources._bytes)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80\x04.", b"no pickle", pickle.dumps([1, 2])[:-3], b"\x80\x02c__builtin__\nexec\n."])
def test_damaged_pickles_are_refused(data):
    with pytest.raises(ValueError, match="this file is damaged"):
        sources.unpickle(io.BytesIO(data), "this file")


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["u1", "i8", ">f4", "O", "?"])
def test_plain_pickles_are_read(dtype, protocol):
    value = {"a": np.arange(6).reshape(2, 3).astype(dtype), "b": [1, "two", 3.0, None]}
    data = pickle.dumps(value, protocol)
    again = sources.unpickle(io.BytesIO(data), "this file")
    np.testing.assert_array_equal(again["a"], value["a"])
    assert again["a"].dtype == pickle.loads(data)["a"].dtype
    assert again["b"] == value["b"]


def test_hostile_npz(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.array([Call(os.system, "touch evil")], object), y=np.zeros(1))
    with pytest.raises(ValueError, match=r"x in .*x\.npz is damaged.*system"):
        sources.read_npz(str(tmp_path / "x.npz"), ("x", "y"))
