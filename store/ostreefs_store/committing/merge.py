# SPDX-License-Identifier: LGPL-2.1-or-later
"""Laying one tree over another, on metadata alone: no file is opened, whatever its size.

Equal trees are never descended into, and what a layer does not name is not looked at, so the cost
is that of the directories in which something differs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from ostreefs_store.batch import BatchSource
from ostreefs_store.errors import PathNotFoundError, TreeConflictError
from ostreefs_store.layer import DEFAULT_HEAD, WHITEOUT, Item, Layer, WholeTree, nest
from ostreefs_store.model import Digest, Symlink, Tree, TreeEntry, TreeHead
from ostreefs_store.traverse import follow

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


class Watcher(Protocol):
    """Who decides about each place in which a tree would change."""

    def may_place(self, path: bytes, found: TreeEntry | None, item: Item) -> bool:
        """Whether `item` takes a place, which nothing or something else has; not for whiteouts.

        Asked of what is laid as a whole, such as a directory where none was, and not of
        directories that are merged.
        """


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
        as_installed: bool = False,
        watcher: Watcher | None = None,
    ) -> None:
        """With `replace` a file takes the place of a directory, and a directory that of a file.

        A directory has `default` of which nobody says anything. `as_installed` is how dpkg puts
        files into a system: a directory that is there keeps its metadata, and a symbolic link that
        leads to one is followed, not replaced. A `watcher` decides what is replaced instead.
        """
        self._snapshot = snapshot
        self._batch = batch
        self._replace = replace
        self._default = default
        self._as_installed = as_installed
        self._watcher = watcher
        self._root: Digest | None = None
        self._diverted: list[tuple[bytes, Layer | WholeTree]] = []

    def lay(self, below: Digest | None, above: Layer | WholeTree) -> Digest:
        """The tree that shows `above` where it says something, and `below` elsewhere.

        A directory that is in both has the metadata of the one above. Raises `TreeConflictError`
        where one has a directory and the other a file, unless that is to be replaced.
        """
        root = self._lay(below, above)
        while self._diverted:
            path, item = self._diverted.pop()
            names = follow(BatchSource(self._snapshot, self._batch), root, path).names
            root = self._lay(root, nest(item, names))
        return root

    def _lay(self, below: Digest | None, above: Layer | WholeTree) -> Digest:
        if isinstance(above, WholeTree) and (below in {None, above.digest} or above.opaque):
            return above.digest
        self._root = below
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
            entries = tuple(map(directory.entries.__getitem__, sorted(directory.entries)))
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
        heads = (head, above.head) if self._as_installed else (above.head, head)
        directory = _Directory(heads[0] or heads[1] or self._default, entries)
        for name, upper in above.entries.items():
            if upper is WHITEOUT:
                entries.pop(name, None)
            else:
                self._place(directory, name, upper, os.path.join(path, name), stack)
        return directory

    def _place(
        self, directory: _Directory, name: bytes, upper: Item, path: bytes, stack: list[_Work]
    ) -> None:
        """Put an item into a directory that is being merged; one to be merged onto the stack."""
        found = directory.entries.get(name)
        lower = found.digest if found is not None and found.is_tree else None
        if isinstance(upper, Layer | WholeTree):
            if lower is None and self._is_diverted(found, upper, path):
                return
            is_whole = isinstance(upper, WholeTree) and (
                lower in {None, upper.digest} or upper.opaque
            )
            if (is_whole or (found is not None and lower is None)) and not self._may_place(
                found, upper, path
            ):
                return
            if isinstance(upper, WholeTree) and is_whole:
                directory.entries[name] = TreeEntry(name, True, upper.digest)
            else:
                stack.append((directory, name, lower, upper, path))
        else:
            assert isinstance(upper, bytes)
            if self._may_place(found, upper, path):
                directory.entries[name] = TreeEntry(name, False, Digest(upper))

    def _may_place(self, found: TreeEntry | None, upper: Item, path: bytes) -> bool:
        is_tree = isinstance(upper, Layer | WholeTree)
        if self._watcher is not None:
            return _is_there(found, upper) or self._watcher.may_place(path, found, upper)
        if found is not None and found.is_tree != is_tree and not self._replace:
            raise TreeConflictError(path, is_tree=is_tree)
        return True

    def _is_diverted(self, found: TreeEntry | None, upper: Layer | WholeTree, path: bytes) -> bool:
        """Whether a directory lies over a link to another one, where it will be laid instead."""
        if not self._as_installed or found is None or self._root is None:
            return False
        if not isinstance(self._batch.read_file(self._snapshot, found.digest), Symlink):
            return False
        try:
            leads_to = follow(BatchSource(self._snapshot, self._batch), self._root, path)
        except PathNotFoundError:
            return False
        if leads_to.entry is None or not leads_to.entry[0]:
            return False
        self._diverted.append((path, upper))
        return True

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


def _is_there(found: TreeEntry | None, item: Item) -> bool:
    """Whether a place has already what is to be laid there."""
    if found is None:
        return False
    if isinstance(item, WholeTree):
        return found.is_tree and found.digest == item.digest
    return not found.is_tree and found.digest == item
