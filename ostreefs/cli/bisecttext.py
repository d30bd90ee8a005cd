# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bisections for a person and for JSON."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import msgspec

from ostreefs.bisect.algorithm import Found, Next, OnlySkipped
from ostreefs.cli.diff import format_stats
from ostreefs.cli.output import inform, one_line
from ostreefs.cli.packages import format_packages
from ostreefs.text import format_time
from ostreefs_store.model import Digest
from ostreefs_store.refs import read_commit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ostreefs.bisect.report import BisectionReport, Candidate
    from ostreefs.bisect.session import Session, Step
    from ostreefs.bisect.state import Mark, State
    from ostreefs_store.index import Snapshot
    from ostreefs_store.repository import Repository

_SHORT = 12


def print_notes(step: Step) -> None:
    """Say what happened on the way."""
    for note in step.notes:
        inform(one_line(note))


def waiting_for(state: State) -> str:
    """What is missing, in git's words."""
    bad, good = state.names
    has_bad, goods = bool(state.having("bad")), len(state.having("good"))
    if has_bad:
        return f"waiting for {good} commit(s), {bad} commit known"
    if goods:
        known = f"1 {good} commit" if goods == 1 else f"{goods} {good} commits"
        return f"waiting for {bad} commit, {known} known"
    return f"waiting for both {good} and {bad} commits"


def format_step(session: Session, step: Step) -> Iterator[str]:
    """How a bisection stands."""
    bad = step.state.names[0]
    subjects = _subjects(step)
    match step.decision:
        case None:
            yield "status: " + waiting_for(step.state)
        case Next(_, left, steps, is_merge_base):
            what = "revision" if left == 1 else "revisions"
            often = "step" if steps == 1 else "steps"
            if is_merge_base:
                yield "Bisecting: a merge base must be tested"
            else:
                yield f"Bisecting: {left} {what} left to test after this (roughly {steps} {often})"
            yield subjects[0]
            yield f"shown at {one_line(str(session.shown(step.state).place))}"
        case Found():
            yield f"{step.commits[0].hex()} is the first {bad} commit"
        case OnlySkipped():
            yield "There are only 'skip'ped commits left to test."
            yield f"The first {bad} commit could be any of:"
            yield from subjects
        case _:
            pass


def format_test(session: Session, step: Step, words: Sequence[str]) -> Iterator[str]:
    """What is to be tested, where nobody has been told yet, and by which command."""
    if not step.state.was_shown:
        yield from format_step(session, step)
    yield one_line(f"running {shlex.join(words)}")


def _subjects(step: Step) -> list[str]:
    if step.graph is None:
        return []
    numbers = [step.graph.numbers[digest] for digest in step.commits]
    return [
        one_line(f"[{step.graph.ids[n].hex()}] {step.graph.commits[n].subject}").rstrip()
        for n in numbers
    ]


def describe_step(session: Session, step: Step) -> dict[str, object]:
    """The same as a JSON document."""
    outcome = {Next: "testing", Found: "found", OnlySkipped: "only-skipped"}
    document: dict[str, object] = {
        "name": session.name,
        "outcome": outcome.get(type(step.decision), "waiting"),
        "mount": os.fsdecode(step.state.mount),
        "commits": [commit.hex() for commit in step.commits],
        "notes": list(step.notes),
    }
    if isinstance(step.decision, Next):
        document |= {
            "left": step.decision.left,
            "steps": step.decision.steps,
            "merge_base": step.decision.is_merge_base,
        }
    if step.decision is None:
        document["status"] = waiting_for(step.state)
    return document


def format_culprit(repository: Repository, digest: Digest) -> Iterator[str]:
    """The first bad commit, and what it changed."""
    from ostreefs.bisect.reporting import compare_with_parent  # noqa: PLC0415 -- once, at the end

    with repository.index.snapshot() as snapshot:
        commit = read_commit(snapshot, digest)
    yield f"commit {digest.hex()}"
    yield f"Date:  {format_time(commit.timestamp)}"
    yield ""
    yield f"    {one_line(commit.subject)}" if commit.subject else "    (no subject)"
    yield ""
    found = compare_with_parent(repository, digest)
    if found is None:
        yield "What it changed cannot be read: 'ostreefs fsck' tells what is damaged."
        return
    yield from format_stats(found.stats)
    yield from format_packages(found.packages, is_asked=False)


