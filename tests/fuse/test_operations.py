# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a mount does for each kind of request. Most of `readdir` is seen through a mount alone."""

import errno
import logging
import os
import resource
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from ostreefs.fuse.nodes import Attributes
from ostreefs.fuse.operations import Later, Operations
from ostreefs.fuse.protocol import HANDLE, READ, Opcode
from ostreefs.fuse.requests import Requests, errno_of
from ostreefs.fuse.tree import ROOT, Namespace
from ostreefs.fuse.verify import OpenVerifier
from ostreefs_store.model import Digest
from ostreefs_store.objects import object_name
from ostreefs_store.repository import Repository
from tests.support.commits import EMPTY_FILE, commit_directory, init_repository, put_commit
from tests.support.requests import ask, parse_listed

CONTENT = bytes(range(256)) * 5000


def open_now(operations: Operations, inode: int, flags: int = os.O_RDONLY) -> int:
    handle = operations.open(inode, flags)
    return handle.now() if isinstance(handle, Later) else handle


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

    def lookup(self, *names: bytes) -> Attributes:
        entry = self.operations.getattr(ROOT)
        for name in names:
            found = self.operations.lookup(entry.number, name)
            assert found is not None
            entry = found
        return entry

    def inode(self, *names: bytes) -> int:
        return (self.lookup(*names)).number

    def open(self, *names: bytes, flags: int = os.O_RDONLY) -> int:
        return open_now(self.operations, self.inode(*names), flags)

    def read(self, handle: int, offset: int, size: int) -> bytes:
        data = self.operations.read(handle, offset, size)
        return data.now() if isinstance(data, Later) else bytes(data)

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


def fails(work: Callable[[], object]) -> int:
    """The errno that the kernel gets."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 -- every one has to become an errno
        return errno_of(Opcode.LOOKUP, error)
    pytest.fail("it did not fail")


def test_attributes(served: Served) -> None:
    entry = served.lookup(b"file")
    assert entry.mode == stat.S_IFREG | 0o750
    assert entry.size == len(CONTENT)
    assert (entry.uid, entry.gid) == (os.geteuid(), os.getegid())
    assert served.operations.getattr(entry.number) == entry


def test_the_kernel_may_keep_what_cannot_change(served: Served) -> None:
    for name in (b"file", b"dir", b"link"):
        assert served.lookup(name).fixed
    assert served.operations.lookup(ROOT, b"nothing") is None


def test_the_kernel_may_keep_lists(served: Served) -> None:
    """Those of a commit's directories, without the root: a switch changes that."""
    assert not served.operations.opendir(ROOT)[1]
    assert served.operations.opendir(served.inode(b"dir"))[1]
    operations = Operations(served.repository, Namespace(served.repository, None))
    commits = operations.lookup(ROOT, b"commits")
    assert commits is not None
    assert not operations.opendir(commits.number)[1]
    commit = operations.lookup(commits.number, served.commit.hex().encode())
    assert commit is not None
    assert operations.opendir(commit.number)[1]


def test_what_can_change_is_asked_again(served: Served) -> None:
    operations = Operations(served.repository, Namespace(served.repository, None))
    commits = operations.lookup(ROOT, b"commits")
    assert commits is not None
    assert not commits.fixed
    assert fails(lambda: operations.lookup(commits.number, b"abcd")) == errno.ENOENT
    root = served.commit.hex().encode()
    entry = operations.lookup(commits.number, root[:9])
    assert entry is not None
    assert not entry.fixed
    assert operations.readlink(entry.number) == root


def test_lookup_is_counted_and_forgotten(served: Served) -> None:
    inode = served.inode(b"dir")
    assert served.inode(b"dir") == inode
    assert len(served.namespace) == 2
    served.operations.forget([(inode, 1)])
    assert len(served.namespace) == 2
    served.operations.forget([(inode, 1), (served.inode(b"file"), 1)])
    assert len(served.namespace) == 1
    assert fails(lambda: served.operations.getattr(inode)) == errno.ESTALE


def test_lookup_below_a_file(served: Served) -> None:
    inode = served.inode(b"file")
    assert fails(lambda: served.operations.lookup(inode, b"x")) == errno.ENOTDIR


def test_dot_of_a_file(served: Served) -> None:
    inode = served.inode(b"file")
    found = served.operations.lookup(inode, b".")
    assert found is not None
    assert found.number == inode


