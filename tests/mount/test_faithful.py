# SPDX-License-Identifier: LGPL-2.1-or-later
"""A mount shows what was committed: for us, and for diff, rsync and tar."""

import ast
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostreefs_store.model import Digest, RegularFile
from ostreefs_store.objects import Mode, object_name
from ostreefs_store.repository import Repository
from tests.support.commands import Account, output
from tests.support.commits import (
    EMPTY_FILE,
    commit_directory,
    init_repository,
    put_commit,
    put_file,
)
from tests.support.mounts import Mounted, mounted, mounted_in_background
from tests.support.trees import (
    Listing,
    list_tree,
    make_awkward_names,
    make_privileged_tree,
    make_small_tree,
    make_sparse,
    remove_tree,
    tool_differences,
)

pytestmark = pytest.mark.mount

GIB = 1 << 30
LIBC = ctypes.CDLL(None, use_errno=True)


def assert_same(shown: Listing, source: Listing) -> None:
    """Compare path by path, so that a failure can be read."""
    assert sorted(shown) == sorted(source)
    differing = {path: (shown[path], source[path]) for path in source}
    assert not {path: pair for path, pair in differing.items() if pair[0] != pair[1]}


# ---- every kind of file


@pytest.mark.root
@pytest.mark.parametrize("mode", ["bare", "bare-user"])
def test_every_kind_of_file(tmp_path: Path, mode: Mode) -> None:
    source = make_privileged_tree(tmp_path / "source")
    repository = init_repository(tmp_path / "repo", mode)
    commit_directory(repository, source)
    with mounted(repository, "main", "-o", "suid,dev", at=tmp_path / "mnt") as mount:
        assert_same(list_tree(mount.path), list_tree(source))
        assert not tool_differences(source, mount.path, hardlinks=True)


def test_what_anybody_can_make(tmp_path: Path) -> None:
    source = make_small_tree(tmp_path / "source")
    make_awkward_names(source / "names")
    os.setxattr(source / "bin", "user.x", b"1")
    repository = init_repository(tmp_path / "repo")
    commit_directory(repository, source)
    with mounted_in_background(repository, "main", at=tmp_path / "mnt") as mount:
        assert_same(list_tree(mount.path), list_tree(source))
        assert not tool_differences(source, mount.path, hardlinks=True)


STAT_ALL = """
import os, sys
os.chdir(sys.argv[1])
found = {}
for folder, folders, files in os.walk(b"."):
    for name in folders + files:
        path = os.path.join(folder, name)
        try:
            s = os.lstat(path)
        except PermissionError:
            continue
        found[path] = (s.st_mode, s.st_uid, s.st_gid, s.st_rdev,
                       0 if os.path.isdir(path) else s.st_size)
print(found)
"""


@pytest.mark.root
def test_true_metadata_for_an_ordinary_user(user: Account) -> None:
    """What root had committed, from a bare-user repository that an ordinary user serves."""
    assert user.home is not None
    source = make_privileged_tree(user.home / "source")
    source.chmod(0o755)
    repository = init_repository(user.home / "repo")
    commit_directory(repository, source)
    output("chown", "-R", str(user.uid), repository)
    with mounted(repository, "main", at=user.home / "mnt", account=user) as mount:
        shown, expected = (
            ast.literal_eval(output(user.python, "-c", STAT_ALL, path, account=user).decode())
            for path in (mount.path, source)
        )
    assert len(expected) > 80
    assert any(facts[1] == 0o4755 for facts in expected.values())
    assert shown == expected
    remove_tree(source)


def test_hard_links_are_shown_as_single_files(tmp_path: Path) -> None:
    source = make_small_tree(tmp_path / "source")
    os.link(source / "usr/lib/same", source / "usr/lib/linked")
    repository = init_repository(tmp_path / "repo")
    commit_directory(repository, source)
    with mounted(repository, "main", at=tmp_path / "mnt") as mount:
        one, two = ((mount.path / "usr/lib" / name).stat() for name in ("same", "linked"))
        assert (one.st_nlink, two.st_nlink) == (1, 1)
        assert one.st_ino == two.st_ino
        assert (mount.path / "usr").stat().st_nlink == 1
        assert not tool_differences(source, mount.path, hardlinks=False)


def test_times_are_zero(small: Mounted) -> None:
    for path in (small.path, small.path / "bin", small.path / "usr/lib/same"):
        facts = path.lstat()
        assert (facts.st_mtime_ns, facts.st_ctime_ns, facts.st_atime_ns) == (0, 0, 0)


