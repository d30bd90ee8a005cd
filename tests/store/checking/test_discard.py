# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is damaged beyond repair goes, is missed from then on, and comes back with a commit."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostreefs_store.checking.discard import delete_damaged
from ostreefs_store.checking.fsck import Problem
from ostreefs_store.codec import content_digest
from ostreefs_store.errors import ObjectMissingError
from ostreefs_store.model import RegularFile
from ostreefs_store.objects import MODES
from ostreefs_store.repository import Repository
from ostreefs_store.verify import State
from tests.support.commits import put_file
from tests.support.damage import DAMAGE, flip, object_at
from tests.support.trees import check_out, ingest, list_tree, new_repository, problems_of, write

CONTENT = b"the content of the victim"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write(tmp_path / "source/dir/victim", CONTENT)
    write(tmp_path / "source/bystander", b"another file")
    return tmp_path / "source"


@pytest.fixture(params=MODES)
def committed(
    request: pytest.FixtureRequest, tmp_path: Path, source: Path
) -> Iterator[Repository]:
    with new_repository(tmp_path / "repo", request.param) as repository:
        ingest(repository, source)
        yield repository


def delete(repository: Repository) -> list[Problem]:
    problems = problems_of(repository)
    with repository.alone():
        return delete_damaged(repository, problems)


@pytest.mark.parametrize("damage", ["truncated", "emptied", "flipped", "fifo", "symlink"])
def test_deleted_and_brought_back_by_a_commit(
    committed: Repository, source: Path, tmp_path: Path, damage: str
) -> None:
    digest, victim = object_at(committed, "dir/victim")
    DAMAGE[damage](victim)
    [deleted] = delete(committed)
    assert deleted.digest == digest
    assert not os.path.lexists(victim)
    [problem] = problems_of(committed)
    assert (problem.digest, problem.state) == (digest, State.MISSING)
    with pytest.raises(ObjectMissingError):
        check_out(committed, tmp_path / "out")
    ingest(committed, source)
    assert problems_of(committed) == []
    check_out(committed, tmp_path / "out")
    assert list_tree(tmp_path / "out") == list_tree(source)


@pytest.mark.parametrize("damage", ["mode", "no mode at all", "directory"])
def test_whole_content_is_never_deleted(committed: Repository, damage: str) -> None:
    """Nor what is no object file at all."""
    _, victim = object_at(committed, "dir/victim")
    DAMAGE[damage](victim)
    before = victim.stat().st_ino
    assert delete(committed) == []
    assert victim.stat().st_ino == before


def test_what_was_missing_already_is_brought_back(committed: Repository, source: Path) -> None:
    _, victim = object_at(committed, "dir/victim")
    victim.unlink()
    assert delete(committed) == []
    ingest(committed, source)
    assert problems_of(committed) == []


def test_nothing_holds_content_that_was_deleted(committed: Repository) -> None:
    _, victim = object_at(committed, "dir/victim")
    flip(victim)
    delete(committed)
    with committed.index.snapshot() as snapshot:
        assert snapshot.holders_of(content_digest(CONTENT)) == []


def test_repaired_meanwhile(committed: Repository) -> None:
    """What was found before the repository was had alone is looked at again."""
    _, victim = object_at(committed, "dir/victim")
    content = victim.read_bytes()
    victim.write_bytes(b"x")
    problems = problems_of(committed)
    victim.write_bytes(content)
    with committed.alone():
        assert delete_damaged(committed, problems) == []
    assert victim.read_bytes() == content


@pytest.mark.parametrize("kind", ["files", "trees"])
def test_a_damaged_record(committed: Repository, source: Path, kind: str) -> None:
    with committed.index.transaction() as transaction:
        digest = next(digest for digest, _ in transaction.iter_objects(kind))
        transaction.put(kind, digest, b"garbage")
    assert [p.digest for p in delete(committed)] == [digest]
    assert [(p.digest, p.state) for p in problems_of(committed)] == [(digest, State.RECORD)]
    ingest(committed, source)
    assert problems_of(committed) == []


def test_a_damaged_record_that_twins_need(committed: Repository) -> None:
    """Its object file has their content."""
    holder, _ = object_at(committed, "dir/victim")
    twin = RegularFile(0o600, 5, 6, (), content_digest(CONTENT), len(CONTENT))
    with committed.index.transaction() as transaction:
        digest = put_file(transaction, twin)
        transaction.put_twins([(digest, holder)])
        transaction.put("files", holder, b"garbage")
    assert delete(committed) == []
    assert [p.digest for p in problems_of(committed)] == [holder]
