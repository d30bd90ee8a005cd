# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which commits changed a path."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostreefs_store.comparing.history import find_origins, is_cut_off, iter_changing, list_paths
from ostreefs_store.errors import ObjectMissingError, PathNotFoundError
from ostreefs_store.index import Transaction
from ostreefs_store.model import Digest, File
from ostreefs_store.refs import read_commit
from ostreefs_store.repository import Repository
from ostreefs_store.traverse import find_entry, iter_history
from tests.support.commits import EMPTY_FILE, Content, put_commit, put_tree


def version(number: int) -> File:
    """A file that differs by its mode."""
    return msgspec.structs.replace(EMPTY_FILE, mode=number)


def put_history(transaction: Transaction, trees: list[Content]) -> list[Digest]:
    """Commits of these trees, the oldest first."""
    commits: list[Digest] = []
    for number, tree in enumerate(trees):
        parents = commits[-1:]
        commits.append(put_commit(transaction, tree, parents=parents, subject=f"{number}"))
    return commits


HISTORY: list[Content] = [
    {b"etc": {b"a": version(1), b"b": version(1)}, b"usr": {b"lib": {b"x": version(1)}}},
    {b"etc": {b"a": version(2), b"b": version(1)}, b"usr": {b"lib": {b"x": version(1)}}},
    {b"etc": {b"a": version(2), b"b": version(1)}, b"usr": {b"lib": {b"x": version(2)}}},
    {b"etc": {b"a": version(2)}, b"usr": {b"lib": {b"x": version(2)}}},
    {b"etc": {b"a": version(2)}, b"usr": {b"lib": {b"x": version(2)}}},
    {b"etc": {b"a": version(2), b"b": version(1)}, b"usr": {b"lib": version(1)}},
    {b"etc": {b"a": version(1), b"b": version(1)}, b"usr": {b"lib": {b"x": version(2)}}},
]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["/etc/a"], [6, 1, 0]),
        (["etc/b"], [5, 3, 0]),
        (["usr/lib/x"], [6, 5, 2, 0]),
        (["usr//lib/"], [6, 5, 2, 0]),
        (["etc"], [6, 5, 3, 1, 0]),
        (["etc/a", "usr"], [6, 5, 2, 1, 0]),
        (["/"], [6, 5, 3, 2, 1, 0]),
        (["."], [6, 5, 3, 2, 1, 0]),
    ],
)
def test_changing(repository: Repository, paths: list[str], expected: list[int]) -> None:
    with repository.index.transaction() as transaction:
        commits = put_history(transaction, HISTORY)
        wanted = [path.encode() for path in paths]
        found = list(iter_changing(transaction, commits[-1], wanted))
    assert [int(commit.subject) for _, commit in found] == expected
    assert [digest for digest, _ in found] == [commits[number] for number in expected]


def test_a_path_that_never_was(repository: Repository) -> None:
    with repository.index.transaction() as transaction:
        commits = put_history(transaction, HISTORY)
        found = iter_changing(transaction, commits[-1], [b"etc/a", b"etc/no"])
        assert [int(next(found)[1].subject) for _ in range(3)] == [6, 1, 0]
        with pytest.raises(PathNotFoundError, match="etc/no: no commit"):
            next(found)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["etc/a", "etc/b"], {"/etc/a": 6, "/etc/b": 5}),
        (["/", "etc", "usr/lib/x"], {"/": 6, "/etc": 6, "/usr/lib/x": 6}),
        (["etc/b", "etc/b", "./etc//b"], {"/etc/b": 5}),
    ],
)
def test_origins(repository: Repository, paths: list[str], expected: dict[str, int]) -> None:
    with repository.index.transaction() as transaction:
        commits = put_history(transaction, HISTORY)
        found = find_origins(transaction, commits[-1], [path.encode() for path in paths])
    assert {origin.path.decode(): int(origin.commit.subject) for origin in found} == expected
    assert not any(origin.is_cut_off for origin in found)


