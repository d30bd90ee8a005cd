# SPDX-License-Identifier: LGPL-2.1-or-later
"""A bisection as a report: what was judged, what is left, what the first bad commit changed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.bisect.algorithm import Found, Next, OnlySkipped, find_possible
from ostreefs.bisect.judging import judged_of
from ostreefs.bisect.report import (
    BisectionReport,
    Candidate,
    Changes,
    Counted,
    Outcome,
    PackageChanged,
    Verdict,
)
from ostreefs_store.bisections import find_held, find_output
from ostreefs_store.comparing.diff import diff_trees
from ostreefs_store.comparing.diffstat import Stats
from ostreefs_store.comparing.packagesets import diff_package_sets
from ostreefs_store.comparing.sides import CommitSide
from ostreefs_store.errors import CorruptionError
from ostreefs_store.model import Digest
from ostreefs_store.refs import find_parent, read_commit

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from ostreefs.bisect.ranges import Graph
    from ostreefs.bisect.session import Session, Step
    from ostreefs.bisect.state import Mark, State
    from ostreefs_store.comparing.diffstat import Count
    from ostreefs_store.comparing.packagesets import PackageDiff
    from ostreefs_store.repository import Repository

_WORDS: dict[str, Verdict] = {"good": "good", "bad": "bad", "skip": "skipped"}


def make_report(session: Session, step: Step) -> BisectionReport:
    """Everything that is known of a bisection."""
    state = step.state
    with session.open(writable=False) as repository:
        with repository.index.snapshot() as snapshot:
            held = find_held(snapshot, session.name)
            graph = session.read_history(snapshot, state)
            kinds = session.read_kinds(snapshot, state, graph)
            outputs = {
                mark.number: find_output(snapshot, session.name, mark.number)
                for mark in state.marks
            }
        culprit = step.commits[0] if isinstance(step.decision, Found) else None
        compared = None if culprit is None else compare_with_parent(repository, culprit)
        return BisectionReport(
            name=session.name,
            repository=str(session.repository),
            term_bad=state.names[0],
            term_good=state.names[1],
            started=state.started,
            outcome=_outcome(step),
            candidates=_describe_candidates(step, graph, kinds, held, outputs),
            tested=sum(mark.status is not None for mark in state.marks),
            paths=tuple(os.fsdecode(path) for path in state.paths),
            command=state.command,
            culprit=None if culprit is None else culprit.hex(),
            possible=tuple(each.hex() for each in step.commits)
            if isinstance(step.decision, OnlySkipped)
            else (),
            changes=None if compared is None else describe_comparison(compared),
        )


def _outcome(step: Step) -> Outcome:
    match step.decision:
        case Found():
            return "found"
        case OnlySkipped():
            return "only-skipped"
        case Next():
            return "open"
        case _:
            return "waiting"


def _describe_candidates(
    step: Step,
    graph: Graph,
    kinds: list[Hashable] | None,
    held: Sequence[Digest],
    outputs: dict[int, bytes],
) -> tuple[Candidate, ...]:
    """The newest first."""
    verdicts = step.state.verdicts
    shown = {graph.numbers[each] for each in held if each in graph.numbers}
    equals = _find_equals(step.state, graph, kinds)
    left = _find_left(step, graph, kinds)
    found: list[Candidate] = []
    for number in sorted(shown, reverse=True):
        digest, commit = graph.ids[number], graph.commits[number]
        mark = verdicts.get(digest)
        model = None if mark is not None else equals.get(number)
        found.append(
            Candidate(
                commit=digest.hex(),
                subject=commit.subject,
                timestamp=commit.timestamp,
                parents=tuple(graph.ids[p].hex() for p in graph.parents[number] if p in shown),
                verdict="equal" if model else _WORDS[mark.word] if mark else "untested",
                is_left=number in left,
                step=None if mark is None else mark.number,
                equal_to=None if model is None else model.commit.hex(),
                shared_verdict=None if model is None else _WORDS[model.word],
                reason="" if mark is None else mark.reason,
                status=None if mark is None else mark.status,
                seconds=None if mark is None else mark.seconds,
                output=outputs[mark.number].decode("utf-8", "replace") if mark else "",
            )
        )
    return tuple(found)


def _find_equals(state: State, graph: Graph, kinds: list[Hashable] | None) -> dict[int, Mark]:
    """Commits -> the mark of one that is equal in the paths that matter."""
    if kinds is None:
        return {}
    marks = {
        kinds[graph.numbers[Digest(commit)]]: mark
        for commit, mark in state.verdicts.items()
        if mark.word != "skip" and Digest(commit) in graph.numbers
    }
    return {number: marks[kind] for number, kind in enumerate(kinds) if kind in marks}


def _find_left(step: Step, graph: Graph, kinds: list[Hashable] | None) -> set[int]:
    """The commits that could still be the first bad one."""
    if step.decision is None:
        return set()
    if not isinstance(step.decision, Next):
        return {graph.numbers[each] for each in step.commits}
    return set(find_possible(graph.parents, judged_of(step.state, graph), kinds))


# ---- what a commit changed ----


class Comparison(NamedTuple):
    """How a commit differs from its first parent; None for a first commit."""

    parent: Digest | None
    stats: Stats
    packages: list[PackageDiff]


def compare_with_parent(repository: Repository, digest: Digest) -> Comparison | None:
    """What a commit changed; None when that cannot be read."""
    with repository.index.snapshot() as snapshot:
        try:
            commit = read_commit(snapshot, digest)
            parent = find_parent(snapshot, digest, commit)
            found = Comparison(parent, Stats(), [])
            old = None if parent is None else read_commit(snapshot, parent).root
            for change in diff_trees(snapshot, old, commit.root):
                found.stats.add(change)
            if parent is not None:
                sides = [CommitSide(repository, snapshot, c.hex()) for c in (parent, digest)]
                found.packages.extend(diff_package_sets(*sides))
        except CorruptionError:
            return None
    return found


def describe_comparison(found: Comparison) -> Changes:
    """The same as plain values."""
    changes = [change for each in found.packages for change in each.changes]
    return Changes(
        parent=None if found.parent is None else found.parent.hex(),
        added=_counted(found.stats.added),
        deleted=_counted(found.stats.deleted),
        modified=_counted(found.stats.modified),
        metadata_only=found.stats.metadata_only,
        growth=found.stats.growth,
        packages=tuple(PackageChanged(**change._asdict()) for change in changes),
        problems=tuple(each.problem for each in found.packages if each.problem is not None),
    )


def _counted(count: Count) -> Counted:
    return Counted(directories=count.directories, files=count.files, size=count.size)
