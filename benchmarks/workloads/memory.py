# SPDX-License-Identifier: LGPL-2.1-or-later
"""The memory of mounts' daemons, and a repository beyond all measure."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.machine import drop_inodes
from benchmarks.measure import BenchmarkError, run_quietly, say
from benchmarks.model import Bar, Comparison, Failure, Outcome, Sample, Series
from benchmarks.mounts import mounted, resident_bytes
from benchmarks.session import GIANT_COMMITS, GIANT_FILES
from benchmarks.workloads.benchmark import Benchmark
from benchmarks.workloads.contestants import BORG, OURS, SQUASHFUSE, find, mounts

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.session import Prepared, Session
    from benchmarks.workloads.contestants import Mount

_ENTRIES = "140,000 entries"
_PATIENCE = 10.0
"""Seconds for a daemon to hear of everything that the kernel drops."""

_WALKED = "ostreefs mount, walked"
_DROPPED = "ostreefs mount, after the kernel dropped all of it"


def _measure_memory(session: Session) -> Outcome:
    """The daemons' resident memory after find has walked a whole mount."""
    series: list[Series] = []
    failures: list[Failure] = []
    for name, mount in mounts(session).items():
        try:
            sample = Sample(_walked_megabytes(session.entries, mount))
        except (BenchmarkError, OSError) as error:
            failures.append(Failure(name, str(error)))
            say(f"  {name}: could not run: {error}")
        else:
            series.append(Series(name, (sample,), "MB"))
            say(f"  {name}: {sample.value:.1f} MB")
    return Outcome("memory", tuple(series), tuple(failures), _MEMORY_ROWS)


def _walked_megabytes(prepared: Prepared, mount: Mount) -> float:
    mountpoint = prepared.mountpoint("memory")
    with mounted(mount(prepared, mountpoint), mountpoint):
        run_quietly(*find(mountpoint))
        return _megabytes(mountpoint)


def _measure_giant(session: Session) -> Outcome:
    """Our daemon's resident memory after a walk of the giant, and after it was forgotten."""
    mountpoint = session.mountpoint("giant")
    with mounted(session.ours.mount(session.giant, mountpoint), mountpoint):
        run_quietly(*find(mountpoint))
        walked = _megabytes(mountpoint)
        drop_inodes()
        dropped = _settled_megabytes(mountpoint)
    say(f"  {walked:.1f} MB, then {dropped:.1f} MB")
    series = (
        Series(_WALKED, (Sample(walked),), "MB"),
        Series(_DROPPED, (Sample(dropped),), "MB"),
    )
    return Outcome("giant", series, (), _GIANT_ROWS)


def _settled_megabytes(mountpoint: Path) -> float:
    """What is left when the memory no longer falls."""
    deadline = time.monotonic() + _PATIENCE
    lowest = _megabytes(mountpoint)
    while time.monotonic() < deadline:
        time.sleep(0.5)
        found = _megabytes(mountpoint)
        if found >= lowest:
            break
        lowest = found
    return lowest


def _megabytes(mountpoint: Path) -> float:
    return resident_bytes(mountpoint) / 1e6


_MEMORY_ROWS = (
    Comparison(f"daemon memory after {_ENTRIES}", OURS, None, Bar.below(80)),
    Comparison(f"daemon memory after {_ENTRIES}", OURS, SQUASHFUSE),
    Comparison(f"daemon memory after {_ENTRIES}", OURS, BORG),
)
_GIANT = f"{GIANT_FILES:,} entries, {GIANT_COMMITS:,} commits"
_GIANT_ROWS = (
    Comparison(f"daemon memory after {_GIANT}", _WALKED, None, Bar.below(150)),
    Comparison("the same after dropping inodes", _DROPPED, None, Bar.below(80)),
)

BENCHMARKS = (
    Benchmark("memory", f"memory of the daemon after a walk of {_ENTRIES}", _measure_memory),
    Benchmark("giant", f"memory of the daemon after a walk of {_GIANT}", _measure_giant),
)
