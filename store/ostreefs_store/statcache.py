# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a commit remembers of each source directory, so that the next one reads nothing twice.

One record a directory, found by device and inode number. It holds, in the order in which the
directory lists them, every name with its (inode, size, mtime, ctime) and the digest that came of
it. An unchanged directory is recognised by comparing two byte strings, without decoding entries.

The ctime cannot be set by anyone, so equal facts mean equal files, with one exception: a file
changed twice within one tick of the filesystem's clock. Facts younger than `SLACK_NS` when the
scan began are therefore stored as unknown, as git does for its index
(https://git-scm.com/docs/racy-git).
"""

from __future__ import annotations

import os
from array import array
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from blake3 import blake3

from ostreefs_store.model import DIGEST_SIZE, Digest, Xattrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SLACK_NS = 50_000_000
"""Longer than a tick of the kernel's coarse clock (at most 10 ms)."""

COARSE_SLACK_NS = 2_000_000_000
"""For filesystems that keep whole seconds, or two of them."""

_VERSION = b"1"
FACTS = 4
"""Numbers kept of each entry: inode, size, mtime, ctime (in ns), or (inode, 0, 0, 0)."""

NO_DIGEST = Digest(bytes(DIGEST_SIZE))
"""Stands for an entry that is in no tree, such as a socket."""


class Modifiers(NamedTuple):
    """What a commit changes on everything it takes in."""

    owner_uid: int | None = None
    owner_gid: int | None = None
    xattrs: bool = True

    def fingerprint(self) -> bytes:
        """8 bytes that differ between any two modifiers and between versions of the cache."""
        return blake3(_VERSION + repr(tuple(self)).encode()).digest()[:8]


class DirectoryRecord(msgspec.Struct, frozen=True, array_like=True):
    """A source directory as it was. `ctime` 0 means unknown."""

    fingerprint: bytes
    ctime: int
    mode: int
    uid: int
    gid: int
    xattrs: Xattrs
    names: bytes
    facts: bytes
    digests: bytes
    tree: Digest
    skipped: tuple[bytes, ...]

    def digest_at(self, position: int) -> Digest:
        """The digest of the entry at a position."""
        return Digest(self.digests[position * DIGEST_SIZE : (position + 1) * DIGEST_SIZE])

    def entries(self) -> Iterator[tuple[bytes, tuple[int, ...], Digest]]:
        """Every entry: name, facts, digest."""
        if not self.names:
            return
        facts = array("q", self.facts)
        for position, name in enumerate(self.names.split(b"\0")):
            first = position * FACTS
            yield name, tuple(facts[first : first + FACTS]), self.digest_at(position)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(DirectoryRecord)


def encode_record(record: DirectoryRecord) -> bytes:
    """The bytes that the index keeps."""
    return _encoder.encode(record)


def decode_record(encoded: bytes | None, fingerprint: bytes) -> DirectoryRecord | None:
    """A record that fits the fingerprint; None for any other bytes: a cache may always miss."""
    if encoded is None:
        return None
    try:
        record = _decoder.decode(encoded)
    except msgspec.MsgspecError:
        return None
    return record if record.fingerprint == fingerprint else None


def directory_key(device: int, inode: int) -> bytes:
    """The key of a directory's record."""
    return device.to_bytes(8, "big") + inode.to_bytes(8, "big")


def pack_names(names: Iterable[str]) -> bytes:
    """Names as `os.scandir` gives them, as one byte string."""
    return os.fsencode("\0".join(names))


def pack_facts(facts: list[int]) -> bytes:
    """A flat list of facts as one byte string; numbers beyond 63 bits are folded."""
    try:
        return array("q", facts).tobytes()
    except OverflowError:
        return array("q", [fact & (2**63 - 1) for fact in facts]).tobytes()


def is_racy(ctime: int, scan_started: int) -> bool:
    """Whether a file could change again without its ctime showing it. Both in ns since 1970."""
    slack = COARSE_SLACK_NS if ctime % 1_000_000_000 == 0 else SLACK_NS
    return ctime + slack >= scan_started


def forget_racy(facts: list[int], scan_started: int) -> list[int]:
    """The facts with every racy ctime replaced by 0."""
    kept = list(facts)
    for position in range(FACTS - 1, len(kept), FACTS):
        if is_racy(kept[position], scan_started):
            kept[position] = 0
    return kept
