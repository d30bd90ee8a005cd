# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a mount does for each kind of request: a `Namespace`, and files and directories in use.

What is corrupt is raised as it is found, and `requests` makes an errno of it. What a filesystem
that is only read refuses is not here at all.

The contents of a commit never change. Entries, attributes and "no such file" are therefore given
to the kernel to keep for good, and so are the pages of files and the lists of directories.
"""

from __future__ import annotations

import errno
import logging
import os
import resource
from typing import TYPE_CHECKING, Any, NamedTuple

from ostreefs.fuse.damage import DAMAGE
from ostreefs.fuse.mapped import MappedIndex
from ostreefs.fuse.openfiles import OpenFiles
from ostreefs.fuse.protocol import Refused
from ostreefs.fuse.verify import INLINE
from ostreefs_store.model import RegularFile, Symlink
from ostreefs_store.names import NAME_MAX, RESERVED_XATTR_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ostreefs.fuse.listing import Listing
    from ostreefs.fuse.nodes import Attributes, Found, Node
    from ostreefs.fuse.openfiles import OpenFile
    from ostreefs.fuse.tree import Namespace
    from ostreefs.fuse.verify import OpenVerifier
    from ostreefs_store.model import Digest
    from ostreefs_store.repository import Repository

log = logging.getLogger(__name__)

READ_MAX = 1 << 20
"""The most that one request reads."""

_INLINE = 64 << 10
"""Bytes that are read from the disk without a thread, while other requests wait."""

_READ_AHEAD = 2 << 20
"""Bytes that the disk is kept ahead of whoever reads a file larger than this in order."""

_UNUSED_FILES = 16384
"""Object files that stay open for whoever opens them next, if this process may open as many."""

_RESERVED = 64
"""Descriptors that are left for the process itself: index, leases, whoever asks for a switch."""

_MAPPED = 32 << 20
"""Bytes of files that may stay mapped; ten of them are programs and libraries.

