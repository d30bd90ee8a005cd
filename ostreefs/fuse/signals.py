# SPDX-License-Identifier: LGPL-2.1-or-later
"""What ends a process that serves a mount, or makes it show its statistics."""

from __future__ import annotations

import logging
import os
import signal
from typing import TYPE_CHECKING

import trio

from ostreefs.fuse.mounts import MountError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from ostreefs.fuse.counters import Counters

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)

_INTERVAL = 10.0
"""Seconds between two states of the file of statistics."""


class Statistics:
    """Counters that may be shown in the log, and in a file."""

    def __init__(self, counters: Counters, file: Path | None) -> None:
        self._counters = counters
        self._file = file
        self._has_failed = False

    def start(self, mount_point: str) -> None:
        """With a file, count from now on. Raises `MountError`, `OSError` for a bad one."""
        if self._file is None:
            return
        folder = os.path.realpath(self._file.parent)
        if f"{folder}/".startswith(f"{mount_point}/"):
            raise MountError(
                f"{self._file} is below the mount point", hint="keep statistics elsewhere"
            )
        self._counters.start()
        self._counters.write(self._file)

    async def show(self) -> None:
        """Put everything into the log, and count from now on where that is not done yet."""
        for line in self._counters.as_lines():
            log.info("%s", line)
        if not self._counters.is_counting:
            self._counters.start()
            log.info("counting requests from now on; SIGUSR1 shows them")
        await self.write()

    async def write_regularly(self) -> None:
        """Keep the file up to date, for ever."""
        while self._file is not None:
            await trio.sleep(_INTERVAL)
            await self.write()

    async def write(self) -> None:
        """Write the file; where that fails the log says so, once."""
        if self._file is None:
            return
        try:
            await trio.to_thread.run_sync(self._counters.write, self._file)
            self._has_failed = False
        except OSError as error:
            if not self._has_failed:
                log.warning("cannot write statistics: %s", error)
            self._has_failed = True


async def obey(
    signals: AsyncIterator[int],
    statistics: Statistics,
    stop: Callable[[], None],
    before_end: Callable[[], None] | None = None,
) -> None:
    """Unmount, or show counters, for ever."""
    async for number in signals:
        if number == signal.SIGUSR1:
            await statistics.show()
        else:
            log.info("%s: unmounting", signal.Signals(number).name)
            if before_end is not None:
                await trio.to_thread.run_sync(before_end)  # it may have to be served meanwhile
            stop()


async def end_with(lifeline: int, stop: Callable[[], None]) -> None:
    """Unmount when whoever holds the other end of a pipe closes it, or dies."""
    await trio.lowlevel.wait_readable(lifeline)
    log.info("nobody needs the mount any more: unmounting")
    stop()
