# SPDX-License-Identifier: LGPL-2.1-or-later
"""What ends a run from outside, and what becomes of the command's processes then.

SIGINT, SIGTERM and SIGHUP end the run at the next place where that leaves nothing half done; the
second of them at once. They say nothing of a candidate, whatever the command makes of them.

A command has no process group of its own, as it could not read from the terminal then. So its
processes are found by their parents: for as long as it runs, orphans become our children.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ostreefs.sandbox.supervise import adopt_orphans

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE = 2.0
"""Seconds that processes have to end by themselves."""
_PAUSE = 0.01


class Interrupts:
    """The signals that came; use it as `with interrupts.noted():`."""

    def __init__(self) -> None:
        self._came = False
        self._may_raise = False

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note signals in the block, and raise `KeyboardInterrupt` for the second."""
        saved = {number: signal.signal(number, self._handle) for number in _ENDING}
        try:
            yield
        finally:
            for number, handler in saved.items():
                signal.signal(number, handler)

    def note(self, number: int) -> None:
        """A signal came that somebody else has taken."""
        self._came = self._came or number in _ENDING

    def check(self) -> None:
        """Raise `KeyboardInterrupt` if one came."""
        if self._came:
            raise KeyboardInterrupt

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Raise `KeyboardInterrupt` as soon as one comes, or if one came."""
        self._may_raise = True
        try:
            self.check()
            yield
        finally:
            self._may_raise = False

    def _handle(self, number: int, _: object) -> None:
        if self._may_raise or self._came:
            raise KeyboardInterrupt(number)
        self._came = True


def call(words: Sequence[str], environment: Mapping[str, str], interrupts: Interrupts) -> int:
    """Run a command to its end; its status as `subprocess` has it. Raises `OSError`.

    Raises `KeyboardInterrupt` for a signal, when everything that it has started has ended as
    well.
    """
    others = set(_find_children(os.getpid()))
    adopt_orphans(True)
    try:
        process = subprocess.Popen(words, env=environment)
        try:
            with interrupts.raised():
                return process.wait()
        except BaseException:
            _end(others)
            raise
        finally:
            process.poll()
            _reap(others)
    finally:
        adopt_orphans(False)


def _end(others: set[int]) -> None:
    """End all processes below us but for these children."""
    deadline = time.monotonic() + _PATIENCE
    number: signal.Signals = signal.SIGTERM
    told: set[int] = set()
    while found := _find_below(os.getpid(), others):
        if time.monotonic() > deadline:
            if number == signal.SIGKILL:
                break  # they are not ours to kill, or hang in the kernel
            deadline += _PATIENCE
            number, told = signal.SIGKILL, set()
        for pid in found - told:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
                os.kill(pid, signal.SIGCONT)
        told |= found
        time.sleep(_PAUSE)


def _reap(others: set[int]) -> None:
    """Orphans that have ended."""
    for pid in _find_children(os.getpid()):
        if pid not in others:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _find_below(pid: int, others: set[int]) -> set[int]:
    """The processes below one that still run."""
    found: set[int] = set()
    for child in _find_children(pid):
        if child in others:
            continue
        found |= _find_below(child, others)
        if not _has_ended(child):
            found.add(child)
    return found


def _has_ended(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return True


def _find_children(pid: int) -> list[int]:
    """See proc_pid_task_tid_children(5)."""
    found: list[int] = []
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += map(int, file.read().split())
    return found
