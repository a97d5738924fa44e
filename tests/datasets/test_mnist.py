"""Where MNIST comes from: a folder of the user, Keras's cache, the network. None of these tests needs a network."""

import hashlib
import os
import socket

import numpy as np
import pytest

from kerasish.datasets import mnist

ORIGIN = mnist.ORIGIN
REAL = os.path.join(os.environ.get("KERASISH_DATA", ""), "mnist.npz")


def arrays(**changes):
    """The right arrays, all zeros but for the labels' first element, which tells where the file came from."""
    return {name: np.zeros(shape, "uint8") for name, shape in mnist.SHAPES.items()} | changes


def label(value):
    return np.full(60000, value, "uint8")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty cache, no folder of the user, and a source of downloads that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setattr(mnist, "ORIGIN", f"http://127.0.0.1:{free.getsockname()[1]}/mnist.npz")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KERASISH_DATA", raising=False)
    return tmp_path / "home" / "datasets"


@pytest.fixture
def data(tmp_path, monkeypatch):
    """The folder that KERASISH_DATA names."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("KERASISH_DATA", str(folder))
    return folder


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A file to download, with the right hash; its first label is 1."""
    path = tmp_path / "web.npz"
    np.savez(path, **arrays(y_train=label(1)))
    monkeypatch.setattr(mnist, "ORIGIN", path.as_uri())
    monkeypatch.setattr(mnist, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def test_source_is_that_of_keras():
    assert ORIGIN == "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
    assert mnist.SHA256 == "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


def test_download_then_cache(web, home):
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    for array, shape in zip((x_train, y_train, x_test, y_test), mnist.SHAPES.values(), strict=True):
        assert (array.shape, array.dtype) == (shape, "uint8")
    assert os.listdir(home) == ["mnist.npz"]
    web.unlink()
    assert mnist.load_data()[0][1][0] == 1


def test_name_in_the_cache(web, home):
    mnist.load_data("mine.npz")
    assert os.listdir(home) == ["mine.npz"]


def test_wrong_hash(web, home, monkeypatch):
    monkeypatch.setattr(mnist, "SHA256", "0" * 64)
    with pytest.raises(ValueError, match="Expected sha256: 0000"):
        mnist.load_data()
    assert os.listdir(home) == []


def test_folder_of_the_user_comes_first_in_any_packing(web, data):
    np.savez_compressed(data / "mnist.npz", **arrays(y_train=label(2), more=np.zeros(3)))
    assert mnist.load_data()[0][1][0] == 2


def test_folder_without_the_file_is_passed_over(web, data):
    assert mnist.load_data()[0][1][0] == 1


def test_offline_says_what_to_do(home, data):
    with pytest.raises(OSError, match="refused") as caught:
        mnist.load_data()
    for part in (mnist.ORIGIN, str(home / "mnist.npz"), mnist.SHA256, "KERASISH_DATA", str(data), "digits.load_data()"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": np.zeros((60000, 784), "uint8")}, r"x_train: uint8 \(60000, 28, 28\).*uint8 \(60000, 784\)"),
        ({"y_test": np.zeros(10000)}, r"y_test: uint8 \(10000,\).*float64 \(10000,\)"),
        ({"x_test": None}, "x_test: .*no such array"),
    ],
)
def test_folder_with_other_arrays(data, changes, message):
    kept = {name: array for name, array in arrays(**changes).items() if array is not None}
    np.savez(data / "mnist.npz", **kept)
    with pytest.raises(ValueError, match=f"mnist.npz is not MNIST.*{message}"):
        mnist.load_data()


def test_folder_with_another_kind_of_file(data):
    np.save(data / "mnist.npy", np.zeros(3))
    (data / "mnist.npy").rename(data / "mnist.npz")
    with pytest.raises(ValueError, match="Expected: an npz file"):
        mnist.load_data()


def test_pickles_are_not_opened(data):
    np.savez(data / "mnist.npz", **arrays(y_train=np.array([print], object)), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        mnist.load_data()


@pytest.mark.skipif(
    not os.path.isfile(REAL), reason="the environment variable KERASISH_DATA names no folder with mnist.npz"
)
def test_real_mnist(monkeypatch):
    monkeypatch.setenv("KERASISH_DATA", os.path.dirname(REAL))
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    assert y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert y_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert round(x_train.mean() / 255, 4) == 0.1307  # the mean by which MNIST is commonly normalised
    assert round(x_train.std() / 255, 4) == 0.3081
    assert x_test.max() == 255
