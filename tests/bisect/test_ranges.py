# SPDX-License-Identifier: LGPL-2.1-or-later
"""Histories as numbers, what paths are in them, and programs in commits."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ostreefs.bisect.programs import find_program
from ostreefs.bisect.ranges import read_graph, read_kinds
from ostreefs_store.errors import ObjectMissingError, PathNotFoundError
from ostreefs_store.model import EMPTY_CONTENT, Digest, RegularFile, Symlink
from ostreefs_store.repository import Repository
from tests.support.commits import EMPTY_FILE, Content, init_repository, put_commit, put_tree

PROGRAM = RegularFile(0o755, 0, 0, (), EMPTY_CONTENT, 0)


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with Repository.open(init_repository(tmp_path / "repo"), writable=True) as opened:
        yield opened


def test_parents_come_first(repository: Repository) -> None:
    with repository.index.transaction() as transaction:
        root = put_commit(transaction, {}, subject="root")
        left = put_commit(transaction, {}, parents=[root], subject="left")
        right = put_commit(transaction, {}, parents=[root], subject="right")
        merge = put_commit(transaction, {}, parents=[left, right], subject="merge")
        lonely = put_commit(transaction, {}, subject="lonely")
    with repository.index.snapshot() as snapshot:
        graph = read_graph(snapshot, [merge, left, lonely])
        assert sorted(graph.ids) == sorted([root, left, right, merge, lonely])
        for number, parents in enumerate(graph.parents):
            assert all(parent < number for parent in parents)
        assert graph.parents[graph.numbers[merge]] == (graph.numbers[left], graph.numbers[right])
        assert graph.commits[graph.numbers[right]].subject == "right"
        with pytest.raises(ObjectMissingError):
            read_graph(snapshot, [Digest(bytes(32))])


def test_a_long_history_needs_no_stack(repository: Repository) -> None:
    with repository.index.transaction() as transaction:
        tip = put_commit(transaction, {}, subject="0")
        for number in range(3000):
            tip = put_commit(transaction, {}, parents=[tip], subject=f"{number + 1}")
    with repository.index.snapshot() as snapshot:
        graph = read_graph(snapshot, [tip])
    assert [commit.subject for commit in graph.commits] == [f"{n}" for n in range(3001)]


def test_what_paths_are(repository: Repository) -> None:
    """Equal where the paths are equal, whatever else is not; gone is like gone."""
    trees: list[Content] = [
        {b"usr": {b"a": EMPTY_FILE}, b"x": EMPTY_FILE},
        {b"usr": {b"a": EMPTY_FILE}},
        {b"usr": {b"a": PROGRAM}},
        {b"usr": PROGRAM},
        {},
        {b"usr": {b"b": EMPTY_FILE}},
    ]
    with repository.index.transaction() as transaction:
        tip: list[Digest] = []
        for tree in trees:
            tip = [put_commit(transaction, tree, parents=tip)]
        for lost in ({b"lost": EMPTY_FILE}, {b"lost": PROGRAM}):
            tip = [put_commit(transaction, lost, parents=tip)]
            transaction.delete_all("trees", [put_tree(transaction, lost)])
    with repository.index.snapshot() as snapshot:
        graph = read_graph(snapshot, tip)
        kinds = read_kinds(snapshot, graph, [b"usr/a"])
        assert kinds[0] == kinds[1] != kinds[2]
        assert kinds[3] == kinds[4] == kinds[5]
        assert len({kinds[5], kinds[6], kinds[7]}) == 3
        whole = read_kinds(snapshot, graph, [b"/"])
        assert len(set(whole)) == len(trees) + 2
        both = read_kinds(snapshot, graph, [b"usr/a", b"x"])
        assert both[0] != both[1]
        with pytest.raises(PathNotFoundError):
            read_kinds(snapshot, graph, [b"usr/a", b"usr/none"])


@pytest.mark.parametrize(
    ("name", "is_there"),
    [
        ("sh", True),
        ("tool", True),
        ("/bin/sh", True),
        ("usr/bin/../bin/dash", True),
        ("/etc/alternatives/tool", True),
        ("data", False),
        ("/usr/bin", False),
        ("loop", False),
        ("/usr/bin/dash/x", False),
        ("out", False),
        ("", False),
        ("nothing", False),
    ],
)
def test_programs_are_found_as_inside(repository: Repository, name: str, is_there: bool) -> None:
    def link(target: bytes) -> Symlink:
        return Symlink(0, 0, (), target)

    tree: Content = {
        b"bin": link(b"usr/bin"),
        b"etc": {b"alternatives": {b"tool": link(b"/../usr/lib/tool")}},
        b"usr": {
            b"bin": {
                b"dash": PROGRAM,
                b"data": EMPTY_FILE,
                b"loop": link(b"loop"),
                b"out": link(b"/etc/passwd"),
                b"sh": link(b"dash"),
                b"tool": link(b"/etc/alternatives/tool"),
            },
            b"lib": {b"tool": PROGRAM},
        },
    }
    with repository.index.transaction() as transaction:
        root = put_tree(transaction, tree)
        assert find_program(transaction, root, name) is is_there
