# SPDX-License-Identifier: LGPL-2.1-or-later
"""The loop that serves a mount: a request is read, handled and answered, one after the other.

A program that walks a mount waits for each answer before it asks again. So what one request costs
is what counts, and here it is two system calls beside the waiting: see
``docs/internals/performance.md`` for what was tried. While requests keep coming the loop looks for
the next one some fifty times, which is cheaper than being woken, then waits for it by itself, for
a millisecond, and lets others have their turn every few milliseconds.
When none comes it waits as everything else in this process does, in trio.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from ostreefs.fuse import protocol
from ostreefs.fuse.mounts import MountError
from ostreefs.fuse.operations import READ_MAX, Later
from ostreefs.fuse.protocol import Feature, Opcode
from ostreefs.fuse.requests import errno_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ostreefs.fuse.requests import Handler, Payload, Requests

log = logging.getLogger(__name__)

_REQUEST_MAX = 64 << 10
"""Room for a request; the longest are those to forget many nodes."""

_DEVICE = os.makedev(10, 229)
"""``/dev/fuse``, as the kernel numbers it; it need not have that name in a container."""

_LOOKS = 50
"""How often the loop looks for the next request before it sleeps, 50 us altogether."""

_PATIENCE_MS = 1
_TURN = 0.002
"""Seconds for which the loop serves requests before others have their turn."""

_IDLE = 1.0
"""Seconds without a request after which nobody is at work any more."""

_GONE = {errno.ENODEV, errno.ECONNABORTED}
_NOBODY_WAITS = {errno.ENOENT, *_GONE}


def find_channels() -> set[int]:
    """The descriptors of this process over which requests to mounts come."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # what has listed them is closed by now
            status = os.fstat(int(name))
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == _DEVICE:
                found.add(int(name))
    return found


def looks_before_sleep(processors: int) -> int:
    """How often to look for another request, when this process may use so many processors.

    Who asks runs on another one and mostly asks again within 20 us; to be woken takes longer. On
    one processor whoever looks keeps the other from asking.
    """
    return _LOOKS if processors > 1 else 0


class Kernel:
    """What the server says to the kernel by itself. Waits for requests that are being answered."""

    def __init__(self, channel: int) -> None:
        self._channel = channel

    def forget_name(self, parent: int, name: bytes) -> None:
        """Have a name forgotten with all below it; the kernel may never have heard of it."""
        self._tell(protocol.format_invalid_entry(parent, name))

    def expire_name(self, parent: int, name: bytes) -> None:
        """Have a name looked up again when somebody uses it; at once, whatever is below it."""
        self._tell(protocol.format_invalid_entry(parent, name, expire=True))

    def forget_attributes(self, number: int) -> None:
        """Have attributes asked for again."""
        self._tell(protocol.format_invalid_attributes(number))

    def _tell(self, notice: bytes) -> None:
        try:
            os.write(self._channel, notice)
        except OSError as error:
            if error.errno not in _NOBODY_WAITS:
                raise


