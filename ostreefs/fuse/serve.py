# SPDX-License-Identifier: LGPL-2.1-or-later
"""The process that serves one mount (pyfuse3 keeps its state in globals: one mount a process)."""

from __future__ import annotations

import gc
import logging
import os
from contextlib import contextmanager, suppress
from threading import Event
from typing import TYPE_CHECKING, NamedTuple

import pyfuse3
import trio

from ostreefs.fuse.counters import Counters
from ostreefs.fuse.live import LiveMount, lease_revision
from ostreefs.fuse.mounts import MountError, find_device, widen_read_ahead
from ostreefs.fuse.operations import Operations
from ostreefs.fuse.options import OPTIONS_HINT, MountOptions
from ostreefs.fuse.owner import OwnedNamespace, Owner
from ostreefs.fuse.protocol import Feature
from ostreefs.fuse.requests import Requests
from ostreefs.fuse.session import Kernel, Session, find_channels
from ostreefs.fuse.signals import SIGNALS, Statistics, end_with, obey
from ostreefs.fuse.tree import Namespace
from ostreefs.fuse.verify import OpenVerifier
from ostreefs.fuse.watchdog import keep_telling
from ostreefs_store.leases import Leases
from ostreefs_store.repository import Repository

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from ostreefs_store.model import Digest

log = logging.getLogger(__name__)

_READ_AHEAD_KB = 1024
_DEFAULTS = {"suid": "nosuid", "dev": "nodev"}
"""What can be asked for, and what holds otherwise."""


class MountRequest(NamedTuple):
    """What to mount where; both paths absolute, `revision` None for all commits."""

    repository: Path
    revision: str | None
    mount_point: Path
    options: MountOptions = MountOptions()
    follow: bool = False
    """Show the newest commit of the revision, which is a ref, as soon as it moves."""
    on_signal: Callable[[], None] | None = None
    """Called before a signal takes the mount down, in a thread."""
    lifeline: int | None = None
    """A descriptor that can be read from when nobody needs the mount any more: a pipe of his."""


def fuse_options(request: MountRequest) -> set[str]:
    """The options for libfuse: read-only, permissions checked by the kernel, nosuid, nodev.

    libfuse gets them in no order, so only what was not asked for is the default.
    """
    source = str(request.repository)
    if request.revision is not None:
        source += f"#{request.revision}"
    source = source.encode("ascii", "backslashreplace").decode()  # pyfuse3 takes no other text
    options = {"ro", "default_permissions", "subtype=ostreefs", *request.options.libfuse}
    options |= {no for yes, no in _DEFAULTS.items() if yes not in options}
    options.add("fsname=" + source.replace("\\", "\\\\").replace(",", "\\,"))
    return options


def serve(request: MountRequest, ready: Callable[[], None]) -> None:
    """Mount, call `ready`, and serve until the mount is taken down or a signal comes.

    Raises `StoreError` and `OSError` before `ready` is called. SIGTERM and SIGINT unmount.
    """
    gc.enable()
    with (
        Repository.open(request.repository) as repository,
        Leases(request.repository) as leases,
    ):
        commit = None
        if request.revision is not None:
            commit = lease_revision(repository, leases, request.revision)
        namespace = _make_namespace(request.options, repository, commit, leases)
        verifier = OpenVerifier() if request.options.verify else None
        operations = Operations(repository, namespace, verifier)
        requests = Requests(operations)
        resolved = os.path.realpath(request.mount_point)  # not once it is mounted: that would hang
        statistics = Statistics(Counters(requests, operations, namespace), request.options.stats)
        statistics.start(resolved)
        others = find_channels()
        with _errors_of_libfuse(request.mount_point):
            pyfuse3.init(pyfuse3.Operations(), str(request.mount_point), fuse_options(request))
        with _closing_mount() as was_usable:
            widen_read_ahead(resolved, _READ_AHEAD_KB)
            (channel,) = find_channels() - others
            live = LiveMount(repository, namespace, leases, Kernel(channel))
            session = _make_session(channel, request, operations, requests)

            def announce() -> None:
                was_usable.set()
                ready()

            trio.run(Server(request, session, live, statistics, resolved).run, announce)


