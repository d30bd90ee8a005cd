# SPDX-License-Identifier: LGPL-2.1-or-later
"""Directories that were decoded, for whoever looks into them again."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from ostreefs_store.codec import read_tree
from ostreefs_store.errors import ObjectMissingError

if TYPE_CHECKING:
    from ostreefs_store.index import Snapshot
    from ostreefs_store.model import Digest, TreeEntry


class TreeCache:
    """Directories by name, the least recently used dropped; bounded by their entries together."""

    def __init__(self, limit: int) -> None:
        """Keep `limit` entries, but at least one directory."""
        self._limit = limit
        self._size = 0
        self._trees: OrderedDict[Digest, dict[bytes, TreeEntry]] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def get(self, snapshot: Snapshot, digest: Digest) -> dict[bytes, TreeEntry]:
        """The entries of a directory, by name. Raises `ObjectMissingError`."""
        tree = self._trees.get(digest)
        if tree is not None:
            self._trees.move_to_end(digest)
            self.hits += 1
            return tree
        self.misses += 1
        encoded = snapshot.find_tree(digest)
        if encoded is None:
            raise ObjectMissingError("tree", digest)
        tree = {entry.name: entry for entry in read_tree(encoded).entries}
        self._trees[digest] = tree
        self._size += len(tree)
        while self._size > self._limit and len(self._trees) > 1:
            _, dropped = self._trees.popitem(last=False)
            self._size -= len(dropped)
        return tree
