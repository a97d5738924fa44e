"""The digits that come with the package: whole, balanced, in MNIST's form, and learnable."""

import hashlib
import os
import pathlib

import numpy as np
import pytest

from kerasish.datasets import digits

COUNTS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # as the source's own description lists them


@pytest.fixture(scope="module")
def data():
    return digits.load_data()


def test_form_is_that_of_mnist(data):
    (x_train, y_train), (x_test, y_test) = data
    assert [a.shape for a in (x_train, y_train, x_test, y_test)] == [(1437, 28, 28), (1437,), (360, 28, 28), (360,)]
    assert {a.dtype.name for a in (x_train, y_train, x_test, y_test)} == {"uint8"}
    for x in (x_train, x_test):
        assert (x.min(), x.max()) == (0, 255)
        border = np.ones((28, 28), bool)
        border[2:-2, 2:-2] = False
        assert not x[:, border].any()


def test_classes_are_balanced(data):
    (_, y_train), (_, y_test) = data
    assert np.bincount(y_test).tolist() == [36] * 10
    assert (np.bincount(y_train) + 36).tolist() == COUNTS


def test_order_is_shuffled_and_fixed(data):
    (x_train, y_train), _ = data
    assert np.bincount(y_train[:300], minlength=10).min() > 15
    (again, labels), _ = digits.load_data()
    assert (again == x_train).all()
    assert (labels == y_train).all()
    assert again is not x_train  # so that a user may change it in place


def test_images_are_all_those_of_the_source(data):
    """The hash is over the source's 1,797 rows, label before 64 pixels, sorted."""
    small = [np.rint(x[:, 3:26:3, 3:26:3] / 255 * 16).astype("uint8").reshape(-1, 64) for x, _ in data]
    labels = [y[:, None] for _, y in data]
    rows = np.hstack([np.vstack(labels), np.vstack(small)])
    digest = hashlib.sha256(b"".join(sorted(row.tobytes() for row in rows))).hexdigest()
    assert digest == "1b6a09f730bfe751d1f30985598ff7efda82a45af4d78e296c3c508586c103ad"
    assert len(np.unique(rows, axis=0)) == 1797  # so none is in both parts


def test_nearest_neighbour_reads_them(data):
    (x_train, y_train), (x_test, y_test) = data
    train, test = (x.reshape(len(x), -1).astype("float32") for x in (x_train, x_test))
    distances = (train**2).sum(1) - 2 * test @ train.T
    assert (y_train[distances.argmin(1)] == y_test).mean() > 0.97


def test_file_is_small_and_its_makers_are_named():
    root = pathlib.Path(digits.__file__).parent
    assert os.path.getsize(root / "digits.npz") < 60_000
    notice = (root.parents[1] / "NOTICE").read_text()
    for text in (notice, digits.load_data.__doc__):
        for part in ("Alpaydin", "Kaynak", "10.24432/C50P49", "CC BY 4.0"):
            assert part in text
