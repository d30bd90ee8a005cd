# SPDX-License-Identifier: LGPL-2.1-or-later
"""Talking to the process that serves a mount, without touching the mount.

Each mount listens on a Unix socket in the abstract namespace (unix(7)), which goes with the
process and leaves nothing behind. Its name is made of the mount's device number, which is unique
while the mount is there and stands in mountinfo. One line of JSON is asked, one answered::

    {"verb": "switch", "revision": "REV"}    {"commit": "<id>"} or {"error": "…", "hint": …}

Both sides look at who the other one is (SO_PEERCRED): the server answers root and its own user,
and the client believes root and whoever made the mount.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ostreefs.fuse.mounts import FSTYPE, Mount, MountError, find_mount
from ostreefs.fuse.writable import find_record, is_writable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINE_MAX = 65536
PATIENCE = 30.0
"""Seconds for an answer; a switch takes milliseconds."""

_CREDENTIALS = struct.Struct("3i")
"""struct ucred: process, user, group."""


def address(device: str) -> bytes:
    """The name of the socket of a mount, by its ``MAJOR:MINOR``."""
    return f"\0ostreefs-mount/{device}".encode()


class Peer(NamedTuple):
    """Who is at the other end of a Unix socket."""

    pid: int
    uid: int


def find_peer(connection: Any) -> Peer:
    """Who listens at the other end, or who has connected; the process as we number it."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(data)
    return Peer(pid, uid)


def ask(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Ask the process that serves the mount at a path.

    Raises `MountError` when there is no such mount or nobody answers, and with what it says when
    that is an error.
    """
    mount = find_mount(path)
    if mount is not None and is_writable(mount) and find_record(mount) is not None:
        raise MountError(
            f"{path} is a writable mount, which shows one commit for ever",
            hint="unmount it, and mount the other commit",
        )
    if mount is None or mount.fstype != FSTYPE:
        raise MountError(f"{path} is not a mount of ostreefs", hint="'ostreefs mount' makes one")
    try:
        line = _exchange(mount, json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(line)
    except (OSError, ValueError) as error:
        raise MountError(
            f"the process that serves {path} does not answer: {error}",
            hint=f"'ostreefs umount -l {path}' takes the mount down if it has died",
        ) from None
    if "error" in answer:
        raise MountError(answer["error"], hint=answer.get("hint"))
    return answer


def _exchange(mount: Mount, line: bytes) -> bytes:
    with connect(mount, PATIENCE) as connection:
        return exchange(connection, line)


@contextmanager
def connect(mount: Mount, patience: float) -> Iterator[socket.socket]:
    """A connection to the process that serves a mount; each step may take `patience` seconds.

    Raises `OSError`, and so where it is not a process of who made the mount.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(patience)
        connection.connect(address(mount.device))
        if find_peer(connection).uid not in {0, mount.owner}:
            raise ConnectionRefusedError("somebody else listens in its place")
        yield connection


def exchange(connection: socket.socket, line: bytes) -> bytes:
    """Send a line, and return the one that answers. Raises `OSError`."""
    connection.sendall(line)
    answer = b""
    while not answer.endswith(b"\n") and len(answer) < LINE_MAX:
        piece = connection.recv(LINE_MAX)
        if not piece:
            raise ConnectionResetError("it hung up")
        answer += piece
    return answer


def may_ask(uid: int) -> bool:
    """Whether the server answers a user."""
    return uid in {0, os.geteuid()}
