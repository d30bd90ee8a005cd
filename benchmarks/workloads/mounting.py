# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long from the mount command until ``ls`` of the root answers."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.measure import Subject, Trial, simple
from benchmarks.model import Bar, Comparison
from benchmarks.mounts import unmounted_afterwards
from benchmarks.session import BRANCH, GIANT_COMMITS, GIANT_FILES
from benchmarks.workloads.benchmark import interleaved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.measure import Command
    from benchmarks.session import Prepared, Session

_IMPORTS = "import pyfuse3, trio, lmdb, blake3, msgspec"
_FLOOR = "floor: python3 importing the libraries"
_FEW = "mount, 1 commit, 1,000 files"
_HISTORY = "mount, 1,000 commits, 1,000 files"
_ALL = "mount --all, 1,000 commits, 1,000 files"
_MANY = "mount, 1 commit, 100,000 files"
_REAL = "mount, the tree"
_TEN = "mount, 1 commit, 10 files"
_GIANT = f"mount, {GIANT_COMMITS:,} commits, {GIANT_FILES:,} files"
_SQUASHFUSE = "squashfuse"
_BORG = "borg mount"

_SAME = Bar.at_most(1.1)
"""How much "the same" may differ from run to run."""


def _until_ls(
    name: str, prepared: Callable[[], Prepared], command: Callable[[Prepared, Path], Command]
) -> Subject:
    @contextmanager
    def trial() -> Iterator[Trial]:
        where = prepared()
        mountpoint = where.mountpoint("ready")
        mount = command(where, mountpoint)
        with unmounted_afterwards(mountpoint):
            yield Trial((mount, ("ls", mountpoint)), answers=True)

    return Subject(name, trial, warm_up=1)


def _subjects(session: Session) -> list[Subject]:
    ours = session.ours
    return [
        Subject(_FLOOR, simple(sys.executable, "-c", _IMPORTS), warm_up=1),
        _until_ls(_FEW, lambda: session.few, lambda it, at: ours.mount(it.ours, at)),
        _until_ls(_HISTORY, lambda: session.changing, lambda it, at: ours.mount(it.history, at)),
        _until_ls(
            _ALL,
            lambda: session.changing,
            lambda it, at: ours.verb(it.history, "mount", "--all", at),
        ),
        _until_ls(_MANY, lambda: session.many, lambda it, at: ours.mount(it.ours, at)),
        _until_ls(_REAL, lambda: session.real, lambda it, at: ours.mount(it.ours, at)),
        _until_ls(
            _SQUASHFUSE, lambda: session.real, lambda it, at: ("squashfuse", it.squashfs, at)
        ),
        _until_ls(
            _BORG,
            lambda: session.real,
            lambda it, at: ("borg", "mount", f"{it.borg}::{BRANCH}", at),
        ),
    ]


def _giant_subjects(session: Session) -> list[Subject]:
    mount = session.ours.mount
    return [
        _until_ls(_TEN, lambda: session.ten, lambda it, at: mount(it.ours, at)),
        # At the same mount point: the repository is no tree that was prepared.
        _until_ls(_GIANT, lambda: session.ten, lambda _, at: mount(session.giant, at)),
    ]


BENCHMARKS = (
    interleaved(
        "mount",
        "mount until ls of the root answers, caches warm",
        _subjects,
        (
            *(
                Comparison(f"{name}, until ls", name, _FLOOR, Bar.at_most(1.6))
                for name in (_FEW, _HISTORY, _ALL, _MANY)
            ),
            Comparison("the same for 1,000 commits as for 1", _HISTORY, _FEW, _SAME),
            Comparison("the same for 100,000 files as for 1,000", _MANY, _FEW, _SAME),
            Comparison(f"{_REAL}, until ls", _REAL, _SQUASHFUSE),
            Comparison(f"{_REAL}, until ls", _REAL, _BORG),
        ),
        times=3,
    ),
    interleaved(
        "mount-giant",
        "mount until ls of the root answers, for ten files and for all too many",
        _giant_subjects,
        (Comparison("the same for the giant as for ten files", _GIANT, _TEN, _SAME),),
        times=3,
    ),
)
