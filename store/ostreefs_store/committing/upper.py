# SPDX-License-Identifier: LGPL-2.1-or-later
"""The upper directory of an overlay, as a layer: what was added, replaced and deleted.

The marks are those of the kernel's overlayfs (Documentation/filesystems/overlayfs.rst) and of
fuse-overlayfs, which uses the same or, where it may not make device nodes, names of its own:

- a character device 0:0, or a file ``.wh.NAME``: NAME is deleted;
- a directory with the xattr ``overlay.opaque`` "y" (under ``trusted.``, ``user.`` or
  ``user.fuseoverlayfs.``), or with a file ``.wh..wh..opq``: what is below it is hidden.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ostreefs_store.batch import Batch
from ostreefs_store.committing.ingest import Ingested, Progress, ingest_directory
from ostreefs_store.errors import UpperFeatureError
from ostreefs_store.layer import WHITEOUT, Item, Layer
from ostreefs_store.model import CharDevice, Digest, Tree, TreeHead, Xattrs
from ostreefs_store.modifiers import Modifiers, without_marks

if TYPE_CHECKING:
    from ostreefs_store.committing.scan import SourceOptions
    from ostreefs_store.index import Snapshot
    from ostreefs_store.repository import Repository

_OPAQUE = {
    b"trusted.overlay.opaque",
    b"user.overlay.opaque",
    b"user.fuseoverlayfs.opaque",
}
_PREFIX = b".wh."
_OPAQUE_NAME = b".wh..wh..opq"
_RDEV_WHITEOUT = (0, 0)


def read_upper(
    repository: Repository,
    source: str | os.PathLike[str],
    modifiers: Modifiers,
    batch: Batch,
    *,
    options: SourceOptions,
    progress: Progress | None = None,
) -> tuple[Layer, Ingested]:
    """Store the files of an upper directory, to be added to the index from `batch`.

    Raises what `ingest_directory` raises, and `UpperFeatureError`.
    """
    own = Batch()
    marked = modifiers._replace(upper=True)
    ingested = ingest_directory(
        repository, source, marked, own, options=options, progress=progress
    )
    with repository.index.snapshot() as snapshot:
        layer = _Reader(snapshot, own).read(ingested.root)
    own.trees.clear()
    batch.merge(own)
    return layer, ingested


class _Reader:
    """Makes a layer of a tree that holds marks."""

    def __init__(self, snapshot: Snapshot, batch: Batch) -> None:
        self._snapshot = snapshot
        self._batch = batch
        self._whiteouts: dict[Digest, bool] = {}

    def read(self, root: Digest) -> Layer:
        """The layer; the files that are marks are dropped from the batch."""
        top = Layer()
        pending = [(root, b"", top)]
        while pending:
            digest, path, layer = pending.pop()
            tree = self._batch.read_tree(self._snapshot, digest)
            layer.head = _head(tree, path)
            layer.opaque = _is_opaque(tree.xattrs)
            for entry in tree.entries:
                if entry.is_tree:
                    below = Layer()
                    layer.entries[entry.name] = below
                    pending.append((entry.digest, os.path.join(path, entry.name), below))
                elif entry.name == _OPAQUE_NAME:
                    layer.opaque = True
                elif entry.name.startswith(_PREFIX):
                    layer.entries[entry.name.removeprefix(_PREFIX)] = WHITEOUT
                else:
                    layer.entries[entry.name] = self._file(entry.digest)
        for digest, is_mark in self._whiteouts.items():
            if is_mark:
                self._batch.files.pop(digest, None)
        return top

    def _file(self, digest: Digest) -> Item:
        if digest not in self._whiteouts:
            self._whiteouts[digest] = self._is_whiteout(digest)
        return WHITEOUT if self._whiteouts[digest] else digest

    def _is_whiteout(self, digest: Digest) -> bool:
        file = self._batch.read_file(self._snapshot, digest)
        return isinstance(file, CharDevice) and (file.major, file.minor) == _RDEV_WHITEOUT


def _head(tree: Tree, path: bytes) -> TreeHead:
    if any(name.endswith(b".overlay.redirect") for name, _ in tree.xattrs):
        raise UpperFeatureError(path, "redirect_dir")
    return TreeHead(tree.mode, tree.uid, tree.gid, without_marks(tree.xattrs))


def _is_opaque(xattrs: Xattrs) -> bool:
    return any(name in _OPAQUE and value == b"y" for name, value in xattrs)
