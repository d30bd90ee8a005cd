# SPDX-License-Identifier: LGPL-2.1-or-later
"""What each commit of a history brought: counts, the largest changes, packages."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.comparing.diff import diff_trees
from ostreefs_store.comparing.diffstat import Stats, content_size, is_of_metadata
from ostreefs_store.comparing.packagesets import PackageCache, diff_package_sets
from ostreefs_store.comparing.sides import CommitSide
from ostreefs_store.model import BASE_KEY, DIGEST_SIZE, Digest, TreeHead
from ostreefs_store.refs import read_commit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ostreefs_store.comparing.ancestry import Ancestor
    from ostreefs_store.comparing.diff import Change
    from ostreefs_store.comparing.packagesets import PackageDiff
    from ostreefs_store.index import Snapshot
    from ostreefs_store.model import Commit
    from ostreefs_store.pruning.usage import Use
    from ostreefs_store.repository import Repository


class Build(NamedTuple):
    """A commit against its first parent; one without a parent, against its base.

    That is what it was composed of, if that is here, and else an empty tree; then there is nothing
    to say about packages. `changes` are the largest ones, of what is no directory; `stats` counts
    them all.
    """

    ancestor: Ancestor
    stats: Stats
    changes: list[Change]
    packages: list[PackageDiff]
    base: Digest | None = None
    """What stood for the parent."""

    def count_packages(self) -> tuple[int, int, int]:
        """How many packages were added, removed, and have another version."""
        kinds = Counter(change.kind for each in self.packages for change in each.changes)
        added, removed = kinds.pop("added", 0), kinds.pop("removed", 0)
        return added, removed, kinds.total()


Names = Mapping["Digest", Sequence[str]]
"""What names a commit: refs, and whatever else."""


class History(NamedTuple):
    """Builds, the newest first, with what names them and the space that each one takes."""

    revisions: Sequence[str]
    builds: Sequence[Build]
    names: Names
    uses: Mapping[Digest, Use]


def describe_builds(
    repository: Repository,
    snapshot: Snapshot,
    ancestors: Iterable[Ancestor],
    *,
    limit: int = 0,
) -> Iterator[Build]:
    """What each commit brought, with at most `limit` changes.

    Costs what the commits changed. The repository must be in use, as packages are read from files.
    Raises `CorruptionError`.
    """
    cache: PackageCache = {}
    for ancestor in ancestors:
        base = None if ancestor.parents else _find_base(snapshot, ancestor.commit)
        parent = ancestor.parents[0] if ancestor.parents else base
        stats = Stats()
        old = None if parent is None else read_commit(snapshot, parent).root
        counted = _count(diff_trees(snapshot, old, ancestor.commit.root), stats)
        largest = heapq.nlargest(limit, counted, key=weigh)
        deque(counted, maxlen=0)  # with a limit of 0 nothing was looked at
        packages: list[PackageDiff] = []
        if parent is not None:
            sides = (
                CommitSide(repository, snapshot, each.hex()) for each in (parent, ancestor.digest)
            )
            packages = diff_package_sets(*sides, cache=cache)
        yield Build(ancestor, stats, largest, packages, base)


def _find_base(snapshot: Snapshot, commit: Commit) -> Digest | None:
    """What a commit was composed of, if its metadata say so and that is in the repository."""
    try:
        base = Digest(bytes.fromhex(str(commit.metadata.get(BASE_KEY, ""))))
    except ValueError:
        return None
    is_digest = len(base) == DIGEST_SIZE
    return base if is_digest and snapshot.find_commit(base) is not None else None


def _count(changes: Iterable[Change], stats: Stats) -> Iterator[Change]:
    """Count all, pass on those that are no directories on either side."""
    for change in changes:
        stats.add(change)
        states = (change.old, change.new)
        if not all(state is None or isinstance(state.item, TreeHead) for state in states):
            yield change


def weigh(change: Change) -> int:
    """How large a change is: bytes of content on the side that has more; 0 for metadata alone."""
    if change.kind == "M" and is_of_metadata(change.aspects):
        return 0
    return max(content_size(state) for state in (change.old, change.new) if state is not None)
