# SPDX-License-Identifier: LGPL-2.1-or-later
"""The process that serves one mount (pyfuse3 keeps its state in globals: one mount a process)."""

from __future__ import annotations

import errno
import gc
import logging
import os
from contextlib import contextmanager
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, NamedTuple

import pyfuse3
import trio

from ostreefs.fuse.counters import Counters
from ostreefs.fuse.live import LiveMount, lease_revision
from ostreefs.fuse.mounts import MountError, find_device, widen_read_ahead
from ostreefs.fuse.operations import Operations
from ostreefs.fuse.options import MountOptions
from ostreefs.fuse.owner import OwnedNamespace, Owner
from ostreefs.fuse.signals import SIGNALS, Statistics, end_with, obey
from ostreefs.fuse.tree import Namespace
from ostreefs.fuse.verify import OpenVerifier
from ostreefs.fuse.watchdog import keep_telling
from ostreefs_store.leases import Leases
from ostreefs_store.repository import Repository

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
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
        resolved = os.path.realpath(request.mount_point)  # not once it is mounted: that would hang
        statistics = Statistics(Counters(operations, namespace), request.options.stats)
        statistics.start(resolved)
        with _errors_of_libfuse(request.mount_point):
            pyfuse3.init(operations, str(request.mount_point), fuse_options(request))
        logging.getLogger(pyfuse3.__name__).addFilter(is_news)
        with _closing_mount() as was_usable:
            widen_read_ahead(resolved, _READ_AHEAD_KB)
            live = LiveMount(repository, namespace, leases)
            tasks = _tasks(request, live)

            def announce() -> None:
                was_usable.set()
                ready()

            obeying = partial(obey, statistics=statistics, before_end=request.on_signal)
            tasks.append(statistics.write_regularly)
            trio.run(_main, announce, live, statistics, obeying, resolved, tasks)


def _tasks(request: MountRequest, live: LiveMount) -> list[Callable[[], Awaitable[None]]]:
    """What is to be done beside serving."""
    tasks: list[Callable[[], Awaitable[None]]] = []
    if request.follow and request.revision is not None:
        tasks.append(partial(live.follow, request.revision))
    if request.lifeline is not None:
        tasks.append(partial(end_with, request.lifeline))
    return tasks


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
        return Namespace(repository, commit, leases)
    owner = Owner(options.uid, options.gid)
    return OwnedNamespace(repository, commit, leases, owner=owner)


async def _main(
    ready: Callable[[], None],
    live: LiveMount,
    statistics: Statistics,
    obeying: Callable[[AsyncIterator[int]], Awaitable[None]],
    mount_point: str,
    tasks: list[Callable[[], Awaitable[None]]],
) -> None:
    with trio.open_signal_receiver(*SIGNALS) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(obeying, signals)
            for task in tasks:
                nursery.start_soon(task)
            device = find_device(mount_point)
            if device is not None:
                await nursery.start(live.answer_requests, device)
            ready()
            nursery.start_soon(keep_telling)
            nursery.start_soon(live.forget_what_passed)
            await pyfuse3.main()
            nursery.cancel_scope.cancel()
    await statistics.write()


def is_news(record: logging.LogRecord) -> bool:
    """Whether a message of pyfuse3 is worth a line in the log.

    ENOENT for an answer says that nobody waits for it any more: whoever asked was killed, or the
    mount was detached. pyfuse3 calls that an error.
    """
    return not record.getMessage().endswith(f"failed with {os.strerror(errno.ENOENT)}")


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
        raise MountError(f"cannot mount on {mount_point}: {reason}") from None
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(captured)
