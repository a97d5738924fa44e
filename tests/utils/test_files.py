"""get_file against a server on this machine, and archives that try to leave their folder."""

import hashlib
import inspect
import io
import os
import socket
import stat
import tarfile
import tempfile
import threading
import tracemalloc
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import kerasish.utils
from kerasish.utils import files, get_file

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()
MONDAY = "Mon, 06 Jan 2025 10:00:00 GMT"
TUESDAY = "Tue, 07 Jan 2025 10:00:00 GMT"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        server.requests.append(dict(self.headers))
        if self.path.partition("?")[0] != "/data.bin":
            self.send_error(404)
            return
        start = 0
        if server.ranges and "Range" in self.headers and self.headers["If-Range"] == server.modified:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        if start >= len(server.content):
            self.send_error(416)
            return
        self.send_response(206 if start else server.status)
        if start:
            first = start if server.honest else 0
            self.send_header("Content-Range", f"bytes {first}-{len(server.content) - 1}/{len(server.content)}")
        if server.modified:
            self.send_header("Last-Modified", server.modified)
        if server.length:
            self.send_header("Content-Length", server.length)
        elif server.sized:
            self.send_header("Content-Length", str(len(server.content) - start))
        self.end_headers()
        self.wfile.write(server.content[start : server.breaks_at])


@pytest.fixture
def server(monkeypatch):
    """Serves `content` at /data.bin, breaking off after `breaks_at` bytes, and notes the headers of each request."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    vars(server).update(content=CONTENT, requests=[], breaks_at=None, ranges=True, honest=True, sized=True)
    vars(server).update(status=200, length=None)
    server.modified = MONDAY
    server.url = f"http://127.0.0.1:{server.server_address[1]}/data.bin"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """The cache of the test, in place of the real ~/.keras and of the folder used when that cannot be written."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    (tmp_path / "temp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    return tmp_path / "home"


@pytest.fixture
def cache(home):
    return home / "datasets"


def read(path):
    with open(path, "rb") as file:
        return file.read()


def names(folder):
    return sorted(os.listdir(folder))


# -- signature and arguments -------------------------------------------------------------------------------------------


def test_signature_is_that_of_keras():
    parameters = inspect.signature(kerasish.utils.get_file).parameters.values()
    assert [(parameter.name, parameter.default) for parameter in parameters] == [
        ("fname", None),
        ("origin", None),
        ("untar", False),
        ("md5_hash", None),
        ("file_hash", None),
        ("cache_subdir", "datasets"),
        ("hash_algorithm", "auto"),
        ("extract", False),
        ("archive_format", "auto"),
        ("cache_dir", None),
        ("force_download", False),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fname": "a"}, "origin=None"),
        ({"origin": "ftp://host/a"}, "'ftp://host/a'"),
        ({"origin": "/etc/hosts"}, "http"),
        ({"origin": "http://host/"}, "names no file"),
        ({"fname": "../a", "origin": "http://host/a"}, r"'\.\./a'"),
        ({"fname": "..", "origin": "http://host/a"}, r"'\.\.'"),
        ({"origin": "http://host/.."}, r"'\.\.'"),
        ({"origin": "http://host/a", "hash_algorithm": "crc"}, "'crc'"),
        ({"origin": "http://host/a", "archive_format": "rar"}, "'rar'"),
    ],
)
def test_wrong_arguments(arguments, message, home):
    with pytest.raises(ValueError, match=message):
        get_file(**arguments)
    assert not home.exists()


# -- download and cache ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hashes",
    [
        {},
        {"file_hash": SHA256},
        {"file_hash": SHA256.upper()},
        {"file_hash": SHA256, "hash_algorithm": "sha256"},
        {"file_hash": MD5},
        {"file_hash": MD5, "hash_algorithm": "md5"},
        {"md5_hash": MD5},
        {"md5_hash": "ignored beside", "file_hash": SHA256},
    ],
)
def test_download_then_cache(server, cache, hashes):
    path = get_file(origin=server.url, **hashes)
    assert path == str(cache / "data.bin")
    assert read(path) == CONTENT
    assert get_file(origin=server.url, **hashes) == path
    assert len(server.requests) == 1
    assert names(cache) == ["data.bin"]


