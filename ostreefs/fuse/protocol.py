# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the kernel and the server of a mount say to each other, as bytes; pure.

The format is that of the kernel's ``include/uapi/linux/fuse.h``, as far as a filesystem needs it
that is only read. A request is a header, a structure that belongs to its kind, and names that end
with NUL; an answer is a header and a structure. Everything is in the byte order of the machine.
"""

from __future__ import annotations

import errno
import os
import stat
from enum import IntEnum
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ostreefs.fuse.nodes import Attributes

VERSION = 7
OLDEST = 28
"""The minor version of Linux 4.20, which has all that is wanted here."""

FOREVER = 1 << 30
"""Seconds for which the kernel may keep what cannot change."""


class Opcode(IntEnum):
    """The kinds of requests that are answered with anything but ENOSYS."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    INIT = 26
    OPENDIR = 27
    RELEASEDIR = 29
    CREATE = 35
    DESTROY = 38
    IOCTL = 39
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    TMPFILE = 51


class Feature(IntEnum):
    """Flags of the first exchange."""

    ASYNC_READ = 1 << 0
    EXPORT_SUPPORT = 1 << 4
    DO_READDIRPLUS = 1 << 13
    PARALLEL_DIROPS = 1 << 18
    POSIX_ACL = 1 << 20
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23


class Opened(IntEnum):
    """Flags in the answer to OPEN and OPENDIR."""

    KEEP_CACHE = 1 << 1
    CACHE_DIR = 1 << 3


class Notice(IntEnum):
    """What the server tells the kernel by itself."""

    INVALID_INODE = 2
    INVALID_ENTRY = 3


REQUEST = Struct("=IIQQIIIHH")
"""Length, opcode, number of the request, number of the node, uid, gid, pid, extensions."""

BODY = REQUEST.size
"""Where in a request its own structure begins."""

HANDLE = Struct("=Q")
OPEN = Struct("=II")
"""Flags of open(2), of FUSE."""
READ = Struct("=QQI")
"""Handle, offset, size; more follows."""
SIZED = Struct("=II")
"""The room for a value, padding: GETXATTR and LISTXATTR; its size, in the answer."""
FORGET_ONE = Struct("=QQ")
"""Number of a node, how often."""
_COUNT = Struct("=II")
_INIT = Struct("=IIII")
"""Major, minor, read-ahead, flags; more follows."""

_ANSWER = Struct("=IiQ")
_INIT_ANSWER = Struct("=IIIIHHIIHHI28x")
"""Major, minor, read-ahead, flags, background, congestion, write, time, pages, alignment, more."""
_OPENED = Struct("=QII")
_STATFS = Struct("=QQQQQIIII24x")
_INODE = "QQQ 36x IIIIII 4x"
"""Number, size, blocks; no times; mode, links, uid, gid, device, block size; no flags."""
_ATTRIBUTES = Struct(f"=Q 8x {_INODE}")
"""Seconds that they may be kept."""
_ENTRY = Struct(f"=Q 8x QQ 8x {_INODE}")
"""Number, generation 0, seconds that the entry and the attributes may be kept."""
_LISTED = Struct(f"=Q 8x QQ 8x {_INODE} QQII")
"""An entry; number, position after it, length of the name, type; the name follows."""
_INVALID_INODE = Struct("=Qqq")
_INVALID_ENTRY = Struct("=QII")

NO_ENTRY = _ENTRY.pack(0, FOREVER, *[0] * 10)
"""There is no such name, and will not be."""

_BLOCK_SIZE = 131072
_PADDING = [bytes(-length % 8) for length in range(8)]


class Greeting(NamedTuple):
    """What the kernel says first."""

    major: int
    minor: int
    read_ahead: int
    features: int


def parse_greeting(request: bytes) -> Greeting:
    """Take an INIT apart."""
    return Greeting(*_INIT.unpack_from(request, BODY))


def format_greeting(read_ahead: int, features: int, pages: int) -> bytes:
    """The answer to INIT; `pages` is the most that a request reads."""
    return _INIT_ANSWER.pack(VERSION, OLDEST, read_ahead, features, 0, 0, 4096, 1, pages, 0, 0)


