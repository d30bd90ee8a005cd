# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a benchmark is: a name, and a function from a session to an outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.measure import Subject, measure
from benchmarks.model import Comparison, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.session import Session


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark.

    For the space check: ``first_writes`` is how often a repetition writes the whole tree anew,
    ``prepared_trees`` how often it is stored with so many repetitions, beyond what all share.
    """

    name: str
    about: str
    run: Callable[[Session], Outcome]
    first_writes: int = 0
    prepared_trees: Callable[[int], int] = lambda _: 0


def interleaved(
    name: str,
    about: str,
    subjects: Callable[[Session], list[Subject]],
    comparisons: tuple[Comparison, ...],
    *,
    times: int = 1,
    first_writes: int = 0,
) -> Benchmark:
    """A benchmark that times subjects side by side, ``times`` as often as ``--runs`` says."""

    def run(session: Session) -> Outcome:
        series, failures = measure(subjects(session), session.runs * times)
        return Outcome(name, series, failures, comparisons)

    return Benchmark(name, about, run, first_writes)