@contextmanager
def _closing_mount() -> Iterator[Event]:
    """Unmount in the end; but not where a mount that could be used ends with an error.

    Whoever works there must see that it is gone, rather than an empty directory. The event is to
    be set once the mount can be used.
    """
    was_usable = Event()
    try:
        yield was_usable
    except BaseException:
        pyfuse3.close(unmount=not was_usable.is_set())
        raise
    pyfuse3.close(unmount=True)


def _make_namespace(
    options: MountOptions, repository: Repository, commit: Digest | None, leases: Leases
) -> Namespace:
    if options.uid is None and options.gid is None:
        return Namespace(repository, commit, leases, apart=options.apart)
    owner = Owner(options.uid, options.gid)
    return OwnedNamespace(repository, commit, leases, owner=owner, apart=options.apart)


def _make_session(
    channel: int, request: MountRequest, operations: Operations, requests: Requests
) -> Session:
    return Session(
        channel,
        requests,
        # libfuse would have the kernel admit everybody then, and look at each request itself.
        allowed=os.geteuid() if "allow_root" in request.options.libfuse else None,
        # In a mount of all commits, links lead to where refs are at the moment.
        features=0 if request.revision is None else Feature.CACHE_SYMLINKS,
        breathe=operations.breathe,
        rest=operations.rest,
    )


class Server(NamedTuple):
    """Everything that runs while a mount is there."""

    request: MountRequest
    session: Session
    live: LiveMount
    statistics: Statistics
    mount_point: str

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until the mount is gone, or somebody wants it to end.

        Requests are answered until everything else has ended: a notice to the kernel waits, and
        cannot be interrupted, for requests in the same directory.
        """
        with trio.open_signal_receiver(*SIGNALS) as signals:
            async with trio.open_nursery() as serving:
                async with trio.open_nursery() as others:
                    serving.start_soon(self._serve, others.cancel_scope)
                    others.start_soon(self._obey, signals, others.cancel_scope.cancel)
                    await self._begin(others, ready)
                self.session.stop()
        await self.statistics.write()

    async def _begin(self, others: trio.Nursery, ready: Callable[[], None]) -> None:
        others.start_soon(self.statistics.write_regularly)
        await self._make_root_known()
        device = find_device(self.mount_point)
        if device is not None:
            await others.start(self.live.answer_requests, device)
        if self.request.follow and self.request.revision is not None:
            others.start_soon(self.live.follow, self.request.revision)
        if self.request.lifeline is not None:
            others.start_soon(end_with, self.request.lifeline, others.cancel_scope.cancel)
        ready()
        others.start_soon(keep_telling)
        others.start_soon(self.live.forget_what_passed)

    async def _serve(self, others: trio.CancelScope) -> None:
        await self.session.serve()
        others.cancel()

    async def _make_root_known(self) -> None:
        """Have the kernel ask for the attributes of the root, before it is told to forget them.

        Until then it takes the root for a directory of mode 0. An answer that is overtaken by a
        `switch` it drops, so whoever looked first at that moment would be told EACCES.
        """
        with suppress(OSError):  # it may have been taken down by now
            await trio.to_thread.run_sync(os.stat, self.mount_point, abandon_on_cancel=True)

    async def _obey(self, signals: AsyncIterator[int], stop: Callable[[], None]) -> None:
        await obey(signals, self.statistics, stop=stop, before_end=self.request.on_signal)


@contextmanager
def _errors_of_libfuse(mount_point: Path) -> Iterator[None]:
    """Libfuse says on stderr why a mount failed: make an error of its last line."""
    saved = os.dup(2)
    captured = os.memfd_create("stderr")
    os.dup2(captured, 2)
    try:
        yield
    except RuntimeError as error:
        said = os.pread(captured, 65536, 0).decode(errors="replace").strip().splitlines()
        reason = said[-1] if said else str(error)
        hint = OPTIONS_HINT if "unknown option" in reason else None
        raise MountError(f"cannot mount on {mount_point}: {reason}", hint=hint) from None
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(captured)
