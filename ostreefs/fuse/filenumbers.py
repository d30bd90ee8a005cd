# SPDX-License-Identifier: LGPL-2.1-or-later
"""The numbers (inode numbers) of file objects, and what stat(2) shows of them.

A file object's number is its `file_number` with bit 62 set, so that the same object is the same
inode in every commit, and the index finds it again. Objects that share their `file_number` with
another one get numbers with bit 61, which hold as long as the mount. Lower ones are for others.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from ostreefs.fuse.nodes import Attributes, StaleError
from ostreefs_store.codec import read_file, read_files
from ostreefs_store.index import FILE_NUMBER_BITS, file_number
from ostreefs_store.model import File, RegularFile, file_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from ostreefs_store.index import Snapshot
    from ostreefs_store.model import Digest

_FILE_BIT = 1 << FILE_NUMBER_BITS
_COLLIDED_BIT = 1 << (FILE_NUMBER_BITS - 1)
_EITHER = _FILE_BIT | _COLLIDED_BIT

NODE_NUMBERS = _COLLIDED_BIT - 1
"""A mask of the numbers that no file object has."""

_new = tuple.__new__


def is_of_file(number: int) -> bool:
    """Whether a number is one that file objects have."""
    return number & _EITHER != 0


class FileNumbers:
    """Gives file objects their numbers, and finds them again."""

    def __init__(self) -> None:
        self._collided: dict[Digest, int] = {}
        self._digests: dict[int, Digest] = {}

    def find(self, snapshot: Snapshot, number: int) -> tuple[Digest, File]:
        """The file object with a number. Raises `StaleError`."""
        if number & _COLLIDED_BIT and not number & _FILE_BIT:
            digest = self._digests.get(number)
            encoded = None if digest is None else snapshot.find_file(digest)
            found = None if digest is None or encoded is None else (digest, encoded)
        elif number >> FILE_NUMBER_BITS != 1:
            found = None  # a server of NFS passes on whatever its clients make up
        else:
            found = snapshot.find_by_number(number ^ _FILE_BIT)
            if found is not None and snapshot.has_collision(found[0]):
                found = None  # given before there were two: the name leads to a number of its own
        if found is None:
            raise StaleError(number)
        return found[0], read_file(found[1])

    def giver(self, snapshot: Snapshot) -> Callable[[Digest], int]:
        """What gives the file objects of a snapshot their numbers."""
        if snapshot.collision_count() == 0:
            return _own_number

        def number(digest: Digest) -> int:
            if snapshot.has_collision(digest):
                return self._collided_number(digest)
            return _own_number(digest)

        return number

    def _collided_number(self, digest: Digest) -> int:
        number = self._collided.get(digest)
        if number is None:
            number = _COLLIDED_BIT | len(self._collided)
            self._collided[digest] = number
            self._digests[number] = digest
        return number


def _own_number(digest: Digest) -> int:
    return file_number(digest) | _FILE_BIT


def find_files(snapshot: Snapshot, digests: list[Digest]) -> dict[bytes, File]:
    """Those of the file objects that exist, by digest."""
    encoded = snapshot.find_files(digests)
    return dict(zip(encoded, read_files([*encoded.values()]), strict=True))


def file_attributes(number: int, file: File) -> Attributes:
    """What stat(2) shows of a file object."""
    if type(file) is RegularFile:
        mode = stat.S_IFREG | file.mode
        # Most are, and the constructor of a named tuple takes three times as long.
        return _new(Attributes, (number, mode, file.uid, file.gid, file.size, 0, 0, True))
    mode = file_type(file) | file.mode
    size = len(getattr(file, "target", b""))
    major, minor = getattr(file, "major", 0), getattr(file, "minor", 0)
    return Attributes(number, mode, file.uid, file.gid, size, major, minor, fixed=True)
