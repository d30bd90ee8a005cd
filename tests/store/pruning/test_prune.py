# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pruning: what goes, what stays, what the caches still believe."""

import os
import subprocess
from pathlib import Path

import pytest

from ostreefs_store import durable
from ostreefs_store.checkouts.filemaker import CheckoutOptions
from ostreefs_store.errors import CommitInUseError, ObjectMissingError
from ostreefs_store.leases import Leases
from ostreefs_store.lock import shared_lock
from ostreefs_store.model import Digest
from ostreefs_store.objects import object_name
from ostreefs_store.pruning.keeping import Rules
from ostreefs_store.pruning.prune import prune
from ostreefs_store.refs import read_commit, resolve
from ostreefs_store.repository import Repository
from ostreefs_store.traverse import iter_history, read_tree_object
from tests.support.commands import OURSELVES, command
from tests.support.commits import EMPTY_FILE, commit_files, put_commit, put_file
from tests.support.trees import check_out, list_tree, problems_of, settle, write

TIP = Rules(refs_only=True, depth=0)


def object_files(repository: Repository) -> set[str]:
    return {str(p.relative_to(repository.objects.path)) for p in find_files(repository)}


def find_files(repository: Repository) -> list[Path]:
    return [path for path in repository.objects.path.rglob("*") if path.is_file()]


