# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counting requests, and what that costs."""

import errno
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio
from pyfuse3 import FUSEError

from ostreefs.fuse.counters import Counters, Counts, counted
from ostreefs.fuse.operations import Operations
from ostreefs.fuse.tree import ROOT, Namespace
from ostreefs_store.refs import resolve
from ostreefs_store.repository import Repository
from tests.support.commits import commit_directory, init_repository
from tests.support.trees import write


def clock_of(*times: int) -> Callable[[], int]:
    return iter(times).__next__


async def test_counted() -> None:
    async def handle(number: int) -> int:
        if number < 0:
            raise FUSEError(errno.EIO)
        return number + 1

    counts = Counts()
    wrapped = counted(handle, counts, clock_of(0, 10, 100, 150, 200, 205))
    assert await wrapped(1) == 2
    with pytest.raises(FUSEError):
        await wrapped(-1)
    assert await wrapped(2) == 3
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


async def test_counters(opened: tuple[Operations, Namespace], tmp_path: Path) -> None:
    operations, namespace = opened
    counters = Counters(operations, namespace)
    context = None
    await operations.getattr(ROOT, context)  # type: ignore[arg-type]  # nobody looks at it
    assert not counters.is_counting
    assert counters.as_document()["requests"] == {}
    counters.start()
    found = await operations.lookup(ROOT, b"dir", context)  # type: ignore[arg-type]  # what the handlers take at run time
    with pytest.raises(FUSEError):
        await operations.readlink(found.st_ino, context)  # type: ignore[arg-type]  # what the handlers take at run time
    inside = await operations.lookup(found.st_ino, b"file", context)  # type: ignore[arg-type]  # what the handlers take at run time
    handle = await operations.open(inside.st_ino, os.O_RDONLY, context)  # type: ignore[arg-type]  # what the handlers take at run time
    assert bytes(await operations.read(handle.fh, 0, 100)) == b"content"
    await operations.release(handle.fh)
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


async def test_a_request_costs_little_more() -> None:
    """Half a microsecond; the limit is far above, for machines that are busy."""

    async def handle() -> None:
        pass

    async def measure(call: Callable[[], object]) -> float:
        began = time.perf_counter()
        for _ in range(1000):
            await call()  # type: ignore[misc]  # what the handlers take at run time
        return time.perf_counter() - began

    wrapped = counted(handle, Counts())
    plain = min([await measure(handle) for _ in range(50)])
    costly = min([await measure(wrapped) for _ in range(50)])
    await trio.lowlevel.checkpoint()
    assert (costly - plain) / 1000 < 3e-6
