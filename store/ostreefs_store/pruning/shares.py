# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who has what, added up from how each commit differs from its base. Pure; see `usage`.

Commits and contents are numbers, from 0 on. The bases make a forest. A content appears at some
commits and vanishes at others; the commits that have it are all that are built on the former,
without all that are built on the latter. So the number of those that have it, and of those of any
group that do, are sums over whole branches of the forest; and where one alone has it, the sum of
the commits' own numbers tells which. The numbers for all groups are added in one go, as the 32-bit
fields of one large integer.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

_FIELD = 32
_MASK = (1 << _FIELD) - 1
_IS_LITTLE = sys.byteorder == "little"


class Share(NamedTuple):
    """Contents: how many, and their bytes."""

    bytes: int
    objects: int

    def plus(self, other: Share) -> Share:
        """Both together."""
        return Share(self.bytes + other.bytes, self.objects + other.objects)


NOTHING = Share(0, 0)


class Commits(NamedTuple):
    """What is known: for each commit its base (or None) and (content, change of its count)."""

    bases: Sequence[int | None]
    changes: Sequence[Sequence[tuple[int, int]]]
    sizes: Sequence[int]
    """Bytes of each content."""


class Presence(NamedTuple):
    """Contents that the same commits have, as far as the groups can tell."""

    share: Share
    commits: int
    """How many have them."""
    groups: Sequence[int]
    """How many of each group have them."""


class Shares:
    """The forest walked once; then asked for any groups."""

    def __init__(self, commits: Commits) -> None:
        self._commits = commits
        self._order = list(_walk_down(commits.bases))
        self._events: list[tuple[int, int, int]] = []
        self.totals: list[Share] = [NOTHING] * len(commits.bases)
        """What each commit has."""
        self._trace()

    def _trace(self) -> None:
        """Find where contents appear and vanish: (content, commit, 1 or -1)."""
        counts = [0] * len(self._commits.sizes)
        size = objects = 0
        path: list[int] = []
        for commit in self._order:
            while path and path[-1] != self._commits.bases[commit]:
                for content, change in self._commits.changes[path.pop()]:
                    before = counts[content]
                    counts[content] = before - change
                    step = (before == change) - (before == 0)  # vanishes again, or is back
                    size -= step * self._commits.sizes[content]
                    objects -= step
            path.append(commit)
            for content, change in self._commits.changes[commit]:
                before = counts[content]
                counts[content] = before + change
                step = (before == 0) - (before == -change)
                if step:
                    size += step * self._commits.sizes[content]
                    objects += step
                    self._events.append((content, commit, step))
            self.totals[commit] = Share(size, objects)

    def find_exclusive(self) -> list[Share]:
        """What each commit has that no other one has."""
        exclusive = [NOTHING] * len(self._order)
        sums = self._add_up([1 | number << _FIELD for number in range(len(self._order))])
        for size, total in zip(self._commits.sizes, sums, strict=True):
            if total & _MASK == 1:
                number = total >> _FIELD
                exclusive[number] = exclusive[number].plus(Share(size, 1))
        return exclusive

    def group(self, groups: Sequence[Collection[int]]) -> Iterator[Presence]:
        """Contents by how many commits have them, and how many of each group."""
        weights = [1] * len(self._order)
        for position, members in enumerate(groups):
            for commit in members:
                weights[commit] += 1 << _FIELD * (position + 1)
        found: dict[int, list[int]] = {}
        for size, total in zip(self._commits.sizes, self._add_up(weights), strict=True):
            entry = found.setdefault(total, [0, 0])
            entry[0] += size
            entry[1] += 1
        for total, (size, objects) in found.items():
            fields = total.to_bytes((len(groups) + 1) * _FIELD // 8, sys.byteorder)
            count, *members = memoryview(fields).cast("I")[:: 1 if _IS_LITTLE else -1]
            if count:
                yield Presence(Share(size, objects), count, members)

    def _add_up(self, weights: list[int]) -> list[int]:
        """For each content the weights of all commits that have it."""
        weights = weights.copy()
        for commit in reversed(self._order):
            base = self._commits.bases[commit]
            if base is not None:
                weights[base] += weights[commit]
        sums = [0] * len(self._commits.sizes)
        for content, commit, step in self._events:
            sums[content] += step * weights[commit]
        return sums


def _walk_down(bases: Sequence[int | None]) -> Iterator[int]:
    """Every commit after its base, all that is built on one together."""
    above: dict[int | None, list[int]] = {}
    for commit, base in enumerate(bases):
        above.setdefault(base, []).append(commit)
    stack = above.get(None, [])[::-1]
    while stack:
        commit = stack.pop()
        yield commit
        stack += above.get(commit, [])
