# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which files a checkout makes, directory by directory; the directories are made on the way.

With whiteouts, as ostree has them for the layers of container images: a file ``.wh.NAME`` is not
made, and what the destination has at NAME is deleted; ``.wh..wh..opq`` empties the directory that
it is in. Both happen before anything of that directory is made. Symbolic links and directories of
such names are what they are.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.codec import read_file
from ostreefs_store.errors import CheckoutConflictError, ObjectMissingError
from ostreefs_store.model import Digest, Symlink, Tree
from ostreefs_store.traverse import read_tree_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ostreefs_store.directories import DirectoryMaker
    from ostreefs_store.filemaker import CheckoutOptions, FileJob
    from ostreefs_store.index import Snapshot
    from ostreefs_store.model import TreeEntry

WHITEOUT_PREFIX = b".wh."
META_PREFIX = b".wh..wh."
OPAQUE = b".wh..wh..opq"

_JOB_FILES = 256


class _Kept(NamedTuple):
    """The files of a directory that are to be made, by name, and the names to be deleted."""

    files: list[TreeEntry]
    deleted: list[bytes]


def plan_files(
    snapshot: Snapshot, top: Tree, directories: DirectoryMaker, options: CheckoutOptions
) -> Iterator[FileJob]:
    """Walk a tree, make its directories, and yield the files to make in fair portions."""
    job: FileJob = []
    count = 0
    stack = [(b"", top)]
    while stack:
        path, tree = stack.pop()
        entries = [entry for entry in tree.entries if not _is_skipped(path, entry, options)]
        plain = [entry for entry in entries if not entry.is_tree]
        found = snapshot.find_files([entry.digest for entry in plain])
        kept = _Kept(plain, [])
        if options.whiteouts:
            kept = _without_whiteouts(path, plain, found)
            directories.delete(path, kept.deleted)
        children = [
            (entry.name, read_tree_object(snapshot, entry.digest))
            for entry in entries
            if entry.is_tree
        ]
        if children:
            opaque = {name for name, child in children if options.whiteouts and is_opaque(child)}
            directories.make(path, children, opaque)
            stack += [(os.path.join(path, name), child) for name, child in children]
        holders = snapshot.find_holders([entry.digest for entry in kept.files])
        files: list[tuple[bytes, Digest, Digest, bytes]] = []
        for entry in kept.files:
            encoded = found.get(entry.digest)
            if encoded is None:
                raise ObjectMissingError("file", entry.digest)
            if not files:
                job.append((path, files))
            holder = Digest(holders.get(entry.digest, entry.digest))
            files.append((entry.name, entry.digest, holder, encoded))
            count += 1
            if count >= _JOB_FILES:
                yield job
                job, files, count = [], [], 0
    if job:
        yield job


def is_opaque(tree: Tree) -> bool:
    """Whether a directory hides what was at its place."""
    return any(entry.name == OPAQUE and not entry.is_tree for entry in tree.entries)


def _is_skipped(path: bytes, entry: TreeEntry, options: CheckoutOptions) -> bool:
    return bool(options.skip) and os.path.join(path, entry.name) in options.skip


def _without_whiteouts(
    path: bytes, entries: Sequence[TreeEntry], found: dict[bytes, bytes]
) -> _Kept:
    kept = _Kept([], [])
    for entry in entries:
        encoded = found.get(entry.digest)
        if not entry.name.startswith(WHITEOUT_PREFIX) or (
            encoded is not None and isinstance(read_file(encoded), Symlink)
        ):
            kept.files.append(entry)
        elif not entry.name.startswith(META_PREFIX):
            name = entry.name.removeprefix(WHITEOUT_PREFIX)
            if name in {b"", b".", b".."}:
                full = os.path.join(path, entry.name)
                raise CheckoutConflictError(full, "it is a whiteout of nothing")
            kept.deleted.append(name)
    return kept