def format_answer(request: int, payload: bytes) -> bytes:
    """A whole answer."""
    return _ANSWER.pack(_ANSWER.size + len(payload), 0, request) + payload


def format_header(request: int, length: int) -> bytes:
    """The beginning of an answer whose payload has so many bytes."""
    return _ANSWER.pack(_ANSWER.size + length, 0, request)


def format_error(request: int, number: int) -> bytes:
    """A whole answer that is an errno."""
    return _ANSWER.pack(_ANSWER.size, -number, request)


def format_entry(attributes: Attributes) -> bytes:
    """What LOOKUP found."""
    keep = FOREVER if attributes.fixed else 0
    return _ENTRY.pack(attributes.number, keep, keep, *_fields(attributes))


def format_attributes(attributes: Attributes) -> bytes:
    """The answer to GETATTR."""
    return _ATTRIBUTES.pack(FOREVER if attributes.fixed else 0, *_fields(attributes))


def format_listed(name: bytes, attributes: Attributes, position: int) -> bytes:
    """An entry in the answer to READDIRPLUS; `position` is the one after it."""
    number, mode, uid, gid, size, major, minor, fixed = attributes
    keep = FOREVER if fixed else 0
    device = _device(mode, major, minor) if major or minor else 0
    blocks = (size + 511) >> 9
    length = len(name)
    inode = (number, size, blocks, mode, 1, uid, gid, device, _BLOCK_SIZE)
    entry = _LISTED.pack(number, keep, keep, *inode, number, position, length, mode >> 12)
    return entry + name + _PADDING[length & 7]


def _fields(attributes: Attributes) -> tuple[int, ...]:
    number, mode, uid, gid, size, major, minor, _ = attributes
    blocks, device = (size + 511) >> 9, _device(mode, major, minor)
    return (number, size, blocks, mode, 1, uid, gid, device, _BLOCK_SIZE)


def _device(mode: int, major: int, minor: int) -> int:
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return os.makedev(major, minor) & 0xFFFFFFFF
    return 0


def format_opened(handle: int, flags: int) -> bytes:
    """The answer to OPEN and OPENDIR."""
    return _OPENED.pack(handle, flags, 0)


def format_statfs(disk: os.statvfs_result, name_max: int) -> bytes:
    """The answer to STATFS: the size of a disk, with nothing free."""
    sizes = disk.f_blocks, 0, 0, disk.f_files, 0
    return _STATFS.pack(*sizes, disk.f_bsize, name_max, disk.f_frsize, 0)


def format_sized(value: bytes, room: int) -> bytes:
    """The answer to GETXATTR and LISTXATTR: a value, or where there is no room its size.

    Raises `Refused` when the room is too small.
    """
    if room == 0:
        return SIZED.pack(len(value), 0)
    if len(value) > room:
        raise Refused(errno.ERANGE)
    return value


def parse_forgotten(request: bytes) -> list[tuple[int, int]]:
    """The nodes in a BATCH_FORGET, and how often each."""
    number, _ = _COUNT.unpack_from(request, BODY)
    start = BODY + _COUNT.size
    return [*FORGET_ONE.iter_unpack(request[start : start + number * FORGET_ONE.size])]


def format_invalid_entry(parent: int, name: bytes, *, expire: bool = False) -> bytes:
    """Have the kernel forget a name with all below it, or just look it up again when it is used.

    Kernels before Linux 6.2 do not know the difference, and forget.
    """
    payload = _INVALID_ENTRY.pack(parent, len(name), int(expire)) + name + b"\0"
    return _ANSWER.pack(_ANSWER.size + len(payload), Notice.INVALID_ENTRY, 0) + payload


def format_invalid_attributes(number: int) -> bytes:
    """Have the kernel ask for attributes again; content that it keeps is kept."""
    payload = _INVALID_INODE.pack(number, -1, 0)
    return _ANSWER.pack(_ANSWER.size + len(payload), Notice.INVALID_INODE, 0) + payload


class Refused(Exception):  # noqa: N818 -- an answer like any other, not a fault
    """A request that is answered with an errno; nothing is wrong."""

    def __init__(self, number: int) -> None:
        super().__init__(os.strerror(number))
        self.errno = number