def subject_finder(snapshot: Snapshot) -> Callable[[bytes], str]:
    """A function that gives the subject of a commit; nothing for one that is gone."""

    def find(commit: bytes) -> str:
        if snapshot.find_commit(commit) is None:
            return ""
        return read_commit(snapshot, Digest(commit)).subject

    return find


def describe_mark(mark: Mark, terms: tuple[str, str]) -> dict[str, object]:
    """A verdict as a JSON document."""
    return {
        "commit": mark.commit.hex(),
        "verdict": {"bad": terms[0], "good": terms[1], "skip": "skip"}[mark.word],
        "time": mark.time,
        "reason": mark.reason,
        "status": mark.status,
        "seconds": mark.seconds,
    }


# ---- reports ----


def describe_report(report: BisectionReport) -> object:
    """A report as a JSON document."""
    return msgspec.to_builtins(report)


def describe_candidates(candidates: Iterable[Candidate]) -> object:
    """Candidates as a JSON document."""
    return [msgspec.to_builtins(each) for each in candidates]


def format_candidates(candidates: Iterable[Candidate], report: BisectionReport) -> Iterator[str]:
    """A line for each commit."""
    for each in candidates:
        verdict = find_word(each, report)
        line = f"{verdict:<10}  {each.commit[:_SHORT]}  {format_time(each.timestamp)}"
        yield one_line(f"{line}  {each.subject}").rstrip()


def find_word(candidate: Candidate, report: BisectionReport) -> str:
    """A verdict in the terms of the bisection."""
    terms = {"good": report.term_good, "bad": report.term_bad, "equal": "equal"}
    if candidate.commit == report.culprit:
        return f"first {report.term_bad}"
    return terms.get(candidate.verdict, candidate.verdict)


def format_report(report: BisectionReport) -> Iterator[str]:
    """A report for a person."""
    yield f"Bisection '{report.name}' of {one_line(report.repository)}"
    yield f"Started:   {format_time(report.started)}"
    if report.command:
        yield f"Command:   {one_line(report.command)}"
    if report.paths:
        yield f"Paths:     {one_line(' '.join(report.paths))}"
    yield f"Outcome:   {_format_outcome(report)}"
    yield ""
    yield from format_candidates(report.candidates, report)
    steps = [each for each in report.candidates if each.step is not None]
    for each in sorted(steps, key=lambda candidate: candidate.step or 0):
        yield from _format_test(each, report)


def _format_outcome(report: BisectionReport) -> str:
    if report.culprit is not None:
        return f"{report.culprit} is the first {report.term_bad} commit"
    left = sum(each.is_left for each in report.candidates)
    return {
        "only-skipped": f"only skipped commits are left, {len(report.possible)} are possible",
        "waiting": "waiting for good and bad commits",
    }.get(report.outcome, f"{left} commits are left")


def _format_test(candidate: Candidate, report: BisectionReport) -> Iterator[str]:
    """How a commit was judged; nothing for one that was named so."""
    if candidate.status is None and not candidate.reason:
        return
    facts = [find_word(candidate, report) if candidate.verdict == "bad" else candidate.verdict]
    if candidate.verdict in {"good", "bad"}:
        facts = [report.term_good if candidate.verdict == "good" else report.term_bad]
    if candidate.reason:
        facts.append(candidate.reason)
    if candidate.status is not None and candidate.seconds is not None:
        facts.append(f"status {candidate.status} after {candidate.seconds:.2f} s")
    yield ""
    yield one_line(f"{candidate.commit[:_SHORT]}: {', '.join(facts)}")
    yield from (f"    {one_line(line)}" for line in candidate.output.splitlines())
