# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reading rpm's database in SQLite: the headers of installed packages.

A row of the table ``Packages`` holds a header as rpm's file format has it (rpm's
``docs/manual/format_header.md``), without the magic number before it::

    count of index entries, size of the data     4 bytes each, big-endian
    index entries: tag, type, offset, count      4 bytes each, big-endian
    the data                                     strings end in a NUL byte, numbers are big-endian
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ostreefs_store.comparing.packages import Package
from ostreefs_store.errors import PackageDatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH = 1000, 1001, 1002, 1003, 1022
_INT32, _STRING, _I18N = 4, 6, 9
_TEXT = {_NAME, _VERSION, _RELEASE, _ARCH}
_KEYS = "gpg-pubkey"
"""What rpm calls the keys that it was told to trust; no packages."""


def read_rpmdb(path: str) -> Iterator[Package]:
    """The packages in a database file, which is only read. Raises `PackageDatabaseError`."""
    import sqlite3  # noqa: PLC0415 -- only for trees of rpm-based systems

    try:
        # Nobody writes there: no locks, and no log beside the file to look for.
        connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
        try:
            for (blob,) in connection.execute("SELECT blob FROM Packages"):
                package = parse_header(bytes(blob))
                if package.name != _KEYS:
                    yield package
        finally:
            connection.close()
    except (sqlite3.Error, TypeError) as error:
        raise PackageDatabaseError("rpm", str(error)) from None


def parse_header(blob: bytes) -> Package:
    """The package of a header. Raises `PackageDatabaseError`."""
    try:
        count, size = struct.unpack_from(">II", blob)
        data = blob[8 + 16 * count :][:size]
        entries = struct.iter_unpack(">IIII", blob[8 : 8 + 16 * count])
        found = {
            tag: _read(data, kind, offset)
            for tag, kind, offset, _ in entries
            if tag in _TEXT or tag == _EPOCH
        }
        version = f"{found[_VERSION]}-{found[_RELEASE]}"
        epoch = int(found.get(_EPOCH, "0"))
        return Package(
            found[_NAME], found.get(_ARCH, ""), f"{epoch}:{version}" if epoch else version
        )
    except (struct.error, ValueError, KeyError) as error:
        raise PackageDatabaseError("rpm", f"malformed header: {error!r}") from None


def _read(data: bytes, kind: int, offset: int) -> str:
    if kind == _INT32:
        number: int = struct.unpack_from(">I", data, offset)[0]
        return str(number)
    if kind not in {_STRING, _I18N}:
        raise ValueError(kind)
    return data[offset : data.index(b"\0", offset)].decode("utf-8", "surrogateescape")
