# SPDX-License-Identifier: LGPL-2.1-or-later
"""Names and attributes through a mount: find, cold and again, and stat of what is known."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from benchmarks.model import Bar, Comparison
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
    find,
    mounts,
    warm,
    warm_on_disk,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.measure import Command, Subject
    from benchmarks.session import Prepared, Session
    from benchmarks.workloads.contestants import Use

_STATS = 1_000_000
_SAME = Bar.at_most(1.1)
"""How much "the same" may differ from run to run."""


def _cold_subjects(session: Session, prepared: Callable[[], Prepared]) -> list[Subject]:
    return [cold(name, prepared, mount, find) for name, mount in mounts(session).items()]


def _warm_subjects(session: Session, prepared: Callable[[], Prepared], use: Use) -> list[Subject]:
    return [warm(name, prepared, mount, use) for name, mount in mounts(session).items()]


def _find_subjects(session: Session) -> list[Subject]:
    return [
        *_cold_subjects(session, lambda: session.real),
        cold_on_disk(DISK, lambda: session.real.tree, find),
    ]


def _find_again_subjects(session: Session) -> list[Subject]:
    return [
        *_warm_subjects(session, lambda: session.real, find),
        warm_on_disk(DISK, lambda: session.real.tree, find),
    ]


def _walk_subjects(session: Session) -> list[Subject]:
    return [
        *_cold_subjects(session, lambda: session.many),
        cold_on_disk(CHECKOUT, lambda: session.many.checkout, find),
    ]


def _walk_again_subjects(session: Session) -> list[Subject]:
    return [
        *_warm_subjects(session, lambda: session.many, find),
        warm_on_disk(CHECKOUT, lambda: session.many.checkout, find),
    ]


def _stat(root: Path) -> Command:
    path = root / "d0042" / "f00042"
    return (sys.executable, "-m", "benchmarks.access", "stat", path, str(_STATS))


def _stat_subjects(session: Session) -> list[Subject]:
    return [
        *_warm_subjects(session, lambda: session.many, _stat),
        warm_on_disk(CHECKOUT, lambda: session.many.checkout, _stat),
    ]


_ENTRIES = "100,000 entries"

BENCHMARKS = (
    interleaved(
        "find",
        "find -printf '%s\\n' over a mount of the tree, caches cold",
        _find_subjects,
        (
            Comparison("cold find", OURS, SQUASHFUSE, Bar.at_most(1)),
            Comparison("cold find", OURS, SQUASHFUSE_LL, Bar.at_most(1)),
            Comparison("cold find", OURS, BORG, Bar.faster(5)),
            Comparison("cold find", OURS, DISK),
        ),
    ),
    interleaved(
        "find-again",
        "the same find once more",
        _find_again_subjects,
        (
            Comparison("warm find", OURS, SQUASHFUSE, Bar.at_most(3)),
            Comparison("warm find", OURS, SQUASHFUSE_LL),
            Comparison("warm find", OURS, BORG, Bar.faster(5)),
            Comparison("warm find", OURS, DISK),
        ),
    ),
    interleaved(
        "walk",
        f"find -printf '%s\\n' over a mount of {_ENTRIES}, caches cold",
        _walk_subjects,
        (
            Comparison(f"cold find, {_ENTRIES}", OURS, SQUASHFUSE, Bar.faster(1.2)),
            Comparison(f"cold find, {_ENTRIES}", OURS, SQUASHFUSE_LL),
            Comparison(f"cold find, {_ENTRIES}", OURS, CHECKOUT, Bar.at_most(1)),
            Comparison(f"cold find, {_ENTRIES}", OURS, BORG, Bar.faster(5)),
        ),
    ),
    interleaved(
        "walk-again",
        f"the same find of {_ENTRIES} once more",
        _walk_again_subjects,
        (
            Comparison(f"warm find, {_ENTRIES}", OURS, SQUASHFUSE, Bar.at_most(3)),
            Comparison(f"warm find, {_ENTRIES}", OURS, SQUASHFUSE_LL),
            Comparison(f"warm find, {_ENTRIES}", OURS, CHECKOUT),
            Comparison(f"warm find, {_ENTRIES}", OURS, BORG, Bar.faster(5)),
        ),
    ),
    interleaved(
        "stat",
        f"{_STATS:,} times stat of one path that is cached",
        _stat_subjects,
        (
            Comparison("stat of a cached path", OURS, CHECKOUT, _SAME),
            Comparison("stat of a cached path", OURS, SQUASHFUSE),
            Comparison("stat of a cached path", OURS, BORG),
        ),
    ),
)
