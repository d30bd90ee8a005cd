# SPDX-License-Identifier: LGPL-2.1-or-later
"""The handlers, called as pyfuse3 calls them. Most of `readdir` is seen through a mount alone."""

import errno
import logging
import os
import resource
import stat
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyfuse3
import pytest
from pyfuse3 import (
    EntryAttributes,
    FileHandleT,
    FileInfo,
    FileNameT,
    FlagT,
    FUSEError,
    InodeT,
    ModeT,
    RequestContext,
    SetattrFields,
    XAttrNameT,
)

from ostreefs.fuse.operations import Operations
from ostreefs.fuse.tree import ROOT, Namespace
from ostreefs.fuse.verify import OpenVerifier
from ostreefs_store.model import Digest
from ostreefs_store.objects import object_name
from ostreefs_store.repository import Repository
from tests.support.commits import EMPTY_FILE, commit_directory, init_repository, put_commit

# What pyfuse3 hands in cannot be made by hand, and no handler looks at it.
CTX = cast("RequestContext", SimpleNamespace())
CONTENT = bytes(range(256)) * 5000


class Served:
    """Handlers over a commit, by path."""

    def __init__(self, repository: Repository) -> None:
        with repository.index.snapshot() as snapshot:
            commit = snapshot.find_ref("main")
        assert commit is not None
        self.repository = repository
        self.commit = commit
        self.namespace = Namespace(repository, commit)
        self.operations = Operations(repository, self.namespace)

    async def lookup(self, *names: bytes) -> EntryAttributes:
        entry = await self.operations.getattr(InodeT(ROOT), CTX)
        for name in names:
            entry = await self.operations.lookup(entry.st_ino, FileNameT(name), CTX)
        return entry

    async def inode(self, *names: bytes) -> InodeT:
        return (await self.lookup(*names)).st_ino

    async def open(self, *names: bytes, flags: int = os.O_RDONLY) -> FileInfo:
        return await self.operations.open(await self.inode(*names), FlagT(flags), CTX)

    def object_path(self, inode: int) -> Path:
        digest, _ = self.namespace.file(inode)
        return self.repository.objects.path / object_name(digest)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    source = tmp_path / "source"
    (source / "dir/inner").mkdir(parents=True)
    (source / "file").write_bytes(CONTENT)
    (source / "empty").touch()
    (source / "file").chmod(0o750)
    (source / "link").symlink_to("dir/inner")
    os.mkfifo(source / "fifo")
    os.setxattr(source / "file", "user.note", b"value")
    os.setxattr(source / "dir", "user.none", b"")
    commit_directory(init_repository(tmp_path / "repo"), source)
    with Repository.open(tmp_path / "repo") as repository:
        yield Served(repository)


async def fails(work: Coroutine[Any, Any, object]) -> int:
    """The errno that the kernel gets."""
    with pytest.raises(FUSEError) as caught:
        await work
    return caught.value.errno


async def test_attributes(served: Served) -> None:
    entry = await served.lookup(b"file")
    assert entry.st_mode == stat.S_IFREG | 0o750
    assert entry.st_size == len(CONTENT)
    assert entry.st_nlink == 1
    assert (entry.st_uid, entry.st_gid) == (os.geteuid(), os.getegid())
    assert entry.st_mtime_ns == entry.st_ctime_ns == entry.st_atime_ns == 0
    assert (entry.st_blocks - 1) * 512 < len(CONTENT) <= entry.st_blocks * 512
    again = await served.operations.getattr(entry.st_ino, CTX)
    assert (again.st_ino, again.st_mode, again.st_size) == (
        entry.st_ino,
        entry.st_mode,
        entry.st_size,
    )
    assert (await served.lookup(b"dir")).st_nlink == 1


async def test_the_kernel_may_keep_what_cannot_change(served: Served) -> None:
    years = 10 * 365 * 86400
    for name in (b"file", b"dir", b"link"):
        entry = await served.lookup(name)
        assert entry.entry_timeout > years
        assert entry.attr_timeout > years
    absent = await served.lookup(b"nothing")
    assert absent.st_ino == 0
    assert absent.entry_timeout > years


