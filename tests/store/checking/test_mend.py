# SPDX-License-Identifier: LGPL-2.1-or-later
"""Records that are lost or damaged are made again from what has their digests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostreefs_store.checking.fsck import check_repository
from ostreefs_store.codec import content_digest, encode_commit
from ostreefs_store.model import Commit, Digest, RegularFile
from ostreefs_store.modifiers import Modifiers
from ostreefs_store.objects import MODES
from ostreefs_store.refs import read_commit, resolve
from ostreefs_store.repository import Repository
from ostreefs_store.traverse import find_node
from tests.support.commits import put_commit, put_file
from tests.support.damage import flip, object_at, repair
from tests.support.trees import check_out, ingest, list_tree, new_repository, problems_of, write

NOBODY = Digest(b"\x11" * 32)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    write(source / "dir/sub/file", b"a file", 0o755)
    write(source / "dir/other", b"another file")
    write(source / "dir/empty")
    write(source / "dir/private", b"a private file", 0o200 if os.geteuid() == 0 else 0o600)
    (source / "dir/link").symlink_to("file")
    os.mkfifo(source / "dir/fifo", 0o640)
    if os.geteuid() == 0:
        os.setxattr(source / "dir/other", "user.own", b"1")
        os.chown(source / "dir/other", 5, 6)
        (source / "dir/sub/file").chmod(0o4755)
    return source


@pytest.fixture(params=MODES)
def committed(
    request: pytest.FixtureRequest, tmp_path: Path, source: Path
) -> Iterator[Repository]:
    with new_repository(tmp_path / "repo", request.param) as repository:
        ingest(repository, source)
        yield repository


def digest_at(repository: Repository, path: str) -> Digest:
    with repository.index.snapshot() as snapshot:
        root = read_commit(snapshot, resolve(snapshot, "main")).root
        return find_node(snapshot, root, os.fsencode(path)).digest


def lose(repository: Repository, kind: str, *digests: Digest, garble: bool = False) -> None:
    with repository.index.transaction() as transaction:
        for digest in digests:
            if garble:
                transaction.put(kind, digest, b"garbage")
            else:
                transaction.delete(kind, digest)


def assert_whole(repository: Repository, source: Path, out: Path) -> None:
    assert problems_of(repository) == []
    check_out(repository, out)
    assert list_tree(out) == list_tree(source)


FILES = ["sub/file", "other", "empty", "private", "link", "fifo"]


@pytest.mark.parametrize("garble", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_file_record_from_a_directory(
    committed: Repository, source: Path, tmp_path: Path, name: str, *, garble: bool
) -> None:
    digest = digest_at(committed, f"dir/{name}")
    lose(committed, "files", digest, garble=garble)
    [problem] = [p for p in problems_of(committed) if p.kind == "file"]
    assert {path for _, path in problem.paths} == {f"/dir/{name}".encode()}
    assert all(outcome.repaired for outcome in repair(committed, source))
    assert_whole(committed, source, tmp_path / "out")


@pytest.mark.parametrize("garble", [False, True])
@pytest.mark.parametrize("name", ["sub/file", "private"])
def test_file_record_from_its_object_file(
    committed: Repository, source: Path, tmp_path: Path, name: str, *, garble: bool
) -> None:
    """In bare-user the setuid bit and the owner are guessed, and proven by the digest."""
    digest = digest_at(committed, f"dir/{name}")
    lose(committed, "files", digest, garble=garble)
    outcomes = [o for o in repair(committed) if o.problem.kind == "file"]
    assert [o.detail for o in outcomes] == ["its record was made again from its object file"]
    assert_whole(committed, source, tmp_path / "out")
    with committed.index.snapshot() as snapshot:
        assert snapshot.holders_of(content_digest((source / "dir" / name).read_bytes()))


@pytest.mark.root
def test_xattrs_that_only_the_record_had(source: Path, tmp_path: Path) -> None:
    """They are nowhere in bare-user; a directory that has them brings them back."""
    with new_repository(tmp_path / "repo", "bare-user") as repository:
        ingest(repository, source)
        lose(repository, "files", digest_at(repository, "dir/other"), garble=True)
        [outcome] = repair(repository)
        assert (outcome.repaired, outcome.detail) == (
            False,
            "no file that has this digest was found",
        )
        [outcome] = repair(repository, source)
        assert outcome.repaired
        assert_whole(repository, source, tmp_path / "out")


@pytest.mark.root
def test_owners_are_taken_from_what_is_around(tmp_path: Path, source: Path) -> None:
    """A checkout of an ordinary user has all but the owner."""
    with new_repository(tmp_path / "repo", "bare-user") as repository:
        ingest(repository, source, modifiers=Modifiers(1234, 4321))
        lose(repository, "files", digest_at(repository, "dir/link"))
        [outcome] = repair(repository, source)
        assert outcome.repaired
        assert problems_of(repository) == []


@pytest.mark.parametrize("garble", [False, True])
@pytest.mark.parametrize("path", ["/", "dir", "dir/sub"])
def test_tree_record(
    committed: Repository, source: Path, tmp_path: Path, path: str, *, garble: bool
) -> None:
    digest = digest_at(committed, path)
    lose(committed, "trees", digest, garble=garble)
    assert [p.digest for p in problems_of(committed)] == [digest]
    [outcome] = repair(committed)
    assert not outcome.repaired
    [outcome] = repair(committed, source)
    assert outcome.detail == f"its record was made again from {source / path.strip('/')}".rstrip(
        "/"
    ) + ("/" if path == "/" else "")
    assert_whole(committed, source, tmp_path / "out")


def test_what_a_lost_tree_hides(committed: Repository, source: Path, tmp_path: Path) -> None:
    """Trees, records and object files below it that are lost, too, are all brought back."""
    paths = ["dir", "dir/sub"]
    trees = [digest_at(committed, path) for path in paths]
    files = [digest_at(committed, f"dir/{name}") for name in FILES]
    _, victim = object_at(committed, "dir/sub/file")
    _, other = object_at(committed, "dir/other")
    victim.unlink()
    flip(other)
    lose(committed, "trees", *trees)
    lose(committed, "files", *files)
    outcomes = repair(committed, source)
    assert all(outcome.repaired for outcome in outcomes)
    assert_whole(committed, source, tmp_path / "out")


def test_a_directory_that_was_changed_is_of_no_use(committed: Repository, source: Path) -> None:
    lose(committed, "trees", digest_at(committed, "dir"))
    write(source / "dir/more", b"new")
    assert [outcome.repaired for outcome in repair(committed, source)] == [False]


def test_the_record_of_a_twin(committed: Repository, source: Path) -> None:
    holder = digest_at(committed, "dir/private")
    content = b"a private file"
    twin = RegularFile(
        0o640, os.geteuid(), os.getegid(), (), content_digest(content), len(content)
    )
    with committed.index.transaction() as transaction:
        digest = put_file(transaction, twin)
        transaction.put_twins([(digest, holder)])
        put_commit(transaction, {b"dir": {b"twin": digest}})
        transaction.put("files", digest, b"garbage")
    write(source / "dir/twin", content, 0o640)
    assert [o.repaired for o in repair(committed)] == [False]
    assert [o.repaired for o in repair(committed, source)] == [True]
    assert problems_of(committed) == []
    with committed.index.snapshot() as snapshot:
        assert snapshot.find_holder(digest) == holder


def test_commits_and_refs_are_not_made_up(committed: Repository, source: Path) -> None:
    commit = encode_commit(Commit(digest_at(committed, "/"), (), 0, "", "", {}))
    with committed.index.transaction() as transaction:
        transaction.put_commit(NOBODY, commit)
        transaction.set_ref("lost", Digest(b"\x22" * 32))
    outcomes = repair(committed, source)
    assert [(o.problem.kind, o.repaired) for o in outcomes] == [("ref", False), ("commit", False)]


@pytest.mark.parametrize("kind", ["nothing", "a twin", "another"])
def test_entries_of_the_content_index(
    committed: Repository, source: Path, tmp_path: Path, kind: str
) -> None:
    """A commit that believed them would store twins of nothing."""
    file = RegularFile(0o600, 5, 6, (), content_digest(b"another file"), 12)
    holder = digest_at(committed, "dir/other")
    wrong = NOBODY
    with committed.index.transaction() as transaction:
        if kind == "a twin":
            wrong = put_file(transaction, file)
            transaction.put_twins([(wrong, holder)])
        elif kind == "another":
            wrong = digest_at(committed, "dir/private")
        transaction.put("content", file.content, wrong)
    [problem] = problems_of(committed)
    assert (problem.kind, problem.digest) == ("content", wrong)
    [outcome] = repair(committed)
    assert outcome.repaired
    assert_whole(committed, source, tmp_path / "out")
    with committed.index.snapshot() as snapshot:
        assert snapshot.holders_of(file.content) == [holder]


def test_quickly(committed: Repository, source: Path) -> None:
    lose(committed, "trees", digest_at(committed, "dir"))
    assert len(check_repository(committed, quick=True).problems) == 1
    assert all(outcome.repaired for outcome in repair(committed, source, quick=True))
