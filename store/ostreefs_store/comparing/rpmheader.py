# SPDX-License-Identifier: LGPL-2.1-or-later
"""Headers of rpm packages, in files and in rpm's database. Pure.

The format is that of rpm's ``docs/manual/format_header.md``, without the magic number before it::

    count of index entries, size of the data     4 bytes each, big-endian
    index entries: tag, type, offset, count      4 bytes each, big-endian
    the data                                     strings end in a NUL byte, numbers are big-endian
"""

from __future__ import annotations

import struct

_SIZES = {1: "B", 2: "B", 3: "H", 4: "I", 5: "Q"}
_STRING, _STRINGS, _I18N = 6, 8, 9

Value = tuple[int, ...] | tuple[bytes, ...]
"""What a tag says: numbers, or strings. Bytes without any form are not read."""


def parse_tags(header: bytes, wanted: set[int]) -> dict[int, Value]:
    """Those of the tags that a header has. Raises `ValueError` for one that is malformed."""
    try:
        count, size = struct.unpack_from(">II", header)
        data = header[8 + 16 * count :][:size]
        entries = struct.iter_unpack(">IIII", header[8 : 8 + 16 * count])
        return {
            tag: _read(data, kind, offset, number)
            for tag, kind, offset, number in entries
            if tag in wanted
        }
    except struct.error as error:
        raise ValueError(f"malformed header: {error}") from None


def _read(data: bytes, kind: int, offset: int, count: int) -> Value:
    if kind in _SIZES:
        return struct.unpack_from(f">{count}{_SIZES[kind]}", data, offset)
    if kind not in {_STRING, _STRINGS, _I18N}:
        raise ValueError(f"malformed header: type {kind}")
    found = data[offset:].split(b"\0", count)
    if len(found) <= count:
        raise ValueError("malformed header: a string has no end")
    return tuple(found[:count])
