# SPDX-License-Identifier: LGPL-2.1-or-later
"""The files of a checkout: hard links where the object's inode shows what it must, else copies.

What workers do. A twin has no inode of its own to link to. Where its holder's shows the same
(in ``bare-user`` often) that one is linked; else the twin gets an object file first, which the
caller makes known to the index when all is done.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeGuard

from ostreefs_store import durable
from ostreefs_store.beneath import open_beneath, remove_beneath
from ostreefs_store.codec import read_file
from ostreefs_store.content import copy_file, hash_file
from ostreefs_store.errors import CheckoutConflictError, ObjectMissingError
from ostreefs_store.index import ObjectFile
from ostreefs_store.metadata import (
    Credentials,
    create_mode,
    read_xattrs,
    rewrite_metadata,
    set_owner,
    write_xattrs,
)
from ostreefs_store.model import (
    BlockDevice,
    CharDevice,
    Digest,
    Fifo,
    File,
    RegularFile,
    Symlink,
    file_type,
)
from ostreefs_store.objects import object_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs_store.repository import Repository

Union = Literal["none", "overwrite", "add", "identical"]


class CheckoutOptions(NamedTuple):
    """How to check out; the words are ostree's.

    `user`: owner and xattrs are those of whoever checks out. `require_hardlinks`: fail rather than
    copy. `force_copy`: never link. `union`: what to do with an existing destination. `whiteouts`:
    see `checkoutplan`. `skip`: paths below what is checked out, without a slash at either end,
    that are left out with all that is in them; b"" is everything.
    """

    user: bool = False
    require_hardlinks: bool = False
    force_copy: bool = False
    union: Union = "none"
    subpath: bytes = b"/"
    whiteouts: bool = False
    skip: frozenset[bytes] = frozenset()

    @property
    def replaces_directories(self) -> bool:
        """Whether a file takes the place of a directory, and a directory that of a file."""
        return self.whiteouts and self.union == "overwrite"


FileJob = list[tuple[bytes, list[tuple[bytes, Digest, Digest, bytes]]]]
"""(path of a directory, [(name, file digest, its holder, canonical bytes), …]), …"""

FilesMade = tuple[int, list[bytes], list[ObjectFile]]
"""How many files, the devices that were left out, and the object files that twins got."""


class _Item(NamedTuple):
    """A file to be made; `holder` is the object whose file has its content."""

    name: bytes
    digest: Digest
    holder: Digest
    file: File


class FileMaker:
    """The workers' part: makes files in directories that exist."""

    def __init__(
        self, repository: Repository, root_fd: int, options: CheckoutOptions, *, links: bool
    ) -> None:
        self._objects = repository.objects
        self._may_store = repository.writable
        self._root_fd = root_fd
        self._options = options
        self._links = links
        self._credentials = Credentials.own()
        self._skipped: list[bytes] = []
        self._stored: list[ObjectFile] = []
        self._own_files: set[Digest] = set()

    def make_batch(self, job: FileJob) -> FilesMade:
        """Make files; the function that workers run."""
        self._skipped = []
        self._stored = []
        count = 0
        for path, files in job:
            with open_beneath(self._root_fd, path) as dir_fd:
                for name, digest, holder, encoded in files:
                    item = _Item(name, digest, holder, read_file(encoded))
                    self._place(dir_fd, path, item)
            count += len(files)
        return count, self._skipped, self._stored

    def _place(self, dir_fd: int, path: bytes, item: _Item) -> None:
        full = os.path.join(path, item.name)
        union = self._options.union
        try:
            if union == "none":
                self._make(dir_fd, full, item.name, item)
            else:
                self._make_whole(dir_fd, full, item)
        except FileExistsError:
            if union == "identical":
                self._require_identical(dir_fd, full, item.name, item.file)
            elif union == "overwrite":
                self._overwrite(dir_fd, full, item)
            elif union == "none":
                raise CheckoutConflictError(full, "it exists already") from None
        durable.trace("checkout:file")

    def _make_whole(self, dir_fd: int, full: bytes, item: _Item) -> None:
        """Make a file that has its name only once it is complete. Raises `FileExistsError`."""
        if self._may_link(item.file) and self._link(dir_fd, full, item.name, item):
            return
        if _exists(dir_fd, item.name):  # no work for a file that stays
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        with self._temporary(dir_fd, full, item) as temporary:
            durable.link_new(temporary, item.name, source_dir=dir_fd, target_dir=dir_fd)

    def _overwrite(self, dir_fd: int, full: bytes, item: _Item) -> None:
        """Replace a file by a whole one; a directory is replaced only where that is asked for."""
        found = os.stat(item.name, dir_fd=dir_fd, follow_symlinks=False)
        is_directory = stat.S_ISDIR(found.st_mode)
        if is_directory and not self._options.replaces_directories:
            raise CheckoutConflictError(full, "a directory is in its place")
        with self._temporary(dir_fd, full, item) as temporary:
            if is_directory:
                remove_beneath(dir_fd, item.name)
            durable.rename_over(dir_fd, temporary, item.name)

    @contextmanager
    def _temporary(self, dir_fd: int, full: bytes, item: _Item) -> Iterator[bytes]:
        """A finished file under a name that is gone when the block ends.

        For a device node that must be left out there is none: what the block then misses is no
        error.
        """
        temporary = durable.temporary_name(".ostreefs-").encode()
        try:
            self._make(dir_fd, full, temporary, item)
            with suppress(FileNotFoundError):
                yield temporary
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=dir_fd)

    def _may_link(self, file: File) -> TypeGuard[RegularFile]:
        return self._links and isinstance(file, RegularFile) and file.size > 0

    def _make(self, dir_fd: int, full: bytes, name: bytes, item: _Item) -> None:
        """Make a file of any kind under a free name. Raises `FileExistsError`."""
        file = item.file
        if isinstance(file, RegularFile):
            if not (self._may_link(file) and self._link(dir_fd, full, name, item)):
                self._copy(dir_fd, name, item.holder, file)
            return
        if isinstance(file, Symlink):
            os.symlink(file.target, name, dir_fd=dir_fd)
        elif isinstance(file, Fifo):
            os.mkfifo(name, self._special_mode(file), dir_fd=dir_fd)
        elif self._options.user and self._credentials.uid != 0:
            self._skipped.append(full)
            return
        else:
            device = os.makedev(file.major, file.minor)
            mode = file_type(file) | self._special_mode(file)
            os.mknod(name, mode, device, dir_fd=dir_fd)
        self._finish_special(dir_fd, name, file)

    def _link(self, dir_fd: int, full: bytes, name: bytes, item: _Item) -> bool:
        """Link the object here; False where its inode can have no further link.

        Raises `ObjectCorruptError` for one of another size, `ObjectMissingError`.
        """
        assert isinstance(item.file, RegularFile)
        if not self._objects.has_right_size(item.holder, item.file):
            os.close(self._objects.open_checked(item.holder, item.file))  # raises what is wrong
        try:
            source = self._linkable(item.digest, item.holder, item.file)
            if source is not None:
                durable.link_new(
                    object_name(source), name, source_dir=self._objects.fd, target_dir=dir_fd
                )
                return True
            reason = "it needs an object file of its own, and you may not write the repository"
        except FileNotFoundError:
            raise ObjectMissingError("file", item.digest) from None
        except OSError as error:
            if error.errno not in {errno.EMLINK, errno.EXDEV, errno.EPERM}:
                raise
            reason = error.strerror or str(error)
        if self._options.require_hardlinks:
            detail = f"no hard link can be made: {reason}"
            raise CheckoutConflictError(full, detail, hint="without -H it would be copied")
        return False

    def _linkable(self, digest: Digest, holder: Digest, file: RegularFile) -> Digest | None:
        """The object whose inode shows what this one must; a twin may have to get one first."""
        if digest == holder or self._objects.inode_shows(holder, file):
            return holder
        if not self._may_store:
            return None
        if digest not in self._own_files:
            self._own_files.add(digest)
            inode = self._objects.add_from_twin(digest, file, holder)
            self._stored.append((inode, digest, file.content))
        return digest

    def _copy(self, dir_fd: int, name: bytes, holder: Digest, file: RegularFile) -> None:
        wanted = self._own(file) if self._options.user else file
        mode = create_mode(wanted, self._credentials)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        target = os.open(name, flags, mode, dir_fd=dir_fd)
        durable.trace("checkout:copying")
        try:
            if file.size:
                source = self._objects.open_checked(holder, file)
                try:
                    copy_file(source, target, file.size)
                finally:
                    os.close(source)
            rewrite_metadata(target, wanted)
            os.utime(target, (0, 0))
        finally:
            os.close(target)

    def _special_mode(self, file: File) -> int:
        return file.mode & 0o777 if self._options.user else file.mode

    def _own(self, file: RegularFile) -> RegularFile:
        """What a user checkout shows of a file."""
        return RegularFile(
            file.mode & 0o777,
            self._credentials.uid,
            self._credentials.gid,
            (),
            file.content,
            file.size,
        )

    def _finish_special(
        self, dir_fd: int, name: bytes, file: Symlink | Fifo | CharDevice | BlockDevice
    ) -> None:
        """Owner, mode, xattrs and times of what cannot be opened."""
        if not self._options.user:
            found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
            if (file.uid, file.gid) != (found.st_uid, found.st_gid):
                set_owner(dir_fd, name, file.uid, file.gid)
            if not isinstance(file, Symlink):
                os.chmod(name, file.mode, dir_fd=dir_fd)
            if file.xattrs or self._options.union != "none":  # it may have inherited some
                write_xattrs(f"/proc/self/fd/{dir_fd}/{os.fsdecode(name)}", file.xattrs)
        os.utime(name, (0, 0), dir_fd=dir_fd, follow_symlinks=False)

    def _require_identical(self, dir_fd: int, path: bytes, name: bytes, file: File) -> None:
        """Raise unless what is there is what we would have made."""
        if not self._is_identical(dir_fd, name, file):
            raise CheckoutConflictError(path, "a different file is in its place")

    def _is_identical(self, dir_fd: int, name: bytes, file: File) -> bool:
        found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        if stat.S_IFMT(found.st_mode) != file_type(file):
            return False
        target = f"/proc/self/fd/{dir_fd}/{os.fsdecode(name)}"
        if not self._options.user:
            metadata = (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)
            if metadata != (file.mode, file.uid, file.gid) or read_xattrs(target) != file.xattrs:
                return False
        if isinstance(file, Symlink):
            return os.fsencode(os.readlink(name, dir_fd=dir_fd)) == file.target
        if isinstance(file, CharDevice | BlockDevice):
            return found.st_rdev == os.makedev(file.major, file.minor)
        return not isinstance(file, RegularFile) or self._has_content(dir_fd, name, file, found)

    @staticmethod
    def _has_content(dir_fd: int, name: bytes, file: RegularFile, found: os.stat_result) -> bool:
        if found.st_size != file.size:
            return False
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
        try:
            return hash_file(fd, file.size) == file.content
        finally:
            os.close(fd)


def _exists(dir_fd: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
