"""Files from the web: download, check, cache and unpack (`keras.utils.get_file`)."""

import hashlib
import os
import re
import secrets
import shutil
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import PureWindowsPath

SCHEMES = ("http", "https", "file")
FORMATS = ("tar", "zip")
TIMEOUT = 60  # seconds without a byte from the server
CHUNK = 1 << 16
MAX_UNPACKED = 4 * 2**30  # bytes that an archive may hold, whatever its own size is: above it, no more than MAX_RATIO times that
MAX_RATIO = 100
MAX_HEADER = 1 << 20  # bytes of a tar header: a long name, or a file's attributes, which are read into memory
FILE_BYTES = 4096  # that a member counts with beside its contents, as the smallest file needs so many on most disks


def get_file(
    fname: str | os.PathLike | None = None,
    origin: str | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: str | os.PathLike = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: str | Iterable[str] | None = "auto",
    cache_dir: str | os.PathLike | None = None,
    force_download: bool = False,
) -> str:
    """Path of the file at the URL `origin`, downloaded unless it is in the cache (`keras.utils.get_file`).

    The cache is Keras's own: `cache_dir`, else `$KERAS_HOME`, else `~/.keras`; `cache_subdir` is a folder in it.
    `file_hash` (SHA-256 or MD5) is checked on a cached file and before a download takes its place. A download that
    breaks off is resumed by the next call. With `extract` (or `untar`) the archive is unpacked at each call, wholly or
    not at all, and the path is its folder. Only http, https and file URLs are followed. Raises OSError when the file
    cannot be had, ValueError for a wrong hash or an unsafe archive: one with ways out of its folder, or a bomb.

    >>> import pathlib, tempfile
    >>> source = pathlib.Path(tempfile.mkdtemp(), "poem.txt")
    >>> _ = source.write_text("so much depends")
    >>> pathlib.Path(get_file(origin=source.as_uri(), cache_dir=tempfile.mkdtemp())).read_text()
    'so much depends'
    """
    if origin is None:
        raise ValueError("get_file needs the URL of the file. Expected: `origin`, a string. Received: origin=None")
    if file_hash is None and md5_hash is not None:
        file_hash, hash_algorithm = md5_hash, "md5"
    algorithm = _algorithm(hash_algorithm, file_hash)
    unpack = extract or untar
    formats = _formats("tar" if untar else archive_format)
    name = _file_name(fname, origin)
    folder = _cache_folder(cache_dir, cache_subdir)
    target = os.path.join(folder, name)
    unpacked = target
    if unpack and fname and "." in name:
        unpacked = os.path.join(folder, f"{name.split('.')[0]}_extracted")
    elif unpack:
        target = f"{target}_archive"

    if force_download or not _is_cached(target, file_hash, algorithm):
        _download(origin, target, file_hash, algorithm)
    if unpack and not _extract(target, unpacked, formats):
        warnings.warn(f"{target} was not unpacked: it is no archive of the formats {formats}.", stacklevel=2)
    return unpacked


# -- where the file goes -----------------------------------------------------------------------------------------------


def _file_name(fname: str | os.PathLike | None, origin: str) -> str:
    from urllib.parse import urlsplit

    url = urlsplit(origin)
    if url.scheme not in SCHEMES:
        raise ValueError(f"Cannot download from this kind of URL. Expected: one of {SCHEMES}. Received: {origin!r}")
    name = os.fspath(fname) if fname else os.path.basename(url.path)
    if not name:
        raise ValueError(f"The URL names no file, so `fname` must. Received: origin={origin!r}, fname={fname!r}")
    if name in (".", "..") or name != os.path.basename(name):
        raise ValueError(
            f"`fname` is a plain file name; its folder is given by `cache_dir` and `cache_subdir`. Received: {name!r}"
        )
    return name


def _cache_folder(cache_dir: str | os.PathLike | None, cache_subdir: str | os.PathLike) -> str:
    home = os.path.expanduser(cache_dir or os.environ.get("KERAS_HOME") or os.path.join("~", ".keras"))
    for base in (home, os.path.join(tempfile.gettempdir(), ".keras")):
        folder = os.path.join(base, cache_subdir)
        with suppress(OSError):
            os.makedirs(folder, exist_ok=True)
        if os.path.isdir(folder) and os.access(folder, os.W_OK):
            return folder
    raise OSError(f"No folder to write to for downloads: tried {os.path.join(home, cache_subdir)} and {folder}")


# -- hashes ------------------------------------------------------------------------------------------------------------


def _algorithm(algorithm: str, file_hash: str | None) -> str:
    if algorithm not in ("auto", "sha256", "md5"):
        raise ValueError(f"`hash_algorithm` must be 'auto', 'sha256' or 'md5'. Received: {algorithm!r}")
    if algorithm == "auto":
        return "sha256" if file_hash is not None and len(file_hash) == 64 else "md5"
    return algorithm


