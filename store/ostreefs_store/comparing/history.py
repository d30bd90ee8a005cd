# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which commits changed a path. Found by comparing digests: equal trees are never descended into.

History is that along first parents, as far as the repository holds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.comparing.diff import differing_entries
from ostreefs_store.errors import PathNotFoundError
from ostreefs_store.model import Commit, Digest
from ostreefs_store.traverse import (
    find_entry,
    iter_history,
    look_up,
    read_tree_entries,
    split_path,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ostreefs_store.codec import Entry
    from ostreefs_store.index import Snapshot

Ref = tuple[bool, Digest]
"""Whether something is a tree, and its digest."""


def is_cut_off(snapshot: Snapshot, commit: Commit) -> bool:
    """Whether a commit has a first parent that the repository does not hold.

    History may go on behind it with an older commit, see `refs.find_parent`.
    """
    return bool(commit.parents) and snapshot.find_commit(commit.parents[0]) is None


# ---- commits that changed a path ----


def iter_changing(
    snapshot: Snapshot, start: Digest, paths: Sequence[bytes]
) -> Iterator[tuple[Digest, Commit]]:
    """Commits from `start` on in which one of the paths is not what it is in the first parent.

    The oldest commit that is here counts as one without a parent. Raises `PathNotFoundError` at
    the end for a path that no commit holds.
    """
    trails = [_Trail(snapshot, path) for path in paths]
    newer: tuple[Digest, Commit] | None = None
    states: list[Ref | None] = []
    for digest, commit in iter_history(snapshot, start):
        older = [trail.look(commit.root) for trail in trails]
        if newer is not None and older != states:
            yield newer
        newer, states = (digest, commit), older
    if newer is not None and any(states):
        yield newer
    for trail in trails:
        if not trail.was_found:
            raise PathNotFoundError(trail.path, "no commit of this history holds it")


class _Trail:
    """A path, followed through the trees of one commit after another."""

    def __init__(self, snapshot: Snapshot, path: bytes) -> None:
        self.path = path
        self.was_found = False
        self._snapshot = snapshot
        self._parts = split_path(path)
        self._trees: list[Digest] = []
        """Of the last commit: the tree in which each part was looked for."""
        self._found: Ref | None = None

    def look(self, root: Digest) -> Ref | None:
        """What the path is under this root; trees that were there the last time are not read."""
        last, self._trees = self._trees, []
        here: Ref | None = (True, root)
        for depth, name in enumerate(self._parts):
            if here is None or not here[0]:
                here = None
                break
            if last[depth : depth + 1] == [here[1]]:
                self._trees += last[depth:]
                return self._found
            self._trees.append(here[1])
            here = look_up(self._snapshot, here[1], name)
        self._found = here
        self.was_found = self.was_found or here is not None
        return here


# ---- the commit that brought what is there ----


class Origin(NamedTuple):
    """The newest commit in which a path became what it is now.

    `is_cut_off` says that the commit before it is not there any more, and may be meant.
    """

    path: bytes
    digest: Digest
    commit: Commit
    is_cut_off: bool


def list_paths(
    snapshot: Snapshot, root: Digest, path: bytes, *, recursive: bool, itself: bool
) -> Iterator[bytes]:
    """A path; for a directory unless `itself` what is in it, or everything below it.

    Raises `PathNotFoundError`.
    """
    found = find_entry(snapshot, root, path)
    if found is None:
        raise PathNotFoundError(path)
    full = b"/" + b"/".join(split_path(path))
    if itself or not found[0]:
        yield full
        return
    stack = [(full, found[1])]
    while stack:
        above, tree = stack.pop()
        prefix = above if above == b"/" else above + b"/"
        for name, is_tree, digest in read_tree_entries(snapshot, tree)[1]:
            yield prefix + name
            if is_tree and recursive:
                stack.append((prefix + name, digest))


def find_origins(snapshot: Snapshot, start: Digest, paths: Iterable[bytes]) -> list[Origin]:
    """The origin of each path, in the order of paths; each must be in `start`.

    History is read until all are found; of each commit only what differs from its parent's and is
    still looked for.
    """
    top = _Wanted(b"", None)
    for path in paths:
        top.add(split_path(path))
    found: list[Origin] = []
    newer: tuple[Digest, Commit] | None = None
    for digest, commit in iter_history(snapshot, start):
        if newer is not None:
            found += _take_changed(snapshot, top, newer, commit.root)
            if not top.pending:
                break
        newer = digest, commit
    if top.pending and newer is not None:
        found += _take_changed(snapshot, top, newer, None)
    return sorted(found, key=lambda origin: split_path(origin.path))


class _Wanted:
    """A path on the way to others that are looked for; `pending` counts these and itself."""

    __slots__ = ("above", "children", "is_wanted", "name", "pending")

    def __init__(self, name: bytes, above: _Wanted | None) -> None:
        self.name = name
        self.above = above
        self.children: dict[bytes, _Wanted] = {}
        self.is_wanted = False
        self.pending = 0

    def add(self, parts: Sequence[bytes]) -> None:
        """Look for a path below this one."""
        here = self
        for name in parts:
            if name not in here.children:
                here.children[name] = _Wanted(name, here)
            here = here.children[name]
        if not here.is_wanted:
            here.is_wanted = True
            here._count(1)

    def take(self) -> bytes:
        """Look for this path no longer; its name from the root on."""
        self.is_wanted = False
        self._count(-1)
        names: list[bytes] = []
        here = self
        while here.above is not None:
            names.append(here.name)
            here = here.above
        return b"/" + b"/".join(reversed(names))

    def _count(self, number: int) -> None:
        here: _Wanted | None = self
        while here is not None:
            here.pending += number
            here = here.above


def _take_changed(
    snapshot: Snapshot, top: _Wanted, new: tuple[Digest, Commit], old: Digest | None
) -> Iterator[Origin]:
    """Take those paths that a commit does not share with the tree of the one before it."""
    cut_off = is_cut_off(snapshot, new[1])
    stack: list[tuple[_Wanted, Ref, Ref | None]] = [
        (top, (True, new[1].root), None if old is None else (True, old))
    ]
    while stack:
        wanted, after, before = stack.pop()
        if after == before:
            continue
        if wanted.is_wanted:
            yield Origin(wanted.take(), *new, is_cut_off=cut_off)
        if not wanted.pending or not after[0]:
            continue
        now = read_tree_entries(snapshot, after[1])[1]
        then: list[Entry] = []
        if before is not None and before[0]:
            then = read_tree_entries(snapshot, before[1])[1]
        for one, other in differing_entries(then, now):
            child = wanted.children.get(other[0]) if other is not None else None
            if child is not None and other is not None:
                stack.append((child, other[1:], None if one is None else one[1:]))