def test_forget_that_fails(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It would end the mount; what else is to be forgotten is."""
    real, inode = served.namespace.forget, served.inode(b"dir")

    def forget(number: int, count: int) -> None:
        if number == 77:
            raise ZeroDivisionError
        real(number, count)

    monkeypatch.setattr(served.namespace, "forget", forget)
    served.operations.forget([(77, 1), (inode, 1)])
    assert "ZeroDivisionError" in caplog.text
    assert len(served.namespace) == 1


def test_readdir_that_fails_halfway(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The kernel keeps what it was told of, and learns of the failure with its next call."""
    names = [b"%03d" % number for number in range(200)]
    content: dict[bytes, Digest | dict[bytes, Digest]] = {name: {} for name in names}
    init_repository(tmp_path / "repo")
    with Repository.open(tmp_path / "repo", writable=True) as repository:
        with repository.index.transaction() as transaction:
            commit = put_commit(transaction, content | {b"150": Digest(b"m" * 32)})
        namespace = Namespace(repository, commit)
        requests = Requests(Operations(repository, namespace))
        (handle,) = HANDLE.unpack_from(ask(requests, Opcode.OPENDIR, ROOT, bytes(8)))
        told = ask(requests, Opcode.READDIRPLUS, ROOT, READ.pack(handle, 0, 1 << 20))
        listed = [b".", b"..", *names[:128]]
        expected = [(name, position + 1) for position, name in enumerate(listed)]
        assert parse_listed(told) == expected
        assert len(namespace) == 129
        requests.prepare()  # fails, and leaves it for the next call
        rest = READ.pack(handle, 130, 1 << 20)
        assert fails(lambda: ask(requests, Opcode.READDIRPLUS, ROOT, rest)) == errno.EIO
        assert "6d6d6d" in caplog.text


@pytest.mark.parametrize("prepare", [False, True])
def test_the_kernel_is_not_told_what_has_no_room(served: Served, *, prepare: bool) -> None:
    requests = Requests(served.operations)
    (handle,) = HANDLE.unpack_from(ask(requests, Opcode.OPENDIR, ROOT, bytes(8)))
    told = ask(requests, Opcode.READDIRPLUS, ROOT, READ.pack(handle, 0, 320))
    assert (parse_listed(told), len(served.namespace)) == ([(b".", 1), (b"..", 2)], 1)
    told = ask(requests, Opcode.READDIRPLUS, ROOT, READ.pack(handle, 2, 159))
    assert (told, len(served.namespace)) == (b"", 1)
    told = ask(requests, Opcode.READDIRPLUS, ROOT, READ.pack(handle, 2, 160))
    assert (parse_listed(told), len(served.namespace)) == ([(b"dir", 3)], 2)
    if prepare:
        requests.prepare()
    told = ask(requests, Opcode.READDIRPLUS, ROOT, READ.pack(handle, 2, 320))
    assert (parse_listed(told), len(served.namespace)) == ([(b"dir", 3), (b"empty", 4)], 2)
    ask(requests, Opcode.RELEASEDIR, ROOT, HANDLE.pack(handle))


def test_a_list_is_prepared_when_a_directory_is_opened_first(served: Served) -> None:
    """Later on the kernel keeps it, and who opens it again to read nothing costs nothing."""
    requests, number = Requests(served.operations), served.inode(b"dir")
    before = sum(served.namespace.tree_cache_uses)
    for _ in range(3):
        (handle,) = HANDLE.unpack_from(ask(requests, Opcode.OPENDIR, number, bytes(8)))
        requests.prepare()
        ask(requests, Opcode.RELEASEDIR, number, HANDLE.pack(handle))
        assert sum(served.namespace.tree_cache_uses) == before + 1


def test_readlink(served: Served) -> None:
    assert served.operations.readlink(served.inode(b"link")) == b"dir/inner"
    for name in (b"file", b"fifo"):
        wrong = served.inode(name)
        assert fails(partial(served.operations.readlink, wrong)) == errno.EINVAL


@pytest.mark.parametrize(
    ("offset", "size"),
    [(0, 10), (0, 1 << 20), (1 << 20, 1 << 20), (77, 131072), (len(CONTENT) - 1, 4096)],
)
def test_read(served: Served, offset: int, size: int) -> None:
    info = served.open(b"file")
    data = served.read(info, offset, size)
    assert bytes(data) == CONTENT[offset : offset + size]
    served.operations.release(info)


@pytest.mark.parametrize("offset", [len(CONTENT), len(CONTENT) + 1, 1 << 50])
def test_read_beyond_the_end(served: Served, offset: int) -> None:
    info = served.open(b"file")
    assert served.read(info, offset, 4096) == b""
    served.operations.release(info)


def test_empty_file(served: Served) -> None:
    one, two = served.open(b"empty"), served.open(b"empty")
    for info in (one, two):
        assert served.read(info, 0, 4096) == b""
    for info in (one, two):
        served.operations.release(info)


def test_release_closes(served: Served) -> None:
    before = len(os.listdir("/proc/self/fd"))
    infos = [served.open(name) for name in (b"file", b"file", b"empty")]
    handles = [served.operations.opendir(ROOT)[0] for _ in range(3)]
    for info in infos:
        served.operations.release(info)
    for handle in handles:
        served.operations.releasedir(handle)
    assert len(os.listdir("/proc/self/fd")) == before + 1  # kept for whoever comes next
    served.operations.rest()
    assert len(os.listdir("/proc/self/fd")) == before


def test_open_what_is_no_file(served: Served) -> None:
    assert fails(lambda: served.open(b"link")) == errno.EINVAL
    file = served.inode(b"file")
    assert fails(lambda: served.operations.opendir(file)) == errno.ENOTDIR


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC])
def test_open_for_writing(served: Served, flags: int) -> None:
    assert fails(lambda: served.open(b"file", flags=flags)) == errno.EROFS
    assert fails(lambda: served.open(b"empty", flags=flags)) == errno.EROFS


