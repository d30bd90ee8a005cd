# SPDX-License-Identifier: LGPL-2.1-or-later
"""Histories of a repository as the plain data that `algorithm` takes. Reads the index alone.

Parents that were pruned are replaced by the nearest ancestors that are left (grafts).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.comparing.ancestry import read_ancestry
from ostreefs_store.errors import CorruptionError, PathNotFoundError
from ostreefs_store.model import Commit, Digest
from ostreefs_store.traverse import look_up, split_path

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from ostreefs_store.index import Snapshot

Entry = tuple[bool, Digest]
"""Whether something is a tree, and its digest."""


class Graph(NamedTuple):
    """Commits with all their ancestors, parents before children."""

    ids: list[Digest]
    commits: list[Commit]
    parents: list[tuple[int, ...]]
    numbers: dict[Digest, int]
    """Where each commit stands in the lists."""


def read_graph(snapshot: Snapshot, tips: Iterable[Digest]) -> Graph:
    """The tips and all their ancestors.

    Raises `ObjectMissingError` for a tip that is not there, `FormatError`.
    """
    history = read_ancestry(snapshot, tips)[::-1]
    numbers = {ancestor.digest: number for number, ancestor in enumerate(history)}
    return Graph(
        [ancestor.digest for ancestor in history],
        [ancestor.commit for ancestor in history],
        [tuple(numbers[parent] for parent in ancestor.parents) for ancestor in history],
        numbers,
    )


def read_kinds(snapshot: Snapshot, graph: Graph, paths: Sequence[bytes]) -> list[Hashable]:
    """Of each commit what the paths are in it; a commit that cannot be read is like no other.

    Raises `PathNotFoundError` for a path that no commit holds.
    """
    trails = [_Trail(snapshot, path) for path in paths]
    kinds: list[Hashable] = []
    for commit in graph.commits:
        try:
            kinds.append(tuple(trail.look(commit.root) for trail in trails))
        except CorruptionError:
            kinds.append(len(kinds))
    for trail in trails:
        if not trail.was_found:
            raise PathNotFoundError(trail.path, "no commit of this history holds it")
    return kinds


class _Trail:
    """A path that is looked for in one tree after another; each tree is read once."""

    def __init__(self, snapshot: Snapshot, path: bytes) -> None:
        self.path = path
        self.was_found = False
        self._snapshot = snapshot
        self._parts = split_path(path)
        self._known: dict[tuple[Digest, int], Entry | None] = {}

    def look(self, root: Digest) -> Entry | None:
        """What the path is under this root."""
        found: Entry | None = True, root
        passed: list[tuple[Digest, int]] = []
        for at, name in enumerate(self._parts):
            if found is None or not found[0]:
                found = None
                break
            key = found[1], at
            if key in self._known:
                found = self._known[key]
                break
            passed.append(key)
            found = look_up(self._snapshot, found[1], name)
        self._known |= dict.fromkeys(passed, found)
        self.was_found = self.was_found or found is not None
        return found
