# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a commit remembers of each source directory, so that the next one reads nothing twice.

One record a directory, found by device and inode number. It holds every file with its (inode,
size, mtime, ctime) and the digest that came of it. A directory whose own ctime is the same holds
the same names, and need not be listed; whose files have the same facts holds the same files, which
is seen by comparing two byte strings.

On the filesystems that `KEPT_CTIME` names the kernel keeps the ctime and nobody can set it, so
equal facts mean equal files, with one exception: something changed twice within one tick of the
clock. Times younger than `SLACK_NS` when the scan began are therefore stored as unknown, as git
does for its index (https://git-scm.com/docs/racy-git).
"""

from __future__ import annotations

import os
from array import array
from typing import TYPE_CHECKING

import msgspec

from ostreefs_store.model import DIGEST_SIZE, Digest, Xattrs

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

KEPT_CTIME = frozenset({
    "ext2", "ext3", "ext4", "xfs", "btrfs", "bcachefs", "f2fs", "jfs",
    "nilfs2", "zfs", "tmpfs", "overlay", "nfs", "nfs4",
})  # fmt: skip
"""Types of filesystems that are believed. Others (images, FUSE) may show any ctime they like, and
their device and inode numbers come back with other files behind them."""

SLACK_NS = 50_000_000
"""Longer than a tick of the kernel's coarse clock (at most 10 ms)."""

COARSE_SLACK_NS = 2_000_000_000
"""For filesystems that keep whole seconds, or two of them."""

FACTS = 4
"""Numbers that are kept of each file: inode, size, mtime and ctime, the times in ns."""

UNKNOWN = -(2**63)
"""A time that no file has: stored for one that must not be believed."""

NO_DIGEST = Digest(bytes(DIGEST_SIZE))
"""Stands for an entry that is in no tree, such as a socket."""


class DirectoryRecord(msgspec.Struct, frozen=True, array_like=True):
    """A source directory as it was.

    Files (everything that is no directory) and subdirectories are apart: `digests` go with
    `names`, `trees` with `subdirectories`; names are separated by NUL, digests stand end to end.
    """

    fingerprint: bytes
    ctime: int
    mode: int
    uid: int
    gid: int
    xattrs: Xattrs
    names: bytes
    facts: bytes
    digests: bytes
    subdirectories: bytes
    trees: bytes
    tree: Digest
    skipped: tuple[bytes, ...]

    def find_touched(self, names: bytes, facts: list[int]) -> list[int] | None:
        """The positions of those of the files whose ctime alone differs; `names` are packed.

        None where anything else may have changed: names, sizes, times not to be believed.
        """
        if self.skipped or names != self.names:
            return None
        old, new = array("q", self.facts), array("q", pack_facts(facts))
        if any(old[at::FACTS] != new[at::FACTS] for at in range(FACTS - 1)):
            return None
        before, now = old[FACTS - 1 :: FACTS], new[FACTS - 1 :: FACTS]
        if UNKNOWN in before:
            return None
        return [
            at for at, (one, other) in enumerate(zip(before, now, strict=True)) if one != other
        ]

    def files(self) -> dict[str, tuple[tuple[int, ...], Digest]]:
        """Facts and digest of every file, by name."""
        numbers = iter(array("q", self.facts))
        facts = zip(numbers, numbers, numbers, numbers, strict=True)
        digests = split_digests(self.digests)
        return dict(zip(unpack_names(self.names), zip(facts, digests, strict=True), strict=True))


def _slice(digests: bytes, position: int) -> bytes:
    return digests[position * DIGEST_SIZE : (position + 1) * DIGEST_SIZE]


def split_digests(digests: bytes) -> list[Digest]:
    """Digests that stand end to end."""
    return [Digest(_slice(digests, at)) for at in range(len(digests) // DIGEST_SIZE)]


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


def mentions_any(encoded: bytes, trees: Container[bytes], files: Container[bytes]) -> bool:
    """Whether a record names one of these objects. One that cannot be read may name any."""
    try:
        record = _decoder.decode(encoded)
    except msgspec.MsgspecError:
        return True
    return record.tree in trees or any(file in files for file in split_digests(record.digests))


def directory_key(device: int, inode: int) -> bytes:
    """The key of a directory's record."""
    return device.to_bytes(8, "big") + inode.to_bytes(8, "big")


def pack_names(names: Iterable[str]) -> bytes:
    """Names as `os.scandir` gives them, as one byte string."""
    return os.fsencode("\0".join(names))


def unpack_names(names: bytes) -> list[str]:
    """What `pack_names` packed."""
    return os.fsdecode(names).split("\0") if names else []


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
    """The facts with every racy ctime made `UNKNOWN`."""
    if max(facts[FACTS - 1 :: FACTS], default=0) + COARSE_SLACK_NS < scan_started:
        return facts
    kept = list(facts)
    for position in range(FACTS - 1, len(kept), FACTS):
        if is_racy(kept[position], scan_started):
            kept[position] = UNKNOWN
    return kept