def test_xattrs(served: Served) -> None:
    operations, file = served.operations, served.inode(b"file")

    def get(name: bytes) -> bytes:
        return operations.getxattr(file, name)

    assert get(b"user.note") == b"value"
    assert list(operations.listxattr(file)) == [b"user.note"]
    assert get(b"user.ostreefs.commit") == served.commit.hex().encode()
    digest, _ = served.namespace.file(file)
    assert get(b"user.ostreefs.object") == digest.hex().encode()
    for name in (b"user.nothing", b"user.ostreefs.nothing", b"security.capability"):
        assert fails(partial(get, name)) == errno.ENODATA
    folder = served.inode(b"dir")
    assert operations.getxattr(folder, b"user.none") == b""


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
def test_spoilt_object(served: Served, caplog: pytest.LogCaptureFixture, how: str) -> None:
    path = served.object_path(served.inode(b"file"))
    spoil(path, how)
    before = len(os.listdir("/proc/self/fd"))
    assert fails(lambda: served.open(b"file")) == errno.EIO
    assert len(os.listdir("/proc/self/fd")) == before
    [message] = errors_in(caplog)
    assert path.parent.name + path.name in message
    served.open(b"empty")


def test_missing_record(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    missing = Digest(b"m" * 32)
    path = init_repository(tmp_path / "repo")
    with Repository.open(path, writable=True) as repository:
        with repository.index.transaction() as transaction:
            commit = put_commit(transaction, {b"x": missing, b"y": EMPTY_FILE})
        operations = Operations(repository, Namespace(repository, commit))
        assert fails(lambda: operations.lookup(ROOT, b"x")) == errno.EIO
        [message] = errors_in(caplog)
        assert missing.hex() in message
        operations.lookup(ROOT, b"y")


def test_a_bug_is_an_error_with_its_trace(
    served: Served, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    inode = served.inode(b"file")
    for method in ("lookup", "attributes", "content", "link_target", "xattrs", "list_directory"):
        monkeypatch.setattr(served.namespace, method, broken)
    operations, name = served.operations, b"user.x"
    calls: list[Callable[[], object]] = [
        lambda: operations.lookup(inode, b"x"),
        lambda: operations.getattr(inode),
        lambda: operations.readlink(inode),
        lambda: operations.open(inode, 0),
        lambda: operations.opendir(inode),
        lambda: operations.getxattr(inode, name),
        lambda: operations.listxattr(inode),
    ]
    for work in calls:
        caplog.clear()
        assert fails(work) == errno.EIO
        assert len(errors_in(caplog)) == 1
        assert "ZeroDivisionError: oh" in caplog.text


def test_out_of_files(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        assert fails(lambda: served.open(b"file")) == errno.EMFILE
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(errors_in(caplog)) == 1


def test_verified_when_opened_first(served: Served) -> None:
    inode = served.inode(b"file")
    served.operations = Operations(served.repository, served.namespace, OpenVerifier())
    info = served.open(b"file")
    assert served.read(info, 0, 100) == CONTENT[:100]
    served.operations.release(info)
    served.object_path(inode).write_bytes(bytes(len(CONTENT)))
    served.operations.release(served.open(b"file"))  # found whole before
    served.operations = Operations(served.repository, served.namespace, OpenVerifier())
    before = len(os.listdir("/proc/self/fd"))
    assert fails(lambda: open_now(served.operations, inode)) == errno.EIO
    assert len(os.listdir("/proc/self/fd")) == before
    assert served.open(b"empty") == 0
