# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commits: parents, messages, consumed sources."""

import os
from pathlib import Path
from typing import Literal

import pytest

from ostreefs_store.committing.commit import Message, Target, read_tip, write_commit
from ostreefs_store.errors import (
    InvalidNameError,
    RefConflictError,
    RefIsAliasError,
    RefMovedError,
    StoreError,
)
from ostreefs_store.model import Commit, Digest
from ostreefs_store.reflog import iter_moves
from ostreefs_store.refs import delete_refs, read_commit, set_alias, set_ref
from ostreefs_store.repository import Repository
from tests.support.commits import EMPTY_FILE, put_commit
from tests.support.trees import (
    MESSAGE,
    check_out,
    delete,
    ingest,
    list_tree,
    make_deep_directory,
    make_small_tree,
    make_socket,
    new_repository,
    problems_of,
    settle,
    take_in,
    write,
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small tree."""
    return make_small_tree(tmp_path / "source")


def commit(
    repository: Repository,
    source: Path,
    message: Message = MESSAGE,
    *,
    parent: Digest | Literal["none"] | None = None,
    skip: bool = False,
) -> tuple[Digest, bool]:
    with repository.in_use(writing=True):
        taken = take_in(repository, source)
        return write_commit(
            repository,
            taken.batch,
            taken.root,
            message,
            Target("main", parent, skip_if_unchanged=skip),
        )


def read(repository: Repository, digest: Digest) -> Commit:
    with repository.index.snapshot() as snapshot:
        return read_commit(snapshot, digest)


def test_what_a_commit_says(repository: Repository, source: Path) -> None:
    message = Message("Subject é", "Body\nof two lines", -5, {"version": 3, "ok": True, "a": "b"})
    digest, is_new = commit(repository, source, message)
    found = read(repository, digest)
    assert is_new
    assert (found.subject, found.body, found.timestamp) == message[:3]
    assert found.metadata == message.metadata
    assert found.parents == ()
    assert commit(repository, source, message, parent="none") == (digest, True), "same again"


def test_parents(repository: Repository, source: Path) -> None:
    first, _ = commit(repository, source)
    second, _ = commit(repository, source)
    third, _ = commit(repository, source, parent=first)
    fourth, _ = commit(repository, source, parent="none")
    assert [read(repository, digest).parents for digest in (first, second, third, fourth)] == [
        (),
        (first,),
        (first,),
        (),
    ]
    assert fourth == first, "the same facts are the same commit"


def test_skip_if_unchanged(repository: Repository, source: Path) -> None:
    first, is_new = commit(repository, source, skip=True)
    assert is_new, "there is no parent yet"
    settle(source)
    assert commit(repository, source, skip=True) == (first, False)
    taken = take_in(repository, source)
    assert taken.read_files == 0, "what was learnt of the source is kept"
    write(source / "new", b"new")
    second, is_new = commit(repository, source, skip=True)
    assert is_new
    assert read(repository, second).parents == (first,)
    with repository.index.snapshot() as snapshot:
        assert snapshot.count("commits") == 2


@pytest.mark.parametrize(
    "message",
    [
        MESSAGE._replace(timestamp=2**62),
        MESSAGE._replace(timestamp=-(2**62)),
        MESSAGE._replace(timestamp=2**70),
        MESSAGE._replace(subject="\udcff"),
        MESSAGE._replace(body="\udcff"),
        MESSAGE._replace(metadata={"\udcff": 1}),
        MESSAGE._replace(metadata={"n": 2**70}),
    ],
)
def test_a_message_that_no_commit_can_hold(
    repository: Repository, source: Path, message: Message
) -> None:
    """It is refused, not written: nobody could read the branch any more."""
    first, _ = commit(repository, source)
    with pytest.raises(StoreError):
        commit(repository, source, message)
    with repository.index.snapshot() as snapshot:
        assert snapshot.find_ref("main") == first
    assert problems_of(repository) == []


def test_read_tip(repository: Repository, source: Path) -> None:
    first, _ = commit(repository, source)
    assert read_tip(repository, "main") == first
    assert read_tip(repository, "other") is None
    with pytest.raises(InvalidNameError):
        read_tip(repository, "a b")
    with pytest.raises(RefConflictError):
        read_tip(repository, "main/below")
    with repository.index.transaction() as transaction:
        set_alias(transaction, "alias", "main")
    with pytest.raises(RefIsAliasError):
        read_tip(repository, "alias")


# ---- two at once ----


def change_branch(repository: Repository, change: str) -> Digest | None:
    """Move, create or delete `main`; what it names then."""
    with repository.index.transaction() as transaction:
        if change == "deleted":
            delete_refs(transaction, "main")
            return None
        commit = put_commit(transaction, {b"other": EMPTY_FILE})
        set_ref(transaction, "main", commit)
        return commit


@pytest.mark.parametrize("change", ["created", "moved", "deleted"])
@pytest.mark.parametrize("parent", [None, "none"])
def test_a_branch_that_moved_meanwhile(
    repository: Repository, source: Path, change: str, parent: Literal["none"] | None
) -> None:
    """Both commits exist, one update wins, and the other says so."""
    if change != "created":
        commit(repository, source)
    tip = read_tip(repository, "main")
    write(source / "new", b"new")
    winner = change_branch(repository, change)
    taken = take_in(repository, source)
    target = Target("main", parent, tip=tip)
    with pytest.raises(RefMovedError) as caught:
        write_commit(repository, taken.batch, taken.root, MESSAGE, target)
    error = caught.value
    assert (error.ref, error.expected, error.found) == ("main", tip, winner)
    assert error.commit.hex() in str(error)
    assert f"reset main {error.commit.hex()}" in str(error.hint)
    stored = Digest(error.commit)
    expected = () if parent == "none" or tip is None else (tip,)
    assert read(repository, stored).parents == expected
    with repository.index.snapshot() as snapshot:
        assert snapshot.find_ref("main") == winner
    assert problems_of(repository) == []


def test_the_same_commit_made_twice_at_once(repository: Repository, source: Path) -> None:
    first, _ = commit(repository, source)
    taken = take_in(repository, source)
    target = Target("main", tip=None)
    again = write_commit(repository, taken.batch, taken.root, MESSAGE, target)
    assert again == (first, True)


def test_a_commit_is_in_the_reflog(repository: Repository, source: Path) -> None:
    first, _ = commit(repository, source)
    second, _ = commit(repository, source, MESSAGE._replace(subject=""))
    with repository.index.snapshot() as snapshot:
        moves = [(move.old, move.new, move.reason) for move in iter_moves(snapshot, "main")]
    assert moves == [
        (first, second, "commit: (no subject)"),
        (None, first, "commit: A subject"),
    ]


# ---- consumed sources ----


def test_consume(any_repository: Repository, source: Path, tmp_path: Path) -> None:
    expected = list_tree(source)
    _, taken = ingest(any_repository, source, consume=True)
    assert {path: e.data for path, e in list_tree(source).items()} == {
        path: e.data for path, e in expected.items()
    }, "nothing is deleted before the commit"
    assert delete(source, taken) == []
    assert not source.exists()
    check_out(any_repository, tmp_path / "out")
    assert list_tree(tmp_path / "out") == expected
    assert problems_of(any_repository) == []


def test_consume_leaves_what_was_not_committed(any_repository: Repository, source: Path) -> None:
    make_socket(source / "etc/socket")
    _, taken = ingest(any_repository, source, consume=True)
    write(source / "usr/lib/late", b"came after the scan")
    left = delete(source, taken)
    assert {entry.path for entry in left} == {b"", b"etc", b"usr", b"usr/lib"}
    assert {entry.reason for entry in left} == {"Directory not empty"}
    assert sorted(str(p.relative_to(source)) for p in source.rglob("*") if not p.is_dir()) == [
        "etc/socket",
        "usr/lib/late",
    ]


def test_consume_never_follows_a_link(
    any_repository: Repository, source: Path, tmp_path: Path
) -> None:
    outside = write(tmp_path / "outside/libtool.so", b"not ours").parent
    _, taken = ingest(any_repository, source, consume=True)
    (source / "usr/lib").rename(tmp_path / "gone")
    (source / "usr/lib").symlink_to(outside)
    assert {entry.path for entry in delete(source, taken)} >= {b"", b"usr", b"usr/lib"}
    assert os.listdir(outside) == ["libtool.so"]


def test_consume_beyond_path_max(deep_path: Path, own_mode: str) -> None:
    make_deep_directory(deep_path / "source", b"d" * 255, 30)
    with new_repository(deep_path / "repo", own_mode) as repository:
        _, taken = ingest(repository, deep_path / "source", consume=True)
        assert delete(deep_path / "source", taken) == []
        assert problems_of(repository) == []
    assert not (deep_path / "source").exists()


def test_consume_with_hard_links(any_repository: Repository, tmp_path: Path) -> None:
    source = tmp_path / "source"
    write(source / "one", b"content")
    os.link(source / "one", source / "two")
    outside = tmp_path / "outside"
    os.link(source / "one", outside)
    _, taken = ingest(any_repository, source, consume=True)
    delete(source, taken)
    with outside.open("r+b") as file:
        file.write(b"CHANGED")
    assert problems_of(any_repository) == [], "an inode that others can write to became an object"