def test_file_is_readable_as_any_other(server, cache):
    plain = cache.parent / "plain"
    path = get_file(origin=server.url)
    plain.touch()
    assert stat.S_IMODE(os.stat(path).st_mode) == stat.S_IMODE(os.stat(plain).st_mode)


def test_names_of_file_and_folders(server, tmp_path):
    cache_dir = tmp_path / "mine"
    assert get_file("n.bin", server.url, cache_dir=cache_dir, cache_subdir="a/b") == str(cache_dir / "a/b/n.bin")
    assert get_file("n.bin", server.url, cache_subdir=tmp_path / "absolute") == str(tmp_path / "absolute" / "n.bin")
    assert get_file(origin=f"{server.url}?v=1#x", cache_dir=cache_dir) == str(cache_dir / "datasets" / "data.bin")


def test_default_cache_is_that_of_keras(server, tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert get_file(origin=server.url) == str(tmp_path / ".keras" / "datasets" / "data.bin")


def test_temporary_folder_when_the_cache_cannot_be_written(server, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.touch()
    expected = tmp_path / "temp" / ".keras" / "datasets" / "data.bin"
    assert get_file(origin=server.url, cache_dir=blocked) == str(expected)
    with pytest.raises(OSError, match="No folder to write to"):
        get_file(origin=server.url, cache_subdir=blocked)


def test_force_download(server):
    path = get_file(origin=server.url)
    server.content = b"new"
    assert read(get_file(origin=server.url)) == CONTENT
    assert get_file(origin=server.url, force_download=True) == path
    assert read(path) == b"new"


def test_cached_file_with_another_hash_is_replaced(server, cache):
    cache.mkdir(parents=True)
    (cache / "data.bin").write_bytes(b"old")
    with pytest.warns(UserWarning, match="downloading it again"):
        path = get_file(origin=server.url, file_hash=SHA256)
    assert read(path) == CONTENT


def test_file_url(tmp_path, cache):
    source = tmp_path / "data.bin"
    source.write_bytes(CONTENT)
    assert read(get_file("copy.bin", source.as_uri(), file_hash=SHA256)) == CONTENT
    source.unlink()
    with pytest.raises(OSError, match="Could not download file:"):
        get_file(origin=source.as_uri())
    assert names(cache) == ["copy.bin"]


def test_progress_is_shown(server, capfd):
    get_file("shown.bin", server.url)
    error = capfd.readouterr().err
    assert "shown.bin" in error
    assert "100%" in error


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_wrong_hash_leaves_nothing(server, cache, algorithm):
    expected = "0" * hashlib.new(algorithm).digest_size * 2
    came = hashlib.new(algorithm, CONTENT).hexdigest()
    with pytest.raises(ValueError, match=f"{server.url}.*{algorithm}: {expected}. Received: {came}"):
        get_file(origin=server.url, file_hash=expected)
    assert names(cache) == []


def test_wrong_hash_keeps_the_file_that_was_there(server, cache):
    path = get_file(origin=server.url)
    server.content = b"hostile"
    with pytest.raises(ValueError, match="not the one expected"):
        get_file(origin=server.url, file_hash=SHA256, force_download=True)
    assert read(path) == CONTENT
    assert names(cache) == ["data.bin"]


def test_404(server, cache):
    with pytest.raises(OSError, match=r"missing\.bin: HTTP Error 404"):
        get_file(origin=server.url.replace("data", "missing"))
    assert names(cache) == []


def test_offline(cache, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        origin = f"http://127.0.0.1:{free.getsockname()[1]}/data.bin"
    with pytest.raises(OSError, match="refused") as caught:
        get_file(origin=origin, file_hash=SHA256)
    for part in (origin, str(cache / "data.bin"), SHA256):
        assert part in str(caught.value)
    assert names(cache) == []


def test_silent_server_times_out(cache, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(files, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(OSError, match="timed out"):
        get_file(origin=f"http://127.0.0.1:{silent.getsockname()[1]}/data.bin")
    assert names(cache) == []


# -- transfers that break off ------------------------------------------------------------------------------------------


def break_off(server, at=100_000, **arguments):
    server.breaks_at = at
    with pytest.raises(OSError, match=f"broke off after {at:,} of 256,000 bytes"):
        get_file(origin=server.url, **arguments)
    server.breaks_at = None
    server.requests.clear()


@pytest.mark.parametrize("hashes", [{}, {"file_hash": SHA256}])
def test_resume(server, cache, hashes):
    break_off(server, 100_000, **hashes)
    (partial,) = names(cache)
    assert partial.endswith(".part")
    break_off(server, 200_000, **hashes)
    assert names(cache) == [partial]
    assert read(get_file(origin=server.url, **hashes)) == CONTENT
    assert [(request["Range"], request["If-Range"]) for request in server.requests] == [("bytes=200000-", MONDAY)]
    assert names(cache) == ["data.bin"]


def test_offline_keeps_what_there_is(server, cache):
    break_off(server)
    server.modified, path = None, server.url
    server.shutdown()
    server.server_close()
    with pytest.raises(OSError, match="Could not download"):
        get_file(origin=path)
    (partial,) = names(cache)
    assert read(cache / partial) == CONTENT[:100_000]


def changed(server):
    server.content, server.modified = CONTENT[::-1], TUESDAY


def no_ranges(server):
    server.ranges = False


def wrong_range(server):
    server.honest = False


def grown_smaller(server):
    server.content = b"short"


@pytest.mark.parametrize("change", [changed, no_ranges, wrong_range, grown_smaller])
def test_starts_again_where_it_cannot_resume(server, cache, change):
    break_off(server)
    change(server)
    assert read(get_file(origin=server.url)) == server.content
    assert names(cache) == ["data.bin"]


def test_nothing_is_kept_that_cannot_be_resumed_safely(server, cache):
    server.modified = None  # then nothing tells whether the file at the server is still the same
    break_off(server)
    assert names(cache) == []


def test_partial_of_another_origin_is_left_alone(server, cache):
    break_off(server)
    get_file(origin=f"{server.url}#other")
    assert "Range" not in server.requests[0]
    assert len(names(cache)) == 2


def test_hash_is_checked_over_the_resumed_whole(server, cache):
    break_off(server)
    (partial,) = names(cache)
    modified = os.stat(cache / partial).st_mtime
    (cache / partial).write_bytes(b"x" * 100_000)
    os.utime(cache / partial, (modified, modified))
    with pytest.raises(ValueError, match="not the one expected"):
        get_file(origin=server.url, file_hash=SHA256)
    assert names(cache) == []


def test_interrupt_from_the_keyboard_can_be_resumed(server, cache, monkeypatch):
    class Bar:
        def __init__(self, **_): ...
        def __enter__(self):
            return self

        def __exit__(self, *_): ...
        def update(self, _):
            raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr("tqdm.tqdm", Bar)
        with pytest.raises(KeyboardInterrupt):
            get_file(origin=server.url)
    assert read(get_file(origin=server.url)) == CONTENT
    assert server.requests[1]["Range"] == f"bytes={files.CHUNK}-"
    assert names(cache) == ["data.bin"]


def test_two_at_once(server, cache):
    """Both may go on from the same partial file; none may write into the other's."""
    break_off(server)
    paths = []
    threads = [threading.Thread(target=lambda: paths.append(get_file(origin=server.url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [read(path) for path in paths] == [CONTENT] * 4
    assert names(cache) == ["data.bin"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"length": "many"}, "the server says that 'many' bytes come"),
        ({"length": "-5"}, "the server says that '-5' bytes come"),
        ({"status": 206}, "sent a part of the file, though it was asked for the whole"),
        ({"modified": "Sat, 01 Jan 99999 00:00:00 GMT", "breaks_at": 10}, "broke off after 10 of"),
    ],
)
def test_answers_that_make_no_sense(server, cache, answer, message):
    vars(server).update(answer)
    with pytest.raises(OSError, match=message):
        get_file(origin=server.url)
    assert names(cache) == []


def test_unknown_length(server):
    server.sized = False
    assert read(get_file(origin=server.url)) == CONTENT


# -- archives ----------------------------------------------------------------------------------------------------------


def member(name, content=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def symlink(name, target):
    return member(name, type=tarfile.SYMTYPE, linkname=target)


def hardlink(name, target):
    return member(name, type=tarfile.LNKTYPE, linkname=target)


def make_tar(path, *members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return path


def make_zip(path, *members):
    with zipfile.ZipFile(path, "w") as archive:
        for info, content in members:
            archive.writestr(zipfile.ZipInfo(info.name), content)
    return path


MEMBERS = (member("top/a.txt", b"a"), member("top/deep/b.txt", b"b"))


@pytest.mark.parametrize(
    ("arguments", "archive", "folder"),
    [
        ({"extract": True}, "data.tar.gz_archive", "data.tar.gz"),
        ({"untar": True}, "data.tar.gz_archive", "data.tar.gz"),
        ({"fname": "mine", "extract": True}, "mine_archive", "mine"),
        ({"fname": "mine.v1.tgz", "extract": True}, "mine.v1.tgz", "mine_extracted"),
        ({"fname": "mine", "extract": True, "archive_format": ["zip", "tar"]}, "mine_archive", "mine"),
        ({"fname": "mine", "extract": True, "archive_format": "tar"}, "mine_archive", "mine"),
    ],
)
def test_extract_tar(tmp_path, cache, arguments, archive, folder):
    origin = make_tar(tmp_path / "data.tar.gz", *MEMBERS).as_uri()
    for _ in range(2):
        assert get_file(origin=origin, **arguments) == str(cache / folder)
    assert (cache / folder / "top" / "deep" / "b.txt").read_text() == "b"
    assert names(cache) == sorted([archive, folder])


@pytest.mark.parametrize("mode", ["w", "w:bz2", "w:xz"])
def test_extract_other_tars(tmp_path, cache, mode):
    get_file("mine", make_tar(tmp_path / "data", *MEMBERS, mode=mode).as_uri(), extract=True)
    assert (cache / "mine" / "top" / "a.txt").read_text() == "a"


def test_extract_zip(tmp_path, cache):
    origin = make_zip(tmp_path / "data.zip", *MEMBERS).as_uri()
    assert get_file("mine.zip", origin, extract=True) == str(cache / "mine_extracted")
    assert (cache / "mine_extracted" / "top" / "deep" / "b.txt").read_text() == "b"


def test_extraction_keeps_what_the_user_put_there(tmp_path, cache):
    origin = make_tar(tmp_path / "data.tgz", *MEMBERS).as_uri()
    get_file("mine", origin, extract=True)
    (cache / "mine" / "notes.txt").write_text("mine")
    (cache / "mine" / "top" / "a.txt").unlink()
    get_file("mine", origin, extract=True)
    assert (cache / "mine" / "notes.txt").read_text() == "mine"
    assert (cache / "mine" / "top" / "a.txt").read_text() == "a"


@pytest.mark.parametrize("archive_format", [None, [], "zip"])
def test_other_format_warns(tmp_path, cache, archive_format):
    origin = make_tar(tmp_path / "data.tgz", *MEMBERS).as_uri()
    with pytest.warns(UserWarning, match="not unpacked"):
        assert get_file("mine", origin, extract=True, archive_format=archive_format) == str(cache / "mine")
    assert names(cache) == ["mine_archive"]


def test_broken_archive_leaves_no_folder(tmp_path, cache):
    whole = make_tar(tmp_path / "data.tar", member("a", b"a" * 2000), mode="w").read_bytes()
    (tmp_path / "data.tar").write_bytes(whole[:1500])
    with pytest.raises(ValueError, match="mine_archive is damaged, or can't be unpacked: unexpected end of data"):
        get_file("mine", (tmp_path / "data.tar").as_uri(), extract=True)
    assert names(cache) == ["mine_archive"]


def encrypted(path):
    data = bytearray(make_zip(path, member("a", b"a")).read_bytes())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)


DAMAGED = {
    "cut off": lambda path: path.write_bytes(make_tar(path, member("a", os.urandom(50_000))).read_bytes()[:20_000]),
    "link to nothing": lambda path: make_tar(path, hardlink("a", "missing")),
    "encrypted": encrypted,
}


@pytest.mark.parametrize("make", DAMAGED.values(), ids=DAMAGED)
def test_damaged_archives_are_told(tmp_path, cache, make):
    make(tmp_path / "data")
    with pytest.raises(ValueError, match="mine_archive is damaged, or can't be unpacked"):
        get_file("mine", (tmp_path / "data").as_uri(), extract=True)
    assert names(cache) == ["mine_archive"]


def test_links_inside_are_kept(tmp_path, cache):
    links = (
        symlink("top/same", "a.txt"),
        symlink("top/deep/up", "../a.txt"),
        symlink("folder", "./top/deep"),
        hardlink("hard", "top/a.txt"),
    )
    get_file("mine", make_tar(tmp_path / "data.tgz", *MEMBERS, *links).as_uri(), extract=True)
    here = cache / "mine"
    assert [(here / name).read_text() for name in ("top/same", "top/deep/up", "folder/b.txt", "hard")] == list("aaba")
    assert os.path.islink(here / "folder")


HOSTILE = {
    "climbs": [member("../evil", b"x")],
    "climbs deep": [member("a/../../evil", b"x")],
    "absolute": [member("/tmp/evil", b"x")],
    "backslashes": [member("..\\evil", b"x")],
    "drive": [member("C:\\evil", b"x")],
    "share": [member("\\\\host\\evil", b"x")],
}
HOSTILE_LINKS = {
    "link up": [symlink("link", "../evil")],
    "link up from depth": [symlink("a/link", "../../evil")],
    "absolute link": [symlink("link", "/etc/passwd")],
    "climb late": [symlink("link", "a/../../evil")],
    "write behind a link": [symlink("a", "."), member("a/evil", b"x")],
    "write behind a link in other letters": [symlink("A", "."), member("./a//evil", b"x")],
    "link in a linked folder": [symlink("d/b", ".."), symlink("d/b/c", "..")],
    "climb through a link": [symlink("a/b", ".."), symlink("c", "a/b/../evil")],
    "hard link up": [hardlink("link", "../evil")],
    "absolute hard link": [hardlink("link", "/etc/passwd")],
    "hard link moves a link": [symlink("a/b/link", "../../c"), hardlink("link", "a/b/link")],
    "hard link behind a link": [symlink("a/b", ".."), hardlink("link", "a/b/c")],
    "pipe": [member("pipe", type=tarfile.FIFOTYPE)],
    "device": [member("device", type=tarfile.CHRTYPE)],
}


@pytest.mark.parametrize(
    ("make", "members"),
    [(make_tar, members) for members in (HOSTILE | HOSTILE_LINKS).values()]
    + [(make_zip, members) for members in HOSTILE.values()],
    ids=[f"tar {name}" for name in HOSTILE | HOSTILE_LINKS] + [f"zip {name}" for name in HOSTILE],
)
def test_hostile_archive_is_refused_before_anything_is_written(tmp_path, cache, make, members):
    origin = make(tmp_path / "data", member("good", b"g"), *members).as_uri()
    with pytest.raises(ValueError, match="mine_archive is unsafe"):
        get_file("mine", origin, extract=True)
    assert names(cache) == ["mine_archive"]
    assert names(tmp_path) == ["data", "home", "temp"]


def test_tar_modes_and_owners_are_not_taken_over(tmp_path, cache):
    origin = make_tar(tmp_path / "data", member("tool", b"x", mode=0o6777, uid=12345)).as_uri()
    get_file("mine", origin, extract=True)
    assert os.stat(cache / "mine" / "tool").st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH) == 0
    assert os.stat(cache / "mine" / "tool").st_uid == os.getuid()


def test_zip_link_becomes_a_plain_file(tmp_path, cache):
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "data", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    get_file("mine", (tmp_path / "data").as_uri(), extract=True)
    assert not os.path.islink(cache / "mine" / "link")


# -- bombs and other surprises -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_bombs_are_refused_before_anything_is_written(tmp_path, cache, make, monkeypatch):
    monkeypatch.setattr(files, "MAX_UNPACKED", 100_000)
    path = make(tmp_path / "data", member("zeros", bytes(300_000)))
    if make is make_zip:  # ZipInfo's default is not to compress
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("zeros", bytes(300_000))
    with pytest.raises(ValueError, match="mine_archive is unsafe.*it would become more than [0-9,]+ bytes, from"):
        get_file("mine", path.as_uri(), extract=True)
    assert names(cache) == ["mine_archive"]
    monkeypatch.setattr(files, "MAX_UNPACKED", 1_000_000)
    get_file("mine", path.as_uri(), extract=True)
    assert (cache / "mine" / "zeros").stat().st_size == 300_000


def test_a_bomb_of_headers_alone_is_refused(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(files, "MAX_UNPACKED", 100_000)
    monkeypatch.setattr(files, "MAX_RATIO", 20)
    path = make_tar(tmp_path / "data", *(member("a") for _ in range(2000)))
    with pytest.raises(ValueError, match="it would become more than"):
        get_file("mine", path.as_uri(), extract=True)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
@pytest.mark.parametrize("first", [[], [member("a")]])
def test_headers_are_not_read_into_memory_whatever_their_size(tmp_path, cache, kind, first):
    size = 8 * files.MAX_HEADER
    path = make_tar(tmp_path / "data", *first, member("x", bytes(size), type=kind))
    tracemalloc.start()
    with pytest.raises(ValueError, match="mine_archive is unsafe.* one of its headers would have 8,388,608 bytes"):
        get_file("mine", path.as_uri(), extract=True)
    assert tracemalloc.get_traced_memory()[1] < size / 2
    tracemalloc.stop()
    assert names(cache) == ["mine_archive"]


def test_large_archives_that_are_no_bombs_are_unpacked(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(files, "MAX_UNPACKED", 1000)
    noise = os.urandom(50_000)
    get_file("mine", make_tar(tmp_path / "data", member("noise", noise)).as_uri(), extract=True)
    assert (cache / "mine" / "noise").read_bytes() == noise


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_no_room_on_the_disk_is_said_before(tmp_path, cache, make, monkeypatch):
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: files.shutil._ntuple_diskusage(100, 90, 10))
    with pytest.raises(OSError, match="of which only 10 are free"):
        get_file("mine", make(tmp_path / "data", member("a", b"a" * 100)).as_uri(), extract=True)
    assert names(cache) == ["mine_archive"]


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_failing_half_way_leaves_nothing(tmp_path, cache, make):
    path = make(tmp_path / "data", member("a", b"a"), member("x" * 300, b"b"))  # longer than a name may be
    with pytest.raises(OSError, match="too long"):
        get_file("mine", path.as_uri(), extract=True)
    assert names(cache) == ["mine_archive"]


def test_long_paths(tmp_path, cache):
    deep = "/".join(["folder" * 10] * 20) + "/a.txt"
    get_file("mine", make_tar(tmp_path / "data", member(deep, b"a")).as_uri(), extract=True)
    assert (cache / "mine" / deep).read_text() == "a"


def test_nothing_is_written_through_links_that_lie_in_the_folder(tmp_path, cache):
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (cache / "mine").mkdir(parents=True)
    (cache / "mine" / "top").symlink_to(outside)
    get_file("mine", make_tar(tmp_path / "data", *MEMBERS).as_uri(), extract=True)
    assert (cache / "mine" / "top" / "a.txt").read_text() == "a"
    assert not (cache / "mine" / "top").is_symlink()
    assert (names(outside), names(outside / "deep")) == (["deep"], [])


def test_files_and_folders_change_places(tmp_path, cache):
    get_file("mine", make_tar(tmp_path / "a", member("x/y", b"1"), member("z", b"2")).as_uri(), extract=True)
    get_file("mine", make_tar(tmp_path / "b", member("x", b"3"), member("z/y", b"4")).as_uri(), extract=True, force_download=True)
    assert ((cache / "mine" / "x").read_text(), (cache / "mine" / "z" / "y").read_text()) == ("3", "4")


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/evil", "file:///etc/hostname", "gopher://127.0.0.1/"])
def test_redirections_to_other_schemes_are_refused(server, cache, monkeypatch, target):
    def redirect(handler):
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.end_headers()

    monkeypatch.setattr(Handler, "do_GET", redirect)
    with pytest.raises(OSError, match="Could not download"):
        get_file(origin=server.url)
    assert names(cache) == []


def test_redirections_are_followed(server, monkeypatch):
    plain = Handler.do_GET

    def redirect(handler):
        if handler.path == "/old.bin":
            handler.send_response(301)
            handler.send_header("Location", "/data.bin")
            handler.end_headers()
        else:
            plain(handler)

    monkeypatch.setattr(Handler, "do_GET", redirect)
    assert read(get_file(origin=server.url.replace("data", "old"), file_hash=SHA256)) == CONTENT
