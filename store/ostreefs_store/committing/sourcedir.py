# SPDX-License-Identifier: LGPL-2.1-or-later
"""One directory of a source, as a walk found it, and the tree that it becomes."""

from __future__ import annotations

import os
from array import array
from typing import TYPE_CHECKING

from ostreefs_store.codec import encode_entries
from ostreefs_store.model import Digest, TreeHead, Xattrs
from ostreefs_store.statcache import (
    FACTS,
    NO_DIGEST,
    UNKNOWN,
    DirectoryRecord,
    encode_record,
    forget_racy,
    is_racy,
    pack_facts,
    pack_names,
    split_digests,
    unpack_names,
)

if TYPE_CHECKING:
    from ostreefs_store.batch import Batch
    from ostreefs_store.index import Snapshot


Candidate = tuple[int, str, os.stat_result, Digest]
"""A file of a directory as it is now (position, name, stat), and the object that it was."""


class SourceDirectory:
    """One directory of the source, as the walk found it.

    `names`, `facts` (`FACTS` numbers each) and `digests` are of its files, that is, of everything
    but directories; `pending` are the positions of those that must be read to have a digest, and
    `candidates` those that may have new metadata alone. `trees` are the digests of its
    `subdirectories` as far as they are known.
    An `unchanged` directory has the files of its `record` and carries none of its own. One that is
    `recognised` is known to be `tree`, and neither it nor what is below it was looked at.
    """

    __slots__ = (
        "candidates",
        "ctime",
        "digests",
        "facts",
        "fingerprint",
        "gid",
        "key",
        "mode",
        "names",
        "packed_names",
        "path",
        "pending",
        "recognised",
        "record",
        "skipped",
        "subdirectories",
        "tree",
        "trees",
        "uid",
        "unchanged",
        "xattrs",
    )

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.key = b""
        self.fingerprint: bytes | None = None
        self.mode = self.uid = self.gid = self.ctime = 0
        self.xattrs: Xattrs = ()
        self.names: list[str] = []
        self.packed_names = b""
        self.facts: list[int] = []
        self.digests: list[Digest] = []
        self.pending: list[int] = []
        self.candidates: list[Candidate] = []
        self.subdirectories: list[str] = []
        self.trees: dict[str, Digest] = {}
        self.skipped: tuple[bytes, ...] = ()
        self.record: DirectoryRecord | None = None
        self.unchanged = False
        self.recognised = False
        self.tree = NO_DIGEST

    @property
    def is_settled(self) -> bool:
        """Whether the digest of everything in it is known."""
        return not self.pending and len(self.trees) == len(self.subdirectories)

    def load_files(self) -> None:
        """Take the files of an unchanged directory from its record."""
        assert self.record is not None
        self.packed_names = self.record.names
        self.names = unpack_names(self.record.names)
        self.facts = list(array("q", self.record.facts))
        self.digests = split_digests(self.record.digests)

    def facts_of(self, position: int) -> tuple[int, ...]:
        """The facts of the file at a position."""
        return tuple(self.facts[position * FACTS : (position + 1) * FACTS])

    def size_of(self, position: int) -> int:
        """The bytes of the file at a position."""
        return self.facts[position * FACTS + 1]

    def set_stored(self, position: int, digest: Digest, facts: tuple[int, ...]) -> None:
        """Note what a file became, and its facts as they were when it was read."""
        self.digests[position] = digest
        self.facts[position * FACTS : (position + 1) * FACTS] = facts

    def path_of(self, name: str) -> bytes:
        """The path of an entry, relative to the source."""
        encoded = os.fsencode(name)
        return self.path + b"/" + encoded if self.path else encoded

    def encode_tree(self) -> bytes:
        """The canonical bytes of the tree that it is, once everything in it is known."""
        names = self.packed_names.split(b"\0") if self.names else []
        entries = [
            (name, False, digest)
            for name, digest in zip(names, self.digests, strict=True)
            if digest != NO_DIGEST
        ]
        entries += [(os.fsencode(name), True, self.trees[name]) for name in self.subdirectories]
        entries.sort()
        return encode_entries(TreeHead(self.mode, self.uid, self.gid, self.xattrs), entries)

    def finish(self, snapshot: Snapshot | None, batch: Batch, started: int) -> None:
        """Find its tree, everything in it being known; add what is new to the batch.

        `started` is when the walk began, in ns since 1970; `snapshot` None is an empty index.
        """
        if self.recognised:
            return
        trees = b"".join([self.trees[name] for name in self.subdirectories])
        if self.record is not None and self.unchanged:
            tree = self.record.tree
            if trees == self.record.trees and snapshot is not None and snapshot.has_tree(tree):
                self.tree = tree
                return
            self.load_files()
        self.tree = batch.add_encoded_tree(snapshot, self.encode_tree())
        if self.fingerprint is not None:
            record = self._make_record(self.fingerprint, trees, started)
            batch.directory_records.append((self.key, encode_record(record)))

    def _make_record(self, fingerprint: bytes, trees: bytes, started: int) -> DirectoryRecord:
        return DirectoryRecord(
            fingerprint=fingerprint,
            ctime=UNKNOWN if is_racy(self.ctime, started) else self.ctime,
            mode=self.mode,
            uid=self.uid,
            gid=self.gid,
            xattrs=self.xattrs,
            names=self.packed_names,
            facts=pack_facts(forget_racy(self.facts, started)),
            digests=b"".join(self.digests),
            subdirectories=pack_names(self.subdirectories),
            trees=trees,
            tree=self.tree,
            skipped=self.skipped,
        )
