# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a worker does with one file of the source: read it, hash it, store it.

A file is stated before and after it is read, and read again while the two differ. What is hashed
is what is stored, so that an object can never hold anything but its digest's content.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.beneath import open_beneath
from ostreefs_store.codec import content_digest, encode_file, file_digest
from ostreefs_store.committing.redescribe import of_source
from ostreefs_store.content import CHUNK, hash_file, reflink
from ostreefs_store.errors import SourceChangedError, UpperFeatureError
from ostreefs_store.metadata import read_xattrs
from ostreefs_store.model import Digest, RegularFile, Xattrs
from ostreefs_store.verify import inspect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs_store.known import KnownObjects
    from ostreefs_store.modifiers import Modifiers
    from ostreefs_store.objects import ObjectFiles

_ATTEMPTS = 5
_HOLES_FROM = 64 << 10
"""Bytes from which on a file may have holes that are worth keeping."""
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NO_LINK = {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EACCES}

Stored = tuple[Digest, bytes, tuple[int, int, int, int], Digest, int, bytes]
"""What became of one file: file digest, canonical bytes, facts, content digest, inode of the new
object file, digest of the holder of a new twin. The inode is 0 when the object is a twin, when it
was known or its name was taken, or when it has no content; only a twin has a holder."""


class _Opened(NamedTuple):
    """A file of the source that is open, as it was before it was read."""

    dir_fd: int
    name: str
    fd: int
    found: os.stat_result
    xattrs: Xattrs


