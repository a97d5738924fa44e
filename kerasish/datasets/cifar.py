"""What `cifar10` and `cifar100` have in common."""

import os

import numpy as np

from kerasish.config import image_data_format
from kerasish.datasets import sources


def find(name: str, origin: str, file_hash: str) -> str:
    """Path of the folder with the batches, which has this name in the archive."""
    found = sources.find(f"{name}-target", origin, file_hash, local=name, extract=True)
    inside = os.path.join(found, name)
    return inside if os.path.isdir(inside) else found


def read_batch(path: str, labels: str) -> sources.Pair:
    """Images (n, 3, 32, 32) and labels (n, 1), both uint8, of one of the pickled batches."""
    with open(path, "rb") as file:
        batch = sources.unpickle(file, path, encoding="bytes")
    images = batch.get(b"data") if isinstance(batch, dict) else None
    if not isinstance(images, np.ndarray) or images.dtype != "uint8" or images.shape[1:] != (3072,) or labels.encode() not in batch:
        raise ValueError(f"{path} is no batch of CIFAR. Expected: a dict with data, uint8 (n, 3072), and {labels}.")
    return images.view(np.ndarray).reshape(-1, 3, 32, 32), np.array(batch[labels.encode()], "uint8").reshape(-1, 1)


def read_batches(folder: str, files: list[str], labels: str) -> sources.Pair:
    """Several batches as one, with channels where the setting `image_data_format` wants them."""
    images, numbers = zip(*(read_batch(os.path.join(folder, name), labels) for name in files), strict=True)
    x, y = np.concatenate(images), np.concatenate(numbers)
    return (x.transpose(0, 2, 3, 1) if image_data_format() == "channels_last" else x), y
