# SPDX-License-Identifier: LGPL-2.1-or-later
"""System calls of which programs seldom think, but which a disk answers."""

import ctypes
import errno
import mmap
import os
import resource
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.commands import output
from tests.support.commits import commit_directory, init_repository
from tests.support.mounts import Mounted, mounted
from tests.support.trees import write

pytestmark = pytest.mark.mount

DATA = os.urandom(3 << 20) + b"odd end"
COUNT = 1500
NAMES = {b"%04d-" % number + b"n" * (number % 200) for number in range(COUNT)}
LONG = b"\xff" * 255
ODD = [b"\x80\xfe", b"new\nline", "Größe".encode("latin-1"), b" ", b"-", LONG]

_libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    folder = tmp_path_factory.mktemp("programs")
    source = write(folder / "source/data", DATA).parent
    (source / "empty").mkdir()
    for name in sorted(NAMES):
        write(source / "names" / os.fsdecode(name), b"")
    for name in ODD:
        write(source / "odd" / os.fsdecode(name), name)
    for number in range(64):
        write(source / f"many/{number}", os.urandom(30_000))
    commit_directory(init_repository(folder / "repo"), source)
    with mounted(folder / "repo", "main", at=folder / "mnt") as mount:
        yield mount


@pytest.fixture
def data(served: Mounted) -> Iterator[int]:
    fd = os.open(served.path / "data", os.O_RDONLY)
    yield fd
    os.close(fd)


# ---- content


def test_splice(data: int) -> None:
    reader, writer = os.pipe()
    found = b""
    while moved := os.splice(data, writer, 60_000, offset_src=len(found)):
        found += os.read(reader, moved)
    assert found == DATA
    os.close(reader)
    os.close(writer)


def test_copy_file_range(data: int, served: Mounted, tmp_path: Path) -> None:
    """Linux does it on one filesystem only, since 5.19; cp(1) then goes another way."""
    with (
        (tmp_path / "copy").open("wb") as target,
        pytest.raises(OSError, match="Invalid cross-device link"),
    ):
        os.copy_file_range(data, target.fileno(), 1000, 3)
    output("cp", "--reflink=auto", served.path / "data", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == DATA


def test_nothing_shared_can_be_written(data: int) -> None:
    with pytest.raises(PermissionError):
        mmap.mmap(data, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    with mmap.mmap(data, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ) as shared:
        assert shared[-7:] == b"odd end"


def test_direct_reads_pass_the_page_cache(served: Mounted) -> None:
    """And need no alignment."""
    fd = os.open(served.path / "data", os.O_RDONLY | os.O_DIRECT)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    for offset, size in [(0, 1 << 20), (1, 4096), (len(DATA) - 3, 4096), (len(DATA), 1)]:
        assert os.pread(fd, size, offset) == DATA[offset : offset + size]
    whole = bytearray(len(DATA) + 10)
    assert os.preadv(fd, [whole], 0) == len(DATA)
    assert whole[: len(DATA)] == DATA
    assert not any(resident_pages(fd))
    os.close(fd)
    (served.path / "data").read_bytes()
    fd = os.open(served.path / "data", os.O_RDONLY)
    assert all(resident_pages(fd))
    os.close(fd)


def resident_pages(fd: int) -> list[int]:
    """Which pages of a file the page cache holds, see mincore(2)."""
    size = os.fstat(fd).st_size
    with mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE) as mapped:
        pages = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
        address = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        assert _libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), pages) == 0
        return [page & 1 for page in pages]


def test_seek_to_data_and_holes(data: int) -> None:
    assert os.lseek(data, 10, os.SEEK_DATA) == 10
    assert os.lseek(data, 10, os.SEEK_HOLE) == len(DATA)
    with pytest.raises(OSError, match="No such device or address"):
        os.lseek(data, len(DATA), os.SEEK_DATA)


# ---- statx(2)