class Session:
    """Serves the requests on a descriptor of ``/dev/fuse``."""

    def __init__(
        self,
        channel: int,
        requests: Requests,
        *,
        allowed: int | None = None,
        features: int = 0,
        breathe: Callable[[], None] = lambda: None,
        rest: Callable[[], None] = lambda: None,
    ) -> None:
        """Serve what a descriptor gives.

        `allowed` is the only user, beside root, who may use the mount; None leaves it to the
        kernel, which knows everybody or one. `features` are wanted beside the usual ones.
        `breathe` is called every two milliseconds, and at each pause; `rest` when nobody is at
        work.
        """
        os.set_blocking(channel, False)
        self._channel = channel
        self._allowed = None if allowed is None else {0, allowed}
        self._handlers: dict[int, Handler] = requests.handlers
        self._handlers[Opcode.INIT] = self._greet
        self._prepare = requests.prepare
        self._features = _FEATURES | features
        self._breathe = breathe
        self._rest = rest
        self._readable = select.poll()
        self._readable.register(channel, select.POLLIN)
        self._looks = looks_before_sleep(len(os.sched_getaffinity(0)))
        self._pending = 0
        self._scope = trio.CancelScope()

    def stop(self) -> None:
        """End `serve`."""
        self._scope.cancel()

    async def serve(self) -> None:
        """Answer requests until the mount is taken down, or `stop` is called."""
        async with trio.open_nursery() as nursery:
            with self._scope:
                await self._serve(nursery)
            nursery.cancel_scope.cancel()

    async def _serve(self, nursery: trio.Nursery) -> None:
        turn_ends = time.monotonic() + _TURN
        looks = 0
        while True:
            try:
                request = os.read(self._channel, _REQUEST_MAX)
            except BlockingIOError:
                if looks:
                    looks -= 1
                    continue
                # Who waits in a thread of ours is served by trio: nothing may keep it waiting.
                if self._pending or not self._readable.poll(_PATIENCE_MS):
                    await self._wait()
                    turn_ends = time.monotonic() + _TURN
                continue
            except OSError as error:
                if error.errno in _GONE:
                    return
                if error.errno == errno.ENOENT:  # whoever asked was killed
                    continue
                raise
            self._answer(request, nursery)
            self._prepare()
            looks = self._looks
            if time.monotonic() > turn_ends:
                self._breathe()
                await trio.lowlevel.checkpoint()
                turn_ends = time.monotonic() + _TURN

    async def _wait(self) -> None:
        self._breathe()
        with trio.move_on_after(_IDLE) as waiting:
            await trio.lowlevel.wait_readable(self._channel)
        if waiting.cancelled_caught:
            self._rest()
            await trio.lowlevel.wait_readable(self._channel)

    def _answer(self, request: bytes, nursery: trio.Nursery) -> None:
        if len(request) < protocol.BODY:
            log.error("a request of %d bytes is too short", len(request))
            return
        _, kind, unique, node, user, *_ = protocol.REQUEST.unpack_from(request)
        handler = self._handlers.get(kind)
        if handler is None:
            self._refuse(kind, unique, errno.ENOSYS)
            return
        if self._allowed is not None and kind in _ADMITTING and user not in self._allowed:
            self._refuse(kind, unique, errno.EACCES)
            return
        try:
            payload = handler(node, request)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the mount stays up
            self._refuse(kind, unique, errno_of(kind, error))
            return
        if type(payload) is bytes:
            self._write(unique, protocol.format_answer(unique, payload))
        elif isinstance(payload, Later):
            self._pending += 1
            nursery.start_soon(self._answer_later, kind, unique, payload)
        elif payload is not None:
            self._send(unique, payload)

    async def _answer_later(self, kind: int, unique: int, later: Later) -> None:
        try:
            try:
                found = await trio.to_thread.run_sync(later.work)
                payload: bytes = later.finish(found)
            except BaseException:
                later.fail()
                raise
        except Exception as error:  # noqa: BLE001 -- whatever it is, the mount stays up
            self._refuse(kind, unique, errno_of(kind, error))
        else:
            self._send(unique, payload)
        finally:
            self._pending -= 1

    def _send(self, unique: int, payload: bytes | memoryview) -> None:
        self._write(unique, protocol.format_header(unique, len(payload)), payload)

    def _refuse(self, kind: int, unique: int, number: int) -> None:
        if kind not in _UNANSWERED:
            self._write(unique, protocol.format_error(unique, number))

    def _write(self, unique: int, *answer: bytes | memoryview) -> None:
        """Whoever asked gets an answer, or he would wait for ever: EIO when it is not this one."""
        try:
            os.writev(self._channel, answer)
        except OSError as error:
            # ENOENT: nobody waits for it any more, whoever asked was killed.
            if error.errno in _NOBODY_WAITS:
                return
            log.error("cannot answer: %s", error)  # noqa: TRY400 -- expected, one line
            with suppress(OSError):  # where the kernel has taken it for one that failed
                os.write(self._channel, protocol.format_error(unique, errno.EIO))

    def _greet(self, node: int, request: bytes) -> Payload:
        greeting = protocol.parse_greeting(request)
        if greeting.major < protocol.VERSION or (
            greeting.major == protocol.VERSION and greeting.minor < protocol.OLDEST
        ):
            raise MountError("the kernel is too old: Linux 4.20 is needed")
        features = greeting.features & self._features
        return protocol.format_greeting(READ_MAX, features, READ_MAX // os.sysconf("SC_PAGESIZE"))


_ADMITTING = {
    Opcode.LOOKUP,
    Opcode.GETATTR,
    Opcode.READLINK,
    Opcode.OPENDIR,
    Opcode.OPEN,
    Opcode.GETXATTR,
    Opcode.LISTXATTR,
    Opcode.STATFS,
}
"""The requests for which it matters who asks; with the others somebody goes on who was let in."""

_UNANSWERED = {Opcode.FORGET, Opcode.BATCH_FORGET}
"""The requests after which the kernel expects nothing."""

_FEATURES = (
    Feature.ASYNC_READ
    | Feature.EXPORT_SUPPORT
    | Feature.DO_READDIRPLUS
    | Feature.PARALLEL_DIROPS
    | Feature.POSIX_ACL
    | Feature.MAX_PAGES
)
