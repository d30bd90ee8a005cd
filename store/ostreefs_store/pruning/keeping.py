# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which commits a prune keeps.

Without a rule about refs, all of them. With one, those that the refs lead to under the rules, and
those that are pinned or that an open bisection needs; `prune` adds those that are leased.

A history goes on where commits in its midst were pruned: the index has a *graft* for each commit
that lost a parent but kept an ancestor behind it, with the nearest of those that are left.
"""

from __future__ import annotations

from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.bisections import iter_held
from ostreefs_store.codec import decode_commit
from ostreefs_store.errors import CommitInUseError, RevisionNotFoundError
from ostreefs_store.model import DIGEST_SIZE, Commit, Digest
from ostreefs_store.pins import iter_pins
from ostreefs_store.retention import Policy, choose

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ostreefs_store.config import Config
    from ostreefs_store.index import Snapshot

GRAFTS = "grafts"
INFINITE = -1


class Rules(NamedTuple):
    """What to keep, with the meanings that ostree-prune(1) gives to the options of these names."""

    refs_only: bool = False
    depth: int = INFINITE
    """Parents of each tip; all of them when negative."""
    younger_than: int | None = None
    """Seconds since 1970: along each history down to the first commit that is older."""
    policy: Policy | None = None
    """For each ref; its newest commit stays in any case."""
    branch_depths: Mapping[str, int] = MappingProxyType({})
    """A depth for a ref that is under none of the other rules."""
    only_branches: Sequence[str] = ()
    """If any: all other refs keep everything."""
    delete: Sequence[Digest] = ()

    @property
    def starts_from_refs(self) -> bool:
        """Whether commits go that no ref leads to."""
        return (
            self.refs_only
            or self.younger_than is not None
            or self.policy is not None
            or bool(self.branch_depths or self.only_branches)
        )


class History:
    """Every commit of a repository, with the parents that are left of it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self.commits: dict[Digest, Commit] = {
            digest: decode_commit(encoded) for digest, encoded in snapshot.iter_objects("commits")
        }

    def parents(self, commit: Digest) -> list[Digest]:
        """Parents, and in the place of lost ones the nearest ancestors, that are here."""
        left = [p for p in self.commits[commit].parents if p in self.commits]
        graft = self._snapshot.find(GRAFTS, commit) or b""
        left += [p for p in split(graft) if p in self.commits and p not in left]
        return left

    def walk(self, tip: Digest, depth: int = INFINITE) -> Iterator[Digest]:
        """A commit and its ancestors, nearest first, down to so many parents."""
        level = [tip] if tip in self.commits else []
        seen = set(level)
        while level:
            yield from level
            if depth == 0:
                return
            depth -= 1
            found = dict.fromkeys(parent for commit in level for parent in self.parents(commit))
            level = [parent for parent in found if parent not in seen]
            seen.update(level)

    def walk_younger(self, tip: Digest, than: int) -> Iterator[Digest]:
        """A commit, and its ancestors down to the first one that is too old."""
        if tip in self.commits:
            yield tip
        stack, seen = [tip], {tip}
        while stack:
            commit = stack.pop()
            if commit not in self.commits or self.commits[commit].timestamp < than:
                continue
            yield commit
            following = [p for p in self.parents(commit) if p not in seen]
            seen.update(following)
            stack += following

    def find_grafts(self, kept: set[Digest]) -> dict[Digest, list[Digest]]:
        """What stands for the lost parents of each kept commit that loses or has lost one."""
        grafts: dict[Digest, list[Digest]] = {}
        for commit in kept:
            own = self.commits[commit].parents
            if all(parent in kept for parent in own):
                continue
            found: dict[Digest, None] = {}
            stack = [p for p in reversed(self.parents(commit)) if p not in own or p not in kept]
            seen = set(stack)
            while stack:
                ancestor = stack.pop()
                if ancestor in kept:
                    found[ancestor] = None
                    continue
                above = [p for p in reversed(self.parents(ancestor)) if p not in seen]
                seen.update(above)
                stack += above
            grafts[commit] = [ancestor for ancestor in found if ancestor not in own]
        return grafts