Digests lie all over the index, and each look maps 16 pages: 40 MB may come in two milliseconds.
"""

_EMPTY = 0
"""The file handle of every file without content: it has no object file to open."""


class Later(NamedTuple):
    """An answer that has to be waited for: `finish` makes it of what `work` gives in a thread.

    When one of them raises an error, `fail` is called. Only `work` may run in another thread than
    all other requests.
    """

    work: Callable[[], Any]
    finish: Callable[[Any], Any]
    fail: Callable[[], None] = lambda: None

    def now(self) -> Any:
        """The answer, at once."""
        try:
            return self.finish(self.work())
        except BaseException:
            self.fail()
            raise


class Operations:
    """Serves one `Namespace`. Raises `StoreError`, `OSError`, `StaleError`, `Refused`."""

    def __init__(
        self, repository: Repository, namespace: Namespace, verifier: OpenVerifier | None = None
    ) -> None:
        """With a `verifier`, what it does not find whole cannot be opened."""
        self._verifier = verifier
        self._repository = repository
        self._objects = repository.objects
        self._namespace = namespace
        self._listings: dict[int, tuple[int, Listing]] = {}
        may_open, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._files_max = max(may_open - _RESERVED, may_open // 2)
        self._files = OpenFiles(min(_UNUSED_FILES, may_open * 3 // 4))
        self._handles: dict[int, OpenFile] = {}
        self._last_handle = _EMPTY
        self._view = memoryview(bytearray(READ_MAX))
        self.disk_reads = 0
        self._index = MappedIndex(repository.index.path, _MAPPED)

    # ---- names and attributes

    def lookup(self, parent: int, name: bytes) -> Attributes | None:
        """The entry with a name, of which the kernel is told; None if there will never be one."""
        found = self._namespace.lookup(parent, name)
        if found is None:
            if len(name) > NAME_MAX:  # the kernel itself lets four times as much pass
                raise Refused(errno.ENAMETOOLONG)
            if not self._namespace.is_fixed(parent):
                raise Refused(errno.ENOENT)
            return None
        if found.node is not None:
            self._namespace.acknowledge(found.node)
        return found.attributes

    def getattr(self, number: int) -> Attributes:
        """Attributes."""
        return self._namespace.attributes(number)

    def forget(self, forgotten: list[tuple[int, int]]) -> None:
        """Drop what the kernel has dropped, so often each; one that fails is in the log."""
        for number, count in forgotten:
            try:
                self._namespace.forget(number, count)
            except Exception:
                log.exception("bug in forget")  # nobody waits for an answer

    def readlink(self, number: int) -> bytes:
        """Where a symbolic link leads."""
        target = self._namespace.link_target(number)
        if target is None:
            _, file = self._namespace.file(number)
            if not isinstance(file, Symlink):
                raise Refused(errno.EINVAL)
            target = file.target
        return target

    # ---- directories

    def opendir(self, number: int) -> tuple[int, bool]:
        """Open a directory: the handle, and whether the kernel may keep what it lists."""
        self._last_handle += 1
        listing = self._namespace.list_directory(number, dotted=True)
        self._listings[self._last_handle] = (number, listing)
        return self._last_handle, self._namespace.is_fixed_for_good(number)

    def readdir(self, handle: int, start: int) -> Iterator[tuple[int, Found]]:
        """Entries from a position on, each with the position after it; as many as are taken.

        The kernel must be told of none before it is acknowledged.
        """
        number, listing = self._listings[handle]
        if start == 0 and listing.was_read and not listing.is_final:
            listing = self._namespace.list_directory(
                number, dotted=True
            )  # rewinddir(3) shows what is new
            self._listings[handle] = (number, listing)
        return listing.entries_from(start)

    def is_opened_first(self, handle: int) -> bool:
        """Whether the kernel may not know what a directory lists; asked once, and then no more."""
        return self._listings[handle][1].note_opened()

    def acknowledge(self, nodes: list[Node]) -> None:
        """Count that the kernel is told of nodes."""
        for node in nodes:
            self._namespace.acknowledge(node)

    def list_ahead(self, handle: int) -> int | None:
        """What a directory lists does not change as long as this number does not; None for now."""
        _, listing = self._listings[handle]
        return self._namespace.generation if listing.is_final else None

    def releasedir(self, handle: int) -> None:
        """Close a directory."""
        del self._listings[handle]

    # ---- content

    def open(self, number: int, flags: int) -> int | Later:
        """Open a regular file; its size is checked, its content only if that was asked for."""
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_TRUNC:
            raise Refused(errno.EROFS)
        known = self._files.take(number)
        if known is not None:
            return self._hand_out(known)
        holder, file = self._namespace.content(number)
        if not isinstance(file, RegularFile):
            raise Refused(errno.EINVAL)
        if file.size == 0:
            return _EMPTY
        fd = self._open_object(holder, file)
        if self._verifier is None or self._verifier.is_whole(holder):
            return self._hand_out(self._files.add(number, fd, file.size))
        return self._verify(number, fd, holder, file)

    def _open_object(self, holder: Digest, file: RegularFile) -> int:
        if len(self._files) >= self._files_max and not self._files.close_unused():
            raise OSError(errno.EMFILE, "too many files of the mount are open")
        try:
            return self._objects.open_checked(holder, file)
        except OSError as error:
            out_of_files = error.errno in {errno.EMFILE, errno.ENFILE}
            if not out_of_files or not self._files.close_unused():
                raise
        return self._objects.open_checked(holder, file)

    def _verify(self, number: int, fd: int, holder: Digest, file: RegularFile) -> int | Later:
        verifier = self._verifier
        assert verifier is not None

        def finish(found: Digest) -> int:
            verifier.judge(found, holder, file)
            return self._hand_out(self._files.add(number, fd, file.size))

        later = Later(lambda: verifier.measure(fd, file), finish, lambda: os.close(fd))
        return later if file.size > INLINE else later.now()

    def _hand_out(self, file: OpenFile) -> int:
        self._last_handle += 1
        self._handles[self._last_handle] = file
        if file.size > _READ_AHEAD:
            file.ahead = 0
            _read_ahead(file, 0)
        return self._last_handle

    def read(self, handle: int, offset: int, size: int) -> bytes | memoryview | Later:
        """Read from the page cache at once; from the disk in a thread when it is much.

        A thread costs 150 us, more than most disks need for a small file. A view is good until
        the next call. Fewer bytes than the file must have are EIO: the kernel would take zeros
        for the rest.
        """
        if handle == _EMPTY:
            return b""
        file = self._handles[handle]
        wanted = min(size, file.size - offset, READ_MAX)
        if wanted <= 0:
            return b""
        if file.ahead is not None:
            _read_ahead(file, offset + wanted)
        view = self._view[:wanted]
        if _read_cached(file.fd, view, offset) == wanted:
            return view
        self.disk_reads += 1

        def finish(data: bytes) -> bytes:
            if len(data) < wanted:
                name = _object_of(file.fd)
                log.error("read: file object %s became shorter while it was open", name)
                DAMAGE.note(f"file object {name} became shorter while it was open")
                raise Refused(errno.EIO)
            return data

        later = Later(lambda: os.pread(file.fd, wanted, offset), finish)
        return later if wanted > _INLINE else later.now()

    def release(self, handle: int) -> None:
        """Close a file."""
        if handle != _EMPTY:
            self._files.give_back(self._handles.pop(handle))

    def rest(self) -> None:
        """Nothing is asked for at the moment: give back what was kept in case."""
        self._files.close_unused()
        self._index.trim()

    def breathe(self) -> None:
        """Some requests were answered: see that no memory is kept without end."""
        self._index.trim()

    # ---- extended attributes

    def getxattr(self, number: int, name: bytes) -> bytes:
        """Read an attribute, a true one or one of the mount's own."""
        if name.startswith(RESERVED_XATTR_PREFIX):
            value = self._namespace.identity(number).get(name)
        else:
            value = dict(self._namespace.xattrs(number)).get(name)
        if value is None:
            raise Refused(errno.ENODATA)
        return value

    def listxattr(self, number: int) -> list[bytes]:
        """List the true attributes alone."""
        return [name for name, _ in self._namespace.xattrs(number)]

    # ---- the filesystem

    def statfs(self) -> os.statvfs_result:
        """The disk that the repository lies on."""
        return os.statvfs(self._repository.path)


def _read_ahead(file: OpenFile, position: int) -> None:
    """Keep the disk busy with what comes next of a large file that is read in order."""
    ahead = file.ahead
    if ahead is not None and position <= ahead < position + _READ_AHEAD:
        os.posix_fadvise(file.fd, ahead, 2 * _READ_AHEAD, os.POSIX_FADV_WILLNEED)
        file.ahead = ahead + 2 * _READ_AHEAD


def _read_cached(fd: int, buffer: memoryview, offset: int) -> int:
    """Read what the page cache holds; the number of bytes, or -1 where the disk is needed."""
    try:
        return os.preadv(fd, [buffer], offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return -1
    except OSError as error:
        if error.errno in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:
            return -1
        raise


def _object_of(fd: int) -> str:
    """The name of the object whose file is open, for the log."""
    return "".join(os.readlink(f"/proc/self/fd/{fd}").split("/")[-2:])
