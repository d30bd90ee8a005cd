# SPDX-License-Identifier: LGPL-2.1-or-later
"""Object files: the content of regular files, one inode for each file object.

::

    objects/ab/cdef…   ab is the first byte of the file digest in hex, cdef… the other 31

In a ``bare`` repository the inode carries owner, mode and xattrs, so that a checkout is a hard
link. In a ``bare-user`` one it carries the permission bits alone (readable by its owner always);
everything else is in the index. The time of every object file is 0.

A file here is an object only once the index knows it. What a crash leaves has a final name and
perhaps half its content; whoever needs that name next verifies it, and replaces it when it is not
whole. So a new object is created under its final name at once, which saves a quarter of the cost
of a first commit over an unnamed file that is linked into place; only files too large to be hashed
before they are written take that way.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal

from ostreefs_store import durable
from ostreefs_store.content import copy_file, write_at
from ostreefs_store.errors import ObjectCorruptError, ObjectMissingError
from ostreefs_store.metadata import Credentials, carries, create_mode, write_metadata
from ostreefs_store.model import Digest, RegularFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Mode = Literal["bare", "bare-user"]
MODES: tuple[Mode, ...] = ("bare", "bare-user")

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def object_name(digest: bytes) -> str:
    """Where an object file lies under ``objects/``."""
    name = digest.hex()
    return f"{name[:2]}/{name[2:]}"


class ObjectFiles:
    """The folder ``objects`` of a repository, with ``tmp`` for staging beside it."""

    def __init__(self, repository: Path, mode: Mode) -> None:
        self.mode = mode
        self.path = repository / "objects"
        self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._tmp = repository / "tmp"
        self._credentials = Credentials.own()

    def close(self) -> None:
        """Close the folder."""
        os.close(self._fd)

    @property
    def fd(self) -> int:
        """The open folder; `object_name` is relative to it."""
        return self._fd

    @classmethod
    def create(cls, repository: Path) -> None:
        """Make the empty folders."""
        objects = repository / "objects"
        for path in (objects, repository / "tmp", *(objects / f"{i:02x}" for i in range(256))):
            durable.ensure_directory(path)
            # Object files must not inherit a group or an ACL from the folder above.
            path.chmod(0o755)
            with suppress(OSError):
                os.removexattr(path, "system.posix_acl_default")
        durable.sync_directory(objects)

    def open(self, digest: Digest) -> int:
        """Open an object file for reading.

        Raises `ObjectMissingError`, or `ObjectCorruptError` when something else has its name.
        """
        try:
            fd = os.open(object_name(digest), _READ, dir_fd=self._fd)
        except FileNotFoundError:
            raise ObjectMissingError("file", digest) from None
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENXIO, errno.ENOTDIR, errno.EISDIR}:
                raise ObjectCorruptError("file", digest, "not a regular file") from None
            raise
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise ObjectCorruptError("file", digest, "not a regular file")
        return fd

    def open_checked(self, digest: Digest, file: RegularFile) -> int:
        """Open an object file whose size is right; its content is not read.

        Raises `ObjectMissingError`, `ObjectCorruptError`.
        """
        fd = self.open(digest)
        size = os.fstat(fd).st_size
        if size != file.size:
            os.close(fd)
            raise ObjectCorruptError("file", digest, f"{size} bytes instead of {file.size}")
        return fd

    def find_stat(self, digest: Digest) -> os.stat_result | None:
        """The stat of an object file, if there is one."""
        try:
            return os.stat(object_name(digest), dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def is_own_inode(
        self, digest: Digest, file: RegularFile, found: os.stat_result, path: str
    ) -> bool:
        """Whether this object's own file, unchanged since it was stored, is what `path` names.

        `found` is the stat of `path`. Content is not read: who writes to a file moves its mtime.
        """
        view = self.inode_view(file)
        if view != file:  # what is only in the index is not what this file shows
            return False
        own = self.find_stat(digest)
        return (
            own is not None
            and (own.st_dev, own.st_ino) == (found.st_dev, found.st_ino)
            and (found.st_size, found.st_mtime_ns) == (view.size, 0)
            and stat.S_IMODE(found.st_mode) == view.mode
            and (found.st_uid, found.st_gid) == (view.uid, view.gid)
            and (self.mode != "bare" or carries(path, view.xattrs))
        )

    def inode_shows(self, digest: Digest, file: RegularFile) -> bool:
        """Whether the object file of `digest` carries what that of `file` would.

        In ``bare`` it never does: what other metadata would be for is that they differ.
        """
        if self.mode == "bare":
            return False
        found = self.find_stat(digest)
        return found is not None and stat.S_IMODE(found.st_mode) == self.inode_view(file).mode

    def inode_view(self, file: RegularFile) -> RegularFile:
        """What the inode of an object carries in this repository's mode."""
        if self.mode == "bare":
            return file
        return RegularFile(
            mode=(file.mode & 0o777) | stat.S_IRUSR,
            uid=self._credentials.uid,
            gid=self._credentials.gid,
            xattrs=(),
            content=file.content,
            size=file.size,
        )

    def add(self, digest: Digest, file: RegularFile, content: memoryview) -> int:
        """Create an object file from its content in memory; the inode number.

        Raises `FileExistsError` when the name is taken. When anything else fails, what is left
        under the name is for the next commit to replace. Not durable until the filesystem
        is synced.
        """
        view = self.inode_view(file)
        mode = create_mode(view, self._credentials)
        try:
            fd = os.open(object_name(digest), _CREATE, mode, dir_fd=self._fd)
        except OSError as error:
            raise self._named(error, digest) from None
        try:
            durable.trace("object:created")
            try:
                if content:
                    write_at(fd, content, 0)
            except BaseException:
                # Never unlinked: the name may be another writer's by now. Nor truncated later
                # than this: a whole file may have been found and trusted.
                os.ftruncate(fd, 0)
                raise
            durable.trace("object:written")
            return self._finish(fd, view, mode)
        finally:
            os.close(fd)

    @contextmanager
    def staged(self) -> Iterator[tuple[int, str]]:
        """A new file under ``tmp`` (descriptor and path) for content that has no digest yet.

        Its name is gone when the block ends; after a crash it stays until `clean_staging`.
        """
        path = f"{os.path.abspath(self._tmp)}/{durable.temporary_name('')}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            yield fd, path
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)
            os.close(fd)

    def clean_staging(self) -> None:
        """Delete what crashes left in ``tmp``. Only under the exclusive lock."""
        for entry in os.scandir(self._tmp):
            os.unlink(entry.path)

    def publish_staged(self, fd: int, path: str, digest: Digest, file: RegularFile) -> int:
        """Link a staged file that holds the object's content into place; the inode number.

        Raises `FileExistsError` when the name is taken. The staged name stays.
        """
        inode = self._finish(fd, self.inode_view(file), 0o600)
        durable.trace("object:staged")
        try:
            durable.link_new(path, object_name(digest), target_dir=self._fd)
        except OSError as error:
            raise self._named(error, digest) from None
        return inode

    def replace_staged(self, fd: int, path: str, digest: Digest, file: RegularFile) -> int:
        """Put a staged file in the place of what a crash left; the inode number."""
        inode = self._finish(fd, self.inode_view(file), 0o600)
        durable.replace_file_at(self._fd, path, self._fd, object_name(digest))
        return inode

    def add_from_twin(self, digest: Digest, file: RegularFile, holder: Digest) -> int:
        """Give an object a file of its own, with the content of its holder's; the inode number.

        By reflink where the filesystem can, else in the kernel. Nobody takes it for the object's
        before the index says so; it is not durable until the filesystem is synced.
        """
        source = self.open_checked(holder, file)
        try:
            with self.staged() as (fd, path):
                copy_file(source, fd, file.size)
                try:
                    return self.publish_staged(fd, path, digest, file)
                except FileExistsError:  # left by a crash, or made by someone else just now
                    return self.replace_staged(fd, path, digest, file)
        finally:
            os.close(source)

    def share_inode(self, holder: Digest, digest: Digest) -> bool:
        """Let the name of one object lead to another's inode; False where that cannot be.

        Whoever opens the name finds the one inode or the other, both with the same content.
        """
        temporary = os.path.abspath(self._tmp / durable.temporary_name(""))
        try:
            durable.link_over(self._fd, object_name(holder), temporary, object_name(digest))
        except OSError as error:
            if error.errno == errno.EMLINK:
                return False
            raise
        return True

    def adopt(
        self,
        digest: Digest,
        file: RegularFile,
        *,
        fd: int,
        found: os.stat_result,
        dir_fd: int,
        name: str,
    ) -> int:
        """Make an existing inode the object file, by a hard link; the inode number.

        0 when the inode does not carry what the object's must: it is not made to, since whoever
        dies before the commit must leave the source as it was (but for its times, which the caller
        has set to 0 before he read the file). `found` is the stat of the inode, open as `fd`.
        Raises `FileExistsError` when the object's name is taken, and `OSError` with EXDEV, EMLINK
        or EPERM where a link is not possible.
        """
        view = self.inode_view(file)
        carried = (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)
        if carried != (view.mode, view.uid, view.gid):
            return 0
        if not carries(fd, view.xattrs):
            return 0
        durable.trace("object:adopting")
        try:
            durable.link_new(name, object_name(digest), source_dir=dir_fd, target_dir=self._fd)
        except OSError as error:
            raise self._named(error, digest) from None
        return found.st_ino

    def _named(self, error: OSError, digest: Digest) -> OSError:
        """The same error with the whole path of the object file: nothing else is to blame."""
        path = os.path.abspath(self.path / object_name(digest))
        return OSError(error.errno, error.strerror, path)

    def keep(self, digest: Digest) -> None:
        """Give an object file that a crash left whole the time that every one has."""
        os.utime(object_name(digest), (0, 0), dir_fd=self._fd, follow_symlinks=False)

    def _finish(self, fd: int, view: RegularFile, created_mode: int) -> int:
        """Give an inode all that it must carry."""
        write_metadata(fd, view, self._credentials, created_mode=created_mode)
        os.utime(fd, (0, 0))
        return os.fstat(fd).st_ino

    def has_right_size(self, digest: Digest, file: RegularFile) -> bool:
        """Whether a regular file of the right size is there: what a look from outside can tell."""
        found = self.find_stat(digest)
        return found is not None and stat.S_ISREG(found.st_mode) and found.st_size == file.size
