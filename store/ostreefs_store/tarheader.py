# SPDX-License-Identifier: LGPL-2.1-or-later
"""The headers of a tar archive for what a tree holds: the reverse of `tarmember`. Pure.

ustar headers (POSIX.1-2008, pax) with an extended header before those that need one. Three choices
make GNU tar and bsdtar read everything back as it was, and without a warning:

- names that are no UTF-8 stand as they are in a ustar header, or in one of GNU's long ones
  (``L``, ``K``): bsdtar will not have them in a PAX record without ``hdrcharset=BINARY``, and GNU
  tar complains of that record. The values of extended attributes are bytes all the same.
- ACLs are text with numbers, which both understand, and stand under ``SCHILY.xattr`` only when no
  text gives the same bytes.
- ``%`` and ``=`` in the name of an attribute are written as in a URL, as both do.

Equal trees have equal archives: all times are 0, and there are no names of users.
"""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

from ostreefs_store.acl import format_acl
from ostreefs_store.model import (
    BlockDevice,
    CharDevice,
    Fifo,
    File,
    RegularFile,
    Symlink,
    Tree,
    Xattrs,
)
from ostreefs_store.tarmember import ACL_RECORDS, XATTR_RECORD

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)
"""What an archive ends with."""

_NAME_MAX = 100
_ID_END = 8**7
_SIZE_END = 8**11
_TYPES: dict[type, bytes] = {
    Tree: tarfile.DIRTYPE,
    RegularFile: tarfile.REGTYPE,
    Symlink: tarfile.SYMTYPE,
    Fifo: tarfile.FIFOTYPE,
    CharDevice: tarfile.CHRTYPE,
    BlockDevice: tarfile.BLKTYPE,
}
_ACL_OF = {name: record for record, name in ACL_RECORDS.items()}

Records = list[tuple[bytes, bytes]]
"""(keyword, value) of an extended header."""


def padding(size: int) -> bytes:
    """What fills up the last block of `size` bytes."""
    return bytes(-size % BLOCK)


def format_header(
    name: bytes,
    item: Tree | File,
    *,
    xattrs: bool = True,
    extents: Sequence[tuple[int, int]] | None = None,
) -> bytes:
    """All headers of a member. The data follows: of a sparse file, that of its `extents` alone.

    `extents` are ranges (offset, size) in order.
    """
    if isinstance(item, Tree):
        name = name.rstrip(b"/") + b"/"
    info = tarfile.TarInfo()
    info.type = _TYPES[type(item)]
    info.mode = item.mode
    map_ = b""
    records: Records = []
    if isinstance(item, RegularFile):
        info.size = item.size
        if extents is not None:
            map_ = _format_map(extents, item.size)
            info.size = len(map_) + sum(count for _, count in extents)
            records += _sparse_records(item.size)
    elif isinstance(item, CharDevice | BlockDevice):
        info.devmajor, info.devminor = item.major, item.minor
    before, name_records = _set_names(info, name, getattr(item, "target", b""))
    records += name_records + _set_numbers(info, item.uid, item.gid, info.size)
    if xattrs:
        records += _xattr_records(item.xattrs)
    return before + _extended(records) + _block(info) + map_


def _set_names(info: tarfile.TarInfo, name: bytes, target: bytes) -> tuple[bytes, Records]:
    """Put names into a header as far as it has room; what must stand before it."""
    before = b""
    records: Records = []
    info.name, info.linkname = _decode(name[:_NAME_MAX]), _decode(target[:_NAME_MAX])
    for record, kind, text in (
        (b"path", tarfile.GNUTYPE_LONGNAME, name),
        (b"linkpath", tarfile.GNUTYPE_LONGLINK, target),
    ):
        if not _is_utf8(text):
            before += b"" if len(text) <= _NAME_MAX else _long_name(kind, text)
        elif len(text) > _NAME_MAX or not text.isascii():
            records.append((record, text))
    return before, records


def _set_numbers(info: tarfile.TarInfo, uid: int, gid: int, size: int) -> Records:
    """Put numbers into a header as far as it has room; records of those that are too large."""
    records: Records = []
    for field, value, end in (
        ("uid", uid, _ID_END),
        ("gid", gid, _ID_END),
        ("size", size, _SIZE_END),
    ):
        setattr(info, field, value if value < end else 0)
        if value >= end:
            records.append((field.encode(), str(value).encode()))
    return records


def _block(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")


def _extended(records: Records) -> bytes:
    """A PAX header before a member; none where there are no records."""
    if not records:
        return b""
    data = b"".join(format_record(keyword, value) for keyword, value in records)
    return _hidden("././@PaxHeader", tarfile.XHDTYPE, data)


def format_record(keyword: bytes, value: bytes) -> bytes:
    """One record of a PAX header; the length at its beginning counts itself."""
    rest = b" " + keyword + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(str(length)) + len(rest) > length:
        length += 1
    return str(length).encode() + rest


def _long_name(kind: bytes, text: bytes) -> bytes:
    return _hidden("././@LongLink", kind, text + b"\0")


def _hidden(name: str, kind: bytes, data: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(data)
    return _block(info) + data + padding(len(data))


def _sparse_records(size: int) -> Records:
    """Those of GNU tar's sparse format 1.0."""
    facts = {"major": 1, "minor": 0, "realsize": size}
    return [(f"GNU.sparse.{key}".encode(), str(value).encode()) for key, value in facts.items()]


def _format_map(extents: Sequence[tuple[int, int]], size: int) -> bytes:
    """The map of a sparse file, which ends with an extent of nothing at the end of the file."""
    pairs = [*extents, (size, 0)]
    numbers = [len(pairs), *(number for pair in pairs for number in pair)]
    data = "".join(f"{number}\n" for number in numbers).encode()
    return data + padding(len(data))


def _xattr_records(xattrs: Xattrs) -> Records:
    records: Records = []
    for name, value in xattrs:
        text = format_acl(value) if name in _ACL_OF else None
        if text is not None:
            records.append((_ACL_OF[name].encode(), text.encode()))
            continue
        quoted = name.replace(b"%", b"%25").replace(b"=", b"%3D")
        records.append((XATTR_RECORD.encode() + quoted, value))
    return records


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
