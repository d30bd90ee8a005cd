# SPDX-License-Identifier: LGPL-2.1-or-later
"""Laying one tree over another, on metadata alone: no file is opened, whatever its size.

Equal trees are never descended into, and what a layer does not name is not looked at, so the cost
is that of the directories in which something differs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ostreefs_store.errors import TreeConflictError
from ostreefs_store.layer import DEFAULT_HEAD, WHITEOUT, Item, Layer, WholeTree
from ostreefs_store.model import Digest, Tree, TreeEntry, TreeHead

if TYPE_CHECKING:
    from ostreefs_store.batch import Batch
    from ostreefs_store.index import Snapshot


class _Directory:
    """A directory that is being merged; `pending` are those below it that are, too."""

    __slots__ = ("digest", "entries", "head", "pending")

    def __init__(self, head: TreeHead, entries: dict[bytes, TreeEntry]) -> None:
        self.head = head
        self.entries = entries
        self.pending: list[tuple[bytes, _Directory]] = []
        self.digest = Digest(b"")


_Work = tuple[_Directory, bytes, Digest | None, Layer | WholeTree, bytes]
"""A directory to be merged: the one it is in, its name, what is below, what above, its path."""


class Merger:
    """Lays trees and layers over others; new trees go into a batch."""

    def __init__(
        self,
        snapshot: Snapshot,
        batch: Batch,
        *,
        replace: bool,
        default: TreeHead = DEFAULT_HEAD,
    ) -> None:
        """With `replace` a file takes the place of a directory, and a directory that of a file.

        A directory has `default` of which nobody says anything.
        """
        self._snapshot = snapshot
        self._batch = batch
        self._replace = replace
        self._default = default

    def lay(self, below: Digest | None, above: Layer | WholeTree) -> Digest:
        """The tree that shows `above` where it says something, and `below` elsewhere.

        A directory that is in both has the metadata of the one above. Raises `TreeConflictError`
        where one has a directory and the other a file, unless that is to be replaced.
        """
        if isinstance(above, WholeTree) and (below in {None, above.digest} or above.opaque):
            return above.digest
        stack: list[_Work] = []
        top = self._merge(below, above, b"", stack)
        done = [top]
        while stack:
            parent, name, tree, item, path = stack.pop()
            directory = self._merge(tree, item, path, stack)
            parent.pending.append((name, directory))
            done.append(directory)
        for directory in reversed(done):  # leaves first
            for name, child in directory.pending:
                directory.entries[name] = TreeEntry(name, True, child.digest)
            entries = tuple(entry for _, entry in sorted(directory.entries.items()))
            head = directory.head
            tree_object = Tree(head.mode, head.uid, head.gid, head.xattrs, entries)
            directory.digest = self._batch.add_tree(self._snapshot, tree_object)
        return top.digest

    def _merge(
        self,
        below: Digest | None,
        item: Layer | WholeTree,
        path: bytes,
        stack: list[_Work],
    ) -> _Directory:
        """Merge one directory; what must be merged below it is put on the stack."""
        head, entries = self._read(below)
        above = self._as_layer(item)
        if above.opaque:
            entries = {}
        directory = _Directory(above.head or head or self._default, entries)
        for name, upper in above.entries.items():
            found = entries.get(name)
            if upper is WHITEOUT:
                entries.pop(name, None)
                continue
            self._check(found, upper, os.path.join(path, name))
            if isinstance(upper, Layer | WholeTree):
                lower = found.digest if found is not None and found.is_tree else None
                if isinstance(upper, WholeTree) and (
                    lower in {None, upper.digest} or upper.opaque
                ):
                    entries[name] = TreeEntry(name, True, upper.digest)
                else:
                    stack.append((directory, name, lower, upper, os.path.join(path, name)))
            else:
                assert isinstance(upper, bytes)
                entries[name] = TreeEntry(name, False, Digest(upper))
        return directory

    def _check(self, found: TreeEntry | None, upper: Item, path: bytes) -> None:
        is_tree = isinstance(upper, Layer | WholeTree)
        if found is not None and found.is_tree != is_tree and not self._replace:
            raise TreeConflictError(path, is_tree=is_tree)

    def _read(self, digest: Digest | None) -> tuple[TreeHead | None, dict[bytes, TreeEntry]]:
        if digest is None:
            return None, {}
        tree = self._batch.read_tree(self._snapshot, digest)
        head = TreeHead(tree.mode, tree.uid, tree.gid, tree.xattrs)
        return head, {entry.name: entry for entry in tree.entries}

    def _as_layer(self, item: Layer | WholeTree) -> Layer:
        """A tree spelled out, as far as its own entries."""
        if isinstance(item, Layer):
            return item
        head, entries = self._read(item.digest)
        spelt: dict[bytes, Item] = {
            name: WholeTree(entry.digest) if entry.is_tree else entry.digest
            for name, entry in entries.items()
        }
        return Layer(head, item.opaque, spelt)
