# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commits and all their ancestors, merges included, in an order that can be drawn.

Reads the index alone. The order is that of ``git log --graph``: a commit stands before its
parents, and a line of history that was merged stands together, behind the merge.
"""

from __future__ import annotations

import heapq
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.pruning.keeping import GRAFTS, split
from ostreefs_store.refs import find_parent, read_commit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ostreefs_store.index import Snapshot
    from ostreefs_store.model import Commit, Digest


class Ancestor(NamedTuple):
    """A commit, and those of its parents that the repository holds.

    In the place of parents that were pruned stand the nearest ancestors that were kept.
    """

    digest: Digest
    commit: Commit
    parents: tuple[Digest, ...]


def find_parents(snapshot: Snapshot, digest: Digest, commit: Commit) -> tuple[Digest, ...]:
    """The parents; in the place of those that were pruned the nearest ancestors that are left."""
    here = [parent for parent in commit.parents if snapshot.find_commit(parent) is not None]
    if len(here) < len(commit.parents):
        grafts = split(snapshot.find(GRAFTS, digest) or b"")
        here += [each for each in grafts if snapshot.find_commit(each) is not None]
    return tuple(dict.fromkeys(here))


def read_ancestry(
    snapshot: Snapshot, tips: Iterable[Digest], *, first_parent: bool = False
) -> list[Ancestor]:
    """The tips and all their ancestors, in order; with `first_parent`, along first parents alone.

    Raises `ObjectMissingError` for a tip that the repository does not hold.
    """
    found: dict[Digest, Ancestor] = {}
    stack = list(dict.fromkeys(tips))
    starts = tuple(stack)
    while stack:
        digest = stack.pop()
        if digest in found:
            continue
        commit = read_commit(snapshot, digest)
        parents = find_parents(snapshot, digest, commit)
        if first_parent:
            parents = _only(find_parent(snapshot, digest, commit))
        found[digest] = Ancestor(digest, commit, parents)
        stack += parents
    return order(found, starts)


def _only(parent: Digest | None) -> tuple[Digest, ...]:
    return () if parent is None else (parent,)


def order(found: Mapping[Digest, Ancestor], tips: Iterable[Digest]) -> list[Ancestor]:
    """Every commit that the tips lead to before its parents.

    Of several that could come next, the last parent of the one just placed does; where there is
    none left, the newest tip.
    """
    children = Counter(parent for ancestor in found.values() for parent in ancestor.parents)
    waiting = [(-found[tip].commit.timestamp, tip) for tip in tips if not children[tip]]
    heapq.heapify(waiting)
    ordered: list[Ancestor] = []
    ready: list[Digest] = []
    while ready or waiting:
        ancestor = found[ready.pop() if ready else heapq.heappop(waiting)[1]]
        ordered.append(ancestor)
        for parent in ancestor.parents:
            children[parent] -= 1
            if not children[parent]:
                ready.append(parent)
    return ordered
