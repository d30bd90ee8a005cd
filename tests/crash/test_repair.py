# SPDX-License-Identifier: LGPL-2.1-or-later
"""SIGKILL at every trace point of a repair: what was whole still is, and the next one ends it."""

import os
from pathlib import Path

import pytest

from ostreefs_store.checking.discard import delete_damaged
from ostreefs_store.checking.fsck import check_repository
from ostreefs_store.objects import MODES, Mode
from ostreefs_store.refs import read_commit, resolve
from ostreefs_store.repository import Repository
from ostreefs_store.traverse import find_node
from tests.support.crash import every_death
from tests.support.damage import DAMAGE, object_at, repair
from tests.support.trees import (
    check_out,
    ingest,
    list_tree,
    make_sparse,
    problems_of,
    remove_tree,
    write,
)

pytestmark = pytest.mark.crash

HARM = ["flipped", "missing", "mode", "truncated", "symlink", "directory"]


def make_source(path: Path) -> Path:
    for name in HARM:
        write(path / f"dir/{name}", f"victim of {name}".encode())
    write(path / "whole", b"its record is damaged")
    write(path / "sub/file", b"its tree is lost")
    make_sparse(path / "large", (1 << 20) + 9, {0: b"large enough to be copied in pieces"})
    return path


def harm(path: Path, out: Path) -> None:
    """Damage objects in every way; some share their inode with a checkout. And some records."""
    with Repository.open(path, writable=True) as repository:
        for name in HARM:
            _, victim = object_at(repository, f"dir/{name}")
            if name in {"mode", "flipped"}:
                out.mkdir(exist_ok=True)
                os.link(victim, out / name)
            DAMAGE[name](victim)
        _, large = object_at(repository, "large")
        large.chmod(0o600)
        with repository.index.transaction() as transaction:
            root = read_commit(transaction, resolve(transaction, "main")).root
            transaction.delete("trees", find_node(transaction, root, b"sub").digest)
            transaction.put("files", find_node(transaction, root, b"whole").digest, b"garbage")


def damaged_names(path: Path) -> set[str]:
    with Repository.open(path) as repository:
        return {problem.name for problem in problems_of(repository)}


def assert_whole(path: Path, source: Path, out: Path) -> None:
    with Repository.open(path, writable=True) as repository:
        assert problems_of(repository) == []
        # Whoever died between a rename and the index left inodes that it does not know.
        assert all(outcome.repaired for outcome in repair(repository, quick=True))
        assert check_repository(repository, quick=True).problems == []
        check_out(repository, out)
        with repository.in_use(writing=True):
            assert os.listdir(path / "tmp") == []
    assert list_tree(out) == list_tree(source)
    remove_tree(out)


def commit(path: Path, source: Path) -> None:
    with Repository.open(path, writable=True) as repository:
        ingest(repository, source)


@pytest.mark.parametrize("mode", MODES)
def test_repair(place: Path, mode: Mode) -> None:
    """One death after another, each a step further."""
    path, source = place / "repo", make_source(place / "source")
    Repository.init(path, mode)
    commit(path, source)
    harm(path, place / "linked")
    shared = {p.name: (p.read_bytes(), p.stat().st_ino) for p in (place / "linked").iterdir()}

    def operation() -> None:
        with Repository.open(path, writable=True) as repository:
            repair(repository, source)

    damaged = damaged_names(path)
    for _ in every_death(operation):
        now = damaged_names(path)
        assert now <= damaged, "something that was whole is damaged"
    assert_whole(path, source, place / "out")
    assert {
        p.name: (p.read_bytes(), p.stat().st_ino) for p in (place / "linked").iterdir()
    } == shared


@pytest.mark.parametrize("mode", MODES)
def test_repair_at_once_after_each_death(place: Path, mode: Mode) -> None:
    path, source = place / "repo", make_source(place / "source")
    Repository.init(path, mode)

    def operation() -> None:
        with Repository.open(path, writable=True) as repository:
            repair(repository, source)

    points, died = 0, True
    while died:
        remove_tree(path)
        Repository.init(path, mode)
        commit(path, source)
        if (place / "linked").exists():
            remove_tree(place / "linked")
        harm(path, place / "linked")
        died = next(iter(every_death(operation, first=points)), None) is not None
        operation()
        assert_whole(path, source, place / "out")
        points += 1
    assert points > 10


@pytest.mark.parametrize("mode", MODES)
def test_delete(place: Path, mode: Mode) -> None:
    path, source = place / "repo", make_source(place / "source")
    Repository.init(path, mode)
    commit(path, source)
    with Repository.open(path) as repository:
        for name in ("flipped", "truncated", "symlink"):
            DAMAGE[name](object_at(repository, f"dir/{name}")[1])

    def operation() -> None:
        with Repository.open(path, writable=True) as repository:
            problems = problems_of(repository)
            with repository.alone():
                delete_damaged(repository, problems)

    damaged = damaged_names(path)
    for _ in every_death(operation):
        assert damaged_names(path) == damaged, "damage is never forgotten"
    assert damaged_names(path) == damaged
    commit(path, source)
    assert_whole(path, source, place / "out")
