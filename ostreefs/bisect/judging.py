# SPDX-License-Identifier: LGPL-2.1-or-later
"""What follows from the verdicts of a bisection on its history. Touches no disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ostreefs.bisect.algorithm import (
    Decision,
    GoodIsNewer,
    Judged,
    Next,
    NoDifference,
    Unrelated,
    find_candidates,
)
from ostreefs.bisect.errors import (
    BisectError,
    GoodIsNewerError,
    MergeBaseIsBadError,
    NoDifferenceError,
    UnrelatedError,
)
from ostreefs_store.model import Digest

if TYPE_CHECKING:
    from ostreefs.bisect.ranges import Graph
    from ostreefs.bisect.state import State, Word


def judged_of(state: State, graph: Graph) -> Judged:
    """The verdicts as the algorithm takes them; commits that are gone do not count.

    Of several bad commits the one counts last that leaves the fewest candidates. Raises
    `BisectError` when no bad or no good commit is left.
    """
    numbers = graph.numbers

    def of(word: Word) -> list[int]:
        return [numbers[Digest(c)] for c in state.having(word) if Digest(c) in numbers]

    bads, goods = of("bad"), of("good")
    for found, term in zip((bads, goods), state.names, strict=True):
        if not found:
            raise BisectError(
                f"no {term} commit is in the repository any more",
                hint=f"name one that is there with 'ostreefs bisect {term} REV'",
            )
    bad = bads[-1]
    if len(bads) > 1:
        bad = min({bad, *set(bads).intersection(find_candidates(graph.parents, bad, goods))})
    return Judged(bad, frozenset(goods), frozenset(of("skip")), frozenset(bads) - {bad})


def with_current(state: State, graph: Graph | None, decision: Decision | None) -> State:
    """The state in which what was decided on is to be tested."""
    current = None
    is_merge_base = False
    if graph is not None and isinstance(decision, Next):
        current = graph.ids[decision.commit]
        is_merge_base = decision.is_merge_base
    was_shown = state.was_shown and current == state.current
    return msgspec.structs.replace(
        state, current=current, is_merge_base=is_merge_base, was_shown=was_shown
    )


def find_needed(state: State, graph: Graph | None) -> set[Digest]:
    """What must not be pruned: everything that was judged, and all that may be the answer."""
    needed = {Digest(mark.commit) for mark in state.marks}
    if graph is not None:
        judged = judged_of(state, graph)
        candidates = find_candidates(graph.parents, judged.bad, judged.goods)
        needed.update(graph.ids[each] for each in candidates)
    return needed


def raise_problem(decision: Decision, graph: Graph, state: State) -> None:
    """Raise `BisectError` for a decision that leaves nothing to do."""
    terms = state.names
    match decision:
        case GoodIsNewer(bad, goods, was_asked):
            kind = MergeBaseIsBadError if was_asked else GoodIsNewerError
            raise kind(graph.ids[bad], [graph.ids[good] for good in goods], terms)
        case Unrelated(bad, good):
            raise UnrelatedError(graph.ids[bad], graph.ids[good], terms)
        case NoDifference(bad, good):
            raise NoDifferenceError(graph.ids[bad], graph.ids[good], terms)
        case _:
            pass
