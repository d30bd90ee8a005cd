# SPDX-License-Identifier: LGPL-2.1-or-later
"""Opening directories beneath another one, however long the path."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_STEP = 4000
"""Bytes of a path that the kernel takes at once (PATH_MAX is 4096)."""

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def open_beneath(root_fd: int, path: bytes) -> Iterator[int]:
    """A descriptor of the directory `path` (relative, empty for the root) for a `with` block.

    No component that is longer than one step away may be a symbolic link; the callers made the
    directories themselves or have stated what they look for. Raises `OSError`.
    """
    if not path:
        yield root_fd
        return
    fd = root_fd
    try:
        while path:
            cut = path.rfind(b"/", 0, _STEP) if len(path) > _STEP else len(path)
            step, path = path[:cut], path[cut + 1 :]
            following = os.open(step, DIRECTORY_FLAGS, dir_fd=fd)
            if fd != root_fd:
                os.close(fd)
            fd = following
        yield fd
    finally:
        if fd != root_fd:
            os.close(fd)
