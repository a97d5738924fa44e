"""Files from strangers: what a loader refuses, and how a saver never leaves half a file.

What is refused and why is told in docs/security.md. HDF5: paths are walked one checked link at a time, and a dataset is looked at
before it is read. Zip: the whole directory is checked before anything is unpacked.
"""

import contextlib
import io
import json
import math
import mmap
import os
import pathlib
import secrets
import stat
import zipfile
import zlib

import h5py

from kerasish.loading import UnsafeFileError, check_size

__all__ = [
    "UnsafeFileError", "check_archive", "h5_attribute", "h5_group", "h5_has", "h5_member", "open_h5", "open_zip", "parse_json",
    "regular_file", "replacing", "safe_name", "unpack", "weights_memory", "zip_member",
]  # fmt: skip

MAX_BYTES = 256 * 2**20  # a declared size above this, and far above what is stored, is a bomb
MAX_RATIO = 200
MAX_ENTRIES = 10_000  # of an archive
MAX_DIRECTORY = 4 * 2**20  # bytes of an archive's directory
MAX_PATH = 1024
MAX_JSON = 64 * 2**20
MAX_CONTAINERS = 2_000_000  # dicts and lists in JSON
MAX_NAMES = 8192  # texts of any length in one attribute: HDF5 keeps about half as many
SPARE_MEMORY = 256 * 2**20  # what variables may take that the file holds no values of: metrics, an optimizer's slots


# ---- JSON
def parse_json(text, where, load=None):
    """The config in a file's JSON text; ValueError that says where it is wrong. ``load`` then knows it for its messages."""
    if len(text) > MAX_JSON:
        raise UnsafeFileError(f"{where} has {len(text):,} characters, more than {MAX_JSON:,}: refused.")
    opening, comma = ("[", "{"), ","
    if isinstance(text, (bytes, bytearray)):
        opening, comma = (b"[", b"{"), b","
    if sum(map(text.count, opening)) > MAX_CONTAINERS or text.count(comma) > 5 * MAX_CONTAINERS:
        raise UnsafeFileError(f"{where} has too many values: refused.")
    try:
        text = text.decode("utf-8") if isinstance(text, (bytes, bytearray)) else text  # json itself would try other encodings
        config = json.loads(text, object_pairs_hook=_without_duplicates)
    except RecursionError:
        raise UnsafeFileError(f"{where} is nested too deeply: refused.") from None
    except UnsafeFileError as error:
        raise UnsafeFileError(f"{where}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{where} is not JSON: {error}") from error
    if load is None:
        check_size(config, where)
        return config
    return load.take(config, where)


def _without_duplicates(pairs):
    """A dict, in which a second value must not hide the one that somebody checked."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise UnsafeFileError(f"an object has the key {twice[:60]!r} twice: refused.")
    return found


# ---- HDF5
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_LONGEST_NAME, _MAX_LONG_TEXTS = 64_512, 64
_HEAP = b"GCOL\x01\0\0\0"  # signature, version and reserved bytes of a global heap


def open_h5(path):
    """An HDF5 file open for reading; ValueError that says so where it is none, or is cut off."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"File not found: filepath={path}")
    _check_heaps(path)
    try:
        return h5py.File(path, "r")
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is no readable HDF5 file (foreign, truncated or damaged): {error}") from error


def _check_heaps(path):
    """Look at the heaps of texts before libhdf5 does: it reads one with an object of no size for ever, and a text once for each mention."""
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            base = data.find(_SIGNATURE)
            if base < 0 or len(data) < base + 16:
                return  # libhdf5 says that it is no file of its own
            if data[base + (13 if data[base + 8] < 2 else 9)] != 8:
                raise UnsafeFileError(f"{path} has addresses that are not of 8 bytes: refused.")
            long = [text for start in _found(data, _HEAP) for text in _long_texts(data, start, path)]
            if len(long) > _MAX_LONG_TEXTS:
                raise UnsafeFileError(f"{path} has {len(long):,} long texts: refused.")
            for start, index, size in long:
                mention = (start - base).to_bytes(8, "little") + index.to_bytes(4, "little")
                times = sum(1 for _ in _found(data, mention))
                if times * size > MAX_BYTES:
                    raise UnsafeFileError(f"{path} mentions a text of {size:,} bytes {times:,} times: refused as a bomb.")


def _found(data, wanted):
    start = data.find(wanted)
    while start >= 0:
        yield start
        start = data.find(wanted, start + 4)


def _long_texts(data, start, path):
    """The objects of a heap that are longer than a name can be: triples (start of the heap, index, size)."""
    at, end = start + 16, min(start + int.from_bytes(data[start + 8 : start + 16], "little"), len(data))
    while at + 16 <= end:
        index, size = int.from_bytes(data[at : at + 2], "little"), int.from_bytes(data[at + 8 : at + 16], "little")
        if not index and not size:
            raise ValueError(f"{path} is damaged: a heap at byte {start} has an object of no size.")
        if index and size > _LONGEST_NAME:
            yield start, index, size
        at += size if not index else 16 + (size + 7) // 8 * 8