def split(digests: bytes) -> list[Digest]:
    """Digests that stand end to end."""
    return [Digest(digests[at : at + DIGEST_SIZE]) for at in range(0, len(digests), DIGEST_SIZE)]


def find_kept(snapshot: Snapshot, history: History, rules: Rules, config: Config) -> set[Digest]:
    """The commits that stay, were nobody to hold a lease.

    Raises `RevisionNotFoundError` for a ref that is not there, `CommitInUseError` for a commit
    that is to be deleted and is a ref's newest, pinned, or needed by a bisection.
    """
    refs = dict(snapshot.iter_refs())
    for ref in (*rules.branch_depths, *rules.only_branches):
        if ref not in refs:
            raise RevisionNotFoundError(ref, "no such ref")
    aliases = dict(snapshot.iter_aliases())
    rules = _without_aliases(rules, aliases)
    pins = dict(iter_pins(snapshot))
    held = dict(iter_held(snapshot))
    _check_unused(rules.delete, refs, pins)
    _check_no_bisection(rules.delete, held)
    if rules.starts_from_refs:
        needed = chain(pins.values(), *held.values())
        kept = {commit for commit in needed if commit in history.commits}
        for ref, tip in refs.items():
            if ref not in aliases:  # else what it follows would have no rule but the alias's
                kept.update(_kept_of_ref(history, ref, tip, rules, config))
    else:
        kept = set(history.commits)
    return kept.difference(rules.delete)


def _without_aliases(rules: Rules, aliases: Mapping[str, str]) -> Rules:
    """The rules with each alias replaced by the ref that it follows."""
    depths = {aliases.get(ref, ref): depth for ref, depth in rules.branch_depths.items()}
    only = [aliases.get(ref, ref) for ref in rules.only_branches]
    return rules._replace(branch_depths=depths, only_branches=only)


def _kept_of_ref(
    history: History, ref: str, tip: Digest, rules: Rules, config: Config
) -> Iterable[Digest]:
    depth = rules.branch_depths.get(ref)
    if depth is None and rules.only_branches and ref not in rules.only_branches:
        depth = INFINITE
    if depth is not None:
        return history.walk(tip, depth)
    policy = rules.policy
    if policy is None and rules.younger_than is None and rules.depth < 0:
        policy = config.find_policy(ref)
    kept = set(history.walk(tip, 0))
    if rules.younger_than is not None:
        kept.update(history.walk_younger(tip, rules.younger_than))
    if policy is not None:
        dated = [(c, history.commits[c].timestamp) for c in history.walk(tip)]
        kept |= choose(dated, policy)
    if rules.depth >= 0 or (policy is None and rules.younger_than is None):
        kept.update(history.walk(tip, rules.depth))
    return kept


def _check_unused(
    commits: Sequence[Digest], refs: Mapping[str, Digest], pins: Mapping[str, Digest]
) -> None:
    for commit in commits:
        for ref, tip in refs.items():
            if tip == commit:
                raise CommitInUseError(
                    commit,
                    f"referenced by '{ref}'",
                    hint="delete that ref with 'ostreefs refs --delete', or move it",
                )
        for name, pinned in pins.items():
            if pinned == commit:
                raise CommitInUseError(
                    commit,
                    f"pinned as '{name}'",
                    hint="take the pin out with 'ostreefs pin --delete'",
                )


def _check_no_bisection(commits: Sequence[Digest], held: Mapping[str, Sequence[Digest]]) -> None:
    for name, needed in held.items():
        for commit in set(needed).intersection(commits):
            raise CommitInUseError(
                commit,
                f"needed by bisection '{name}'",
                hint=f"end that with 'ostreefs bisect reset --name={name}'",
            )
