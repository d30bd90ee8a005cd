# SPDX-License-Identifier: LGPL-2.1-or-later
"""Object files that are open, and some that were open a moment ago.

Opening a file costs more than everything else that an open of a small file needs, so descriptors
are kept for a while when nobody uses them any more. A descriptor is used again only while the
object file is the one that was opened: whatever replaces, deletes or links a file changes the
number of its links, and whatever writes to it moves its ctime.
"""

from __future__ import annotations

import os
from collections import OrderedDict


class OpenFile:
    """An object file under a number, open once for all who have it open."""

    __slots__ = ("_was", "ahead", "fd", "number", "size", "users")

    def __init__(self, number: int, fd: int, size: int) -> None:
        self.number = number
        self.fd = fd
        self.size = size
        self.users = 1
        self.ahead: int | None = None
        """Up to where the disk has been asked for its content, None where it is not asked."""
        found = os.fstat(fd)
        self._was = found.st_nlink, found.st_ctime_ns

    def is_as_it_was(self) -> bool:
        """Whether nothing has happened to the inode since it was opened."""
        found = os.fstat(self.fd)
        return (found.st_nlink, found.st_ctime_ns) == self._was and found.st_size == self.size


class OpenFiles:
    """All of them; at most `limit` that nobody uses."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._known: dict[int, OpenFile] = {}
        self._unused: OrderedDict[int, OpenFile] = OrderedDict()

    def __len__(self) -> int:
        """How many descriptors are open."""
        return self._count

    def take(self, number: int) -> OpenFile | None:
        """One more user of a file that is still open; None where it has to be opened."""
        file = self._known.get(number)
        if file is None:
            return None
        if not file.is_as_it_was():
            self._drop(file)
            return None
        if file.users == 0:
            del self._unused[number]
        file.users += 1
        return file

    def add(self, number: int, fd: int, size: int) -> OpenFile:
        """A file that was opened; from now on `fd` is ours to close.

        Who opened the same one in the meantime keeps what he has.
        """
        known = self._known.get(number)
        if known is not None:
            self._drop(known)
        file = self._known[number] = OpenFile(number, fd, size)
        self._count += 1
        return file

    def give_back(self, file: OpenFile) -> None:
        """One user less."""
        file.users -= 1
        if file.users:
            return
        if self._known.get(file.number) is not file:
            self._close(file)
            return
        self._unused[file.number] = file
        if len(self._unused) > self._limit:
            self._drop(next(iter(self._unused.values())))

    def close_unused(self) -> bool:
        """Close what nobody uses; whether there was anything."""
        unused = [*self._unused.values()]
        for file in unused:
            self._drop(file)
        return bool(unused)

    def _drop(self, file: OpenFile) -> None:
        """Give a file to nobody any more; it is closed when its last user has gone."""
        del self._known[file.number]
        if file.users == 0:
            del self._unused[file.number]
            self._close(file)

    def _close(self, file: OpenFile) -> None:
        self._count -= 1
        os.close(file.fd)