class FileReader:
    """Reads files of one source into the object files of one repository."""

    def __init__(
        self,
        objects: ObjectFiles,
        known: KnownObjects,
        source_fd: int,
        modifiers: Modifiers,
        *,
        consume: bool,
    ) -> None:
        self._objects = objects
        self._known = known
        self._source_fd = source_fd
        self.modifiers = modifiers
        self.consume = consume
        self._no_atime = os.O_NOATIME
        self._buffer = memoryview(bytearray(CHUNK))
        self._buffers = [self._buffer]

    def find_new_bytes(self, path: bytes, dir_fd: int, names: list[str]) -> int:
        """The bytes of those of some files whose content is not here yet; reads them."""
        wanted = 0
        for name in names:
            fd = self._open_file(path, dir_fd, name)
            try:
                found = os.fstat(fd)
                content = hash_file(fd, found.st_size)
                file = self.modifiers.regular_file(found, (), content)
                if self._known.find_holder(file) is None:
                    wanted += min(found.st_size, found.st_blocks * 512)
            finally:
                os.close(fd)
        return wanted

    def recover(self, path: bytes, digest: Digest, file: RegularFile) -> int:
        """Settle an object whose name is taken by a file that the index does not know.

        It is kept when it is whole and nobody else's, else replaced from the source; the inode
        number. A file with another name is still in a source that was to be consumed: who goes on
        writing there would write to the object.
        """
        found = self._objects.find_stat(digest)
        is_ours = found is not None and self._is_only_ours(path, found)
        if found and is_ours and inspect(self._objects, digest, file) is None:
            self._objects.keep(digest)
            return found.st_ino
        directory, name = os.path.split(path)
        with (
            self.open_directory(directory) as dir_fd,
            self._objects.staged() as (staged_fd, staged_path),
        ):
            fd = self._open_file(directory, dir_fd, os.fsdecode(name))
            try:
                content = hash_file(fd, file.size, staged_fd)
            finally:
                os.close(fd)
            if content != file.content:
                raise SourceChangedError(path)
            return self._objects.replace_staged(staged_fd, staged_path, digest, file)

    def _is_only_ours(self, path: bytes, found: os.stat_result) -> bool:
        """Whether no file but the one that we are to consume shares an object's inode."""
        if found.st_nlink == 1:
            return True
        directory, name = os.path.split(path)
        with self.open_directory(directory) as dir_fd, suppress(OSError):
            source = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
            return self.consume and found.st_nlink == 2 and os.path.samestat(source, found)
        return False

    def store(self, path: bytes, dir_fd: int, name: str) -> Stored:
        """Store a file of the directory `path`, open as `dir_fd`; the umask is to be 0.

        Raises `OSError` with the file's path, `SourceChangedError`.
        """
        for _ in range(_ATTEMPTS):
            fd = self._open_file(path, dir_fd, name)
            try:
                found = os.fstat(fd)
                if not stat.S_ISREG(found.st_mode):
                    break
                if self._may_adopt(found) and found.st_mtime_ns != 0:
                    # Before it is read: a write from now on moves the mtime, and is seen.
                    os.utime(fd, (0, 0))
                    found = os.fstat(fd)
                xattrs = read_xattrs(fd) if self.modifiers.xattrs else ()
                if self.modifiers.upper:
                    _refuse_metacopy(xattrs, os.path.join(path, os.fsencode(name)))
                opened = _Opened(dir_fd, name, fd, found, xattrs)
                is_small = found.st_size <= CHUNK and not _has_holes(found)
                store = self._store_small if is_small else self._store_large
                stored = store(opened)
                if stored is not None:
                    return stored
            finally:
                os.close(fd)
        raise SourceChangedError(os.path.join(path, os.fsencode(name)))

    def _store_small(self, source: _Opened) -> Stored | None:
        """Store a file that fits the buffer; None when it changed under our hands."""
        count = os.readv(source.fd, self._buffers) if source.found.st_size else 0
        content = self._buffer[:count]
        described = self._describe(source, content_digest(content))
        if described is None or count != source.found.st_size:
            return None
        digest, encoded, file = described
        inode, holder = 0, b""
        if count and not self._known.has_file(digest):
            holder = self._known.find_holder(file) or b""
            if not holder:
                with suppress(FileExistsError):
                    inode = self._adopt(source, digest, file)
                    inode = inode or self._objects.add(digest, file, content)
        return digest, encoded, _facts(source.found), file.content, inode, holder

    def _store_large(self, source: _Opened) -> Stored | None:
        """Store a file that is hashed and copied in one pass; None when it changed meanwhile."""
        if self._may_adopt(source.found):
            return self._store_read(source, hash_file(source.fd, source.found.st_size))
        with self._staged_copy(source) as (content, staged):
            return self._store_read(source, content, staged)

    @contextmanager
    def _staged_copy(self, source: _Opened) -> Iterator[tuple[Digest, tuple[int, str]]]:
        """The digest of a file, and its copy under ``tmp`` (descriptor and path)."""
        size = source.found.st_size
        with self._objects.staged() as (fd, path):
            content = hash_file(fd, size) if reflink(source.fd, fd) else None
            yield content or hash_file(source.fd, size, fd), (fd, path)

    def _store_read(
        self, source: _Opened, content: Digest, staged: tuple[int, str] | None = None
    ) -> Stored | None:
        """Make what was hashed an object: by adopting it, or from its staged copy."""
        described = self._describe(source, content)
        if described is None:
            return None
        digest, encoded, file = described
        facts = _facts(source.found)
        holder = None if self._known.has_file(digest) else self._known.find_holder(file)
        if holder is not None or self._known.has_file(digest):
            return digest, encoded, facts, content, 0, holder or b""
        try:
            if staged is not None:
                inode = self._objects.publish_staged(*staged, digest, file)
            else:
                inode = self._adopt(source, digest, file)
        except FileExistsError:
            inode = 0
        else:
            if not inode:
                with self._staged_copy(source) as (again, copy):
                    return self._store_read(source, again, copy)
        return digest, encoded, facts, content, inode, b""

    def _describe(
        self, source: _Opened, content: Digest
    ) -> tuple[Digest, bytes, RegularFile] | None:
        """The object that a file is (digest, canonical bytes, value); None when it has changed."""
        if _facts(source.found) != _facts(os.fstat(source.fd)):
            return None
        file = self.modifiers.regular_file(source.found, source.xattrs, content)
        encoded = encode_file(file)
        return file_digest(encoded), encoded, file

    def _may_adopt(self, found: os.stat_result) -> bool:
        """Whether a source's inode may become the object: nothing else has a name for it."""
        return self.consume and found.st_nlink == 1

    def _adopt(self, source: _Opened, digest: Digest, file: RegularFile) -> int:
        """Make the source's inode the object; 0 where that cannot be.

        Raises `FileExistsError` when the name is taken, also by this file where it was written to
        at that moment: what is there then is settled as what a crash left.
        """
        if not self._may_adopt(source.found):
            return 0
        try:
            inode = self._objects.adopt(
                digest,
                file,
                fd=source.fd,
                found=source.found,
                dir_fd=source.dir_fd,
                name=source.name,
            )
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno in _NO_LINK:
                return 0
            raise
        now = os.fstat(source.fd)
        if inode and (now.st_size, now.st_mtime_ns) != (file.size, 0):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        return inode

    def _open_file(self, path: bytes, dir_fd: int, name: str) -> int:
        """Open a file of the source, with its path in the error when that fails."""
        try:
            return self._open_quietly(dir_fd, name)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ELOOP, errno.ENXIO}:
                raise SourceChangedError(os.path.join(path, os.fsencode(name))) from None
            full = os.path.join(os.fsdecode(path), name)
            raise OSError(error.errno, error.strerror, full) from None

    def _open_quietly(self, dir_fd: int, name: str) -> int:
        """Open without touching the access time, where the owner of the file is us or we root."""
        try:
            return os.open(name, _FILE | self._no_atime, dir_fd=dir_fd)
        except PermissionError:
            if not self._no_atime:
                raise
            fd = os.open(name, _FILE, dir_fd=dir_fd)
            self._no_atime = 0
            return fd

    @contextmanager
    def open_directory(self, path: bytes) -> Iterator[int]:
        """A descriptor of a directory of the source, for a `with` block.

        Raises `OSError` with its path, `SourceChangedError` where there is none any more.
        """
        with ExitStack() as stack:
            try:
                fd = stack.enter_context(open_beneath(self._source_fd, path))
            except OSError as error:
                raise of_source(error, path) from None
            yield fd


def _refuse_metacopy(xattrs: Xattrs, path: bytes) -> None:
    """Raise `UpperFeatureError` for a file whose content is in the overlay's lower directory."""
    if any(name.endswith(b".overlay.metacopy") for name, _ in xattrs):
        raise UpperFeatureError(path, "metacopy")


def _has_holes(found: os.stat_result) -> bool:
    """Whether a file is sparse; very small ones may have their content in the inode."""
    return found.st_size >= _HOLES_FROM and found.st_blocks * 512 < found.st_size


def _facts(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
