# SPDX-License-Identifier: LGPL-2.1-or-later
"""The map of the index takes no more memory than it may."""

import os
import resource
from pathlib import Path

from ostreefs.fuse.mapped import MappedIndex, mapped_bytes
from ostreefs_store.repository import Repository
from tests.support.commits import init_repository

RECORDS = 4000
SIZE = 4000
"""Bytes of a record: one on a page of its own."""


def read_all(repository: Repository) -> int:
    with repository.index.snapshot() as snapshot:
        return sum(len(value) for _, value in snapshot.items_from("statcache"))


def test_what_was_read_is_given_back_and_can_be_read_again(tmp_path: Path) -> None:
    path = init_repository(tmp_path / "repo")
    with Repository.open(path, writable=True) as repository:
        records = [(b"%08d" % number, bytes(SIZE)) for number in range(RECORDS)]
        with repository.index.transaction() as transaction:
            transaction.put_directory_records(records)
    with Repository.open(path) as repository:
        before = mapped_bytes()
        assert read_all(repository) == RECORDS * SIZE
        assert mapped_bytes() - before > RECORDS * SIZE // 2
        assert not MappedIndex(repository.index.path, 1 << 40).trim()
        assert mapped_bytes() - before > RECORDS * SIZE // 2
        assert MappedIndex(repository.index.path, 0).trim()
        assert mapped_bytes() - before < RECORDS * SIZE // 8
        assert read_all(repository) == RECORDS * SIZE


def test_what_cannot_be_measured_stays(tmp_path: Path) -> None:
    index = MappedIndex(init_repository(tmp_path / "repo") / "index", 0)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    try:
        assert not index.trim()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