# ---- large directories


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    """Directories of 100,000 and of 2,000 entries, most of them alike."""
    folder = tmp_path_factory.mktemp("wide")
    repository = init_repository(folder / "repo")
    with (
        Repository.open(repository, writable=True) as opened,
        opened.index.transaction() as transaction,
    ):
        empty = put_file(transaction, EMPTY_FILE)
        content = {
            name: {b"%06d%s" % (number, b"x" * (number % 200)): empty for number in range(size)}
            for name, size in ((b"huge", 100_000), (b"large", 2_000))
        }
        put_commit(transaction, content, branch="main")
    with mounted(repository, "main", at=folder / "mnt") as mount:
        yield mount


def wide_names(size: int) -> list[str]:
    return [f"{number:06d}" + "x" * (number % 200) for number in range(size)]


def test_a_directory_of_100_000_entries(wide: Mounted) -> None:
    assert os.listdir(wide.path / "huge") == wide_names(100_000)
    assert (wide.path / "huge/099999").name + "x" * 199 == wide_names(100_000)[-1]
    assert (wide.path / "huge" / wide_names(100_000)[-1]).stat().st_size == 0


def getdents(fd: int, size: int) -> list[str]:
    """One getdents64(2) with a buffer of this size."""
    buffer = ctypes.create_string_buffer(size)
    got = LIBC.getdents64(fd, buffer, ctypes.c_size_t(size))
    if got < 0:
        raise OSError(ctypes.get_errno(), "getdents64")
    names, offset = [], 0
    while offset < got:
        length = int.from_bytes(buffer.raw[offset + 16 : offset + 18], "little")
        names.append(buffer.raw[offset + 19 : offset + length].split(b"\0")[0].decode())
        offset += length
    return names


@pytest.mark.parametrize(
    ("name", "count", "size"), [("large", 2000, 280), ("huge", 100_000, 4096)]
)
def test_small_buffers(wide: Mounted, name: str, count: int, size: int) -> None:
    fd = os.open(wide.path / name, os.O_RDONLY | os.O_DIRECTORY)
    found: list[str] = []
    while names := getdents(fd, size):
        found += names
    os.close(fd)
    assert [one for one in found if one not in {".", ".."}] == wide_names(count)


def test_seekdir_and_rewinddir(wide: Mounted) -> None:
    LIBC.opendir.restype = LIBC.readdir.restype = ctypes.c_void_p
    LIBC.telldir.restype = ctypes.c_long

    def read() -> str:
        entry = LIBC.readdir(ctypes.c_void_p(stream))
        return ctypes.string_at(entry + 19).decode() if entry else ""

    stream = LIBC.opendir(os.fsencode(wide.path / "large"))
    positions = {}
    while True:
        position = LIBC.telldir(ctypes.c_void_p(stream))
        if not (name := read()):
            break
        positions[name] = position
    assert {*positions} - {".", ".."} == {*wide_names(2000)}
    for name in (wide_names(2000)[number] for number in (1999, 0, 1000, 1001, 3, 129)):
        LIBC.seekdir(ctypes.c_void_p(stream), ctypes.c_long(positions[name]))
        assert read() == name
    LIBC.rewinddir(ctypes.c_void_p(stream))
    assert {read() for _ in range(len(positions))} == {*positions}
    LIBC.closedir(ctypes.c_void_p(stream))


# ---- large files


def test_a_file_beyond_4_gib(tmp_path: Path) -> None:
    repository = init_repository(tmp_path / "repo")
    size = 5 * GIB + 12345
    marks = {offset: f"<{offset}>".encode() for offset in (0, 2 * GIB - 5, 4 * GIB - 3, size - 12)}
    # What its content's digest is, a mount does not ask.
    file = RegularFile(0o644, 0, 0, (), Digest(b"c" * 32), size)
    with Repository.open(repository, writable=True) as opened:
        with opened.index.transaction() as transaction:
            put_commit(transaction, {b"huge": file}, branch="main")
            digest = put_file(transaction, file)
        make_sparse(opened.objects.path / object_name(digest), size, marks)
    with mounted(repository, "main", at=tmp_path / "mnt") as mount:
        path = mount.path / "huge"
        assert path.stat().st_size == size
        assert path.stat().st_blocks * 512 >= size
        with path.open("rb") as opened_file:
            for offset, mark in marks.items():
                assert os.pread(opened_file.fileno(), len(mark), offset) == mark
            assert os.pread(opened_file.fileno(), 1 << 20, size) == b""
            assert os.pread(opened_file.fileno(), 4096, 3 * GIB + 77) == bytes(4096)
            opened_file.seek(-5, os.SEEK_END)
            assert opened_file.read() == marks[size - 12][-5:].ljust(5, b"\0")


def test_a_large_file_whole(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    data = os.urandom(1 << 20) * 40 + b"odd end"
    (tmp_path / "source/large").write_bytes(data)
    repository = init_repository(tmp_path / "repo")
    commit_directory(repository, tmp_path / "source")
    with mounted(repository, "main", at=tmp_path / "mnt") as mount:
        assert (mount.path / "large").read_bytes() == data
