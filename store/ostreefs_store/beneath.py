# SPDX-License-Identifier: LGPL-2.1-or-later
"""Opening and deleting what is beneath a directory, however long the path; what it lies on."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def open_beneath(root_fd: int, path: bytes) -> Iterator[int]:
    """A descriptor of the directory `path` (relative, empty for the root) for a `with` block.

    Goes one component at a time, since O_NOFOLLOW guards the last one alone. Raises `OSError`,
    NotADirectoryError for a symbolic link on the way.
    """
    if not path:
        yield root_fd
        return
    fd = root_fd
    try:
        for name in path.split(b"/"):
            following = os.open(name, DIRECTORY_FLAGS, dir_fd=fd)
            if fd != root_fd:
                os.close(fd)
            fd = following
        yield fd
    finally:
        if fd != root_fd:
            os.close(fd)


def remove_beneath(dir_fd: int, name: bytes) -> None:
    """Delete a file, or a directory with all that is in it; no symbolic link is followed.

    Harmless when there is nothing of that name. No tree is too deep for it, as far as descriptors
    reach.
    """
    try:
        found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(name, dir_fd=dir_fd)
        return
    opened: list[tuple[int, bytes, list[bytes]]] = []
    try:
        opened.append(_emptied(dir_fd, name))
        while opened:
            fd, own, below = opened[-1]
            if below:
                opened.append(_emptied(fd, below.pop()))
                continue
            opened.pop()
            os.close(fd)
            os.rmdir(own, dir_fd=opened[-1][0] if opened else dir_fd)
    finally:
        for fd, _, _ in opened:
            os.close(fd)


def _emptied(dir_fd: int, name: bytes) -> tuple[int, bytes, list[bytes]]:
    """Open a directory and delete its files: descriptor, name, names of its directories."""
    fd = os.open(name, DIRECTORY_FLAGS, dir_fd=dir_fd)
    try:
        below: list[bytes] = []
        with os.scandir(fd) as listing:
            for entry in listing:
                if entry.is_dir(follow_symlinks=False):
                    below.append(os.fsencode(entry.name))
                else:
                    with suppress(FileNotFoundError):
                        os.unlink(entry.name, dir_fd=fd)
    except BaseException:
        os.close(fd)
        raise
    return fd, name, below


def find_fstype(fd: int) -> str | None:
    """The type of the filesystem that a file lies on, as mount(8) names it."""
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as lines:
        fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    mount = fields.get("mnt_id", "").strip()
    with open("/proc/self/mountinfo", "rb") as table:
        for row in table:
            before, _, after = row.partition(b" - ")
            if before.split(b" ", 1)[0].decode() == mount:
                return after.split(b" ", 1)[0].decode("ascii", "replace")
    return None
