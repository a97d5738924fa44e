"""Where data sets come from, and how their files are read without running anything that a stranger wrote into them."""

import codecs
import io
import math
import os
import pickle
import zipfile

import numpy as np

from kerasish.utils.files import get_file

ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
Pair = tuple[np.ndarray, np.ndarray]


def find(name: str, origin: str, file_hash: str | None = None, local: str | None = None, **kwargs) -> str:
    """Path of a file: in the folder `$KERASISH_DATA`, or in Keras's cache, or downloaded there (OSError when that fails).

    In the folder it may have another name, `local`, and may be anything, so whoever reads it checks what is in it.
    """
    folder, local = os.environ.get("KERASISH_DATA"), local or name
    if folder and os.path.exists(path := os.path.join(folder, local)):
        return path
    try:
        return get_file(name, origin, file_hash=file_hash, **kwargs)
    except OSError as error:
        raise OSError(
            f"{error} Or put {local} in a folder and name that folder in the environment variable KERASISH_DATA "
            f"(now {folder!r}). The digits of `datasets.digits.load_data()` come with the package and need no network."
        ) from error


# ---- arrays in npz files
def read_npz(path: str, names: tuple[str, ...]) -> list[np.ndarray]:
    """The arrays of these names; those of Python objects may hold lists and numbers, and nothing else."""
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not the data set. Expected: an npz file with the arrays {', '.join(names)}.")
    with zipfile.ZipFile(path) as archive:
        missing = [name for name in names if f"{name}.npy" not in archive.namelist()]
        if missing:
            raise ValueError(f"{path} is not the data set. Expected: the arrays {', '.join(names)}. Missing: {', '.join(missing)}")
        return [_read_npy(archive.read(f"{name}.npy"), f"{name} in {path}") for name in names]


def _read_npy(data: bytes, where: str) -> np.ndarray:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(file)
    if not dtype.hasobject:
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)
    array = unpickle(file, where)
    if not isinstance(array, np.ndarray) or array.shape != shape:
        raise ValueError(f"Expected an array of shape {shape} for {where}. Received: {type(array).__name__}")
    return array.view(np.ndarray)


# ---- pickles
def unpickle(file, where: str, **kwargs):
    """What a pickle holds, if it is made of arrays, lists, dicts, numbers and text; ValueError, and nothing run, if not."""
    try:
        return _Unpickler(file, **kwargs).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError, MemoryError, TypeError, ValueError) as error:
        raise ValueError(f"{where} is damaged, or holds what no data set does: {error}") from error


class _Unpickler(pickle.Unpickler):
    """Knows the four names that NumPy's pickles are made with, and has its own things behind them, which check what they are told."""

    def find_class(self, module, name):
        known = _KNOWN.get((module.replace("numpy._core", "numpy.core"), name))
        if known is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is refused")
        return known if isinstance(known, type) else lambda *args: known(*args)  # a new one, as a pickle may write to what it gets


class _Array(np.ndarray):
    """An array that starts out empty and gets its shape and contents as its state, after a look at them."""

    def __new__(cls, kind, shape, _):
        if kind is not cls or shape != (0,):
            raise pickle.UnpicklingError("it asks for an array that is made in another way than NumPy does")
        return super().__new__(cls, (0,), "u1")

    def __init__(self, *_):
        pass

    def __setstate__(self, state):
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _DType):
            raise pickle.UnpicklingError(f"it asks for an array of {dtype!r}")
        wanted = dtype.dtype
        kind, size = (list, 1) if wanted.hasobject else (bytes, wanted.itemsize)
        if not isinstance(content, kind) or len(content) != math.prod(shape) * size:
            raise pickle.UnpicklingError(f"its contents don't fit an array of {wanted} of shape {shape}")
        super().__setstate__((1, shape, wanted, fortran, content))


class _DType:
    """A dtype of numbers or objects, which gets its byte order as its state."""

    def __init__(self, name, *_):
        name = name.decode() if isinstance(name, bytes) else name
        if name not in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "O", "O8"):
            raise pickle.UnpicklingError(f"it asks for the dtype {name!r}, which is refused")
        self.dtype = np.dtype(name[0] if name[0] == "O" else name)

    def __setstate__(self, state):
        order = state[1].decode() if isinstance(state[1], bytes) else state[1]
        if order == ">":
            self.dtype = self.dtype.newbyteorder(order)


def _bytes(text, encoding="latin1"):
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}, which is refused")
    return codecs.encode(text, "latin1")


_KNOWN = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _bytes,
}


# ---- splits
def split_shuffled(x: np.ndarray, y: np.ndarray, test_split: float, seed: int) -> tuple[Pair, Pair]:
    """Rows in a random order, the last `test_split` of them to test on; Keras's order for a seed."""
    if not 0 <= test_split < 1:
        raise ValueError(f"`test_split` must be at least 0 and less than 1, got test_split={test_split}")
    order = np.arange(len(x))
    np.random.RandomState(seed).shuffle(order)
    x, y, end = x[order], y[order], int(len(x) * (1 - test_split))
    return (x[:end], y[:end]), (x[end:], y[end:])