@pytest.mark.parametrize("sync", [0, 0x2000, 0x4000])
def test_statx(served: Mounted, sync: int) -> None:
    """As it stands in the cache, or asked of the daemon."""
    path = served.path / "data"
    buffer = ctypes.create_string_buffer(256)
    called = _libc.statx(-100, os.fsencode(path), sync, 0x7FF, buffer)
    assert called == 0, os.strerror(ctypes.get_errno())
    mask, blksize, _, nlink, uid, gid, mode, _, ino, size, blocks = struct.unpack_from(
        "=IIQIIIHHQQQ", buffer
    )
    facts = path.stat()
    assert mask & 0x7FF == 0x7FF
    assert (oct(mode), size, blocks) == ("0o100644", len(DATA), -(-len(DATA) // 512))
    assert (ino, mode, nlink, uid, gid, size) == (facts.st_ino, facts.st_mode, *facts[3:7])
    assert (blksize, blocks) == (facts.st_blksize, facts.st_blocks)


# ---- getdents64(2), lseek(2)


class Dirent(NamedTuple):
    """An entry, and the position after it."""

    name: bytes
    inode: int
    position: int


def getdents(fd: int, size: int) -> list[Dirent]:
    """What one call gives; raises `OSError`."""
    buffer = ctypes.create_string_buffer(size)
    length = _libc.getdents64(fd, buffer, ctypes.c_size_t(size))
    if length < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    found = []
    start = 0
    data = memoryview(buffer)
    while start < length:
        inode, position, record, _ = struct.unpack_from("=QqHB", buffer, start)
        name = bytes(data[start + 19 : start + record]).partition(b"\0")[0]
        found.append(Dirent(name, inode, position))
        start += record
    return found


def read_all(fd: int, size: int) -> list[Dirent]:
    found = []
    while entries := getdents(fd, size):
        found += entries
    return [entry for entry in found if entry.name not in {b".", b".."}]


@pytest.mark.parametrize("size", [232, 300, 1024, 4096, 65536, 4 << 20])
def test_directories_by_any_buffer(served: Mounted, size: int) -> None:
    fd = os.open(served.path / "names", os.O_RDONLY)
    entries = read_all(fd, size)
    assert len(entries) == COUNT
    assert {entry.name for entry in entries} == NAMES
    assert getdents(fd, size) == [], "the end stays the end"
    os.close(fd)


def test_a_buffer_that_is_too_small(served: Mounted) -> None:
    fd = os.open(served.path / "odd", os.O_RDONLY)
    with pytest.raises(OSError, match="Invalid argument"):
        read_all(fd, 60)
    assert {entry.name for entry in read_all(fd, 1024)} >= {LONG}, "and the next one goes on"
    os.close(fd)


def test_any_position_can_be_sought(served: Mounted) -> None:
    fd = os.open(served.path / "names", os.O_RDONLY)
    entries = read_all(fd, 65536)
    for index in (700, 3, COUNT - 1, 127, 128, 0, 1200):
        os.lseek(fd, entries[index].position, os.SEEK_SET)
        assert os.lseek(fd, 0, os.SEEK_CUR) == entries[index].position
        for size in (500, 65536):
            os.lseek(fd, entries[index].position, os.SEEK_SET)
            assert read_all(fd, size) == entries[index + 1 :]
    os.lseek(fd, 0, os.SEEK_SET)
    assert read_all(fd, 4096) == entries
    other = os.open(served.path / "names", os.O_RDONLY)
    os.lseek(other, entries[900].position, os.SEEK_SET)
    assert read_all(other, 4096) == entries[901:], "another one has the same positions"
    for position in (1 << 40, COUNT + 5):
        os.lseek(fd, position, os.SEEK_SET)
        assert read_all(fd, 4096) == []
    os.close(other)
    os.close(fd)


def test_every_directory_lists_itself_and_the_one_above(served: Mounted) -> None:
    """First, as on most disks; there are programs that pass over the first two of a directory."""
    root, fd = os.open(served.path, os.O_RDONLY), os.open(served.path / "odd", os.O_RDONLY)
    for opened, above in ((fd, root), (root, root)):
        first, second = getdents(opened, 4096)[:2]
        numbers = [os.fstat(opened).st_ino, os.fstat(above).st_ino]
        assert [(first.name, first.inode), (second.name, second.inode)] == [
            (b".", numbers[0]),
            (b"..", numbers[1]),
        ]
    listed = output("ls", "-a", served.path / "odd").split(b"\n")
    assert {b".", b".."} <= set(listed)
    os.close(fd)
    os.close(root)


def test_inode_numbers_of_entries(served: Mounted) -> None:
    fd = os.open(served.path / "odd", os.O_RDONLY)
    for entry in read_all(fd, 4096):
        assert os.stat(entry.name, dir_fd=fd).st_ino == entry.inode
    os.close(fd)


# ---- names


def test_names(served: Mounted) -> None:
    folder = os.fsencode(served.path / "odd")
    assert sorted(os.listdir(folder)) == sorted(ODD)
    for name in ODD:
        with open(folder + b"/" + name, "rb") as file:
            assert file.read() == name
    environment = {"LC_ALL": "C", "PATH": os.environ["PATH"]}
    assert LONG in output("ls", "-f", folder, env=environment).split(b"\n")


@pytest.mark.parametrize("name", [b"x" * 256, LONG + b"\xff", b"y" * 4000])
def test_names_that_are_too_long(served: Mounted, name: bytes) -> None:
    for path in (name, b"odd/" + name, name + b"/x"):
        with pytest.raises(OSError, match="File name too long") as caught:
            os.stat(os.fsencode(served.path) + b"/" + path)
        assert caught.value.errno == errno.ENAMETOOLONG
    with pytest.raises(FileNotFoundError):
        os.stat(os.fsencode(served.path) + b"/" + name[:255])


# ---- much at once


def test_four_thousand_open_files(served: Mounted) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 5000:
        pytest.skip("needs a limit of 5000 open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 5000), hard))
    contents = [(served.path / f"many/{number}").read_bytes() for number in range(64)]
    try:
        with ExitStack() as stack:
            files = [
                stack.enter_context((served.path / f"many/{number % 64}").open("rb"))
                for number in range(4000)
            ]
            for number, file in enumerate(files):
                assert os.pread(file.fileno(), 100, 500) == contents[number % 64][500:600]
            assert (served.path / "data").read_bytes() == DATA
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_sixty_four_threads(served: Mounted) -> None:
    paths = sorted(served.path.glob("many/*"))
    objects = sorted(served.path.with_name("repo").glob("objects/*/*"))
    wanted = sorted(sha256(path.read_bytes()).digest() for path in objects)
    for path in (*objects, *paths):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    found: list[object] = []
    start = threading.Barrier(64)

    def read(first: int) -> None:
        try:
            start.wait(30)
            turned = paths[first:] + paths[:first]
            digests = [sha256(path.read_bytes()).digest() for path in turned]
            digests.append(sha256((served.path / "data").read_bytes()).digest())
            found.append(set(digests) <= set(wanted) and len(set(digests)) == 65)
        except Exception as error:  # noqa: BLE001 -- shown by the test
            found.append(error)

    threads = [threading.Thread(target=read, args=[first]) for first in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 64
    served.check_alive()
