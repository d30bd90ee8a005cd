# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whatever comes as requests to a mount, it goes on, and each has the one answer it waits for."""

import logging
import os
import socket
import struct
from collections import Counter
from collections.abc import Iterator

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from ostreefs.fuse.operations import Operations
from ostreefs.fuse.protocol import OPEN, READ, SIZED, Opcode
from ostreefs.fuse.requests import Requests
from ostreefs.fuse.session import Session
from ostreefs.fuse.tree import ROOT, Namespace
from ostreefs_store.model import Digest
from ostreefs_store.refs import resolve
from ostreefs_store.repository import Repository
from tests.support.commits import commit_directory, init_repository
from tests.support.requests import ask, format_request
from tests.support.trees import write

UNANSWERED = {Opcode.FORGET, Opcode.BATCH_FORGET}
READ_OPEN = (Opcode.READ, Opcode.READDIRPLUS)
RELEASES = (Opcode.RELEASE, Opcode.RELEASEDIR)
_PATIENCE = 20
_HEADER = struct.Struct("=IiQ")

Asked = tuple[int, int, bytes]


class Place:
    """A repository and the number of everything in it."""

    def __init__(self, repository: Repository, commit: Digest) -> None:
        self.repository = repository
        self.commit = commit

    def requests(self, *, everything: bool) -> Requests:
        """Handlers of a mount that the kernel has looked at already."""
        namespace = Namespace(self.repository, None if everything else self.commit)
        requests = Requests(Operations(self.repository, namespace))
        ask(requests, Opcode.OPENDIR, ROOT, bytes(8))
        for name in (b"refs", b"commits") if everything else (b"directory", b"file", b"link"):
            entry = ask(requests, Opcode.LOOKUP, ROOT, name + b"\0")
            NUMBERS.add(struct.unpack_from("=Q", entry)[0])
        return requests


NUMBERS = {0, ROOT}
"""Those that mean something; numbers follow from names, and are the same each time."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    path = tmp_path_factory.mktemp("requests")
    write(path / "source/file", b"content")
    write(path / "source/directory/more", b"")
    os.symlink("file", path / "source/link")
    commit_directory(init_repository(path / "repo"), path / "source")
    with Repository.open(path / "repo") as repository:
        with repository.index.snapshot() as snapshot:
            commit = resolve(snapshot, "main")
        made = Place(repository, commit)
        for everything in (False, True):
            made.requests(everything=everything)
        yield made


def any_integer(bits: int) -> st.SearchStrategy[int]:
    end = (1 << bits) - 1
    return st.integers(0, 5) | st.integers(0, end) | st.integers(end - 5, end)


numbers = any_integer(64) | st.deferred(lambda: st.sampled_from(sorted(NUMBERS)))
names = st.binary(max_size=300).map(lambda name: name + b"\0") | st.sampled_from(
    [b"file\0", b"more\0", b".\0", b"..\0", b"main\0", b"\0", bytes(1024), b"x" * 256 + b"\0"]
)
kinds = st.sampled_from(sorted(Opcode)) | st.integers(0, 60) | any_integer(32)
anything: st.SearchStrategy[Asked] = st.tuples(kinds, numbers, st.binary(max_size=80) | names)


def packed(
    kind: Opcode, form: struct.Struct, *values: st.SearchStrategy[int]
) -> st.SearchStrategy[Asked]:
    body = st.tuples(*values).map(lambda drawn: form.pack(*drawn))
    return st.tuples(st.just(int(kind)), numbers, body)


sizes = any_integer(32)
sound = st.one_of(
    *(st.tuples(st.just(int(k)), numbers, names) for k in (Opcode.LOOKUP, Opcode.UNLINK)),
    *(
        st.tuples(st.just(int(k)), numbers, st.just(bytes(16)))
        for k in (Opcode.GETATTR, Opcode.READLINK, Opcode.STATFS, Opcode.SETATTR, Opcode.IOCTL)
    ),
    packed(Opcode.FORGET, struct.Struct("=Q"), any_integer(64)),
    packed(
        Opcode.BATCH_FORGET,
        struct.Struct("=IIQQ"),
        st.just(1),
        st.just(0),
        numbers,
        any_integer(64),
    ),
    packed(Opcode.OPEN, OPEN, sizes, sizes),
    packed(Opcode.OPENDIR, OPEN, sizes, sizes),
    packed(Opcode.LISTXATTR, SIZED, sizes, st.just(0)),
    st.tuples(
        st.just(int(Opcode.GETXATTR)),
        numbers,
        st.tuples(sizes, names).map(lambda drawn: SIZED.pack(drawn[0], 0) + drawn[1]),
    ),
    # The first handle is open in each of them; another one the kernel would never use.
    packed(Opcode.READDIRPLUS, READ, st.just(1), any_integer(64), sizes),
)
"""What a kernel sends: of the right form, whatever the values that others have given it."""


async def have_answered(requests: Requests, asked: list[Asked]) -> list[tuple[int, int]]:
    """Number and errno of each answer, until one that is asked for in the end has come."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    found: list[tuple[int, int]] = []
    with ours, theirs, trio.fail_after(_PATIENCE):
        session = Session(ours.fileno(), requests)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.serve)
            for unique, (kind, node, body) in enumerate(asked, 1):
                theirs.sendall(format_request(kind, node, body, number=unique))
                if kind not in UNANSWERED:
                    await trio.lowlevel.wait_readable(theirs)
                    found.append(parse_answer(theirs.recv(2 << 20)))
            theirs.sendall(b"short")
            theirs.sendall(format_request(Opcode.STATFS, ROOT, number=1 << 40))
            await trio.lowlevel.wait_readable(theirs)
            assert parse_answer(theirs.recv(2 << 20)) == (1 << 40, 0)
            session.stop()
    return found


def parse_answer(answer: bytes) -> tuple[int, int]:
    length, error, unique = _HEADER.unpack_from(answer)
    assert length == len(answer)
    assert -512 < error <= 0
    assert error == 0 or length == _HEADER.size
    return unique, -error


@settings(max_examples=150)
@given(asked=st.lists(anything, min_size=1, max_size=12), everything=st.booleans())
def test_anything_is_answered(place: Place, asked: list[Asked], *, everything: bool) -> None:
    found = trio.run(have_answered, place.requests(everything=everything), asked)
    expected = [unique for unique, (kind, *_) in enumerate(asked, 1) if kind not in UNANSWERED]
    assert Counter(unique for unique, _ in found) == Counter(expected)


class Complaints(logging.Handler):
    """Collects what is called a bug."""

    def __init__(self) -> None:
        super().__init__()
        self.bugs: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.bugs.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


@settings(max_examples=300)
@given(asked=st.lists(sound, min_size=1, max_size=12), everything=st.booleans())
def test_what_a_kernel_may_ask_is_no_bug(
    place: Place, asked: list[Asked], *, everything: bool
) -> None:
    """Numbers and positions come from whoever has a handle of a file, or moves about in a list."""
    complaints = Complaints()
    logging.getLogger("ostreefs").addHandler(complaints)
    try:
        trio.run(have_answered, place.requests(everything=everything), asked)
    finally:
        logging.getLogger("ostreefs").removeHandler(complaints)
    assert complaints.bugs == []
