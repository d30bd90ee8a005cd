# SPDX-License-Identifier: LGPL-2.1-or-later
"""A process that outlives whoever runs a command, ends what he has started, and cleans up.

It holds one end of a pipe, he the other. When his end is closed, because the command has ended or
because he was killed, the guard kills everything inside and calls `clean_up`. The command waits
(``--block-fd``) until the guard knows the process to kill (``--info-fd``); so there is no moment
at which it could be forgotten.

That is not left to ``--die-with-parent`` of bwrap(1): with it ^C, which every process at the
terminal gets, would kill bwrap(1), and so the command, whatever that wanted to do about it.
"""

from __future__ import annotations

import os
import re
import select
import signal
from typing import TYPE_CHECKING, NoReturn

from ostreefs.fuse.daemon import close_all_but

if TYPE_CHECKING:
    from collections.abc import Callable

_CHILD = re.compile(rb'"child-pid": *([0-9]+)')
_PATIENCE = 10_000
"""Milliseconds for processes that were killed to be gone."""


class Guard:
    """A guard, and what it is reached by."""

    def __init__(self, pid: int, lifeline: int, info: int, block: int) -> None:
        self.pid = pid
        self.info = info
        """For bwrap(1) to write to."""
        self.block = block
        """For bwrap(1) to read from."""
        self._open = [info, block]
        self._lifeline = lifeline

    def close_others(self) -> None:
        """Close what bwrap(1) has by now."""
        while self._open:
            os.close(self._open.pop())

    def close(self) -> None:
        """Have everything inside end, and cleaned up; the guard ends after that."""
        self.close_others()
        os.close(self._lifeline)


def start_guard(clean_up: Callable[[], None], keep: int | None = None) -> Guard:
    """Fork a guard, which calls `clean_up` in the end, and keeps a descriptor open until then."""
    lifeline, ours = os.pipe()
    info, info_written = os.pipe()
    block, released = os.pipe()
    child = os.fork()
    if child == 0:
        _guard(lifeline, info, released, clean_up, keep)
    for fd in (lifeline, info, released):
        os.close(fd)
    return Guard(child, ours, info_written, block)


def _guard(
    lifeline: int, info: int, released: int, clean_up: Callable[[], None], keep: int | None
) -> NoReturn:
    status = 1
    try:
        os.setsid()  # no terminal that could kill it
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        close_all_but({lifeline, info, released} | (set() if keep is None else {keep}))
        process = _learn_process(info)
        if process is not None:
            os.write(released, b"x")
        os.close(released)
        select.select([lifeline], [], [])
        if process is not None:
            _kill(process)
        clean_up()
        status = 0
    finally:
        os._exit(status)


def _learn_process(info: int) -> int | None:
    """The first process inside, as bwrap(1) tells; None where it ends before."""
    said = b""
    while piece := os.read(info, 4096):
        said += piece
        found = _CHILD.search(said)
        if found is not None and b"}" in said:
            try:
                return os.pidfd_open(int(found[1]))
            except ProcessLookupError:
                return None
    return None


def _kill(process: int) -> None:
    """End the first process, which ends all others; wait for it."""
    try:
        signal.pidfd_send_signal(process, signal.SIGKILL)
    except ProcessLookupError:
        return
    poll = select.poll()
    poll.register(process, select.POLLIN)
    poll.poll(_PATIENCE)
