# SPDX-License-Identifier: LGPL-2.1-or-later
"""Private directories for what lasts as long as a process: a mount, an overlay.

They lie in the user's runtime directory, which nobody else may write::

    $XDG_RUNTIME_DIR/ostreefs/, or /run/ostreefs/ for root, or /tmp/ostreefs-UID/
        ROOM/           locked, flock(2), by every process that uses it
            tree/       where a commit is mounted, and so on: mount points alone

A room that nobody holds the lock of is the rest of processes that were killed all at once. The
next one that makes a room takes it away, with what is still mounted there.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ostreefs.fuse.mounts import MountError, iter_mounts, unmount

if TYPE_CHECKING:
    from collections.abc import Iterator

_PASSABLE = 0o711
"""Others may pass through to what they are shown, where they know its name."""
_CLOSED = 0o700


class Room:
    """A directory that is ours for as long as somebody keeps `lock` open."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self.lock = lock

    def make(self, name: str) -> Path:
        """A new mount point."""
        place = self.path / name
        place.mkdir(_CLOSED)
        return place

    def remove(self) -> None:
        """Take down what is mounted in the room, and delete it; nothing where that was done."""
        _remove(self.path)

    def leave(self) -> None:
        """Give the lock back, as far as this process has it."""
        os.close(self.lock)


def make_room() -> Room:
    """A new room, and those that nobody uses taken away. Raises `MountError`, `OSError`."""
    hall = _open_hall()
    with _locked(hall):
        _sweep(hall)
        path = hall / os.urandom(8).hex()
        path.mkdir(_CLOSED)
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return Room(path, lock)


def let_others_pass(place: Path) -> None:
    """Let other users reach what is mounted at a place in a room, as far as it lets them in."""
    place.parent.chmod(_PASSABLE)


def _open_hall() -> Path:
    """The directory of all rooms of this user, made where it is missing."""
    hall = _choose_hall()
    with suppress(FileExistsError):
        hall.mkdir(_PASSABLE)
    found = hall.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise MountError(
            f"{hall} is not a directory that you alone may write",
            hint="remove it, or set XDG_RUNTIME_DIR to a directory of yours",
        )
    return hall


def _choose_hall() -> Path:
    user = os.geteuid()
    runtime = "/run" if user == 0 else os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/") and os.access(runtime, os.W_OK | os.X_OK):
        return Path(runtime, "ostreefs")
    return Path(f"/tmp/ostreefs-{user}")  # noqa: S108 -- looked at before it is used


def _sweep(hall: Path) -> None:
    """Remove the rooms that nobody holds the lock of."""
    for name in os.listdir(hall):
        path = hall / name
        with suppress(OSError, MountError), _locked(path, fcntl.LOCK_NB):
            _remove(path)


@contextmanager
def _locked(path: Path, flags: int = 0) -> Iterator[None]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | flags)
        yield
    finally:
        os.close(fd)


def _remove(path: Path) -> None:
    inside = f"{path.resolve()}/"
    for mount in reversed([mount for mount in iter_mounts() if mount.target.startswith(inside)]):
        with suppress(MountError):  # somebody was faster
            unmount(Path(mount.target), lazy=True)
    with suppress(FileNotFoundError):
        for name in os.listdir(path):
            with suppress(OSError):  # still a mount point, of a mount that we may not take down
                os.rmdir(path / name)
        with suppress(OSError):
            os.rmdir(path)
