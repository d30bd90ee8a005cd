# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counting requests, and what that costs."""

import errno
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ostreefs.fuse.counters import Counters, Counts, counted
from ostreefs.fuse.operations import Operations
from ostreefs.fuse.protocol import HANDLE, OPEN, READ, Opcode, Refused
from ostreefs.fuse.requests import Requests
from ostreefs.fuse.tree import ROOT, Namespace
from ostreefs_store.refs import resolve
from ostreefs_store.repository import Repository
from tests.support.commits import commit_directory, init_repository
from tests.support.requests import ask
from tests.support.trees import write


def clock_of(*times: int) -> Callable[[], int]:
    return iter(times).__next__


def test_counted() -> None:
    def handle(number: int, _: bytes) -> bytes:
        if number < 0:
            raise Refused(errno.EIO)
        return bytes(number)

    counts = Counts()
    wrapped = counted(handle, counts, clock_of(0, 10, 100, 150, 200, 205))
    assert wrapped(1, b"") == bytes(1)
    with pytest.raises(Refused):
        wrapped(-1, b"")
    assert wrapped(2, b"") == bytes(2)
    assert (counts.number, counts.errors, counts.total, counts.longest) == (3, 1, 65, 50)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[Operations, Namespace]]:
    write(tmp_path / "source/dir/file", b"content")
    path = init_repository(tmp_path / "repo")
    commit_directory(path, tmp_path / "source")
    with Repository.open(path) as repository:
        with repository.index.snapshot() as snapshot:
            commit = resolve(snapshot, "main")
        namespace = Namespace(repository, commit)
        yield Operations(repository, namespace), namespace


def test_counters(opened: tuple[Operations, Namespace], tmp_path: Path) -> None:
    operations, namespace = opened
    requests = Requests(operations)
    counters = Counters(requests, operations, namespace)
    ask(requests, Opcode.GETATTR, ROOT, bytes(16))
    assert not counters.is_counting
    assert counters.as_document()["requests"] == {}
    counters.start()
    (folder,) = HANDLE.unpack_from(ask(requests, Opcode.LOOKUP, ROOT, b"dir\0"))
    (inside,) = HANDLE.unpack_from(ask(requests, Opcode.LOOKUP, folder, b"file\0"))
    with pytest.raises(Refused):
        ask(requests, Opcode.READLINK, inside)
    (handle,) = HANDLE.unpack_from(ask(requests, Opcode.OPEN, inside, OPEN.pack(os.O_RDONLY, 0)))
    assert ask(requests, Opcode.READ, inside, READ.pack(handle, 0, 100)) == b"content"
    ask(requests, Opcode.RELEASE, inside, HANDLE.pack(handle))
    document = counters.as_document()
    numbers = {kind: counts["count"] for kind, counts in document["requests"].items()}
    assert numbers == {"lookup": 2, "readlink": 1, "open": 1, "read": 1, "release": 1}
    assert document["requests"]["readlink"]["errors"] == 1
    for counts in document["requests"].values():
        assert 0 < counts["mean_us"] <= counts["max_us"]
    assert document["trees"] == {"from_cache": 0, "decoded": 2}
    assert document["reads"] == {"from_page_cache": 1, "from_disk": 0}
    lines = list(counters.as_lines())
    assert lines[0].startswith("lookup: 2 requests, 0 errors, mean ")
    assert lines[-3:-1] == [
        "trees: 0 from cache, 2 decoded",
        "reads: 1 from page cache, 0 from disk",
    ]
    counters.write(tmp_path / "stats")
    assert json.loads((tmp_path / "stats").read_text())["requests"] == document["requests"]
    assert sorted(os.listdir(tmp_path)) == ["repo", "source", "stats"]


def test_a_request_costs_little_more() -> None:
    """Half a microsecond; the limit is far above, for machines that are busy."""

    def handle(number: int, request: bytes) -> bytes:
        return request

    def measure(call: Callable[[int, bytes], object]) -> float:
        began = time.perf_counter()
        for _ in range(1000):
            call(1, b"")
        return time.perf_counter() - began

    wrapped = counted(handle, Counts())
    plain = min(measure(handle) for _ in range(50))
    costly = min(measure(wrapped) for _ in range(50))
    assert (costly - plain) / 1000 < 3e-6
