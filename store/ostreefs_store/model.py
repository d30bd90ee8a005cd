# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a repository holds: frozen values, no I/O.

The canonical form of each kind (see `codec`) is the msgpack encoding of the fields in the order in
which they stand here, as an array. Fields are never reordered or removed.
"""

from __future__ import annotations

import stat
from typing import NewType

import msgspec

Digest = NewType("Digest", bytes)
"""32 raw bytes of BLAKE3. Hex only in paths, logs and on the command line."""

DIGEST_SIZE = 32
BASE_KEY = "compose.base"
"""The key of metadata by which a composed commit names what it began with."""

Xattrs = tuple[tuple[bytes, bytes], ...]
"""(name, value) pairs, sorted by name, names unique."""

MetadataValue = str | int | bool


class RegularFile(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """A regular file. `mode` holds the permission bits alone (07777), `size` is in bytes."""

    mode: int
    uid: int
    gid: int
    xattrs: Xattrs
    content: Digest
    size: int


class Symlink(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A symbolic link; its mode is always 0777."""

    uid: int
    gid: int
    xattrs: Xattrs
    target: bytes

    @property
    def mode(self) -> int:
        """The permission bits that Linux shows for every symbolic link."""
        return 0o777


class Fifo(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A named pipe."""

    mode: int
    uid: int
    gid: int
    xattrs: Xattrs


class CharDevice(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """A character device."""

    mode: int
    uid: int
    gid: int
    xattrs: Xattrs
    major: int
    minor: int


class BlockDevice(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """A block device."""

    mode: int
    uid: int
    gid: int
    xattrs: Xattrs
    major: int
    minor: int


File = RegularFile | Symlink | Fifo | CharDevice | BlockDevice
"""A file object: everything that a directory can hold except another directory."""

EMPTY_CONTENT = Digest(
    bytes.fromhex("af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262")
)
"""The digest of no bytes. Files with this content are created afresh, never linked."""


class TreeEntry(msgspec.Struct, frozen=True, array_like=True):
    """A name in a directory; `digest` names a tree object or a file object."""

    name: bytes
    is_tree: bool
    digest: Digest


class Tree(msgspec.Struct, frozen=True, array_like=True):
    """A directory: its own metadata, and its entries sorted by the bytes of their names."""

    mode: int
    uid: int
    gid: int
    xattrs: Xattrs
    entries: tuple[TreeEntry, ...]


class TreeHead(msgspec.Struct, frozen=True, array_like=True):
    """A directory's own metadata: what `Tree` begins with, without its entries."""

    mode: int
    uid: int
    gid: int
    xattrs: Xattrs


class Commit(msgspec.Struct, frozen=True, array_like=True):
    """A root tree with its history. `timestamp` counts seconds since 1970 in UTC."""

    root: Digest
    parents: tuple[Digest, ...]
    timestamp: int
    subject: str
    body: str
    metadata: dict[str, MetadataValue]


def file_type(file: File) -> int:
    """The S_IFMT bits of a file object."""
    return _TYPES[type(file)]


_TYPES: dict[type, int] = {
    RegularFile: stat.S_IFREG,
    Symlink: stat.S_IFLNK,
    Fifo: stat.S_IFIFO,
    CharDevice: stat.S_IFCHR,
    BlockDevice: stat.S_IFBLK,
}
