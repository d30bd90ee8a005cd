# SPDX-License-Identifier: LGPL-2.1-or-later
"""Owners of what commands of an ordinary user change. Metadata alone: no file is opened.

Such a user is root in a sandbox in which nobody else is: all files are root's there, and chown(2)
to anyone else fails. So a file that a command has changed says nothing about its owner, who is
the one that the tree had before; what is new is root's, but for its group in a setgid directory.

fuse-overlayfs(1) loses the setgid bit of a directory in which something is changed. That cannot be
told from a command that takes just this bit away, so it stays. Likewise the upper directory has
all permissions of the owner, as that user could not write there, whatever the tree's root has.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import msgspec

from ostreefs_store.layer import Layer

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from ostreefs_store.batch import Batch
    from ostreefs_store.index import Snapshot
    from ostreefs_store.model import Digest


def keep_owners(snapshot: Snapshot, batch: Batch, below: Digest, layer: Layer) -> None:
    """Give what lies over files and directories of a tree their owners.

    A directory that was made anew, and a file that is of another type, are new.
    """
    pending = [(layer, below)]
    while pending:
        directory, digest = pending.pop()
        tree = batch.read_tree(snapshot, digest)
        if directory.head is not None:
            mode = directory.head.mode
            is_root = directory is layer
            if mode | stat.S_ISGID == tree.mode or (is_root and mode == tree.mode | stat.S_IRWXU):
                mode = tree.mode
            directory.head = msgspec.structs.replace(
                directory.head, mode=mode, uid=tree.uid, gid=tree.gid
            )
        for entry in tree.entries:
            item = directory.entries.get(entry.name)
            if isinstance(item, Layer) and entry.is_tree and not item.opaque:
                pending.append((item, entry.digest))
            elif isinstance(item, bytes) and not entry.is_tree:
                directory.entries[entry.name] = _with_owner(snapshot, batch, item, entry.digest)
        if tree.mode & stat.S_ISGID:
            before = {entry.name for entry in tree.entries}
            _inherit_group(snapshot, batch, directory, tree.gid, before)


def _inherit_group(
    snapshot: Snapshot,
    batch: Batch,
    directory: Layer,
    gid: int,
    before: AbstractSet[bytes] = frozenset(),
) -> None:
    """Give new files in a setgid directory its group, and new directories the bit as well."""
    for name, item in directory.entries.items():
        if name in before:
            continue
        if isinstance(item, bytes):
            file = batch.read_file(snapshot, item)
            inherited = msgspec.structs.replace(file, gid=gid)
            directory.entries[name] = batch.add_twin(snapshot, inherited, item)
        elif isinstance(item, Layer) and item.head is not None:
            mode = item.head.mode | stat.S_ISGID
            item.head = msgspec.structs.replace(item.head, mode=mode, gid=gid)
            _inherit_group(snapshot, batch, item, gid)


def _with_owner(snapshot: Snapshot, batch: Batch, digest: Digest, before: Digest) -> Digest:
    """A file object with the owner of another one of its type."""
    file, old = batch.read_file(snapshot, digest), batch.read_file(snapshot, before)
    if type(file) is not type(old):
        return digest
    return batch.add_twin(
        snapshot, msgspec.structs.replace(file, uid=old.uid, gid=old.gid), digest
    )
