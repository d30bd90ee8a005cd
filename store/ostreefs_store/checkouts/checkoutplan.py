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
from ostreefs_store.layer import OPAQUE_NAME, WHITEOUT_META_PREFIX, WHITEOUT_PREFIX
from ostreefs_store.model import Digest, Symlink, Tree
from ostreefs_store.traverse import read_tree_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs_store.checkouts.directories import DirectoryMaker
    from ostreefs_store.checkouts.filemaker import CheckoutOptions, FileJob
    from ostreefs_store.index import Snapshot
    from ostreefs_store.model import TreeEntry

_JOB_FILES = 256

_File = tuple[bytes, Digest, Digest, bytes]
"""One file of a `FileJob`."""


class _Entries(NamedTuple):
    """What of a directory is to be made, and the names to be deleted before."""

    files: list[TreeEntry]
    directories: list[TreeEntry]
    deleted: list[bytes]
    encoded: dict[bytes, bytes]
    """The files' canonical bytes, by digest."""


def plan_files(
    snapshot: Snapshot, top: Tree, directories: DirectoryMaker, options: CheckoutOptions
) -> Iterator[FileJob]:
    """Walk a tree, make its directories, and yield the files to make in fair portions."""
    job: FileJob = []
    count = 0
    stack = [(b"", top)]
    while stack:
        path, tree = stack.pop()
        entries = _read_entries(snapshot, path, tree, options)
        directories.delete(path, entries.deleted)
        children = [
            (entry.name, read_tree_object(snapshot, entry.digest)) for entry in entries.directories
        ]
        if children:
            opaque = {name for name, child in children if options.whiteouts and is_opaque(child)}
            directories.make(path, children, opaque)
            stack += [(os.path.join(path, name), child) for name, child in children]
        files = _describe(snapshot, entries)
        for start in range(0, len(files), _JOB_FILES):
            portion = files[start : start + _JOB_FILES]
            job.append((path, portion))
            count += len(portion)
            if count >= _JOB_FILES:
                yield job
                job, count = [], 0
    if job:
        yield job


def _read_entries(
    snapshot: Snapshot, path: bytes, tree: Tree, options: CheckoutOptions
) -> _Entries:
    kept = tree.entries
    if options.skip:
        kept = tuple(e for e in kept if os.path.join(path, e.name) not in options.skip)
    files = [entry for entry in kept if not entry.is_tree]
    found = snapshot.find_files([entry.digest for entry in files])
    deleted: list[bytes] = []
    if options.whiteouts:
        files, deleted = _part_whiteouts(path, files, found)
    return _Entries(files, [entry for entry in kept if entry.is_tree], deleted, found)


def _describe(snapshot: Snapshot, entries: _Entries) -> list[_File]:
    """What a worker needs to know of each file."""
    holders = snapshot.find_holders([entry.digest for entry in entries.files])
    files: list[_File] = []
    for entry in entries.files:
        encoded = entries.encoded.get(entry.digest)
        if encoded is None:
            raise ObjectMissingError("file", entry.digest)
        holder = Digest(holders.get(entry.digest, entry.digest))
        files.append((entry.name, entry.digest, holder, encoded))
    return files


def is_opaque(tree: Tree) -> bool:
    """Whether a directory hides what was at its place."""
    return any(entry.name == OPAQUE_NAME and not entry.is_tree for entry in tree.entries)


def _part_whiteouts(
    path: bytes, entries: list[TreeEntry], found: dict[bytes, bytes]
) -> tuple[list[TreeEntry], list[bytes]]:
    """The files that are none, and the names that the others delete."""
    files: list[TreeEntry] = []
    deleted: list[bytes] = []
    for entry in entries:
        if not entry.name.startswith(WHITEOUT_PREFIX) or _is_symlink(found.get(entry.digest)):
            files.append(entry)
        elif not entry.name.startswith(WHITEOUT_META_PREFIX):
            name = entry.name.removeprefix(WHITEOUT_PREFIX)
            if name in {b"", b".", b".."}:
                full = os.path.join(path, entry.name)
                raise CheckoutConflictError(full, "it is a whiteout of nothing")
            deleted.append(name)
    return files, deleted


def _is_symlink(encoded: bytes | None) -> bool:
    return encoded is not None and isinstance(read_file(encoded), Symlink)
