# SPDX-License-Identifier: LGPL-2.1-or-later
"""From a request of the kernel to its answer: take apart, let `operations` do it, put together.

What is corrupt or goes wrong is EIO with a line in the log, and the mount stays up. The tree is
read-only: whatever would change it is EROFS. What has no handler is ENOSYS, and the kernel does
not ask again.
"""

from __future__ import annotations

import errno
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.fuse import protocol
from ostreefs.fuse.damage import DAMAGE
from ostreefs.fuse.nodes import StaleError
from ostreefs.fuse.operations import Later
from ostreefs.fuse.protocol import BODY, Opcode, Opened, Refused
from ostreefs_store.errors import StoreError
from ostreefs_store.names import NAME_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from ostreefs.fuse.nodes import Node
    from ostreefs.fuse.operations import Operations

    Payload = bytes | memoryview | Later | None
    Handler = Callable[[int, bytes], Payload]

log = logging.getLogger(__name__)

_CHANGES = (
    Opcode.SETATTR,
    Opcode.SYMLINK,
    Opcode.MKNOD,
    Opcode.MKDIR,
    Opcode.UNLINK,
    Opcode.RMDIR,
    Opcode.RENAME,
    Opcode.LINK,
    Opcode.WRITE,
    Opcode.SETXATTR,
    Opcode.REMOVEXATTR,
    Opcode.CREATE,
    Opcode.FALLOCATE,
    Opcode.RENAME2,
    Opcode.TMPFILE,
)


_ERRNO_END = 512
"""The kernel's own, which are never told to programs, begin here."""

_USUAL_ROOM = 32 << 10
"""The buffer with which C libraries list directories."""


class _Page(NamedTuple):
    """The answer to one request for entries (handle, position, room), and the nodes in it."""

    wanted: tuple[int, int, int]
    end: int
    payload: bytes
    nodes: list[Node]
    generation: int | None