def files_of(repository: Repository, out: Path, revision: str = "main") -> dict[str, bytes]:
    """What a commit holds, by a checkout."""
    check_out(repository, out, revision, options=CheckoutOptions(force_copy=True))
    found = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    for path in sorted(out.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    out.rmdir()
    return found


def counts(repository: Repository) -> tuple[int, int, int]:
    with repository.index.snapshot() as snapshot:
        return snapshot.count("commits"), snapshot.count("trees"), snapshot.count("files")


def delete_ref(repository: Repository, ref: str) -> None:
    with repository.index.transaction() as transaction:
        transaction.delete_ref(ref)


FIRST = {"a": b"a one", "d/b": b"b one", "d/e/c": b"c one", "same": b"same"}
SECOND = {"a": b"a two", "d/b": b"b one", "x/y": b"y two", "same": b"same"}
THIRD = {"a": b"a one", "x/y": b"y three", "same": b"same"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source"


@pytest.fixture
def history(any_repository: Repository, source: Path) -> list[Digest]:
    """Three commits on `main`."""
    return [
        commit_files(any_repository, source, files, timestamp=number)
        for number, files in enumerate((FIRST, SECOND, THIRD))
    ]


def test_nothing_to_delete(any_repository: Repository, history: list[Digest]) -> None:
    before, files = counts(any_repository), object_files(any_repository)
    for rules in (Rules(), Rules(refs_only=True), Rules(depth=0)):
        report = prune(any_repository, rules)
        assert (report.deleted, report.freed, report.total) == (0, 0, sum(before))
    assert (counts(any_repository), object_files(any_repository)) == (before, files)


def test_what_no_kept_commit_needs_goes(
    any_repository: Repository, history: list[Digest], tmp_path: Path
) -> None:
    before = sum(counts(any_repository))
    report = prune(any_repository, TIP)
    assert report.commits == sorted(history[:2])
    # trees: the roots, d twice, d/e, x; files: b one, c one, a two, y two
    assert (report.trees, report.files, report.left_over) == (6, 4, 0)
    assert report.freed == 20
    assert report.total == before
    assert sum(counts(any_repository)) == before - report.deleted == 1 + 2 + 3
    assert len(object_files(any_repository)) == 3
    assert problems_of(any_repository) == []
    assert files_of(any_repository, tmp_path / "out") == THIRD
    assert prune(any_repository, TIP).deleted == 0


def test_a_dry_run_tells_the_same_and_deletes_nothing(
    any_repository: Repository, history: list[Digest]
) -> None:
    before, files = counts(any_repository), object_files(any_repository)
    told = prune(any_repository, TIP, dry_run=True)
    assert (counts(any_repository), object_files(any_repository)) == (before, files)
    assert prune(any_repository, TIP) == told


def test_the_history_ends_where_it_was_pruned(
    any_repository: Repository, history: list[Digest], tmp_path: Path
) -> None:
    prune(any_repository, Rules(refs_only=True, depth=1))
    with any_repository.index.snapshot() as snapshot:
        assert [c for c, _ in iter_history(snapshot, history[2])] == history[:0:-1]
    assert files_of(any_repository, tmp_path / "out", "main^") == SECOND


def test_a_commit_in_the_midst_can_be_deleted(
    any_repository: Repository, history: list[Digest], tmp_path: Path
) -> None:
    report = prune(any_repository, Rules(delete=[history[1]]))
    assert report.commits == [history[1]]
    with any_repository.index.snapshot() as snapshot:
        assert [c for c, _ in iter_history(snapshot, history[2])] == [history[2], history[0]]
        assert resolve(snapshot, "main~1") == history[0]
    assert files_of(any_repository, tmp_path / "out", "main~1") == FIRST
    assert problems_of(any_repository) == []


# ---- what crashes leave ----


def test_object_files_of_no_object_go(any_repository: Repository, history: list[Digest]) -> None:
    objects = any_repository.objects.path
    kept = object_files(any_repository)
    write(objects / object_name(b"\x00" * 32), b"left")
    write(objects / object_name(b"\xff" * 32), b"over")
    write(objects / "00/not-an-object", b"somebody's")
    (objects / object_name(b"\x77" * 32)).mkdir()
    write(any_repository.path / "tmp/staged", b"left")
    report = prune(any_repository, Rules())
    assert (report.left_over, report.freed) == (3, 8)
    assert object_files(any_repository) == {*kept, "00/not-an-object"}
    assert not list((any_repository.path / "tmp").iterdir())


def test_objects_of_no_commit_go_with_the_next_commit(
    any_repository: Repository, history: list[Digest]
) -> None:
    with any_repository.index.transaction() as transaction:
        put_file(transaction, EMPTY_FILE)
    assert prune(any_repository, TIP).files == 5


def test_a_damaged_repository_is_not_made_worse(
    any_repository: Repository, history: list[Digest]
) -> None:
    before = object_files(any_repository)
    with any_repository.index.transaction() as transaction:
        root = read_commit(transaction, history[2]).root
        [tree] = [e.digest for e in read_tree_object(transaction, root).entries if e.is_tree]
        transaction.delete("trees", tree)
    with pytest.raises(ObjectMissingError):
        prune(any_repository, Rules(delete=[history[0]]))
    assert object_files(any_repository) == before
    assert counts(any_repository)[0] == 3
    prune(any_repository, Rules(refs_only=True))  # nothing is to go: nothing is asked


# ---- caches ----


@pytest.mark.parametrize("change", [False, True])
def test_what_was_pruned_can_be_committed_again(
    any_repository: Repository, source: Path, tmp_path: Path, *, change: bool
) -> None:
    """The stat cache knows the files, and must not believe in their objects."""
    commit_files(any_repository, tmp_path / "kept", {"same": b"same"}, "kept")
    for _ in range(2):
        commit_files(any_repository, source, FIRST, "doomed")
        settle(source)
    delete_ref(any_repository, "doomed")
    report = prune(any_repository, Rules(refs_only=True))
    assert (len(report.commits), report.files) == (2, 3)
    again = FIRST | {"d/new": b"new"} if change else FIRST
    commit_files(any_repository, source, again, "again")
    assert problems_of(any_repository) == []
    assert files_of(any_repository, tmp_path / "out", "again") == again


def test_what_is_kept_is_known_still(any_repository: Repository, source: Path) -> None:
    for _ in range(2):
        commit_files(any_repository, source, FIRST)
        settle(source)
    with any_repository.index.snapshot() as snapshot:
        before = dict(snapshot.items_from("statcache"))
    assert len(prune(any_repository, TIP).commits) == 1
    with any_repository.index.snapshot() as snapshot:
        assert dict(snapshot.items_from("statcache")) == before


def test_a_checkout_of_what_was_pruned_is_committed_anew(
    repository: Repository, source: Path, tmp_path: Path
) -> None:
    """The inodes of a hardlink checkout are those of objects that are gone."""
    commit_files(repository, source, {"other": b"tree"}, "other")
    commit_files(repository, source, FIRST, "doomed")
    check_out(repository, tmp_path / "linked", "doomed")
    delete_ref(repository, "doomed")
    prune(repository, Rules(refs_only=True))
    assert len(object_files(repository)) == 1
    commit_files(repository, tmp_path / "linked", FIRST, "again")
    assert problems_of(repository) == []
    assert files_of(repository, tmp_path / "out", "again") == FIRST
    for path in find_files(repository):
        assert path.stat().st_nlink == 1, "an object shares its inode with a source"


# ---- who keeps what ----


def test_a_leased_commit_stays_and_is_told(
    any_repository: Repository, history: list[Digest], tmp_path: Path
) -> None:
    with Leases(any_repository.path) as leases:
        assert leases.hold(history[0])
        report = prune(any_repository, TIP)
        assert (report.commits, report.leased) == ([history[1]], [history[0]])
        assert files_of(any_repository, tmp_path / "out", history[0].hex()) == FIRST
        with pytest.raises(CommitInUseError, match="is mounted"):
            prune(any_repository, Rules(delete=[history[0]]))
    report = prune(any_repository, TIP)
    assert (report.commits, report.leased) == ([history[0]], [])
    assert problems_of(any_repository) == []


def test_a_prune_waits_for_whoever_uses_the_repository(
    any_repository: Repository, history: list[Digest]
) -> None:
    """The other process ends its use only after it was told that the prune waits."""
    waiting, told = os.pipe()
    holding, held = os.pipe()
    pid = os.fork()
    if pid == 0:
        with shared_lock(any_repository.path):
            os.write(held, b"x")
            os.read(waiting, 1)
            write(any_repository.path / "done", b"")
        os._exit(0)
    os.read(holding, 1)

    def tell() -> None:
        os.write(told, b"x")

    prune(any_repository, TIP, on_wait=tell)
    assert (any_repository.path / "done").exists()
    os.waitpid(pid, 0)
    for fd in (waiting, told, holding, held):
        os.close(fd)


@pytest.mark.parametrize("point", ["prune:alone", "prune:claimed", "prune:forgotten"])
def test_a_commit_beside_a_prune(
    any_repository: Repository, source: Path, tmp_path: Path, point: str
) -> None:
    """A commit that needs what is just being deleted waits, and stores it anew."""
    commit_files(any_repository, tmp_path / "kept", {"same": b"same"}, "kept")
    for _ in range(2):
        commit_files(any_repository, source, FIRST, "doomed")
        settle(source)
    delete_ref(any_repository, "doomed")
    words = ("commit", f"--repo={any_repository.path}", "-b", "again", source)
    started: list[subprocess.Popen[bytes]] = []

    def hook(passed: str) -> None:
        if passed == point:
            started.append(subprocess.Popen(command(*words), **OURSELVES.popen_arguments()))

    durable.set_trace_hook(hook)
    try:
        assert len(prune(any_repository, Rules(refs_only=True)).commits) == 2
    finally:
        durable.set_trace_hook(None)
    assert [process.wait(60) for process in started] == [0]
    assert problems_of(any_repository) == []
    assert files_of(any_repository, tmp_path / "out", "again") == FIRST


def test_many_commits_at_once(any_repository: Repository) -> None:
    with any_repository.index.transaction() as transaction:
        parents: list[Digest] = []
        for number in range(300):
            parents = [put_commit(transaction, {}, parents=parents, subject=str(number))]
        transaction.set_ref("main", parents[0])
    assert len(prune(any_repository, TIP).commits) == 299
    assert counts(any_repository) == (1, 1, 0)
    with any_repository.index.snapshot() as snapshot:
        assert snapshot.count("grafts") == 0


def test_a_hardlink_checkout_stays_whole(
    any_repository: Repository, history: list[Digest], tmp_path: Path
) -> None:
    """What it shares with objects that go is not free."""
    out = tmp_path / "linked"
    check_out(any_repository, out, "main~2")
    before = list_tree(out)
    linked = [p for p in (out / "d/b", out / "d/e/c") if p.stat().st_nlink > 1]
    would = prune(any_repository, TIP, dry_run=True).freed
    assert would == 20 - sum(p.stat().st_size for p in linked)
    assert prune(any_repository, TIP).freed == would
    assert list_tree(out) == before
