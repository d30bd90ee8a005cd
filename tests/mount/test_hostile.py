# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a mount must live through: a repository that changes under it, bad names, floods.

Whatever comes, there is an errno, no hang, and the mount goes on.
"""

import ctypes
import errno
import mmap
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import pytest

from ostreefs.fuse import control
from ostreefs_store.model import Digest
from ostreefs_store.repository import Repository
from tests.support.commands import ostreefs_output
from tests.support.commits import (
    EMPTY_FILE,
    Content,
    commit_directory,
    init_repository,
    put_commit,
)
from tests.support.mounts import Mounted, is_mounted, mounted, mounted_in_background, unmount
from tests.support.trees import list_tree, make_small_tree, write

pytestmark = pytest.mark.mount

_libc = ctypes.CDLL(None, use_errno=True)


def make_up(repository: Path, **commits: Content) -> dict[str, Digest]:
    """Commits without sources, each on a branch."""
    with (
        Repository.open(repository, writable=True) as opened,
        opened.index.transaction() as transaction,
    ):
        return {
            name: put_commit(transaction, content, branch=name)
            for name, content in commits.items()
        }


def set_refs(repository: Path, commit: Digest, *refs: str) -> None:
    """Write refs as no command would."""
    with (
        Repository.open(repository, writable=True) as opened,
        opened.index.transaction() as transaction,
    ):
        for ref in refs:
            transaction.set_ref(ref, commit)


# ---- the index


@pytest.mark.parametrize("words", [["main"], ["--all"], ["--follow", "main"]])
@pytest.mark.parametrize("how", ["removed", "replaced", "renamed over"])
def test_an_index_that_goes(tmp_path: Path, how: str, words: list[str]) -> None:
    """The daemon goes on with the one that it has opened."""
    source = make_small_tree(tmp_path / "source")
    repository = init_repository(tmp_path / "repo")
    commit_directory(repository, source)
    with mounted(repository, *words, at=tmp_path / "mnt") as mount:
        root = mount.path / "refs/main" if words == ["--all"] else mount.path
        assert len(os.listdir(root)) == len(os.listdir(source))
        other = init_repository(tmp_path / "other")
        make_up(other, main={b"else": EMPTY_FILE})
        if how == "renamed over":
            (other / "index/data.mdb").rename(repository / "index/data.mdb")
        else:
            (repository / "index").rename(tmp_path / "gone")
        if how == "replaced":
            shutil.copytree(other / "index", repository / "index")
        assert list_tree(root) == list_tree(source)
        if os.geteuid() == 0:
            forget_all(mount)
            assert list_tree(root) == list_tree(source)


@pytest.mark.parametrize("words", [["main"], ["--all"], ["--follow", "main"]])
@pytest.mark.parametrize("how", ["cut to nothing", "cut by half", "zeros", "other bytes"])
def test_an_index_that_is_spoilt(tmp_path: Path, how: str, words: list[str]) -> None:
    """To read what was cut off from a map of the file would kill the daemon. It is mended then."""
    source = make_small_tree(tmp_path / "source")
    repository = init_repository(tmp_path / "repo")
    commit_directory(repository, source)
    data = repository / "index/data.mdb"
    whole = data.read_bytes()
    with mounted(repository, *words, at=tmp_path / "mnt") as mount:
        root = mount.path / "refs/main" if words == ["--all"] else mount.path
        mount.expect("data.mdb was cut off" if "cut" in how else "repo/index cannot be read")
        if "cut" in how:
            os.truncate(data, 0 if how.endswith("nothing") else len(whole) // 2)
        else:
            overwrite(data, (b"\0" if how == "zeros" else b"Z") * len(whole))
        for _ in range(3):
            with pytest.raises(OSError, match="Input/output error"):
                os.listdir(root)
        mount.check_alive()
        overwrite(data, whole)
        assert list_tree(root) == list_tree(source)


def overwrite(path: Path, data: bytes) -> None:
    with path.open("r+b") as file:
        file.write(data)


# ---- the disk


@pytest.mark.root
@pytest.mark.parametrize("words", [["main"], ["--all"]])
def test_a_disk_that_is_full_and_then_read_only(tmp_path: Path, words: list[str]) -> None:
    source = make_small_tree(tmp_path / "source")
    with small_disk(tmp_path / "disk") as disk:
        repository = init_repository(disk / "repo")
        commit_directory(repository, source)
        with suppress(OSError), (disk / "fill").open("wb", buffering=0) as fill:
            while True:
                fill.write(bytes(4096))
        assert os.statvfs(disk).f_bavail < 8
        for option in ("rw", "ro"):
            subprocess.run(["mount", "-o", f"remount,{option}", disk], check=True)
            with mounted(repository, *words, at=tmp_path / "mnt") as mount:
                root = mount.path / "refs/main" if words == ["--all"] else mount.path
                assert list_tree(root) == list_tree(source)
                forget_all(mount)
                assert list_tree(root) == list_tree(source)


@contextmanager
def small_disk(at: Path) -> Iterator[Path]:
    at.mkdir()
    image = at.with_name("image")
    with image.open("wb") as file:
        file.truncate(24 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, at], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", at], check=True)


# ---- the daemon


def test_killed_with_files_open(tmp_path: Path) -> None:
    content = os.urandom(200_000)
    source = write(tmp_path / "source/d/file", content).parents[1]
    repository = init_repository(tmp_path / "repo")
    commit_directory(repository, source)
    with pytest.raises(AssertionError, match="status -9"):  # noqa: PT012, SIM117 -- the fixture fails
        with mounted(repository, "main", at=tmp_path / "mnt") as mount:
            folder = os.open(mount.path / "d", os.O_RDONLY)
            file = os.open(mount.path / "d/file", os.O_RDONLY)
            direct = os.open(mount.path / "d/file", os.O_RDONLY | os.O_DIRECT)
            mapped = mmap.mmap(file, 0, prot=mmap.PROT_READ)
            assert mapped[:] == content
            assert mount.process is not None
            mount.process.kill()
            mount.process.wait()
            assert mapped[:] == content, "what is cached stays"
            for use in (
                lambda: os.pread(direct, 10, 0),
                lambda: os.listdir(folder),
                lambda: os.listdir(mount.path),
                lambda: os.open("file", os.O_RDONLY, dir_fd=folder),
                lambda: os.statvfs(mount.path),
                lambda: os.getxattr(mount.path / "d", "user.ostreefs.object"),
            ):
                with pytest.raises(OSError, match="Transport endpoint is not connected") as caught:
                    use()
                assert caught.value.errno == errno.ENOTCONN
            mapped.close()
            for fd in (folder, file, direct):
                with suppress(OSError):
                    os.close(fd)
            unmount(mount)
            assert not is_mounted(mount.path)


# ---- names


def test_names_of_the_namespace_itself(tmp_path: Path) -> None:
    repository = init_repository(tmp_path / "repo")
    own = ("commits", "refs", "history", "by-date")
    content: Content = {name.encode(): EMPTY_FILE for name in own} | {b"0": {b"x": EMPTY_FILE}}
    commit = make_up(repository, main=content)["main"]
    prefix = commit.hex()[:8]
    set_refs(repository, commit, *own, prefix, "f/0", "f/00", "0", commit.hex()[:60])
    with mounted(repository, "--all", at=tmp_path / "mnt") as mount:
        assert sorted(os.listdir(mount.path)) == sorted(own)
        assert os.listdir(mount.path / "commits") == [commit.hex()]
        wanted = sorted(name.decode() for name in content)
        for path in (
            f"commits/{prefix}",
            f"refs/{prefix}",
            f"refs/{commit.hex()[:60]}",
            "refs/commits",
            "refs/refs",
            "refs/f/00",
            "history/refs/0",
            "history/f/0/0",
            "history/0/0",
            f"history/{prefix}/0",
        ):
            assert os.path.realpath(mount.path / path) == f"{mount.path}/commits/{commit.hex()}"
            assert sorted(os.listdir(mount.path / path)) == wanted
            assert (mount.path / path / "refs").read_bytes() == b""
        with pytest.raises(FileNotFoundError):
            os.stat(mount.path / "history/0/00")
    with mounted(repository, prefix, at=tmp_path / "mnt") as mount:
        assert sorted(os.listdir(mount.path)) == wanted


HOSTILE = [
    ".",
    "..",
    "../../etc",
    "a/../b",
    "a//b",
    "/abs",
    "end/",
    "x" * 300,
    "new\nline",
    "ü",
    "q/.",
]


@pytest.mark.parametrize("ref", HOSTILE)
def test_refs_that_no_command_would_make(tmp_path: Path, ref: str) -> None:
    """What cannot be a name is not shown; the others are there."""
    repository = init_repository(tmp_path / "repo")
    commit = make_up(repository, main={b"file": EMPTY_FILE})["main"]
    set_refs(repository, commit, "q/other", ref)
    with mounted(repository, "--all", at=tmp_path / "mnt") as mount:
        for top in ("refs", "history"):
            for _ in range(2):
                assert {"main", "q"} <= set(os.listdir(mount.path / top))
                assert "other" in os.listdir(mount.path / top / "q")
            for folder, names, _ in os.walk(mount.path / top, followlinks=False):
                assert {".", "..", ""}.isdisjoint(names), folder
        assert os.listdir(mount.path / "refs/main") == ["file"]
        assert os.listdir(mount.path / "history/main/0") == ["file"]
        assert (mount.path / "refs").stat().st_ino != mount.path.stat().st_ino


def test_names_that_are_asked_for(tmp_path: Path) -> None:
    """By whoever looks for what is not there."""
    repository = init_repository(tmp_path / "repo")
    commit = make_up(repository, main={b"file": EMPTY_FILE})["main"]
    long = "/".join(["x" * 200, "y" * 200])
    set_refs(repository, commit, long, f"{long}z/a")
    ones = [
        b"\xff",
        b"%s",
        b"a b",
        b"\n",
        b"9" * 255,
        b"f" * 255,
        b"0" * 64,
        commit.hex().encode(),
    ]
    with mounted(repository, "--all", at=tmp_path / "mnt") as mount:
        base = os.fsencode(mount.path)
        for folder in (
            b"commits",
            b"refs",
            b"history",
            b"by-date",
            b"history/main",
            b"by-date/1970-01-01",
            b"refs/" + long.partition("/")[0].encode(),
            b"refs/" + long.encode() + b"z",
            b"history/" + long.encode(),
        ):
            names = ones[:-1] if folder == b"commits" else ones
            for name in [*names, name_of(folder), b"z" * 255]:
                with pytest.raises(FileNotFoundError):
                    os.stat(base + b"/" + folder + b"/" + name)
            assert os.listdir(base + b"/" + folder) != []


def name_of(folder: bytes) -> bytes:
    return folder.rpartition(b"/")[2] + b"~"


# ---- floods


@pytest.mark.root
def test_floods_of_forgetting(tmp_path: Path) -> None:
    """The kernel drops all that it can, again and again, while somebody walks."""
    source = make_small_tree(tmp_path / "source")
    for number in range(150):
        write(source / f"flood/{number % 20}/{number}/file", b"%d" % number)
    repository = init_repository(tmp_path / "repo")
    commit_directory(repository, source)
    wanted = list_tree(source)
    with mounted(repository, "main", at=tmp_path / "mnt") as mount:
        end = threading.Event()
        floods = []

        def flood() -> None:
            while not end.is_set():
                forget_all(mount)
                floods.append(1)

        thread = threading.Thread(target=flood)
        thread.start()
        try:
            for _ in range(3):
                assert list_tree(mount.path) == wanted
        finally:
            end.set()
            thread.join()
        assert len(floods) > 2
        Path("/proc/sys/vm/drop_caches").write_text("2")
        assert list_tree(mount.path) == wanted


def forget_all(mount: Mounted) -> None:
    """Let the kernel drop every name and inode of the mount that nobody uses."""
    subprocess.run(["mount", "-i", "-o", "remount,ro", mount.path], check=True)


@pytest.mark.parametrize("where", ["root", "below"])
def test_a_switch_while_a_large_directory_is_read(tmp_path: Path, where: str) -> None:
    count = 100_000 if where == "root" else 5_000
    repository = init_repository(tmp_path / "repo")
    trees: dict[str, Content] = {}
    for branch in ("one", "two"):
        names = {b"%s%06d" % (branch.encode(), number): EMPTY_FILE for number in range(count)}
        trees[branch] = names if where == "root" else {b"d": names}
    make_up(repository, **trees)
    with mounted_in_background(repository, "one", at=tmp_path / "mnt") as mount:
        path = mount.path / "d" if where == "below" else mount.path
        fd = os.open(path, os.O_RDONLY)
        assert [getdents(fd, 40), getdents(fd, 40)] == [[b"."], [b".."]]
        found: list[bytes] = []
        while piece := getdents(fd, 40 if len(found) < 1000 else 1 << 20):
            found += piece
            if len(found) == 501:  # so small a buffer holds one entry
                ostreefs_output("switch", mount.path, "two")
        os.close(fd)
        assert len(set(found)) == len(found) == count
        assert all(name.startswith(b"one") for name in found)
        shown = control.ask(mount.path, {"verb": "status"})["commit"]
        assert os.getxattr(mount.path, "user.ostreefs.commit").decode() == shown
        with os.scandir(path) as entries:
            assert all(entry.name.startswith("two") for entry in islice(entries, 5000))
        assert (path / f"two{count - 1:06}").read_bytes() == b""
        assert not (path / "one000000").exists()


def getdents(fd: int, size: int) -> list[bytes]:
    """The names that one call of getdents64(2) gives."""
    buffer = ctypes.create_string_buffer(size)
    length = _libc.getdents64(fd, buffer, ctypes.c_size_t(size))
    if length < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    names = []
    start = 0
    data = memoryview(buffer)
    while start < length:
        record = int.from_bytes(data[start + 16 : start + 18], "little")
        name = bytes(data[start + 19 : start + record]).partition(b"\0")[0]
        names.append(name)
        start += record
    return names
