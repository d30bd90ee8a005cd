# SPDX-License-Identifier: LGPL-2.1-or-later
"""The loop, with a socket in the place of ``/dev/fuse``: a message is a request or an answer."""

import errno
import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from ostreefs.fuse.operations import Later, Operations
from ostreefs.fuse.protocol import OPEN, READ, Opcode
from ostreefs.fuse.requests import Requests
from ostreefs.fuse.session import Kernel, Session, looks_before_sleep
from ostreefs.fuse.tree import ROOT, Namespace
from ostreefs_store.model import Digest
from ostreefs_store.refs import resolve
from ostreefs_store.repository import Repository
from tests.support.commits import commit_directory, init_repository, put_commit
from tests.support.requests import format_request, parse_listed
from tests.support.trees import write

CONTENT = bytes(range(256)) * 1024
CHANGES = (
    Opcode.SETATTR,
    Opcode.SYMLINK,
    Opcode.MKNOD,
    Opcode.MKDIR,
    Opcode.UNLINK,
    Opcode.RMDIR,
    Opcode.RENAME,
    Opcode.LINK,
    Opcode.WRITE,
    Opcode.SETXATTR,
    Opcode.REMOVEXATTR,
    Opcode.CREATE,
    Opcode.FALLOCATE,
    Opcode.RENAME2,
    Opcode.TMPFILE,
)


class KernelSide:
    """Asks, and has answers."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._last = 0

    def send(self, kind: int, node: int, body: bytes = b"", *, user: int = 0) -> int:
        self._last += 2
        request = format_request(kind, node, body, number=self._last, user=user)
        self._end.sendall(request)
        return self._last

    async def receive(self) -> tuple[int, int, bytes]:
        """The number of the request, the errno, the payload."""
        await trio.lowlevel.wait_readable(self._end)
        answer = self._end.recv(1 << 21)
        length, error, number = struct.unpack_from("=IiQ", answer)
        assert length == len(answer)
        return number, -error, answer[16:]

    async def ask(
        self, kind: int, node: int, body: bytes = b"", *, user: int = 0
    ) -> tuple[int, bytes]:
        number = self.send(kind, node, body, user=user)
        answered, error, payload = await self.receive()
        assert answered == number
        return error, payload

    def hang_up(self) -> None:
        self._end.close()


@pytest.fixture
def requests(tmp_path: Path) -> Iterator[Requests]:
    write(tmp_path / "source/file", CONTENT)
    path = init_repository(tmp_path / "repo")
    commit_directory(path, tmp_path / "source")
    with Repository.open(path) as repository:
        with repository.index.snapshot() as snapshot:
            commit = resolve(snapshot, "main")
        yield Requests(Operations(repository, Namespace(repository, commit)))


@asynccontextmanager
async def serving(requests: Requests, allowed: int | None = None) -> AsyncIterator[KernelSide]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    with ours, theirs, trio.fail_after(20):
        session = Session(ours.fileno(), requests, allowed=allowed)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.serve)
            yield KernelSide(theirs)
            session.stop()


async def test_greeting(requests: Requests) -> None:
    async with serving(requests) as kernel:
        everything = struct.pack("=IIII", 7, 45, 131072, 0xFFFFFFFF) + bytes(48)
        error, answer = await kernel.ask(Opcode.INIT, 0, everything)
        assert error == 0
        major, _, read_ahead, features = struct.unpack_from("=IIII", answer)
        assert (major, read_ahead) == (7, 1 << 20)
        assert features == 1 << 0 | 1 << 4 | 1 << 13 | 1 << 18 | 1 << 20 | 1 << 22
        little = struct.pack("=IIII", 7, 45, 131072, 1 << 13) + bytes(48)
        _, answer = await kernel.ask(Opcode.INIT, 0, little)
        assert struct.unpack_from("=I", answer, 12) == (1 << 13,)


async def test_kernels_that_are_too_old(
    requests: Requests, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(requests) as kernel:
        old = struct.pack("=IIII", 7, 27, 131072, 0) + bytes(48)
        assert await kernel.ask(Opcode.INIT, 0, old) == (errno.EIO, b"")
    assert "Linux 4.20 is needed" in caplog.text


@pytest.mark.parametrize("kind", CHANGES)
async def test_nothing_can_be_changed(requests: Requests, kind: Opcode) -> None:
    async with serving(requests) as kernel:
        assert await kernel.ask(kind, ROOT, bytes(64)) == (errno.EROFS, b"")


async def test_what_is_not_known(requests: Requests) -> None:
    async with serving(requests) as kernel:
        for kind in (25, 34, 36, 46, 99, 4096):  # FLUSH, ACCESS, INTERRUPT, LSEEK, and none
            assert await kernel.ask(kind, ROOT, bytes(64)) == (errno.ENOSYS, b"")


async def test_ioctls_are_for_terminals(requests: Requests) -> None:
    async with serving(requests) as kernel:
        assert await kernel.ask(Opcode.IOCTL, ROOT, bytes(32)) == (errno.ENOTTY, b"")


@pytest.mark.parametrize("number", [errno.ENOSYS, 0, 512, 1 << 40, -errno.EIO])
async def test_what_the_kernel_would_not_take_for_an_errno(
    requests: Requests, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    """By ENOSYS it would learn that there are no symbolic links; to others it does not listen."""

    def fail(node: int, request: bytes) -> bytes:
        raise OSError(number, "odd")

    requests.handlers[Opcode.READLINK] = fail
    async with serving(requests) as kernel:
        assert await kernel.ask(Opcode.READLINK, ROOT) == (errno.EIO, b"")
    assert "odd" in caplog.text


async def test_answers_that_cannot_be_sent(
    requests: Requests, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody waits all the same."""
    requests.handlers[Opcode.READLINK] = lambda *_: bytes(8 << 20)  # more than the socket takes
    async with serving(requests) as kernel:
        assert await kernel.ask(Opcode.READLINK, ROOT) == (errno.EIO, b"")
        assert (await kernel.ask(Opcode.STATFS, ROOT))[0] == 0
    assert "cannot answer: [Errno 90] Message too long" in caplog.text


