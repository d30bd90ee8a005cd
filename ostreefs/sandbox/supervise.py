# SPDX-License-Identifier: LGPL-2.1-or-later
"""bwrap(1) as a process of ours: started, sent signals through, waited for.

These processes there are::

    we --- bwrap --- first process inside --- the command
                     (reaps orphans)

All are in our process group, so what is typed at the terminal reaches the command without us. It
reaches bwrap(1) as well, and ends it, at ^C for instance; then the first process inside becomes
our child (PR_SET_CHILD_SUBREAPER), and tells the command's exit status in its place.
"""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.fuse.daemon import close_all_but

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_FORWARDED = frozenset(
    {
        *(signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP),
        *(signal.SIGUSR1, signal.SIGUSR2),
    }
)
_WAITED_FOR = _FORWARDED | {signal.SIGCHLD}
_PR_SET_CHILD_SUBREAPER = 36
_CHILD = re.compile(rb'"child-pid": *([0-9]+)')
_EXIT = re.compile(rb'"exit-code": *([0-9]+)')


class Program(NamedTuple):
    """What is to be executed."""

    path: str
    words: list[str]
    environment: Mapping[str, str]
    streams: tuple[int, int, int] = (0, 1, 2)
    keep: frozenset[int] = frozenset()
    """Descriptors that it gets besides."""
    become: Callable[[], None] | None = None
    """Called in the new process, to change who it is."""


def run_supervised(
    program: Program,
    status: int,
    started: Callable[[], None],
    heard: Callable[[int], object] | None = None,
) -> int | None:
    """Run bwrap(1) to its end; the command's exit status, None where it was never started.

    `status` is the descriptor where it says what happens (``--json-status-fd``), `started` is
    called once the process is there. Signals that come meanwhile are for the command, and `heard`
    is told; the terminal is ours again afterwards.
    """
    foreground = _find_foreground()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED_FOR)
    try:
        process = _start(program, before)
        adopt_orphans(True)
        started()
        return _Supervisor(process, status, heard).run()
    finally:
        adopt_orphans(False)
        if foreground is not None:
            _take_terminal(foreground)
        while (late := signal.sigtimedwait(_WAITED_FOR, 0)) is not None:
            if heard is not None and late.si_signo in _FORWARDED:  # it was for the command
                heard(late.si_signo)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(program: Program, mask: set[signal.Signals | int]) -> int:
    child = os.fork()
    if child != 0:
        return child
    try:
        streams = [os.dup(fd) for fd in program.streams]
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
        close_all_but(program.keep)
        for fd in program.keep:
            os.set_inheritable(fd, True)
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python
            signal.signal(ignored, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if program.become is not None:
            program.become()
        os.execve(program.path, program.words, program.environment)  # noqa: S606 -- none is wanted
    finally:
        os._exit(1)


class _Supervisor:
    def __init__(self, process: int, status: int, heard: Callable[[int], object] | None) -> None:
        self._process = process
        self._status = status
        self._heard = heard
        self._said = b""
        os.set_blocking(status, False)

    def run(self) -> int | None:
        aborted_by = None
        while True:
            code = self._find_end()
            if code is not None:
                break
            signal_info = signal.sigwaitinfo(_WAITED_FOR)
            if self._heard is not None and signal_info.si_signo in _FORWARDED:
                self._heard(signal_info.si_signo)
            is_typed = signal_info.si_code > 0  # by the kernel, to all at the terminal
            if signal_info.si_signo in _FORWARDED and not is_typed:
                aborted_by = self._forward(signal_info.si_signo) or aborted_by
        if aborted_by is not None:
            return 128 + aborted_by
        if code < 0:
            return self._wait_for_orphan(-code)
        return code if self._read(_EXIT) is not None else None

    def _find_end(self) -> int | None:
        pid, status = os.waitpid(self._process, os.WNOHANG)
        return None if pid == 0 else os.waitstatus_to_exitcode(status)

    def _forward(self, number: int) -> int | None:
        """Send a signal to the command; where there is none yet, end, and return the signal."""
        first = self._read(_CHILD)
        command = None if first is None else _find_child(first)
        if command is not None:
            with suppress(ProcessLookupError):
                os.kill(command, number)
            return None
        for pid in (first, self._process):
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return number

    def _wait_for_orphan(self, number: int) -> int:
        """The exit status after bwrap(1) has died of a signal."""
        first = self._read(_CHILD)
        if first is not None:
            with suppress(ChildProcessError):
                _, status = os.waitpid(first, 0)
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
        return 128 + number

    def _read(self, pattern: re.Pattern[bytes]) -> int | None:
        """A number of what bwrap(1) has said by now."""
        with suppress(BlockingIOError):
            while piece := os.read(self._status, 4096):
                self._said += piece
        found = pattern.search(self._said)
        return int(found[1]) if found else None


def _find_child(pid: int) -> int | None:
    """The oldest child of a process, see proc_pid_task_tid_children(5)."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            children = file.read().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def adopt_orphans(yes: bool) -> None:
    """Whether processes whose parent has ended become our children, if we have started that."""
    import ctypes  # noqa: PLC0415 -- while bwrap(1) starts

    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0)


def _find_foreground() -> tuple[int, int] | None:
    """The terminal, if we are the ones to whom it listens: its descriptor, and our group."""
    for fd in (0, 1, 2):
        with suppress(OSError):
            if os.tcgetpgrp(fd) == os.getpgrp():
                return fd, os.getpgrp()
    return None


def _take_terminal(foreground: tuple[int, int]) -> None:
    """A shell inside may have made itself the one to whom the terminal listens, and died so."""
    fd, group = foreground
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    with suppress(OSError):
        os.tcsetpgrp(fd, group)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