def _hash(path: str, algorithm: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _is_cached(target: str, file_hash: str | None, algorithm: str) -> bool:
    if not os.path.exists(target):
        return False
    if file_hash is None or _hash(target, algorithm) == file_hash.lower():
        return True
    warnings.warn(
        f"{target} is incomplete or another version ({algorithm} is not {file_hash}): downloading it again.",
        stacklevel=3,
    )
    return False


# -- download ----------------------------------------------------------------------------------------------------------


def _download(origin: str, target: str, file_hash: str | None, algorithm: str) -> None:
    """Bring `origin` to `target`, which changes only once the whole file is there and its hash is right."""
    from http.client import HTTPException

    source = hashlib.sha256(origin.encode()).hexdigest()[:8]
    partial = f"{target}.{source}.part"
    work = f"{partial}.{secrets.token_hex(4)}"
    # Taking the name of what an earlier call left makes it ours alone, even when two processes start at once.
    with suppress(FileNotFoundError):
        os.replace(partial, work)
    try:
        _transfer(origin, work, os.path.basename(target))
        if file_hash is not None:
            _check_hash(origin, work, file_hash, algorithm)
        os.replace(work, target)
    except (OSError, HTTPException) as error:
        check = f" Its {algorithm} hash is {file_hash}." if file_hash is not None else ""
        raise OSError(
            f"Could not download {origin}: {error}. Where there is no network, bring the file by other means and put "
            f"it at {target}.{check}"
        ) from error
    finally:
        with suppress(FileNotFoundError):
            os.replace(work, partial)


def _check_hash(origin: str, path: str, expected: str, algorithm: str) -> None:
    came = _hash(path, algorithm)
    if came != expected.lower():
        os.remove(path)
        raise ValueError(
            f"Incomplete or corrupted file: what came from {origin} is not the one expected and was thrown away. "
            f"Expected {algorithm}: {expected}. Received: {came}"
        )


def _transfer(origin: str, path: str, label: str) -> None:
    """Append to `path` what it still lacks of the file at `origin`; leave it only if a later call can go on from it."""
    from tqdm import tqdm

    with _open_url(origin, path) as response:
        start = os.path.getsize(path) if response.status == 206 else 0
        modified = _modified(response.headers)
        length = response.headers.get("Content-Length")
        if length and not length.isdecimal():
            raise OSError(f"the server says that {length!r} bytes come")
        total = start + int(length) if length else None
        try:
            with (
                open(path, "ab" if start else "wb") as file,
                tqdm(desc=label, total=total, initial=start, unit="B", unit_scale=True) as bar,
            ):
                while chunk := response.read(CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
                received = file.tell()
            if total is not None and received != total:
                raise OSError(f"the transfer broke off after {received:,} of {total:,} bytes")
        except BaseException:
            if modified is not None:  # kept as the time of the file: the server is asked for the rest only if still the same
                os.utime(path, (modified, modified))
            else:
                os.remove(path)
            raise


def _modified(headers) -> int | None:
    """Seconds since 1970 at which the server's file was last changed, if it says so in a way that one can ask for."""
    from email.utils import formatdate, mktime_tz, parsedate_tz

    try:
        seconds = mktime_tz(parsedate_tz(headers.get("Last-Modified", "")))
        formatdate(seconds, usegmt=True)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    return seconds


def _open_url(origin: str, path: str):
    """The response to a request for what `path` lacks; its status is 206 only if it goes on where `path` ends."""
    from email.utils import formatdate
    from urllib import request
    from urllib.error import HTTPError

    opener = request.OpenerDirector()  # not urlopen, which would follow a redirection to ftp
    for handler in ("Proxy", "HTTP", "HTTPS", "File", "Unknown", "HTTPDefaultError", "HTTPRedirect"):
        opener.add_handler(getattr(request, f"{handler}Handler")())
    opener.add_handler(request.HTTPErrorProcessor())
    headers = {"User-Agent": "kerasish"}  # several hosts refuse urllib's own
    start = os.path.getsize(path) if os.path.exists(path) else 0
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": formatdate(os.path.getmtime(path), usegmt=True)}
    try:
        response = opener.open(request.Request(origin, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code != 416 or not start:
            raise
    else:
        if response.status != 206 or response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            return response
        response.close()
        if not start:
            raise OSError("the server sent a part of the file, though it was asked for the whole")
    os.remove(path)  # the server has no such rest, so take the whole
    return _open_url(origin, path)


# -- archives ----------------------------------------------------------------------------------------------------------


def _formats(archive_format: str | Iterable[str] | None) -> tuple[str, ...]:
    if archive_format is None:
        return ()
    if archive_format == "auto":
        return FORMATS
    formats = (archive_format,) if isinstance(archive_format, str) else tuple(archive_format)
    if not set(formats) <= set(FORMATS):
        raise ValueError(f"`archive_format` must be 'auto', None or from {FORMATS}. Received: {archive_format!r}")
    return formats


def _extract(path: str, folder: str, formats: tuple[str, ...]) -> bool:
    """Unpack `path` into `folder`; False if it is no archive of these formats. Nothing is written of an unsafe one."""
    readers = {"tar": (_is_tar, _untar), "zip": (zipfile.is_zipfile, _unzip)}
    for matches, unpack in (readers[name] for name in formats):
        if matches(path):
            with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=os.path.dirname(folder)) as fresh:
                try:
                    unpack(path, fresh)
                except (OSError, ValueError):
                    raise
                except Exception as error:  # whatever the modules for archives meet in one that is cut off, damaged or encrypted
                    raise ValueError(f"The archive {path} is damaged, or can't be unpacked: {error}") from error
                _move(fresh, folder)
            return True
    return False


def _move(source: str, target: str) -> None:
    """Put a folder in the place of another, whose other files stay. Nothing is written through links that lie there."""
    if os.path.islink(target) or os.path.isfile(target):
        os.remove(target)
    os.makedirs(target, exist_ok=True)
    for entry in os.scandir(source):
        place = os.path.join(target, entry.name)
        if os.path.lexists(place) and entry.is_dir(follow_symlinks=False):
            _move(entry.path, place)
        else:
            if os.path.isdir(place) and not os.path.islink(place):
                shutil.rmtree(place)
            os.replace(entry.path, place)


class _Member(tarfile.TarInfo):
    """A member whose header is looked at before more is read: tarfile takes long names and attributes into memory as they come."""

    archive = ""

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        member = super().frombuf(buf, encoding, errors)
        if member.size > MAX_HEADER and member.type in _HEADERS:
            raise _unsafe(cls.archive, f"one of its headers would have {member.size:,} bytes.")
        return member


_HEADERS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


def _open_tar(path: str) -> tarfile.TarFile:
    return tarfile.open(path, tarinfo=type("Member", (_Member,), {"archive": path}))


def _is_tar(path: str) -> bool:
    try:
        _open_tar(path).close()
    except tarfile.TarError:
        return False
    return True


def _untar(path: str, folder: str) -> None:
    with _open_tar(path) as archive:
        _check_tar(_members(archive, path, folder), path)
        # A second guard beside _check_tar; set this way because Python 3.11 has it only from 3.11.4 on.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(folder)


def _members(archive: tarfile.TarFile, path: str, folder: str) -> list[tarfile.TarInfo]:
    """The members, read no further than an archive may be large."""
    members, size = [], 0
    for member in archive:
        members.append(member)
        size += FILE_BYTES + member.size
        _check_size(size, path, folder)
    return members


def _unzip(path: str, folder: str) -> None:
    with zipfile.ZipFile(path) as archive:  # which writes no links: it makes plain files of them
        _check_size(sum(member.file_size for member in archive.infolist()), path, folder)
        for name in archive.namelist():
            _inside(name, path)
        archive.extractall(folder)


def _check_size(size: int, archive: str, folder: str) -> None:
    stored = os.path.getsize(archive)
    if size > MAX_UNPACKED and size > MAX_RATIO * stored:
        raise _unsafe(archive, f"it would become more than {size:,} bytes, from {stored:,}.")
    free = shutil.disk_usage(folder).free
    if size > free:
        raise OSError(f"The archive {archive} needs {size:,} bytes or more, of which only {free:,} are free in {folder}.")


def _unsafe(archive: str, why: str) -> ValueError:
    return ValueError(f"The archive {archive} is unsafe and was not unpacked: {why}")


def _inside(name: str, archive: str) -> tuple[str, ...]:
    """The parts of a member's name, refused if it could mean a place outside, on this or another system."""
    path = PureWindowsPath(name)  # knows both separators, and drives
    if path.anchor or ".." in path.parts:
        raise _unsafe(archive, f"{name!r} points outside of it.")
    return tuple(part.casefold() for part in path.parts)


def _check_tar(members: list[tarfile.TarInfo], archive: str) -> None:
    """Refuse whatever could be written, or later read through a link, outside the folder.

    Python's own filter resolves links on the disk and has been outwitted by chains of them (CVE-2025-4517), so links
    are judged by their text: no member lies behind a link, and a link climbs no higher than its own depth.
    """
    links = {_inside(member.name, archive) for member in members if member.issym()}

    def behind_link(parts: tuple[str, ...]) -> bool:
        return any(parts[:n] in links for n in range(1, len(parts)))

    for member in members:
        parts = _inside(member.name, archive)
        if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
            raise _unsafe(archive, f"{member.name!r} is neither file nor folder nor link.")
        if behind_link(parts):
            raise _unsafe(archive, f"{member.name!r} lies behind a link.")
        if member.islnk():
            aim = _inside(member.linkname, archive)  # a hard link's is given from the top, a symbolic one's from itself
            if aim in links or behind_link(aim):
                raise _unsafe(archive, f"{member.name!r} is a hard link to a symbolic one.")
        if member.issym():
            target = f"{member.linkname}/"
            rest = re.sub(r"^(\.\.?/)+", "", target)
            _inside(rest, archive)
            if target.removesuffix(rest).count("../") >= len(parts):
                raise _unsafe(archive, f"the link {member.name!r} to {member.linkname!r} leads outside.")