async def test_what_is_to_be_forgotten_is_not_answered(requests: Requests) -> None:
    async with serving(requests) as kernel:
        kernel.send(Opcode.FORGET, 5)  # too short
        kernel.send(Opcode.BATCH_FORGET, 0, struct.pack("=IIQ", 1, 0, 5))
        kernel.send(Opcode.FORGET, 5, struct.pack("=Q", 1))
        kernel.send(Opcode.BATCH_FORGET, 0, struct.pack("=IIQQ", 1, 0, 5, 1))
        error, _ = await kernel.ask(Opcode.GETATTR, ROOT, bytes(16))
        assert error == 0


async def test_short_requests_are_bugs_not_the_end(
    requests: Requests, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(requests) as kernel:
        assert await kernel.ask(Opcode.READ, ROOT) == (errno.EIO, b"")
        assert "bug in read" in caplog.text
        assert (await kernel.ask(Opcode.STATFS, ROOT))[0] == 0


async def test_what_takes_long_keeps_nobody_waiting(requests: Requests) -> None:
    read, write = os.pipe()
    requests.handlers[Opcode.READLINK] = lambda *_: Later(lambda: os.read(read, 10), bytes)
    async with serving(requests) as kernel:
        slow = kernel.send(Opcode.READLINK, 5)
        assert (await kernel.ask(Opcode.GETATTR, ROOT, bytes(16)))[0] == 0
        os.write(write, b"at last")
        assert await kernel.receive() == (slow, 0, b"at last")
        # and afterwards it goes on
        assert (await kernel.ask(Opcode.GETATTR, ROOT, bytes(16)))[0] == 0
    os.close(read)
    os.close(write)


async def test_what_takes_long_and_fails(
    requests: Requests, caplog: pytest.LogCaptureFixture
) -> None:
    failed = []

    def work() -> bytes:
        raise OSError(errno.EIO, "the disk")

    requests.handlers[Opcode.READLINK] = lambda *_: Later(work, bytes, lambda: failed.append(1))
    async with serving(requests) as kernel:
        assert await kernel.ask(Opcode.READLINK, 5) == (errno.EIO, b"")
    assert failed == [1]
    assert "readlink: [Errno 5] the disk" in caplog.text


async def test_content(requests: Requests) -> None:
    async with serving(requests) as kernel:
        _, entry = await kernel.ask(Opcode.LOOKUP, ROOT, b"file\0")
        (number,) = struct.unpack_from("=Q", entry)
        _, opened = await kernel.ask(Opcode.OPEN, number, OPEN.pack(os.O_RDONLY, 0))
        handle, flags = struct.unpack_from("=QI", opened)
        assert flags == 1 << 1  # pages stay cached
        for offset, size in ((0, 1 << 20), (77, 4096), (len(CONTENT) - 5, 4096)):
            error, data = await kernel.ask(Opcode.READ, number, READ.pack(handle, offset, size))
            assert (error, data) == (0, CONTENT[offset : offset + size])


async def test_one_user_and_root(requests: Requests) -> None:
    async with serving(requests, allowed=1000) as kernel:
        for user, expected in ((0, 0), (1000, 0), (1001, errno.EACCES)):
            error, _ = await kernel.ask(Opcode.GETATTR, ROOT, bytes(16), user=user)
            assert error == expected
        for kind in (Opcode.LOOKUP, Opcode.OPEN, Opcode.OPENDIR, Opcode.READLINK, Opcode.GETXATTR):
            assert await kernel.ask(kind, ROOT, bytes(16), user=1001) == (errno.EACCES, b"")


async def test_others_have_their_turn(requests: Requests) -> None:
    """Whoever keeps on asking keeps nothing else in the process from being done."""
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        session = Session(ours.fileno(), requests)
        request = format_request(Opcode.GETATTR, ROOT, bytes(16))
        answer = requests.handlers[Opcode.GETATTR]

        def ask_again(node: int, body: bytes) -> object:
            if turns > 10:
                session.stop()
            theirs.send(request)
            theirs.recv(1 << 16, socket.MSG_DONTWAIT) if turns else None
            return answer(node, body)

        requests.handlers[Opcode.GETATTR] = ask_again  # type: ignore[assignment]  # it answers
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(take_turns)
                theirs.send(request)
                await session.serve()
                nursery.cancel_scope.cancel()
    assert turns > 10


def test_notices_that_the_kernel_has_no_use_for(tmp_path: Path) -> None:
    """A name of which it has never heard: ENOENT from the real one; here nobody listens."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        kernel = Kernel(ours.fileno())
        kernel.forget_name(1, b"name")
        kernel.forget_attributes(1)
        assert len(theirs.recv(100)) == 37
        assert len(theirs.recv(100)) == 40


DOTS = [b".", b".."]


async def list_root(kernel: KernelSide, room: int) -> list[bytes]:
    """The names in the root, by as many requests as it takes."""
    _, opened = await kernel.ask(Opcode.OPENDIR, ROOT, bytes(8))
    (handle,) = struct.unpack_from("=Q", opened)
    names: list[bytes] = []
    position = 0
    while True:
        body = READ.pack(handle, position, room)
        error, listed = await kernel.ask(Opcode.READDIRPLUS, ROOT, body)
        assert error == 0
        if not listed:
            await kernel.ask(Opcode.RELEASEDIR, ROOT, struct.pack("=Q", handle))
            return names
        for name, position in parse_listed(listed):  # noqa: B007 -- the last one is used
            names.append(name)


@pytest.fixture
def wide(tmp_path: Path) -> Iterator[tuple[Requests, Namespace, list[Digest]]]:
    """Two commits of 300 directories each, with no name in common."""
    init_repository(tmp_path / "repo")
    with Repository.open(tmp_path / "repo", writable=True) as repository:
        with repository.index.transaction() as transaction:
            commits = [
                put_commit(transaction, {b"%s%03d" % (letter, n): {} for n in range(300)})
                for letter in (b"a", b"b")
            ]
        namespace = Namespace(repository, commits[0])
        yield Requests(Operations(repository, namespace)), namespace, commits


@pytest.mark.parametrize("room", [170, 4096, 32768])
async def test_lists_are_whole_whatever_was_prepared(
    wide: tuple[Requests, Namespace, list[Digest]], room: int
) -> None:
    requests, namespace, _ = wide
    async with serving(requests) as kernel:
        for _ in range(2):
            assert await list_root(kernel, room) == [*DOTS, *(b"a%03d" % n for n in range(300))]
        assert len(namespace) == 301  # the kernel was told of each, and knows it


async def test_what_was_prepared_is_not_shown_after_a_switch(
    wide: tuple[Requests, Namespace, list[Digest]],
) -> None:
    """An open listing goes on with what it began, but the kernel may keep none of it."""
    requests, namespace, commits = wide
    async with serving(requests) as kernel:
        _, opened = await kernel.ask(Opcode.OPENDIR, ROOT, bytes(8))
        (handle,) = struct.unpack_from("=Q", opened)
        body = READ.pack(handle, 0, 4096)
        _, first = await kernel.ask(Opcode.READDIRPLUS, ROOT, body)
        assert struct.unpack_from("=QQ", first, 16) == (1 << 30, 1 << 30)
        _, position = parse_listed(first)[-1]
        await trio.testing.wait_all_tasks_blocked()
        namespace.switch(commits[1])
        body = READ.pack(handle, position, 4096)
        _, second = await kernel.ask(Opcode.READDIRPLUS, ROOT, body)
        assert parse_listed(second)[0] == (b"a%03d" % (position - 2), position + 1)
        assert struct.unpack_from("=QQ", second, 16) == (0, 0)
        assert await list_root(kernel, 4096) == [*DOTS, *(b"b%03d" % n for n in range(300))]


def test_only_with_several_processors_the_loop_looks_before_it_sleeps() -> None:
    assert looks_before_sleep(1) == 0
    assert 0 < looks_before_sleep(2) == looks_before_sleep(64)
