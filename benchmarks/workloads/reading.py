# SPDX-License-Identifier: LGPL-2.1-or-later
"""Through a mount: cold find, a large file read cold, and the memory of the daemon."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.machine import drop_caches
from benchmarks.measure import BenchmarkError, Subject, Trial, run_quietly, say
from benchmarks.model import Bar, Comparison, Failure, Outcome, Sample, Series
from benchmarks.mounts import mounted, resident_bytes
from benchmarks.session import BRANCH, LARGE_NAME
from benchmarks.workloads.benchmark import Benchmark, interleaved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.measure import Command
    from benchmarks.session import Prepared, Session

    _Mount = Callable[[Prepared, Path], Command]

_OURS = "ostreefs mount"
_SQUASHFUSE = "squashfuse"
_SQUASHFUSE_LL = "squashfuse_ll"
_BORG = "borg mount"
_DISK = "the tree itself on disk"
_SIZES = ("-printf", "%s\\n")
_MEMORY_ENTRIES = "140,000 entries"


def _mounts(session: Session) -> dict[str, _Mount]:
    return {
        _OURS: lambda it, at: session.ours.mount(it.ours, at),
        _SQUASHFUSE: lambda it, at: ("squashfuse", it.squashfs, at),
        _SQUASHFUSE_LL: lambda it, at: ("squashfuse_ll", it.squashfs, at),
        _BORG: lambda it, at: ("borg", "mount", f"{it.borg}::{BRANCH}", at),
    }


def _cold(
    name: str,
    prepared: Callable[[], Prepared],
    mount: _Mount,
    use: Callable[[Path], Command],
) -> Subject:
    """Mount afresh, then empty the caches, then time one command on the mount."""

    @contextmanager
    def trial() -> Iterator[Trial]:
        where = prepared()
        mountpoint = where.mountpoint("cold")
        with mounted(mount(where, mountpoint), mountpoint):
            drop_caches()
            yield Trial((use(mountpoint),))

    return Subject(name, trial)


def _cold_on_disk(prepared: Callable[[], Prepared], use: Callable[[Path], Command]) -> Subject:
    @contextmanager
    def trial() -> Iterator[Trial]:
        tree = prepared().tree
        drop_caches()
        yield Trial((use(tree),))

    return Subject(_DISK, trial)


def _find(root: Path) -> Command:
    return ("find", root, *_SIZES)


def _read_large(root: Path) -> Command:
    return ("dd", f"if={root / LARGE_NAME}", "of=/dev/null", "bs=1M", "status=none")


def _find_subjects(session: Session) -> list[Subject]:
    mounts = _mounts(session).items()
    subjects = [_cold(name, lambda: session.real, mount, _find) for name, mount in mounts]
    return [*subjects, _cold_on_disk(lambda: session.real, _find)]


def _large_subjects(session: Session) -> list[Subject]:
    mounts = _mounts(session)
    return [
        *(
            _cold(name, lambda: session.large, mounts[name], _read_large)
            for name in (_OURS, _SQUASHFUSE, _SQUASHFUSE_LL)
        ),
        _cold_on_disk(lambda: session.large, _read_large),
    ]


def _measure_memory(session: Session) -> Outcome:
    """The daemons' resident memory after find has walked a whole mount."""
    series: list[Series] = []
    failures: list[Failure] = []
    for name, mount in _mounts(session).items():
        try:
            sample = Sample(_walked_megabytes(session.entries, mount))
        except (BenchmarkError, OSError) as error:
            failures.append(Failure(name, str(error)))
            say(f"  {name}: could not run: {error}")
        else:
            series.append(Series(name, (sample,), "MB"))
            say(f"  {name}: {sample.value:.1f} MB")
    return Outcome("memory", tuple(series), tuple(failures), _MEMORY_ROWS)


def _walked_megabytes(prepared: Prepared, mount: _Mount) -> float:
    mountpoint = prepared.mountpoint("memory")
    with mounted(mount(prepared, mountpoint), mountpoint):
        run_quietly(*_find(mountpoint))
        return resident_bytes(mountpoint) / 1e6


_MEMORY_ROWS = (
    Comparison(f"daemon memory after {_MEMORY_ENTRIES}", _OURS, None, Bar.below(80)),
    Comparison(f"daemon memory after {_MEMORY_ENTRIES}", _OURS, _SQUASHFUSE),
    Comparison(f"daemon memory after {_MEMORY_ENTRIES}", _OURS, _BORG),
)

BENCHMARKS = (
    interleaved(
        "find",
        "find -printf '%s\\n' over a mount of the tree, caches cold",
        _find_subjects,
        (
            Comparison("cold find", _OURS, _SQUASHFUSE, Bar.at_most(1)),
            Comparison("cold find", _OURS, _SQUASHFUSE_LL, Bar.at_most(1)),
            Comparison("cold find", _OURS, _BORG),
            Comparison("cold find", _OURS, _DISK),
        ),
    ),
    interleaved(
        "large",
        "sequential read of one large file that does not compress, caches cold",
        _large_subjects,
        (
            Comparison("large file, cold", _OURS, _SQUASHFUSE, Bar.at_most(1)),
            Comparison("large file, cold", _OURS, _SQUASHFUSE_LL, Bar.at_most(1)),
            Comparison("large file, cold", _OURS, _DISK),
        ),
    ),
    Benchmark(
        "memory", f"memory of the daemon after a walk of {_MEMORY_ENTRIES}", _measure_memory
    ),
)
