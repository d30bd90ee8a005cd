# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the mounts of this machine show, and who serves them, without touching them.

The process that serves a mount says so itself (`control`). Where it is stopped or hangs, the
kernel still tells its number; where it has died, nobody listens any more.
"""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.fuse import control
from ostreefs.fuse.mounts import (
    FSTYPE,
    SCRATCH_SOURCE,
    Mount,
    errno_of_listing,
    errno_of_statfs,
    iter_mounts,
)
from ostreefs.fuse.writable import find_record, is_dead, is_writable

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

PATIENCE = 1.0
"""Seconds for an answer; what is asked takes a millisecond."""

RUNNING = "running"
DEAD = "dead"
HANGING = "hanging"
UNKNOWN = "unknown"
"""Nobody answers that we may ask: a mount of another network namespace, perhaps."""


class Status(NamedTuple):
    """A mount, and what is known of it."""

    mount: Mount
    state: str
    pid: int | None = None
    commit: str | None = None
    """Its id; None for all commits, or where we are not told."""
    since: int | None = None
    """Seconds since 1970."""


def iter_status(patience: float = PATIENCE) -> Iterator[Status]:
    """Every mount of ours that this process sees, writable ones included."""
    for mount in iter_mounts():
        if mount.fstype == FSTYPE:
            yield find_status(mount, patience)
        elif is_writable(mount):
            status = _find_writable_status(mount, patience)
            if status is not None:
                yield status


def find_status(mount: Mount, patience: float = PATIENCE) -> Status:
    """The status of one mount; takes no longer than a few times `patience` seconds."""
    try:
        with control.connect(mount, patience) as connection:
            return _ask(connection, mount)
    except OSError as error:
        if isinstance(error, TimeoutError):
            return Status(mount, HANGING)
        found = errno_of_statfs(mount, patience)
        if found == errno.ENOTCONN:
            return Status(mount, DEAD)
        return Status(mount, HANGING if found is None else UNKNOWN)


def _find_writable_status(mount: Mount, patience: float) -> Status | None:
    """That of a writable mount, who serves what is below included; None if it is not of ours."""
    found = find_record(mount)
    if found is None:
        if mount.source != SCRATCH_SOURCE:
            return None
        answer = errno_of_listing(mount, patience)
        state = {None: HANGING, 0: RUNNING, errno.ENOTCONN: DEAD}.get(answer, UNKNOWN)
        return Status(mount, state)
    base, record = found
    mount = mount._replace(source=record.source)
    if is_dead(mount, base, patience):
        return Status(mount, DEAD)
    try:
        with control.connect(mount._replace(device=record.lower_device), patience) as connection:
            status = _ask(connection, mount)
    except OSError as error:
        return Status(mount, HANGING if isinstance(error, TimeoutError) else UNKNOWN)
    if status.state == RUNNING and errno_of_statfs(mount, patience) is None:
        return status._replace(state=HANGING)
    return status


def _ask(connection: socket.socket, mount: Mount) -> Status:
    pid = control.find_peer(connection).pid or None  # 0: of another process namespace
    try:
        answer = json.loads(control.exchange(connection, b'{"verb": "status"}\n'))
    except TimeoutError:
        return Status(mount, HANGING, pid)
    except (OSError, ValueError):  # it may hang up on those to whom it says nothing
        return Status(mount, RUNNING, pid)
    return Status(mount, RUNNING, pid, answer.get("commit"), answer.get("since"))
