"""One data set as two (``keras.utils.split_dataset``)."""

import random

import numpy as np

from kerasish.backend.autodiff.tensor import Tensor
from kerasish.utils.dataset import AUTOTUNE, Dataset


def split_dataset(dataset, left_size=None, right_size=None, shuffle=False, seed=None, preferred_backend=None):
    """A :class:`Dataset`, an array, a list or tuple of arrays, or a data set of TensorFlow or PyTorch as two (``keras.utils``).

    Sizes are shares (float) or numbers of samples (int); one may be missing. Batches are taken apart and made again.
    Everything is held in memory. ``preferred_backend`` "torch" gives PyTorch's own data sets.

    >>> left, right = split_dataset(np.arange(10), left_size=0.8)
    >>> len(left), [int(x) for x in right]
    (8, [8, 9])
    """
    if preferred_backend == "torch" or (preferred_backend is None and _is_torch(dataset)):
        return _split_torch(dataset, left_size, right_size, shuffle, seed)
    samples = list(_samples(dataset))
    if not samples:
        raise ValueError("Received an empty dataset: there is nothing to split.")
    if shuffle:
        random.Random(random.randint(0, 10**6) if seed is None else seed).shuffle(samples)
    left, right = _sizes(left_size, right_size, len(samples))
    batch_size = getattr(dataset, "_batch_size", None)
    return tuple(_restored(part, batch_size) for part in (samples[:left], samples[-right:]))


def _restored(samples, batch_size):
    """The samples as a data set; arrays in them are as they were."""
    dataset = Dataset(lambda: (sample for sample in samples), len(samples))
    return (dataset if batch_size is None else dataset.batch(batch_size)).prefetch(AUTOTUNE)


def _samples(dataset):
    if isinstance(dataset, (Tensor, np.ndarray)):
        return Dataset.from_tensor_slices(dataset)._elements()
    if hasattr(dataset, "as_numpy_iterator"):  # ours, or TensorFlow's
        return (dataset if getattr(dataset, "_batch_size", None) is None else dataset.unbatch()).as_numpy_iterator()
    if isinstance(dataset, (list, tuple)):
        if not dataset:
            raise ValueError("There is nothing to split: the list is empty.")
        wrong = [type(array) for array in dataset if not isinstance(array, (Tensor, np.ndarray))]
        if wrong:
            raise ValueError(f"Expected a list or tuple of arrays. Received: {wrong[0]} in it.")
        return Dataset.from_tensor_slices(tuple(dataset))._elements()
    if _is_torch(dataset):
        return (_from_torch(dataset[i]) for i in range(len(dataset)))
    raise TypeError(f"`dataset` must be a Dataset, one or several arrays, or a data set of PyTorch. Received: {type(dataset)}")


def _from_torch(sample):
    return tuple(np.asarray(x) for x in sample) if isinstance(sample, (list, tuple)) else np.asarray(sample)


def _is_torch(dataset):
    return any(cls.__module__.startswith("torch.utils.data") for cls in type(dataset).__mro__)


def _split_torch(dataset, left_size, right_size, shuffle, seed):
    import torch
    from torch.utils.data import Subset, TensorDataset

    if not _is_torch(dataset):
        columns = zip(*(sample if isinstance(sample, tuple) else (sample,) for sample in _samples(dataset)), strict=True)
        dataset = TensorDataset(*(torch.from_numpy(np.stack([np.asarray(x) for x in column])) for column in columns))
    total = len(dataset)
    left, right = _sizes(left_size, right_size, total)
    order = list(range(total))
    if shuffle:
        generator = torch.Generator()
        generator.seed() if seed is None else generator.manual_seed(seed)
        order = torch.randperm(total, generator=generator).tolist()
    return Subset(dataset, order[:left]), Subset(dataset, order[-right:])


def _sizes(left, right, total):
    """Both sizes as numbers of samples."""
    if left is None and right is None:
        raise ValueError("At least one of the `left_size` or `right_size` is needed: both are None")
    for name, size in (("left_size", left), ("right_size", right)):
        if size is None:
            continue
        if type(size) not in (int, float):
            raise TypeError(f"Invalid `{name}` type. Expected: int or float or None. Received: {type(size)}")
        if not 0 < size < (1 if isinstance(size, float) else total):
            raise ValueError(f"`{name}` is a positive integer smaller than {total}, or a float from 0 to 1. Got {name}={size}")
    if isinstance(left, float) and isinstance(right, float) and left + right > 1:
        raise ValueError("The shares `left_size` and `right_size` are together greater than 1.")
    left, right = (round(size * total) if isinstance(size, float) else size for size in (left, right))
    left, right = total - right if left is None else left, total - left if right is None else right
    if left + right > total:
        raise ValueError(f"`left_size` and `right_size` should together be smaller than {total}, got {left} + {right}")
    if 0 in (left, right):
        raise ValueError(
            f"With `dataset` of length={total}, `left_size`={left} and `right_size`={right}, one side will be empty. Adjust the sizes."
        )
    return left, right
