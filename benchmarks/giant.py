# SPDX-License-Identifier: LGPL-2.1-or-later
"""A repository beyond all measure: ``python -m benchmarks.giant REPO COMMITS FOLDERS FILES``.

``COMMITS`` commits of one tree: ten directories with ``FOLDERS`` directories in each, and in each
of those ``FILES`` empty files. Every file is an object of its own, told apart by its owner. All of
it is written through the store, since a million real files would take minutes to make and to
delete.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.session import BRANCH
from ostreefs_store.batch import Batch
from ostreefs_store.codec import (
    commit_digest,
    encode_commit,
    encode_file,
    encode_tree,
    file_digest,
    tree_digest,
)
from ostreefs_store.dates import note_commit
from ostreefs_store.model import EMPTY_CONTENT, Commit, RegularFile, Tree, TreeEntry
from ostreefs_store.refs import set_ref
from ostreefs_store.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ostreefs_store.index import Transaction
    from ostreefs_store.model import Digest

_TOP = 10


def make_giant(repo: Path, commits: int, folders: int, files: int) -> None:
    """Make such commits in a repository that is there."""
    with (
        Repository.open(repo, writable=True) as repository,
        repository.in_use(writing=True),
        repository.index.transaction() as transaction,
    ):
        root = _tree(
            transaction,
            (
                _tree(
                    transaction,
                    (
                        _folder(transaction, (top * folders + at) * files, files)
                        for at in range(folders)
                    ),
                )
                for top in range(_TOP)
            ),
        )
        _put_commits(transaction, root, commits)


def _folder(transaction: Transaction, first: int, files: int) -> Digest:
    """A directory of empty files whose owners are numbered from `first`."""
    batch = Batch()
    entries = []
    for at in range(files):
        encoded = encode_file(RegularFile(0o644, first + at, 0, (), EMPTY_CONTENT, 0))
        digest = file_digest(encoded)
        batch.files[digest] = encoded
        entries.append(TreeEntry(b"f%05d" % at, False, digest))
    batch.put_into(transaction)
    return _put_tree(transaction, entries)


def _tree(transaction: Transaction, trees: Iterable[Digest]) -> Digest:
    """A directory of directories."""
    return _put_tree(
        transaction, [TreeEntry(b"d%04d" % at, True, digest) for at, digest in enumerate(trees)]
    )


def _put_tree(transaction: Transaction, entries: list[TreeEntry]) -> Digest:
    encoded = encode_tree(Tree(0o755, 0, 0, (), tuple(entries)))
    digest = tree_digest(encoded)
    transaction.put_trees([(digest, encoded)])
    return digest


def _put_commits(transaction: Transaction, root: Digest, commits: int) -> None:
    parents: tuple[Digest, ...] = ()
    for number in range(commits):
        encoded = encode_commit(Commit(root, parents, number * 60, str(number), "", {}))
        digest = commit_digest(encoded)
        transaction.put_commit(digest, encoded)
        note_commit(transaction, digest, number * 60)
        parents = (digest,)
    set_ref(transaction, BRANCH, parents[0], reason="commit: the last of many")


if __name__ == "__main__":
    make_giant(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
