# SPDX-License-Identifier: LGPL-2.1-or-later
"""Requests as the kernel makes them, and answers as it gets them, without a mount."""

import struct

from ostreefs.fuse.operations import Later
from ostreefs.fuse.protocol import REQUEST
from ostreefs.fuse.requests import Requests


def format_request(
    kind: int, node: int, body: bytes = b"", *, number: int = 2, user: int = 0
) -> bytes:
    """A whole request."""
    return REQUEST.pack(REQUEST.size + len(body), kind, number, node, user, 0, 0, 0, 0) + body


def ask(requests: Requests, kind: int, node: int, body: bytes = b"") -> bytes:
    """The payload of the answer, waited for; raises what the handler raises."""
    payload = requests.handlers[kind](node, format_request(kind, node, body))
    if isinstance(payload, Later):
        payload = payload.now()
    return b"" if payload is None else bytes(payload)


def parse_listed(listed: bytes) -> list[tuple[bytes, int]]:
    """The names in an answer to READDIRPLUS, and the positions after them."""
    found, start = [], 0
    while start < len(listed):
        position, length = struct.unpack_from("=QI", listed, start + 136)
        found.append((listed[start + 152 : start + 152 + length], position))
        start += 152 + length + -length % 8
    return found
