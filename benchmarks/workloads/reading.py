# SPDX-License-Identifier: LGPL-2.1-or-later
"""Content through a mount: a large file in order and by pages, and many small files."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from benchmarks.model import Bar, Comparison
from benchmarks.session import LARGE_NAME
from benchmarks.workloads.benchmark import interleaved
from benchmarks.workloads.contestants import (
    BORG,
    CHECKOUT,
    DISK,
    OURS,
    SQUASHFUSE,
    SQUASHFUSE_LL,
    cold,
    cold_on_disk,
    mounts,
    warm,
    warm_on_disk,
)

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Command, Subject
    from benchmarks.session import Session

_ROUNDS = 5
_PAGES = 500_000
_SAME = Bar.at_most(1.1)
"""How much "the same" may differ from run to run."""


def _access(verb: str, path: Path, number: int) -> Command:
    return (sys.executable, "-m", "benchmarks.access", verb, path, str(number))


def _read_large(root: Path) -> Command:
    return ("dd", f"if={root / LARGE_NAME}", "of=/dev/null", "bs=1M", "status=none")


def _read_pages(root: Path) -> Command:
    return _access("pages", root / LARGE_NAME, _PAGES)


def _read_small(root: Path) -> Command:
    return _access("small", root, _ROUNDS)


def _read_small_once(root: Path) -> Command:
    return _access("small", root, 1)


def _large_subjects(session: Session) -> list[Subject]:
    return [
        *(
            cold(name, lambda: session.large, mount, _read_large)
            for name, mount in mounts(session).items()
        ),
        cold_on_disk(DISK, lambda: session.large.tree, _read_large),
    ]


def _page_subjects(session: Session) -> list[Subject]:
    return [
        *(
            warm(name, lambda: session.large, mount, _read_pages, _read_large)
            for name, mount in mounts(session).items()
        ),
        warm_on_disk(CHECKOUT, lambda: session.large.checkout, _read_pages, _read_large),
    ]


def _small_subjects(session: Session) -> list[Subject]:
    return [
        *(
            warm(name, lambda: session.small, mount, _read_small, _read_small_once)
            for name, mount in mounts(session).items()
        ),
        warm_on_disk(CHECKOUT, lambda: session.small.checkout, _read_small, _read_small_once),
    ]


BENCHMARKS = (
    interleaved(
        "large",
        "sequential read of one large file that does not compress, caches cold",
        _large_subjects,
        (
            Comparison("large file, cold", OURS, SQUASHFUSE, Bar.at_most(1)),
            Comparison("large file, cold", OURS, SQUASHFUSE_LL, Bar.at_most(1)),
            Comparison("large file, cold", OURS, BORG, Bar.faster(5)),
            Comparison("large file, cold", OURS, DISK),
        ),
    ),
    interleaved(
        "pages",
        f"{_PAGES:,} reads of 4 KiB from all over the large file, all of it cached",
        _page_subjects,
        (
            Comparison("random 4 KiB, warm", OURS, CHECKOUT, _SAME),
            Comparison("random 4 KiB, warm", OURS, SQUASHFUSE),
            Comparison("random 4 KiB, warm", OURS, BORG),
        ),
    ),
    interleaved(
        "small",
        f"open, read and close 10,000 small files, all of them cached, {_ROUNDS} times",
        _small_subjects,
        (
            Comparison("small files, warm", OURS, SQUASHFUSE, Bar.at_most(2)),
            Comparison("small files, warm", OURS, SQUASHFUSE_LL),
            Comparison("small files, warm", OURS, BORG, Bar.faster(5)),
            Comparison("small files, warm", OURS, CHECKOUT),
        ),
    ),
)