def test_origins_of_what_stayed(repository: Repository) -> None:
    with repository.index.transaction() as transaction:
        commits = put_history(transaction, HISTORY[:5])
        found = find_origins(transaction, commits[-1], [b"/etc/a", b"/usr", b"/etc"])
    assert [(o.path, int(o.commit.subject)) for o in found] == [
        (b"/etc", 3),
        (b"/etc/a", 1),
        (b"/usr", 2),
    ]


def test_where_history_is_cut_off(repository: Repository) -> None:
    with repository.index.transaction() as transaction:
        commits = put_history(transaction, HISTORY)
        transaction.delete("commits", commits[1])
        oldest = read_commit(transaction, commits[2])
        assert is_cut_off(transaction, oldest)
        assert not is_cut_off(transaction, read_commit(transaction, commits[3]))
        assert not is_cut_off(transaction, read_commit(transaction, commits[0]))
        found = list(iter_changing(transaction, commits[-1], [b"etc/a"]))
        assert [int(commit.subject) for _, commit in found] == [6, 2]
        [a, x] = find_origins(transaction, commits[4], [b"etc/a", b"usr/lib/x"])
    assert (a.digest, a.is_cut_off, x.is_cut_off) == (commits[2], True, True)


def test_a_gap_in_history(repository: Repository) -> None:
    """Where a prune thinned it out, the nearest commit that was kept stands for the parent."""
    with repository.index.transaction() as transaction:
        commits = put_history(transaction, HISTORY)
        transaction.delete("commits", commits[2])
        transaction.put("grafts", commits[3], commits[1])
        found = list(iter_changing(transaction, commits[-1], [b"usr/lib/x"]))
        assert [int(commit.subject) for _, commit in found] == [6, 5, 3, 0]
        [a, x] = find_origins(transaction, commits[4], [b"etc/a", b"usr/lib/x"])
    assert (a.digest, a.is_cut_off) == (commits[1], False)
    assert (x.digest, x.is_cut_off) == (commits[3], True)


def tree_of(transaction: Transaction, commit: Digest, path: bytes) -> Digest:
    found = find_entry(transaction, read_commit(transaction, commit).root, path)
    assert found is not None
    assert found[0]
    return found[1]


def test_equal_trees_are_not_read(repository: Repository) -> None:
    """Even when they are damaged: what is the same in both commits is not looked at."""
    same: Content = {b"lib": {b"x": version(1)}}
    history: list[Content] = [{b"etc": {b"a": version(n)}, b"usr": same} for n in range(4)]
    with repository.index.transaction() as transaction:
        commits = put_history(transaction, history)
        found = iter_changing(transaction, commits[-1], [b"etc/a", b"usr/lib/x"])
        assert next(found)[0] == commits[3]
        transaction.delete("trees", tree_of(transaction, commits[0], b"usr/lib"))
        assert [digest for digest, _ in found] == commits[2::-1]
        [origin] = find_origins(transaction, commits[-1], [b"etc/a"])
        assert origin.digest == commits[3]
        with pytest.raises(ObjectMissingError):
            list(iter_changing(transaction, commits[-1], [b"usr/lib/x"]))


