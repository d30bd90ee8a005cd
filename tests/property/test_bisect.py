# SPDX-License-Identifier: LGPL-2.1-or-later
"""The first bad commit of any history is found, in few steps, and never is it another one."""

import math
from collections.abc import Sequence
from contextlib import suppress
from itertools import product

from hypothesis import assume, given
from hypothesis import strategies as st

from ostreefs.bisect.algorithm import (
    Decision,
    Found,
    Judged,
    Next,
    NoDifference,
    OnlySkipped,
    ancestors,
    decide,
    find_candidates,
    weigh,
)
from ostreefs.bisect.errors import BisectError, ReplayError
from ostreefs.bisect.state import (
    Mark,
    State,
    decode_state,
    encode_state,
    format_log,
    parse_log,
)

History = list[list[int]]


@st.composite
def histories(draw: st.DrawFn, most: int = 40) -> History:
    """Commits with up to two parents, the nearer the likelier; the first one is the only root."""
    size = draw(st.integers(2, most))
    distances = st.lists(st.integers(1, 6), min_size=1, max_size=2, unique=True)
    return [[], *(sorted({max(0, n - d) for d in draw(distances)}) for n in range(1, size))]


@st.composite
def faults(draw: st.DrawFn) -> tuple[History, int, int]:
    """A history, a tip that is bad, and the commit that made all bad that descend from it."""
    history = draw(histories())
    tip = len(history) - 1
    culprit = draw(st.sampled_from(sorted(ancestors(history, [tip]) - {0})))
    return history, tip, culprit


def is_bad(history: History, culprit: int, commit: int) -> bool:
    return culprit in ancestors(history, [commit])


def search(
    history: History,
    tip: int,
    culprit: int,
    untestable: frozenset[int] = frozenset(),
    kinds: Sequence[object] | None = None,
) -> tuple[Decision, list[int]]:
    """Answer all questions truly; the end, and what was tested."""
    judged = Judged(tip, frozenset([0]))
    tested: list[int] = []
    guilty = {each for each in range(len(history)) if is_bad(history, culprit, each)}
    while isinstance(decision := decide(history, judged, kinds), Next):
        commit = decision.commit
        assert commit not in tested
        assert commit in find_candidates(history, judged.bad, judged.goods)
        assert commit not in {judged.bad, *judged.skipped}
        tested.append(commit)
        if commit in untestable:
            judged = judged._replace(skipped=judged.skipped | {commit})
        elif commit in guilty:
            judged = judged._replace(bad=commit, bads=judged.bads | {judged.bad})
        else:
            judged = judged._replace(goods=judged.goods | {commit})
    return decision, tested


@given(faults())
def test_the_culprit_is_found(fault: tuple[History, int, int]) -> None:
    history, tip, culprit = fault
    total = len(find_candidates(history, tip, [0]))
    found, tested = search(history, tip, culprit)
    assert found == Found(culprit)
    assert len(tested) <= math.ceil(math.log(total, 1.5)), "two thirds are left at most"


@given(st.integers(1, 200), st.data())
def test_a_history_without_merges_is_halved(size: int, data: st.DataObject) -> None:
    history: History = [[], *([n] for n in range(size))]
    culprit = data.draw(st.integers(1, size))
    found, tested = search(history, size, culprit)
    assert found == Found(culprit)
    assert len(tested) <= math.ceil(math.log2(size))


@given(faults(), st.data())
def test_skipped_commits_never_make_another_one_guilty(
    fault: tuple[History, int, int], data: st.DataObject
) -> None:
    history, tip, culprit = fault
    untestable = data.draw(st.frozensets(st.sampled_from(range(1, len(history)))))
    found, tested = search(history, tip, culprit, untestable)
    candidates = len(find_candidates(history, tip, [0]))
    assert len(tested) <= candidates
    if isinstance(found, Found):
        assert found.commit == culprit
    else:
        assert isinstance(found, OnlySkipped)
        assert culprit in found.commits
        assert set(found.commits[:-1]) <= untestable
        assert found.commits[-1] not in found.commits[:-1]


