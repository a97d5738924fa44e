"""Files from strangers: what a loader refuses, and how a saver never leaves half a file."""

import contextlib
import os
import pathlib
import secrets

import h5py

MAX_BYTES = 4 * 2**30  # a declared size above this, and far above what is stored, is a bomb
MAX_RATIO = 1000
MAX_ARCHIVE = 256 * 2**20


class UnsafeFileError(ValueError):
    """The file asks for something that a model file has no reason to ask for."""


def h5_member(parent, name):
    """A group or dataset inside ``parent``, one step at a time: no links to elsewhere, no data kept elsewhere, no bombs.

    KeyError where it is missing.
    """
    item = parent
    for part in name.strip("/").split("/"):
        if not part:
            continue
        link = item.get(part, getlink=True) if isinstance(item, h5py.Group) else None
        if link is None:
            raise KeyError(f"'{name}' is not in {parent.file.filename}")
        if not isinstance(link, h5py.HardLink):
            raise UnsafeFileError(f"'{name}' in {parent.file.filename} is a {type(link).__name__}: links are refused.")
        item = item[part]
    if isinstance(item, h5py.Dataset):
        _check_dataset(item)
    elif not isinstance(item, h5py.Group):
        raise UnsafeFileError(f"'{name}' in {parent.file.filename} is no group and no dataset, but {type(item).__name__}.")
    return item


def _check_dataset(dataset):
    where = f"dataset '{dataset.name}' in {dataset.file.filename}"
    if dataset.external or dataset.is_virtual:
        raise UnsafeFileError(f"{where} keeps its data outside the file: refused.")
    declared, stored = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
    if declared > MAX_BYTES and declared > MAX_RATIO * max(stored, 1):
        raise UnsafeFileError(f"{where} declares {declared:,} bytes but stores {stored:,}: refused as a bomb.")


def open_h5(path):
    """An HDF5 file open for reading; ValueError that says so where it is none, or is cut off."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"File not found: filepath={path}")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path} is no readable HDF5 file (foreign, truncated or damaged): {error}") from error


def check_archive(archive):
    """UnsafeFileError where all members together declare far more than is stored."""
    declared = sum(info.file_size for info in archive.infolist())
    stored = sum(info.compress_size for info in archive.infolist())
    if declared > MAX_ARCHIVE and declared > 100 * max(stored, 1):
        raise UnsafeFileError(f"{archive.filename} declares {declared:,} bytes but stores {stored:,}: refused as a bomb.")


def zip_member(archive, name):
    """Bytes of a zip member, if it is no bomb."""
    info = archive.getinfo(name)
    if info.file_size > MAX_BYTES and info.file_size > 100 * max(info.compress_size, 1):
        raise UnsafeFileError(f"'{name}' declares {info.file_size:,} bytes but stores {info.compress_size:,}: refused as a bomb.")
    return archive.read(name)


def safe_name(name):
    """A path inside an archive with nothing in it that leads outside; UnsafeFileError otherwise."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
        raise UnsafeFileError(f"The archive's member '{name}' leads outside its folder: refused.")
    return pathlib.PurePosixPath(*[part for part in parts if part not in ("", ".")])


@contextlib.contextmanager
def replacing(path):
    """Path of a temporary file beside ``path`` that takes its place when the block ends well: never half a file."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
