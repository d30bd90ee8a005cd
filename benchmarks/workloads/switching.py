# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long a live mount takes to show another commit."""

from __future__ import annotations

import itertools
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.measure import Subject, Trial, measure, run_quietly, say, simple
from benchmarks.model import Bar, Comparison, Outcome, Sample, Series
from benchmarks.mounts import mounted
from benchmarks.session import BRANCH
from benchmarks.workloads.benchmark import Benchmark
from benchmarks.workloads.contestants import find
from ostreefs.fuse.control import ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.session import Session

_SWITCH = "ostreefs switch"
_DAEMON = "a request to the daemon"
_FLOOR = "python3 importing lmdb and msgspec"
_TIMES = 7


def _revisions() -> Iterator[str]:
    return itertools.cycle((f"{BRANCH}^", BRANCH))


def _measure_switch(session: Session) -> Outcome:
    """Two commits of 100,000 files by turns, in a mount whose directories the kernel knows."""
    mountpoint = session.mountpoint("switch")
    with mounted(session.ours.mount(session.changed.ours, mountpoint), mountpoint):
        subjects = [
            _switching(session, mountpoint),
            Subject(_FLOOR, simple(sys.executable, "-c", "import lmdb, msgspec"), warm_up=1),
        ]
        series, failures = measure(subjects, session.runs * _TIMES)
        asked = _asked(mountpoint, session.runs * _TIMES)
    say(f"  {_DAEMON}: {asked.median * 1000:.2f} ms")
    return Outcome("switch", (*series, asked), failures, _ROWS)


def _switching(session: Session, mountpoint: Path) -> Subject:
    revisions = _revisions()

    @contextmanager
    def trial() -> Iterator[Trial]:
        run_quietly(*find(mountpoint))
        yield Trial(((*session.program, "switch", mountpoint, next(revisions)),))

    return Subject(_SWITCH, trial, warm_up=2)


def _asked(mountpoint: Path, runs: int) -> Series:
    """What the command does without starting a program: from the question to the answer."""
    samples = []
    for revision in itertools.islice(_revisions(), runs):
        run_quietly(*find(mountpoint))
        began = time.perf_counter()
        ask(mountpoint, {"verb": "switch", "revision": revision})
        samples.append(Sample(time.perf_counter() - began))
    return Series(_DAEMON, tuple(samples))


_ROWS = (
    Comparison("switch, the whole command", _SWITCH, _FLOOR, Bar.at_most(2.5)),
    Comparison("switch, inside the daemon", _DAEMON, None, Bar.below(0.010)),
)

BENCHMARKS = (
    Benchmark(
        "switch", "a live mount of 100,000 files shows another commit, 10 differ", _measure_switch
    ),
)
