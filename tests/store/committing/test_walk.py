# SPDX-License-Identifier: LGPL-2.1-or-later
"""A source that is divided among workers becomes what it becomes in one piece."""

import os
from pathlib import Path

import pytest

from ostreefs_store import parallel
from ostreefs_store.committing import walk
from ostreefs_store.errors import FreeSpaceError
from ostreefs_store.repository import Repository
from tests.support.trees import (
    check_out,
    delete,
    ingest,
    list_tree,
    make_small_tree,
    make_socket,
    new_repository,
    problems_of,
    root_of,
    settle,
    take_in,
    write,
)

SHARES = [1, 2, 7, 40]
ALL = 10**9


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Wide, deep, with empty directories, equal files and something to skip."""
    root = make_small_tree(tmp_path / "source")
    for number in range(30):
        write(root / f"wide/{number}", b"equal" if number % 3 else b"%d" % number)
        (root / f"dirs/{number}/empty").mkdir(parents=True)
        write(root / f"dirs/{number}/file", b"%d in a directory" % number)
    write(root / "/".join("d" * 12) / "deep", b"deep")
    make_socket(root / "etc/socket")
    settle(root)
    return root


def share(monkeypatch: pytest.MonkeyPatch, cost: int) -> None:
    monkeypatch.setattr(walk, "_SHARE", cost)
    monkeypatch.setattr(walk, "_FIRST_SHARE", cost)
    monkeypatch.setattr(walk, "_JOB_FILES", 5)


@pytest.mark.parametrize("cost", SHARES)
@pytest.mark.parametrize("workers", [1, 3])
def test_every_division_gives_the_same(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cost: int, workers: int
) -> None:
    monkeypatch.setattr(parallel, "worker_count", lambda: workers)
    with (
        new_repository(tmp_path / "whole", "bare-user") as whole,
        new_repository(tmp_path / "parts", "bare-user") as parts,
    ):
        for step in range(4):
            found = []
            for repository, own in ((whole, ALL), (parts, cost)):
                share(monkeypatch, own)
                _, taken = ingest(repository, source)
                batch = taken.batch
                found.append(
                    (
                        root_of(repository),
                        batch.files,
                        batch.trees,
                        sorted(batch.twins),
                        sorted((digest, content) for _, digest, content in batch.object_files),
                        taken.ingested.skipped,
                        (taken.read_files, taken.read_bytes),
                    )
                )
            assert found[0] == found[1]
            assert found[0][5] == [b"etc/socket"]
            change(source, step)
        assert problems_of(parts) == []
        with whole.index.snapshot() as one, parts.index.snapshot() as other:
            assert one.keys("statcache") == other.keys("statcache")


def change(source: Path, step: int) -> None:
    """Other files with new content, with new metadata, and gone each time; nothing at first."""
    if step == 1:
        for path in [*source.rglob("*")]:
            if path.is_file() and not path.is_symlink():
                path.chmod(path.stat().st_mode ^ 0o040)
    elif step == 2:
        write(source / "wide/7", b"another")
        (source / "dirs/9/file").unlink()
        write(source / "dirs/new/file", b"new")
    settle(source)


@pytest.mark.parametrize("cost", SHARES)
def test_a_divided_source_is_consumed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cost: int
) -> None:
    (source / "etc/socket").unlink()
    expected = list_tree(source)
    share(monkeypatch, cost)
    with new_repository(tmp_path / "repo", "bare-user") as repository:
        _, taken = ingest(repository, source, consume=True)
        assert delete(source, taken) == []
        assert problems_of(repository) == []
        check_out(repository, tmp_path / "out")
    assert not source.exists()
    assert list_tree(tmp_path / "out") == expected


@pytest.mark.parametrize("name", ["dirs/29", "wide", "dirs/3/empty"])
def test_what_cannot_be_opened_is_named(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Also where a job begins with it."""
    refused = os.fsencode(os.path.basename(name))
    real = os.open

    def refuse(path: str | bytes, flags: int, *args: int, dir_fd: int | None = None) -> int:
        if flags & os.O_DIRECTORY and os.fsencode(path) == refused:
            raise PermissionError(13, "Permission denied", path)
        return real(path, flags, *args, dir_fd=dir_fd)

    share(monkeypatch, 1)
    with new_repository(tmp_path / "repo", "bare-user") as repository:
        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(PermissionError) as caught:
            take_in(repository, source)
        monkeypatch.undo()
    found = os.fspath(caught.value.filename)
    assert found == str(source / name) or name == "dirs/3/empty"
    assert found.startswith(str(source) + "/")


def test_content_that_is_here_needs_no_space(
    repository: Repository, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither as it is nor under new metadata; what is new does."""
    ingest(repository, source)

    def check(_: Repository, wanted: int) -> None:
        if wanted:
            raise FreeSpaceError("limit", wanted)

    monkeypatch.setattr(walk, "check_free_space", check)
    again = make_small_tree(tmp_path / "again")
    (again / "usr/bin/tool").chmod(0o700)
    ingest(repository, again, "again")
    write(again / "new", b"four")
    with pytest.raises(FreeSpaceError) as caught:
        ingest(repository, again, "again")
    assert caught.value.wanted > 0
