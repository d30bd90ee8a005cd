# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commits when little of a large tree has changed: its metadata alone, or ten files of it."""

from __future__ import annotations

import itertools
import time
from contextlib import contextmanager
from dataclasses import replace
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

_COMMIT = "ostreefs commit"
_OSTREE_COMMIT = "ostree commit"
_OVERLAY_MANY = "overlay, base of 100,000 files"
_OVERLAY_FEW = "overlay, base of 1,000 files"
_OSTREE_LAYERS = "ostree commit --tree=ref --tree=dir"
_BRANCH = "overlay"
_SETTLED = 0.1
"""Seconds after which a stat cache can trust that a file no longer changes under its time."""


def _modes() -> Iterator[str]:
    """Modes for chmod that no file of a usual tree has, never the same again."""
    for group, others in itertools.product(("", "r", "rx", "rw", "x", "w", "wx", "rwx"), repeat=2):
        if group != others:
            yield f"g={group},o={others}"


def _chmod_subjects(session: Session) -> list[Subject]:
    working = session.working
    modes = _modes()

    def subject(name: str, command: Callable[[], Command]) -> Subject:
        @contextmanager
        def trial() -> Iterator[Trial]:
            prepared = command()
            run_quietly("chmod", "-R", next(modes), working.tree)
            time.sleep(_SETTLED)
            yield Trial((prepared,))

        return Subject(name, trial)

    return [
        subject(_COMMIT, lambda: session.ours.commit(working.ours, working.tree)),
        subject(_OSTREE_COMMIT, lambda: OSTREE.commit(working.ostree, working.tree)),
    ]


def _write_upper(session: Session, tree: Path, mark: str) -> Path:
    """Ten files from all over a tree, changed, as a new directory."""
    files = list_files(tree)
    target = session.storage.new_path("upper")
    write_changed(tree, files[:: max(1, len(files) // CHANGED)][:CHANGED], target, mark)
    return target


def _overlay_subjects(session: Session) -> list[Subject]:
    marks = map("changed {}\n".format, itertools.count())

    def subject(
        name: str, prepared: Callable[[], Prepared], command: Callable[[Prepared, Path], Command]
    ) -> Subject:
        @contextmanager
        def trial() -> Iterator[Trial]:
            where = prepared()
            upper = _write_upper(session, where.tree, next(marks))
            made = command(where, upper)
            time.sleep(_SETTLED)
            yield Trial((made,))

        return Subject(name, trial, warm_up=1)

    def overlay(prepared: Prepared, upper: Path) -> Command:
        trees = (f"--base={BRANCH}", f"--tree=overlay={upper}")
        return session.ours.verb(prepared.ours, "commit", "-b", _BRANCH, *trees)

    def layers(prepared: Prepared, upper: Path) -> Command:
        trees = (f"--tree=ref={BRANCH}", f"--tree=dir={upper}")
        return OSTREE.verb(prepared.ostree, "commit", "-b", _BRANCH, *trees)

    return [
        subject(_OVERLAY_MANY, lambda: session.many, overlay),
        subject(_OVERLAY_FEW, lambda: session.few, overlay),
        subject(_OSTREE_LAYERS, lambda: session.many, layers),
    ]


BENCHMARKS = (
    replace(
        interleaved(
            "chmod",
            "commit after chmod -R of the whole tree, which was committed before",
            _chmod_subjects,
            (Comparison("commit after chmod -R", _COMMIT, _OSTREE_COMMIT, Bar.faster(10)),),
        ),
        prepared_trees=lambda runs: 3 + runs,
    ),
    interleaved(
        "overlay",
        "commit of an overlay's upper directory with 10 changed files",
        _overlay_subjects,
        (
            Comparison("commit of an upper, base of 100,000", _OVERLAY_MANY, None, Bar.below(0.3)),
            Comparison("commit of an upper, base of 100,000", _OVERLAY_MANY, _OSTREE_LAYERS),
            Comparison(
                "the same over 100,000 files as over 1,000",
                _OVERLAY_MANY,
                _OVERLAY_FEW,
                Bar.at_most(1.2),
            ),
        ),
        times=3,
    ),
)
