# SPDX-License-Identifier: LGPL-2.1-or-later
"""Directories on a disk for as long as a process needs them, whatever becomes of it.

Each is locked, flock(2), by the process that made it. One that nobody holds the lock of is the
rest of a process that was killed; the next one that makes one takes it away.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HALL = Path("/var/tmp")  # noqa: S108 -- large, and on a disk, as overlays want it; mkdtemp makes it ours
_PREFIX = "ostreefs-compose-"


@contextmanager
def scratch_directory(hall: Path = _HALL) -> Iterator[Path]:
    """A new directory, which is deleted after the block."""
    _sweep(hall)
    path, lock = _make(hall)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _make(hall: Path) -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=hall))
        with suppress(OSError):  # somebody who sweeps was faster
            return path, _lock(path)


def _sweep(hall: Path) -> None:
    for path in hall.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # in use, or somebody else's
            if path.lstat().st_uid == os.geteuid():
                lock = _lock(path)
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)


def _lock(path: Path) -> int:
    """Lock a directory that nobody has locked, and that is still there."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.stat(path)
    except OSError:
        os.close(fd)
        raise
    return fd
