# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which writable mounts there are, and what those that died have left.

Each has a directory of its own, that only its user may enter::

    /var/tmp/ostreefs-rw-XXXXXXXX/
      lower/      where the commit is mounted at first
      upper/ work/                    unless the user has named an upper directory
      served      locked (flock(2)) by the process that serves the commit
      mount.json  what lies over it: a `Record`

The directory itself is locked as well, by all who need it: that process, the command that mounts,
and fuse-overlayfs(1), which inherits the lock. So whatever dies how, what is locked by nobody and
mounted nowhere is rubbish. The kernel drops the locks; no process ids are kept.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.fuse.mounts import (
    SCRATCH_FSTYPE,
    SCRATCH_SOURCE,
    Mount,
    errno_of_statfs,
    iter_mounts,
    take_down,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_TEMPORARY = Path("/var/tmp")  # noqa: S108 -- survives a reboot, and is large; mkdtemp makes it ours
_PREFIX = "ostreefs-rw-"
_RECORD = "mount.json"
_SERVED = "served"
_INTERVAL = 0.01


class Record(NamedTuple):
    """A writable mount, as ``mount.json`` has it."""

    target: str
    """Where it is mounted."""
    device: str
    """The ``MAJOR:MINOR`` of the overlay, as mountinfo has it."""
    source: str
    """What is below, ``REPO#REV``."""
    lower_device: str
    """The ``MAJOR:MINOR`` of the mount below, which is nowhere to be seen any more."""


def is_writable(mount: Mount) -> bool:
    """Whether a mount looks like a writable layer; one of fuse-overlayfs may be anybody's."""
    return mount.source == SCRATCH_SOURCE or mount.fstype == SCRATCH_FSTYPE


def make_base() -> tuple[Path, int]:
    """A new directory for a mount, and a descriptor that has it locked."""
    while True:
        base = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_TEMPORARY))
        fd = _open(base)
        fcntl.flock(fd, fcntl.LOCK_SH)
        if os.fstat(fd).st_nlink:  # else somebody has swept it away before it was locked
            return base, fd
        os.close(fd)


def hold(base: Path) -> None:
    """Lock the directory of a mount that this process serves, until the process ends."""
    fcntl.flock(_open(base), fcntl.LOCK_SH)
    served = os.open(base / _SERVED, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(served, fcntl.LOCK_EX)


def _open(base: Path) -> int:
    return os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def write_record(base: Path, overlay: Mount, lower: Mount) -> None:
    """Note what was mounted over what, for whoever lists mounts."""
    import json  # noqa: PLC0415 -- not needed for other mounts

    record = Record(overlay.target, overlay.device, lower.source, lower.device)
    temporary = base / f".{_RECORD}"
    temporary.write_text(json.dumps(record._asdict()))
    temporary.rename(base / _RECORD)


def read_record(base: Path) -> Record | None:
    """What lies over a mount; None where nothing does yet."""
    import json  # noqa: PLC0415 -- see above

    try:
        return Record(**json.loads((base / _RECORD).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def find_overlay(record: Record) -> Mount | None:
    """The mount that a record is about, if it is there still."""
    for mount in iter_mounts():
        if (mount.target, mount.device) == (record.target, record.device) and is_writable(mount):
            return mount
    return None


def find_record(mount: Mount) -> tuple[Path, Record] | None:
    """The directory and the record of a writable mount, where we may read them.

    Only what belongs to whoever made the mount is believed.
    """
    for base in _iter_bases(mount.owner):
        try:
            record = read_record(base)
        except OSError:
            continue
        if record is not None and (record.target, record.device) == (mount.target, mount.device):
            return base, record
    return None


def is_served(base: Path) -> bool:
    """Whether the process that serves the commit below lives."""
    try:
        fd = os.open(base / _SERVED, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(fd)
    finally:
        os.close(fd)


def is_dead(mount: Mount, base: Path, patience: float) -> bool:
    """Whether a writable mount is left over: one of its two parts has died."""
    if not is_served(base):
        return True
    return mount.fstype == SCRATCH_FSTYPE and errno_of_statfs(mount, patience) == errno.ENOTCONN


def sweep() -> None:
    """Delete what this user's writable mounts have left that died and are mounted no more."""
    for base in _iter_bases(os.geteuid()):
        discard(base, 0)


def discard(base: Path, seconds: float) -> None:
    """Delete what a mount has left that was dead and is taken down.

    Its fuse-overlayfs, if it lives, ends in a moment; after so many seconds the next `sweep` is
    left to do it.
    """
    deadline = time.monotonic() + seconds
    with suppress(OSError):
        fd = _open(base)
        try:
            while not (is_free := _try_lock(fd)) and time.monotonic() < deadline:
                time.sleep(_INTERVAL)
            if is_free:
                _sweep_one(base)
        finally:
            os.close(fd)


def _sweep_one(base: Path) -> None:
    record = read_record(base)
    if record is not None and find_overlay(record) is not None:
        return
    for mount in reversed(list(iter_mounts())):
        if mount.target.startswith(f"{base}/"):
            take_down(mount, lazy=True)
    shutil.rmtree(base, ignore_errors=True)


def _iter_bases(owner: int) -> Iterator[Path]:
    """The directories of a user's writable mounts."""
    for name in os.listdir(_TEMPORARY):
        if name.startswith(_PREFIX):
            path = _TEMPORARY / name
            with suppress(OSError):
                found = path.lstat()
                if stat.S_ISDIR(found.st_mode) and found.st_uid == owner:
                    yield path


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