class Requests:
    """The handlers of all kinds of requests.

    Each takes the number of a node and the whole request; it gives the payload of the answer, or
    None where none is wanted, or raises what `errno_of` makes an errno of.
    """

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._room = _USUAL_ROOM
        self._expected: tuple[int, int, int] | None = None
        self._prepared: dict[int, _Page] = {}
        self.handlers: dict[int, Handler] = {
            Opcode.LOOKUP: self._lookup,
            Opcode.FORGET: self._forget,
            Opcode.BATCH_FORGET: self._batch_forget,
            Opcode.GETATTR: self._getattr,
            Opcode.READLINK: self._readlink,
            Opcode.OPENDIR: self._opendir,
            Opcode.READDIRPLUS: self._readdirplus,
            Opcode.RELEASEDIR: self._releasedir,
            Opcode.OPEN: self._open,
            Opcode.READ: self._read,
            Opcode.RELEASE: self._release,
            Opcode.GETXATTR: self._getxattr,
            Opcode.LISTXATTR: self._listxattr,
            Opcode.STATFS: self._statfs,
            Opcode.DESTROY: self._destroy,
            Opcode.IOCTL: self._ioctl,
            **dict.fromkeys(_CHANGES, self._refuse),
        }

    def _lookup(self, node: int, request: bytes) -> bytes:
        attributes = self._operations.lookup(node, request[BODY:-1])
        return protocol.NO_ENTRY if attributes is None else protocol.format_entry(attributes)

    def _forget(self, node: int, request: bytes) -> None:
        (count,) = protocol.HANDLE.unpack_from(request, BODY)
        self._operations.forget([(node, count)])

    def _batch_forget(self, node: int, request: bytes) -> None:
        self._operations.forget(protocol.parse_forgotten(request))

    def _getattr(self, node: int, request: bytes) -> bytes:
        return protocol.format_attributes(self._operations.getattr(node))

    def _readlink(self, node: int, request: bytes) -> bytes:
        return self._operations.readlink(node)

    def _opendir(self, node: int, request: bytes) -> bytes:
        handle, is_fixed = self._operations.opendir(node)
        if is_fixed and self._operations.is_opened_first(handle):
            self._expected = (handle, 0, self._room)
        return protocol.format_opened(handle, _KEPT if is_fixed else 0)

    def _readdirplus(self, node: int, request: bytes) -> bytes:
        wanted = handle, _, self._room = protocol.READ.unpack_from(request, BODY)
        page = self._prepared.pop(handle, None)
        if page is None or page.wanted != wanted or not self._is_good(page):
            page = self._list(wanted)
        self._operations.acknowledge(page.nodes)
        if page.payload:
            self._expected = (handle, page.end, self._room)
        return page.payload

    def prepare(self) -> None:
        """Make the answer that will probably be asked for next, while the last one is looked at.

        Whoever lists a directory mostly goes on with it.
        """
        wanted, self._expected = self._expected, None
        if wanted is None or self._operations.list_ahead(wanted[0]) is None:
            return
        with suppress(Exception):  # it will come again when somebody really wants to know
            self._prepared[wanted[0]] = self._list(wanted)

    def _list(self, wanted: tuple[int, int, int]) -> _Page:
        """What goes wrong after the first entry is left for the next call.

        With an error for an answer the kernel would never learn, nor forget, the entries before.
        """
        handle, start, room = wanted
        listed: list[bytes] = []
        nodes: list[Node] = []
        end = start
        try:
            for position, (name, attributes, node) in self._operations.readdir(handle, start):
                entry = protocol.format_listed(name, attributes, position)
                room -= len(entry)
                if room < 0:
                    break
                listed.append(entry)
                end = position
                if node is not None:
                    nodes.append(node)
        except Exception:
            if not listed:
                raise
        return _Page(wanted, end, b"".join(listed), nodes, self._operations.list_ahead(handle))

    def _is_good(self, page: _Page) -> bool:
        return page.generation == self._operations.list_ahead(page.wanted[0])

    def _releasedir(self, node: int, request: bytes) -> bytes:
        (handle,) = protocol.HANDLE.unpack_from(request, BODY)
        self._prepared.pop(handle, None)
        self._operations.releasedir(handle)
        return b""

    def _open(self, node: int, request: bytes) -> bytes | Later:
        flags, _ = protocol.OPEN.unpack_from(request, BODY)
        opened = self._operations.open(node, flags)
        if isinstance(opened, Later):
            finish = opened.finish
            return opened._replace(finish=lambda found: _format_opened(finish(found)))
        return _format_opened(opened)

    def _read(self, node: int, request: bytes) -> bytes | memoryview | Later:
        return self._operations.read(*protocol.READ.unpack_from(request, BODY))

    def _release(self, node: int, request: bytes) -> bytes:
        self._operations.release(*protocol.HANDLE.unpack_from(request, BODY))
        return b""

    def _getxattr(self, node: int, request: bytes) -> bytes:
        room, _ = protocol.SIZED.unpack_from(request, BODY)
        name = request[BODY + protocol.SIZED.size : -1]
        return protocol.format_sized(self._operations.getxattr(node, name), room)

    def _listxattr(self, node: int, request: bytes) -> bytes:
        room, _ = protocol.SIZED.unpack_from(request, BODY)
        names = b"".join(name + b"\0" for name in self._operations.listxattr(node))
        return protocol.format_sized(names, room)

    def _statfs(self, node: int, request: bytes) -> bytes:
        return protocol.format_statfs(self._operations.statfs(), NAME_MAX)

    def _destroy(self, node: int, request: bytes) -> bytes:
        return b""

    def _ioctl(self, node: int, request: bytes) -> bytes:
        """As the kernel's own filesystems say it: programs ask so whether this is a terminal."""
        raise Refused(errno.ENOTTY)

    def _refuse(self, node: int, request: bytes) -> bytes:
        raise Refused(errno.EROFS)


_KEPT = Opened.KEEP_CACHE | Opened.CACHE_DIR


def _format_opened(handle: int) -> bytes:
    return protocol.format_opened(handle, Opened.KEEP_CACHE)


def errno_of(kind: int, error: Exception) -> int:
    """What to answer when a handler raised an error; what is wrong is said in the log.

    ENOSYS would mean that this kind of request is never to be sent again, and what the kernel
    does not take for an errno it would not take for an answer.
    """
    if isinstance(error, Refused):
        return error.errno
    if isinstance(error, StaleError):
        return errno.ESTALE
    if isinstance(error, NotADirectoryError):
        return errno.ENOTDIR
    name = Opcode(kind).name.lower()
    if isinstance(error, StoreError):
        log.error("%s: %s", name, error)
        DAMAGE.note(str(error))
        return errno.EIO
    if isinstance(error, OSError):
        log.error("%s: %s", name, error)
        DAMAGE.note(f"{name}: {error}")
        number = error.errno or errno.EIO
        return number if 0 < number < _ERRNO_END and number != errno.ENOSYS else errno.EIO
    log.error("bug in %s", name, exc_info=error)
    return errno.EIO