async def test_what_can_change_is_asked_again(served: Served) -> None:
    operations = Operations(served.repository, Namespace(served.repository, None))
    commits = await operations.lookup(InodeT(ROOT), FileNameT(b"commits"), CTX)
    assert (commits.entry_timeout, commits.attr_timeout) == (0, 0)
    absent = operations.lookup(commits.st_ino, FileNameT(b"abcd"), CTX)
    assert await fails(absent) == errno.ENOENT
    root = served.commit.hex().encode()
    entry = await operations.lookup(commits.st_ino, FileNameT(root[:9]), CTX)
    assert (entry.entry_timeout, entry.attr_timeout) == (0, 0)
    assert await operations.readlink(entry.st_ino, CTX) == root


async def test_lookup_is_counted_and_forgotten(served: Served) -> None:
    inode = await served.inode(b"dir")
    assert await served.inode(b"dir") == inode
    assert len(served.namespace) == 2
    await served.operations.forget([(inode, 1)])
    assert len(served.namespace) == 2
    await served.operations.forget([(inode, 1), (await served.inode(b"file"), 1)])
    assert len(served.namespace) == 1
    assert await fails(served.operations.getattr(inode, CTX)) == errno.ESTALE


async def test_lookup_below_a_file(served: Served) -> None:
    below = served.operations.lookup(await served.inode(b"file"), FileNameT(b"x"), CTX)
    assert await fails(below) == errno.ENOTDIR


async def test_dot_of_a_file(served: Served) -> None:
    inode = await served.inode(b"file")
    assert (await served.operations.lookup(inode, FileNameT(b"."), CTX)).st_ino == inode


async def test_forget_that_fails(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It would end the mount; what else is to be forgotten is."""
    real, inode = served.namespace.forget, await served.inode(b"dir")

    def forget(number: int, count: int) -> None:
        if number == 77:
            raise ZeroDivisionError
        real(number, count)

    monkeypatch.setattr(served.namespace, "forget", forget)
    await served.operations.forget([(InodeT(77), 1), (inode, 1)])
    assert "ZeroDivisionError" in caplog.text
    assert len(served.namespace) == 1


async def test_readdir_that_fails_halfway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The kernel keeps what it was told of, and learns of the failure with its next call."""
    names = [b"%03d" % number for number in range(200)]
    content: dict[bytes, Digest | dict[bytes, Digest]] = {name: {} for name in names}
    init_repository(tmp_path / "repo")
    told: list[tuple[bytes, int]] = []

    def reply(_: object, name: bytes, entry: EntryAttributes, position: int) -> bool:
        told.append((name, position))
        return True

    monkeypatch.setattr(pyfuse3, "readdir_reply", reply)
    with Repository.open(tmp_path / "repo", writable=True) as repository:
        with repository.index.transaction() as transaction:
            commit = put_commit(transaction, content | {b"150": Digest(b"m" * 32)})
        namespace = Namespace(repository, commit)
        operations = Operations(repository, namespace)
        handle = await operations.opendir(InodeT(ROOT), CTX)
        token = cast("pyfuse3.ReaddirToken", SimpleNamespace())
        await operations.readdir(handle, 0, token)
        assert told == [(name, position + 1) for position, name in enumerate(names[:128])]
        assert len(namespace) == 129
        assert await fails(operations.readdir(handle, 128, token)) == errno.EIO
        assert len(told) == 128
        assert "6d6d6d" in caplog.text


async def test_readlink(served: Served) -> None:
    assert await served.operations.readlink(await served.inode(b"link"), CTX) == b"dir/inner"
    for name in (b"file", b"fifo"):
        wrong = served.operations.readlink(await served.inode(name), CTX)
        assert await fails(wrong) == errno.EINVAL


@pytest.mark.parametrize(
    ("offset", "size"),
    [(0, 10), (0, 1 << 20), (1 << 20, 1 << 20), (77, 131072), (len(CONTENT) - 1, 4096)],
)
async def test_read(served: Served, offset: int, size: int) -> None:
    info = await served.open(b"file")
    data = await served.operations.read(info.fh, offset, size)
    assert bytes(data) == CONTENT[offset : offset + size]
    await served.operations.release(info.fh)


@pytest.mark.parametrize("offset", [len(CONTENT), len(CONTENT) + 1, 1 << 50])
async def test_read_beyond_the_end(served: Served, offset: int) -> None:
    info = await served.open(b"file")
    assert bytes(await served.operations.read(info.fh, offset, 4096)) == b""
    await served.operations.release(info.fh)


async def test_pages_stay_cached(served: Served) -> None:
    info = await served.open(b"file")
    assert info.keep_cache
    assert not info.direct_io
    await served.operations.release(info.fh)


async def test_empty_file(served: Served) -> None:
    one, two = await served.open(b"empty"), await served.open(b"empty")
    for info in (one, two):
        assert await served.operations.read(info.fh, 0, 4096) == b""
    for info in (one, two):
        await served.operations.release(info.fh)


async def test_release_closes(served: Served) -> None:
    before = len(os.listdir("/proc/self/fd"))
    infos = [await served.open(name) for name in (b"file", b"file", b"empty")]
    handles = [await served.operations.opendir(InodeT(ROOT), CTX) for _ in range(3)]
    for info in infos:
        await served.operations.release(info.fh)
    for handle in handles:
        await served.operations.releasedir(handle)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_open_what_is_no_file(served: Served) -> None:
    assert await fails(served.open(b"link")) == errno.EINVAL
    file = await served.inode(b"file")
    assert await fails(served.operations.opendir(file, CTX)) == errno.ENOTDIR


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC])
async def test_open_for_writing(served: Served, flags: int) -> None:
    assert await fails(served.open(b"file", flags=flags)) == errno.EROFS
    assert await fails(served.open(b"empty", flags=flags)) == errno.EROFS


