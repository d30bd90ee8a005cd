# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keeping what commands print, while it is printed."""

from __future__ import annotations

import os
import select
import signal
import sys
from contextlib import contextmanager, suppress
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = 16 << 10
TAIL = 48 << 10
"""Bytes that are kept of the beginning and of the end."""

_PIECE = 64 << 10


class Recording:
    """What was printed; of much the beginning and the end."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0

    def add(self, data: bytes) -> None:
        """Keep it, as far as there is room."""
        room = HEAD - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        surplus = len(self._tail) - TAIL
        if surplus > 0:
            del self._tail[:surplus]
            self._left_out += surplus

    @property
    def output(self) -> bytes:
        """What was kept."""
        gap = b"\n[... %d bytes are left out here ...]\n" % self._left_out
        return bytes(self._head) + (gap if self._left_out else b"") + bytes(self._tail)


@contextmanager
def recording(echo: int | None) -> Iterator[Recording]:
    """Record what this process and its children write to stdout and stderr during the block.

    It is passed on at once to what stdout (1) or stderr (2) was before, as `echo` says. What
    processes write that outlive the block is not recorded, and not waited for.
    """
    kept = Recording()
    reading, writing = os.pipe()
    ending, end = os.pipe()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    saved = [os.dup(fd) for fd in (1, 2)]
    target = None if echo is None else saved[echo - 1]
    thread = Thread(target=_pass_on, args=(reading, ending, kept, target), daemon=True)
    try:
        _start_undisturbed(thread)
        for fd in (1, 2):
            os.dup2(writing, fd)
        os.close(writing)
        yield kept
    finally:
        for fd, original in zip((1, 2), saved, strict=True):
            os.dup2(original, fd)
        os.close(end)
        thread.join()
        for fd in (*saved, reading, ending):
            os.close(fd)


def _start_undisturbed(thread: Thread) -> None:
    """Start a thread that gets no signals: those are for whoever waits for the command."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _pass_on(reading: int, ending: int, kept: Recording, target: int | None) -> None:
    os.set_blocking(reading, False)
    while True:
        ready, _, _ = select.select([reading, ending], [], [])
        try:
            data = os.read(reading, _PIECE)
        except BlockingIOError:
            data = b""
        if not data and (ending in ready or reading in ready):
            return
        kept.add(data)
        if target is not None:
            with suppress(OSError):  # nobody looks any more
                _write(target, data)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
