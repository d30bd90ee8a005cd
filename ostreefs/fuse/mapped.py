# SPDX-License-Identifier: LGPL-2.1-or-later
"""The part of the index that this process has mapped, and how to have less of it.

LMDB reads through a map of its file. What was touched once counts as memory of the process, though
the kernel can take it back at any time: after a walk over a million entries that is all of the
index. Pages that are given back stay in the page cache, and come again when they are touched.
"""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PAGE = mmap.PAGESIZE


class MappedIndex:
    """The map of one index. Not to be used while a snapshot of it is."""

    def __init__(self, path: Path, limit: int) -> None:
        """`path` is the folder of the index; `limit` are the bytes that may stay."""
        self._inode = os.stat(path / "data.mdb").st_ino
        self._limit = limit

    def trim(self) -> bool:
        """Give back all of it if files that are mapped take more than may stay; whether it did.

        Where it cannot be seen how much that is, because this process may not open one more file,
        nothing is given back: that is no reason to end.
        """
        try:
            if mapped_bytes() <= self._limit:
                return False
            self.give_back()
        except OSError:
            return False
        return True

    def give_back(self) -> None:
        """Give back all of it."""
        import ctypes  # noqa: PLC0415 -- 5 ms that no mount is to wait for

        advise = ctypes.CDLL(None, use_errno=True).madvise
        advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for start, length in self._areas():
            advise(start, length, mmap.MADV_DONTNEED)

    def _areas(self) -> Iterator[tuple[int, int]]:
        """Where it is mapped: addresses and lengths."""
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            for line in maps:
                # Device numbers are not to be compared: those of Btrfs differ from stat's.
                area, _, _, _, inode, *name = line.split(maxsplit=5)
                if int(inode) == self._inode and "/data.mdb" in "".join(name):
                    start, end = (int(number, 16) for number in area.split("-"))
                    yield start, end - start


def mapped_bytes() -> int:
    """How much memory of this process belongs to files: the index, programs, libraries."""
    with open("/proc/self/statm", encoding="ascii") as numbers:
        return int(numbers.read().split()[2]) * _PAGE
