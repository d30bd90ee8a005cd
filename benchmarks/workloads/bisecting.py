# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long a step of a bisection takes, and how many there are in a history of 1,024 commits."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.measure import Subject, Trial, measure, run_quietly, simple
from benchmarks.model import Bar, Comparison, Outcome, Sample, Series
from benchmarks.session import BRANCH
from benchmarks.trees import make_tree
from benchmarks.workloads.benchmark import Benchmark

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.session import Session

_FAULT = 700
_LONG = 1024
_SHORT = 32
_TIMES = 3

_WHOLE = f"ostreefs bisect run, {_LONG:,} commits"
_TESTED = f"tested of {_LONG:,} commits"
_FEW = "a step of bisect run true, 1,000 files"
_MANY = "a step of bisect run true, 100,000 files"
_START = "ostreefs rev-parse"


class _History(NamedTuple):
    """A repository in which each commit's file ``changing`` has its number, from 0 on."""

    repository: Path
    commits: int
    """Those, the newest, of which one is to be found."""


def _make_history(session: Session, name: str, files_each: int, commits: int) -> _History:
    tree = session.storage.new_path(f"{name}-tree")
    make_tree(tree, directories=100, files_each=files_each)
    repository = session.storage.new_path(name)
    run_quietly(*session.ours.init(repository))
    module = (sys.executable, "-m", "benchmarks.history")
    run_quietly(*module, repository, tree, str(commits + 1))
    return _History(repository, commits)


def _bisecting(
    session: Session, name: str, history: _History, command: tuple[str, ...], tested: list[int]
) -> Subject:
    """`bisect run` from the mount of the first candidate to the answer."""
    mountpoint = session.storage.base / "mnt-bisect"

    @contextmanager
    def trial() -> Iterator[Trial]:
        def verb(*words: str) -> tuple[str | Path, ...]:
            return (*session.ours.verb(history.repository, "bisect", *words),)  # type: ignore[arg-type]  # what a command is made of

        good = f"{BRANCH}~{history.commits}"
        run_quietly(*verb("start", f"--mount={mountpoint}", BRANCH, good))
        try:
            yield Trial((verb("run", *command),), answers=True)
            tested.append(json.loads(run_quietly(*verb("report", "--json")))["tested"])
        finally:
            run_quietly(*verb("reset"))

    return Subject(name, trial, warm_up=1)


def _run(session: Session) -> Outcome:
    long = _make_history(session, "bisected", 10, _LONG)
    short = long._replace(commits=_SHORT)
    many = _make_history(session, "bisected-many", 1000, _SHORT)
    judge = f'read -r n < "$OSTREEFS_MOUNT/changing"; test "$n" -lt {_FAULT}'
    tested: dict[str, list[int]] = {_WHOLE: [], _FEW: [], _MANY: []}
    subjects = [
        _bisecting(session, _WHOLE, long, ("sh", "-c", judge), tested[_WHOLE]),
        _bisecting(session, _FEW, short, ("true",), tested[_FEW]),
        _bisecting(session, _MANY, many, ("true",), tested[_MANY]),
        Subject(_START, simple(*session.ours.verb(long.repository, "rev-parse", BRANCH)), 1),
    ]
    series, failures = measure(subjects, session.runs * _TIMES)
    found = {each.subject: each for each in series}
    if {_WHOLE, _FEW, _MANY, _START} <= found.keys():
        start = found[_START]
        steps = tuple(_of_steps(found[name], start, tested[name][1:]) for name in (_FEW, _MANY))
        counts = tuple(Sample(float(count)) for count in tested[_WHOLE][1:])
        series = (found[_WHOLE], start, *steps, Series(_TESTED, counts, "commits"))
    return Outcome("bisect", series, failures, _ROWS)


def _of_steps(whole: Series, start: Series, tested: list[int]) -> Series:
    """What one step takes, the command included, in milliseconds."""
    values = zip(whole.values, start.values, tested, strict=True)
    samples = (
        Sample((all_of_it - started) * 1000 / count) for all_of_it, started, count in values
    )
    return Series(whole.subject, tuple(samples), "ms")


_ROWS = (
    Comparison("bisecting 1,024 commits with a planted fault", _WHOLE, None, Bar.below(15)),
    Comparison("commits that are tested for that", _TESTED, None, Bar.below(10.5)),
    Comparison(_FEW, _FEW, None, Bar.below(60)),
    Comparison(_MANY, _MANY, _FEW, Bar.at_most(1.5)),
    Comparison(_MANY, _MANY, None, Bar.below(60)),
)

BENCHMARKS = (Benchmark("bisect", "steps of a bisection, and a whole one of 1,024 commits", _run),)
