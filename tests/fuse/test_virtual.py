# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a mount of all commits shows above the commits: by date, by distance from a ref."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ostreefs.fuse.listing import WINDOW
from ostreefs.fuse.tree import ROOT, Namespace
from ostreefs_store.batch import Batch
from ostreefs_store.committing.commit import Message, Target, write_commit
from ostreefs_store.model import Digest, Tree
from ostreefs_store.pruning.keeping import Rules
from ostreefs_store.pruning.prune import prune
from ostreefs_store.refs import delete_refs
from ostreefs_store.repository import Repository
from tests.support.commits import init_repository

DAY = 86400


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with Repository.open(init_repository(tmp_path / "repo"), writable=True) as opened:
        yield opened


@pytest.fixture
def names(repository: Repository) -> Namespace:
    return Namespace(repository, None)


def commit(repository: Repository, timestamp: int, branch: str | None = "main") -> Digest:
    batch = Batch()
    with repository.index.snapshot() as snapshot:
        root = batch.add_tree(snapshot, Tree(0o755, 0, 0, (), ()))
    message = Message(str(timestamp), "", timestamp, {})
    return write_commit(repository, batch, root, message, Target(branch))[0]


def find(names: Namespace, path: str) -> int:
    number = ROOT
    for name in path.split("/"):
        found = names.lookup(number, name.encode())
        if found is None:
            raise FileNotFoundError(path)
        if found.node is not None:
            names.acknowledge(found.node)
        number = found.attributes.number
    return number


def listed(names: Namespace, path: str) -> list[str]:
    number = find(names, path)
    entries = names.list_directory(number).entries_from(0)
    return [found.name.decode() for _, found in entries]


def leads_to(names: Namespace, path: str) -> str:
    target = names.link_target(find(names, path))
    assert target is not None
    return target.decode()


def test_days(repository: Repository, names: Namespace) -> None:
    first = commit(repository, 0)
    second = commit(repository, DAY - 1)
    third = commit(repository, 20000 * DAY + 3 * 3600 + 4 * 60 + 5)
    before = commit(repository, -1)
    assert listed(names, "by-date") == ["1969-12-31", "1970-01-01", "2024-10-04"]
    assert listed(names, "by-date/1970-01-01") == [
        f"000000-{first.hex()[:12]}",
        f"235959-{second.hex()[:12]}",
    ]
    path = f"by-date/2024-10-04/030405-{third.hex()[:12]}"
    assert leads_to(names, path) == f"../../commits/{third.hex()}"
    assert listed(names, "by-date/1969-12-31") == [f"235959-{before.hex()[:12]}"]
    late = commit(repository, 20001 * DAY)
    assert listed(names, "by-date")[-1] == "2024-10-05", "without a remount"
    assert leads_to(names, f"by-date/2024-10-05/000000-{late.hex()[:12]}").endswith(late.hex())


@pytest.mark.parametrize(
    "name",
    ["2024-10-05", "1970-1-1", "19700101", "1970-01-01T00", "x", "1970-13-01", "\xff"],
)
def test_days_without_commits(repository: Repository, names: Namespace, name: str) -> None:
    commit(repository, 5)
    with pytest.raises(FileNotFoundError):
        find(names, f"by-date/{name}")


@pytest.mark.parametrize(
    "name", ["000005", "000005-", "000006-{}", "5-{}", "000005-{}0", "006100-{}", "990000-{}"]
)
def test_moments_without_commits(repository: Repository, names: Namespace, name: str) -> None:
    short = commit(repository, 5).hex()[:12]
    find(names, f"by-date/1970-01-01/000005-{short}")
    with pytest.raises(FileNotFoundError):
        find(names, f"by-date/1970-01-01/{name.format(short)}")


def test_times_beyond_any_date(repository: Repository, names: Namespace) -> None:
    for timestamp in (2**61, -(2**61)):
        commit(repository, timestamp)
    assert listed(names, "by-date") == []


def test_many_commits_of_a_second(repository: Repository, names: Namespace) -> None:
    made = {commit(repository, 5).hex()[:12] for _ in range(WINDOW + 10)}
    assert {name.partition("-")[2] for name in listed(names, "by-date/1970-01-01")} == made
    for short in made:
        assert short in leads_to(names, f"by-date/1970-01-01/000005-{short}")


def test_history(repository: Repository, names: Namespace) -> None:
    made = [commit(repository, number, "os/main") for number in range(WINDOW + 5)]
    assert listed(names, "history") == ["os"]
    assert listed(names, "history/os") == ["main"]
    assert listed(names, "history/os/main") == [str(n) for n in range(len(made))]
    for step in (0, 1, len(made) - 1):
        path = f"history/os/main/{step}"
        assert leads_to(names, path) == f"../../../commits/{made[-1 - step].hex()}"
    for wrong in (str(len(made)), "00", "-1", "x", "٣", "9" * 30):
        with pytest.raises(FileNotFoundError):
            find(names, f"history/os/main/{wrong}")
    newest = commit(repository, 500, "os/main")
    assert leads_to(names, "history/os/main/0").endswith(newest.hex()), "without a remount"
    assert leads_to(names, "history/os/main/1").endswith(made[-1].hex())


def test_history_of_what_was_pruned(repository: Repository, names: Namespace) -> None:
    made = [commit(repository, number) for number in range(5)]
    assert len(listed(names, "history/main")) == 5
    prune(repository, Rules(refs_only=True, depth=1))
    assert listed(names, "history/main") == ["0", "1"]
    assert listed(names, "by-date/1970-01-01") == [
        f"00000{n}-{made[n].hex()[:12]}" for n in (3, 4)
    ]
    with repository.index.transaction() as transaction:
        delete_refs(transaction, "main")
    assert listed(names, "history") == []


def test_dates_of_an_older_repository(tmp_path: Path) -> None:
    path = init_repository(tmp_path / "repo")
    with Repository.open(path, writable=True) as repository:
        made = commit(repository, 5)
        with repository.index.transaction() as transaction:
            transaction.delete_all("dates", transaction.keys("dates"))
    with Repository.open(path) as repository:
        assert listed(Namespace(repository, None), "by-date") == []
    with Repository.open(path, writable=True) as repository:
        names = Namespace(repository, None)
        assert listed(names, "by-date/1970-01-01") == [f"000005-{made.hex()[:12]}"]
