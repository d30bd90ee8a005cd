# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian packages: the container of deb(5), and what its control archive says.

A package is an ar(5) archive of ``debian-binary``, ``control.tar`` and ``data.tar``, of which the
latter two may be compressed. A header of ar has 60 bytes: the name in 16, times and owners in 32,
the size in 10 decimal digits, and two that are always the same; each member begins at an even
place.
"""

from __future__ import annotations

import io
import os
import tarfile
from typing import IO, TYPE_CHECKING, NamedTuple, cast

from ostreefs.compose.control import Control, parse_control
from ostreefs.compose.errors import PackageError
from ostreefs_store.errors import ArchiveError
from ostreefs_store.tar.tarstream import open_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC = b"!<arch>\n"
_HEADER_SIZE = 60
_HEADER_END = b"`\n"
_CONTROL_MAX = 64 << 20
_SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "config", "triggers")


class Deb(NamedTuple):
    """A package: its control fields, the files beside them, and the archive of what it installs.

    `info` are the other files of the control archive by name, with their permission bits.
    """

    control: Control
    info: dict[str, tuple[int, bytes]]
    data: IO[bytes]

    @property
    def scripts(self) -> tuple[str, ...]:
        """The maintainer scripts that it brings, and its triggers, which run those of others."""
        return tuple(name for name in _SCRIPTS if name in self.info)


def read_deb(file: IO[bytes], path: str) -> Deb:
    """Read a package from an unbuffered file that stays open; `data` is read from it later.

    Raises `PackageError`, and `ArchiveError` for a control archive that is damaged.
    """
    members = dict(_iter_members(file, path))
    if not any(name.startswith("debian-binary") for name in members):
        raise PackageError(path, "it is no Debian package", hint=_other_kind(file))
    found: dict[str, Section] = {}
    for part in ("control.tar", "data.tar"):
        names = [name for name in members if name == part or name.startswith(part + ".")]
        if not names:
            raise PackageError(path, f"it has no {part}")
        found[part] = members[names[0]]
    try:
        info = dict(_iter_control(found["control.tar"]))
    except ArchiveError as error:
        raise ArchiveError(f"control.tar: {error.detail}", archive=path) from None
    if "control" not in info:
        raise PackageError(path, "its control.tar has no file 'control'")
    control = parse_control(info.pop("control")[1], path)
    return Deb(control, info, cast("IO[bytes]", found["data.tar"]))


class Section(io.RawIOBase):
    """Some bytes of a file, read from front to back."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self._file = file
        self._position = start
        self._end = start + size

    def readable(self) -> bool:
        """It can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes."""
        rest = self._end - self._position
        data = os.pread(self._file.fileno(), rest if size < 0 else min(size, rest), self._position)
        self._position += len(data)
        return data


def _iter_members(file: IO[bytes], path: str) -> Iterator[tuple[str, Section]]:
    size = os.fstat(file.fileno()).st_size
    if os.pread(file.fileno(), len(_MAGIC), 0) != _MAGIC:
        raise PackageError(path, "it is no Debian package", hint=_other_kind(file))
    position = len(_MAGIC)
    while position < size:
        header = os.pread(file.fileno(), _HEADER_SIZE, position)
        position += _HEADER_SIZE
        digits = header[48:58].strip()
        if header[58:] != _HEADER_END or not digits.isdigit():
            raise PackageError(path, f"it is damaged before byte {position}")
        count = int(digits)
        if position + count > size:
            raise PackageError(
                path, f"it was cut off: {position + count - size} bytes are missing"
            )
        name = header[:16].decode("ascii", "replace").strip().rstrip("/")
        yield name, Section(file, position, count)
        position += count + count % 2


def _other_kind(file: IO[bytes]) -> str:
    start = os.pread(file.fileno(), 8, 0)
    if start.startswith(b"\xed\xab\xee\xdb"):
        return "it is an rpm: use --rpm"
    return "--deb takes files as 'apt-get download' or 'dpkg-deb --build' make them"


def _iter_control(section: Section) -> Iterator[tuple[str, tuple[int, bytes]]]:
    """The regular files of a control archive, by name."""
    with open_stream(cast("IO[bytes]", section)) as stream:
        pieces = []
        left = _CONTROL_MAX
        while left > 0 and (piece := stream.read_some(left)):
            pieces.append(bytes(piece))
            left -= len(piece)
    try:
        with tarfile.open(fileobj=io.BytesIO(b"".join(pieces)), mode="r:") as archive:
            for info in archive:
                name = info.name.removeprefix("./")
                opened = archive.extractfile(info) if info.isreg() else None
                if opened is not None and "/" not in name:
                    yield name, (info.mode & 0o777, opened.read())
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise ArchiveError(str(error)) from None