def h5_has(group, name):
    """Whether a group has a member of that name, which may be a link that leads nowhere: nothing is followed."""
    return isinstance(group, h5py.Group) and name not in ("", ".") and group.id.links.exists(name.encode("utf-8", "surrogateescape"))


def h5_member(parent, name):
    """A group or dataset inside ``parent``, one step at a time: no links to elsewhere, no data kept elsewhere, no bombs.

    KeyError where it is missing.
    """
    item, where = parent, f"'{name}' in {parent.file.filename}"
    for part in name.split("/"):
        if not part:
            continue
        if not h5_has(item, part):
            raise KeyError(f"'{name}' is not in {parent.file.filename}")
        kind = item.id.links.get_info(part.encode("utf-8", "surrogateescape")).type
        if kind != h5py.h5l.TYPE_HARD:
            known = {h5py.h5l.TYPE_SOFT: "SoftLink", h5py.h5l.TYPE_EXTERNAL: "ExternalLink"}
            raise UnsafeFileError(f"{where} is a {known.get(kind, 'link of an unknown kind')}: links are refused.")
        item = item[part]
    if isinstance(item, h5py.Dataset):
        _check_dataset(item)
    elif not isinstance(item, h5py.Group):
        raise UnsafeFileError(f"{where} is no group and no dataset, but {type(item).__name__}: refused.")
    return item


def h5_group(parent, name):
    """A group inside ``parent``; KeyError where it is missing, ValueError where it is a dataset."""
    item = h5_member(parent, name)
    if not isinstance(item, h5py.Group):
        raise ValueError(f"'{name}' in {parent.file.filename} is a dataset where a group was expected.")
    return item


