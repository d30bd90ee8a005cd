# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consuming a source: what is believed of it, what is deleted, and what is not."""

import os
from pathlib import Path

import pytest

from ostreefs_store import durable
from ostreefs_store.checkouts.filemaker import CheckoutOptions
from ostreefs_store.committing.consume import delete_source
from ostreefs_store.committing.ingest import open_source
from ostreefs_store.errors import (
    ObjectCorruptError,
    SourceChangedError,
    SourceHoldsRepositoryError,
)
from ostreefs_store.objects import object_name
from ostreefs_store.repository import Repository
from tests.support.trees import check_out, delete, ingest, list_tree, problems_of, write


def test_a_file_that_was_replaced_is_left(any_repository: Repository, tmp_path: Path) -> None:
    source = tmp_path / "source"
    write(source / "f", b"committed")
    _, taken = ingest(any_repository, source, consume=True)
    write(source / "new", b"newer edit").replace(source / "f")
    assert [(entry.path, entry.reason) for entry in delete(source, taken)] == [
        (b"f", "it has changed since it was committed"),
        (b"", "Directory not empty"),
    ]
    assert (source / "f").read_bytes() == b"newer edit"


def test_a_link_to_the_source_may_move(any_repository: Repository, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name / "f", b"the same")
    link = tmp_path / "current"
    link.symlink_to("one")
    with open_source(link) as fd:
        _, taken = ingest(any_repository, link, consume=True)
        link.unlink()
        link.symlink_to("two")
        delete_source(fd, str(link), taken.ingested.taken_in)
    assert os.listdir(tmp_path / "two") == ["f"]
    assert os.listdir(tmp_path / "one") == []


def test_written_while_it_becomes_an_object(any_repository: Repository, tmp_path: Path) -> None:
    source = tmp_path / "source"
    write(source / "f", b"before")

    def write_at(point: str) -> None:
        if point == "object:adopting":
            with (source / "f").open("r+b") as file:
                file.write(b"AFTER!")

    durable.set_trace_hook(write_at)
    try:
        with pytest.raises(SourceChangedError):
            ingest(any_repository, source, consume=True)
    finally:
        durable.set_trace_hook(None)
    assert problems_of(any_repository) == []
    ingest(any_repository, source, consume=True)
    check_out(any_repository, tmp_path / "out")
    assert (tmp_path / "out/f").read_bytes() == b"AFTER!"
    assert problems_of(any_repository) == []


def test_an_object_that_a_dead_consumer_shares(any_repository: Repository, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name / "f", b"the same")

    class DeadError(Exception):
        pass

    def die_at(point: str) -> None:
        if point == "index:before-commit":
            raise DeadError

    durable.set_trace_hook(die_at)
    try:
        with pytest.raises(DeadError):
            ingest(any_repository, tmp_path / "one", consume=True)
    finally:
        durable.set_trace_hook(None)
    ingest(any_repository, tmp_path / "two", consume=True)
    with (tmp_path / "one/f").open("ab") as file:
        file.write(b"more")
    assert problems_of(any_repository) == []


def test_a_source_inside_the_repository(any_repository: Repository) -> None:
    with pytest.raises(SourceHoldsRepositoryError):
        ingest(any_repository, any_repository.path / "objects", consume=True)


def _damage(repository: Repository) -> Path:
    with repository.index.snapshot() as snapshot:
        ((digest, _),) = snapshot.iter_objects("files")
    path = repository.objects.path / object_name(digest)
    os.truncate(path, 1)
    return path


def test_a_commit_heals_a_truncated_object(any_repository: Repository, tmp_path: Path) -> None:
    write(tmp_path / "one/f", b"content")
    write(tmp_path / "two/f", b"content")
    ingest(any_repository, tmp_path / "one")
    _damage(any_repository)
    assert problems_of(any_repository) != []
    ingest(any_repository, tmp_path / "two")
    assert problems_of(any_repository) == []


@pytest.mark.parametrize("how", ["links", "copies"])
def test_a_truncated_object_is_not_checked_out(
    any_repository: Repository, tmp_path: Path, how: str
) -> None:
    write(tmp_path / "one/f", b"content")
    ingest(any_repository, tmp_path / "one")
    _damage(any_repository)
    options = CheckoutOptions(
        user=any_repository.config.mode == "bare-user", force_copy=how == "copies"
    )
    with pytest.raises(ObjectCorruptError, match="1 bytes instead of 7"):
        check_out(any_repository, tmp_path / "out", options=options)
    assert not (tmp_path / "out").exists()
    assert list_tree(tmp_path / "one")
