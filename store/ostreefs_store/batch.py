# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a commit is about to add to the index: gathered from its sources, published by `commit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs_store.codec import (
    encode_file,
    encode_tree,
    file_digest,
    read_file,
    read_tree,
    tree_digest,
)
from ostreefs_store.errors import ObjectMissingError
from ostreefs_store.model import Digest, RegularFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ostreefs_store.index import ObjectFile, Snapshot, Transaction
    from ostreefs_store.model import File, Tree


class Batch:
    """Records that no index has yet. An object may be in it and in the index: it is the same."""

    __slots__ = ("directory_records", "files", "object_files", "trees", "twins")

    def __init__(self) -> None:
        self.files: dict[Digest, bytes] = {}
        """File objects: digest to canonical bytes."""
        self.trees: dict[Digest, bytes] = {}
        """Tree objects: digest to canonical bytes."""
        self.object_files: list[ObjectFile] = []
        """Object files that were written and are to be synced before the index knows them."""
        self.twins: dict[Digest, Digest] = {}
        """Objects without an object file of their own, and their holders."""
        self.directory_records: list[tuple[bytes, bytes]] = []
        """For the stat cache."""

    def merge(self, other: Batch) -> None:
        """Add all that another batch holds."""
        self.files.update(other.files)
        self.trees.update(other.trees)
        self.object_files += other.object_files
        self.twins.update(other.twins)
        self.directory_records += other.directory_records

    def put_into(self, transaction: Transaction) -> None:
        """Put everything into the index. `object_files` must be durable when it ends.

        What the index knows already stays as it is: an object with a file is made no twin.
        """
        new = transaction.put_files(self.files.items())
        transaction.put_trees(self.trees.items())
        holders = zip(new, map(self.twins.get, new), strict=True)
        transaction.put_twins([(twin, holder) for twin, holder in holders if holder])
        transaction.put_object_files(self.object_files)
        transaction.put_directory_records(self.directory_records)

    def read_tree(self, snapshot: Snapshot, digest: Digest) -> Tree:
        """A tree that is here or in the index. Raises `ObjectMissingError`."""
        encoded = self.trees.get(digest) or snapshot.find_tree(digest)
        if encoded is None:
            raise ObjectMissingError("tree", digest)
        return read_tree(encoded)

    def keep_trees_of(self, root: Digest) -> None:
        """Drop the trees that `root` does not reach: those of sources that were laid over."""
        kept: dict[Digest, bytes] = {}
        pending = [root]
        while pending:
            digest = pending.pop()
            encoded = self.trees.get(digest)
            if encoded is not None and digest not in kept:
                kept[digest] = encoded
                pending += [e.digest for e in read_tree(encoded).entries if e.is_tree]
        self.trees = kept

    def read_file(self, snapshot: Snapshot, digest: Digest) -> File:
        """A file object that is here or in the index. Raises `ObjectMissingError`."""
        encoded = self.files.get(digest) or snapshot.find_file(digest)
        if encoded is None:
            raise ObjectMissingError("file", digest)
        return read_file(encoded)

    def add_twin(self, snapshot: Snapshot, file: File, before: Digest) -> Digest:
        """Add what became of a file object by new metadata alone; its digest."""
        encoded = encode_file(file)
        digest = file_digest(encoded)
        if digest != before and digest not in self.files and snapshot.find_file(digest) is None:
            self.files[digest] = encoded
            if isinstance(file, RegularFile) and file.size:
                self.twins[digest] = self.twins.get(before) or snapshot.find_holder(before)
        return digest

    def add_tree(self, snapshot: Snapshot, tree: Tree) -> Digest:
        """Add a tree unless the index has it; its digest."""
        return self.add_encoded_tree(snapshot, encode_tree(tree))

    def add_encoded_tree(self, snapshot: Snapshot | None, encoded: bytes) -> Digest:
        """As `add_tree`, for canonical bytes; a snapshot of None is an empty index."""
        digest = tree_digest(encoded)
        known = digest in self.trees or (snapshot is not None and snapshot.has_tree(digest))
        if not known:
            self.trees[digest] = encoded
        return digest


class BatchSource:
    """A batch over the index that it is for, as an `ObjectSource`."""

    def __init__(self, snapshot: Snapshot, batch: Batch) -> None:
        self._snapshot = snapshot
        self._batch = batch

    def find_tree(self, digest: bytes) -> bytes | None:
        """The canonical bytes of a tree object."""
        return self._batch.trees.get(Digest(digest)) or self._snapshot.find_tree(digest)

    def find_file(self, digest: bytes) -> bytes | None:
        """The canonical bytes of a file object."""
        return self._batch.files.get(Digest(digest)) or self._snapshot.find_file(digest)

    def find_files(self, digests: Sequence[bytes]) -> dict[bytes, bytes]:
        """Those of the file objects that exist, by digest."""
        own = {d: found for d in digests if (found := self._batch.files.get(Digest(d)))}
        return own | self._snapshot.find_files([d for d in digests if d not in own])