def test_what_is_found_is_not_looked_for_again(repository: Repository) -> None:
    """Trees and commits behind the answer may be damaged."""
    history: list[Content] = [
        {b"etc": {b"a": version(n // 2)}, b"usr": {b"lib": {b"x": version(n)}}} for n in range(5)
    ]
    with repository.index.transaction() as transaction:
        commits = put_history(transaction, history)
        transaction.delete("trees", tree_of(transaction, commits[1], b"usr/lib"))
        transaction.put("commits", commits[0], b"no commit")
        found = find_origins(transaction, commits[3], [b"etc/a", b"usr/lib/x"])
    assert [(origin.path, origin.digest) for origin in found] == [
        (b"/etc/a", commits[2]),
        (b"/usr/lib/x", commits[3]),
    ]


names = st.sampled_from([b"a", b"b", b"c"])
files = st.integers(0, 2).map(version)
contents = st.recursive(
    files, lambda children: st.dictionaries(names, children, max_size=3), max_leaves=8
)
trees = st.dictionaries(names, contents, max_size=3)
paths = st.lists(names, max_size=3).map(lambda parts: b"/" + b"/".join(parts))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(trees, min_size=1, max_size=6), paths)
def test_as_looking_at_every_commit(
    repository: Repository, history: list[Content], path: bytes
) -> None:
    class Undone(Exception):  # noqa: N818 -- never seen
        pass

    with suppress(Undone), repository.index.transaction() as transaction:
        commits = put_history(transaction, history)
        states = [
            find_entry(transaction, commit.root, path)
            for _, commit in iter_history(transaction, commits[-1])
        ][::-1]
        changing = [n for n in range(len(states)) if states[n] != (states[n - 1] if n else None)]
        if any(states):
            found = list(iter_changing(transaction, commits[-1], [path]))
            assert [commits.index(digest) for digest, _ in found] == changing[::-1]
        if states[-1]:
            [origin] = find_origins(transaction, commits[-1], [path])
            assert commits.index(origin.digest) == changing[-1]
            root = read_commit(transaction, commits[-1]).root
            below = list(list_paths(transaction, root, path, recursive=True, itself=False))
            each = find_origins(transaction, commits[-1], below)
            assert [o.path for o in each] == sorted(below, key=lambda p: p.split(b"/"))
            for one in each:
                assert [one] == find_origins(transaction, commits[-1], [one.path])
        raise Undone


@pytest.mark.parametrize(
    ("path", "recursive", "itself", "expected"),
    [
        ("", False, False, ["/etc", "/usr"]),
        ("etc", False, False, ["/etc/a", "/etc/b"]),
        ("etc/a", False, False, ["/etc/a"]),
        ("./usr/", True, False, ["/usr/lib", "/usr/lib/x"]),
        ("usr", False, True, ["/usr"]),
        ("/", False, True, ["/"]),
    ],
)
def test_list_paths(
    repository: Repository, path: str, recursive: bool, itself: bool, expected: list[str]
) -> None:
    with repository.index.transaction() as transaction:
        root = put_tree(transaction, HISTORY[0])
        found = list_paths(transaction, root, path.encode(), recursive=recursive, itself=itself)
        assert [each.decode() for each in found] == expected
        with pytest.raises(PathNotFoundError):
            list(list_paths(transaction, root, b"etc/a/x", recursive=False, itself=False))


def test_many_paths_over_many_commits(repository: Repository) -> None:
    """2,000 files, of which each commit changes one: every one is found in its commit."""
    content: dict[bytes, Content | File | Digest] = {
        b"%02d" % folder: {b"%02d" % number: version(0) for number in range(40)}
        for folder in range(50)
    }
    with repository.index.transaction() as transaction:
        commits = [put_commit(transaction, content)]
        for number in range(100):
            folder = dict(content[b"%02d" % (number % 50)])  # type: ignore[arg-type]  # a folder
            folder[b"%02d" % (number % 40)] = version(number + 1)
            content[b"%02d" % (number % 50)] = folder
            commits.append(put_commit(transaction, content, parents=commits[-1:]))
        root = read_commit(transaction, commits[-1]).root
        below = list(list_paths(transaction, root, b"", recursive=True, itself=False))
        origins = find_origins(transaction, commits[-1], below)
    found = {origin.path: commits.index(origin.digest) for origin in origins}
    assert len(found) == 50 * 41
    assert found[b"/07/07"] == 8
    assert found[b"/07/17"] == 58
    assert found[b"/07"] == 58
    assert found[b"/07/01"] == 0
