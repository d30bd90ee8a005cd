# SPDX-License-Identifier: LGPL-2.1-or-later
"""Deployments: a release of 48,000 files beside the one before, a rollback, a long list."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.measure import Subject, Trial, measure, run_quietly, simple
from benchmarks.model import Bar, Comparison, Outcome
from benchmarks.session import BRANCH, OSTREE
from benchmarks.trees import change_files, make_tree
from benchmarks.workloads.benchmark import Benchmark

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.measure import Command
    from benchmarks.session import Program, Session

_DIRECTORIES = 480
_FILES_EACH = 100
_CHANGED = 480
_MANY = 50
_OS = "bench"
_DEPLOY = "ostreefs admin deploy, 48,000 files"
_PEER = "ostree admin deploy, 48,000 files"
_ROLLBACK = "ostreefs admin rollback"
_STATUS = f"ostreefs admin status, {_MANY} deployments"
_MUTABLE = ("env", "OSTREE_SYSROOT_DEBUG=mutable-deployments")
"""Else nobody could delete what ostree has deployed."""


def _make_release(path: Path, *, directories: int) -> Path:
    """A tree that can be deployed by both."""
    (path / "usr").mkdir(parents=True)
    make_tree(path / "usr/share", directories=directories, files_each=_FILES_EACH)
    for name in ("usr/lib/modules/6.1/vmlinuz", "usr/lib/modules/6.1/initramfs.img"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(name.encode() * (1 << 16))
    for name in ("usr/etc/os-release", "usr/lib/os-release"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("ID=bench\nPRETTY_NAME=bench\n")
    return path


class _Sysroot:
    """A sysroot of one of the programs."""

    def __init__(self, session: Session, name: str, program: Program, *setup: str) -> None:
        self.root = session.storage.new_path(name)
        self.root.mkdir(exist_ok=True)
        self.repository = self.root / "ostree/repo"
        self._program = program.program
        run_quietly(*self._program, "admin", "init-fs", *setup, self.root)
        run_quietly(*self.verb("os-init", _OS))

    def verb(self, verb: str, *words: str) -> Command:
        """A verb of `admin`."""
        return (*self._program, "admin", verb, f"--sysroot={self.root}", *words)

    def deploy(self) -> Command:
        """Deploy the branch, and delete nothing."""
        return self.verb("deploy", f"--os={_OS}", "--retain", "--no-prune", BRANCH)


def _loosen(sysroot: _Sysroot) -> None:
    """Let the benchmark's directory be deleted."""
    for path in (sysroot.root / "ostree").iterdir():
        if path.is_dir() and not path.is_symlink():
            run_quietly("chattr", "-f", "-i", path)


def _deploying(session: Session, name: str, sysroot: _Sysroot) -> Subject:
    """A deploy; what it has made goes afterwards, and what that leaves behind is waited for."""

    @contextmanager
    def trial() -> Iterator[Trial]:
        yield Trial((sysroot.deploy(),))
        run_quietly(*sysroot.verb("undeploy", "0"))
        session.storage.settle()

    return Subject(name, trial, warm_up=1)


def _run(session: Session) -> Outcome:
    ostree = type(OSTREE)((*_MUTABLE, *OSTREE.program))
    ours = _Sysroot(session, "deploy-ours", session.ours, "--modern", "--bootloader=bls")
    peer = _Sysroot(session, "deploy-ostree", ostree, "--modern")
    listed = _Sysroot(session, "deploy-many", session.ours, "--modern", "--bootloader=bls")
    try:
        tree = _make_release(session.storage.new_path("release"), directories=_DIRECTORIES)
        for number in range(2):
            for program, sysroot in ((session.ours, ours), (OSTREE, peer)):
                run_quietly(*program.commit(sysroot.repository, tree))
                if number == 0:  # the release before, which stays
                    run_quietly(*sysroot.deploy())
            change_files(tree, _CHANGED)
        small = _make_release(session.storage.new_path("release-small"), directories=1)
        run_quietly(*session.ours.commit(listed.repository, small))
        for _ in range(_MANY):
            run_quietly(*listed.deploy())
        subjects = [
            _deploying(session, _DEPLOY, ours),
            _deploying(session, _PEER, peer),
            Subject(_ROLLBACK, simple(*listed.verb("rollback")), warm_up=1),
            Subject(_STATUS, simple(*listed.verb("status")), warm_up=1),
        ]
        series, failures = measure(subjects, session.runs)
    finally:
        for sysroot in (ours, listed):
            _loosen(sysroot)
    return Outcome("deploy", series, failures, _ROWS)


_ROWS = (
    Comparison("deploy of 48,000 files, 1 % changed", _DEPLOY, _PEER, Bar.faster(2)),
    Comparison(_ROLLBACK, _ROLLBACK, None, Bar.below(0.3)),
    Comparison(_STATUS, _STATUS, None, Bar.below(0.3)),
)

BENCHMARKS = (
    Benchmark("deploy", "deploy, roll back and list deployments, beside ostree admin", _run),
)