async def test_xattrs(served: Served) -> None:
    operations, file = served.operations, await served.inode(b"file")

    async def get(name: bytes) -> bytes:
        return await operations.getxattr(file, XAttrNameT(name), CTX)

    assert await get(b"user.note") == b"value"
    assert list(await operations.listxattr(file, CTX)) == [b"user.note"]
    assert await get(b"user.ostreefs.commit") == served.commit.hex().encode()
    digest, _ = served.namespace.file(file)
    assert await get(b"user.ostreefs.object") == digest.hex().encode()
    for name in (b"user.nothing", b"user.ostreefs.nothing", b"security.capability"):
        assert await fails(get(name)) == pyfuse3.ENOATTR
    folder = await served.inode(b"dir")
    assert await operations.getxattr(folder, XAttrNameT(b"user.none"), CTX) == b""


async def test_statfs(served: Served) -> None:
    disk = os.statvfs(served.repository.path)
    shown = await served.operations.statfs(CTX)
    assert (shown.f_blocks, shown.f_frsize) == (disk.f_blocks, disk.f_frsize)
    assert (shown.f_bfree, shown.f_bavail, shown.f_ffree) == (0, 0, 0)
    assert shown.f_namemax == 255


# ---- nothing can be changed

Change = Callable[[Operations, InodeT], Coroutine[Any, Any, object]]
NAME = FileNameT(b"new")
ATTRIBUTES = cast("EntryAttributes", SimpleNamespace())
FIELDS = cast("SetattrFields", SimpleNamespace())
CHANGES: dict[str, Change] = {
    "setattr": lambda ops, inode: ops.setattr(inode, ATTRIBUTES, FIELDS, None, CTX),
    "create": lambda ops, inode: ops.create(inode, NAME, ModeT(0o644), FlagT(os.O_CREAT), CTX),
    "mknod": lambda ops, inode: ops.mknod(inode, NAME, ModeT(stat.S_IFIFO), 0, CTX),
    "mkdir": lambda ops, inode: ops.mkdir(inode, NAME, ModeT(0o755), CTX),
    "symlink": lambda ops, inode: ops.symlink(inode, NAME, NAME, CTX),
    "link": lambda ops, inode: ops.link(inode, InodeT(ROOT), NAME, CTX),
    "unlink": lambda ops, inode: ops.unlink(inode, NAME, CTX),
    "rmdir": lambda ops, inode: ops.rmdir(inode, NAME, CTX),
    "rename": lambda ops, inode: ops.rename(inode, NAME, inode, NAME, FlagT(0), CTX),
    "write": lambda ops, _: ops.write(FileHandleT(0), 0, b"data"),
    "setxattr": lambda ops, inode: ops.setxattr(inode, XAttrNameT(b"user.x"), b"", CTX),
    "removexattr": lambda ops, inode: ops.removexattr(inode, XAttrNameT(b"user.x"), CTX),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_nothing_can_be_changed(served: Served, name: str) -> None:
    assert await fails(CHANGES[name](served.operations, InodeT(ROOT))) == errno.EROFS


# ---- faults


def errors_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def spoil(path: Path, how: str) -> None:
    match how:
        case "missing":
            path.unlink()
        case "truncated":
            os.truncate(path, 100)
        case "longer":
            os.truncate(path, len(CONTENT) + 1)
        case "empty":
            os.truncate(path, 0)
        case "directory":
            path.unlink()
            path.mkdir()
        case "symlink":
            path.unlink()
            path.symlink_to("/etc/passwd")
        case "fifo":
            path.unlink()
            os.mkfifo(path)
        case _:
            raise ValueError(how)


SPOILT = ("missing", "truncated", "longer", "empty", "directory", "symlink", "fifo")


@pytest.mark.parametrize("how", SPOILT)
async def test_spoilt_object(served: Served, caplog: pytest.LogCaptureFixture, how: str) -> None:
    path = served.object_path(await served.inode(b"file"))
    spoil(path, how)
    before = len(os.listdir("/proc/self/fd"))
    assert await fails(served.open(b"file")) == errno.EIO
    assert len(os.listdir("/proc/self/fd")) == before
    [message] = errors_in(caplog)
    assert path.parent.name + path.name in message
    await served.open(b"empty")


async def test_missing_record(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    missing = Digest(b"m" * 32)
    path = init_repository(tmp_path / "repo")
    with Repository.open(path, writable=True) as repository:
        with repository.index.transaction() as transaction:
            commit = put_commit(transaction, {b"x": missing, b"y": EMPTY_FILE})
        operations = Operations(repository, Namespace(repository, commit))
        looked_up = operations.lookup(InodeT(ROOT), FileNameT(b"x"), CTX)
        assert await fails(looked_up) == errno.EIO
        [message] = errors_in(caplog)
        assert missing.hex() in message
        await operations.lookup(InodeT(ROOT), FileNameT(b"y"), CTX)


async def test_a_bug_is_an_error_with_its_trace(
    served: Served, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but FUSEError may reach pyfuse3: it would end the mount."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("oh")

    inode = await served.inode(b"file")
    for method in ("lookup", "attributes", "content", "link_target", "xattrs", "list_directory"):
        monkeypatch.setattr(served.namespace, method, broken)
    operations, name = served.operations, XAttrNameT(b"user.x")
    for work in (
        operations.lookup(inode, FileNameT(b"x"), CTX),
        operations.getattr(inode, CTX),
        operations.readlink(inode, CTX),
        operations.open(inode, FlagT(0), CTX),
        operations.opendir(inode, CTX),
        operations.getxattr(inode, name, CTX),
        operations.listxattr(inode, CTX),
    ):
        caplog.clear()
        assert await fails(work) == errno.EIO
        assert len(errors_in(caplog)) == 1
        assert "ZeroDivisionError: oh" in caplog.text


async def test_out_of_files(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        assert await fails(served.open(b"file")) == errno.EMFILE
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(errors_in(caplog)) == 1


async def test_verified_when_opened_first(served: Served) -> None:
    inode = await served.inode(b"file")
    served.operations = Operations(served.repository, served.namespace, OpenVerifier())
    info = await served.open(b"file")
    assert bytes(await served.operations.read(info.fh, 0, 100)) == CONTENT[:100]
    await served.operations.release(info.fh)
    served.object_path(inode).write_bytes(bytes(len(CONTENT)))
    await served.operations.release((await served.open(b"file")).fh)  # found whole before
    served.operations = Operations(served.repository, served.namespace, OpenVerifier())
    before = len(os.listdir("/proc/self/fd"))
    assert await fails(served.operations.open(inode, FlagT(os.O_RDONLY), CTX)) == errno.EIO
    assert len(os.listdir("/proc/self/fd")) == before
    assert (await served.open(b"empty")).fh == 0
