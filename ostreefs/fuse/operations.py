# SPDX-License-Identifier: LGPL-2.1-or-later
"""The adapter between pyfuse3 and `tree`: every request of the kernel, and nothing else.

pyfuse3 ends the whole mount on any exception but `FUSEError`, so every handler is wrapped: what is
corrupt or goes wrong is EIO with a line in the log, and the mount stays up. The tree is read-only:
whatever would change it is EROFS.

The contents of a commit never change. Entries, attributes and "no such file" are therefore given
to the kernel to keep for good, and pages stay cached between opens.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
import stat
from typing import TYPE_CHECKING, Any, Concatenate, NoReturn, ParamSpec, TypeVar

import pyfuse3
import trio
from pyfuse3 import (
    EntryAttributes,
    FileHandleT,
    FileInfo,
    FileNameT,
    FlagT,
    FUSEError,
    InodeT,
    ModeT,
    ReaddirToken,
    RequestContext,
    SetattrFields,
    StatvfsData,
    XAttrNameT,
)

from ostreefs.fuse.damage import DAMAGE
from ostreefs.fuse.nodes import Attributes, StaleError
from ostreefs_store.errors import StoreError
from ostreefs_store.model import RegularFile, Symlink
from ostreefs_store.names import NAME_MAX, RESERVED_XATTR_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from ostreefs.fuse.listing import Listing
    from ostreefs.fuse.tree import Namespace
    from ostreefs.fuse.verify import OpenVerifier
    from ostreefs_store.repository import Repository

log = logging.getLogger(__name__)

FOREVER = 2.0**30
"""Seconds for which the kernel may keep what cannot change."""

_READ_MAX = 1 << 20
_INLINE = 64 << 10
"""Bytes that are read from the disk without a thread, while other requests wait."""

_READ_AHEAD = 2 << 20
"""Bytes that the disk is kept ahead of whoever reads a file larger than this in order."""

_EMPTY = 0
"""The file handle of every file without content: it has no object file to open."""

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=pyfuse3.Operations)


def _handler(
    handle: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """Let nothing but `FUSEError` out of a handler."""

    @functools.wraps(handle)
    async def wrapper(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await handle(self, *args, **kwargs)
        except FUSEError:
            raise
        except StaleError:
            raise FUSEError(errno.ESTALE) from None
        except NotADirectoryError:
            raise FUSEError(errno.ENOTDIR) from None
        except StoreError as error:
            log.error("%s: %s", handle.__name__, error)  # noqa: TRY400 -- expected, one line
            DAMAGE.note(str(error))
            raise FUSEError(errno.EIO) from None
        except OSError as error:
            log.error("%s: %s", handle.__name__, error)  # noqa: TRY400 -- expected, one line
            DAMAGE.note(f"{handle.__name__}: {error}")
            raise FUSEError(error.errno or errno.EIO) from None
        except Exception:
            log.exception("bug in %s", handle.__name__)
            raise FUSEError(errno.EIO) from None

    return wrapper


class Operations(pyfuse3.Operations):
    """Serves one `Namespace`."""

    supports_dot_lookup = True
    enable_writeback_cache = False
    enable_acl = True

    def __init__(
        self, repository: Repository, namespace: Namespace, verifier: OpenVerifier | None = None
    ) -> None:
        """With a `verifier`, what it does not find whole cannot be opened."""
        super().__init__()
        self._verifier = verifier
        self._repository = repository
        self._objects = repository.objects
        self._namespace = namespace
        self._listings: dict[int, tuple[int, Listing]] = {}
        self._next_listing = 1
        self.disk_reads = 0
        self._sizes: dict[int, int] = {}
        self._ahead: dict[int, int] = {}
        self._view = memoryview(bytearray(_READ_MAX))
        self._never = _entry(Attributes(0, 0, 0, 0, 0, 0, 0, fixed=True))

    # ---- names and attributes

    @_handler
    async def lookup(
        self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext
    ) -> EntryAttributes:
        """Find an entry."""
        found = self._namespace.lookup(parent_inode, name)
        if found is None:
            if len(name) > NAME_MAX:  # the kernel itself lets four times as much pass
                raise FUSEError(errno.ENAMETOOLONG)
            if not self._namespace.is_fixed(parent_inode):
                raise FUSEError(errno.ENOENT)
            return self._never
        if found.node is not None:
            self._namespace.acknowledge(found.node)
        return _entry(found.attributes)

    @_handler
    async def getattr(self, inode: InodeT, ctx: RequestContext) -> EntryAttributes:
        """Show attributes."""
        return _entry(self._namespace.attributes(inode))

    async def forget(self, inode_list: Sequence[tuple[InodeT, int]]) -> None:
        """Drop what the kernel has dropped."""
        for inode, count in inode_list:
            try:
                self._namespace.forget(inode, count)
            except Exception:
                log.exception("bug in forget")  # nobody waits for an answer

    @_handler
    async def readlink(self, inode: InodeT, ctx: RequestContext) -> FileNameT:
        """Read a symbolic link."""
        target = self._namespace.link_target(inode)
        if target is None:
            _, file = self._namespace.file(inode)
            if not isinstance(file, Symlink):
                raise FUSEError(errno.EINVAL)
            target = file.target
        return FileNameT(target)

    # ---- directories

    @_handler
    async def opendir(self, inode: InodeT, ctx: RequestContext) -> FileHandleT:
        """Open a directory."""
        handle = self._next_listing
        self._listings[handle] = (inode, self._namespace.list_directory(inode))
        self._next_listing += 1
        return FileHandleT(handle)

    @_handler
    async def readdir(self, fh: FileHandleT, start_id: int, token: ReaddirToken) -> None:
        """Read entries with their attributes until the kernel's buffer is full.

        What goes wrong after the first entry is left for the next call: with an error for an
        answer the kernel would never learn, nor forget, the entries before it.
        """
        inode, listing = self._listings[fh]
        namespace = self._namespace
        if start_id == 0 and listing.was_read and not listing.is_final:
            listing = namespace.list_directory(inode)  # rewinddir(3) shows what is new
            self._listings[fh] = (inode, listing)
        is_empty = True
        try:
            for position, found in listing.entries_from(start_id):
                if not pyfuse3.readdir_reply(
                    token, FileNameT(found.name), _entry(found.attributes), position
                ):
                    return
                is_empty = False
                if found.node is not None:
                    namespace.acknowledge(found.node)
        except Exception:
            if is_empty:
                raise

    @_handler
    async def releasedir(self, fh: FileHandleT) -> None:
        """Close a directory."""
        del self._listings[fh]

    # ---- content

    @_handler
    async def open(self, inode: InodeT, flags: FlagT, ctx: RequestContext) -> FileInfo:
        """Open a regular file; its size is checked, its content only if that was asked for."""
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_TRUNC:
            raise FUSEError(errno.EROFS)
        holder, file = self._namespace.content(inode)
        if not isinstance(file, RegularFile):
            raise FUSEError(errno.EINVAL)
        if file.size == 0:
            return FileInfo(fh=FileHandleT(_EMPTY), keep_cache=True)
        fd = self._objects.open_checked(holder, file)
        if self._verifier is not None:
            try:
                await self._verifier.check(fd, holder, file)
            except BaseException:
                os.close(fd)
                raise
        if file.size > _READ_AHEAD:
            self._ahead[fd] = 0
            self._read_ahead(fd, 0)
        self._sizes[fd] = file.size
        return FileInfo(fh=FileHandleT(fd), keep_cache=True)

    @_handler
    async def read(self, fh: FileHandleT, off: int, size: int) -> bytes:
        """Read from the page cache at once; from the disk in a thread when it is much.

        A thread costs 150 us, more than most disks need for a small file.
        Fewer bytes than the file must have are EIO: the kernel would take zeros for the rest.
        """
        wanted = min(size, self._sizes.get(fh, 0) - off)
        if wanted <= 0:
            return b""
        if fh in self._ahead:
            self._read_ahead(fh, off + wanted)
        if wanted <= _READ_MAX and _read_cached(fh, self._view[:wanted], off) == wanted:
            # Copied by the caller before anything else runs.
            return self._view[:wanted]  # type: ignore[return-value]  # any buffer will do
        self.disk_reads += 1
        if wanted <= _INLINE:
            data = os.pread(fh, wanted, off)
        else:
            data = await trio.to_thread.run_sync(os.pread, fh, wanted, off)
        if len(data) < wanted:
            log.error("read: file object %s became shorter while it was open", _object_of(fh))
            DAMAGE.note(f"file object {_object_of(fh)} became shorter while it was open")
            raise FUSEError(errno.EIO)
        return data

    def _read_ahead(self, fd: int, position: int) -> None:
        """Keep the disk busy with what comes next of a large file that is read in order."""
        ahead = self._ahead[fd]
        if position <= ahead < position + _READ_AHEAD:
            os.posix_fadvise(fd, ahead, 2 * _READ_AHEAD, os.POSIX_FADV_WILLNEED)
            self._ahead[fd] = ahead + 2 * _READ_AHEAD

    @_handler
    async def release(self, fh: FileHandleT) -> None:
        """Close a file."""
        self._ahead.pop(fh, None)
        if self._sizes.pop(fh, None) is not None:
            os.close(fh)

    # ---- extended attributes

    @_handler
    async def getxattr(self, inode: InodeT, name: XAttrNameT, ctx: RequestContext) -> bytes:
        """Read an attribute, a true one or one of the mount's own."""
        if name.startswith(RESERVED_XATTR_PREFIX):
            value = self._namespace.identity(inode).get(name)
        else:
            value = dict(self._namespace.xattrs(inode)).get(name)
        if value is None:
            raise FUSEError(pyfuse3.ENOATTR)
        return value

    @_handler
    async def listxattr(self, inode: InodeT, ctx: RequestContext) -> list[XAttrNameT]:
        """List the true attributes alone."""
        return [XAttrNameT(name) for name, _ in self._namespace.xattrs(inode)]

    # ---- the filesystem

    @_handler
    async def statfs(self, ctx: RequestContext) -> StatvfsData:
        """Show the size of the disk that the repository lies on, with nothing free."""
        disk = os.statvfs(self._repository.path)
        data = StatvfsData()
        data.f_bsize, data.f_frsize = disk.f_bsize, disk.f_frsize
        data.f_blocks, data.f_bfree, data.f_bavail = disk.f_blocks, 0, 0
        data.f_files, data.f_ffree, data.f_favail = disk.f_files, 0, 0
        data.f_namemax = NAME_MAX
        return data

    # ---- what a read-only filesystem refuses

    @_handler
    async def setattr(
        self,
        inode: InodeT,
        attr: EntryAttributes,
        fields: SetattrFields,
        fh: FileHandleT | None,
        ctx: RequestContext,
    ) -> EntryAttributes:
        """Refuse."""
        _refuse()

    @_handler
    async def create(
        self,
        parent_inode: InodeT,
        name: FileNameT,
        mode: ModeT,
        flags: FlagT,
        ctx: RequestContext,
    ) -> tuple[FileInfo, EntryAttributes]:
        """Refuse."""
        _refuse()

    @_handler
    async def mknod(
        self,
        parent_inode: InodeT,
        name: FileNameT,
        mode: ModeT,
        rdev: int,
        ctx: RequestContext,
    ) -> EntryAttributes:
        """Refuse."""
        _refuse()

    @_handler
    async def mkdir(
        self, parent_inode: InodeT, name: FileNameT, mode: ModeT, ctx: RequestContext
    ) -> EntryAttributes:
        """Refuse."""
        _refuse()

    @_handler
    async def symlink(
        self,
        parent_inode: InodeT,
        name: FileNameT,
        target: FileNameT,
        ctx: RequestContext,
    ) -> EntryAttributes:
        """Refuse."""
        _refuse()

    @_handler
    async def link(
        self,
        inode: InodeT,
        new_parent_inode: InodeT,
        new_name: FileNameT,
        ctx: RequestContext,
    ) -> EntryAttributes:
        """Refuse."""
        _refuse()

    @_handler
    async def unlink(self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext) -> None:
        """Refuse."""
        _refuse()

    @_handler
    async def rmdir(self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext) -> None:
        """Refuse."""
        _refuse()

    @_handler
    async def rename(
        self,
        parent_inode_old: InodeT,
        name_old: FileNameT,
        parent_inode_new: InodeT,
        name_new: FileNameT,
        flags: FlagT,
        ctx: RequestContext,
    ) -> None:
        """Refuse."""
        _refuse()

    @_handler
    async def write(self, fh: FileHandleT, off: int, buf: bytes) -> int:
        """Refuse."""
        _refuse()

    @_handler
    async def setxattr(
        self, inode: InodeT, name: XAttrNameT, value: bytes, ctx: RequestContext
    ) -> None:
        """Refuse."""
        _refuse()

    @_handler
    async def removexattr(self, inode: InodeT, name: XAttrNameT, ctx: RequestContext) -> None:
        """Refuse."""
        _refuse()


def _read_cached(fd: int, buffer: memoryview, offset: int) -> int:
    """Read what the page cache holds; the number of bytes, or -1 where the disk is needed."""
    try:
        return os.preadv(fd, [buffer], offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return -1
    except OSError as error:
        if error.errno in {errno.EOPNOTSUPP, errno.EINVAL}:
            return -1
        raise


def _object_of(fd: int) -> str:
    """The name of the object whose file is open, for the log."""
    return "".join(os.readlink(f"/proc/self/fd/{fd}").split("/")[-2:])


def _refuse() -> NoReturn:
    raise FUSEError(errno.EROFS)


def _entry(attributes: Attributes) -> EntryAttributes:
    number, mode, uid, gid, size, major, minor, fixed = attributes
    entry = EntryAttributes()
    entry.st_ino = InodeT(number)
    entry.st_mode = ModeT(mode)
    entry.st_nlink = 1
    entry.st_uid = uid
    entry.st_gid = gid
    entry.st_size = size
    entry.st_blocks = (size + 511) >> 9
    entry.st_blksize = 131072
    entry.entry_timeout = entry.attr_timeout = FOREVER if fixed else 0
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        entry.st_rdev = os.makedev(major, minor)
    return entry
