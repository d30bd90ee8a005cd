# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is damaged is made whole from what is verified, and nothing else is touched."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostreefs_store.checking.fsck import check_repository
from ostreefs_store.checkouts.filemaker import CheckoutOptions
from ostreefs_store.codec import content_digest
from ostreefs_store.model import RegularFile
from ostreefs_store.objects import MODES
from ostreefs_store.repository import Repository
from ostreefs_store.verify import State
from tests.support.commits import put_commit, put_file
from tests.support.crash import call_in_child
from tests.support.damage import DAMAGE, flip, object_at, repair
from tests.support.trees import check_out, ingest, list_tree, new_repository, problems_of, write

CONTENT = b"the content of the victim"
VICTIM = "dir/victim"


def make_source(path: Path) -> Path:
    write(path / VICTIM, CONTENT)
    if os.geteuid() == 0:
        os.setxattr(path / VICTIM, "user.own", b"1")
    for number in range(5):
        write(path / f"{number}", b"bystander %d" % number)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_source(tmp_path / "source")


@pytest.fixture(params=MODES)
def committed(
    request: pytest.FixtureRequest, tmp_path: Path, source: Path
) -> Iterator[Repository]:
    """A repository with one commit of the source."""
    with new_repository(tmp_path / "repo", request.param) as repository:
        ingest(repository, source)
        yield repository


def assert_whole(repository: Repository, source: Path, out: Path) -> None:
    assert check_repository(repository).problems == []
    assert check_repository(repository, quick=True).problems == []
    assert os.listdir(repository.path / "tmp") == []
    check_out(repository, out)
    assert list_tree(out) == list_tree(source)


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("damage", DAMAGE)
def test_repaired_from_a_directory(
    committed: Repository, source: Path, tmp_path: Path, damage: str, *, quick: bool
) -> None:
    digest, victim = object_at(committed, VICTIM)
    DAMAGE[damage](victim)
    [outcome] = repair(committed, source, quick=quick)
    assert outcome.repaired
    assert outcome.problem.digest == digest
    assert_whole(committed, source, tmp_path / "out")


@pytest.mark.parametrize("damage", [name for name in DAMAGE if "mode" not in name])
def test_not_repaired_without_a_copy(committed: Repository, damage: str) -> None:
    _, victim = object_at(committed, VICTIM)
    DAMAGE[damage](victim)
    [outcome] = repair(committed)
    assert (outcome.repaired, outcome.detail) == (False, "no whole copy of its content was found")
    assert len(problems_of(committed)) == 1
    assert os.listdir(committed.path / "tmp") == []


def test_found_by_its_size_and_content(
    committed: Repository, source: Path, tmp_path: Path
) -> None:
    """Under any name, among others of the same size; links and the repository are passed over."""
    _, victim = object_at(committed, VICTIM)
    flip(victim)
    place = tmp_path / "elsewhere"
    for number in range(3):
        write(place / f"{number}", bytes(len(CONTENT)))
    (place / "a-link").symlink_to(source / VICTIM)
    os.mkfifo(place / "fifo")
    [outcome] = repair(committed, place)
    assert not outcome.repaired
    write(place / "deep/down", CONTENT)
    [outcome] = repair(committed, place)
    assert outcome.detail == f"from {place}/deep/down"
    assert_whole(committed, source, tmp_path / "out")


def test_a_repository_is_no_copy_of_itself(committed: Repository, tmp_path: Path) -> None:
    _, victim = object_at(committed, VICTIM)
    write(committed.path / "objects/stray", CONTENT)
    flip(victim)
    (tmp_path / "source" / VICTIM).unlink()
    [outcome] = repair(committed, tmp_path)
    assert not outcome.repaired


@pytest.mark.parametrize("link", ["dir", VICTIM])
def test_links_in_a_source_lead_nowhere(committed: Repository, source: Path, link: str) -> None:
    """A copy is not taken from outside of the directory that was given."""
    _, victim = object_at(committed, VICTIM)
    flip(victim)
    (source / link).rename(source.parent / "outside")
    (source / link).symlink_to(source.parent / "outside")
    [outcome] = repair(committed, source)
    assert not outcome.repaired


