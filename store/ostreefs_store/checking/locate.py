# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where in the commits given objects are: paths, and which commits need them.

Every tree is decoded once, however many commits hold it. Works on a damaged graph: what cannot be
read is passed over, and a record that claims to be its own ancestor ends nothing in a circle.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.codec import decode_commit
from ostreefs_store.errors import CorruptionError
from ostreefs_store.model import Digest
from ostreefs_store.traverse import read_tree_object

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from ostreefs_store.index import Snapshot
    from ostreefs_store.model import TreeEntry

SAMPLE_PATHS = 10
"""How many paths are told of each commit; their number is exact."""


class NeedingCommit(NamedTuple):
    """A commit that needs some of the objects: its refs, and at how many paths it has them."""

    commit: str
    refs: tuple[str, ...]
    needs: int
    paths: tuple[bytes, ...]


class Places(NamedTuple):
    """Where objects are.

    `paths` has, for each object, every path at which a commit holds it, with one such commit (in
    hex); those that refs name come first.
    """

    paths: dict[bytes, list[tuple[str, bytes]]]
    commits: list[NeedingCommit]


def locate(snapshot: Snapshot, wanted: Collection[bytes]) -> Places:
    """Find tree and file objects, by their digests, in all commits."""
    places = Places({digest: [] for digest in wanted}, [])
    if not places.paths:
        return places
    survey = _Survey(snapshot, places.paths.keys())
    refs: dict[Digest, list[str]] = {}
    for ref, commit in snapshot.iter_refs():
        refs.setdefault(commit, []).append(ref)
    for commit, root in _roots(snapshot, refs):
        needs = survey.count(root)
        if not needs:
            continue
        paths = tuple(path for path, _ in islice(survey.iter_paths(root), SAMPLE_PATHS))
        names = tuple(refs.get(commit, ()))
        places.commits.append(NeedingCommit(commit.hex(), names, needs, paths))
        for path, digest in survey.iter_paths(root, new=True):
            places.paths[digest].append((commit.hex(), path))
    return places


def _roots(snapshot: Snapshot, refs: Iterable[Digest]) -> Iterator[tuple[Digest, Digest]]:
    """Every commit that can be read, with its root tree; those that refs name come first."""
    first = {commit: snapshot.find_commit(commit) for commit in refs}
    rest = (item for item in snapshot.iter_objects("commits") if item[0] not in first)
    for commit, encoded in chain(first.items(), rest):
        try:
            if encoded is not None:
                yield commit, decode_commit(encoded).root
        except CorruptionError:
            continue


class _Step(NamedTuple):
    """An entry that is wanted, or leads on to something below it that is."""

    name: bytes
    digest: Digest
    leads_on: bool


class _Survey:
    """What of each tree leads to a wanted object; filled as it is asked for."""

    def __init__(self, snapshot: Snapshot, wanted: Collection[bytes]) -> None:
        self._snapshot = snapshot
        self._wanted = wanted
        self._counts: dict[bytes, int] = {}
        self._leading: dict[bytes, list[_Step]] = {}
        self._told: set[tuple[bytes, bytes]] = set()

    def count(self, root: Digest) -> int:
        """How many paths under a root lead to a wanted object; 1 more if it is one itself."""
        stack: list[tuple[bytes, list[TreeEntry] | None]] = [(root, None)]
        while stack:
            digest, entries = stack.pop()
            if entries is not None:
                self._settle(digest, entries)
            elif digest not in self._counts:
                self._counts[digest] = 0  # until it is settled: nothing is below itself
                entries = self._entries(digest)
                stack.append((digest, entries))
                stack += [(entry.digest, None) for entry in entries if entry.is_tree]
        return self._counts[root] + (root in self._wanted)

    def _settle(self, digest: bytes, entries: list[TreeEntry]) -> None:
        leading = []
        for entry in entries:
            # 0 also for a tree above this one: that would lead round in a circle
            below = self._counts[entry.digest] if entry.is_tree else 0
            if below or entry.digest in self._wanted:
                leading.append(_Step(entry.name, entry.digest, below > 0))
                self._counts[digest] += below + (entry.digest in self._wanted)
        if leading:
            self._leading[digest] = leading

    def _entries(self, digest: bytes) -> list[TreeEntry]:
        try:
            return list(read_tree_object(self._snapshot, Digest(digest)).entries)
        except CorruptionError:
            return []

    def iter_paths(self, root: Digest, *, new: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Paths (absolute) and wanted objects under a root, in order.

        With `new` a tree is passed over at a path at which it was told of before.
        """
        if root in self._wanted and not (new and (b"", root) in self._told):
            yield b"/", root
        stack: list[tuple[bytes, bytes]] = [(b"", root)]
        while stack:
            above, digest = stack.pop()
            if new:
                if (above, digest) in self._told:
                    continue
                self._told.add((above, digest))
            below = []
            for step in self._leading.get(digest, ()):
                path = above + b"/" + step.name
                if step.digest in self._wanted:
                    yield path, step.digest
                if step.leads_on:
                    below.append((path, step.digest))
            stack += reversed(below)
