# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commits for tests: of directories, and made up without any source."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from ostreefs_store.batch import Batch
from ostreefs_store.codec import (
    commit_digest,
    encode_commit,
    encode_file,
    encode_tree,
    file_digest,
    tree_digest,
)
from ostreefs_store.committing.commit import Message, Target, write_commit
from ostreefs_store.committing.ingest import ingest_directory
from ostreefs_store.index import Transaction
from ostreefs_store.model import (
    EMPTY_CONTENT,
    Commit,
    Digest,
    File,
    RegularFile,
    Tree,
    TreeEntry,
)
from ostreefs_store.modifiers import Modifiers
from ostreefs_store.objects import Mode
from ostreefs_store.repository import Repository

EMPTY_FILE = RegularFile(0o644, 0, 0, (), EMPTY_CONTENT, 0)

Content = Mapping[bytes, "File | Digest | Content"]
"""A directory that never was: a digest stands for a file object that is there already."""


def init_repository(path: Path, mode: Mode = "bare-user") -> Path:
    """Make a repository."""
    Repository.init(path, mode)
    return path


def commit_directory(
    repository: Path,
    source: Path,
    branch: str = "main",
    *,
    parent: Digest | Literal["none"] | None = None,
    subject: str = "",
) -> str:
    """Commit a directory; the id in hex. The timestamp is 0."""
    with Repository.open(repository, writable=True) as opened, opened.in_use(writing=True):
        batch = Batch()
        root = ingest_directory(opened, source, Modifiers(), batch).root
        message = Message(subject, "", 0, {})
        digest, _ = write_commit(opened, batch, root, message, Target(branch, parent))
    return digest.hex()


def commit_files(
    repository: Repository,
    source: Path,
    files: Mapping[str, bytes],
    branch: str = "main",
    *,
    timestamp: int = 0,
    parent: Digest | Literal["none"] | None = None,
) -> Digest:
    """Make `source` hold these files and nothing else, and commit it.

    A file that is right already is left alone, so that the stat cache knows it.
    """
    wanted = {source / name: content for name, content in files.items()}
    source.mkdir(exist_ok=True)
    for path in sorted(source.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif wanted.get(path) != path.read_bytes():
            path.unlink()
    for path, content in wanted.items():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    with repository.in_use(writing=True):
        batch = Batch()
        root = ingest_directory(repository, source, Modifiers(), batch).root
        message = Message("", "", timestamp, {})
        digest, _ = write_commit(repository, batch, root, message, Target(branch, parent))
    return digest


def put_commit(
    transaction: Transaction,
    content: Content,
    *,
    branch: str | None = None,
    commit_id: Digest | None = None,
    parents: Sequence[Digest] = (),
    subject: str = "",
) -> Digest:
    """Make up a commit without object files; `commit_id` makes up its id as well."""
    commit = Commit(put_tree(transaction, content), tuple(parents), 0, subject, "", {})
    encoded = encode_commit(commit)
    digest = commit_digest(encoded) if commit_id is None else commit_id
    transaction.put_commit(digest, encoded)
    if branch is not None:
        transaction.set_ref(branch, digest)
    return digest


def put_tree(transaction: Transaction, content: Content) -> Digest:
    """Make up a tree with all that is in it."""
    entries = []
    for name, item in sorted(content.items()):
        if isinstance(item, Mapping):
            entries.append(TreeEntry(name, True, put_tree(transaction, item)))
        elif isinstance(item, bytes):
            entries.append(TreeEntry(name, False, item))
        else:
            entries.append(TreeEntry(name, False, put_file(transaction, item)))
    encoded = encode_tree(Tree(0o755, 0, 0, (), tuple(entries)))
    transaction.put_trees([(tree_digest(encoded), encoded)])
    return tree_digest(encoded)


def put_file(transaction: Transaction, file: File, digest: Digest | None = None) -> Digest:
    """Make up a file object, and its digest as well if need be."""
    encoded = encode_file(file)
    digest = file_digest(encoded) if digest is None else digest
    transaction.put_files([(digest, encoded)])
    return digest