@given(faults(), st.data())
def test_no_kind_is_tested_twice(fault: tuple[History, int, int], data: st.DataObject) -> None:
    """Kinds that lie on one side: a bad commit is of none that a good one is of."""
    history, tip, culprit = fault
    numbers = data.draw(st.lists(st.integers(0, 3), min_size=tip + 1, max_size=tip + 1))
    kinds = [(is_bad(history, culprit, each), number) for each, number in enumerate(numbers)]
    found, tested = search(history, tip, culprit, kinds=kinds)
    assert isinstance(found, Found)
    of_tested = [kinds[each] for each in tested]
    assert len(set(of_tested)) == len(of_tested)
    assert not {kinds[0], kinds[tip]} & set(of_tested)
    assert is_bad(history, culprit, found.commit), "a change to what is bad"
    assert all(kinds[parent] != kinds[found.commit] for parent in history[found.commit])
    if all(len(parents) < 2 for parents in history):
        assert found.commit == culprit


@given(faults(), st.data())
def test_kinds_and_skipped_commits(fault: tuple[History, int, int], data: st.DataObject) -> None:
    """In a line, where what is to be found is one commit."""
    _, tip, culprit = fault
    history: History = [[], *([n] for n in range(tip))]
    numbers = data.draw(st.lists(st.integers(0, 3), min_size=tip + 1, max_size=tip + 1))
    kinds = [(each >= culprit, number) for each, number in enumerate(numbers)]
    untestable = data.draw(st.frozensets(st.sampled_from(range(1, len(history)))))
    found, _ = search(history, tip, culprit, untestable, kinds)
    assert isinstance(found, Found | OnlySkipped)
    possible = [found.commit] if isinstance(found, Found) else found.commits
    assert culprit in possible


@given(histories(12), st.data())
def test_nothing_differs(history: History, data: st.DataObject) -> None:
    tip = len(history) - 1
    assume(ancestors(history, [tip]) - {0})
    found = decide(history, Judged(tip, frozenset([0])), ["same"] * len(history))
    assert found == NoDifference(tip, 0)


@given(histories(25))
def test_weights_are_numbers_of_ancestors(history: History) -> None:
    commits = list(range(len(history)))
    for inside in (commits, commits[len(commits) // 2 :]):
        weights = weigh(inside, history)
        lower = set(inside)
        for each in inside:
            reached, stack = {each}, [each]
            while stack:
                for parent in history[stack.pop()]:
                    if parent in lower and parent not in reached:
                        reached.add(parent)
                        stack.append(parent)
            assert weights[each] == len(reached)


@given(histories(14), st.data())
def test_goods_on_other_branches(history: History, data: st.DataObject) -> None:
    """Whatever is called good and bad: an answer that holds, or a reason why there is none."""
    numbers = st.sampled_from(range(len(history)))
    bad, good = data.draw(numbers), data.draw(numbers)
    culprits = [c for c in ancestors(history, [bad]) if c not in ancestors(history, [good])]
    judged = Judged(bad, frozenset([good]))
    asked: set[int] = set()
    for culprit, _ in product(culprits, range(1)):
        judged, asked = Judged(bad, frozenset([good])), set()
        while isinstance(decision := decide(history, judged, None, asked), Next):
            if decision.is_merge_base:
                asked.add(decision.commit)
            if is_bad(history, culprit, decision.commit):
                judged = judged._replace(bad=decision.commit)
            else:
                judged = judged._replace(goods=judged.goods | {decision.commit})
        assert decision == Found(culprit)
    if not culprits:
        assert not isinstance(decide(history, judged), Found | Next)


PATHS = st.lists(st.binary(min_size=1).filter(lambda path: b"\0" not in path), max_size=3)


@given(PATHS, st.text())
def test_what_a_log_says_comes_back(paths: list[bytes], subject: str) -> None:
    marks = (Mark("bad", b"\1" * 32, 1, 1), Mark("skip", b"\2" * 32, 1, 2, subject))
    state = State(started=1, terms=("x", "y"), paths=tuple(paths), marks=marks)
    lines = format_log(state, lambda _: subject, [])
    start, bad, skip = parse_log("\n".join(lines), "log")
    written = [word.encode("utf-8", "surrogateescape") for word in start.words]
    assert written == [b"--term-new=x", b"--term-old=y", *([b"--", *paths] if paths else [])]
    assert (bad.verb, bad.words) == ("x", (("01" * 32),))
    assert (skip.verb, skip.words) == ("skip", (("02" * 32),))


@given(st.text() | st.text(alphabet="gitbsecar'\"\\ \n#").map("git bisect start ".__add__))
def test_garbage_is_no_log(text: str) -> None:
    with suppress(ReplayError):
        parse_log(text, "log")


@given(st.binary() | st.binary(min_size=1).map(encode_state(State(started=1)).__add__))
def test_garbage_is_no_state(encoded: bytes) -> None:
    with suppress(BisectError):
        decode_state(encoded, "x")
