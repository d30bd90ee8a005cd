# SPDX-License-Identifier: LGPL-2.1-or-later
"""Telling a supervisor how we are, as sd_notify(3) does."""

from __future__ import annotations

import logging
import os
import socket

log = logging.getLogger(__name__)

_VARIABLE = "NOTIFY_SOCKET"


def notify(*assignments: str) -> bool:
    """Send ``NAME=VALUE`` lines, such as ``READY=1``, to whoever supervises this process.

    Whether there is anybody who wants to know. A failure is logged and is no reason to end.
    """
    name = os.environ.get(_VARIABLE)
    if not name:
        return False
    address = os.fsencode(name)
    if address[:1] == b"@":
        address = b"\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.connect(address)
            sender.sendall("\n".join(assignments).encode())
    except OSError as error:
        log.warning("cannot tell %s=%s: %s", _VARIABLE, name, error)
        return False
    return True
