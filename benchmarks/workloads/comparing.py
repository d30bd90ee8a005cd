# SPDX-License-Identifier: LGPL-2.1-or-later
"""What differs between two commits of 100,000 files: beyond what starting a command costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.measure import Subject, measure, simple
from benchmarks.model import Bar, Comparison, Outcome, Sample, Series
from benchmarks.session import BRANCH, CHANGED, OSTREE
from benchmarks.workloads.benchmark import Benchmark

if TYPE_CHECKING:
    from benchmarks.session import Session

_DIFF = "ostreefs diff"
_OSTREE_DIFF = "ostree diff"
_START = "ostreefs rev-parse"
_BEYOND = "ostreefs diff, beyond ostreefs rev-parse"
_TIMES = 3
_WORK = f"diff of 100,000 files, {CHANGED} differ"


def _subjects(session: Session) -> list[Subject]:
    pair = session.changed
    words = ("diff", f"{BRANCH}^", BRANCH)
    start = session.ours.verb(pair.ours, "rev-parse", BRANCH)
    return [
        Subject(_DIFF, simple(*session.ours.verb(pair.ours, *words)), warm_up=1),
        Subject(_START, simple(*start), warm_up=1),
        Subject(_OSTREE_DIFF, simple(*OSTREE.verb(pair.ostree, *words)), warm_up=1),
    ]


def _run(session: Session) -> Outcome:
    series, failures = measure(_subjects(session), session.runs * _TIMES)
    found = {each.subject: each for each in series}
    if _DIFF in found and _START in found:
        pairs = zip(found[_DIFF].values, found[_START].values, strict=True)
        beyond = tuple(Sample((whole - start) * 1000) for whole, start in pairs)
        series = (*series, Series(_BEYOND, beyond, "ms"))
    return Outcome("diff", series, failures, _ROWS)


_ROWS = (
    Comparison(_WORK, _DIFF, _OSTREE_DIFF),
    Comparison(f"{_WORK}, beyond start-up", _BEYOND, None, Bar.below(50)),
)

BENCHMARKS = (Benchmark("diff", _WORK, _run),)
