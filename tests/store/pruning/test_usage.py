# SPDX-License-Identifier: LGPL-2.1-or-later
"""Records of changes: noted by commits, made when they are missing, harmless when wrong."""

from pathlib import Path

import pytest

from ostreefs_store.codec import encode_tree, tree_digest
from ostreefs_store.errors import ObjectMissingError
from ostreefs_store.index import Index, Transaction
from ostreefs_store.model import Digest, RegularFile, Tree, TreeEntry
from ostreefs_store.pruning import usagerecords
from ostreefs_store.pruning.keeping import Rules
from ostreefs_store.pruning.placechanges import TooMuchError, count_changes
from ostreefs_store.pruning.prune import prune
from ostreefs_store.pruning.shares import Share
from ostreefs_store.pruning.usage import find_usage
from ostreefs_store.pruning.usagerecords import USAGE, note_records, note_usage
from ostreefs_store.repository import Repository
from ostreefs_store.traverse import read_tree_object
from tests.support.commits import Content, commit_files, put_commit, put_tree

FILE = RegularFile(0o644, 0, 0, (), Digest(b"c" * 32), 9)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    Index.create(tmp_path)
    return Index.open(tmp_path, writable=True)


def test_a_commit_notes_its_record(repository: Repository, tmp_path: Path) -> None:
    source = tmp_path / "source"
    first = commit_files(repository, source, {"a": b"1", "d/b": b"2"})
    second = commit_files(repository, source, {"a": b"1", "d/b": b"3"})
    with repository.index.snapshot() as snapshot:
        usage = find_usage(snapshot)
        assert list(usage.made) == [first]
        assert usage.refs["main"].total == Share(3, 3)
        assert usage.commits[second].exclusive == Share(1, 1)
    with repository.index.transaction() as transaction:
        note_records(transaction, usage.made)
    with repository.index.snapshot() as snapshot:
        again = find_usage(snapshot)
    assert again == usage._replace(made={})


def test_records_of_what_was_pruned_are_gone(repository: Repository, tmp_path: Path) -> None:
    source = tmp_path / "source"
    commits = [commit_files(repository, source, {"a": content}) for content in (b"1", b"2", b"3")]
    prune(repository, Rules(delete=[commits[1]]))
    with repository.index.snapshot() as snapshot:
        assert commits[1] not in snapshot.keys(USAGE)
        usage = find_usage(snapshot)
    assert set(usage.made) == {commits[0], commits[2]}
    assert usage.total == Share(2, 2)
    with repository.index.transaction() as transaction:
        note_records(transaction, usage.made)
        assert find_usage(transaction).made == {}


@pytest.mark.parametrize("record", [b"", b"x", b"\x94\x02\xc0\xc4\x00\xc4\x00", b"\xc0"])
def test_a_record_that_cannot_be_read_is_made_anew(index: Index, record: bytes) -> None:
    with index.transaction() as transaction:
        commit = put_commit(transaction, {b"a": FILE}, branch="main")
        transaction.put(USAGE, commit, record)
        assert find_usage(transaction).commits[commit].total == Share(9, 1)


def test_large_changes_are_left_for_later(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usagerecords, "_LIMIT", 6)
    small: Content = {b"d": {b"a": FILE}}
    large: Content = {name: {name: {b"a": FILE}} for name in (b"1", b"2", b"3")}
    with index.transaction() as transaction:
        base = put_commit(transaction, {})
        noted = put_commit(transaction, small, parents=[base])
        note_usage(transaction, noted, put_tree(transaction, small), base)
        left = put_commit(transaction, large, parents=[base])
        note_usage(transaction, left, put_tree(transaction, large), base)
        assert transaction.keys(USAGE) == [noted]
        with pytest.raises(TooMuchError):
            count_changes(transaction, None, put_tree(transaction, large), limit=5)


def test_a_parent_that_is_not_whole_is_no_matter_for_a_commit(
    repository: Repository, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    commit_files(repository, source, {"a": b"1", "d/b": b"2"})
    with repository.index.transaction() as transaction:
        for tree in transaction.keys("trees"):
            if not any(e.is_tree for e in read_tree_object(transaction, Digest(tree)).entries):
                transaction.delete("trees", tree)
    commit_files(repository, source, {"a": b"1", "d/c": b"3"})
    with repository.index.snapshot() as snapshot, pytest.raises(ObjectMissingError):
        find_usage(snapshot)


def test_a_directory_in_very_many_places(index: Index) -> None:
    """2^200 paths, 200 directories."""
    with index.transaction() as transaction:
        content: Content = {b"file": FILE}
        deep = put_tree(transaction, content)
        for _ in range(200):
            deep = _double(transaction, deep)
        changes = count_changes(transaction, None, deep)
        assert list(changes.values()) == [2**200]
        commit = put_commit(transaction, {b"d": content}, branch="main")
        assert find_usage(transaction).commits[commit].total == Share(9, 1)


def _double(transaction: Transaction, tree: Digest) -> Digest:
    entries = (TreeEntry(b"a", True, tree), TreeEntry(b"b", True, tree))
    encoded = encode_tree(Tree(0o755, 0, 0, (), entries))
    transaction.put_trees([(tree_digest(encoded), encoded)])
    return tree_digest(encoded)
