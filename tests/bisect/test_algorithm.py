# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is tested next, and what cannot be answered."""

import time

import pytest

from ostreefs.bisect.algorithm import (
    Found,
    GoodIsNewer,
    Judged,
    Next,
    NoDifference,
    OnlySkipped,
    Unrelated,
    decide,
    estimate_steps,
    find_possible,
    merge_bases,
    skip_away,
)

LINE = [[], *([n] for n in range(15))]
#     1 - 2 - 3
#    /         \
#   0 - 4 - 5 - 6 - 7        8 - 9 (another history)
FORK = [[], [0], [1], [2], [0], [4], [3, 5], [6], [], [8]]


def judged(bad: int, *goods: int, skipped: tuple[int, ...] = ()) -> Judged:
    return Judged(bad, frozenset(goods), frozenset(skipped))


def test_the_middle_comes_first() -> None:
    assert decide(LINE, judged(15, 7)) == Next(11, left=3, steps=2)
    assert decide(LINE, judged(15, 13)) == Next(14, left=0, steps=1)
    assert decide(LINE, judged(15, 14)) == Found(15)


def test_branches_are_divided_by_what_they_hold() -> None:
    decision = decide(FORK, judged(7, 0))
    assert decision == Next(3, left=3, steps=2)
    assert decide(FORK, judged(7, 3)) == Next(5, left=1, steps=1)
    assert merge_bases(FORK, 3, [5]) == [0]


def test_a_good_commit_on_another_branch() -> None:
    """What both have in common must be good, or good and bad mean something else."""
    decision = decide(FORK, judged(3, 5))
    assert isinstance(decision, Next)
    assert (decision.commit, decision.is_merge_base) == (0, True)
    assert decide(FORK, judged(3, 5, 0)) == Next(1, left=1, steps=1)
    assert decide(FORK, judged(0, 5), asked=[0]) == GoodIsNewer(0, (5,), was_asked=True)
    assert decide(FORK, judged(3, 5, skipped=(0,))) == Next(1, left=1, steps=1)


def test_what_has_no_answer() -> None:
    assert decide(LINE, judged(3, 9)) == GoodIsNewer(3, (9,), was_asked=False)
    assert decide(LINE, judged(3, 3)) == GoodIsNewer(3, (3,), was_asked=False)
    assert decide(FORK, judged(7, 9)) == Unrelated(7, 9)
    assert decide(LINE, judged(9, 2), ["same"] * 16) == NoDifference(9, 2)


def test_only_skipped_ones_are_left() -> None:
    assert decide(LINE, judged(5, 2, skipped=(3, 4))) == OnlySkipped((3, 4, 5))
    assert decide(LINE, judged(5, 2, skipped=(3,))) == Next(4, left=0, steps=1)


def test_skipped_ones_are_left_behind() -> None:
    """Not just the neighbour is tried next: what cannot be tested comes in clusters."""
    long = [[], *([n] for n in range(1000))]
    middle = range(480, 521)
    decision = decide(long, judged(1000, 0, skipped=tuple(middle)))
    assert isinstance(decision, Next)
    assert min(abs(decision.commit - each) for each in middle) > 5


@pytest.mark.parametrize("count", [1, 2, 3, 10, 1000, 100_000])
def test_the_place_is_in_the_list(count: int) -> None:
    assert 0 <= skip_away(count) < count


def test_kinds_are_divided_like_commits() -> None:
    """0-7 are of one kind, 8 and 9, 10 and 11, 12 and 13, 14 and 15 of four others."""
    kinds = [0] * 8 + [n // 2 for n in range(8, 16)]
    assert decide(LINE, judged(15, 0), kinds) == Next(10, left=1, steps=1)
    assert find_possible(LINE, judged(15, 0), kinds) == [8, 10, 12, 14]
    assert decide(LINE, judged(11, 9), kinds) == Found(10)
    assert decide(LINE, judged(11, 0), kinds) == Next(8, left=0, steps=1)


def test_another_one_of_a_kind_is_tested_in_its_place() -> None:
    kinds = [0] * 8 + [1] * 4 + [2] * 4
    assert decide(LINE, judged(15, 0), kinds) == Next(8, left=0, steps=1)
    assert decide(LINE, judged(15, 0, skipped=(8,)), kinds) == Next(9, left=0, steps=1)
    assert decide(LINE, judged(15, 0, skipped=(8, 9, 10, 11)), kinds) == OnlySkipped((8, 12))
    assert decide(LINE, judged(9, 0, skipped=(8,)), kinds) == Found(8)


def test_a_kind_that_comes_back() -> None:
    kinds = ["a", "b", "a", "c", "b", "a", "b", "c", *"defghijk"]
    assert decide(LINE, judged(7, 0), kinds) == Next(6, left=0, steps=1)
    assert decide(LINE, judged(6, 0)._replace(bads=frozenset([7])), kinds) == Found(6)
    assert decide(LINE, judged(7, 0, 6), kinds) == Found(7)


@pytest.mark.parametrize(
    ("total", "steps"),
    [(1, 0), (2, 1), (3, 1), (4, 1), (5, 1), (6, 2), (8, 2), (1023, 9), (1024, 9)],
)
def test_steps(total: int, steps: int) -> None:
    assert estimate_steps(total) == steps


def test_ten_thousand_commits_with_merges() -> None:
    history = [[], *([n, n - 7] if n % 10 == 7 else [n] for n in range(10_000))]
    began = time.monotonic()
    assert isinstance(decide(history, judged(10_000, 0)), Next)
    assert time.monotonic() - began < 5, "it takes 50 ms"
