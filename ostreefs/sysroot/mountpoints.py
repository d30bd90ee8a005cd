# SPDX-License-Identifier: LGPL-2.1-or-later
"""Directories that a deployment must have, since it is read-only when something is mounted there.

What a release lacks of them is added to it as a derived commit, whose parent is the release. The
same release always makes the same commit, which takes no more room than the records of two
directories. With them comes the link ``/ostree``, by which the running system reaches its sysroot:
a boot mounts the physical root at ``/sysroot``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs.sysroot.errors import MountPointError
from ostreefs_store.batch import Batch
from ostreefs_store.codec import encode_file, file_digest, read_file
from ostreefs_store.committing.commit import Message, Target, write_commit
from ostreefs_store.errors import ObjectMissingError
from ostreefs_store.model import Symlink, Tree, TreeEntry
from ostreefs_store.refs import read_commit
from ostreefs_store.traverse import read_tree_object

if TYPE_CHECKING:
    from ostreefs_store.index import Snapshot
    from ostreefs_store.model import Digest
    from ostreefs_store.repository import Repository

MOUNT_POINTS = {
    name: 0o1777 if name == b"tmp" else 0o755
    for name in (b"boot", b"dev", b"home", b"proc", b"run", b"sys", b"sysroot", b"tmp", b"var")
}
"""Name -> the mode of one that is made."""

_LINK = (b"ostree", b"sysroot/ostree")
"""Name and target of the link."""

_OURS = {b"dev", b"proc", b"run", b"sys", b"sysroot", b"var"}
"""Those that a boot mounts on without following a symbolic link."""

RELEASE = "ostreefs.release"
STEPS = "ostreefs.steps"
"""Metadata of a derived commit: the id of its release, and what was done to it."""


def find_missing(snapshot: Snapshot, root: Digest) -> list[bytes]:
    """The mount points that a tree lacks, and the link.

    Raises `MountPointError` for a file in the place of a mount point.
    """
    present = {entry.name: entry for entry in read_tree_object(snapshot, root).entries}
    for name in MOUNT_POINTS:
        entry = present.get(name)
        if entry is not None and not entry.is_tree and not _may_be_link(snapshot, entry):
            raise MountPointError(b"/" + name)
    return [name for name in (*MOUNT_POINTS, _LINK[0]) if name not in present]


def _may_be_link(snapshot: Snapshot, entry: TreeEntry) -> bool:
    encoded = snapshot.find_file(entry.digest)
    if encoded is None:
        raise ObjectMissingError("file", entry.digest)
    return entry.name not in _OURS and isinstance(read_file(encoded), Symlink)


def with_entries(tree: Tree, added: list[TreeEntry]) -> Tree:
    """A directory with more in it. Pure."""
    entries = sorted([*tree.entries, *added], key=lambda entry: entry.name)
    return Tree(tree.mode, tree.uid, tree.gid, tree.xattrs, tuple(entries))


def add_mount_points(repository: Repository, release: Digest) -> Digest:
    """The release with every mount point: itself, or the derived commit, which no ref names.

    The repository is in use. Raises `MountPointError`.
    """
    batch = Batch()
    with repository.index.snapshot() as snapshot:
        commit = read_commit(snapshot, release)
        missing = find_missing(snapshot, commit.root)
        if not missing:
            return release
        top = read_tree_object(snapshot, commit.root)
        added = [_make_entry(snapshot, batch, top, name) for name in missing]
        root = batch.add_tree(snapshot, with_entries(top, added))
    metadata = {**commit.metadata, RELEASE: release.hex(), STEPS: "mountpoints"}
    message = Message(commit.subject, commit.body, commit.timestamp, metadata)
    return write_commit(repository, batch, root, message, Target(None, release))[0]


def _make_entry(snapshot: Snapshot, batch: Batch, top: Tree, name: bytes) -> TreeEntry:
    """An entry of the root that is made: it belongs to whom the root does."""
    if name in MOUNT_POINTS:
        empty = Tree(MOUNT_POINTS[name], top.uid, top.gid, (), ())
        return TreeEntry(name, True, batch.add_tree(snapshot, empty))
    encoded = encode_file(Symlink(top.uid, top.gid, (), _LINK[1]))
    digest = file_digest(encoded)
    if snapshot.find_file(digest) is None:
        batch.files[digest] = encoded
    return TreeEntry(name, False, digest)
