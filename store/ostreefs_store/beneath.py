# SPDX-License-Identifier: LGPL-2.1-or-later
"""Opening directories beneath another one, however long the path; what they lie on."""

from __future__ import annotations

import os
from contextlib import contextmanager
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