def h5_attribute(item, name):
    """A number, a text or an array of them that an attribute holds, None where there is none."""
    if name not in item.attrs:
        return None
    where = f"The attribute '{name}' of '{item.name}' in {item.file.filename}"
    attribute = item.attrs.get_id(name)
    size = math.prod(attribute.shape) if attribute.shape is not None else 0
    kind = attribute.get_type()
    is_text = isinstance(kind, h5py.h5t.TypeStringID)
    if not is_text and attribute.dtype.kind not in "biuf":
        raise UnsafeFileError(f"{where} holds neither text nor numbers: refused.")
    if (is_text and kind.is_variable_str() and size > MAX_NAMES) or (size and attribute.get_storage_size() > MAX_BYTES // 16):
        raise UnsafeFileError(f"{where} declares {size:,} values: refused as a bomb.")
    return item.attrs[name]


_DEFLATE, _SHUFFLE, _FLETCHER32 = 1, 2, 3


def _check_dataset(dataset):
    where = f"dataset '{dataset.name}' in {dataset.file.filename}"
    if dataset.external or dataset.is_virtual:
        raise UnsafeFileError(f"{where} keeps its data outside the file: refused.")
    if dataset.shape is None or dataset.dtype.kind not in "biufcSV" or dataset.dtype.names or dataset.dtype.itemsize > MAX_PATH:
        raise UnsafeFileError(f"{where} holds no numbers, but {str(dataset.dtype)[:60]}: refused.")
    declared, stored = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
    if declared > MAX_BYTES and declared > MAX_RATIO * max(stored, 1):
        raise UnsafeFileError(f"{where} declares {declared:,} bytes but stores {stored:,}: refused as a bomb.")
    _check_filters(dataset, where)


def _check_filters(dataset, where):
    """A chunk may unpack to its size and no more: libhdf5 itself sets no bound."""
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if not filters:
        return
    if filters not in ([_DEFLATE], [_SHUFFLE], [_FLETCHER32], [_SHUFFLE, _DEFLATE], [_DEFLATE, _FLETCHER32], [_SHUFFLE, _FLETCHER32],
                       [_SHUFFLE, _DEFLATE, _FLETCHER32]):  # fmt: skip
        raise UnsafeFileError(f"{where} has the filters {filters[:10]}: only gzip, shuffle and fletcher32 are read.")
    size = math.prod(dataset.chunks) * dataset.dtype.itemsize
    if size > MAX_BYTES and size > MAX_RATIO * max(dataset.id.get_storage_size(), 1):
        raise UnsafeFileError(f"{where} has chunks of {size:,} bytes: refused as a bomb.")
    if _DEFLATE in filters:
        dataset.id.chunk_iter(lambda chunk: _check_chunk(dataset, chunk, size, where))


def _check_chunk(dataset, chunk, size, where):
    if chunk.size > size + MAX_BYTES // 8 or chunk.filter_mask:
        raise UnsafeFileError(f"{where} stores a chunk of {chunk.size:,} bytes for {size:,}: refused.")
    _, raw = dataset.id.read_direct_chunk(chunk.chunk_offset)
    unpacking = zlib.decompressobj()
    try:
        unpacked = len(unpacking.decompress(raw, size + 1))
    except zlib.error as error:
        raise ValueError(f"{where} is damaged: {error}") from error
    if unpacked > size:
        raise UnsafeFileError(f"{where} has a chunk that unpacks to more than its {size:,} bytes: refused as a bomb.")


def weights_memory(size):
    """Bytes that the variables of a model may take whose weights are ``size`` bytes of a file: slots and averages included."""
    return SPARE_MEMORY + 16 * size


# ---- archives and folders
class _Directory(io.BufferedReader):
    """An archive's file, of which not much is read at once until its directory is known."""

    is_open = False

    def read(self, size=-1):
        if not self.is_open:
            at, end = self.tell(), self.seek(0, os.SEEK_END)
            self.seek(at)
            if min(end - at, size if size is not None and size >= 0 else end) > MAX_DIRECTORY:
                raise UnsafeFileError(f"The archive's directory has more than {MAX_DIRECTORY:,} bytes: refused.")
        return super().read(size)


@contextlib.contextmanager
def open_zip(path):
    """A checked archive open for reading; ValueError where it is none, or is cut off."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"File not found: filepath={path}")
    with _Directory(io.FileIO(path)) as file:
        try:
            archive = zipfile.ZipFile(file)
        except UnsafeFileError:
            raise
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
            raise ValueError(f"{path} is no readable archive (foreign, truncated or damaged): {error}") from error
        file.is_open = True
        with archive:
            check_archive(archive, path)
            yield archive


def check_archive(archive, path=None):
    """UnsafeFileError where members lead outside, hide each other, or declare far more than is stored."""
    where, infos = path or archive.filename, archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise UnsafeFileError(f"{where} has {len(infos):,} members, more than {MAX_ENTRIES:,}: refused.")
    names = set()
    for info in infos:
        reason = _reason_against(info)
        name = str(safe_name(info.filename)).casefold()
        if name in names:
            reason = "is there twice"
        if reason:
            raise UnsafeFileError(f"{where}: the member '{info.filename[:200]}' {reason}: refused.")
        names.add(name)
    _check_overlaps(infos, where)
    declared, stored = sum(info.file_size for info in infos), sum(info.compress_size for info in infos)
    if declared > MAX_BYTES and declared > 100 * max(stored, 1):
        raise UnsafeFileError(f"{where} declares {declared:,} bytes but stores {stored:,}: refused as a bomb.")


def _reason_against(info):
    if info.orig_filename != info.filename:
        return "has a name with a NUL in it or foreign separators"
    if info.flag_bits & 0x1:
        return "is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"is packed by method {info.compress_type}; only stored and deflated ones are read"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link"
    if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
        return f"is stored in {info.compress_size:,} bytes but declares {info.file_size:,}"
    return None


def _check_overlaps(infos, where):
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise UnsafeFileError(f"{where}: the member '{info.filename}' lies over another one: refused as a bomb.")
        end = info.header_offset + 30 + len(info.orig_filename) + info.compress_size


def zip_member(archive, name):
    """Bytes of a member of a checked archive that is to be read whole, such as JSON."""
    info = archive.getinfo(name)
    if info.file_size > MAX_JSON:
        raise UnsafeFileError(f"'{name}' declares {info.file_size:,} bytes, more than {MAX_JSON:,}: refused.")
    return archive.read(name)


def unpack(archive, name, folder):
    """Write a member of a checked archive into ``folder``, piece by piece."""
    target = pathlib.Path(folder) / safe_name(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(name) as source, open(target, "xb") as copy:
        while piece := source.read(2**20):
            copy.write(piece)
    return target


def safe_name(name):
    """A path inside an archive with nothing in it that leads outside; UnsafeFileError otherwise."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in name:
        raise UnsafeFileError(f"The archive's member '{name[:200]}' leads outside its folder: refused.")
    if len(name) > MAX_PATH or max(map(len, parts)) > 200 or any(ord(c) < 32 for c in name):
        raise UnsafeFileError(f"The archive's member {name[:200]!r} has a name that is too long, or has control characters: refused.")
    return pathlib.PurePosixPath(*[part for part in parts if part not in ("", ".")])


def regular_file(folder, name):
    """Path of a file in a folder-form model: no link that leads out of the folder, no pipe, no device. FileNotFoundError if missing."""
    path = pathlib.Path(folder, name)
    if not path.resolve().is_relative_to(pathlib.Path(folder).resolve()):
        raise UnsafeFileError(f"{path} is a link that leads out of the model's folder: refused.")
    if path.exists() and not path.is_file():
        raise UnsafeFileError(f"{path} is no regular file: refused.")
    if not path.exists():
        raise FileNotFoundError(f"File not found: {path}")
    return path


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
