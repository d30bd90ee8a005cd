# SPDX-License-Identifier: LGPL-2.1-or-later
"""Into the store and out of it: first commit, commit again, checkout, fsck."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.measure import Subject, Trial, run_quietly
from benchmarks.model import Bar, Comparison
from benchmarks.session import OSTREE, Program, Session, user_flags
from benchmarks.workloads.benchmark import interleaved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from benchmarks.measure import Command

    _Trials = Callable[[], AbstractContextManager[Trial]]

_COMMIT = "ostreefs commit"
_CONSUME = "ostreefs commit --consume"
_OSTREE_COMMIT = "ostree commit"
_OSTREE_NO_FSYNC = "ostree commit --disable-fsync (not durable)"
_OSTREE_CONSUME = "ostree commit --consume"
_CP_SYNC = "cp -a; sync -f"
_FIND = "find -printf"
_CHECKOUT = "ostreefs checkout -H"
_OSTREE_CHECKOUT = "ostree checkout -H"
_CP_LINKS = "cp -al"
_FSCK = "ostreefs fsck"
_OSTREE_FSCK = "ostree fsck"


def _first_commit(session: Session, program: Program, *flags: str) -> _Trials:
    @contextmanager
    def trial() -> Iterator[Trial]:
        with session.storage.fresh("commit") as root:
            repo = root / "repo"
            run_quietly(*program.init(repo))
            yield Trial((program.commit(repo, session.tree, *flags),))

    return trial


def _consume(session: Session, program: Program) -> _Trials:
    @contextmanager
    def trial() -> Iterator[Trial]:
        with session.storage.fresh("consume") as root:
            repo, copy = root / "repo", root / "tree"
            run_quietly(*program.init(repo))
            run_quietly("cp", "-a", session.tree, copy)
            yield Trial((program.commit(repo, copy, "--consume"),))
            session.storage.settle()

    return trial


def _copy(session: Session) -> _Trials:
    @contextmanager
    def trial() -> Iterator[Trial]:
        with session.storage.fresh("copy") as root:
            copy = root / "tree"
            yield Trial((("cp", "-a", session.tree, copy), ("sync", "-f", copy)))

    return trial


def _warm(command: Callable[[], Command], name: str) -> Subject:
    """A subject whose one command starts from something that is prepared on first use."""

    @contextmanager
    def trial() -> Iterator[Trial]:
        yield Trial((command(),))

    return Subject(name, trial, warm_up=1)


def _commit_subjects(session: Session) -> list[Subject]:
    return [
        Subject(_COMMIT, _first_commit(session, session.ours)),
        Subject(_OSTREE_COMMIT, _first_commit(session, OSTREE)),
        Subject(_CP_SYNC, _copy(session)),
        Subject(_OSTREE_NO_FSYNC, _first_commit(session, OSTREE, "--disable-fsync")),
    ]


def _consume_subjects(session: Session) -> list[Subject]:
    return [
        Subject(_CONSUME, _consume(session, session.ours)),
        Subject(_OSTREE_COMMIT, _first_commit(session, OSTREE)),
        Subject(_OSTREE_CONSUME, _consume(session, OSTREE)),
    ]


def _again_subjects(session: Session) -> list[Subject]:
    real = session.real
    return [
        _warm(lambda: session.ours.commit(real.ours, real.tree), _COMMIT),
        _warm(lambda: OSTREE.commit(real.ostree, real.tree), _OSTREE_COMMIT),
        _warm(lambda: ("find", real.tree, "-printf", "%s\\n"), _FIND),
    ]


def _checkout_subjects(session: Session) -> list[Subject]:
    real = session.real
    flags = ("-H", *user_flags(), "bench")

    def target() -> Path:
        return session.storage.new_path("checkout")

    return [
        _warm(lambda: session.ours.verb(real.ours, "checkout", *flags, target()), _CHECKOUT),
        _warm(lambda: OSTREE.verb(real.ostree, "checkout", *flags, target()), _OSTREE_CHECKOUT),
        # From a copy of our own: links to the user's files would change their ctime.
        _warm(lambda: ("cp", "-al", real.copy, target()), _CP_LINKS),
    ]


def _fsck_subjects(session: Session) -> list[Subject]:
    real = session.real
    return [
        _warm(lambda: session.ours.verb(real.ours, "fsck", "-q"), _FSCK),
        _warm(lambda: OSTREE.verb(real.ostree, "fsck", "-q"), _OSTREE_FSCK),
    ]


BENCHMARKS = (
    interleaved(
        "commit",
        "first commit of the tree into a new repository, durable at the end",
        _commit_subjects,
        (
            Comparison("first commit", _COMMIT, _OSTREE_COMMIT, Bar.faster(2.5)),
            Comparison("first commit", _COMMIT, _CP_SYNC, Bar.at_most(0.6)),
            Comparison("first commit", _COMMIT, _OSTREE_NO_FSYNC),
        ),
        first_writes=4,
    ),
    interleaved(
        "consume",
        "first commit with --consume, which moves files in instead of copying them",
        _consume_subjects,
        (
            Comparison("first commit, --consume", _CONSUME, _OSTREE_COMMIT, Bar.faster(8)),
            Comparison("first commit, --consume", _CONSUME, _OSTREE_CONSUME),
        ),
        first_writes=3,
    ),
    interleaved(
        "checkout",
        "hardlink checkout of the tree",
        _checkout_subjects,
        (
            Comparison("hardlink checkout", _CHECKOUT, _OSTREE_CHECKOUT, Bar.at_most(1)),
            Comparison("hardlink checkout", _CHECKOUT, _CP_LINKS, Bar.at_most(1.3)),
        ),
    ),
    interleaved(
        "fsck",
        "check every object of a repository with the tree, caches warm",
        _fsck_subjects,
        (Comparison("fsck", _FSCK, _OSTREE_FSCK, Bar.faster(3)),),
    ),
    interleaved(
        "again",
        "second and later commits of the unchanged tree",
        _again_subjects,
        (
            Comparison("commit, tree unchanged", _COMMIT, _OSTREE_COMMIT, Bar.faster(15)),
            Comparison("commit, tree unchanged", _COMMIT, _FIND, Bar.at_most(2)),
        ),
    ),
)
