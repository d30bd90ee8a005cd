# SPDX-License-Identifier: LGPL-2.1-or-later
"""The repository's lock: shared by readers and writers, exclusive for what deletes objects.

A flock(2) on the file ``lock``; the kernel drops it when the holder dies. Writers need nothing
stronger, since objects are only ever added and LMDB orders the index transactions by itself.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LOCK_NAME = "lock"


@contextmanager
def shared_lock(
    repository: Path, *, when_alone: Callable[[], None] | None = None
) -> Iterator[None]:
    """Keep every object where it is while the block runs. Waits for an exclusive holder to end.

    `when_alone` is called first, under the exclusive lock, if nobody else is there at the moment.
    """
    fd = os.open(repository / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if when_alone is not None:
            with suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                when_alone()
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


@contextmanager
def exclusive_lock(
    repository: Path, *, on_wait: Callable[[], None] | None = None
) -> Iterator[None]:
    """Be alone while the block runs: no reader of object files and no writer is there.

    Waits for those who are, after a call of `on_wait`. Readers of the index alone come and go, and
    so do mounts, which have leases.
    """
    fd = os.open(repository / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is not None:
                on_wait()
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
