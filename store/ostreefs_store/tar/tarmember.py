# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a member of a tar archive says of a file: headers become values of `model`. Pure.

`tarfile` has read the headers, with UTF-8 and surrogateescape, so that every string encodes to the
bytes it was made of. The extended attributes come from PAX records:

- ``SCHILY.xattr.NAME`` (star, GNU tar, bsdtar): the value as it is; GNU tar and bsdtar write ``%``
  and ``=`` of the name as in a URL;
- ``LIBARCHIVE.xattr.NAME`` (bsdtar): the name as in a URL, the value in base64;
- ``RHT.security.selinux`` (GNU tar): the label without the NUL that the kernel keeps at its end;
- ``SCHILY.acl.access`` and ``.default``: POSIX ACLs as text, see `acl`.

The sparse formats of GNU tar all end as `tarfile.TarInfo.sparse`.
"""

from __future__ import annotations

import base64
import binascii
import tarfile
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import unquote_to_bytes

from ostreefs_store import names
from ostreefs_store.acl import implied_mode, is_minimal, parse_acl
from ostreefs_store.errors import ArchiveError, InvalidNameError
from ostreefs_store.metadata import KEPT_NAMESPACES
from ostreefs_store.model import (
    EMPTY_CONTENT,
    BlockDevice,
    CharDevice,
    Fifo,
    File,
    RegularFile,
    Symlink,
    TreeHead,
    Xattrs,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Components = tuple[bytes, ...]
"""The names on the way to a member, the root's being ()."""

ACCESS, DEFAULT = b"system.posix_acl_access", b"system.posix_acl_default"
XATTR_RECORD = "SCHILY.xattr."
ACL_RECORDS = {"SCHILY.acl.access": ACCESS, "SCHILY.acl.default": DEFAULT}
_BASE64_RECORD = "LIBARCHIVE.xattr."
_SELINUX_RECORD = "RHT.security.selinux"
_KEPT = tuple(namespace.encode() for namespace in KEPT_NAMESPACES)

_ID_MAX = 2**32 - 2
_SIZE_MAX = 2**63 - 1
_VOLUME_LABEL = b"V"
_GNU_DIRECTORY = b"D"
_DIRECTORIES = {tarfile.DIRTYPE, _GNU_DIRECTORY}


class HardLink(NamedTuple):
    """Another name for a member that came before."""

    target: Components


class Member(NamedTuple):
    """One file of an archive.

    A `RegularFile` has its size, and no content yet: that of no bytes stands in its place.
    `extents` are the ranges (offset, size) of a sparse file that the archive has data of, in
    order; None for a file that is there as a whole.
    """

    path: Components
    item: TreeHead | File | HardLink
    extents: list[tuple[int, int]] | None = None


def parse_member(info: tarfile.TarInfo) -> Member | None:
    """The member that a header describes; None for one that is no file, such as a volume label.

    Raises `ArchiveError`.
    """
    name = to_bytes(info.pax_headers.get("GNU.sparse.name", info.name))
    try:
        return None if info.type == _VOLUME_LABEL else _parse(info, name)
    except (InvalidNameError, ValueError) as error:
        raise ArchiveError(str(error), member=name) from None


def _parse(info: tarfile.TarInfo, name: bytes) -> Member:
    _check_numbers(info)
    path = parse_path(name)
    if info.type in _DIRECTORIES:
        return Member(path, _parse_head(info))
    if not path:
        raise ValueError("the top of the tree is not a directory")
    if info.type == tarfile.LNKTYPE:
        return Member(path, HardLink(parse_path(to_bytes(info.linkname))))
    return Member(path, _parse_file(info), _parse_extents(info))


def to_bytes(text: str) -> bytes:
    """What `tarfile` has decoded, as it stands in the archive."""
    return text.encode("utf-8", "surrogateescape")


def parse_path(name: bytes) -> Components:
    """The components of a name; ``.`` and repeated slashes mean nothing.

    Raises `ValueError` for an empty name, an absolute one and one with ``..``, and
    `InvalidNameError`.
    """
    if not name:
        raise ValueError("it has no name")
    if name.startswith(b"/"):
        raise ValueError("its name is absolute")
    path = tuple(part for part in name.split(b"/") if part not in {b"", b"."})
    for part in path:
        if part == b"..":
            raise ValueError("its name leads upwards with '..'")
        names.check_file_name(part)
    return path


def _check_numbers(info: tarfile.TarInfo) -> None:
    """Raise `ValueError` for numbers that are none, or that no file has.

    `tarfile` takes a malformed one in a PAX record for 0, and that is root.
    """
    for key in ("uid", "gid", "size"):
        text = info.pax_headers.get(key, "0")
        if not (text.isascii() and text.isdigit()):
            raise ValueError(f"its {key} is '{text}'")
    if not (0 <= info.uid <= _ID_MAX and 0 <= info.gid <= _ID_MAX):
        raise ValueError(f"its owner {info.uid}:{info.gid} is out of range")
    if not 0 <= info.size <= _SIZE_MAX:
        raise ValueError(f"its size {info.size} is out of range")


