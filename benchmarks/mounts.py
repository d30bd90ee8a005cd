# SPDX-License-Identifier: LGPL-2.1-or-later
"""Mounts, ours and the peers': up before the clock, down after it, and their daemons' memory."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.machine import unmount_command
from benchmarks.measure import BenchmarkError, run_quietly

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.measure import Command

_PATIENCE = 30.0


@contextmanager
def unmounted_afterwards(mountpoint: Path) -> Iterator[None]:
    """Whatever the body mounts is unmounted, and its daemon is gone, when this is left."""
    try:
        yield
    finally:
        if os.path.ismount(mountpoint):
            daemons = find_daemons(mountpoint)
            _unmount(mountpoint)
            _wait_until_gone(daemons)


@contextmanager
def mounted(command: Command, mountpoint: Path) -> Iterator[Path]:
    """Mount with a command that returns when the mount can be used.

    Raises:
        BenchmarkError: The command failed, or nothing is mounted after it.
    """
    with unmounted_afterwards(mountpoint):
        run_quietly(*command)
        if not os.path.ismount(mountpoint):
            raise BenchmarkError(f"{os.fspath(command[0])} returned, but nothing is mounted")
        yield mountpoint


def resident_bytes(mountpoint: Path) -> int:
    """Resident memory (VmRSS) of the daemons behind a FUSE mount.

    Raises:
        BenchmarkError: There is none.
    """
    daemons = find_daemons(mountpoint)
    if not daemons:
        raise BenchmarkError(f"no daemon found for {mountpoint}")
    return sum(_resident(pid) for pid in daemons)


def find_daemons(mountpoint: Path) -> list[int]:
    """The processes that name a mount point on their command line and hold /dev/fuse open."""
    wanted = os.fsencode(mountpoint)
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _serves(entry, wanted)
    ]


def _serves(process: Path, mountpoint: bytes) -> bool:
    try:
        if mountpoint not in (process / "cmdline").read_bytes():
            return False
        return any(os.readlink(fd) == "/dev/fuse" for fd in (process / "fd").iterdir())
    except OSError:
        return False  # it ended, or a descriptor was closed, while we looked


def _resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise BenchmarkError(f"no VmRSS in the status of process {pid}")


def _unmount(mountpoint: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            run_quietly(*unmount_command(), mountpoint)
        except BenchmarkError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + _PATIENCE
    for pid in pids:
        while Path(f"/proc/{pid}").exists():
            if time.monotonic() > deadline:
                raise BenchmarkError(f"daemon {pid} did not end after its unmount")
            time.sleep(0.01)