@pytest.mark.parametrize("change", [flip, lambda p: p.chmod(0o640)], ids=["content", "mode"])
def test_a_checkout_keeps_the_inode_that_it_has(
    own_mode: str, source: Path, tmp_path: Path, change: object
) -> None:
    """Whoever wrote there may want it; the object gets an inode of its own again."""
    assert callable(change)
    with new_repository(tmp_path / "repo", own_mode) as repository:
        ingest(repository, source)
        user = CheckoutOptions(user=own_mode == "bare-user", require_hardlinks=True)
        check_out(repository, tmp_path / "out", options=user)
        shared = tmp_path / "out" / VICTIM
        change(shared)
        before = shared.stat()
        [outcome] = repair(repository, tmp_path / "out", source)
        assert outcome.problem.links == 2
        assert outcome.repaired
        assert f"from {tmp_path}/out" not in outcome.detail
        _, victim = object_at(repository, VICTIM)
        assert victim.stat().st_ino != before.st_ino
        after = shared.stat()
        assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (
            before.st_ino,
            before.st_mode,
            before.st_mtime_ns,
        )
        assert after.st_nlink == 1
        assert_whole(repository, source, tmp_path / "again")


@pytest.mark.parametrize("damage", ["mode", "no mode at all"])
def test_metadata_of_an_inode_of_its_own(
    committed: Repository, source: Path, tmp_path: Path, damage: str
) -> None:
    """No content moves."""
    _, victim = object_at(committed, VICTIM)
    inode = victim.stat().st_ino
    DAMAGE[damage](victim)
    [outcome] = repair(committed)
    assert outcome.detail == "its metadata were set again"
    assert victim.stat().st_ino == inode
    assert_whole(committed, source, tmp_path / "out")


@pytest.mark.root
@pytest.mark.parametrize(
    "change",
    [
        lambda p: os.chown(p, 5, 6),
        lambda p: os.setxattr(p, "user.own", b"2"),
        lambda p: os.setxattr(p, "user.more", b"2"),
        lambda p: os.removexattr(p, "user.own"),
        lambda p: p.chmod(0o4755),
    ],
    ids=["owner", "xattr changed", "xattr added", "xattr removed", "setuid"],
)
def test_metadata_of_bare_repositories(source: Path, tmp_path: Path, change: object) -> None:
    assert callable(change)
    with new_repository(tmp_path / "repo", "bare") as repository:
        ingest(repository, source)
        change(object_at(repository, VICTIM)[1])
        [outcome] = repair(repository)
        assert outcome.repaired
        assert_whole(repository, source, tmp_path / "out")


def test_the_owner_who_locked_himself_out(tmp_path: Path) -> None:
    """Content under a mode that keeps even the owner out is read all the same."""

    def work() -> tuple[str, list[object]]:
        source = make_source(place / "source")
        with new_repository(place / "repo", "bare-user") as repository:
            ingest(repository, source)
            _, victim = object_at(repository, VICTIM)
            os.link(victim, place / "shared")
            victim.chmod(0)
            [problem] = problems_of(repository)
            assert problem.state is State.METADATA
            [outcome] = repair(repository)
            assert (place / "shared").stat().st_mode & 0o7777 == 0
            return outcome.detail, list(problems_of(repository))

    place = tmp_path / "place"
    place.mkdir()
    for parent in (tmp_path, *tmp_path.parents[:-1]):
        if parent.owner() == "root" and os.geteuid() == 0:
            parent.chmod(parent.stat().st_mode | 0o011)
    uid = 1234 if os.geteuid() == 0 else None
    if uid:
        os.chown(place, uid, uid)
    assert call_in_child(work, uid=uid) == ("with a copy of its own content", [])


def test_a_directory_that_holds_something_is_left_alone(
    committed: Repository, source: Path, tmp_path: Path
) -> None:
    _, victim = object_at(committed, VICTIM)
    victim.unlink()
    write(victim / "precious")
    [outcome] = repair(committed, source)
    assert not outcome.repaired
    assert "Is a directory" in outcome.detail or "not empty" in outcome.detail
    assert (victim / "precious").exists()
    (victim / "precious").unlink()
    repair(committed, source)
    assert_whole(committed, source, tmp_path / "out")


