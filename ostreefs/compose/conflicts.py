# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who brought what: where additions disagree, and what of the base they replace. Pure.

A path is *brought* by the addition that last changed what is there. Another one that changes it
again is in conflict with that; one that changes what the base has replaces it. A directory in the
place of a file, or the other way round, is a conflict with whoever the path is from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from ostreefs_store.layer import Layer, WholeTree

if TYPE_CHECKING:
    from ostreefs.compose.steps import OnConflict
    from ostreefs_store.layer import Item
    from ostreefs_store.model import TreeEntry

ConflictKind = Literal["content", "type"]


class Conflict(NamedTuple):
    """A path at which an addition (`second`) and what was before it (`first`) disagree.

    `first` is None for the base. Of kind "type", one has a directory and the other a file.
    """

    path: bytes
    kind: ConflictKind
    first: str | None
    second: str
    is_tree: bool = False
    """Whether the second one has a directory."""

    @property
    def reason(self) -> str:
        """For a person, without the path."""
        before = self.first or "the base"
        if self.kind == "content":
            return f"differs between {before} and {self.second}"
        one, other = ("file", "directory") if self.is_tree else ("directory", "file")
        return f"a {one} in {before}, a {other} in {self.second}"


class _Addition(NamedTuple):
    number: int
    label: str


class Ledger:
    """Watches additions being laid over a base, and decides what becomes of conflicts.

    With "fail" all is laid as with "last", and whoever asks finds the conflicts here.
    """

    def __init__(self, on_conflict: OnConflict) -> None:
        self.conflicts: list[Conflict] = []
        self.replaced: dict[bytes, str] = {}
        self._keeps_first = on_conflict == "first"
        self._brought: dict[bytes, _Addition] = {}
        self._addition = _Addition(0, "")

    def begin(self, addition: str) -> None:
        """What comes now is of this addition, also if one before it was called the same."""
        self._addition = _Addition(self._addition.number + 1, addition)

    def may_place(self, path: bytes, found: TreeEntry | None, item: Item) -> bool:
        """Note what an addition brings; see `Watcher`. The path has no slash before it."""
        is_tree = isinstance(item, Layer | WholeTree)
        origin = None if found is None else self._origin(path)
        if found is not None and origin != self._addition:
            kind: ConflictKind = "content" if found.is_tree == is_tree else "type"
            if origin is not None or kind == "type":
                first = None if origin is None else origin.label
                label = self._addition.label
                self.conflicts.append(Conflict(b"/" + path, kind, first, label, is_tree))
                if self._keeps_first:
                    return False
            else:
                self.replaced[b"/" + path] = self._addition.label
        self._brought[path] = self._addition
        return True

    def _origin(self, path: bytes) -> _Addition | None:
        """The addition that brought what is at a path, or a directory that it lies in."""
        while path:
            if path in self._brought:
                return self._brought[path]
            path = path.rpartition(b"/")[0]
        return None
