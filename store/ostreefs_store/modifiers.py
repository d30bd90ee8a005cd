# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a commit changes on what it takes in. Pure."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec
from blake3 import blake3

from ostreefs_store.model import Digest, File, RegularFile, Symlink, Tree, TreeHead, Xattrs

if TYPE_CHECKING:
    import os

Item = TypeVar("Item", bound=File | TreeHead | Tree)

_VERSION = b"3"
_CANONICAL = 0o755
_WRITE = 0o222
_EXECUTE = 0o111

OVERLAY_XATTRS = (b"trusted.overlay.", b"user.overlay.", b"user.fuseoverlayfs.")
"""What overlayfs and fuse-overlayfs keep for themselves in an upper directory."""


class Modifiers(NamedTuple):
    """The options of `commit` by which an object is not what its source shows.

    `canonical`: root owns everything, and of the mode only what is in 0755 is kept.
    `read_only_executables`: what can be executed cannot be written. `upper`: the source is the
    upper directory of an overlay; the marks on its files are left out, those on directories kept.
    """

    owner_uid: int | None = None
    owner_gid: int | None = None
    xattrs: bool = True
    canonical: bool = False
    read_only_executables: bool = False
    upper: bool = False

    def fingerprint(self, filesystem: int) -> bytes:
        """8 bytes that differ between any two modifiers, filesystems, versions of the cache."""
        return blake3(_VERSION + repr((*self, filesystem)).encode()).digest()[:8]

    def owner(self, uid: int, gid: int) -> tuple[int, int]:
        """The owner that a commit records."""
        if self.canonical:
            uid = gid = 0
        return (
            uid if self.owner_uid is None else self.owner_uid,
            gid if self.owner_gid is None else self.owner_gid,
        )

    def mode(self, mode: int, *, is_regular: bool = False) -> int:
        """The permission bits that a commit records."""
        if self.canonical:
            mode &= _CANONICAL
        if self.read_only_executables and is_regular and mode & _EXECUTE:
            mode &= ~_WRITE
        return mode

    def file_xattrs(self, xattrs: Xattrs) -> Xattrs:
        """Of the attributes of a file those that a commit records."""
        if self.upper and xattrs:
            return without_marks(xattrs)
        return xattrs

    def regular_file(self, found: os.stat_result, xattrs: Xattrs, content: Digest) -> RegularFile:
        """The file object of a regular file; `xattrs` are those that it has."""
        uid, gid = self.owner(found.st_uid, found.st_gid)
        mode = self.mode(stat.S_IMODE(found.st_mode), is_regular=True)
        return RegularFile(mode, uid, gid, self.file_xattrs(xattrs), content, found.st_size)

    def apply(self, item: Item) -> Item:
        """A file object, or a directory's own metadata, as a commit records it."""
        uid, gid = self.owner(item.uid, item.gid)
        xattrs = item.xattrs if self.xattrs else ()
        if isinstance(item, Symlink):
            return msgspec.structs.replace(item, uid=uid, gid=gid, xattrs=xattrs)
        mode = self.mode(item.mode, is_regular=isinstance(item, RegularFile))
        return msgspec.structs.replace(item, mode=mode, uid=uid, gid=gid, xattrs=xattrs)


def without_marks(xattrs: Xattrs) -> Xattrs:
    """Attributes without those that belong to an overlay."""
    return tuple(item for item in xattrs if not item[0].startswith(OVERLAY_XATTRS))
