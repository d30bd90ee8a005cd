# SPDX-License-Identifier: LGPL-2.1-or-later
"""The page of a bisection: how it narrowed down, what it found, what each test printed."""

from __future__ import annotations

import re
from itertools import groupby
from typing import IO, TYPE_CHECKING, NamedTuple

from ostreefs.pages import lines
from ostreefs.pages.chart import WIDTH
from ostreefs.pages.rendering import write_page
from ostreefs.text import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ostreefs.bisect.report import BisectionReport, Candidate

_SHORT = 12
_FOLDED = 6
"""So many commits in a row are folded."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
"""ECMA-48: what tells a terminal about colours, cursors and titles."""


class Range(NamedTuple):
    """A run of commits beside one another, in the coordinates of a stretched picture."""

    x: float
    width: float


class Round(NamedTuple):
    """A verdict, and the commits that could be the first bad one after it."""

    step: int
    commit: str
    subject: str
    kind: str
    word: str
    at: float
    """Where the commit stands, in percent from the left."""
    left: list[Range]
    remaining: int


class ShownCandidate(NamedTuple):
    """A commit as it is written. `kind` is its verdict as the names of styles have it."""

    id: str
    subject: str
    date: str
    kind: str
    word: str
    is_culprit: bool
    is_left: bool
    facts: list[str]
    output: list[str]
    picture: lines.Picture


class Group(NamedTuple):
    """Commits beside one another; those that nobody needs to see are folded into one line."""

    candidates: list[ShownCandidate]
    is_folded: bool


def write_bisection_page(out: IO[bytes], report: BisectionReport) -> None:
    """Write a page that needs nothing else."""
    candidates = report.candidates
    width, pictures = lines.draw_lines([(each.commit, each.parents) for each in candidates])
    shown = [
        _show(each, report, picture) for each, picture in zip(candidates, pictures, strict=True)
    ]
    by_id = {each.id: each for each in shown}
    steps = sorted((each.step, each.commit) for each in candidates if each.step is not None)
    write_page(
        out,
        "bisection.html",
        {
            "report": report,
            "candidates": shown,
            "groups": list(fold(shown)),
            "steps": [(step, by_id[commit]) for step, commit in steps],
            "rounds": list(find_rounds(report)),
            "culprit": by_id.get(report.culprit or ""),
            "possible": [by_id[each] for each in report.possible if each in by_id],
            "left": sum(each.is_left for each in candidates),
            "seconds": sum(each.seconds or 0.0 for each in candidates),
            "terms": {"good": report.term_good, "bad": report.term_bad},
            "graph_width": width,
            "height": lines.HEIGHT,
            "middle": lines.MIDDLE,
            "short": _SHORT,
        },
    )


def _show(candidate: Candidate, report: BisectionReport, picture: lines.Picture) -> ShownCandidate:
    is_culprit = candidate.commit == report.culprit
    word = _find_word(candidate, report)
    return ShownCandidate(
        candidate.commit,
        candidate.subject or "(no subject)",
        format_time(candidate.timestamp)[:16],
        candidate.shared_verdict or candidate.verdict,
        f"first {report.term_bad}" if is_culprit else word,
        is_culprit,
        candidate.is_left,
        list(_find_facts(candidate)),
        clean_output(candidate.output),
        picture,
    )


def _find_word(candidate: Candidate, report: BisectionReport) -> str:
    """A verdict in the terms of the bisection."""
    terms = {"good": report.term_good, "bad": report.term_bad}
    if candidate.verdict == "equal":
        shared = candidate.shared_verdict or "untested"
        return f"{terms.get(shared, shared)}, as its equal"
    return terms.get(candidate.verdict, candidate.verdict)


def _find_facts(candidate: Candidate) -> Iterator[str]:
    if candidate.step is not None:
        yield f"step {candidate.step}"
    if candidate.status is not None:
        yield f"exit status {candidate.status}"
    if candidate.seconds is not None:
        yield f"{candidate.seconds:.2f} s"
    if candidate.reason:
        yield candidate.reason
    if candidate.equal_to is not None:
        yield f"equal to {candidate.equal_to[:_SHORT]}"


def clean_output(text: str) -> list[str]:
    """Lines as a terminal would leave them, without colours, and no blank ones at the end."""
    plain = _ESCAPES.sub("", text).rstrip()
    if not plain:
        return []
    return [
        line.rpartition("\r")[2].expandtabs() for line in plain.replace("\r\n", "\n").split("\n")
    ]


def fold(shown: Sequence[ShownCandidate]) -> Iterator[Group]:
    """Fold what was not tested and is out of question, where its lines run straight on."""
    for is_plain, run in groupby(shown, _is_plain):
        group = list(run)
        yield Group(group, is_folded=is_plain and len(group) >= _FOLDED)


def _is_plain(candidate: ShownCandidate) -> bool:
    return candidate.kind == "untested" and not candidate.is_left and candidate.picture.is_straight


# ---- how the range was narrowed down ----


def find_rounds(report: BisectionReport) -> Iterator[Round]:
    """Each step, with what was left after it; the oldest commit is on the left.

    The first bad commit is an ancestor of every bad one, or that itself, and of no good one.
    """
    candidates = report.candidates
    ancestors = _find_ancestors(candidates)
    left = (1 << len(candidates)) - 1
    judged = sorted(
        (each.step, number) for number, each in enumerate(candidates) if each.step is not None
    )
    for step, number in judged:
        candidate = candidates[number]
        if candidate.verdict == "bad":
            left &= ancestors[number]
        elif candidate.verdict == "good":
            left &= ~ancestors[number]
        yield Round(
            step,
            candidate.commit,
            candidate.subject,
            candidate.verdict,
            _find_word(candidate, report),
            round((len(candidates) - number - 0.5) / len(candidates) * 100, 3),
            list(_find_ranges(left, len(candidates))),
            left.bit_count(),
        )


def _find_ancestors(candidates: Sequence[Candidate]) -> list[int]:
    """For each candidate a bit for every one that it is built on, and for itself."""
    numbers = {each.commit: number for number, each in enumerate(candidates)}
    found = [1 << number for number in range(len(candidates))]
    for number in reversed(range(len(candidates))):
        for parent in candidates[number].parents:
            if parent in numbers:
                found[number] |= found[numbers[parent]]
    return found


def _find_ranges(left: int, count: int) -> Iterator[Range]:
    """Runs of bits, the highest bit on the left."""
    digits = f"{left:0{count}b}"
    for run in re.finditer("1+", digits):
        start, end = run.span()
        yield Range(round(start / count * WIDTH, 3), round((end - start) / count * WIDTH, 3))
