# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reading and setting what an inode carries besides its content.

A *target* is a file descriptor, or a path whose last component is not followed.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.errors import PrivilegeError
from ostreefs_store.names import RESERVED_XATTR_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs_store.model import RegularFile, Tree, Xattrs

KEPT_NAMESPACES = ("user.", "security.", "trusted.", "system.posix_acl_")
"""The extended attributes that belong to a tree; others describe the filesystem it lies on."""

_UNREADABLE = {errno.ENODATA, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP}
_LABELS = {b"security.selinux", b"security.SMACK64"}
_RESERVED = RESERVED_XATTR_PREFIX.decode()


def read_xattrs(target: int | str) -> Xattrs:
    """All extended attributes that the caller may read, sorted by name.

    Empty on filesystems without any.
    """
    follow = isinstance(target, int)
    try:
        listed = os.listxattr(target, follow_symlinks=follow)
    except OSError as error:
        if error.errno in _UNREADABLE:
            return ()
        raise
    if not listed:
        return ()
    found: list[tuple[bytes, bytes]] = []
    for name in listed:
        if not name.startswith(KEPT_NAMESPACES) or name.startswith(_RESERVED):
            continue
        try:
            value = os.getxattr(target, name, follow_symlinks=follow)
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise
            continue
        found.append((os.fsencode(name), value))
    return tuple(sorted(found))


def write_xattrs(target: int | str, xattrs: Xattrs) -> None:
    """Set extended attributes; those that `target` inherited and should not have are removed.

    But for the labels that a security module gives to every file: nobody may remove those.
    """
    follow = isinstance(target, int)
    wanted = {name for name, _ in xattrs}
    for name, _ in read_xattrs(target):
        if name not in wanted and name not in _LABELS:
            os.removexattr(target, name, follow_symlinks=follow)
    for name, value in xattrs:
        os.setxattr(target, name, value, follow_symlinks=follow)


def carries(target: int | str, wanted: Xattrs) -> bool:
    """Whether an inode has these extended attributes, and none besides that would matter.

    A label of SELinux or Smack that is not wanted does not: the kernel gives one to every inode.
    """
    names = {name for name, _ in wanted}
    found = read_xattrs(target)
    return wanted == tuple(item for item in found if item[0] in names or item[0] not in _LABELS)


class Credentials(NamedTuple):
    """Who we are: decides which calls a new inode needs."""

    uid: int
    gid: int

    @classmethod
    def own(cls) -> Credentials:
        """Those of this process."""
        return cls(os.geteuid(), os.getegid())


def write_metadata(
    fd: int, wanted: RegularFile | Tree, credentials: Credentials, *, created_mode: int
) -> None:
    """Give a new file or directory its owner, mode and xattrs; times are the caller's.

    `created_mode` is what it was created with under an empty umask, by `credentials`. The order
    matters: chown(2) clears setuid bits and capabilities, so it comes first.

    Raises `PrivilegeError` when the owner or an xattr cannot be set.
    """
    if (wanted.uid, wanted.gid) != credentials:
        with _privileged(wanted.uid, wanted.gid):
            os.fchown(fd, wanted.uid, wanted.gid)
    if wanted.mode != created_mode:
        os.fchmod(fd, wanted.mode)
    if wanted.xattrs:
        with _privileged(wanted.uid, wanted.gid):
            write_xattrs(fd, wanted.xattrs)


def rewrite_metadata(fd: int, wanted: RegularFile | Tree) -> None:
    """As `write_metadata`, for an inode that may have inherited something from its folder.

    A folder with setgid gives its group, one with a default ACL gives ACLs.
    """
    found = os.fstat(fd)
    owner = Credentials(found.st_uid, found.st_gid)
    write_metadata(fd, wanted, owner, created_mode=stat.S_IMODE(found.st_mode))
    if not wanted.xattrs:
        write_xattrs(fd, ())


def set_owner(dir_fd: int, name: bytes, uid: int, gid: int) -> None:
    """Give an entry of a directory its owner, not following it. Raises `PrivilegeError`."""
    with _privileged(uid, gid):
        os.chown(name, uid, gid, dir_fd=dir_fd, follow_symlinks=False)


@contextmanager
def _privileged(uid: int, gid: int) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise PrivilegeError(
            f"only root may make a file of owner {uid}:{gid} with its attributes"
            f" ({error.strerror})",
            hint="use a bare-user repository, or checkout -U, or run as root",
        ) from None


def create_mode(wanted: RegularFile | Tree, credentials: Credentials) -> int:
    """The mode to create an inode with: the final one only when its owner is final, too."""
    if wanted.uid == credentials.uid and wanted.gid == credentials.gid:
        return wanted.mode & 0o777
    return wanted.mode & 0o700
