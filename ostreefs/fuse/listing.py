# SPDX-License-Identifier: LGPL-2.1-or-later
"""An open directory, read on demand."""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable, Iterator
from itertools import islice

from ostreefs.fuse.nodes import Attributes, Found, Node, TreeNode
from ostreefs_store.model import TreeEntry

WINDOW = 128
"""Entries whose attributes are looked up together."""

Listed = TreeEntry | tuple[bytes, str]
Resolve = Callable[[list[Listed]], list[Found | None]]
"""Gives one entry for each name, None for a name that has vanished since it was listed."""


class Listing:
    """An open directory: a stable list that is read on demand, and attributes in windows of it."""

    def __init__(
        self,
        node: Node | None,
        names: Iterator[Listed],
        resolve: Resolve,
        *,
        dotted: bool = False,
    ) -> None:
        """When `dotted`, what every directory has comes first: ``.`` and ``..``."""
        self._node = node
        self._dots = _dots(node) if dotted and node is not None else ()
        self._source = names
        self._resolve = resolve
        self._known: list[Listed] = []
        self._window: list[Found | None] = []
        self._window_start = len(self._dots)
        self._failure: Exception | None = None

    @property
    def was_read(self) -> bool:
        """Whether anything has been read of it."""
        return bool(self._known)

    @property
    def is_final(self) -> bool:
        """Whether the directory would be listed the same again."""
        return isinstance(self._node, TreeNode) and not self._node.retired

    def note_opened(self) -> bool:
        """The directory was opened; whether that is the first time since the kernel knows it."""
        if self._node is None or self._node.was_opened:
            return False
        self._node.was_opened = True
        return True

    @property
    def _is_retired(self) -> bool:
        return isinstance(self._node, TreeNode) and self._node.retired

    def entries_from(self, position: int) -> Iterator[tuple[int, Found]]:
        """Entries from a position on, each resolved once as long as positions grow.

        Each comes with the position after it. They are to be taken at once, as long as nothing
        else happens.
        """
        for dot in self._dots[position:]:
            position += 1
            yield position, dot
        is_retired = self._is_retired
        first = len(self._dots)
        while True:
            offset = position - self._window_start
            if not 0 <= offset < len(self._window):
                self._read_to(position - first + WINDOW)
                window = self._known[position - first : position - first + WINDOW]
                if not window:
                    return
                self._window, self._window_start, offset = self._resolve(window), position, 0
            for found in self._window[offset:]:
                position += 1
                if found is not None:
                    # Of what is shown no more the kernel may tell whoever lists, and keep nothing.
                    yield position, _passing(found) if is_retired else found

    def _read_to(self, position: int) -> None:
        """Read names; a source that has failed once fails again, and never seems to have ended."""
        missing = position - len(self._known)
        if missing <= 0:
            return
        if self._failure is not None:
            raise self._failure
        try:
            self._known.extend(islice(self._source, min(missing, sys.maxsize)))
        except Exception as error:
            self._failure = error
            raise


def _dots(node: Node) -> tuple[Found, Found]:
    """Of these the kernel takes numbers and types alone."""
    return _dot(b".", node), _dot(b"..", node if node.parent is None else node.parent)


def _dot(name: bytes, node: Node) -> Found:
    return Found(name, Attributes(node.number, stat.S_IFDIR, 0, 0, 0, 0, 0, fixed=True), None)


def _passing(entry: Found) -> Found:
    """An entry that is not to be kept."""
    return entry._replace(attributes=entry.attributes._replace(fixed=False))
