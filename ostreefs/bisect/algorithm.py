# SPDX-License-Identifier: LGPL-2.1-or-later
"""What to test next, and what follows from the verdicts so far. Pure: commits are numbers.

A history is a list with the parents of each commit, and parents have smaller numbers than their
children. The first bad commit is an ancestor of the bad one (or that itself) and of no good one:
these are the *candidates*. As in git-bisect(1), the next to be tested is the one for which the
smaller of two numbers is largest: its ancestors among the candidates with itself, and all others.
In a history without merges that halves the candidates; with merges of two parents at most two
thirds are left (Courtiel, Dorbec, Lecoq: "Theoretical Analysis of git bisect", 2022).

Where the best one cannot be tested, another is taken from the list ordered by that number, at a
place that looks random and leans towards the front, so that a cluster of commits that cannot be
tested is left quickly. That is git's way as well.

Commits may come in *kinds*: those of one kind behave alike. A commit of the kind of one of its
parents is not the first bad one, and what one commit of a kind was found to be holds for the
other candidates of that kind. So no kind is tested twice.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence

Parents: TypeAlias = "Sequence[Sequence[int]]"
Links: TypeAlias = "Mapping[int, Sequence[int]] | Sequence[Sequence[int]]"
"""Of some commits the parents."""


class Judged(NamedTuple):
    """What is known: the bad commit, good ones, and those that cannot be tested."""

    bad: int
    """The one that was found last."""
    goods: frozenset[int]
    skipped: frozenset[int] = frozenset()
    bads: frozenset[int] = frozenset()
    """Those that were found to be bad before."""


class Next(NamedTuple):
    """A commit is to be tested."""

    commit: int
    left: int
    """How many are left to test after this, at most."""
    steps: int
    """Roughly how often, with this one."""
    is_merge_base: bool = False
    """Whether that is to find out if there is anything to look for."""


class Found(NamedTuple):
    """The first bad commit."""

    commit: int


class OnlySkipped(NamedTuple):
    """The first bad commit is one of these; all but the last cannot be tested."""

    commits: tuple[int, ...]


class GoodIsNewer(NamedTuple):
    """The bad commit is an ancestor of good ones. `was_asked`: it was tested as a merge base."""

    bad: int
    goods: tuple[int, ...]
    was_asked: bool


class Unrelated(NamedTuple):
    """The bad commit and this good one have no ancestor in common."""

    bad: int
    good: int


class NoDifference(NamedTuple):
    """The bad commit is of the kind of a good one."""

    bad: int
    good: int


Decision = Next | Found | OnlySkipped | GoodIsNewer | Unrelated | NoDifference


def ancestors(parents: Parents, tips: Iterable[int]) -> set[int]:
    """The tips and all that they descend from."""
    found = set(tips)
    stack = list(found)
    while stack:
        for parent in parents[stack.pop()]:
            if parent not in found:
                found.add(parent)
                stack.append(parent)
    return found


def find_candidates(parents: Parents, bad: int, goods: Iterable[int]) -> list[int]:
    """The commits that may be the first bad one, in order."""
    return sorted(ancestors(parents, [bad]) - ancestors(parents, goods))


def merge_bases(parents: Parents, one: int, others: Iterable[int]) -> list[int]:
    """The best common ancestors of a commit and any of the others."""
    common = ancestors(parents, [one]) & ancestors(parents, others)
    above = {parent for commit in common for parent in parents[commit]}
    return sorted(common - above)


def decide(
    parents: Parents,
    judged: Judged,
    kinds: Sequence[Hashable] | None = None,
    asked: Collection[int] = (),
) -> Decision:
    """What follows. `asked` are merge bases that were to be tested for no other reason."""
    problem = _check_ancestry(parents, judged, asked)
    if problem is not None:
        return problem
    if kinds is None:
        candidates = find_candidates(parents, judged.bad, judged.goods)
        return _choose(Simplified(candidates, parents, judged.bad, {}), judged.skipped)
    settled = settle(parents, judged, kinds)
    if isinstance(settled, NoDifference):
        return settled
    return _choose(simplify(parents, settled, kinds), judged.skipped)


def _check_ancestry(
    parents: Parents, judged: Judged, asked: Collection[int]
) -> GoodIsNewer | Unrelated | Next | None:
    """Whether a good commit that is no ancestor of a bad one is in the way."""
    above = ancestors(parents, [judged.bad, *judged.bads])
    strays = sorted(judged.goods - above)
    suspects = strays if judged.bad not in judged.goods else [judged.bad]
    newer = tuple(good for good in suspects if judged.bad in ancestors(parents, [good]))
    if newer:
        return GoodIsNewer(judged.bad, newer, judged.bad in asked)
    for good in strays:
        bases = merge_bases(parents, judged.bad, [good])
        if not bases:
            return Unrelated(judged.bad, good)
        proven = ancestors(parents, judged.goods & above)
        for base in bases:
            if base not in proven and base not in judged.skipped:
                left = len(find_candidates(parents, judged.bad, judged.goods))
                return Next(base, left, estimate_steps(left), is_merge_base=True)
    return None


# ---- kinds ----


class Settled(NamedTuple):
    """The verdicts, with those that follow from kinds."""

    bad: int
    goods: frozenset[int]


def settle(parents: Parents, judged: Judged, kinds: Sequence[Hashable]) -> Settled | NoDifference:
    """Let verdicts hold for the candidates of the same kind, until nothing more follows.

    Where kinds come again, that of good commits counts first: what is found is the newest change
    from good to bad.
    """
    good_kinds = {kinds[good]: good for good in sorted(judged.goods)}
    bad_kinds = {kinds[each] for each in (judged.bad, *judged.bads)}
    bad, goods = judged.bad, set(judged.goods)
    while True:
        below = ancestors(parents, goods)
        candidates = sorted(ancestors(parents, [bad]) - below)
        found = _find_good(parents, kinds, candidates, below, good_kinds)
        if bad in found:
            return NoDifference(judged.bad, found[bad])
        if found:
            goods.update(found)
            continue
        first = next(each for each in candidates if kinds[each] in bad_kinds or each == bad)
        if first == bad:
            return Settled(bad, frozenset(goods))
        bad = first


def _find_good(
    parents: Parents,
    kinds: Sequence[Hashable],
    candidates: Iterable[int],
    below: Collection[int],
    good_kinds: Mapping[Hashable, int],
) -> dict[int, int]:
    """Candidates that are what a good commit is, or what one of its ancestors is above them."""
    found: dict[int, int] = {}
    for each in candidates:
        kind = kinds[each]
        if kind in good_kinds:
            found[each] = good_kinds[kind]
            continue
        for parent in parents[each]:
            if parent in below and kinds[parent] == kind:
                found[each] = parent
                break
    return found


class Simplified(NamedTuple):
    """A history of those candidates that differ from their parents."""

    commits: list[int]
    """In order; they lead to the bad one."""
    parents: Links
    bad: int
    """What the bad commit is equal to."""
    members: Mapping[int, Sequence[int]]
    """Commit -> those that can be tested in its place; missing: itself alone."""


def simplify(parents: Parents, settled: Settled, kinds: Sequence[Hashable]) -> Simplified:
    """Leave out candidates that are of the kind of a parent, as git-log(1) does for paths."""
    candidates = find_candidates(parents, settled.bad, settled.goods)
    inside = set(candidates)
    stands_for: dict[int, int] = {}
    members: dict[int, list[int]] = {}
    simple: dict[int, list[int]] = {}
    for each in candidates:
        equal = (p for p in parents[each] if p in inside and kinds[p] == kinds[each])
        parent = next(equal, None)
        place = stands_for[each] = each if parent is None else stands_for[parent]
        members.setdefault(place, []).append(each)
        if place == each:
            found = (stands_for[p] for p in parents[each] if p in inside)
            simple[each] = list(dict.fromkeys(found))
    bad = stands_for[settled.bad]
    reached = {bad}
    for each in sorted(simple, reverse=True):
        if each in reached:
            reached.update(simple[each])
    return Simplified(sorted(reached), simple, bad, members)


def find_possible(
    parents: Parents, judged: Judged, kinds: Sequence[Hashable] | None = None
) -> list[int]:
    """The commits that `decide` would still give as the first bad one, in order."""
    if kinds is None:
        return find_candidates(parents, judged.bad, judged.goods)
    settled = settle(parents, judged, kinds)
    if isinstance(settled, NoDifference):
        return []
    return simplify(parents, settled, kinds).commits


# ---- choosing ----


def weigh(commits: Sequence[int], parents: Links) -> dict[int, int]:
    """Of each commit how many of these it descends from, itself included. They are in order.

    Sets are bits of numbers, and forgotten when the last child has been seen; where there is no
    merge, none are made.
    """
    inside = set(commits)
    above = {each: [p for p in parents[each] if p in inside] for each in commits}
    if all(len(found) < 2 for found in above.values()):
        weights: dict[int, int] = {}
        for each in commits:
            weights[each] = 1 + sum(weights[p] for p in above[each])
        return weights
    children = Counter(p for found in above.values() for p in found)
    sets: dict[int, int] = {}
    weights = {}
    for position, each in enumerate(commits):
        bits = 1 << position
        for parent in above[each]:
            bits |= sets[parent]
            children[parent] -= 1
            if not children[parent]:
                del sets[parent]
        sets[each] = bits
        weights[each] = bits.bit_count()
    return weights


def _choose(history: Simplified, skipped: Collection[int]) -> Decision:
    """The commit that divides best, or that can be tested."""
    total = len(history.commits)
    if total == 1:
        return Found(history.bad)
    weights = weigh(history.commits, history.parents)
    others = [each for each in history.commits if each != history.bad]
    others.sort(key=lambda each: -min(weights[each], total - weights[each]))  # stable
    testable: list[tuple[int, int]] = []
    for each in others:
        free = (m for m in history.members.get(each, (each,)) if m not in skipped)
        testable += [(each, member) for member in islice(free, 1)]
    if not testable:
        return OnlySkipped((*sorted(others), history.bad))
    place = 0 if testable[0][0] == others[0] else skip_away(len(testable))
    chosen, commit = testable[place]
    return Next(commit, total - weights[chosen] - 1, estimate_steps(total))


_MODULUS = 32768
"""Of git's generator of numbers that look random, which is that of POSIX's rand(3)."""


def skip_away(count: int) -> int:
    """A place in a list of so many; the nearer to the front, the likelier."""
    number = (count * 1103515245 + 12345) // 65536 % _MODULUS
    return int(count * number / _MODULUS * (number / _MODULUS) ** 0.5)


def estimate_steps(total: int) -> int:
    """How many tests so many candidates roughly take: an average, so that it can be one more."""
    if total < 3:
        return max(0, total - 1)
    power = total.bit_length() - 1
    rest = total - (1 << power)
    return power if (1 << power) < 3 * rest else power - 1
