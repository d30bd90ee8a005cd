# SPDX-License-Identifier: LGPL-2.1-or-later
"""A commit out of a base and an addition of ten files: the cost must not depend on the base."""

from __future__ import annotations

import itertools
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.measure import Subject, Trial, run_quietly
from benchmarks.model import Bar, Comparison
from benchmarks.session import BRANCH, CHANGED, OSTREE
from benchmarks.trees import list_files, write_changed
from benchmarks.workloads.benchmark import interleaved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.measure import Command
    from benchmarks.session import Prepared, Session

_MANY = "compose BASE --overlay=REV, base of 100,000 files"
_FEW = "compose BASE --overlay=REV, base of 1,000 files"
_DIRECTORY = "compose BASE --dir=DIR, base of 100,000 files"
_OSTREE = "ostree commit --tree=ref --tree=ref"
_ADDED, _MADE = "added", "composed"
_SETTLED = 0.1
"""Seconds after which a stat cache can trust that a file no longer changes under its time."""


def _write_added(session: Session, tree: Path, mark: str) -> Path:
    """Ten files from all over a tree, changed, as a new directory."""
    files = list_files(tree)
    target = session.storage.new_path("added")
    write_changed(tree, files[:: max(1, len(files) // CHANGED)][:CHANGED], target, mark)
    time.sleep(_SETTLED)
    return target


def _subjects(session: Session) -> list[Subject]:
    marks = map("composed {}\n".format, itertools.count())

    def subject(
        name: str, prepared: Callable[[], Prepared], command: Callable[[Prepared, Path], Command]
    ) -> Subject:
        @contextmanager
        def trial() -> Iterator[Trial]:
            where = prepared()
            yield Trial((command(where, _write_added(session, where.tree, next(marks))),))

        return Subject(name, trial, warm_up=1)

    def overlay(prepared: Prepared, added: Path) -> Command:
        ours = session.ours
        run_quietly(*ours.verb(prepared.ours, "commit", "-b", _ADDED, added))
        return ours.verb(prepared.ours, "compose", "-b", _MADE, BRANCH, f"--overlay={_ADDED}")

    def directory(prepared: Prepared, added: Path) -> Command:
        words = ("compose", "-b", _MADE, BRANCH, f"--dir={added}")
        return session.ours.verb(prepared.ours, *words)

    def layers(prepared: Prepared, added: Path) -> Command:
        run_quietly(*OSTREE.verb(prepared.ostree, "commit", "-b", _ADDED, added))
        trees = (f"--tree=ref={BRANCH}", f"--tree=ref={_ADDED}")
        return OSTREE.verb(prepared.ostree, "commit", "-b", _MADE, *trees)

    return [
        subject(_MANY, lambda: session.many, overlay),
        subject(_FEW, lambda: session.few, overlay),
        subject(_DIRECTORY, lambda: session.many, directory),
        subject(_OSTREE, lambda: session.many, layers),
    ]


BENCHMARKS = (
    interleaved(
        "compose",
        "compose of a base and an addition of 10 files",
        _subjects,
        (
            Comparison("compose, base of 100,000 files", _MANY, None, Bar.below(0.5)),
            Comparison("compose of a directory", _DIRECTORY, None, Bar.below(0.5)),
            Comparison("compose, base of 100,000 files", _MANY, _OSTREE),
            Comparison("the same over 100,000 files as over 1,000", _MANY, _FEW, Bar.at_most(1.2)),
        ),
        times=3,
    ),
)