def _parse_head(info: tarfile.TarInfo) -> TreeHead:
    mode, xattrs = _parse_mode_and_xattrs(info, is_directory=True)
    return TreeHead(mode, info.uid, info.gid, xattrs)


def _parse_file(info: tarfile.TarInfo) -> File:
    mode, xattrs = _parse_mode_and_xattrs(info, is_directory=False)
    owner = info.uid, info.gid, xattrs
    if info.isreg():
        return RegularFile(mode, *owner, EMPTY_CONTENT, _real_size(info))
    if info.issym():
        target = to_bytes(info.linkname)
        names.check_symlink_target(target)
        return Symlink(*owner, target)
    if info.isfifo():
        return Fifo(mode, *owner)
    if info.ischr() or info.isblk():
        if not (0 <= info.devmajor < 1 << 12 and 0 <= info.devminor < 1 << 20):
            raise ValueError(f"its device number {info.devmajor}:{info.devminor} is out of range")
        kind = CharDevice if info.ischr() else BlockDevice
        return kind(mode, *owner, info.devmajor, info.devminor)
    raise ValueError(f"its type {info.type.decode('latin-1')!r} is not known")


def _real_size(info: tarfile.TarInfo) -> int:
    """The size of a file with its holes: `tarfile` may have taken that of its data for it."""
    headers = info.pax_headers
    text = headers.get("GNU.sparse.realsize", headers.get("GNU.sparse.size"))
    size = info.size if text is None or _sparse_map(info) is None else int(text)
    if not 0 <= size <= _SIZE_MAX:
        raise ValueError(f"its size {size} is out of range")
    return size


def _parse_extents(info: tarfile.TarInfo) -> list[tuple[int, int]] | None:
    """Where the data of a sparse file belongs. Raises `ValueError` for a map that makes none."""
    found = _sparse_map(info)
    if not info.isreg() or found is None:
        return None
    end, size = 0, _real_size(info)
    extents = [(offset, count) for offset, count in found if count]
    for offset, count in extents:
        if offset < end or count < 0 or offset + count > size:
            raise ValueError("its map of holes is malformed")
        end = offset + count
    return extents


def _sparse_map(info: tarfile.TarInfo) -> list[tuple[int, int]] | None:
    return cast("list[tuple[int, int]] | None", info.sparse)  # the stubs say something else


# ---- attributes ----


def _parse_mode_and_xattrs(info: tarfile.TarInfo, *, is_directory: bool) -> tuple[int, Xattrs]:
    """A file with an access ACL has the mode that this says, as the kernel sees to it."""
    found = _read_xattrs(info, is_directory=is_directory)
    if not is_directory and found.pop(DEFAULT, b""):
        raise ValueError("it has a default ACL and is not a directory")
    mode = info.mode & 0o7777
    access = found.get(ACCESS)
    if access is not None:
        implied = implied_mode(access)
        if implied is None:
            raise ValueError("its ACL is malformed")
        mode = mode & 0o7000 | implied
        if is_minimal(access):
            del found[ACCESS]
    for name, value in found.items():
        names.check_xattr(name, value)
    return mode, tuple(sorted(found.items()))


def _read_xattrs(info: tarfile.TarInfo, *, is_directory: bool) -> dict[bytes, bytes]:
    """What the records say, without what Linux lets no such file have.

    Attributes of users are for regular files and directories; a symbolic link has no ACL.
    """
    found = dict(_iter_xattrs(info.pax_headers))
    for record, name in ACL_RECORDS.items():
        text = info.pax_headers.get(record, "")
        if text.strip():
            try:
                found[name] = parse_acl(text)
            except ValueError as error:
                raise ValueError(f"its ACL is malformed: {error}") from None
    without: tuple[bytes, ...] = () if info.isreg() or is_directory else (b"user.",)
    if info.issym():
        without += (ACCESS, DEFAULT)
    return {name: value for name, value in found.items() if not name.startswith(without)}


def _iter_xattrs(headers: Mapping[str, str]) -> Iterator[tuple[bytes, bytes]]:
    """The attributes that belong to a tree; the later ones stand for the earlier ones."""
    if _SELINUX_RECORD in headers:
        yield b"security.selinux", to_bytes(headers[_SELINUX_RECORD]).rstrip(b"\0") + b"\0"
    for record in (_BASE64_RECORD, XATTR_RECORD):
        for key, text in headers.items():
            if not key.startswith(record):
                continue
            name = unquote_to_bytes(to_bytes(key.removeprefix(record)))
            if not name.startswith(_KEPT) or name.startswith(names.RESERVED_XATTR_PREFIX):
                continue
            value = to_bytes(text)
            yield name, _decode_base64(value) if record == _BASE64_RECORD else value


def _decode_base64(text: bytes) -> bytes:
    """Base64 with or without what fills it up at the end."""
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise ValueError("an extended attribute of it is no base64") from None
