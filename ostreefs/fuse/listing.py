# SPDX-License-Identifier: LGPL-2.1-or-later
"""An open directory, read on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from ostreefs.fuse.nodes import Found
from ostreefs_store.model import TreeEntry

_WINDOW = 128
"""Entries whose attributes are looked up together."""

Listed = TreeEntry | tuple[bytes, str]
Resolve = Callable[[list[Listed]], list[Found]]


class Listing:
    """An open directory: a stable list that is read on demand, and attributes in windows of it."""

    def __init__(self, names: Iterator[Listed]) -> None:
        self._source = names
        self._known: list[Listed] = []
        self._window: list[Found] = []
        self._window_start = 0

    @property
    def was_read(self) -> bool:
        """Whether anything has been read of it."""
        return bool(self._known)

    def entries_from(self, position: int, resolve: Resolve) -> Iterator[Found]:
        """Entries from a position on, each resolved once as long as positions grow."""
        while True:
            offset = position - self._window_start
            if not 0 <= offset < len(self._window):
                self._known.extend(
                    islice(self._source, max(0, position + _WINDOW - len(self._known)))
                )
                window = self._known[position : position + _WINDOW]
                if not window:
                    return
                self._window, self._window_start, offset = resolve(window), position, 0
            yield from self._window[offset:]
            position = self._window_start + len(self._window)
