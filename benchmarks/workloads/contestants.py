# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who shows a tree as a directory, ours and the peers, and how each of them is timed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.machine import drop_caches
from benchmarks.measure import Subject, Trial, run_quietly
from benchmarks.mounts import mounted
from benchmarks.session import BRANCH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.measure import Command
    from benchmarks.session import Prepared, Session

    Mount = Callable[[Prepared, Path], Command]
    Use = Callable[[Path], Command]

OURS = "ostreefs mount"
SQUASHFUSE = "squashfuse"
SQUASHFUSE_LL = "squashfuse_ll"
BORG = "borg mount"
DISK = "the tree itself on disk"
CHECKOUT = "hardlink checkout"


def mounts(session: Session) -> dict[str, Mount]:
    """How each of them mounts a tree."""
    return {
        OURS: lambda it, at: session.ours.mount(it.ours, at),
        SQUASHFUSE: lambda it, at: ("squashfuse", it.squashfs, at),
        SQUASHFUSE_LL: lambda it, at: ("squashfuse_ll", it.squashfs, at),
        BORG: lambda it, at: ("borg", "mount", f"{it.borg}::{BRANCH}", at),
    }


def cold(name: str, prepared: Callable[[], Prepared], mount: Mount, use: Use) -> Subject:
    """Mount afresh, then empty the caches, then time one command on the mount."""

    @contextmanager
    def trial() -> Iterator[Trial]:
        where = prepared()
        mountpoint = where.mountpoint("cold")
        with mounted(mount(where, mountpoint), mountpoint):
            drop_caches()
            yield Trial((use(mountpoint),))

    return Subject(name, trial)


def cold_on_disk(name: str, directory: Callable[[], Path], use: Use) -> Subject:
    """Empty the caches, then time one command on a directory of the disk."""

    @contextmanager
    def trial() -> Iterator[Trial]:
        where = directory()
        drop_caches()
        yield Trial((use(where),))

    return Subject(name, trial)


def warm(
    name: str, prepared: Callable[[], Prepared], mount: Mount, use: Use, first: Use | None = None
) -> Subject:
    """Mount afresh, use it once (or as `first` says), then time one command on the mount."""

    @contextmanager
    def trial() -> Iterator[Trial]:
        where = prepared()
        mountpoint = where.mountpoint("warm")
        with mounted(mount(where, mountpoint), mountpoint):
            run_quietly(*(first or use)(mountpoint))
            yield Trial((use(mountpoint),))

    return Subject(name, trial)


def warm_on_disk(
    name: str, directory: Callable[[], Path], use: Use, first: Use | None = None
) -> Subject:
    """The same on a directory of the disk."""

    @contextmanager
    def trial() -> Iterator[Trial]:
        where = directory()
        run_quietly(*(first or use)(where))
        yield Trial((use(where),))

    return Subject(name, trial)


def find(root: Path) -> Command:
    """Every entry with its size."""
    return ("find", root, "-printf", "%s\\n")
