# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reading rpm's database in SQLite: the headers of installed packages.

A row of the table ``Packages`` holds a header as `rpmheader` reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs_store.comparing.packages import Package
from ostreefs_store.comparing.rpmheader import parse_tags
from ostreefs_store.errors import PackageDatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH = 1000, 1001, 1002, 1003, 1022
_TAGS = {_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH}
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
        found = {tag: _text(value[0]) for tag, value in parse_tags(blob, _TAGS).items()}
        version = f"{found[_VERSION]}-{found[_RELEASE]}"
        epoch = int(found.get(_EPOCH, "0"))
        return Package(
            found[_NAME], found.get(_ARCH, ""), f"{epoch}:{version}" if epoch else version
        )
    except (ValueError, KeyError, IndexError) as error:
        raise PackageDatabaseError("rpm", f"malformed header: {error!r}") from None


def _text(value: int | bytes) -> str:
    return str(value) if isinstance(value, int) else value.decode("utf-8", "surrogateescape")