def test_a_folder_that_is_a_file_is_named(committed: Repository, source: Path) -> None:
    _, victim = object_at(committed, VICTIM)
    victim.parent.rename(committed.path / "gone")
    victim.parent.touch()
    [outcome] = repair(committed, source)
    assert not outcome.repaired
    assert "Not a directory" in outcome.detail


def test_a_suspect_that_is_whole(committed: Repository, source: Path, tmp_path: Path) -> None:
    """It is read, and what the quick check compares with is recorded anew."""
    _, victim = object_at(committed, VICTIM)
    victim.touch()
    _, other = object_at(committed, "0")
    content, found = other.read_bytes(), other.stat()
    other.rename(tmp_path / "keeps-its-inode")
    write(other, content, found.st_mode & 0o7777)
    os.utime(other, (0, 0))
    assert [p.state for p in problems_of(committed)] == []
    assert len(check_repository(committed, quick=True).problems) == 2
    assert all(outcome.repaired for outcome in repair(committed, quick=True))
    assert_whole(committed, source, tmp_path / "out")


# ---- from other objects ----


def test_from_an_object_of_the_same_content(committed: Repository, source: Path) -> None:
    digest, victim = object_at(committed, VICTIM)
    uid, gid = os.geteuid(), os.getegid()
    twin = RegularFile(0o600, uid, gid, (), content_digest(CONTENT), len(CONTENT))
    inode = write(committed.path / "tmp/new", CONTENT, 0o600)
    os.utime(inode, (0, 0))
    with committed.index.transaction() as transaction:
        other = put_file(transaction, twin)
        transaction.put_object_files([(inode.stat().st_ino, other, twin.content)])
    inode.rename(victim.parents[1] / other.hex()[:2] / other.hex()[2:])
    assert problems_of(committed) == []
    flip(victim)
    [outcome] = repair(committed)
    assert outcome.detail == f"from object {other.hex()}, which has the same content"
    assert outcome.problem.digest == digest
    assert problems_of(committed) == []


def test_twins_are_repaired_with_their_holder(committed: Repository, source: Path) -> None:
    holder, victim = object_at(committed, VICTIM)
    twin = RegularFile(0o600, 5, 6, (), content_digest(CONTENT), len(CONTENT))
    with committed.index.transaction() as transaction:
        digest = put_file(transaction, twin)
        transaction.put_twins([(digest, holder)])
        put_commit(transaction, {b"twin": digest})
    flip(victim)
    outcomes = {o.problem.digest: o for o in repair(committed)}
    assert {digest, holder} == set(outcomes)
    assert not any(o.repaired for o in outcomes.values())
    assert all(outcome.repaired for outcome in repair(committed, source))
    assert problems_of(committed) == []
    with committed.index.snapshot() as snapshot:
        assert snapshot.find_holder(digest) == holder


def test_a_twin_of_nothing_gets_a_file_of_its_own(committed: Repository) -> None:
    twin = RegularFile(
        0o600, os.geteuid(), os.getegid(), (), content_digest(CONTENT), len(CONTENT)
    )
    with committed.index.transaction() as transaction:
        digest = put_file(transaction, twin)
        transaction.put_twins([(digest, type(digest)(b"\x11" * 32))])
        put_commit(transaction, {b"twin": digest})
    [outcome] = repair(committed)
    assert outcome.repaired
    assert problems_of(committed) == []
    with committed.index.snapshot() as snapshot:
        assert snapshot.find_holder(digest) == digest


# ---- many ----


def test_many(committed: Repository, tmp_path: Path) -> None:
    source = tmp_path / "many"
    for number in range(600):
        write(source / f"{number}", b"file number %d" % number)
    ingest(committed, source, "many")
    for number in range(0, 600, 2):
        flip(object_at(committed, f"{number}", "many")[1])
    outcomes = repair(committed, source)
    assert len(outcomes) == 300
    assert all(outcome.repaired for outcome in outcomes)
    assert check_repository(committed, quick=True).problems == []
