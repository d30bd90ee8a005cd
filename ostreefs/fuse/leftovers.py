# SPDX-License-Identifier: LGPL-2.1-or-later
"""Mounts whose processes have died: recognised, taken down, and cleaned up after."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from ostreefs.fuse.mounts import (
    FSTYPE,
    SCRATCH_SOURCE,
    Mount,
    errno_of_listing,
    errno_of_statfs,
    find_mount,
    take_down,
    unmount,
)
from ostreefs.fuse.writable import discard, find_record, is_dead, is_writable

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE = 5.0
"""Seconds after which whoever does not answer is not waited for."""
_MOMENT = 10.0
"""Seconds in which fuse-overlayfs ends after its mount is gone."""


def detach_dead(path: Path) -> list[Mount]:
    """Take away what daemons that died have left at a mount point; what that was."""
    detached: list[Mount] = []
    while True:
        mount = find_mount(path)
        if mount is None or not _is_left_over(mount):
            return detached
        base = _find_dead_base(mount)
        take_down(mount, lazy=True)
        if base is not None:
            discard(base, _MOMENT)
        detached.append(mount)


def unmount_and_clean_up(path: Path, *, lazy: bool) -> None:
    """Take down an ostreefs mount; of one that had died, delete what it has left as well.

    Raises `MountError` when there is none at the path, or when it is in use.
    """
    mount = find_mount(path)
    base = None if mount is None else _find_dead_base(mount)
    unmount(path, lazy=lazy)
    if base is not None:
        discard(base, _MOMENT)


def _is_left_over(mount: Mount) -> bool:
    if mount.fstype == FSTYPE:
        return errno_of_statfs(mount, _PATIENCE) == errno.ENOTCONN
    if _find_dead_base(mount) is not None:
        return True
    return mount.source == SCRATCH_SOURCE and errno_of_listing(mount, _PATIENCE) == errno.ENOTCONN


def _find_dead_base(mount: Mount) -> Path | None:
    """The directory of a writable mount of ours of which a part has died."""
    found = find_record(mount) if is_writable(mount) else None
    return found[0] if found is not None and is_dead(mount, found[0], _PATIENCE) else None
