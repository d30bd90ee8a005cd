# SPDX-License-Identifier: LGPL-2.1-or-later
"""A long history of one tree: what it costs to prune it, to tell its use of space, to keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.measure import BenchmarkError, Subject, run_quietly, say, simple
from benchmarks.model import Bar, Comparison, Failure, Outcome, Sample, Series
from benchmarks.session import HISTORY, OSTREE, SHORT
from benchmarks.workloads.benchmark import Benchmark, interleaved

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.session import Pair, Session

_PRUNE = "ostreefs prune"
_OSTREE_PRUNE = "ostree prune"
_REFS_ONLY = "ostreefs prune --refs-only"
_OSTREE_REFS_ONLY = "ostree prune --refs-only"
_DF = "ostreefs df"
_SHORT = ("ostreefs repository", "ostree repository")
_WIDE = ("ostreefs repository, wide", "ostree repository, wide")


def _prune_subjects(session: Session) -> list[Subject]:
    ours, ostree = session.long.ours, session.long.ostree
    verb = session.ours.verb
    return [
        Subject(_PRUNE, simple(*verb(ours, "prune")), warm_up=1),
        Subject(_OSTREE_PRUNE, simple(*OSTREE.verb(ostree, "prune")), warm_up=1),
        Subject(_REFS_ONLY, simple(*verb(ours, "prune", "--refs-only"))),
        Subject(_OSTREE_REFS_ONLY, simple(*OSTREE.verb(ostree, "prune", "--refs-only"))),
    ]


def _df_subjects(session: Session) -> list[Subject]:
    return [Subject(_DF, simple(*session.ours.verb(session.long.ours, "df")), warm_up=1)]


def _measure_size(session: Session) -> Outcome:
    """Blocks on the disk, as du(1) counts them."""
    series: list[Series] = []
    failures: list[Failure] = []
    wanted: dict[tuple[str, str], Callable[[], Pair]] = {
        _SHORT: lambda: session.short,
        _WIDE: lambda: session.wide,
    }
    for names, pair in wanted.items():
        try:
            repositories = pair()
            for name, repo in zip(names, (repositories.ours, repositories.ostree), strict=True):
                series.append(Series(name, (Sample(_megabytes(repo)),), "MB"))
                say(f"  {name}: {series[-1].median:.1f} MB")
        except (BenchmarkError, OSError) as error:
            failures += [Failure(name, str(error)) for name in names]
            say(f"  {names[0]}: could not run: {error}")
    return Outcome("size", tuple(series), tuple(failures), _SIZE_ROWS)


def _megabytes(repo: Path) -> float:
    return int(run_quietly("du", "-s", "--block-size=1", repo).split()[0]) / 1e6


_LONG = f"{HISTORY:,} commits of 10,000 files"
_SIZE = f"size of {SHORT} commits of 10,000 files, 1 % changed each"
_SIZE_ROWS = (
    Comparison(f"{_SIZE}, 10 a directory", *_SHORT, Bar.at_most(1)),
    Comparison(f"{_SIZE}, 100 a directory", *_WIDE, Bar.at_most(1)),
)

BENCHMARKS = (
    interleaved(
        "prune",
        f"prune with nothing to delete, {_LONG}",
        _prune_subjects,
        (
            Comparison("prune, nothing to delete", _PRUNE, _OSTREE_PRUNE, Bar.faster(10)),
            Comparison(
                "prune --refs-only, nothing to delete",
                _REFS_ONLY,
                _OSTREE_REFS_ONLY,
                Bar.faster(10),
            ),
        ),
    ),
    interleaved(
        "df",
        f"the use of space of {_LONG}",
        _df_subjects,
        (Comparison(f"df, {_LONG}", _DF, None, Bar.below(1)),),
    ),
    Benchmark("size", f"size of a repository with {SHORT} commits", _measure_size),
)
