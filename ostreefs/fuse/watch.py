# SPDX-License-Identifier: LGPL-2.1-or-later
"""Noticing that a repository's index was written to, by inotify(7).

A commit of LMDB writes the page that makes it current with pwrite(2), which inotify tells of.
Where it cannot (network filesystems tell nothing of other machines) a look now and then must do.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_IN_MODIFY = 0x2
_EVENTS_MAX = 4096
POLL_SECONDS = 2.0
"""How long a change can go unnoticed where inotify tells nothing."""


@contextmanager
def watching(path: Path) -> Iterator[int | None]:
    """A descriptor that can be read once a file was written to; None where that cannot be had."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        yield None
        return
    try:
        watch = libc.inotify_add_watch(fd, os.fsencode(path), _IN_MODIFY)
        yield fd if watch >= 0 else None
    finally:
        os.close(fd)


async def wait_for_change(fd: int | None) -> None:
    """Wait until the file was perhaps written to, but not for ever."""
    if fd is None:
        await trio.sleep(POLL_SECONDS)
        return
    with trio.move_on_after(POLL_SECONDS):
        await trio.lowlevel.wait_readable(fd)
        try:
            os.read(fd, _EVENTS_MAX)
        except BlockingIOError:
            return
